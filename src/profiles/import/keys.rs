//! Collects the keys of rows, and passes them to another thread, which hashes them and adds them to a sorter.

use std::{
    io,
    sync::{
        Arc,
        mpsc::{SyncSender, TrySendError},
    },
};

use super::{
    error::ImportError,
    sort::{KeyRecord, Sorter},
};
use crate::{
    limits::{SORT_BATCH, SORT_BATCH_BYTES},
    profiles::{
        bucket::BucketSection,
        key::{Class, IndexKey, KeyHasher, ProfileId},
        manifest::FieldTotals,
        normal::Normaliser,
    },
};

/// A class and a field name. The position in a list is the number of the field.
pub type NumberedField = (Class, String);

/// A normalised key of a row. Its text is in the batch: the provider of a push subscription, and the value. It is small, because
/// memory that another processor has read is written slowly.
#[derive(Debug)]
struct RowKey {
    field: u16,
    section: BucketSection,
    provider_length: u16,
    value_length: u16,
}

/// The keys of some rows.
#[derive(Debug, Default)]
pub struct KeyBatch {
    /// The number of the field of profile IDs.
    profile_field: u16,
    /// The hasher of each field. Those of push subscriptions have not read a provider.
    hashers: Arc<Vec<KeyHasher>>,
    /// The profile of each row, and the number of its keys.
    rows: Vec<(ProfileId, u32)>,
    keys: Vec<RowKey>,
    /// The texts of all keys.
    text: String,
}

/// What a second thread adds to a sorter.
#[derive(Debug)]
pub enum QueuedKeys {
    Unhashed(KeyBatch),
    /// Fields and records.
    Hashed(Vec<(u16, KeyRecord)>),
}

impl QueuedKeys {
    /// Adds the batch to a sorter. Hashes the keys if that has not been done.
    pub fn add_to(self, sorter: &mut Sorter, key: &IndexKey) -> Result<(), ImportError> {
        match self {
            Self::Unhashed(batch) => batch.hash(key, |field, record| sorter.add(field, record)),
            Self::Hashed(records) => records.into_iter().try_for_each(|(field, record)| sorter.add(field, record)),
        }
    }
}

impl KeyBatch {
    /// Hashes the profile IDs and the keys.
    fn hash(
        &self,
        key: &IndexKey,
        mut on_record: impl FnMut(u16, KeyRecord) -> Result<(), ImportError>,
    ) -> Result<(), ImportError> {
        let profile_hasher = self.hasher(self.profile_field)?;
        let (mut keys, mut text) = (self.keys.iter(), self.text.as_str());
        let mut take_text = |length: u16| {
            let (taken, rest) = text.split_at_checked(length.into()).ok_or_else(inconsistent_batch)?;
            text = rest;
            Ok::<_, ImportError>(taken)
        };
        for (profile, count) in &self.rows {
            let hash = profile_hasher.hash(&profile.to_hex());
            on_record(self.profile_field, KeyRecord::new(BucketSection::Profiles, hash, *profile))?;
            for RowKey { field, section, provider_length, value_length } in keys.by_ref().take(*count as usize) {
                let (provider, value) = (take_text(*provider_length)?, take_text(*value_length)?);
                let hash = match provider {
                    "" => self.hasher(*field)?.hash(value.as_bytes()),
                    _ => key.hash(Class::Push, provider, value),
                };
                on_record(*field, KeyRecord::new(*section, hash, *profile))?;
            }
        }
        if text.is_empty() { Ok(()) } else { Err(inconsistent_batch()) }
    }

    fn hasher(&self, field: u16) -> Result<&KeyHasher, ImportError> {
        self.hashers.get(usize::from(field)).ok_or_else(inconsistent_batch)
    }
}

fn ended() -> ImportError {
    io::Error::other("the thread that hashes keys has ended").into()
}

fn inconsistent_batch() -> ImportError {
    io::Error::other("a batch of keys is inconsistent").into()
}

/// Numbers fields, and collects keys in batches. Classes with a field name have one number for each field.
pub struct KeyCollector {
    key: IndexKey,
    normaliser: Normaliser,
    fields: Vec<NumberedField>,
    /// The number of the field of profile IDs, after the first row.
    profile_field: Option<u16>,
    totals: FieldTotals,
    /// The rows, and after them the keys of a row that is being read.
    batch: KeyBatch,
    /// The number of keys of complete rows in the batch, and the length of their texts.
    complete: (usize, usize),
    batches: SyncSender<QueuedKeys>,
}

impl KeyCollector {
    /// `fields` are those of earlier files.
    pub fn new(key: IndexKey, fields: Vec<NumberedField>, batches: SyncSender<QueuedKeys>) -> Self {
        let mut totals = FieldTotals::default();
        fields.iter().for_each(|(_, field)| totals.add(field));
        let hashers = fields.iter().map(|(class, field)| key.hasher(*class, field)).collect();
        let batch = KeyBatch { hashers: Arc::new(hashers), ..KeyBatch::default() };
        let normaliser = Normaliser::native();
        Self { key, normaliser, fields, profile_field: None, totals, batch, complete: (0, 0), batches }
    }

    /// Returns the number of a class and field. Adds the field if it is new.
    pub fn field_number(&mut self, class: Class, field: &str) -> Result<u16, ImportError> {
        let known = self.fields.iter().position(|(c, f)| *c == class && f == field);
        let number = known.unwrap_or(self.fields.len());
        if known.is_none() {
            self.totals.add(field);
            self.totals.check()?;
            self.fields.push((class, field.to_owned()));
            Arc::make_mut(&mut self.batch.hashers).push(self.key.hasher(class, field));
        }
        Ok(u16::try_from(number).map_err(std::io::Error::other)?)
    }

    pub fn normaliser(&self) -> &Normaliser {
        &self.normaliser
    }

    /// Adds a normalised key to the row that is being read. `provider` is that of a push subscription, or empty.
    pub fn add_key(&mut self, (field, section): (u16, BucketSection), provider: &str, value: &str) {
        let KeyBatch { keys, text, .. } = &mut self.batch;
        // A key is limited, far below 64 KiB.
        let [provider_length, value_length] =
            [provider, value].map(|text| u16::try_from(text.len()).unwrap_or(u16::MAX));
        keys.push(RowKey { field, section, provider_length, value_length });
        text.push_str(provider);
        text.push_str(value);
    }

    /// Removes the keys of the row that is being read.
    pub fn discard_row(&mut self) {
        let (keys, bytes) = self.complete;
        self.batch.keys.truncate(keys);
        self.batch.text.truncate(bytes);
    }

    /// Completes the row that is being read. Returns the number of its keys.
    pub fn add_row(&mut self, profile: ProfileId) -> Result<usize, ImportError> {
        let profile_field = match self.profile_field {
            Some(number) => number,
            None => self.field_number(Class::ProfileId, "")?,
        };
        self.profile_field = Some(profile_field);
        self.batch.profile_field = profile_field;
        let KeyBatch { rows, keys, text, .. } = &mut self.batch;
        let (known, _) = std::mem::replace(&mut self.complete, (keys.len(), text.len()));
        let count = keys.len() - known;
        // A row is limited, far below 4 GiB.
        rows.push((profile, u32::try_from(count).unwrap_or(u32::MAX)));
        if rows.len() + keys.len() >= SORT_BATCH || text.len() >= SORT_BATCH_BYTES {
            self.flush()?;
        }
        Ok(count)
    }

    /// Passes the complete rows to the other thread.
    pub fn flush(&mut self) -> Result<(), ImportError> {
        self.discard_row();
        self.complete = (0, 0);
        let KeyBatch { profile_field, rows, keys, text, hashers } = &self.batch;
        if rows.is_empty() {
            return Ok(());
        }
        let next = KeyBatch {
            profile_field: *profile_field,
            hashers: Arc::clone(hashers),
            rows: Vec::with_capacity(rows.len()),
            keys: Vec::with_capacity(keys.len()),
            text: String::with_capacity(text.len()),
        };
        match self.batches.try_send(QueuedKeys::Unhashed(std::mem::replace(&mut self.batch, next))) {
            Ok(()) => Ok(()),
            Err(TrySendError::Full(QueuedKeys::Unhashed(batch))) => {
                // The other thread is behind. This one hashes the keys instead of waiting for it.
                let mut records = Vec::with_capacity(batch.rows.len() + batch.keys.len());
                batch.hash(&self.key, |field, record| {
                    records.push((field, record));
                    Ok(())
                })?;
                self.batches.send(QueuedKeys::Hashed(records)).map_err(|_| ended())
            }
            Err(_) => Err(ended()),
        }
    }

    /// Returns the fields in the order of their numbers. The other thread ends when it has received all batches.
    pub fn into_fields(self) -> Vec<NumberedField> {
        self.fields
    }
}
