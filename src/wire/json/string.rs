//! The inside of a string, between the quotation marks: checked, and decoded as it passes.

use super::{fault::Fault, scan};

/// A string whose opening quotation mark has passed.
#[derive(Debug, Default)]
pub(super) struct Text {
    state: State,
    utf8: Utf8,
    /// The first half of a surrogate pair; the second has to follow at once.
    half: Option<u16>,
    /// Half of a surrogate pair stood alone. RFC 8259 (§8.2) allows it, but it is no character: U+FFFD is handed on.
    pub lone: bool,
}

#[derive(Debug, Clone, Copy, Default)]
enum State {
    /// Between escapes.
    #[default]
    Run,
    /// After a backslash.
    Escape,
    /// After `\u`: how many digits are still to come, and what those before them make.
    Hex { left: u8, value: u16 },
}

impl Text {
    /// Whether nothing is under way: the next character may stand for itself.
    pub fn is_between(&self) -> bool {
        matches!(self.state, State::Run) && self.half.is_none()
    }

    /// Goes on from `pos` to the end of the string or of the chunk, and tells where that is and whether the
    /// string has ended (then its closing quotation mark is behind). `out` gets what it stands for, in order.
    ///
    /// With `DATA` the string is attachment data: long, and bytes past ASCII are handed on unchecked, because
    /// whoever decodes it refuses those that are not UTF-8.
    pub fn feed<const DATA: bool>(
        &mut self,
        chunk: &[u8],
        mut pos: usize,
        out: &mut impl FnMut(&[u8]),
    ) -> Result<(usize, bool), Fault> {
        // Where the run under way begins.
        let mut start = pos;
        loop {
            if let State::Run = self.state {
                let (stop, fault) = self.run::<DATA>(chunk, pos);
                pos = stop;
                let run = chunk.get(start..pos).unwrap_or_default();
                if !run.is_empty() {
                    self.end_half(out);
                    out(run);
                }
                if let Some(fault) = fault {
                    return Err(fault);
                }
            }
            let Some(&byte) = chunk.get(pos) else { return Ok((pos, false)) };
            match self.state {
                State::Run if byte == b'"' => {
                    self.end_half(out);
                    return Ok((pos + 1, true));
                }
                State::Run if byte == b'\\' => self.state = State::Escape,
                State::Run => return Err(Fault::found(pos, "control characters in strings as escapes", byte)),
                State::Escape if byte == b'u' => self.state = State::Hex { left: 4, value: 0 },
                State::Escape => {
                    self.end_half(out);
                    self.state = State::Run;
                    // These stand for themselves: the next run begins with them, and `\/` costs no piece of its own.
                    if matches!(byte, b'"' | b'\\' | b'/') {
                        start = pos;
                        pos += 1;
                        continue;
                    }
                    out(&[short_escape(byte).ok_or_else(|| Fault::found(pos, "an escape after `\\`", byte))?]);
                }
                State::Hex { left, value } => {
                    let digit = char::from(byte).to_digit(16).and_then(|digit| u16::try_from(digit).ok());
                    let digit = digit.ok_or_else(|| Fault::found(pos, "four hexadecimal digits after `\\u`", byte))?;
                    let value = (value << 4) | digit;
                    if left > 1 {
                        self.state = State::Hex { left: left - 1, value };
                    } else {
                        self.state = State::Run;
                        self.unit(value, out);
                    }
                }
            }
            pos += 1;
            start = pos;
        }
    }

    /// Where the run from `pos` ends, and what is wrong there if it is not UTF-8.
    #[inline(always)]
    fn run<const DATA: bool>(&mut self, chunk: &[u8], mut pos: usize) -> (usize, Option<Fault>) {
        if DATA {
            return (pos + scan::long_run(chunk.get(pos..).unwrap_or_default()), None);
        }
        loop {
            if self.utf8.is_between() {
                pos += scan::ascii_run(chunk.get(pos..).unwrap_or_default());
            }
            // Text that is not Latin seldom has two ASCII characters in a row: stay here while it goes on.
            while let Some(&byte) = chunk.get(pos)
                && (byte >= 0x80 || !self.utf8.is_between())
            {
                // Two bytes make most letters that are not ASCII.
                if self.utf8.is_between()
                    && let Some([0xC2..=0xDF, 0x80..=0xBF]) = chunk.get(pos..pos + 2)
                {
                    pos += 2;
                    continue;
                }
                if !self.utf8.push(byte) {
                    return (pos, Some(Fault::found(pos, "UTF-8", byte)));
                }
                pos += 1;
            }
            match chunk.get(pos) {
                None | Some(b'"' | b'\\' | ..0x20) => return (pos, None),
                Some(_) => {}
            }
        }
    }

    /// One `\uXXXX`.
    fn unit(&mut self, unit: u16, out: &mut impl FnMut(&[u8])) {
        let high = self.half.take();
        if let Some(high) = high
            && let Some(Ok(character)) = char::decode_utf16([high, unit]).next()
        {
            return put(character, out);
        }
        if high.is_some() {
            self.lone = true;
            put(char::REPLACEMENT_CHARACTER, out);
        }
        match unit {
            0xD800..=0xDBFF => self.half = Some(unit),
            0xDC00..=0xDFFF => {
                self.lone = true;
                put(char::REPLACEMENT_CHARACTER, out);
            }
            _ => put(char::from_u32(u32::from(unit)).unwrap_or(char::REPLACEMENT_CHARACTER), out),
        }
    }

    /// What follows is not the second half of a pair.
    #[inline(always)]
    fn end_half(&mut self, out: &mut impl FnMut(&[u8])) {
        if self.half.take().is_some() {
            self.lone = true;
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

/// Checks UTF-8 byte by byte (Unicode, table 3-7), so that a character may be split anywhere.
#[derive(Debug, Default)]
struct Utf8 {
    /// Bytes of the character that are still to come, of which the next is between `low` and `high`.
    left: u8,
    low: u8,
    high: u8,
}

impl Utf8 {
    fn is_between(&self) -> bool {
        self.left == 0
    }

    /// Whether `byte` can stand here.
    #[inline(always)]
    fn push(&mut self, byte: u8) -> bool {
        if self.left > 0 {
            let fits = (self.low..=self.high).contains(&byte);
            *self = Self { left: self.left - 1, low: 0x80, high: 0xBF };
            return fits;
        }
        let (left, low, high) = match byte {
            ..0x80 => return true,
            0xC2..=0xDF => (1, 0x80, 0xBF),
            0xE0 => (2, 0xA0, 0xBF),
            0xED => (2, 0x80, 0x9F),
            0xE1..=0xEF => (2, 0x80, 0xBF),
            0xF0 => (3, 0x90, 0xBF),
            0xF1..=0xF3 => (3, 0x80, 0xBF),
            0xF4 => (3, 0x80, 0x8F),
            _ => return false,
        };
        *self = Self { left, low, high };
        true
    }
}
