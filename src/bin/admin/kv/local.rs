//! KV in the local state, accessed through a helper process.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Stdio},
};

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::json;
use trigger_launch::limits::{LOCAL_KV_BYTES, LOCAL_KV_KEYS};

use super::{
    program::{command, error_line, first_line, not_started},
    store::{BatchLimits, KvBinding, KvError, KvPair, KvStore},
};

/// A connection to `scripts/kv.mjs`. Requests and responses are lines of JSON.
pub struct LocalKv {
    state: PathBuf,
    child: Child,
    /// `None` when the connection is closed.
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum HelperResponse<T> {
    Ok(T),
    Error(String),
}

impl LocalKv {
    /// Starts the helper for a state folder.
    pub fn start(state: &Path) -> Result<Self, KvError> {
        let mut command = command("node");
        command.arg("scripts/kv.mjs").arg(state);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|error| not_started("node", error))?;
        let state = state.to_owned();
        let (Some(input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(KvError::Local { state, message: "node has no standard input and output".into() });
        };
        Ok(Self { state, child, input: Some(input), output: BufReader::new(output) })
    }

    /// Sends a request and reads the response.
    fn request<T: DeserializeOwned>(&mut self, request: &impl Serialize) -> Result<T, KvError> {
        let mut line = serde_json::to_vec(request)?;
        line.push(b'\n');
        let mut response = String::new();
        let is_sent =
            self.input.as_mut().is_some_and(|input| input.write_all(&line).and_then(|()| input.flush()).is_ok());
        let read = if is_sent { self.output.read_line(&mut response).unwrap_or(0) } else { 0 };
        if read == 0 {
            return Err(self.read_failure());
        }
        match serde_json::from_str(&response) {
            Ok(HelperResponse::Ok(value)) => Ok(value),
            Ok(HelperResponse::Error(text)) => Err(self.error(first_line(&text))),
            Err(error) => Err(self.error(format!("unexpected response of scripts/kv.mjs: {error}"))),
        }
    }

    fn error(&self, message: String) -> KvError {
        KvError::Local { state: self.state.clone(), message }
    }

    /// Returns the last error message of a helper that does not respond.
    fn read_failure(&mut self) -> KvError {
        self.input = None;
        let mut text = String::new();
        if let Some(stderr) = &mut self.child.stderr {
            let _ = stderr.read_to_string(&mut text);
        }
        self.error(error_line(&text))
    }
}

impl KvStore for LocalKv {
    fn get(&mut self, binding: KvBinding, keys: &[String]) -> Result<Vec<Option<String>>, KvError> {
        let mut values = Vec::with_capacity(keys.len());
        for keys in keys.chunks(LOCAL_KV_KEYS) {
            let request = json!({ "op": "get", "namespace": binding.name(), "keys": keys });
            values.extend(self.request::<Vec<Option<String>>>(&request)?);
        }
        Ok(values)
    }

    fn put(&mut self, binding: KvBinding, pairs: &[KvPair]) -> Result<(), KvError> {
        let mut chunks = pairs.chunks(LOCAL_KV_KEYS);
        chunks.try_for_each(|pairs| self.request(&json!({ "op": "put", "namespace": binding.name(), "pairs": pairs })))
    }

    fn delete(&mut self, binding: KvBinding, keys: &[String]) -> Result<(), KvError> {
        let mut chunks = keys.chunks(LOCAL_KV_KEYS);
        chunks.try_for_each(|keys| self.request(&json!({ "op": "delete", "namespace": binding.name(), "keys": keys })))
    }

    fn list(&mut self, binding: KvBinding, prefix: &str) -> Result<Vec<String>, KvError> {
        self.request(&json!({ "op": "list", "namespace": binding.name(), "prefix": prefix }))
    }

    fn batch_limits(&self) -> BatchLimits {
        BatchLimits { pairs: LOCAL_KV_KEYS, bytes: LOCAL_KV_BYTES }
    }
}

impl Drop for LocalKv {
    fn drop(&mut self) {
        // At the end of its input the helper closes the state and exits.
        self.input = None;
        let _ = self.child.wait();
    }
}
