//! The way to KV: everything goes through wrangler. The local state is reached by one helper process
//! (`scripts/kv.mjs`), the deployed one by `wrangler kv …`.

use std::{
    collections::HashMap,
    env,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::json;
use trigger_launch::{access, limits::BULK_KEYS, profiles};

use crate::{Failure, Outcome, root};

/// A key and its value.
pub type Pair = (String, String);

/// The two namespaces.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Namespace {
    /// Manifests and buckets.
    Profiles,
    /// Tokens.
    Access,
}

impl Namespace {
    fn binding(self) -> &'static str {
        match self {
            Self::Profiles => profiles::BINDING,
            Self::Access => access::BINDING,
        }
    }
}

/// What a command needs of KV.
pub trait Kv {
    /// The values of the keys, in their order.
    fn get(&mut self, namespace: Namespace, keys: &[String]) -> Outcome<Vec<Option<String>>>;
    /// Writes the pairs; after a failure some of them may have been written.
    fn put(&mut self, namespace: Namespace, pairs: &[Pair]) -> Outcome;
    /// Deletes the keys, those also that are not there.
    fn delete(&mut self, namespace: Namespace, keys: &[String]) -> Outcome;
    /// All keys that begin with `prefix`.
    fn list(&mut self, namespace: Namespace, prefix: &str) -> Outcome<Vec<String>>;
    /// How many pairs, and how many bytes of values, are best written at once.
    fn batch(&self) -> (usize, usize);

    /// One value.
    fn get_one(&mut self, namespace: Namespace, key: String) -> Outcome<Option<String>> {
        Ok(self.get(namespace, &[key])?.pop().flatten())
    }
}

/// The local state.
pub struct Local {
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
        let mut child = command.spawn().map_err(|error| Failure(format!("cannot start node: {error}")))?;
        let (Some(input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(Failure::new("cannot talk to node"));
        };
        Ok(Self { child, input: Some(input), output: BufReader::new(output) })
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
            Ok(Answer::Error(text)) => Err(Failure(format!("the local state: {}", first_line(&text)))),
            Err(error) => Err(Failure(format!("the local state: not understood: {error}"))),
        }
    }

    /// Why there is no answer: what the helper said last.
    fn died(&mut self) -> Failure {
        self.input = None;
        let mut text = String::new();
        if let Some(stderr) = &mut self.child.stderr {
            let _ = stderr.read_to_string(&mut text);
        }
        Failure(format!("the local state: {}", error_line(&text)))
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
        // The end of its input ends the helper, which then closes the state.
        self.input = None;
        let _ = self.child.wait();
    }
}

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

    fn new(target: Vec<String>) -> Outcome<Self> {
        let files = tempfile::tempdir().map_err(|error| Failure(format!("no temporary folder: {error}")))?;
        Ok(Self { target, files })
    }

    /// Runs `wrangler kv` and returns what it printed.
    fn run(&self, namespace: Namespace, arguments: &[&str]) -> Outcome<String> {
        let mut command = command("wrangler");
        command.arg("kv").args(arguments).args(["--binding", namespace.binding()]).args(&self.target);
        let output = command.stdin(Stdio::null()).output();
        let output = output.map_err(|error| Failure(format!("cannot start wrangler: {error}")))?;
        let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        if output.status.success() {
            return Ok(stdout.into_owned());
        }
        Err(Failure(format!("wrangler kv: {}", error_line(&format!("{stdout}\n{stderr}")))))
    }

    /// Runs it on a file of JSON.
    fn run_on<T: Serialize>(&self, namespace: Namespace, arguments: &[&str], content: &T) -> Outcome<String> {
        let path = self.files.path().join("batch.json");
        let content = serde_json::to_vec(content).map_err(|error| Failure(error.to_string()))?;
        std::fs::write(&path, content).map_err(|error| Failure(format!("{}: {error}", path.display())))?;
        let path = path.to_string_lossy();
        self.run(namespace, &[arguments, &[path.as_ref()]].concat())
    }
}

/// What `wrangler kv bulk get` prints of a value: local and deployed state differ.
#[derive(Deserialize)]
#[serde(untagged)]
enum Value {
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

/// A program of the checkout's own packages, which want another Node.js than the machine's.
fn command(program: &str) -> Command {
    let own = root().join("node_modules/.bin");
    let path = env::var_os("PATH").unwrap_or_default();
    let path = env::join_paths(std::iter::once(own).chain(env::split_paths(&path))).unwrap_or(path);
    let mut command = Command::new(program);
    command.current_dir(root());
    command.env("PATH", path).env("WRANGLER_SEND_METRICS", "false").env("NO_COLOR", "1").env("CI", "1");
    command
}

/// The JSON in what wrangler printed, behind whatever it said before.
fn json_in<T: DeserializeOwned>(printed: &str, first: char) -> Outcome<T> {
    let from = printed.find(first).and_then(|at| printed.get(at..));
    from.and_then(|json| serde_json::from_str(json.trim()).ok())
        .ok_or_else(|| Failure(format!("wrangler kv: not understood: {}", first_line(printed))))
}

/// The line that says what went wrong.
fn error_line(text: &str) -> String {
    let lines = || text.lines().map(str::trim).filter(|line| !line.is_empty());
    let marked = lines().find_map(|line| line.split_once("[ERROR]").map(|(_, line)| line.trim()));
    let thrown = || lines().find(|line| line.contains("Error: "));
    marked.or_else(thrown).or_else(|| lines().next_back()).unwrap_or("it ended without a word").to_owned()
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}

#[cfg(test)]
pub mod fake {
    use std::collections::BTreeMap;

    use super::*;

    /// Called before each write, with the keys.
    pub type OnWrite = Box<dyn FnMut(&mut BTreeMap<String, String>, &[String]) -> Outcome>;

    /// KV in memory.
    #[derive(Default)]
    pub struct Fake {
        pub profiles: BTreeMap<String, String>,
        pub access: BTreeMap<String, String>,
        pub on_write: Option<OnWrite>,
        pub puts: usize,
    }

    impl Fake {
        fn of(&mut self, namespace: Namespace) -> &mut BTreeMap<String, String> {
            match namespace {
                Namespace::Profiles => &mut self.profiles,
                Namespace::Access => &mut self.access,
            }
        }
    }

    impl Kv for Fake {
        fn get(&mut self, namespace: Namespace, keys: &[String]) -> Outcome<Vec<Option<String>>> {
            Ok(keys.iter().map(|key| self.of(namespace).get(key).cloned()).collect())
        }

        fn put(&mut self, namespace: Namespace, pairs: &[Pair]) -> Outcome {
            self.puts += 1;
            if let Some(mut on_write) = self.on_write.take() {
                let keys: Vec<String> = pairs.iter().map(|(key, _)| key.clone()).collect();
                let result = on_write(&mut self.profiles, &keys);
                self.on_write = Some(on_write);
                result?;
            }
            self.of(namespace).extend(pairs.iter().cloned());
            Ok(())
        }

        fn delete(&mut self, namespace: Namespace, keys: &[String]) -> Outcome {
            for key in keys {
                self.of(namespace).remove(key);
            }
            Ok(())
        }

        fn list(&mut self, namespace: Namespace, prefix: &str) -> Outcome<Vec<String>> {
            Ok(self.of(namespace).keys().filter(|key| key.starts_with(prefix)).cloned().collect())
        }

        fn batch(&self) -> (usize, usize) {
            (3, 10_000)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_wrangler_says_becomes_one_line() {
        let said = "\n ⛅️ wrangler 4.164.0\n───\n\n✘ [ERROR] No such binding\n\n  More of it.\n🪵 Logs were written\n";
        assert_eq!(error_line(said), "No such binding");
        assert_eq!(
            error_line("node:internal\n throw\nError: Cannot find module 'x'\n  at y"),
            "Error: Cannot find module 'x'"
        );
        assert_eq!(error_line(""), "it ended without a word");
    }

    fn round_trip(kv: &mut dyn Kv) {
        let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        let keys = |keys: &[&str]| keys.iter().map(|key| (*key).to_owned()).collect::<Vec<_>>();
        let pairs = [pair("a:1", "x\n\"é"), pair("a:2", ""), pair("b:1", "z")];
        kv.put(Namespace::Profiles, &pairs).unwrap();
        let values = kv.get(Namespace::Profiles, &keys(&["b:1", "none:1", "a:1", "a:2"])).unwrap();
        let text = |text: &str| Some(text.to_owned());
        assert_eq!(values, [text("z"), None, text("x\n\"é"), text("")]);
        assert_eq!(kv.list(Namespace::Profiles, "a:").unwrap(), keys(&["a:1", "a:2"]));
        assert_eq!(kv.list(Namespace::Access, "").unwrap(), keys(&[]));
        kv.delete(Namespace::Profiles, &keys(&["a:1", "none:2"])).unwrap();
        assert_eq!(kv.list(Namespace::Profiles, "").unwrap(), keys(&["a:2", "b:1"]));
    }

    /// Both ways on one state: what the helper writes is what wrangler reads.
    #[test]
    #[ignore = "starts wrangler: needs the npm packages"]
    fn the_helper_and_wrangler_do_the_same() {
        let state = tempfile::tempdir().unwrap();
        let mut local = Local::start(state.path()).unwrap();
        round_trip(&mut local);
        local.delete(Namespace::Profiles, &["a:2".into()]).unwrap();
        drop(local);
        let target = vec!["--local".into(), "--persist-to".into(), state.path().to_string_lossy().into_owned()];
        let mut wrangler = Wrangler::new(target).unwrap();
        assert_eq!(wrangler.list(Namespace::Profiles, "").unwrap(), ["b:1"]);
        round_trip(&mut wrangler);
        let Failure(text) = wrangler.run(Namespace::Profiles, &["nonsense"]).unwrap_err();
        assert!(text.starts_with("wrangler kv: ") && text.lines().count() == 1, "{text}");
    }

    #[test]
    fn both_forms_of_a_bulk_get_are_understood() {
        let found: HashMap<String, Value> =
            json_in("Note\n{\"a\":null,\"b\":\"x\",\"c\":{\"value\":\"y\"}}\n", '{').unwrap();
        let text = |key: &str| match &found[key] {
            Value::Plain(value) | Value::Wrapped { value } => value.clone(),
        };
        assert_eq!([text("a"), text("b"), text("c")], [None, Some("x".into()), Some("y".into())]);
        assert!(json_in::<Vec<u8>>("nothing", '[').is_err());
    }
}
