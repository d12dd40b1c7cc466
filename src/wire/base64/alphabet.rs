//! The value of each byte in base64.

/// The greatest value of a character. All other bytes have one of the values below.
pub const LAST_VALUE: u8 = 63;
pub const OTHER: u8 = 0xFF;
pub const WHITE: u8 = 0xFE;
pub const PADDING: u8 = 0xFD;

const VALUES: [u8; 256] = {
    let mut values = [OTHER; 256];
    let mut byte = 0_u8;
    loop {
        #[allow(clippy::indexing_slicing, reason = "in a constant: 256 entries, a byte as the index")]
        {
            values[byte as usize] = match byte {
                b'A'..=b'Z' => byte - b'A',
                b'a'..=b'z' => byte - b'a' + 26,
                b'0'..=b'9' => byte - b'0' + 52,
                b'+' => 62,
                b'/' => 63,
                b'=' => PADDING,
                b' ' | b'\t' | b'\n' | b'\r' | 0x0C => WHITE,
                _ => OTHER,
            };
        }
        if byte == u8::MAX {
            break values;
        }
        byte += 1;
    }
};

#[inline]
pub fn value(byte: u8) -> u8 {
    VALUES.get(usize::from(byte)).copied().unwrap_or(OTHER)
}
