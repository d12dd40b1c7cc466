//! Where a command works: on the local state or in the deployed account. Commands that change the same data wait for each
//! other.

use std::{
    fs::{self, File, TryLockError},
    io::{self, ErrorKind},
    path::{Path, PathBuf},
};

use crate::{
    Failure, Outcome, output,
    store::{Kv, Local, Wrangler},
};

/// Where wrangler keeps the local state, relative to the checkout.
const DEFAULT_STATE: &str = ".wrangler/state";
/// Where the simulator keeps KV, relative to the state folder.
const KV_FOLDERS: [&str; 2] = ["v3", "v3/kv"];
/// The lock of a state folder.
const STATE_LOCK: &str = "trigger-launch.lock";
/// The folder of wrangler's own temporary files, relative to the checkout. It exists without a local state, too.
const WRANGLER_FOLDER: &str = ".wrangler";
/// The lock of the deployed account: the commands of one checkout wait for each other.
const REMOTE_LOCK: &str = "trigger-launch-remote.lock";

/// The data that a command works on.
pub enum Place {
    /// A state folder that exists and can be written.
    Local(PathBuf),
    /// The deployed account, reached from a checkout.
    Deployed { root: PathBuf },
}

impl Place {
    /// The deployed account.
    pub fn deployed(root: &Path) -> Self {
        Self::Deployed { root: root.to_owned() }
    }

    /// The local state: `persist_to`, or the default folder of the checkout. A folder that does not exist is not created.
    pub fn local(root: &Path, persist_to: Option<&Path>) -> Outcome<Self> {
        let folder = match persist_to {
            None => root.join(DEFAULT_STATE),
            Some(folder) => {
                std::path::absolute(folder).map_err(|error| Failure(format!("--persist-to: {error}; name a folder")))?
            }
        };
        let shown = folder.display();
        match fs::metadata(&folder) {
            Ok(metadata) if metadata.is_dir() => {}
            Ok(_) => return Err(Failure(format!("the state folder {shown} cannot be used: it is not a folder"))),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let option = persist_to.map(|_| format!(" -- --persist-to {shown}")).unwrap_or_default();
                return Err(Failure(format!(
                    "the state folder {shown} does not exist; `npm run dev{option}` creates it"
                )));
            }
            Err(error) => return Err(Failure(format!("the state folder {shown} cannot be used: {error}"))),
        }
        check_writable(&folder).map_err(|(path, error)| {
            let below = path.strip_prefix(&folder).ok().filter(|below| !below.as_os_str().is_empty());
            let below = below.map(|below| format!("{}: ", below.display())).unwrap_or_default();
            Failure(format!("the state folder {shown} cannot be written: {below}{error}"))
        })?;
        Ok(Self::Local(folder))
    }

    /// Whether this is the deployed account.
    pub fn is_deployed(&self) -> bool {
        matches!(self, Self::Deployed { .. })
    }

    /// The way to KV.
    pub fn kv(&self) -> Outcome<Box<dyn Kv>> {
        Ok(match self {
            Self::Local(folder) => Box::new(Local::start(folder)?),
            Self::Deployed { .. } => Box::new(Wrangler::remote()?),
        })
    }

    /// The lock of this data.
    pub fn lock_file(&self) -> LockFile {
        match self {
            Self::Local(folder) => LockFile { path: folder.join(STATE_LOCK), folder: None, waiting },
            Self::Deployed { root } => {
                let folder = root.join(WRANGLER_FOLDER);
                LockFile { path: folder.join(REMOTE_LOCK), folder: Some(folder), waiting }
            }
        }
    }

    /// Waits for other commands on the same data, and keeps them out until the file is dropped.
    pub fn lock(&self) -> Outcome<File> {
        self.lock_file().acquire()
    }
}

/// A file that only one command at a time can lock.
pub struct LockFile {
    path: PathBuf,
    /// The folder to create for it.
    folder: Option<PathBuf>,
    /// Reports that another command has locked the file.
    waiting: fn(&Path),
}

impl LockFile {
    /// Waits for the lock, which is released when the file is dropped or the process ends.
    pub fn acquire(&self) -> Outcome<File> {
        self.try_acquire().map_err(|error| Failure(format!("{}: cannot be locked: {error}", self.path.display())))
    }

    fn try_acquire(&self) -> io::Result<File> {
        if let Some(folder) = &self.folder {
            fs::create_dir_all(folder)?;
        }
        let file = open_for_writing(&self.path, true)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                (self.waiting)(&self.path);
                file.lock()?;
            }
            Err(TryLockError::Error(error)) => return Err(error),
        }
        Ok(file)
    }

    /// A lock in a folder that exists.
    #[cfg(test)]
    pub fn in_folder(folder: &Path) -> Self {
        Self { path: folder.join(STATE_LOCK), folder: None, waiting: |_| {} }
    }
}

fn waiting(path: &Path) {
    output::note(&format!("waiting for another command, which has locked {}", path.display()));
}

fn open_for_writing(path: &Path, create: bool) -> io::Result<File> {
    File::options().create(create).truncate(false).write(true).open(path)
}

/// The path that cannot be written, and why.
type Unwritable = (PathBuf, io::Error);

/// Checks that files can be created wherever the simulator of KV does so, and that its databases can be written: its own
/// errors do not name the folder. What does not exist yet is not checked.
fn check_writable(state: &Path) -> Result<(), Unwritable> {
    create_file_in(state)?;
    open(&state.join(STATE_LOCK), true)?;
    for folder in KV_FOLDERS {
        create_file_in(&state.join(folder))?;
    }
    for namespace in entries(&state.join("v3/kv"))? {
        create_file_in(&namespace)?;
        for entry in entries(&namespace)? {
            // A folder of values, which can be many, or a database.
            if entry.is_dir() { create_file_in(&entry)? } else { open(&entry, false)? }
        }
    }
    Ok(())
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>, Unwritable> {
    let read = || fs::read_dir(folder)?.map(|entry| entry.map(|entry| entry.path())).collect();
    unless_missing(folder, read()).map(Option::unwrap_or_default)
}

/// Creates a file without a name, which leaves no trace.
fn create_file_in(folder: &Path) -> Result<(), Unwritable> {
    if !folder.exists() {
        return Ok(());
    }
    tempfile::tempfile_in(folder).map(drop).map_err(|error| (folder.to_owned(), error))
}

fn open(path: &Path, create: bool) -> Result<(), Unwritable> {
    unless_missing(path, open_for_writing(path, create)).map(drop)
}

/// A path that does not exist, or no longer, is no problem.
fn unless_missing<T>(path: &Path, result: io::Result<T>) -> Result<Option<T>, Unwritable> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err((path.to_owned(), error)),
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::{
            Barrier, Mutex,
            atomic::{AtomicUsize, Ordering},
        },
        thread,
    };

    use super::*;
    use crate::{
        Create,
        store::{Namespace, Pair, fake::Fake},
        tokens,
    };

    fn failure(folder: &Path) -> String {
        let Err(Failure(text)) = Place::local(Path::new("/"), Some(folder)) else { panic!("{folder:?} is accepted") };
        assert!(text.contains(&folder.display().to_string()), "{text}");
        text
    }

    #[test]
    fn accepts_an_empty_folder_and_a_used_one() {
        let state = tempfile::tempdir().unwrap();
        assert!(Place::local(Path::new("/"), Some(state.path())).is_ok());
        let namespace = state.path().join("v3/kv/ACCESS");
        fs::create_dir_all(namespace.join("blobs")).unwrap();
        fs::write(namespace.join("x.sqlite"), "content").unwrap();
        assert!(Place::local(Path::new("/"), Some(state.path())).is_ok());
        assert_eq!(fs::read_to_string(namespace.join("x.sqlite")).unwrap(), "content");
        assert_eq!(fs::read_dir(namespace.join("blobs")).unwrap().count(), 0);
    }

    #[test]
    fn refuses_a_state_folder_that_does_not_exist() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("a/b");
        assert!(failure(&folder).ends_with(&format!("`npm run dev -- --persist-to {}` creates it", folder.display())));
        let Err(Failure(text)) = Place::local(root.path(), None) else { panic!("accepted") };
        assert!(text.contains(".wrangler/state does not exist; `npm run dev` creates it"), "{text}");
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 0);
    }

    #[test]
    fn names_the_path_that_cannot_be_written() {
        let root = tempfile::tempdir().unwrap();
        let file = root.path().join("file");
        fs::write(&file, "").unwrap();
        assert!(failure(&file).ends_with("cannot be used: it is not a folder"));
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

    /// Permissions do not stop root, but a folder without files and a path without an end do.
    #[cfg(target_os = "linux")]
    #[test]
    fn reports_a_folder_or_a_database_that_nobody_can_write() {
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
        let root = tempfile::tempdir().unwrap();
        let place = Place::deployed(root.path());
        let _lock = place.lock().unwrap();
        assert!(!root.path().join(DEFAULT_STATE).exists());
    }

    /// KV that is shared by two command lines.
    struct Shared<'a>(&'a Mutex<Fake>);

    impl Kv for Shared<'_> {
        fn get(&mut self, namespace: Namespace, keys: &[String]) -> Outcome<Vec<Option<String>>> {
            let values = self.0.lock().unwrap().get(namespace, keys);
            thread::yield_now();
            values
        }

        fn put(&mut self, namespace: Namespace, pairs: &[Pair]) -> Outcome {
            self.0.lock().unwrap().put(namespace, pairs)
        }

        fn delete(&mut self, namespace: Namespace, keys: &[String]) -> Outcome {
            self.0.lock().unwrap().delete(namespace, keys)
        }

        fn list(&mut self, namespace: Namespace, prefix: &str) -> Outcome<Vec<String>> {
            self.0.lock().unwrap().list(namespace, prefix)
        }

        fn batch(&self) -> (usize, usize) {
            (3, 10_000)
        }
    }

    #[test]
    fn of_simultaneous_creations_of_a_name_one_succeeds() {
        const COMMANDS: usize = 4;
        let state = tempfile::tempdir().unwrap();
        for round in 0..50 {
            let kv = Mutex::new(Fake::default());
            let (barrier, created) = (Barrier::new(COMMANDS), AtomicUsize::new(0));
            thread::scope(|scope| {
                for _ in 0..COMMANDS {
                    scope.spawn(|| {
                        let lock = LockFile::in_folder(state.path());
                        let create = Create { name: "crm".into(), ..Create::default() };
                        barrier.wait();
                        let _lock = lock.acquire().unwrap();
                        let result = tokens::create(&mut Shared(&kv), &create, false, round, &mut |_| {});
                        created.fetch_add(usize::from(result.is_ok()), Ordering::Relaxed);
                    });
                }
            });
            assert_eq!((created.into_inner(), kv.into_inner().unwrap().access.len()), (1, 1));
        }
    }
}
