//! Every document here is framed in many chunkings, and has to give the same pieces and the same error in all.

mod decoding;
mod differential;
mod faults;
mod memory;
mod model;
mod pieces;

use super::XmlFramer;
use crate::wire::{Endpoint, Field, FrameError, Piece, Sink};

/// A piece as it can be compared; `attach[].data` in one.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Got {
    /// With `array='true'`?
    Field(Field, String, bool),
    FieldTooLong(Field),
    Item(String, Option<(String, String)>),
    AttachBegin,
    AttachNotAnObject,
    AttachName(String),
    AttachNameWrongType,
    AttachData(Vec<u8>),
    AttachDataEnd,
    AttachDataWrongType,
    AttachDuplicate(&'static str),
    AttachEnd,
}

/// A sink that remembers everything and counts what is held for it.
#[derive(Debug, Default)]
struct Recorder {
    got: Vec<Got>,
    held: usize,
    peak: usize,
    /// How much may be held at once.
    room: Option<usize>,
    /// The limit of every field.
    field_limit: Option<usize>,
    /// The longest run of attachment data.
    longest_run: usize,
}

fn string(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("checked by the framer")
}

impl Sink for Recorder {
    fn piece(&mut self, piece: Piece<'_>) {
        self.got.push(match piece {
            Piece::Field { field, value, marked_array } => Got::Field(field, string(value), marked_array),
            Piece::FieldTooLong { field } => Got::FieldTooLong(field),
            Piece::Item { raw, plain } => {
                Got::Item(string(raw), plain.map(|(name, value)| (string(name), string(value))))
            }
            Piece::AttachBegin => Got::AttachBegin,
            Piece::AttachNotAnObject => Got::AttachNotAnObject,
            Piece::AttachName(name) => Got::AttachName(name.to_owned()),
            Piece::AttachNameWrongType => Got::AttachNameWrongType,
            Piece::AttachDataBegin => Got::AttachData(Vec::new()),
            Piece::AttachData(run) => {
                assert!(!run.is_empty(), "runs are never empty");
                self.longest_run = self.longest_run.max(run.len());
                let Some(data) = self.got.iter_mut().rev().find_map(|got| match got {
                    Got::AttachData(data) => Some(data),
                    Got::AttachNotAnObject => None,
                    other => panic!("data behind {other:?}"),
                }) else {
                    panic!("data where none has begun")
                };
                data.extend_from_slice(run);
                return;
            }
            Piece::AttachDataEnd => Got::AttachDataEnd,
            Piece::AttachDataWrongType => Got::AttachDataWrongType,
            Piece::AttachDuplicate(name) => Got::AttachDuplicate(name),
            Piece::AttachEnd => Got::AttachEnd,
            Piece::Array { .. } | Piece::Null { .. } | Piece::NotAnArray { .. } => panic!("not in XML: {piece:?}"),
        });
    }

    fn reserve(&mut self, bytes: usize) -> bool {
        assert!(bytes > 0);
        if self.room.is_some_and(|room| self.held + bytes > room) {
            return false;
        }
        self.held += bytes;
        self.peak = self.peak.max(self.held);
        true
    }

    fn release(&mut self, bytes: usize) {
        self.held = self.held.checked_sub(bytes).expect("no more is released than was reserved");
    }

    fn field_limit(&self, _: Field) -> usize {
        self.field_limit.unwrap_or(usize::MAX)
    }
}

/// What became of a body.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Outcome {
    got: Vec<Got>,
    end: Result<(), FrameError>,
    attachment_bytes: u64,
}

impl Outcome {
    /// Where and what the fault is.
    fn fault(&self) -> (u64, &str) {
        let Err(FrameError::Malformed { at, what }) = &self.end else { panic!("no such fault: {self:?}") };
        (*at, what)
    }

    /// The pieces of a body in which there is no fault.
    fn pieces(self) -> Vec<Got> {
        assert_eq!(self.end, Ok(()), "{:?}", self.got);
        self.got
    }
}

/// Frames `chunks` into `sink`, and checks what holds for every body.
fn frame_into<'c>(sink: &mut Recorder, endpoint: Endpoint, chunks: impl IntoIterator<Item = &'c [u8]>) -> Outcome {
    let mut framer = XmlFramer::new(endpoint);
    let mut fed = 0;
    let end = chunks.into_iter().try_for_each(|chunk| {
        fed += chunk.len() as u64;
        framer.feed(chunk, sink)
    });
    let end = end.and_then(|()| framer.finish(sink));
    if let Err(error) = &end {
        let before = sink.got.len();
        assert_eq!(framer.feed(b" ", sink).as_ref(), Err(error), "a dead framer stays dead");
        assert_eq!(framer.finish(sink).as_ref(), Err(error), "a dead framer stays dead");
        assert_eq!(sink.got.len(), before);
        if let FrameError::Malformed { at, .. } = error {
            assert!(*at <= fed);
        }
    }
    assert_eq!(sink.held, 0, "what was reserved has been released");
    Outcome { got: std::mem::take(&mut sink.got), end, attachment_bytes: framer.attachment_bytes() }
}

fn frame_whole(endpoint: Endpoint, body: &[u8]) -> Outcome {
    frame_into(&mut Recorder::default(), endpoint, [body])
}

/// Frames `body` in chunks of many sizes, which must all come to the same.
fn frame_chunked(endpoint: Endpoint, body: &[u8]) -> Outcome {
    let whole = frame_whole(endpoint, body);
    for size in [1, 3, 7, 13, 29, 67] {
        let sink = &mut Recorder::default();
        let chunked = frame_into(sink, endpoint, body.chunks(size));
        assert_eq!(chunked, whole, "in chunks of {size}: {}", shown(body));
        assert!(sink.longest_run <= size.max(4), "a run is as long as its chunk, or one character");
    }
    whole
}

/// The same, and split at every byte if it is short.
fn frame_as(endpoint: Endpoint, body: &[u8]) -> Outcome {
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

fn frame(body: impl AsRef<[u8]>) -> Outcome {
    frame_as(Endpoint::Batch, body.as_ref())
}

fn shown(body: &[u8]) -> String {
    body.escape_ascii().to_string().chars().take(2000).collect()
}
