//! Accounting of the memory that requests hold. An isolate has 128 MB for all its concurrent requests, and a failed allocation
//! ends all of them. So bytes are reserved before they are allocated, and a [`Reservation`] returns them when it is dropped.
//!
//! Callers without a verified token share [`Limits::unverified`](crate::limits::Limits::unverified). When it is used up,
//! a caller can queue for room: [`Budget`] then evicts other unverified requests. An evicted request sees
//! [`Watch::is_evicted`] on a timer of its own, because nothing may touch another request's I/O. It keeps its base cost if it
//! has more to return, so that the rest of its body can be discarded before it is answered ([`Reservation::keep_base`]).

use std::{
    cell::{Cell, RefCell},
    cmp::Reverse,
    collections::{BTreeMap, VecDeque},
    rc::{Rc, Weak},
};

use crate::limits::{BASE_COST, BASE_ROOM, EVICTABLE_AFTER_MS, EVICTION_PAUSE_MS, RATE_MIN};

/// The memory that the requests of one isolate share.
#[derive(Debug)]
pub struct Budget {
    limit: u64,
    unverified_limit: u64,
    reserved: Cell<u64>,
    unverified: Cell<u64>,
    /// Part of `unverified`: attachments held until the token is known.
    attachments: Cell<u64>,
    /// Part of `unverified`: reserved by requests that were evicted and have not ended yet.
    evicted: Cell<u64>,
    /// The unverified requests, oldest first.
    holders: RefCell<BTreeMap<u64, Weak<RequestState>>>,
    next_number: Cell<u64>,
    /// Requests for room that could not be granted at once, in order.
    queue: RefCell<VecDeque<Rc<RoomRequest>>>,
    /// When requests were evicted last.
    evicted_at: Cell<u64>,
}

/// One request, as the budget sees it.
#[derive(Debug)]
struct RequestState {
    budget: Rc<Budget>,
    number: u64,
    /// Milliseconds since 1970.
    started_at: u64,
    verified: Cell<bool>,
    /// What it had reserved when it was evicted, in bytes.
    evicted: Cell<Option<u64>>,
    /// Bytes reserved by all reservations of the request.
    bytes: Cell<u64>,
    /// Bytes of the body received so far.
    received: Cell<u64>,
}

/// A queued request for room.
#[derive(Debug)]
struct RoomRequest {
    holder: Rc<RequestState>,
    bytes: u64,
    granted: Cell<bool>,
}

/// Memory could not be reserved. The caller gets 503; the text is the cause for the operator's log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OutOfMemory {
    #[error("{name}: {requested} bytes requested, {reserved} of {limit} bytes reserved")]
    Limit { name: &'static str, limit: u64, reserved: u64, requested: u64 },
    #[error("a list has more than 4,294,967,295 entries")]
    Entries,
}

impl OutOfMemory {
    /// Bytes that can become free when other requests end; `None` if no amount of waiting helps this caller.
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
    /// A budget of `limit` bytes. All unverified callers together may reserve `unverified_limit` of them.
    pub fn new(limit: u64, unverified_limit: u64) -> Rc<Self> {
        Rc::new(Self {
            limit,
            unverified_limit,
            reserved: Cell::new(0),
            unverified: Cell::new(0),
            attachments: Cell::new(0),
            evicted: Cell::new(0),
            holders: RefCell::default(),
            next_number: Cell::new(0),
            queue: RefCell::default(),
            evicted_at: Cell::new(0),
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

    /// Grants queued requests for room that fit, in order.
    fn grant(&self) {
        if self.queue.borrow().is_empty() {
            return;
        }
        self.queue.borrow_mut().retain(|ask| {
            let fits = self.check_unverified(ask.bytes).is_ok();
            if fits {
                ask.granted.set(true);
                ask.holder.reserve(ask.bytes);
            }
            !fits
        });
    }

    /// Evicts unverified requests, so that those that queue have room when the evicted ones end. Does so at most every
    /// [`EVICTION_PAUSE_MS`].
    fn evict(&self, now: u64) {
        let last = self.evicted_at.get();
        if self.queue.borrow().is_empty() || (last <= now && now - last < EVICTION_PAUSE_MS) {
            return;
        }
        self.evicted_at.set(now);
        let holders = self.holders.borrow();
        let others = holders.values().filter_map(Weak::upgrade);
        let mut candidates = Candidates::new(others, now);
        let mut coming = self.free().saturating_add(self.evicted.get());
        for ask in self.queue.borrow().iter().filter(|ask| ask.holder.evicted.get().is_none()) {
            // A request for which others are evicted stays: of those that wait for room, the first ones complete.
            candidates.keep(&ask.holder);
            while coming < ask.bytes
                && let Some(holder) = candidates.next(ask.bytes)
            {
                holder.evicted.set(Some(holder.bytes.get()));
                add(&self.evicted, holder.bytes.get());
                coming = coming.saturating_add(holder.returns());
            }
            if coming >= ask.bytes {
                coming -= ask.bytes;
            }
        }
    }
}

/// Requests that can be evicted, in the order in which they are.
struct Candidates {
    /// Older than [`EVICTABLE_AFTER_MS`], the slowest last.
    old: Vec<Rc<RequestState>>,
    /// Younger ones, the largest last; those below the minimum rate after all others.
    young: Vec<Rc<RequestState>>,
}

impl Candidates {
    fn new(holders: impl Iterator<Item = Rc<RequestState>>, now: u64) -> Self {
        let can_end = holders.filter(|holder| holder.evicted.get().is_none() && holder.bytes.get() > 0);
        let (mut old, mut young): (Vec<_>, Vec<_>) =
            can_end.partition(|holder| now.saturating_sub(holder.started_at) > EVICTABLE_AFTER_MS);
        old.sort_by_cached_key(|holder| Reverse((holder.rate(now), holder.number)));
        young.sort_by_cached_key(|holder| (holder.rate(now) < RATE_MIN, holder.bytes.get(), Reverse(holder.number)));
        Self { old, young }
    }

    /// The next request to evict: the slowest old one; or the largest young one, if it alone makes enough room.
    fn next(&mut self, bytes: u64) -> Option<Rc<RequestState>> {
        self.old.pop().or_else(|| {
            let at = self.young.iter().rposition(|holder| holder.returns() >= bytes)?;
            Some(self.young.remove(at))
        })
    }

    /// Does not evict that request.
    fn keep(&mut self, holder: &Rc<RequestState>) {
        let others = |other: &Rc<RequestState>| !Rc::ptr_eq(other, holder);
        if holder.bytes.get() > 0 {
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
    /// Average rate in bytes a second since the request began.
    fn rate(&self, now: u64) -> u64 {
        let age = now.saturating_sub(self.started_at).max(1);
        self.received.get().saturating_mul(1000) / age
    }

    /// Bytes that the request returns when it is evicted.
    fn returns(&self) -> u64 {
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
        self.budget.holders.borrow_mut().remove(&self.number);
    }
}

/// Memory reserved by one request. A request can have several, which share its state.
#[derive(Debug)]
pub struct Reservation {
    holder: Rc<RequestState>,
    bytes: u64,
    /// Part of `bytes`: reserved in advance, and used up by [`Reservation::grow`].
    credit: u64,
    /// Part of `bytes`: attachments of a caller that was unverified when they were reserved.
    attachments: u64,
    ask: Option<Rc<RoomRequest>>,
}

/// The state of a queued request for room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Queued {
    /// The room is reserved.
    Granted,
    /// Still waiting.
    Waiting,
    /// The request that waits has itself been evicted.
    Evicted,
}

/// A view of a request's state, for its own timers.
#[derive(Debug, Clone)]
pub struct Watch(Rc<RequestState>);

impl Watch {
    /// Whether the caller's token is verified.
    pub fn is_verified(&self) -> bool {
        self.0.verified.get()
    }

    /// Whether the request has to end to make room for others.
    pub fn is_evicted(&self) -> bool {
        self.0.evicted.get().is_some()
    }

    /// Counts bytes of the body: among unverified requests the slowest are evicted first.
    pub fn count_received(&self, bytes: u64) {
        add(&self.0.received, bytes);
    }
}

impl Reservation {
    /// An empty reservation of a request that began at `now` (milliseconds since 1970), of a caller not verified yet.
    pub fn new(budget: &Rc<Budget>, now: u64) -> Self {
        let reservation = Self::with_state(budget, now, false);
        let holder = &reservation.holder;
        budget.holders.borrow_mut().insert(holder.number, Rc::downgrade(holder));
        reservation
    }

    /// An empty reservation that does not depend on a caller's token.
    pub fn verified(budget: &Rc<Budget>) -> Self {
        Self::with_state(budget, 0, true)
    }

    fn with_state(budget: &Rc<Budget>, started_at: u64, verified: bool) -> Self {
        let number = budget.next_number.get();
        budget.next_number.set(number.wrapping_add(1));
        let holder = Rc::new(RequestState {
            budget: Rc::clone(budget),
            number,
            started_at,
            verified: Cell::new(verified),
            evicted: Cell::new(None),
            bytes: Cell::new(0),
            received: Cell::new(0),
        });
        Self::of(holder)
    }

    fn of(holder: Rc<RequestState>) -> Self {
        Self { holder, bytes: 0, credit: 0, attachments: 0, ask: None }
    }

    /// Another, empty reservation of the same request.
    #[must_use]
    pub fn sibling(&self) -> Self {
        Self::of(Rc::clone(&self.holder))
    }

    /// A view of the request's state.
    pub fn watch(&self) -> Watch {
        Watch(Rc::clone(&self.holder))
    }

    /// Reserves `bytes` more.
    pub fn grow(&mut self, bytes: u64) -> Result<(), OutOfMemory> {
        let from_credit = bytes.min(self.credit);
        let rest = bytes - from_credit;
        self.holder.check(rest)?;
        self.credit -= from_credit;
        self.holder.reserve(rest);
        self.bytes = self.bytes.saturating_add(rest);
        Ok(())
    }

    /// Returns `bytes`, or all that is reserved if that is less.
    pub fn shrink(&mut self, bytes: u64) {
        let bytes = bytes.min(self.bytes);
        self.bytes -= bytes;
        self.holder.release(bytes);
    }

    /// Reserves `bytes` instead of what is reserved now.
    pub fn resize(&mut self, bytes: u64) -> Result<(), OutOfMemory> {
        if bytes > self.bytes {
            return self.grow(bytes - self.bytes);
        }
        self.shrink(self.bytes - bytes);
        Ok(())
    }

    /// Reserves `bytes` for attachments. Those of unverified callers use at most three quarters of their share. `replaced`
    /// bytes are returned right after: their content is copied into the new memory.
    pub fn grow_attachments(&mut self, bytes: u64, replaced: u64) -> Result<(), OutOfMemory> {
        let budget = Rc::clone(&self.holder.budget);
        let is_unverified = !self.holder.verified.get();
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

    /// Returns `bytes` of attachments.
    pub fn shrink_attachments(&mut self, bytes: u64) {
        let counted = bytes.min(self.attachments);
        self.attachments -= counted;
        subtract(&self.holder.budget.attachments, counted);
        self.shrink(bytes);
    }

    /// The caller's token is valid: what the request holds no longer counts as unverified, and it cannot be evicted.
    pub fn verify(&mut self) {
        let (holder, budget) = (&self.holder, Rc::clone(&self.holder.budget));
        subtract(&budget.attachments, std::mem::take(&mut self.attachments));
        if holder.verified.replace(true) {
            return;
        }
        budget.holders.borrow_mut().remove(&holder.number);
        subtract(&budget.unverified, holder.bytes.get());
        if holder.evicted.take().is_some() {
            subtract(&budget.evicted, holder.bytes.get());
        }
        budget.grant();
    }

    /// The request has been refused and holds its base cost alone, in this reservation. If it was evicted and has returned
    /// anything, it has made room: until it is evicted again, the rest of its body can be read.
    pub fn keep_base(&mut self) {
        let holder = &self.holder;
        if holder.evicted.get().is_some_and(|before| before > holder.bytes.get()) {
            holder.evicted.set(None);
            subtract(&holder.budget.evicted, holder.bytes.get());
        }
    }

    /// Bytes reserved by this reservation.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Whether `bytes` more could be reserved now, if nobody queues for room.
    pub fn has_room(&self, bytes: u64) -> bool {
        let is_first = self.holder.verified.get() || self.holder.budget.queue.borrow().is_empty();
        is_first && self.holder.check(bytes).is_ok()
    }

    /// The error of a caller for whom there is no room, or who is not the first to want it.
    pub fn shortage(&self, requested: u64) -> OutOfMemory {
        let budget = &self.holder.budget;
        let (limit, reserved) = (budget.unverified_limit, budget.unverified.get());
        let queued = OutOfMemory::Limit { name: UNVERIFIED_LIMIT, limit, reserved, requested };
        self.holder.check(requested).err().unwrap_or(queued)
    }

    /// The most that this caller could get if it were the only unverified one.
    pub fn most(&self) -> u64 {
        self.holder.budget.unverified_limit.saturating_sub(self.holder.bytes.get())
    }

    /// Queues for `bytes`, and evicts others if there is no room for them. [`Reservation::queued`] returns the outcome.
    pub fn enqueue(&mut self, bytes: u64, now: u64) {
        self.withdraw();
        let ask = Rc::new(RoomRequest { holder: Rc::clone(&self.holder), bytes, granted: Cell::new(false) });
        self.ask = Some(Rc::clone(&ask));
        let budget = &self.holder.budget;
        budget.queue.borrow_mut().push_back(ask);
        budget.grant();
        budget.evict(now);
    }

    /// The state of the queued request. Granted bytes become a credit, on which [`Reservation::grow`] draws first.
    pub fn queued(&mut self, now: u64) -> Queued {
        let Some(ask) = &self.ask else { return Queued::Granted };
        if ask.granted.get() {
            self.bytes = self.bytes.saturating_add(ask.bytes);
            self.credit = self.credit.saturating_add(ask.bytes);
            self.ask = None;
            return Queued::Granted;
        }
        if self.holder.evicted.get().is_some() {
            return Queued::Evicted;
        }
        self.holder.budget.evict(now);
        Queued::Waiting
    }

    /// Leaves the queue.
    pub fn withdraw(&mut self) {
        let Some(ask) = self.ask.take() else { return };
        if ask.granted.get() {
            return self.holder.release(ask.bytes);
        }
        self.holder.budget.queue.borrow_mut().retain(|other| !Rc::ptr_eq(other, &ask));
        self.holder.budget.grant();
    }

    /// Returns what is left of the credit.
    pub fn release_credit(&mut self) {
        let credit = std::mem::take(&mut self.credit);
        self.shrink(credit);
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.withdraw();
        subtract(&self.holder.budget.attachments, self.attachments);
        self.shrink(self.bytes);
    }
}

#[cfg(test)]
mod tests;
