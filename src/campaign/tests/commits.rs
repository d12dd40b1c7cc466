use super::{
    NOON, Sample,
    database::{DAY, Database, activate, bytes, committed, defined, definition, empty, read},
};
use crate::{
    campaign::{
        commands::{Command, Committed, Definition, NAME_LIMIT, Refusal, Request, Thing},
        log::{Fault, Log, Outcome, Terms},
        message::Repeated,
        reading::{Reading, Repeating},
        schema,
        sql::Sql,
    },
    limits::Limits,
};

fn refused<T: std::fmt::Debug>(result: Result<T, Fault>) -> Refusal {
    match result {
        Err(Fault::Refused(refusal)) => refusal,
        other => panic!("{other:?}"),
    }
}

fn repeated(log: &Log<Database>, outcome: Result<Outcome, Fault>) -> Repeated {
    let Ok(Outcome::Repeated(stored)) = outcome else { panic!("{outcome:?}") };
    let repeating = Repeating::new(*stored);
    let length = repeating.length();
    let message = bytes(log, Reading::Repeated(Box::new(repeating))).unwrap();
    assert_eq!(message.len() as u64, length, "the length that is announced");
    Repeated::decode(message).unwrap()
}

fn preflight(log: &Log<Database>, request_id: &str, now: u64) -> Result<bool, Fault> {
    let request = Request { token_name: "crm".to_owned(), request_id: request_id.to_owned() };
    log.preflight(&request, now).map(|seen| seen.is_some())
}

#[test]
fn an_undefined_campaign_is_not_found_and_keeps_no_storage() {
    let log = empty();
    let not_found = Refusal::NotFound(Thing::Campaign);
    assert_eq!(refused(log.read()), not_found);
    assert_eq!(refused(preflight(&log, "a", NOON)), not_found);
    assert_eq!(refused(log.commit(&Sample::new("a").message(), NOON)), not_found);
    assert_eq!(refused(log.find(Sample::new("a").launch_id())), not_found);
    log.start(NOON).unwrap();
    log.sweep(NOON).unwrap();
    assert_eq!(log.sql.schema(), Vec::<String>::new());
    assert_eq!(log.take_alarm().unwrap(), None);
}

#[test]
fn the_first_definition_needs_everything_and_later_ones_keep_what_they_leave_out() {
    let log = empty();
    for missing in ["name", "database", "active"] {
        let mut partial = definition();
        match missing {
            "name" => partial.name = None,
            "database" => partial.database = None,
            _ => partial.active = None,
        }
        let Refusal::BadField(what) = refused(log.define(&partial, &[], NOON)) else { panic!() };
        assert!(what.starts_with(missing), "{what}");
    }
    assert_eq!(log.sql.schema(), Vec::<String>::new(), "what is refused keeps no storage");
    log.define(&definition(), &[], NOON).unwrap();
    let renamed = Definition { id: 85, name: Some("Bye".to_owned()), ..Definition::default() };
    let campaign = log.define(&renamed, &[], NOON).unwrap();
    assert_eq!((campaign.name.as_str(), campaign.database, campaign.active), ("Bye", 1, true));
    assert_eq!(log.read().unwrap(), campaign);
    let moved = Definition { id: 85, database: Some(2), active: Some(false), ..Definition::default() };
    assert_eq!(refused(log.define(&moved, &[], NOON)), Refusal::DatabaseFixed);
    assert!(log.read().unwrap().active, "nothing of what is refused is done");
    for bad in [Some(String::new()), Some("x".repeat(NAME_LIMIT + 1))] {
        assert!(matches!(
            refused(log.define(&Definition { name: bad, ..definition() }, &[], NOON)),
            Refusal::BadField(_)
        ));
    }
    assert!(matches!(
        refused(log.define(&Definition { database: Some(0), ..definition() }, &[], NOON)),
        Refusal::BadField(_)
    ));
}

#[test]
fn the_tables_are_pinned() {
    assert_eq!(defined().sql.schema(), schema::TABLES);
    assert_eq!(schema::VERSION, 1, "a new version needs a migration");
}

#[test]
fn the_rows_of_a_launch_are_pinned() {
    let log = defined();
    let sample = Sample { content: Some("{\"a\": 1.0}".to_owned()), ..Sample::new("req-1") };
    assert_eq!(committed(log.commit(&sample.message(), NOON)), 1);
    let message = sample.message();
    let dump = log.sql.dump();
    let lines: Vec<_> = dump.lines().collect();
    let head = crate::text::hex(&message[..message.len() - 16 - 10 - 12 - 1]);
    let payload = "7b2261223a20312e307d0102030405060708090a0b0c08";
    assert_eq!(
        lines,
        [
            "campaign 85 1 'Welcome' 1 1 0 0 0".to_owned(),
            format!("launches 1 951822655433 {NOON} '{}' 1 x'{head}' x'{payload}'", sample.launch_id()),
            format!("due 'retention' 0 {}", NOON + 3 * DAY),
        ],
        "every number is stored as an integer"
    );
}

#[test]
fn a_small_launch_writes_one_row_and_one_entry_of_an_index() {
    let log = defined();
    committed(log.commit(&Sample::new("first").message(), NOON));
    let before = log.sql.rows_written.get();
    committed(log.commit(&Sample::new("second").message(), NOON));
    assert_eq!(log.sql.rows_written.get() - before, 1);
    let indexes = log.sql.schema().iter().filter(|statement| statement.starts_with("CREATE INDEX")).count();
    assert_eq!(indexes, 1);
}

#[test]
fn sequences_count_without_gaps_and_time_never_goes_back() {
    let log = defined();
    assert_eq!(committed(log.commit(&Sample::new("a").message(), NOON)), 1);
    let Ok(Outcome::Committed(second)) = log.commit(&Sample::new("b").message(), NOON - 5000) else { panic!() };
    assert_eq!(second, Committed { sequence: 2, accepted_at: NOON });
    assert!(log.commit(&Sample::new("a").message()[1..], NOON).is_err());
    activate(&log, false);
    assert_eq!(refused(log.commit(&Sample::new("c").message(), NOON)), Refusal::NotActive);
    activate(&log, true);
    assert_eq!(committed(log.commit(&Sample::of("c", 40).message(), NOON + 1)), 3);
    let campaign = log.read().unwrap();
    assert_eq!((campaign.launches, campaign.recipients), (3, 42));
}

#[test]
fn a_commit_that_is_repeated_is_the_same_launch() {
    let log = defined();
    let message = Sample::new("a").message();
    let first = log.commit(&message, NOON);
    activate(&log, false);
    log.sql.ballast.set(1 << 40);
    assert_eq!(log.commit(&message, NOON + 1000), first, "also when it is paused or full by now");
    assert_eq!(log.read().unwrap().launches, 1);
    // However short request ids are kept.
    let terms = Terms::from(&Limits { deduplication_seconds: 0, ..Limits::default() });
    let log = Log::new(Database::new(), terms);
    log.define(&definition(), &[], NOON).unwrap();
    let first = log.commit(&message, NOON);
    assert_eq!(log.commit(&message, NOON + 60_000), first);
    let again = Sample { random: 2, ..Sample::new("a") };
    assert_eq!(committed(log.commit(&again.message(), NOON + 60_000)), 2);
}

#[test]
fn a_request_that_is_repeated_gets_the_launch_that_answered_it() {
    let log = defined();
    let mut first = Sample::of("a", 2);
    first.outcomes.push(crate::outcome::Outcome::NotFound);
    first.content = Some("\"x\"".repeat(50_000));
    committed(log.commit(&first.message(), NOON));
    let again = Sample { random: 2, now: NOON + 50, content: None, ..first.clone() };
    activate(&log, false);
    log.sql.ballast.set(1 << 40);
    let repeated = repeated(&log, log.commit(&again.message(), NOON + 60));
    assert_eq!(repeated.head().launch_id, first.launch_id());
    assert_eq!(repeated.recipients(), first.recipients);
    assert_eq!(crate::campaign::packed::outcomes(repeated.outcomes()).collect::<Vec<_>>(), first.outcomes);
    assert_eq!(repeated.head().body_digest, [1; 32]);
    assert_eq!(preflight(&log, "a", NOON + 60), Ok(true));
    assert_eq!(log.read().unwrap().launches, 1);

    let other_body = Sample { digest: 2, ..again.clone() };
    assert_eq!(refused(log.commit(&other_body.message(), NOON + 60)), Refusal::RequestIdReused);
    let other_path = again.with_commit(|commit| {
        let mut commit = commit.clone();
        commit.head.endpoint = crate::fields::Endpoint::Start;
        commit.encode().unwrap()
    });
    assert_eq!(refused(log.commit(&other_path, NOON + 60)), Refusal::RequestIdReused);
}

#[test]
fn the_same_id_of_another_token_is_another_request() {
    let log = defined();
    committed(log.commit(&Sample::new("a").message(), NOON));
    let request = Request { token_name: "shop".to_owned(), request_id: "a".to_owned() };
    assert_eq!(log.preflight(&request, NOON), Ok(None));
}

#[test]
fn a_request_id_is_free_again_when_its_time_is_over() {
    let log = defined();
    committed(log.commit(&Sample::new("a").message(), NOON));
    let again = Sample { random: 2, digest: 9, ..Sample::new("a") }.message();
    assert_eq!(refused(log.commit(&again, NOON + DAY - 1)), Refusal::RequestIdReused);
    assert_eq!(preflight(&log, "a", NOON + DAY), Ok(false));
    assert_eq!(committed(log.commit(&again, NOON + DAY)), 2);
    assert_eq!(preflight(&log, "a", NOON + DAY), Ok(true));
}

#[test]
fn a_pause_holds_at_once_and_is_decided_after_a_repetition() {
    let log = defined();
    committed(log.commit(&Sample::new("a").message(), NOON));
    activate(&log, false);
    assert_eq!(refused(preflight(&log, "b", NOON)), Refusal::NotActive);
    assert_eq!(preflight(&log, "a", NOON), Ok(true));
    assert_eq!(refused(log.commit(&Sample::new("b").message(), NOON)), Refusal::NotActive);
    log.sql.ballast.set(1 << 40);
    assert_eq!(refused(log.commit(&Sample::new("b").message(), NOON)), Refusal::NotActive, "before a full log");
    activate(&log, true);
    assert!(matches!(refused(log.commit(&Sample::new("b").message(), NOON)), Refusal::LogFull { .. }));
    log.sql.ballast.set(0);
    assert_eq!(committed(log.commit(&Sample::new("b").message(), NOON)), 2);
}

#[test]
fn a_log_that_is_full_by_a_byte_refuses_before_it_writes() {
    let log = defined();
    let message = Sample::of("a", 50_000).message();
    let room = log.sql.size() + message.len() as u64;
    log.sql.ballast.set((1 << 30) - room + 1);
    let before = log.sql.dump();
    let (size, limit) = ((1 << 30) - message.len() as u64 + 1, 1 << 30);
    assert_eq!(refused(log.commit(&message, NOON)), Refusal::LogFull { size, limit });
    assert_eq!(log.sql.dump(), before);
    log.sql.ballast.set((1 << 30) - room);
    assert_eq!(committed(log.commit(&message, NOON)), 1);
}

#[test]
fn a_launch_of_another_campaign_is_not_taken() {
    let log = defined();
    let message = Sample::new("a").with_commit(|commit| {
        let mut commit = commit.clone();
        commit.head.trigger_id = 86;
        commit.encode().unwrap()
    });
    assert!(matches!(log.commit(&message, NOON), Err(Fault::Broken(_))));
    assert!(matches!(log.define(&Definition { id: 86, ..definition() }, &[], NOON), Err(Fault::Broken(_))));
}

/// Whichever statement of a commit fails: the log is as it was, and the same commit succeeds afterwards.
#[test]
fn a_launch_is_written_whole_or_not_at_all() {
    for (held, recipients) in [(0, 1), (1, 1), (0, 90_000), (1, 90_000)] {
        for statement in 0.. {
            let log = defined();
            for number in 0..held {
                committed(log.commit(&Sample::new(&format!("held-{number}")).message(), NOON));
            }
            let before = log.sql.dump();
            let message = Sample::of("a", recipients).message();
            log.sql.statements.set(statement);
            let outcome = log.commit(&message, NOON);
            log.sql.statements.set(u64::MAX);
            if outcome.is_ok() {
                assert!(statement >= 3, "there was something to fail");
                break;
            }
            assert!(matches!(outcome, Err(Fault::Broken(_))));
            assert_eq!(log.sql.dump(), before, "statement {statement} failed");
            assert_eq!(committed(log.commit(&message, NOON)), held + 1);
            assert_eq!(read(&log, &Command::Read, NOON).unwrap().matches("launches").count(), 1);
        }
    }
}

#[test]
fn three_hundred_thousand_recipients_take_thirteen_bytes_each() {
    let log = defined();
    committed(log.commit(&Sample::new("first").message(), NOON));
    let before = log.sql.size();
    let sample = Sample::of("a", 300_000);
    committed(log.commit(&sample.message(), NOON));
    let bytes = log.sql.size() - before;
    assert!(bytes <= 300_000 * 13, "{bytes} bytes: {} a recipient", bytes as f64 / 300_000.0);
    // The worst outcomes that recipients alone can have: none next to one of its kind.
    let mut mixed = Sample::of("b", 300_000);
    mixed.outcomes = [crate::outcome::Outcome::Matched, crate::outcome::Outcome::Duplicate].repeat(300_000);
    let before = log.sql.size();
    committed(log.commit(&mixed.message(), NOON));
    let bytes = log.sql.size() - before;
    assert!(bytes <= 600_000 * 13, "{bytes} bytes for 600,000 items");
}
