//! The recipients of a launch: a page, or all of them as NDJSON.

use std::fmt::Write;

use super::json::{ListProgress, number_or_null};
use crate::{
    campaign::{
        log::{state::LaunchLog, stored::StoredLaunch},
        protocol::{
            commands::PageRequest,
            items,
            layout::{MessageSection, PROFILE_ID},
        },
    },
    limits::{ITEM_DATA_PIECE, RECIPIENTS_PIECE},
    storage::sql::{Sql, StorageError},
    text::push_hex,
};

const ID: u64 = PROFILE_ID as u64;
const ENTRY: u64 = items::INDEX_ENTRY as u64;

/// Recipients of a launch.
#[derive(Debug)]
pub struct RecipientsReply {
    launch: StoredLaunch,
    /// The next recipient to write.
    next: u64,
    end: u64,
    /// The next entry of the items' data, and the start of its text.
    entry: u64,
    text: u64,
    is_ndjson: bool,
    progress: ListProgress,
}

/// The items' data of one piece: recipients with the end of their text in `texts`.
struct PieceData {
    entries: Vec<(u64, usize)>,
    texts: String,
}

impl RecipientsReply {
    /// A page of recipients as one JSON object.
    pub fn page<S: Sql>(log: &LaunchLog<S>, launch: StoredLaunch, page: PageRequest) -> Result<Self, StorageError> {
        let count = launch.head.counts.matched;
        let next = page.after.map_or(0, |after| after.saturating_add(1)).min(count);
        let end = next.saturating_add(page.limit).min(count);
        let (entry, text) = find_entry(log, &launch, next)?;
        Ok(Self { launch, next, end, entry, text, is_ndjson: false, progress: ListProgress::NotStarted })
    }

    /// All recipients, one JSON object a line.
    pub fn ndjson(launch: StoredLaunch) -> Self {
        let end = launch.head.counts.matched;
        Self { launch, next: 0, end, entry: 0, text: 0, is_ndjson: true, progress: ListProgress::NotStarted }
    }

    pub(super) fn is_ndjson(&self) -> bool {
        self.is_ndjson
    }

    pub(super) fn next_piece<S: Sql>(&mut self, log: &LaunchLog<S>) -> Result<Option<Vec<u8>>, StorageError> {
        let mut piece = String::new();
        match self.progress {
            ListProgress::Done => return Ok(None),
            ListProgress::NotStarted if !self.is_ndjson => piece.push_str("{\"recipients\":["),
            _ => {}
        }
        let follows_another = self.progress == ListProgress::Started;
        self.progress = ListProgress::Started;
        if self.next < self.end {
            self.write_recipients(log, follows_another, &mut piece)?;
        }
        if self.next >= self.end {
            self.progress = ListProgress::Done;
            if !self.is_ndjson {
                let has_more = self.end < self.launch.head.counts.matched;
                let next = has_more.then(|| self.end.saturating_sub(1));
                let _ = write!(piece, "],\"next\":{}}}", number_or_null(next));
            }
        }
        Ok(Some(piece.into_bytes()))
    }

    fn write_recipients<S: Sql>(
        &mut self,
        log: &LaunchLog<S>,
        mut follows_another: bool,
        piece: &mut String,
    ) -> Result<(), StorageError> {
        let until = self.end.min(self.next.saturating_add(RECIPIENTS_PIECE));
        let (until, data) = self.read_data(log, until)?;
        let ids = log.section(&self.launch, MessageSection::Recipients, self.next * ID..until * ID)?;
        let mut entries = data.entries.iter().peekable();
        let mut start = 0;
        for (index, id) in (self.next..until).zip(ids.as_chunks::<PROFILE_ID>().0) {
            if !self.is_ndjson && std::mem::replace(&mut follows_another, true) {
                piece.push(',');
            }
            let _ = write!(piece, "{{\"index\":{index},\"profile_id\":\"");
            push_hex(id, piece);
            piece.push('"');
            if let Some((_, end)) = entries.next_if(|(recipient, _)| *recipient == index) {
                let text = data.texts.get(start..*end);
                piece.push_str(",\"custom_data\":");
                self.write_json(text.ok_or_else(|| StorageError::damaged("items' data"))?, piece);
                start = *end;
            }
            piece.push('}');
            if self.is_ndjson {
                piece.push('\n');
            }
        }
        self.next = until;
        Ok(())
    }

    /// Writes a text as it was stored. In NDJSON, spaces replace its line breaks. Line breaks in JSON are always between
    /// tokens, so the value stays the same.
    fn write_json(&self, text: &str, piece: &mut String) {
        if !self.is_ndjson || memchr::memchr2(b'\n', b'\r', text.as_bytes()).is_none() {
            piece.push_str(text);
        } else {
            piece.extend(text.chars().map(|character| if matches!(character, '\n' | '\r') { ' ' } else { character }));
        }
    }

    /// Reads the items' data of the recipients before `until`. Returns a smaller `until` if the texts would be too large; one
    /// text is always read.
    fn read_data<S: Sql>(&mut self, log: &LaunchLog<S>, mut until: u64) -> Result<(u64, PieceData), StorageError> {
        let mut entries = Vec::new();
        let start = self.text;
        let to = self.entry.saturating_add(until.saturating_sub(self.next));
        let index = log.section(&self.launch, MessageSection::ItemIndex, self.entry * ENTRY..to * ENTRY)?;
        for (recipient, end) in items::entries(&index) {
            let (recipient, end) = (u64::from(recipient), u64::from(end));
            if recipient >= until {
                break;
            }
            let length = end.saturating_sub(start);
            if length > ITEM_DATA_PIECE && !entries.is_empty() {
                until = recipient;
                break;
            }
            entries.push((recipient, usize::try_from(length).unwrap_or(usize::MAX)));
            self.entry = self.entry.saturating_add(1);
            self.text = end;
        }
        let texts = log.section(&self.launch, MessageSection::ItemTexts, start..self.text)?;
        Ok((until, PieceData { entries, texts: String::from_utf8(texts).map_err(StorageError::damaged)? }))
    }
}

/// Finds the first entry of the items' data whose recipient is not before `recipient`, by binary search. Returns its number and
/// the start of its text.
fn find_entry<S: Sql>(log: &LaunchLog<S>, launch: &StoredLaunch, recipient: u64) -> Result<(u64, u64), StorageError> {
    let entry = |number: u64| -> Result<(u64, u64), StorageError> {
        let bytes = log.section(launch, MessageSection::ItemIndex, number * ENTRY..(number + 1) * ENTRY)?;
        let entry = items::entries(&bytes).next().ok_or_else(|| StorageError::damaged("items' data"))?;
        Ok((entry.0.into(), entry.1.into()))
    };
    let (mut low, mut high) = (0, launch.layout.section(MessageSection::ItemIndex) / ENTRY);
    while low < high {
        let middle = low.midpoint(high);
        if entry(middle)?.0 < recipient { low = middle + 1 } else { high = middle }
    }
    let text = if low == 0 { 0 } else { entry(low - 1)?.1 };
    Ok((low, text))
}
