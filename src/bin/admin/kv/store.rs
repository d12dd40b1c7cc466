//! The operations on KV that commands need.

use std::{io, path::PathBuf};

use trigger_launch::{access, profiles};

/// A key and its value.
pub type KvPair = (String, String);

/// Why an operation on KV failed.
#[derive(Debug, thiserror::Error)]
pub enum KvError {
    #[error("cannot start {program} in {} (run `npm ci` there first)", checkout.display())]
    NotStarted { program: &'static str, checkout: PathBuf, source: io::Error },
    #[error("cannot access the local state in {}: {message}", state.display())]
    Local { state: PathBuf, message: String },
    #[error("wrangler kv: {0}")]
    Wrangler(String),
    #[error("cannot create a temporary folder")]
    TemporaryFolder(#[source] io::Error),
    #[error("cannot write {}", path.display())]
    TemporaryFile { path: PathBuf, source: io::Error },
    #[error("cannot encode a request as JSON")]
    Encode(#[from] serde_json::Error),
}

/// The bindings of the KV namespaces in `wrangler.toml`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum KvBinding {
    /// Manifests and buckets.
    Profiles,
    /// Tokens.
    Access,
}

impl KvBinding {
    pub fn name(self) -> &'static str {
        match self {
            Self::Profiles => profiles::BINDING,
            Self::Access => access::BINDING,
        }
    }
}

/// How much is best written at once.
#[derive(Debug, Clone, Copy)]
pub struct BatchLimits {
    pub pairs: usize,
    /// Bytes of values.
    pub bytes: usize,
}

/// A KV store: the local state or the deployed account.
pub trait KvStore {
    /// Reads the values of keys, and returns them in the order of the keys.
    fn get(&mut self, binding: KvBinding, keys: &[String]) -> Result<Vec<Option<String>>, KvError>;
    /// Writes pairs. After an error, some of them may have been written.
    fn put(&mut self, binding: KvBinding, pairs: &[KvPair]) -> Result<(), KvError>;
    /// Deletes keys. Keys that do not exist are ignored.
    fn delete(&mut self, binding: KvBinding, keys: &[String]) -> Result<(), KvError>;
    /// Returns all keys that begin with `prefix`.
    fn list(&mut self, binding: KvBinding, prefix: &str) -> Result<Vec<String>, KvError>;
    /// Returns how much is best written at once.
    fn batch_limits(&self) -> BatchLimits;

    /// Reads one value.
    fn get_one(&mut self, binding: KvBinding, key: String) -> Result<Option<String>, KvError> {
        Ok(self.get(binding, &[key])?.pop().flatten())
    }
}
