//! A file of a launch, streamed from the bucket: its bytes do not pass through wasm.

use worker::{Headers, Request, Response, ResponseBuilder, Result as WorkerResult};

use super::{bucket::Attachments, campaigns::Campaigns, entry::Head, respond};
use crate::{
    api::download::{self, Asked, Selection},
    campaign::{attachments::File, id::LaunchId},
    problem::{Cause, Refused},
};

/// Answers `GET` and `HEAD`.
pub async fn answer(
    request: &Request,
    bucket: &Attachments,
    campaigns: &Campaigns,
    head: &Head,
    (trigger_id, launch_id, number): (u64, LaunchId, usize),
    databases: &[u64],
) -> Result<Response, Refused> {
    let file = campaigns.attachment(trigger_id, launch_id, number, databases).await?;
    let header = |name: &str| request.headers().get(name).ok().flatten();
    let is_head = request.method() == worker::Method::Head;
    // A range is of `GET` alone (RFC 9110, §14.2).
    let range = header("Range").filter(|_| !is_head);
    let (if_none_match, if_range) = (header("If-None-Match"), header("If-Range"));
    let asked =
        Asked { range: range.as_deref(), if_none_match: if_none_match.as_deref(), if_range: if_range.as_deref() };
    let selection = download::select(&file, &asked)?;
    let builder = builder(&file, &selection, &head.request_id).map_err(Refused::internal)?;
    if selection == Selection::NotModified || is_head {
        return Ok(builder.empty());
    }
    let range = match &selection {
        Selection::Part(range) => Some(range.clone()),
        _ => None,
    };
    let unavailable = |cause: Cause| {
        Refused::unavailable(
            "attachments cannot be read now: retry later",
            cause.during(format_args!("R2 key {}", file.key)),
        )
    };
    let body = bucket.read(&file.key, file.size, range).await.map_err(unavailable)?;
    match body {
        Some(body) => Ok(builder.stream(body)),
        // Retention may have come in between: then the campaign says so now.
        None => Err(match campaigns.attachment(trigger_id, launch_id, number, databases).await {
            Ok(_) => unavailable(Cause::new("not in the bucket")),
            Err(error) => error.into(),
        }),
    }
}

fn builder(file: &File, selection: &Selection, request_id: &str) -> WorkerResult<ResponseBuilder> {
    let headers = Headers::new();
    respond::stamp(&headers, request_id)?;
    for (name, value) in download::headers(file, selection) {
        headers.set(name, &value)?;
    }
    Ok(Response::builder().with_headers(headers).with_status(selection.status()))
}
