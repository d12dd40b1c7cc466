use super::*;
use crate::limits::KEY_LIMIT;

fn text(text: &str) -> Scalar<'_> {
    Scalar::Text(Cow::Borrowed(text))
}

#[test]
fn decodes_the_fields_of_every_mode() {
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
fn a_value_of_the_wrong_type_makes_only_its_field_invalid() {
    for (wrong, received) in [
        ("1.5", ValueType::OtherNumber),
        ("1e3", ValueType::OtherNumber),
        ("1.0e0", ValueType::OtherNumber),
        ("1E+2", ValueType::OtherNumber),
        ("[]", ValueType::Array),
        ("{}", ValueType::Object),
        (r#"["a"]"#, ValueType::Array),
        (r#""\ud800""#, ValueType::LoneSurrogate),
        (r#""\udc00\ud800""#, ValueType::LoneSurrogate),
    ] {
        let raw = format!(r#"{{"field_value":{wrong},"email":"e","custom_data":[]}}"#);
        let item = item(raw.as_bytes()).unwrap();
        assert_eq!(item.field_value, Scalar::WrongType(received), "{wrong}");
        assert_eq!((item.email, item.custom_data), (text("e"), ObjectText::WrongType(ValueType::Array)));
    }
}

#[test]
fn integers_keep_their_digits() {
    for digits in ["0", "-0", "-17", "9007199254740993", "123456789012345678901234567890"] {
        assert_eq!(scalar(digits.as_bytes()), Scalar::Integer(digits));
    }
}

#[test]
fn a_number_with_a_zero_fraction_keeps_its_integer() {
    for (raw, integer) in [("8.0", "8"), ("8.00", "8"), ("-8.0", "-8"), ("0.000", "0"), ("-0.0", "-0")] {
        assert_eq!(scalar(raw.as_bytes()), Scalar::ZeroFraction(integer));
        let item = format!(r#"{{"field_value":{raw}}}"#);
        assert_eq!(both(&item).unwrap().field_value, Scalar::ZeroFraction(integer));
    }
    for raw in ["8.01", "8.10", "8.0e1", "8e0", "8.0E0"] {
        assert_eq!(scalar(raw.as_bytes()), Scalar::WrongType(ValueType::OtherNumber), "{raw}");
    }
}

#[test]
fn a_long_string_with_escapes_is_cut_and_stays_too_long_for_a_key() {
    for unit in [r"\u0078", r"\n", r"\u00e9", r"\ud83d\ude00", "\u{e9}", "\u{1F600}x"] {
        let inside = format!(r"\t{}", unit.repeat(SCALAR_LIMIT / unit.len()));
        let raw = format!("\"{inside}\"");
        let whole: String = serde_json::from_str(&raw).unwrap();
        let Scalar::Text(text) = scalar(raw.as_bytes()) else { panic!("{unit}") };
        assert!(text.len() > KEY_LIMIT && text.len() <= SCALAR_LIMIT && whole.starts_with(&*text), "{unit}");
        let raw = format!("\"{inside}\\ud800\"");
        assert_eq!(scalar(raw.as_bytes()), Scalar::WrongType(ValueType::LoneSurrogate), "{unit}");
    }
    let plain = format!("\"{}\"", "x".repeat(3 * SCALAR_LIMIT));
    assert_eq!(scalar(plain.as_bytes()), text(plain.trim_matches('"')), "borrowed, and so whole");
}

#[test]
fn rejects_items_that_are_not_objects_or_repeat_a_field() {
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
        assert_eq!(item(raw.as_bytes()), Err(InvalidItem), "{raw}");
    }
    assert_eq!(item(b"{\"email\":\"\xFF\"}"), Err(InvalidItem));
    assert!(item(br#"{"other":1,"other":2}"#).is_ok(), "an unknown member may stand twice");
    let lone = br#"{"\ud800":1,"\udfff":"\ud800","email":"a"}"#;
    assert_eq!(item(lone).unwrap().email, text("a"), "names and values that nobody reads may be no text");
}

#[test]
fn decodes_each_type_of_scalar() {
    assert_eq!(scalar(br#""""#), text(""));
    assert_eq!(scalar("\"é\"".as_bytes()), text("é"));
    assert_eq!(scalar(br#""\"\ud83d\ude00\n""#), text("\"😀\n"));
    assert_eq!(scalar(b"null"), Scalar::Absent);
    assert_eq!(scalar(b"true"), Scalar::Boolean(true));
    assert_eq!(scalar(b"false"), Scalar::Boolean(false));
    // The framer never passes these. Decoding them must not panic.
    for raw in [&b""[..], b"\"", b"-", b"\xFF", b"\"\\\"", b"nul", b"{", b"+1"] {
        assert!(matches!(scalar(raw), Scalar::WrongType(_)), "{raw:?}");
    }
}

#[test]
fn keeps_an_object_as_sent() {
    let raw = r#"{ "b": 1.0, "a": 10000000000000000000000, "é": "\u00e9\ud800" }"#;
    assert_eq!(object(raw.as_bytes()), ObjectText::Object(Cow::Borrowed(raw)));
    assert_eq!(object(b"null"), ObjectText::Absent);
    for (wrong, received) in [
        ("[]", ValueType::Array),
        ("\"{}\"", ValueType::String),
        ("1", ValueType::Number),
        ("true", ValueType::Boolean),
        ("", ValueType::Null),
    ] {
        assert_eq!(object(wrong.as_bytes()), ObjectText::WrongType(received), "{wrong}");
    }
}

/// Decodes an item on the fast path and with `serde_json`, if both accept it.
fn both(raw: &str) -> Result<Item<'_>, InvalidItem> {
    let general = general_item(raw.as_bytes());
    if let Some(flat) = flat_item(raw.as_bytes()) {
        assert_eq!(flat, general, "{raw}");
    }
    assert_eq!(item(raw.as_bytes()), general, "{raw}");
    general
}

#[test]
fn both_paths_decode_alike() {
    let values = [
        "\"\"",
        "\"a\"",
        "\"Иван\"",
        "\"a\\n\"",
        "0",
        "-0",
        "-12",
        "12",
        "1.5",
        "1.0",
        "1e3",
        "01",
        "-",
        "null",
        "{}",
        "[]",
        "x",
    ];
    let names = ["email", "custom_data", "field_value", "other", "", "e\\u006dail", "имя"];
    for (name, value) in names.iter().flat_map(|name| values.map(|value| (name, value))) {
        for (other, second) in [("phone", "\"p\""), (*name, "\"p\""), (*name, "7"), ("x", "1")] {
            let _ = both(&format!("{{\"{name}\":{value}}}"));
            let _ = both(&format!("{{ \"{name}\" : {value} , \"{other}\" : {second} }}"));
            let _ = both(&format!("{{\"{other}\":{second},\"{name}\":{value}}} "));
            let _ = both(&format!("{{\"{other}\":{second},\"{name}\":{value},}}"));
        }
    }
    assert!(flat_item(br#"{"email":"a","phone":"b","field_value":-7,"x":""}"#).is_some());
    assert!(flat_item(b"{}").is_some());
    assert_eq!(flat_item(br#"{"email":"a","email":"b"}"#), Some(Err(InvalidItem)));
}
