//! What a framer keeps of a piece until the rest of it comes.

use crate::wire::Sink;

/// Bytes held, all of them reserved with the sink: what is reserved is what is allocated.
#[derive(Debug, Default)]
pub struct Held {
    bytes: Vec<u8>,
    reserved: usize,
}

impl Held {
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Holds `more`. Where the sink refuses, nothing is held any longer, and it is `false`.
    #[must_use]
    pub fn push<S: Sink>(&mut self, more: &[u8], sink: &mut S) -> bool {
        let needed = self.bytes.len().saturating_add(more.len());
        if needed > self.reserved {
            // Half as much again, so that a long piece is not copied for each of its chunks.
            let grown = needed.max(self.reserved.saturating_add(self.reserved / 2));
            if !sink.reserve(grown - self.reserved) {
                self.free(sink);
                return false;
            }
            self.reserved = grown;
            self.bytes.reserve_exact(grown - self.bytes.len());
        }
        self.bytes.extend_from_slice(more);
        true
    }

    pub fn truncate(&mut self, length: usize) {
        self.bytes.truncate(length);
    }

    /// Holds nothing any longer.
    pub fn free<S: Sink>(&mut self, sink: &mut S) {
        if self.reserved > 0 {
            self.bytes = Vec::new();
            sink.release(std::mem::take(&mut self.reserved));
        }
    }
}
