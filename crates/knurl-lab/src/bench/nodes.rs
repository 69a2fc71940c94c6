//! One, two and three nodes behind nginx as production has it.

use std::fmt::Write as _;

use super::{
    BenchError, Rig,
    codes::{self, Choice, Codes, picks},
    grouped, median, spread, wrk,
};
use crate::fleet::{Backing, Fleet, FleetSpec, Node};

const NODES_MAX: usize = 3;
/// All of them in every node's memory.
const CODES: u64 = 100_000;

/// What nginx itself used: it is watched after the nodes and before PostgreSQL.
fn row(rig: &Rig, nodes: usize, codes: &Codes) -> Result<String, BenchError> {
    let stand = rig.stand()?;
    let mut spec = FleetSpec::new(rig.binary.clone(), nodes, Backing::At(stand.postgres.url()));
    spec.cores = rig.both_cores();
    spec.env = [("KNURL_AUTH", "open"), ("KNURL_REPLICA", "off")].map(|(key, value)| (key.to_owned(), value.to_owned())).to_vec();
    let fleet = Fleet::start(&spec)?;
    let front = fleet.front.pid().unwrap_or_default();
    rig.spread(Some(front))?;
    for node in &fleet.nodes {
        codes::ask_all(node.addr(), "HEAD", picks(stand.links, Choice::InTurn, CODES))?;
    }
    let mut watched: Vec<u32> = fleet.nodes.iter().filter_map(Node::pid).collect();
    watched.push(front);
    watched.extend(stand.postgres.pid());
    let (mut per_second, mut p99_us, mut node_us, mut nginx_us, mut postgres_us) = (vec![], vec![], vec![], vec![], vec![]);
    for round in 0..rig.rounds {
        let run = wrk::run(rig, fleet.addr(), &codes.load(round * codes.count / rig.rounds), rig.connections, &watched)?;
        per_second.push(run.per_second);
        p99_us.push(run.p99_us);
        node_us.push((0..nodes).map(|node| run.cpu_us_of(node)).sum());
        nginx_us.push(run.cpu_us_of(nodes));
        postgres_us.push(run.cpu_us_of(nodes + 1));
    }
    let thousands: Vec<f64> = per_second.iter().map(|n| n / 1000.0).collect();
    let mut out = String::new();
    let _ = writeln!(
        out,
        "| {nodes} | {} | {} k | {:.1} | {:.1} | {:.1} | {:.0} |",
        grouped(median(per_second)),
        spread(&thousands),
        median(node_us),
        median(nginx_us),
        median(postgres_us),
        median(p99_us)
    );
    Ok(out)
}

pub(super) fn measure(rig: &Rig) -> Result<String, BenchError> {
    let stand = rig.stand()?;
    rig.spread(stand.postgres.pid())?;
    let codes = Codes::write(rig, "nodes", picks(stand.links, Choice::InTurn, CODES))?;
    let mut out = String::from(
        "## Nodes behind nginx\n\n\
         `deploy/nginx` in front, its access log on; links in memory, clicks recorded and delivered. Everything shares two cores, the client\n\
         has one of them too: nodes cannot add throughput here. What can be carried over to more machines is the CPU a redirect costs: nodes\n\
         divide theirs, nginx pays for every one.\n\n\
         | nodes | redirects/s | range | all nodes CPU us a redirect | nginx CPU us | PostgreSQL CPU us | p99 us |\n\
         |---:|---:|---:|---:|---:|---:|---:|\n",
    );
    for nodes in 1..=NODES_MAX {
        out += &row(rig, nodes, &codes)?;
    }
    rig.to_clients(stand.postgres.pid())?;
    out.push('\n');
    Ok(out)
}
