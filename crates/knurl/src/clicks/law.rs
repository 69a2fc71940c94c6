//! The conservation law as arithmetic: figures in, verdict out.
//!
//! 1. Every answered click is somewhere: `answered = delivered + backlog + dropped`, and `lost` is what is missing from that sum.
//! 2. Every delivered click is counted: `delivered = raw + purged + unlinked`, over all spools this store knows.
//! 3. Every counted click has its event: `rolled_up = raw + purged + external`, roll-ups and events being written by different statements.
//!
//! The second and the third but for what somebody removed by hand and somebody accepted (`knurl audit --accept`).
//!
//! A loss is never fine, whatever `durability` allows: it has its own figure and the law is broken. Clicks dropped because the spool was
//! full were counted when it happened, and are part of the law.
//!
//! What the law cannot see: clicks whose record *and* count a power failure took together (at most `fsync_interval` of them, none with
//! `durability = power`), and what was in a spool that is not here. Where it can be told that there was one, or that the ledger is gone and
//! with it how many were answered, nothing is proven and the verdict says so.

use knurl_store::ClickLedger;
use serde::Serialize;

/// What there is of the spool.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SpoolState {
    #[default]
    Whole,
    /// Segments are there, the ledger is not: what was answered or dropped is not known.
    NoLedger,
    None,
}

/// What the spool's files say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SpoolFigures {
    pub state: SpoolState,
    pub answered: u64,
    pub dropped: u64,
    /// Records ever written, by sequence.
    pub written: u64,
    /// Records above the store's cursor. One that cannot be read any more is found out, and becomes `undecodable`, when it is drained.
    pub backlog: u64,
}

/// One look at everything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    pub spool: SpoolFigures,
    /// This spool's cursor in the store.
    pub cursor: u64,
    /// Of the records below it those that could not be decoded.
    pub undecodable: u64,
    /// The store's figures, of all spools it ever knew.
    pub store: ClickLedger,
}

/// `Serialize` is the shape of `knurl audit --json`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Audit {
    /// Clicks answered by this node, ever.
    pub answered: u64,
    /// Of those, in the store.
    pub delivered: u64,
    /// Of those, in the spool, not yet delivered.
    pub backlog: u64,
    /// Of those, given up because the spool was full or broken.
    pub dropped: u64,
    /// Of those, nowhere: gone with a power failure or a damaged disk. Never fine.
    pub lost: u64,
    /// Clicks in the roll-ups that came through a spool.
    pub rolled_up: u64,
    /// Click events from a spool in the table.
    pub raw: u64,
    /// Click events from a spool that retention removed.
    pub purged: u64,
    /// Clicks of links that somebody had removed from the database before they were delivered (emptied it, restored a backup): counted here,
    /// and for no link, whoever has its id now.
    pub unlinked: u64,
    /// Click events from imports and `POST /events`, which are in the roll-ups too.
    pub external: u64,
    /// What the sums lack and somebody accepted: click events, and clicks in the roll-ups, removed by hand.
    pub accepted_events: i64,
    pub accepted_roll_ups: i64,
    /// Clicks delivered from other spools than this (another node, or a data directory before this one).
    pub elsewhere: u64,
    pub spool: SpoolState,
    pub verdict: Verdict,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The law holds: exit code 0.
    Holds,
    /// Clicks were recorded or delivered while the figures were read: they do not contradict the law, and do not prove it. Not exit code 0.
    Moving,
    /// Nothing contradicts the law, but what could is not here: the spool's ledger, or the spool where there was one. Not exit code 0.
    Unproven,
    /// The law does not hold.
    Broken,
}

impl Audit {
    /// `settled`: nothing moved while the figures were read.
    pub fn of(figures: &Figures, settled: bool) -> Self {
        let Figures { spool, cursor, undecodable, store } = *figures;
        // A power failure can take records off the disk that the store had already been given.
        let kept = spool.written.max(cursor);
        // A click in the spool is an answered one: a kill between record and count is set right at the next start, and here.
        let answered = spool.answered.max(kept + spool.dropped);
        let never_kept = answered - kept - spool.dropped;
        let unreadable = (kept - cursor).saturating_sub(spool.backlog);
        // A store emptied and begun again may count more than the cursor has passed since.
        let undecodable = undecodable.min(cursor);
        let mut audit = Self {
            answered,
            delivered: cursor - undecodable,
            backlog: spool.backlog,
            dropped: spool.dropped,
            lost: never_kept + unreadable + undecodable,
            rolled_up: store.rolled_up.saturating_sub(store.external),
            raw: store.raw,
            purged: store.purged,
            unlinked: store.unlinked,
            external: store.external,
            accepted_events: store.accepted_events,
            accepted_roll_ups: store.accepted_roll_ups,
            elsewhere: store.delivered.saturating_sub(cursor),
            spool: spool.state,
            verdict: Verdict::Broken,
        };
        audit.verdict = audit.judge(&store, settled);
        audit
    }

    fn judge(&self, store: &ClickLedger, settled: bool) -> Verdict {
        let everywhere = self.answered == self.delivered + self.backlog + self.dropped && self.lost == 0;
        // Of one moment by themselves: the store reads them in one transaction.
        let balanced = store.differences() == (store.accepted_events, store.accepted_roll_ups);
        match (balanced, everywhere, settled) {
            (false, _, _) => Verdict::Broken,
            (true, true, true) if self.spool == SpoolState::NoLedger => Verdict::Unproven,
            (true, true, true) => Verdict::Holds,
            (true, false, true) => Verdict::Broken,
            (true, _, false) => Verdict::Moving,
        }
    }

    /// `is_alone`: no other node has this database, so what was delivered from elsewhere came out of a spool that was here. `has_served`: a
    /// server ran on this directory, which made one.
    #[must_use]
    pub fn told(mut self, is_alone: bool, has_served: bool) -> Self {
        let had_spool = has_served || (is_alone && self.elsewhere > 0);
        if self.verdict == Verdict::Holds && self.spool == SpoolState::None && had_spool {
            self.verdict = Verdict::Unproven;
        }
        self
    }

    pub fn holds(&self) -> bool {
        self.verdict == Verdict::Holds
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole() -> Figures {
        let spool = SpoolFigures { answered: 110, dropped: 3, written: 107, backlog: 7, ..SpoolFigures::default() };
        let store =
            ClickLedger { delivered: 100, undecodable: 0, raw: 90, purged: 10, external: 5, rolled_up: 105, ..Default::default() };
        Figures { spool, cursor: 100, undecodable: 0, store }
    }

    type Judged = (Verdict, u64);

    fn verdict(change: impl Fn(&mut Figures)) -> Judged {
        let mut figures = whole();
        change(&mut figures);
        let audit = Audit::of(&figures, true);
        (audit.verdict, audit.lost)
    }

    #[test]
    fn the_law_holds_exactly_when_every_click_is_accounted_for() {
        use Verdict::{Broken, Holds};
        let table: [(&str, Judged, Judged); 17] = [
            ("everything is accounted for", verdict(|_| {}), (Holds, 0)),
            ("an empty node", verdict(|f| *f = Figures::default()), (Holds, 0)),
            ("killed between record and count", verdict(|f| f.spool.answered -= 2), (Holds, 0)),
            ("answered, and nowhere", verdict(|f| f.spool.answered += 1), (Broken, 1)),
            ("in the spool, but unreadable", verdict(|f| f.spool.backlog -= 2), (Broken, 2)),
            ("more in the spool than was written", verdict(|f| f.spool.backlog += 1), (Broken, 0)),
            (
                "delivered, but not decodable",
                verdict(|f| (f.undecodable, f.store.undecodable, f.store.raw, f.store.rolled_up) = (4, 4, 86, 101)),
                (Broken, 4),
            ),
            (
                "of a link that somebody removed",
                verdict(|f| (f.store.unlinked, f.store.raw, f.store.rolled_up) = (4, 86, 101)),
                (Holds, 0),
            ),
            ("delivered twice", verdict(|f| (f.store.raw, f.store.rolled_up) = (91, 106)), (Broken, 0)),
            ("delivered, but no event", verdict(|f| (f.store.raw, f.store.rolled_up) = (89, 104)), (Broken, 0)),
            ("rolled up twice", verdict(|f| f.store.rolled_up += 1), (Broken, 0)),
            ("not rolled up", verdict(|f| f.store.rolled_up -= 1), (Broken, 0)),
            (
                "events removed by hand, and accepted",
                verdict(|f| (f.store.raw, f.store.accepted_events, f.store.accepted_roll_ups) = (80, 10, 10)),
                (Holds, 0),
            ),
            (
                "more removed than was accepted",
                verdict(|f| (f.store.raw, f.store.accepted_events, f.store.accepted_roll_ups) = (79, 10, 10)),
                (Broken, 0),
            ),
            ("a loss is not accepted", verdict(|f| (f.spool.answered, f.store.accepted_events) = (111, 0)), (Broken, 1)),
            (
                "another node's clicks",
                verdict(|f| (f.store.delivered, f.store.raw, f.store.rolled_up) = (140, 130, 145)),
                (Holds, 0),
            ),
            (
                "another node's clicks, some of which could not be decoded",
                verdict(|f| (f.store.delivered, f.store.undecodable, f.store.raw, f.store.rolled_up) = (140, 4, 126, 141)),
                (Holds, 0),
            ),
        ];
        for (case, got, expected) in table {
            assert_eq!(got, expected, "{case}");
        }
    }

    #[test]
    fn a_power_failure_that_took_only_what_the_store_already_has_is_no_loss() {
        let mut figures = whole();
        figures.spool = SpoolFigures { answered: 103, dropped: 3, written: 95, ..SpoolFigures::default() };
        assert_eq!(Audit::of(&figures, true).verdict, Verdict::Holds);
        figures.spool.answered = 104;
        assert_eq!((Audit::of(&figures, true).verdict, Audit::of(&figures, true).lost), (Verdict::Broken, 1));
    }

    #[test]
    fn without_the_ledger_or_the_spool_that_clicks_came_from_nothing_is_proven() {
        let without_ledger = |figures: &mut Figures| {
            (figures.spool.state, figures.spool.answered, figures.spool.dropped) = (SpoolState::NoLedger, 0, 0);
        };
        assert_eq!(verdict(without_ledger), (Verdict::Unproven, 0));
        assert_eq!(verdict(|f| (without_ledger(f), f.spool.backlog -= 1).1), (Verdict::Broken, 1));
        let spool = SpoolFigures { state: SpoolState::None, ..SpoolFigures::default() };
        let gone = Figures { spool, cursor: 0, ..whole() };
        assert_eq!(Audit::of(&gone, true).verdict, Verdict::Holds, "they may be another node's");
        let told = |figures: &Figures, is_alone, has_served| Audit::of(figures, true).told(is_alone, has_served).verdict;
        assert_eq!(told(&gone, true, false), Verdict::Unproven);
        assert_eq!(told(&gone, false, false), Verdict::Holds);
        let nothing = Figures { spool, ..Figures::default() };
        assert_eq!((told(&nothing, true, false), told(&nothing, false, true)), (Verdict::Holds, Verdict::Unproven));
        assert_eq!(told(&whole(), true, true), Verdict::Holds);
    }

    #[test]
    fn figures_that_moved_prove_nothing_but_the_stores_own_are_judged_all_the_same() {
        assert_eq!(Audit::of(&whole(), false).verdict, Verdict::Moving);
        let mut figures = whole();
        figures.store.rolled_up += 1;
        assert_eq!(Audit::of(&figures, false).verdict, Verdict::Broken);
    }

    #[test]
    fn the_figures_add_up_for_a_reader_whatever_was_lost() {
        let mut figures = whole();
        (figures.spool.answered, figures.spool.backlog, figures.undecodable) = (112, 6, 4);
        let audit = Audit::of(&figures, true);
        assert_eq!(audit.lost, 2 + 1 + 4);
        assert_eq!(audit.answered, audit.delivered + audit.backlog + audit.dropped + audit.lost);
    }
}
