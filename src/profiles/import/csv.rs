//! CSV with a header. Read with `csv-core` into a buffer of a fixed size: a quote that is never closed makes one
//! overlong row, not the rest of the file in memory.

use std::io::BufRead;

use csv_core::ReadRecordResult;

use super::{
    ImportError, Importer, Refused, Rows,
    row::{Checked, Column, Row},
};
use crate::{
    escape::short,
    limits::{FIELDS_LIMIT, ROW_LIMIT},
};

/// Separates the values of a cell.
const SEPARATOR: char = ';';
/// A second one, or one behind white space, is invisible in front of a name, and no part of it.
const BYTE_ORDER_MARK: char = '\u{feff}';
/// More columns than a header can have.
const CELLS_LIMIT: usize = FIELDS_LIMIT + 16;

/// `before`: what of the file has been read already.
pub fn read(
    importer: &mut Importer,
    input: impl BufRead,
    before: Lines,
    mut refused: impl FnMut(Refused),
) -> Result<Rows, ImportError> {
    let mut records = Records::new(input, before);
    let header = match records.next()? {
        Some((_, Ok(()))) => records.cells(),
        Some((_, Err(reason))) => Err(reason),
        None => Err("missing".into()),
    };
    let header = header.map_err(|reason| ImportError(format!("the header: {reason}")))?;
    let columns = columns(importer, &header)?;
    let mut rows = Rows::default();
    let mut row = Row::default();
    while let Some((line, record)) = records.next()? {
        row.clear();
        let taken = record.and_then(|()| fill(importer, &columns, &records, &mut row));
        let taken = match taken {
            Ok(()) => row.finish(importer)?,
            Err(reason) => Err(reason),
        };
        match taken {
            Ok(()) => rows.taken += 1,
            Err(reason) => {
                rows.refused += 1;
                refused(Refused { line, reason: reason.into_owned() });
            }
        }
    }
    Ok(rows)
}

fn columns(importer: &mut Importer, header: &[&str]) -> Result<Vec<Column>, ImportError> {
    let mut columns: Vec<Column> = Vec::with_capacity(header.len());
    for name in header {
        let name = name.trim_matches(|char: char| char.is_whitespace() || char == BYTE_ORDER_MARK);
        if columns.iter().any(|column| column.name == name) {
            return Err(ImportError(format!("the header has the column {} twice", short(name))));
        }
        let column = Column::new(importer, name)?;
        columns.push(column.map_err(|reason| ImportError(format!("the header: {reason}")))?);
    }
    if columns.iter().all(|column| column.keys.is_some()) {
        return Err(ImportError("the header lacks the column profile_id".into()));
    }
    Ok(columns)
}

fn fill<R: BufRead>(importer: &Importer, columns: &[Column], records: &Records<R>, row: &mut Row) -> Checked {
    let cells = records.cells()?;
    if cells.len() != columns.len() {
        return Err(format!("{} fields where the header has {}", cells.len(), columns.len()).into());
    }
    for (column, cell) in columns.iter().zip(cells) {
        if column.keys.is_none() {
            row.value(importer, column, cell)?;
        } else {
            cell.split(SEPARATOR).try_for_each(|value| row.value(importer, column, value))?;
        }
    }
    Ok(())
}

/// One record at a time.
struct Records<R> {
    input: R,
    parser: csv_core::Reader,
    lines: Lines,
    text: Vec<u8>,
    ends: Vec<usize>,
    /// How many of `ends` are the last record's.
    cells: usize,
}

impl<R: BufRead> Records<R> {
    fn new(input: R, lines: Lines) -> Self {
        let mut parser = csv_core::Reader::new();
        // The parser looks for a byte order mark in what it is given first, and finds it only if the mark comes at once:
        // what comes first is this.
        parser.read_record(b"\n", &mut [0], &mut [0]);
        Self { input, parser, lines, text: vec![0; ROW_LIMIT], ends: vec![0; CELLS_LIMIT], cells: 0 }
    }

    /// Reads a record; its line, and whether it can be had from [`Self::cells`].
    fn next(&mut self) -> Result<Option<(u64, Checked)>, ImportError> {
        self.skip_line_ends()?;
        let begins = self.lines.line;
        let (mut text_at, mut ends_at) = (0, 0);
        let mut result = Ok(());
        loop {
            let input = self.input.fill_buf()?;
            let text = self.text.get_mut(text_at..).unwrap_or_default();
            let ends = self.ends.get_mut(ends_at..).unwrap_or_default();
            let (state, read, written, ended) = self.parser.read_record(input, text, ends);
            self.lines.pass(input.get(..read).unwrap_or_default());
            self.input.consume(read);
            text_at += written;
            ends_at += ended;
            match state {
                ReadRecordResult::InputEmpty => {}
                // What is too much is read all the same, over what came before.
                ReadRecordResult::OutputFull => {
                    result = Err(format!("longer than {ROW_LIMIT} bytes (a quote that is not closed?)").into());
                    text_at = 0;
                }
                ReadRecordResult::OutputEndsFull => {
                    result = result.and_then(|()| Err(format!("more than {CELLS_LIMIT} fields").into()));
                    ends_at = 0;
                }
                ReadRecordResult::Record => {
                    self.cells = ends_at;
                    return Ok(Some((begins, result)));
                }
                ReadRecordResult::End => return Ok(None),
            }
        }
    }

    /// Line ends before a record: skipped here, so that the line on which it begins is known.
    fn skip_line_ends(&mut self) -> Result<(), ImportError> {
        loop {
            let input = self.input.fill_buf()?;
            let count = input.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
            let at_end = count < input.len() || input.is_empty();
            self.lines.pass(input.get(..count).unwrap_or_default());
            self.input.consume(count);
            if at_end {
                return Ok(());
            }
        }
    }

    fn cells(&self) -> Checked<Vec<&str>> {
        let mut start = 0;
        let ends = self.ends.get(..self.cells).unwrap_or_default();
        let cell = |end: &usize| {
            let cell = self.text.get(start..*end).unwrap_or_default();
            start = *end;
            std::str::from_utf8(cell).map_err(|_| "not UTF-8".into())
        };
        ends.iter().map(cell).collect()
    }
}

/// Counts lines. Where the parser ends a row, a line ends: at LF, at CR, and at the two together once.
pub struct Lines {
    /// From 1.
    line: u64,
    /// The last byte was a CR.
    returned: bool,
}

impl Default for Lines {
    fn default() -> Self {
        Self { line: 1, returned: false }
    }
}

impl Lines {
    pub fn pass(&mut self, bytes: &[u8]) {
        for byte in bytes {
            let ends = *byte == b'\r' || (*byte == b'\n' && !self.returned);
            self.line += u64::from(ends);
            self.returned = *byte == b'\r';
        }
    }
}
