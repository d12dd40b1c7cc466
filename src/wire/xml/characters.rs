//! The characters that XML 1.0 allows, and fast runs over characters that need no further check.

use crate::text::Utf8Checker;

/// White space as XML defines it.
pub fn is_white(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

/// Returns `bytes` without white space at the start.
pub fn trim_start(bytes: &[u8]) -> &[u8] {
    let white = bytes.iter().take_while(|byte| is_white(**byte)).count();
    bytes.get(white..).unwrap_or_default()
}

/// `Char` of XML 1.0: the characters of a document.
pub fn is_char(char: char) -> bool {
    matches!(char, '\t' | '\n' | '\r' | ' '..='\u{D7FF}' | '\u{E000}'..='\u{FFFD}' | '\u{10000}'..)
}

/// `NameStartChar` of XML 1.0.
pub fn is_name_start(char: char) -> bool {
    matches!(char,
        'a'..='z' | 'A'..='Z' | '_' | ':'
        | '\u{C0}'..='\u{D6}' | '\u{D8}'..='\u{F6}' | '\u{F8}'..='\u{2FF}' | '\u{370}'..='\u{37D}'
        | '\u{37F}'..='\u{1FFF}' | '\u{200C}'..='\u{200D}' | '\u{2070}'..='\u{218F}'
        | '\u{2C00}'..='\u{2FEF}' | '\u{3001}'..='\u{D7FF}' | '\u{F900}'..='\u{FDCF}'
        | '\u{FDF0}'..='\u{FFFD}' | '\u{10000}'..='\u{EFFFF}')
}

/// `NameChar` of XML 1.0.
pub fn is_name_char(char: char) -> bool {
    is_name_start(char)
        || matches!(char, '-' | '.' | '0'..='9' | '\u{B7}' | '\u{300}'..='\u{36F}' | '\u{203F}'..='\u{2040}')
}

/// A run of characters. It stops at `A`, `B`, `C`, `D`, at control characters that are not white space, and at bytes that are
/// not ASCII.
pub struct Run<const A: u8, const B: u8, const C: u8, const D: u8>;

/// Character data outside CDATA. It stops at `]`, because `]]>` is not allowed.
pub type TextRun = Run<b'<', b'&', b']', b']'>;
/// The value of a flat item's member, which is passed on as sent. It stops at carriage returns, which would be normalised.
pub type PlainRun = Run<b'<', b'&', b']', b'\r'>;
/// Inside CDATA.
pub type CDataRun = Run<b']', b']', b']', b']'>;
/// Inside a comment.
pub type CommentRun = Run<b'-', b'-', b'-', b'-'>;

/// Bytes that are checked together, with vector instructions.
const BLOCK: usize = 32;
/// Without vector instructions, a table lookup for each byte is ten times as fast (measured in wasm without `simd128`).
const VECTORS: bool = cfg!(any(target_arch = "x86_64", target_arch = "aarch64", target_feature = "simd128"));

impl<const A: u8, const B: u8, const C: u8, const D: u8> Run<A, B, C, D> {
    const STOPS: [bool; 256] = {
        let mut stops = [false; 256];
        let mut byte = 0_u8;
        loop {
            #[allow(clippy::indexing_slicing, reason = "in a constant: 256 entries, a byte as the index")]
            {
                stops[byte as usize] = Self::stops(byte);
            }
            if byte == u8::MAX {
                break stops;
            }
            byte += 1;
        }
    };

    const fn stops(byte: u8) -> bool {
        let control = (byte < b' ') & (byte != b'\t') & (byte != b'\n') & (byte != b'\r');
        control | (byte >= 0x80) | (byte == A) | (byte == B) | (byte == C) | (byte == D)
    }

    /// Returns the number of bytes before the run stops.
    pub fn length(bytes: &[u8]) -> usize {
        let stop = |byte: &u8| Self::STOPS.get(usize::from(*byte)).copied().unwrap_or(true);
        // Most runs are short. Blocks pay only after the first bytes.
        let (head, tail) = bytes.split_at_checked(BLOCK).filter(|_| VECTORS).unwrap_or((bytes, &[]));
        if let Some(length) = head.iter().position(stop) {
            return length;
        }
        let clean = |block: &&[u8; BLOCK]| !block.iter().fold(false, |stop, byte| stop | Self::stops(*byte));
        let blocks = tail.as_chunks::<BLOCK>().0.iter().take_while(clean).count();
        let skipped = blocks.saturating_mul(BLOCK);
        let rest = tail.get(skipped..).unwrap_or_default();
        head.len().saturating_add(skipped).saturating_add(rest.iter().position(stop).unwrap_or(rest.len()))
    }
}

/// Returns the length of the complete characters at the start of `bytes` that have common UTF-8 sequences. [`CharacterChecker`]
/// checks all others.
pub fn common_sequences(bytes: &[u8]) -> usize {
    let mut rest = bytes;
    while let [0xC2..=0xDF, 0x80..=0xBF, after @ ..]
    | [0xE1..=0xEC, 0x80..=0xBF, 0x80..=0xBF, after @ ..]
    | [0xF0, 0x90..=0xBF, 0x80..=0xBF, 0x80..=0xBF, after @ ..] = rest
    {
        rest = after;
    }
    bytes.len() - rest.len()
}

/// Checks characters beyond ASCII byte by byte: UTF-8 without U+FFFE and U+FFFF, which XML does not allow.
#[derive(Debug, Default)]
pub struct CharacterChecker {
    utf8: Utf8Checker,
    /// The last two bytes.
    last: [u8; 2],
}

impl CharacterChecker {
    /// Whether all characters so far are complete.
    pub fn is_complete(&self) -> bool {
        self.utf8.is_complete()
    }

    /// Returns whether `byte` is valid at this position. The state does not change if it is not.
    pub fn push(&mut self, byte: u8) -> bool {
        let is_noncharacter = self.last == [0xEF, 0xBF] && matches!(byte, 0xBE | 0xBF);
        if is_noncharacter || !self.utf8.push(byte) {
            return false;
        }
        let [_, previous] = self.last;
        self.last = [previous, byte];
        true
    }
}
