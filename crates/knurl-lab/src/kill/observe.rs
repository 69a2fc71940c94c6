//! The observer: asks a running product what it knows of a link. HTTP and `knurl audit`, never the files.

use std::{
    net::SocketAddr,
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;

use super::{
    check::Finding,
    ledger::{Audit, Face, LinkEntry, LinkState, Observed},
};
use crate::{
    http::{Connection, Request, Unanswered},
    process::Launch,
};

/// The product drains before it shows counts, but may cut that short when it is slow: a missing click counts as lost only after this.
pub(super) const PATIENCE: Duration = Duration::from_secs(15);
const PAUSE: Duration = Duration::from_millis(50);

#[derive(Debug, thiserror::Error)]
pub enum ObserveError {
    #[error(transparent)]
    Unanswered(#[from] Unanswered),
    #[error("GET {path} answered {status}: {body}")]
    Unexpected { path: String, status: u16, body: String },
}

#[derive(Debug)]
pub(super) struct Observer {
    connection: Connection,
}

impl Observer {
    pub(super) fn new(addr: SocketAddr) -> Result<Self, ObserveError> {
        Ok(Self { connection: Connection::open(addr).map_err(Unanswered::Io)? })
    }

    /// `None` is 404. The second value is `X-Total-Count`.
    fn get(&mut self, path: &str) -> Result<Option<(Value, Option<u64>)>, ObserveError> {
        let answer = self.connection.ask(&Request::get(path))?;
        let unexpected = |body: &[u8]| ObserveError::Unexpected {
            path: path.to_owned(),
            status: answer.status,
            body: String::from_utf8_lossy(body).into_owned(),
        };
        match (answer.status, &answer.body) {
            (404, _) => Ok(None),
            (200, Some(body)) => {
                let value = answer.json().ok_or_else(|| unexpected(body))?;
                Ok(Some((value, answer.header("x-total-count").and_then(|total| total.parse().ok()))))
            }
            (_, body) => Err(unexpected(body.as_deref().unwrap_or_default())),
        }
    }

    fn count(&mut self, path: &str) -> Result<u64, ObserveError> {
        match self.get(path)? {
            Some((_, Some(total))) => Ok(total),
            _ => Err(ObserveError::Unexpected { path: path.to_owned(), status: 200, body: "no X-Total-Count".to_owned() }),
        }
    }

    /// Links that can be listed.
    pub(super) fn links(&mut self) -> Result<u64, ObserveError> {
        self.count("/urls?page=1&per_page=1")
    }

    fn find(&mut self, entry: &LinkEntry) -> Result<Option<Value>, ObserveError> {
        if let Some(id) = entry.id {
            return Ok(self.get(&format!("/urls/{id}"))?.map(|(link, _)| link));
        }
        // Its id never arrived, so nothing but the create was ever asked of it: it is under its first target. The filter is a
        // "contains": the exact one is picked here.
        let path = match &entry.code {
            Some(code) => format!("/urls?short_code={code}&page=1&per_page=10"),
            None => format!("/urls?original_url={}&page=1&per_page=1000", entry.tag),
        };
        let Some((Value::Array(links), _)) = self.get(&path)? else { return Ok(None) };
        Ok(links.into_iter().find(|link| link["original_url"] == entry.tag.as_str()))
    }

    fn observe(&mut self, entry: &LinkEntry) -> Result<Observed, ObserveError> {
        let link = self.find(entry)?;
        let id = entry.id.or_else(|| link.as_ref().and_then(|link| link["id"].as_i64()));
        let mut seen = Observed {
            id,
            code: entry.code.clone(),
            state: LinkState::Absent,
            rolled_up: 0,
            raw: 0,
            created: 0,
            updated: 0,
            deleted: 0,
        };
        let Some(id) = id else { return Ok(seen) };
        let mut events = |kind: &str| self.count(&format!("/events?url_id={id}&event_type={kind}&page=1&per_page=1"));
        (seen.raw, seen.created) = (events("click")?, events("created")?);
        (seen.updated, seen.deleted) = (events("updated")?, events("deleted")?);
        // Roll-ups are asked after the events, so that a click delivered in between cannot look lost.
        seen.rolled_up = seen.raw;
        if let Some(link) = link {
            let text = |key: &str| link[key].as_str().map(str::to_owned);
            seen.code = text("short_code");
            seen.state = LinkState::Present(Face {
                target: text("original_url").unwrap_or_default(),
                title: text("title"),
                is_active: link["is_active"].as_bool().unwrap_or_default(),
            });
            seen.rolled_up = self.rolled_up(id)?.unwrap_or(seen.raw);
        } else if seen.created > 0 {
            // A deleted link has no stats any more; the audit holds its roll-ups to the events.
            seen.state = LinkState::Deleted;
        }
        Ok(seen)
    }

    fn rolled_up(&mut self, id: i64) -> Result<Option<u64>, ObserveError> {
        let path = format!("/urls/{id}");
        let Some((link, _)) = self.get(&path)? else { return Ok(None) };
        match link["click_count"].as_u64() {
            Some(count) => Ok(Some(count)),
            None => Err(ObserveError::Unexpected { path, status: 200, body: link.to_string() }),
        }
    }

    /// Looks until every answered click is there, or patience ends.
    pub(super) fn look(&mut self, entry: &LinkEntry, patience: Duration) -> Result<Observed, ObserveError> {
        let deadline = Instant::now() + patience;
        loop {
            let seen = self.observe(entry)?;
            if seen.raw.min(seen.rolled_up) >= entry.clicks.sure || Instant::now() > deadline {
                return Ok(seen);
            }
            thread::sleep(PAUSE);
        }
    }
}

/// `knurl audit --json`: its figures, or what was wrong with it.
pub(super) fn audit(launch: &Launch) -> Result<Audit, Finding> {
    let output = launch.command(&["audit", "--json"]).output().map_err(|error| Finding::AuditFailed(error.to_string()))?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let failed = || Finding::AuditFailed(format!("{}: {said}{}", output.status, String::from_utf8_lossy(&output.stderr)));
    if !output.status.success() {
        return Err(failed());
    }
    serde_json::from_str(&said).map_err(|_| failed())
}
