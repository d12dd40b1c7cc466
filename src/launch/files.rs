//! Attachments on their way to the bucket, while the body still arrives.
//!
//! Each is a multipart upload in parts of [`PART`] bytes but the last. The next part fills while the last one is
//! uploaded, and small attachments are uploaded a few at a time, but what is held is never more than two parts, whose
//! memory is used again and again. For a caller who is not yet verified nothing is stored: parts wait. No upload is
//! completed here, so nobody can read one: that is done after the commit, and what is not committed is aborted.

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
/// Bytes of memory that a part begins with; it doubles.
const FIRST: usize = 64 * 1024;
/// Bytes of memory beyond which the next part waits until one was uploaded.
const MOST: usize = 2 * PART;

/// The attachments of one request.
pub struct Files<B: Bucket> {
    /// What the keys begin with: the id of this attempt. Nothing is uploaded before it is known.
    prefix: Option<String>,
    attachments: Vec<Staged<B>>,
    /// The part that fills.
    filling: Option<B::Part>,
    /// Parts that are full, and were not begun.
    waiting: VecDeque<Job<B>>,
    /// The memory of a part that was uploaded, for the next one.
    spare: Option<B::Part>,
    running: usize,
    /// Bytes of attachments held.
    held: usize,
    /// Bytes of memory of all parts; so many are reserved.
    room: usize,
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
    part: B::Part,
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
            spare: None,
            running: 0,
            held: 0,
            room: 0,
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

    /// Bytes of attachments held.
    pub fn held(&self) -> usize {
        self.held
    }

    /// Whether more may be taken in before something has been uploaded.
    pub fn has_room(&self, bucket: &B) -> bool {
        let filling = self.filling.as_ref().is_some_and(|part| bucket.len(part) < bucket.room(part));
        filling || self.spare.is_some() || self.room < MOST
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
                        let mut part = self.part(bucket, bytes.len(), memory)?;
                        let (now, later) = bytes.split_at(bytes.len().min(PART - bucket.len(&part)));
                        bucket.append(&mut part, now);
                        self.held += now.len();
                        bytes = later;
                        let full = bucket.len(&part) == PART;
                        self.filling = Some(part);
                        if full && !bytes.is_empty() {
                            self.close_part(bucket, false);
                        }
                    }
                }
                Event::End { name, content_type } => {
                    self.filling.get_or_insert_with(|| bucket.part(0));
                    self.close_part(bucket, true);
                    if let Some(staged) = self.attachments.last_mut() {
                        (staged.name, staged.content_type) = (name.clone(), content_type.clone());
                    }
                }
            }
        }
        Ok(())
    }

    /// The part that fills, with room for `more` bytes, or for as many as it can have.
    fn part(&mut self, bucket: &B, more: usize, memory: &mut Reservation) -> Result<B::Part, Problem> {
        let (len, room) = self.filling.as_ref().map_or((0, 0), |part| (bucket.len(part), bucket.room(part)));
        let wanted = len.saturating_add(more).min(PART);
        if let Some(part) = self.filling.take_if(|_| wanted <= room) {
            return Ok(part);
        }
        let larger = self.spare.take_if(|spare| wanted <= bucket.room(spare));
        let mut larger = match larger {
            Some(spare) => spare,
            None => {
                let goes_on = self.attachments.last().is_some_and(|staged| !staged.ended);
                let whole = goes_on && self.room.saturating_add(PART) <= MOST;
                let room = if whole { PART } else { wanted.max(2 * room).clamp(FIRST, PART) };
                memory.grow(room as u64).map_err(|_| Problem::no_memory())?;
                self.room += room;
                bucket.part(room)
            }
        };
        if let Some(part) = self.filling.take() {
            bucket.copy(&part, &mut larger);
            self.drop_part(bucket, part, memory);
        }
        Ok(larger)
    }

    /// Gives the memory of a part back.
    fn drop_part(&mut self, bucket: &B, part: B::Part, memory: &mut Reservation) {
        let room = bucket.room(&part);
        self.room = self.room.saturating_sub(room);
        memory.shrink(room as u64);
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
    pub fn ended(&mut self, bucket: &B, uploaded: Uploaded<B>, memory: &mut Reservation) -> Result<(), StoreError> {
        self.running = self.running.saturating_sub(1);
        self.held = self.held.saturating_sub(bucket.len(&uploaded.part));
        let room = |part: &Option<B::Part>| part.as_ref().map_or(0, |part| bucket.room(part));
        let mut smaller = Some(uploaded.part);
        if !self.failed && room(&smaller) > room(&self.spare) {
            std::mem::swap(&mut self.spare, &mut smaller);
            self.spare.iter_mut().for_each(|part| bucket.clear(part));
        }
        if let Some(part) = smaller {
            self.drop_part(bucket, part, memory);
        }
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

    /// Drops what waits, and the spare memory: nothing more is uploaded.
    pub fn stop(&mut self, bucket: &B, memory: &mut Reservation) {
        self.failed = true;
        let waiting: Vec<B::Part> = self.waiting.drain(..).map(|job| job.part).chain(self.filling.take()).collect();
        for part in waiting {
            self.held = self.held.saturating_sub(bucket.len(&part));
            self.drop_part(bucket, part, memory);
        }
        if let Some(part) = self.spare.take() {
            self.drop_part(bucket, part, memory);
        }
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
    mut upload_id: Option<String>,
    digest: B::Digest,
    job: Job<B>,
) -> Uploaded<B> {
    let Job { attachment, number, last, part } = job;
    let result = async {
        let id = match &upload_id {
            Some(id) => id,
            None => upload_id.insert(bucket.begin(&key).await?),
        };
        let hash = async {
            let digest = bucket.update(digest, &part).await?;
            if last { bucket.finish(digest).await.map(Hashed::Whole) } else { Ok(Hashed::Going(digest)) }
        };
        let (etag, hashed) = futures_util::join!(bucket.upload(&key, id, number, &part), hash);
        Ok((Part { number, etag: etag? }, hashed?))
    };
    let result = result.await;
    Uploaded { attachment, part, upload_id, result }
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
