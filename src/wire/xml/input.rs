//! The chunk that is being framed, offsets in the body, and errors at them.

use crate::wire::{FrameError, capture::Chunk};

/// An error at the byte with offset `at` in the body.
pub fn malformed(at: u64, what: &'static str) -> FrameError {
    FrameError::Malformed { at, what: what.into() }
}

/// Converts a length to an offset.
pub fn length(bytes: usize) -> u64 {
    u64::try_from(bytes).unwrap_or(u64::MAX)
}

/// The chunk that is being framed, and the part that has not been read.
pub struct Input<'c> {
    pub chunk: Chunk<'c>,
    pub rest: &'c [u8],
}

impl<'c> Input<'c> {
    pub fn new(bytes: &'c [u8], offset: u64) -> Self {
        Self { chunk: Chunk { bytes, offset }, rest: bytes }
    }

    /// The offset in the body of the next byte.
    pub fn offset(&self) -> u64 {
        self.chunk.end().saturating_sub(length(self.rest.len()))
    }

    pub fn next(&self) -> Option<u8> {
        self.rest.first().copied()
    }

    /// Reads `count` bytes.
    pub fn take(&mut self, count: usize) -> &'c [u8] {
        let (taken, rest) = self.rest.split_at_checked(count).unwrap_or((self.rest, &[]));
        self.rest = rest;
        taken
    }
}
