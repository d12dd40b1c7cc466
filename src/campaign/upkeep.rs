//! What an object does with the bucket of attachments: its alarm, and making a file readable that is asked for.
//!
//! The bucket is waited for, so other requests come in between. That is safe: launches are only ever added, one alarm
//! runs at a time, and every step leaves what a failure or a restart finds again.

use futures_util::stream::{self, StreamExt as _};

use super::{
    commands::{Command, Envelope, Refusal},
    due::Task,
    head::Upload,
    log::{Fault, Log},
    sql::{Broken, Sql},
};

/// Uploads that are completed at once (the platform lets six connections wait for headers).
const AT_ONCE: usize = 4;
/// After a failure of the bucket the alarm does not come again at once, in milliseconds.
pub const REST: u64 = 10_000;

/// The bucket of attachments, as far as objects need it.
#[allow(async_fn_in_trait, reason = "everything runs on one thread")]
pub trait Uploads {
    /// Why it failed: for the operator's log.
    type Error: std::fmt::Display;
    /// Completes an upload. One that was completed before is no error.
    async fn complete(&self, upload: &Upload) -> Result<(), Self::Error>;
    /// Aborts an upload.
    async fn abort(&self, key: &str, upload_id: &str) -> Result<(), Self::Error>;
    /// Removes what is stored under those keys, at most [`super::retention::STEP_FILES`]. Those that are not there
    /// are no error.
    async fn delete(&self, keys: &[String]) -> Result<(), Self::Error>;
}

/// Runs before a command is answered: completes the upload of the file that the command asks for, if that is necessary
/// and the sender may read the campaign.
pub async fn prepare<S: Sql>(log: &Log<S>, uploads: &impl Uploads, envelope: &Envelope, now: u64) -> Result<(), Fault> {
    let Command::Attachment(launch_id, number) = envelope.command else { return Ok(()) };
    log.authorize(&envelope.databases)?;
    match log.upload_of(launch_id, number, now)? {
        None => Ok(()),
        Some(upload) => uploads.complete(&upload).await.map_err(|error| {
            Refusal::BucketDown(format!("attachment {number} of {launch_id} was not completed: {error}")).into()
        }),
    }
}

/// The work of the alarm that needs the bucket: completing uploads, then removing what has expired, a step of each.
/// Returns the failures of the bucket, for the operator's log: what failed is tried again later.
pub async fn alarm<S: Sql>(log: &Log<S>, uploads: &impl Uploads, now: u64) -> Result<Vec<String>, Broken> {
    let mut faults = Vec::new();
    if log.find_state()?.is_none() {
        return Ok(faults);
    }
    log.alarm_is_unknown();
    // Another task may be due before the bucket is to be tried again.
    if (1..=REST).contains(&log.rest_until.get().saturating_sub(now)) {
        return Ok(faults);
    }
    complete(log, uploads, now, &mut faults).await?;
    remove(log, uploads, now, &mut faults).await?;
    if !faults.is_empty() {
        log.rest_until.set(now.saturating_add(REST));
    }
    Ok(faults)
}

async fn complete<S: Sql>(
    log: &Log<S>,
    uploads: &impl Uploads,
    now: u64,
    faults: &mut Vec<String>,
) -> Result<(), Broken> {
    for pending in log.pending(now)? {
        let all = stream::iter(&pending.uploads).map(|upload| uploads.complete(upload)).buffer_unordered(AT_ONCE);
        let failed = all.filter_map(|done| std::future::ready(done.err())).collect::<Vec<_>>().await;
        match failed.first() {
            None => log.not_due(Task::Attachments, pending.sequence)?,
            Some(error) => {
                let (count, sequence) = (failed.len(), pending.sequence);
                faults.push(format!("launch {sequence}: {count} uploads are not complete: {error}"));
                log.postpone(&pending, now)?;
            }
        }
    }
    Ok(())
}

async fn remove<S: Sql>(
    log: &Log<S>,
    uploads: &impl Uploads,
    now: u64,
    faults: &mut Vec<String>,
) -> Result<(), Broken> {
    let Some(expired) = log.expired(now)? else { return log.await_retention(now) };
    for upload in &expired.incomplete {
        // Behind this nobody can complete it. Where it fails the upload is complete, or the bucket's own rule has removed
        // it or will.
        if let Err(error) = uploads.abort(&upload.key, &upload.upload_id).await {
            faults.push(format!("an upload of an expired launch was not aborted: {error}"));
        }
    }
    if !expired.keys.is_empty()
        && let Err(error) = uploads.delete(&expired.keys).await
    {
        faults.push(format!("files of expired launches were not removed: {error}"));
        return log.postpone_retention(now);
    }
    log.remove(&expired, now)
}
