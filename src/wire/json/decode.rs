//! What the pieces of a JSON body mean: through `serde_json`, which borrows where it can.

use crate::wire::{Item, NotAnItem, ObjectText, Scalar};
use serde::de::{Deserialize, Deserializer, Error, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::{borrow::Cow, fmt};

/// The fields of one entry of `data`. A value of a wrong type is that field's fault, not the item's.
pub fn item(raw: &[u8]) -> Result<Item<'_>, NotAnItem> {
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

/// A known member of an item.
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
        Ok(match name {
            b"email" => Member::Email,
            b"phone" => Member::Phone,
            b"profile_id" => Member::ProfileId,
            b"field_value" => Member::FieldValue,
            b"provider" => Member::Provider,
            b"subscription_id" => Member::SubscriptionId,
            b"custom_data" => Member::CustomData,
            _ => Member::Unknown,
        })
    }
}

struct ItemVisitor;

impl<'de> Visitor<'de> for ItemVisitor {
    type Value = Item<'de>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Item<'de>, A::Error> {
        let mut item = Item::default();
        let mut seen = 0u8;
        while let Some(member) = members.next_key::<Member>()? {
            let field = match member {
                Member::Unknown => {
                    members.next_value::<IgnoredAny>()?;
                    continue;
                }
                Member::CustomData => None,
                Member::Email => Some(&mut item.email),
                Member::Phone => Some(&mut item.phone),
                Member::ProfileId => Some(&mut item.profile_id),
                Member::FieldValue => Some(&mut item.field_value),
                Member::Provider => Some(&mut item.provider),
                Member::SubscriptionId => Some(&mut item.subscription_id),
            };
            let bit = 1 << (member as u8);
            if seen & bit != 0 {
                return Err(A::Error::custom("a member stands twice"));
            }
            seen |= bit;
            let value = members.next_value::<&RawValue>()?.get();
            match field {
                Some(field) => *field = scalar_of(value),
                None => item.custom_data = object_of(value),
            }
        }
        Ok(item)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Scalar<'_> {
        Scalar::Text(Cow::Borrowed(text))
    }

    #[test]
    fn an_item_has_the_fields_of_every_mode() {
        let raw = br#" {"email":"a@b.c","phone":"+7","profile_id":"6606","field_value":42,"provider":"p",
            "subscription_id":"s\u0041\/", "custom_data": {"n": 1.50, "n": -0}, "other": [{"email": 1}], "": null} "#;
        let expected = Item {
            email: text("a@b.c"),
            phone: text("+7"),
            profile_id: text("6606"),
            field_value: Scalar::Integer("42"),
            provider: text("p"),
            subscription_id: text("sA/"),
            custom_data: ObjectText::Object(Cow::Borrowed(r#"{"n": 1.50, "n": -0}"#)),
        };
        assert_eq!(item(raw), Ok(expected));
        assert_eq!(item(b"{}"), Ok(Item::default()));
        assert_eq!(item(br#"{"email":null,"custom_data":null}"#), Ok(Item::default()));
        assert_eq!(item(br#"{"e\u006dail":"x"}"#).unwrap().email, text("x"), "names may hold escapes");
    }

    #[test]
    fn a_value_of_a_wrong_type_is_its_fields_fault() {
        for wrong in ["1.0", "1e3", "-0.0", "1E+2", "[]", "{}", r#"["a"]"#, r#""\ud800""#, r#""\udc00\ud800""#] {
            let raw = format!(r#"{{"field_value":{wrong},"email":"e","custom_data":[]}}"#);
            let item = item(raw.as_bytes()).unwrap();
            assert_eq!(item.field_value, Scalar::WrongType, "{wrong}");
            assert_eq!((item.email, item.custom_data), (text("e"), ObjectText::WrongType));
        }
    }

    #[test]
    fn integers_keep_their_digits() {
        for digits in ["0", "-0", "-17", "9007199254740993", "123456789012345678901234567890"] {
            assert_eq!(scalar(digits.as_bytes()), Scalar::Integer(digits));
        }
    }

    #[test]
    fn what_is_no_object_or_says_a_thing_twice_is_no_item() {
        for raw in [
            "null",
            "1",
            r#""email""#,
            "[]",
            r#"[{"email":"a"}]"#,
            r#"{"email":"a","email":"a"}"#,
            r#"{"email":null,"e\u006dail":"a"}"#,
            r#"{"custom_data":{},"custom_data":{}}"#,
            r#"{"email":"a"} {}"#,
            r#"{"email":"#,
            "",
        ] {
            assert_eq!(item(raw.as_bytes()), Err(NotAnItem), "{raw}");
        }
        assert_eq!(item(b"{\"email\":\"\xFF\"}"), Err(NotAnItem));
        assert!(item(br#"{"other":1,"other":2}"#).is_ok(), "an unknown member may stand twice");
        let lone = br#"{"\ud800":1,"\udfff":"\ud800","email":"a"}"#;
        assert_eq!(item(lone).unwrap().email, text("a"), "names and values that nobody reads may be no text");
    }

    #[test]
    fn a_scalar_is_what_it_is() {
        assert_eq!(scalar(br#""""#), text(""));
        assert_eq!(scalar("\"é\"".as_bytes()), text("é"));
        assert_eq!(scalar(br#""\"\ud83d\ude00\n""#), text("\"😀\n"));
        assert_eq!(scalar(b"null"), Scalar::Absent);
        assert_eq!(scalar(b"true"), Scalar::Boolean(true));
        assert_eq!(scalar(b"false"), Scalar::Boolean(false));
        // None of these comes from the framer; none may panic.
        for raw in [&b""[..], b"\"", b"-", b"\xFF", b"\"\\\"", b"nul", b"{", b"+1"] {
            assert_eq!(scalar(raw), Scalar::WrongType, "{raw:?}");
        }
    }

    #[test]
    fn an_object_is_kept_as_it_came() {
        let raw = r#"{ "b": 1.0, "a": 10000000000000000000000, "é": "\u00e9\ud800" }"#;
        assert_eq!(object(raw.as_bytes()), ObjectText::Object(Cow::Borrowed(raw)));
        assert_eq!(object(b"null"), ObjectText::Absent);
        for wrong in ["[]", "\"{}\"", "1", "true", ""] {
            assert_eq!(object(wrong.as_bytes()), ObjectText::WrongType, "{wrong}");
        }
    }
}
