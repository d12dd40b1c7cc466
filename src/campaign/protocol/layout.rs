//! The prefix of a commit message: the length of each section, and the limits of the lengths.

use std::ops::Range;

use super::items;
use crate::limits;

/// Bytes of a profile ID.
pub const PROFILE_ID: usize = 12;
/// Bytes before the head: the magic and seven lengths.
pub const PREFIX: usize = 4 + 4 * 7;
/// Bytes of the digest at the end.
pub const DIGEST: usize = 16;
/// Longest message in bytes. It follows from the limits of the sections.
pub const MESSAGE_LIMIT: u64 = (PREFIX + limits::LAUNCH_HEAD_LIMIT + DIGEST) as u64
    + limits::LAUNCH_TEXTS_LIMIT
    + limits::ITEMS_LIMIT_MAX * (PROFILE_ID + 1 + items::INDEX_ENTRY) as u64;

const MAGIC: [u8; 4] = *b"TLC1";

// The largest head fits its limit: a character of a name needs up to six bytes of JSON, a part of an upload up to 300.
const _: () = {
    let parts = limits::FILES_LIMIT_MAX / limits::PART as u64 + limits::ATTACHMENTS_LIMIT as u64;
    let attachment =
        6 * limits::ATTACHMENT_NAME_LIMIT + 2 * limits::DATA_URI_PREFIX_LIMIT + limits::UPLOAD_ID_LIMIT + 256;
    let scalars = 6 * (limits::LAUNCH_TOKEN_NAME_LIMIT + limits::REQUEST_ID_LIMIT) + 2 * limits::SCALAR_LIMIT + 1024;
    let head = (limits::ATTACHMENTS_LIMIT * attachment + scalars) as u64 + parts * 300;
    assert!(head <= limits::LAUNCH_HEAD_LIMIT as u64);
    assert!(MESSAGE_LIMIT < 100 * limits::MIB, "a message has to fit into the object's isolate");
};

/// A section of a commit message. The numbers are positions in the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MessageSection {
    Content = 0,
    CustomData = 1,
    Recipients = 2,
    Outcomes = 3,
    ItemIndex = 4,
    ItemTexts = 5,
}

/// The lengths of the head and the sections. Also the first bytes of a stored launch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MessageLayout {
    head: u32,
    sections: [u32; 6],
}

impl MessageLayout {
    /// Reads the first [`PREFIX`] bytes of a message. Returns `None` if the magic is another or a length exceeds its limit.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let (magic, lengths) = bytes.get(..PREFIX)?.split_at_checked(MAGIC.len())?;
        let mut numbers = lengths.as_chunks::<4>().0.iter().map(|bytes| u32::from_le_bytes(*bytes));
        let head = numbers.next()?;
        let mut sections = [0; 6];
        for (section, length) in sections.iter_mut().zip(numbers) {
            *section = length;
        }
        let layout = Self { head, sections };
        (magic == MAGIC && layout.is_within_limits()).then_some(layout)
    }

    /// Returns the layout for these lengths, or `None` if one exceeds its limit.
    pub fn of(head: usize, sections: [usize; 6]) -> Option<Self> {
        let mut lengths = [0; 6];
        for (length, section) in lengths.iter_mut().zip(sections) {
            *length = u32::try_from(section).ok()?;
        }
        let layout = Self { head: u32::try_from(head).ok()?, sections: lengths };
        layout.is_within_limits().then_some(layout)
    }

    fn is_within_limits(&self) -> bool {
        let [content, custom_data, recipients, outcomes, index, texts] = self.sections.map(u64::from);
        let items = limits::ITEMS_LIMIT_MAX;
        u64::from(self.head) <= limits::LAUNCH_HEAD_LIMIT as u64
            && content + custom_data + texts <= limits::LAUNCH_TEXTS_LIMIT
            && recipients <= items * PROFILE_ID as u64
            && outcomes <= items
            && index <= items * items::INDEX_ENTRY as u64
    }

    /// The magic and the lengths, as they are written.
    pub fn to_bytes(self) -> [u8; PREFIX] {
        let mut bytes = [0; PREFIX];
        let numbers = std::iter::once(self.head).chain(self.sections);
        let words = std::iter::once(MAGIC).chain(numbers.map(u32::to_le_bytes));
        for (to, word) in bytes.as_chunks_mut::<4>().0.iter_mut().zip(words) {
            *to = word;
        }
        bytes
    }

    /// Bytes of the head.
    pub fn head(&self) -> u64 {
        u64::from(self.head)
    }

    /// Bytes of all sections together.
    pub fn payload(&self) -> u64 {
        self.sections.into_iter().map(u64::from).sum()
    }

    /// Bytes of the whole message.
    pub fn message(&self) -> u64 {
        self.head() + self.payload() + (PREFIX + DIGEST) as u64
    }

    /// Bytes of a section.
    pub fn section(&self, section: MessageSection) -> u64 {
        self.sections.get(section as usize).copied().map(u64::from).unwrap_or_default()
    }

    /// The range of a section, counted from the start of the first section.
    pub fn range(&self, section: MessageSection) -> Range<u64> {
        let lengths = || self.sections.into_iter().map(u64::from);
        let start = lengths().take(section as usize).sum();
        start..lengths().take(section as usize + 1).sum()
    }

    /// The layout of the message for a caller who repeats a request: head, recipients and outcomes.
    pub fn repeated(&self) -> Self {
        let [_, _, recipients, outcomes, _, _] = self.sections;
        Self { head: self.head, sections: [0, 0, recipients, outcomes, 0, 0] }
    }
}
