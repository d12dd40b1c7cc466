//! The command `profiles compact`: folds the pending changes of a database into a new generation, while launches and changes go
//! on.

use std::io::{BufRead as _, BufReader};

use indicatif::ProgressBar;
use serde::Deserialize;
use trigger_launch::profiles::{
    live::{
        command::Contents,
        fold::{FoldError, Folding},
        message::PendingList,
    },
    manifest::Generation,
};

use super::{
    api::{ApiError, DatabaseApi},
    generation::{GenerationError, NewGeneration},
    live::write_manifest,
    progress::progress_bar,
};
use crate::{
    kv::{KvBinding, KvError, KvPair, KvStore},
    location::Location,
    system::SystemError,
    terminal::{count, print_warning},
};

/// Why changes were not compacted.
#[derive(Debug, thiserror::Error)]
pub enum CompactError {
    #[error("the pending changes cannot be read")]
    List(#[source] trigger_launch::profiles::live::message::DamagedMessage),
    #[error(transparent)]
    Fold(#[from] FoldError),
    #[error("the entries of generation {generation} cannot be read: {message}")]
    Entries { generation: String, message: String },
    #[error(transparent)]
    Api(#[from] ApiError),
    #[error(transparent)]
    Generation(#[from] GenerationError),
    #[error(transparent)]
    Kv(#[from] KvError),
    #[error(transparent)]
    System(#[from] SystemError),
}

/// A line of the entries of a generation.
#[derive(Deserialize)]
#[serde(untagged)]
enum EntriesLine {
    Bucket { class: usize, number: u32, bucket: String },
    Next { next: Option<u64> },
    Generation { generation: Box<Generation> },
}

/// Folds the pending changes into a new generation, and returns the result as a line.
pub fn compact(location: &Location, database: u64, url: &str, now: u64) -> Result<String, CompactError> {
    let api = DatabaseApi::new(url, database)?;
    let message = api.pending("compaction")?;
    let list = PendingList::read(&message).map_err(CompactError::List)?;
    let before = &list.status.manifest;
    let profiles = list.rows().count() as u64;
    if profiles == 0 {
        return Ok(format!("database {database}: no pending changes"));
    }
    let current = &before.current;
    let lock = location.lock_file();
    let new = NewGeneration::compaction(database, &current.key, &lock, now)?;
    let mut folding = Folding::new(current, &list)?;
    let mut kv = location.open_kv()?;
    let kv = kv.as_mut();
    let progress = progress_bar(
        folding.classes().iter().map(|index| u64::from(index.buckets)).sum(),
        "writing  {bar:40} {pos}/{len} buckets, {eta} left",
    );
    let mut generation = Generation { classes: folding.classes().to_vec(), ..new.generation_of_now() };
    new.mark(kv, &generation)?;
    let written = write_buckets(&api, kv, database, (current, &mut generation), &mut folding, &progress);
    progress.finish_and_clear();
    let publish = written.and_then(|()| {
        let deleted = new.delete_old_generations(kv, Some(before), &mut print_warning)?;
        Ok(api.publish(&current.name, &generation, &deleted, Contents::ChangesThrough(list.status.version))?)
    });
    let reply = match publish {
        Ok(reply) => reply,
        // Unless the answer was lost, the generation is not in use. A later import deletes it otherwise.
        Err(error @ CompactError::Api(ApiError::Refused { .. })) => {
            new.discard(kv, &generation)?;
            return Err(error);
        }
        Err(error) => return Err(error),
    };
    write_manifest(kv, database, &reply.status.manifest)?;
    new.unmark(kv)?;
    let later = count(reply.later, "profile");
    Ok(format!(
        "database {database}: changes of {} compacted; changes of {later} made in the meantime are pending",
        count(profiles, "profile")
    ))
}

/// Writes all buckets of the new generation.
fn write_buckets(
    api: &DatabaseApi,
    kv: &mut dyn KvStore,
    database: u64,
    (old, new): (&Generation, &mut Generation),
    folding: &mut Folding,
    progress: &ProgressBar,
) -> Result<(), CompactError> {
    let limits = kv.batch_limits();
    let mut pairs: Vec<KvPair> = Vec::new();
    let mut bytes = 0;
    let mut add = |class: usize, number: u32, text: String| -> Result<(), CompactError> {
        let Some(index) = new.classes.get(class) else { return Ok(()) };
        bytes += text.len();
        pairs.push((new.bucket_key(database, index, number), text));
        if pairs.len() >= limits.pairs || bytes >= limits.bytes {
            kv.put(KvBinding::Profiles, &pairs)?;
            progress.inc(pairs.len() as u64);
            pairs.clear();
            bytes = 0;
        }
        Ok(())
    };
    let mut next = Some(0);
    while let Some(from) = next {
        let failed = |message: String| CompactError::Entries { generation: old.name.clone(), message };
        let mut end = None;
        for line in BufReader::new(api.entries(&old.name, from)?).lines() {
            let line = line.map_err(|error| failed(error.to_string()))?;
            match serde_json::from_str(&line).map_err(|error| failed(error.to_string()))? {
                EntriesLine::Bucket { class, number, bucket } => {
                    let text = folding.fold(class, number, Some(&bucket))?;
                    add(class, number, text)?;
                }
                EntriesLine::Next { next } => end = Some(next),
                EntriesLine::Generation { generation } if generation.classes.len() == old.classes.len() => {}
                EntriesLine::Generation { .. } => return Err(failed("another generation was sent".to_owned())),
            }
        }
        next = end.ok_or_else(|| failed("the reply was cut off".to_owned()))?;
    }
    for (class, index) in folding.classes().to_vec().iter().enumerate().skip(old.classes.len()) {
        for number in 0..index.buckets {
            let text = folding.fold(class, number, None)?;
            add(class, number, text)?;
        }
    }
    if !pairs.is_empty() {
        kv.put(KvBinding::Profiles, &pairs)?;
    }
    new.classes = folding.classes().to_vec();
    Ok(())
}
