//! The direct path for the common item, `{"email":"somebody@example.com"}`: one pass, no state.
//!
//! What it does not recognise, for whatever reason, the general path reads from the item's beginning. So this
//! path may give up anywhere, but must never take what the general path would not.

use super::scan;

/// An object of exactly one member, a string, with escapes neither in it nor in its name.
pub(super) struct Plain<'a> {
    pub raw: &'a [u8],
    pub name: &'a [u8],
    pub value: &'a [u8],
    /// What follows it.
    pub rest: &'a [u8],
}

/// The plain item that `bytes` begin with, if they do and it ends within them.
#[inline]
pub(super) fn item(bytes: &[u8]) -> Option<Plain<'_>> {
    let rest = bytes.strip_prefix(b"{")?;
    let (name, rest) = string(rest)?;
    let rest = white_space(rest).strip_prefix(b":")?;
    let (value, rest) = string(rest)?;
    let rest = white_space(rest).strip_prefix(b"}")?;
    let raw = bytes.get(..bytes.len() - rest.len())?;
    Some(Plain { raw, name, value, rest })
}

/// The inside of the string that `bytes` begin with, and what follows the string.
#[inline(always)]
fn string(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let bytes = white_space(bytes).strip_prefix(b"\"")?;
    let (inside, rest) = bytes.split_at_checked(scan::ascii_run(bytes))?;
    match rest {
        [b'"', rest @ ..] => Some((inside, rest)),
        [0x80..=0xFF, ..] => beyond_ascii(bytes),
        _ => None,
    }
}

/// The same for a string that may hold more than ASCII, after its quotation mark.
#[cold]
fn beyond_ascii(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (inside, rest) = bytes.split_at_checked(scan::long_run(bytes))?;
    let rest = rest.strip_prefix(b"\"")?;
    std::str::from_utf8(inside).is_ok().then_some((inside, rest))
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
