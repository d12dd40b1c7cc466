//! The part of the lexer for tags and processing instructions. It keeps one that a chunk cuts.

use super::{Lexed, Lexer, LexerState, Token};
use crate::limits::{DEPTH_LIMIT, NAME_LIMIT};
use crate::wire::xml::characters::is_white;
use crate::wire::xml::input::{Input, malformed};
use crate::wire::xml::tag;
use crate::wire::{Sink, buffer::ReservedBuffer};

const LESS_INSIDE: &str = "'<' inside a tag";

/// Returns the complete markup, whose last bytes are `last`. `None`: the sink refused memory.
fn complete<'w, S: Sink>(buffer: &'w mut ReservedBuffer, last: &'w [u8], sink: &mut S) -> Option<&'w [u8]> {
    if buffer.is_empty() {
        return Some(last);
    }
    buffer.push(last, sink).then(|| buffer.bytes())
}

impl Lexer {
    pub(super) fn less<'c>(&mut self, input: &mut Input<'c>) -> Option<Token<'c>> {
        self.state = match input.next() {
            Some(b'/') => LexerState::EndTag,
            Some(b'!') => LexerState::Bang,
            Some(b'?') => LexerState::Instruction(false),
            _ => LexerState::StartTag(None),
        };
        // The markup of a start tag begins after `<`, that of the others one byte later.
        if !matches!(self.state, LexerState::StartTag(_)) {
            input.take(1);
        }
        None
    }

    /// Returns the bytes in which the current markup must end, and whether the limit ends them.
    fn window<'c>(&self, input: &Input<'c>) -> (&'c [u8], bool) {
        let so_far = usize::try_from(input.offset().saturating_sub(self.begin)).unwrap_or(usize::MAX);
        let room = NAME_LIMIT.saturating_sub(so_far);
        input.rest.get(..room).map_or((input.rest, false), |window| (window, true))
    }

    /// Keeps markup that does not end in `window`.
    fn keep<'c, S: Sink>(&mut self, window: (&'c [u8], bool), input: &mut Input<'c>, sink: &mut S) -> Lexed<'c> {
        let (bytes, is_limit) = window;
        if is_limit {
            return Err(malformed(self.begin, "a tag or processing instruction longer than 65536 bytes"));
        }
        input.take(bytes.len());
        if !self.markup.push(bytes, sink) {
            self.state = LexerState::Unchecked;
        }
        Ok(None)
    }

    pub(super) fn start_tag<'c, S: Sink>(
        &mut self,
        quote: Option<u8>,
        input: &mut Input<'c>,
        sink: &mut S,
    ) -> Lexed<'c> {
        let window = self.window(input);
        let mut quote = quote;
        let end = window.0.iter().position(|byte| match (*byte, quote) {
            (b'<', _) | (b'>', None) => true,
            (b'"' | b'\'', None) => {
                quote = Some(*byte);
                false
            }
            (other, Some(open)) if other == open => {
                quote = None;
                false
            }
            _ => false,
        });
        let Some(end) = end else {
            self.state = LexerState::StartTag(quote);
            return self.keep(window, input, sink);
        };
        let part = input.take(end.saturating_add(1));
        if part.ends_with(b"<") {
            return Err(malformed(input.offset().saturating_sub(1), LESS_INSIDE));
        }
        let Some(bytes) = complete(&mut self.markup, part, sink) else {
            self.state = LexerState::Unchecked;
            return Ok(None);
        };
        let tag = tag::read_start(bytes, self.begin.saturating_add(1))?;
        if self.starts.is_empty() && self.has_root {
            return Err(malformed(self.begin, "a second root element"));
        }
        if self.starts.len() >= DEPTH_LIMIT {
            return Err(malformed(self.begin, "elements nested deeper than 64 levels"));
        }
        self.has_root = true;
        self.starts.push(self.names.bytes().len());
        let is_kept = self.names.push(tag.name, sink);
        self.state = match (is_kept, tag.is_empty) {
            (false, _) => LexerState::Unchecked,
            (true, true) => LexerState::EmptyElement,
            (true, false) => LexerState::Text,
        };
        let token = Token::Open { begin: self.begin, end: input.offset(), marks: tag.marks };
        self.markup.release(sink);
        Ok(is_kept.then_some(token))
    }

    pub(super) fn end_tag<'c, S: Sink>(&mut self, input: &mut Input<'c>, sink: &mut S) -> Lexed<'c> {
        let window = self.window(input);
        let Some(end) = window.0.iter().position(|byte| matches!(byte, b'<' | b'>')) else {
            return self.keep(window, input, sink);
        };
        let part = input.take(end);
        if input.take(1) == b"<" {
            return Err(malformed(input.offset().saturating_sub(1), LESS_INSIDE));
        }
        let Some(bytes) = complete(&mut self.markup, part, sink) else {
            self.state = LexerState::Unchecked;
            return Ok(None);
        };
        let name = self.names.bytes().get(self.starts.last().copied().unwrap_or(0)..).unwrap_or_default();
        let matches = bytes.strip_prefix(name).is_some_and(|rest| rest.iter().all(|byte| is_white(*byte)));
        if self.starts.is_empty() || !matches {
            return Err(malformed(self.begin, "an end tag that does not match the innermost open element"));
        }
        self.markup.release(sink);
        self.state = LexerState::Closed;
        Ok(Some(Token::Close { begin: self.begin }))
    }

    pub(super) fn instruction<'c, S: Sink>(
        &mut self,
        is_after_question_mark: bool,
        input: &mut Input<'c>,
        sink: &mut S,
    ) -> Lexed<'c> {
        let window = self.window(input);
        let mut is_after_question_mark = is_after_question_mark;
        let end = window.0.iter().position(|byte| {
            let ends = is_after_question_mark && *byte == b'>';
            is_after_question_mark = *byte == b'?';
            ends
        });
        let Some(end) = end else {
            self.state = LexerState::Instruction(is_after_question_mark);
            return self.keep(window, input, sink);
        };
        let part = input.take(end.saturating_add(1));
        let Some(bytes) = complete(&mut self.markup, part, sink) else {
            self.state = LexerState::Unchecked;
            return Ok(None);
        };
        let body = bytes.strip_suffix(b"?>").unwrap_or(bytes);
        tag::check_instruction(body, self.begin.saturating_add(2), self.begin == self.document)?;
        self.markup.release(sink);
        self.state = LexerState::Text;
        Ok(None)
    }
}

const _: () = assert!(DEPTH_LIMIT == 64 && NAME_LIMIT == 65_536, "the messages above contain these limits");
