//! How a command fails: one sentence and an exit code.

use std::{error::Error, fmt};

use knurl_store::StoreError;

use crate::{
    app::AppError,
    config::ConfigError,
    transfer::{ImportError, SourceError},
};

#[derive(Debug)]
pub(super) enum Failure {
    Failed(String),
    Usage(String),
    Config(String),
    /// The command has said all there is to say; only the code is missing.
    Silent,
}

impl Failure {
    pub(super) const USAGE: u8 = 2;

    pub(super) fn failed(sentence: impl Into<String>) -> Self {
        Self::Failed(sentence.into())
    }

    pub(super) fn usage(sentence: impl Into<String>) -> Self {
        Self::Usage(sentence.into())
    }

    pub(super) fn exit_code(&self) -> u8 {
        match self {
            Self::Failed(_) | Self::Silent => 1,
            Self::Usage(_) => Self::USAGE,
            Self::Config(_) => ConfigError::EXIT_CODE,
        }
    }

    pub(super) fn is_silent(&self) -> bool {
        matches!(self, Self::Silent)
    }

    /// The word programs may rely on; it goes with the exit code.
    fn code(&self) -> &'static str {
        match self {
            Self::Failed(_) | Self::Silent => "failed",
            Self::Usage(_) => "usage",
            Self::Config(_) => "configuration",
        }
    }

    /// Says it on standard error: in one line of text, or of JSON.
    pub(super) fn tell(&self, json: bool) {
        if self.is_silent() {
            return;
        }
        if json {
            let error = serde_json::json!({ "code": self.code(), "message": self.to_string() });
            eprintln!("{}", serde_json::json!({ "error": error, "exit_code": self.exit_code() }));
        } else {
            eprintln!("knurl: {self}");
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed(sentence) | Self::Usage(sentence) | Self::Config(sentence) => f.write_str(&sentence.replace('\n', " ")),
            Self::Silent => Ok(()),
        }
    }
}

/// The error and what caused it, in one line; a cause that the sentence before repeats is left out.
pub(super) fn chain(error: &dyn Error) -> String {
    let mut sentence = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let text = error.to_string();
        if !sentence.contains(&text) {
            sentence = format!("{sentence}: {text}");
        }
        cause = error.source();
    }
    sentence
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Self::Config(error.to_string())
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::Failed(chain(&error))
    }
}

impl From<AppError> for Failure {
    fn from(error: AppError) -> Self {
        match error {
            AppError::Config(error) => error.into(),
            AppError::Refused(_) => Self::Config(error.to_string()),
            other => Self::Failed(chain(&other)),
        }
    }
}

impl From<ImportError> for Failure {
    fn from(error: ImportError) -> Self {
        Self::Failed(chain(&error))
    }
}

impl From<SourceError> for Failure {
    fn from(error: SourceError) -> Self {
        Self::Failed(error.to_string())
    }
}
