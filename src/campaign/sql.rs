//! What the log asks of a database: SQLite, whether it is the object's own or that of a test.

use std::fmt;

/// A value that is bound to a statement. Integers stay within ±2^53: the runtime binds them as floating point.
#[derive(Debug, Clone, Copy, PartialEq)]
#[allow(missing_docs, reason = "the names are SQL's")]
pub enum Bound<'a> {
    Null,
    Integer(i64),
    Text(&'a str),
    Blob(&'a [u8]),
}

/// A value that was read.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs, reason = "the names are SQL's")]
pub enum Value {
    Null,
    Integer(i64),
    Text(String),
    Blob(Vec<u8>),
}

/// The database failed, or a row is not what it was when it was written. Says what: for the log, not for callers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken(pub String);

impl Broken {
    /// A fault that is told by that text.
    pub fn new(what: impl fmt::Display) -> Self {
        Self(what.to_string())
    }
}

/// A database that belongs to one campaign. Nothing here waits: what is called in a row happens in a row.
pub trait Sql {
    /// Runs one statement and returns its rows, all of them.
    fn exec(&self, statement: &str, bound: &[Bound<'_>]) -> Result<Vec<Row>, Broken>;
    /// Runs `then` so that an error undoes all that it wrote.
    fn transaction(&self, then: &mut dyn FnMut() -> Result<(), Broken>) -> Result<(), Broken>;
    /// Bytes stored.
    fn size(&self) -> u64;
}

/// A row, read from the left.
#[derive(Debug, Clone)]
pub struct Row(std::vec::IntoIter<Value>);

impl Row {
    /// A row of those values.
    pub fn new(values: Vec<Value>) -> Self {
        Self(values.into_iter())
    }

    /// The next value, an integer that is not negative.
    pub fn number(&mut self) -> Result<u64, Broken> {
        self.optional_number()?.ok_or_else(|| Broken::new("a number is missing"))
    }

    /// The next value, an integer that is not negative, or null.
    pub fn optional_number(&mut self) -> Result<Option<u64>, Broken> {
        match self.0.next() {
            Some(Value::Integer(value)) => u64::try_from(value).map(Some).map_err(Broken::new),
            Some(Value::Null) => Ok(None),
            other => Err(Broken(format!("not a number: {other:?}"))),
        }
    }

    /// The next value, a text.
    pub fn text(&mut self) -> Result<String, Broken> {
        match self.0.next() {
            Some(Value::Text(text)) => Ok(text),
            _ => Err(Broken::new("not a text")),
        }
    }

    /// The next value, bytes.
    pub fn blob(&mut self) -> Result<Vec<u8>, Broken> {
        self.optional_blob()?.ok_or_else(|| Broken::new("bytes are missing"))
    }

    /// The next value, bytes or null.
    pub fn optional_blob(&mut self) -> Result<Option<Vec<u8>>, Broken> {
        match self.0.next() {
            Some(Value::Blob(bytes)) => Ok(Some(bytes)),
            Some(Value::Null) => Ok(None),
            _ => Err(Broken::new("not bytes")),
        }
    }
}

impl FromIterator<Value> for Row {
    fn from_iter<I: IntoIterator<Item = Value>>(values: I) -> Self {
        Self::new(values.into_iter().collect())
    }
}

/// An integer to be bound. Sequences, times and counts are all below 2^53.
pub fn integer(value: u64) -> Bound<'static> {
    Bound::Integer(i64::try_from(value).unwrap_or(i64::MAX))
}
