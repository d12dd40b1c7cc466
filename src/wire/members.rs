//! The members of a small JSON object, such as a definition. Unlike a launch, a definition with an unknown or a repeated field is
//! refused: otherwise a `PUT` with a misspelt field would get 200 and change nothing.

use std::{borrow::Cow, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};
use serde_json::value::RawValue;

use super::{ValueType, foreign::Foreign};
use crate::{limits::FIELD_NAME_SHOWN, problem::Problem, text};

/// The members of a JSON object, in their order. No name is repeated.
#[derive(Debug)]
pub struct ObjectMembers<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'a> ObjectMembers<'a> {
    /// Parses a body that is one JSON object.
    pub fn parse(body: &'a [u8]) -> Result<Self, Problem> {
        let body = text::without_byte_order_mark(body);
        let malformed = |what: String| Problem::Malformed(not_json(body).unwrap_or(what));
        let text = str::from_utf8(body)
            .map_err(|error| malformed(format!("the body is not UTF-8: byte {}", error.valid_up_to())))?;
        let members: Self = serde_json::from_str(text).map_err(|error| match body.trim_ascii_start() {
            [first, ..] if error.is_data() => {
                Problem::BadField(format!("the body must be a JSON object, not {}", ValueType::of_json(*first)))
            }
            _ => malformed(format!("the body is not JSON: line {}, column {}", error.line(), error.column())),
        })?;
        for (position, (name, _)) in members.0.iter().enumerate() {
            if members.0.iter().take(position).any(|(earlier, _)| earlier == name) {
                return Err(Self::wrong(name, "is given twice"));
            }
        }
        Ok(members)
    }

    /// The problem of one member. A long name is shortened.
    pub fn wrong(name: &str, what: &str) -> Problem {
        Problem::BadField(format!("{name:.FIELD_NAME_SHOWN$}: {what}"))
    }
}

impl<'a> IntoIterator for ObjectMembers<'a> {
    type Item = (Cow<'a, str>, &'a RawValue);
    type IntoIter = std::vec::IntoIter<Self::Item>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

/// Returns an error text if the body seems to be in another format.
fn not_json(body: &[u8]) -> Option<String> {
    let foreign = match body.trim_ascii_start() {
        // An ASCII character in UTF-16, little-endian.
        [_, 0, ..] => Foreign::Utf16,
        [b'{' | b'[', ..] | [] => return None,
        [first, ..] => Foreign::from_first(*first)?,
    };
    let remedy = match foreign {
        Foreign::Gzip | Foreign::Utf16 => format!("; {}", foreign.remedy()),
        _ => String::new(),
    };
    Some(format!("the body must be a JSON object, not {foreign}{remedy}"))
}

impl<'de> Deserialize<'de> for ObjectMembers<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(MembersVisitor)
    }
}

struct MembersVisitor;

impl<'de> Visitor<'de> for MembersVisitor {
    type Value = ObjectMembers<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Self::Value, M::Error> {
        #[derive(Deserialize)]
        struct BorrowedName<'a>(#[serde(borrow)] Cow<'a, str>);
        let mut members = Vec::new();
        while let Some((BorrowedName(name), value)) = map.next_entry::<BorrowedName<'de>, &'de RawValue>()? {
            members.push((name, value));
        }
        Ok(ObjectMembers(members))
    }
}
