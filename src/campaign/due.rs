//! What the object's one alarm is for: a table of due times.

use super::{
    log::Log,
    sql::{Bound, Broken, Sql, integer},
};

/// Something to be done at a time of its own. Its name is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Task {
    /// Removing what has expired. One row, whose `sequence` is 0.
    Retention,
    /// Completing the uploads of a launch that is in the log. One row for each such launch.
    Attachments,
}

impl Task {
    pub(super) fn name(self) -> Bound<'static> {
        Bound::Text(match self {
            Self::Retention => "retention",
            Self::Attachments => "attachments",
        })
    }
}

impl<S: Sql> Log<S> {
    /// Records when a task is due (`sequence` is 0 where it is not about one launch).
    pub(super) fn due_at(&self, task: Task, sequence: u64, at: u64) -> Result<(), Broken> {
        let known =
            self.sql.exec("SELECT at FROM due WHERE task = ? AND sequence = ?", &[task.name(), integer(sequence)]);
        let known = known?.pop().map(|mut row| row.number()).transpose()?;
        if known != Some(at) {
            let values = [task.name(), integer(sequence), integer(at)];
            self.sql.exec("INSERT OR REPLACE INTO due VALUES (?, ?, ?)", &values)?;
        }
        // Setting the alarm is billed as a row: one that comes earlier does for this task too.
        if self.alarm_at.get().is_none_or(|set| at < set) {
            self.alarm.set(true);
        }
        Ok(())
    }

    /// A task is done.
    pub(super) fn not_due(&self, task: Task, sequence: u64) -> Result<(), Broken> {
        let bound = [task.name(), integer(sequence)];
        self.sql.exec("DELETE FROM due WHERE task = ? AND sequence = ?", &bound).map(drop)
    }

    /// It is not known when the alarm comes: it has come, or the object has just started.
    pub(super) fn alarm_is_unknown(&self) {
        self.alarm_at.set(None);
        self.alarm.set(true);
    }

    /// When the alarm is to be set, in milliseconds since 1970, if that may have changed since this was last asked.
    pub fn take_alarm(&self) -> Result<Option<u64>, Broken> {
        if !self.alarm.take() {
            return Ok(None);
        }
        let mut row = self.sql.exec("SELECT min(at) FROM due", &[])?.pop();
        let at = row.as_mut().map_or(Ok(None), |row| row.optional_number())?;
        let at = at.map(|at| at.max(self.rest_until.get()));
        self.alarm_at.set(at);
        Ok(at)
    }
}
