//! KV's copy of the campaign, from which campaigns are listed.
//!
//! The campaign's object is the only writer of the copy. A definition that changes the copy records the task in its own
//! transaction, and the row stays until the copy is known to be current. So a failure or a restart delays the copy, and never
//! loses a change. Between the end of a write and the start of the next, at least [`COPY_INTERVAL_MS`] pass. A definition
//! within that time leaves its write to the alarm.
//!
//! | row in `due` | meaning |
//! |---|---|
//! | none | the copy is current, as far as the object knows |
//! | `at` is in the future | a write is in progress, has just ended or has failed; the next one begins no earlier than `at` |
//! | `at` has passed | the copy has to be written, unless it is current |

use std::{pin::pin, rc::Rc};

use futures_channel::oneshot;
use futures_util::future::select;

use super::{
    alarm::{AlarmStep, set_alarm},
    copy_writes::CopyWrite,
    due::Task,
    state::{LaunchLog, LogError},
};
use crate::{
    access::CampaignRecord,
    campaign::{
        ports::{CampaignCopies, Host},
        protocol::commands::{Campaign, Definition},
    },
    limits::{COPY_INTERVAL_MS, COPY_TIMEOUT_MS},
    problem::Cause,
    storage::sql::{Sql, StorageError},
};

/// One row with the sequence 0.
pub const TASK: Task = Task::new("listing");
/// Reported for a failure of KV or of the object's storage.
pub const FAILURE: &str = "the list of campaigns is updated later";

/// The step of the alarm. Its due times back off.
pub fn step<S: Sql + 'static, H: Host>(host: &Rc<H>) -> AlarmStep<S> {
    let host = Rc::clone(host);
    AlarmStep {
        task: TASK,
        service: "KV",
        pause_after_failure: 0,
        failure: FAILURE,
        run: Box::new(move |log, now| {
            let host = Rc::clone(&host);
            Box::pin(async move {
                let copies = match host.copies() {
                    Ok(copies) => copies,
                    Err(cause) => {
                        log.due().set(TASK, 0, now.saturating_add(COPY_TIMEOUT_MS))?;
                        return Ok(vec![cause]);
                    }
                };
                if let Some(write) = log.begin_copy(now)? {
                    write_in_background(&log, &host, copies, write, COPY_TIMEOUT_MS).await;
                }
                Ok(Vec::new())
            })
        }),
    }
}

/// Defines or changes the campaign for a token of `databases`. Also returns the write of KV's copy that has to begin now, if
/// any.
///
/// If the definition changes nothing, KV's copy is read and compared. So repeating a `PUT` restores a copy that is missing, or
/// that an earlier release wrote without `active`.
pub async fn define<S: Sql>(
    log: &LaunchLog<S>,
    copies: &impl CampaignCopies,
    definition: &Definition,
    databases: &[u64],
    clock: impl Fn() -> u64,
) -> Result<(Campaign, Option<CopyWrite>), LogError> {
    let campaign = log.define(definition, databases, clock())?;
    if log.due().at(TASK, 0)?.is_none() {
        // A copy that cannot be read is written.
        let copy = copies.read(campaign.id).await.ok().flatten();
        log.compare_copy(copy.as_ref(), clock())?;
    }
    Ok((campaign, log.begin_copy(clock())?))
}

/// Writes KV's copy, and waits for that at most `milliseconds`. The write continues if it takes longer, because an object must
/// not begin another one while it may still take effect.
pub async fn write_in_background<S: Sql + 'static, H: Host>(
    log: &Rc<LaunchLog<S>>,
    host: &Rc<H>,
    copies: H::Copies,
    write: CopyWrite,
    milliseconds: u64,
) {
    let (done, ended) = oneshot::channel();
    let (background_log, background_host) = (Rc::clone(log), Rc::clone(host));
    host.spawn(Box::pin(async move {
        let (log, host) = (background_log, background_host);
        match self::write(&log, &copies, &write, || host.now()).await {
            Ok(None) => {}
            Ok(Some(cause)) => host.report(FAILURE, &cause),
            Err(error) => host.report(FAILURE, &error.into()),
        }
        if let Err(cause) = set_alarm(&log, &*host).await {
            host.report("a campaign's alarm was not set", &cause);
        }
        // The receiver may have stopped waiting.
        let _ = done.send(());
    }));
    select(ended, pin!(host.sleep(milliseconds))).await;
}

/// Writes KV's copy. Returns why KV failed: the alarm tries again.
pub async fn write<S: Sql>(
    log: &LaunchLog<S>,
    copies: &impl CampaignCopies,
    write: &CopyWrite,
    clock: impl Fn() -> u64,
) -> Result<Option<Cause>, StorageError> {
    let result = copies.write(write.record()).await;
    log.end_copy(write, result.is_ok(), clock())?;
    let id = write.record().id;
    Ok(result.err().map(|cause| cause.during(format_args!("KV's copy of campaign {id} was not written"))))
}

/// The copy of a campaign.
pub(super) fn record(campaign: &Campaign) -> CampaignRecord {
    CampaignRecord::new(campaign.id, &campaign.name, campaign.database, campaign.active)
}

impl<S: Sql> LaunchLog<S> {
    /// Records that the copy has to be written. Has to be called in the transaction of the definition.
    pub(super) fn schedule_copy(&self, now: u64) -> Result<(), StorageError> {
        match self.due().at(TASK, 0)? {
            Some(_) => self.retry_copy_soon(now),
            None => self.due().set(TASK, 0, now),
        }
    }

    /// Shortens the back-off after a failed write, because a definition has arrived.
    pub(super) fn retry_copy_soon(&self, now: u64) -> Result<(), StorageError> {
        let soon = now.saturating_add(COPY_INTERVAL_MS);
        match self.due().at(TASK, 0)? {
            Some(at) if at > soon => self.due().set(TASK, 0, soon),
            _ => Ok(()),
        }
    }

    /// Records that the copy has to be written if `copy`, which was read from KV, is not current.
    fn compare_copy(&self, copy: Option<&CampaignRecord>, now: u64) -> Result<(), LogError> {
        let current = record(&self.state()?.campaign);
        // Another definition may have recorded the task while KV was read.
        if copy == Some(&current) || self.due().at(TASK, 0)?.is_some() {
            return Ok(());
        }
        self.copy_writes.forget();
        Ok(self.schedule_copy(now)?)
    }

    /// Begins a write if one is due and none is in progress.
    pub fn begin_copy(&self, now: u64) -> Result<Option<CopyWrite>, StorageError> {
        let Some(at) = self.due().at(TASK, 0)? else { return Ok(None) };
        if at > now {
            return Ok(None);
        }
        let next = now.saturating_add(COPY_INTERVAL_MS);
        if self.copy_writes.is_in_progress(now) {
            self.due().set(TASK, 0, next)?;
            return Ok(None);
        }
        let Some(state) = self.find_state()? else { return Ok(None) };
        let record = record(&state.campaign);
        if self.copy_writes.is_written(&record) {
            self.due().remove(TASK, 0)?;
            return Ok(None);
        }
        // If this instance of the object ends during the write, the next one finds the row.
        self.due().set(TASK, 0, next)?;
        Ok(Some(self.copy_writes.begin(record, now)))
    }

    /// Ends a write. The row stays: the alarm removes it, or writes what has changed in the meantime.
    pub fn end_copy(&self, write: &CopyWrite, has_succeeded: bool, now: u64) -> Result<(), StorageError> {
        match self.copy_writes.end(write, has_succeeded) {
            Some(interval) => self.due().set(TASK, 0, now.saturating_add(interval)),
            None => self.schedule_copy(now),
        }
    }
}
