//! Checks the quotes of CSV. The parser accepts quotes in any place, so that one missing quote would change the meaning of all
//! rows after it.

use memchr::memchr;

use super::{
    error::{ImportError, QuoteError},
    lines::LineCounter,
};
use crate::profiles::key::ProfileId;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum QuoteState {
    CellStart,
    /// White space at the start of a cell.
    Space,
    Unquoted,
    Quoted,
    /// After a quote inside a quoted cell, which is closed or escaped.
    AfterQuote,
}

/// Follows the bytes of a file.
pub struct QuoteChecker {
    delimiter: u8,
    state: QuoteState,
    /// The line on which the last quote opened.
    opened: u64,
    /// Whether the row has a quoted cell.
    has_quotes: bool,
}

impl QuoteChecker {
    pub fn new(delimiter: u8) -> Self {
        Self { delimiter, state: QuoteState::CellStart, opened: 0, has_quotes: false }
    }

    /// Begins a row.
    pub fn begin_row(&mut self) {
        self.state = QuoteState::CellStart;
        self.has_quotes = false;
    }

    /// Whether the last byte was inside a quoted cell.
    pub fn is_open(&self) -> bool {
        self.state == QuoteState::Quoted
    }

    pub fn error(&self, error: QuoteError) -> ImportError {
        ImportError::Quote { line: self.opened, error }
    }

    /// Checks the next bytes of a row, which begin on the current line of `lines`. `is_row` says whether they are the whole row.
    pub fn pass(&mut self, bytes: &[u8], lines: &LineCounter, is_row: bool) -> Result<(), ImportError> {
        if is_row && memchr(b'"', bytes).is_none() {
            return Ok(());
        }
        let mut lines = *lines;
        for byte in bytes {
            self.state = match (self.state, *byte) {
                (QuoteState::CellStart, b'"') => {
                    self.opened = lines.current();
                    self.has_quotes = true;
                    QuoteState::Quoted
                }
                (QuoteState::Space, b'"') => {
                    self.opened = lines.current();
                    return Err(self.error(QuoteError::AfterSpace));
                }
                (QuoteState::Quoted, b'"') => QuoteState::AfterQuote,
                (QuoteState::Quoted, _) => QuoteState::Quoted,
                (QuoteState::AfterQuote, b'"') => QuoteState::Quoted,
                (_, b'\r' | b'\n') => QuoteState::CellStart,
                (_, byte) if byte == self.delimiter => QuoteState::CellStart,
                (QuoteState::AfterQuote, _) => return Err(self.error(QuoteError::TextAfter)),
                (QuoteState::CellStart | QuoteState::Space, b' ' | b'\t') => QuoteState::Space,
                (QuoteState::CellStart | QuoteState::Space | QuoteState::Unquoted, _) => QuoteState::Unquoted,
            };
            lines.pass(&[*byte]);
        }
        Ok(())
    }

    /// Returns an error if a cell of a row with quotes contains another row: the quote that closes the cell was meant to open
    /// another one.
    pub fn check_cell(&self, cell: &str) -> Result<(), ImportError> {
        if !self.has_quotes || !cell.contains(['\n', '\r']) {
            return Ok(());
        }
        let is_separator = |char| matches!(char, '\n' | '\r') || char == char::from(self.delimiter);
        let is_profile_id = |part: &str| ProfileId::parse(part.trim().trim_matches('"')).is_some();
        // The first part can be a profile ID of its own: the cell may be a profile ID with a line break after it.
        match cell.split(is_separator).skip(1).any(is_profile_id) {
            true => Err(self.error(QuoteError::ContainsRows)),
            false => Ok(()),
        }
    }
}
