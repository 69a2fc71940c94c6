//! The pages of the reference that are made of the program itself; tests compare them with the files.

use std::process::ExitCode;

use clap::{CommandFactory, ValueEnum};

use super::{args::Args, failure::Failure, out::Out};
use crate::{
    config::manual,
    telemetry::table::{self, Kind},
};

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum Page {
    Cli,
    Configuration,
    Metrics,
}

pub(super) fn run(out: Out, page: Page) -> Result<ExitCode, Failure> {
    out.say(&match page {
        Page::Cli => cli(),
        Page::Configuration => configuration(),
        Page::Metrics => metrics(),
    })?;
    Ok(ExitCode::SUCCESS)
}

const CLI_HEAD: &str = "# The command line

Made of the program's own help by `knurl reference cli`; a test compares the two.

Results go to standard output, everything else to standard error. With `--json` a result is one JSON value on one line, in a shape that
gains fields but never loses or renames one. Exit codes: 0 done; 1 failed (one line on standard error says why; also `import` with
refused rows, `audit` when the law does not hold, `doctor` when a check fails); 2 wrong usage; 74 `serve` gave up because the disk could sync no more
clicks; 78 wrong configuration.

Every command works on the data directory, beside a running server or without one. A server notices what a command changed within
`cache.coherence_interval_ms` (half a second). Only `restore` needs the server stopped.
";

const CONFIGURATION_HEAD: &str = "# The configuration

Made of `config/default.toml` by `knurl reference configuration`; a test compares the two.

Layers, later ones win: the defaults, a TOML file (`--config FILE` or `KNURL_CONFIG=FILE`), the environment, flags. `knurl config` prints
every option with its value and where it comes from; `knurl config --default` prints the file of defaults to start your own from. In the
environment a list is written with commas between its members. An option marked *secret* can also be given as `KNURL_…_FILE`, the name of
a file that holds it, and is never printed. An unknown option, an unknown `KNURL_*` variable or an invalid value is one line on standard
error and exit code 78. A `.env` file is not read.

Where nothing sets `database_url`, `DATABASE_HOST`, `DATABASE_NAME` and `DATABASE_USER` (with `DATABASE_PORT` and `DATABASE_PASSWORD`) name a
PostgreSQL; where nothing sets `redis_url`, `REDIS_URL` counts.
";

const METRICS_HEAD: &str = "# The metrics

Made of the program's own table by `knurl reference metrics`; a test compares the two, and another one the table with what a server exposes.

`GET /metrics` on `metrics_listen` answers them, and on the API's address with a key: as OpenMetrics where the scraper asks for that, else
in the older format. A counter only grows until its process ends; those whose help says *ever* go on where the last run was. A histogram is
of seconds, in buckets from 10 µs to 10 s, and has `_bucket`, `_sum` and `_count`. Labels are words of ours; none holds what a request brought.
The API's one histogram has OpenTelemetry's names for HTTP as Prometheus spells them, and its `_count` is how many there were; redirects have families of their own,
because nothing may be added to what a redirect counts. A series of the API is made when it is first needed, all others are there from the start.
What a node does not have (Redis, a replica, a canary) has a name here and no series there. What to do when one of them moves stands in the
[runbook](../../RUNBOOK.md); how to collect and show them in [observing Knurl](../guide/observe.md).
";

fn metrics() -> String {
    let mut page = METRICS_HEAD.to_owned();
    for (title, families) in table::ALL {
        page.push_str(&format!("\n## {title}\n\n| name | kind | labels | what it is |\n|---|---|---|---|\n"));
        for family in *families {
            let kind = match family.kind {
                Kind::Counter => "counter",
                Kind::Gauge => "gauge",
                Kind::Histogram => "histogram",
            };
            let labels: Vec<String> = family.labels.iter().map(|label| format!("`{label}`")).collect();
            page.push_str(&format!("| `{}` | {kind} | {} | {} |\n", family.exposed(), labels.join(", "), family.help));
        }
    }
    page.trim_end().to_owned()
}

fn cli() -> String {
    let mut page = CLI_HEAD.to_owned();
    let root = Args::command().term_width(110);
    describe(&root, "knurl", &mut page);
    page.trim_end().to_owned()
}

fn describe(command: &clap::Command, path: &str, page: &mut String) {
    let mut named = command.clone().bin_name(path);
    let level = if path.contains(' ') { "##" } else { "## The program:" };
    page.push_str(&format!("\n{level} `{path}`\n\n```text\n{}\n```\n", tidy(&named.render_long_help().to_string())));
    for sub in command.get_subcommands().filter(|sub| !sub.is_hide_set()) {
        // Global flags are described once, with the program.
        let sub = sub.clone().term_width(110);
        describe(&sub, &format!("{path} {}", sub.get_name()), page);
    }
}

fn tidy(help: &str) -> String {
    help.trim_end().lines().map(str::trim_end).collect::<Vec<_>>().join("\n")
}

fn configuration() -> String {
    let mut page = CONFIGURATION_HEAD.to_owned();
    let mut section = None;
    for entry in manual::entries() {
        let of = entry.key.split_once('.').map_or("", |(section, _)| section);
        if section != Some(of) {
            section = Some(of);
            let title = if of.is_empty() { "The whole".to_owned() } else { format!("`[{of}]`") };
            page.push_str(&format!("\n## {title}\n"));
        }
        let secret = if entry.secret { format!(", secret (or `{}_FILE`)", entry.env) } else { String::new() };
        page.push_str(&format!(
            "\n### `{}`\n\n{}\n\n- default: `{}`\n- allowed: {}\n- environment: `{}`{secret}\n",
            entry.key, entry.about, entry.default, entry.allowed, entry.env
        ));
    }
    page.trim_end().to_owned()
}
