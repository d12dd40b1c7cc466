//! The part of the lexer for comments and CDATA sections.

use super::{Lexed, Lexer, LexerState, Token};
use crate::wire::xml::characters::{CDataRun, CommentRun};
use crate::wire::xml::input::{Input, malformed};

const CDATA: &[u8] = b"[CDATA[";

impl Lexer {
    /// Reads what follows `<!`.
    pub(super) fn bang<'c>(&mut self, input: &mut Input<'c>) -> Lexed<'c> {
        let at = input.offset();
        let next = input.take(1);
        self.state = match (self.state, next) {
            (LexerState::Bang, b"-") => LexerState::BangDash,
            (LexerState::BangDash, b"-") => LexerState::Comment(0),
            (LexerState::Bang, b"[") if !self.starts.is_empty() => LexerState::BangCData(1),
            (LexerState::BangCData(seen), _) if CDATA.get(seen) == next.first() => match seen.saturating_add(1) {
                all if all == CDATA.len() => LexerState::CData(0),
                more => LexerState::BangCData(more),
            },
            (LexerState::Bang, b"D" | b"d") => {
                return Err(malformed(
                    self.begin,
                    "a DTD (<!DOCTYPE) is not accepted; send an XML document without one",
                ));
            }
            _ => return Err(malformed(at, "expected '<!--' or, inside the root element, '<![CDATA['")),
        };
        Ok(None)
    }

    pub(super) fn comment<'c>(&mut self, hyphens: u8, input: &mut Input<'c>) -> Lexed<'c> {
        let mut hyphens = hyphens;
        loop {
            let at = input.offset();
            if hyphens == 2 {
                if input.next() == Some(b'>') {
                    input.take(1);
                    self.state = LexerState::Text;
                    return Ok(None);
                }
                if input.next().is_some() {
                    return Err(malformed(at, "'--' inside a comment"));
                }
            }
            let before = input.rest.len();
            if let Some(what) = self.check_characters(input, CommentRun {}) {
                return Err(malformed(input.offset(), what));
            }
            if input.rest.len() < before {
                hyphens = 0;
            }
            if input.rest.is_empty() {
                self.state = LexerState::Comment(hyphens);
                return Ok(None);
            }
            input.take(1);
            hyphens = hyphens.saturating_add(1);
        }
    }

    pub(super) fn cdata<'c>(&mut self, brackets: u8, input: &mut Input<'c>) -> Lexed<'c> {
        let begin = input.offset();
        match (brackets, input.next()) {
            (2, Some(b'>')) => {
                input.take(1);
                self.state = LexerState::Text;
                return Ok(None);
            }
            (0 | 1, Some(b']')) if self.characters.is_complete() => {
                input.take(1);
                self.state = LexerState::CData(brackets.saturating_add(1));
                return Ok(None);
            }
            // Brackets that are content, one at a time: an earlier chunk may contain them.
            (1 | 2, Some(next)) => {
                if next == b']' {
                    input.take(1);
                } else {
                    self.state = LexerState::CData(brackets.saturating_sub(1));
                }
                let begin = begin.saturating_sub(u64::from(brackets));
                return Ok(Some(Token::Text { begin, bytes: b"]" }));
            }
            _ => {}
        }
        let whole = input.rest;
        let error = self.check_characters(input, CDataRun {});
        let bytes = whole.get(..whole.len().saturating_sub(input.rest.len())).unwrap_or_default();
        match error {
            Some(what) if bytes.is_empty() => Err(malformed(begin, what)),
            _ => Ok((!bytes.is_empty()).then_some(Token::Text { begin, bytes })),
        }
    }
}
