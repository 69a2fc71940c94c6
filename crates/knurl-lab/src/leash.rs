//! Leash: a child that outlives neither whoever holds it nor the process that made it.
//!
//! Promised: dropping a [`Leashed`] kills the child and waits for it, also while a panic unwinds; where nothing is dropped, because we were
//! killed ourselves, the kernel kills the child once it has become its program: whoever is killed within the millisecond before leaves it
//! behind. Refused: a command that was not made by [`command`], which nothing would tell of our death. clippy.toml bans `Command::spawn` everywhere else.
//! What is no child of ours, and so cannot be held by one (a container is its daemon's), is taken away by a [`Will`].

use std::{
    ffi::OsStr,
    io,
    ops::{Deref, DerefMut},
    os::unix::process::CommandExt as _,
    process::{Child, Command, Stdio},
    sync::{
        OnceLock,
        mpsc::{self, Sender},
    },
    thread,
};

/// Asks the kernel for a signal at its parent's death and then becomes the program. What asks in the child itself would be `unsafe`.
const SETPRIV: &str = "setpriv";

/// The program, killed when we end.
pub fn command(program: impl AsRef<OsStr>) -> Command {
    signalled("KILL", &[], program)
}

/// The program, sent `dies_by` when we end; `privileges` are further options of setpriv.
pub(crate) fn signalled(dies_by: &str, privileges: &[String], program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(SETPRIV);
    command.args(privileges).args(["--pdeathsig", dies_by, "--"]).arg(program);
    command
}

/// Starts it. In a group of its own: a Ctrl-C at the terminal is for us, and we stop it in its turn.
pub fn spawn(command: Command) -> io::Result<Leashed> {
    spawn_for_life(command).map(Leashed)
}

/// A child that whoever called kills, with what it has started.
pub(crate) fn spawn_for_life(mut command: Command) -> io::Result<Child> {
    if command.get_program() != SETPRIV {
        return Err(io::Error::other(format!("{} would outlive us: make it with leash::command", command.get_program().display())));
    }
    command.process_group(0);
    let (reply, answer) = mpsc::channel();
    let gone = || io::Error::other("the thread that starts children is gone");
    nursery().send((command, reply)).map_err(|_| gone())?;
    answer.recv().map_err(|_| gone())?
}

type Order = (Command, Sender<io::Result<Child>>);

/// A child is told of its parent's death when the *thread* that made it ends: this thread never does.
fn nursery() -> &'static Sender<Order> {
    static NURSERY: OnceLock<Sender<Order>> = OnceLock::new();
    NURSERY.get_or_init(|| {
        let (orders, taken) = mpsc::channel::<Order>();
        #[expect(clippy::disallowed_methods, reason = "the one place")]
        let run = move || taken.iter().for_each(|(mut command, reply)| drop(reply.send(command.spawn())));
        drop(thread::Builder::new().name("nursery".to_owned()).spawn(run));
        orders
    })
}

/// A child process that is killed when this is dropped.
#[derive(Debug)]
pub struct Leashed(Child);

impl Deref for Leashed {
    type Target = Child;

    fn deref(&self) -> &Child {
        &self.0
    }
}

impl DerefMut for Leashed {
    fn deref_mut(&mut self) -> &mut Child {
        &mut self.0
    }
}

impl Drop for Leashed {
    fn drop(&mut self) {
        // Already ended: nothing to do, and nobody to tell.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A command that is run when this is dropped, and all the same where we are killed.
#[derive(Debug)]
pub struct Will(Child);

/// A shell waits for the end of a pipe that only we hold, and then becomes the command: it has to outlive us by that much.
pub fn will(program: &str, args: &[&str]) -> io::Result<Will> {
    let mut executor = signalled("clear", &[], "sh");
    executor.args(["-c", "read -r _; exec timeout \"$@\"", "sh", EXECUTED_WITHIN_S, program]).args(args);
    executor.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    spawn_for_life(executor).map(Will)
}

const EXECUTED_WITHIN_S: &str = "60";

impl Drop for Will {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}
