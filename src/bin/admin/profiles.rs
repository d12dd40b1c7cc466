//! The commands on profiles: `profiles import` reads a file, shows the progress, and prints a summary; `profiles find` looks up
//! one key.

mod api;
mod apply;
mod compact;
mod find;
mod generation;
mod live;
mod progress;
mod summary;
#[cfg(test)]
mod tests;
pub mod time;

use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
};

use trigger_launch::{
    limits::SORT_KEYS,
    profiles::{
        import::{ImportError, ImportReport, Importer, TooManyBad},
        key::IndexKey,
    },
};

use self::{
    api::{ApiError, DatabaseApi},
    apply::ApplyError,
    compact::CompactError,
    live::LiveError,
    progress::progress_bar,
    summary::Summary,
};
use crate::{
    arguments::ImportFile,
    kv::KvError,
    location::Location,
    system::SystemError,
    terminal::{PrintError, count, print_note, print_result, print_warning},
};

pub use self::{
    apply::apply,
    compact::compact,
    find::{FindError, find_profiles},
    generation::{GenerationError, LiveTarget, NewGeneration, WriteChecks},
    live::set_live,
};

/// Why a file was not imported.
#[derive(Debug, thiserror::Error)]
pub enum ProfilesError {
    #[error("{}", path.display())]
    File { path: PathBuf, source: ImportError },
    #[error("{}: no row is valid; nothing was imported", .0.display())]
    NoValidRow(PathBuf),
    #[error("{}: nothing was imported", path.display())]
    TooManyBad { path: PathBuf, source: TooManyBad },
    #[error("cannot encode the summary as JSON")]
    Encode(#[from] serde_json::Error),
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
    Find(#[from] FindError),
    #[error(transparent)]
    Kv(#[from] KvError),
    #[error(transparent)]
    System(#[from] SystemError),
    #[error(transparent)]
    Print(#[from] PrintError),
}

/// Imports a file. Prints the progress and the reasons for what is left out on standard error, and the summary on standard output.
pub fn import_file(location: &Location, arguments: &ImportFile, key: IndexKey, now: u64) -> Result<(), ProfilesError> {
    let live = match (arguments.url.as_deref(), arguments.as_of) {
        (Some(url), Some(as_of)) => Some(LiveTarget::new(DatabaseApi::new(url, arguments.database)?, as_of)),
        _ => None,
    };
    let lock = location.lock_file();
    let generation =
        NewGeneration { live: live.as_ref(), ..NewGeneration::new(arguments.database, &key, "", &lock, now)? };
    let mut importer = Importer::new(key, SORT_KEYS);
    let report = read_file(&mut importer, arguments)?;
    let mut summary = Summary::new(arguments.database, arguments.dry_run, report);
    if !arguments.json {
        summary.reasons().iter().for_each(|line| print_note(line));
    }
    let result = check_report(&summary.report, arguments).and_then(|()| {
        let progress = progress_bar(0, "writing  {bar:40} {pos}/{len} buckets, {eta} left");
        let checks = WriteChecks {
            rows: summary.report.rows.accepted,
            allow_shrink: arguments.allow_shrink,
            dry_run: arguments.dry_run,
        };
        let mut kv = location.open_kv()?;
        let built = generation.write(kv.as_mut(), importer, checks, &progress, &mut print_warning);
        progress.finish_and_clear();
        Ok(built?)
    });
    let error = match result {
        Ok(built) => {
            summary.set_built(&built);
            None
        }
        Err(error) => Some(error),
    };
    if arguments.json {
        print_result(&serde_json::to_string(&summary)?)?;
    } else if let Some(line) = summary.line() {
        print_result(&line)?;
    }
    if let Some(error) = error {
        return Err(error);
    }
    if let Some(reply) = live.and_then(LiveTarget::into_reply)
        && !arguments.json
    {
        let (superseded, later) = (count(reply.superseded, "profile"), count(reply.later, "profile"));
        print_result(&format!("the export supersedes changes of {superseded}; later changes of {later} are kept"))?;
    }
    Ok(())
}

fn read_file(importer: &mut Importer, arguments: &ImportFile) -> Result<ImportReport, ProfilesError> {
    let file_error = |source| ProfilesError::File { path: arguments.file.clone(), source };
    let io_error = |error: io::Error| file_error(error.into());
    let file = File::open(&arguments.file).map_err(io_error)?;
    let size = file.metadata().map_err(io_error)?.len();
    let progress = progress_bar(size, "reading  {bar:40} {bytes}/{total_bytes}, {eta} left");
    let report = importer.read(progress.wrap_read(file), &arguments.read_options());
    progress.finish_and_clear();
    report.map_err(file_error)
}

fn check_report(report: &ImportReport, arguments: &ImportFile) -> Result<(), ProfilesError> {
    let path = || Path::to_owned(&arguments.file);
    if report.rows.accepted == 0 {
        return Err(ProfilesError::NoValidRow(path()));
    }
    report.check(arguments.max_bad).map_err(|source| ProfilesError::TooManyBad { path: path(), source })
}
