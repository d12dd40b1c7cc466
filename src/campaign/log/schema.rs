//! The tables of a campaign's object, and the migrations of objects that earlier releases wrote.
//!
//! A change of the tables, or of a stored format, needs a new version:
//!
//! 1. Export a database of the current version, with its replies, to `tests/stored/`. The tests migrate each stored database
//!    and compare its replies.
//! 2. Add a [`Migration`] to [`SCHEMA`], and change [`TABLES`] to the tables that it
//!    produces. The version is the number of migrations plus one.
//!
//! The platform bills by rows written, and entries of an index are rows. A small launch writes two: its row, and its entry in
//! the only index.

use crate::storage::{
    schema::{Migration, Schema},
    sql::{Sql, StorageError},
};

/// The statements that create the tables of the current version.
pub const TABLES: [&str; 6] = [
    // One row. The columns `removed…` describe the last launch that retention removed, so that sequences are never reused and
    // totals stay correct: its sequence, its accepted_at, and the totals up to and including it.
    "CREATE TABLE campaign (id INTEGER PRIMARY KEY, version INTEGER NOT NULL, name TEXT NOT NULL, \
     database INTEGER NOT NULL, active INTEGER NOT NULL, removed INTEGER NOT NULL, removed_at INTEGER NOT NULL, \
     removed_recipients INTEGER NOT NULL, removed_unmatched INTEGER, removed_invalid INTEGER)",
    // `recipients` counts the recipients up to and including this launch, so that totals need no row. `head` is the first part
    // of the commit message (lengths and head). `payload` contains the sections, or null if they are in `chunks`. `unmatched`
    // and `invalid` are totals like `recipients`, but in an object of an earlier version they do not begin at 0 (see `totals`).
    "CREATE TABLE launches (sequence INTEGER PRIMARY KEY, key INTEGER NOT NULL, accepted_at INTEGER NOT NULL, \
     launch_id TEXT NOT NULL, recipients INTEGER NOT NULL, head BLOB NOT NULL, payload BLOB, \
     unmatched INTEGER, invalid INTEGER)",
    // `key` is part of the launch ID and a hash of the request ID, so this index finds a launch by either.
    "CREATE INDEX launches_by_key ON launches (key, accepted_at)",
    // The sections of a large launch. `start` is the offset of the chunk in all sections together.
    "CREATE TABLE chunks (sequence INTEGER NOT NULL, start INTEGER NOT NULL, bytes BLOB NOT NULL, \
     PRIMARY KEY (sequence, start)) WITHOUT ROWID",
    // The due times of the alarm's steps. `sequence` is 0 if the work does not belong to one launch.
    "CREATE TABLE due (task TEXT NOT NULL, sequence INTEGER NOT NULL, at INTEGER NOT NULL, \
     PRIMARY KEY (task, sequence)) WITHOUT ROWID",
    WEBHOOK,
];

/// The campaign's webhook: one row with the ID 1, or none. `config` and `state` are JSON.
const WEBHOOK: &str = "CREATE TABLE webhook (id INTEGER PRIMARY KEY, config TEXT NOT NULL, state TEXT NOT NULL)";

/// The current version and how to reach it.
pub static SCHEMA: Schema = Schema::new("campaign", &TABLES, &MIGRATIONS);

static MIGRATIONS: [Migration; 2] =
    [Migration { from: 1, run: |sql| sql.exec(WEBHOOK, &[]).map(drop) }, Migration { from: 2, run: add_totals }];

/// Adds totals of items, which [`totals`](super::totals) counts for launches of earlier versions. A launch has at most 1,000,000
/// items, so no total before the newest launch is negative.
fn add_totals(sql: &dyn Sql) -> Result<(), StorageError> {
    for statement in [
        "ALTER TABLE launches ADD COLUMN unmatched INTEGER",
        "ALTER TABLE launches ADD COLUMN invalid INTEGER",
        "ALTER TABLE campaign ADD COLUMN removed_unmatched INTEGER",
        "ALTER TABLE campaign ADD COLUMN removed_invalid INTEGER",
        "UPDATE launches SET unmatched = sequence * 1000000, invalid = sequence * 1000000 \
         WHERE sequence = (SELECT max(sequence) FROM launches)",
        // Due at once. The runtime rejects an alarm at 0.
        "INSERT INTO due VALUES ('totals', 0, 1)",
    ] {
        sql.exec(statement, &[])?;
    }
    Ok(())
}
