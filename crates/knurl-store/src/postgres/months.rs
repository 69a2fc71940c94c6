//! Months of clicks: each has a partition, so that retention drops it whole.
//!
//! Promised: a month gets its partition before clicks come in numbers, because clicks of one month make the next ones too; a click whose
//! month has none falls in the default partition, and moves when the month is made. Nothing here ever keeps a click from being delivered.

use std::{
    collections::BTreeSet,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use knurl_core::UnixMillis;

use super::{
    connection::{Tx, get},
    pool::Pool,
    sql,
};
use crate::store::Result;

/// Months made after the one that clicks came for.
const AHEAD: usize = 2;
/// Months one batch can ask for: a spool that waited for a year. More are a clock's that is broken.
const ASKED_MAX: usize = 12;
/// A reader locks every partition and its indexes, and the server's table of locks is small. Clicks of more months than these (ten years)
/// stay in the default partition.
const MONTHS_MAX: usize = 120;
/// Clicks that move from the default partition while everybody waits: a second's work at most. A month that has more stays where it is.
const STRAYS_MAX: i64 = 50_000;
/// For the locks that making a month takes: whoever asks for clicks meanwhile waits behind us.
const LOCK_WAIT: &str = "set local lock_timeout = '1s'";
/// After a month could not be made.
const RETRY: Duration = Duration::from_secs(60);

/// A month of the calendar, UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Month {
    year: i64,
    month: i64,
}

impl Month {
    pub(super) fn of(at: UnixMillis) -> Option<Self> {
        let text = (UnixMillis::MIN..=UnixMillis::MAX).contains(&at).then(|| at.to_csv())?;
        Self::parse(&text, '-')
    }

    /// `2026-11…` or, in the name of a table, `2026_11`.
    fn parse(text: &str, separator: char) -> Option<Self> {
        let (year, rest) = text.split_once(separator)?;
        Some(Self { year: year.parse().ok()?, month: rest.get(..2)?.parse().ok()? })
    }

    pub(super) fn of_table(name: &str) -> Option<Self> {
        Self::parse(name.strip_prefix("clicks_")?, '_')
    }

    pub(super) fn table(self) -> String {
        format!("clicks_{:04}_{:02}", self.year, self.month)
    }

    pub(super) fn next(self) -> Self {
        if self.month == 12 { Self { year: self.year + 1, month: 1 } } else { Self { month: self.month + 1, ..self } }
    }

    fn first(self) -> Option<i64> {
        UnixMillis::parse(&format!("{:04}-{:02}-01", self.year, self.month)).ok().map(|at| at.0)
    }

    /// First millisecond, and the first one after. `None` at the end of the calendar.
    pub(super) fn range(self) -> Option<(i64, i64)> {
        Some((self.first()?, self.next().first()?))
    }
}

/// What this process knows to be made, so that a batch asks nothing.
#[derive(Debug, Default)]
pub(super) struct Months {
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    settled: BTreeSet<Month>,
    not_before: Option<Instant>,
}

impl Months {
    /// Makes the months that these clicks and the ones after them need. A failure is logged: the clicks have the default partition.
    pub(super) async fn cover(&self, pool: &Pool, times: impl Iterator<Item = UnixMillis>) {
        for month in self.missing(times) {
            match pool.write(move |tx| Box::pin(make(tx, month))).await {
                Ok(()) => drop(self.lock().settled.insert(month)),
                Err(error) => {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        table = month.table(),
                        "a partition for a month of clicks could not be made; its clicks go to clicks_default until it can"
                    );
                    self.lock().not_before = Some(Instant::now() + RETRY);
                    return;
                }
            }
        }
    }

    /// The partition is gone, or about to go.
    pub(super) fn forget(&self, month: Month) {
        self.lock().settled.remove(&month);
    }

    fn missing(&self, times: impl Iterator<Item = UnixMillis>) -> Vec<Month> {
        let days: BTreeSet<i64> = times.map(UnixMillis::day).collect();
        let months: BTreeSet<Month> =
            days.into_iter().filter_map(|day| Month::of(UnixMillis(day.saturating_mul(knurl_core::time::DAY_MS)))).collect();
        let known = self.lock();
        if known.not_before.is_some_and(|not_before| Instant::now() < not_before) {
            return Vec::new();
        }
        let with_next = |month| std::iter::successors(Some(month), |month: &Month| Some(month.next())).take(1 + AHEAD);
        let wanted: BTreeSet<Month> = months.into_iter().take(ASKED_MAX).flat_map(with_next).collect();
        wanted.difference(&known.settled).copied().collect()
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where the month has no partition and may have one.
async fn make(tx: &Tx<'_>, month: Month) -> Result<()> {
    let Some((first, next)) = month.range() else {
        return Ok(());
    };
    tx.batch(LOCK_WAIT).await?;
    tx.execute(sql::MONTHS_LOCK, &[]).await?;
    let (there, retired) = (tables(tx, "clicks").await?, tables(tx, "clicks_gone").await?);
    if there.contains(&month) || retired.contains(&month) {
        return Ok(());
    }
    if there.len() >= MONTHS_MAX {
        tracing::warn!(months = there.len(), "there are as many months of clicks as may be; others stay in clicks_default");
        return Ok(());
    }
    let strays: i64 = get(&tx.row(sql::MONTH_STRAYS, &[&first, &next, &(STRAYS_MAX + 1)]).await?, 0)?;
    if strays > STRAYS_MAX {
        tracing::warn!(table = month.table(), "clicks_default has too many clicks of a month to move them; the month stays there");
        return Ok(());
    }
    tx.batch(&script(&month.table(), first, next)).await?;
    tracing::info!(table = month.table(), strays, "a month of clicks has its partition");
    Ok(())
}

/// The names are ours, the numbers are numbers. With the check, the month need not be read through when it is retired.
fn script(table: &str, first: i64, next: i64) -> String {
    format!(
        "lock table only clicks in share update exclusive mode; \
         lock table clicks_default in access exclusive mode; \
         create table {table} (like clicks including all, check (at >= {first} and at < {next})); \
         with strays as (delete from clicks_default where at >= {first} and at < {next} returning *) \
         insert into {table} (id, link_id, user_id, at, source, details) \
         select id, link_id, user_id, at, source, details from strays; \
         alter table clicks attach partition {table} for values from ({first}) to ({next})"
    )
}

/// Months that have a partition of this table, in order.
pub(super) async fn tables(tx: &Tx<'_>, whole: &str) -> Result<Vec<Month>> {
    let names = tx.rows(sql::MONTHS_OF, &[&whole]).await?;
    names.iter().filter_map(|row| get::<&str>(row, 0).map(Month::of_table).transpose()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn months_follow_each_other_without_a_gap_from_the_first_year_to_the_last() {
        let mut month = Month::of(UnixMillis::MIN).unwrap();
        let mut months = 1;
        while let Some((first, next)) = month.range() {
            assert_eq!((Month::of(UnixMillis(first)), Month::of(UnixMillis(next - 1))), (Some(month), Some(month)));
            assert_eq!(Month::of(UnixMillis(next)), Some(month.next()));
            assert_eq!(Month::of_table(&month.table()), Some(month));
            (month, months) = (month.next(), months + 1);
        }
        assert_eq!((months, Month::of(UnixMillis::MAX)), (12 * 10_000, Some(month)));
        assert_eq!((Month::of(UnixMillis(i64::MIN)), Month::of(UnixMillis(i64::MAX))), (None, None));
        assert_eq!((Month::of_table("clicks_default"), Month::of_table("links")), (None, None));
    }

    #[test]
    fn clicks_of_a_month_ask_for_it_and_the_next_two_until_they_are_known() {
        let months = Months::default();
        let at = |text| UnixMillis::parse(text).unwrap();
        let names =
            |times: &[UnixMillis]| -> Vec<String> { months.missing(times.iter().copied()).iter().map(|m| m.table()).collect() };
        let now = [at("2026-11-14 10:00:00"), at("2026-11-15 10:00:00")];
        assert_eq!(names(&now), ["clicks_2026_11", "clicks_2026_12", "clicks_2027_01"]);
        months.lock().settled.extend([Month { year: 2026, month: 11 }, Month { year: 2026, month: 12 }]);
        assert_eq!(names(&now), ["clicks_2027_01"]);
        months.forget(Month { year: 2026, month: 11 });
        assert_eq!(names(&now), ["clicks_2026_11", "clicks_2027_01"]);
        let broken_clock: Vec<_> = (0..1000).map(|n| UnixMillis(n * 2_678_400_000)).collect();
        assert_eq!(names(&broken_clock).len(), ASKED_MAX + AHEAD);
        assert!(names(&[UnixMillis(i64::MIN), UnixMillis(i64::MAX)]).is_empty());
        months.lock().not_before = Some(Instant::now() + RETRY);
        assert!(names(&now).is_empty(), "after a failure it waits");
    }
}
