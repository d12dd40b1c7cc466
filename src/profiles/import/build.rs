//! Sorts the keys of buckets, and writes them. A second thread divides keys into the next buckets in the meantime.

use std::{
    io,
    sync::mpsc::{Receiver, Sender, SyncSender, TrySendError, channel, sync_channel},
    thread,
};

use super::{
    error::ImportError,
    sort::{GroupedBuckets, KeyRecord, PartitionedRecords, Sorter},
};
use crate::{
    limits::{BUCKET_LIMIT, BUCKET_TARGET, BULK_KEYS, BULK_READS_LIMIT},
    profiles::{
        bucket::{self, ENTRY_BYTES, WrittenBucket},
        key::Class,
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

/// The keys of all rows, and the number of buckets of each class.
pub struct IndexPlan {
    classes: Vec<ClassIndex>,
    /// The field number of each class in the records, in the order of `classes`.
    field_numbers: Vec<u16>,
    records: PartitionedRecords,
}

/// Buckets, or why the keys cannot be divided into buckets.
type GroupResult = Result<GroupedBuckets, ImportError>;

impl IndexPlan {
    pub(super) fn new(fields: Vec<(Class, String)>, sorter: Sorter) -> Result<Self, ImportError> {
        let (counts, records) = sorter.finish();
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
        self,
        on_bucket: impl FnMut(&ClassIndex, u32, String) -> Result<(), E>,
    ) -> Result<BuiltIndex, E> {
        let Self { classes, field_numbers, records } = self;
        let fields: Vec<(u16, u32)> =
            field_numbers.into_iter().zip(classes.iter().map(|index| index.buckets)).collect();
        let (sender, receiver) = sync_channel(1);
        let (written, unused) = channel();
        thread::scope(|scope| {
            // Ends when the receiver is dropped, and drops the sender when it ends.
            let group = move || group_fields(records, &fields, &sender, unused);
            thread::Builder::new().spawn_scoped(scope, group).map_err(ImportError::from)?;
            write_buckets(classes, receiver, written, on_bucket)
        })
    }
}

/// Divides the records of fields into buckets, whose numbers of buckets are given. The memory of `unused` buckets is used again.
fn group_fields(
    mut records: PartitionedRecords,
    fields: &[(u16, u32)],
    sender: &SyncSender<GroupResult>,
    unused: Receiver<GroupedBuckets>,
) {
    for (field, buckets) in fields {
        let send = |grouped| send_buckets(grouped, sender).then(|| unused.try_recv().unwrap_or_default());
        match records.group(*field, *buckets, send) {
            Ok(true) => {}
            Ok(false) => return,
            Err(error) => {
                // Without a receiver, the build has failed already.
                let _ = sender.send(Err(error));
                return;
            }
        }
    }
}

/// Returns `false` if there is no receiver. Sorts the buckets if the receiver is behind, instead of waiting for it.
fn send_buckets(grouped: GroupedBuckets, sender: &SyncSender<GroupResult>) -> bool {
    match sender.try_send(Ok(grouped)) {
        Err(TrySendError::Full(Ok(mut grouped))) => {
            grouped.sort();
            sender.send(Ok(grouped)).is_ok()
        }
        result => result.is_ok(),
    }
}

fn write_buckets<E: From<ImportError>>(
    classes: Vec<ClassIndex>,
    grouped: Receiver<GroupResult>,
    written: Sender<GroupedBuckets>,
    mut on_bucket: impl FnMut(&ClassIndex, u32, String) -> Result<(), E>,
) -> Result<BuiltIndex, E> {
    let mut built = BuiltIndex::default();
    for mut index in classes {
        let mut number = 0;
        while number < index.buckets {
            let ended = |_| ImportError::from(io::Error::other("the thread that divides keys into buckets has ended"));
            let mut buckets = grouped.recv().map_err(ended)??;
            for sections in buckets.sorted() {
                let text = built.add_bucket(index.class, sections)?;
                index.largest = index.largest.max(u32::try_from(text.len()).unwrap_or(u32::MAX));
                on_bucket(&index, number, text)?;
                number += 1;
            }
            // Without a receiver, all keys are divided.
            written.send(buckets).ok();
        }
        built.classes.push(index);
    }
    built.classes.sort_by(|a, b| (a.class, &a.field).cmp(&(b.class, &b.field)));
    Ok(built)
}

impl BuiltIndex {
    /// Counts the keys of a bucket, and returns its text.
    fn add_bucket(&mut self, class: Class, sections: [&[KeyRecord]; 2]) -> Result<String, ImportError> {
        let entries = sections.map(|records| records.iter().map(KeyRecord::entry).collect());
        let bucket = bucket::write(entries).ok().filter(|bucket| bucket.text.len() <= BUCKET_LIMIT);
        let WrittenBucket { text, keys, ambiguous } = bucket.ok_or(ImportError::BucketTooLarge(class))?;
        if class == Class::ProfileId {
            self.profiles += keys as u64;
        } else {
            self.keys += keys as u64;
            self.ambiguous += ambiguous as u64;
        }
        Ok(text)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::error_chain;

    #[test]
    fn a_build_fails_if_the_thread_that_divides_keys_ends_too_early() {
        let index = ClassIndex { class: Class::Email, field: String::new(), buckets: 1, largest: 0 };
        let (_, records) = Sorter::new(1, 0).finish();
        // Without a field number, nothing is divided.
        let plan = IndexPlan { classes: vec![index], field_numbers: Vec::new(), records };
        let built = plan.build(|_, _, _| Ok::<_, ImportError>(()));
        assert!(error_chain(&built.unwrap_err()).contains("has ended"));
    }
}
