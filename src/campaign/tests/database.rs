//! An SQLite database in memory. It binds integers as floating point, like the object's runtime.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeSet,
    fmt::Write as _,
    rc::Rc,
};

use rusqlite::{Connection, params_from_iter, types};

use super::{NOON, hex};
use crate::{
    campaign::{
        log::{
            commit::CommitOutcome,
            due::AlarmChange,
            state::{LaunchLog, LogError, LogLimits},
        },
        object::answer,
        protocol::commands::{Campaign, Command, Definition, Envelope},
        read::reply::ObjectReply,
    },
    limits::{COPY_INTERVAL_MS, Limits},
    problem::Cause,
    storage::sql::{Sql, SqlParameter, SqlRow, SqlValue, StorageError},
};

/// Every table, with its columns in the order of the rows.
const TABLES: [(&str, &str); 5] = [
    ("campaign", "id"),
    ("launches", "sequence"),
    ("chunks", "sequence, start"),
    ("due", "task, sequence"),
    ("webhook", "id"),
];

#[derive(Debug)]
pub struct Database {
    connection: Connection,
    /// The number of statements that succeed before all statements fail.
    pub statements: Cell<u64>,
    /// Added to the size.
    pub ballast: Cell<u64>,
    /// The number of `INSERT` statements.
    pub inserts: Cell<u64>,
    /// The number of statements that write.
    pub writes: Cell<u64>,
    /// Every statement that was run.
    pub seen: RefCell<BTreeSet<String>>,
}

impl Database {
    pub fn new() -> Self {
        Self {
            connection: Connection::open_in_memory().unwrap(),
            statements: Cell::new(u64::MAX),
            ballast: Cell::new(0),
            inserts: Cell::new(0),
            writes: Cell::new(0),
            seen: RefCell::default(),
        }
    }

    /// Calls `then` with the values of every row.
    fn for_each_row(&self, mut then: impl FnMut(&str, Vec<types::Value>)) {
        for (table, order) in TABLES {
            let statement = format!("SELECT * FROM {table} ORDER BY {order}");
            let Ok(mut query) = self.connection.prepare(&statement) else { continue };
            let count = query.column_count();
            let mut rows = query.query([]).unwrap();
            while let Some(row) = rows.next().unwrap() {
                then(table, (0..count).map(|column| row.get(column).unwrap()).collect());
            }
        }
    }

    /// Returns every row as a line of text.
    pub fn dump(&self) -> String {
        let mut dump = String::new();
        self.for_each_row(|table, values| {
            dump.push_str(table);
            for value in values {
                dump.push(' ');
                dump.push_str(&match value {
                    types::Value::Null => "null".to_owned(),
                    types::Value::Integer(value) => value.to_string(),
                    types::Value::Real(value) => format!("real:{value}"),
                    types::Value::Text(text) => format!("'{text}'"),
                    types::Value::Blob(bytes) if bytes.len() > 2000 => format!("{} bytes", bytes.len()),
                    types::Value::Blob(bytes) => format!("x'{}'", hex(&bytes)),
                });
            }
            dump.push('\n');
        });
        dump
    }

    /// The lines of [`Database::dump`] that are due times.
    pub fn due(&self) -> Vec<String> {
        self.dump().lines().filter(|line| line.starts_with("due")).map(str::to_owned).collect()
    }

    pub fn count(&self, table: &str) -> u64 {
        self.exec(&format!("SELECT count(*) FROM {table}"), &[]).unwrap().pop().unwrap().number().unwrap()
    }

    /// Returns an SQL script that restores every row exactly.
    pub fn export(&self) -> String {
        let mut script = String::new();
        self.for_each_row(|table, values| {
            let values: Vec<String> = values.into_iter().map(literal).collect();
            let _ = writeln!(script, "INSERT INTO {table} VALUES ({});", values.join(", "));
        });
        script
    }

    /// Runs an SQL script.
    pub fn import(&self, script: &str) {
        self.connection.execute_batch(script).unwrap();
    }

    /// Returns SQLite's plan for a statement.
    pub fn plan(&self, statement: &str) -> Vec<String> {
        self.strings(&format!("EXPLAIN QUERY PLAN {statement}"), 3)
    }

    /// Returns the statements that created the tables.
    pub fn schema(&self) -> Vec<String> {
        self.strings("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL", 0)
    }

    /// Returns the columns of every table, and the statements that created the indexes.
    pub fn columns(&self) -> Vec<String> {
        let tables = self.strings("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name", 0);
        let indexes = "SELECT sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL ORDER BY name";
        let describe = |name: &String| {
            let columns = format!(
                "SELECT '{name} ' || group_concat(name || ' ' || type || ' ' || \"notnull\" || ' ' || pk) FROM \
                 pragma_table_xinfo('{name}')"
            );
            self.strings(&columns, 0)
        };
        tables.iter().flat_map(describe).chain(self.strings(indexes, 0)).collect()
    }

    fn strings(&self, statement: &str, column: usize) -> Vec<String> {
        let mut query = self.connection.prepare(statement).unwrap();
        query.raw_query().mapped(|row| row.get(column)).map(Result::unwrap).collect()
    }
}

/// A value as SQL. A long blob that repeats one digit is written as an expression.
fn literal(value: types::Value) -> String {
    match value {
        types::Value::Null => "NULL".to_owned(),
        types::Value::Integer(value) => value.to_string(),
        types::Value::Real(value) => format!("{value:e}"),
        types::Value::Text(text) => format!("'{}'", text.replace('\'', "''")),
        types::Value::Blob(bytes) => match bytes.first() {
            Some(first) if bytes.len() > 1000 && first.is_ascii_digit() && bytes.iter().all(|byte| byte == first) => {
                let digit = char::from(*first);
                format!("CAST(replace(hex(zeroblob({})), '00', '{digit}') AS BLOB)", bytes.len())
            }
            _ => format!("x'{}'", hex(&bytes)),
        },
    }
}

fn failed(error: rusqlite::Error) -> StorageError {
    Cause::new(error).into()
}

impl Sql for Database {
    fn exec(&self, statement: &str, parameters: &[SqlParameter<'_>]) -> Result<Vec<SqlRow>, StorageError> {
        let remaining = self.statements.get();
        self.statements.set(remaining.saturating_sub(1));
        if remaining == 0 {
            return Err(Cause::new("the disk is gone").into());
        }
        self.seen.borrow_mut().insert(statement.to_owned());
        let values = parameters.iter().map(|value| match *value {
            SqlParameter::Null => types::Value::Null,
            SqlParameter::Integer(value) => types::Value::Real(value as f64),
            SqlParameter::Text(text) => types::Value::Text(text.to_owned()),
            SqlParameter::Blob(bytes) => types::Value::Blob(bytes.to_vec()),
        });
        let mut query = self.connection.prepare_cached(statement).map_err(failed)?;
        let count = query.column_count();
        let mut rows = query.query(params_from_iter(values)).map_err(failed)?;
        let mut all = Vec::new();
        while let Some(row) = rows.next().map_err(failed)? {
            let values = (0..count).map(|column| match row.get(column).unwrap() {
                types::Value::Null => SqlValue::Null,
                types::Value::Integer(value) => SqlValue::Integer(value),
                types::Value::Real(value) => SqlValue::Integer(value as i64),
                types::Value::Text(text) => SqlValue::Text(text),
                types::Value::Blob(bytes) => SqlValue::Blob(bytes),
            });
            all.push(values.collect());
        }
        drop(rows);
        if !statement.starts_with("SELECT") {
            self.writes.set(self.writes.get() + 1);
        }
        if statement.starts_with("INSERT") {
            self.inserts.set(self.inserts.get() + 1);
        }
        Ok(all)
    }

    fn transaction(&self, body: &mut dyn FnMut() -> Result<(), StorageError>) -> Result<(), StorageError> {
        self.connection.execute_batch("SAVEPOINT test").unwrap();
        let result = body();
        let end = if result.is_ok() { "RELEASE test" } else { "ROLLBACK TO test; RELEASE test" };
        self.connection.execute_batch(end).unwrap();
        result
    }

    fn size(&self) -> u64 {
        let pages = |name: &str| self.connection.query_row(&format!("PRAGMA {name}"), [], |row| row.get::<_, i64>(0));
        (pages("page_count").unwrap() * pages("page_size").unwrap()).unsigned_abs() + self.ballast.get()
    }
}

impl<T: Sql> Sql for Rc<T> {
    fn exec(&self, statement: &str, parameters: &[SqlParameter<'_>]) -> Result<Vec<SqlRow>, StorageError> {
        (**self).exec(statement, parameters)
    }

    fn transaction(&self, body: &mut dyn FnMut() -> Result<(), StorageError>) -> Result<(), StorageError> {
        (**self).transaction(body)
    }

    fn size(&self) -> u64 {
        (**self).size()
    }
}

pub const DAY: u64 = 86_400_000;

/// Launches are kept for three days and request IDs for one.
pub fn limits() -> LogLimits {
    LogLimits::from(&Limits { retention_days: 3, log: 1 << 30, ..Limits::default() })
}

/// The log of a campaign that was never defined.
pub fn empty() -> LaunchLog<Database> {
    LaunchLog::new(Database::new(), limits())
}

pub fn definition() -> Definition {
    Definition { id: 85, name: Some("Welcome".to_owned()), database: Some(1), active: Some(true) }
}

/// The log of an active campaign. KV has a copy of the campaign.
pub fn defined() -> LaunchLog<Database> {
    let log = empty();
    let campaign: Campaign = log.define(&definition(), &[], NOON).unwrap();
    assert_eq!((campaign.launches, campaign.recipients), (0, 0));
    let begun = log.begin_copy(NOON).unwrap().unwrap();
    log.end_copy(&begun, true, NOON).unwrap();
    assert_eq!(log.begin_copy(NOON + COPY_INTERVAL_MS), Ok(None));
    assert_eq!(new_alarm(&log), None);
    log
}

pub fn activate(log: &LaunchLog<Database>, active: bool) {
    log.define(&Definition { id: 85, active: Some(active), ..Definition::default() }, &[], NOON).unwrap();
}

/// The time to which the alarm has to be set since the last call.
pub fn new_alarm<S: Sql>(log: &LaunchLog<S>) -> Option<u64> {
    match log.due().take_change().unwrap() {
        AlarmChange::Unchanged | AlarmChange::Delete => None,
        AlarmChange::Set(at) => Some(at),
    }
}

/// A command of a token that may use all databases.
pub fn unlimited(command: &Command) -> Envelope {
    Envelope { databases: Vec::new(), command: command.clone() }
}

/// The sequence of a launch that was committed.
pub fn committed(outcome: Result<CommitOutcome, LogError>) -> u64 {
    match outcome {
        Ok(CommitOutcome::Committed(committed)) => committed.sequence,
        other => panic!("{other:?}"),
    }
}

/// Returns the whole reply to a command as text.
pub fn read<S: Sql>(log: &LaunchLog<S>, command: &Command, now: u64) -> Result<String, LogError> {
    let bytes = bytes(log, answer(log, &unlimited(command), now)?)?;
    Ok(String::from_utf8(bytes).unwrap())
}

/// Returns the whole reply.
pub fn bytes<S: Sql>(log: &LaunchLog<S>, mut reply: ObjectReply) -> Result<Vec<u8>, LogError> {
    let mut all = Vec::new();
    while let Some(piece) = reply.next_piece(log)? {
        all.extend_from_slice(&piece);
    }
    Ok(all)
}

pub fn json(log: &LaunchLog<Database>, command: &Command) -> serde_json::Value {
    serde_json::from_str(&read(log, command, NOON).unwrap()).unwrap()
}

impl LaunchLog<Database> {
    /// Runs a slice of retention for launches without files, as the alarm does.
    pub fn run_retention(&self, now: u64) -> Result<(), StorageError> {
        if self.find_state()?.is_some() {
            self.due().forget_alarm();
        }
        match self.expired_launches(now)? {
            None => self.schedule_retention(now),
            Some(expired) => {
                assert_eq!(expired.keys, Vec::<String>::new());
                self.remove(&expired, now)
            }
        }
    }
}

impl LaunchLog<Rc<Database>> {
    /// The rows of the table of due times, as lines of text.
    pub fn due_rows(&self) -> Vec<String> {
        self.sql.due()
    }
}
