//! What the pieces of a JSON body mean: through `serde_json`, which borrows where it can.

use super::direct::{self, Value};
use crate::wire::{Item, NotAnItem, ObjectText, Scalar};
use serde::de::{Deserialize, Deserializer, Error, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::{borrow::Cow, fmt};

/// The fields of one entry of `data`. A value of a wrong type is that field's fault, not the item's.
pub fn item(raw: &[u8]) -> Result<Item<'_>, NotAnItem> {
    flat(raw).unwrap_or_else(|| general(raw))
}

/// The common item without `serde_json`, which takes several times as long. `None`: it is not flat.
fn flat(raw: &[u8]) -> Option<Result<Item<'_>, NotAnItem>> {
    let mut fields = Fields::default();
    let mut result = Ok(());
    let rest = direct::object(raw, |name, value| {
        let (bytes, make): (_, fn(_) -> _) = match value {
            Value::Text(text) => (text, |text| Scalar::Text(Cow::Borrowed(text))),
            Value::Integer(digits) => (digits, Scalar::Integer),
        };
        let value = std::str::from_utf8(bytes).map_or(Scalar::WrongType, make);
        result = result.and_then(|()| {
            match fields.enter(Member::from_name(name))? {
                Entered::Scalar(field) => *field = value,
                Entered::Object(field) => *field = ObjectText::WrongType,
                Entered::Unknown => {}
            }
            Ok(())
        });
    })?;
    rest.is_empty().then(|| result.map(|()| fields.item))
}

/// Any item.
pub(super) fn general(raw: &[u8]) -> Result<Item<'_>, NotAnItem> {
    // Checked once here, so that `serde_json` need not check each string.
    let raw = std::str::from_utf8(raw).map_err(|_| NotAnItem)?;
    let mut json = serde_json::Deserializer::from_str(raw);
    let item = json.deserialize_map(ItemVisitor).map_err(|_| NotAnItem)?;
    json.end().map_err(|_| NotAnItem)?;
    Ok(item)
}

/// The value of a field that is to be a string, an integer or a boolean.
pub fn scalar(raw: &[u8]) -> Scalar<'_> {
    std::str::from_utf8(raw).map_or(Scalar::WrongType, scalar_of)
}

/// The value of a field that is to be an object, which is kept as the text that came.
pub fn object(raw: &[u8]) -> ObjectText<'_> {
    std::str::from_utf8(raw).map_or(ObjectText::WrongType, object_of)
}

/// `raw` is well-formed: the framer saw to it.
fn scalar_of(raw: &str) -> Scalar<'_> {
    match raw.as_bytes() {
        [b'"', inside @ .., b'"'] if !inside.contains(&b'\\') => {
            raw.get(1..raw.len() - 1).map_or(Scalar::WrongType, |inside| Scalar::Text(Cow::Borrowed(inside)))
        }
        // Half of a surrogate pair is no text: the one thing that framing lets through and this does not.
        [b'"', ..] => serde_json::from_str(raw).map_or(Scalar::WrongType, |text| Scalar::Text(Cow::Owned(text))),
        b"null" => Scalar::Absent,
        b"true" => Scalar::Boolean(true),
        b"false" => Scalar::Boolean(false),
        [b'-', digits @ ..] | digits if !digits.is_empty() && digits.iter().all(u8::is_ascii_digit) => {
            Scalar::Integer(raw)
        }
        _ => Scalar::WrongType,
    }
}

fn object_of(raw: &str) -> ObjectText<'_> {
    match raw.as_bytes() {
        [b'{', ..] => ObjectText::Object(Cow::Borrowed(raw)),
        b"null" => ObjectText::Absent,
        _ => ObjectText::WrongType,
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
    fn enter(&mut self, member: Member) -> Result<Entered<'_, 'a>, NotAnItem> {
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
            return Err(NotAnItem);
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
