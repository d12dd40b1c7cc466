//! The pending changes in the object's memory: rows by profile, and profiles by the hashes of their keys.
//!
//! Queries by hash would need an index in the database, and each of its entries is billed as a row that is written.

use hashbrown::{DefaultHashBuilder, HashMap, HashSet, hash_map::Entry};

use super::row::{DamagedKeys, PackedKey, PackedKeys, count_units};
use crate::profiles::{
    bucket::BucketSection,
    key::{Class, KeyHash, ProfileId},
};

/// The latest change of a profile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PendingRow {
    /// The version that the change made.
    pub version: u64,
    /// When the change was applied, in milliseconds since 1970.
    pub at: u64,
    /// The number of the set of index keys that hashed the keys.
    pub key_set: u64,
    /// The number of index keys in that set.
    pub hashes: usize,
    /// Packed as in [`super::row`]. Empty: the profile is deleted.
    pub keys: Box<[u8]>,
}

impl PendingRow {
    pub fn keys(&self) -> PackedKeys<'_> {
        PackedKeys::new(&self.keys, self.hashes)
    }

    /// How much the row counts towards the limit.
    pub fn units(&self) -> Result<u64, DamagedKeys> {
        count_units(&self.keys, self.hashes)
    }
}

/// A key under one index key.
type HeldKey = (KeyHash, BucketSection);

/// The profiles that have a key. Thousands of profiles may share one, such as a switchboard's number.
#[derive(Debug)]
enum Holders {
    One(ProfileId),
    Many(Box<HashSet<ProfileId, DefaultHashBuilder>>),
}

/// Bytes of memory for each row besides its keys: its place in the map at the lowest load, and the allocation of its keys.
const ROW_BYTES: usize = 2 * (size_of::<(ProfileId, PendingRow)>() + 1) + 16;
/// Bytes of memory for each hash: its place in the table at the lowest load.
const HASH_BYTES: usize = 2 * (size_of::<(HeldKey, Holders)>() + 1);
/// A custom field or channel.
type PendingField = (Class, Box<str>);
/// Bytes of memory for each field besides its name: its place in the map at the lowest load, and the allocation of its name.
const FIELD_BYTES: usize = 2 * (size_of::<(PendingField, usize)>() + 1) + 16;

#[derive(Debug, Default)]
pub struct PendingIndex {
    rows: HashMap<ProfileId, PendingRow, DefaultHashBuilder>,
    holders: HashMap<HeldKey, Holders, DefaultHashBuilder>,
    /// The custom fields and channels of all rows, with the number of their keys.
    fields: HashMap<PendingField, usize, DefaultHashBuilder>,
    /// The number of keys of all rows, and of their hashes.
    keys: usize,
    hashes: usize,
    /// Bytes of the keys of all rows, and of the names in `fields`.
    key_bytes: usize,
}

impl PendingIndex {
    pub fn get(&self, profile: &ProfileId) -> Option<&PendingRow> {
        self.rows.get(profile)
    }

    pub fn rows(&self) -> impl Iterator<Item = (&ProfileId, &PendingRow)> {
        self.rows.iter()
    }

    /// Returns the number of rows and of their keys.
    pub fn count(&self) -> [usize; 2] {
        [self.rows.len(), self.keys]
    }

    /// Returns the profiles that have a key.
    pub fn holders(&self, section: BucketSection, hash: KeyHash) -> impl Iterator<Item = &ProfileId> {
        let (one, many) = match self.holders.get(&(hash, section)) {
            None => (None, None),
            Some(Holders::One(profile)) => (Some(profile), None),
            Some(Holders::Many(profiles)) => (None, Some(profiles.iter())),
        };
        one.into_iter().chain(many.into_iter().flatten())
    }

    /// Adds a row, and removes the earlier row of the profile.
    pub fn insert(&mut self, profile: ProfileId, row: PendingRow) -> Result<(), DamagedKeys> {
        self.remove_row(&profile)?;
        for key in row.keys() {
            let key = key?;
            self.keys += 1;
            self.add_field(&key);
            for held in held_keys(&key) {
                self.add_holder(held, profile);
            }
        }
        self.key_bytes += row.keys.len();
        self.rows.insert(profile, row);
        Ok(())
    }

    fn remove_row(&mut self, profile: &ProfileId) -> Result<(), DamagedKeys> {
        let Some(row) = self.rows.remove(profile) else { return Ok(()) };
        self.key_bytes -= row.keys.len();
        for key in row.keys() {
            let key = key?;
            self.keys -= 1;
            self.remove_field(&key);
            for held in held_keys(&key) {
                self.remove_holder(&held, profile);
            }
        }
        Ok(())
    }

    fn add_field(&mut self, key: &PackedKey<'_>) {
        if key.field.is_empty() {
            return;
        }
        let count = self.fields.entry((key.class, key.field.into())).or_default();
        if *count == 0 {
            self.key_bytes += key.field.len();
        }
        *count += 1;
    }

    fn remove_field(&mut self, key: &PackedKey<'_>) {
        if key.field.is_empty() {
            return;
        }
        if let Entry::Occupied(mut known) = self.fields.entry((key.class, key.field.into())) {
            *known.get_mut() -= 1;
            if *known.get() == 0 {
                known.remove();
                self.key_bytes -= key.field.len();
            }
        }
    }

    /// Returns the custom fields and channels of all rows.
    pub fn fields(&self) -> impl Iterator<Item = (Class, &str)> {
        self.fields.keys().map(|(class, field)| (*class, &**field))
    }

    pub fn has_field(&self, class: Class, field: &str) -> bool {
        self.fields.contains_key(&(class, field.into()))
    }

    fn add_holder(&mut self, held: HeldKey, profile: ProfileId) {
        self.hashes += 1;
        match self.holders.entry(held) {
            Entry::Vacant(place) => {
                place.insert(Holders::One(profile));
            }
            Entry::Occupied(mut known) => match known.get_mut() {
                Holders::One(first) => {
                    let profiles = [*first, profile].into_iter().collect();
                    known.insert(Holders::Many(Box::new(profiles)));
                }
                Holders::Many(profiles) => {
                    profiles.insert(profile);
                }
            },
        }
    }

    fn remove_holder(&mut self, held: &HeldKey, profile: &ProfileId) {
        self.hashes = self.hashes.saturating_sub(1);
        let is_unused = match self.holders.get_mut(held) {
            Some(Holders::One(_)) => true,
            Some(Holders::Many(profiles)) => {
                profiles.remove(profile);
                profiles.is_empty()
            }
            None => false,
        };
        if is_unused {
            self.holders.remove(held);
        }
    }

    /// Removes the changes up to a version and those before a time.
    pub fn remove(&mut self, through: u64, before: u64) -> Result<(), DamagedKeys> {
        let is_old = |row: &PendingRow| row.version <= through || row.at < before;
        let old: Vec<ProfileId> = self.rows.iter().filter(|(_, row)| is_old(row)).map(|(id, _)| *id).collect();
        old.iter().try_for_each(|profile| self.remove_row(profile))
    }

    /// Changes the time of a row.
    pub fn set_time(&mut self, profile: &ProfileId, at: u64) {
        if let Some(row) = self.rows.get_mut(profile) {
            row.at = at;
        }
    }

    /// Returns how much the changes after one version, up to another, count towards the limit.
    pub fn units_between(&self, after: u64, through: u64) -> Result<u64, DamagedKeys> {
        let rows = self.rows.values().filter(|row| row.version > after && row.version <= through);
        rows.map(PendingRow::units).sum()
    }

    /// Bytes of memory in use.
    pub fn bytes(&self) -> u64 {
        let maps = self.rows.len() * ROW_BYTES + self.hashes * HASH_BYTES + self.fields.len() * FIELD_BYTES;
        (maps + self.key_bytes) as u64
    }

    /// Bytes of memory that a row with these keys needs at most.
    pub fn row_bytes(keys: &[u8], hashes: usize) -> Result<u64, DamagedKeys> {
        let mut bytes = ROW_BYTES + keys.len();
        for key in PackedKeys::new(keys, hashes) {
            let field = key?.field;
            bytes += hashes * HASH_BYTES + if field.is_empty() { 0 } else { FIELD_BYTES + field.len() };
        }
        Ok(bytes as u64)
    }
}

fn held_keys<'a>(key: &PackedKey<'a>) -> impl Iterator<Item = HeldKey> + use<'a> {
    let section = key.section;
    key.hashes.iter().map(move |hash| (KeyHash(*hash), section))
}
