//! The tables of a campaign's object, and the migrations of objects that earlier releases wrote.
//!
//! A change of the tables, or of a stored format, needs a new version:
//!
//! 1. Export a database of the current version, with its replies, to `tests/stored/`. The tests migrate each stored database
//!    and compare its replies.
//! 2. Add a [`Migration`] to [`SCHEMA`], and change [`TABLES`] to the tables that it produces. The version is the number of
//!    migrations plus one.
//!
//! An object migrates when it starts, in one transaction. Migrations are never removed, because an object may sleep for years.
//!
//! The platform bills by rows written, and entries of an index are rows. A small launch writes two: its row, and its entry in
//! the only index.

use super::sql::{Sql, StorageError};

/// The statements that create the tables of the current version.
pub const TABLES: [&str; 5] = [
    // One row. The columns `removed…` describe the last launch that retention removed, so that sequences are never reused and
    // totals stay correct: its sequence, its accepted_at, and the totals up to and including it.
    "CREATE TABLE campaign (id INTEGER PRIMARY KEY, version INTEGER NOT NULL, name TEXT NOT NULL, \
     database INTEGER NOT NULL, active INTEGER NOT NULL, removed INTEGER NOT NULL, removed_at INTEGER NOT NULL, \
     removed_recipients INTEGER NOT NULL, removed_unmatched INTEGER, removed_invalid INTEGER)",
    // `recipients` counts the recipients up to and including this launch, so that totals need no row. `head` is the first part
    // of the commit message (lengths and head). `payload` contains the sections, or null if they are in `chunks`. `unmatched`
    // and `invalid` are totals like `recipients`, but in an object of version 1 they do not begin at 0 (see `totals`).
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
];

/// The current version and how to reach it.
pub static SCHEMA: Schema = Schema::new(&TABLES, &[Migration { from: 1, run: add_totals }]);

/// Adds totals of items, which [`totals`](super::totals) counts for launches of version 1. A launch has at most 1,000,000 items,
/// so no total before the newest launch is negative.
fn add_totals(sql: &dyn Sql) -> Result<(), StorageError> {
    for statement in [
        "ALTER TABLE launches ADD COLUMN unmatched INTEGER",
        "ALTER TABLE launches ADD COLUMN invalid INTEGER",
        "ALTER TABLE campaign ADD COLUMN removed_unmatched INTEGER",
        "ALTER TABLE campaign ADD COLUMN removed_invalid INTEGER",
        "UPDATE launches SET unmatched = sequence * 1000000, invalid = sequence * 1000000 \
         WHERE sequence = (SELECT max(sequence) FROM launches)",
        "INSERT INTO due VALUES ('totals', 0, 0)",
    ] {
        sql.exec(statement, &[])?;
    }
    Ok(())
}

/// A change of the tables from version `from` to the next one.
#[derive(Clone, Copy)]
pub struct Migration {
    pub from: u64,
    pub run: fn(&dyn Sql) -> Result<(), StorageError>,
}

/// The tables of one version and the migrations that lead to it.
pub struct Schema {
    tables: &'static [&'static str],
    migrations: &'static [Migration],
}

impl Schema {
    /// `migrations` has to begin at version 1 and must not have a gap.
    pub const fn new(tables: &'static [&'static str], migrations: &'static [Migration]) -> Self {
        let mut rest = migrations;
        let mut version = 1;
        while let Some((migration, after)) = rest.split_first() {
            assert!(migration.from == version, "migrations are in the order of their versions");
            version += 1;
            rest = after;
        }
        Self { tables, migrations }
    }

    /// The version that is stored in `campaign.version`.
    pub fn version(&self) -> u64 {
        self.migrations.last().map_or(1, |migration| migration.from.saturating_add(1))
    }

    /// The migrations, for tests that add later ones.
    #[cfg(test)]
    pub fn migrations(&self) -> &'static [Migration] {
        self.migrations
    }

    /// Creates the tables. Has to be called in a transaction that also inserts the campaign's row.
    pub fn create(&self, sql: &dyn Sql) -> Result<(), StorageError> {
        self.tables.iter().try_for_each(|statement| sql.exec(statement, &[]).map(drop))
    }

    /// Returns whether the tables exist, after migrating them to the current version. Does not create them: an object whose
    /// campaign was never defined occupies no storage.
    pub fn open(&self, sql: &dyn Sql) -> Result<bool, StorageError> {
        let found = sql.exec("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'campaign'", &[])?;
        if found.is_empty() {
            return Ok(false);
        }
        let row = sql.exec("SELECT version FROM campaign", &[])?.pop();
        let stored = row.ok_or_else(|| StorageError::damaged("the campaign's row is missing"))?.number()?;
        let current = self.version();
        if stored > current {
            return Err(StorageError::NewerSchema { found: stored, supported: current });
        }
        if stored < current {
            self.migrate(sql, stored)?;
        }
        Ok(true)
    }

    fn migrate(&self, sql: &dyn Sql, stored: u64) -> Result<(), StorageError> {
        sql.transaction(&mut || {
            for migration in self.migrations.iter().filter(|migration| migration.from >= stored) {
                (migration.run)(sql)?;
            }
            sql.exec("UPDATE campaign SET version = ?", &[self.version().into()]).map(drop)
        })
    }
}
