//! `profiles import`: from a file to a generation in KV, in an order that leaves a usable index at every moment.
//!
//! 1. A *pending* marker, so that a later import can clean up should this one die.
//! 2. All buckets, under a generation's name of their own.
//! 3. What earlier imports left: generations two behind, and markers, once they are a day old.
//! 4. The manifest, unless another import has written it meanwhile. From here on launches use the new one.

use std::{fs::File, io::BufReader, path::Path};

use indicatif::{ProgressBar, ProgressStyle};
use trigger_launch::profiles::{
    import::{Built, ImportError, Importer, Refused, Rows},
    key::{IndexKey, NORMALISATION},
    manifest::{
        FORMAT, Generation, Manifest, RETIRED_MS, Retired, Unusable, generation_prefix, manifest_key, pending_key,
        pending_prefix,
    },
};

use crate::{
    Failure, Outcome, random,
    store::{Kv, Namespace, Pair},
};

/// Keys that are sorted in memory at once: 64 MiB of them.
pub const RUN: usize = 2 * 1024 * 1024;
/// Refused rows that are printed; all are counted.
const REFUSED_SHOWN: usize = 20;
/// What is read of the file at once, in bytes.
const READ: usize = 256 * 1024;

/// What an import is to make.
pub struct Target<'a> {
    /// The database.
    pub database: u64,
    /// [`IndexKey::check`] of the key.
    pub check: String,
    /// The generation's name.
    pub name: String,
    /// Milliseconds since 1970.
    pub now: u64,
    /// The folder in which imports lock each other out while the manifest is written.
    pub state: &'a Path,
}

impl<'a> Target<'a> {
    /// A new generation under a random name.
    pub fn new(database: u64, key: &IndexKey, prefix: &str, state: &'a Path, now: u64) -> Outcome<Self> {
        let name = random::<10>()?.iter().fold(prefix.to_owned(), |name, byte| format!("{name}{byte:02x}"));
        Ok(Self { database, check: key.check().to_owned(), name, now, state })
    }
}

/// The whole command, with progress on standard error and the summary on standard output.
pub fn import_file(kv: &mut dyn Kv, path: &Path, key: IndexKey, database: u64, state: &Path, now: u64) -> Outcome {
    let failure = |error: std::io::Error| Failure(format!("{}: {error}", path.display()));
    let file = File::open(path).map_err(failure)?;
    let bar = bar(file.metadata().map_err(failure)?.len(), "reading  {bar:40} {bytes}/{total_bytes}, {eta} left");
    let target = Target::new(database, &key, "", state, now)?;
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
        return Err(Failure(format!("{}: no row could be taken; nothing was imported", path.display())));
    }
    let bar = self::bar(0, "writing  {bar:40} {pos}/{len} buckets, {eta} left");
    let built = write(kv, &target, importer, &bar);
    bar.finish_and_clear();
    let Built { profiles, keys, ambiguous, .. } = built?;
    let refused = rows.refused;
    println!(
        "database {database}: {profiles} profiles, {keys} keys, {ambiguous} ambiguous keys, {refused} rows refused"
    );
    Ok(())
}

fn bar(length: u64, template: &str) -> ProgressBar {
    // Drawn on standard error, and only if that is a terminal.
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(length).with_style(style)
}

fn show(refused: &[Refused], rows: Rows) {
    for Refused { line, reason } in refused {
        eprintln!("line {line}: {reason}");
    }
    if rows.refused > refused.len() as u64 {
        eprintln!("… and {} more rows refused", rows.refused - refused.len() as u64);
    }
}

/// Writes the generation and makes it the current one.
pub fn write(kv: &mut dyn Kv, target: &Target<'_>, importer: Importer, bar: &ProgressBar) -> Outcome<Built> {
    let before = read(kv, target.database)?;
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
    let removed = clean_up(kv, target, before.as_ref())?;
    publish(kv, target, before, generation, &removed)?;
    kv.delete(Namespace::Profiles, &[pending])?;
    Ok(built)
}

/// The manifest in KV. One that cannot be read is as good as none: importing again is what mends it.
fn read(kv: &mut dyn Kv, database: u64) -> Outcome<Option<Manifest>> {
    let text = kv.get_one(Namespace::Profiles, manifest_key(database))?;
    match Manifest::parse(text.as_deref()) {
        Ok(manifest) => Ok(Some(manifest)),
        Err(Unusable::NoImport | Unusable::Damaged(_) | Unusable::OtherVersion | Unusable::OtherKey) => Ok(None),
    }
}

/// Removes what earlier imports left and nobody can be using any more. Returns the names of the retired generations
/// that are gone.
fn clean_up(kv: &mut dyn Kv, target: &Target<'_>, manifest: Option<&Manifest>) -> Outcome<Vec<String>> {
    let old = |since: u64| target.now.saturating_sub(since) >= RETIRED_MS;
    let mut removed = Vec::new();
    for Retired { name, since } in manifest.iter().flat_map(|manifest| &manifest.retired) {
        if old(*since) {
            remove(kv, target.database, name)?;
            removed.push(name.clone());
        }
    }
    let markers = kv.list(Namespace::Profiles, &pending_prefix(target.database))?;
    let values = kv.get(Namespace::Profiles, &markers)?;
    for (marker, value) in markers.into_iter().zip(values) {
        let dead = value.as_deref().and_then(|value| serde_json::from_str::<Generation>(value).ok());
        let Some(dead) = dead.filter(|dead| old(dead.created)) else { continue };
        // An import that died after the manifest left its marker, but what it marks is in use.
        let in_use = manifest.is_some_and(|manifest| {
            let retired = manifest.retired.iter().map(|retired| &retired.name);
            let usable = std::iter::once(&manifest.current).chain(&manifest.previous).map(|known| &known.name);
            usable.chain(retired).any(|known| *known == dead.name)
        });
        if !in_use {
            remove(kv, target.database, &dead.name)?;
        }
        kv.delete(Namespace::Profiles, &[marker])?;
    }
    Ok(removed)
}

/// Removes the buckets of a generation that is not written to any more.
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
    let _lock = lock(target.state)?;
    let now = read(kv, target.database)?;
    let name = |manifest: &Option<Manifest>| manifest.as_ref().map(|manifest| manifest.current.name.clone());
    if name(&now) != name(&before) {
        // By their names: what was written a moment ago need not be listed yet.
        let keys: Vec<String> = generation.bucket_keys(target.database).collect();
        kv.delete(Namespace::Profiles, &keys)?;
        kv.delete(Namespace::Profiles, &[pending_key(target.database, &target.name)])?;
        let database = target.database;
        return Err(Failure(format!(
            "another import of database {database} has finished meanwhile; this one is undone"
        )));
    }
    let (previous, mut retired, behind) = match now {
        Some(Manifest { current, previous, retired, .. }) => (Some(current), retired, previous),
        None => (None, Vec::new(), None),
    };
    retired.retain(|retired| !removed.contains(&retired.name));
    retired.extend(behind.map(|generation| Retired { name: generation.name, since: target.now }));
    let manifest = Manifest { format: FORMAT, current: generation, previous, retired };
    kv.put(Namespace::Profiles, &[(manifest_key(target.database), manifest.to_json())])
}

/// Keeps other command lines out for as long as the file lives.
pub fn lock(state: &Path) -> Outcome<File> {
    let path = state.join("trigger-launch.lock");
    let file = File::options().create(true).truncate(false).write(true).open(&path);
    let locked = file.and_then(|file| file.lock().map(|()| file));
    locked.map_err(|error| Failure(format!("{}: {error}", path.display())))
}

#[cfg(test)]
mod tests;
