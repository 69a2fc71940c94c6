//! From spool records to clicks the store can count: decoded, classified.
//!
//! Promised: one record that cannot be read is counted and skipped, never a reason to stop.

use std::{
    collections::HashMap,
    panic::{AssertUnwindSafe, catch_unwind},
};

use knurl_core::{
    agent::{self, Agent},
    click::{OwnedClick, Purpose},
};
use knurl_store::DeliveredClick;

/// Distinct user agents remembered. Classifying costs microseconds, a look-up tens of nanoseconds, and a day's clicks come from a few
/// thousand agents. At the bound everything is forgotten: strangers choose the strings, and an eviction order they can steer is no
/// better than none. With `HEADER_BYTES_MAX` this is 2 MiB at most.
const AGENTS_MAX: usize = 4096;

#[derive(Debug, Default)]
pub(super) struct Enricher {
    visits: HashMap<Box<str>, Agent, foldhash::fast::RandomState>,
}

#[derive(Debug, Default)]
pub(super) struct Enriched {
    pub(super) clicks: Vec<DeliveredClick>,
    pub(super) undecodable: u64,
}

impl Enricher {
    pub(super) fn enrich<'a>(&mut self, records: impl ExactSizeIterator<Item = &'a [u8]>) -> Enriched {
        let mut enriched = Enriched { clicks: Vec::with_capacity(records.len()), undecodable: 0 };
        for record in records {
            // Decoding and classifying promise not to panic; if one did, the same record would stop the drain at every try.
            match catch_unwind(AssertUnwindSafe(|| self.one(record))) {
                Ok(Some(click)) => enriched.clicks.push(click),
                Ok(None) | Err(_) => enriched.undecodable += 1,
            }
        }
        enriched
    }

    fn one(&mut self, record: &[u8]) -> Option<DeliveredClick> {
        let click = OwnedClick::decode(record).ok()?;
        let agent = self.agent(click.user_agent.as_deref(), click.purpose);
        let referrer_host = click.referrer.as_deref().and_then(agent::referrer_host);
        Some(DeliveredClick { click, agent, referrer_host })
    }

    fn agent(&mut self, user_agent: Option<&str>, purpose: Purpose) -> Agent {
        let (Some(text), Purpose::Visit) = (user_agent, purpose) else {
            return agent::classify(user_agent, purpose);
        };
        if let Some(known) = self.visits.get(text) {
            return *known;
        }
        let agent = agent::classify(user_agent, purpose);
        if self.visits.len() >= AGENTS_MAX {
            self.visits.clear();
        }
        self.visits.insert(text.into(), agent);
        agent
    }
}

#[cfg(test)]
mod tests {
    use knurl_core::{Click, LinkId, UnixMillis};

    use super::*;

    fn record(user_agent: &str) -> Vec<u8> {
        let click = Click {
            link_id: LinkId(1),
            owner: None,
            at: UnixMillis(0),
            visitor: 7,
            purpose: Purpose::Visit,
            short_code: "abc",
            target: "https://example.org/",
            referrer: Some(b"https://www.news.example/today"),
            user_agent: Some(user_agent.as_bytes()),
        };
        let mut bytes = vec![0; click.encoded_len()];
        click.encode_into(&mut bytes);
        bytes
    }

    #[test]
    fn a_record_that_is_no_click_is_counted_and_the_others_pass() {
        let records = [record("curl/8"), vec![0xff; 40], Vec::new(), record("curl/8")];
        let enriched = Enricher::default().enrich(records.iter().map(Vec::as_slice));
        assert_eq!((enriched.clicks.len(), enriched.undecodable), (2, 2));
        assert_eq!(enriched.clicks[0].referrer_host.as_deref(), Some("news.example"));
    }

    #[test]
    fn agents_are_remembered_up_to_the_bound_and_answers_do_not_change() {
        let mut enricher = Enricher::default();
        for n in 0..AGENTS_MAX + 10 {
            let bytes = record(&format!("curl/{n}"));
            let fresh = agent::classify(Some(&format!("curl/{n}")), Purpose::Visit);
            assert_eq!(enricher.enrich([bytes.as_slice()].into_iter()).clicks[0].agent, fresh);
            assert!(enricher.visits.len() <= AGENTS_MAX);
        }
        assert_eq!(enricher.visits.len(), 10);
    }
}
