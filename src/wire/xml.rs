//! Frames and decodes XML 1.0.
//!
//! | module | purpose |
//! |---|---|
//! | `framer` | passes chunks to the lexer, and its tokens to the outline |
//! | `lexer` | turns bytes into tokens, and checks that they are well-formed |
//! | `outline` | knows the structure of a request: which element is a field, an item, an attachment |
//! | `tag`, `reference`, `characters` | complete tags, references (`&…;`), the characters that XML allows |
//! | `line_ends` | line ends in names of attachments |
//! | `flat` | the fast path for items |
//! | `markup` | finds the elements in a complete piece |
//! | `string`, `item`, `object` | decode complete pieces to text, items and JSON |
//!
//! A body must be well-formed XML 1.0 in UTF-8 (also named `utf8`, `us-ascii` or `ascii`) without a DTD. Namespaces are ignored:
//! `a:b` is a name, and the prefix of `xsi:nil` need not be declared.
//!
//! *Invariant:* pieces and errors depend on the bytes alone, not on where chunks end.

mod characters;
mod flat;
mod framer;
mod item;
mod lexer;
mod line_ends;
mod markup;
mod object;
mod outline;
mod reference;
mod string;
mod tag;
#[cfg(test)]
mod tests;

pub use framer::XmlFramer;
pub use item::item;
pub use object::object;
pub use string::{text, text_as_is};

use super::{FrameError, capture::Chunk};

/// The attributes that have a meaning. All others are ignored.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Marks {
    /// `array='true'`: the element is an entry of an array, even if it is the only one.
    array: bool,
    /// `xsi:nil` with `true` or `1`: the field is absent.
    nil: bool,
}

impl Marks {
    /// Reads an attribute. `value` is the text between the quotes.
    fn set(&mut self, attribute: &str, value: &str) {
        match attribute {
            "array" => self.array = value == "true",
            "xsi:nil" => self.nil = matches!(value.trim_matches([' ', '\t', '\r', '\n']), "true" | "1"),
            _ => {}
        }
    }
}

/// An error at the byte with offset `at` in the body.
fn malformed(at: u64, what: &'static str) -> FrameError {
    FrameError::Malformed { at, what: what.into() }
}

/// Converts a length to an offset.
fn length(bytes: usize) -> u64 {
    u64::try_from(bytes).unwrap_or(u64::MAX)
}

/// The chunk that is being framed, and the part that has not been read.
struct Input<'c> {
    chunk: Chunk<'c>,
    rest: &'c [u8],
}

impl<'c> Input<'c> {
    fn new(bytes: &'c [u8], offset: u64) -> Self {
        Self { chunk: Chunk { bytes, offset }, rest: bytes }
    }

    /// The offset in the body of the next byte.
    fn offset(&self) -> u64 {
        self.chunk.end().saturating_sub(length(self.rest.len()))
    }

    fn next(&self) -> Option<u8> {
        self.rest.first().copied()
    }

    /// Reads `count` bytes.
    fn take(&mut self, count: usize) -> &'c [u8] {
        let (taken, rest) = self.rest.split_at_checked(count).unwrap_or((self.rest, &[]));
        self.rest = rest;
        taken
    }
}
