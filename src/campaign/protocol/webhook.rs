//! Commands about a campaign's webhook. The object passes them to the module that delivers launches.

use serde::{Deserialize, Serialize};

/// What to do with the webhook.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WebhookCommand {
    /// Creates or changes the webhook.
    Define(WebhookDefinition),
    Read,
    Remove,
    /// Makes a new secret. The old one signs for a while, too.
    Rotate,
    /// Sends a test message at once.
    Test,
    /// Delivers the launches after this sequence again.
    Replay(u64),
    /// Continues after the delivery has stopped.
    Resume,
    /// Marks the page that blocks the delivery as delivered.
    Skip,
    /// Returns the last attempts, newest first, at most this number.
    Attempts(u64),
}

/// The fields of a `PUT`. Absent fields keep their values.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct WebhookDefinition {
    pub url: Option<String>,
    /// Names and values of headers for the receiver's own use.
    pub headers: Option<Vec<(String, String)>>,
    pub recipients: Option<RecipientsMode>,
    pub ordering: Option<Ordering>,
    pub active: Option<bool>,
}

/// Whether messages contain recipients.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RecipientsMode {
    Inline,
    None,
}

/// In which order launches are delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Ordering {
    /// A launch begins when all pages of the one before it are delivered.
    Strict,
    /// Several successive launches are delivered at once. They begin in order.
    Relaxed,
}
