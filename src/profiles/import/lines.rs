//! Counts lines, and skips white space at the start of a file.

use std::io::{self, BufRead, BufReader, Read};

/// Counts lines that end with LF, CR or CRLF, as the CSV parser ends rows.
#[derive(Debug, Clone, Copy)]
pub struct LineCounter {
    current: u64,
    /// Whether the last byte was a CR. An LF after a CR does not end another line.
    after_cr: bool,
}

impl Default for LineCounter {
    fn default() -> Self {
        Self { current: 1, after_cr: false }
    }
}

impl LineCounter {
    /// Returns the number of the current line. The first line is 1.
    pub fn current(&self) -> u64 {
        self.current
    }

    /// Passes bytes without line ends.
    pub fn pass_text(&mut self) {
        self.after_cr = false;
    }

    /// Counts the line ends in the next bytes of the file.
    pub fn pass(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.current += u64::from(*byte == b'\r' || (*byte == b'\n' && !self.after_cr));
            self.after_cr = *byte == b'\r';
        }
    }
}

/// Skips white space (as JSON defines it) at the start of a file. There can be more of it than one read returns.
///
/// The format of the file is not known yet, so lines are counted for both: CSV lines also end with CR, NDJSON lines only with
/// LF.
#[derive(Default)]
pub struct LeadingSpace {
    lines: LineCounter,
    line_feeds: u64,
    /// Tabs on the line that was not skipped. They can be empty cells.
    tabs: u64,
}

impl LeadingSpace {
    /// Returns the first byte that is not white space, without consuming it. Returns `None` at the end of the file.
    pub fn skip(&mut self, input: &mut impl BufRead) -> io::Result<Option<u8>> {
        loop {
            let bytes = input.fill_buf()?;
            let count = bytes.iter().take_while(|byte| matches!(byte, b' ' | b'\t' | b'\r' | b'\n')).count();
            let (space, rest) = bytes.split_at(count);
            let (first, is_at_end) = (rest.first().copied(), bytes.is_empty());
            self.lines.pass(space);
            for byte in space {
                match byte {
                    b'\t' => self.tabs += 1,
                    b'\n' => (self.tabs, self.line_feeds) = (0, self.line_feeds + 1),
                    b'\r' => self.tabs = 0,
                    _ => {}
                }
            }
            input.consume(count);
            if first.is_some() || is_at_end {
                return Ok(first);
            }
        }
    }

    /// Returns the number of LF that have been skipped.
    pub fn line_feeds(&self) -> u64 {
        self.line_feeds
    }

    /// Returns the counter of lines that end with LF, CR or CRLF.
    pub fn lines(&self) -> LineCounter {
        self.lines
    }

    /// Returns the rest of the file, with the tabs at the start of its first line.
    pub fn restore_tabs<'a>(&self, input: Box<dyn BufRead + 'a>) -> Box<dyn BufRead + 'a> {
        if self.tabs == 0 {
            return input;
        }
        Box::new(BufReader::new(io::repeat(b'\t').take(self.tabs)).chain(input))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_lines_whatever_the_pieces_are() {
        let text = b"a\r\nb\rc\n\r\n\n\rd";
        for size in 1..=text.len() {
            let mut lines = LineCounter::default();
            text.chunks(size).for_each(|piece| lines.pass(piece));
            assert_eq!(lines.current(), 7, "{size}");
        }
        let mut lines = LineCounter::default();
        lines.pass(b"\r");
        lines.pass(b"");
        lines.pass(b"\n");
        assert_eq!(lines.current(), 2);
    }
}
