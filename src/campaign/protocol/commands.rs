//! Commands to a campaign's object, and the replies that are JSON.

use serde::{Deserialize, Serialize};

use super::{id::LaunchId, webhook::WebhookCommand};
use crate::{
    fields::Endpoint,
    limits,
    problem::{Cause, Problem, Refused},
    text::SAFE_INTEGER_MAX,
};

/// A command and the access rights of its sender. The object decides whether the sender may give the command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Envelope {
    /// The databases of the sender's token. An empty list means all databases.
    pub databases: Vec<u64>,
    pub command: Command,
}

/// Every command except the commit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Command {
    /// Defines or changes the campaign. Returns a [`Campaign`].
    Define(Definition),
    /// Returns the [`Campaign`].
    Read,
    /// Sent while a large body arrives. Returns the launch that an earlier request with this ID made, or `{}` if the
    /// campaign can be launched.
    Preflight(RequestIdentity),
    /// Returns a page of launches.
    Launches(PageRequest),
    /// Returns a page of launches, newest first.
    NewestLaunches(NewestRequest),
    /// Returns the totals of each hour or day of a period.
    Stats(StatsRequest),
    /// Returns one launch.
    Launch(LaunchId),
    /// Returns a page of a launch's recipients.
    Recipients(LaunchId, PageRequest),
    /// Returns all recipients of a launch as NDJSON.
    RecipientsStream(LaunchId),
    /// Returns the items of a launch that are unmatched, invalid or duplicates.
    Report(LaunchId),
    /// Returns an [`AttachmentFile`]: where the bytes of a file are. Files are numbered as in `attach`, from 0.
    Attachment(LaunchId, usize),
    /// Reports that the Worker has completed all uploads of a launch. Returns `{}`.
    Completed(LaunchId),
    /// A command about the webhook. Returns JSON that the caller receives.
    Webhook(WebhookCommand),
}

/// The fields of a `PUT`. Absent fields keep their values.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Definition {
    /// The `trigger_id`.
    pub id: u64,
    #[serde(default)]
    pub name: Option<String>,
    #[serde(default)]
    pub database: Option<u64>,
    #[serde(default)]
    pub active: Option<bool>,
}

impl Definition {
    /// Checks the fields that are present. Only the campaign's object knows whether a field is missing, because only the
    /// first definition has to be complete.
    pub fn check(&self) -> Result<(), Refusal> {
        let refuse = |field: &str, what: &str| Err(Refusal::BadField(format!("{field}: {what}")));
        if let Some(name) = &self.name {
            if name.is_empty() {
                return refuse("name", "must not be empty");
            }
            if name.len() > limits::CAMPAIGN_NAME_LIMIT {
                return refuse("name", &format!("is longer than {} bytes", limits::CAMPAIGN_NAME_LIMIT));
            }
            if name.chars().any(char::is_control) {
                return refuse("name", "must not contain control characters");
            }
        }
        match self.database {
            Some(id) if !(1..=SAFE_INTEGER_MAX).contains(&id) => {
                refuse("database", &format!("must be an integer from 1 to {SAFE_INTEGER_MAX}"))
            }
            _ => Ok(()),
        }
    }
}

/// A campaign as callers read it. The fields appear in this order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Campaign {
    /// The `trigger_id`.
    pub id: u64,
    pub name: String,
    pub database: u64,
    /// A campaign that is not active is paused.
    pub active: bool,
    /// The number of launches ever made, including those that retention has removed.
    pub launches: u64,
    /// The number of recipients of all these launches.
    pub recipients: u64,
}

/// Identifies a request. Request IDs are scoped by the token's name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestIdentity {
    pub token_name: String,
    pub request_id: String,
}

/// The reply to a commit that is in the log. It is a header, so that the Worker does not wait for a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Committed {
    /// Launches of a campaign are numbered from 1.
    pub sequence: u64,
    /// Milliseconds since 1970.
    pub accepted_at: u64,
}

impl Committed {
    /// The value of [`COMMITTED_HEADER`](super::transport::COMMITTED_HEADER).
    pub fn to_header(self) -> String {
        format!("{} {}", self.sequence, self.accepted_at)
    }

    pub fn from_header(value: &str) -> Option<Self> {
        let (sequence, accepted_at) = value.split_once(' ')?;
        Some(Self { sequence: sequence.parse().ok()?, accepted_at: accepted_at.parse().ok()? })
    }
}

/// Selects a page of launches or recipients.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PageRequest {
    /// The page begins after this entry.
    pub after: Option<u64>,
    /// The largest number of entries.
    pub limit: u64,
}

/// Selects a page of launches, newest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewestRequest {
    /// The page begins before this sequence.
    pub before: Option<u64>,
    /// The largest number of launches.
    pub limit: u64,
}

/// A period that is divided into buckets of equal length. A bucket begins at a full hour or day of a time zone, and the first
/// and the last one may be only partly in the period. Times are in milliseconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatsRequest {
    /// The length of a bucket in milliseconds.
    pub width: u64,
    /// The start of the first bucket, which can be before 1970.
    pub first: i64,
    /// The number of buckets.
    pub buckets: u64,
    /// The first time in the period.
    pub from: u64,
    /// The first time after the period.
    pub to: u64,
    /// The time zone in which times are returned: minutes to add to UTC.
    pub offset: i32,
}

/// The reply to [`Command::Attachment`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttachmentFile {
    /// The name that the caller gave the file.
    pub name: String,
    pub content_type: String,
    /// Bytes of the file.
    pub size: u64,
    /// The SHA-256 of the file, in hexadecimal.
    pub sha256: String,
    /// The key of the file in the bucket.
    pub key: String,
}

/// Why the object refuses a command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Refusal {
    /// [`Problem::NotFound`].
    NotFound(Resource),
    /// [`Problem::BadField`].
    BadField(String),
    /// [`Problem::RequestIdReused`].
    RequestIdReused,
    /// [`Problem::Expired`].
    Expired {
        /// The oldest sequence in the log, if the log contains a launch.
        first: Option<u64>,
    },
    /// [`Problem::DatabaseFixed`].
    DatabaseFixed,
    /// [`Problem::NotActive`].
    NotActive,
    /// [`Problem::WebhookConflict`].
    WebhookConflict(String),
    /// [`Problem::LogFull`].
    LogFull {
        /// The size of the log in bytes.
        size: u64,
        /// `LOG_LIMIT` in bytes.
        limit: u64,
    },
    /// [`Problem::Unavailable`]: memory for the commit message could not be reserved. Contains the cause for the operator's
    /// log.
    Busy(String),
    /// [`Problem::Unavailable`]: the bucket of attachments failed. Contains the cause for the operator's log.
    BucketDown(String),
}

/// A kind of resource that a command names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Resource {
    Campaign,
    Launch,
    Attachment,
    Webhook,
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        let cause = match &refusal {
            Refusal::LogFull { size, limit } => Some(format!("the log has {size} bytes, LOG_LIMIT is {limit}")),
            Refusal::Busy(cause) => Some(format!("the object has no memory for the commit: {cause}")),
            Refusal::BucketDown(cause) => Some(cause.clone()),
            _ => None,
        };
        Self { problem: refusal.into(), cause: cause.map(Cause) }
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::NotFound(Resource::Campaign) => Self::NotFound("trigger campaign"),
            Refusal::NotFound(Resource::Launch) => Self::NotFound("launch"),
            Refusal::NotFound(Resource::Attachment) => Self::NotFound("attachment"),
            Refusal::NotFound(Resource::Webhook) => Self::NotFound("webhook"),
            Refusal::BadField(what) => Self::BadField(what),
            Refusal::RequestIdReused => Self::RequestIdReused,
            Refusal::Expired { first } => Self::Expired { first },
            Refusal::DatabaseFixed => Self::DatabaseFixed,
            Refusal::NotActive => Self::NotActive,
            Refusal::WebhookConflict(what) => Self::WebhookConflict(what),
            Refusal::LogFull { .. } => Self::LogFull,
            Refusal::Busy(_) => Self::no_memory(),
            Refusal::BucketDown(_) => Self::Unavailable("attachments cannot be read now: retry later".into()),
        }
    }
}

/// Checks that a stored launch was made by the same request: the same endpoint and the same bytes of the body.
pub fn check_same_request(stored: (Endpoint, &[u8; 32]), received: (Endpoint, &[u8; 32])) -> Result<(), Problem> {
    if stored == received { Ok(()) } else { Err(Problem::RequestIdReused) }
}
