//! The doctor's look at the database, of whichever kind, and at the clicks on their way to it.

use knurl_core::{
    UnixMillis,
    key::{Key, KeyHash},
};
use knurl_spool::{DirDisk, count_aside};
use knurl_store::{
    Store, StoreError,
    postgres::{ENCODING, Looked, PostgresOptions, PostgresStore},
    sqlite,
    sqlite::SqliteStore,
};
use sha2::{Digest, Sha256};

use super::{
    super::{
        failure::{Failure, chain},
        now,
        open::runtime,
    },
    Check,
};
use crate::{
    clicks::audit::{Audit, AuditError, SpoolState, Verdict, audit_of},
    config::{Auth, Config, Database},
};

/// More than this between the server's clock and ours, and a click counts in another hour than the one it fell in.
const CLOCKS_APART_MAX_MS: i64 = 2_000;

/// `serving`: a node is running on this data directory, so its connections are there already.
pub(super) fn checks(config: &Config, serving: bool) -> Result<Vec<Check>, Failure> {
    let runtime = runtime()?;
    Ok(match &config.database {
        Database::Sqlite(_) => runtime.block_on(sqlite_checks(config)),
        Database::Postgres(options) => runtime.block_on(postgres_checks(config, options, serving)),
    })
}

async fn sqlite_checks(config: &Config) -> Vec<Check> {
    let path = config.sqlite_path().unwrap_or_default();
    if !path.exists() {
        return vec![Check::ok("database", format!("{} will be created", path.display()))];
    }
    let verified = match sqlite::verify(&path) {
        Ok(verified) => verified,
        Err(error) => return vec![cannot_be_used(&error)],
    };
    let rows: u64 = verified.tables.iter().map(|table| table.rows).sum();
    let (found, known) = (verified.schema_version, sqlite::schema_known());
    let whole = format!("whole, schema {found}, {rows} rows");
    if found < known {
        // Opening brings the schema up to date, which is not the doctor's to do.
        return vec![Check::ok(
            "database",
            format!("{whole}: will be brought to schema {known} at the next start or command that writes"),
        )];
    }
    let mut checks = vec![Check::ok("database", whole)];
    match SqliteStore::open(&path, &config.store.sqlite_options()) {
        Ok(store) => checks.extend(clicks_through(&store, config).await),
        Err(error) => checks.push(cannot_be_used(&error)),
    }
    checks
}

fn cannot_be_used(error: &StoreError) -> Check {
    let remedy = match error {
        StoreError::TooNew { .. } => "use the newer knurl; this file is whole, or not known to be damaged",
        _ => "restore a backup (`knurl restore FILE --force`); the damaged file is kept",
    };
    Check::fail("database", chain(error), remedy)
}

async fn postgres_checks(config: &Config, options: &PostgresOptions, serving: bool) -> Vec<Check> {
    let asked = now();
    let looked = match options.look().await {
        Ok(looked) => looked,
        Err(error) => return vec![unreachable_database(&error)],
    };
    let answered = now();
    let mut checks = vec![schema(&looked), tls(&looked), clocks(&looked, asked, answered)];
    checks.extend([connections(&looked, options, serving), durability(&looked)]);
    if looked.schema_version >= looked.schema_known && looked.schema_serves_from <= looked.schema_known {
        // Opening brings the schema up to date, which is not the doctor's to do; here there is nothing to bring.
        match PostgresStore::open(options).await {
            Ok(store) => checks.extend(clicks_through(&store, config).await),
            Err(error) => checks.push(unreachable_database(&error)),
        }
    }
    checks
}

fn unreachable_database(error: &StoreError) -> Check {
    let remedy = "check that it runs and takes writes, and what `database_url` says of host, login, database and sslmode";
    Check::fail("database", format!("PostgreSQL: {}", chain(error)), remedy)
}

fn schema(looked: &Looked) -> Check {
    let Looked { server_version, database, schema_version, schema_known, .. } = looked;
    let found = format!("PostgreSQL {server_version}, database {database}, schema {schema_version}");
    if looked.encoding != ENCODING {
        let remedy = format!("make another one: `create database … encoding '{ENCODING}' template template0`");
        return Check::fail("database", format!("{found}, encoding {}: it cannot hold every character", looked.encoding), remedy);
    }
    match schema_version.cmp(schema_known) {
        std::cmp::Ordering::Equal => Check::ok("database", found),
        std::cmp::Ordering::Less => {
            Check::ok("database", format!("{found}: will be brought to {schema_known} at the next start or command"))
        }
        std::cmp::Ordering::Greater if looked.schema_serves_from <= *schema_known => {
            let found = format!("{found}, a newer knurl's, which this one (schema {schema_known}) may still work on");
            Check::warn("database", found, "upgrade this node too")
        }
        std::cmp::Ordering::Greater => {
            Check::fail("database", format!("{found}, this knurl knows up to {schema_known}"), "use the newer knurl")
        }
    }
}

fn tls(looked: &Looked) -> Check {
    match &looked.tls {
        Some(version) => Check::ok("database TLS", version.clone()),
        None => Check::warn(
            "database TLS",
            "the connection is not encrypted",
            "`sslmode=verify-full` in `database_url`, unless only machines you trust are on the way",
        ),
    }
}

/// The server read its clock at some moment between the two.
fn clocks(looked: &Looked, asked: UnixMillis, answered: UnixMillis) -> Check {
    let theirs = looked.server_time.0;
    let apart_ms = if theirs < asked.0 { theirs - asked.0 } else { (theirs - answered.0).max(0) };
    let found = format!("{apart_ms} ms from ours");
    if apart_ms.abs() > CLOCKS_APART_MAX_MS {
        return Check::warn("database clock", found, "set both by NTP: links expire, and clicks count, by the nodes' clocks");
    }
    Check::ok("database clock", found)
}

fn connections(looked: &Looked, options: &PostgresOptions, serving: bool) -> Check {
    let (node_max, max, taken) = (options.connections_max() as u64, looked.connections_max, looked.connections_now);
    let found = format!("a node opens at most {node_max}; the server has {max}, {taken} are taken");
    let remedy =
        "raise the server's max_connections, or lower `postgres.writers` and `store.readers`: the sum over all nodes must fit";
    if node_max > max {
        return Check::fail("connections", found, remedy);
    }
    if !serving && taken + node_max > max {
        return Check::warn("connections", found, remedy);
    }
    Check::ok("connections", found)
}

fn durability(looked: &Looked) -> Check {
    if !looked.fsync {
        let remedy = "fsync = on: without it a power failure may take the whole database";
        return Check::warn("durability", "the server runs with fsync = off", remedy);
    }
    let standbys = match looked.standbys {
        0 => "no standby is attached".to_owned(),
        standbys => format!("{standbys} standbys are attached"),
    };
    Check::ok("durability", format!("synchronous_commit = {}; {standbys}", looked.synchronous_commit))
}

async fn clicks_through(store: &dyn Store, config: &Config) -> Vec<Check> {
    let audited = audit_of(store, config).await;
    let keys = store.list_keys().await;
    store.close().await;
    let key = keys.is_ok_and(|keys| is_revoked(config, &keys)).then(|| {
        Check::warn(
            "admin key",
            "the one that is kept here (or configured) was revoked: it opens nothing",
            "`knurl key create NAME` prints another",
        )
    });
    clicks_aside(config).into_iter().chain([clicks(audited)]).chain(key).collect()
}

/// A revoked key is not brought back by a restart.
fn is_revoked(config: &Config, keys: &[Key]) -> bool {
    let kept = || std::fs::read_to_string(config.admin_key_path()).ok().map(|kept| kept.trim().to_owned());
    let secret = config.admin_key.as_ref().map(|secret| secret.0.clone()).or_else(kept);
    let hash = secret.map(|secret| KeyHash(Sha256::digest(secret.as_bytes()).into()));
    config.auth == Auth::Required && keys.iter().any(|key| Some(key.hash) == hash && key.revoked_at.is_some())
}

fn clicks(audited: Result<Audit, AuditError>) -> Check {
    match audited {
        Err(error) => Check::fail("clicks", chain(&error), "see docs/guide/operate.md"),
        Ok(found) if found.verdict == Verdict::Broken => Check::fail(
            "clicks",
            format!("the law does not hold ({} lost)", found.lost),
            "`knurl audit` shows the figures; see docs/guide/operate.md",
        ),
        Ok(found) if found.verdict == Verdict::Unproven && found.spool == SpoolState::NoLedger => Check::warn(
            "clicks",
            format!("{} delivered, {} waiting, but the spool's ledger is not here", found.delivered, found.backlog),
            "start: what waits is delivered; how many were answered is not known any more",
        ),
        Ok(found) if found.verdict == Verdict::Unproven => Check::warn(
            "clicks",
            format!("there was a spool that is not here ({} were delivered from elsewhere)", found.elsewhere),
            "put it back if you can: what waited in it is nowhere else; after a restore on another machine this is as it should be",
        ),
        Ok(found) if found.spool == SpoolState::None && found.verdict == Verdict::Holds => Check::ok("clicks", "no spool yet"),
        Ok(found) if found.dropped > 0 => Check::warn(
            "clicks",
            format!("{} delivered, {} waiting, {} dropped", found.delivered, found.backlog, found.dropped),
            "the spool was full or broken at some time: look at space and disk",
        ),
        Ok(found) => Check::ok("clicks", format!("{} delivered, {} waiting", found.delivered, found.backlog)),
    }
}

fn clicks_aside(config: &Config) -> Option<Check> {
    let dir = config.spool_dir();
    let aside = dir.exists().then(|| DirDisk::new(&dir).and_then(|disk| count_aside(&disk)))?.unwrap_or(0);
    (aside > 0).then(|| {
        Check::warn(
            "clicks aside",
            format!("{aside} clicks that the database refused are kept as {}", dir.join("aside-*.record").display()),
            "report it with the log's error lines: it is a bug; the files may be deleted",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::{super::Health, *};

    fn looked() -> Looked {
        Looked {
            server_version: "15.4".into(),
            database: "links".into(),
            schema_version: 3,
            schema_known: 3,
            schema_serves_from: 3,
            server_time: UnixMillis(1_000_000),
            tls: Some("TLSv1.3".into()),
            standbys: 1,
            connections_max: 97,
            connections_now: 80,
            synchronous_commit: "on".into(),
            fsync: true,
            encoding: ENCODING.into(),
        }
    }

    fn options() -> PostgresOptions {
        PostgresOptions::from_url("postgres://h/db").unwrap()
    }

    #[test]
    fn clocks_differ_by_what_the_time_of_the_question_cannot_explain() {
        let apart = |asked, answered| clocks(&looked(), UnixMillis(asked), UnixMillis(answered));
        assert_eq!(apart(999_000, 1_000_500).found, "0 ms from ours");
        assert_eq!((apart(995_000, 996_000).found.as_str(), apart(995_000, 996_000).health), ("4000 ms from ours", Health::Warn));
        assert_eq!((apart(1_003_000, 1_004_000).found.as_str()), "-3000 ms from ours");
    }

    #[test]
    fn a_node_that_would_not_find_its_connections_is_told_so_before_it_starts() {
        assert_eq!(options().connections_max(), 17);
        assert_eq!(connections(&looked(), &options(), true).health, Health::Ok);
        assert_eq!(connections(&Looked { connections_now: 81, ..looked() }, &options(), false).health, Health::Warn);
        assert_eq!(connections(&Looked { connections_max: 16, ..looked() }, &options(), true).health, Health::Fail);
    }

    #[test]
    fn a_database_that_cannot_hold_every_character_is_a_failure_before_anything_is_made_in_it() {
        let latin = schema(&Looked { schema_version: 0, encoding: "LATIN1".into(), ..looked() });
        assert_eq!(latin.health, Health::Fail);
        assert!(latin.found.contains("LATIN1"), "{}", latin.found);
    }

    #[test]
    fn a_schema_that_is_too_new_is_a_failure_and_an_old_one_is_not() {
        let health =
            |(schema_version, schema_serves_from)| schema(&Looked { schema_version, schema_serves_from, ..looked() }).health;
        assert_eq!([(0, 0), (3, 1), (4, 3), (4, 4)].map(health), [Health::Ok, Health::Ok, Health::Warn, Health::Fail]);
    }
}
