use super::{
    NOON, Sample,
    database::{DAY, Database, committed, defined, read},
};
use crate::campaign::{
    commands::{Command, Page, Refusal, Thing},
    log::{Fault, Log},
    retention::{PAUSE, STEP_LAUNCHES},
    sql::Sql,
};

fn page(after: Option<u64>) -> Command {
    Command::Launches(Page { after, limit: 1000 })
}

fn commit_at(log: &Log<Database>, number: u64, at: u64) -> Sample {
    let sample = Sample { now: at, ..Sample::new(&format!("request-{number}")) };
    committed(log.commit(&sample.message(), at));
    sample
}

#[test]
fn the_first_launch_sets_the_alarm_and_the_alarm_sets_itself() {
    let log = defined();
    assert_eq!(log.take_alarm().unwrap(), None);
    commit_at(&log, 1, NOON);
    assert_eq!(log.take_alarm().unwrap(), Some(NOON + 3 * DAY));
    commit_at(&log, 2, NOON + 10);
    assert_eq!(log.take_alarm().unwrap(), None, "not written again with every launch");
    commit_at(&log, 3, NOON + DAY);
    log.sweep(NOON + 3 * DAY).unwrap();
    assert_eq!(log.take_alarm().unwrap(), Some(NOON + 3 * DAY + PAUSE), "what expires soon goes together");
    log.sweep(NOON + 3 * DAY + PAUSE).unwrap();
    assert_eq!(log.take_alarm().unwrap(), Some(NOON + 4 * DAY));
    log.sweep(NOON + 3 * DAY + PAUSE).unwrap();
    assert_eq!(log.take_alarm().unwrap(), Some(NOON + 4 * DAY), "an alarm that comes early changes nothing");
    log.sweep(NOON + 4 * DAY).unwrap();
    assert_eq!(log.take_alarm().unwrap(), None, "nothing is held");
    commit_at(&log, 4, NOON + 5 * DAY);
    assert_eq!(log.take_alarm().unwrap(), Some(NOON + 8 * DAY));
}

#[test]
fn an_object_that_starts_sets_its_alarm_again() {
    let log = defined();
    log.start(NOON).unwrap();
    assert_eq!(log.take_alarm().unwrap(), None);
    commit_at(&log, 1, NOON);
    log.take_alarm().unwrap();
    log.start(NOON + 1).unwrap();
    assert_eq!(log.take_alarm().unwrap(), Some(NOON + 3 * DAY));
}

#[test]
fn what_is_old_goes_in_steps_and_numbers_are_never_used_again() {
    let log = defined();
    for number in 0..STEP_LAUNCHES + 10 {
        commit_at(&log, number, NOON);
    }
    let first = commit_at(&log, 9999, NOON).launch_id();
    let end = NOON + 3 * DAY;
    log.take_alarm().unwrap();
    log.sweep(end - 1).unwrap();
    assert!(read(&log, &page(Some(0)), end).is_ok(), "nothing goes before its time");

    log.sweep(end).unwrap();
    assert_eq!(log.take_alarm().unwrap(), Some(end), "there is more to do at once");
    let expired = Fault::Refused(Refusal::Expired { first: Some(STEP_LAUNCHES + 1) });
    assert_eq!(read(&log, &page(Some(STEP_LAUNCHES - 1)), end), Err(expired));
    let held = read(&log, &page(Some(STEP_LAUNCHES)), end).unwrap();
    assert!(held.ends_with(&format!(r#""first":{},"next":null}}"#, STEP_LAUNCHES + 1)), "{held}");
    assert_eq!(read(&log, &page(None), end).unwrap(), held, "without after it starts at what is held");

    log.sweep(end).unwrap();
    assert_eq!(log.take_alarm().unwrap(), None);
    let campaign = log.read().unwrap();
    assert_eq!((campaign.launches, campaign.recipients), (STEP_LAUNCHES + 11, STEP_LAUNCHES + 11));
    let nothing = Fault::Refused(Refusal::Expired { first: None });
    assert_eq!(read(&log, &page(Some(0)), end), Err(nothing.clone()));
    assert_eq!(read(&log, &page(Some(STEP_LAUNCHES + 10)), end), Err(nothing.clone()));
    let empty = r#"{"launches":[],"first":null,"next":null}"#;
    assert_eq!(read(&log, &page(Some(STEP_LAUNCHES + 11)), end).unwrap(), empty);
    assert_eq!(read(&log, &page(None), end).unwrap(), empty);
    assert_eq!(log.find(first), Err(nothing));

    let sample = Sample { now: end + 5, ..Sample::new("after") };
    assert_eq!(committed(log.commit(&sample.message(), end - DAY)), STEP_LAUNCHES + 12);
    assert_eq!(log.find(sample.launch_id()).unwrap().accepted_at, NOON.max(end - DAY));
    let unknown = Sample { now: end + 5, ..Sample::new("never") }.launch_id();
    assert_eq!(log.find(unknown), Err(Fault::Refused(Refusal::NotFound(Thing::Launch))));
}

#[test]
fn time_does_not_go_back_after_everything_has_expired() {
    let log = defined();
    commit_at(&log, 1, NOON);
    log.sweep(NOON + 3 * DAY).unwrap();
    let sample = Sample::new("b");
    committed(log.commit(&sample.message(), NOON - 1000));
    assert_eq!(log.find(sample.launch_id()).unwrap().accepted_at, NOON);
}

#[test]
fn a_step_ends_at_its_bytes_and_leaves_nothing_behind() {
    let log = defined();
    commit_at(&log, 1, NOON);
    let sample = Sample { content: Some("7".repeat(33 << 20)), ..Sample::new("large") };
    committed(log.commit(&sample.message(), NOON));
    commit_at(&log, 3, NOON);
    let end = NOON + 3 * DAY;
    log.sweep(end).unwrap();
    assert_eq!(log.read().unwrap().launches, 3);
    assert_eq!(log.take_alarm().unwrap(), Some(end));
    let held = log.sql.exec("SELECT count(*) FROM launches", &[]).unwrap().pop().unwrap().number();
    assert_eq!(held, Ok(1), "the second one is 33 MiB");
    log.sweep(end).unwrap();
    for table in ["launches", "chunks", "due"] {
        let rows = log.sql.exec(&format!("SELECT count(*) FROM {table}"), &[]).unwrap().pop().unwrap().number();
        assert_eq!(rows, Ok(0), "{table}");
    }
}

#[test]
fn a_step_that_fails_removes_nothing() {
    for statement in 0.. {
        let log = defined();
        commit_at(&log, 1, NOON);
        committed(log.commit(&Sample::of("large", 20_000).message(), NOON + 1));
        commit_at(&log, 3, NOON + DAY);
        let before = log.sql.dump();
        log.sql.statements.set(statement);
        let swept = log.sweep(NOON + 3 * DAY + 1);
        log.sql.statements.set(u64::MAX);
        if swept.is_ok() {
            assert!(statement > 5);
            break;
        }
        assert_eq!(log.sql.dump(), before, "statement {statement} failed");
    }
}
