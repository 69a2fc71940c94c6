//! The checker: a ledger against what the product shows. Pure: it can be fed a loss and must say so.

use super::ledger::{Audit, LinkEntry, LinkState, Observed, Tally};

/// A broken promise, as a sentence.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Finding {
    #[error("lost link: {link} was acknowledged as {expected} and is gone")]
    LostLink { link: String, expected: String },
    #[error("undone delete: {link} was acknowledged as deleted and is {observed}")]
    UndoneDelete { link: String, observed: String },
    #[error("wrong state: {link} should be {expected} and is {observed}")]
    WrongState { link: String, expected: String, observed: String },
    #[error("lost clicks: {link} answered {answered} times, {counted} counted in the {place}")]
    LostClicks { link: String, answered: u64, counted: u64, place: &'static str },
    #[error("clicks counted twice: {link} was clicked at most {asked} times, {counted} counted in the {place}")]
    DoubleClicks { link: String, asked: u64, counted: u64, place: &'static str },
    #[error(
        "events and changes differ: {link} has {counted} '{kind}' events, {sure} changes were acknowledged and {unknown} are unknown"
    )]
    WrongEvents { link: String, kind: &'static str, counted: u64, sure: u64, unknown: u64 },
    #[error("links nobody asked for: {listed} are listed, at most {possible} can be")]
    UnknownLinks { listed: u64, possible: u64 },
    #[error("links missing from the list: {listed} are listed, at least {certain} must be")]
    MissingLinks { listed: u64, certain: u64 },
    #[error("the conservation law does not hold ({law}): {audit:?}")]
    LawBroken { law: &'static str, audit: Audit },
    #[error("the audit's answered {answered} is outside what the clients saw: {sure} answered, {unknown} unknown")]
    AuditDisagrees { answered: u64, sure: u64, unknown: u64 },
    #[error("`knurl audit` failed: {0}")]
    AuditFailed(String),
    #[error("wrong answer: {asked}: expected {expected}, got {got}")]
    WrongAnswer { asked: String, expected: String, got: String },
    #[error("the server is in trouble: {0}")]
    Trouble(String),
}

fn check_clicks(link: &str, clicks: Tally, counted: u64, place: &'static str) -> Option<Finding> {
    let link = || link.to_owned();
    if counted < clicks.sure {
        return Some(Finding::LostClicks { link: link(), answered: clicks.sure, counted, place });
    }
    let asked = clicks.sure + clicks.unknown;
    (counted > asked).then(|| Finding::DoubleClicks { link: link(), asked, counted, place })
}

fn check_state(link: &str, states: &[LinkState], observed: &LinkState) -> Option<Finding> {
    if states.contains(observed) {
        return None;
    }
    let link = link.to_owned();
    let expected = states.iter().map(ToString::to_string).collect::<Vec<_>>().join(" or ");
    Some(match (states, observed) {
        (_, LinkState::Absent | LinkState::Deleted) => Finding::LostLink { link, expected },
        ([LinkState::Deleted], _) => Finding::UndoneDelete { link, observed: observed.to_string() },
        _ => Finding::WrongState { link, expected, observed: observed.to_string() },
    })
}

/// Everything the product shows of one link against what its clients know.
pub fn check_link(entry: &LinkEntry, seen: &Observed) -> Vec<Finding> {
    let link = entry.code.as_deref().unwrap_or(&entry.tag);
    let mut findings: Vec<Finding> = check_state(link, &entry.states, &seen.state).into_iter().collect();
    findings.extend(check_clicks(link, entry.clicks, seen.rolled_up, "roll-ups"));
    findings.extend(check_clicks(link, entry.clicks, seen.raw, "events"));
    let kinds = [
        ("created", entry.created, seen.created),
        ("updated", entry.updated, seen.updated),
        ("deleted", entry.deleted, seen.deleted),
    ];
    for (kind, tally, counted) in kinds {
        if !tally.allows(counted) {
            let Tally { sure, unknown } = tally;
            findings.push(Finding::WrongEvents { link: link.to_owned(), kind, counted, sure, unknown });
        }
    }
    findings
}

/// The number of links listed against the ledger's.
pub fn check_total<'a>(entries: impl Iterator<Item = &'a LinkEntry>, listed: u64) -> Option<Finding> {
    let (mut certain, mut possible) = (0, 0);
    for entry in entries {
        let present = entry.states.iter().filter(|state| matches!(state, LinkState::Present(_))).count();
        possible += u64::from(present > 0);
        certain += u64::from(present == entry.states.len());
    }
    if listed > possible {
        return Some(Finding::UnknownLinks { listed, possible });
    }
    (listed < certain).then_some(Finding::MissingLinks { listed, certain })
}

/// The audit against the law and against what the clients saw; `clicks` is the sum over all links.
pub fn check_audit(audit: Audit, clicks: Tally) -> Vec<Finding> {
    let Audit { answered, delivered, backlog, dropped, rolled_up } = audit;
    let mut findings = Vec::new();
    if answered != delivered + backlog + dropped {
        findings.push(Finding::LawBroken { law: "answered = delivered + backlog + dropped", audit });
    }
    if rolled_up != delivered {
        findings.push(Finding::LawBroken { law: "rolled up = delivered", audit });
    }
    if dropped > 0 {
        findings.push(Finding::LawBroken { law: "nothing is dropped while there is room", audit });
    }
    if !clicks.allows(answered) {
        findings.push(Finding::AuditDisagrees { answered, sure: clicks.sure, unknown: clicks.unknown });
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::{super::ledger::Face, *};

    fn face(title: &str) -> Face {
        Face { target: "https://kill.example/1".to_owned(), title: Some(title.to_owned()), is_active: true }
    }

    /// Created, clicked `clicks` times, all of it acknowledged.
    fn entry(clicks: u64) -> LinkEntry {
        let mut entry = LinkEntry::asked_for("https://kill.example/1".to_owned(), Some("one".to_owned()), face("a"));
        entry.acknowledge();
        entry.clicks.sure = clicks;
        entry
    }

    fn seen(clicks: u64) -> Observed {
        Observed {
            id: Some(1),
            code: Some("one".to_owned()),
            state: LinkState::Present(face("a")),
            rolled_up: clicks,
            raw: clicks,
            created: 1,
            updated: 0,
            deleted: 0,
        }
    }

    #[test]
    fn what_was_acknowledged_and_is_there_passes() {
        assert_eq!(check_link(&entry(7), &seen(7)), []);
    }

    #[test]
    fn a_lost_click_is_found_in_the_roll_ups_and_in_the_events() {
        let findings = check_link(&entry(7), &seen(6));
        assert_eq!(findings.len(), 2, "{findings:?}");
        assert!(findings.iter().all(|found| matches!(found, Finding::LostClicks { answered: 7, counted: 6, .. })), "{findings:?}");
        let only_raw = Observed { rolled_up: 7, ..seen(6) };
        assert!(matches!(check_link(&entry(7), &only_raw)[..], [Finding::LostClicks { place: "events", .. }]));
    }

    #[test]
    fn a_click_counted_twice_is_found() {
        assert!(matches!(check_link(&entry(7), &seen(8))[0], Finding::DoubleClicks { asked: 7, counted: 8, .. }));
    }

    #[test]
    fn an_unanswered_click_may_count_once_but_not_twice() {
        let mut doubtful = entry(7);
        doubtful.clicks.unknown = 1;
        assert_eq!(check_link(&doubtful, &seen(7)), []);
        assert_eq!(check_link(&doubtful, &seen(8)), []);
        assert!(matches!(check_link(&doubtful, &seen(9))[0], Finding::DoubleClicks { asked: 8, .. }));
        doubtful.settle(&seen(7));
        assert!(
            matches!(check_link(&doubtful, &seen(8))[0], Finding::DoubleClicks { asked: 7, .. }),
            "a replay after the first look"
        );
    }

    #[test]
    fn a_lost_link_is_found() {
        let gone = Observed { state: LinkState::Absent, created: 0, ..seen(7) };
        assert!(check_link(&entry(7), &gone).iter().any(|found| matches!(found, Finding::LostLink { .. })));
    }

    #[test]
    fn an_unanswered_create_may_be_there_or_not_but_not_changed() {
        let asked = LinkEntry::asked_for("https://kill.example/1".to_owned(), Some("one".to_owned()), face("a"));
        assert_eq!(check_link(&asked, &seen(0)), []);
        assert_eq!(check_link(&asked, &Observed { state: LinkState::Absent, created: 0, ..seen(0) }), []);
        let other = Observed { state: LinkState::Present(face("b")), ..seen(0) };
        assert!(matches!(check_link(&asked, &other)[..], [Finding::WrongState { .. }]));
        assert!(
            check_link(&asked, &Observed { created: 2, ..seen(0) })
                .iter()
                .any(|found| matches!(found, Finding::WrongEvents { kind: "created", .. }))
        );
    }

    #[test]
    fn an_acknowledged_update_that_is_undone_is_found() {
        let mut updated = entry(0);
        updated.ask(LinkState::Present(face("b")));
        assert_eq!(check_link(&updated, &seen(0)), [], "still in doubt");
        updated.acknowledge();
        assert!(matches!(check_link(&updated, &seen(0))[0], Finding::WrongState { .. }));
        let there = Observed { state: LinkState::Present(face("b")), updated: 1, ..seen(0) };
        assert_eq!(check_link(&updated, &there), []);
    }

    #[test]
    fn an_acknowledged_delete_that_is_undone_is_found() {
        let mut deleted = entry(0);
        deleted.ask(LinkState::Deleted);
        deleted.acknowledge();
        assert!(matches!(check_link(&deleted, &seen(0))[0], Finding::UndoneDelete { .. }));
        assert_eq!(check_link(&deleted, &Observed { state: LinkState::Deleted, deleted: 1, ..seen(0) }), []);
    }

    #[test]
    fn totals_bound_the_list_from_both_sides() {
        let doubtful = LinkEntry::asked_for("https://kill.example/2".to_owned(), None, face("a"));
        let entries = [entry(0), doubtful];
        assert_eq!(check_total(entries.iter(), 1), None);
        assert_eq!(check_total(entries.iter(), 2), None);
        assert!(matches!(check_total(entries.iter(), 0), Some(Finding::MissingLinks { .. })));
        assert!(matches!(check_total(entries.iter(), 3), Some(Finding::UnknownLinks { .. })));
    }

    #[test]
    fn an_audit_is_held_to_the_law_and_to_the_clients() {
        let good = Audit { answered: 10, delivered: 8, backlog: 2, dropped: 0, rolled_up: 8 };
        let clicks = Tally { sure: 9, unknown: 1 };
        assert_eq!(check_audit(good, clicks), []);
        assert!(!check_audit(Audit { backlog: 1, ..good }, clicks).is_empty(), "a click vanished between spool and store");
        assert!(!check_audit(Audit { rolled_up: 7, ..good }, clicks).is_empty(), "delivered, not rolled up");
        assert!(
            !check_audit(Audit { answered: 9, dropped: 1, delivered: 8, backlog: 0, rolled_up: 8 }, clicks).is_empty(),
            "dropped"
        );
        assert!(!check_audit(good, Tally { sure: 11, unknown: 0 }).is_empty(), "the clients saw more answers");
        assert!(!check_audit(good, Tally { sure: 8, unknown: 1 }).is_empty(), "the clients asked for fewer");
    }
}
