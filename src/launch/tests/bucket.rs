//! Uploads to the memory bucket of the campaign's tests. It counts the bytes of parts in memory.

use sha2::{Digest as _, Sha256};

use crate::{
    campaign::tests::{
        bucket::{HeldBytes, MemoryBucket},
        faults::pause,
    },
    launch::ports,
    limits::PART,
    problem::Cause,
};

use std::rc::Rc;

/// A part of an upload. The bucket counts its memory until the part is dropped.
pub struct CountedPart {
    bytes: Vec<u8>,
    room: usize,
    held: Rc<HeldBytes>,
}

impl Drop for CountedPart {
    fn drop(&mut self) {
        self.held.now.set(self.held.now.get() - self.room);
    }
}

impl ports::AttachmentUploader for MemoryBucket {
    type Part = CountedPart;
    type Digest = Sha256;

    fn part(&self, room: usize) -> CountedPart {
        assert!(room <= PART);
        self.held.now.set(self.held.now.get() + room);
        self.held.most.set(self.held.most.get().max(self.held.now.get()));
        CountedPart { bytes: Vec::new(), room, held: Rc::clone(&self.held) }
    }

    fn capacity(&self, part: &CountedPart) -> usize {
        part.room
    }

    fn len(&self, part: &CountedPart) -> usize {
        part.bytes.len()
    }

    fn append(&self, part: &mut CountedPart, bytes: &[u8]) {
        part.bytes.extend_from_slice(bytes);
        assert!(part.bytes.len() <= part.room);
    }

    fn copy(&self, part: &CountedPart, to: &mut CountedPart) {
        self.append(to, &part.bytes);
    }

    fn clear(&self, part: &mut CountedPart) {
        part.bytes.clear();
    }

    fn digest(&self) -> Result<Sha256, Cause> {
        self.faults.run("digest", Cause("no digest".to_owned()), || Ok(Sha256::new()))
    }

    async fn update(&self, mut digest: Sha256, part: &CountedPart) -> Result<Sha256, Cause> {
        pause().await;
        digest.update(&part.bytes);
        self.faults.run("update", Cause("no digest".to_owned()), || Ok(digest))
    }

    async fn finish(&self, digest: Sha256) -> Result<[u8; 32], Cause> {
        pause().await;
        Ok(digest.finalize().into())
    }

    async fn begin(&self, key: &str) -> Result<String, Cause> {
        pause().await;
        self.faults.run("begin", Cause("the bucket is down".to_owned()), || Ok(self.create(key)))
    }

    async fn upload(&self, key: &str, upload_id: &str, number: u16, part: &CountedPart) -> Result<String, Cause> {
        self.upload_part(key, upload_id, number, &part.bytes).await
    }
}
