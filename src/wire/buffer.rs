//! A byte buffer that reserves its memory with the sink before it allocates. Both framers grow their buffers here.

use super::piece::Sink;

/// Bytes of an incomplete piece. The allocated memory is exactly the reserved memory.
#[derive(Debug, Default)]
pub struct ReservedBuffer {
    bytes: Vec<u8>,
    reserved: usize,
}

impl ReservedBuffer {
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Appends `more` and returns whether the sink had room. If it had none, the buffer releases everything.
    #[must_use]
    pub fn push<S: Sink>(&mut self, more: &[u8], sink: &mut S) -> bool {
        self.push_within(more, usize::MAX, sink)
    }

    /// Appends `more` as [`ReservedBuffer::push`] does, without room for more than `limit` bytes unless `more` needs it.
    #[must_use]
    pub fn push_within<S: Sink>(&mut self, more: &[u8], limit: usize, sink: &mut S) -> bool {
        let needed = self.bytes.len().saturating_add(more.len());
        if needed > self.reserved {
            // Half as much again, so that a piece in many chunks is not copied for each of them.
            let grown = self.reserved.saturating_add(self.reserved / 2).min(limit).max(needed);
            if !sink.reserve(grown - self.reserved) {
                self.release(sink);
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

    /// Discards the bytes and releases their memory.
    pub fn release<S: Sink>(&mut self, sink: &mut S) {
        if self.reserved > 0 {
            self.bytes = Vec::new();
            sink.release(std::mem::take(&mut self.reserved));
        }
    }
}
