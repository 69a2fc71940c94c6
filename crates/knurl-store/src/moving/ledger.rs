//! Which pieces of a part are known to be the same on both sides, and which have to be looked at.

use super::row::{Lead, Span, Tally};

/// The rows of a span, as they were when both sides were compared.
#[derive(Clone, Copy, Debug)]
struct Piece {
    span: Span,
    /// `None`: changed since, or never seen to be equal.
    equal: Option<Tally>,
}

/// Of one part: pieces that follow each other without a gap from the first lead on.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    pieces: Vec<Piece>,
    open: usize,
}

impl Ledger {
    /// What has never been looked at begins after this. `None`: all of it has been.
    pub(super) fn frontier(&self) -> Option<Lead> {
        match self.pieces.last() {
            None => Some(Lead::FIRST),
            Some(piece) if piece.span.to == Lead::LAST => None,
            Some(piece) => Some(piece.span.to),
        }
    }

    pub(super) fn push(&mut self, span: Span, equal: Option<Tally>) {
        self.open += usize::from(equal.is_none());
        self.pieces.push(Piece { span, equal });
    }

    /// Pieces that are not known to be equal.
    pub(super) fn open(&self) -> usize {
        self.open
    }

    /// The first of them from here on.
    pub(super) fn next_open(&self, from: usize) -> Option<(usize, Span)> {
        let pieces = self.pieces.iter().enumerate().skip(from);
        pieces.into_iter().find(|(_, piece)| piece.equal.is_none()).map(|(at, piece)| (at, piece.span))
    }

    /// A piece was looked at, as far as `to`: what is left of it is a piece of its own, and open.
    pub(super) fn settle(&mut self, at: usize, to: Lead, equal: Option<Tally>) {
        let whole = self.pieces[at].span;
        self.pieces[at] = Piece { span: Span { to, ..whole }, equal };
        self.open -= usize::from(equal.is_some());
        if to != whole.to {
            self.pieces.insert(at + 1, Piece { span: Span { after: to, ..whole }, equal: None });
            self.open += 1;
        }
    }

    /// A row changed.
    pub(super) fn reopen(&mut self, lead: Lead) {
        let at = self.pieces.partition_point(|piece| piece.span.to < lead);
        if let Some(piece) = self.pieces.get_mut(at) {
            self.open += usize::from(piece.equal.take().is_some());
        }
    }

    pub(super) fn reopen_all(&mut self) {
        self.pieces.iter_mut().for_each(|piece| piece.equal = None);
        self.open = self.pieces.len();
    }

    /// Of the pieces that are equal.
    pub(super) fn tally(&self) -> Tally {
        let mut tally = Tally::default();
        self.pieces.iter().filter_map(|piece| piece.equal.as_ref()).for_each(|equal| tally.add(equal));
        tally
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lead(a: i64) -> Lead {
        Lead { a, b: 0 }
    }

    #[test]
    fn a_change_opens_the_piece_it_falls_in_and_one_that_was_seen_half_is_two() {
        let mut ledger = Ledger::default();
        assert_eq!(ledger.frontier(), Some(Lead::FIRST));
        ledger.push(Span { after: Lead::FIRST, to: lead(10) }, Some(Tally::default()));
        ledger.push(Span { after: lead(10), to: lead(20) }, None);
        assert_eq!((ledger.frontier(), ledger.open()), (Some(lead(20)), 1));
        ledger.reopen(lead(25));
        assert_eq!(ledger.open(), 1, "what was never looked at is not open");
        ledger.push(Span { after: lead(20), to: Lead::LAST }, Some(Tally::default()));
        assert_eq!(ledger.frontier(), None);
        ledger.reopen(lead(10));
        ledger.reopen(lead(10));
        assert_eq!((ledger.open(), ledger.next_open(0).map(|(at, _)| at)), (2, Some(0)));
        ledger.settle(0, lead(10), Some(Tally::default()));
        assert_eq!(ledger.next_open(0), Some((1, Span { after: lead(10), to: lead(20) })));
        ledger.settle(1, lead(15), Some(Tally::default()));
        assert_eq!(ledger.next_open(0), Some((2, Span { after: lead(15), to: lead(20) })));
        ledger.settle(2, lead(20), None);
        assert_eq!(ledger.open(), 1);
        ledger.reopen_all();
        assert_eq!(ledger.open(), 4);
    }
}
