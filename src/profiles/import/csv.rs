//! Reads CSV with a header. Rows are parsed into a buffer of a fixed size: a quote that is never closed makes one row too long,
//! and does not load the rest of the file into memory.

use std::io::BufRead;

use csv_core::ReadRecordResult;

use super::{
    error::{ImportError, RowError},
    keys::KeyCollector,
    lines::LineCounter,
    report::{RefusedRow, RowReport},
    row::{Column, ProfileRow},
};
use crate::{
    escape::escape_name,
    limits::{CELLS_LIMIT, ROW_LIMIT},
};

/// Separates the values of a cell.
const VALUE_SEPARATOR: char = ';';
/// The character of [`crate::text::BYTE_ORDER_MARK`]. Some files have a second byte order mark, or one after white space. It is
/// invisible, and not part of a name.
const BYTE_ORDER_MARK_CHAR: char = '\u{feff}';

/// Reads a file whose first lines have been read: `lines` has counted them.
pub fn read(
    keys: &mut KeyCollector,
    input: impl BufRead,
    lines: LineCounter,
    report: &mut RowReport<impl FnMut(RefusedRow)>,
) -> Result<(), ImportError> {
    let mut reader = CsvReader::new(input, lines);
    let columns = read_header(&mut reader, keys).map_err(RowError::in_header)?;
    let mut row = ProfileRow::default();
    while let Some(CsvRow { line, result }) = reader.next()? {
        row.clear();
        let result = result.and_then(|()| read_cells(keys, &columns, &reader, &mut row));
        report.add(line, result.and_then(|()| row.finish(keys)))?;
    }
    Ok(())
}

fn read_header(reader: &mut CsvReader<impl BufRead>, keys: &mut KeyCollector) -> Result<Vec<Column>, RowError> {
    match reader.next()? {
        Some(CsvRow { result, .. }) => result?,
        None => return Err(RowError::refused("missing")),
    }
    let names = reader.cells()?;
    let mut columns: Vec<Column> = Vec::with_capacity(names.len());
    for name in names {
        let name = name.trim_matches(|char: char| char.is_whitespace() || char == BYTE_ORDER_MARK_CHAR);
        if columns.iter().any(|column| column.name() == name) {
            return Err(RowError::refused(format!("duplicate column {}", escape_name(name))));
        }
        columns.push(Column::new(keys, name)?);
    }
    if !columns.iter().any(Column::is_profile_id) {
        return Err(RowError::refused("the column profile_id is missing"));
    }
    Ok(columns)
}

/// Adds the cells of the reader's row to `row`.
fn read_cells(
    keys: &KeyCollector,
    columns: &[Column],
    reader: &CsvReader<impl BufRead>,
    row: &mut ProfileRow,
) -> Result<(), RowError> {
    let cells = reader.cells()?;
    if cells.len() != columns.len() {
        let reason = format!("{} cells, but the header has {}", cells.len(), columns.len());
        return Err(RowError::refused(reason));
    }
    for (column, cell) in columns.iter().zip(cells) {
        if column.is_profile_id() {
            row.add(keys, column, cell)?;
        } else {
            cell.split(VALUE_SEPARATOR).try_for_each(|value| row.add(keys, column, value))?;
        }
    }
    Ok(())
}

/// A row that has been read. Its cells are in the reader.
struct CsvRow {
    /// The line on which the row begins.
    line: u64,
    /// An error if the row is too long.
    result: Result<(), RowError>,
}

/// Reads one row at a time.
struct CsvReader<R> {
    input: R,
    parser: csv_core::Reader,
    lines: LineCounter,
    /// The text of all cells of the row.
    text: Vec<u8>,
    /// The positions in `text` at which cells end.
    ends: Vec<usize>,
    /// The number of cells of the row.
    cells: usize,
}

impl<R: BufRead> CsvReader<R> {
    fn new(input: R, lines: LineCounter) -> Self {
        let mut parser = csv_core::Reader::new();
        // The parser removes a byte order mark from its first input, but only if the input contains all of the mark. An empty
        // first line disables that.
        parser.read_record(b"\n", &mut [0], &mut [0]);
        Self { input, parser, lines, text: vec![0; ROW_LIMIT], ends: vec![0; CELLS_LIMIT], cells: 0 }
    }

    /// Reads the next row. Returns `None` at the end of the file.
    fn next(&mut self) -> Result<Option<CsvRow>, ImportError> {
        self.skip_line_ends()?;
        let line = self.lines.current();
        let (mut text_end, mut ends_end) = (0, 0);
        let mut result = Ok(());
        loop {
            let input = self.input.fill_buf()?;
            let text = self.text.get_mut(text_end..).unwrap_or_default();
            let ends = self.ends.get_mut(ends_end..).unwrap_or_default();
            let (state, read, written, ended) = self.parser.read_record(input, text, ends);
            self.lines.pass(input.get(..read).unwrap_or_default());
            self.input.consume(read);
            text_end += written;
            ends_end += ended;
            match state {
                ReadRecordResult::InputEmpty => {}
                // The rest of the row is read as well. It overwrites the beginning.
                ReadRecordResult::OutputFull => {
                    let reason = format!("longer than {ROW_LIMIT} bytes; is a quote not closed?");
                    result = Err(RowError::refused(reason));
                    text_end = 0;
                }
                ReadRecordResult::OutputEndsFull => {
                    if result.is_ok() {
                        result = Err(RowError::refused(format!("more than {CELLS_LIMIT} cells")));
                    }
                    ends_end = 0;
                }
                ReadRecordResult::Record => {
                    self.cells = ends_end;
                    return Ok(Some(CsvRow { line, result }));
                }
                ReadRecordResult::End => return Ok(None),
            }
        }
    }

    /// Skips empty lines, which the parser would skip as well, so that the line on which the row begins is known.
    fn skip_line_ends(&mut self) -> Result<(), ImportError> {
        loop {
            let input = self.input.fill_buf()?;
            let count = input.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
            let is_done = count < input.len() || input.is_empty();
            self.lines.pass(input.get(..count).unwrap_or_default());
            self.input.consume(count);
            if is_done {
                return Ok(());
            }
        }
    }

    /// Returns the cells of the row.
    fn cells(&self) -> Result<Vec<&str>, RowError> {
        let mut start = 0;
        let ends = self.ends.get(..self.cells).unwrap_or_default();
        let cell = |end: &usize| {
            let cell = self.text.get(start..*end).unwrap_or_default();
            start = *end;
            std::str::from_utf8(cell).map_err(|_| RowError::refused("not UTF-8"))
        };
        ends.iter().map(cell).collect()
    }
}
