//! From sorted keys to buckets.

use super::{
    ImportError,
    sort::{Merge, Record, Sorter},
};
use crate::{
    limits::{BUCKET_LIMIT, BUCKET_TARGET, BULK_KEYS, BULK_READS_LIMIT},
    profiles::{
        bucket::{self, ENTRY, Entry, Section},
        key::{Class, ProfileId, bucket_of},
        manifest::ClassIndex,
    },
};

/// What an import made.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Built {
    /// The indexes, by class and field, with the bytes of their largest buckets.
    pub classes: Vec<ClassIndex>,
    /// Profiles.
    pub profiles: u64,
    /// Keys other than profile ids.
    pub keys: u64,
    /// Of those, keys that stand for more than one profile.
    pub ambiguous: u64,
}

pub fn build(
    fields: Vec<(Class, String)>,
    sorter: Sorter,
    begin: impl FnOnce(&[ClassIndex]) -> Result<(), ImportError>,
    mut sink: impl FnMut(&ClassIndex, u32, String) -> Result<(), ImportError>,
) -> Result<Built, ImportError> {
    let (counts, mut records) = sorter.finish()?;
    let counts = counts.into_iter().chain(std::iter::repeat(0));
    // A field of which no value came has no index: nothing is found in it without a read.
    let mut planned = Vec::new();
    for (place, ((class, field), count)) in (0..).zip(fields.into_iter().zip(counts)) {
        if count > 0 {
            planned.push((place, ClassIndex { class, field, buckets: buckets(class, count)?, largest: 0 }));
        }
    }
    let classes: Vec<ClassIndex> = planned.iter().map(|(_, index)| index.clone()).collect();
    begin(&classes)?;
    let mut built = Built::default();
    let mut next = records.next()?;
    for (place, mut index) in planned {
        build_class(place, &mut index, &mut records, &mut next, &mut built, &mut sink)?;
        built.classes.push(index);
    }
    built.classes.sort_by(|a, b| (a.class, &a.field).cmp(&(b.class, &b.field)));
    Ok(built)
}

/// How many buckets a class has for so many keys: enough for buckets of [`BUCKET_TARGET`] bytes, but never so many
/// that a launch would need more than [`BULK_READS_LIMIT`] bulk reads.
pub fn buckets(class: Class, keys: u64) -> Result<u32, ImportError> {
    let most = match class {
        // The modes `email_phone*` read both.
        Class::Email | Class::Phone => BULK_READS_LIMIT / 2 * BULK_KEYS,
        Class::ProfileId | Class::Push | Class::Custom | Class::CustomSub => BULK_READS_LIMIT * BULK_KEYS,
    } as u64;
    let bytes = keys.saturating_mul(ENTRY as u64);
    let buckets = bytes.div_ceil(BUCKET_TARGET as u64).clamp(1, most);
    // No bucket is much fuller than another: the hash spreads the keys. A tenth is ten times their deviation.
    if bytes / buckets > (BUCKET_LIMIT - BUCKET_LIMIT / 10) as u64 {
        return Err(ImportError(format!("too many keys for one index: {keys} of the class {}", class.as_str())));
    }
    u32::try_from(buckets).map_err(|_| ImportError("too many buckets".into()))
}

fn build_class(
    place: u16,
    index: &mut ClassIndex,
    records: &mut Merge,
    next: &mut Option<Record>,
    built: &mut Built,
    sink: &mut impl FnMut(&ClassIndex, u32, String) -> Result<(), ImportError>,
) -> Result<(), ImportError> {
    let mut bucket = Vec::new();
    for number in 0..index.buckets {
        bucket.clear();
        while let Some(record) = next
            && record.field() == place
            && bucket_of(record.selector(), index.buckets) == number
        {
            bucket.push(record.in_bucket());
            *next = records.next()?;
        }
        let subscription = |section| section == Section::Subscriptions;
        bucket.sort_unstable_by_key(|(section, hash, profile)| (subscription(*section), *hash, *profile));
        let (profiles, subscriptions) =
            bucket.split_at(bucket.partition_point(|(section, ..)| !subscription(*section)));
        let (profiles, subscriptions) = (entries(profiles), entries(subscriptions));
        for entry in profiles.iter().chain(&subscriptions) {
            if index.class == Class::ProfileId {
                built.profiles += 1;
            } else {
                built.keys += 1;
                built.ambiguous += u64::from(entry.profile.is_none());
            }
        }
        let text = bucket::write(&profiles, &subscriptions).ok().filter(|text| text.len() <= BUCKET_LIMIT);
        let Some(text) = text else {
            return Err(ImportError(format!("a bucket of the class {} is too large", index.class.as_str())));
        };
        index.largest = index.largest.max(u32::try_from(text.len()).unwrap_or(u32::MAX));
        sink(index, number, text)?;
    }
    Ok(())
}

/// The entries of one section, of keys that are sorted: each key once.
fn entries(keys: &[(Section, [u8; 12], ProfileId)]) -> Vec<Entry> {
    let of_one_key = keys.chunk_by(|(_, a, _), (_, b, _)| a == b);
    let entry = |keys: &[(Section, [u8; 12], ProfileId)]| {
        let ((_, hash, profile), others) = keys.split_first()?;
        let unique = others.iter().all(|(_, _, other)| other == profile);
        Some(Entry { hash: *hash, profile: unique.then_some(*profile) })
    };
    of_one_key.filter_map(entry).collect()
}
