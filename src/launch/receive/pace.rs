//! Reads a body from a caller who may be slow, or who only wants to occupy memory.
//!
//! A caller who is not verified must keep a minimum rate ([`RATE_MIN`]) and can be evicted to make room for others. The request's
//! own timer checks both at least every [`WATCH_MS`]. A verified caller only has to send a byte every
//! [`BODY_TIMEOUT_MS`].

use std::pin::pin;

use futures_util::future::{Either, LocalBoxFuture, select};

use crate::{
    launch::ports::{Body, Clock},
    limits::{
        BODY_TIMEOUT_MS, DRAIN_MS, RATE_GRACE_SECONDS, RATE_MIN, READ_BUFFER, READ_START, READ_UNVERIFIED, READ_VIEW,
        WATCH_MS,
    },
    memory::{Reservation, Watch},
    problem::{Cause, Problem, Refused},
};

/// Why no more of a body is read.
#[derive(Debug, thiserror::Error, Clone, PartialEq, Eq)]
pub enum BodyError {
    #[error("no byte of the body arrived for {} s", BODY_TIMEOUT_MS / 1000)]
    Idle,
    /// An unverified caller sends less than the minimum rate.
    #[error(
        "received {received} bytes of the body in {} s; after {RATE_GRACE_SECONDS} s send at least {RATE_MIN} bytes a \
         second, or send the token in the Authorization header",
        reading_ms / 1000
    )]
    TooSlow { received: u64, reading_ms: u64 },
    #[error("the request was evicted to make room for others")]
    Evicted,
    /// Contains the number of bytes received.
    #[error("byte {0}: the body ends early")]
    Disconnected(u64),
}

impl From<BodyError> for Refused {
    fn from(error: BodyError) -> Self {
        match error {
            BodyError::Idle | BodyError::TooSlow { .. } => Problem::Timeout(error.to_string().into()).into(),
            BodyError::Evicted => evicted(),
            BodyError::Disconnected(_) => Problem::Malformed(error.to_string()).into(),
        }
    }
}

/// 503: the request has to make room for others.
pub fn evicted() -> Refused {
    let message = "too many requests wait with a token that is not verified: send the token in the Authorization header, \
                   and retry later";
    Refused::unavailable(message, Cause::new("evicted: UNVERIFIED_LIMIT is used up"))
}

/// A body with the time spent on it.
pub struct PacedBody<'b, C, B> {
    clock: &'b C,
    body: &'b mut B,
    watch: Watch,
    /// `Content-Length`.
    length: Option<u64>,
    received: u64,
    /// Milliseconds spent waiting for bytes. Time between reads does not count.
    reading_ms: u64,
    /// When the next check is due. One timer serves many reads.
    timer: Option<LocalBoxFuture<'b, ()>>,
    /// Set when the body has ended or its caller is too slow. Then nothing more is read.
    ended: bool,
}

impl<'b, C: Clock, B: Body> PacedBody<'b, C, B> {
    /// `watch` is a view of the request's state, `length` its `Content-Length`.
    pub fn new(clock: &'b C, body: &'b mut B, watch: Watch, length: Option<u64>) -> Self {
        Self { clock, body, watch, length, received: 0, reading_ms: 0, timer: None, ended: false }
    }

    /// `Content-Length`.
    pub fn length(&self) -> Option<u64> {
        self.length
    }

    /// Bytes received so far.
    pub fn received(&self) -> u64 {
        self.received
    }

    /// Waits for the next bytes, at most `at_once` of them. Returns how many arrived, or `None` at the end.
    pub async fn read(&mut self, at_once: usize) -> Result<Option<usize>, BodyError> {
        // The runtime passes on no more bytes than `Content-Length`, so another read would only find the end.
        if self.ended || self.length == Some(self.received) {
            return Ok(None);
        }
        let clock = self.clock;
        let started = clock.now();
        let mut read = pin!(self.body.read(at_once));
        let arrived = loop {
            let first = if self.watch.is_verified() { BODY_TIMEOUT_MS } else { WATCH_MS };
            let timer = self.timer.get_or_insert_with(|| Box::pin(clock.sleep(first)));
            match select(read.as_mut(), timer).await {
                Either::Left((arrived, _)) => break arrived,
                Either::Right(_) => {}
            }
            self.timer = None;
            let waited = clock.now().saturating_sub(started);
            match check(&self.watch, self.received, self.reading_ms.saturating_add(waited), waited) {
                Ok(next) => self.timer = Some(Box::pin(clock.sleep(next))),
                Err(error) => {
                    self.ended = error != BodyError::Evicted;
                    return Err(error);
                }
            }
        };
        self.reading_ms = self.reading_ms.saturating_add(clock.now().saturating_sub(started));
        match arrived {
            Ok(Some(bytes)) => {
                self.received = self.received.saturating_add(bytes as u64);
                self.watch.count_received(bytes as u64);
                Ok(Some(bytes))
            }
            Ok(None) => {
                (self.ended, self.timer) = (true, None);
                Ok(None)
            }
            Err(_) => {
                (self.ended, self.timer) = (true, None);
                Err(BodyError::Disconnected(self.received))
            }
        }
    }

    /// Passes the next bytes of the last read to `take`.
    pub fn chunk<T>(&mut self, take: impl FnOnce(&[u8]) -> T) -> Option<T> {
        self.body.chunk(take)
    }

    /// Reads and discards the rest of a refused body before the answer. A client that is still sending when the answer arrives
    /// would see a broken connection instead. Stops after `limit` bytes or [`DRAIN_MS`], if more than `limit` bytes are announced,
    /// or if the caller is too slow or evicted. `memory` must contain only the request's base cost.
    pub async fn drain(&mut self, limit: u64, memory: &mut Reservation) {
        self.body.discard();
        memory.keep_base();
        if self.ended {
            return;
        }
        let announced = self.length.map(|length| length.saturating_sub(self.received));
        if announced.is_some_and(|rest| rest > limit) {
            return;
        }
        let (deadline, end) = (self.clock.now().saturating_add(DRAIN_MS), self.received.saturating_add(limit));
        let mut view = ReadWindow { largest_unverified: READ_BUFFER, ..ReadWindow::default() };
        while self.received <= end && self.clock.now() < deadline && !self.watch.is_evicted() {
            let at_once = view.grow(self.received, &self.watch, self.length, memory, 0);
            match self.read(at_once).await {
                Ok(Some(_)) => self.body.discard(),
                Ok(None) | Err(_) => return,
            }
        }
    }
}

/// Returns the milliseconds until the next check, or why reading ends. `waited` is the time since the last byte.
fn check(watch: &Watch, received: u64, reading_ms: u64, waited: u64) -> Result<u64, BodyError> {
    if waited >= BODY_TIMEOUT_MS {
        return Err(BodyError::Idle);
    }
    let idle = BODY_TIMEOUT_MS - waited;
    if watch.is_verified() {
        return Ok(idle);
    }
    if watch.is_evicted() {
        return Err(BodyError::Evicted);
    }
    let wanted = RATE_MIN.saturating_mul(reading_ms.saturating_sub(RATE_GRACE_SECONDS * 1000)) / 1000;
    if received < wanted {
        return Err(BodyError::TooSlow { received, reading_ms });
    }
    Ok(idle.min(WATCH_MS))
}

/// The size of the next read. It grows with the bytes received. Memory in addition to the base cost is reserved.
#[derive(Debug)]
pub struct ReadWindow {
    bytes: usize,
    reserved: u64,
    /// Largest read for a caller who is not verified, in bytes.
    largest_unverified: usize,
    /// Largest read for a verified caller, in bytes.
    largest_verified: usize,
}

impl Default for ReadWindow {
    fn default() -> Self {
        Self { bytes: 0, reserved: 0, largest_unverified: READ_UNVERIFIED, largest_verified: READ_VIEW }
    }
}

impl ReadWindow {
    /// Returns the size of the next read. `buffers` is the number of copies of a parsed chunk that are in memory besides it.
    pub fn grow(
        &mut self,
        received: u64,
        watch: &Watch,
        length: Option<u64>,
        memory: &mut Reservation,
        buffers: usize,
    ) -> usize {
        let most = if watch.is_verified() { self.largest_verified } else { self.largest_unverified };
        let grown = usize::try_from(received.saturating_mul(4)).unwrap_or(most).clamp(READ_START, most);
        let rest = length.map(|length| usize::try_from(length.saturating_sub(received)).unwrap_or(usize::MAX));
        let wanted = rest.map_or(grown, |rest| grown.min(rest.max(READ_START)));
        if wanted > self.bytes.max(READ_START) {
            let cost = (wanted + buffers * wanted.min(READ_BUFFER)) as u64;
            if memory.grow(cost.saturating_sub(self.reserved)).is_ok() {
                (self.bytes, self.reserved) = (wanted, cost.max(self.reserved));
            }
        }
        self.bytes.max(READ_START)
    }

    /// Returns memory that other requests need more, once this one can no longer succeed. The rest of its body is still read.
    pub fn narrow(&mut self, memory: &mut Reservation) {
        if self.largest_verified > READ_BUFFER {
            self.largest_verified = READ_BUFFER;
            self.release(memory);
        }
    }

    /// Returns the reserved memory after the end of the body.
    pub fn release(&mut self, memory: &mut Reservation) {
        memory.shrink(std::mem::take(&mut self.reserved));
        self.bytes = 0;
    }
}

#[cfg(test)]
mod tests;
