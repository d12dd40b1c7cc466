//! Finds the elements in markup that the framer has checked. It borrows from the markup and allocates nothing.
//!
//! It may misread markup that is not well-formed, but it never panics.

use memchr::{memchr, memchr3};

use super::chars::is_white;

/// A part of markup.
#[derive(Debug, Clone, Copy)]
pub enum Part<'a> {
    /// A start tag without its `<`, up to and including its `>`. The tag begins at the offset `begin`.
    Start { tag: &'a str, begin: usize },
    /// An end tag.
    End { name: &'a str, begin: usize },
    /// Character data, with references as they stand there. Never empty.
    Text(&'a str),
    /// What is inside a CDATA section.
    CData(&'a str),
}

/// The parts of markup, in order. Comments and processing instructions are skipped.
#[derive(Debug)]
pub struct Parts<'a> {
    markup: &'a str,
    at: usize,
}

/// The markup is not well-formed.
#[derive(Debug)]
pub struct Broken;

impl<'a> Parts<'a> {
    pub fn new(markup: &'a str) -> Self {
        Self { markup, at: 0 }
    }

    /// The offset of the next part.
    pub fn at(&self) -> usize {
        self.at
    }

    /// The next part; `None` at the end.
    pub fn next(&mut self) -> Result<Option<Part<'a>>, Broken> {
        loop {
            let begin = self.at;
            let rest = self.markup.get(begin..).ok_or(Broken)?;
            let Some(markup) = rest.strip_prefix('<') else {
                if rest.is_empty() {
                    return Ok(None);
                }
                let length = memchr(b'<', rest.as_bytes()).unwrap_or(rest.len());
                return self.take(length, 0).map(|text| Some(Part::Text(text)));
            };
            if markup.starts_with("!--") {
                self.take(ended(rest, "<!--", "--")?, 0)?;
            } else if markup.starts_with("![CDATA[") {
                let section = self.take(ended(rest, "<![CDATA[", "]]")?, "<![CDATA[".len())?;
                return Ok(Some(Part::CData(section.strip_suffix("]]>").ok_or(Broken)?)));
            } else if markup.starts_with('?') {
                self.take(ended(rest, "<?", "?")?, 0)?;
            } else if markup.starts_with('!') {
                return Err(Broken);
            } else if markup.starts_with('/') {
                let end = memchr(b'>', rest.as_bytes()).ok_or(Broken)?;
                let name = self.take(end + 1, "</".len())?.trim_end_matches(|char| char == '>' || is_white_char(char));
                return Ok(Some(Part::End { name, begin }));
            } else {
                let tag = self.take(tag_length(rest).ok_or(Broken)?, 1)?;
                return Ok(Some(Part::Start { tag, begin }));
            }
        }
    }

    /// Skips the rest of the element `name`, whose start tag was the last part. Returns the markup between its tags.
    pub fn skip(&mut self, name: &str) -> Result<&'a str, Broken> {
        let begin = self.at;
        let mut depth = 0_usize;
        loop {
            match self.next()?.ok_or(Broken)? {
                Part::Start { tag, .. } if !tag.ends_with("/>") => depth += 1,
                Part::End { name: ended, begin: end } if depth == 0 => {
                    return self.markup.get(begin..end).filter(|_| ended == name).ok_or(Broken);
                }
                Part::End { .. } => depth -= 1,
                _ => {}
            }
        }
    }

    /// Reads `length` bytes, and returns them without the first `prefix` bytes.
    fn take(&mut self, length: usize, prefix: usize) -> Result<&'a str, Broken> {
        let (begin, end) = (self.at + prefix, self.at + length);
        self.at = end;
        self.markup.get(begin..end).ok_or(Broken)
    }
}

fn is_white_char(char: char) -> bool {
    u8::try_from(char).is_ok_and(is_white)
}

/// The length of what begins with `begin`, up to and including the first `>` after `end`.
fn ended(markup: &str, begin: &str, end: &str) -> Result<usize, Broken> {
    let mut at = begin.len() + end.len();
    loop {
        let more = markup.as_bytes().get(at..).and_then(|rest| memchr(b'>', rest)).ok_or(Broken)?;
        at += more + 1;
        if markup.as_bytes().get(..at - 1).is_some_and(|before| before.ends_with(end.as_bytes())) {
            return Ok(at);
        }
    }
}

/// The length of the start tag that `markup` begins with: its `>` is the first outside quotes.
fn tag_length(markup: &str) -> Option<usize> {
    let bytes = markup.as_bytes();
    let mut at = 0;
    loop {
        at += memchr3(b'>', b'"', b'\'', bytes.get(at..)?)?;
        let stop = *bytes.get(at)?;
        at += 1;
        if stop == b'>' {
            return Some(at);
        }
        at += memchr(stop, bytes.get(at..)?)? + 1;
    }
}
