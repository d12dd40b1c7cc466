//! A lock file, for commands that must not run at the same time.

use std::{
    fs::{self, File, TryLockError},
    io,
    path::{Path, PathBuf},
};

use crate::terminal;

/// A lock file cannot be created or locked.
#[derive(Debug, thiserror::Error)]
#[error("cannot lock {}", path.display())]
pub struct LockError {
    path: PathBuf,
    source: io::Error,
}

/// A file that only one command at a time can lock.
pub struct LockFile {
    path: PathBuf,
    creates_folder: bool,
    /// Called if another command has locked the file.
    on_wait: fn(&Path),
}

impl LockFile {
    /// A lock file in an existing folder.
    pub fn new(path: PathBuf) -> Self {
        Self { path, creates_folder: false, on_wait: print_waiting }
    }

    /// A lock file in a folder that is created if necessary.
    pub fn creating_folder(path: PathBuf) -> Self {
        Self { creates_folder: true, ..Self::new(path) }
    }

    /// A lock file that does not print that it waits.
    #[cfg(test)]
    pub fn silent(folder: &Path) -> Self {
        Self { path: folder.join("test.lock"), creates_folder: false, on_wait: |_| {} }
    }

    /// Waits until no other command has locked the file, and locks it. The lock is released when the returned file is dropped.
    pub fn acquire(&self) -> Result<File, LockError> {
        self.try_acquire().map_err(|source| LockError { path: self.path.clone(), source })
    }

    fn try_acquire(&self) -> io::Result<File> {
        if self.creates_folder
            && let Some(folder) = self.path.parent()
        {
            fs::create_dir_all(folder)?;
        }
        let file = open_for_writing(&self.path, true)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                (self.on_wait)(&self.path);
                file.lock()?;
            }
            Err(TryLockError::Error(error)) => return Err(error),
        }
        Ok(file)
    }
}

fn print_waiting(path: &Path) {
    terminal::print_note(&format!("waiting for another command, which has locked {}", path.display()));
}

/// Opens a file without changing its content.
pub fn open_for_writing(path: &Path, create: bool) -> io::Result<File> {
    File::options().create(create).truncate(false).write(true).open(path)
}
