//! What is wrong with a document, and how it is said: what was expected, and at most one character of what came.

use std::borrow::Cow;

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
