//! Which database: a file of this node, or a PostgreSQL that several nodes share.

use std::path::PathBuf;

use knurl_store::postgres::PostgresOptions;

use super::Config;

/// What `database_url`, or else the seed's `DATABASE_*`, names.
#[derive(Clone, Debug)]
pub enum Database {
    /// `None`: `knurl.db` in the data directory.
    Sqlite(Option<PathBuf>),
    /// Where it is and how it is used; no `Debug` of it holds the URL.
    Postgres(Box<PostgresOptions>),
}

impl Config {
    /// The embedded database's file. `None`: the database is not a file of ours.
    pub fn sqlite_path(&self) -> Option<PathBuf> {
        match &self.database {
            Database::Sqlite(Some(path)) => Some(path.clone()),
            Database::Sqlite(None) => Some(self.data_dir.join("knurl.db")),
            Database::Postgres(_) => None,
        }
    }
}

/// `DATABASE_HOST` and its kin, as some platforms (and the seed) name a PostgreSQL by its parts.
#[derive(Clone, Debug, Default)]
pub(super) struct Parts<'a> {
    pub(super) host: &'a str,
    pub(super) port: &'a str,
    pub(super) name: &'a str,
    pub(super) user: &'a str,
    pub(super) password: &'a str,
}

impl Parts<'_> {
    /// As a URL, so that everything after this knows one form. `None`: too little to find a database by.
    pub(super) fn url(&self) -> Option<String> {
        if [self.host, self.name, self.user].contains(&"") {
            return None;
        }
        let [host, port, name, user, password] = [self.host, self.port, self.name, self.user, self.password].map(percent_encoded);
        let password = if password.is_empty() { password } else { format!(":{password}") };
        let port = if port.is_empty() { port } else { format!(":{port}") };
        Some(format!("postgres://{user}{password}@{host}{port}/{name}"))
    }
}

/// Whatever has no meaning of its own in any part of a URL stands for itself.
fn percent_encoded(text: &str) -> String {
    let unreserved = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    text.bytes().fold(String::new(), |mut encoded, byte| {
        if unreserved(byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
        encoded
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARTS: Parts<'_> = Parts { host: "db", port: "", name: "links", user: "ada", password: "" };

    #[test]
    fn parts_make_a_url_in_which_nothing_of_them_means_anything_else() {
        assert_eq!(PARTS.url().unwrap(), "postgres://ada@db/links");
        let odd = Parts { host: "/run/postgresql", port: "5433", password: "a@b:c/d?e%\u{e9}", ..PARTS };
        assert_eq!(odd.url().unwrap(), "postgres://ada:a%40b%3Ac%2Fd%3Fe%25%C3%A9@%2Frun%2Fpostgresql:5433/links");
    }

    #[test]
    fn without_host_name_or_user_nothing_is_guessed() {
        for lacking in [Parts { host: "", ..PARTS }, Parts { name: "", ..PARTS }, Parts { user: "", ..PARTS }] {
            assert_eq!(lacking.url(), None);
        }
    }
}
