//! From a key to a profile: normalised, hashed, looked up in buckets.
//!
//! A database's index is one *manifest* and, for each *generation* (one import), the *buckets* of each class of
//! key, all of them values in KV. A bucket holds a few thousand bytes of sorted entries and never changes, so it
//! can be cached for ever; only the manifest does, and it is written last.
//!
//! | module | what it is for |
//! |---|---|
//! | [`key`] | classes of keys, the keyed hash, profile ids |
//! | [`normal`] | the normalisation of keys |
//! | [`bucket`] | the text of a bucket: searching in it, writing it |
//! | [`manifest`] | which generations there are, how many buckets they have, and the keys of all values in KV |
//! | [`cache`] | buckets that an isolate has read |
//! | [`lookup`] | looking up all items of a launch |
//! | [`import`] | turning a file into buckets (native alone) |
//!
//! *Architecture invariant*: a bucket that cannot be read, or not be understood, is an error, never "not found".

pub mod bucket;
pub mod cache;
#[cfg(not(target_arch = "wasm32"))]
pub mod import;
pub mod key;
pub mod lookup;
pub mod manifest;
pub mod normal;

/// The binding of the KV namespace that holds manifests and buckets.
pub const BINDING: &str = "PROFILES";
