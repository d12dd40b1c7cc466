//! References: `&amp;`, `&#38;`, `&#x26;`. Without a DTD there are no others.

use super::characters::is_char;

pub const UNKNOWN: &str =
    "'&' that begins none of &amp; &lt; &gt; &quot; &apos; and no complete character reference such as &#38; or &#x26;";
pub const ILLEGAL: &str = "a character reference to what XML does not allow as a character";

/// A reference after its `&`. Only its value is kept, because a number can have any number of leading zeros.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Reference {
    kind: ReferenceKind,
    /// The number, or the letters of the name (one byte each), as far as they have arrived.
    value: u32,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum ReferenceKind {
    /// Only `&`.
    #[default]
    Begun,
    Named,
    /// `&#`
    Hash,
    Decimal,
    /// `&#x` without a digit yet.
    HexBegun,
    Hex,
}

const fn name(letters: [u8; 4]) -> u32 {
    u32::from_be_bytes(letters)
}

impl Reference {
    /// Reads the next byte. Returns the character if the reference is complete.
    pub fn push(&mut self, byte: u8) -> Result<Option<char>, &'static str> {
        if byte == b';' {
            return self.end().map(Some);
        }
        let digit = char::from(byte).to_digit(16);
        (self.kind, self.value) = match (self.kind, byte, digit) {
            (ReferenceKind::Begun, b'#', _) => (ReferenceKind::Hash, 0),
            (ReferenceKind::Hash, b'x', _) => (ReferenceKind::HexBegun, 0),
            (ReferenceKind::Hash | ReferenceKind::Decimal, b'0'..=b'9', Some(digit)) => {
                (ReferenceKind::Decimal, self.push_digit(10, digit))
            }
            (ReferenceKind::HexBegun | ReferenceKind::Hex, _, Some(digit)) => {
                (ReferenceKind::Hex, self.push_digit(16, digit))
            }
            (ReferenceKind::Begun | ReferenceKind::Named, b'a'..=b'z', _) if self.value >> 24 == 0 => {
                (ReferenceKind::Named, self.value << 8 | u32::from(byte))
            }
            _ => return Err(UNKNOWN),
        };
        Ok(None)
    }

    /// Appends a digit. A number that is too large stays too large.
    fn push_digit(self, base: u32, digit: u32) -> u32 {
        self.value.saturating_mul(base).saturating_add(digit)
    }

    fn end(self) -> Result<char, &'static str> {
        const AMP: u32 = name(*b"\0amp");
        const LT: u32 = name(*b"\0\0lt");
        const GT: u32 = name(*b"\0\0gt");
        const QUOT: u32 = name(*b"quot");
        const APOS: u32 = name(*b"apos");
        match (self.kind, self.value) {
            (ReferenceKind::Decimal | ReferenceKind::Hex, value) => {
                char::from_u32(value).filter(|char| is_char(*char)).ok_or(ILLEGAL)
            }
            (ReferenceKind::Named, AMP) => Ok('&'),
            (ReferenceKind::Named, LT) => Ok('<'),
            (ReferenceKind::Named, GT) => Ok('>'),
            (ReferenceKind::Named, QUOT) => Ok('"'),
            (ReferenceKind::Named, APOS) => Ok('\''),
            _ => Err(UNKNOWN),
        }
    }
}
