//! The log: what a campaign is, and every launch of it.

use std::cell::Cell;

use super::{
    commands::{Campaign, Committed, Definition, Refusal, Request, Thing},
    definition::check,
    due::Task,
    head::Head,
    layout::{Layout, PREFIX},
    listing::CopyWrites,
    message::Commit,
    schema,
    sql::{Bound, Broken, Sql, integer},
    stored::{self, Stored},
};
use crate::{
    access::allows_database,
    limits::{self, Limits},
};

/// A commit whose answer was lost is repeated within this time, in milliseconds: for as long the object knows a
/// launch by its id, however short the time for which request ids are kept.
const REPEAT_WINDOW: u64 = 3_600_000;
const DAY: u64 = 86_400_000;

/// A campaign's log in a database.
#[derive(Debug)]
pub struct Log<S> {
    pub(super) sql: S,
    pub(super) terms: Terms,
    ready: Cell<bool>,
    /// The alarm may have to be set anew.
    pub(super) alarm: Cell<bool>,
    /// When it comes, if that is known.
    pub(super) alarm_at: Cell<Option<u64>>,
    /// Work that needs the bucket waits until then: the bucket has just failed.
    pub(super) rest_until: Cell<u64>,
    /// The writes of KV's copy.
    pub(super) listing: CopyWrites,
}

/// How long and how much a log keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terms {
    /// A request id is known for so long, in milliseconds.
    pub deduplication: u64,
    /// A launch is kept for so long, in milliseconds; never less than its request id.
    pub retention: u64,
    /// Bytes stored from which on new launches are refused.
    pub size: u64,
}

impl From<&Limits> for Terms {
    fn from(limits: &Limits) -> Self {
        let deduplication = limits.deduplication_seconds.saturating_mul(1000);
        let retention = limits.retention_days.saturating_mul(DAY).max(deduplication).max(REPEAT_WINDOW);
        Self { deduplication, retention, size: limits.log }
    }
}

/// Why the log did not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// It refuses: that is its answer.
    Refused(Refusal),
    /// It failed; nothing was written.
    Broken(Broken),
}

impl From<Broken> for Fault {
    fn from(broken: Broken) -> Self {
        Self::Broken(broken)
    }
}

impl From<Refusal> for Fault {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

/// What became of a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It is in the log.
    Committed(Committed),
    /// An earlier launch answers this request.
    Repeated(Box<Stored>),
}

/// The campaign and the end of its log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct State {
    pub campaign: Campaign,
    /// When the last launch was accepted.
    pub accepted_at: u64,
    /// The last sequence that retention removed.
    pub removed: u64,
    /// When that launch was accepted.
    pub removed_at: u64,
}

impl State {
    /// The last sequence ever used.
    pub fn last(&self) -> u64 {
        self.campaign.launches
    }

    /// The oldest sequence held.
    pub fn first(&self) -> Option<u64> {
        (self.last() > self.removed).then_some(self.removed.saturating_add(1))
    }
}

impl<S: Sql> Log<S> {
    /// The log in that database, which may be empty.
    pub fn new(sql: S, terms: Terms) -> Self {
        Self {
            sql,
            terms,
            ready: Cell::default(),
            alarm: Cell::default(),
            alarm_at: Cell::default(),
            rest_until: Cell::default(),
            listing: CopyWrites::default(),
        }
    }

    /// Checks that a token of `databases` may use the campaign. A campaign of another database is not found, like one that
    /// does not exist.
    pub(super) fn authorize(&self, databases: &[u64]) -> Result<(), Fault> {
        if databases.is_empty() || allows_database(databases, self.state()?.campaign.database) {
            return Ok(());
        }
        Err(Refusal::NotFound(Thing::Campaign).into())
    }

    /// Defines or changes the campaign for a token of `databases`.
    pub fn define(&self, definition: &Definition, databases: &[u64], now: u64) -> Result<Campaign, Fault> {
        check(definition)?;
        let Some(state) = self.find_state()? else {
            return self.create(new_campaign(definition, databases)?, now);
        };
        let campaign = state.campaign;
        if !allows_database(databases, campaign.database) {
            return Err(Refusal::NotFound(Thing::Campaign).into());
        }
        if campaign.id != definition.id {
            return Err(Broken::new("another campaign's object").into());
        }
        if definition.database.is_some_and(|database| database != campaign.database) {
            return Err(Refusal::DatabaseFixed.into());
        }
        let mut changed = campaign.clone();
        changed.active = definition.active.unwrap_or(campaign.active);
        if let Some(name) = &definition.name {
            changed.name.clone_from(name);
        }
        if changed == campaign {
            self.retry_soon(now)?;
            return Ok(changed);
        }
        self.sql.transaction(&mut || {
            let values = [Bound::Text(&changed.name), integer(changed.active.into())];
            self.sql.exec("UPDATE campaign SET name = ?, active = ?", &values)?;
            if changed.has_copy_of(&campaign) { self.retry_soon(now) } else { self.copy_changed(now) }
        })?;
        Ok(changed)
    }

    fn create(&self, campaign: Campaign, now: u64) -> Result<Campaign, Fault> {
        self.sql.transaction(&mut || {
            schema::create(&self.sql)?;
            let values = [
                integer(campaign.id),
                integer(schema::VERSION),
                Bound::Text(&campaign.name),
                integer(campaign.database),
                integer(campaign.active.into()),
            ];
            self.sql.exec("INSERT INTO campaign VALUES (?, ?, ?, ?, ?, 0, 0, 0)", &values)?;
            self.copy_changed(now)
        })?;
        Ok(campaign)
    }

    /// The definition and the totals.
    pub fn read(&self) -> Result<Campaign, Fault> {
        Ok(self.state()?.campaign)
    }

    /// Before a body has been read: the launch that answers this request already, if one does.
    pub fn preflight(&self, request: &Request, now: u64) -> Result<Option<Stored>, Fault> {
        let state = self.state()?;
        let key = super::id::RequestKey::new(&request.token_name, &request.request_id);
        let now = now.max(state.accepted_at);
        let held = self.held(key.to_i64(), None, now)?;
        let seen = held.into_iter().find(|stored| stored.head.same_request(&request.token_name, &request.request_id));
        if seen.is_none() && !state.campaign.active {
            return Err(Refusal::NotActive.into());
        }
        Ok(seen)
    }

    /// Writes a launch, whole or not at all. `message` is a commit message as it came; `now` is the object's time.
    pub fn commit(&self, message: &[u8], now: u64) -> Result<Outcome, Fault> {
        let head = Commit::decode(message).map_err(|bad| Broken(format!("commit message: {}", bad.0)))?.head;
        let state = self.state()?;
        if state.campaign.id != head.trigger_id {
            return Err(Broken::new("another campaign's launch").into());
        }
        let now = now.max(state.accepted_at);
        if let Some(outcome) = self.known(&head, now)? {
            return Ok(outcome);
        }
        if !state.campaign.active {
            return Err(Refusal::NotActive.into());
        }
        let length = u64::try_from(message.len()).unwrap_or(u64::MAX);
        let (size, limit) = (self.sql.size(), self.terms.size);
        if size.saturating_add(length) > limit {
            return Err(Refusal::LogFull { size, limit }.into());
        }
        self.write(&state, &head, message, now).map(Outcome::Committed)
    }

    /// The answer to a commit that was made before, or whose request was answered before.
    fn known(&self, head: &Head, now: u64) -> Result<Option<Outcome>, Fault> {
        let key = head.launch_id.key().to_i64();
        let mut held = self.held(key, Some(&head.launch_id.to_string()), now)?;
        if let Some(own) = held.iter().find(|stored| stored.head.launch_id == head.launch_id) {
            let Stored { sequence, accepted_at, .. } = *own;
            return Ok(Some(Outcome::Committed(Committed { sequence, accepted_at })));
        }
        held.retain(|stored| stored.head.same_request(&head.token_name, &head.request_id));
        let Some(stored) = held.pop() else { return Ok(None) };
        let same = (stored.head.endpoint, stored.head.body_digest) == (head.endpoint, head.body_digest);
        if same { Ok(Some(Outcome::Repeated(Box::new(stored)))) } else { Err(Refusal::RequestIdReused.into()) }
    }

    /// The launches with that key that have that id, or whose request ids are still known. Few: of those with the
    /// same request only one, and of others those alone whose keys collide.
    fn held(&self, key: i64, launch_id: Option<&str>, now: u64) -> Result<Vec<Stored>, Broken> {
        let statement = "SELECT sequence, accepted_at, head, payload IS NOT NULL FROM launches \
                         WHERE key = ? AND accepted_at > ? AND (accepted_at > ? OR launch_id = ?) ORDER BY sequence";
        let known = now.saturating_sub(self.terms.deduplication);
        let bound = [
            Bound::Integer(key),
            integer(known.min(now.saturating_sub(REPEAT_WINDOW))),
            integer(known),
            launch_id.map_or(Bound::Null, Bound::Text),
        ];
        self.sql.exec(statement, &bound)?.into_iter().map(stored::read).collect()
    }

    fn write(&self, state: &State, head: &Head, message: &[u8], now: u64) -> Result<Committed, Fault> {
        let layout = Layout::read(message).ok_or_else(|| Broken::new("no layout"))?;
        let position = |offset: u64| usize::try_from(offset).unwrap_or(usize::MAX);
        let split = position(PREFIX as u64 + layout.head());
        let (record, rest) = message.split_at_checked(split).unwrap_or_default();
        let payload = rest.get(..position(layout.payload())).ok_or_else(|| Broken::new("no payload"))?;
        let inline = layout.payload() <= schema::INLINE;
        let sequence = state.last().saturating_add(1);
        let recipients = state.campaign.recipients.saturating_add(head.counts.matched);
        let launch_id = head.launch_id.to_string();
        let values = [
            integer(sequence),
            Bound::Integer(head.launch_id.key().to_i64()),
            integer(now),
            Bound::Text(&launch_id),
            integer(recipients),
            Bound::Blob(record),
            if inline { Bound::Blob(payload) } else { Bound::Null },
        ];
        let insert = || self.sql.exec("INSERT INTO launches VALUES (?, ?, ?, ?, ?, ?, ?)", &values).map(drop);
        if inline && state.first().is_some() && head.attachments.is_empty() {
            // One statement is a transaction of its own.
            insert()?;
        } else {
            self.sql.transaction(&mut || {
                insert()?;
                if !inline {
                    self.write_chunks(sequence, payload)?;
                }
                if !head.attachments.is_empty() {
                    self.to_be_completed(sequence, now)?;
                }
                // The first launch of an empty log starts the clock of retention, which then goes on by itself.
                if state.first().is_some() {
                    return Ok(());
                }
                self.due_at(Task::Retention, 0, now.saturating_add(self.terms.retention))
            })?;
        }
        Ok(Committed { sequence, accepted_at: now })
    }

    fn write_chunks(&self, sequence: u64, payload: &[u8]) -> Result<(), Broken> {
        let mut start = 0;
        for chunk in payload.chunks(limits::CHUNK) {
            let values = [integer(sequence), integer(start), Bound::Blob(chunk)];
            self.sql.exec("INSERT INTO chunks VALUES (?, ?, ?)", &values)?;
            start = start.saturating_add(chunk.len() as u64);
        }
        Ok(())
    }

    /// The campaign, or [`Refusal::NotFound`].
    pub(super) fn state(&self) -> Result<State, Fault> {
        self.find_state()?.ok_or_else(|| Refusal::NotFound(Thing::Campaign).into())
    }

    pub(super) fn find_state(&self) -> Result<Option<State>, Broken> {
        if !self.ready.get() {
            if !schema::exists(&self.sql)? {
                return Ok(None);
            }
            self.ready.set(true);
        }
        let statement = "SELECT id, name, database, active, removed, removed_at, \
             coalesce(sequence, removed), coalesce(accepted_at, removed_at), coalesce(recipients, removed_recipients) \
             FROM campaign LEFT JOIN (SELECT sequence, accepted_at, recipients FROM launches \
             ORDER BY sequence DESC LIMIT 1)";
        let row = self.sql.exec(statement, &[])?.pop();
        let mut row = row.ok_or_else(|| Broken::new("the campaign's row is gone"))?;
        let (id, name) = (row.number()?, row.text()?);
        let (database, active) = (row.number()?, row.number()? != 0);
        let (removed, removed_at) = (row.number()?, row.number()?);
        let (launches, accepted_at, recipients) = (row.number()?, row.number()?, row.number()?);
        let campaign = Campaign { id, name, database, active, launches, recipients };
        Ok(Some(State { campaign, accepted_at, removed, removed_at }))
    }
}

/// The campaign that a first definition makes. A token of some databases defines campaigns in those alone; it learns
/// nothing from a definition that is incomplete or names another database.
fn new_campaign(definition: &Definition, databases: &[u64]) -> Result<Campaign, Refusal> {
    let campaign = complete(definition);
    if databases.is_empty() {
        return campaign;
    }
    let allowed = campaign.ok().filter(|campaign| allows_database(databases, campaign.database));
    allowed.ok_or(Refusal::NotFound(Thing::Campaign))
}

fn complete(definition: &Definition) -> Result<Campaign, Refusal> {
    let missing = |field| Refusal::BadField(format!("{field}: required to define a campaign"));
    Ok(Campaign {
        id: definition.id,
        name: definition.name.clone().ok_or_else(|| missing("name"))?,
        database: definition.database.ok_or_else(|| missing("database"))?,
        active: definition.active.ok_or_else(|| missing("active"))?,
        launches: 0,
        recipients: 0,
    })
}
