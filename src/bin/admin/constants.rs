//! The constants that scripts outside of the crate use. Scripts run this program instead of reading the source.

use serde_json::json;
use trigger_launch::{
    limits::{BUCKET_LIMIT, BUCKET_TARGET, BULK_KEYS, BULK_READS_LIMIT, CHUNK, INLINE_LIMIT, PART, PREFLIGHT_FROM},
    profiles::{bucket::ENTRY_BYTES, key::NORMALISATION_VERSION, manifest::FORMAT_VERSION},
};

/// Returns the constants as one line of JSON.
pub fn constants() -> String {
    json!({
        "bucketLimit": BUCKET_LIMIT,
        "bucketTarget": BUCKET_TARGET,
        "bulkKeys": BULK_KEYS,
        "bulkReadsLimit": BULK_READS_LIMIT,
        "chunk": CHUNK,
        "entry": ENTRY_BYTES,
        "indexFormat": FORMAT_VERSION,
        "inline": INLINE_LIMIT,
        "normalisation": NORMALISATION_VERSION,
        "part": PART,
        "preflightFrom": PREFLIGHT_FROM,
    })
    .to_string()
}
