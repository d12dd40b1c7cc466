//! Turns bytes into tokens, and checks that they are well-formed.
//!
//! The lexer keeps a tag or processing instruction that a chunk cuts, and the names of the open elements. It never keeps text,
//! comments or CDATA.

mod sections;
mod tags;

use super::characters::{CharacterChecker, Run, TextRun, common_sequences, is_white};
use super::input::{Input, malformed};
use super::reference::Reference;
use super::tag::Marks;
use crate::limits::DEPTH_LIMIT;
use crate::text::BYTE_ORDER_MARK;
use crate::wire::{FrameError, Sink, buffer::ReservedBuffer, foreign::Foreign};

/// Offsets are in the body. The level of the root element is 1.
#[derive(Debug, Clone, Copy)]
pub enum Token<'c> {
    /// The chunk has ended.
    ChunkEnd,
    /// An element begins. [`Lexer::name`] and [`Lexer::level`] are its name and level; its content begins at `end`.
    Open { begin: u64, end: u64, marks: Marks },
    /// The element of [`Lexer::name`] and [`Lexer::level`] ends. Its end tag begins at `begin`.
    Close { begin: u64 },
    /// Characters in an element, as sent.
    Text { begin: u64, bytes: &'c [u8] },
    /// A reference of `raw` bytes.
    Char { begin: u64, raw: u64, char: char },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LexerState {
    /// At the start of the body, with the number of bytes of a byte order mark that have been read.
    Mark(usize),
    /// Character data. Outside the root element: white space.
    Text,
    /// `<`
    Less,
    /// A start tag. `Some`: inside a value that ends with this quote.
    StartTag(Option<u8>),
    /// `</…`
    EndTag,
    /// `<!`
    Bang,
    /// `<!-`
    BangDash,
    /// After `<!`, with the number of bytes of `[CDATA[` that have been read.
    BangCData(usize),
    /// A comment, with the number of hyphens at its end.
    Comment(u8),
    /// CDATA, with the number of `]` at its end that may be part of `]]>`.
    CData(u8),
    /// A processing instruction, and whether its last byte is `?`.
    Instruction(bool),
    Reference(Reference),
    /// After the start of an empty element. Its end follows.
    EmptyElement,
    /// After the end of an element, whose name is not removed yet.
    Closed,
    /// The sink refused memory for a tag: the rest cannot be checked.
    Unchecked,
}

const NO_ROOT: &str = "expected '<' before the root element";

/// The error of a body that begins with `byte` at the offset `at`.
#[cold]
fn no_root(at: u64, byte: u8) -> FrameError {
    let what = match Foreign::from_first(byte) {
        Some(foreign) => format!("{NO_ROOT}, not {foreign}; {}", foreign.remedy()).into(),
        None => NO_ROOT.into(),
    };
    FrameError::Malformed { at, what }
}

#[derive(Debug)]
pub struct Lexer {
    state: LexerState,
    /// Where the current markup or reference begins.
    begin: u64,
    characters: CharacterChecker,
    /// Number of `]` at the end of the text, where `]]>` is not allowed.
    brackets: u8,
    /// The beginning of a tag (after `<`) or an instruction (after `<?`) that a chunk cuts.
    markup: ReservedBuffer,
    /// The names of the open elements, concatenated.
    names: ReservedBuffer,
    /// Where each name begins in `names`.
    starts: Vec<usize>,
    /// Where the document begins, after a byte order mark.
    document: u64,
    has_root: bool,
}

type Lexed<'c> = Result<Option<Token<'c>>, FrameError>;

impl Lexer {
    pub fn new() -> Self {
        Self {
            state: LexerState::Mark(0),
            begin: 0,
            characters: CharacterChecker::default(),
            brackets: 0,
            markup: ReservedBuffer::default(),
            names: ReservedBuffer::default(),
            starts: Vec::with_capacity(DEPTH_LIMIT),
            document: 0,
            has_root: false,
        }
    }

    /// Number of open elements.
    pub fn level(&self) -> usize {
        self.starts.len()
    }

    /// The name of the innermost open element.
    pub fn name(&self) -> &[u8] {
        let start = self.starts.last().copied().unwrap_or(0);
        self.names.bytes().get(start..).unwrap_or_default()
    }

    /// Whether a tag can be next: no markup, reference or character is incomplete.
    pub fn is_between_tokens(&mut self) -> bool {
        self.remove_closed();
        self.state == LexerState::Text && self.characters.is_complete() && self.brackets == 0
    }

    /// Returns the bytes that can end the current text, or the reference in it. `None`: the lexer is not in text.
    pub fn text_ends(&self) -> Option<[u8; 2]> {
        match self.state {
            LexerState::Text => Some([b'<', b'&']),
            LexerState::CData(0) => Some([b']'; 2]),
            LexerState::Reference(_) => Some([b';'; 2]),
            _ => None,
        }
    }

    /// Bytes before the offset `at` that are probably text, and not part of a token yet.
    pub fn pending_text(&self, at: u64) -> u64 {
        match self.state {
            LexerState::Reference(_) => at.saturating_sub(self.begin),
            LexerState::CData(brackets) => u64::from(brackets),
            _ => 0,
        }
    }

    fn remove_closed(&mut self) {
        if self.state == LexerState::Closed {
            self.names.truncate(self.starts.pop().unwrap_or(0));
            self.state = LexerState::Text;
        }
    }

    /// Whether the sink refused memory for a tag ([`Sink::reserve`]): no more tokens follow.
    pub fn is_unchecked(&self) -> bool {
        self.state == LexerState::Unchecked
    }

    /// The offset up to which the bytes are certainly content of the innermost element, and not its end tag.
    pub fn content_end(&self, input: &Input<'_>) -> u64 {
        match self.state {
            LexerState::Less | LexerState::EndTag => self.begin,
            _ => input.offset(),
        }
    }

    /// Returns the next token of the chunk.
    pub fn next<'c, S: Sink>(&mut self, input: &mut Input<'c>, sink: &mut S) -> Result<Token<'c>, FrameError> {
        loop {
            let found = match self.state {
                LexerState::EmptyElement => {
                    self.state = LexerState::Closed;
                    Some(Token::Close { begin: input.offset() })
                }
                LexerState::Closed => {
                    self.remove_closed();
                    None
                }
                LexerState::Unchecked => return Ok(Token::ChunkEnd),
                _ if input.rest.is_empty() => return Ok(Token::ChunkEnd),
                LexerState::Mark(seen) => self.mark(seen, input)?,
                LexerState::Text => self.text(input)?,
                LexerState::Less => self.less(input),
                LexerState::StartTag(quote) => self.start_tag(quote, input, sink)?,
                LexerState::EndTag => self.end_tag(input, sink)?,
                LexerState::Instruction(is_after_question_mark) => {
                    self.instruction(is_after_question_mark, input, sink)?
                }
                LexerState::Bang | LexerState::BangDash | LexerState::BangCData(_) => self.bang(input)?,
                LexerState::Comment(hyphens) => self.comment(hyphens, input)?,
                LexerState::CData(brackets) => self.cdata(brackets, input)?,
                LexerState::Reference(reference) => self.reference(reference, input)?,
            };
            if let Some(token) = found {
                return Ok(token);
            }
        }
    }

    /// Ends the body at the offset `at`.
    pub fn finish(&self, at: u64) -> Result<(), FrameError> {
        let what = match self.state {
            LexerState::Unchecked => return Ok(()),
            LexerState::Closed if self.starts.len() <= 1 => return Ok(()),
            LexerState::Text if self.starts.is_empty() && self.has_root => return Ok(()),
            LexerState::Mark(_) | LexerState::Text | LexerState::EmptyElement | LexerState::Closed => {
                match (self.has_root, self.characters.is_complete()) {
                    (_, false) => "the body ends inside a character",
                    (true, true) => "the body ends before all elements do",
                    (false, true) => "the body ends before the root element begins",
                }
            }
            LexerState::Less | LexerState::StartTag(_) | LexerState::EndTag => "the body ends inside a tag",
            LexerState::Instruction(_) => "the body ends inside a processing instruction or the XML declaration",
            LexerState::Bang | LexerState::BangDash | LexerState::BangCData(_) => "the body ends inside '<!'",
            LexerState::Comment(_) => "the body ends inside a comment",
            LexerState::CData(_) => "the body ends inside CDATA",
            LexerState::Reference(_) => "the body ends inside a reference",
        };
        Err(malformed(at, what))
    }

    /// Releases all memory.
    pub fn release<S: Sink>(&mut self, sink: &mut S) {
        self.markup.release(sink);
        self.names.release(sink);
    }

    fn mark<'c>(&mut self, seen: usize, input: &mut Input<'c>) -> Lexed<'c> {
        let matches = BYTE_ORDER_MARK.get(seen).copied() == input.next();
        if !matches && seen > 0 {
            return Err(malformed(0, NO_ROOT));
        }
        self.state = LexerState::Text;
        if matches {
            input.take(1);
            self.document = input.offset();
            if seen.saturating_add(1) < BYTE_ORDER_MARK.len() {
                self.state = LexerState::Mark(seen.saturating_add(1));
            }
        }
        Ok(None)
    }

    fn text<'c>(&mut self, input: &mut Input<'c>) -> Lexed<'c> {
        if self.starts.is_empty() {
            return self.outside(input);
        }
        let begin = input.offset();
        let whole = input.rest;
        // Most often a tag follows a tag.
        let error =
            if input.next() == Some(b'<') && self.characters.is_complete() { None } else { self.text_run(input) };
        let bytes = whole.get(..whole.len().saturating_sub(input.rest.len())).unwrap_or_default();
        if !bytes.is_empty() {
            return Ok(Some(Token::Text { begin, bytes }));
        }
        // The text before an error is passed on first, as it would be if a chunk ended there.
        if let Some(what) = error {
            return Err(malformed(begin, what));
        }
        let next = input.take(1);
        self.begin = begin;
        self.brackets = 0;
        self.state = if next == b"<" { LexerState::Less } else { LexerState::Reference(Reference::default()) };
        Ok(None)
    }

    /// Reads character data up to `<`, `&` or an error.
    fn text_run(&mut self, input: &mut Input<'_>) -> Option<&'static str> {
        loop {
            let before = input.rest.len();
            if self.brackets == 2 && input.next() == Some(b'>') {
                return Some("']]>' in character data");
            }
            let error = self.check_characters(input, TextRun {});
            if input.rest.len() < before {
                self.brackets = 0;
            }
            if error.is_some() {
                return error;
            }
            if input.next() != Some(b']') || !self.characters.is_complete() {
                return None;
            }
            input.take(1);
            self.brackets = self.brackets.saturating_add(1).min(2);
        }
    }

    /// Reads characters up to the end of the run or an error.
    fn check_characters<const A: u8, const B: u8, const C: u8, const D: u8>(
        &mut self,
        input: &mut Input<'_>,
        _: Run<A, B, C, D>,
    ) -> Option<&'static str> {
        loop {
            if self.characters.is_complete() {
                input.take(Run::<A, B, C, D>::length(input.rest));
            }
            if self.characters.is_complete() && !input.take(common_sequences(input.rest)).is_empty() {
                continue;
            }
            let byte = input.next()?;
            if byte >= 0x80 || !self.characters.is_complete() {
                if !self.characters.push(byte) {
                    return Some("bytes that are not UTF-8, or a character that XML does not allow");
                }
                input.take(1);
            } else if [A, B, C, D].contains(&byte) {
                return None;
            } else {
                return Some("a control character that XML does not allow");
            }
        }
    }

    /// Reads white space before or after the root element.
    fn outside<'c>(&mut self, input: &mut Input<'c>) -> Lexed<'c> {
        input.take(input.rest.iter().take_while(|byte| is_white(**byte)).count());
        let begin = input.offset();
        match input.next() {
            None => Ok(None),
            Some(b'<') => {
                input.take(1);
                self.begin = begin;
                self.state = LexerState::Less;
                Ok(None)
            }
            Some(_) if self.has_root => Err(malformed(begin, "expected nothing after the root element")),
            Some(byte) => Err(no_root(begin, byte)),
        }
    }

    fn reference<'c>(&mut self, reference: Reference, input: &mut Input<'c>) -> Lexed<'c> {
        let mut reference = reference;
        while let Some(byte) = input.next() {
            input.take(1);
            if let Some(char) = reference.push(byte).map_err(|what| malformed(self.begin, what))? {
                self.state = LexerState::Text;
                let raw = input.offset().saturating_sub(self.begin);
                return Ok(Some(Token::Char { begin: self.begin, raw, char }));
            }
        }
        self.state = LexerState::Reference(reference);
        Ok(None)
    }
}
