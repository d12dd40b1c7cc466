//! Complete tags, processing instructions and the XML declaration.

use super::characters::{is_char, is_name_char, is_name_start, is_white};
use super::input::{length, malformed};
use super::reference::Reference;
use crate::{
    limits::ENCODING_SHOWN,
    wire::{FrameError, is_utf8},
};

/// Duplicate attributes are found by comparing each pair up to this number of attributes, and by sorting above it.
const PAIRWISE_MAX: usize = 8;

/// The attributes that have a meaning. All others are ignored.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Marks {
    /// `array='true'`: the element is an entry of an array, even if it is the only one.
    pub array: bool,
    /// `xsi:nil` with `true` or `1`: the field is absent.
    pub nil: bool,
}

impl Marks {
    /// Reads an attribute. `value` is the text between the quotes.
    fn set(&mut self, attribute: &str, value: &str) {
        match attribute {
            "array" => self.array = value == "true",
            "xsi:nil" => self.nil = matches!(value.trim_matches([' ', '\t', '\r', '\n']), "true" | "1"),
            _ => {}
        }
    }
}

pub struct StartTag<'t> {
    pub name: &'t [u8],
    pub marks: Marks,
    /// Whether the tag ends with `/>`.
    pub is_empty: bool,
}

/// Reads a start tag. `tag` contains the bytes after `<` up to and including `>`, and begins at the offset `at`.
pub fn read_start(tag: &[u8], at: u64) -> Result<StartTag<'_>, FrameError> {
    if let Some(tag) = without_attributes(tag) {
        return Ok(tag);
    }
    if tag.starts_with(&[0]) {
        return Err(malformed(at, "expected UTF-8, not UTF-16"));
    }
    let mut cursor = TagCursor::new(tag, at)?;
    let name = cursor.read_name("expected the name of an element")?.as_bytes();
    let mut marks = Marks::default();
    let mut last: Option<&str> = None;
    // All but the last one, so that a tag with one attribute allocates nothing.
    let mut seen: Vec<&str> = Vec::new();
    loop {
        let white = cursor.skip_white();
        match cursor.rest {
            ">" => break,
            "/>" => {
                check_unique(seen, last, at)?;
                return Ok(StartTag { name, marks, is_empty: true });
            }
            _ if !white => return Err(malformed(cursor.at, "expected white space, '/>' or '>' in a tag")),
            _ => {}
        }
        let attribute_at = cursor.at;
        let attribute = cursor.read_name("expected an attribute, '/>' or '>' in a tag")?;
        let value = cursor.read_value()?;
        check_value(value, cursor.at.saturating_sub(length(value.len()).saturating_add(1)))?;
        marks.set(attribute, value);
        if let Some(last) = last.replace(attribute) {
            seen.push(last);
        }
        if seen.len() <= PAIRWISE_MAX && seen.contains(&attribute) {
            return Err(malformed(attribute_at, "a second attribute of the same name"));
        }
    }
    check_unique(seen, last, at)?;
    Ok(StartTag { name, marks, is_empty: false })
}

/// Reads the common tag: an ASCII name without attributes.
fn without_attributes(tag: &[u8]) -> Option<StartTag<'_>> {
    let is_name = |byte: &&u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
    let (name, rest) = tag.split_at_checked(tag.iter().take_while(is_name).count())?;
    let starts = name.first().is_some_and(|first| first.is_ascii_alphabetic() || *first == b'_');
    match rest {
        b">" if starts => Some(StartTag { name, marks: Marks::default(), is_empty: false }),
        b"/>" if starts => Some(StartTag { name, marks: Marks::default(), is_empty: true }),
        _ => None,
    }
}

/// Checks that no attribute occurs twice. The names are sorted, because a tag can have thousands of attributes.
fn check_unique<'t>(mut names: Vec<&'t str>, last: Option<&'t str>, at: u64) -> Result<(), FrameError> {
    if names.len() > PAIRWISE_MAX {
        names.extend(last);
        names.sort_unstable();
        if names.windows(2).any(|pair| matches!(pair, [one, other] if one == other)) {
            return Err(malformed(at, "a tag with two attributes of the same name"));
        }
    }
    Ok(())
}

/// Checks the characters and references of an attribute's value, which begins at the offset `at`.
fn check_value(value: &str, at: u64) -> Result<(), FrameError> {
    let mut reference: Option<(u64, Reference)> = None;
    for (index, char) in value.char_indices() {
        let here = at.saturating_add(length(index));
        if let Some((begun, open)) = &mut reference {
            let byte = u8::try_from(char).unwrap_or(u8::MAX);
            if open.push(byte).map_err(|what| malformed(*begun, what))?.is_some() {
                reference = None;
            }
        } else if char == '&' {
            reference = Some((here, Reference::default()));
        } else if !is_char(char) {
            return Err(malformed(here, "a character that XML does not allow"));
        }
    }
    match reference {
        Some((begun, _)) => Err(malformed(begun, super::reference::UNKNOWN)),
        None => Ok(()),
    }
}

/// Checks a processing instruction. `body` contains the bytes between `<?` and `?>`, and begins at the offset `at`. An XML
/// declaration is allowed only at the start of the document (`is_first`).
pub fn check_instruction(body: &[u8], at: u64, is_first: bool) -> Result<(), FrameError> {
    let mut cursor = TagCursor::new(body, at)?;
    let target = cursor.read_name("expected the target of a processing instruction")?;
    if target == "xml" && is_first {
        return check_declaration(cursor);
    }
    if target.eq_ignore_ascii_case("xml") {
        return Err(malformed(
            at,
            "an XML declaration that is not at the start of the document, or is not written in lower case",
        ));
    }
    if !cursor.rest.is_empty() && !cursor.skip_white() {
        return Err(malformed(cursor.at, "expected white space or '?>' in a processing instruction"));
    }
    match cursor.rest.char_indices().find(|(_, char)| !is_char(*char)) {
        Some((index, _)) => {
            Err(malformed(cursor.at.saturating_add(length(index)), "a character that XML does not allow"))
        }
        None => Ok(()),
    }
}

/// Checks the rest of the XML declaration: `version`, optionally `encoding`, optionally `standalone`.
fn check_declaration(mut cursor: TagCursor<'_>) -> Result<(), FrameError> {
    let at = cursor.at;
    let version = cursor.read_part("version")?.ok_or_else(|| malformed(at, "an XML declaration without a version"))?;
    let minor = version.strip_prefix("1.").unwrap_or_default();
    if minor.is_empty() || !minor.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(malformed(at, "an XML declaration of a version other than 1.x"));
    }
    let at = cursor.at;
    if let Some(encoding) = cursor.read_part("encoding")? {
        let starts = encoding.starts_with(|char: char| char.is_ascii_alphabetic());
        let legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
        if !starts || !encoding.bytes().all(legal) {
            return Err(malformed(at, "an XML declaration with an invalid name of an encoding"));
        }
        if !is_utf8(encoding) {
            return Err(FrameError::Encoding(encoding.chars().take(ENCODING_SHOWN).collect()));
        }
    }
    let at = cursor.at;
    if let Some(standalone) = cursor.read_part("standalone")?
        && !matches!(standalone, "yes" | "no")
    {
        return Err(malformed(at, "an XML declaration whose standalone is neither yes nor no"));
    }
    cursor.skip_white();
    if cursor.rest.is_empty() { Ok(()) } else { Err(malformed(cursor.at, "expected '?>' in the XML declaration")) }
}

/// The unread text of a tag, and its offset in the body.
struct TagCursor<'t> {
    rest: &'t str,
    at: u64,
}

impl<'t> TagCursor<'t> {
    fn new(bytes: &'t [u8], at: u64) -> Result<Self, FrameError> {
        match std::str::from_utf8(bytes) {
            Ok(rest) => Ok(Self { rest, at }),
            Err(error) => Err(malformed(at.saturating_add(length(error.valid_up_to())), "bytes that are not UTF-8")),
        }
    }

    fn take(&mut self, bytes: usize) -> &'t str {
        let (taken, rest) = self.rest.split_at_checked(bytes).unwrap_or((self.rest, ""));
        self.rest = rest;
        self.at = self.at.saturating_add(length(taken.len()));
        taken
    }

    /// Skips white space. Returns whether there is any.
    fn skip_white(&mut self) -> bool {
        let white = self.rest.bytes().take_while(|byte| is_white(*byte)).count();
        !self.take(white).is_empty()
    }

    fn read_name(&mut self, expected: &'static str) -> Result<&'t str, FrameError> {
        if !self.rest.starts_with(is_name_start) {
            return Err(malformed(self.at, expected));
        }
        let end = self.rest.find(|char| !is_name_char(char)).unwrap_or(self.rest.len());
        Ok(self.take(end))
    }

    fn read_value(&mut self) -> Result<&'t str, FrameError> {
        self.skip_white();
        if !self.rest.starts_with('=') {
            return Err(malformed(self.at, "expected '=' after the name of an attribute"));
        }
        self.take(1);
        self.skip_white();
        let quote = match self.rest.bytes().next() {
            Some(b'"') => '"',
            Some(b'\'') => '\'',
            _ => return Err(malformed(self.at, "expected the value of an attribute in quotes")),
        };
        self.take(1);
        let end =
            self.rest.find(quote).ok_or_else(|| malformed(self.at, "an attribute value without a closing quote"))?;
        let value = self.take(end);
        self.take(1);
        Ok(value)
    }

    /// Reads a part of the declaration with this name, if it is next.
    fn read_part(&mut self, name: &str) -> Result<Option<&'t str>, FrameError> {
        let (rest, at) = (self.rest, self.at);
        if self.skip_white() && self.rest.starts_with(name) {
            self.take(name.len());
            return self.read_value().map(Some);
        }
        (self.rest, self.at) = (rest, at);
        Ok(None)
    }
}
