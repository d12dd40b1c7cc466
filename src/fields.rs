//! The fields of a launch request: which endpoints have them, how they are decoded, and what matching uses them for.

use serde::{Deserialize, Serialize};

/// The endpoint that a launch request was sent to. Stored with each launch, by the names below.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Endpoint {
    /// `start_batch`: the items are in `data`.
    StartBatch,
    /// `start`: one item, whose fields are at the root.
    Start,
}
