//! Receives the body of a launch request.
//!
//! ```text
//! body ─▶ pace ─▶ body: framing, limits, digest ─▶ collector: root, items, attachments ─▶ uploads (R2)
//!                              │
//!                              ▼
//!                           lookups: token, campaign, manifest, earlier request
//! ```
//!
//! [`receive`] waits for the body and for [`lookups`] and [`uploads`] at the same time, and decides only when to stop reading.
//! [`super::admit`] decides which of several faults is answered.
//!
//! | module | purpose |
//! |---|---|
//! | [`pace`] | reads from a caller who may be slow; discards the rest of a refused body |
//! | [`room`] | waits for memory when unverified callers have used up their share |
//! | [`body`], [`digest`] | frames and digests the bytes, enforces the limits of the body |
//! | [`collector`] | decodes what the framer finds: [`root`] fields, [`items`] (in [`blocks`]), [`attachments`] |
//! | [`lookups`] | reads KV and asks the campaign's object while the body arrives |
//! | [`uploads`], [`part_buffers`] | multipart uploads of attachments, within bounded memory |

pub mod attachments;
pub mod blocks;
pub mod body;
pub mod collector;
pub mod digest;
pub mod items;
pub mod lookups;
pub mod pace;
mod part_buffers;
pub mod room;
pub mod root;
pub mod uploads;

use std::pin::pin;

use futures_util::{
    FutureExt as _,
    future::{Either, select},
    stream::StreamExt as _,
};

use super::{
    ports::{Body, Clock, Ports},
    request::{RequestHead, new_launch_id},
    verify::{NO_TOKEN, TokenSource, refuse, token_not_first},
};
use crate::{
    access::TokenRecord,
    campaign::protocol::id::LaunchId,
    limits::{PARTS_MEMORY, PARTS_MEMORY_FIRST, READ_BUFFER, ROOM_POLL_MS},
    memory::{OutOfMemory, Reservation},
    problem::{Cause, Problem, Refused},
};
use attachments::DecodedAttachments;
use body::{BodyParser, ParsedBody};
use lookups::{Completed, Lookup, Lookups, Tasks};
use pace::{PacedBody, ReadWindow};
use room::RoomWait;
use uploads::{AttachmentUploads, TakeError, UploadedAttachments, cannot_store};

/// Everything that was received, whether it is valid or not.
#[derive(Debug)]
pub struct Received {
    /// Why reading stopped before the end of the body.
    pub stopped: Option<Refused>,
    pub body: ParsedBody,
    pub lookups: Lookups,
    pub uploads: UploadedAttachments,
    /// The ID under which attachments were uploaded.
    pub launch_id: Option<LaunchId>,
}

/// Receives a body, and waits for the lookups and uploads that its request needs.
pub async fn receive<P: Ports, C: Clock, B: Body>(
    ports: &P,
    head: &RequestHead,
    body: &mut PacedBody<'_, C, B>,
    memory: Reservation,
) -> Received {
    let mut receiver = Box::new(Receiver::new(ports, head, memory));
    let stopped = match receiver.read_body(body).await {
        Ok(()) => receiver.finish_tasks().await.err(),
        Err(stopped) => Some(stopped),
    };
    if let Some(stopped) = &stopped
        && !must_end_at_once(&stopped.problem)
    {
        receiver.wait_for_head_token().boxed_local().await;
    }
    receiver.into_received(stopped).await
}

/// Whether the request must return its memory at once, without waiting for a token.
pub fn must_end_at_once(problem: &Problem) -> bool {
    matches!(problem, Problem::Unavailable(_))
}

/// Whether this fault of a token ranks before all faults that can still be found.
fn is_final(problem: &Problem) -> bool {
    matches!(problem, Problem::TokenRequired(_) | Problem::TooManyRequests(_))
}

/// Copies of a parsed chunk in memory besides the view of the body: attachment data, decoded and waiting for its upload.
const BUFFERS: usize = 2;

/// A request whose body is being received.
struct Receiver<'p, P: Ports> {
    ports: &'p P,
    head: &'p RequestHead,
    body: BodyParser,
    lookups: Lookups,
    uploads: AttachmentUploads<P::Uploader>,
    tasks: Tasks<'p, P::Uploader>,
    launch_id: Option<LaunchId>,
    /// An empty buffer, for reuse.
    spare: DecodedAttachments,
    view: ReadWindow,
}

impl<'p, P: Ports> Receiver<'p, P> {
    fn new(ports: &'p P, head: &'p RequestHead, memory: Reservation) -> Self {
        let mut receiver = Self {
            ports,
            head,
            body: BodyParser::new(head.settings.clone(), ports.normaliser(), memory),
            lookups: Lookups::default(),
            uploads: AttachmentUploads::default(),
            tasks: Tasks::new(),
            launch_id: None,
            spare: DecodedAttachments::default(),
            view: ReadWindow::default(),
        };
        receiver.lookups.start_before_body(ports, head, &receiver.tasks);
        receiver
    }

    /// Reads the body to its end. An error stops the reading.
    async fn read_body<C: Clock, B: Body>(&mut self, body: &mut PacedBody<'_, C, B>) -> Result<(), Refused> {
        while let Some(read) = self.read(body).await? {
            let mut rest = read;
            while rest > 0 {
                self.make_room(rest.min(READ_BUFFER)).await?;
                let parsed = body.chunk(|bytes| (bytes.len(), self.body.feed(bytes)));
                self.body.memory().release_credit();
                let Some((bytes, result)) = parsed else { break };
                result?;
                rest = rest.saturating_sub(bytes);
                if let Some(refused) = self.malformed_of_known_length() {
                    return Err(refused);
                }
                self.start_lookups();
                self.upload().await?;
            }
        }
        self.body.finish(self.head.length);
        self.start_lookups();
        Ok(())
    }

    /// Returns the fault of a malformed body whose length is known. The rest of such a body need not be read.
    fn malformed_of_known_length(&self) -> Option<Refused> {
        let length = self.head.length.filter(|_| self.body.is_malformed())?;
        let rest = length.saturating_sub(self.body.received());
        Some(self.body.fault_with_rest(rest).unwrap_or_else(|| Refused::internal("a malformed body without a fault")))
    }

    /// Waits for the next bytes, and records completed tasks meanwhile.
    async fn read<C: Clock, B: Body>(&mut self, body: &mut PacedBody<'_, C, B>) -> Result<Option<usize>, Refused> {
        if self.body.is_closed() {
            self.view.narrow(self.body.memory());
        }
        let watch = self.body.memory().watch();
        let at_once = self.view.grow(body.received(), &watch, body.length(), self.body.memory(), BUFFERS);
        let mut read = pin!(body.read(at_once));
        loop {
            let bytes = if self.tasks.is_empty() {
                read.as_mut().await
            } else {
                match select(read.as_mut(), self.tasks.next()).await {
                    Either::Left((bytes, _)) => bytes,
                    Either::Right((completed, _)) => {
                        self.record(completed)?;
                        continue;
                    }
                }
            };
            return Ok(bytes?);
        }
    }

    fn start_lookups(&mut self) {
        self.lookups.start(self.ports, self.head, &self.body, &self.tasks);
    }

    /// Records a completed task. An error stops the reading.
    fn record(&mut self, completed: Option<Completed<P::Uploader>>) -> Result<(), Refused> {
        match completed {
            None => {}
            Some(Completed::Token(token)) => self.record_token(token)?,
            Some(Completed::Campaign(campaign)) => self.lookups.record_campaign(campaign, self.ports, &self.tasks),
            Some(Completed::Manifest(manifest)) => self.lookups.manifest = Lookup::Done(manifest),
            Some(Completed::Earlier(earlier)) => {
                if matches!(earlier, Ok(Some(_))) {
                    // The attachments of a repeated request are stored already.
                    self.uploads.stop(self.ports.uploader(), self.body.memory());
                }
                self.lookups.earlier = Lookup::Done(earlier);
            }
            Some(Completed::Upload(step)) => {
                if let Err(cause) = self.uploads.record(self.ports.uploader(), step, self.body.memory()) {
                    self.fail_uploads(cannot_store(cause));
                }
            }
        }
        Ok(())
    }

    fn record_token(&mut self, token: Result<TokenRecord, Refused>) -> Result<(), Refused> {
        match &token {
            Ok(record) => {
                self.body.memory().verify();
                let launch_id = new_launch_id(self.ports, &record.name, &self.head.request_id);
                self.launch_id = (!self.head.settings.digest_is_id).then_some(launch_id);
                self.uploads.permit(launch_id.to_string());
            }
            Err(refused) if is_final(&refused.problem) => return Err(refused.clone()),
            Err(_) => self.body.close(),
        }
        self.lookups.record_token(token);
        self.start_lookups();
        Ok(())
    }

    /// Stores no attachments, for the reason given.
    fn fail_uploads(&mut self, refused: Refused) {
        self.uploads.fail(refused, self.ports.uploader(), self.body.memory());
    }

    /// Waits until there is room for `bytes` more of the body, if the caller is not verified.
    async fn make_room(&mut self, bytes: usize) -> Result<(), Refused> {
        if self.body.memory().watch().is_verified() {
            return Ok(());
        }
        let wanted = self.body.growth(bytes).min(self.body.memory().most());
        if self.body.memory().has_room(wanted) {
            return Ok(());
        }
        let error = self.body.memory().shortage(wanted);
        match self.wait_for_room(wanted, error).boxed_local().await {
            // `wanted` is an upper bound: parsing may need less memory.
            Err(refused) if refused.problem == Problem::no_memory() => Ok(()),
            outcome => outcome,
        }
    }

    /// Waits until `bytes` are reserved as a credit, and records completed tasks meanwhile.
    async fn wait_for_room(&mut self, bytes: u64, error: OutOfMemory) -> Result<(), Refused> {
        let ports = self.ports;
        let waiting = RoomWait::start(self.body.memory(), bytes, error, ports.now());
        loop {
            if let Some(outcome) = waiting.outcome(self.body.memory(), ports.now()) {
                return outcome;
            }
            let mut pause = pin!(ports.sleep(ROOM_POLL_MS));
            while !self.tasks.is_empty() {
                match select(pause.as_mut(), self.tasks.next()).await {
                    Either::Left(_) => break,
                    Either::Right((completed, _)) => self.record(completed)?,
                }
            }
            if self.body.memory().watch().is_verified() {
                self.body.memory().withdraw();
                return Ok(());
            }
            if self.tasks.is_empty() {
                pause.await;
            }
        }
    }

    async fn upload(&mut self) -> Result<(), Refused> {
        if self.body.has_attachments() { self.upload_attachments().boxed_local().await } else { Ok(()) }
    }

    /// Passes decoded attachment data on to be uploaded, and waits while there is no memory for it.
    async fn upload_attachments(&mut self) -> Result<(), Refused> {
        let mut decoded = self.body.take_attachments(std::mem::take(&mut self.spare));
        let limit = self.head.settings.limits.body;
        if self.head.tokens.is_empty() && self.body.attachments_before_token() > limit {
            self.body.fail(Problem::TokenRequiredInBody(token_not_first(limit)));
        }
        loop {
            if self.body.is_closed() {
                self.uploads.stop(self.ports.uploader(), self.body.memory());
            }
            let bound = self.parts_memory();
            let result = self.uploads.take(self.ports.uploader(), &mut decoded, bound, self.body.memory());
            self.body.memory().release_credit();
            if let Err(error) = result {
                self.wait_or_fail_uploads(error).await?;
                continue;
            }
            while let Some(step) = self.uploads.begin(self.ports.uploader()) {
                self.tasks.push(Box::pin(async move { Completed::Upload(step.await) }));
            }
            if decoded.events.is_empty() {
                break;
            }
            match self.tasks.next().await {
                // Unreachable: without other parts in memory there is always room for one part.
                None => {
                    let cause = Cause::new("parts of attachments wait for memory, and no upload is in progress");
                    self.fail_uploads(cannot_store(cause));
                }
                completed => self.record(completed)?,
            }
        }
        self.spare = decoded;
        Ok(())
    }

    /// Waits for room if the caller is unverified and room can become free. Otherwise stores no attachments.
    async fn wait_or_fail_uploads(&mut self, error: TakeError) -> Result<(), Refused> {
        if let TakeError::OutOfMemory(shortage) = error
            && let Some(bytes) = shortage.worth_waiting_for()
            && !self.body.memory().watch().is_verified()
        {
            match self.wait_for_room(bytes, shortage).await {
                Err(refused) if refused.problem == Problem::no_memory() => self.fail_uploads(refused),
                outcome => outcome?,
            }
        } else {
            self.fail_uploads(error.into());
        }
        Ok(())
    }

    /// Returns the limit of the memory of attachment parts, in bytes. `None` before a token has arrived: then only the share of
    /// unverified callers limits the parts.
    fn parts_memory(&self) -> Option<usize> {
        let first = usize::try_from(self.head.settings.limits.body).unwrap_or(usize::MAX).min(PARTS_MEMORY_FIRST);
        match (self.uploads.is_permitted(), &self.lookups.token) {
            (true, _) => Some(PARTS_MEMORY),
            (false, Lookup::Pending) => Some(first),
            (false, _) => None,
        }
    }

    /// Waits for the lookups and uploads that are in progress after the end of the body.
    async fn finish_tasks(&mut self) -> Result<(), Refused> {
        if !self.lookups.has_token() && self.body.shortage().is_none() {
            let refused = refuse(self.ports, NO_TOKEN, TokenSource::Body).await;
            self.lookups.record_token(Err(refused));
            return Ok(());
        }
        self.upload().await?;
        while let Some(completed) = self.tasks.next().await {
            self.record(Some(completed))?;
            self.upload().await?;
        }
        Ok(())
    }

    /// Waits for the lookup of a token in the header or the query. A fault of the token can rank before the fault that stopped the
    /// reading.
    async fn wait_for_head_token(&mut self) {
        if self.head.tokens.is_empty() {
            return;
        }
        while self.lookups.token.outcome().is_none() {
            match self.tasks.next().await {
                Some(Completed::Token(token)) => self.lookups.record_token(token),
                None => return,
                // Reading has stopped already.
                completed => drop(self.record(completed)),
            }
        }
    }

    /// Returns everything that was received.
    async fn into_received(mut self: Box<Self>, stopped: Option<Refused>) -> Received {
        let uploads = if self.body.has_attachments() {
            self.end_uploads().boxed_local().await
        } else {
            UploadedAttachments::none()
        };
        self.view.release(self.body.memory());
        let Self { body, lookups, launch_id, .. } = *self;
        Received { stopped, body: body.into_parsed(), lookups, uploads, launch_id }
    }

    /// Waits for upload steps in progress, whose uploads may have to be aborted, and returns all uploads.
    async fn end_uploads(&mut self) -> UploadedAttachments {
        self.uploads.stop(self.ports.uploader(), self.body.memory());
        while self.uploads.is_uploading() {
            if let Some(Completed::Upload(step)) = self.tasks.next().await {
                self.uploads.record_after_stop(step);
            }
        }
        std::mem::take(&mut self.uploads).into_uploaded()
    }
}
