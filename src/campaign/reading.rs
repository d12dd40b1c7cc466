//! What an object answers, piece by piece: nothing that consumers read is built whole in memory, however large.

use std::fmt::Write;

use super::{
    commands::{Command, Envelope, NDJSON, Page, Refusal},
    layout::{PREFIX, Section},
    log::{Fault, Log},
    message::RunningDigest,
    recipients::Recipients,
    report::Report,
    sql::{Broken, Sql},
    stored::Stored,
};
use crate::{limits, text::rfc3339};

/// A page of launches ends before it grows beyond this, in bytes (but has at least one launch).
pub const PAGE_BYTES: u64 = 8 * limits::MIB;
/// A piece of an answer has at least this many bytes, but the last.
const PIECE: usize = 64 * 1024;
/// Launches that are read at once.
const BATCH: u64 = 16;

/// An answer that is read to its end with [`Reading::step`].
#[derive(Debug)]
pub enum Reading {
    /// All of it.
    Whole(Option<Vec<u8>>),
    /// A page of launches.
    Launches(Box<Launches>),
    /// Recipients of a launch.
    Recipients(Box<Recipients>),
    /// What became of a launch's items.
    Report(Box<Report>),
    /// A stored launch, for a request that is repeated.
    Repeated(Box<Repeating>),
}

impl Reading {
    /// The next piece; `None` after the last. After an error the answer cannot be completed: it has to be aborted.
    pub fn step<S: Sql>(&mut self, log: &Log<S>) -> Result<Option<Vec<u8>>, Broken> {
        match self {
            Self::Whole(bytes) => Ok(bytes.take()),
            Self::Launches(launches) => launches.step(log),
            Self::Recipients(recipients) => recipients.step(log),
            Self::Report(report) => Ok(report.step()),
            Self::Repeated(repeating) => repeating.step(log),
        }
    }

    /// The type of the answer's bytes.
    pub fn media_type(&self) -> &'static str {
        match self {
            Self::Recipients(recipients) if recipients.is_lines() => NDJSON,
            Self::Repeated(_) => "application/octet-stream",
            _ => "application/json",
        }
    }

    /// A reply of one value.
    pub fn json(value: &impl serde::Serialize) -> Result<Self, Broken> {
        Ok(Self::Whole(Some(serde_json::to_vec(value).map_err(Broken::new)?)))
    }
}

impl<S: Sql> Log<S> {
    /// Carries out a command, if its sender may give it. `now` is the object's time, in milliseconds since 1970.
    pub fn answer(&self, Envelope { databases, command }: &Envelope, now: u64) -> Result<Reading, Fault> {
        if !matches!(command, Command::Define(_)) {
            self.authorize(databases)?;
        }
        Ok(match command {
            Command::Define(definition) => Reading::json(&self.define(definition, databases, now)?)?,
            Command::Read => Reading::json(&self.read()?)?,
            Command::Preflight(request) => match self.preflight(request, now)? {
                Some(stored) => Reading::Repeated(Box::new(Repeating::new(stored))),
                None => Reading::Whole(Some(b"{}".to_vec())),
            },
            Command::Launches(page) => Reading::Launches(Box::new(Launches::open(self, *page)?)),
            Command::Launch(id) => Reading::Whole(Some(self.launch_json(&self.find(*id)?)?.into_bytes())),
            Command::Recipients(id, page) => {
                Reading::Recipients(Box::new(Recipients::page(self, self.find(*id)?, *page)?))
            }
            Command::RecipientsStream(id) => Reading::Recipients(Box::new(Recipients::lines(self.find(*id)?))),
            Command::Attachment(id, number) => Reading::json(&self.file(*id, *number, now)?)?,
            Command::Completed(id) => {
                self.completed(*id)?;
                Reading::Whole(Some(b"{}".to_vec()))
            }
            Command::Report(id) => Reading::Report(Box::new(Report::open(self, &self.find(*id)?)?)),
        })
    }

    /// `Launch`, as consumers read it. `content` and `custom_data` are the texts that were stored.
    fn launch_json(&self, of: &Stored) -> Result<String, Broken> {
        let head = &of.head;
        let mut json = String::with_capacity(512);
        let mut member = |name: &str, value: &str| {
            json.push(if json.is_empty() { '{' } else { ',' });
            // Writing to a string cannot fail.
            let _ = write!(json, "\"{name}\":{value}");
        };
        let text = |text: &str| serde_json::to_string(text).map_err(Broken::new);
        member("launch_id", &text(&head.launch_id.to_string())?);
        member("sequence", &of.sequence.to_string());
        member("trigger_id", &head.trigger_id.to_string());
        member("accepted_at", &text(&rfc3339(of.accepted_at))?);
        member("request_id", &text(&head.request_id)?);
        member("token_name", &text(&head.token_name)?);
        member("matching", &text(&head.matching)?);
        member("recipients", &head.counts.matched.to_string());
        member("unmatched", &head.counts.unmatched.to_string());
        member("invalid", &head.counts.invalid.to_string());
        member("duplicates", &head.counts.duplicates.to_string());
        member("skip_triggers", &head.skip_triggers.to_string());
        for (name, section) in [("content", Section::Content), ("custom_data", Section::CustomData)] {
            let stored = match of.layout.section(section) {
                0 => None,
                _ => Some(self.text(of, section)?),
            };
            member(name, stored.as_deref().unwrap_or("null"));
        }
        let files: Vec<File<'_>> = head.attachments.iter().map(File::from).collect();
        member("attachments", &serde_json::to_string(&files).map_err(Broken::new)?);
        json.push('}');
        Ok(json)
    }
}

/// A file as consumers read it: an [`super::head::Attachment`] without how it got there.
#[derive(serde::Serialize)]
struct File<'a> {
    name: &'a str,
    content_type: &'a str,
    size: u64,
    sha256: String,
}

impl<'a> From<&'a super::head::Attachment> for File<'a> {
    fn from(attachment: &'a super::head::Attachment) -> Self {
        let mut sha256 = String::with_capacity(64);
        crate::text::push_hex(&attachment.sha256, &mut sha256);
        Self { name: &attachment.name, content_type: &attachment.content_type, size: attachment.size, sha256 }
    }
}

/// A page of launches on its way.
#[derive(Debug)]
pub struct Launches {
    next: u64,
    /// The last sequence when the page was asked for: what is committed since belongs to a later one.
    last: u64,
    first: Option<u64>,
    left: u64,
    bytes: u64,
    state: Progress,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Progress {
    Begin,
    Middle,
    Done,
}

impl Launches {
    fn open<S: Sql>(log: &Log<S>, page: Page) -> Result<Self, Fault> {
        let state = log.state()?;
        let first = state.first();
        if page.after.is_some_and(|after| after < state.removed) {
            return Err(Refusal::Expired { first }.into());
        }
        let next = page.after.unwrap_or(state.removed).saturating_add(1);
        Ok(Self { next, last: state.last(), first, left: page.limit, bytes: 0, state: Progress::Begin })
    }

    fn step<S: Sql>(&mut self, log: &Log<S>) -> Result<Option<Vec<u8>>, Broken> {
        let mut piece = String::new();
        if self.state == Progress::Done {
            return Ok(None);
        }
        if self.state == Progress::Begin {
            piece.push_str("{\"launches\":[");
            self.state = Progress::Middle;
        }
        while self.state == Progress::Middle && piece.len() < PIECE {
            self.batch(log, &mut piece)?;
        }
        Ok(Some(piece.into_bytes()))
    }

    fn batch<S: Sql>(&mut self, log: &Log<S>, piece: &mut String) -> Result<(), Broken> {
        let there = (self.last.saturating_add(1)).saturating_sub(self.next);
        let wanted = self.left.min(there).min(BATCH);
        let launches = log.launches_from(self.next, wanted)?;
        if (launches.len() as u64) < wanted {
            return Err(Broken::new("launches were removed while they were read"));
        }
        for launch in launches {
            let json = log.launch_json(&launch)?;
            let bytes = self.bytes.saturating_add(json.len() as u64);
            if self.bytes > 0 {
                if bytes > PAGE_BYTES {
                    self.end(piece);
                    return Ok(());
                }
                piece.push(',');
            }
            piece.push_str(&json);
            self.bytes = bytes;
            self.next = launch.sequence.saturating_add(1);
            self.left = self.left.saturating_sub(1);
            if piece.len() >= PIECE {
                break;
            }
        }
        if self.left == 0 || self.next > self.last {
            self.end(piece);
        }
        Ok(())
    }

    fn end(&mut self, piece: &mut String) {
        let next = (self.next <= self.last).then(|| self.next.saturating_sub(1));
        let _ = write!(piece, "],\"first\":{},\"next\":{}}}", or_null(self.first), or_null(next));
        self.state = Progress::Done;
    }
}

/// A number, or `null`.
pub(super) fn or_null(number: Option<u64>) -> String {
    number.map_or_else(|| "null".to_owned(), |number| number.to_string())
}

/// A stored launch on its way back to a caller who repeats its request, as a message.
#[derive(Debug)]
pub struct Repeating {
    stored: Stored,
    /// Offset in the sections; `None` before the head.
    at: Option<u64>,
    digest: RunningDigest,
    done: bool,
}

impl Repeating {
    /// Bytes of the whole message.
    pub fn length(&self) -> u64 {
        self.message_layout().message()
    }

    /// From the start.
    pub fn new(stored: Stored) -> Self {
        Self { stored, at: None, digest: RunningDigest::default(), done: false }
    }

    fn message_layout(&self) -> super::layout::Layout {
        self.stored.layout.repeated()
    }

    fn step<S: Sql>(&mut self, log: &Log<S>) -> Result<Option<Vec<u8>>, Broken> {
        if self.done {
            return Ok(None);
        }
        let layout = self.stored.layout;
        let end = layout.range(Section::Outcomes).end;
        let piece = match self.at {
            None => {
                self.at = Some(layout.range(Section::Recipients).start);
                let mut piece = Vec::with_capacity(PREFIX);
                piece.extend_from_slice(&self.message_layout().to_bytes());
                piece.extend_from_slice(&log.head_bytes(&self.stored)?);
                piece
            }
            Some(at) if at < end => {
                let until = end.min(at.saturating_add(limits::CHUNK as u64));
                self.at = Some(until);
                log.payload(&self.stored, at..until)?
            }
            Some(_) => {
                self.done = true;
                return Ok(Some(self.digest.finish().to_vec()));
            }
        };
        self.digest.update(&piece);
        Ok(Some(piece))
    }
}
