//! Attachments on their way to the bucket, while the body still arrives.
//!
//! Each is a multipart upload in parts of [`PART`] bytes but the last. The next part fills while the last one is
//! uploaded, and small attachments are uploaded a few at a time, but what is held is never more than two parts. For
//! a caller who is not yet verified nothing is stored: parts wait. No upload is completed here, so nobody can read
//! one: that is done after the commit ([`complete`]), and what is not committed is aborted.

use super::{
    entry::{Arrived, Event},
    ports::{Bucket, Ports},
};
use crate::{
    campaign::{
        head::{Attachment, Part, Upload},
        upkeep::Uploads as _,
    },
    limits::PART,
    memory::Reservation,
    problem::Problem,
    profiles::lookup::StoreError,
};
use futures_util::future::LocalBoxFuture;
use std::collections::VecDeque;

/// Uploads under way at once.
const AT_ONCE: usize = 4;

/// The attachments of one request.
pub struct Files<B: Bucket> {
    /// What the keys begin with: the id of this attempt. Nothing is uploaded before it is known.
    prefix: Option<String>,
    attachments: Vec<Staged<B>>,
    /// The part that fills.
    filling: Option<B::Part>,
    /// Parts that are full, and were not begun.
    waiting: VecDeque<Job<B>>,
    running: usize,
    /// Bytes of all parts held.
    held: usize,
    failed: bool,
}

/// One attachment, as far as it has come.
struct Staged<B: Bucket> {
    name: String,
    content_type: String,
    size: u64,
    /// Parts that were closed.
    queued: u16,
    /// Its last part was closed.
    ended: bool,
    parts: Vec<Part>,
    upload_id: Option<String>,
    /// Between parts; `None` while a part is under way.
    digest: Option<B::Digest>,
    sha256: Option<[u8; 32]>,
}

/// A part to be uploaded.
struct Job<B: Bucket> {
    attachment: usize,
    number: u16,
    last: bool,
    part: B::Part,
}

/// A part that was uploaded, or was not.
pub struct Uploaded<B: Bucket> {
    attachment: usize,
    bytes: usize,
    upload_id: Option<String>,
    result: Result<(Part, Hashed<B>), StoreError>,
}

/// The SHA-256 of an attachment behind one of its parts.
enum Hashed<B: Bucket> {
    /// There are more parts.
    Going(B::Digest),
    /// That was the last.
    Whole([u8; 32]),
}

impl<B: Bucket> Default for Files<B> {
    fn default() -> Self {
        Self {
            prefix: None,
            attachments: Vec::new(),
            filling: None,
            waiting: VecDeque::new(),
            running: 0,
            held: 0,
            failed: false,
        }
    }
}

impl<B: Bucket> Files<B> {
    /// The caller is verified: uploads may begin, under keys that begin with the id of this attempt.
    pub fn permit(&mut self, prefix: String) {
        self.prefix = Some(prefix);
    }

    /// Whether uploads may begin.
    pub fn is_permitted(&self) -> bool {
        self.prefix.is_some()
    }

    fn key(&self, attachment: usize) -> String {
        format!("{}/{attachment}", self.prefix.as_deref().unwrap_or_default())
    }

    /// Bytes held.
    pub fn held(&self) -> usize {
        self.held
    }

    /// Whether more may be taken in before something has been uploaded.
    pub fn has_room(&self) -> bool {
        self.held < 2 * PART
    }

    /// Whether uploads are under way.
    pub fn is_uploading(&self) -> bool {
        self.running > 0
    }

    /// Takes in what has arrived. After an error nothing is taken any more.
    pub fn take(&mut self, bucket: &B, arrived: &Arrived, memory: &mut Reservation) -> Result<(), Problem> {
        for event in &arrived.events {
            match event {
                Event::Bytes(range) => {
                    let mut bytes = arrived.bytes.get(range.clone()).unwrap_or_default();
                    while !bytes.is_empty() {
                        let part = self.filling.get_or_insert_with(|| bucket.part());
                        let (now, later) = bytes.split_at(bytes.len().min(PART - bucket.len(part)));
                        memory.grow(now.len() as u64).map_err(|_| Problem::no_memory())?;
                        self.held += now.len();
                        bucket.append(part, now);
                        bytes = later;
                        if bucket.len(part) == PART && !bytes.is_empty() {
                            self.close_part(bucket, false);
                        }
                    }
                }
                Event::End { name, content_type } => {
                    self.filling.get_or_insert_with(|| bucket.part());
                    self.close_part(bucket, true);
                    if let Some(staged) = self.attachments.last_mut() {
                        (staged.name, staged.content_type) = (name.clone(), content_type.clone());
                    }
                }
            }
        }
        Ok(())
    }

    /// The part that fills is full, or the last one.
    fn close_part(&mut self, bucket: &B, last: bool) {
        let Some(part) = self.filling.take() else { return };
        let begins = self.attachments.last().is_none_or(|staged| staged.ended);
        if begins {
            self.attachments.push(Staged::new(bucket.digest()));
        }
        let attachment = self.attachments.len().saturating_sub(1);
        let Some(staged) = self.attachments.last_mut() else { return };
        staged.size = staged.size.saturating_add(bucket.len(&part) as u64);
        staged.queued += 1;
        staged.ended |= last;
        self.waiting.push_back(Job { attachment, number: staged.queued, last, part });
    }

    /// The next upload to begin, if one can.
    pub fn begin<'p>(&mut self, bucket: &'p B) -> Option<LocalBoxFuture<'p, Uploaded<B>>> {
        if self.running >= AT_ONCE || self.failed || self.prefix.is_none() {
            return None;
        }
        // A digest is there between parts: parts of one attachment go one after the other.
        let idle = |job: &Job<B>| self.attachments.get(job.attachment).is_some_and(|staged| staged.digest.is_some());
        let job = self.waiting.remove(self.waiting.iter().position(idle)?)?;
        let key = self.key(job.attachment);
        let staged = self.attachments.get_mut(job.attachment)?;
        let (upload_id, digest) = (staged.upload_id.clone(), staged.digest.take()?);
        self.running += 1;
        Some(Box::pin(upload(bucket, key, upload_id, digest, job)))
    }

    /// An upload has ended. An error is the request's.
    pub fn ended(&mut self, uploaded: Uploaded<B>, memory: &mut Reservation) -> Result<(), StoreError> {
        self.running = self.running.saturating_sub(1);
        self.held = self.held.saturating_sub(uploaded.bytes);
        memory.shrink(uploaded.bytes as u64);
        let Some(staged) = self.attachments.get_mut(uploaded.attachment) else { return Ok(()) };
        staged.upload_id = uploaded.upload_id;
        match uploaded.result {
            Ok((part, hashed)) => {
                staged.parts.push(part);
                match hashed {
                    Hashed::Going(digest) => staged.digest = Some(digest),
                    Hashed::Whole(sha256) => staged.sha256 = Some(sha256),
                }
                Ok(())
            }
            Err(error) => {
                self.failed = true;
                Err(error)
            }
        }
    }

    /// An upload has ended that nobody waits for any more.
    pub fn lost(&mut self, uploaded: Uploaded<B>) {
        self.running = self.running.saturating_sub(1);
        if let Some(staged) = self.attachments.get_mut(uploaded.attachment) {
            staged.upload_id = uploaded.upload_id;
        }
    }

    /// Drops what waits: nothing more is uploaded.
    pub fn stop(&mut self, bucket: &B, memory: &mut Reservation) {
        self.failed = true;
        let waiting = self.waiting.drain(..).map(|job| job.part).chain(self.filling.take());
        let bytes: usize = waiting.map(|part| bucket.len(&part)).sum();
        self.held = self.held.saturating_sub(bytes);
        memory.shrink(bytes as u64);
    }

    /// The attachments, for the launch's record, when all are uploaded.
    pub fn staged(&self) -> Option<Vec<Attachment>> {
        let staged = (0..).zip(&self.attachments).map(|(number, staged)| {
            Some(Attachment {
                name: staged.name.clone(),
                content_type: staged.content_type.clone(),
                size: staged.size,
                sha256: staged.sha256?,
                upload: Upload {
                    key: self.key(number),
                    upload_id: staged.upload_id.clone()?,
                    parts: staged.parts.clone(),
                },
            })
        });
        staged.collect()
    }

    /// The uploads that were begun, to be aborted.
    pub fn begun(&self) -> impl Iterator<Item = (String, &str)> {
        let staged = self.attachments.iter().enumerate();
        staged.filter_map(|(number, staged)| Some((self.key(number), staged.upload_id.as_deref()?)))
    }
}

impl<B: Bucket> Staged<B> {
    fn new(digest: Option<B::Digest>) -> Self {
        Self {
            name: String::new(),
            content_type: String::new(),
            size: 0,
            queued: 0,
            ended: false,
            parts: Vec::new(),
            upload_id: None,
            digest,
            sha256: None,
        }
    }
}

async fn upload<B: Bucket>(
    bucket: &B,
    key: String,
    upload_id: Option<String>,
    digest: B::Digest,
    job: Job<B>,
) -> Uploaded<B> {
    let mut uploaded = Uploaded {
        attachment: job.attachment,
        bytes: bucket.len(&job.part),
        upload_id,
        result: Err(StoreError(String::new())),
    };
    if uploaded.upload_id.is_none() {
        match bucket.begin(&key).await {
            Ok(id) => uploaded.upload_id = Some(id),
            Err(error) => {
                uploaded.result = Err(error);
                return uploaded;
            }
        }
    }
    let id = uploaded.upload_id.clone().unwrap_or_default();
    let hash = async {
        let digest = bucket.update(digest, &job.part).await?;
        if job.last { bucket.finish(digest).await.map(Hashed::Whole) } else { Ok(Hashed::Going(digest)) }
    };
    let (etag, hashed) = futures_util::join!(bucket.upload(&key, &id, job.number, &job.part), hash);
    uploaded.result = etag.and_then(|etag| Ok((Part { number: job.number, etag }, hashed?)));
    uploaded
}

/// Aborts uploads: their launch did not come about.
pub async fn abort<P: Ports>(ports: &P, uploads: impl Iterator<Item = (String, &str)>) {
    for (key, upload_id) in uploads {
        if let Err(error) = ports.bucket().abort(&key, upload_id).await {
            // The bucket's own rule for incomplete uploads removes it.
            ports.tell(&format!("an upload was not aborted: {error}"));
        }
    }
}
