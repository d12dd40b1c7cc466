//! Sorting more keys than fit in memory: sorted runs in temporary files, merged when they are read.

use std::{
    cmp::Reverse,
    collections::BinaryHeap,
    fs::File,
    io::{self, BufReader, BufWriter, ErrorKind, Read, Seek, Write},
    vec,
};

use super::ImportError;
use crate::profiles::{
    bucket::Section,
    key::{KeyHash, ProfileId},
};

const BYTES: usize = 32;
/// What is read of a run at once, in bytes.
const READ: usize = 64 * 1024;

/// A key of a profile. The order of records is that of field, selector, section, hash, profile: so the records of
/// a bucket follow each other, whatever the number of buckets will be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Record {
    /// Field 16 bits, selector 32, section 8, and the first 72 of the hash.
    high: u128,
    /// The last 24 of the hash, profile 96, and 8 that are not used.
    low: u128,
}

impl Record {
    pub fn new(field: u16, section: Section, hash: KeyHash, profile: ProfileId) -> Self {
        let section = match section {
            Section::Profiles => 0,
            Section::Subscriptions => 1,
        };
        let entry = number(hash.entry());
        let high = u128::from(field) << 112 | u128::from(hash.selector()) << 80 | section << 72 | entry >> 24;
        let low = (entry & 0xFF_FFFF) << 104 | number(profile.0) << 8;
        Self { high, low }
    }

    /// The place of its class and field.
    pub fn field(&self) -> u16 {
        let [a, b, ..] = self.high.to_be_bytes();
        u16::from_be_bytes([a, b])
    }

    /// What chooses its bucket.
    pub fn selector(&self) -> u32 {
        let [_, _, a, b, c, d, ..] = self.high.to_be_bytes();
        u32::from_be_bytes([a, b, c, d])
    }

    /// Section, hash and profile: the order inside a bucket.
    pub fn in_bucket(&self) -> (Section, [u8; 12], ProfileId) {
        let [_, _, _, _, _, _, section, a, b, c, d, e, f, g, h, i] = self.high.to_be_bytes();
        let [j, k, l, p @ .., _] = self.low.to_be_bytes();
        let section = if section == 0 { Section::Profiles } else { Section::Subscriptions };
        (section, [a, b, c, d, e, f, g, h, i, j, k, l], ProfileId(p))
    }
}

fn number(bytes: [u8; 12]) -> u128 {
    bytes.iter().fold(0, |number, byte| number << 8 | u128::from(*byte))
}

/// Collects records.
pub struct Sorter {
    limit: usize,
    run: Vec<Record>,
    spilled: Vec<File>,
    /// How many records of each field there are, those that a run has twice once.
    counts: Vec<u64>,
}

impl Sorter {
    pub fn new(limit: usize) -> Self {
        Self { limit: limit.max(1), run: Vec::new(), spilled: Vec::new(), counts: Vec::new() }
    }

    pub fn add(&mut self, record: Record) -> Result<(), ImportError> {
        if self.run.len() == self.limit {
            self.spill().map_err(temporary)?;
        }
        if self.run.capacity() == 0 {
            // All at once: growing by doubling would hold half as much again.
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

    /// The numbers of records by field (at least; fields at the end may be left out), and the records in order.
    /// The same record may come more than once.
    pub fn finish(mut self) -> Result<(Vec<u64>, Merge), ImportError> {
        self.sort();
        let mut runs: Vec<Run> =
            self.spilled.into_iter().map(|file| Run::File(BufReader::with_capacity(READ, file))).collect();
        runs.push(Run::Memory(self.run.into_iter()));
        let mut heads = BinaryHeap::with_capacity(runs.len());
        for (number, run) in runs.iter_mut().enumerate() {
            if let Some(record) = run.next()? {
                heads.push(Reverse((record, number)));
            }
        }
        Ok((self.counts, Merge { runs, heads }))
    }
}

/// The records of all runs, in order.
pub struct Merge {
    runs: Vec<Run>,
    heads: BinaryHeap<Reverse<(Record, usize)>>,
}

impl Merge {
    pub fn next(&mut self) -> Result<Option<Record>, ImportError> {
        let Some(mut head) = self.heads.peek_mut() else { return Ok(None) };
        let Reverse((record, number)) = *head;
        match self.runs.get_mut(number).map(Run::next).transpose()?.flatten() {
            Some(next) => *head = Reverse((next, number)),
            None => drop(std::collections::binary_heap::PeekMut::pop(head)),
        }
        Ok(Some(record))
    }
}

enum Run {
    File(BufReader<File>),
    Memory(vec::IntoIter<Record>),
}

impl Run {
    fn next(&mut self) -> Result<Option<Record>, ImportError> {
        let file = match self {
            Self::Memory(records) => return Ok(records.next()),
            Self::File(file) => file,
        };
        let mut halves = [[0; BYTES / 2]; 2];
        match file.read_exact(halves.as_flattened_mut()) {
            Ok(()) => {
                let [high, low] = halves.map(u128::from_be_bytes);
                Ok(Some(Record { high, low }))
            }
            // Runs are written whole: the end is between two records.
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(None),
            Err(error) => Err(temporary(error)),
        }
    }
}

/// An error of a temporary file.
fn temporary(error: io::Error) -> ImportError {
    let folder = std::env::temp_dir();
    ImportError(format!("temporary files in {}: {error}; set TMPDIR to a folder with free space", folder.display()))
}
