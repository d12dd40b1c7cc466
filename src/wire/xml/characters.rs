//! Characters: which XML 1.0 allows where, and quick runs over those that need no closer look.

/// White space as XML defines it.
pub fn is_white(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

/// `bytes` without the white space at its start.
pub fn trim_start(bytes: &[u8]) -> &[u8] {
    let white = bytes.iter().take_while(|byte| is_white(**byte)).count();
    bytes.get(white..).unwrap_or_default()
}

/// `Char` of XML 1.0: what may stand in a document at all.
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

/// The bytes at which a quick run stops: `A`, `B`, `C`, `D`, control characters that are not white space, and
/// all that is not ASCII.
pub struct Run<const A: u8, const B: u8, const C: u8, const D: u8>;

/// Character data outside CDATA. It stops at `]` for the sake of `]]>`.
pub type TextRun = Run<b'<', b'&', b']', b']'>;
/// The value of an item's only member, handed on as it is: so it stops at carriage returns too.
pub type PlainRun = Run<b'<', b'&', b']', b'\r'>;
/// Inside CDATA.
pub type CDataRun = Run<b']', b']', b']', b']'>;
/// Inside a comment.
pub type CommentRun = Run<b'-', b'-', b'-', b'-'>;

/// How many bytes are looked at together: the compiler makes vector instructions of it.
const BLOCK: usize = 32;
/// Where it has none to make, looking up byte by byte is ten times as fast (measured in wasm without `simd128`).
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

    /// How many bytes there are before the first at which the run stops.
    pub fn length(bytes: &[u8]) -> usize {
        let stop = |byte: &u8| Self::STOPS.get(usize::from(*byte)).copied().unwrap_or(true);
        // Most runs are short: blocks pay only behind the first bytes.
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

/// How many bytes at the start are whole characters of the usual sequences beyond ASCII. [`Utf8`] has the others.
pub fn common_sequences(bytes: &[u8]) -> usize {
    let mut rest = bytes;
    while let [0xC2..=0xDF, 0x80..=0xBF, behind @ ..]
    | [0xE1..=0xEC, 0x80..=0xBF, 0x80..=0xBF, behind @ ..]
    | [0xF0, 0x90..=0xBF, 0x80..=0xBF, 0x80..=0xBF, behind @ ..] = rest
    {
        rest = behind;
    }
    bytes.len() - rest.len()
}

/// A character of more than one byte, of which some may have come with an earlier chunk.
#[derive(Debug, Default)]
pub struct Utf8 {
    /// Bytes still to come.
    missing: u8,
    /// The bounds of the next byte (0 to 0: those of any byte but the second).
    bounds: (u8, u8),
    point: u32,
}

impl Utf8 {
    /// Whether the next byte has to belong to a character that has begun.
    pub fn is_open(&self) -> bool {
        self.missing > 0
    }

    /// The next byte: whether it can follow, and the character, if that is now whole, may stand in XML.
    pub fn takes(&mut self, byte: u8) -> bool {
        let six = u32::from(byte & 0x3F);
        if self.missing > 0 {
            let (least, most) = if self.bounds == (0, 0) { (0x80, 0xBF) } else { self.bounds };
            if byte < least || byte > most {
                return false;
            }
            let point = self.point << 6 | six;
            if self.missing == 1 && matches!(point, 0xFFFE | 0xFFFF) {
                return false;
            }
            *self = Self { missing: self.missing - 1, bounds: (0, 0), point };
            return true;
        }
        // The bounds rule out what is written longer than it need be, surrogates, and what is past U+10FFFF.
        let (missing, bounds, mask) = match byte {
            ..0x80 => (0, (0, 0), 0),
            0xC2..=0xDF => (1, (0, 0), 0x1F),
            0xE0 => (2, (0xA0, 0xBF), 0x0F),
            0xED => (2, (0x80, 0x9F), 0x0F),
            0xE1..=0xEF => (2, (0, 0), 0x0F),
            0xF0 => (3, (0x90, 0xBF), 0x07),
            0xF4 => (3, (0x80, 0x8F), 0x07),
            0xF1..=0xF3 => (3, (0, 0), 0x07),
            _ => return false,
        };
        *self = Self { missing, bounds, point: u32::from(byte & mask) };
        true
    }
}
