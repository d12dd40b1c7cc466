//! Every document here is framed in many chunkings, and has to give the same pieces and the same error in all.

mod differential;
mod errors;
mod memory;
mod pieces;

use super::JsonFramer;
use crate::wire::{Endpoint, Field, FrameError, Piece, Sink};

/// A piece as it can be compared; `attach[].data` in one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Got {
    Field(Field, String),
    FieldTooLong(Field),
    Array(Field),
    Null(Field),
    NotAnArray(Field),
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
pub(super) struct Recorder {
    pub got: Vec<Got>,
    pub held: usize,
    pub peak: usize,
    /// How much may be held at once.
    pub room: Option<usize>,
    /// The limit of every field.
    pub field_limit: Option<usize>,
    /// The longest run of attachment data.
    pub longest_run: usize,
}

fn string(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("checked by the framer")
}

impl Sink for Recorder {
    fn piece(&mut self, piece: Piece<'_>) {
        self.got.push(match piece {
            Piece::Field { field, value, marked_array } => {
                assert!(!marked_array, "there is no such thing in JSON");
                Got::Field(field, string(value))
            }
            Piece::FieldTooLong { field } => Got::FieldTooLong(field),
            Piece::Array { field } => Got::Array(field),
            Piece::Null { field } => Got::Null(field),
            Piece::NotAnArray { field } => Got::NotAnArray(field),
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
                let Some(Got::AttachData(data)) = self.got.last_mut() else { panic!("data where none has begun") };
                data.extend_from_slice(run);
                return;
            }
            Piece::AttachDataEnd => Got::AttachDataEnd,
            Piece::AttachDataWrongType => Got::AttachDataWrongType,
            Piece::AttachDuplicate(name) => Got::AttachDuplicate(name),
            Piece::AttachEnd => Got::AttachEnd,
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
pub(super) struct Outcome {
    pub got: Vec<Got>,
    pub end: Result<(), FrameError>,
    pub attachment_bytes: u64,
}

impl Outcome {
    /// Where and what the fault is.
    pub fn fault(&self) -> (u64, &str) {
        let Err(FrameError::Malformed { at, what }) = &self.end else { panic!("well-formed: {self:?}") };
        (*at, what)
    }
}

/// Frames `chunks` into `sink`, and checks what holds for every body.
pub(super) fn frame_into<'c>(
    sink: &mut Recorder,
    endpoint: Endpoint,
    chunks: impl IntoIterator<Item = &'c [u8]>,
) -> Outcome {
    let mut framer = JsonFramer::new(endpoint);
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
        let FrameError::Malformed { at, .. } = error else { panic!("JSON has no encoding to declare") };
        assert!(*at <= fed);
    }
    assert_eq!(sink.held, 0, "what was reserved has been released");
    Outcome { got: std::mem::take(&mut sink.got), end, attachment_bytes: framer.attachment_bytes() }
}

pub(super) fn frame_whole(endpoint: Endpoint, body: &[u8]) -> Outcome {
    frame_into(&mut Recorder::default(), endpoint, [body])
}

/// Frames `body` in every chunking, each of which must come to the same.
pub(super) fn frame_as(endpoint: Endpoint, body: &[u8]) -> Outcome {
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

pub(super) fn frame(body: impl AsRef<[u8]>) -> Outcome {
    frame_as(Endpoint::Batch, body.as_ref())
}
