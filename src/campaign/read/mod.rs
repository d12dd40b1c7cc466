//! Replies that are read from the log in pieces, so that memory does not grow with the size of a launch.
//!
//! | module | contents |
//! |---|---|
//! | [`reply`] | [`ObjectReply`](reply::ObjectReply): any reply, read piece by piece |
//! | [`launches`] | one launch; a page of launches |
//! | [`recipients`] | a page of recipients; all recipients as NDJSON |
//! | [`report`] | items that are unmatched, invalid or duplicates |
//! | [`stats`] | the totals of each hour or day |
//! | [`repeat`] | the commit message of a stored launch, for a caller who repeats a request |
//! | [`json`] | parts of JSON that several of them write |

pub mod json;
pub mod launches;
pub mod recipients;
pub mod repeat;
pub mod reply;
pub mod report;
pub mod stats;
