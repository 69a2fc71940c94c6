//! Where a link leads: parsed the WHATWG way at the edge, stored re-serialised, safe in a `Location` header ever after.
//!
//! Promised: a [`Target`] from [`Target::parse`] is an absolute URL with a host, in visible ASCII (0x21 to 0x7e) only, of an allowed
//! scheme, and does not lead back to this shortener under any spelling of a host the operator named. Refused, where a browser would
//! guess: control characters anywhere (WHATWG drops tabs and newlines in silence), and `http:host`, `http:/host`, `http:///host` and
//! `http:\\host` (WHATWG reads them all as `http://host`). Spaces around the URL are dropped. A name that only DNS knows to be ours
//! cannot be seen here.

use std::borrow::Cow;

use url::Url;

mod own_host;

pub use own_host::OwnHost;

/// An absolute URL, visible ASCII only where it came through [`Target::parse`], at most [`Target::BYTES_MAX`] bytes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Target(Box<str>);

/// What the operator allows.
#[derive(Clone, Debug)]
pub struct TargetRules {
    own_hosts: Vec<OwnHost>,
    schemes: Vec<Box<str>>,
    len_max: usize,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TargetRulesError {
    #[error("not a URL scheme: {0:?}")]
    Scheme(String),
    #[error("at least one scheme must be allowed")]
    NoScheme,
    #[error("the longest target must have 16 to {max} bytes", max = Target::BYTES_MAX)]
    LenMax,
}

impl TargetRules {
    /// Bytes of a target unless the operator says otherwise: what every browser and proxy takes.
    pub const LEN_MAX_DEFAULT: usize = 2_048;

    /// `schemes`: allowed ones, without the colon. `len_max`: bytes, before and after re-serialising. No host is ours yet.
    pub fn new<S: AsRef<str>>(schemes: &[S], len_max: usize) -> Result<Self, TargetRulesError> {
        let scheme = |text: &S| match text.as_ref() {
            scheme if is_scheme(scheme) => Ok(scheme.to_ascii_lowercase().into_boxed_str()),
            other => Err(TargetRulesError::Scheme(other.to_owned())),
        };
        if schemes.is_empty() {
            return Err(TargetRulesError::NoScheme);
        }
        if !(16..=Target::BYTES_MAX).contains(&len_max) {
            return Err(TargetRulesError::LenMax);
        }
        Ok(Self { own_hosts: Vec::new(), schemes: schemes.iter().map(scheme).collect::<Result<_, _>>()?, len_max })
    }

    /// The hosts that are us, instead of those known before.
    pub fn set_own_hosts(&mut self, own_hosts: impl IntoIterator<Item = OwnHost>) {
        self.own_hosts.clear();
        self.add_own_hosts(own_hosts);
    }

    /// More hosts that are us.
    pub fn add_own_hosts(&mut self, own_hosts: impl IntoIterator<Item = OwnHost>) {
        for own in own_hosts {
            if !self.own_hosts.contains(&own) {
                self.own_hosts.push(own);
            }
        }
    }

    pub fn len_max(&self) -> usize {
        self.len_max
    }

    /// Whether a target that is kept to the letter may be served: `Scheme` and `Loop` judged of what a browser makes of it, however odd it is
    /// otherwise.
    pub fn permit(&self, target: &Target) -> Result<(), TargetError> {
        let (scheme, _) = split_scheme(target.as_str())?;
        if !self.schemes.iter().any(|allowed| allowed.eq_ignore_ascii_case(scheme)) {
            return Err(TargetError::Scheme);
        }
        let Ok(url) = Url::parse(&target.location()) else { return Ok(()) };
        let is_ours = |host| self.own_hosts.iter().any(|own| own.is(&host, url.port_or_known_default()));
        if url.host().is_some_and(is_ours) { Err(TargetError::Loop) } else { Ok(()) }
    }
}

impl Default for TargetRules {
    /// `http` and `https`, [`TargetRules::LEN_MAX_DEFAULT`] bytes, and no host known to be ours.
    fn default() -> Self {
        Self { own_hosts: Vec::new(), schemes: vec!["http".into(), "https".into()], len_max: Self::LEN_MAX_DEFAULT }
    }
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
    /// No target is longer, whatever the rules and wherever it comes from: a click that carries it must fit its record.
    pub const BYTES_MAX: usize = 6 * 1_024;

    pub fn parse(text: &str, rules: &TargetRules) -> Result<Self, TargetError> {
        let text = text.trim_matches(' ');
        screen(text, rules.len_max)?;
        let (scheme, rest) = split_scheme(text)?;
        if !rules.schemes.iter().any(|allowed| allowed.eq_ignore_ascii_case(scheme)) {
            return Err(TargetError::Scheme);
        }
        match rest.strip_prefix("//") {
            None => return Err(TargetError::Malformed("two slashes belong after the scheme")),
            Some(rest) if rest.is_empty() || rest.starts_with(['/', '\\', '?', '#']) => return Err(TargetError::Host),
            Some(_) => {}
        }
        let url = Url::parse(text).map_err(malformed)?;
        let host = url.host().filter(own_host::is_named).ok_or(TargetError::Host)?;
        if rules.own_hosts.iter().any(|own| own.is(&host, url.port_or_known_default())) {
            return Err(TargetError::Loop);
        }
        if url.as_str().len() > rules.len_max {
            return Err(TargetError::TooLong(rules.len_max));
        }
        if !is_visible_ascii(url.as_str()) {
            return Err(TargetError::Malformed("a character that no URL can hold"));
        }
        Ok(Self(String::from(url).into()))
    }

    /// What an import or the store hands back: kept to the letter. Refuses only what could never be a `Location`: a text without a
    /// scheme, with a control character, longer than [`Target::BYTES_MAX`], or that has to be re-serialised and cannot be.
    pub fn verbatim(text: &str) -> Result<Self, TargetError> {
        screen(text, Self::BYTES_MAX)?;
        split_scheme(text)?;
        if !is_visible_ascii(text) {
            Url::parse(text).map_err(malformed)?;
        }
        Ok(Self(text.into()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The bytes for the `Location` header: the stored text where it is visible ASCII, else re-serialised.
    pub fn location(&self) -> Cow<'_, str> {
        if is_visible_ascii(&self.0) {
            return Cow::Borrowed(&self.0);
        }
        let text = Url::parse(&self.0).map_or_else(|_| self.0.to_string(), String::from);
        if is_visible_ascii(&text) {
            return Cow::Owned(text);
        }
        // The rest of a URL without `//` may keep its blanks.
        Cow::Owned(percent_encoded(&text))
    }
}

fn screen(text: &str, len_max: usize) -> Result<(), TargetError> {
    if text.is_empty() {
        return Err(TargetError::Empty);
    }
    if text.len() > len_max {
        return Err(TargetError::TooLong(len_max));
    }
    if !is_visible_ascii(text) && text.chars().any(char::is_control) {
        return Err(TargetError::Control);
    }
    Ok(())
}

/// `scheme:rest`, the rest not empty.
fn split_scheme(text: &str) -> Result<(&str, &str), TargetError> {
    match text.split_once(':') {
        Some((scheme, rest)) if is_scheme(scheme) && !rest.is_empty() => Ok((scheme, rest)),
        _ => Err(TargetError::Malformed("it must begin with a scheme, as in https://example.org")),
    }
}

fn is_scheme(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.'))
}

/// Looks at every byte: without a way out the compiler looks at sixteen at a time.
fn is_visible_ascii(text: &str) -> bool {
    text.bytes().fold(true, |visible, byte| visible & byte.is_ascii_graphic())
}

fn percent_encoded(text: &str) -> String {
    text.bytes().fold(String::with_capacity(text.len() + 32), |mut out, byte| {
        if byte.is_ascii_graphic() {
            out.push(char::from(byte));
        } else {
            out.extend(['%', hex_digit(byte >> 4), hex_digit(byte & 15)]);
        }
        out
    })
}

fn hex_digit(nibble: u8) -> char {
    char::from(b"0123456789ABCDEF"[usize::from(nibble & 15)])
}

fn malformed(error: url::ParseError) -> TargetError {
    use url::ParseError as E;
    TargetError::Malformed(match error {
        E::EmptyHost => return TargetError::Host,
        E::IdnaError => "the host is not a valid international name",
        E::InvalidPort => "the port is not a number up to 65535",
        E::InvalidIpv4Address => "the host is not a valid IPv4 address",
        E::InvalidIpv6Address => "the host is not a valid IPv6 address",
        E::InvalidDomainCharacter => "the host holds a character that no host may hold",
        E::RelativeUrlWithoutBase => "it must begin with a scheme, as in https://example.org",
        E::Overflow => "too long",
        _ => "it cannot be parsed",
    })
}

#[cfg(test)]
mod tests;
