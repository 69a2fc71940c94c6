//! The page of a verdict: one HTML file that needs nothing else.

use std::fmt::Write as _;

use super::{
    Verdict, plot,
    verdict::{Alert, Outcome, PHASES},
};

const STYLE: &str = "body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#1f2937}\
 table{border-collapse:collapse;margin:1rem 0}td,th{border:1px solid #d1d5db;padding:.25rem .6rem;text-align:right}\
 td:first-child,th:first-child{text-align:left}.pass{color:#15803d}.fail{color:#b91c1c}code{background:#f3f4f6;padding:0 .2rem}\
 svg{max-width:100%;height:auto}";

pub fn of(verdict: &Verdict) -> String {
    let mut out = head(&format!("Drill {}", verdict.drill));
    let _ = write!(
        out,
        "<h1>{} <span class=\"{}\">{}</span></h1><p><b>Hypothesis.</b> {}</p><p><b>Done.</b> {}</p>",
        escaped(&verdict.drill),
        class(verdict.outcome),
        word(verdict.outcome),
        escaped(&verdict.hypothesis),
        escaped(&verdict.harm)
    );
    if !verdict.findings.is_empty() {
        out.push_str("<h2>Findings</h2><ul>");
        verdict.findings.iter().chain(&verdict.samples).for_each(|finding| {
            let _ = write!(out, "<li>{}</li>", escaped(finding));
        });
        out.push_str("</ul>");
    }
    out.push_str("<h2>Load</h2>");
    if !verdict.series.is_empty() {
        plot::of(verdict).iter().for_each(|svg| out.push_str(svg));
    }
    out.push_str("<table><tr><th>phase</th><th>s</th><th>redirects/s</th><th>p50 ms</th><th>p99 ms</th><th>failed</th><th>creates</th><th>p99 ms</th><th>refused</th><th>p99 ms</th><th>failed</th></tr>");
    for (name, phase) in PHASES.iter().filter_map(|name| Some((name, verdict.phases.get(*name)?))) {
        let _ = write!(
            out,
            "<tr><td>{name}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>",
            phase.seconds,
            phase.redirects_a_second,
            phase.redirect_p50_ms,
            phase.redirect_p99_ms,
            phase.redirects_failed,
            phase.creates,
            phase.create_p99_ms,
            phase.creates_refused,
            phase.refusal_p99_ms,
            phase.creates_failed
        );
    }
    let books = &verdict.ledger;
    let _ = write!(
        out,
        "</table><h2>Ledger</h2><table><tr><th></th><th>known to clients</th><th>lost</th><th>double</th></tr><tr><td>links</td><td>{}</td><td>{}</td><td></td></tr><tr><td>clicks</td><td>{}</td><td>{}</td><td>{}</td></tr></table><p>{} clicks were sent and not answered; {} were counted as dropped or lost by the product itself.</p>",
        books.links,
        books.links_lost,
        books.clicks,
        books.clicks_lost,
        books.clicks_double,
        books.clicks_unanswered,
        books.clicks_counted_as_lost
    );
    out.push_str("<h2>Alerts</h2><table><tr><th>alert</th><th>fired after</th><th>cleared after healing</th></tr>");
    let mut row = |alert: &Alert, note: &str| {
        let s = |at: Option<f64>| at.map_or_else(|| "-".to_owned(), |at| format!("{at} s"));
        let _ = write!(
            out,
            "<tr><td>{}{note}</td><td>{}</td><td>{}</td></tr>",
            escaped(&alert.name),
            s(alert.firing_after_s),
            s(alert.cleared_after_s)
        );
    };
    verdict.alerts.iter().for_each(|alert| row(alert, ""));
    verdict.other_alerts.iter().for_each(|alert| row(alert, " (besides)"));
    out.push_str(
        "</table><h2>Where to look</h2><table><tr><th>metric, all nodes</th><th>before</th><th>during</th><th>after</th></tr>",
    );
    for look in &verdict.looks {
        let of = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |value| value.to_string());
        let _ = write!(
            out,
            "<tr><td><code>{}</code></td><td>{}</td><td>{}</td><td>{}</td></tr>",
            escaped(&look.metric),
            of(look.before),
            of(look.during),
            of(look.after)
        );
    }
    out.push_str("</table>");
    for (name, value) in &verdict.notes {
        let _ = write!(out, "<p>{}: {}</p>", escaped(&name.replace('_', " ")), escaped(&value.to_string()));
    }
    let _ = write!(
        out,
        "<p>{}, {} s, seed {}, version {}. Failure mode: {}.</p></body></html>",
        verdict.date, verdict.seconds, verdict.seed, verdict.version, verdict.failure
    );
    out
}

/// Of several, with links to each one's page beside it.
pub fn index(verdicts: &[Verdict]) -> String {
    let mut out = head("Drills");
    out.push_str("<h1>Drills</h1><table><tr><th>drill</th><th>verdict</th><th>alerts</th><th>clicks lost</th><th>double</th></tr>");
    for verdict in verdicts {
        let alerts: Vec<String> = verdict.alerts.iter().map(|alert| escaped(&alert.to_string())).collect();
        let _ = write!(
            out,
            "<tr><td><a href=\"{0}.html\">{0}</a></td><td class=\"{1}\">{2}</td><td>{3}</td><td>{4}</td><td>{5}</td></tr>",
            verdict.drill,
            class(verdict.outcome),
            word(verdict.outcome),
            alerts.join("<br>"),
            verdict.ledger.clicks_lost,
            verdict.ledger.clicks_double
        );
    }
    out.push_str("</table></body></html>");
    out
}

fn head(title: &str) -> String {
    let title = escaped(title);
    format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>{title}</title><style>{STYLE}</style></head><body>"
    )
}

pub(super) fn word(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Pass => "PASS",
        Outcome::Fail => "FAIL",
        Outcome::NotRun => "NOT RUN",
    }
}

fn class(outcome: Outcome) -> &'static str {
    if outcome == Outcome::Pass { "pass" } else { "fail" }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
