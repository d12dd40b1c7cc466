//! Decodes and checks a string between its quotation marks.

use super::{scan, syntax_error::SyntaxError};
use crate::text::Utf8Checker;

/// A string that the framer decodes.
#[derive(Debug, Clone, Copy)]
pub(super) enum DecodedString {
    MemberName,
    AttachmentName,
    /// `data` of an entry. A second `data` is not passed to the sink.
    AttachmentData {
        is_first: bool,
    },
}

/// A string after its opening quotation mark.
#[derive(Debug, Default)]
pub(super) struct JsonString {
    state: StringState,
    utf8: Utf8Checker,
    /// The first half of a surrogate pair. The second half must follow at once.
    high_surrogate: Option<u16>,
    /// RFC 8259, section 8.2, allows half of a surrogate pair. It is decoded as U+FFFD.
    pub has_lone_surrogate: bool,
}

#[derive(Debug, Clone, Copy, Default)]
enum StringState {
    /// Between escapes.
    #[default]
    Run,
    /// After a backslash.
    Escape,
    /// After `\u`: the number of digits that are missing, and the value of those before them.
    Hex { left: u8, value: u16 },
}

impl JsonString {
    /// Whether no escape is incomplete.
    pub fn is_between_characters(&self) -> bool {
        matches!(self.state, StringState::Run) && self.high_surrogate.is_none()
    }

    /// Reads from `pos` to the end of the string or of the chunk. Returns the position after the last byte read, and whether the
    /// string has ended (its closing quotation mark is read then). `out` receives the decoded runs in order.
    ///
    /// With `DATA`, the string is attachment data: it is long, and its decoder rejects bytes that are not ASCII, so they are
    /// passed on unchecked.
    pub fn feed<const DATA: bool>(
        &mut self,
        chunk: &[u8],
        mut pos: usize,
        out: &mut impl FnMut(&[u8]),
    ) -> Result<(usize, bool), SyntaxError> {
        // The start of the current run.
        let mut start = pos;
        loop {
            if let StringState::Run = self.state {
                let (stop, error) = self.run::<DATA>(chunk, pos);
                pos = stop;
                let run = chunk.get(start..pos).unwrap_or_default();
                if !run.is_empty() {
                    self.end_surrogate(out);
                    out(run);
                }
                if let Some(error) = error {
                    return Err(error);
                }
            }
            let Some(&byte) = chunk.get(pos) else { return Ok((pos, false)) };
            match self.state {
                StringState::Run if byte == b'"' => {
                    self.end_surrogate(out);
                    return Ok((pos + 1, true));
                }
                StringState::Run if byte == b'\\' => self.state = StringState::Escape,
                StringState::Run => {
                    return Err(SyntaxError::found(pos, "control characters in strings as escapes", byte));
                }
                StringState::Escape if byte == b'u' => self.state = StringState::Hex { left: 4, value: 0 },
                StringState::Escape => {
                    self.end_surrogate(out);
                    self.state = StringState::Run;
                    // The escaped character is the first of the next run, so `\/` does not make a run of its own.
                    if matches!(byte, b'"' | b'\\' | b'/') {
                        start = pos;
                        pos += 1;
                        continue;
                    }
                    out(&[short_escape(byte).ok_or_else(|| SyntaxError::found(pos, "an escape after `\\`", byte))?]);
                }
                StringState::Hex { left, value } => {
                    let digit = char::from(byte).to_digit(16).and_then(|digit| u16::try_from(digit).ok());
                    let digit =
                        digit.ok_or_else(|| SyntaxError::found(pos, "four hexadecimal digits after `\\u`", byte))?;
                    let value = (value << 4) | digit;
                    if left > 1 {
                        self.state = StringState::Hex { left: left - 1, value };
                    } else {
                        self.state = StringState::Run;
                        self.push_unit(value, out);
                    }
                }
            }
            pos += 1;
            start = pos;
        }
    }

    /// Returns the end of the run from `pos` on, and the error at its end if the bytes there are not UTF-8.
    #[inline(always)]
    fn run<const DATA: bool>(&mut self, chunk: &[u8], mut pos: usize) -> (usize, Option<SyntaxError>) {
        if DATA {
            return (pos + scan::long_run(chunk.get(pos..).unwrap_or_default()), None);
        }
        loop {
            if self.utf8.is_complete() {
                pos += scan::ascii_run(chunk.get(pos..).unwrap_or_default());
            }
            // Text in other scripts seldom has two ASCII characters in a row, so this loop continues until one.
            while let Some(&byte) = chunk.get(pos)
                && (byte >= 0x80 || !self.utf8.is_complete())
            {
                // Most letters beyond ASCII have two bytes.
                if self.utf8.is_complete()
                    && let Some([0xC2..=0xDF, 0x80..=0xBF]) = chunk.get(pos..pos + 2)
                {
                    pos += 2;
                    continue;
                }
                if !self.utf8.push(byte) {
                    return (pos, Some(SyntaxError::found(pos, "UTF-8", byte)));
                }
                pos += 1;
            }
            match chunk.get(pos) {
                None | Some(b'"' | b'\\' | ..0x20) => return (pos, None),
                Some(_) => {}
            }
        }
    }

    /// Decodes one `\uXXXX`.
    fn push_unit(&mut self, unit: u16, out: &mut impl FnMut(&[u8])) {
        let high = self.high_surrogate.take();
        if let Some(high) = high
            && let Some(Ok(character)) = char::decode_utf16([high, unit]).next()
        {
            return put(character, out);
        }
        if high.is_some() {
            self.has_lone_surrogate = true;
            put(char::REPLACEMENT_CHARACTER, out);
        }
        match unit {
            0xD800..=0xDBFF => self.high_surrogate = Some(unit),
            0xDC00..=0xDFFF => {
                self.has_lone_surrogate = true;
                put(char::REPLACEMENT_CHARACTER, out);
            }
            _ => put(char::from_u32(u32::from(unit)).unwrap_or(char::REPLACEMENT_CHARACTER), out),
        }
    }

    /// Ends a surrogate pair whose second half does not follow.
    #[inline(always)]
    fn end_surrogate(&mut self, out: &mut impl FnMut(&[u8])) {
        if self.high_surrogate.take().is_some() {
            self.has_lone_surrogate = true;
            put(char::REPLACEMENT_CHARACTER, out);
        }
    }
}

fn put(character: char, out: &mut impl FnMut(&[u8])) {
    out(character.encode_utf8(&mut [0; 4]).as_bytes());
}

fn short_escape(byte: u8) -> Option<u8> {
    Some(match byte {
        b'b' => 0x08,
        b'f' => 0x0C,
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        _ => return None,
    })
}
