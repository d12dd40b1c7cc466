//! The formats that the Worker and a campaign's object exchange, some of which the object also stores.
//!
//! | module | contents |
//! |---|---|
//! | [`transport`] | paths, statuses and headers of a call to the object |
//! | [`commands`] | commands and their replies, as JSON |
//! | [`message`], [`layout`] | the commit message: a launch as bytes |
//! | [`head`] | the JSON part of a commit message |
//! | [`packed`] | the outcome of every item, run-length encoded |
//! | [`items`] | `custom_data` of single items |
//! | [`id`] | launch IDs |
//!
//! The tests pin the bytes of all of them. A change of a stored format needs a [migration](super::log::schema).

pub mod commands;
pub mod head;
pub mod id;
pub mod items;
pub mod layout;
pub mod message;
pub mod packed;
pub mod transport;
pub mod webhook;
