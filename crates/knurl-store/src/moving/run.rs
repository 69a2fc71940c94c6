//! A move from its beginning to the switch.
//!
//! The old database is looked at in rounds. A round is one moment of it: first what was noted as changed is brought over, so that the two
//! are the same but for what was never compared; then pieces are compared in this same moment, and mended where they differ. So a piece
//! that is seen to be equal stays known as equal until a note falls into it, and the last round, under the fence, has little left to do.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use futures_util::future::join;

use super::{
    Into, IntoState, Note, Out, OutState, PAGE_ROWS, Part, Side, TOGETHER_ROWS_MAX,
    judge::{Verdict, judge, objection},
    ledger::Ledger,
    release,
    row::{Changes, Lead, Row, Span, Tally, complete_up_to, cut},
};
use crate::{StoreError, store::Result};

/// How a move goes about it. The defaults are production's.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Rows compared, and written in one transaction, at a time.
    pub page_rows: usize,
    /// A moment of the old database is looked at for so long, after what has changed since the one before: it keeps what it has overwritten meanwhile.
    pub round_time: Duration,
    /// When a round brought no more changes than these, the next one takes a moment: it may be the last.
    pub few_notes: usize,
    /// Rounds in which changes have to get few. Then the fence is put up all the same: it ends them.
    pub settling_rounds_max: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self { page_rows: PAGE_ROWS, round_time: Duration::from_secs(5), few_notes: 2_000, settling_rounds_max: 60 }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Everything goes on.
    Copying,
    /// Clicks wait in their spools.
    Settling,
    /// Creates and edits are refused.
    Fenced,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    pub phase: Phase,
    pub part: Part,
    /// Rows compared for the first time.
    pub rows: u64,
    /// About as many as there are.
    pub rows_total: u64,
}

/// A move that is complete.
#[derive(Clone, Debug, Default)]
pub struct Moved {
    /// It was complete before: nothing was done now, or only the last step.
    pub already: bool,
    /// Of both sides: they were compared.
    pub parts: Vec<(Part, Tally)>,
    /// Rows written to the new database.
    pub written: u64,
    /// Changes that were brought over while they were made.
    pub noted: u64,
    /// How long clicks waited in their spools, the fence included.
    pub settling: Duration,
    /// How long creates and edits were refused.
    pub fenced: Duration,
}

/// Moves. An error leaves the old database live, without a fence where it can be reached.
pub async fn run(
    from: &mut dyn Side,
    to: &mut dyn Side,
    settings: &Settings,
    watch: &mut (dyn FnMut(Progress) + Send),
) -> Result<Moved> {
    let (from_stands, to_stands) = (from.standing().await?, to.standing().await?);
    let id = match judge(&from_stands, &to_stands, (&from.place(), &to.place()))? {
        Verdict::Done => return Ok(Moved { already: true, ..Moved::default() }),
        Verdict::OnlySwitch => {
            let id = from_stands.out.map(|out| out.id).unwrap_or_default();
            to.stand_in(&Into { id, from: from.place(), state: IntoState::Live }).await?;
            return Ok(Moved { already: true, ..Moved::default() });
        }
        Verdict::Copy { goes_on: true } => from_stands.out.map(|out| out.id),
        Verdict::Copy { goes_on: false } => None,
    };
    let id = id.unwrap_or_else(|| format!("{:032x}", rand::random::<u128>()));
    let mut mover = Mover {
        out: Out { id: id.clone(), to: to.place(), state: OutState::Copying },
        into: Into { id, from: from.place(), state: IntoState::Copying },
        from,
        to,
        settings,
        watch,
        ledgers: Part::all().map(|part| (part, Ledger::default())).collect(),
        progress: Progress { phase: Phase::Copying, part: Part::Users, rows: 0, rows_total: 0 },
        moved: Moved::default(),
    };
    let done = mover.work().await;
    let Mover { from, moved, .. } = mover;
    match done {
        Ok(()) => Ok(moved),
        Err(error) => {
            // What went wrong is what matters; a database that cannot be reached keeps its fence, and says so to whoever asks.
            let _ = release(from).await;
            Err(error)
        }
    }
}

struct Mover<'m> {
    out: Out,
    into: Into,
    from: &'m mut dyn Side,
    to: &'m mut dyn Side,
    settings: &'m Settings,
    watch: &'m mut (dyn FnMut(Progress) + Send),
    ledgers: BTreeMap<Part, Ledger>,
    progress: Progress,
    moved: Moved,
}

/// How often a piece, or a row, that differs after it was mended is mended again.
const MENDED_MAX: u32 = 3;
/// Notes read, and leads looked up, at a time.
const NOTES_PAGE: usize = 1024;

impl Mover<'_> {
    async fn work(&mut self) -> Result<()> {
        self.stand(OutState::Copying).await?;
        self.to.stand_in(&self.into).await?;
        self.progress.rows_total = self.from.counts().await?.iter().map(|(_, rows)| rows).sum();
        while self.ledgers.iter().any(|(part, ledger)| is_noted(*part) && ledger.frontier().is_some()) {
            self.round(Some(self.settings.round_time)).await?;
        }
        let settling = Instant::now();
        self.progress.phase = Phase::Settling;
        self.stand(OutState::Settling).await?;
        for _ in 0..self.settings.settling_rounds_max {
            let notes = self.round(Some(self.settings.round_time)).await?;
            if self.open() == 0 && notes <= self.settings.few_notes {
                break;
            }
        }
        let fenced = Instant::now();
        self.progress.phase = Phase::Fenced;
        self.stand(OutState::Fenced).await?;
        self.last_round().await?;
        self.moved.parts = self.ledgers.iter().map(|(part, ledger)| (*part, ledger.tally())).collect();
        // In this order: at no instant are both live.
        self.stand(OutState::Moved).await?;
        self.to.stand_in(&Into { state: IntoState::Live, ..self.into.clone() }).await?;
        (self.moved.settling, self.moved.fenced) = (settling.elapsed(), fenced.elapsed());
        Ok(())
    }

    async fn stand(&mut self, state: OutState) -> Result<()> {
        self.out.state = state;
        self.from.stand_out(Some(&self.out)).await
    }

    /// One moment of the old database. Returns how many changes it brought.
    async fn round(&mut self, time: Option<Duration>) -> Result<usize> {
        self.from.begin_look().await?;
        let seen = self.look(time).await;
        self.from.end_look().await?;
        let notes = seen?;
        self.from.forget_notes(&notes).await?;
        self.moved.noted += notes.len() as u64;
        Ok(notes.len())
    }

    async fn look(&mut self, time: Option<Duration>) -> Result<Vec<Note>> {
        let mut all = Vec::new();
        loop {
            let notes = self.from.notes(NOTES_PAGE).await?;
            if notes.is_empty() {
                break;
            }
            self.bring(&notes).await?;
            all.extend(notes);
        }
        // From here: a round whose changes took all of its time would bring the copy no further, and the next one has as many.
        let until = time.map(|time| Instant::now() + time);
        for part in Part::NOTED {
            self.compare(part, until).await?;
        }
        Ok(all)
    }

    /// Nothing is written any more: everything is made the same, and seen to be.
    async fn last_round(&mut self) -> Result<()> {
        self.round(None).await?;
        self.from.begin_look().await?;
        let same = self.make_same().await;
        self.from.end_look().await?;
        same
    }

    async fn make_same(&mut self) -> Result<()> {
        for part in Part::LAST {
            self.compare(part, None).await?;
        }
        for _ in 0..MENDED_MAX {
            for part in Part::all().filter(|part| self.ledgers[part].open() > 0).collect::<Vec<_>>() {
                self.compare(part, None).await?;
            }
        }
        if let Some((part, _)) = self.ledgers.iter().find(|(_, ledger)| ledger.open() > 0) {
            return Err(StoreError::Corrupt(format!("{} differ after they were copied", part.name())));
        }
        for side in [&mut *self.from, &mut *self.to] {
            for (part, rows) in side.counts().await? {
                let compared = self.ledgers[&part].tally().rows;
                if rows != compared {
                    let (place, name) = (side.place(), part.name());
                    return Err(StoreError::Corrupt(format!("{place} has {rows} {name}, and {compared} were compared")));
                }
            }
        }
        Ok(())
    }

    fn open(&self) -> usize {
        self.ledgers.values().map(Ledger::open).sum()
    }

    /// Rows that were noted as changed, as they are at this moment.
    async fn bring(&mut self, notes: &[Note]) -> Result<()> {
        let mut leads: BTreeMap<Part, Vec<Lead>> = BTreeMap::new();
        notes.iter().for_each(|note| leads.entry(note.part).or_default().push(note.lead));
        for (part, mut leads) in leads {
            if leads.iter().any(|lead| lead.a == i64::MIN) {
                // Every row of it went at once.
                self.ledger(part).reopen_all();
                leads.retain(|lead| lead.a != i64::MIN);
            }
            self.bring_rows(part, leads).await?;
        }
        Ok(())
    }

    async fn bring_rows(&mut self, part: Part, mut leads: Vec<Lead>) -> Result<()> {
        let mut times: BTreeMap<Lead, u32> = BTreeMap::new();
        while !leads.is_empty() {
            leads.sort_unstable();
            leads.dedup();
            // A row makes way once, and for itself where it is written again. One that goes on doing so is not kept as it is written: its
            // piece stays open, and the last comparison says so.
            leads.retain(|lead| {
                let times = times.entry(*lead).or_default();
                *times += 1;
                *times <= MENDED_MAX
            });
            leads.iter().for_each(|lead| self.ledger(part).reopen(*lead));
            let (ours, theirs) = (self.from.rows_at(part, &leads).await?, self.to.rows_at(part, &leads).await?);
            // A row that had to make way comes again by what it is called now.
            leads = self.change(part, Changes::between(part, ours, theirs)).await?;
        }
        Ok(())
    }

    /// What was never compared, then what has to be again, until the time is up.
    async fn compare(&mut self, part: Part, until: Option<Instant>) -> Result<()> {
        let is_late = || until.is_some_and(|until| Instant::now() >= until);
        let mut ahead = None;
        while let Some(after) = self.ledgers[&part].frontier() {
            if is_late() {
                return Ok(());
            }
            let span = Span { after, ..Span::WHOLE };
            let ours = match ahead.take() {
                Some(ours) => ours,
                None => self.from.rows(part, span, self.settings.page_rows).await?,
            };
            let (to, rows, equal) = self.piece(part, span, ours, Some(&mut ahead)).await?;
            self.ledger(part).push(Span { after, to }, equal);
            self.tell(part, rows);
        }
        let mut at = 0;
        while let Some((open, span)) = self.ledgers[&part].next_open(at) {
            if is_late() {
                return Ok(());
            }
            let ours = self.from.rows(part, span, self.settings.page_rows).await?;
            let (to, _, equal) = self.piece(part, span, ours, None).await?;
            self.ledger(part).settle(open, to, equal);
            self.tell(part, 0);
            at = open + 1;
        }
        Ok(())
    }

    /// Compares the beginning of a span, as much of it as a page holds on both sides, and mends what differs. Says how far it went, how many
    /// rows that are, and what they are where nothing had to be mended. While it mends, the old database's next page is read into `ahead`.
    async fn piece(
        &mut self,
        part: Part,
        span: Span,
        ours: Vec<Row>,
        ahead: Option<&mut Option<Vec<Row>>>,
    ) -> Result<(Lead, u64, Option<Tally>)> {
        let limit = self.settings.page_rows;
        let (mut ours, mut theirs) = (ours, self.to.rows(part, span, limit).await?);
        let ends = [complete_up_to(part, &ours, limit), complete_up_to(part, &theirs, limit)];
        let mut to = ends.into_iter().flatten().min().unwrap_or(span.to);
        if to <= span.after {
            // More belongs together than a page holds.
            to = [&ours, &theirs]
                .into_iter()
                .filter_map(|rows| rows.first())
                .map(|row| Lead::of(part, row))
                .min()
                .unwrap_or(span.to);
            let together = Span { to, ..span };
            (ours, theirs) =
                (self.from.rows(part, together, TOGETHER_ROWS_MAX).await?, self.to.rows(part, together, TOGETHER_ROWS_MAX).await?);
        }
        cut(part, &mut ours, to);
        cut(part, &mut theirs, to);
        let rows = ours.len() as u64;
        if ours == theirs {
            let (ours, theirs) = (Tally::of(&ours), Tally::of(&theirs));
            return Ok((to, rows, (ours == theirs).then_some(ours)));
        }
        let changes = Changes::between(part, ours, theirs);
        self.refuse_objections(part, &changes)?;
        self.moved.written += changes.len() as u64;
        let displaced = match ahead.filter(|_| to < span.to) {
            Some(ahead) => {
                let next = Span { after: to, ..span };
                let (changed, read) = join(self.to.change(part, changes), self.from.rows(part, next, limit)).await;
                *ahead = Some(read?);
                changed?
            }
            None => self.to.change(part, changes).await?,
        };
        self.bring_rows(part, displaced).await?;
        Ok((to, rows, None))
    }

    async fn change(&mut self, part: Part, changes: Changes) -> Result<Vec<Lead>> {
        if changes.is_empty() {
            return Ok(Vec::new());
        }
        self.refuse_objections(part, &changes)?;
        self.moved.written += changes.len() as u64;
        self.to.change(part, changes).await
    }

    fn refuse_objections(&self, part: Part, changes: &Changes) -> Result<()> {
        let rows = changes.new.iter().chain(&changes.changed);
        match rows.into_iter().find_map(|row| Some((row, self.to.objection(part, row)?))) {
            Some((row, why)) => Err(StoreError::Refused(format!(
                "{} cannot keep {}; `knurl move --dry-run` names all of them",
                self.to.place(),
                objection(part, row, why)
            ))),
            None => Ok(()),
        }
    }

    fn ledger(&mut self, part: Part) -> &mut Ledger {
        self.ledgers.entry(part).or_default()
    }

    fn tell(&mut self, part: Part, rows: u64) {
        self.progress.part = part;
        self.progress.rows += rows;
        (self.watch)(self.progress);
    }
}

fn is_noted(part: Part) -> bool {
    Part::NOTED.contains(&part)
}
