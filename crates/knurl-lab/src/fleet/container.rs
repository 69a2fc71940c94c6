//! A node in a container of the shipped image.
//!
//! Promised: confined as in production (root read-only, no capability, no new privileges, not root, bounded in memory and processes); Docker
//! alone starts it again when its process has ended, and we wait for that; it is taken away when it is dropped, and when we are killed.
//! On the network of whoever starts it, with its directory at the same path inside and outside. So addresses, process ids and paths mean the same to the
//! lab, the servers and the node, where the lab is run in the namespaces of the daemon (`scripts/drill-containers.sh`).
//! Refused: commands in front of the program, and libraries that are loaded before it. There is nothing else in the image.

use std::{
    fs::{self, File},
    io::{self, Write as _},
    net::SocketAddr,
    os::unix::process::ExitStatusExt as _,
    process::{Command, ExitStatus, Stdio},
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};

use super::{FleetError, ask};
use crate::{
    http::Request,
    leash,
    process::{Launch, ProcessError, READY_WITHIN, SERVE_ENV},
};

/// Of a node whose drill says nothing else, as in compose.prod.yaml.
const MEMORY_BYTES: u64 = 512 << 20;
const PROCESSES_MAX: &str = "256";
/// From SIGTERM to SIGKILL.
const STOP_WITHIN_S: &str = "60";
/// From SIGKILL to the end.
const ENDED_WITHIN: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(50);

/// Runs Docker's client to its end.
fn docker(args: &[&str]) -> Result<Vec<u8>, FleetError> {
    finish(leash::command("docker").args(args), args[0])
}

fn finish(command: &mut Command, what: &str) -> Result<Vec<u8>, FleetError> {
    let broken = |words: String| FleetError::Docker { asked: what.to_owned(), words };
    let out = command.stdin(Stdio::null()).output().map_err(|error| broken(error.to_string()))?;
    if out.status.success() { Ok(out.stdout) } else { Err(broken(String::from_utf8_lossy(&out.stderr).trim().to_owned())) }
}

/// An image that is there.
#[derive(Clone, Debug)]
pub struct Image {
    name: String,
    owner: (u32, u32),
}

impl Image {
    pub fn named(name: &str) -> Result<Self, FleetError> {
        let user = String::from_utf8_lossy(&docker(&["image", "inspect", "--format", "{{.Config.User}}", name])?).trim().to_owned();
        let ids = user.split_once(':').and_then(|(uid, gid)| Some((uid.parse().ok()?, gid.parse().ok()?)));
        match ids {
            Some(owner @ (1.., _)) => Ok(Self { name: name.to_owned(), owner }),
            _ => Err(FleetError::Docker {
                asked: name.to_owned(),
                words: format!("its user is {user:?}, and must be UID:GID and not root"),
            }),
        }
    }

    pub(super) fn owner(&self) -> (u32, u32) {
        self.owner
    }

    /// A command of the product in a container of its own, on the node's directory.
    pub(super) fn command(&self, launch: &Launch, args: &[&str]) -> Command {
        let mut run = confined(launch);
        run.args(["--rm", &self.name]).args(args);
        run
    }
}

/// `docker run` up to the image.
fn confined(launch: &Launch) -> Command {
    let mut run = leash::command("docker");
    run.args(["run", "--network", "host", "--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges"]);
    // The lab asks for itself.
    run.args(["--no-healthcheck", "--pids-limit", PROCESSES_MAX]);
    let dir = launch.dir.display();
    run.args(["--volume", &format!("{dir}:{dir}")]);
    run.args(launch.cores.iter().flat_map(|cores| ["--cpuset-cpus", cores]));
    run.stdin(Stdio::null()).env("KNURL_DATA_DIR", launch.data_dir());
    run.envs(SERVE_ENV.iter().copied()).envs(launch.env.iter().map(|(key, value)| (key, value)));
    // By name: the value is the client's own, and stands on no command line.
    let names = SERVE_ENV.iter().map(|(key, _)| *key).chain(launch.env.iter().map(|(key, _)| key.as_str()));
    names.chain(["KNURL_DATA_DIR"]).for_each(|name| {
        run.args(["--env", name]);
    });
    run
}

#[derive(Debug)]
pub(super) struct Container {
    name: String,
    launch: Launch,
    memory_bytes: u64,
    /// Of the process that was ready last; 0: none was.
    pid: u32,
    began: u64,
    /// By [`Container::kill`].
    is_killed: bool,
    _will: leash::Will,
}

/// As Docker sees it.
#[derive(Clone, Copy, Debug)]
struct State {
    /// 0: none at the moment.
    pid: u32,
    exit: i32,
    restarts: u64,
}

impl Container {
    /// Started, and not yet ready.
    pub(super) fn run(image: &Image, launch: &Launch, memory_bytes: Option<u64>) -> Result<Self, FleetError> {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let memory_bytes = memory_bytes.unwrap_or(MEMORY_BYTES);
        if let Some(first) = launch.within.first() {
            let words = format!("there is no {first} in the image to start it with");
            return Err(FleetError::Docker { asked: "run".to_owned(), words });
        }
        let name = format!("knurl-drill-{}-{}", std::process::id(), NEXT.fetch_add(1, Relaxed));
        // Made first: what dies between the two leaves nothing.
        let will = leash::will("docker", &["rm", "--force", "--volumes", &name])?;
        let memory = memory_bytes.to_string();
        let mut run = confined(launch);
        run.args(["--detach", "--name", &name, "--restart", "unless-stopped", "--memory", &memory, "--memory-swap", &memory]);
        finish(run.args([image.name.as_str(), "serve"]), "run")?;
        Ok(Self { name, launch: launch.clone(), memory_bytes, pid: 0, began: 0, is_killed: false, _will: will })
    }

    /// Whether Docker will start it again, as it is to be.
    pub(super) fn comes_back(&self, launch: &Launch, memory_bytes: Option<u64>) -> bool {
        !self.is_killed && self.launch == *launch && self.memory_bytes == memory_bytes.unwrap_or(MEMORY_BYTES)
    }

    pub(super) fn is_killed(&self) -> bool {
        self.is_killed
    }

    pub(super) fn pid(&self) -> u32 {
        self.pid
    }

    pub(super) fn is_running(&self) -> bool {
        self.pid != 0 && began(self.pid) == Some(self.began)
    }

    /// Waits until a process of it other than the last one can redirect. The first one has to be that one; later ones are Docker's to start.
    pub(super) fn wait_ready(&mut self, metrics_addr: SocketAddr) -> Result<(), FleetError> {
        let (deadline, is_first) = (Instant::now() + READY_WITHIN, self.pid == 0);
        while Instant::now() < deadline {
            let state = self.state()?;
            if state.pid == 0 && is_first {
                return Err(ProcessError::EndedEarly { status: status(state.exit), words: self.last_words() }.into());
            }
            if let Some(began) = began(state.pid).filter(|began| (state.pid, *began) != (self.pid, self.began))
                && ask(metrics_addr, &Request::get("/readyz"), 200).is_ok()
            {
                (self.pid, self.began) = (state.pid, began);
                return Ok(());
            }
            thread::sleep(POLL);
        }
        Err(ProcessError::NotReady { within: READY_WITHIN, words: self.last_words() }.into())
    }

    pub(super) fn stop(&mut self) -> Result<ExitStatus, FleetError> {
        docker(&["stop", "--time", STOP_WITHIN_S, &self.name])?;
        Ok(status(self.state()?.exit))
    }

    /// By Docker's own command, which counts as somebody's wish: its restart policy does nothing, and it stays away.
    pub(super) fn kill(&mut self) -> Result<(), FleetError> {
        self.is_killed = true;
        docker(&["kill", &self.name])?;
        self.wait_ended()
    }

    /// As the kernel ends a process: Docker was not told, and its restart policy is asked.
    pub(super) fn crash(&mut self) -> Result<(), FleetError> {
        if let Some(pid) = i32::try_from(self.pid).ok().and_then(Pid::from_raw).filter(|_| self.is_running()) {
            kill_process(pid, Signal::KILL).map_err(io::Error::from)?;
        }
        self.wait_ended()
    }

    fn wait_ended(&self) -> Result<(), FleetError> {
        let deadline = Instant::now() + ENDED_WITHIN;
        while self.is_running() {
            if Instant::now() > deadline {
                let words = format!("{} did not end within {ENDED_WITHIN:?} of SIGKILL", self.name);
                return Err(FleetError::Docker { asked: "kill".to_owned(), words });
            }
            thread::sleep(POLL);
        }
        Ok(())
    }

    /// How often Docker has started it again.
    pub(super) fn restarts(&self) -> u64 {
        self.state().map_or(0, |state| state.restarts)
    }

    /// How often the kernel has ended a process of it for its memory, as Docker was told.
    pub(super) fn kills_for_memory(&self) -> u64 {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default().as_secs() + 1;
        let (until, name) = (now.to_string(), format!("container={}", self.name));
        let said = docker(&[
            "events",
            "--since",
            "0",
            "--until",
            &until,
            "--filter",
            &name,
            "--filter",
            "event=oom",
            "--format",
            "{{.Action}}",
        ]);
        said.map_or(0, |said| String::from_utf8_lossy(&said).lines().count() as u64)
    }

    /// What it has logged so far.
    pub(super) fn words(&self) -> String {
        let out = leash::command("docker").args(["logs", &self.name]).stdin(Stdio::null()).output();
        out.map_or_else(|_| String::new(), |out| String::from_utf8_lossy(&out.stderr).into_owned())
    }

    /// Its words go where those of a process are: with it they are gone.
    pub(super) fn leave_words(&self) -> io::Result<()> {
        File::options().create(true).append(true).open(self.launch.log())?.write_all(self.words().as_bytes())
    }

    fn last_words(&self) -> String {
        let words = self.words();
        let lines: Vec<&str> = words.lines().collect();
        lines[lines.len().saturating_sub(LAST_LINES)..].join("\n")
    }

    fn state(&self) -> Result<State, FleetError> {
        const FORMAT: &str = "{{.State.Pid}} {{.State.ExitCode}} {{.RestartCount}}";
        let said = String::from_utf8_lossy(&docker(&["container", "inspect", "--format", FORMAT, &self.name])?).into_owned();
        let mut figures = said.split_whitespace().map_while(|word| word.parse::<i64>().ok());
        let mut next = || figures.next();
        match (next(), next(), next()) {
            (Some(pid), Some(exit), Some(restarts)) => Ok(State { pid: pid as u32, exit: exit as i32, restarts: restarts as u64 }),
            _ => Err(FleetError::Docker { asked: "inspect".to_owned(), words: said }),
        }
    }
}

const LAST_LINES: usize = 10;

/// When the process began, in ticks since the kernel did; `None`: there is none, or it has ended and nobody has noticed yet. A number may be
/// given again, and both together are not.
fn began(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // Behind the name, which may hold anything.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    let state = fields.next()?;
    // The twenty-second field; the name is the second and the state the third.
    fields.nth(18)?.parse().ok().filter(|_| !matches!(state, "Z" | "X"))
}

/// A shell's way of telling it: from 129 on it is a signal.
fn status(exit: i32) -> ExitStatus {
    ExitStatus::from_raw(if (129..=192).contains(&exit) { exit - 128 } else { exit << 8 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exit_code_of_docker_is_told_as_that_of_a_child() {
        assert!(status(0).success());
        assert_eq!((status(78).code(), status(78).signal()), (Some(78), None));
        assert_eq!((status(137).code(), status(137).signal()), (None, Some(9)));
    }

    #[test]
    fn a_process_is_known_by_its_beginning_and_an_ended_one_is_none() {
        let me = std::process::id();
        assert!(began(me).is_some() && began(me) == began(me));
        let mut child = leash::spawn(leash::command("true")).unwrap();
        let pid = child.id();
        let ended = Instant::now() + Duration::from_secs(30);
        while began(pid).is_some() && Instant::now() < ended {
            thread::sleep(POLL);
        }
        assert_eq!(began(pid), None, "not even while nobody has waited for it");
        child.wait().unwrap();
        assert_eq!(began(0), None);
    }

    #[test]
    fn a_container_is_confined_and_no_value_of_its_environment_is_on_a_command_line() {
        let launch = Launch {
            binary: "/knurl".into(),
            dir: "/somewhere/node-1".into(),
            env: vec![("KNURL_ADMIN_KEY".to_owned(), "a secret".to_owned())],
            cores: None,
            within: Vec::new(),
        };
        let image = Image { name: "knurl:drill".to_owned(), owner: (65532, 65532) };
        let command = image.command(&launch, &["audit", "--json"]);
        let args: Vec<String> = command.get_args().map(|arg| arg.to_string_lossy().into_owned()).collect();
        let words = args.join(" ");
        for wanted in
            ["--read-only", "--cap-drop ALL", "no-new-privileges", "/somewhere/node-1:/somewhere/node-1", "--env KNURL_DATA_DIR"]
        {
            assert!(words.contains(wanted), "{words}");
        }
        assert!(words.ends_with("--rm knurl:drill audit --json") && !words.contains("a secret"), "{words}");
        assert!(command.get_envs().any(|(key, value)| key == "KNURL_ADMIN_KEY" && value.is_some_and(|value| value == "a secret")));
    }
}
