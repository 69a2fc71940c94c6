//! A user whose row somebody holds (it is being deleted, with all its links): what becomes of everybody's creates meanwhile.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use knurl_core::{EventType, event::NewEvent};
use knurl_store::Reference;

use crate::*;

fn link_of(owner: UserId, code: &str) -> NewLink {
    NewLink { owner: Some(owner), ..new_link(code) }
}

async fn create_of(store: &PostgresStore, owner: UserId, code: &str) -> Result<Link> {
    tokio::time::timeout(NEVER, store.create_link(link_of(owner, code), NOW)).await.expect("a create that never ends")
}

async fn create_once_of(store: &PostgresStore, owner: UserId, code: &str) -> Result<()> {
    let mut id = [0; 32];
    id.iter_mut().zip(code.bytes()).for_each(|(to, from)| *to = from);
    let candidates = vec![Candidate { link: link_of(owner, code), spare_codes: Vec::new() }];
    let created = store.create_once(Once { id, fingerprint: [0; 32] }, candidates, NOW);
    tokio::time::timeout(NEVER, created).await.expect("a create that never ends").map(drop)
}

async fn hold(client: &tokio_postgres::Client, owner: UserId) {
    client.batch_execute(&format!("begin; select * from users where id = {} for update", owner.0)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_owner_whose_row_is_held_keeps_the_creates_of_no_other_owner_waiting() {
    let server = Postgres::start().unwrap();
    let store = PostgresStore::open(&options(&server.url())).await.unwrap();
    let (ada, ben) = (user(&store, "ada").await, user(&store, "ben").await);
    let holder = session(&server).await;
    let holder_pid: i32 = holder.query_one("select pg_backend_pid()", &[]).await.unwrap().get(0);
    hold(&holder, ada).await;
    // Clients that go on creating for her, whatever they are told.
    let over = Arc::new(AtomicBool::new(false));
    let mut adas = JoinSet::new();
    for client in 0..64 {
        let (store, over) = (store.clone(), over.clone());
        adas.spawn(async move {
            let mut told = Vec::new();
            for n in 0.. {
                let code = format!("ada{client}x{n}");
                let created = if client % 4 == 0 {
                    create_once_of(&store, ada, &code).await
                } else {
                    create_of(&store, ada, &code).await.map(drop)
                };
                let is_made = created.is_ok();
                told.push(created);
                if is_made || over.load(Ordering::Acquire) {
                    break;
                }
            }
            told
        });
    }
    let mut waiting_for_her = Vec::new();
    for n in 0..100 {
        create_of(&store, ben, &format!("ben{n}")).await.unwrap();
        create(&store, &format!("nobody{n}")).await.unwrap();
        create_once_of(&store, ben, &format!("once{n}")).await.unwrap();
        if n % 10 == 0 {
            let waiting = format!("select count(*) from pg_stat_activity where {holder_pid} = any(pg_blocking_pids(pid))");
            waiting_for_her.push(server.sql(&waiting).unwrap());
        }
    }
    assert!(waiting_for_her.iter().all(|waiting| waiting == "0"), "{waiting_for_her:?}");
    let links_of = |owner: UserId| server.sql(&format!("select count(*) from links where owner = {}", owner.0)).unwrap();
    assert_eq!((links_of(ada), links_of(ben)), ("0".to_owned(), "200".to_owned()));
    over.store(true, Ordering::Release);
    holder.batch_execute("rollback").await.unwrap();
    let told = adas.join_all().await;
    assert!(told.iter().flatten().all(|told| told.is_ok() || is_unavailable(told)), "{told:?}");
    let made = told.iter().flatten().filter(|told| told.is_ok()).count();
    assert!(made > 0, "somebody was waiting");
    create_of(&store, ada, "afterwards").await.unwrap();
    create_once_of(&store, ada, "afterwards-once").await.unwrap();
    assert_eq!(links_of(ada), (made + 2).to_string());
    let counts = store.counts().await.unwrap();
    assert_eq!(counts.links, counts.events);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_waits_for_an_owner_is_told_in_time_what_became_of_it() {
    let server = Postgres::start().unwrap();
    let bounds = PostgresOptions { lock_timeout: Duration::from_millis(400), ..options(&server.url()) };
    let store = PostgresStore::open(&bounds).await.unwrap();
    let (ada, ben) = (user(&store, "ada").await, user(&store, "ben").await);
    let holder = session(&server).await;
    hold(&holder, ada).await;
    assert!(is_unavailable(&create_of(&store, ada, "alone").await));
    assert!(is_unavailable(&create_once_of(&store, ada, "alone-once").await));
    // A bulk is answered link by link.
    let bulk = vec![link_of(ada, "bulk1"), link_of(ben, "bulk2"), link_of(UserId(99), "bulk3"), link_of(ada, "bulk4")];
    let told = store.create_links(bulk, NOW).await.unwrap();
    assert!(is_unavailable(&told[0]) && told[1].is_ok() && is_unavailable(&told[3]), "{told:?}");
    assert!(matches!(told[2], Err(StoreError::MissingReference(Reference::User))), "{told:?}");
    let link = find(&store, "bulk2").await.unwrap().unwrap();
    let event =
        NewEvent { link_id: link.id, user_id: Some(ada), event_type: EventType::parse("seen").unwrap(), at: NOW, details: None };
    assert!(is_unavailable(&store.post_event(event.clone()).await));
    holder.batch_execute("rollback").await.unwrap();
    store.post_event(event.clone()).await.unwrap();
    create_of(&store, ada, "alone").await.unwrap();
    assert_eq!(server.sql("select string_agg(short_code, ' ' order by short_code) from links").unwrap(), "alone bulk2");
    // Gone while they wait.
    let patient = PostgresStore::open(&options(&server.url())).await.unwrap();
    hold(&holder, ada).await;
    let mut waiting = JoinSet::new();
    for n in 0..8 {
        let store = patient.clone();
        waiting.spawn(async move {
            let code = format!("gone{n}");
            if n % 2 == 0 { create_of(&store, ada, &code).await.map(drop) } else { create_once_of(&store, ada, &code).await }
        });
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(waiting.try_join_next().is_none(), "they wait");
    holder.batch_execute(&format!("delete from users where id = {}; commit", ada.0)).await.unwrap();
    let told = waiting.join_all().await;
    // A create under a key remembers its refusal.
    let gone = |told: &Result<()>| told.is_ok() || matches!(told, Err(StoreError::MissingReference(Reference::User)));
    assert!(told.iter().all(gone), "{told:?}");
    assert!(matches!(patient.post_event(event).await, Err(StoreError::MissingReference(Reference::User))));
    assert_eq!(server.sql("select count(*) from links where short_code like 'gone%'").unwrap(), "0");
    // What waits when the store closes is answered.
    let last = tokio::spawn({
        let store = patient.clone();
        async move {
            hold(&holder, ben).await;
            let waiting = tokio::spawn({
                let store = store.clone();
                async move { create_of(&store, ben, "last").await }
            });
            tokio::time::sleep(Duration::from_millis(100)).await;
            store.close().await;
            waiting.await.unwrap()
        }
    });
    assert!(is_unavailable(&last.await.unwrap()));
}
