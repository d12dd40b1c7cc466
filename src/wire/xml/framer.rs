//! Passes the bytes of a body to the lexer, and its tokens to the outline.

use super::lexer::{Lexer, Token};
use super::outline::Outline;
use super::{flat, input::Input};
use crate::fields::Endpoint;
use crate::wire::{FrameError, Sink};

/// Frames an XML body.
///
/// Besides an incomplete piece, the framer keeps at most one tag ([`crate::limits::NAME_LIMIT`]) and the names of the open
/// elements. All of it is reserved with the sink. If the sink refuses memory for a tag, the rest of the body cannot be checked:
/// neither pieces nor errors follow.
#[derive(Debug)]
pub struct XmlFramer {
    lexer: Lexer,
    outline: Outline,
    /// Bytes of the body before the chunk.
    offset: u64,
    failed: Option<FrameError>,
}

impl XmlFramer {
    pub fn new(endpoint: Endpoint) -> Self {
        Self { lexer: Lexer::new(), outline: Outline::new(endpoint), offset: 0, failed: None }
    }

    /// Frames the next chunk of the body. After an error, every call returns the same error.
    pub fn feed<S: Sink>(&mut self, chunk: &[u8], sink: &mut S) -> Result<(), FrameError> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        let mut input = Input::new(chunk, self.offset);
        let result = self.frame(&mut input, sink);
        self.offset = input.chunk.end();
        self.record(result, sink)
    }

    /// Ends the body. Returns an error if the document is incomplete.
    pub fn finish<S: Sink>(&mut self, sink: &mut S) -> Result<(), FrameError> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        let result = self.lexer.finish(self.offset);
        self.lexer.release(sink);
        self.outline.release(sink);
        self.record(result, sink)
    }

    /// Bytes of the `data` of attachments as sent: character data, references and white space between the tags of `data`, but
    /// not tags, comments and delimiters of CDATA. They do not count against `BODY_LIMIT`. After an error, the bytes before it.
    pub fn attachment_bytes(&self) -> u64 {
        let in_data = self.failed.is_none() && self.outline.is_in_data(self.lexer.level());
        let pending = if in_data { self.lexer.pending_text(self.offset) } else { 0 };
        self.outline.attachment_bytes().saturating_add(pending)
    }

    /// Whether the next byte, or the byte with the error, is inside the `data` of an attachment.
    pub fn is_in_attachment(&self) -> bool {
        self.outline.is_in_attachment()
    }

    /// Returns the bytes that can end attachment data, if the next byte is data unless it is one of them.
    pub fn attachment_data_ends(&self) -> Option<[u8; 2]> {
        if self.outline.is_in_data(self.lexer.level()) { self.lexer.text_ends() } else { None }
    }

    fn frame<S: Sink>(&mut self, input: &mut Input<'_>, sink: &mut S) -> Result<(), FrameError> {
        loop {
            if self.outline.can_take_items() && self.lexer.is_between_tokens() {
                flat::items(input, sink);
            }
            if self.outline.can_take_data(self.lexer.level()) && self.lexer.is_between_tokens() {
                let taken = sink.take_base64(input.rest);
                self.outline.count_data(input.take(taken));
            }
            match self.lexer.next(input, sink)? {
                Token::ChunkEnd => break,
                token => self.outline.accept(token, &self.lexer, input, sink)?,
            }
        }
        if self.lexer.is_unchecked() {
            // The rest may be attachment data.
            self.outline.count_data(input.rest);
            self.lexer.release(sink);
            self.outline.release(sink);
        } else {
            self.outline.suspend(&self.lexer, input, sink);
        }
        Ok(())
    }

    /// Releases all memory after an error, and keeps the error.
    fn record<S: Sink>(&mut self, result: Result<(), FrameError>, sink: &mut S) -> Result<(), FrameError> {
        if let Err(error) = &result {
            self.failed = Some(error.clone());
            self.lexer.release(sink);
            self.outline.release(sink);
        }
        result
    }
}
