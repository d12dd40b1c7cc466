//! The commit message: a launch that the Worker sends to the campaign's object.
//!
//! ```text
//! magic "TLC1" │ seven lengths, u32 │ head │ content │ custom_data │ recipients │ outcomes │ index │ texts │ digest
//! ```
//!
//! All numbers are little-endian. The digest is SipHash-1-3-128 of everything before it. The runtime reports a stream that was cut
//! off as one that has ended, so the lengths, the counts and the digest are checked before any part of a message is used. The
//! digest detects accidents. It is not a signature: the object trusts everyone who can reach it.
//!
//! If a caller repeats a request, the object returns the stored launch in the same format ([`RepeatedLaunch`]). The log stores the
//! first part of the message (lengths and head) unchanged. A change of the format needs a new magic and a migration.

use std::hash::Hasher;

use siphasher::sip128::{Hasher128, SipHasher13};

use super::{
    head::LaunchHead,
    items::ItemData,
    layout::{DIGEST, MessageLayout, MessageSection, PREFIX, PROFILE_ID},
    packed,
};
use crate::{json, limits};

/// A launch to be committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commit<'a> {
    pub head: LaunchHead,
    /// JSON text.
    pub content: Option<&'a str>,
    /// `custom_data` of the root, as JSON text.
    pub custom_data: Option<&'a str>,
    /// Profile IDs of [`PROFILE_ID`] bytes each, in the order of `result`.
    pub recipients: &'a [u8],
    /// Encoded by [`packed::OutcomePacker`].
    pub outcomes: &'a [u8],
    /// Encoded by [`super::items::ItemDataBuilder`].
    pub item_data: ItemData<'a>,
}

/// A commit message is incomplete, inconsistent or too large.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MessageError {
    #[error("the magic or a length is invalid")]
    Layout,
    #[error("the number of bytes differs from the lengths")]
    Length,
    #[error("the digest does not match")]
    Digest,
    #[error("the head is invalid")]
    Head,
    #[error("a text is not UTF-8")]
    Text,
    #[error("the number of recipients differs from the counts")]
    Recipients,
    #[error("the outcomes are invalid or differ from the counts")]
    Outcomes,
    #[error("the items' data is inconsistent")]
    ItemData,
    #[error("a part exceeds its limit")]
    TooLarge,
}

impl<'a> Commit<'a> {
    /// Encodes the message with one allocation and one copy of each section.
    pub fn encode(&self) -> Result<Vec<u8>, MessageError> {
        self.check()?;
        let head = serde_json::to_vec(&self.head).map_err(|_| MessageError::Head)?;
        let sections: [&[u8]; 6] = [
            self.content.unwrap_or_default().as_bytes(),
            self.custom_data.unwrap_or_default().as_bytes(),
            self.recipients,
            self.outcomes,
            self.item_data.index,
            self.item_data.texts.as_bytes(),
        ];
        let layout = MessageLayout::of(head.len(), sections.map(<[u8]>::len)).ok_or(MessageError::TooLarge)?;
        let mut message = Vec::with_capacity(usize::try_from(layout.message()).unwrap_or_default());
        message.extend_from_slice(&layout.to_bytes());
        message.extend_from_slice(&head);
        for section in sections {
            message.extend_from_slice(section);
        }
        let mut digest = MessageDigest::default();
        digest.update(&message);
        message.extend_from_slice(&digest.finish());
        Ok(message)
    }

    /// Checks and decodes a message.
    pub fn decode(message: &'a [u8]) -> Result<Self, MessageError> {
        let layout = MessageLayout::read(message).ok_or(MessageError::Layout)?;
        if u64::try_from(message.len()) != Ok(layout.message()) {
            return Err(MessageError::Length);
        }
        let (before_digest, expected) = message.split_last_chunk::<DIGEST>().ok_or(MessageError::Length)?;
        let mut digest = MessageDigest::default();
        digest.update(before_digest);
        if digest.finish() != *expected {
            return Err(MessageError::Digest);
        }
        let mut rest = before_digest.get(PREFIX..).unwrap_or_default();
        let mut take = |length: u64| {
            let (section, after) = rest.split_at_checked(usize::try_from(length).ok()?)?;
            rest = after;
            Some(section)
        };
        let head = take(layout.head()).and_then(|head| json::from_slice(head).ok()).ok_or(MessageError::Head)?;
        let mut section = |section: MessageSection| take(layout.section(section)).ok_or(MessageError::Length);
        let commit = Self {
            head,
            content: text(section(MessageSection::Content)?)?,
            custom_data: text(section(MessageSection::CustomData)?)?,
            recipients: section(MessageSection::Recipients)?,
            outcomes: section(MessageSection::Outcomes)?,
            item_data: ItemData {
                index: section(MessageSection::ItemIndex)?,
                texts: text(section(MessageSection::ItemTexts)?)?.unwrap_or_default(),
            },
        };
        commit.check().map(|()| commit)
    }

    fn check(&self) -> Result<(), MessageError> {
        let counts = self.head.counts;
        let recipients = self.recipients.as_chunks::<PROFILE_ID>();
        if !recipients.1.is_empty() || u64::try_from(recipients.0.len()) != Ok(counts.matched) {
            return Err(MessageError::Recipients);
        }
        if packed::counts(self.outcomes) != Ok(counts) || counts.items() > limits::ITEMS_LIMIT_MAX {
            return Err(MessageError::Outcomes);
        }
        // The message of a repeated launch has no items' data, which is valid for every number of recipients.
        if !u32::try_from(counts.matched).is_ok_and(|matched| self.item_data.is_valid(matched)) {
            return Err(MessageError::ItemData);
        }
        if self.head.is_valid() { Ok(()) } else { Err(MessageError::Head) }
    }
}

/// Decodes a section that is text. An empty section is an absent text.
fn text(bytes: &[u8]) -> Result<Option<&str>, MessageError> {
    let text = std::str::from_utf8(bytes).map_err(|_| MessageError::Text)?;
    Ok((!text.is_empty()).then_some(text))
}

/// Computes the digest at the end of a message from chunks of the message.
#[derive(Debug, Default)]
pub struct MessageDigest(SipHasher13);

impl MessageDigest {
    pub fn update(&mut self, chunk: &[u8]) {
        self.0.write(chunk);
    }

    pub fn finish(&self) -> [u8; DIGEST] {
        self.0.finish128().as_bytes()
    }
}

/// A stored launch that is returned to a caller who repeats its request: head, recipients and outcomes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RepeatedLaunch {
    message: Vec<u8>,
    head: LaunchHead,
    layout: MessageLayout,
}

impl RepeatedLaunch {
    /// Checks and decodes the message from the object.
    pub fn decode(message: Vec<u8>) -> Result<Self, MessageError> {
        let head = Commit::decode(&message)?.head;
        let layout = MessageLayout::read(&message).ok_or(MessageError::Layout)?;
        Ok(Self { message, head, layout })
    }

    /// Bytes of memory that the launch occupies.
    pub fn bytes(&self) -> usize {
        self.message.capacity()
    }

    pub fn head(&self) -> &LaunchHead {
        &self.head
    }

    /// Profile IDs, in the order of `result`.
    pub fn recipients(&self) -> &[u8] {
        self.section(MessageSection::Recipients)
    }

    /// The packed outcomes, for a report.
    pub fn outcomes(&self) -> &[u8] {
        self.section(MessageSection::Outcomes)
    }

    fn section(&self, section: MessageSection) -> &[u8] {
        let offset = PREFIX as u64 + self.layout.head();
        let range = self.layout.range(section);
        let start = usize::try_from(offset + range.start).unwrap_or(usize::MAX);
        let end = usize::try_from(offset + range.end).unwrap_or(usize::MAX);
        self.message.get(start..end).unwrap_or_default()
    }
}
