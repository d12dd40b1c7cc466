//! Committing a launch, once for each request ID.

use super::{
    state::{ItemTotals, LaunchLog, LogError, LogState},
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
        let state = self.last_state()?;
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
        let state = self.last_state()?;
        if state.campaign.id != head.trigger_id {
            return Err(LogError::WrongCampaign { own: state.campaign.id, other: head.trigger_id });
        }
        let now = now.max(state.accepted_at);
        let length = u64::try_from(message.len()).unwrap_or(u64::MAX);
        let (size, limit) = (self.sql.size(), self.limits.size);
        let refusal = match (state.campaign.active, size.saturating_add(length) > limit) {
            (false, _) => Some(Refusal::NotActive),
            (true, true) => Some(Refusal::LogFull { size, limit }),
            (true, false) => None,
        };
        let write = LaunchWrite::new(&state, &head, message, now)?;
        // Almost every launch is new and small: one statement checks that and writes it.
        if refusal.is_none() && write.is_one_row() && self.insert_if_new(&write)? {
            return Ok(CommitOutcome::Committed(self.committed(state, &write)));
        }
        if let Some(outcome) = self.find_earlier(&head, now)? {
            return Ok(outcome);
        }
        if let Some(refusal) = refusal {
            return Err(refusal.into());
        }
        self.write(&write)?;
        Ok(CommitOutcome::Committed(self.committed(state, &write)))
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
        let [repeatable_since, in_use_since] = self.known_since(now);
        let launch_id = launch_id.map_or(SqlParameter::Null, SqlParameter::Text);
        let parameters = [SqlParameter::Integer(key), repeatable_since, in_use_since, launch_id];
        self.sql.exec(statement, &parameters)?.into_iter().map(StoredLaunch::from_row).collect()
    }

    /// Launches before the first time cannot be repeated at all, and those before the second only by their launch IDs.
    fn known_since(&self, now: u64) -> [SqlParameter<'static>; 2] {
        let in_use_since = now.saturating_sub(self.limits.deduplication);
        [in_use_since.min(now.saturating_sub(REPEAT_WINDOW_MS)).into(), in_use_since.into()]
    }

    /// Writes the launch, unless [`Self::known_launches`] has an earlier one. Returns whether it was written.
    fn insert_if_new(&self, write: &LaunchWrite<'_>) -> Result<bool, StorageError> {
        let statement = "INSERT INTO launches SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9 WHERE NOT EXISTS \
                         (SELECT 1 FROM launches WHERE key = ?2 AND accepted_at > ?10 \
                         AND (accepted_at > ?11 OR launch_id = ?4)) RETURNING 1";
        let [repeatable_since, in_use_since] = self.known_since(write.accepted_at);
        let mut parameters = write.row().to_vec();
        parameters.extend([repeatable_since, in_use_since]);
        Ok(!self.sql.exec(statement, &parameters)?.is_empty())
    }

    /// Remembers the state after a commit.
    fn committed(&self, mut state: LogState, write: &LaunchWrite<'_>) -> Committed {
        let LaunchWrite { sequence, accepted_at, recipients, items, .. } = *write;
        (state.campaign.launches, state.campaign.recipients) = (sequence, recipients);
        (state.accepted_at, state.items) = (accepted_at, items);
        self.remember(state);
        Committed { sequence, accepted_at }
    }

    fn write(&self, write: &LaunchWrite<'_>) -> Result<(), StorageError> {
        let insert =
            || self.sql.exec("INSERT INTO launches VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", &write.row()).map(drop);
        if write.is_one_row() {
            // A single statement is a transaction.
            return insert();
        }
        self.sql.transaction(&mut || {
            insert()?;
            if !write.is_inline() {
                self.write_chunks(write.sequence, write.payload)?;
            }
            if write.has_attachments {
                self.schedule_uploads(write.sequence, write.accepted_at)?;
            }
            // Later launches are found by the run of retention that removes the first one.
            if write.is_first { self.schedule_first_retention(write.accepted_at) } else { Ok(()) }
        })
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

/// What a commit writes.
struct LaunchWrite<'a> {
    sequence: u64,
    key: i64,
    accepted_at: u64,
    launch_id: String,
    /// Recipients of the campaign, this launch included.
    recipients: u64,
    /// Items of the campaign, those of this launch included.
    items: ItemTotals,
    record: &'a [u8],
    payload: &'a [u8],
    has_attachments: bool,
    /// Whether the log is empty.
    is_first: bool,
}

impl<'a> LaunchWrite<'a> {
    fn new(state: &LogState, head: &LaunchHead, message: &'a [u8], now: u64) -> Result<Self, LogError> {
        let layout = MessageLayout::read(message).ok_or(MessageError::Layout)?;
        let position = |offset: u64| usize::try_from(offset).unwrap_or(usize::MAX);
        let (record, rest) =
            message.split_at_checked(position(PREFIX as u64 + layout.head())).ok_or(MessageError::Length)?;
        let payload = rest.get(..position(layout.payload())).ok_or(MessageError::Length)?;
        Ok(Self {
            sequence: state.last().saturating_add(1),
            key: head.launch_id.key().to_i64(),
            accepted_at: now,
            launch_id: head.launch_id.to_string(),
            recipients: state.campaign.recipients.saturating_add(head.counts.matched),
            items: ItemTotals {
                unmatched: state.items.unmatched.saturating_add(head.counts.unmatched),
                invalid: state.items.invalid.saturating_add(head.counts.invalid),
            },
            record,
            payload,
            has_attachments: !head.attachments.is_empty(),
            is_first: state.first().is_none(),
        })
    }

    /// Whether the payload is in the launch's row.
    fn is_inline(&self) -> bool {
        self.payload.len() as u64 <= INLINE_LIMIT
    }

    fn is_one_row(&self) -> bool {
        self.is_inline() && !self.is_first && !self.has_attachments
    }

    /// The row of the table `launches`.
    fn row(&self) -> [SqlParameter<'_>; 9] {
        [
            self.sequence.into(),
            SqlParameter::Integer(self.key),
            self.accepted_at.into(),
            SqlParameter::Text(&self.launch_id),
            self.recipients.into(),
            SqlParameter::Blob(self.record),
            if self.is_inline() { SqlParameter::Blob(self.payload) } else { SqlParameter::Null },
            self.items.unmatched.into(),
            self.items.invalid.into(),
        ]
    }
}
