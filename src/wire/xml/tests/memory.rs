//! The memory of the framer, and a sink that refuses it.

use super::{RecordedPiece, Recorder, field, frame_into};
use crate::fields::{Endpoint, RootField};
use crate::limits::{DEPTH_LIMIT, NAME_LIMIT};

const CHUNK: usize = 1000;
/// The names of open elements and small pieces.
const SMALL: usize = 300;

fn peak(body: &str) -> usize {
    let sink = &mut Recorder::default();
    assert_eq!(frame_into(sink, Endpoint::StartBatch, body.as_bytes().chunks(CHUNK)).result, Ok(()));
    sink.peak
}

#[test]
fn buffers_only_pieces_that_a_chunk_cuts() {
    let items = "<data><email>user@example.com</email></data>".repeat(10_000);
    assert!(peak(&format!("<xml>{items}</xml>")) < SMALL);
    let empty = "<data/>".repeat(1_000_000);
    assert!(peak(&format!("<xml>{empty}</xml>")) < SMALL);
    let megabyte = "0123456789abcdef".repeat(65_536);
    for dropped in [
        format!("<xml><attach><data>{megabyte}</data></attach></xml>"),
        format!("<xml><attach><data><![CDATA[{megabyte}]]></data></attach></xml>"),
        format!("<xml><attach><name>{megabyte}</name></attach></xml>"),
        format!("<xml><attach><other>{megabyte}</other></attach></xml>"),
        format!("<xml><unknown>{megabyte}</unknown></xml>"),
        format!("<xml><!--{megabyte}--></xml>"),
        format!("<xml><a>&#{}65;</a></xml>", "0".repeat(1 << 20)),
        format!("<xml>{}</xml>", " ".repeat(1 << 20)),
    ] {
        assert!(peak(&dropped) < SMALL, "{:.40}", dropped);
    }
    let content = format!("<xml><content>{megabyte}</content></xml>");
    assert!((1 << 20..(3 << 19) + SMALL).contains(&peak(&content)), "half as much again at most");
}

#[test]
fn reserves_the_names_of_open_elements() {
    let name = "n".repeat(NAME_LIMIT - 3);
    let body = format!(
        "<xml>{}{}</xml>",
        format!("<{name}>").repeat(DEPTH_LIMIT - 1),
        format!("</{name}>").repeat(DEPTH_LIMIT - 1)
    );
    let names = name.len() * (DEPTH_LIMIT - 1);
    assert!((names..names * 2).contains(&peak(&body)));
}

#[test]
fn a_piece_without_memory_is_dropped_and_the_rest_is_framed() {
    let long = "x".repeat(5000);
    let body = format!("<xml><content>{long}</content><data>{long}</data><data>y</data><token>t</token></xml>");
    let sink = &mut Recorder { limit: Some(2000), ..Recorder::default() };
    let got = frame_into(sink, Endpoint::StartBatch, body.as_bytes().chunks(CHUNK)).into_pieces();
    let rest = [RecordedPiece::Item("y".to_owned(), None), field(RootField::Token, "t")];
    assert_eq!(got, rest);
}

#[test]
fn neither_pieces_nor_errors_follow_a_tag_without_memory() {
    let tag = format!("<a b='{}'>", "x".repeat(5000));
    for (body, room) in [
        (format!("<xml><token>t</token>{tag}</a><token>u</token></b>"), 2000),
        (format!("<xml><token>t</token><?p {tag}?><token>u</token></b>"), 2000),
        (format!("<xml><token>t</token></xml{}><token>u</token></b>", " ".repeat(5000)), 2000),
        (format!("<xml><token>t</token><{0}><token>u</token></{0}>", "n".repeat(900)), 500),
    ] {
        let sink = &mut Recorder { limit: Some(room), ..Recorder::default() };
        let got = frame_into(sink, Endpoint::StartBatch, body.as_bytes().chunks(CHUNK));
        assert_eq!(got.into_pieces(), [field(RootField::Token, "t")]);
    }
}

#[test]
fn every_refusal_releases_all_memory() {
    let body = "<xml a='b'><token>t</token><content><a b='c'>x</a></content><data><email>e</email></data>\
                <attach><name>n</name><data>d</data></attach><other>o</other></xml>";
    for room in 0..80 {
        for size in [1, 3, 7, 20, 1000] {
            let sink = &mut Recorder { limit: Some(room), ..Recorder::default() };
            // `frame_into` checks that all memory is released at the end.
            assert_eq!(frame_into(sink, Endpoint::StartBatch, body.as_bytes().chunks(size)).result, Ok(()));
            let cut = &body.as_bytes()[..body.len() - 8];
            let _ = frame_into(sink, Endpoint::StartBatch, cut.chunks(size));
        }
    }
}
