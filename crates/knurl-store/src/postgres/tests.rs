//! Of what is private to the PostgreSQL store: its statements and their plans, its schema and how it gets there.

use std::{collections::BTreeSet, fmt::Write as _, fs, time::Duration};

use knurl_lab::servers::Postgres;
use tokio_postgres::SimpleQueryMessage;

use super::{
    connection::{Connection, Connector},
    migrate::{MIGRATIONS, migrate, schema_version},
    *,
};
use crate::{Store as _, StoreError};

/// A server with an empty database.
struct World {
    server: Postgres,
    options: PostgresOptions,
}

impl World {
    fn new() -> Self {
        let server = Postgres::start().unwrap();
        let options = PostgresOptions::from_url(&server.url()).unwrap();
        Self { server, options }
    }

    fn connector(&self) -> Connector {
        Connector::new(&self.options).unwrap()
    }

    async fn migrate(&self) -> Result<usize> {
        migrate(&self.connector(), &self.options).await
    }

    async fn connect(&self) -> Connection {
        self.connector().connect(Duration::from_secs(20)).await.unwrap()
    }
}

async fn lines(connection: &Connection, query: &str) -> Vec<String> {
    let answer = connection.client.simple_query(query).await.unwrap_or_else(|e| panic!("{query}: {e:?}"));
    let row = |message| match message {
        SimpleQueryMessage::Row(row) => Some((0..row.len()).map(|at| row.get(at).unwrap_or("")).collect::<Vec<_>>().join("|")),
        _ => None,
    };
    answer.into_iter().filter_map(row).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_that_start_together_take_each_step_once() {
    let world = World::new();
    let nodes = futures_util::future::join_all((0..4).map(|_| world.migrate())).await;
    assert_eq!(nodes.into_iter().map(Result::unwrap).sum::<usize>(), MIGRATIONS.len());
    assert_eq!(world.migrate().await.unwrap(), 0, "migrating again changes nothing");
    assert_eq!(schema_version(&world.connect().await).await.unwrap(), MIGRATIONS.len() as i64);
}

/// As where a transaction of a node holds what the step wants, and wants what it holds.
#[tokio::test]
async fn a_step_that_the_server_has_undone_for_anothers_sake_is_taken_again() {
    let world = World::new();
    let undone = "create schema aside; create sequence aside.tries;
        create function aside.undone() returns event_trigger language plpgsql as $$
        begin
          if nextval('aside.tries') in (1, 30) then raise exception 'deadlock detected' using errcode = '40P01'; end if;
        end $$;
        create event trigger undone on ddl_command_start execute function aside.undone()";
    world.server.sql(undone).unwrap();
    assert_eq!(world.migrate().await.unwrap(), MIGRATIONS.len());
    assert!(world.server.sql("select last_value > 60 from aside.tries").unwrap() == "t", "both were met");
}

#[tokio::test]
async fn a_database_of_a_newer_knurl_is_refused_with_a_sentence() {
    let world = World::new();
    world.migrate().await.unwrap();
    world
        .connect()
        .await
        .batch(
            "create or replace function knurl_schema_version() returns bigint language sql immutable as 'select 99';
             create or replace function knurl_schema_serves_from() returns bigint language sql immutable as 'select 99'",
        )
        .await
        .unwrap();
    let refused = PostgresStore::open(&world.options).await.unwrap_err();
    let known = MIGRATIONS.len() as i64;
    assert!(matches!(refused, StoreError::TooNew { found: 99, known: of_ours } if of_ours == known), "{refused:?}");
}

#[tokio::test]
async fn another_programs_tables_are_left_alone() {
    let world = World::new();
    world.server.sql("create table events (id integer)").unwrap();
    let refused = PostgresStore::open(&world.options).await.unwrap_err();
    assert!(matches!(refused, StoreError::Corrupt(_)), "{refused:?}");
    assert_eq!(refused.to_string().matches("`events`").count(), 1, "{refused}");
    assert_eq!(lines(&world.connect().await, "select relname from pg_class where relname in ('users', 'links')").await, [""; 0]);
}

#[tokio::test]
async fn a_database_that_cannot_hold_every_character_is_refused_before_anything_is_made_in_it() {
    let world = World::new();
    for encoding in ["LATIN1", "SQL_ASCII"] {
        let name = encoding.to_lowercase();
        world.server.sql(&format!("create database {name} encoding '{encoding}' template template0 locale 'C'")).unwrap();
        let options = PostgresOptions::from_url(&world.server.url_of(&name)).unwrap();
        let refused = PostgresStore::open(&options).await.unwrap_err();
        assert!(matches!(refused, StoreError::Refused(_)), "{refused:?}");
        assert!(refused.to_string().contains(encoding) && refused.to_string().contains("encoding 'UTF8'"), "{refused}");
        assert_eq!(world.server.sql_in(&name, "select count(*) from pg_class where relname = 'users'").unwrap(), "0");
    }
}

#[tokio::test]
async fn a_step_that_fails_halfway_leaves_the_version_before_it_whole() {
    let world = World::new();
    world.migrate().await.unwrap();
    let connection = world.connect().await;
    // As if only the first step had been taken, and a table of the second stood in its way.
    connection
        .batch(
            "drop schema public cascade; create schema public; \
             create table link_referrers (id integer)",
        )
        .await
        .unwrap();
    assert!(world.migrate().await.is_err());
    assert_eq!(schema_version(&connection).await.unwrap(), 1);
    assert_eq!(lines(&connection, "select relname from pg_class where relname = 'cursors'").await, [""; 0]);
    connection.batch("drop table link_referrers").await.unwrap();
    assert_eq!(world.migrate().await.unwrap(), MIGRATIONS.len() - 1);
}

/// A row of each table that the step before has made: it must be there, unchanged, after every later step.
const SAMPLES: [(usize, &str, &str); 11] = [
    (1, "insert into users values (7, 'Ada', 'a@b.c', 'ada', 0, 'a@b.c', 0, 5)", "select * from users where id = 7"),
    (
        1,
        "insert into links values (3, '', 'abc', 0, 'https://a.b/', 'T', true, 302, 7, null, 5, 6, null, 1)",
        "select id, short_code, target, title, is_active, owner, version, changed_xid from links where id = 3",
    ),
    (1, "insert into events values (9, 3, 7, 'created', 5, '{}')", "select id, link_id, event_type, details from events"),
    (1, "insert into keys values (1, 'admin', '\\x00', 5, null)", "select name, hash from keys"),
    (
        2,
        "insert into link_days values (3, 20000, 4, 3, 2, '\\x01', '{}')",
        "select day, total, human, visitors, sketch, agents from link_days",
    ),
    (2, "insert into clicks values (10, 3, 7, 1700000000000, 0, '{}')", "select id, link_id, at, source, details from clicks"),
    (3, "insert into onces values ('\\x01', '\\x02', 5, '[[3,\"abc\"]]')", "select fates from onces"),
    (4, "insert into moving values ('out', 'm', 'elsewhere', 'copying')", "select state from moving"),
    (5, "insert into deleted_users values (3, 5)", "select id, created_at from deleted_users"),
    (5, "insert into audit_acceptances values (1, 5, 'by hand', 3, 0)", "select * from audit_acceptances"),
    (6, "select knurl_count('links_emptied_at', 5)", "select knurl_total('links_emptied_at')"),
];

#[tokio::test]
async fn every_migration_keeps_the_rows_that_were_there() {
    let world = World::new();
    let mut connection = world.connect().await;
    let mut kept: Vec<(&str, Vec<String>)> = Vec::new();
    for version in 1..=MIGRATIONS.len() {
        assert!(super::migrate::step(&mut connection, super::migrate::PATIENT).await.unwrap());
        for (query, before) in &kept {
            assert_eq!(lines(&connection, query).await, *before, "after step {version}: {query}");
        }
        for (_, insert, query) in SAMPLES.iter().filter(|(since, ..)| *since == version) {
            connection.batch(insert).await.unwrap();
            kept.push((query, lines(&connection, query).await));
        }
    }
    assert!(!super::migrate::step(&mut connection, super::migrate::PATIENT).await.unwrap());
}

#[tokio::test]
async fn ids_that_an_earlier_import_named_are_not_given_after_the_migration() {
    let world = World::new();
    let mut connection = world.connect().await;
    for _ in 0..3 {
        assert!(super::migrate::step(&mut connection, super::migrate::PATIENT).await.unwrap());
    }
    connection
        .batch(
            "insert into links values (3, '', 'abc', 0, 'https://a.b/', null, true, 302, 70, null, 5, 6, null, 1); \
             insert into events values (9, 80, 60, 'created', 5, null)",
        )
        .await
        .unwrap();
    world.migrate().await.unwrap();
    assert_eq!(lines(&connection, "select nextval('users_id_seq'), nextval('links_id_seq')").await, ["71|81"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn ids_are_looked_up_while_creates_go_on() {
    let world = World::new();
    let mut connection = world.connect().await;
    for _ in 0..4 {
        assert!(super::migrate::step(&mut connection, super::migrate::PATIENT).await.unwrap());
    }
    connection
        .batch("insert into links values (3, '', 'abc', 0, 'https://a.b/', null, true, 302, 70, null, 5, 6, null, 1)")
        .await
        .unwrap();
    // The look-up waits here, and would hold its locks on `links` and `users` while it does.
    let mut holder = world.connect().await;
    let tx = holder.begin().await.unwrap();
    tx.batch("lock table events in access exclusive mode").await.unwrap();
    let migrating = tokio::spawn(async move { super::migrate::step(&mut connection, super::migrate::PATIENT).await });
    let waiting = "select count(*) from pg_locks where relation = 'events'::regclass and not granted";
    let asked = async {
        while world.server.sql(waiting).unwrap() == "0" {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(Duration::from_secs(60), asked).await.unwrap();
    let held =
        "select count(*) from pg_locks where relation in ('links'::regclass, 'users'::regclass) and mode = 'ShareRowExclusiveLock'";
    assert_eq!(world.server.sql(held).unwrap(), "0");
    tx.commit().await.unwrap();
    assert!(migrating.await.unwrap().unwrap());
    assert_eq!(world.server.sql("select nextval('users_id_seq')").unwrap(), "71");
}

#[tokio::test]
async fn every_statement_prepares_on_a_freshly_migrated_database() {
    let world = World::new();
    world.migrate().await.unwrap();
    let connection = world.connect().await;
    for query in sql::all() {
        connection.client.prepare(query.text).await.unwrap_or_else(|e| panic!("{}.sql: {e:?}", query.name));
    }
}

#[test]
fn every_sql_file_is_a_statement_that_some_method_uses() {
    let here = concat!(env!("CARGO_MANIFEST_DIR"), "/src/postgres");
    let named: BTreeSet<String> = sql::all().map(|query| query.name.to_owned()).collect();
    assert_eq!(stems(&format!("{here}/queries")), named);
    let sources: String = fs::read_dir(here)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|ext| ext == "rs") && !path.ends_with("sql.rs"))
        .map(|path| fs::read_to_string(path).unwrap())
        .collect();
    for name in named {
        assert!(sources.contains(&format!("sql::{}", name.to_uppercase())), "{name}.sql is used by nobody");
    }
}

#[test]
fn statements_are_lower_case_and_say_their_parameters_first() {
    for query in sql::all() {
        let statement: String = query.text.lines().filter(|line| !line.starts_with("--")).collect();
        // A quoted name is written as it is called; the collation is the only one that has an upper-case name.
        let statement = statement.replace(r#"collate "C""#, "collate c");
        assert_eq!(statement, statement.to_lowercase(), "{}.sql", query.name);
        assert!(
            !statement.contains('$') || ["-- $", "-- Arrays: $"].iter().any(|head| query.text.starts_with(head)),
            "{}.sql does not list its parameters",
            query.name
        );
    }
}

/// What one dialect says in several statements, or with a transaction's help, and the other in one.
const ONLY_SQLITE: &str = "counter_count counter_put counters_recount day_add hour_add link_insert link_kept moving_agents_put moving_agents_remove moving_recount \
                           sequence_begin sequence_keep share_add share_grow \
                           share_values shares_of_link";
const ONLY_POSTGRES: &str = "acceptances_lock agents_of_link click_import click_insert clicks_copy counts cursor_begin cursor_lock day_change day_insert edits_fold edits_rows event_ids \
                             event_ids_lock event_ids_past event_imports_lock events_by_ids events_insert feed_changes feed_head \
                             feed_page foreign_changes hour_change hour_insert link_ids_behind link_ids_lock link_ids_past link_to_change links_create links_kept links_mark month_rows \
                             month_strays months_lock months_of moving_clicks_put moving_clicks_remove moving_lock \
                             moving_notes_forget moving_retention_lock once_try_lock ping referrer_add referrers_count referrers_known \
                             referrers_of_link retention_try_lock roll_ups_of_all_lock shards_try_lock time user_ids_behind user_ids_lock user_ids_past \
                             user_names_lock user_to_change users_by_ids";

#[test]
fn both_dialects_have_the_same_statements_but_for_a_listed_few() {
    let src = concat!(env!("CARGO_MANIFEST_DIR"), "/src");
    let (sqlite, postgres) = (stems(&format!("{src}/sqlite/queries")), stems(&format!("{src}/postgres/queries")));
    let listed = |text: &str| -> BTreeSet<String> { text.split_whitespace().map(str::to_owned).collect() };
    assert_eq!(&sqlite - &postgres, listed(ONLY_SQLITE));
    assert_eq!(&postgres - &sqlite, listed(ONLY_POSTGRES));
}

fn stems(dir: &str) -> BTreeSet<String> {
    let stem = |entry: std::io::Result<fs::DirEntry>| entry.unwrap().path().file_stem().unwrap().to_string_lossy().into_owned();
    fs::read_dir(dir).unwrap().map(stem).collect()
}

#[tokio::test]
async fn hot_statements_search_an_index_and_scan_nothing() {
    let world = World::new();
    world.migrate().await.unwrap();
    let connection = world.connect().await;
    // Tables without rows are scanned unless that is forbidden; a statement that no index serves is scanned all the same.
    connection
        .batch("set plan_cache_mode = force_generic_plan; set enable_seqscan = off; set enable_bitmapscan = off")
        .await
        .unwrap();
    let hot = [
        ("link_by_code", "Index Scan using links_by_code on links"),
        ("link_by_id", "Index Scan using links_pkey on links"),
        ("link_identity", "Index Scan using links_pkey on links"),
        ("link_of_owner_to", "Index Scan using links_by_owner on links"),
        ("links_list", "Index Scan using links_pkey on links"),
        ("links_list_of_owner", "Index Scan using links_by_owner on links"),
        ("links_list_of_code", "Index Scan using links_by_code on links"),
        ("user_by_id", "Index Scan using users_pkey on users"),
        ("event_by_id", "Index Scan using events_pkey on events"),
        ("event_by_id", "Index Scan using clicks_default_id_idx on clicks_default"),
        ("events_list", "Merge Append"),
        ("events_list_of_link", "Merge Append"),
        ("events_list_of_link", "Index Scan using events_by_link on events"),
        ("events_list_of_link", "Index Scan using clicks_default_pkey on clicks_default"),
        ("events_list_of_user", "Index Scan using events_by_user on events"),
        ("events_list_of_user", "Index Scan using clicks_default_user_id_id_idx on clicks_default"),
        ("events_list_of_type", "Index Scan using events_by_type on events"),
        ("counts", "Result"),
        ("foreign_changes", "Index Scan using counters_pkey on counters"),
        ("edits_rows", "counters_pkey on counters"),
        ("cursor_get", "Index Scan using cursors_pkey on cursors"),
        ("cursor_lock", "Index Scan using cursors_pkey on cursors"),
        ("hours_of_link", "Index Scan using link_hours_pkey on link_hours"),
        ("days_of_link", "Index Scan using link_days_pkey on link_days"),
        ("total_of_link", "Index Scan using link_totals_pkey on link_totals"),
        ("referrers_of_link", "Index Scan using link_referrers_pkey on link_referrers"),
        ("agents_of_link", "Index Scan using link_days_pkey on link_days"),
        ("links_top", "Index Scan using link_days_by_day on link_days"),
        ("hour_sketch", "Index Scan using link_hours_pkey"),
        ("day_sketch", "Index Scan using link_days_"),
        ("hour_change", "Index Scan using link_hours_pkey"),
        ("day_change", "Index Scan using link_days_"),
        ("referrers_count", "link_referrers_pkey on link_referrers"),
        ("referrers_known", "link_referrers_pkey on link_referrers"),
        ("clicks_purge", "clicks_default_at_idx on clicks_default"),
        ("month_strays", "clicks_default_at_idx on clicks_default"),
        ("once_get", "Index Scan using onces_pkey on onces"),
        ("key_by_hash", "Index Scan using keys_by_hash on keys"),
    ];
    for (name, expected) in hot {
        let plan = plan(&connection, name).await;
        assert!(plan.contains(expected) && !plan.contains("Seq Scan"), "{name}.sql:\n{plan}");
    }
}

async fn plan(connection: &Connection, name: &str) -> String {
    let query = sql::all().find(|query| query.name == name).unwrap_or_else(|| panic!("there is no {name}.sql"));
    let params = (1..).take_while(|n| query.text.contains(&format!("${n}"))).count();
    let mut nulls = String::new();
    for n in 0..params {
        write!(nulls, "{}null", if n == 0 { "" } else { ", " }).unwrap();
    }
    let call = if params == 0 { String::new() } else { format!("({nulls})") };
    connection.batch(&format!("deallocate all; prepare asked as {}", query.text)).await.unwrap();
    lines(connection, &format!("explain execute asked{call}")).await.join("\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn edits_of_processes_that_came_and_went_are_folded_and_no_other_nodes_sum_changes() {
    let world = World::new();
    world.migrate().await.unwrap();
    let (ours, other) = (PostgresStore::open(&world.options).await.unwrap(), PostgresStore::open(&world.options).await.unwrap());
    let connection = world.connect().await;
    let names = |of: u32| format!("select count(*) from counters where name like 'edits %' and shard = {of}");
    // By hand, by us, and by a few processes: too few to be worth it.
    connection.batch("insert into counters values ('edits ', 3, 5), ('links', 3, 7), ('edits!', 3, 7)").await.unwrap();
    connection.batch(&format!("insert into counters values ('edits {}', 3, 11)", ours.pool.node())).await.unwrap();
    connection.batch("insert into counters select 'edits ' || md5(n::text), 3, n from generate_series(1, 200) n").await.unwrap();
    assert_eq!(ours.fold_edits().await.unwrap(), 0);
    connection.batch("insert into counters select 'edits ' || md5(n::text), 4, n from generate_series(1, 200) n").await.unwrap();
    let sums = (ours.foreign_changes().await.unwrap(), other.foreign_changes().await.unwrap());
    assert_eq!(sums, (5 + 2 * 20_100, 11 + 5 + 2 * 20_100));
    // Somebody counts in shard 4, and takes his time: it is left to him, and nobody waits.
    let mut busy = world.connect().await;
    let tx = busy.begin().await.unwrap();
    tx.batch("select pg_advisory_xact_lock(1802400365, 4); update counters set value = value + 1 where shard = 4").await.unwrap();
    assert_eq!(ours.fold_edits().await.unwrap(), 200);
    assert_eq!((ours.foreign_changes().await.unwrap(), other.foreign_changes().await.unwrap()), sums);
    assert_eq!(lines(&connection, &names(3)).await, ["2"], "ours, and the empty name");
    tx.commit().await.unwrap();
    let sums = (sums.0 + 200, sums.1 + 200);
    assert_eq!(ours.fold_edits().await.unwrap(), 0, "200 are too few");
    connection.batch("insert into counters select 'edits ' || md5(n::text), 5, 0 from generate_series(1, 100) n").await.unwrap();
    // Two at once: each row goes once.
    let both = tokio::join!(ours.fold_edits(), other.fold_edits());
    let folded = (both.0.unwrap(), both.1.unwrap());
    assert!((300..=301).contains(&(folded.0 + folded.1)), "{folded:?}");
    // `ours` may have been among those that `other` folded, which is a change to itself alone.
    assert_eq!(other.foreign_changes().await.unwrap(), sums.1);
    assert!([sums.0, sums.0 + 11].contains(&ours.foreign_changes().await.unwrap()));
    assert_eq!(
        lines(&connection, "select name, value from counters where name in ('links', 'edits!') order by 1").await,
        ["edits!|7", "links|7"]
    );
    ours.close().await;
    other.close().await;
}

/// Edits that are noted all the time while others are put away: none is lost, and nobody fails.
#[tokio::test(flavor = "multi_thread")]
async fn edits_that_are_noted_meanwhile_are_all_counted() {
    const EACH: u64 = 300;
    let world = World::new();
    let ours = PostgresStore::open(&world.options).await.unwrap();
    let connection = world.connect().await;
    connection
        .batch("insert into counters select 'edits ' || md5(n::text), n % 64, 1 from generate_series(1, 2000) n")
        .await
        .unwrap();
    let mut edits = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let editor = world.connect().await;
        edits.spawn(async move {
            for _ in 0..EACH {
                editor.batch("select knurl_note_edit()").await.unwrap();
            }
        });
    }
    while !edits.is_empty() {
        connection
            .batch("insert into counters select 'edits ' || md5(n::text), n % 64, 0 from generate_series(1, 2000) n on conflict do nothing")
            .await
            .unwrap();
        ours.fold_edits().await.unwrap();
        while let Some(ended) = edits.try_join_next() {
            ended.unwrap();
        }
    }
    assert_eq!(ours.foreign_changes().await.unwrap(), 2000 + 8 * EACH);
    ours.close().await;
}
