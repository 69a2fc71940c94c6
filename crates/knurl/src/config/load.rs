//! Reads the layers: the manual, a file, the environment, the flags. Later ones win.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    path::{Path, PathBuf},
};

use super::{
    Config, ConfigError, Source,
    database::Parts,
    manual,
    values::{Text, Value, Values},
};

/// A configuration file longer than this is a mistake.
const FILE_BYTES_MAX: u64 = 1024 * 1024;
/// A secret's file longer than this is a mistake.
const SECRET_BYTES_MAX: u64 = 64 * 1024;
/// Variables with our prefix that are not options.
const OTHER_VARIABLES: [&str; 2] = ["KNURL_CONFIG", "KNURL_FAILPOINT"];
/// The seed's own names of a PostgreSQL: used where nothing sets `database_url`. They must not break a start.
const SEED_DATABASE: [&str; 5] = ["DATABASE_HOST", "DATABASE_PORT", "DATABASE_NAME", "DATABASE_USER", "DATABASE_PASSWORD"];
/// The seed's own name for `redis_url`: believed where nobody says anything else.
const SEED_REDIS: &str = "REDIS_URL";

/// Where the layers are read from; a value, so that tests need no process of their own.
#[derive(Clone, Debug, Default)]
pub struct Layers {
    pub file: Option<PathBuf>,
    pub environment: Vec<(OsString, OsString)>,
    /// (key, text, flag).
    pub flags: Vec<(&'static str, String, &'static str)>,
}

/// A configuration and how it came to be.
#[derive(Clone, Debug)]
pub struct Loaded {
    pub config: Config,
    /// Every option in the order of the manual.
    pub settings: Vec<Setting>,
    /// To be logged: things that were seen and are not used.
    pub notes: Vec<String>,
}

/// One option as `knurl config` shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    pub key: String,
    pub env: String,
    /// `…` for a secret that is set.
    pub value: String,
    pub source: Source,
}

impl Layers {
    /// This process's own: `KNURL_CONFIG` names the file unless the flag did.
    pub fn of_process(file: Option<PathBuf>, flags: Vec<(&'static str, String, &'static str)>) -> Self {
        let environment: Vec<_> = std::env::vars_os().collect();
        let file = file.or_else(|| {
            environment.iter().find(|(name, value)| name == "KNURL_CONFIG" && !value.is_empty()).map(|(_, v)| PathBuf::from(v))
        });
        Self { file, environment, flags }
    }

    pub fn load(&self) -> Result<Loaded, ConfigError> {
        let mut values = defaults();
        if let Some(path) = &self.file {
            read_file(&mut values, path)?;
        }
        self.read_environment(&mut values)?;
        self.read_seed_redis(&mut values)?;
        for (key, text, flag) in &self.flags {
            values.0.insert((*key).to_owned(), Value { text: Text::One(text.clone()), source: Source::Flag(flag) });
        }
        let notes = self.read_seed_database(&mut values);
        let config = values.build()?;
        Ok(Loaded { config, settings: settings(&values), notes })
    }

    fn read_environment(&self, values: &mut Values) -> Result<(), ConfigError> {
        let mut seen: BTreeMap<String, String> = BTreeMap::new();
        for (name, value) in &self.environment {
            let Some(name) = name.to_str().filter(|name| name.starts_with("KNURL_")) else { continue };
            if OTHER_VARIABLES.contains(&name) {
                continue;
            }
            let source = Source::Environment(name.to_owned());
            let Some((entry, is_file)) = option_of(name) else {
                return Err(ConfigError::Unknown {
                    name: name.to_owned(),
                    source_: Source::Environment("environment".into()),
                    suggestion: closest_variable(name),
                });
            };
            if let Some(other) = seen.insert(entry.key.clone(), name.to_owned()) {
                return Err(ConfigError::Refused {
                    key: entry.key.clone(),
                    source_: source,
                    reason: format!("{other} is set too; set one of them"),
                });
            }
            let Some(value) = value.to_str() else {
                return Err(ConfigError::Refused {
                    key: entry.key.clone(),
                    source_: source,
                    reason: "the value is not UTF-8".into(),
                });
            };
            let text = if is_file { read_secret(Path::new(value), name)? } else { value.to_owned() };
            values.0.insert(entry.key.clone(), Value { text: Text::One(text), source });
        }
        Ok(())
    }

    /// A database named by its parts, unless one is named as ours are. Returns what was seen and is not used.
    fn read_seed_database(&self, values: &mut Values) -> Vec<String> {
        let of = |wanted: &str| {
            let found = self.environment.iter().find(|(name, _)| name == wanted);
            found.and_then(|(_, value)| value.to_str()).unwrap_or_default()
        };
        let [host, port, name, user, password] = SEED_DATABASE.map(of);
        let mut notes = Vec::new();
        let seen: Vec<&str> = SEED_DATABASE.into_iter().filter(|name| !of(name).is_empty()).collect();
        if !seen.is_empty() && values.source("database_url") != Source::Default {
            notes.push(format!("{} set but not used: `database_url` is set too", seen.join(", ")));
        } else if let Some(url) = (Parts { host, port, name, user, password }).url() {
            let source = Source::Environment(SEED_DATABASE[0].to_owned());
            values.0.insert("database_url".to_owned(), Value { text: Text::One(url), source });
        } else if !seen.is_empty() {
            notes.push(format!(
                "{} set but not used: DATABASE_HOST, DATABASE_NAME and DATABASE_USER together name a PostgreSQL",
                seen.join(", ")
            ));
        }
        notes
    }

    fn read_seed_redis(&self, values: &mut Values) -> Result<(), ConfigError> {
        let Some((_, value)) = self.environment.iter().find(|(name, value)| name == SEED_REDIS && !value.is_empty()) else {
            return Ok(());
        };
        if values.source("redis_url") != Source::Default {
            return Ok(());
        }
        let source = Source::Environment(SEED_REDIS.to_owned());
        let Some(text) = value.to_str().map(str::to_owned) else {
            let reason = "the value is not UTF-8".into();
            return Err(ConfigError::Refused { key: "redis_url".into(), source_: source, reason });
        };
        values.0.insert("redis_url".into(), Value { text: Text::One(text), source });
        Ok(())
    }
}

/// The option a variable sets, and whether it names a file that holds the value.
fn option_of(variable: &str) -> Option<(&'static manual::Entry, bool)> {
    if let Some(entry) = manual::entries().iter().find(|e| e.env == variable) {
        return Some((entry, false));
    }
    let stem = variable.strip_suffix("_FILE")?;
    manual::entries().iter().find(|e| e.secret && e.env == stem).map(|entry| (entry, true))
}

pub(super) fn defaults() -> Values {
    let table: toml::Table = manual::TEXT.parse().unwrap_or_else(|error| panic!("config/default.toml: {error}"));
    let mut values = Values(BTreeMap::new());
    for (key, value) in flatten(table) {
        let text = text_of(&value).unwrap_or_else(|| panic!("config/default.toml: {key} has no text form"));
        values.0.insert(key, Value { text, source: Source::Default });
    }
    values
}

fn read_file(values: &mut Values, path: &Path) -> Result<(), ConfigError> {
    let text = read_bounded(path, FILE_BYTES_MAX)
        .map_err(|reason| ConfigError::Unreadable { what: path.display().to_string(), reason })?;
    let table: toml::Table = text.parse().map_err(|error: toml::de::Error| ConfigError::Unreadable {
        what: path.display().to_string(),
        reason: one_line(&error, &text),
    })?;
    let source = Source::File(path.to_owned());
    for (key, value) in flatten(table) {
        let known = values.0.contains_key(&key);
        if !known {
            return Err(ConfigError::Unknown { suggestion: closest_key(&key), name: key, source_: source });
        }
        // A number where words belong is a slip, and would be a path, a key or a prefix.
        let is_slip = manual::entry(&key).is_some_and(|entry| is_slip(entry, &value));
        let Some(text) = text_of(&value).filter(|_| !is_slip) else {
            let allowed = manual::entry(&key).map(|e| e.allowed.clone()).unwrap_or_default();
            return Err(ConfigError::Invalid { key, source_: source, value: kind_of(&value).to_owned(), allowed });
        };
        values.0.insert(key, Value { text, source: source.clone() });
    }
    Ok(())
}

/// Sections are one deep: `section.key`.
fn flatten(table: toml::Table) -> Vec<(String, toml::Value)> {
    let mut flat = Vec::new();
    for (name, value) in table {
        match value {
            toml::Value::Table(section) => flat.extend(section.into_iter().map(|(key, value)| (format!("{name}.{key}"), value))),
            value => flat.push((name, value)),
        }
    }
    flat
}

fn text_of(value: &toml::Value) -> Option<Text> {
    Some(match value {
        toml::Value::String(text) => Text::One(text.clone()),
        toml::Value::Integer(number) => Text::One(number.to_string()),
        toml::Value::Boolean(flag) => Text::One(flag.to_string()),
        toml::Value::Array(members) => Text::List(members.iter().map(|m| m.as_str().map(str::to_owned)).collect::<Option<_>>()?),
        _ => return None,
    })
}

/// Whether the manual writes its value in another way, with quotes or as a list.
fn is_slip(entry: &manual::Entry, value: &toml::Value) -> bool {
    match value {
        toml::Value::Integer(_) | toml::Value::Boolean(_) => entry.default.starts_with(['"', '[']),
        toml::Value::Array(_) => !entry.default.starts_with('['),
        _ => false,
    }
}

/// What cannot be an option's value, or not this option's.
fn kind_of(value: &toml::Value) -> &'static str {
    match value {
        toml::Value::Integer(_) => "a number without quotes",
        toml::Value::Boolean(_) => "true or false without quotes",
        toml::Value::Float(_) => "a float",
        toml::Value::Datetime(_) => "a date",
        toml::Value::Array(_) => "an array of these",
        _ => "a table",
    }
}

fn settings(values: &Values) -> Vec<Setting> {
    let shown = |entry: &manual::Entry, text: String| if entry.secret && !text.is_empty() { "…".to_owned() } else { text };
    manual::entries()
        .iter()
        .map(|entry| Setting {
            key: entry.key.clone(),
            env: entry.env.clone(),
            value: shown(entry, values.text(&entry.key)),
            source: values.source(&entry.key),
        })
        .collect()
}

fn read_secret(path: &Path, variable: &str) -> Result<String, ConfigError> {
    let text = read_bounded(path, SECRET_BYTES_MAX)
        .map_err(|reason| ConfigError::Unreadable { what: format!("{} (named by {variable})", path.display()), reason })?;
    let text = text.trim_end_matches(['\n', '\r']);
    if text.is_empty() {
        return Err(ConfigError::Unreadable {
            what: format!("{} (named by {variable})", path.display()),
            reason: "it is empty".into(),
        });
    }
    Ok(text.to_owned())
}

fn read_bounded(path: &Path, bytes_max: u64) -> Result<String, String> {
    use std::io::Read;
    let file = std::fs::File::open(path).map_err(|error| error.to_string())?;
    let mut bytes = Vec::new();
    file.take(bytes_max + 1).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    if bytes.len() as u64 > bytes_max {
        return Err(format!("it is longer than {bytes_max} bytes"));
    }
    String::from_utf8(bytes).map_err(|_| "it is not UTF-8".to_owned())
}

/// The parser's report is several lines with a drawing; ours is one line with the line's number. The text is not repeated: it may be a secret.
fn one_line(error: &toml::de::Error, text: &str) -> String {
    let line = error.span().map_or(1, |span| 1 + text.as_bytes().iter().take(span.start).filter(|b| **b == b'\n').count());
    format!("line {line}: {}", error.message().replace('\n', " "))
}

fn closest_variable(name: &str) -> Option<String> {
    closest(name, manual::entries().iter().map(|e| e.env.as_str()))
}

fn closest_key(key: &str) -> Option<String> {
    let last = |key: &str| key.rsplit('.').next().unwrap_or_default().to_owned();
    // The right name in the wrong section is the commonest mistake.
    let moved = manual::entries().iter().find(|e| last(&e.key) == last(key)).map(|e| e.key.clone());
    moved.or_else(|| closest(key, manual::entries().iter().map(|e| e.key.as_str())))
}

fn closest<'a>(wrong: &str, names: impl Iterator<Item = &'a str>) -> Option<String> {
    const DISTANCE_MAX: usize = 4;
    names.map(|name| (distance(wrong, name), name)).filter(|(d, _)| *d <= DISTANCE_MAX).min().map(|(_, name)| name.to_owned())
}

/// Levenshtein, one row at a time; names longer than any of ours are cut.
fn distance(a: &str, b: &str) -> usize {
    const CHARS_MAX: usize = 80;
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().take(CHARS_MAX).enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let cost = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = cost.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::{super::Database, *};

    fn load_with(name: &str, value: &str) -> Result<Loaded, ConfigError> {
        Layers { environment: vec![(name.into(), value.into())], ..Layers::default() }.load()
    }

    /// An option nobody reads would take anything.
    #[test]
    fn every_option_of_the_manual_is_read_and_its_range_enforced() {
        // Any path is a path.
        let free = ["data_dir", "database_url"];
        for entry in manual::entries().iter().filter(|entry| !free.contains(&entry.key.as_str())) {
            let error = load_with(&entry.env, "\u{2603} /").err().unwrap_or_else(|| panic!("{} takes a snowman", entry.key));
            assert!(error.to_string().contains(&format!("`{}`", entry.key)), "{error}");
            let Some(range) = entry.range().filter(|_| entry.default.parse::<u64>().is_ok()) else { continue };
            for inside in [range.start(), range.end()] {
                load_with(&entry.env, &inside.to_string()).unwrap_or_else(|error| panic!("{error}"));
            }
            let above = range.end() + 1;
            assert!(load_with(&entry.env, &above.to_string()).is_err(), "{} takes {above}", entry.key);
        }
        assert!(load_with("KNURL_DATA_DIR", "").is_err());
        assert!(load_with("KNURL_DATABASE_URL", "mysql://x").is_err());
    }

    #[test]
    fn the_seeds_parts_name_a_postgresql_unless_ours_names_a_database() {
        let seed = [("DATABASE_HOST", "db"), ("DATABASE_NAME", "links"), ("DATABASE_USER", "ada"), ("DATABASE_PASSWORD", "s3cret")];
        let load = |more: &[(&str, &str)]| {
            let all = seed.iter().chain(more).map(|(name, value)| (name.into(), value.into()));
            Layers { environment: all.collect(), ..Layers::default() }.load()
        };
        let loaded = load(&[("KNURL_POSTGRES_WRITERS", "3"), ("KNURL_STORE_READERS", "2")]).unwrap();
        let Database::Postgres(options) = &loaded.config.database else { panic!("{loaded:?}") };
        assert_eq!((options.writers, options.long_readers, options.start_away), (3, 2, false));
        let setting = loaded.settings.iter().find(|setting| setting.key == "database_url").unwrap();
        assert_eq!((setting.value.as_str(), setting.source.to_string().as_str()), ("…", "DATABASE_HOST"));
        assert!(loaded.notes.is_empty() && !format!("{loaded:?}").contains("s3cret"), "{loaded:?}");

        let ours = load(&[("KNURL_DATABASE_URL", "sqlite:here.db")]).unwrap();
        assert_eq!(ours.config.sqlite_path(), Some("here.db".into()));
        assert!(ours.notes[0].contains("`database_url` is set too"), "{:?}", ours.notes);
        let wrong = load(&[("DATABASE_PORT", "s3cret")]).unwrap_err().to_string();
        assert!(wrong.starts_with("DATABASE_HOST: `database_url`") && !wrong.contains("s3cret"), "{wrong}");
    }

    #[test]
    fn the_defaults_are_the_values_of_the_manual() {
        let loaded = Layers::default().load().unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(loaded.settings.len(), manual::entries().len());
        assert!(loaded.settings.iter().all(|setting| setting.source == Source::Default));
        assert_eq!(loaded.config.base_url, super::super::BaseUrl("http://127.0.0.1:8080".into()));
        assert_eq!(loaded.config.sqlite_path(), Some(PathBuf::from("./data/knurl.db")));
        assert!(loaded.config.replica);
    }

    #[test]
    fn the_seeds_name_for_redis_counts_where_nothing_else_was_said() {
        let load = |environment: &[(&str, &str)]| {
            let environment = environment.iter().map(|(name, value)| (name.into(), value.into())).collect();
            Layers { environment, ..Layers::default() }.load()
        };
        let shown = |environment: &[(&str, &str)]| {
            let loaded = load(environment).unwrap_or_else(|error| panic!("{error}"));
            loaded.config.redis.map(|redis| redis.url.to_string())
        };
        assert_eq!(shown(&[]), None);
        assert_eq!(shown(&[("REDIS_URL", "")]), None);
        assert_eq!(shown(&[("REDIS_URL", "redis://seed")]).as_deref(), Some("seed:6379"));
        let both = [("REDIS_URL", "redis://seed"), ("KNURL_REDIS_URL", "redis://ours:7")];
        assert_eq!(shown(&both).as_deref(), Some("ours:7"));
        let error = load(&[("REDIS_URL", "redis://u:hidden@")]).err().map(|error| error.to_string()).unwrap_or_default();
        assert!(error.starts_with("REDIS_URL: `redis_url` cannot be …") && !error.contains("hidden"), "{error}");
    }

    #[test]
    fn a_derived_base_url_follows_the_address_bound_and_a_given_one_does_not() {
        let bound = |base_url: &str| {
            let mut config = load_with("KNURL_BASE_URL", base_url).unwrap_or_else(|error| panic!("{error}")).config;
            config.bound("0.0.0.0:4711".parse().unwrap_or_else(|_| unreachable!("a literal")));
            config.base_url.0
        };
        assert_eq!(bound(""), "http://127.0.0.1:4711");
        assert_eq!(bound("https://Sho.rt/"), "https://sho.rt");
    }
}
