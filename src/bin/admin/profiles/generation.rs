//! Writes a generation to KV and makes it the current one. The order of writes keeps the index usable at every moment:
//!
//! 1. A *pending* marker, by which a later import finds the buckets if this import is interrupted.
//! 2. All buckets.
//! 3. Deletion of generations that are no longer used: retired ones and those of interrupted imports, after a day.
//! 4. The manifest, unless another import has replaced it in the meantime. From here on, launches use the new generation.
//! 5. Deletion of the marker.
//!
//! A manifest or marker that cannot be read is reported by its key and replaced.

use std::{cell::RefCell, collections::BTreeSet};

use indicatif::ProgressBar;
use trigger_launch::{
    escape::escape_name,
    limits::RETIRED_GENERATION_MS,
    profiles::{
        import::{BuiltIndex, ImportError, Importer},
        key::IndexKey,
        live::command::{Contents, PublishReply},
        manifest::{
            Generation, IndexError, Manifest, RetiredGeneration, database_prefix, generation_prefix, manifest_key,
            pending_key, pending_prefix,
        },
    },
    text::{error_chain, hex},
};

use super::api::{ApiError, DatabaseApi};
use crate::{
    kv::{BatchLimits, KvBinding, KvError, KvPair, KvStore},
    lock::{LockError, LockFile},
    system::{SystemError, random_bytes},
    terminal::Warn,
};

/// Why a generation was not written, or not made the current one.
#[derive(Debug, thiserror::Error)]
pub enum GenerationError {
    #[error(transparent)]
    Import(#[from] ImportError),
    #[error(transparent)]
    Kv(#[from] KvError),
    #[error(transparent)]
    Lock(#[from] LockError),
    #[error(transparent)]
    System(#[from] SystemError),
    #[error("cannot encode a generation as JSON")]
    Encode(#[from] serde_json::Error),
    #[error(
        "another import into database {0} has finished in the meantime, so this import was discarded; run it again if \
         its file is newer"
    )]
    Superseded(u64),
    #[error(
        "the file has {now} profiles, which is less than 90 % of the {before} profiles of the import in use; if profiles \
         were deleted, use --allow-shrink; nothing was imported"
    )]
    Shrunk { now: u64, before: u64 },
    #[error("the changes of database {0} are live: add --url, and --as-of with the time of the export")]
    Live(u64),
    #[error(transparent)]
    Api(#[from] ApiError),
}

/// What is checked before a generation becomes the current one.
#[derive(Debug, Clone, Copy)]
pub struct WriteChecks {
    /// The number of rows of the file. It has at most as many profiles.
    pub rows: u64,
    /// Whether the file can have far fewer profiles than the current generation.
    pub allow_shrink: bool,
    /// Whether everything is done but writing.
    pub dry_run: bool,
}

impl WriteChecks {
    /// Returns an error if the number of profiles is too small.
    fn check_profiles(self, before: Option<&Manifest>, now: u64) -> Result<(), GenerationError> {
        let before = before.map_or(0, |manifest| manifest.current.profiles);
        let is_shrunk = now.saturating_mul(10) < before.saturating_mul(9);
        if is_shrunk && !self.allow_shrink { Err(GenerationError::Shrunk { now, before }) } else { Ok(()) }
    }
}

/// A generation that is to be written.
pub struct NewGeneration<'a> {
    pub(super) database: u64,
    /// [`IndexKey::check`] of the key that hashes its keys.
    pub(super) key_check: String,
    pub(super) name: String,
    /// The time of the import, in milliseconds since 1970.
    pub(super) now: u64,
    /// Prevents other imports from replacing the manifest at the same time.
    pub(super) lock: &'a LockFile,
    /// The deployment, if the changes of the database are live.
    pub(super) live: Option<&'a LiveTarget>,
}

/// A deployment whose database has live changes: it decides which generation is current.
pub struct LiveTarget {
    api: DatabaseApi,
    as_of: u64,
    reply: RefCell<Option<PublishReply>>,
}

impl LiveTarget {
    pub fn new(api: DatabaseApi, as_of: u64) -> Self {
        Self { api, as_of, reply: RefCell::default() }
    }

    /// Returns the reply to the publication.
    pub fn into_reply(self) -> Option<PublishReply> {
        self.reply.into_inner()
    }
}

impl<'a> NewGeneration<'a> {
    /// A generation with a random name after `prefix`.
    pub fn new(database: u64, key: &IndexKey, prefix: &str, lock: &'a LockFile, now: u64) -> Result<Self, SystemError> {
        let name = format!("{prefix}{}", hex(&random_bytes::<10>()?));
        Ok(Self { database, key_check: key.check().to_owned(), name, now, lock, live: None })
    }

    /// A generation of a compaction, which keeps the index key.
    pub fn compaction(database: u64, key_check: &str, lock: &'a LockFile, now: u64) -> Result<Self, SystemError> {
        let name = hex(&random_bytes::<10>()?);
        Ok(Self { database, key_check: key_check.to_owned(), name, now, lock, live: None })
    }

    /// Returns this generation, without buckets.
    pub fn generation_of_now(&self) -> Generation {
        self.generation(&self.name)
    }

    /// Writes the marker of this generation.
    pub fn mark(&self, kv: &mut dyn KvStore, generation: &Generation) -> Result<(), GenerationError> {
        let marker = (self.pending_key(), serde_json::to_string(generation)?);
        Ok(kv.put(KvBinding::Profiles, &[marker])?)
    }

    /// Deletes the marker of this generation.
    pub fn unmark(&self, kv: &mut dyn KvStore) -> Result<(), KvError> {
        kv.delete(KvBinding::Profiles, &[self.pending_key()])
    }

    /// Deletes the buckets of a generation that has not become the current one, and its marker. The keys are not listed, because KV
    /// may not list new keys yet.
    pub fn discard(&self, kv: &mut dyn KvStore, generation: &Generation) -> Result<(), KvError> {
        let keys: Vec<String> = generation.bucket_keys(self.database).collect();
        kv.delete(KvBinding::Profiles, &keys)?;
        self.unmark(kv)
    }

    /// Writes the keys of `importer`, and makes the generation the current one.
    pub fn write(
        &self,
        kv: &mut dyn KvStore,
        importer: Importer,
        checks: WriteChecks,
        progress: &ProgressBar,
        warn: Warn<'_>,
    ) -> Result<BuiltIndex, GenerationError> {
        let mut warn = |text: &str| progress.suspend(|| warn(text));
        let before = match read_manifest(kv, self.database)? {
            Ok(manifest) => Some(manifest),
            Err(IndexError::NotImported) => None,
            Err(error) => {
                let reason = error_chain(&error);
                warn(&format!("{} is {reason}; this import replaces it", manifest_key(self.database)));
                if !checks.dry_run {
                    self.mark_unlisted_generations(kv)?;
                }
                None
            }
        };
        let before = match (self.live, before) {
            (None, Some(manifest)) if manifest.live => return Err(GenerationError::Live(self.database)),
            (None, before) => before,
            (Some(live), _) => Some(live.api.status()?.manifest),
        };
        checks.check_profiles(before.as_ref(), checks.rows)?;
        let plan = importer.plan()?;
        if checks.dry_run {
            let built = plan.build(|_, _, _| Ok::<_, GenerationError>(()))?;
            checks.check_profiles(before.as_ref(), built.profiles)?;
            return Ok(built);
        }
        progress.set_length(plan.classes().iter().map(|index| u64::from(index.buckets)).sum());
        let mut generation = Generation { classes: plan.classes().to_vec(), ..self.generation(&self.name) };
        self.mark(kv, &generation)?;
        let mut batch = Batch::new(kv, progress);
        let built = plan.build(|index, number, text| {
            batch.add((generation.bucket_key(self.database, index, number), text)).map_err(GenerationError::from)
        })?;
        batch.write()?;
        generation.classes.clone_from(&built.classes);
        generation.profiles = built.profiles;
        if let Err(error) = checks.check_profiles(before.as_ref(), built.profiles) {
            self.delete_generation(kv, &generation)?;
            return Err(error);
        }
        let deleted = self.delete_old_generations(kv, before.as_ref(), &mut warn)?;
        self.publish(kv, before.as_ref(), generation, &deleted)?;
        kv.delete(KvBinding::Profiles, &[self.pending_key()])?;
        Ok(built)
    }

    /// Returns a generation without buckets, which this import created at this time.
    fn generation(&self, name: &str) -> Generation {
        Generation::new(name, &self.key_check, self.now)
    }

    fn pending_key(&self) -> String {
        pending_key(self.database, &self.name)
    }

    /// Returns a marker to replace one that is missing or damaged. Its generation may still be written, so its age counts from
    /// now on.
    fn new_marker(&self, name: &str) -> Result<KvPair, serde_json::Error> {
        Ok((pending_key(self.database, name), serde_json::to_string(&self.generation(name))?))
    }

    /// Writes markers for the generations of a database whose manifest cannot be read. Otherwise their buckets would never be
    /// deleted.
    fn mark_unlisted_generations(&self, kv: &mut dyn KvStore) -> Result<(), GenerationError> {
        let generation_in = |key: &str, prefix: &str| Some(key.strip_prefix(prefix)?.split(':').next()?.to_owned());
        let (bucket_prefix, marker_prefix) = (database_prefix(self.database), pending_prefix(self.database));
        let buckets = kv.list(KvBinding::Profiles, &bucket_prefix)?;
        let mut names: BTreeSet<String> = buckets.iter().filter_map(|key| generation_in(key, &bucket_prefix)).collect();
        for marked in kv.list(KvBinding::Profiles, &marker_prefix)? {
            marked.strip_prefix(&marker_prefix).map(|name| names.remove(name));
        }
        let markers = names.iter().map(|name| self.new_marker(name)).collect::<Result<Vec<_>, _>>()?;
        if !markers.is_empty() {
            kv.put(KvBinding::Profiles, &markers)?;
        }
        Ok(())
    }

    /// Deletes generations that launches no longer use, and those of interrupted imports. Returns the names of deleted
    /// generations that the manifest lists as retired.
    pub fn delete_old_generations(
        &self,
        kv: &mut dyn KvStore,
        manifest: Option<&Manifest>,
        warn: Warn<'_>,
    ) -> Result<Vec<String>, GenerationError> {
        let is_old = |since: u64| self.now.saturating_sub(since) >= RETIRED_GENERATION_MS;
        let mut deleted = Vec::new();
        for RetiredGeneration { name, since } in manifest.iter().flat_map(|manifest| &manifest.retired) {
            if is_old(*since) {
                self.delete_buckets(kv, name)?;
                deleted.push(name.clone());
            }
        }
        let prefix = pending_prefix(self.database);
        let markers = kv.list(KvBinding::Profiles, &prefix)?;
        let values = kv.get(KvBinding::Profiles, &markers)?;
        for (key, value) in markers.into_iter().zip(values) {
            let Some(value) = value else { continue };
            let name = key.strip_prefix(&prefix).unwrap_or_default();
            // Such a name would match a part of the buckets of another generation.
            if name.is_empty() || name.contains(':') {
                let key_text = escape_name(&key);
                warn(&format!("{key_text} does not contain the name of a generation; the key was deleted"));
                kv.delete(KvBinding::Profiles, &[key])?;
                continue;
            }
            let generation = match serde_json::from_str::<Generation>(&value) {
                Ok(generation) if generation.name == name => generation,
                Ok(_) | Err(_) => {
                    let key_text = escape_name(&key);
                    let remedy = "the first import after 24 hours deletes its generation";
                    warn(&format!("{key_text} is damaged and was replaced; {remedy}"));
                    kv.put(KvBinding::Profiles, &[self.new_marker(name)?])?;
                    continue;
                }
            };
            if !is_old(generation.created) {
                continue;
            }
            // An import that was interrupted after step 4 left its marker, but its generation may be in use.
            if !manifest.is_some_and(|manifest| manifest.has_generation(name)) {
                self.delete_buckets(kv, name)?;
            }
            kv.delete(KvBinding::Profiles, &[key])?;
        }
        Ok(deleted)
    }

    /// Deletes the buckets of a generation that no import is writing.
    fn delete_buckets(&self, kv: &mut dyn KvStore, generation: &str) -> Result<(), KvError> {
        let keys = kv.list(KvBinding::Profiles, &generation_prefix(self.database, generation))?;
        kv.delete(KvBinding::Profiles, &keys)
    }

    /// Deletes the buckets and the marker of a generation that this import has written.
    fn delete_generation(&self, kv: &mut dyn KvStore, generation: &Generation) -> Result<(), KvError> {
        // The keys are not listed, because KV may not list new keys yet.
        let keys: Vec<String> = generation.bucket_keys(self.database).collect();
        kv.delete(KvBinding::Profiles, &keys)?;
        kv.delete(KvBinding::Profiles, &[self.pending_key()])
    }

    /// Writes the manifest, unless its current generation has changed since `before`.
    fn publish(
        &self,
        kv: &mut dyn KvStore,
        before: Option<&Manifest>,
        generation: Generation,
        deleted: &[String],
    ) -> Result<(), GenerationError> {
        let _lock = self.lock.acquire()?;
        if let (Some(live), Some(before)) = (self.live, before) {
            return self.publish_live(kv, live, before, &generation, deleted);
        }
        let now = read_manifest(kv, self.database)?.ok();
        let current = |manifest: Option<&Manifest>| manifest.map(|manifest| manifest.current.name.clone());
        if current(now.as_ref()) != current(before) {
            self.discard(kv, &generation)?;
            return Err(GenerationError::Superseded(self.database));
        }
        let manifest = Manifest::publish(now, generation, deleted, self.now);
        Ok(kv.put(KvBinding::Profiles, &[(manifest_key(self.database), manifest.to_json())])?)
    }

    /// Publishes a generation of a database whose changes are live, and writes KV's copy of the manifest.
    fn publish_live(
        &self,
        kv: &mut dyn KvStore,
        live: &LiveTarget,
        before: &Manifest,
        generation: &Generation,
        deleted: &[String],
    ) -> Result<(), GenerationError> {
        let contents = Contents::ExportAt(live.as_of);
        let reply = match live.api.publish(&before.current.name, generation, deleted, contents) {
            Err(error @ ApiError::Refused { .. }) => {
                self.discard(kv, generation)?;
                return Err(error.into());
            }
            reply => reply?,
        };
        kv.put(KvBinding::Profiles, &[(manifest_key(self.database), reply.status.manifest.to_json())])?;
        live.reply.replace(Some(reply));
        Ok(())
    }
}

fn read_manifest(kv: &mut dyn KvStore, database: u64) -> Result<Result<Manifest, IndexError>, KvError> {
    let text = kv.get_one(KvBinding::Profiles, manifest_key(database))?;
    Ok(Manifest::parse(text.as_deref()))
}

/// Buckets that are written together.
struct Batch<'a> {
    kv: &'a mut dyn KvStore,
    progress: &'a ProgressBar,
    limits: BatchLimits,
    pairs: Vec<KvPair>,
    bytes: usize,
}

impl<'a> Batch<'a> {
    fn new(kv: &'a mut dyn KvStore, progress: &'a ProgressBar) -> Self {
        let limits = kv.batch_limits();
        Self { kv, progress, limits, pairs: Vec::new(), bytes: 0 }
    }

    /// Adds a pair, and writes the batch if it is full.
    fn add(&mut self, pair: KvPair) -> Result<(), KvError> {
        self.bytes += pair.1.len();
        self.pairs.push(pair);
        let is_full = self.pairs.len() >= self.limits.pairs || self.bytes >= self.limits.bytes;
        if is_full { self.write() } else { Ok(()) }
    }

    fn write(&mut self) -> Result<(), KvError> {
        if !self.pairs.is_empty() {
            self.kv.put(KvBinding::Profiles, &self.pairs)?;
            self.progress.inc(self.pairs.len() as u64);
            self.pairs.clear();
            self.bytes = 0;
        }
        Ok(())
    }
}
