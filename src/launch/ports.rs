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
    problem::Problem,
    profiles::lookup::{BucketStore, StoreError},
};

/// The outside of one deployment, as seen by one request.
#[allow(async_fn_in_trait, reason = "everything runs on one thread")]
pub trait Ports: BucketStore {
    /// Where attachments are stored.
    type Bucket: Bucket;
    /// Where attachments are stored.
    fn bucket(&self) -> &Self::Bucket;

    /// The record under a token's key ([`crate::access::token_key`]), if there is one.
    async fn token(&self, key: &str) -> Result<Option<TokenRecord>, StoreError>;
    /// Whether the rate limit of the token of that name lets one more request through.
    async fn allow_token(&self, name: &str) -> bool;
    /// Whether the rate limit of the caller's address does. Asked only when the answer would be 401.
    async fn allow_address(&self) -> bool;
    /// The database of a campaign, as far as KV knows the campaign yet.
    async fn campaign_database(&self, trigger_id: u64) -> Result<Option<u64>, StoreError>;
    /// The manifest of a database's profile index, as text, if there is one.
    async fn manifest(&self, database: u64) -> Result<Option<String>, StoreError>;
    /// The database of a campaign, as its object has it: for a campaign that KV does not know yet.
    async fn defined_database(&self, trigger_id: u64) -> Result<u64, ObjectError>;
    /// Asks the campaign's object before the commit: may it be launched, and was this request launched already?
    async fn preflight(&self, trigger_id: u64, request: &Request) -> Result<Option<Repeated>, ObjectError>;
    /// Sends the commit message to the campaign's object. It may be sent again with the same launch id.
    async fn commit(&self, trigger_id: u64, message: &[u8]) -> Result<Answer, ObjectError>;
    /// Tells the operator of a fault that the caller is told only in general. No value of the request stands in it.
    fn tell(&self, fault: &str);
    /// Tells the campaign's object that the attachments of a launch are complete.
    async fn completed(&self, trigger_id: u64, launch_id: LaunchId) -> Result<(), ObjectError>;
    /// Milliseconds since 1970.
    fn now(&self) -> u64;
    /// Comes back after so many milliseconds.
    async fn sleep(&self, milliseconds: u64);
    /// Fills with random bytes.
    fn random(&self, bytes: &mut [u8]);
}

/// Where attachments are stored: multipart uploads, none of which can be read before it is completed.
#[allow(async_fn_in_trait, reason = "everything runs on one thread")]
pub trait Bucket: Uploads<Error = StoreError> {
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
    /// A digest of nothing yet; `None` where the platform fails.
    fn digest(&self) -> Option<Self::Digest>;
    /// Takes a part in.
    async fn update(&self, digest: Self::Digest, part: &Self::Part) -> Result<Self::Digest, StoreError>;
    /// The SHA-256 of all that was taken in.
    async fn finish(&self, digest: Self::Digest) -> Result<[u8; 32], StoreError>;
    /// Begins an upload; its id.
    async fn begin(&self, key: &str) -> Result<String, StoreError>;
    /// Uploads a part (numbered from 1); its etag.
    async fn upload(&self, key: &str, upload_id: &str, number: u16, part: &Self::Part) -> Result<String, StoreError>;
}

/// What a commit came to.
#[derive(Debug)]
pub enum Answer {
    /// The launch is in the log.
    New(Committed),
    /// An earlier request with the same id had been launched: nothing was written.
    Repeated(Box<Repeated>),
}

/// Why the campaign's object gave no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ObjectError {
    /// It refused.
    Refused(Problem),
    /// The answer was lost: what was asked may have been done. The text is for the operator's log.
    Lost(String),
}

/// A body as it arrives.
#[allow(async_fn_in_trait, reason = "everything runs on one thread")]
pub trait Body {
    /// The next bytes, at most [`crate::limits::READ_BUFFER`]; `None` at the end. The runtime is asked for `at_once` bytes (at
    /// most [`crate::limits::READ_VIEW`]). The memory for both is the body's, until it has ended.
    async fn read(&mut self, at_once: usize) -> Result<Option<&[u8]>, BodyError>;
}

/// Why a body stopped coming.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyError {
    /// No byte came for [`crate::limits::BODY_TIMEOUT_MS`].
    Timeout,
    /// The caller went away.
    Aborted,
}
