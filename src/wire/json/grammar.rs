//! Checks the grammar of RFC 8259 byte by byte.
//!
//! [`Grammar::run`] skips values by itself. It stops at the *watched* level: the innermost open container whose members the
//! framer distinguishes. The grammar keeps no bytes.

use super::{string::JsonString, syntax_error::SyntaxError};
use crate::limits::DEPTH_LIMIT;

const _: () = assert!(DEPTH_LIMIT <= 64, "one bit of `Grammar::objects` for each level");

/// A position in a document.
#[derive(Debug, Default)]
pub(super) struct Grammar {
    state: GrammarState,
    /// Number of open containers.
    depth: usize,
    /// One bit for each open container: 1 for an object, 0 for an array. The innermost is the lowest bit.
    objects: u64,
    /// The depth of the innermost watched container. 0: the document.
    watched: usize,
    /// The current string.
    pub string: JsonString,
}

#[derive(Debug, Clone, Copy, Default)]
enum GrammarState {
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
    /// In a name that is skipped.
    InName,
    /// In a string.
    InString,
    /// In a number.
    InNumber(NumberState),
    /// In a literal, with the number of bytes that have arrived.
    InLiteral(Literal, u8),
    /// After the root.
    End,
}

#[derive(Debug, Clone, Copy)]
enum NumberState {
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
pub(super) enum GrammarEvent {
    /// The chunk has ended.
    ChunkEnd,
    /// A member's name begins at the watched level; its quotation mark is read. The caller reads the name with
    /// [`Grammar::string`].
    Name,
    /// A value of the watched level begins with this byte, which is not read yet. The caller continues with
    /// [`Grammar::skip`], [`Grammar::watch`], [`Grammar::begin_string`] or [`Grammar::end_checked_value`].
    Value(u8),
    /// A skipped value of the watched level has ended.
    ValueEnd,
    /// The watched container has ended. It is a value of the level that is watched from now on.
    ContainerEnd,
}

impl Grammar {
    /// Reads from `pos` on. Returns the position after the last byte read, and why it stopped.
    pub fn run(&mut self, chunk: &[u8], mut pos: usize) -> Result<(usize, GrammarEvent), SyntaxError> {
        while let Some(&byte) = chunk.get(pos) {
            match self.state {
                GrammarState::InName | GrammarState::InString => {
                    let ended;
                    (pos, ended) = self.string.feed::<false>(chunk, pos, &mut |_| ())?;
                    if ended && self.end_string() {
                        return Ok((pos, GrammarEvent::ValueEnd));
                    }
                    continue;
                }
                GrammarState::InNumber(number) => match number.push(byte, pos)? {
                    Some(number) => self.state = GrammarState::InNumber(number),
                    // The byte that ends a number is not part of it.
                    None if self.end_value() => return Ok((pos, GrammarEvent::ValueEnd)),
                    None => continue,
                },
                GrammarState::InLiteral(literal, length) => {
                    if self.push_literal(literal, length, byte, pos)? && self.end_value() {
                        return Ok((pos + 1, GrammarEvent::ValueEnd));
                    }
                }
                _ if matches!(byte, b' ' | b'\n' | b'\t' | b'\r') => {}
                GrammarState::ValueOrEnd if byte == b']' => {
                    if let Some(event) = self.close() {
                        return Ok((pos + 1, event));
                    }
                }
                GrammarState::Value | GrammarState::ValueOrEnd => {
                    if self.depth == self.watched {
                        return Ok((pos, GrammarEvent::Value(byte)));
                    }
                    self.skip(byte, pos)?;
                }
                GrammarState::NameOrEnd if byte == b'}' => {
                    if let Some(event) = self.close() {
                        return Ok((pos + 1, event));
                    }
                }
                GrammarState::NameOrEnd | GrammarState::Name => {
                    if byte != b'"' {
                        let end = matches!(self.state, GrammarState::NameOrEnd);
                        if byte == 0 {
                            return Err(SyntaxError::new(pos, "expected UTF-8, not UTF-16"));
                        }
                        let expected = if end { "a member's name or `}`" } else { "a member's name" };
                        return Err(SyntaxError::found(pos, expected, byte));
                    }
                    self.string = JsonString::default();
                    if self.depth == self.watched {
                        self.state = GrammarState::Colon;
                        return Ok((pos + 1, GrammarEvent::Name));
                    }
                    self.state = GrammarState::InName;
                }
                GrammarState::Colon => {
                    if byte != b':' {
                        return Err(SyntaxError::found(pos, "`:` after a member's name", byte));
                    }
                    self.state = GrammarState::Value;
                }
                GrammarState::CommaOrEnd => {
                    if let Some(event) = self.comma_or_end(byte, pos)? {
                        return Ok((pos + 1, event));
                    }
                }
                GrammarState::End => {
                    return Err(SyntaxError::found(pos, "nothing after the end of the document", byte));
                }
            }
            pos += 1;
        }
        Ok((pos, GrammarEvent::ChunkEnd))
    }

    /// Skips the value that begins with `byte` at `pos`, and reads that byte.
    pub fn skip(&mut self, byte: u8, pos: usize) -> Result<(), SyntaxError> {
        self.state = match byte {
            b'"' => {
                self.string = JsonString::default();
                GrammarState::InString
            }
            b'{' => return self.open(true, pos),
            b'[' => return self.open(false, pos),
            b'-' => GrammarState::InNumber(NumberState::Minus),
            b'0' => GrammarState::InNumber(NumberState::Zero),
            b'1'..=b'9' => GrammarState::InNumber(NumberState::Integer),
            b't' => GrammarState::InLiteral(Literal::True, 1),
            b'f' => GrammarState::InLiteral(Literal::False, 1),
            b'n' => GrammarState::InLiteral(Literal::Null, 1),
            _ => {
                let end = matches!(self.state, GrammarState::ValueOrEnd);
                return Err(SyntaxError::found(pos, if end { "a value or `]`" } else { "a value" }, byte));
            }
        };
        Ok(())
    }

    /// Watches the container that begins at `pos`, and reads its bracket.
    pub fn watch(&mut self, is_object: bool, pos: usize) -> Result<(), SyntaxError> {
        self.watched += 1;
        self.open(is_object, pos)
    }

    /// Begins a string that the caller reads with [`Grammar::string`], after the quotation mark and up to its end.
    pub fn begin_string(&mut self) {
        self.string = JsonString::default();
        self.end_checked_value();
    }

    /// Ends a value that the caller has checked.
    pub fn end_checked_value(&mut self) {
        self.state = GrammarState::CommaOrEnd;
    }

    /// Describes the position in a document that is incomplete. `None`: the document is complete.
    pub fn describe_position(&self) -> Option<&'static str> {
        Some(match self.state {
            GrammarState::End => return None,
            GrammarState::InName => "in a member's name",
            GrammarState::InString => "in a string",
            GrammarState::InNumber(_) => "in a number",
            GrammarState::InLiteral(..) => "in a literal",
            _ if self.objects & 1 == 1 => "in an object",
            _ if self.depth > 0 => "in an array",
            _ => "before the root object",
        })
    }

    fn open(&mut self, is_object: bool, pos: usize) -> Result<(), SyntaxError> {
        if self.depth >= DEPTH_LIMIT {
            return Err(SyntaxError { at: pos, what: format!("nested deeper than {DEPTH_LIMIT} levels").into() });
        }
        self.depth += 1;
        self.objects = (self.objects << 1) | u64::from(is_object);
        self.state = if is_object { GrammarState::NameOrEnd } else { GrammarState::ValueOrEnd };
        Ok(())
    }

    #[inline(always)]
    fn comma_or_end(&mut self, byte: u8, pos: usize) -> Result<Option<GrammarEvent>, SyntaxError> {
        match (byte, self.objects & 1 == 1) {
            (b',', true) => self.state = GrammarState::Name,
            (b',', false) => self.state = GrammarState::Value,
            (b'}', true) | (b']', false) => return Ok(self.close()),
            (_, true) => return Err(SyntaxError::found(pos, "`,` or `}` after a member", byte)),
            (_, false) => return Err(SyntaxError::found(pos, "`,` or `]` after an array's entry", byte)),
        }
        Ok(None)
    }

    #[inline(always)]
    fn close(&mut self) -> Option<GrammarEvent> {
        let watched = self.depth == self.watched;
        self.depth = self.depth.saturating_sub(1);
        self.objects >>= 1;
        if watched {
            self.watched = self.depth;
            self.state = if self.depth == 0 { GrammarState::End } else { GrammarState::CommaOrEnd };
            return Some(GrammarEvent::ContainerEnd);
        }
        self.end_value().then_some(GrammarEvent::ValueEnd)
    }

    /// Ends a skipped string. Returns whether it is a value of the watched level.
    #[inline(always)]
    fn end_string(&mut self) -> bool {
        if matches!(self.state, GrammarState::InName) {
            self.state = GrammarState::Colon;
            return false;
        }
        self.end_value()
    }

    /// Ends a value. Returns whether it is at the watched level.
    #[inline(always)]
    fn end_value(&mut self) -> bool {
        self.state = GrammarState::CommaOrEnd;
        self.depth == self.watched
    }

    /// Reads a byte of a literal. Returns whether it is the last.
    fn push_literal(&mut self, literal: Literal, length: u8, byte: u8, pos: usize) -> Result<bool, SyntaxError> {
        let text: &[u8] = match literal {
            Literal::True => b"true",
            Literal::False => b"false",
            Literal::Null => b"null",
        };
        if text.get(usize::from(length)) != Some(&byte) {
            return Err(SyntaxError::found(pos, "`true`, `false` or `null`", byte));
        }
        self.state = GrammarState::InLiteral(literal, length + 1);
        Ok(usize::from(length) + 1 == text.len())
    }
}

impl NumberState {
    /// Reads a byte of a number. Returns `None` if the number has ended before it.
    fn push(self, byte: u8, pos: usize) -> Result<Option<Self>, SyntaxError> {
        Ok(Some(match (self, byte) {
            (Self::Integer, b'0'..=b'9') | (Self::Minus, b'1'..=b'9') => Self::Integer,
            (Self::Minus, b'0') => Self::Zero,
            (Self::Zero, b'0'..=b'9') => return Err(SyntaxError::new(pos, "a number has no leading zeros")),
            (Self::Zero | Self::Integer, b'.') => Self::Point,
            (Self::Point | Self::Fraction, b'0'..=b'9') => Self::Fraction,
            (Self::Zero | Self::Integer | Self::Fraction, b'e' | b'E') => Self::E,
            (Self::E, b'+' | b'-') => Self::Sign,
            (Self::E | Self::Sign | Self::Exponent, b'0'..=b'9') => Self::Exponent,
            (Self::Zero | Self::Integer | Self::Fraction | Self::Exponent, _) => return Ok(None),
            (Self::Minus | Self::Point | Self::E | Self::Sign, _) => {
                return Err(SyntaxError::found(pos, "a digit in a number", byte));
            }
        }))
    }
}
