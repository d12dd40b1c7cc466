//! The direct path for the common item, `{"email":"somebody@example.com"}`: one pass, no state.
//!
//! It takes *flat* objects: of members whose values are strings without escapes, or integers. What it does not
//! recognise, for whatever reason, the general path reads from the item's beginning. So this path may give up
//! anywhere, but must never take what the general path would not.

use super::scan;

/// The value of a member of a flat object.
#[derive(Debug, Clone, Copy)]
pub(super) enum Value<'a> {
    /// A string without escapes, valid UTF-8: what stands between the quotation marks.
    Text(&'a [u8]),
    /// `-?[0-9]+` as JSON has it.
    Integer(&'a [u8]),
}

/// A flat object that stands in a chunk.
pub(super) struct Item<'a> {
    pub raw: &'a [u8],
    /// Name and value, if it has exactly one member and that is a string.
    pub plain: Option<(&'a [u8], &'a [u8])>,
    /// What follows it.
    pub rest: &'a [u8],
}

/// The flat object that `bytes` begin with, if they do and it ends within them.
#[inline]
pub(super) fn item(bytes: &[u8]) -> Option<Item<'_>> {
    let mut plain = None;
    let mut first = true;
    let rest = object(bytes, |name, value| {
        plain = match value {
            Value::Text(text) if first => Some((name, text)),
            _ => None,
        };
        first = false;
    })?;
    let raw = bytes.get(..bytes.len() - rest.len())?;
    Some(Item { raw, plain, rest })
}

/// Hands the members of the flat object that `bytes` begin with to `member`, and tells what follows the object.
/// Some members may have been handed on when it gives up.
#[inline(always)]
pub(super) fn object<'a>(bytes: &'a [u8], mut member: impl FnMut(&'a [u8], Value<'a>)) -> Option<&'a [u8]> {
    let mut bytes = white_space(bytes.strip_prefix(b"{")?);
    if let [b'}', rest @ ..] = bytes {
        return Some(rest);
    }
    loop {
        let (name, rest) = string(bytes.strip_prefix(b"\"")?)?;
        let rest = white_space(white_space(rest).strip_prefix(b":")?);
        let (value, rest) = match rest {
            [b'"', rest @ ..] => string(rest).map(|(text, rest)| (Value::Text(text), rest))?,
            _ => integer(rest)?,
        };
        member(name, value);
        match white_space(rest) {
            [b'}', rest @ ..] => return Some(rest),
            [b',', rest @ ..] => bytes = white_space(rest),
            _ => return None,
        }
    }
}

/// The inside of the string of which `bytes` are what follows the quotation mark, and what follows the string.
#[inline(always)]
fn string(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (inside, rest) = bytes.split_at_checked(scan::ascii_run(bytes))?;
    match rest {
        [b'"', rest @ ..] => Some((inside, rest)),
        [0x80..=0xFF, ..] => beyond_ascii(bytes),
        _ => None,
    }
}

/// The same for a string that holds more than ASCII.
#[cold]
fn beyond_ascii(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (inside, rest) = bytes.split_at_checked(scan::long_run(bytes))?;
    let rest = rest.strip_prefix(b"\"")?;
    std::str::from_utf8(inside).is_ok().then_some((inside, rest))
}

/// The integer that `bytes` begin with, and what follows it. A fraction that follows is not taken for an end.
fn integer(bytes: &[u8]) -> Option<(Value<'_>, &[u8])> {
    let digits = bytes.strip_prefix(b"-").unwrap_or(bytes);
    let length = digits.iter().position(|byte| !byte.is_ascii_digit())?;
    if length == 0 || (length > 1 && digits.starts_with(b"0")) {
        return None;
    }
    let (integer, rest) = bytes.split_at_checked(bytes.len() - digits.len() + length)?;
    Some((Value::Integer(integer), rest))
}

/// `bytes` without the white space that they begin with.
#[inline(always)]
pub(super) fn white_space(bytes: &[u8]) -> &[u8] {
    let mut bytes = bytes;
    while let [b' ' | b'\n' | b'\t' | b'\r', rest @ ..] = bytes {
        bytes = rest;
    }
    bytes
}
