//! Completes the uploads of attachments after the commit, or aborts them if the launch was not committed.

use super::{
    ports::{ObjectError, Ports},
    receive::uploads::abort,
    reply::LaunchResult,
    request::PendingUploads,
};
use crate::{
    campaign::{ports::AttachmentStore as _, protocol::head::Attachment},
    problem::{Problem, Refused},
};

/// Completes the uploads of a committed launch. If a completion fails, the alarm of the campaign's object repeats it.
pub async fn complete_uploads<P: Ports>(ports: &P, uploads: &PendingUploads) {
    let launch_id = uploads.launch_id;
    for attachment in &uploads.attachments {
        if let Err(cause) = ports.uploader().complete(&attachment.upload).await {
            return ports
                .report("an attachment is left to the alarm", &cause.during(format_args!("launch {launch_id}")));
        }
    }
    if let Err(ObjectError::Lost(cause)) = ports.completed(uploads.trigger_id, launch_id).await {
        ports.report("the alarm completes attachments again", &cause.during(format_args!("launch {launch_id}")));
    }
}

/// Returns the uploads to complete after the answer. Aborts the uploads if the launch was certainly not committed.
pub async fn complete_or_abort<P: Ports>(
    ports: &P,
    trigger_id: u64,
    attachments: Vec<Attachment>,
    result: &Result<LaunchResult, Refused>,
) -> Option<PendingUploads> {
    match result {
        _ if attachments.is_empty() => None,
        Ok(LaunchResult { launch_id: Some(launch_id), repeated: false, .. }) => {
            Some(PendingUploads { trigger_id, launch_id: *launch_id, attachments })
        }
        // The launch may be in the log. If it is, the object's alarm completes the uploads. If not, the bucket's lifecycle rule
        // removes them.
        Err(Refused { problem: Problem::OutcomeUnknown, .. }) => None,
        _ => {
            let uploads =
                attachments.into_iter().map(|attachment| (attachment.upload.key, attachment.upload.upload_id));
            abort(ports, uploads.collect()).await;
            None
        }
    }
}
