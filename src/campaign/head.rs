//! What a launch is, but for its recipients and texts. Stored as JSON: a change of it is a migration.

use serde::{Deserialize, Serialize};

use super::{
    id::{LaunchId, RequestKey},
    layout::TOKEN_NAME_LIMIT,
};
use crate::{fields::Endpoint, limits, outcome::Counts};

/// What a launch is, but for its recipients and texts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// Of this attempt; made with [`LaunchId::new`] from the token's name and the request id below.
    pub launch_id: LaunchId,
    /// The campaign.
    pub trigger_id: u64,
    /// The caller's, or the random one that the request got.
    pub request_id: String,
    /// The scope of request ids.
    pub token_name: String,
    /// Which of the two paths the request came by; it is a part of what *the same request* means.
    pub endpoint: Endpoint,
    /// A digest of the raw bytes of the body.
    #[serde(with = "hexadecimal")]
    pub body_digest: [u8; 32],
    /// The matching mode, as it is written.
    pub matching: String,
    /// The custom field that was searched, in the modes that have one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field_name: Option<String>,
    /// `skip_triggers` of the request.
    pub skip_triggers: bool,
    /// What became of the items.
    pub counts: Counts,
    /// Files, in the order of `attach`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attachments: Vec<Attachment>,
}

/// A file of a launch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attachment {
    /// As the caller named it.
    pub name: String,
    /// Its media type.
    pub content_type: String,
    /// Bytes.
    pub size: u64,
    /// Of its bytes, in hexadecimal.
    #[serde(with = "hexadecimal")]
    pub sha256: [u8; 32],
    /// The upload that the commit makes real.
    pub upload: Upload,
}

/// A multipart upload, complete but for its last step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Upload {
    /// Where the bytes will be: the id of the attempt that stored them, and the number in `attach`.
    pub key: String,
    /// As the bucket named it.
    pub upload_id: String,
    /// The parts that were uploaded.
    pub parts: Vec<Part>,
}

/// One part of an upload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// From 1.
    pub number: u16,
    /// As the bucket gave it.
    pub etag: String,
}

impl Head {
    /// The request that this launch answers.
    pub fn request_key(&self) -> RequestKey {
        RequestKey::new(&self.token_name, &self.request_id)
    }

    /// Whether both answer the same request id (of the same token).
    pub fn same_request(&self, token_name: &str, request_id: &str) -> bool {
        self.token_name == token_name && self.request_id == request_id
    }

    /// Whether the id was made for this request, and all is within its limits.
    pub fn is_sound(&self) -> bool {
        self.launch_id.key() == self.request_key()
            && self.request_id.len() <= limits::REQUEST_ID_LIMIT
            && self.token_name.len() <= TOKEN_NAME_LIMIT
            && self.attachments.len() <= limits::ATTACHMENTS_LIMIT
    }
}

/// Digests as hexadecimal text, lower-case.
mod hexadecimal {
    use std::borrow::Cow;

    use serde::{Deserialize, Deserializer, Serializer, de::Error as _};

    use crate::text::{hex, parse_hex};

    pub fn serialize<S: Serializer>(bytes: &[u8; 32], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&hex(bytes))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<[u8; 32], D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        // One digest has one text: upper-case digits are rejected.
        let bytes = parse_hex(text.as_bytes()).filter(|bytes| hex(bytes) == text);
        bytes.ok_or_else(|| D::Error::custom("not 64 lower-case hexadecimal digits"))
    }
}
