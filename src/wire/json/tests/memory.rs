//! The memory of the framer, for usual and for hostile bodies.

use super::{RecordedPiece::*, *};

#[test]
fn buffers_nothing_that_one_chunk_contains() {
    let item = r#"{"email":"a","custom_data":{"x":"y"}}"#;
    let body = format!(r#"{{"token":"t","data":[{}],"content":{{}}}}"#, vec![item; 1000].join(","));
    let sink = &mut Recorder { limit: Some(0), ..Recorder::default() };
    assert_eq!(frame_into(sink, Endpoint::StartBatch, [body.as_bytes()]).pieces.len(), 1003);
    let sink = &mut Recorder::default();
    assert_eq!(frame_into(sink, Endpoint::StartBatch, body.as_bytes().chunks(101)).pieces.len(), 1003);
    assert!(sink.peak <= item.len() * 3 / 2, "{}", sink.peak);
}

#[test]
fn the_buffer_of_a_split_piece_is_at_most_half_as_large_again() {
    let content = format!("\"{}\"", "c".repeat(100_000));
    for size in [1, 7, 1000, 65_536] {
        let body = format!(r#"{{"content":{content},"data":[{content},1]}}"#);
        let sink = &mut Recorder { field_limit: Some(content.len()), ..Recorder::default() };
        let got = frame_into(sink, Endpoint::StartBatch, body.as_bytes().chunks(size)).pieces;
        let expected = [
            field(crate::fields::RootField::Content, &content),
            Array(crate::fields::RootField::Data),
            Item(content.clone(), None),
            Item("1".into(), None),
        ];
        assert_eq!(got, expected);
        assert!(sink.peak <= content.len() * 3 / 2 + 1, "{} for chunks of {size}", sink.peak);
    }
}

#[test]
fn buffers_at_most_the_limit_of_a_field() {
    for (length, size) in [(995, 1), (995, 100), (1000, 300), (1001, 1), (5000, 64)] {
        let body = format!(r#"{{"content":"{}"}}"#, "c".repeat(length - 2));
        let sink = &mut Recorder { field_limit: Some(1000), ..Recorder::default() };
        let got = frame_into(sink, Endpoint::StartBatch, body.as_bytes().chunks(size)).pieces;
        assert_eq!(got.len(), 1);
        assert_eq!(matches!(got[..], [FieldTooLong(_)]), length > 1000);
        assert!(sink.peak <= 1000, "{} of {length} in chunks of {size}", sink.peak);
    }
}

#[test]
fn a_piece_without_memory_is_dropped_and_still_checked() {
    use crate::fields::RootField::*;
    let body = r#"{"token":"12345678901234567890","data":[{"email":"12345678901234567890"},{},"1"],"format":1}"#;
    let sink = &mut Recorder { limit: Some(10), ..Recorder::default() };
    let outcome = frame_into(sink, Endpoint::StartBatch, body.as_bytes().chunks(3));
    assert_eq!(outcome.result, Ok(()));
    let small = [Array(Data), Item("{}".into(), None), Item("\"1\"".into(), None), field(Format, "1")];
    assert_eq!(outcome.pieces, small);
    assert!(sink.peak <= 10);
    let wrong = r#"{"token":"12345678901234567890","data":[{"email":"12345678901234567890"},{]}"#;
    let sink = &mut Recorder { limit: Some(10), ..Recorder::default() };
    assert_eq!(frame_into(sink, Endpoint::StartBatch, wrong.as_bytes().chunks(3)).error().0, 74);
}

#[test]
fn buffers_no_names_numbers_unknown_strings_and_attachments() {
    let long = "1".repeat(10 << 20);
    let bodies = [
        format!(r#"{{"{long}":1}}"#),
        format!(r#"{{"a":{long}}}"#),
        format!(r#"{{"a":"{long}"}}"#),
        format!(r#"{{"a":{{"{long}":1}}}}"#),
        format!(r#"{{"attach":[{{"name":"{long}","data":"{long}","{long}":{long}}},{long}]}}"#),
    ];
    for body in bodies {
        let sink = &mut Recorder { limit: Some(0), ..Recorder::default() };
        let outcome = frame_into(sink, Endpoint::StartBatch, body.as_bytes().chunks(65_536));
        assert_eq!(outcome.result, Ok(()));
        assert!(sink.longest_run <= 65_536);
    }
}

#[test]
fn a_million_items_need_no_memory() {
    let body = format!(r#"{{"data":[{}]}}"#, vec!["{}"; 1_000_000].join(","));
    let outcome = frame_into(&mut Recorder::default(), Endpoint::StartBatch, body.as_bytes().chunks(65_536));
    assert_eq!((outcome.result, outcome.pieces.len()), (Ok(()), 1_000_001));
    assert!(outcome.pieces.iter().skip(1).all(|got| *got == Item("{}".into(), None)));
}
