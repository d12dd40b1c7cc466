//! The tables of an object, and the migrations of objects that earlier releases wrote.
//!
//! An object migrates when it starts, in one transaction. Migrations are never removed, because an object may sleep for years.

use super::sql::{Sql, SqlParameter, StorageError};

/// A change of the tables from version `from` to the next one.
#[derive(Clone, Copy)]
pub struct Migration {
    pub from: u64,
    pub run: fn(&dyn Sql) -> Result<(), StorageError>,
}

/// The tables of one version and the migrations that lead to it.
pub struct Schema {
    /// The table that has one row, with the version in its column `version`.
    main: &'static str,
    tables: &'static [&'static str],
    migrations: &'static [Migration],
}

impl Schema {
    /// `migrations` has to begin at version 1 and must not have a gap.
    pub const fn new(main: &'static str, tables: &'static [&'static str], migrations: &'static [Migration]) -> Self {
        let mut rest = migrations;
        let mut version = 1;
        while let Some((migration, after)) = rest.split_first() {
            assert!(migration.from == version, "migrations are in the order of their versions");
            version += 1;
            rest = after;
        }
        Self { main, tables, migrations }
    }

    /// The current version: the number of migrations plus one.
    pub fn version(&self) -> u64 {
        self.migrations.last().map_or(1, |migration| migration.from.saturating_add(1))
    }

    /// The migrations, for tests that add later ones.
    #[cfg(test)]
    pub fn migrations(&self) -> &'static [Migration] {
        self.migrations
    }

    /// Creates the tables. Has to be called in a transaction that also inserts the row of the main table.
    pub fn create(&self, sql: &dyn Sql) -> Result<(), StorageError> {
        self.tables.iter().try_for_each(|statement| sql.exec(statement, &[]).map(drop))
    }

    /// Returns whether the tables exist, after migrating them to the current version. Does not create them: an object that was
    /// never used occupies no storage.
    pub fn open(&self, sql: &dyn Sql) -> Result<bool, StorageError> {
        let exists = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?";
        if sql.exec(exists, &[SqlParameter::Text(self.main)])?.is_empty() {
            return Ok(false);
        }
        let row = sql.exec(&format!("SELECT version FROM {}", self.main), &[])?.pop();
        let missing = || StorageError::damaged(format_args!("the row of the table {} is missing", self.main));
        let stored = row.ok_or_else(missing)?.number()?;
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
            sql.exec(&format!("UPDATE {} SET version = ?", self.main), &[self.version().into()]).map(drop)
        })
    }
}
