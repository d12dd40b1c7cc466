//! Defining the campaign and committing launches.

use super::{
    NOON, Sample,
    database::{DAY, Database, activate, bytes, committed, defined, definition, empty, new_alarm, read},
};
use crate::{
    campaign::{
        log::{
            commit::CommitOutcome,
            schema::{SCHEMA, TABLES},
            state::{LaunchLog, LogError, LogLimits},
        },
        protocol::{
            commands::{Command, Committed, Definition, Refusal, RequestIdentity, Resource},
            message::RepeatedLaunch,
            packed,
        },
        read::{repeat::RepeatReply, reply::ObjectReply},
    },
    limits::{CAMPAIGN_NAME_LIMIT, Limits},
    outcome::Outcome,
    storage::sql::Sql,
};

fn refused<T: std::fmt::Debug>(result: Result<T, LogError>) -> Refusal {
    match result {
        Err(LogError::Refused(refusal)) => refusal,
        other => panic!("{other:?}"),
    }
}

fn repeated(log: &LaunchLog<Database>, outcome: Result<CommitOutcome, LogError>) -> RepeatedLaunch {
    let Ok(CommitOutcome::Repeated(stored)) = outcome else { panic!("{outcome:?}") };
    let reply = RepeatReply::new(*stored);
    let length = reply.length();
    let message = bytes(log, ObjectReply::Repeat(Box::new(reply))).unwrap();
    assert_eq!(message.len() as u64, length, "the length in the header");
    RepeatedLaunch::decode(message).unwrap()
}

fn preflight(log: &LaunchLog<Database>, request_id: &str, now: u64) -> Result<bool, LogError> {
    let request = RequestIdentity { token_name: "crm".to_owned(), request_id: request_id.to_owned() };
    log.preflight(&request, now).map(|seen| seen.is_some())
}

#[test]
fn an_undefined_campaign_is_not_found_and_has_no_tables() {
    let log = empty();
    let not_found = Refusal::NotFound(Resource::Campaign);
    assert_eq!(refused(log.read()), not_found);
    assert_eq!(refused(preflight(&log, "a", NOON)), not_found);
    assert_eq!(refused(log.commit(&Sample::new("a").message(), NOON)), not_found);
    assert_eq!(refused(log.find(Sample::new("a").launch_id())), not_found);
    log.start(NOON).unwrap();
    log.run_retention(NOON).unwrap();
    assert_eq!(log.sql.schema(), Vec::<String>::new());
    assert_eq!(new_alarm(&log), None);
}

#[test]
fn the_first_definition_has_to_be_complete_and_later_ones_keep_absent_fields() {
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
    assert_eq!(log.sql.schema(), Vec::<String>::new(), "a refused definition creates no tables");
    log.define(&definition(), &[], NOON).unwrap();
    let renamed = Definition { id: 85, name: Some("Bye".to_owned()), ..Definition::default() };
    let campaign = log.define(&renamed, &[], NOON).unwrap();
    assert_eq!((campaign.name.as_str(), campaign.database, campaign.active), ("Bye", 1, true));
    assert_eq!(log.read().unwrap(), campaign);
    let moved = Definition { id: 85, database: Some(2), active: Some(false), ..Definition::default() };
    assert_eq!(refused(log.define(&moved, &[], NOON)), Refusal::DatabaseFixed);
    assert!(log.read().unwrap().active, "a refused definition changes nothing");
    for bad in [Some(String::new()), Some("x".repeat(CAMPAIGN_NAME_LIMIT + 1))] {
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
fn a_new_object_has_the_tables_of_the_current_version() {
    assert_eq!(defined().sql.schema(), TABLES);
    assert_eq!(SCHEMA.version(), 3, "a new version needs a migration");
}

#[test]
fn a_launch_has_its_stored_rows() {
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
            "campaign 85 3 'Welcome' 1 1 0 0 0 0 0".to_owned(),
            format!("launches 1 951822655433 {NOON} '{}' 1 x'{head}' x'{payload}' 0 0", sample.launch_id()),
            format!("due 'retention' 0 {}", NOON + 3 * DAY),
        ],
        "every number is stored as an integer"
    );
}

#[test]
fn a_small_launch_writes_one_row_and_one_index_entry() {
    let log = defined();
    committed(log.commit(&Sample::new("first").message(), NOON));
    let before = log.sql.inserts.get();
    committed(log.commit(&Sample::new("second").message(), NOON));
    assert_eq!(log.sql.inserts.get() - before, 1);
    let indexes = log.sql.schema().iter().filter(|statement| statement.starts_with("CREATE INDEX")).count();
    assert_eq!(indexes, 1);
}

#[test]
fn sequences_have_no_gaps_and_accepted_times_do_not_decrease() {
    let log = defined();
    assert_eq!(committed(log.commit(&Sample::new("a").message(), NOON)), 1);
    let Ok(CommitOutcome::Committed(second)) = log.commit(&Sample::new("b").message(), NOON - 5000) else { panic!() };
    assert_eq!(second, Committed { sequence: 2, accepted_at: NOON });
    assert!(log.commit(&Sample::new("a").message()[1..], NOON).is_err());
    activate(&log, false);
    assert_eq!(refused(log.commit(&Sample::new("c").message(), NOON)), Refusal::NotActive);
    activate(&log, true);
    assert_eq!(committed(log.commit(&Sample::with_recipients("c", 40).message(), NOON + 1)), 3);
    let campaign = log.read().unwrap();
    assert_eq!((campaign.launches, campaign.recipients), (3, 42));
}

#[test]
fn a_repeated_commit_returns_the_same_launch() {
    let log = defined();
    let message = Sample::new("a").message();
    let first = log.commit(&message, NOON);
    activate(&log, false);
    log.sql.ballast.set(1 << 40);
    assert_eq!(log.commit(&message, NOON + 1000), first, "even if the campaign is paused and the log is full");
    assert_eq!(log.read().unwrap().launches, 1);
    // Even if request IDs are kept for a shorter time.
    let limits = LogLimits::from(&Limits { deduplication_seconds: 0, ..Limits::default() });
    let log = LaunchLog::new(Database::new(), limits);
    log.define(&definition(), &[], NOON).unwrap();
    let first = log.commit(&message, NOON);
    assert_eq!(log.commit(&message, NOON + 60_000), first);
    let again = Sample { random: 2, ..Sample::new("a") };
    assert_eq!(committed(log.commit(&again.message(), NOON + 60_000)), 2);
}

#[test]
fn a_repeated_request_gets_the_launch_of_the_first_one() {
    let log = defined();
    let mut first = Sample::with_recipients("a", 2);
    first.outcomes.push(Outcome::NotFound);
    first.content = Some("\"x\"".repeat(50_000));
    committed(log.commit(&first.message(), NOON));
    let again = Sample { random: 2, now: NOON + 50, content: None, ..first.clone() };
    activate(&log, false);
    log.sql.ballast.set(1 << 40);
    let repeated = repeated(&log, log.commit(&again.message(), NOON + 60));
    assert_eq!(repeated.head().launch_id, first.launch_id());
    assert_eq!(repeated.recipients(), first.recipients);
    assert_eq!(packed::outcomes(repeated.outcomes()).collect::<Vec<_>>(), first.outcomes);
    assert_eq!(repeated.head().body_digest, [1; 32]);
    assert_eq!(preflight(&log, "a", NOON + 60), Ok(true));
    assert_eq!(log.read().unwrap().launches, 1);

    let other_body = Sample { digest: 2, ..again.clone() };
    assert_eq!(refused(log.commit(&other_body.message(), NOON + 60)), Refusal::RequestIdReused);
    let other_path = again.changed_message(|commit| commit.head.endpoint = crate::fields::Endpoint::Start);
    assert_eq!(refused(log.commit(&other_path, NOON + 60)), Refusal::RequestIdReused);
}

#[test]
fn the_same_request_id_of_another_token_is_another_request() {
    let log = defined();
    committed(log.commit(&Sample::new("a").message(), NOON));
    let request = RequestIdentity { token_name: "shop".to_owned(), request_id: "a".to_owned() };
    assert_eq!(log.preflight(&request, NOON), Ok(None));
}

#[test]
fn a_request_id_can_be_reused_after_the_deduplication_time() {
    let log = defined();
    committed(log.commit(&Sample::new("a").message(), NOON));
    let again = Sample { random: 2, digest: 9, ..Sample::new("a") }.message();
    assert_eq!(refused(log.commit(&again, NOON + DAY - 1)), Refusal::RequestIdReused);
    assert_eq!(preflight(&log, "a", NOON + DAY), Ok(false));
    assert_eq!(committed(log.commit(&again, NOON + DAY)), 2);
    assert_eq!(preflight(&log, "a", NOON + DAY), Ok(true));
}

#[test]
fn a_paused_campaign_refuses_new_launches_and_answers_repeated_ones() {
    let log = defined();
    committed(log.commit(&Sample::new("a").message(), NOON));
    activate(&log, false);
    assert_eq!(refused(preflight(&log, "b", NOON)), Refusal::NotActive);
    assert_eq!(preflight(&log, "a", NOON), Ok(true));
    assert_eq!(refused(log.commit(&Sample::new("b").message(), NOON)), Refusal::NotActive);
    log.sql.ballast.set(1 << 40);
    assert_eq!(
        refused(log.commit(&Sample::new("b").message(), NOON)),
        Refusal::NotActive,
        "a pause is reported before a full log"
    );
    activate(&log, true);
    assert!(matches!(refused(log.commit(&Sample::new("b").message(), NOON)), Refusal::LogFull { .. }));
    log.sql.ballast.set(0);
    assert_eq!(committed(log.commit(&Sample::new("b").message(), NOON)), 2);
}

#[test]
fn a_launch_that_exceeds_the_log_limit_by_a_byte_is_refused() {
    let log = defined();
    let message = Sample::with_recipients("a", 50_000).message();
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
fn rejects_commands_for_another_campaign() {
    let log = defined();
    let message = Sample::new("a").changed_message(|commit| commit.head.trigger_id = 86);
    assert!(matches!(log.commit(&message, NOON), Err(LogError::WrongCampaign { own: 85, other: 86 })));
    let definition = Definition { id: 86, ..definition() };
    assert_eq!(log.define(&definition, &[], NOON), Err(LogError::WrongCampaign { own: 85, other: 86 }));
}

#[test]
fn a_commit_that_fails_at_any_statement_writes_nothing_and_can_be_repeated() {
    for (earlier, recipients) in [(0, 1), (1, 1), (0, 90_000), (1, 90_000)] {
        for statement in 0.. {
            let log = defined();
            for number in 0..earlier {
                committed(log.commit(&Sample::new(&format!("earlier-{number}")).message(), NOON));
            }
            let before = log.sql.dump();
            let message = Sample::with_recipients("a", recipients).message();
            log.sql.statements.set(statement);
            let outcome = log.commit(&message, NOON);
            log.sql.statements.set(u64::MAX);
            if outcome.is_ok() {
                assert!(statement >= 1, "no statement failed");
                break;
            }
            assert!(matches!(outcome, Err(LogError::Storage(_))));
            assert_eq!(log.sql.dump(), before, "statement {statement} failed");
            assert_eq!(committed(log.commit(&message, NOON)), earlier + 1);
            assert_eq!(read(&log, &Command::Read, NOON).unwrap().matches("launches").count(), 1);
        }
    }
}

#[test]
fn a_commit_after_another_runs_one_statement_and_sees_a_pause() {
    let log = defined();
    committed(log.commit(&Sample::new("a").message(), NOON));
    log.sql.statements.set(1);
    assert_eq!(committed(log.commit(&Sample::new("b").message(), NOON + 1)), 2);
    log.sql.statements.set(u64::MAX);
    log.define(&Definition { active: Some(false), ..definition() }, &[], NOON).unwrap();
    assert_eq!(log.commit(&Sample::new("c").message(), NOON), Err(Refusal::NotActive.into()));
    log.define(&definition(), &[], NOON).unwrap();
    assert_eq!(committed(log.commit(&Sample::new("c").message(), NOON)), 3);
    assert_eq!(log.state().unwrap(), log.last_state().unwrap());
    assert_eq!(log.state().unwrap().accepted_at, NOON + 1);
}

#[test]
fn a_recipient_takes_thirteen_bytes_of_storage() {
    let log = defined();
    committed(log.commit(&Sample::new("first").message(), NOON));
    let before = log.sql.size();
    let sample = Sample::with_recipients("a", 300_000);
    committed(log.commit(&sample.message(), NOON));
    let bytes = log.sql.size() - before;
    assert!(bytes <= 300_000 * 13, "{bytes} bytes: {} a recipient", bytes as f64 / 300_000.0);
    // Outcomes that alternate cannot be run-length encoded.
    let mut mixed = Sample::with_recipients("b", 300_000);
    mixed.outcomes = [Outcome::Matched, Outcome::Duplicate].repeat(300_000);
    let before = log.sql.size();
    committed(log.commit(&mixed.message(), NOON));
    let bytes = log.sql.size() - before;
    assert!(bytes <= 600_000 * 13, "{bytes} bytes for 600,000 items");
}
