//! The keys of one row. They are discarded if the row is refused.

use super::{
    error::{ImportError, RowError},
    keys::KeyCollector,
    names::NumberedColumn,
    report::{ImportReport, ValueCounts},
    values::{MAILTO, extract_address, remove_guard, split_cell},
};
use crate::{
    escape::escape_name,
    limits::KEY_LIMIT,
    profiles::{
        key::{Class, ProfileId},
        normal::is_normal,
    },
};

/// Returns the key in a cell that contains one value and nothing that has to be removed or converted. Can return `None` for other
/// such cells.
fn find_plain_key(class: Class, cell: &str) -> Option<&str> {
    let value = match class {
        // A `+` is the only part of most numbers that is not a part of the key.
        Class::Phone => cell.strip_prefix('+').unwrap_or(cell),
        _ => cell,
    };
    let is_plain = match class {
        Class::Email => is_normal(class, value.as_bytes()) && !value.starts_with(MAILTO),
        Class::Phone => is_normal(class, value.as_bytes()),
        Class::Custom | Class::CustomSub => value.bytes().all(|byte| matches!(byte, b' '..=b'~') && byte != b';'),
        Class::ProfileId | Class::Push => false,
    };
    (is_plain && (1..=KEY_LIMIT).contains(&value.len())).then_some(value)
}

/// A row that is being read. Its keys are in the collector.
#[derive(Debug, Default)]
pub struct ProfileRow {
    profile: Option<ProfileId>,
    /// The reasons for values that are skipped.
    skipped: Vec<String>,
}

impl ProfileRow {
    /// Sets the profile. An empty text is ignored.
    pub fn set_profile(&mut self, text: &str) -> Result<(), RowError> {
        let id = match ProfileId::parse(text) {
            Some(id) => Some(id),
            None => {
                let text = remove_guard(text);
                if text.is_empty() {
                    return Ok(());
                }
                ProfileId::parse(text)
            }
        };
        let id = id.ok_or_else(|| RowError::refused("profile_id: not 24 hexadecimal digits"))?;
        match self.profile.replace(id) {
            None => Ok(()),
            Some(_) => Err(RowError::refused("profile_id: more than one value")),
        }
    }

    /// Adds the values of a CSV cell that is not empty.
    pub fn add_cell(&mut self, keys: &mut KeyCollector, column: &NumberedColumn, cell: &str) {
        let class = column.column.class;
        // Most values need no more than this.
        if let Some(value) = find_plain_key(class, cell) {
            return keys.add_key(column.place(), "", value);
        }
        let cell = if column.column.is_custom() { cell } else { remove_guard(cell) };
        split_cell(class, cell, |value| self.add_value(keys, column, value));
    }

    /// Adds a string of NDJSON.
    pub fn add_text(&mut self, keys: &mut KeyCollector, column: &NumberedColumn, text: &str) {
        let text = if column.column.is_custom() { text } else { remove_guard(text) };
        self.add_value(keys, column, text);
    }

    /// Adds one value. An empty value is ignored; an invalid value is skipped, with its reason.
    fn add_value(&mut self, keys: &mut KeyCollector, column: &NumberedColumn, value: &str) {
        let is_empty = if column.column.is_custom() { value.is_empty() } else { value.trim().is_empty() };
        if is_empty {
            return;
        }
        let is_email = column.column.class == Class::Email;
        let value = if is_email { extract_address(value) } else { value };
        match column.column.key(value, keys.normaliser()) {
            Ok(key) => {
                let provider = if key.class == Class::Push { key.field } else { "" };
                keys.add_key(column.place(), provider, &key.value);
            }
            Err(reason) => self.skip(column, &reason.to_string()),
        }
    }

    /// Skips a value.
    pub fn skip(&mut self, column: &NumberedColumn, reason: &str) {
        self.skipped.push(format!("{}: {reason}", escape_name(&column.name)));
    }

    pub fn clear(&mut self) {
        self.profile = None;
        self.skipped.clear();
    }

    /// Adds the row to the report, and completes its keys if `result` is not an error. Discards the keys otherwise.
    pub fn finish(
        &mut self,
        line: u64,
        result: Result<(), RowError>,
        keys: &mut KeyCollector,
        report: &mut ImportReport,
    ) -> Result<(), ImportError> {
        match result.and_then(|()| self.collect(keys)) {
            Ok(values) => {
                self.skipped.iter().for_each(|reason| report.add_skipped(line, reason));
                report.add_row(values);
                Ok(())
            }
            Err(error) => {
                keys.discard_row();
                report.add_refused(line, error)
            }
        }
    }

    fn collect(&mut self, keys: &mut KeyCollector) -> Result<ValueCounts, RowError> {
        let profile = self.profile.take().ok_or_else(|| RowError::refused("profile_id: missing"))?;
        let used = keys.add_row(profile)? as u64;
        Ok(ValueCounts { used, skipped: self.skipped.len() as u64 })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::profiles::{bucket::BucketSection, column::KeyColumn, normal::Normaliser};

    /// Returns the keys in a cell, found without the shortcut.
    fn find_keys(class: Class, cell: &str) -> Vec<String> {
        let column = KeyColumn { class, section: BucketSection::Profiles, field: "f".to_owned() };
        let mut keys = Vec::new();
        let text = if column.is_custom() { cell } else { remove_guard(cell) };
        split_cell(class, text, |value| {
            let value = if class == Class::Email { extract_address(value) } else { value };
            keys.extend(column.key(value, &Normaliser::native()).map(|key| key.value.into_owned()));
        });
        keys
    }

    #[test]
    fn finds_plain_keys() {
        for (class, cell, key) in [
            (Class::Email, "a@b", Some("a@b")),
            (Class::Email, "A@b", None),
            (Class::Email, "mailto:a@b", None),
            (Class::Phone, "+380501234567", Some("380501234567")),
            (Class::Phone, "380501234567", Some("380501234567")),
            (Class::Phone, "+00380501234567", None),
            (Class::Phone, "++380501234567", None),
            (Class::Custom, " A-1 ", Some(" A-1 ")),
            (Class::Custom, "a;b", None),
            (Class::CustomSub, "ü", None),
            (Class::Push, "ios:a", None),
        ] {
            assert_eq!(find_plain_key(class, cell), key, "{class:?} {cell}");
        }
        assert_eq!(find_plain_key(Class::Custom, &"x".repeat(KEY_LIMIT + 1)), None);
    }

    proptest! {
        #[test]
        fn a_plain_key_is_the_only_key_of_its_cell(cell in "[-+0-9a-f@.;,:='<> A\u{e9}\t\"]{1,9}|\\+?[0-9]{2,21}") {
            for class in [Class::Email, Class::Phone, Class::Custom, Class::CustomSub] {
                if let Some(key) = find_plain_key(class, &cell) {
                    prop_assert_eq!(find_keys(class, &cell), [key], "{:?} {}", class, cell);
                }
            }
        }
    }
}
