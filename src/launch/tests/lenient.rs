//! Different spellings of a request with the same meaning, in JSON and XML; and refusals that name the received type.

use std::rc::Rc;

use crate::{
    fields::Endpoint,
    launch::{
        receive::{body::BodyParser, items::ItemState},
        request::{BodySettings, LaunchRequest},
    },
    limits::{ITEM_DATA_LIMIT, KEY_LIMIT, Limits, SCALAR_LIMIT},
    memory::{Budget, Reservation},
    outcome::Outcome,
    problem::Problem,
    profiles::{key::IndexKey, normal::Normaliser},
};

/// Parses a body in chunks of several sizes, which must give the same result. The first byte of the body decides its format.
#[track_caller]
fn parse(endpoint: Endpoint, body: &str) -> Result<LaunchRequest, Problem> {
    let budget = Budget::new(1 << 30, 1 << 30);
    let in_chunks = |size: usize| {
        let secrets = [IndexKey::new("a key of the tests, longer than 32 characters").unwrap()].into();
        let settings = BodySettings { endpoint, format: None, limits: Limits::default(), secrets, digest_is_id: false };
        let mut parser = BodyParser::new(settings, Rc::new(Normaliser::native()), Reservation::new(&budget, 0));
        body.as_bytes().chunks(size).try_for_each(|chunk| parser.feed(chunk)).map_err(|refused| refused.problem)?;
        parser.finish(Some(body.len() as u64));
        parser.into_parsed().into_request().map(|(request, _)| request).map_err(|refused| refused.problem)
    };
    let whole = in_chunks(body.len().max(1));
    if body.len() < 1000 {
        for size in [1, 7] {
            let summarized =
                |parsed: &Result<LaunchRequest, Problem>| parsed.as_ref().map(summary).map_err(Clone::clone);
            assert_eq!(summarized(&in_chunks(size)), summarized(&whole), "in chunks of {size}: {body}");
        }
    }
    assert_eq!(budget.reserved(), 0);
    whole
}

/// All parsed values as text, for comparisons.
fn summary(request: &LaunchRequest) -> String {
    let LaunchRequest { root, trigger_id, keying, items } = request;
    let flags = [root.skip_triggers, root.report, root.strict, root.dry_run];
    let (content, custom_data) = (root.content.as_deref(), root.custom_data.as_deref());
    let data: Vec<_> = items.custom_data().map(|(at, text)| (at, str::from_utf8(text).unwrap().to_owned())).collect();
    let states: Vec<_> = items.states().collect();
    let hashes: Vec<_> = (0..).take(items.len()).map(|item| items.hash(item, 0, 0)).collect();
    format!(
        "{trigger_id} {:?} {:?} {} {:?} {flags:?} {content:?} {custom_data:?} {states:?} {data:?} {hashes:?}",
        root.token,
        root.format,
        keying.matching.name(),
        root.field_name
    )
}

/// A launch with these fields. Required fields that are missing get valid values.
fn json(endpoint: Endpoint, fields: &[(&str, &str)]) -> String {
    let name = |(name, value): &(&str, &str)| format!("\"{name}\":{value}");
    let all = with_required(endpoint, fields, ("8", r#"[{"email":"a@b.c"}]"#, r#""a@b.c""#));
    format!("{{{}}}", all.iter().map(name).collect::<Vec<_>>().join(","))
}

fn xml(endpoint: Endpoint, fields: &[(&str, &str)]) -> String {
    let element = |(name, inner): &(&str, &str)| match inner.strip_prefix('@') {
        // After an `@`: the attributes and the rest of the element.
        Some(rest) => format!("<{name} {rest}"),
        None => format!("<{name}>{inner}</{name}>"),
    };
    let all = with_required(endpoint, fields, ("8", "<email>a@b.c</email>", "a@b.c"));
    format!("<xml>{}</xml>", all.iter().map(element).collect::<String>())
}

fn with_required<'f>(
    endpoint: Endpoint,
    fields: &[(&'f str, &'f str)],
    (id, data, email): (&'f str, &'f str, &'f str),
) -> Vec<(&'f str, &'f str)> {
    let required = match endpoint {
        Endpoint::StartBatch => [("trigger_id", id), ("data", data)],
        Endpoint::Start => [("id", id), ("email", email)],
    };
    let missing = required.into_iter().filter(|(name, _)| fields.iter().all(|(given, _)| given != name));
    fields.iter().copied().chain(missing).collect()
}

const BOTH: [Endpoint; 2] = [Endpoint::StartBatch, Endpoint::Start];
const FLAGS: [&str; 4] = ["skip_triggers", "report", "strict", "dry_run"];

fn id_of(endpoint: Endpoint) -> &'static str {
    if endpoint == Endpoint::StartBatch { "trigger_id" } else { "id" }
}

#[track_caller]
fn message(endpoint: Endpoint, body: &str) -> String {
    let problem = parse(endpoint, body).expect_err(body);
    assert_eq!(problem.status(), 400, "{body}");
    problem.debug("").into_owned()
}

#[test]
fn reads_a_boolean_in_every_spelling() {
    let json_texts = [r#""true""#, r#""True""#, r#""TRUE""#, r#""\n true\t""#, r#""1""#, "1", "1.0", "1.00", "true"];
    let xml_texts = ["true", "True", "TRUE", "\n tRuE ", "1", "<![CDATA[true]]>", "&#x54;rue"];
    for endpoint in BOTH {
        for flag in FLAGS {
            let expected = summary(&parse(endpoint, &json(endpoint, &[(flag, "true")])).unwrap());
            let bodies = json_texts.iter().map(|text| json(endpoint, &[(flag, text)]));
            for body in bodies.chain(xml_texts.iter().map(|text| xml(endpoint, &[(flag, text)]))) {
                assert_eq!(summary(&parse(endpoint, &body).unwrap()), expected, "{body}");
            }
            let expected = summary(&parse(endpoint, &json(endpoint, &[])).unwrap());
            for text in ["false", r#""False""#, r#""FALSE""#, r#""0""#, "0", "0.0", "-0", "null"] {
                let body = json(endpoint, &[(flag, text)]);
                assert_eq!(summary(&parse(endpoint, &body).unwrap()), expected, "{body}");
            }
            for text in ["false", "False", "FALSE", " 0 "] {
                let body = xml(endpoint, &[(flag, text)]);
                assert_eq!(summary(&parse(endpoint, &body).unwrap()), expected, "{body}");
            }
        }
    }
}

#[test]
fn rejects_a_value_that_is_not_a_boolean_with_the_received_type() {
    for flag in FLAGS {
        for (value, received) in [
            (r#""yes""#, ""),
            (r#""""#, ""),
            ("2", ""),
            ("-1", ""),
            ("1e0", ", not a JSON number with a fraction or an exponent"),
            ("0.5", ", not a JSON number with a fraction or an exponent"),
            ("[]", ", not a JSON array"),
            ("{}", ", not a JSON object"),
        ] {
            let expected_message = message(Endpoint::StartBatch, &json(Endpoint::StartBatch, &[(flag, value)]));
            assert_eq!(expected_message, format!("{flag}: must be true or false{received}"), "{value}");
        }
        for (value, received) in [
            ("yes", ""),
            ("", ""),
            ("1.0", ""),
            ("2", ""),
            ("<a/>", ", not XML elements"),
            ("@array='true'>true</x>", ", not an XML element with array='true'"),
        ] {
            let value = value.replace("</x>", &format!("</{flag}>"));
            let expected_message = message(Endpoint::StartBatch, &xml(Endpoint::StartBatch, &[(flag, &value)]));
            assert_eq!(expected_message, format!("{flag}: must be true or false{received}"), "{value}");
        }
    }
}

#[test]
fn reads_an_integer_as_a_number_with_a_zero_fraction_or_as_text() {
    for endpoint in BOTH {
        let id = id_of(endpoint);
        for value in ["8", "8.0", "8.00", r#""8""#, r#"" 8\n""#, r#""008""#] {
            let body = json(endpoint, &[(id, value)]);
            assert_eq!(parse(endpoint, &body).unwrap().trigger_id, 8, "{body}");
        }
        for value in ["8", "\n 8 ", "<![CDATA[8]]>", "&#56;"] {
            let body = xml(endpoint, &[(id, value)]);
            assert_eq!(parse(endpoint, &body).unwrap().trigger_id, 8, "{body}");
        }
        let expected = format!("{id}: must be an integer from 1 to 9007199254740991");
        let other = ", not a JSON number with a fraction or an exponent";
        for (value, received) in [
            (r#""8.0""#, ""),
            (r#""""#, ""),
            ("0.0", ""),
            ("-8.0", ""),
            ("9007199254740992.0", ""),
            ("8e0", other),
            ("8.0e0", other),
            ("8.5", other),
            ("true", ", not a JSON boolean"),
            ("[8]", ", not a JSON array"),
            ("{}", ", not a JSON object"),
            (r#""\ud800""#, ", not a JSON string with half of a surrogate pair"),
        ] {
            assert_eq!(message(endpoint, &json(endpoint, &[(id, value)])), format!("{expected}{received}"), "{value}");
        }
        for (value, received) in [("8.0", ""), ("", ""), ("true", ""), ("<a>8</a>", ", not XML elements")] {
            assert_eq!(message(endpoint, &xml(endpoint, &[(id, value)])), format!("{expected}{received}"), "{value}");
        }
    }
}

/// `1.0` and `"1"` can be the keys of two profiles.
#[test]
fn does_not_convert_a_field_value() {
    let custom = [("matching", r#""custom""#), ("field_name", r#""f""#)];
    for (value, wrong) in [("8", false), (r#""8""#, false), (r#""8.0""#, false), ("8.0", true), ("8e0", true)] {
        let item = format!(r#"[{{"field_value":{value}}}]"#);
        let batch = json(Endpoint::StartBatch, &[custom[0], custom[1], ("data", &item)]);
        let single = json(Endpoint::Start, &[custom[0], custom[1], ("field_value", value)]);
        for (endpoint, body) in [(Endpoint::StartBatch, batch), (Endpoint::Start, single)] {
            let states: Vec<_> = parse(endpoint, &body).unwrap().items.states().collect();
            let expected = if wrong {
                ItemState::Invalid(Outcome::WrongType)
            } else {
                ItemState::Keys { first: true, second: false }
            };
            assert_eq!(states, [expected], "{body}");
        }
    }
}

#[test]
fn trims_ascii_white_space_around_a_token() {
    for endpoint in BOTH {
        for token in [r#""abc""#, r#"" abc""#, r#""abc\n""#, r#""\t\r\nabc \f""#, r#""\u0020abc\u000A""#] {
            let body = json(endpoint, &[("token", token)]);
            assert_eq!(parse(endpoint, &body).unwrap().root.token.as_deref(), Some("abc"), "{body}");
        }
        for token in ["abc", "\n abc\n", "&#32;abc&#10;", "<![CDATA[ abc ]]>"] {
            let body = xml(endpoint, &[("token", token)]);
            assert_eq!(parse(endpoint, &body).unwrap().root.token.as_deref(), Some("abc"), "{body}");
        }
        for (body, token) in [
            (json(endpoint, &[("token", r#"" \n""#)]), None),
            (json(endpoint, &[("token", r#""a b""#)]), Some("a b")),
            (json(endpoint, &[("token", r#""\u00a0abc""#)]), Some("\u{a0}abc")),
        ] {
            assert_eq!(parse(endpoint, &body).unwrap().root.token.as_deref(), token, "{body}");
        }
    }
}

/// Root fields, each with a value in XML that is not its default.
const ROOT: [(&str, &str); 10] = [
    ("token", "t"),
    ("format", "xml"),
    ("matching", "phone"),
    ("field_name", "f"),
    ("skip_triggers", "true"),
    ("report", "true"),
    ("strict", "true"),
    ("dry_run", "true"),
    ("content", "<a>1</a>"),
    ("custom_data", "<a>1</a>"),
];

#[test]
fn reads_a_nil_root_field_as_absent() {
    for endpoint in BOTH {
        let absent = summary(&parse(endpoint, &xml(endpoint, &[])).unwrap());
        for (name, value) in ROOT {
            let given = summary(&parse(endpoint, &xml(endpoint, &[(name, value)])).unwrap());
            assert_ne!(given, absent, "{name}");
            for nil in [
                "@xsi:nil='true'/>".to_owned(),
                "@xsi:nil=\"1\"/>".to_owned(),
                "@a='b' xsi:nil = ' true '\n/>".to_owned(),
                "@array='true' xsi:nil='true'/>".to_owned(),
                format!("@xsi:nil='true'></{name}>"),
                format!("@xsi:nil='true'>{value}</{name}>"),
                format!("@xsi:nil='true'>x<b/>{}</{name}>", "y".repeat(SCALAR_LIMIT)),
                format!("@xmlns:xsi='http://www.w3.org/2001/XMLSchema-instance' xsi:nil='true'></{name}>"),
            ] {
                let body = xml(endpoint, &[(name, &nil)]);
                assert_eq!(summary(&parse(endpoint, &body).unwrap()), absent, "{body:.200}");
            }
            for not in ["xsi:nil='false'", "xsi:nil='0'", "xsi:nil=''", "xsi:nil='TRUE'", "nil='true'", "i:nil='true'"]
            {
                let body = xml(endpoint, &[(name, &format!("@{not}>{value}</{name}>"))]);
                assert_eq!(summary(&parse(endpoint, &body).unwrap()), given, "{body}");
            }
            let twice = xml(endpoint, &[(name, "@xsi:nil='true'/>"), (name, value)]);
            assert_eq!(message(endpoint, &twice), format!("{name}: is given twice"));
            let twice = xml(endpoint, &[(name, value), (name, "@xsi:nil='true'/>")]);
            assert_eq!(message(endpoint, &twice), format!("{name}: is given twice"));
        }
        let id = id_of(endpoint);
        let body = xml(endpoint, &[(id, &format!("@xsi:nil='true'>8</{id}>"))]);
        assert_eq!(message(endpoint, &body), format!("{id}: is required"));
    }
}

#[test]
fn reads_a_nil_item_as_an_empty_item() {
    let states = |data: &[&str]| {
        let fields: Vec<_> = data.iter().map(|data| ("data", *data)).collect();
        parse(Endpoint::StartBatch, &xml(Endpoint::StartBatch, &fields)).unwrap().items.states().collect::<Vec<_>>()
    };
    let empty = ItemState::Invalid(Outcome::MissingField);
    let good = ItemState::Keys { first: true, second: false };
    for nil in [
        "@xsi:nil='true'/>",
        "@xsi:nil='1'></data>",
        "@xsi:nil='true'><email>a@b.c</email></data>",
        "@xsi:nil='true'>text</data>",
    ] {
        assert_eq!(states(&[nil]), [empty], "{nil}");
        assert_eq!(states(&["<email>a@b.c</email>", nil, "<email>a@b.c</email>"]), [good, empty, good], "{nil}");
    }
    assert_eq!(states(&["@xsi:nil='false'><email>a@b.c</email></data>"]), [good]);
    // Here `matching` arrives after the items.
    let body =
        "<xml><data xsi:nil='true'><phone>1</phone></data><matching>phone</matching><trigger_id>8</trigger_id></xml>";
    let request = parse(Endpoint::StartBatch, body).unwrap();
    assert_eq!(request.items.states().collect::<Vec<_>>(), [empty]);
}

#[test]
fn reads_a_nil_item_field_as_absent() {
    const FIELDS: [(&str, &str, &str); 6] = [
        ("email", "email", "a@b.c"),
        ("phone", "phone", "+1234567"),
        ("profile_id", "profile_id", "6606e08f10bcdd88297057a7"),
        ("custom", "field_value", "x"),
        ("push_sub", "provider", "p"),
        ("push_sub", "subscription_id", "s"),
    ];
    let other = |name: &str| match name {
        "provider" => "<subscription_id>s</subscription_id>",
        "subscription_id" => "<provider>p</provider>",
        _ => "",
    };
    let missing = ItemState::Invalid(Outcome::MissingField);
    for (matching, name, value) in FIELDS {
        let batch = |fields: &str| {
            let data = format!("{fields}{}", other(name));
            let fields = [("matching", matching), ("field_name", "f"), ("data", &data)];
            parse(Endpoint::StartBatch, &xml(Endpoint::StartBatch, &fields)).unwrap().items.states().collect::<Vec<_>>()
        };
        let given = format!("<{name}>{value}</{name}>");
        let nil = format!("<{name} xsi:nil='true'>{value}</{name}>");
        assert_eq!(batch(&given), [ItemState::Keys { first: true, second: false }], "{given}");
        assert_eq!(batch(&nil), [missing], "{nil}");
        assert_eq!(batch(&format!("<{name} a='1' xsi:nil=\"1\" array='true'/>")), [missing], "{name}");
        assert_eq!(batch(&given.replacen('>', " xsi:nil='false'>", 1)), batch(&given), "{name}");
        // A nil field still counts as given, so a second one is a duplicate.
        for twice in [format!("{nil}{given}"), format!("{given}{nil}"), format!("{nil}{nil}")] {
            assert_eq!(batch(&twice), [ItemState::Invalid(Outcome::WrongType)], "{twice}");
        }
        // `start` has the fields of its item at the root.
        let single = |fields: &str| {
            let fields = format!("<matching>{matching}</matching><field_name>f</field_name><id>8</id>{fields}");
            let body = format!("<xml>{fields}{}</xml>", other(name));
            parse(Endpoint::Start, &body).unwrap().items.states().collect::<Vec<_>>()
        };
        assert_eq!((single(&given), single(&nil)), (batch(&given), vec![missing]), "{name}");
    }
    let data = |custom_data: &str| {
        let data = format!("<email>a@b.c</email>{custom_data}");
        let request = parse(Endpoint::StartBatch, &xml(Endpoint::StartBatch, &[("data", &data)])).unwrap();
        let text: Vec<_> = request.items.custom_data().map(|(_, text)| text.to_vec()).collect();
        (request.items.states().next(), text)
    };
    let good = Some(ItemState::Keys { first: true, second: false });
    assert_eq!(data("<custom_data xsi:nil='true'><a/></custom_data>"), (good, vec![]));
    assert_eq!(data("<custom_data xsi:nil='true'>text</custom_data>"), (good, vec![]));
    let wrong = Some(ItemState::Invalid(Outcome::WrongType));
    assert_eq!(data("<custom_data xsi:nil='1'/><custom_data><a/></custom_data>").0, wrong);
    assert_eq!(data("<custom_data><a/></custom_data><custom_data xsi:nil='1'/>").0, wrong);
}

#[test]
fn ignores_nil_inside_content_and_custom_data() {
    let inner = "<a xsi:nil='true'/><b xsi:nil='1'>1</b><c><d xsi:nil='true'>2</d></c>";
    let expected = r#"{"a":"","b":"1","c":{"d":"2"}}"#;
    for endpoint in BOTH {
        let request = parse(endpoint, &xml(endpoint, &[("content", inner), ("custom_data", inner)])).unwrap();
        assert_eq!(request.root.content.as_deref(), Some(expected));
        assert_eq!(request.root.custom_data.as_deref(), Some(expected));
    }
    let data = format!("<email>a@b.c</email><custom_data>{inner}</custom_data>");
    let request = parse(Endpoint::StartBatch, &xml(Endpoint::StartBatch, &[("data", &data)])).unwrap();
    assert_eq!(request.items.custom_data().map(|(_, text)| text.to_vec()).collect::<Vec<_>>(), [expected.as_bytes()]);
    // `nil` on the root element has no effect.
    let body = "<xml xsi:nil='true'><trigger_id>8</trigger_id><data><email>a@b.c</email></data></xml>";
    assert_eq!(parse(Endpoint::StartBatch, body).unwrap().trigger_id, 8);
}

#[test]
fn reads_nil_attachments_and_their_members_as_absent() {
    for endpoint in BOTH {
        let absent = summary(&parse(endpoint, &xml(endpoint, &[])).unwrap());
        for nil in ["@xsi:nil='true'/>", "@xsi:nil='1'><name>a</name></attach>"] {
            assert_eq!(summary(&parse(endpoint, &xml(endpoint, &[("attach", nil)])).unwrap()), absent, "{nil}");
        }
        for (entry, expected_message) in [
            ("<name xsi:nil='true'>a</name><data>QUJD</data>", "attach[0].name: is required"),
            ("<name>a</name><data xsi:nil='true'>QUJD</data>", "attach[0].data: is required"),
            ("<name>a</name><data xsi:nil='1'/><data>QUJD</data>", "attach[0]: data is given twice"),
            ("<name xsi:nil='1'/><name>a</name><data>QUJD</data>", "attach[0]: name is given twice"),
        ] {
            assert_eq!(message(endpoint, &xml(endpoint, &[("attach", entry)])), expected_message);
        }
    }
}

#[test]
fn rejects_a_value_of_a_wrong_type_with_the_received_type() {
    let batch = |name: &str, value: &str| message(Endpoint::StartBatch, &json(Endpoint::StartBatch, &[(name, value)]));
    for field in ["content", "custom_data"] {
        for (value, received) in
            [("[]", "a JSON array"), (r#""x""#, "a JSON string"), ("1", "a JSON number"), ("false", "a JSON boolean")]
        {
            assert_eq!(batch(field, value), format!("{field}: must be an object, not {received}"));
        }
        for (value, received) in [
            ("x", "text"),
            ("x<a/>", "text"),
            ("<a/>&#120;", "text"),
            ("@array='true'/>", "an XML element with array='true'"),
        ] {
            let expected_message = message(Endpoint::StartBatch, &xml(Endpoint::StartBatch, &[(field, value)]));
            assert_eq!(expected_message, format!("{field}: must be an object, not {received}"));
        }
    }
    for field in ["token", "format", "matching", "field_name"] {
        for (value, received) in [
            ("7", "a JSON number"),
            ("7.0", "a JSON number"),
            ("true", "a JSON boolean"),
            ("[]", "a JSON array"),
            ("{}", "a JSON object"),
        ] {
            assert_eq!(batch(field, value), format!("{field}: must be a string, not {received}"));
        }
        let expected_message = message(Endpoint::StartBatch, &xml(Endpoint::StartBatch, &[(field, "<a/>")]));
        assert_eq!(expected_message, format!("{field}: must be a string, not XML elements"));
    }
    assert_eq!(batch("format", r#""yaml""#), "format: must be json or xml");
    for field in ["data", "attach"] {
        for (value, received) in
            [("{}", "a JSON object"), (r#""x""#, "a JSON string"), ("1", "a JSON number"), ("true", "a JSON boolean")]
        {
            assert_eq!(batch(field, value), format!("{field}: must be an array, not {received}"));
        }
    }
    for (entry, expected_message) in [
        ("null", "attach[0]: must be an object, not JSON null"),
        (r#""x""#, "attach[0]: must be an object, not a JSON string"),
        (r#"{"name":7,"data":"QUJD"}"#, "attach[0].name: must be a string, not a JSON number"),
        (r#"{"name":"a","data":{}}"#, "attach[0].data: must be a string, not a JSON object"),
        (
            r#"{"name":"\ud800","data":"QUJD"}"#,
            "attach[0].name: must be a string, not a JSON string with half of a surrogate pair",
        ),
        (
            r#"{"name":"a","data":"QU-D"}"#,
            "attach[0].data: a character that is not base64 at byte 2 of the value: URL-safe base64 is not accepted; send \
             '+' for '-' and '/' for '_'",
        ),
        (r#"{"name":"a","data":"data:,x"}"#, "attach[0].data: not base64; a data URI must contain \";base64,\""),
    ] {
        assert_eq!(batch("attach", &format!("[{entry}]")), expected_message);
    }
    for (entry, expected_message) in [
        ("x", "attach[0]: must be an object, not text"),
        ("<name><b/></name><data>QUJD</data>", "attach[0].name: must be a string, not XML elements"),
        ("<name>a</name><data>Q<b/></data>", "attach[0].data: must be a string, not XML elements"),
        (
            "<name array='true'>a</name><data>QUJD</data>",
            "attach[0].name: must be a string, not an XML element with array='true'",
        ),
        (
            "<name>a</name><data array='true'/>",
            "attach[0].data: must be a string, not an XML element with array='true'",
        ),
    ] {
        assert_eq!(message(Endpoint::StartBatch, &xml(Endpoint::StartBatch, &[("attach", entry)])), expected_message);
    }
}

#[test]
fn rejects_a_body_in_an_unsupported_format_with_the_detected_format() {
    for (body, expected_message) in [
        ("[{}]", "byte 0: expected a JSON object, not a JSON array; send one object"),
        (
            "token=abc&trigger_id=8",
            "byte 0: expected a JSON object, not form fields or plain text; send a JSON object or an XML document",
        ),
        ("\x1F\u{8b}", "byte 0: expected a JSON object, not gzip; send the body uncompressed"),
        (
            "<soap:Envelope xmlns:soap='x'><soap:Body/></soap:Envelope>",
            "byte 1: expected a root element named xml, not a SOAP envelope; send the request without SOAP",
        ),
        ("<!DOCTYPE html><html/>", "byte 0: a DTD (<!DOCTYPE) is not accepted; send an XML document without one"),
    ] {
        for endpoint in BOTH {
            assert_eq!(message(endpoint, body), expected_message);
        }
    }
    let problem = parse(Endpoint::StartBatch, "<?xml version='1.0' encoding='UTF-16'?><xml/>").unwrap_err();
    assert_eq!(
        (problem.status(), problem.debug("").as_ref()),
        (415, "XML declaration: unsupported encoding \"UTF-16\"; send UTF-8")
    );
}

/// A key that exceeds the limit makes its item invalid, not the request.
#[test]
fn marks_an_item_with_a_key_that_is_too_long_in_any_spelling() {
    let states = |body: &str| parse(Endpoint::StartBatch, body).unwrap().items.states().collect::<Vec<_>>();
    let long = |unit: &str, length: usize| unit.repeat(length);
    for length in [KEY_LIMIT, KEY_LIMIT + 1, SCALAR_LIMIT, 100_000] {
        let expected = match length {
            KEY_LIMIT => ItemState::Keys { first: true, second: false },
            _ => ItemState::Invalid(Outcome::TooLong),
        };
        for (json_unit, xml_unit) in [("x", "x"), ("\\u0078", "&#120;"), ("\\u0078", "<![CDATA[x]]>")] {
            let data = format!("[{{\"profile_id\":\"{}\",\"field_value\":\"{0}\"}}]", long(json_unit, length));
            let custom = [("matching", "\"custom\""), ("field_name", "\"f\""), ("data", &data)];
            assert_eq!(states(&json(Endpoint::StartBatch, &custom)), [expected], "{length} of {json_unit}");
            let data = format!("<field_value>{}</field_value>", long(xml_unit, length));
            let custom = [("matching", "custom"), ("field_name", "f"), ("data", &data)];
            assert_eq!(states(&xml(Endpoint::StartBatch, &custom)), [expected], "{length} of {xml_unit}");
        }
    }
    // A string with half of a surrogate pair has the wrong type, whatever its length.
    let data = format!("[{{\"email\":\"{}\\ud800\"}}]", long("\\u0078", SCALAR_LIMIT));
    assert_eq!(states(&json(Endpoint::StartBatch, &[("data", &data)])), [ItemState::Invalid(Outcome::WrongType)]);
}

#[test]
fn limits_the_custom_data_of_an_item_by_its_length_as_json() {
    let data = |custom_data: &str| {
        let data = format!("<email>a@b.c</email><custom_data>{custom_data}</custom_data>");
        parse(Endpoint::StartBatch, &xml(Endpoint::StartBatch, &[("data", &data)]))
    };
    let length_of =
        |request: Result<LaunchRequest, Problem>| request.unwrap().items.custom_data().next().unwrap().1.len();
    // `{"a":"…"}` has eight bytes besides the text. `{"a":["",…,""]}` has seven bytes, and three for each element.
    let text = |length: usize| format!("<a>{}</a>", "x".repeat(length - 8));
    let list = |length: usize| "<a/>".repeat((length - 7) / 3);
    let tall = |length: usize| format!("<!--{}--> <a> </a >\n", "c".repeat(length)).repeat(2);
    assert_eq!(length_of(data(&text(ITEM_DATA_LIMIT))), ITEM_DATA_LIMIT);
    assert_eq!(length_of(data(&list(ITEM_DATA_LIMIT))), ITEM_DATA_LIMIT);
    assert_eq!(length_of(data(&tall(ITEM_DATA_LIMIT))), r#"{"a":[" "," "]}"#.len(), "the limit applies to the JSON");
    let escaped = format!("<a>{}</a>", "\"".repeat((ITEM_DATA_LIMIT - 8) / 2));
    assert_eq!(length_of(data(&escaped)), ITEM_DATA_LIMIT);
    for too_long in [
        text(ITEM_DATA_LIMIT + 1),
        list(ITEM_DATA_LIMIT + 3),
        list(20 * ITEM_DATA_LIMIT),
        format!("{escaped}<b/>"),
        text(20 * ITEM_DATA_LIMIT),
    ] {
        let problem = data(&too_long).unwrap_err();
        assert_eq!(problem.debug(""), "data[0].custom_data: longer than 65536 bytes", "{:.40}", too_long);
    }
    // Text next to elements has the wrong type, whatever the length of the rest.
    let states: Vec<_> = data(&format!("{}x", list(20 * ITEM_DATA_LIMIT))).unwrap().items.states().collect();
    assert_eq!(states, [ItemState::Invalid(Outcome::WrongType)]);
}
