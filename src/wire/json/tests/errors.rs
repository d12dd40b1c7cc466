//! Syntax errors: their offsets and messages.

use super::*;

/// Checks the error of a body in every chunking.
#[track_caller]
fn fault(body: impl AsRef<[u8]>, at: u64, what: &str) {
    assert_eq!(frame(&body).error(), (at, what), "{}", body.as_ref().escape_ascii());
}

#[test]
fn reports_errors_of_the_grammar() {
    fault("[]", 0, "expected a JSON object, not a JSON array; send one object");
    fault(" \"{}\"", 1, "expected a JSON object, not a JSON string");
    fault("8", 0, "expected a JSON object, not a JSON number");
    fault("?", 0, "expected a JSON object, found `?`");
    fault("{,}", 1, "expected a member's name or `}`, found `,`");
    fault("{a:1}", 1, "expected a member's name or `}`, found `a`");
    fault("{\"a\":1,}", 7, "expected a member's name, found `}`");
    fault("{\"a\" 1}", 5, "expected `:` after a member's name, found `1`");
    fault("{\"a\":}", 5, "expected a value, found `}`");
    fault("{\"a\":'b'}", 5, "expected a value, found `'`");
    fault("{\"token\":?}", 9, "expected a value, found `?`");
    fault("{\"data\":?}", 8, "expected a value, found `?`");
    fault("{\"data\":[?]}", 9, "expected a value or `]`, found `?`");
    fault("{\"attach\":[{\"name\":?}]}", 19, "expected a value, found `?`");
    fault("{\"a\":[1,]}", 8, "expected a value, found `]`");
    fault("{\"a\":[,1]}", 6, "expected a value or `]`, found `,`");
    fault("{\"a\":[1 2]}", 8, "expected `,` or `]` after an array's entry, found `2`");
    fault("{\"a\":[1}}", 7, "expected `,` or `]` after an array's entry, found `}`");
    fault("{\"a\":{]}}", 6, "expected a member's name or `}`, found `]`");
    fault("{\"a\":1]", 6, "expected `,` or `}` after a member, found `]`");
    fault("{\"a\":1 \"b\":2}", 7, "expected `,` or `}` after a member, found `\"`");
    fault("{} {}", 3, "expected nothing after the end of the document, found `{`");
    fault("{}\0", 2, "expected nothing after the end of the document, found byte 0x00");
    fault("{\x0B}", 1, "expected a member's name or `}`, found byte 0x0B");
    fault("{\u{A0}}", 1, "expected a member's name or `}`, found byte 0xC2");
    fault("{\"data\":[{\"email\":\"a\"},,]}", 23, "expected a value, found `,`");
    fault("{\"data\":[{\"email\":\"a\"},]}", 23, "expected a value, found `]`");
    fault(
        "{\"data\":[{\"email\":\"a\"}{\"email\":\"a\"}]}",
        22,
        "expected `,` or `]` after an array's entry, found `{`",
    );
    fault("{\"data\":[{\"email\":\"a\",}]}", 22, "expected a member's name, found `}`");
}

#[test]
fn names_the_format_of_a_body_that_is_not_json() {
    let form = "expected a JSON object, not form fields or plain text; send a JSON object or an XML document";
    fault("token=abc&trigger_id=8", 0, form);
    fault("%7B%22token%22", 0, form);
    fault("true", 0, form);
    fault("<xml/>", 0, "expected a JSON object, not XML; send Content-Type: application/xml");
    fault(
        "--boundary\r\n",
        0,
        "expected a JSON object, not a multipart body; send a JSON object or an XML document, with files as base64",
    );
    fault(b"\x1F\x8B\x08\x00", 0, "expected a JSON object, not gzip; send the body uncompressed");
    for utf_16 in [&b"\xFF\xFE{\0}\0"[..], b"\xFE\xFF\0{\0}", b"\0{\0}"] {
        fault(utf_16, 0, "expected a JSON object, not UTF-16; send UTF-8");
    }
    fault(b"{\0\"\0", 1, "expected UTF-8, not UTF-16");
}

#[test]
fn reports_errors_of_literals_and_numbers() {
    fault("{\"a\":nul}", 8, "expected `true`, `false` or `null`, found `}`");
    fault("{\"a\":True}", 5, "expected a value, found `T`");
    fault("{\"a\":truE}", 8, "expected `true`, `false` or `null`, found `E`");
    fault("{\"a\":nullx}", 9, "expected `,` or `}` after a member, found `x`");
    fault("{\"a\":NaN}", 5, "expected a value, found `N`");
    fault("{\"a\":01}", 6, "a number has no leading zeros");
    fault("{\"a\":-01}", 7, "a number has no leading zeros");
    fault("{\"a\":+1}", 5, "expected a value, found `+`");
    fault("{\"a\":.5}", 5, "expected a value, found `.`");
    for number in ["-", "1.", "1.e", "1e", "1e+", "-x", "1.0E-"] {
        let at = 5 + number.trim_end_matches('x').len() - usize::from(number == "1.e");
        let found = number.chars().nth(at - 5).unwrap_or('}');
        fault(format!("{{\"a\":{number}}}"), at as u64, &format!("expected a digit in a number, found `{found}`"));
    }
    fault("{\"a\":1x}", 6, "expected `,` or `}` after a member, found `x`");
    fault("{\"a\":0x10}", 6, "expected `,` or `}` after a member, found `x`");
    for (number, at) in [("1e5.5", 8), ("1e5e5", 8), ("1E+5+5", 9), ("1.5e5.", 10), ("-0e0-", 9), ("0.0-1", 8)] {
        let what = format!("expected `,` or `}}` after a member, found `{}`", &number[at - 5..=at - 5]);
        fault(format!("{{\"a\":{number}}}"), at as u64, &what);
    }
    fault("{\"a\":1.5.5}", 8, "expected `,` or `}` after a member, found `.`");
}

/// Puts a string into every position where strings are read.
fn everywhere(inside: &[u8], except_data: bool) -> Vec<(usize, Vec<u8>)> {
    let places: [(&[u8], &[u8]); 9] = [
        (b"{\"", b"\":1}"),
        (b"{\"a\":\"", b"\"}"),
        (b"{\"a\":[{\"", b"\":1}]}"),
        (b"{\"token\":\"", b"\"}"),
        (b"{\"data\":[{\"email\":\"", b"\"}]}"),
        (b"{\"data\":[{\"", b"\":\"email\"}]}"),
        (b"{\"attach\":[{\"", b"\":1}]}"),
        (b"{\"attach\":[{\"name\":\"", b"\"}]}"),
        (b"{\"attach\":[{\"data\":\"", b"\"}]}"),
    ];
    let places = places.iter().take(if except_data { 8 } else { 9 });
    places.map(|(before, after)| (before.len(), [before, inside, after].concat())).collect()
}

#[test]
fn reports_errors_of_strings() {
    for (inside, at, what) in [
        ("a\nb", 1, "expected control characters in strings as escapes, found byte 0x0A"),
        ("\0", 0, "expected control characters in strings as escapes, found byte 0x00"),
        ("0123456789012345678\x1F", 19, "expected control characters in strings as escapes, found byte 0x1F"),
        ("\\x41", 1, "expected an escape after `\\`, found `x`"),
        ("\\'", 1, "expected an escape after `\\`, found `'`"),
        ("\\\n", 1, "expected an escape after `\\`, found byte 0x0A"),
        ("\\U0041", 1, "expected an escape after `\\`, found `U`"),
        ("\\u004g", 5, "expected four hexadecimal digits after `\\u`, found `g`"),
        ("\\u+041", 2, "expected four hexadecimal digits after `\\u`, found `+`"),
        ("\\u41", 4, "expected four hexadecimal digits after `\\u`, found `\"`"),
        ("\\ud83d\\u", 8, "expected four hexadecimal digits after `\\u`, found `\"`"),
    ] {
        for (before, body) in everywhere(inside.as_bytes(), false) {
            fault(body, (before + at) as u64, what);
        }
    }
}

#[test]
fn rejects_strings_that_are_not_utf_8() {
    for (inside, at) in [
        (&b"\x80"[..], 0),
        (b"a\xFF", 1),
        (b"\xC3", 1),
        (b"\xC3\\n", 1),
        (b"\xC0\x80", 0),
        (b"\xC1\xBF", 0),
        (b"\xE0\x9F\xBF", 1),
        (b"\xE2\x82", 2),
        (b"\xE2\x82a", 2),
        (b"\xED\xA0\x80", 1),
        (b"\xF0\x8F\xBF\xBF", 1),
        (b"\xF4\x90\x80\x80", 1),
        (b"\xF5\x80\x80\x80", 0),
        (b"\xF0\x9F\x98\xC3", 3),
        (b"0123456789\xD0\x98\xD0\x98\xBF", 14),
    ] {
        let wrong = inside.get(at).copied().unwrap_or(b'"');
        for (before, body) in everywhere(inside, true) {
            let found =
                if wrong.is_ascii() { format!("`{}`", char::from(wrong)) } else { format!("byte 0x{wrong:02X}") };
            fault(body, (before + at) as u64, &format!("expected UTF-8, found {found}"));
        }
    }
    for good in ["é", "߿", "ࠀ", "퟿", "\u{E000}", "\u{FFFF}", "𐀀", "\u{10FFFF}", "aéb€c😀d", "Иван Иванович"]
    {
        for (_, body) in everywhere(good.as_bytes(), false) {
            assert_eq!(frame(&body).result, Ok(()), "{good}");
        }
    }
}

#[test]
fn rejects_a_body_with_too_many_levels() {
    let nested = |open: &str, levels: usize, close: &str| {
        format!("{{\"a\":{}1{}}}", open.repeat(levels - 1), close.repeat(levels - 1))
    };
    assert_eq!(frame(nested("[", 64, "]")).result, Ok(()));
    assert_eq!(frame(nested("{\"a\":", 64, "}")).result, Ok(()));
    fault(nested("[", 65, "]"), 5 + 63, "nested deeper than 64 levels");
    fault(nested("{\"a\":", 65, "}"), 5 + 63 * 5, "nested deeper than 64 levels");
    fault(format!("{{\"data\":[{}]}}", "[".repeat(63)), 9 + 62, "nested deeper than 64 levels");
    let item = format!("{}{}", "[".repeat(62), "]".repeat(62));
    assert_eq!(frame(format!("{{\"data\":[{item},{item}]}}")).result, Ok(()));
    let brackets = "[".repeat(1_000_000);
    let whole = frame_whole(Endpoint::StartBatch, format!("{{\"a\":{brackets}").as_bytes());
    assert_eq!(whole.error(), (68, "nested deeper than 64 levels"));
    assert_eq!(frame_whole(Endpoint::StartBatch, brackets.as_bytes()).error().0, 0);
}

#[test]
fn a_byte_order_mark_is_skipped_once() {
    let marked = frame(b"\xEF\xBB\xBF {\"token\":1}");
    assert_eq!(marked.result, Ok(()));
    assert_eq!(marked.pieces, [field(RootField::Token, "1")]);
    fault(b"\xEF\xBB\xBF[", 3, "expected a JSON object, not a JSON array; send one object");
    fault(b"\xEF\xBB\xBF\xEF\xBB\xBF{}", 3, "expected a JSON object, found byte 0xEF");
    fault(b"\xEF\xBB{}", 2, "expected the rest of a byte order mark, found `{`");
    fault(b"\xEF{}", 1, "expected the rest of a byte order mark, found `{`");
    fault(b" \xEF\xBB\xBF{}", 1, "expected a JSON object, found byte 0xEF");
    fault(b"{}\xEF\xBB\xBF", 2, "expected nothing after the end of the document, found byte 0xEF");
}

#[test]
fn says_what_was_open_when_the_body_ended() {
    fault("", 0, "the body is empty: expected a JSON object");
    fault(" \n", 2, "the body is empty: expected a JSON object");
    fault(b"\xEF\xBB\xBF", 3, "the body is empty: expected a JSON object");
    fault(b"\xEF\xBB", 2, "the body is empty: expected a JSON object");
    fault("{", 1, "the body ends early: in an object");
    fault("{\"tok", 5, "the body ends early: in a member's name");
    fault("{\"token\"", 8, "the body ends early: in an object, in the field token");
    fault("{\"token\":1", 10, "the body ends early: in a number, in the field token");
    fault("{\"token\":\"a", 11, "the body ends early: in a string, in the field token");
    fault("{\"token\":1,\"a\":[", 16, "the body ends early: in an array");
    fault("{\"a\":tr", 7, "the body ends early: in a literal");
    fault("{\"a\":[]", 7, "the body ends early: in an object");
    fault("{\"data\":[{\"em", 13, "the body ends early: in a member's name, in the field data");
    fault("{\"data\":[{}", 11, "the body ends early: in an array, in the field data");
    fault("{\"attach\":[{\"data\":\"AAAA", 24, "the body ends early: in a string, in the field attach");
    fault("{\"attach\":[{\"name\":\"a\\u00", 25, "the body ends early: in a string, in the field attach");
    fault("{\"attach\":[{\"na", 15, "the body ends early: in a member's name, in the field attach");
    fault("{\"data\":[]", 10, "the body ends early: in an object");
}

#[test]
fn rejects_a_body_that_is_cut_anywhere() {
    let body = "{\"token\":\"é\\u0041\",\"trigger_id\":-1.5e+7,\"a\":[true,null,{\"b\":{}}],\"data\":[{\"email\":\"a\"},\
                {\"email\":\"b\",\"custom_data\":{\"x\":1}}],\"attach\":[{\"name\":\"n\\n\",\"data\":\"AA\\/A\"}]}";
    assert_eq!(frame(body).result, Ok(()));
    for length in 0..body.len() {
        let (at, what) = (length as u64, if length == 0 { "the body is empty" } else { "the body ends early" });
        let outcome = frame(&body.as_bytes()[..length]);
        assert_eq!(outcome.error().0, at);
        assert!(outcome.error().1.starts_with(what));
    }
}

#[test]
fn errors_contain_at_most_one_character_of_the_body() {
    let outcome = frame("{\"token\":\"secret\",\"content\":secret-secret}");
    assert_eq!(outcome.error(), (28, "expected a value, found `s`"));
}
