//! `knurl export`.

use std::{
    fs::File,
    io::{BufWriter, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::ValueEnum;
use knurl_store::Store;
use serde::Serialize;

use super::{
    args::Global,
    destination,
    failure::Failure,
    open::{Database, load, with_store},
    out::Out,
    table::Table,
};
use crate::transfer::{ExportError, Exported, Format, Kind, export};

#[derive(Debug, clap::Args)]
pub(super) struct ExportArgs {
    /// Write users, urls and events into this directory
    #[arg(required_unless_present_any = ["users", "urls", "events"])]
    dir: Option<PathBuf>,
    #[arg(long, value_enum, default_value_t = FormatName::Csv, help = "How the files are written")]
    format: FormatName,
    /// Write the users to this file; `-` is standard output
    #[arg(long, value_name = "FILE")]
    users: Option<PathBuf>,
    /// Write the urls to this file; `-` is standard output
    #[arg(long, value_name = "FILE")]
    urls: Option<PathBuf>,
    /// Write the events to this file; `-` is standard output
    #[arg(long, value_name = "FILE")]
    events: Option<PathBuf>,
    /// CSV without the columns redirect_status and expires_at
    #[arg(long)]
    seed_columns: bool,
    /// Replace files that are there
    #[arg(long)]
    force: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum FormatName {
    Csv,
    Jsonl,
}

#[derive(Serialize)]
struct ExportShape {
    file: String,
    kind: &'static str,
    rows: u64,
    /// Links whose status or expiry the seed's columns cannot hold.
    curtailed: u64,
}

pub(super) fn run(global: &Global, out: Out, args: &ExportArgs) -> Result<ExitCode, Failure> {
    let (format, extension) = match (args.format, args.seed_columns) {
        (FormatName::Csv, false) => (Format::Csv, "csv"),
        (FormatName::Csv, true) => (Format::SeedCsv, "csv"),
        (FormatName::Jsonl, false) => (Format::JsonLines, "jsonl"),
        (FormatName::Jsonl, true) => return Err(Failure::usage("--seed-columns is for --format csv")),
    };
    let wanted = wanted(args, extension)?;
    let config = load(global, Vec::new())?.config;
    // All of them before the first is written.
    for (_, path) in wanted.iter().filter(|(_, path)| path != Path::new("-")) {
        destination::check(path, &config, &[], args.force)?;
        if path.exists() && !path.is_file() {
            return Err(Failure::failed(format!("{} is no regular file; `-` is standard output", path.display())));
        }
    }
    let shapes = with_store(global, Database::MustExist, |store, _| async move {
        if let Some(dir) = &args.dir {
            std::fs::create_dir_all(dir).map_err(|error| Failure::failed(format!("cannot create {}: {error}", dir.display())))?;
        }
        let mut shapes = Vec::new();
        for (kind, path) in wanted {
            let exported = write(store.as_ref(), kind, format, &path).await?;
            let file = path.display().to_string();
            shapes.push(ExportShape { file, kind: kind.as_str(), rows: exported.rows, curtailed: exported.links_curtailed });
        }
        Ok(shapes)
    })?;
    if shapes.iter().any(|shape| shape.file == "-") {
        // Standard output is the file.
        return Ok(ExitCode::SUCCESS);
    }
    out.show(&shapes, || text(out, &shapes))?;
    Ok(ExitCode::SUCCESS)
}

fn text(out: Out, shapes: &[ExportShape]) -> String {
    let mut table = Table::new(out, &["FILE", "KIND", "#ROWS"]);
    shapes.iter().for_each(|shape| table.row(&[shape.file.clone(), shape.kind.into(), shape.rows.to_string()]));
    let curtailed: u64 = shapes.iter().map(|shape| shape.curtailed).sum();
    if curtailed == 0 {
        return table.text();
    }
    format!("{}\n{curtailed} links have a status or an expiry that the seed's columns cannot hold", table.text())
}

/// Which file each kind goes to. A file of its own wins over the directory.
fn wanted(args: &ExportArgs, extension: &str) -> Result<Vec<(Kind, PathBuf)>, Failure> {
    let named = [(Kind::Users, &args.users), (Kind::Links, &args.urls), (Kind::Events, &args.events)];
    let in_dir = |kind: Kind| args.dir.as_ref().map(|dir| dir.join(format!("{}.{extension}", kind.as_str())));
    let wanted: Vec<_> =
        named.into_iter().filter_map(|(kind, file)| Some((kind, file.clone().or_else(|| in_dir(kind))?))).collect();
    if wanted.iter().filter(|(_, path)| path == Path::new("-")).count() > 1 {
        return Err(Failure::usage("only one kind can go to standard output"));
    }
    if wanted.iter().enumerate().any(|(n, (_, path))| wanted[..n].iter().any(|(_, earlier)| earlier == path)) {
        return Err(Failure::usage("each kind needs a file of its own"));
    }
    Ok(wanted)
}

/// Under a temporary name until it is whole and on disk: a file of the right name is a complete one.
async fn write(store: &dyn Store, kind: Kind, format: Format, path: &Path) -> Result<Exported, Failure> {
    if path == Path::new("-") {
        return match export(store, kind, format, &mut BufWriter::new(std::io::stdout()), &mut |_| ()).await {
            Err(ExportError::Output(error)) if error.kind() == std::io::ErrorKind::BrokenPipe => Err(Failure::Silent),
            other => other.map_err(|error| Failure::failed(error.to_string())),
        };
    }
    let failed = |error: &dyn std::fmt::Display| Failure::failed(format!("cannot write {}: {error}", path.display()));
    let name = path.file_name().ok_or_else(|| Failure::usage(format!("{} is no file name", path.display())))?;
    let temporary = path.with_file_name(format!(".{}.{}.part", name.to_string_lossy(), std::process::id()));
    let done = async {
        let mut file = BufWriter::with_capacity(256 * 1024, create(&temporary).map_err(|error| failed(&error))?);
        let exported = export(store, kind, format, &mut file, &mut |_| ()).await.map_err(|error| failed(&error))?;
        file.flush().and_then(|()| file.get_ref().sync_all()).map_err(|error| failed(&error))?;
        std::fs::rename(&temporary, path).map_err(|error| failed(&error))?;
        Ok(exported)
    }
    .await;
    if done.is_err() {
        let _ = std::fs::remove_file(&temporary);
    }
    done
}

/// What another run left under this name goes; a link that a stranger put there is not followed.
fn create(temporary: &Path) -> std::io::Result<File> {
    match std::fs::remove_file(temporary) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => File::create_new(temporary),
    }
}
