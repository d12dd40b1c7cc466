//! Uploads attachments while the body still arrives.
//!
//! Each attachment is a multipart upload. All parts but the last have [`PART`](crate::limits::PART) bytes. Parts fill while
//! other parts are uploaded, and [`PartBuffers`] bounds the memory of all of them. Nothing is uploaded for an unverified caller:
//! the parts wait. Uploads are completed after the commit and aborted without one, so an attachment of a launch that was not
//! committed is never readable.

use super::{
    attachments::{AttachmentEvent, DecodedAttachments},
    part_buffers::PartBuffers,
};
use crate::{
    campaign::{
        ports::AttachmentStore as _,
        protocol::head::{Attachment, Upload, UploadPart},
    },
    launch::ports::{AttachmentUploader, Ports},
    limits::UPLOAD_STEPS_AT_ONCE,
    memory::{OutOfMemory, Reservation},
    problem::{Cause, Refused},
};
use futures_util::future::LocalBoxFuture;
use std::collections::VecDeque;

/// The uploads of one request.
pub struct AttachmentUploads<U: AttachmentUploader> {
    /// The start of all keys: the launch ID of this attempt. Uploads begin once it is set.
    prefix: Option<String>,
    attachments: Vec<AttachmentUpload<U>>,
    buffers: PartBuffers<U>,
    /// Complete parts that are not hashed yet.
    closed: VecDeque<PartUpload<U>>,
    /// Hashed parts of uploads that have begun.
    ready: VecDeque<PartUpload<U>>,
    running: usize,
    /// Set when no more steps may begin.
    is_stopped: bool,
    /// Why attachments are not stored. Answered if the request has no other fault and is not a repeat.
    failure: Option<Refused>,
}

/// The state of all uploads after the last step.
#[derive(Debug)]
pub struct UploadedAttachments {
    /// `None` if an upload is incomplete.
    pub attachments: Option<Vec<Attachment>>,
    pub failure: Option<Refused>,
    /// Keys and upload IDs of all uploads that have begun.
    pub begun: Vec<(String, String)>,
}

impl UploadedAttachments {
    /// Those of a body without attachments.
    pub fn none() -> Self {
        Self { attachments: Some(Vec::new()), failure: None, begun: Vec::new() }
    }
}

/// One attachment.
struct AttachmentUpload<U: AttachmentUploader> {
    name: String,
    content_type: String,
    size: u64,
    /// Number of complete parts.
    part_count: u16,
    /// The last part is complete.
    has_ended: bool,
    /// Uploaded parts, by number.
    parts: Vec<UploadPart>,
    upload_id: Option<String>,
    /// `None` while a part is hashed.
    digest: Option<U::Digest>,
    sha256: Option<[u8; 32]>,
}

/// A part of an attachment.
struct PartUpload<U: AttachmentUploader> {
    /// Index of the attachment.
    attachment: usize,
    number: u16,
    is_last: bool,
    part: U::Part,
}

/// A completed step of a part. Each part has two: it is hashed (and the upload begins, if it is the first part); then it is
/// uploaded.
pub struct FinishedStep<U: AttachmentUploader> {
    part: PartUpload<U>,
    upload_id: Option<String>,
    result: Result<StepResult<U>, Cause>,
}

enum StepResult<U: AttachmentUploader> {
    /// Hashed; more parts follow.
    Hashed(U::Digest),
    /// The last part is hashed: the attachment's SHA-256.
    HashedLast([u8; 32]),
    Uploaded(UploadPart),
}

/// Why attachment data cannot be taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TakeError {
    #[error(transparent)]
    OutOfMemory(#[from] OutOfMemory),
    #[error("the platform's digest cannot be created")]
    Digest(#[source] Cause),
}

impl From<TakeError> for Refused {
    fn from(error: TakeError) -> Self {
        match error {
            TakeError::OutOfMemory(error) => error.into(),
            TakeError::Digest(cause) => cannot_store(cause),
        }
    }
}

impl<U: AttachmentUploader> Default for AttachmentUploads<U> {
    fn default() -> Self {
        Self {
            prefix: None,
            attachments: Vec::new(),
            buffers: PartBuffers::default(),
            closed: VecDeque::new(),
            ready: VecDeque::new(),
            running: 0,
            is_stopped: false,
            failure: None,
        }
    }
}

impl<U: AttachmentUploader> AttachmentUploads<U> {
    /// Allows uploads to begin, once the caller is verified. All keys begin with `prefix`.
    pub fn permit(&mut self, prefix: String) {
        self.prefix = Some(prefix);
    }

    pub fn is_permitted(&self) -> bool {
        self.prefix.is_some()
    }

    pub fn is_uploading(&self) -> bool {
        self.running > 0
    }

    fn key(&self, attachment: usize) -> String {
        format!("{}/{attachment}", self.prefix.as_deref().unwrap_or_default())
    }

    /// Moves decoded data into parts, as far as memory allows. `bound` limits the memory of all parts; the rest stays in
    /// `decoded`. After a stop the data is dropped.
    pub fn take(
        &mut self,
        uploader: &U,
        decoded: &mut DecodedAttachments,
        bound: Option<usize>,
        memory: &mut Reservation,
    ) -> Result<(), TakeError> {
        if self.is_stopped {
            decoded.clear();
        }
        while let Some(event) = decoded.events.front_mut() {
            match event {
                AttachmentEvent::Bytes(range) if range.start < range.end => {
                    if self.buffers.is_full(uploader) {
                        self.close_part(uploader, false, bound, memory)?;
                    }
                    let bytes = decoded.bytes.get(range.clone()).unwrap_or_default();
                    let is_first = self.attachments.last().is_none_or(|attachment| attachment.has_ended);
                    match self.buffers.append(uploader, bytes, is_first, bound, memory)? {
                        0 => return Ok(()),
                        taken => range.start += taken,
                    }
                    continue;
                }
                AttachmentEvent::Bytes(_) => {}
                AttachmentEvent::End { name, content_type } => {
                    let (name, content_type) = (std::mem::take(name), std::mem::take(content_type));
                    self.close_part(uploader, true, bound, memory)?;
                    if let Some(attachment) = self.attachments.last_mut() {
                        (attachment.name, attachment.content_type) = (name, content_type);
                    }
                }
            }
            decoded.events.pop_front();
        }
        Ok(())
    }

    /// Closes the current part, which is full or its attachment's last.
    fn close_part(
        &mut self,
        uploader: &U,
        is_last: bool,
        bound: Option<usize>,
        memory: &mut Reservation,
    ) -> Result<(), TakeError> {
        if self.attachments.last().is_none_or(|attachment| attachment.has_ended) {
            self.attachments.push(AttachmentUpload::new(uploader.digest().map_err(TakeError::Digest)?));
        }
        let part = self.buffers.close(uploader, bound, memory);
        let index = self.attachments.len().saturating_sub(1);
        let Some(attachment) = self.attachments.last_mut() else { return Ok(()) };
        attachment.size = attachment.size.saturating_add(uploader.len(&part) as u64);
        attachment.part_count += 1;
        attachment.has_ended |= is_last;
        self.closed.push_back(PartUpload { attachment: index, number: attachment.part_count, is_last, part });
        Ok(())
    }

    /// Returns the next step, if one can begin.
    pub fn begin<'p>(&mut self, uploader: &'p U) -> Option<LocalBoxFuture<'p, FinishedStep<U>>> {
        if self.running >= UPLOAD_STEPS_AT_ONCE || self.is_stopped || self.prefix.is_none() {
            return None;
        }
        let next = self.begin_upload(uploader).or_else(|| self.begin_hash(uploader));
        self.running += usize::from(next.is_some());
        next
    }

    fn begin_upload<'p>(&mut self, uploader: &'p U) -> Option<LocalBoxFuture<'p, FinishedStep<U>>> {
        let part = self.ready.pop_front()?;
        let (key, upload_id) = (self.key(part.attachment), self.attachments.get(part.attachment)?.upload_id.clone()?);
        Some(Box::pin(upload(uploader, key, upload_id, part)))
    }

    fn begin_hash<'p>(&mut self, uploader: &'p U) -> Option<LocalBoxFuture<'p, FinishedStep<U>>> {
        // The parts of one attachment are hashed in order: its digest is absent while one of them is hashed.
        let has_digest =
            |part: &PartUpload<U>| self.attachments.get(part.attachment).is_some_and(|of| of.digest.is_some());
        let part = self.closed.remove(self.closed.iter().position(has_digest)?)?;
        let key = self.key(part.attachment);
        let attachment = self.attachments.get_mut(part.attachment)?;
        let (upload_id, digest) = (attachment.upload_id.clone(), attachment.digest.take()?);
        Some(Box::pin(hash(uploader, key, upload_id, digest, part)))
    }

    /// Records a completed step. Returns its error.
    pub fn record(&mut self, uploader: &U, step: FinishedStep<U>, memory: &mut Reservation) -> Result<(), Cause> {
        self.running = self.running.saturating_sub(1);
        let FinishedStep { part, upload_id, result } = step;
        let Some(attachment) = self.attachments.get_mut(part.attachment) else { return Ok(()) };
        attachment.upload_id = upload_id;
        let is_uploaded = matches!(result, Ok(StepResult::Uploaded(_)));
        let result = result.map(|step| match step {
            StepResult::Hashed(digest) => attachment.digest = Some(digest),
            StepResult::HashedLast(sha256) => attachment.sha256 = Some(sha256),
            StepResult::Uploaded(part) => {
                let index = attachment.parts.partition_point(|other| other.number < part.number);
                attachment.parts.insert(index, part);
            }
        });
        self.is_stopped |= result.is_err();
        if is_uploaded || self.is_stopped {
            self.buffers.give_back(uploader, part.part, memory);
        } else {
            self.ready.push_back(part);
        }
        result
    }

    /// Records a step that completed after the reading has stopped: its upload may have to be aborted.
    pub fn record_after_stop(&mut self, step: FinishedStep<U>) {
        self.running = self.running.saturating_sub(1);
        if let Some(attachment) = self.attachments.get_mut(step.part.attachment) {
            attachment.upload_id = step.upload_id;
        }
    }

    /// Begins no more steps, and returns the memory that is not in use.
    pub fn stop(&mut self, uploader: &U, memory: &mut Reservation) {
        self.is_stopped = true;
        for part in self.closed.drain(..).chain(self.ready.drain(..)) {
            self.buffers.give_back(uploader, part.part, memory);
        }
        self.buffers.stop(uploader, memory);
    }

    /// Stops the uploads, and records why attachments are not stored.
    pub fn fail(&mut self, refused: Refused, uploader: &U, memory: &mut Reservation) {
        self.failure.get_or_insert(refused);
        self.stop(uploader, memory);
    }

    pub fn into_uploaded(self) -> UploadedAttachments {
        let uploads = self.attachments.iter().enumerate();
        let begun = uploads.filter_map(|(index, attachment)| Some((self.key(index), attachment.upload_id.clone()?)));
        UploadedAttachments { begun: begun.collect(), attachments: self.attachments(), failure: self.failure }
    }

    /// The attachments for the launch's record; `None` if an upload is incomplete.
    fn attachments(&self) -> Option<Vec<Attachment>> {
        let attachments = self.attachments.iter().enumerate().map(|(index, attachment)| {
            let is_complete = attachment.parts.len() == usize::from(attachment.part_count);
            Some(Attachment {
                name: attachment.name.clone(),
                content_type: attachment.content_type.clone(),
                size: attachment.size,
                sha256: attachment.sha256.filter(|_| is_complete)?,
                upload: Upload {
                    key: self.key(index),
                    upload_id: attachment.upload_id.clone()?,
                    parts: attachment.parts.clone(),
                },
            })
        });
        attachments.collect()
    }
}

impl<U: AttachmentUploader> AttachmentUpload<U> {
    fn new(digest: U::Digest) -> Self {
        Self {
            name: String::new(),
            content_type: String::new(),
            size: 0,
            part_count: 0,
            has_ended: false,
            parts: Vec::new(),
            upload_id: None,
            digest: Some(digest),
            sha256: None,
        }
    }
}

async fn hash<U: AttachmentUploader>(
    uploader: &U,
    key: String,
    upload_id: Option<String>,
    digest: U::Digest,
    part: PartUpload<U>,
) -> FinishedStep<U> {
    let begin = async {
        match upload_id {
            Some(id) => Ok(id),
            None => uploader.begin(&key).await,
        }
    };
    let hash = async {
        let digest = uploader.update(digest, &part.part).await?;
        if part.is_last {
            uploader.finish(digest).await.map(StepResult::HashedLast)
        } else {
            Ok(StepResult::Hashed(digest))
        }
    };
    match futures_util::join!(begin, hash) {
        (Ok(id), result) => FinishedStep { part, upload_id: Some(id), result },
        (Err(error), _) => FinishedStep { part, upload_id: None, result: Err(error) },
    }
}

async fn upload<U: AttachmentUploader>(
    uploader: &U,
    key: String,
    upload_id: String,
    part: PartUpload<U>,
) -> FinishedStep<U> {
    let etag = uploader.upload(&key, &upload_id, part.number, &part.part).await;
    let result = etag.map(|etag| StepResult::Uploaded(UploadPart { number: part.number, etag }));
    FinishedStep { part, upload_id: Some(upload_id), result }
}

/// 503: R2, or the platform's digest, failed.
pub fn cannot_store(cause: Cause) -> Refused {
    Refused::unavailable("attachments cannot be stored now: retry later", cause)
}

/// Aborts uploads, named by key and upload ID. The bucket's lifecycle rule removes uploads that cannot be aborted.
pub fn abort<P: Ports>(ports: &P, uploads: Vec<(String, String)>) -> LocalBoxFuture<'_, ()> {
    Box::pin(async move {
        for (key, upload_id) in uploads {
            if let Err(cause) = ports.uploader().abort(&key, &upload_id).await {
                ports.report("an upload was not aborted; the bucket's lifecycle rule removes it", &cause);
            }
        }
    })
}
