//! Everything that the command line prints. A message is one line and is escaped: it may contain text from files, from KV
//! or from other programs.

#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::io::{self, Write as _};

use trigger_launch::escape;

use crate::{Failure, Outcome};

/// Receives the warnings of a command.
pub type Warn<'a> = &'a mut dyn FnMut(&str);

/// Prints a line of the result on standard output. A result that cannot be printed is a failure: a full disk or a closed
/// pipe must not look like success.
pub fn result(text: &str) -> Outcome {
    let mut stdout = io::stdout().lock();
    let printed = writeln!(stdout, "{}", escape::whole(text)).and_then(|()| stdout.flush());
    printed.map_err(|error| Failure(format!("the result cannot be printed: {error}")))
}

/// Prints a remark on standard error.
pub fn note(text: &str) {
    print("", text);
}

/// Prints a problem that did not stop the command.
pub fn warning(text: &str) {
    print("warning: ", text);
}

/// Prints why the command failed.
pub fn error(text: &str) {
    print("error: ", text);
}

fn print(kind: &str, text: &str) {
    // If standard error is closed, only the exit code is left to report the problem.
    let _ = writeln!(io::stderr(), "{kind}{}", escape::whole(text));
}
