//! Completing the uploads of a launch, and finding a file.
//!
//! An attachment is a multipart upload that is completed only after the commit. The commit records in its transaction that the
//! uploads have to be completed. Whoever completes them removes that row: the Worker right after its answer, otherwise the
//! alarm. A file that is requested earlier is completed first. Completing an upload twice is harmless, so they do not wait for
//! each other.

use std::{future::ready, rc::Rc};

use futures_util::stream::{self, StreamExt as _};

use super::{
    alarm::{AlarmStep, SliceResult},
    due::Task,
    state::{LaunchLog, LogError},
    stored::StoredLaunch,
};
use crate::{
    campaign::{
        ports::{AttachmentStore, Host},
        protocol::{
            commands::{AttachmentFile, Command, Envelope, Refusal, Resource},
            head::Upload,
            id::LaunchId,
        },
    },
    limits::{R2_PAUSE_MS, UPLOAD_BACKOFF_MAX_MS, UPLOAD_GRACE_MS, UPLOADS_AT_ONCE, UPLOADS_STEP_LAUNCHES},
    problem::Cause,
    storage::sql::{Sql, SqlParameter, StorageError},
    text::hex,
};

/// One row for each launch with uploads that are not known to be complete.
pub const TASK: Task = Task::new("attachments");
/// The service that this step and retention need.
pub const R2: &str = "R2";
/// Reported for a failure of R2 or of the object's storage.
pub const FAILURE: &str = "work of a campaign's alarm is repeated later";

/// The step of the alarm.
pub fn step<S: Sql + 'static, H: Host>(host: &Rc<H>) -> AlarmStep<S> {
    let host = Rc::clone(host);
    AlarmStep {
        task: TASK,
        service: R2,
        pause_after_failure: R2_PAUSE_MS,
        failure: FAILURE,
        run: Box::new(move |log, now| {
            let host = Rc::clone(&host);
            Box::pin(async move {
                match host.attachments() {
                    Ok(store) => complete_due(&log, &store, now).await,
                    Err(cause) => Ok(vec![cause]),
                }
            })
        }),
    }
}

/// Completes the uploads of launches that are due, at most [`UPLOADS_STEP_LAUNCHES`].
pub async fn complete_due<S: Sql>(log: &LaunchLog<S>, store: &impl AttachmentStore, now: u64) -> SliceResult {
    let mut failures = Vec::new();
    for launch in log.launches_with_due_uploads(now)? {
        let completed =
            stream::iter(&launch.uploads).map(|upload| store.complete(upload)).buffer_unordered(UPLOADS_AT_ONCE);
        let failed = completed.filter_map(|result| ready(result.err())).collect::<Vec<_>>().await;
        match failed.first() {
            None => log.due().remove(TASK, launch.sequence)?,
            Some(cause) => {
                let (count, sequence) = (failed.len(), launch.sequence);
                failures.push(Cause(format!("launch {sequence}: {count} uploads are not complete: {cause}")));
                log.postpone_uploads(&launch, now)?;
            }
        }
    }
    Ok(failures)
}

/// Has to be called before a command is answered. If the command requests a file whose upload is not known to be complete, and
/// the sender may read the campaign, completes the upload.
pub async fn complete_requested<S: Sql>(
    log: &LaunchLog<S>,
    store: &impl AttachmentStore,
    envelope: &Envelope,
    now: u64,
) -> Result<(), LogError> {
    let Command::Attachment(launch_id, number) = envelope.command else { return Ok(()) };
    log.authorize(&envelope.databases)?;
    let Some(upload) = log.incomplete_upload(launch_id, number, now)? else { return Ok(()) };
    store.complete(&upload).await.map_err(|cause| {
        Refusal::BucketDown(format!("attachment {number} of {launch_id} was not completed: {cause}")).into()
    })
}

/// A launch whose uploads have to be completed.
struct DueUploads {
    sequence: u64,
    accepted_at: u64,
    /// All uploads of the launch. Some may be complete.
    uploads: Vec<Upload>,
}

impl<S: Sql> LaunchLog<S> {
    /// Records that the uploads of a launch have to be completed. Has to be called in the transaction of the commit.
    pub(super) fn schedule_uploads(&self, sequence: u64, now: u64) -> Result<(), StorageError> {
        self.due().set(TASK, sequence, now.saturating_add(UPLOAD_GRACE_MS))
    }

    fn launches_with_due_uploads(&self, now: u64) -> Result<Vec<DueUploads>, StorageError> {
        let statement = "SELECT sequence, accepted_at, head, payload IS NOT NULL FROM launches WHERE sequence IN \
                         (SELECT sequence FROM due WHERE task = ? AND at <= ? LIMIT ?)";
        let rows = self.sql.exec(statement, &[TASK.parameter(), now.into(), UPLOADS_STEP_LAUNCHES.into()])?;
        let pending = rows.into_iter().map(|row| {
            let StoredLaunch { sequence, accepted_at, head, .. } = StoredLaunch::from_row(row)?;
            let uploads = head.attachments.into_iter().map(|attachment| attachment.upload).collect();
            Ok(DueUploads { sequence, accepted_at, uploads })
        });
        pending.collect()
    }

    /// The next attempt comes when the launch is twice as old.
    fn postpone_uploads(&self, launch: &DueUploads, now: u64) -> Result<(), StorageError> {
        let age = now.saturating_sub(launch.accepted_at);
        let at = now.saturating_add(age.clamp(UPLOAD_GRACE_MS, UPLOAD_BACKOFF_MAX_MS));
        // The Worker may have completed them in the meantime.
        self.due().postpone(TASK, launch.sequence, at)
    }

    /// Records that all uploads of a launch are complete. Does nothing if the launch is not in the log.
    pub fn uploads_completed(&self, launch_id: LaunchId) -> Result<(), LogError> {
        self.state()?;
        let statement = "DELETE FROM due WHERE task = ? AND sequence = \
                         (SELECT sequence FROM launches WHERE key = ? AND launch_id = ?)";
        let (key, id) = (launch_id.key().to_i64(), launch_id.to_string());
        let parameters = [TASK.parameter(), SqlParameter::Integer(key), SqlParameter::Text(&id)];
        Ok(self.sql.exec(statement, &parameters).map(drop)?)
    }

    /// Returns a file of a launch. A launch that is old enough to be removed is reported as expired, because its files are
    /// deleted before its rows.
    pub fn file(&self, launch_id: LaunchId, number: usize, now: u64) -> Result<AttachmentFile, LogError> {
        let launch = self.find_unexpired(launch_id, now)?;
        let attachment = launch.head.attachments.get(number).ok_or(Refusal::NotFound(Resource::Attachment))?;
        Ok(AttachmentFile {
            name: attachment.name.clone(),
            content_type: attachment.content_type.clone(),
            size: attachment.size,
            sha256: hex(&attachment.sha256),
            key: attachment.upload.key.clone(),
        })
    }

    /// Returns the upload of a file that is not known to be complete.
    fn incomplete_upload(&self, launch_id: LaunchId, number: usize, now: u64) -> Result<Option<Upload>, LogError> {
        let launch = self.find_unexpired(launch_id, now)?;
        if self.due().at(TASK, launch.sequence)?.is_none() {
            return Ok(None);
        }
        Ok(launch.head.attachments.into_iter().nth(number).map(|attachment| attachment.upload))
    }

    fn find_unexpired(&self, launch_id: LaunchId, now: u64) -> Result<StoredLaunch, LogError> {
        let launch = self.find(launch_id)?;
        if launch.accepted_at.saturating_add(self.limits.retention) <= now {
            return Err(Refusal::Expired { first: self.state()?.first() }.into());
        }
        Ok(launch)
    }
}
