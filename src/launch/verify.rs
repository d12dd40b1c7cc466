//! Verifies the token of a request.

use futures_util::future::LocalBoxFuture;

use super::{known, ports::Ports};
use crate::{
    access::{Scope, TokenRecord, token_key},
    limits::TOKEN_LIMIT,
    problem::{Cause, Problem, RateLimit, Refused},
};
use std::borrow::Cow;

pub const NO_TOKEN: &str = "no token: send Authorization: Bearer, the field token, or ?token=";
/// The message for a request whose body has no field `token`.
const NO_TOKEN_IN_HEAD: &str = "no token: send Authorization: Bearer, or ?token=";
const UNKNOWN_TOKEN: &str = "the token is not known";
pub const TWO_TOKENS: &str = "two tokens that differ were sent";

/// The message for an unverified caller whose attachments exceed the limit before the token has arrived.
pub fn token_not_first(limit: u64) -> Cow<'static, str> {
    let what = format!("attachments before the token exceed {limit} bytes");
    format!("{what}; send the token in the Authorization header, or before \"attach\"").into()
}

/// Where a token was sent. The source decides the rank of a 401.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenSource {
    /// In `Authorization` or the query.
    Head,
    /// In the body.
    Body,
}

/// Verifies the token of a request whose body has no field for one. The token needs one of the scopes.
pub async fn verify_head<P: Ports>(
    ports: &P,
    tokens: &[String],
    scopes: &'static [Scope],
) -> Result<TokenRecord, Refused> {
    match tokens {
        [] => Err(refuse(ports, NO_TOKEN_IN_HEAD, TokenSource::Head).await),
        [token] => verify(ports, token, scopes, TokenSource::Head).await,
        _ => Err(refuse(ports, TWO_TOKENS, TokenSource::Head).await),
    }
}

/// Returns the record of a token that is known, not revoked, within its rate limit, and has one of the scopes. A refusal names
/// the first.
pub async fn verify<P: Ports>(
    ports: &P,
    token: &str,
    scopes: &'static [Scope],
    source: TokenSource,
) -> Result<TokenRecord, Refused> {
    if token.len() > TOKEN_LIMIT {
        return Err(refuse(ports, UNKNOWN_TOKEN, source).await);
    }
    let unreadable = |cause| Refused::unavailable("tokens cannot be looked up now: retry later", cause);
    let Some(record) = known::valid_token(ports, token_key(token)).await.map_err(unreadable)? else {
        return Err(refuse(ports, UNKNOWN_TOKEN, source).await);
    };
    if !is_allowed(ports, ports.allow_token(&record.name).await) {
        return Err(Problem::TooManyRequests(RateLimit::Token).into());
    }
    if scopes.iter().any(|scope| record.allows(*scope)) {
        return Ok(record);
    }
    Err(Problem::AccessDenied(scopes.first().map_or("", |scope| scope.as_str())).into())
}

/// Returns the refusal of a caller without a valid token: 401, or 429 if the caller's address has reached its rate limit.
pub fn refuse<'a, P: Ports>(ports: &'a P, message: &'static str, source: TokenSource) -> LocalBoxFuture<'a, Refused> {
    Box::pin(async move {
        let problem = match (is_allowed(ports, ports.allow_address().await), source) {
            (false, _) => Problem::TooManyRequests(RateLimit::Address),
            (true, TokenSource::Head) => Problem::TokenRequired(message),
            (true, TokenSource::Body) => Problem::TokenRequiredInBody(message.into()),
        };
        problem.into()
    })
}

/// Whether a rate limiter allows the request. A limiter that fails allows every request: it protects the service, so its failure
/// must not stop the service.
fn is_allowed<P: Ports>(ports: &P, outcome: Result<bool, Cause>) -> bool {
    outcome.unwrap_or_else(|cause| {
        ports.report("a rate limiter failed; the request was let through", &cause);
        true
    })
}
