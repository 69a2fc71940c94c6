//! A cage: a control group with a bound of memory, for a node that is a process of ours.
//!
//! Promised: it goes when it is dropped, once nothing is in it any more; an empty one that a killed process left is swept by the next one.

use std::{
    fs,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use super::FleetError;

#[derive(Debug)]
pub(super) struct Cage {
    dir: PathBuf,
    /// Of its files the one that counts who was ended.
    counts: &'static str,
}

const CAGES: &str = "knurl-drill-";
const EMPTY_WITHIN: Duration = Duration::from_secs(5);

impl Cage {
    /// Needs root. One a process.
    pub(super) fn of(bytes: u64) -> Result<Self, FleetError> {
        let (root, limit, counts) = if Path::new("/sys/fs/cgroup/memory").is_dir() {
            (PathBuf::from("/sys/fs/cgroup/memory"), "memory.limit_in_bytes", "memory.oom_control")
        } else {
            // Refused where it is on already, which is as good.
            let _ = fs::write("/sys/fs/cgroup/cgroup.subtree_control", "+memory");
            (PathBuf::from("/sys/fs/cgroup"), "memory.max", "memory.events")
        };
        for left in fs::read_dir(&root)?.filter_map(Result::ok) {
            let name = left.file_name().to_string_lossy().into_owned();
            if let Some(pid) = name.strip_prefix(CAGES)
                && !Path::new(&format!("/proc/{pid}")).exists()
            {
                // Only an empty one goes.
                let _ = fs::remove_dir(left.path());
            }
        }
        let cage = Self { dir: root.join(format!("{CAGES}{}", std::process::id())), counts };
        fs::create_dir(&cage.dir)?;
        fs::write(cage.dir.join(limit), bytes.to_string())?;
        Ok(cage)
    }

    /// For [`super::Node::serve_within`].
    pub(super) fn within(&self) -> String {
        format!("echo $$ >{}/cgroup.procs && exec \"$@\"", self.dir.display())
    }

    /// How often the kernel has ended somebody in it.
    pub(super) fn kills(&self) -> u64 {
        let said = fs::read_to_string(self.dir.join(self.counts)).unwrap_or_default();
        said.lines().find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse().ok()).unwrap_or_default()
    }
}

impl Drop for Cage {
    fn drop(&mut self) {
        let gone = Instant::now() + EMPTY_WITHIN;
        while fs::remove_dir(&self.dir).is_err() && Instant::now() < gone {
            thread::sleep(Duration::from_millis(50));
        }
    }
}
