//! Framing and decoding of JSON (RFC 8259).
//!
//! | module | what it is for |
//! |---|---|
//! | `grammar` | checks the whole document, byte by byte, and stops where the framer wants to look |
//! | `text`, `scan` | the inside of strings |
//! | `name`, `entry` | the names of members, the entries of `attach` |
//! | `capture` | a value that is kept until it is complete |
//! | `gather` | short runs of attachment data, put together |
//! | `direct` | flat items, which are the common ones, in one pass |
//! | [`decode`] | what the pieces mean |
//!
//! Strictness: the grammar of RFC 8259 and UTF-8 everywhere but in the `data` of attachments, where bytes past
//! ASCII are handed on for [`super::attachment_data`] to refuse. One byte order mark may come first. Half of a surrogate
//! pair (`"\ud800"`) is well-formed (§8.2): as a known name it is none, in a value [`decode`] judges it, and in
//! `content` and `custom_data` it is kept as it came.

mod capture;
pub mod decode;
mod direct;
mod entry;
mod fault;
mod gather;
mod grammar;
mod name;
mod scan;
#[cfg(test)]
mod tests;
mod text;

pub use decode::{item, object, scalar};

use super::{Endpoint, Field, FrameError, Piece, ValueType, Sink};
use capture::{Capture, Kept};
use entry::Entry;
use fault::Fault;
use gather::Gather;
use grammar::{Event, Grammar};
use name::Name;

/// Frames a JSON body: see [`Piece`] for what it hands on. It never reads: it is pushed.
#[derive(Debug)]
pub struct JsonFramer {
    endpoint: Endpoint,
    grammar: Grammar,
    /// The watched container.
    place: Place,
    /// What the value under way in it is.
    role: Role,
    /// The string under way that is read here, not by the grammar.
    reading: Reading,
    name: Name,
    /// The root's member under way, if it is known.
    field: Option<Field>,
    entry: Entry,
    capture: Capture,
    mark: usize,
    /// Bytes before the chunk under way.
    offset: u64,
    attachment_bytes: u64,
    dead: Option<FrameError>,
}

/// A container whose members the framer tells apart.
#[derive(Debug, Clone, Copy)]
enum Place {
    Document,
    Root,
    Items,
    Attachments,
    Entry,
}

/// What a value is that the grammar is going over.
#[derive(Debug, Clone, Copy)]
enum Role {
    /// Nobody's.
    Unknown,
    Field(Field),
    Null(Field),
    NotAnArray(Field, ValueType),
    Item,
    NotAnEntry,
}

/// A string that is decoded.
#[derive(Debug, Clone, Copy)]
enum Reading {
    Nothing,
    Name,
    AttachName,
    /// `data` of an entry; not handed on if it is the second one.
    AttachData {
        hand_on: bool,
    },
}

/// The byte order mark.
const MARK: &[u8] = b"\xEF\xBB\xBF";

impl JsonFramer {
    /// A framer at the beginning of a body.
    pub fn new(endpoint: Endpoint) -> Self {
        Self {
            endpoint,
            grammar: Grammar::default(),
            place: Place::Document,
            role: Role::Unknown,
            reading: Reading::Nothing,
            name: Name::default(),
            field: None,
            entry: Entry::default(),
            capture: Capture::default(),
            mark: 0,
            offset: 0,
            attachment_bytes: 0,
            dead: None,
        }
    }

    /// Raw bytes of the `data` of attachments so far: all between the quotation marks, escapes included. They do
    /// not count against `BODY_LIMIT`. After an error: those before the byte that is wrong.
    pub fn attachment_bytes(&self) -> u64 {
        self.attachment_bytes
    }

    /// Whether it is inside the `data` of an attachment, or was when it found a fault.
    pub fn is_in_attachment(&self) -> bool {
        matches!(self.reading, Reading::AttachData { .. })
    }

    /// Takes the next bytes of the body, all of them. After an error every further call returns the same error.
    pub fn feed<S: Sink>(&mut self, chunk: &[u8], sink: &mut S) -> Result<(), FrameError> {
        if let Some(error) = &self.dead {
            return Err(error.clone());
        }
        if let Err(Fault { at, what }) = self.advance(chunk, sink) {
            let at = self.offset.saturating_add(at as u64);
            return Err(self.die(FrameError::Malformed { at, what }, sink));
        }
        self.capture.suspend(chunk, sink);
        self.offset = self.offset.saturating_add(chunk.len() as u64);
        Ok(())
    }

    /// The body has ended: an error if the document has not.
    pub fn finish<S: Sink>(&mut self, sink: &mut S) -> Result<(), FrameError> {
        if let Some(error) = &self.dead {
            return Err(error.clone());
        }
        let Some(mut open) = self.grammar.open_here() else { return Ok(()) };
        let what = if matches!(self.place, Place::Document) {
            "the body is empty: expected a JSON object".into()
        } else {
            if !matches!(self.reading, Reading::Nothing) {
                open = if matches!(self.reading, Reading::Name) { "in a member's name" } else { "in a string" };
            }
            match self.field.map(|field| field.name(self.endpoint)) {
                Some(name) => format!("the body ends early: {open}, in the field {name}").into(),
                None => format!("the body ends early: {open}").into(),
            }
        };
        Err(self.die(FrameError::Malformed { at: self.offset, what }, sink))
    }

    fn die<S: Sink>(&mut self, error: FrameError, sink: &mut S) -> FrameError {
        self.capture.drop_held(sink);
        self.dead = Some(error.clone());
        error
    }

    fn advance<S: Sink>(&mut self, chunk: &[u8], sink: &mut S) -> Result<(), Fault> {
        let mut pos = 0;
        while let Some(byte) = chunk.get(pos)
            && self.mark < MARK.len()
        {
            if MARK.get(self.mark) == Some(byte) {
                self.mark += 1;
                pos += 1;
            } else if self.mark == 0 {
                self.mark = MARK.len();
            } else {
                return Err(Fault::found(pos, "the rest of a byte order mark", *byte));
            }
        }
        while pos < chunk.len() {
            pos = match self.reading {
                Reading::Nothing => self.structure(chunk, pos, sink)?,
                _ => self.read(chunk, pos, sink)?,
            };
        }
        Ok(())
    }

    fn structure<S: Sink>(&mut self, chunk: &[u8], pos: usize, sink: &mut S) -> Result<usize, Fault> {
        let (pos, event) = self.grammar.run(chunk, pos)?;
        match event {
            Event::More => {}
            Event::Name => {
                self.name.clear();
                self.reading = Reading::Name;
            }
            Event::Value(byte) => return self.value(chunk, pos, byte, sink),
            Event::Done => self.done(chunk.get(..pos).unwrap_or_default(), sink),
            Event::Closed => self.closed(sink),
        }
        Ok(pos)
    }

    /// A value of the watched container begins at `pos` with `byte`.
    fn value<S: Sink>(&mut self, chunk: &[u8], pos: usize, byte: u8, sink: &mut S) -> Result<usize, Fault> {
        self.role = Role::Unknown;
        match self.place {
            Place::Document if byte == b'{' => return self.watch(Place::Root, pos),
            Place::Document => return Err(Fault::root(pos, byte)),
            Place::Root => match self.field {
                None => {}
                Some(field @ (RootField::Data | RootField::Attach)) if byte == b'[' => {
                    sink.accept(Piece::Array { field });
                    return self.watch(if field == RootField::Data { Place::Items } else { Place::Attachments }, pos);
                }
                Some(field @ (RootField::Data | RootField::Attach)) => {
                    self.role =
                        if byte == b'n' { Role::Null(field) } else { Role::NotAnArray(field, ValueType::of_json(byte)) };
                }
                Some(field) => {
                    self.role = Role::Field(field);
                    self.capture.begin(pos, sink.field_limit(field));
                }
            },
            Place::Items => {
                let end = self.flat_items(chunk, pos, sink);
                if end > pos {
                    return Ok(end);
                }
                self.role = Role::Item;
                self.capture.begin(pos, usize::MAX);
            }
            Place::Attachments => {
                sink.accept(Piece::AttachBegin);
                self.entry = Entry::default();
                if byte == b'{' {
                    return self.watch(Place::Entry, pos);
                }
                sink.accept(Piece::AttachNotAnObject(ValueType::of_json(byte)));
                self.role = Role::NotAnEntry;
            }
            Place::Entry => {
                self.reading = self.entry.value(byte, sink);
                if !matches!(self.reading, Reading::Nothing) {
                    self.grammar.read_string();
                    return Ok(pos + 1);
                }
            }
        }
        self.grammar.skip(byte, pos)?;
        Ok(pos + 1)
    }

    /// The direct path: hands on the flat items from `pos` on, and tells where it gave up. That is `pos` itself,
    /// or the end of an item.
    fn flat_items<S: Sink>(&mut self, chunk: &[u8], pos: usize, sink: &mut S) -> usize {
        let mut rest = chunk.get(pos..).unwrap_or_default();
        let mut found = direct::item(rest);
        while let Some(item) = found {
            sink.accept(Piece::Item { raw: item.raw, plain: item.plain });
            self.grammar.passed();
            rest = item.rest;
            // If another flat item follows, on to it; if not, the comma is the grammar's business.
            let next = direct::white_space(rest).strip_prefix(b",").map(direct::white_space);
            found = next.and_then(direct::item);
        }
        chunk.len() - rest.len()
    }

    fn watch(&mut self, place: Place, pos: usize) -> Result<usize, Fault> {
        self.grammar.watch(!matches!(place, Place::Items | Place::Attachments), pos)?;
        self.place = place;
        Ok(pos + 1)
    }

    /// The value under way ends with `before`, the chunk up to its end.
    fn done<S: Sink>(&mut self, before: &[u8], sink: &mut S) {
        match self.role {
            Role::Unknown => {}
            Role::Null(field) => sink.accept(Piece::Null { field }),
            Role::NotAnArray(field, received) => sink.accept(Piece::NotAnArray { field, received }),
            Role::NotAnEntry => sink.accept(Piece::AttachEnd),
            Role::Field(field) => self.capture.end(before, sink, |sink, value| match value {
                Kept::Whole(value) => sink.accept(Piece::Field { field, value, marked_array: false }),
                Kept::TooLong => sink.accept(Piece::FieldTooLong { field }),
                Kept::Refused => {}
            }),
            Role::Item => self.capture.end(before, sink, |sink, item| {
                if let Kept::Whole(raw) = item {
                    // An item split over chunks comes here although it may be plain.
                    let plain = direct::item(raw).and_then(|item| item.plain);
                    sink.accept(Piece::Item { raw, plain });
                }
            }),
        }
        if matches!(self.place, Place::Root) {
            self.field = None;
        }
    }

    /// The watched container has ended.
    fn closed<S: Sink>(&mut self, sink: &mut S) {
        self.place = match self.place {
            Place::Items | Place::Attachments => {
                self.field = None;
                Place::Root
            }
            Place::Entry => {
                sink.accept(Piece::AttachEnd);
                Place::Attachments
            }
            Place::Document | Place::Root => Place::Document,
        };
    }

    /// Goes on with a string that is decoded.
    fn read<S: Sink>(&mut self, chunk: &[u8], pos: usize, sink: &mut S) -> Result<usize, Fault> {
        let text = &mut self.grammar.text;
        let (end, ended) = match self.reading {
            Reading::AttachData { hand_on } => {
                let short =
                    if hand_on && text.is_between() { sink.take_base64(chunk.get(pos..).unwrap_or_default()) } else { 0 };
                self.attachment_bytes += short as u64;
                let pos = pos + short;
                let mut gather = Gather::new(sink);
                let fed = text.feed::<true>(chunk, pos, &mut |run| {
                    if hand_on {
                        gather.push(run);
                    }
                });
                gather.flush();
                let inside = match &fed {
                    Ok((end, ended)) => end - usize::from(*ended),
                    Err(fault) => fault.at,
                };
                self.attachment_bytes += inside.saturating_sub(pos) as u64;
                fed?
            }
            Reading::AttachName => text.feed::<false>(chunk, pos, &mut |run| self.entry.push_name(run))?,
            Reading::Name | Reading::Nothing => text.feed::<false>(chunk, pos, &mut |run| self.name.push(run))?,
        };
        if ended {
            match self.reading {
                Reading::Name if matches!(self.place, Place::Entry) => self.entry.member(self.name.get(), sink),
                Reading::Name => self.field = self.name.get().and_then(|name| Field::from_name(self.endpoint, name)),
                Reading::AttachName => self.entry.end_name(self.grammar.text.lone, sink),
                Reading::AttachData { hand_on: true } => sink.accept(Piece::AttachDataEnd),
                Reading::AttachData { hand_on: false } | Reading::Nothing => {}
            }
            self.reading = Reading::Nothing;
        }
        Ok(end)
    }
}
