//! KV of the deployed account, accessed with `wrangler kv`.

use std::{borrow::Cow, collections::HashMap, process::Stdio};

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::json;
use trigger_launch::limits::{BULK_KEYS, WRANGLER_KV_BYTES, WRANGLER_KV_KEYS};

use super::{
    program::{command, error_line, first_line, not_started},
    store::{BatchLimits, KvBinding, KvError, KvPair, KvStore},
};

/// Runs `wrangler kv` for each operation.
pub struct WranglerKv {
    /// The arguments that select the account or a local state.
    target: Vec<String>,
    /// Contains the JSON files of bulk operations.
    files: tempfile::TempDir,
}

impl WranglerKv {
    /// Selects the deployed account.
    pub fn remote() -> Result<Self, KvError> {
        Self::new(vec!["--remote".into()])
    }

    pub(super) fn new(target: Vec<String>) -> Result<Self, KvError> {
        Ok(Self { target, files: tempfile::tempdir().map_err(KvError::TemporaryFolder)? })
    }

    /// Runs `wrangler kv` and returns its standard output.
    pub(super) fn run(&self, binding: KvBinding, arguments: &[&str]) -> Result<String, KvError> {
        let mut command = command("wrangler");
        command.arg("kv").args(arguments).args(["--binding", binding.name()]).args(&self.target);
        let output = command.stdin(Stdio::null()).output();
        let output = output.map_err(|error| not_started("wrangler", error))?;
        let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        match output.status.success() {
            true => Ok(stdout.into_owned()),
            false => Err(KvError::Wrangler(error_line(&format!("{stdout}\n{stderr}")))),
        }
    }

    /// Runs `wrangler kv` with a JSON file.
    fn run_with_file<T: Serialize>(
        &self,
        binding: KvBinding,
        arguments: &[&str],
        content: &T,
    ) -> Result<String, KvError> {
        let path = self.files.path().join("batch.json");
        let written = std::fs::write(&path, serde_json::to_vec(content)?);
        written.map_err(|source| KvError::TemporaryFile { path: path.clone(), source })?;
        let path: Cow<'_, str> = path.to_string_lossy();
        self.run(binding, &[arguments, &[path.as_ref()]].concat())
    }
}

/// A value in the output of `wrangler kv bulk get`. Its form depends on whether the state is local or deployed.
#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum BulkValue {
    Plain(Option<String>),
    Wrapped { value: Option<String> },
}

impl BulkValue {
    pub(super) fn into_text(self) -> Option<String> {
        match self {
            Self::Plain(value) | Self::Wrapped { value } => value,
        }
    }
}

impl KvStore for WranglerKv {
    fn get(&mut self, binding: KvBinding, keys: &[String]) -> Result<Vec<Option<String>>, KvError> {
        let mut values = Vec::with_capacity(keys.len());
        for keys in keys.chunks(BULK_KEYS) {
            let output = self.run_with_file(binding, &["bulk", "get"], &keys)?;
            let mut found: HashMap<String, BulkValue> = parse_output(&output, '{')?;
            values.extend(keys.iter().map(|key| found.remove(key)?.into_text()));
        }
        Ok(values)
    }

    fn put(&mut self, binding: KvBinding, pairs: &[KvPair]) -> Result<(), KvError> {
        for pairs in pairs.chunks(WRANGLER_KV_KEYS) {
            let pairs: Vec<_> = pairs.iter().map(|(key, value)| json!({ "key": key, "value": value })).collect();
            self.run_with_file(binding, &["bulk", "put"], &pairs)?;
        }
        Ok(())
    }

    fn delete(&mut self, binding: KvBinding, keys: &[String]) -> Result<(), KvError> {
        for keys in keys.chunks(WRANGLER_KV_KEYS) {
            self.run_with_file(binding, &["bulk", "delete", "--force"], &keys)?;
        }
        Ok(())
    }

    fn list(&mut self, binding: KvBinding, prefix: &str) -> Result<Vec<String>, KvError> {
        #[derive(Deserialize)]
        struct ListedKey {
            name: String,
        }
        let output = self.run(binding, &["key", "list", "--prefix", prefix])?;
        let keys: Vec<ListedKey> = parse_output(&output, '[')?;
        Ok(keys.into_iter().map(|key| key.name).collect())
    }

    fn batch_limits(&self) -> BatchLimits {
        BatchLimits { pairs: WRANGLER_KV_KEYS, bytes: WRANGLER_KV_BYTES }
    }
}

/// Parses the JSON in the output of wrangler. Other text can precede the JSON, which begins with `first`.
pub(super) fn parse_output<T: DeserializeOwned>(output: &str, first: char) -> Result<T, KvError> {
    let json = output.find(first).and_then(|at| output.get(at..));
    let value = json.and_then(|json| serde_json::from_str(json.trim()).ok());
    value.ok_or_else(|| KvError::Wrangler(format!("unexpected output: {}", first_line(output))))
}
