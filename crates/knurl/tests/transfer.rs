//! The importer's parser, and an import whose bytes arrive as those of a request body do.
#![allow(clippy::unwrap_used, reason = "test code outside a #[test] function")]

use std::{convert::Infallible, sync::Arc};

use bytes::Bytes;
use futures_util::stream;
use knurl::transfer::{self, Fate, ImportError, Kind, Parser, RECORD_BYTES_MAX};
use knurl_store::{
    ImportMode, Store,
    sqlite::{SqliteOptions, SqliteStore},
};
use proptest::prelude::*;

const USERS: &str = "id,username,email,created_at\n";

/// The file's kind, and of each row its line and whether it was good.
type Parsed = (Option<Kind>, Vec<(u64, bool)>);

/// `Err`: what was wrong with the header.
fn parse(pieces: &[&[u8]]) -> Result<Parsed, String> {
    let (mut parser, mut seen) = (Parser::default(), Vec::new());
    let mut failed = None;
    for piece in pieces {
        if failed.is_none() {
            failed = parser.feed(piece, &mut |line, _, row| seen.push((line, row.is_ok()))).err();
        }
    }
    if failed.is_none() {
        failed = parser.finish(&mut |line, _, row| seen.push((line, row.is_ok()))).err();
    }
    failed.map_or(Ok((parser.kind(), seen)), |error| Err(error.to_string()))
}

/// Texts that are nearly files of ours.
fn nearly_a_file() -> impl Strategy<Value = String> {
    let scrap = prop_oneof![
        Just("id,username,email,created_at\n".to_owned()),
        Just("id,url_id,user_id,event_type,timestamp,details\n".to_owned()),
        Just("1,ada,ada@example.com,2024-01-01 00:00:00\n".to_owned()),
        Just("1,1,1,click,2024-01-01 00:00:00,\"{\"\"a\"\":1}\"\r\n".to_owned()),
        Just("{\"id\":1,\"username\":\"a\",\"email\":\"a@b.c\",\"created_at\":\"2024-01-01\"}\n".to_owned()),
        Just("\"".to_owned()),
        Just("\r\n\n".to_owned()),
        "[ -~]{0,12}",
        "\\PC{0,4}",
    ];
    proptest::collection::vec(scrap, 0..12).prop_map(|scraps| scraps.concat())
}

proptest! {
    #[test]
    fn any_bytes_in_any_pieces_are_read_the_same_and_nothing_panics(text in nearly_a_file(), cut in 1usize..40) {
        let pieces: Vec<&[u8]> = text.as_bytes().chunks(cut).collect();
        prop_assert_eq!(parse(&[text.as_bytes()]), parse(&pieces));
    }

    #[test]
    fn bytes_that_are_no_text_do_not_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let mut file = USERS.as_bytes().to_vec();
        file.extend_from_slice(&bytes);
        let _ = parse(&[&file]);
        let _ = parse(&[&bytes]);
    }
}

#[test]
fn a_line_without_an_end_is_refused_as_one_row_and_the_next_file_is_read() {
    let mut file = USERS.as_bytes().to_vec();
    file.extend_from_slice(b"1,\"");
    file.resize(file.len() + 3 * RECORD_BYTES_MAX, b'x');
    assert_eq!(parse(&[&file]), Ok((Some(Kind::Users), vec![(2, false)])));
}

async fn import(store: &Arc<dyn Store>, pieces: Vec<Bytes>) -> Result<transfer::Report, ImportError> {
    transfer::users(store, stream::iter(pieces.into_iter().map(Ok::<_, Infallible>)), ImportMode::Commit).await
}

fn store(dir: &tempfile::TempDir) -> Arc<dyn Store> {
    Arc::new(SqliteStore::open(&dir.path().join("knurl.db"), &SqliteOptions::default()).unwrap())
}

#[tokio::test]
async fn a_body_of_users_is_imported_as_its_pieces_arrive() {
    let dir = tempfile::TempDir::new().unwrap();
    let store = store(&dir);
    let mut file = USERS.to_owned();
    for id in 1..=10_000 {
        file.push_str(&format!("{id},name{id},name{id}@example.com,2024-01-01 00:00:00\n"));
    }
    file.push_str("10001, ,blank@example.com,2024-01-01 00:00:00\n1,other,other@example.com,2024-01-01 00:00:01\n");
    // Cut where it hurts: in names, numbers and line breaks.
    let pieces: Vec<Bytes> = file.as_bytes().chunks(997).map(Bytes::copy_from_slice).collect();
    let report = import(&store, pieces.clone()).await.unwrap();
    assert_eq!((report.rows, report.inserted, report.refused, report.already_there), (10_002, 10_000, 2, 0));
    let refused: Vec<_> = report.reasons.iter().map(|r| (r.fate, r.field, r.first_lines.clone())).collect();
    assert!(refused.contains(&(Fate::Refused, "username", vec![10_002])), "{refused:?}");
    assert!(refused.contains(&(Fate::Refused, "id", vec![10_003])), "{refused:?}");
    assert_eq!(store.counts().await.unwrap().users, 10_000);

    let again = import(&store, pieces).await.unwrap();
    assert_eq!((again.inserted, again.already_there, again.refused), (0, 10_000, 2));
    store.close().await;
}

#[tokio::test]
async fn a_body_that_breaks_off_keeps_what_was_committed_and_says_so() {
    let dir = tempfile::TempDir::new().unwrap();
    let store = store(&dir);
    let pieces = [Ok(Bytes::from(USERS)), Err(std::io::Error::other("connection reset"))];
    let broken = transfer::users(&store, stream::iter(pieces), ImportMode::Commit).await;
    assert!(matches!(broken, Err(ImportError::Input(_))), "{broken:?}");
    let other = import(&store, vec![Bytes::from("id,url_id,user_id,event_type,timestamp,details\n")]).await;
    assert!(matches!(other, Err(ImportError::OtherKind { expected: Kind::Users, found: Kind::Events })), "{other:?}");
    let none = import(&store, vec![Bytes::from("a,b\n1,2\n")]).await;
    assert!(matches!(none, Err(ImportError::Header(_))), "{none:?}");
    assert_eq!(store.counts().await.unwrap().users, 0);
    store.close().await;
}
