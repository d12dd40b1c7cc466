//! The values that pass between the steps of a launch. They own their content and contain no port.

use std::rc::Rc;

use super::{
    known::KnownManifest,
    ports::Ports,
    receive::{
        items::{Items, Keying},
        root::Root,
    },
    reply::{LaunchResult, Timings},
};
use crate::{
    access::TokenRecord,
    campaign::protocol::{
        head::Attachment,
        id::{LaunchId, RequestKey},
        message::RepeatedLaunch,
    },
    fields::Endpoint,
    limits::Limits,
    memory::Reservation,
    problem::{Cause, Problem, Refused},
    profiles::key::IndexKey,
    wire::Format,
};

/// How a body is parsed.
#[derive(Debug, Clone)]
pub struct BodySettings {
    pub endpoint: Endpoint,
    /// `None`: the first byte that is not white space decides.
    pub format: Option<Format>,
    pub limits: Limits,
    /// The keys under which items are hashed: one, or two during a key rotation.
    pub secrets: Rc<[IndexKey]>,
    /// The request has no ID of its own, and `DEDUPLICATION` is `checksum`: a digest of the body becomes the ID.
    pub digest_is_id: bool,
}

/// The parts of a launch request that are known before its body.
#[derive(Debug, Clone)]
pub struct RequestHead {
    pub settings: BodySettings,
    /// `Content-Length`.
    pub length: Option<u64>,
    /// The different tokens of `Authorization` and the query. A request with two of them is refused.
    pub tokens: Vec<String>,
    /// The format of the reply if the body does not name one.
    pub format: Format,
    /// The caller's ID, or a random one. With `digest_is_id`, the digest replaces it once the body is complete.
    pub request_id: String,
    /// A fault that ranks after faults of the body, such as an invalid request ID.
    pub fault: Option<Problem>,
}

/// A complete, valid body.
#[derive(Debug)]
pub struct LaunchRequest {
    pub root: Root,
    pub trigger_id: u64,
    pub keying: Keying,
    pub items: Items,
}

/// A request that can be run, now or later.
#[derive(Debug)]
pub struct Admitted {
    pub(super) endpoint: Endpoint,
    pub(super) request_id: String,
    pub(super) secrets: Rc<[IndexKey]>,
    pub(super) request: LaunchRequest,
    pub(super) token: TokenRecord,
    /// The digest that a repeated request must match.
    pub(super) digest: [u8; 32],
    /// The campaign's database according to KV; `None`: KV does not know the campaign yet.
    pub(super) database: Option<u64>,
    /// The manifest of the profile index, if it was read while the body arrived.
    pub(super) manifest: Option<Result<KnownManifest, Cause>>,
    /// The answer of the campaign's object, if it was asked while the body arrived: the launch of an earlier request with
    /// this ID, or a refusal. The answer may be out of date.
    pub(super) earlier: Option<Result<Option<RepeatedLaunch>, Refused>>,
    /// The ID under which attachments were uploaded.
    pub(super) launch_id: Option<LaunchId>,
    /// Attachments whose uploads are ready to be completed, or why they could not be uploaded.
    pub(super) attachments: Result<Vec<Attachment>, Refused>,
    pub(super) memory: Reservation,
}

impl Admitted {
    pub fn has_attachments(&self) -> bool {
        self.attachments.as_ref().is_ok_and(|attachments| !attachments.is_empty())
    }
}

/// The outcome of a launch request.
#[derive(Debug)]
pub struct LaunchOutcome {
    pub result: Result<LaunchResult, Refused>,
    /// The format of the reply.
    pub format: Format,
    pub request_id: String,
    /// Bytes of the body that were read.
    pub read: u64,
    pub timings: Timings,
    /// Uploads to complete after the answer.
    pub uploads: Option<PendingUploads>,
}

/// Attachments of a committed launch whose uploads are still to be completed.
#[derive(Debug)]
pub struct PendingUploads {
    pub(super) trigger_id: u64,
    pub(super) launch_id: LaunchId,
    pub(super) attachments: Vec<Attachment>,
}

/// Returns a new launch ID for a request of a token.
pub fn new_launch_id<P: Ports>(ports: &P, token_name: &str, request_id: &str) -> LaunchId {
    let mut random = [0; 8];
    ports.random(&mut random);
    LaunchId::new(ports.now(), RequestKey::new(token_name, request_id), u64::from_le_bytes(random))
}
