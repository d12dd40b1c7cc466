//! Decodes base64 in whole blocks of [`BLOCK`] characters: checks and decodes in one pass.
//!
//! A library decodes a text whose end is known and which contains no white space and no escapes. Each of these needs a search,
//! and each search is another pass over the text. A block of this module that decodes needs no search, because no character of
//! the alphabet ends or escapes anything. In WebAssembly, 100 MiB take 33 ms instead of 60 ms, of which `base64-simd` itself
//! needs 35 ms (`npm run bench:base64`).

/// Characters of a block.
const BLOCK: usize = 64;
/// Decoded bytes of a block.
const BYTES: usize = BLOCK / 4 * 3;

/// Decodes the blocks at the start of `input` up to the first that contains other characters, and appends their bytes to `out`.
/// Returns the number of characters decoded.
pub fn decode(input: &[u8], out: &mut Vec<u8>) -> usize {
    let (mut blocks, _) = input.as_chunks::<BLOCK>();
    let mut decoded = 0;
    // Few blocks at first, because the first one may contain other characters.
    let mut at_once = 1;
    while !blocks.is_empty() {
        let (now, later) = blocks.split_at(blocks.len().min(at_once));
        let start = out.len();
        out.resize(start + now.len() * BYTES, 0);
        let (room, _) = out.get_mut(start..).unwrap_or_default().as_chunks_mut::<BYTES>();
        let good = now.iter().zip(room).map(|(block, room)| decode_block(block, room)).take_while(|good| *good).count();
        out.truncate(start + good * BYTES);
        decoded += good * BLOCK;
        if good < now.len() {
            break;
        }
        (blocks, at_once) = (later, 4 * at_once);
    }
    decoded
}

#[cfg(target_feature = "simd128")]
use vectors::decode_block;

/// Decoding with WebAssembly vectors, by Wojciech Muła's method ("Base64 decoding with SIMD instructions"): both halves of
/// a character's code are looked up in tables that show whether it is valid, and the upper half selects the number to add.
#[cfg(target_feature = "simd128")]
mod vectors {
    use super::{BLOCK, BYTES};
    use core::arch::wasm32::{
        i8x16, i8x16_shuffle, i16x8, i32x4_dot_i16x8, u8x16, u8x16_add, u8x16_eq, u8x16_shr, u8x16_splat,
        u8x16_swizzle, u16x8_shl, u16x8_shr, u16x8_splat, v128, v128_and, v128_any_true, v128_or,
    };

    /// Decodes a block into `room`. Returns whether all its characters are in the alphabet.
    #[inline(always)]
    pub fn decode_block(block: &[u8; BLOCK], room: &mut [u8; BYTES]) -> bool {
        // Sixteen bytes at a time: the compiler copies larger arrays to memory first.
        let ([a, b, c, d], [one, two, three]) = (block.as_chunks::<16>().0, room.as_chunks_mut::<16>().0) else {
            return false;
        };
        let ((a, wrong_a), (b, wrong_b), (c, wrong_c), (d, wrong_d)) = (groups(a), groups(b), groups(c), groups(d));
        if v128_any_true(v128_or(v128_or(wrong_a, wrong_b), v128_or(wrong_c, wrong_d))) {
            return false;
        }
        let put = |to: &mut [u8; 16], bytes: v128| *to = bytemuck::must_cast(bytes);
        put(one, i8x16_shuffle::<2, 1, 0, 6, 5, 4, 10, 9, 8, 14, 13, 12, 18, 17, 16, 22>(a, b));
        put(two, i8x16_shuffle::<5, 4, 10, 9, 8, 14, 13, 12, 18, 17, 16, 22, 21, 20, 26, 25>(b, c));
        put(three, i8x16_shuffle::<8, 14, 13, 12, 18, 17, 16, 22, 21, 20, 26, 25, 24, 30, 29, 28>(c, d));
        true
    }

    /// Returns the 24 bits of each group of four characters, and a vector that is not zero if a character is not in the alphabet.
    #[inline(always)]
    fn groups(characters: &[u8; 16]) -> (v128, v128) {
        /// A character is invalid if its lower half (first table) and its upper half (second table) have a bit in common.
        const WRONG_BY_LOW: v128 =
            u8x16(0x15, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x13, 0x1A, 0x1B, 0x1B, 0x1B, 0x1A);
        const WRONG_BY_HIGH: v128 =
            u8x16(0x10, 0x10, 0x01, 0x02, 0x04, 0x08, 0x04, 0x08, 0x10, 0x10, 0x10, 0x10, 0x10, 0x10, 0x10, 0x10);
        /// The number to add to a code, from index 1 on: for `/`, `+`, digits, `A` to `O`, `P` to `Z`, `a` to `o`, `p` to `z`.
        const SHIFTS: v128 = i8x16(0, 16, 19, 4, -65, -65, -71, -71, 0, 0, 0, 0, 0, 0, 0, 0);
        let characters: v128 = bytemuck::must_cast(*characters);
        let (low, high) = (v128_and(characters, u8x16_splat(0x0F)), u8x16_shr(characters, 4));
        let wrong = v128_and(u8x16_swizzle(WRONG_BY_LOW, low), u8x16_swizzle(WRONG_BY_HIGH, high));
        // `/` and `+` have the same upper half.
        let is_slash = u8x16_eq(characters, u8x16_splat(b'/'));
        let values = u8x16_add(characters, u8x16_swizzle(SHIFTS, u8x16_add(high, is_slash)));
        // The first character of a group has the highest bits: pairs become 12 bits, then 24.
        let firsts = v128_and(values, u16x8_splat(0xFF));
        let pairs = v128_or(u16x8_shl(firsts, 6), u16x8_shr(values, 8));
        (i32x4_dot_i16x8(pairs, i16x8(1 << 12, 1, 1 << 12, 1, 1 << 12, 1, 1 << 12, 1)), wrong)
    }
}

/// Decodes a block into `room`. Returns whether all its characters are in the alphabet.
#[cfg(not(target_feature = "simd128"))]
fn decode_block(block: &[u8; BLOCK], room: &mut [u8; BYTES]) -> bool {
    let mut all = 0;
    for (characters, bytes) in block.as_chunks::<4>().0.iter().zip(room.as_chunks_mut::<3>().0) {
        let values = characters.map(super::alphabet::value);
        all = values.iter().fold(all, |all, value| all | value);
        let group = values.iter().fold(0, |group, value| group << 6 | u32::from(*value));
        let [_, one, two, three] = group.to_be_bytes();
        *bytes = [one, two, three];
    }
    all <= super::alphabet::LAST_VALUE
}
