//! The binary messages between the Worker and a database's object. Numbers are little-endian.
//!
//! The first byte of a request is its kind ([`RequestKind`]). Worker and object are deployed together, so these formats are not
//! stored, and can change with a release.

use serde::{Deserialize, Serialize};

use super::{
    command::DatabaseStatus,
    row::{DamagedKeys, PackedKey, PackedKeys},
};
use crate::{
    profiles::{
        bucket::BucketSection,
        key::{KeyHash, ProfileId},
        manifest::Generation,
    },
    text::from_json,
};

/// The status of a reply that is a [`DatabaseRefusal`](super::command::DatabaseRefusal) in JSON.
pub const STATUS_REFUSED: u16 = 422;
/// The status of a reply that is the cause of a failure, as text for the operator's log.
pub const STATUS_FAILED: u16 = 500;
/// Header with the length of a message in bytes, so that memory is reserved before the message is read.
pub const LENGTH_HEADER: &str = "message-length";

/// What a request contains.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequestKind {
    /// A [`DatabaseCommand`](super::command::DatabaseCommand) in JSON.
    Command,
    /// A [`ChangeSet`].
    Changes,
    /// A [`Question`].
    Question,
}

impl RequestKind {
    pub const ALL: [Self; 3] = [Self::Command, Self::Changes, Self::Question];

    fn byte(self) -> u8 {
        match self {
            Self::Command => b'j',
            Self::Changes => b'c',
            Self::Question => b'q',
        }
    }

    /// Returns the kind of a request and the rest.
    pub fn split(request: &[u8]) -> Option<(Self, &[u8])> {
        let (first, rest) = request.split_first()?;
        let kind = Self::ALL.into_iter().find(|kind| kind.byte() == *first)?;
        Some((kind, rest))
    }

    /// Returns a request with this content.
    pub fn with(self, content: &[u8]) -> Vec<u8> {
        let mut request = Vec::with_capacity(content.len() + 1);
        request.push(self.byte());
        request.extend_from_slice(content);
        request
    }
}

/// A message between the Worker and the object is damaged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a message of a database's object is damaged")]
pub struct DamagedMessage;

/// Reads the parts of a message.
struct Parts<'a>(&'a [u8]);

impl<'a> Parts<'a> {
    fn bytes(&mut self, length: usize) -> Result<&'a [u8], DamagedMessage> {
        let (part, rest) = self.0.split_at_checked(length).ok_or(DamagedMessage)?;
        self.0 = rest;
        Ok(part)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], DamagedMessage> {
        let (part, rest) = self.0.split_first_chunk().ok_or(DamagedMessage)?;
        self.0 = rest;
        Ok(*part)
    }

    fn length(&mut self) -> Result<usize, DamagedMessage> {
        usize::try_from(u32::from_le_bytes(self.array()?)).map_err(|_| DamagedMessage)
    }

    /// Reads a length and that many bytes.
    fn section(&mut self) -> Result<&'a [u8], DamagedMessage> {
        let length = self.length()?;
        self.bytes(length)
    }

    /// Reads a length and that many arrays.
    fn arrays<const N: usize>(&mut self) -> Result<&'a [[u8; N]], DamagedMessage> {
        let length = self.length()?.checked_mul(N).ok_or(DamagedMessage)?;
        Ok(self.bytes(length)?.as_chunks().0)
    }
}

fn push_length(message: &mut Vec<u8>, length: usize) {
    // Messages are far below 4 GiB.
    message.extend_from_slice(&u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes());
}

fn push_section(message: &mut Vec<u8>, section: &[u8]) {
    push_length(message, section.len());
    message.extend_from_slice(section);
}

/// The head of a set of changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangeSetHead {
    /// [`IndexKey::check`](crate::profiles::key::IndexKey::check) of each key that hashed the keys, in order.
    pub key_checks: Vec<String>,
    /// Absent if the caller sent no request ID.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<ChangeRequest>,
}

/// A request that may be repeated.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangeRequest {
    /// The scope of request IDs.
    pub token_name: String,
    pub request_id: String,
    /// A digest of the body, in hexadecimal.
    pub digest: String,
}

/// Changes that are applied together. Each profile appears once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChangeSet<'a> {
    rows: &'a [u8],
}

impl<'a> ChangeSet<'a> {
    /// Bytes of a profile besides its keys.
    pub const HEAD_BYTES: usize = 12 + 4;

    /// Writes the beginning of a set. [`ChangeSet::push`] appends its rows.
    pub fn begin(head: &ChangeSetHead) -> Vec<u8> {
        let mut message = RequestKind::Changes.with(&[]);
        // Serialisation cannot fail: the head contains no maps.
        push_section(&mut message, &serde_json::to_vec(head).unwrap_or_default());
        message
    }

    /// Appends a profile with its packed keys. Without keys, the profile is deleted.
    pub fn push(message: &mut Vec<u8>, profile: ProfileId, keys: &[u8]) {
        message.extend_from_slice(&profile.0);
        push_section(message, keys);
    }

    /// Reads and checks a set, without its kind.
    pub fn read(content: &'a [u8]) -> Result<(ChangeSetHead, Self), DamagedMessage> {
        let mut parts = Parts(content);
        let head: ChangeSetHead = from_json(parts.section()?).map_err(|_| DamagedMessage)?;
        let set = Self { rows: parts.0 };
        for row in set.rows() {
            let (_, keys) = row?;
            if PackedKeys::new(keys, head.key_checks.len()).any(|key| key.is_err()) {
                return Err(DamagedMessage);
            }
        }
        Ok((head, set))
    }

    /// Returns the profiles with their packed keys.
    pub fn rows(self) -> impl Iterator<Item = Result<(ProfileId, &'a [u8]), DamagedMessage>> {
        let mut parts = Parts(self.rows);
        std::iter::from_fn(move || {
            if parts.0.is_empty() {
                return None;
            }
            let row = parts.array().and_then(|profile| Ok((ProfileId(profile), parts.section()?)));
            if row.is_err() {
                parts.0 = &[];
            }
            Some(row)
        })
    }
}

/// The changes that the current generation lacks, for the command line: a [`DatabaseStatus`] in JSON, and the changed profiles
/// with their packed keys under the key of the generation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PendingList<'a> {
    pub status: DatabaseStatus,
    rows: &'a [u8],
}

impl<'a> PendingList<'a> {
    pub fn begin(status: &DatabaseStatus) -> Vec<u8> {
        let mut message = Vec::new();
        // Serialisation cannot fail: a status contains no maps.
        push_section(&mut message, &serde_json::to_vec(status).unwrap_or_default());
        message
    }

    /// Appends a profile with the hashes of its keys under the index key at `position`.
    pub fn push(
        message: &mut Vec<u8>,
        profile: ProfileId,
        keys: PackedKeys<'_>,
        position: usize,
    ) -> Result<(), DamagedKeys> {
        let mut packed = Vec::new();
        for key in keys {
            let key = key?;
            let hash = key.hashes.get(position).ok_or(DamagedKeys)?;
            PackedKey { hashes: std::slice::from_ref(hash), ..key }.pack(&mut packed);
        }
        message.extend_from_slice(&profile.0);
        push_section(message, &packed);
        Ok(())
    }

    pub fn read(message: &'a [u8]) -> Result<Self, DamagedMessage> {
        let mut parts = Parts(message);
        let status = from_json(parts.section()?).map_err(|_| DamagedMessage)?;
        Ok(Self { status, rows: parts.0 })
    }

    /// Returns the profiles with their keys, which have one hash each.
    pub fn rows(&self) -> impl Iterator<Item = Result<(ProfileId, PackedKeys<'a>), DamagedMessage>> {
        let rows = ChangeSet { rows: self.rows }.rows();
        rows.map(|row| row.map(|(profile, keys)| (profile, PackedKeys::new(keys, 1))))
    }
}

/// The hashes of keys, and profiles.
pub type Subject<'a> = (&'a [[u8; 16]], &'a [[u8; 12]]);

/// Asks for the pending changes that a generation lacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Question<'a> {
    /// The name of the generation that the launch searches.
    pub generation: &'a str,
    /// The keys and the profiles of interest. `None`: all pending changes.
    pub about: Option<Subject<'a>>,
}

impl<'a> Question<'a> {
    pub fn encode(&self) -> Vec<u8> {
        let mut message = RequestKind::Question.with(&[]);
        push_section(&mut message, self.generation.as_bytes());
        if let Some((hashes, profiles)) = self.about {
            message.reserve(hashes.len() * 16 + profiles.len() * 12 + 8);
            push_length(&mut message, hashes.len());
            message.extend_from_slice(hashes.as_flattened());
            push_length(&mut message, profiles.len());
            message.extend_from_slice(profiles.as_flattened());
        }
        message
    }

    /// Reads a question, without its kind.
    pub fn read(content: &'a [u8]) -> Result<Self, DamagedMessage> {
        let mut parts = Parts(content);
        let generation = std::str::from_utf8(parts.section()?).map_err(|_| DamagedMessage)?;
        let about = if parts.0.is_empty() { None } else { Some((parts.arrays()?, parts.arrays()?)) };
        Ok(Self { generation, about })
    }
}

/// The first byte of an answer with changes.
const CHANGES: u8 = 0;
/// The first byte of an answer that names other generations.
const OTHER: u8 = 1;
/// The first byte of an answer without changes.
const NOT_LIVE: u8 = 2;

/// An answer to a [`Question`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer<'a> {
    /// The changes that the generation lacks.
    Changes(ChangeList<'a>),
    /// The object does not know the generation. The current one, and those that can be searched instead of it.
    Other(Vec<Generation>),
    /// The database has no live changes. The launch uses the manifest in KV alone.
    NotLive,
}

/// The changes of one version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChangeList<'a> {
    pub version: u64,
    rows: &'a [u8],
}

/// Writes an answer with changes.
#[derive(Debug)]
pub struct ChangeListWriter {
    answer: Vec<u8>,
    /// Where the number of keys of the current profile is written, and the keys so far.
    count_at: Option<usize>,
    count: u32,
}

impl ChangeListWriter {
    /// Bytes of a key.
    pub const KEY_BYTES: usize = 1 + 16;

    pub fn new(version: u64) -> Self {
        let mut answer = vec![CHANGES];
        answer.extend_from_slice(&version.to_le_bytes());
        Self { answer, count_at: None, count: 0 }
    }

    /// Allocates room for profiles and their keys.
    pub fn reserve(&mut self, bytes: usize) {
        self.answer.reserve_exact(bytes);
    }

    /// Begins a changed profile. Its keys follow.
    pub fn begin(&mut self, profile: ProfileId) {
        self.end_profile();
        self.answer.extend_from_slice(&profile.0);
        self.count_at = Some(self.answer.len());
        self.answer.extend_from_slice(&[0; 4]);
    }

    /// Adds a key of the profile.
    pub fn push_key(&mut self, section: BucketSection, hash: KeyHash) {
        self.answer.push(section.number());
        self.answer.extend_from_slice(&hash.0);
        self.count = self.count.saturating_add(1);
    }

    fn end_profile(&mut self) {
        let count = std::mem::take(&mut self.count).to_le_bytes();
        let place =
            self.count_at.take().and_then(|at| self.answer.get_mut(at..)).and_then(|rest| rest.first_chunk_mut());
        if let Some(place) = place {
            *place = count;
        }
    }

    pub fn finish(mut self) -> Vec<u8> {
        self.end_profile();
        self.answer
    }
}

/// A profile with the keys of its latest change: sections and hashes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListedProfile<'a> {
    /// The position in [`ChangeList::bytes`]: first the profile's ID, and after [`ListedProfile::HEAD_BYTES`] its keys.
    pub at: usize,
    /// The section (0: profiles, 1: subscriptions) and the hash of each key.
    pub keys: &'a [[u8; 17]],
}

impl ListedProfile<'_> {
    /// The profile's ID and the number of its keys.
    pub const HEAD_BYTES: usize = 12 + 4;
}

impl<'a> ChangeList<'a> {
    pub fn bytes(self) -> &'a [u8] {
        self.rows
    }

    pub fn profiles(self) -> impl Iterator<Item = Result<ListedProfile<'a>, DamagedMessage>> {
        let mut parts = Parts(self.rows);
        std::iter::from_fn(move || {
            if parts.0.is_empty() {
                return None;
            }
            let mut read = || {
                let at = self.rows.len() - parts.0.len();
                parts.bytes(12)?;
                Ok(ListedProfile { at, keys: parts.arrays()? })
            };
            let row = read();
            if row.is_err() {
                parts.0 = &[];
            }
            Some(row)
        })
    }
}

impl<'a> Answer<'a> {
    /// Writes an answer that names generations.
    pub fn other(generations: &[&Generation]) -> Vec<u8> {
        let mut answer = vec![OTHER];
        // Serialisation cannot fail: a generation contains no maps.
        answer.extend(serde_json::to_vec(generations).unwrap_or_default());
        answer
    }

    /// Writes an answer for a database without live changes.
    pub fn not_live() -> Vec<u8> {
        vec![NOT_LIVE]
    }

    pub fn read(answer: &'a [u8]) -> Result<Self, DamagedMessage> {
        match answer.split_first() {
            Some((&NOT_LIVE, [])) => Ok(Self::NotLive),
            Some((&CHANGES, rest)) => {
                let mut parts = Parts(rest);
                Ok(Self::Changes(ChangeList { version: u64::from_le_bytes(parts.array()?), rows: parts.0 }))
            }
            Some((&OTHER, rest)) => from_json(rest).map(Self::Other).map_err(|_| DamagedMessage),
            _ => Err(DamagedMessage),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_is_read_as_it_was_written() {
        let (hashes, profiles) = ([[1; 16], [2; 16]], [[3; 12]]);
        for about in [None, Some((&hashes[..], &profiles[..])), Some((&hashes[..], &[][..])), Some((&[][..], &[][..]))]
        {
            let question = Question { generation: "g1", about };
            let message = question.encode();
            let (kind, content) = RequestKind::split(&message).unwrap();
            assert_eq!((kind, Question::read(content)), (RequestKind::Question, Ok(question)));
            for end in 0..content.len() {
                // A question that ends after the generation is about everything.
                let cut = Question::read(&content[..end]);
                assert!(cut.is_err() || cut == Ok(Question { generation: "g1", about: None }), "{end}");
            }
        }
    }

    #[test]
    fn a_list_of_changes_is_read_as_it_was_written() {
        let mut writer = ChangeListWriter::new(7);
        let keys = [(BucketSection::Profiles, KeyHash([1; 16])), (BucketSection::Subscriptions, KeyHash([2; 16]))];
        writer.begin(ProfileId([9; 12]));
        keys.iter().for_each(|(section, hash)| writer.push_key(*section, *hash));
        writer.begin(ProfileId([8; 12]));
        let answer = writer.finish();
        let Ok(Answer::Changes(list)) = Answer::read(&answer) else { panic!() };
        let read: Vec<_> = list.profiles().map(Result::unwrap).collect();
        assert_eq!(list.version, 7);
        assert_eq!(read.iter().map(|row| list.bytes()[row.at]).collect::<Vec<_>>(), [9, 8]);
        assert_eq!(read[0].keys.iter().map(|key| (key[0], key[1])).collect::<Vec<_>>(), [(0, 1), (1, 2)]);
        assert_eq!(read[1].keys.len(), 0);
    }

    #[test]
    fn a_damaged_message_is_an_error() {
        assert_eq!(Answer::read(&[]), Err(DamagedMessage));
        assert_eq!(Answer::read(&[2]), Ok(Answer::NotLive));
        assert_eq!(Answer::read(&[3]), Err(DamagedMessage));
        assert_eq!(Answer::read(&[1, b'{']), Err(DamagedMessage));
        let head = ChangeSetHead { key_checks: vec!["k".into()], request: None };
        let mut set = ChangeSet::begin(&head);
        ChangeSet::push(&mut set, ProfileId([1; 12]), &[3, 0, 0]);
        let (_, content) = RequestKind::split(&set).unwrap();
        assert_eq!(ChangeSet::read(content).err(), Some(DamagedMessage), "a key without its hash");
    }
}
