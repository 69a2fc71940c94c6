//! Where a link leads: parsed the WHATWG way at the edge, stored re-serialised, safe in a `Location` header ever after.

/// An absolute URL, re-serialised, visible ASCII only, at most [`TargetRules::len_max`] bytes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Target(Box<str>);

/// What the operator allows.
#[derive(Clone, Debug)]
pub struct TargetRules {
    /// Hosts that are us, as the operator writes them (`sho.rt`, `sho.rt:8080`, `127.0.0.1:8080`); compared after normalisation.
    pub own_hosts: Vec<String>,
    /// Allowed schemes, lower case. Default `http`, `https`.
    pub schemes: Vec<String>,
    /// Bytes, before and after re-serialising. Default 2048.
    pub len_max: usize,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    #[error("the URL is empty")]
    Empty,
    #[error("the URL is longer than {0} bytes")]
    TooLong(usize),
    #[error("the URL holds a control character")]
    Control,
    #[error("not a URL: {0}")]
    Malformed(&'static str),
    #[error("the scheme is not allowed")]
    Scheme,
    #[error("the URL has no host")]
    Host,
    #[error("the URL leads back to this shortener")]
    Loop,
}

impl Target {
    pub fn parse(_text: &str, _rules: &TargetRules) -> Result<Self, TargetError> {
        todo!("core")
    }

    /// What an import or the store hands back: kept to the letter. Refuses only what could never be a `Location`.
    pub fn verbatim(_text: &str) -> Result<Self, TargetError> {
        todo!("core")
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The bytes for the `Location` header: the stored text where it is visible ASCII, else re-serialised.
    pub fn location(&self) -> std::borrow::Cow<'_, str> {
        todo!("core")
    }
}
