//! The body of `PUT`: what it says of a campaign, or which field is wrong.

use std::{borrow::Cow, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{DeserializeOwned, MapAccess, Visitor},
};
use serde_json::value::RawValue;

use super::commands::{Definition, NAME_LIMIT, Refusal};
use crate::problem::Problem;

/// Largest id of a database.
const DATABASE_LIMIT: u64 = (1 << 53) - 1;
/// How much of an unknown field's name is told back, in characters.
const NAME_SHOWN: usize = 80;

/// Reads the definition of campaign `id`. Unlike in the body of a launch, an unknown field is refused: a pause whose
/// `active` is misspelt would be answered with 200, and would be none.
pub fn read(id: u64, body: &[u8]) -> Result<Definition, Problem> {
    let body = body.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(body);
    let text = str::from_utf8(body)
        .map_err(|error| Problem::Malformed(format!("the body is not UTF-8: byte {}", error.valid_up_to())))?;
    let Members(members) = serde_json::from_str(text).map_err(|error| {
        if error.is_data() {
            return Problem::BadField("the body must be a JSON object".to_owned());
        }
        Problem::Malformed(format!("the body is no JSON: line {}, column {}", error.line(), error.column()))
    })?;
    let mut definition = Definition { id, ..Definition::default() };
    let mut seen: Vec<Cow<'_, str>> = Vec::new();
    for (name, value) in members {
        let wrong = |what: &str| Problem::BadField(format!("{name:.NAME_SHOWN$}: {what}"));
        match name.as_ref() {
            "name" => definition.name = value_of(value).ok_or_else(|| wrong("must be a string"))?,
            "database" => definition.database = value_of(value).ok_or_else(|| wrong(&database()))?,
            "active" => definition.active = value_of(value).ok_or_else(|| wrong("must be true or false"))?,
            // What `GET` replies can be sent back as it stands. The totals are not the caller's to set.
            "id" if value_of(value).is_some_and(|given| given.is_none_or(|given: u64| given == id)) => {}
            "id" => return Err(wrong("must be that of the path, or absent")),
            "launches" | "recipients" => {}
            _ => return Err(wrong("is not known: a definition has name, database and active")),
        }
        if seen.contains(&name) {
            return Err(wrong("is given twice"));
        }
        seen.push(name);
    }
    check(&definition)?;
    Ok(definition)
}

/// Whether what is given can be a campaign's. What is missing is the campaign's object to tell: it knows whether this is
/// the first definition.
pub fn check(definition: &Definition) -> Result<(), Refusal> {
    let wrong = |field: &str, what: &str| Err(Refusal::BadField(format!("{field}: {what}")));
    if let Some(name) = &definition.name {
        if name.is_empty() {
            return wrong("name", "must not be empty");
        }
        if name.len() > NAME_LIMIT {
            return wrong("name", &format!("is longer than {NAME_LIMIT} bytes"));
        }
        if name.chars().any(char::is_control) {
            return wrong("name", "must hold no control characters");
        }
    }
    match definition.database {
        Some(id) if !(1..=DATABASE_LIMIT).contains(&id) => wrong("database", &database()),
        _ => Ok(()),
    }
}

fn database() -> String {
    format!("must be an integer from 1 to {DATABASE_LIMIT}")
}

/// The value, if it is of that type; `Some(None)` for `null`, which is absence.
fn value_of<T: DeserializeOwned>(value: &RawValue) -> Option<Option<T>> {
    serde_json::from_str(value.get()).ok()
}

/// The members of an object, each with its value as it came.
struct Members<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Self::Value, M::Error> {
                #[derive(Deserialize)]
                struct Name<'a>(#[serde(borrow)] Cow<'a, str>);
                let mut members = Vec::new();
                while let Some((Name(name), value)) = map.next_entry::<Name<'de>, &'de RawValue>()? {
                    members.push((name, value));
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Object)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_given_is_taken_and_the_rest_is_left() {
        let definition = |name: Option<&str>, database, active| {
            Ok(Definition { id: 8, name: name.map(str::to_owned), database, active })
        };
        for (body, expected) in [
            ("{}", definition(None, None, None)),
            ("\u{feff} {\"active\" : false} ", definition(None, None, Some(false))),
            (r#"{"name":"a\u00e9","database":1,"active":true}"#, definition(Some("a\u{e9}"), Some(1), Some(true))),
            (r#"{"name":null,"database":null,"active":null,"id":null}"#, definition(None, None, None)),
            (
                r#"{"id":8,"name":"x","database":9007199254740991,"active":true,"launches":7,"recipients":9}"#,
                definition(Some("x"), Some(DATABASE_LIMIT), Some(true)),
            ),
        ] {
            assert_eq!(read(8, body.as_bytes()), expected, "{body}");
        }
        let long = "\u{e9}".repeat(NAME_LIMIT / 2);
        assert!(read(8, format!(r#"{{"name":"{long}"}}"#).as_bytes()).is_ok());
    }

    #[test]
    fn what_is_wrong_is_named() {
        let long = "x".repeat(NAME_LIMIT + 1);
        let unknown = "u".repeat(1000);
        for (body, told) in [
            ("", "the body is no JSON: line 1, column 0"),
            ("{\"name\":\n", "the body is no JSON: line 2, column 0"),
            ("<xml/>", "the body is no JSON: line 1, column 1"),
            ("{} {}", "the body is no JSON: line 1, column 4"),
            ("[]", "the body must be a JSON object"),
            ("null", "the body must be a JSON object"),
            (r#"{"name":""}"#, "name: must not be empty"),
            (r#"{"name":5}"#, "name: must be a string"),
            (r#"{"name":["x"]}"#, "name: must be a string"),
            (r#"{"name":"\ud800"}"#, "name: must be a string"),
            (&format!(r#"{{"name":"{long}"}}"#), "name: is longer than 256 bytes"),
            (r#"{"name":"a\u0000"}"#, "name: must hold no control characters"),
            (r#"{"name":"a\nb"}"#, "name: must hold no control characters"),
            ("{\"name\":\"a\u{85}b\"}", "name: must hold no control characters"),
            (r#"{"database":"1"}"#, "database: must be an integer from 1 to 9007199254740991"),
            (r#"{"database":0}"#, "database: must be an integer from 1 to 9007199254740991"),
            (r#"{"database":1.0}"#, "database: must be an integer from 1 to 9007199254740991"),
            (r#"{"database":-1}"#, "database: must be an integer from 1 to 9007199254740991"),
            (r#"{"database":9007199254740992}"#, "database: must be an integer from 1 to 9007199254740991"),
            (r#"{"active":"true"}"#, "active: must be true or false"),
            (r#"{"active":1}"#, "active: must be true or false"),
            (r#"{"active":true,"active":false}"#, "active: is given twice"),
            (r#"{"id":9}"#, "id: must be that of the path, or absent"),
            (r#"{"id":"8"}"#, "id: must be that of the path, or absent"),
            (r#"{"actve":false}"#, "actve: is not known: a definition has name, database and active"),
            (
                &format!(r#"{{"{unknown}":1}}"#),
                &format!("{:.80}: is not known: a definition has name, database and active", unknown),
            ),
        ] {
            let problem = read(8, body.as_bytes()).unwrap_err();
            assert_eq!((problem.status(), problem.debug("").as_ref()), (400, told), "{body:.80}");
        }
        let problem = read(8, b"{\"name\":\"\xff\"}").unwrap_err();
        assert_eq!(problem.debug(""), "the body is not UTF-8: byte 9");
    }
}
