//! The recipients of a launch, page by page or all of them, a few thousand at a time.

use std::fmt::Write;

use super::{
    commands::Page,
    items,
    layout::{PROFILE_ID, Section},
    log::Log,
    reading::or_null,
    sql::{Broken, Sql},
    stored::Stored,
};

/// Recipients of one step: 60 bytes of text each.
const BATCH: u64 = 2048;
/// A step ends before the items' data in it grows beyond this, in bytes (but has at least one recipient).
const BATCH_TEXTS: u64 = 256 * 1024;
const ID: u64 = PROFILE_ID as u64;
const ENTRY: u64 = items::ENTRY as u64;

/// Recipients on their way.
#[derive(Debug)]
pub struct Recipients {
    stored: Stored,
    next: u64,
    end: u64,
    /// Of the items' data: the next entry, and where its text starts.
    entry: u64,
    text: u64,
    form: Form,
    state: Progress,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Page,
    Lines,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Progress {
    Begin,
    Middle,
    Done,
}

/// Items' data of one step: who has some, where each text ends in `texts`.
struct Data {
    entries: Vec<(u64, usize)>,
    texts: String,
}

impl Recipients {
    /// A page.
    pub(super) fn page<S: Sql>(log: &Log<S>, stored: Stored, page: Page) -> Result<Self, Broken> {
        let count = stored.head.counts.matched;
        let next = page.after.map_or(0, |after| after.saturating_add(1)).min(count);
        let end = next.saturating_add(page.limit).min(count);
        let (entry, text) = position(log, &stored, next)?;
        Ok(Self { stored, next, end, entry, text, form: Form::Page, state: Progress::Begin })
    }

    /// All of them, one a line.
    pub(super) fn lines(stored: Stored) -> Self {
        let end = stored.head.counts.matched;
        Self { stored, next: 0, end, entry: 0, text: 0, form: Form::Lines, state: Progress::Begin }
    }

    pub(super) fn is_lines(&self) -> bool {
        self.form == Form::Lines
    }

    pub(super) fn step<S: Sql>(&mut self, log: &Log<S>) -> Result<Option<Vec<u8>>, Broken> {
        let mut piece = String::new();
        match self.state {
            Progress::Done => return Ok(None),
            Progress::Begin if self.form == Form::Page => piece.push_str("{\"recipients\":["),
            _ => {}
        }
        let separator = self.state == Progress::Middle && self.form == Form::Page;
        self.state = Progress::Middle;
        if self.next < self.end {
            self.batch(log, separator, &mut piece)?;
        }
        if self.next >= self.end {
            self.state = Progress::Done;
            let more = self.end < self.stored.head.counts.matched;
            if self.form == Form::Page {
                let next = more.then(|| self.end.saturating_sub(1));
                let _ = write!(piece, "],\"next\":{}}}", or_null(next));
            }
        }
        Ok(Some(piece.into_bytes()))
    }

    fn batch<S: Sql>(&mut self, log: &Log<S>, mut separator: bool, piece: &mut String) -> Result<(), Broken> {
        let until = self.end.min(self.next.saturating_add(BATCH));
        let (until, data) = self.data(log, until)?;
        let ids = log.section(&self.stored, Section::Recipients, self.next * ID..until * ID)?;
        let mut entries = data.entries.iter().peekable();
        let mut start = 0;
        for (index, id) in (self.next..until).zip(ids.as_chunks::<PROFILE_ID>().0) {
            if self.form == Form::Page && std::mem::replace(&mut separator, true) {
                piece.push(',');
            }
            let _ = write!(piece, "{{\"index\":{index},\"profile_id\":\"");
            crate::text::push_hex(id, piece);
            piece.push('"');
            if let Some((_, end)) = entries.next_if(|(recipient, _)| *recipient == index) {
                let text = data.texts.get(start..*end).ok_or_else(|| Broken::new("items' data is out of order"))?;
                piece.push_str(",\"custom_data\":");
                self.push_json(text, piece);
                start = *end;
            }
            piece.push('}');
            if self.form == Form::Lines {
                piece.push('\n');
            }
        }
        self.next = until;
        Ok(())
    }

    /// The text as it was stored; but a line of NDJSON has to be one. In JSON a line break stands between tokens
    /// only, never inside a string, so that a space in its place changes nothing.
    fn push_json(&self, text: &str, piece: &mut String) {
        if self.form == Form::Page || memchr::memchr2(b'\n', b'\r', text.as_bytes()).is_none() {
            piece.push_str(text);
        } else {
            piece.extend(text.chars().map(|character| if matches!(character, '\n' | '\r') { ' ' } else { character }));
        }
    }

    /// The items' data of the recipients before `until`, or before an earlier one where it is too much at once.
    fn data<S: Sql>(&mut self, log: &Log<S>, mut until: u64) -> Result<(u64, Data), Broken> {
        let mut entries = Vec::new();
        let start = self.text;
        let to = self.entry.saturating_add(until.saturating_sub(self.next));
        let index = log.section(&self.stored, Section::ItemIndex, self.entry * ENTRY..to * ENTRY)?;
        for (recipient, end) in items::entries(&index) {
            let (recipient, end) = (u64::from(recipient), u64::from(end));
            if recipient >= until {
                break;
            }
            let length = end.saturating_sub(start);
            if length > BATCH_TEXTS && !entries.is_empty() {
                until = recipient;
                break;
            }
            entries.push((recipient, usize::try_from(length).unwrap_or(usize::MAX)));
            self.entry = self.entry.saturating_add(1);
            self.text = end;
        }
        let texts = log.section(&self.stored, Section::ItemTexts, start..self.text)?;
        Ok((until, Data { entries, texts: String::from_utf8(texts).map_err(Broken::new)? }))
    }
}

/// The first entry of the items' data that is not before `recipient`, and where its text starts: by halving.
fn position<S: Sql>(log: &Log<S>, stored: &Stored, recipient: u64) -> Result<(u64, u64), Broken> {
    let entry = |number: u64| -> Result<(u64, u64), Broken> {
        let bytes = log.section(stored, Section::ItemIndex, number * ENTRY..(number + 1) * ENTRY)?;
        let entry = items::entries(&bytes).next().ok_or_else(|| Broken::new("items' data is cut off"))?;
        Ok((entry.0.into(), entry.1.into()))
    };
    let (mut low, mut high) = (0, stored.layout.section(Section::ItemIndex) / ENTRY);
    while low < high {
        let middle = low.midpoint(high);
        if entry(middle)?.0 < recipient { low = middle + 1 } else { high = middle }
    }
    let text = if low == 0 { 0 } else { entry(low - 1)?.1 };
    Ok((low, text))
}
