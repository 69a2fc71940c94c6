//! What stands before and beside the nodes: the front, what watches it, and the way by which people are told.

use std::{fs, path::Path};

use crate::{
    drill::{Books, Drill, Ground, Served, Stage, stage::broken},
    fleet::{FleetError, front},
    servers::{Alertmanager, Exporter, Nginx, Target},
};

/// As production has it; only the addresses of whom it tells are other ones.
const ALERTMANAGER: &str = include_str!("../../../../../deploy/alertmanager/alertmanager.yml");
const RECEIVERS: &str = "127.0.0.1:9095";
const LETTERS: &str = "letters.log";
const BEFORE_HEALING: &str = "letters_before_it_healed";

pub(super) const DRILLS: [Drill; 2] = [
    Drill {
        name: "front-down",
        failure: "front-down",
        hypothesis: "When the front dies every node is well, and nobody reaches one: somebody is told, by its own status and by the stream of redirects that ends. Nothing that was answered is lost.",
        harm: "the only nginx in front of three nodes is stopped",
        ground: Ground::FRONT,
        alerts: &["KnurlFrontDown", "KnurlTrafficStopped"],
        metrics: &["knurl_redirects_total", "knurl_connections_open", "knurl_clicks_backlog"],
        redirects: Served::Any,
        creates: Served::Any,
        prepare: |stage| {
            let nginx = stage.front.as_ref().ok_or_else(|| broken("this stage has no front"))?;
            let exporter = stage.exporter.insert(Exporter::of_nginx(&front::status(nginx))?);
            stage.targets.push(Target::of("nginx", exporter.addr()));
            Ok(())
        },
        hurt: |stage| {
            let nginx = stage.front.as_mut().ok_or_else(|| broken("this stage has no front"))?;
            Ok(nginx.stop()?)
        },
        ..Drill::BARE
    },
    Drill {
        name: "alerting-broken",
        failure: "alerting-broken",
        hypothesis: "When nobody takes what Alertmanager sends, and an exporter is gone, no visitor notices and Prometheus says so; the dead man's switch gets its letter until then and again afterwards, and its silence is what tells a person.",
        harm: "whoever receives Alertmanager's letters is stopped, and the exporter of Redis is killed",
        alerts: &["KnurlNotificationsFailing", "KnurlExporterDown"],
        metrics: &["knurl_redirects_total", "knurl_clicks_backlog"],
        books: Books::Exact,
        prepare: |stage| {
            let exporter = Exporter::of_redis(&stage.redis()?.url())?;
            let mailbox = Nginx::start(mailbox)?;
            let receivers = format!("127.0.0.1:{}", mailbox.port());
            let alertmanager = Alertmanager::start(&ALERTMANAGER.replace(RECEIVERS, &receivers))?;
            stage.targets.push(Target::of("redis", exporter.addr()));
            stage.targets.push(Target::of("alertmanager", alertmanager.addr()));
            stage.exporter = Some(exporter);
            stage.mailbox = Some(mailbox);
            stage.alertmanager = Some(alertmanager);
            Ok(())
        },
        hurt: |stage| {
            if letters(stage)? == 0 {
                stage.find("the dead man's switch has got no letter while all was well");
            }
            stage.exporter.as_mut().ok_or_else(|| broken("this stage has no exporter"))?.kill()?;
            stage.mailbox.as_mut().ok_or_else(|| broken("this stage has no mailbox"))?.stop()?;
            Ok(())
        },
        heal: |stage| {
            let before = letters(stage)?;
            stage.note(BEFORE_HEALING, before);
            Ok(())
        },
        check: |stage| {
            let before = stage.notes.iter().find(|(name, _)| name == BEFORE_HEALING).and_then(|(_, figure)| figure.as_u64());
            let letters = letters(stage)?;
            stage.note("letters_to_the_dead_mans_switch", letters);
            if before.is_none_or(|before| letters <= before) {
                stage.find(format!("the dead man's switch has got {letters} letters in all, {before:?} of them before it healed"));
            }
            Ok(())
        },
        ..Drill::BARE
    },
];

/// Takes every letter and writes its address down.
fn mailbox(port: u16, dir: &Path) -> String {
    let dir = dir.display();
    let temporary: String =
        ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map(|kind| format!("{kind}_temp_path {dir}/{kind}; ")).concat();
    format!(
        "pid {dir}/nginx.pid; events {{}} http {{ {temporary} log_format letter '$request_uri'; access_log {dir}/{LETTERS} letter; \
         server {{ listen 127.0.0.1:{port}; return 200; }} }}"
    )
}

/// That the dead man's switch has got so far.
fn letters(stage: &Stage) -> Result<u64, FleetError> {
    let mailbox = stage.mailbox.as_ref().ok_or_else(|| broken("this stage has no mailbox"))?;
    Ok(fs::read_to_string(mailbox.dir().join(LETTERS))?.lines().filter(|line| *line == "/watchdog").count() as u64)
}
