//! The files of deploy/nginx in a real nginx in front of a real node: what a client sees, what a node sees, what is logged.
#![allow(clippy::unwrap_used, reason = "test code outside a #[test] function")]

mod wire;

#[path = "nginx/agreement.rs"]
mod agreement;
#[path = "nginx/errors.rs"]
mod errors;
#[path = "nginx/nodes.rs"]
mod nodes;
#[path = "nginx/passing.rs"]
mod passing;

use std::net::SocketAddr;

use knurl::config::Config;
use knurl_lab::{
    fleet::front::{self, FrontSetup},
    servers::Nginx,
};
use wire::{Answer, Peer, Server};

/// nginx in front of a node that believes it.
struct Front {
    nginx: Nginx,
    node: Server,
}

impl Front {
    fn start() -> Self {
        Self::start_with(&FrontSetup::default(), |_| {})
    }

    fn start_with(setup: &FrontSetup, change: impl FnOnce(&mut Config)) -> Self {
        let node = Server::start_with(|config| {
            config.http.trusted_proxies = vec!["127.0.0.1".parse().unwrap()];
            change(config);
        });
        Self { nginx: front::start(&[node.addr()], setup).unwrap(), node }
    }

    fn addr(&self) -> SocketAddr {
        addr(&self.nginx)
    }

    fn ask(&self, request: &str) -> Answer {
        ask(self.addr(), request)
    }

    fn get(&self, path: &str) -> Answer {
        self.ask(&format!("GET {path} HTTP/1.1\r\nhost: t\r\n\r\n"))
    }
}

fn addr(nginx: &Nginx) -> SocketAddr {
    ([127, 0, 0, 1], nginx.port()).into()
}

/// On a connection of its own.
fn ask(addr: SocketAddr, request: &str) -> Answer {
    let mut peer = Peer::to(addr);
    peer.send(request.as_bytes());
    peer.answer().expect("an answer")
}

fn post(path: &str, body: &str) -> String {
    format!("POST {path} HTTP/1.1\r\nhost: t\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}

/// The line of the access log that holds `what`; nginx writes it after the answer.
fn logged(nginx: &Nginx, what: &str) -> serde_json::Value {
    let begun = std::time::Instant::now();
    loop {
        let log = std::fs::read_to_string(front::access_log(nginx)).unwrap();
        if let Some(line) = log.lines().find(|line| line.contains(what)) {
            return serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        }
        assert!(begun.elapsed() < wire::LONG, "no line holds {what}: {log}");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
}
