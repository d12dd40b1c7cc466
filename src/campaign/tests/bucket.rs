//! A bucket in memory with R2's multipart uploads: an object can be read once its upload is completed. All parts except the
//! last have the same size. An aborted upload cannot be completed.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    rc::Rc,
};

use super::faults::{Faults, pause};
use crate::{
    campaign::{
        ports::AttachmentStore,
        protocol::head::{Attachment, Upload, UploadPart},
    },
    limits::{PART, RETENTION_STEP_FILES},
    problem::Cause,
};

#[derive(Debug, Default)]
pub struct MemoryBucket {
    /// Operations: `begin`, `upload`, `complete`, `abort`, `delete`, `digest`.
    pub faults: Faults,
    uploads: RefCell<BTreeMap<String, BegunUpload>>,
    objects: RefCell<BTreeMap<String, Vec<u8>>>,
    begun: Cell<u64>,
    in_progress: Cell<usize>,
    /// The largest number of parts that were uploaded at the same time.
    pub most_at_once: Cell<usize>,
    /// Memory of parts that are filled or uploaded.
    pub held: Rc<HeldBytes>,
}

#[derive(Debug, Default)]
pub struct HeldBytes {
    pub now: Cell<usize>,
    pub most: Cell<usize>,
}

#[derive(Debug, Default)]
struct BegunUpload {
    key: String,
    parts: BTreeMap<u16, (String, Vec<u8>)>,
}

fn failed(what: &str) -> Cause {
    Cause(what.to_owned())
}

impl MemoryBucket {
    /// Reads an object.
    pub fn get(&self, key: &str) -> Option<Vec<u8>> {
        self.objects.borrow().get(key).cloned()
    }

    /// The keys of all objects.
    pub fn keys(&self) -> Vec<String> {
        self.objects.borrow().keys().cloned().collect()
    }

    /// The number of uploads that were neither completed nor aborted.
    pub fn incomplete(&self) -> usize {
        self.uploads.borrow().len()
    }

    /// The number of uploads that were begun.
    pub fn begun(&self) -> u64 {
        self.begun.get()
    }

    /// Applies the bucket's lifecycle rule, which removes incomplete uploads.
    pub fn expire_incomplete(&self) {
        self.uploads.borrow_mut().clear();
    }

    pub fn create(&self, key: &str) -> String {
        self.begun.set(self.begun.get() + 1);
        let id = format!("upload-{}", self.begun.get());
        self.uploads.borrow_mut().insert(id.clone(), BegunUpload { key: key.to_owned(), parts: BTreeMap::new() });
        id
    }

    pub fn put(&self, key: &str, upload_id: &str, number: u16, bytes: &[u8]) -> Result<String, Cause> {
        let mut uploads = self.uploads.borrow_mut();
        let upload = uploads.get_mut(upload_id).filter(|upload| upload.key == key);
        let upload = upload.ok_or_else(|| failed("10024: no such upload"))?;
        let etag = format!("etag-{upload_id}-{number}-{}", bytes.len());
        upload.parts.insert(number, (etag.clone(), bytes.to_vec()));
        Ok(etag)
    }

    /// Uploads the parts of a file, like the Worker before a commit.
    pub fn stage(&self, key: &str, name: &str, bytes: &[u8]) -> Attachment {
        let upload_id = self.create(key);
        let pieces: Vec<&[u8]> = if bytes.is_empty() { vec![bytes] } else { bytes.chunks(PART).collect() };
        let parts = (1_u16..).zip(pieces);
        let parts =
            parts.map(|(number, piece)| UploadPart { number, etag: self.put(key, &upload_id, number, piece).unwrap() });
        let parts = parts.collect();
        Attachment {
            name: name.to_owned(),
            content_type: "application/pdf".to_owned(),
            size: bytes.len() as u64,
            sha256: [0xAB; 32],
            upload: Upload { key: key.to_owned(), upload_id, parts },
        }
    }

    pub async fn upload_part(&self, key: &str, upload_id: &str, number: u16, bytes: &[u8]) -> Result<String, Cause> {
        self.in_progress.set(self.in_progress.get() + 1);
        self.most_at_once.set(self.most_at_once.get().max(self.in_progress.get()));
        for _ in 0..3 {
            pause().await;
        }
        self.in_progress.set(self.in_progress.get() - 1);
        self.faults.run("upload", failed("the network is gone"), || self.put(key, upload_id, number, bytes))
    }

    fn finish(&self, upload: &Upload) -> Result<(), Cause> {
        let mut uploads = self.uploads.borrow_mut();
        let begun = uploads.get(&upload.upload_id).filter(|begun| begun.key == upload.key);
        // R2 rejects a second completion. The Worker's adapter then checks whether the object exists.
        let Some(begun) = begun else {
            let there = self.objects.borrow().contains_key(&upload.key);
            return if there { Ok(()) } else { Err(failed("10024: no such upload")) };
        };
        let mut bytes = Vec::new();
        for (position, part) in upload.parts.iter().enumerate() {
            let (etag, piece) = begun.parts.get(&part.number).ok_or_else(|| failed("10025: no such part"))?;
            let last = position + 1 == upload.parts.len();
            if *etag != part.etag || usize::from(part.number) != position + 1 || (!last && piece.len() != PART) {
                return Err(failed("10025: parts"));
            }
            bytes.extend_from_slice(piece);
        }
        uploads.remove(&upload.upload_id);
        self.objects.borrow_mut().insert(upload.key.clone(), bytes);
        Ok(())
    }
}

impl AttachmentStore for MemoryBucket {
    async fn complete(&self, upload: &Upload) -> Result<(), Cause> {
        pause().await;
        self.faults.run("complete", failed("the bucket is down"), || self.finish(upload))
    }

    async fn abort(&self, key: &str, upload_id: &str) -> Result<(), Cause> {
        pause().await;
        self.faults.run("abort", failed("the bucket is down"), || {
            let mut uploads = self.uploads.borrow_mut();
            let there = uploads.get(upload_id).is_some_and(|upload| upload.key == key);
            there.then(|| uploads.remove(upload_id)).map(drop).ok_or_else(|| failed("10024: no such upload"))
        })
    }

    async fn delete(&self, keys: &[String]) -> Result<(), Cause> {
        assert!(!keys.is_empty() && keys.len() <= RETENTION_STEP_FILES);
        pause().await;
        self.faults.run("delete", failed("the bucket is down"), || {
            self.objects.borrow_mut().retain(|key, _| !keys.contains(key));
            Ok(())
        })
    }
}
