//! Collects the hashed keys of all rows.

use super::{
    error::ImportError,
    sort::{KeyRecord, Sorter},
};
use crate::profiles::{
    bucket::BucketSection,
    column::NormalKey,
    key::{Class, IndexKey, KeyHash, KeyHasher, ProfileId},
    manifest::FieldTotals,
    normal::Normaliser,
};

/// Hashes keys and sorts them. Classes with a field name have one number for each field.
pub struct KeyCollector {
    key: IndexKey,
    normaliser: Normaliser,
    /// A class and a field name. The position is the number in [`KeyRecord::field`].
    fields: Vec<(Class, String)>,
    totals: FieldTotals,
    sorter: Sorter,
}

impl KeyCollector {
    /// Keeps at most `run` keys in memory.
    pub fn new(key: IndexKey, run: usize) -> Self {
        Self {
            key,
            normaliser: Normaliser::native(),
            fields: Vec::new(),
            totals: FieldTotals::default(),
            sorter: Sorter::new(run),
        }
    }

    /// Returns the number of a class and field. Adds the field if it is new.
    pub fn field_number(&mut self, class: Class, field: &str) -> Result<u16, ImportError> {
        let known = self.fields.iter().position(|(c, f)| *c == class && f == field);
        let number = known.unwrap_or(self.fields.len());
        if known.is_none() {
            self.totals.add(field);
            self.totals.check()?;
            self.fields.push((class, field.to_owned()));
        }
        Ok(u16::try_from(number).map_err(std::io::Error::other)?)
    }

    pub fn normaliser(&self) -> &Normaliser {
        &self.normaliser
    }

    pub fn hash(&self, key: &NormalKey<'_>) -> KeyHash {
        key.hash(&self.key)
    }

    /// Returns the hasher of one class and field.
    pub fn hasher(&self, class: Class, field: &str) -> KeyHasher {
        self.key.hasher(class, field)
    }

    /// Hashes a normalised key of a class without a field name.
    pub fn hash_bytes(&self, class: Class, value: &[u8]) -> KeyHash {
        self.key.hash_bytes(class, "", value)
    }

    /// Adds a key of a profile.
    pub fn add(
        &mut self,
        field: u16,
        section: BucketSection,
        hash: KeyHash,
        profile: ProfileId,
    ) -> Result<(), ImportError> {
        self.sorter.add(KeyRecord::new(field, section, hash, profile))
    }

    /// Returns the fields in the order of their numbers, and the keys.
    pub fn into_parts(self) -> (Vec<(Class, String)>, Sorter) {
        (self.fields, self.sorter)
    }
}
