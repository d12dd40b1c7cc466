//! The head of a launch: everything except recipients, outcomes and texts. It is stored as JSON, so a change needs a
//! migration.

use serde::{Deserialize, Deserializer, Serialize};

use super::id::{LaunchId, RequestKey};
use crate::{fields::Endpoint, limits, outcome::Counts};

/// The head of a launch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LaunchHead {
    /// Contains the [`RequestKey`] of `token_name` and `request_id`.
    pub launch_id: LaunchId,
    pub trigger_id: u64,
    /// Sent by the caller, or generated.
    pub request_id: String,
    /// The scope of request IDs.
    pub token_name: String,
    /// Two requests with the same ID are the same request only if they were sent to the same endpoint.
    pub endpoint: Endpoint,
    /// A digest of the bytes of the body.
    #[serde(with = "hexadecimal")]
    pub body_digest: [u8; 32],
    /// The matching mode as the caller wrote it.
    pub matching: String,
    /// The custom field, in the matching modes that search one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field_name: Option<String>,
    pub skip_triggers: bool,
    pub counts: Counts,
    /// Files, in the order of `attach`.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "read_attachments")]
    pub attachments: Vec<Attachment>,
}

/// Not inlined, because most launches have no attachments.
#[inline(never)]
fn read_attachments<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Attachment>, D::Error> {
    Vec::deserialize(deserializer)
}

/// A file of a launch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attachment {
    /// The name that the caller gave the file.
    pub name: String,
    pub content_type: String,
    /// Bytes of the file.
    pub size: u64,
    #[serde(with = "hexadecimal")]
    pub sha256: [u8; 32],
    /// Completed after the commit.
    pub upload: Upload,
}

/// A multipart upload all of whose parts have been uploaded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Upload {
    /// The key in the bucket: the ID of the attempt that uploaded the file, and the file's number in `attach`.
    pub key: String,
    /// Assigned by the bucket.
    pub upload_id: String,
    pub parts: Vec<UploadPart>,
}

/// A part of a multipart upload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UploadPart {
    /// Counted from 1.
    pub number: u16,
    /// Assigned by the bucket.
    pub etag: String,
}

impl LaunchHead {
    /// The key of the request that made the launch.
    pub fn request_key(&self) -> RequestKey {
        RequestKey::new(&self.token_name, &self.request_id)
    }

    /// Whether the launch was made by a request of this token with this ID.
    pub fn has_request_id(&self, token_name: &str, request_id: &str) -> bool {
        self.token_name == token_name && self.request_id == request_id
    }

    /// Whether the launch ID belongs to the request, and no field exceeds its limit.
    pub fn is_valid(&self) -> bool {
        self.launch_id.key() == self.request_key()
            && self.request_id.len() <= limits::REQUEST_ID_LIMIT
            && self.token_name.len() <= limits::LAUNCH_TOKEN_NAME_LIMIT
            && self.attachments.len() <= limits::ATTACHMENTS_LIMIT
    }
}

/// Serializes digests as lower-case hexadecimal text.
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
