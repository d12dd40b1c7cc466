//! Migrations, and databases that earlier releases wrote. `stored/` contains a database of each schema version, with replies
//! of the first release that had the version.

use std::rc::Rc;

use sha2::{Digest, Sha256};

use super::{
    NOON, Sample,
    database::{DAY, Database, bytes, committed, defined, limits, unlimited},
    hex,
    host::TestObject,
};
use crate::{
    campaign::{
        log::{
            commit::CommitOutcome,
            schema::SCHEMA,
            state::{LaunchLog, LogError},
        },
        object::answer,
        protocol::{commands::Command, message::MessageDigest, transport::STATUS_FAILED},
    },
    storage::{
        schema::{Migration, Schema},
        sql::{Sql, SqlRow, StorageError},
    },
};

const VERSION_1: &str = include_str!("stored/version-1.sql");
const VERSION_1_REPLIES: &str = include_str!("stored/version-1.replies");
/// When the replies were given.
const RECORDED_AT: u64 = NOON + 3 * DAY + 7 * 60_000;

/// A step of a migration.
type MigrationStep = fn(&dyn Sql) -> Result<(), StorageError>;

/// The current schema with later versions. The first step changes a table, adds one and fills it; the second needs the first.
fn later(steps: &[MigrationStep]) -> &'static Schema {
    let mut migrations = SCHEMA.migrations().to_vec();
    for (from, run) in (SCHEMA.version()..).zip(steps) {
        migrations.push(Migration { from, run: *run });
    }
    Box::leak(Box::new(Schema::new("campaign", &[], migrations.leak())))
}

fn with_notes() -> &'static Schema {
    later(&[add_notes])
}

fn with_comments() -> &'static Schema {
    later(&[add_notes, rename_notes])
}

fn add_notes(sql: &dyn Sql) -> Result<(), StorageError> {
    for statement in [
        "ALTER TABLE campaign ADD COLUMN color TEXT",
        "CREATE TABLE notes (sequence INTEGER PRIMARY KEY, text TEXT NOT NULL)",
        "INSERT INTO notes SELECT sequence, launch_id FROM launches",
    ] {
        sql.exec(statement, &[])?;
    }
    Ok(())
}

fn rename_notes(sql: &dyn Sql) -> Result<(), StorageError> {
    sql.exec("ALTER TABLE notes RENAME TO comments", &[]).map(drop)
}

fn restored(schema: &'static Schema) -> LaunchLog<Database> {
    let database = Database::new();
    database.import(VERSION_1);
    LaunchLog::with_schema(database, limits(), schema)
}

fn version(database: &Database) -> u64 {
    database.exec("SELECT version FROM campaign", &[]).unwrap().pop().unwrap().number().unwrap()
}

/// A reply as `stored/` has it: a short text as JSON, otherwise the length and a digest.
fn summary(reply: Result<Vec<u8>, LogError>) -> String {
    match reply {
        Err(LogError::Refused(refusal)) => format!("refused: {}", serde_json::to_string(&refusal).unwrap()),
        Err(error) => panic!("{error}"),
        Ok(bytes) => match std::str::from_utf8(&bytes) {
            Ok(text) if text.len() < 4000 => serde_json::to_string(text).unwrap(),
            _ => format!("{} bytes, sha256 {}", bytes.len(), hex(&Sha256::digest(&bytes))),
        },
    }
}

fn assert_unchanged_replies(log: &LaunchLog<Database>) {
    let lines: Vec<&str> = VERSION_1_REPLIES.lines().collect();
    assert_eq!(lines.len(), 2 * 47);
    for pair in lines.chunks(2) {
        let command: Command = serde_json::from_str(pair[0]).unwrap();
        let reply = answer(log, &unlimited(&command), RECORDED_AT).and_then(|reply| bytes(log, reply));
        assert_eq!(summary(reply), pair[1].trim_start(), "{}", pair[0]);
    }
}

/// Builds the commit message of each launch from its rows.
fn messages(database: &Database) -> Vec<(u64, u64, Vec<u8>)> {
    let launches = database.exec("SELECT sequence, accepted_at, head, payload FROM launches", &[]).unwrap();
    let read = |mut row: SqlRow| {
        let (sequence, accepted_at) = (row.number().unwrap(), row.number().unwrap());
        let mut message = row.blob().unwrap();
        message.extend(row.optional_blob().unwrap().unwrap_or_else(|| {
            let chunks = format!("SELECT bytes FROM chunks WHERE sequence = {sequence} ORDER BY start");
            let chunks = database.exec(&chunks, &[]).unwrap();
            chunks.into_iter().flat_map(|mut row| row.blob().unwrap()).collect()
        }));
        let mut digest = MessageDigest::default();
        digest.update(&message);
        message.extend(digest.finish());
        (sequence, accepted_at, message)
    };
    launches.into_iter().map(read).collect()
}

#[test]
fn a_stored_database_is_restored_exactly() {
    let log = restored(&SCHEMA);
    let rows: Vec<&str> = VERSION_1.lines().filter(|line| line.starts_with("INSERT")).collect();
    assert_eq!(log.sql.export().lines().collect::<Vec<_>>(), rows);
}

#[test]
fn an_object_of_version_1_gives_the_same_replies() {
    for schema in [&SCHEMA, with_notes(), with_comments()] {
        let log = restored(schema);
        log.start(RECORDED_AT).unwrap();
        assert_eq!(version(&log.sql), schema.version());
        assert_unchanged_replies(&log);
    }
}

#[test]
fn an_object_of_version_1_recognizes_repeated_commits_and_accepts_new_ones() {
    for schema in [&SCHEMA, with_notes()] {
        let log = restored(schema);
        log.start(RECORDED_AT).unwrap();
        let messages = messages(&log.sql);
        assert_eq!(messages.len(), 5);
        for (sequence, accepted_at, message) in messages {
            let outcome = log.commit(&message, RECORDED_AT);
            let Ok(CommitOutcome::Committed(committed)) = outcome else { panic!("launch {sequence}") };
            assert_eq!((committed.sequence, committed.accepted_at), (sequence, accepted_at));
        }
        let sample = Sample { now: RECORDED_AT, ..Sample::new("new") };
        assert_eq!(committed(log.commit(&sample.message(), RECORDED_AT)), 8);
    }
}

#[test]
fn a_migrated_database_has_the_tables_of_a_new_one() {
    let migrated = restored(&SCHEMA);
    migrated.start(RECORDED_AT).unwrap();
    assert_eq!(migrated.sql.columns(), defined().sql.columns());
}

#[test]
fn a_new_object_has_the_current_version() {
    assert_eq!(version(&defined().sql), SCHEMA.version());
}

#[test]
fn a_migration_runs_once() {
    let log = restored(with_notes());
    log.start(RECORDED_AT).unwrap();
    let sequences = log.sql.exec("SELECT sequence FROM notes", &[]).unwrap();
    assert_eq!(sequences.into_iter().map(|mut row| row.number().unwrap()).collect::<Vec<_>>(), [3, 4, 5, 6, 7]);
    let migrated = log.sql.dump();
    let again = LaunchLog::with_schema(Rc::new(log.sql), limits(), with_notes());
    again.start(RECORDED_AT).unwrap();
    assert_eq!(again.sql.dump(), migrated);
}

#[test]
fn migrations_run_in_order_from_the_stored_version() {
    let log = restored(with_notes());
    log.start(RECORDED_AT).unwrap();
    let log = LaunchLog::with_schema(log.sql, limits(), with_comments());
    log.start(RECORDED_AT).unwrap();
    assert_eq!((version(&log.sql), log.sql.count("comments")), (SCHEMA.version() + 2, 5));
    let log = restored(with_comments());
    log.start(RECORDED_AT).unwrap();
    assert_eq!((version(&log.sql), log.sql.count("comments")), (SCHEMA.version() + 2, 5));
}

#[test]
fn a_migration_that_fails_at_any_statement_changes_nothing_and_is_repeated() {
    for statement in 0.. {
        let log = restored(with_comments());
        let before = (log.sql.schema(), log.sql.dump());
        log.sql.statements.set(statement);
        let outcome = log.find_state();
        log.sql.statements.set(u64::MAX);
        if outcome.is_ok() {
            assert!(statement > 6, "no statement failed");
            break;
        }
        if version(&log.sql) == 1 {
            assert_eq!((log.sql.schema(), log.sql.dump()), before, "statement {statement} failed");
        }
        log.start(RECORDED_AT).unwrap();
        assert_eq!(version(&log.sql), SCHEMA.version() + 2);
        assert_unchanged_replies(&log);
    }
}

#[test]
fn an_object_of_a_newer_version_is_refused_with_both_versions() {
    let object = TestObject::new();
    object.database.import(VERSION_1);
    object.database.import("UPDATE campaign SET version = 7");
    object.host.set_now(RECORDED_AT);
    let before = object.database.dump();
    let text =
        format!("the database has schema version 7, but this release supports versions up to {}", SCHEMA.version());
    for response in [object.send(&unlimited(&Command::Read)), object.commit(&Sample::new("a").message())] {
        assert_eq!((response.status, response.text()), (STATUS_FAILED, text.as_str()));
    }
    assert_eq!(object.host.run(object.object.alarm()).unwrap_err().to_string(), text);
    assert_eq!(object.database.dump(), before);
}
