//! Prints results, notes, warnings and errors. Each message is one line and is escaped, because it can contain text from files,
//! from KV or from other programs.

#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::{
    error::Error,
    io::{self, Write as _},
};

use trigger_launch::{escape::escape, text::error_chain};

/// Receives the warnings of a command.
pub type Warn<'a> = &'a mut dyn FnMut(&str);

/// The result of a command cannot be printed, for example because the disk is full.
#[derive(Debug, thiserror::Error)]
#[error("cannot print the result")]
pub struct PrintError(#[from] io::Error);

/// Prints a line of the result on standard output.
pub fn print_result(text: &str) -> Result<(), PrintError> {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{}", escape(text))?;
    Ok(stdout.flush()?)
}

/// Prints a line on standard error.
pub fn print_note(text: &str) {
    print_line("", text);
}

/// Prints a problem that does not stop the command.
pub fn print_warning(text: &str) {
    print_line("warning: ", text);
}

/// Prints why the command failed, with all causes.
pub fn print_error(error: &dyn Error) {
    print_line("error: ", &error_chain(error));
}

fn print_line(kind: &str, text: &str) {
    // If standard error is closed, only the exit code can report the problem.
    let _ = writeln!(io::stderr(), "{kind}{}", escape(text));
}

/// Returns a number and its noun: `1 row`, `2 rows`.
pub fn count(number: u64, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {noun}{plural}")
}
