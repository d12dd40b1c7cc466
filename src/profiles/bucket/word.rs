//! Words: 48 bits as eight characters, which are read and written as one little-endian number.
//!
//! The first character is the lowest digit. The characters of digits ascend. So words compare as numbers in the same way as the
//! bits that they encode, without decoding them and without swapping bytes. All eight digits are converted at once.

/// The largest number that a word encodes.
#[cfg(test)]
pub const BITS: u64 = 0xFFFF_FFFF_FFFF;
/// The characters of a word in a text.
pub type WordText = [u8; 8];

/// The digits 0 to 63 are the characters from `FIRST` to `LAST` without `AT`, so that no bucket seems to contain an address, and
/// without `ESCAPE`, which JSON escapes.
const FIRST: u8 = b'0';
const AT: u8 = b'@';
const ESCAPE: u8 = b'\\';
const LAST: u8 = b'q';

/// The highest bit of each byte.
const HIGH: u64 = each(0x80);

/// A number with eight equal bytes.
const fn each(byte: u8) -> u64 {
    u64::from_le_bytes([byte; 8])
}

/// Encodes the lowest 48 bits.
#[inline]
pub fn encode(bits: u64) -> u64 {
    let halves = bits & 0xFF_FFFF | (bits & 0xFFFF_FF00_0000) << 8;
    let pairs = halves & 0x0000_0FFF_0000_0FFF | (halves & 0x00FF_F000_00FF_F000) << 4;
    let digits = pairs & 0x003F_003F_003F_003F | (pairs & 0x0FC0_0FC0_0FC0_0FC0) << 2;
    let after_at = (digits + each(0x80 - (AT - FIRST))) >> 7 & each(1);
    let after_escape = (digits + each(0x80 - (ESCAPE - FIRST - 1))) >> 7 & each(1);
    digits + each(FIRST) + after_at + after_escape
}

/// Decodes a word, or returns `None` if it is not valid.
pub fn decode(word: u64) -> Option<u64> {
    is_valid(word).then(|| decode_valid(word))
}

/// Decodes a valid word. The result for another number has no meaning.
#[inline]
pub fn decode_valid(word: u64) -> u64 {
    let after_at = word.wrapping_add(each(0x80 - AT)) >> 7 & each(1);
    let after_escape = word.wrapping_add(each(0x80 - ESCAPE)) >> 7 & each(1);
    let digits = word.wrapping_sub(each(FIRST)).wrapping_sub(after_at + after_escape);
    let pairs = digits & 0x003F_003F_003F_003F | (digits & 0x3F00_3F00_3F00_3F00) >> 2;
    let halves = pairs & 0x0000_0FFF_0000_0FFF | (pairs & 0x0FFF_0000_0FFF_0000) >> 4;
    halves & 0xFF_FFFF | (halves & 0x00FF_FFFF_0000_0000) >> 8
}

/// Whether all characters are digits.
pub fn is_valid(word: u64) -> bool {
    are_valid([word; 2])
}

/// Whether all characters of two words are digits.
#[inline]
pub fn are_valid([a, b]: [u64; 2]) -> bool {
    // A byte of 128 or more would carry into the next one; `a | b` excludes such words.
    let from_first = a.wrapping_add(each(0x80 - FIRST)) & b.wrapping_add(each(0x80 - FIRST));
    let after_last = a.wrapping_add(each(0x7F - LAST)) | b.wrapping_add(each(0x7F - LAST));
    let is_other = |word: u64, byte: u8| (word ^ each(byte)).wrapping_add(each(0x7F));
    let are_digits = is_other(a, AT) & is_other(a, ESCAPE) & is_other(b, AT) & is_other(b, ESCAPE);
    from_first & are_digits & !(after_last | a | b) & HIGH == HIGH
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The characters in the order of their digits, written out.
    const DIGITS: &[u8; 64] = b"0123456789:;<=>?ABCDEFGHIJKLMNOPQRSTUVWXYZ[]^_`abcdefghijklmnopq";

    #[test]
    fn digits_are_ascending_characters_without_at_and_backslash() {
        for (digit, character) in (0_u64..).zip(DIGITS) {
            assert_eq!(encode(digit), u64::from_le_bytes([*character, b'0', b'0', b'0', b'0', b'0', b'0', b'0']));
        }
        assert!(DIGITS.is_sorted());
    }

    #[test]
    fn a_word_with_another_byte_is_not_valid() {
        for byte in 0..=u8::MAX {
            for at in 0..8 {
                let mut text = *b"0pZ0[]_a";
                text[at] = byte;
                let decoded = decode(u64::from_le_bytes(text));
                assert_eq!(decoded.is_some(), DIGITS.contains(&byte), "{byte} at {at}");
                assert!(decoded.is_none_or(|bits| encode(bits) == u64::from_le_bytes(text)));
            }
        }
    }

    proptest! {
        #[test]
        fn words_compare_like_bits_and_decode_to_them(a in 0..=BITS, b in 0..=BITS) {
            prop_assert_eq!(encode(a).cmp(&encode(b)), a.cmp(&b));
            prop_assert_eq!(decode(encode(a)), Some(a));
        }

        #[test]
        fn any_number_is_a_valid_word_or_not(word: u64) {
            let is_word = word.to_le_bytes().iter().all(|byte| DIGITS.contains(byte));
            prop_assert_eq!(decode(word).is_some(), is_word);
        }
    }
}
