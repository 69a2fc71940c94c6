//! The fault proxy: clean it is invisible, and each toxic does what its name says.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should say where")]

use std::{
    io::{self, Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use knurl_lab::{
    dice::Dice,
    http::{Connection, Request},
    proxy::{Api, Direction, Proxies, Proxy, Toxic, ToxicKind, Wish},
};
use serde_json::{Value, json};

/// Nothing here takes this long unless it hangs.
const HUNG: Duration = Duration::from_secs(60);

/// Writes back what it reads, until the end.
fn echo() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            thread::spawn(move || {
                let mut writer = stream.try_clone().unwrap();
                // The peer was cut off: nothing to do.
                let _ = io::copy(&mut &stream, &mut writer);
                let _ = writer.shutdown(Shutdown::Write);
            });
        }
    });
    addr
}

fn connect(addr: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(addr).unwrap();
    stream.set_read_timeout(Some(HUNG)).unwrap();
    stream
}

fn random_bytes(len: usize, seed: u64) -> Vec<u8> {
    let mut dice = Dice::new(seed, &[]);
    (0..len.div_ceil(8)).flat_map(|_| dice.throw().to_le_bytes()).take(len).collect()
}

/// Sends `bytes`, ends, and reads until the end.
fn there_and_back(addr: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let stream = connect(addr);
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut dice = Dice::new(3, &[]);
            let mut rest = bytes;
            while !rest.is_empty() {
                let (now, later) = rest.split_at(dice.between(1, 50_000).min(rest.len() as u64) as usize);
                (&stream).write_all(now).unwrap();
                rest = later;
            }
            stream.shutdown(Shutdown::Write).unwrap();
        });
        let mut back = Vec::new();
        (&stream).read_to_end(&mut back).unwrap();
        back
    })
}

fn down(kind: ToxicKind) -> Toxic {
    Toxic::new(Direction::Downstream, kind)
}

fn up(kind: ToxicKind) -> Toxic {
    Toxic::new(Direction::Upstream, kind)
}

#[rstest::rstest]
#[case::clean(&[])]
#[case::sliced(&[ToxicKind::Slicer { average_size: 700, size_variation: 650, delay: 10 }])]
#[case::late(&[ToxicKind::Latency { latency: 30, jitter: 30 }])]
#[case::narrow(&[ToxicKind::Bandwidth { rate: 20_000 }, ToxicKind::SlowClose { delay: 50 }])]
fn every_byte_passes_unchanged_in_both_directions(#[case] kinds: &[ToxicKind]) {
    let proxy = Proxy::start("echo", echo(), 1).unwrap();
    for kind in kinds {
        proxy.add(up(kind.clone())).unwrap();
        proxy.add(down(kind.clone())).unwrap();
    }
    thread::scope(|scope| {
        for seed in 0..4 {
            let addr = proxy.addr();
            scope.spawn(move || {
                let bytes = random_bytes(1_000_003, seed);
                assert!(there_and_back(addr, &bytes) == bytes, "{seed}");
            });
        }
    });
    assert_eq!((proxy.fates().accepted, proxy.fates().cut), (4, 0));
}

#[test]
fn latency_is_added_to_a_live_connection_and_taken_away_again() {
    let proxy = Proxy::start("echo", echo(), 1).unwrap();
    let mut stream = connect(proxy.addr());
    let mut round_trip = || {
        let began = Instant::now();
        stream.write_all(b"x").unwrap();
        stream.read_exact(&mut [0]).unwrap();
        began.elapsed()
    };
    round_trip();
    proxy.add(down(ToxicKind::Latency { latency: 300, jitter: 0 })).unwrap();
    assert!(round_trip() >= Duration::from_millis(300));
    proxy.remove("latency_downstream");
    // The fastest of several: what else runs here may make one slow, not all.
    assert!((0..20).map(|_| round_trip()).min().unwrap() < Duration::from_millis(300));
}

#[test]
fn a_disabled_proxy_closes_refuses_keeps_its_port_and_comes_back() {
    let proxy = Proxy::start("echo", echo(), 1).unwrap();
    let mut stream = connect(proxy.addr());
    stream.write_all(b"x").unwrap();
    stream.read_exact(&mut [0]).unwrap();
    for _ in 0..3 {
        proxy.disable();
        assert_eq!(TcpStream::connect(proxy.addr()).unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
        proxy.enable().unwrap();
        assert_eq!(there_and_back(proxy.addr(), b"again"), b"again");
    }
    assert_eq!(stream.read(&mut [0]).unwrap(), 0);
}

#[test]
fn reset_peer_is_a_reset_and_not_an_end() {
    let proxy = Proxy::start("echo", echo(), 1).unwrap();
    let mut idle = connect(proxy.addr());
    idle.write_all(b"x").unwrap();
    idle.read_exact(&mut [0]).unwrap();
    proxy.add(down(ToxicKind::ResetPeer { timeout: 0 })).unwrap();
    assert_eq!(idle.read(&mut [0]).unwrap_err().kind(), io::ErrorKind::ConnectionReset);
    assert_eq!(proxy.fates().cut, 1);
}

#[test]
fn every_connection_can_be_reset_at_once() {
    let proxy = Proxy::start("echo", echo(), 1).unwrap();
    let mut streams: Vec<TcpStream> = (0..5).map(|_| connect(proxy.addr())).collect();
    for stream in &mut streams {
        stream.write_all(b"x").unwrap();
        stream.read_exact(&mut [0]).unwrap();
    }
    proxy.reset_connections();
    for stream in &mut streams {
        assert_eq!(stream.read(&mut [0]).unwrap_err().kind(), io::ErrorKind::ConnectionReset);
    }
}

#[test]
fn a_timeout_of_zero_hangs_until_it_is_removed() {
    let proxy = Proxy::start("echo", echo(), 1).unwrap();
    let mut stream = connect(proxy.addr());
    proxy.add(down(ToxicKind::Timeout { timeout: 0 })).unwrap();
    stream.write_all(b"lost").unwrap();
    stream.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    assert_eq!(stream.read(&mut [0]).unwrap_err().kind(), io::ErrorKind::WouldBlock);
    proxy.heal().unwrap();
    stream.set_read_timeout(Some(HUNG)).unwrap();
    assert_eq!(stream.read(&mut [0]).unwrap(), 0, "what was swallowed does not come back");
    assert_eq!(there_and_back(proxy.addr(), b"new"), b"new");
}

#[test]
fn a_limit_is_exact() {
    let proxy = Proxy::start("echo", echo(), 1).unwrap();
    proxy.add(down(ToxicKind::LimitData { bytes: 100_000 })).unwrap();
    let stream = connect(proxy.addr());
    thread::scope(|scope| {
        // Ends with an error when the proxy cuts.
        scope.spawn(|| (&stream).write_all(&random_bytes(500_000, 1)).is_ok());
        let mut back = Vec::new();
        // The end may be a reset, for what was never read.
        let _ = (&stream).read_to_end(&mut back);
        assert_eq!(back.len(), 100_000);
        let _ = stream.shutdown(Shutdown::Both);
    });
}

#[test]
fn a_reply_is_lost_after_the_server_has_seen_the_question() {
    let proxy = Proxy::start("echo", echo(), 1).unwrap();
    proxy.add(down(ToxicKind::CutAtPattern { pattern: "commit".to_owned(), probability: 1.0 })).unwrap();
    let mut stream = connect(proxy.addr());
    stream.write_all(b"begin").unwrap();
    let mut back = [0; 5];
    stream.read_exact(&mut back).unwrap();
    assert_eq!(&back, b"begin");
    stream.write_all(b"COM").unwrap();
    stream.read_exact(&mut back[..3]).unwrap();
    stream.write_all(b"MIT").unwrap();
    assert_eq!(stream.read(&mut back).unwrap_err().kind(), io::ErrorKind::ConnectionReset);
    assert_eq!(proxy.fates().cut, 1);
}

#[test]
fn the_same_seed_hits_the_same_connections() {
    let hits = |seed: u64| -> Vec<bool> {
        let proxy = Proxy::start("echo", echo(), seed).unwrap();
        let toxic = down(ToxicKind::LimitData { bytes: 0 });
        proxy.add(Toxic { toxicity: 0.5, ..toxic }).unwrap();
        (0..40).map(|_| there_and_back(proxy.addr(), b"x").is_empty()).collect()
    };
    let (first, again, other) = (hits(7), hits(7), hits(8));
    assert_eq!(first, again);
    assert_ne!(first, other);
    assert!((8..32).contains(&first.iter().filter(|hit| **hit).count()), "{first:?}");
}

fn ask(api: &Api, method: &str, path: &str, body: Option<&Value>) -> (u16, Value) {
    let body = body.map(ToString::to_string);
    let mut connection = Connection::open(api.addr()).unwrap();
    let answer = connection.ask(&Request::of(method, path, body.as_deref())).unwrap();
    let json = answer.json().unwrap_or_default();
    (answer.status, json)
}

#[test]
fn the_api_is_toxiproxys() {
    let proxies = Arc::new(Proxies::new(1));
    let api = Api::start("127.0.0.1:0".parse().unwrap(), Arc::clone(&proxies)).unwrap();
    let upstream = echo();
    assert!(ask(&api, "GET", "/version", None).1["version"].is_string());

    let (status, made) =
        ask(&api, "POST", "/proxies", Some(&json!({ "name": "db", "listen": "127.0.0.1:0", "upstream": upstream })));
    assert_eq!((status, &made["enabled"], &made["toxics"]), (201, &json!(true), &json!([])));
    let addr: SocketAddr = made["listen"].as_str().unwrap().parse().unwrap();
    assert_eq!(there_and_back(addr, b"abc"), b"abc");
    assert_eq!(ask(&api, "POST", "/proxies", Some(&json!({ "name": "db", "upstream": upstream }))).0, 409);
    assert_eq!(ask(&api, "GET", "/proxies", None).1["db"]["name"], "db");

    let toxic = json!({ "type": "latency", "attributes": { "latency": 5 } });
    let (status, added) = ask(&api, "POST", "/proxies/db/toxics", Some(&toxic));
    assert_eq!((status, &added["name"], &added["stream"]), (200, &json!("latency_downstream"), &json!("downstream")));
    assert_eq!(ask(&api, "POST", "/proxies/db/toxics", Some(&toxic)).0, 409);
    let (_, changed) = ask(&api, "POST", "/proxies/db/toxics/latency_downstream", Some(&json!({ "attributes": { "jitter": 3 } })));
    assert_eq!(changed["attributes"], json!({ "latency": 5, "jitter": 3 }));
    assert_eq!(ask(&api, "GET", "/proxies/db/toxics", None).1.as_array().unwrap().len(), 1);

    assert_eq!(ask(&api, "POST", "/proxies/db", Some(&json!({ "enabled": false }))).0, 200);
    assert!(TcpStream::connect(addr).is_err());
    assert_eq!(ask(&api, "POST", "/reset", None).0, 204);
    assert_eq!(ask(&api, "GET", "/proxies/db", None).1["toxics"], json!([]));
    assert_eq!(there_and_back(addr, b"abc"), b"abc");

    let wishes = json!([{ "name": "db", "listen": addr, "upstream": upstream }, { "name": "other", "upstream": upstream }]);
    assert_eq!(ask(&api, "POST", "/populate", Some(&wishes)).1["proxies"].as_array().unwrap().len(), 2);
    assert_eq!(ask(&api, "DELETE", "/proxies/other", None).0, 204);
    let unknown = ask(&api, "GET", "/proxies/other", None);
    assert_eq!(unknown, (404, json!({ "error": "proxy not found", "status": 404 })));
    assert_eq!(ask(&api, "DELETE", "/proxies/db/toxics/nothing", None).0, 404);
    assert_eq!(ask(&api, "POST", "/proxies/db/toxics", Some(&json!({ "type": "nonsense" }))).0, 400);
    assert_eq!(ask(&api, "POST", "/proxies/db/toxics", Some(&json!({ "type": "bandwidth", "attributes": { "rate": 0 } }))).0, 400);
    assert_eq!(ask(&api, "PUT", "/proxies/db", None).0, 405);
    let strange = json!({ "name": "far", "upstream": "192.0.2.1:80" });
    assert_eq!(ask(&api, "POST", "/proxies", Some(&strange)).0, 400);
    let many = (0..300).map(|n| proxies.create(&Wish { name: format!("p{n}"), enabled: Some(false), ..Wish::default() }, upstream));
    assert!(many.filter(Result::is_err).count() > 0, "proxies are bounded");
}

#[test]
fn one_connection_too_many_is_turned_away_and_counted() {
    let proxy = Proxy::start("echo", echo(), 1).unwrap();
    let mut held = Vec::new();
    let began = Instant::now();
    while proxy.fates().turned_away == 0 && began.elapsed() < HUNG {
        held.push(TcpStream::connect(proxy.addr()).unwrap());
    }
    assert!(held.len() > knurl_lab::proxy::CONNECTIONS_MAX, "{}", held.len());
    drop(held);
    // Those that ended make room.
    let began = Instant::now();
    let answers = || {
        let mut stream = connect(proxy.addr());
        stream.write_all(b"x").and_then(|()| stream.read_exact(&mut [0])).is_ok()
    };
    while !answers() {
        assert!(began.elapsed() < HUNG, "there is room again");
    }
}
