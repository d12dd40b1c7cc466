//! Removing expired launches.

use super::{
    NOON, Sample,
    database::{DAY, Database, committed, defined, new_alarm, read},
};
use crate::{
    campaign::{
        log::state::{LaunchLog, LogError},
        protocol::commands::{Command, PageRequest, Refusal, Resource},
    },
    limits::{RETENTION_PAUSE_MS, RETENTION_STEP_LAUNCHES},
};

fn page(after: Option<u64>) -> Command {
    Command::Launches(PageRequest { after, limit: 1000 })
}

fn commit_at(log: &LaunchLog<Database>, number: u64, at: u64) -> Sample {
    let sample = Sample { now: at, ..Sample::new(&format!("request-{number}")) };
    committed(log.commit(&sample.message(), at));
    sample
}

#[test]
fn the_first_launch_sets_the_alarm_and_each_run_sets_the_next() {
    let log = defined();
    assert_eq!(new_alarm(&log), None);
    commit_at(&log, 1, NOON);
    assert_eq!(new_alarm(&log), Some(NOON + 3 * DAY));
    commit_at(&log, 2, NOON + 10);
    assert_eq!(new_alarm(&log), None, "the alarm is not set again for every launch");
    commit_at(&log, 3, NOON + DAY);
    log.run_retention(NOON + 3 * DAY).unwrap();
    assert_eq!(
        new_alarm(&log),
        Some(NOON + 3 * DAY + RETENTION_PAUSE_MS),
        "launches that expire soon after each other are removed together"
    );
    log.run_retention(NOON + 3 * DAY + RETENTION_PAUSE_MS).unwrap();
    assert_eq!(new_alarm(&log), Some(NOON + 4 * DAY));
    log.run_retention(NOON + 3 * DAY + RETENTION_PAUSE_MS).unwrap();
    assert_eq!(new_alarm(&log), Some(NOON + 4 * DAY), "a run before its time changes nothing");
    log.run_retention(NOON + 4 * DAY).unwrap();
    assert_eq!(new_alarm(&log), None, "the log is empty");
    commit_at(&log, 4, NOON + 5 * DAY);
    assert_eq!(new_alarm(&log), Some(NOON + 8 * DAY));
}

#[test]
fn an_object_sets_its_alarm_again_when_it_starts() {
    let log = defined();
    log.start(NOON).unwrap();
    assert_eq!(new_alarm(&log), None);
    commit_at(&log, 1, NOON);
    new_alarm(&log);
    log.start(NOON + 1).unwrap();
    assert_eq!(new_alarm(&log), Some(NOON + 3 * DAY));
}

#[test]
fn expired_launches_are_removed_in_steps_and_sequences_are_never_reused() {
    let log = defined();
    for number in 0..RETENTION_STEP_LAUNCHES + 10 {
        commit_at(&log, number, NOON);
    }
    let first = commit_at(&log, 9999, NOON).launch_id();
    let end = NOON + 3 * DAY;
    new_alarm(&log);
    log.run_retention(end - 1).unwrap();
    assert!(read(&log, &page(Some(0)), end).is_ok(), "nothing is removed before its time");

    log.run_retention(end).unwrap();
    assert_eq!(new_alarm(&log), Some(end), "the next step follows at once");
    let expired = LogError::Refused(Refusal::Expired { first: Some(RETENTION_STEP_LAUNCHES + 1) });
    assert_eq!(read(&log, &page(Some(RETENTION_STEP_LAUNCHES - 1)), end), Err(expired));
    let rest = read(&log, &page(Some(RETENTION_STEP_LAUNCHES)), end).unwrap();
    assert!(rest.ends_with(&format!(r#""first":{},"next":null}}"#, RETENTION_STEP_LAUNCHES + 1)), "{rest}");
    assert_eq!(read(&log, &page(None), end).unwrap(), rest, "a page without `after` begins at the oldest launch");

    log.run_retention(end).unwrap();
    assert_eq!(new_alarm(&log), None);
    let campaign = log.read().unwrap();
    assert_eq!((campaign.launches, campaign.recipients), (RETENTION_STEP_LAUNCHES + 11, RETENTION_STEP_LAUNCHES + 11));
    let nothing = LogError::Refused(Refusal::Expired { first: None });
    assert_eq!(read(&log, &page(Some(0)), end), Err(nothing.clone()));
    assert_eq!(read(&log, &page(Some(RETENTION_STEP_LAUNCHES + 10)), end), Err(nothing.clone()));
    let empty = r#"{"launches":[],"first":null,"next":null}"#;
    assert_eq!(read(&log, &page(Some(RETENTION_STEP_LAUNCHES + 11)), end).unwrap(), empty);
    assert_eq!(read(&log, &page(None), end).unwrap(), empty);
    assert_eq!(log.find(first), Err(nothing));

    let sample = Sample { now: end + 5, ..Sample::new("after") };
    assert_eq!(committed(log.commit(&sample.message(), end - DAY)), RETENTION_STEP_LAUNCHES + 12);
    assert_eq!(log.find(sample.launch_id()).unwrap().accepted_at, NOON.max(end - DAY));
    let unknown = Sample { now: end + 5, ..Sample::new("never") }.launch_id();
    assert_eq!(log.find(unknown), Err(LogError::Refused(Refusal::NotFound(Resource::Launch))));
}

#[test]
fn accepted_times_do_not_decrease_after_all_launches_have_expired() {
    let log = defined();
    commit_at(&log, 1, NOON);
    log.run_retention(NOON + 3 * DAY).unwrap();
    let sample = Sample::new("b");
    committed(log.commit(&sample.message(), NOON - 1000));
    assert_eq!(log.find(sample.launch_id()).unwrap().accepted_at, NOON);
}

#[test]
fn a_step_ends_at_its_size_limit_and_the_last_step_leaves_no_row() {
    let log = defined();
    commit_at(&log, 1, NOON);
    let sample = Sample { content: Some("7".repeat(33 << 20)), ..Sample::new("large") };
    committed(log.commit(&sample.message(), NOON));
    commit_at(&log, 3, NOON);
    let end = NOON + 3 * DAY;
    log.run_retention(end).unwrap();
    assert_eq!(log.read().unwrap().launches, 3);
    assert_eq!(new_alarm(&log), Some(end));
    assert_eq!(log.sql.count("launches"), 1, "the second launch has 33 MiB");
    log.run_retention(end).unwrap();
    for table in ["launches", "chunks", "due"] {
        assert_eq!(log.sql.count(table), 0, "{table}");
    }
}

#[test]
fn a_step_that_fails_at_any_statement_removes_nothing() {
    for statement in 0.. {
        let log = defined();
        commit_at(&log, 1, NOON);
        committed(log.commit(&Sample::with_recipients("large", 20_000).message(), NOON + 1));
        commit_at(&log, 3, NOON + DAY);
        let before = log.sql.dump();
        log.sql.statements.set(statement);
        let removed = log.run_retention(NOON + 3 * DAY + 1);
        log.sql.statements.set(u64::MAX);
        if removed.is_ok() {
            assert!(statement > 5);
            break;
        }
        assert_eq!(log.sql.dump(), before, "statement {statement} failed");
    }
}
