//! Sorts more keys than fit in memory: sorted runs in temporary files are merged when they are read.

use std::{
    cmp::Reverse,
    collections::BinaryHeap,
    fs::File,
    io::{self, BufReader, BufWriter, ErrorKind, Read, Seek, Write},
    vec,
};

use super::error::ImportError;
use crate::{
    limits::SORT_READ,
    profiles::{
        bucket::BucketSection,
        key::{HashPrefix, KeyHash, ProfileId},
    },
};

/// Size of a record in a temporary file, in bytes.
const RECORD_BYTES: usize = 32;

/// A key of a profile. Records are sorted by field, selector, section, hash and profile, so that the records of a bucket are
/// adjacent, whatever the number of buckets is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct KeyRecord {
    /// The field (16 bits), the selector (32), the section (8), and the first 72 bits of the hash prefix.
    high: u128,
    /// The last 24 bits of the hash prefix, the profile (96), and 8 unused bits.
    low: u128,
}

impl KeyRecord {
    pub fn new(field: u16, section: BucketSection, hash: KeyHash, profile: ProfileId) -> Self {
        let section = u128::from(section.number());
        let prefix = hash.prefix().to_number();
        let high = u128::from(field) << 112 | u128::from(hash.selector()) << 80 | section << 72 | prefix >> 24;
        let low = (prefix & 0xFF_FFFF) << 104 | to_number(profile.0) << 8;
        Self { high, low }
    }

    /// The number of the class and field.
    pub fn field(&self) -> u16 {
        let [a, b, ..] = self.high.to_be_bytes();
        u16::from_be_bytes([a, b])
    }

    /// [`KeyHash::selector`].
    pub fn selector(&self) -> u32 {
        let [_, _, a, b, c, d, ..] = self.high.to_be_bytes();
        u32::from_be_bytes([a, b, c, d])
    }

    /// The section, [`KeyHash::prefix`], and the profile.
    pub fn section_key(&self) -> (BucketSection, HashPrefix, ProfileId) {
        let [_, _, _, _, _, _, section, ..] = self.high.to_be_bytes();
        let [_, _, _, profile @ .., _] = self.low.to_be_bytes();
        let section = BucketSection::from_number(section);
        (section, HashPrefix::from_number(self.high << 24 | self.low >> 104), ProfileId(profile))
    }
}

fn to_number(bytes: [u8; 12]) -> u128 {
    bytes.iter().fold(0, |number, byte| number << 8 | u128::from(*byte))
}

/// Sorts records in memory, and writes them to temporary files when a run is full.
pub struct Sorter {
    /// Most records in a run.
    limit: usize,
    run: Vec<KeyRecord>,
    spilled: Vec<File>,
    /// The number of records of each field in the sorted runs. Duplicates in different runs are counted more than once.
    counts: Vec<u64>,
}

impl Sorter {
    pub fn new(limit: usize) -> Self {
        Self { limit: limit.max(1), run: Vec::new(), spilled: Vec::new(), counts: Vec::new() }
    }

    pub fn add(&mut self, record: KeyRecord) -> Result<(), ImportError> {
        if self.run.len() == self.limit {
            self.spill().map_err(temporary_file)?;
        }
        if self.run.capacity() == 0 {
            // Growing step by step would need up to half as much memory again.
            self.run.reserve_exact(self.limit);
        }
        self.run.push(record);
        Ok(())
    }

    /// Moves the run to a temporary file.
    fn spill(&mut self) -> io::Result<()> {
        self.sort();
        let mut file = BufWriter::new(tempfile::tempfile()?);
        for record in self.run.drain(..) {
            file.write_all(&record.high.to_be_bytes())?;
            file.write_all(&record.low.to_be_bytes())?;
        }
        let mut file = file.into_inner().map_err(|error| error.into_error())?;
        file.rewind()?;
        self.spilled.push(file);
        Ok(())
    }

    fn sort(&mut self) {
        self.run.sort_unstable();
        self.run.dedup();
        for record in &self.run {
            let field = usize::from(record.field());
            if field >= self.counts.len() {
                self.counts.resize(field + 1, 0);
            }
            if let Some(count) = self.counts.get_mut(field) {
                *count += 1;
            }
        }
    }

    /// Returns the number of records of each field, and the sorted records. Both can contain duplicates. The numbers of fields
    /// after the last one with records are left out.
    pub fn finish(mut self) -> Result<(Vec<u64>, RecordMerge), ImportError> {
        self.sort();
        let files = self.spilled.into_iter().map(|file| SortedRun::File(BufReader::with_capacity(SORT_READ, file)));
        let runs = files.chain([SortedRun::Memory(self.run.into_iter())]).collect();
        Ok((self.counts, RecordMerge::new(runs)?))
    }
}

/// Merges sorted runs.
pub struct RecordMerge {
    runs: Vec<SortedRun>,
    /// The next record of each run, with the position of the run.
    heads: BinaryHeap<Reverse<(KeyRecord, usize)>>,
}

impl RecordMerge {
    fn new(mut runs: Vec<SortedRun>) -> Result<Self, ImportError> {
        let mut heads = BinaryHeap::with_capacity(runs.len());
        for (position, run) in runs.iter_mut().enumerate() {
            if let Some(record) = run.next()? {
                heads.push(Reverse((record, position)));
            }
        }
        Ok(Self { runs, heads })
    }

    pub fn next(&mut self) -> Result<Option<KeyRecord>, ImportError> {
        let Some(mut head) = self.heads.peek_mut() else { return Ok(None) };
        let Reverse((record, position)) = *head;
        match self.runs.get_mut(position).map(SortedRun::next).transpose()?.flatten() {
            Some(next) => *head = Reverse((next, position)),
            None => drop(std::collections::binary_heap::PeekMut::pop(head)),
        }
        Ok(Some(record))
    }
}

enum SortedRun {
    File(BufReader<File>),
    Memory(vec::IntoIter<KeyRecord>),
}

impl SortedRun {
    fn next(&mut self) -> Result<Option<KeyRecord>, ImportError> {
        let file = match self {
            Self::Memory(records) => return Ok(records.next()),
            Self::File(file) => file,
        };
        let mut halves = [[0; RECORD_BYTES / 2]; 2];
        match file.read_exact(halves.as_flattened_mut()) {
            Ok(()) => {
                let [high, low] = halves.map(u128::from_be_bytes);
                Ok(Some(KeyRecord { high, low }))
            }
            // A file contains complete records only.
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(None),
            Err(error) => Err(temporary_file(error)),
        }
    }
}

fn temporary_file(source: io::Error) -> ImportError {
    ImportError::TemporaryFile { folder: std::env::temp_dir(), source }
}
