//! What holds for both framers, whatever the body: its chunks change nothing, what is held is given back, and neither
//! a limit nor a lack of memory changes what is well-formed.

use super::chunks::cut;
use trigger_launch::wire::{Endpoint, Field, FrameError, Piece, Sink, json::JsonFramer, xml::XmlFramer};

/// A piece as it can be kept and compared; `attach[].data` in one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Got {
    Field { field: Field, value: String, marked_array: bool },
    FieldTooLong(Field),
    Array(Field),
    Null(Field),
    NotAnArray(Field),
    Item { raw: String, plain: Option<(String, String)> },
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

/// A sink that keeps everything and counts what is held for it.
#[derive(Debug, Default)]
struct Keeper {
    got: Vec<Got>,
    held: usize,
    /// How much may be held at once.
    room: Option<usize>,
    /// The limit of every field.
    field_limit: Option<usize>,
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("what is handed on whole is UTF-8")
}

impl Sink for Keeper {
    fn piece(&mut self, piece: Piece<'_>) {
        self.got.push(match piece {
            Piece::Field { field, value, marked_array } => Got::Field { field, value: text(value), marked_array },
            Piece::FieldTooLong { field } => Got::FieldTooLong(field),
            Piece::Array { field } => Got::Array(field),
            Piece::Null { field } => Got::Null(field),
            Piece::NotAnArray { field } => Got::NotAnArray(field),
            Piece::Item { raw, plain } => {
                Got::Item { raw: text(raw), plain: plain.map(|(name, value)| (text(name), text(value))) }
            }
            Piece::AttachBegin => Got::AttachBegin,
            Piece::AttachNotAnObject => Got::AttachNotAnObject,
            Piece::AttachName(name) => Got::AttachName(name.to_owned()),
            Piece::AttachNameWrongType => Got::AttachNameWrongType,
            Piece::AttachDataBegin => Got::AttachData(Vec::new()),
            Piece::AttachData(run) => return self.data(run),
            Piece::AttachDataEnd => Got::AttachDataEnd,
            Piece::AttachDataWrongType => Got::AttachDataWrongType,
            Piece::AttachDuplicate(name) => Got::AttachDuplicate(name),
            Piece::AttachEnd => Got::AttachEnd,
        });
    }

    fn reserve(&mut self, bytes: usize) -> bool {
        assert!(bytes > 0, "nothing is reserved for nothing");
        let fits = self.room.is_none_or(|room| self.held + bytes <= room);
        self.held += if fits { bytes } else { 0 };
        fits
    }

    fn release(&mut self, bytes: usize) {
        self.held = self.held.checked_sub(bytes).expect("no more is released than was reserved");
    }

    fn field_limit(&self, _: Field) -> usize {
        self.field_limit.unwrap_or(usize::MAX)
    }
}

impl Keeper {
    fn data(&mut self, run: &[u8]) {
        assert!(!run.is_empty(), "runs are never empty");
        // In XML the entry's own text may come between two runs.
        let behind_text = self.got.iter().rev().find(|got| **got != Got::AttachNotAnObject);
        assert!(matches!(behind_text, Some(Got::AttachData(_))), "data where none has begun: {:?}", self.got.last());
        for got in self.got.iter_mut().rev() {
            if let Got::AttachData(data) = got {
                data.extend_from_slice(run);
                return;
            }
        }
    }
}

/// A framer of either format.
pub trait Framer {
    fn begin(endpoint: Endpoint) -> Self;
    fn feed<S: Sink>(&mut self, chunk: &[u8], sink: &mut S) -> Result<(), FrameError>;
    fn finish<S: Sink>(&mut self, sink: &mut S) -> Result<(), FrameError>;
    fn attachment_bytes(&self) -> u64;
}

macro_rules! framer {
    ($framer:ty) => {
        impl Framer for $framer {
            fn begin(endpoint: Endpoint) -> Self {
                Self::new(endpoint)
            }

            fn feed<S: Sink>(&mut self, chunk: &[u8], sink: &mut S) -> Result<(), FrameError> {
                self.feed(chunk, sink)
            }

            fn finish<S: Sink>(&mut self, sink: &mut S) -> Result<(), FrameError> {
                self.finish(sink)
            }

            fn attachment_bytes(&self) -> u64 {
                self.attachment_bytes()
            }
        }
    };
}

framer!(JsonFramer);
framer!(XmlFramer);

/// What became of a body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    pub got: Vec<Got>,
    pub end: Result<(), FrameError>,
    pub attachment_bytes: u64,
}

fn frame_into<F: Framer>(keeper: &mut Keeper, endpoint: Endpoint, chunks: &[&[u8]]) -> Outcome {
    let mut framer = F::begin(endpoint);
    let mut fed = 0;
    let end = chunks.iter().try_for_each(|chunk| {
        fed += chunk.len() as u64;
        framer.feed(chunk, keeper)
    });
    let end = end.and_then(|()| framer.finish(keeper));
    if let Err(error) = &end {
        let before = keeper.got.len();
        assert_eq!(framer.feed(b" ", keeper).as_ref(), Err(error), "a dead framer stays dead");
        assert_eq!(framer.finish(keeper).as_ref(), Err(error), "a dead framer stays dead");
        assert_eq!(keeper.got.len(), before, "a dead framer is silent");
        if let FrameError::Malformed { at, .. } = error {
            assert!(*at <= fed, "a fault is told of a byte that came");
        }
    }
    assert_eq!(keeper.held, 0, "what was reserved has been released");
    assert!(framer.attachment_bytes() <= fed);
    Outcome { got: std::mem::take(&mut keeper.got), end, attachment_bytes: framer.attachment_bytes() }
}

/// The limit of fields in the runs that have one.
const FIELD_LIMIT: usize = 12;

/// Frames `body` whole, and checks that its chunks, limits and a lack of memory change nothing that they must not.
pub fn frame<F: Framer>(endpoint: Endpoint, body: &[u8]) -> Outcome {
    let chunks = cut(body);
    let whole = frame_into::<F>(&mut Keeper::default(), endpoint, &[body]);
    assert_eq!(frame_into::<F>(&mut Keeper::default(), endpoint, &chunks), whole, "in chunks");

    let limited = |chunks: &[&[u8]]| {
        let mut keeper = Keeper { field_limit: Some(FIELD_LIMIT), ..Keeper::default() };
        frame_into::<F>(&mut keeper, endpoint, chunks)
    };
    let expected = Outcome { got: whole.got.iter().map(within_limit).collect(), ..whole.clone() };
    assert_eq!(limited(&[body]), expected, "with a limit");
    assert_eq!(limited(&chunks), expected, "in chunks, with a limit");

    let mut short = Keeper { room: Some(body.len() / 4), ..Keeper::default() };
    let short = frame_into::<F>(&mut short, endpoint, &chunks);
    // XML: behind a tag that could not be held nothing is checked any longer.
    assert!(short.end == whole.end || short.end.is_ok(), "short of memory: {:?} for {:?}", short.end, whole.end);
    whole
}

fn within_limit(got: &Got) -> Got {
    match got {
        Got::Field { field, value, .. } if value.len() > FIELD_LIMIT => Got::FieldTooLong(*field),
        other => other.clone(),
    }
}
