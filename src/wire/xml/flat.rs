//! The short way for an item of the common shape, elements with plain character data:
//! `<data><email>a@example.com</email></data>`.
//!
//! What is not exactly of that shape, or not wholly in the chunk, is left to the lexer, from the item's start;
//! what comes of it is the same.

use super::Input;
use super::chars::{PlainRun, trim_start};
use crate::wire::{Piece, Sink};

/// Longest name of the only member that is looked for, in bytes: no known field has a longer one.
const NAME: usize = 64;

/// Hands on the items at the start of what is left of the chunk, up to the first that is not of the shape.
/// To be called only between markup directly in the root element.
pub fn items<S: Sink>(input: &mut Input<'_>, sink: &mut S) {
    while let Some((raw, plain, read)) = item(input.rest) {
        input.take(read);
        sink.accept(Piece::Item { raw, plain });
    }
}

/// The name and the value, if the content of an item is one element with nothing but plain character data.
pub fn plain(raw: &[u8]) -> Option<Member<'_>> {
    member(raw).and_then(|(member, rest)| rest.is_empty().then_some(member))
}

type Member<'b> = (&'b [u8], &'b [u8]);

/// One item: its content, its member if it is the only one, and how many bytes the item takes.
fn item(bytes: &[u8]) -> Option<(&[u8], Option<Member<'_>>, usize)> {
    let content = trim_start(bytes).strip_prefix(b"<data>")?;
    let (first, mut behind) = member(content)?;
    let mut plain = Some(first);
    loop {
        if let Some(rest) = behind.strip_prefix(b"</data>") {
            let raw = content.get(..content.len().checked_sub(behind.len())?)?;
            return Some((raw, plain, bytes.len().checked_sub(rest.len())?));
        }
        (_, behind) = member(behind)?;
        plain = None;
    }
}

/// An element with nothing but plain character data, with the white space around it, and what is behind that.
fn member(bytes: &[u8]) -> Option<(Member<'_>, &[u8])> {
    let bytes = trim_start(bytes).strip_prefix(b"<")?;
    let (name, bytes) = bytes.split_at_checked(name_length(bytes)?)?;
    let bytes = bytes.strip_prefix(b">")?;
    let (value, bytes) = bytes.split_at_checked(value_length(bytes)?)?;
    let bytes = bytes.strip_prefix(b"</")?.strip_prefix(name)?.strip_prefix(b">")?;
    Some(((name, value), trim_start(bytes)))
}

/// The length of a name in ASCII, which it must begin with.
fn name_length(bytes: &[u8]) -> Option<usize> {
    let first = bytes.first()?;
    if !first.is_ascii_alphabetic() && *first != b'_' {
        return None;
    }
    let is_name = |byte: &&u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
    let length = bytes.iter().take(NAME + 1).take_while(is_name).count();
    (length <= NAME).then_some(length)
}

/// The length of the plain character data that the bytes begin with.
fn value_length(bytes: &[u8]) -> Option<usize> {
    let mut length = PlainRun::length(bytes);
    let mut ascii = true;
    // Characters outside ASCII stop a run: it goes on behind them.
    while bytes.get(length).is_some_and(|byte| *byte >= 0x80) {
        ascii = false;
        let rest = bytes.get(length..)?;
        let high = rest.iter().take_while(|byte| **byte >= 0x80).count();
        length = length.saturating_add(high).saturating_add(PlainRun::length(rest.get(high..)?));
    }
    if ascii {
        return Some(length);
    }
    let text = std::str::from_utf8(bytes.get(..length)?).ok()?;
    (!text.contains(['\u{FFFE}', '\u{FFFF}'])).then_some(length)
}
