//! Decides whether a received request is run, and which fault is answered if it is not.
//!
//! The faults of a request are found in any order: a token is looked up while the body arrives, and attachments are uploaded
//! at the same time. The answer must not depend on that order. [`admit`] is the only place where the faults found while
//! receiving meet; [`Problem::rank`](crate::problem::Problem::rank) is their order.
//!
//! Other faults are found by the run ([`super::run`]): the campaign is unknown or paused, the request ID was used for another
//! body, items are unmatched with `strict`, or the log is full. A failed upload ranks after them, so `admit` passes it on.

use super::{
    receive::{Received, must_end_at_once, uploads::cannot_store},
    request::{Admitted, RequestHead},
    verify::token_not_first,
};
use crate::{
    memory::OutOfMemory,
    problem::{Cause, Problem, Refused},
    text::hex,
};

/// Returns a request that can be run, or the fault to answer.
pub fn admit(received: Received, head: &RequestHead) -> Result<Box<Admitted>, Refused> {
    let Received { stopped, body, lookups, uploads, launch_id } = received;
    let token = lookups.token.into_outcome();
    if let Some(stopped) = stopped {
        // The body is incomplete: only a token in the head can have a fault that ranks before the reason for stopping.
        let is_head_token = !head.tokens.is_empty() && !must_end_at_once(&stopped.problem);
        return Err(match token {
            Some(Err(fault)) if is_head_token => fault.first(stopped),
            _ => stopped,
        });
    }
    let faults = [body.fault.clone(), head.fault.clone().map(Refused::from)].into_iter().flatten();
    let token = match token {
        Some(Ok(token)) => token,
        Some(Err(fault)) => return Err(faults.fold(fault, Refused::first)),
        None => return Err(without_token(faults, body.shortage, head.settings.limits.body)),
    };
    if let Some(fault) = faults.reduce(Refused::first) {
        return Err(fault);
    }
    let database = match lookups.campaign.into_outcome() {
        Some(Ok(database)) => database,
        Some(Err(cause)) => return Err(cannot_look_up_campaign(cause)),
        None => None,
    };
    let earlier = lookups.earlier.into_outcome();
    let is_repeat = matches!(earlier, Some(Ok(Some(_))));
    let attachments = match (uploads.failure, uploads.attachments) {
        // The uploads stopped when the earlier launch was found. The attachments of that launch are stored already.
        _ if is_repeat => Ok(Vec::new()),
        (Some(refused), _) => Err(refused),
        (None, attachments) => attachments.ok_or_else(incomplete_upload),
    };
    let (digest, digest_id) = (body.digest, body.digest_id);
    let (request, memory) = body.into_request()?;
    Ok(Box::new(Admitted {
        endpoint: head.settings.endpoint,
        request_id: digest_id.map_or_else(|| head.request_id.clone(), |digest| hex(&digest)),
        secrets: head.settings.secrets.clone(),
        request,
        token,
        digest,
        database,
        manifest: lookups.manifest.into_outcome(),
        earlier,
        launch_id,
        attachments,
        memory,
    }))
}

/// 503: KV failed.
fn cannot_look_up_campaign(cause: Cause) -> Refused {
    Refused::unavailable("the campaign cannot be looked up now: retry later", cause)
}

fn incomplete_upload() -> Refused {
    cannot_store(Cause::new("an upload is incomplete, and no step of it has failed"))
}

/// Returns the fault of a request without a token. The token may have arrived when there was no memory for it. A fault that ranks
/// after an invalid token is not answered, because only callers with a valid token may see such a fault.
fn without_token(faults: impl Iterator<Item = Refused>, shortage: Option<OutOfMemory>, limit: u64) -> Refused {
    let invalid_token = Problem::TokenRequiredInBody(token_not_first(limit));
    let first = faults.reduce(Refused::first).filter(|fault| fault.problem.rank() <= invalid_token.rank());
    first.unwrap_or_else(|| match shortage {
        Some(shortage) => shortage.into(),
        None => Refused::because(Problem::no_memory(), Cause::new("no token was looked up")),
    })
}
