//! The key of the profile index: deployed it comes from the environment alone, locally from `.dev.vars`.

use std::{
    fs,
    io::{ErrorKind, Write as _},
    path::Path,
};

use trigger_launch::profiles::key::IndexKey;

use crate::{Failure, Outcome, profiles::lock, random};

/// Where `wrangler dev` takes local secrets from; git ignores it.
pub const FILE: &str = ".dev.vars";
const NAME: &str = "PROFILE_INDEX_KEY";

/// The key to make indexes with.
pub fn index_key(remote: bool, file: &Path, state: &Path) -> Outcome<IndexKey> {
    let secret = if remote {
        std::env::var(NAME).map_err(|_| Failure(format!("set {NAME} to the deployed key in the environment")))?
    } else {
        local(file, state)?
    };
    let place = if remote { "in the environment".to_owned() } else { format!("in {}", file.display()) };
    IndexKey::new(&secret).map_err(|error| Failure(format!("{NAME} {place}: {error}")))
}

/// The key in the file; where there is none, a random one is made. Two first runs agree on one key.
fn local(file: &Path, state: &Path) -> Outcome<String> {
    let failure = |error: std::io::Error| Failure(format!("{}: {error}", file.display()));
    let _lock = lock(state)?;
    let text = match fs::read_to_string(file) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => String::new(),
        Err(error) => return Err(failure(error)),
    };
    if let Some(secret) = find(&text) {
        return Ok(secret.to_owned());
    }
    let secret = base64_simd::URL_SAFE_NO_PAD.encode_to_string(random::<32>()?);
    let line_end = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // Made with mode 0600 and put in place whole.
    let mut new = tempfile::NamedTempFile::new_in(folder).map_err(failure)?;
    writeln!(new, "{text}{line_end}{NAME}={secret}").map_err(failure)?;
    if text.is_empty() {
        match new.persist_noclobber(file) {
            Ok(_) => {}
            // Somebody else has just made it: theirs is the key.
            Err(error) if error.error.kind() == ErrorKind::AlreadyExists => {
                let text = fs::read_to_string(file).map_err(failure)?;
                let none = || Failure(format!("{}: no {NAME}", file.display()));
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
        let first = local(&file, folder.path()).unwrap();
        assert_eq!(first.len(), 43);
        assert_eq!(local(&file, folder.path()).unwrap(), first);
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
        let secret = local(&file, folder.path()).unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), format!("OTHER=1\nPROFILE_INDEX_KEY={secret}\n"));
    }

    #[test]
    fn the_line_is_read_as_dotenv_has_it() {
        assert_eq!(find("A=1\nPROFILE_INDEX_KEY=\"ab=c\"\r\n"), Some("ab=c"));
        assert_eq!(find("PROFILE_INDEX_KEY = 'x'"), Some("x"));
        assert_eq!(find("PROFILE_INDEX_KEY_PREVIOUS=x\n#PROFILE_INDEX_KEY=y\nPROFILE_INDEX_KEY="), None);
    }
}
