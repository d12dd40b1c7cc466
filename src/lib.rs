//! **trigger-launch**: the bulk trigger launch API, served from the edge.
//!
//! ```text
//! request ─▶ api ─▶ launch: receive ─▶ admit ─▶ search ─▶ commit ─▶ reply
//!                           wire       │        profiles  campaign (Durable Object)
//!                                      └─ decides which of the faults found so far is answered
//! ```
//!
//! A module imports only modules below it in this table. No two files import each other.
//!
//! | module | purpose |
//! |---|---|
//! | `worker` | connects the core to the platform; the only code that uses the `worker` crate (wasm only) |
//! | [`api`] | the HTTP API: routes, request heads, authorisation, replies |
//! | [`telemetry`] | the lines of the operator's log, and metrics |
//! | [`launch`] | a launch, from a body that arrives to a reply |
//! | [`campaign`] | the campaign's object: its log, what it stores, its alarm |
//! | [`delivery`] | pushes launches to a campaign's webhook |
//! | [`profiles`] | keys, their hashes, the profile index and its import |
//! | [`wire`] | framing and decoding JSON, XML and base64 |
//! | [`storage`] | the database of an object: the port to SQLite, schemas and migrations |
//! | [`access`] | tokens, scopes, copies of campaigns in KV |
//! | [`fields`] | one table of the fields of a request |
//! | [`problem`], [`memory`] | errors for callers and causes for the operator; accounting of memory |
//! | [`outcome`], [`text`], [`limits`] | outcomes of items, shared text formats, every limit |
//! | `json`, `vec_map` | decodes JSON into structs; a map for few entries |
//! | [`escape`] | text from outside, made safe to print (native only) |
//!
//! The command line is in `src/bin/admin`. `docs/explanation/architecture.md` has the entry points and the invariants.

#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::unreachable,
    clippy::todo,
    clippy::unimplemented,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_possible_wrap
)]
#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        clippy::string_slice,
        clippy::cast_possible_truncation,
    )
)]

pub mod access;
pub mod api;
pub mod campaign;
pub mod delivery;
#[cfg(not(target_arch = "wasm32"))]
pub mod escape;
pub mod fields;
mod json;
pub mod launch;
pub mod limits;
pub mod memory;
pub mod outcome;
pub mod problem;
pub mod profiles;
pub mod storage;
pub mod telemetry;
pub mod text;
mod vec_map;
pub mod wire;

#[cfg(target_arch = "wasm32")]
mod worker;
