//! Folds changes into the buckets of a generation (native only).
//!
//! The number of buckets of a class stays the same, because a bucket contains only the first 96 bits of a hash, and the others
//! select the bucket.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::message::{DamagedMessage, PendingList};
use crate::{
    limits::{BUCKET_LIMIT, BUCKET_TARGET},
    profiles::{
        bucket::{self, Bucket, BucketEntry, BucketSection, CorruptBucket, ENTRY_BYTES, InvalidEntries},
        key::{Class, KeyHash, ProfileId},
        manifest::{ClassIndex, FieldTotals, Generation, TooManyFields},
    },
};

/// Why changes cannot be folded in.
#[derive(Debug, thiserror::Error)]
pub enum FoldError {
    #[error(transparent)]
    Message(#[from] DamagedMessage),
    #[error(transparent)]
    Bucket(#[from] CorruptBucket),
    #[error(transparent)]
    Entries(#[from] InvalidEntries),
    #[error("the keys of the class {} have become too many for its buckets: import the whole file", .0.as_str())]
    TooLarge(Class),
    #[error("too many custom fields or channels; import the whole file without those that are not needed")]
    Fields(#[from] TooManyFields),
}

/// A class and a field.
type ClassField = (Class, String);
/// The keys that are added to a bucket: section, hash and profile.
type AddedKeys = Vec<(BucketSection, KeyHash, ProfileId)>;

/// Changes that are folded into a generation.
pub struct Folding {
    /// The classes of the new generation: those of the old one, and then new ones.
    classes: Vec<ClassIndex>,
    /// Profiles whose entries do not count.
    changed: HashSet<ProfileId>,
    /// By the position of the class and the number of the bucket.
    added: HashMap<(usize, u32), AddedKeys>,
}

impl Folding {
    /// Sorts the changes of a list by bucket.
    pub fn new(generation: &Generation, list: &PendingList<'_>) -> Result<Self, FoldError> {
        let mut classes = generation.classes.clone();
        let mut changed = HashSet::new();
        let mut keys: BTreeMap<ClassField, AddedKeys> = BTreeMap::new();
        for row in list.rows() {
            let (profile, packed) = row?;
            changed.insert(profile);
            for key in packed {
                let key = key.map_err(|_| DamagedMessage)?;
                let hash = key.hash(0).ok_or(DamagedMessage)?;
                keys.entry((key.class, key.field.to_owned())).or_default().push((key.section, hash, profile));
            }
        }
        let mut added: HashMap<(usize, u32), AddedKeys> = HashMap::new();
        for ((class, field), keys) in keys {
            let known = classes.iter().position(|index| index.class == class && index.field == field);
            let position = known.unwrap_or(classes.len());
            if known.is_none() {
                // At most 100,000 keys need at most a hundred buckets.
                let buckets = u32::try_from((keys.len() * ENTRY_BYTES).div_ceil(BUCKET_TARGET)).unwrap_or(1).max(1);
                classes.push(ClassIndex { class, field, buckets, largest: 0 });
            }
            let buckets = classes.get(position).map_or(1, |index| index.buckets);
            for key in keys {
                added.entry((position, key.1.bucket_number(buckets))).or_default().push(key);
            }
        }
        let mut totals = FieldTotals::default();
        for index in &mut classes {
            index.largest = 0;
            totals.add(&index.field);
        }
        totals.check()?;
        Ok(Self { classes, changed, added })
    }

    /// The classes of the new generation, with the sizes of the buckets so far.
    pub fn classes(&self) -> &[ClassIndex] {
        &self.classes
    }

    /// Returns a bucket of the new generation. `old` is the bucket of the old one; `None`: the class is new.
    pub fn fold(&mut self, class: usize, number: u32, old: Option<&str>) -> Result<String, FoldError> {
        let old = old.map(Bucket::parse).transpose()?;
        let added = self.added.get(&(class, number)).map(Vec::as_slice).unwrap_or_default();
        let mut sections = [Vec::new(), Vec::new()];
        for (section, entries) in [BucketSection::Profiles, BucketSection::Subscriptions].into_iter().zip(&mut sections)
        {
            for entry in old.iter().flat_map(|bucket| bucket.entries(section)) {
                let entry = entry?;
                if entry.profile.is_none_or(|profile| !self.changed.contains(&profile)) {
                    entries.push(entry);
                }
            }
            let added = added.iter().filter(|(of, ..)| *of == section);
            entries
                .extend(added.map(|(_, hash, profile)| BucketEntry { hash: hash.prefix(), profile: Some(*profile) }));
            entries.sort_unstable();
        }
        let text = bucket::write(sections)?.text;
        if let Some(index) = self.classes.get_mut(class) {
            if text.len() > BUCKET_LIMIT {
                return Err(FoldError::TooLarge(index.class));
            }
            index.largest = index.largest.max(u32::try_from(text.len()).unwrap_or(u32::MAX));
        }
        Ok(text)
    }
}
