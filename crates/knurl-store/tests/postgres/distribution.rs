//! The tables of click data can be spread over servers by their link, in the steps that the guide names; on a server of that kind nothing was
//! tried. What such a server asks of a table is read from the catalogue, and what is lost by the steps is shown.

use std::collections::BTreeSet;

use crate::{months::Spool, *};

const GUIDE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/guide/scale.md");

type Names = BTreeSet<String>;

/// What the guide says in its section about this.
struct Guide(String);

impl Guide {
    fn read() -> Self {
        let text = std::fs::read_to_string(GUIDE).unwrap();
        let (_, rest) = text.split_once("\n## When one PostgreSQL is not enough\n").unwrap();
        Self(rest.split("\n## ").next().unwrap().to_owned())
    }

    fn statements(&self, begin: &str) -> Vec<&str> {
        self.0.lines().filter(|line| line.starts_with(begin)).collect()
    }

    /// Tables that are spread.
    fn spread(&self) -> Names {
        let statements = self.statements("select create_distributed_table(");
        assert!(statements.iter().all(|line| line.contains("', 'link_id'")), "{statements:?}");
        statements.iter().map(|line| line.split('\'').nth(1).unwrap().to_owned()).collect()
    }

    /// Tables that are not.
    fn stay(&self) -> Names {
        let (_, rest) = self.0.split_once("**Stay where they are**").unwrap();
        let sentence = rest.split('.').next().unwrap();
        sentence.split('`').skip(1).step_by(2).map(str::to_owned).collect()
    }
}

fn names(server: &Postgres, query: &str) -> Names {
    server.sql(query).unwrap().lines().map(str::to_owned).collect()
}

/// With `spread` as tables, and `theirs` as all of these and their partitions, by their ids.
fn of_spread(guide: &Guide, query: &str) -> String {
    let list: Vec<String> = guide.spread().into_iter().map(|name| format!("('{name}')")).collect();
    format!(
        "with spread as (select name::regclass as oid from (values {}) as named (name)), \
         theirs as (select oid from spread union all select inhrelid from pg_inherits join spread on spread.oid = inhparent) {query}",
        list.join(", ")
    )
}

async fn with_months() -> (Postgres, PostgresStore, Link) {
    let server = Postgres::start().unwrap();
    let store = PostgresStore::open(&options(&server.url())).await.unwrap();
    let link = create(&store, "abc").await.unwrap();
    let mut spool = Spool { id: 1, seq: 0 };
    let times = ["2026-01-03 00:00:00", "2026-01-30 00:00:00", "2026-02-03 00:00:00", "2026-02-20 00:00:00"];
    spool.deliver(&store, &link, &times).await;
    (server, store, link)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_table_of_click_data_can_be_spread_by_its_link() {
    let (server, _store, _) = with_months().await;
    let guide = Guide::read();
    let ask = |query: &str| names(&server, &of_spread(&guide, query));

    let all = names(
        &server,
        "select relname from pg_class where relnamespace = 'public'::regnamespace and relkind in ('r', 'p') \
         and not relispartition",
    );
    assert_eq!(&guide.spread() | &guide.stay(), all, "the guide names every table");
    assert!(guide.spread().is_disjoint(&guide.stay()));
    // Only what was done to a link carries its id besides.
    let with_link = "select attrelid::regclass from pg_attribute a join pg_class c on c.oid = attrelid \
                     where relnamespace = 'public'::regnamespace and relkind in ('r', 'p') and not relispartition \
                     and attname = 'link_id' and attnotnull and atttypid = 'bigint'::regtype";
    assert_eq!(names(&server, with_link), &guide.spread() | &Names::from(["events".to_owned()]));
    let theirs = ask("select oid::regclass from theirs");
    for partition in ["clicks_default", "clicks_2026_01", "clicks_2026_02"] {
        assert!(theirs.contains(partition), "{theirs:?}");
    }

    let without_key = "select oid::regclass from theirs \
                       where not exists (select 1 from pg_index where indrelid = theirs.oid and indisprimary)";
    assert_eq!(ask(without_key), Names::from(["clicks_gone".to_owned()]), "which has no key at all");
    let unique_without_link = "select indexrelid::regclass from pg_index join theirs on theirs.oid = indrelid \
                               where (indisunique or indisexclusion) and not exists (select 1 from pg_attribute \
                               where attrelid = indrelid and attname = 'link_id' and attnum = any(indkey[0:indnkeyatts - 1]))";
    assert_eq!(ask(unique_without_link), Names::new());
    let unique = "select indexrelid::regclass from pg_index join theirs on theirs.oid = indrelid where indisunique";
    assert_eq!(ask(unique).len(), theirs.len() - 1, "they were looked at");
    let references =
        "select conname from pg_constraint where contype = 'f' and (conrelid in (table theirs) or confrelid in (table theirs))";
    assert_eq!(ask(references), Names::new());
    let sequences = "select attrelid::regclass || '.' || attname from pg_attribute a join theirs on theirs.oid = attrelid \
                     left join pg_attrdef d on adrelid = attrelid and adnum = attnum \
                     where attidentity <> '' or pg_get_expr(adbin, adrelid) ~ 'nextval|knurl_' \
                     union all select refobjid::regclass::text from pg_depend join pg_class s on s.oid = objid and relkind = 'S' \
                     where refobjid in (table theirs)";
    assert_eq!(ask(sequences), Names::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn two_triggers_are_in_the_way_and_without_them_the_total_of_clicks_does_not_follow_rows_that_are_removed() {
    let (server, store, link) = with_months().await;
    let guide = Guide::read();
    let triggers = || {
        names(
            &server,
            &of_spread(&guide, "select tgrelid::regclass || ' ' || tgname from pg_trigger where tgrelid in (table theirs)"),
        )
    };
    assert_eq!(triggers(), Names::from(["clicks clicks_emptied".to_owned(), "clicks clicks_went".to_owned()]));
    let dropped = guide.statements("drop trigger ");
    assert_eq!(dropped.len(), 2, "{dropped:?}");
    for statement in dropped {
        server.sql(statement).unwrap();
    }
    assert_eq!(triggers(), Names::new());

    let events = || async { store.counts().await.unwrap().events };
    assert_eq!(events().await, 1 + 4, "the link's own, and clicks");
    let mut other = Spool { id: 2, seq: 0 };
    other.deliver(&store, &link, &["2026-02-21 00:00:00", "2026-03-01 00:00:00"]).await;
    assert_eq!(events().await, 1 + 6, "those that come are counted as before");
    // A part of a month.
    assert_eq!(store.purge_clicks(UnixMillis::parse("2026-01-20 00:00:00").unwrap(), 100).await.unwrap(), 1);
    assert_eq!(events().await, 1 + 6, "one too many");
    // By hand.
    server.sql("delete from clicks where at = (select max(at) from clicks)").unwrap();
    assert_eq!(events().await, 1 + 6, "two too many");
    // Whole ones.
    assert_eq!(store.purge_clicks(UnixMillis::parse("2026-03-01 00:00:00").unwrap(), 100).await.unwrap(), 1 + 3);
    assert_eq!(events().await, 1 + 6 - 4);
    assert_eq!(server.sql("select count(*) from clicks").unwrap(), "0");
    let ledger = store.click_ledger().await.unwrap();
    let counted = (ledger.delivered, ledger.raw, ledger.purged, ledger.rolled_up);
    assert_eq!(counted, (6, 0, 5, 6), "the audit counts rows: what went by hand is missing");
    store.close().await;
    let again = PostgresStore::open(&options(&server.url())).await.unwrap();
    assert_eq!(triggers(), Names::new(), "a node that starts does not bring them back");
    again.close().await;
}
