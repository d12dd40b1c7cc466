//! Committing a launch, once for each request ID.

use super::{
    state::{LaunchLog, LogError, LogState},
    stored::StoredLaunch,
};
use crate::{
    campaign::protocol::{
        commands::{Committed, Refusal, RequestIdentity},
        head::LaunchHead,
        id::RequestKey,
        layout::{MessageLayout, PREFIX},
        message::{Commit, MessageError},
    },
    limits::{CHUNK, INLINE_LIMIT, REPEAT_WINDOW_MS},
    storage::sql::{Sql, SqlParameter, StorageError},
};

/// The result of a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CommitOutcome {
    /// The launch is in the log.
    Committed(Committed),
    /// An earlier request with the same ID was launched. Nothing was written.
    Repeated(Box<StoredLaunch>),
}

impl<S: Sql> LaunchLog<S> {
    /// Returns the launch that an earlier request with this ID made. Without such a launch, a paused campaign refuses.
    pub fn preflight(&self, request: &RequestIdentity, now: u64) -> Result<Option<StoredLaunch>, LogError> {
        let RequestIdentity { token_name, request_id } = request;
        let state = self.state()?;
        let key = RequestKey::new(token_name, request_id).to_i64();
        let known = self.known_launches(key, None, now.max(state.accepted_at))?;
        let earlier = known.into_iter().find(|launch| launch.head.has_request_id(token_name, request_id));
        if earlier.is_none() && !state.campaign.active {
            return Err(Refusal::NotActive.into());
        }
        Ok(earlier)
    }

    /// Writes a launch in one transaction. `now` is the object's time; accepted times never decrease.
    pub fn commit(&self, message: &[u8], now: u64) -> Result<CommitOutcome, LogError> {
        let head = Commit::decode(message)?.head;
        let state = self.state()?;
        if state.campaign.id != head.trigger_id {
            return Err(LogError::WrongCampaign { own: state.campaign.id, other: head.trigger_id });
        }
        let now = now.max(state.accepted_at);
        if let Some(outcome) = self.find_earlier(&head, now)? {
            return Ok(outcome);
        }
        if !state.campaign.active {
            return Err(Refusal::NotActive.into());
        }
        let length = u64::try_from(message.len()).unwrap_or(u64::MAX);
        let (size, limit) = (self.sql.size(), self.limits.size);
        if size.saturating_add(length) > limit {
            return Err(Refusal::LogFull { size, limit }.into());
        }
        self.write(&state, &head, message, now).map(CommitOutcome::Committed)
    }

    /// Returns the outcome of this commit if it was made before, or of an earlier request with the same ID.
    fn find_earlier(&self, head: &LaunchHead, now: u64) -> Result<Option<CommitOutcome>, LogError> {
        let key = head.launch_id.key().to_i64();
        let mut known = self.known_launches(key, Some(&head.launch_id.to_string()), now)?;
        if let Some(own) = known.iter().find(|launch| launch.head.launch_id == head.launch_id) {
            let StoredLaunch { sequence, accepted_at, .. } = *own;
            return Ok(Some(CommitOutcome::Committed(Committed { sequence, accepted_at })));
        }
        known.retain(|launch| launch.head.has_request_id(&head.token_name, &head.request_id));
        let Some(launch) = known.pop() else { return Ok(None) };
        if (launch.head.endpoint, launch.head.body_digest) != (head.endpoint, head.body_digest) {
            return Err(Refusal::RequestIdReused.into());
        }
        Ok(Some(CommitOutcome::Repeated(Box::new(launch))))
    }

    /// Returns the launches with this key whose request IDs are still in use, and the launch with this ID. The latter is known
    /// for [`REPEAT_WINDOW_MS`] even if request IDs are kept for a shorter time, so that a commit whose answer was lost can be
    /// repeated. Besides launches of the same request, the result contains those whose keys collide.
    fn known_launches(&self, key: i64, launch_id: Option<&str>, now: u64) -> Result<Vec<StoredLaunch>, StorageError> {
        let statement = "SELECT sequence, accepted_at, head, payload IS NOT NULL FROM launches \
                         WHERE key = ? AND accepted_at > ? AND (accepted_at > ? OR launch_id = ?) ORDER BY sequence";
        let in_use_since = now.saturating_sub(self.limits.deduplication);
        let parameters = [
            SqlParameter::Integer(key),
            in_use_since.min(now.saturating_sub(REPEAT_WINDOW_MS)).into(),
            in_use_since.into(),
            launch_id.map_or(SqlParameter::Null, SqlParameter::Text),
        ];
        self.sql.exec(statement, &parameters)?.into_iter().map(StoredLaunch::from_row).collect()
    }

    fn write(&self, state: &LogState, head: &LaunchHead, message: &[u8], now: u64) -> Result<Committed, LogError> {
        let layout = MessageLayout::read(message).ok_or(MessageError::Layout)?;
        let position = |offset: u64| usize::try_from(offset).unwrap_or(usize::MAX);
        let (record, rest) =
            message.split_at_checked(position(PREFIX as u64 + layout.head())).ok_or(MessageError::Length)?;
        let payload = rest.get(..position(layout.payload())).ok_or(MessageError::Length)?;
        let is_inline = layout.payload() <= INLINE_LIMIT;
        let is_first = state.first().is_none();
        let sequence = state.last().saturating_add(1);
        let recipients = state.campaign.recipients.saturating_add(head.counts.matched);
        let launch_id = head.launch_id.to_string();
        let parameters = [
            sequence.into(),
            SqlParameter::Integer(head.launch_id.key().to_i64()),
            now.into(),
            SqlParameter::Text(&launch_id),
            recipients.into(),
            SqlParameter::Blob(record),
            if is_inline { SqlParameter::Blob(payload) } else { SqlParameter::Null },
            state.items.unmatched.saturating_add(head.counts.unmatched).into(),
            state.items.invalid.saturating_add(head.counts.invalid).into(),
        ];
        let insert = || self.sql.exec("INSERT INTO launches VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", &parameters).map(drop);
        if is_inline && !is_first && head.attachments.is_empty() {
            // A single statement is a transaction.
            insert()?;
        } else {
            self.sql.transaction(&mut || {
                insert()?;
                if !is_inline {
                    self.write_chunks(sequence, payload)?;
                }
                if !head.attachments.is_empty() {
                    self.schedule_uploads(sequence, now)?;
                }
                // Later launches are found by the run of retention that removes the first one.
                if is_first { self.schedule_first_retention(now) } else { Ok(()) }
            })?;
        }
        Ok(Committed { sequence, accepted_at: now })
    }

    fn write_chunks(&self, sequence: u64, payload: &[u8]) -> Result<(), StorageError> {
        let mut start = 0_u64;
        for chunk in payload.chunks(CHUNK) {
            let parameters = [sequence.into(), start.into(), SqlParameter::Blob(chunk)];
            self.sql.exec("INSERT INTO chunks VALUES (?, ?, ?)", &parameters)?;
            start = start.saturating_add(chunk.len() as u64);
        }
        Ok(())
    }
}
