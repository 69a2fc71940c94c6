//! What can be wrong with a configuration: always one line that names the option, where it came from and what is allowed.

use super::Source;

#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("{source_}: unknown option `{name}`{}", did_you_mean(suggestion.as_deref()))]
    Unknown { name: String, source_: Source, suggestion: Option<String> },
    /// `value` is already `…` for a secret.
    #[error("{source_}: `{key}` cannot be {value}; allowed: {allowed}")]
    Invalid { key: String, source_: Source, value: String, allowed: String },
    /// Given in a way that leaves open what is meant, or that this version cannot serve.
    #[error("{source_}: `{key}`: {reason}")]
    Refused { key: String, source_: Source, reason: String },
    #[error("cannot read {what}: {reason}")]
    Unreadable { what: String, reason: String },
}

impl ConfigError {
    /// `EX_CONFIG` of sysexits.
    pub const EXIT_CODE: u8 = 78;
}

fn did_you_mean(suggestion: Option<&str>) -> String {
    suggestion.map(|name| format!("; did you mean `{name}`?")).unwrap_or_default()
}
