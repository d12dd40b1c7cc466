//! The data that a command works on: a local state folder, or the deployed account.

use std::{
    fs,
    io::{self, ErrorKind},
    path::{Path, PathBuf},
};

use crate::{
    kv::{KvError, KvStore, LocalKv, WranglerKv},
    lock::{LockFile, open_for_writing},
};

/// The default state folder of wrangler, relative to the checkout.
const DEFAULT_STATE: &str = ".wrangler/state";
/// The folders of the simulated KV, relative to the state folder.
const KV_FOLDERS: [&str; 2] = ["v3", "v3/kv"];
/// The lock file of a state folder.
const STATE_LOCK: &str = "trigger-launch.lock";
/// The lock file of the deployed account, relative to the checkout. Only commands of the same checkout wait for each other.
const REMOTE_LOCK: &str = ".wrangler/trigger-launch-remote.lock";

/// A state folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LocationError {
    #[error("--persist-to is not the path of a folder")]
    InvalidPath(#[source] io::Error),
    #[error("the state folder {} does not exist; `npm run dev{option}` creates it", state.display())]
    Missing { state: PathBuf, option: String },
    #[error("the state folder {} cannot be used: it is not a folder; choose another one with --persist-to", .0.display())]
    NotAFolder(PathBuf),
    #[error("the state folder {} cannot be used", state.display())]
    Unusable { state: PathBuf, source: io::Error },
    #[error("the state folder {} cannot be written", state.display())]
    NotWritable { state: PathBuf, source: io::Error },
    /// `path` is relative to the folder.
    #[error("the state folder {} cannot be written: {}", state.display(), path.display())]
    PathNotWritable { state: PathBuf, path: PathBuf, source: io::Error },
}

/// Where the data is.
pub enum Location {
    /// A state folder, which exists and can be written.
    Local { state: PathBuf },
    /// The deployed account that the configuration of a checkout selects.
    Remote { checkout: PathBuf },
}

impl Location {
    /// Selects the deployed account.
    pub fn remote(checkout: &Path) -> Self {
        Self::Remote { checkout: checkout.to_owned() }
    }

    /// Selects a local state: `persist_to`, or the default folder of the checkout. The folder must exist.
    pub fn local(checkout: &Path, persist_to: Option<&Path>) -> Result<Self, LocationError> {
        let state = match persist_to {
            None => checkout.join(DEFAULT_STATE),
            Some(folder) => std::path::absolute(folder).map_err(LocationError::InvalidPath)?,
        };
        match fs::metadata(&state) {
            Ok(metadata) if metadata.is_dir() => {}
            Ok(_) => return Err(LocationError::NotAFolder(state)),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let option = persist_to.map(|_| format!(" -- --persist-to {}", state.display())).unwrap_or_default();
                return Err(LocationError::Missing { state, option });
            }
            Err(source) => return Err(LocationError::Unusable { state, source }),
        }
        let Err(NotWritable { path, source }) = check_writable(&state) else { return Ok(Self::Local { state }) };
        match path.strip_prefix(&state).map(Path::to_owned) {
            Ok(path) if !path.as_os_str().is_empty() => Err(LocationError::PathNotWritable { state, path, source }),
            _ => Err(LocationError::NotWritable { state, source }),
        }
    }

    pub fn is_remote(&self) -> bool {
        matches!(self, Self::Remote { .. })
    }

    /// Opens KV.
    pub fn open_kv(&self) -> Result<Box<dyn KvStore>, KvError> {
        Ok(match self {
            Self::Local { state } => Box::new(LocalKv::start(state)?),
            Self::Remote { .. } => Box::new(WranglerKv::remote()?),
        })
    }

    /// Returns the lock file for commands that change this data.
    pub fn lock_file(&self) -> LockFile {
        match self {
            Self::Local { state } => LockFile::new(state.join(STATE_LOCK)),
            Self::Remote { checkout } => LockFile::creating_folder(checkout.join(REMOTE_LOCK)),
        }
    }
}

/// A path that cannot be written, and why.
struct NotWritable {
    path: PathBuf,
    source: io::Error,
}

/// Checks that the simulated KV can create its files and write its databases. Its own errors do not name the folder. Folders
/// that do not exist yet are not checked.
fn check_writable(state: &Path) -> Result<(), NotWritable> {
    check_folder(state)?;
    check_file(&state.join(STATE_LOCK), true)?;
    for folder in KV_FOLDERS {
        check_folder(&state.join(folder))?;
    }
    for namespace in list_folder(&state.join("v3/kv"))? {
        check_folder(&namespace)?;
        for entry in list_folder(&namespace)? {
            // A folder of values, which can be many, or a database.
            if entry.is_dir() { check_folder(&entry)? } else { check_file(&entry, false)? }
        }
    }
    Ok(())
}

fn list_folder(folder: &Path) -> Result<Vec<PathBuf>, NotWritable> {
    let read = || fs::read_dir(folder)?.map(|entry| entry.map(|entry| entry.path())).collect();
    ignore_missing(folder, read()).map(Option::unwrap_or_default)
}

/// Creates a file in a folder and deletes it.
fn check_folder(folder: &Path) -> Result<(), NotWritable> {
    if !folder.exists() {
        return Ok(());
    }
    let created = tempfile::tempfile_in(folder);
    created.map(drop).map_err(|source| NotWritable { path: folder.to_owned(), source })
}

fn check_file(path: &Path, create: bool) -> Result<(), NotWritable> {
    ignore_missing(path, open_for_writing(path, create)).map(drop)
}

/// Returns `None` if the path does not exist. It can have been deleted in the meantime.
fn ignore_missing<T>(path: &Path, result: io::Result<T>) -> Result<Option<T>, NotWritable> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(source) => Err(NotWritable { path: path.to_owned(), source }),
    }
}

#[cfg(test)]
mod tests {
    use trigger_launch::text::error_chain;

    use super::*;

    fn failure(folder: &Path) -> String {
        let Err(error) = Location::local(Path::new("/"), Some(folder)) else { panic!("{folder:?} is accepted") };
        let text = error_chain(&error);
        assert!(text.contains(&folder.display().to_string()), "{text}");
        text
    }

    #[test]
    fn accepts_an_empty_folder_and_a_used_one() {
        let state = tempfile::tempdir().unwrap();
        assert!(Location::local(Path::new("/"), Some(state.path())).is_ok());
        let namespace = state.path().join("v3/kv/ACCESS");
        fs::create_dir_all(namespace.join("blobs")).unwrap();
        fs::write(namespace.join("x.sqlite"), "content").unwrap();
        assert!(Location::local(Path::new("/"), Some(state.path())).is_ok());
        assert_eq!(fs::read_to_string(namespace.join("x.sqlite")).unwrap(), "content");
        assert_eq!(fs::read_dir(namespace.join("blobs")).unwrap().count(), 0);
    }

    #[test]
    fn rejects_a_state_folder_that_does_not_exist() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("a/b");
        assert!(failure(&folder).ends_with(&format!("`npm run dev -- --persist-to {}` creates it", folder.display())));
        let Err(error) = Location::local(root.path(), None) else { panic!("accepted") };
        let text = error_chain(&error);
        assert!(text.contains(".wrangler/state does not exist; `npm run dev` creates it"), "{text}");
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 0);
    }

    #[test]
    fn reports_the_path_that_cannot_be_written() {
        let root = tempfile::tempdir().unwrap();
        let file = root.path().join("file");
        fs::write(&file, "").unwrap();
        assert!(failure(&file).ends_with("cannot be used: it is not a folder; choose another one with --persist-to"));
        assert!(failure(&file.join("state")).contains("cannot be used: "));
        for path in ["v3", "v3/kv", "v3/kv/ACCESS", "trigger-launch.lock"] {
            let state = tempfile::tempdir().unwrap();
            let occupied = state.path().join(path);
            fs::create_dir_all(occupied.parent().unwrap()).unwrap();
            if path.ends_with("lock") {
                fs::create_dir(&occupied).unwrap()
            } else {
                fs::write(&occupied, "").unwrap()
            }
            assert!(failure(state.path()).contains(&format!("cannot be written: {path}: ")), "{path}");
        }
    }

    /// Even root cannot create a file in `/proc`, or open a symbolic link to itself.
    #[cfg(target_os = "linux")]
    #[test]
    fn reports_a_folder_or_a_database_that_root_cannot_write() {
        assert!(failure(Path::new("/proc")).contains("cannot be written: "));
        let state = tempfile::tempdir().unwrap();
        let namespace = state.path().join("v3/kv/ACCESS");
        fs::create_dir_all(&namespace).unwrap();
        std::os::unix::fs::symlink("x.sqlite", namespace.join("x.sqlite")).unwrap();
        assert!(failure(state.path()).contains("cannot be written: v3/kv/ACCESS/x.sqlite: "));
        fs::remove_file(namespace.join("x.sqlite")).unwrap();
        std::os::unix::fs::symlink("/proc", namespace.join("blobs")).unwrap();
        assert!(failure(state.path()).contains("cannot be written: v3/kv/ACCESS/blobs: "));
    }

    #[test]
    fn the_deployed_account_needs_no_state_folder() {
        let checkout = tempfile::tempdir().unwrap();
        let _lock = Location::remote(checkout.path()).lock_file().acquire().unwrap();
        assert!(!checkout.path().join(DEFAULT_STATE).exists());
    }
}
