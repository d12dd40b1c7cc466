//! Faults of a document: what was expected, and at most one character of what was received.

use std::borrow::Cow;

use crate::wire::{ValueType, foreign::Foreign};

/// Something is wrong at index `at` of the chunk.
#[derive(Debug)]
pub(super) struct Fault {
    pub at: usize,
    pub what: Cow<'static, str>,
}

impl Fault {
    pub fn new(at: usize, what: &'static str) -> Self {
        Self { at, what: Cow::Borrowed(what) }
    }

    /// The document, which begins with `byte`, is not an object.
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

    /// `byte`, at index `at`, is not `expected`.
    #[cold]
    pub fn found(at: usize, expected: &str, byte: u8) -> Self {
        Self { at, what: Cow::Owned(format!("expected {expected}, found {}", shown(byte))) }
    }
}

/// One byte so that it can stand in a message: itself if it is visible ASCII, else its number.
fn shown(byte: u8) -> String {
    if byte.is_ascii_graphic() { format!("`{}`", char::from(byte)) } else { format!("byte 0x{byte:02X}") }
}
