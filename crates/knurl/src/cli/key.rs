//! `knurl key`: a key is shown once, when it is created.

use std::process::ExitCode;

use clap::Subcommand;
use knurl_core::key::{KeyHash, KeyId};
use rand::RngExt as _;
use sha2::{Digest, Sha256};

use super::{
    args::Global,
    failure::Failure,
    now,
    open::{Database, with_store},
    out::{Out, plain},
    shape::KeyShape,
    table::Table,
};

/// 43 characters of base62 hold 256 random bits.
const RANDOM_CHARS: usize = 43;
const NAME_CHARS_MAX: usize = 100;

#[derive(Debug, Subcommand)]
pub(super) enum KeyCommand {
    /// Create an API key and print it, this once
    Create {
        /// What it is for; for you to recognise it by
        name: String,
    },
    /// List keys, revoked ones too
    List,
    /// Revoke a key: a running server refuses it within `cache.coherence_interval_ms`
    Revoke { id: i64 },
}

pub(super) fn run(global: &Global, out: Out, command: KeyCommand) -> Result<ExitCode, Failure> {
    let database = if matches!(command, KeyCommand::Create { .. }) { Database::MayCreate } else { Database::MustExist };
    with_store(global, database, |store, _| async move {
        match command {
            KeyCommand::Create { name } => {
                if name.trim().is_empty() || name.chars().nth(NAME_CHARS_MAX).is_some() || name.chars().any(char::is_control) {
                    return Err(Failure::usage(format!("a key's name has 1 to {NAME_CHARS_MAX} characters")));
                }
                let secret = generate();
                let key = store.create_key(&name, KeyHash(Sha256::digest(secret.as_bytes()).into()), now()).await?;
                let shape = KeyShape { key: Some(secret.clone()), ..KeyShape::from(&key) };
                out.show(&shape, || {
                    format!(
                        "{secret}\n\nKeep it: only its hash is stored, it cannot be shown again. (id {}, {})",
                        shape.id,
                        plain(&shape.name)
                    )
                })
            }
            KeyCommand::List => {
                let keys: Vec<KeyShape> = store.list_keys().await?.iter().map(KeyShape::from).collect();
                out.show(&keys, || {
                    let mut table = Table::new(out, &["#ID", "NAME", "CREATED", "REVOKED"]);
                    for key in &keys {
                        table.row(&[
                            key.id.to_string(),
                            key.name.clone(),
                            key.created_at.clone(),
                            key.revoked_at.clone().unwrap_or_default(),
                        ]);
                    }
                    table.text()
                })
            }
            KeyCommand::Revoke { id } => {
                let revoked = store.revoke_key(KeyId(id), now()).await?.ok_or_else(|| Failure::failed("there is no such key"))?;
                out.show(&KeyShape::from(&revoked), || format!("revoked {} ({})", revoked.id.0, plain(&revoked.name)))
            }
        }
    })?;
    Ok(ExitCode::SUCCESS)
}

fn generate() -> String {
    let mut rng = rand::rng();
    let random = (0..RANDOM_CHARS).map(|_| char::from(rng.sample(rand::distr::Alphanumeric)));
    format!("knurl_{}", random.collect::<String>())
}
