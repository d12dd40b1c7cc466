//! Decodes the text of complete markup.

use std::borrow::Cow;

use quick_xml::{escape, events::BytesRef};

use super::characters::is_white;
use super::markup::{MarkupPart, MarkupParts};
use crate::limits::SCALAR_LIMIT;
use crate::wire::{Scalar, ValueType};

/// Decodes the text of a root field, without the white space around it.
pub fn text(raw: &[u8]) -> Scalar<'_> {
    let trim = |char: char| u8::try_from(char).is_ok_and(is_white);
    match text_as_is(raw) {
        Scalar::Text(Cow::Borrowed(text)) => Scalar::Text(Cow::Borrowed(text.trim_matches(trim))),
        Scalar::Text(Cow::Owned(text)) => Scalar::Text(Cow::Owned(text.trim_matches(trim).to_owned())),
        other => other,
    }
}

/// Decodes text as sent. Elements have the wrong type.
pub fn text_as_is(raw: &[u8]) -> Scalar<'_> {
    let text = std::str::from_utf8(raw).ok().and_then(|raw| decode(raw, SCALAR_LIMIT));
    text.map_or(Scalar::WrongType(ValueType::Elements), Scalar::Text)
}

/// Decodes markup without elements. Decoded text is cut at a few bytes over `limit`, so that the memory is bounded and the text
/// is still recognised as too long.
pub fn decode(raw: &str, limit: usize) -> Option<Cow<'_, str>> {
    if is_plain(raw) {
        return Some(Cow::Borrowed(raw));
    }
    // The longest character has four bytes.
    let most = limit.saturating_add(4);
    let mut text = String::with_capacity(raw.len().min(most));
    decode_pieces(raw, |part| {
        let room = most.saturating_sub(text.len());
        text.push_str(part.get(..part.floor_char_boundary(room)).unwrap_or_default());
    })?;
    Some(Cow::Owned(text))
}

/// Whether markup is equal to its text.
pub fn is_plain(raw: &str) -> bool {
    memchr::memchr3(b'<', b'&', b'\r', raw.as_bytes()).is_none()
}

/// Decodes markup without elements, and passes its text to `out` in pieces. Returns `None` if there are elements or unknown
/// references.
pub fn decode_pieces(raw: &str, mut out: impl FnMut(&str)) -> Option<()> {
    let mut parts = MarkupParts::new(raw);
    while let Some(part) = parts.next().ok()? {
        match part {
            MarkupPart::Text(text) => decode_character_data(text, &mut out)?,
            MarkupPart::CData(text) => normalize_line_ends(text, &mut out),
            MarkupPart::Start { .. } | MarkupPart::End { .. } => return None,
        }
    }
    Some(())
}

/// Decodes text between tags.
fn decode_character_data(text: &str, out: &mut impl FnMut(&str)) -> Option<()> {
    let mut parts = text.split('&');
    normalize_line_ends(parts.next().unwrap_or_default(), out);
    for part in parts {
        let (reference, text) = part.split_once(';')?;
        out(resolve(reference)?.encode_utf8(&mut [0; 4]));
        normalize_line_ends(text, out);
    }
    Some(())
}

/// Passes text to `out` with `\n` for `\r\n` and `\r` (XML 1.0, section 2.11).
fn normalize_line_ends(text: &str, out: &mut impl FnMut(&str)) {
    let mut parts = text.split('\r');
    out(parts.next().unwrap_or_default());
    for part in parts {
        out("\n");
        out(part.strip_prefix('\n').unwrap_or(part));
    }
}

/// Returns the character of a reference, which is without its `&` and `;`.
fn resolve(reference: &str) -> Option<char> {
    match BytesRef::new(reference).resolve_char_ref() {
        Ok(Some(char)) => Some(char),
        Ok(None) => escape::resolve_predefined_entity(reference)?.chars().next(),
        Err(_) => None,
    }
}

/// Whether character data, with its references decoded, is white space. Returns `None` if it has an unknown reference.
pub fn is_blank(raw: &str) -> Option<bool> {
    match raw.bytes().find(|byte| !is_white(*byte)) {
        None => Some(true),
        Some(b'&') => {
            let mut blank = true;
            decode_pieces(raw, |part| blank &= part.bytes().all(is_white))?;
            Some(blank)
        }
        Some(_) => Some(false),
    }
}
