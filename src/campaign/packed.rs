//! What became of each item, packed: a launch whose items all match is one run of a few bytes, and no launch
//! needs more than a byte an item.
//!
//! A run is one varint (LEB128, no longer than it has to be): the number of items, shifted left by three, and the
//! [`Outcome`]'s number in the low three bits.

use crate::outcome::{Counts, Outcome};

/// Longest varint that is read, in bytes: a run of 2^32 items.
const VARINT_LIMIT: usize = 5;

/// Packs outcomes, one at a time, in the order of `data`.
#[derive(Debug, Default)]
pub struct Packer {
    bytes: Vec<u8>,
    run: Option<(Outcome, u32)>,
    counts: Counts,
}

impl Packer {
    /// The next item's outcome.
    pub fn push(&mut self, outcome: Outcome) {
        self.counts.add(outcome);
        self.run = Some(match self.run {
            Some((last, length)) if last == outcome && length < u32::MAX >> 3 => (last, length + 1),
            _ => {
                self.end_run();
                (outcome, 1)
            }
        });
    }

    fn end_run(&mut self) {
        let Some((outcome, length)) = self.run.take() else { return };
        let mut value = length << 3 | u32::from(outcome as u8);
        while value >= 0x80 {
            self.bytes.push((value & 0x7F) as u8 | 0x80);
            value >>= 7;
        }
        self.bytes.push((value & 0x7F) as u8);
    }

    /// How many of each there were so far.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// The packed outcomes.
    pub fn finish(mut self) -> Vec<u8> {
        self.end_run();
        self.bytes
    }
}

/// The runs of packed outcomes, in order. Yields [`NotPacked`] in place of a run where the bytes are not what
/// [`Packer`] makes, and nothing after that.
#[derive(Debug, Clone)]
pub struct Runs<'a> {
    rest: &'a [u8],
}

/// The bytes are no packed outcomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotPacked;

impl<'a> Runs<'a> {
    /// The runs of `packed`.
    pub fn new(packed: &'a [u8]) -> Self {
        Self { rest: packed }
    }

    /// The bytes of the runs to come.
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    fn varint(&mut self) -> Option<u32> {
        let mut value = 0_u64;
        for index in 0..VARINT_LIMIT {
            let (byte, rest) = self.rest.split_first()?;
            self.rest = rest;
            value |= u64::from(byte & 0x7F) << (7 * index);
            if byte & 0x80 == 0 {
                // A last byte of zero would be a longer way to write the same number.
                let shortest = *byte != 0 || index == 0;
                return u32::try_from(value).ok().filter(|_| shortest);
            }
        }
        None
    }
}

impl Iterator for Runs<'_> {
    type Item = Result<(Outcome, u32), NotPacked>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let run = self.varint().and_then(|value| {
            let outcome = Outcome::from_number((value & 7) as u8)?;
            (value >> 3 > 0).then_some((outcome, value >> 3))
        });
        if run.is_none() {
            self.rest = &[];
        }
        Some(run.ok_or(NotPacked))
    }
}

/// The outcomes of `packed`, one item after the other. Ends early where the bytes are not packed outcomes:
/// what came through [`crate::campaign::message::Commit::decode`] always is.
pub fn outcomes(packed: &[u8]) -> impl Iterator<Item = Outcome> + '_ {
    Runs::new(packed).map_while(Result::ok).flat_map(|(outcome, length)| (0..length).map(move |_| outcome))
}

/// How many there are of each, without going through the items.
pub fn counts(packed: &[u8]) -> Result<Counts, NotPacked> {
    let mut counts = Counts::default();
    for run in Runs::new(packed) {
        let (outcome, length) = run?;
        counts.add_many(outcome, u64::from(length));
    }
    Ok(counts)
}
