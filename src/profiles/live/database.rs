//! [`LiveDatabase`]: the pending changes of a database, in the tables of its object and in memory.
//!
//! All methods are synchronous, so what they check stays true until they have written. Time is an argument.

use super::{
    command::{ChangeReply, Contents, DatabaseRefusal, DatabaseStatus, PendingPurpose, Publication, PublishReply},
    index::{PendingIndex, PendingRow},
    message::{
        Answer, ChangeList, ChangeListWriter, ChangeRequest, ChangeSet, ChangeSetHead, DamagedMessage, PendingList,
        Question, Subject,
    },
    row::{DamagedKeys, PackedKeys, count_units},
    schema::SCHEMA,
    state::{KeptGeneration, LiveSettings},
};
use crate::{
    json,
    limits::{
        CHANGES_LIMIT, CHANGES_REQUEST_MS, FIELD_NAME_SHOWN, GENERATION_KEPT_MS, LIVE_DELAY_MS, LIVE_SETTINGS_LIMIT,
        PENDING_READ_AT_ONCE, PENDING_READ_BYTES, PENDING_ROWS_WRITTEN_AT_ONCE, REQUESTS_REMOVED_AT_ONCE,
    },
    memory::{OutOfMemory, Reservation},
    problem::Cause,
    profiles::{
        bucket::BucketSection,
        key::{Class, KeyHash, ProfileId},
        manifest::{FieldTotals, Generation, Manifest, TooManyFields},
    },
    storage::sql::{Sql, SqlParameter, SqlRow, StorageError},
    text::{error_chain, rfc3339},
};
use hashbrown::{HashMap, HashSet};
use sha2::{Digest as _, Sha256};

/// Why an operation failed. Nothing was written.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    #[error("the object refuses the command: {0:?}")]
    Refused(DatabaseRefusal),
    #[error(transparent)]
    Storage(#[from] StorageError),
    #[error(transparent)]
    Message(#[from] DamagedMessage),
    #[error(transparent)]
    Keys(#[from] DamagedKeys),
    #[error("the stored settings are damaged")]
    Settings(#[from] serde_json::Error),
    #[error(transparent)]
    Internal(#[from] Cause),
}

impl From<DatabaseRefusal> for DatabaseError {
    fn from(refusal: DatabaseRefusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<OutOfMemory> for DatabaseError {
    fn from(error: OutOfMemory) -> Self {
        Self::Refused(DatabaseRefusal::Busy(error.to_string()))
    }
}

impl From<DatabaseError> for Cause {
    fn from(error: DatabaseError) -> Self {
        Self(error_chain(&error))
    }
}

/// The live changes of a database.
pub struct LiveDatabase<S> {
    sql: S,
    /// `None`: not read yet, or live changes were never on.
    loaded: Option<LoadedDatabase>,
    /// The memory of `loaded`.
    memory: Reservation,
}

/// What the object keeps in memory. It is changed only after the transaction that writes the same change.
struct LoadedDatabase {
    settings: LiveSettings,
    /// Bytes of the settings in JSON.
    settings_bytes: usize,
    /// The version of the last change, and its time.
    version: u64,
    changed_at: u64,
    index: PendingIndex,
    /// The check values of the index keys of each set.
    key_sets: Vec<(u64, Vec<String>)>,
    /// How much the changes that the current generation lacks count towards the limit.
    pending: u64,
    /// The time of the oldest request that may be repeated.
    oldest_request: Option<u64>,
}

/// A repeated request: its digest, and the reply to it.
struct StoredRequest {
    digest: String,
    version: u64,
    applied: u64,
}

impl LoadedDatabase {
    fn status(&self) -> DatabaseStatus {
        let LiveSettings { manifest, live, live_since, .. } = &self.settings;
        DatabaseStatus {
            manifest: manifest.clone(),
            live: *live,
            live_since: live.then_some(*live_since),
            version: self.version,
            pending: self.pending,
        }
    }

    /// Returns the position of the current generation's key in a set of index keys.
    fn key_position(&self, key_set: u64) -> Result<usize, DatabaseError> {
        let key = &self.settings.manifest.current.key;
        let checks = find_key_set(&self.key_sets, key_set);
        let position = checks.and_then(|checks| checks.iter().position(|check| check == key));
        position.ok_or_else(|| StorageError::damaged("a pending change lacks the key of the generation").into())
    }

    /// Bytes of memory besides the settings' own.
    fn bytes(&self) -> u64 {
        self.index.bytes().saturating_add(self.settings_bytes as u64)
    }

    /// Writes all changes after a version. Reserves the memory first.
    fn list_all(&self, after: u64, memory: &mut Reservation) -> Result<ChangeList, DatabaseError> {
        // Room for all changes. Counting the keys that are written takes as long as writing them.
        let most = if after < self.version { self.index.count() } else { [0; 2] };
        memory.grow(ChangeListWriter::bytes(most))?;
        let mut writer = ChangeListWriter::new(self.version, most);
        let mut known = None;
        for (profile, row) in self.index.rows().filter(|(_, row)| row.version > after) {
            // Almost all rows have the same set of keys.
            let position = match known {
                Some((key_set, position)) if key_set == row.key_set => position,
                _ => self.key_position(row.key_set)?,
            };
            known = Some((row.key_set, position));
            writer.begin(*profile);
            for key in row.keys() {
                let key = key?;
                writer.push_key(key.section, key.hash(position).ok_or(DamagedKeys)?);
            }
        }
        Ok(writer.finish())
    }

    /// Writes the changes after a version of profiles that have one of the keys, and of the named profiles. Reserves the memory
    /// first.
    fn list_keys(
        &self,
        after: u64,
        (hashes, profiles): (&[[u8; 16]], &[[u8; 12]]),
        memory: &mut Reservation,
    ) -> Result<ChangeList, DatabaseError> {
        // Each hash finds at most two profiles in each section.
        let most = profiles.len() + 4 * hashes.len();
        let working = (most * FOUND_BYTES) as u64;
        memory.grow(working)?;
        let is_newer = |profile: &ProfileId| self.index.get(profile).is_some_and(|row| row.version > after);
        let mut found: HashMap<ProfileId, Vec<_>> = HashMap::new();
        for profile in profiles.iter().copied().map(ProfileId).filter(is_newer) {
            found.entry(profile).or_default();
        }
        for hash in hashes.iter().copied().map(KeyHash) {
            for section in [BucketSection::Profiles, BucketSection::Subscriptions] {
                // Two profiles already make the key ambiguous.
                for profile in self.index.holders(section, hash).filter(|profile| is_newer(profile)).take(2) {
                    let keys = found.entry(*profile).or_default();
                    if !keys.contains(&(section, hash)) {
                        keys.push((section, hash));
                    }
                }
            }
        }
        let count = [found.len(), found.values().map(Vec::len).sum()];
        memory.grow(ChangeListWriter::bytes(count))?;
        let mut writer = ChangeListWriter::new(self.version, count);
        for (profile, keys) in found {
            writer.begin(profile);
            for (section, hash) in keys {
                writer.push_key(section, hash);
            }
        }
        memory.shrink(working);
        Ok(writer.finish())
    }

    /// Counts the fields of the current generation and of all changes.
    fn field_totals(&self) -> FieldTotals {
        let current = &self.settings.manifest.current;
        let mut totals = FieldTotals::default();
        current.classes.iter().for_each(|index| totals.add(&index.field));
        let pending = self.index.fields().filter(|(class, field)| current.class(*class, field).is_none());
        pending.for_each(|(_, field)| totals.add(field));
        totals
    }

    /// Refuses changes with more new fields than a generation can have: they could never be compacted.
    fn check_fields(&self, changed: &[(ProfileId, &[u8])], hashes: usize) -> Result<(), DatabaseError> {
        let current = &self.settings.manifest.current;
        let mut seen: HashSet<(Class, &str)> = HashSet::new();
        let mut totals = None;
        for (profile, keys) in changed {
            for key in PackedKeys::new(keys, hashes) {
                let key = key?;
                let (class, field) = (key.class, key.field);
                let is_new = !field.is_empty()
                    && seen.insert((class, field))
                    && !self.index.has_field(class, field)
                    && current.class(class, field).is_none();
                if is_new {
                    let totals = totals.get_or_insert_with(|| self.field_totals());
                    totals.add(field);
                    totals.check().map_err(|error| {
                        let name: String = field.chars().take(FIELD_NAME_SHOWN).collect();
                        let class = class.as_str();
                        too_many_fields(&format!("profile {profile}: {class}:{name}"), error, "import the whole file")
                    })?;
                }
            }
        }
        Ok(())
    }

    /// Refuses a generation whose fields, with those of the changes that it lacks, are too many for the next one.
    fn check_later_fields(
        &self,
        generation: &Generation,
        is_pending: impl Fn(&PendingRow) -> bool,
    ) -> Result<(), DatabaseError> {
        let mut seen: HashSet<(Class, &str)> = HashSet::new();
        seen.extend(generation.classes.iter().map(|index| (index.class, &*index.field)));
        for (_, row) in self.index.rows().filter(|(_, row)| is_pending(row)) {
            for key in row.keys() {
                let key = key?;
                seen.insert((key.class, key.field));
            }
        }
        let mut totals = FieldTotals::default();
        seen.iter().for_each(|(_, field)| totals.add(field));
        let what = "the generation and the changes that it lacks";
        totals.check().map_err(|error| too_many_fields(what, error, "compact again, or import the whole file"))
    }

    /// Returns how much the object would keep after folding the changes up to `through`, besides the pending changes.
    fn kept_units(&self, through: u64) -> Result<u64, DamagedKeys> {
        self.index.units_between(self.settings.folded_in_all(), through)
    }

    /// Refuses a compaction up to `through` if too many changes would be kept.
    fn check_compaction(&self, through: u64, now: u64) -> Result<(), DatabaseError> {
        let Some(first) = self.settings.kept.iter().map(|kept| kept.until).min() else { return Ok(()) };
        if self.kept_units(through)? <= CHANGES_LIMIT {
            return Ok(());
        }
        let what = format!("changes of earlier compactions are kept until {}: compact then", rfc3339(first));
        Err(DatabaseRefusal::TooEarly { what, wait: first.saturating_sub(now) }.into())
    }
}

/// Refuses fields, and says which ones they are and what to do.
fn too_many_fields(what: &str, error: TooManyFields, remedy: &str) -> DatabaseError {
    DatabaseRefusal::Conflict(format!("{what}: {error}: {remedy} without fields that are not needed")).into()
}

/// Bytes of memory for each profile that answers a question, and for each of its keys, at most.
const FOUND_BYTES: usize = 2 * (size_of::<(ProfileId, Vec<u8>)>() + 1) + 4 * ChangeList::KEY_BYTES + 16;

impl<S: Sql> LiveDatabase<S> {
    /// `memory` is that of the isolate, and empty.
    pub fn new(sql: S, memory: Reservation) -> Self {
        Self { sql, loaded: None, memory }
    }

    /// Returns the state in memory, or `None` if live changes were never on. Reads it after a start of the object.
    fn load(&mut self) -> Result<Option<&mut LoadedDatabase>, DatabaseError> {
        if self.loaded.is_none() {
            if !SCHEMA.open(&self.sql)? {
                return Ok(None);
            }
            let read = read(&self.sql, &mut self.memory);
            if read.is_err() {
                self.memory.shrink(self.memory.bytes());
            }
            self.loaded = Some(read?);
        }
        Ok(self.loaded.as_mut())
    }

    /// Returns the SQL port and the state. Refuses if live changes were never on.
    fn open(&mut self) -> Result<(&S, &mut LoadedDatabase), DatabaseError> {
        self.load()?;
        let loaded = self.loaded.as_mut().ok_or(DatabaseRefusal::NotLive)?;
        Ok((&self.sql, loaded))
    }

    pub fn status(&mut self) -> Result<DatabaseStatus, DatabaseError> {
        Ok(self.open()?.1.status())
    }

    /// Turns live changes on.
    pub fn start(&mut self, manifest: Manifest, now: u64) -> Result<DatabaseStatus, DatabaseError> {
        let live_since = now.saturating_add(LIVE_DELAY_MS);
        let Some(loaded) = self.load()? else {
            let settings = LiveSettings { manifest, live: true, live_since, folded: 0, folded_at: 0, kept: Vec::new() };
            let text = serde_json::to_string(&settings)?;
            self.sql.transaction(&mut || {
                SCHEMA.create(&self.sql)?;
                let parameters = [SCHEMA.version().into(), SqlParameter::Text(&text)];
                self.sql.exec("INSERT INTO live VALUES (?, 0, 0, ?)", &parameters).map(drop)
            })?;
            return self.status();
        };
        if loaded.settings.live {
            if loaded.settings.manifest.current.name != manifest.current.name {
                let current = &loaded.settings.manifest.current.name;
                return Err(DatabaseRefusal::Conflict(format!("live changes are on, with generation {current}")).into());
            }
            return Ok(loaded.status());
        }
        let version = loaded.version;
        let folded_at = loaded.settings.folded_at;
        let settings = LiveSettings { manifest, live: true, live_since, folded: version, folded_at, kept: Vec::new() };
        self.write(settings, [version, 0], now)?;
        self.status()
    }

    /// Turns live changes off. Generations that launches may still search remain searchable.
    pub fn stop(&mut self, now: u64) -> Result<DatabaseStatus, DatabaseError> {
        let (_, loaded) = self.open()?;
        if loaded.pending > 0 {
            return Err(
                DatabaseRefusal::Conflict(format!("{} changes are pending: compact first", loaded.pending)).into()
            );
        }
        let settings = LiveSettings { live: false, ..loaded.settings.clone() };
        let oldest = loaded.settings.folded_in_all();
        self.write(settings, [oldest, 0], now)?;
        self.status()
    }

    /// Writes settings, and removes the changes up to a version and those before a time.
    fn write(
        &mut self,
        mut settings: LiveSettings,
        [remove_through, remove_before]: [u64; 2],
        now: u64,
    ) -> Result<(), DatabaseError> {
        self.load()?;
        let Self { sql, loaded, memory } = self;
        let loaded = loaded.as_mut().ok_or(DatabaseRefusal::NotLive)?;
        // Superseded changes count as well: an older export does not contain them.
        let is_folded = |row: &PendingRow| row.version <= settings.folded || row.at < remove_before;
        let folded = loaded.index.rows().filter(|(_, row)| is_folded(row));
        settings.folded_at = folded.map(|(_, row)| row.at).max().unwrap_or(0).max(settings.folded_at);
        let text = serde_json::to_string(&settings)?;
        if text.len() > LIVE_SETTINGS_LIMIT.max(loaded.settings_bytes) {
            return Err(settings_too_large(&settings, text.len(), now));
        }
        memory.resize(loaded.bytes().saturating_add(text.len() as u64))?;
        sql.transaction(&mut || {
            sql.exec("UPDATE live SET settings = ?", &[SqlParameter::Text(&text)])?;
            let parameters = [remove_through.into(), remove_before.into()];
            sql.exec("DELETE FROM pending WHERE version <= ? OR at < ?", &parameters).map(drop)
        })?;
        loaded.settings = settings;
        loaded.settings_bytes = text.len();
        loaded.index.remove(remove_through, remove_before)?;
        loaded.pending = loaded.index.units_between(loaded.settings.folded, u64::MAX)?;
        Ok(memory.resize(loaded.bytes())?)
    }

    /// Applies a set of changes in one transaction.
    pub fn change(&mut self, content: &[u8], now: u64) -> Result<ChangeReply, DatabaseError> {
        let (head, set) = ChangeSet::read(content)?;
        self.load()?;
        let Self { sql, loaded, memory } = self;
        let loaded = loaded.as_mut().ok_or(DatabaseRefusal::NotLive)?;
        let now = now.max(loaded.changed_at);
        let key = head.request.as_ref().map(request_key);
        if let (Some(request), Some(key)) = (&head.request, &key)
            && let Some(earlier) = find_request(sql, key, now)?
        {
            if earlier.digest != request.digest {
                return Err(DatabaseRefusal::RequestIdReused.into());
            }
            let StoredRequest { version, applied, .. } = earlier;
            return Ok(ChangeReply { version, applied, repeated: true, pending: [loaded.pending; 2] });
        }
        let LiveSettings { manifest, live, live_since, folded, .. } = &loaded.settings;
        if !live {
            return Err(DatabaseRefusal::NotLive.into());
        }
        if now < *live_since {
            return Err(DatabaseRefusal::NotYet { live_since: *live_since, now }.into());
        }
        if !head.key_checks.contains(&manifest.current.key) {
            return Err(DatabaseRefusal::OtherIndexKey.into());
        }
        let known_set =
            loaded.key_sets.iter().find(|(_, checks)| **checks == head.key_checks).map(|(number, _)| *number);
        let last_set = loaded.key_sets.iter().map(|(number, _)| *number).max().unwrap_or(0);
        let key_set = known_set.unwrap_or(last_set.saturating_add(1));
        let hashes = head.key_checks.len();

        let mut applied = 0_u64;
        let mut pending = loaded.pending;
        let mut needed = 0_u64;
        let mut changed: Vec<(ProfileId, &[u8])> = Vec::new();
        let mut restated: Vec<ProfileId> = Vec::new();
        for row in set.rows() {
            let (profile, keys) = row?;
            applied = applied.saturating_add(1);
            let before = loaded.index.get(&profile);
            if let Some(row) = before.filter(|row| row.key_set == key_set && *row.keys == *keys) {
                // Nothing changes, but an import of an earlier export must not supersede the row.
                if row.at < now {
                    restated.push(profile);
                }
                continue;
            }
            if let Some(row) = before.filter(|row| row.version > *folded) {
                pending = pending.saturating_sub(row.units()?);
            }
            pending = pending.saturating_add(count_units(keys, hashes)?);
            needed = needed.saturating_add(PendingIndex::row_bytes(keys, hashes)?);
            changed.push((profile, keys));
        }
        if pending > CHANGES_LIMIT && pending > loaded.pending {
            return Err(DatabaseRefusal::TooManyChanges(pending).into());
        }
        loaded.check_fields(&changed, hashes)?;
        memory.resize(loaded.bytes().saturating_add(needed))?;
        let version = loaded.version.saturating_add(u64::from(!changed.is_empty()));
        let is_written = !changed.is_empty() || !restated.is_empty();
        let at = if is_written { now } else { loaded.changed_at };
        sql.transaction(&mut || {
            if known_set.is_none() && !changed.is_empty() {
                // Serialisation cannot fail: a list of texts.
                let checks = serde_json::to_string(&head.key_checks).unwrap_or_default();
                sql.exec("INSERT INTO key_sets VALUES (?, ?)", &[key_set.into(), SqlParameter::Text(&checks)])?;
            }
            for rows in changed.chunks(PENDING_ROWS_WRITTEN_AT_ONCE) {
                write_rows(sql, [version, at, key_set], rows)?;
            }
            for profiles in restated.chunks(PENDING_ROWS_WRITTEN_AT_ONCE) {
                let places = vec!["?"; profiles.len()].join(", ");
                let ids = profiles.iter().map(|profile| SqlParameter::Blob(&profile.0));
                let parameters: Vec<_> = std::iter::once(at.into()).chain(ids).collect();
                sql.exec(&format!("UPDATE pending SET at = ? WHERE profile IN ({places})"), &parameters)?;
            }
            if is_written {
                sql.exec("UPDATE live SET changes = ?, changed_at = ?", &[version.into(), at.into()])?;
            }
            if let (Some(request), Some(key)) = (&head.request, &key) {
                let digest = SqlParameter::Text(&request.digest);
                let parameters = [SqlParameter::Blob(key), digest, now.into(), version.into(), applied.into()];
                sql.exec("INSERT INTO requests VALUES (NULL, ?, ?, ?, ?, ?)", &parameters)?;
            }
            Ok(())
        })?;
        if key.is_some() {
            loaded.oldest_request.get_or_insert(now);
        }
        let reply = ChangeReply { version, applied, repeated: false, pending: [loaded.pending, pending] };
        (loaded.version, loaded.changed_at, loaded.pending) = (version, at, pending);
        if known_set.is_none() && !changed.is_empty() {
            loaded.key_sets.push((key_set, head.key_checks));
        }
        for (profile, keys) in changed {
            loaded.index.insert(profile, PendingRow { version, at, key_set, hashes, keys: keys.into() })?;
        }
        for profile in restated {
            loaded.index.set_time(&profile, at);
        }
        memory.resize(loaded.bytes())?;
        Ok(reply)
    }

    /// Answers a launch.
    pub fn answer(&mut self, question: Question<'_>, memory: &mut Reservation) -> Result<Vec<u8>, DatabaseError> {
        let Some(loaded) = self.load()? else { return Ok(Answer::not_live()) };
        let settings = &loaded.settings;
        match settings.folded_in(question.generation) {
            Some(folded) => {
                let list = match question.subject {
                    Subject::After(version) => loaded.list_all(folded.max(version), memory)?,
                    Subject::Keys { hashes, profiles } => loaded.list_keys(folded, (hashes, profiles), memory)?,
                };
                Ok(list.into_message())
            }
            // While changes are off, imports do not inform the object.
            None if !settings.live && !settings.manifest.has_generation(question.generation) => Ok(Answer::not_live()),
            None => Ok(Answer::other(&settings.searchable())),
        }
    }

    /// Returns the changes that the current generation lacks, with all their keys under the key of the generation.
    pub fn pending(
        &mut self,
        purpose: PendingPurpose,
        now: u64,
        memory: &mut Reservation,
    ) -> Result<Vec<u8>, DatabaseError> {
        let (_, loaded) = self.open()?;
        if purpose == PendingPurpose::Compaction {
            loaded.check_compaction(loaded.version, now)?;
        }
        // The list has one hash of each key.
        let bytes_of = |row: &PendingRow| {
            let other_hashes = row.keys().count() * row.hashes.saturating_sub(1) * 16;
            ChangeSet::HEAD_BYTES + row.keys.len().saturating_sub(other_hashes)
        };
        let rows = || loaded.index.rows().filter(|(_, row)| row.version > loaded.settings.folded);
        let bytes: usize = rows().map(|(_, row)| bytes_of(row)).sum();
        // The state in JSON is a part of the settings.
        memory.grow((loaded.settings_bytes + bytes) as u64)?;
        let mut list = PendingList::begin(&loaded.status());
        list.reserve_exact(bytes);
        for (profile, row) in rows() {
            let position = loaded.key_position(row.key_set)?;
            PendingList::push(&mut list, *profile, row.keys(), position)?;
        }
        Ok(list)
    }

    /// Makes a generation the current one.
    pub fn publish(&mut self, publication: Publication, now: u64) -> Result<PublishReply, DatabaseError> {
        let (_, loaded) = self.open()?;
        let Publication { replaces, generation, deleted, contents } = publication;
        let settings = &loaded.settings;
        let current = &settings.manifest.current;
        let is_repeat = current.name == generation.name;
        if !is_repeat {
            if current.name != replaces {
                let what = format!("generation {} has become current in the meantime", current.name);
                return Err(DatabaseRefusal::Conflict(what).into());
            }
            if !settings.live {
                return Err(DatabaseRefusal::NotLive.into());
            }
            let (folded, export_at) = match contents {
                Contents::ChangesThrough(version) => (loaded.check_changes_through(version, &generation.key, now)?, 0),
                Contents::ExportAt(time) => (loaded.folded_by_export(time, now)?, time),
            };
            let is_pending = |row: &PendingRow| row.version > folded && row.at >= export_at;
            let lacks_key = |row: &PendingRow| {
                find_key_set(&loaded.key_sets, row.key_set).is_none_or(|checks| !checks.contains(&generation.key))
            };
            if loaded.index.rows().any(|(_, row)| is_pending(row) && lacks_key(row)) {
                let what = "pending changes were not hashed with the key of the new generation: compact first";
                return Err(DatabaseRefusal::Conflict(what.to_owned()).into());
            }
            loaded.check_later_fields(&generation, is_pending)?;
            let mut kept = settings.kept.clone();
            match contents {
                Contents::ChangesThrough(_) => kept.push(KeptGeneration {
                    generation: current.clone(),
                    folded: settings.folded,
                    until: now.saturating_add(GENERATION_KEPT_MS),
                }),
                // An export does not follow from earlier generations, so no launch may search them any more.
                Contents::ExportAt(_) => kept.clear(),
            }
            let manifest = Manifest::publish(Some(settings.manifest.clone()), generation, &deleted, now);
            let changed = LiveSettings { manifest, folded, kept, ..settings.clone() };
            let superseded =
                loaded.index.rows().filter(|(_, row)| row.version > settings.folded && !is_pending(row)).count() as u64;
            let oldest = changed.folded_in_all();
            self.write(changed, [oldest, export_at], now)?;
            return self.publish_reply(superseded);
        }
        self.publish_reply(0)
    }

    fn publish_reply(&mut self, superseded: u64) -> Result<PublishReply, DatabaseError> {
        let (_, loaded) = self.open()?;
        let later = loaded.index.rows().filter(|(_, row)| row.version > loaded.settings.folded).count() as u64;
        Ok(PublishReply { status: loaded.status(), superseded, later })
    }

    /// Returns when the alarm is needed, if it is.
    pub fn next_alarm(&self) -> Option<u64> {
        let loaded = self.loaded.as_ref()?;
        let kept = loaded.settings.kept.iter().map(|kept| kept.until).min();
        let request = loaded.oldest_request.map(|at| at.saturating_add(CHANGES_REQUEST_MS));
        kept.into_iter().chain(request).min()
    }

    /// Forgets generations that launches no longer search with the changes that they lack, and old requests.
    pub fn clean_up(&mut self, now: u64) -> Result<(), DatabaseError> {
        let Some(loaded) = self.load()? else { return Ok(()) };
        if loaded.settings.kept.iter().any(|kept| kept.until <= now) {
            let mut settings = loaded.settings.clone();
            settings.kept.retain(|kept| kept.until > now);
            let oldest = settings.folded_in_all();
            self.write(settings, [oldest, 0], now)?;
        }
        let (sql, loaded) = self.open()?;
        let limit = [u64::from(REQUESTS_REMOVED_AT_ONCE).into()];
        let mut last = None;
        for mut row in sql.exec("SELECT number, at FROM requests ORDER BY number LIMIT ?", &limit)? {
            let (number, at) = (row.number()?, row.number()?);
            if at.saturating_add(CHANGES_REQUEST_MS) > now {
                break;
            }
            last = Some(number);
        }
        if let Some(last) = last {
            sql.exec("DELETE FROM requests WHERE number <= ?", &[last.into()])?;
        }
        loaded.oldest_request = oldest_request(sql)?;
        Ok(())
    }
}

impl LoadedDatabase {
    /// Checks a compaction and returns the version up to which its generation contains the changes.
    fn check_changes_through(&self, version: u64, key: &str, now: u64) -> Result<u64, DatabaseError> {
        if !(self.settings.folded..=self.version).contains(&version) {
            let what = format!("changes_through: must be {} to {}", self.settings.folded, self.version);
            return Err(DatabaseRefusal::Conflict(what).into());
        }
        if key != self.settings.manifest.current.key {
            let what = "a compaction keeps the key of the generation: import the whole file to change the key";
            return Err(DatabaseRefusal::Conflict(what.to_owned()).into());
        }
        self.check_compaction(version, now)?;
        Ok(version)
    }

    /// Checks the import of an export of a time. Changes before that time are superseded. Returns a version before that of each
    /// later change.
    fn folded_by_export(&self, time: u64, now: u64) -> Result<u64, DatabaseError> {
        let refuse = |what: String| Err(DatabaseRefusal::Conflict(what).into());
        if time > now {
            return refuse(format!("export_at: {} is in the future", rfc3339(time)));
        }
        let folded = self.index.rows().filter(|(_, row)| row.version <= self.settings.folded);
        let folded_at = folded.map(|(_, row)| row.at).max().unwrap_or(0).max(self.settings.folded_at);
        if folded_at > 0 && folded_at >= time {
            let last = rfc3339(folded_at);
            return refuse(format!(
                "a change made at {last} is already in the index, but not in the export: export again"
            ));
        }
        let later = self.index.rows().filter(|(_, row)| row.at >= time).map(|(_, row)| row.version).min();
        Ok(later.map_or(self.version, |first| first.saturating_sub(1)))
    }
}

fn find_key_set(key_sets: &[(u64, Vec<String>)], number: u64) -> Option<&Vec<String>> {
    key_sets.iter().find(|(known, _)| *known == number).map(|(_, checks)| checks)
}

/// Reads pending changes: the next rows up to a number of bytes, and at least one row.
const READ_PENDING: &str = "SELECT profile, version, at, key_set, keys FROM (SELECT *, SUM(LENGTH(keys)) OVER (ORDER BY profile \
     ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) - LENGTH(keys) AS before FROM (SELECT * FROM pending WHERE profile > ? \
     ORDER BY profile LIMIT ?)) WHERE before < ? ORDER BY profile";

/// Why settings cannot be stored, and what to do.
fn settings_too_large(settings: &LiveSettings, bytes: usize, now: u64) -> DatabaseError {
    let what =
        format!("the generations of the database have {bytes} bytes of names; the limit is {LIVE_SETTINGS_LIMIT}");
    match settings.kept.iter().map(|kept| kept.until).min() {
        Some(first) => {
            let what = format!("{what}: compact after {}", rfc3339(first));
            DatabaseRefusal::TooEarly { what, wait: first.saturating_sub(now) }.into()
        }
        None => DatabaseRefusal::Conflict(format!("{what}: remove custom fields")).into(),
    }
}

/// Reads the state after a start of the object. Reserves its memory.
fn read<S: Sql>(sql: &S, memory: &mut Reservation) -> Result<LoadedDatabase, DatabaseError> {
    let row = sql.exec("SELECT changes, changed_at, settings FROM live", &[])?.pop();
    let mut row = row.ok_or_else(|| StorageError::damaged("the row of the table live is missing"))?;
    let (version, changed_at, text) = (row.number()?, row.number()?, row.text()?);
    let settings: LiveSettings = json::from_str(&text)?;
    let settings_bytes = text.len();
    let mut key_sets = Vec::new();
    for mut row in sql.exec("SELECT number, checks FROM key_sets", &[])? {
        let (number, checks) = (row.number()?, row.text()?);
        key_sets.push((number, json::from_str::<Vec<String>>(&checks)?));
    }
    let mut index = PendingIndex::default();
    let mut last: Vec<u8> = Vec::new();
    loop {
        memory.resize(index.bytes().saturating_add(settings_bytes as u64).saturating_add(PENDING_READ_BYTES))?;
        let parameters = [SqlParameter::Blob(&last), u64::from(PENDING_READ_AT_ONCE).into(), PENDING_READ_BYTES.into()];
        let rows = sql.exec(READ_PENDING, &parameters)?;
        if rows.is_empty() {
            break;
        }
        for mut row in rows {
            let (profile, row) = read_row(&mut row, &key_sets)?;
            last = profile.0.to_vec();
            memory.grow(PendingIndex::row_bytes(&row.keys, row.hashes)?)?;
            index.insert(profile, row)?;
        }
    }
    memory.resize(index.bytes().saturating_add(settings_bytes as u64))?;
    let pending = index.units_between(settings.folded, u64::MAX)?;
    let oldest_request = oldest_request(sql)?;
    Ok(LoadedDatabase { settings, settings_bytes, version, changed_at, index, key_sets, pending, oldest_request })
}

fn read_row(row: &mut SqlRow, key_sets: &[(u64, Vec<String>)]) -> Result<(ProfileId, PendingRow), StorageError> {
    let profile = row.blob()?.try_into().map_err(|_| StorageError::damaged("a profile ID of another length"))?;
    let (version, at, key_set) = (row.number()?, row.number()?, row.number()?);
    let checks =
        find_key_set(key_sets, key_set).ok_or_else(|| StorageError::damaged("a set of index keys is missing"))?;
    let keys = row.blob()?.into();
    Ok((ProfileId(profile), PendingRow { version, at, key_set, hashes: checks.len(), keys }))
}

/// Writes rows of one version with one statement.
fn write_rows<S: Sql>(sql: &S, shared: [u64; 3], rows: &[(ProfileId, &[u8])]) -> Result<(), StorageError> {
    let mut statement = "INSERT OR REPLACE INTO pending (version, at, key_set, profile, keys) VALUES ".to_owned();
    let mut parameters: Vec<SqlParameter<'_>> = shared.map(SqlParameter::from).into();
    for (position, (profile, keys)) in rows.iter().enumerate() {
        let comma = if position == 0 { "" } else { ", " };
        let first = 4 + 2 * position;
        statement.push_str(&format!("{comma}(?1, ?2, ?3, ?{first}, ?{})", first + 1));
        parameters.extend([SqlParameter::Blob(&profile.0), SqlParameter::Blob(keys)]);
    }
    sql.exec(&statement, &parameters).map(drop)
}

/// Identifies a request by its token and its ID.
fn request_key(request: &ChangeRequest) -> [u8; 32] {
    let mut hasher = Sha256::new();
    hasher.update((request.token_name.len() as u64).to_le_bytes());
    hasher.update(request.token_name.as_bytes());
    hasher.update(request.request_id.as_bytes());
    hasher.finalize().into()
}

fn find_request<S: Sql>(sql: &S, key: &[u8], now: u64) -> Result<Option<StoredRequest>, StorageError> {
    let oldest = now.saturating_sub(CHANGES_REQUEST_MS);
    let statement =
        "SELECT digest, changes, applied FROM requests WHERE key = ? AND at > ? ORDER BY number DESC LIMIT 1";
    let row = sql.exec(statement, &[SqlParameter::Blob(key), oldest.into()])?.pop();
    let read =
        |mut row: SqlRow| Ok(StoredRequest { digest: row.text()?, version: row.number()?, applied: row.number()? });
    row.map(read).transpose()
}

fn oldest_request<S: Sql>(sql: &S) -> Result<Option<u64>, StorageError> {
    let row = sql.exec("SELECT at FROM requests ORDER BY number LIMIT 1", &[])?.pop();
    row.map(|mut row| row.number()).transpose()
}

/// Contents of a set of changes that a test or the Worker writes.
pub fn encode_changes(head: &ChangeSetHead, rows: &[(ProfileId, Vec<u8>)]) -> Vec<u8> {
    let mut message = ChangeSet::begin(head);
    for (profile, keys) in rows {
        ChangeSet::push(&mut message, *profile, keys);
    }
    message
}
