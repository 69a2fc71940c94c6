//! The configuration and the store as a command needs them.

use std::{future::Future, path::PathBuf, sync::Arc};

use knurl_store::{Store, sqlite};

use super::{args::Global, failure::Failure};
use crate::{
    app,
    config::{self, Config, Layers, Loaded, Source},
};

/// One flag that sets an option: (key, text, flag).
pub(super) type Flag = (&'static str, String, &'static str);

pub(super) fn load(global: &Global, mut flags: Vec<Flag>) -> Result<Loaded, Failure> {
    if let Some(dir) = &global.data_dir {
        let dir = dir.to_str().ok_or_else(|| Failure::usage("--data-dir is not UTF-8"))?;
        flags.push(("data_dir", dir.to_owned(), "--data-dir"));
    }
    let mut loaded = Layers::of_process(global.config.clone(), flags).load()?;
    // `serve` replaces these by its own once it has bound.
    loaded.config.know_served();
    Ok(loaded)
}

/// Whether a command may bring the database into being.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Database {
    MustExist,
    /// And is of this Knurl's schema: a command that only looks brings none up to date.
    MustBeCurrent,
    MayCreate,
}

/// Runs a command's work against the store, then closes it.
pub(super) fn with_store<T, F, Fut>(global: &Global, database: Database, work: F) -> Result<T, Failure>
where
    F: FnOnce(Arc<dyn Store>, Config) -> Fut,
    Fut: Future<Output = Result<T, Failure>>,
{
    let config = beside_server(load(global, Vec::new())?);
    prepare(&config, database)?;
    runtime()?.block_on(async {
        if database == Database::MustBeCurrent {
            refuse_other_schema(&config).await?;
        }
        let store = app::Database::open(&config).await?.store;
        let done = work(Arc::clone(&store), config).await;
        store.close().await;
        done
    })
}

/// Short links begin with what the running server says, where nothing else was said: its flags may have told it.
fn beside_server(loaded: Loaded) -> Config {
    let derived = loaded.settings.iter().any(|setting| setting.key == "base_url" && setting.source == Source::Default);
    let Loaded { mut config, .. } = loaded;
    if let Some(serving) = config.serving().filter(|_| derived) {
        config.base_url = serving.base_url;
    }
    config
}

async fn refuse_other_schema(config: &Config) -> Result<(), Failure> {
    let (found, known) = match &config.database {
        config::Database::Sqlite(_) => (sqlite::schema_version(&config.sqlite_path().unwrap_or_default())?, sqlite::schema_known()),
        config::Database::Postgres(options) => options.look().await.map(|looked| (looked.schema_version, looked.schema_known))?,
    };
    if found >= known {
        // A newer one is refused when it is opened.
        return Ok(());
    }
    Err(Failure::failed(format!(
        "the database has schema version {found}, this knurl's is {known}, and this command changes nothing: `knurl serve`, or any command \
         that writes, brings it up to date"
    )))
}

/// Makes a place for an embedded database that may be created. A PostgreSQL is there or not, which opening it shows.
pub(super) fn prepare(config: &Config, database: Database) -> Result<(), Failure> {
    config.sqlite_path().map_or(Ok(()), |path| existing(path, database).map(drop))
}

/// A command that only looks creates nothing in a directory named by mistake.
pub(super) fn existing(path: PathBuf, database: Database) -> Result<PathBuf, Failure> {
    if path.exists() {
        return Ok(path);
    }
    if database != Database::MayCreate {
        return Err(Failure::failed(format!(
            "there is no database at {} (name its directory with --data-dir; `knurl serve` creates one)",
            path.display()
        )));
    }
    if let Some(dir) = path.parent().filter(|dir| !dir.as_os_str().is_empty()) {
        std::fs::create_dir_all(dir).map_err(|error| Failure::failed(format!("cannot create {}: {error}", dir.display())))?;
    }
    Ok(path)
}

pub(super) fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    let built = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    built.map_err(|error| Failure::failed(format!("cannot start threads: {error}")))
}
