//! The pending changes that a launch applies to what it has found in a generation.

use std::hash::BuildHasher as _;

use hashbrown::{DefaultHashBuilder, HashTable, hash_table::Entry};

use super::message::ChangeList;
use crate::{
    memory::{OutOfMemory, Reservation},
    profiles::{
        bucket::{BucketSection, KeyMatch},
        key::{BucketPlace, HashPrefix, ProfileId},
    },
};

/// The changes of one version. The tables contain numbers of the list, so that 100,000 keys need less than 6 MiB.
#[derive(Debug, Default)]
pub struct PendingChanges {
    list: ChangeList,
    /// IDs of profiles are often counted, so their own bytes would be bad hashes.
    hasher: DefaultHashBuilder,
    profiles: HashTable<u32>,
}

/// The keys of changed profiles in one bucket.
#[derive(Debug)]
pub struct ChangedKeys<'a> {
    list: &'a ChangeList,
    /// One entry for each key, however many profiles have it: its number, and [`SHARED`] if more than one has it.
    table: HashTable<u32>,
    /// A bit for each key, at [`filter_place`]. Most keys of a launch have not changed, and do not need the table.
    filter: [u64; FILTER_WORDS],
}

/// A bucket has a few hundred keys, of which few have changed.
const FILTER_WORDS: usize = 64;

/// The bit of a key that more than one profile has. Numbers of keys are lower.
const SHARED: u32 = 1 << 31;

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

impl PendingChanges {
    /// Builds the table of profiles, after reserving its memory and that of the tables of keys.
    pub fn new(list: ChangeList, memory: &mut Reservation) -> Result<Self, OutOfMemory> {
        let [profiles, keys] = list.count();
        memory.grow((table_bytes(profiles) + table_bytes(keys)) as u64)?;
        let hasher = DefaultHashBuilder::default();
        let mut table = HashTable::with_capacity(profiles);
        let hash_of = |number: &u32| list.profile(*number).map_or(0, |profile| hasher.hash_one(profile));
        for (number, _) in (0..).zip(0..profiles) {
            table.insert_unique(hash_of(&number), number, hash_of);
        }
        Ok(Self { list, hasher, profiles: table })
    }

    pub fn version(&self) -> u64 {
        self.list.version()
    }

    /// Bytes of memory.
    pub fn bytes(&self) -> usize {
        self.list.bytes() + table_bytes(self.list.count()[0])
    }

    /// Reserves the memory of these changes and of the tables of their keys, for a launch that uses them.
    pub fn reserve(&self, memory: &mut Reservation) -> Result<(), OutOfMemory> {
        memory.grow((self.bytes() + table_bytes(self.list.count()[1])) as u64)
    }

    /// Whether applying a later list takes little memory beside a list of all changes.
    pub fn can_apply(&self, later: &ChangeList) -> bool {
        later.bytes() <= self.list.bytes() / 4
    }

    /// Returns these changes with later ones: all that were made after the version of these, or after an earlier one.
    pub fn updated(&self, later: ChangeList, memory: &mut Reservation) -> Result<Self, OutOfMemory> {
        let later = Self::new(later, memory)?;
        let list = self.list.updated(&later.list, |profile| later.is_changed(profile), memory)?;
        Self::new(list, memory)
    }

    /// Whether entries of the profile in the index do not count.
    pub fn is_changed(&self, profile: ProfileId) -> bool {
        let is_same = |number: &u32| self.list.profile(*number) == Some(profile);
        self.profiles.find(self.hasher.hash_one(profile), is_same).is_some()
    }

    /// Returns the keys in a bucket. A search of one bucket after the other has all that it reads in the processor's cache.
    pub fn keys_in(&self, bucket: BucketPlace) -> ChangedKeys<'_> {
        let numbers = self.list.keys_in(bucket);
        let table = HashTable::with_capacity(numbers.len());
        let mut keys = ChangedKeys { list: &self.list, table, filter: [0; FILTER_WORDS] };
        numbers.for_each(|number| keys.add(number));
        keys
    }
}

impl ChangedKeys<'_> {
    fn add(&mut self, number: u32) {
        let Self { list, table, filter } = self;
        let Some(key) = list.key(number) else { return };
        let (word, bit) = filter_place(key.hash.prefix());
        if let Some(word) = filter.get_mut(word) {
            *word |= bit;
        }
        let known = |number: &u32| list.key(*number & !SHARED);
        let is_same = |number: &u32| known(number).is_some_and(|other| other.is_same(key.section, key.hash.prefix()));
        let hash_of = |number: &u32| known(number).map_or(0, |other| table_hash(other.hash.prefix()));
        match table.entry(table_hash(key.hash.prefix()), is_same, hash_of) {
            Entry::Vacant(place) => {
                place.insert(number);
            }
            Entry::Occupied(mut place) => {
                if known(place.get()).is_some_and(|other| other.profile != key.profile) {
                    *place.get_mut() |= SHARED;
                }
            }
        }
    }

    /// Adds the profiles that have a key in their latest change.
    pub fn add_holders(&self, section: BucketSection, hash: HashPrefix, found: &mut FoundHolders) {
        let (word, bit) = filter_place(hash);
        if self.filter.get(word).is_none_or(|word| word & bit == 0) {
            return;
        }
        let known = |number: &u32| self.list.key(*number & !SHARED);
        let is_same = |number: &u32| known(number).is_some_and(|key| key.is_same(section.number(), hash));
        match self.table.find(table_hash(hash), is_same) {
            None => {}
            Some(number) if number & SHARED != 0 => found.add_unknown(),
            Some(number) => {
                let profile = known(number).and_then(|key| self.list.profile(key.profile));
                profile.into_iter().for_each(|profile| found.add(profile));
            }
        }
    }
}

/// The place of a key in the table. Its hash is keyed with a secret, so callers cannot choose hashes that collide.
fn table_hash(hash: HashPrefix) -> u64 {
    hash.first
}

/// The word of a key in [`ChangedKeys::filter`], and its bit.
fn filter_place(hash: HashPrefix) -> (usize, u64) {
    (hash.rest as usize / 64 % FILTER_WORDS, 1 << (hash.rest % 64))
}

/// Bytes of a table for this many entries. The number of places is a power of two. At most seven in eight places are used, and each
/// place has one byte in addition to its entry.
fn table_bytes(entries: usize) -> usize {
    if entries == 0 {
        return 0;
    }
    let places = (entries * 8 / 7 + 1).next_power_of_two().max(4);
    places * (size_of::<u32>() + 1) + 16
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::{collection::vec, prelude::*};

    use super::*;
    use crate::{
        limits::MIB,
        memory::Budget,
        profiles::{
            key::KeyHash,
            live::message::{Answer, ChangeListWriter},
        },
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

    fn find(changes: &PendingChanges, section: BucketSection, hash: KeyHash) -> KeyMatch {
        let results = [1, 2, 1000].map(|buckets| {
            let bucket = BucketPlace { number: hash.bucket_number(buckets), buckets };
            let mut found = FoundHolders::default();
            changes.keys_in(bucket).add_holders(section, hash.prefix(), &mut found);
            found.result()
        });
        assert_eq!(results[..2], results[1..], "the number of buckets does not matter");
        results[0]
    }

    #[test]
    fn finds_changed_profiles_and_their_keys_in_the_right_section() {
        use BucketSection::{Profiles, Subscriptions};
        let mut writer = ChangeListWriter::new(3, [3, 3]);
        writer.begin(id(1));
        writer.push_key(Profiles, hash(1));
        writer.push_key(Subscriptions, hash(2));
        writer.begin(id(2));
        writer.begin(id(3));
        writer.push_key(Profiles, hash(1));
        let mut memory = Reservation::verified(&Budget::new(MIB, MIB));
        let changes = PendingChanges::new(writer.finish(), &mut memory).unwrap();
        assert_eq!(changes.version(), 3);
        assert_eq!([1, 2, 3, 4].map(|number| changes.is_changed(id(number))), [true, true, true, false]);
        assert_eq!(find(&changes, Profiles, hash(1)), KeyMatch::Ambiguous);
        assert_eq!(find(&changes, Subscriptions, hash(1)), KeyMatch::None);
        assert_eq!(find(&changes, Subscriptions, hash(2)), KeyMatch::Profile(id(1)));
    }

    /// The keys of each changed profile.
    type Contacts = BTreeMap<u32, Vec<u32>>;

    fn list(version: u64, contacts: &Contacts) -> ChangeList {
        let mut writer = ChangeListWriter::new(version, [0, 0]);
        for (profile, keys) in contacts {
            writer.begin(id(*profile));
            keys.iter().for_each(|key| writer.push_key(BucketSection::Profiles, hash(*key)));
        }
        writer.finish()
    }

    fn contacts() -> impl Strategy<Value = Contacts> {
        vec((0..20_u32, vec(0..10_u32, 0..4)), 0..12).prop_map(|rows| rows.into_iter().collect())
    }

    proptest! {
        #[test]
        fn later_changes_replace_those_of_the_same_profiles(earlier in contacts(), later in contacts()) {
            let mut memory = Reservation::verified(&Budget::new(MIB, MIB));
            let kept = PendingChanges::new(list(1, &earlier), &mut memory).unwrap();
            let updated = kept.updated(list(2, &later), &mut memory).unwrap();
            let mut all = earlier;
            all.extend(later);
            let expected = PendingChanges::new(list(2, &all), &mut memory).unwrap();
            prop_assert_eq!(updated.version(), 2);
            prop_assert_eq!(updated.list.count(), expected.list.count());
            for profile in (0..20).map(id) {
                prop_assert_eq!(updated.is_changed(profile), expected.is_changed(profile));
            }
            for key in (0..10).map(hash) {
                let results = [&updated, &expected].map(|changes| find(changes, BucketSection::Profiles, key));
                prop_assert_eq!(results[0], results[1]);
            }
            let message = updated.list.clone().into_message();
            prop_assert_eq!(Answer::read(message), Ok(Answer::Changes(updated.list)));
        }
    }

    #[test]
    fn needs_at_most_six_mebibytes_for_the_most_changes() {
        const LIMIT: u32 = 100_000;
        // Each profile has its ID and a number of other keys, which count with the profile towards the limit.
        for other_keys in [0, 1, 2, 9] {
            let mut writer = ChangeListWriter::new(1, [0, 0]);
            let mut number = 0;
            for profile in 0..LIMIT / (1 + other_keys) {
                writer.begin(id(profile));
                for _ in 0..=other_keys {
                    number += 1;
                    writer.push_key(BucketSection::Profiles, hash(number));
                }
            }
            let list = writer.finish();
            let mut memory = Reservation::verified(&Budget::new(64 * MIB, MIB));
            memory.grow(list.bytes() as u64).unwrap();
            let changes = PendingChanges::new(list, &mut memory).unwrap();
            assert_eq!(find(&changes, BucketSection::Profiles, hash(1)), KeyMatch::Profile(id(0)));
            assert!(memory.bytes() <= 6 * MIB, "{other_keys}: {} bytes", memory.bytes());
        }
    }
}
