//! **trigger-launch**: the bulk trigger launch API, served from the edge.
//!
//! The way of a launch:
//!
//! ```text
//! body ─▶ framing ─▶ items ─▶ keys ─▶ buckets (KV) ─▶ profile ids ─▶ commit (Durable Object) ─▶ reply
//! ```
//!
//! | module | what it is for |
//! |---|---|
//! | [`limits`], [`problem`], [`outcome`], [`memory`] | the facts that all share: limits, refusals, outcomes, what requests hold |
//! | [`wire`] | framing a body as it arrives, decoding its pieces, writing replies |
//! | [`profiles`] | keys, their hashes, the bucketed index and looking up in it |
//! | [`campaign`] | the campaign's object: its log, the commit message, its commands |
//! | [`api`] | the HTTP API: routes, the head of a request, replies |
//! | [`escape`] | text from outside, made safe to print (native alone) |
//! | [`access`] | tokens, scopes, databases |
//! | [`launch`] | the use case, from a body to a reply, over ports |
//! | [`telemetry`] | the lines of the operator's log |
//! | `worker` | the shell: the only code that names the `worker` crate (wasm alone) |

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
#[cfg(not(target_arch = "wasm32"))]
pub mod escape;
pub mod fields;
pub mod launch;
pub mod limits;
pub mod memory;
pub mod outcome;
pub mod problem;
pub mod profiles;
pub mod telemetry;
pub mod text;
pub mod wire;

#[cfg(target_arch = "wasm32")]
mod worker;
