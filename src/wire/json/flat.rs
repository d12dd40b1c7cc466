//! The fast path for JSON items ([`crate::wire::flat_item`]): objects whose values are strings without escapes, or integers.

use super::scan;
use crate::wire::flat_item::FlatItem;

/// The value of a member of a flat item.
#[derive(Debug, Clone, Copy)]
pub(super) enum FlatValue<'a> {
    /// The content of a string without escapes, valid UTF-8.
    Text(&'a [u8]),
    /// `-?[0-9]+`, as in JSON.
    Integer(&'a [u8]),
}

/// Returns the flat item at the start of `bytes`, if it ends within them.
#[inline]
pub(super) fn item(bytes: &[u8]) -> Option<FlatItem<'_>> {
    let mut plain = None;
    let mut first = true;
    let rest = object(bytes, |name, value| {
        plain = match value {
            FlatValue::Text(text) if first => Some((name, text)),
            _ => None,
        };
        first = false;
    })?;
    let raw = bytes.get(..bytes.len() - rest.len())?;
    Some(FlatItem { raw, plain, rest })
}

/// Passes the members of the flat item at the start of `bytes` to `member`, and returns the bytes after it. Some members may
/// have been passed on when it returns `None`.
#[inline(always)]
pub(super) fn object<'a>(bytes: &'a [u8], mut member: impl FnMut(&'a [u8], FlatValue<'a>)) -> Option<&'a [u8]> {
    let mut bytes = trim_start(bytes.strip_prefix(b"{")?);
    if let [b'}', rest @ ..] = bytes {
        return Some(rest);
    }
    loop {
        let (name, rest) = string(bytes.strip_prefix(b"\"")?)?;
        let rest = trim_start(trim_start(rest).strip_prefix(b":")?);
        let (value, rest) = match rest {
            [b'"', rest @ ..] => string(rest).map(|(text, rest)| (FlatValue::Text(text), rest))?,
            _ => integer(rest)?,
        };
        member(name, value);
        match trim_start(rest) {
            [b'}', rest @ ..] => return Some(rest),
            [b',', rest @ ..] => bytes = trim_start(rest),
            _ => return None,
        }
    }
}

/// Splits `bytes`, which begin after a quotation mark, into the content of the string and the bytes after it.
#[inline(always)]
fn string(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (inside, rest) = bytes.split_at_checked(scan::ascii_run(bytes))?;
    match rest {
        [b'"', rest @ ..] => Some((inside, rest)),
        [0x80..=0xFF, ..] => non_ascii_string(bytes),
        _ => None,
    }
}

/// Does the same for a string that is not ASCII.
#[cold]
fn non_ascii_string(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (inside, rest) = bytes.split_at_checked(scan::long_run(bytes))?;
    let rest = rest.strip_prefix(b"\"")?;
    std::str::from_utf8(inside).is_ok().then_some((inside, rest))
}

/// Splits `bytes` into an integer and the bytes after it. The caller rejects a fraction after it.
fn integer(bytes: &[u8]) -> Option<(FlatValue<'_>, &[u8])> {
    let digits = bytes.strip_prefix(b"-").unwrap_or(bytes);
    let length = digits.iter().position(|byte| !byte.is_ascii_digit())?;
    if length == 0 || (length > 1 && digits.starts_with(b"0")) {
        return None;
    }
    let (integer, rest) = bytes.split_at_checked(bytes.len() - digits.len() + length)?;
    Some((FlatValue::Integer(integer), rest))
}

/// Returns `bytes` without white space at the start.
#[inline(always)]
pub(super) fn trim_start(bytes: &[u8]) -> &[u8] {
    let mut bytes = bytes;
    while let [b' ' | b'\n' | b'\t' | b'\r', rest @ ..] = bytes {
        bytes = rest;
    }
    bytes
}
