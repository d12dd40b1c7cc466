//! Reads CSV with a header. Rows are parsed into a buffer of a fixed size: a row that is too long is refused, and does not load
//! the rest of the file into memory.

use std::io::{self, BufRead, BufReader, Cursor, Read};

use csv_core::{ReadRecordResult, ReaderBuilder};

use super::{
    error::{ImportError, QuoteError, RowError},
    keys::KeyCollector,
    lines::LineCounter,
    names::{FileColumn, NameResolver, NumberedColumn, clean_name, unknown_names},
    quotes::QuoteChecker,
    report::ImportReport,
    row::ProfileRow,
};
use crate::{
    escape::escape_name,
    limits::{CELLS_LIMIT, HEADER_SNIFF, IMPORT_READ, ROW_LIMIT},
    profiles::key::ProfileId,
};

/// Delimiters that are detected, the usual one first.
const DELIMITERS: [u8; 4] = *b",;\t|";

/// Reads a file whose first lines have been read: `lines` has counted them.
pub fn read(
    keys: &mut KeyCollector,
    mut input: Box<dyn BufRead + '_>,
    lines: LineCounter,
    names: &mut NameResolver<'_>,
    report: &mut ImportReport,
) -> Result<(), ImportError> {
    let mut start = Vec::new();
    input.by_ref().take(HEADER_SNIFF as u64).read_to_end(&mut start)?;
    let (delimiter, skipped) = find_separator_line(&start).unwrap_or_else(|| (find_delimiter(&start, names), 0));
    let mut input = Cursor::new(start).chain(input);
    // The line end of a separator line is skipped as an empty line.
    input.consume(skipped);
    // This buffer is filled from the box, so that a row needs no call through a pointer.
    let mut reader = CsvReader::new(BufReader::with_capacity(IMPORT_READ, input), delimiter, lines);
    let columns = read_header(&mut reader, keys, names)?;
    let mut row = ProfileRow::default();
    while let Some(CsvRow { line, result }) = reader.next()? {
        row.clear();
        match result.and_then(|()| read_cells(keys, &columns, &reader, line, &mut row)) {
            Ok(RowContent::Empty) => {}
            Ok(RowContent::Cells) => row.finish(line, Ok(()), keys, report)?,
            Err(error) => row.finish(line, Err(error), keys, report)?,
        }
    }
    Ok(())
}

/// Reads a first line `sep=;`, which spreadsheets write and read. Returns the delimiter and the length of the line.
fn find_separator_line(start: &[u8]) -> Option<(u8, usize)> {
    let length = start.iter().position(|byte| matches!(byte, b'\r' | b'\n'))?;
    let line = start.get(..length)?;
    let unquoted = line.strip_prefix(b"\"").and_then(|line| line.strip_suffix(b"\"")).unwrap_or(line);
    let (name, delimiter) = unquoted.split_at_checked(4)?;
    match delimiter {
        [delimiter] if name.eq_ignore_ascii_case(b"sep=") && is_delimiter(*delimiter) => Some((*delimiter, length)),
        _ => None,
    }
}

fn is_delimiter(byte: u8) -> bool {
    byte == b'\t' || (byte.is_ascii_punctuation() && !matches!(byte, b'"' | b'_' | b'-'))
}

/// Returns the delimiter that yields the most known names in the header.
fn find_delimiter(start: &[u8], names: &NameResolver<'_>) -> u8 {
    let (mut best, mut most) = (b',', 0);
    for delimiter in DELIMITERS {
        let count = count_known_names(start, delimiter, names);
        if count > most {
            (best, most) = (delimiter, count);
        }
    }
    best
}

fn count_known_names(start: &[u8], delimiter: u8, names: &NameResolver<'_>) -> usize {
    let mut parser = ReaderBuilder::new().delimiter(delimiter).build();
    let (mut text, mut ends) = (vec![0; start.len()], vec![0; CELLS_LIMIT]);
    let (_, _, _, mut count) = parser.read_record(start, &mut text, &mut ends);
    if count < ends.len() && start.len() < HEADER_SNIFF {
        // The file ends with the header.
        count += parser.read_record(&[], &mut [0], ends.get_mut(count..).unwrap_or_default()).3;
    }
    let mut begin = 0;
    let cells = ends.iter().take(count).filter_map(|end| {
        let cell = text.get(begin..*end);
        begin = *end;
        std::str::from_utf8(cell?).ok()
    });
    cells.filter(|name| names.is_known(name)).count()
}

fn read_header(
    reader: &mut CsvReader<impl Read>,
    keys: &mut KeyCollector,
    names: &mut NameResolver<'_>,
) -> Result<Vec<FileColumn>, ImportError> {
    let line = match reader.next()? {
        Some(CsvRow { result, line }) => {
            result.map_err(RowError::in_header)?;
            line
        }
        None => return Err(ImportError::Header("missing".into())),
    };
    let text = reader.text().map_err(RowError::in_header)?;
    let mut columns: Vec<FileColumn> = Vec::new();
    let mut unknown = Vec::new();
    for name in reader.cells(text) {
        match names.resolve(keys, name)? {
            Err(name) => unknown.push(name),
            Ok(column) if columns.iter().any(|other| is_duplicate(other, &column)) => {
                let name = escape_name(clean_name(name));
                return Err(ImportError::Header(format!("duplicate column {name}").into()));
            }
            Ok(column) => columns.push(column),
        }
    }
    if !unknown.is_empty() {
        let mut parts = reader.cells(text).flat_map(|cell| cell.split(DELIMITERS.map(char::from)));
        let has_profile_id = parts.any(|part| ProfileId::parse(clean_name(part)).is_some());
        return Err(match has_profile_id {
            // Cells of a row of values are not repeated in a message.
            true => ImportError::Header("missing; the first row contains a profile ID instead of names".into()),
            false => unknown_names(line, &unknown),
        });
    }
    if !columns.iter().any(|column| matches!(column, FileColumn::ProfileId)) {
        return Err(ImportError::Header("the column profile_id is missing".into()));
    }
    Ok(columns)
}

/// Whether two columns have the same name. The operator can map several columns to one.
fn is_duplicate(one: &FileColumn, other: &FileColumn) -> bool {
    let is_same =
        |one: &NumberedColumn, other: &NumberedColumn| one.column == other.column && !one.is_alias && !other.is_alias;
    match (one, other) {
        (FileColumn::ProfileId, FileColumn::ProfileId) => true,
        (FileColumn::Keys(one), FileColumn::Keys(other)) => is_same(one, other),
        _ => false,
    }
}

enum RowContent {
    /// All cells are empty.
    Empty,
    Cells,
}

/// Adds the cells of the reader's row to `row`.
fn read_cells(
    keys: &mut KeyCollector,
    columns: &[FileColumn],
    reader: &CsvReader<impl Read>,
    line: u64,
    row: &mut ProfileRow,
) -> Result<RowContent, RowError> {
    let mut content = RowContent::Empty;
    for (number, cell) in reader.cells(reader.text()?).enumerate() {
        // The first character of most cells is no white space.
        if !matches!(cell.as_bytes().first(), Some(b'!'..=b'~')) && cell.trim().is_empty() {
            continue;
        }
        content = RowContent::Cells;
        reader.quotes.check_cell(cell)?;
        match columns.get(number) {
            Some(FileColumn::ProfileId) => row.set_profile(cell)?,
            Some(FileColumn::Keys(column)) => row.add_cell(keys, column, cell),
            Some(FileColumn::Ignored) => {}
            Some(FileColumn::Unnamed) => {
                return Err(ImportError::UnnamedColumn { line, column: number + 1 }.into());
            }
            None => return Err(RowError::refused("more cells than the header")),
        }
    }
    Ok(content)
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
    input: BufReader<R>,
    parser: csv_core::Reader,
    lines: LineCounter,
    quotes: QuoteChecker,
    /// The text of all cells of a row that has been parsed.
    text: Vec<u8>,
    /// Whether the row is at the start of the read buffer instead, with one byte after each cell.
    is_plain: bool,
    text_length: usize,
    /// The positions in the text at which cells end.
    ends: Vec<usize>,
    /// The number of cells of the row.
    cells: usize,
    /// Whether a byte ends a cell or is a quote.
    ends_cell: [bool; 256],
}

impl<R: Read> CsvReader<R> {
    fn new(input: BufReader<R>, delimiter: u8, lines: LineCounter) -> Self {
        let mut parser = ReaderBuilder::new().delimiter(delimiter).build();
        // The parser removes a byte order mark from its first input, but only if the input contains all of the mark. An empty
        // first line disables that.
        parser.read_record(b"\n", &mut [0], &mut [0]);
        Self {
            input,
            parser,
            lines,
            quotes: QuoteChecker::new(delimiter),
            text: vec![0; ROW_LIMIT],
            is_plain: false,
            text_length: 0,
            ends: vec![0; CELLS_LIMIT],
            cells: 0,
            ends_cell: std::array::from_fn(|byte| [b'\r', b'\n', b'"', delimiter].map(usize::from).contains(&byte)),
        }
    }

    /// Reads the next row. Returns `None` at the end of the file.
    fn next(&mut self) -> Result<Option<CsvRow>, ImportError> {
        if std::mem::take(&mut self.is_plain) {
            self.input.consume(self.text_length);
        }
        self.skip_line_ends()?;
        self.quotes.begin_row();
        let line = self.lines.current();
        if self.read_plain_row()? {
            return Ok(Some(CsvRow { line, result: Ok(()) }));
        }
        let (mut text_end, mut ends_end) = (0, 0);
        let mut result = Ok(());
        let mut is_first = true;
        loop {
            let input = self.input.fill_buf()?;
            if input.is_empty() && self.quotes.is_open() {
                return Err(self.quotes.error(QuoteError::NotClosed));
            }
            let text = self.text.get_mut(text_end..).unwrap_or_default();
            let ends = self.ends.get_mut(ends_end..).unwrap_or_default();
            let (state, read, written, ended) = self.parser.read_record(input, text, ends);
            let bytes = input.get(..read).unwrap_or_default();
            let is_row = is_first && matches!(state, ReadRecordResult::Record);
            self.quotes.pass(bytes, &self.lines, is_row)?;
            self.lines.pass(bytes);
            self.input.consume(read);
            is_first = false;
            text_end += written;
            ends_end += ended;
            match state {
                ReadRecordResult::InputEmpty => {}
                ReadRecordResult::OutputFull if self.quotes.is_open() => {
                    return Err(self.quotes.error(QuoteError::NotClosed));
                }
                // The rest of the row is read as well. It overwrites the beginning.
                ReadRecordResult::OutputFull => {
                    result = Err(RowError::refused(format!("longer than {ROW_LIMIT} bytes")));
                    text_end = 0;
                }
                ReadRecordResult::OutputEndsFull => {
                    if result.is_ok() {
                        result = Err(RowError::refused(format!("more than {CELLS_LIMIT} cells")));
                    }
                    ends_end = 0;
                }
                ReadRecordResult::Record => {
                    (self.text_length, self.cells) = (text_end, ends_end);
                    return Ok(Some(CsvRow { line, result }));
                }
                ReadRecordResult::End => return Ok(None),
            }
        }
    }

    /// Reads the next row if all of it is in the read buffer and it has no quotes. Returns `false` for other rows. Most rows need
    /// no parser. The line end is skipped before the next row.
    fn read_plain_row(&mut self) -> io::Result<bool> {
        let input = self.input.fill_buf()?;
        let (mut length, mut cells) = (0, 0);
        loop {
            let mut rest = input.iter().skip(length);
            let Some(end) = rest.position(|byte| self.ends_cell.get(usize::from(*byte)) == Some(&true)) else {
                return Ok(false);
            };
            length += end;
            let (Some(byte), Some(slot)) = (input.get(length), self.ends.get_mut(cells)) else { return Ok(false) };
            *slot = length;
            cells += 1;
            match byte {
                b'"' => return Ok(false),
                b'\r' | b'\n' => break,
                _ => length += 1,
            }
        }
        (self.is_plain, self.text_length, self.cells) = (true, length, cells);
        self.lines.pass_text();
        Ok(true)
    }

    /// Skips empty lines, which the parser would skip as well, so that the line on which the row begins is known.
    fn skip_line_ends(&mut self) -> io::Result<()> {
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

    /// Returns the text of all cells of the row.
    fn text(&self) -> Result<&str, RowError> {
        let text = if self.is_plain { self.input.buffer() } else { &self.text };
        let text = std::str::from_utf8(text.get(..self.text_length).unwrap_or_default()).ok();
        let ends = self.ends.get(..self.cells).unwrap_or_default();
        // Without delimiters, the bytes of two cells can form one character.
        let text = text.filter(|text| ends.iter().all(|end| text.is_char_boundary(*end)));
        text.ok_or_else(|| RowError::refused("not UTF-8; if the file has another encoding, name it with --encoding"))
    }

    /// Returns the cells of the row. `text` is the result of [`Self::text`].
    fn cells<'a>(&'a self, text: &'a str) -> impl Iterator<Item = &'a str> {
        let mut start = 0;
        let ends = self.ends.get(..self.cells).unwrap_or_default();
        ends.iter().map(move |end| {
            let cell = text.get(start..*end).unwrap_or_default();
            start = *end + usize::from(self.is_plain);
            cell
        })
    }
}

#[cfg(test)]
mod tests {
    use std::io::BufReader;

    use proptest::{collection::vec, prelude::*, sample::select};

    use super::*;

    /// Returns the line and the cells of each row. The last row can be an error.
    fn read_rows(file: &[u8], buffer: usize) -> Vec<Result<(u64, Vec<String>), String>> {
        let mut reader = CsvReader::new(BufReader::with_capacity(buffer, file), b',', LineCounter::default());
        let mut rows = Vec::new();
        loop {
            match reader.next() {
                Ok(Some(CsvRow { line, result })) => {
                    let text = result.and_then(|()| reader.text());
                    let cells = |text| reader.cells(text).map(str::to_owned).collect();
                    rows.push(text.map(|text| (line, cells(text))).map_err(|error| format!("{line}: {error}")));
                }
                Ok(None) => return rows,
                Err(error) => {
                    rows.push(Err(error.to_string()));
                    return rows;
                }
            }
        }
    }

    #[test]
    fn a_row_with_too_many_cells_is_refused_with_and_without_the_parser() {
        let file = format!("{}\na,b\n", ",".repeat(CELLS_LIMIT));
        let rows = read_rows(file.as_bytes(), 1);
        assert_eq!(rows.iter().map(Result::is_ok).collect::<Vec<_>>(), [false, true]);
        assert_eq!(read_rows(file.as_bytes(), 100_000), rows);
    }

    proptest! {
        /// A buffer of one byte never contains a whole row, so the parser reads all rows.
        #[test]
        fn plain_rows_are_those_of_the_parser(file in vec(select(b"aa1,,\"\r\n\n \xc3\xa9".as_slice()), 0..60)) {
            prop_assert_eq!(read_rows(&file, 1000), read_rows(&file, 1));
        }
    }
}
