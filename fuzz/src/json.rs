//! Framing of JSON against `serde_json`: what one accepts the other accepts, within the contract's own rules, and the
//! pieces are those that a reading of the whole document gives.

use super::framing::{RecordedPiece, frame};
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::{borrow::Cow, fmt};
use trigger_launch::{
    fields::{AttachmentField, Endpoint, RootField},
    limits::{ATTACHMENT_NAME_LIMIT, DEPTH_LIMIT},
    wire::{InvalidItem, Item, ObjectText, Scalar, ValueType, json, testing},
};

/// The target.
pub fn run(data: &[u8]) {
    for endpoint in [Endpoint::StartBatch, Endpoint::Start] {
        let outcome = frame::<json::JsonFramer>(endpoint, data);
        match std::str::from_utf8(data) {
            Ok(body) => {
                let expected = document(body).map(|members| pieces(endpoint, members));
                assert_eq!(outcome.result.is_ok(), expected.is_some(), "{:?}", outcome.result);
                if let Some(expected) = expected {
                    assert_eq!(outcome.pieces, expected);
                }
                outcome.pieces.iter().for_each(decoded);
            }
            // Bytes past ASCII are let through in attachment data alone, whose decoder refuses them.
            Err(_) => {
                let attached = outcome
                    .pieces
                    .iter()
                    .any(|got| matches!(got, RecordedPiece::AttachData(_) | RecordedPiece::AttachDuplicate(_)));
                assert!(outcome.result.is_err() || attached, "accepted, and not UTF-8");
            }
        }
    }
}

/// The members of an object, in their order. A name with half of a surrogate pair is no text.
pub struct Members<'a>(pub Vec<(Option<String>, &'a RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Self::Value, M::Error> {
                let mut members = Vec::new();
                while let Some((Bytes(name), value)) = map.next_entry::<Bytes, &'de RawValue>()? {
                    members.push((String::from_utf8(name).ok(), value));
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Object)
    }
}

/// A string as bytes: `serde_json` then lets half of a surrogate pair stand, as three bytes that are not UTF-8.
struct Bytes(Vec<u8>);

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = Bytes;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Bytes, E> {
                Ok(Bytes(bytes.to_vec()))
            }
        }
        deserializer.deserialize_bytes(Text)
    }
}

/// The members of the root, if the body is one that has to be accepted.
pub fn document(body: &str) -> Option<Vec<(Option<String>, &RawValue)>> {
    let body = body.strip_prefix('\u{FEFF}').unwrap_or(body);
    // Read as bytes, names may hold control characters: they are found by a first look.
    serde_json::from_str::<IgnoredAny>(body).ok()?;
    let Members(members) = serde_json::from_str(body).ok()?;
    (depth(body) <= DEPTH_LIMIT).then_some(members)
}

/// The deepest nesting of a well-formed document.
fn depth(body: &str) -> usize {
    let (mut depth, mut deepest, mut string, mut escape) = (0_usize, 0, false, false);
    for byte in body.bytes() {
        match byte {
            _ if escape => escape = false,
            b'\\' if string => escape = true,
            b'"' => string = !string,
            b'{' | b'[' if !string => depth += 1,
            b'}' | b']' if !string => depth -= 1,
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    deepest
}

fn pieces(endpoint: Endpoint, members: Vec<(Option<String>, &RawValue)>) -> Vec<RecordedPiece> {
    let mut got = Vec::new();
    for (name, value) in members {
        let Some(field) = name.and_then(|name| RootField::from_name(endpoint, name.as_bytes())) else { continue };
        match (field, value.get().as_bytes().first()) {
            (RootField::Data | RootField::Attach, Some(b'[')) => {
                let entries: Vec<&RawValue> = serde_json::from_str(value.get()).expect("an array");
                got.push(RecordedPiece::Array(field));
                for entry in entries {
                    if field == RootField::Data { got.push(item(entry)) } else { attachment(entry, &mut got) }
                }
            }
            (RootField::Data | RootField::Attach, Some(b'n')) => got.push(RecordedPiece::Null(field)),
            (RootField::Data | RootField::Attach, _) => got.push(RecordedPiece::NotAnArray(field)),
            _ => got.push(testing::field(field, value.get())),
        }
    }
    got
}

fn item(entry: &RawValue) -> RecordedPiece {
    let raw = entry.get().to_owned();
    let only = match serde_json::from_str(&raw) {
        Ok(Members(members)) if members.len() == 1 => members.into_iter().next(),
        _ => None,
    };
    // Escapes would have to be decoded first: what has none is plain.
    let plain = only.filter(|_| !raw.contains('\\')).and_then(|(name, value)| {
        let value = value.get().strip_prefix('"')?.strip_suffix('"')?;
        Some((name?, value.to_owned()))
    });
    RecordedPiece::Item(raw, plain)
}

/// A string with U+FFFD for half of a surrogate pair, and whether there was one.
pub fn lossy(value: &RawValue) -> (String, bool) {
    let Bytes(bytes) = serde_json::from_str(value.get()).expect("a string");
    match String::from_utf8(bytes) {
        Ok(text) => (text, false),
        // Its three bytes are three times invalid.
        Err(error) => (String::from_utf8_lossy(error.as_bytes()).replace("\u{FFFD}\u{FFFD}\u{FFFD}", "\u{FFFD}"), true),
    }
}

fn attachment(entry: &RawValue, got: &mut Vec<RecordedPiece>) {
    got.push(RecordedPiece::AttachBegin);
    if let Ok(Members(members)) = serde_json::from_str(entry.get()) {
        let (mut name_seen, mut data_seen) = (false, false);
        for (name, value) in members {
            let first = value.get().as_bytes().first();
            match (name.as_deref(), first) {
                (Some("name"), _) if std::mem::replace(&mut name_seen, true) => {
                    got.push(RecordedPiece::AttachDuplicate(AttachmentField::Name))
                }
                (Some("data"), _) if std::mem::replace(&mut data_seen, true) => {
                    got.push(RecordedPiece::AttachDuplicate(AttachmentField::Data))
                }
                (Some("name" | "data"), Some(b'n')) => {}
                (Some("name"), Some(b'"')) => got.push(match lossy(value) {
                    (_, true) => RecordedPiece::AttachNameWrongType,
                    (name, false) => RecordedPiece::AttachName(kept(&name)),
                }),
                (Some("name"), _) => got.push(RecordedPiece::AttachNameWrongType),
                (Some("data"), Some(b'"')) => {
                    got.push(RecordedPiece::AttachData(lossy(value).0.into_bytes()));
                    got.push(RecordedPiece::AttachDataEnd);
                }
                (Some("data"), _) => got.push(RecordedPiece::AttachDataWrongType),
                _ => {}
            }
        }
    } else {
        got.push(RecordedPiece::AttachNotAnObject);
    }
    got.push(RecordedPiece::AttachEnd);
}

/// As much of a name as is handed on: to the first character past the limit.
pub fn kept(name: &str) -> String {
    let mut kept = String::new();
    for character in name.chars() {
        if kept.len() > ATTACHMENT_NAME_LIMIT {
            break;
        }
        kept.push(character);
    }
    kept
}

/// What the decoders make of a piece is what `serde_json` makes of it.
fn decoded(got: &RecordedPiece) {
    match got {
        RecordedPiece::Field { value, .. } => {
            assert_eq!(json::scalar(value.as_bytes()), scalar(value));
            assert_eq!(json::object(value.as_bytes()), object(value));
        }
        RecordedPiece::Item(raw, _) => assert_eq!(json::item(raw.as_bytes()), fields(raw), "{raw}"),
        _ => {}
    }
}

/// The value of a field, read as a scalar.
pub fn scalar(raw: &str) -> Scalar<'_> {
    let is_integer = |text: &str| {
        let digits = text.strip_prefix('-').unwrap_or(text);
        digits.bytes().all(|byte| byte.is_ascii_digit())
    };
    match raw.as_bytes().first() {
        Some(b'"') => match serde_json::from_str(raw) {
            Ok(text) => Scalar::Text(Cow::Owned(text)),
            Err(_) => Scalar::WrongType(ValueType::LoneSurrogate),
        },
        Some(b'n') => Scalar::Absent,
        Some(b't' | b'f') => Scalar::Boolean(raw == "true"),
        Some(b'{') => Scalar::WrongType(ValueType::Object),
        Some(b'[') => Scalar::WrongType(ValueType::Array),
        _ if is_integer(raw) => Scalar::Integer(raw),
        _ => match raw.split_once('.') {
            Some((integer, fraction)) if fraction.trim_matches('0').is_empty() => Scalar::ZeroFraction(integer),
            _ => Scalar::WrongType(ValueType::OtherNumber),
        },
    }
}

/// The value of a field, read as an object.
pub fn object(raw: &str) -> ObjectText<'_> {
    match raw.as_bytes().first() {
        Some(b'{') => ObjectText::Object(Cow::Borrowed(raw)),
        Some(b'n') => ObjectText::Absent,
        Some(b'[') => ObjectText::WrongType(ValueType::Array),
        Some(b'"') => ObjectText::WrongType(ValueType::String),
        Some(b't' | b'f') => ObjectText::WrongType(ValueType::Boolean),
        _ => ObjectText::WrongType(ValueType::Number),
    }
}

/// The fields of an item: of a name that stands once the value, of one that stands twice none of all.
pub fn fields(raw: &str) -> Result<Item<'_>, InvalidItem> {
    let Members(members) = serde_json::from_str(raw).map_err(|_| InvalidItem)?;
    let find = |wanted: &str| {
        let mut all = members.iter().filter(|(name, _)| name.as_deref() == Some(wanted)).map(|(_, value)| value.get());
        let first = all.next();
        if all.next().is_some() { Err(InvalidItem) } else { Ok(first) }
    };
    let text = |name| find(name).map(|raw| raw.map_or(Scalar::Absent, scalar));
    Ok(Item {
        email: text("email")?,
        phone: text("phone")?,
        profile_id: text("profile_id")?,
        field_value: text("field_value")?,
        provider: text("provider")?,
        subscription_id: text("subscription_id")?,
        custom_data: find("custom_data")?.map_or(ObjectText::Absent, object),
    })
}
