//! The memory of the parts of one request's attachments: two large parts, or more that are small, used again and again.

use super::ports::Bucket;
use crate::{
    limits::PART,
    memory::{OutOfMemory, Reservation},
};

/// Bytes of memory that a part begins with; it doubles.
const FIRST: usize = 64 * 1024;

/// The part that fills, and what memory there is.
pub struct Parts<B: Bucket> {
    filling: Option<B::Part>,
    /// The memory of a part that was uploaded, for the next one.
    spare: Option<B::Part>,
    /// Bytes of memory of all parts; so many are reserved.
    room: usize,
}

impl<B: Bucket> Default for Parts<B> {
    fn default() -> Self {
        Self { filling: None, spare: None, room: 0 }
    }
}

impl<B: Bucket> Parts<B> {
    /// Whether the part that fills can take no more, however much memory there is.
    pub fn is_full(&self, bucket: &B) -> bool {
        self.filling.as_ref().is_some_and(|part| bucket.len(part) == PART)
    }

    /// Adds to the part that fills what there is memory for, or may be: within `bound` bytes of memory for all parts, if there is
    /// a bound. How many bytes those are; not zero if nothing but the part that fills is held and `bound` is two parts.
    /// `goes_on`: it is not its attachment's first.
    pub fn append(
        &mut self,
        bucket: &B,
        bytes: &[u8],
        goes_on: bool,
        bound: Option<usize>,
        memory: &mut Reservation,
    ) -> Result<usize, OutOfMemory> {
        let Some(mut part) = self.fitting(bucket, bytes.len(), goes_on, bound, memory)? else { return Ok(0) };
        let now = bytes.get(..bucket.room(&part) - bucket.len(&part)).unwrap_or(bytes);
        bucket.append(&mut part, now);
        self.filling = Some(part);
        Ok(now.len())
    }

    /// The part that fills, if it has room; else a larger one with what it holds.
    fn fitting(
        &mut self,
        bucket: &B,
        more: usize,
        goes_on: bool,
        bound: Option<usize>,
        memory: &mut Reservation,
    ) -> Result<Option<B::Part>, OutOfMemory> {
        let (len, room) = self.filling.as_ref().map_or((0, 0), |part| (bucket.len(part), bucket.room(part)));
        if let Some(part) = self.filling.take_if(|_| len < room) {
            return Ok(Some(part));
        }
        let wanted = len.saturating_add(more).min(PART);
        let mut larger = match self.spare.take_if(|spare| wanted <= bucket.room(spare)) {
            Some(spare) => spare,
            None => {
                // An attachment that had a whole part likely has another.
                let beyond = |parts: &Self, size: usize| bound.is_some_and(|bound| parts.room + size > bound);
                let whole = goes_on && bound.is_some() && !beyond(self, PART);
                let size = if whole { PART } else { wanted.max(2 * room).clamp(FIRST, PART) };
                if beyond(self, size)
                    && let Some(spare) = self.spare.take()
                {
                    self.release(bucket, spare, memory);
                }
                if beyond(self, size) {
                    return Ok(None);
                }
                memory.grow_attachments(size as u64, room as u64)?;
                self.room += size;
                bucket.part(size)
            }
        };
        if let Some(part) = self.filling.take() {
            bucket.copy(&part, &mut larger);
            self.release(bucket, part, memory);
        }
        Ok(Some(larger))
    }

    /// The part that fills is complete: an empty one if nothing was added. Where parts wait (`bound` is none: nobody knows for
    /// how long) they take no more memory than they need.
    pub fn close(&mut self, bucket: &B, bound: Option<usize>, memory: &mut Reservation) -> B::Part {
        let Some(part) = self.filling.take() else { return bucket.part(0) };
        let (len, room) = (bucket.len(&part), bucket.room(&part));
        if bound.is_some() || len + FIRST > room || memory.grow_attachments(len as u64, room as u64).is_err() {
            return part;
        }
        let mut fitting = bucket.part(len);
        self.room += len;
        bucket.copy(&part, &mut fitting);
        self.release(bucket, part, memory);
        fitting
    }

    /// A part that was closed is no longer needed. Its memory is kept if there is none larger.
    pub fn give_back(&mut self, bucket: &B, mut part: B::Part, memory: &mut Reservation) {
        bucket.clear(&mut part);
        let spare = self.spare.as_ref().map_or(0, |spare| bucket.room(spare));
        let smaller = if bucket.room(&part) > spare { self.spare.replace(part) } else { Some(part) };
        smaller.into_iter().for_each(|part| self.release(bucket, part, memory));
    }

    /// Gives back all memory but that of parts that were closed.
    pub fn stop(&mut self, bucket: &B, memory: &mut Reservation) {
        if let Some(part) = self.filling.take() {
            self.give_back(bucket, part, memory);
        }
        if let Some(part) = self.spare.take() {
            self.release(bucket, part, memory);
        }
    }

    fn release(&mut self, bucket: &B, part: B::Part, memory: &mut Reservation) {
        let room = bucket.room(&part);
        self.room = self.room.saturating_sub(room);
        memory.shrink_attachments(room as u64);
    }
}
