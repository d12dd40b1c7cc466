//! What a delivery needs from the runtime, besides the object's [`Host`].

use futures_util::future::LocalBoxFuture;

use super::address::{AllowedHosts, UrlParts};
use crate::{campaign::ports::Host, telemetry::DataPoint};

/// A message to a receiver.
pub struct Message {
    pub url: String,
    /// The operator's own headers follow those of the message.
    pub headers: Vec<(String, String)>,
    pub body: String,
}

/// The beginning of a receiver's answer. Its body is not read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReceiverAnswer {
    pub status: u16,
    /// The header `Retry-After`.
    pub retry_after: Option<String>,
}

pub trait DeliveryHost: Host {
    fn random(&self, bytes: &mut [u8]);
    /// Parses an absolute URL as the platform does when it sends a message.
    fn url_parts(&self, url: &str) -> Option<UrlParts>;
    fn allowed_hosts(&self) -> AllowedHosts;
    /// Sends a `POST` request and returns the answer's status line, or why it is missing. Does not follow redirects. The body is
    /// copied out of linear memory before the call returns. Dropping the future ends the connection.
    fn post(&self, message: Message) -> LocalBoxFuture<'static, Result<ReceiverAnswer, String>>;
    /// Writes a data point, if the deployment has a dataset for metrics.
    fn measure(&self, point: &DataPoint);
}
