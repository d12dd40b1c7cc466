//! The command `profiles apply`: sends a file of changes.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use serde::Deserialize;
use serde_json::{Map, Value};
use trigger_launch::{
    limits::{CHANGES_BODY_LIMIT, REFUSED_ROWS_SHOWN},
    text::{hex, without_byte_order_mark},
};

use super::{
    api::{ApiError, DatabaseApi},
    progress::progress_bar,
};
use crate::{
    system::{SystemError, random_bytes},
    terminal::{count, print_note},
};

/// Rows in one request.
const ROWS: usize = 1000;

/// Why a file of changes was not applied.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    #[error("{}", path.display())]
    File { path: PathBuf, source: std::io::Error },
    #[error("{}: {message}", path.display())]
    Invalid { path: PathBuf, message: String },
    #[error("{} refused, for the reasons above; the others were applied", count(*.0, "row"))]
    Refused(u64),
    #[error(transparent)]
    Api(#[from] ApiError),
    #[error(transparent)]
    System(#[from] SystemError),
}

/// The reply to a request with changes.
#[derive(Deserialize)]
struct AppliedRows {
    version: u64,
    applied: u64,
    refused: Vec<RowRefusal>,
}

#[derive(Deserialize)]
struct RowRefusal {
    index: usize,
    field: String,
    reason: String,
}

/// Sends the rows of a file, and returns the result as a line.
pub fn apply(path: &Path, database: u64, url: &str) -> Result<String, ApplyError> {
    let api = DatabaseApi::new(url, database)?;
    let bytes = fs::read(path).map_err(|source| ApplyError::File { path: path.to_owned(), source })?;
    let rows = read_rows(without_byte_order_mark(&bytes))
        .map_err(|message| ApplyError::Invalid { path: path.to_owned(), message })?;
    let rows = merge_rows(rows);
    let progress = progress_bar(rows.len() as u64, "sending  {bar:40} {pos}/{len} profiles, {eta} left");
    let (mut applied, mut refused, mut version) = (0, 0, 0);
    let mut rest = rows.as_slice();
    while !rest.is_empty() {
        let (rows, after) = rest.split_at(request_length(rest));
        let body = format!("[{}]", rows.iter().map(|row| row.text.as_str()).collect::<Vec<_>>().join(","));
        let request_id = hex(&random_bytes::<16>()?);
        let reply: AppliedRows = api.change(body.as_bytes(), &request_id)?;
        (applied, version) = (applied + reply.applied, reply.version);
        for RowRefusal { index, field, reason } in reply.refused {
            refused += 1;
            if refused <= REFUSED_ROWS_SHOWN as u64 {
                let number = rows.get(index).map_or(0, |row| row.number);
                progress.suspend(|| print_note(&format!("row {number}: refused: {field}: {reason}")));
            }
        }
        progress.inc(rows.len() as u64);
        rest = after;
    }
    progress.finish_and_clear();
    if refused > 0 {
        return Err(ApplyError::Refused(refused));
    }
    Ok(format!("database {database}: {} changed, version {version}", count(applied, "profile")))
}

/// Returns the number of rows of the next request.
fn request_length(rows: &[ChangedRow]) -> usize {
    let mut bytes = 0;
    let fits = |row: &&ChangedRow| {
        bytes += row.text.len() + 1;
        bytes < CHANGES_BODY_LIMIT / 2
    };
    rows.iter().take(ROWS).take_while(fits).count().max(1)
}

/// Reads one JSON array, or one JSON object on each line.
fn read_rows(bytes: &[u8]) -> Result<Vec<Value>, String> {
    if bytes.trim_ascii_start().starts_with(b"[") {
        return serde_json::from_slice(bytes).map_err(|error| format!("invalid JSON: {error}"));
    }
    let lines = (1_u64..).zip(bytes.split(|byte| *byte == b'\n')).filter(|(_, line)| !line.trim_ascii().is_empty());
    lines
        .map(|(number, line)| {
            serde_json::from_slice(line).map_err(|error| format!("line {number}: invalid JSON: {error}"))
        })
        .collect()
}

/// A row that is sent.
#[derive(Debug, PartialEq)]
struct ChangedRow {
    /// The number of the first row of the profile in the file, from 1.
    number: usize,
    text: String,
}

/// Merges the rows of each profile: the values of all its rows, from the last one that deletes it on.
fn merge_rows(rows: Vec<Value>) -> Vec<ChangedRow> {
    let mut merged: Vec<(usize, Value)> = Vec::new();
    let mut places: BTreeMap<String, usize> = BTreeMap::new();
    for (number, row) in (1..).zip(rows) {
        let id = row.get("profile_id").and_then(Value::as_str).map(str::to_ascii_lowercase);
        let Some(id) = id else {
            merged.push((number, row));
            continue;
        };
        match places.get(&id).and_then(|place| merged.get_mut(*place)) {
            Some((_, Value::Object(known))) => merge_row(known, row),
            _ => {
                places.insert(id, merged.len());
                merged.push((number, row));
            }
        }
    }
    merged.into_iter().map(|(number, row)| ChangedRow { number, text: row.to_string() }).collect()
}

fn merge_row(known: &mut Map<String, Value>, row: Value) {
    let Value::Object(row) = row else { return };
    let is_deleted = |row: &Map<String, Value>| row.get("deleted") == Some(&Value::Bool(true));
    if is_deleted(known) || is_deleted(&row) {
        *known = row;
        return;
    }
    for (name, value) in row {
        if name == "profile_id" {
            continue;
        }
        let list = |value: Value| match value {
            Value::Array(values) => values,
            value => vec![value],
        };
        let mut values = known.remove(&name).map(list).unwrap_or_default();
        values.extend(list(value));
        known.insert(name, Value::Array(values));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn merges_the_rows_of_a_profile() {
        let rows = br#"{"profile_id":"AA","email":"a"}
{"profile_id":"b"}

{"profile_id":"aa","email":["c"],"phone":"1"}
{"email":"no id"}
{"profile_id":"b","deleted":true}
{"profile_id":"b","email":"d"}"#;
        let merged = merge_rows(read_rows(rows).unwrap());
        let texts: Vec<_> = merged.iter().map(|row| (row.number, row.text.as_str())).collect();
        let first = r#"{"email":["a","c"],"phone":["1"],"profile_id":"AA"}"#;
        let second = r#"{"email":"d","profile_id":"b"}"#;
        assert_eq!(texts, [(1, first), (2, second), (4, r#"{"email":"no id"}"#)]);
    }

    #[test]
    fn reads_an_array_or_lines() {
        assert_eq!(read_rows(b" [{}, {}]").unwrap().len(), 2);
        assert_eq!(read_rows(b"{}\r\n{}\n").unwrap().len(), 2);
        assert!(read_rows(b"{}\n{").unwrap_err().starts_with("line 2: invalid JSON"));
    }
}
