//! A server's database moves while clients create links and click on them; what they were told is compared with what is there.

use std::{
    collections::BTreeMap,
    io::{Read, Write},
    net::TcpStream,
    process::Stdio,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
    },
    thread,
    time::Duration,
};

use knurl_lab::servers::Postgres;
use serde_json::Value;

use super::{
    beside_server::{Served, eventually},
    knurl::Knurl,
};

/// What clients were told.
#[derive(Default)]
struct Ledger {
    /// Target and answered clicks of each link that was acknowledged.
    links: Mutex<BTreeMap<String, (String, u64)>>,
    refused: AtomicU64,
}

impl Ledger {
    fn acknowledge(&self, code: &str, target: &str) {
        self.links.lock().unwrap().insert(code.to_owned(), (target.to_owned(), 0));
    }

    fn any_code(&self, chance: usize) -> String {
        let links = self.links.lock().unwrap();
        links.keys().nth(chance % links.len()).unwrap().clone()
    }

    fn clicked(&self, code: &str) {
        self.links.lock().unwrap().get_mut(code).unwrap().1 += 1;
    }

    fn clicks(&self) -> u64 {
        self.links.lock().unwrap().values().map(|(_, clicks)| clicks).sum()
    }
}

/// Status, head and body of an answer on a connection of its own.
fn ask(addr: &str, request: &str) -> (u16, String, String) {
    let mut stream = TcpStream::connect(addr).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), head.to_owned(), body.to_owned())
}

fn click(addr: &str, code: &str) -> u16 {
    ask(addr, &format!("GET /{code} HTTP/1.1\r\nHost: {addr}\r\nUser-Agent: test\r\nConnection: close\r\n\r\n")).0
}

fn create(addr: &str, code: &str, target: &str) -> (u16, String, String) {
    let body = serde_json::json!({ "url": target, "custom_code": code }).to_string();
    let head = format!("POST /shorten HTTP/1.1\r\nHost: {addr}\r\nContent-Type: application/json\r\nConnection: close");
    ask(addr, &format!("{head}\r\nContent-Length: {}\r\n\r\n{body}", body.len()))
}

/// Creates, and clicks on what was created, until told to stop. Everything is answered 201 or 302, but creates behind the fence: 503.
fn load(ledger: &Ledger, addr: &str, name: &str, stop: &AtomicBool, act: impl FnOnce()) {
    thread::scope(|scope| {
        for worker in 0..2 {
            scope.spawn(move || {
                for n in 0.. {
                    let (code, target) = (format!("{name}{worker}x{n}"), format!("https://example.com/{name}/{worker}/{n}"));
                    let (status, head, body) = create(addr, &code, &target);
                    match status {
                        201 => ledger.acknowledge(&code, &target),
                        503 => {
                            assert!(
                                body.contains("\"code\":\"moving\"") && head.to_lowercase().contains("retry-after: 5"),
                                "{head} {body}"
                            );
                            ledger.refused.fetch_add(1, SeqCst);
                            thread::sleep(Duration::from_millis(2));
                        }
                        _ => panic!("{status}: {body}"),
                    }
                    if stop.load(SeqCst) {
                        return;
                    }
                }
            });
            scope.spawn(move || {
                for n in 0.. {
                    let code = ledger.any_code(n * 7919 + worker);
                    assert_eq!(click(addr, &code), 302, "redirects go on");
                    ledger.clicked(&code);
                    if stop.load(SeqCst) {
                        return;
                    }
                }
            });
        }
        act();
        stop.store(true, SeqCst);
    });
}

fn compare(ledger: &Ledger, server: &Postgres) {
    let query = "select short_code, target, coalesce(total, 0) from links left join link_totals on link_id = id order by 1";
    let there: BTreeMap<String, (String, u64)> = server
        .sql_in("home", query)
        .unwrap()
        .lines()
        .map(|line| {
            let columns: Vec<&str> = line.split('|').collect();
            (columns[0].to_owned(), (columns[1].to_owned(), columns[2].parse().unwrap()))
        })
        .collect();
    assert_eq!(there, *ledger.links.lock().unwrap());
}

#[test]
fn a_database_moves_under_load_and_every_link_and_click_is_there_once() {
    let server = Postgres::start().unwrap();
    let url = server.database("home").unwrap();
    let knurl = Knurl::new();
    let ledger = Ledger::default();
    knurl.write("urls.csv", many_links(3_000, &ledger));
    knurl.ok(&["import", "urls.csv"]);
    let served = Served::start(&knurl, &["--open"]);
    let there = ["move", "sqlite:data/knurl.db", &url];
    load(&ledger, &served.addr, "old", &AtomicBool::new(false), || {
        thread::sleep(Duration::from_millis(500));
        // Killed in the middle, as often as it takes to be past the beginning.
        for life_ms in [60, 120, 240] {
            let mut first = knurl.begin(&there, [Stdio::null(), Stdio::null(), Stdio::null()]);
            thread::sleep(Duration::from_millis(life_ms));
            let _ = first.kill();
            first.wait().unwrap();
        }
        let moved = knurl.json(&there);
        assert_eq!((&moved["moved"], &moved["already"]), (&true.into(), &false.into()), "{moved}");
        assert!(moved["rows"].as_u64().unwrap() > 6_000, "{moved}");
        // The old server redirects until it is told to stop, and takes no changes.
        let (clicks, refused) = (ledger.clicks(), ledger.refused.load(SeqCst));
        eventually("clicks and refusals after the move", || {
            ledger.clicks() > clicks + 100 && ledger.refused.load(SeqCst) > refused + 10
        });
    });
    assert_eq!(served.stop().0, 0);

    let refused = knurl.run(&["serve", "--listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0"]);
    assert!(refused.code == 1 && refused.err.contains("this database was moved to postgres://127.0.0.1"), "{refused:?}");
    assert!(!refused.err.contains("loopback-only"), "no password: {refused:?}");
    assert_eq!(knurl.json(&there)["already"], true);

    let knurl = knurl.in_environment(&[("KNURL_DATABASE_URL", &url)]);
    let served = Served::start(&knurl, &["--open"]);
    load(&ledger, &served.addr, "new", &AtomicBool::new(false), || thread::sleep(Duration::from_millis(500)));
    assert_eq!(served.stop().0, 0);
    // What a busy server did not take while this one stopped, the next start delivers.
    eventually("every click delivered", || {
        let is_delivered = knurl.json(&["audit"])["backlog"] == 0;
        if !is_delivered {
            assert_eq!(Served::start(&knurl, &["--open"]).stop().0, 0);
        }
        is_delivered
    });
    compare(&ledger, &server);
    let audit = knurl.json(&["audit"]);
    assert_eq!((&audit["verdict"], &audit["lost"], &audit["dropped"]), (&"holds".into(), &0.into(), &0.into()), "{audit}");
    assert_eq!(audit["rolled_up"].as_u64(), Some(ledger.clicks()), "{audit}");

    // And home again, into the file it came from.
    let back = knurl.json(&["move", &url, "sqlite:data/knurl.db"]);
    assert_eq!(back["moved"], true, "{back}");
    let knurl = knurl.in_environment(&[]);
    let audit = knurl.json(&["audit"]);
    assert_eq!((&audit["verdict"], audit["rolled_up"].as_u64()), (&"holds".into(), Some(ledger.clicks())), "{audit}");
    let served = Served::start(&knurl, &["--open"]);
    assert_eq!(click(&served.addr, &ledger.any_code(5)), 302);
    assert_eq!(create(&served.addr, "home", "https://example.com/home").0, 201);
    served.stop();
}

fn many_links(count: u64, ledger: &Ledger) -> String {
    let mut csv = "id,user_id,short_code,original_url,title,is_active,created_at,updated_at\n".to_owned();
    for n in 1..=count {
        let (code, target) = (format!("imp{n}"), format!("https://example.com/imported/{n}"));
        csv.push_str(&format!("{n},,{code},{target},,True,2025-01-01 00:00:00,2025-01-01 00:00:00\n"));
        ledger.acknowledge(&code, &target);
    }
    csv
}

#[test]
fn a_move_says_what_it_would_do_and_what_it_will_not() {
    let server = Postgres::start().unwrap();
    let url = server.database("home").unwrap();
    let knurl = Knurl::new();
    assert!(knurl.fails(1, &["move", "sqlite:data/knurl.db", &url]).contains("there is no database at data/knurl.db"));
    knurl.ok(&["link", "create", "https://example.com/", "--code", "hello"]);
    let survey = knurl.json(&["move", "sqlite:data/knurl.db", &url, "--dry-run"]);
    let of = |name: &str| survey["parts"].as_array().unwrap().iter().find(|part| part["part"] == name).unwrap()["rows"].clone();
    assert_eq!((of("links"), of("events"), of("users")), (Value::from(1), Value::from(1), Value::from(0)), "{survey}");
    assert_eq!(server.sql_in("home", "select count(*) from pg_class where relname = 'links'").unwrap(), "0", "nothing is changed");

    assert!(knurl.fails(1, &["move", "--abort", "sqlite:data/knurl.db"]).contains("no move goes out of"));
    assert!(knurl.fails(2, &["move", "mysql://ada:s3cret@db/links", &url]).contains("is named as"));
    assert!(knurl.fails(1, &["move", "sqlite:data/knurl.db", "postgres://ada:s3cret@127.0.0.1:1/x"]).contains("unavailable"));
    knurl.write("there.url", format!("{url}\n"));
    let text = knurl.ok(&["move", "sqlite:data/knurl.db", "@there.url"]);
    assert!(
        text.contains("the same on both sides") && text.contains("KNURL_DATABASE_URL") && !text.contains("loopback-only"),
        "{text}"
    );
    assert!(knurl.fails(1, &["link", "show", "hello"]).contains("this database was moved to postgres://127.0.0.1"));
    let refused = knurl.fails(1, &["move", "--abort", "sqlite:data/knurl.db", &url]);
    assert!(refused.contains("is live"), "{refused}");
    let there = knurl.in_environment(&[("KNURL_DATABASE_URL", &url)]);
    assert_eq!(there.json(&["link", "show", "hello"])["original_url"], "https://example.com/");
}
