//! A file in any pieces gives the same rows; every row that is taken could be served.
#![no_main]

use knurl::transfer::{HeaderError, Parser, Row};
use knurl_core::{Event, ShortCode, UnixMillis};
use knurl_fuzz::Input;
use libfuzzer_sys::fuzz_target;

type Rows = Vec<(u64, usize, Result<Row, (&'static str, &'static str)>)>;

fn parse<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> (Rows, Result<(), HeaderError>) {
    let (mut parser, mut rows) = (Parser::default(), Rows::new());
    let mut sink = |line, size, row: Result<Row, knurl::transfer::Refusal>| {
        rows.push((line, size, row.map_err(|refusal| (refusal.field, refusal.reason))));
    };
    let mut fed = Ok(());
    for piece in pieces {
        fed = parser.feed(piece, &mut sink);
        if fed.is_err() {
            break;
        }
    }
    let end = fed.and_then(|()| parser.finish(&mut sink));
    (rows, end)
}

fn check(row: &Row) {
    let in_range = |at: UnixMillis| assert!((UnixMillis::MIN..=UnixMillis::MAX).contains(&at));
    match row {
        Row::User(user) => {
            assert!(user.id.0 > 0 && !user.username.is_empty() && user.email.contains('@'));
            in_range(user.created_at);
        }
        Row::Link(link) => {
            assert!(link.id.0 > 0 && ShortCode::parse(link.short_code.as_str()).is_ok());
            assert!(http::HeaderValue::from_str(&link.target.location()).is_ok());
            in_range(link.created_at);
            in_range(link.updated_at);
        }
        Row::Event(Event { id, link_id, details, at, .. }) => {
            assert!(id.0 > 0 && link_id.0 > 0);
            in_range(*at);
            if let Some(details) = details {
                let details: serde_json::Value = serde_json::from_str(details).expect("details are JSON");
                assert!(details.is_object());
            }
        }
    }
}

fuzz_target!(|data: &[u8]| {
    let mut input = Input(data);
    let piece_bytes = 1 + usize::from(input.u8());
    let file = input.rest();
    let whole = parse(std::iter::once(file));
    assert_eq!(whole, parse(file.chunks(piece_bytes)));
    let lines = 1 + file.iter().filter(|byte| matches!(byte, b'\n' | b'\r')).count() as u64;
    assert!(whole.0.len() as u64 <= lines);
    assert!(whole.0.is_sorted_by_key(|(line, ..)| *line));
    whole.0.iter().filter_map(|(.., row)| row.as_ref().ok()).for_each(check);
});
