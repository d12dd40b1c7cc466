//! Why a command failed.

use crate::{
    demo::DemoError, index_key::IndexKeyError, kv::KvError, location::LocationError, lock::LockError,
    profiles::ProfilesError, system::SystemError, terminal::PrintError, tokens::TokenError,
};

/// The exit status of a command that failed.
const FAILURE: u8 = 1;
/// The exit status of invalid arguments.
pub const INVALID_ARGUMENTS: u8 = 2;

#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    #[error("demo data is only for the local state; omit --remote")]
    RemoteDemo,
    /// Contains the number of damaged records, which have been reported as warnings.
    #[error("damaged token records are not listed: {0}; see the warnings")]
    DamagedTokens(usize),
    #[error(transparent)]
    Demo(#[from] DemoError),
    #[error(transparent)]
    IndexKey(#[from] IndexKeyError),
    #[error(transparent)]
    Kv(#[from] KvError),
    #[error(transparent)]
    Location(#[from] LocationError),
    #[error(transparent)]
    Lock(#[from] LockError),
    #[error(transparent)]
    Print(#[from] PrintError),
    #[error(transparent)]
    Profiles(#[from] ProfilesError),
    #[error(transparent)]
    System(#[from] SystemError),
    #[error(transparent)]
    Token(#[from] TokenError),
}

impl CommandError {
    /// Returns the exit status.
    pub fn exit_status(&self) -> u8 {
        match self {
            Self::RemoteDemo
            | Self::Location(LocationError::InvalidPath(_))
            | Self::Token(TokenError::InvalidName | TokenError::InvalidValue | TokenError::DemoToken) => {
                INVALID_ARGUMENTS
            }
            _ => FAILURE,
        }
    }
}
