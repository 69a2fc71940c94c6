//! Props: what drills hurt with. Each is undone when it is dropped.
//!
//! Promised: nothing of them outlives the drill's process. Threads end with their prop, children are on a leash, file systems are unmounted
//! (and are in a namespace of the process's own, so that they go with it).

use std::{
    fmt::Write as _,
    fs, io,
    net::{Ipv4Addr, SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use super::stage::broken;
use crate::{
    fleet::{FleetError, Housing},
    http::{Connection, Request, connect_from},
    leash::{self, Leashed},
    swarm::{Sent, Swarm},
};

/// Runs a tool of the system to its end.
pub(super) fn run(tool: &str, args: &[&str]) -> Result<String, FleetError> {
    let out = Command::new(tool).args(args).stdin(Stdio::null()).output();
    let out = out.map_err(|error| broken(&format!("{tool}: {error}")))?;
    if out.status.success() {
        return Ok(String::from_utf8_lossy(&out.stdout).into_owned());
    }
    Err(broken(&format!("{tool} {}: {}", args.join(" "), String::from_utf8_lossy(&out.stderr).trim())))
}

/// A file system of its own, in memory.
#[derive(Debug)]
pub(super) struct Mount {
    at: PathBuf,
}

/// Needs root. `housing`: of the node that writes there.
pub(super) fn mount_tmpfs(at: &Path, mb: u32, housing: &Housing) -> Result<Mount, FleetError> {
    fs::create_dir_all(at)?;
    let (uid, gid) = housing.owner();
    run("mount", &["-t", "tmpfs", "-o", &format!("size={mb}m,mode=700,uid={uid},gid={gid}"), "tmpfs", &at.display().to_string()])?;
    Ok(Mount { at: at.to_owned() })
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = run("umount", &["-l", &self.at.display().to_string()]);
    }
}

/// A file that takes all the room there is.
#[derive(Debug)]
pub(super) struct Ballast(PathBuf);

impl Ballast {
    /// Takes nothing yet.
    pub(super) fn on(dir: &Path) -> io::Result<Self> {
        let at = dir.join("ballast");
        fs::File::create(&at)?;
        Ok(Self(at))
    }

    /// Lets the one of that directory grow until no more than this share of the file system is left: of 0.0 not a byte.
    pub(super) fn swell(dir: &Path, left: f64) -> io::Result<()> {
        const PIECES: [usize; 3] = [1 << 20, 4 << 10, 1];
        let mut file = fs::File::options().append(true).open(dir.join("ballast"))?;
        for piece in PIECES {
            let block = vec![b'x'; piece];
            while free_share(dir)? > left && io::Write::write_all(&mut file, &block).is_ok() {}
        }
        // A file system that counts in blocks has room in its last one.
        while left == 0.0 && io::Write::write_all(&mut file, b"x").is_ok() {}
        Ok(())
    }
}

fn free_share(dir: &Path) -> io::Result<f64> {
    let stat = rustix::fs::statvfs(dir)?;
    Ok(stat.f_bavail as f64 / stat.f_blocks as f64)
}

impl Drop for Ballast {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// strace on all threads of a process, which does something to its calls.
pub(super) fn inject(pid: u32, calls: &str, what: &str) -> Result<Leashed, FleetError> {
    let mut strace = leash::command("strace");
    strace.args(["-f", "-q", "-o", "/dev/null", "-e", &format!("trace={calls}"), "-e", &format!("inject={calls}:{what}")]);
    strace.args(["-p", &pid.to_string()]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut strace = leash::spawn(strace)?;
    // It is attached when the process says so.
    let began = Instant::now();
    let is_traced = || fs::read_to_string(format!("/proc/{pid}/status")).is_ok_and(|text| !text.contains("TracerPid:\t0\n"));
    while !is_traced() {
        if strace.try_wait()?.is_some() {
            return Err(broken("strace does not attach: it needs root, or ptrace allowed (Debian: apt-get install strace)"));
        }
        if began.elapsed() > Duration::from_secs(20) {
            return Err(broken("strace did not attach within 20 s"));
        }
        thread::sleep(Duration::from_millis(20));
    }
    Ok(strace)
}

/// What somebody beside the load was told.
#[derive(Clone, Debug, Default)]
pub(super) struct Told {
    pub answered: u64,
    /// 429 and 503.
    pub refused: u64,
    /// Closed or reset without an answer.
    pub unanswered: u64,
    /// 5xx but 503, and what is no HTTP.
    pub wrong: u64,
    pub first_wrong: Option<String>,
}

pub(super) type Tally = Arc<Mutex<Told>>;

pub(super) fn told(tally: &Tally) -> Told {
    tally.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

/// A thread that goes on until it is dropped.
#[derive(Debug)]
pub(super) struct Background {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Background {
    pub(super) fn start(work: impl FnOnce(&AtomicBool) + Send + 'static) -> io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&stop);
        let thread = thread::Builder::new().name("prop".to_owned()).spawn(move || work(&seen))?;
        Ok(Self { stop, thread: Some(thread) })
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        self.stop.store(true, Relaxed);
        // It panicked: it hurts no more.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// One client that asks again and again, from an address of its own.
pub(super) fn asks(
    source: Ipv4Addr,
    addr: SocketAddr,
    pause: Duration,
    tally: &Tally,
    mut next: impl FnMut(u64) -> (String, String, Option<String>) + Send + 'static,
) -> io::Result<Background> {
    let tally = Arc::clone(tally);
    Background::start(move |stop| {
        let mut open = None;
        for number in 0_u64.. {
            if stop.load(Relaxed) {
                return;
            }
            let (method, path, body) = next(number);
            let answer = open.take().map_or_else(|| Connection::open_from(source, addr), Ok).map_err(Into::into).and_then(
                |mut connection: Connection| {
                    let answer = connection.ask(&Request::of(&method, &path, body.as_deref()))?;
                    Ok::<_, crate::http::Unanswered>((answer, connection))
                },
            );
            let mut told = tally.lock().unwrap_or_else(PoisonError::into_inner);
            match answer {
                Ok((answer, connection)) => {
                    told.answered += 1;
                    told.refused += u64::from(matches!(answer.status, 429 | 503));
                    if answer.status >= 500 && answer.status != 503 {
                        told.wrong += 1;
                        told.first_wrong.get_or_insert_with(|| format!("{method} {path}: {}", answer.status));
                    }
                    let closes = answer.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"));
                    open = (!closes).then_some(connection);
                }
                Err(crate::http::Unanswered::NotHttp(words)) => {
                    told.wrong += 1;
                    told.first_wrong.get_or_insert(format!("{method} {path}: {words}"));
                }
                Err(_) => told.unanswered += 1,
            }
            drop(told);
            thread::sleep(pause);
        }
    })
}

/// So many connections with one request in flight each, all the time.
pub(super) fn crowd(addr: SocketAddr, size: usize, mut next: impl FnMut() -> Vec<u8> + Send + 'static) -> io::Result<Background> {
    let mut swarm = Swarm::new(addr, size)?;
    Background::start(move |stop| {
        while !stop.load(Relaxed) {
            let until = Instant::now() + Duration::from_secs(1);
            let mut next = |_| Sent { bytes: next(), ..Sent::default() };
            // A node that dies under it is what it is for.
            let _ = swarm.run(1, until, Duration::from_secs(5), &mut next);
        }
    })
}

/// So many connections with half a request each.
pub(super) fn halves(addr: SocketAddr, size: usize) -> io::Result<Vec<TcpStream>> {
    let half = b"POST /shorten HTTP/1.1\r\nhost: t\r\ncontent-type: application/json\r\ncontent-length: 1000\r\n\r\n{";
    (0..size)
        .map(|_| {
            let mut stream = connect_from(Ipv4Addr::new(127, 0, 4, 1), addr)?;
            io::Write::write_all(&mut stream, half)?;
            Ok(stream)
        })
        .collect()
}

/// Holds so many connections that say nothing; those that are closed are opened again every so often.
pub(super) fn silent(addr: SocketAddr, size: usize, again: Duration) -> io::Result<Background> {
    Background::start(move |stop| {
        let mut held: Vec<TcpStream> = Vec::new();
        let mut opened = 0_u64;
        while !stop.load(Relaxed) {
            held.retain(|stream| {
                let mut byte = [0];
                stream.set_nonblocking(true).is_ok()
                    && matches!(stream.peek(&mut byte), Err(error) if error.kind() == io::ErrorKind::WouldBlock)
            });
            while held.len() < size && !stop.load(Relaxed) {
                opened += 1;
                let source = Ipv4Addr::new(127, 0, 3, (opened % 250) as u8 + 1);
                match connect_from(source, addr) {
                    Ok(stream) => held.push(stream),
                    Err(_) => break,
                }
            }
            thread::sleep(again);
        }
    })
}

/// Text as hexadecimal digits of a path.
pub(super) fn escaped(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "%{byte:02X}");
        text
    })
}
