//! Keys of profiles: their classes, how they are normalised, and the keyed hash that stands for them.
//!
//! No address stands in KV: what stands there is a hash under a key that is derived from a secret.

use std::{borrow::Cow, fmt, hash::Hasher as _};

use serde::{Deserialize, Serialize};
use siphasher::sip128::{Hasher128 as _, SipHasher24};

/// The version of the text that is hashed. A change of it makes every index useless: it is part of the hash.
const HASH_VERSION: u8 = 1;
/// Bytes of a text that is hashed in one piece: most keys are short.
const SHORT_TEXT: usize = 96;
/// The version of the normalisation below: an index made with another one cannot be used.
pub const NORMALISATION: u32 = 1;
/// Fewest characters of the secret that index keys are derived from.
pub const SECRET_MIN: usize = 32;

/// A class of keys. Profiles' and subscriptions' addresses are one class, told apart in the bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// E-mail addresses.
    Email,
    /// Phone numbers.
    Phone,
    /// Profile ids: an entry says that the profile exists.
    ProfileId,
    /// Push subscriptions: provider and subscription id.
    Push,
    /// Values of a custom profile field; each field has an index of its own.
    Custom,
    /// Values of a custom channel's subscriptions; each field has an index of its own.
    CustomSub,
}

impl Class {
    /// As it is written in manifests and keys.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Email => "email",
            Self::Phone => "phone",
            Self::ProfileId => "profile_id",
            Self::Push => "push",
            Self::Custom => "custom",
            Self::CustomSub => "custom_sub",
        }
    }

    /// Its number in the hashed text: pinned.
    fn number(self) -> u8 {
        match self {
            Self::Email => 1,
            Self::Phone => 2,
            Self::ProfileId => 3,
            Self::Push => 4,
            Self::Custom => 5,
            Self::CustomSub => 6,
        }
    }
}

/// An e-mail address: trimmed and lower-cased. `None` where nothing is left.
pub fn email(value: &str) -> Option<Cow<'_, str>> {
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
pub fn phone(value: &str) -> Option<Cow<'_, str>> {
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
pub fn profile_id(value: &str) -> Option<Cow<'_, str>> {
    if value.len() != 24 || !value.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        None
    } else if value.bytes().any(|byte| byte.is_ascii_uppercase()) {
        Some(Cow::Owned(value.to_ascii_lowercase()))
    } else {
        Some(Cow::Borrowed(value))
    }
}

/// A value that is taken as it is (a field's value, a push provider, a subscription id). `None` if it is empty.
pub fn verbatim(value: &str) -> Option<Cow<'_, str>> {
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

/// What normalised keys are made of, one bit each: visible ASCII without capitals, digits, lower-case hexadecimal digits.
const ADDRESS: u8 = 1;
const DIGIT: u8 = 2;
const HEXADECIMAL: u8 = 4;

/// The bits of each byte.
static KINDS: [u8; 256] = {
    let mut kinds = [0; 256];
    let mut byte = u8::MAX;
    loop {
        let address = byte.is_ascii_graphic() && !byte.is_ascii_uppercase();
        let hexadecimal = byte.is_ascii_digit() || matches!(byte, b'a'..=b'f');
        #[allow(clippy::indexing_slicing, reason = "in a constant: 256 entries, a byte as the index")]
        {
            kinds[byte as usize] =
                (address as u8 * ADDRESS) | (byte.is_ascii_digit() as u8 * DIGIT) | (hexadecimal as u8 * HEXADECIMAL);
        }
        if byte == 0 {
            break kinds;
        }
        byte -= 1;
    }
};

/// Whether a key that is valid UTF-8 can be hashed as it is: a cheap check that sends the common key past [`normalise`],
/// and may say no to others.
pub fn is_normal(class: Class, value: &[u8]) -> bool {
    let kinds = value.iter().fold(u8::MAX, |kinds, byte| kinds & KINDS.get(usize::from(*byte)).copied().unwrap_or(0));
    let good = match class {
        Class::Email => kinds & ADDRESS != 0,
        Class::Phone => kinds & DIGIT != 0,
        Class::ProfileId => kinds & HEXADECIMAL != 0 && value.len() == 24,
        Class::Push | Class::Custom | Class::CustomSub => true,
    };
    good && !value.is_empty()
}

/// A profile's id: 96 bits, written as 24 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ProfileId(pub [u8; 12]);

impl ProfileId {
    /// Reads 24 hexadecimal digits, of either case.
    pub fn parse(text: &str) -> Option<Self> {
        let (pairs, rest) = text.as_bytes().as_chunks::<2>();
        if pairs.len() != 12 || !rest.is_empty() {
            return None;
        }
        let mut id = [0; 12];
        for (byte, pair) in id.iter_mut().zip(pairs) {
            let [high, low] = pair.map(|digit| char::from(digit).to_digit(16));
            *byte = u8::try_from(high? << 4 | low?).ok()?;
        }
        Some(Self(id))
    }

    /// The 24 digits, in ASCII.
    pub fn to_hex(self) -> [u8; 24] {
        let mut hex = [0; 24];
        let (pairs, _) = hex.as_chunks_mut::<2>();
        for (pair, byte) in pairs.iter_mut().zip(self.0) {
            *pair = [byte >> 4, byte & 15].map(|nibble| nibble + if nibble < 10 { b'0' } else { b'a' - 10 });
        }
        hex
    }
}

impl fmt::Display for ProfileId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(std::str::from_utf8(&self.to_hex()).unwrap_or_default())
    }
}

impl fmt::Debug for ProfileId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ProfileId({self})")
    }
}

/// The hash of a key: 96 bits stand in the entry of a bucket, the other 32 choose the bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyHash(pub [u8; 16]);

impl KeyHash {
    /// What stands in the entry.
    pub fn entry(&self) -> [u8; 12] {
        let [a, b, c, d, e, f, g, h, i, j, k, l, ..] = self.0;
        [a, b, c, d, e, f, g, h, i, j, k, l]
    }

    /// What chooses the bucket: spread evenly over all 32 bits.
    pub fn selector(&self) -> u32 {
        let [.., a, b, c, d] = self.0;
        u32::from_be_bytes([a, b, c, d])
    }

    /// The bucket of `buckets`. Buckets are ranges of the selector: those of a smaller selector come first.
    pub fn bucket(&self, buckets: u32) -> u32 {
        bucket_of(self.selector(), buckets)
    }
}

/// The bucket, of `buckets`, that a selector chooses.
pub fn bucket_of(selector: u32, buckets: u32) -> u32 {
    // The product's upper half is below `buckets`, so it always fits.
    u32::try_from((u64::from(selector) * u64::from(buckets)) >> 32).unwrap_or(0)
}

/// The secret is too short to be one: fewer than [`SECRET_MIN`] characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WeakSecret;

impl fmt::Display for WeakSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the key is shorter than {SECRET_MIN} characters")
    }
}

/// What hashes keys: made from the secret `PROFILE_INDEX_KEY`.
#[derive(Clone)]
pub struct IndexKey {
    sip: SipHasher24,
    check: String,
}

impl fmt::Debug for IndexKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("IndexKey(..)")
    }
}

impl IndexKey {
    /// Derives the key from a secret text of at least [`SECRET_MIN`] characters.
    pub fn new(secret: &str) -> Result<Self, WeakSecret> {
        if secret.chars().count() < SECRET_MIN {
            return Err(WeakSecret);
        }
        let secret = secret.as_bytes();
        let sip = first_half(blake3::derive_key("trigger-launch 2026 profile index SipHash-2-4-128 key v1", secret));
        let check = first_half(blake3::derive_key("trigger-launch 2026 profile index key check v1", secret));
        Ok(Self { sip: SipHasher24::new_with_key(&sip), check: hex(&check) })
    }

    /// Tells keys apart without telling anything about them: 32 hexadecimal digits that stand in a manifest.
    pub fn check(&self) -> &str {
        &self.check
    }

    /// Hashes a normalised key. `field` is the name of the custom field, the provider of a push subscription, and
    /// empty for the other classes. Neither database nor campaign is part of it, so that a key can be hashed
    /// before either is known.
    pub fn hash(&self, class: Class, field: &str, value: &str) -> KeyHash {
        self.hash_bytes(class, field, value.as_bytes())
    }

    /// [`IndexKey::hash`] of a value that [`is_normal`].
    pub fn hash_bytes(&self, class: Class, field: &str, value: &[u8]) -> KeyHash {
        let [field_length, length] = [field.len(), value.len()].map(|length| (length as u64).to_le_bytes());
        let version = [HASH_VERSION, class.number()];
        let parts: [&[u8]; 5] = [&version, &field_length, field.as_bytes(), &length, value];
        // In one piece: two thirds of the instructions that the hasher needs for the parts.
        let mut text = [0_u8; SHORT_TEXT];
        let mut room = text.iter_mut();
        let mut used = 0;
        for part in parts {
            used += part.len();
            // Byte by byte: the parts are so short that a call for each would take longer.
            part.iter().zip(room.by_ref()).for_each(|(from, to)| *to = *from);
        }
        match text.get(..used) {
            Some(text) => KeyHash(self.sip.hash(text).as_bytes()),
            None => self.hash_parts(parts),
        }
    }

    /// The hash of a text that is too long to be put together.
    fn hash_parts(&self, parts: [&[u8]; 5]) -> KeyHash {
        let mut hasher = self.sip;
        for part in parts {
            hasher.write(part);
        }
        KeyHash(hasher.finish128().as_bytes())
    }
}

fn first_half(bytes: [u8; 32]) -> [u8; 16] {
    let (halves, _) = bytes.as_chunks::<16>();
    halves.first().copied().unwrap_or_default()
}

/// Bytes as lower-case hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]).filter_map(|n| char::from_digit(u32::from(n), 16)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

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
        let classes = [Class::Email, Class::Phone, Class::ProfileId, Class::Push, Class::Custom, Class::CustomSub];
        let mut normal = 0;
        let texts = ["a@b.c", "A@b.c", " a@b.c", "a@b.c ", "\u{e4}@b.c", "a b", "7900", "+7900", "7-900", "", " "];
        for text in texts.into_iter().chain(["6606e08f10bcdd88297057a7", "6606E08f10bcdd88297057a7", "6606e08"]) {
            for class in classes {
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
    fn profile_ids_are_read_and_written() {
        let id = ProfileId::parse("6606E08F10bcdd88297057a7").unwrap();
        assert_eq!(id.to_string(), "6606e08f10bcdd88297057a7");
        assert_eq!(&id.to_hex(), b"6606e08f10bcdd88297057a7");
    }

    /// Pinned: another hash would make every index in use worthless.
    #[test]
    fn hashes_and_check_values_stay_what_they_are() {
        let key = IndexKey::new("0123456789abcdef0123456789abcdef").unwrap();
        let hash = |class, field, value| hex(&key.hash(class, field, value).0);
        assert_eq!(key.check(), "868c11b1f25bc0c0a55e2c20093557be");
        assert_eq!(hash(Class::Email, "", "example1@example.com"), "f70b7faba09cade15a4e26002b1a9c9e");
        assert_eq!(hash(Class::Custom, "Custom_ID", "003"), "f1db5b8161e5929e0e6660cc54f15c9b");
        assert_eq!(hash(Class::Push, "android-firebase", "abc"), "52e445ce3f5de9421d629f26a3dee1d4");
    }

    /// An independent making of the hashed text: what is streamed is what the documentation says.
    #[test]
    fn the_hashed_text_is_version_class_and_length_prefixed_parts() {
        let key = IndexKey::new("0123456789abcdef0123456789abcdef").unwrap();
        let mut text = vec![1, 5];
        text.extend(9_u64.to_le_bytes());
        text.extend(b"Custom_ID");
        text.extend(3_u64.to_le_bytes());
        text.extend(b"003");
        assert_eq!(key.hash(Class::Custom, "Custom_ID", "003").0, key.sip.hash(&text).as_bytes());
        // Longer than what is put together: the same by parts.
        for length in SHORT_TEXT - 20..SHORT_TEXT + 20 {
            let mut text = vec![1, 1];
            text.extend(0_u64.to_le_bytes());
            text.extend((length as u64).to_le_bytes());
            text.resize(text.len() + length, b'x');
            assert_eq!(key.hash(Class::Email, "", &"x".repeat(length)).0, key.sip.hash(&text).as_bytes());
        }
    }

    #[test]
    fn classes_fields_values_and_keys_do_not_run_into_each_other() {
        let key = IndexKey::new("0123456789abcdef0123456789abcdef").unwrap();
        let other = IndexKey::new("0123456789abcdef0123456789abcdeg").unwrap();
        let hashes = [
            key.hash(Class::Custom, "ab", "c"),
            key.hash(Class::Custom, "a", "bc"),
            key.hash(Class::CustomSub, "a", "bc"),
            key.hash(Class::Custom, "", "abc"),
            other.hash(Class::Custom, "a", "bc"),
        ];
        for (i, a) in hashes.iter().enumerate() {
            assert!(hashes[..i].iter().all(|b| a != b));
        }
        assert_ne!(key.check(), other.check());
        assert_eq!(format!("{key:?}"), "IndexKey(..)");
        assert_eq!(IndexKey::new("0123456789abcdef0123456789abcde").err(), Some(WeakSecret));
    }

    #[test]
    fn buckets_are_ranges_of_the_selector() {
        assert_eq!([0, u32::MAX / 2, u32::MAX / 2 + 1, u32::MAX].map(|s| bucket_of(s, 2)), [0, 0, 1, 1]);
        assert_eq!(bucket_of(u32::MAX, 45_000), 44_999);
        assert_eq!(bucket_of(u32::MAX, 1), 0);
    }
}
