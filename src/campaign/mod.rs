//! The campaign's object: its log of launches, and the protocol between the Worker and the object.
//!
//! Every campaign has one object with a database of its own. The object decides everything about the campaign, one request at
//! a time. The Worker sends it [commands](protocol::commands). A launch is sent as one binary [message](protocol::message),
//! which the object checks completely before it writes any of it.
//!
//! | module | contents | imports |
//! |---|---|---|
//! | [`protocol`] | what travels between the Worker and the object, and what is stored | |
//! | [`ports`] | what the object needs from the runtime, R2 and KV | [`protocol`] |
//! | [`log`] | the log in its database, and the steps of the alarm | [`protocol`], [`ports`] |
//! | [`read`] | replies that are read from the log in pieces | [`protocol`], [`log`] |
//! | [`object`] | the object: requests, responses, alarms | all of them |
//! | [`definition`] | the body of `PUT` | [`protocol`] |
//!
//! Invariants:
//! - The log contains either a whole launch or nothing of it.
//! - The `sequence` of a launch is one more than that of the launch before it, even if that one has been removed.
//! - Times are arguments, and accepted times never decrease.

pub mod definition;
pub mod log;
pub mod object;
pub mod ports;
pub mod protocol;
pub mod read;

#[cfg(test)]
pub(crate) mod tests;
