//! The outline of a request: which element is a field, an item or an attachment. It makes pieces of tokens.

use super::attachment_name::AttachmentName;
use super::capture::Capture;
use super::chars::is_white;
use super::lexer::{Lexer, Token};
use super::{Input, Marks, direct, length, malformed};
use crate::wire::{Endpoint, Field, FrameError, Piece, ValueType, Sink};

/// The element that decides what the bytes at hand are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// None.
    Outside,
    Root,
    /// A child of the root that is not known, or a field that is nil: dropped.
    Unknown,
    Field {
        field: Field,
        array: bool,
    },
    Item,
    /// An item that is nil: empty, whatever it contains.
    NilItem,
    /// An entry of `attach`.
    Attach,
    /// A child of an entry that is not known, is nil, or came twice: dropped.
    AttachUnknown,
    /// `wrong`: the type that it has instead of text, as far as it has come.
    AttachName {
        wrong: Option<ValueType>,
    },
    /// `right`: it has been nothing but character data so far; `first`: it is not a second one.
    AttachData {
        right: bool,
        first: bool,
    },
}

/// See the module.
#[derive(Debug)]
pub struct Outline {
    endpoint: Endpoint,
    place: Place,
    capture: Capture,
    entry: Entry,
    attachment_bytes: u64,
}

/// What has been seen of an entry of `attach`.
#[derive(Debug, Default)]
struct Entry {
    name_seen: bool,
    data_seen: bool,
    has_text: bool,
    name: AttachmentName,
}

impl Outline {
    pub fn new(endpoint: Endpoint) -> Self {
        Self {
            endpoint,
            place: Place::Outside,
            capture: Capture::default(),
            entry: Entry::default(),
            attachment_bytes: 0,
        }
    }

    /// Whether items may be next.
    pub fn takes_items(&self) -> bool {
        self.place == Place::Root && self.endpoint == Endpoint::StartBatch
    }

    /// Whether the element at hand is the `data` of an attachment.
    pub fn is_in_attachment(&self) -> bool {
        matches!(self.place, Place::AttachData { .. })
    }

    /// Whether text at that level is the data of an attachment.
    pub fn is_in_data(&self, level: usize) -> bool {
        level == 3 && self.is_in_attachment()
    }

    /// Whether attachment data that is handed on may be next.
    pub fn takes_data(&self, level: usize) -> bool {
        level == 3 && self.place == Place::AttachData { right: true, first: true }
    }

    /// The sink took these by [`Sink::base64`].
    pub fn data_taken(&mut self, bytes: &[u8]) {
        self.attachment_bytes = self.attachment_bytes.saturating_add(length(bytes.len()));
    }

    pub fn attachment_bytes(&self) -> u64 {
        self.attachment_bytes
    }

    /// Takes what the lexer found.
    pub fn take<S: Sink>(
        &mut self,
        token: Token<'_>,
        lexer: &Lexer,
        input: &Input<'_>,
        sink: &mut S,
    ) -> Result<(), FrameError> {
        match token {
            Token::NeedMore => {}
            Token::Open { begin, end, marks } => match lexer.level() {
                1 if lexer.name() == b"xml" => self.place = Place::Root,
                1 => return Err(malformed(begin.saturating_add(1), wrong_root(lexer.name()))),
                2 => self.root_child(lexer.name(), end, marks, sink),
                3 => self.grandchild(lexer.name(), marks, sink),
                4 => self.not_a_string(sink),
                _ => {}
            },
            Token::Close { begin } => match lexer.level() {
                1 => self.place = Place::Outside,
                2 => self.root_child_ends(begin, input, sink),
                3 => self.grandchild_ends(sink),
                _ => {}
            },
            Token::Text { begin, bytes } => {
                if let Some(text) = bytes.iter().position(|byte| !is_white(*byte)) {
                    self.text(lexer.level(), begin.saturating_add(length(text)), sink)?;
                }
                self.value(lexer.level(), bytes, length(bytes.len()), Some(begin), sink);
            }
            Token::Char { begin, raw, char } => {
                if !matches!(char, ' ' | '\t' | '\r' | '\n') {
                    self.text(lexer.level(), begin, sink)?;
                }
                self.value(lexer.level(), char.encode_utf8(&mut [0; 4]).as_bytes(), raw, None, sink);
            }
        }
        Ok(())
    }

    /// The chunk ends: what is not complete is held.
    pub fn chunk_ends<S: Sink>(&mut self, lexer: &Lexer, input: &Input<'_>, sink: &mut S) {
        if matches!(self.place, Place::Field { .. } | Place::Item) {
            self.capture.hold(lexer.content_end(input), input, sink);
        }
    }

    /// Holds nothing any longer.
    pub fn free<S: Sink>(&mut self, sink: &mut S) {
        self.capture.free(sink);
    }

    fn root_child<S: Sink>(&mut self, name: &[u8], end: u64, marks: Marks, sink: &mut S) {
        self.place = match Field::from_name(self.endpoint, name) {
            None => Place::Unknown,
            Some(RootField::Data) if marks.nil => Place::NilItem,
            // Each `attach` is an entry: one that is nil is none, and others may follow.
            Some(RootField::Attach) if marks.nil => Place::Unknown,
            Some(field) if marks.nil => {
                sink.accept(Piece::Null { field });
                Place::Unknown
            }
            Some(RootField::Data) => {
                self.capture.begin(end, usize::MAX);
                Place::Item
            }
            Some(RootField::Attach) => {
                self.entry = Entry::default();
                sink.accept(Piece::AttachBegin);
                Place::Attach
            }
            Some(field) => {
                self.capture.begin(end, sink.field_limit(field));
                Place::Field { field, array: marks.array }
            }
        };
    }

    fn root_child_ends<S: Sink>(&mut self, begin: u64, input: &Input<'_>, sink: &mut S) {
        match self.place {
            Place::Field { field, .. } if self.capture.is_too_long(begin) => {
                sink.accept(Piece::FieldTooLong { field });
            }
            Place::Field { field, array } => {
                if let Some(value) = self.capture.end(begin, input, sink) {
                    sink.accept(Piece::Field { field, value, marked_array: array });
                }
            }
            Place::Item => {
                if let Some(raw) = self.capture.end(begin, input, sink) {
                    sink.accept(Piece::Item { raw, plain: direct::plain(raw) });
                }
            }
            Place::NilItem => sink.accept(Piece::Item { raw: b"", plain: None }),
            Place::Attach => sink.accept(Piece::AttachEnd),
            _ => {}
        }
        self.capture.free(sink);
        self.place = Place::Root;
    }

    /// A child of an entry of `attach` begins (or of another element, which does not matter).
    fn grandchild<S: Sink>(&mut self, name: &[u8], marks: Marks, sink: &mut S) {
        if self.place != Place::Attach {
            return;
        }
        let seen = match name {
            b"name" => &mut self.entry.name_seen,
            b"data" => &mut self.entry.data_seen,
            _ => {
                self.place = Place::AttachUnknown;
                return;
            }
        };
        let first = !std::mem::replace(seen, true);
        let right = !marks.array;
        self.place = match (name, first) {
            (_, true) if marks.nil => Place::AttachUnknown,
            (b"name", true) => {
                self.entry.name = AttachmentName::default();
                Place::AttachName { wrong: (!right).then_some(ValueType::MarkedArray) }
            }
            (b"name", false) => {
                sink.accept(Piece::AttachDuplicate("name"));
                Place::AttachUnknown
            }
            _ => {
                sink.accept(match (first, right) {
                    (false, _) => Piece::AttachDuplicate("data"),
                    (true, true) => Piece::AttachDataBegin,
                    (true, false) => Piece::AttachDataWrongType(ValueType::MarkedArray),
                });
                Place::AttachData { right, first }
            }
        };
    }

    /// A child of a child of an entry of `attach` begins.
    fn not_a_string<S: Sink>(&mut self, sink: &mut S) {
        match &mut self.place {
            Place::AttachName { wrong } => *wrong = Some(ValueType::Elements),
            Place::AttachData { right, first } => {
                if *first && *right {
                    sink.accept(Piece::AttachDataWrongType(ValueType::Elements));
                }
                *right = false;
            }
            _ => {}
        }
    }

    fn grandchild_ends<S: Sink>(&mut self, sink: &mut S) {
        match self.place {
            Place::AttachName { wrong: None } => sink.accept(Piece::AttachName(self.entry.name.text())),
            Place::AttachName { wrong: Some(received) } => sink.accept(Piece::AttachNameWrongType(received)),
            Place::AttachData { right: true, first: true } => sink.accept(Piece::AttachDataEnd),
            Place::AttachUnknown | Place::AttachData { .. } => {}
            _ => return,
        }
        self.place = Place::Attach;
    }

    /// Text that is not white space stands at that level.
    fn text<S: Sink>(&mut self, level: usize, at: u64, sink: &mut S) -> Result<(), FrameError> {
        match self.place {
            Place::Root if level == 1 => return Err(malformed(at, "text directly in the root element")),
            Place::Attach if level == 2 && !self.entry.has_text => {
                self.entry.has_text = true;
                sink.accept(Piece::AttachNotAnObject(ValueType::Text));
            }
            _ => {}
        }
        Ok(())
    }

    /// Characters at that level, `raw` bytes as sent; `at`: where they stand, if not in a reference.
    fn value<S: Sink>(&mut self, level: usize, bytes: &[u8], raw: u64, at: Option<u64>, sink: &mut S) {
        match self.place {
            Place::AttachName { wrong: None } if level == 3 => self.entry.name.push(bytes, at),
            Place::AttachData { right, first } if level == 3 => {
                self.attachment_bytes = self.attachment_bytes.saturating_add(raw);
                if right && first {
                    sink.accept(Piece::AttachData(bytes));
                }
            }
            _ => {}
        }
    }
}

/// What is wrong with the name of the root element.
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
