//! KV's copy of the campaign, from which campaigns are listed.
//!
//! The campaign's object is the only writer of the copy. A definition that changes the copy records a task in its own
//! transaction, and the task stays until the copy is known to be current: a failure or a restart delays the copy and
//! never loses it. One write runs at a time, so a later state is never overwritten by an earlier one; between the end of
//! one write and the start of the next at least [`INTERVAL`] passes. A change that has to wait is left to the alarm.
//!
//! | the task's row in `due` | meaning |
//! |---|---|
//! | none | the copy is current, as far as the object knows |
//! | `at` is in the future | a write is in progress, has just ended or has failed: not before `at` |
//! | `at` has passed | write the copy, unless it is current |

use std::cell::{Cell, RefCell};

use super::{
    commands::{Campaign, Definition},
    due::Task,
    log::{Fault, Log},
    sql::{Broken, Sql},
};
use crate::access::CampaignRecord;

/// Least time between two writes, in milliseconds: KV accepts one write a second for each key.
pub const INTERVAL: u64 = 1_000;
/// Longest time between two attempts after failures, in milliseconds. Before, it doubles with each failure.
pub const BACKOFF_LIMIT: u64 = 300_000;
/// A write without a result for this long no longer blocks others, in milliseconds.
pub const WRITE_TIMEOUT: u64 = 60_000;
/// A caller waits this long for KV before the reply, in milliseconds.
pub const REPLY_WAIT: u64 = 2_000;

/// The namespace of KV that contains the copies.
#[allow(async_fn_in_trait, reason = "everything runs on one thread")]
pub trait Copies {
    /// Why KV failed: for the operator's log.
    type Error: std::fmt::Display;
    /// The copy of a campaign, if there is one. It may be out of date by a minute.
    async fn read(&self, id: u64) -> Result<Option<CampaignRecord>, Self::Error>;
    /// Writes a campaign's copy.
    async fn write(&self, record: &CampaignRecord) -> Result<(), Self::Error>;
    /// Milliseconds since 1970.
    fn now(&self) -> u64;
}

/// A write that has begun.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopyWrite {
    record: CampaignRecord,
    number: u64,
}

/// What an instance of the object remembers of its writes.
#[derive(Debug, Default)]
pub(super) struct CopyWrites {
    /// The copy in KV, if the last write succeeded.
    written: RefCell<Option<CampaignRecord>>,
    /// The number of the write in progress, and when it began.
    in_progress: Cell<Option<(u64, u64)>>,
    /// The number of the last write that began.
    number: Cell<u64>,
    /// Whether a write that had timed out has ended during the one in progress.
    overlapped: Cell<bool>,
    /// Failures since the last success.
    failures: Cell<u32>,
}

/// Defines or changes the campaign for a token of `databases`. Also returns the write of KV's copy if one has to begin
/// now: pass it to [`write`].
///
/// If the definition changes nothing, KV's copy is read and compared. So the same `PUT` writes a copy that is missing, or
/// that an earlier version wrote without `active`.
pub async fn define<S: Sql>(
    log: &Log<S>,
    copies: &impl Copies,
    definition: &Definition,
    databases: &[u64],
) -> Result<(Campaign, Option<CopyWrite>), Fault> {
    let campaign = log.define(definition, databases, copies.now())?;
    if log.when_due(Task::Listing, 0)?.is_none() {
        // A copy that cannot be read is written.
        let copy = copies.read(campaign.id).await.ok().flatten();
        log.compare_copy(copy.as_ref(), copies.now())?;
    }
    Ok((campaign, log.begin_copy(copies.now())?))
}

/// Writes KV's copy. Returns why KV failed, for the operator's log: the alarm tries again.
pub async fn write<S: Sql>(log: &Log<S>, copies: &impl Copies, begun: CopyWrite) -> Result<Option<String>, Broken> {
    let failure = copies.write(&begun.record).await.err().map(|error| error.to_string());
    log.end_copy(&begun, failure.is_none(), copies.now())?;
    Ok(failure.map(|failure| format!("KV's copy of campaign {} was not written: {failure}", begun.record.id)))
}

impl Campaign {
    fn record(&self) -> CampaignRecord {
        CampaignRecord::new(self.id, &self.name, self.database, self.active)
    }

    /// Whether KV's copy of this campaign is the same as that of another state of it.
    pub(super) fn has_copy_of(&self, other: &Self) -> bool {
        self.record() == other.record()
    }
}

impl<S: Sql> Log<S> {
    /// In the transaction of a definition that changes the copy: a write is due.
    pub(super) fn copy_changed(&self, now: u64) -> Result<(), Broken> {
        if self.when_due(Task::Listing, 0)?.is_some() {
            return self.retry_soon(now);
        }
        self.due_at(Task::Listing, 0, now)
    }

    /// A definition arrived. If a write has failed, the next attempt need not wait for the end of its back-off.
    pub(super) fn retry_soon(&self, now: u64) -> Result<(), Broken> {
        let soon = now.saturating_add(INTERVAL);
        match self.when_due(Task::Listing, 0)? {
            Some(at) if at > soon => self.due_at(Task::Listing, 0, soon),
            _ => Ok(()),
        }
    }

    /// KV's copy was read: a write is due if the copy is not that of the present state.
    fn compare_copy(&self, copy: Option<&CampaignRecord>, now: u64) -> Result<(), Fault> {
        let record = self.state()?.campaign.record();
        // Meanwhile another definition may have recorded the task.
        if copy == Some(&record) || self.when_due(Task::Listing, 0)?.is_some() {
            return Ok(());
        }
        self.listing.written.take();
        Ok(self.copy_changed(now)?)
    }

    /// Begins a write if one is due and none is in progress. The caller passes it to [`write`].
    pub fn begin_copy(&self, now: u64) -> Result<Option<CopyWrite>, Broken> {
        let writes = &self.listing;
        let Some(at) = self.when_due(Task::Listing, 0)? else { return Ok(None) };
        if at > now {
            return Ok(None);
        }
        let next = now.saturating_add(INTERVAL);
        if writes.in_progress.get().is_some_and(|(_, since)| now.saturating_sub(since) < WRITE_TIMEOUT) {
            self.due_at(Task::Listing, 0, next)?;
            return Ok(None);
        }
        let Some(state) = self.find_state()? else { return Ok(None) };
        let record = state.campaign.record();
        if writes.written.borrow().as_ref() == Some(&record) {
            self.not_due(Task::Listing, 0)?;
            return Ok(None);
        }
        // If this instance ends during the write, the next one finds the task.
        self.due_at(Task::Listing, 0, next)?;
        let number = writes.number.get().saturating_add(1);
        writes.number.set(number);
        writes.in_progress.set(Some((number, now)));
        writes.written.take();
        Ok(Some(CopyWrite { record, number }))
    }

    /// A write has ended. Its task stays: the alarm removes it, or writes what has changed meanwhile.
    pub(super) fn end_copy(&self, write: &CopyWrite, succeeded: bool, now: u64) -> Result<(), Broken> {
        let writes = &self.listing;
        let in_progress = writes.in_progress.get().map(|(number, _)| number);
        if in_progress != Some(write.number) {
            // It had timed out, and another began. Nobody knows which of the two KV contains.
            writes.overlapped.set(in_progress.is_some());
            writes.written.take();
            return self.copy_changed(now);
        }
        writes.in_progress.take();
        let is_known = !writes.overlapped.take() && succeeded;
        writes.written.replace(is_known.then(|| write.record.clone()));
        writes.failures.set(if succeeded { 0 } else { writes.failures.get().saturating_add(1) });
        self.due_at(Task::Listing, 0, now.saturating_add(pause(writes.failures.get())))
    }
}

/// Milliseconds from the end of a write to the next one.
fn pause(failures: u32) -> u64 {
    let doubled = 1_u64.checked_shl(failures.saturating_sub(1)).unwrap_or(u64::MAX);
    INTERVAL.saturating_mul(doubled).min(BACKOFF_LIMIT)
}
