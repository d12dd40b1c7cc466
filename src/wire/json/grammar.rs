//! The grammar of RFC 8259, pushed byte by byte: everything is checked here, whether somebody reads it or not.
//!
//! [`Grammar::run`] goes over what nobody wants to look at by itself, and stops at the *watched* level: the
//! innermost open container whose members the framer tells apart. It never reads and never keeps bytes.

use super::{fault::Fault, text::Text};
use crate::limits::DEPTH_LIMIT;

const _: () = assert!(DEPTH_LIMIT <= 64, "one bit of `Grammar::objects` for each level");

/// Where in a document a framer is.
#[derive(Debug, Default)]
pub(super) struct Grammar {
    state: State,
    /// Open containers.
    depth: usize,
    /// Which of them are objects; the innermost in the lowest bit.
    objects: u64,
    /// The depth of the innermost container that is watched. 0: the document.
    watched: usize,
    /// The string under way.
    pub text: Text,
}

#[derive(Debug, Clone, Copy, Default)]
enum State {
    /// Before a value.
    #[default]
    Value,
    /// After `[`.
    ValueOrEnd,
    /// After `{`.
    NameOrEnd,
    /// After a comma in an object.
    Name,
    /// After a name.
    Colon,
    /// After a value in a container.
    CommaOrEnd,
    /// In a name that nobody wants.
    InName,
    /// In a string.
    InString,
    /// In a number.
    InNumber(Number),
    /// In a literal, of which so many bytes have come.
    InLiteral(Literal, u8),
    /// After the root.
    End,
}

#[derive(Debug, Clone, Copy)]
enum Number {
    Minus,
    Zero,
    Integer,
    Point,
    Fraction,
    E,
    Sign,
    Exponent,
}

#[derive(Debug, Clone, Copy)]
enum Literal {
    True,
    False,
    Null,
}

/// Why [`Grammar::run`] stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Event {
    /// The chunk is used up.
    More,
    /// A member's name begins at the watched level; its quotation mark is behind. The caller reads the name with
    /// [`Grammar::text`].
    Name,
    /// A value of the watched level begins with this byte, which is not behind yet. The caller goes on with
    /// [`Grammar::skip`], [`Grammar::watch`], [`Grammar::read_string`] or [`Grammar::passed`].
    Value(u8),
    /// A value of the watched level that was skipped has ended.
    Done,
    /// The watched container has ended, which is a value of the level that is watched from now on.
    Closed,
}

impl Grammar {
    /// Goes on from `pos`, and tells how far it came and why it stopped.
    pub fn run(&mut self, chunk: &[u8], mut pos: usize) -> Result<(usize, Event), Fault> {
        while let Some(&byte) = chunk.get(pos) {
            match self.state {
                State::InName | State::InString => {
                    let ended;
                    (pos, ended) = self.text.feed::<false>(chunk, pos, &mut |_| ())?;
                    if ended && self.end_string() {
                        return Ok((pos, Event::Done));
                    }
                    continue;
                }
                State::InNumber(number) => match number.push(byte, pos)? {
                    Some(number) => self.state = State::InNumber(number),
                    // The byte that ends a number is not part of it.
                    None if self.end_value() => return Ok((pos, Event::Done)),
                    None => continue,
                },
                State::InLiteral(literal, length) => {
                    if self.literal(literal, length, byte, pos)? && self.end_value() {
                        return Ok((pos + 1, Event::Done));
                    }
                }
                _ if matches!(byte, b' ' | b'\n' | b'\t' | b'\r') => {}
                State::ValueOrEnd if byte == b']' => {
                    if let Some(event) = self.close() {
                        return Ok((pos + 1, event));
                    }
                }
                State::Value | State::ValueOrEnd => {
                    if self.depth == self.watched {
                        return Ok((pos, Event::Value(byte)));
                    }
                    self.skip(byte, pos)?;
                }
                State::NameOrEnd if byte == b'}' => {
                    if let Some(event) = self.close() {
                        return Ok((pos + 1, event));
                    }
                }
                State::NameOrEnd | State::Name => {
                    if byte != b'"' {
                        let end = matches!(self.state, State::NameOrEnd);
                        if byte == 0 {
                            return Err(Fault::new(pos, "expected UTF-8, not UTF-16"));
                        }
                        let expected = if end { "a member's name or `}`" } else { "a member's name" };
                        return Err(Fault::found(pos, expected, byte));
                    }
                    self.text = Text::default();
                    if self.depth == self.watched {
                        self.state = State::Colon;
                        return Ok((pos + 1, Event::Name));
                    }
                    self.state = State::InName;
                }
                State::Colon => {
                    if byte != b':' {
                        return Err(Fault::found(pos, "`:` after a member's name", byte));
                    }
                    self.state = State::Value;
                }
                State::CommaOrEnd => {
                    if let Some(event) = self.comma_or_end(byte, pos)? {
                        return Ok((pos + 1, event));
                    }
                }
                State::End => return Err(Fault::found(pos, "nothing after the end of the document", byte)),
            }
            pos += 1;
        }
        Ok((pos, Event::More))
    }

    /// The value that begins with `byte` (at `pos`) is to be checked only. The byte is behind then.
    pub fn skip(&mut self, byte: u8, pos: usize) -> Result<(), Fault> {
        self.state = match byte {
            b'"' => {
                self.text = Text::default();
                State::InString
            }
            b'{' => return self.open(true, pos),
            b'[' => return self.open(false, pos),
            b'-' => State::InNumber(Number::Minus),
            b'0' => State::InNumber(Number::Zero),
            b'1'..=b'9' => State::InNumber(Number::Integer),
            b't' => State::InLiteral(Literal::True, 1),
            b'f' => State::InLiteral(Literal::False, 1),
            b'n' => State::InLiteral(Literal::Null, 1),
            _ => {
                let end = matches!(self.state, State::ValueOrEnd);
                return Err(Fault::found(pos, if end { "a value or `]`" } else { "a value" }, byte));
            }
        };
        Ok(())
    }

    /// The value that begins here is a container, and is watched from now on. Its bracket is behind then.
    pub fn watch(&mut self, object: bool, pos: usize) -> Result<(), Fault> {
        self.watched += 1;
        self.open(object, pos)
    }

    /// The value that begins here is a string, which the caller reads with [`Grammar::text`] after the quotation
    /// mark; then it has passed.
    pub fn read_string(&mut self) {
        self.text = Text::default();
        self.passed();
    }

    /// The value that begins here has been checked by the caller, to its end.
    pub fn passed(&mut self) {
        self.state = State::CommaOrEnd;
    }

    /// What is open, for a body that ends early. `None`: the document is complete.
    pub fn open_here(&self) -> Option<&'static str> {
        Some(match self.state {
            State::End => return None,
            State::InName => "in a member's name",
            State::InString => "in a string",
            State::InNumber(_) => "in a number",
            State::InLiteral(..) => "in a literal",
            _ if self.objects & 1 == 1 => "in an object",
            _ if self.depth > 0 => "in an array",
            _ => "before the root object",
        })
    }

    fn open(&mut self, object: bool, pos: usize) -> Result<(), Fault> {
        if self.depth >= DEPTH_LIMIT {
            return Err(Fault { at: pos, what: format!("nested deeper than {DEPTH_LIMIT} levels").into() });
        }
        self.depth += 1;
        self.objects = (self.objects << 1) | u64::from(object);
        self.state = if object { State::NameOrEnd } else { State::ValueOrEnd };
        Ok(())
    }

    #[inline(always)]
    fn comma_or_end(&mut self, byte: u8, pos: usize) -> Result<Option<Event>, Fault> {
        match (byte, self.objects & 1 == 1) {
            (b',', true) => self.state = State::Name,
            (b',', false) => self.state = State::Value,
            (b'}', true) | (b']', false) => return Ok(self.close()),
            (_, true) => return Err(Fault::found(pos, "`,` or `}` after a member", byte)),
            (_, false) => return Err(Fault::found(pos, "`,` or `]` after an array's entry", byte)),
        }
        Ok(None)
    }

    #[inline(always)]
    fn close(&mut self) -> Option<Event> {
        let watched = self.depth == self.watched;
        self.depth = self.depth.saturating_sub(1);
        self.objects >>= 1;
        if watched {
            self.watched = self.depth;
            self.state = if self.depth == 0 { State::End } else { State::CommaOrEnd };
            return Some(Event::Closed);
        }
        self.end_value().then_some(Event::Done)
    }

    /// A string that nobody wants has ended; tells whether it is a value of the watched level.
    #[inline(always)]
    fn end_string(&mut self) -> bool {
        if matches!(self.state, State::InName) {
            self.state = State::Colon;
            return false;
        }
        self.end_value()
    }

    /// A value has ended; tells whether it is one of the watched level.
    #[inline(always)]
    fn end_value(&mut self) -> bool {
        self.state = State::CommaOrEnd;
        self.depth == self.watched
    }

    /// Takes a byte of a literal, and tells whether it was the last.
    fn literal(&mut self, literal: Literal, length: u8, byte: u8, pos: usize) -> Result<bool, Fault> {
        let text: &[u8] = match literal {
            Literal::True => b"true",
            Literal::False => b"false",
            Literal::Null => b"null",
        };
        if text.get(usize::from(length)) != Some(&byte) {
            return Err(Fault::found(pos, "`true`, `false` or `null`", byte));
        }
        self.state = State::InLiteral(literal, length + 1);
        Ok(usize::from(length) + 1 == text.len())
    }
}

impl Number {
    /// Takes a byte of a number; `None` if the number has ended before it.
    fn push(self, byte: u8, pos: usize) -> Result<Option<Self>, Fault> {
        Ok(Some(match (self, byte) {
            (Self::Integer, b'0'..=b'9') | (Self::Minus, b'1'..=b'9') => Self::Integer,
            (Self::Minus, b'0') => Self::Zero,
            (Self::Zero, b'0'..=b'9') => return Err(Fault::new(pos, "a number has no leading zeros")),
            (Self::Zero | Self::Integer, b'.') => Self::Point,
            (Self::Point | Self::Fraction, b'0'..=b'9') => Self::Fraction,
            (Self::Zero | Self::Integer | Self::Fraction, b'e' | b'E') => Self::E,
            (Self::E, b'+' | b'-') => Self::Sign,
            (Self::E | Self::Sign | Self::Exponent, b'0'..=b'9') => Self::Exponent,
            (Self::Zero | Self::Integer | Self::Fraction | Self::Exponent, _) => return Ok(None),
            (Self::Minus | Self::Point | Self::E | Self::Sign, _) => {
                return Err(Fault::found(pos, "a digit in a number", byte));
            }
        }))
    }
}
