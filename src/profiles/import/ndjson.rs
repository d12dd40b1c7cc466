//! Reads NDJSON: one object per line, with the same names as the columns of CSV. A value is a string or an array of strings.
//! Custom fields and channels can also have integers, which are read as their digits.

use std::{
    borrow::Cow,
    collections::HashMap,
    fmt,
    io::{BufRead, Read},
};

use serde::{
    Deserialize,
    de::{MapAccess, Visitor},
};
use serde_json::value::RawValue;

use super::{
    error::{ImportError, RowError},
    keys::KeyCollector,
    report::{RefusedRow, RowReport},
    row::{Column, ProfileRow},
};
use crate::{escape::escape_name, limits::ROW_LIMIT};

/// Reads a file of which `lines` empty lines have been read.
pub fn read(
    keys: &mut KeyCollector,
    mut input: impl BufRead,
    lines: u64,
    report: &mut RowReport<impl FnMut(RefusedRow)>,
) -> Result<(), ImportError> {
    let mut columns = HashMap::new();
    let mut row = ProfileRow::default();
    let mut text = Vec::new();
    let mut number = lines;
    while let Some(line) = read_line(&mut input, &mut text)? {
        number += 1;
        row.clear();
        let result = match line {
            Line::Complete if text.trim_ascii().is_empty() => continue,
            Line::Complete => read_object(keys, &mut columns, &text, &mut row),
            Line::TooLong => Err(RowError::refused(format!("longer than {ROW_LIMIT} bytes"))),
        };
        report.add(number, result.and_then(|()| row.finish(keys)))?;
    }
    Ok(())
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

fn read_object(
    keys: &mut KeyCollector,
    columns: &mut HashMap<String, Column>,
    text: &[u8],
    row: &mut ProfileRow,
) -> Result<(), RowError> {
    let text = std::str::from_utf8(text.trim_ascii_end()).map_err(|_| RowError::refused("not UTF-8"))?;
    let ObjectRow(members) = serde_json::from_str(text).map_err(|error| match error.is_data() {
        true => RowError::refused("not a JSON object"),
        false => RowError::refused(format!("not JSON: column {}", error.column())),
    })?;
    for (name, value) in members {
        let column = match columns.get(name.as_ref()) {
            Some(column) => column,
            None => {
                let column = Column::new(keys, &name)?;
                columns.entry(name.into_owned()).or_insert(column)
            }
        };
        read_member(keys, column, value, row)?;
    }
    Ok(())
}

fn read_member(keys: &KeyCollector, column: &Column, value: &RawValue, row: &mut ProfileRow) -> Result<(), RowError> {
    if !column.is_profile_id() && value.get().starts_with('[') {
        let values: Vec<&RawValue> = serde_json::from_str(value.get()).map_err(|_| wrong_type(column))?;
        return values.into_iter().try_for_each(|value| read_value(keys, column, value, row));
    }
    read_value(keys, column, value, row)
}

fn read_value(keys: &KeyCollector, column: &Column, value: &RawValue, row: &mut ProfileRow) -> Result<(), RowError> {
    let text = value.get();
    let digits = text.strip_prefix('-').unwrap_or(text);
    if text == "null" {
        Ok(())
    } else if text.starts_with('"') {
        // The only strings that cannot be read have an escape of half a surrogate pair.
        let BorrowedText(text) = serde_json::from_str(text).map_err(|_| wrong_type(column))?;
        row.add(keys, column, &text)
    } else if column.is_custom() && digits.bytes().all(|byte| byte.is_ascii_digit()) {
        row.add(keys, column, text)
    } else {
        Err(wrong_type(column))
    }
}

fn wrong_type(column: &Column) -> RowError {
    let name = escape_name(column.name());
    if column.is_profile_id() {
        RowError::refused("profile_id: not a string")
    } else if column.is_custom() {
        RowError::refused(format!("{name}: not a string, an integer, or an array of strings and integers"))
    } else {
        RowError::refused(format!("{name}: not a string or an array of strings"))
    }
}

/// A string that borrows from its JSON text if it contains no escapes.
#[derive(Deserialize)]
struct BorrowedText<'a>(#[serde(borrow)] Cow<'a, str>);

/// The members of an object in their order. A name can appear more than once.
struct ObjectRow<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de> Deserialize<'de> for ObjectRow<'de> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ObjectVisitor;
        impl<'de> Visitor<'de> for ObjectVisitor {
            type Value = ObjectRow<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Self::Value, M::Error> {
                let mut members = Vec::new();
                while let Some((BorrowedText(name), value)) = map.next_entry::<BorrowedText<'de>, &'de RawValue>()? {
                    members.push((name, value));
                }
                Ok(ObjectRow(members))
            }
        }
        deserializer.deserialize_map(ObjectVisitor)
    }
}
