//! What arrives at the collector: names, parents, attributes, by both protocols; and what must not.

use std::sync::Arc;

use knurl::config::Database;
use knurl_lab::servers::{Postgres, Redis};
use knurl_store::postgres::PostgresOptions;

use super::*;

/// What stands for things of visitors and links that nobody else may learn.
const PRIVATE: &str = "user-agent: PrivateBrowser/1\r\nreferer: https://private.example/\r\nx-forwarded-for: 203.0.113.77\r\n";

fn arrives(protocol: OtlpProtocol, addr: fn(&Collector) -> SocketAddr) {
    let collector = Collector::start().unwrap();
    let server = Server::start_with(|config| to(addr(&collector), protocol, config));
    server.shorten("abc", "https://example.com/?token=private-token");

    // Not in memory yet: the database is asked.
    let answer = ask(&server, "GET /abc", &format!("{}tracestate: vendor=1\r\n{PRIVATE}", traceparent("01")));
    assert_eq!(answer.status, 302);
    let told = answer.header("traceresponse").unwrap().to_owned();
    assert!(told.starts_with(&format!("00-{TRACE}-")) && told.ends_with("-01"), "{told}");
    let is_server = |span: &Received| span.trace_id == TRACE && span.kind == "SERVER";
    let spans = when(&collector, is_server);
    let of_trace: Vec<Received> = spans.into_iter().filter(|span| span.trace_id == TRACE).collect();
    let (whole, tier, sql) =
        (named(&of_trace, "GET /{short_code}"), named(&of_trace, "resolve database"), named(&of_trace, "link_by_code"));
    assert_eq!((whole.parent.as_str(), whole.kind.as_str(), whole.state.as_str()), (PARENT, "SERVER", "vendor=1"));
    assert_eq!(told.split('-').nth(2), Some(whole.id.as_str()), "the caller finds this span by what it was told");
    assert_eq!((&tier.parent, tier.kind.as_str(), tier.attributes["knurl.said"].as_str()), (&whole.id, "INTERNAL", "known"));
    assert_eq!((&sql.parent, sql.kind.as_str(), sql.attributes["db.system.name"].as_str()), (&tier.id, "CLIENT", "sqlite"));
    for (inner, outer) in [(sql, tier), (tier, whole)] {
        assert!(outer.started_ns <= inner.started_ns && inner.ended_ns <= outer.ended_ns, "{inner:?} is a part of {outer:?}");
    }
    for (key, value) in [
        ("http.request.method", "GET"),
        ("http.route", "/{short_code}"),
        ("http.response.status_code", "302"),
        ("url.path", "/abc"),
        ("url.scheme", "http"),
    ] {
        assert_eq!(whole.attributes[key], value, "{key}");
    }

    // From memory.
    assert_eq!(ask(&server, "GET /abc", "").status, 302);
    let of_memory = |span: &Received| span.attributes.get("knurl.tier").is_some_and(|tier| tier == "memory");
    let spans = when(&collector, of_memory);
    let span = spans.iter().find(|span| of_memory(span)).unwrap();
    assert_eq!((span.name.as_str(), span.parent.as_str()), ("GET /{short_code}", ""));
    assert_eq!(span.attributes["knurl.redirect.outcome"], "redirected");

    // A create, with what the writer did for it, and the delivery of the clicks.
    let created = named(&spans, "POST /shorten");
    let of_create = |name: &str| spans.iter().find(|span| span.name == name && span.trace_id == created.trace_id);
    for statement in ["link_insert", "event_insert", "commit"] {
        assert_eq!(of_create(statement).map(|span| &span.parent), Some(&created.id), "{statement}");
    }
    let delivered = |span: &Received| span.name == "drain" && span.attributes.contains_key("knurl.clicks");
    let spans = when(&collector, delivered);
    let drain = spans.iter().find(|span| delivered(span)).unwrap();
    let cursor = spans.iter().find(|span| span.name == "cursor_put" && span.trace_id == drain.trace_id).unwrap();
    assert_eq!((drain.kind.as_str(), &cursor.parent), ("INTERNAL", &drain.id));

    server.stop();
    let text = collector.text();
    for private in ["private", "Private", "203.0.113.77"] {
        assert!(!text.contains(private), "{private} is nobody's business");
    }
}

#[test]
fn spans_arrive_by_grpc_with_their_parents_and_words() {
    arrives(OtlpProtocol::Grpc, Collector::grpc);
}

#[test]
fn and_by_http() {
    arrives(OtlpProtocol::Http, Collector::http);
}

#[test]
fn a_fleets_node_traces_its_replica_redis_and_postgresql() {
    let (collector, postgres, redis) = (Collector::start().unwrap(), Postgres::start().unwrap(), Redis::start().unwrap());
    let server = Server::start_with(|config| {
        to(collector.grpc(), OtlpProtocol::Grpc, config);
        config.database = Database::Postgres(Box::new(PostgresOptions::from_url(&postgres.url()).unwrap()));
        config.redis = Some(knurl::config::RedisConfig {
            url: redis.url().parse().unwrap(),
            timeout: Duration::from_secs(1),
            links_ttl: Duration::from_secs(600),
            prefix: "test".to_owned(),
        });
    });
    server.metric_reaches("knurl_redis_connected", 1.0);
    server.shorten("abc", "https://example.com/");
    let spans = when(&collector, |span| span.name == "POST /shorten");
    let created = named(&spans, "POST /shorten");
    let insert = spans.iter().find(|span| span.name == "links_create" && span.trace_id == created.trace_id).unwrap();
    assert_eq!(
        (&insert.parent, insert.attributes["db.system.name"].as_str()),
        (&created.id, "postgresql"),
        "by a lane that many share"
    );

    // Whatever the replica knows by now, nobody knows this one: all tiers are asked.
    assert_eq!(ask(&server, "GET /nosuch1", &traceparent("01")).status, 404);
    let spans = when(&collector, |span| span.trace_id == TRACE && span.kind == "SERVER");
    let of_trace: Vec<Received> = spans.into_iter().filter(|span| span.trace_id == TRACE).collect();
    let whole = named(&of_trace, "GET /{short_code}");
    for (tier, inner, system) in
        [("resolve redis", "redis get", "redis"), ("resolve database", "link_by_code", "postgresql"), ("resolve replica", "", "")]
    {
        let tier = named(&of_trace, tier);
        assert_eq!(tier.parent, whole.id);
        if !inner.is_empty() {
            let inner = named(&of_trace, inner);
            assert_eq!((&inner.parent, inner.attributes["db.system.name"].as_str()), (&tier.id, system), "{inner:?}");
        }
    }
    server.stop();
}

#[test]
fn what_a_stranger_says_of_traces_is_ignored() {
    let collector = Collector::start().unwrap();
    let server = Server::start_with(|config| {
        to(collector.grpc(), OtlpProtocol::Grpc, config);
        config.http.trusted_proxies = Vec::new();
    });
    server.shorten("abc", "https://example.com/");
    for _ in 0..2 {
        // Beyond memory, then from it.
        let answer = ask(&server, "GET /abc", &traceparent("01"));
        assert_eq!((answer.status, answer.header("traceresponse")), (302, None));
    }
    assert_eq!(ask(&server, "GET /urls/1", &traceparent("01")).status, 200);
    when(&collector, |span| span.name == "GET /urls/{id}");
    server.stop();
    let spans = collector.spans();
    assert!(spans.iter().all(|span| span.trace_id != TRACE && span.parent != PARENT), "{spans:#?}");
}

#[test]
fn by_chance_nothing_is_kept_but_errors_and_what_a_proxy_asks_for() {
    let (collector, postgres) = (Collector::start().unwrap(), Arc::new(std::sync::Mutex::new(Postgres::start().unwrap())));
    let url = postgres.lock().unwrap().url();
    let server = Server::start_with(|config| {
        to(collector.grpc(), OtlpProtocol::Grpc, config);
        config.telemetry.sample_one_in = 0;
        config.replica = false;
        config.database = Database::Postgres(Box::new(PostgresOptions::from_url(&url).unwrap()));
    });
    server.shorten("abc", "https://example.com/");
    for _ in 0..3 {
        assert_eq!(ask(&server, "GET /abc", &traceparent("00")).status, 302);
    }
    assert_eq!(ask(&server, "GET /abc", &traceparent("01")).status, 302);
    when(&collector, |span| span.trace_id == TRACE);
    postgres.lock().unwrap().kill().unwrap();
    let answer = ask(&server, "GET /nosuch1", "");
    assert_eq!(answer.status, 503);
    let spans = when(&collector, |span| span.attributes.get("http.response.status_code").is_some_and(|status| status == "503"));
    let failed =
        spans.iter().find(|span| span.attributes.get("http.response.status_code").is_some_and(|status| status == "503")).unwrap();
    assert_eq!(failed.attributes["error.type"], "unavailable");
    assert_eq!(failed.attributes["knurl.request_id"], answer.json()["request_id"].as_str().unwrap());
    let kept: Vec<_> = spans
        .iter()
        .filter(|span| span.kind == "SERVER")
        .map(|span| span.attributes["http.response.status_code"].as_str())
        .collect();
    assert_eq!(kept, ["302", "503"], "one was asked for, one failed");
}

#[test]
fn a_bucket_of_latency_leads_to_a_trace_where_openmetrics_is_asked_for() {
    let collector = Collector::start().unwrap();
    let server = Server::start_with(|config| to(collector.grpc(), OtlpProtocol::Grpc, config));
    server.shorten("abc", "https://example.com/");
    for _ in 0..2 {
        assert_eq!(ask(&server, "GET /abc", &traceparent("01")).status, 302);
    }
    let scrape = |accept: &str| {
        let mut peer = wire::Peer::to(server.app.metrics_addr());
        peer.send(format!("GET /metrics HTTP/1.1\r\nhost: t\r\n{accept}\r\n").as_bytes());
        peer.answer().unwrap()
    };
    let newer = scrape("accept: application/openmetrics-text; version=1.0.0\r\n");
    let exemplar = format!("# {{trace_id=\"{TRACE}\"}} ");
    assert!(
        newer.body.lines().any(|line| line.starts_with("knurl_redirect_duration_seconds_bucket") && line.contains(&exemplar)),
        "{}",
        newer.body
    );
    assert!(newer.body.lines().any(|line| line.starts_with("http_server_request_duration_seconds_bucket")
        && line.contains("http_route=\"/shorten\",http_response_status_code=\"201\"} ")
        && line.contains("# {trace_id=")));
    assert!(!scrape("").body.contains("trace_id"), "the older format has no word for it");
}
