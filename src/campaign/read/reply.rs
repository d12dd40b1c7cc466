//! A reply of the object, whatever it contains.

use serde::Serialize;

use super::{launches::LaunchesReply, recipients::RecipientsReply, repeat::RepeatReply, report::ReportReply};
use crate::{
    campaign::{log::state::LaunchLog, protocol::transport::NDJSON},
    problem::Cause,
    storage::sql::{Sql, StorageError},
};

/// A reply that is read with [`ObjectReply::next_piece`].
#[derive(Debug)]
pub enum ObjectReply {
    /// A reply in one piece, until it has been read.
    Whole(Option<Vec<u8>>),
    Launches(Box<LaunchesReply>),
    Recipients(Box<RecipientsReply>),
    Report(Box<ReportReply>),
    Repeat(Box<RepeatReply>),
}

impl ObjectReply {
    /// A reply of one JSON value.
    pub fn json(value: &impl Serialize) -> Result<Self, Cause> {
        Ok(Self::Whole(Some(serde_json::to_vec(value).map_err(Cause::new)?)))
    }

    /// Returns the next piece, or `None` after the last. After an error the reply cannot be completed and has to be aborted.
    pub fn next_piece<S: Sql>(&mut self, log: &LaunchLog<S>) -> Result<Option<Vec<u8>>, StorageError> {
        match self {
            Self::Whole(bytes) => Ok(bytes.take()),
            Self::Launches(reply) => reply.next_piece(log),
            Self::Recipients(reply) => reply.next_piece(log),
            Self::Report(reply) => Ok(reply.next_piece()),
            Self::Repeat(reply) => reply.next_piece(log),
        }
    }

    pub fn media_type(&self) -> &'static str {
        match self {
            Self::Recipients(reply) if reply.is_ndjson() => NDJSON,
            Self::Repeat(_) => "application/octet-stream",
            _ => "application/json",
        }
    }
}
