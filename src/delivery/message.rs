//! The messages to a receiver. They are read from the log each time, so nothing is copied and every attempt has the same bytes.

use super::{page::next_start, signature::Secret, signature::signature_header};
use crate::{
    campaign::{
        log::{state::LaunchLog, stored::StoredLaunch},
        protocol::{layout::MessageSection, webhook::RecipientsMode},
        read::{
            launches::{launch_json, launch_summary},
            recipients::{RecipientPosition, RecipientsReply, item_entries},
        },
    },
    storage::sql::{Sql, StorageError},
    text::rfc3339,
};

/// The pages of a launch: where each begins, and the end of the last one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pages(Vec<RecipientPosition>);

impl Pages {
    /// Finds the pages of a launch. They follow from the stored launch alone.
    pub fn find<S: Sql>(log: &LaunchLog<S>, launch: &StoredLaunch, mode: RecipientsMode) -> Result<Self, StorageError> {
        let recipients = match mode {
            RecipientsMode::Inline => launch.head.counts.matched,
            RecipientsMode::None => 0,
        };
        let mut entry = item_entries(log, launch);
        let mut starts = vec![RecipientPosition::default()];
        let mut last = RecipientPosition::default();
        loop {
            last = next_start(last, recipients, &mut entry)?;
            starts.push(last);
            if last.recipient >= recipients {
                return Ok(Self(starts));
            }
        }
    }

    /// The number of pages. A launch without recipients has one.
    pub fn count(&self) -> u64 {
        (self.0.len() as u64).saturating_sub(1)
    }

    /// The beginning and the end of a page, counted from 1.
    fn bounds(&self, page: u64) -> Option<(RecipientPosition, RecipientPosition)> {
        let index = usize::try_from(page.checked_sub(1)?).ok()?;
        Some((*self.0.get(index)?, *self.0.get(index.checked_add(1)?)?))
    }
}

/// A page of a launch that is sent.
#[derive(Debug, Clone, Copy)]
pub struct PageOf<'a> {
    pub launch: &'a StoredLaunch,
    pub pages: &'a Pages,
    pub page: u64,
    pub mode: RecipientsMode,
}

impl PageOf<'_> {
    /// The ID of the message. It is the same in every attempt.
    pub fn id(&self) -> String {
        format!("{}_{}", self.launch.head.launch_id, self.page)
    }

    /// Returns at least as many bytes as [`PageOf::body`] needs while it is built.
    pub fn memory(&self) -> u64 {
        let texts = match self.page {
            1 => {
                let section = |section| self.launch.layout.section(section);
                let attachments = self.launch.head.attachments.len() as u64 * 2048;
                section(MessageSection::Content) + section(MessageSection::CustomData) + attachments
            }
            _ => 0,
        };
        let recipients = self.pages.bounds(self.page).map_or(0, |(start, end)| {
            let count = end.recipient.saturating_sub(start.recipient);
            count.saturating_mul(96).saturating_add(end.text.saturating_sub(start.text))
        });
        // A text that grows is copied, and the launch is copied into the message.
        texts.saturating_add(recipients).saturating_mul(3).saturating_add(8 * 1024)
    }

    /// The body of the message.
    pub fn body<S: Sql>(&self, log: &LaunchLog<S>) -> Result<String, StorageError> {
        let Self { launch, pages, page, mode } = *self;
        let (start, end) = pages.bounds(page).ok_or_else(|| StorageError::damaged("no such page"))?;
        let launch_json = if page == 1 { launch_json(log, launch)? } else { launch_summary(launch)? };
        let mut body = format!(
            "{{\"type\":\"launch.created\",\"timestamp\":\"{}\",\"data\":{{\"launch\":{launch_json},\"page\":{page},\"pages\":{}",
            rfc3339(launch.accepted_at),
            pages.count()
        );
        drop(launch_json);
        if mode == RecipientsMode::Inline {
            body.push_str(",\"recipients\":[");
            RecipientsReply::write_list(log, launch.clone(), start, end.recipient, &mut body)?;
            body.push(']');
        }
        body.push_str("}}");
        Ok(body)
    }
}

/// Returns the body of a test message.
pub fn test_body(trigger_id: u64, now: u64) -> String {
    format!("{{\"type\":\"webhook.test\",\"timestamp\":\"{}\",\"data\":{{\"trigger_id\":{trigger_id}}}}}", rfc3339(now))
}

/// Returns the headers of a message: those of the message itself, then the operator's.
pub fn headers(id: &str, body: &str, secrets: &[Secret], now: u64, own: &[(String, String)]) -> Vec<(String, String)> {
    let timestamp = now / 1000;
    let signature = signature_header(secrets, id, timestamp, body.as_bytes());
    let message = [
        ("content-type", "application/json".to_owned()),
        ("user-agent", "trigger-launch".to_owned()),
        ("webhook-id", id.to_owned()),
        ("webhook-timestamp", timestamp.to_string()),
        ("webhook-signature", signature),
    ];
    message.into_iter().map(|(name, value)| (name.to_owned(), value)).chain(own.iter().cloned()).collect()
}
