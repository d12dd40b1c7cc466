//! What a framer produces, and what receives it.

use std::borrow::Cow;

use super::value::ValueType;
use crate::fields::{AttachmentField, RootField};

/// A part of a body, as a framer passes it to its [`Sink`]. Slices are valid during the call only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Piece<'a> {
    /// A known root field other than `data` and `attach`, with its complete value as sent: the JSON text without the white
    /// space around it, or the markup between the XML element's tags. `marked_array` is the XML attribute `array='true'`.
    Field { field: RootField, value: &'a [u8], marked_array: bool },
    /// A known root field whose value is longer than [`Sink::field_limit`]. The framer discarded the value.
    FieldTooLong { field: RootField },
    /// JSON `data` or `attach` begins, and it is an array. XML has no such piece.
    Array { field: RootField },
    /// JSON `data` or `attach` is `null`, or an XML root field has `xsi:nil`. The field is absent.
    Null { field: RootField },
    /// JSON `data` or `attach` is neither an array nor `null`.
    NotAnArray { field: RootField, received: ValueType },
    /// A complete entry of `data` as sent: its JSON text, or the markup between the tags of its XML element.
    ///
    /// `plain` is the name and the value of the item's only member, if both are plain text. In JSON, the value is a string,
    /// and neither the name nor the value contains an escape. In XML, the item is one child element without attributes that
    /// contains character data only, without references and carriage returns. `plain` saves the decoder a second pass. It
    /// depends on `raw` alone, not on the chunks.
    Item { raw: &'a [u8], plain: Option<PlainMember<'a>> },
    /// An entry of `attach` begins.
    AttachBegin,
    /// The entry is not an object. In XML, the entry has character data of its own. The XML framer reports this once, when
    /// it finds the first such character, so pieces of the entry's children may come before and after.
    AttachNotAnObject(ValueType),
    /// The entry's `name`, decoded. A name longer than [`crate::limits::ATTACHMENT_NAME_LIMIT`] bytes is cut after the first
    /// character beyond the limit.
    AttachName(&'a str),
    /// The entry's `name` is not a string, or a JSON string that is not Unicode text. `null` makes no piece.
    AttachNameWrongType(ValueType),
    /// The entry's `data` begins, and it is a string.
    AttachDataBegin,
    /// The next bytes of `data`, with escapes and references decoded and line ends as sent. Never empty. No longer than the
    /// chunk, except for one character that began in an earlier chunk.
    AttachData(&'a [u8]),
    /// `data` ends.
    AttachDataEnd,
    /// `data` is not a string. `null` makes no piece. The XML framer may find a child element after `AttachDataBegin` and
    /// some data. This piece then takes the place of `AttachDataEnd`.
    AttachDataWrongType(ValueType),
    /// The entry has a field twice, whatever the two values are. The second value makes no piece. The bytes of a second
    /// `data` count as attachment data.
    AttachDuplicate(AttachmentField),
    /// The entry ends. Also sent after `AttachNotAnObject`.
    AttachEnd,
}

/// The name and the value of an item's only member, as sent.
pub type PlainMember<'a> = (&'a [u8], &'a [u8]);

/// Receives the pieces of a body and accounts for the memory of its framer.
pub trait Sink {
    /// Accepts the next piece. The sink records errors in the piece's content. They do not stop the framer.
    fn accept(&mut self, piece: Piece<'_>);

    /// Reserves memory for `bytes` more bytes of an incomplete piece, and returns whether there is room.
    ///
    /// The framer allocates exactly what it reserves: at most half as much again as it needs, so that a piece in many chunks
    /// is not copied for each of them. After `false`, the framer drops the piece and only checks the rest of it. If the
    /// piece is an XML tag, the rest of the body cannot be checked, and neither pieces nor errors follow.
    fn reserve(&mut self, bytes: usize) -> bool;

    /// Releases `bytes`. A framer has released everything when it returns its last `Ok` or `Err`.
    fn release(&mut self, bytes: usize);

    /// Returns the longest value of `field` that the framer keeps, in bytes as sent.
    fn field_limit(&self, field: RootField) -> usize;

    /// Takes base64 characters from the start of `bytes` as if they had come in [`Piece::AttachData`], and returns how many.
    /// The sink may take fewer than it could.
    ///
    /// This is the fast path of attachment data. A character of the base64 alphabet has no other meaning in JSON or XML, so
    /// the framer does not have to inspect the bytes that the sink takes.
    fn take_base64(&mut self, _bytes: &[u8]) -> usize {
        0
    }
}

/// Why a body cannot be framed. `at` is the offset of the wrong byte in the body. A byte order mark counts.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The body is not well-formed.
    #[error("byte {at}: {what}")]
    Malformed { at: u64, what: Cow<'static, str> },
    /// The XML declaration names an encoding other than UTF-8.
    #[error("unsupported encoding {0}")]
    Encoding(String),
}
