//! A real SQLite in memory, that binds integers as the object's runtime does: as floating point.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeSet,
};

use rusqlite::{Connection, params_from_iter, types};

use crate::campaign::{
    commands::{Campaign, Command, Definition, Envelope},
    listing::INTERVAL,
    log::{Fault, Log, Outcome, Terms},
    reading::Reading,
    sql::{Bound, Broken, Row, Sql, Value},
};
use crate::limits::Limits;

#[derive(Debug)]
pub struct Database {
    connection: Connection,
    /// Statements that succeed from now on; then one fails, and all after it.
    pub statements: Cell<u64>,
    /// Added to the size.
    pub ballast: Cell<u64>,
    pub rows_written: Cell<u64>,
    /// Every statement that was run.
    pub seen: RefCell<BTreeSet<String>>,
}

impl Database {
    pub fn new() -> Self {
        Self {
            connection: Connection::open_in_memory().unwrap(),
            statements: Cell::new(u64::MAX),
            ballast: Cell::new(0),
            rows_written: Cell::new(0),
            seen: RefCell::default(),
        }
    }

    /// Everything that is stored, as text.
    pub fn dump(&self) -> String {
        let mut dump = String::new();
        for table in ["campaign", "launches", "chunks", "due"] {
            let columns = ["id", "sequence", "sequence, start", "task"]
                [["campaign", "launches", "chunks", "due"].iter().position(|name| *name == table).unwrap()];
            let statement = format!("SELECT * FROM {table} ORDER BY {columns}");
            let Ok(mut query) = self.connection.prepare(&statement) else { continue };
            let count = query.column_count();
            let mut rows = query.query([]).unwrap();
            while let Some(row) = rows.next().unwrap() {
                dump.push_str(table);
                for column in 0..count {
                    dump.push_str(&match row.get::<_, types::Value>(column).unwrap() {
                        types::Value::Null => " null".to_owned(),
                        types::Value::Integer(value) => format!(" {value}"),
                        types::Value::Real(value) => format!(" real:{value}"),
                        types::Value::Text(text) => format!(" '{text}'"),
                        types::Value::Blob(bytes) if bytes.len() > 2000 => format!(" {} bytes", bytes.len()),
                        types::Value::Blob(bytes) => format!(" x'{}'", crate::text::hex(&bytes)),
                    });
                }
                dump.push('\n');
            }
        }
        dump
    }

    /// Appends a statement for every row, in the order of the keys, so that [`Database::import`] restores them exactly.
    pub fn export(&self, sql: &mut String) {
        use std::fmt::Write as _;
        for (table, order) in
            [("campaign", "id"), ("launches", "sequence"), ("chunks", "sequence, start"), ("due", "task, sequence")]
        {
            let mut query = self.connection.prepare(&format!("SELECT * FROM {table} ORDER BY {order}")).unwrap();
            let count = query.column_count();
            let mut rows = query.query([]).unwrap();
            while let Some(row) = rows.next().unwrap() {
                let values: Vec<String> = (0..count).map(|column| literal(row.get(column).unwrap())).collect();
                let _ = writeln!(sql, "INSERT INTO {table} VALUES ({});", values.join(", "));
            }
        }
    }

    /// Runs an SQL script.
    pub fn import(&self, sql: &str) {
        self.connection.execute_batch(sql).unwrap();
    }

    /// How SQLite goes about a statement.
    pub fn plan(&self, statement: &str) -> Vec<String> {
        let mut query = self.connection.prepare(&format!("EXPLAIN QUERY PLAN {statement}")).unwrap();
        query.raw_query().mapped(|row| row.get(3)).map(Result::unwrap).collect()
    }

    pub fn schema(&self) -> Vec<String> {
        let mut query = self.connection.prepare("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL").unwrap();
        query.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
    }
}

/// A value as SQL. A long blob of one repeated digit is written as an expression.
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
            _ => format!("x'{}'", crate::text::hex(&bytes)),
        },
    }
}

impl Sql for Database {
    fn exec(&self, statement: &str, bound: &[Bound<'_>]) -> Result<Vec<Row>, Broken> {
        let left = self.statements.get();
        self.statements.set(left.saturating_sub(1));
        if left == 0 {
            return Err(Broken::new("the disk is gone"));
        }
        self.seen.borrow_mut().insert(statement.to_owned());
        let values = bound.iter().map(|value| match *value {
            Bound::Null => types::Value::Null,
            Bound::Integer(value) => types::Value::Real(value as f64),
            Bound::Text(text) => types::Value::Text(text.to_owned()),
            Bound::Blob(bytes) => types::Value::Blob(bytes.to_vec()),
        });
        let mut query = self.connection.prepare_cached(statement).map_err(Broken::new)?;
        let count = query.column_count();
        let mut rows = query.query(params_from_iter(values)).map_err(Broken::new)?;
        let mut all = Vec::new();
        while let Some(row) = rows.next().map_err(Broken::new)? {
            let values = (0..count).map(|column| match row.get(column).unwrap() {
                types::Value::Null => Value::Null,
                types::Value::Integer(value) => Value::Integer(value),
                types::Value::Real(value) => Value::Integer(value as i64),
                types::Value::Text(text) => Value::Text(text),
                types::Value::Blob(bytes) => Value::Blob(bytes),
            });
            all.push(values.collect());
        }
        drop(rows);
        if statement.starts_with("INSERT") {
            self.rows_written.set(self.rows_written.get() + 1);
        }
        Ok(all)
    }

    fn transaction(&self, then: &mut dyn FnMut() -> Result<(), Broken>) -> Result<(), Broken> {
        self.connection.execute_batch("SAVEPOINT test").unwrap();
        let result = then();
        let end = if result.is_ok() { "RELEASE test" } else { "ROLLBACK TO test; RELEASE test" };
        self.connection.execute_batch(end).unwrap();
        result
    }

    fn size(&self) -> u64 {
        let pages = |name: &str| self.connection.query_row(&format!("PRAGMA {name}"), [], |row| row.get::<_, i64>(0));
        (pages("page_count").unwrap() * pages("page_size").unwrap()).unsigned_abs() + self.ballast.get()
    }
}

pub const DAY: u64 = 86_400_000;

/// A log that keeps launches for three days and request ids for one.
pub fn empty() -> Log<Database> {
    let limits = Limits { retention_days: 3, log: 1 << 30, ..Limits::default() };
    Log::new(Database::new(), Terms::from(&limits))
}

pub fn definition() -> Definition {
    Definition { id: 85, name: Some("Welcome".to_owned()), database: Some(1), active: Some(true) }
}

/// The log of an active campaign, of which KV has a copy.
pub fn defined() -> Log<Database> {
    let log = empty();
    let campaign: Campaign = log.define(&definition(), &[], super::NOON).unwrap();
    assert_eq!((campaign.launches, campaign.recipients), (0, 0));
    let begun = log.begin_copy(super::NOON).unwrap().unwrap();
    log.end_copy(&begun, true, super::NOON).unwrap();
    assert_eq!(log.begin_copy(super::NOON + INTERVAL), Ok(None));
    assert_eq!(log.take_alarm(), Ok(None));
    log
}

pub fn activate(log: &Log<Database>, active: bool) {
    log.define(&Definition { id: 85, active: Some(active), ..Definition::default() }, &[], super::NOON).unwrap();
}

/// A command of a token that is not limited to some databases.
pub fn unlimited(command: &Command) -> Envelope {
    Envelope { databases: Vec::new(), command: command.clone() }
}

/// The sequence of a launch that was committed.
pub fn committed(outcome: Result<Outcome, Fault>) -> u64 {
    match outcome {
        Ok(Outcome::Committed(committed)) => committed.sequence,
        other => panic!("{other:?}"),
    }
}

/// All pieces of an answer.
pub fn read<S: Sql>(log: &Log<S>, command: &Command, now: u64) -> Result<String, Fault> {
    let bytes = bytes(log, log.answer(&unlimited(command), now)?)?;
    Ok(String::from_utf8(bytes).unwrap())
}

pub fn bytes<S: Sql>(log: &Log<S>, mut reading: Reading) -> Result<Vec<u8>, Fault> {
    let mut all = Vec::new();
    while let Some(piece) = reading.step(log)? {
        all.extend_from_slice(&piece);
    }
    Ok(all)
}

pub fn json(log: &Log<Database>, command: &Command) -> serde_json::Value {
    serde_json::from_str(&read(log, command, super::NOON).unwrap()).unwrap()
}

impl Log<Database> {
    /// A run of the alarm where no launch has files.
    pub fn sweep(&self, now: u64) -> Result<(), Broken> {
        if self.find_state()?.is_some() {
            self.alarm_is_unknown();
        }
        match self.expired(now)? {
            None => self.await_retention(now),
            Some(expired) => {
                assert_eq!(expired.keys, Vec::<String>::new());
                self.remove(&expired, now)
            }
        }
    }
}
