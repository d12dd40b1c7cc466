//! Collects the hashed keys of rows, and passes them to another thread.

use std::{io, sync::mpsc::SyncSender};

use super::{
    error::ImportError,
    sort::{KeyRecord, Sorter},
};
use crate::{
    limits::SORT_BATCH,
    profiles::{
        bucket::BucketSection,
        column::NormalKey,
        key::{Class, IndexKey, KeyHash, KeyHasher, ProfileId},
        manifest::FieldTotals,
        normal::Normaliser,
    },
};

/// A class and a field name. The position in a list is the number of the field in [`KeyRecord`].
pub type NumberedField = (Class, String);

/// A key of a row: the number of its field, its section and its hash.
pub type RowKey = (u16, BucketSection, KeyHash);

/// The keys of some rows.
#[derive(Debug, Default)]
pub struct KeyBatch {
    /// The number of the field of profile IDs.
    profile_field: u16,
    /// The profile of each row, and the number of its keys.
    rows: Vec<(ProfileId, usize)>,
    keys: Vec<RowKey>,
}

impl KeyBatch {
    /// Adds the profile IDs and the keys to a sorter. `hasher` hashes profile IDs: this thread does less than the one that reads
    /// the rows.
    pub fn add_to(&self, sorter: &mut Sorter, hasher: &KeyHasher) -> Result<(), ImportError> {
        let mut rest = self.keys.as_slice();
        for (profile, count) in &self.rows {
            let hash = hasher.hash(&profile.to_hex());
            sorter.add(KeyRecord::new(self.profile_field, BucketSection::Profiles, hash, *profile))?;
            let (keys, others) = rest.split_at_checked(*count).unwrap_or_default();
            for (field, section, hash) in keys {
                sorter.add(KeyRecord::new(*field, *section, *hash, *profile))?;
            }
            rest = others;
        }
        Ok(())
    }
}

/// Numbers fields, and collects hashed keys in batches. Classes with a field name have one number for each field.
pub struct KeyCollector {
    key: IndexKey,
    normaliser: Normaliser,
    fields: Vec<NumberedField>,
    totals: FieldTotals,
    batch: KeyBatch,
    batches: SyncSender<KeyBatch>,
}

impl KeyCollector {
    /// `fields` are those of earlier files.
    pub fn new(key: IndexKey, fields: Vec<NumberedField>, batches: SyncSender<KeyBatch>) -> Self {
        let mut totals = FieldTotals::default();
        fields.iter().for_each(|(_, field)| totals.add(field));
        Self { key, normaliser: Normaliser::native(), fields, totals, batch: KeyBatch::default(), batches }
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

    /// Adds a row. Removes all keys from `keys`.
    pub fn add_row(&mut self, profile: ProfileId, keys: &mut Vec<RowKey>) -> Result<(), ImportError> {
        self.batch.profile_field = self.field_number(Class::ProfileId, "")?;
        self.batch.rows.push((profile, keys.len()));
        self.batch.keys.append(keys);
        let is_full = self.batch.rows.len() + self.batch.keys.len() >= SORT_BATCH;
        if is_full { self.flush() } else { Ok(()) }
    }

    /// Passes the collected rows to the other thread.
    pub fn flush(&mut self) -> Result<(), ImportError> {
        let ended = |_| io::Error::other("the thread that collects keys has ended");
        let KeyBatch { profile_field, rows, keys } = &self.batch;
        let (rows, keys) = (Vec::with_capacity(rows.len()), Vec::with_capacity(keys.len()));
        let next = KeyBatch { profile_field: *profile_field, rows, keys };
        Ok(self.batches.send(std::mem::replace(&mut self.batch, next)).map_err(ended)?)
    }

    /// Returns the fields in the order of their numbers. The other thread ends when it has received all batches.
    pub fn into_fields(self) -> Vec<NumberedField> {
        self.fields
    }
}
