//! The normalisation of keys. Imports, changes and launches apply the same rules, so that different spellings of an address have
//! the same hash. A change of the rules requires a new [`super::key::NORMALISATION_VERSION`].
//!
//! Addresses that are not ASCII need Unicode tables. The Worker uses those of the platform and the command line uses crates,
//! both through [`UnicodePort`]. ASCII addresses never use the port.

use std::{borrow::Cow, cell::RefCell, fmt};

use hashbrown::{DefaultHashBuilder, HashMap};
use idna::punycode;

use super::key::Class;
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
    /// The A-labels of domains. Most addresses of a launch have one of a few domains.
    domains: RefCell<HashMap<String, Option<String>, DefaultHashBuilder>>,
    /// Results of [`UnicodePort::compose`] for a letter with its marks. A language has a few dozen of them.
    composed: RefCell<HashMap<String, String, DefaultHashBuilder>>,
}

impl Normaliser {
    pub fn new(unicode: Box<dyn UnicodePort>) -> Self {
        Self { unicode, domains: RefCell::default(), composed: RefCell::default() }
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
        // Most characters need only the first check.
        let is_forbidden = |char: char| {
            !char.is_ascii_alphanumeric()
                && (matches!(char, ',' | ';' | '<' | '>' | '"') || char.is_whitespace() || char.is_control())
        };
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
        // The text after the last character that stays as it is, and whether it is in NFC.
        let (mut start, mut is_in_nfc) = (0, true);
        for char in local.chars() {
            if char.is_ascii() {
                result.push(char.to_ascii_lowercase());
            } else if is_lower_and_composed(char) {
                result.push(char);
            } else if becomes_ascii(char) {
                self.compose_from(start, is_in_nfc, &mut result);
                result.push(char);
                (start, is_in_nfc) = (result.len(), true);
            } else {
                let lower = char.to_lowercase();
                is_in_nfc &= lower.clone().all(is_composed);
                result.extend(lower);
            }
        }
        self.compose_from(start, is_in_nfc, &mut result);
        result
    }

    /// Converts the text from a position on to NFC.
    fn compose_from(&self, start: usize, is_in_nfc: bool, text: &mut String) {
        if !is_in_nfc {
            let piece = text.split_off(start);
            self.compose(&piece, text);
        }
    }

    /// Appends the NFC of a text to `result`. Composes each letter with its marks separately, because a call of the port takes
    /// longer than a search in memory.
    fn compose(&self, text: &str, result: &mut String) {
        if split_letters(text).any(|letter| letter.len() > COMPOSED_REMEMBERED_LIMIT) {
            return result.push_str(&self.unicode.compose(text));
        }
        for letter in split_letters(text) {
            if letter.chars().all(is_composed) {
                result.push_str(letter);
                continue;
            }
            if let Some(known) = self.composed.borrow().get(letter) {
                result.push_str(known);
                continue;
            }
            let composed = self.unicode.compose(letter);
            result.push_str(&composed);
            remember(&mut self.composed.borrow_mut(), COMPOSED_REMEMBERED, letter, composed);
        }
    }

    fn normalise_domain<'a>(&self, domain: &'a str) -> Option<Cow<'a, str>> {
        if domain.bytes().any(|byte| matches!(byte, b'/' | b'\\' | b'?' | b'#' | b':' | b'%' | b'[' | b']')) {
            return None;
        }
        if has_only_plain_characters(domain) {
            let is_lower = !domain.bytes().any(|byte| byte.is_ascii_uppercase());
            let domain = if is_lower { Cow::Borrowed(domain) } else { Cow::Owned(domain.to_ascii_lowercase()) };
            return Some(domain).filter(|domain| !ends_in_number(domain));
        }
        if let Some(known) = self.domains.borrow().get(domain) {
            return known.clone().map(Cow::Owned);
        }
        let ascii = encode_letters(domain).or_else(|| self.unicode.domain_to_ascii(domain));
        let ascii = ascii.filter(|ascii| !ascii.is_empty() && !ends_in_number(ascii));
        if domain.len() <= DOMAIN_REMEMBERED_LIMIT {
            remember(&mut self.domains.borrow_mut(), DOMAINS_REMEMBERED, domain, ascii.clone());
        }
        ascii.map(Cow::Owned)
    }
}

/// Adds a value to a map. Removes all values first if the map has `limit` values.
fn remember<T>(map: &mut HashMap<String, T, DefaultHashBuilder>, limit: usize, key: &str, value: T) {
    if map.len() >= limit {
        map.clear();
    }
    map.insert(key.to_owned(), value);
}

/// Splits a text before each character that NFC neither changes nor composes with the character before. The NFC of the text
/// consists of the NFC of the parts.
fn split_letters(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let mut starts = rest.char_indices().skip(1).filter(|(_, char)| is_composed(*char)).map(|(at, _)| at);
        let (letter, others) = rest.split_at_checked(starts.next().unwrap_or(rest.len()))?;
        rest = others;
        (!letter.is_empty()).then_some(letter)
    })
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
    domain.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_'))
}

/// Returns the A-labels of a domain of letters that UTS 46 changes to lower case and nothing else. Returns `None` for any other
/// domain.
fn encode_letters(domain: &str) -> Option<String> {
    /// The longest label and name of the DNS. Runtimes can reject longer ones.
    const LABEL_LIMIT: usize = 63;
    const NAME_LIMIT: usize = 253;
    let mut lower = String::with_capacity(domain.len() + 1);
    for char in domain.chars() {
        if !is_domain_letter(char) {
            return None;
        }
        if char.is_ascii() {
            lower.push(char.to_ascii_lowercase());
        } else if is_lower_and_composed(char) {
            lower.push(char);
        } else {
            lower.extend(char.to_lowercase());
        }
    }
    let mut ascii = String::with_capacity(lower.len() + 8);
    for label in lower.strip_suffix('.').unwrap_or(&lower).split('.') {
        if !ascii.is_empty() {
            ascii.push('.');
        }
        let start = ascii.len();
        if label.is_ascii() {
            ascii.push_str(label);
        } else {
            ascii.push_str(ACE_PREFIX);
            ascii.push_str(&punycode::encode_str(label)?);
        }
        // The platform decodes and checks a label that is encoded already.
        if label.starts_with(ACE_PREFIX) || !(1..=LABEL_LIMIT).contains(&(ascii.len() - start)) {
            return None;
        }
    }
    if lower.ends_with('.') {
        ascii.push('.');
    }
    (ascii.len() <= NAME_LIMIT).then_some(ascii)
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
    let last = domain.rsplit('.').next().unwrap_or_default();
    match last.strip_prefix("0x") {
        Some(digits) => digits.bytes().all(|byte| byte.is_ascii_hexdigit()),
        None => !last.is_empty() && last.bytes().all(|byte| byte.is_ascii_digit()),
    }
}

/// Removes characters that cannot be seen. Programs that display or edit addresses add them.
fn remove_invisible(value: &str) -> Cow<'_, str> {
    let is_invisible = |char: char| {
        !char.is_ascii()
            && matches!(char,
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
