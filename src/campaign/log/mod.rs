//! The log of a campaign: its definition and all its launches, in the database of the campaign's object.
//!
//! | module | contents |
//! |---|---|
//! | [`schema`] | tables and migrations |
//! | [`state`] | [`LaunchLog`](state::LaunchLog), its limits and errors |
//! | [`define`], [`commit`] | defining the campaign; committing a launch |
//! | [`stored`] | reading a stored launch |
//! | [`due`], [`alarm`] | the table of due times; running the steps of the alarm, and how to add one |
//! | [`uploads`] | a step: completing the uploads of a launch |
//! | [`retention`] | a step: removing expired launches |
//! | [`follower`] | the port of the module that delivers launches |
//! | [`webhook`] | the row of the webhook |
//! | [`listing`], [`copy_writes`] | a step: writing KV's copy of the campaign |
//! | [`totals`] | totals of any period; a step: counting the items of launches of version 1 |
//!
//! The methods of [`LaunchLog`](state::LaunchLog) are synchronous: what they check stays true until they have written. Time is
//! an argument. The asynchronous functions only connect them to R2 and KV.

pub mod alarm;
pub mod commit;
pub mod copy_writes;
pub mod define;
pub mod due;
pub mod follower;
pub mod listing;
pub mod retention;
pub mod schema;
pub mod state;
pub mod stored;
pub mod totals;
pub mod uploads;
pub mod webhook;
