//! Builds the buckets of a generation from a file of profiles, in bounded memory (native only).
//!
//! ```text
//! file ─▶ text (source) ─▶ rows (csv, ndjson) ─▶ keys (row) ─▶ hashes (keys) ─▶ partitions on disk (sort) ─▶ buckets (build)
//! ```
//! A row is refused completely, or imported without its invalid values. What is left out is counted and reported. A file that
//! could be read in a way that its author did not mean is rejected. Temporary files contain hashes and profile IDs, never
//! addresses.
//!
//! | file | purpose |
//! |---|---|
//! | `source` | unpacks a file and converts it to UTF-8; names files that are not text |
//! | `lines` | skips white space at the start of a file and counts lines |
//! | `names` | finds columns by their names |
//! | `csv`, `quotes` | split CSV into rows and cells, and check its quotes |
//! | `ndjson`, `array` | read JSON objects, one on each line or in an array |
//! | `values` | splits cells into values |
//! | `row` | the keys of one row |
//! | `keys` | collects the keys of rows for a second thread, which hashes them |
//! | `sort` | sorts more keys than fit in memory |
//! | `build` | writes sorted keys as buckets |
//! | `report` | counts rows and values, and why some are left out |
//! | `error` | why an import fails, or a row is refused |

mod array;
mod build;
mod csv;
mod error;
mod keys;
mod lines;
mod names;
mod ndjson;
mod quotes;
mod report;
mod row;
mod sort;
mod source;
#[cfg(test)]
mod tests;
mod values;

use std::{
    io::{self, Read},
    sync::mpsc::{Receiver, sync_channel},
    thread,
};

use self::{
    keys::{KeyCollector, NumberedField, QueuedKeys},
    lines::LeadingSpace,
    names::NameResolver,
    ndjson::ObjectRows,
    sort::Sorter,
};
use super::key::IndexKey;
use crate::limits::{SORT_BATCHES, SORT_PARTITION};

pub use self::{
    build::{BuiltIndex, IndexPlan},
    error::ImportError,
    names::{Alias, InvalidAlias, NameOptions},
    report::{ImportReport, InvalidPercentage, LeftOut, Percentage, Reason, RowCounts, TooManyBad, ValueCounts},
    source::TextEncoding,
};

/// How a file is read.
#[derive(Debug, Clone, Default)]
pub struct ReadOptions {
    /// `None`: the encoding is detected.
    pub encoding: Option<TextEncoding>,
    pub names: NameOptions,
}

/// Reads files of profiles, and then builds an index of them.
pub struct Importer {
    key: IndexKey,
    fields: Vec<NumberedField>,
    sorter: Sorter,
}

impl Importer {
    /// Keeps about `limit` keys in memory (29 bytes each), or more if they have many fields. Further keys are written to a temporary
    /// file.
    pub fn new(key: IndexKey, limit: usize) -> Self {
        Self { key, fields: Vec::new(), sorter: Sorter::new(limit, SORT_PARTITION) }
    }

    /// Reads a file: NDJSON if its first character is `{`, a JSON array if it is `[`, CSV with a header otherwise. A second thread
    /// hashes the keys and divides them into partitions.
    pub fn read(&mut self, input: impl Read, options: &ReadOptions) -> Result<ImportReport, ImportError> {
        let Self { key, fields, sorter } = self;
        let (sender, batches) = sync_channel(SORT_BATCHES);
        thread::scope(|scope| {
            let add = || add_batches(batches, key, sorter);
            let adding = thread::Builder::new().spawn_scoped(scope, add)?;
            let mut keys = KeyCollector::new(key.clone(), std::mem::take(fields), sender);
            let result = read_file(&mut keys, input, options);
            let flushed = keys.flush();
            *fields = keys.into_fields();
            let ended = |_| io::Error::other("the thread that hashes keys has panicked");
            // The keys of a batch are before the row of an error.
            adding.join().map_err(ended)??;
            flushed.and(result)
        })
    }

    /// Plans the buckets of each class.
    pub fn plan(self) -> Result<IndexPlan, ImportError> {
        IndexPlan::new(self.fields, self.sorter)
    }
}

/// Hashes the keys of batches, and adds them to a sorter, until the sender is dropped.
fn add_batches(batches: Receiver<QueuedKeys>, key: &IndexKey, sorter: &mut Sorter) -> Result<(), ImportError> {
    batches.into_iter().try_for_each(|batch| batch.add_to(sorter, key))
}

fn read_file(keys: &mut KeyCollector, input: impl Read, options: &ReadOptions) -> Result<ImportReport, ImportError> {
    let mut input = source::open(input, options.encoding)?;
    let mut report = ImportReport::default();
    let mut names = NameResolver::new(&options.names);
    let mut space = LeadingSpace::default();
    let first = space.skip(&mut input)?;
    let mut objects = ObjectRows { keys, names: &mut names, report: &mut report };
    match first {
        None => return Err(ImportError::Empty),
        Some(b'<') => return Err(ImportError::FileType("a web page or XML; export the profiles as CSV")),
        Some(b'{') => objects.read_lines(input, space.line_feeds())?,
        Some(b'[') => objects.read_array(input, space.line_feeds())?,
        Some(_) => {
            let input = space.restore_tabs(input);
            csv::read(keys, input, space.lines(), &mut names, &mut report)?;
        }
    }
    names.finish()?;
    Ok(report)
}
