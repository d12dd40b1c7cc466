//! The state against a model: every schedule of answers, crashes and operators' actions keeps the promises of a delivery.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::limits::DELIVERY_RETRY_MS;

fn sent(page: PageNumber, state: &DeliveryState) -> SentPage {
    SentPage { page, epoch: state.epoch() }
}

fn attempt(page: PageNumber, at: u64, status: Option<u16>) -> Attempt {
    let PageNumber { sequence, page } = page;
    let webhook_id = format!("launch{sequence}_{page}");
    Attempt { webhook_id, sequence, page, at, duration_ms: 5, status, error: None }
}

fn answer(status: u16) -> AttemptAnswer {
    AttemptAnswer::Status { status, retry_after_ms: None }
}

fn page(sequence: u64, page: u64) -> PageNumber {
    PageNumber { sequence, page }
}

fn at(now: u64, last: u64) -> Circumstances {
    Circumstances { now, last, ordering: Ordering::Strict, is_active: true }
}

/// Sends the next page, and records the status of the answer.
fn deliver(state: &mut DeliveryState, at: Circumstances, pages: u64, status: u16) -> PageNumber {
    let mut step = state.next_step(at);
    if let NextStep::Begin(sequence) = step {
        state.begin(sequence, pages);
        step = state.next_step(at);
    }
    let NextStep::Send(page) = step else { panic!("{step:?}") };
    let request = sent(page, state);
    state.record(&request, attempt(page, at.now, Some(status)), &answer(status), at.now, 32_768);
    page
}

#[test]
fn delivery_begins_with_the_next_launch() {
    let mut state = DeliveryState::new(5);
    assert_eq!(state.next_step(at(0, 5)), NextStep::Idle);
    assert_eq!((state.delivered_through(), state.status(at(0, 5))), (None, DeliveryStatus::Idle));
    assert_eq!(state.status(at(0, 6)), DeliveryStatus::Delivering);
    assert_eq!(deliver(&mut state, at(0, 6), 1, 204), page(6, 1));
    assert_eq!((state.delivered_through(), state.status(at(0, 6))), (Some(6), DeliveryStatus::Idle));
}

#[test]
fn three_pages_of_a_launch_are_sent_at_once_and_in_order() {
    let mut state = DeliveryState::new(0);
    assert_eq!(state.next_step(at(0, 2)), NextStep::Begin(1));
    state.begin(1, 5);
    for number in 1..=3 {
        assert_eq!(state.next_step(at(0, 2)), NextStep::Send(page(1, number)));
    }
    assert_eq!(state.next_step(at(0, 2)), NextStep::Idle);
    let request = sent(page(1, 2), &state);
    state.record(&request, attempt(page(1, 2), 0, Some(200)), &answer(200), 0, 0);
    assert_eq!(state.next_step(at(0, 2)), NextStep::Send(page(1, 4)));
    assert_eq!(state.delivered_through(), None);
}

#[test]
fn a_page_that_fails_is_sent_again_until_the_delivery_stops() {
    let mut state = DeliveryState::new(0);
    let mut now = 1_000_000;
    for (failures, delay) in (1..).zip(DELIVERY_RETRY_MS) {
        assert_eq!(deliver(&mut state, at(now, 1), 1, 500), page(1, 1));
        let NextStep::WaitUntil(due) = state.next_step(at(now, 1)) else { panic!("{failures}") };
        assert!(due.abs_diff(now + delay) <= delay / 1000, "{failures}: {} instead of {delay}", due - now);
        assert_eq!((state.status(at(now, 1)), state.next_attempt_at()), (DeliveryStatus::Retrying, Some(due)));
        assert_eq!(state.failing_since(), Some(1_000_000));
        now = due;
    }
    assert_eq!(deliver(&mut state, at(now, 1), 1, 500), page(1, 1));
    assert_eq!(state.next_step(at(now + 1_000_000_000, 1)), NextStep::Idle);
    assert_eq!((state.status(at(now, 1)), state.next_attempt_at()), (DeliveryStatus::Stopped, None));
    state.resume();
    assert_eq!(deliver(&mut state, at(now, 1), 1, 200), page(1, 1));
    assert_eq!((state.status(at(now, 1)), state.failing_since()), (DeliveryStatus::Idle, None));
}

#[test]
fn a_receiver_that_is_gone_stops_the_delivery_at_once() {
    let mut state = DeliveryState::new(0);
    deliver(&mut state, at(0, 1), 1, 410);
    assert!(state.is_stopped());
    assert_eq!(state.next_step(at(u64::MAX / 2, 1)), NextStep::Idle);
    assert_eq!(state.skip(), Ok(page(1, 1)));
    state.resume();
    assert_eq!((state.next_step(at(0, 1)), state.skip()), (NextStep::Idle, Err(NothingBlocked)));
}

#[test]
fn a_replay_ignores_the_answers_to_earlier_requests() {
    let mut state = DeliveryState::new(0);
    deliver(&mut state, at(0, 2), 1, 200);
    state.begin(2, 1);
    assert_eq!(state.next_step(at(0, 2)), NextStep::Send(page(2, 1)));
    let before = sent(page(2, 1), &state);
    state.replay(0);
    assert_eq!(state.delivered_through(), None);
    assert_eq!(deliver(&mut state, at(0, 2), 1, 200), page(1, 1));
    state.begin(2, 1);
    assert_eq!(state.next_step(at(0, 2)), NextStep::Send(page(2, 1)));
    state.record(&before, attempt(page(2, 1), 0, Some(200)), &answer(200), 0, 0);
    assert_eq!(state.delivered_through(), Some(1), "the page is still in progress");
    assert_eq!(state.attempts(100).count(), 3);
}

#[test]
fn launches_that_retention_removes_before_they_are_delivered_are_counted() {
    let mut state = DeliveryState::new(0);
    deliver(&mut state, at(0, 9), 1, 200);
    deliver(&mut state, at(0, 9), 1, 500);
    assert_eq!(state.expire(1), 0);
    assert_eq!(state.expire(4), 3);
    assert_eq!((state.expired(), state.delivered_through()), (3, Some(4)));
    assert_eq!(deliver(&mut state, at(0, 9), 1, 200), page(5, 1));
}

#[test]
fn a_page_is_not_delayed_by_a_clock_that_was_set_back() {
    let mut state = DeliveryState::new(0);
    deliver(&mut state, at(1_000_000_000_000, 1), 1, 500);
    let NextStep::WaitUntil(due) = state.next_step(at(0, 1)) else { panic!() };
    assert!(due <= longest_delay(1));
}

#[test]
fn the_last_hundred_attempts_are_kept() {
    let mut state = DeliveryState::new(0);
    for _ in 0..150 {
        deliver(&mut state, at(0, 150), 1, 200);
    }
    let sequences: Vec<u64> = state.attempts(200).map(|attempt| attempt.sequence).collect();
    assert_eq!(sequences, (51..=150).rev().collect::<Vec<_>>());
    assert_eq!(state.attempts(2).count(), 2);
}

/// Pinned: an object that restarts reads it.
#[test]
fn the_stored_state_is_pinned() {
    let mut state = DeliveryState::new(7);
    deliver(&mut state, at(1_000, 8), 2, 503);
    let json = r#"{"start":7,"begun":8,"launches":[{"sequence":8,"pages":2,"sent":1,"outstanding":[{"page":1,"failures":1,"due":6000}]}],"expired":0,"is_stopped":false,"failing_since":1000,"last_status":503,"last_error":null,"attempts":[{"webhook_id":"launch8_1","sequence":8,"page":1,"at":1000,"duration_ms":5,"status":503,"error":null}],"epoch":0}"#;
    assert_eq!(serde_json::to_string(&state).unwrap(), json);
    assert_eq!(serde_json::from_str::<DeliveryState>(json).unwrap(), state);
}

/// A source of random numbers (SplitMix64).
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % limit
    }

    fn once_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }
}

/// A campaign with a webhook, its receiver, and what the receiver has seen.
struct Model {
    random: Random,
    ordering: Ordering,
    now: u64,
    /// The pages of each launch; launch 1 is first.
    pages: Vec<u64>,
    removed: u64,
    is_active: bool,
    state: DeliveryState,
    stored: String,
    /// Requests without an answer.
    in_progress: Vec<SentPage>,
    /// Pages that do not have to be delivered any more: the receiver has them, or an operator has skipped them.
    done: BTreeSet<PageNumber>,
    /// Pages that were sent since the last replay, each with the times of its sending.
    sent: BTreeMap<PageNumber, u64>,
    /// Whether an object that restarts now would find the delivery stopped.
    is_stored_as_stopped: bool,
}

impl Model {
    fn new(seed: u64) -> Self {
        let mut random = Random(seed);
        let ordering = if random.once_in(2) { Ordering::Strict } else { Ordering::Relaxed };
        let state = DeliveryState::new(0);
        let stored = serde_json::to_string(&state).unwrap();
        Self {
            random,
            ordering,
            now: 1_000_000_000,
            pages: Vec::new(),
            removed: 0,
            is_active: true,
            state,
            stored,
            in_progress: Vec::new(),
            done: BTreeSet::new(),
            sent: BTreeMap::new(),
            is_stored_as_stopped: false,
        }
    }

    fn last(&self) -> u64 {
        self.pages.len() as u64
    }

    fn circumstances(&self) -> Circumstances {
        Circumstances { now: self.now, last: self.last(), ordering: self.ordering, is_active: self.is_active }
    }

    fn pages_of(&self, sequence: u64) -> u64 {
        self.pages[usize::try_from(sequence).unwrap() - 1]
    }

    /// Whether all pages of the launches up to `sequence` are done.
    fn is_done_through(&self, sequence: u64) -> bool {
        (self.removed + 1..=sequence)
            .all(|launch| (1..=self.pages_of(launch)).all(|number| self.done.contains(&page(launch, number))))
    }

    fn store(&mut self) {
        self.stored = serde_json::to_string(&self.state).unwrap();
        self.is_stored_as_stopped = self.state.is_stopped();
    }

    /// Sends everything that can be sent now. The object can end before and after each request.
    fn work(&mut self, crashes: bool) {
        loop {
            match self.state.next_step(self.circumstances()) {
                NextStep::Begin(sequence) => {
                    assert!(sequence > self.removed);
                    self.state.begin(sequence, self.pages_of(sequence));
                }
                NextStep::Send(page) => {
                    if crashes && self.random.once_in(40) {
                        return self.crash();
                    }
                    self.check_order(page);
                    assert!(
                        self.is_active && !self.is_stored_as_stopped,
                        "{page:?} was sent after the delivery stopped"
                    );
                    *self.sent.entry(page).or_default() += 1;
                    self.in_progress.push(sent(page, &self.state));
                    assert!(self.state.outstanding().filter(|page| page.is_in_progress).count() <= 3);
                    if crashes && self.random.once_in(40) {
                        return self.crash();
                    }
                }
                NextStep::WaitUntil(due) => {
                    assert!(due > self.now);
                    return;
                }
                NextStep::Idle => {
                    let waits = self.state.outstanding().any(|page| page.is_in_progress);
                    let may_rest = self.state.is_stopped() || !self.is_active || waits;
                    assert!(may_rest || self.state.delivered() == self.last(), "a due time is missing");
                    return;
                }
            }
        }
    }

    fn check_order(&self, page: PageNumber) {
        if self.sent.contains_key(&page) {
            return;
        }
        match self.ordering {
            Ordering::Strict => assert!(self.is_done_through(page.sequence - 1), "{page:?} before an earlier launch"),
            Ordering::Relaxed => {
                assert!(self.is_done_through(page.sequence.saturating_sub(4)), "{page:?}: five launches at once");
                let first = self.state.start.max(self.removed) + 1;
                let earlier =
                    (first..page.sequence).all(|sequence| self.sent.contains_key(&PageNumber { sequence, page: 1 }));
                assert!(earlier, "{page:?} began before an earlier launch");
            }
        }
        if page.page > 1 {
            assert!(self.sent.contains_key(&PageNumber { page: page.page - 1, ..page }));
        }
    }

    fn crash(&mut self) {
        self.state = serde_json::from_str(&self.stored).unwrap();
        self.state.forget_requests();
        self.in_progress.clear();
        // Retention stores what it removes before the state of the delivery.
        self.state.expire(self.removed);
    }

    /// One request gets its answer.
    fn answer(&mut self, is_kind: bool) {
        if self.in_progress.is_empty() {
            return;
        }
        let place = self.random.below(self.in_progress.len() as u64);
        let request = self.in_progress.swap_remove(usize::try_from(place).unwrap());
        let kind = if is_kind { 0 } else { self.random.below(12) };
        let retry_after_ms = self.random.once_in(3).then(|| self.random.below(10_000_000));
        let answer = match kind {
            0..=5 => answer(200),
            6 => AttemptAnswer::None("no answer within 15 s".to_owned()),
            7 => AttemptAnswer::Status { status: 302, retry_after_ms },
            8 => AttemptAnswer::Status { status: 429, retry_after_ms },
            9 if self.random.once_in(4) => answer(410),
            _ => AttemptAnswer::Status { status: 500, retry_after_ms },
        };
        // The receiver may have processed a request whose answer is lost.
        if matches!(answer, AttemptAnswer::Status { status: 200, .. }) {
            self.done.insert(request.page);
        }
        let status = if let AttemptAnswer::Status { status, .. } = answer { Some(status) } else { None };
        let random = u16::try_from(self.random.below(65_536)).unwrap();
        self.state.record(&request, attempt(request.page, self.now, status), &answer, self.now, random);
        if self.state.is_stopped() {
            self.store();
        }
    }

    fn operate(&mut self) {
        match self.random.below(12) {
            0 => self.is_active = !self.is_active,
            1 => {
                self.state.resume();
                self.store();
            }
            2 => {
                let after = self.removed + self.random.below(self.last() - self.removed + 1);
                let after = after.min(self.state.delivered());
                self.state.replay(after);
                self.sent.retain(|page, _| page.sequence <= after);
                self.store();
            }
            3 => {
                if let Ok(page) = self.state.skip() {
                    self.done.insert(page);
                    self.store();
                }
            }
            4 if self.last() > self.removed => {
                self.removed += 1 + self.random.below(self.last() - self.removed);
                let before = self.state.expired();
                let lost = self.state.expire(self.removed);
                assert_eq!(self.state.expired(), before + lost);
                self.store();
            }
            5 => self.now = self.now.saturating_sub(self.random.below(100_000_000)),
            6 => self.now += self.random.below(100_000_000),
            7 => self.crash(),
            _ => {
                let pages = 1 + self.random.below(3) * self.random.below(4);
                self.pages.push(pages);
            }
        }
    }

    /// Everything is delivered once the receiver and the operators are kind.
    fn finish(&mut self) {
        self.is_active = true;
        self.state.resume();
        self.store();
        for _ in 0..10_000 {
            self.work(false);
            while !self.in_progress.is_empty() {
                self.answer(true);
                self.work(false);
            }
            match self.state.next_step(self.circumstances()) {
                NextStep::WaitUntil(due) => self.now = due,
                NextStep::Idle => break,
                step => panic!("{step:?}"),
            }
        }
        assert!(self.is_done_through(self.last()), "a launch is lost");
        assert_eq!(self.state.status(self.circumstances()), DeliveryStatus::Idle);
    }
}

#[test]
fn ten_thousand_schedules_lose_nothing_and_keep_the_order() {
    for seed in 0..10_000 {
        let mut model = Model::new(seed);
        for _ in 0..60 {
            match model.random.below(5) {
                0 => model.operate(),
                1 => model.work(true),
                2 => {
                    model.now += model.random.below(20_000);
                    model.store();
                }
                _ => model.answer(false),
            }
        }
        model.finish();
    }
}
