//! Waits for memory. When unverified callers have used up their share, the budget evicts some of them, and a request waits for
//! the room that they release.

use futures_util::FutureExt as _;

use super::pace::evicted;
use crate::{
    launch::ports::Clock,
    limits::{ROOM_POLL_MS, ROOM_WAIT_MS},
    memory::{OutOfMemory, Queued, Reservation},
    problem::Refused,
};

/// A request that waits for room.
#[derive(Debug)]
pub struct RoomWait {
    deadline: u64,
    /// Returned after the deadline.
    error: OutOfMemory,
}

impl RoomWait {
    /// Queues for `bytes`.
    pub fn start(memory: &mut Reservation, bytes: u64, error: OutOfMemory, now: u64) -> Self {
        memory.enqueue(bytes, now);
        Self { deadline: now.saturating_add(ROOM_WAIT_MS), error }
    }

    /// Returns the outcome; `None` while the request has to wait.
    pub fn outcome(&self, memory: &mut Reservation, now: u64) -> Option<Result<(), Refused>> {
        match memory.queued(now) {
            Queued::Granted => Some(Ok(())),
            Queued::Evicted => {
                memory.withdraw();
                Some(Err(evicted()))
            }
            Queued::Waiting if now >= self.deadline => {
                memory.withdraw();
                Some(Err(self.error.into()))
            }
            Queued::Waiting => None,
        }
    }
}

/// Reserves `bytes`, after waiting for room if necessary.
pub async fn reserve(memory: &mut Reservation, bytes: u64, clock: &impl Clock) -> Result<(), Refused> {
    let error = match memory.has_room(bytes).then(|| memory.grow(bytes)) {
        Some(Ok(())) => return Ok(()),
        Some(Err(error)) => error,
        None => memory.shortage(bytes),
    };
    wait(memory, bytes, error, clock).boxed_local().await
}

async fn wait(memory: &mut Reservation, bytes: u64, error: OutOfMemory, clock: &impl Clock) -> Result<(), Refused> {
    let waiting = RoomWait::start(memory, bytes, error, clock.now());
    loop {
        if let Some(outcome) = waiting.outcome(memory, clock.now()) {
            outcome?;
            return Ok(memory.grow(bytes)?);
        }
        clock.sleep(ROOM_POLL_MS).await;
    }
}
