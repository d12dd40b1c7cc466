//! Totals of the launches in any period, from cumulative columns.
//!
//! Each row of `launches` contains its `sequence` and the totals of recipients, unmatched items and invalid items up to and
//! including it. The totals of a period are the difference between two rows. Accepted times never decrease, so a row is found
//! by a binary search of sequences.
//!
//! Schema versions 1 and 2 had no totals of unmatched and invalid items. An object of such a version counts them again, from the newest
//! launch to the oldest and in slices, while new launches continue the totals. For that the migration gives the newest launch
//! totals that are large enough for all launches before it, so totals of such an object do not begin at 0. Only differences of
//! totals are used. A launch that has not been counted has null in both columns, and so has `campaign` until all are counted.

use super::{
    alarm::{AlarmStep, SliceResult},
    due::Task,
    state::{ItemTotals, LaunchLog, LogError, LogState},
    uploads::FAILURE,
};
use crate::{
    campaign::{ports::Host, protocol::commands::StatsRequest},
    limits::{COUNT_PAUSE_MS, COUNT_STEP_LAUNCHES},
    storage::sql::{Sql, SqlParameter, StorageError},
};

/// One row with the sequence 0 until all launches have been counted. The migration writes the row, so the name is stored there.
pub const TASK: Task = Task::new("totals");

/// The totals of all launches up to a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LaunchTotals {
    pub launches: u64,
    pub recipients: u64,
    pub items: ItemTotals,
}

/// The step of the alarm.
pub fn step<S: Sql + 'static>() -> AlarmStep<S> {
    AlarmStep {
        task: TASK,
        service: "totals",
        pause_after_failure: COUNT_PAUSE_MS,
        failure: FAILURE,
        run: Box::new(|log, _| Box::pin(async move { count_due(&log) })),
    }
}

fn count_due<S: Sql>(log: &LaunchLog<S>) -> SliceResult {
    // The row stays due until everything has been counted, so the next slice follows at once.
    log.count_slice().map(|_| Vec::new())
}

/// Counts the launches that a request needs. Other requests are served between two slices.
pub async fn count_period<S: Sql>(
    log: &LaunchLog<S>,
    host: &impl Host,
    request: &StatsRequest,
) -> Result<(), LogError> {
    // Refuses if the campaign was never defined.
    log.state()?;
    while !log.is_counted()? && log.totals(request)?.is_none() {
        log.count_slice()?;
        host.sleep(0).await;
    }
    Ok(())
}

impl<S: Sql> LaunchLog<S> {
    /// Returns the totals before the period and at the end of each bucket. `None` if some have not been counted yet.
    pub(in crate::campaign) fn totals(
        &self,
        request: &StatsRequest,
    ) -> Result<Option<Vec<LaunchTotals>>, StorageError> {
        // A bucket ends where the next one begins. `search` finds the first launch that was accepted at that time or later. Each
        // turn halves the sequences between `low` and `high`. A search that began later can end earlier.
        let statement = "WITH RECURSIVE \
             ends (number, at) AS (SELECT 0, CAST(? AS INTEGER) UNION ALL \
                 SELECT number + 1, min(CAST(? AS INTEGER) + (number + 1) * CAST(? AS INTEGER), CAST(? AS INTEGER)) \
                 FROM ends WHERE number < ?), \
             search (number, at, low, high) AS (SELECT number, at, removed + 1, CAST(? AS INTEGER) \
                 FROM ends CROSS JOIN campaign UNION ALL \
                 SELECT number, at, iif(accepted_at < at, (low + high) / 2 + 1, low), \
                     iif(accepted_at < at, high, (low + high) / 2) \
                 FROM search CROSS JOIN launches ON sequence = (low + high) / 2 WHERE low < high) \
             SELECT low - 1, coalesce(recipients, removed_recipients), coalesce(unmatched, removed_unmatched), \
                 coalesce(invalid, removed_invalid) \
             FROM search CROSS JOIN campaign LEFT JOIN launches ON sequence = low - 1 WHERE low = high ORDER BY number";
        let Some(state) = self.find_state()? else { return Ok(None) };
        let parameters = [
            request.from.into(),
            SqlParameter::Integer(request.first),
            request.width.into(),
            request.to.into(),
            request.buckets.into(),
            state.last().saturating_add(1).into(),
        ];
        let mut totals = Vec::new();
        for mut row in self.sql.exec(statement, &parameters)? {
            let (launches, recipients) = (row.number()?, row.number()?);
            let (Some(unmatched), Some(invalid)) = (row.optional_number()?, row.optional_number()?) else {
                return Ok(None);
            };
            totals.push(LaunchTotals { launches, recipients, items: ItemTotals { unmatched, invalid } });
        }
        Ok(Some(totals))
    }

    fn is_counted(&self) -> Result<bool, StorageError> {
        Ok(self.due().at(TASK, 0)?.is_none())
    }

    /// Counts the items of some launches, from the newest that have not been counted.
    pub(in crate::campaign) fn count_slice(&self) -> Result<(), StorageError> {
        let Some(state) = self.find_state()? else { return Ok(()) };
        let Some(first) = state.first() else {
            return self.finish_counting("UPDATE campaign SET removed_unmatched = 0, removed_invalid = 0", &[]);
        };
        let counted = self.first_counted(&state, first)?;
        let next = counted.saturating_sub(COUNT_STEP_LAUNCHES).max(first);
        // The totals before a launch are its totals without its items, which the JSON text of `head` after its lengths contains.
        let statement = "UPDATE launches SET unmatched = before.unmatched, invalid = before.invalid FROM (\
             SELECT sequence - 1 AS position, \
                 newest_unmatched - sum(json_extract(head, '$.counts.unmatched')) OVER later AS unmatched, \
                 newest_invalid - sum(json_extract(head, '$.counts.invalid')) OVER later AS invalid \
             FROM (SELECT sequence, CAST(substr(head, 33) AS TEXT) AS head FROM launches WHERE sequence BETWEEN ? AND ?) \
             CROSS JOIN (SELECT unmatched AS newest_unmatched, invalid AS newest_invalid FROM launches WHERE sequence = ?) \
             WINDOW later AS (ORDER BY sequence DESC)) AS before WHERE sequence = before.position";
        self.sql.exec(statement, &[next.saturating_add(1).into(), counted.into(), counted.into()])?;
        if next > first {
            return Ok(());
        }
        let statement = "UPDATE campaign SET (removed_unmatched, removed_invalid) = (SELECT \
                 unmatched - json_extract(CAST(substr(head, 33) AS TEXT), '$.counts.unmatched'), \
                 invalid - json_extract(CAST(substr(head, 33) AS TEXT), '$.counts.invalid') \
             FROM launches WHERE sequence = ?)";
        self.finish_counting(statement, &[first.into()])
    }

    /// Writes the totals before the oldest launch, and records that all launches have been counted.
    fn finish_counting(&self, statement: &str, parameters: &[SqlParameter<'_>]) -> Result<(), StorageError> {
        self.sql.transaction(&mut || {
            self.sql.exec(statement, parameters)?;
            self.due().remove(TASK, 0)
        })
    }

    /// Returns the oldest sequence that has been counted. All later ones have been counted too.
    fn first_counted(&self, state: &LogState, first: u64) -> Result<u64, StorageError> {
        let statement = "WITH RECURSIVE search (low, high) AS (SELECT CAST(? AS INTEGER), CAST(? AS INTEGER) UNION ALL \
             SELECT iif(unmatched IS NULL, (low + high) / 2 + 1, low), iif(unmatched IS NULL, high, (low + high) / 2) \
             FROM search CROSS JOIN launches ON sequence = (low + high) / 2 WHERE low < high) \
             SELECT low FROM search WHERE low = high";
        let row = self.sql.exec(statement, &[first.into(), state.last().into()])?.pop();
        row.ok_or_else(|| StorageError::damaged("no launch has been counted"))?.number()
    }
}
