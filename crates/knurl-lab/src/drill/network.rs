//! A network of a drill's own: a namespace with nothing in it but a loopback, in which the kernel itself may drop packets.
//!
//! Promised: no rule is made in the network that everybody on this machine uses, and none outlives its prop, or the drill's process.
//! Needs root and Debian's iptables; netem, which many kernels are built without, is not asked of it.

use std::fs;

use super::{props::run, stage::broken};
use crate::fleet::FleetError;

/// Makes the namespace that this process was started in ours: its loopback goes up. Refused where it is everybody's.
pub(super) fn enter() -> Result<(), FleetError> {
    own()?;
    run("ip", &["link", "set", "lo", "up"]).map(drop)
}

/// Whoever started us is in the network that we left.
fn own() -> Result<(), FleetError> {
    let parent = rustix::process::getppid().ok_or_else(|| broken("nobody started this process"))?;
    let ours = fs::read_link("/proc/self/ns/net")?;
    let theirs = fs::read_link(format!("/proc/{}/ns/net", parent.as_raw_nonzero()))?;
    if ours == theirs { Err(broken("it needs root, and a network namespace of its own")) } else { Ok(()) }
}

/// Rules that drop packets.
#[derive(Debug)]
pub(super) struct Loss(());

/// Of all packets to and from these ports, so many of a hundred are dropped, by chance.
pub(super) fn lose(ports: &[u16], percent: u8) -> Result<Loss, FleetError> {
    own()?;
    let loss = Loss(());
    let probability = format!("{:.2}", f64::from(percent) / 100.0);
    for port in ports {
        for side in ["--dport", "--sport"] {
            let of = ["-A", "INPUT", "-i", "lo", "-p", "tcp", side, &port.to_string()];
            let chance = ["-m", "statistic", "--mode", "random", "--probability", &probability, "-j", "DROP"];
            run("iptables", &[of.as_slice(), &chance].concat())?;
        }
    }
    Ok(loss)
}

/// Packets that these rules have dropped so far.
pub(super) fn lost() -> Result<u64, FleetError> {
    let said = run("iptables", &["-nvxL", "INPUT"])?;
    Ok(said
        .lines()
        .filter(|line| line.contains("DROP"))
        .filter_map(|line| line.split_whitespace().next()?.parse::<u64>().ok())
        .sum())
}

impl Drop for Loss {
    fn drop(&mut self) {
        // It was made in a network of our own, which goes with us.
        let _ = run("iptables", &["-F", "INPUT"]);
    }
}
