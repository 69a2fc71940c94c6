//! A server killed, restarted, frozen, full of sessions, turned into a standby; a caller's reply lost.

use std::time::Instant;

use futures_util::future::BoxFuture;
use knurl_core::{EventType, event::NewEvent, key::KeyHash, link::Expected};

use crate::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_server_is_unavailable_at_once_and_used_again_when_it_is_back() {
    let mut server = Postgres::start().unwrap();
    let store = PostgresStore::open(&options(&server.url())).await.unwrap();
    create(&store, "before").await.unwrap();
    server.kill().unwrap();
    let (created, found) = (create(&store, "during").await, find(&store, "before").await);
    assert!((is_unavailable(&created) || is_unsure(&created)) && is_unavailable(&found), "{created:?} {found:?}");
    server.start_again().unwrap();
    until_back(&store).await;
    assert!(find(&store, "before").await.unwrap().is_some());
    create(&store, "after").await.unwrap();
    store.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn writes_under_way_when_the_server_dies_are_there_as_a_whole_or_not_at_all() {
    let server = Postgres::start_with(&PostgresSetup { fsync: true, ..Default::default() }).unwrap();
    let store = PostgresStore::open(&options(&server.url())).await.unwrap();
    let mut writers = JoinSet::new();
    for writer in 0..16 {
        let store = store.clone();
        writers.spawn(async move {
            let mut acknowledged = Vec::new();
            for n in 0.. {
                let code = format!("w{writer}n{n}");
                match create(&store, &code).await {
                    Ok(_) => acknowledged.push(code),
                    Err(error) => return (acknowledged, error),
                }
            }
            unreachable!("the server is killed");
        });
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    let (mut server, ()) = with_server(server, |server| server.kill().unwrap()).await;
    let told = tokio::time::timeout(NEVER, writers.join_all()).await.expect("a create that never ends");
    assert!(told.iter().all(|(_, error)| matches!(error, StoreError::Unavailable(_) | StoreError::Unsure { .. })), "{told:?}");
    assert!(told.iter().any(|(acknowledged, _)| !acknowledged.is_empty()), "the kill fell on a server at work");
    server.start_again().unwrap();
    until_back(&store).await;
    for code in told.iter().flat_map(|(acknowledged, _)| acknowledged) {
        assert!(find(&store, code).await.unwrap().is_some(), "{code} was acknowledged");
    }
    // Each with its event, whether it was acknowledged or not.
    let counts = store.counts().await.unwrap();
    assert_eq!(counts.links, counts.events);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_server_is_found_out_and_then_refused_without_waiting() {
    let server = Postgres::start().unwrap();
    let bounds = PostgresOptions { hung_after: Duration::from_millis(300), ..options(&server.url()) };
    let store = PostgresStore::open(&bounds).await.unwrap();
    create(&store, "before").await.unwrap();
    server.pause();
    // Some wait for an answer that does not come, until the pulse gives up for all of them.
    let mut waiting = JoinSet::new();
    for n in 0..20 {
        let store = store.clone();
        waiting.spawn(async move {
            let (created, found) = (create(&store, &format!("during{n}")).await, find(&store, "before").await);
            (is_unavailable(&created) || is_unsure(&created)) && is_unavailable(&found)
        });
    }
    assert!(tokio::time::timeout(NEVER, waiting.join_all()).await.expect("a call that never ends").into_iter().all(|ok| ok));
    assert!(!store.is_up());
    let begun = Instant::now();
    for n in 0..1000 {
        assert!(is_unavailable(&create(&store, &format!("refused{n}")).await));
    }
    // Waiting `hung_after` for each would take five minutes.
    assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
    server.resume();
    until_back(&store).await;
    assert!(find(&store, "before").await.unwrap().is_some());
    create(&store, "after").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_answers_nobody_keeps_no_create_waiting_and_says_which_may_have_been_done() {
    let server = Postgres::start().unwrap();
    // Nobody gives the server up in this test's life: what ends the waiting is its silence alone.
    let bounds = PostgresOptions {
        hung_after: 10 * NEVER,
        call_timeout: 10 * NEVER,
        create_lanes: 1,
        group_max: 1,
        ..options(&server.url())
    };
    let store = PostgresStore::open(&bounds).await.unwrap();
    create(&store, "before").await.unwrap();
    create_once(&store, "before-once").await.unwrap();
    // For the pulse to have a connection of its own, and its first beat.
    tokio::time::sleep(Duration::from_secs(1)).await;
    server.pause();
    let mut waiting = JoinSet::new();
    for n in 0..20 {
        let store = store.clone();
        waiting.spawn(async move { create(&store, &format!("during{n}")).await });
    }
    let mut once = JoinSet::new();
    for n in 0..4 {
        let store = store.clone();
        once.spawn(async move { create_once(&store, &format!("once{n}")).await });
    }
    let (told, told_once) = (waiting.join_all().await, once.join_all().await);
    let unsure = told.iter().filter(|told| is_unsure(told)).count();
    let untouched = told.iter().filter(|told| is_unavailable(told)).count();
    assert_eq!((unsure, untouched), (1, 19), "one was sent: {told:?}");
    assert!(told_once.iter().all(is_unavailable), "none of them had come to its commit: {told_once:?}");
    assert!(is_unavailable(&create(&store, "later").await) && is_unavailable(&create_once(&store, "later").await));
    assert!(store.is_up(), "not given up: no connection was cut");
    server.resume();
    let again = async {
        while create(&store, "after").await.is_err() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(NEVER, again).await.expect("a silence that does not end");
    // Sent before `after` was: it was done. Nothing else was.
    assert_eq!(server.sql("select count(*) from links where short_code like 'during%'").unwrap(), "1");
    assert_eq!(server.sql("select count(*) from links").unwrap(), "4");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_only_slow_is_waited_for() {
    let server = Postgres::start().unwrap();
    let store = PostgresStore::open(&options(&server.url())).await.unwrap();
    create(&store, "before").await.unwrap();
    // The insert waits, for much longer than a silent server is waited for, and the server answers others meanwhile.
    let (client, connection) = tokio_postgres::connect(&server.url(), tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    client.batch_execute("begin; lock table links in exclusive mode").await.unwrap();
    let slow = tokio::spawn({
        let store = store.clone();
        async move { create(&store, "slow").await }
    });
    tokio::time::sleep(Duration::from_millis(500)).await;
    client.batch_execute("commit").await.unwrap();
    slow.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_create_whose_commit_was_heard_and_whose_answer_is_lost_may_have_been_done_and_says_so() {
    let server = Postgres::start().unwrap();
    let proxy = Proxy::start("postgres", ([127, 0, 0, 1], server.port()).into(), 1).unwrap();
    let store = PostgresStore::open(&options(&server.url_through(proxy.addr().port()))).await.unwrap();
    create_once(&store, "before").await.unwrap();
    create(&store, "before-too").await.unwrap();
    // A create by itself is one statement, one with a key a transaction: the last words that each is told.
    for (code, pattern) in [("alone", "SELECT 1\0"), ("once", "COMMIT\0")] {
        let cut = ToxicKind::CutAtPattern { pattern: pattern.to_owned(), probability: 1.0 };
        proxy.add(Toxic::new(Direction::Downstream, cut)).unwrap();
        let told = if code == "once" { create_once(&store, code).await } else { create(&store, code).await.map(drop) };
        assert!(is_unsure(&told) && proxy.fates().cut > 0, "{code}: {told:?}");
        proxy.heal().unwrap();
        until_back(&store).await;
        assert!(find(&store, code).await.unwrap().is_some(), "{code} was done");
    }
    // The same again is no second one.
    create_once(&store, "once").await.unwrap();
    assert_eq!(server.sql("select count(*) from links").unwrap(), "4");
}

/// A change and its name, the codes of the links that may be others then, and what the database is asked.
type Loss<'a> = (&'static str, BoxFuture<'a, Result<()>>, &'static [&'static str], &'static str);

#[tokio::test(flavor = "multi_thread")]
async fn a_change_whose_commit_was_heard_and_whose_answer_is_lost_may_have_been_done_and_says_of_which_links() {
    let server = Postgres::start().unwrap();
    let proxy = Proxy::start("postgres", ([127, 0, 0, 1], server.port()).into(), 1).unwrap();
    let store = &PostgresStore::open(&options(&server.url_through(proxy.addr().port()))).await.unwrap();
    let ada = user(store, "ada").await;
    let (patched, deleted) = (create(store, "patched").await.unwrap(), create(store, "deleted").await.unwrap());
    store.create_link(NewLink { owner: Some(ada), ..new_link("adas") }, NOW).await.unwrap();
    let key = store.create_key("first", KeyHash([1; 32]), NOW).await.unwrap();
    let patch = || LinkPatch { is_active: Some(false), ..Default::default() };
    let event =
        NewEvent { link_id: patched.id, user_id: None, event_type: EventType::parse("seen").unwrap(), at: NOW, details: None };
    let (bob, bobs) = (Username::parse("bob").unwrap(), Email::parse("bob@example.com").unwrap());
    let losses: [Loss<'_>; 8] = [
        (
            "update_link",
            Box::pin(async { store.update_link(patched.id, patch(), NOW).await.map(drop) }),
            &["patched"],
            "select not is_active from links where short_code = 'patched'",
        ),
        (
            "delete_link",
            Box::pin(async { store.delete_link(deleted.id, Expected::Any, "why", NOW).await.map(drop) }),
            &["deleted"],
            "select deleted_at is not null from links where short_code = 'deleted'",
        ),
        (
            "update_user",
            Box::pin(async { store.update_user(ada, Some(Username::parse("eve").unwrap()), None).await.map(drop) }),
            &[],
            "select count(*) = 1 from users where username = 'eve'",
        ),
        (
            "delete_user",
            Box::pin(async { store.delete_user(ada, NOW).await.map(drop) }),
            &["adas"],
            "select count(*) = 0 from users where username = 'eve'",
        ),
        (
            "create_user",
            Box::pin(async { store.create_user(bob, bobs, NOW).await.map(drop) }),
            &[],
            "select count(*) = 1 from users where username = 'bob'",
        ),
        (
            "post_event",
            Box::pin(async { store.post_event(event).await.map(drop) }),
            &[],
            "select count(*) = 1 from events where event_type = 'seen'",
        ),
        (
            "create_key",
            Box::pin(async { store.create_key("second", KeyHash([2; 32]), NOW).await.map(drop) }),
            &[],
            "select count(*) = 2 from keys",
        ),
        (
            "revoke_key",
            Box::pin(async { store.revoke_key(key.id, NOW).await.map(drop) }),
            &[],
            "select count(*) = 1 from keys where revoked_at is not null",
        ),
    ];
    for (name, change, codes, question) in losses {
        let cut = ToxicKind::CutAtPattern { pattern: "COMMIT\0".to_owned(), probability: 1.0 };
        proxy.add(Toxic::new(Direction::Downstream, cut)).unwrap();
        let told = tokio::time::timeout(NEVER, change).await.expect("a change that never ends");
        assert!(is_unsure(&told), "{name}: {told:?}");
        let doubted: Vec<_> = told.unwrap_err().in_doubt().iter().map(|code| code.as_str().to_owned()).collect();
        assert_eq!(doubted, codes, "{name}");
        proxy.heal().unwrap();
        until_back(store).await;
        assert_eq!(server.sql(question).unwrap(), "t", "{name} was done");
    }
    // What did not come to its commit was not done.
    proxy.disable();
    let told = store.update_link(patched.id, LinkPatch { is_active: Some(true), ..Default::default() }, NOW).await;
    assert!(is_unavailable(&told), "{told:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_an_operator_ends_costs_one_call_at_most() {
    let server = Postgres::start().unwrap();
    let store = PostgresStore::open(&options(&server.url())).await.unwrap();
    create(&store, "before").await.unwrap();
    server.sql("select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'knurl'").unwrap();
    until_back(&store).await;
    for n in 0..10 {
        create(&store, &format!("after{n}")).await.unwrap();
        assert!(find(&store, "before").await.unwrap().is_some());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_may_be_opened_before_its_server_is_there() {
    let mut server = Postgres::start().unwrap();
    server.stop().unwrap();
    let strict = options(&server.url());
    assert!(is_unavailable(&PostgresStore::open(&strict).await));
    let store = PostgresStore::open(&PostgresOptions { start_away: true, ..strict }).await.unwrap();
    assert!(is_unavailable(&create(&store, "early").await));
    server.start_again().unwrap();
    until_back(&store).await;
    create(&store, "late").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn of_several_hosts_the_one_that_takes_writes_is_used() {
    let standby =
        Postgres::start_with(&PostgresSetup { settings: vec!["default_transaction_read_only=on".into()], ..Default::default() });
    let (standby, frozen, primary) = (standby.unwrap(), Postgres::start().unwrap(), Postgres::start().unwrap());
    frozen.pause();
    let url = primary.url();
    let (login, rest) = url.split_once('@').unwrap();
    let url = format!("{login}@127.0.0.1:{},127.0.0.1:{},{rest}", frozen.port(), standby.port());
    let bounds = PostgresOptions { connect_timeout: Duration::from_millis(500), ..options(&url) };
    let store = PostgresStore::open(&bounds).await.unwrap();
    create(&store, "there").await.unwrap();
    assert_eq!(primary.sql("select short_code from links").unwrap(), "there");
    frozen.resume();
}

/// Takes no connection: what is sent to it is dropped, as by a host that is gone from its network. With it those that fill its queue.
async fn deaf() -> (tokio::net::TcpListener, Vec<tokio::net::TcpStream>) {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind(([127, 0, 0, 1], 0).into()).unwrap();
    let listener = socket.listen(0).unwrap();
    let mut queue = Vec::new();
    while let Ok(queued) =
        tokio::time::timeout(Duration::from_millis(300), tokio::net::TcpStream::connect(listener.local_addr().unwrap())).await
    {
        queue.push(queued.unwrap());
        assert!(queue.len() < 64, "a queue without an end");
    }
    (listener, queue)
}

#[tokio::test(flavor = "multi_thread")]
async fn silent_hosts_before_the_one_that_takes_writes_keep_no_connection_from_being_opened() {
    let (deaf, _queue) = deaf().await;
    let (frozen, primary) = (Postgres::start().unwrap(), Postgres::start().unwrap());
    // For the day when it is the one: its schema is there.
    PostgresStore::open(&options(&frozen.url())).await.unwrap().close().await;
    frozen.pause();
    let url = primary.url();
    let (login, rest) = url.split_once('@').unwrap();
    // At production's bounds: two silent hosts take longer than a create may.
    let url = format!("{login}@{},127.0.0.1:{},{rest}", deaf.local_addr().unwrap(), frozen.port());
    let bounds = PostgresOptions { connect_timeout: Duration::from_secs(3), call_timeout: Duration::from_secs(5), ..options(&url) };
    let store = PostgresStore::open(&bounds).await.unwrap();
    create(&store, "there").await.unwrap();
    assert!(find(&store, "there").await.unwrap().is_some());
    // After a failover it is another one: found out by the pulse, for everybody.
    primary.pause();
    frozen.resume();
    let moved = async {
        while create(&store, "moved").await.is_err() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(NEVER, moved).await.expect("a host that nobody goes to");
    assert_eq!(frozen.sql("select short_code from links").unwrap(), "moved");
    primary.resume();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_becomes_a_standby_is_away_until_it_takes_writes_again() {
    let server = Postgres::start().unwrap();
    let store = PostgresStore::open(&options(&server.url())).await.unwrap();
    create(&store, "before").await.unwrap();
    let read_only = |on: &str| {
        server.sql(&format!("alter system set default_transaction_read_only = {on}")).unwrap();
        // As at a failover: the sessions end.
        let sessions = "from pg_stat_activity where application_name = 'knurl'";
        server
            .sql(&format!("select pg_reload_conf(), pg_sleep(0.2), (select count(pg_terminate_backend(pid)) {sessions})"))
            .unwrap();
    };
    read_only("on");
    let refused = async {
        while store.is_up() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(NEVER, refused).await.expect("a standby that nobody notices");
    assert!(is_unavailable(&create(&store, "during").await));
    read_only("off");
    until_back(&store).await;
    create(&store, "after").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_out_of_sessions_is_unavailable_to_those_it_has_none_for() {
    let few = PostgresSetup {
        settings: vec!["max_connections=12".into(), "superuser_reserved_connections=3".into()],
        ..Default::default()
    };
    let server = Postgres::start_with(&few).unwrap();
    server.sql("create role guest login password 'guest' connection limit 4; grant all on database knurl to guest; grant all on schema public to guest").unwrap();
    let url = server.url().replace("knurl:loopback-only@", "guest:guest@");
    let store = PostgresStore::open(&options(&url)).await.unwrap();
    let mut callers = JoinSet::new();
    for n in 0..40 {
        let store = store.clone();
        callers.spawn(async move {
            let code = format!("code{n}");
            // Whoever is refused may come again; nobody waits for ever, and no answer is a wrong one.
            while let Err(error) = create(&store, &code).await {
                assert!(error.is_transient(), "{error:?}");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
    }
    tokio::time::timeout(NEVER, callers.join_all()).await.expect("creates that never go through");
    assert_eq!(server.sql("select count(*) from links").unwrap(), "40");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pulse_that_cannot_connect_again_leaves_the_connections_that_work_alone() {
    let server = Postgres::start().unwrap();
    server
        .sql("create role guest login password 'guest'; grant all on database knurl to guest; grant all on schema public to guest")
        .unwrap();
    let url = server.url().replace("knurl:loopback-only@", "guest:guest@");
    let no_more = [
        // 53300, 28P01, 28000.
        ("alter role guest connection limit 1", "alter role guest connection limit -1"),
        ("alter role guest password 'changed'", "alter role guest password 'guest'"),
        ("alter role guest nologin", "alter role guest login"),
    ];
    for (n, (refuse, allow)) in no_more.into_iter().enumerate() {
        let store = PostgresStore::open(&options(&url)).await.unwrap();
        create(&store, &format!("before{n}")).await.unwrap();
        assert!(find(&store, &format!("before{n}")).await.unwrap().is_some());
        let pulse = "from pg_stat_activity where usename = 'guest' and query = 'show transaction_read_only'";
        until(|| server.sql(&format!("select count(*) {pulse}")).unwrap() == "1").await;
        let refused_at = server.sql("select clock_timestamp()").unwrap();
        server.sql(refuse).unwrap();
        server.sql(&format!("select pg_terminate_backend(pid) {pulse}")).unwrap();
        // Several beats.
        for call in 0..60 {
            create(&store, &format!("during{n}-{call}")).await.unwrap();
            assert!(find(&store, &format!("before{n}")).await.unwrap().is_some());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let later = format!("select count(*) from pg_stat_activity where usename = 'guest' and backend_start > '{refused_at}'");
        assert!(store.is_up() && server.sql(&later).unwrap() == "0");
        server.sql(allow).unwrap();
        until(|| server.sql(&later).unwrap() == "1").await;
        create(&store, &format!("after{n}")).await.unwrap();
        store.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pulse_that_cannot_connect_again_still_finds_out_that_the_server_hangs_or_only_reads() {
    let server = Postgres::start().unwrap();
    server
        .sql("create role guest login password 'guest'; grant all on database knurl to guest; grant all on schema public to guest")
        .unwrap();
    let url = server.url().replace("knurl:loopback-only@", "guest:guest@");
    let store = PostgresStore::open(&options(&url)).await.unwrap();
    create(&store, "before").await.unwrap();
    let pulse = "from pg_stat_activity where usename = 'guest' and query = 'show transaction_read_only'";
    let count = || server.sql(&format!("select count(*) {pulse}")).unwrap();
    until(|| count() == "1").await;
    server.sql("alter role guest nologin").unwrap();
    server.sql(&format!("select pg_terminate_backend(pid) {pulse}")).unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(store.is_up());
    server.sql("alter system set default_transaction_read_only = on").unwrap();
    server.sql("select pg_reload_conf()").unwrap();
    until(|| !store.is_up()).await;
    server.sql("begin read write; alter role guest login; commit").unwrap();
    server.sql("alter system reset default_transaction_read_only").unwrap();
    server.sql("select pg_reload_conf()").unwrap();
    until_back(&store).await;
    create(&store, "again").await.unwrap();
    until(|| count() == "1").await;
    server.sql("alter role guest nologin").unwrap();
    server.sql(&format!("select pg_terminate_backend(pid) {pulse}")).unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(store.is_up());
    server.pause();
    until(|| !store.is_up()).await;
    server.resume();
}

#[tokio::test(flavor = "multi_thread")]
async fn beyond_its_bound_the_queue_refuses_and_takes_nothing() {
    let server = Postgres::start().unwrap();
    let bounds = PostgresOptions { queue_max: 8, create_lanes: 1, group_max: 1, ..options(&server.url()) };
    let store = PostgresStore::open(&bounds).await.unwrap();
    let mut callers = JoinSet::new();
    for n in 0..200 {
        let store = store.clone();
        callers.spawn(async move { create(&store, &format!("code{n}")).await.map(drop) });
    }
    let answers = callers.join_all().await;
    let refused = answers.iter().filter(|answer| matches!(answer, Err(StoreError::Overloaded))).count();
    let made = answers.iter().filter(|answer| answer.is_ok()).count();
    assert_eq!(refused + made, 200, "{answers:?}");
    assert!(refused > 0 && made > 0);
    assert_eq!(server.sql("select count(*) from links").unwrap(), made.to_string());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_that_is_not_given_back_is_waited_for_and_then_told() {
    let server = Postgres::start().unwrap();
    let bounds = PostgresOptions { lock_timeout: Duration::from_millis(200), ..options(&server.url()) };
    let store = PostgresStore::open(&bounds).await.unwrap();
    let link = create(&store, "abc").await.unwrap();
    let (client, connection) = tokio_postgres::connect(&server.url(), tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    client.batch_execute("begin; select * from links for update").await.unwrap();
    let patch = LinkPatch { is_active: Some(false), ..Default::default() };
    let waited = store.update_link(link.id, patch.clone(), NOW).await;
    assert!(is_unavailable(&waited), "{waited:?}");
    client.batch_execute("rollback").await.unwrap();
    assert!(store.is_up());
    assert!(!store.update_link(link.id, patch, NOW).await.unwrap().unwrap().is_active);
}

/// The names of the standbys of which each commit waits for one.
fn wait_for_standby(server: &Postgres, names: &str) {
    server.sql(&format!("alter system set synchronous_standby_names = '{names}'")).unwrap();
    server.sql("select pg_reload_conf()").unwrap();
    // A session of its own each time.
    while server.sql("show synchronous_standby_names").unwrap() != names {
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_synchronous_standby_has_is_told_to_nobody_as_made_though_its_caller_left() {
    let server = Postgres::start().unwrap();
    let bounds = PostgresOptions { call_timeout: Duration::from_secs(1), ..options(&server.url()) };
    let store = PostgresStore::open(&bounds).await.unwrap();
    create(&store, "before").await.unwrap();
    wait_for_standby(&server, "nobody");
    let waits = "select count(*) from pg_stat_activity where wait_event = 'SyncRep'";
    let caller = tokio::spawn({
        let store = store.clone();
        async move { create_once(&store, "keyed").await }
    });
    until(|| server.sql(waits).unwrap() == "1").await;
    caller.abort();
    assert!(caller.await.unwrap_err().is_cancelled());
    // It is not seen before a standby has it: asked again it is still of unknown fate, and never there.
    for _ in 0..2 {
        let again = create_once(&store, "keyed").await;
        assert!(again.is_err(), "{again:?}");
    }
    assert_eq!(server.sql("select count(*) from links where short_code = 'keyed'").unwrap(), "0");
    wait_for_standby(&server, "");
    let made = async {
        while create_once(&store, "keyed").await.is_err() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(NEVER, made).await.expect("a link that is never made");
    assert_eq!(server.sql("select count(*) from links where short_code = 'keyed'").unwrap(), "1");
}
