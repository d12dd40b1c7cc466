//! The normalisation of keys. Imports and launches apply the same rules, so that different spellings of an address have the
//! same hash. A change of the rules requires a new [`super::key::NORMALISATION_VERSION`].

use std::borrow::Cow;

use super::key::Class;

/// Trims an e-mail address and converts it to lower case. Returns `None` if nothing is left.
fn normalise_email(value: &str) -> Option<Cow<'_, str>> {
    let value = value.trim();
    if value.is_empty() {
        None
    } else if value.bytes().any(|byte| byte.is_ascii_uppercase() || !byte.is_ascii()) {
        Some(Cow::Owned(value.to_lowercase()))
    } else {
        Some(Cow::Borrowed(value))
    }
}

/// Removes white space, dashes, dots, brackets and then one leading `+` from a phone number. Returns `None` if nothing is left.
fn normalise_phone(value: &str) -> Option<Cow<'_, str>> {
    let is_removed = |c: char| {
        matches!(c, '-' | '.' | '(' | ')' | '[' | ']' | '{' | '}' | '\u{2010}'..='\u{2015}' | '\u{2212}')
            || c.is_whitespace()
    };
    let value = if value.contains(is_removed) {
        let mut value = value.replace(is_removed, "");
        if value.starts_with('+') {
            value.remove(0);
        }
        Cow::Owned(value)
    } else {
        Cow::Borrowed(value.strip_prefix('+').unwrap_or(value))
    };
    (!value.is_empty()).then_some(value)
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

/// Normalises a key. Returns `None` if nothing is left of it, or if it is not a profile ID.
pub fn normalise(class: Class, value: &str) -> Option<Cow<'_, str>> {
    match class {
        Class::Email => normalise_email(value),
        Class::Phone => normalise_phone(value),
        Class::ProfileId => normalise_profile_id(value),
        Class::Push | Class::Custom | Class::CustomSub => (!value.is_empty()).then_some(Cow::Borrowed(value)),
    }
}

/// Whether a key is already normalised. The key must be valid UTF-8.
///
/// This check is faster than [`normalise`], and is `true` for most keys of a launch. It can be `false` for a key that
/// normalisation would not change.
pub fn is_normal(class: Class, value: &[u8]) -> bool {
    let has_normal_bytes = match class {
        Class::Email => every_byte(value, |word| mark_range(word, b'!', b'~') & !mark_range(word, b'A', b'Z')),
        Class::Phone => every_byte(value, mark_digits),
        Class::ProfileId => {
            value.len() == 24 && every_byte(value, |word| mark_digits(word) | mark_range(word, b'a', b'f'))
        }
        Class::Push | Class::Custom | Class::CustomSub => true,
    };
    has_normal_bytes && !value.is_empty()
}

/// The high bit of each byte of a word.
const HIGH_BITS: u64 = (u64::MAX / 255) << 7;

/// Whether all bytes are ASCII and marked by `mark`, which sets the high bits of bytes in a word of eight.
fn every_byte(value: &[u8], mark: impl Fn(u64) -> u64) -> bool {
    let is_marked = |word: &[u8; 8]| {
        let word = u64::from_le_bytes(*word);
        word & HIGH_BITS == 0 && mark(word) & HIGH_BITS == HIGH_BITS
    };
    let (words, _) = value.as_chunks();
    match value.last_chunk() {
        Some(last) => words.iter().all(is_marked) && is_marked(last),
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
mod tests {
    use super::*;
    use crate::profiles::key::ProfileId;

    #[test]
    fn normalises_each_class_by_its_rules() {
        assert_eq!(normalise_email(" Foo@Example.COM\t").as_deref(), Some("foo@example.com"));
        assert_eq!(normalise_email("ÄPFEL@例え.jp").as_deref(), Some("äpfel@例え.jp"));
        assert!(matches!(normalise_email("plain@example.com"), Some(Cow::Borrowed(_))));
        assert_eq!(normalise_email(" \u{a0} "), None);
        for written in
            ["+79000000000", "7 (900) 000-00-00", "+7.900.000.00.00", "(+7)900\u{2011}0000000", "79000000000"]
        {
            assert_eq!(normalise_phone(written).as_deref(), Some("79000000000"), "{written}");
        }
        assert_eq!(normalise_phone("+-() ."), None);
        assert_eq!(normalise_phone("7+9").as_deref(), Some("7+9"), "only a leading plus is removed");
        assert_eq!(normalise_profile_id("6606E08F10bcdd88297057a7").as_deref(), Some("6606e08f10bcdd88297057a7"));
        for wrong in ["6606e08f10bcdd88297057a", "6606e08f10bcdd88297057ag", "+606e08f10bcdd88297057a7", ""] {
            assert_eq!((normalise_profile_id(wrong), ProfileId::parse(wrong)), (None, None), "{wrong}");
        }
        assert_eq!(normalise(Class::Custom, " A ").as_deref(), Some(" A "));
        assert_eq!(normalise(Class::Push, ""), None);
    }

    #[test]
    fn normalisation_does_not_change_a_normal_key() {
        let mut normal = 0;
        let texts = ["a@b.c", "A@b.c", " a@b.c", "a@b.c ", "\u{e4}@b.c", "a b", "7900", "+7900", "7-900", "", " "];
        for text in texts.into_iter().chain(["6606e08f10bcdd88297057a7", "6606E08f10bcdd88297057a7", "6606e08"]) {
            for class in Class::ALL {
                if is_normal(class, text.as_bytes()) {
                    assert_eq!(normalise(class, text).as_deref(), Some(text), "{class:?}");
                    normal += 1;
                }
            }
        }
        // All texts but the empty one in three classes, 6 e-mail addresses (digits count), 1 phone number and 1 profile ID.
        assert_eq!(normal, 3 * 13 + 6 + 1 + 1);
    }

    #[test]
    fn checks_every_byte_at_every_position() {
        for length in 1..27 {
            for at in 0..length {
                for byte in 0..=u8::MAX {
                    let mut key = vec![b'0'; length];
                    key[at] = byte;
                    let address = byte.is_ascii_graphic() && !byte.is_ascii_uppercase();
                    let hexadecimal = byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
                    for (class, good) in [
                        (Class::Email, address),
                        (Class::Phone, byte.is_ascii_digit()),
                        (Class::ProfileId, hexadecimal && length == 24),
                        (Class::Custom, true),
                    ] {
                        assert_eq!(is_normal(class, &key), good, "{class:?} {byte:#x} at {at} of {length}");
                    }
                }
            }
        }
    }
}
