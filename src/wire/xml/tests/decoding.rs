//! Decoding pieces to text, items and JSON.

use std::borrow::Cow;

use crate::limits::{DEPTH_LIMIT, KEY_LIMIT};
use crate::memory::{Budget, Reservation};
use crate::wire::xml::{self, text, text_as_is};
use crate::wire::{InvalidItem, Item, ObjectText, Scalar, ValueType};

/// Runs a conversion with unlimited memory, and checks that only its result stays reserved.
fn with_memory<T>(convert: impl FnOnce(&mut Reservation) -> T, allocated: impl FnOnce(&T) -> u64) -> T {
    let mut memory = Reservation::new(&Budget::new(u64::MAX, u64::MAX), 0);
    let converted = convert(&mut memory);
    assert_eq!(memory.bytes(), allocated(&converted));
    converted
}

fn item(raw: &[u8]) -> Result<Item<'_>, InvalidItem> {
    let allocated = |item: &Result<Item<'_>, _>| item.as_ref().map_or(0, |item| item.custom_data.allocated());
    with_memory(|memory| xml::item(raw, memory).unwrap(), allocated)
}

fn object(raw: &[u8]) -> ObjectText<'static> {
    with_memory(|memory| xml::object(raw, usize::MAX, memory).unwrap(), ObjectText::allocated)
}

const WRONG_OBJECT: ObjectText<'static> = ObjectText::WrongType(ValueType::Text);

fn string(text: &str) -> Scalar<'static> {
    Scalar::Text(Cow::Owned(text.to_owned()))
}

fn json(text: &str) -> ObjectText<'static> {
    ObjectText::Object(Cow::Owned(text.to_owned()))
}

#[test]
fn decodes_text() {
    for (raw, expected) in [
        ("", ""),
        ("85", "85"),
        (" a b\t", " a b\t"),
        ("a&amp;&lt;&gt;&quot;&apos;&#65;&#x1F600;", "a&<>\"'A\u{1F600}"),
        ("a<![CDATA[<b>&amp;]]>c", "a<b>&amp;c"),
        ("<![CDATA[]]>", ""),
        ("a<!-- x -->b<?p q?>c", "abc"),
        ("a\r\nb\rc\n", "a\nb\nc\n"),
        ("a&#13;\nb", "a\r\nb"),
        ("\u{FEFF}a", "\u{FEFF}a"),
        ("\u{FEFF}\u{FEFF}a&amp;", "\u{FEFF}\u{FEFF}a&"),
    ] {
        assert_eq!(text_as_is(raw.as_bytes()), string(expected), "{raw:?}");
        let trimmed = expected.trim_matches([' ', '\t', '\r', '\n']);
        assert_eq!(text(raw.as_bytes()), string(trimmed), "{raw:?}");
    }
    assert_eq!(text("\n\u{A0}85\u{A0}\r\n ".as_bytes()), string("\u{A0}85\u{A0}"), "XML's white space alone");
    for raw in ["<a/>", "x<a>y</a>", "&unknown;", "<a>", "&", "&#0;", "</a>", "<!DOCTYPE a>"] {
        assert_eq!(text_as_is(raw.as_bytes()), Scalar::WrongType(ValueType::Elements), "{raw:?}");
    }
    assert_eq!(text_as_is(b"\xFF"), Scalar::WrongType(ValueType::Elements));
    assert!(matches!(text_as_is(b"plain"), Scalar::Text(Cow::Borrowed("plain"))), "nothing to decode, nothing copied");
}

#[test]
fn decodes_items() {
    let raw = "\n<email> a&amp;b </email><phone><![CDATA[+7]]></phone><profile_id/><other><email>x</email></other>\
               <field_value> 003 </field_value><!-- c --><provider a='1'>p</provider>&#32;<subscription_id></subscription_id>\
               <custom_data><n>1</n></custom_data>\n";
    let expected = Item {
        email: string(" a&b "),
        phone: string("+7"),
        profile_id: string(""),
        field_value: string(" 003 "),
        provider: string("p"),
        subscription_id: string(""),
        custom_data: json("{\"n\":\"1\"}"),
    };
    assert_eq!(item(raw.as_bytes()), Ok(expected));
    for empty in ["", " \n", "<!-- c -->", "<other/>", "<Email>a</Email>"] {
        assert_eq!(item(empty.as_bytes()), Ok(Item::default()), "{empty:?}");
    }
}

#[test]
fn rejects_invalid_items() {
    for raw in [
        "foo",
        "&#65;",
        "<![CDATA[x]]>",
        "<email>a</email>x",
        "x<email>a</email>",
        "\u{FEFF}",
        "\u{FEFF}<email>a</email>",
        "<email>",
        "</email>",
        "<email>a</b>",
    ] {
        assert_eq!(item(raw.as_bytes()), Err(InvalidItem), "{raw:?}");
    }
    assert_eq!(item(b"<email>\xFF</email>"), Err(InvalidItem));
}

#[test]
fn reports_fields_of_the_wrong_type() {
    for raw in [
        "<email><a/></email>",
        "<email>x<a>y</a></email>",
        "<email>a</email><email>a</email>",
        "<email/><email/>",
        "<email/><other/><email/><email/>",
        "<email array='true'>a</email>",
        "<email b='c' array = \"true\"/>",
        "<email><email>a</email></email>",
    ] {
        let item = item(raw.as_bytes()).unwrap();
        assert!(matches!(item.email, Scalar::WrongType(_)), "{raw}");
        assert_eq!(Item { email: Scalar::Absent, ..item }, Item::default(), "{raw}");
    }
    let fine = item(b"<email array='false'>a</email>").map(|item| item.email);
    assert_eq!(fine, Ok(string("a")));
    for raw in [
        "<custom_data>x</custom_data>",
        "<custom_data/><custom_data/>",
        "<custom_data><a/></custom_data><custom_data/>",
        "<custom_data array='true'><a/></custom_data>",
        "<custom_data>x<a/></custom_data>",
    ] {
        let item = item(raw.as_bytes()).unwrap();
        assert!(matches!(item.custom_data, ObjectText::WrongType(_)), "{raw}");
        assert_eq!(Item { custom_data: ObjectText::Absent, ..item }, Item::default(), "{raw}");
    }
}

#[test]
fn a_nil_field_of_an_item_is_absent() {
    let raw = "<email xsi:nil='true'>a</email><phone xsi:nil=\"1\"/><profile_id xsi:nil='false'>b</profile_id>\
               <provider a='&lt;' xsi:nil=' true '><c/></provider><custom_data xsi:nil='true'>x<a/></custom_data>";
    let expected = Item { profile_id: string("b"), ..Item::default() };
    assert_eq!(item(raw.as_bytes()), Ok(expected));
    for twice in ["<email xsi:nil='1'/><email>a</email>", "<email>a</email><email xsi:nil='1'/>"] {
        assert!(matches!(item(twice.as_bytes()).unwrap().email, Scalar::WrongType(_)), "{twice}");
    }
    for twice in [
        "<custom_data xsi:nil='1'/><custom_data/>",
        "<custom_data><a/></custom_data><custom_data xsi:nil='1'/>",
        "<custom_data><a/></custom_data><other/><custom_data>x</custom_data>",
    ] {
        assert!(matches!(item(twice.as_bytes()).unwrap().custom_data, ObjectText::WrongType(_)), "{twice}");
    }
    assert_eq!(object(b"<a xsi:nil='true'/><b xsi:nil='1'>x</b>"), json(r#"{"a":"","b":"x"}"#));
}

#[test]
fn a_long_key_that_is_decoded_is_cut_and_stays_too_long() {
    for (unit, one) in
        [("&#120;", "x"), ("x<!-- c -->", "x"), ("\u{e9}&#233;", "éé"), ("&#x1F600;", "\u{1F600}"), ("\r", "\n")]
    {
        for count in [0, 1, KEY_LIMIT / one.len(), KEY_LIMIT / one.len() + 1, 100_000] {
            let raw = format!("<email>{}</email>", unit.repeat(count));
            let whole = one.repeat(count);
            let Scalar::Text(text) = item(raw.as_bytes()).unwrap().email else { panic!("{unit}") };
            assert!(text == whole || text.len() > KEY_LIMIT && whole.starts_with(&*text), "{count} of {unit}");
            assert!(text.len() <= KEY_LIMIT + 4, "{count} of {unit}");
            // An error after the cut is still found.
            let raw = format!("<email>{}<a/></email>", unit.repeat(count));
            assert!(matches!(item(raw.as_bytes()).unwrap().email, Scalar::WrongType(_)), "{count} of {unit}");
        }
    }
}

#[test]
fn converts_objects() {
    for (raw, expected) in [
        ("", "{}"),
        (" \n", "{}"),
        ("<!-- c -->", "{}"),
        ("<a/>", r#"{"a":""}"#),
        ("<a></a>", r#"{"a":""}"#),
        ("<a> </a>", r#"{"a":" "}"#),
        ("<a>1</a>", r#"{"a":"1"}"#),
        ("\n <b>1</b>\n <a>2</a>\n", r#"{"b":"1","a":"2"}"#),
        ("<a>1</a><b/><a>2</a>", r#"{"a":["1","2"],"b":""}"#),
        ("<a array='true'>1</a>", r#"{"a":["1"]}"#),
        ("<a array='true'/>", r#"{"a":[""]}"#),
        ("<a array='true'>1</a><a>2</a>", r#"{"a":["1","2"]}"#),
        ("<a array='false' b='c'>1</a>", r#"{"a":"1"}"#),
        ("<a><b>1</b><b><c/></b></a>", r#"{"a":{"b":["1",{"c":""}]}}"#),
        ("<a array=\"true\"><b>1</b></a>", r#"{"a":[{"b":"1"}]}"#),
        ("<a>\"\\\t\n\r\u{7F}\u{2028}é&lt;&#13;</a>", "{\"a\":\"\\\"\\\\\\t\\n\\n\u{7F}\u{2028}é<\\r\"}"),
        ("<a>x<!-- c -->y<![CDATA[<z>]]></a>", r#"{"a":"xy<z>"}"#),
        ("<a>\u{FEFF}</a>", "{\"a\":\"\u{FEFF}\"}"),
        ("<имя><x-1.y/></имя>", r#"{"имя":{"x-1.y":""}}"#),
        ("<a><a><a>1</a></a></a>", r#"{"a":{"a":{"a":"1"}}}"#),
        ("<c/><b/><a/><b/><c/>", r#"{"c":["",""],"b":["",""],"a":""}"#),
    ] {
        assert_eq!(object(raw.as_bytes()), json(expected), "{raw}");
    }
    for raw in [
        "x",
        "&#65;",
        "<![CDATA[x]]>",
        "x<a/>",
        "<a/>x",
        "<a>x<b/></a>",
        "<a><b/>&amp;</a>",
        "\u{FEFF}<a/>",
        "<a>",
        "</a>",
        "<a>&x;</a>",
        "<a></b>",
    ] {
        assert_eq!(object(raw.as_bytes()), WRONG_OBJECT, "{raw}");
    }
    assert_eq!(object(b"<a>\xFF</a>"), WRONG_OBJECT);
    let deep = |levels| "<a>".repeat(levels) + &"</a>".repeat(levels);
    assert!(matches!(object(deep(DEPTH_LIMIT - 1).as_bytes()), ObjectText::Object(_)));
    assert_eq!(object(deep(DEPTH_LIMIT).as_bytes()), WRONG_OBJECT);
    assert_eq!(object(deep(100_000).as_bytes()), WRONG_OBJECT);
}

#[test]
fn an_object_ends_at_its_limit() {
    let with_limit = |raw: &str, limit: usize| {
        with_memory(|memory| xml::object(raw.as_bytes(), limit, memory).unwrap(), ObjectText::allocated)
    };
    for raw in
        ["", "<a/>", "<a>\"&#34;</a>", "<a/><a/><b><c>x<!-- y -->&amp;</c></b>", "<a array='true'/>", "<é>\r</é>"]
    {
        let ObjectText::Object(text) = object(raw.as_bytes()) else { panic!("{raw}") };
        for limit in 0..text.len() {
            assert_eq!(with_limit(raw, limit), ObjectText::TooLong, "{raw} in {limit}");
        }
        assert_eq!(with_limit(raw, text.len()), ObjectText::Object(text), "{raw}");
        // Errors are still found.
        assert_eq!(with_limit(&format!("{raw}x"), 0), WRONG_OBJECT, "{raw}");
        assert_eq!(with_limit(&format!("<a>x{raw}<b/></a>"), 0), WRONG_OBJECT, "{raw}");
    }
}

/// 250,000 names: all equal, all different, or long and nearly equal. Quadratic time would be minutes.
#[test]
fn converts_objects_with_many_names_in_linear_time() {
    let equal = "<a/>".repeat(250_000);
    let ObjectText::Object(json) = object(equal.as_bytes()) else { panic!("an object") };
    assert_eq!(json.len(), "{\"a\":[]}".len() + 3 * 250_000 - 1);
    let different: String = (0..100_000).map(|n| format!("<n{n}/>")).collect();
    let ObjectText::Object(json) = object(different.as_bytes()) else { panic!("an object") };
    assert!(json.starts_with(r#"{"n0":"","n1":"","n2":"""#) && json.ends_with(r#","n99999":""}"#));
    let prefix = "p".repeat(1000);
    let long: String = (0..1000).map(|n| format!("<{prefix}{n}/>")).collect();
    assert!(matches!(object(long.as_bytes()), ObjectText::Object(_)));
    let attributes: String = (0..7000).map(|n| format!(" a{n}=''")).collect();
    let tags = format!("<a{attributes}/>").repeat(20);
    assert!(matches!(object(tags.as_bytes()), ObjectText::Object(_)));
}
