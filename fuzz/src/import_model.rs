//! A file of profiles, read as a whole.

use super::json::{Members, scalar};
use csv_core::{ReadRecordResult, Reader};
use serde::de::IgnoredAny;
use serde_json::value::RawValue;
use std::collections::{BTreeMap, BTreeSet};
use trigger_launch::{
    limits::KEY_LIMIT,
    profiles::{
        key::{Class, ProfileId},
        normal::Normaliser,
    },
    wire::Scalar,
};

/// A key of the index, as text.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    pub class: Class,
    pub field: String,
    pub subscription: bool,
    pub value: String,
}

/// What a file says.
#[derive(Debug, Default)]
pub struct Model {
    pub taken: u64,
    pub refused: u64,
    /// Lines of the file.
    pub lines: u64,
    pub keys: BTreeMap<Key, BTreeSet<ProfileId>>,
}

/// Which keys a column holds; none: it is the profile's id.
type Column = Option<(Class, String, bool)>;

/// A row that is refused.
struct Refused;

/// `None`: the file is to be refused as a whole.
pub fn read(data: &[u8]) -> Option<Model> {
    let data = data.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(data);
    let first = data.iter().find(|byte| !is_blank(byte))?;
    let mut model = Model {
        lines: 1 + data.iter().filter(|byte| matches!(byte, b'\r' | b'\n')).count() as u64,
        ..Model::default()
    };
    if *first == b'{' {
        ndjson(data, &mut model)
    } else {
        csv(data, &mut model)?
    }
    Some(model)
}

fn is_blank(byte: &&u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

impl Model {
    /// A row that has been read: its id and its keys.
    fn row(&mut self, row: Result<(ProfileId, Vec<Key>), Refused>) {
        let Ok((profile, keys)) = row else {
            self.refused += 1;
            return;
        };
        self.taken += 1;
        let id = Key { class: Class::ProfileId, field: String::new(), subscription: false, value: profile.to_string() };
        for key in keys.into_iter().chain([id]) {
            self.keys.entry(key).or_default().insert(profile);
        }
    }
}

fn column(name: &str) -> Result<Column, Refused> {
    let (class, subscription, field) = match name.split_once(':') {
        None if name == "profile_id" => return Ok(None),
        None => match name {
            "email" => (Class::Email, false, ""),
            "email_sub" => (Class::Email, true, ""),
            "phone" => (Class::Phone, false, ""),
            "phone_sub" => (Class::Phone, true, ""),
            "push_sub" => (Class::Push, true, ""),
            _ => return Err(Refused),
        },
        Some((_, field)) if field.is_empty() || field.len() > KEY_LIMIT => return Err(Refused),
        Some(("custom", field)) => (Class::Custom, false, field),
        Some(("custom_sub", field)) => (Class::CustomSub, true, field),
        Some(_) => return Err(Refused),
    };
    Ok(Some((class, field.to_owned(), subscription)))
}

/// The key that a value is; none, if nothing is left of it.
fn key((class, field, subscription): &(Class, String, bool), value: &str) -> Result<Option<Key>, Refused> {
    if value.len() > KEY_LIMIT {
        return Err(Refused);
    }
    let (field, value) = match class {
        Class::Push if !value.is_empty() => match value.split_once(':') {
            Some((provider, id)) if !provider.is_empty() && !id.is_empty() => (provider, id),
            _ => return Err(Refused),
        },
        _ => (field.as_str(), value),
    };
    let key = |value: &str| Key {
        class: *class,
        field: field.to_owned(),
        subscription: *subscription,
        value: value.to_owned(),
    };
    Ok(Normaliser::native().normalise(*class, value).map(|value| key(&value)))
}

fn ndjson(data: &[u8], model: &mut Model) {
    for line in data.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty()) {
        let row = std::str::from_utf8(line).map_err(|_| Refused).and_then(object);
        model.row(row);
    }
}

fn object(line: &str) -> Result<(ProfileId, Vec<Key>), Refused> {
    serde_json::from_str::<IgnoredAny>(line).map_err(|_| Refused)?;
    let Members(members) = serde_json::from_str(line).map_err(|_| Refused)?;
    let (mut ids, mut keys) = (Vec::new(), Vec::new());
    for (name, value) in members {
        let column = column(&name.ok_or(Refused)?)?;
        let custom = matches!(column, Some((Class::Custom | Class::CustomSub, ..)));
        let values: Vec<&RawValue> = match value.get().starts_with('[') && column.is_some() {
            true => serde_json::from_str(value.get()).map_err(|_| Refused)?,
            false => vec![value],
        };
        for value in values {
            let text = match scalar(value.get()) {
                Scalar::Absent => continue,
                Scalar::Text(text) => text,
                Scalar::Integer(digits) if custom => digits.into(),
                _ => return Err(Refused),
            };
            match &column {
                None => ids.push(ProfileId::parse(&text).ok_or(Refused)?),
                Some(column) => keys.extend(key(column, &text)?),
            }
        }
    }
    if let [id] = ids[..] { Ok((id, keys)) } else { Err(Refused) }
}

fn csv(data: &[u8], model: &mut Model) -> Option<()> {
    let blank = data.iter().take_while(is_blank).count();
    let mut records = records(&data[blank..]).into_iter();
    let header: Vec<_> = records.next()?.into_iter().map(String::from_utf8).collect::<Result<_, _>>().ok()?;
    let names: Vec<_> =
        header.iter().map(|name| name.trim_matches(|c: char| c.is_whitespace() || c == '\u{feff}')).collect();
    let columns: Vec<_> = names.iter().map(|name| column(name)).collect::<Result<_, _>>().ok()?;
    if names.iter().collect::<BTreeSet<_>>().len() < names.len() || columns.iter().all(Option::is_some) {
        return None;
    }
    for record in records {
        model.row(cells(&columns, record));
    }
    Some(())
}

fn cells(columns: &[Column], record: Vec<Vec<u8>>) -> Result<(ProfileId, Vec<Key>), Refused> {
    let cells: Vec<_> = record.into_iter().map(String::from_utf8).collect::<Result<_, _>>().map_err(|_| Refused)?;
    if cells.len() != columns.len() {
        return Err(Refused);
    }
    let (mut id, mut keys) = (None, Vec::new());
    for (column, cell) in columns.iter().zip(&cells) {
        match column {
            None => id = Some(ProfileId::parse(cell).ok_or(Refused)?),
            Some(column) => {
                for value in cell.split(';') {
                    keys.extend(key(column, value)?);
                }
            }
        }
    }
    Ok((id.ok_or(Refused)?, keys))
}

/// All records, each as its cells.
fn records(mut data: &[u8]) -> Vec<Vec<Vec<u8>>> {
    let mut reader = Reader::new();
    // Else it would skip a byte order mark itself, and a quote could begin the first cell.
    reader.read_record(b"\n", &mut [0], &mut [0]);
    let (mut text, mut ends) = (vec![0; data.len() + 1], vec![0; data.len() + 2]);
    let (mut written, mut ended) = (0, 0);
    let mut records = Vec::new();
    loop {
        let (state, read, more_text, more_ends) = reader.read_record(data, &mut text[written..], &mut ends[ended..]);
        data = &data[read..];
        written += more_text;
        ended += more_ends;
        match state {
            ReadRecordResult::InputEmpty => {}
            ReadRecordResult::Record => {
                let starts = std::iter::once(0).chain(ends.iter().copied());
                records.push(starts.zip(&ends[..ended]).map(|(start, end)| text[start..*end].to_vec()).collect());
                (written, ended) = (0, 0);
            }
            ReadRecordResult::End => return records,
            full => panic!("{full:?}: there is room for all"),
        }
    }
}
