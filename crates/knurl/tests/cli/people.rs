//! Users and keys.

use super::knurl::Knurl;

#[test]
fn a_user_is_created_shown_changed_listed_and_deleted_with_the_links() {
    let knurl = Knurl::new();
    let ada = knurl.json(&["user", "create", "ada", "ada@example.com"]);
    assert_eq!((&ada["id"], &ada["username"]), (&1.into(), &"ada".into()));
    assert_eq!(knurl.json(&["user", "show", "1"]), ada);
    assert!(knurl.fails(1, &["user", "create", "ADA", "other@example.com"]).contains("another user has this name"));
    assert!(knurl.fails(1, &["user", "create", "bob", "Ada@Example.com"]).contains("another user has this e-mail address"));
    knurl.fails(2, &["user", "create", " ", "x@example.com"]);
    knurl.fails(2, &["user", "create", "x", "nobody"]);
    assert_eq!(knurl.json(&["user", "edit", "1", "--email", "ada@example.org"])["email"], "ada@example.org");
    assert!(knurl.ok(&["user", "list"]).contains("ada@example.org"));
    assert_eq!(knurl.json(&["link", "create", "https://example.com/", "--user", "1"])["user_id"], 1);
    assert!(knurl.fails(1, &["link", "create", "https://example.com/", "--user", "2"]).contains("there is no such user"));
    assert_eq!(knurl.json(&["user", "delete", "1"])["deleted"]["links"], 1);
    assert_eq!(knurl.json(&["link", "list"]), serde_json::json!([]));
    assert!(knurl.fails(1, &["user", "show", "1"]).contains("there is no such user"));
}

#[test]
fn a_key_is_shown_once_and_can_be_revoked() {
    let knurl = Knurl::new();
    let created = knurl.json(&["key", "create", "ci"]);
    let secret = created["key"].as_str().unwrap();
    assert!(secret.starts_with("knurl_") && secret.len() == 49, "{secret}");
    let listed = knurl.ok(&["key", "list", "--json"]);
    assert!(listed.contains("\"ci\"") && !listed.contains(secret), "{listed}");
    let revoked = knurl.json(&["key", "revoke", &created["id"].to_string()]);
    assert!(revoked["revoked_at"].is_string());
    assert!(knurl.ok(&["key", "create", "second"]).starts_with("knurl_"));
    assert_eq!(knurl.ok(&["key", "list"]).lines().count(), 3);
    assert!(knurl.fails(1, &["key", "revoke", "99"]).contains("there is no such key"));
}
