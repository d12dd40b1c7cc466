//! What is fuzzed. Each target is a function that takes any bytes and panics where something does not hold that has to.
//!
//! Both the fuzzer (`fuzz_targets/`, by `npm run fuzz`) and the tests on stable (`tests/fuzz.rs`, by `npm test`) call
//! them. `targets.json` says which dictionaries and which of `tests/vectors` belong to a target.

pub mod attachment_data;
pub mod bucket;
mod chunks;
mod framing;
pub mod head;
pub mod import;
pub mod intake;
pub mod json;
mod meaning;
pub mod message;
mod translation;
pub mod xml;

pub use chunks::Dice;

/// A target's name and function.
pub type Target = (&'static str, fn(&[u8]));

/// All of them.
pub const TARGETS: [Target; 8] = [
    ("attachment_data", attachment_data::run),
    ("bucket", bucket::run),
    ("head", head::run),
    ("import", import::run),
    ("intake", intake::run),
    ("json", json::run),
    ("message", message::run),
    ("xml", xml::run),
];
