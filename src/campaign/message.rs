//! The commit message: a launch on its way from the Worker to the campaign's object.
//!
//! ```text
//! magic "TLC1" │ seven lengths, u32 │ head │ content │ custom_data │ recipients │ outcomes │ index │ texts │ digest
//! ```
//!
//! All numbers are little-endian; the digest is SipHash-1-3-128 of everything before it. A stream that was cut off
//! looks like one that ended, so nothing of a message is used before the lengths, the counts and the digest have
//! all been checked. The digest finds accidents; it is no signature: whoever can speak to an object is trusted.
//!
//! The same form carries a stored launch back to a caller who repeats a request ([`Repeated`]), and its first part
//! ([`Layout`] and head) stands as it is in the log. A change of it is a new magic and a migration.

use std::hash::Hasher;

use siphasher::sip128::{Hasher128, SipHasher13};

use super::{
    head::Head,
    items::ItemData,
    layout::{DIGEST, Layout, PREFIX, PROFILE_ID, Section},
    packed,
};
use crate::limits;

/// A launch to be committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commit<'a> {
    /// The small things.
    pub head: Head,
    /// `content` as JSON text.
    pub content: Option<&'a str>,
    /// `custom_data` of the root, as JSON text.
    pub custom_data: Option<&'a str>,
    /// Profile ids of [`PROFILE_ID`] bytes, in the order of `result`.
    pub recipients: &'a [u8],
    /// See [`packed::Packer`].
    pub outcomes: &'a [u8],
    /// See [`items::Collector`].
    pub item_data: ItemData<'a>,
}

/// A message is not whole, not sound, or over a limit. Says what: for the log, not for callers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BadMessage(pub &'static str);

impl<'a> Commit<'a> {
    /// The message. One allocation; each section is copied once.
    pub fn encode(&self) -> Result<Vec<u8>, BadMessage> {
        self.check()?;
        let head = serde_json::to_vec(&self.head).map_err(|_| BadMessage("head"))?;
        let sections: [&[u8]; 6] = [
            self.content.unwrap_or_default().as_bytes(),
            self.custom_data.unwrap_or_default().as_bytes(),
            self.recipients,
            self.outcomes,
            self.item_data.index,
            self.item_data.texts.as_bytes(),
        ];
        let layout = Layout::of(head.len(), sections.map(<[u8]>::len)).ok_or(BadMessage("over a limit"))?;
        let mut message = Vec::with_capacity(usize::try_from(layout.message()).unwrap_or_default());
        message.extend_from_slice(&layout.to_bytes());
        message.extend_from_slice(&head);
        for section in sections {
            message.extend_from_slice(section);
        }
        let digest = digest(&message);
        message.extend_from_slice(&digest);
        Ok(message)
    }

    /// Reads a message: all of it is checked before any of it is handed out.
    pub fn decode(message: &'a [u8]) -> Result<Self, BadMessage> {
        let layout = Layout::read(message).ok_or(BadMessage("lengths"))?;
        if u64::try_from(message.len()) != Ok(layout.message()) {
            return Err(BadMessage("cut off"));
        }
        let (signed, digest_of_sender) = message.split_last_chunk::<DIGEST>().ok_or(BadMessage("cut off"))?;
        if digest(signed) != *digest_of_sender {
            return Err(BadMessage("digest"));
        }
        let mut rest = signed.get(PREFIX..).unwrap_or_default();
        let mut take = |length: u64| {
            let (section, after) = rest.split_at_checked(usize::try_from(length).ok()?)?;
            rest = after;
            Some(section)
        };
        let head = take(layout.head()).and_then(|head| serde_json::from_slice(head).ok()).ok_or(BadMessage("head"))?;
        let mut section = |section: Section| {
            let length = layout.section(section);
            take(length).ok_or(BadMessage("cut off"))
        };
        let commit = Self {
            head,
            content: text(section(Section::Content)?)?,
            custom_data: text(section(Section::CustomData)?)?,
            recipients: section(Section::Recipients)?,
            outcomes: section(Section::Outcomes)?,
            item_data: ItemData {
                index: section(Section::ItemIndex)?,
                texts: text(section(Section::ItemTexts)?)?.unwrap_or_default(),
            },
        };
        commit.check().map(|()| commit)
    }

    fn check(&self) -> Result<(), BadMessage> {
        let counts = self.head.counts;
        let recipients = self.recipients.as_chunks::<PROFILE_ID>();
        if !recipients.1.is_empty() || u64::try_from(recipients.0.len()) != Ok(counts.matched) {
            return Err(BadMessage("recipients"));
        }
        if packed::counts(self.outcomes) != Ok(counts) || counts.items() > limits::ITEMS_LIMIT_MAX {
            return Err(BadMessage("outcomes"));
        }
        // A reply to a repeated request comes without the items' data: no data is sound.
        if !u32::try_from(counts.matched).is_ok_and(|matched| self.item_data.is_sound(matched)) {
            return Err(BadMessage("item data"));
        }
        if self.head.is_sound() { Ok(()) } else { Err(BadMessage("head")) }
    }
}

fn text(bytes: &[u8]) -> Result<Option<&str>, BadMessage> {
    let text = std::str::from_utf8(bytes).map_err(|_| BadMessage("not UTF-8"))?;
    Ok((!text.is_empty()).then_some(text))
}

fn digest(bytes: &[u8]) -> [u8; DIGEST] {
    let mut running = RunningDigest::default();
    running.update(bytes);
    running.finish()
}

/// The digest at the end of a message whose pieces come one after the other.
#[derive(Debug, Default)]
pub struct RunningDigest(SipHasher13);

impl RunningDigest {
    /// The next piece.
    pub fn update(&mut self, piece: &[u8]) {
        self.0.write(piece);
    }

    /// The digest of all pieces.
    pub fn finish(&self) -> [u8; DIGEST] {
        self.0.finish128().as_bytes()
    }
}

/// A stored launch that comes back to a caller who repeats its request: head, recipients and outcomes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repeated {
    message: Vec<u8>,
    head: Head,
    layout: Layout,
}

impl Repeated {
    /// Reads the message that the object answered with; checked as [`Commit::decode`] does.
    pub fn decode(message: Vec<u8>) -> Result<Self, BadMessage> {
        let head = Commit::decode(&message)?.head;
        let layout = Layout::read(&message).ok_or(BadMessage("lengths"))?;
        Ok(Self { message, head, layout })
    }

    /// Bytes that it holds.
    pub fn bytes(&self) -> usize {
        self.message.capacity()
    }

    /// What was launched: its id, counts, and the request that it answered (endpoint and digest of the body).
    pub fn head(&self) -> &Head {
        &self.head
    }

    /// Profile ids, in the order of `result`.
    pub fn recipients(&self) -> &[u8] {
        self.section(Section::Recipients)
    }

    /// Packed outcomes, for a report.
    pub fn outcomes(&self) -> &[u8] {
        self.section(Section::Outcomes)
    }

    fn section(&self, section: Section) -> &[u8] {
        let before = PREFIX as u64 + self.layout.head();
        let range = self.layout.range(section);
        let start = usize::try_from(before + range.start).unwrap_or(usize::MAX);
        let end = usize::try_from(before + range.end).unwrap_or(usize::MAX);
        self.message.get(start..end).unwrap_or_default()
    }
}
