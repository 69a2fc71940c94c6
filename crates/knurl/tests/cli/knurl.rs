//! The binary in a directory of its own, with an environment of its own.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use knurl_lab::leash::{self, Leashed};
use serde_json::Value;
use tempfile::TempDir;

/// A data directory and the program that works on it.
pub(crate) struct Knurl {
    pub(crate) dir: TempDir,
    environment: Vec<(String, String)>,
}

/// How a command ended.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Knurl {
    pub(crate) fn new() -> Self {
        Self { dir: TempDir::new().unwrap(), environment: Vec::new() }
    }

    /// Another one with this variable set.
    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.into(), value.into()));
        self
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: impl AsRef<[u8]>) -> String {
        fs::write(self.path(name), text).unwrap();
        name.to_owned()
    }

    /// The same directory in another environment.
    pub(crate) fn in_environment(self, environment: &[(&str, &str)]) -> Self {
        let environment = environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Self { environment, ..self }
    }

    /// Works in the directory; its data are in `data`, the default. Ends when the test does.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = leash::command(env!("CARGO_BIN_EXE_knurl"));
        command.env_clear().envs(self.environment.iter().cloned()).current_dir(self.dir.path()).args(args).stdin(Stdio::null());
        command
    }

    /// Starts a command, with these as its standard input, output and error.
    pub(crate) fn begin(&self, args: &[&str], [input, output, error]: [Stdio; 3]) -> Leashed {
        let mut command = self.command(args);
        command.stdin(input).stdout(output).stderr(error);
        leash::spawn(command).unwrap()
    }

    pub(crate) fn run(&self, args: &[&str]) -> Ran {
        Ran::of(&self.command(args).output().unwrap())
    }

    /// The output of a command that has to succeed.
    pub(crate) fn ok(&self, args: &[&str]) -> String {
        let ran = self.run(args);
        assert_eq!(ran.code, 0, "knurl {args:?}: {ran:?}");
        ran.out
    }

    /// The same with `--json`.
    pub(crate) fn json(&self, args: &[&str]) -> Value {
        let out = self.ok(&[args, &["--json"]].concat());
        assert_eq!(out.lines().count(), 1, "JSON is one line: {out}");
        serde_json::from_str(&out).unwrap()
    }

    /// The one line a failure leaves on standard error; nothing is on standard output.
    pub(crate) fn fails(&self, code: i32, args: &[&str]) -> String {
        let ran = self.run(args);
        assert_eq!(ran.code, code, "knurl {args:?}: {ran:?}");
        assert_eq!((ran.out.as_str(), ran.err.lines().count()), ("", 1), "knurl {args:?}: {ran:?}");
        ran.err
    }
}

impl Ran {
    pub(crate) fn of(output: &Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        Self { code: output.status.code().unwrap_or(-1), out: text(&output.stdout), err: text(&output.stderr) }
    }
}

pub(crate) fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}
