//! Databases of objects that earlier releases wrote. `stored/` has one for each schema version, with the replies that the
//! release of its time gave from it.

use sha2::{Digest, Sha256};

use super::{
    NOON,
    database::{DAY, Database, bytes, unlimited},
    hex,
};
use crate::{
    campaign::{
        commands::Command,
        log::{Fault, Log, Outcome, Terms},
        message::RunningDigest,
        sql::Sql,
    },
    limits::Limits,
};

const VERSION_1: &str = include_str!("stored/version-1.sql");
const VERSION_1_REPLIES: &str = include_str!("stored/version-1.replies");
/// When the replies were given.
const RECORDED_AT: u64 = NOON + 3 * DAY + 7 * 60_000;

fn restored(script: &str) -> Log<Database> {
    let database = Database::new();
    database.import(script);
    Log::new(database, Terms::from(&Limits { retention_days: 3, ..Limits::default() }))
}

/// A reply as `stored/` has it: JSON text if it is short, else its length and digest.
fn summary(reply: Result<Vec<u8>, Fault>) -> String {
    match reply {
        Err(Fault::Refused(refusal)) => format!("refused: {}", serde_json::to_string(&refusal).unwrap()),
        Err(other) => panic!("{other:?}"),
        Ok(bytes) => match std::str::from_utf8(&bytes) {
            Ok(text) if text.len() < 4000 => serde_json::to_string(text).unwrap(),
            _ => format!("{} bytes, sha256 {}", bytes.len(), hex(&Sha256::digest(&bytes))),
        },
    }
}

fn replies_are_unchanged(log: &Log<Database>) {
    let lines: Vec<&str> = VERSION_1_REPLIES.lines().collect();
    assert_eq!(lines.len(), 2 * 47);
    for pair in lines.chunks(2) {
        let command: Command = serde_json::from_str(pair[0]).unwrap();
        let reply = log.answer(&unlimited(&command), RECORDED_AT).and_then(|reading| bytes(log, reading));
        assert_eq!(summary(reply), pair[1].trim_start(), "{}", pair[0]);
    }
}

/// The commit message of each launch, put together from its rows.
fn messages(database: &Database) -> Vec<(u64, u64, Vec<u8>)> {
    let launches = database.exec("SELECT sequence, accepted_at, head, payload FROM launches", &[]).unwrap();
    let read = |mut row: crate::campaign::sql::Row| {
        let (sequence, accepted_at) = (row.number().unwrap(), row.number().unwrap());
        let mut message = row.blob().unwrap();
        message.extend(row.optional_blob().unwrap().unwrap_or_else(|| {
            let chunks = format!("SELECT bytes FROM chunks WHERE sequence = {sequence} ORDER BY start");
            let chunks = database.exec(&chunks, &[]).unwrap();
            chunks.into_iter().flat_map(|mut row| row.blob().unwrap()).collect()
        }));
        let mut digest = RunningDigest::default();
        digest.update(&message);
        message.extend(digest.finish());
        (sequence, accepted_at, message)
    };
    launches.into_iter().map(read).collect()
}

#[test]
fn a_script_restores_a_database_exactly() {
    let log = restored(VERSION_1);
    let mut script = String::new();
    log.sql.export(&mut script);
    let rows: Vec<&str> = VERSION_1.lines().filter(|line| line.starts_with("INSERT")).collect();
    assert_eq!(script.lines().collect::<Vec<_>>(), rows);
}

#[test]
fn an_object_of_version_1_gives_the_same_replies() {
    let log = restored(VERSION_1);
    log.start(RECORDED_AT).unwrap();
    replies_are_unchanged(&log);
}

#[test]
fn an_object_of_version_1_recognizes_the_commits_that_it_contains() {
    let log = restored(VERSION_1);
    log.start(RECORDED_AT).unwrap();
    let messages = messages(&log.sql);
    assert_eq!(messages.len(), 5);
    for (sequence, accepted_at, message) in messages {
        let Ok(Outcome::Committed(committed)) = log.commit(&message, RECORDED_AT) else { panic!("launch {sequence}") };
        assert_eq!((committed.sequence, committed.accepted_at), (sequence, accepted_at));
    }
}
