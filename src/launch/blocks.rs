//! Growing without copying: lists and bytes in blocks of a fixed size.
//!
//! A `Vec` that doubles holds three times its size for a moment, and wasm memory never shrinks. Each block is
//! asked for before it is made, so that a request's memory is reserved before it is used.

use crate::memory::{OutOfMemory, Reservation};

/// Bytes of one block.
const BLOCK_BYTES: usize = 64 * 1024;

/// A list of `T` in blocks.
#[derive(Debug)]
pub struct Blocks<T> {
    blocks: Vec<Vec<T>>,
    len: usize,
}

impl<T> Default for Blocks<T> {
    fn default() -> Self {
        Self { blocks: Vec::new(), len: 0 }
    }
}

impl<T: Copy> Blocks<T> {
    const PER_BLOCK: usize = {
        let per_block = BLOCK_BYTES / size_of::<T>();
        assert!(per_block > 0);
        per_block
    };

    /// Adds one, after reserving a block for it where that is needed.
    pub fn push(&mut self, value: T, memory: &mut Reservation) -> Result<(), OutOfMemory> {
        if self.len.is_multiple_of(Self::PER_BLOCK) {
            // The first block grows by itself: most launches are small.
            let first = self.blocks.is_empty();
            memory.grow(BLOCK_BYTES as u64)?;
            self.blocks.push(if first { Vec::new() } else { Vec::with_capacity(Self::PER_BLOCK) });
        }
        if let Some(block) = self.blocks.last_mut() {
            block.push(value);
            self.len += 1;
        }
        Ok(())
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The one at `index`.
    pub fn get(&self, index: usize) -> Option<T> {
        self.blocks.get(index / Self::PER_BLOCK)?.get(index % Self::PER_BLOCK).copied()
    }

    /// All of them, in order.
    pub fn iter(&self) -> impl Iterator<Item = T> + '_ {
        self.blocks.iter().flatten().copied()
    }

    /// Drops them and gives their memory back.
    pub fn clear(&mut self, memory: &mut Reservation) {
        memory.shrink((self.blocks.len() * BLOCK_BYTES) as u64);
        *self = Self::default();
    }
}

/// Records of bytes, one behind the other, each whole in one block.
#[derive(Debug, Default)]
pub struct Records {
    blocks: Vec<Vec<u8>>,
    ends: Blocks<(u32, u32)>,
    reserved: u64,
}

impl Records {
    /// Adds a record.
    pub fn push(&mut self, record: &[u8], memory: &mut Reservation) -> Result<(), OutOfMemory> {
        let fits = self.blocks.last().is_some_and(|block| block.capacity() - block.len() >= record.len());
        if !fits {
            let size = record.len().max(BLOCK_BYTES);
            memory.grow(size as u64)?;
            self.reserved += size as u64;
            self.blocks.push(Vec::with_capacity(size));
        }
        let block_number = u32::try_from(self.blocks.len()).map_err(|_| OutOfMemory)?;
        let Some(block) = self.blocks.last_mut() else { return Err(OutOfMemory) };
        block.extend_from_slice(record);
        let end = u32::try_from(block.len()).map_err(|_| OutOfMemory)?;
        self.ends.push((block_number, end), memory)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// All of them, in order.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let mut last = (0, 0);
        self.ends.iter().map(move |(block, end)| {
            let start = if last.0 == block { last.1 } else { 0 };
            last = (block, end);
            let bytes = self.blocks.get((block as usize).saturating_sub(1));
            bytes.and_then(|bytes| bytes.get(start as usize..end as usize)).unwrap_or_default()
        })
    }

    /// Drops them and gives their memory back.
    pub fn clear(&mut self, memory: &mut Reservation) {
        memory.shrink(self.reserved);
        self.ends.clear(memory);
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::Budget;

    #[test]
    fn blocks_keep_order_and_give_memory_back() {
        let budget = Budget::new(1 << 20, 1 << 20);
        let mut memory = Reservation::new(&budget);
        let mut blocks = Blocks::<[u8; 16]>::default();
        let mut records = Records::default();
        let long = vec![7; BLOCK_BYTES + 1];
        for n in 0..5000_u32 {
            blocks.push(u128::from(n).to_be_bytes(), &mut memory).unwrap();
            let record = n.to_string();
            records.push(if n == 77 { &long } else { record.as_bytes() }, &mut memory).unwrap();
        }
        assert_eq!(blocks.len(), 5000);
        assert!(blocks.iter().enumerate().all(|(n, value)| value == (n as u128).to_be_bytes()));
        assert_eq!(blocks.get(4999), Some(4999_u128.to_be_bytes()));
        assert_eq!(blocks.get(5000), None);
        for (n, record) in records.iter().enumerate() {
            let expected = n.to_string();
            assert_eq!(record, if n == 77 { &long[..] } else { expected.as_bytes() });
        }
        blocks.clear(&mut memory);
        records.clear(&mut memory);
        assert_eq!(memory.bytes(), 0);
    }

    #[test]
    fn what_cannot_be_reserved_is_not_kept() {
        let budget = Budget::new(2 * BLOCK_BYTES as u64, u64::MAX);
        let mut memory = Reservation::new(&budget);
        let mut blocks = Blocks::<[u8; 16]>::default();
        let kept = (0..100_000_u128).take_while(|n| blocks.push(n.to_be_bytes(), &mut memory).is_ok()).count();
        assert_eq!(kept, 2 * BLOCK_BYTES / 16);
        assert_eq!(blocks.len(), kept);
    }
}
