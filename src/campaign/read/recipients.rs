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
    limits::{ITEM_DATA_PIECE, ITEM_ENTRIES_READ_AT_ONCE, RECIPIENTS_PIECE},
    storage::sql::{Sql, StorageError},
    text::push_hex,
};

const ID: u64 = PROFILE_ID as u64;
const ENTRY: u64 = items::INDEX_ENTRY as u64;

/// A place in the list of recipients.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RecipientPosition {
    /// The next recipient, counted from 0.
    pub recipient: u64,
    /// The first entry of the items' data that belongs to this recipient or a later one.
    pub entry: u64,
    /// Where the text of that entry begins.
    pub text: u64,
}

/// Recipients of a launch.
#[derive(Debug)]
pub struct RecipientsReply {
    launch: StoredLaunch,
    next: RecipientPosition,
    end: u64,
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
        let next = find_position(log, &launch, next)?;
        Ok(Self { launch, next, end, is_ndjson: false, progress: ListProgress::NotStarted })
    }

    /// All recipients, one JSON object a line.
    pub fn ndjson(launch: StoredLaunch) -> Self {
        let end = launch.head.counts.matched;
        Self { launch, next: RecipientPosition::default(), end, is_ndjson: true, progress: ListProgress::NotStarted }
    }

    /// Writes the recipients from `start` up to `end` as JSON objects, with commas between them.
    pub fn write_list<S: Sql>(
        log: &LaunchLog<S>,
        launch: StoredLaunch,
        start: RecipientPosition,
        end: u64,
        json: &mut String,
    ) -> Result<(), StorageError> {
        let mut list = Self { launch, next: start, end, is_ndjson: false, progress: ListProgress::NotStarted };
        let mut follows_another = false;
        while list.next.recipient < end {
            list.write_recipients(log, follows_another, json)?;
            follows_another = true;
        }
        Ok(())
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
        if self.next.recipient < self.end {
            self.write_recipients(log, follows_another, &mut piece)?;
        }
        if self.next.recipient >= self.end {
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
        let until = self.end.min(self.next.recipient.saturating_add(RECIPIENTS_PIECE));
        let (until, data) = self.read_data(log, until)?;
        let ids = log.section(&self.launch, MessageSection::Recipients, self.next.recipient * ID..until * ID)?;
        let mut entries = data.entries.iter().peekable();
        let mut start = 0;
        for (index, id) in (self.next.recipient..until).zip(ids.as_chunks::<PROFILE_ID>().0) {
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
        self.next.recipient = until;
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
        let start = self.next.text;
        let to = self.next.entry.saturating_add(until.saturating_sub(self.next.recipient));
        let index = log.section(&self.launch, MessageSection::ItemIndex, self.next.entry * ENTRY..to * ENTRY)?;
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
            self.next.entry = self.next.entry.saturating_add(1);
            self.next.text = end;
        }
        let texts = log.section(&self.launch, MessageSection::ItemTexts, start..self.next.text)?;
        Ok((until, PieceData { entries, texts: String::from_utf8(texts).map_err(StorageError::damaged)? }))
    }
}

/// Finds a recipient's position by binary search.
fn find_position<S: Sql>(
    log: &LaunchLog<S>,
    launch: &StoredLaunch,
    recipient: u64,
) -> Result<RecipientPosition, StorageError> {
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
    Ok(RecipientPosition { recipient, entry: low, text })
}

/// Returns a function that reads an entry of the items' data: its recipient, and the end of its text; `None` after the last one.
/// Entries are read in blocks.
pub fn item_entries<S: Sql>(
    log: &LaunchLog<S>,
    launch: &StoredLaunch,
) -> impl FnMut(u64) -> Result<Option<(u64, u64)>, StorageError> {
    let (mut first, mut block) = (0, Vec::new());
    move |number| {
        let position = |first: u64| usize::try_from(number.checked_sub(first)?).ok();
        let entry = |first, block: &[u8]| items::entries(block).nth(position(first)?);
        let mut found = entry(first, &block);
        if found.is_none() {
            first = number;
            let range = number * ENTRY..number.saturating_add(ITEM_ENTRIES_READ_AT_ONCE) * ENTRY;
            block = log.section(launch, MessageSection::ItemIndex, range)?;
            found = entry(first, &block);
        }
        Ok(found.map(|(recipient, end)| (recipient.into(), end.into())))
    }
}
