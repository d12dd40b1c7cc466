//! Sorts more keys than fit in memory. Hashes are distributed evenly, so keys are first divided into partitions by the upper bits
//! of their hashes, in memory and in a temporary file. A partition fits in memory, and is sorted when its buckets are built.

use std::{
    fs::File,
    io::{self, BufWriter, Read, Seek, SeekFrom, Write},
    ops::Range,
};

use bytemuck::{Pod, Zeroable};

use super::error::ImportError;
use crate::{
    limits::{KEY_PROFILES_LIMIT, SORT_UNEVEN, SORT_WRITE},
    profiles::{
        bucket::{BucketEntry, BucketSection},
        key::{HashPrefix, KeyHash, ProfileId, bucket_number},
    },
};

/// The partitions of each field, by the upper bits of the selector.
const PARTITIONS: usize = 1 << PARTITION_BITS;
const PARTITION_BITS: u32 = 7;
/// The groups of each bucket, by the section and the upper bits of the hash prefix. Few records have a group in common.
const GROUPS: usize = 2 << GROUP_BITS;
const GROUP_BITS: u32 = 10;

/// A key of a profile, as it is in memory and in a temporary file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Zeroable, Pod)]
#[repr(C, packed)]
pub struct KeyRecord {
    /// [`KeyHash`] as a number, which is copied faster than an array.
    hash: u128,
    /// [`ProfileId`].
    profile: [u8; 12],
    /// [`BucketSection::number`].
    section: u8,
}

impl KeyRecord {
    pub fn new(section: BucketSection, KeyHash(hash): KeyHash, ProfileId(profile): ProfileId) -> Self {
        Self { hash: u128::from_ne_bytes(hash), profile, section: section.number() }
    }

    /// The entry of the record in its bucket.
    pub fn entry(&self) -> BucketEntry {
        BucketEntry { hash: self.hash().prefix(), profile: Some(ProfileId(self.profile)) }
    }

    fn hash(&self) -> KeyHash {
        KeyHash(self.hash.to_ne_bytes())
    }

    /// The partition of the record among those of its field.
    fn partition(&self) -> usize {
        (self.hash().selector() >> (u32::BITS - PARTITION_BITS)) as usize
    }

    /// The group of the record in its bucket.
    fn group(&self) -> usize {
        usize::from(self.section) << GROUP_BITS | (self.hash().prefix().first >> (u64::BITS - GROUP_BITS)) as usize
    }

    /// Records of a bucket are sorted by section, hash prefix and profile.
    fn bucket_order(&self) -> (u8, HashPrefix, ProfileId) {
        (self.section, self.hash().prefix(), ProfileId(self.profile))
    }
}

/// The temporary file, and where the records of each partition are in it.
#[derive(Default)]
struct SpillFile {
    file: Option<BufWriter<File>>,
    /// In bytes.
    length: u64,
    /// Adjacent records of each partition.
    segments: Vec<Vec<Segment>>,
}

/// Adjacent records in the temporary file.
struct Segment {
    /// In bytes.
    start: u64,
    records: usize,
}

impl SpillFile {
    /// Appends records of a partition.
    fn write(&mut self, partition: usize, records: &[KeyRecord]) -> io::Result<()> {
        let file = match &mut self.file {
            Some(file) => file,
            None => self.file.insert(BufWriter::with_capacity(SORT_WRITE, tempfile::tempfile()?)),
        };
        file.write_all(bytemuck::must_cast_slice(records))?;
        if self.segments.len() <= partition {
            self.segments.resize_with(partition + 1, Vec::new);
        }
        if let Some(segments) = self.segments.get_mut(partition) {
            segments.push(Segment { start: self.length, records: records.len() });
        }
        self.length += size_of_val(records) as u64;
        Ok(())
    }

    /// The number of records of a partition.
    fn count(&self, partition: usize) -> usize {
        self.segments.get(partition).into_iter().flatten().map(|segment| segment.records).sum()
    }

    /// Appends the records of a partition to `records`. Removes those that a bucket does not need if there are more than `limit`.
    fn read(&mut self, partition: usize, records: &mut Vec<KeyRecord>, limit: usize) -> io::Result<()> {
        let Some(file) = &mut self.file else { return Ok(()) };
        let mut most = limit;
        for segment in self.segments.get(partition).into_iter().flatten() {
            let start = records.len();
            records.resize(start + segment.records, KeyRecord::zeroed());
            file.seek(SeekFrom::Start(segment.start))?;
            let read = records.get_mut(start..).unwrap_or_default();
            file.get_mut().read_exact(bytemuck::must_cast_slice_mut(read))?;
            if records.len() > most {
                remove_unneeded(records);
                most = limit.max(2 * records.len());
            }
        }
        Ok(())
    }
}

/// Removes repeated records, and all but one more than [`KEY_PROFILES_LIMIT`] records of a key: the bucket does not name its profiles.
fn remove_unneeded(records: &mut Vec<KeyRecord>) {
    let key = |record: &KeyRecord| (record.hash, record.section);
    records.sort_unstable_by_key(|record| (key(record), record.profile));
    records.dedup();
    let (mut last, mut count) = (None, 0);
    records.retain(|record| {
        count = if last == Some(key(record)) { count + 1 } else { 1 };
        last = Some(key(record));
        count <= KEY_PROFILES_LIMIT + 1
    });
}

/// Divides records into partitions. When there are too many, the partitions take turns: all records of one are moved to a temporary
/// file.
pub struct Sorter {
    /// The records of each partition that are in memory.
    partitions: Vec<Vec<KeyRecord>>,
    /// The number of records in memory, and the most.
    held: usize,
    limit: usize,
    /// The least of `limit` for each partition.
    partition_length: usize,
    /// The partition whose turn is next.
    turn: usize,
    file: SpillFile,
}

impl Sorter {
    /// `limit`: most records in memory, or `partition_length` for each partition if that is more. There is memory for about twice as
    /// many, because the lists of partitions keep theirs, and for at most ten times as many.
    pub fn new(limit: usize, partition_length: usize) -> Self {
        let file = SpillFile::default();
        Self { partitions: Vec::new(), held: 0, limit, partition_length, turn: 0, file }
    }

    /// Adds a key of a field.
    #[inline]
    pub fn add(&mut self, field: u16, record: KeyRecord) -> Result<(), ImportError> {
        let first = usize::from(field) * PARTITIONS;
        if self.partitions.len() <= first {
            self.partitions.resize_with(first + PARTITIONS, Vec::new);
            self.limit = self.limit.max(self.partition_length * self.partitions.len());
        }
        if let Some(partition) = self.partitions.get_mut(first + record.partition()) {
            partition.push(record);
        }
        self.held += 1;
        if self.held <= self.limit { Ok(()) } else { self.spill() }
    }

    /// Moves the records of the next partition to the temporary file, and of more if it has none.
    #[inline(never)]
    fn spill(&mut self) -> Result<(), ImportError> {
        let count = self.partitions.len().max(1);
        while self.held > self.limit {
            if let Some(records) = self.partitions.get_mut(self.turn).filter(|records| !records.is_empty()) {
                self.file.write(self.turn, records).map_err(temporary_file)?;
                self.held -= records.len();
                records.clear();
                // A list with most records of a file that is sorted by one of its columns would keep too much memory.
                records.shrink_to(8 * self.limit / count);
            }
            self.turn = (self.turn + 1) % count;
        }
        Ok(())
    }

    /// Returns the number of records of each field, duplicates included, and the records. The numbers of fields after the last one
    /// with records are left out.
    pub fn finish(self) -> (Vec<u64>, PartitionedRecords) {
        let Self { partitions, file, .. } = self;
        let count = |(position, records): (usize, &Vec<KeyRecord>)| (records.len() + file.count(position)) as u64;
        let counts: Vec<u64> = partitions.iter().enumerate().map(count).collect();
        let counts = counts.chunks(PARTITIONS).map(|counts| counts.iter().sum()).collect();
        (counts, PartitionedRecords { partitions, file, next: 0 })
    }
}

/// The records of all fields.
pub struct PartitionedRecords {
    /// The records of each partition that are not in the file.
    partitions: Vec<Vec<KeyRecord>>,
    file: SpillFile,
    /// The partition after the last one that has been taken.
    next: usize,
}

impl PartitionedRecords {
    /// Divides the records of a field into buckets, and passes a few complete buckets at a time to `on_buckets`, in order. The
    /// function returns memory for the next ones, which can be that of buckets before, or `None` to stop. Fields must be passed in
    /// ascending order. Returns `false` after a stop.
    pub fn group(
        &mut self,
        field: u16,
        buckets: u32,
        mut on_buckets: impl FnMut(GroupedBuckets) -> Option<GroupedBuckets>,
    ) -> Result<bool, ImportError> {
        // Hashes are distributed evenly. A partition with many more records than others has some keys very often.
        let first = usize::from(field) * PARTITIONS;
        let average = (first..first + PARTITIONS).map(|position| self.file.count(position)).sum::<usize>() / PARTITIONS;
        let limit = SORT_UNEVEN.max(2 * average);
        let mut grouped = GroupedBuckets::default();
        // The records of the buckets from `next` on.
        let (mut records, mut next) = (Vec::new(), 0);
        for part in 0..PARTITIONS {
            self.take(first + part, &mut records, limit).map_err(temporary_file)?;
            // Later partitions begin with this selector, in this bucket.
            let end = u32::try_from((part as u64 + 1) << (u32::BITS - PARTITION_BITS))
                .map_or(buckets, |selector| bucket_number(selector, buckets));
            if end > next {
                grouped.fill(&mut records, next..end, buckets);
                match on_buckets(grouped) {
                    Some(unused) => grouped = unused,
                    None => return Ok(false),
                }
                next = end;
            }
        }
        Ok(true)
    }

    /// Moves the records of a partition to `records`, without those that a bucket does not need if there are more than `limit`.
    fn take(&mut self, position: usize, records: &mut Vec<KeyRecord>, limit: usize) -> io::Result<()> {
        if position < self.next {
            return Err(io::Error::other("the fields are not in order"));
        }
        self.next = position + 1;
        self.file.read(position, records, limit)?;
        records.append(&mut self.partitions.get_mut(position).map(std::mem::take).unwrap_or_default());
        Ok(())
    }
}

/// The records of adjacent buckets. Those of a bucket are divided into groups, but not sorted yet.
#[derive(Default)]
pub struct GroupedBuckets {
    /// There can be records after those of the buckets.
    records: Vec<KeyRecord>,
    /// The position after the records of each section of each bucket.
    ends: Vec<[usize; 2]>,
    is_sorted: bool,
}

impl GroupedBuckets {
    /// Sorts the records of each bucket, if that has not been done.
    pub fn sort(&mut self) {
        let mut start = 0;
        for [_, end] in self.ends.iter().filter(|_| !self.is_sorted) {
            let bucket = self.records.get_mut(std::mem::replace(&mut start, *end)..*end);
            sort_grouped(bucket.unwrap_or_default());
        }
        self.is_sorted = true;
    }

    /// Returns the sorted records of each bucket: those of profiles and those of subscriptions.
    pub fn sorted(&mut self) -> impl Iterator<Item = [&[KeyRecord]; 2]> {
        self.sort();
        let (records, mut start) = (&self.records, 0);
        self.ends
            .iter()
            .map(move |ends| ends.map(|end| records.get(std::mem::replace(&mut start, end)..end).unwrap_or_default()))
    }

    /// Moves the records of the buckets `wanted` from `records`, which keeps those of later buckets.
    fn fill(&mut self, records: &mut Vec<KeyRecord>, wanted: Range<u32>, buckets: u32) {
        // All later buckets are one.
        let place = |record: &KeyRecord| {
            let bucket = record.hash().bucket_number(buckets).min(wanted.end);
            bucket.saturating_sub(wanted.start) as usize * GROUPS + record.group()
        };
        let group_ends = group_records(records, (wanted.len() + 1) * GROUPS, place, &mut self.records);
        let buckets = group_ends.as_chunks::<GROUPS>().0.iter().take(wanted.len());
        self.is_sorted = false;
        self.ends.clear();
        self.ends.extend(
            buckets
                .map(|groups| [GROUPS / 2 - 1, GROUPS - 1].map(|last| groups.get(last).copied().unwrap_or_default())),
        );
        let end = self.ends.last().map_or(0, |[_, end]| *end);
        records.clear();
        records.extend_from_slice(self.records.get(end..).unwrap_or_default());
    }
}

/// Sorts the records of a bucket, whose groups are in order. Most groups have few records, so most records are near their place.
fn sort_grouped(bucket: &mut [KeyRecord]) {
    /// Most records that one is moved before. A key of many profiles has more.
    const DISTANCE_LIMIT: usize = 16;
    for end in 2..=bucket.len() {
        let Some((record, sorted)) = bucket.get(..end).and_then(<[_]>::split_last) else { continue };
        let distance = sorted.iter().rev().take_while(|other| record.bucket_order() < other.bucket_order()).count();
        if distance > DISTANCE_LIMIT {
            return bucket.sort_unstable_by_key(KeyRecord::bucket_order);
        }
        if distance > 0
            && let Some(moved) = bucket.get_mut(end - 1 - distance..end)
        {
            moved.rotate_right(1);
        }
    }
}

/// Writes the records to `grouped`, those of one group together. Returns the position after each group.
fn group_records(
    records: &[KeyRecord],
    groups: usize,
    group: impl Fn(&KeyRecord) -> usize,
    grouped: &mut Vec<KeyRecord>,
) -> Vec<usize> {
    let mut ends = vec![0_usize; groups];
    for record in records {
        if let Some(count) = ends.get_mut(group(record)) {
            *count += 1;
        }
    }
    // Each count becomes the start of its group, and while records are added, the end.
    let mut next = 0;
    for start in &mut ends {
        next += std::mem::replace(start, next);
    }
    grouped.resize(records.len(), KeyRecord::zeroed());
    for record in records {
        if let Some(end) = ends.get_mut(group(record)) {
            if let Some(slot) = grouped.get_mut(*end) {
                *slot = *record;
            }
            *end += 1;
        }
    }
    ends
}

fn temporary_file(source: io::Error) -> ImportError {
    ImportError::TemporaryFile { folder: std::env::temp_dir(), source }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;
    use crate::profiles::bucket;

    fn entries(records: &[KeyRecord]) -> Vec<BucketEntry> {
        records.iter().map(KeyRecord::entry).collect()
    }

    /// Sorts records by comparing them.
    fn sort_plainly(records: &[(u16, KeyRecord)], field: u16, buckets: u32) -> Vec<[Vec<BucketEntry>; 2]> {
        let of = |bucket: u32, number: usize| {
            let is_here = |record: &KeyRecord| {
                record.hash().bucket_number(buckets) == bucket && usize::from(record.section) == number
            };
            let in_field = records.iter().filter(|(other, _)| *other == field);
            let records: Vec<KeyRecord> = in_field.map(|(_, record)| *record).filter(is_here).collect();
            let mut entries = entries(&records);
            entries.sort();
            entries
        };
        (0..buckets).map(|bucket| [of(bucket, 0), of(bucket, 1)]).collect()
    }

    /// Returns the buckets of each of the fields.
    fn sort(
        records: &[(u16, KeyRecord)],
        limit: usize,
        fields: &[u16],
        buckets: u32,
    ) -> Vec<Vec<[Vec<BucketEntry>; 2]>> {
        let mut sorter = Sorter::new(limit, 0);
        records.iter().for_each(|(field, record)| sorter.add(*field, *record).unwrap());
        let (counts, mut records) = sorter.finish();
        let sort_field = |field: &u16| {
            let mut sorted = Vec::new();
            let is_complete = records.group(*field, buckets, |mut part| {
                // Sorting twice changes nothing.
                if sorted.len() % 2 == 0 {
                    part.sort();
                }
                sorted.extend(part.sorted().map(|sections| sections.map(entries)));
                Some(part)
            });
            assert!(is_complete.unwrap());
            let found: usize = sorted.iter().flatten().map(Vec::len).sum();
            assert_eq!(counts.get(usize::from(*field)).copied().unwrap_or(0), found as u64);
            sorted
        };
        fields.iter().map(sort_field).collect()
    }

    #[test]
    fn fields_out_of_order_are_an_error() {
        let (_, mut records) = Sorter::new(1, 0).finish();
        assert!(records.group(1, 1, Some).is_ok());
        assert!(records.group(0, 1, Some).is_err());
    }

    proptest! {
        #[test]
        fn sorts_like_comparing(
            keys in vec((0..3_u16, any::<bool>(), any::<[u8; 2]>(), any::<u32>(), 0..3_u8), 0..300),
            limit in 1..400_usize,
            buckets in prop_oneof![1..4_u32, 200..700_u32],
        ) {
            let record = |(field, is_profile, prefix, selector, profile): (u16, bool, [u8; 2], u32, u8)| {
                let section = if is_profile { BucketSection::Profiles } else { BucketSection::Subscriptions };
                let mut hash = [0; 16];
                (hash[0], hash[7]) = (prefix[0] % 4, prefix[1]);
                hash[12..].copy_from_slice(&selector.to_le_bytes());
                (field, KeyRecord::new(section, KeyHash(hash), ProfileId([profile; 12])))
            };
            let records: Vec<(u16, KeyRecord)> = keys.into_iter().map(record).collect();
            for fields in [vec![0, 1, 2], vec![0, 2], vec![1]] {
                let expected: Vec<_> = fields.iter().map(|field| sort_plainly(&records, *field, buckets)).collect();
                prop_assert_eq!(sort(&records, limit, &fields, buckets), expected);
            }
        }
    }

    /// A record of a key whose hash has this byte in all places.
    fn record(hash: u8, profile: u32) -> KeyRecord {
        let mut id = [0; 12];
        id[..4].copy_from_slice(&profile.to_be_bytes());
        KeyRecord::new(BucketSection::Profiles, KeyHash([hash; 16]), ProfileId(id))
    }

    #[test]
    fn a_file_that_is_sorted_by_a_column_needs_no_more_memory() {
        const LIMIT: usize = 1000;
        let mut sorter = Sorter::new(LIMIT, 0);
        for hash in 0..=u8::MAX {
            (0..3 * LIMIT as u32).for_each(|profile| sorter.add(0, record(hash, profile)).unwrap());
        }
        let memory: usize = sorter.partitions.iter().map(Vec::capacity).sum();
        assert!(memory <= 10 * LIMIT, "{memory}");
    }

    #[test]
    fn a_key_of_very_many_profiles_is_not_read_into_memory() {
        const PROFILES: u32 = 4 * SORT_UNEVEN as u32;
        let mut sorter = Sorter::new(1000, 0);
        (0..PROFILES).for_each(|profile| sorter.add(0, record(7, profile)).unwrap());
        (0..3).for_each(|profile| sorter.add(0, record(8, profile)).unwrap());
        let (counts, mut records) = sorter.finish();
        assert_eq!(counts, [u64::from(PROFILES) + 3]);
        let mut found = Vec::new();
        let on_bucket = |mut part: GroupedBuckets| {
            found.extend(part.sorted().flatten().flatten().map(KeyRecord::entry));
            Some(part)
        };
        assert!(records.group(0, 1, on_bucket).unwrap());
        let [many, few] = [7, 8].map(|hash| {
            let hash = KeyHash([hash; 16]).prefix();
            found.iter().filter(|entry| entry.hash == hash).count()
        });
        assert!((KEY_PROFILES_LIMIT + 1..=SORT_UNEVEN + 1000).contains(&many), "{many}");
        assert_eq!(few, 3);
    }

    proptest! {
        #[test]
        fn unneeded_records_do_not_change_the_bucket(
            keys in vec((0..3_u8, any::<bool>(), 0..2 * KEY_PROFILES_LIMIT as u32), 0..200),
        ) {
            let of_key = |(hash, is_profile, profile): (u8, bool, u32)| {
                let section = if is_profile { BucketSection::Profiles } else { BucketSection::Subscriptions };
                KeyRecord { section: section.number(), ..record(hash, profile) }
            };
            let mut records: Vec<KeyRecord> = keys.into_iter().map(of_key).collect();
            let write = |records: &[KeyRecord]| {
                let sections = [0, 1].map(|section| {
                    let mut own: Vec<_> = records.iter().filter(|record| record.section == section).copied().collect();
                    own.sort_by_key(KeyRecord::bucket_order);
                    entries(&own)
                });
                bucket::write(sections)
            };
            let expected = write(&records);
            remove_unneeded(&mut records);
            prop_assert_eq!(write(&records), expected);
            prop_assert!(records.len() <= 3 * 2 * (KEY_PROFILES_LIMIT + 1));
        }
    }

    #[test]
    fn a_record_contains_the_whole_key() {
        let hash = KeyHash(*b"0123456789abcdef");
        let profile = ProfileId(*b"ABCDEFGHIJKL");
        let record = KeyRecord::new(BucketSection::Subscriptions, hash, profile);
        assert_eq!(record.entry(), BucketEntry { hash: hash.prefix(), profile: Some(profile) });
        assert_eq!(record.hash(), hash);
        assert!(record.group() >= GROUPS / 2);
    }
}
