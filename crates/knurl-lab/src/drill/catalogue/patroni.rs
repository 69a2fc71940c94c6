//! PostgreSQL under Patroni: the leader's machine lost, the leader cut off from the others, the lead handed over.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::{
    drill::{
        Drill, Ground, Served, Stage,
        stage::{broken, wait},
    },
    fleet::FleetError,
    http::{Connection, Request},
};

const LOOKS: &[&str] = &["knurl_store_up", "knurl_dependency_up", "knurl_clicks_backlog", "knurl_replica_comparisons_total"];
/// What follows where the lead is vacant for longer than Patroni's manual lets one expect, as on a machine without CPU to give.
const FOLLOWS: &[&str] = &[
    "KnurlDatabaseDown",
    "KnurlDatabaseSlow",
    "KnurlReplicaStale",
    "KnurlBacklogGrowing",
    "KnurlDrainFailing",
    "KnurlJobFailing",
    "KnurlCanaryMissing",
    "KnurlDependencyFlapping",
    "KnurlOverloaded",
];
/// The lead is vacant for 20 s at most, and then somebody has to see it, to be promoted and to be found.
const LED_WITHIN: Duration = Duration::from_secs(120);
const WHOLE_WITHIN: Duration = Duration::from_secs(120);
const AGAIN: &str = "creates_again_after_s";

pub(super) const DRILLS: [Drill; 3] = [
    Drill {
        name: "patroni-leader-lost",
        failure: "postgres-failed-over",
        hypothesis: "When the machine of Patroni's leader is lost, its synchronous standby leads without anybody's help: meanwhile every known link redirects and creates are told to come again, and nothing that was acknowledged is missing.",
        harm: "the Patroni and the PostgreSQL of the leader of three are killed at once, and stay away until creates have succeeded on every node",
        ground: Ground::PATRONI,
        alerts: &["KnurlApiErrorsFast"],
        allowed: FOLLOWS,
        metrics: LOOKS,
        creates: Served::Refused,
        clears: false,
        least_s: 40,
        hurt: |stage| {
            let leader = leader(stage)?;
            stage.hurt_at = Some(Instant::now());
            Ok(stage.patroni()?.kill(leader)?)
        },
        tick: create_on_every_node,
        heal: come_back,
        ..Drill::BARE
    },
    Drill {
        name: "patroni-leader-cut-off",
        failure: "postgres-cut-off",
        hypothesis: "A leader that its clients reach, and nobody else, acknowledges nothing: what no standby has is told to come again, and when another one leads nothing that was acknowledged is missing.",
        harm: "the leader of three reaches neither etcd nor the others, and they do not reach it; the nodes do",
        ground: Ground::PATRONI,
        alerts: &["KnurlApiErrorsFast"],
        allowed: FOLLOWS,
        metrics: LOOKS,
        creates: Served::Refused,
        clears: false,
        least_s: 40,
        hurt: |stage| {
            let leader = leader(stage)?;
            stage.hurt_at = Some(Instant::now());
            stage.patroni()?.cut_off(leader);
            Ok(())
        },
        tick: create_on_every_node,
        heal: come_back,
        ..Drill::BARE
    },
    Drill {
        name: "patroni-switchover",
        failure: "postgres-switched-over",
        hypothesis: "A planned switchover fails no redirect and refuses creates for some seconds: it is over before the database counts as down.",
        harm: "the leader of three is told to hand over to its synchronous standby",
        ground: Ground::PATRONI,
        allowed: &["KnurlDependencyFlapping", "KnurlDatabaseSlow", "KnurlDrainFailing"],
        metrics: LOOKS,
        creates: Served::AllOrRefused,
        least_s: 20,
        hurt: |stage| {
            let before = leader(stage)?;
            stage.hurt_at = Some(Instant::now());
            stage.patroni()?.switch_over()?;
            let led_by = wait_led(stage)?;
            if led_by == before {
                stage.find("the lead was not handed over");
            }
            Ok(())
        },
        tick: create_on_every_node,
        heal: come_back,
        ..Drill::BARE
    },
];

fn leader(stage: &mut Stage) -> Result<usize, FleetError> {
    stage.patroni()?.leader().ok_or_else(|| broken("nobody leads"))
}

fn wait_led(stage: &mut Stage) -> Result<usize, FleetError> {
    wait("somebody leads", LED_WITHIN, || Ok(stage.patroni()?.leader().is_some()))?;
    leader(stage)
}

/// Until one create has succeeded on each: how long that took since the harm.
fn create_on_every_node(stage: &mut Stage) -> Result<(), FleetError> {
    if let Some(began) = stage.hurt_at
        && !is_noted(stage)
        && creates_everywhere(stage)?
    {
        stage.note(AGAIN, (began.elapsed().as_secs_f64() * 10.0).round() / 10.0);
    }
    Ok(())
}

fn is_noted(stage: &Stage) -> bool {
    stage.notes.iter().any(|(name, _)| name == AGAIN)
}

fn creates_everywhere(stage: &mut Stage) -> Result<bool, FleetError> {
    for at in 0..stage.stand.nodes.len() {
        let target = format!("https://lab.example/led/{at}/{}", stage.ticks);
        let body = json!({ "url": target }).to_string();
        let answer = Connection::open(stage.node(at).addr())?.ask(&Request::post("/shorten", &body));
        match answer.ok().filter(|answer| answer.status == 201).and_then(|answer| answer.json()) {
            Some(made) => stage.ledger.made(made["short_code"].as_str().unwrap_or_default(), &target),
            None => {
                stage.ledger.creates_unknown += 1;
                return Ok(false);
            }
        }
    }
    Ok(true)
}

/// Only when another one leads and is used; then the one that was hurt becomes what it can be: a standby.
fn come_back(stage: &mut Stage) -> Result<(), FleetError> {
    wait("somebody else leads, and creates succeed", LED_WITHIN, || {
        stage.ticks += 1;
        create_on_every_node(stage)?;
        Ok(is_noted(stage))
    })?;
    let led_by = leader(stage)?;
    let hurt = stage.patroni()?.hurt();
    if hurt == Some(led_by) {
        stage.find("whom it was done to leads, and creates succeed");
    }
    let patroni = stage.patroni()?;
    patroni.heal()?;
    let took = wait("all members run, and one of them is the leader's synchronous standby", WHOLE_WITHIN, || {
        Ok(stage.patroni()?.is_whole())
    })?;
    stage.note("whole_cluster_after_s", (took.as_secs_f64() * 10.0).round() / 10.0);
    if let Some(hurt) = hurt {
        let rewound = stage.patroni()?.rewound(hurt);
        stage.note("pg_rewind_ran", rewound > 0);
    }
    Ok(())
}
