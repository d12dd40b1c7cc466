//! Every document is framed in many chunkings. The pieces and the error must be the same in all of them.

mod decoding;
mod differential;
mod faults;
mod memory;
mod model;
mod pieces;

use super::XmlFramer;
use crate::{
    fields::Endpoint,
    wire::testing::{self, FramedBody, RecordedPiece, Recorder, field},
};

/// Frames `chunks` into `sink`, with the checks for every body and those for XML.
fn frame_into<'c>(sink: &mut Recorder, endpoint: Endpoint, chunks: impl IntoIterator<Item = &'c [u8]>) -> FramedBody {
    let outcome = testing::frame_into::<XmlFramer>(sink, endpoint, chunks);
    for got in &outcome.pieces {
        assert!(!matches!(got, RecordedPiece::Array(_) | RecordedPiece::NotAnArray(_)), "not in XML: {got:?}");
    }
    outcome
}

fn frame_whole(endpoint: Endpoint, body: &[u8]) -> FramedBody {
    frame_into(&mut Recorder::default(), endpoint, [body])
}

/// Frames `body` in chunks of many sizes. All results must be equal.
fn frame_chunked(endpoint: Endpoint, body: &[u8]) -> FramedBody {
    let whole = frame_whole(endpoint, body);
    for size in [1, 3, 7, 13, 29, 67] {
        let sink = &mut Recorder::default();
        let chunked = frame_into(sink, endpoint, body.chunks(size));
        assert_eq!(chunked, whole, "in chunks of {size}: {}", shown(body));
        assert!(sink.longest_run <= size.max(4), "a run is as long as its chunk, or one character");
        for chunk in [size, body.len().max(1)] {
            let sink = &mut Recorder { base64_group: Some(size), ..Recorder::default() };
            let short = frame_into(sink, endpoint, body.chunks(chunk));
            assert_eq!(short, whole, "the short way, {size} in chunks of {chunk}: {}", shown(body));
        }
    }
    whole
}

/// Does the same and, if the body is short, splits it at every byte.
fn frame_as(endpoint: Endpoint, body: &[u8]) -> FramedBody {
    let whole = frame_chunked(endpoint, body);
    if body.len() <= 2000 {
        for at in 0..=body.len() {
            let (head, tail) = body.split_at(at);
            let split = frame_into(&mut Recorder::default(), endpoint, [head, tail]);
            assert_eq!(split, whole, "split at {at}: {}", shown(body));
        }
    }
    whole
}

fn frame(body: impl AsRef<[u8]>) -> FramedBody {
    frame_as(Endpoint::StartBatch, body.as_ref())
}

fn shown(body: &[u8]) -> String {
    body.escape_ascii().to_string().chars().take(2000).collect()
}
