//! How a command reaches a campaign's object.
//!
//! Every command is a `POST`: to [`COMMIT_PATH`] with a [commit message](super::message) as the body, or to
//! [`COMMAND_PATH`] with an [`Envelope`](super::commands::Envelope) in JSON. The status determines the format of the reply:
//!
//! | status | body |
//! |---|---|
//! | 200 | JSON or NDJSON, as the caller receives it; of a commit: empty, and [`COMMITTED_HEADER`] |
//! | [`STATUS_REPEATED`] | the commit message of a stored launch, of [`LENGTH_HEADER`] bytes |
//! | [`STATUS_REFUSED`] | a [`Refusal`](super::commands::Refusal) in JSON |
//! | [`STATUS_FAILED`] | the cause of the failure, as text for the operator's log |
//! | any other | the platform could not reach the object |
//!
//! A commit message of at most [`CALL_MESSAGE`](crate::limits::CALL_MESSAGE) bytes is sent with a call of the object's method
//! `answer`, which returns the value of [`COMMITTED_HEADER`], or the response to a request.

/// Path of a commit.
pub const COMMIT_PATH: &str = "/commit";
/// Path of all other commands.
pub const COMMAND_PATH: &str = "/command";
/// The launch that an earlier request with the same ID made.
pub const STATUS_REPEATED: u16 = 208;
/// The object refuses the command.
pub const STATUS_REFUSED: u16 = 422;
/// The object failed.
pub const STATUS_FAILED: u16 = 500;
/// What the body of a reply is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReplyKind {
    /// The result of the command.
    Result,
    /// A stored launch.
    Repeated,
    /// A [`Refusal`](super::commands::Refusal).
    Refused,
    /// The cause of a failure.
    Failed,
    /// Unspecified: the platform could not reach the object.
    Unreachable,
}

impl ReplyKind {
    pub fn of(status: u16) -> Self {
        match status {
            200 => Self::Result,
            STATUS_REPEATED => Self::Repeated,
            STATUS_REFUSED => Self::Refused,
            STATUS_FAILED => Self::Failed,
            _ => Self::Unreachable,
        }
    }
}

/// Header with the result of a commit ([`Committed`](super::commands::Committed)).
pub const COMMITTED_HEADER: &str = "committed";
/// Header with the length of a commit message or a stored launch in bytes, so that memory is reserved before it is read.
pub const LENGTH_HEADER: &str = "message-length";
/// The media type of newline-delimited JSON.
pub const NDJSON: &str = "application/x-ndjson";
