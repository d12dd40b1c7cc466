//! The normalisation of keys. Imports, changes and launches apply the same rules, so that different spellings of an address have
//! the same hash. A change of the rules requires a new [`super::key::NORMALISATION_VERSION`].
//!
//! Addresses that are not ASCII need Unicode tables. The Worker uses those of the platform and the command line uses crates,
//! both through [`UnicodePort`]. ASCII addresses never use the port.

use std::{borrow::Cow, cell::RefCell, fmt};

use hashbrown::{DefaultHashBuilder, HashMap};
use memchr::memrchr;

use super::{key::Class, punycode::Letters};
use crate::limits::{
    COMPOSED_REMEMBERED, COMPOSED_REMEMBERED_LIMIT, DOMAIN_REMEMBERED_LIMIT, DOMAINS_REMEMBERED, PHONE_DIGITS,
    PHONE_DIGITS_MIN,
};

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
    /// The last domain that was encoded. Most addresses have the domain of the one before.
    last_domain: RefCell<EncodedDomain>,
    /// Results of [`UnicodePort::compose`] for a letter with its marks. A language has a few dozen of them.
    composed: RefCell<HashMap<String, String, DefaultHashBuilder>>,
}

/// A domain and its A-labels.
#[derive(Debug, Default)]
struct EncodedDomain {
    domain: String,
    ascii: String,
    /// Memory for the letters of a label.
    letters: Letters,
}

impl Normaliser {
    pub fn new(unicode: Box<dyn UnicodePort>) -> Self {
        Self { unicode, domains: RefCell::default(), last_domain: RefCell::default(), composed: RefCell::default() }
    }

    /// Normalises a key. Returns `None` if the key is not valid.
    pub fn normalise<'a>(&self, class: Class, value: &'a str) -> Option<Cow<'a, str>> {
        match class {
            Class::Email => self.normalise_email(value).or_else(|| match remove_invisible(value) {
                Cow::Borrowed(_) => None,
                Cow::Owned(text) => Some(Cow::Owned(self.normalise_email(&text)?.into_owned())),
            }),
            Class::Phone => normalise_phone(value),
            Class::ProfileId => normalise_profile_id(value),
            Class::Push | Class::Custom | Class::CustomSub => (!value.is_empty()).then_some(Cow::Borrowed(value)),
        }
    }

    /// Normalises an address. Returns `None` if it is not valid, or has an invisible character. Those are so rare that they are
    /// removed only when an address was rejected.
    fn normalise_email<'a>(&self, value: &'a str) -> Option<Cow<'a, str>> {
        let value = value.trim();
        let at = memrchr(b'@', value.as_bytes())?;
        let (local, domain) = (value.get(..at)?, value.get(at + 1..)?);
        if local.is_empty() || domain.is_empty() {
            return None;
        }
        if value.is_ascii() {
            let is_lower = !value.bytes().any(|byte| byte.is_ascii_uppercase());
            let address = if is_lower { Cow::Borrowed(value) } else { Cow::Owned(value.to_ascii_lowercase()) };
            return (!value.contains(is_rejected)).then_some(address);
        }
        let mut address = String::with_capacity(value.len() + 16);
        self.push_local_part(local, &mut address)?;
        address.push('@');
        self.push_domain(domain, &mut address)?;
        Some(Cow::Owned(address))
    }

    /// Appends the normalised local part to an empty text, or returns `None` if a character is rejected.
    ///
    /// Each character is converted to lower case, and the text to NFC. A character that would become ASCII stays as it is,
    /// because anybody could register it in place of the ASCII character.
    fn push_local_part(&self, local: &str, result: &mut String) -> Option<()> {
        // The start of the last letter, if it has marks that are not composed yet.
        let mut letter = None;
        let mut rest = local;
        loop {
            let (plain, next, others) = split_run(rest, |byte| matches!(byte, b'-'..=b':' | b'_'..=b'~'));
            if !plain.is_empty() {
                self.compose_from(letter.take(), result);
                result.push_str(plain);
            }
            let Some(char) = next else { break };
            rest = others;
            let lower = lower_local(char)?;
            if is_composed(lower) || becomes_ascii(lower) {
                self.compose_from(letter.take(), result);
            } else if letter.is_none() {
                let last = result.char_indices().next_back().filter(|(_, last)| !becomes_ascii(*last));
                letter = Some(last.map_or(result.len(), |(at, _)| at));
            }
            result.push(lower);
        }
        self.compose_from(letter, result);
        Some(())
    }

    /// Converts the text from a position on, a letter with its marks, to NFC. Each letter is composed separately, because a call
    /// of the port takes longer than a search in memory.
    fn compose_from(&self, start: Option<usize>, text: &mut String) {
        let Some((start, letter)) = start.and_then(|start| Some((start, text.get(start..)?))) else { return };
        let mut memory = self.composed.borrow_mut();
        if let Some(known) = memory.get(letter) {
            text.truncate(start);
            return text.push_str(known);
        }
        let composed = self.unicode.compose(letter);
        if letter.len() <= COMPOSED_REMEMBERED_LIMIT {
            remember(&mut memory, COMPOSED_REMEMBERED, letter, composed.clone());
        }
        text.truncate(start);
        text.push_str(&composed);
    }

    /// Appends the normalised domain of an address that is not ASCII, or returns `None` if it is not valid.
    fn push_domain(&self, domain: &str, result: &mut String) -> Option<()> {
        let start = result.len();
        if has_only_plain_characters(domain) {
            result.push_str(domain);
            let domain = result.get_mut(start..)?;
            domain.make_ascii_lowercase();
            return (!ends_in_number(domain)).then_some(());
        }
        let last = &mut *self.last_domain.borrow_mut();
        if last.domain == domain {
            result.push_str(&last.ascii);
            return Some(());
        }
        if push_labels(domain, &mut last.letters, result).is_none() {
            result.truncate(start);
            let is_rejected =
                |char| is_rejected(char) || matches!(char, '/' | '\\' | '?' | '#' | ':' | '%' | '[' | ']');
            if domain.contains(is_rejected) {
                return None;
            }
            let mut memory = self.domains.borrow_mut();
            if let Some(known) = memory.get(domain) {
                result.push_str(known.as_ref()?);
            } else {
                let ascii = self.unicode.domain_to_ascii(domain);
                if domain.len() <= DOMAIN_REMEMBERED_LIMIT {
                    remember(&mut memory, DOMAINS_REMEMBERED, domain, ascii.clone());
                }
                result.push_str(&ascii?);
            }
        }
        let ascii = result.get(start..).filter(|ascii| !ascii.is_empty() && !ends_in_number(ascii))?;
        domain.clone_into(&mut last.domain);
        ascii.clone_into(&mut last.ascii);
        Some(())
    }
}

/// Adds a value to a map. Removes all values first if the map has `limit` values.
fn remember<T>(map: &mut HashMap<String, T, DefaultHashBuilder>, limit: usize, key: &str, value: T) {
    if map.len() >= limit {
        map.clear();
    }
    map.insert(key.to_owned(), value);
}

/// Splits a text into the ASCII of a kind at its start, the next character, and the characters after it.
fn split_run(text: &str, is_of_kind: impl Fn(&u8) -> bool) -> (&str, Option<char>, &str) {
    let end = text.as_bytes().iter().position(|byte| !is_of_kind(byte)).unwrap_or(text.len());
    let (run, others) = text.split_at_checked(end).unwrap_or_default();
    let mut others = others.chars();
    (run, others.next(), others.as_str())
}

/// Whether an address with this character is not valid, or has to be normalised without this invisible character.
fn is_rejected(char: char) -> bool {
    // Most characters need only the first check.
    !matches!(char, '-'..=':' | '?'..='~')
        && (matches!(char, ',' | ';' | '<' | '>' | '"')
            || char.is_whitespace()
            || char.is_control()
            || is_invisible(char))
}

/// Returns a character of a local part in lower case, or `None` if the character is rejected.
fn lower_local(char: char) -> Option<char> {
    if is_lower_and_composed(char) {
        Some(char)
    } else if is_rejected(char) {
        None
    } else if becomes_ascii(char) || matches!(char, '\u{300}'..='\u{36f}') {
        Some(char)
    } else {
        // Only U+0130 has a lower case of two characters, and it becomes ASCII.
        char.to_lowercase().next()
    }
}

/// Whether lower case or NFC would convert a character that is not ASCII into text with an ASCII character.
fn becomes_ascii(char: char) -> bool {
    // A test checks that there are no others.
    matches!(char, '\u{130}' | '\u{37e}' | '\u{1fef}' | '\u{212a}')
}

/// Whether a text of such characters is in NFC whatever their order is. It can be `false` for other characters of such texts.
///
/// These are the letters of common scripts that are neither decomposed by NFC nor composed with the character before.
fn is_composed(char: char) -> bool {
    matches!(char,
        ..'\u{300}' | '\u{388}'..='\u{482}' | '\u{48a}'..='\u{52f}' | '\u{531}'..='\u{587}' | '\u{5d0}'..='\u{5ea}'
        | '\u{620}'..='\u{64a}' | '\u{904}'..='\u{928}' | '\u{92a}'..='\u{930}' | '\u{935}'..='\u{939}'
        | '\u{e01}'..='\u{e30}' | '\u{10d0}'..='\u{10fa}' | '\u{1e00}'..='\u{1eff}' | '\u{3041}'..='\u{3096}'
        | '\u{30a0}'..='\u{30ff}' | '\u{4e00}'..='\u{9fff}' | '\u{ac00}'..='\u{d7a3}')
}

/// Whether a character is in lower case, and [`is_composed`]. It can be `false` for other such characters. This check is faster than
/// a search in the tables of Unicode.
fn is_lower_and_composed(char: char) -> bool {
    matches!(char, 'ß'..='ö' | 'ø'..='ÿ' | 'ά'..='ώ' | 'а'..='џ' | '\u{3041}'..='\u{3096}' | '\u{4e00}'..='\u{9fff}' | '가'..='\u{d7a3}')
}

/// Whether a domain consists of characters that UTS 46 leaves as they are, apart from case. A-labels are not decoded: runtimes
/// do not check them in a domain that is ASCII.
fn has_only_plain_characters(domain: &str) -> bool {
    domain.as_bytes().iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_'))
}

/// Appends the A-labels of a domain of letters that UTS 46 changes to lower case and nothing else. Returns `None` for any other
/// domain; then the caller removes what was appended.
fn push_labels(domain: &str, letters: &mut Letters, result: &mut String) -> Option<()> {
    /// The longest name of the DNS. Runtimes can reject longer ones.
    const NAME_LIMIT: usize = 253;
    let start = result.len();
    let mut label = start;
    letters.clear();
    let mut rest = domain;
    loop {
        let (plain, next, others) = split_run(rest, |byte| matches!(byte, b'-' | b'0'..=b'9' | b'a'..=b'z'));
        result.push_str(plain);
        let Some(char) = next else { break };
        rest = others;
        if !is_domain_letter(char) {
            return None;
        }
        if char == '.' {
            finish_label(label, letters, result)?;
            label = result.len() + 1;
        }
        let lower = if is_lower_and_composed(char) { char } else { char.to_lowercase().next()? };
        if lower.is_ascii() {
            result.push(lower);
        } else {
            letters.push(lower, result.len() - label);
        }
    }
    // A name can end in a point.
    if label < result.len() || letters.len() > 0 {
        finish_label(label, letters, result)?;
    }
    (result.len() - start <= NAME_LIMIT).then_some(())
}

/// Ends the label that starts at a position.
fn finish_label(start: usize, letters: &mut Letters, result: &mut String) -> Option<()> {
    /// The longest label of the DNS. Runtimes can reject longer ones.
    const LABEL_LIMIT: usize = 63;
    let ascii = result.get(start..)?;
    // The platform decodes and checks a label that is encoded already.
    if ascii.starts_with(ACE_PREFIX) || !(1..=LABEL_LIMIT).contains(&(ascii.len() + letters.len())) {
        return None;
    }
    if letters.len() > 0 {
        let length = ascii.len();
        result.insert_str(start, ACE_PREFIX);
        if length > 0 {
            result.push('-');
        }
        letters.encode(length, result);
    }
    (result.len() - start <= LABEL_LIMIT).then_some(())
}

/// The start of every A-label.
const ACE_PREFIX: &str = "xn--";

/// Whether UTS 46 changes a character of a domain at most to lower case. It can be `false` for other such characters.
///
/// These are left-to-right letters of common scripts that are in NFC whatever their order is. The final sigma, the sharp s and
/// others whose meaning depends on the version of the standard are left out.
fn is_domain_letter(char: char) -> bool {
    matches!(char,
        'a'..='z' | 'A'..='Z' | '0'..='9' | '.' | '-' | '_'
        | 'À'..='Ö' | 'Ø'..='Þ' | 'à'..='ö' | 'ø'..='\u{12f}' | '\u{134}'..='\u{13e}' | '\u{141}'..='\u{148}'
        | '\u{14a}'..='\u{17e}' | '\u{388}'..='\u{38a}' | 'Α'..='Ρ' | 'Σ'..='ρ' | 'σ'..='ώ' | '\u{400}'..='\u{45f}'
        | '\u{490}'..='\u{4bf}' | '\u{1e00}'..='\u{1e99}' | '\u{1ea0}'..='\u{1ef9}' | '\u{3041}'..='\u{3096}'
        | '\u{30a1}'..='\u{30fa}' | '\u{30fc}'..='\u{30fe}' | '\u{4e00}'..='\u{9fa5}' | '\u{ac00}'..='\u{d7a3}')
}

/// Whether the URL standard reads a domain as an IPv4 address, valid or not: the last label is a number.
fn ends_in_number(domain: &str) -> bool {
    let domain = domain.strip_suffix('.').unwrap_or(domain);
    let domain = domain.as_bytes();
    let last = memrchr(b'.', domain).and_then(|dot| domain.get(dot + 1..)).unwrap_or(domain);
    match last.strip_prefix(b"0x") {
        Some(digits) => digits.iter().all(u8::is_ascii_hexdigit),
        None => !last.is_empty() && last.iter().all(u8::is_ascii_digit),
    }
}

/// Removes characters that cannot be seen. Programs that display or edit addresses add them.
fn remove_invisible(value: &str) -> Cow<'_, str> {
    if !value.is_ascii() && value.contains(is_invisible) {
        Cow::Owned(value.replace(is_invisible, ""))
    } else {
        Cow::Borrowed(value)
    }
}

fn is_invisible(char: char) -> bool {
    !char.is_ascii()
        && matches!(char,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}')
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
