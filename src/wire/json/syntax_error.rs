//! Syntax errors of a JSON document. A message contains at most one character of the body.

use std::borrow::Cow;

use crate::wire::{ValueType, foreign::Foreign};

#[derive(Debug, thiserror::Error)]
#[error("byte {at}: {what}")]
pub(super) struct SyntaxError {
    /// Index in the chunk.
    pub at: usize,
    pub what: Cow<'static, str>,
}

impl SyntaxError {
    pub fn new(at: usize, what: &'static str) -> Self {
        Self { at, what: Cow::Borrowed(what) }
    }

    /// The error of a document that begins with `byte` and is not an object.
    #[cold]
    pub fn root(at: usize, byte: u8) -> Self {
        const EXPECTED: &str = "expected a JSON object";
        let what = match (byte, Foreign::from_first(byte)) {
            (b'[', _) => format!("{EXPECTED}, not a JSON array; send one object"),
            (b'"' | b'0'..=b'9', _) => format!("{EXPECTED}, not {}", ValueType::of_json(byte)),
            (_, Some(foreign)) => format!("{EXPECTED}, not {foreign}; {}", foreign.remedy()),
            (_, None) => return Self::found(at, "a JSON object", byte),
        };
        Self { at, what: what.into() }
    }

    /// The error of a `byte` that is not `expected`.
    #[cold]
    pub fn found(at: usize, expected: &str, byte: u8) -> Self {
        Self { at, what: Cow::Owned(format!("expected {expected}, found {}", format_byte(byte))) }
    }
}

/// Formats a byte for a message: the character if it is visible ASCII, otherwise its number.
fn format_byte(byte: u8) -> String {
    if byte.is_ascii_graphic() { format!("`{}`", char::from(byte)) } else { format!("byte 0x{byte:02X}") }
}
