//! The command `profiles import`: reads a file, shows the progress, and prints a summary.

mod api;
mod apply;
mod compact;
mod generation;
mod live;
mod progress;
#[cfg(test)]
mod tests;
mod time;

use std::{
    fs::File,
    io::{self, BufReader},
    path::{Path, PathBuf},
};

use trigger_launch::{
    limits::{IMPORT_READ, REFUSED_ROWS_SHOWN, SORT_RUN_KEYS},
    profiles::{
        import::{BuiltIndex, ImportError, Importer, RefusedRow, RowCounts},
        key::IndexKey,
    },
};

use self::{
    api::{ApiError, DatabaseApi},
    apply::ApplyError,
    compact::CompactError,
    live::LiveError,
    progress::progress_bar,
};
use crate::{
    kv::KvError,
    location::Location,
    system::SystemError,
    terminal::{PrintError, count, print_note, print_result, print_warning},
};

pub use self::{
    apply::apply,
    compact::compact,
    generation::{GenerationError, LiveTarget, NewGeneration},
    live::set_live,
    time::parse_time,
};

/// Why a file was not imported.
#[derive(Debug, thiserror::Error)]
pub enum ProfilesError {
    #[error("{}", path.display())]
    File { path: PathBuf, source: ImportError },
    #[error("{}: no row is valid, for the reasons above; nothing was imported", .0.display())]
    NoValidRow(PathBuf),
    #[error(transparent)]
    Api(#[from] ApiError),
    #[error(transparent)]
    Apply(#[from] ApplyError),
    #[error(transparent)]
    Compact(#[from] CompactError),
    #[error(transparent)]
    Live(#[from] LiveError),
    #[error(transparent)]
    Generation(#[from] GenerationError),
    #[error(transparent)]
    Kv(#[from] KvError),
    #[error(transparent)]
    System(#[from] SystemError),
    #[error(transparent)]
    Print(#[from] PrintError),
}

/// The deployment of a database whose changes are live, and the time of the export.
#[derive(Debug, Clone, Copy)]
pub struct LiveImport<'a> {
    pub url: &'a str,
    /// Milliseconds since 1970.
    pub as_of: u64,
}

/// Imports a file. Prints the progress and refused rows on standard error, and the summary on standard output.
pub fn import_file(
    location: &Location,
    path: &Path,
    key: IndexKey,
    database: u64,
    live: Option<LiveImport<'_>>,
    now: u64,
) -> Result<(), ProfilesError> {
    let live = live.map(|live| Ok::<_, ApiError>(LiveTarget::new(DatabaseApi::new(live.url, database)?, live.as_of)));
    let live = live.transpose()?;
    let file_error = |source| ProfilesError::File { path: path.to_owned(), source };
    let io_error = |error: io::Error| file_error(error.into());
    let file = File::open(path).map_err(io_error)?;
    let size = file.metadata().map_err(io_error)?.len();
    let lock = location.lock_file();
    let generation = NewGeneration { live: live.as_ref(), ..NewGeneration::new(database, &key, "", &lock, now)? };
    let mut importer = Importer::new(key, SORT_RUN_KEYS);
    let mut refused = Vec::new();
    let progress = progress_bar(size, "reading  {bar:40} {bytes}/{total_bytes}, {eta} left");
    let rows = importer.read(BufReader::with_capacity(IMPORT_READ, progress.wrap_read(file)), |row| {
        if refused.len() < REFUSED_ROWS_SHOWN {
            refused.push(row);
        }
    });
    progress.finish_and_clear();
    let rows = rows.map_err(file_error)?;
    print_refused(&refused, rows);
    if rows.accepted == 0 {
        return Err(ProfilesError::NoValidRow(path.to_owned()));
    }
    let progress = progress_bar(0, "writing  {bar:40} {pos}/{len} buckets, {eta} left");
    let built = generation.write(location.open_kv()?.as_mut(), importer, &progress, &mut print_warning);
    progress.finish_and_clear();
    print_result(&summary(database, &built?, rows))?;
    if let Some(reply) = live.and_then(LiveTarget::into_reply) {
        let (superseded, later) = (count(reply.superseded, "profile"), count(reply.later, "profile"));
        print_result(&format!("the export supersedes changes of {superseded}; later changes of {later} are kept"))?;
    }
    Ok(())
}

fn print_refused(refused: &[RefusedRow], rows: RowCounts) {
    for RefusedRow { line, reason } in refused {
        print_note(&format!("line {line}: row refused: {reason}"));
    }
    let more = rows.refused.saturating_sub(refused.len() as u64);
    if more > 0 {
        print_note(&format!("… and {} refused", count(more, "more row")));
    }
}

fn summary(database: u64, built: &BuiltIndex, rows: RowCounts) -> String {
    let (profiles, keys) = (count(built.profiles, "profile"), count(built.keys, "key"));
    let (ambiguous, refused) = (count(built.ambiguous, "ambiguous key"), count(rows.refused, "row"));
    format!(
        "database {database}: {profiles}, {keys} (addresses, numbers and custom values that launches can match), \
         {ambiguous} (shared by several profiles, so they match none), {refused} refused"
    )
}
