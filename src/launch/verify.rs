//! Who asks: the token of a request, verified.

use super::ports::Ports;
use crate::{
    access::{Scope, TokenRecord, token_key},
    limits::TOKEN_LIMIT,
    problem::Problem,
};

/// Where a token may stand in a launch.
pub const NO_TOKEN: &str = "no token: send Authorization: Bearer, the field token, or ?token=";
/// Where one may stand in a request whose body holds none.
const NO_TOKEN_IN_HEAD: &str = "no token: send Authorization: Bearer, or ?token=";
const UNKNOWN_TOKEN: &str = "the token is not known";
/// Of two tokens that differ neither is looked at.
pub const TWO_TOKENS: &str = "two tokens that differ were sent";
/// More was to be held for a caller than may be before its token has come.
pub const TOKEN_NOT_FIRST: &str = "the body holds more than may be held for a caller not yet verified: send the token in \
                               the Authorization header, or ahead of data and attach";

/// Verifies the token of a request whose body holds none.
pub async fn verify_head<P: Ports>(ports: &P, tokens: &[String], scope: Scope) -> Result<TokenRecord, Problem> {
    match tokens {
        [] => Err(refuse(ports, NO_TOKEN_IN_HEAD, true).await),
        [token] => verify(ports, token, scope, true).await,
        _ => Err(refuse(ports, TWO_TOKENS, true).await),
    }
}

/// Verifies a token: it is known, not revoked, within its rate limit, and has the scope.
/// `early`: it came in a header or the query.
pub async fn verify<P: Ports>(ports: &P, token: &str, scope: Scope, early: bool) -> Result<TokenRecord, Problem> {
    if token.len() > TOKEN_LIMIT {
        return Err(refuse(ports, UNKNOWN_TOKEN, early).await);
    }
    let unreadable = |_| Problem::Unavailable("tokens cannot be looked up now: retry later".into());
    let record = ports.token(&token_key(token)).await.map_err(unreadable)?;
    let Some(record) = record.filter(|record| record.revoked.is_none()) else {
        return Err(refuse(ports, UNKNOWN_TOKEN, early).await);
    };
    if !ports.allow_token(&record.name).await {
        return Err(Problem::TooManyRequests);
    }
    if record.allows(scope) { Ok(record) } else { Err(Problem::AccessDenied(scope.as_str())) }
}

/// The refusal of a caller without a good token: 401, or 429 once its address has had too many.
/// `early`: nothing of the body was looked at for it.
pub async fn refuse<P: Ports>(ports: &P, what: &'static str, early: bool) -> Problem {
    match (ports.allow_address().await, early) {
        (false, _) => Problem::TooManyRequests,
        (true, true) => Problem::TokenRequired(what),
        (true, false) => Problem::TokenRequiredInBody(what),
    }
}
