//! Accounts for the memory of requests. An isolate has 128 MB for all its concurrent requests, and a failed allocation ends all of
//! them. Bytes are therefore reserved before they are allocated, and a [`Reservation`] returns them when it is dropped.
//!
//! Callers without a verified token share [`Limits::unverified`](crate::limits::Limits::unverified). When that share is used up, a
//! caller can queue for room, and [`Budget`] evicts other unverified requests. An evicted request checks [`Watch::is_evicted`] on
//! its own timer, because the platform forbids one request to touch the I/O of another. An evicted request that returns memory
//! keeps its base cost, so that the rest of its body can be discarded before it is answered ([`Reservation::keep_base`]).

use std::{
    cell::{Cell, RefCell},
    cmp::Reverse,
    collections::VecDeque,
    rc::{Rc, Weak},
};

use crate::{
    limits::{BASE_COST, BASE_ROOM, EVICTABLE_AFTER_MS, EVICTION_PAUSE_MS, RATE_MIN},
    vec_map::VecMap,
};

/// The memory that the requests of one isolate share.
#[derive(Debug)]
pub struct Budget {
    limit: u64,
    unverified_limit: u64,
    reserved: Cell<u64>,
    unverified: Cell<u64>,
    /// Part of `unverified`: attachment data that waits for a token.
    attachments: Cell<u64>,
    /// Part of `unverified`: reserved by requests that were evicted and have not ended yet.
    evicted: Cell<u64>,
    /// The unverified requests, oldest first.
    requests: RefCell<VecMap<u64, Weak<RequestState>>>,
    next_number: Cell<u64>,
    /// Requests for room that could not be granted at once, in order.
    queue: RefCell<VecDeque<Rc<RoomRequest>>>,
    /// Time of the last eviction, in milliseconds since 1970.
    evicted_at: Cell<u64>,
    /// Whether a [`Turn`] is taken.
    turn: Cell<bool>,
}

/// The right to wait for the memory of other verified requests. One request of an isolate has it at a time; the others, which do not
/// wait, return their memory.
#[derive(Debug)]
pub struct Turn(Rc<Budget>);

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.turn.set(false);
    }
}

/// The state that all reservations of one request share.
#[derive(Debug)]
struct RequestState {
    budget: Rc<Budget>,
    number: u64,
    /// Milliseconds since 1970.
    started_at: u64,
    verified: Cell<bool>,
    /// Bytes that were reserved at the time of the eviction; `None` if the request is not evicted.
    evicted: Cell<Option<u64>>,
    /// Bytes reserved by all reservations of the request.
    bytes: Cell<u64>,
    /// Bytes of the body received so far.
    received: Cell<u64>,
}

/// A queued request for room.
#[derive(Debug)]
struct RoomRequest {
    request: Rc<RequestState>,
    bytes: u64,
    granted: Cell<bool>,
}

/// Memory could not be reserved. The caller receives 503. The text is the cause in the operator's log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OutOfMemory {
    #[error("{name}: {requested} bytes requested, {reserved} of {limit} bytes reserved")]
    Limit { name: &'static str, limit: u64, reserved: u64, requested: u64 },
    #[error("a list has more than 4,294,967,295 entries")]
    Entries,
}

impl OutOfMemory {
    /// Returns the bytes that other requests can free by ending; `None` if waiting cannot help this caller.
    pub fn worth_waiting_for(&self) -> Option<u64> {
        match self {
            Self::Limit { name, requested, .. } if *name != ATTACHMENTS_SHARE => Some(*requested),
            _ => None,
        }
    }
}

const MEMORY_LIMIT: &str = "MEMORY_LIMIT";
const UNVERIFIED_LIMIT: &str = "UNVERIFIED_LIMIT";
const ATTACHMENTS_SHARE: &str = "three quarters of UNVERIFIED_LIMIT, for attachments";

impl Budget {
    /// All requests together may reserve `limit` bytes, and unverified callers at most `unverified_limit` of them.
    pub fn new(limit: u64, unverified_limit: u64) -> Rc<Self> {
        Rc::new(Self {
            limit,
            unverified_limit,
            reserved: Cell::new(0),
            unverified: Cell::new(0),
            attachments: Cell::new(0),
            evicted: Cell::new(0),
            requests: RefCell::default(),
            next_number: Cell::new(0),
            queue: RefCell::default(),
            evicted_at: Cell::new(0),
            turn: Cell::new(false),
        })
    }

    /// Bytes reserved by all requests.
    pub fn reserved(&self) -> u64 {
        self.reserved.get()
    }

    /// Whether an unverified caller can reserve `bytes` more.
    fn check_unverified(&self, bytes: u64) -> Result<(), OutOfMemory> {
        check(UNVERIFIED_LIMIT, self.unverified_limit, self.unverified.get(), bytes)?;
        check(MEMORY_LIMIT, self.limit, self.reserved.get(), bytes)
    }

    /// Bytes that unverified callers can still reserve.
    fn free(&self) -> u64 {
        let all = self.limit.saturating_sub(self.reserved.get());
        self.unverified_limit.saturating_sub(self.unverified.get()).min(all)
    }

    /// Grants all queued requests for room that fit, in the order of the queue.
    fn grant(&self) {
        if self.queue.borrow().is_empty() {
            return;
        }
        self.queue.borrow_mut().retain(|room| {
            let fits = self.check_unverified(room.bytes).is_ok();
            if fits {
                room.granted.set(true);
                room.request.reserve(room.bytes);
            }
            !fits
        });
    }

    /// Evicts unverified requests, so that queued requests get room when the evicted ones end. Evicts at most once in
    /// [`EVICTION_PAUSE_MS`].
    fn evict(&self, now: u64) {
        let last = self.evicted_at.get();
        if self.queue.borrow().is_empty() || (last <= now && now - last < EVICTION_PAUSE_MS) {
            return;
        }
        self.evicted_at.set(now);
        let requests = self.requests.borrow();
        let others = requests.iter().filter_map(|(_, request)| request.upgrade());
        let mut candidates = Candidates::new(others, now);
        let mut expected = self.free().saturating_add(self.evicted.get());
        for room in self.queue.borrow().iter().filter(|room| room.request.evicted.get().is_none()) {
            // A request for which others are evicted is not evicted itself. So the first requests of the queue complete.
            candidates.remove(&room.request);
            while expected < room.bytes
                && let Some(request) = candidates.next(room.bytes)
            {
                request.evicted.set(Some(request.bytes.get()));
                add(&self.evicted, request.bytes.get());
                expected = expected.saturating_add(request.returned_bytes());
            }
            if expected >= room.bytes {
                expected -= room.bytes;
            }
        }
    }
}

/// Requests that can be evicted.
struct Candidates {
    /// Requests older than [`EVICTABLE_AFTER_MS`].
    old: Vec<Rc<RequestState>>,
    young: Vec<Rc<RequestState>>,
    now: u64,
}

impl Candidates {
    fn new(requests: impl Iterator<Item = Rc<RequestState>>, now: u64) -> Self {
        let can_end = requests.filter(|request| request.evicted.get().is_none() && request.bytes.get() > 0);
        let (old, young) = can_end.partition(|request| now.saturating_sub(request.started_at) > EVICTABLE_AFTER_MS);
        Self { old, young, now }
    }

    /// Returns the next request to evict: the slowest old one, or the largest young one if that one alone makes enough room.
    /// Young requests below the minimum rate are before all others.
    fn next(&mut self, bytes: u64) -> Option<Rc<RequestState>> {
        let rate = |request: &RequestState| request.rate(self.now);
        let slowest = self.old.iter().min_by_key(|request| (rate(request), request.number));
        let next = slowest.or_else(|| {
            let large = self.young.iter().filter(|request| request.returned_bytes() >= bytes);
            large.max_by_key(|request| (rate(request) < RATE_MIN, request.bytes.get(), Reverse(request.number)))
        });
        let next = Rc::clone(next?);
        self.remove(&next);
        Some(next)
    }

    /// Removes a request from the candidates.
    fn remove(&mut self, request: &Rc<RequestState>) {
        let others = |other: &Rc<RequestState>| !Rc::ptr_eq(other, request);
        if request.bytes.get() > 0 {
            self.old.retain(others);
            self.young.retain(others);
        }
    }
}

fn check(name: &'static str, limit: u64, reserved: u64, requested: u64) -> Result<(), OutOfMemory> {
    let fits = reserved.checked_add(requested).is_some_and(|sum| sum <= limit);
    if fits { Ok(()) } else { Err(OutOfMemory::Limit { name, limit, reserved, requested }) }
}

fn add(cell: &Cell<u64>, bytes: u64) {
    cell.set(cell.get().saturating_add(bytes));
}

fn subtract(cell: &Cell<u64>, bytes: u64) {
    cell.set(cell.get().saturating_sub(bytes));
}

impl RequestState {
    /// Average rate since the start of the request, in bytes a second.
    fn rate(&self, now: u64) -> u64 {
        let age = now.saturating_sub(self.started_at).max(1);
        self.received.get().saturating_mul(1000) / age
    }

    /// Bytes that the request returns if it is evicted.
    fn returned_bytes(&self) -> u64 {
        let bytes = self.bytes.get();
        if bytes > BASE_COST { bytes - BASE_COST } else { bytes }
    }

    fn check(&self, bytes: u64) -> Result<(), OutOfMemory> {
        if self.verified.get() {
            let limit = self.budget.limit.saturating_sub(BASE_ROOM.min(self.budget.limit / 64));
            return check(MEMORY_LIMIT, limit, self.budget.reserved.get(), bytes);
        }
        self.budget.check_unverified(bytes)
    }

    fn reserve(&self, bytes: u64) {
        add(&self.bytes, bytes);
        add(&self.budget.reserved, bytes);
        if !self.verified.get() {
            add(&self.budget.unverified, bytes);
        }
        if self.evicted.get().is_some() {
            add(&self.budget.evicted, bytes);
        }
    }

    fn release(&self, bytes: u64) {
        subtract(&self.bytes, bytes);
        subtract(&self.budget.reserved, bytes);
        if !self.verified.get() {
            subtract(&self.budget.unverified, bytes);
        }
        if self.evicted.get().is_some() {
            subtract(&self.budget.evicted, bytes);
        }
        self.budget.grant();
    }
}

impl Drop for RequestState {
    fn drop(&mut self) {
        self.budget.requests.borrow_mut().remove(&self.number);
    }
}

/// Memory reserved by one request. A request can have several reservations.
#[derive(Debug)]
pub struct Reservation {
    request: Rc<RequestState>,
    bytes: u64,
    /// Part of `bytes`: reserved in advance, and used up by [`Reservation::grow`].
    credit: u64,
    /// Part of `bytes`: attachment data that was reserved while the caller was unverified.
    attachments: u64,
    room: Option<Rc<RoomRequest>>,
}

/// The state of a queued request for room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Queued {
    /// The room is reserved.
    Granted,
    /// Still waiting.
    Waiting,
    /// The waiting request was evicted.
    Evicted,
}

/// A view of a request's state, for its own timers.
#[derive(Debug, Clone)]
pub struct Watch(Rc<RequestState>);

impl Watch {
    pub fn is_verified(&self) -> bool {
        self.0.verified.get()
    }

    /// Whether the request has to end to make room for others.
    pub fn is_evicted(&self) -> bool {
        self.0.evicted.get().is_some()
    }

    /// Counts received bytes of the body. The slowest unverified requests are evicted first.
    pub fn count_received(&self, bytes: u64) {
        add(&self.0.received, bytes);
    }
}

impl Reservation {
    /// Returns an empty reservation for a request that starts at `now` (milliseconds since 1970). Its caller is not verified yet.
    pub fn new(budget: &Rc<Budget>, now: u64) -> Self {
        let reservation = Self::with_state(budget, now, false);
        let request = &reservation.request;
        budget.requests.borrow_mut().insert(request.number, Rc::downgrade(request));
        reservation
    }

    /// Returns an empty reservation for internal work. It counts as verified.
    pub fn verified(budget: &Rc<Budget>) -> Self {
        Self::with_state(budget, 0, true)
    }

    fn with_state(budget: &Rc<Budget>, started_at: u64, verified: bool) -> Self {
        let number = budget.next_number.get();
        budget.next_number.set(number.wrapping_add(1));
        let request = Rc::new(RequestState {
            budget: Rc::clone(budget),
            number,
            started_at,
            verified: Cell::new(verified),
            evicted: Cell::new(None),
            bytes: Cell::new(0),
            received: Cell::new(0),
        });
        Self::of(request)
    }

    fn of(request: Rc<RequestState>) -> Self {
        Self { request, bytes: 0, credit: 0, attachments: 0, room: None }
    }

    /// Returns another, empty reservation of the same request.
    #[must_use]
    pub fn sibling(&self) -> Self {
        Self::of(Rc::clone(&self.request))
    }

    pub fn watch(&self) -> Watch {
        Watch(Rc::clone(&self.request))
    }

    /// Reserves `bytes` more.
    pub fn grow(&mut self, bytes: u64) -> Result<(), OutOfMemory> {
        let from_credit = bytes.min(self.credit);
        let rest = bytes - from_credit;
        self.request.check(rest)?;
        self.credit -= from_credit;
        self.request.reserve(rest);
        self.bytes = self.bytes.saturating_add(rest);
        Ok(())
    }

    /// Returns `bytes` to the budget, or everything if less is reserved.
    pub fn shrink(&mut self, bytes: u64) {
        let bytes = bytes.min(self.bytes);
        self.bytes -= bytes;
        self.request.release(bytes);
    }

    /// Changes the size of the reservation to `bytes`.
    pub fn resize(&mut self, bytes: u64) -> Result<(), OutOfMemory> {
        if bytes > self.bytes {
            return self.grow(bytes - self.bytes);
        }
        self.shrink(self.bytes - bytes);
        Ok(())
    }

    /// Reserves `bytes` for attachment data. Attachment data of unverified callers uses at most three quarters of their share. The
    /// caller returns `replaced` bytes right after this call, when their content is copied to the new memory.
    pub fn grow_attachments(&mut self, bytes: u64, replaced: u64) -> Result<(), OutOfMemory> {
        let budget = Rc::clone(&self.request.budget);
        let is_unverified = !self.request.verified.get();
        if is_unverified {
            let limit = budget.unverified_limit / 4 * 3;
            check(ATTACHMENTS_SHARE, limit, budget.attachments.get().saturating_sub(replaced), bytes)?;
        }
        self.grow(bytes)?;
        if is_unverified {
            self.attachments = self.attachments.saturating_add(bytes);
            add(&budget.attachments, bytes);
        }
        Ok(())
    }

    /// Returns `bytes` of attachment data to the budget.
    pub fn shrink_attachments(&mut self, bytes: u64) {
        let counted = bytes.min(self.attachments);
        self.attachments -= counted;
        subtract(&self.request.budget.attachments, counted);
        self.shrink(bytes);
    }

    /// Marks the caller as verified. The memory of the request no longer counts as unverified, and the request cannot be evicted.
    pub fn verify(&mut self) {
        let (request, budget) = (&self.request, Rc::clone(&self.request.budget));
        subtract(&budget.attachments, std::mem::take(&mut self.attachments));
        if request.verified.replace(true) {
            return;
        }
        budget.requests.borrow_mut().remove(&request.number);
        subtract(&budget.unverified, request.bytes.get());
        if request.evicted.take().is_some() {
            subtract(&budget.evicted, request.bytes.get());
        }
        budget.grant();
    }

    /// Ends the eviction of a refused request that has returned all memory but its base cost, which is in this reservation. The
    /// rest of the body can then be read until the request is evicted again. Has no effect if the request has returned nothing.
    pub fn keep_base(&mut self) {
        let request = &self.request;
        if request.evicted.get().is_some_and(|before| before > request.bytes.get()) {
            request.evicted.set(None);
            subtract(&request.budget.evicted, request.bytes.get());
        }
    }

    /// Takes the turn of the isolate, unless another request has it.
    pub fn take_turn(&self) -> Option<Turn> {
        let budget = &self.request.budget;
        (!budget.turn.replace(true)).then(|| Turn(Rc::clone(budget)))
    }

    /// Bytes reserved by this reservation.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Whether `bytes` more can be reserved now. Unverified callers have no room while others queue.
    pub fn has_room(&self, bytes: u64) -> bool {
        let is_first = self.request.verified.get() || self.request.budget.queue.borrow().is_empty();
        is_first && self.request.check(bytes).is_ok()
    }

    /// Returns the error of a caller for whom there is no room, or who must wait until others have got theirs.
    pub fn shortage(&self, requested: u64) -> OutOfMemory {
        let budget = &self.request.budget;
        let (limit, reserved) = (budget.unverified_limit, budget.unverified.get());
        let queued = OutOfMemory::Limit { name: UNVERIFIED_LIMIT, limit, reserved, requested };
        self.request.check(requested).err().unwrap_or(queued)
    }

    /// Bytes that this caller could still reserve if no other caller were unverified.
    pub fn most(&self) -> u64 {
        self.request.budget.unverified_limit.saturating_sub(self.request.bytes.get())
    }

    /// Queues for `bytes`, and evicts other requests if there is no room. [`Reservation::queued`] returns the outcome.
    pub fn enqueue(&mut self, bytes: u64, now: u64) {
        self.withdraw();
        let room = Rc::new(RoomRequest { request: Rc::clone(&self.request), bytes, granted: Cell::new(false) });
        self.room = Some(Rc::clone(&room));
        let budget = &self.request.budget;
        budget.queue.borrow_mut().push_back(room);
        budget.grant();
        budget.evict(now);
    }

    /// Returns the state of the queued request. Granted bytes become a credit, which [`Reservation::grow`] uses first.
    pub fn queued(&mut self, now: u64) -> Queued {
        let Some(room) = &self.room else { return Queued::Granted };
        if room.granted.get() {
            self.bytes = self.bytes.saturating_add(room.bytes);
            self.credit = self.credit.saturating_add(room.bytes);
            self.room = None;
            return Queued::Granted;
        }
        if self.request.evicted.get().is_some() {
            return Queued::Evicted;
        }
        self.request.budget.evict(now);
        Queued::Waiting
    }

    /// Leaves the queue, and returns room that was granted.
    pub fn withdraw(&mut self) {
        let Some(room) = self.room.take() else { return };
        if room.granted.get() {
            return self.request.release(room.bytes);
        }
        self.request.budget.queue.borrow_mut().retain(|other| !Rc::ptr_eq(other, &room));
        self.request.budget.grant();
    }

    /// Returns the unused credit to the budget.
    pub fn release_credit(&mut self) {
        let credit = std::mem::take(&mut self.credit);
        self.shrink(credit);
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.withdraw();
        subtract(&self.request.budget.attachments, self.attachments);
        self.shrink(self.bytes);
    }
}

#[cfg(test)]
mod tests;
