//! The commands on profiles: `profiles import` reads a file, shows the progress, and prints a summary; `profiles find` looks up
//! one key.

mod find;
mod generation;
mod summary;
#[cfg(test)]
mod tests;

use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
};

use indicatif::{ProgressBar, ProgressStyle};
use trigger_launch::{
    limits::SORT_RUN_KEYS,
    profiles::{
        import::{ImportError, ImportReport, Importer, TooManyBad},
        key::IndexKey,
    },
};

use self::summary::Summary;
use crate::{
    arguments::ImportFile,
    kv::KvError,
    location::Location,
    system::SystemError,
    terminal::{PrintError, print_note, print_result, print_warning},
};

pub use self::{
    find::{FindError, find_profiles},
    generation::{GenerationError, NewGeneration, WriteChecks},
};

/// Why a file was not imported.
#[derive(Debug, thiserror::Error)]
pub enum ProfilesError {
    #[error("{}", path.display())]
    File { path: PathBuf, source: ImportError },
    #[error("{}: no row is valid, for the reasons above; nothing was imported", .0.display())]
    NoValidRow(PathBuf),
    #[error("{}: nothing was imported", path.display())]
    TooManyBad { path: PathBuf, source: TooManyBad },
    #[error("cannot encode the summary as JSON")]
    Encode(#[from] serde_json::Error),
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
    let lock = location.lock_file();
    let generation = NewGeneration::new(arguments.database, &key, "", &lock, now)?;
    let mut importer = Importer::new(key, SORT_RUN_KEYS);
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
    error.map_or(Ok(()), Err)
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

/// Returns a progress bar, which is drawn on standard error if that is a terminal.
fn progress_bar(length: u64, template: &str) -> ProgressBar {
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(length).with_style(style)
}
