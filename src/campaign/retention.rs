//! Removing what is old, in small steps: files first, then rows.

use super::{
    due::Task,
    head::Upload,
    log::{Log, State},
    sql::{Broken, Sql, integer},
    stored,
};
use crate::limits;

/// Most launches that one step removes.
pub const STEP_LAUNCHES: u64 = 500;
/// A step ends when it has removed this many bytes of sections.
pub const STEP_BYTES: u64 = 32 * limits::MIB;
/// Most files that one step removes: as many as the bucket removes at once.
pub const STEP_FILES: usize = 1000;
/// Between two runs, in milliseconds: launches that expire one after the other go together.
pub const PAUSE: u64 = 60_000;
/// Launches that are read at once.
const BATCH: u64 = 16;

const _: () = assert!(limits::ATTACHMENTS_LIMIT <= STEP_FILES, "a step has room for one launch");

/// What one step removes.
#[derive(Debug, Default)]
pub struct Expired {
    /// The bucket's keys of all files.
    pub keys: Vec<String>,
    /// Uploads that are not known to be complete.
    pub incomplete: Vec<Upload>,
    launches: u64,
    bytes: u64,
    /// Of the last launch.
    sequence: u64,
    accepted_at: u64,
    recipients: u64,
    /// When the launch after it expires; `None` if there is none.
    next: Option<u64>,
}

impl<S: Sql> Log<S> {
    /// Some of what has expired, if anything has: its files are to be removed, and then its rows with [`Log::remove`].
    pub fn expired(&self, now: u64) -> Result<Option<Expired>, Broken> {
        let Some(state) = self.find_state()? else { return Ok(None) };
        let mut expired = Expired { sequence: state.removed, ..Expired::default() };
        let mut all: Vec<(u64, Upload)> = Vec::new();
        'step: loop {
            let statement = "SELECT recipients, sequence, accepted_at, head, payload IS NOT NULL FROM launches \
                             WHERE sequence > ? ORDER BY sequence LIMIT ?";
            let rows = self.sql.exec(statement, &[integer(expired.sequence), integer(BATCH)])?;
            let more = rows.len() as u64 == BATCH;
            for mut row in rows {
                let recipients = row.number()?;
                let launch = stored::read(row)?;
                let expires = launch.accepted_at.saturating_add(self.terms.retention);
                let full = expired.launches == STEP_LAUNCHES
                    || expired.bytes > STEP_BYTES
                    || all.len() + launch.head.attachments.len() > STEP_FILES;
                if expires > now || full {
                    expired.next = Some(expires);
                    break 'step;
                }
                expired.launches += 1;
                expired.bytes = expired.bytes.saturating_add(launch.layout.payload());
                expired.recipients = recipients;
                (expired.sequence, expired.accepted_at) = (launch.sequence, launch.accepted_at);
                all.extend(launch.head.attachments.into_iter().map(|file| (launch.sequence, file.upload)));
            }
            if !more {
                break;
            }
        }
        if !all.is_empty() {
            expired.keys = all.iter().map(|(_, upload)| upload.key.clone()).collect();
            let incomplete = self.incomplete_until(expired.sequence)?;
            expired.incomplete = all
                .into_iter()
                .filter(|(sequence, _)| incomplete.contains(sequence))
                .map(|(_, upload)| upload)
                .collect();
        }
        Ok((expired.launches > 0).then_some(expired))
    }

    /// The launches up to that one whose uploads are not known to be complete.
    fn incomplete_until(&self, sequence: u64) -> Result<Vec<u64>, Broken> {
        let statement = "SELECT sequence FROM due WHERE task = ? AND sequence <= ?";
        let rows = self.sql.exec(statement, &[Task::Attachments.name(), integer(sequence)])?;
        rows.into_iter().map(|mut row| row.number()).collect()
    }

    /// Removes the rows of a step, and says when to come again.
    pub fn remove(&self, expired: &Expired, now: u64) -> Result<(), Broken> {
        self.sql.transaction(&mut || {
            self.sql.exec("DELETE FROM chunks WHERE sequence <= ?", &[integer(expired.sequence)])?;
            self.sql.exec("DELETE FROM launches WHERE sequence <= ?", &[integer(expired.sequence)])?;
            let bound = [Task::Attachments.name(), integer(expired.sequence)];
            self.sql.exec("DELETE FROM due WHERE task = ? AND sequence <= ?", &bound)?;
            let values = [integer(expired.sequence), integer(expired.accepted_at), integer(expired.recipients)];
            self.sql.exec("UPDATE campaign SET removed = ?, removed_at = ?, removed_recipients = ?", &values)?;
            match expired.next {
                // What has expired already goes at once, the rest not before some of it has gathered.
                Some(at) if at <= now => self.due_at(Task::Retention, 0, now),
                Some(at) => self.due_at(Task::Retention, 0, at.max(now.saturating_add(PAUSE))),
                // A launch that was added meanwhile.
                None => self.reschedule(now),
            }
        })
    }

    /// Nothing has expired: when to come again.
    pub fn await_retention(&self, now: u64) -> Result<(), Broken> {
        if self.find_state()?.is_none() {
            return Ok(());
        }
        self.sql.transaction(&mut || self.reschedule(now))
    }

    /// Files could not be removed: their launches stay until the next run.
    pub fn postpone_retention(&self, now: u64) -> Result<(), Broken> {
        self.due_at(Task::Retention, 0, now.saturating_add(PAUSE))
    }

    /// Sets the alarm anew from what the log holds: the runtime gives an alarm up after some failures, and an
    /// operator may have changed how long launches are kept. To be called when the object starts.
    pub fn start(&self, now: u64) -> Result<(), Broken> {
        if self.find_state()?.is_none() {
            return Ok(());
        }
        self.alarm_is_unknown();
        self.await_retention(now)
    }

    fn reschedule(&self, now: u64) -> Result<(), Broken> {
        let Some(first) = self.find_state()?.as_ref().and_then(State::first) else {
            return self.not_due(Task::Retention, 0);
        };
        let rows = self.sql.exec("SELECT accepted_at FROM launches WHERE sequence = ?", &[integer(first)])?;
        let accepted_at = rows.into_iter().next().map_or(Ok(now), |mut row| row.number())?;
        self.due_at(Task::Retention, 0, accepted_at.saturating_add(self.terms.retention))
    }
}
