//! The network as the kernel has it: packets that are dropped, not pieces that are late.

use crate::drill::{Drill, Ground, Served, Stage, network};

const LOST_PERCENT: u8 = 10;

pub(super) const DRILLS: [Drill; 1] = [Drill {
    name: "packet-loss-kernel",
    failure: "packet-loss",
    hypothesis: "When the kernel drops one packet of ten between nodes and PostgreSQL and Redis, in both directions, redirects are served as ever, creates are late or told to come again, and every click is counted once.",
    harm: "in a network namespace of the drill's own, iptables drops a tenth of all packets on the ways between nodes and PostgreSQL and Redis, both ways",
    ground: Ground { own_network: true, ..Ground::FLEET },
    alerts: &["KnurlDependencyFlapping"],
    allowed: &[
        "KnurlDatabaseSlow",
        "KnurlDatabaseDown",
        "KnurlRedisDown",
        "KnurlDrainFailing",
        "KnurlReplicaStale",
        "KnurlJobFailing",
        "KnurlBacklogGrowing",
        "KnurlNotificationsLost",
        "KnurlCanaryMissing",
    ],
    metrics: &["knurl_store_ping_duration_seconds_sum", "knurl_dependency_up", "knurl_redis_calls_total"],
    creates: Served::AllOrRefused,
    least_s: 60,
    hurt: |stage| {
        let loss = network::lose(&ports(stage), LOST_PERCENT)?;
        stage.hold(loss);
        Ok(())
    },
    // Before the rules go with their counters.
    heal: |stage| {
        let lost = network::lost()?;
        stage.note("packets_dropped", lost);
        if lost == 0 {
            stage.find("not a single packet was dropped");
        }
        Ok(())
    },
    process_only: Some("it is done in a network of the drill's own, and containers are on the daemon's"),
    ..Drill::BARE
}];

fn ports(stage: &Stage) -> Vec<u16> {
    let ways = stage.stand.ways.iter().flat_map(|ways| [Some(&ways.postgres), ways.redis.as_ref()]);
    ways.flatten().map(|way| way.addr().port()).collect()
}
