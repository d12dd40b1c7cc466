//! For tests and fuzz targets only; not part of the Worker: a sink that records pieces, and checks that hold for both framers
//! and every body.

#![allow(clippy::expect_used, clippy::panic, reason = "a failed check fails the test")]

use super::{FrameError, Piece, Sink, json::JsonFramer, xml::XmlFramer};
use crate::fields::{AttachmentField, Endpoint, RootField};

/// A recorded [`Piece`]. The runs of one attachment's data are joined.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RecordedPiece {
    Field { field: RootField, value: String, marked_array: bool },
    FieldTooLong(RootField),
    Array(RootField),
    Null(RootField),
    NotAnArray(RootField),
    Item(String, Option<(String, String)>),
    AttachBegin,
    AttachNotAnObject,
    AttachName(String),
    AttachNameWrongType,
    AttachData(Vec<u8>),
    AttachDataEnd,
    AttachDataWrongType,
    AttachDuplicate(AttachmentField),
    AttachEnd,
}

/// Returns the piece of a field that is not marked as an array.
pub fn field(field: RootField, value: &str) -> RecordedPiece {
    RecordedPiece::Field { field, value: value.to_owned(), marked_array: false }
}

/// Records every piece and its memory.
#[derive(Debug, Default)]
pub struct Recorder {
    pub pieces: Vec<RecordedPiece>,
    /// Bytes reserved.
    pub reserved: usize,
    /// The most bytes that were reserved at once.
    pub peak: usize,
    /// The most bytes that can be reserved at once.
    pub limit: Option<usize>,
    /// The limit of every field, in bytes.
    pub field_limit: Option<usize>,
    /// The longest run of attachment data, in bytes.
    pub longest_run: usize,
    /// Takes attachment data by [`Sink::take_base64`] too, in groups of this number of characters.
    pub base64_group: Option<usize>,
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("complete pieces are UTF-8")
}

impl Sink for Recorder {
    fn accept(&mut self, piece: Piece<'_>) {
        self.pieces.push(match piece {
            Piece::Field { field, value, marked_array } => {
                RecordedPiece::Field { field, value: text(value), marked_array }
            }
            Piece::FieldTooLong { field } => RecordedPiece::FieldTooLong(field),
            Piece::Array { field } => RecordedPiece::Array(field),
            Piece::Null { field } => RecordedPiece::Null(field),
            Piece::NotAnArray { field, .. } => RecordedPiece::NotAnArray(field),
            Piece::Item { raw, plain } => {
                RecordedPiece::Item(text(raw), plain.map(|(name, value)| (text(name), text(value))))
            }
            Piece::AttachBegin => RecordedPiece::AttachBegin,
            Piece::AttachNotAnObject(_) => RecordedPiece::AttachNotAnObject,
            Piece::AttachName(name) => RecordedPiece::AttachName(name.to_owned()),
            Piece::AttachNameWrongType(_) => RecordedPiece::AttachNameWrongType,
            Piece::AttachDataBegin => RecordedPiece::AttachData(Vec::new()),
            Piece::AttachData(run) => return self.data(run),
            Piece::AttachDataEnd => RecordedPiece::AttachDataEnd,
            Piece::AttachDataWrongType(_) => RecordedPiece::AttachDataWrongType,
            Piece::AttachDuplicate(name) => RecordedPiece::AttachDuplicate(name),
            Piece::AttachEnd => RecordedPiece::AttachEnd,
        });
    }

    fn reserve(&mut self, bytes: usize) -> bool {
        assert!(bytes > 0, "a reservation is never empty");
        let fits = self.limit.is_none_or(|limit| self.reserved + bytes <= limit);
        self.reserved += if fits { bytes } else { 0 };
        self.peak = self.peak.max(self.reserved);
        fits
    }

    fn release(&mut self, bytes: usize) {
        self.reserved = self.reserved.checked_sub(bytes).expect("a framer releases what it has reserved");
    }

    fn field_limit(&self, _: RootField) -> usize {
        self.field_limit.unwrap_or(usize::MAX)
    }

    fn take_base64(&mut self, bytes: &[u8]) -> usize {
        let Some(group) = self.base64_group else { return 0 };
        let is_base64 = |byte: &&u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
        let run = bytes.iter().take_while(is_base64).count() / group * group;
        if run > 0 {
            self.data(bytes.get(..run).expect("the run is a part of the bytes"));
        }
        run
    }
}

impl Recorder {
    fn data(&mut self, run: &[u8]) {
        assert!(!run.is_empty(), "runs are never empty");
        self.longest_run = self.longest_run.max(run.len());
        // In XML, text of the entry can occur between two runs.
        let begun = self.pieces.iter_mut().rev().find(|piece| **piece != RecordedPiece::AttachNotAnObject);
        match begun {
            Some(RecordedPiece::AttachData(data)) => data.extend_from_slice(run),
            other => panic!("data after {other:?}"),
        }
    }
}

pub trait TestedFramer {
    fn begin(endpoint: Endpoint) -> Self;
    fn feed(&mut self, chunk: &[u8], recorder: &mut Recorder) -> Result<(), FrameError>;
    fn finish(&mut self, recorder: &mut Recorder) -> Result<(), FrameError>;
    fn attachment_bytes(&self) -> u64;
}

macro_rules! framer {
    ($framer:ty) => {
        impl TestedFramer for $framer {
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

/// The result of framing a body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FramedBody {
    /// The pieces before the error, if there is one.
    pub pieces: Vec<RecordedPiece>,
    pub result: Result<(), FrameError>,
    pub attachment_bytes: u64,
}

impl FramedBody {
    /// Returns the pieces of a well-formed body.
    pub fn into_pieces(self) -> Vec<RecordedPiece> {
        assert_eq!(self.result, Ok(()), "{:?}", self.pieces);
        self.pieces
    }

    /// Returns offset and text of the error.
    pub fn error(&self) -> (u64, &str) {
        let Err(FrameError::Malformed { at, what }) = &self.result else { panic!("no syntax error: {self:?}") };
        (*at, what)
    }
}

/// Frames `chunks` into `recorder`. Panics if a check fails.
pub fn frame_into<'c, F: TestedFramer>(
    recorder: &mut Recorder,
    endpoint: Endpoint,
    chunks: impl IntoIterator<Item = &'c [u8]>,
) -> FramedBody {
    let mut framer = F::begin(endpoint);
    let mut fed = 0;
    let result = chunks.into_iter().try_for_each(|chunk| {
        fed += chunk.len() as u64;
        framer.feed(chunk, recorder)
    });
    let result = result.and_then(|()| framer.finish(recorder));
    if let Err(error) = &result {
        let before = recorder.pieces.len();
        assert_eq!(framer.feed(b" ", recorder).as_ref(), Err(error), "a framer repeats its error");
        assert_eq!(framer.finish(recorder).as_ref(), Err(error), "a framer repeats its error");
        assert_eq!(recorder.pieces.len(), before, "no piece follows an error");
        if let FrameError::Malformed { at, .. } = error {
            assert!(*at <= fed, "an error is at a byte of the body");
        }
    }
    assert_eq!(recorder.reserved, 0, "the framer has released its memory");
    assert!(framer.attachment_bytes() <= fed, "attachment data is a part of the body");
    FramedBody { pieces: std::mem::take(&mut recorder.pieces), result, attachment_bytes: framer.attachment_bytes() }
}
