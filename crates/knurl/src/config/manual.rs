//! The manual: `config/default.toml` as data. It names every option there is, its default, its range and its environment variable.
//!
//! Promised: an option that is not in that file does not exist, and what the file says of a range is what is enforced: the
//! numbers are read from the sentence, so they cannot differ.

use std::{ops::RangeInclusive, sync::LazyLock};

/// The file itself, as `knurl config --default` prints it.
pub const TEXT: &str = include_str!("../../../../config/default.toml");

/// One option as the file describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// `http.idle_timeout_ms`.
    pub key: String,
    /// What it does, one line of the file a line.
    pub about: String,
    /// What may stand there: `Milliseconds, 100 to 600000`.
    pub allowed: String,
    /// `KNURL_HTTP_IDLE_TIMEOUT_MS`.
    pub env: String,
    pub secret: bool,
    /// As written in the file.
    pub default: String,
}

impl Entry {
    /// The numbers of [`Entry::allowed`]: the `A to B` in it.
    pub fn range(&self) -> Option<RangeInclusive<u64>> {
        let words: Vec<&str> = self.allowed.split([' ', ',']).collect();
        words.windows(3).find_map(|w| match w {
            [from, "to", to] => Some(from.parse().ok()?..=to.parse().ok()?),
            _ => None,
        })
    }

    /// Whether zero is allowed besides the range (`0, or 1000 to 600000`).
    pub fn zero_allowed(&self) -> bool {
        self.allowed.contains("0, or")
    }
}

/// All options in the order of the file.
pub fn entries() -> &'static [Entry] {
    static ENTRIES: LazyLock<Vec<Entry>> = LazyLock::new(|| read(TEXT));
    &ENTRIES
}

pub fn entry(key: &str) -> Option<&'static Entry> {
    entries().iter().find(|e| e.key == key)
}

/// The name of an option's environment variable: a rule, so that it can be guessed.
pub fn env_name(key: &str) -> String {
    format!("KNURL_{}", key.replace('.', "_").to_ascii_uppercase())
}

fn read(text: &str) -> Vec<Entry> {
    let mut entries = Vec::new();
    let (mut section, mut comment) = (String::new(), Vec::new());
    for line in text.lines() {
        if let Some(said) = line.strip_prefix('#') {
            comment.push(said.trim());
        } else if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            section = format!("{name}.");
            comment.clear();
        } else if let Some((name, default)) = line.split_once(" = ") {
            entries.push(describe(&format!("{section}{name}"), default, &comment));
            comment.clear();
        } else {
            comment.clear();
        }
    }
    entries
}

/// The last comment line is `ALLOWED[, secret]. ENV`; what stands before it is prose.
fn describe(key: &str, default: &str, comment: &[&str]) -> Entry {
    let (facts, about) = comment.split_last().map_or(("", &[][..]), |(last, rest)| (*last, rest));
    let (allowed, env) = facts.rsplit_once(". ").unwrap_or((facts, ""));
    let (allowed, secret) = allowed.strip_suffix(", secret").map_or((allowed, false), |rest| (rest, true));
    Entry {
        key: key.to_owned(),
        about: about.join("\n"),
        allowed: allowed.to_owned(),
        env: env.to_owned(),
        secret,
        default: default.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_option_is_described_with_its_range_and_its_variable() {
        assert!(entries().len() > 40, "the manual was not read");
        for entry in entries() {
            assert!(!entry.about.is_empty(), "{} is not described", entry.key);
            assert!(!entry.allowed.is_empty(), "{} does not say what is allowed", entry.key);
            assert_eq!(entry.env, env_name(&entry.key), "{} has another variable in its comment", entry.key);
            let numeric = entry.default.parse::<u64>().is_ok();
            assert_eq!(
                numeric,
                entry.range().is_some() && !entry.default.starts_with(['"', '[']),
                "{}: range and default disagree",
                entry.key
            );
        }
    }

    #[test]
    fn the_manual_and_the_toml_parser_see_the_same_options() {
        let table: toml::Table = TEXT.parse().unwrap();
        let mut keys = Vec::new();
        for (name, value) in &table {
            match value.as_table() {
                Some(section) => keys.extend(section.keys().map(|key| format!("{name}.{key}"))),
                None => keys.push(name.clone()),
            }
        }
        let mut described: Vec<String> = entries().iter().map(|e| e.key.clone()).collect();
        keys.sort();
        described.sort();
        assert_eq!(keys, described);
    }
}
