//! The operator's command line: manages tokens and profiles in the local state or in the deployed account (`--remote`).
//!
//! | module | purpose |
//! |---|---|
//! | `arguments` | the arguments and help texts |
//! | `tokens`, `profiles`, `demo`, `constants` | the commands |
//! | `location` | the data that a command works on |
//! | `kv` | access to KV through wrangler |
//! | `index_key` | the key of the profile index |
//! | `lock` | commands that must not run at the same time |
//! | `system` | the checkout, the clock, random bytes |
//! | `terminal` | all output |
//! | `error` | why a command failed, and the exit status |

#![deny(clippy::print_stdout, clippy::print_stderr)]

mod arguments;
mod constants;
mod demo;
mod error;
mod index_key;
mod kv;
mod location;
mod lock;
mod profiles;
mod system;
mod terminal;
mod tokens;

use std::process::ExitCode;

use clap::Parser as _;

use self::{
    arguments::{AdminCommand, Arguments, LiveState, ProfilesCommand, TokenCommand},
    constants::constants,
    demo::load_demo,
    error::{CommandError, INVALID_ARGUMENTS},
    index_key::{SECRETS_FILE, load_index_key},
    location::Location,
    profiles::{ProfilesError, apply, compact, find_profiles, import_file, set_live},
    system::{checkout, now},
    terminal::{count, print_error, print_note, print_result, print_warning},
    tokens::{create_token, list_tokens, not_printed, revoke_token},
};

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) if error.use_stderr() => {
            // The message contains arguments, such as file names that the shell has inserted.
            error.to_string().lines().for_each(print_note);
            return ExitCode::from(INVALID_ARGUMENTS);
        }
        // Prints the help or the version.
        Err(error) => error.exit(),
    };
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            print_error(&error);
            ExitCode::from(error.exit_status())
        }
    }
}

fn run(arguments: &Arguments) -> Result<(), CommandError> {
    if arguments.remote && matches!(arguments.command, AdminCommand::Demo) {
        return Err(CommandError::RemoteDemo);
    }
    if matches!(arguments.command, AdminCommand::Constants) {
        return Ok(print_result(&constants())?);
    }
    let checkout = checkout();
    let location = match arguments.remote {
        true => Location::remote(&checkout),
        false => Location::local(&checkout, arguments.persist_to.as_deref())?,
    };
    let secrets = checkout.join(SECRETS_FILE);
    let now = now()?;
    match &arguments.command {
        AdminCommand::Token(command) => run_token_command(&location, command, now)?,
        AdminCommand::Profiles(ProfilesCommand::Import(arguments)) => {
            let key = load_index_key(&location, &secrets)?;
            import_file(&location, arguments, key, now)?;
        }
        AdminCommand::Profiles(ProfilesCommand::Find { database, key: wanted, url }) => {
            let key = load_index_key(&location, &secrets)?;
            let lines = find_profiles(location.open_kv()?.as_mut(), &key, *database, wanted, url.as_deref());
            lines.map_err(ProfilesError::from)?.iter().try_for_each(|line| print_result(line))?;
        }
        AdminCommand::Profiles(ProfilesCommand::Live { state, database, url }) => {
            let is_on = matches!(state, LiveState::On);
            print_result(&set_live(&location, *database, is_on, url).map_err(ProfilesError::from)?)?;
        }
        AdminCommand::Profiles(ProfilesCommand::Compact { database, url }) => {
            print_result(&compact(&location, *database, url, now).map_err(ProfilesError::from)?)?;
        }
        AdminCommand::Profiles(ProfilesCommand::Apply { file, database, url }) => {
            print_result(&apply(file, *database, url).map_err(ProfilesError::from)?)?;
        }
        AdminCommand::Demo => {
            let key = load_index_key(&location, &secrets)?;
            let mut kv = location.open_kv()?;
            let message = load_demo(kv.as_mut(), key, &location.lock_file(), now, &mut print_warning)?;
            print_result(message)?;
        }
        AdminCommand::Key => {
            load_index_key(&location, &secrets)?;
        }
        // Handled above, because it works without a state.
        AdminCommand::Constants => {}
    }
    Ok(())
}

/// Runs a command on tokens. Commands that change tokens hold the lock, because they read all tokens before they write one.
fn run_token_command(location: &Location, command: &TokenCommand, now: u64) -> Result<(), CommandError> {
    match command {
        TokenCommand::Create(arguments) => {
            let _lock = location.lock_file().acquire()?;
            let mut kv = location.open_kv()?;
            let value = create_token(kv.as_mut(), arguments, location.is_remote(), now, &mut print_warning)?;
            print_result(&value).map_err(|error| not_printed(arguments, &value, error))?;
            print_note("Store this value now: it cannot be shown again.");
        }
        TokenCommand::List => {
            let (lines, damaged) = list_tokens(location.open_kv()?.as_mut())?;
            lines.iter().try_for_each(|line| print_result(line))?;
            damaged.iter().for_each(|record| print_warning(&record.to_string()));
            if !damaged.is_empty() {
                return Err(CommandError::DamagedTokens(damaged.len()));
            }
        }
        TokenCommand::Revoke { name, digest } => {
            let _lock = location.lock_file().acquire()?;
            let mut kv = location.open_kv()?;
            let values = revoke_token(kv.as_mut(), name, digest.as_deref(), now, &mut print_warning)?;
            let values = count(values as u64, "value");
            print_note(&format!("revoked {values} of token {name}; normally takes effect everywhere within 2 minutes"));
        }
    }
    Ok(())
}
