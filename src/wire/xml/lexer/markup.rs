//! The lexer's part for tags and processing instructions: what is held until it is whole.

use super::{Lexed, Lexer, State, Token};
use crate::limits::{DEPTH_LIMIT, NAME_LIMIT};
use crate::wire::Sink;
use crate::wire::xml::chars::is_white;
use crate::wire::xml::held::Held;
use crate::wire::xml::{Input, malformed, tag};

const LESS_INSIDE: &str = "'<' inside a tag";

/// Markup of which the rest, `part`, has now come: all of it. `None`: the sink refused to let it be held.
fn whole<'w, S: Sink>(held: &'w mut Held, part: &'w [u8], sink: &mut S) -> Option<&'w [u8]> {
    if held.is_empty() {
        return Some(part);
    }
    held.push(part, sink).then(|| held.bytes())
}

impl Lexer {
    pub(super) fn less<'c>(&mut self, input: &mut Input<'c>) -> Option<Token<'c>> {
        self.state = match input.next() {
            Some(b'/') => State::EndTag,
            Some(b'!') => State::Bang,
            Some(b'?') => State::Instruction(false),
            _ => State::StartTag(None),
        };
        // What is looked at, and held, of a start tag begins behind the '<'; of the others behind one byte more.
        if !matches!(self.state, State::StartTag(_)) {
            input.take(1);
        }
        None
    }

    /// What may be looked at for the end of the markup at hand, and whether that is all that it may be long.
    fn window<'c>(&self, input: &Input<'c>) -> (&'c [u8], bool) {
        let so_far = usize::try_from(input.offset().saturating_sub(self.begin)).unwrap_or(usize::MAX);
        let room = NAME_LIMIT.saturating_sub(so_far);
        input.rest.get(..room).map_or((input.rest, false), |window| (window, true))
    }

    /// Nothing ends the markup in `window`: holds it.
    fn hold<'c, S: Sink>(&mut self, window: (&'c [u8], bool), input: &mut Input<'c>, sink: &mut S) -> Lexed<'c> {
        let (bytes, limit) = window;
        if limit {
            return Err(malformed(self.begin, "a tag or processing instruction longer than 65536 bytes"));
        }
        input.take(bytes.len());
        if !self.held.push(bytes, sink) {
            self.state = State::Blind;
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
            self.state = State::StartTag(quote);
            return self.hold(window, input, sink);
        };
        let part = input.take(end.saturating_add(1));
        if part.ends_with(b"<") {
            return Err(malformed(input.offset().saturating_sub(1), LESS_INSIDE));
        }
        let Some(bytes) = whole(&mut self.held, part, sink) else {
            self.state = State::Blind;
            return Ok(None);
        };
        let tag = tag::start(bytes, self.begin.saturating_add(1))?;
        if self.starts.is_empty() && self.rooted {
            return Err(malformed(self.begin, "a second root element"));
        }
        if self.starts.len() >= DEPTH_LIMIT {
            return Err(malformed(self.begin, "elements nested deeper than 64 levels"));
        }
        self.rooted = true;
        self.starts.push(self.names.bytes().len());
        let kept = self.names.push(tag.name, sink);
        self.state = match (kept, tag.empty) {
            (false, _) => State::Blind,
            (true, true) => State::Emptied,
            (true, false) => State::Text,
        };
        let token = Token::Open { begin: self.begin, end: input.offset(), marks: tag.marks };
        self.held.free(sink);
        Ok(kept.then_some(token))
    }

    pub(super) fn end_tag<'c, S: Sink>(&mut self, input: &mut Input<'c>, sink: &mut S) -> Lexed<'c> {
        let window = self.window(input);
        let Some(end) = window.0.iter().position(|byte| matches!(byte, b'<' | b'>')) else {
            return self.hold(window, input, sink);
        };
        let part = input.take(end);
        if input.take(1) == b"<" {
            return Err(malformed(input.offset().saturating_sub(1), LESS_INSIDE));
        }
        let Some(bytes) = whole(&mut self.held, part, sink) else {
            self.state = State::Blind;
            return Ok(None);
        };
        let name = self.names.bytes().get(self.starts.last().copied().unwrap_or(0)..).unwrap_or_default();
        let matches = bytes.strip_prefix(name).is_some_and(|rest| rest.iter().all(|byte| is_white(*byte)));
        if self.starts.is_empty() || !matches {
            return Err(malformed(self.begin, "an end tag that is not the innermost open element's"));
        }
        self.held.free(sink);
        self.state = State::Closed;
        Ok(Some(Token::Close { begin: self.begin }))
    }

    pub(super) fn instruction<'c, S: Sink>(&mut self, asked: bool, input: &mut Input<'c>, sink: &mut S) -> Lexed<'c> {
        let window = self.window(input);
        let mut asked = asked;
        let end = window.0.iter().position(|byte| {
            let ends = asked && *byte == b'>';
            asked = *byte == b'?';
            ends
        });
        let Some(end) = end else {
            self.state = State::Instruction(asked);
            return self.hold(window, input, sink);
        };
        let part = input.take(end.saturating_add(1));
        let Some(bytes) = whole(&mut self.held, part, sink) else {
            self.state = State::Blind;
            return Ok(None);
        };
        let body = bytes.strip_suffix(b"?>").unwrap_or(bytes);
        tag::instruction(body, self.begin.saturating_add(2), self.begin == self.document)?;
        self.held.free(sink);
        self.state = State::Text;
        Ok(None)
    }
}

const _: () = assert!(DEPTH_LIMIT == 64 && NAME_LIMIT == 65_536, "the texts above name these limits");
