//! The profile index: finds the profile that has a key, such as an e-mail address or a phone number.
//!
//! Each database has one index: a *manifest*, and one or more *generations*, each made by one import. A generation consists of
//! *buckets*: sorted lists of key hashes and profile IDs, about 32 KiB each. Manifests and buckets are values in KV. A bucket
//! never changes, so it can be cached for ever. An import writes its buckets first and the manifest last.
//!
//! | module | purpose |
//! |---|---|
//! | [`key`] | classes of keys, the keyed hash, profile IDs |
//! | [`normal`] | the normalisation of keys |
//! | `punycode` | the encoding of domains that are not ASCII |
//! | `unicode` | the Unicode operations of normalisation (native only) |
//! | [`bucket`] | the format of a bucket: writing and searching it |
//! | [`manifest`] | the format of a manifest, and the names of all keys in KV |
//! | [`cache`] | the buckets that an isolate keeps in memory |
//! | [`lookup`] | finds the profiles of all items of a launch |
//! | [`column`] | the columns of files and the members of changes, and the keys in their values |
//! | [`live`] | profiles that change between imports |
//! | [`import`] | builds buckets from a file (native only) |
//!
//! *Invariant*: a bucket that is missing or damaged is an error. It never means that a key has no profile.

pub mod bucket;
pub mod cache;
pub mod column;
#[cfg(not(target_arch = "wasm32"))]
pub mod import;
pub mod key;
pub mod live;
pub mod lookup;
pub mod manifest;
pub mod normal;
mod punycode;
#[cfg(not(target_arch = "wasm32"))]
mod unicode;

/// The binding of the KV namespace that contains manifests and buckets.
pub const BINDING: &str = "PROFILES";
