//! Frames and decodes JSON (RFC 8259).
//!
//! | module | purpose |
//! |---|---|
//! | `grammar` | checks the document byte by byte, and stops where the framer decides |
//! | `string`, `scan` | decode and check the inside of strings |
//! | `member_name`, `attachment` | names of members, entries of `attach` |
//! | `run_buffer` | joins short runs of attachment data |
//! | `flat` | the fast path for items |
//! | [`decode`] | decodes complete values |
//!
//! The framer watches one container at a time ([`Watched`]): the document, the root object, `data`, `attach`, or one of its
//! entries. For each value in it, [`ValueRole`] says what the value is for. All other containers are only checked.
//!
//! The body must be UTF-8, except for the `data` of attachments, where [`super::attachment_data`] rejects bytes that are not
//! ASCII. One byte order mark is allowed. Half of a surrogate pair (`"\ud800"`) is well-formed (RFC 8259, section 8.2): a name
//! with one is unknown, [`decode`] rejects it in values, and `content` and `custom_data` keep it as sent.

mod attachment;
pub mod decode;
mod flat;
mod grammar;
mod member_name;
mod run_buffer;
mod scan;
mod string;
mod syntax_error;
#[cfg(test)]
mod tests;

pub use decode::{item, object, scalar};

use super::{
    FrameError, Piece, Sink, ValueType,
    capture::{Capture, Captured, Chunk},
};
use crate::{
    fields::{Endpoint, RootField},
    text::BYTE_ORDER_MARK,
};
use attachment::AttachmentObject;
use grammar::{Grammar, GrammarEvent};
use member_name::MemberName;
use run_buffer::RunBuffer;
use string::DecodedString;
use syntax_error::SyntaxError;

/// Frames a JSON body. [`Piece`] documents what it passes to the sink.
#[derive(Debug)]
pub struct JsonFramer {
    endpoint: Endpoint,
    grammar: Grammar,
    watched: Watched,
    /// The role of the current value in the watched container.
    role: ValueRole,
    /// The string that the framer decodes. The grammar checks all others.
    decoding: Option<DecodedString>,
    name: MemberName,
    /// The current member of the root, if it is known.
    field: Option<RootField>,
    attachment: AttachmentObject,
    capture: Capture,
    /// Bytes of a byte order mark that have been read or ruled out.
    mark: usize,
    /// Bytes of the body before the chunk.
    offset: u64,
    attachment_bytes: u64,
    error: Option<FrameError>,
}

/// A container whose members the framer distinguishes.
#[derive(Debug, Clone, Copy)]
enum Watched {
    Document,
    Root,
    Items,
    Attachments,
    Attachment,
}

/// What a skipped value is for.
#[derive(Debug, Clone, Copy)]
enum ValueRole {
    /// Only checked.
    Unknown,
    Field(RootField),
    Null(RootField),
    NotAnArray(RootField, ValueType),
    Item,
    /// An entry of `attach` that is not an object.
    NotAnAttachment,
}

impl JsonFramer {
    pub fn new(endpoint: Endpoint) -> Self {
        Self {
            endpoint,
            grammar: Grammar::default(),
            watched: Watched::Document,
            role: ValueRole::Unknown,
            decoding: None,
            name: MemberName::default(),
            field: None,
            attachment: AttachmentObject::default(),
            capture: Capture::default(),
            mark: 0,
            offset: 0,
            attachment_bytes: 0,
            error: None,
        }
    }

    /// Bytes of the `data` of attachments as sent: everything between the quotation marks, escapes included. They do not count
    /// against `BODY_LIMIT`. After an error, the bytes before it.
    pub fn attachment_bytes(&self) -> u64 {
        self.attachment_bytes
    }

    /// Whether the next byte, or the byte with the error, is inside the `data` of an attachment.
    pub fn is_in_attachment(&self) -> bool {
        matches!(self.decoding, Some(DecodedString::AttachmentData { .. }))
    }

    /// Frames the next chunk of the body. After an error, every call returns the same error.
    pub fn feed<S: Sink>(&mut self, chunk: &[u8], sink: &mut S) -> Result<(), FrameError> {
        if let Some(error) = &self.error {
            return Err(error.clone());
        }
        if let Err(SyntaxError { at, what }) = self.advance(chunk, sink) {
            let at = self.offset.saturating_add(at as u64);
            return Err(self.fail(FrameError::Malformed { at, what }, sink));
        }
        let chunk = self.chunk(chunk);
        self.capture.suspend(chunk.end(), chunk, sink);
        self.offset = chunk.end();
        Ok(())
    }

    /// Ends the body. Returns an error if the document is incomplete.
    pub fn finish<S: Sink>(&mut self, sink: &mut S) -> Result<(), FrameError> {
        if let Some(error) = &self.error {
            return Err(error.clone());
        }
        let Some(mut position) = self.grammar.describe_position() else { return Ok(()) };
        let what = if matches!(self.watched, Watched::Document) {
            "the body is empty: expected a JSON object".into()
        } else {
            match self.decoding {
                None => {}
                Some(DecodedString::MemberName) => position = "in a member's name",
                Some(DecodedString::AttachmentName | DecodedString::AttachmentData { .. }) => position = "in a string",
            }
            match self.field.and_then(|field| field.name(self.endpoint)) {
                Some(name) => format!("the body ends early: {position}, in the field {name}").into(),
                None => format!("the body ends early: {position}").into(),
            }
        };
        Err(self.fail(FrameError::Malformed { at: self.offset, what }, sink))
    }

    fn fail<S: Sink>(&mut self, error: FrameError, sink: &mut S) -> FrameError {
        self.capture.release(sink);
        self.error = Some(error.clone());
        error
    }

    fn advance<S: Sink>(&mut self, chunk: &[u8], sink: &mut S) -> Result<(), SyntaxError> {
        let mut pos = 0;
        while let Some(byte) = chunk.get(pos)
            && self.mark < BYTE_ORDER_MARK.len()
        {
            if BYTE_ORDER_MARK.get(self.mark) == Some(byte) {
                self.mark += 1;
                pos += 1;
            } else if self.mark == 0 {
                self.mark = BYTE_ORDER_MARK.len();
            } else {
                return Err(SyntaxError::found(pos, "the rest of a byte order mark", *byte));
            }
        }
        while pos < chunk.len() {
            pos = match self.decoding {
                None => self.advance_structure(chunk, pos, sink)?,
                Some(string) => self.advance_string(string, chunk, pos, sink)?,
            };
        }
        Ok(())
    }

    fn advance_structure<S: Sink>(&mut self, chunk: &[u8], pos: usize, sink: &mut S) -> Result<usize, SyntaxError> {
        let (pos, event) = self.grammar.run(chunk, pos)?;
        match event {
            GrammarEvent::ChunkEnd => {}
            GrammarEvent::Name => {
                self.name.clear();
                self.decoding = Some(DecodedString::MemberName);
            }
            GrammarEvent::Value(byte) => return self.begin_value(chunk, pos, byte, sink),
            GrammarEvent::ValueEnd => self.end_value(chunk, pos, sink),
            GrammarEvent::ContainerEnd => self.end_container(sink),
        }
        Ok(pos)
    }

    /// Begins a value of the watched container at `pos` with `byte`.
    fn begin_value<S: Sink>(&mut self, chunk: &[u8], pos: usize, byte: u8, sink: &mut S) -> Result<usize, SyntaxError> {
        self.role = ValueRole::Unknown;
        match self.watched {
            Watched::Document if byte == b'{' => return self.watch(Watched::Root, pos),
            Watched::Document => return Err(SyntaxError::root(pos, byte)),
            Watched::Root => match self.field {
                None => {}
                Some(field @ (RootField::Data | RootField::Attach)) if byte == b'[' => {
                    sink.accept(Piece::Array { field });
                    return self
                        .watch(if field == RootField::Data { Watched::Items } else { Watched::Attachments }, pos);
                }
                Some(field @ (RootField::Data | RootField::Attach)) => {
                    self.role = if byte == b'n' {
                        ValueRole::Null(field)
                    } else {
                        ValueRole::NotAnArray(field, ValueType::of_json(byte))
                    };
                }
                Some(field) => {
                    self.role = ValueRole::Field(field);
                    self.capture.begin(self.offset_of(pos), sink.field_limit(field));
                }
            },
            Watched::Items => {
                let end = self.flat_items(chunk, pos, sink);
                if end > pos {
                    return Ok(end);
                }
                self.role = ValueRole::Item;
                self.capture.begin(self.offset_of(pos), usize::MAX);
            }
            Watched::Attachments => {
                sink.accept(Piece::AttachBegin);
                self.attachment = AttachmentObject::default();
                if byte == b'{' {
                    return self.watch(Watched::Attachment, pos);
                }
                sink.accept(Piece::AttachNotAnObject(ValueType::of_json(byte)));
                self.role = ValueRole::NotAnAttachment;
            }
            Watched::Attachment => {
                self.decoding = self.attachment.begin_value(byte, sink);
                if self.decoding.is_some() {
                    self.grammar.begin_string();
                    return Ok(pos + 1);
                }
            }
        }
        self.grammar.skip(byte, pos)?;
        Ok(pos + 1)
    }

    /// Passes on the flat items from `pos` on. Returns the position after the last one.
    fn flat_items<S: Sink>(&mut self, chunk: &[u8], pos: usize, sink: &mut S) -> usize {
        let mut rest = chunk.get(pos..).unwrap_or_default();
        let mut found = flat::item(rest);
        while let Some(item) = found {
            sink.accept(item.piece());
            self.grammar.end_checked_value();
            rest = item.rest;
            // If no flat item follows, the grammar reads the comma.
            let next = flat::trim_start(rest).strip_prefix(b",").map(flat::trim_start);
            found = next.and_then(flat::item);
        }
        chunk.len() - rest.len()
    }

    fn watch(&mut self, container: Watched, pos: usize) -> Result<usize, SyntaxError> {
        self.grammar.watch(!matches!(container, Watched::Items | Watched::Attachments), pos)?;
        self.watched = container;
        Ok(pos + 1)
    }

    /// Ends the current value, which ends before `pos`.
    fn end_value<S: Sink>(&mut self, chunk: &[u8], pos: usize, sink: &mut S) {
        let (end, chunk) = (self.offset_of(pos), self.chunk(chunk));
        match self.role {
            ValueRole::Unknown => {}
            ValueRole::Null(field) => sink.accept(Piece::Null { field }),
            ValueRole::NotAnArray(field, received) => sink.accept(Piece::NotAnArray { field, received }),
            ValueRole::NotAnAttachment => sink.accept(Piece::AttachEnd),
            ValueRole::Field(field) => {
                match self.capture.end(end, chunk, sink) {
                    Captured::Whole(value) => sink.accept(Piece::Field { field, value, marked_array: false }),
                    Captured::TooLong => sink.accept(Piece::FieldTooLong { field }),
                    Captured::Refused => {}
                }
                self.capture.release(sink);
            }
            ValueRole::Item => {
                if let Captured::Whole(raw) = self.capture.end(end, chunk, sink) {
                    // A flat item that is split between chunks arrives here.
                    let plain = flat::item(raw).and_then(|item| item.plain);
                    sink.accept(Piece::Item { raw, plain });
                }
                self.capture.release(sink);
            }
        }
        if matches!(self.watched, Watched::Root) {
            self.field = None;
        }
    }

    fn chunk<'c>(&self, bytes: &'c [u8]) -> Chunk<'c> {
        Chunk { bytes, offset: self.offset }
    }

    /// The offset in the body of a position in the chunk.
    fn offset_of(&self, pos: usize) -> u64 {
        self.offset.saturating_add(pos as u64)
    }

    /// Ends the watched container.
    fn end_container<S: Sink>(&mut self, sink: &mut S) {
        self.watched = match self.watched {
            Watched::Items | Watched::Attachments => {
                self.field = None;
                Watched::Root
            }
            Watched::Attachment => {
                sink.accept(Piece::AttachEnd);
                Watched::Attachments
            }
            Watched::Document | Watched::Root => Watched::Document,
        };
    }

    /// Decodes the next bytes of a string.
    fn advance_string<S: Sink>(
        &mut self,
        decoding: DecodedString,
        chunk: &[u8],
        pos: usize,
        sink: &mut S,
    ) -> Result<usize, SyntaxError> {
        let string = &mut self.grammar.string;
        let (end, has_ended) = match decoding {
            DecodedString::AttachmentData { is_first } => {
                let fast = if is_first && string.is_between_characters() {
                    sink.take_base64(chunk.get(pos..).unwrap_or_default())
                } else {
                    0
                };
                self.attachment_bytes += fast as u64;
                let pos = pos + fast;
                let mut runs = RunBuffer::new(sink);
                let result = string.feed::<true>(chunk, pos, &mut |run| {
                    if is_first {
                        runs.push(run);
                    }
                });
                runs.flush();
                let inside = match &result {
                    Ok((end, has_ended)) => end - usize::from(*has_ended),
                    Err(error) => error.at,
                };
                self.attachment_bytes += inside.saturating_sub(pos) as u64;
                result?
            }
            DecodedString::AttachmentName => {
                string.feed::<false>(chunk, pos, &mut |run| self.attachment.push_name(run))?
            }
            DecodedString::MemberName => string.feed::<false>(chunk, pos, &mut |run| self.name.push(run))?,
        };
        if has_ended {
            self.decoding = None;
            match decoding {
                DecodedString::MemberName if matches!(self.watched, Watched::Attachment) => {
                    self.attachment.begin_member(self.name.get(), sink);
                }
                DecodedString::MemberName => {
                    self.field = self.name.get().and_then(|name| RootField::from_name(self.endpoint, name));
                }
                DecodedString::AttachmentName => {
                    self.attachment.end_name(self.grammar.string.has_lone_surrogate, sink);
                }
                DecodedString::AttachmentData { is_first: true } => sink.accept(Piece::AttachDataEnd),
                DecodedString::AttachmentData { is_first: false } => {}
            }
        }
        Ok(end)
    }
}
