//! `knurl-lab fleet` as a person starts it: PostgreSQL, Redis, nginx and three nodes, one Ctrl-C.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::{
    io::{BufRead as _, BufReader, Read as _},
    net::{SocketAddr, TcpStream},
    path::PathBuf,
    process::Stdio,
    time::{Duration, Instant},
};

use knurl_lab::{
    http::{Answer, Connection, Request},
    leash::{self, Leashed},
    process::find_binary,
};
use rustix::process::{Pid, Signal, kill_process};

const LONG: Duration = Duration::from_secs(60);

struct Running {
    child: Leashed,
    places: serde_json::Value,
}

impl Running {
    fn start(args: &[&str]) -> Self {
        let mut command = leash::command(env!("CARGO_BIN_EXE_knurl-lab"));
        command.args(["fleet", "--json", "--port", "0", "--knurl"]).arg(find_binary().unwrap()).args(args);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = leash::spawn(command).unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let places = serde_json::from_str(&line).unwrap_or_else(|error| {
            let mut words = String::new();
            child.stderr.take().unwrap().read_to_string(&mut words).unwrap();
            panic!("{error}: {line:?} {words}");
        });
        Self { child, places }
    }

    fn addr(&self, of: &str) -> SocketAddr {
        let place = self.places.pointer(of).unwrap().as_str().unwrap();
        place.trim_start_matches("http://").parse().unwrap()
    }

    fn ask(&self, of: &str, request: &Request<'_>) -> Answer {
        let key = format!("Bearer {}", self.places["admin_key"].as_str().unwrap());
        Connection::open(self.addr(of)).unwrap().ask(&request.clone().with(&[("Authorization", &key)])).unwrap()
    }

    fn stop(mut self) {
        kill_process(Pid::from_child(&self.child), Signal::INT).unwrap();
        let mut words = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut words).unwrap();
        assert!(self.child.wait().unwrap().success(), "{words}");
    }
}

#[test]
fn a_link_made_through_nginx_is_followed_on_every_node_and_its_clicks_are_seen_on_another() {
    let fleet = Running::start(&[]);
    let made = fleet.ask("/url", &Request::post("/shorten", r#"{"url":"https://example.com/"}"#));
    assert_eq!(made.status, 201, "{made:?}");
    let link = made.json().unwrap();
    let short_url = link["short_url"].as_str().unwrap();
    assert!(short_url.starts_with(fleet.places["url"].as_str().unwrap()), "what is handed out leads to nginx: {short_url}");
    let path = format!("/{}", link["short_code"].as_str().unwrap());
    for node in ["/nodes/0/listen", "/nodes/1/listen", "/nodes/2/listen", "/url"] {
        let answer = fleet.ask(node, &Request::get(&path));
        assert_eq!((answer.status, answer.header("location")), (302, Some("https://example.com/")), "{node}");
    }
    let (begun, show) = (Instant::now(), format!("/urls/{}", link["id"]));
    for node in ["/nodes/0/listen", "/nodes/1/listen", "/nodes/2/listen"] {
        loop {
            let shown = fleet.ask(node, &Request::get(&show)).json().unwrap();
            if shown["click_count"] == 4 {
                break;
            }
            assert!(begun.elapsed() < LONG, "four clicks by four ways are counted once each: {shown}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
    assert_eq!(
        Connection::open(fleet.addr("/url")).unwrap().ask(&Request::get("/urls")).unwrap().status,
        401,
        "strangers need the key"
    );
    let gone: Vec<PathBuf> = ["dir", "front_dir"].iter().map(|dir| fleet.places[dir].as_str().unwrap().into()).collect();
    let addrs = [fleet.addr("/url"), fleet.addr("/nodes/0/listen"), fleet.addr("/nodes/2/metrics_listen")];
    assert!(gone.iter().all(|dir| dir.exists()));
    fleet.stop();
    for addr in addrs {
        assert!(TcpStream::connect(addr).is_err(), "{addr} still listens");
    }
    assert!(gone.iter().all(|dir| !dir.exists()), "nothing is left behind");
}
