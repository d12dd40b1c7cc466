//! Joins short runs of attachment data. PHP escapes each slash, so its base64 arrives in runs of about 64 bytes, and decoding
//! each of them separately takes several times as long as copying them first.

use crate::wire::{Piece, Sink};

/// Passes runs to the sink, within one chunk.
pub(super) struct RunBuffer<'s, S: Sink> {
    sink: &'s mut S,
    bytes: [u8; 1024],
    length: usize,
}

impl<'s, S: Sink> RunBuffer<'s, S> {
    pub fn new(sink: &'s mut S) -> Self {
        Self { sink, bytes: [0; 1024], length: 0 }
    }

    /// Adds a run that is not empty.
    pub fn push(&mut self, run: &[u8]) {
        if self.length + run.len() > self.bytes.len() {
            self.flush();
        }
        match self.bytes.get_mut(self.length..self.length + run.len()) {
            // Copying pays for short runs only.
            Some(room) if run.len() < SHORT => {
                room.copy_from_slice(run);
                self.length += run.len();
            }
            _ => {
                self.flush();
                self.sink.accept(Piece::AttachData(run));
            }
        }
    }

    /// Passes the buffered runs to the sink. To be called at the end of each chunk.
    pub fn flush(&mut self) {
        if let Some(buffered) = self.bytes.get(..self.length)
            && !buffered.is_empty()
        {
            self.sink.accept(Piece::AttachData(buffered));
            self.length = 0;
        }
    }
}

/// Runs of this length or more are passed on directly.
const SHORT: usize = 512;
