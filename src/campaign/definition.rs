//! Parses the body of `PUT`, the definition of a campaign.

use super::protocol::commands::Definition;
use crate::{
    problem::Problem,
    text::SAFE_INTEGER_MAX,
    wire::{json, members::ObjectMembers, scalar},
};

/// Parses the definition of campaign `id`.
pub fn parse(id: u64, body: &[u8]) -> Result<Definition, Problem> {
    let mut definition = Definition { id, ..Definition::default() };
    for (name, value) in ObjectMembers::parse(body)? {
        let wrong = |what: &str| ObjectMembers::wrong(&name, what);
        let value = json::scalar(value.get().as_bytes());
        match name.as_ref() {
            "name" => definition.name = scalar::text(&value).map_err(|what| wrong(&what))?.map(str::to_owned),
            "database" => {
                definition.database = scalar::integer(&value, 1..=SAFE_INTEGER_MAX).map_err(|what| wrong(&what))?;
            }
            "active" => definition.active = scalar::boolean(&value).map_err(|what| wrong(&what))?,
            // A caller may send back the reply of `GET`. The totals are ignored.
            "id" => match scalar::integer(&value, 0..=u64::MAX) {
                Ok(given) if given.is_none_or(|given| given == id) => {}
                _ => return Err(wrong("must be the id in the path, or absent")),
            },
            "launches" | "recipients" => {}
            _ => return Err(wrong("unknown field; a definition has name, database and active")),
        }
    }
    definition.check()?;
    Ok(definition)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::CAMPAIGN_NAME_LIMIT;

    fn definition(name: Option<&str>, database: Option<u64>, active: Option<bool>) -> Definition {
        Definition { id: 8, name: name.map(str::to_owned), database, active }
    }

    #[test]
    fn parses_the_fields_that_are_present() {
        for (body, expected) in [
            ("{}", definition(None, None, None)),
            ("\u{feff} {\"active\" : false} ", definition(None, None, Some(false))),
            (r#"{"name":"a\u00e9","database":1,"active":true}"#, definition(Some("a\u{e9}"), Some(1), Some(true))),
            (r#"{"name":null,"database":null,"active":null,"id":null}"#, definition(None, None, None)),
            (
                r#"{"id":8,"name":"x","database":9007199254740991,"active":true,"launches":7,"recipients":9}"#,
                definition(Some("x"), Some(SAFE_INTEGER_MAX), Some(true)),
            ),
        ] {
            assert_eq!(parse(8, body.as_bytes()), Ok(expected), "{body}");
        }
        let long = "\u{e9}".repeat(CAMPAIGN_NAME_LIMIT / 2);
        assert!(parse(8, format!(r#"{{"name":"{long}"}}"#).as_bytes()).is_ok());
    }

    #[test]
    fn parses_integers_and_booleans_in_every_spelling() {
        for one in ["1", "\"1\"", "\" 1\\n\"", "1.0", "1.00", "\"0001\""] {
            let body = format!(r#"{{"database":{one}}}"#);
            assert_eq!(parse(8, body.as_bytes()), Ok(definition(None, Some(1), None)), "{body}");
            let body = format!(r#"{{"id":{one}}}"#);
            assert!(parse(1, body.as_bytes()).is_ok(), "{body}");
            assert_eq!(parse(8, body.as_bytes()).unwrap_err().status(), 400, "{body}");
        }
        for (values, expected) in [
            (["true", "1", "1.0", "\"1\"", "\"true\"", "\"True\"", "\" TRUE \""], true),
            (["false", "0", "0.0", "\"0\"", "\"false\"", "\"False\"", "\"FALSE\\n\""], false),
        ] {
            for value in values {
                let body = format!(r#"{{"active":{value}}}"#);
                assert_eq!(parse(8, body.as_bytes()), Ok(definition(None, None, Some(expected))), "{body}");
            }
        }
    }

    #[test]
    fn rejects_an_invalid_definition_with_a_text_that_names_the_fault() {
        let long = "x".repeat(CAMPAIGN_NAME_LIMIT + 1);
        let unknown = "u".repeat(1000);
        let database = "database: must be an integer from 1 to 9007199254740991";
        for (body, expected) in [
            ("", "the body is not JSON: line 1, column 0"),
            ("{\"name\":\n", "the body is not JSON: line 2, column 0"),
            ("{} {}", "the body is not JSON: line 1, column 4"),
            (" <xml/>", "the body must be a JSON object, not XML"),
            ("name=x&active=true", "the body must be a JSON object, not form fields or plain text"),
            ("--x\r\n\r\n", "the body must be a JSON object, not a multipart body"),
            ("{\0\"\0", "the body must be a JSON object, not UTF-16; send UTF-8"),
            ("[]", "the body must be a JSON object, not a JSON array"),
            (" null", "the body must be a JSON object, not JSON null"),
            ("\"x\"", "the body must be a JSON object, not a JSON string"),
            ("8", "the body must be a JSON object, not a JSON number"),
            (r#"{"name":""}"#, "name: must not be empty"),
            (r#"{"name":5}"#, "name: must be a string, not a JSON number"),
            (r#"{"name":["x"]}"#, "name: must be a string, not a JSON array"),
            (r#"{"name":"\ud800"}"#, "name: must be a string, not a JSON string with half of a surrogate pair"),
            (&format!(r#"{{"name":"{long}"}}"#), "name: is longer than 256 bytes"),
            (r#"{"name":"a\u0000"}"#, "name: must not contain control characters"),
            (r#"{"name":"a\nb"}"#, "name: must not contain control characters"),
            ("{\"name\":\"a\u{85}b\"}", "name: must not contain control characters"),
            (r#"{"database":0}"#, database),
            (r#"{"database":"0"}"#, database),
            (r#"{"database":"1.0"}"#, database),
            (r#"{"database":"x"}"#, database),
            (r#"{"database":-1}"#, database),
            (r#"{"database":9007199254740992}"#, database),
            (r#"{"database":1.5}"#, &format!("{database}, not a JSON number with a fraction or an exponent")),
            (r#"{"database":1e0}"#, &format!("{database}, not a JSON number with a fraction or an exponent")),
            (r#"{"database":true}"#, &format!("{database}, not a JSON boolean")),
            (r#"{"database":{}}"#, &format!("{database}, not a JSON object")),
            (r#"{"active":"yes"}"#, "active: must be true or false"),
            (r#"{"active":2}"#, "active: must be true or false"),
            (r#"{"active":[true]}"#, "active: must be true or false, not a JSON array"),
            (r#"{"active":true,"active":false}"#, "active: is given twice"),
            (r#"{"id":9}"#, "id: must be the id in the path, or absent"),
            (r#"{"id":"9"}"#, "id: must be the id in the path, or absent"),
            (r#"{"id":true}"#, "id: must be the id in the path, or absent"),
            (r#"{"actve":false}"#, "actve: unknown field; a definition has name, database and active"),
            (
                &format!(r#"{{"{unknown}":1}}"#),
                &format!("{:.80}: unknown field; a definition has name, database and active", unknown),
            ),
        ] {
            let problem = parse(8, body.as_bytes()).unwrap_err();
            assert_eq!((problem.status(), problem.debug("").as_ref()), (400, expected), "{body:.80}");
        }
        for (body, expected) in [
            (&b"{\"name\":\"\xff\"}"[..], "the body is not UTF-8: byte 9"),
            (b"\x1F\x8B\x08\0", "the body must be a JSON object, not gzip; send the body uncompressed"),
            (b"\xFF\xFE{\0}\0", "the body must be a JSON object, not UTF-16; send UTF-8"),
            (b"\xFE\xFF\0{\0}", "the body must be a JSON object, not UTF-16; send UTF-8"),
            (b"\0{\0}", "the body must be a JSON object, not UTF-16; send UTF-8"),
        ] {
            assert_eq!(parse(8, body).unwrap_err().debug(""), expected, "{}", body.escape_ascii());
        }
    }
}
