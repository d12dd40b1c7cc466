//! The keys of one row. Keys are collected when the row is complete, so that a refused row adds none.

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
        bucket::BucketSection,
        key::{Class, KeyHash, ProfileId},
        normal::is_normal,
    },
};

/// A row that is being read.
#[derive(Debug, Default)]
pub struct ProfileRow {
    profile: Option<ProfileId>,
    keys: Vec<(u16, BucketSection, KeyHash)>,
    /// The reasons for values that are skipped.
    skipped: Vec<String>,
}

impl ProfileRow {
    /// Sets the profile. An empty text is ignored.
    pub fn set_profile(&mut self, text: &str) -> Result<(), RowError> {
        let text = remove_guard(text);
        if text.is_empty() {
            return Ok(());
        }
        let id = ProfileId::parse(text);
        let id = id.ok_or_else(|| RowError::refused("profile_id: not 24 hexadecimal digits"))?;
        match self.profile.replace(id) {
            None => Ok(()),
            Some(_) => Err(RowError::refused("profile_id: more than one value")),
        }
    }

    /// Adds the values of a CSV cell that is not empty.
    pub fn add_cell(&mut self, keys: &KeyCollector, column: &NumberedColumn, cell: &str) {
        let class = column.column.class;
        // Most addresses and numbers need no more than this.
        let is_plain = matches!(class, Class::Email | Class::Phone)
            && cell.len() <= KEY_LIMIT
            && is_normal(class, cell.as_bytes())
            && !(class == Class::Email && cell.starts_with(MAILTO));
        if is_plain {
            return self.push(column, keys.hash_bytes(class, cell.as_bytes()));
        }
        let cell = if column.column.is_custom() { cell } else { remove_guard(cell) };
        split_cell(class, cell, |value| self.add_value(keys, column, value));
    }

    /// Adds a string of NDJSON.
    pub fn add_text(&mut self, keys: &KeyCollector, column: &NumberedColumn, text: &str) {
        let text = if column.column.is_custom() { text } else { remove_guard(text) };
        self.add_value(keys, column, text);
    }

    /// Adds one value. An empty value is ignored; an invalid value is skipped, with its reason.
    fn add_value(&mut self, keys: &KeyCollector, column: &NumberedColumn, value: &str) {
        let is_empty = if column.column.is_custom() { value.is_empty() } else { value.trim().is_empty() };
        if is_empty {
            return;
        }
        let is_email = column.column.class == Class::Email;
        let value = if is_email { extract_address(value) } else { value };
        match column.column.key(value, keys.normaliser()) {
            Ok(key) => self.push(column, keys.hash(&key)),
            Err(reason) => self.skip(column, &reason.to_string()),
        }
    }

    fn push(&mut self, column: &NumberedColumn, hash: KeyHash) {
        self.keys.push((column.field_number, column.column.section, hash));
    }

    /// Skips a value.
    pub fn skip(&mut self, column: &NumberedColumn, reason: &str) {
        self.skipped.push(format!("{}: {reason}", escape_name(&column.name)));
    }

    pub fn clear(&mut self) {
        self.profile = None;
        self.keys.clear();
        self.skipped.clear();
    }

    /// Adds the row to the report, and collects its keys if `result` is not an error.
    pub fn finish(
        &mut self,
        line: u64,
        result: Result<(), RowError>,
        keys: &mut KeyCollector,
        report: &mut ImportReport,
    ) -> Result<(), ImportError> {
        let result = result.and_then(|()| self.collect(keys));
        if result.is_ok() {
            self.skipped.iter().for_each(|reason| report.add_skipped(line, reason));
        }
        report.add_row(line, result)
    }

    fn collect(&mut self, keys: &mut KeyCollector) -> Result<ValueCounts, RowError> {
        let profile = self.profile.take().ok_or_else(|| RowError::refused("profile_id: missing"))?;
        let hash = keys.hash_bytes(Class::ProfileId, &profile.to_hex());
        let field = keys.field_number(Class::ProfileId, "")?;
        keys.add(field, BucketSection::Profiles, hash, profile)?;
        let values = ValueCounts { used: self.keys.len() as u64, skipped: self.skipped.len() as u64 };
        for (field, section, hash) in self.keys.drain(..) {
            keys.add(field, section, hash, profile)?;
        }
        Ok(values)
    }
}
