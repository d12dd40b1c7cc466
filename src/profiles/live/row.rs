//! The stored format of a changed profile's keys. Pinned: a change is a migration.
//!
//! ```text
//! class and section (8) | length of the field (16) | field | hash (128) under each index key
//! ```
//! Numbers are little-endian. A profile without keys is deleted: the keys of a profile that exists include its ID.

use crate::{
    limits::CHANGE_NAME_BYTES,
    profiles::{
        bucket::BucketSection,
        key::{Class, KeyHash},
    },
};

/// A key of a changed profile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PackedKey<'a> {
    pub class: Class,
    /// The name of the custom field or channel, as in [`ClassIndex`](crate::profiles::manifest::ClassIndex).
    pub field: &'a str,
    pub section: BucketSection,
    /// The hash under each index key of the row.
    pub hashes: &'a [[u8; 16]],
}

impl PackedKey<'_> {
    /// Returns the hash under one of the row's index keys.
    pub fn hash(&self, position: usize) -> Option<KeyHash> {
        self.hashes.get(position).copied().map(KeyHash)
    }

    /// Appends the key to the keys of a row.
    pub fn pack(&self, keys: &mut Vec<u8>) {
        // A field has at most `KEY_LIMIT` bytes.
        let length = u16::try_from(self.field.len()).unwrap_or(u16::MAX);
        keys.push(self.class.number() << 1 | self.section.number());
        keys.extend_from_slice(&length.to_le_bytes());
        keys.extend_from_slice(self.field.as_bytes());
        keys.extend_from_slice(self.hashes.as_flattened());
    }
}

/// The stored keys of a profile are damaged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the stored keys of a profile are damaged")]
pub struct DamagedKeys;

/// Reads the keys of a row.
#[derive(Debug, Clone)]
pub struct PackedKeys<'a> {
    rest: &'a [u8],
    /// The number of index keys of the row.
    hashes: usize,
}

impl<'a> PackedKeys<'a> {
    pub fn new(keys: &'a [u8], hashes: usize) -> Self {
        Self { rest: keys, hashes }
    }

    fn read(&mut self) -> Option<PackedKey<'a>> {
        let ([tag, a, b], rest) = self.rest.split_first_chunk::<3>()?;
        let (field, rest) = rest.split_at_checked(usize::from(u16::from_le_bytes([*a, *b])))?;
        let (hashes, rest) = rest.split_at_checked(self.hashes.checked_mul(16)?)?;
        self.rest = rest;
        Some(PackedKey {
            class: Class::from_number(tag >> 1)?,
            field: std::str::from_utf8(field).ok()?,
            section: BucketSection::from_number(*tag),
            hashes: hashes.as_chunks().0,
        })
    }
}

impl<'a> Iterator for PackedKeys<'a> {
    type Item = Result<PackedKey<'a>, DamagedKeys>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let key = self.read().ok_or(DamagedKeys);
        if key.is_err() {
            self.rest = &[];
        }
        Some(key)
    }
}

/// Returns how much a changed profile counts towards the limit of pending changes: one for the profile, and one for each key
/// other than its ID. A key counts once more for each [`CHANGE_NAME_BYTES`] of its field's name, so that as many changes as the
/// limit allows need a limited number of bytes.
pub fn count_units(keys: &[u8], hashes: usize) -> Result<u64, DamagedKeys> {
    let mut units = 1;
    for key in PackedKeys::new(keys, hashes) {
        let key = key?;
        units += u64::from(key.class != Class::ProfileId) + (key.field.len() / CHANGE_NAME_BYTES) as u64;
    }
    Ok(units)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::hex;

    #[test]
    fn the_format_is_pinned_and_can_be_read_back() {
        let hashes = [[1; 16], [2; 16]];
        let mut keys = Vec::new();
        let email =
            PackedKey { class: Class::Email, field: "", section: BucketSection::Subscriptions, hashes: &hashes };
        let custom = PackedKey { class: Class::Custom, field: "é", section: BucketSection::Profiles, ..email };
        let id = PackedKey { class: Class::ProfileId, section: BucketSection::Profiles, ..email };
        for key in [email, custom, id] {
            key.pack(&mut keys);
        }
        let both = format!("{}{}", "01".repeat(16), "02".repeat(16));
        assert_eq!(hex(&keys), format!("030000{both}0a0200c3a9{both}060000{both}"));
        let read: Vec<_> = PackedKeys::new(&keys, 2).map(Result::unwrap).collect();
        assert_eq!(read, [email, custom, id]);
        assert_eq!(count_units(&keys, 2), Ok(3));
        assert_eq!(count_units(&[], 2), Ok(1));
    }

    #[test]
    fn a_key_counts_once_more_for_each_part_of_a_long_name() {
        for (length, units) in [(1, 2), (63, 2), (64, 3), (1024, 18)] {
            let field = "x".repeat(length);
            let mut keys = Vec::new();
            let key = PackedKey { class: Class::Custom, field: &field, section: BucketSection::Profiles, hashes: &[] };
            key.pack(&mut keys);
            assert_eq!(count_units(&keys, 0), Ok(units), "{length}");
        }
    }

    #[test]
    fn reports_keys_that_are_cut_off_or_have_an_unknown_class() {
        let mut keys = Vec::new();
        PackedKey { class: Class::Phone, field: "", section: BucketSection::Profiles, hashes: &[[7; 16]] }
            .pack(&mut keys);
        for end in 1..keys.len() {
            assert_eq!(count_units(&keys[..end], 1), Err(DamagedKeys), "{end}");
        }
        keys[0] = 0x7e;
        assert_eq!(count_units(&keys, 1), Err(DamagedKeys));
    }
}
