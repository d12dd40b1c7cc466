//! The pending changes in the object's memory: rows by profile, and profiles by the hashes of their keys.
//!
//! Queries by hash would need an index in the database, and each of its entries is billed as a row that is written.

use hashbrown::{DefaultHashBuilder, HashMap, HashTable};

use super::row::{DamagedKeys, PackedKey, PackedKeys, count_units};
use crate::profiles::key::{KeyHash, ProfileId};

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

/// A profile that has a key.
#[derive(Debug, Clone, Copy)]
struct Holder {
    hash: KeyHash,
    profile: ProfileId,
}

/// Bytes of memory for each row besides its keys: its place in the map at the lowest load, and the allocation of its keys.
const ROW_BYTES: usize = 2 * (size_of::<(ProfileId, PendingRow)>() + 1) + 16;
/// Bytes of memory for each hash: its place in the table at the lowest load.
const HASH_BYTES: usize = 2 * (size_of::<Holder>() + 1);

#[derive(Debug, Default)]
pub struct PendingIndex {
    rows: HashMap<ProfileId, PendingRow, DefaultHashBuilder>,
    holders: HashTable<Holder>,
    /// Bytes of the keys of all rows.
    key_bytes: usize,
}

impl PendingIndex {
    pub fn get(&self, profile: &ProfileId) -> Option<&PendingRow> {
        self.rows.get(profile)
    }

    pub fn rows(&self) -> impl Iterator<Item = (&ProfileId, &PendingRow)> {
        self.rows.iter()
    }

    /// Returns the profiles that have a key with this hash.
    pub fn holders(&self, hash: KeyHash) -> impl Iterator<Item = ProfileId> {
        self.holders.iter_hash(table_hash(&hash)).filter(move |holder| holder.hash == hash).map(|holder| holder.profile)
    }

    /// Adds a row, and removes the earlier row of the profile.
    pub fn insert(&mut self, profile: ProfileId, row: PendingRow) -> Result<(), DamagedKeys> {
        self.remove(&profile)?;
        for key in row.keys() {
            for hash in hashes(&key?) {
                self.holders.insert_unique(table_hash(&hash), Holder { hash, profile }, |other| table_hash(&other.hash));
            }
        }
        self.key_bytes += row.keys.len();
        self.rows.insert(profile, row);
        Ok(())
    }

    fn remove(&mut self, profile: &ProfileId) -> Result<(), DamagedKeys> {
        let Some(row) = self.rows.remove(profile) else { return Ok(()) };
        self.key_bytes -= row.keys.len();
        for key in row.keys() {
            for hash in hashes(&key?) {
                let is_same = |holder: &Holder| holder.hash == hash && holder.profile == *profile;
                if let Ok(entry) = self.holders.find_entry(table_hash(&hash), is_same) {
                    entry.remove();
                }
            }
        }
        Ok(())
    }

    /// Removes the changes up to a version.
    pub fn remove_through(&mut self, version: u64) -> Result<(), DamagedKeys> {
        let old: Vec<ProfileId> =
            self.rows.iter().filter(|(_, row)| row.version <= version).map(|(id, _)| *id).collect();
        old.iter().try_for_each(|profile| self.remove(profile))
    }

    /// Returns how much the changes after one version, up to another, count towards the limit.
    pub fn units_between(&self, after: u64, through: u64) -> Result<u64, DamagedKeys> {
        let rows = self.rows.values().filter(|row| row.version > after && row.version <= through);
        rows.map(PendingRow::units).sum()
    }

    /// Bytes of memory in use.
    pub fn bytes(&self) -> u64 {
        Self::bytes_of(self.rows.len(), self.holders.len(), self.key_bytes)
    }

    /// Bytes of memory of this number of rows and hashes.
    pub fn bytes_of(rows: usize, hashes: usize, key_bytes: usize) -> u64 {
        (rows * ROW_BYTES + hashes * HASH_BYTES + key_bytes) as u64
    }
}

fn hashes<'a>(key: &PackedKey<'a>) -> impl Iterator<Item = KeyHash> + use<'a> {
    key.hashes.iter().copied().map(KeyHash)
}

/// The hash of a key is keyed with a secret, so callers cannot choose hashes that collide in the table.
fn table_hash(hash: &KeyHash) -> u64 {
    let (halves, _) = hash.0.as_chunks::<8>();
    halves.first().map_or(0, |half| u64::from_le_bytes(*half))
}
