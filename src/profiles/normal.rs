//! The normalisation of keys. Imports, changes and launches apply the same rules, so that different spellings of an address have
//! the same hash. A change of the rules requires a new [`super::key::NORMALISATION_VERSION`].
//!
//! Addresses that are not ASCII need Unicode tables. The Worker uses those of the platform and the command line uses crates,
//! both through [`UnicodePort`]. ASCII addresses never use the port.

use std::{borrow::Cow, cell::RefCell, fmt};

use hashbrown::{DefaultHashBuilder, HashMap};

use super::key::Class;
use crate::limits::{DOMAIN_REMEMBERED_LIMIT, DOMAINS_REMEMBERED, PHONE_DIGITS, PHONE_DIGITS_MIN};

/// Unicode operations that need large tables.
pub trait UnicodePort: fmt::Debug {
    /// Returns the text in Unicode Normalization Form C.
    fn compose(&self, text: &str) -> String;
    /// Returns the domain with A-labels (UTS 46, with the options of the URL standard), or `None` if it has none.
    fn domain_to_ascii(&self, domain: &str) -> Option<String>;
}

/// Normalises keys.
#[derive(Debug)]
pub struct Normaliser {
    unicode: Box<dyn UnicodePort>,
    /// Results of [`UnicodePort::domain_to_ascii`]. Most addresses of a launch have one of a few domains.
    domains: RefCell<HashMap<String, Option<String>, DefaultHashBuilder>>,
}

impl Normaliser {
    pub fn new(unicode: Box<dyn UnicodePort>) -> Self {
        Self { unicode, domains: RefCell::default() }
    }

    /// Normalises a key. Returns `None` if the key is not valid.
    pub fn normalise<'a>(&self, class: Class, value: &'a str) -> Option<Cow<'a, str>> {
        match class {
            Class::Email => match remove_invisible(value) {
                Cow::Borrowed(text) => self.normalise_email(text),
                Cow::Owned(text) => Some(Cow::Owned(self.normalise_email(&text)?.into_owned())),
            },
            Class::Phone => normalise_phone(value),
            Class::ProfileId => normalise_profile_id(value),
            Class::Push | Class::Custom | Class::CustomSub => (!value.is_empty()).then_some(Cow::Borrowed(value)),
        }
    }

    fn normalise_email<'a>(&self, value: &'a str) -> Option<Cow<'a, str>> {
        let value = value.trim();
        let (local, domain) = value.rsplit_once('@')?;
        let is_forbidden =
            |char: char| matches!(char, ',' | ';' | '<' | '>' | '"') || char.is_whitespace() || char.is_control();
        if local.is_empty() || domain.is_empty() || value.contains(is_forbidden) {
            return None;
        }
        if !value.is_ascii() {
            let domain = self.normalise_domain(domain)?;
            let mut address = self.normalise_local_part(local);
            address.push('@');
            address.push_str(&domain);
            return Some(Cow::Owned(address));
        }
        let is_lower = !value.bytes().any(|byte| byte.is_ascii_uppercase());
        Some(if is_lower { Cow::Borrowed(value) } else { Cow::Owned(value.to_ascii_lowercase()) })
    }

    /// Converts each character to lower case, and the text to NFC. A character that would become ASCII stays as it is, because
    /// anybody could register it in place of the ASCII character.
    fn normalise_local_part(&self, local: &str) -> String {
        let mut result = String::with_capacity(local.len() + 1);
        for piece in local.split_inclusive(becomes_ascii) {
            let mut chars = piece.chars();
            let kept = chars.clone().next_back().filter(|last| becomes_ascii(*last));
            if kept.is_some() {
                chars.next_back();
            }
            let lower: String = chars.as_str().chars().flat_map(char::to_lowercase).collect();
            if lower.chars().all(is_composed) {
                result.push_str(&lower);
            } else {
                result.push_str(&self.unicode.compose(&lower));
            }
            result.extend(kept);
        }
        result
    }

    fn normalise_domain<'a>(&self, domain: &'a str) -> Option<Cow<'a, str>> {
        if domain.contains(['/', '\\', '?', '#', ':', '%', '[', ']']) {
            return None;
        }
        if has_only_plain_characters(domain) {
            return Some(Cow::Owned(domain.to_ascii_lowercase())).filter(|domain| !ends_in_number(domain));
        }
        if let Some(known) = self.domains.borrow().get(domain) {
            return known.clone().map(Cow::Owned);
        }
        let ascii = self.unicode.domain_to_ascii(domain);
        let ascii = ascii.filter(|ascii| !ascii.is_empty() && !ends_in_number(ascii));
        if domain.len() <= DOMAIN_REMEMBERED_LIMIT {
            let mut domains = self.domains.borrow_mut();
            if domains.len() >= DOMAINS_REMEMBERED {
                domains.clear();
            }
            domains.insert(domain.to_owned(), ascii.clone());
        }
        ascii.map(Cow::Owned)
    }
}

/// Whether lower case or NFC would convert a character that is not ASCII into text with an ASCII character.
fn becomes_ascii(char: char) -> bool {
    // The three characters are all whose NFC contains an ASCII character. A test checks that.
    !char.is_ascii()
        && (matches!(char, '\u{37e}' | '\u{1fef}' | '\u{212a}') || char.to_lowercase().any(|lower| lower.is_ascii()))
}

/// Whether a text of such characters is in NFC whatever their order is. It can be `false` for other characters of such texts.
///
/// These are the letters of common scripts that are neither decomposed by NFC nor composed with the character before.
fn is_composed(char: char) -> bool {
    matches!(char,
        ..'\u{300}' | '\u{388}'..='\u{482}' | '\u{48a}'..='\u{52f}' | '\u{531}'..='\u{587}' | '\u{5d0}'..='\u{5ea}'
        | '\u{620}'..='\u{64a}' | '\u{10d0}'..='\u{10fa}' | '\u{1e00}'..='\u{1eff}' | '\u{3041}'..='\u{3096}'
        | '\u{30a0}'..='\u{30ff}' | '\u{4e00}'..='\u{9fff}' | '\u{ac00}'..='\u{d7a3}')
}

/// Whether a domain consists of characters that UTS 46 leaves as they are, apart from case. A-labels are not decoded: runtimes
/// do not check them in a domain that is ASCII.
fn has_only_plain_characters(domain: &str) -> bool {
    domain.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_'))
}

/// Whether the URL standard reads a domain as an IPv4 address, valid or not: the last label is a number.
fn ends_in_number(domain: &str) -> bool {
    let domain = domain.strip_suffix('.').unwrap_or(domain);
    let last = domain.rsplit('.').next().unwrap_or_default();
    match last.strip_prefix("0x") {
        Some(digits) => digits.bytes().all(|byte| byte.is_ascii_hexdigit()),
        None => !last.is_empty() && last.bytes().all(|byte| byte.is_ascii_digit()),
    }
}

/// Removes characters that cannot be seen. Programs that display or edit addresses add them.
fn remove_invisible(value: &str) -> Cow<'_, str> {
    let is_invisible = |char: char| {
        matches!(char,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}')
    };
    if !value.is_ascii() && value.contains(is_invisible) {
        Cow::Owned(value.replace(is_invisible, ""))
    } else {
        Cow::Borrowed(value)
    }
}

/// Removes separators and the prefix of international numbers. Returns `None` unless 3 to 20 digits are left.
fn normalise_phone(value: &str) -> Option<Cow<'_, str>> {
    if is_normal_phone(value.as_bytes()) {
        return Some(Cow::Borrowed(value));
    }
    let visible = remove_invisible(value);
    let number = visible.trim();
    let number = match number.split_at_checked(4) {
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("tel:") => rest,
        _ => number,
    };
    let mut text = String::with_capacity(number.len());
    // Dots and slashes, and the digits after the last one.
    let (mut points, mut decimals) = (0, 0);
    for char in number.chars() {
        match char {
            '.' | '/' => (points, decimals) = (points + 1, 0),
            '-' | '\u{2010}'..='\u{2015}' | '\u{2212}' | '[' | ']' | '{' | '}' => {}
            '+' | '\u{ff0b}' => text.push('+'),
            '(' | ')' => text.push(char),
            char if char.is_whitespace() => {}
            char => {
                text.push(ascii_digit(char)?);
                decimals += 1;
            }
        }
    }
    // A decimal number of a spreadsheet, or a number with an extension.
    if points == 1 && (1..=2).contains(&decimals) {
        return None;
    }
    let text = remove_trunk_zero(text);
    let digits = text.strip_prefix('+').or_else(|| text.strip_prefix("00")).unwrap_or(&text);
    let is_valid = has_phone_length(digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_valid.then(|| Cow::Owned(digits.to_owned()))
}

/// Removes parentheses, and a `(0)` after the country code: `+44 (0)20`. Italian numbers (39) keep their zero.
fn remove_trunk_zero(text: String) -> String {
    let without_parentheses = |text: &str| text.replace(['(', ')'], "");
    if let Some((before, after)) = text.split_once("(0)") {
        let before = without_parentheses(before);
        let code = before.strip_prefix('+').or_else(|| before.strip_prefix("00")).unwrap_or_default();
        let is_code = (1..=3).contains(&code.len()) && code.bytes().all(|byte| byte.is_ascii_digit());
        if is_code && code != "39" {
            return before + &without_parentheses(after);
        }
    }
    without_parentheses(&text)
}

/// Returns the ASCII digit of a full-width, Arabic-Indic, extended Arabic-Indic or Devanagari digit.
fn ascii_digit(char: char) -> Option<char> {
    let zero = match char {
        '0'..='9' => return Some(char),
        '\u{ff10}'..='\u{ff19}' => 0xff10,
        '\u{660}'..='\u{669}' => 0x660,
        '\u{6f0}'..='\u{6f9}' => 0x6f0,
        '\u{966}'..='\u{96f}' => 0x966,
        _ => return None,
    };
    char::from_digit(u32::from(char) - zero, 10)
}

fn has_phone_length(digits: usize) -> bool {
    (PHONE_DIGITS_MIN..=PHONE_DIGITS).contains(&digits)
}

/// Converts the 24 hexadecimal digits of a profile ID to lower case. Returns `None` for any other text.
fn normalise_profile_id(value: &str) -> Option<Cow<'_, str>> {
    if value.len() != 24 || !value.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        None
    } else if value.bytes().any(|byte| byte.is_ascii_uppercase()) {
        Some(Cow::Owned(value.to_ascii_lowercase()))
    } else {
        Some(Cow::Borrowed(value))
    }
}

/// Whether a key is already normalised. The key must be valid UTF-8.
///
/// This check is faster than [`Normaliser::normalise`], and is `true` for most keys of a launch. It can be `false` for a key
/// that normalisation would not change.
pub fn is_normal(class: Class, value: &[u8]) -> bool {
    match class {
        Class::Email => is_normal_email(value),
        Class::Phone => is_normal_phone(value),
        Class::ProfileId => {
            value.len() == 24 && every_byte(value, |word| mark_digits(word) | mark_range(word, b'a', b'f'))
        }
        Class::Push | Class::Custom | Class::CustomSub => !value.is_empty(),
    }
}

/// Accepts ASCII without upper case, with an `@` inside. To be fast, it rejects rare valid characters such as `+` and `'`.
fn is_normal_email(value: &[u8]) -> bool {
    let mut signs = 0;
    let is_plain = every_byte(value, |word| {
        let sign = mark_range(word, b'@', b'@');
        signs |= sign;
        sign | mark_range(word, b'-', b':') | mark_range(word, b'[', b'~')
    });
    is_plain && signs & HIGH_BITS != 0 && value.first() != Some(&b'@') && value.last() != Some(&b'@')
}

fn is_normal_phone(value: &[u8]) -> bool {
    has_phone_length(value.len()) && every_byte(value, mark_digits) && !value.starts_with(b"00")
}

/// The high bit of each byte of a word.
const HIGH_BITS: u64 = (u64::MAX / 255) << 7;

/// Whether all bytes are ASCII and marked by `mark`, which sets the high bits of bytes in a word of eight.
fn every_byte(value: &[u8], mut mark: impl FnMut(u64) -> u64) -> bool {
    let mut is_marked = |word: &[u8; 8]| {
        let word = u64::from_le_bytes(*word);
        word & HIGH_BITS == 0 && mark(word) & HIGH_BITS == HIGH_BITS
    };
    let (words, _) = value.as_chunks();
    match value.last_chunk() {
        Some(last) => words.iter().all(&mut is_marked) && is_marked(last),
        None => {
            // Padded with a digit, which keys of every class can contain.
            let mut word = [b'0'; 8];
            word.iter_mut().zip(value).for_each(|(to, from)| *to = *from);
            is_marked(&word)
        }
    }
}

/// Sets the high bits of the bytes from `first` to `last` in a word of ASCII.
fn mark_range(word: u64, first: u8, last: u8) -> u64 {
    // An ASCII byte plus at most 128 does not carry into the next byte.
    let at_least = |first: u8| word + (HIGH_BITS / 128) * (128 - u64::from(first));
    at_least(first) & !at_least(last + 1)
}

fn mark_digits(word: u64) -> u64 {
    mark_range(word, b'0', b'9')
}

#[cfg(test)]
mod tests;
