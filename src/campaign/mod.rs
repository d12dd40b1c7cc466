//! The campaign: its log of launches, and how a launch gets into it.
//!
//! One object per campaign holds the campaign's definition and its log; everything that is decided about a
//! campaign is decided there, one request at a time. The Worker sends it [`commands`]; a launch travels as one
//! binary [`message`] that the object checks whole before it writes any of it.
//!
//! | module | what it is for |
//! |---|---|
//! | [`id`] | launch ids: UUIDv7, and why the log needs one index only |
//! | [`message`], [`head`], [`layout`] | the commit message, which is also how a stored launch comes back to be repeated |
//! | [`packed`] | outcomes, run by run |
//! | [`items`] | the `custom_data` that items brought along |
//! | [`sql`], [`schema`] | what the log asks of a database, and its tables |
//! | [`log`], [`stored`] | defining, committing; finding a launch and its bytes |
//! | [`due`], [`retention`] | what the object's alarm is for; removing what is old, in small steps |
//! | [`listing`] | KV's copy of the campaign, from which campaigns are listed |
//! | [`attachments`], [`upkeep`] | the files of launches: which uploads are to be completed, and doing it |
//! | [`reading`], [`recipients`], [`report`] | what consumers read, piece by piece in bounded memory |
//! | [`commands`] | what travels between Worker and object, both ends |
//! | [`definition`] | the body of `PUT` |
//!
//! *Architecture invariant*: a launch is in the log whole or not at all; its `sequence` is one more than that of
//! the launch before it, whatever has been removed since; time comes in as an argument and never goes back.

pub mod attachments;
pub mod commands;
pub mod definition;
pub mod due;
pub mod head;
pub mod id;
pub mod items;
pub mod layout;
pub mod listing;
pub mod log;
pub mod message;
pub mod packed;
pub mod reading;
pub mod recipients;
pub mod report;
pub mod retention;
pub mod schema;
pub mod sql;
pub mod stored;
pub mod upkeep;

#[cfg(test)]
pub(crate) mod tests;
