//! Finds the elements in markup that the framer has checked. The parts borrow from the markup; nothing is allocated.
//!
//! Markup that is not well-formed can be misread, but does not panic.

use memchr::{memchr, memchr3};

use super::characters::is_white;

/// A part of markup.
#[derive(Debug, Clone, Copy)]
pub enum MarkupPart<'a> {
    /// A start tag from after `<` up to and including `>`. The tag begins at the offset `begin`.
    Start { tag: &'a str, begin: usize },
    /// An end tag.
    End { name: &'a str, begin: usize },
    /// Character data, with references as sent. Never empty.
    Text(&'a str),
    /// The content of a CDATA section.
    CData(&'a str),
}

/// The parts of markup, in order. Comments and processing instructions are skipped.
#[derive(Debug)]
pub struct MarkupParts<'a> {
    markup: &'a str,
    at: usize,
}

#[derive(Debug, thiserror::Error)]
#[error("the markup is not well-formed")]
pub struct MalformedMarkup;

impl<'a> MarkupParts<'a> {
    pub fn new(markup: &'a str) -> Self {
        Self { markup, at: 0 }
    }

    /// The offset of the next part.
    pub fn position(&self) -> usize {
        self.at
    }

    /// Returns the next part; `None` at the end.
    pub fn next(&mut self) -> Result<Option<MarkupPart<'a>>, MalformedMarkup> {
        loop {
            let begin = self.at;
            let rest = self.markup.get(begin..).ok_or(MalformedMarkup)?;
            let Some(markup) = rest.strip_prefix('<') else {
                if rest.is_empty() {
                    return Ok(None);
                }
                let length = memchr(b'<', rest.as_bytes()).unwrap_or(rest.len());
                return self.take(length, 0).map(|text| Some(MarkupPart::Text(text)));
            };
            if markup.starts_with("!--") {
                self.take(section_length(rest, "<!--", "--")?, 0)?;
            } else if markup.starts_with("![CDATA[") {
                let section = self.take(section_length(rest, "<![CDATA[", "]]")?, "<![CDATA[".len())?;
                return Ok(Some(MarkupPart::CData(section.strip_suffix("]]>").ok_or(MalformedMarkup)?)));
            } else if markup.starts_with('?') {
                self.take(section_length(rest, "<?", "?")?, 0)?;
            } else if markup.starts_with('!') {
                return Err(MalformedMarkup);
            } else if markup.starts_with('/') {
                let end = memchr(b'>', rest.as_bytes()).ok_or(MalformedMarkup)?;
                let name = self.take(end + 1, "</".len())?.trim_end_matches(|char| char == '>' || is_white_char(char));
                return Ok(Some(MarkupPart::End { name, begin }));
            } else {
                let tag = self.take(tag_length(rest).ok_or(MalformedMarkup)?, 1)?;
                return Ok(Some(MarkupPart::Start { tag, begin }));
            }
        }
    }

    /// Skips the rest of the element `name`, whose start tag was the last part. Returns the markup between its tags.
    pub fn skip(&mut self, name: &str) -> Result<&'a str, MalformedMarkup> {
        let begin = self.at;
        let mut depth = 0_usize;
        loop {
            match self.next()?.ok_or(MalformedMarkup)? {
                MarkupPart::Start { tag, .. } if !tag.ends_with("/>") => depth += 1,
                MarkupPart::End { name: ended, begin: end } if depth == 0 => {
                    return self.markup.get(begin..end).filter(|_| ended == name).ok_or(MalformedMarkup);
                }
                MarkupPart::End { .. } => depth -= 1,
                _ => {}
            }
        }
    }

    /// Reads `length` bytes, and returns them without the first `prefix` bytes.
    fn take(&mut self, length: usize, prefix: usize) -> Result<&'a str, MalformedMarkup> {
        let (begin, end) = (self.at + prefix, self.at + length);
        self.at = end;
        self.markup.get(begin..end).ok_or(MalformedMarkup)
    }
}

fn is_white_char(char: char) -> bool {
    u8::try_from(char).is_ok_and(is_white)
}

/// Returns the length of the section that begins with `begin`, up to and including the first `>` after `end`.
fn section_length(markup: &str, begin: &str, end: &str) -> Result<usize, MalformedMarkup> {
    let mut at = begin.len() + end.len();
    loop {
        let more = markup.as_bytes().get(at..).and_then(|rest| memchr(b'>', rest)).ok_or(MalformedMarkup)?;
        at += more + 1;
        if markup.as_bytes().get(..at - 1).is_some_and(|before| before.ends_with(end.as_bytes())) {
            return Ok(at);
        }
    }
}

/// Returns the length of the start tag at the start of `markup`. It ends with the first `>` outside quotes.
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
