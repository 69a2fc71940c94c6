//! Creates that wait at the same time are one transaction's work. Counted by the server: every row says which transaction wrote it.

use std::sync::atomic::Ordering::Relaxed;

use crate::*;

const LANES: usize = 2;
const GROUP: usize = 100;
const WAITING: usize = 300;

#[tokio::test(flavor = "multi_thread")]
async fn creates_that_wait_together_are_committed_together() {
    let server = Postgres::start().unwrap();
    let bounds = PostgresOptions {
        create_lanes: LANES,
        group_max: GROUP,
        call_timeout: 10 * NEVER,
        lock_timeout: 10 * NEVER,
        ..options(&server.url())
    };
    let store = PostgresStore::open(&bounds).await.unwrap();
    let holder = session(&server).await;
    // Readers go on, and so does who prepares a statement.
    holder.batch_execute("begin; lock table links in exclusive mode").await.unwrap();
    let mut callers = JoinSet::new();
    let spawn = |callers: &mut JoinSet<Result<Link>>, name: String| {
        let store = store.clone();
        callers.spawn(async move { create(&store, &name).await })
    };
    // Each lane has one at work, who waits; all others wait for a lane.
    let at_work = "select count(*) from pg_stat_activity where application_name = 'knurl' and wait_event_type = 'Lock'";
    for lane in 1..=LANES {
        spawn(&mut callers, format!("first{lane}"));
        until(|| server.sql(at_work).unwrap() == lane.to_string()).await;
    }
    for n in 0..WAITING {
        spawn(&mut callers, format!("next{n}"));
    }
    let counters = store.create_counters();
    until(|| counters.queued.load(Relaxed) == WAITING).await;
    holder.batch_execute("commit").await.unwrap();
    let made = tokio::time::timeout(NEVER, callers.join_all()).await.expect("a create that never ends");
    assert_eq!(made.into_iter().map(Result::unwrap).count(), LANES + WAITING);

    let groups = LANES + WAITING / GROUP;
    let counted = "select count(*), count(distinct xmin::text) from links";
    assert_eq!(server.sql(counted).unwrap(), format!("{}|{groups}", LANES + WAITING));
    let of_events =
        "select count(*) from links l join events e on e.link_id = l.id and e.event_type = 'created' and e.xmin = l.xmin";
    assert_eq!(server.sql(of_events).unwrap(), (LANES + WAITING).to_string(), "each with its event");
    assert_eq!((counters.groups.load(Relaxed), counters.asked.load(Relaxed)), (groups as u64, (LANES + WAITING) as u64));
}
