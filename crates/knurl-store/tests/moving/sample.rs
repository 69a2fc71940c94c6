//! A database in which there is something of everything.

use knurl_core::{
    UserId,
    event::NewEvent,
    key::KeyHash,
    link::{Expected, LinkPatch, NewLink, RedirectStatus},
    visitor::Salt,
};
use knurl_store::{
    ImportMode, Store,
    once::{Candidate, Once},
};

use crate::bench::*;

pub(crate) const LINKS: i64 = 60;

/// Through the store alone, as a server would.
pub(crate) async fn fill(store: &dyn Store) {
    let ada = store.create_user(username("Ada"), email("ada@example.com"), T0).await.unwrap();
    store.create_user(username("Grace \u{1f984}"), email("grace@example.com"), T0).await.unwrap();
    // Names that are another's, in whatever case: kept as twins.
    let twins = [user_row(40, "ada"), user_row(41, "ADA"), user_row(42, "Grace")];
    store.import_users(numbered(twins), ImportMode::Commit).await.unwrap();
    let gone = store.create_user(username("gone"), email("gone@example.com"), T0).await.unwrap();
    for n in 0..LINKS {
        let new = NewLink {
            title: (n % 3 == 0).then(|| format!("Nr. {n}: \u{e4}\u{f6}\u{fc} \u{4f60}\u{597d} \u{1f600}'\"\\")),
            owner: (n % 2 == 0).then_some(ada.id),
            expires_at: (n % 7 == 0).then(|| after(n)),
            is_active: n % 11 != 0,
            status: if n % 5 == 0 { RedirectStatus::Permanent308 } else { RedirectStatus::Found302 },
            ..new_link(&format!("code{n}"))
        };
        store.create_link(new, after(n)).await.unwrap();
    }
    store.create_link(NewLink { owner: Some(gone.id), ..new_link("goner") }, T0).await.unwrap();
    store.create_link(NewLink { domain: "s.example".into(), ..new_link("code1") }, T0).await.unwrap();
    store.delete_user(gone.id, after(9)).await.unwrap();
    // Codes of others, a link of nobody who is there, and one that was deleted elsewhere.
    let mut deleted = link_row(501, None, "deleted");
    deleted.deleted_at = Some(after(3));
    let imported = [link_row(500, Some(999), "code3"), deleted, link_row(502, Some(40), "code3")];
    store.import_links(numbered(imported), ImportMode::Commit).await.unwrap();
    let mut posted = event_row(3_000, 500, "click");
    posted.details = Some(r#"{"referrer":"https://news.example/x","user_agent":"curl/8"}"#.into());
    store.import_events(numbered([event_row(2_999, 500, "scanned"), posted]), ImportMode::Commit).await.unwrap();
    change(store, &ada.id).await;
    click_around(store).await;
    store.create_key("reader", KeyHash([1; 32]), T0).await.unwrap();
    let revoked = store.create_key("old", KeyHash([2; 32]), T0).await.unwrap();
    store.revoke_key(revoked.id, after(5)).await.unwrap();
    for n in 0..9 {
        // All at one time: they belong together, and are more than a page.
        let once = Once { id: [n; 32], fingerprint: [n + 1; 32] };
        let candidates = vec![Candidate { link: new_link(&format!("once{n}")), spare_codes: Vec::new() }];
        store.create_once(once, candidates, after(1)).await.unwrap();
    }
    store.visitor_salt(20_000, Salt([7; 16])).await.unwrap();
    store.visitor_salt(20_001, Salt([8; 16])).await.unwrap();
}

async fn change(store: &dyn Store, ada: &UserId) {
    let first = store.link_by_code("", &code("code2")).await.unwrap().unwrap();
    let patch = LinkPatch { title: Some(Some("changed".into())), is_active: Some(false), ..LinkPatch::default() };
    store.update_link(first.id, patch, after(100)).await.unwrap();
    let other = store.link_by_code("", &code("code4")).await.unwrap().unwrap();
    store.post_event(new_event(other.id, "\u{1f3e0} moved")).await.unwrap();
    store.delete_link(other.id, Expected::Any, "spam", after(101)).await.unwrap();
    store.update_user(*ada, None, Some(email("countess@example.com"))).await.unwrap();
    let click = NewEvent {
        user_id: Some(*ada),
        details: Some(r#"{"user_agent":"Mozilla/5.0 Firefox/100"}"#.into()),
        at: after(86_400_000 * 40),
        ..new_event(first.id, "click")
    };
    store.post_event(click).await.unwrap();
}

/// Spools, hours, days, referrers, visitors, undecodable records and some that retention took.
async fn click_around(store: &dyn Store) {
    let mut links = Vec::new();
    for n in 0..6 {
        links.push(store.link_by_code("", &code(&format!("code{}", 5 + n))).await.unwrap().unwrap());
    }
    let mut clicks = Vec::new();
    for n in 0..120_u64 {
        let mut click = click(&links[(n * n % 6) as usize], after(n as i64 * 1_800_000), n % 17);
        click.agent = if n % 4 == 0 { robot() } else { person() };
        click.referrer_host = (n % 3 != 0).then(|| format!("site{}.example", n % 12));
        clicks.push(click);
    }
    store.apply_clicks(batch(0, clicks)).await.unwrap();
    let mut lost = batch(120, Vec::new());
    (lost.to, lost.undecodable) = (cursor(123), 3);
    store.apply_clicks(lost).await.unwrap();
    let mut other = batch(0, vec![click(&links[0], after(5), 99)]);
    (other.from.spool_id, other.to.spool_id) = (7, 7);
    store.apply_clicks(other).await.unwrap();
    assert_eq!(store.purge_clicks(after(9_000_000), 3).await.unwrap(), 3);
}
