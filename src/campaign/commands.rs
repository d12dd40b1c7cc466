//! What travels between the Worker and a campaign's object, for both ends.
//!
//! Every command is a `POST`: to [`COMMIT`] with a commit message as the body, to [`COMMAND`] with an [`Envelope`] in
//! JSON. The answer's status tells what its body is:
//!
//! | status | body |
//! |---|---|
//! | 200 | the reply in JSON or NDJSON, as it goes on to the caller |
//! | [`REPEATED`] | the stored launch of a repeated request ([`super::message::Repeated`]); its length is in [`LENGTH`] |
//! | [`REFUSED`] | a [`Refusal`] in JSON |
//! | [`FAILED`] | the cause, as text for the operator's log: the object failed |
//! | any other | the way to the object failed |

use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};

use super::id::LaunchId;
use crate::{
    fields::Endpoint,
    problem::{Cause, Problem, Refused},
    text::SAFE_INTEGER_MAX,
};

/// Path of a commit.
pub const COMMIT: &str = "/commit";
/// Path of every other command.
pub const COMMAND: &str = "/command";
/// Status of an answer that is a stored launch.
pub const REPEATED: u16 = 208;
/// Status of an answer that is a refusal.
pub const REFUSED: u16 = 422;
/// Status of an answer that is the cause of a failure.
pub const FAILED: u16 = 500;
/// Header that tells the length of a command or a stored launch, in bytes, so that room is reserved before it is read.
pub const LENGTH: &str = "message-length";
/// Media type of NDJSON.
pub const NDJSON: &str = "application/x-ndjson";
/// Longest name of a campaign, in bytes.
pub const NAME_LIMIT: usize = 256;

/// A command, and what the object needs to decide whether its sender may give it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Envelope {
    /// The databases of the token that sends the command. Empty: all databases.
    pub databases: Vec<u64>,
    /// The command.
    pub command: Command,
}

/// What an object is asked, but for commits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Command {
    /// Define the campaign, pause it, resume it. Replies [`Campaign`].
    Define(Definition),
    /// Replies [`Campaign`].
    Read,
    /// Before a large body has been read: may it be launched, and was it already? Replies `{}`, or repeats.
    Preflight(Request),
    /// A page of the log.
    Launches(Page),
    /// One launch.
    Launch(LaunchId),
    /// A page of its recipients.
    Recipients(LaunchId, Page),
    /// All its recipients, one a line.
    RecipientsStream(LaunchId),
    /// What became of its items.
    Report(LaunchId),
    /// A file of it, by its number in `attach`. Replies [`super::attachments::File`].
    Attachment(LaunchId, usize),
    /// The Worker has completed all its attachments: the alarm need not. Replies `{}`.
    Completed(LaunchId),
}

/// What `PUT` says (read by [`super::definition::read`]): what is absent stays as it is.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Definition {
    /// `trigger_id`.
    pub id: u64,
    /// Its name: not empty, at most [`NAME_LIMIT`] bytes, no control characters.
    #[serde(default)]
    pub name: Option<String>,
    /// The database of its profiles.
    #[serde(default)]
    pub database: Option<u64>,
    /// Whether it can be launched.
    #[serde(default)]
    pub active: Option<bool>,
}

/// A campaign as it is read. The order of the fields is the reply's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Campaign {
    /// `trigger_id`.
    pub id: u64,
    /// Its name.
    pub name: String,
    /// The database of its profiles.
    pub database: u64,
    /// Whether it can be launched.
    pub active: bool,
    /// Launches ever made, whether the log still has them or not.
    pub launches: u64,
    /// Recipients of all of them.
    pub recipients: u64,
}

/// A request, as far as it is known before its body.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// The scope of request ids.
    pub token_name: String,
    /// The request's id.
    pub request_id: String,
}

/// A launch was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Committed {
    /// Of this campaign, from 1.
    pub sequence: u64,
    /// Milliseconds since 1970.
    pub accepted_at: u64,
}

/// `after` and `limit`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page {
    /// The last one that is known already.
    pub after: Option<u64>,
    /// Most entries.
    pub limit: u64,
}

impl Page {
    /// Of `…/launches`.
    pub fn of_launches(after: Option<&str>, limit: Option<&str>) -> Result<Self, Problem> {
        Self::parse(after, limit, 1..=1000, 100)
    }

    /// Of `…/recipients`.
    pub fn of_recipients(after: Option<&str>, limit: Option<&str>) -> Result<Self, Problem> {
        Self::parse(after, limit, 1..=50_000, 1000)
    }

    fn parse(
        after: Option<&str>,
        limit: Option<&str>,
        limits: RangeInclusive<u64>,
        default: u64,
    ) -> Result<Self, Problem> {
        let after = after.map(|text| parameter("after", text, 0..=SAFE_INTEGER_MAX)).transpose()?;
        let limit = limit.map(|text| parameter("limit", text, limits)).transpose()?;
        Ok(Self { after, limit: limit.unwrap_or(default) })
    }
}

/// A query parameter that is a decimal integer within `range`; else [`Problem::BadField`] names it and the range.
pub fn parameter(name: &str, text: &str, range: RangeInclusive<u64>) -> Result<u64, Problem> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let value = text.parse().ok().filter(|value| digits && range.contains(value));
    value.ok_or_else(|| Problem::BadField(format!("{name}: must be {} to {}", range.start(), range.end())))
}

/// What an object refuses: the [`Problem`]s that it can answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Refusal {
    /// [`Problem::NotFound`].
    NotFound(Thing),
    /// [`Problem::BadField`].
    BadField(String),
    /// [`Problem::RequestIdReused`].
    RequestIdReused,
    /// [`Problem::Expired`].
    Expired {
        /// The oldest sequence still held.
        first: Option<u64>,
    },
    /// [`Problem::DatabaseFixed`].
    DatabaseFixed,
    /// [`Problem::NotActive`].
    NotActive,
    /// [`Problem::LogFull`].
    LogFull {
        /// Bytes that the log has.
        size: u64,
        /// `LOG_LIMIT`, in bytes.
        limit: u64,
    },
    /// [`Problem::Unavailable`]: no room in the object's isolate for the message. The text is the cause, for the operator's
    /// log; callers never receive it.
    Busy(String),
    /// [`Problem::Unavailable`]: the bucket of attachments failed. The text is the cause.
    BucketDown(String),
}

/// What was not found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Thing {
    /// The campaign.
    Campaign,
    /// A launch of it.
    Launch,
    /// A file of a launch.
    Attachment,
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        let cause = match &refusal {
            Refusal::LogFull { size, limit } => Some(format!("the log has {size} bytes, LOG_LIMIT is {limit}")),
            Refusal::Busy(cause) => Some(format!("the object has no room for the commit: {cause}")),
            Refusal::BucketDown(cause) => Some(cause.clone()),
            _ => None,
        };
        Self { problem: refusal.into(), cause: cause.map(Cause) }
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::NotFound(Thing::Campaign) => Self::NotFound("trigger campaign"),
            Refusal::NotFound(Thing::Launch) => Self::NotFound("launch"),
            Refusal::NotFound(Thing::Attachment) => Self::NotFound("attachment"),
            Refusal::BadField(what) => Self::BadField(what),
            Refusal::RequestIdReused => Self::RequestIdReused,
            Refusal::Expired { first } => Self::Expired { first },
            Refusal::DatabaseFixed => Self::DatabaseFixed,
            Refusal::NotActive => Self::NotActive,
            Refusal::LogFull { .. } => Self::LogFull,
            Refusal::Busy(_) => Self::no_memory(),
            Refusal::BucketDown(_) => Self::Unavailable("attachments cannot be read now: retry later".into()),
        }
    }
}

/// Whether a stored launch answers the same request: the same path and the same bytes of the body.
pub fn same_body(stored: (Endpoint, &[u8; 32]), asked: (Endpoint, &[u8; 32])) -> Result<(), Problem> {
    if stored == asked { Ok(()) } else { Err(Problem::RequestIdReused) }
}
