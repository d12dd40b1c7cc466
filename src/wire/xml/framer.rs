//! The framer: bytes in, pieces out.

use super::lexer::{Lexer, Token};
use super::outline::Outline;
use super::{Input, direct};
use crate::wire::{Endpoint, FrameError, Sink};

/// Frames a body in XML. It never reads: it is fed chunks of whatever size, and hands on pieces.
///
/// Beside the pieces it holds at most one tag ([`crate::limits::NAME_LIMIT`]) and the names of the open elements,
/// all reserved with the sink. Where the sink refuses to let a *tag* be held, nothing can be checked any longer:
/// then no more pieces and no faults come, to the end of the body; the sink knows why.
#[derive(Debug)]
pub struct XmlFramer {
    lexer: Lexer,
    outline: Outline,
    /// Bytes fed so far.
    fed: u64,
    failed: Option<FrameError>,
}

impl XmlFramer {
    /// A framer for the body of a request to that endpoint.
    pub fn new(endpoint: Endpoint) -> Self {
        Self { lexer: Lexer::new(), outline: Outline::new(endpoint), fed: 0, failed: None }
    }

    /// Takes the next bytes of the body, all of them. After an error it returns that error for ever.
    pub fn feed<S: Sink>(&mut self, chunk: &[u8], sink: &mut S) -> Result<(), FrameError> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        let mut input = Input::new(chunk, self.fed);
        let result = self.frame(&mut input, sink);
        self.fed = input.end();
        self.settle(result, sink)
    }

    /// The body has ended: an error, if the document has not.
    pub fn finish<S: Sink>(&mut self, sink: &mut S) -> Result<(), FrameError> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        let result = self.lexer.finish(self.fed);
        self.lexer.free(sink);
        self.outline.free(sink);
        self.settle(result, sink)
    }

    /// How many bytes of attachments' `data` have been fed, as sent: character data, references and white space between
    /// the tags of `data`. Tags, comments and the delimiters of CDATA are not among them. These bytes do not count against
    /// `BODY_LIMIT`. After an error: those before the byte that is wrong.
    pub fn attachment_bytes(&self) -> u64 {
        let in_data = self.failed.is_none() && self.outline.is_in_data(self.lexer.level());
        let pending = if in_data { self.lexer.pending_text(self.fed) } else { 0 };
        self.outline.attachment_bytes().saturating_add(pending)
    }

    /// Whether it is inside the `data` of an attachment, or was when it found a fault.
    pub fn is_in_attachment(&self) -> bool {
        self.outline.is_in_attachment()
    }

    /// The bytes that may end the data of an attachment, if the next byte is data unless it is one of them.
    pub fn attachment_data_ends(&self) -> Option<[u8; 2]> {
        if self.outline.is_in_data(self.lexer.level()) { self.lexer.text_ends() } else { None }
    }

    fn frame<S: Sink>(&mut self, input: &mut Input<'_>, sink: &mut S) -> Result<(), FrameError> {
        loop {
            if self.outline.takes_items() && self.lexer.is_between() {
                direct::items(input, sink);
            }
            if self.outline.takes_data(self.lexer.level()) && self.lexer.is_between() {
                let short = sink.take_base64(input.rest);
                self.outline.data_taken(input.take(short));
            }
            match self.lexer.next(input, sink)? {
                Token::NeedMore => break,
                token => self.outline.take(token, &self.lexer, input, sink)?,
            }
        }
        if self.lexer.is_blind() {
            // It may be attachment data: nobody knows any more.
            self.outline.data_taken(input.rest);
            self.lexer.free(sink);
            self.outline.free(sink);
        } else {
            self.outline.chunk_ends(&self.lexer, input, sink);
        }
        Ok(())
    }

    /// After a fault nothing is held any longer, and nothing else is said.
    fn settle<S: Sink>(&mut self, result: Result<(), FrameError>, sink: &mut S) -> Result<(), FrameError> {
        if let Err(error) = &result {
            self.failed = Some(error.clone());
            self.lexer.free(sink);
            self.outline.free(sink);
        }
        result
    }
}
