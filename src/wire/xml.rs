//! XML: a body framed as it arrives ([`XmlFramer`]), and its small pieces decoded ([`item`], [`text`],
//! [`object`]).
//!
//! | file | what it does |
//! |---|---|
//! | `framer` | puts the parts together: bytes in, pieces out |
//! | `outline` | knows the request: which element is a field, an item, an attachment |
//! | `lexer` | knows XML: turns bytes into tokens and checks that they are well-formed |
//! | `tag`, `reference`, `chars` | the lexer's parts: whole tags, `&…;`, legal characters |
//! | `direct` | the short way for an item of the common shape |
//! | `capture`, `attachment_name`, `held` | what is kept of a piece until the rest comes |
//! | `elements` | finds the elements in a complete piece |
//! | `decode`, `object` | complete pieces to scalars, items and JSON (their text by `quick-xml`) |
//!
//! What is accepted is well-formed XML 1.0 in UTF-8 without a DTD. Namespaces are not looked at: `a:b` is a
//! name like any other, and `xsi:nil` needs no declaration of its prefix. `utf8`, `us-ascii` and `ascii` are other names
//! of UTF-8.
//!
//! *Architecture Invariant:* the bytes alone decide what is handed on, never where the chunks end. A fault is
//! found at the same byte, after the same pieces, in every chunking.

mod attachment_name;
mod capture;
mod chars;
mod decode;
mod direct;
mod elements;
mod framer;
mod held;
mod lexer;
mod object;
mod outline;
mod reference;
mod tag;
#[cfg(test)]
mod tests;

pub use decode::{item, text, text_as_is};
pub use framer::XmlFramer;
pub use object::object;

use super::FrameError;

/// The attributes that have a meaning. All others are ignored.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Marks {
    /// `array='true'`: the element is an entry of an array, even if it is the only one.
    array: bool,
    /// `xsi:nil` with `true` or `1`: the field is absent.
    nil: bool,
}

impl Marks {
    /// Reads an attribute. `value` is what is between the quotes.
    fn note(&mut self, attribute: &str, value: &str) {
        match attribute {
            "array" => self.array = value == "true",
            "xsi:nil" => self.nil = matches!(value.trim_matches([' ', '\t', '\r', '\n']), "true" | "1"),
            _ => {}
        }
    }
}

/// A fault at the byte with offset `at` of the body.
fn malformed(at: u64, what: &'static str) -> FrameError {
    FrameError::Malformed { at, what: what.into() }
}

/// A length as an offset; no length that exists is cut.
fn length(bytes: usize) -> u64 {
    u64::try_from(bytes).unwrap_or(u64::MAX)
}

/// The chunk that is being fed, and how far it has been read.
struct Input<'c> {
    chunk: &'c [u8],
    /// What has not been read of it.
    rest: &'c [u8],
    /// The offset in the body of the chunk's first byte.
    base: u64,
}

impl<'c> Input<'c> {
    fn new(chunk: &'c [u8], base: u64) -> Self {
        Self { chunk, rest: chunk, base }
    }

    /// The offset in the body of the next byte.
    fn offset(&self) -> u64 {
        self.end().saturating_sub(length(self.rest.len()))
    }

    /// The offset in the body of the first byte behind the chunk.
    fn end(&self) -> u64 {
        self.base.saturating_add(length(self.chunk.len()))
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

    /// The part of the chunk between two offsets in the body.
    fn between(&self, from: u64, to: u64) -> &'c [u8] {
        let local = |offset: u64| usize::try_from(offset.saturating_sub(self.base)).unwrap_or(usize::MAX);
        self.chunk.get(local(from)..local(to)).unwrap_or_default()
    }
}
