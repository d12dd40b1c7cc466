//! What the pieces of a JSON body mean: through `serde_json`, which borrows where it can.

use super::{
    direct::{self, Value},
    text::Text,
};
use crate::{
    limits::SCALAR_LIMIT,
    wire::{Item, InvalidItem, ObjectText, ValueType, Scalar},
};
use serde::de::{Deserialize, Deserializer, Error, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::{borrow::Cow, fmt};

/// The fields of one entry of `data`. A value of a wrong type is that field's fault, not the item's.
pub fn item(raw: &[u8]) -> Result<Item<'_>, InvalidItem> {
    flat(raw).unwrap_or_else(|| general(raw))
}

/// The common item without `serde_json`, which takes several times as long. `None`: it is not flat.
fn flat(raw: &[u8]) -> Option<Result<Item<'_>, InvalidItem>> {
    let mut fields = Fields::default();
    let mut result = Ok(());
    let rest = direct::object(raw, |name, value| {
        let (bytes, make, received): (_, fn(_) -> _, _) = match value {
            Value::Text(text) => (text, |text| Scalar::Text(Cow::Borrowed(text)), ValueType::String),
            Value::Integer(digits) => (digits, Scalar::Integer, ValueType::Number),
        };
        let value = std::str::from_utf8(bytes).map_or(Scalar::WrongType(received), make);
        result = result.and_then(|()| {
            match fields.enter(Member::from_name(name))? {
                Entered::Scalar(field) => *field = value,
                Entered::Object(field) => *field = ObjectText::WrongType(received),
                Entered::Unknown => {}
            }
            Ok(())
        });
    })?;
    rest.is_empty().then(|| result.map(|()| fields.item))
}

/// Any item.
pub(super) fn general(raw: &[u8]) -> Result<Item<'_>, InvalidItem> {
    // Checked once here, so that `serde_json` need not check each string.
    let raw = std::str::from_utf8(raw).map_err(|_| InvalidItem)?;
    let mut json = serde_json::Deserializer::from_str(raw);
    let item = json.deserialize_map(ItemVisitor).map_err(|_| InvalidItem)?;
    json.end().map_err(|_| InvalidItem)?;
    Ok(item)
}

/// Reads the value of a field that holds a string, an integer or a boolean.
pub fn scalar(raw: &[u8]) -> Scalar<'_> {
    std::str::from_utf8(raw).map_or(Scalar::WrongType(ValueType::String), scalar_of)
}

/// Reads the value of a field that holds an object, which is kept as the text that came.
pub fn object(raw: &[u8]) -> ObjectText<'_> {
    std::str::from_utf8(raw).map_or(ObjectText::WrongType(ValueType::String), object_of)
}

/// `raw` is well-formed: the framer has checked it.
fn scalar_of(raw: &str) -> Scalar<'_> {
    match raw.as_bytes() {
        [b'"', inside @ .., b'"'] if !inside.contains(&b'\\') => match raw.get(1..raw.len() - 1) {
            Some(inside) => Scalar::Text(Cow::Borrowed(inside)),
            None => Scalar::WrongType(ValueType::String),
        },
        [b'"', ..] if raw.len() > SCALAR_LIMIT => long_text(raw),
        // Half of a surrogate pair is well-formed (RFC 8259, §8.2), but it is not text.
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

/// Decodes a string that is longer than any root field, and too long for a key even if it is all escapes. Only its beginning
/// is kept, so that no more memory is used than a root field needs.
#[cold]
fn long_text(raw: &str) -> Scalar<'static> {
    let (mut text, mut kept) = (Text::default(), Vec::with_capacity(SCALAR_LIMIT));
    let decoded = text.feed::<false>(raw.as_bytes(), 1, &mut |run| {
        let room = SCALAR_LIMIT - kept.len();
        kept.extend_from_slice(run.get(..room).unwrap_or(run));
    });
    if text.lone || !matches!(decoded, Ok((_, true))) {
        return Scalar::WrongType(ValueType::LoneSurrogate);
    }
    // The last character may be cut.
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

/// A member of an item, by its name.
#[derive(Debug, Clone, Copy)]
enum Member {
    Email,
    Phone,
    ProfileId,
    FieldValue,
    Provider,
    SubscriptionId,
    CustomData,
    Unknown,
}

impl Member {
    fn from_name(name: &[u8]) -> Self {
        match name {
            b"email" => Self::Email,
            b"phone" => Self::Phone,
            b"profile_id" => Self::ProfileId,
            b"field_value" => Self::FieldValue,
            b"provider" => Self::Provider,
            b"subscription_id" => Self::SubscriptionId,
            b"custom_data" => Self::CustomData,
            _ => Self::Unknown,
        }
    }
}

/// An item under way.
#[derive(Debug, Default)]
struct Fields<'a> {
    item: Item<'a>,
    /// The known members that have come: a bit for each.
    seen: u8,
}

/// Where a member's value is to go.
enum Entered<'f, 'a> {
    Scalar(&'f mut Scalar<'a>),
    Object(&'f mut ObjectText<'a>),
    Unknown,
}

impl<'a> Fields<'a> {
    /// A known member may stand once.
    fn enter(&mut self, member: Member) -> Result<Entered<'_, 'a>, InvalidItem> {
        let bit = 1 << (member as u8);
        let entered = match member {
            Member::Email => Entered::Scalar(&mut self.item.email),
            Member::Phone => Entered::Scalar(&mut self.item.phone),
            Member::ProfileId => Entered::Scalar(&mut self.item.profile_id),
            Member::FieldValue => Entered::Scalar(&mut self.item.field_value),
            Member::Provider => Entered::Scalar(&mut self.item.provider),
            Member::SubscriptionId => Entered::Scalar(&mut self.item.subscription_id),
            Member::CustomData => Entered::Object(&mut self.item.custom_data),
            Member::Unknown => return Ok(Entered::Unknown),
        };
        if self.seen & bit != 0 {
            return Err(InvalidItem);
        }
        self.seen |= bit;
        Ok(entered)
    }
}

impl<'de> Deserialize<'de> for Member {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // As bytes, because a name that is no text (half of a surrogate pair) is just an unknown one.
        deserializer.deserialize_bytes(MemberVisitor)
    }
}

struct MemberVisitor;

impl Visitor<'_> for MemberVisitor {
    type Value = Member;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a member's name")
    }

    fn visit_bytes<E>(self, name: &[u8]) -> Result<Member, E> {
        Ok(Member::from_name(name))
    }
}

struct ItemVisitor;

impl<'de> Visitor<'de> for ItemVisitor {
    type Value = Item<'de>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Item<'de>, A::Error> {
        let mut fields = Fields::default();
        while let Some(member) = members.next_key::<Member>()? {
            match fields.enter(member).map_err(|_| A::Error::custom("a member stands twice"))? {
                Entered::Scalar(field) => *field = scalar_of(members.next_value::<&RawValue>()?.get()),
                Entered::Object(field) => *field = object_of(members.next_value::<&RawValue>()?.get()),
                Entered::Unknown => drop(members.next_value::<IgnoredAny>()?),
            }
        }
        Ok(fields.item)
    }
}

#[cfg(test)]
mod tests;
