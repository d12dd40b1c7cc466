//! The local state, accessed through one helper process.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Stdio},
};

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::json;

use super::{Kv, Namespace, Pair, command, error_line, first_line, not_started};
use crate::{Failure, Outcome};

/// The local state.
pub struct Local {
    state: PathBuf,
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Answer<T> {
    Ok(T),
    Error(String),
}

impl Local {
    /// Starts the helper on a folder of state.
    pub fn start(state: &Path) -> Outcome<Self> {
        let mut command = command("node");
        command.arg("scripts/kv.mjs").arg(state);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|error| not_started("node", &error))?;
        let (Some(input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(Failure::new("node has no standard input and output"));
        };
        Ok(Self { state: state.to_owned(), child, input: Some(input), output: BufReader::new(output) })
    }

    fn ask<T: DeserializeOwned>(&mut self, request: &impl Serialize) -> Outcome<T> {
        let mut line = serde_json::to_vec(request).map_err(|error| Failure(error.to_string()))?;
        line.push(b'\n');
        let mut answer = String::new();
        let sent = self.input.as_mut().is_some_and(|input| input.write_all(&line).and_then(|()| input.flush()).is_ok());
        let read = if sent { self.output.read_line(&mut answer).unwrap_or(0) } else { 0 };
        if read == 0 {
            return Err(self.died());
        }
        match serde_json::from_str(&answer) {
            Ok(Answer::Ok(value)) => Ok(value),
            Ok(Answer::Error(text)) => Err(self.failure(&first_line(&text))),
            Err(error) => Err(self.failure(&format!("unexpected answer of scripts/kv.mjs: {error}"))),
        }
    }

    fn failure(&self, reason: &str) -> Failure {
        Failure(format!("the local state in {}: {reason}", self.state.display()))
    }

    /// The failure of a helper that does not answer: its last message.
    fn died(&mut self) -> Failure {
        self.input = None;
        let mut text = String::new();
        if let Some(stderr) = &mut self.child.stderr {
            let _ = stderr.read_to_string(&mut text);
        }
        self.failure(&error_line(&text))
    }

    fn each<T>(&mut self, all: &[T], size: usize, mut ask: impl FnMut(&mut Self, &[T]) -> Outcome) -> Outcome {
        all.chunks(size).try_for_each(|some| ask(self, some))
    }
}

impl Kv for Local {
    fn get(&mut self, namespace: Namespace, keys: &[String]) -> Outcome<Vec<Option<String>>> {
        let mut values = Vec::with_capacity(keys.len());
        self.each(keys, 1000, |local, keys| {
            let request = json!({ "op": "get", "namespace": namespace.binding(), "keys": keys });
            values.extend(local.ask::<Vec<Option<String>>>(&request)?);
            Ok(())
        })?;
        Ok(values)
    }

    fn put(&mut self, namespace: Namespace, pairs: &[Pair]) -> Outcome {
        self.each(pairs, 1000, |local, pairs| {
            local.ask(&json!({ "op": "put", "namespace": namespace.binding(), "pairs": pairs }))
        })
    }

    fn delete(&mut self, namespace: Namespace, keys: &[String]) -> Outcome {
        self.each(keys, 1000, |local, keys| {
            local.ask(&json!({ "op": "delete", "namespace": namespace.binding(), "keys": keys }))
        })
    }

    fn list(&mut self, namespace: Namespace, prefix: &str) -> Outcome<Vec<String>> {
        self.ask(&json!({ "op": "list", "namespace": namespace.binding(), "prefix": prefix }))
    }

    fn batch(&self) -> (usize, usize) {
        (1000, 4 * 1024 * 1024)
    }
}

impl Drop for Local {
    fn drop(&mut self) {
        // At the end of its input the helper closes the state and ends.
        self.input = None;
        let _ = self.child.wait();
    }
}
