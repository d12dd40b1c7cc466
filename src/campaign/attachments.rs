//! The files of a launch: which uploads are still to be completed, and where a file can be read.
//!
//! A commit records in its own transaction that its uploads are to be completed (a row of `due`), and whoever has
//! completed them takes that back: the Worker right after its answer, else the object's alarm. A file that is read
//! before is completed first. To complete an upload twice is no fault, so none of them waits for another.

use serde::{Deserialize, Serialize};

use super::{
    commands::{Refusal, Thing},
    due::Task,
    head::Upload,
    id::LaunchId,
    log::{Fault, Log},
    sql::{Bound, Broken, Sql, integer},
    stored::{self, Stored},
};

/// For so long after the commit the uploads are left to the Worker, in milliseconds.
pub const GRACE: u64 = 60_000;
/// Longest time between two attempts of the alarm to complete the uploads of a launch, in milliseconds. Before, each
/// comes when the launch has become twice as old as at the last.
pub const BACKOFF_LIMIT: u64 = 3_600_000;
/// Launches that one run of the alarm looks at.
pub const STEP: u64 = 8;

/// A file, and where its bytes are: the reply to [`super::commands::Command::Attachment`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct File {
    /// As the caller named it.
    pub name: String,
    /// Its media type.
    pub content_type: String,
    /// Bytes.
    pub size: u64,
    /// Of its bytes, in hexadecimal.
    pub sha256: String,
    /// Under which the bucket has them.
    pub key: String,
}

/// A launch whose uploads are to be completed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pending {
    pub(super) sequence: u64,
    accepted_at: u64,
    /// All of them: some may be complete.
    pub uploads: Vec<Upload>,
}

impl<S: Sql> Log<S> {
    /// In the transaction of a commit: its uploads are to be completed.
    pub(super) fn to_be_completed(&self, sequence: u64, now: u64) -> Result<(), Broken> {
        self.due_at(Task::Attachments, sequence, now.saturating_add(GRACE))
    }

    /// The launches whose uploads are due to be completed, at most [`STEP`] of them.
    pub fn pending(&self, now: u64) -> Result<Vec<Pending>, Broken> {
        let statement = "SELECT sequence, accepted_at, head, payload IS NOT NULL FROM launches WHERE sequence IN \
                         (SELECT sequence FROM due WHERE task = ? AND at <= ? LIMIT ?)";
        let rows = self.sql.exec(statement, &[Task::Attachments.name(), integer(now), integer(STEP)])?;
        rows.into_iter().map(|row| stored::read(row).map(Pending::from)).collect()
    }

    /// All uploads of that launch are complete.
    pub fn completed(&self, launch_id: LaunchId) -> Result<(), Fault> {
        self.state()?;
        let statement = "DELETE FROM due WHERE task = ? AND sequence = \
                         (SELECT sequence FROM launches WHERE key = ? AND launch_id = ?)";
        let (key, id) = (launch_id.key().to_i64(), launch_id.to_string());
        let bound = [Task::Attachments.name(), Bound::Integer(key), Bound::Text(&id)];
        Ok(self.sql.exec(statement, &bound).map(drop)?)
    }

    /// Some upload of that launch could not be completed: when to try again.
    pub fn postpone(&self, pending: &Pending, now: u64) -> Result<(), Broken> {
        let age = now.saturating_sub(pending.accepted_at);
        let at = now.saturating_add(age.clamp(GRACE, BACKOFF_LIMIT));
        let bound = [integer(at), Task::Attachments.name(), integer(pending.sequence)];
        // Not to be written anew if it was completed meanwhile.
        self.sql.exec("UPDATE due SET at = ? WHERE task = ? AND sequence = ?", &bound).map(drop)
    }

    /// A file of a launch. Once a launch is old enough to be removed its files cannot be read any more, since they
    /// go before its rows.
    pub fn file(&self, launch_id: LaunchId, number: usize, now: u64) -> Result<File, Fault> {
        let stored = self.find_held(launch_id, now)?;
        let attachment = stored.head.attachments.get(number).ok_or(Refusal::NotFound(Thing::Attachment))?;
        let mut sha256 = String::with_capacity(64);
        crate::text::push_hex(&attachment.sha256, &mut sha256);
        Ok(File {
            name: attachment.name.clone(),
            content_type: attachment.content_type.clone(),
            size: attachment.size,
            sha256,
            key: attachment.upload.key.clone(),
        })
    }

    /// The upload to be completed before that file can be read, if it is not known to be complete.
    pub fn upload_of(&self, launch_id: LaunchId, number: usize, now: u64) -> Result<Option<Upload>, Fault> {
        let stored = self.find_held(launch_id, now)?;
        let bound = [Task::Attachments.name(), integer(stored.sequence)];
        let due = self.sql.exec("SELECT at FROM due WHERE task = ? AND sequence = ?", &bound)?;
        let attachment = stored.head.attachments.into_iter().nth(number).filter(|_| !due.is_empty());
        Ok(attachment.map(|attachment| attachment.upload))
    }

    fn find_held(&self, launch_id: LaunchId, now: u64) -> Result<Stored, Fault> {
        let stored = self.find(launch_id)?;
        if stored.accepted_at.saturating_add(self.terms.retention) <= now {
            return Err(Refusal::Expired { first: self.state()?.first() }.into());
        }
        Ok(stored)
    }
}

impl From<Stored> for Pending {
    fn from(stored: Stored) -> Self {
        let Stored { sequence, accepted_at, head, .. } = stored;
        let uploads = head.attachments.into_iter().map(|attachment| attachment.upload).collect();
        Self { sequence, accepted_at, uploads }
    }
}
