//! Slow and silent callers, eviction, and draining the rest of refused bodies.

use std::{cell::Cell, collections::VecDeque, future::pending, rc::Rc};

use super::*;
use crate::{
    campaign::tests::faults::{Timer, run},
    launch::ports::Disconnected,
    limits::{BASE_COST, MIB},
    memory::Budget,
};

/// A clock that moves when nothing else can run.
#[derive(Default)]
struct TestClock(Cell<u64>);

impl Clock for TestClock {
    fn now(&self) -> u64 {
        self.0.get()
    }

    async fn sleep(&self, milliseconds: u64) {
        let due = self.0.get() + milliseconds;
        Timer::new(due).await;
        self.0.set(self.0.get().max(due));
    }
}

/// The next action of a caller.
#[derive(Clone, Copy)]
enum Step {
    /// Waits for milliseconds (first value), then sends bytes (second value).
    Send(u64, usize),
    Disconnect,
}

/// A caller who sends in steps, and then stalls or ends the body.
struct Caller<'a> {
    clock: &'a TestClock,
    steps: VecDeque<Step>,
    ends: bool,
    unread: usize,
    discarded: u64,
}

impl<'a> Caller<'a> {
    fn new(clock: &'a TestClock, steps: impl IntoIterator<Item = Step>, ends: bool) -> Self {
        Self { clock, steps: steps.into_iter().collect(), ends, unread: 0, discarded: 0 }
    }
}

impl Body for Caller<'_> {
    async fn read(&mut self, at_once: usize) -> Result<Option<usize>, Disconnected> {
        assert_eq!(self.unread, 0, "the last read was not passed on");
        match self.steps.pop_front() {
            Some(Step::Send(milliseconds, bytes)) => {
                self.clock.sleep(milliseconds).await;
                self.unread = bytes.min(at_once);
                if bytes > self.unread {
                    self.steps.push_front(Step::Send(0, bytes - self.unread));
                }
                Ok(Some(self.unread))
            }
            Some(Step::Disconnect) => Err(Disconnected),
            None if self.ends => Ok(None),
            None => pending().await,
        }
    }

    fn chunk<T>(&mut self, take: impl FnOnce(&[u8]) -> T) -> Option<T> {
        let bytes = std::mem::take(&mut self.unread);
        (bytes > 0).then(|| take(&vec![b'x'; bytes]))
    }

    fn discard(&mut self) {
        self.discarded += std::mem::take(&mut self.unread) as u64;
    }
}

fn budget() -> Rc<Budget> {
    Budget::new(64 * MIB, 16 * MIB)
}

/// Reads a body to its end. Returns the bytes received, the duration and the outcome.
fn read(verified: bool, ends: bool, steps: impl IntoIterator<Item = Step>) -> (u64, u64, Result<(), BodyError>) {
    let clock = TestClock::default();
    let mut memory = Reservation::new(&budget(), 0);
    if verified {
        memory.verify();
    }
    let mut caller = Caller::new(&clock, steps, ends);
    let mut body = PacedBody::new(&clock, &mut caller, memory.watch(), None);
    let outcome = run(async {
        while body.read(READ_VIEW).await?.is_some() {
            while body.chunk(|_| ()).is_some() {}
        }
        Ok(())
    });
    (body.received(), clock.now(), outcome)
}

fn is_too_slow(outcome: &Result<(), BodyError>) -> bool {
    matches!(outcome, Err(BodyError::TooSlow { .. }))
}

#[test]
fn ends_an_unverified_caller_below_the_minimum_rate() {
    let trickle = |bytes: usize| std::iter::repeat_n(Step::Send(1000, bytes), 100);
    let (received, time, outcome) = read(false, true, trickle(1));
    assert!(is_too_slow(&outcome) && (10_000..12_500).contains(&time), "{received} bytes, {time} ms, {outcome:?}");
    let (_, time, outcome) = read(false, true, trickle(2048));
    assert!(is_too_slow(&outcome) && (19_000..22_500).contains(&time), "{time} ms, {outcome:?}");
    assert_eq!(read(false, true, trickle(4096)), (409_600, 100_000, Ok(())));
    assert_eq!(read(true, true, trickle(1)), (100, 100_000, Ok(())), "a verified caller may trickle");
}

#[test]
fn lets_a_caller_pause_after_sending_faster_than_the_minimum_rate() {
    let (received, _, outcome) = read(false, true, [Step::Send(0, 100_000), Step::Send(29_000, 1)]);
    assert_eq!((received, outcome), (100_001, Ok(())));
    let (_, time, outcome) = read(false, true, [Step::Send(0, 40_960), Step::Send(29_000, 1)]);
    assert!(is_too_slow(&outcome) && (20_000..22_000).contains(&time), "{time} {outcome:?}");
}

#[test]
fn ends_a_caller_who_sends_no_byte_for_30_seconds() {
    for verified in [false, true] {
        let (received, time, outcome) = read(verified, false, [Step::Send(5_000, 1_000_000)]);
        assert_eq!((received, outcome), (1_000_000, Err(BodyError::Idle)));
        assert!((35_000..36_500).contains(&time), "{time}");
    }
    let pauses = std::iter::repeat_n(Step::Send(29_000, 1), 5);
    assert_eq!(read(true, true, pauses), (5, 145_000, Ok(())));
}

#[test]
fn counts_only_time_spent_reading_against_the_rate() {
    let clock = TestClock::default();
    let memory = Reservation::new(&budget(), 0);
    let mut caller = Caller::new(&clock, std::iter::repeat_n(Step::Send(1000, 1), 9), true);
    let mut body = PacedBody::new(&clock, &mut caller, memory.watch(), None);
    let outcome = run(async {
        while body.read(READ_VIEW).await?.is_some() {
            body.chunk(|_| ());
            // The Worker does something else between reads, such as storing attachments.
            clock.0.set(clock.now() + 60_000);
        }
        Ok::<(), BodyError>(())
    });
    assert_eq!(outcome, Ok(()));
}

#[test]
fn ends_an_evicted_caller_within_two_checks() {
    let clock = TestClock::default();
    let small = Budget::new(MIB, BASE_COST);
    let mut memory = Reservation::new(&small, 0);
    memory.grow(BASE_COST).unwrap();
    let mut newcomer = Reservation::new(&small, 3000);
    let mut caller = Caller::new(&clock, [Step::Send(3000, 1)], false);
    let mut body = PacedBody::new(&clock, &mut caller, memory.watch(), None);
    run(body.read(READ_START)).unwrap();
    body.chunk(|_| ());
    newcomer.enqueue(BASE_COST, clock.now());
    assert_eq!(run(body.read(READ_START)), Err(BodyError::Evicted));
    assert!(clock.now() <= 3000 + 2 * WATCH_MS, "{}", clock.now());
}

#[test]
fn reports_where_a_caller_disconnected() {
    let (_, _, outcome) = read(false, false, [Step::Send(1, 7), Step::Disconnect]);
    assert_eq!(outcome, Err(BodyError::Disconnected(7)));
}

#[test]
fn a_body_of_known_length_ends_without_another_read() {
    let clock = TestClock::default();
    let memory = Reservation::new(&budget(), 0);
    let mut caller = Caller::new(&clock, [Step::Send(1, 5)], false);
    let mut body = PacedBody::new(&clock, &mut caller, memory.watch(), Some(5));
    assert_eq!(run(body.read(READ_START)), Ok(Some(5)));
    assert_eq!(run(body.read(READ_START)), Ok(None));
}

/// Drains a body with this `Content-Length`. Returns the bytes discarded, the duration and the bytes reserved at the end.
fn drain(verified: bool, length: Option<u64>, limit: u64, steps: Vec<Step>, ends: bool) -> (u64, u64, u64) {
    let clock = TestClock::default();
    let budget = budget();
    let mut base = Reservation::new(&budget, 0);
    base.grow(BASE_COST).unwrap();
    if verified {
        base.verify();
    }
    let mut caller = Caller::new(&clock, steps, ends);
    let mut body = PacedBody::new(&clock, &mut caller, base.watch(), length);
    run(body.drain(limit, &mut base));
    drop(body);
    let reserved = budget.reserved();
    drop(base);
    assert_eq!(budget.reserved(), 0);
    (caller.discarded, clock.now(), reserved)
}

#[test]
fn drains_the_rest_of_a_refused_body_within_one_view() {
    let rest = 3 * MIB;
    for length in [None, Some(rest)] {
        for verified in [false, true] {
            let (discarded, _, reserved) = drain(verified, length, 10 * MIB, vec![Step::Send(1, rest as usize)], true);
            assert_eq!(discarded, rest);
            let view = if verified { READ_VIEW } else { READ_BUFFER } as u64;
            assert!((BASE_COST..=BASE_COST + view).contains(&reserved), "{reserved} bytes");
        }
    }
}

#[test]
fn does_not_drain_a_body_that_is_announced_larger_than_the_limit() {
    let steps = || vec![Step::Send(1, MIB as usize + 1)];
    assert_eq!(drain(true, Some(MIB + 1), MIB, steps(), true).0, 0);
    assert_eq!(drain(true, Some(MIB), MIB, vec![Step::Send(1, MIB as usize)], true).0, MIB);
    let (discarded, _, _) = drain(true, None, MIB, vec![Step::Send(1, 5 * MIB as usize)], true);
    assert!((MIB + 1..MIB + 1 + READ_VIEW as u64).contains(&discarded), "{discarded}");
}

#[test]
fn stops_draining_for_slow_silent_and_endless_callers() {
    let trickle = |count| std::iter::repeat_n(Step::Send(1000, 1), count).collect::<Vec<_>>();
    let (_, time, _) = drain(false, None, MIB, trickle(1000), true);
    assert!((10_000..12_500).contains(&time), "{time} ms for an unverified caller below the rate");
    let (_, time, _) = drain(true, None, MIB, vec![], false);
    assert!((30_000..31_500).contains(&time), "{time} ms of silence");
    let (_, time, _) = drain(true, None, MIB, trickle(1000), true);
    assert!((DRAIN_MS..=DRAIN_MS + 1000).contains(&time), "{time} ms");
    assert_eq!(drain(true, None, MIB, vec![Step::Send(1, 5), Step::Disconnect], true).0, 5);
}

#[test]
fn does_not_drain_for_a_caller_who_was_too_slow() {
    for verified in [false, true] {
        let clock = TestClock::default();
        let mut base = Reservation::new(&budget(), 0);
        if verified {
            base.verify();
        }
        let mut caller = Caller::new(&clock, [Step::Send(1, 1)], false);
        let mut body = PacedBody::new(&clock, &mut caller, base.watch(), Some(1000));
        run(body.read(READ_START)).unwrap();
        body.chunk(|_| ());
        run(body.read(READ_START)).unwrap_err();
        let ended = clock.now();
        run(body.drain(MIB, &mut base));
        assert_eq!(clock.now(), ended);
    }
}

#[test]
fn does_not_drain_for_an_evicted_request() {
    let clock = TestClock::default();
    let small = Budget::new(MIB, BASE_COST);
    let mut base = Reservation::new(&small, 0);
    base.grow(BASE_COST).unwrap();
    let mut newcomer = Reservation::new(&small, 5000);
    newcomer.enqueue(BASE_COST, 5000);
    let mut caller = Caller::new(&clock, [Step::Send(1, 5)], true);
    let mut body = PacedBody::new(&clock, &mut caller, base.watch(), None);
    run(body.drain(MIB, &mut base));
    drop(body);
    assert_eq!(caller.discarded, 0);
}

#[test]
fn grows_a_view_with_the_bytes_received_and_not_with_the_length() {
    let budget = budget();
    let mut memory = Reservation::new(&budget, 0);
    let (mut view, watch) = (ReadWindow::default(), memory.watch());
    let mut grow = |received, length, memory: &mut Reservation| view.grow(received, &watch, length, memory, 2);
    assert_eq!(grow(0, Some(100 * MIB), &mut memory), READ_START);
    assert_eq!(memory.bytes(), 0, "the base cost includes the first view");
    assert_eq!(grow(READ_START as u64, Some(100 * MIB), &mut memory), 4 * READ_START);
    assert_eq!(memory.bytes(), 12 * READ_START as u64);
    assert_eq!(grow(MIB, None, &mut memory), READ_UNVERIFIED);
    memory.verify();
    assert_eq!(grow(MIB, None, &mut memory), READ_VIEW);
    assert_eq!(memory.bytes(), (READ_VIEW + 2 * READ_BUFFER) as u64);
    view.release(&mut memory);
    assert_eq!(memory.bytes(), 0);
}
