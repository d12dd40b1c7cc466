//! Failures of services, planned or random, and an executor for tests. A failed operation has either done nothing, or has
//! succeeded and lost its answer.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    future::poll_fn,
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
};

/// When an operation fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// The operation does nothing.
    Before,
    /// The operation succeeds, and its answer is lost.
    After,
}

/// Decides which calls of which operations fail.
#[derive(Debug, Default)]
pub struct Faults {
    calls: RefCell<BTreeMap<&'static str, u32>>,
    /// An operation, the first and the last call that fail (counted from 1), and how they fail.
    plan: RefCell<Vec<(&'static str, u32, u32, When)>>,
    /// One of this number of calls fails.
    random: RefCell<Option<(u64, Dice)>>,
}

impl Faults {
    /// Lets the `nth` call from now on fail.
    pub fn plan(&self, operation: &'static str, nth: u32, when: When) {
        let before = self.calls(operation);
        self.plan.borrow_mut().push((operation, before + nth, before + nth, when));
    }

    /// Lets all calls fail from now on.
    pub fn always(&self, operation: &'static str, when: When) {
        self.plan.borrow_mut().push((operation, 0, u32::MAX, when));
    }

    /// Makes calls of any operation fail at random, one in `one_in` on average.
    pub fn random(&self, seed: u64, one_in: u64) {
        self.random.replace(Some((one_in, Dice::new(seed))));
    }

    /// Lets all calls succeed from now on.
    pub fn heal(&self) {
        self.plan.borrow_mut().clear();
        self.random.replace(None);
    }

    /// Returns how often an operation was called.
    pub fn calls(&self, operation: &'static str) -> u32 {
        self.calls.borrow().get(operation).copied().unwrap_or_default()
    }

    /// Runs an operation that may fail.
    pub fn run<T, E>(&self, operation: &'static str, error: E, effect: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
        match self.next(operation) {
            None => effect(),
            Some(When::Before) => Err(error),
            Some(When::After) => effect().and(Err(error)),
        }
    }

    /// Counts a call and returns whether it fails.
    pub fn next(&self, operation: &'static str) -> Option<When> {
        let mut calls = self.calls.borrow_mut();
        let call = calls.entry(operation).or_default();
        *call += 1;
        let plan = self.plan.borrow();
        let planned = plan.iter().find(|(name, first, last, _)| *name == operation && (*first..=*last).contains(call));
        planned.map(|(_, _, _, when)| *when).or_else(|| self.chance())
    }

    fn chance(&self) -> Option<When> {
        let random = self.random.borrow();
        let (one_in, dice) = random.as_ref()?;
        let number = dice.number();
        number.is_multiple_of(*one_in).then_some(if number >> 32 & 1 == 0 { When::Before } else { When::After })
    }
}

/// Pseudorandom numbers (SplitMix64). The same seed gives the same numbers.
#[derive(Debug)]
pub struct Dice(Cell<u64>);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(Cell::new(seed))
    }

    pub fn number(&self) -> u64 {
        self.0.set(self.0.get().wrapping_add(0x9E37_79B9_7F4A_7C15));
        let n = self.0.get();
        let n = (n ^ (n >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let n = (n ^ (n >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        n ^ (n >> 31)
    }

    /// Returns a number below `bound`, which must not be 0.
    pub fn below(&self, bound: u64) -> u64 {
        self.number() % bound
    }
}

/// Is ready at the second poll, so that other futures run in between.
pub async fn pause() {
    let mut paused = false;
    poll_fn(|context| {
        context.waker().wake_by_ref();
        if std::mem::replace(&mut paused, true) { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

thread_local! {
    /// Timers that have not fired, in the order of their due times. Equal times are in the order of their start.
    static TIMERS: RefCell<BTreeMap<(u64, u64), Waker>> = const { RefCell::new(BTreeMap::new()) };
    static STARTED: Cell<u64> = const { Cell::new(0) };
}

/// A timer for a time of a test's clock. It fires when no other future can run.
pub struct Timer {
    key: (u64, u64),
    started: bool,
}

impl Timer {
    pub fn new(due: u64) -> Self {
        STARTED.set(STARTED.get() + 1);
        Self { key: (due, STARTED.get()), started: false }
    }
}

impl Future for Timer {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        TIMERS.with_borrow_mut(|timers| {
            if self.started && !timers.contains_key(&self.key) {
                return Poll::Ready(());
            }
            self.started = true;
            timers.insert(self.key, context.waker().clone());
            Poll::Pending
        })
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        TIMERS.with_borrow_mut(|timers| timers.remove(&self.key));
    }
}

/// Fires the next timer. Returns false if no timer is set.
pub fn fire_timer() -> bool {
    let next = TIMERS.with_borrow_mut(BTreeMap::pop_first);
    next.map(|(_, waker)| waker.wake()).is_some()
}

/// Records whether a future was woken.
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Polls a future until it is ready. When it waits for timers only, the next timer fires.
pub fn run<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let woken = Arc::new(Woken(AtomicBool::new(false)));
    let waker = Waker::from(Arc::clone(&woken));
    let mut context = Context::from_waker(&waker);
    for _ in 0..10_000_000 {
        woken.0.store(false, Ordering::Relaxed);
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return output;
        }
        if !woken.0.load(Ordering::Relaxed) && !fire_timer() {
            panic!("the future waits forever");
        }
    }
    panic!("the future does not end");
}
