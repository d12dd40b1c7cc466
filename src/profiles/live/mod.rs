//! Profiles that change between imports.
//!
//! Each database whose changes are live has one object, which is the authority: it names the current generation of the index,
//! and stores the *pending changes*, one row for each changed profile. A launch searches a generation, and then applies the
//! changes that the generation does not contain.
//!
//! ```text
//! change ─▶ api ─▶ change set ─▶ object ─▶ row of the profile: version, all its keys
//! launch ─▶ buckets of a generation (KV) ─▶ question ─▶ object: pending changes of one version ─▶ profiles
//! ```
//!
//! | module | contents |
//! |---|---|
//! | [`row`] | the stored format of a changed profile |
//! | [`message`] | what travels between the Worker and the object |
//! | [`command`] | commands, refusals and replies in JSON |
//! | [`rows`] | reading the rows of a request with changes |
//! | [`index`] | the pending changes in the object's memory |
//! | [`schema`], [`state`], [`database`] | the object's tables and state; its operations |
//! | [`object`] | the object: requests and responses |
//! | [`fold`] | folding changes into the buckets of a generation (native only) |
//! | [`pending`] | the pending changes that a launch applies |
//!
//! Rules:
//! - An entry of the index does not count if its profile has a change that the generation does not contain.
//! - A pending key counts only in the latest change of its profile. The object stores no other.
//! - The object keeps the changes that any known generation lacks. It names another generation to a launch that has searched one
//!   that it does not know.

pub mod command;
pub mod database;
#[cfg(not(target_arch = "wasm32"))]
pub mod fold;
pub mod index;
pub mod message;
pub mod object;
pub mod pending;
pub mod row;
pub mod rows;
pub mod schema;
pub mod state;

#[cfg(test)]
pub(crate) mod tests;
