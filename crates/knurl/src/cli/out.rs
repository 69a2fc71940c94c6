//! Standard output: text for people, one JSON value for programs. A reader that closes the pipe early ends the command quietly.

use std::io::{self, IsTerminal, Write};

use serde::Serialize;

use super::failure::Failure;

/// How results are printed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Out {
    json: bool,
    /// Lines are cut to a terminal's width, never to a file's.
    pub(super) is_terminal: bool,
}

impl Out {
    pub(super) fn new(json: bool) -> Self {
        Self { json, is_terminal: io::stdout().is_terminal() }
    }

    /// The value as JSON on one line, or else the text.
    pub(super) fn show(self, value: &impl Serialize, text: impl FnOnce() -> String) -> Result<(), Failure> {
        if !self.json {
            return self.say(&text());
        }
        let json = serde_json::to_string(value).map_err(|error| Failure::failed(format!("cannot write JSON: {error}")))?;
        self.say(&json)
    }

    /// Prints a text, with a line break after it.
    pub(super) fn say(self, text: &str) -> Result<(), Failure> {
        let mut stdout = io::stdout().lock();
        let text = text.trim_end_matches('\n');
        match writeln!(stdout, "{text}").and_then(|()| stdout.flush()) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Err(Failure::Silent),
            Err(error) => Err(Failure::failed(format!("cannot write to standard output: {error}"))),
            Ok(()) => Ok(()),
        }
    }
}

/// A stranger's text for a terminal: control characters, which could move its cursor or change its title, are written as escapes.
pub(super) fn plain(text: &str) -> String {
    let harmless =
        |c: char| !c.is_control() && !matches!(c, '\u{200e}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    if text.chars().all(harmless) {
        return text.to_owned();
    }
    text.chars().map(|c| if harmless(c) { c.to_string() } else { c.escape_default().to_string() }).collect()
}
