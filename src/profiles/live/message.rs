//! The binary messages between the Worker and a database's object. Numbers are little-endian.
//!
//! The first byte of a request is its kind ([`RequestKind`]). Worker and object are deployed together, so these formats are not
//! stored, and can change with a release.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::{
    command::DatabaseStatus,
    row::{DamagedKeys, PackedKey, PackedKeys},
};
use crate::{
    json,
    memory::{OutOfMemory, Reservation},
    profiles::{
        bucket::BucketSection,
        key::{BucketPlace, HashPrefix, KeyHash, ProfileId, bucket_number},
        manifest::Generation,
    },
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
        let head: ChangeSetHead = json::from_slice(parts.section()?).map_err(|_| DamagedMessage)?;
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
        let status = json::from_slice(parts.section()?).map_err(|_| DamagedMessage)?;
        Ok(Self { status, rows: parts.0 })
    }

    /// Returns the profiles with their keys, which have one hash each.
    pub fn rows(&self) -> impl Iterator<Item = Result<(ProfileId, PackedKeys<'a>), DamagedMessage>> {
        let rows = ChangeSet { rows: self.rows }.rows();
        rows.map(|row| row.map(|(profile, keys)| (profile, PackedKeys::new(keys, 1))))
    }
}

/// The pending changes that a question asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject<'a> {
    /// All changes after a version.
    After(u64),
    /// The changes of profiles that have one of the keys, and of these profiles.
    Keys { hashes: &'a [[u8; 16]], profiles: &'a [[u8; 12]] },
}

/// The first byte of [`Subject::After`].
const AFTER: u8 = 0;
/// The first byte of [`Subject::Keys`].
const KEYS: u8 = 1;

/// Asks for the pending changes that a generation lacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Question<'a> {
    /// The name of the generation that the launch searches.
    pub generation: &'a str,
    pub subject: Subject<'a>,
}

impl<'a> Question<'a> {
    pub fn encode(&self) -> Vec<u8> {
        let mut message = RequestKind::Question.with(&[]);
        push_section(&mut message, self.generation.as_bytes());
        match self.subject {
            Subject::After(version) => {
                message.push(AFTER);
                message.extend_from_slice(&version.to_le_bytes());
            }
            Subject::Keys { hashes, profiles } => {
                message.reserve(1 + hashes.len() * 16 + profiles.len() * 12 + 8);
                message.push(KEYS);
                push_length(&mut message, hashes.len());
                message.extend_from_slice(hashes.as_flattened());
                push_length(&mut message, profiles.len());
                message.extend_from_slice(profiles.as_flattened());
            }
        }
        message
    }

    /// Reads a question, without its kind.
    pub fn read(content: &'a [u8]) -> Result<Self, DamagedMessage> {
        let mut parts = Parts(content);
        let generation = std::str::from_utf8(parts.section()?).map_err(|_| DamagedMessage)?;
        let subject = match parts.array()? {
            [AFTER] => Subject::After(u64::from_le_bytes(parts.array()?)),
            [KEYS] => Subject::Keys { hashes: parts.arrays()?, profiles: parts.arrays()? },
            _ => return Err(DamagedMessage),
        };
        Ok(Self { generation, subject })
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
pub enum Answer {
    /// The changes that the generation lacks.
    Changes(ChangeList),
    /// The object does not know the generation. The current one, and those that can be searched instead of it.
    Other(Vec<Generation>),
    /// The database has no live changes. The launch uses the manifest in KV alone.
    NotLive,
}

/// The changes of one version: all keys of each changed profile, sorted by [`KeyHash::selector`], which is the order of buckets.
/// The parts are read where they are in the message, because 100,000 keys take megabytes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ChangeList {
    version: u64,
    message: Vec<u8>,
    /// Where the profiles begin in the message.
    profiles_at: usize,
}

/// A key in the latest change of a profile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PendingKey {
    /// [`BucketSection::number`].
    pub section: u8,
    pub hash: KeyHash,
    /// The number of the profile in the list.
    pub profile: u32,
}

impl PendingKey {
    /// Compares the part of the hash that identifies a key in a bucket, which is all that a searched key has.
    pub fn is_same(&self, section: u8, hash: HashPrefix) -> bool {
        self.section == section && self.hash.prefix() == hash
    }
}

impl ChangeList {
    /// The section, the hash, and the number of the profile.
    pub const KEY_BYTES: usize = 1 + 16 + 4;
    pub const PROFILE_BYTES: usize = 12;

    /// Reads an answer with changes, and checks that its keys are sorted, and that every key has a profile.
    fn read(message: Vec<u8>) -> Result<Self, DamagedMessage> {
        let mut parts = Parts(&message);
        let ([CHANGES], version) = (parts.array()?, u64::from_le_bytes(parts.array()?)) else {
            return Err(DamagedMessage);
        };
        let keys: &[[u8; Self::KEY_BYTES]] = parts.arrays()?;
        let (profiles, []) = parts.0.as_chunks::<{ Self::PROFILE_BYTES }>() else { return Err(DamagedMessage) };
        let has_profile = |key| (profile_number(key) as usize) < profiles.len();
        if !keys.is_sorted_by_key(selector) || !keys.iter().all(has_profile) {
            return Err(DamagedMessage);
        }
        let profiles_at = message.len() - parts.0.len();
        Ok(Self { version, message, profiles_at })
    }

    /// Applies a later list, whose changes replace those of the same profiles. `is_replaced` returns whether it has a profile.
    pub fn updated(
        &self,
        later: &Self,
        is_replaced: impl Fn(ProfileId) -> bool,
        memory: &mut Reservation,
    ) -> Result<Self, OutOfMemory> {
        const REPLACED: u32 = u32::MAX;
        let own = self.profiles();
        memory.grow(size_of_val(own) as u64)?;
        let mut profiles: u32 = 0;
        let number_of = |profile: &[u8; Self::PROFILE_BYTES]| {
            if is_replaced(ProfileId(*profile)) {
                return REPLACED;
            }
            profiles += 1;
            profiles - 1
        };
        // The new number of each profile.
        let numbers: Vec<u32> = own.iter().map(number_of).collect();
        let new_number = |number: u32| numbers.get(number as usize).copied().unwrap_or(REPLACED);
        let own_keys = || {
            let numbered = self.keys().iter().map(|key| (key, new_number(profile_number(key))));
            numbered.filter(|(_, profile)| *profile != REPLACED)
        };
        let mut later_keys = later.keys().iter().map(|key| (key, profiles + profile_number(key))).peekable();
        let count = [profiles as usize + later.profiles().len(), own_keys().count() + later.keys().len()];
        memory.grow(ChangeListWriter::bytes(count))?;
        let mut writer = ChangeListWriter::new(later.version, count);
        let kept = own.iter().zip(&numbers).filter(|(_, number)| **number != REPLACED).map(|(profile, _)| profile);
        writer.profiles.extend(kept.chain(later.profiles()));
        for (key, profile) in own_keys() {
            while let Some((key, profile)) = later_keys.next_if(|(later, _)| selector(later) < selector(key)) {
                writer.push(key, profile);
            }
            writer.push(key, profile);
        }
        later_keys.for_each(|(key, profile)| writer.push(key, profile));
        Ok(writer.finish())
    }

    pub fn version(&self) -> u64 {
        self.version
    }

    fn keys(&self) -> &[[u8; Self::KEY_BYTES]] {
        self.message.get(LIST_HEAD_BYTES..self.profiles_at).unwrap_or_default().as_chunks().0
    }

    fn profiles(&self) -> &[[u8; Self::PROFILE_BYTES]] {
        self.message.get(self.profiles_at..).unwrap_or_default().as_chunks().0
    }

    /// Returns the number of profiles and of keys.
    pub fn count(&self) -> [usize; 2] {
        [self.profiles().len(), self.keys().len()]
    }

    /// The list as an answer.
    pub fn into_message(self) -> Vec<u8> {
        self.message
    }

    /// Bytes of memory.
    pub fn bytes(&self) -> usize {
        self.message.len()
    }

    /// Returns the numbers of the keys in a bucket.
    pub fn keys_in(&self, BucketPlace { number, buckets }: BucketPlace) -> Range<u32> {
        let before = |bucket| {
            let keys = self.keys().partition_point(|key| bucket_number(selector(key), buckets) < bucket);
            // Messages are far below 4 GiB.
            u32::try_from(keys).unwrap_or(u32::MAX)
        };
        before(number)..before(number.saturating_add(1))
    }

    pub fn profile(&self, number: u32) -> Option<ProfileId> {
        self.profiles().get(number as usize).copied().map(ProfileId)
    }

    pub fn key(&self, number: u32) -> Option<PendingKey> {
        let key = self.keys().get(number as usize)?;
        let [section, rest @ ..] = key;
        Some(PendingKey { section: *section, hash: KeyHash(*rest.first_chunk()?), profile: profile_number(key) })
    }
}

/// [`KeyHash::selector`] of a key in a list.
fn selector([.., a, b, c, d, _, _, _, _]: &[u8; ChangeList::KEY_BYTES]) -> u32 {
    u32::from_le_bytes([*a, *b, *c, *d])
}

/// The number of the profile of a key in a list.
fn profile_number([.., a, b, c, d]: &[u8; ChangeList::KEY_BYTES]) -> u32 {
    u32::from_le_bytes([*a, *b, *c, *d])
}

/// Bytes of a list before its keys: the kind, the version and the number of keys.
const LIST_HEAD_BYTES: usize = 1 + 8 + 4;

/// Writes a list of changes.
#[derive(Debug)]
pub struct ChangeListWriter {
    version: u64,
    /// The message without its profiles.
    message: Vec<u8>,
    /// The profiles, which follow at the end.
    profiles: Vec<[u8; ChangeList::PROFILE_BYTES]>,
}

impl ChangeListWriter {
    /// Makes room for a number of profiles and of their keys.
    pub fn new(version: u64, [profiles, keys]: [usize; 2]) -> Self {
        let bytes = LIST_HEAD_BYTES + keys * ChangeList::KEY_BYTES + profiles * ChangeList::PROFILE_BYTES;
        let mut message = Vec::with_capacity(bytes);
        message.push(CHANGES);
        message.extend_from_slice(&version.to_le_bytes());
        push_length(&mut message, 0);
        Self { version, message, profiles: Vec::with_capacity(profiles) }
    }

    /// Bytes of memory for a number of profiles and of their keys.
    pub fn bytes([profiles, keys]: [usize; 2]) -> u64 {
        (keys * ChangeList::KEY_BYTES + 2 * profiles * ChangeList::PROFILE_BYTES) as u64
    }

    /// Begins a changed profile. Its keys follow.
    pub fn begin(&mut self, profile: ProfileId) {
        self.profiles.push(profile.0);
    }

    /// Adds a key of the profile.
    pub fn push_key(&mut self, section: BucketSection, hash: KeyHash) {
        self.message.push(section.number());
        self.message.extend_from_slice(&hash.0);
        push_length(&mut self.message, self.profiles.len().saturating_sub(1));
    }

    /// Adds a key of another list, with the number of its profile in this one.
    fn push(&mut self, key: &[u8; ChangeList::KEY_BYTES], profile: u32) {
        let [section_and_hash @ .., _, _, _, _] = key;
        self.message.extend_from_slice(section_and_hash);
        self.message.extend_from_slice(&profile.to_le_bytes());
    }

    pub fn finish(mut self) -> ChangeList {
        if let Some((head, keys)) = self.message.split_first_chunk_mut::<LIST_HEAD_BYTES>() {
            let (keys, _) = keys.as_chunks_mut();
            keys.sort_unstable_by_key(selector);
            // Messages are far below 4 GiB.
            let count = u32::try_from(keys.len()).unwrap_or(u32::MAX).to_le_bytes();
            head.iter_mut().rev().zip(count.into_iter().rev()).for_each(|(place, byte)| *place = byte);
        }
        let profiles_at = self.message.len();
        self.message.extend_from_slice(self.profiles.as_flattened());
        ChangeList { version: self.version, message: self.message, profiles_at }
    }
}

impl Answer {
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

    pub fn read(answer: Vec<u8>) -> Result<Self, DamagedMessage> {
        match answer.split_first() {
            Some((&NOT_LIVE, [])) => Ok(Self::NotLive),
            Some((&CHANGES, _)) => ChangeList::read(answer).map(Self::Changes),
            Some((&OTHER, rest)) => json::from_slice(rest).map(Self::Other).map_err(|_| DamagedMessage),
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
        let keys = |hashes, profiles| Subject::Keys { hashes, profiles };
        for subject in
            [Subject::After(7), keys(&hashes, &profiles), keys(&hashes, &[]), keys(&[], &profiles), keys(&[], &[])]
        {
            let question = Question { generation: "g1", subject };
            let message = question.encode();
            let (kind, content) = RequestKind::split(&message).unwrap();
            assert_eq!((kind, Question::read(content)), (RequestKind::Question, Ok(question)));
            (0..content.len())
                .for_each(|end| assert_eq!(Question::read(&content[..end]), Err(DamagedMessage), "{end}"));
        }
    }

    #[test]
    fn a_list_of_changes_is_read_as_it_was_written() {
        let mut writer = ChangeListWriter::new(7, [3, 3]);
        let keys = [(BucketSection::Profiles, KeyHash([1; 16])), (BucketSection::Subscriptions, KeyHash([2; 16]))];
        writer.begin(ProfileId([9; 12]));
        keys.iter().for_each(|(section, hash)| writer.push_key(*section, *hash));
        writer.begin(ProfileId([8; 12]));
        writer.begin(ProfileId([7; 12]));
        writer.push_key(BucketSection::Profiles, KeyHash([3; 16]));
        let list = writer.finish();
        let answer = list.clone().into_message();
        assert_eq!(Answer::read(answer.clone()), Ok(Answer::Changes(list.clone())));
        assert_eq!((list.version(), list.count()), (7, [3, 3]));
        assert_eq!(
            [0, 1, 2, 3].map(|number| list.profile(number).map(|id| id.0[0])),
            [Some(9), Some(8), Some(7), None]
        );
        let key = |section, byte, profile| Some(PendingKey { section, hash: KeyHash([byte; 16]), profile });
        assert_eq!([0, 1, 2, 3].map(|number| list.key(number)), [key(0, 1, 0), key(1, 2, 0), key(0, 3, 2), None]);
        // The last profile has a key, so a list without it is damaged.
        (0..answer.len()).for_each(|end| assert_eq!(Answer::read(answer[..end].into()), Err(DamagedMessage), "{end}"));
    }

    #[test]
    fn the_keys_of_a_bucket_are_adjacent() {
        let hash = |selector: u32| {
            let mut hash = [7; 16];
            hash[12..].copy_from_slice(&selector.to_le_bytes());
            KeyHash(hash)
        };
        let selectors = [u32::MAX, 3 << 30, 0, 1 << 31, 5, (1 << 31) - 1];
        let mut writer = ChangeListWriter::new(1, [1, 6]);
        writer.begin(ProfileId([1; 12]));
        selectors.iter().for_each(|selector| writer.push_key(BucketSection::Profiles, hash(*selector)));
        let list = writer.finish();
        for buckets in 1..9 {
            for number in 0..buckets {
                let place = BucketPlace { number, buckets };
                let found = list.keys_in(place).map(|key| list.key(key).unwrap().hash.selector());
                let mut expected = selectors.map(|selector| (bucket_number(selector, buckets), selector));
                expected.sort_unstable();
                let expected =
                    expected.into_iter().filter(|(bucket, _)| *bucket == number).map(|(_, selector)| selector);
                assert!(found.eq(expected), "{place:?}");
            }
        }
        // Not sorted.
        let mut answer = list.into_message();
        answer[LIST_HEAD_BYTES..].rotate_left(ChangeList::KEY_BYTES);
        assert_eq!(Answer::read(answer), Err(DamagedMessage));
    }

    #[test]
    fn a_damaged_message_is_an_error() {
        assert_eq!(Answer::read(vec![]), Err(DamagedMessage));
        assert_eq!(Answer::read(vec![2]), Ok(Answer::NotLive));
        assert_eq!(Answer::read(vec![3]), Err(DamagedMessage));
        assert_eq!(Answer::read(vec![1, b'{']), Err(DamagedMessage));
        let head = ChangeSetHead { key_checks: vec!["k".into()], request: None };
        let mut set = ChangeSet::begin(&head);
        ChangeSet::push(&mut set, ProfileId([1; 12]), &[3, 0, 0]);
        let (_, content) = RequestKind::split(&set).unwrap();
        assert_eq!(ChangeSet::read(content).err(), Some(DamagedMessage), "a key without its hash");
    }
}
