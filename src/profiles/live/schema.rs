//! The tables of a database's object. A change of the tables, or of a stored format, needs a migration.

use crate::storage::schema::Schema;

const TABLES: [&str; 5] = [
    // One row. `changes` is the version of the last change, `changed_at` its time. `settings` is `LiveSettings` as JSON.
    "CREATE TABLE live (version INTEGER NOT NULL, changes INTEGER NOT NULL, changed_at INTEGER NOT NULL, \
     settings TEXT NOT NULL)",
    // The latest change of each changed profile. `keys` is packed as in the module `row`; empty: the profile is deleted.
    "CREATE TABLE pending (profile BLOB PRIMARY KEY, version INTEGER NOT NULL, at INTEGER NOT NULL, \
     key_set INTEGER NOT NULL, keys BLOB NOT NULL) WITHOUT ROWID",
    // The check values of the index keys that hashed the keys of a row, in order, as a list in JSON.
    "CREATE TABLE key_sets (number INTEGER PRIMARY KEY, checks TEXT NOT NULL)",
    // Requests that may be repeated, in the order of their times. `key` is a digest of the token's name and the request ID.
    "CREATE TABLE requests (number INTEGER PRIMARY KEY, key BLOB NOT NULL, digest TEXT NOT NULL, at INTEGER NOT NULL, \
     changes INTEGER NOT NULL, applied INTEGER NOT NULL)",
    "CREATE INDEX requests_by_key ON requests (key)",
];

/// The current version and how to reach it.
pub static SCHEMA: Schema = Schema::new("live", &TABLES, &[]);
