//! Whose a batch's clicks are.
//!
//! A click was recorded when its link was there; it is delivered later, and somebody else may have been at the database meanwhile: emptied its
//! tables, restored a backup. Ids begin anew then, and the link that has the click's id may be another.
//!
//! Promised: a click counts for the link that has its id and its code, and not for one that came after the table was emptied. When a link was
//! created says nothing: an import keeps what its file says, and clocks are set back.
//! Not promised, on PostgreSQL: that nobody deletes the rows between the look and the commit, some milliseconds later (`truncate` waits for it). A
//! lock on each row that was clicked would be written to each.

use std::{
    collections::{HashMap, HashSet},
    hash::{BuildHasher, RandomState},
    sync::{Mutex, MutexGuard, PoisonError},
};

use knurl_core::{UnixMillis, UserId};

use crate::store::DeliveredClick;

/// What a batch says of the links it names: each once, however often it was clicked.
#[derive(Debug)]
pub(crate) struct Named {
    /// Id, code, owner.
    links: Vec<(i64, String, Option<UserId>)>,
    earliest: UnixMillis,
}

/// What a click says of its link: id, code, owner.
type Said<'c> = (i64, &'c str, Option<UserId>);

impl Named {
    pub(crate) fn of(clicks: &[DeliveredClick]) -> Self {
        Self::of_some(clicks, |_| true)
    }

    fn of_some(clicks: &[DeliveredClick], asked: impl Fn(&Said<'_>) -> bool) -> Self {
        let said = clicks.iter().map(|delivered| &delivered.click);
        let said = said.map(|click| (click.link_id.0, click.short_code.as_str(), click.owner));
        let named: HashSet<_> = said.filter(asked).collect();
        let mut links: Vec<_> = named.into_iter().map(|(id, code, owner)| (id, code.to_owned(), owner)).collect();
        links.sort_unstable();
        let earliest = clicks.iter().map(|delivered| delivered.click.at).min().unwrap_or(UnixMillis(i64::MAX));
        Self { links, earliest }
    }

    /// Ascending.
    pub(crate) fn ids(&self) -> Vec<i64> {
        let mut ids: Vec<i64> = self.links.iter().map(|(id, ..)| *id).collect();
        ids.dedup();
        ids
    }

    /// Every click of the batch is as it says.
    pub(crate) fn are(&self, there: &There) -> bool {
        let is = |(id, code, owner): &(i64, String, Option<UserId>)| {
            there.links.get(id).is_some_and(|(its_code, its_owner)| (its_code, its_owner) == (code, owner))
        };
        there.emptied_at.is_none_or(|emptied_at| self.earliest > emptied_at) && self.links.iter().all(is)
    }
}

/// The links that a database has of those that were asked for.
#[derive(Debug, Default)]
pub(crate) struct There {
    /// By id: code and owner.
    pub(crate) links: HashMap<i64, (String, Option<UserId>)>,
    /// Whatever was clicked until this millisecond was clicked on a link that is gone: nobody makes one and clicks it in the same.
    pub(crate) emptied_at: Option<UnixMillis>,
}

impl There {
    /// The clicks that belong to a link, which also says whose it is.
    pub(crate) fn belonging(&self, clicks: &[DeliveredClick]) -> Vec<DeliveredClick> {
        let belonging = clicks.iter().filter_map(|delivered| {
            let (code, owner) = self.links.get(&delivered.click.link_id.0)?;
            let late = self.emptied_at.is_some_and(|emptied_at| delivered.click.at <= emptied_at);
            if late || *code != delivered.click.short_code {
                return None;
            }
            let mut delivered = delivered.clone();
            delivered.click.owner = *owner;
            Some(delivered)
        });
        belonging.collect()
    }
}

/// Slots of [`Seen`], for as many links: 8 MiB, of which only what is written to takes memory.
const SLOTS: usize = 1 << 20;

/// Links that were as their clicks say, so that each is asked for once and not with every batch: four of ten clicks of a popular million name
/// one that their batch does not name already.
///
/// They hold for as long as the database's mark is the one under which they were looked up: it is another after every removal of a row
/// (`links_mark.sql`). Two links may share a slot, then the last one has it. Their hash is keyed: nobody can choose a code that
/// passes for another.
#[derive(Debug)]
pub(crate) struct Seen {
    key: RandomState,
    slots: Mutex<Slots>,
}

#[derive(Debug)]
struct Slots {
    mark: String,
    /// Of the link in each slot: the hash of what was said; 0 of none.
    hashes: Vec<u64>,
}

/// What a batch says of links that were not seen yet.
#[derive(Debug)]
pub(crate) struct Unseen {
    pub(crate) named: Named,
    /// Under which all others were.
    mark: String,
}

impl Default for Seen {
    fn default() -> Self {
        Self { key: RandomState::new(), slots: Mutex::new(Slots::none_under("")) }
    }
}

impl Seen {
    pub(crate) fn unseen(&self, clicks: &[DeliveredClick]) -> Unseen {
        let slots = self.slots();
        let named = Named::of_some(clicks, |said| slots.hashes[slot(said.0)] != self.hash(said));
        Unseen { named, mark: slots.mark.clone() }
    }

    /// What `named` says was so under this mark.
    pub(crate) fn note(&self, mark: &str, named: &Named) {
        let mut slots = self.slots();
        if slots.mark != mark {
            *slots = Slots::none_under(mark);
        }
        for (id, code, owner) in &named.links {
            slots.hashes[slot(*id)] = self.hash(&(*id, code, *owner));
        }
    }

    /// The cursor is not where it was left: somebody was at the tables, and may have been at what is counted, too.
    pub(crate) fn forget(&self) {
        *self.slots() = Slots::none_under("");
    }

    fn hash(&self, said: &Said<'_>) -> u64 {
        self.key.hash_one(said).max(1)
    }

    fn slots(&self) -> MutexGuard<'_, Slots> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Slots {
    fn none_under(mark: &str) -> Self {
        Self { mark: mark.to_owned(), hashes: vec![0; SLOTS] }
    }
}

impl Unseen {
    /// Every click of the batch is as it says.
    pub(crate) fn are(&self, there: &There, mark: &str) -> bool {
        self.mark == mark && self.named.are(there)
    }
}

/// Ids are given in a row.
fn slot(id: i64) -> usize {
    id as usize % SLOTS
}

/// Counted, and told: a few after somebody has emptied or restored a database are as they should be, any others are not.
pub(crate) fn tell_unlinked(unlinked: usize) {
    tracing::warn!(
        unlinked,
        "clicks of links that somebody has removed from the database: counted by `knurl audit` as unlinked, and for no link"
    );
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use knurl_core::{
        LinkId,
        agent::{Agent, AgentClass},
        click::{OwnedClick, Purpose},
    };

    use super::*;

    fn click(id: i64, short_code: &str, owner: Option<i64>) -> DeliveredClick {
        let click = OwnedClick {
            link_id: LinkId(id),
            owner: owner.map(UserId),
            at: UnixMillis(1_000 + id),
            visitor: 0,
            purpose: Purpose::Visit,
            short_code: short_code.to_owned(),
            target: String::new(),
            referrer: None,
            user_agent: None,
        };
        DeliveredClick { click, agent: Agent { class: AgentClass::Human, browser: "", os: "" }, referrer_host: None }
    }

    fn asked(seen: &Seen, clicks: &[DeliveredClick]) -> Vec<i64> {
        seen.unseen(clicks).named.ids()
    }

    #[test]
    fn a_link_is_asked_for_once_and_again_where_it_is_another_or_was_not_there() {
        let seen = Seen::default();
        let clicks = [click(1, "one", None), click(2, "two", Some(7)), click(1, "one", None)];
        assert_eq!(asked(&seen, &clicks), [1, 2]);
        seen.note("mark", &Named::of(&clicks[..2]));
        assert_eq!(asked(&seen, &clicks), Vec::<i64>::new());
        let others = [click(1, "eins", None), click(2, "two", Some(8)), click(2, "two", None), click(3, "one", None)];
        assert_eq!(asked(&seen, &others), [1, 2, 3]);
    }

    #[test]
    fn what_was_seen_under_another_mark_is_asked_for_again() {
        let (seen, clicks) = (Seen::default(), [click(1, "one", None)]);
        let there = There { links: [(1, ("one".to_owned(), None))].into(), emptied_at: None };
        assert!(!seen.unseen(&clicks).are(&there, "mark"), "nothing is known under a mark that is seen for the first time");
        seen.note("mark", &Named::of(&clicks));
        let unseen = seen.unseen(&clicks);
        assert!(unseen.are(&There::default(), "mark"));
        assert!(!unseen.are(&There::default(), "another"));
        seen.note("another", &Named::of(&[click(2, "two", None)]));
        assert_eq!(asked(&seen, &clicks), [1]);
        seen.note("another", &Named::of(&clicks));
        seen.forget();
        assert_eq!(asked(&seen, &clicks), [1]);
    }

    #[test]
    fn a_seen_link_does_not_hide_a_click_of_before_the_emptying() {
        let (seen, clicks) = (Seen::default(), [click(1, "one", None)]);
        seen.note("mark", &Named::of(&clicks));
        let emptied = |at| There { emptied_at: Some(UnixMillis(at)), ..There::default() };
        assert!(seen.unseen(&clicks).are(&emptied(1_000), "mark"));
        assert!(!seen.unseen(&clicks).are(&emptied(1_001), "mark"));
    }

    #[test]
    fn links_that_share_a_slot_are_never_taken_for_each_other() {
        let seen = Seen::default();
        let (one, far) = (click(1, "one", None), click(1 + SLOTS as i64, "one", None));
        seen.note("mark", &Named::of(std::slice::from_ref(&one)));
        assert_eq!(asked(&seen, std::slice::from_ref(&far)), [1 + SLOTS as i64]);
        seen.note("mark", &Named::of(std::slice::from_ref(&far)));
        assert_eq!(asked(&seen, &[one, far]), [1]);
        // Ids are the database's, whatever they are.
        assert_eq!(asked(&seen, &[click(-1, "x", None), click(i64::MIN, "x", None)]), [i64::MIN, -1]);
    }
}
