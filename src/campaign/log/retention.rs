//! Removing expired launches in small steps: first their files, then their rows.

use std::rc::Rc;

use super::{
    alarm::{AlarmStep, SliceResult},
    due::Task,
    follower::LogFollower,
    state::{LaunchLog, LogState},
    stored::StoredLaunch,
    uploads,
};
use crate::{
    campaign::{
        ports::{AttachmentStore, Host},
        protocol::head::Upload,
    },
    limits::{
        LAUNCHES_READ_AT_ONCE, R2_PAUSE_MS, RETENTION_PAUSE_MS, RETENTION_STEP_BYTES, RETENTION_STEP_FILES,
        RETENTION_STEP_LAUNCHES,
    },
    storage::sql::{Sql, StorageError},
};

/// One row with the sequence 0, if the log contains a launch.
pub const TASK: Task = Task::new("retention");

/// The step of the alarm.
pub fn step<S: Sql + 'static, H: Host>(host: &Rc<H>, follower: &Rc<dyn LogFollower<S>>) -> AlarmStep<S> {
    let (host, follower) = (Rc::clone(host), Rc::clone(follower));
    AlarmStep {
        task: TASK,
        service: uploads::R2,
        pause_after_failure: R2_PAUSE_MS,
        failure: uploads::FAILURE,
        run: Box::new(move |log, now| {
            let (host, follower) = (Rc::clone(&host), Rc::clone(&follower));
            Box::pin(async move {
                let failures = match host.attachments() {
                    Ok(store) => remove_expired(&log, &store, now).await?,
                    Err(cause) => vec![cause],
                };
                follower.removed(&log)?;
                Ok(failures)
            })
        }),
    }
}

/// Removes expired launches, or schedules the next run if there are none.
pub async fn remove_expired<S: Sql>(log: &LaunchLog<S>, store: &impl AttachmentStore, now: u64) -> SliceResult {
    let mut failures = Vec::new();
    let Some(expired) = log.expired_launches(now)? else {
        log.schedule_retention(now)?;
        return Ok(failures);
    };
    for upload in &expired.incomplete {
        // The launch has expired, so the upload is not completed any more. If it cannot be aborted, it is complete, or the
        // bucket's lifecycle rule removes it.
        if let Err(cause) = store.abort(&upload.key, &upload.upload_id).await {
            failures.push(cause.during("an upload of an expired launch was not aborted"));
        }
    }
    if !expired.keys.is_empty()
        && let Err(cause) = store.delete(&expired.keys).await
    {
        failures.push(cause.during("files of expired launches were not removed"));
        log.due().set(TASK, 0, now.saturating_add(RETENTION_PAUSE_MS))?;
        return Ok(failures);
    }
    log.remove(&expired, now)?;
    Ok(failures)
}

/// The launches that one run removes.
#[derive(Debug, Default)]
pub struct ExpiredLaunches {
    /// The keys of all files in the bucket.
    pub keys: Vec<String>,
    /// Uploads that are not known to be complete.
    pub incomplete: Vec<Upload>,
    launches: u64,
    bytes: u64,
    /// The last launch: its sequence, when it was accepted, and the recipients up to and including it.
    sequence: u64,
    accepted_at: u64,
    recipients: u64,
    /// When the launch after the last one expires, if there is one.
    next: Option<u64>,
}

impl<S: Sql> LaunchLog<S> {
    /// Has to be called when the object starts. Computes the time of the alarm again: an operator may have changed how long
    /// launches are kept, and the platform may have dropped the alarm.
    pub fn start(&self, now: u64) -> Result<(), StorageError> {
        if self.find_state()?.is_none() {
            return Ok(());
        }
        self.due().forget_alarm();
        self.schedule_retention(now)
    }

    /// Schedules the removal of the first launch in an empty log. Has to be called in the transaction of the commit.
    pub(super) fn schedule_first_retention(&self, now: u64) -> Result<(), StorageError> {
        self.due().set(TASK, 0, now.saturating_add(self.limits.retention))
    }

    /// Schedules the removal of the oldest launch.
    pub(in crate::campaign) fn schedule_retention(&self, now: u64) -> Result<(), StorageError> {
        let Some(state) = self.find_state()? else { return Ok(()) };
        self.sql.transaction(&mut || self.schedule_oldest(&state, now))
    }

    fn schedule_oldest(&self, state: &LogState, now: u64) -> Result<(), StorageError> {
        let Some(first) = state.first() else { return self.due().remove(TASK, 0) };
        let rows = self.sql.exec("SELECT accepted_at FROM launches WHERE sequence = ?", &[first.into()])?;
        let accepted_at = rows.into_iter().next().map_or(Ok(now), |mut row| row.number())?;
        self.due().set(TASK, 0, accepted_at.saturating_add(self.limits.retention))
    }

    /// Returns some of the launches that have expired, or `None` if there are none. Their files have to be deleted before
    /// [`LaunchLog::remove`].
    pub(in crate::campaign) fn expired_launches(&self, now: u64) -> Result<Option<ExpiredLaunches>, StorageError> {
        let Some(state) = self.find_state()? else { return Ok(None) };
        let mut expired = ExpiredLaunches { sequence: state.removed, ..ExpiredLaunches::default() };
        let mut files: Vec<(u64, Upload)> = Vec::new();
        'launches: loop {
            let statement = "SELECT recipients, sequence, accepted_at, head, payload IS NOT NULL FROM launches \
                             WHERE sequence > ? ORDER BY sequence LIMIT ?";
            let rows = self.sql.exec(statement, &[expired.sequence.into(), LAUNCHES_READ_AT_ONCE.into()])?;
            let is_last_batch = (rows.len() as u64) < LAUNCHES_READ_AT_ONCE;
            for mut row in rows {
                let recipients = row.number()?;
                let launch = StoredLaunch::from_row(row)?;
                let expires_at = launch.accepted_at.saturating_add(self.limits.retention);
                let is_full = expired.launches == RETENTION_STEP_LAUNCHES
                    || expired.bytes > RETENTION_STEP_BYTES
                    || files.len() + launch.head.attachments.len() > RETENTION_STEP_FILES;
                if expires_at > now || is_full {
                    expired.next = Some(expires_at);
                    break 'launches;
                }
                expired.launches += 1;
                expired.bytes = expired.bytes.saturating_add(launch.layout.payload());
                expired.recipients = recipients;
                (expired.sequence, expired.accepted_at) = (launch.sequence, launch.accepted_at);
                files.extend(launch.head.attachments.into_iter().map(|file| (launch.sequence, file.upload)));
            }
            if is_last_batch {
                break;
            }
        }
        if !files.is_empty() {
            let incomplete = self.launches_with_incomplete_uploads(expired.sequence)?;
            expired.keys = files.iter().map(|(_, upload)| upload.key.clone()).collect();
            files.retain(|(sequence, _)| incomplete.contains(sequence));
            expired.incomplete = files.into_iter().map(|(_, upload)| upload).collect();
        }
        Ok((expired.launches > 0).then_some(expired))
    }

    /// Returns the sequences up to `last` whose uploads are not known to be complete.
    fn launches_with_incomplete_uploads(&self, last: u64) -> Result<Vec<u64>, StorageError> {
        let statement = "SELECT sequence FROM due WHERE task = ? AND sequence <= ?";
        let rows = self.sql.exec(statement, &[uploads::TASK.parameter(), last.into()])?;
        rows.into_iter().map(|mut row| row.number()).collect()
    }

    /// Removes the rows of expired launches, and schedules the next run.
    pub(in crate::campaign) fn remove(&self, expired: &ExpiredLaunches, now: u64) -> Result<(), StorageError> {
        let last = expired.sequence;
        self.sql.transaction(&mut || {
            let parameters = [last.into(), expired.accepted_at.into(), expired.recipients.into(), last.into()];
            let statement = "UPDATE campaign SET removed = ?, removed_at = ?, removed_recipients = ?, \
                 (removed_unmatched, removed_invalid) = (SELECT unmatched, invalid FROM launches WHERE sequence = ?)";
            self.sql.exec(statement, &parameters)?;
            self.sql.exec("DELETE FROM chunks WHERE sequence <= ?", &[last.into()])?;
            self.sql.exec("DELETE FROM launches WHERE sequence <= ?", &[last.into()])?;
            let parameters = [uploads::TASK.parameter(), last.into()];
            self.sql.exec("DELETE FROM due WHERE task = ? AND sequence <= ?", &parameters)?;
            match expired.next {
                Some(at) if at <= now => self.due().set(TASK, 0, now),
                // Launches that expire soon after each other are removed together.
                Some(at) => self.due().set(TASK, 0, at.max(now.saturating_add(RETENTION_PAUSE_MS))),
                // A launch may have been committed in the meantime.
                None => match self.find_state()? {
                    Some(state) => self.schedule_oldest(&state, now),
                    None => Ok(()),
                },
            }
        })
    }
}
