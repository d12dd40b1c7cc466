//! The content of a field or item, of which some may be in earlier chunks: a slice of the chunk where it lies
//! wholly in it, else a copy.

use super::held::Held;
use super::{Input, length};
use crate::wire::Sink;

/// See the module.
#[derive(Debug, Default)]
pub struct Capture {
    begin: u64,
    /// Up to where it is held.
    held_to: u64,
    limit: usize,
    held: Held,
    /// The sink refused to let it be held, or it is too long.
    dropped: bool,
}

impl Capture {
    /// It begins at that offset, and is to be no longer than `limit` bytes.
    pub fn begin(&mut self, begin: u64, limit: usize) {
        (self.begin, self.held_to, self.limit, self.dropped) = (begin, begin, limit, false);
    }

    /// Whether it is, if it ends there.
    pub fn is_too_long(&self, end: u64) -> bool {
        end.saturating_sub(self.begin) > length(self.limit)
    }

    /// Holds what is in the chunk; `surely`: up to there it is content without a doubt.
    pub fn hold<S: Sink>(&mut self, surely: u64, input: &Input<'_>, sink: &mut S) {
        if self.is_too_long(surely) {
            self.dropped = true;
            self.held.free(sink);
        }
        if !self.dropped {
            self.dropped = !self.held.push(input.between(self.held_to, input.end()), sink);
            self.held_to = input.end();
        }
    }

    /// Holds nothing any longer.
    pub fn free<S: Sink>(&mut self, sink: &mut S) {
        self.held.free(sink);
    }

    /// All of it, if it was not dropped; it ends at the offset `end`, perhaps in what is already held.
    pub fn end<'a, S: Sink>(&'a mut self, end: u64, input: &Input<'a>, sink: &mut S) -> Option<&'a [u8]> {
        if self.dropped {
            return None;
        }
        if self.held.is_empty() {
            return Some(input.between(self.begin, end));
        }
        if !self.held.push(input.between(self.held_to, end), sink) {
            return None;
        }
        self.held.truncate(usize::try_from(end.saturating_sub(self.begin)).ok()?);
        Some(self.held.bytes())
    }
}
