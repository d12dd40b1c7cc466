//! Totals of hours and days, in a new object and in one of schema version 1.

use std::rc::Rc;

use super::{
    NOON, Sample,
    database::{DAY, Database, committed, defined, definition, limits, read, unlimited},
    faults::{Dice, run},
    host::{FakeHost, TestObject},
};
use crate::{
    campaign::{
        log::{
            state::LaunchLog,
            totals::{self, count_period},
        },
        protocol::{
            commands::{Command, StatsRequest},
            transport::STATUS_REFUSED,
        },
    },
    limits::{COUNT_STEP_LAUNCHES, HOUR_MS},
    outcome::Outcome,
    storage::sql::Sql,
};

/// A launch of the test: when it was accepted, and its numbers of recipients, unmatched and invalid items.
type Counted = (u64, [u64; 3]);

/// Turns the tables back into those of version 1.
const DOWNGRADE: &str = "ALTER TABLE launches DROP COLUMN unmatched; ALTER TABLE launches DROP COLUMN invalid; \
     ALTER TABLE campaign DROP COLUMN removed_unmatched; ALTER TABLE campaign DROP COLUMN removed_invalid; \
     DROP TABLE webhook; DELETE FROM due WHERE task = 'totals'; UPDATE campaign SET version = 1";

fn commit(log: &LaunchLog<impl Sql>, number: u64, at: u64, dice: &Dice) -> Counted {
    let mut sample = Sample { now: at, ..Sample::new(&format!("request-{number}")) };
    let [matched, unmatched, invalid] = [(); 3].map(|()| dice.below(4));
    let outcomes = [(Outcome::Matched, matched), (Outcome::NotFound, unmatched), (Outcome::TooLong, invalid)];
    sample.outcomes = outcomes.into_iter().flat_map(|(outcome, count)| vec![outcome; count as usize]).collect();
    sample.outcomes.push(Outcome::Duplicate);
    sample.recipients = vec![7; matched as usize * 12];
    committed(log.commit(&sample.message(), at));
    // Accepted times never decrease.
    let accepted_at = log.find(sample.launch_id()).unwrap().accepted_at;
    (accepted_at, [matched, unmatched, invalid])
}

/// Commits launches at random times, many of them at the same time.
fn commit_many(log: &LaunchLog<impl Sql>, count: u64, start: u64, dice: &Dice) -> Vec<Counted> {
    let mut at = start;
    let each = |number| {
        at += if dice.below(3) == 0 { dice.below(HOUR_MS / 2) } else { 0 };
        commit(log, start + number, at, dice)
    };
    (0..count).map(each).collect()
}

/// The reply, computed from all launches.
fn expected(launches: &[Counted], request: &StatsRequest) -> serde_json::Value {
    let buckets = (0..request.buckets).map(|number| {
        let start = request.first + (number * request.width).cast_signed();
        let end = start + request.width.cast_signed();
        let is_inside = |at: u64| (start..end).contains(&at.cast_signed()) && (request.from..request.to).contains(&at);
        let inside: Vec<_> = launches.iter().filter(|(at, _)| is_inside(*at)).map(|(_, counts)| *counts).collect();
        let sum = |kind: usize| inside.iter().map(|counts| counts[kind]).sum::<u64>();
        serde_json::json!({
            "at": crate::text::rfc3339_in(start, request.offset), "launches": inside.len(),
            "recipients": sum(0), "unmatched": sum(1), "invalid": sum(2),
        })
    });
    serde_json::json!({ "buckets": buckets.collect::<Vec<_>>() })
}

fn hours(from: u64, buckets: u64) -> StatsRequest {
    let first = from - from % HOUR_MS;
    StatsRequest { width: HOUR_MS, first: first.cast_signed(), buckets, from, to: first + buckets * HOUR_MS, offset: 0 }
}

fn requests(start: u64) -> Vec<StatsRequest> {
    let partly = StatsRequest { to: start + 7 * HOUR_MS + 5, buckets: 8, ..hours(start + 1234, 8) };
    let days = StatsRequest {
        width: DAY,
        first: (start - start % DAY).cast_signed() - 5 * HOUR_MS.cast_signed(),
        buckets: 3,
        from: start,
        to: start + 2 * DAY,
        offset: 5 * 60,
    };
    vec![
        hours(start, 24),
        hours(start + 3 * HOUR_MS, 1),
        hours(start + HOUR_MS, 1000),
        hours(start - 50 * HOUR_MS, 20),
        hours(start + 500 * HOUR_MS, 3),
        partly,
        days,
        StatsRequest { buckets: 0, to: start, ..hours(start, 0) },
    ]
}

#[test]
fn totals_are_those_of_the_launches_of_each_bucket() {
    let dice = Dice::new(1);
    let log = defined();
    for request in requests(NOON) {
        let reply = read(&log, &Command::Stats(request), NOON).unwrap();
        assert_eq!(serde_json::from_str::<serde_json::Value>(&reply).unwrap(), expected(&[], &request));
    }
    let launches = commit_many(&log, 300, NOON, &dice);
    for request in requests(NOON) {
        let reply = read(&log, &Command::Stats(request), NOON).unwrap();
        let reply: serde_json::Value = serde_json::from_str(&reply).unwrap();
        assert_eq!(reply, expected(&launches, &request), "{request:?}");
    }
    let one = read(&log, &Command::Stats(hours(NOON, 1)), NOON).unwrap();
    assert!(one.starts_with(r#"{"buckets":[{"at":"2026-11-23T18:00:00.000Z","launches":"#), "{one}");
}

#[test]
fn totals_do_not_contain_launches_that_retention_has_removed() {
    let dice = Dice::new(2);
    let log = defined();
    let mut launches = commit_many(&log, 300, NOON, &dice);
    let now = NOON + 3 * DAY + 10 * HOUR_MS;
    log.run_retention(now).unwrap();
    launches.retain(|(at, _)| at + 3 * DAY > now);
    assert!((100..290).contains(&launches.len()), "{}", launches.len());
    launches.extend(commit_many(&log, 20, now, &dice));
    for request in requests(NOON).into_iter().chain(requests(now)) {
        let reply = read(&log, &Command::Stats(request), NOON).unwrap();
        let reply: serde_json::Value = serde_json::from_str(&reply).unwrap();
        assert_eq!(reply, expected(&launches, &request), "{request:?}");
    }
}

/// An object of version 1 with these launches.
fn object_of_version_1(count: u64, dice: &Dice) -> (TestObject, Vec<Counted>) {
    let object = TestObject::new();
    let log = LaunchLog::new(Rc::clone(&object.database), limits());
    log.define(&definition(), &[], NOON).unwrap();
    let launches = commit_many(&log, count, NOON, dice);
    object.database.import(DOWNGRADE);
    object.host.set_now(NOON + DAY);
    (object, launches)
}

fn stats(object: &TestObject, request: StatsRequest) -> serde_json::Value {
    let response = object.send(&unlimited(&Command::Stats(request)));
    serde_json::from_str(response.text()).unwrap_or_else(|error| panic!("{error}: {response:?}"))
}

#[test]
fn an_object_of_version_1_returns_the_same_totals_before_during_and_after_the_count() {
    for count in [0, 1, 2, COUNT_STEP_LAUNCHES, COUNT_STEP_LAUNCHES + 1, 3 * COUNT_STEP_LAUNCHES + 7] {
        let dice = Dice::new(count);
        let (object, mut launches) = object_of_version_1(count, &dice);
        let log = LaunchLog::new(Rc::clone(&object.database), limits());
        launches.push(commit(&log, 9999, NOON + DAY, &dice));
        for request in requests(NOON).into_iter().chain(requests(NOON + DAY)) {
            assert_eq!(stats(&object, request), expected(&launches, &request), "{count} launches: {request:?}");
            launches.push(commit(&log, 10_000 + launches.len() as u64, NOON + DAY, &dice));
        }
        object.advance(HOUR_MS);
        assert!(!object.database.dump().contains("due 'totals'"), "{count} launches");
        for request in requests(NOON) {
            assert_eq!(stats(&object, request), expected(&launches, &request), "{count} launches: {request:?}");
        }
    }
}

#[test]
fn totals_of_an_undefined_campaign_are_not_found() {
    let response = TestObject::new().send(&unlimited(&Command::Stats(hours(NOON, 1))));
    assert_eq!((response.status, response.text()), (STATUS_REFUSED, r#"{"not_found":"campaign"}"#));
}

#[test]
fn the_alarm_counts_all_launches_in_slices() {
    let dice = Dice::new(3);
    let (object, launches) = object_of_version_1(3 * COUNT_STEP_LAUNCHES + 7, &dice);
    let response = object.send(&unlimited(&Command::Read));
    assert_eq!(response.status, 200, "{}", response.text());
    let uncounted = || {
        let rows = object.database.exec("SELECT count(*) FROM launches WHERE unmatched IS NULL", &[]);
        rows.unwrap().pop().unwrap().number().unwrap()
    };
    let mut steps = Vec::new();
    while object.database.dump().contains("due 'totals'") {
        steps.push(uncounted());
        object.host.run(object.ring());
        object.host.run_spawned();
    }
    assert_eq!(steps, [756, 506, 256, 6], "the newest launch is counted by the migration");
    assert_eq!(uncounted(), 0);
    let request = hours(NOON, 1000);
    assert_eq!(stats(&object, request), expected(&launches, &request));
}

#[test]
fn launches_that_are_removed_during_the_count_do_not_disturb_it() {
    for slices in 0..4 {
        let dice = Dice::new(slices);
        let (object, mut launches) = object_of_version_1(3 * COUNT_STEP_LAUNCHES + 7, &dice);
        let log = LaunchLog::new(Rc::clone(&object.database), limits());
        log.start(NOON + DAY).unwrap();
        for _ in 0..slices {
            log.count_slice().unwrap();
        }
        for hours in [4, 20, 1000] {
            let now = NOON + 3 * DAY + hours * HOUR_MS;
            for _ in 0..3 {
                log.due().forget_alarm();
                if let Some(expired) = log.expired_launches(now).unwrap() {
                    log.remove(&expired, now).unwrap();
                }
            }
            launches.retain(|(at, _)| at + 3 * DAY > now);
            launches.push(commit(&log, 5000 + hours, now, &dice));
            let host = FakeHost::new();
            for request in [hours_around(now), self::hours(NOON, 100)] {
                if hours != 4 {
                    run(count_period(&log, &*host, &request)).unwrap();
                    let reply = read_shared(&log, request);
                    assert_eq!(reply, expected(&launches, &request), "{slices} slices, {hours} hours: {request:?}");
                }
            }
        }
        log.count_slice().unwrap();
        assert_eq!(log.due().at(totals::TASK, 0).unwrap(), None, "{slices} slices");
    }
}

fn hours_around(time: u64) -> StatsRequest {
    hours(time - 10 * HOUR_MS, 20)
}

fn read_shared(log: &LaunchLog<Rc<Database>>, request: StatsRequest) -> serde_json::Value {
    serde_json::from_str(&read(log, &Command::Stats(request), NOON).unwrap()).unwrap()
}
