//! What a launch is answered with: written piece by piece, so that a reply to 300,000 items is never held whole.

use super::search::SearchResult;
use crate::{
    campaign::{id::LaunchId, layout::PROFILE_ID, message::Repeated, packed::Runs},
    memory::Reservation,
    outcome::{Counts, Outcome},
    problem::{Problem, Refused},
    profiles::lookup::Statistics,
    wire::Format,
};
use std::fmt::Write as _;

/// How long the phases of a request took, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[allow(missing_docs, reason = "the names are those of Server-Timing")]
pub struct Timings {
    pub parse: u64,
    pub r#match: u64,
    pub commit: u64,
}

/// A launch that was made, now or by an earlier request, or that would have been (`dry_run`).
#[derive(Debug)]
pub struct Launched {
    /// Its id; `None` for a dry run.
    pub launch_id: Option<LaunchId>,
    /// What became of its items.
    pub counts: Counts,
    /// Whether an earlier request made it.
    pub repeated: bool,
    /// Whether the caller asked for a report.
    report: bool,
    source: Source,
    /// What it holds until it is written: a caller may read slowly.
    memory: Option<Reservation>,
}

/// Where recipients and outcomes are.
#[derive(Debug)]
enum Source {
    New(SearchResult),
    Stored(Box<Repeated>),
}

impl Launched {
    /// A launch just made, or a dry run.
    pub fn new(launch_id: Option<LaunchId>, mut matched: SearchResult, report: bool) -> Self {
        matched.with_data = Vec::new();
        Self { launch_id, counts: matched.counts, repeated: false, report, source: Source::New(matched), memory: None }
    }

    /// A launch that an earlier request made.
    pub fn repeated(stored: Repeated, report: bool) -> Self {
        let head = stored.head();
        let (launch_id, counts) = (Some(head.launch_id), head.counts);
        Self { launch_id, counts, repeated: true, report, source: Source::Stored(Box::new(stored)), memory: None }
    }

    /// Keeps the request's reservation, for as much as the reply holds.
    pub fn reserve(&mut self, mut memory: Reservation) -> Result<(), Refused> {
        let reserved = memory.resize(self.held());
        // What was launched now is answered all the same: its recipients were a part of what was reserved.
        if self.repeated {
            reserved?;
        }
        self.memory = Some(memory);
        Ok(())
    }

    /// Bytes that are held.
    fn held(&self) -> u64 {
        let bytes = match &self.source {
            Source::New(matched) => matched.recipients.capacity() + matched.outcomes.capacity(),
            Source::Stored(stored) => stored.bytes(),
        };
        bytes as u64
    }

    /// What looking its items up took: nothing for a launch that an earlier request made.
    pub fn lookups(&self) -> Statistics {
        match &self.source {
            Source::New(matched) => matched.statistics,
            Source::Stored(_) => Statistics::default(),
        }
    }

    fn recipients(&self) -> &[u8] {
        match &self.source {
            Source::New(matched) => &matched.recipients,
            Source::Stored(stored) => stored.recipients(),
        }
    }

    fn outcomes(&self) -> &[u8] {
        match &self.source {
            Source::New(matched) => &matched.outcomes,
            Source::Stored(stored) => stored.outcomes(),
        }
    }
}

/// Bytes of a piece, about.
const PIECE: usize = 64 * 1024;

/// A reply as it is written.
#[derive(Debug)]
pub struct Writer {
    launched: Launched,
    format: Format,
    next: Next,
    /// Nothing is reserved until the next piece is asked for.
    waits: bool,
}

/// What is to be written next.
#[derive(Debug, Clone, Copy)]
enum Next {
    Begin,
    /// The result, from this recipient on.
    Result(usize),
    /// A list of the report.
    List(List, Cursor),
    End,
    Nothing,
}

/// The lists of a report, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum List {
    Unmatched,
    Invalid,
    Duplicates,
}

/// A place in the packed outcomes.
#[derive(Debug, Clone, Copy, Default)]
struct Cursor {
    /// Bytes of whole runs that are behind.
    bytes: usize,
    /// Items of those runs.
    items: u64,
    /// Items of the run at `bytes` that are behind as well.
    within: u32,
    /// Entries written.
    written: u64,
}

impl List {
    fn holds(self, outcome: Outcome) -> bool {
        match self {
            Self::Unmatched => outcome.is_unmatched(),
            Self::Invalid => outcome.is_invalid(),
            Self::Duplicates => outcome == Outcome::Duplicate,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Unmatched => "unmatched",
            Self::Invalid => "invalid",
            Self::Duplicates => "duplicates",
        }
    }

    fn next(self) -> Option<Self> {
        match self {
            Self::Unmatched => Some(Self::Invalid),
            Self::Invalid => Some(Self::Duplicates),
            Self::Duplicates => None,
        }
    }
}

impl Writer {
    /// Writes the reply to `launched` in `format`.
    pub fn new(launched: Launched, format: Format) -> Self {
        Self { launched, format, next: Next::Begin, waits: false }
    }

    /// The reply is handed to the runtime. Where its caller has gone nobody ever asks for the rest, nor says so: until the next
    /// piece is asked for, nothing is reserved for it.
    pub fn wait(&mut self) {
        if let Some(memory) = &mut self.launched.memory {
            memory.shrink(memory.bytes());
        }
        self.waits = true;
    }

    /// The next piece of the body; `None` at its end.
    pub fn piece(&mut self) -> Option<Vec<u8>> {
        if std::mem::take(&mut self.waits) {
            let held = self.launched.held();
            // It is held in any case: without room for it others find less.
            let _ = self.launched.memory.as_mut().map(|memory| memory.grow(held));
        }
        let mut piece = String::new();
        while piece.len() < PIECE && !matches!(self.next, Next::Nothing) {
            self.next = match self.next {
                Next::Begin => self.begin(&mut piece),
                Next::Result(from) => self.result(&mut piece, from),
                Next::List(list, cursor) => self.list(&mut piece, list, cursor),
                Next::End => {
                    piece.push_str(if self.format == Format::Json { "}" } else { "</xml>" });
                    Next::Nothing
                }
                Next::Nothing => Next::Nothing,
            };
        }
        (!piece.is_empty()).then(|| piece.into_bytes())
    }

    fn begin(&self, piece: &mut String) -> Next {
        let recipients = self.launched.recipients().len() / PROFILE_ID;
        piece.reserve(PIECE.min(256 + recipients.saturating_mul(64)));
        piece.push_str(match self.format {
            Format::Json => "{\"error\":0,\"error_text\":\"Successful operation\",\"result\":[",
            Format::Xml => "<xml><error>0</error><error_text>Successful operation</error_text>",
        });
        Next::Result(0)
    }

    fn result(&self, piece: &mut String, from: usize) -> Next {
        let (ids, _) = self.launched.recipients().as_chunks::<PROFILE_ID>();
        let (before, after) = match self.format {
            Format::Json => ("{\"profile_id\":\"", "\"}"),
            Format::Xml => ("<result><profile_id>", "</profile_id></result>"),
        };
        for (next, id) in (0..).zip(ids).skip(from) {
            if piece.len() >= PIECE {
                return Next::Result(next);
            }
            if next > 0 && self.format == Format::Json {
                piece.push(',');
            }
            piece.push_str(before);
            crate::text::push_hex(id, piece);
            piece.push_str(after);
        }
        if self.format == Format::Json {
            piece.push(']');
        }
        if !self.launched.report {
            return Next::End;
        }
        self.begin_report(piece);
        Next::List(List::Unmatched, Cursor::default())
    }

    fn begin_report(&self, piece: &mut String) {
        let matched = self.launched.counts.matched;
        // Writing to a string cannot fail.
        let _ = match (self.format, self.launched.launch_id) {
            (Format::Json, Some(id)) => write!(piece, ",\"report\":{{\"launch_id\":\"{id}\",\"matched\":{matched}"),
            (Format::Json, None) => write!(piece, ",\"report\":{{\"launch_id\":null,\"matched\":{matched}"),
            (Format::Xml, Some(id)) => {
                write!(piece, "<report><launch_id>{id}</launch_id><matched>{matched}</matched>")
            }
            (Format::Xml, None) => write!(piece, "<report><matched>{matched}</matched>"),
        };
    }

    fn list(&self, piece: &mut String, list: List, mut cursor: Cursor) -> Next {
        let json = self.format == Format::Json;
        if json && cursor.bytes == 0 && cursor.within == 0 {
            let _ = write!(piece, ",\"{}\":[", list.name());
        }
        let outcomes = self.launched.outcomes();
        let mut runs = Runs::new(outcomes.get(cursor.bytes..).unwrap_or_default());
        while let Some(Ok((outcome, length))) = runs.next() {
            if list.holds(outcome) {
                for item in cursor.within..length {
                    if piece.len() >= PIECE {
                        return Next::List(list, Cursor { within: item, ..cursor });
                    }
                    let index = cursor.items + u64::from(item);
                    self.entry(piece, list, index, outcome, cursor.written > 0);
                    cursor.written += 1;
                }
            }
            cursor = Cursor {
                bytes: outcomes.len() - runs.rest().len(),
                items: cursor.items + u64::from(length),
                within: 0,
                written: cursor.written,
            };
        }
        if json {
            piece.push(']');
        }
        if let Some(next) = list.next() {
            return Next::List(next, Cursor::default());
        }
        piece.push_str(if json { "}" } else { "</report>" });
        Next::End
    }

    fn entry(&self, piece: &mut String, list: List, index: u64, outcome: Outcome, follows: bool) {
        let name = list.name();
        let comma = if follows { "," } else { "" };
        let _ = match (self.format, outcome.reason()) {
            (Format::Json, Some(reason)) => write!(piece, "{comma}{{\"index\":{index},\"reason\":\"{reason}\"}}"),
            (Format::Json, None) => write!(piece, "{comma}{index}"),
            (Format::Xml, Some(reason)) => {
                write!(piece, "<{name}><index>{index}</index><reason>{reason}</reason></{name}>")
            }
            (Format::Xml, None) => write!(piece, "<{name}>{index}</{name}>"),
        };
    }
}

/// The body of a refusal.
pub fn problem(problem: &Problem, request_id: &str, format: Format) -> String {
    let (code, text) = (problem.code(), problem.text());
    let debug = problem.debug(request_id);
    match format {
        Format::Json => {
            let debug = serde_json::Value::from(debug.as_ref());
            let first = match problem {
                Problem::Expired { first: Some(first) } => format!(",\"first\":{first}"),
                Problem::Expired { first: None } => ",\"first\":null".to_owned(),
                _ => String::new(),
            };
            format!("{{\"error\":{code},\"error_debug\":{debug},\"error_text\":\"{text}\"{first}}}")
        }
        Format::Xml => {
            let debug = quick_xml::escape::partial_escape(debug.as_ref());
            format!("<xml><error>{code}</error><error_debug>{debug}</error_debug><error_text>{text}</error_text></xml>")
        }
    }
}
