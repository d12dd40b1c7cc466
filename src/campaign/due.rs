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
    /// Writing KV's copy of the campaign. One row, whose `sequence` is 0.
    Listing,
}

impl Task {
    pub(super) fn name(self) -> Bound<'static> {
        Bound::Text(match self {
            Self::Retention => "retention",
            Self::Attachments => "attachments",
            Self::Listing => "listing",
        })
    }
}

impl<S: Sql> Log<S> {
    /// When a task is due, if it is recorded (`sequence` is 0 where it is not about one launch).
    pub(super) fn when_due(&self, task: Task, sequence: u64) -> Result<Option<u64>, Broken> {
        let bound = [task.name(), integer(sequence)];
        let row = self.sql.exec("SELECT at FROM due WHERE task = ? AND sequence = ?", &bound)?.pop();
        row.map(|mut row| row.number()).transpose()
    }

    /// Records when a task is due.
    pub(super) fn due_at(&self, task: Task, sequence: u64, at: u64) -> Result<(), Broken> {
        if self.when_due(task, sequence)? != Some(at) {
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
        let mut earliest = None;
        for mut row in self.sql.exec("SELECT task, min(at) FROM due GROUP BY task", &[])? {
            let (task, at) = (row.text()?, row.number()?);
            // A failure of the bucket delays the tasks that need the bucket, and no other.
            let at = if Task::Listing.name() == Bound::Text(&task) { at } else { at.max(self.rest_until.get()) };
            earliest = Some(earliest.map_or(at, |known: u64| known.min(at)));
        }
        self.alarm_at.set(earliest);
        Ok(earliest)
    }
}
