//! The lexer: bytes in whatever chunks they come, to tokens, all checked to be well-formed.
//!
//! It never holds text, comments or CDATA. It holds a tag or processing instruction that a chunk cuts, and the
//! names of the elements that are open, for as long as it needs them.

mod bang;
mod markup;

use super::chars::{Run, TextRun, Utf8, common_sequences, is_white};
use super::held::Held;
use super::reference::Reference;
use super::{Input, Marks, malformed};
use crate::limits::DEPTH_LIMIT;
use crate::wire::{FrameError, Sink, foreign::Foreign};

/// What the lexer finds. Offsets are in the body; the level of the root element is 1.
#[derive(Debug, Clone, Copy)]
pub enum Token<'c> {
    /// The chunk is used up.
    NeedMore,
    /// An element begins: its name is [`Lexer::name`], its level [`Lexer::level`]; its content begins at `end`.
    Open { begin: u64, end: u64, marks: Marks },
    /// The innermost element, still the one of [`Lexer::name`] and [`Lexer::level`], ends; its end tag begins at
    /// `begin`.
    Close { begin: u64 },
    /// Characters as they stand there, in an element.
    Text { begin: u64, bytes: &'c [u8] },
    /// A reference of `raw` bytes.
    Char { begin: u64, raw: u64, char: char },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// At the start of the body: so many bytes of a byte order mark have come.
    Mark(usize),
    /// Character data; outside the root element white space.
    Text,
    /// `<`
    Less,
    /// A start tag, perhaps inside a value that this quote ends.
    StartTag(Option<u8>),
    /// `</…`
    EndTag,
    /// `<!`
    Bang,
    /// `<!-`
    BangDash,
    /// So many bytes of `[CDATA[` behind `<!`.
    BangCData(usize),
    /// A comment; so many hyphens were the last that came.
    Comment(u8),
    /// CDATA; so many `]` that were the last that came may belong to `]]>`.
    CData(u8),
    /// A processing instruction; whether `?` was the last that came.
    Instruction(bool),
    Reference(Reference),
    /// An empty-element tag was handed on as a beginning; its end is due.
    Emptied,
    /// An element's end was handed on; it is to be forgotten.
    Closed,
    /// The sink refused to let a tag be held: nothing more can be checked.
    Blind,
}

const BYTE_ORDER_MARK: [u8; 3] = [0xEF, 0xBB, 0xBF];
const NO_ROOT: &str = "expected '<' before the root element";

/// The body begins with `byte`, at the offset `at`.
#[cold]
fn no_root(at: u64, byte: u8) -> FrameError {
    let what = match Foreign::from_first(byte) {
        Some(foreign) => format!("{NO_ROOT}, not {foreign}; {}", foreign.remedy()).into(),
        None => NO_ROOT.into(),
    };
    FrameError::Malformed { at, what }
}

/// See the module.
#[derive(Debug)]
pub struct Lexer {
    state: State,
    /// Where the markup or reference at hand begins.
    begin: u64,
    /// A character that is not whole yet.
    utf8: Utf8,
    /// How many `]` were the last characters of the text: `]]>` is not allowed there.
    brackets: u8,
    /// The tag at hand behind its `<` (an instruction: behind `<?`), if a chunk cut it.
    held: Held,
    /// The names of the open elements, one behind the other.
    names: Held,
    /// Where each of them begins in `names`.
    starts: Vec<usize>,
    /// Where the document begins, behind a byte order mark.
    document: u64,
    rooted: bool,
}

type Lexed<'c> = Result<Option<Token<'c>>, FrameError>;

impl Lexer {
    pub fn new() -> Self {
        Self {
            state: State::Mark(0),
            begin: 0,
            utf8: Utf8::default(),
            brackets: 0,
            held: Held::default(),
            names: Held::default(),
            starts: Vec::with_capacity(DEPTH_LIMIT),
            document: 0,
            rooted: false,
        }
    }

    /// How many elements are open.
    pub fn level(&self) -> usize {
        self.starts.len()
    }

    /// The name of the innermost open element.
    pub fn name(&self) -> &[u8] {
        let start = self.starts.last().copied().unwrap_or(0);
        self.names.bytes().get(start..).unwrap_or_default()
    }

    /// Whether a tag can be next: nothing is under way.
    pub fn is_between(&mut self) -> bool {
        self.forget_closed();
        self.state == State::Text && !self.utf8.is_open() && self.brackets == 0
    }

    /// The bytes that may end the text at hand, or the reference in it. `None`: no text is at hand.
    pub fn text_ends(&self) -> Option<[u8; 2]> {
        match self.state {
            State::Text => Some([b'<', b'&']),
            State::CData(0) => Some([b']'; 2]),
            State::Reference(_) => Some([b';'; 2]),
            _ => None,
        }
    }

    /// Bytes before the offset `at` that are read, and text as far as is known, but not handed on yet.
    pub fn pending_text(&self, at: u64) -> u64 {
        match self.state {
            State::Reference(_) => at.saturating_sub(self.begin),
            State::CData(brackets) => u64::from(brackets),
            _ => 0,
        }
    }

    fn forget_closed(&mut self) {
        if self.state == State::Closed {
            self.names.truncate(self.starts.pop().unwrap_or(0));
            self.state = State::Text;
        }
    }

    /// See [`Sink::reserve`]: a tag could not be held, and nothing more is found.
    pub fn is_blind(&self) -> bool {
        self.state == State::Blind
    }

    /// Up to where what has been read is surely content of the innermost element: not an end tag of its own.
    pub fn content_end(&self, input: &Input<'_>) -> u64 {
        match self.state {
            State::Less | State::EndTag => self.begin,
            _ => input.offset(),
        }
    }

    /// The next token of the chunk.
    pub fn next<'c, S: Sink>(&mut self, input: &mut Input<'c>, sink: &mut S) -> Result<Token<'c>, FrameError> {
        loop {
            let found = match self.state {
                State::Emptied => {
                    self.state = State::Closed;
                    Some(Token::Close { begin: input.offset() })
                }
                State::Closed => {
                    self.forget_closed();
                    None
                }
                State::Blind => return Ok(Token::NeedMore),
                _ if input.rest.is_empty() => return Ok(Token::NeedMore),
                State::Mark(seen) => self.mark(seen, input)?,
                State::Text => self.text(input)?,
                State::Less => self.less(input),
                State::StartTag(quote) => self.start_tag(quote, input, sink)?,
                State::EndTag => self.end_tag(input, sink)?,
                State::Instruction(asked) => self.instruction(asked, input, sink)?,
                State::Bang | State::BangDash | State::BangCData(_) => self.bang(input)?,
                State::Comment(hyphens) => self.comment(hyphens, input)?,
                State::CData(brackets) => self.cdata(brackets, input)?,
                State::Reference(reference) => self.reference(reference, input)?,
            };
            if let Some(token) = found {
                return Ok(token);
            }
        }
    }

    /// The body ends here, at the offset `at`.
    pub fn finish(&self, at: u64) -> Result<(), FrameError> {
        let what = match self.state {
            State::Blind => return Ok(()),
            State::Closed if self.starts.len() <= 1 => return Ok(()),
            State::Text if self.starts.is_empty() && self.rooted => return Ok(()),
            State::Mark(_) | State::Text | State::Emptied | State::Closed => match (self.rooted, self.utf8.is_open()) {
                (_, true) => "the body ends inside a character",
                (true, _) => "the body ends before all elements do",
                (false, _) => "the body ends before the root element begins",
            },
            State::Less | State::StartTag(_) | State::EndTag => "the body ends inside a tag",
            State::Instruction(_) => "the body ends inside a processing instruction or the XML declaration",
            State::Bang | State::BangDash | State::BangCData(_) => "the body ends inside '<!'",
            State::Comment(_) => "the body ends inside a comment",
            State::CData(_) => "the body ends inside CDATA",
            State::Reference(_) => "the body ends inside a reference",
        };
        Err(malformed(at, what))
    }

    /// Holds nothing any longer.
    pub fn free<S: Sink>(&mut self, sink: &mut S) {
        self.held.free(sink);
        self.names.free(sink);
    }

    fn mark<'c>(&mut self, seen: usize, input: &mut Input<'c>) -> Lexed<'c> {
        let matches = BYTE_ORDER_MARK.get(seen).copied() == input.next();
        if !matches && seen > 0 {
            return Err(malformed(0, NO_ROOT));
        }
        self.state = State::Text;
        if matches {
            input.take(1);
            self.document = input.offset();
            if seen.saturating_add(1) < BYTE_ORDER_MARK.len() {
                self.state = State::Mark(seen.saturating_add(1));
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
        // Most often markup follows markup.
        let fault = if input.next() == Some(b'<') && !self.utf8.is_open() { None } else { self.text_run(input) };
        let bytes = whole.get(..whole.len().saturating_sub(input.rest.len())).unwrap_or_default();
        if !bytes.is_empty() {
            return Ok(Some(Token::Text { begin, bytes }));
        }
        // A fault is told when all before it has been handed on, as it would be if a chunk ended there.
        if let Some(what) = fault {
            return Err(malformed(begin, what));
        }
        let next = input.take(1);
        self.begin = begin;
        self.brackets = 0;
        self.state = if next == b"<" { State::Less } else { State::Reference(Reference::default()) };
        Ok(None)
    }

    /// Reads character data up to a `<` or `&`, or up to a fault.
    fn text_run(&mut self, input: &mut Input<'_>) -> Option<&'static str> {
        loop {
            let before = input.rest.len();
            if self.brackets == 2 && input.next() == Some(b'>') {
                return Some("']]>' in character data");
            }
            let fault = self.characters(input, TextRun {});
            if input.rest.len() < before {
                self.brackets = 0;
            }
            if fault.is_some() {
                return fault;
            }
            if input.next() != Some(b']') || self.utf8.is_open() {
                return None;
            }
            input.take(1);
            self.brackets = self.brackets.saturating_add(1).min(2);
        }
    }

    /// Reads characters up to one at which the run stops, or up to a fault.
    fn characters<const A: u8, const B: u8, const C: u8, const D: u8>(
        &mut self,
        input: &mut Input<'_>,
        _: Run<A, B, C, D>,
    ) -> Option<&'static str> {
        loop {
            if !self.utf8.is_open() {
                input.take(Run::<A, B, C, D>::length(input.rest));
            }
            if !self.utf8.is_open() && !input.take(common_sequences(input.rest)).is_empty() {
                continue;
            }
            let byte = input.next()?;
            if byte >= 0x80 || self.utf8.is_open() {
                if !self.utf8.takes(byte) {
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

    /// Before and behind the root element: white space and markup alone.
    fn outside<'c>(&mut self, input: &mut Input<'c>) -> Lexed<'c> {
        input.take(input.rest.iter().take_while(|byte| is_white(**byte)).count());
        let begin = input.offset();
        match input.next() {
            None => Ok(None),
            Some(b'<') => {
                input.take(1);
                self.begin = begin;
                self.state = State::Less;
                Ok(None)
            }
            Some(_) if self.rooted => Err(malformed(begin, "expected nothing behind the root element")),
            Some(byte) => Err(no_root(begin, byte)),
        }
    }

    fn reference<'c>(&mut self, reference: Reference, input: &mut Input<'c>) -> Lexed<'c> {
        let mut reference = reference;
        while let Some(byte) = input.next() {
            input.take(1);
            if let Some(char) = reference.push(byte).map_err(|what| malformed(self.begin, what))? {
                self.state = State::Text;
                let raw = input.offset().saturating_sub(self.begin);
                return Ok(Some(Token::Char { begin: self.begin, raw, char }));
            }
        }
        self.state = State::Reference(reference);
        Ok(None)
    }
}
