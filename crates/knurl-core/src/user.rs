//! Users: who owns links.

use crate::time::UnixMillis;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UserId(pub i64);

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    pub id: UserId,
    pub username: String,
    pub email: String,
    pub created_at: UnixMillis,
}

/// A name that shows something (not only blanks or zero-width characters), of at most 255 characters without control characters. Kept as given; compared case-insensitively.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Username(Box<str>);

/// An e-mail address: `local@host.tld`, at most 254 bytes, no blanks or control characters. Kept as given; compared
/// case-insensitively. Refused although RFC 5322 knows them, for nobody types them but by mistake: quoted local parts, comments,
/// address literals, hosts without a dot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Email(Box<str>);

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UserError {
    #[error("username must be a non-empty string of at most 255 characters")]
    Username,
    #[error("email must be a valid e-mail address")]
    Email,
}

impl Username {
    pub const CHARS_MAX: usize = 255;

    pub fn parse(text: &str) -> Result<Self, UserError> {
        // No character takes more than four bytes: a long text is refused before it is counted.
        let fits = text.len() <= 4 * Self::CHARS_MAX && text.chars().count() <= Self::CHARS_MAX;
        let shows = text.chars().any(|c| !c.is_whitespace() && !is_invisible(c));
        if !fits || !shows || text.chars().any(char::is_control) {
            return Err(UserError::Username);
        }
        Ok(Self(text.into()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Email {
    /// RFC 5321, less the angle brackets of its path.
    pub const BYTES_MAX: usize = 254;

    pub fn parse(text: &str) -> Result<Self, UserError> {
        if text.len() > Self::BYTES_MAX {
            return Err(UserError::Email);
        }
        let (local, host) = text.split_once('@').ok_or(UserError::Email)?;
        if !is_local_part(local) || !is_mail_host(host) {
            return Err(UserError::Email);
        }
        Ok(Self(text.into()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn is_local_part(text: &str) -> bool {
    let allowed = |c: char| !c.is_whitespace() && !c.is_control() && !is_invisible(c) && !r#"()<>[]:;,\"@"#.contains(c);
    (1..=64).contains(&text.len()) && text.chars().all(allowed) && text.split('.').all(|atom| !atom.is_empty())
}

fn is_mail_host(text: &str) -> bool {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.chars().all(|c| c.is_alphanumeric() || c == '-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    text.contains('.') && text.split('.').all(is_label)
}

/// Characters that take no room: zero-width blanks and joiners, direction marks, the soft hyphen, the byte order mark.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// The key uniqueness is judged by: Unicode lower case.
pub fn fold(text: &str) -> String {
    text.to_lowercase()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("ada")]
    #[case(" ada lovelace ")]
    #[case("Ωμέγα 7")]
    #[case("👩‍💻")]
    fn a_username_is_kept_to_the_letter(#[case] text: &str) {
        assert_eq!(Username::parse(text).map(|name| name.as_str().to_owned()), Ok(text.to_owned()));
    }

    #[rstest]
    #[case::empty("")]
    #[case::blank(" \u{3000}")]
    #[case::zero_width("\u{200b}\u{feff}")]
    #[case::newline("ada\n")]
    #[case::nul("a\0da")]
    fn a_username_that_shows_nothing_or_hides_something_is_refused(#[case] text: &str) {
        assert_eq!(Username::parse(text), Err(UserError::Username));
    }

    #[test]
    fn a_username_has_up_to_255_characters_however_many_bytes() {
        assert!(Username::parse(&"ü".repeat(255)).is_ok());
        assert_eq!(Username::parse(&"u".repeat(256)), Err(UserError::Username));
    }

    #[rstest]
    #[case("ada@example.org")]
    #[case("Ada.Lovelace+links@mail.example.org")]
    #[case("o'neil@xn--bcher-kva.example")]
    #[case("δοκιμή@παράδειγμα.δοκιμή")]
    fn an_email_is_kept_to_the_letter(#[case] text: &str) {
        assert_eq!(Email::parse(text).map(|email| email.as_str().to_owned()), Ok(text.to_owned()));
    }

    #[rstest]
    #[case::empty("")]
    #[case::word("ada")]
    #[case::no_local("@example.org")]
    #[case::no_host("ada@")]
    #[case::no_dot("ada@localhost")]
    #[case::two_ats("ada@b@example.org")]
    #[case::blank("ada @example.org")]
    #[case::leading_blank(" ada@example.org")]
    #[case::newline("ada@example.org\n")]
    #[case::second_header("ada@example.org\r\nBcc: b@example.org")]
    #[case::display_name("Ada <ada@example.org>")]
    #[case::two("ada@example.org,b@example.org")]
    #[case::dot_at_the_end("ada.@example.org")]
    #[case::two_dots("a..da@example.org")]
    #[case::empty_label("ada@example..org")]
    #[case::trailing_dot("ada@example.org.")]
    #[case::hyphen_first("ada@-example.org")]
    #[case::underscore("ada@exa_mple.org")]
    #[case::literal("ada@[192.0.2.7]")]
    fn a_malformed_email_is_refused(#[case] text: &str) {
        assert_eq!(Email::parse(text), Err(UserError::Email));
    }

    #[test]
    fn an_email_has_up_to_254_bytes() {
        let label = "d".repeat(60);
        let host = [label.as_str(); 4].join(".");
        assert!(Email::parse(&format!("{}@{host}", "a".repeat(10))).is_ok());
        assert_eq!(Email::parse(&format!("{}@{host}", "a".repeat(11))), Err(UserError::Email));
        assert_eq!(Email::parse(&format!("{}@example.org", "a".repeat(65))), Err(UserError::Email));
    }

    #[test]
    fn names_are_compared_in_lower_case_of_all_scripts() {
        assert_eq!(fold("ÄDA@Example.ORG"), fold("äda@example.org"));
    }
}
