//! The stand: a PostgreSQL that holds the links of a sample, imported once for all parts that only read them.

use super::{BenchError, Rig, codes, import, redirect::PUT_OFF};
use crate::{
    process::Launch,
    sample,
    servers::{Postgres, PostgresSetup},
};

/// Of a server that has this machine for itself, as far as clients and nodes leave it; what is acknowledged has been synced.
const SETTINGS: [&str; 4] = [
    "shared_buffers=1GB",
    "max_wal_size=4GB",
    "shared_preload_libraries=pg_stat_statements",
    // Off, but where it is asked for (see `queries`).
    "pg_stat_statements.track=none",
];

/// An empty one.
pub(super) fn postgres() -> Result<Postgres, BenchError> {
    Ok(Postgres::start_with(&PostgresSetup { fsync: true, settings: SETTINGS.map(str::to_owned).to_vec() })?)
}

#[derive(Debug)]
pub(super) struct Stand {
    pub(super) postgres: Postgres,
    pub(super) links: u64,
    /// Users and links.
    pub(super) rows: u64,
    /// Rows a second of `knurl import`.
    pub(super) imported_per_second: f64,
}

impl Stand {
    pub(super) fn start(rig: &Rig, links: u64) -> Result<Self, BenchError> {
        let postgres = postgres()?;
        let files = rig.dir.path().join("stand");
        eprintln!("populating {links} links on PostgreSQL");
        let spec = codes::sample(links);
        sample::write(&spec, &files)?;
        let mut launch = rig.launch("stand-import", &[("KNURL_DATABASE_URL", &postgres.url())])?;
        launch.cores = rig.both_cores();
        rig.spread(postgres.pid())?;
        let seconds = import::import(&launch, &files)?;
        eprintln!("populated {links} links in {seconds:.0} s");
        std::fs::remove_dir_all(&files)?;
        // What would otherwise be done behind the back of whatever is measured next.
        postgres.sql("vacuum analyze")?;
        postgres.sql("checkpoint")?;
        rig.to_clients(postgres.pid())?;
        let rows = spec.users + spec.links;
        Ok(Self { postgres, links, rows, imported_per_second: rows as f64 / seconds })
    }

    /// A node on it, alone on the servers' core, that delivers no clicks.
    pub(super) fn node(&self, rig: &Rig, name: &str, env: &[(&str, &str)]) -> Result<Launch, BenchError> {
        let url = self.postgres.url();
        let own = [("KNURL_DATABASE_URL", url.as_str()), PUT_OFF];
        rig.launch(name, &[&own[..], env].concat())
    }
}
