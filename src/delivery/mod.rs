//! Delivery: pushes every launch of a campaign to the campaign's webhook, signed, in order, at least once.
//!
//! ```text
//! commit ─▶ state: which page is next, when is it due ─▶ page: the message ─▶ signature ─▶ receiver
//!             ▲                                                                             │
//!             └──────────────── schedule: delivered, try again later, or stop ◀─────────────┘
//! ```
//!
//! Nothing is copied: a message is read from the log when it is sent, so every attempt has the same content. All modules except
//! [`sender`] are pure: time, randomness and the receiver's answers are arguments.
//!
//! | module | purpose |
//! |---|---|
//! | [`address`] | which addresses a webhook may have |
//! | [`config`] | what an operator defines |
//! | [`message`] | the messages that are sent |
//! | [`page`] | where the pages of a launch begin |
//! | [`ports`] | what a delivery needs from the runtime |
//! | [`schedule`] | what an answer means, and when a failed page is sent again |
//! | [`sender`] | connects all of them to the log and the receiver |
//! | [`signature`] | secrets and signatures (Standard Webhooks) |
//! | [`state`] | which pages are delivered, in progress or due |

pub mod address;
pub mod config;
pub mod message;
pub mod page;
pub mod ports;
pub mod schedule;
pub mod sender;
pub mod signature;
pub mod state;

#[cfg(test)]
mod tests;
