//! A row that does not arrive as it left: it is found, and mended or refused, whoever made it so. Here the new database itself does.

use knurl_store::{StoreError, moving::Settings};

use crate::{bench::*, houses::*, sample};

/// Of a part: its name, a table of it, and what becomes of a row that is written there.
const WRONG: [(&str, &str, &str); 8] = [
    ("users", "users", "new.username := 'somebody'"),
    ("links", "links", "new.title := coalesce(new.title, '') || '.'"),
    ("events", "clicks", "new.user_id := 77"),
    ("keys", "keys", "new.hash := sha256(new.hash)"),
    ("days", "link_days", "new.agents := '{}'"),
    ("totals", "link_totals", "new.human := new.human + 1"),
    ("referrers", "link_referrers", "new.host := new.host || '.'"),
    ("spool cursors", "cursors", "new.seq := new.seq + 1"),
];

/// Few rounds, of few pieces: what never gets the same is given up in any case.
fn impatient() -> Settings {
    Settings { settling_rounds_max: 3, page_rows: 50, ..small() }
}

/// Rows that are written to the table arrive otherwise: the first ones, as many as `times`.
fn spoil(table: &str, how: &str, times: i64) -> String {
    format!(
        "create sequence tries; \
         create function spoil() returns trigger language plpgsql as $$ \
         begin if nextval('tries') <= {times} then {how}; end if; return new; end $$; \
         create trigger spoil before insert or update on {table} for each row execute function spoil()"
    )
}

async fn spoiled(table: &str, how: &str, times: i64) -> House {
    let house = House::postgres();
    house.open().await.close().await;
    let House::Postgres(database) = &house else { unreachable!() };
    crate::servers::sql(&database.url, &spoil(table, how, times)).await;
    house
}

async fn filled(house: House) -> House {
    let store = house.open().await;
    sample::fill(&*store).await;
    store.close().await;
    house
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_never_arrives_as_it_left_ends_the_move_and_the_old_database_stays_live() {
    let old = filled(House::sqlite()).await;
    for (n, (part, table, how)) in WRONG.into_iter().enumerate() {
        let new = spoiled(table, how, i64::MAX).await;
        let told = try_move(&old, &new, &impatient()).await.map_or_else(|error| error, |moved| panic!("{table}: {moved:?}"));
        let expected = format!("{part} differ after they were copied");
        assert!(matches!(&told, StoreError::Corrupt(why) if *why == expected), "{table}: {told:?}");
        let unfinished = new.try_open().await.unwrap_err().to_string();
        assert!(unfinished.contains("is not finished"), "{unfinished}");
        let store = old.open().await;
        store.create_link(new_link(&format!("goes-on{n}")), T0).await.unwrap();
        store.close().await;
    }
    let new = House::postgres();
    move_house(&old, &new).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_arrived_otherwise_is_found_and_mended() {
    for (_, table, how) in WRONG.into_iter().filter(|(_, table, _)| ["users", "links", "clicks", "link_totals"].contains(table)) {
        let (old, new) = (filled(House::sqlite()).await, spoiled(table, how, 3).await);
        let before = old.tallies().await;
        let moved = try_move(&old, &new, &small()).await.unwrap_or_else(|error| panic!("{table}: {error:?}"));
        let House::Postgres(database) = &new else { unreachable!() };
        // Fails where no row was spoiled.
        crate::servers::sql(&database.url, "select 1 / (last_value > 3)::integer from tries").await;
        assert_eq!(new.tallies().await, before, "{table}");
        assert!(moved.parts.iter().all(|part| before.contains(part)), "{table}: it is told as it is");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_does_not_keep_what_is_written_to_it_is_not_moved_into() {
    let (old, new) = (filled(House::postgres()).await, House::sqlite());
    new.open().await.close().await;
    new.by_hand(
        "create trigger spoil after insert on links begin update links set title = 'another' where id = new.id; end; \
         create trigger spoil_too after update on links begin update links set title = 'another' where id = new.id; end",
    );
    let told = try_move(&old, &new, &impatient()).await.unwrap_err();
    assert!(matches!(&told, StoreError::Corrupt(why) if why == "links differ after they were copied"), "{told:?}");
    old.open().await.create_link(new_link("goes-on"), T0).await.unwrap();
    new.by_hand("drop trigger spoil; drop trigger spoil_too");
    move_house(&old, &new).await;
    assert_eq!(new.tallies().await, old.tallies().await);
}
