//! Decodes base64 chunk by chunk.
//!
//! The decoder accepts what browsers accept: *forgiving-base64 decode* of the WHATWG Infra Standard. That is the standard
//! alphabet, with ASCII white space anywhere and with complete or no padding. The unused bits of the last character may have any
//! value, because some senders do not clear them. Other characters, a last group of one character, incomplete padding, and
//! characters after the padding are errors.

mod alphabet;
mod blocks;

use alphabet::{LAST_VALUE, OTHER, PADDING, WHITE, value};

/// Why a text is not base64.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{what} at byte {at} of the value{}", RemedySuffix(*.remedy))]
pub struct Base64Error {
    /// Offset of the byte in the text. The length of the text: its end is wrong.
    pub at: u64,
    pub what: &'static str,
    /// What to send instead, if the cause is known.
    pub remedy: Option<&'static str>,
}

struct RemedySuffix(Option<&'static str>);

impl std::fmt::Display for RemedySuffix {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.map_or(Ok(()), |remedy| write!(f, ": {remedy}"))
    }
}

/// The remedy for URL-safe base64 (RFC 4648, section 5).
const STANDARD: &str = "URL-safe base64 is not accepted; send '+' for '-' and '/' for '_'";

/// Decodes base64 in chunks of any size.
#[derive(Debug, Clone, Default)]
pub struct Base64Decoder {
    /// Bytes read.
    read: u64,
    /// The bits of an incomplete group, and the number of its characters (0 to 3).
    group: u32,
    characters: u8,
    /// Number of `=` read.
    padding: u8,
}

impl Base64Decoder {
    pub fn new() -> Self {
        Self::default()
    }

    /// Decodes the next chunk, and appends the bytes to `out`. After an error, the decoder must not be used.
    pub fn push(&mut self, input: &[u8], out: &mut Vec<u8>) -> Result<(), Base64Error> {
        let mut rest = input;
        loop {
            let taken = self.push_alphabet(rest, out);
            rest = rest.get(taken..).unwrap_or_default();
            // The rest is short, or has white space: byte by byte up to the start of a group after the white space.
            let mut has_passed_white = false;
            while !(has_passed_white && self.characters == 0) {
                let Some((byte, after)) = rest.split_first() else { return Ok(()) };
                self.push_byte(*byte, out)?;
                has_passed_white |= value(*byte) == WHITE;
                rest = after;
            }
        }
    }

    /// Decodes characters of the alphabet at the start of `input` in blocks, and returns their number. It can stop anywhere:
    /// [`Base64Decoder::push`] decodes the rest.
    pub fn push_alphabet(&mut self, input: &[u8], out: &mut Vec<u8>) -> usize {
        if self.padding > 0 {
            return 0;
        }
        let missing = usize::from(4 - self.characters) % 4;
        let (group, blocks) = input.split_at_checked(missing).unwrap_or((input, &[]));
        if group.iter().any(|byte| value(*byte) > LAST_VALUE) {
            return 0;
        }
        group.iter().for_each(|byte| self.push_value(value(*byte), out));
        let decoded = blocks::decode(blocks, out);
        let taken = group.len() + decoded;
        self.read = self.read.saturating_add(length(taken));
        taken
    }

    /// Ends the text.
    pub fn finish(&mut self, out: &mut Vec<u8>) -> Result<(), Base64Error> {
        let error = |what| Base64Error { at: self.read, what, remedy: None };
        match (self.characters, self.padding) {
            (0, _) | (2, 0 | 2) | (3, 0 | 1) => {}
            (1, _) => return Err(error("base64 ends with a group of one character")),
            _ => return Err(error("base64 ends with incomplete padding")),
        }
        // The incomplete group, as if it were filled with zeros.
        let [_, one, two, _] = (self.group << (6 * (4 - u32::from(self.characters)) % 24)).to_be_bytes();
        match self.characters {
            2 => out.push(one),
            3 => out.extend_from_slice(&[one, two]),
            _ => {}
        }
        Ok(())
    }

    fn push_byte(&mut self, byte: u8, out: &mut Vec<u8>) -> Result<(), Base64Error> {
        let at = self.read;
        self.read = at.saturating_add(1);
        let error = |what, remedy| Err(Base64Error { at, what, remedy });
        match value(byte) {
            WHITE => Ok(()),
            PADDING if self.characters.saturating_add(self.padding) < 4 && self.characters >= 2 => {
                self.padding += 1;
                Ok(())
            }
            PADDING => error("'=' where base64 needs no padding", None),
            OTHER => error("a character that is not base64", matches!(byte, b'-' | b'_').then_some(STANDARD)),
            _ if self.padding > 0 => error("base64 continues after its padding", None),
            value => {
                self.push_value(value, out);
                Ok(())
            }
        }
    }

    fn push_value(&mut self, value: u8, out: &mut Vec<u8>) {
        self.group = self.group << 6 | u32::from(value);
        self.characters += 1;
        if self.characters == 4 {
            let [_, one, two, three] = self.group.to_be_bytes();
            out.extend_from_slice(&[one, two, three]);
            (self.group, self.characters) = (0, 0);
        }
    }
}

fn length(bytes: usize) -> u64 {
    u64::try_from(bytes).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn decode<'c>(chunks: impl IntoIterator<Item = &'c [u8]>) -> Result<Vec<u8>, Base64Error> {
        let (mut decoder, mut out) = (Base64Decoder::new(), b"before".to_vec());
        for chunk in chunks {
            decoder.push(chunk, &mut out)?;
        }
        decoder.finish(&mut out)?;
        Ok(out.strip_prefix(b"before").expect("only added to").to_vec())
    }

    /// In every chunking the same.
    fn decode_all(text: &[u8]) -> Result<Vec<u8>, Base64Error> {
        let whole = decode([text]);
        for size in [1, 2, 3, 5, 7, 13, 29, 67, 100] {
            assert_eq!(decode(text.chunks(size)), whole, "in chunks of {size}: {}", text.escape_ascii());
        }
        if text.len() < 300 {
            for at in 0..=text.len() {
                assert_eq!(decode([&text[..at], &text[at..]]), whole, "at {at}: {}", text.escape_ascii());
            }
        }
        whole
    }

    /// The algorithm of the Infra Standard, step by step.
    fn model(text: &[u8]) -> Option<Vec<u8>> {
        const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let mut text: Vec<u8> = text.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
        if text.len().is_multiple_of(4) {
            for _ in 0..2 {
                if text.ends_with(b"=") {
                    text.pop();
                }
            }
        }
        if text.len() % 4 == 1 {
            return None;
        }
        let mut bits = Vec::new();
        for byte in &text {
            let value = ALPHABET.iter().position(|letter| letter == byte)?;
            bits.extend((0..6).rev().map(|bit| value >> bit & 1));
        }
        let byte = |bits: &[usize]| bits.iter().fold(0, |byte, bit| byte << 1 | *bit) as u8;
        Some(bits.chunks_exact(8).map(byte).collect())
    }

    #[test]
    fn decodes_the_vectors_of_the_standard() {
        for (text, expected) in [
            ("", ""),
            ("Zg==", "f"),
            ("Zg", "f"),
            ("Zm8=", "fo"),
            ("Zm8", "fo"),
            ("Zm9v", "foo"),
            ("Zm9vYmFy", "foobar"),
            (" Z\tm\r\n9\x0Cv ", "foo"),
            ("Zg = = \n", "f"),
            ("Zh==", "f"),
            ("Zm9=", "fo"),
        ] {
            assert_eq!(decode_all(text.as_bytes()), Ok(expected.as_bytes().to_vec()), "{text:?}");
        }
    }

    #[test]
    fn reports_the_offset_of_each_error() {
        let line = "QUJD".repeat(20);
        for (text, at, what) in [
            ("Z", 1, "one character"),
            ("Zm9vY", 5, "one character"),
            ("Zg=", 3, "incomplete padding"),
            ("=", 0, "'='"),
            ("Z=", 1, "'='"),
            ("Zm9v=", 4, "'='"),
            ("Zg===", 4, "'='"),
            ("Zm8==", 4, "'='"),
            ("Zg==Zg==", 4, "after its padding"),
            ("Zg=g", 3, "after its padding"),
            ("Zm-v", 2, "not base64"),
            ("Zm9v\u{B}", 4, "not base64"),
            ("Zm9vé", 4, "not base64"),
            (&format!("{line}{line}\n{line}!"), 241, "not base64"),
            (&format!("{line}{line}={line}"), 160, "'='"),
            (&format!("{line}{line}Q\t_{line}"), 162, "not base64"),
        ] {
            let error = decode_all(text.as_bytes()).expect_err(text);
            assert_eq!(error.at, at, "{text:?}: {error}");
            assert!(error.what.contains(what), "{text:?}: {error}");
            let at = text.as_bytes().get(at as usize);
            assert_eq!(error.remedy.is_some(), matches!(at, Some(b'-' | b'_')), "{text:?}: {error}");
        }
        assert_eq!(
            decode_all(b"Zm_v").expect_err("URL-safe").to_string(),
            "a character that is not base64 at byte 2 of the value: URL-safe base64 is not accepted; send '+' for '-' and \
             '/' for '_'"
        );
    }

    #[test]
    fn decodes_long_texts_in_lines_of_any_length() {
        let text: String =
            ('A'..='Z').chain('a'..='z').chain('0'..='9').chain(['+', '/']).cycle().take(40_000).collect();
        let expected = model(text.as_bytes());
        for length in [1, 3, 5, 31, 33, 64, 75, 76, 77, 1000, 16_384, 39_999, 40_000] {
            for end in ["\n", "\r\n", " ", "\t"] {
                let lines: Vec<&str> =
                    text.as_bytes().chunks(length).map(|line| std::str::from_utf8(line).expect("ASCII")).collect();
                let text = lines.join(end);
                assert_eq!(decode([text.as_bytes()]).ok(), expected);
                assert_eq!(decode(text.as_bytes().chunks(4099)).ok(), expected);
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn as_the_standard_has_it(text in "[A-Da-d0-3+/]{0,60}[A-Za-z0-9+/ \n=]{0,40}[AQgw=é \t]{0,4}") {
            prop_assert_eq!(decode_all(text.as_bytes()).ok(), model(text.as_bytes()));
            // An implementation of others.
            prop_assert_eq!(model(text.as_bytes()), base64_simd::forgiving_decode_to_vec(text.as_bytes()).ok());
        }
    }
}
