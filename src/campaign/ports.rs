//! What a campaign's object needs from its surroundings, besides its database ([`Sql`](crate::storage::sql::Sql)).

use futures_util::future::LocalBoxFuture;

use super::protocol::head::Upload;
use crate::{access::CampaignRecord, problem::Cause};

/// The runtime of one object.
#[allow(async_fn_in_trait, reason = "everything runs on one thread")]
pub trait Host: 'static {
    type Attachments: AttachmentStore;
    type Copies: CampaignCopies + 'static;
    /// The bucket of attachments. Fails if the binding is missing.
    fn attachments(&self) -> Result<Self::Attachments, Cause>;
    /// KV's copies of campaigns. Fails if the binding is missing.
    fn copies(&self) -> Result<Self::Copies, Cause>;
    /// Milliseconds since 1970.
    fn now(&self) -> u64;
    /// Returns after `milliseconds`.
    async fn sleep(&self, milliseconds: u64);
    /// Sets the object's only alarm, or deletes it. The call is made at the first poll, so that the platform stores it
    /// together with what was written before.
    async fn set_alarm(&self, at: Option<u64>) -> Result<(), Cause>;
    /// Runs a future to its end, even if the event that started it ends earlier.
    fn spawn(&self, future: LocalBoxFuture<'static, ()>);
    /// Logs a failure from which the object recovers.
    fn report(&self, failure: &str, cause: &Cause);
}

/// The bucket of attachments: multipart uploads and objects.
#[allow(async_fn_in_trait, reason = "everything runs on one thread")]
pub trait AttachmentStore {
    /// Completes an upload. Succeeds if the upload was completed before.
    async fn complete(&self, upload: &Upload) -> Result<(), Cause>;
    async fn abort(&self, key: &str, upload_id: &str) -> Result<(), Cause>;
    /// Deletes at most [`RETENTION_STEP_FILES`](crate::limits::RETENTION_STEP_FILES) objects. Keys without an object are
    /// ignored.
    async fn delete(&self, keys: &[String]) -> Result<(), Cause>;
}

/// The KV namespace with the copies of campaigns, from which campaigns are listed.
#[allow(async_fn_in_trait, reason = "everything runs on one thread")]
pub trait CampaignCopies {
    /// Reads the copy of a campaign. KV may return a value that is a minute old.
    async fn read(&self, id: u64) -> Result<Option<CampaignRecord>, Cause>;
    async fn write(&self, record: &CampaignRecord) -> Result<(), Cause>;
}
