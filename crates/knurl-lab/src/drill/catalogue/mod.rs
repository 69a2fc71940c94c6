//! The catalogue: every drill, by family.
//!
//! Promised: names are unique; each drill names a section of `docs/failures.md`, alerts of `deploy/prometheus/rules/` and metrics of the
//! product. A test reads all of them.

mod collector;
mod disk;
mod front;
mod network;
mod nodes;
mod patroni;
mod postgres;
mod redis;
mod spool;
mod traffic;
mod upkeep;

use super::Drill;

/// In the order of the Failure Manual.
pub fn all() -> Vec<Drill> {
    let families: [&[Drill]; 11] = [
        &nodes::DRILLS,
        &postgres::DRILLS,
        &patroni::DRILLS,
        &network::DRILLS,
        &redis::DRILLS,
        &spool::DRILLS,
        &disk::DRILLS,
        &traffic::DRILLS,
        &front::DRILLS,
        &upkeep::DRILLS,
        &collector::DRILLS,
    ];
    families.concat()
}

/// `all`, `short`, or names; the name that is none.
pub fn named(names: &[String]) -> Result<Vec<Drill>, String> {
    let drills = all();
    let mut chosen: Vec<Drill> = Vec::new();
    for name in names {
        let found: Vec<Drill> = drills
            .iter()
            .filter(|drill| name == "all" || drill.name == name || (name == "short" && drill.is_short))
            .copied()
            .collect();
        if found.is_empty() {
            return Err(name.clone());
        }
        chosen.extend(found.into_iter().filter(|drill| chosen.iter().all(|other| other.name != drill.name)).collect::<Vec<_>>());
    }
    Ok(chosen)
}

/// Of those that were chosen by name, `all` or `short`: those that can be done to nodes in containers. One that was named and cannot is refused.
pub fn in_containers(names: &[String], chosen: Vec<Drill>) -> Result<Vec<Drill>, String> {
    for drill in &chosen {
        if let Some(why) = drill.process_only.filter(|_| names.iter().any(|name| name == drill.name)) {
            return Err(format!("{} is not for nodes in containers: {why}", drill.name));
        }
    }
    Ok(chosen.into_iter().filter(|drill| drill.process_only.is_none()).collect())
}
