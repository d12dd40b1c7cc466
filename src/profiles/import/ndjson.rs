//! NDJSON: an object a line, with the names of the CSV's columns; a value is a string or an array of strings, and
//! for custom fields also an integer, taken as its digits.

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
    ImportError, Importer, Refused, Rows,
    row::{Checked, Column, Reason, Row},
};
use crate::{escape::short, limits::ROW_LIMIT, profiles::key::Class};

/// `before`: the line ends of the file that have been read already.
pub fn read(
    importer: &mut Importer,
    mut input: impl BufRead,
    before: u64,
    mut refused: impl FnMut(Refused),
) -> Result<Rows, ImportError> {
    let mut columns = HashMap::new();
    let mut rows = Rows::default();
    let mut row = Row::default();
    let mut text = Vec::new();
    let mut line = before;
    while let Some(complete) = next_line(&mut input, &mut text)? {
        line += 1;
        if text.trim_ascii().is_empty() && complete {
            continue;
        }
        row.clear();
        let taken = match complete {
            true => fill(importer, &mut columns, &text, &mut row)?,
            false => Err(format!("longer than {ROW_LIMIT} bytes").into()),
        };
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

/// Reads a line; `Some(false)`: it is too long, and the rest of it has been skipped.
fn next_line(input: &mut impl BufRead, text: &mut Vec<u8>) -> Result<Option<bool>, ImportError> {
    text.clear();
    let read = input.by_ref().take(ROW_LIMIT as u64 + 1).read_until(b'\n', text)?;
    if read <= ROW_LIMIT || text.ends_with(b"\n") {
        return Ok((read > 0).then_some(true));
    }
    input.skip_until(b'\n')?;
    Ok(Some(false))
}

fn fill(
    importer: &mut Importer,
    columns: &mut HashMap<String, Column>,
    text: &[u8],
    row: &mut Row,
) -> Result<Checked, ImportError> {
    let Ok(text) = std::str::from_utf8(text.trim_ascii_end()) else { return Ok(Err("not UTF-8".into())) };
    let members = match serde_json::from_str(text) {
        Ok(Members(members)) => members,
        Err(error) if error.is_data() => return Ok(Err("not a JSON object".into())),
        Err(error) => return Ok(Err(format!("not JSON: column {}", error.column()).into())),
    };
    for (name, value) in members {
        if !columns.contains_key(name.as_ref()) {
            match Column::new(importer, &name)? {
                Ok(column) => columns.insert(name.to_string(), column),
                Err(reason) => return Ok(Err(reason)),
            };
        }
        let Some(column) = columns.get(name.as_ref()) else { continue };
        if let Err(reason) = member(importer, column, value, row) {
            return Ok(Err(reason));
        }
    }
    Ok(Ok(()))
}

fn member(importer: &Importer, column: &Column, value: &RawValue, row: &mut Row) -> Checked {
    if column.keys.is_some() && value.get().starts_with('[') {
        let values: Vec<&RawValue> = serde_json::from_str(value.get()).map_err(|_| wrong_type(column))?;
        return values.into_iter().try_for_each(|value| scalar(importer, column, value, row));
    }
    scalar(importer, column, value, row)
}

fn scalar(importer: &Importer, column: &Column, value: &RawValue, row: &mut Row) -> Checked {
    /// Borrows where no escape makes it impossible.
    #[derive(Deserialize)]
    struct Text<'a>(#[serde(borrow)] Cow<'a, str>);
    let text = value.get();
    let custom = column.keys.as_ref().is_some_and(|keys| matches!(keys.class, Class::Custom | Class::CustomSub));
    let digits = text.strip_prefix('-').unwrap_or(text);
    if text == "null" {
        Ok(())
    } else if text.starts_with('"') {
        // What is well-formed and yet no text is an escape of half a surrogate pair.
        let Text(text) = serde_json::from_str(text).map_err(|_| wrong_type(column))?;
        row.value(importer, column, &text)
    } else if custom && digits.bytes().all(|byte| byte.is_ascii_digit()) {
        row.value(importer, column, text)
    } else {
        Err(wrong_type(column))
    }
}

fn wrong_type(column: &Column) -> Reason {
    let name = short(&column.name);
    match &column.keys {
        None => "profile_id: not a string".into(),
        Some(keys) if matches!(keys.class, Class::Custom | Class::CustomSub) => {
            format!("{name}: not a string, an integer, or an array of them").into()
        }
        Some(_) => format!("{name}: not a string or an array of strings").into(),
    }
}

/// The members of an object, in their order.
struct Members<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Self::Value, M::Error> {
                #[derive(Deserialize)]
                struct Name<'a>(#[serde(borrow)] Cow<'a, str>);
                let mut members = Vec::new();
                while let Some((Name(name), value)) = map.next_entry::<Name<'de>, &'de RawValue>()? {
                    members.push((name, value));
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Object)
    }
}
