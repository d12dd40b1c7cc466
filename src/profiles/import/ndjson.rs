//! Reads objects: NDJSON, with one object on each line, or one JSON array of objects. The names are those of the columns of CSV.
//! A value is a string or an array of strings. Phone numbers, custom fields and channels can also have integers, which are read
//! as their digits.

use std::{
    borrow::Cow,
    collections::HashMap,
    io::{BufRead, Read},
};

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{
    array::ArrayReader,
    error::{ImportError, RowError},
    keys::KeyCollector,
    names::{FileColumn, NameResolver, NumberedColumn, unknown_names},
    report::ImportReport,
    row::ProfileRow,
};
use crate::{limits::ROW_LIMIT, profiles::key::Class, wire::members::ObjectMembers};

/// Reads the rows of a file.
pub struct ObjectRows<'a, 'n> {
    pub keys: &'a mut KeyCollector,
    pub names: &'a mut NameResolver<'n>,
    pub report: &'a mut ImportReport,
}

/// The members that a file has, by name.
type Members = HashMap<String, FileColumn>;

impl ObjectRows<'_, '_> {
    /// Reads NDJSON. `lines` empty lines have been read.
    pub fn read_lines(&mut self, mut input: impl BufRead, lines: u64) -> Result<(), ImportError> {
        let mut members = Members::new();
        let mut row = ProfileRow::default();
        let mut text = Vec::new();
        let mut number = lines;
        while let Some(line) = read_line(&mut input, &mut text)? {
            number += 1;
            let object = match line {
                Line::Complete if text.trim_ascii().is_empty() => continue,
                Line::Complete => Ok(text.as_slice()),
                Line::TooLong => Err(too_long()),
            };
            self.read_row(number, object, &mut members, &mut row)?;
        }
        Ok(())
    }

    /// Reads a JSON array. `lines` empty lines have been read.
    pub fn read_array(&mut self, input: impl BufRead, lines: u64) -> Result<(), ImportError> {
        let mut members = Members::new();
        let mut row = ProfileRow::default();
        let mut array = ArrayReader::new(input, lines);
        while let Some(line) = array.next()? {
            let object = array.element().ok_or_else(too_long);
            self.read_row(line, object, &mut members, &mut row)?;
        }
        Ok(())
    }

    fn read_row(
        &mut self,
        line: u64,
        object: Result<&[u8], RowError>,
        members: &mut Members,
        row: &mut ProfileRow,
    ) -> Result<(), ImportError> {
        row.clear();
        let result = object.and_then(|object| self.read_object(line, object, members, row));
        row.finish(line, result, self.keys, self.report)
    }

    fn read_object(
        &mut self,
        line: u64,
        text: &[u8],
        members: &mut Members,
        row: &mut ProfileRow,
    ) -> Result<(), RowError> {
        let text = std::str::from_utf8(text.trim_ascii()).map_err(|_| RowError::refused("not UTF-8"))?;
        let values: ObjectMembers<'_> = serde_json::from_str(text).map_err(|error| match error.is_data() {
            true => RowError::refused("not a JSON object"),
            false => RowError::refused("not JSON"),
        })?;
        let mut unknown = Vec::new();
        for (name, value) in values {
            let column = match members.get(name.as_ref()) {
                Some(column) => column,
                None => match self.names.resolve(self.keys, &name)? {
                    Ok(column) => members.entry(name.into_owned()).or_insert(column),
                    Err(name) => {
                        unknown.push(name);
                        continue;
                    }
                },
            };
            match column {
                FileColumn::ProfileId => set_profile(value, row)?,
                FileColumn::Keys(column) => add_values(self.keys, column, value, row),
                FileColumn::Ignored => {}
                FileColumn::Unnamed if matches!(value.get(), "null" | "\"\"" | "[]") => {}
                FileColumn::Unnamed => return Err(RowError::refused("a member has no name")),
            }
        }
        if unknown.is_empty() { Ok(()) } else { Err(unknown_names(line, &unknown).into()) }
    }
}

fn too_long() -> RowError {
    RowError::refused(format!("longer than {ROW_LIMIT} bytes"))
}

enum Line {
    Complete,
    /// The rest of the line has been skipped.
    TooLong,
}

/// Reads a line into `text`. Returns `None` at the end of the file.
fn read_line(input: &mut impl BufRead, text: &mut Vec<u8>) -> Result<Option<Line>, ImportError> {
    text.clear();
    let read = input.by_ref().take(ROW_LIMIT as u64 + 1).read_until(b'\n', text)?;
    if read <= ROW_LIMIT || text.ends_with(b"\n") {
        return Ok((read > 0).then_some(Line::Complete));
    }
    input.skip_until(b'\n')?;
    Ok(Some(Line::TooLong))
}

fn set_profile(value: &RawValue, row: &mut ProfileRow) -> Result<(), RowError> {
    match value.get() {
        "null" => Ok(()),
        text if text.starts_with('"') => {
            let BorrowedText(text) =
                serde_json::from_str(text).map_err(|_| RowError::refused("profile_id: not a string"))?;
            row.set_profile(&text)
        }
        _ => Err(RowError::refused("profile_id: not a string")),
    }
}

fn add_values(keys: &mut KeyCollector, column: &NumberedColumn, value: &RawValue, row: &mut ProfileRow) {
    if !value.get().starts_with('[') {
        return add_value(keys, column, value, row);
    }
    match serde_json::from_str::<Vec<&RawValue>>(value.get()) {
        Ok(values) => values.into_iter().for_each(|value| add_value(keys, column, value, row)),
        Err(_) => row.skip(column, wrong_type(column)),
    }
}

fn add_value(keys: &mut KeyCollector, column: &NumberedColumn, value: &RawValue, row: &mut ProfileRow) {
    let text = value.get();
    let digits = if column.column.is_custom() { text.strip_prefix('-').unwrap_or(text) } else { text };
    if text == "null" {
        return;
    }
    if text.starts_with('"') {
        // The only strings that cannot be read have an escape of half a surrogate pair.
        return match serde_json::from_str(text) {
            Ok(BorrowedText(text)) => row.add_text(keys, column, &text),
            Err(_) => row.skip(column, "half a surrogate pair"),
        };
    }
    if accepts_integers(column) && digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return row.add_text(keys, column, text);
    }
    row.skip(column, wrong_type(column));
}

fn accepts_integers(column: &NumberedColumn) -> bool {
    column.column.is_custom() || column.column.class == Class::Phone
}

fn wrong_type(column: &NumberedColumn) -> &'static str {
    match accepts_integers(column) {
        true => "not a string, an integer, or an array of strings and integers",
        false => "not a string or an array of strings",
    }
}

/// A string that borrows from its JSON text if it contains no escapes.
#[derive(Deserialize)]
struct BorrowedText<'a>(#[serde(borrow)] Cow<'a, str>);
