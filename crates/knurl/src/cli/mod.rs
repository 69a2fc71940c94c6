//! The command line: parse, call, print.
//!
//! Promised: results on standard output and nothing else there; `--json` in shapes that do not change; a failure is one line on standard
//! error (with `--json` an object: `{"error":{"code","message"},"exit_code"}`) and an exit code: 0 done, 1 failed, 2 wrong usage, 78 wrong configuration. Every command works on the data directory, beside a
//! running server or without one. Whatever is written (database, backups, exports) only its owner may read. What strangers typed (titles, agents) never reaches a terminal unescaped.

mod args;
mod audit;
mod backup;
mod checksum;
mod config;
mod destination;
mod doctor;
mod export;
mod failure;
mod health;
mod import;
mod key;
mod link;
mod link_stats;
mod moving;
mod open;
mod out;
mod reference;
mod restore;
mod scratch;
mod serve;
mod shape;
mod table;
mod user;
mod when;

use std::{ffi::OsString, process::ExitCode};

use clap::Parser as _;
use knurl_core::UnixMillis;

use args::{Args, Command};
use failure::Failure;
use out::Out;

/// Everything the binary does.
pub fn run(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let given: Vec<OsString> = args.into_iter().collect();
    let args = match Args::try_parse_from(&given) {
        Ok(args) => args,
        Err(answer) => return answered(&answer, asks_for_json(&given)),
    };
    keep_private();
    let json = args.global.json;
    match dispatch(args) {
        Ok(code) => code,
        Err(failure) => {
            failure.tell(json);
            ExitCode::from(failure.exit_code())
        }
    }
}

/// What clap says by itself. Help and version are answers too, on standard output; it knows which.
fn answered(answer: &clap::Error, json: bool) -> ExitCode {
    if answer.use_stderr() && json {
        let said = answer.to_string();
        // Then come usage and hints, for people.
        let sentence = said.split("\n\n").next().unwrap_or_default().trim_start_matches("error: ");
        Failure::usage(sentence.split_whitespace().collect::<Vec<_>>().join(" ")).tell(json);
    } else {
        let _ = answer.print();
    }
    ExitCode::from(if answer.use_stderr() { Failure::USAGE } else { 0 })
}

/// Where the line could not be parsed as a whole.
fn asks_for_json(given: &[OsString]) -> bool {
    given.iter().take_while(|word| *word != "--").any(|word| word == "--json")
}

fn dispatch(args: Args) -> Result<ExitCode, Failure> {
    let out = Out::new(args.global.json);
    let global = &args.global;
    match args.command {
        Command::Serve(serve) => serve::run(global, &serve),
        Command::Link(link) => link::run(global, out, link),
        Command::User(user) => user::run(global, out, user),
        Command::Key(key) => key::run(global, out, key),
        Command::Import(import) => import::run(global, out, &import),
        Command::Export(export) => export::run(global, out, &export),
        Command::Backup(backup) => backup::run(global, out, &backup),
        Command::Move(args) => moving::run(global, out, &args),
        Command::Restore(restore) => restore::run(global, out, &restore),
        Command::Doctor => doctor::run(global, out),
        Command::Health(health) => health::run(global, out, &health),
        Command::Audit(audit) => audit::run(global, out, &audit),
        Command::Config(config) => config::run(global, out, &config),
        Command::Reference { page } => reference::run(out, page),
    }
}

/// They hold e-mail addresses, agents and hashes of keys. Bits the environment takes away besides stay away.
fn keep_private() {
    use rustix::{fs::Mode, process::umask};
    let others = Mode::RWXG | Mode::RWXO;
    let inherited = umask(others);
    umask(inherited | others);
}

/// The one place of the command line that reads a clock.
fn now() -> UnixMillis {
    let since_1970 = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    UnixMillis(i64::try_from(since_1970.as_millis()).unwrap_or(i64::MAX))
}
