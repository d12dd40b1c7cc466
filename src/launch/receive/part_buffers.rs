//! The memory of attachment parts: two large buffers, or several small ones, which are reused.

use crate::{
    launch::ports::AttachmentUploader,
    limits::PART,
    memory::{OutOfMemory, Reservation},
};

/// Size of a part's first buffer, in bytes. It doubles.
const FIRST: usize = 64 * 1024;

pub struct PartBuffers<U: AttachmentUploader> {
    /// The part that receives data.
    current: Option<U::Part>,
    /// The buffer of an uploaded part, for reuse.
    spare: Option<U::Part>,
    /// Total size of all buffers, which is reserved, in bytes.
    total: usize,
}

impl<U: AttachmentUploader> Default for PartBuffers<U> {
    fn default() -> Self {
        Self { current: None, spare: None, total: 0 }
    }
}

impl<U: AttachmentUploader> PartBuffers<U> {
    /// Whether the current part has its full size.
    pub fn is_full(&self, uploader: &U) -> bool {
        self.current.as_ref().is_some_and(|part| uploader.len(part) == PART)
    }

    /// Adds bytes to the current part as far as memory allows, and returns how many. `bound` limits the memory of all parts.
    /// Returns zero only if other parts occupy memory, provided that `bound` allows two whole parts. `is_first`: the part is the
    /// first of its attachment.
    pub fn append(
        &mut self,
        uploader: &U,
        bytes: &[u8],
        is_first: bool,
        bound: Option<usize>,
        memory: &mut Reservation,
    ) -> Result<usize, OutOfMemory> {
        let Some(mut part) = self.part_with_room(uploader, bytes.len(), is_first, bound, memory)? else { return Ok(0) };
        let now = bytes.get(..uploader.capacity(&part) - uploader.len(&part)).unwrap_or(bytes);
        uploader.append(&mut part, now);
        self.current = Some(part);
        Ok(now.len())
    }

    /// Returns the current part if it has room, and otherwise a larger part with the same content. Returns `None` if `bound` is
    /// reached.
    fn part_with_room(
        &mut self,
        uploader: &U,
        more: usize,
        is_first: bool,
        bound: Option<usize>,
        memory: &mut Reservation,
    ) -> Result<Option<U::Part>, OutOfMemory> {
        let (len, room) = self.current.as_ref().map_or((0, 0), |part| (uploader.len(part), uploader.capacity(part)));
        if let Some(part) = self.current.take_if(|_| len < room) {
            return Ok(Some(part));
        }
        let wanted = len.saturating_add(more).min(PART);
        let mut larger = match self.spare.take_if(|spare| wanted <= uploader.capacity(spare)) {
            Some(spare) => spare,
            None => {
                // An attachment with one whole part probably has another.
                let beyond = |buffers: &Self, size: usize| bound.is_some_and(|bound| buffers.total + size > bound);
                let whole = !is_first && bound.is_some() && !beyond(self, PART);
                let size = if whole { PART } else { wanted.max(2 * room).clamp(FIRST, PART) };
                if beyond(self, size)
                    && let Some(spare) = self.spare.take()
                {
                    self.release(uploader, spare, memory);
                }
                if beyond(self, size) {
                    return Ok(None);
                }
                memory.grow_attachments(size as u64, room as u64)?;
                self.total += size;
                uploader.part(size)
            }
        };
        if let Some(part) = self.current.take() {
            uploader.copy(&part, &mut larger);
            self.release(uploader, part, memory);
        }
        Ok(Some(larger))
    }

    /// Returns the current part (an empty one if no bytes were added). Without a `bound` the part waits for an unknown time for
    /// its caller's token, so it is moved to a buffer of its exact size.
    pub fn close(&mut self, uploader: &U, bound: Option<usize>, memory: &mut Reservation) -> U::Part {
        let Some(part) = self.current.take() else { return uploader.part(0) };
        let (len, room) = (uploader.len(&part), uploader.capacity(&part));
        if bound.is_some() || len + FIRST > room || memory.grow_attachments(len as u64, room as u64).is_err() {
            return part;
        }
        let mut fitting = uploader.part(len);
        self.total += len;
        uploader.copy(&part, &mut fitting);
        self.release(uploader, part, memory);
        fitting
    }

    /// Takes back the buffer of a closed part, and keeps the largest spare buffer.
    pub fn give_back(&mut self, uploader: &U, mut part: U::Part, memory: &mut Reservation) {
        uploader.clear(&mut part);
        let spare = self.spare.as_ref().map_or(0, |spare| uploader.capacity(spare));
        let smaller = if uploader.capacity(&part) > spare { self.spare.replace(part) } else { Some(part) };
        smaller.into_iter().for_each(|part| self.release(uploader, part, memory));
    }

    /// Returns all memory except that of closed parts.
    pub fn stop(&mut self, uploader: &U, memory: &mut Reservation) {
        if let Some(part) = self.current.take() {
            self.give_back(uploader, part, memory);
        }
        if let Some(part) = self.spare.take() {
            self.release(uploader, part, memory);
        }
    }

    fn release(&mut self, uploader: &U, part: U::Part, memory: &mut Reservation) {
        let room = uploader.capacity(&part);
        self.total = self.total.saturating_sub(room);
        memory.shrink_attachments(room as u64);
    }
}
