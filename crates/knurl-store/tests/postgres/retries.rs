//! Transactions that the server undoes for another one's sake: they are done again, within a budget.

use crate::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_that_loses_a_deadlock_is_done_again() {
    let server = Postgres::start().unwrap();
    let store = PostgresStore::open(&options(&server.url())).await.unwrap();
    let ada = user(&store, "ada").await;
    let link = store.create_link(NewLink { owner: Some(ada), ..new_link("abc") }, NOW).await.unwrap();
    let other = session(&server).await;
    // It never looks for deadlocks itself, so ours finds this one, and loses.
    let lock_link = format!("set deadlock_timeout = '100s'; begin; select * from links where id = {} for update", link.id.0);
    other.batch_execute(&lock_link).await.unwrap();
    let deleted = tokio::spawn({
        let store = store.clone();
        async move { store.delete_user(ada, NOW).await }
    });
    // It holds the user and waits for the link.
    until(|| {
        server.sql("select count(*) from pg_stat_activity where application_name = 'knurl' and wait_event_type = 'Lock'").unwrap()
            == "1"
    })
    .await;
    let lock_user = format!("select * from users where id = {} for update", ada.0);
    tokio::time::timeout(NEVER, other.batch_execute(&lock_user)).await.expect("a deadlock that nobody ends").unwrap();
    assert_eq!(server.sql("select deadlocks from pg_stat_database where datname = 'knurl'").unwrap(), "1");
    other.batch_execute("commit").await.unwrap();
    let codes = deleted.await.unwrap().unwrap().unwrap();
    assert_eq!(codes.len(), 1);
    assert_eq!((store.user(ada).await.unwrap(), find(&store, "abc").await.unwrap()), (None, None));
    assert_eq!(server.sql("select count(*) from events where event_type = 'deleted'").unwrap(), "1", "done once");
}

/// Makes every write of a link fail with `code`, so often; a sequence forgets nothing when a transaction is undone.
fn refuse(server: &Postgres, code: &str, times: u32) {
    server
        .sql(&format!(
            "drop trigger if exists refuse on links; drop function if exists refuse; drop sequence if exists tries; \
             create sequence tries; \
             create function refuse() returns trigger language plpgsql as $$ \
             begin if nextval('tries') <= {times} then raise exception 'not now' using errcode = '{code}'; end if; return new; end $$; \
             create trigger refuse before insert or update on links for each row execute function refuse()"
        ))
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn serialization_failures_and_deadlocks_are_tried_again_until_the_budget_is_spent() {
    let server = Postgres::start().unwrap();
    let store = PostgresStore::open(&options(&server.url())).await.unwrap();
    let link = create(&store, "abc").await.unwrap();
    let tries = || server.sql("select last_value from tries").unwrap().parse::<u32>().unwrap();
    let patch = |title: &str| LinkPatch { is_active: Some(title == "on"), ..Default::default() };
    for code in ["40001", "40P01"] {
        refuse(&server, code, 3);
        create(&store, &format!("a{code}")).await.unwrap();
        assert_eq!(tries(), 4, "{code}: three times undone, then done");
        refuse(&server, code, 3);
        create_once(&store, &format!("b{code}")).await.unwrap();
        assert_eq!(tries(), 4, "{code}");
        refuse(&server, code, 3);
        store.update_link(link.id, patch(if code == "40001" { "off" } else { "on" }), NOW).await.unwrap().unwrap();
        assert_eq!(tries(), 4, "{code}");
    }
    // Without an end: told as what may be tried later, and nothing was done.
    refuse(&server, "40001", 1_000_000);
    assert!(is_unavailable(&create(&store, "never").await));
    assert!(tries() > 4);
    assert!(is_unavailable(&create_once(&store, "never-once").await));
    assert!(is_unavailable(&store.update_link(link.id, patch("off"), NOW).await));
    assert!(store.is_up());
    // Any other refusal is told at once.
    refuse(&server, "23514", 1);
    assert!(matches!(create(&store, "wrong").await, Err(StoreError::Internal(_))));
    assert_eq!(tries(), 1);
    create(&store, "right").await.unwrap();
    assert_eq!(server.sql("select count(*) from links").unwrap(), "6");
    assert_eq!(server.sql("select count(*) from events where event_type = 'created'").unwrap(), "6");
}
