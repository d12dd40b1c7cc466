//! Everything outside of the core that a launch needs. The Worker implements these traits with its bindings; tests implement
//! them with fakes that fail in every way that the platform can.

use std::rc::Rc;

use crate::{
    access::TokenRecord,
    campaign::{
        ports::AttachmentStore,
        protocol::{
            commands::{Committed, RequestIdentity},
            id::LaunchId,
            message::RepeatedLaunch,
        },
    },
    memory::Reservation,
    problem::{Cause, Refused},
    profiles::{lookup::BucketStore, normal::Normaliser},
};

/// The time of one request. A timer wakes only the request that started it.
#[allow(async_fn_in_trait, reason = "everything runs on one thread")]
pub trait Clock {
    /// Milliseconds since 1970. The deployed clock advances only at I/O.
    fn now(&self) -> u64;
    /// Returns after `milliseconds`.
    async fn sleep(&self, milliseconds: u64);
}

/// The services that a launch uses.
#[allow(async_fn_in_trait, reason = "everything runs on one thread")]
pub trait Ports: BucketStore + Clock {
    type Uploader: AttachmentUploader;
    fn uploader(&self) -> &Self::Uploader;
    fn normaliser(&self) -> Rc<Normaliser>;

    /// Reads the record under a token's key ([`crate::access::token_key`]).
    async fn token(&self, key: &str) -> Result<Option<TokenRecord>, Cause>;
    /// Counts a request of a token name. Returns whether its rate limit allows the request.
    async fn allow_token(&self, name: &str) -> Result<bool, Cause>;
    /// Counts a 401 of the caller's address. Returns whether its rate limit allows the 401 (the answer is 429 otherwise).
    async fn allow_address(&self) -> Result<bool, Cause>;
    /// Reads the database of a campaign from KV; `None`: KV does not know the campaign yet.
    async fn campaign_database(&self, trigger_id: u64) -> Result<Option<u64>, Cause>;
    /// Reads the manifest of a database's profile index.
    async fn manifest(&self, database: u64) -> Result<Option<String>, Cause>;
    /// Sends a message ([`crate::profiles::live::message`]) to the object of a database and reads the reply, whose memory is
    /// reserved first.
    async fn ask_database(
        &self,
        database: u64,
        message: &[u8],
        memory: &mut Reservation,
    ) -> Result<Vec<u8>, ObjectError>;
    /// Asks the campaign's object for its database, if KV does not know the campaign yet.
    async fn defined_database(&self, trigger_id: u64) -> Result<u64, ObjectError>;
    /// Asks the campaign's object for the launch of an earlier request with this ID. Refused if the campaign cannot be
    /// launched.
    async fn preflight(
        &self,
        trigger_id: u64,
        request: &RequestIdentity,
    ) -> Result<Option<RepeatedLaunch>, ObjectError>;
    /// Sends a commit message to the campaign's object. A message can be sent repeatedly: its launch is stored once.
    async fn commit(&self, trigger_id: u64, message: &[u8]) -> Result<CommitAnswer, ObjectError>;
    /// Logs a failure from which the request recovers. Neither text contains a value of the request.
    fn report(&self, failure: &str, cause: &Cause);
    /// Informs the campaign's object that the attachments of a launch are complete.
    async fn completed(&self, trigger_id: u64, launch_id: LaunchId) -> Result<(), ObjectError>;
    /// Fills `bytes` with random bytes.
    fn random(&self, bytes: &mut [u8]);
}

/// Uploads attachments in parts. A file is readable after its upload was completed.
#[allow(async_fn_in_trait, reason = "everything runs on one thread")]
pub trait AttachmentUploader: AttachmentStore {
    /// A buffer for the bytes of one part. The Worker's buffers are outside of wasm memory.
    type Part: 'static;
    /// An incomplete SHA-256.
    type Digest: 'static;
    /// Returns an empty part with this capacity, in bytes.
    fn part(&self, capacity: usize) -> Self::Part;
    fn capacity(&self, part: &Self::Part) -> usize;
    fn len(&self, part: &Self::Part) -> usize;
    /// Appends bytes that fit into the part's capacity.
    fn append(&self, part: &mut Self::Part, bytes: &[u8]);
    /// Appends one part to another that has enough capacity.
    fn copy(&self, part: &Self::Part, to: &mut Self::Part);
    /// Removes the bytes of a part and keeps its capacity.
    fn clear(&self, part: &mut Self::Part);
    fn digest(&self) -> Result<Self::Digest, Cause>;
    /// Adds a part to the digest.
    async fn update(&self, digest: Self::Digest, part: &Self::Part) -> Result<Self::Digest, Cause>;
    async fn finish(&self, digest: Self::Digest) -> Result<[u8; 32], Cause>;
    /// Begins an upload, and returns its ID.
    async fn begin(&self, key: &str) -> Result<String, Cause>;
    /// Uploads a part (numbered from 1), and returns its ETag.
    async fn upload(&self, key: &str, upload_id: &str, number: u16, part: &Self::Part) -> Result<String, Cause>;
}

/// The answer to a commit.
#[derive(Debug)]
pub enum CommitAnswer {
    /// The launch is stored.
    New(Committed),
    /// An earlier request with the same ID was launched; nothing was written.
    Repeated(Box<RepeatedLaunch>),
}

/// Why a command to the campaign's object has no result.
#[derive(Debug, thiserror::Error, Clone, PartialEq, Eq)]
pub enum ObjectError {
    #[error("the object refused the command")]
    Refused(#[source] Refused),
    #[error("the answer was lost: the command may have been carried out")]
    Lost(#[source] Cause),
}

/// 503: the answer to a command that writes nothing was lost. Nothing was launched.
impl From<ObjectError> for Refused {
    fn from(error: ObjectError) -> Self {
        match error {
            ObjectError::Refused(refused) => refused,
            ObjectError::Lost(cause) => Self::unavailable("the campaign cannot be reached now: retry later", cause),
        }
    }
}

/// A body that arrives in chunks.
#[allow(async_fn_in_trait, reason = "everything runs on one thread")]
pub trait Body {
    /// Waits for the next bytes, at most `at_once` of them. Returns how many have arrived, or `None` at the end. The bytes stay
    /// outside of wasm memory until [`Body::chunk`]. If a read is dropped before it completes, the next read continues it, and no
    /// byte is lost.
    async fn read(&mut self, at_once: usize) -> Result<Option<usize>, Disconnected>;
    /// Passes the next bytes of the last read to `take`, at most [`crate::limits::READ_BUFFER`] of them; `None` if there are
    /// none left.
    fn chunk<T>(&mut self, take: impl FnOnce(&[u8]) -> T) -> Option<T>;
    /// Discards the rest of the last read.
    fn discard(&mut self);
}

/// The caller disconnected in the middle of the body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Disconnected;
