//! `knurl-lab drill list | run`: which drills there are, and running them.
//!
//! Promised: each drill is run in a process of its own (and, as root, in a mount namespace of its own), several at a time with `--jobs`; a
//! verdict is printed as soon as it is there; SIGINT and SIGTERM make all of them heal. Exit code 0 only where every one passed.

use std::{
    collections::VecDeque,
    fs,
    io::{BufReader, Read as _},
    path::PathBuf,
    process::{ExitCode, Stdio},
    sync::{Mutex, PoisonError},
    thread,
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};

use super::{Drill, Verdict, alarm, catalogue, containers, interrupt, network, page, record, runner, verdict::Outcome};
use crate::{
    fleet::{Housing, Image},
    leash, process,
};

#[derive(Debug, clap::Subcommand)]
pub enum DrillCommand {
    /// Every drill: its name, what it believes, what must fire
    List {
        #[arg(long)]
        json: bool,
    },
    /// Run drills, and say whether each passed
    Run(RunDrills),
    /// One drill in this very process; its verdict as a line of JSON
    #[command(hide = true)]
    One(OneDrill),
}

#[derive(Clone, Debug, clap::Args)]
pub struct Conditions {
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// The binary, with fail points [default: KNURL_BIN, or knurl beside this program]
    #[arg(long)]
    pub knurl: Option<PathBuf>,
    /// The alerting rules [default: deploy/prometheus/rules of the repository this was built from]
    #[arg(long)]
    pub rules: Option<PathBuf>,
    /// Of load before the harm, and after healing at least
    #[arg(long, default_value_t = 10)]
    pub steady_s: u64,
    /// How long an expected alert is waited for
    #[arg(long, default_value_t = runner::SEEN_WITHIN.as_secs())]
    pub seen_within_s: u64,
    /// Where its Prometheus listens on the loopback, for a Grafana that is to show the drill; one drill at a time [default: any free port]
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    pub prometheus_port: Option<u16>,
    /// Hurt nothing: a drill that expects an alert must then fail
    #[arg(long)]
    pub unhurt: bool,
    /// Nodes run in containers of this image [default: knurl:drill], and Docker is what restarts them; `all` and `short` leave out
    /// what is only for processes. Needs root and a daemon in our namespaces: `make drill-containers`
    #[arg(long, value_name = "IMAGE", num_args = 0..=1, require_equals = true, default_missing_value = "knurl:drill")]
    pub containers: Option<String>,
}

#[derive(Clone, Debug, clap::Args)]
pub struct RunDrills {
    /// Names, `short`, or `all`
    #[arg(required = true)]
    pub names: Vec<String>,
    /// So many at a time: most of a drill is waiting
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=64))]
    pub jobs: u64,
    /// One line of JSON a verdict, instead of text
    #[arg(long)]
    pub json: bool,
    /// Write a page with plots and the whole verdict of each drill to this directory
    #[arg(long)]
    pub out: Option<PathBuf>,
    /// Write what is kept in the repository (docs/drills) to this directory; of containers the one page containers.md
    #[arg(long, num_args = 0..=1, default_missing_value = record::DIR)]
    pub record: Option<PathBuf>,
    #[command(flatten)]
    pub conditions: Conditions,
}

#[derive(Clone, Debug, clap::Args)]
pub struct OneDrill {
    pub name: String,
    #[command(flatten)]
    pub conditions: Conditions,
}

type Failed = Box<dyn std::error::Error>;

pub fn run(command: &DrillCommand) -> Result<ExitCode, Failed> {
    match command {
        DrillCommand::List { json } => list(*json),
        DrillCommand::Run(args) => run_all(args),
        DrillCommand::One(args) => one(args),
    }
}

fn list(json: bool) -> Result<ExitCode, Failed> {
    match write_list(&mut std::io::stdout().lock(), json) {
        // Whoever reads has read enough.
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(ExitCode::SUCCESS),
    }
}

fn write_list(out: &mut impl std::io::Write, json: bool) -> std::io::Result<()> {
    for drill in catalogue::all() {
        if json {
            let line = serde_json::json!({
                "drill": drill.name, "failure": drill.failure, "hypothesis": drill.hypothesis, "harm": drill.harm,
                "alerts": drill.alerts, "metrics": drill.metrics, "short": drill.is_short, "process_only": drill.process_only,
            });
            writeln!(out, "{line}")?;
        } else {
            let fires = if drill.alerts.is_empty() { "nothing may fire".to_owned() } else { drill.alerts.join(", ") };
            let short = if drill.is_short { " (short)" } else { "" };
            writeln!(out, "{}{short}: {fires}\n    {}", drill.name, drill.hypothesis)?;
            if let Some(why) = drill.process_only {
                writeln!(out, "    Not in containers: {why}.")?;
            }
        }
    }
    Ok(())
}

fn one(args: &OneDrill) -> Result<ExitCode, Failed> {
    interrupt::watch()?;
    let drills = catalogue::named(std::slice::from_ref(&args.name)).map_err(|name| format!("there is no drill {name}"))?;
    let drill = drills.first().ok_or("no drill")?;
    let conditions = &args.conditions;
    let housing =
        conditions.containers.as_deref().map_or(Ok(Housing::Process), |image| Image::named(image).map(Housing::Container))?;
    let binary = match (&housing, &conditions.knurl) {
        // Its image has its own.
        (Housing::Container(_), _) => PathBuf::new(),
        (Housing::Process, Some(binary)) => binary.canonicalize()?,
        (Housing::Process, None) => process::find_binary()?.canonicalize()?,
    };
    let spec = runner::RunSpec {
        binary,
        housing,
        rules: conditions.rules.clone().unwrap_or_else(alarm::rules_dir),
        seed: conditions.seed,
        steady: Duration::from_secs(conditions.steady_s),
        seen_within: Duration::from_secs(conditions.seen_within_s),
        prometheus_port: conditions.prometheus_port,
        unhurt: conditions.unhurt,
    };
    let entered = if drill.ground.own_network { network::enter() } else { Ok(()) };
    let verdict = entered
        .and_then(|()| runner::run(drill, &spec))
        .unwrap_or_else(|error| not_run(drill, conditions.seed, &error.to_string()));
    println!("{}", serde_json::to_string(&verdict)?);
    Ok(if verdict.passed() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn not_run(drill: &Drill, seed: u64, why: &str) -> Verdict {
    Verdict {
        drill: drill.name.to_owned(),
        outcome: Outcome::NotRun,
        failure: drill.failure.to_owned(),
        hypothesis: drill.hypothesis.to_owned(),
        harm: drill.harm.to_owned(),
        date: runner::date(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        seed,
        seconds: 0,
        phases: Default::default(),
        ledger: Default::default(),
        alerts: Vec::new(),
        other_alerts: Vec::new(),
        looks: Vec::new(),
        notes: Default::default(),
        findings: vec![why.to_owned()],
        samples: Vec::new(),
        series: Vec::new(),
        moments: Default::default(),
    }
}

fn run_all(args: &RunDrills) -> Result<ExitCode, Failed> {
    let mut drills = catalogue::named(&args.names).map_err(|name| format!("there is no drill {name}; see knurl-lab drill list"))?;
    if let Some(image) = &args.conditions.containers {
        drills = catalogue::in_containers(&args.names, drills)?;
        Image::named(image).map_err(|error| {
            format!("no containers of {image}: {error}; make drill-containers starts a daemon and builds the image")
        })?;
    }
    if args.conditions.prometheus_port.is_some() && args.jobs > 1 {
        return Err("one port is of one Prometheus: --prometheus-port goes with --jobs 1".into());
    }
    interrupt::watch()?;
    if let Some(out) = &args.out {
        fs::create_dir_all(out)?;
    }
    let waiting = Mutex::new(drills.iter().copied().collect::<VecDeque<Drill>>());
    let verdicts = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..args.jobs.min(drills.len() as u64) {
            scope.spawn(|| {
                while let Some(drill) = take(&waiting) {
                    let verdict = in_its_own_process(&drill, args)
                        .unwrap_or_else(|error| not_run(&drill, args.conditions.seed, &error.to_string()));
                    let mut verdicts = verdicts.lock().unwrap_or_else(PoisonError::into_inner);
                    if let Err(error) = tell(&verdict, args) {
                        eprintln!("{}: its verdict cannot be written: {error}", verdict.drill);
                    }
                    verdicts.push(verdict);
                }
            });
        }
    });
    let verdicts = verdicts.into_inner().unwrap_or_else(PoisonError::into_inner);
    if let Some(out) = &args.out {
        fs::write(out.join("index.html"), page::index(&verdicts))?;
    }
    if let Some(dir) = args.record.as_ref().filter(|_| args.conditions.containers.is_none()) {
        record::write_index(dir)?;
    }
    let passed = verdicts.iter().filter(|verdict| verdict.passed()).count();
    eprintln!("{passed} of {} drills passed", drills.len());
    Ok(if passed == drills.len() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn take(waiting: &Mutex<VecDeque<Drill>>) -> Option<Drill> {
    if interrupt::is_set() {
        return None;
    }
    waiting.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
}

fn tell(verdict: &Verdict, args: &RunDrills) -> Result<(), Failed> {
    if args.json {
        println!("{}", serde_json::to_string(&verdict.brief())?);
    } else {
        println!("{verdict}");
    }
    if let Some(out) = &args.out {
        fs::write(out.join(format!("{}.json", verdict.drill)), serde_json::to_string_pretty(verdict)?)?;
        fs::write(out.join(format!("{}.html", verdict.drill)), page::of(verdict))?;
    }
    match &args.record {
        // Of containers there is one page.
        Some(dir) if args.conditions.containers.is_some() => containers::write(dir, verdict)?,
        Some(dir) => record::write(dir, verdict)?,
        None => {}
    }
    Ok(())
}

/// What it mounts goes with its namespace, where we may make one; so does a network of its own. Docker has to see what is mounted: then that goes
/// with the namespace we were started in.
fn in_its_own_process(drill: &Drill, args: &RunDrills) -> Result<Verdict, Failed> {
    let me = std::env::current_exe()?;
    let mut command = if rustix::process::geteuid().is_root() && args.conditions.containers.is_none() {
        let mut unshare = leash::command("unshare");
        unshare.args(["--mount", "--propagation", "private"]).args(drill.ground.own_network.then_some("--net")).arg("--").arg(me);
        unshare
    } else {
        leash::command(me)
    };
    let of = &args.conditions;
    command.args(["drill", "one", drill.name, "--seed", &of.seed.to_string(), "--steady-s", &of.steady_s.to_string()]);
    command.args(["--seen-within-s", &of.seen_within_s.to_string()]);
    if let Some(port) = of.prometheus_port {
        command.args(["--prometheus-port", &port.to_string()]);
    }
    if of.unhurt {
        command.arg("--unhurt");
    }
    command.args(of.containers.iter().map(|image| format!("--containers={image}")));
    for (name, path) in [("--knurl", &of.knurl), ("--rules", &of.rules)] {
        if let Some(path) = path {
            command.arg(name).arg(path.canonicalize()?);
        }
    }
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::inherit());
    let mut child = leash::spawn(command)?;
    let stdout = child.stdout.take().ok_or("a piped child has a standard output")?;
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let said = thread::scope(|scope| {
        let reading = scope.spawn(move || {
            let mut said = String::new();
            BufReader::new(stdout).read_to_string(&mut said).map(|_| said)
        });
        let mut is_told = false;
        while !reading.is_finished() {
            if interrupt::is_set() && !is_told {
                is_told = true;
                let _ = pid.map(|pid| kill_process(pid, Signal::TERM));
            }
            thread::sleep(Duration::from_millis(100));
        }
        reading.join()
    });
    let said = said.map_err(|_| "the thread that reads a drill panicked")??;
    let status = child.wait()?;
    let line = said.lines().last().ok_or_else(|| format!("it ended without a verdict: {status}"))?;
    Ok(serde_json::from_str(line)?)
}
