//! Whose a batch's clicks are.
//!
//! A click was recorded when its link was there; it is delivered later, and somebody else may have been at the database meanwhile: emptied its
//! tables, restored a backup. Ids begin anew then, and the link that has the click's id may be another.
//!
//! Promised: a click counts for the link that has its id and its code, and not for one that came after the table was emptied. When a link was
//! created says nothing: an import keeps what its file says, and clocks are set back.
//! Not promised, on PostgreSQL: that nobody deletes the rows between the look and the commit, some milliseconds later (`truncate` waits for it). A
//! lock on each row that was clicked would be written to each.

use std::collections::{HashMap, HashSet};

use knurl_core::{UnixMillis, UserId};

use crate::store::DeliveredClick;

/// What a batch says of the links it names: each once, however often it was clicked.
#[derive(Debug)]
pub(crate) struct Named {
    /// Id, code, owner.
    links: Vec<(i64, String, Option<UserId>)>,
    earliest: UnixMillis,
}

impl Named {
    pub(crate) fn of(clicks: &[DeliveredClick]) -> Self {
        let named: HashSet<_> = clicks
            .iter()
            .map(|delivered| &delivered.click)
            .map(|click| (click.link_id.0, click.short_code.as_str(), click.owner))
            .collect();
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

/// Counted, and told: a few after somebody has emptied or restored a database are as they should be, any others are not.
pub(crate) fn tell_unlinked(unlinked: usize) {
    tracing::warn!(
        unlinked,
        "clicks of links that somebody has removed from the database: counted by `knurl audit` as unlinked, and for no link"
    );
}
