//! What each `sslmode` proves, against a server whose certificate names `localhost` and nothing else.
//!
//! The files in `certificates/` serve these tests alone: `server.pem` is signed by `authority.pem`, whose key nobody kept; `stranger.pem`
//! has signed nothing.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};

use crate::*;

const CERTIFICATES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/postgres/certificates");

/// A server that offers TLS.
fn server_with_tls() -> Postgres {
    let server = Postgres::start().unwrap();
    let owner = std::fs::metadata(server.data_dir()).unwrap();
    for name in ["server.pem", "server.key"] {
        let place = server.data_dir().join(name);
        std::fs::copy(format!("{CERTIFICATES}/{name}"), &place).unwrap();
        std::fs::set_permissions(&place, std::fs::Permissions::from_mode(0o600)).unwrap();
        chown(&place, Some(owner.uid()), Some(owner.gid())).unwrap();
    }
    for setting in ["ssl_cert_file = 'server.pem'", "ssl_key_file = 'server.key'", "ssl = on"] {
        server.sql(&format!("alter system set {setting}")).unwrap();
    }
    server.sql("select pg_reload_conf()").unwrap();
    server
}

/// Whether a session is encrypted; the refusal where there is none.
async fn session(url: &str) -> std::result::Result<bool, String> {
    let told = |error: StoreError| {
        let source = std::error::Error::source(&error).unwrap();
        source.source().map_or_else(|| source.to_string(), ToString::to_string)
    };
    let opened = tokio::time::timeout(NEVER, PostgresStore::open(&options(url))).await.expect("a handshake that never ends");
    let store = opened.map_err(told)?;
    store.ping().await.map_err(told)?;
    let (client, connection) = tokio_postgres::connect(url.split('?').next().unwrap(), tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    let encrypted = "select bool_and(ssl) from pg_stat_ssl join pg_stat_activity using (pid) where application_name = 'knurl'";
    Ok(client.query_one(encrypted, &[]).await.unwrap().get(0))
}

#[tokio::test(flavor = "multi_thread")]
async fn each_mode_proves_what_it_says() {
    let server = server_with_tls();
    let by_name = server.url().replace("127.0.0.1", "localhost");
    let by_address = server.url();
    // Reloading its settings takes the server a moment.
    until(|| async { session(&format!("{by_name}?sslmode=require")).await == Ok(true) }).await;
    let (ours, strangers) =
        (format!("sslrootcert={CERTIFICATES}/authority.pem"), format!("sslrootcert={CERTIFICATES}/stranger.pem"));
    for (url, query, expected) in [
        (&by_address, "sslmode=disable".to_owned(), Some(false)),
        (&by_address, "sslmode=prefer".to_owned(), Some(true)),
        (&by_address, "sslmode=require".to_owned(), Some(true)),
        (&by_address, format!("sslmode=require&{ours}"), Some(true)),
        (&by_address, format!("sslmode=require&{strangers}"), None),
        (&by_address, format!("sslmode=verify-ca&{ours}"), Some(true)),
        (&by_address, format!("sslmode=verify-ca&{strangers}"), None),
        (&by_name, format!("sslmode=verify-full&{ours}"), Some(true)),
        (&by_address, format!("sslmode=verify-full&{ours}"), None),
        (&by_name, format!("sslmode=verify-full&{strangers}"), None),
        (&by_name, "sslmode=verify-full&sslrootcert=%2Fnowhere.pem".to_owned(), None),
    ] {
        let found = session(&format!("{url}?{query}")).await;
        assert_eq!(found.clone().ok(), expected, "{query}: {found:?}");
        if expected.is_none() {
            assert!(!found.unwrap_err().contains("loopback-only"), "a refusal names no password");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_tls_is_used_only_where_that_is_allowed() {
    let server = Postgres::start().unwrap();
    assert_eq!(session(&format!("{}?sslmode=prefer", server.url())).await, Ok(false));
    let refused = session(&format!("{}?sslmode=require", server.url())).await.unwrap_err();
    assert!(refused.contains("TLS"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_is_told_and_not_repeated() {
    let server = Postgres::start().unwrap();
    let refused = session(&server.url().replace("loopback-only", "s3cret")).await.unwrap_err();
    assert!(refused.contains("28P01") && !refused.contains("s3cret"), "{refused}");
}

async fn until<F: Future<Output = bool>>(mut holds: impl FnMut() -> F) {
    let held = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(NEVER, held).await.expect("what never comes true");
}
