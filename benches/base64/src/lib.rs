//! Decodes a chunk of attachment data in WebAssembly, with the Worker's blocks and with a library.
//!
//! The library decodes only complete base64 without other characters. So the chunk is searched first: for the quotation mark or
//! backslash that ends a run of a JSON string, for control characters, and for the white space between lines.

#[path = "../../../src/wire/base64/blocks.rs"]
mod blocks;

use std::cell::RefCell;
use std::hint::black_box;

/// The bytes that the Worker reads at once.
const CHUNK: usize = 64 * 1024;
const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

thread_local! {
    static CHUNK_AND_ROOM: RefCell<(Vec<u8>, Vec<u8>)> = RefCell::new((chunk(), Vec::new()));
}

/// Pseudorandom characters from a fixed seed.
fn chunk() -> Vec<u8> {
    let mut state = 1_u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ALPHABET[(state >> 58) as usize]
    };
    (0..CHUNK).map(|_| next()).collect()
}

/// Decodes the chunk several times, and returns the number of decoded bytes.
fn repeat(times: u32, decode: impl Fn(&[u8], &mut Vec<u8>)) -> u32 {
    CHUNK_AND_ROOM.with_borrow_mut(|(chunk, room)| {
        (0..times).fold(0, |bytes, _| {
            room.clear();
            decode(black_box(chunk), room);
            bytes + black_box(&*room).len() as u32
        })
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn blocks(times: u32) -> u32 {
    repeat(times, |chunk, room| {
        blocks::decode(chunk, room);
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn library(times: u32) -> u32 {
    repeat(times, decode)
}

#[unsafe(no_mangle)]
pub extern "C" fn searches_and_library(times: u32) -> u32 {
    repeat(times, |chunk, room| {
        let end = memchr::memchr2(b'"', b'\\', chunk).unwrap_or(chunk.len());
        let run = &chunk[..end];
        let controls = run.as_chunks::<32>().0.iter().take_while(|block| !has_control(block)).count();
        let line = memchr::memchr3(b'\n', b'\r', b' ', run).unwrap_or(run.len());
        decode(&run[..line.min(controls * 32)], room);
    })
}

fn decode(text: &[u8], room: &mut Vec<u8>) {
    assert!(base64_simd::STANDARD_NO_PAD.decode_append(text, room).is_ok());
}

/// In words, as a compiler that optimises for size leaves them.
fn has_control(block: &[u8; 32]) -> bool {
    const ONES: u64 = u64::MAX / 255;
    let controls = |word: u64| word.wrapping_sub(ONES * 0x20) & !word;
    let words = block.as_chunks::<8>().0;
    words.iter().fold(0, |all, word| all | controls(u64::from_le_bytes(*word))) & (ONES << 7) != 0
}
