//! Splits a JSON array into its elements, so that an array of any size is read in bounded memory. The elements are not parsed.

use std::io::BufRead;

use super::error::ImportError;
use crate::limits::ROW_LIMIT;

/// Reads one element at a time.
pub struct ArrayReader<R> {
    input: R,
    line: u64,
    text: Vec<u8>,
    /// Whether the element is longer than [`ROW_LIMIT`].
    is_too_long: bool,
    state: ArrayState,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ArrayState {
    BeforeArray,
    /// After the opening bracket: the array can be empty.
    First,
    /// After a comma.
    Next,
    End,
}

/// The place inside an element.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Outside,
    String,
    Escape,
}

impl<R: BufRead> ArrayReader<R> {
    /// Reads a file that begins with a bracket, after `lines` empty lines.
    pub fn new(input: R, lines: u64) -> Self {
        Self { input, line: lines + 1, text: Vec::new(), is_too_long: false, state: ArrayState::BeforeArray }
    }

    /// Returns the element that was read, or `None` if it is too long.
    pub fn element(&self) -> Option<&[u8]> {
        (!self.is_too_long).then_some(&self.text)
    }

    /// Reads the next element, and returns the line on which it begins. Returns `None` at the end of the array.
    pub fn next(&mut self) -> Result<Option<u64>, ImportError> {
        self.text.clear();
        self.is_too_long = false;
        if self.state == ArrayState::BeforeArray {
            self.next_visible()?;
            self.input.consume(1);
            self.state = ArrayState::First;
        }
        if self.state == ArrayState::End {
            return Ok(None);
        }
        match self.next_visible()? {
            None => return Err(self.error("the array is not closed; is the file cut off?")),
            Some(b']') if self.state == ArrayState::First => {
                self.input.consume(1);
                return self.end();
            }
            Some(_) => {}
        }
        let line = self.line;
        let (mut depth, mut place) = (0_u32, Place::Outside);
        loop {
            let input = self.input.fill_buf()?;
            if input.is_empty() {
                return Err(self.error("the array is not closed; is the file cut off?"));
            }
            let mut end = None;
            let mut length = 0;
            for byte in input {
                self.line += u64::from(*byte == b'\n');
                place = match (place, byte) {
                    (Place::Escape, _) => Place::String,
                    (Place::String, b'\\') => Place::Escape,
                    (Place::String, b'"') => Place::Outside,
                    (Place::String, _) => Place::String,
                    (Place::Outside, b'"') => Place::String,
                    (Place::Outside, b',' | b']') if depth == 0 => {
                        end = Some(*byte);
                        break;
                    }
                    (Place::Outside, b'{' | b'[') => {
                        depth += 1;
                        Place::Outside
                    }
                    (Place::Outside, b'}' | b']') => {
                        depth = depth.saturating_sub(1);
                        Place::Outside
                    }
                    (Place::Outside, _) => Place::Outside,
                };
                length += 1;
            }
            if self.text.len() + length <= ROW_LIMIT {
                self.text.extend_from_slice(input.get(..length).unwrap_or_default());
            } else {
                self.is_too_long = true;
            }
            self.input.consume(length + usize::from(end.is_some()));
            match end {
                None => {}
                Some(b']') => {
                    self.end()?;
                    return Ok(Some(line));
                }
                Some(_) => {
                    self.state = ArrayState::Next;
                    return Ok(Some(line));
                }
            }
        }
    }

    /// Checks that only white space follows the array.
    fn end(&mut self) -> Result<Option<u64>, ImportError> {
        self.state = ArrayState::End;
        match self.next_visible()? {
            None => Ok(None),
            Some(_) => Err(self.error("text after the end of the array")),
        }
    }

    /// Skips white space, and returns the next byte without consuming it.
    fn next_visible(&mut self) -> Result<Option<u8>, ImportError> {
        loop {
            let bytes = self.input.fill_buf()?;
            let space = bytes.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
            let (skipped, rest) = bytes.split_at(space);
            self.line += skipped.iter().filter(|byte| **byte == b'\n').count() as u64;
            let (first, is_at_end) = (rest.first().copied(), bytes.is_empty());
            self.input.consume(space);
            if first.is_some() || is_at_end {
                return Ok(first);
            }
        }
    }

    fn error(&self, reason: &'static str) -> ImportError {
        ImportError::Array { line: self.line, reason }
    }
}

#[cfg(test)]
mod tests {
    use std::io::BufReader;

    use super::*;

    fn elements(text: &str) -> Result<Vec<(u64, String)>, String> {
        let read = |size| {
            let mut array = ArrayReader::new(BufReader::with_capacity(size, text.as_bytes()), 0);
            let mut elements = Vec::new();
            while let Some(line) = array.next().map_err(|error| error.to_string())? {
                elements.push((line, String::from_utf8(array.element().unwrap().trim_ascii().to_vec()).unwrap()));
            }
            Ok(elements)
        };
        let whole = read(1000);
        for size in 1..8 {
            assert_eq!(read(size), whole, "{size}");
        }
        whole
    }

    #[test]
    fn splits_an_array_into_its_elements() {
        assert_eq!(elements("[]\n "), Ok(vec![]));
        assert_eq!(elements(" [ ] "), Ok(vec![]));
        let array = "[{\"a\":\"]},\\\"\"},\n  {\n\"b\":[1,{}]\n},\n3 ]\n";
        let expected = [(1, "{\"a\":\"]},\\\"\"}"), (2, "{\n\"b\":[1,{}]\n}"), (5, "3")];
        assert_eq!(elements(array), Ok(expected.map(|(line, text)| (line, text.to_owned())).to_vec()));
        assert_eq!(elements("[1,]"), Ok(vec![(1, "1".to_owned()), (1, String::new())]));
    }

    #[test]
    fn reports_the_line_of_an_array_that_is_cut_off() {
        for text in ["[", "[1", "[1,", "[\n\"a", "[{\"a\":1}", "[{]"] {
            let line = 1 + text.matches('\n').count();
            let error = format!("line {line}: the array is not closed; is the file cut off?");
            assert_eq!(elements(text), Err(error), "{text}");
        }
        assert_eq!(elements("[1]\n[2]"), Err("line 2: text after the end of the array".to_owned()));
    }

    #[test]
    fn does_not_keep_an_element_that_is_too_long() {
        let text = format!("[\"{}\",1]", "x".repeat(ROW_LIMIT));
        let mut array = ArrayReader::new(text.as_bytes(), 0);
        assert_eq!(array.next().unwrap(), Some(1));
        assert_eq!(array.element(), None);
        assert_eq!(array.next().unwrap(), Some(1));
        assert_eq!(array.element(), Some(b"1".as_slice()));
    }
}
