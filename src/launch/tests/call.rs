//! Launch requests to a [`World`].

use std::rc::Rc;

use super::world::{TOKEN, World};
use crate::{
    campaign::tests::faults::run,
    fields::Endpoint,
    launch::{
        self, BodySettings, LaunchOutcome, RequestHead,
        ports::{Body, Disconnected, Ports as _},
        receive::pace::PacedBody,
        reply::ReplyWriter,
    },
    limits::READ_BUFFER,
    memory::Reservation,
    text::hex,
    wire::Format,
};

/// One request. Tests vary its fields.
#[derive(Debug, Clone)]
pub struct Call {
    pub endpoint: Endpoint,
    /// The format of `Content-Type`.
    pub format: Option<Format>,
    /// `Content-Length`.
    pub length: Option<u64>,
    /// The tokens of the head.
    pub tokens: Vec<String>,
    pub request_id: Option<String>,
    /// Whether a digest of the body becomes the ID of a request that has none.
    pub checksum: bool,
    pub body: Vec<u8>,
    /// Largest number of bytes that arrive at once.
    pub chunk: usize,
    /// After how many bytes the body ends early, and how.
    pub ends: Option<(usize, End)>,
}

/// How a body ends early.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The caller disconnects.
    Disconnects,
    /// The caller sends nothing more.
    Stalls,
}

impl Call {
    /// A request with a valid token and the length in its head.
    pub fn new(body: impl Into<Vec<u8>>) -> Self {
        let call = Self::bare(body);
        Self { length: Some(call.body.len() as u64), tokens: vec![TOKEN.to_owned()], ..call }
    }

    /// A request whose head has no token, no request ID and no length.
    pub fn bare(body: impl Into<Vec<u8>>) -> Self {
        Self {
            endpoint: Endpoint::StartBatch,
            format: None,
            length: None,
            tokens: Vec::new(),
            request_id: None,
            checksum: false,
            body: body.into(),
            chunk: READ_BUFFER,
            ends: None,
        }
    }

    /// The body as it arrives, with the pauses and faults of `world`.
    pub fn chunks<'a>(&'a self, world: &'a World) -> Chunks<'a> {
        Chunks { world, body: &self.body, at: 0, read: 0, chunk: self.chunk, ends: self.ends }
    }
}

impl World {
    /// Sends a request and waits for its answer.
    pub fn send(&self, call: Call) -> LaunchOutcome {
        run(self.launch(call))
    }

    /// Sends a request, and waits for its answer and the work after it.
    pub fn send_and_complete(&self, call: Call) -> LaunchOutcome {
        run(self.launch_and_complete(call))
    }

    /// Sends a request. Tests can join this future with those of other requests.
    pub async fn launch(&self, call: Call) -> LaunchOutcome {
        self.launch_with(call, Reservation::new(&self.budget, self.now())).await
    }

    /// Sends a request with this reservation.
    pub async fn launch_with(&self, call: Call, memory: Reservation) -> LaunchOutcome {
        let mut id = [0; 8];
        self.random(&mut id);
        let settings = BodySettings {
            endpoint: call.endpoint,
            format: call.format,
            limits: self.limits,
            secrets: Rc::clone(&self.secrets),
            digest_is_id: call.checksum && call.request_id.is_none(),
        };
        let request_id = call.request_id.clone().unwrap_or_else(|| hex(&id));
        let tokens = call.tokens.clone();
        let head = RequestHead { settings, length: call.length, tokens, format: Format::Json, request_id, fault: None };
        let mut chunks = call.chunks(self);
        let mut body = PacedBody::new(self, &mut chunks, memory.watch(), call.length);
        launch::launch(self, head, &mut body, memory).await
    }

    /// Sends a request, and does the work after its answer.
    pub async fn launch_and_complete(&self, call: Call) -> LaunchOutcome {
        let mut outcome = self.launch(call).await;
        if let Some(pending) = outcome.uploads.take() {
            launch::complete_uploads(self, &pending).await;
        }
        outcome
    }
}

/// The body of the reply to a launch.
pub fn reply(outcome: LaunchOutcome, format: Format) -> String {
    let mut writer = ReplyWriter::new(outcome.result.unwrap(), format);
    String::from_utf8(std::iter::from_fn(|| writer.piece()).flatten().collect()).unwrap()
}

/// A body that arrives in chunks.
pub struct Chunks<'a> {
    world: &'a World,
    body: &'a [u8],
    /// Bytes that were read.
    pub at: usize,
    /// Bytes of the last read that have not been passed on.
    read: usize,
    chunk: usize,
    ends: Option<(usize, End)>,
}

impl Body for Chunks<'_> {
    async fn read(&mut self, at_once: usize) -> Result<Option<usize>, Disconnected> {
        self.world.pause().await;
        if self.world.faults.next("body").is_some() {
            return Err(Disconnected);
        }
        let end = self.ends.map_or(self.body.len(), |(at, _)| at.min(self.body.len()));
        if self.at == end {
            return match self.ends {
                None => Ok(None),
                Some((_, End::Disconnects)) => Err(Disconnected),
                Some((_, End::Stalls)) => std::future::pending().await,
            };
        }
        self.read = (end - self.at).min(self.chunk).min(at_once);
        self.at += self.read;
        Ok(Some(self.read))
    }

    fn chunk<T>(&mut self, take: impl FnOnce(&[u8]) -> T) -> Option<T> {
        let bytes = self.read.min(READ_BUFFER);
        let start = self.at - self.read;
        self.read -= bytes;
        (bytes > 0).then(|| take(&self.body[start..start + bytes]))
    }

    fn discard(&mut self) {
        self.read = 0;
    }
}
