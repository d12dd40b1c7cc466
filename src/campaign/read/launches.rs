//! A launch and a page of launches, as callers read them.

use std::fmt::Write;

use serde::Serialize;

use super::json::{ListProgress, number_or_null};
use crate::{
    campaign::{
        log::{
            state::{LaunchLog, LogError},
            stored::{LaunchOrder, StoredLaunch},
        },
        protocol::{
            commands::{NewestRequest, PageRequest, Refusal},
            head::Attachment,
            layout::MessageSection,
        },
    },
    limits::{LAUNCHES_PAGE_BYTES, LAUNCHES_READ_AT_ONCE, REPLY_PIECE},
    storage::sql::{Sql, StorageError},
    text::{hex, rfc3339},
};

/// Returns a launch as JSON. `content` and `custom_data` are the texts that were stored, byte for byte.
pub fn launch_json<S: Sql>(log: &LaunchLog<S>, launch: &StoredLaunch) -> Result<String, StorageError> {
    let mut json = launch_summary(launch)?;
    // The closing brace.
    json.pop();
    for (name, section) in [("content", MessageSection::Content), ("custom_data", MessageSection::CustomData)] {
        let stored = match launch.layout.section(section) {
            0 => None,
            _ => Some(log.text(launch, section)?),
        };
        // Writing to a string cannot fail.
        let _ = write!(json, ",\"{name}\":{}", stored.as_deref().unwrap_or("null"));
    }
    let attachments: Vec<_> = launch.head.attachments.iter().map(AttachmentJson::from).collect();
    let attachments = serde_json::to_string(&attachments).map_err(StorageError::damaged)?;
    let _ = write!(json, ",\"attachments\":{attachments}}}");
    Ok(json)
}

/// Returns a launch as JSON, without `content`, `custom_data` and `attachments`.
pub fn launch_summary(launch: &StoredLaunch) -> Result<String, StorageError> {
    let head = &launch.head;
    let mut json = String::with_capacity(512);
    let mut member = |name: &str, value: &str| {
        json.push(if json.is_empty() { '{' } else { ',' });
        // Writing to a string cannot fail.
        let _ = write!(json, "\"{name}\":{value}");
    };
    let text = |text: &str| serde_json::to_string(text).map_err(StorageError::damaged);
    member("launch_id", &text(&head.launch_id.to_string())?);
    member("sequence", &launch.sequence.to_string());
    member("trigger_id", &head.trigger_id.to_string());
    member("accepted_at", &text(&rfc3339(launch.accepted_at))?);
    member("request_id", &text(&head.request_id)?);
    member("token_name", &text(&head.token_name)?);
    member("matching", &text(&head.matching)?);
    member("recipients", &head.counts.matched.to_string());
    member("unmatched", &head.counts.unmatched.to_string());
    member("invalid", &head.counts.invalid.to_string());
    member("duplicates", &head.counts.duplicates.to_string());
    member("skip_triggers", &head.skip_triggers.to_string());
    json.push('}');
    Ok(json)
}

/// An attachment of a launch, without its upload.
#[derive(Serialize)]
struct AttachmentJson<'a> {
    name: &'a str,
    content_type: &'a str,
    size: u64,
    sha256: String,
}

impl<'a> From<&'a Attachment> for AttachmentJson<'a> {
    fn from(attachment: &'a Attachment) -> Self {
        let Attachment { name, content_type, size, sha256, upload: _ } = attachment;
        Self { name, content_type, size: *size, sha256: hex(sha256) }
    }
}

/// A page of launches.
#[derive(Debug)]
pub struct LaunchesReply {
    order: LaunchOrder,
    /// The next sequence to write.
    next: u64,
    /// Launches from `next` on. Launches that are committed after the page was requested belong to another page.
    available: u64,
    /// The sequence that was written last.
    last: Option<u64>,
    /// The oldest sequence in the log.
    first: Option<u64>,
    remaining: u64,
    bytes: u64,
    progress: ListProgress,
}

impl LaunchesReply {
    /// A page that begins with the oldest launch after `page.after`.
    pub fn open<S: Sql>(log: &LaunchLog<S>, page: PageRequest) -> Result<Self, LogError> {
        let state = log.state()?;
        let first = state.first();
        if page.after.is_some_and(|after| after < state.removed) {
            return Err(Refusal::Expired { first }.into());
        }
        let after = page.after.unwrap_or(state.removed);
        let available = state.last().saturating_sub(after);
        Ok(Self::new(LaunchOrder::OldestFirst, after.saturating_add(1), available, first, page.limit))
    }

    /// A page that begins with the newest launch before `page.before`. Launches that retention has removed are not missed: they
    /// would be the last ones.
    pub fn open_newest<S: Sql>(log: &LaunchLog<S>, page: NewestRequest) -> Result<Self, LogError> {
        let state = log.state()?;
        let next = page.before.map_or(u64::MAX, |before| before.saturating_sub(1)).min(state.last());
        let available = next.saturating_sub(state.removed);
        Ok(Self::new(LaunchOrder::NewestFirst, next, available, state.first(), page.limit))
    }

    fn new(order: LaunchOrder, next: u64, available: u64, first: Option<u64>, limit: u64) -> Self {
        Self {
            order,
            next,
            available,
            first,
            last: None,
            remaining: limit,
            bytes: 0,
            progress: ListProgress::NotStarted,
        }
    }

    pub(super) fn next_piece<S: Sql>(&mut self, log: &LaunchLog<S>) -> Result<Option<Vec<u8>>, StorageError> {
        let mut piece = String::new();
        if self.progress == ListProgress::Done {
            return Ok(None);
        }
        if self.progress == ListProgress::NotStarted {
            piece.push_str("{\"launches\":[");
            self.progress = ListProgress::Started;
        }
        while self.progress == ListProgress::Started && piece.len() < REPLY_PIECE {
            self.write_batch(log, &mut piece)?;
        }
        Ok(Some(piece.into_bytes()))
    }

    fn write_batch<S: Sql>(&mut self, log: &LaunchLog<S>, piece: &mut String) -> Result<(), StorageError> {
        let wanted = self.remaining.min(self.available).min(LAUNCHES_READ_AT_ONCE);
        let launches = log.launches_from(self.next, self.order, wanted)?;
        if (launches.len() as u64) < wanted {
            return Err(StorageError::Removed(self.next));
        }
        for launch in launches {
            let json = launch_json(log, &launch)?;
            let bytes = self.bytes.saturating_add(json.len() as u64);
            if self.bytes > 0 {
                if bytes > LAUNCHES_PAGE_BYTES {
                    self.end(piece);
                    return Ok(());
                }
                piece.push(',');
            }
            piece.push_str(&json);
            self.bytes = bytes;
            self.next = self.order.after(launch.sequence);
            self.available = self.available.saturating_sub(1);
            self.remaining = self.remaining.saturating_sub(1);
            self.last = Some(launch.sequence);
            if piece.len() >= REPLY_PIECE {
                break;
            }
        }
        if self.remaining == 0 || self.available == 0 {
            self.end(piece);
        }
        Ok(())
    }

    fn end(&mut self, piece: &mut String) {
        let next = self.last.filter(|_| self.available > 0);
        let (first, next) = (number_or_null(self.first), number_or_null(next));
        let _ = write!(piece, "],\"first\":{first},\"next\":{next}}}");
        self.progress = ListProgress::Done;
    }
}
