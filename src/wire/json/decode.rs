//! Decodes complete values of a JSON body: flat items directly, everything else with `serde_json`.

use super::{
    flat::{self, FlatValue},
    string::JsonString,
};
use crate::{
    fields::{ItemField, ItemFieldSet, KeyField},
    limits::SCALAR_LIMIT,
    wire::{InvalidItem, Item, ObjectText, Scalar, ValueType},
};
use serde::de::{Deserialize, Deserializer, Error, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::{borrow::Cow, fmt};

/// Decodes an entry of `data`. A value of the wrong type makes its field invalid, not the item.
pub fn item(raw: &[u8]) -> Result<Item<'_>, InvalidItem> {
    flat_item(raw).unwrap_or_else(|| general_item(raw))
}

/// Decodes a flat item without `serde_json`, which takes several times as long. Returns `None` if the item is not flat.
fn flat_item(raw: &[u8]) -> Option<Result<Item<'_>, InvalidItem>> {
    let mut fields = ItemFields::default();
    let mut result = Ok(());
    let rest = flat::object(raw, |name, value| {
        let (bytes, make, received): (_, fn(_) -> _, _) = match value {
            FlatValue::Text(text) => (text, |text| Scalar::Text(Cow::Borrowed(text)), ValueType::String),
            FlatValue::Integer(digits) => (digits, Scalar::Integer, ValueType::Number),
        };
        let value = std::str::from_utf8(bytes).map_or(Scalar::WrongType(received), make);
        result = result.and_then(|()| {
            match ItemField::from_name(name) {
                Some(ItemField::Key(field)) => *fields.insert_key(field)? = value,
                Some(ItemField::CustomData) => *fields.insert_custom_data()? = ObjectText::WrongType(received),
                None => {}
            }
            Ok(())
        });
    })?;
    rest.is_empty().then(|| result.map(|()| fields.item))
}

/// Decodes any item.
pub(super) fn general_item(raw: &[u8]) -> Result<Item<'_>, InvalidItem> {
    // Checked once, so that `serde_json` does not check each string.
    let raw = std::str::from_utf8(raw).map_err(|_| InvalidItem)?;
    let mut json = serde_json::Deserializer::from_str(raw);
    let item = json.deserialize_map(ItemVisitor).map_err(|_| InvalidItem)?;
    json.end().map_err(|_| InvalidItem)?;
    Ok(item)
}

/// Decodes the value of a field that is a string, an integer or a boolean.
pub fn scalar(raw: &[u8]) -> Scalar<'_> {
    std::str::from_utf8(raw).map_or(Scalar::WrongType(ValueType::String), scalar_of)
}

/// Decodes the value of a field that is an object. Its text stays as sent.
pub fn object(raw: &[u8]) -> ObjectText<'_> {
    std::str::from_utf8(raw).map_or(ObjectText::WrongType(ValueType::String), object_of)
}

/// Decodes a value that the framer has checked.
fn scalar_of(raw: &str) -> Scalar<'_> {
    match raw.as_bytes() {
        [b'"', inside @ .., b'"'] if !inside.contains(&b'\\') => match raw.get(1..raw.len() - 1) {
            Some(inside) => Scalar::Text(Cow::Borrowed(inside)),
            None => Scalar::WrongType(ValueType::String),
        },
        [b'"', ..] if raw.len() > SCALAR_LIMIT => long_text(raw),
        // Half of a surrogate pair is well-formed (RFC 8259, section 8.2), but it is not text.
        [b'"', ..] => match serde_json::from_str(raw) {
            Ok(text) => Scalar::Text(Cow::Owned(text)),
            Err(_) => Scalar::WrongType(ValueType::LoneSurrogate),
        },
        b"null" => Scalar::Absent,
        b"true" => Scalar::Boolean(true),
        b"false" => Scalar::Boolean(false),
        [b'-' | b'0'..=b'9', ..] => number(raw),
        [first, ..] => Scalar::WrongType(ValueType::of_json(*first)),
        [] => Scalar::WrongType(ValueType::Null),
    }
}

/// Decodes the beginning of a string that is longer than every root field, and too long for a key even if it consists of
/// escapes. The memory is bounded by that of a root field.
#[cold]
fn long_text(raw: &str) -> Scalar<'static> {
    let (mut string, mut kept) = (JsonString::default(), Vec::with_capacity(SCALAR_LIMIT));
    let decoded = string.feed::<false>(raw.as_bytes(), 1, &mut |run| {
        let room = SCALAR_LIMIT - kept.len();
        kept.extend_from_slice(run.get(..room).unwrap_or(run));
    });
    if string.has_lone_surrogate || !matches!(decoded, Ok((_, true))) {
        return Scalar::WrongType(ValueType::LoneSurrogate);
    }
    // The last character may be incomplete.
    let valid = kept.utf8_chunks().next().map_or(0, |chunk| chunk.valid().len());
    kept.truncate(valid);
    String::from_utf8(kept).map_or(Scalar::WrongType(ValueType::String), |text| Scalar::Text(Cow::Owned(text)))
}

fn number(raw: &str) -> Scalar<'_> {
    let (integer, fraction) = raw.split_once('.').map_or((raw, None), |(integer, fraction)| (integer, Some(fraction)));
    let digits = integer.strip_prefix('-').unwrap_or(integer);
    let is_integer = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    match fraction {
        None if is_integer => Scalar::Integer(integer),
        Some(fraction) if is_integer && !fraction.is_empty() && fraction.bytes().all(|byte| byte == b'0') => {
            Scalar::ZeroFraction(integer)
        }
        _ => Scalar::WrongType(ValueType::OtherNumber),
    }
}

fn object_of(raw: &str) -> ObjectText<'_> {
    match raw.as_bytes() {
        [b'{', ..] => ObjectText::Object(Cow::Borrowed(raw)),
        b"null" => ObjectText::Absent,
        [first, ..] => ObjectText::WrongType(ValueType::of_json(*first)),
        [] => ObjectText::WrongType(ValueType::Null),
    }
}

/// The fields of an item that have been decoded.
#[derive(Debug, Default)]
struct ItemFields<'a> {
    item: Item<'a>,
    seen: ItemFieldSet,
}

impl<'a> ItemFields<'a> {
    /// Returns the place of a key. Fails if the item has the field already.
    fn insert_key(&mut self, field: KeyField) -> Result<&mut Scalar<'a>, InvalidItem> {
        self.insert(ItemField::Key(field))?;
        Ok(self.item.key_mut(field))
    }

    /// Returns the place of `custom_data`. Fails if the item has the field already.
    fn insert_custom_data(&mut self) -> Result<&mut ObjectText<'a>, InvalidItem> {
        self.insert(ItemField::CustomData)?;
        Ok(&mut self.item.custom_data)
    }

    fn insert(&mut self, field: ItemField) -> Result<(), InvalidItem> {
        if self.seen.insert(field) { Ok(()) } else { Err(InvalidItem) }
    }
}

/// The name of a member, if it is a field of an item.
struct ItemMember(Option<ItemField>);

impl<'de> Deserialize<'de> for ItemMember {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // As bytes: a name with half of a surrogate pair is not text, but only an unknown name.
        deserializer.deserialize_bytes(ItemMemberVisitor)
    }
}

struct ItemMemberVisitor;

impl Visitor<'_> for ItemMemberVisitor {
    type Value = ItemMember;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a member's name")
    }

    fn visit_bytes<E>(self, name: &[u8]) -> Result<ItemMember, E> {
        Ok(ItemMember(ItemField::from_name(name)))
    }
}

struct ItemVisitor;

impl<'de> Visitor<'de> for ItemVisitor {
    type Value = Item<'de>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Item<'de>, A::Error> {
        let mut fields = ItemFields::default();
        while let Some(ItemMember(field)) = members.next_key()? {
            match field {
                Some(ItemField::Key(field)) => {
                    *fields.insert_key(field).map_err(A::Error::custom)? =
                        scalar_of(members.next_value::<&RawValue>()?.get());
                }
                Some(ItemField::CustomData) => {
                    *fields.insert_custom_data().map_err(A::Error::custom)? =
                        object_of(members.next_value::<&RawValue>()?.get());
                }
                None => drop(members.next_value::<IgnoredAny>()?),
            }
        }
        Ok(fields.item)
    }
}

#[cfg(test)]
mod tests;
