//! `knurl config`: every option, its value and who set it.

use std::process::ExitCode;

use serde::Serialize;

use super::{args::Global, failure::Failure, open::load, out::Out, table::Table};
use crate::config::{Layers, Setting, manual};

#[derive(Debug, clap::Args)]
pub(super) struct ConfigArgs {
    /// Print the file of defaults instead: the manual, and a start for a file of your own (with --json: every option and its default)
    #[arg(long)]
    default: bool,
}

#[derive(Serialize)]
struct SettingShape {
    key: String,
    value: String,
    source: String,
    env: String,
}

pub(super) fn run(global: &Global, out: Out, args: &ConfigArgs) -> Result<ExitCode, Failure> {
    if args.default {
        out.show(&shapes(Layers::default().load()?.settings), || manual::TEXT.to_owned())?;
        return Ok(ExitCode::SUCCESS);
    }
    let loaded = load(global, Vec::new())?;
    loaded.notes.iter().for_each(|note| eprintln!("knurl: {note}"));
    let shapes = shapes(loaded.settings);
    out.show(&shapes, || {
        let mut table = Table::new(out, &["OPTION", "VALUE", "SOURCE"]);
        shapes.iter().for_each(|shape| table.row(&[shape.key.clone(), shape.value.clone(), shape.source.clone()]));
        table.text()
    })?;
    Ok(ExitCode::SUCCESS)
}

fn shapes(settings: Vec<Setting>) -> Vec<SettingShape> {
    settings
        .into_iter()
        .map(|setting| SettingShape {
            source: setting.source.to_string(),
            key: setting.key,
            value: setting.value,
            env: setting.env,
        })
        .collect()
}
