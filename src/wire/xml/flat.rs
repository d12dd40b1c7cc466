//! The fast path for XML items ([`crate::wire::flat_item`]): elements with plain character data, such as
//! `<data><email>a@example.com</email></data>`.

use super::characters::{PlainRun, trim_start};
use super::input::Input;
use crate::wire::{Sink, flat_item::FlatItem, piece::PlainMember};

/// Longest name of a member of a flat item, in bytes. No known field has a longer name.
const NAME: usize = 64;

/// Passes on the flat items at the start of the rest of the chunk. To be called between markup directly in the root element.
pub fn items<S: Sink>(input: &mut Input<'_>, sink: &mut S) {
    while let Some(item) = item(input.rest) {
        sink.accept(item.piece());
        input.rest = item.rest;
    }
}

/// Returns name and value, if the content of an item is one element with plain character data.
pub fn plain(raw: &[u8]) -> Option<PlainMember<'_>> {
    member(raw).and_then(|(member, rest)| rest.is_empty().then_some(member))
}

/// Returns the flat item at the start of `bytes`, if it ends within them.
fn item(bytes: &[u8]) -> Option<FlatItem<'_>> {
    let content = trim_start(bytes).strip_prefix(b"<data>")?;
    let (first, mut after) = member(content)?;
    let mut plain = Some(first);
    loop {
        if let Some(rest) = after.strip_prefix(b"</data>") {
            let raw = content.get(..content.len().checked_sub(after.len())?)?;
            return Some(FlatItem { raw, plain, rest });
        }
        (_, after) = member(after)?;
        plain = None;
    }
}

/// Splits `bytes` into an element with plain character data, with white space around it, and the bytes after it.
fn member(bytes: &[u8]) -> Option<(PlainMember<'_>, &[u8])> {
    let bytes = trim_start(bytes).strip_prefix(b"<")?;
    let (name, bytes) = bytes.split_at_checked(name_length(bytes)?)?;
    let bytes = bytes.strip_prefix(b">")?;
    let (value, bytes) = bytes.split_at_checked(value_length(bytes)?)?;
    let bytes = bytes.strip_prefix(b"</")?.strip_prefix(name)?.strip_prefix(b">")?;
    Some(((name, value), trim_start(bytes)))
}

/// Returns the length of the ASCII name at the start of `bytes`.
fn name_length(bytes: &[u8]) -> Option<usize> {
    let first = bytes.first()?;
    if !first.is_ascii_alphabetic() && *first != b'_' {
        return None;
    }
    let is_name = |byte: &&u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
    let length = bytes.iter().take(NAME + 1).take_while(is_name).count();
    (length <= NAME).then_some(length)
}

/// Returns the length of the plain character data at the start of `bytes`.
fn value_length(bytes: &[u8]) -> Option<usize> {
    let mut length = PlainRun::length(bytes);
    let mut ascii = true;
    // Characters beyond ASCII stop a run; the loop continues after them.
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
