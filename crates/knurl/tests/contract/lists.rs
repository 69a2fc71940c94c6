//! Lists: filters, pages, totals, neighbours.

use serde_json::{Value, json};

use crate::test_app::{Answer, Backend};

fn total(answer: &Answer) -> u64 {
    answer.header("x-total-count").unwrap().parse().unwrap()
}

/// `rel` -> address of the `Link` header.
fn neighbour(answer: &Answer, rel: &str) -> Option<String> {
    let links = answer.header("link")?;
    let wanted = format!("; rel=\"{rel}\"");
    let link = links.split(", ").find(|link| link.ends_with(&wanted))?;
    Some(link.strip_prefix('<')?.split('>').next()?.to_owned())
}

pub(crate) async fn pages_are_arrays_with_totals_and_neighbours(on: Backend) {
    let app = on.app().await;
    let mut users = Vec::new();
    for number in 0..25 {
        users.push(app.user(&format!("user{number:02}")).await);
    }
    let all = app.get("/users").await;
    assert_eq!((all.ids(), total(&all)), (users.clone(), 25));
    assert_eq!(all.header("link"), None, "everything is there");

    let first = app.get("/users?page=1&per_page=10").await;
    assert_eq!((first.ids(), total(&first)), (users[..10].to_vec(), 25));
    assert_eq!(neighbour(&first, "first").as_deref(), Some("/users?page=1&per_page=10"));
    assert_eq!(neighbour(&first, "prev"), None);
    assert_eq!(neighbour(&first, "last").as_deref(), Some("/users?page=3&per_page=10"));
    let second = app.get(&neighbour(&first, "next").unwrap()).await;
    assert_eq!(second.ids(), users[10..20]);
    assert_eq!(neighbour(&second, "prev").as_deref(), Some("/users?page=1&per_page=10"));
    let third = app.get(&neighbour(&second, "next").unwrap()).await;
    assert_eq!((third.ids(), neighbour(&third, "next")), (users[20..].to_vec(), None));
    let beyond = app.get("/users?page=99&per_page=10").await;
    assert!(beyond.ids().is_empty());
    assert_eq!(neighbour(&beyond, "prev").as_deref(), Some("/users?page=3&per_page=10"));

    assert_eq!(app.get("/users?page=1").await.ids(), users[..20], "twenty where nothing is said");
    assert_eq!(app.get("/users?per_page=3").await.ids(), users[..3]);
    assert_eq!(app.get("/users?after_id=0").await.ids(), users);
    assert_eq!(app.get(&format!("/users?after_id={}", users[20])).await.ids(), users[21..]);
    let slice = app.get("/users?limit=5&offset=15").await;
    assert_eq!(slice.ids(), users[15..20]);
    assert_eq!(neighbour(&slice, "next").as_deref(), Some("/users?limit=5&offset=20"));
    let head = app.head("/users?page=1&per_page=10").await;
    assert_eq!((head.status, total(&head), head.body.len()), (200, 25, 0));
    app.stop().await;
}

pub(crate) async fn numbers_out_of_range_are_clamped_and_what_is_no_number_is_refused(on: Backend) {
    let app = on.app().await;
    let users = [app.user("ada").await, app.user("bob").await];
    for first in [
        "page=0",
        "page=-7",
        "page=1&per_page=1000000",
        "page=1&per_page=99999999999999999999",
        "limit=99999999999999999999",
        "offset=-5",
    ] {
        assert_eq!(app.get(&format!("/users?{first}")).await.ids(), users, "{first}");
    }
    for one in ["per_page=0", "per_page=-1", "limit=0", "limit=-9"] {
        assert_eq!(app.get(&format!("/users?{one}")).await.ids(), users[..1], "{one}");
    }
    for none in [
        "page=99999999999999999999",
        "page=9223372036854775807&per_page=1000",
        "offset=99999999999999999999",
        "after_id=9223372036854775807",
    ] {
        assert!(app.get(&format!("/users?{none}")).await.ids().is_empty(), "{none}");
    }
    for path in ["/users", "/urls", "/events", &format!("/users/{}/urls", users[0])] {
        for name in ["page", "per_page", "limit", "offset", "after_id"] {
            for wrong in ["abc", "", "1.5", "1e3", "0x1", "--1", "%00"] {
                app.get(&format!("{path}?{name}={wrong}")).await.fails_for(400, "invalid_parameter", name);
            }
        }
    }
    app.stop().await;
}

pub(crate) async fn links_are_filtered_by_owner_state_code_title_and_target(on: Backend) {
    let app = on.app().await;
    let (ada, bob) = (app.user("ada").await, app.user("bob").await);
    let make = async |user: i64, target: &str, title: Option<&str>| {
        let body = json!({"user_id": user, "original_url": target, "title": title});
        app.post("/urls", body).await.is(201)
    };
    let one = make(ada, "https://one.example/Path", Some("The First 100%")).await;
    let two = make(ada, "https://two.example/", Some("second_title")).await;
    let three = make(bob, "https://three.example/path", None).await;
    app.put(&format!("/urls/{}", two["id"]), json!({"is_active": false})).await.is(200);
    let id = |link: &Value| link["id"].as_i64().unwrap();
    let all = [id(&one), id(&two), id(&three)];
    let ask = async |query: &str| app.get(&format!("/urls{query}")).await.ids();
    assert_eq!(ask("").await, all, "ascending");
    assert_eq!(ask(&format!("?user_id={ada}")).await, all[..2]);
    assert!(ask("?user_id=424242").await.is_empty());
    assert!(ask("?user_id=99999999999999999999").await.is_empty());
    for truth in ["true", "True", "TRUE", "1"] {
        assert_eq!(ask(&format!("?is_active={truth}")).await, [all[0], all[2]], "{truth}");
    }
    for falsehood in ["false", "False", "FALSE", "0"] {
        assert_eq!(ask(&format!("?is_active={falsehood}")).await, [all[1]], "{falsehood}");
    }
    assert_eq!(ask(&format!("?short_code={}", three["short_code"].as_str().unwrap())).await, [all[2]]);
    assert!(ask("?short_code=nosuch").await.is_empty());
    assert_eq!(ask("?title=FIRST").await, [all[0]], "contains, whatever the case");
    assert_eq!(ask("?title=100%25").await, [all[0]], "a percent sign is a percent sign");
    assert_eq!(ask("?title=d_t").await, [all[1]], "and an underscore an underscore");
    assert_eq!(ask("?original_url=example%2Fpath").await, [all[0], all[2]]);
    assert_eq!(ask(&format!("?original_url=path&user_id={bob}&is_active=1")).await, [all[2]]);
    for (name, wrong) in [("is_active", "yes"), ("is_active", ""), ("is_active", "2"), ("user_id", "ada"), ("user_id", "")] {
        app.get(&format!("/urls?{name}={wrong}")).await.fails_for(400, "invalid_parameter", name);
    }
    for name in ["title", "original_url", "short_code"] {
        for text in ["%00", "p%00zzz"] {
            app.get(&format!("/urls?{name}={text}")).await.fails_for(400, "invalid_parameter", name);
        }
    }
    let several = app.get("/urls?is_active=x&page=y&title=%00&user_id=z").await.fails(400, "invalid_parameter");
    assert_eq!(several["errors"].as_array().unwrap().len(), 4, "every wrong parameter is named: {several}");
    let four = make(ada, "https://four.example/", Some("ÄPFEL und Birnen")).await;
    assert_eq!(ask("?title=%C3%84pfel+UND").await, [id(&four)], "the case of a to z does not matter");
    assert!(ask("?title=%C3%A4pfel").await.is_empty(), "that of other letters does");
    app.delete(&format!("/urls/{}", four["id"])).await.is(204);
    let paged = app.get(&format!("/urls?user_id={ada}&page=1&per_page=1")).await;
    assert_eq!((paged.ids(), total(&paged)), (vec![all[0]], 2));
    assert_eq!(neighbour(&paged, "next"), Some(format!("/urls?user_id={ada}&page=2&per_page=1")), "filters are carried along");

    assert_eq!(app.get(&format!("/users/{ada}/urls")).await.ids(), all[..2]);
    assert_eq!(app.get(&format!("/users/{ada}/urls?is_active=0")).await.ids(), [all[1]]);
    app.get("/users/424242/urls").await.fails(404, "user_not_found");
    app.stop().await;
}

pub(crate) async fn events_are_filtered_by_link_user_and_type(on: Backend) {
    let app = on.app().await;
    let (ada, bob) = (app.user("ada").await, app.user("bob").await);
    let (one, two) = (app.link(ada, "https://one.example").await, app.link(bob, "https://two.example").await);
    app.click(&one).await;
    app.click(&one).await;
    app.click(&two).await;
    let count = async |query: &str| app.events(query).await.len();
    assert_eq!(count("").await, 5);
    assert_eq!(count(&format!("url_id={}", one["id"])).await, 3);
    assert_eq!(count(&format!("user_id={ada}")).await, 3);
    assert_eq!(count("event_type=click").await, 3);
    assert_eq!(count(&format!("event_type=click&url_id={}", two["id"])).await, 1);
    assert_eq!(count("event_type=nosuch").await, 0);
    assert_eq!(count("url_id=424242").await, 0);
    assert_eq!(count("limit=2").await, 2);
    assert_eq!(count("limit=10&offset=4").await, 1);
    assert_eq!(count("page=2&per_page=4").await, 1);
    assert_eq!(app.get(&format!("/urls/{}/events?event_type=click", one["id"])).await.ids().len(), 2);
    for name in ["url_id", "user_id"] {
        app.get(&format!("/events?{name}=x")).await.fails_for(400, "invalid_parameter", name);
    }
    app.stop().await;
}

pub(crate) async fn an_unpaged_list_stops_at_its_bound_and_says_how_to_go_on(on: Backend) {
    let app = on.app().await;
    let rows = 10_001;
    let mut file = String::from("id,username,email,created_at\n");
    for id in 1..=rows {
        file.push_str(&format!("{id},user{id},user{id}@example.org,2026-01-02 03:04:05\n"));
    }
    app.send("POST", "/users/bulk", &[("content-type", "text/csv")], file.as_bytes()).await.is(201);
    for batch in 0..=10 {
        let size = if batch < 10 { 1_000 } else { 1 };
        let links: Vec<_> = (0..size).map(|_| json!({"user_id": 1, "original_url": "https://example.org"})).collect();
        assert_eq!(app.post("/urls/bulk", json!(links)).await.is(201)["failed"], 0);
    }
    for path in ["/users", "/urls", "/events", "/users/1/urls"] {
        let first = app.get(path).await;
        assert_eq!((first.ids().len(), total(&first)), (10_000, 10_001), "{path}");
        let next = neighbour(&first, "next").unwrap();
        assert_eq!(next, format!("{path}?after_id={}", first.ids()[9_999]));
        let rest = app.get(&next).await;
        assert_eq!((rest.ids().len(), neighbour(&rest, "next")), (1, None), "{path}");
    }
    app.stop().await;
}
