//! Many at once: links as JSON, users as CSV.

use serde_json::{Value, json};

use crate::test_app::{Backend, TestApp};

pub(crate) async fn every_item_of_a_bulk_create_is_judged_by_itself(on: Backend) {
    let app = on.app().await;
    let user = app.user("ada").await;
    let good = |n: i32| json!({"user_id": user, "original_url": format!("https://example.org/{n}")});
    let items = json!([
        good(0),
        {"user_id": "1", "original_url": "https://example.org"},
        {"user_id": user, "original_url": "https://example.org", "custom_code": "mine"},
        {"user_id": user, "original_url": "https://example.org", "custom_code": "mine"},
        {"user_id": 424_242, "original_url": "https://example.org"},
        17,
        {"user_id": user, "original_url": "https://example.org", "find_if_exists": true},
        good(7),
    ]);
    for path in ["/urls/bulk", "/api/v1/urls/bulk"] {
        let first = path == "/urls/bulk";
        let body = if first { items.clone() } else { json!({"urls": items}) };
        let answer = app.post(path, body).await.is(207);
        let results = answer["results"].as_array().unwrap();
        let statuses: Vec<_> = results.iter().map(|result| result["status"].as_u64().unwrap()).collect();
        assert_eq!(statuses, [201, 400, if first { 201 } else { 409 }, 409, 404, 400, 400, 201]);
        let (count, failed) = if first { (3, 5) } else { (2, 6) };
        assert_eq!((&answer["count"], &answer["failed"]), (&json!(count), &json!(failed)));
        assert_eq!(results[0]["url"]["original_url"], "https://example.org/0");
        assert_eq!(results[7]["url"]["original_url"], "https://example.org/7");
        assert_eq!((&results[1]["code"], &results[1]["errors"][0]["field"]), (&json!("invalid_field"), &json!("user_id")));
        assert_eq!(results[3]["code"], "short_code_taken");
        assert_eq!(results[4]["code"], "user_not_found");
        assert_eq!(results[5]["code"], "not_an_object");
        assert!(results.iter().filter(|r| r["status"] != 201).all(|r| r["error"].as_str().is_some_and(|e| !e.is_empty())));
    }
    let none = app.post("/urls/bulk", json!([{"user_id": 424_242, "original_url": "https://example.org"}, 17])).await;
    let problem = none.fails(422, "nothing_created");
    assert_eq!(
        (&problem["failed"], &problem["results"][0]["status"], &problem["results"][1]["status"]),
        (&json!(2), &json!(404), &json!(400))
    );
    assert_eq!(problem["results"][1]["code"], "not_an_object");
    let full: Vec<_> = (0..1000).map(good).collect();
    assert_eq!(app.post("/urls/bulk", json!(full)).await.is(201)["count"], 1000);
    let too_many: Vec<_> = (0..1001).map(good).collect();
    for body in [json!([]), json!({"urls": []}), json!(too_many), json!({"urls": {}}), json!({})] {
        app.post("/urls/bulk", body).await.fails_for(400, "invalid_field", "urls");
    }
    app.post("/urls/bulk", json!("x")).await.fails(400, "not_an_object");
    app.stop().await;
}

const CSV: &str = "id,username,email,created_at\n\
    7,ada,ada@example.org,2026-01-02 03:04:05\n\
    9,bob,bob@example.org,2026-01-02 03:04:06\n\
    11,ada,ada2@example.org,2026-01-02 03:04:07\n";

fn multipart(field: &str, file: &str) -> String {
    format!(
        "--XyZ\r\nContent-Disposition: form-data; name=\"{field}\"; filename=\"users.csv\"\r\nContent-Type: text/csv\r\n\r\n{file}\r\n--XyZ--\r\n"
    )
}

async fn upload(app: &TestApp, body: &str) -> Value {
    app.send("POST", "/users/bulk", &[("content-type", "multipart/form-data; boundary=XyZ")], body.as_bytes()).await.is(201)
}

pub(crate) async fn a_users_file_is_imported_with_its_ids_and_times(on: Backend) {
    let app = on.app().await;
    let answer = upload(&app, &multipart("file", CSV)).await;
    assert_eq!((&answer["count"], &answer["imported"], &answer["skipped"]), (&json!(3), &json!(3), &json!([])));
    let odd = &answer["notes"][0];
    assert_eq!(
        (&odd["field"], &odd["count"], &odd["lines"]),
        (&json!("username"), &json!(1), &json!([4])),
        "a duplicate is taken and told"
    );
    assert_eq!(app.get("/users").await.ids(), [7, 9, 11]);
    assert_eq!(app.get("/users/7").await.is(200)["created_at"], "2026-01-02T03:04:05");
    assert!(app.user("new").await > 11, "ids go on after the file's");

    let again = app.send("POST", "/api/v1/users/bulk", &[("content-type", "text/csv")], CSV.as_bytes()).await.is(201);
    assert_eq!((&again["count"], &again["imported"]), (&json!(3), &json!(0)), "there already");
    assert_eq!(again["skipped"][0]["count"], 3, "and says so");
    app.post("/users", json!({"username": "Ada", "email": "x@example.org"})).await.fails(409, "username_taken");
    app.stop().await;
}

pub(crate) async fn rows_that_cannot_be_users_are_skipped_and_told(on: Backend) {
    let app = on.app().await;
    let file = format!(
        "{CSV}12,,x@example.org,2026-01-02 03:04:05\nx,eve,eve@example.org,2026-01-02 03:04:05\n13,zoe,zoe@example.org,2026-01-02 03:04:05\n"
    );
    let answer = upload(&app, &multipart("file", &file)).await;
    assert_eq!(answer["imported"], 4);
    let lines: Vec<_> = answer["skipped"].as_array().unwrap().iter().flat_map(|s| s["lines"].as_array().unwrap().clone()).collect();
    assert!(lines.contains(&json!(5)) && lines.contains(&json!(6)), "{answer}");
    app.stop().await;
}

pub(crate) async fn what_is_no_users_file_is_refused(on: Backend) {
    let app = on.app_with(|config| config.http.bulk_body_bytes_max = 4096).await;
    let multipart_type = [("content-type", "multipart/form-data; boundary=XyZ")];
    let csv_type = [("content-type", "text/csv")];
    let post = async |headers: &[(&str, &str)], body: &str| app.send("POST", "/users/bulk", headers, body.as_bytes()).await;
    post(&multipart_type, &multipart("other", CSV)).await.fails(400, "invalid_file");
    post(&multipart_type, CSV).await.fails(400, "invalid_file");
    post(&[("content-type", "multipart/form-data")], CSV).await.fails(400, "invalid_file");
    post(&multipart_type, &multipart("file", "")).await.fails(400, "invalid_file");
    post(&csv_type, "").await.fails(400, "invalid_file");
    post(&csv_type, "a,b\n1,2\n").await.fails(400, "invalid_file");
    post(&csv_type, "id,user_id,short_code,original_url,title,is_active,created_at,updated_at\n").await.fails(400, "invalid_file");
    post(&[("content-type", "application/json")], "{}").await.fails(415, "unsupported_media_type");
    let large = format!("{CSV}{}", "x".repeat(5000));
    post(&csv_type, &large).await.fails(413, "body_too_large");
    post(&multipart_type, &multipart("file", &large)).await.fails(413, "body_too_large");
    app.stop().await;
}
