//! A collector that is away, hangs, or is slow: requests are answered as ever, memory has its bound, what is lost is counted, and a stop
//! comes to its end.

use knurl_lab::proxy::{Direction, Proxy, Toxic, ToxicKind};

use super::*;

/// So few that they are full soon.
const QUEUE_SPANS: usize = 64;

fn start(addr: SocketAddr, protocol: OtlpProtocol) -> Server {
    start_patient(addr, protocol, Duration::from_millis(200))
}

fn start_patient(addr: SocketAddr, protocol: OtlpProtocol, timeout: Duration) -> Server {
    let server = Server::start_with(|config| {
        to(addr, protocol, config);
        config.telemetry.queue_spans_max = QUEUE_SPANS;
        config.telemetry.timeout = timeout;
    });
    server.shorten("abc", "https://example.com/");
    server
}

/// More traces than fit, each answered; and no more of them waits than may.
fn is_answered_as_ever(server: &Server) {
    let mut peer = server.connect();
    for _ in 0..20 * QUEUE_SPANS {
        peer.send(b"GET /abc HTTP/1.1\r\nhost: t\r\n\r\n");
        assert_eq!(peer.answer().unwrap().status, 302);
        assert!(server.metric("knurl_traces_queued_spans") <= QUEUE_SPANS as f64);
    }
    assert!(server.metric("knurl_traces_dropped_total{reason=\"queue_full\"}") > 0.0, "what did not fit is counted");
}

/// Everything that was begun is in one of the counters in the end, and the end comes.
fn stops_with_its_books_in_order(server: Server) {
    let counts = std::sync::Arc::clone(&server.app.state().metrics.traces.counts);
    let begun = Instant::now();
    server.stop();
    assert!(begun.elapsed() < LONG, "a stop waits for no collector");
    assert!(counts.failures.get() > 0);
    assert!(counts.refused.get() + counts.abandoned.get() > 0, "what waited was given up and counted: {counts:?}");
}

#[test]
fn a_collector_that_is_away_costs_traces_and_nothing_else() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let server = start(port, OtlpProtocol::Grpc);
    is_answered_as_ever(&server);
    server.metric_reaches("knurl_traces_export_failures_total", 1.0);
    assert_eq!(server.metric("knurl_traces_exported_total"), 0.0);
    stops_with_its_books_in_order(server);
}

#[test]
fn a_collector_that_accepts_and_never_answers_costs_no_more() {
    let collector = Collector::start().unwrap();
    for (protocol, addr) in [(OtlpProtocol::Grpc, collector.grpc()), (OtlpProtocol::Http, collector.http())] {
        collector.pause();
        let server = start(addr, protocol);
        is_answered_as_ever(&server);
        server.metric_reaches("knurl_traces_export_failures_total", 1.0);
        assert_eq!(server.metric("knurl_traces_exported_total"), 0.0, "{protocol:?}");
        stops_with_its_books_in_order(server);
        collector.resume();
    }
}

#[test]
fn a_slow_collector_gets_what_it_can_take() {
    let collector = Collector::start().unwrap();
    let proxy = Proxy::start("collector", collector.grpc(), 7).unwrap();
    let kind = ToxicKind::Latency { latency: 100, jitter: 0 };
    proxy.add(Toxic::new(Direction::Downstream, kind)).unwrap();
    let server = start_patient(proxy.addr(), OtlpProtocol::Grpc, LONG);
    is_answered_as_ever(&server);
    server.metric_reaches("knurl_traces_exported_total", 1.0);
    server.stop();
}

#[test]
fn a_collector_that_comes_back_is_sent_to_again() {
    let mut collector = Collector::start().unwrap();
    let server = start(collector.grpc(), OtlpProtocol::Grpc);
    let click = || assert_eq!(ask(&server, "GET /abc", "").status, 302);
    click();
    server.metric_reaches("knurl_traces_exported_total", 1.0);
    collector.kill().unwrap();
    click();
    server.metric_reaches("knurl_traces_export_failures_total", 1.0);
    let before = server.metric("knurl_traces_exported_total");
    collector.start_again().unwrap();
    click();
    server.metric_reaches("knurl_traces_exported_total", before + 1.0);
    assert_eq!(server.metric("knurl_traces_queued_spans"), 0.0);
}

#[test]
fn without_an_endpoint_there_are_no_traces_and_no_word_of_them() {
    let server = Server::start_with(|config| config.http.trusted_proxies = vec!["127.0.0.1".parse().unwrap()]);
    server.shorten("abc", "https://example.com/");
    for _ in 0..2 {
        let answer = ask(&server, "GET /abc", &traceparent("01"));
        assert_eq!((answer.status, answer.header("traceresponse")), (302, None));
    }
    assert!(server.app.state().metrics.traces.tracer().is_none());
    server.stop();
}
