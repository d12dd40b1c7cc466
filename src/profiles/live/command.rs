//! Commands to a database's object, its refusals and its replies in JSON.

use serde::{Deserialize, Serialize};

use crate::{
    limits::CHANGES_LIMIT,
    problem::{Cause, Problem, Refused},
    profiles::manifest::{Generation, Manifest, check_name, check_retired},
    text::rfc3339,
};

/// A command of the operator, or of the command line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DatabaseCommand {
    /// Returns a [`DatabaseStatus`].
    Status,
    /// Turns live changes on. Contains the manifest in KV, whose value already says that changes are live. Returns a
    /// [`DatabaseStatus`].
    Start(Box<Manifest>),
    /// Turns live changes off. Returns a [`DatabaseStatus`].
    Stop,
    /// Returns the pending changes for a compaction or a search: a [`PendingList`](super::message::PendingList).
    Pending(PendingPurpose),
    /// Makes a generation the current one. Returns a [`PublishReply`].
    Publish(Box<Publication>),
}

/// Why pending changes are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PendingPurpose {
    Search,
    /// Refused if the compaction could not be published now.
    Compaction,
}

/// A generation that is to become the current one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Publication {
    /// The name of the current generation. Refused if another generation has become current.
    pub replaces: String,
    pub generation: Generation,
    /// Retired generations whose buckets have been deleted.
    #[serde(default)]
    pub deleted: Vec<String>,
    pub contents: Contents,
}

impl Publication {
    /// Checks what a client has sent. The error names the field.
    pub fn check(&self) -> Result<(), String> {
        check_name("replaces", &self.replaces)?;
        self.generation.check("generation")?;
        check_retired("deleted", self.deleted.iter())
    }
}

/// The changes that a generation contains.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Contents {
    /// A compaction: the contents of the replaced generation, and the changes up to this version.
    ChangesThrough(u64),
    /// An import of an export of this time, in milliseconds since 1970. The export contains all earlier changes.
    ExportAt(u64),
}

/// The state of a database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatabaseStatus {
    pub manifest: Manifest,
    pub live: bool,
    /// When changes are accepted, in milliseconds since 1970.
    pub live_since: Option<u64>,
    /// The version of the last change.
    pub version: u64,
    /// How much the changes that the current generation lacks count towards the limit.
    pub pending: u64,
}

/// The reply to [`DatabaseCommand::Publish`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublishReply {
    pub status: DatabaseStatus,
    /// Changed profiles whose changes the generation contains or supersedes.
    pub superseded: u64,
    /// Changed profiles whose changes remain pending.
    pub later: u64,
}

/// The reply to a set of changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangeReply {
    pub version: u64,
    pub applied: u64,
    /// Whether an earlier request with the same ID made the changes.
    pub repeated: bool,
    /// [`DatabaseStatus::pending`] before and after the changes.
    pub pending: [u64; 2],
}

/// Why the object refuses a command. Times are in milliseconds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DatabaseRefusal {
    /// Live changes are off, or were never on.
    NotLive,
    /// Changes are accepted at a later time.
    NotYet {
        live_since: u64,
        now: u64,
    },
    /// As many changes would be pending, more than the limit.
    TooManyChanges(u64),
    RequestIdReused,
    /// The state of the database does not allow the command. Says why, and what to do.
    Conflict(String),
    /// The command is allowed later. Says why.
    TooEarly {
        what: String,
        wait: u64,
    },
    /// The keys of the changes were not hashed with the key of the current generation.
    OtherIndexKey,
    /// Memory could not be reserved. Contains the cause for the operator's log.
    Busy(String),
}

impl From<DatabaseRefusal> for Refused {
    fn from(refusal: DatabaseRefusal) -> Self {
        let conflict = |what: String, wait: Option<u64>| {
            let retry_after = wait.map(|wait| u32::try_from(wait.div_ceil(1000)).unwrap_or(u32::MAX).max(1));
            Problem::LiveChanges { what, retry_after }.into()
        };
        match refusal {
            DatabaseRefusal::NotLive => conflict("live changes are off".to_owned(), None),
            DatabaseRefusal::NotYet { live_since, now } => {
                conflict(format!("live changes begin at {}", rfc3339(live_since)), Some(live_since.saturating_sub(now)))
            }
            DatabaseRefusal::TooManyChanges(pending) => {
                let cause = format!("{pending} changes would be pending; CHANGES_LIMIT is {CHANGES_LIMIT}");
                Self::because(Problem::TooManyChanges, Cause(cause))
            }
            DatabaseRefusal::RequestIdReused => Problem::RequestIdReused.into(),
            DatabaseRefusal::Conflict(what) => conflict(what, None),
            DatabaseRefusal::TooEarly { what, wait } => conflict(what, Some(wait)),
            DatabaseRefusal::OtherIndexKey => Self::unavailable(
                "the profile index was built with another key: import profiles again",
                Cause::new("the key of the current generation is not configured"),
            ),
            DatabaseRefusal::Busy(cause) => Self::because(
                Problem::no_memory(),
                Cause(format!("the database's object has no memory for the changes: {cause}")),
            ),
        }
    }
}
