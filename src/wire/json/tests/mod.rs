//! Every document is framed in many chunkings. The pieces and the error must be the same in all of them.

mod differential;
mod errors;
mod memory;
mod pieces;

use super::JsonFramer;
use crate::{
    fields::{AttachmentField, Endpoint, RootField},
    wire::{
        FrameError,
        testing::{self, FramedBody, RecordedPiece, Recorder, field},
    },
};

/// Frames `chunks` into `sink`, with the checks for every body and those for JSON.
fn frame_into<'c>(sink: &mut Recorder, endpoint: Endpoint, chunks: impl IntoIterator<Item = &'c [u8]>) -> FramedBody {
    let outcome = testing::frame_into::<JsonFramer>(sink, endpoint, chunks);
    assert!(!matches!(outcome.result, Err(FrameError::Encoding(_))), "JSON has no encoding to declare");
    for (at, got) in outcome.pieces.iter().enumerate() {
        match got {
            RecordedPiece::Field { marked_array, .. } => assert!(!marked_array, "there is no such thing in JSON"),
            RecordedPiece::AttachNotAnObject => {
                assert_eq!(outcome.pieces[at - 1], RecordedPiece::AttachBegin, "an object or not")
            }
            _ => {}
        }
    }
    outcome
}

fn frame_whole(endpoint: Endpoint, body: &[u8]) -> FramedBody {
    frame_into(&mut Recorder::default(), endpoint, [body])
}

/// Frames `body` in every chunking. All results must be equal.
fn frame_as(endpoint: Endpoint, body: &[u8]) -> FramedBody {
    let whole = frame_whole(endpoint, body);
    for size in [1, 3, 7, 13, 29, 67] {
        let sink = &mut Recorder::default();
        assert_eq!(
            frame_into(sink, endpoint, body.chunks(size)),
            whole,
            "in chunks of {size}: {}",
            body.escape_ascii()
        );
        assert!(sink.longest_run <= size + 3, "a run is as long as its chunk and one character that waited");
        for chunk in [size, body.len().max(1)] {
            let sink = &mut Recorder { base64_group: Some(size), ..Recorder::default() };
            let short = frame_into(sink, endpoint, body.chunks(chunk));
            assert_eq!(short, whole, "the short way, {size} in chunks of {chunk}: {}", body.escape_ascii());
        }
    }
    if body.len() <= 2000 {
        for at in 0..=body.len() {
            let (head, tail) = body.split_at(at);
            let split = frame_into(&mut Recorder::default(), endpoint, [head, tail]);
            assert_eq!(split, whole, "split at {at}: {}", body.escape_ascii());
        }
    }
    whole
}

fn frame(body: impl AsRef<[u8]>) -> FramedBody {
    frame_as(Endpoint::StartBatch, body.as_ref())
}
