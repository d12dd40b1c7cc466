//! The pieces of well-formed bodies.

use super::{RecordedPiece, Recorder, field, frame, frame_as, frame_into};
use crate::fields::{AttachmentField, Endpoint, KeyField, RootField};
use crate::limits::ATTACHMENT_NAME_LIMIT;

fn item(raw: &str) -> RecordedPiece {
    RecordedPiece::Item(raw.to_owned(), None)
}

fn plain(raw: &str, name: &str, value: &str) -> RecordedPiece {
    RecordedPiece::Item(raw.to_owned(), Some((name.to_owned(), value.to_owned())))
}

fn name(name: &str) -> RecordedPiece {
    RecordedPiece::AttachName(name.to_owned())
}

fn data(data: &str) -> RecordedPiece {
    RecordedPiece::AttachData(data.as_bytes().to_vec())
}

#[test]
fn frames_the_example_of_the_specification() {
    let body = "<xml>\n<token>abcdefghijklmnqrstuvwxyz</token>\n<trigger_id>85</trigger_id>\n<format>xml</format>\n\
                <matching>email</matching>\n<data>\n<email>example1@example.com</email>\n</data>\n<data>\n\
                <email>example2@example.com</email>\n</data>\n</xml>";
    let expected = [
        field(RootField::Token, "abcdefghijklmnqrstuvwxyz"),
        field(RootField::TriggerId, "85"),
        field(RootField::Format, "xml"),
        field(RootField::Matching, "email"),
        plain("\n<email>example1@example.com</email>\n", "email", "example1@example.com"),
        plain("\n<email>example2@example.com</email>\n", "email", "example2@example.com"),
    ];
    assert_eq!(frame(body).into_pieces(), expected);
}

#[test]
fn a_field_is_its_inner_markup() {
    let body = "<xml><token/><content> <a b='&lt;'>1</a><!-- - --><?p q?>\u{1F600}&#x41;<![CDATA[]]]]> </content>\
                <custom_data array='true' /><matching  ></matching\n><other><token>x</token></other></xml>";
    let expected = [
        field(RootField::Token, ""),
        field(RootField::Content, " <a b='&lt;'>1</a><!-- - --><?p q?>\u{1F600}&#x41;<![CDATA[]]]]> "),
        RecordedPiece::Field { field: RootField::CustomData, value: String::new(), marked_array: true },
        field(RootField::Matching, ""),
    ];
    assert_eq!(frame(body).into_pieces(), expected);
}

#[test]
fn each_endpoint_has_its_fields() {
    let body = "<xml><id>1</id><trigger_id>2</trigger_id><email>a@b</email><data><email>c</email></data></xml>";
    let single = frame_as(Endpoint::Start, body.as_bytes()).into_pieces();
    assert_eq!(single, [field(RootField::TriggerId, "1"), field(RootField::Key(KeyField::Email), "a@b")]);
    let batch = frame(body).into_pieces();
    assert_eq!(batch, [field(RootField::TriggerId, "2"), plain("<email>c</email>", "email", "c")]);
}

#[test]
fn accepts_comments_and_instructions_around_the_root() {
    for body in [
        "<xml/>",
        "<xml></xml>",
        "\u{FEFF}<xml/>",
        "\u{FEFF}<?xml version='1.0'?><xml/>",
        "<?xml version=\"1.0\" encoding=\"UTF-8\" standalone='no' ?>\r\n<!-- c --><?pi?><xml a='1' xmlns='urn:x'> </xml> <!----><?a b?>\n",
        "<?xml version='1.1' encoding='utf8'?>\n<xml>&#32;<![CDATA[ ]]><!-- c --><?pi?></xml>",
        " \t\r\n<xml/>",
        "<?xml-stylesheet?><xml/>",
    ] {
        assert_eq!(frame(body).into_pieces(), [], "{body}");
    }
}

#[test]
fn passes_items_of_every_form() {
    let shapes = [
        plain("<email>a@b</email>", "email", "a@b"),
        plain("\t\r\n <email> a </email> ", "email", " a "),
        plain("<email></email>", "email", ""),
        plain("<email>Привет > \u{1F600}\u{FFFD}</email>", "email", "Привет > \u{1F600}\u{FFFD}"),
        plain("<unknown-1.x>a</unknown-1.x>", "unknown-1.x", "a"),
        plain("<_>0123456789012345678901234567890123456789</_>", "_", "0123456789012345678901234567890123456789"),
        item(""),
        item(" "),
        item("text"),
        item("<email/>"),
        item("<email >a</email>"),
        item("<email>a</email >"),
        item("<email>a&amp;b</email>"),
        item("<email>a]b</email>"),
        item("<email>a\rb</email>"),
        item("<email><![CDATA[a]]></email>"),
        item("<email>a</email><!---->"),
        item("<email>a</email>x"),
        item("<email a='1'>a</email>"),
        item("<имя>a</имя>"),
        item("<a>a</a><b>b</b>"),
        item(" <a>a</a> <b></b>\n<a>\u{E9}</a> "),
        item("<a>a</a><b>b</b><c/>"),
        item("<a>a</a><b>&lt;</b>"),
        item("<a><b>c</b></a>"),
        item("<data><email>a</email></data>"),
    ];
    let mut body = "<xml>".to_owned();
    for shape in &shapes {
        let RecordedPiece::Item(raw, _) = shape else { continue };
        body += &format!("<data>{raw}</data>");
    }
    // After an item that is not flat, the fast path applies to the next ones again.
    body += "\n<data/><data a='1'>x</data><data >y</data>\n</xml>";
    let got = frame(&body).into_pieces();
    let (first, last) = got.split_at(shapes.len());
    assert_eq!(first, shapes);
    assert_eq!(last, [item(""), item("x"), item("y")]);
}

#[test]
fn passes_the_parts_of_attachments_in_order() {
    let body = "<xml><attach><name>a&amp;b\r\n.txt</name><data>QU<![CDATA[JD]]]><!-- x -->&#69;\r\n RA==]</data></attach>\
                <attach><data/><name/></attach><attach/><attach array='true'> <![CDATA[ ]]> </attach></xml>";
    let outcome = frame(body);
    assert_eq!(outcome.attachment_bytes, "QUJD]&#69;\r\n RA==]".len() as u64);
    let expected = [
        RecordedPiece::AttachBegin,
        name("a&b\n.txt"),
        data("QUJD]E\r\n RA==]"),
        RecordedPiece::AttachDataEnd,
        RecordedPiece::AttachEnd,
        RecordedPiece::AttachBegin,
        data(""),
        RecordedPiece::AttachDataEnd,
        name(""),
        RecordedPiece::AttachEnd,
        RecordedPiece::AttachBegin,
        RecordedPiece::AttachEnd,
        RecordedPiece::AttachBegin,
        RecordedPiece::AttachEnd,
    ];
    assert_eq!(outcome.into_pieces(), expected);
}

#[test]
fn reports_invalid_attachments() {
    let cases: [(&str, &[RecordedPiece]); 12] = [
        ("x", &[RecordedPiece::AttachNotAnObject]),
        (" &#65; <![CDATA[x]]>y", &[RecordedPiece::AttachNotAnObject]),
        (
            "<name>a</name>x<data>b</data>",
            &[name("a"), RecordedPiece::AttachNotAnObject, data("b"), RecordedPiece::AttachDataEnd],
        ),
        ("<name>a<b/></name>", &[RecordedPiece::AttachNameWrongType]),
        ("<name array='true'>a</name>", &[RecordedPiece::AttachNameWrongType]),
        ("<name>a</name><name><b/></name>", &[name("a"), RecordedPiece::AttachDuplicate(AttachmentField::Name)]),
        ("<data>a<b>c</b>d<b/></data>", &[data("a"), RecordedPiece::AttachDataWrongType]),
        ("<data array='true'>a<b/></data>", &[RecordedPiece::AttachDataWrongType]),
        (
            "<data>a</data><data>b<c/></data>",
            &[data("a"), RecordedPiece::AttachDataEnd, RecordedPiece::AttachDuplicate(AttachmentField::Data)],
        ),
        ("<other>x<data>a</data></other><other/>", &[]),
        ("<data>a<data>b</data></data>", &[data("a"), RecordedPiece::AttachDataWrongType]),
        ("<attach><name>a</name></attach>", &[]),
    ];
    for (entry, expected) in cases {
        let got = frame(format!("<xml><attach>{entry}</attach></xml>")).into_pieces();
        assert_eq!(got.first(), Some(&RecordedPiece::AttachBegin), "{entry}");
        assert_eq!(got.last(), Some(&RecordedPiece::AttachEnd), "{entry}");
        assert_eq!(&got[1..got.len() - 1], expected, "{entry}");
    }
    let twice = frame("<xml><attach><data>ab</data><data>cde</data></attach></xml>");
    assert_eq!(twice.attachment_bytes, 5, "a second value is attachment data too");
}

#[test]
fn normalises_line_ends_in_names() {
    for (sent, expected) in [
        ("a\r\nb", "a\nb"),
        ("a\rb\r", "a\nb\n"),
        ("a\r\r\n\nb", "a\n\n\nb"),
        ("a&#13;\nb", "a\r\nb"),
        ("a\r&#10;b", "a\n\nb"),
        ("a\r<![CDATA[\n]]>b", "a\n\nb"),
        ("<![CDATA[a\r\nb]]>", "a\nb"),
    ] {
        let got = frame(format!("<xml><attach><name>{sent}</name></attach></xml>")).into_pieces();
        assert_eq!(got[1], name(expected), "{sent:?}");
    }
}

#[test]
fn cuts_long_names_of_attachments() {
    for (unit, length) in [("a", 1), ("é", 2), ("€", 3), ("\u{1F600}", 4)] {
        for more in [0, 1, 5] {
            let sent = unit.repeat(ATTACHMENT_NAME_LIMIT / length + more);
            let got = frame(format!("<xml><attach><name>{sent}</name></attach></xml>")).into_pieces();
            let RecordedPiece::AttachName(got) = &got[1] else { panic!("{got:?}") };
            assert!(sent.starts_with(got.as_str()));
            assert_eq!(got.len() > ATTACHMENT_NAME_LIMIT, sent.len() > ATTACHMENT_NAME_LIMIT);
            assert!(got.len() <= ATTACHMENT_NAME_LIMIT + 4);
        }
    }
}

#[test]
fn passes_cdata_that_is_cut_at_any_byte() {
    // `frame` splits at every byte.
    for inner in ["", "]", "]]", "]]]", "] ]>", "]>", "a]]b", "]]]a]", "<&>", "-->", "]]]]]]]]", "é]€]]"] {
        let got = frame(format!("<xml><attach><data><![CDATA[{inner}]]></data></attach></xml>"));
        assert_eq!(got.attachment_bytes, inner.len() as u64);
        assert_eq!(got.into_pieces()[1], data(inner));
    }
}

#[test]
fn accepts_fields_up_to_their_limit() {
    let value = "x".repeat(100);
    for (length, too_long) in [(99, false), (100, false), (101, true), (500, true)] {
        let value = value.repeat(5)[..length].to_owned();
        let body = format!("<xml><token>{value}</token  ><data>{value}</data></xml>");
        let expected = [
            if too_long { RecordedPiece::FieldTooLong(RootField::Token) } else { field(RootField::Token, &value) },
            item(&value),
        ];
        for size in [1, 2, 3, 7, 50, 99, 100, 101, 102, 103, 106, 107, 108, 109, 110, 1000] {
            let sink = &mut Recorder { field_limit: Some(100), ..Recorder::default() };
            let got = frame_into(sink, Endpoint::StartBatch, body.as_bytes().chunks(size)).into_pieces();
            assert_eq!(got, expected, "chunks of {size}");
        }
    }
}
