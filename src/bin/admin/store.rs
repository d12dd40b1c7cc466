//! Access to KV, always through wrangler: one helper process (`scripts/kv.mjs`) for the local state, `wrangler kv …` for the
//! deployed account.

#[cfg(test)]
pub mod fake;
mod local;
#[cfg(test)]
mod tests;
mod wrangler;

use std::{env, io, process::Command};

pub use local::Local;
use trigger_launch::{access, escape, profiles};
pub use wrangler::Wrangler;

use crate::{Failure, Outcome, root};

/// The longest message of another program that is printed, in characters.
const MESSAGE_LIMIT: usize = 400;

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

/// The operations on KV that commands need.
pub trait Kv {
    /// The values of the keys, in their order.
    fn get(&mut self, namespace: Namespace, keys: &[String]) -> Outcome<Vec<Option<String>>>;
    /// Writes the pairs; after a failure some of them may have been written.
    fn put(&mut self, namespace: Namespace, pairs: &[Pair]) -> Outcome;
    /// Deletes the keys; keys that do not exist are ignored.
    fn delete(&mut self, namespace: Namespace, keys: &[String]) -> Outcome;
    /// All keys that begin with `prefix`.
    fn list(&mut self, namespace: Namespace, prefix: &str) -> Outcome<Vec<String>>;
    /// The number of pairs, and of bytes of values, that are best written at once.
    fn batch(&self) -> (usize, usize);

    /// One value.
    fn get_one(&mut self, namespace: Namespace, key: String) -> Outcome<Option<String>> {
        Ok(self.get(namespace, &[key])?.pop().flatten())
    }
}

/// A program of the checkout's npm packages, which contain the Node.js version that they need.
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

/// The failure of a program that does not start.
fn not_started(program: &str, error: &io::Error) -> Failure {
    Failure(format!("cannot start {program} in {}: {error}; run `npm ci` in the checkout", root().display()))
}

/// The line of a program's output that names the error.
fn error_line(text: &str) -> String {
    let text = &without_colours(text);
    let lines = || text.lines().map(str::trim).filter(|line| !line.is_empty());
    let marked = lines().find_map(|line| line.split_once("[ERROR]").map(|(_, line)| line.trim()));
    let thrown = || lines().find(|line| line.contains("Error: "));
    let line = marked.or_else(thrown).or_else(|| lines().next_back()).unwrap_or("it printed no error message");
    escape::shortened(line, MESSAGE_LIMIT).to_string()
}

/// Removes colours, which wrangler prints even if the environment turns them off.
fn without_colours(text: &str) -> String {
    let mut parts = text.split('\u{1b}');
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        // An escape ends with its first letter.
        plain.push_str(part.split_once(|c: char| c.is_ascii_alphabetic()).map_or("", |(_, rest)| rest));
    }
    plain
}

fn first_line(text: &str) -> String {
    escape::shortened(text.lines().next().unwrap_or_default(), MESSAGE_LIMIT).to_string()
}
