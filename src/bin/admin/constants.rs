//! The constants that scripts outside of the crate use. Scripts run this program instead of reading the source.

use std::collections::BTreeMap;

use serde_json::json;
use trigger_launch::{
    api::settings::LIMIT_VARIABLES,
    limits::{BUCKET_LIMIT, BUCKET_TARGET, BULK_KEYS, BULK_READS_LIMIT, CHUNK, INLINE_LIMIT, PART, PREFLIGHT_FROM},
    profiles::{bucket::ENTRY_BYTES, key::NORMALISATION_VERSION, manifest::FORMAT_VERSION},
};

/// Returns the constants as one line of JSON.
pub fn constants() -> String {
    let variables: BTreeMap<_, _> =
        LIMIT_VARIABLES.iter().map(|variable| (variable.name, variable.default_value().to_string())).collect();
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
        "variables": variables,
    })
    .to_string()
}
