//! The page of errors and the table of errors are one.

use std::{collections::BTreeSet, fs, path::Path};

use knurl::http::error::{Entry, TABLE, TYPE_PREFIX};

fn row(entry: &Entry) -> String {
    let retry = entry.retry_after_s.map_or_else(|| "no".to_owned(), |s| format!("after {s} s"));
    format!("| `{}` | {} | {} | {} |", entry.code, entry.status, entry.sentence.replace('|', "\\|"), retry)
}

#[test]
fn the_page_lists_every_code_as_the_table_has_it_and_no_other() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/errors.md");
    let page = fs::read_to_string(path).unwrap();
    let table = page.split("## All codes").nth(1).unwrap();
    let listed: Vec<_> = table.lines().filter(|line| line.starts_with("| `")).collect();
    let expected: Vec<_> = TABLE.iter().map(row).collect();
    assert_eq!(listed, expected, "docs/reference/errors.md should hold:\n{}\n", expected.join("\n"));
    assert!(page.contains(TYPE_PREFIX));
}

#[test]
fn codes_are_distinct_stable_words_and_sentences_are_sentences() {
    let codes: BTreeSet<_> = TABLE.iter().map(|entry| entry.code).collect();
    assert_eq!(codes.len(), TABLE.len());
    for entry in TABLE {
        assert!(entry.code.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'), "{}", entry.code);
        assert!((400..600).contains(&entry.status), "{}", entry.code);
        assert!(entry.sentence.ends_with('.') && entry.sentence.starts_with(char::is_uppercase), "{}", entry.sentence);
        let passes = [429, 503, 507].contains(&entry.status) || entry.code == "idempotency_in_flight";
        assert_eq!(entry.retry_after_s.is_some(), passes, "{}", entry.code);
    }
}
