//! From a file of profiles to the buckets of a generation, in bounded memory (native alone).
//!
//! ```text
//! file ─▶ rows ([csv], [ndjson]) ─▶ keys, hashed ([row]) ─▶ sorted runs on disk ([sort]) ─▶ buckets ([build])
//! ```
//! A row is taken whole or refused whole; a refused one is reported and stops nothing. What is sorted is hashes:
//! no address is written to disk.

mod build;
mod csv;
mod ndjson;
mod row;
mod sort;
#[cfg(test)]
mod tests;

use std::{
    fmt,
    io::{self, BufRead},
};

use super::{
    bucket::Section,
    key::{Class, IndexKey, KeyHash, ProfileId},
    manifest::ClassIndex,
};
use crate::limits::FIELDS_LIMIT;

pub use build::Built;

/// Why an import cannot go on, as one line for the operator.
#[derive(Debug)]
pub struct ImportError(pub String);

impl fmt::Display for ImportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<io::Error> for ImportError {
    fn from(error: io::Error) -> Self {
        Self(format!("cannot be read: {error}"))
    }
}

/// A row that was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// The line on which it begins, from 1.
    pub line: u64,
    /// Why.
    pub reason: String,
}

/// How many rows were read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Rows {
    /// Taken.
    pub taken: u64,
    /// Refused.
    pub refused: u64,
}

/// White space (JSON's) in front of a file's first character, which may be more than is read at once: counted, for the numbers
/// of lines, and not kept. The two formats end lines differently.
#[derive(Default)]
struct Blank {
    lines: csv::Lines,
    line_feeds: u64,
}

impl Blank {
    /// The first character that is none, which is still to be read.
    fn skip(&mut self, input: &mut impl BufRead) -> io::Result<Option<u8>> {
        loop {
            let read = input.fill_buf()?;
            let count = read.iter().take_while(|byte| matches!(byte, b' ' | b'\t' | b'\r' | b'\n')).count();
            let (blank, rest) = read.split_at(count);
            let (first, at_end) = (rest.first().copied(), read.is_empty());
            self.lines.pass(blank);
            self.line_feeds += blank.iter().filter(|byte| **byte == b'\n').count() as u64;
            input.consume(count);
            if first.is_some() || at_end {
                return Ok(first);
            }
        }
    }
}

/// What an import collects: sorted runs of hashed keys.
pub struct Importer {
    key: IndexKey,
    fields: Vec<(Class, String)>,
    sorter: sort::Sorter,
}

impl Importer {
    /// Sorts at most `run` keys (32 bytes each) in memory and spills what is more to temporary files.
    pub fn new(key: IndexKey, run: usize) -> Self {
        Self { key, fields: Vec::new(), sorter: sort::Sorter::new(run) }
    }

    /// Reads a file: NDJSON if its first character is `{`, else CSV with a header. `refused` is told every row
    /// that is refused.
    pub fn read(&mut self, mut input: impl BufRead, refused: impl FnMut(Refused)) -> Result<Rows, ImportError> {
        // A short first read would hide the mark: a byte order mark is at the very beginning, and files give it whole.
        if input.fill_buf()?.starts_with(b"\xEF\xBB\xBF") {
            input.consume(3);
        }
        let mut blank = Blank::default();
        match blank.skip(&mut input)? {
            None => Err(ImportError("the file is empty".into())),
            Some(b'{') => ndjson::read(self, input, blank.line_feeds, refused),
            Some(_) => csv::read(self, input, blank.lines, refused),
        }
    }

    /// The place of a class (and field) in [`Self::fields`].
    fn field(&mut self, class: Class, field: &str) -> Result<u16, ImportError> {
        let place = self.fields.iter().position(|(c, f)| *c == class && f == field);
        let place = place.unwrap_or(self.fields.len());
        if place == self.fields.len() {
            if place == FIELDS_LIMIT {
                return Err(ImportError(format!("the file has more than {FIELDS_LIMIT} custom fields")));
            }
            self.fields.push((class, field.to_owned()));
        }
        u16::try_from(place).map_err(|_| ImportError("too many fields".into()))
    }

    fn add(&mut self, field: u16, section: Section, hash: KeyHash, profile: ProfileId) -> Result<(), ImportError> {
        self.sorter.add(sort::Record::new(field, section, hash, profile))
    }

    /// Makes the buckets, which `sink` takes: class, number, text. Every bucket of every class comes, the empty
    /// ones too. `begin` is told the classes and their numbers of buckets before the first one.
    pub fn build(
        self,
        begin: impl FnOnce(&[ClassIndex]) -> Result<(), ImportError>,
        sink: impl FnMut(&ClassIndex, u32, String) -> Result<(), ImportError>,
    ) -> Result<Built, ImportError> {
        build::build(self.fields, self.sorter, begin, sink)
    }
}
