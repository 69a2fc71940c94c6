//! Words no short code may spell, in any case.
//!
//! Three kinds: routes of ours (now, and those we are likely to grow: a code given today is never taken back), names that other
//! software expects at a site's root, and words under which a stranger's link would pass for our own page.

/// Sorted, lower case.
#[rustfmt::skip]
pub(super) const RESERVED: &[&str] = &[
    "about", "account", "accounts", "admin", "analytics", "api", "app", "apple-app-site-association", "apps", "assets",
    "audit", "auth", "backup", "billing", "cgi-bin", "clicks", "config", "contact", "dashboard", "debug", "docs",
    "domain", "domains", "download", "error", "errors", "event", "events", "export", "favicon", "graphql", "health",
    "healthz", "help", "icons", "images", "import", "index", "internal", "jobs", "key", "keys", "legal", "link",
    "links", "livez", "login", "logout", "manifest", "me", "metrics", "node", "nodes", "null", "oauth", "oauth2",
    "oembed", "openapi", "password", "ping", "policy", "preview", "privacy", "profile", "qr", "ready", "readyz",
    "redirect", "register", "reset", "robots", "rules", "search", "security", "server-status", "session", "sessions",
    "settings", "setup", "shorten", "sign-in", "sign-up", "signin", "signout", "signup", "sitemap", "startupz", "stat",
    "static", "stats", "status", "support", "swagger", "system", "terms", "token", "tokens", "undefined", "unlock",
    "upload", "uploads", "url", "urls", "user", "users", "v1", "v2", "v3", "version", "webhook", "webhooks",
    "well-known", "wp-admin", "wp-content", "wp-includes", "wp-json", "wp-login", "www", "xmlrpc",
];

/// The longest of [`RESERVED`].
const BYTES_MAX: usize = 32;

pub(super) fn is_reserved(code: &str) -> bool {
    let mut lower = [0_u8; BYTES_MAX];
    let Some(lower) = lower.get_mut(..code.len()) else { return false };
    lower.copy_from_slice(code.as_bytes());
    lower.make_ascii_lowercase();
    RESERVED.binary_search_by(|word| word.as_bytes().cmp(lower)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_sorted_lower_case_and_short_enough_to_be_looked_up() {
        assert!(RESERVED.is_sorted_by(|a, b| a < b));
        assert!(RESERVED.iter().all(|word| word.len() <= BYTES_MAX && *word == word.to_ascii_lowercase()));
    }

    #[test]
    fn every_route_of_the_contract_is_reserved() {
        for word in ["health", "users", "urls", "events", "shorten", "metrics", "api", "livez", "readyz", "startupz", "stats"] {
            assert!(is_reserved(word), "{word}");
        }
    }
}
