//! Feels whether the server is there, writes, and answers; the only one that tries while it is not.

use std::{error::Error as StdError, sync::Arc, time::Duration};

use tokio::time::{sleep, timeout};

use super::{
    connection::Connection,
    failure::unavailable,
    migrate,
    pool::{Inner, Reach},
};
use crate::{StoreError, store::Result};

/// Between two beats while all is well.
const BEAT: Duration = Duration::from_millis(500);
/// Between two attempts while the server is away: doubles, less up to half of it by chance, so that nodes do not come back together.
const PAUSE_MIN: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// Until aborted. `migrated`: the schema is known to be ours, and the database the one to work with.
pub(super) async fn run(inner: Arc<Inner>, mut migrated: bool) {
    let mut connection = None;
    let mut failures = 0;
    loop {
        if failures == 0 {
            tokio::select! {
                () = sleep(BEAT) => {}
                () = inner.alarm.notified() => {}
            }
        } else {
            sleep(pause(failures, rand::random())).await;
        }
        match beat(&inner, &mut connection, &mut migrated).await {
            Ok(()) => {
                if failures > 0 {
                    tracing::info!(failures, "PostgreSQL is back");
                }
                failures = 0;
                inner.turn(Reach::Up);
            }
            Err(error) => {
                connection = None;
                inner.turn(Reach::Away);
                inner.cut_all();
                log(&error, failures);
                failures = failures.saturating_add(1);
            }
        }
    }
}

async fn beat(inner: &Inner, connection: &mut Option<Connection>, migrated: &mut bool) -> Result<()> {
    let hung_after = inner.options.hung_after;
    let ours = match connection.take().filter(Connection::is_usable) {
        Some(ours) => ours,
        None => inner.connector.connect(hung_after).await?,
    };
    if !*migrated {
        migrate::make_ready(&inner.connector, &inner.options).await?;
        *migrated = true;
    }
    let answer = timeout(hung_after, ours.client.simple_query("show transaction_read_only")).await;
    let answer = answer.map_err(|_| unavailable("PostgreSQL hangs"))?.map_err(super::failure::store_error)?;
    let reads_only =
        answer.iter().any(|message| matches!(message, tokio_postgres::SimpleQueryMessage::Row(row) if row.get(0) == Some("on")));
    if reads_only {
        return Err(unavailable("PostgreSQL only reads: it has become a standby"));
    }
    *connection = Some(ours);
    Ok(())
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
    fn attempts_come_less_and_less_often_but_never_less_often_than_the_bound() {
        for (failures, full_ms) in [(1, 100), (3, 400), (5, 1000), (u32::MAX, 1000)] {
            assert_eq!(pause(failures, 0), Duration::from_millis(full_ms));
            assert_eq!(pause(failures, u32::MAX), Duration::from_millis(full_ms / 2));
        }
    }
}
