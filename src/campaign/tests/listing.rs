//! KV's copy of the campaign: written before a definition is answered, at most once a second, and always current in the end.

use std::{
    collections::BTreeSet,
    pin::Pin,
    task::{Context, Waker},
};

use futures_util::join;
use proptest::prelude::*;

use super::{
    NOON, Sample,
    database::{committed, definition, unlimited},
    faults::{Dice, When},
    host::TestObject,
};
use crate::{
    access::CampaignRecord,
    campaign::{
        ports::Host as _,
        protocol::{
            commands::{Campaign, Command, Definition},
            transport::COMMAND_PATH,
        },
    },
    limits::{COPY_BACKOFF_MAX_MS, COPY_INTERVAL_MS, COPY_TIMEOUT_MS, COPY_WAIT_MS, R2_PAUSE_MS, UPLOAD_GRACE_MS},
    storage::sql::{Sql, SqlParameter},
};

impl TestObject {
    /// An object whose campaign is defined. KV has a copy of the campaign.
    fn with_current_copy() -> Self {
        let object = Self::new();
        object.put(&definition());
        object.advance(COPY_INTERVAL_MS);
        object.host.kv.writes.borrow_mut().clear();
        object
    }

    /// A `PUT`, up to its reply.
    fn put_async(&self, definition: &Definition) -> impl Future<Output = Result<Campaign, u16>> + use<> {
        let envelope = unlimited(&Command::Define(definition.clone()));
        let response = self.fetch(COMMAND_PATH, None, serde_json::to_vec(&envelope).unwrap());
        async move {
            let response = response.await;
            match response.status {
                200 => Ok(serde_json::from_str(response.text()).unwrap()),
                status => Err(status),
            }
        }
    }

    fn put(&self, definition: &Definition) -> Campaign {
        self.host.run(self.put_async(definition)).unwrap()
    }

    fn rename(&self, name: &str) {
        assert_eq!(self.put(&named(name)).name, name);
    }

    fn copy(&self) -> Option<(String, Option<bool>)> {
        self.host.kv.copy.borrow().as_ref().map(|copy| (copy.name.clone(), copy.active))
    }

    fn copied_name(&self) -> String {
        self.copy().map(|(name, _)| name).unwrap_or_default()
    }

    fn is_current(&self) -> bool {
        let campaign = self.object.log.read().unwrap();
        let record = CampaignRecord::new(campaign.id, &campaign.name, campaign.database, campaign.active);
        self.host.kv.copy.borrow().as_ref() == Some(&record)
    }

    /// Whether the copy is current and the object knows that it is.
    fn is_done(&self) -> bool {
        self.is_current() && self.database.due().is_empty()
    }

    /// Milliseconds from `since` to the beginning of each write.
    fn writes_since(&self, since: u64) -> Vec<u64> {
        self.host.kv.writes.borrow().iter().map(|at| at - since).collect()
    }
}

fn named(name: &str) -> Definition {
    Definition { id: 85, name: Some(name.to_owned()), ..Definition::default() }
}

fn active(active: bool) -> Definition {
    Definition { id: 85, active: Some(active), ..Definition::default() }
}

/// A definition that changes nothing.
fn unchanged() -> Definition {
    Definition { id: 85, ..Definition::default() }
}

#[test]
fn a_definition_writes_the_copy_before_it_is_answered() {
    let object = TestObject::new();
    object.put(&definition());
    assert_eq!(object.copy(), Some(("Welcome".to_owned(), Some(true))));
    assert_eq!(object.database.due(), [format!("due 'listing' 0 {}", NOON + COPY_INTERVAL_MS)]);
    assert_eq!(object.host.alarm.get(), Some(NOON + COPY_INTERVAL_MS));
    assert_eq!(object.advance(COPY_INTERVAL_MS), Vec::<String>::new());
    assert_eq!((object.database.due(), object.host.alarm.get()), (Vec::new(), None));
    object.put(&active(false));
    assert_eq!(object.copy(), Some(("Welcome".to_owned(), Some(false))));
    assert_eq!(object.writes_since(NOON), [0, COPY_INTERVAL_MS]);
}

#[test]
fn a_definition_records_the_task_in_its_own_transaction() {
    for statement in 0.. {
        let object = TestObject::new();
        object.database.statements.set(statement);
        let outcome = object.object.log.define(&definition(), &[], NOON);
        object.database.statements.set(u64::MAX);
        assert_eq!(object.database.due().len(), usize::from(outcome.is_ok()), "statement {statement}");
        assert_eq!(object.object.log.find_state().unwrap().is_some(), outcome.is_ok());
        if outcome.is_ok() {
            break;
        }
    }
    for statement in 0.. {
        let object = TestObject::with_current_copy();
        object.database.statements.set(statement);
        let outcome = object.object.log.define(&named("Bye"), &[], NOON);
        object.database.statements.set(u64::MAX);
        assert_eq!(object.database.due().len(), usize::from(outcome.is_ok()), "statement {statement}");
        assert_eq!(object.object.log.read().unwrap().name == "Bye", outcome.is_ok());
        if outcome.is_ok() {
            break;
        }
    }
}

#[test]
fn a_definition_that_fails_at_any_statement_updates_the_copy_when_it_is_repeated() {
    for statement in 0.. {
        let object = TestObject::with_current_copy();
        object.database.statements.set(statement);
        let outcome = object.host.run(object.put_async(&named("Bye")));
        object.database.statements.set(u64::MAX);
        if outcome.is_ok() {
            assert!(statement > 8, "no statement failed");
            break;
        }
        object.put(&named("Bye"));
        object.advance(COPY_INTERVAL_MS + COPY_TIMEOUT_MS);
        assert!(object.is_done(), "statement {statement}: {:?}", object.database.due());
    }
}

#[test]
fn a_definition_that_changes_nothing_writes_nothing() {
    let object = TestObject::with_current_copy();
    for same in [unchanged(), definition(), active(true), named("Welcome")] {
        object.put(&same);
        object.advance(2 * COPY_INTERVAL_MS);
    }
    assert_eq!(object.writes_since(NOON), [0; 0]);
    assert!(object.database.due().is_empty());
    object.rename("Bye");
    object.rename("Welcome");
    object.rename("Bye");
    object.advance(10 * COPY_INTERVAL_MS);
    assert_eq!(object.host.kv.writes.borrow().len(), 1, "the copy already had the last name");
    assert!(object.is_current());
}

#[test]
fn a_definition_that_changes_nothing_restores_a_copy_that_is_missing_or_of_an_earlier_release() {
    let object = TestObject::with_current_copy();
    let earlier = CampaignRecord { active: None, ..object.host.kv.copy.borrow().clone().unwrap() };
    for copy in [None, Some(earlier)] {
        object.host.kv.copy.replace(copy);
        object.put(&unchanged());
        assert!(object.is_current(), "written before the answer");
        object.advance(COPY_INTERVAL_MS);
        assert!(object.database.due().is_empty());
    }
    assert_eq!(object.host.kv.writes.borrow().len(), 2);
    object.host.kv.faults.plan("read", 1, When::Before);
    object.put(&definition());
    assert_eq!(object.host.kv.writes.borrow().len(), 3, "a copy that cannot be read is written");
}

#[test]
fn changes_within_a_second_of_a_write_are_written_by_the_alarm() {
    let object = TestObject::with_current_copy();
    let start = object.host.now();
    for number in 0..25 {
        object.rename(&format!("name {number}"));
        object.advance(100);
    }
    assert_eq!(object.copied_name(), "name 19");
    object.advance(COPY_INTERVAL_MS);
    assert!(object.is_current());
    assert_eq!(object.writes_since(start), [0, 1000, 2000, 3000]);
    object.advance(COPY_INTERVAL_MS);
    assert!(object.database.due().is_empty());
}

#[test]
fn a_second_passes_between_the_end_of_a_slow_write_and_the_next() {
    let object = TestObject::with_current_copy();
    let start = object.host.now();
    object.host.kv.latency.set(3000);
    let mut first = Box::pin(object.put_async(&named("a")));
    let mut context = Context::from_waker(Waker::noop());
    assert!(first.as_mut().poll(&mut context).is_pending());
    object.host.poll_spawned();
    // Other definitions and the alarm neither wait for the write nor begin another.
    for _ in 0..2 {
        object.advance(1100);
        object.rename("b");
    }
    object.host.set_now(start + 3000);
    object.host.run_spawned();
    assert!(first.as_mut().poll(&mut context).is_ready());
    assert_eq!((object.copied_name().as_str(), object.host.kv.writes.borrow().len()), ("a", 1));
    object.host.kv.latency.set(0);
    object.advance(2000);
    assert!(object.is_current());
    assert_eq!(object.writes_since(start), [0, 4000]);
}

#[test]
fn a_definition_waits_two_seconds_for_a_slow_write() {
    let object = TestObject::with_current_copy();
    let start = object.host.now();
    object.host.kv.latency.set(10 * COPY_WAIT_MS);
    let mut put = Box::pin(object.put_async(&named("a")));
    let mut context = Context::from_waker(Waker::noop());
    for (later, is_answered) in [(0, false), (COPY_WAIT_MS - 1, false), (COPY_WAIT_MS, true)] {
        object.host.set_now(start + later);
        object.host.poll_spawned();
        assert_eq!(put.as_mut().poll(&mut context).is_ready(), is_answered, "after {later} ms");
    }
    object.advance(20 * COPY_WAIT_MS);
    assert!(object.is_current(), "the write continues after the answer");
}

#[test]
fn simultaneous_definitions_write_one_after_the_other_and_the_last_state_remains() {
    let object = TestObject::with_current_copy();
    let start = object.host.now();
    let names = ["a", "b", "c"].map(named);
    let [a, b, c] = [0, 1, 2].map(|index| object.put_async(&names[index]));
    let replies = object.host.run(async { join!(a, b, c) });
    assert!(replies.0.is_ok() && replies.1.is_ok() && replies.2.is_ok());
    object.advance(10 * COPY_INTERVAL_MS);
    assert_eq!(object.object.log.read().unwrap().name, "c");
    assert!(object.is_done());
    assert_eq!(object.writes_since(start), [0, COPY_INTERVAL_MS]);
}

#[test]
fn a_failed_write_is_repeated_by_the_alarm_at_growing_intervals() {
    for when in [When::Before, When::After] {
        let object = TestObject::with_current_copy();
        object.host.kv.faults.always("write", when);
        let start = object.host.now();
        object.rename("Bye");
        let line = "KV's copy of campaign 85 was not written: KV is down";
        assert_eq!(object.advance(1000 * COPY_INTERVAL_MS)[..2], [line, line]);
        let writes = object.writes_since(start);
        let pauses: Vec<u64> = writes.windows(2).map(|pair| (pair[1] - pair[0]) / COPY_INTERVAL_MS).collect();
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300]);
        assert_eq!(COPY_BACKOFF_MAX_MS / COPY_INTERVAL_MS, 300);
        object.host.kv.faults.heal();
        object.advance(COPY_BACKOFF_MAX_MS + COPY_INTERVAL_MS);
        assert!(object.is_done(), "{when:?}");
        object.host.kv.faults.plan("write", 1, when);
        let start = object.host.now();
        object.rename("Again");
        assert_eq!(object.advance(COPY_INTERVAL_MS), [""; 0], "a success ends the back-off");
        let writes = object.host.kv.writes.borrow();
        assert_eq!(writes[writes.len() - 2..], [start, start + COPY_INTERVAL_MS]);
        assert!(object.is_current());
    }
}

#[test]
fn a_definition_ends_the_back_off_within_a_second() {
    for next in [named("Third"), active(true)] {
        let object = TestObject::with_current_copy();
        object.host.kv.faults.always("write", When::Before);
        object.rename("Second");
        object.advance(100 * COPY_INTERVAL_MS);
        object.host.kv.faults.heal();
        object.put(&next);
        assert_eq!(object.copied_name(), "Welcome", "a second has to pass after the last attempt");
        object.advance(COPY_INTERVAL_MS);
        assert!(object.is_current(), "{next:?}");
    }
}

#[test]
fn an_object_that_ends_during_a_write_repeats_the_write_a_second_later() {
    for polls in 0..4 {
        let mut object = TestObject::with_current_copy();
        object.host.kv.hold();
        let start = object.host.now();
        let mut put = Box::pin(object.put_async(&named("Bye")));
        let mut context = Context::from_waker(Waker::noop());
        for _ in 0..polls {
            assert!(put.as_mut().poll(&mut context).is_pending());
            object.host.poll_spawned();
        }
        drop(put);
        object.host.kv.stop_holding();
        object.restart();
        if polls == 0 {
            assert!(object.database.due().is_empty(), "nothing was defined");
            continue;
        }
        object.advance(COPY_INTERVAL_MS - 1);
        assert_eq!(object.writes_since(start), [0]);
        object.advance(COPY_INTERVAL_MS);
        assert!(object.is_current());
        assert_eq!(object.writes_since(start), [0, COPY_INTERVAL_MS]);
        object.advance(COPY_INTERVAL_MS);
        assert!(object.database.due().is_empty());
    }
}

#[test]
fn an_object_that_restarts_within_a_second_of_a_write_does_not_write_sooner() {
    let mut object = TestObject::with_current_copy();
    let start = object.host.now();
    object.rename("a");
    object.advance(10);
    object.restart();
    object.rename("b");
    assert_eq!(object.writes_since(start), [0]);
    object.advance(COPY_INTERVAL_MS);
    assert_eq!(object.writes_since(start), [0, COPY_INTERVAL_MS]);
    assert!(object.is_current());
}

#[test]
fn a_write_without_a_result_prevents_others_for_at_most_a_minute() {
    for begun_by_alarm in [false, true] {
        let object = TestObject::with_current_copy();
        object.host.kv.allows_overlaps.set(true);
        if begun_by_alarm {
            object.rename("z");
            object.rename("a");
        }
        let hold = object.host.kv.hold();
        if begun_by_alarm {
            object.advance(COPY_INTERVAL_MS);
        } else {
            let mut put = Box::pin(object.put_async(&named("a")));
            assert!(put.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
            object.host.poll_spawned();
        }
        object.host.kv.stop_holding();
        let writes = object.host.kv.writes.borrow().len();
        object.rename("b");
        object.advance(COPY_TIMEOUT_MS - 1);
        assert_eq!(object.host.kv.writes.borrow().len(), writes);
        object.advance(2 * COPY_INTERVAL_MS);
        assert_eq!(object.copied_name(), "b");
        // The write ends after all, and overwrites the later state.
        object.advance(8 * COPY_INTERVAL_MS);
        hold.set(false);
        object.host.run_spawned();
        object.advance(2 * COPY_INTERVAL_MS);
        assert!(object.is_done());
    }
}

#[test]
fn two_writes_that_overlap_after_a_timeout_are_followed_by_a_third() {
    for is_late_one_first in [false, true] {
        let object = TestObject::with_current_copy();
        object.host.kv.allows_overlaps.set(true);
        let start = object.host.now();
        let late = object.host.kv.hold();
        let mut put = Box::pin(object.put_async(&named("a")));
        assert!(put.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        object.host.poll_spawned();
        object.rename("b");
        object.host.set_now(start + COPY_TIMEOUT_MS);
        let second = object.host.kv.hold();
        object.host.run(object.ring());
        object.host.run_spawned();
        assert_eq!(object.host.kv.writes.borrow().len(), 2);
        object.host.kv.stop_holding();
        for hold in if is_late_one_first { [&late, &second] } else { [&second, &late] } {
            hold.set(false);
            object.host.run_spawned();
        }
        if !is_late_one_first {
            assert_eq!(object.copied_name(), "a", "the late write has overwritten the last state");
        }
        object.advance(3 * COPY_INTERVAL_MS);
        assert!(object.is_done());
        assert_eq!(object.writes_since(start), [0, COPY_TIMEOUT_MS, COPY_TIMEOUT_MS + COPY_INTERVAL_MS]);
    }
}

#[test]
fn a_failure_of_r2_does_not_delay_the_copy_and_a_failure_of_kv_does_not_delay_uploads() {
    let object = TestObject::with_current_copy();
    let mut files = Sample::new("a");
    files.attachments = vec![object.host.bucket.stage("k/0", "policy.pdf", b"bytes")];
    committed(object.object.log.commit(&files.message(), object.host.now()));
    object.host.next_alarm(&object.object.log);
    object.host.bucket.faults.always("complete", When::Before);
    object.host.kv.faults.always("write", When::Before);
    let lines: BTreeSet<String> = object.advance(UPLOAD_GRACE_MS).into_iter().collect();
    assert_eq!(lines.len(), 1, "{lines:?}");
    let start = object.host.now();
    object.rename("a");
    object.host.kv.faults.heal();
    object.advance(COPY_INTERVAL_MS);
    assert_eq!(object.writes_since(start), [0, COPY_INTERVAL_MS], "while R2 is left alone");
    assert!(object.is_current());
    let attempts = object.host.bucket.faults.calls("complete");
    object.advance(R2_PAUSE_MS - 2 * COPY_INTERVAL_MS);
    assert_eq!(object.host.bucket.faults.calls("complete"), attempts, "an alarm for the copy does not use R2");

    object.host.bucket.faults.heal();
    object.host.kv.faults.always("write", When::Before);
    object.rename("b");
    object.advance(2 * UPLOAD_GRACE_MS);
    assert_eq!(object.host.bucket.keys(), ["k/0"], "while KV fails");
    assert!(!object.is_current());
}

#[test]
fn a_long_name_of_an_earlier_release_is_shortened_in_the_copy() {
    let object = TestObject::with_current_copy();
    for character in ["x", "\"", "é", "\u{1F600}"] {
        let long = character.repeat(1024 / character.len());
        object.database.exec("UPDATE campaign SET name = ?", &[SqlParameter::Text(&long)]).unwrap();
        object.put(&active(true));
        object.put(&active(false));
        object.advance(2 * COPY_INTERVAL_MS);
        assert!(object.is_done());
        assert!(object.copied_name().starts_with(character) && object.copied_name().ends_with('…'));
        assert_eq!(object.object.log.read().unwrap().name, long, "the object keeps the whole name");
    }
}

#[derive(Debug, Clone)]
enum CopyAction {
    Rename(u8),
    Activate(bool),
    ChangeNothing,
    Wait(u64),
    Restart,
    Fail,
    Heal,
}

fn action() -> impl Strategy<Value = CopyAction> {
    prop_oneof![
        4 => (0_u8..3).prop_map(CopyAction::Rename),
        2 => any::<bool>().prop_map(CopyAction::Activate),
        1 => Just(CopyAction::ChangeNothing),
        8 => (0_u64..1500).prop_map(CopyAction::Wait),
        1 => Just(CopyAction::Restart),
        1 => Just(CopyAction::Fail),
        1 => Just(CopyAction::Heal),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Definitions, alarms and restarts are interleaved at every await.
    #[test]
    fn the_copy_is_written_at_most_once_a_second_and_becomes_current(
        actions in prop::collection::vec(action(), 1..60),
        latency in prop::sample::select(vec![0_u64, 1, 300, 2500]),
        seed in any::<u64>(),
    ) {
        let mut object = TestObject::new();
        object.put(&definition());
        object.host.kv.latency.set(latency);
        let dice = Dice::new(seed);
        let mut running: Vec<Pin<Box<dyn Future<Output = ()>>>> = Vec::new();
        for action in actions {
            match action {
                CopyAction::Rename(name) => running.push(discard(object.put_async(&named(&format!("name {name}"))))),
                CopyAction::Activate(value) => running.push(discard(object.put_async(&active(value)))),
                CopyAction::ChangeNothing => running.push(discard(object.put_async(&unchanged()))),
                CopyAction::Wait(milliseconds) => step(&object, &mut running, &dice, milliseconds),
                CopyAction::Restart => {
                    running.clear();
                    object.restart();
                }
                CopyAction::Fail => {
                    let when = if seed % 2 == 0 { When::Before } else { When::After };
                    object.host.kv.faults.always("write", when);
                }
                CopyAction::Heal => object.host.kv.faults.heal(),
            }
        }
        object.host.kv.faults.heal();
        for _ in 0..2 * COPY_BACKOFF_MAX_MS / 1500 {
            step(&object, &mut running, &dice, 1500);
        }
        prop_assert!(running.is_empty());
        prop_assert!(object.is_current(), "{:?}", object.copy());
        prop_assert_eq!(object.database.due(), Vec::<String>::new());
        prop_assert_eq!(object.host.alarm.get(), None);
        for pair in object.host.kv.writes.borrow().windows(2) {
            prop_assert!(pair[1] - pair[0] >= COPY_INTERVAL_MS, "{:?}", object.host.kv.writes);
        }
    }
}

fn discard<T>(future: impl Future<Output = T> + 'static) -> Pin<Box<dyn Future<Output = ()>>> {
    Box::pin(async move { drop(future.await) })
}

/// Lets time pass in small steps, in which running futures continue in any order.
fn step(object: &TestObject, running: &mut Vec<Pin<Box<dyn Future<Output = ()>>>>, dice: &Dice, milliseconds: u64) {
    let mut context = Context::from_waker(Waker::noop());
    let host = &object.host;
    let end = host.now() + milliseconds;
    loop {
        if host.alarm.get().is_some_and(|at| at <= host.now()) {
            running.push(discard(object.ring()));
        }
        for _ in 0..2 * (running.len() + 1) {
            let index = dice.below(running.len() as u64 + 1) as usize;
            let Some(future) = running.get_mut(index) else {
                host.poll_spawned();
                continue;
            };
            if future.as_mut().poll(&mut context).is_ready() {
                drop(running.swap_remove(index));
            }
        }
        if host.now() >= end {
            break;
        }
        // The runtime starts background futures, and those that they spawn, before the clock moves.
        host.poll_spawned();
        host.poll_spawned();
        host.set_now((host.now() + 1 + dice.below(200)).min(end));
    }
}
