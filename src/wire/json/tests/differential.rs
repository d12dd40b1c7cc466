//! Compares the framer and the decoder with `serde_json` on random documents.

use super::*;
use crate::{
    limits::DEPTH_LIMIT,
    wire::{Item, json, json::flat},
};
use proptest::{prelude::*, test_runner::RngSeed};
use serde::de::IgnoredAny;

/// Whether the framer must accept `body`, according to `serde_json`. The known differences:
/// - `serde_json` does not check the UTF-8 of strings that it skips. The framer does.
/// - `serde_json` has no depth limit for values that it skips, and accepts any root.
/// - `serde_json` rejects a byte order mark.
/// - The framer does not check the UTF-8 of attachment data (no body here has any).
fn expected(body: &[u8]) -> bool {
    let body = body.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(body);
    let Ok(text) = std::str::from_utf8(body) else { return false };
    let object = text.trim_start_matches([' ', '\n', '\t', '\r']).starts_with('{');
    object && serde_json::from_str::<IgnoredAny>(text).is_ok() && depth(body) <= DEPTH_LIMIT
}

/// The deepest nesting of a well-formed document.
fn depth(body: &[u8]) -> usize {
    let (mut depth, mut deepest, mut string, mut escape) = (0usize, 0, false, false);
    for byte in body {
        match byte {
            _ if escape => escape = false,
            b'\\' if string => escape = true,
            b'"' => string = !string,
            b'{' | b'[' if !string => depth += 1,
            b'}' | b']' if !string => depth -= 1,
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    deepest
}

/// The content of a JSON string.
fn inside() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        4 => "[ -!#-\\[\\]-~]{0,12}",
        1 => "[é€😀Иߘ\u{7F}\u{80}\u{7FF}\u{800}\u{FFFF}]{1,4}",
        1 => prop_oneof!["\\\\[\"\\\\/bfnrt]", "\\\\u[0-9a-fA-F]{4}", "\\\\ud[89a-f][0-9a-f]{2}"],
    ];
    prop::collection::vec(part, 0..4).prop_map(|parts| parts.concat())
}

fn name() -> impl Strategy<Value = String> {
    let known: &[&str] =
        &["token", "data", "attach", "name", "content", "email", "custom_data", "d\\u0061ta", "field_value"];
    prop_oneof![2 => prop::sample::select(known).prop_map(str::to_owned), 1 => inside()]
}

fn space() -> impl Strategy<Value = &'static str> {
    prop::sample::select(&["", "", "", " ", "\n", "\t\r "][..])
}

/// A JSON text.
fn value() -> impl Strategy<Value = String> {
    let number = "-?(0|[1-9][0-9]{0,20})(\\.[0-9]{1,3})?([eE][+-]?[0-9]{1,3})?";
    let leaf = prop_oneof![
        inside().prop_map(|inside| format!("\"{inside}\"")),
        number,
        prop::sample::select(&["true", "false", "null", "{}", "[]"][..]).prop_map(str::to_owned),
    ];
    leaf.prop_recursive(6, 48, 5, |value| {
        let entry = (space(), value.clone(), space()).prop_map(|(a, value, b)| format!("{a}{value}{b}"));
        prop_oneof![
            prop::collection::vec(entry, 0..5).prop_map(|entries| format!("[{}]", entries.join(","))),
            members(value),
        ]
    })
}

fn members(value: impl Strategy<Value = String>) -> impl Strategy<Value = String> {
    let member = (name(), space(), space(), value, space())
        .prop_map(|(name, a, b, value, c)| format!("{a}\"{name}\"{a}:{b}{value}{c}"));
    prop::collection::vec(member, 0..6).prop_map(|members| format!("{{{}}}", members.join(",")))
}

/// A document with some bytes replaced, inserted or removed.
fn mutated() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![
        4 => prop::sample::select(&b"{}[]\",:\\ntfu0123-.eE+/ \n\0"[..]),
        1 => any::<u8>(),
        1 => prop::sample::select(&b"\xC3\xA9\xE2\x82\xAC\xF0\x9F\xED\xA0"[..]),
    ];
    let mutation = (any::<prop::sample::Index>(), byte, 0..3);
    (members(value()), prop::collection::vec(mutation, 1..4)).prop_map(|(document, mutations)| {
        let mut bytes = document.into_bytes();
        for (at, byte, what) in mutations {
            let at = at.index(bytes.len() + 1);
            match what {
                0 if at < bytes.len() => bytes[at] = byte,
                1 if at < bytes.len() => drop(bytes.remove(at)),
                _ => bytes.insert(at, byte),
            }
        }
        bytes
    })
}

/// Frames a body whole and in chunks. Both results must be equal.
fn frame_split(body: &[u8], size: usize) -> FramedBody {
    let whole = frame_whole(Endpoint::StartBatch, body);
    let split = frame_into(&mut Recorder::default(), Endpoint::StartBatch, body.chunks(size));
    assert_eq!(split, whole, "in chunks of {size}: {}", body.escape_ascii());
    whole
}

/// Decodes one item, and compares it with the same item from `serde_json`.
fn check_item(raw: &str, plain: Option<&(String, String)>) {
    let item = json::item(raw.as_bytes());
    assert_eq!(item, json::decode::general_item(raw.as_bytes()), "the short way comes to the same: {raw}");
    let Ok(serde_json::Value::Object(members)) = serde_json::from_str(raw) else { return };
    let Ok(Item { email, .. }) = item else { return };
    match members.get("email") {
        None | Some(serde_json::Value::Null) => assert_eq!(email, crate::wire::Scalar::Absent),
        Some(serde_json::Value::String(text)) => assert_eq!(email, crate::wire::Scalar::Text(text.into())),
        Some(_) => assert!(!matches!(email, crate::wire::Scalar::Text(_) | crate::wire::Scalar::Absent)),
    }
    if let Some((name, value)) = plain {
        assert_eq!(members.into_iter().collect::<Vec<_>>(), [(name.clone(), value.clone().into())]);
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 512,
        // The same cases in every run.
        rng_seed: RngSeed::Fixed(0x6A73_6F6E),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn documents_are_accepted(document in members(value()), size in 1..40usize) {
        prop_assert!(expected(document.as_bytes()), "the generator makes JSON");
        let outcome = frame_split(document.as_bytes(), size);
        prop_assert_eq!(&outcome.result, &Ok(()));
        for got in &outcome.pieces {
            match got {
                RecordedPiece::Item(raw, plain) => check_item(raw, plain.as_ref()),
                RecordedPiece::Field { value: raw, .. } => prop_assert!(serde_json::from_str::<IgnoredAny>(raw).is_ok()),
                _ => {}
            }
        }
    }

    #[test]
    fn mutated_documents_are_accepted_as_by_serde_json(body in mutated(), size in 1..40usize) {
        let outcome = frame_split(&body, size);
        // Attachment data need not be UTF-8, which `serde_json` would reject.
        let data = |got: &RecordedPiece| matches!(got, RecordedPiece::AttachData(_) | RecordedPiece::AttachDuplicate(_));
        if std::str::from_utf8(&body).is_ok() || !outcome.pieces.iter().any(data) {
            prop_assert_eq!(outcome.result.is_ok(), expected(&body), "{}", body.escape_ascii());
        }
    }

    #[test]
    fn the_direct_path_takes_nothing_that_the_general_path_would_not(
        name in name(), value in inside(), space in space(), at in any::<prop::sample::Index>(), byte in any::<u8>(),
    ) {
        let mut raw = format!("{{{space}\"{name}\"{space}:\"{value}\"{space}}}").into_bytes();
        let good = raw.clone();
        let at = at.index(raw.len());
        raw[at] = byte;
        for raw in [&good, &raw] {
            let Some(item) = flat::item(raw) else { continue };
            let body = [b"{\"data\":[", item.raw, b"]}"].concat();
            prop_assert!(expected(&body), "{}", raw.escape_ascii());
            // With chunks of one byte, the fast path never applies.
            let general = frame_into(&mut Recorder::default(), Endpoint::StartBatch, body.chunks(1));
            prop_assert_eq!(general, frame_whole(Endpoint::StartBatch, &body));
        }
    }
}
