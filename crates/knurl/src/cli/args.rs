//! What may be typed. Help texts are the manual: `docs/reference/cli.md` is made of them.

use std::path::PathBuf;

use clap::{Parser, Subcommand};

use super::{
    audit::AuditArgs, backup::BackupArgs, config::ConfigArgs, export::ExportArgs, health::HealthArgs, import::ImportArgs,
    key::KeyCommand, link::LinkCommand, moving::MoveArgs, reference::Page, restore::RestoreArgs, serve::ServeArgs,
    user::UserCommand,
};

/// A URL shortener that does not slip.
#[derive(Debug, Parser)]
#[command(name = "knurl", version, propagate_version = true, disable_help_subcommand = true, arg_required_else_help = true)]
pub(super) struct Args {
    #[command(flatten)]
    pub(super) global: Global,
    #[command(subcommand)]
    pub(super) command: Command,
}

/// Flags every command takes.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Global {
    /// Read options from this file (else from the one `KNURL_CONFIG` names)
    #[arg(long, global = true, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
    /// The directory that holds the database and the spool
    #[arg(long, global = true, value_name = "DIR")]
    pub(super) data_dir: Option<PathBuf>,
    /// Print JSON instead of text
    #[arg(long, global = true)]
    pub(super) json: bool,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Serve redirects and the API until told to stop
    Serve(ServeArgs),
    /// Create, show and change links
    #[command(subcommand)]
    Link(LinkCommand),
    /// Create, show and change users
    #[command(subcommand)]
    User(UserCommand),
    /// Create and revoke API keys
    #[command(subcommand)]
    Key(KeyCommand),
    /// Take in users, urls and events from CSV or JSON Lines files
    ///
    /// Every row keeps its id and its values, and ids given afterwards come after all that the rows have or name. Rows that cannot be taken
    /// are reported and left out, those whose target has a scheme that `links.target_schemes` does not allow or leads back to this shortener
    /// among them. The same file again changes nothing, so an import that was cut off is continued by running it again: a row that was
    /// edited here since, or corrected in the file, is left as it is and reported field by field, and one that was deleted here stays
    /// deleted. Only clicks that `clicks.retention_days` has removed in between are not known any more: they are counted again.
    /// Files are recognised by their header and taken in the order users, urls, events, whatever the order they are named in.
    Import(ImportArgs),
    /// Write users, urls and events as CSV or JSON Lines files
    ///
    /// What `knurl import` reads. Deleted links are left out (their events are not); `knurl backup` keeps everything. Fields are written
    /// as they are: a spreadsheet may take a title that begins with `=` for a formula.
    Export(ExportArgs),
    /// Copy the database while it is being served, and verify the copy
    Backup(BackupArgs),
    /// Move to another database while this one is being served
    ///
    /// Everything is copied with its id, time, version and code; then, for a moment, clicks wait in their spools and changes are answered
    /// 503 (`moving`), while redirects go on; what is left is copied, every row of both sides is compared, and FROM refuses to be used any
    /// more. Restart the server with TO as its `KNURL_DATABASE_URL`: clicks go on where they stopped, each counted once. A move that was
    /// cut off, at whatever instant, is gone on with by the same command. The way back is `knurl move TO FROM`.
    Move(MoveArgs),
    /// Put a backup in the place of the database; no server may run
    ///
    /// The backup is verified first, copied beside the database and put in its place in one step; the database that was there is kept
    /// under another name. What happened after the backup was taken is gone from the restored database. Clicks are better off: those
    /// that wait in the spool are delivered by the next `knurl serve`, and those delivered after the backup are delivered again, once,
    /// as far as the spool still has them; `knurl audit` shows the others as lost.
    Restore(RestoreArgs),
    /// Check configuration, directories, database and spool, and say what to do
    Doctor,
    /// Ask the running server whether it can redirect: exit code 0 if it says so
    ///
    /// For the health check of a container that holds nothing but this program. It asks `/readyz` at the address of the metrics, which needs no
    /// key, and gives up after three seconds.
    Health(HealthArgs),
    /// Check that every answered click is delivered, waiting or counted as dropped
    Audit(AuditArgs),
    /// Print every option, its value and where it comes from
    Config(ConfigArgs),
    /// Print a page of the reference
    #[command(hide = true)]
    Reference { page: Page },
}
