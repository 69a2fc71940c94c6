//! Links from the command line follow the API's rules.

use rstest::rstest;

use super::knurl::Knurl;

#[test]
fn a_link_is_created_shown_changed_and_deleted() {
    let knurl = Knurl::new();
    let created = knurl.json(&[
        "link",
        "create",
        "https://example.com/a?b=c",
        "--title",
        "A page",
        "--status",
        "308",
        "--expires",
        "2099-01-01",
    ]);
    let code = created["short_code"].as_str().unwrap();
    assert_eq!(code.len(), 7);
    assert_eq!(created["short_url"], format!("http://127.0.0.1:8080/{code}"));
    assert_eq!((&created["redirect_status"], &created["expires_at"]), (&308.into(), &"2099-01-01T00:00:00Z".into()));
    assert_eq!(knurl.json(&["link", "show", code]), created);
    assert_eq!(knurl.json(&["link", "show", "--id", "1"]), created);
    assert_eq!(knurl.json(&["link", "show", &format!("https://sho.rt/{code}")]), created);

    let edited =
        knurl.json(&["link", "edit", code, "--url", "https://example.com/b", "--title", "", "--never-expires", "--status", "302"]);
    assert_eq!((&edited["original_url"], edited["title"].is_null()), (&"https://example.com/b".into(), true));
    assert_eq!((&edited["redirect_status"], edited["expires_at"].is_null()), (&302.into(), true));
    assert_eq!(knurl.json(&["link", "disable", code])["is_active"], false);
    assert_eq!(knurl.json(&["link", "enable", code])["is_active"], true);
    assert_eq!(knurl.json(&["link", "delete", code])["deleted"]["short_code"], code);
    assert!(knurl.fails(1, &["link", "show", code]).contains("there is no such link"));
    assert!(
        knurl.fails(1, &["link", "create", "https://example.com/", "--code", code]).contains("taken"),
        "a code is never given twice"
    );
}

#[test]
fn what_people_see_names_the_short_url_the_target_and_the_state() {
    let knurl = Knurl::new().with("KNURL_BASE_URL", "https://sho.rt/");
    let page = knurl.ok(&["link", "create", "https://example.com/", "--code", "hello", "--title", "Hi \u{1b}[31mthere"]);
    assert!(
        page.starts_with("https://sho.rt/hello\n  leads to   https://example.com/\n  title      Hi \\u{1b}[31mthere\n"),
        "{page}"
    );
    let list = knurl.ok(&["link", "list"]);
    assert_eq!(list.lines().count(), 2, "{list}");
    assert!(list.contains("hello") && list.contains("active") && !list.contains('\u{1b}'), "{list}");
    let stats = knurl.ok(&["link", "stats", "hello", "--by", "browser"]);
    assert!(stats.starts_with("DAY") && stats.contains("0 clicks (0 human, 0 bot), 0 visitors"), "{stats}");
    assert!(knurl.ok(&["link", "disable", "hello"]).contains("state      disabled"));
    assert!(knurl.ok(&["link", "delete", "hello"]).contains("deleted https://sho.rt/hello"));
}

#[test]
fn a_list_is_filtered_and_paged_by_id() {
    let knurl = Knurl::new();
    for n in 1..=5 {
        knurl.ok(&["link", "create", &format!("https://example.com/{n}"), "--title", if n % 2 == 0 { "even" } else { "odd" }]);
    }
    let ids = |args: &[&str]| {
        let listed = knurl.json(&[&["link", "list"], args].concat());
        listed.as_array().unwrap().iter().map(|link| link["id"].as_i64().unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(ids(&[]), [1, 2, 3, 4, 5]);
    assert_eq!(ids(&["--title", "EVEN"]), [2, 4]);
    assert_eq!(ids(&["--url", "/3"]), [3]);
    assert_eq!(ids(&["--after", "2", "--limit", "2"]), [3, 4]);
    knurl.ok(&["link", "disable", "--id", "5"]);
    assert_eq!(ids(&["--active", "false"]), [5]);
    assert!(knurl.ok(&["link", "list", "--limit", "2"]).ends_with("more: --after 2\n"));
}

#[rstest]
#[case::no_url("not a url", 2)]
#[case::scheme("javascript:alert(1)", 2)]
#[case::ourselves("http://127.0.0.1:8080/x", 2)]
#[case::header("https://example.com/\r\nSet-Cookie: a", 2)]
fn a_target_that_could_do_harm_is_refused(#[case] url: &str, #[case] code: i32) {
    Knurl::new().fails(code, &["link", "create", url]);
}

#[rstest]
#[case::unknown_command(&["lnik"])]
#[case::no_command(&[])]
#[case::missing(&["link", "create"])]
#[case::status(&["link", "create", "https://example.com/", "--status", "303"])]
#[case::when(&["link", "create", "https://example.com/", "--expires", "soon"])]
#[case::both(&["link", "show", "code", "--id", "1"])]
#[case::limit(&["link", "list", "--limit", "0"])]
fn wrong_usage_is_exit_code_2(#[case] args: &[&str]) {
    let ran = Knurl::new().run(args);
    assert_eq!((ran.code, ran.out.as_str()), (2, ""), "{ran:?}");
    assert!(ran.err.contains("--help") || ran.err.contains("Usage"), "it says where to look: {ran:?}");
}

#[rstest]
#[case::link(&["link", "edit", "hello"])]
#[case::link_by_id(&["link", "edit", "--id", "1"])]
#[case::user(&["user", "edit", "1"])]
fn an_edit_that_names_no_change_is_wrong_usage_as_it_is_for_the_api(#[case] args: &[&str]) {
    let knurl = Knurl::new();
    knurl.ok(&["link", "create", "https://example.com/", "--code", "hello"]);
    knurl.ok(&["user", "create", "ada", "ada@example.com"]);
    let said = knurl.fails(2, args);
    assert!(said.contains("nothing to change: name --"), "{said}");
}

#[rstest]
#[case::reserved("api")]
#[case::character("a b")]
#[case::long(&"x".repeat(65))]
fn a_code_that_could_not_be_served_is_refused(#[case] code: &str) {
    Knurl::new().fails(2, &["link", "create", "https://example.com/", "--code", code]);
}

#[test]
fn looking_at_a_directory_without_a_database_creates_nothing() {
    let knurl = Knurl::new();
    let line = knurl.fails(1, &["link", "list"]);
    assert!(line.contains("there is no database at ./data/knurl.db"), "{line}");
    assert!(!knurl.path("data").exists());
}

#[test]
fn an_alphabet_that_runs_out_grows_instead_of_failing() {
    let knurl = Knurl::new().with("KNURL_LINKS_CODE_ALPHABET", "ab").with("KNURL_LINKS_CODE_LENGTH", "1");
    let mut codes: Vec<String> =
        (0..8).map(|_| knurl.json(&["link", "create", "https://example.com/"])["short_code"].to_string()).collect();
    codes.sort();
    codes.dedup();
    assert_eq!(codes.len(), 8);
}
