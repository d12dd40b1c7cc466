//! `profiles import`: from a file to a generation in KV, in an order that leaves a usable index at every moment.
//!
//! 1. A *pending* marker, so that a later import can clean up if this one is interrupted.
//! 2. All buckets, under the name of the new generation.
//! 3. Deletion of what earlier imports left: generations before the previous one, and markers, once they are a day old.
//! 4. The manifest, unless another import has written it in the meantime. From here on launches use the new generation.
//!
//! A manifest or marker that cannot be read is reported by its key and replaced.

use std::{collections::BTreeSet, fs::File, io::BufReader, path::Path};

use indicatif::{ProgressBar, ProgressStyle};
use trigger_launch::{
    escape::short,
    profiles::{
        import::{Built, ImportError, Importer, Refused, Rows},
        key::{IndexKey, NORMALISATION},
        manifest::{
            FORMAT, Generation, Manifest, RETIRED_MS, Retired, Unusable, database_prefix, generation_prefix,
            manifest_key, pending_key, pending_prefix,
        },
    },
};

use crate::{
    Failure, Outcome,
    output::{self, Warn},
    place::{LockFile, Place},
    random,
    store::{Kv, Namespace, Pair},
};

/// How many keys are sorted in memory at once: 64 MiB.
pub const RUN: usize = 2 * 1024 * 1024;
/// How many refused rows are printed; all are counted.
const REFUSED_SHOWN: usize = 20;
/// Bytes of the file that are read at once.
const READ: usize = 256 * 1024;

/// The generation that an import builds.
pub struct Target<'a> {
    /// The database.
    pub database: u64,
    /// [`IndexKey::check`] of the key.
    pub check: String,
    /// The generation's name.
    pub name: String,
    /// Milliseconds since 1970.
    pub now: u64,
    /// Keeps other imports out while the manifest is written.
    pub lock: &'a LockFile,
}

impl<'a> Target<'a> {
    /// A new generation under a random name.
    pub fn new(database: u64, key: &IndexKey, prefix: &str, lock: &'a LockFile, now: u64) -> Outcome<Self> {
        let name = random::<10>()?.iter().fold(prefix.to_owned(), |name, byte| format!("{name}{byte:02x}"));
        Ok(Self { database, check: key.check().to_owned(), name, now, lock })
    }
}

/// The whole command, with progress on standard error and the summary on standard output.
pub fn import_file(place: &Place, path: &Path, key: IndexKey, database: u64, now: u64) -> Outcome {
    let failure = |error: std::io::Error| Failure(format!("{}: {error}", path.display()));
    let file = File::open(path).map_err(failure)?;
    let bar = bar(file.metadata().map_err(failure)?.len(), "reading  {bar:40} {bytes}/{total_bytes}, {eta} left");
    let lock = place.lock_file();
    let target = Target::new(database, &key, "", &lock, now)?;
    let mut importer = Importer::new(key, RUN);
    let mut refused = Vec::new();
    let rows = importer.read(BufReader::with_capacity(READ, bar.wrap_read(file)), |row| {
        if refused.len() < REFUSED_SHOWN {
            refused.push(row);
        }
    });
    bar.finish_and_clear();
    let rows = rows.map_err(|error| Failure(format!("{}: {error}", path.display())))?;
    show(&refused, rows);
    if rows.taken == 0 {
        return Err(Failure(format!("{}: the file has no valid row; nothing was imported", path.display())));
    }
    let bar = self::bar(0, "writing  {bar:40} {pos}/{len} buckets, {eta} left");
    let built = write(place.kv()?.as_mut(), &target, importer, &bar, &mut output::warning);
    bar.finish_and_clear();
    let Built { profiles, keys, ambiguous, .. } = built?;
    let refused = rows.refused;
    output::result(&format!(
        "database {database}: {profiles} profiles, {keys} keys, {ambiguous} ambiguous keys, {refused} rows refused"
    ))
}

fn bar(length: u64, template: &str) -> ProgressBar {
    // Drawn on standard error, and only if that is a terminal.
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(length).with_style(style)
}

fn show(refused: &[Refused], rows: Rows) {
    for Refused { line, reason } in refused {
        output::note(&format!("line {line}: {reason}"));
    }
    if rows.refused > refused.len() as u64 {
        output::note(&format!("… and {} more rows refused", rows.refused - refused.len() as u64));
    }
}

/// Writes the generation and makes it the current one.
pub fn write(
    kv: &mut dyn Kv,
    target: &Target<'_>,
    importer: Importer,
    bar: &ProgressBar,
    warn: Warn<'_>,
) -> Outcome<Built> {
    let mut warn = |text: &str| bar.suspend(|| warn(text));
    let before = read(kv, target.database)?;
    if let Err(reason) = &before
        && *reason != Unusable::NoImport
    {
        warn(&format!("{} is {reason}; this import replaces it", manifest_key(target.database)));
        mark_generations(kv, target)?;
    }
    let before = before.ok();
    let mut generation = Generation {
        name: target.name.clone(),
        created: target.now,
        normalisation: NORMALISATION,
        key: target.check.clone(),
        classes: Vec::new(),
    };
    let pending = pending_key(target.database, &target.name);
    let store = std::cell::RefCell::new(&mut *kv);
    let (most_pairs, most_bytes) = store.borrow().batch();
    let mut batch: Vec<Pair> = Vec::new();
    let mut bytes = 0;
    let put = |batch: &mut Vec<Pair>| {
        let put = store.borrow_mut().put(Namespace::Profiles, batch);
        bar.inc(batch.len() as u64);
        batch.clear();
        put.map_err(|Failure(text)| ImportError(text))
    };
    let built = importer.build(
        |classes| {
            bar.set_length(classes.iter().map(|index| u64::from(index.buckets)).sum());
            let marker = Generation { classes: classes.to_vec(), ..generation.clone() };
            let marker = serde_json::to_string(&marker).map_err(|error| ImportError(error.to_string()))?;
            let put = store.borrow_mut().put(Namespace::Profiles, &[(pending.clone(), marker)]);
            put.map_err(|Failure(text)| ImportError(text))
        },
        |index, number, text| {
            bytes += text.len();
            batch.push((generation.bucket_key(target.database, index, number), text));
            if batch.len() >= most_pairs || bytes >= most_bytes {
                bytes = 0;
                put(&mut batch)?;
            }
            Ok(())
        },
    )?;
    if !batch.is_empty() {
        put(&mut batch)?;
    }
    generation.classes.clone_from(&built.classes);
    let removed = clean_up(kv, target, before.as_ref(), &mut warn)?;
    publish(kv, target, before, generation, &removed)?;
    kv.delete(Namespace::Profiles, &[pending])?;
    Ok(built)
}

fn read(kv: &mut dyn Kv, database: u64) -> Outcome<Result<Manifest, Unusable>> {
    let text = kv.get_one(Namespace::Profiles, manifest_key(database))?;
    Ok(Manifest::parse(text.as_deref()))
}

/// Marks the generations of a database whose manifest cannot be read: otherwise no import would ever remove their buckets.
fn mark_generations(kv: &mut dyn Kv, target: &Target<'_>) -> Outcome {
    let part = |key: &str, prefix: &str| Some(key.strip_prefix(prefix)?.split(':').next()?.to_owned());
    let (buckets, markers) = (database_prefix(target.database), pending_prefix(target.database));
    let names = kv.list(Namespace::Profiles, &buckets)?;
    let mut names: BTreeSet<String> = names.iter().filter_map(|key| part(key, &buckets)).collect();
    for marked in kv.list(Namespace::Profiles, &markers)? {
        marked.strip_prefix(&markers).map(|name| names.remove(name));
    }
    let markers = names.iter().map(|name| marker(target, name)).collect::<Outcome<Vec<_>>>()?;
    if markers.is_empty() { Ok(()) } else { kv.put(Namespace::Profiles, &markers) }
}

/// The marker of a generation whose own marker is missing or damaged. When it was written is not known, so it may be in
/// progress: its age counts from now.
fn marker(target: &Target<'_>, name: &str) -> Outcome<Pair> {
    let generation = Generation {
        name: name.to_owned(),
        created: target.now,
        normalisation: NORMALISATION,
        key: target.check.clone(),
        classes: Vec::new(),
    };
    let value = serde_json::to_string(&generation).map_err(|error| Failure(error.to_string()))?;
    Ok((pending_key(target.database, name), value))
}

/// Removes what earlier imports left and no launch can be using any more. Returns the names of the retired generations
/// that are gone.
fn clean_up(kv: &mut dyn Kv, target: &Target<'_>, manifest: Option<&Manifest>, warn: Warn<'_>) -> Outcome<Vec<String>> {
    let old = |since: u64| target.now.saturating_sub(since) >= RETIRED_MS;
    let mut removed = Vec::new();
    for Retired { name, since } in manifest.iter().flat_map(|manifest| &manifest.retired) {
        if old(*since) {
            remove(kv, target.database, name)?;
            removed.push(name.clone());
        }
    }
    let prefix = pending_prefix(target.database);
    let markers = kv.list(Namespace::Profiles, &prefix)?;
    let values = kv.get(Namespace::Profiles, &markers)?;
    for (key, value) in markers.into_iter().zip(values) {
        let Some(value) = value else { continue };
        let name = key.strip_prefix(&prefix).unwrap_or_default();
        let dead = match serde_json::from_str::<Generation>(&value) {
            Ok(generation) if generation.name == name => generation,
            Ok(_) | Err(_) => {
                let day = "the first import in 24 hours or later removes its generation";
                warn(&format!("{} is damaged and was replaced; {day}", short(&key)));
                kv.put(Namespace::Profiles, &[marker(target, name)?])?;
                continue;
            }
        };
        if !old(dead.created) {
            continue;
        }
        // An import that was interrupted after it had written the manifest left its marker, but is in use.
        let in_use = manifest.is_some_and(|manifest| {
            let retired = manifest.retired.iter().map(|retired| &retired.name);
            let usable = std::iter::once(&manifest.current).chain(&manifest.previous).map(|known| &known.name);
            usable.chain(retired).any(|known| *known == dead.name)
        });
        if !in_use {
            remove(kv, target.database, &dead.name)?;
        }
        kv.delete(Namespace::Profiles, &[key])?;
    }
    Ok(removed)
}

/// Removes the buckets of a generation that no import is writing.
fn remove(kv: &mut dyn Kv, database: u64, generation: &str) -> Outcome {
    let keys = kv.list(Namespace::Profiles, &generation_prefix(database, generation))?;
    kv.delete(Namespace::Profiles, &keys)
}

/// Writes the manifest, unless its current generation is no longer the one that this import began with.
fn publish(
    kv: &mut dyn Kv,
    target: &Target<'_>,
    before: Option<Manifest>,
    generation: Generation,
    removed: &[String],
) -> Outcome {
    let _lock = target.lock.acquire()?;
    let now = read(kv, target.database)?.ok();
    let name = |manifest: &Option<Manifest>| manifest.as_ref().map(|manifest| manifest.current.name.clone());
    if name(&now) != name(&before) {
        // By their names: KV may not list yet what was just written.
        let keys: Vec<String> = generation.bucket_keys(target.database).collect();
        kv.delete(Namespace::Profiles, &keys)?;
        kv.delete(Namespace::Profiles, &[pending_key(target.database, &target.name)])?;
        let database = target.database;
        return Err(Failure(format!(
            "another import of database {database} has finished meanwhile; this one is undone: run it again if its file is newer"
        )));
    }
    let (previous, mut retired, older) = match now {
        Some(Manifest { current, previous, retired, .. }) => (Some(current), retired, previous),
        None => (None, Vec::new(), None),
    };
    retired.retain(|retired| !removed.contains(&retired.name));
    retired.extend(older.map(|generation| Retired { name: generation.name, since: target.now }));
    let manifest = Manifest { format: FORMAT, current: generation, previous, retired };
    kv.put(Namespace::Profiles, &[(manifest_key(target.database), manifest.to_json())])
}

#[cfg(test)]
mod tests;
