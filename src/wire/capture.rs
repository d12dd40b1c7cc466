//! A complete value for the sink: a slice of the chunk if the chunk contains all of it, a copy otherwise.

use super::{buffer::ReservedBuffer, piece::Sink};

/// A chunk of the body.
#[derive(Debug, Clone, Copy)]
pub struct Chunk<'c> {
    pub bytes: &'c [u8],
    /// The offset of the chunk's first byte in the body.
    pub offset: u64,
}

impl<'c> Chunk<'c> {
    /// Returns the offset of the first byte after the chunk.
    pub fn end(self) -> u64 {
        self.offset.saturating_add(self.bytes.len() as u64)
    }

    /// Returns the part of the chunk between two offsets in the body.
    pub fn between(self, from: u64, to: u64) -> &'c [u8] {
        let index = |offset: u64| usize::try_from(offset.saturating_sub(self.offset)).unwrap_or(usize::MAX);
        self.bytes.get(index(from)..index(to)).unwrap_or_default()
    }
}

/// The value that a framer is reading. Offsets are in the body.
#[derive(Debug, Default)]
pub struct Capture {
    state: CaptureState,
    begin: u64,
    /// The offset up to which `buffer` contains the value.
    buffered_to: u64,
    /// The longest value to keep.
    limit: usize,
    buffer: ReservedBuffer,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum CaptureState {
    #[default]
    Idle,
    Keeping,
    /// The value is too long, or the sink had no room.
    Dropped,
}

/// A value that has ended.
pub enum Captured<'a> {
    Whole(&'a [u8]),
    TooLong,
    /// The sink had no room for the value.
    Refused,
}

impl Capture {
    /// Begins a value of at most `limit` bytes.
    pub fn begin(&mut self, begin: u64, limit: usize) {
        self.state = CaptureState::Keeping;
        (self.begin, self.buffered_to, self.limit) = (begin, begin, limit);
    }

    /// Keeps the chunk's part of the value. To be called at the end of each chunk. The bytes before `certain_end` belong to
    /// the value. The bytes after it may be the markup that ends the value.
    pub fn suspend<S: Sink>(&mut self, certain_end: u64, chunk: Chunk<'_>, sink: &mut S) {
        if self.state != CaptureState::Keeping {
            return;
        }
        if self.is_too_long(certain_end) {
            self.state = CaptureState::Dropped;
            return self.buffer.release(sink);
        }
        if !self.buffer.push_within(chunk.between(self.buffered_to, chunk.end()), self.limit, sink) {
            self.state = CaptureState::Dropped;
        }
        self.buffered_to = chunk.end();
    }

    /// Ends the value at `end`, which may be before `buffered_to`. The caller then calls [`Capture::release`].
    pub fn end<'a, S: Sink>(&'a mut self, end: u64, chunk: Chunk<'a>, sink: &mut S) -> Captured<'a> {
        if self.is_too_long(end) {
            return Captured::TooLong;
        }
        if self.state != CaptureState::Keeping {
            return Captured::Refused;
        }
        if self.buffer.is_empty() {
            return Captured::Whole(chunk.between(self.begin, end));
        }
        if !self.buffer.push_within(chunk.between(self.buffered_to, end), self.limit, sink) {
            return Captured::Refused;
        }
        self.buffer.truncate(usize::try_from(end.saturating_sub(self.begin)).unwrap_or(usize::MAX));
        Captured::Whole(self.buffer.bytes())
    }

    /// Forgets the value and releases its memory.
    pub fn release<S: Sink>(&mut self, sink: &mut S) {
        self.state = CaptureState::Idle;
        self.buffer.release(sink);
    }

    fn is_too_long(&self, end: u64) -> bool {
        end.saturating_sub(self.begin) > self.limit as u64
    }
}
