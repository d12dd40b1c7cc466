//! Counts the rows of a file, and reports the refused ones.

use super::error::{ImportError, RowError};

/// A row that was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedRow {
    /// The line on which the row begins. The first line is 1.
    pub line: u64,
    /// Why the row was refused.
    pub reason: String,
}

/// Numbers of rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RowCounts {
    pub accepted: u64,
    pub refused: u64,
}

/// Counts rows, and passes each refused row to `F`.
pub struct RowReport<F> {
    counts: RowCounts,
    on_refused: F,
}

impl<F: FnMut(RefusedRow)> RowReport<F> {
    pub fn new(on_refused: F) -> Self {
        Self { counts: RowCounts::default(), on_refused }
    }

    /// Adds the result of a row. Returns an error if the import fails.
    pub fn add(&mut self, line: u64, result: Result<(), RowError>) -> Result<(), ImportError> {
        match result {
            Ok(()) => self.counts.accepted += 1,
            Err(RowError::Refused(reason)) => {
                self.counts.refused += 1;
                (self.on_refused)(RefusedRow { line, reason: reason.into_owned() });
            }
            Err(RowError::Import(error)) => return Err(error),
        }
        Ok(())
    }

    pub fn counts(&self) -> RowCounts {
        self.counts
    }
}
