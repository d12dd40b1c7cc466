//! What a launch needs from the outside. The Worker implements these over its bindings, tests over fakes that
//! fail in every way that the platform can.

use crate::{
    access::TokenRecord,
    campaign::{
        commands::{Committed, Request},
        id::LaunchId,
        message::Repeated,
        upkeep::Uploads,
    },
    problem::{Cause, Refused},
    profiles::lookup::BucketStore,
};

/// Time, as one request sees it. A timer belongs to the request that started it: it wakes no other.
#[allow(async_fn_in_trait, reason = "everything runs on one thread")]
pub trait Clock {
    /// Milliseconds since 1970. The deployed clock advances only at I/O.
    fn now(&self) -> u64;
    /// Returns after `milliseconds`.
    async fn sleep(&self, milliseconds: u64);
}

/// The outside of one deployment, as seen by one request.
#[allow(async_fn_in_trait, reason = "everything runs on one thread")]
pub trait Ports: BucketStore + Clock {
    /// Where attachments are stored.
    type Bucket: Bucket;
    /// Where attachments are stored.
    fn bucket(&self) -> &Self::Bucket;

    /// The record under a token's key ([`crate::access::token_key`]), if there is one.
    async fn token(&self, key: &str) -> Result<Option<TokenRecord>, Cause>;
    /// Whether the rate limit of the token of that name lets one more request through.
    async fn allow_token(&self, name: &str) -> bool;
    /// Whether the rate limit of the caller's address does. Asked only when the answer would be 401.
    async fn allow_address(&self) -> bool;
    /// The database of a campaign, as far as KV knows the campaign yet.
    async fn campaign_database(&self, trigger_id: u64) -> Result<Option<u64>, Cause>;
    /// The manifest of a database's profile index, as text, if there is one.
    async fn manifest(&self, database: u64) -> Result<Option<String>, Cause>;
    /// The database of a campaign, as its object has it: for a campaign that KV does not know yet.
    async fn defined_database(&self, trigger_id: u64) -> Result<u64, ObjectError>;
    /// Asks the campaign's object before the commit: may it be launched, and was this request launched already?
    async fn preflight(&self, trigger_id: u64, request: &Request) -> Result<Option<Repeated>, ObjectError>;
    /// Sends the commit message to the campaign's object. It may be sent again with the same launch id.
    async fn commit(&self, trigger_id: u64, message: &[u8]) -> Result<Answer, ObjectError>;
    /// Logs a failure from which the request recovers. Neither text contains a value of the request.
    fn report(&self, failure: &str, cause: &Cause);
    /// Tells the campaign's object that the attachments of a launch are complete.
    async fn completed(&self, trigger_id: u64, launch_id: LaunchId) -> Result<(), ObjectError>;
    /// Fills with random bytes.
    fn random(&self, bytes: &mut [u8]);
}

/// Where attachments are stored: multipart uploads, none of which can be read before it is completed.
#[allow(async_fn_in_trait, reason = "everything runs on one thread")]
pub trait Bucket: Uploads<Error = Cause> {
    /// Bytes of one part, wherever they are best held.
    type Part: 'static;
    /// A SHA-256 under way.
    type Digest: 'static;
    /// An empty part with memory for so many bytes.
    fn part(&self, room: usize) -> Self::Part;
    /// Bytes that a part has memory for.
    fn room(&self, part: &Self::Part) -> usize;
    /// Bytes of a part.
    fn len(&self, part: &Self::Part) -> usize;
    /// Adds to a part what it has room for.
    fn append(&self, part: &mut Self::Part, bytes: &[u8]);
    /// Adds one part to another, which has room for it.
    fn copy(&self, part: &Self::Part, to: &mut Self::Part);
    /// Empties a part; it keeps its memory.
    fn clear(&self, part: &mut Self::Part);
    /// A digest of no bytes yet.
    fn digest(&self) -> Result<Self::Digest, Cause>;
    /// Takes a part in.
    async fn update(&self, digest: Self::Digest, part: &Self::Part) -> Result<Self::Digest, Cause>;
    /// The SHA-256 of all that was taken in.
    async fn finish(&self, digest: Self::Digest) -> Result<[u8; 32], Cause>;
    /// Begins an upload; its id.
    async fn begin(&self, key: &str) -> Result<String, Cause>;
    /// Uploads a part (numbered from 1); its etag.
    async fn upload(&self, key: &str, upload_id: &str, number: u16, part: &Self::Part) -> Result<String, Cause>;
}

/// What a commit came to.
#[derive(Debug)]
pub enum Answer {
    /// The launch is in the log.
    New(Committed),
    /// An earlier request with the same id had been launched: nothing was written.
    Repeated(Box<Repeated>),
}

/// Why the campaign's object did not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ObjectError {
    /// It refused.
    Refused(Refused),
    /// The answer was lost: the command may have been carried out.
    Lost(Cause),
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

/// A body as it arrives.
#[allow(async_fn_in_trait, reason = "everything runs on one thread")]
pub trait Body {
    /// Waits for the next bytes, at most `at_once` of them, and returns how many have arrived; `None` at the end. They stay
    /// outside of wasm memory until [`Body::chunk`]. A read that is dropped before it completes loses nothing: the next read
    /// continues it.
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
