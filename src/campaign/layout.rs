//! Where everything is in a message, and how long it may be.

use std::ops::Range;

use super::items;
use crate::limits;

/// Bytes of a profile id.
pub const PROFILE_ID: usize = 12;
/// Bytes in front of the head: the magic and the lengths.
pub const PREFIX: usize = 4 + 4 * 7;
/// Bytes of the digest at the end.
pub const DIGEST: usize = 16;
/// Longest head, in bytes. It stands in one row, together with at most [`super::schema::INLINE`] bytes of sections.
pub const HEAD_LIMIT: usize = limits::CHUNK + limits::CHUNK / 4;
/// Longest name of a token, in bytes.
pub const TOKEN_NAME_LIMIT: usize = 255;
/// Longest upload id and etag that the bucket may hand out, in bytes.
const STAMP_LIMIT: usize = 1024;
/// `content`, `custom_data` and the items' own data come from one body. As JSON they are at most twice as long as
/// they were in XML: the worst are `<a/>`, which becomes `"a":"",`, and characters that need an escape.
const TEXTS_LIMIT: u64 = 2 * limits::BODY_LIMIT_MAX;
/// Longest message, in bytes.
pub const MESSAGE_LIMIT: u64 = (PREFIX + HEAD_LIMIT + DIGEST) as u64
    + TEXTS_LIMIT
    + limits::ITEMS_LIMIT_MAX * (PROFILE_ID + 1 + items::ENTRY) as u64;

const MAGIC: [u8; 4] = *b"TLC1";

const _: () = {
    // Names may need six bytes of JSON for one of their own; a part of an upload has at least 5 MiB but the last.
    let parts = limits::FILES_LIMIT_MAX / (5 << 20) + limits::ATTACHMENTS_LIMIT as u64;
    let attachment = 6 * limits::ATTACHMENT_NAME_LIMIT + 2 * limits::DATA_URI_PREFIX_LIMIT + STAMP_LIMIT + 256;
    let scalars = 6 * (TOKEN_NAME_LIMIT + limits::REQUEST_ID_LIMIT) + 2 * limits::SCALAR_LIMIT + 1024;
    assert!((limits::ATTACHMENTS_LIMIT * attachment + scalars) as u64 + parts * 300 <= HEAD_LIMIT as u64);
    assert!(MESSAGE_LIMIT < 100 * limits::MIB, "a message has to fit the isolate that reads it");
};

/// A part of a launch that is stored as bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are the fields' of [`Commit`]")]
pub enum Section {
    Content = 0,
    CustomData = 1,
    Recipients = 2,
    Outcomes = 3,
    ItemIndex = 4,
    ItemTexts = 5,
}

/// Where everything is: the first bytes of a message, and of a stored launch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layout {
    head: u32,
    sections: [u32; 6],
}

impl Layout {
    /// Reads the first [`PREFIX`] bytes; `None` if they are not those of a message that is within the limits.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let (magic, lengths) = bytes.get(..PREFIX)?.split_at_checked(MAGIC.len())?;
        let mut numbers = lengths.as_chunks::<4>().0.iter().map(|bytes| u32::from_le_bytes(*bytes));
        let head = numbers.next()?;
        let mut sections = [0; 6];
        for (section, length) in sections.iter_mut().zip(numbers) {
            *section = length;
        }
        let layout = Self { head, sections };
        (magic == MAGIC && layout.is_bounded()).then_some(layout)
    }

    /// The layout of a head and sections of those lengths, if they are within the limits.
    pub fn of(head: usize, sections: [usize; 6]) -> Option<Self> {
        let mut lengths = [0; 6];
        for (length, section) in lengths.iter_mut().zip(sections) {
            *length = u32::try_from(section).ok()?;
        }
        let layout = Self { head: u32::try_from(head).ok()?, sections: lengths };
        layout.is_bounded().then_some(layout)
    }

    fn is_bounded(&self) -> bool {
        let [content, custom_data, recipients, outcomes, index, texts] = self.sections.map(u64::from);
        let items = limits::ITEMS_LIMIT_MAX;
        u64::from(self.head) <= HEAD_LIMIT as u64
            && content + custom_data + texts <= TEXTS_LIMIT
            && recipients <= items * PROFILE_ID as u64
            && outcomes <= items
            && index <= items * items::ENTRY as u64
    }

    /// The lengths as they are written.
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

    /// Bytes of a whole message.
    pub fn message(&self) -> u64 {
        self.head() + self.payload() + (PREFIX + DIGEST) as u64
    }

    /// Bytes of a section.
    pub fn section(&self, section: Section) -> u64 {
        self.sections.get(section as usize).copied().map(u64::from).unwrap_or_default()
    }

    /// Where in the sections, taken together, that one is.
    pub fn range(&self, section: Section) -> Range<u64> {
        let lengths = || self.sections.into_iter().map(u64::from);
        let start = lengths().take(section as usize).sum();
        start..lengths().take(section as usize + 1).sum()
    }

    /// Of the sections, those alone that a repeated request is answered from.
    pub fn repeated(&self) -> Self {
        let [_, _, recipients, outcomes, _, _] = self.sections;
        Self { head: self.head, sections: [0, 0, recipients, outcomes, 0, 0] }
    }
}
