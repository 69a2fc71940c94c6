//! A proxied connection: two sockets, two lanes, and an end that may be a reset.

use std::{
    io::{self, Read, Write},
    net::{Shutdown, SocketAddr, TcpStream},
    os::fd::AsFd,
    sync::Arc,
    thread,
    time::Duration,
};

use rustix::event::{PollFd, PollFlags, poll};

use super::{
    lane::Lane,
    toxic::{Cut, Direction, Toxic, Treatment},
};
use crate::dice::Dice;

/// On loopback a connect that takes longer will not come.
const CONNECT_WITHIN: Duration = Duration::from_secs(10);

/// Never blocks inside the kernel's read or write but in poll, so that it can be reset while somebody waits.
#[derive(Debug)]
pub(super) struct Socket(TcpStream);

impl Socket {
    pub(super) fn new(stream: TcpStream) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        Ok(Self(stream))
    }

    fn ready(&self, for_what: PollFlags) -> io::Result<()> {
        let mut fds = [PollFd::new(&self.0, for_what)];
        match poll(&mut fds, None) {
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    pub(super) fn read(&self, into: &mut [u8]) -> io::Result<usize> {
        loop {
            match (&self.0).read(into) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.ready(PollFlags::IN)?,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                done => return done,
            }
        }
    }

    pub(super) fn write_all(&self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            match (&self.0).write(bytes) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(n) => bytes = &bytes[n..],
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.ready(PollFlags::OUT)?,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// No more is written: the peer reads an end.
    pub(super) fn end(&self) {
        // Gone already is as good.
        let _ = self.0.shutdown(Shutdown::Write);
    }

    fn cut(&self, how: Cut) {
        let is_reset = how == Cut::Reset && rustix::net::connect_unspec(self.0.as_fd()).is_ok();
        if !is_reset {
            // Gone already is as good.
            let _ = self.0.shutdown(Shutdown::Both);
        }
    }
}

#[derive(Debug)]
pub(super) struct Connection {
    number: u64,
    /// Of the proxy: its seed and name.
    dice: [u64; 2],
    client: Socket,
    server: Socket,
    up: Lane,
    down: Lane,
}

impl Connection {
    /// Connects to the upstream; toxics are set before the first byte.
    pub(super) fn open(client: TcpStream, upstream: SocketAddr, number: u64, dice: [u64; 2]) -> io::Result<Self> {
        let server = Socket::new(TcpStream::connect_timeout(&upstream, CONNECT_WITHIN)?)?;
        let client = Socket::new(client)?;
        let none: Arc<[Toxic]> = Arc::from([]);
        Ok(Self { number, dice, client, server, up: Lane::new(Arc::clone(&none)), down: Lane::new(none) })
    }

    pub(super) fn set(&self, toxics: &[Toxic]) {
        let of = |stream: Direction| toxics.iter().filter(|toxic| toxic.stream == stream && self.is_hit(toxic)).cloned().collect();
        self.up.set(of(Direction::Upstream));
        self.down.set(of(Direction::Downstream));
    }

    /// Thrown once for each toxic and connection: the answer does not change while both last.
    fn is_hit(&self, toxic: &Toxic) -> bool {
        let [seed, name] = self.dice;
        Dice::new(seed, &[name, self.number, fnv(&toxic.name)]).unit() < toxic.toxicity
    }

    pub(super) fn cut(&self, how: Cut) {
        // Sockets first: a lane that sees its cut ends the connection in the ordinary way, and that must come too late.
        self.client.cut(how);
        self.server.cut(how);
        self.up.cut();
        self.down.cut();
    }

    /// Until both directions have ended; `on_cut` before a toxic cuts it short.
    pub(super) fn run(&self, on_cut: &(dyn Fn() + Sync)) {
        let [seed, name] = self.dice;
        let treatment = |lane: u64| Treatment::new(Dice::new(seed, &[name, self.number, lane]));
        thread::scope(|scope| {
            let cut = |cut: Option<Cut>| {
                if let Some(how) = cut {
                    on_cut();
                    self.cut(how);
                }
            };
            let take_in = |lane: &Lane, source: &Socket| lane.take_in(source).unwrap_or_else(|_| self.cut(Cut::Reset));
            scope.spawn(move || take_in(&self.up, &self.client));
            scope.spawn(move || take_in(&self.down, &self.server));
            let up = scope.spawn(move || cut(self.up.give_out(&self.server, treatment(0))));
            cut(self.down.give_out(&self.client, treatment(1)));
            // It panicked: then it has ended too.
            let _ = up.join();
            // A lane whose other end is gone leaves its reader waiting for room.
            self.cut(Cut::Close);
        });
    }
}

/// FNV-1a: the same in every version.
pub(super) fn fnv(text: &str) -> u64 {
    text.bytes().fold(0xCBF2_9CE4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01B3))
}
