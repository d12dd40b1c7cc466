//! Writes sorted keys as buckets.

use super::{
    error::ImportError,
    sort::{RecordMerge, Sorter},
};
use crate::{
    limits::{BUCKET_LIMIT, BUCKET_TARGET, BULK_KEYS, BULK_READS_LIMIT},
    profiles::{
        bucket::{self, BucketEntry, BucketSection, ENTRY_BYTES},
        key::{Class, HashPrefix, ProfileId, bucket_number},
        manifest::ClassIndex,
    },
};

/// An index that has been built.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BuiltIndex {
    /// The indexes of all classes, sorted by class and field, with the sizes of their largest buckets.
    pub classes: Vec<ClassIndex>,
    /// Number of profiles.
    pub profiles: u64,
    /// Number of keys, without profile IDs.
    pub keys: u64,
    /// Number of keys that more than one profile has.
    pub ambiguous: u64,
}

/// The sorted keys of all rows, and the number of buckets of each class.
pub struct IndexPlan {
    classes: Vec<ClassIndex>,
    /// The field number of each class in the records, in the order of `classes`.
    field_numbers: Vec<u16>,
    records: RecordMerge,
}

/// A key in a bucket: its section, the prefix of its hash, and the profile.
type SectionKey = (BucketSection, HashPrefix, ProfileId);

impl IndexPlan {
    pub(super) fn new(fields: Vec<(Class, String)>, sorter: Sorter) -> Result<Self, ImportError> {
        let (counts, records) = sorter.finish()?;
        let counts = counts.into_iter().chain(std::iter::repeat(0));
        let mut plan = Self { classes: Vec::new(), field_numbers: Vec::new(), records };
        for (number, ((class, field), count)) in (0..).zip(fields.into_iter().zip(counts)) {
            // A class without keys has no index, so launches do not read it.
            if count > 0 {
                let buckets = count_buckets(class, count)?;
                plan.classes.push(ClassIndex { class, field, buckets, largest: 0 });
                plan.field_numbers.push(number);
            }
        }
        Ok(plan)
    }

    /// The classes with their numbers of buckets. The sizes of the largest buckets are not known yet.
    pub fn classes(&self) -> &[ClassIndex] {
        &self.classes
    }

    /// Builds all buckets, and passes the class, number and text of each one to `on_bucket`. Empty buckets are included.
    pub fn build<E: From<ImportError>>(
        mut self,
        mut on_bucket: impl FnMut(&ClassIndex, u32, String) -> Result<(), E>,
    ) -> Result<BuiltIndex, E> {
        let mut built = BuiltIndex::default();
        let mut next = self.records.next()?;
        for (mut index, field) in self.classes.into_iter().zip(self.field_numbers) {
            let mut keys = Vec::new();
            for number in 0..index.buckets {
                keys.clear();
                while let Some(record) = next
                    && record.field() == field
                    && bucket_number(record.selector(), index.buckets) == number
                {
                    keys.push(record.section_key());
                    next = self.records.next()?;
                }
                let text = built.add_bucket(index.class, &mut keys)?;
                index.largest = index.largest.max(u32::try_from(text.len()).unwrap_or(u32::MAX));
                on_bucket(&index, number, text)?;
            }
            built.classes.push(index);
        }
        built.classes.sort_by(|a, b| (a.class, &a.field).cmp(&(b.class, &b.field)));
        Ok(built)
    }
}

impl BuiltIndex {
    /// Counts the keys of a bucket, and returns its text.
    fn add_bucket(&mut self, class: Class, keys: &mut [SectionKey]) -> Result<String, ImportError> {
        let is_subscription = |section| section == BucketSection::Subscriptions;
        keys.sort_unstable_by_key(|(section, hash, profile)| (is_subscription(*section), *hash, *profile));
        let (profiles, subscriptions) = keys.split_at(keys.partition_point(|(section, ..)| !is_subscription(*section)));
        let (profiles, subscriptions) = (entries_of(profiles), entries_of(subscriptions));
        for key in [&profiles, &subscriptions].into_iter().flat_map(|entries| entries.chunk_by(|a, b| a.hash == b.hash))
        {
            if class == Class::ProfileId {
                self.profiles += 1;
            } else {
                self.keys += 1;
                self.ambiguous += u64::from(!matches!(key, [BucketEntry { profile: Some(_), .. }]));
            }
        }
        let text = bucket::write(&profiles, &subscriptions).ok().filter(|text| text.len() <= BUCKET_LIMIT);
        text.ok_or(ImportError::BucketTooLarge(class))
    }
}

/// Returns the number of buckets for the keys of a class: enough for buckets of [`BUCKET_TARGET`] bytes, but few enough for every
/// launch to need at most [`BULK_READS_LIMIT`] bulk reads.
pub fn count_buckets(class: Class, keys: u64) -> Result<u32, ImportError> {
    let most = match class {
        // The matching modes `email_phone` and `email_phone_sub` read both classes.
        Class::Email | Class::Phone => BULK_READS_LIMIT / 2 * BULK_KEYS,
        Class::ProfileId | Class::Push | Class::Custom | Class::CustomSub => BULK_READS_LIMIT * BULK_KEYS,
    } as u64;
    let bytes = keys.saturating_mul(ENTRY_BYTES as u64);
    let buckets = bytes.div_ceil(BUCKET_TARGET as u64).clamp(1, most);
    // The hash distributes keys evenly: a tenth of the limit is ten times the standard deviation of a bucket's size.
    let average_limit = (BUCKET_LIMIT - BUCKET_LIMIT / 10) as u64;
    let buckets = u32::try_from(buckets).ok().filter(|_| bytes / buckets <= average_limit);
    buckets.ok_or(ImportError::TooManyKeys { class, keys })
}

/// Returns the entries of sorted keys of one section.
fn entries_of(keys: &[SectionKey]) -> Vec<BucketEntry> {
    let mut entries: Vec<BucketEntry> =
        keys.iter().map(|(_, hash, profile)| BucketEntry { hash: *hash, profile: Some(*profile) }).collect();
    bucket::limit_profiles(&mut entries);
    entries
}
