//! The runner: one way for all drills. Steady under load, hurt, watched, healed, steady again, settled.
//!
//! Promised: every alert that a drill expects is waited for, for [`SEEN_WITHIN`] and no longer; while nothing is wrong, no alert may fire. It
//! heals whatever happens: an error, a panic, a signal. Figures of time are reported, never judged, but for those two minutes.

use std::{
    fs,
    net::SocketAddr,
    path::PathBuf,
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use serde_json::Value;

use super::{
    Books, Drill, Served, Stage, Verdict,
    alarm::{Alarm, Times},
    containers, interrupt,
    props::{self, Mount},
    settle,
    sign::Sign,
    verdict::{Alert, Look, Moments, Outcome, PHASES, Phase, Tick, tenths},
};
use crate::{
    fleet::{self, FleetError, Housing, front},
    http::Request,
    promise::{
        books::Ledger,
        stand::{Stand, StandSpec},
        traffic::{Act, Manner, Scene, Second, Seen},
    },
    swarm::per_mille,
};

/// Promise P-20.
pub const SEEN_WITHIN: Duration = Duration::from_secs(120);
/// Longer than any rule looks back, but for the budgets of hours and days.
const CLEARED_WITHIN: Duration = Duration::from_secs(420);
const DRAINED_WITHIN: Duration = Duration::from_secs(60);
/// What is refused or fails for minutes is seen by the budgets too.
const REDIRECT_BUDGET: &str = "KnurlRedirectErrors";
const API_BUDGET: &str = "KnurlApiErrors";
/// Several drills share a machine, and clients share it with the nodes: how fast it is is none of their business.
const LATENCY: [&str; 2] = ["KnurlRedirectLatencyFast", "KnurlRedirectLatencySlow"];
/// What is true of a machine without CPU to give, whatever is done to a node of it: Redis has 5 ms to answer.
const OF_A_STARVED_MACHINE: [&str; 5] =
    ["KnurlRuntimeSilent", "KnurlDependencyFlapping", "KnurlRedisDown", "KnurlDatabaseSlow", "KnurlFsyncSlow"];
/// Of the time, in percent, in which somebody waited for CPU.
const STARVED_PERCENT: f64 = 40.0;
/// A machine that several drills share keeps a healthy database silent for a fifth of a second now and then, and creates are refused for it: one
/// in so many may.
const REFUSED_OF: usize = 100;
const LINKS: usize = 50;
/// A link acknowledged so long before is known to all nodes.
const KNOWN_FOR: Duration = Duration::from_secs(4);
const EVERY: Duration = Duration::from_secs(1);

#[derive(Clone, Debug)]
pub struct RunSpec {
    pub binary: PathBuf,
    pub housing: Housing,
    pub rules: PathBuf,
    pub seed: u64,
    /// Of the load before the harm, and after healing at least.
    pub steady: Duration,
    /// How long an expected alert is waited for.
    pub seen_within: Duration,
    /// Of its Prometheus; `None`: any free one.
    pub prometheus_port: Option<u16>,
    /// Nothing is hurt: the drill must then fail, which shows that it can.
    pub unhurt: bool,
}

/// Runs it. An error is one of the stand, before anything was hurt.
pub fn run(drill: &Drill, spec: &RunSpec) -> Result<Verdict, FleetError> {
    let began = Instant::now();
    let mut ledger = Ledger::default();
    let (mut stand, mount) = build(drill, spec)?;
    stand.furnish()?;
    let addrs: Vec<SocketAddr> = stand.nodes.iter().map(fleet::Node::addr).collect();
    let front = if drill.ground.front { Some(front::start(&addrs, &front::FrontSetup::default())?) } else { None };
    let addrs = front.as_ref().map_or(addrs, |front| vec![([127, 0, 0, 1], front.port()).into()]);
    let mut stage = Stage::new(stand, front, spec.seed);
    (drill.prepare)(&mut stage)?;
    stage.stand.wait_current()?;
    let sign = Sign::start(drill.name)?;
    let mut play = Play {
        drill,
        spec,
        alarm: Alarm::start(&stage, &spec.rules, &sign, spec.prometheus_port)?,
        sign,
        moments: Moments::default(),
        looks: Vec::new(),
        pressure: Pressure::now(),
    };
    play.looks = drill.metrics.iter().map(|metric| look(metric)).collect();
    let scene = Scene::at(&addrs, LINKS, KNOWN_FOR, &mut ledger)?;
    let manner = Manner {
        clickers_a_node: if drill.ground.front { 3 } else { 2 },
        click_pause: Duration::from_millis(15),
        create_pause: Duration::from_millis(150),
        may_refuse: true,
        ..Manner::default()
    };
    let (played, seen) = scene.run(manner, spec.seed, || {
        let played = play.play(&scene, &mut stage);
        // However it went.
        let healed = stage.heal();
        play.moments.end_s = scene.elapsed().as_secs_f64();
        played.and(healed)
    });
    if let Err(error) = played {
        stage.find(format!("it could not go on: {error}"));
    }
    if let Err(error) = (drill.check)(&mut stage) {
        stage.find(format!("it could not be checked: {error}"));
    }
    seen.failures.iter().for_each(|failure| stage.find(failure.clone()));
    play.judge(&seen, &mut stage);
    ledger.add(seen.ledger.clone());
    ledger.add(std::mem::take(&mut stage.ledger));
    let difference = settle::settle(&mut stage, &ledger, drill.books);
    let restarts: Option<u64> = stage.stand.nodes.iter().map(fleet::Node::restarts).sum();
    if let Some(restarts) = restarts {
        stage.note(containers::RESTARTS, restarts);
    }
    let mut verdict = play.verdict(&seen, &mut stage);
    verdict.ledger = difference;
    verdict.seconds = began.elapsed().as_secs();
    if !verdict.passed() {
        keep(&stage, drill.name);
    }
    drop(stage);
    drop(mount);
    Ok(verdict)
}

/// Its servers and ways, and the file system of the first node's own.
fn build(drill: &Drill, spec: &RunSpec) -> Result<(Stand, Option<Mount>), FleetError> {
    let ground = &drill.ground;
    let mut env: Vec<(String, String)> = ground.env.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    if let Some(key) = ground.admin_key {
        env.push(("KNURL_ADMIN_KEY".to_owned(), key.to_owned()));
    }
    let stand = Stand::unfurnished(StandSpec {
        binary: spec.binary.clone(),
        housing: spec.housing.clone(),
        nodes: ground.nodes,
        redis: ground.redis,
        seed: spec.seed,
        env,
        postgres: ground.postgres(),
        embedded: ground.embedded,
        patroni: ground.patroni,
    })?;
    let mount = match ground.disk_mb {
        Some(mb) => Some(props::mount_tmpfs(&stand.dir().join(Stand::place(0)), mb, &spec.housing)?),
        None => None,
    };
    Ok((stand, mount))
}

/// A failed drill's logs are for people: they are copied, because its file systems go with us.
fn keep(stage: &Stage, drill: &str) {
    let Some(to) = std::env::var_os("DRILL_KEEP").map(PathBuf::from) else { return };
    for node in &stage.stand.nodes {
        // Best effort.
        let _ = fs::create_dir_all(&to);
        let _ = fs::write(to.join(format!("{drill}-{}.log", node.number)), node.words());
    }
}

fn look(metric: &str) -> Look {
    Look { metric: metric.to_owned(), before: None, during: None, after: None }
}

struct Play<'a> {
    drill: &'a Drill,
    spec: &'a RunSpec,
    alarm: Alarm,
    sign: Sign,
    moments: Moments,
    looks: Vec<Look>,
    pressure: Pressure,
}

impl Play<'_> {
    fn play(&mut self, scene: &Scene, stage: &mut Stage) -> Result<(), FleetError> {
        let drill = self.drill;
        let say = |what: &str| eprintln!("{:<24} {:>4} s  {what}", drill.name, scene.elapsed().as_secs());
        self.enter(scene, "before");
        self.moments.began_s = scene.elapsed().as_secs_f64();
        say(&format!("steady; its Prometheus: http://{}", self.alarm.addr()));
        let firing = self.watch(scene, self.spec.steady)?;
        let is_hungry = self.pressure.percent() > STARVED_PERCENT;
        let is_of_the_machine = |name: &str| {
            LATENCY.contains(&name) || name.starts_with(API_BUDGET) || (is_hungry && OF_A_STARVED_MACHINE.contains(&name))
        };
        let firing: Vec<String> = firing.into_iter().filter(|name| !is_of_the_machine(name)).collect();
        if !firing.is_empty() {
            stage.find(format!("before anything was done there fired {}", firing.join(", ")));
        }
        self.look_at(stage, |look| &mut look.before);
        self.enter(scene, "during");
        scene.darken();
        scene.allow_failures(true);
        self.moments.hurt_s = scene.elapsed().as_secs_f64();
        say(drill.harm);
        let hurt = if self.spec.unhurt { Ok(()) } else { self.hurt(scene, stage) };
        self.look_at(stage, |look| &mut look.during);
        self.enter(scene, "healing");
        self.moments.heal_s = scene.elapsed().as_secs_f64();
        say("heals");
        let healed = (drill.heal)(stage).and(stage.heal());
        hurt?;
        healed?;
        self.mend(scene, stage)?;
        self.moments.healed_s = scene.elapsed().as_secs_f64();
        // What was made after the last backup may be gone.
        if drill.books != Books::SinceBackup {
            scene.lighten();
        }
        scene.allow_failures(false);
        self.enter(scene, "after");
        say("whole again");
        self.watch(scene, self.spec.steady)?;
        self.wait_cleared(scene, stage)?;
        self.look_at(stage, |look| &mut look.after);
        say("over");
        Ok(())
    }

    /// A phase begins, for clients and for whoever watches.
    fn enter(&self, scene: &Scene, phase: &str) {
        scene.act(phase);
        self.sign.show(phase);
    }

    /// Hurts until every expected alert fires, or it has been long enough.
    fn hurt(&mut self, scene: &Scene, stage: &mut Stage) -> Result<(), FleetError> {
        (self.drill.hurt)(stage)?;
        let began = Instant::now();
        loop {
            interrupt::check()?;
            stage.ticks += 1;
            (self.drill.tick)(stage)?;
            self.alarm.look(scene.elapsed().as_secs_f64())?;
            let is_seen = self.drill.alerts.iter().all(|alert| self.alarm.of(alert).firing_at.is_some());
            let elapsed = began.elapsed();
            if (is_seen && elapsed.as_secs() >= self.drill.least_s) || elapsed > self.spec.seen_within {
                return Ok(());
            }
            thread::sleep(EVERY);
        }
    }

    /// Until nodes are current and what was answered before is delivered.
    fn mend(&mut self, scene: &Scene, stage: &mut Stage) -> Result<(), FleetError> {
        stage.stand.wait_current()?;
        match stage.stand.drained(DRAINED_WITHIN)? {
            Some(took) => stage.note("drained_after_s", tenths(took.as_secs_f64())),
            None => stage.find(format!("not drained within {DRAINED_WITHIN:?}")),
        }
        self.alarm.look(scene.elapsed().as_secs_f64())?;
        Ok(())
    }

    fn watch(&mut self, scene: &Scene, time: Duration) -> Result<Vec<String>, FleetError> {
        let until = Instant::now() + time;
        loop {
            interrupt::check()?;
            let firing = self.alarm.look(scene.elapsed().as_secs_f64())?;
            if Instant::now() >= until {
                return Ok(firing);
            }
            thread::sleep(EVERY);
        }
    }

    fn wait_cleared(&mut self, scene: &Scene, stage: &mut Stage) -> Result<(), FleetError> {
        if !self.drill.clears {
            return Ok(());
        }
        let until = Instant::now() + CLEARED_WITHIN;
        let waits = |alarm: &Alarm| {
            self.drill.alerts.iter().any(|alert| matches!(alarm.of(alert), Times { firing_at: Some(_), cleared_at: None, .. }))
        };
        while waits(&self.alarm) {
            if Instant::now() > until {
                stage.find(format!("its alert still fires {CLEARED_WITHIN:?} after all was well again"));
                return Ok(());
            }
            interrupt::check()?;
            thread::sleep(EVERY);
            self.alarm.look(scene.elapsed().as_secs_f64())?;
        }
        Ok(())
    }

    fn look_at(&mut self, stage: &Stage, which: impl Fn(&mut Look) -> &mut Option<f64>) {
        let texts: Vec<String> = stage.stand.nodes.iter().filter_map(|node| exposition(node.metrics_addr())).collect();
        for look in &mut self.looks {
            let samples: Vec<f64> = texts.iter().flat_map(|text| family(text, &look.metric)).collect();
            *which(look) = (!samples.is_empty()).then(|| (samples.iter().sum::<f64>() * 1e3).round() / 1e3);
        }
    }

    fn judge(&self, seen: &Seen, stage: &mut Stage) {
        for phase in ["before", "after"] {
            let act = seen.of(phase);
            if act.click_us.is_empty() || act.created_us.is_empty() {
                stage.find(format!("{phase}: nobody was redirected, or nothing created"));
            }
            if !is_starved(&act) {
                stage.find(format!("{phase}: {} creates were refused, {} were not", act.refused_us.len(), act.created_us.len()));
            }
        }
        let during = seen.of("during");
        if !self.spec.unhurt {
            judge_kind("redirects", self.drill.redirects, [during.click_us.len(), 0], during.clicks_failed, stage);
            let refused = during.refused_us.len();
            // As before and after.
            let told = if self.drill.creates == Served::All && is_starved(&during) { 0 } else { refused };
            judge_kind("creates", self.drill.creates, [during.created_us.len(), told], during.creates_failed, stage);
        }
        for look in &self.looks {
            if look.before.is_none() && look.during.is_none() && look.after.is_none() {
                stage.find(format!("there is no metric {}", look.metric));
            }
        }
        for alert in self.drill.alerts {
            match self.alarm.of(alert).firing_at {
                None => stage.find(format!("{alert} did not fire within {:?}", self.spec.seen_within)),
                Some(at) if at < self.moments.hurt_s => stage.find(format!("{alert} fired before anything was done")),
                Some(at) if at - self.moments.hurt_s > self.spec.seen_within.as_secs_f64() => {
                    let (after, within) = (at - self.moments.hurt_s, self.spec.seen_within);
                    stage.find(format!("{alert} fired only after {after:.1} s, not within {within:?}"));
                }
                Some(_) => {}
            }
        }
        let hunger = self.pressure.percent();
        stage.note("somebody_waited_for_cpu_percent", hunger.round());
        let is_hungry = hunger > STARVED_PERCENT;
        let known = |name: &str| {
            let spent = |served: Served, budget: &str| served != Served::All && name.starts_with(budget);
            let any_refused = PHASES.iter().any(|phase| !seen.of(phase).refused_us.is_empty() || seen.of(phase).creates_failed > 0);
            self.drill.alerts.contains(&name)
                || self.drill.allowed.contains(&name)
                || LATENCY.contains(&name)
                || (is_hungry && OF_A_STARVED_MACHINE.contains(&name))
                || spent(self.drill.redirects, REDIRECT_BUDGET)
                // Whether any may be refused is judged above.
                || (any_refused && name.starts_with(API_BUDGET))
        };
        for (name, _) in self.alarm.fired().filter(|(name, _)| !known(name)) {
            stage.find(format!("{name} fired, and nobody expected it"));
        }
    }

    fn verdict(&self, seen: &Seen, stage: &mut Stage) -> Verdict {
        let Moments { began_s, hurt_s, heal_s, healed_s, end_s } = self.moments;
        let lasted = [hurt_s - began_s, heal_s - hurt_s, healed_s - heal_s, end_s - healed_s];
        let alert = |name: &str| Alert::of(name, self.alarm.of(name), hurt_s, heal_s);
        let others = self.alarm.fired().map(|(name, _)| name.as_str()).filter(|name| !self.drill.alerts.contains(name));
        let findings = std::mem::take(&mut stage.findings);
        Verdict {
            drill: self.drill.name.to_owned(),
            outcome: if findings.is_empty() { Outcome::Pass } else { Outcome::Fail },
            failure: self.drill.failure.to_owned(),
            hypothesis: self.drill.hypothesis.to_owned(),
            harm: self.drill.harm.to_owned(),
            date: date(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            seed: self.spec.seed,
            seconds: 0,
            phases: PHASES.iter().zip(lasted).map(|(name, seconds)| ((*name).to_owned(), phase(seen.of(name), seconds))).collect(),
            ledger: super::verdict::Difference::default(),
            alerts: self.drill.alerts.iter().map(|name| alert(name)).collect(),
            other_alerts: others.map(alert).collect(),
            looks: self.looks.clone(),
            notes: std::mem::take(&mut stage.notes).into_iter().collect::<std::collections::BTreeMap<String, Value>>(),
            findings,
            samples: seen.allowed.clone(),
            series: seen.seconds.iter().map(tick).collect(),
            moments: self.moments,
        }
    }
}

/// Whether so few creates were refused that a busy machine explains it.
fn is_starved(act: &Act) -> bool {
    act.refused_us.len() * REFUSED_OF <= act.created_us.len() + act.refused_us.len()
}

fn judge_kind(what: &str, wanted: Served, [served, refused]: [usize; 2], failed: u32, stage: &mut Stage) {
    let mut wrong = |words: String| stage.find(format!("during: {what}: {words}"));
    if failed > 0 && matches!(wanted, Served::All | Served::Refused | Served::AllOrRefused) {
        wrong(format!("{failed} failed, {served} did not"));
    }
    match wanted {
        Served::All if refused > 0 => wrong(format!("{refused} were refused")),
        Served::All | Served::Some if served == 0 => wrong("none was served".to_owned()),
        Served::Refused | Served::RefusedOrFailed if refused == 0 => wrong("none was refused".to_owned()),
        Served::AllOrRefused if served + refused == 0 => wrong("none was answered".to_owned()),
        _ => {}
    }
}

fn phase(mut act: Act, seconds: f64) -> Phase {
    let ms = |all: &mut Vec<u32>, share| (f64::from(per_mille(all, share)) / 10.0).round() / 100.0;
    Phase {
        seconds: tenths(seconds),
        redirects: act.click_us.len() as u64,
        redirects_a_second: tenths(act.click_us.len() as f64 / seconds.max(0.1)),
        redirect_p50_ms: ms(&mut act.click_us, 500),
        redirect_p99_ms: ms(&mut act.click_us, 990),
        redirects_failed: u64::from(act.clicks_failed),
        creates: act.created_us.len() as u64,
        create_p99_ms: ms(&mut act.created_us, 990),
        creates_refused: act.refused_us.len() as u64,
        creates_unsure: u64::from(act.unsure),
        refusal_p99_ms: ms(&mut act.refused_us, 990),
        creates_failed: u64::from(act.creates_failed),
    }
}

fn tick(second: &Second) -> Tick {
    let mut all = second.click_us.clone();
    let mut ms = |share| (f64::from(per_mille(&mut all, share)) / 10.0).round() / 100.0;
    Tick {
        p50_ms: ms(500),
        p99_ms: ms(990),
        redirects: second.click_us.len() as u32,
        creates: second.created,
        refused: second.refused,
        failed: second.clicks_failed + second.creates_failed,
    }
}

/// How long somebody on this machine has waited for CPU, and since when.
#[derive(Clone, Copy, Debug)]
struct Pressure {
    waited: Duration,
    at: Instant,
}

impl Pressure {
    /// Zero where the kernel does not tell.
    fn now() -> Self {
        let said = fs::read_to_string("/proc/pressure/cpu").unwrap_or_default();
        let total = said.lines().find_map(|line| line.strip_prefix("some ")?.split_once("total=")?.1.trim().parse().ok());
        Self { waited: Duration::from_micros(total.unwrap_or_default()), at: Instant::now() }
    }

    /// Since then.
    fn percent(self) -> f64 {
        let now = Self::now();
        100.0 * now.waited.saturating_sub(self.waited).as_secs_f64() / (now.at - self.at).as_secs_f64().max(0.001)
    }
}

/// Nothing of a node that is away.
fn exposition(addr: SocketAddr) -> Option<String> {
    let answer = fleet::ask(addr, &Request::get("/metrics"), 200).ok()?;
    Some(String::from_utf8_lossy(&answer.body?).into_owned())
}

/// The samples of a metric, whatever their labels.
fn family(exposition: &str, name: &str) -> Vec<f64> {
    let of = |line: &str| {
        let rest = line.strip_prefix(name)?;
        (rest.starts_with(['{', ' '])).then(|| rest.rsplit(' ').next()?.parse().ok())?
    };
    exposition.lines().filter_map(of).collect()
}

/// `2026-11-26`, of today.
pub(super) fn date() -> String {
    let days = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs() / 86_400) as i64 + 719_468;
    let (era, of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * of_year + 2) / 153;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{:02}", of_year - (153 * month_from_march + 2) / 5 + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_family_is_all_samples_of_a_name_and_of_no_longer_one() {
        let text = "# HELP a_total x\na_total 2\na_total_b 7\nb{c=\"d e\"} 1.5\nb{c=\"f\"} 2\n";
        assert_eq!(family(text, "a_total"), [2.0]);
        assert_eq!(family(text, "b"), [1.5, 2.0]);
        assert!(family(text, "a").is_empty());
    }
}
