//! The fields of a launch request: names, endpoints and types.
//!
//! The framers, the item decoders, matching, the importer and the test of the documentation read these tables. To add a
//! field, add a row. The compiler and the tests then report every place that has to handle the field.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The endpoint that a launch request was sent to. Stored with each launch, by the names below.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Endpoint {
    /// `start_batch`: the items are in `data`.
    StartBatch,
    /// `start`: one item, whose fields are at the root.
    Start,
}

impl Endpoint {
    pub const ALL: [Self; 2] = [Self::StartBatch, Self::Start];
}

/// The type of a field's value. [`fmt::Display`] writes the type as the documentation names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FieldKind {
    Text,
    Integer,
    TextOrInteger,
    Boolean,
    Object,
    Items,
    Attachments,
}

impl fmt::Display for FieldKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Text => "string",
            Self::Integer => "integer",
            Self::TextOrInteger => "string or integer",
            Self::Boolean => "boolean",
            Self::Object => "object",
            Self::Items => "array of items",
            Self::Attachments => "array of attachments",
        })
    }
}

/// Defines [`RootField`] from the table of the root's fields: variant, name at `start_batch`, name at `start`, type.
macro_rules! root_fields {
    ($($field:ident: $start_batch:expr, $start:expr, $kind:ident;)+) => {
        /// A field at the root of a launch request.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum RootField {
            $($field,)+
            /// `start` has the key fields of its item at the root.
            Key(KeyField),
        }

        impl RootField {
            /// Returns every field, in the order of the table.
            pub fn all() -> impl Iterator<Item = Self> {
                [$(Self::$field),+].into_iter().chain(KeyField::ALL.map(Self::Key))
            }

            /// Returns the field's name at `endpoint`, or `None` if the endpoint does not have the field.
            pub const fn name(self, endpoint: Endpoint) -> Option<&'static str> {
                let (start_batch, start): (Option<&'static str>, Option<&'static str>) = match self {
                    $(Self::$field => ($start_batch, $start),)+
                    Self::Key(field) => (None, Some(field.name())),
                };
                match endpoint {
                    Endpoint::StartBatch => start_batch,
                    Endpoint::Start => start,
                }
            }

            pub const fn kind(self) -> FieldKind {
                match self {
                    $(Self::$field => FieldKind::$kind,)+
                    Self::Key(field) => field.kind(),
                }
            }
        }
    };
}

/// Defines an enum from a table of fields that have the same name everywhere: variant, name, type.
macro_rules! fields {
    ($(#[$doc:meta])* $table:ident { $($field:ident: $name:literal, $kind:ident;)+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $table { $($field,)+ }

        impl $table {
            /// Every field, in the order of the table.
            pub const ALL: [Self; [$($name),+].len()] = [$(Self::$field),+];

            pub fn from_name(name: &[u8]) -> Option<Self> {
                $(if name == $name.as_bytes() { return Some(Self::$field); })+
                None
            }

            pub const fn name(self) -> &'static str {
                match self { $(Self::$field => $name,)+ }
            }

            pub const fn kind(self) -> FieldKind {
                match self { $(Self::$field => FieldKind::$kind,)+ }
            }
        }
    };
}

root_fields! {
    // Variant     start_batch              start                    type
    Token:         Some("token"),           Some("token"),           Text;
    Format:        Some("format"),          Some("format"),          Text;
    TriggerId:     Some("trigger_id"),      Some("id"),              Integer;
    Matching:      Some("matching"),        Some("matching"),        Text;
    FieldName:     Some("field_name"),      Some("field_name"),      Text;
    SkipTriggers:  Some("skip_triggers"),   Some("skip_triggers"),   Boolean;
    Content:       Some("content"),         Some("content"),         Object;
    CustomData:    Some("custom_data"),     Some("custom_data"),     Object;
    Report:        Some("report"),          Some("report"),          Boolean;
    Strict:        Some("strict"),          Some("strict"),          Boolean;
    DryRun:        Some("dry_run"),         Some("dry_run"),         Boolean;
    Attach:        Some("attach"),          Some("attach"),          Attachments;
    Data:          Some("data"),            None,                    Items;
}

impl RootField {
    /// Returns the field with that name at `endpoint`.
    pub fn from_name(endpoint: Endpoint, name: &[u8]) -> Option<Self> {
        Self::all().find(|field| field.name(endpoint).is_some_and(|known| known.as_bytes() == name))
    }
}

fields! {
    /// A field of an item that a matching mode can use as a key.
    KeyField {
        Email:           "email",            Text;
        Phone:           "phone",            Text;
        ProfileId:       "profile_id",       Text;
        FieldValue:      "field_value",      TextOrInteger;
        Provider:        "provider",         Text;
        SubscriptionId:  "subscription_id",  Text;
    }
}

fields! {
    /// A field of an entry of `attach`.
    AttachmentField {
        Name:  "name",  Text;
        Data:  "data",  Text;
    }
}

/// A field of an item of `data`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ItemField {
    Key(KeyField),
    CustomData,
}

impl ItemField {
    pub const COUNT: usize = KeyField::ALL.len() + 1;

    /// Returns every field of an item.
    pub fn all() -> impl Iterator<Item = Self> {
        KeyField::ALL.into_iter().map(Self::Key).chain([Self::CustomData])
    }

    #[inline]
    pub fn from_name(name: &[u8]) -> Option<Self> {
        if name == Self::CustomData.name().as_bytes() {
            return Some(Self::CustomData);
        }
        KeyField::from_name(name).map(Self::Key)
    }

    pub const fn name(self) -> &'static str {
        match self {
            Self::Key(field) => field.name(),
            Self::CustomData => "custom_data",
        }
    }

    pub const fn kind(self) -> FieldKind {
        match self {
            Self::Key(field) => field.kind(),
            Self::CustomData => FieldKind::Object,
        }
    }

    const fn index(self) -> usize {
        match self {
            Self::Key(field) => field as usize,
            Self::CustomData => KeyField::ALL.len(),
        }
    }
}

/// A set of item fields. The decoders use it to find a field that an item has twice.
#[derive(Debug, Clone, Copy, Default)]
pub struct ItemFieldSet(u32);

const _: () = assert!(ItemField::COUNT <= u32::BITS as usize, "one bit for each field");

impl ItemFieldSet {
    /// Adds `field` and returns whether the set did not contain it.
    #[inline]
    pub fn insert(&mut self, field: ItemField) -> bool {
        let bit = 1 << field.index();
        let is_new = self.0 & bit == 0;
        self.0 |= bit;
        is_new
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_root_field_is_found_by_its_name_at_each_endpoint() {
        for endpoint in Endpoint::ALL {
            for field in RootField::all() {
                let Some(name) = field.name(endpoint) else { continue };
                assert_eq!(RootField::from_name(endpoint, name.as_bytes()), Some(field), "{name}");
            }
        }
    }

    #[test]
    fn a_name_is_unknown_at_an_endpoint_that_lacks_the_field() {
        for (endpoint, names) in [
            (Endpoint::StartBatch, ["id", "email", "Token", "", "name"]),
            (Endpoint::Start, ["trigger_id", "data", "token ", "", "name"]),
        ] {
            for name in names {
                assert_eq!(RootField::from_name(endpoint, name.as_bytes()), None, "{name}");
            }
        }
    }

    #[test]
    fn every_item_field_is_found_by_its_name() {
        assert_eq!(ItemField::all().count(), ItemField::COUNT);
        for field in ItemField::all() {
            assert_eq!(ItemField::from_name(field.name().as_bytes()), Some(field));
        }
        assert_eq!(ItemField::from_name(b"Email"), None);
    }

    #[test]
    fn a_set_reports_the_second_insertion_of_each_field() {
        let mut set = ItemFieldSet::default();
        assert!(ItemField::all().all(|field| set.insert(field)));
        assert!(!ItemField::all().any(|field| set.insert(field)));
    }
}
