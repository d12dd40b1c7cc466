//! The way to KV: everything goes through wrangler. The local state is reached by one helper process
//! (`scripts/kv.mjs`), the deployed one by `wrangler kv …`.

#[cfg(test)]
pub mod fake;
mod local;
#[cfg(test)]
mod tests;
mod wrangler;

use std::{env, process::Command};

pub use local::Local;
use trigger_launch::{access, profiles};
pub use wrangler::Wrangler;

use crate::{Outcome, root};

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

/// A program of the checkout's own packages, which want another Node.js than the machine's.
fn command(program: &str) -> Command {
    let own = root().join("node_modules/.bin");
    let path = env::var_os("PATH").unwrap_or_default();
    let path = env::join_paths(std::iter::once(own).chain(env::split_paths(&path))).unwrap_or(path);
    let mut command = Command::new(program);
    command.current_dir(root());
    command.env("PATH", path).env("CI", "1");
    command
        .env("WRANGLER_SEND_METRICS", "false")
        .env("WRANGLER_HIDE_BANNER", "true")
        .env("WRANGLER_WRITE_LOGS", "false");
    command
}

/// The line that says what went wrong.
fn error_line(text: &str) -> String {
    let text = &without_colours(text);
    let lines = || text.lines().map(str::trim).filter(|line| !line.is_empty());
    let marked = lines().find_map(|line| line.split_once("[ERROR]").map(|(_, line)| line.trim()));
    let thrown = || lines().find(|line| line.contains("Error: "));
    marked.or_else(thrown).or_else(|| lines().next_back()).unwrap_or("it ended without a word").to_owned()
}

/// wrangler colours its errors whatever the environment says.
fn without_colours(text: &str) -> String {
    let mut parts = text.split('\u{1b}');
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        // An escape ends with its first letter.
        plain.push_str(part.split_once(|c: char| c.is_ascii_alphabetic()).map_or("", |(_, rest)| rest));
    }
    plain
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}
