//! Reading a launch that the log contains.

use std::ops::Range;

use super::state::{LaunchLog, LogError};
use crate::{
    campaign::protocol::{
        commands::{Refusal, Resource},
        head::LaunchHead,
        id::LaunchId,
        layout::{MessageLayout, MessageSection, PREFIX},
    },
    json,
    storage::sql::{Sql, SqlParameter, SqlRow, StorageError},
};

/// A launch without its sections. The sections are read in ranges.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredLaunch {
    pub sequence: u64,
    /// Milliseconds since 1970.
    pub accepted_at: u64,
    pub head: LaunchHead,
    pub layout: MessageLayout,
    /// Whether the sections are in the launch's own row and not in `chunks`.
    is_inline: bool,
}

/// The order of a page of launches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LaunchOrder {
    OldestFirst,
    NewestFirst,
}

impl LaunchOrder {
    /// Returns the sequence that follows `sequence` in this order.
    pub fn after(self, sequence: u64) -> u64 {
        match self {
            Self::OldestFirst => sequence.saturating_add(1),
            Self::NewestFirst => sequence.saturating_sub(1),
        }
    }
}

impl StoredLaunch {
    /// Reads the columns `sequence, accepted_at, head, payload IS NOT NULL`.
    pub(super) fn from_row(mut row: SqlRow) -> Result<Self, StorageError> {
        let (sequence, accepted_at, record) = (row.number()?, row.number()?, row.blob()?);
        let is_inline = row.number()? != 0;
        let damaged = |what: &str| StorageError::Damaged(format!("launch {sequence}: {what}"));
        let layout = MessageLayout::read(&record).ok_or_else(|| damaged("layout"))?;
        let head = record.get(PREFIX..).and_then(|head| json::from_slice(head).ok());
        Ok(Self { sequence, accepted_at, head: head.ok_or_else(|| damaged("head"))?, layout, is_inline })
    }
}

impl<S: Sql> LaunchLog<S> {
    /// Finds a launch by its ID. A launch that is not in the log is reported as expired if its ID is not younger than the last
    /// launch that retention removed, and as missing otherwise.
    pub fn find(&self, launch_id: LaunchId) -> Result<StoredLaunch, LogError> {
        let state = self.state()?;
        let statement = "SELECT sequence, accepted_at, head, payload IS NOT NULL FROM launches \
                         WHERE key = ? AND launch_id = ?";
        let parameters = [SqlParameter::Integer(launch_id.key().to_i64()), SqlParameter::Text(&launch_id.to_string())];
        match self.sql.exec(statement, &parameters)?.pop() {
            Some(row) => Ok(StoredLaunch::from_row(row)?),
            None if state.removed > 0 && launch_id.time() <= state.removed_at => {
                Err(Refusal::Expired { first: state.first() }.into())
            }
            None => Err(Refusal::NotFound(Resource::Launch).into()),
        }
    }

    /// Returns a launch by its sequence.
    pub fn launch_at(&self, sequence: u64) -> Result<StoredLaunch, StorageError> {
        self.launches_from(sequence, LaunchOrder::OldestFirst, 1)?.pop().ok_or(StorageError::Removed(sequence))
    }

    /// Returns at most `limit` launches from `sequence` on, in this order and without gaps.
    pub(in crate::campaign) fn launches_from(
        &self,
        sequence: u64,
        order: LaunchOrder,
        limit: u64,
    ) -> Result<Vec<StoredLaunch>, StorageError> {
        let statement = match order {
            LaunchOrder::OldestFirst => {
                "SELECT sequence, accepted_at, head, payload IS NOT NULL FROM launches \
                 WHERE sequence >= ? ORDER BY sequence LIMIT ?"
            }
            LaunchOrder::NewestFirst => {
                "SELECT sequence, accepted_at, head, payload IS NOT NULL FROM launches \
                 WHERE sequence <= ? ORDER BY sequence DESC LIMIT ?"
            }
        };
        let mut expected = sequence;
        let rows = self.sql.exec(statement, &[sequence.into(), limit.into()])?;
        let launches = rows.into_iter().map(|row| {
            let launch = StoredLaunch::from_row(row)?;
            if launch.sequence != expected {
                return Err(StorageError::Removed(expected));
            }
            expected = order.after(expected);
            Ok(launch)
        });
        launches.collect()
    }

    /// Returns a range of a section. The range is cut at the section's end.
    pub fn section(
        &self,
        launch: &StoredLaunch,
        section: MessageSection,
        range: Range<u64>,
    ) -> Result<Vec<u8>, StorageError> {
        let whole = launch.layout.range(section);
        let position = |offset: u64| whole.start.saturating_add(offset).min(whole.end);
        self.payload(launch, position(range.start)..position(range.end))
    }

    /// Returns the head as it was written.
    pub(in crate::campaign) fn head_bytes(&self, launch: &StoredLaunch) -> Result<Vec<u8>, StorageError> {
        let statement = "SELECT substr(head, ? + 1, ?) FROM launches WHERE sequence = ?";
        let parameters = [(PREFIX as u64).into(), launch.layout.head().into(), launch.sequence.into()];
        let row = self.sql.exec(statement, &parameters)?.into_iter().next();
        row.ok_or(StorageError::Removed(launch.sequence))?.blob()
    }

    /// Returns a whole section that is text.
    pub fn text(&self, launch: &StoredLaunch, section: MessageSection) -> Result<String, StorageError> {
        let bytes = self.section(launch, section, 0..launch.layout.section(section))?;
        String::from_utf8(bytes).map_err(StorageError::damaged)
    }

    /// Returns a range of all sections together.
    pub(in crate::campaign) fn payload(
        &self,
        launch: &StoredLaunch,
        range: Range<u64>,
    ) -> Result<Vec<u8>, StorageError> {
        let length = range.end.saturating_sub(range.start);
        let mut bytes = Vec::new();
        loop {
            let missing = length.saturating_sub(bytes.len() as u64);
            if missing == 0 {
                return Ok(bytes);
            }
            let piece = self.payload_of_one_row(launch, range.end.saturating_sub(missing), missing)?;
            if piece.is_empty() {
                return Err(StorageError::Removed(launch.sequence));
            }
            if bytes.is_empty() {
                bytes = piece;
            } else {
                bytes.extend_from_slice(&piece);
            }
        }
    }

    /// Returns at most `length` bytes from `start` on, up to the end of the row that contains `start`.
    fn payload_of_one_row(&self, launch: &StoredLaunch, start: u64, length: u64) -> Result<Vec<u8>, StorageError> {
        let sequence = launch.sequence;
        let rows = if launch.is_inline {
            let statement = "SELECT substr(payload, ? + 1, ?) FROM launches WHERE sequence = ?";
            self.sql.exec(statement, &[start.into(), length.into(), sequence.into()])
        } else {
            let statement = "SELECT substr(bytes, ? - start + 1, ?) FROM chunks \
                             WHERE sequence = ? AND start <= ? ORDER BY start DESC LIMIT 1";
            self.sql.exec(statement, &[start.into(), length.into(), sequence.into(), start.into()])
        }?;
        rows.into_iter().next().map_or(Ok(Vec::new()), |mut row| row.blob())
    }
}
