//! [`LaunchLog`]: a campaign's log in a database, and the state that every operation needs.

use std::cell::{Cell, RefCell};

use super::{
    copy_writes::CopyWrites,
    due::{AlarmState, DueTimes},
    schema::SCHEMA,
};
use crate::{
    access::allows_database,
    campaign::protocol::{
        commands::{Campaign, Refusal, Resource},
        message::MessageError,
    },
    limits::{DAY_MS, Limits, REPEAT_WINDOW_MS},
    problem::Cause,
    storage::{
        schema::Schema,
        sql::{CountedSql, Sql, StorageError},
    },
    text::error_chain,
};

/// A campaign's log. The modules of [`super`] implement its operations.
pub struct LaunchLog<S> {
    pub(in crate::campaign) sql: CountedSql<S>,
    pub(in crate::campaign) limits: LogLimits,
    schema: &'static Schema,
    /// Whether the tables exist and have the current version.
    is_open: Cell<bool>,
    /// The state that was read or written last, with [`CountedSql::writes`] at that time.
    last_state: RefCell<Option<(u64, LogState)>>,
    alarm: AlarmState,
    pub(super) copy_writes: CopyWrites,
}

/// How long a log keeps what, and how large it may become.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogLimits {
    /// How long a request ID identifies a request, in milliseconds.
    pub deduplication: u64,
    /// How long a launch is kept, in milliseconds; at least as long as its request ID.
    pub retention: u64,
    /// The size in bytes from which new launches are refused.
    pub size: u64,
}

impl From<&Limits> for LogLimits {
    fn from(limits: &Limits) -> Self {
        let deduplication = limits.deduplication_seconds.saturating_mul(1000);
        let retention = limits.retention_days.saturating_mul(DAY_MS).max(deduplication).max(REPEAT_WINDOW_MS);
        Self { deduplication, retention, size: limits.log }
    }
}

/// Why an operation on the log failed. Nothing was written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LogError {
    /// The log refuses the command: the caller's fault, or the campaign's state.
    #[error("the object refuses the command: {0:?}")]
    Refused(Refusal),
    #[error("invalid commit message")]
    Message(#[from] MessageError),
    #[error("this is the object of campaign {own}, but the command is for campaign {other}")]
    WrongCampaign { own: u64, other: u64 },
    #[error(transparent)]
    Storage(#[from] StorageError),
    #[error(transparent)]
    Internal(#[from] Cause),
}

impl From<LogError> for Cause {
    fn from(error: LogError) -> Self {
        Self(error_chain(&error))
    }
}

impl From<Refusal> for LogError {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

/// The campaign and the ends of its log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogState {
    pub campaign: Campaign,
    /// When the last launch was accepted.
    pub accepted_at: u64,
    /// The last sequence that retention removed.
    pub removed: u64,
    /// When that launch was accepted.
    pub removed_at: u64,
    /// Items of all launches that were not recipients.
    pub items: ItemTotals,
}

/// Items of launches that were not recipients. In an object of schema version 1 the totals do not begin at 0: only differences
/// are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ItemTotals {
    pub unmatched: u64,
    pub invalid: u64,
}

impl LogState {
    /// The last sequence that was assigned.
    pub fn last(&self) -> u64 {
        self.campaign.launches
    }

    /// The oldest sequence in the log.
    pub fn first(&self) -> Option<u64> {
        (self.last() > self.removed).then_some(self.removed.saturating_add(1))
    }
}

impl<S: Sql> LaunchLog<S> {
    /// The log in a database, which may be empty.
    pub fn new(sql: S, limits: LogLimits) -> Self {
        Self::with_schema(sql, limits, &SCHEMA)
    }

    /// A log with another schema, for tests of migrations.
    pub(in crate::campaign) fn with_schema(sql: S, limits: LogLimits, schema: &'static Schema) -> Self {
        Self {
            sql: CountedSql::new(sql),
            limits,
            schema,
            is_open: Cell::default(),
            last_state: RefCell::default(),
            alarm: AlarmState::default(),
            copy_writes: CopyWrites::default(),
        }
    }

    /// The due times of the alarm's steps.
    pub fn due(&self) -> DueTimes<'_, S> {
        DueTimes::new(&self.sql, &self.alarm)
    }

    pub(super) fn schema(&self) -> &'static Schema {
        self.schema
    }

    /// Returns the campaign with its totals.
    pub fn read(&self) -> Result<Campaign, LogError> {
        Ok(self.state()?.campaign)
    }

    /// Checks that a token of `databases` may use the campaign. A campaign of another database is reported as missing, so that
    /// the token does not learn that it exists.
    pub fn authorize(&self, databases: &[u64]) -> Result<(), LogError> {
        if databases.is_empty() || allows_database(databases, self.state()?.campaign.database) {
            return Ok(());
        }
        Err(Refusal::NotFound(Resource::Campaign).into())
    }

    /// Returns the state of the log from memory, unless a statement has written since it was read.
    pub(in crate::campaign) fn last_state(&self) -> Result<LogState, LogError> {
        match &*self.last_state.borrow() {
            Some((writes, state)) if *writes == self.sql.writes() => return Ok(state.clone()),
            _ => {}
        }
        self.state()
    }

    /// Returns the state of the log. Refuses if the campaign was never defined.
    pub fn state(&self) -> Result<LogState, LogError> {
        self.find_state()?.ok_or_else(|| Refusal::NotFound(Resource::Campaign).into())
    }

    /// Remembers the current state, so that the next commit does not read it.
    pub(super) fn remember(&self, state: LogState) {
        self.last_state.replace(Some((self.sql.writes(), state)));
    }

    /// Returns the state of the log, or `None` if the campaign was never defined. The first call migrates the tables.
    pub fn find_state(&self) -> Result<Option<LogState>, StorageError> {
        if !self.is_open.get() {
            if !self.schema.open(&self.sql)? {
                return Ok(None);
            }
            self.is_open.set(true);
        }
        let statement = "SELECT id, name, database, active, removed, removed_at, \
             coalesce(sequence, removed), coalesce(accepted_at, removed_at), coalesce(recipients, removed_recipients), \
             coalesce(unmatched, removed_unmatched, 0), coalesce(invalid, removed_invalid, 0) \
             FROM campaign LEFT JOIN (SELECT sequence, accepted_at, recipients, unmatched, invalid FROM launches \
             ORDER BY sequence DESC LIMIT 1)";
        let row = self.sql.exec(statement, &[])?.pop();
        let mut row = row.ok_or_else(|| StorageError::damaged("the campaign's row is missing"))?;
        let (id, name) = (row.number()?, row.text()?);
        let (database, active) = (row.number()?, row.number()? != 0);
        let (removed, removed_at) = (row.number()?, row.number()?);
        let (launches, accepted_at, recipients) = (row.number()?, row.number()?, row.number()?);
        let items = ItemTotals { unmatched: row.number()?, invalid: row.number()? };
        let campaign = Campaign { id, name, database, active, launches, recipients };
        let state = LogState { campaign, accepted_at, removed, removed_at, items };
        self.remember(state.clone());
        Ok(Some(state))
    }
}
