//! A listener that can refuse: while it is shut its port stays ours, and whoever connects is refused.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener, TcpStream},
    os::fd::OwnedFd,
};

use rustix::net::{
    AddressFamily, Shutdown, SocketFlags, SocketType, bind, getsockname, listen, shutdown, socket_with,
    sockopt::set_socket_reuseaddr,
};

const BACKLOG: i32 = 1024;
const TRIES: u32 = 20;

#[derive(Debug)]
pub(crate) struct Listener {
    socket: TcpListener,
    addr: SocketAddr,
}

impl Listener {
    /// Bound and shut. Port 0: any free one.
    pub(crate) fn bind(addr: SocketAddr) -> io::Result<Self> {
        let mut tries = 1;
        loop {
            // The kernel gives a port back when a listener is shut, unless it was asked for by number.
            let port = if addr.port() == 0 { TcpListener::bind(addr)?.local_addr()?.port() } else { addr.port() };
            match bound(SocketAddr::new(addr.ip(), port)) {
                Err(_) if addr.port() == 0 && tries < TRIES => tries += 1,
                done => return done,
            }
        }
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }

    pub(crate) fn open(&self) -> io::Result<()> {
        Ok(listen(&self.socket, BACKLOG)?)
    }

    /// Who waits in accept gets an error.
    pub(crate) fn shut(&self) {
        // Shut already is as good.
        let _ = shutdown(&self.socket, Shutdown::Both);
    }

    pub(crate) fn accept(&self) -> io::Result<TcpStream> {
        Ok(self.socket.accept()?.0)
    }
}

fn bound(addr: SocketAddr) -> io::Result<Listener> {
    let family = if addr.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let socket: OwnedFd = socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    set_socket_reuseaddr(&socket, true)?;
    bind(&socket, &addr)?;
    let addr = SocketAddr::try_from(getsockname(&socket)?).unwrap_or(addr);
    Ok(Listener { socket: TcpListener::from(socket), addr })
}

/// Any free port of the loopback.
pub(super) fn any() -> SocketAddr {
    SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0))
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, thread};

    use super::*;

    #[test]
    fn a_shut_listener_refuses_keeps_its_port_and_opens_again() {
        let listener = Arc::new(Listener::bind(any()).unwrap());
        let refused = || TcpStream::connect(listener.addr()).unwrap_err().kind() == io::ErrorKind::ConnectionRefused;
        assert!(refused());
        for _ in 0..3 {
            listener.open().unwrap();
            TcpStream::connect(listener.addr()).unwrap();
            listener.accept().unwrap();
            let waiting = thread::spawn({
                let listener = Arc::clone(&listener);
                move || listener.accept().is_err()
            });
            listener.shut();
            assert!(waiting.join().unwrap() && refused());
            let stranger = socket_with(AddressFamily::INET, SocketType::STREAM, SocketFlags::CLOEXEC, None).unwrap();
            assert!(bind(&stranger, &listener.addr()).is_err(), "the port is still ours");
        }
    }
}
