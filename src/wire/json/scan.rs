//! Finds the end of a run of bytes in a string, eight or more bytes at a time. It uses words, whose speed does not depend on
//! vectorisation.

const ONES: u64 = u64::MAX / 255;
const HIGH: u64 = ONES << 7;

/// Sets the high bit of each lane of `word` that is a control character.
#[inline(always)]
fn controls(word: u64) -> u64 {
    word.wrapping_sub(ONES * 0x20) & !word
}

/// Sets the high bit of each lane of `word` that ends a run: a quotation mark, a backslash or a control character and, if
/// `ascii`, a byte that is not ASCII. The first such lane is exact, because a borrow can only come from a lower lane that ends
/// the run itself.
#[inline(always)]
fn stops(word: u64, ascii: bool) -> u64 {
    let quote = word ^ (ONES * u64::from(b'"'));
    let quote = quote.wrapping_sub(ONES) & !quote;
    let backslash = word ^ (ONES * u64::from(b'\\'));
    let backslash = backslash.wrapping_sub(ONES) & !backslash;
    let beyond = if ascii { word } else { 0 };
    (controls(word) | quote | backslash | beyond) & HIGH
}

/// Returns the first lane that ends a run.
#[inline(always)]
fn first_stop(word: u64, ascii: bool) -> Option<usize> {
    let stops = stops(word, ascii);
    (stops != 0).then(|| stops.trailing_zeros() as usize / 8)
}

#[inline(always)]
fn is_stop(byte: u8, ascii: bool) -> bool {
    byte < 0x20 || byte == b'"' || byte == b'\\' || (ascii && byte >= 0x80)
}

#[inline(always)]
fn run(bytes: &[u8], ascii: bool) -> usize {
    let (words, rest) = bytes.as_chunks::<8>();
    let mut length = 0;
    for word in words {
        if let Some(lane) = first_stop(u64::from_le_bytes(*word), ascii) {
            return length + lane;
        }
        length += 8;
    }
    length + rest.iter().position(|&byte| is_stop(byte, ascii)).unwrap_or(rest.len())
}

/// Returns the number of ASCII bytes at the start that need no decoding in a string.
#[inline]
pub(super) fn ascii_run(bytes: &[u8]) -> usize {
    run(bytes, true)
}

/// Returns the number of bytes before the first quotation mark, backslash or control character. For long runs: the first two
/// are found with vectors, and control characters are checked in four words at a time.
#[inline]
pub(super) fn long_run(bytes: &[u8]) -> usize {
    let end = memchr::memchr2(b'"', b'\\', bytes).unwrap_or(bytes.len());
    let run_to = bytes.get(..end).unwrap_or_default();
    let (words, _) = run_to.as_chunks::<8>();
    let (blocks, _) = words.as_chunks::<4>();
    let controls = |word: &[u8; 8]| controls(u64::from_le_bytes(*word));
    let plain = |[a, b, c, d]: &[[u8; 8]; 4]| (controls(a) | controls(b) | controls(c) | controls(d)) & HIGH == 0;
    let length = blocks.iter().take_while(|block| plain(block)).count() * 32;
    length + run(run_to.get(length..).unwrap_or_default(), false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_ends_at_the_first_stop_wherever_it_stands() {
        let bytes = [0, 0x1F, 0x20, b'!', b'"', b'#', b'[', b'\\', b']', 0x7F, 0x80, 0xA2, 0xDC, 0xFF];
        for length in 0..140 {
            let plain = vec![b'a'; length];
            assert_eq!((ascii_run(&plain), long_run(&plain)), (length, length));
            for (at, byte) in (0..length).flat_map(|at| bytes.map(|byte| (at, byte))) {
                let mut bytes = plain.clone();
                bytes[at] = byte;
                // The bytes after the stop must not matter.
                bytes[at + 1..].fill(if at % 2 == 0 { 0 } else { 0xFF });
                let rest = |ascii: bool| bytes.iter().position(|&byte| is_stop(byte, ascii)).unwrap_or(length);
                assert_eq!((ascii_run(&bytes), long_run(&bytes)), (rest(true), rest(false)), "{bytes:?}");
            }
        }
    }
}
