//! Starts programs of the checkout's npm packages, and finds the error message in their output.

use std::{env, io, process::Command};

use trigger_launch::{escape::escape_start, limits::PRINTED_MESSAGE_LIMIT};

use super::store::KvError;
use crate::system::checkout;

/// Returns a command that runs `program` in the checkout. The npm packages contain the Node.js version that they need.
pub fn command(program: &str) -> Command {
    let packages = checkout().join("node_modules/.bin");
    let path = env::var_os("PATH").unwrap_or_default();
    let path = env::join_paths(std::iter::once(packages).chain(env::split_paths(&path))).unwrap_or(path);
    let mut command = Command::new(program);
    command.current_dir(checkout());
    command.env("PATH", path).env("CI", "1");
    command
        .env("WRANGLER_SEND_METRICS", "false")
        .env("WRANGLER_HIDE_BANNER", "true")
        .env("WRANGLER_WRITE_LOGS", "false");
    command
}

pub fn not_started(program: &'static str, source: io::Error) -> KvError {
    KvError::NotStarted { program, checkout: checkout(), source }
}

/// Returns the line of a program's output that contains the error message.
pub fn error_line(text: &str) -> String {
    let text = &without_colours(text);
    let lines = || text.lines().map(str::trim).filter(|line| !line.is_empty());
    let marked = lines().find_map(|line| line.split_once("[ERROR]").map(|(_, line)| line.trim()));
    let thrown = || lines().find(|line| line.contains("Error: "));
    let line = marked.or_else(thrown).or_else(|| lines().next_back()).unwrap_or("it printed no error message");
    escape_start(line, PRINTED_MESSAGE_LIMIT).to_string()
}

/// Removes colours. wrangler prints them even if the environment turns them off.
fn without_colours(text: &str) -> String {
    let mut parts = text.split('\u{1b}');
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        // An escape sequence ends with its first letter.
        plain.push_str(part.split_once(|c: char| c.is_ascii_alphabetic()).map_or("", |(_, rest)| rest));
    }
    plain
}

pub fn first_line(text: &str) -> String {
    escape_start(text.lines().next().unwrap_or_default(), PRINTED_MESSAGE_LIMIT).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn returns_the_error_message_of_a_program_on_one_line() {
        let output = "\n ⛅️ wrangler 4.164.0\n───\n\n✘ \u{1b}[41;31m[\u{1b}[41;97mERROR\u{1b}[41;31m]\u{1b}[0m \u{1b}[1mNo such binding\u{1b}[0m\n\n  More of it.\n🪵 Logs were written\n";
        assert_eq!(error_line(output), "No such binding");
        assert_eq!(
            error_line("node:internal\n throw\nError: Cannot find module 'x'\n  at y"),
            "Error: Cannot find module 'x'"
        );
        assert_eq!(error_line(""), "it printed no error message");
        assert_eq!(error_line("Error: \u{9b}2J\u{202e}x\ry"), "Error: \\u{9b}2J\\u{202e}x\\ry");
        assert_eq!(error_line(&"x".repeat(500)), format!("{}…", "x".repeat(400)));
        assert_eq!(first_line("a\u{7}\nb"), "a\\u{7}");
    }
}
