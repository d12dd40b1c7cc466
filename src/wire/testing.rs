//! A sink that remembers what a framer hands on, and what holds for both framers whatever the body. For tests and
//! fuzzers; the Worker has none of it (native alone).

#![allow(clippy::expect_used, clippy::panic, reason = "where something does not hold, a test is to fail")]

use super::{Endpoint, Field, FrameError, Piece, Sink, json::JsonFramer, xml::XmlFramer};

/// A [`Piece`] as it can be kept and compared; `attach[].data` in one.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "the variants are the pieces'")]
pub enum Got {
    Field { field: Field, value: String, marked_array: bool },
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

/// A field that is not marked as an array.
pub fn field(field: Field, value: &str) -> Got {
    Got::Field { field, value: value.to_owned(), marked_array: false }
}

/// Remembers every piece, and counts what is held for it.
#[derive(Debug, Default)]
pub struct Recorder {
    /// The pieces so far.
    pub got: Vec<Got>,
    /// Bytes held.
    pub held: usize,
    /// Most bytes that were held at once.
    pub peak: usize,
    /// How many bytes may be held at once.
    pub room: Option<usize>,
    /// The limit of every field, in bytes.
    pub field_limit: Option<usize>,
    /// The longest run of attachment data, in bytes.
    pub longest_run: usize,
    /// Attachment data is taken the short way as well, in groups of so many characters.
    pub short_way: Option<usize>,
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("what is handed on whole is UTF-8")
}

impl Sink for Recorder {
    fn accept(&mut self, piece: Piece<'_>) {
        self.got.push(match piece {
            Piece::Field { field, value, marked_array } => Got::Field { field, value: text(value), marked_array },
            Piece::FieldTooLong { field } => Got::FieldTooLong(field),
            Piece::Array { field } => Got::Array(field),
            Piece::Null { field } => Got::Null(field),
            Piece::NotAnArray { field, .. } => Got::NotAnArray(field),
            Piece::Item { raw, plain } => Got::Item(text(raw), plain.map(|(name, value)| (text(name), text(value)))),
            Piece::AttachBegin => Got::AttachBegin,
            Piece::AttachNotAnObject(_) => Got::AttachNotAnObject,
            Piece::AttachName(name) => Got::AttachName(name.to_owned()),
            Piece::AttachNameWrongType(_) => Got::AttachNameWrongType,
            Piece::AttachDataBegin => Got::AttachData(Vec::new()),
            Piece::AttachData(run) => return self.data(run),
            Piece::AttachDataEnd => Got::AttachDataEnd,
            Piece::AttachDataWrongType(_) => Got::AttachDataWrongType,
            Piece::AttachDuplicate(name) => Got::AttachDuplicate(name),
            Piece::AttachEnd => Got::AttachEnd,
        });
    }

    fn reserve(&mut self, bytes: usize) -> bool {
        assert!(bytes > 0, "nothing is reserved for nothing");
        let fits = self.room.is_none_or(|room| self.held + bytes <= room);
        self.held += if fits { bytes } else { 0 };
        self.peak = self.peak.max(self.held);
        fits
    }

    fn release(&mut self, bytes: usize) {
        self.held = self.held.checked_sub(bytes).expect("no more is released than was reserved");
    }

    fn field_limit(&self, _: Field) -> usize {
        self.field_limit.unwrap_or(usize::MAX)
    }

    fn base64(&mut self, bytes: &[u8]) -> usize {
        let Some(group) = self.short_way else { return 0 };
        let is_base64 = |byte: &&u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
        let run = bytes.iter().take_while(is_base64).count() / group * group;
        if run > 0 {
            self.data(bytes.get(..run).expect("no more than there is"));
        }
        run
    }
}

impl Recorder {
    fn data(&mut self, run: &[u8]) {
        assert!(!run.is_empty(), "runs are never empty");
        self.longest_run = self.longest_run.max(run.len());
        // In XML the entry's own text may come between two runs.
        let begun = self.got.iter_mut().rev().find(|got| **got != Got::AttachNotAnObject);
        match begun {
            Some(Got::AttachData(data)) => data.extend_from_slice(run),
            other => panic!("data behind {other:?}"),
        }
    }
}

/// A framer of either format.
#[allow(missing_docs, reason = "the methods are the framers'")]
pub trait Framer {
    fn begin(endpoint: Endpoint) -> Self;
    fn feed(&mut self, chunk: &[u8], recorder: &mut Recorder) -> Result<(), FrameError>;
    fn finish(&mut self, recorder: &mut Recorder) -> Result<(), FrameError>;
    fn attachment_bytes(&self) -> u64;
}

macro_rules! framer {
    ($framer:ty) => {
        impl Framer for $framer {
            fn begin(endpoint: Endpoint) -> Self {
                Self::new(endpoint)
            }

            fn feed(&mut self, chunk: &[u8], recorder: &mut Recorder) -> Result<(), FrameError> {
                self.feed(chunk, recorder)
            }

            fn finish(&mut self, recorder: &mut Recorder) -> Result<(), FrameError> {
                self.finish(recorder)
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
    /// The pieces, up to a fault if there is one.
    pub got: Vec<Got>,
    /// Whether it is well-formed.
    pub end: Result<(), FrameError>,
    /// What counts as attachment data, in bytes as sent.
    pub attachment_bytes: u64,
}

impl Outcome {
    /// The pieces of a body in which there is no fault.
    pub fn pieces(self) -> Vec<Got> {
        assert_eq!(self.end, Ok(()), "{:?}", self.got);
        self.got
    }

    /// Where and what the fault is.
    pub fn fault(&self) -> (u64, &str) {
        let Err(FrameError::Malformed { at, what }) = &self.end else { panic!("no such fault: {self:?}") };
        (*at, what)
    }
}

/// Frames `chunks` into `recorder`. Panics where something does not hold that has to for every body.
pub fn frame_into<'c, F: Framer>(
    recorder: &mut Recorder,
    endpoint: Endpoint,
    chunks: impl IntoIterator<Item = &'c [u8]>,
) -> Outcome {
    let mut framer = F::begin(endpoint);
    let mut fed = 0;
    let end = chunks.into_iter().try_for_each(|chunk| {
        fed += chunk.len() as u64;
        framer.feed(chunk, recorder)
    });
    let end = end.and_then(|()| framer.finish(recorder));
    if let Err(error) = &end {
        let before = recorder.got.len();
        assert_eq!(framer.feed(b" ", recorder).as_ref(), Err(error), "a dead framer stays dead");
        assert_eq!(framer.finish(recorder).as_ref(), Err(error), "a dead framer stays dead");
        assert_eq!(recorder.got.len(), before, "a dead framer is silent");
        if let FrameError::Malformed { at, .. } = error {
            assert!(*at <= fed, "a fault is told of a byte that came");
        }
    }
    assert_eq!(recorder.held, 0, "what was reserved has been released");
    assert!(framer.attachment_bytes() <= fed, "no more is counted than came");
    Outcome { got: std::mem::take(&mut recorder.got), end, attachment_bytes: framer.attachment_bytes() }
}
