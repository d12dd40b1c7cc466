//! What holds for both framers, whatever the body: its chunks change nothing, what is held is given back, and neither
//! a limit nor a lack of memory changes what is well-formed.

use super::chunks::cut;
pub use trigger_launch::wire::testing::{FramedBody, RecordedPiece};
use trigger_launch::{
    fields::Endpoint,
    wire::testing::{Recorder, TestedFramer, frame_into},
};

/// The limit of fields in the runs that have one.
const FIELD_LIMIT: usize = 12;

/// Frames `body` whole, and checks that its chunks, limits and a lack of memory change nothing that they must not.
pub fn frame<F: TestedFramer>(endpoint: Endpoint, body: &[u8]) -> FramedBody {
    let chunks = cut(body);
    let framed =
        |mut recorder: Recorder, chunks: &[&[u8]]| frame_into::<F>(&mut recorder, endpoint, chunks.iter().copied());
    let whole = framed(Recorder::default(), &[body]);
    assert_eq!(framed(Recorder::default(), &chunks), whole, "in chunks");
    let short_way = || Recorder { base64_group: Some(1), ..Recorder::default() };
    assert_eq!(framed(short_way(), &[body]), whole, "the short way");
    assert_eq!(framed(short_way(), &chunks), whole, "in chunks, the short way");

    let limited = || Recorder { field_limit: Some(FIELD_LIMIT), ..Recorder::default() };
    let expected = FramedBody { pieces: whole.pieces.iter().map(within_limit).collect(), ..whole.clone() };
    assert_eq!(framed(limited(), &[body]), expected, "with a limit");
    assert_eq!(framed(limited(), &chunks), expected, "in chunks, with a limit");

    let short = framed(Recorder { limit: Some(body.len() / 4), ..Recorder::default() }, &chunks);
    // XML: behind a tag that could not be held nothing is checked any longer.
    assert!(
        short.result == whole.result || short.result.is_ok(),
        "short of memory: {:?} for {:?}",
        short.result,
        whole.result
    );
    whole
}

fn within_limit(got: &RecordedPiece) -> RecordedPiece {
    match got {
        RecordedPiece::Field { field, value, .. } if value.len() > FIELD_LIMIT => RecordedPiece::FieldTooLong(*field),
        other => other.clone(),
    }
}
