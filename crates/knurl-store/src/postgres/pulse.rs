//! Feels whether the server is there, writes, and answers; the only one that tries while it is not.
//!
//! Promised: a server that lives and only refuses the pulse a new connection (no slot is free, the password was changed) is felt through a
//! connection that is open: those that work are not cut for the sake of one that cannot be made.

use std::{error::Error as StdError, future::Future, sync::Arc, time::Duration};

use tokio::time::{Instant, sleep, timeout};
use tokio_postgres::SimpleQueryMessage;

use super::{
    connection::Connection,
    failure::{says_refused, store_error, unavailable},
    migrate,
    pool::{Inner, Reach},
};
use crate::{StoreError, store::Result};

/// Between two beats while all is well.
const BEAT: Duration = Duration::from_millis(500);
/// Between two attempts while the server is away: doubles, less up to half of it by chance, so that nodes do not come back together.
const PAUSE_MIN: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// A server that owes an answer and gives none to anybody for so long is silent, unless it was slower than that lately. With 30 ms, machines
/// that had too much to do were taken for dead ones all day.
const PATIENCE_MIN: Duration = Duration::from_millis(200);
/// Waited in so many parts: where this machine is so busy that we come late ourselves, what has come meanwhile is seen in the next part.
const PATIENCE_PARTS: u32 = 6;
/// So often the slowest answer of late.
const PATIENCE_OF_LATE: u32 = 4;
const HALF_FORGOTTEN_IN: Duration = Duration::from_secs(300);

/// Where all connections are at work: how often it is looked whether one of them was answered.
const HEAR_EVERY: Duration = Duration::from_millis(10);

/// How long the server took to say next to nothing, lately: the slowest, of which half is forgotten in [`HALF_FORGOTTEN_IN`]. Whoever
/// shares a machine with too much else answers late now and then, and is not silent: it is taken for that once, and not every few seconds.
#[derive(Clone, Copy, Debug)]
struct Lately {
    slowest: Duration,
    at: Instant,
}

impl Lately {
    fn new(at: Instant) -> Self {
        Self { slowest: Duration::ZERO, at }
    }

    fn took(&mut self, took: Duration, at: Instant) {
        let halves = (at - self.at).as_secs_f64() / HALF_FORGOTTEN_IN.as_secs_f64();
        *self = Self { slowest: took.max(self.slowest.mul_f64((-halves).exp2())), at };
    }

    fn patience(self) -> Duration {
        PATIENCE_MIN.max(self.slowest.saturating_mul(PATIENCE_OF_LATE))
    }
}

/// Until aborted. `migrated`: the schema is known to be ours, and the database the one to work with.
pub(super) async fn run(inner: Arc<Inner>, mut migrated: bool) {
    let mut connection = None;
    let mut failures = 0;
    let mut lately = Lately::new(Instant::now());
    let mut is_guest = false;
    // At once: without a connection of its own it would hear too late that the server is silent.
    inner.alarm.notify_one();
    loop {
        if failures == 0 {
            tokio::select! {
                () = sleep(BEAT) => {}
                () = inner.alarm.notified() => {}
                () = inner.doubt.notified() => {}
            }
        } else {
            sleep(pause(failures, rand::random())).await;
        }
        match beat(&inner, &mut connection, &mut migrated, &mut lately).await {
            Ok(felt) => {
                if let Felt::ByAnother(refusal) = &felt
                    && !is_guest
                {
                    tracing::warn!(
                        error = refusal as &dyn StdError,
                        "PostgreSQL refuses a new connection: the ones there are go on, and no other can be opened"
                    );
                }
                is_guest = matches!(felt, Felt::ByAnother(_));
                if failures > 0 {
                    tracing::info!(failures, "PostgreSQL is back");
                }
                failures = 0;
                inner.turn(Reach::Up);
                inner.fall_silent(false);
            }
            Err(error) => {
                (connection, is_guest) = (None, false);
                inner.turn(Reach::Away);
                inner.cut_all();
                // Whoever asks from now on is refused by the reach.
                inner.fall_silent(false);
                log(&error, failures);
                failures = failures.saturating_add(1);
            }
        }
    }
}

/// Through which connection.
enum Felt {
    Ours,
    /// The server would not have another one of ours, and said why.
    ByAnother(StoreError),
}

async fn beat(inner: &Inner, connection: &mut Option<Connection>, migrated: &mut bool, lately: &mut Lately) -> Result<Felt> {
    let ours = match connection.take().filter(Connection::is_usable) {
        Some(ours) => ours,
        // Not listened to: of several hosts the first ones may be dead, which takes its time.
        None => match inner.connector.connect(inner.options.hung_after).await {
            Ok(ours) => ours,
            Err(refusal) if *migrated && says_refused(&refusal) => return feel_by_another(inner, lately, refusal).await,
            Err(error) => return Err(error),
        },
    };
    if !*migrated {
        migrate::make_ready(&inner.connector, &inner.options, migrate::PATIENT).await?;
        *migrated = true;
    }
    refuse_unless_writing(&ask(inner, &ours, lately).await?)?;
    *connection = Some(ours);
    Ok(Felt::Ours)
}

/// Whoever refuses a connection is alive; whether it writes, and is the one that the others are connected to, is asked through one of them.
async fn feel_by_another(inner: &Inner, lately: &mut Lately, refusal: StoreError) -> Result<Felt> {
    let before = inner.connector.answers();
    let is_heard = || inner.connector.answers() != before;
    match inner.lend_open() {
        Some(open) => match ask(inner, &open, lately).await {
            Ok(answer) => refuse_unless_writing(&answer)?,
            // This one waits, behind others' questions or with its session ended, and another was answered.
            Err(_) if is_heard() => {}
            Err(error) => return Err(error),
        },
        // All of them are at work, or there are none.
        None => {
            let until = Instant::now() + inner.options.hung_after;
            while !is_heard() {
                if !inner.is_any_open() || Instant::now() >= until {
                    return Err(refusal);
                }
                sleep(HEAR_EVERY).await;
            }
        }
    }
    Ok(Felt::ByAnother(refusal))
}

async fn ask(inner: &Inner, connection: &Connection, lately: &mut Lately) -> Result<Vec<SimpleQueryMessage>> {
    let asked = Instant::now();
    let answer = timeout(inner.options.hung_after, connection.client.simple_query("show transaction_read_only"));
    let answer = listen(inner, lately.patience(), answer).await;
    let answer = answer.map_err(|_| unavailable("PostgreSQL hangs"))?.map_err(store_error)?;
    let answered = Instant::now();
    lately.took(answered - asked, answered);
    Ok(answer)
}

fn refuse_unless_writing(answer: &[SimpleQueryMessage]) -> Result<()> {
    if answer.iter().any(|message| matches!(message, SimpleQueryMessage::Row(row) if row.get(0) == Some("on"))) {
        return Err(unavailable("PostgreSQL only reads: it has become a standby"));
    }
    Ok(())
}

/// Waits for the answer, and says so where the server answers nobody meanwhile.
async fn listen<T>(inner: &Inner, patience: Duration, answer: impl Future<Output = T>) -> T {
    let mut answer = std::pin::pin!(answer);
    let (mut part, mut answers) = (0, inner.connector.answers());
    while part < PATIENCE_PARTS {
        if let Ok(answer) = timeout(patience / PATIENCE_PARTS, &mut answer).await {
            return answer;
        }
        let now = inner.connector.answers();
        part = if now == answers { part + 1 } else { 0 };
        answers = now;
    }
    tracing::warn!(patience_ms = patience.as_millis(), "PostgreSQL answers nobody: creates are refused until it does");
    inner.fall_silent(true);
    answer.await
}

fn log(error: &StoreError, failures: u32) {
    match error {
        StoreError::Unavailable(_) if failures == 0 => {
            tracing::warn!(error = error as &dyn StdError, "PostgreSQL is away: calls fail at once until it is back");
        }
        StoreError::Unavailable(_) => {}
        // A schema that is too new, or not ours: it does not pass by itself.
        _ => tracing::error!(error = error as &dyn StdError, "PostgreSQL is there and cannot be used"),
    }
}

fn pause(failures: u32, chance: u32) -> Duration {
    let full = PAUSE_MIN.saturating_mul(1_u32.checked_shl(failures.min(16)).unwrap_or(u32::MAX)).min(PAUSE_MAX);
    full - full.mul_f64(f64::from(chance) / f64::from(u32::MAX) / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patience_grows_at_once_with_a_slow_answer_and_is_as_ever_minutes_later() {
        let (began, fast) = (Instant::now(), Duration::from_micros(200));
        let mut lately = Lately::new(began);
        lately.took(fast, began);
        assert_eq!(lately.patience(), PATIENCE_MIN);
        lately.took(Duration::from_millis(200), began);
        assert_eq!(lately.patience(), Duration::from_millis(800));
        // However often it is asked meanwhile.
        (1..=600).for_each(|part| lately.took(fast, began + HALF_FORGOTTEN_IN / 600 * part));
        let halved = lately.patience().as_millis();
        assert!((399..=401).contains(&halved), "{lately:?}");
        lately.took(fast, began + HALF_FORGOTTEN_IN * 10);
        assert_eq!(lately.patience(), PATIENCE_MIN);
    }

    #[test]
    fn attempts_come_less_and_less_often_but_never_less_often_than_the_bound() {
        for (failures, full_ms) in [(1, 100), (3, 400), (5, 1000), (u32::MAX, 1000)] {
            assert_eq!(pause(failures, 0), Duration::from_millis(full_ms));
            assert_eq!(pause(failures, u32::MAX), Duration::from_millis(full_ms / 2));
        }
    }
}
