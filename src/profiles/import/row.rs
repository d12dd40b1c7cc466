//! The columns of a file, and the keys of one row. Keys are collected when the row is complete, so that a refused row adds none.

use super::{error::RowError, keys::KeyCollector};
use crate::{
    escape::escape_name,
    fields::KeyField,
    limits::KEY_LIMIT,
    profiles::{
        bucket::BucketSection,
        key::{Class, KeyHash, ProfileId},
    },
};

/// The names of columns and members, for error messages.
pub const KNOWN_NAMES: &str =
    "profile_id, email, phone, email_sub, phone_sub, push_sub, custom:<field>, custom_sub:<field>";

/// Columns that have the name of the field of an item.
const EMAIL: &str = KeyField::Email.name();
const PHONE: &str = KeyField::Phone.name();
const PROFILE_ID: &str = KeyField::ProfileId.name();

/// A column of a CSV file, or a member of NDJSON objects.
#[derive(Debug, Clone)]
pub struct Column {
    name: String,
    /// `None` for `profile_id`.
    keys: Option<KeyColumn>,
}

/// A column that contains keys.
#[derive(Debug, Clone)]
struct KeyColumn {
    class: Class,
    field_name: String,
    field_number: u16,
    section: BucketSection,
}

impl Column {
    /// Creates a column by its name. An unknown name is [`RowError::Refused`].
    pub fn new(keys: &mut KeyCollector, name: &str) -> Result<Self, RowError> {
        use BucketSection::{Profiles, Subscriptions};
        let (class, section, field) = match name {
            PROFILE_ID => return Ok(Self { name: name.into(), keys: None }),
            EMAIL => (Class::Email, Profiles, ""),
            "email_sub" => (Class::Email, Subscriptions, ""),
            PHONE => (Class::Phone, Profiles, ""),
            "phone_sub" => (Class::Phone, Subscriptions, ""),
            "push_sub" => (Class::Push, Subscriptions, ""),
            _ => match name.split_once(':') {
                Some((_, field)) if field.is_empty() || field.len() > KEY_LIMIT => {
                    let name = escape_name(name);
                    let reason = format!("{name}: the name of the field must have 1 to {KEY_LIMIT} bytes");
                    return Err(RowError::refused(reason));
                }
                Some(("custom", field)) => (Class::Custom, Profiles, field),
                Some(("custom_sub", field)) => (Class::CustomSub, Subscriptions, field),
                _ => {
                    let name = escape_name(name);
                    let reason = format!("unknown column \"{name}\"; known columns: {KNOWN_NAMES}");
                    return Err(RowError::refused(reason));
                }
            },
        };
        let field_number = keys.field_number(class, field)?;
        let column = KeyColumn { class, field_name: field.into(), field_number, section };
        Ok(Self { name: name.into(), keys: Some(column) })
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn is_profile_id(&self) -> bool {
        self.keys.is_none()
    }

    /// Whether the column contains values of a custom field or channel.
    pub fn is_custom(&self) -> bool {
        self.keys.as_ref().is_some_and(|keys| matches!(keys.class, Class::Custom | Class::CustomSub))
    }
}

/// A row that is being read.
#[derive(Debug, Default)]
pub struct ProfileRow {
    profile: Option<ProfileId>,
    keys: Vec<(u16, BucketSection, KeyHash)>,
}

impl ProfileRow {
    /// Adds one value of a column. A value is skipped if it is empty, or if normalisation leaves nothing of it.
    pub fn add(&mut self, keys: &KeyCollector, column: &Column, value: &str) -> Result<(), RowError> {
        let name = escape_name(&column.name);
        let Some(KeyColumn { class, field_name, field_number, section }) = &column.keys else {
            let id = ProfileId::parse(value);
            let id = id.ok_or_else(|| RowError::refused("profile_id: not 24 hexadecimal digits"))?;
            return match self.profile.replace(id) {
                None => Ok(()),
                Some(_) => Err(RowError::refused("profile_id: more than one value")),
            };
        };
        if value.len() > KEY_LIMIT {
            return Err(RowError::refused(format!("{name}: value longer than {KEY_LIMIT} bytes")));
        }
        if value.is_empty() {
            return Ok(());
        }
        let (field, value) = match class {
            Class::Push => value.split_once(':').unwrap_or_default(),
            _ => (field_name.as_str(), value),
        };
        if *class == Class::Push && (field.is_empty() || value.is_empty()) {
            return Err(RowError::refused(format!("{name}: not in the form provider:subscription_id")));
        }
        if let Some(value) = keys.normaliser().normalise(*class, value) {
            self.keys.push((*field_number, *section, keys.hash(*class, field, &value)));
        }
        Ok(())
    }

    pub fn clear(&mut self) {
        self.profile = None;
        self.keys.clear();
    }

    /// Collects the keys of a complete row, and clears it.
    pub fn finish(&mut self, keys: &mut KeyCollector) -> Result<(), RowError> {
        let profile = self.profile.take().ok_or_else(|| RowError::refused("profile_id: missing"))?;
        let hash = keys.hash(Class::ProfileId, "", &profile.to_string());
        let field = keys.field_number(Class::ProfileId, "")?;
        keys.add(field, BucketSection::Profiles, hash, profile)?;
        for (field, section, hash) in self.keys.drain(..) {
            keys.add(field, section, hash, profile)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profiles::key::IndexKey;

    /// The columns whose values are the keys of items with this field.
    fn columns_of(field: KeyField) -> &'static [&'static str] {
        match field {
            KeyField::Email => &["email", "email_sub"],
            KeyField::Phone => &["phone", "phone_sub"],
            KeyField::ProfileId => &["profile_id"],
            KeyField::FieldValue => &["custom:Custom_ID", "custom_sub:chat"],
            KeyField::Provider | KeyField::SubscriptionId => &["push_sub"],
        }
    }

    #[test]
    fn every_key_field_of_an_item_has_columns() {
        for name in KeyField::ALL.into_iter().flat_map(columns_of) {
            let key = IndexKey::new("a key of the tests, longer than 32 characters").unwrap();
            assert!(Column::new(&mut KeyCollector::new(key, 1), name).is_ok(), "{name}");
        }
    }
}
