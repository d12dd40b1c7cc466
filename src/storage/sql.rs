//! The database port: SQLite, either the object's own or a test's.

use crate::{problem::Cause, text::error_chain};

/// A value bound to a statement. Integers have to be within ±2^53, because the runtime binds them as floating point.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum SqlParameter<'a> {
    Null,
    Integer(i64),
    Text(&'a str),
    Blob(&'a [u8]),
}

impl From<u64> for SqlParameter<'static> {
    /// Sequences, times and counts are below 2^53.
    fn from(value: u64) -> Self {
        Self::Integer(i64::try_from(value).unwrap_or(i64::MAX))
    }
}

/// A value of a row.
#[derive(Debug, Clone, PartialEq)]
pub enum SqlValue {
    Null,
    Integer(i64),
    Text(String),
    Blob(Vec<u8>),
}

/// The database failed, or its contents are not what was written. For the operator's log, not for callers.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StorageError {
    #[error("the database failed")]
    Database(#[from] Cause),
    #[error("the stored data is damaged: {0}")]
    Damaged(String),
    /// Retention removes launches while replies are read.
    #[error("launch {0} was removed while it was read")]
    Removed(u64),
    #[error("the database has schema version {found}, but this release supports versions up to {supported}")]
    NewerSchema { found: u64, supported: u64 },
}

impl From<StorageError> for Cause {
    fn from(error: StorageError) -> Self {
        Self(error_chain(&error))
    }
}

impl StorageError {
    pub fn damaged(what: impl ToString) -> Self {
        Self::Damaged(what.to_string())
    }
}

/// The database of one campaign. All methods are synchronous, so consecutive calls run without interruption.
pub trait Sql {
    /// Runs one statement and returns all its rows.
    fn exec(&self, statement: &str, parameters: &[SqlParameter<'_>]) -> Result<Vec<SqlRow>, StorageError>;
    /// Runs `body` in a transaction. An error rolls back everything that `body` wrote.
    fn transaction(&self, body: &mut dyn FnMut() -> Result<(), StorageError>) -> Result<(), StorageError>;
    /// Bytes stored.
    fn size(&self) -> u64;
}

/// A row. Its values are read from left to right.
#[derive(Debug, Clone)]
pub struct SqlRow(std::vec::IntoIter<SqlValue>);

impl SqlRow {
    /// Reads a non-negative integer.
    pub fn number(&mut self) -> Result<u64, StorageError> {
        self.optional_number()?.ok_or_else(|| StorageError::damaged("null instead of an integer"))
    }

    /// Reads a non-negative integer or null.
    pub fn optional_number(&mut self) -> Result<Option<u64>, StorageError> {
        match self.0.next() {
            Some(SqlValue::Integer(value)) => u64::try_from(value).map(Some).map_err(StorageError::damaged),
            Some(SqlValue::Null) => Ok(None),
            other => Err(StorageError::Damaged(format!("{other:?} instead of an integer"))),
        }
    }

    /// Reads a text.
    pub fn text(&mut self) -> Result<String, StorageError> {
        match self.0.next() {
            Some(SqlValue::Text(text)) => Ok(text),
            _ => Err(StorageError::damaged("another value instead of a text")),
        }
    }

    /// Reads a blob.
    pub fn blob(&mut self) -> Result<Vec<u8>, StorageError> {
        self.optional_blob()?.ok_or_else(|| StorageError::damaged("null instead of a blob"))
    }

    /// Reads a blob or null.
    pub fn optional_blob(&mut self) -> Result<Option<Vec<u8>>, StorageError> {
        match self.0.next() {
            Some(SqlValue::Blob(bytes)) => Ok(Some(bytes)),
            Some(SqlValue::Null) => Ok(None),
            _ => Err(StorageError::damaged("another value instead of a blob")),
        }
    }
}

impl FromIterator<SqlValue> for SqlRow {
    fn from_iter<I: IntoIterator<Item = SqlValue>>(values: I) -> Self {
        Self(values.into_iter().collect::<Vec<_>>().into_iter())
    }
}
