//! References: `&amp;`, `&#38;`, `&#x26;`. No others exist without a DTD.

use super::chars::is_char;

/// What is wrong with a reference.
pub const UNKNOWN: &str =
    "'&' that begins none of &amp; &lt; &gt; &quot; &apos; and no complete character reference such as &#38; or &#x26;";
/// What is wrong with a character reference.
pub const ILLEGAL: &str = "a character reference to what XML does not allow as a character";

/// A reference of which the `&` has been read. Nothing of it is held: zeros in front may be without number.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Reference {
    kind: Kind,
    /// The number so far, or the letters of the name so far, a byte each.
    value: u32,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Kind {
    /// Nothing but `&`.
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
    /// The next byte behind the `&`: the character, if the reference is now complete.
    pub fn push(&mut self, byte: u8) -> Result<Option<char>, &'static str> {
        if byte == b';' {
            return self.end().map(Some);
        }
        let digit = char::from(byte).to_digit(16);
        (self.kind, self.value) = match (self.kind, byte, digit) {
            (Kind::Begun, b'#', _) => (Kind::Hash, 0),
            (Kind::Hash, b'x', _) => (Kind::HexBegun, 0),
            (Kind::Hash | Kind::Decimal, b'0'..=b'9', Some(digit)) => (Kind::Decimal, self.number(10, digit)),
            (Kind::HexBegun | Kind::Hex, _, Some(digit)) => (Kind::Hex, self.number(16, digit)),
            (Kind::Begun | Kind::Named, b'a'..=b'z', _) if self.value >> 24 == 0 => {
                (Kind::Named, self.value << 8 | u32::from(byte))
            }
            _ => return Err(UNKNOWN),
        };
        Ok(None)
    }

    /// One digit more; what is too large stays too large.
    fn number(self, base: u32, digit: u32) -> u32 {
        self.value.saturating_mul(base).saturating_add(digit)
    }

    fn end(self) -> Result<char, &'static str> {
        const AMP: u32 = name(*b"\0amp");
        const LT: u32 = name(*b"\0\0lt");
        const GT: u32 = name(*b"\0\0gt");
        const QUOT: u32 = name(*b"quot");
        const APOS: u32 = name(*b"apos");
        match (self.kind, self.value) {
            (Kind::Decimal | Kind::Hex, value) => char::from_u32(value).filter(|char| is_char(*char)).ok_or(ILLEGAL),
            (Kind::Named, AMP) => Ok('&'),
            (Kind::Named, LT) => Ok('<'),
            (Kind::Named, GT) => Ok('>'),
            (Kind::Named, QUOT) => Ok('"'),
            (Kind::Named, APOS) => Ok('\''),
            _ => Err(UNKNOWN),
        }
    }
}
