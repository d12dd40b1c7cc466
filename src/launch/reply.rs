//! Writes the reply in pieces, so that a reply to 300,000 items is never in memory at once.

use super::search::SearchResult;
use crate::{
    campaign::protocol::{id::LaunchId, layout::PROFILE_ID, message::RepeatedLaunch, packed::OutcomeRuns},
    memory::Reservation,
    outcome::{Counts, Outcome, ReportList},
    problem::{Problem, Refused},
    profiles::lookup::Statistics,
    wire::Format,
};
use std::fmt::Write as _;

/// Durations of the phases of a request, in milliseconds, as in `Server-Timing`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Timings {
    pub parse: u64,
    pub r#match: u64,
    pub commit: u64,
}

/// A launch: committed by this request, committed by an earlier one, or simulated (`dry_run`).
#[derive(Debug)]
pub struct LaunchResult {
    /// `None` for a dry run.
    pub launch_id: Option<LaunchId>,
    pub counts: Counts,
    /// Whether an earlier request committed it.
    pub repeated: bool,
    has_report: bool,
    content: ReplyContent,
    /// Reserved until the reply is written: a caller may read slowly.
    memory: Option<Reservation>,
}

/// Recipients and outcomes.
#[derive(Debug)]
enum ReplyContent {
    New(SearchResult),
    Stored(Box<RepeatedLaunch>),
}

impl LaunchResult {
    /// A launch of this request, or a dry run (without a launch ID).
    pub fn new(launch_id: Option<LaunchId>, mut matched: SearchResult, has_report: bool) -> Self {
        matched.with_data = Vec::new();
        Self {
            launch_id,
            counts: matched.counts,
            repeated: false,
            has_report,
            content: ReplyContent::New(matched),
            memory: None,
        }
    }

    /// A launch that an earlier request committed.
    pub fn repeated(stored: RepeatedLaunch, has_report: bool) -> Self {
        let head = stored.head();
        let (launch_id, counts) = (Some(head.launch_id), head.counts);
        Self {
            launch_id,
            counts,
            repeated: true,
            has_report,
            content: ReplyContent::Stored(Box::new(stored)),
            memory: None,
        }
    }

    /// Keeps the request's reservation, resized to the memory of the reply.
    pub fn reserve(&mut self, mut memory: Reservation) -> Result<(), Refused> {
        let reserved = memory.resize(self.bytes());
        // The memory of a new launch was reserved by the search, so the launch is answered in any case.
        if self.repeated {
            reserved?;
        }
        self.memory = Some(memory);
        Ok(())
    }

    /// Bytes of memory in use.
    fn bytes(&self) -> u64 {
        let bytes = match &self.content {
            ReplyContent::New(matched) => matched.recipients.capacity() + matched.outcomes.capacity(),
            ReplyContent::Stored(stored) => stored.bytes(),
        };
        bytes as u64
    }

    /// The KV reads of the search; none for a launch that an earlier request committed.
    pub fn lookups(&self) -> Statistics {
        match &self.content {
            ReplyContent::New(matched) => matched.statistics,
            ReplyContent::Stored(_) => Statistics::default(),
        }
    }

    fn recipients(&self) -> &[u8] {
        match &self.content {
            ReplyContent::New(matched) => &matched.recipients,
            ReplyContent::Stored(stored) => stored.recipients(),
        }
    }

    fn outcomes(&self) -> &[u8] {
        match &self.content {
            ReplyContent::New(matched) => &matched.outcomes,
            ReplyContent::Stored(stored) => stored.outcomes(),
        }
    }
}

/// Approximate size of a piece, in bytes.
const PIECE: usize = 64 * 1024;

/// Writes a reply.
#[derive(Debug)]
pub struct ReplyWriter {
    launched: LaunchResult,
    format: Format,
    next: NextPart,
    /// The memory is not reserved until the next piece is read.
    is_waiting: bool,
}

/// The next part of the reply.
#[derive(Debug, Clone, Copy)]
enum NextPart {
    Begin,
    /// The results, starting with this recipient.
    Results(usize),
    /// A list of the report.
    List(ReportList, OutcomeCursor),
    End,
    Nothing,
}

/// A position in the packed outcomes.
#[derive(Debug, Clone, Copy, Default)]
struct OutcomeCursor {
    /// Bytes of the runs that are written.
    bytes: usize,
    /// Items of the runs that are written.
    items: u64,
    /// Written items of the current run.
    within: u32,
    /// Entries written.
    written: u64,
}

impl ReplyWriter {
    pub fn new(launched: LaunchResult, format: Format) -> Self {
        Self { launched, format, next: NextPart::Begin, is_waiting: false }
    }

    /// Releases the memory until the runtime reads the next piece. If the caller has disconnected, the runtime never reads that
    /// piece, and does not report the disconnection.
    pub fn wait(&mut self) {
        if let Some(memory) = &mut self.launched.memory {
            memory.shrink(memory.bytes());
        }
        self.is_waiting = true;
    }

    /// Returns the next piece of the body; `None` at the end.
    pub fn piece(&mut self) -> Option<Vec<u8>> {
        if std::mem::take(&mut self.is_waiting) {
            let bytes = self.launched.bytes();
            // The memory is in use in any case, so a failed reservation does not stop the reply.
            let _ = self.launched.memory.as_mut().map(|memory| memory.grow(bytes));
        }
        let mut piece = String::new();
        while piece.len() < PIECE && !matches!(self.next, NextPart::Nothing) {
            self.next = match self.next {
                NextPart::Begin => self.begin(&mut piece),
                NextPart::Results(from) => self.results(&mut piece, from),
                NextPart::List(list, cursor) => self.list(&mut piece, list, cursor),
                NextPart::End => {
                    piece.push_str(if self.format == Format::Json { "}" } else { "</xml>" });
                    NextPart::Nothing
                }
                NextPart::Nothing => NextPart::Nothing,
            };
        }
        (!piece.is_empty()).then(|| piece.into_bytes())
    }

    fn begin(&self, piece: &mut String) -> NextPart {
        let recipients = self.launched.recipients().len() / PROFILE_ID;
        piece.reserve(PIECE.min(256 + recipients.saturating_mul(64)));
        piece.push_str(match self.format {
            Format::Json => "{\"error\":0,\"error_text\":\"Successful operation\",\"result\":[",
            Format::Xml => "<xml><error>0</error><error_text>Successful operation</error_text>",
        });
        NextPart::Results(0)
    }

    fn results(&self, piece: &mut String, from: usize) -> NextPart {
        let (ids, _) = self.launched.recipients().as_chunks::<PROFILE_ID>();
        let (before, after) = match self.format {
            Format::Json => ("{\"profile_id\":\"", "\"}"),
            Format::Xml => ("<result><profile_id>", "</profile_id></result>"),
        };
        for (next, id) in (0..).zip(ids).skip(from) {
            if piece.len() >= PIECE {
                return NextPart::Results(next);
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
        if !self.launched.has_report {
            return NextPart::End;
        }
        self.begin_report(piece);
        NextPart::List(ReportList::FIRST, OutcomeCursor::default())
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

    fn list(&self, piece: &mut String, list: ReportList, mut cursor: OutcomeCursor) -> NextPart {
        let json = self.format == Format::Json;
        if json && cursor.bytes == 0 && cursor.within == 0 {
            let _ = write!(piece, ",\"{}\":[", list.name());
        }
        let outcomes = self.launched.outcomes();
        let mut runs = OutcomeRuns::new(outcomes.get(cursor.bytes..).unwrap_or_default());
        while let Some(Ok((outcome, length))) = runs.next() {
            if list.contains(outcome) {
                for item in cursor.within..length {
                    if piece.len() >= PIECE {
                        return NextPart::List(list, OutcomeCursor { within: item, ..cursor });
                    }
                    let index = cursor.items + u64::from(item);
                    self.entry(piece, list, index, outcome, cursor.written > 0);
                    cursor.written += 1;
                }
            }
            cursor = OutcomeCursor {
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
            return NextPart::List(next, OutcomeCursor::default());
        }
        piece.push_str(if json { "}" } else { "</report>" });
        NextPart::End
    }

    fn entry(&self, piece: &mut String, list: ReportList, index: u64, outcome: Outcome, follows: bool) {
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

/// Writes the body of a refusal.
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
