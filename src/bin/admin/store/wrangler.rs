//! The deployed account, accessed with `wrangler kv`.

use std::{collections::HashMap, process::Stdio};

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::json;
use trigger_launch::limits::BULK_KEYS;

use super::{Kv, Namespace, Pair, command, error_line, first_line, not_started};
use crate::{Failure, Outcome};

/// `wrangler kv`.
pub struct Wrangler {
    target: Vec<String>,
    files: tempfile::TempDir,
}

impl Wrangler {
    /// The deployed account.
    pub fn remote() -> Outcome<Self> {
        Self::new(vec!["--remote".into()])
    }

    pub(super) fn new(target: Vec<String>) -> Outcome<Self> {
        let files =
            tempfile::tempdir().map_err(|error| Failure(format!("no temporary folder can be created: {error}")))?;
        Ok(Self { target, files })
    }

    /// Runs `wrangler kv` and returns what it printed.
    pub(super) fn run(&self, namespace: Namespace, arguments: &[&str]) -> Outcome<String> {
        let mut command = command("wrangler");
        command.arg("kv").args(arguments).args(["--binding", namespace.binding()]).args(&self.target);
        let output = command.stdin(Stdio::null()).output();
        let output = output.map_err(|error| not_started("wrangler", &error))?;
        let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        if output.status.success() {
            return Ok(stdout.into_owned());
        }
        Err(Failure(format!("wrangler kv: {}", error_line(&format!("{stdout}\n{stderr}")))))
    }

    /// Runs `wrangler kv` on a JSON file.
    fn run_on<T: Serialize>(&self, namespace: Namespace, arguments: &[&str], content: &T) -> Outcome<String> {
        let path = self.files.path().join("batch.json");
        let content = serde_json::to_vec(content).map_err(|error| Failure(error.to_string()))?;
        std::fs::write(&path, content).map_err(|error| Failure(format!("{}: {error}", path.display())))?;
        let path = path.to_string_lossy();
        self.run(namespace, &[arguments, &[path.as_ref()]].concat())
    }
}

/// A value as `wrangler kv bulk get` prints it: local and deployed state differ.
#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum Value {
    Plain(Option<String>),
    Wrapped { value: Option<String> },
}

impl Kv for Wrangler {
    fn get(&mut self, namespace: Namespace, keys: &[String]) -> Outcome<Vec<Option<String>>> {
        let mut values = Vec::with_capacity(keys.len());
        for keys in keys.chunks(BULK_KEYS) {
            let printed = self.run_on(namespace, &["bulk", "get"], &keys)?;
            let mut found: HashMap<String, Value> = json_in(&printed, '{')?;
            values.extend(keys.iter().map(|key| match found.remove(key)? {
                Value::Plain(value) | Value::Wrapped { value } => value,
            }));
        }
        Ok(values)
    }

    fn put(&mut self, namespace: Namespace, pairs: &[Pair]) -> Outcome {
        for pairs in pairs.chunks(10_000) {
            let pairs: Vec<_> = pairs.iter().map(|(key, value)| json!({ "key": key, "value": value })).collect();
            self.run_on(namespace, &["bulk", "put"], &pairs)?;
        }
        Ok(())
    }

    fn delete(&mut self, namespace: Namespace, keys: &[String]) -> Outcome {
        for keys in keys.chunks(10_000) {
            self.run_on(namespace, &["bulk", "delete", "--force"], &keys)?;
        }
        Ok(())
    }

    fn list(&mut self, namespace: Namespace, prefix: &str) -> Outcome<Vec<String>> {
        #[derive(Deserialize)]
        struct Key {
            name: String,
        }
        let printed = self.run(namespace, &["key", "list", "--prefix", prefix])?;
        let keys: Vec<Key> = json_in(&printed, '[')?;
        Ok(keys.into_iter().map(|key| key.name).collect())
    }

    fn batch(&self) -> (usize, usize) {
        (10_000, 32 * 1024 * 1024)
    }
}

/// The JSON that wrangler printed, possibly after other text.
pub(super) fn json_in<T: DeserializeOwned>(printed: &str, first: char) -> Outcome<T> {
    let from = printed.find(first).and_then(|at| printed.get(at..));
    from.and_then(|json| serde_json::from_str(json.trim()).ok())
        .ok_or_else(|| Failure(format!("wrangler kv: unexpected output: {}", first_line(printed))))
}
