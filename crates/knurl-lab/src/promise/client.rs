//! A client of a harness: it keeps its connection, as browsers and libraries do, or makes a new one for each request, as curl does.

use std::net::{Ipv4Addr, SocketAddr};

use crate::http::{Answer, Connection, Request, Unanswered};

#[derive(Debug)]
pub struct Client {
    addr: SocketAddr,
    source: Ipv4Addr,
    keeps: bool,
    connection: Option<Connection>,
}

/// Addresses of this machine that clients come from: each has ports of its own.
const SOURCES: u64 = 200;

impl Client {
    pub fn new(addr: SocketAddr, number: u64, keeps: bool) -> Self {
        let source = Ipv4Addr::new(127, 0, 0, 2 + (number % SOURCES) as u8);
        Self { addr, source, keeps, connection: None }
    }

    /// The answer to `request`, which is sent once. After `Unanswered` nobody knows what became of it.
    pub fn ask(&mut self, request: &Request<'_>) -> Result<Answer, Unanswered> {
        let mut connection = match self.connection.take() {
            Some(kept) => kept,
            None => Connection::open_from(self.source, self.addr)?,
        };
        let answer = connection.ask(request)?;
        let closes = answer.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"));
        self.connection = (self.keeps && !closes).then_some(connection);
        Ok(answer)
    }
}
