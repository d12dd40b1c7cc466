//! The services that the API uses in addition to the ports of a launch. The Worker implements these traits with its bindings,
//! tests with fakes.

use super::{head::HttpHead, settings::Settings};
use crate::{
    access::CampaignRecord,
    campaign::protocol::commands::Command,
    launch::ports::{Clock, ObjectError, Ports},
    problem::Cause,
    telemetry::DataPoint,
};
use futures_util::future::LocalBoxFuture;
use std::{ops::Range, rc::Rc};

/// The runtime around one request: everything that is available even if the deployment is misconfigured.
pub trait Runtime: Clock {
    type Ports: ApiPorts + 'static;

    /// The configuration, or why it is invalid.
    fn settings(&self) -> Result<Settings, Cause>;
    /// Opens the bindings. Fails if one is missing.
    fn ports(&self, head: &HttpHead<'_>) -> Result<Rc<Self::Ports>, Cause>;
    fn random(&self, bytes: &mut [u8]);
    /// Runs work after the reply.
    fn after_reply(&self, work: LocalBoxFuture<'static, ()>);
    /// Writes the line of a request to the operator's log.
    fn log(&self, line: &str);
    /// Writes the data point of a request, if the deployment has a dataset for metrics.
    fn measure(&self, request_id: &str, point: &DataPoint);
    /// Size of the isolate's linear memory in bytes. It never shrinks.
    fn linear_memory(&self) -> u64;
}

/// The bindings of one request.
#[allow(async_fn_in_trait, reason = "everything runs on one thread")]
pub trait ApiPorts: Ports {
    /// A body that the runtime passes on to the caller, without copying it into wasm memory.
    type Stream;

    /// Sends a command to a campaign's object and reads the whole reply, which is JSON. The token may use `databases` (empty:
    /// all).
    async fn command(&self, trigger_id: u64, command: Command, databases: &[u64]) -> Result<Vec<u8>, ObjectError>;
    /// Sends a command to a campaign's object and returns the reply as a stream.
    async fn stream(
        &self,
        trigger_id: u64,
        command: Command,
        databases: &[u64],
    ) -> Result<ObjectStream<Self::Stream>, ObjectError>;
    /// Reads a page of KV's copies of campaigns, in the order of their IDs.
    async fn campaigns(&self, cursor: Option<String>) -> Result<CampaignPage, Cause>;
    /// Reads a file, or a range of its bytes, from the bucket of attachments. `None`: the bucket does not have the file. Fails
    /// if the stored file does not have `size` bytes.
    async fn file(&self, key: &str, size: u64, range: Option<Range<u64>>) -> Result<Option<Self::Stream>, Cause>;
}

/// A streamed reply of a campaign's object.
#[derive(Debug)]
pub struct ObjectStream<S> {
    pub content_type: String,
    pub body: S,
}

/// A page of KV's copies of campaigns.
#[derive(Debug)]
pub struct CampaignPage {
    pub records: Vec<CampaignRecord>,
    /// Where the next page begins. `None`: this is the last page.
    pub cursor: Option<String>,
}
