//! Where an input is cut. The input itself decides it, so that a file of the corpus is a plain document, and a finding
//! is found again.

/// Numbers that an input decides (splitmix64, seeded with FNV-1a).
pub struct Dice(u64);

impl Dice {
    /// The numbers of that input.
    pub fn of(data: &[u8]) -> Self {
        Self(
            data.iter()
                .fold(0xCBF2_9CE4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01B3)),
        )
    }

    /// A number below `bound`, which is not 0.
    pub fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((mixed ^ (mixed >> 31)) % bound as u64) as usize
    }
}

/// `data` in chunks: single bytes, small ones, or large ones; now and then an empty one.
pub fn cut(data: &[u8]) -> Vec<&[u8]> {
    let mut dice = Dice::of(data);
    let largest = [1, 4, 17, 70, 300][dice.below(5)];
    let mut rest = data;
    let mut chunks = Vec::new();
    while !rest.is_empty() {
        let size = if dice.below(16) == 0 { 0 } else { 1 + dice.below(largest) };
        let (chunk, behind) = rest.split_at(size.min(rest.len()));
        chunks.push(chunk);
        rest = behind;
    }
    chunks
}
