//! What stands on the wire: framing a body as it arrives, decoding the small pieces, writing replies.
//!
//! A *framer* ([`json::JsonFramer`], [`xml::XmlFramer`]) is pushed the body's bytes in whatever chunks they
//! come and knows only the outer structure. It checks that *everything* is well-formed, also what nobody
//! reads, and hands on one [`Piece`] at a time to a [`Sink`]: a root field, an item, or a run of attachment
//! data. It holds only the piece that is not complete yet, and asks the sink before it holds more.

pub mod attachment_data;
pub mod base64;
pub mod foreign;
pub mod json;
#[cfg(not(target_arch = "wasm32"))]
pub mod recorder;
pub mod scalar;
pub mod xml;

use std::{borrow::Cow, fmt};

pub use crate::fields::Endpoint;

/// A format of bodies and replies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[allow(missing_docs, reason = "the names are the formats'")]
pub enum Format {
    #[default]
    Json,
    Xml,
}

impl Format {
    /// The format of that name, as the field and the parameter `format` have it.
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "json" => Some(Self::Json),
            "xml" => Some(Self::Xml),
            _ => None,
        }
    }

    /// Its name, as [`Format::from_name`] takes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Xml => "xml",
        }
    }

    /// The `Content-Type` of a reply.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/json; charset=utf-8",
            Self::Xml => "application/xml; charset=utf-8",
        }
    }
}

/// Whether text in that charset can be read as UTF-8. ASCII can: it is a part of UTF-8.
pub fn is_utf8(charset: &str) -> bool {
    ["utf-8", "utf8", "us-ascii", "ascii"].iter().any(|known| charset.eq_ignore_ascii_case(known))
}

/// A field of the root that is known. All others are checked for well-formedness and dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "the names are the fields'")]
pub enum Field {
    Token,
    Format,
    /// `trigger_id` of `start_batch`, `id` of `start`.
    TriggerId,
    Matching,
    FieldName,
    SkipTriggers,
    Content,
    CustomData,
    Report,
    Strict,
    DryRun,
    Attach,
    /// `start_batch` alone.
    Data,
    /// From here on `start` alone: the fields of its one item.
    Email,
    Phone,
    ProfileId,
    FieldValue,
    Provider,
    SubscriptionId,
}

impl Field {
    /// The known field of that name, if `endpoint` has it.
    pub fn from_name(endpoint: Endpoint, name: &[u8]) -> Option<Self> {
        Some(match (name, endpoint) {
            (b"token", _) => Self::Token,
            (b"format", _) => Self::Format,
            (b"trigger_id", Endpoint::StartBatch) | (b"id", Endpoint::Start) => Self::TriggerId,
            (b"matching", _) => Self::Matching,
            (b"field_name", _) => Self::FieldName,
            (b"skip_triggers", _) => Self::SkipTriggers,
            (b"content", _) => Self::Content,
            (b"custom_data", _) => Self::CustomData,
            (b"report", _) => Self::Report,
            (b"strict", _) => Self::Strict,
            (b"dry_run", _) => Self::DryRun,
            (b"attach", _) => Self::Attach,
            (b"data", Endpoint::StartBatch) => Self::Data,
            (b"email", Endpoint::Start) => Self::Email,
            (b"phone", Endpoint::Start) => Self::Phone,
            (b"profile_id", Endpoint::Start) => Self::ProfileId,
            (b"field_value", Endpoint::Start) => Self::FieldValue,
            (b"provider", Endpoint::Start) => Self::Provider,
            (b"subscription_id", Endpoint::Start) => Self::SubscriptionId,
            _ => return None,
        })
    }

    /// Its name as callers write it: what [`Field::from_name`] takes, and what a refusal names.
    pub fn name(self, endpoint: Endpoint) -> &'static str {
        match self {
            Self::Token => "token",
            Self::Format => "format",
            Self::TriggerId if endpoint == Endpoint::Start => "id",
            Self::TriggerId => "trigger_id",
            Self::Matching => "matching",
            Self::FieldName => "field_name",
            Self::SkipTriggers => "skip_triggers",
            Self::Content => "content",
            Self::CustomData => "custom_data",
            Self::Report => "report",
            Self::Strict => "strict",
            Self::DryRun => "dry_run",
            Self::Attach => "attach",
            Self::Data => "data",
            Self::Email => "email",
            Self::Phone => "phone",
            Self::ProfileId => "profile_id",
            Self::FieldValue => "field_value",
            Self::Provider => "provider",
            Self::SubscriptionId => "subscription_id",
        }
    }
}

/// What a framer hands on. Slices live as long as the call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the variants say it")]
pub enum Piece<'a> {
    /// A known root field other than `data` and `attach`, with its whole value: in JSON the value's text as it
    /// came, without the white space around it; in XML the element's inner markup as it came (well-formed, may
    /// hold character data, references, CDATA, comments and elements). `marked_array` is XML's `array='true'`.
    Field { field: Field, value: &'a [u8], marked_array: bool },
    /// A known root field whose value is longer than [`Sink::field_limit`]; its bytes were dropped.
    FieldTooLong { field: Field },
    /// JSON `data` or `attach` begins, with a value that is an array. Never in XML.
    Array { field: Field },
    /// JSON `data` or `attach` is `null`, or a field of the root in XML is nil: it is absent.
    Null { field: Field },
    /// JSON `data` or `attach` is something else.
    NotAnArray { field: Field, received: Received },
    /// One entry of `data`, whole: in JSON its text, in XML the inner markup of its element. `plain` is
    /// `Some((name, value))` where the framer saw in passing that the entry is an object of exactly one member
    /// whose value is a string, and that neither the name nor the string has escapes (XML: one child element with
    /// nothing but character data, no references, no carriage return; no attribute). Both are valid UTF-8.
    /// It depends on `raw` alone, not on the chunks.
    Item { raw: &'a [u8], plain: Option<(&'a [u8], &'a [u8])> },
    /// An entry of `attach` begins.
    AttachBegin,
    /// An entry of `attach` is not an object (XML: has character data of its own; this may come anywhere in the
    /// entry, once, and pieces of its children before and after).
    AttachNotAnObject(Received),
    /// `name` of the entry, decoded, if it is a string (XML: nothing but character data). Of a name longer than
    /// [`crate::limits::ATTACHMENT_NAME_LIMIT`] bytes no more than the first character past the limit is kept, by
    /// which it is told.
    AttachName(&'a str),
    /// `name` is something else (JSON: also a string with half of a surrogate pair; but not `null`, which is
    /// absence and makes no piece).
    AttachNameWrongType(Received),
    /// `data` of the entry begins, a string.
    AttachDataBegin,
    /// Some of `data`, in order, escapes and references decoded. Never empty; no longer than the chunk fed, but for one
    /// character that waited for it. Line ends are those that came.
    AttachData(&'a [u8]),
    /// `data` ends.
    AttachDataEnd,
    /// `data` is not a string (XML: has child elements, or is marked as an array; then this may come behind
    /// `AttachDataBegin` and some data, in place of `AttachDataEnd`). JSON `null` is absence and makes no piece.
    AttachDataWrongType(Received),
    /// `name` or `data` stands in the entry a second time (JSON: whatever the two values are). Its value makes no
    /// piece; the bytes of a second `data` count as attachment data all the same.
    AttachDuplicate(&'static str),
    /// The entry ends. Also after `AttachNotAnObject`.
    AttachEnd,
}

/// Who takes the pieces.
pub trait Sink {
    /// Takes a piece. Faults that are not the framing's own are the sink's to remember: framing goes on.
    fn piece(&mut self, piece: Piece<'_>);
    /// May the framer hold `bytes` more of a piece that is not complete? After `false` it drops the piece
    /// (the sink remembers why) and goes on checking. What is asked for is what is allocated: up to half as much
    /// again as the piece needs so far, so that a piece that comes in many chunks is not copied for each of them.
    /// (XML: after `false` for a tag nothing can be checked any longer, and neither pieces nor faults follow.)
    fn reserve(&mut self, bytes: usize) -> bool;
    /// The framer no longer holds `bytes`. Called for all of them before the framer's last `Ok` or `Err`.
    fn release(&mut self, bytes: usize);
    /// The longest value of `field` to keep, in bytes as sent.
    fn field_limit(&self, field: Field) -> usize;
    /// The short way of attachment data: takes from the start of `bytes` what is characters of base64's alphabet, as if it
    /// had come as [`Piece::AttachData`], and tells how many bytes it took; perhaps fewer than could be. No such character
    /// means anything to a framer, which need not look at them.
    fn base64(&mut self, _bytes: &[u8]) -> usize {
        0
    }
}

/// Why a body cannot be framed. `at` is the offset in the body (from 0, a byte order mark included) of the
/// byte that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "said above")]
pub enum FrameError {
    /// Not well-formed.
    Malformed { at: u64, what: Cow<'static, str> },
    /// An XML declaration names an encoding other than UTF-8.
    Encoding(String),
}

/// One entry of `data`, or the item of `start`: the fields of all matching modes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Item<'a> {
    /// `email`.
    pub email: Scalar<'a>,
    /// `phone`.
    pub phone: Scalar<'a>,
    /// `profile_id`.
    pub profile_id: Scalar<'a>,
    /// `field_value`.
    pub field_value: Scalar<'a>,
    /// `provider`.
    pub provider: Scalar<'a>,
    /// `subscription_id`.
    pub subscription_id: Scalar<'a>,
    /// `custom_data` of the item's own.
    pub custom_data: ObjectText<'a>,
}

/// The value of a field that holds a string, an integer or a boolean; [`scalar`] reads it. XML has texts alone.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Scalar<'a> {
    /// The field is absent, or JSON `null`.
    #[default]
    Absent,
    /// A string, decoded.
    Text(Cow<'a, str>),
    /// A JSON number that is an integer (`-?[0-9]+`), as it came.
    Integer(&'a str),
    /// A JSON number whose fraction is zeros, such as `8.0`: the integer before the point.
    ZeroFraction(&'a str),
    /// JSON `true` or `false`.
    Boolean(bool),
    /// Anything else.
    WrongType(Received),
}

/// The value of a field that holds an object, as JSON text. From JSON it is the text that came.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum ObjectText<'a> {
    /// The field is absent, or JSON `null`.
    #[default]
    Absent,
    /// An object.
    Object(Cow<'a, str>),
    /// An object whose JSON text would be longer than the field may be. From XML alone: it was not converted.
    TooLong,
    /// Anything else.
    WrongType(Received),
}

impl ObjectText<'_> {
    /// Bytes of memory of a text that is not borrowed from the body.
    pub fn allocated(&self) -> u64 {
        match self {
            Self::Object(Cow::Owned(text)) => text.capacity() as u64,
            _ => 0,
        }
    }
}

/// The type of a value that its field does not take, for messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "see `Display`")]
pub enum Received {
    Null,
    Boolean,
    Number,
    /// A number that is not an integer.
    OtherNumber,
    String,
    /// A JSON string that is not Unicode text, such as `"\ud800"`.
    LoneSurrogate,
    Array,
    Object,
    /// XML text where elements belong.
    Text,
    /// XML elements where text belongs.
    Elements,
    /// An XML element with `array='true'`.
    MarkedArray,
}

impl Received {
    /// The type of a JSON value that begins with `byte`.
    pub fn json(byte: u8) -> Self {
        match byte {
            b'{' => Self::Object,
            b'[' => Self::Array,
            b'"' => Self::String,
            b't' | b'f' => Self::Boolean,
            b'n' => Self::Null,
            _ => Self::Number,
        }
    }
}

impl fmt::Display for Received {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Null => "JSON null",
            Self::Boolean => "a JSON boolean",
            Self::Number => "a JSON number",
            Self::OtherNumber => "a JSON number with a fraction or an exponent",
            Self::String => "a JSON string",
            Self::LoneSurrogate => "a JSON string with half of a surrogate pair",
            Self::Array => "a JSON array",
            Self::Object => "a JSON object",
            Self::Text => "text",
            Self::Elements => "XML elements",
            Self::MarkedArray => "an XML element with array='true'",
        })
    }
}

/// An entry of `data` that is no object, or has a known field twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotAnItem;
