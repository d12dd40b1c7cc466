//! Builds the buckets of a generation from a file of profiles, in bounded memory (native only).
//!
//! ```text
//! file ─▶ rows (csv, ndjson) ─▶ hashed keys (row, keys) ─▶ sorted runs on disk (sort) ─▶ buckets (build)
//! ```
//! Each row is imported completely or refused completely. A refused row is reported, and the import continues. Temporary files
//! contain hashes and profile IDs, never addresses.
//!
//! | file | purpose |
//! |---|---|
//! | `lines` | skips white space at the start of a file and counts lines |
//! | `csv`, `ndjson` | split a file into rows and cells |
//! | `row` | the columns of a file, and the keys of one row |
//! | `keys` | collects the hashed keys of all rows |
//! | `sort` | sorts more keys than fit in memory |
//! | `build` | writes sorted keys as buckets |
//! | `report` | counts rows and reports refused ones |
//! | `error` | why an import fails, or a row is refused |

mod build;
mod csv;
mod error;
mod keys;
mod lines;
mod ndjson;
mod report;
mod row;
mod sort;
#[cfg(test)]
mod tests;

use std::io::BufRead;

use self::{keys::KeyCollector, lines::LeadingSpace, report::RowReport};
use super::key::IndexKey;
use crate::text::BYTE_ORDER_MARK;

pub use self::{
    build::{BuiltIndex, IndexPlan},
    error::ImportError,
    report::{RefusedRow, RowCounts},
    row::KNOWN_NAMES,
};

/// Reads files of profiles, and then builds an index of them.
pub struct Importer {
    keys: KeyCollector,
}

impl Importer {
    /// Sorts at most `run` keys in memory (32 bytes each). Further keys are written to temporary files.
    pub fn new(key: IndexKey, run: usize) -> Self {
        Self { keys: KeyCollector::new(key, run) }
    }

    /// Reads a file: NDJSON if its first character is `{`, CSV with a header otherwise. Passes every refused row to
    /// `on_refused`.
    pub fn read(
        &mut self,
        mut input: impl BufRead,
        on_refused: impl FnMut(RefusedRow),
    ) -> Result<RowCounts, ImportError> {
        // The first read of a file returns at least three bytes, unless the file is shorter.
        if input.fill_buf()?.starts_with(BYTE_ORDER_MARK) {
            input.consume(BYTE_ORDER_MARK.len());
        }
        let mut report = RowReport::new(on_refused);
        let mut space = LeadingSpace::default();
        match space.skip(&mut input)? {
            None => return Err(ImportError::Empty),
            Some(b'{') => ndjson::read(&mut self.keys, input, space.line_feeds(), &mut report)?,
            Some(_) => csv::read(&mut self.keys, input, space.into_lines(), &mut report)?,
        }
        Ok(report.counts())
    }

    /// Sorts all keys, and plans the buckets of each class.
    pub fn plan(self) -> Result<IndexPlan, ImportError> {
        let (fields, sorter) = self.keys.into_parts();
        IndexPlan::new(fields, sorter)
    }
}
