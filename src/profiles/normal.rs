//! Normalisation of keys, the same at import and in launches (contract, §1 *Request*). A change of it is a change of
//! [`super::key::NORMALISATION`].

use std::borrow::Cow;

use super::key::Class;

/// An e-mail address: trimmed and lower-cased. `None` where nothing is left.
fn email(value: &str) -> Option<Cow<'_, str>> {
    let value = value.trim();
    if value.is_empty() {
        None
    } else if value.bytes().any(|byte| byte.is_ascii_uppercase() || !byte.is_ascii()) {
        Some(Cow::Owned(value.to_lowercase()))
    } else {
        Some(Cow::Borrowed(value))
    }
}

/// A phone number: without white space, dashes, dots and brackets, then without a leading `+`. `None` where
/// nothing is left.
fn phone(value: &str) -> Option<Cow<'_, str>> {
    let dropped = |c: char| {
        matches!(c, '-' | '.' | '(' | ')' | '[' | ']' | '{' | '}' | '\u{2010}'..='\u{2015}' | '\u{2212}')
            || c.is_whitespace()
    };
    let value = if value.contains(dropped) {
        let mut value = value.replace(dropped, "");
        if value.starts_with('+') {
            value.remove(0);
        }
        Cow::Owned(value)
    } else {
        Cow::Borrowed(value.strip_prefix('+').unwrap_or(value))
    };
    (!value.is_empty()).then_some(value)
}

/// A profile id: 24 hexadecimal digits, lower-cased. `None` for anything else.
fn profile_id(value: &str) -> Option<Cow<'_, str>> {
    if value.len() != 24 || !value.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        None
    } else if value.bytes().any(|byte| byte.is_ascii_uppercase()) {
        Some(Cow::Owned(value.to_ascii_lowercase()))
    } else {
        Some(Cow::Borrowed(value))
    }
}

/// A value that is taken as it is (a field's value, a push provider, a subscription id). `None` if it is empty.
fn verbatim(value: &str) -> Option<Cow<'_, str>> {
    (!value.is_empty()).then_some(Cow::Borrowed(value))
}

/// The value of a key of `class`, normalised. `None` where nothing is left, or where it is no profile id.
pub fn normalise(class: Class, value: &str) -> Option<Cow<'_, str>> {
    match class {
        Class::Email => email(value),
        Class::Phone => phone(value),
        Class::ProfileId => profile_id(value),
        Class::Push | Class::Custom | Class::CustomSub => verbatim(value),
    }
}

/// Whether a key that is valid UTF-8 can be hashed as it is: a cheap check that sends the common key past [`normalise`],
/// and may say no to others.
pub fn is_normal(class: Class, value: &[u8]) -> bool {
    let good = match class {
        Class::Email => all(value, |word| between(word, b'!', b'~') & !between(word, b'A', b'Z')),
        Class::Phone => all(value, digits),
        Class::ProfileId => value.len() == 24 && all(value, |word| digits(word) | between(word, b'a', b'f')),
        Class::Push | Class::Custom | Class::CustomSub => true,
    };
    good && !value.is_empty()
}

/// The high bit of each byte of a word.
const HIGH: u64 = (u64::MAX / 255) << 7;

/// Whether all bytes are ASCII, and those that `good` marks in each word of eight by their high bits.
fn all(value: &[u8], good: impl Fn(u64) -> u64) -> bool {
    let is_good = |word: &[u8; 8]| {
        let word = u64::from_le_bytes(*word);
        word & HIGH == 0 && good(word) & HIGH == HIGH
    };
    let (words, _) = value.as_chunks();
    match value.last_chunk() {
        Some(last) => words.iter().all(is_good) && is_good(last),
        None => {
            // Filled up with what every kind of key may hold.
            let mut word = [b'0'; 8];
            word.iter_mut().zip(value).for_each(|(to, from)| *to = *from);
            is_good(&word)
        }
    }
}

/// Marks the bytes of a word of ASCII that are not below `first` and not above `last`.
fn between(word: u64, first: u8, last: u8) -> u64 {
    // A byte of ASCII plus at most 128 carries nothing into the next one.
    let from = |first: u8| word + (HIGH / 128) * (128 - u64::from(first));
    from(first) & !from(last + 1)
}

/// Marks the bytes that are decimal digits.
fn digits(word: u64) -> u64 {
    between(word, b'0', b'9')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profiles::key::ProfileId;

    #[test]
    fn normalisation_is_the_contracts() {
        assert_eq!(email(" Foo@Example.COM\t").as_deref(), Some("foo@example.com"));
        assert_eq!(email("ÄPFEL@例え.jp").as_deref(), Some("äpfel@例え.jp"));
        assert!(matches!(email("plain@example.com"), Some(Cow::Borrowed(_))));
        assert_eq!(email(" \u{a0} "), None);
        for written in
            ["+79000000000", "7 (900) 000-00-00", "+7.900.000.00.00", "(+7)900\u{2011}0000000", "79000000000"]
        {
            assert_eq!(phone(written).as_deref(), Some("79000000000"), "{written}");
        }
        assert_eq!(phone("+-() ."), None);
        assert_eq!(phone("7+9").as_deref(), Some("7+9"), "a plus is dropped at the front alone");
        assert_eq!(profile_id("6606E08F10bcdd88297057a7").as_deref(), Some("6606e08f10bcdd88297057a7"));
        for wrong in ["6606e08f10bcdd88297057a", "6606e08f10bcdd88297057ag", "+606e08f10bcdd88297057a7", ""] {
            assert_eq!((profile_id(wrong), ProfileId::parse(wrong)), (None, None), "{wrong}");
        }
        assert_eq!(normalise(Class::Custom, " A ").as_deref(), Some(" A "));
        assert_eq!(normalise(Class::Push, ""), None);
    }

    #[test]
    fn what_is_normal_is_its_own_normal_form() {
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
        // Every text but the empty one for the three verbatim classes; 6 e-mails (digits among them), a phone, an id.
        assert_eq!(normal, 3 * 13 + 6 + 1 + 1);
    }

    #[test]
    fn every_byte_is_judged_wherever_it_stands() {
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
