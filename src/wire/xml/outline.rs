//! Makes pieces of tokens: knows which element of a request is a field, an item or an attachment.

use super::characters::is_white;
use super::flat;
use super::input::{Input, length, malformed};
use super::lexer::{Lexer, Token};
use super::line_ends::LineEnds;
use super::tag::Marks;
use crate::fields::{AttachmentField, Endpoint, RootField};
use crate::wire::{
    FrameError, Piece, Sink, ValueType,
    attachment_name::AttachmentName,
    capture::{Capture, Captured},
};

/// The element that decides the role of the current bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ElementRole {
    Outside,
    Root,
    /// An unknown child of the root, or a field with `xsi:nil`.
    Unknown,
    Field {
        field: RootField,
        is_array: bool,
    },
    Item,
    /// An item with `xsi:nil`: empty, whatever its content.
    NilItem,
    /// An entry of `attach`.
    Attach,
    /// A child of an entry that is unknown, has `xsi:nil`, or occurs a second time.
    AttachUnknown,
    /// `wrong_type`: its type, if it is not text.
    AttachName {
        wrong_type: Option<ValueType>,
    },
    /// `is_text`: only character data so far. `is_first`: not a second `data`.
    AttachData {
        is_text: bool,
        is_first: bool,
    },
}

#[derive(Debug)]
pub struct Outline {
    endpoint: Endpoint,
    role: ElementRole,
    capture: Capture,
    attachment: AttachmentElement,
    attachment_bytes: u64,
}

/// The current entry of `attach`.
#[derive(Debug, Default)]
struct AttachmentElement {
    has_name: bool,
    has_data: bool,
    has_text: bool,
    name: AttachmentName,
    line_ends: LineEnds,
}

impl Outline {
    pub fn new(endpoint: Endpoint) -> Self {
        Self {
            endpoint,
            role: ElementRole::Outside,
            capture: Capture::default(),
            attachment: AttachmentElement::default(),
            attachment_bytes: 0,
        }
    }

    /// Whether items can be next.
    pub fn can_take_items(&self) -> bool {
        self.role == ElementRole::Root && self.endpoint == Endpoint::StartBatch
    }

    /// Whether the current element is the `data` of an attachment.
    pub fn is_in_attachment(&self) -> bool {
        matches!(self.role, ElementRole::AttachData { .. })
    }

    /// Whether text at that level is the data of an attachment.
    pub fn is_in_data(&self, level: usize) -> bool {
        level == 3 && self.is_in_attachment()
    }

    /// Whether attachment data for the sink can be next.
    pub fn can_take_data(&self, level: usize) -> bool {
        level == 3 && self.role == ElementRole::AttachData { is_text: true, is_first: true }
    }

    /// Counts attachment data that the sink took.
    pub fn count_data(&mut self, bytes: &[u8]) {
        self.attachment_bytes = self.attachment_bytes.saturating_add(length(bytes.len()));
    }

    pub fn attachment_bytes(&self) -> u64 {
        self.attachment_bytes
    }

    /// Processes a token.
    pub fn accept<S: Sink>(
        &mut self,
        token: Token<'_>,
        lexer: &Lexer,
        input: &Input<'_>,
        sink: &mut S,
    ) -> Result<(), FrameError> {
        match token {
            Token::ChunkEnd => {}
            Token::Open { begin, end, marks } => match lexer.level() {
                1 if lexer.name() == b"xml" => self.role = ElementRole::Root,
                1 => return Err(malformed(begin.saturating_add(1), wrong_root(lexer.name()))),
                2 => self.begin_root_child(lexer.name(), end, marks, sink),
                3 => self.begin_attachment_child(lexer.name(), marks, sink),
                4 => self.begin_nested_element(sink),
                _ => {}
            },
            Token::Close { begin } => match lexer.level() {
                1 => self.role = ElementRole::Outside,
                2 => self.end_root_child(begin, input, sink),
                3 => self.end_attachment_child(sink),
                _ => {}
            },
            Token::Text { begin, bytes } => {
                if let Some(text) = bytes.iter().position(|byte| !is_white(*byte)) {
                    self.check_text(lexer.level(), begin.saturating_add(length(text)), sink)?;
                }
                self.add_text(lexer.level(), bytes, length(bytes.len()), Some(begin), sink);
            }
            Token::Char { begin, raw, char } => {
                if !matches!(char, ' ' | '\t' | '\r' | '\n') {
                    self.check_text(lexer.level(), begin, sink)?;
                }
                self.add_text(lexer.level(), char.encode_utf8(&mut [0; 4]).as_bytes(), raw, None, sink);
            }
        }
        Ok(())
    }

    /// Keeps an incomplete piece at the end of the chunk.
    pub fn suspend<S: Sink>(&mut self, lexer: &Lexer, input: &Input<'_>, sink: &mut S) {
        if matches!(self.role, ElementRole::Field { .. } | ElementRole::Item) {
            self.capture.suspend(lexer.content_end(input), input.chunk, sink);
        }
    }

    /// Releases all memory.
    pub fn release<S: Sink>(&mut self, sink: &mut S) {
        self.capture.release(sink);
    }

    fn begin_root_child<S: Sink>(&mut self, name: &[u8], end: u64, marks: Marks, sink: &mut S) {
        self.role = match RootField::from_name(self.endpoint, name) {
            None => ElementRole::Unknown,
            Some(RootField::Data) if marks.nil => ElementRole::NilItem,
            // Each `attach` is an entry. One with `xsi:nil` does not count, and others can follow.
            Some(RootField::Attach) if marks.nil => ElementRole::Unknown,
            Some(field) if marks.nil => {
                sink.accept(Piece::Null { field });
                ElementRole::Unknown
            }
            Some(RootField::Data) => {
                self.capture.begin(end, usize::MAX);
                ElementRole::Item
            }
            Some(RootField::Attach) => {
                self.attachment = AttachmentElement::default();
                sink.accept(Piece::AttachBegin);
                ElementRole::Attach
            }
            Some(field) => {
                self.capture.begin(end, sink.field_limit(field));
                ElementRole::Field { field, is_array: marks.array }
            }
        };
    }

    fn end_root_child<S: Sink>(&mut self, begin: u64, input: &Input<'_>, sink: &mut S) {
        match self.role {
            ElementRole::Field { field, is_array } => match self.capture.end(begin, input.chunk, sink) {
                Captured::Whole(value) => sink.accept(Piece::Field { field, value, marked_array: is_array }),
                Captured::TooLong => sink.accept(Piece::FieldTooLong { field }),
                Captured::Refused => {}
            },
            ElementRole::Item => {
                if let Captured::Whole(raw) = self.capture.end(begin, input.chunk, sink) {
                    sink.accept(Piece::Item { raw, plain: flat::plain(raw) });
                }
            }
            ElementRole::NilItem => sink.accept(Piece::Item { raw: b"", plain: None }),
            ElementRole::Attach => sink.accept(Piece::AttachEnd),
            _ => {}
        }
        self.capture.release(sink);
        self.role = ElementRole::Root;
    }

    /// Begins an element at level 3. It matters if it is a child of an entry of `attach`.
    fn begin_attachment_child<S: Sink>(&mut self, name: &[u8], marks: Marks, sink: &mut S) {
        if self.role != ElementRole::Attach {
            return;
        }
        let Some(field) = AttachmentField::from_name(name) else {
            self.role = ElementRole::AttachUnknown;
            return;
        };
        let has_field = match field {
            AttachmentField::Name => &mut self.attachment.has_name,
            AttachmentField::Data => &mut self.attachment.has_data,
        };
        let is_first = !std::mem::replace(has_field, true);
        let is_text = !marks.array;
        self.role = match field {
            _ if is_first && marks.nil => ElementRole::AttachUnknown,
            AttachmentField::Name if is_first => {
                ElementRole::AttachName { wrong_type: (!is_text).then_some(ValueType::MarkedArray) }
            }
            AttachmentField::Name => {
                sink.accept(Piece::AttachDuplicate(field));
                ElementRole::AttachUnknown
            }
            AttachmentField::Data => {
                sink.accept(match (is_first, is_text) {
                    (false, _) => Piece::AttachDuplicate(field),
                    (true, true) => Piece::AttachDataBegin,
                    (true, false) => Piece::AttachDataWrongType(ValueType::MarkedArray),
                });
                ElementRole::AttachData { is_text, is_first }
            }
        };
    }

    /// Begins an element at level 4. It matters in `name` and `data` of an entry, which must be text.
    fn begin_nested_element<S: Sink>(&mut self, sink: &mut S) {
        match &mut self.role {
            ElementRole::AttachName { wrong_type } => *wrong_type = Some(ValueType::Elements),
            ElementRole::AttachData { is_text, is_first } => {
                if *is_first && *is_text {
                    sink.accept(Piece::AttachDataWrongType(ValueType::Elements));
                }
                *is_text = false;
            }
            _ => {}
        }
    }

    fn end_attachment_child<S: Sink>(&mut self, sink: &mut S) {
        match self.role {
            ElementRole::AttachName { wrong_type: None } => sink.accept(Piece::AttachName(self.attachment.name.text())),
            ElementRole::AttachName { wrong_type: Some(received) } => sink.accept(Piece::AttachNameWrongType(received)),
            ElementRole::AttachData { is_text: true, is_first: true } => sink.accept(Piece::AttachDataEnd),
            ElementRole::AttachUnknown | ElementRole::AttachData { .. } => {}
            _ => return,
        }
        self.role = ElementRole::Attach;
    }

    /// Checks text that is not white space, at `level`.
    fn check_text<S: Sink>(&mut self, level: usize, at: u64, sink: &mut S) -> Result<(), FrameError> {
        match self.role {
            ElementRole::Root if level == 1 => return Err(malformed(at, "text directly in the root element")),
            ElementRole::Attach if level == 2 && !self.attachment.has_text => {
                self.attachment.has_text = true;
                sink.accept(Piece::AttachNotAnObject(ValueType::Text));
            }
            _ => {}
        }
        Ok(())
    }

    /// Adds text at `level`: `raw` bytes as sent. `at` is its offset; `None`: it is the character of a reference.
    fn add_text<S: Sink>(&mut self, level: usize, bytes: &[u8], raw: u64, at: Option<u64>, sink: &mut S) {
        match self.role {
            ElementRole::AttachName { wrong_type: None } if level == 3 && !self.attachment.name.is_full() => {
                let AttachmentElement { name, line_ends, .. } = &mut self.attachment;
                line_ends.push(bytes, at, |run| name.push(run));
            }
            ElementRole::AttachData { is_text, is_first } if level == 3 => {
                self.attachment_bytes = self.attachment_bytes.saturating_add(raw);
                if is_text && is_first {
                    sink.accept(Piece::AttachData(bytes));
                }
            }
            _ => {}
        }
    }
}

/// Returns the error of a wrong name of the root element.
fn wrong_root(name: &[u8]) -> &'static str {
    let local = name.rsplit(|byte| *byte == b':').next().unwrap_or_default();
    match local {
        b"Envelope" => "expected a root element named xml, not a SOAP envelope; send the request without SOAP",
        _ if local.eq_ignore_ascii_case(b"html") => "expected a root element named xml, not HTML",
        _ if local.eq_ignore_ascii_case(b"xml") => {
            "expected a root element named xml, in lower case and without a prefix"
        }
        _ => "expected a root element named xml",
    }
}
