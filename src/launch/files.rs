//! Attachments on their way to the bucket, while the body still arrives.
//!
//! Each is a multipart upload in parts of [`PART`](crate::limits::PART) bytes but the last. Parts fill while others are
//! uploaded, of one attachment or of several, but never more than two parts are held ([`Parts`]). For a caller who is not yet
//! verified nothing is stored: parts wait. No upload is completed here, so nobody can read one: that is done after the commit,
//! and what is not committed is aborted.

use super::{
    entry::{Arrived, Event},
    parts::Parts,
    ports::{Bucket, Ports},
};
use crate::{
    campaign::{
        head::{Attachment, Part, Upload},
        upkeep::Uploads as _,
    },
    memory::{OutOfMemory, Reservation},
    problem::{Cause, Refused},
};
use futures_util::future::LocalBoxFuture;
use std::collections::VecDeque;

/// Steps under way at once.
const AT_ONCE: usize = 4;

/// The attachments of one request.
pub struct Files<B: Bucket> {
    /// What the keys begin with: the id of this attempt. Nothing is uploaded before it is known.
    prefix: Option<String>,
    attachments: Vec<Staged<B>>,
    parts: Parts<B>,
    /// Parts that are closed.
    closed: VecDeque<Job<B>>,
    /// Those of them that are hashed, and whose upload was begun.
    ready: VecDeque<Job<B>>,
    running: usize,
    failed: bool,
}

/// One attachment, as far as it has come.
struct Staged<B: Bucket> {
    name: String,
    content_type: String,
    size: u64,
    /// Parts that were closed.
    closed: u16,
    /// Its last part was closed.
    ended: bool,
    /// Parts that were uploaded, in any order.
    parts: Vec<Part>,
    upload_id: Option<String>,
    /// Between parts; `None` while one is hashed.
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

/// A step that has ended, of a part's two: its upload is begun if it is the first one, while it is hashed; then it is uploaded.
pub struct Ended<B: Bucket> {
    job: Job<B>,
    upload_id: Option<String>,
    result: Result<Step<B>, Cause>,
}

/// What a step came to.
enum Step<B: Bucket> {
    /// Hashed; there are more parts.
    Hashed(B::Digest),
    /// Hashed, and it was the last: the attachment's SHA-256.
    HashedLast([u8; 32]),
    Uploaded(Part),
}

/// Why bytes of an attachment cannot be taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TakeError {
    /// There is no memory for them.
    OutOfMemory(OutOfMemory),
    /// The platform's digest cannot be created.
    Digest(Cause),
}

impl From<OutOfMemory> for TakeError {
    fn from(error: OutOfMemory) -> Self {
        Self::OutOfMemory(error)
    }
}

impl From<TakeError> for Refused {
    fn from(error: TakeError) -> Self {
        match error {
            TakeError::OutOfMemory(error) => error.into(),
            TakeError::Digest(cause) => cannot_store(cause),
        }
    }
}

impl<B: Bucket> Default for Files<B> {
    fn default() -> Self {
        Self {
            prefix: None,
            attachments: Vec::new(),
            parts: Parts::default(),
            closed: VecDeque::new(),
            ready: VecDeque::new(),
            running: 0,
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

    /// Whether uploads are under way.
    pub fn is_uploading(&self) -> bool {
        self.running > 0
    }

    /// Takes what has arrived, as far as there is memory for it: within `bound` bytes, if there is a bound. What waits for some
    /// stays in `arrived`. Behind a failure nothing is wanted any more.
    pub fn take(
        &mut self,
        bucket: &B,
        arrived: &mut Arrived,
        bound: Option<usize>,
        memory: &mut Reservation,
    ) -> Result<(), TakeError> {
        if self.failed {
            arrived.clear();
        }
        while let Some(event) = arrived.events.front_mut() {
            match event {
                Event::Bytes(range) if range.start < range.end => {
                    if self.parts.is_full(bucket) {
                        self.close_part(bucket, false, bound, memory)?;
                    }
                    let bytes = arrived.bytes.get(range.clone()).unwrap_or_default();
                    let goes_on = self.attachments.last().is_some_and(|staged| !staged.ended);
                    match self.parts.append(bucket, bytes, goes_on, bound, memory)? {
                        0 => return Ok(()),
                        taken => range.start += taken,
                    }
                    continue;
                }
                Event::Bytes(_) => {}
                Event::End { name, content_type } => {
                    let (name, content_type) = (std::mem::take(name), std::mem::take(content_type));
                    self.close_part(bucket, true, bound, memory)?;
                    if let Some(staged) = self.attachments.last_mut() {
                        (staged.name, staged.content_type) = (name, content_type);
                    }
                }
            }
            arrived.events.pop_front();
        }
        Ok(())
    }

    /// The part that fills is full, or the last one.
    fn close_part(
        &mut self,
        bucket: &B,
        last: bool,
        bound: Option<usize>,
        memory: &mut Reservation,
    ) -> Result<(), TakeError> {
        if self.attachments.last().is_none_or(|staged| staged.ended) {
            self.attachments.push(Staged::new(bucket.digest().map_err(TakeError::Digest)?));
        }
        let part = self.parts.close(bucket, bound, memory);
        let attachment = self.attachments.len().saturating_sub(1);
        let Some(staged) = self.attachments.last_mut() else { return Ok(()) };
        staged.size = staged.size.saturating_add(bucket.len(&part) as u64);
        staged.closed += 1;
        staged.ended |= last;
        self.closed.push_back(Job { attachment, number: staged.closed, last, part });
        Ok(())
    }

    /// The next step to begin, if one can.
    pub fn begin<'p>(&mut self, bucket: &'p B) -> Option<LocalBoxFuture<'p, Ended<B>>> {
        if self.running >= AT_ONCE || self.failed || self.prefix.is_none() {
            return None;
        }
        let next = self.begin_upload(bucket).or_else(|| self.begin_part(bucket));
        self.running += usize::from(next.is_some());
        next
    }

    fn begin_upload<'p>(&mut self, bucket: &'p B) -> Option<LocalBoxFuture<'p, Ended<B>>> {
        let job = self.ready.pop_front()?;
        let (key, upload_id) = (self.key(job.attachment), self.attachments.get(job.attachment)?.upload_id.clone()?);
        Some(Box::pin(upload(bucket, key, upload_id, job)))
    }

    fn begin_part<'p>(&mut self, bucket: &'p B) -> Option<LocalBoxFuture<'p, Ended<B>>> {
        // A digest is there between parts: those of one attachment are hashed one after the other.
        let idle = |job: &Job<B>| self.attachments.get(job.attachment).is_some_and(|staged| staged.digest.is_some());
        let job = self.closed.remove(self.closed.iter().position(idle)?)?;
        let key = self.key(job.attachment);
        let staged = self.attachments.get_mut(job.attachment)?;
        let (upload_id, digest) = (staged.upload_id.clone(), staged.digest.take()?);
        Some(Box::pin(hash(bucket, key, upload_id, digest, job)))
    }

    /// A step has ended. An error is the request's.
    pub fn ended(&mut self, bucket: &B, ended: Ended<B>, memory: &mut Reservation) -> Result<(), Cause> {
        self.running = self.running.saturating_sub(1);
        let Ended { job, upload_id, result } = ended;
        let Some(staged) = self.attachments.get_mut(job.attachment) else { return Ok(()) };
        staged.upload_id = upload_id;
        let is_uploaded = matches!(result, Ok(Step::Uploaded(_)));
        let result = result.map(|step| match step {
            Step::Hashed(digest) => staged.digest = Some(digest),
            Step::HashedLast(sha256) => staged.sha256 = Some(sha256),
            Step::Uploaded(part) => staged.parts.push(part),
        });
        self.failed |= result.is_err();
        if is_uploaded || self.failed {
            self.parts.give_back(bucket, job.part, memory);
        } else {
            self.ready.push_back(job);
        }
        result
    }

    /// A step has ended that nobody waits for any more.
    pub fn lost(&mut self, ended: Ended<B>) {
        self.running = self.running.saturating_sub(1);
        if let Some(staged) = self.attachments.get_mut(ended.job.attachment) {
            staged.upload_id = ended.upload_id;
        }
    }

    /// Nothing more is uploaded: memory that is not in use is given back.
    pub fn stop(&mut self, bucket: &B, memory: &mut Reservation) {
        self.failed = true;
        for job in self.closed.drain(..).chain(self.ready.drain(..)) {
            self.parts.give_back(bucket, job.part, memory);
        }
        self.parts.stop(bucket, memory);
    }

    /// The attachments, for the launch's record, when all are uploaded.
    pub fn staged(&self) -> Option<Vec<Attachment>> {
        let staged = (0..).zip(&self.attachments).map(|(number, staged)| {
            let mut parts = staged.parts.clone();
            parts.sort_by_key(|part| part.number);
            let is_whole = parts.len() == usize::from(staged.closed);
            Some(Attachment {
                name: staged.name.clone(),
                content_type: staged.content_type.clone(),
                size: staged.size,
                sha256: staged.sha256.filter(|_| is_whole)?,
                upload: Upload { key: self.key(number), upload_id: staged.upload_id.clone()?, parts },
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
    fn new(digest: B::Digest) -> Self {
        Self {
            name: String::new(),
            content_type: String::new(),
            size: 0,
            closed: 0,
            ended: false,
            parts: Vec::new(),
            upload_id: None,
            digest: Some(digest),
            sha256: None,
        }
    }
}

async fn hash<B: Bucket>(
    bucket: &B,
    key: String,
    upload_id: Option<String>,
    digest: B::Digest,
    job: Job<B>,
) -> Ended<B> {
    let begin = async {
        match upload_id {
            Some(id) => Ok(id),
            None => bucket.begin(&key).await,
        }
    };
    let hash = async {
        let digest = bucket.update(digest, &job.part).await?;
        if job.last { bucket.finish(digest).await.map(Step::HashedLast) } else { Ok(Step::Hashed(digest)) }
    };
    match futures_util::join!(begin, hash) {
        (Ok(id), result) => Ended { job, upload_id: Some(id), result },
        (Err(error), _) => Ended { job, upload_id: None, result: Err(error) },
    }
}

async fn upload<B: Bucket>(bucket: &B, key: String, upload_id: String, job: Job<B>) -> Ended<B> {
    let etag = bucket.upload(&key, &upload_id, job.number, &job.part).await;
    let result = etag.map(|etag| Step::Uploaded(Part { number: job.number, etag }));
    Ended { job, upload_id: Some(upload_id), result }
}

/// 503: the bucket, or the platform's digest, failed.
pub fn cannot_store(cause: Cause) -> Refused {
    Refused::unavailable("attachments cannot be stored now: retry later", cause)
}

/// Aborts uploads of a request that is not launched. The bucket's rule removes uploads that cannot be aborted.
pub async fn abort<P: Ports>(ports: &P, uploads: impl Iterator<Item = (String, &str)>) {
    for (key, upload_id) in uploads {
        if let Err(cause) = ports.bucket().abort(&key, upload_id).await {
            ports.report("an upload was not aborted; the bucket's lifecycle rule removes it", &cause);
        }
    }
}
