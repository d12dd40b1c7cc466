//! Short runs of attachment data, put together. PHP escapes each slash, so that base64 comes in runs of some 64
//! bytes; to decode each by itself takes several times as long as to copy them first.

use crate::wire::{Piece, Sink};

/// On its way from a string to the sink, within one chunk.
pub(super) struct Gather<'s, S: Sink> {
    sink: &'s mut S,
    bytes: [u8; 1024],
    length: usize,
}

impl<'s, S: Sink> Gather<'s, S> {
    pub fn new(sink: &'s mut S) -> Self {
        Self { sink, bytes: [0; 1024], length: 0 }
    }

    /// Takes a run, which is not empty.
    pub fn push(&mut self, run: &[u8]) {
        if self.length + run.len() > self.bytes.len() {
            self.flush();
        }
        match self.bytes.get_mut(self.length..self.length + run.len()) {
            // A run that begins where nothing waits may be the only one: only short ones are worth a copy.
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

    /// Hands on what waits. To be called at the end of the chunk at the latest.
    pub fn flush(&mut self) {
        if let Some(waiting) = self.bytes.get(..self.length)
            && !waiting.is_empty()
        {
            self.sink.accept(Piece::AttachData(waiting));
            self.length = 0;
        }
    }
}

/// Runs from this length on are handed on as they are.
const SHORT: usize = 512;
