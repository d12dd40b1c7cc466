//! The tables of a campaign's object. Pinned by a test: a change is a new [`VERSION`] and a migration.
//!
//! Writing is billed by the row, and the entries of an index are rows. A small launch is two: its row, and its
//! entry in the one index.

use super::sql::{Broken, Sql};

/// The version of the tables, in `campaign.version`.
pub const VERSION: u64 = 1;
/// Sections of at most this many bytes together stand in the launch's own row, larger ones in `chunks`.
pub const INLINE: u64 = 64 * 1024;

/// The statements that make the tables.
pub const TABLES: [&str; 5] = [
    // One row. `removed…` tell of the last launch that retention removed, so that numbers are never used again and
    // totals stay: its sequence, its accepted_at, and the recipients of it and all launches before it.
    "CREATE TABLE campaign (id INTEGER PRIMARY KEY, version INTEGER NOT NULL, name TEXT NOT NULL, \
     database INTEGER NOT NULL, active INTEGER NOT NULL, removed INTEGER NOT NULL, removed_at INTEGER NOT NULL, \
     removed_recipients INTEGER NOT NULL)",
    // `recipients` are those of this launch and all before it: totals need no row of their own. `head` is the first
    // part of the commit message (lengths and head), `payload` its sections, or null where they are in `chunks`.
    "CREATE TABLE launches (sequence INTEGER PRIMARY KEY, key INTEGER NOT NULL, accepted_at INTEGER NOT NULL, \
     launch_id TEXT NOT NULL, recipients INTEGER NOT NULL, head BLOB NOT NULL, payload BLOB)",
    // By it a launch is found by its id, and a repeated request by its request id: both lead to the same key.
    "CREATE INDEX launches_by_key ON launches (key, accepted_at)",
    // The sections of a large launch; `start` is the offset of the piece in all of them.
    "CREATE TABLE chunks (sequence INTEGER NOT NULL, start INTEGER NOT NULL, bytes BLOB NOT NULL, \
     PRIMARY KEY (sequence, start)) WITHOUT ROWID",
    // What the object's one alarm is for. `sequence` is 0 where a task is not about one launch.
    "CREATE TABLE due (task TEXT NOT NULL, sequence INTEGER NOT NULL, at INTEGER NOT NULL, \
     PRIMARY KEY (task, sequence)) WITHOUT ROWID",
];

/// Whether the tables are there. Asking makes none: an object that was never defined keeps no storage.
pub fn exists(sql: &impl Sql) -> Result<bool, Broken> {
    let found = sql.exec("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'campaign'", &[])?;
    if found.is_empty() {
        return Ok(false);
    }
    let version = sql.exec("SELECT version FROM campaign", &[])?.pop().map(|mut row| row.number()).transpose()?;
    match version {
        Some(VERSION) => Ok(true),
        other => Err(Broken(format!("tables of version {other:?}: this is version {VERSION}"))),
    }
}

/// Makes the tables; to be called in a transaction.
pub fn create(sql: &impl Sql) -> Result<(), Broken> {
    TABLES.iter().try_for_each(|statement| sql.exec(statement, &[]).map(drop))
}
