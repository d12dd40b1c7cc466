//! The key of the profile index. For the deployed account it is in the environment, for the local state in `.dev.vars`.

use std::{
    env, fs,
    io::{self, ErrorKind, Write as _},
    path::{Path, PathBuf},
};

use trigger_launch::profiles::key::{IndexKey, SecretTooShort};

use crate::{
    location::Location,
    lock::{LockError, LockFile},
    system::{SystemError, random_bytes},
};

/// The file from which `wrangler dev` reads local secrets, relative to the checkout. git ignores it.
pub const SECRETS_FILE: &str = ".dev.vars";
const VARIABLE: &str = "PROFILE_INDEX_KEY";

/// Why the index key cannot be read or created.
#[derive(Debug, thiserror::Error)]
pub enum IndexKeyError {
    #[error("the environment variable {VARIABLE} is not set; set it to the key of the deployed Worker")]
    NotSet,
    #[error("{VARIABLE} in {place}")]
    Invalid { place: String, source: SecretTooShort },
    #[error("cannot read or write {}", path.display())]
    File { path: PathBuf, source: io::Error },
    #[error("{} was created by another program without {VARIABLE}; run the command again", .0.display())]
    NotInNewFile(PathBuf),
    #[error(transparent)]
    Lock(#[from] LockError),
    #[error(transparent)]
    System(#[from] SystemError),
}

/// Returns the key that hashes the keys of profiles. `secrets` is the file with the local key, which is created if it is missing.
pub fn load_index_key(location: &Location, secrets: &Path) -> Result<IndexKey, IndexKeyError> {
    let (secret, place) = match location {
        Location::Remote { .. } => {
            let secret = env::var(VARIABLE).map_err(|_| IndexKeyError::NotSet)?;
            (secret, "the environment".to_owned())
        }
        Location::Local { .. } => (load_or_create(secrets, &location.lock_file())?, secrets.display().to_string()),
    };
    IndexKey::new(&secret).map_err(|source| IndexKeyError::Invalid { place, source })
}

/// Reads the key from a file. Adds a random one if the file has none. Two simultaneous first runs get the same key.
fn load_or_create(file: &Path, lock: &LockFile) -> Result<String, IndexKeyError> {
    let file_error = |source| IndexKeyError::File { path: file.to_owned(), source };
    let _lock = lock.acquire()?;
    let (text, exists) = match fs::read_to_string(file) {
        Ok(text) => (text, true),
        Err(error) if error.kind() == ErrorKind::NotFound => (String::new(), false),
        Err(error) => return Err(file_error(error)),
    };
    if let Some(secret) = find_key(&text) {
        return Ok(secret.to_owned());
    }
    let secret = base64_simd::URL_SAFE_NO_PAD.encode_to_string(random_bytes::<32>()?);
    let line_end = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // A temporary file has mode 0600.
    let mut new = tempfile::NamedTempFile::new_in(folder).map_err(file_error)?;
    writeln!(new, "{text}{line_end}{VARIABLE}={secret}").map_err(file_error)?;
    if exists {
        new.persist(file).map_err(|error| file_error(error.error))?;
        return Ok(secret);
    }
    match new.persist_noclobber(file) {
        Ok(_) => Ok(secret),
        // Another process has created the file in the meantime.
        Err(error) if error.error.kind() == ErrorKind::AlreadyExists => {
            let text = fs::read_to_string(file).map_err(file_error)?;
            find_key(&text).map(str::to_owned).ok_or_else(|| IndexKeyError::NotInNewFile(file.to_owned()))
        }
        Err(error) => Err(file_error(error.error)),
    }
}

/// Returns the value of the last line that sets the key, without quotes.
fn find_key(text: &str) -> Option<&str> {
    let mut values = text.lines().filter_map(|line| line.trim().strip_prefix(VARIABLE)?.trim_start().strip_prefix('='));
    let value = values.next_back()?.trim();
    let quoted = ['"', '\''].into_iter().find_map(|quote| value.strip_prefix(quote)?.strip_suffix(quote));
    Some(quoted.unwrap_or(value)).filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn creates_a_key_once_and_returns_it_again() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join(SECRETS_FILE);
        let lock = LockFile::silent(folder.path());
        let first = load_or_create(&file, &lock).unwrap();
        assert_eq!(first.len(), 43);
        assert_eq!(load_or_create(&file, &lock).unwrap(), first);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        }
    }

    #[test]
    fn keeps_the_other_lines_of_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join(SECRETS_FILE);
        fs::write(&file, "OTHER=1").unwrap();
        let secret = load_or_create(&file, &LockFile::silent(folder.path())).unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), format!("OTHER=1\nPROFILE_INDEX_KEY={secret}\n"));
    }

    #[test]
    fn adds_a_key_to_an_empty_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join(SECRETS_FILE);
        fs::write(&file, "").unwrap();
        let secret = load_or_create(&file, &LockFile::silent(folder.path())).unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), format!("PROFILE_INDEX_KEY={secret}\n"));
    }

    #[test]
    fn reads_the_line_in_every_form_of_dotenv() {
        assert_eq!(find_key("A=1\nPROFILE_INDEX_KEY=\"ab=c\"\r\n"), Some("ab=c"));
        assert_eq!(find_key("PROFILE_INDEX_KEY = 'x'"), Some("x"));
        assert_eq!(find_key("PROFILE_INDEX_KEY_PREVIOUS=x\n#PROFILE_INDEX_KEY=y\nPROFILE_INDEX_KEY="), None);
    }
}
