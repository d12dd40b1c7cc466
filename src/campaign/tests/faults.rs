//! Failures of the outside, planned or at random: before an effect, or *after* it, when what reports an error has
//! succeeded.

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
    /// Nothing was done.
    Before,
    /// It was done, and the answer lost.
    After,
}

/// Which operations fail. Operations go by their names.
#[derive(Debug, Default)]
pub struct Faults {
    calls: RefCell<BTreeMap<&'static str, u32>>,
    /// The name, the first and the last call that fail (counted from the plan on, from 1), and how.
    plan: RefCell<Vec<(&'static str, u32, u32, When)>>,
    /// Of how many calls one fails, and which.
    random: RefCell<Option<(u64, Dice)>>,
}

impl Faults {
    /// The `nth` call from now on fails.
    pub fn plan(&self, operation: &'static str, nth: u32, when: When) {
        let before = self.calls(operation);
        self.plan.borrow_mut().push((operation, before + nth, before + nth, when));
    }

    /// All calls from now on fail.
    pub fn always(&self, operation: &'static str, when: When) {
        self.plan.borrow_mut().push((operation, 0, u32::MAX, when));
    }

    /// One of so many calls fails, of whatever operation.
    pub fn random(&self, seed: u64, one_in: u64) {
        self.random.replace(Some((one_in, Dice::new(seed))));
    }

    /// Nothing fails any more.
    pub fn heal(&self) {
        self.plan.borrow_mut().clear();
        self.random.replace(None);
    }

    /// How often that was called.
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

    /// Whether the call that comes now fails.
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

/// Numbers that look random, and are the same for the same seed (SplitMix64).
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

    /// A number below `bound`, which is not 0.
    pub fn below(&self, bound: u64) -> u64 {
        self.number() % bound
    }
}

/// Comes back at the next poll: what is waited for at once is interleaved.
pub async fn pause() {
    let mut paused = false;
    poll_fn(|context| {
        context.waker().wake_by_ref();
        if std::mem::replace(&mut paused, true) { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

thread_local! {
    /// Timers that have not fired, by the time at which they are due, and in the order in which they were started.
    static TIMERS: RefCell<BTreeMap<(u64, u64), Waker>> = const { RefCell::new(BTreeMap::new()) };
    static STARTED: Cell<u64> = const { Cell::new(0) };
}

/// A timer that is due at a time of a test's own clock. It fires when nothing else can run.
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

/// Fires the next timer, if there is one.
pub fn fire_timer() -> bool {
    let next = TIMERS.with_borrow_mut(BTreeMap::pop_first);
    next.map(|(_, waker)| waker.wake()).is_some()
}

/// Whether a future was woken.
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Polls a future until it completes. When it waits for timers alone, the next one fires.
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
            panic!("it waits for ever");
        }
    }
    panic!("it does not end");
}
