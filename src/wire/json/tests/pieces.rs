//! The pieces of well-formed bodies.

use super::{RecordedPiece::*, *};
use crate::limits::ATTACHMENT_NAME_LIMIT;

fn item(raw: &str) -> RecordedPiece {
    Item(raw.to_owned(), None)
}

fn plain(raw: &str, name: &str, value: &str) -> RecordedPiece {
    Item(raw.to_owned(), Some((name.to_owned(), value.to_owned())))
}

fn good(body: &str) -> Vec<RecordedPiece> {
    frame(body).into_pieces()
}

/// The pieces of `{"attach":[entry]}` between the array's and the entry's end.
fn entry(entry: &str) -> Vec<RecordedPiece> {
    let mut got = good(&format!(r#"{{"attach": [{entry}]}}"#));
    assert_eq!(got.drain(..2).collect::<Vec<_>>(), [Array(crate::fields::RootField::Attach), AttachBegin]);
    assert_eq!(got.pop(), Some(AttachEnd));
    got
}

#[test]
fn frames_the_example_of_the_specification() {
    let body = r#"{
"token": "abcdefghijklmnqrstuvwxyz",
"trigger_id": 8,
"format": "json",
"matching": "email",
"data": [
{
"email": "example1@example.com"
},
{
"email": "example2@example.com"
}
]
}
"#;
    let expected = [
        field(crate::fields::RootField::Token, r#""abcdefghijklmnqrstuvwxyz""#),
        field(crate::fields::RootField::TriggerId, "8"),
        field(crate::fields::RootField::Format, r#""json""#),
        field(crate::fields::RootField::Matching, r#""email""#),
        Array(crate::fields::RootField::Data),
        plain("{\n\"email\": \"example1@example.com\"\n}", "email", "example1@example.com"),
        plain("{\n\"email\": \"example2@example.com\"\n}", "email", "example2@example.com"),
    ];
    assert_eq!(good(body), expected);
}

#[test]
fn a_field_is_its_text_as_sent() {
    use crate::fields::RootField::*;
    for value in ["1.50e+3", "-0", "\"\\u0041\\\"\"", "null", "true", "{ \"a\" : [ 1 , {} ] }", "[]", "\"é😀\""] {
        assert_eq!(good(&format!("{{\"content\" \t:\r\n {value} }}")), [field(Content, value)]);
        assert_eq!(good(&format!("{{\"content\":{value},\"token\":0}}")), [field(Content, value), field(Token, "0")]);
        assert_eq!(good(&format!("{{\"unknown\":{value},\"token\":0}}")), [field(Token, "0")]);
    }
}

#[test]
fn names_can_contain_escapes_and_unknown_names_can_have_any_length() {
    use crate::fields::RootField::*;
    assert_eq!(good(r#"{"tok\u0065n":1}"#), [field(Token, "1")]);
    assert_eq!(good(r#"{"\u0066ormat":1,"m\u0061tching":2}"#), [field(Format, "1"), field(Matching, "2")]);
    let spelt: String = "skip_triggers".bytes().map(|byte| format!("\\u{byte:04X}")).collect();
    assert_eq!(good(&format!("{{\"{spelt}\":1}}")), [field(SkipTriggers, "1")]);
    for name in ["", "Token", "token ", "tokentokentokent", "token\\u0000", "\\ud800token", "token\\udc00", "tok😀en"]
    {
        assert_eq!(good(&format!("{{\"{name}\":1}}")), [], "{name}");
    }
    assert_eq!(good(&format!("{{\"{}\":1}}", "token".repeat(500))), []);
    let item = r#"{"email":"a","email":"b"}"#;
    assert_eq!(good(&format!(r#"{{"dat\u0061":[{item}]}}"#)), [Array(Data), Item(item.into(), None)]);
}

#[test]
fn every_field_is_known_by_its_name_at_the_endpoints_that_have_it() {
    use crate::fields::RootField::*;
    let names = Endpoint::ALL.into_iter().flat_map(|endpoint| RootField::all().filter_map(move |of| of.name(endpoint)));
    let names: Vec<_> = names.filter(|name| !["data", "attach"].contains(name)).collect();
    for endpoint in Endpoint::ALL {
        for name in &names {
            let body = format!("{{\"{name}\":1}}");
            let known = RootField::all().find(|known| known.name(endpoint) == Some(name));
            let expected: Vec<_> = known.map(|known| field(known, "1")).into_iter().collect();
            assert_eq!(frame_as(endpoint, body.as_bytes()).pieces, expected, "{name}");
        }
    }
    let got = frame_as(Endpoint::Start, br#"{"data":[{}],"trigger_id":1,"id":2,"attach":[]}"#).pieces;
    assert_eq!(got, [field(TriggerId, "2"), Array(Attach)]);
}

#[test]
fn passes_items_whole_and_recognises_plain_ones() {
    for (raw, name, value) in [
        (r#"{"email":"a@b.c"}"#, "email", "a@b.c"),
        ("{ \t\r\n\"email\" \n: \n\"a@b.c\" \t}", "email", "a@b.c"),
        (r#"{"":""}"#, "", ""),
        (r#"{"field_value":"Иван 😀"}"#, "field_value", "Иван 😀"),
        (r#"{"поле":"x"}"#, "поле", "x"),
        ("{\"a\":\"\u{7F} '{}[],:\"}", "a", "\u{7F} '{}[],:"),
    ] {
        let both = [plain(raw, name, value), plain(raw, name, value)];
        for comma in [",", " , ", "\n,\n"] {
            let got = good(&format!(r#"{{"data":[ {raw}{comma}{raw} ]}}"#));
            assert_eq!((&got[..1], &got[1..]), (&[Array(crate::fields::RootField::Data)][..], &both[..]));
        }
    }
    for raw in [
        "{}",
        "{ }",
        "null",
        "true",
        "-1.5e-7",
        "\"a\"",
        "[]",
        "[[{\"a\":[]}]]",
        r#"{"email":1}"#,
        r#"{"email":null}"#,
        r#"{"email":"a","email":"b"}"#,
        r#"{"email":"a\u0062"}"#,
        r#"{"em\u0061il":"ab"}"#,
        r#"{"email":"\ud800"}"#,
        r#"{"email":{"email":"a"}}"#,
        r#"{"email":"a","custom_data":{"x":[1,2,{"y":"z"}]}}"#,
    ] {
        let plain_one = r#"{"email":"p"}"#;
        let got = good(&format!(r#"{{"data":[{raw}, {plain_one} ,{raw},{raw}]}}"#));
        let expected = [item(raw), plain(plain_one, "email", "p"), item(raw), item(raw)];
        assert_eq!(&got[1..], &expected);
    }
}

#[test]
fn reports_data_and_attach_that_are_not_arrays() {
    for known in [crate::fields::RootField::Data, crate::fields::RootField::Attach] {
        let name = known.name(Endpoint::StartBatch).unwrap();
        let got = |value: &str| good(&format!(r#"{{"{name}": {value} , "token":1}}"#));
        let token = field(crate::fields::RootField::Token, "1");
        assert_eq!(got("[]"), [Array(known), token.clone()]);
        assert_eq!(got("[ ]"), [Array(known), token.clone()]);
        assert_eq!(got("null"), [Null(known), token.clone()]);
        for value in ["{}", "{\"a\":[1]}", "\"\"", "0", "true"] {
            assert_eq!(got(value), [NotAnArray(known), token.clone()], "{value}");
        }
    }
    let twice = good(r#"{"data":[1],"token":1,"data":null,"token":2,"attach":[],"attach":[]}"#);
    use crate::fields::RootField::*;
    let expected =
        [Array(Data), item("1"), field(Token, "1"), Null(Data), field(Token, "2"), Array(Attach), Array(Attach)];
    assert_eq!(twice, expected, "what stands twice is for the sink to judge");
}

#[test]
fn passes_the_parts_of_attachments_in_order() {
    let (name, data) = (AttachName("a.pdf".into()), AttachData(b"data:;base64,AA==".to_vec()));
    assert_eq!(entry(r#"{"name":"a.pdf","data":"data:;base64,AA=="}"#), [name.clone(), data.clone(), AttachDataEnd]);
    let escaped = r#"{ "x": [{"name":1}], "d\u0061ta" : "data:;b\u0061se64,AA==", "y": "", "n\u0061me":"a\u002epdf"}"#;
    assert_eq!(entry(escaped), [data, AttachDataEnd, name]);
    assert_eq!(entry("{}"), []);
    assert_eq!(entry(r#"{"name":null,"data":null}"#), []);
    assert_eq!(entry(r#"{"data":"","name":""}"#), [AttachData(vec![]), AttachDataEnd, AttachName(String::new())]);
    for wrong in ["1", "true", "[]", "{\"name\":\"\"}"] {
        let both = entry(&format!(r#"{{"name":{wrong},"data":{wrong}}}"#));
        assert_eq!(both, [AttachNameWrongType, AttachDataWrongType]);
    }
    for wrong in ["1", "null", "[]", "[{\"name\":\"a\"}]", "\"\""] {
        assert_eq!(entry(wrong), [AttachNotAnObject]);
    }
    let two = good(r#"{"attach":[{"name":"a"} , null,{"data":"b"}],"token":1}"#);
    let expected = [
        Array(crate::fields::RootField::Attach),
        AttachBegin,
        AttachName("a".into()),
        AttachEnd,
        AttachBegin,
        AttachNotAnObject,
        AttachEnd,
        AttachBegin,
        AttachData(b"b".to_vec()),
        AttachDataEnd,
        AttachEnd,
        field(crate::fields::RootField::Token, "1"),
    ];
    assert_eq!(two, expected);
}

#[test]
fn reports_a_member_of_an_entry_that_occurs_twice() {
    let first =
        [AttachName("a".into()), AttachDuplicate(AttachmentField::Name), AttachData(b"b".to_vec()), AttachDataEnd];
    let mut got = entry(r#"{"name":"a","name":"c","data":"b","data":"dddd","name":null,"data":[]}"#);
    assert_eq!(got.drain(..4).collect::<Vec<_>>(), first);
    assert_eq!(
        got,
        [
            AttachDuplicate(AttachmentField::Data),
            AttachDuplicate(AttachmentField::Name),
            AttachDuplicate(AttachmentField::Data)
        ]
    );
    assert_eq!(entry(r#"{"data":null,"data":"x"}"#), [AttachDuplicate(AttachmentField::Data)]);
}

#[test]
fn escapes_are_decoded_in_attachments() {
    let raw = r#"\"\\\/\b\f\n\r\t\u0041\u00e9\u20AC\ud83d\ude00a"#;
    let decoded = "\"\\/\u{8}\u{C}\n\r\tAé€😀a";
    let got = entry(&format!(r#"{{"name":"{raw}","data":"{raw}"}}"#));
    assert_eq!(got, [AttachName(decoded.into()), AttachData(decoded.into()), AttachDataEnd]);
    for (lone, decoded) in [
        (r"\ud800", "\u{FFFD}"),
        (r"\udc00x", "\u{FFFD}x"),
        (r"\ud800\ud83d\ude00", "\u{FFFD}😀"),
        (r"\ude00\ud83d", "\u{FFFD}\u{FFFD}"),
        (r"\ud83dx\ude00", "\u{FFFD}x\u{FFFD}"),
        (r"\ud83d\/\ud83d\n\ud83d\u0041", "\u{FFFD}/\u{FFFD}\n\u{FFFD}A"),
    ] {
        let got = entry(&format!(r#"{{"data":"{lone}","name":"{lone}"}}"#));
        assert_eq!(got, [AttachData(decoded.into()), AttachDataEnd, AttachNameWrongType], "{lone}");
    }
    let php = r#"{"data":"QUJD\/\/RE\/VG\/\/\/"}"#;
    assert_eq!(entry(php), [AttachData(b"QUJD//RE/VG///".to_vec()), AttachDataEnd]);
}

#[test]
fn attachment_data_need_not_be_utf_8() {
    let outcome = frame(b"{\"attach\":[{\"data\":\"\xFF\xC3(\"}]}");
    assert_eq!(outcome.result, Ok(()));
    assert_eq!(outcome.pieces[2], AttachData(b"\xFF\xC3(".to_vec()));
    let long = format!(r#"{{"attach":[{{"data":"{}\n{}"}}]}}"#, "A".repeat(1000), "B".repeat(333));
    let outcome = frame(&long);
    assert_eq!(outcome.pieces[2], AttachData(format!("{}\n{}", "A".repeat(1000), "B".repeat(333)).into_bytes()));
    assert_eq!(outcome.attachment_bytes, 1335);
}

#[test]
fn short_runs_and_long_ones_stay_in_order() {
    let runs = [1, 3, 64, 511, 512, 513, 1, 1023, 1024, 1025, 2, 500, 500, 500, 5000, 7];
    let runs = runs.into_iter().zip(b'A'..).map(|(length, letter)| vec![letter; length]);
    let runs: Vec<_> = runs.map(|run| String::from_utf8(run).unwrap()).collect();
    let got = entry(&format!("{{\"data\":\"{}\"}}", runs.join("\\/")));
    assert_eq!(got, [AttachData(runs.join("/").into_bytes()), AttachDataEnd]);
    let newlines = entry(&format!("{{\"data\":\"{}\"}}", runs.join("\\n")));
    assert_eq!(newlines, [AttachData(runs.join("\n").into_bytes()), AttachDataEnd]);
}

#[test]
fn cuts_the_name_of_an_attachment_at_its_limit() {
    let name = |name: &str| {
        let got = entry(&format!("{{\"name\":\"{name}\"}}"));
        let [AttachName(name)] = &got[..] else { panic!("{got:?}") };
        name.clone()
    };
    let limit = "n".repeat(ATTACHMENT_NAME_LIMIT);
    assert_eq!(name(&limit), limit);
    assert_eq!(name(&(limit.clone() + "xy")), limit.clone() + "x");
    assert_eq!(name(&(limit.clone() + "😀y")), limit.clone() + "😀");
    let inside = "n".repeat(ATTACHMENT_NAME_LIMIT - 1);
    assert_eq!(name(&(inside.clone() + "😀😀")), inside + "😀");
    assert_eq!(name(&"😀".repeat(ATTACHMENT_NAME_LIMIT)).len(), ATTACHMENT_NAME_LIMIT + 4);
    assert_eq!(name(&"\\u0041".repeat(ATTACHMENT_NAME_LIMIT)).len(), ATTACHMENT_NAME_LIMIT);
}

#[test]
fn counts_the_raw_bytes_of_attachment_data_only() {
    let count = |body: &str| frame(body).attachment_bytes;
    assert_eq!(count(r#"{"attach":[{"name":"four","data":"abcd"},{"data":"\/\u0041\n "}]}"#), 4 + 11);
    assert_eq!(count(r#"{"attach":[{"x":"abc","y":{"data":"abc"}}],"data":["abc"],"content":{"data":"abc"}}"#), 0);
    assert_eq!(count(r#"{"attach":[["data"],{"data":12345},{"data":["abc"]}]}"#), 0);
    assert_eq!(count(r#"{"attach":[{"data":"ab","data":"cde"}]}"#), 5, "a second one is refused, and counted");
    assert_eq!(count("{\"attach\":[{\"data\":\"abc\n\"}]}"), 3, "up to what is wrong");
    assert_eq!(count(r#"{"attach":[{"data":"ab\x"}]}"#), 3, "up to what is wrong");
    assert_eq!(count(r#"{"attach":[{"data":"abc"#), 3);
}

#[test]
fn a_field_over_its_limit_is_dropped() {
    use crate::fields::RootField::*;
    for size in [1, 5, 1000] {
        let body = br#"{"token":"12345678","content":{"a":[1,2]},"trigger_id":12345678901,"matching":"123456","data":[{"email":"12345678901234567890"}]}"#;
        let sink = &mut Recorder { field_limit: Some(10), ..Recorder::default() };
        let outcome = frame_into(sink, Endpoint::StartBatch, body.chunks(size));
        assert_eq!(outcome.result, Ok(()));
        let expected = [
            field(Token, r#""12345678""#),
            FieldTooLong(Content),
            FieldTooLong(TriggerId),
            field(Matching, r#""123456""#),
            Array(Data),
            plain(r#"{"email":"12345678901234567890"}"#, "email", "12345678901234567890"),
        ];
        assert_eq!(outcome.pieces, expected);
        assert!(sink.peak <= 45, "no more than the limit is held of a field");
    }
}
