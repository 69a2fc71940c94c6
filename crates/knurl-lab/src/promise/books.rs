//! The books: what the clients were told, against what the product shows when all is over.
//!
//! Promised: an entry says only what an answer, or its absence, proves. Links and clicks are read by the API's lists, a page at a time, so that
//! a million of them are no more than a thousand requests.

use std::{
    collections::HashMap,
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::{
    fleet::{self, Fleet, FleetError, Node},
    http::Request,
    kill::{Finding, ledger::Tally},
};

const PAGE_ROWS: usize = 1_000;
/// For the last clicks to be delivered, by nodes that are running.
const PATIENCE: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(100);

/// What clients know of one link.
#[derive(Clone, Debug, Default)]
pub struct Entry {
    pub target: String,
    pub clicks: Tally,
}

#[derive(Clone, Debug, Default)]
pub struct Ledger {
    pub links: HashMap<String, Entry>,
    /// Creates that were not answered: each may have made a link or not.
    pub creates_unknown: u64,
    /// Creates that were acknowledged, and nobody wrote down as what.
    pub creates_unnamed: u64,
}

impl Ledger {
    /// A create that was acknowledged.
    pub fn made(&mut self, code: &str, target: &str) {
        self.links.entry(code.to_owned()).or_default().target = target.to_owned();
    }

    pub fn clicks(&mut self, code: &str) -> &mut Tally {
        &mut self.links.entry(code.to_owned()).or_default().clicks
    }

    pub fn add(&mut self, other: Self) {
        self.creates_unknown += other.creates_unknown;
        self.creates_unnamed += other.creates_unnamed;
        for (code, entry) in other.links {
            let mine = self.links.entry(code).or_default();
            mine.clicks.add(entry.clicks);
            if !entry.target.is_empty() {
                mine.target = entry.target;
            }
        }
    }

    /// Of all links together.
    pub fn all_clicks(&self) -> Tally {
        let mut all = Tally::default();
        self.links.values().for_each(|entry| all.add(entry.clicks));
        all
    }
}

/// What the product shows.
#[derive(Clone, Debug, Default)]
pub struct Shown {
    /// Target and clicks by code; of nodes with databases of their own, the clicks of all.
    pub links: HashMap<String, (String, u64)>,
    /// Raw click events.
    pub click_events: u64,
}

impl Shown {
    pub fn read(nodes: &[Node]) -> Result<Self, FleetError> {
        let mut shown = Self::default();
        for node in nodes {
            shown.read_node(node)?;
        }
        Ok(shown)
    }

    fn read_node(&mut self, node: &Node) -> Result<(), FleetError> {
        for page in 1.. {
            let path = format!("/urls?page={page}&per_page={PAGE_ROWS}");
            let answer = fleet::ask(node.addr(), &Request::get(&path), 200)?;
            let Some(Value::Array(rows)) = answer.json() else {
                return Err(FleetError::Unexpected { asked: path, status: 200, body: "no array".to_owned() });
            };
            for row in &rows {
                let text = |key: &str| row[key].as_str().unwrap_or_default().to_owned();
                let entry = self.links.entry(text("short_code")).or_default();
                entry.0 = text("original_url");
                entry.1 += row["click_count"].as_u64().unwrap_or_default();
            }
            if rows.len() < PAGE_ROWS {
                break;
            }
        }
        let events = fleet::ask(node.addr(), &Request::get("/events?event_type=click&page=1&per_page=1"), 200)?;
        self.click_events += events.header("x-total-count").and_then(|total| total.parse::<u64>().ok()).unwrap_or_default();
        Ok(())
    }

    fn clicks(&self) -> u64 {
        self.links.values().map(|(_, clicks)| clicks).sum()
    }

    /// Waits until all answered clicks are there, or patience ends.
    pub fn settled(fleet: &Fleet, ledger: &Ledger) -> Result<Self, FleetError> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let shown = Self::read(fleet.books())?;
            let sure = ledger.all_clicks().sure;
            if (shown.clicks() >= sure && shown.click_events >= sure) || Instant::now() > deadline {
                return Ok(shown);
            }
            thread::sleep(PAUSE);
        }
    }
}

/// Clicks by code, as PostgreSQL itself has them: those of deleted links too, and of millions of links only the clicked ones.
#[derive(Clone, Debug, Default)]
pub struct Counted {
    pub events: HashMap<String, u64>,
    pub roll_ups: HashMap<String, u64>,
}

const EVENTS: &str = "select short_code, count(*) from clicks c join links l on l.id = c.link_id group by 1";
const ROLL_UPS: &str = "select short_code, total from link_totals t join links l on l.id = t.link_id where total > 0";

impl Counted {
    /// By whoever can ask the database.
    pub fn read(sql: impl Fn(&str) -> Result<String, FleetError>) -> Result<Self, FleetError> {
        let by_code = |rows: String| -> HashMap<String, u64> {
            let rows = rows.lines().filter_map(|row| row.split_once('|'));
            rows.map(|(code, clicks)| (code.to_owned(), clicks.parse().unwrap_or_default())).collect()
        };
        Ok(Self { events: by_code(sql(EVENTS)?), roll_ups: by_code(sql(ROLL_UPS)?) })
    }

    /// Whatever differs.
    pub fn check(&self, ledger: &Ledger) -> Vec<Finding> {
        let mut findings = Vec::new();
        for (of, place) in [(&self.events, "events"), (&self.roll_ups, "roll-ups")] {
            let strangers = of.keys().filter(|code| !ledger.links.contains_key(*code));
            for code in ledger.links.keys().chain(strangers) {
                let Tally { sure, unknown } = ledger.links.get(code).map(|entry| entry.clicks).unwrap_or_default();
                let (link, counted) = (code.clone(), of.get(code).copied().unwrap_or_default());
                if counted < sure {
                    findings.push(Finding::LostClicks { link, answered: sure, counted, place });
                } else if counted > sure + unknown {
                    findings.push(Finding::DoubleClicks { link, asked: sure + unknown, counted, place });
                }
            }
        }
        findings
    }
}

/// Whatever differs. `sent_twice`: requests that the front handed to a second node after the first may have had them; each may count once more.
pub fn check(ledger: &Ledger, shown: &Shown, sent_twice: u64) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (code, entry) in &ledger.links {
        let link = || code.clone();
        let Some((target, counted)) = shown.links.get(code) else {
            findings.push(Finding::LostLink { link: link(), expected: entry.target.clone() });
            continue;
        };
        if *target != entry.target {
            findings.push(Finding::WrongState { link: link(), expected: entry.target.clone(), observed: target.clone() });
        }
        let Tally { sure, unknown } = entry.clicks;
        if *counted < sure {
            findings.push(Finding::LostClicks { link: link(), answered: sure, counted: *counted, place: "roll-ups" });
        } else if *counted > sure + unknown + sent_twice {
            findings.push(Finding::DoubleClicks { link: link(), asked: sure + unknown, counted: *counted, place: "roll-ups" });
        }
    }
    let (listed, certain) = (shown.links.len() as u64, ledger.links.len() as u64 + ledger.creates_unnamed);
    let possible = certain + ledger.creates_unknown;
    if listed > possible {
        findings.push(Finding::UnknownLinks { listed, possible });
    } else if ledger.creates_unnamed > 0 && listed < certain {
        // Those that have a name are missed by it.
        findings.push(Finding::MissingLinks { listed, certain });
    }
    let Tally { sure, unknown } = ledger.all_clicks();
    for (counted, place) in [(shown.clicks(), "roll-ups of all links"), (shown.click_events, "events of all links")] {
        let link = "all of them".to_owned();
        if counted < sure {
            findings.push(Finding::LostClicks { link, answered: sure, counted, place });
        } else if counted > sure + unknown + sent_twice {
            findings.push(Finding::DoubleClicks { link, asked: sure + unknown, counted, place });
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(clicks: u64) -> (Ledger, Shown) {
        let mut ledger = Ledger::default();
        ledger.made("one", "https://a.example/");
        ledger.clicks("one").sure = clicks;
        let links = HashMap::from([("one".to_owned(), ("https://a.example/".to_owned(), clicks))]);
        (ledger, Shown { links, click_events: clicks })
    }

    #[test]
    fn books_that_agree_have_no_finding_and_each_difference_has_its_own() {
        let (ledger, shown) = told(7);
        assert_eq!(check(&ledger, &shown, 0), []);
        let mut fewer = shown.clone();
        fewer.links.insert("one".to_owned(), ("https://a.example/".to_owned(), 6));
        assert!(matches!(check(&ledger, &fewer, 0)[..], [Finding::LostClicks { .. }, Finding::LostClicks { .. }]));
        let mut more = shown.clone();
        more.click_events = 8;
        assert!(matches!(check(&ledger, &more, 0)[..], [Finding::DoubleClicks { .. }]));
        assert_eq!(check(&ledger, &more, 1), [], "one was sent twice");
        let mut gone = shown.clone();
        gone.links.clear();
        assert!(check(&ledger, &gone, 0).iter().any(|found| matches!(found, Finding::LostLink { .. })));
        let mut stranger = shown.clone();
        stranger.links.insert("two".to_owned(), (String::new(), 0));
        assert!(matches!(check(&ledger, &stranger, 0)[..], [Finding::UnknownLinks { .. }]));
        let mut moved = shown;
        moved.links.insert("one".to_owned(), ("https://b.example/".to_owned(), 7));
        assert!(matches!(check(&ledger, &moved, 0)[..], [Finding::WrongState { .. }]));
    }

    #[test]
    fn what_the_database_counts_is_compared_by_link_be_it_known_or_not() {
        let (mut ledger, _) = told(7);
        let counted = Counted::read(|_| Ok("one|7\n".to_owned())).unwrap();
        assert_eq!(counted.check(&ledger), []);
        ledger.clicks("one").unknown = 1;
        assert_eq!(counted.check(&ledger), [], "one may not have counted");
        ledger.clicks("one").sure = 8;
        assert!(matches!(counted.check(&ledger)[..], [Finding::LostClicks { .. }, Finding::LostClicks { .. }]));
        ledger.clicks("one").sure = 5;
        assert!(matches!(counted.check(&ledger)[..], [Finding::DoubleClicks { .. }, Finding::DoubleClicks { .. }]));
        assert_eq!(counted.check(&Ledger::default()).len(), 2, "clicks of a link that nobody clicked");
    }

    #[test]
    fn a_create_without_a_name_is_missed_by_number() {
        let (mut ledger, shown) = told(7);
        ledger.creates_unnamed = 1;
        assert!(matches!(check(&ledger, &shown, 0)[..], [Finding::MissingLinks { listed: 1, certain: 2 }]));
    }

    #[test]
    fn an_unanswered_click_or_create_may_count() {
        let (mut ledger, mut shown) = told(7);
        ledger.clicks("one").unknown = 1;
        ledger.creates_unknown = 1;
        shown.click_events = 8;
        shown.links.insert("two".to_owned(), (String::new(), 1));
        assert_eq!(check(&ledger, &shown, 0), []);
    }
}
