//! Commits a launch: one message to the campaign's object, which stores it in one transaction.

use futures_util::FutureExt as _;

use super::{
    earlier,
    ports::{CommitAnswer, ObjectError, Ports},
    reply::LaunchResult,
    request::{Admitted, LaunchRequest, new_launch_id},
    search::SearchResult,
};
use crate::{
    campaign::protocol::{
        head::LaunchHead,
        id::LaunchId,
        items::{INDEX_ENTRY, ItemDataBuilder},
        message::Commit,
    },
    limits::{COMMIT_DEADLINE_MS, COMMIT_PAUSE_MS},
    problem::{Cause, Problem, Refused},
};

/// Commits the launch, and repeats the message while answers are lost. The object stores a launch ID once.
pub async fn commit<P: Ports>(
    ports: &P,
    admitted: &mut Admitted,
    matched: SearchResult,
) -> Result<LaunchResult, Refused> {
    let launch_id = match admitted.launch_id {
        Some(id) => id,
        None => new_launch_id(ports, &admitted.token.name, &admitted.request_id),
    };
    let message = encode(admitted, launch_id, &matched)?;
    let deadline = ports.now().saturating_add(COMMIT_DEADLINE_MS);
    let answer = match ports.commit(admitted.request.trigger_id, &message).await {
        Ok(answer) => answer,
        Err(error) => repeat(ports, admitted, launch_id, &message, error, deadline).boxed_local().await?,
    };
    match answer {
        CommitAnswer::New(_) => Ok(LaunchResult::new(Some(launch_id), matched, admitted.request.root.report)),
        CommitAnswer::Repeated(stored) => earlier::repeat(*stored, admitted),
    }
}

/// Repeats a message whose answer was lost, or for which the object had no memory.
///
/// After a lost answer the launch may be committed: then the object answers with the stored launch. One commit of an isolate waits
/// for memory. If several did, each of them would keep the memory that the others need.
async fn repeat<P: Ports>(
    ports: &P,
    admitted: &Admitted,
    launch_id: LaunchId,
    message: &[u8],
    mut error: ObjectError,
    deadline: u64,
) -> Result<CommitAnswer, Refused> {
    let mut pause = COMMIT_PAUSE_MS;
    let mut was_lost = false;
    let mut turn = None;
    loop {
        let is_late = ports.now() >= deadline;
        let cause = match error {
            ObjectError::Lost(cause) => {
                was_lost = true;
                cause
            }
            ObjectError::Refused(refused) if refused.problem == Problem::no_memory() => {
                // A busy object does not read its log, so it cannot know whether an earlier attempt was committed.
                if !was_lost {
                    turn = turn.or_else(|| admitted.memory.take_turn());
                    if is_late || turn.is_none() {
                        return Err(refused);
                    }
                }
                refused.cause.unwrap_or_else(|| Cause::new(refused.problem.debug("")))
            }
            ObjectError::Refused(refused) => return Err(refused),
        };
        let cause = cause.during(format_args!("commit of {launch_id}"));
        if is_late {
            return Err(Refused::because(Problem::OutcomeUnknown, cause));
        }
        ports.sleep(pause).await;
        pause = pause.saturating_mul(2);
        error = match ports.commit(admitted.request.trigger_id, message).await {
            Ok(answer) => {
                let why = if was_lost { "the answer to a commit was lost" } else { "a commit waited for memory" };
                ports.report(&format!("{why}, and the commit repeated"), &cause);
                return Ok(answer);
            }
            Err(error) => error,
        };
    }
}

/// Encodes the commit message, after reserving memory for it.
fn encode(admitted: &mut Admitted, launch_id: LaunchId, matched: &SearchResult) -> Result<Vec<u8>, Refused> {
    let Admitted { request, memory, token, digest, attachments, request_id, endpoint, .. } = admitted;
    let LaunchRequest { root, trigger_id, keying, items } = request;
    let mut item_data = ItemDataBuilder::default();
    let mut places = matched.with_data.iter().peekable();
    for (place, (_, text)) in (0_u32..).zip(items.custom_data()) {
        let Some((recipient, _)) = places.next_if(|(_, wanted)| *wanted == place) else { continue };
        memory.grow((text.len() + INDEX_ENTRY) as u64)?;
        let text = str::from_utf8(text).map_err(cannot_encode)?;
        item_data.push(*recipient, text).map_err(cannot_encode)?;
    }
    let texts = [&root.content, &root.custom_data].into_iter().flatten().map(String::len).sum::<usize>();
    let size = matched.recipients.len() + matched.outcomes.len() + item_data.bytes() + texts;
    memory.grow(size as u64)?;
    let head = LaunchHead {
        launch_id,
        trigger_id: *trigger_id,
        request_id: request_id.clone(),
        token_name: token.name.clone(),
        endpoint: *endpoint,
        body_digest: *digest,
        matching: keying.matching.name().to_owned(),
        field_name: keying.matching.needs_field_name().then(|| keying.field_name.clone()),
        skip_triggers: root.skip_triggers,
        counts: matched.counts,
        attachments: attachments.clone()?,
    };
    let commit = Commit {
        head,
        content: root.content.as_deref(),
        custom_data: root.custom_data.as_deref(),
        recipients: &matched.recipients,
        outcomes: &matched.outcomes,
        item_data: item_data.view(),
    };
    commit.encode().map_err(cannot_encode)
}

/// 500: a commit message that cannot be encoded is a fault of this software.
fn cannot_encode(cause: impl std::fmt::Display) -> Refused {
    Refused::internal(format_args!("commit message: {cause}"))
}
