//! Housing: how a node is run. A process that we hold, or a container that Docker holds.
//!
//! Promised: whoever hurts a node does not ask which. [`Node::crash`](super::Node::crash) is what a supervisor answers, and
//! [`Node::kill`](super::Node::kill) is what it leaves alone; who supervises a process is the lab, who supervises a container is Docker.
//! Refused: a container that runs as root.

use std::{fs, io, os::unix::fs::chown, path::Path, process::Command};

use super::{
    FleetError,
    container::{Container, Image},
};
use crate::process::{Launch, Server};

#[derive(Clone, Debug, Default)]
pub enum Housing {
    /// On a leash: it ends with us.
    #[default]
    Process,
    /// Taken away with us; see [`super::container`].
    Container(Image),
}

impl Housing {
    /// Who a node runs as, and whose its directory has to be.
    pub fn owner(&self) -> (u32, u32) {
        match self {
            Self::Process => (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw()),
            Self::Container(image) => image.owner(),
        }
    }

    /// A directory that a node may write to.
    pub(super) fn directory(&self, at: &Path) -> io::Result<()> {
        fs::create_dir_all(at)?;
        match self {
            Self::Process => Ok(()),
            Self::Container(image) => chown(at, Some(image.owner().0), Some(image.owner().1)),
        }
    }

    /// A command of the product on the directory of a node, running or not.
    pub(super) fn command(&self, launch: &Launch, args: &[&str]) -> Command {
        match self {
            Self::Process => launch.command(args),
            Self::Container(image) => image.command(launch, args),
        }
    }
}

/// The node that runs.
#[derive(Debug)]
pub(super) enum Tenant {
    Process(Server),
    Container(Container),
}

impl Tenant {
    pub(super) fn pid(&self) -> u32 {
        match self {
            Self::Process(server) => server.pid(),
            Self::Container(container) => container.pid(),
        }
    }

    /// Whether the process that was started, or waited for, is still there.
    pub(super) fn is_running(&mut self) -> bool {
        match self {
            Self::Process(server) => matches!(server.ended_within(std::time::Duration::ZERO), Ok(None)),
            Self::Container(container) => container.is_running(),
        }
    }

    /// SIGTERM, and waits.
    pub(super) fn stop(&mut self) -> Result<std::process::ExitStatus, FleetError> {
        match self {
            Self::Process(server) => Ok(server.stop()?),
            Self::Container(container) => container.stop(),
        }
    }

    /// SIGKILL of its process, and waits for that one's end. Whoever supervises it sees a crash.
    pub(super) fn crash(&mut self) -> Result<(), FleetError> {
        match self {
            Self::Process(server) => server.kill().map(|_| ()).map_err(FleetError::from),
            Self::Container(container) => container.crash(),
        }
    }
}
