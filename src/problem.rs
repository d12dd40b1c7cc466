//! Every error that a caller can receive, with its status, code and texts; and the cause for the operator.

use std::{borrow::Cow, fmt};

use crate::memory::OutOfMemory;

/// A refusal, as the caller sees it. The variants are in the order of decision: if a request has two faults, the earlier variant
/// is answered ([`Problem::rank`]).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Problem {
    NoSuchPath,
    /// The path does not serve the method. Contains the value of `Allow`.
    MethodNotAllowed(String),
    /// The type, charset or coding of the body is not supported. Says what was received and what to send.
    UnsupportedMediaType(String),
    /// `Content-Length` exceeds the limit of the whole body. Found before the body is read.
    LengthTooLarge,
    TooManyRequests(RateLimit),
    /// The token in a header or the query is missing, unknown or revoked, or two of them differ.
    TokenRequired(&'static str),
    /// The body exceeded a limit while it was read.
    BodyTooLarge,
    /// The body arrives too slowly, or not at all. Says how slowly, and the minimum rate.
    Timeout(Cow<'static, str>),
    /// The body is not a well-formed, complete document. Says what is wrong at which byte.
    Malformed(String),
    /// The token in the body is missing, unknown or revoked, or differs from another one.
    TokenRequiredInBody(Cow<'static, str>),
    /// The token lacks this scope.
    AccessDenied(&'static str),
    /// A field, header or parameter is invalid. Contains its name, and the item's index or the limit.
    BadField(String),
    /// The token has no access to such a campaign, launch or attachment, or it does not exist. Contains the kind.
    NotFound(&'static str),
    /// An earlier request with the same `Request-ID` had another body.
    RequestIdReused,
    /// Retention has removed the launches. `first` is the oldest sequence in the log, if the log has launches.
    Expired {
        first: Option<u64>,
    },
    /// The `database` of a campaign never changes.
    DatabaseFixed,
    /// The campaign is paused.
    NotActive,
    /// The state of a database's live changes does not allow the request. Says why. `retry_after` is in seconds.
    LiveChanges {
        what: String,
        retry_after: Option<u32>,
    },
    /// The state of the webhook does not allow the action. Says why.
    WebhookConflict(String),
    /// With `strict`: items are unmatched or invalid. `first` is the index of the first such item, `reason` its reason.
    Strict {
        unmatched: u64,
        invalid: u64,
        first: u64,
        reason: &'static str,
    },
    /// The campaign's log has reached its limit.
    LogFull,
    /// The pending changes of a database have reached their limit.
    TooManyChanges,
    /// `Range` selects no byte of the file. Contains the size of the file.
    RangeNotSatisfiable(u64),
    /// A service failed; nothing was launched. Says what to do.
    Unavailable(Cow<'static, str>),
    /// The commit was sent, and its answer was lost.
    OutcomeUnknown,
    /// A fault of this software. The caller receives the request ID only.
    Internal,
}

/// Which rate limit was reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RateLimit {
    /// Requests of one token name.
    Token,
    /// Requests of one address that got 401.
    Address,
}

/// Why an operation failed, as the platform reported it. It is written to the operator's log and never sent to callers. It
/// contains no tokens, addresses or bodies.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Cause(pub String);

impl Cause {
    pub fn new(text: impl fmt::Display) -> Self {
        Self(text.to_string())
    }

    /// Prefixes the operation that failed: `context: cause`.
    #[must_use]
    pub fn during(self, context: impl fmt::Display) -> Self {
        Self(format!("{context}: {}", self.0))
    }
}

/// A refused request: the problem for the caller, and the cause for the operator.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{problem}")]
pub struct Refused {
    pub problem: Problem,
    /// Why the request cannot be served; present for every 5xx.
    #[source]
    pub cause: Option<Cause>,
}

impl Refused {
    pub fn because(problem: Problem, cause: Cause) -> Self {
        Self { problem, cause: Some(cause) }
    }

    /// 503: a service that the request needs failed.
    pub fn unavailable(message: impl Into<Cow<'static, str>>, cause: Cause) -> Self {
        Self::because(Problem::Unavailable(message.into()), cause)
    }

    /// 500: a fault of this software, or a missing binding.
    pub fn internal(cause: impl fmt::Display) -> Self {
        Self::because(Problem::Internal, Cause::new(cause))
    }

    pub fn status(&self) -> u16 {
        self.problem.status()
    }

    /// Returns the refusal that ranks first.
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

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.text(), self.debug("no request ID"))
    }
}

impl std::error::Error for Problem {}

/// `error_debug` of a body that is too large. The specification prescribes the text.
pub const TOO_LARGE: &str = "http: request body too large";
/// `error_debug` of [`Problem::OutcomeUnknown`].
pub const OUTCOME_UNKNOWN: &str = "outcome unknown: retry with this Request-ID";
/// `error_debug` if memory could not be reserved.
pub const NO_MEMORY: &str = "too many large requests at once: retry later";

impl Problem {
    /// 503: memory could not be reserved.
    pub fn no_memory() -> Self {
        Self::Unavailable(Cow::Borrowed(NO_MEMORY))
    }

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
            Self::DatabaseFixed | Self::NotActive | Self::LiveChanges { .. } | Self::WebhookConflict(_) => 409,
            Self::LogFull | Self::TooManyChanges => 507,
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
            409 if matches!(self, Self::LiveChanges { .. }) => "Live changes unavailable",
            409 if matches!(self, Self::WebhookConflict(_)) => "Not possible now",
            409 => "Campaign is not active",
            410 => "Launches expired",
            415 => "Unsupported media type",
            416 => "Range not satisfiable",
            422 => "Request-ID reused",
            429 => "Too many requests",
            503 => "Service unavailable",
            507 if matches!(self, Self::TooManyChanges) => "Too many pending changes",
            507 => "Launch log full",
            _ => "Internal error",
        }
    }

    /// The field `error_debug`, on which the caller can act. An internal error contains only the request ID.
    pub fn debug(&self, request_id: &str) -> Cow<'_, str> {
        match self {
            Self::NoSuchPath => "no such path".into(),
            Self::MethodNotAllowed(allow) => format!("allowed here: {allow}").into(),
            Self::LengthTooLarge | Self::BodyTooLarge => TOO_LARGE.into(),
            Self::TooManyRequests(_) => "rate limit reached: retry after the time in Retry-After".into(),
            Self::TokenRequired(what) => (*what).into(),
            Self::UnsupportedMediaType(what)
            | Self::Malformed(what)
            | Self::BadField(what)
            | Self::WebhookConflict(what) => what.into(),
            Self::AccessDenied(scope) => format!("the token lacks the scope {scope}").into(),
            Self::NotFound(what) => format!("no such {what}").into(),
            Self::RequestIdReused => "a request with this Request-ID had another body: use a new Request-ID".into(),
            Self::Expired { first: Some(first) } => {
                format!("removed by retention: the log begins at sequence {first}").into()
            }
            Self::Expired { first: None } => "removed by retention: the log contains no launch".into(),
            Self::DatabaseFixed => "database: a campaign keeps the database it was defined with".into(),
            Self::NotActive => "the trigger campaign is paused".into(),
            Self::LiveChanges { what, .. } => what.into(),
            Self::TooManyChanges => "compact first".into(),
            Self::Strict { unmatched, invalid, first, reason } => {
                format!("strict: {unmatched} unmatched, {invalid} invalid; the first is data[{first}]: {reason}").into()
            }
            Self::LogFull => "the campaign's log is full: older launches must expire first".into(),
            Self::RangeNotSatisfiable(size) => format!("Range: the file has {size} bytes").into(),
            Self::Timeout(what) | Self::TokenRequiredInBody(what) | Self::Unavailable(what) => what.as_ref().into(),
            Self::OutcomeUnknown => OUTCOME_UNKNOWN.into(),
            Self::Internal => request_id.to_owned().into(),
        }
    }

    /// Seconds for `Retry-After`, if the caller should retry.
    pub fn retry_after(&self) -> Option<u32> {
        match self {
            Self::TooManyRequests(_) => Some(10),
            Self::Unavailable(_) | Self::OutcomeUnknown => Some(5),
            Self::LiveChanges { retry_after, .. } => *retry_after,
            _ => None,
        }
    }

    /// The position in the order of decision. Of two problems, the one with the smaller rank is answered.
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
            Self::LiveChanges { .. } => 17,
            Self::WebhookConflict(_) => 18,
            Self::Strict { .. } => 19,
            Self::LogFull => 20,
            Self::TooManyChanges => 21,
            Self::RangeNotSatisfiable(_) => 22,
            Self::Unavailable(_) => 23,
            Self::OutcomeUnknown => 24,
            Self::Internal => 25,
        }
    }

    /// Returns the problem that ranks first.
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
        Problem::LiveChanges { what: "live changes are off".to_owned(), retry_after: None },
        Problem::WebhookConflict("nothing is blocked".to_owned()),
        Problem::Strict { unmatched: 1, invalid: 0, first: 0, reason: "not_found" },
        Problem::LogFull,
        Problem::TooManyChanges,
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

    /// Every problem in the order of ranks, with status, `error` and `error_text`.
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
            (Problem::LiveChanges { what: "off".into(), retry_after: None }, 409, 409, "Live changes unavailable"),
            (Problem::WebhookConflict("nothing is blocked".into()), 409, 409, "Not possible now"),
            (strict, 400, 400, "Invalid request"),
            (Problem::LogFull, 507, 507, "Launch log full"),
            (Problem::TooManyChanges, 507, 507, "Too many pending changes"),
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
