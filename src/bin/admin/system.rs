//! The checkout, the clock and random bytes.

use std::{env, path::PathBuf, time::SystemTime};

/// The system cannot provide what a command needs.
#[derive(Debug, thiserror::Error)]
pub enum SystemError {
    #[error("the system clock is before 1970; correct it")]
    ClockTooEarly,
    #[error("the system clock is too far in the future; correct it")]
    ClockTooLate,
    #[error("the system provides no random bytes: {0}")]
    NoRandomBytes(getrandom::Error),
}

/// Returns the folder with wrangler and its configuration: the one that cargo names, or the current folder.
pub fn checkout() -> PathBuf {
    env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from).or_else(|| env::current_dir().ok()).unwrap_or_default()
}

/// Returns the time in milliseconds since 1970.
pub fn now() -> Result<u64, SystemError> {
    let since_1970 =
        SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_err(|_| SystemError::ClockTooEarly)?;
    u64::try_from(since_1970.as_millis()).map_err(|_| SystemError::ClockTooLate)
}

pub fn random_bytes<const N: usize>() -> Result<[u8; N], SystemError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(SystemError::NoRandomBytes)?;
    Ok(bytes)
}
