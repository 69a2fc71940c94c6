//! A call that takes too long is ended by the server itself, and nothing of it is left there.

use knurl_core::{EventType, Page, event::NewEvent};
use knurl_store::LinkFilter;

use crate::*;

/// The server's code for a statement that it has ended because its time was up.
const ENDED_BY_THE_SERVER: &str = "57014";

#[derive(Clone, Copy, Debug)]
enum Call {
    Read,
    List,
    Create,
    CreateOnce,
    Edit,
    Event,
}

/// One of each way to a connection: shared, for long reads, of the lanes, for transactions.
const CALLS: [Call; 6] = [Call::Read, Call::List, Call::Create, Call::CreateOnce, Call::Edit, Call::Event];

impl Call {
    async fn of(self, store: &PostgresStore, link: &Link, turn: &str) -> Result<()> {
        let done = async {
            match self {
                Self::Read => find(store, "there").await.map(drop),
                Self::List => store.list_links(LinkFilter::default(), Page::first(10)).await.map(drop),
                Self::Create => create(store, &format!("alone{turn}")).await.map(drop),
                Self::CreateOnce => create_once(store, &format!("once{turn}")).await,
                Self::Edit => {
                    let patch = LinkPatch { title: Some(Some(turn.to_owned())), ..Default::default() };
                    store.update_link(link.id, patch, NOW).await.map(drop)
                }
                Self::Event => {
                    let event_type = EventType::parse("seen").unwrap();
                    store
                        .post_event(NewEvent { link_id: link.id, user_id: None, event_type, at: NOW, details: None })
                        .await
                        .map(drop)
                }
            }
        };
        tokio::time::timeout(NEVER, done).await.expect("a call that never ends")
    }
}

/// Nothing was done, and the server says why.
fn is_ended_by_the_server(told: &Result<()>) -> bool {
    let Err(error @ StoreError::Unavailable(_)) = told else {
        return false;
    };
    let mut chain = std::iter::successors(Some(error as &dyn std::error::Error), |error| error.source());
    error.is_transient() && chain.any(|error| error.to_string().contains(ENDED_BY_THE_SERVER))
}

fn in_a_second(server: &Postgres) -> PostgresOptions {
    let second = Duration::from_secs(1);
    // No lock is waited for any less long: it is the statement's time that is up.
    PostgresOptions { call_timeout: second, long_timeout: second, lock_timeout: 10 * NEVER, ..options(&server.url()) }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_somebody_has_locked_ends_every_call_in_its_time_and_leaves_nobody_waiting_in_the_server() {
    let server = Postgres::start().unwrap();
    let store = PostgresStore::open(&in_a_second(&server)).await.unwrap();
    let link = create(&store, "there").await.unwrap();
    for turn in ["a", "b"] {
        // Twice: there is more than one connection that is shared.
        for call in CALLS {
            call.of(&store, &link, turn).await.unwrap();
        }
    }
    let sessions = || server.sql("select pid from pg_stat_activity where application_name = 'knurl' order by pid").unwrap();
    let (sessions_before, counts) = (sessions(), store.counts().await.unwrap());
    assert!(sessions_before.lines().count() > 3, "{sessions_before}");

    let holder = session(&server).await;
    holder.batch_execute("begin; lock table links in access exclusive mode").await.unwrap();
    for call in CALLS {
        let told = call.of(&store, &link, "locked").await;
        assert!(is_ended_by_the_server(&told), "{call:?}: {told:?}");
        let waiting = server.sql("select count(*) from pg_locks where not granted").unwrap();
        assert_eq!(waiting, "0", "{call:?}: the lock is still held, and nobody waits for it any more");
    }
    assert_eq!(sessions(), sessions_before, "no session has done anything wrong: all of them are kept");
    // Together, on the connections that are shared too.
    let mut together = JoinSet::new();
    for n in 0..32 {
        let (store, link) = (store.clone(), link.clone());
        together.spawn(async move { CALLS[n % CALLS.len()].of(&store, &link, &n.to_string()).await });
    }
    let told = together.join_all().await;
    assert!(told.iter().all(|told| told.as_ref().is_err_and(StoreError::is_transient)), "{told:?}");
    until(|| server.sql("select count(*) from pg_locks where not granted").unwrap() == "0").await;
    assert!(store.is_up(), "the server answers");
    holder.batch_execute("rollback").await.unwrap();

    assert_eq!(store.counts().await.unwrap(), counts, "nothing was done");
    for call in CALLS {
        call.of(&store, &link, "c").await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_that_is_slow_by_itself_is_ended_by_the_server_and_undone() {
    let server = Postgres::start().unwrap();
    let store = PostgresStore::open(&in_a_second(&server)).await.unwrap();
    let link = create(&store, "there").await.unwrap();
    let slow = "create function slow() returns trigger language plpgsql as $$ begin perform pg_sleep(3600); return new; end $$; \
                create trigger slow before insert or update on links for each row execute function slow()";
    server.sql(slow).unwrap();
    for call in [Call::Create, Call::CreateOnce, Call::Edit] {
        let told = call.of(&store, &link, "slow").await;
        assert!(is_ended_by_the_server(&told), "{call:?}: {told:?}");
        let asleep = server.sql("select count(*) from pg_stat_activity where wait_event = 'PgSleep'").unwrap();
        assert_eq!(asleep, "0", "{call:?}: the server works on nothing that nobody waits for");
    }
    server.sql("drop trigger slow on links").unwrap();
    assert_eq!(server.sql("select count(*), count(title) from links").unwrap(), "1|0", "nothing was done");
    for call in CALLS {
        call.of(&store, &link, "again").await.unwrap();
    }
}
