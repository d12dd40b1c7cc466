//! The pending changes that a launch applies to what it has found in a generation.

use std::hash::BuildHasher as _;

use hashbrown::{DefaultHashBuilder, HashTable, hash_table::Entry};

use super::message::{ChangeList, DamagedMessage, ListedProfile};
use crate::{
    memory::{OutOfMemory, Reservation},
    profiles::{
        bucket::{BucketSection, KeyMatch},
        key::{HashPrefix, KeyHash, ProfileId},
    },
};

/// The changes of one version. The tables contain positions in the message, so that 100,000 keys need less than 6 MiB.
#[derive(Debug)]
pub struct PendingChanges<'a> {
    version: u64,
    rows: &'a [u8],
    /// IDs of profiles are often counted, so their own bytes would be bad hashes.
    hasher: DefaultHashBuilder,
    profiles: HashTable<u32>,
    /// One entry for each key, however many profiles have it.
    keys: HashTable<ChangedKey>,
}

/// A key in the latest change of a profile.
#[derive(Debug, Clone, Copy)]
struct ChangedKey {
    /// The position of the section and the hash.
    key: u32,
    /// The position of the profile, or [`SHARED`].
    profile: u32,
}

/// More than one profile has the key. Messages are far below 4 GiB.
const SHARED: u32 = u32::MAX;

/// Why a list of changes cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PendingError {
    #[error(transparent)]
    OutOfMemory(#[from] OutOfMemory),
    #[error(transparent)]
    Damaged(#[from] DamagedMessage),
}

/// The profiles that have a key: those of pending changes, and those found in the index. More than one is ambiguous.
#[derive(Debug, Clone, Copy, Default)]
pub struct FoundHolders {
    first: Option<ProfileId>,
    has_more: bool,
}

impl FoundHolders {
    /// Adds a profile.
    pub fn add(&mut self, profile: ProfileId) {
        match self.first {
            Some(first) if first != profile => self.has_more = true,
            _ => self.first = Some(profile),
        }
    }

    /// Whether adding a profile would change nothing.
    pub fn has(&self, profile: ProfileId) -> bool {
        self.first == Some(profile)
    }

    /// Adds profiles that are not known. The key is ambiguous.
    pub fn add_unknown(&mut self) {
        self.has_more = true;
    }

    pub fn result(self) -> KeyMatch {
        match (self.first, self.has_more) {
            (_, true) => KeyMatch::Ambiguous,
            (Some(profile), false) => KeyMatch::Profile(profile),
            (None, false) => KeyMatch::None,
        }
    }
}

impl<'a> PendingChanges<'a> {
    /// No changes: the database has none, or the object does not know it.
    pub fn none() -> Self {
        Self {
            version: 0,
            rows: &[],
            hasher: DefaultHashBuilder::default(),
            profiles: HashTable::new(),
            keys: HashTable::new(),
        }
    }

    /// Builds the tables, after reserving their memory.
    pub fn new(list: ChangeList<'a>, memory: &mut Reservation) -> Result<Self, PendingError> {
        let (mut profiles, mut keys) = (0, 0);
        for changed in list.profiles() {
            profiles += 1;
            keys += changed?.keys.len();
        }
        memory.grow(table_bytes::<u32>(profiles) + table_bytes::<ChangedKey>(keys))?;
        let mut changes = Self {
            version: list.version,
            rows: list.bytes(),
            hasher: DefaultHashBuilder::default(),
            profiles: HashTable::with_capacity(profiles),
            keys: HashTable::with_capacity(keys),
        };
        for changed in list.profiles() {
            let changed = changed?;
            changes.add(changed.at, changed.keys)?;
        }
        Ok(changes)
    }

    /// Adds the changed profile at a position.
    fn add(&mut self, at: usize, keys: &[[u8; 17]]) -> Result<(), DamagedMessage> {
        let Self { rows, hasher, profiles, keys: table, .. } = self;
        let rows: &[u8] = rows;
        let profile = u32::try_from(at).map_err(|_| DamagedMessage)?;
        let hash_at = |at: &u32| profile_at(rows, *at).map_or(0, |profile| hasher.hash_one(profile));
        profiles.insert_unique(hash_at(&profile), profile, hash_at);
        for (number, key) in keys.iter().enumerate() {
            let position = at + ListedProfile::HEAD_BYTES + number * 17;
            let position = u32::try_from(position).map_err(|_| DamagedMessage)?;
            let key = split_key(key);
            let is_same = |other: &ChangedKey| key_at(rows, other.key) == Some(key);
            let hash_at = |other: &ChangedKey| key_at(rows, other.key).map_or(0, |(_, hash)| table_hash(hash));
            match table.entry(table_hash(key.1), is_same, hash_at) {
                Entry::Vacant(place) => {
                    place.insert(ChangedKey { key: position, profile });
                }
                Entry::Occupied(mut known) if known.get().profile != profile => known.get_mut().profile = SHARED,
                Entry::Occupied(_) => {}
            }
        }
        Ok(())
    }

    pub fn version(&self) -> u64 {
        self.version
    }

    /// Whether entries of the profile in the index do not count.
    pub fn is_changed(&self, profile: ProfileId) -> bool {
        let is_same = |at: &u32| profile_at(self.rows, *at) == Some(profile);
        self.profiles.find(self.hasher.hash_one(profile), is_same).is_some()
    }

    /// Adds the profiles that have a key in their latest change.
    ///
    /// Keys are compared by the part of their hashes that identifies them in a bucket. The whole hash of an item is far away in
    /// memory when the buckets are searched one after the other.
    pub fn add_holders(&self, section: BucketSection, hash: HashPrefix, found: &mut FoundHolders) {
        let is_same = |known: &ChangedKey| key_at(self.rows, known.key) == Some((section.number(), hash));
        match self.keys.find(table_hash(hash), is_same) {
            None => {}
            Some(ChangedKey { profile: SHARED, .. }) => found.add_unknown(),
            Some(ChangedKey { profile, .. }) => {
                profile_at(self.rows, *profile).into_iter().for_each(|profile| found.add(profile));
            }
        }
    }
}

/// Returns the profile at a position.
fn profile_at(rows: &[u8], at: u32) -> Option<ProfileId> {
    rows.get(at as usize..)?.first_chunk().copied().map(ProfileId)
}

/// Returns the section and the hash of the key at a position.
fn key_at(rows: &[u8], at: u32) -> Option<(u8, HashPrefix)> {
    rows.get(at as usize..)?.first_chunk().map(split_key)
}

fn split_key([section, hash @ ..]: &[u8; 17]) -> (u8, HashPrefix) {
    (*section, KeyHash(*hash).prefix())
}

/// The place of a key in the table. Its hash is keyed with a secret, so callers cannot choose hashes that collide.
fn table_hash(hash: HashPrefix) -> u64 {
    hash.first
}

/// Bytes of a table for this many entries. The number of places is a power of two. At most seven in eight places are used, and each
/// place has one byte in addition to its entry.
fn table_bytes<T>(entries: usize) -> u64 {
    if entries == 0 {
        return 0;
    }
    let places = (entries * 8 / 7 + 1).next_power_of_two().max(4);
    (places * (size_of::<T>() + 1) + 16) as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        limits::MIB,
        memory::Budget,
        profiles::live::message::{Answer, ChangeListWriter},
    };

    fn id(number: u32) -> ProfileId {
        let mut id = [0; 12];
        id[8..].copy_from_slice(&number.to_be_bytes());
        ProfileId(id)
    }

    fn hash(number: u32) -> KeyHash {
        let mut hash = [0; 16];
        hash[..4].copy_from_slice(&number.wrapping_mul(0x9E37_79B9).to_le_bytes());
        KeyHash(hash)
    }

    fn find(changes: &PendingChanges<'_>, section: BucketSection, hash: KeyHash) -> KeyMatch {
        let mut found = FoundHolders::default();
        changes.add_holders(section, hash.prefix(), &mut found);
        found.result()
    }

    #[test]
    fn finds_changed_profiles_and_their_keys_in_the_right_section() {
        use BucketSection::{Profiles, Subscriptions};
        let mut writer = ChangeListWriter::new(3);
        writer.begin(id(1));
        writer.push_key(Profiles, hash(1));
        writer.push_key(Subscriptions, hash(2));
        writer.begin(id(2));
        writer.begin(id(3));
        writer.push_key(Profiles, hash(1));
        let answer = writer.finish();
        let Ok(Answer::Changes(list)) = Answer::read(&answer) else { panic!() };
        let mut memory = Reservation::verified(&Budget::new(MIB, MIB));
        let changes = PendingChanges::new(list, &mut memory).unwrap();
        assert_eq!(changes.version(), 3);
        assert_eq!([1, 2, 3, 4].map(|number| changes.is_changed(id(number))), [true, true, true, false]);
        assert_eq!(find(&changes, Profiles, hash(1)), KeyMatch::Ambiguous);
        assert_eq!(find(&changes, Subscriptions, hash(1)), KeyMatch::None);
        assert_eq!(find(&changes, Subscriptions, hash(2)), KeyMatch::Profile(id(1)));
    }

    #[test]
    fn needs_at_most_six_mebibytes_for_the_most_changes() {
        const LIMIT: u32 = 100_000;
        // Each profile has its ID and a number of other keys, which count with the profile towards the limit.
        for other_keys in [0, 1, 2, 9] {
            let mut writer = ChangeListWriter::new(1);
            let mut number = 0;
            for profile in 0..LIMIT / (1 + other_keys) {
                writer.begin(id(profile));
                for _ in 0..=other_keys {
                    number += 1;
                    writer.push_key(BucketSection::Profiles, hash(number));
                }
            }
            let answer = writer.finish();
            let mut memory = Reservation::verified(&Budget::new(64 * MIB, MIB));
            memory.grow(answer.len() as u64).unwrap();
            let Ok(Answer::Changes(list)) = Answer::read(&answer) else { panic!() };
            let changes = PendingChanges::new(list, &mut memory).unwrap();
            assert_eq!(find(&changes, BucketSection::Profiles, hash(1)), KeyMatch::Profile(id(0)));
            assert!(memory.bytes() <= 6 * MIB, "{other_keys}: {} bytes", memory.bytes());
        }
    }
}
