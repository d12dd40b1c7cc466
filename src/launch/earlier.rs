//! Repeated requests: a request ID is launched once, and a repeat gets the stored reply of the first request.

use futures_util::future::LocalBoxFuture;

use super::{
    ports::{ObjectError, Ports},
    reply::LaunchResult,
    request::Admitted,
};
use crate::{
    campaign::protocol::{
        commands::{RequestIdentity, check_same_request},
        message::RepeatedLaunch,
    },
    problem::Refused,
};

/// Asks the campaign's object whether this request was launched before, and whether the campaign can be launched.
pub fn find<'a, P: Ports>(
    ports: &'a P,
    admitted: &'a Admitted,
) -> LocalBoxFuture<'a, Result<Option<RepeatedLaunch>, ObjectError>> {
    let Admitted { token, request_id, request, .. } = admitted;
    let identity = RequestIdentity { token_name: token.name.clone(), request_id: request_id.clone() };
    Box::pin(async move { ports.preflight(request.trigger_id, &identity).await })
}

/// Asks the campaign's object again before a request is refused because of what the object said earlier. In the meantime the
/// campaign may have been resumed, or the first attempt of this request may have been committed. Returns `refused` if the object
/// does not answer.
pub fn find_again<'a, P: Ports>(
    ports: &'a P,
    admitted: &'a Admitted,
    refused: Refused,
) -> LocalBoxFuture<'a, Result<Option<RepeatedLaunch>, Refused>> {
    Box::pin(async move {
        match find(ports, admitted).await {
            Ok(earlier) => Ok(earlier),
            Err(ObjectError::Refused(current)) => Err(current),
            Err(ObjectError::Lost(cause)) => {
                ports.report("the campaign's object could not be asked again before a refusal", &cause);
                Err(refused)
            }
        }
    })
}

/// Returns the stored launch if the earlier request had the same body, and 422 otherwise.
pub fn repeat(earlier: RepeatedLaunch, admitted: &Admitted) -> Result<LaunchResult, Refused> {
    let stored = earlier.head();
    check_same_request((stored.endpoint, &stored.body_digest), (admitted.endpoint, &admitted.digest))?;
    Ok(LaunchResult::repeated(earlier, admitted.request.root.report))
}
