//! Lists and byte records that grow in blocks, without copying.
//!
//! A `Vec` that doubles occupies three times its size while it is copied, and wasm memory never shrinks. Each block is reserved
//! before it is allocated.

use crate::memory::{OutOfMemory, Reservation};

/// Size of a block, in bytes.
pub const BLOCK_BYTES: usize = 64 * 1024;
/// Initial size of the first block, in bytes. It grows fourfold up to a whole block, because most launches are small.
pub const FIRST_BYTES: usize = 256;

/// A list of `T` in blocks.
#[derive(Debug)]
pub struct Blocks<T> {
    blocks: Vec<Vec<T>>,
    len: usize,
    /// Bytes reserved.
    reserved: usize,
}

impl<T> Default for Blocks<T> {
    fn default() -> Self {
        Self { blocks: Vec::new(), len: 0, reserved: 0 }
    }
}

impl<T: Copy> Blocks<T> {
    const PER_BLOCK: usize = {
        let per_block = BLOCK_BYTES / size_of::<T>();
        assert!(per_block > 0);
        per_block
    };

    /// Adds a value, after reserving a block for it if necessary.
    pub fn push(&mut self, value: T, memory: &mut Reservation) -> Result<(), OutOfMemory> {
        if self.reserved / size_of::<T>() <= self.len {
            self.add_room(memory)?;
        }
        if let Some(block) = self.blocks.last_mut() {
            block.push(value);
            self.len += 1;
        }
        Ok(())
    }

    /// Extends the first block, or adds a block.
    fn add_room(&mut self, memory: &mut Reservation) -> Result<(), OutOfMemory> {
        let block = Self::PER_BLOCK * size_of::<T>();
        let (old_size, size) = match self.blocks.len() {
            0 => (0, FIRST_BYTES.min(block)),
            1 if self.reserved < block => (self.reserved, (self.reserved * 4).min(block)),
            _ => (0, block),
        };
        memory.grow((size - old_size) as u64)?;
        self.reserved += size - old_size;
        let capacity = size / size_of::<T>();
        match self.blocks.last_mut().filter(|_| old_size > 0) {
            Some(first) => first.reserve_exact(capacity - first.len()),
            None => self.blocks.push(Vec::with_capacity(capacity)),
        }
        Ok(())
    }

    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub fn get(&self, index: usize) -> Option<T> {
        self.blocks.get(index / Self::PER_BLOCK)?.get(index % Self::PER_BLOCK).copied()
    }

    pub fn iter(&self) -> impl Iterator<Item = T> + '_ {
        self.blocks.iter().flatten().copied()
    }

    /// Drops all values and returns their memory.
    pub fn clear(&mut self, memory: &mut Reservation) {
        memory.shrink(self.reserved as u64);
        *self = Self::default();
    }
}

/// Byte strings, each stored within one block.
#[derive(Debug, Default)]
pub struct Records {
    blocks: Vec<RecordBlock>,
    /// For each record, the number of its block (from 1) and its end within the block.
    ends: Blocks<(u32, u32)>,
}

#[derive(Debug)]
struct RecordBlock {
    bytes: Vec<u8>,
    reserved: u64,
}

/// A block of records that was removed from [`Records`].
#[derive(Debug)]
pub struct RecordBatch {
    block: RecordBlock,
    ends: Vec<u32>,
}

impl RecordBatch {
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let mut start = 0;
        self.ends.iter().map(move |end| {
            let end = *end as usize;
            self.block.bytes.get(std::mem::replace(&mut start, end)..end).unwrap_or_default()
        })
    }

    /// Drops the block and returns its memory.
    pub fn clear(self, memory: &mut Reservation) {
        memory.shrink(self.block.reserved);
    }
}

impl Records {
    pub fn push(&mut self, record: &[u8], memory: &mut Reservation) -> Result<(), OutOfMemory> {
        let fits =
            self.blocks.last().is_some_and(|RecordBlock { bytes, .. }| bytes.capacity() - bytes.len() >= record.len());
        if !fits {
            let last = self.blocks.last().map_or(0, |block| block.bytes.capacity());
            let size = record.len().max((last * 4).clamp(FIRST_BYTES, BLOCK_BYTES));
            memory.grow(size as u64)?;
            self.blocks.push(RecordBlock { bytes: Vec::with_capacity(size), reserved: size as u64 });
        }
        let block_number = u32::try_from(self.blocks.len()).map_err(|_| OutOfMemory::Entries)?;
        let Some(RecordBlock { bytes, .. }) = self.blocks.last_mut() else { return Err(OutOfMemory::Entries) };
        bytes.extend_from_slice(record);
        let end = u32::try_from(bytes.len()).map_err(|_| OutOfMemory::Entries)?;
        self.ends.push((block_number, end), memory)
    }

    pub fn len(&self) -> usize {
        self.ends.len()
    }

    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let mut last = (0, 0);
        self.ends.iter().map(move |(block, end)| {
            let start = if last.0 == block { last.1 } else { 0 };
            last = (block, end);
            let block = self.blocks.get((block as usize).saturating_sub(1));
            block.and_then(|block| block.bytes.get(start as usize..end as usize)).unwrap_or_default()
        })
    }

    /// Returns the records block by block, in order, so that a conversion of all records needs the memory of only one block more.
    /// The caller clears each block; the memory of the list itself is returned here.
    pub fn into_blocks(self, memory: &mut Reservation) -> impl Iterator<Item = RecordBatch> + use<> {
        let Self { blocks, ends } = self;
        memory.shrink(ends.reserved as u64);
        let mut next = 0;
        (1_u32..).zip(blocks).map(move |(number, block)| {
            let mut in_block = Vec::new();
            while let Some((_, end)) = ends.get(next).filter(|(of, _)| *of == number) {
                in_block.push(end);
                next += 1;
            }
            RecordBatch { block, ends: in_block }
        })
    }

    /// Drops all values and returns their memory.
    pub fn clear(&mut self, memory: &mut Reservation) {
        memory.shrink(self.blocks.iter().map(|block| block.reserved).sum());
        self.ends.clear(memory);
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::Budget;

    fn reservation(budget: &std::rc::Rc<Budget>) -> Reservation {
        Reservation::new(budget, 0)
    }

    #[test]
    fn keeps_the_order_of_values_and_returns_all_memory() {
        let budget = Budget::new(1 << 20, 1 << 20);
        let mut memory = reservation(&budget);
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
        let before = memory.bytes();
        let mut read = 0;
        for block in records.into_blocks(&mut memory) {
            for record in block.iter() {
                let expected = read.to_string();
                assert_eq!(record, if read == 77 { &long[..] } else { expected.as_bytes() });
                read += 1;
            }
            block.clear(&mut memory);
            assert!(memory.bytes() < before);
        }
        assert_eq!((read, memory.bytes()), (5000, 0));
        let mut records = Records::default();
        records.push(&long, &mut memory).unwrap();
        records.clear(&mut memory);
        assert_eq!(memory.bytes(), 0);
    }

    #[test]
    fn rejects_a_value_for_which_no_memory_can_be_reserved() {
        let budget = Budget::new(2 * BLOCK_BYTES as u64, u64::MAX);
        let mut memory = reservation(&budget);
        let mut blocks = Blocks::<[u8; 16]>::default();
        let pushed = (0..100_000_u128).take_while(|n| blocks.push(n.to_be_bytes(), &mut memory).is_ok()).count();
        assert_eq!(pushed, 2 * BLOCK_BYTES / 16);
        assert_eq!(blocks.len(), pushed);
    }
}
