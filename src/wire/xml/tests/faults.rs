//! Syntax errors and their offsets.

use super::{RecordedPiece, frame, frame_as, frame_whole};
use crate::fields::Endpoint;
use crate::limits::{DEPTH_LIMIT, NAME_LIMIT};
use crate::wire::FrameError;

/// Checks that the error is at the mark `¦`, which is removed from the body, and that its message contains `words`.
fn fault(marked: &str, words: &str) {
    let at = marked.find('¦').expect("a mark");
    let body = marked.replace('¦', "");
    let outcome = frame(&body);
    let (found, what) = outcome.error();
    assert!(what.contains(words), "{body:?}: {what}");
    assert_eq!(found, at as u64, "{body:?}: {what}");
}

#[test]
fn reports_errors_of_the_document() {
    for body in ["¦", " ¦", "<!-- --> ¦"] {
        fault(body, "before the root element begins");
    }
    fault("¦x", "expected '<'");
    fault("¦{}", "expected '<'");
    fault("¦&amp;<xml/>", "expected '<'");
    fault("¦\u{FEFE}<xml/>", "expected '<'");
    fault("\u{FEFF}¦\u{FEFF}<xml/>", "expected '<'");
    fault("<¦root/>", "root element named xml");
    fault("<¦Xml></Xml>", "root element named xml, in lower case and without a prefix");
    fault("<¦a:xml/>", "root element named xml, in lower case and without a prefix");
    for envelope in ["Envelope", "soap:Envelope", "SOAP-ENV:Envelope xmlns:SOAP-ENV='x'"] {
        fault(&format!("<¦{envelope}/>"), "not a SOAP envelope; send the request without SOAP");
    }
    fault("<¦html/>", "root element named xml, not HTML");
    fault("<¦HTML/>", "root element named xml, not HTML");
    fault("¦{\"trigger_id\":8}", "not JSON; send Content-Type: application/json");
    fault("¦[]", "not JSON; send Content-Type: application/json");
    fault("¦trigger_id=8", "not form fields or plain text; send a JSON object or an XML document");
    fault("¦--x", "not a multipart body");
    fault("<¦\0x\0m\0l\0>\0", "expected UTF-8, not UTF-16");
    fault("<xml/>¦<xml/>", "second root");
    fault("<xml></xml>¦<a>", "second root");
    fault("<xml/>¦x", "after the root");
    fault("<xml/> ¦&#32;", "after the root");
    fault("<xml/><!¦[CDATA[ ]]>", "expected '<!--'");
    fault("<xml/>¦</xml>", "innermost");
    fault("¦</xml>", "innermost");
    fault("<xml>  ¦x<data/></xml>", "directly in the root");
    fault("<xml>¦&#65;</xml>", "directly in the root");
    fault("<xml><![CDATA[ ¦x]]></xml>", "directly in the root");
    fault("¦<!DOCTYPE xml><xml/>", "DTD");
    fault("¦<!doctype html><html/>", "DTD");
    fault("<xml>¦<!DOCTYPE x></xml>", "DTD");
    for (body, words) in [
        (&b"\x1F\x8B\x08\0"[..], "not gzip; send the body uncompressed"),
        (b"\xFF\xFE<\0", "not UTF-16; send UTF-8"),
        (b"\xFE\xFF\0<", "not UTF-16; send UTF-8"),
        (b"\0<\0x", "not UTF-16; send UTF-8"),
    ] {
        let outcome = frame(body);
        let (at, what) = outcome.error();
        assert!(at == 0 && what.starts_with("expected '<'") && what.contains(words), "{at}: {what}");
    }
    let laughs = "¦<!DOCTYPE xml [<!ENTITY a 'ha'><!ENTITY b '&a;&a;'>]><xml>&b;</xml>";
    fault(laughs, "DTD");
}

#[test]
fn reports_errors_of_the_declaration() {
    fault(
        " ¦<?xml version='1.0'?><xml/>".replace('¦', "").replacen("<?", "<?¦", 1).as_str(),
        "not at the start of the document",
    );
    fault("<?¦XML version='1.0'?><xml/>", "not at the start of the document");
    fault("<xml><?¦xml version='1.0'?></xml>", "not at the start of the document");
    fault("<?xml¦?><xml/>", "without a version");
    fault("<?xml¦ encoding='utf-8'?><xml/>", "without a version");
    fault("<?xml¦ version='2.0'?><xml/>", "1.x");
    fault("<?xml¦ version='1.'?><xml/>", "1.x");
    fault("<?xml version=¦1.0?><xml/>", "quotes");
    fault("<?xml version¦'1.0'?><xml/>", "'='");
    fault("<?xml version='1.0'¦encoding='utf-8'?><xml/>", "expected '?>'");
    fault("<?xml version='1.0'¦ standalone='maybe'?><xml/>", "standalone");
    fault("<?xml version='1.0' standalone='no' ¦encoding='utf-8'?><xml/>", "expected '?>'");
    fault("<?xml version='1.0'¦ encoding='é'?><xml/>", "an invalid name of an encoding");
    for encoding in ["UTF-8", "utf8", "US-ASCII", "ascii"] {
        assert_eq!(frame(format!("<?xml version='1.0' encoding='{encoding}'?><xml/>")).result, Ok(()), "{encoding}");
    }
    for encoding in ["windows-1251", "UTF-16", "latin1"] {
        let body = format!("<?xml version='1.0' encoding=\"{encoding}\"?><xml>\u{1}");
        assert_eq!(frame(body).result, Err(FrameError::Encoding(encoding.to_owned())));
    }
}

#[test]
fn reports_errors_of_tags() {
    fault("<xml><¦1/></xml>", "name of an element");
    fault("<xml><¦ a/></xml>", "name of an element");
    fault("<xml><¦></xml>", "name of an element");
    fault("<xml><a¦!/></xml>", "white space");
    fault("<xml><a ¦/ ></a></xml>", "an attribute");
    fault("<xml><a b¦></a></xml>", "'='");
    fault("<xml><a b¦ ></a></xml>".replace('¦', "").replace(" >", " ¦>").as_str(), "'='");
    fault("<xml><a b=¦c></a></xml>", "in quotes");
    fault("<xml><a b='c'¦d='e'/></xml>", "white space");
    fault("<xml><a b='c' ¦b='e'/></xml>", "a second attribute");
    fault("<xml><a b='x¦<y'/></xml>", "'<' inside a tag");
    fault("<xml><a ¦<b/></xml>", "'<' inside a tag");
    fault("<xml></xml ¦<!---->", "'<' inside a tag");
    fault("<xml><a b='¦&'/></xml>", "&amp;");
    fault("<xml><a b='¦&x;'/></xml>", "&amp;");
    fault("<xml><a b='é¦&#0;'/></xml>", "character reference");
    fault("<xml><a b='é¦\u{1}'/></xml>", "does not allow");
    fault("<xml><a b='é¦\u{FFFE}'/></xml>", "does not allow");
    fault("<xml><a>¦</b></xml>", "innermost");
    fault("<xml><a>¦</A></xml>", "innermost");
    fault("<xml><a>¦</aa></xml>", "innermost");
    fault("<xml><a>¦</ a></xml>", "innermost");
    fault("<xml><a>¦</a/></xml>", "innermost");
    fault("<xml><a>¦</a b='c'></xml>", "innermost");
    fault("<xml><a>¦</xml>", "innermost");
    let many: String = (0..20).map(|n| format!(" a{n}=''")).collect();
    fault(&format!("<xml><¦x{many} a3=''/></xml>"), "two attributes of the same name");
}

#[test]
fn reports_errors_of_character_data() {
    fault("<xml><a>]]¦></a></xml>", "]]>");
    fault("<xml><a>]]]]¦></a></xml>", "]]>");
    fault("<xml><a>x¦\u{0}</a></xml>", "control");
    fault("<xml><a>0123456789012345678901234567890123456789¦\u{1F}</a></xml>", "control");
    fault("<xml><data><email>a¦\u{B}</email></data></xml>", "control");
    fault("<xml><attach><data>QUJD¦\u{8}</data></attach></xml>", "control");
    fault("<xml><a><![CDATA[]]¦\u{1}]]></a></xml>", "control");
    fault("<xml><!-- ¦\u{1} --></xml>", "control");
    fault("<xml><?a ¦\u{1}?></xml>", "does not allow");
    fault("<xml><?¦ a?></xml>", "target");
    fault("<xml><?a¦!?></xml>", "white space");
    fault("<xml><!-- a --¦ b --></xml>", "'--'");
    fault("<xml><!-- a --¦-></xml>", "'--'");
    fault("<xml><!¦x></xml>", "expected '<!--'");
    fault("<xml><!-¦x></xml>", "expected '<!--'");
    fault("<xml><![CDAT¦X[]]></xml>", "expected '<!--'");
    fault("<!¦[CDATA[]]><xml/>", "expected '<!--'");
    for fine in ["]] >", "]>", ">", "]]<!---->>", "]]&gt;", "]<![CDATA[]]]>", "\u{7F}\u{85}\u{FFFD}\u{10FFFF}"] {
        assert_eq!(frame(format!("<xml><a>{fine}</a></xml>")).result, Ok(()), "{fine}");
    }
}

#[test]
fn reports_errors_of_references() {
    for bad in [
        "&;",
        "&#;",
        "&#x;",
        "&#X41;",
        "&#xG;",
        "&#12a;",
        "& ",
        "&<",
        "&nbsp;",
        "&AMP;",
        "&quott;",
        "&amp",
        "&#38",
        "&lt ;",
        "&ampersand;",
        "&é;",
    ] {
        fault(&format!("<xml><a>x¦{bad}</a></xml>"), "&amp;");
    }
    let zeros = "0".repeat(500);
    for illegal in
        ["0", "x0", "8", "xD800", "xDFFF", "xFFFE", "xFFFF", "x110000", "xFFFFFFFFFF", "99999999999999999999"]
    {
        fault(&format!("<xml><a>x¦&#{illegal};</a></xml>"), "character reference");
    }
    for fine in ["&amp;", "&lt;&gt;&quot;&apos;", "&#65;", "&#x1F600;", "&#x10ffFF;", &format!("&#{zeros}65;")] {
        assert_eq!(frame(format!("<xml><a b='{fine}'>{fine}</a></xml>")).result, Ok(()), "{fine}");
    }
}

#[test]
fn rejects_bytes_that_are_not_utf_8() {
    let bad: [(&[u8], u64); 12] = [
        (b"\x80", 0),
        (b"\xC0\x80", 0),
        (b"\xC1\xBF", 0),
        (b"\xC3(", 1),
        (b"\xE0\x9F\x80", 1),
        (b"\xE2\x82", 2),
        (b"\xED\xA0\x80", 1),
        (b"\xF0\x8F\x80\x80", 1),
        (b"\xF4\x90\x80\x80", 1),
        (b"\xF5\x80\x80\x80", 0),
        (b"\xEF\xBF\xBE", 2),
        (b"\xFF", 0),
    ];
    let places: [(&str, &str); 6] = [
        ("<xml><a>", "</a></xml>"),
        ("<xml><!--", "--></xml>"),
        ("<xml><a><![CDATA[", "]]></a></xml>"),
        ("<xml><attach><data>", "</data></attach></xml>"),
        ("<xml><data><email>", "</email></data></xml>"),
        ("<xml><attach><name>", "</name></attach></xml>"),
    ];
    for (before, after) in places {
        for (bytes, at) in bad {
            let body = [before.as_bytes(), "é".as_bytes(), bytes, after.as_bytes()].concat();
            let outcome = frame(&body);
            assert_eq!(outcome.error().0, before.len() as u64 + 2 + at, "{}", body.escape_ascii());
            assert!(outcome.error().1.contains("UTF-8"));
        }
    }
    for (bytes, _) in bad {
        let body = [b"<xml><a b='", bytes, b"'/></xml>"].concat();
        assert_eq!(frame(&body).error().0 / 2, 5, "{}", body.escape_ascii());
        frame([b"<xml><?a ", bytes, b"?></xml>"].concat()).error();
        frame([b"<xml><", bytes, b"/></xml>"].concat()).error();
    }
}

#[test]
fn rejects_a_body_that_ends_early() {
    let body = "<?xml version='1.0'?><!-- c --><xml a='b'><token>&#65;x</token><attach><data>é<![CDATA[]]]></data>\
                </attach><data><email>a</email></data></xml> ";
    let whole = frame(body).into_pieces();
    let end = body.len() - 1;
    for length in 0..end {
        let outcome = frame_as(Endpoint::StartBatch, &body.as_bytes()[..length]);
        assert_eq!(outcome.error().0, length as u64);
        assert!(outcome.error().1.starts_with("the body ends"), "{:?}", outcome.error());
        // Only runs of attachment data arrive in parts; every other piece is complete.
        let data = |got: &RecordedPiece| matches!(got, RecordedPiece::AttachData(_));
        assert!(outcome.pieces.iter().zip(&whole).all(|(got, whole)| got == whole || data(got)));
    }
}

#[test]
fn rejects_a_body_with_too_many_levels() {
    let nested = |levels: usize, leaf: &str| {
        let (open, close) = ("<a>".repeat(levels - 1), "</a>".repeat(levels - 1));
        format!("<xml>{open}{leaf}{close}</xml>")
    };
    assert_eq!(frame(nested(DEPTH_LIMIT, "x")).result, Ok(()));
    assert_eq!(frame(nested(DEPTH_LIMIT - 1, "<b/>")).result, Ok(()));
    let at = ("<xml>".len() + 3 * (DEPTH_LIMIT - 1)) as u64;
    for too_deep in [nested(DEPTH_LIMIT, "<b/>"), nested(DEPTH_LIMIT + 1, "")] {
        let outcome = frame(too_deep);
        assert_eq!(outcome.error().0, at);
        assert!(outcome.error().1.contains("deeper"));
    }
    frame_whole(Endpoint::StartBatch, nested(1_000_000, "").as_bytes()).error();
}

#[test]
fn rejects_a_tag_over_the_limit() {
    let tag = |length: usize| format!("<{}>", "a".repeat(length - 2));
    for (length, fine) in [(NAME_LIMIT - 1, true), (NAME_LIMIT, true), (NAME_LIMIT + 1, false), (10 << 20, false)] {
        let tag = tag(length);
        let body = format!("<xml>{tag}</xml>");
        for size in [1000, 65_536, usize::MAX] {
            let got =
                super::frame_into(&mut super::Recorder::default(), Endpoint::StartBatch, body.as_bytes().chunks(size));
            let words = if fine { "innermost" } else { "longer than 65536" };
            assert!(got.error().1.contains(words), "{length}: {:?}", got.error());
            assert_eq!(got.error().0, if fine { 5 + length as u64 } else { 5 });
        }
    }
    for start in ["<xml><a b='", "<xml><?a ", "<xml></", "<xml><a "] {
        let body = start.to_owned() + &" ".repeat(NAME_LIMIT + 100);
        for size in [1, 100, 65_530, usize::MAX] {
            let got =
                super::frame_into(&mut super::Recorder::default(), Endpoint::StartBatch, body.as_bytes().chunks(size));
            assert!(got.error().1.contains("longer than 65536"), "{:?}", got.error());
            assert_eq!(got.error().0, 5);
        }
    }
}

#[test]
fn checks_a_million_attributes_in_linear_time() {
    let attributes: String = (0..1_000_000).map(|n| format!(" a{n}=''")).collect();
    let outcome = frame_whole(Endpoint::StartBatch, format!("<xml><a{attributes}/></xml>").as_bytes());
    assert!(outcome.error().1.contains("longer than 65536"));
    // Many tags with as many attributes as fit. Comparing each pair would be slow.
    let attributes: String = (0..7_000).map(|n| format!(" a{n}=''")).collect();
    let tag = format!("<a{attributes}/>");
    assert!(tag.len() <= NAME_LIMIT);
    let body = format!("<xml>{}</xml>", tag.repeat(50));
    assert_eq!(frame_whole(Endpoint::StartBatch, body.as_bytes()).result, Ok(()));
}
