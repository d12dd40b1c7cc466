//! Tests of the campaign's object. The log runs on a real SQLite database.

mod access;
mod alarm;
pub mod bucket;
mod commits;
pub mod database;
pub mod faults;
pub mod host;
mod listing;
mod messages;
mod migrations;
mod model;
mod object;
mod reads;
mod retention;
mod stats;
mod uploads;

use super::protocol::{
    head::{Attachment, LaunchHead},
    id::{LaunchId, RequestKey},
    items::ItemDataBuilder,
    message::Commit,
    packed::OutcomePacker,
};
use crate::{fields::Endpoint, outcome::Outcome};

pub use crate::text::hex;

/// 2026-11-23, 18:00:00 UTC, in milliseconds since 1970.
pub const NOON: u64 = 1_795_456_800_000;

/// A launch of campaign 85. Tests set the fields that matter to them.
#[derive(Debug, Clone)]
pub struct Sample {
    /// The time in the launch ID.
    pub now: u64,
    /// The random part of the launch ID. Attempts of one request differ in it.
    pub random: u64,
    pub request_id: String,
    /// Every byte of the body's digest.
    pub digest: u8,
    pub recipients: Vec<u8>,
    pub outcomes: Vec<Outcome>,
    pub content: Option<String>,
    pub custom_data: Option<String>,
    /// The `custom_data` of recipients.
    pub items: Vec<(u32, String)>,
    pub attachments: Vec<Attachment>,
}

impl Sample {
    /// A launch with one recipient.
    pub fn new(request_id: &str) -> Self {
        Self {
            now: NOON,
            random: 1,
            request_id: request_id.to_owned(),
            digest: 1,
            recipients: (1..=12).collect(),
            outcomes: vec![Outcome::Matched],
            content: None,
            custom_data: None,
            items: Vec::new(),
            attachments: Vec::new(),
        }
    }

    /// A launch with this number of recipients, all of whose items match.
    pub fn with_recipients(request_id: &str, recipients: u32) -> Self {
        let ids = (0..recipients).flat_map(|index| {
            let mut id = [0; 12];
            id[..4].copy_from_slice(&index.wrapping_mul(2_654_435_761).to_be_bytes());
            id[8..].copy_from_slice(&index.to_be_bytes());
            id
        });
        let mut sample = Self::new(request_id);
        sample.recipients = ids.collect();
        sample.outcomes = vec![Outcome::Matched; recipients as usize];
        sample
    }

    pub fn launch_id(&self) -> LaunchId {
        LaunchId::new(self.now, RequestKey::new("crm", &self.request_id), self.random)
    }

    pub fn message(&self) -> Vec<u8> {
        self.with_commit(|commit| commit.encode().unwrap())
    }

    /// Encodes the message after a change of the commit.
    pub fn changed_message(&self, change: impl FnOnce(&mut Commit<'_>)) -> Vec<u8> {
        self.with_commit(|commit| {
            let mut commit = commit.clone();
            change(&mut commit);
            commit.encode().unwrap()
        })
    }

    pub fn with_commit<T>(&self, then: impl FnOnce(&Commit<'_>) -> T) -> T {
        let mut packer = OutcomePacker::default();
        self.outcomes.iter().for_each(|outcome| packer.push(*outcome));
        let mut items = ItemDataBuilder::default();
        self.items.iter().for_each(|(recipient, text)| items.push(*recipient, text).unwrap());
        let head = LaunchHead {
            launch_id: self.launch_id(),
            trigger_id: 85,
            request_id: self.request_id.clone(),
            token_name: "crm".to_owned(),
            endpoint: Endpoint::StartBatch,
            body_digest: [self.digest; 32],
            matching: "email".to_owned(),
            field_name: None,
            skip_triggers: false,
            counts: packer.counts(),
            attachments: self.attachments.clone(),
        };
        then(&Commit {
            head,
            content: self.content.as_deref(),
            custom_data: self.custom_data.as_deref(),
            recipients: &self.recipients,
            outcomes: &packer.finish(),
            item_data: items.view(),
        })
    }
}
