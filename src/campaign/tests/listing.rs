//! KV's copy of the campaign: written at once, at most once a second, and in the end always that of the last state.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeSet,
    pin::Pin,
    rc::Rc,
    task::{Context, Waker},
};

use futures_util::join;
use proptest::prelude::*;

use super::{
    NOON, Sample,
    bucket::Bucket,
    database::{Database, committed, definition},
    faults::{Dice, Faults, When, pause, run},
};
use crate::{
    access::CampaignRecord,
    campaign::{
        attachments::GRACE,
        commands::{Campaign, Definition},
        listing::{self, BACKOFF_LIMIT, Copies, INTERVAL, WRITE_TIMEOUT},
        log::{Log, Terms},
        sql::Sql,
        upkeep::{self, REST},
    },
    limits::Limits,
};

/// KV, and the clock. A second write while one is in progress fails the test.
#[derive(Debug, Default)]
struct Kv {
    now: Cell<u64>,
    /// `read` and `write`.
    faults: Faults,
    copy: RefCell<Option<CampaignRecord>>,
    /// When each write began.
    writes: RefCell<Vec<u64>>,
    in_progress: Cell<usize>,
    /// Milliseconds that a write takes.
    latency: Cell<u64>,
    /// Several writes may be in progress.
    allows_overlaps: Cell<bool>,
}

/// Counts a write in progress; also one that is dropped.
struct InProgress<'a>(&'a Cell<usize>);

impl Drop for InProgress<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

impl Copies for Kv {
    type Error = &'static str;

    async fn read(&self, _: u64) -> Result<Option<CampaignRecord>, &'static str> {
        pause().await;
        self.faults.run("read", "KV is down", || Ok(self.copy.borrow().clone()))
    }

    async fn write(&self, record: &CampaignRecord) -> Result<(), &'static str> {
        self.in_progress.set(self.in_progress.get() + 1);
        let _counted = InProgress(&self.in_progress);
        assert!(self.allows_overlaps.get() || self.in_progress.get() == 1, "one write at a time");
        let began = self.now.get();
        self.writes.borrow_mut().push(began);
        pause().await;
        while self.now.get() < began + self.latency.get() {
            pause().await;
        }
        self.faults.run("write", "KV is down", || {
            self.copy.replace(Some(record.clone()));
            Ok(())
        })
    }

    fn now(&self) -> u64 {
        self.now.get()
    }
}

/// A campaign's object: its database outlives it.
struct Object {
    kv: Rc<Kv>,
    database: Rc<Database>,
    log: Rc<Log<Rc<Database>>>,
    bucket: Rc<Bucket>,
    /// When the alarm comes.
    alarm: Rc<Cell<Option<u64>>>,
}

impl Object {
    fn new() -> Self {
        let database = Rc::new(Database::new());
        let kv = Kv { now: Cell::new(NOON), ..Kv::default() };
        Self {
            kv: Rc::new(kv),
            log: Rc::new(Self::log(&database)),
            database,
            bucket: Rc::default(),
            alarm: Rc::default(),
        }
    }

    /// An object whose campaign is defined, and of which KV has a copy.
    fn settled() -> Self {
        let object = Self::new();
        object.put(&definition());
        object.advance(INTERVAL);
        object.kv.writes.borrow_mut().clear();
        object
    }

    fn log(database: &Rc<Database>) -> Log<Rc<Database>> {
        Log::new(Rc::clone(database), Terms::from(&Limits { retention_days: 3, ..Limits::default() }))
    }

    fn set_alarm(log: &Log<Rc<Database>>, alarm: &Cell<Option<u64>>) {
        if let Some(at) = log.take_alarm().unwrap() {
            alarm.set(Some(at));
        }
    }

    /// A `PUT`, up to its reply.
    fn put_async(&self, definition: &Definition) -> impl Future<Output = Campaign> + use<> {
        let (log, kv, alarm) = (Rc::clone(&self.log), Rc::clone(&self.kv), Rc::clone(&self.alarm));
        let definition = definition.clone();
        async move {
            let (campaign, begun) = listing::define(&log, &*kv, &definition, &[]).await.unwrap();
            Self::set_alarm(&log, &alarm);
            if let Some(begun) = begun {
                listing::write(&log, &*kv, begun).await.unwrap();
                Self::set_alarm(&log, &alarm);
            }
            campaign
        }
    }

    fn put(&self, definition: &Definition) -> Campaign {
        run(self.put_async(definition))
    }

    fn rename(&self, name: &str) {
        assert_eq!(self.put(&named(name)).name, name);
    }

    fn ring_async(&self) -> impl Future<Output = Vec<String>> + use<> {
        let (log, kv, alarm) = (Rc::clone(&self.log), Rc::clone(&self.kv), Rc::clone(&self.alarm));
        let bucket = Rc::clone(&self.bucket);
        alarm.set(None);
        async move {
            let now = kv.now();
            let begun = log.begin_copy(now).unwrap();
            let written = async {
                match begun {
                    Some(begun) => listing::write(&log, &*kv, begun).await.unwrap(),
                    None => None,
                }
            };
            let (written, faults) = join!(written, upkeep::alarm(&log, &*bucket, now));
            Self::set_alarm(&log, &alarm);
            faults.unwrap().into_iter().chain(written).collect()
        }
    }

    /// Time passes; alarms come when they are due. Returns the lines of the operator's log.
    fn advance(&self, milliseconds: u64) -> Vec<String> {
        let end = self.kv.now() + milliseconds;
        let mut lines = Vec::new();
        for alarms in 0.. {
            assert!(alarms < 10_000, "an alarm that comes again and again");
            let Some(at) = self.alarm.get().filter(|at| *at <= end) else { break };
            self.kv.now.set(self.kv.now().max(at));
            lines.extend(run(self.ring_async()));
        }
        self.kv.now.set(end);
        lines
    }

    /// The object ends, with all that was in memory, and starts again.
    fn restart(&mut self) {
        self.log = Rc::new(Self::log(&self.database));
        self.log.start(self.kv.now()).unwrap();
        Self::set_alarm(&self.log, &self.alarm);
    }

    fn copy(&self) -> Option<(String, Option<bool>)> {
        self.kv.copy.borrow().as_ref().map(|copy| (copy.name.clone(), copy.active))
    }

    fn copied_name(&self) -> String {
        self.copy().map(|(name, _)| name).unwrap_or_default()
    }

    fn is_current(&self) -> bool {
        let campaign = self.log.read().unwrap();
        let record = CampaignRecord::new(campaign.id, &campaign.name, campaign.database, campaign.active);
        self.kv.copy.borrow().as_ref() == Some(&record)
    }

    fn due(&self) -> Vec<String> {
        self.database.dump().lines().filter(|line| line.starts_with("due")).map(str::to_owned).collect()
    }

    /// Milliseconds from `since` to each write.
    fn writes_since(&self, since: u64) -> Vec<u64> {
        self.kv.writes.borrow().iter().map(|at| at - since).collect()
    }
}

fn named(name: &str) -> Definition {
    Definition { id: 85, name: Some(name.to_owned()), ..Definition::default() }
}

fn active(active: bool) -> Definition {
    Definition { id: 85, active: Some(active), ..Definition::default() }
}

#[test]
fn a_definition_writes_the_copy_before_it_is_answered() {
    let object = Object::new();
    object.put(&definition());
    assert_eq!(object.copy(), Some(("Welcome".to_owned(), Some(true))));
    assert_eq!(object.due(), [format!("due 'listing' 0 {}", NOON + INTERVAL)]);
    assert_eq!(object.alarm.get(), Some(NOON + INTERVAL));
    assert_eq!(object.advance(INTERVAL), Vec::<String>::new());
    assert_eq!((object.due(), object.alarm.get()), (Vec::new(), None), "nothing is left to do");
    object.put(&active(false));
    assert_eq!(object.copy(), Some(("Welcome".to_owned(), Some(false))));
    assert_eq!(object.writes_since(NOON), [0, INTERVAL]);
}

#[test]
fn a_definition_records_the_task_in_its_own_transaction() {
    for statement in 0.. {
        let object = Object::new();
        object.database.statements.set(statement);
        let outcome = object.log.define(&definition(), &[], NOON);
        object.database.statements.set(u64::MAX);
        let recorded = object.due().len();
        assert_eq!(recorded, usize::from(outcome.is_ok()), "statement {statement}");
        assert_eq!(object.log.find_state().unwrap().is_some(), outcome.is_ok());
        if outcome.is_ok() {
            break;
        }
    }
    for statement in 0.. {
        let object = Object::settled();
        object.database.statements.set(statement);
        let outcome = object.log.define(&named("Bye"), &[], NOON);
        object.database.statements.set(u64::MAX);
        assert_eq!(object.due().len(), usize::from(outcome.is_ok()), "statement {statement}");
        assert_eq!(object.log.read().unwrap().name == "Bye", outcome.is_ok());
        if outcome.is_ok() {
            break;
        }
    }
}

#[test]
fn a_definition_that_fails_at_any_statement_leads_to_the_copy_when_it_is_repeated() {
    for statement in 0.. {
        let object = Object::settled();
        object.database.statements.set(statement);
        let outcome = run(listing::define(&object.log, &*object.kv, &named("Bye"), &[]));
        object.database.statements.set(u64::MAX);
        if outcome.is_ok() {
            assert!(statement > 8, "there was something to fail");
            break;
        }
        object.put(&named("Bye"));
        object.advance(INTERVAL + WRITE_TIMEOUT);
        assert!(object.is_current() && object.due().is_empty(), "statement {statement}: {:?}", object.due());
    }
}

#[test]
fn a_definition_that_changes_nothing_writes_nothing() {
    let object = Object::settled();
    for same in [Definition { id: 85, ..Definition::default() }, definition(), active(true), named("Welcome")] {
        object.put(&same);
        object.advance(2 * INTERVAL);
    }
    assert_eq!(object.writes_since(NOON), [0; 0]);
    assert!(object.due().is_empty());
    object.rename("Bye");
    object.rename("Welcome");
    object.rename("Bye");
    object.advance(10 * INTERVAL);
    assert_eq!(object.kv.writes.borrow().len(), 1, "the copy was that of the last name already");
    assert!(object.is_current());
}

#[test]
fn a_definition_that_changes_nothing_writes_a_copy_that_is_missing_or_of_an_earlier_version() {
    let object = Object::settled();
    let earlier = CampaignRecord { active: None, ..object.kv.copy.borrow().clone().unwrap() };
    for copy in [None, Some(earlier)] {
        object.kv.copy.replace(copy);
        object.put(&Definition { id: 85, ..Definition::default() });
        assert!(object.is_current(), "written before the answer");
        object.advance(INTERVAL);
        assert!(object.due().is_empty());
    }
    assert_eq!(object.kv.writes.borrow().len(), 2);
    object.kv.faults.plan("read", 1, When::Before);
    object.put(&definition());
    assert_eq!(object.kv.writes.borrow().len(), 3, "a copy that cannot be read is written");
}

#[test]
fn a_change_within_a_second_of_a_write_is_left_to_the_alarm() {
    let object = Object::settled();
    let start = object.kv.now();
    for number in 0..25 {
        object.rename(&format!("name {number}"));
        object.advance(100);
    }
    assert_eq!(object.copied_name(), "name 19");
    object.advance(INTERVAL);
    assert!(object.is_current());
    assert_eq!(object.writes_since(start), [0, 1000, 2000, 3000]);
    object.advance(INTERVAL);
    assert!(object.due().is_empty());
}

#[test]
fn a_second_passes_from_the_end_of_a_slow_write_to_the_next() {
    let object = Object::settled();
    let start = object.kv.now();
    object.kv.latency.set(3000);
    let mut first = Box::pin(object.put_async(&named("a")));
    let mut context = Context::from_waker(Waker::noop());
    assert!(first.as_mut().poll(&mut context).is_pending());
    // Other definitions and the alarm do not wait for the write, and begin none.
    for _ in 0..2 {
        object.advance(1100);
        object.rename("b");
    }
    object.kv.now.set(start + 3000);
    assert!(first.as_mut().poll(&mut context).is_ready());
    assert_eq!((object.copied_name().as_str(), object.kv.writes.borrow().len()), ("a", 1));
    object.kv.latency.set(0);
    object.advance(2000);
    assert!(object.is_current());
    assert_eq!(object.writes_since(start), [0, 4000]);
}

#[test]
fn definitions_at_once_write_one_after_the_other_and_the_last_state_stays() {
    let object = Object::settled();
    let start = object.kv.now();
    let names = ["a", "b", "c"].map(named);
    let [a, b, c] = [0, 1, 2].map(|index| object.put_async(&names[index]));
    run(async { join!(a, b, c) });
    object.advance(10 * INTERVAL);
    assert_eq!(object.log.read().unwrap().name, "c");
    assert!(object.is_current() && object.due().is_empty());
    assert_eq!(object.writes_since(start), [0, INTERVAL]);
}

#[test]
fn a_write_that_fails_is_repeated_by_the_alarm_ever_less_often() {
    for when in [When::Before, When::After] {
        let object = Object::settled();
        object.kv.faults.always("write", when);
        let start = object.kv.now();
        object.rename("Bye");
        let line = "KV's copy of campaign 85 was not written: KV is down";
        assert_eq!(object.advance(1000 * INTERVAL)[..2], [line, line]);
        let writes = object.writes_since(start);
        let pauses: Vec<u64> = writes.windows(2).map(|pair| (pair[1] - pair[0]) / INTERVAL).collect();
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300]);
        assert_eq!(BACKOFF_LIMIT / INTERVAL, 300);
        object.kv.faults.heal();
        object.advance(BACKOFF_LIMIT + INTERVAL);
        assert!(object.is_current() && object.due().is_empty(), "{when:?}");
        object.kv.faults.plan("write", 1, when);
        let start = object.kv.now();
        object.rename("Again");
        assert_eq!(object.advance(INTERVAL), [""; 0], "a success ends the back-off");
        let writes = object.kv.writes.borrow();
        assert_eq!(writes[writes.len() - 2..], [start, start + INTERVAL]);
        assert!(object.is_current());
    }
}

#[test]
fn a_definition_ends_the_back_off_within_a_second() {
    for next in [named("Third"), active(true)] {
        let object = Object::settled();
        object.kv.faults.always("write", When::Before);
        object.rename("Second");
        object.advance(100 * INTERVAL);
        object.kv.faults.heal();
        object.put(&next);
        assert_eq!(object.copied_name(), "Welcome", "a second has to pass since the last attempt");
        object.advance(INTERVAL);
        assert!(object.is_current(), "{next:?}");
    }
}

#[test]
fn an_object_that_ends_during_a_write_repeats_it_a_second_later() {
    for polls in 0..4 {
        let mut object = Object::settled();
        object.kv.latency.set(u64::MAX / 2);
        let start = object.kv.now();
        let mut put = Box::pin(object.put_async(&named("Bye")));
        let mut context = Context::from_waker(Waker::noop());
        for _ in 0..polls {
            assert!(put.as_mut().poll(&mut context).is_pending());
        }
        drop(put);
        object.kv.latency.set(0);
        object.restart();
        if polls == 0 {
            assert!(object.due().is_empty(), "nothing was defined");
            continue;
        }
        object.advance(INTERVAL - 1);
        assert_eq!(object.writes_since(start), [0]);
        object.advance(INTERVAL);
        assert!(object.is_current());
        assert_eq!(object.writes_since(start), [0, INTERVAL]);
        object.advance(INTERVAL);
        assert!(object.due().is_empty());
    }
}

#[test]
fn an_object_that_restarts_within_a_second_of_a_write_does_not_write_sooner() {
    let mut object = Object::settled();
    let start = object.kv.now();
    object.rename("a");
    object.advance(10);
    object.restart();
    object.rename("b");
    assert_eq!(object.writes_since(start), [0]);
    object.advance(INTERVAL);
    assert_eq!(object.writes_since(start), [0, INTERVAL]);
    assert!(object.is_current());
}

#[test]
fn a_write_without_a_result_blocks_others_for_a_minute_at_most() {
    let object = Object::settled();
    object.kv.allows_overlaps.set(true);
    let start = object.kv.now();
    object.kv.latency.set(WRITE_TIMEOUT + 10 * INTERVAL);
    let mut hung = Box::pin(object.put_async(&named("a")));
    let mut context = Context::from_waker(Waker::noop());
    assert!(hung.as_mut().poll(&mut context).is_pending());
    object.kv.latency.set(0);
    object.rename("b");
    object.advance(WRITE_TIMEOUT - 1);
    assert_eq!(object.writes_since(start), [0]);
    object.advance(2 * INTERVAL);
    assert_eq!(object.copied_name(), "b");
    // It ends after all, and overwrites the later state.
    object.kv.now.set(start + WRITE_TIMEOUT + 10 * INTERVAL);
    assert!(hung.as_mut().poll(&mut context).is_ready());
    object.advance(2 * INTERVAL);
    assert!(object.is_current() && object.due().is_empty());
}

#[test]
fn two_writes_that_overlap_after_a_timeout_are_followed_by_a_third() {
    for is_late_one_first in [false, true] {
        let object = Object::settled();
        object.kv.allows_overlaps.set(true);
        let mut context = Context::from_waker(Waker::noop());
        let start = object.kv.now();
        object.kv.latency.set(u64::MAX / 2);
        let mut late = discard(object.put_async(&named("a")));
        assert!(late.as_mut().poll(&mut context).is_pending());
        object.rename("b");
        object.kv.now.set(start + WRITE_TIMEOUT);
        let mut second = discard(object.ring_async());
        assert!(second.as_mut().poll(&mut context).is_pending());
        object.kv.latency.set(0);
        if is_late_one_first {
            run(late);
            run(second);
        } else {
            run(second);
            run(late);
            assert_eq!(object.copied_name(), "a", "the late one has overwritten the last state");
        }
        object.advance(3 * INTERVAL);
        assert!(object.is_current() && object.due().is_empty());
        assert_eq!(object.writes_since(start), [0, WRITE_TIMEOUT, WRITE_TIMEOUT + INTERVAL]);
    }
}

#[test]
fn a_failure_of_the_bucket_does_not_delay_the_copy_nor_the_other_way_round() {
    let object = Object::settled();
    let mut files = Sample::new("a");
    files.attachments = vec![object.bucket.stage("k/0", "policy.pdf", b"bytes")];
    committed(object.log.commit(&files.message(), object.kv.now()));
    Object::set_alarm(&object.log, &object.alarm);
    object.bucket.faults.always("complete", When::Before);
    object.kv.faults.always("write", When::Before);
    let lines: BTreeSet<String> = object.advance(GRACE).into_iter().collect();
    assert_eq!(lines.len(), 1, "{lines:?}");
    let start = object.kv.now();
    object.rename("a");
    object.kv.faults.heal();
    object.advance(INTERVAL);
    assert_eq!(object.writes_since(start), [0, INTERVAL], "while the bucket is left alone");
    assert!(object.is_current());
    let attempts = object.bucket.faults.calls("complete");
    object.advance(REST - 2 * INTERVAL);
    assert_eq!(object.bucket.faults.calls("complete"), attempts, "an alarm for the copy does not try the bucket");

    object.bucket.faults.heal();
    object.kv.faults.always("write", When::Before);
    object.rename("b");
    object.advance(2 * GRACE);
    assert_eq!(object.bucket.keys(), ["k/0"], "while KV fails");
    assert!(!object.is_current());
}

#[test]
fn a_long_name_of_an_earlier_version_is_shortened_in_the_copy_and_listed() {
    let object = Object::settled();
    for character in ["x", "\"", "é", "\u{1F600}"] {
        let long = character.repeat(1024 / character.len());
        let bound = [crate::campaign::sql::Bound::Text(&long)];
        object.database.exec("UPDATE campaign SET name = ?", &bound).unwrap();
        object.put(&active(true));
        object.put(&active(false));
        object.advance(2 * INTERVAL);
        assert!(object.is_current() && object.due().is_empty());
        assert!(object.copied_name().starts_with(character) && object.copied_name().ends_with('…'));
        assert_eq!(object.log.read().unwrap().name, long, "the object keeps the whole name");
    }
}

#[derive(Debug, Clone)]
enum Act {
    Rename(u8),
    Active(bool),
    Same,
    Wait(u64),
    Restart,
    Fail,
    Heal,
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        4 => (0_u8..3).prop_map(Act::Rename),
        2 => any::<bool>().prop_map(Act::Active),
        1 => Just(Act::Same),
        8 => (0_u64..1500).prop_map(Act::Wait),
        1 => Just(Act::Restart),
        1 => Just(Act::Fail),
        1 => Just(Act::Heal),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Definitions, alarms and restarts interleaved at every await.
    #[test]
    fn whatever_happens_the_copy_is_written_at_most_once_a_second_and_ends_up_current(
        acts in prop::collection::vec(act(), 1..60),
        latency in prop::sample::select(vec![0_u64, 1, 300, 2500]),
        seed in any::<u64>(),
    ) {
        let mut object = Object::new();
        object.put(&definition());
        object.kv.latency.set(latency);
        let dice = Dice::new(seed);
        let mut running: Vec<Pin<Box<dyn Future<Output = ()>>>> = Vec::new();
        for act in acts {
            match act {
                Act::Rename(name) => running.push(discard(object.put_async(&named(&format!("name {name}"))))),
                Act::Active(value) => running.push(discard(object.put_async(&active(value)))),
                Act::Same => running.push(discard(object.put_async(&Definition { id: 85, ..Definition::default() }))),
                Act::Wait(milliseconds) => step(&object, &mut running, &dice, milliseconds),
                Act::Restart => {
                    running.clear();
                    object.restart();
                }
                Act::Fail => object.kv.faults.always("write", if seed % 2 == 0 { When::Before } else { When::After }),
                Act::Heal => object.kv.faults.heal(),
            }
        }
        object.kv.faults.heal();
        for _ in 0..2 * BACKOFF_LIMIT / 1500 {
            step(&object, &mut running, &dice, 1500);
        }
        prop_assert!(running.is_empty());
        prop_assert!(object.is_current(), "{:?}", object.copy());
        prop_assert_eq!(object.due(), Vec::<String>::new());
        prop_assert_eq!(object.alarm.get(), None);
        for pair in object.kv.writes.borrow().windows(2) {
            prop_assert!(pair[1] - pair[0] >= INTERVAL, "{:?}", object.kv.writes);
        }
    }
}

fn discard<T>(future: impl Future<Output = T> + 'static) -> Pin<Box<dyn Future<Output = ()>>> {
    Box::pin(async move { drop(future.await) })
}

/// Time passes in small steps, and what runs goes on in any order.
fn step(object: &Object, running: &mut Vec<Pin<Box<dyn Future<Output = ()>>>>, dice: &Dice, milliseconds: u64) {
    let mut context = Context::from_waker(Waker::noop());
    let end = object.kv.now() + milliseconds;
    loop {
        if object.alarm.get().is_some_and(|at| at <= object.kv.now()) {
            running.push(discard(object.ring_async()));
        }
        for _ in 0..2 * running.len() {
            let index = dice.below(running.len().max(1) as u64) as usize;
            if running.get_mut(index).is_some_and(|future| future.as_mut().poll(&mut context).is_ready()) {
                drop(running.swap_remove(index));
            }
        }
        if object.kv.now() >= end {
            break;
        }
        object.kv.now.set((object.kv.now() + 1 + dice.below(200)).min(end));
    }
}
