//! The columns of a file of profiles and the members of a change: their names, and the keys that their values contain.

use std::borrow::Cow;

use super::{
    bucket::BucketSection,
    key::{Class, IndexKey, KeyHash},
    normal::Normaliser,
};
use crate::{fields::KeyField, limits::KEY_LIMIT};

/// The names of all columns, for messages.
pub const KNOWN_NAMES: [&str; 8] =
    [PROFILE_ID, EMAIL, PHONE, "email_sub", "phone_sub", "push_sub", "custom:<field>", "custom_sub:<field>"];

/// Columns that have the name of the field of an item.
const EMAIL: &str = KeyField::Email.name();
const PHONE: &str = KeyField::Phone.name();
const PROFILE_ID: &str = KeyField::ProfileId.name();

/// A known column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Column {
    ProfileId,
    Keys(KeyColumn),
}

/// A column that contains keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyColumn {
    pub class: Class,
    pub section: BucketSection,
    /// The name of the custom field or channel, or empty for other classes.
    pub field: String,
}

/// Why a name is not that of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ColumnError {
    #[error("unknown column")]
    Unknown,
    #[error("the name of the field must have 1 to {KEY_LIMIT} bytes")]
    FieldNameLength,
}

/// Why a value is not a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum InvalidKey {
    #[error("longer than {KEY_LIMIT} bytes")]
    TooLong,
    #[error("contains a control character")]
    ControlCharacter,
    #[error("not in the form provider:subscription_id")]
    NoProvider,
    #[error("not an e-mail address")]
    NotAnAddress,
    #[error("not a phone number")]
    NotAPhoneNumber,
    #[error("empty")]
    Empty,
}

/// A normalised key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NormalKey<'a> {
    pub class: Class,
    /// The custom field or channel, the provider of a push subscription, or empty.
    pub field: &'a str,
    pub value: Cow<'a, str>,
}

impl NormalKey<'_> {
    pub fn hash(&self, key: &IndexKey) -> KeyHash {
        key.hash(self.class, self.field, &self.value)
    }
}

/// Converts a name to lower case and removes `_`, `-` and spaces, so that `Profile ID` is `profile_id`.
pub fn simplify_name(name: &str) -> String {
    name.trim().chars().filter(|char| !matches!(char, '_' | '-' | ' ')).flat_map(char::to_lowercase).collect()
}

impl Column {
    /// Finds a column by its name, regardless of case, surrounding white space, `_`, `-` and spaces. The name of a custom field or
    /// channel, after the colon, is exact.
    pub fn parse(name: &str) -> Result<Self, ColumnError> {
        use BucketSection::{Profiles, Subscriptions};
        let name = name.trim();
        let (kind, field) = name.split_once(':').map_or((name, None), |(kind, field)| (kind, Some(field)));
        let (class, section) = match (simplify_name(kind).as_str(), field) {
            ("profileid", None) => return Ok(Self::ProfileId),
            ("email", None) => (Class::Email, Profiles),
            ("emailsub", None) => (Class::Email, Subscriptions),
            ("phone", None) => (Class::Phone, Profiles),
            ("phonesub", None) => (Class::Phone, Subscriptions),
            ("pushsub", None) => (Class::Push, Subscriptions),
            ("custom", Some(_)) => (Class::Custom, Profiles),
            ("customsub", Some(_)) => (Class::CustomSub, Subscriptions),
            _ => return Err(ColumnError::Unknown),
        };
        let field = field.unwrap_or_default();
        let has_field = matches!(class, Class::Custom | Class::CustomSub);
        if has_field && !(1..=KEY_LIMIT).contains(&field.len()) {
            return Err(ColumnError::FieldNameLength);
        }
        Ok(Self::Keys(KeyColumn { class, section, field: field.to_owned() }))
    }
}

impl KeyColumn {
    /// Whether the column contains values of a custom field or channel.
    pub fn is_custom(&self) -> bool {
        matches!(self.class, Class::Custom | Class::CustomSub)
    }

    /// Returns the key of one value.
    pub fn key<'a>(&'a self, value: &'a str, normaliser: &Normaliser) -> Result<NormalKey<'a>, InvalidKey> {
        if value.len() > KEY_LIMIT {
            return Err(InvalidKey::TooLong);
        }
        let inner = if matches!(self.class, Class::Email | Class::Phone) { value.trim() } else { value };
        if inner.contains(char::is_control) {
            return Err(InvalidKey::ControlCharacter);
        }
        let (field, inner) = match self.class {
            Class::Push => match inner.split_once(':') {
                Some((provider, id)) if !provider.is_empty() && !id.is_empty() => (provider, id),
                _ => return Err(InvalidKey::NoProvider),
            },
            _ => (self.field.as_str(), inner),
        };
        let value = normaliser.normalise(self.class, inner).ok_or(match self.class {
            Class::Email => InvalidKey::NotAnAddress,
            Class::Phone => InvalidKey::NotAPhoneNumber,
            Class::ProfileId | Class::Push | Class::Custom | Class::CustomSub => InvalidKey::Empty,
        })?;
        Ok(NormalKey { class: self.class, field, value })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(name: &str) -> KeyColumn {
        match Column::parse(name) {
            Ok(Column::Keys(column)) => column,
            other => panic!("{name}: {other:?}"),
        }
    }

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
        for name in KeyField::ALL.into_iter().flat_map(columns_of).chain(&KNOWN_NAMES) {
            assert!(Column::parse(name).is_ok(), "{name}");
        }
    }

    #[test]
    fn finds_a_column_regardless_of_case_and_separators() {
        for name in ["profile_id", "Profile ID", " PROFILE-ID\u{a0}", "ProfileId", "profile__id"] {
            assert_eq!(Column::parse(name), Ok(Column::ProfileId), "{name}");
        }
        assert_eq!(keys("E-Mail"), keys("email"));
        assert_eq!(keys("Custom Sub:Tele Gram"), keys("custom_sub:Tele Gram"));
        assert_eq!(keys("CUSTOM:a_B").field, "a_B");
        assert_ne!(keys("custom:a_B"), keys("custom:aB"));
        for name in ["", "e.mail", "email:", "email:x", "custom", "other:x", "profile_id:x", "Email Address"] {
            assert_eq!(Column::parse(name), Err(ColumnError::Unknown), "{name}");
        }
        for name in ["custom:".to_owned(), format!("custom:{}", "x".repeat(KEY_LIMIT + 1))] {
            assert_eq!(Column::parse(&name), Err(ColumnError::FieldNameLength));
        }
    }

    #[test]
    fn the_key_of_a_value_is_normalised_and_an_invalid_value_has_a_reason() {
        let normaliser = Normaliser::native();
        let long = "x".repeat(KEY_LIMIT + 1);
        for (name, value, expected) in [
            ("email", " A@b\r\n", Ok(("", "a@b"))),
            ("email_sub", "a", Err(InvalidKey::NotAnAddress)),
            ("email", "a\n@b", Err(InvalidKey::ControlCharacter)),
            ("email", "a@b\0", Err(InvalidKey::ControlCharacter)),
            ("phone", "+7 900", Ok(("", "7900"))),
            ("phone", "7\t900", Err(InvalidKey::ControlCharacter)),
            ("phone_sub", "n/a", Err(InvalidKey::NotAPhoneNumber)),
            ("push_sub", "ios:a:b", Ok(("ios", "a:b"))),
            ("push_sub", "ios", Err(InvalidKey::NoProvider)),
            ("push_sub", ":a", Err(InvalidKey::NoProvider)),
            ("push_sub", "ios:", Err(InvalidKey::NoProvider)),
            ("custom:F", " 003 ", Ok(("F", " 003 "))),
            ("custom:F", "a\nb", Err(InvalidKey::ControlCharacter)),
            ("custom_sub:F", "", Err(InvalidKey::Empty)),
            ("custom:F", &long, Err(InvalidKey::TooLong)),
        ] {
            let column = keys(name);
            let key = column.key(value, &normaliser);
            assert_eq!(
                key.as_ref().map(|key| (key.field, &*key.value)),
                expected.as_ref().copied(),
                "{name} {value:?}"
            );
        }
        let index_key = IndexKey::new(&"k".repeat(32)).unwrap();
        let column = keys("push_sub");
        let key = column.key("ios:a", &normaliser).unwrap();
        assert_eq!(key.hash(&index_key), index_key.hash(Class::Push, "ios", "a"));
    }
}
