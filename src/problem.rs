//! Everything that a caller can be told has gone wrong: one enum, one mapping to status, code and text.

use std::{borrow::Cow, fmt};

use crate::memory::OutOfMemory;

/// A refusal. The variants stand in the order in which they are decided: where a request has two faults,
/// the one further up is answered, whichever was found first in time (see [`Problem::rank`]).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Problem {
    /// No such path.
    NoSuchPath,
    /// The path exists, but not for this method. Holds the value of `Allow`.
    MethodNotAllowed(String),
    /// The body's type, charset or coding is not one that is read. Says which, and what would be.
    UnsupportedMediaType(String),
    /// `Content-Length` is above the limit of the whole body: found before a byte is read.
    LengthTooLarge,
    /// A rate limit is reached.
    TooManyRequests(RateLimit),
    /// The token in a header or the query is absent, unknown, revoked or contradicts another one there.
    TokenRequired(&'static str),
    /// The body went over a limit while it was read.
    BodyTooLarge,
    /// The body arrives too slowly, or stopped arriving. Says how slowly, and how fast it has to be.
    Timeout(Cow<'static, str>),
    /// The body is no well-formed, complete document. Says what is wrong and at which byte.
    Malformed(String),
    /// The token was to stand in the body: absent, unknown, revoked or contradicting another one.
    TokenRequiredInBody(Cow<'static, str>),
    /// The token lacks the scope that is named.
    AccessDenied(&'static str),
    /// A field, header or parameter is wrong. Names it, and the item's index or the limit.
    BadField(String),
    /// No such trigger campaign, or launch, or attachment, for this token. Says which kind of thing.
    NotFound(&'static str),
    /// The same `Request-ID` came with another body.
    RequestIdReused,
    /// What was asked for has been removed by retention. Holds the oldest sequence still held.
    Expired {
        /// The oldest sequence still in the log, if any launch is.
        first: Option<u64>,
    },
    /// A campaign's `database` never changes.
    DatabaseFixed,
    /// The campaign is paused.
    NotActive,
    /// `strict` was asked for, and items are unmatched or invalid.
    Strict {
        /// Items that match no profile.
        unmatched: u64,
        /// Items that are invalid.
        invalid: u64,
        /// The first such item's index in `data`.
        first: u64,
        /// Its reason, from the closed set.
        reason: &'static str,
    },
    /// The campaign's log holds as much as it may.
    LogFull,
    /// `Range` names no byte of the file, which has that many bytes.
    RangeNotSatisfiable(u64),
    /// Cannot be served now; nothing was launched. Says what to do.
    Unavailable(Cow<'static, str>),
    /// The commit was sent and its answer lost.
    OutcomeUnknown,
    /// A fault of ours. The caller is told the request id alone.
    Internal,
}

/// Which rate limit is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RateLimit {
    /// Of one token name.
    Token,
    /// Of refused requests of one address.
    Address,
}

/// Why an operation failed, as the platform reported it. For the operator's log: never sent to callers, and free of tokens,
/// addresses and bodies.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Cause(pub String);

impl Cause {
    /// A cause with a text of its own, or another error's.
    pub fn new(text: impl fmt::Display) -> Self {
        Self(text.to_string())
    }

    /// The same cause, after what was being done: `context: cause`.
    #[must_use]
    pub fn during(self, context: impl fmt::Display) -> Self {
        Self(format!("{context}: {}", self.0))
    }
}

/// A refused request: what the caller learns, and the cause that the operator reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// The answer.
    pub problem: Problem,
    /// Why the request cannot be served; present for every 5xx.
    pub cause: Option<Cause>,
}

impl Refused {
    /// A refusal with a cause.
    pub fn because(problem: Problem, cause: Cause) -> Self {
        Self { problem, cause: Some(cause) }
    }

    /// 503: a service that the request needs failed.
    pub fn unavailable(message: impl Into<Cow<'static, str>>, cause: Cause) -> Self {
        Self::because(Problem::Unavailable(message.into()), cause)
    }

    /// 500: a fault of this software, or a binding that is missing.
    pub fn internal(cause: impl fmt::Display) -> Self {
        Self::because(Problem::Internal, Cause::new(cause))
    }

    /// The HTTP status.
    pub fn status(&self) -> u16 {
        self.problem.status()
    }

    /// Of two refusals, the one to answer.
    #[must_use]
    pub fn first(self, other: Self) -> Self {
        if other.problem.rank() < self.problem.rank() { other } else { self }
    }
}

impl From<Problem> for Refused {
    fn from(problem: Problem) -> Self {
        Self { problem, cause: None }
    }
}

impl From<OutOfMemory> for Refused {
    fn from(error: OutOfMemory) -> Self {
        Self::because(Problem::no_memory(), Cause::new(error))
    }
}

/// `error_debug` of a body that is too large, word for word as the specification has it.
pub const TOO_LARGE: &str = "http: request body too large";
/// `error_debug` where a commit was sent and its answer lost.
pub const OUTCOME_UNKNOWN: &str = "outcome unknown: retry with this Request-ID";
/// `error_debug` where memory could not be reserved.
pub const NO_MEMORY: &str = "too many large requests at once: retry later";

impl Problem {
    /// No room to hold what the request needs.
    pub fn no_memory() -> Self {
        Self::Unavailable(Cow::Borrowed(NO_MEMORY))
    }

    /// The HTTP status.
    pub fn status(&self) -> u16 {
        match self {
            Self::NoSuchPath | Self::NotFound(_) => 404,
            Self::MethodNotAllowed(_) => 405,
            Self::UnsupportedMediaType(_) => 415,
            Self::LengthTooLarge | Self::BodyTooLarge => 413,
            Self::TooManyRequests(_) => 429,
            Self::TokenRequired(_) | Self::TokenRequiredInBody(_) => 401,
            Self::Timeout(_) => 408,
            Self::Malformed(_) | Self::BadField(_) | Self::Strict { .. } => 400,
            Self::AccessDenied(_) => 403,
            Self::RequestIdReused => 422,
            Self::Expired { .. } => 410,
            Self::DatabaseFixed | Self::NotActive => 409,
            Self::LogFull => 507,
            Self::RangeNotSatisfiable(_) => 416,
            Self::Unavailable(_) | Self::OutcomeUnknown => 503,
            Self::Internal => 500,
        }
    }

    /// The field `error`: the status, but 400 for a body that is too large.
    pub fn code(&self) -> u16 {
        match self.status() {
            413 => 400,
            status => status,
        }
    }

    /// The field `error_text`.
    pub fn text(&self) -> &'static str {
        match self.status() {
            400 | 413 => "Invalid request",
            401 => "API token required",
            403 => "Access denied",
            404 => "Not found",
            405 => "Method not allowed",
            408 => "Request timeout",
            409 if matches!(self, Self::DatabaseFixed) => "Database cannot be changed",
            409 => "Campaign is not active",
            410 => "Launches expired",
            415 => "Unsupported media type",
            416 => "Range not satisfiable",
            422 => "Request-ID reused",
            429 => "Too many requests",
            503 => "Service unavailable",
            507 => "Launch log full",
            _ => "Internal error",
        }
    }

    /// The field `error_debug`: what a caller can act on. `request_id` is all that an internal error tells.
    pub fn debug(&self, request_id: &str) -> Cow<'_, str> {
        match self {
            Self::NoSuchPath => "no such path".into(),
            Self::MethodNotAllowed(allow) => format!("allowed here: {allow}").into(),
            Self::LengthTooLarge | Self::BodyTooLarge => TOO_LARGE.into(),
            Self::TooManyRequests(_) => "rate limit reached: retry after the time in Retry-After".into(),
            Self::TokenRequired(what) => (*what).into(),
            Self::UnsupportedMediaType(what) | Self::Malformed(what) | Self::BadField(what) => what.into(),
            Self::AccessDenied(scope) => format!("the token lacks the scope {scope}").into(),
            Self::NotFound(what) => format!("no such {what}").into(),
            Self::RequestIdReused => {
                "a launch with this Request-ID was made from another body: use a new Request-ID".into()
            }
            Self::Expired { first: Some(first) } => {
                format!("removed by retention: the log begins at sequence {first}").into()
            }
            Self::Expired { first: None } => "removed by retention: the log holds no launch".into(),
            Self::DatabaseFixed => "database: a campaign keeps the database it was defined with".into(),
            Self::NotActive => "the trigger campaign is paused".into(),
            Self::Strict { unmatched, invalid, first, reason } => {
                format!("strict: {unmatched} unmatched, {invalid} invalid; the first is data[{first}]: {reason}").into()
            }
            Self::LogFull => "the campaign's log is full: older launches have to expire first".into(),
            Self::RangeNotSatisfiable(size) => format!("Range: the file has {size} bytes").into(),
            Self::Timeout(what) | Self::TokenRequiredInBody(what) | Self::Unavailable(what) => what.as_ref().into(),
            Self::OutcomeUnknown => OUTCOME_UNKNOWN.into(),
            Self::Internal => request_id.to_owned().into(),
        }
    }

    /// Seconds for `Retry-After`, where the caller should come again.
    pub fn retry_after(&self) -> Option<u32> {
        match self {
            Self::TooManyRequests(_) => Some(10),
            Self::Unavailable(_) | Self::OutcomeUnknown => Some(5),
            _ => None,
        }
    }

    /// Where this stands in the order of decision: of two faults the one with the smaller rank is answered.
    pub fn rank(&self) -> u8 {
        match self {
            Self::NoSuchPath => 0,
            Self::MethodNotAllowed(_) => 1,
            Self::UnsupportedMediaType(_) => 2,
            Self::LengthTooLarge => 3,
            Self::TooManyRequests(_) => 4,
            Self::TokenRequired(_) => 5,
            Self::BodyTooLarge => 6,
            Self::Timeout(_) => 7,
            Self::Malformed(_) => 8,
            Self::TokenRequiredInBody(_) => 9,
            Self::AccessDenied(_) => 10,
            Self::BadField(_) => 11,
            Self::NotFound(_) => 12,
            Self::RequestIdReused => 13,
            Self::Expired { .. } => 14,
            Self::DatabaseFixed => 15,
            Self::NotActive => 16,
            Self::Strict { .. } => 17,
            Self::LogFull => 18,
            Self::RangeNotSatisfiable(_) => 19,
            Self::Unavailable(_) => 20,
            Self::OutcomeUnknown => 21,
            Self::Internal => 22,
        }
    }

    /// Of two faults, the one to answer.
    #[must_use]
    pub fn first(self, other: Self) -> Self {
        if other.rank() < self.rank() { other } else { self }
    }
}

/// Returns one problem of each variant, in the order of ranks. The test of the documentation compares its tables with them.
#[cfg(not(target_arch = "wasm32"))]
pub fn samples() -> Vec<Problem> {
    vec![
        Problem::NoSuchPath,
        Problem::MethodNotAllowed("POST".to_owned()),
        Problem::UnsupportedMediaType("text/csv".to_owned()),
        Problem::LengthTooLarge,
        Problem::TooManyRequests(RateLimit::Token),
        Problem::TokenRequired("no token"),
        Problem::BodyTooLarge,
        Problem::Timeout("too slow".into()),
        Problem::Malformed("byte 3".to_owned()),
        Problem::TokenRequiredInBody("no token".into()),
        Problem::AccessDenied("launch"),
        Problem::BadField("matching".to_owned()),
        Problem::NotFound("trigger campaign"),
        Problem::RequestIdReused,
        Problem::Expired { first: None },
        Problem::DatabaseFixed,
        Problem::NotActive,
        Problem::Strict { unmatched: 1, invalid: 0, first: 0, reason: "not_found" },
        Problem::LogFull,
        Problem::RangeNotSatisfiable(7),
        Problem::no_memory(),
        Problem::OutcomeUnknown,
        Problem::Internal,
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{launch::reply, wire::Format};

    /// Every refusal, in the order in which they are decided, with its row of the contract's table.
    fn table() -> Vec<(Problem, u16, u16, &'static str)> {
        let strict = Problem::Strict { unmatched: 1, invalid: 2, first: 3, reason: "not_found" };
        vec![
            (Problem::NoSuchPath, 404, 404, "Not found"),
            (Problem::MethodNotAllowed("POST".into()), 405, 405, "Method not allowed"),
            (Problem::UnsupportedMediaType("type <&>".into()), 415, 415, "Unsupported media type"),
            (Problem::LengthTooLarge, 413, 400, "Invalid request"),
            (Problem::TooManyRequests(RateLimit::Token), 429, 429, "Too many requests"),
            (Problem::TokenRequired("no token"), 401, 401, "API token required"),
            (Problem::BodyTooLarge, 413, 400, "Invalid request"),
            (Problem::Timeout("too slow".into()), 408, 408, "Request timeout"),
            (Problem::Malformed("byte 3: \"]]>\"".into()), 400, 400, "Invalid request"),
            (Problem::TokenRequiredInBody("no token".into()), 401, 401, "API token required"),
            (Problem::AccessDenied("launch"), 403, 403, "Access denied"),
            (Problem::BadField("data[7]: \u{1F600}".into()), 400, 400, "Invalid request"),
            (Problem::NotFound("trigger campaign"), 404, 404, "Not found"),
            (Problem::RequestIdReused, 422, 422, "Request-ID reused"),
            (Problem::Expired { first: Some(7) }, 410, 410, "Launches expired"),
            (Problem::DatabaseFixed, 409, 409, "Database cannot be changed"),
            (Problem::NotActive, 409, 409, "Campaign is not active"),
            (strict, 400, 400, "Invalid request"),
            (Problem::LogFull, 507, 507, "Launch log full"),
            (Problem::RangeNotSatisfiable(7), 416, 416, "Range not satisfiable"),
            (Problem::no_memory(), 503, 503, "Service unavailable"),
            (Problem::OutcomeUnknown, 503, 503, "Service unavailable"),
            (Problem::Internal, 500, 500, "Internal error"),
        ]
    }

    #[test]
    fn every_refusal_has_its_row_and_its_rank() {
        for (rank, (problem, status, code, text)) in table().into_iter().enumerate() {
            assert_eq!((problem.status(), problem.code(), problem.text()), (status, code, text), "{problem:?}");
            assert_eq!(usize::from(problem.rank()), rank, "{problem:?}");
            assert_eq!(problem.retry_after().is_some(), matches!(status, 429 | 503), "{problem:?}");
        }
        assert_eq!(Problem::BodyTooLarge.debug(""), TOO_LARGE);
        assert_eq!(Problem::Internal.debug("the id"), "the id", "nothing internal");
    }

    #[test]
    fn every_refusal_can_be_read_back_in_both_formats() {
        for (problem, _, code, text) in table() {
            let debug = problem.debug("id").into_owned();
            let json: serde_json::Value = serde_json::from_str(&reply::problem(&problem, "id", Format::Json)).unwrap();
            assert_eq!((json["error"].as_u64(), json["error_text"].as_str()), (Some(code.into()), Some(text)));
            assert_eq!(json["error_debug"].as_str(), Some(debug.as_str()));
            let xml = reply::problem(&problem, "id", Format::Xml);
            let document = roxmltree::Document::parse(&xml).unwrap();
            let values: Vec<_> = document.root_element().children().map(|one| one.text().unwrap_or_default()).collect();
            assert_eq!(values, [code.to_string().as_str(), debug.as_str(), text]);
        }
    }
}
