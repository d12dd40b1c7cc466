//! One value on its way to the sink: a slice of the chunk where it lies wholly in it, else a copy.

use crate::wire::Sink;

/// The value that is being kept.
#[derive(Debug, Default)]
pub(super) struct Capture {
    state: State,
    /// The longest value to keep.
    limit: usize,
    /// Where it begins in the chunk: 0 if it began in one before.
    start: usize,
    /// What came in the chunks before.
    held: Vec<u8>,
    /// Bytes reserved for `held`.
    reserved: usize,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum State {
    #[default]
    Idle,
    Keeping,
    TooLong,
    Refused,
}

/// What has become of a value.
pub(super) enum Kept<'a> {
    Whole(&'a [u8]),
    TooLong,
    /// The sink would not let it be held.
    Refused,
}

impl Capture {
    /// A value begins at `start`.
    pub fn begin(&mut self, start: usize, limit: usize) {
        self.state = State::Keeping;
        self.limit = limit;
        self.start = start;
    }

    /// The chunk ends: what it has of the value is held.
    pub fn suspend<S: Sink>(&mut self, chunk: &[u8], sink: &mut S) {
        if self.state == State::Keeping {
            self.hold(chunk.get(self.start..).unwrap_or_default(), sink);
        }
        self.start = 0;
    }

    /// The value has ended with `before`, which is the chunk up to its end: hands it to `take`.
    #[inline]
    pub fn end<S: Sink>(&mut self, before: &[u8], sink: &mut S, take: impl FnOnce(&mut S, Kept<'_>)) {
        let tail = before.get(self.start..).unwrap_or_default();
        if self.state == State::Keeping && self.held.is_empty() && tail.len() <= self.limit {
            take(sink, Kept::Whole(tail));
        } else {
            if self.state == State::Keeping {
                self.hold(tail, sink);
            }
            take(
                sink,
                match self.state {
                    State::TooLong => Kept::TooLong,
                    State::Idle | State::Refused => Kept::Refused,
                    State::Keeping => Kept::Whole(&self.held),
                },
            );
            self.drop_held(sink);
        }
        self.state = State::Idle;
    }

    /// Gives up what is held, if anything is.
    pub fn drop_held<S: Sink>(&mut self, sink: &mut S) {
        if self.reserved > 0 {
            self.held = Vec::new();
            sink.release(std::mem::take(&mut self.reserved));
        }
    }

    fn hold<S: Sink>(&mut self, bytes: &[u8], sink: &mut S) {
        let needed = self.held.len().saturating_add(bytes.len());
        if needed > self.limit {
            self.state = State::TooLong;
            return self.drop_held(sink);
        }
        if needed > self.reserved {
            let room = needed.max(self.reserved.saturating_add(self.reserved / 2)).min(self.limit);
            if !sink.reserve(room - self.reserved) {
                self.state = State::Refused;
                return self.drop_held(sink);
            }
            self.reserved = room;
            self.held.reserve_exact(room - self.held.len());
        }
        self.held.extend_from_slice(bytes);
    }
}
