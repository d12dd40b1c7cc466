//! Sorts more keys than fit in memory. Hashes are distributed evenly, so keys are first divided into partitions by the upper bits
//! of their hashes, in memory and in a temporary file. A partition fits in memory, and is sorted when its buckets are built.

use std::{
    fs::File,
    io::{self, BufWriter, Read, Seek, SeekFrom, Write},
    ops::Range,
    sync::mpsc::{Receiver, Sender, channel},
    thread::{self, JoinHandle},
};

use super::error::ImportError;
use crate::{
    limits::{SORT_PENDING, SORT_WRITE},
    profiles::{
        bucket::{BucketEntry, BucketSection},
        key::{HashPrefix, KeyHash, ProfileId, bucket_number},
    },
};

/// Size of a record in a temporary file, in bytes.
const RECORD_BYTES: usize = 32;
/// The partitions of each field, by the upper byte of the selector.
const PARTITIONS: usize = 256;
/// The groups of each bucket, by the section and the first ten bits of the hash prefix. Few records have a group in common.
const GROUPS: usize = 2 << 10;
/// The parts of the memory: two contain records that are not written yet, and one contains records that are being written.
const RUNS_IN_MEMORY: usize = 3;

/// A key of a profile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct KeyRecord {
    /// The field (16 bits), the selector (32), the section (8), and the first 72 bits of the hash prefix.
    high: u128,
    /// The last 24 bits of the hash prefix, the profile (96), and 8 unused bits.
    low: u128,
}

impl KeyRecord {
    pub fn new(field: u16, section: BucketSection, hash: KeyHash, ProfileId(id): ProfileId) -> Self {
        let section = u128::from(section.number());
        let prefix = hash.prefix().to_number();
        let high = u128::from(field) << 112 | u128::from(hash.selector()) << 80 | section << 72 | prefix >> 24;
        let [a, b, c, d, e, f, g, h, i, j, k, l] = id;
        let profile = u128::from_be_bytes([0, 0, 0, a, b, c, d, e, f, g, h, i, j, k, l, 0]);
        Self { high, low: (prefix & 0xFF_FFFF) << 104 | profile }
    }

    /// The position of the record's partition among those of all fields.
    fn partition(&self) -> usize {
        let [a, b, c, ..] = self.high.to_be_bytes();
        usize::from(u16::from_be_bytes([a, b])) * PARTITIONS + usize::from(c)
    }

    /// [`KeyHash::selector`].
    fn selector(&self) -> u32 {
        let [_, _, a, b, c, d, ..] = self.high.to_be_bytes();
        u32::from_be_bytes([a, b, c, d])
    }

    /// The group of the record in its bucket.
    fn group(&self) -> usize {
        // The lowest bit of the section is before the prefix.
        (self.high >> 62) as usize % GROUPS
    }

    /// Records of a bucket are sorted by section, hash prefix and profile.
    fn bucket_order(&self) -> (u128, u128) {
        (self.high << 48, self.low)
    }

    /// Whether the record is before another one of its bucket, by [`Self::bucket_order`].
    fn is_before(&self, other: &Self) -> bool {
        // The section and 56 bits of the hash prefix are different in most cases.
        let [first, other_first] = [self, other].map(|record| {
            let [_, _, _, _, _, _, first @ .., _, _] = record.high.to_be_bytes();
            u64::from_be_bytes(first)
        });
        first < other_first || first == other_first && self.bucket_order() < other.bucket_order()
    }

    /// The entry of the record in its bucket.
    pub fn entry(&self) -> BucketEntry {
        let [_, _, _, profile @ .., _] = self.low.to_be_bytes();
        let hash = HashPrefix::from_number(self.high << 24 | self.low >> 104);
        BucketEntry { hash, profile: Some(ProfileId(profile)) }
    }

    fn to_bytes(self) -> [u8; RECORD_BYTES] {
        let mut bytes = [0; RECORD_BYTES];
        let (halves, _) = bytes.as_chunks_mut();
        halves.iter_mut().zip([self.high, self.low]).for_each(|(half, number)| *half = number.to_ne_bytes());
        bytes
    }

    fn from_bytes(bytes: &[u8; RECORD_BYTES]) -> Self {
        match bytes.as_chunks().0 {
            [high, low] => Self { high: u128::from_ne_bytes(*high), low: u128::from_ne_bytes(*low) },
            _ => Self::default(),
        }
    }
}

/// Records in the order of their partitions.
struct PartitionedChunk {
    records: Vec<KeyRecord>,
    /// The number of records that have been taken.
    taken: usize,
}

impl PartitionedChunk {
    /// The partition of the next record.
    fn next_partition(&self) -> Option<usize> {
        self.records.get(self.taken).map(KeyRecord::partition)
    }

    /// Takes the records of a partition. Skips those of partitions before.
    fn take(&mut self, partition: usize) -> &[KeyRecord] {
        let rest = self.records.get(self.taken..).unwrap_or_default();
        let skipped = rest.iter().take_while(|record| record.partition() < partition).count();
        self.taken += skipped;
        let rest = rest.get(skipped..).unwrap_or_default();
        let count = rest.iter().take_while(|record| record.partition() == partition).count();
        self.taken += count;
        rest.get(..count).unwrap_or_default()
    }
}

/// The temporary file, and where the records of each partition are in it.
#[derive(Default)]
struct SpillFile {
    file: Option<File>,
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
    /// Appends the records of chunks in the order of their partitions.
    fn write(&mut self, chunks: &mut [PartitionedChunk]) -> io::Result<()> {
        let file = match self.file.take() {
            Some(file) => file,
            None => tempfile::tempfile()?,
        };
        let mut file = BufWriter::with_capacity(SORT_WRITE, file);
        while let Some(partition) = chunks.iter().filter_map(PartitionedChunk::next_partition).min() {
            let mut records = 0;
            for chunk in chunks.iter_mut() {
                for record in chunk.take(partition) {
                    file.write_all(&record.to_bytes())?;
                    records += 1;
                }
            }
            if self.segments.len() <= partition {
                self.segments.resize_with(partition + 1, Vec::new);
            }
            if let Some(segments) = self.segments.get_mut(partition) {
                segments.push(Segment { start: self.length, records });
            }
            self.length += (records * RECORD_BYTES) as u64;
        }
        self.file = Some(file.into_inner().map_err(|error| error.into_error())?);
        Ok(())
    }
}

/// Divides records into partitions, and moves them to a temporary file when there are many.
pub struct Sorter {
    /// Records that are not in a chunk yet, at most `chunk_length`.
    pending: Vec<KeyRecord>,
    chunk_length: usize,
    /// Chunks that are not in the file, at most twice `run`.
    chunks: Vec<PartitionedChunk>,
    /// The number of chunks that are moved to the file at once.
    run: usize,
    /// The number of records of each field.
    counts: Vec<u64>,
    /// The thread that writes the oldest chunks, so that reading continues in the meantime.
    writing: Option<JoinHandle<io::Result<SpillFile>>>,
    /// Chunks that have been written. Their memory is used again.
    written: (Sender<PartitionedChunk>, Receiver<PartitionedChunk>),
}

impl Sorter {
    /// `limit`: most records in memory.
    pub fn new(limit: usize) -> Self {
        let run_length = (limit / RUNS_IN_MEMORY).max(1);
        let chunk_length = SORT_PENDING.min(run_length);
        Self {
            pending: Vec::new(),
            chunk_length,
            chunks: Vec::new(),
            run: run_length / chunk_length,
            counts: Vec::new(),
            writing: None,
            written: channel(),
        }
    }

    pub fn add(&mut self, record: KeyRecord) -> Result<(), ImportError> {
        self.pending.push(record);
        if self.pending.len() >= self.chunk_length { self.divide() } else { Ok(()) }
    }

    /// Moves the pending records to a chunk.
    fn divide(&mut self) -> Result<(), ImportError> {
        let fields = self.pending.iter().map(|record| record.partition() / PARTITIONS + 1).max().unwrap_or(0);
        let (_, written) = &self.written;
        let mut records = written.try_recv().map(|chunk| chunk.records).unwrap_or_default();
        let ends = group_records(&self.pending, fields * PARTITIONS, KeyRecord::partition, &mut records);
        self.pending.clear();
        self.counts.resize(self.counts.len().max(fields), 0);
        let mut start = 0;
        for (count, ends) in self.counts.iter_mut().zip(ends.chunks(PARTITIONS)) {
            let end = ends.last().copied().unwrap_or_default();
            *count += (end - std::mem::replace(&mut start, end)) as u64;
        }
        self.chunks.push(PartitionedChunk { records, taken: 0 });
        if self.chunks.len() >= 2 * self.run { self.spill().map_err(temporary_file) } else { Ok(()) }
    }

    /// Moves the oldest chunks to the temporary file.
    fn spill(&mut self) -> io::Result<()> {
        let mut file = self.wait_for_file()?;
        let mut chunks: Vec<PartitionedChunk> = self.chunks.drain(..self.run).collect();
        let (written, _) = &self.written;
        let written = written.clone();
        let write = move || {
            file.write(&mut chunks)?;
            // Without a receiver, the sorter has been dropped.
            chunks.into_iter().try_for_each(|chunk| written.send(chunk)).ok();
            Ok(file)
        };
        self.writing = Some(thread::Builder::new().spawn(write)?);
        Ok(())
    }

    /// Returns the temporary file when no thread writes to it.
    fn wait_for_file(&mut self) -> io::Result<SpillFile> {
        let Some(writing) = self.writing.take() else { return Ok(SpillFile::default()) };
        let ended = |_| io::Error::other("the thread that writes the temporary file has panicked");
        writing.join().map_err(ended)?
    }

    /// Returns the number of records of each field, duplicates included, and the records. The numbers of fields after the last one
    /// with records are left out.
    pub fn finish(mut self) -> Result<(Vec<u64>, PartitionedRecords), ImportError> {
        self.divide()?;
        let file = self.wait_for_file().map_err(temporary_file)?;
        Ok((self.counts, PartitionedRecords { chunks: self.chunks, file, next: 0, bytes: Vec::new() }))
    }
}

/// The records of all fields.
pub struct PartitionedRecords {
    chunks: Vec<PartitionedChunk>,
    file: SpillFile,
    /// The partition after the last one that has been taken.
    next: usize,
    /// Bytes read from the file.
    bytes: Vec<u8>,
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
        let mut grouped = GroupedBuckets::default();
        // The records of the buckets from `next` on.
        let (mut records, mut next) = (Vec::new(), 0);
        for part in 0..PARTITIONS {
            let position = usize::from(field) * PARTITIONS + part;
            self.take(position, &mut records).map_err(temporary_file)?;
            // Later partitions begin with this selector, in this bucket.
            let end =
                u32::try_from((part as u64 + 1) << 24).map_or(buckets, |selector| bucket_number(selector, buckets));
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

    /// Moves the records of a partition to `records`.
    fn take(&mut self, position: usize, records: &mut Vec<KeyRecord>) -> io::Result<()> {
        if position < self.next {
            return Err(io::Error::other("the fields are not in order"));
        }
        self.next = position + 1;
        let segments = self.file.segments.get_mut(position).map(std::mem::take).unwrap_or_default();
        if let Some(file) = &mut self.file.file {
            for Segment { start, records: count } in segments {
                self.bytes.resize(count * RECORD_BYTES, 0);
                file.seek(SeekFrom::Start(start))?;
                file.read_exact(&mut self.bytes)?;
                records.extend(self.bytes.as_chunks().0.iter().map(KeyRecord::from_bytes));
            }
        }
        self.chunks.iter_mut().for_each(|chunk| records.extend_from_slice(chunk.take(position)));
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
        let group = |record: &KeyRecord| {
            let bucket = bucket_number(record.selector(), buckets).min(wanted.end);
            bucket.saturating_sub(wanted.start) as usize * GROUPS + record.group()
        };
        let group_ends = group_records(records, (wanted.len() + 1) * GROUPS, group, &mut self.records);
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
        let distance = sorted.iter().rev().take_while(|other| record.is_before(other)).count();
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
    // Writing it in order first is faster, because the memory is not in the cache.
    grouped.resize(records.len(), KeyRecord::default());
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

    fn entries(records: &[KeyRecord]) -> Vec<BucketEntry> {
        records.iter().map(KeyRecord::entry).collect()
    }

    /// Sorts records by comparing them.
    fn sort_plainly(records: &[KeyRecord], field: u16, buckets: u32) -> Vec<[Vec<BucketEntry>; 2]> {
        let in_field = |record: &&KeyRecord| record.partition() / PARTITIONS == usize::from(field);
        let of = |bucket: u32, section: usize| {
            let is_here = |record: &&KeyRecord| {
                bucket_number(record.selector(), buckets) == bucket && record.group() / (GROUPS / 2) == section
            };
            let mut records: Vec<KeyRecord> = records.iter().filter(in_field).filter(is_here).copied().collect();
            records.sort_by_key(KeyRecord::bucket_order);
            entries(&records)
        };
        (0..buckets).map(|bucket| [of(bucket, 0), of(bucket, 1)]).collect()
    }

    /// Returns the buckets of each of the fields.
    fn sort(records: &[KeyRecord], limit: usize, fields: &[u16], buckets: u32) -> Vec<Vec<[Vec<BucketEntry>; 2]>> {
        let mut sorter = Sorter::new(limit);
        records.iter().for_each(|record| sorter.add(*record).unwrap());
        let (counts, mut records) = sorter.finish().unwrap();
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
        let (_, mut records) = Sorter::new(1).finish().unwrap();
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
                KeyRecord::new(field, section, KeyHash(hash), ProfileId([profile; 12]))
            };
            let records: Vec<KeyRecord> = keys.into_iter().map(record).collect();
            for fields in [vec![0, 1, 2], vec![0, 2], vec![1]] {
                let expected: Vec<_> = fields.iter().map(|field| sort_plainly(&records, *field, buckets)).collect();
                prop_assert_eq!(sort(&records, limit, &fields, buckets), expected);
            }
        }
    }

    #[test]
    fn a_record_contains_the_whole_key() {
        let hash = KeyHash(*b"0123456789abcdef");
        let record = KeyRecord::new(7, BucketSection::Subscriptions, hash, ProfileId(*b"ABCDEFGHIJKL"));
        let BucketEntry { hash: prefix, profile } = record.entry();
        assert_eq!((prefix, profile), (hash.prefix(), Some(ProfileId(*b"ABCDEFGHIJKL"))));
        assert_eq!((record.selector(), record.partition() / PARTITIONS), (hash.selector(), 7));
        assert!(record.group() >= GROUPS / 2);
        assert_eq!(KeyRecord::from_bytes(&record.to_bytes()), record);
    }
}
