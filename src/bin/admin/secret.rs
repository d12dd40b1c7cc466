//! The key of the profile index: for the deployed account it comes from the environment, locally from `.dev.vars`.

use std::{
    fs,
    io::{ErrorKind, Write as _},
    path::Path,
};

use trigger_launch::profiles::key::IndexKey;

use crate::{
    Failure, Outcome,
    place::{LockFile, Place},
    random,
};

/// The file from which `wrangler dev` takes local secrets; git ignores it.
pub const FILE: &str = ".dev.vars";
const NAME: &str = "PROFILE_INDEX_KEY";

/// The key that indexes are built with. `file` contains the local one.
pub fn index_key(place: &Place, file: &Path) -> Outcome<IndexKey> {
    let (secret, source) = match place {
        Place::Deployed { .. } => {
            let secret = std::env::var(NAME);
            let secret = secret.map_err(|_| Failure(format!("set {NAME} in the environment to the deployed key")))?;
            (secret, "the environment".to_owned())
        }
        Place::Local(_) => (local(file, &place.lock_file())?, file.display().to_string()),
    };
    IndexKey::new(&secret).map_err(|error| Failure(format!("{NAME} in {source}: {error}")))
}

/// The key in the file. If there is none, a random one is created; two simultaneous first runs get the same key.
fn local(file: &Path, lock: &LockFile) -> Outcome<String> {
    let failure = |error: std::io::Error| Failure(format!("{}: {error}", file.display()));
    let _lock = lock.acquire()?;
    let (text, exists) = match fs::read_to_string(file) {
        Ok(text) => (text, true),
        Err(error) if error.kind() == ErrorKind::NotFound => (String::new(), false),
        Err(error) => return Err(failure(error)),
    };
    if let Some(secret) = find(&text) {
        return Ok(secret.to_owned());
    }
    let secret = base64_simd::URL_SAFE_NO_PAD.encode_to_string(random::<32>()?);
    let line_end = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // Created with mode 0600 and moved into place.
    let mut new = tempfile::NamedTempFile::new_in(folder).map_err(failure)?;
    writeln!(new, "{text}{line_end}{NAME}={secret}").map_err(failure)?;
    if !exists {
        match new.persist_noclobber(file) {
            Ok(_) => {}
            // Another process has just created the file: its key counts.
            Err(error) if error.error.kind() == ErrorKind::AlreadyExists => {
                let text = fs::read_to_string(file).map_err(failure)?;
                let none = || Failure(format!("{} contains no {NAME}; run the command again", file.display()));
                return find(&text).map(str::to_owned).ok_or_else(none);
            }
            Err(error) => return Err(failure(error.error)),
        }
    } else {
        new.persist(file).map_err(|error| failure(error.error))?;
    }
    Ok(secret)
}

/// The value of the key's line, without quotes.
fn find(text: &str) -> Option<&str> {
    let value =
        text.lines().filter_map(|line| line.trim().strip_prefix(NAME)?.trim_start().strip_prefix('=')).next_back()?;
    let value = value.trim();
    let quoted = ['"', '\''].into_iter().find_map(|quote| value.strip_prefix(quote)?.strip_suffix(quote));
    Some(quoted.unwrap_or(value)).filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_is_made_once_and_found_again() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join(FILE);
        let lock = LockFile::in_folder(folder.path());
        let first = local(&file, &lock).unwrap();
        assert_eq!(first.len(), 43);
        assert_eq!(local(&file, &lock).unwrap(), first);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        }
    }

    #[test]
    fn other_lines_stay() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join(FILE);
        fs::write(&file, "OTHER=1").unwrap();
        let secret = local(&file, &LockFile::in_folder(folder.path())).unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), format!("OTHER=1\nPROFILE_INDEX_KEY={secret}\n"));
    }

    #[test]
    fn adds_a_key_to_an_empty_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join(FILE);
        fs::write(&file, "").unwrap();
        let secret = local(&file, &LockFile::in_folder(folder.path())).unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), format!("PROFILE_INDEX_KEY={secret}\n"));
    }

    #[test]
    fn the_line_is_read_as_dotenv_has_it() {
        assert_eq!(find("A=1\nPROFILE_INDEX_KEY=\"ab=c\"\r\n"), Some("ab=c"));
        assert_eq!(find("PROFILE_INDEX_KEY = 'x'"), Some("x"));
        assert_eq!(find("PROFILE_INDEX_KEY_PREVIOUS=x\n#PROFILE_INDEX_KEY=y\nPROFILE_INDEX_KEY="), None);
    }
}
