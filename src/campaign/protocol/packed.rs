//! The outcomes of a launch's items, run-length encoded. A launch whose items all match has one run of a few bytes, and no
//! launch needs more than one byte an item.
//!
//! A run is one varint (LEB128 of minimal length): the number of items, shifted left by three, and the number of the
//! [`Outcome`] in the low three bits.

use crate::outcome::{Counts, Outcome};

/// Longest varint in bytes: a run of 2^32 items.
const VARINT_LIMIT: usize = 5;

/// Encodes outcomes in the order of `data`.
#[derive(Debug, Default)]
pub struct OutcomePacker {
    bytes: Vec<u8>,
    run: Option<(Outcome, u32)>,
    counts: Counts,
}

impl OutcomePacker {
    /// Adds the outcome of the next item.
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

    /// The counts of the items so far.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// Returns the packed outcomes.
    pub fn finish(mut self) -> Vec<u8> {
        self.end_run();
        self.bytes
    }
}

/// Decodes the runs of packed outcomes. After [`InvalidOutcomes`] the iterator ends.
#[derive(Debug, Clone)]
pub struct OutcomeRuns<'a> {
    rest: &'a [u8],
}

/// [`OutcomePacker`] does not produce these bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("invalid packed outcomes")]
pub struct InvalidOutcomes;

impl<'a> OutcomeRuns<'a> {
    pub fn new(packed: &'a [u8]) -> Self {
        Self { rest: packed }
    }

    /// The bytes that have not been decoded yet.
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
                // If the last byte is zero, a shorter varint has the same value.
                let is_minimal = *byte != 0 || index == 0;
                return u32::try_from(value).ok().filter(|_| is_minimal);
            }
        }
        None
    }
}

impl Iterator for OutcomeRuns<'_> {
    type Item = Result<(Outcome, u32), InvalidOutcomes>;

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
        Some(run.ok_or(InvalidOutcomes))
    }
}

/// Decodes the outcome of each item. The iterator ends at invalid bytes, which
/// [`Commit::decode`](super::message::Commit::decode) rejects.
pub fn outcomes(packed: &[u8]) -> impl Iterator<Item = Outcome> + '_ {
    OutcomeRuns::new(packed).map_while(Result::ok).flat_map(|(outcome, length)| (0..length).map(move |_| outcome))
}

/// Counts the outcomes by run, without decoding each item.
pub fn counts(packed: &[u8]) -> Result<Counts, InvalidOutcomes> {
    let mut counts = Counts::default();
    for run in OutcomeRuns::new(packed) {
        let (outcome, length) = run?;
        counts.add_many(outcome, u64::from(length));
    }
    Ok(counts)
}
