//! Removing what is old, in small steps, and the times at which the object's alarm is due.

use super::{
    layout::{Layout, PREFIX},
    log::{Log, State},
    sql::{Bound, Broken, Sql, integer},
};
use crate::limits;

/// Most launches that one step removes.
pub const STEP_LAUNCHES: u64 = 500;
/// A step ends when it has removed this many bytes of sections.
pub const STEP_BYTES: u64 = 32 * limits::MIB;
/// Between two runs, in milliseconds: launches that expire one after the other go together.
pub const PAUSE: u64 = 60_000;

const TASK: &str = "retention";

/// The last launch of a step.
struct Until {
    sequence: u64,
    accepted_at: u64,
    recipients: u64,
    /// When the launch after it expires; `None` if there is none.
    next: Option<u64>,
}

impl<S: Sql> Log<S> {
    /// Removes some of what has expired, and says when to come again. To be called by the alarm.
    pub fn sweep(&self, now: u64) -> Result<(), Broken> {
        let Some(state) = self.find_state()? else { return Ok(()) };
        let until = self.expired(&state, now)?;
        self.sql.transaction(&mut || {
            let Some(until) = &until else {
                return self.reschedule(&state, now);
            };
            self.sql.exec("DELETE FROM chunks WHERE sequence <= ?", &[integer(until.sequence)])?;
            self.sql.exec("DELETE FROM launches WHERE sequence <= ?", &[integer(until.sequence)])?;
            let values = [integer(until.sequence), integer(until.accepted_at), integer(until.recipients)];
            self.sql.exec("UPDATE campaign SET removed = ?, removed_at = ?, removed_recipients = ?", &values)?;
            match until.next {
                // What has expired already goes at once, the rest not before some of it has gathered.
                Some(at) if at <= now => self.due_at(now),
                Some(at) => self.due_at(at.max(now.saturating_add(PAUSE))),
                None => self.nothing_due(),
            }
        })
    }

    /// Sets the alarm anew from what the log holds: the runtime gives an alarm up after some failures, and an
    /// operator may have changed how long launches are kept. To be called when the object starts.
    pub fn start(&self, now: u64) -> Result<(), Broken> {
        let Some(state) = self.find_state()? else { return Ok(()) };
        self.sql.transaction(&mut || self.reschedule(&state, now))
    }

    fn reschedule(&self, state: &State, now: u64) -> Result<(), Broken> {
        let Some(first) = state.first() else { return self.nothing_due() };
        let rows = self.sql.exec("SELECT accepted_at FROM launches WHERE sequence = ?", &[integer(first)])?;
        let accepted_at = rows.into_iter().next().map_or(Ok(now), |mut row| row.number())?;
        self.due_at(accepted_at.saturating_add(self.terms.retention))
    }

    /// The last launch that a step is to remove, if any has expired.
    fn expired(&self, state: &State, now: u64) -> Result<Option<Until>, Broken> {
        let statement = "SELECT sequence, accepted_at, recipients, substr(head, 1, ?) FROM launches \
                         ORDER BY sequence LIMIT ?";
        let rows = self.sql.exec(statement, &[integer(PREFIX as u64), integer(STEP_LAUNCHES + 1)])?;
        let mut until: Option<Until> = None;
        let mut bytes = 0_u64;
        for (number, mut row) in rows.into_iter().enumerate() {
            let (sequence, accepted_at, recipients) = (row.number()?, row.number()?, row.number()?);
            let expires = accepted_at.saturating_add(self.terms.retention);
            let full = bytes > STEP_BYTES || number as u64 == STEP_LAUNCHES;
            if expires > now || full {
                if let Some(until) = &mut until {
                    until.next = Some(expires);
                }
                return Ok(until);
            }
            let layout = Layout::read(&row.blob()?).ok_or_else(|| Broken::new("a launch cannot be read"))?;
            bytes = bytes.saturating_add(layout.payload());
            until = Some(Until { sequence, accepted_at, recipients, next: None });
        }
        debug_assert!(until.as_ref().is_none_or(|until| until.sequence == state.last()));
        Ok(until)
    }

    pub(super) fn due_at(&self, at: u64) -> Result<(), Broken> {
        let known = self.sql.exec("SELECT at FROM due WHERE task = ? AND sequence = 0", &[Bound::Text(TASK)])?;
        let known = known.into_iter().next().map(|mut row| row.number()).transpose()?;
        if known != Some(at) {
            self.sql.exec("INSERT OR REPLACE INTO due VALUES (?, 0, ?)", &[Bound::Text(TASK), integer(at)])?;
        }
        self.alarm.set(true);
        Ok(())
    }

    fn nothing_due(&self) -> Result<(), Broken> {
        self.sql.exec("DELETE FROM due WHERE task = ?", &[Bound::Text(TASK)]).map(drop)
    }

    /// When the alarm is to be set, in milliseconds since 1970, if that may have changed since this was last asked.
    pub fn take_alarm(&self) -> Result<Option<u64>, Broken> {
        if !self.alarm.take() {
            return Ok(None);
        }
        self.sql.exec("SELECT min(at) FROM due", &[])?.pop().map_or(Ok(None), |mut row| row.optional_number())
    }
}
