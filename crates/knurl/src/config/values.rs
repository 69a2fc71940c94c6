//! The layers: what each option is set to, as text, and by whom. Text, because that is what all sources have in common; it is parsed
//! once, with one message for every source.

use std::{collections::BTreeMap, fmt, net::SocketAddr, path::PathBuf, time::Duration};

use super::{ConfigError, manual};

/// Who set an option.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    Default,
    File(PathBuf),
    /// The variable's name.
    Environment(String),
    /// The flag's name, with its dashes.
    Flag(&'static str),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Environment(name) => f.write_str(name),
            Self::Flag(name) => f.write_str(name),
        }
    }
}

/// One option's text: lists have one element a member, everything else has one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Value {
    pub(super) text: Text,
    pub(super) source: Source,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Text {
    One(String),
    List(Vec<String>),
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::One(text) => f.write_str(text),
            Self::List(parts) => f.write_str(&parts.join(",")),
        }
    }
}

/// Members of a list are separated by commas where the source knows only text; blanks around them do not count.
pub(super) fn split_list(text: &str) -> Vec<String> {
    text.split(',').map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned).collect()
}

/// Every option of the manual, with its text and who set it last.
#[derive(Clone, Debug)]
pub(super) struct Values(pub(super) BTreeMap<String, Value>);

impl Values {
    /// Every option the manual names is there from the start ([`super::load`] begins with the manual's own table).
    fn get(&self, key: &str) -> &Value {
        self.0.get(key).unwrap_or_else(|| panic!("option {key} is not in config/default.toml"))
    }

    pub(super) fn text(&self, key: &str) -> String {
        self.get(key).text.to_string()
    }

    pub(super) fn list(&self, key: &str) -> Vec<String> {
        match &self.get(key).text {
            Text::One(text) => split_list(text),
            Text::List(parts) => parts.clone(),
        }
    }

    pub(super) fn source(&self, key: &str) -> Source {
        self.get(key).source.clone()
    }

    pub(super) fn number<N: TryFrom<u64>>(&self, key: &str) -> Result<N, ConfigError> {
        let entry = manual::entry(key);
        let fits = |n: &u64| {
            entry.and_then(manual::Entry::range).is_none_or(|range| range.contains(n))
                || (*n == 0 && entry.is_some_and(manual::Entry::zero_allowed))
        };
        self.text(key).parse::<u64>().ok().filter(fits).and_then(|n| N::try_from(n).ok()).ok_or_else(|| self.invalid(key))
    }

    pub(super) fn millis(&self, key: &str) -> Result<Duration, ConfigError> {
        self.number(key).map(Duration::from_millis)
    }

    pub(super) fn address(&self, key: &str) -> Result<SocketAddr, ConfigError> {
        // `localhost` is what people write; it means the address that every machine has.
        self.text(key).replacen("localhost:", "127.0.0.1:", 1).parse().map_err(|_| self.invalid(key))
    }

    pub(super) fn one_of<T: Copy>(&self, key: &str, words: &[(&str, T)]) -> Result<T, ConfigError> {
        let text = self.text(key);
        words.iter().find(|(word, _)| *word == text).map(|(_, value)| *value).ok_or_else(|| self.invalid(key))
    }

    pub(super) fn flag(&self, key: &str) -> Result<bool, ConfigError> {
        self.one_of(key, &[("true", true), ("1", true), ("false", false), ("0", false)])
    }

    pub(super) fn invalid(&self, key: &str) -> ConfigError {
        let allowed = manual::entry(key).map(|e| e.allowed.clone()).unwrap_or_default();
        ConfigError::Invalid { key: key.to_owned(), source_: self.source(key), value: self.shown(key), allowed }
    }

    pub(super) fn refused(&self, key: &str, reason: impl Into<String>) -> ConfigError {
        ConfigError::Refused { key: key.to_owned(), source_: self.source(key), reason: reason.into() }
    }

    /// The value as a person may see it.
    fn shown(&self, key: &str) -> String {
        let text = self.text(key);
        if manual::entry(key).is_some_and(|e| e.secret) && !text.is_empty() {
            return "…".to_owned();
        }
        // A value that is a whole file by mistake must not become the error message.
        let short: String = text.chars().take(80).collect();
        format!("{short:?}")
    }
}
