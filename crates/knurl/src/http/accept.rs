//! Listening, and the loop that accepts.
//!
//! Promised: the loop outlives every error of `accept` (backing off where the machine is out of something), never waits for a peer, and
//! holds the connections under a cap that leaves descriptors for files; a connection beyond it is answered 503 with `Retry-After` and
//! closed, so that a balancer learns it is overload and not death. Health and metrics have a listener, and a cap, of their own.
//! A drain that is not in a hurry resets nobody: see [`close`].

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use socket2::{Domain, Protocol, SockFilter, SockRef, Socket, Type};
use tokio::{
    net::{TcpListener, TcpStream},
    time::{Instant, timeout_at},
};

use super::{
    connection::{self, Handler, Shared},
    raw,
};

/// Connections the kernel completes for us ahead of `accept`; it cuts this to `net.core.somaxconn`.
const BACKLOG: i32 = 4096;
/// Of each connection, what the kernel takes of an answer that is not being read (it doubles this for its own needs); by itself it would take
/// megabytes, and a thousand peers that never read would have gigabytes. Enough for 2 MB a second to the other side of the world.
const SEND_BUFFER_BYTES: usize = 128 << 10;
/// Descriptors kept from the visitors: 64 for the metrics listener, [`REFUSALS_LINGERING_MAX`], and the rest for the database, the spool and
/// logs.
const FDS_RESERVED: u64 = 256;
/// With fewer there is no serving: a browser alone opens half a dozen connections.
const FDS_MIN: u64 = FDS_RESERVED + 64;
/// Of `connections_max = 0`: what one process serves at most even where descriptors abound (about 20 KB each).
const CONNECTIONS_MAX: usize = 65_536;
/// Refused connections that are given a moment to read why; beyond it they are closed at once.
const REFUSALS_LINGERING_MAX: usize = 64;
const BACKOFF_MIN: Duration = Duration::from_millis(5);
const BACKOFF_MAX: Duration = Duration::from_millis(500);

/// A listening socket, and whose it is.
#[derive(Debug)]
pub struct Listener {
    socket: TcpListener,
    /// Somebody else holds it too, and the process after us will accept from it.
    pub(super) outlives_us: bool,
}

impl From<TcpListener> for Listener {
    fn from(socket: TcpListener) -> Self {
        Self { socket, outlives_us: false }
    }
}

impl Listener {
    /// One that was listening before us and will be after us.
    pub fn handed_over(socket: std::net::TcpListener) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        SockRef::from(&socket).set_send_buffer_size(SEND_BUFFER_BYTES)?;
        Ok(Self { socket: TcpListener::from_std(socket)?, outlives_us: true })
    }
}

/// Binds and listens; nothing is accepted before [`run`].
pub fn listen(addr: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    // A restart must not wait for the last process's closed connections to be forgotten.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    // Connections have it from their listener: no call for each.
    socket.set_send_buffer_size(SEND_BUFFER_BYTES)?;
    socket.bind(&addr.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// The limit of open files leaves too few connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "only {0} files may be open at once and at least {FDS_MIN} are needed, one for each connection among them; raise the limit (`ulimit -n`, LimitNOFILE=)"
)]
pub struct TooFewFiles(u64);

/// Refuses a limit of open files under which accepting would fail for want of them.
pub fn enough_files() -> Result<(), TooFewFiles> {
    enough(files_max())
}

fn enough(files_max: u64) -> Result<(), TooFewFiles> {
    if files_max < FDS_MIN { Err(TooFewFiles(files_max)) } else { Ok(()) }
}

/// Raises the soft limit of descriptors to the hard one and returns it.
fn files_max() -> u64 {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        let raised = rustix::process::Rlimit { current: limit.maximum, maximum: limit.maximum };
        if setrlimit(Resource::Nofile, raised).is_ok() {
            limit = raised;
        }
    }
    limit.current.unwrap_or(u64::MAX)
}

/// How many connections fit under the limit of open files; `asked` 0 means as many as do.
pub fn connections_max(asked: usize) -> usize {
    connections_of(files_max(), asked)
}

fn connections_of(files_max: u64, asked: usize) -> usize {
    let fit = usize::try_from(files_max.saturating_sub(FDS_RESERVED)).unwrap_or(usize::MAX);
    if asked == 0 { fit.min(CONNECTIONS_MAX) } else { asked.min(fit) }
}

/// For the handshakes that had begun when the listener was told to close; a peer that takes longer is far away and asks again.
const HANDSHAKES: Duration = Duration::from_millis(100);

/// Accepts until the drain refuses; then the listening socket is closed.
pub(super) async fn run<H: Handler>(listener: Listener, shared: Arc<Shared<H>>, connections_max: usize) {
    let lingering = Arc::new(AtomicUsize::new(0));
    let mut backoff = BACKOFF_MIN;
    loop {
        let stopping = shared.drain.refused();
        if shared.drain.is_refusing() {
            return close(listener, &shared, connections_max).await;
        }
        let accepted = tokio::select! {
            accepted = listener.socket.accept() => accepted,
            () = stopping => continue,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                shared.metrics.accept_errors.inc();
                // The peer left while it waited: the next one is not to blame.
                if !matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset) {
                    tracing::warn!(%error, "accepting failed; trying again");
                    tokio::time::sleep(backoff).await;
                    backoff = (backoff * 2).min(BACKOFF_MAX);
                }
                continue;
            }
        };
        backoff = BACKOFF_MIN;
        take(&shared, stream, peer, connections_max, &lingering);
    }
}

fn take<H: Handler>(
    shared: &Arc<Shared<H>>,
    stream: TcpStream,
    peer: SocketAddr,
    connections_max: usize,
    lingering: &Arc<AtomicUsize>,
) {
    shared.metrics.accepted.inc();
    // Fails only on a connection that is gone, which the first read will tell.
    let _ = stream.set_nodelay(true);
    match shared.drain.open(connections_max) {
        Some(open) => {
            tokio::spawn(connection::serve(Arc::clone(shared), stream, peer.ip(), open));
        }
        None => {
            shared.metrics.refused.inc();
            refuse(stream, lingering);
        }
    }
}

/// Closes the listening socket. Closing resets what the kernel has completed and nobody has accepted: a peer that has sent its request by
/// then cannot know whether it was done. So where there is time, new handshakes are held off first (the peer's kernel asks again a second
/// later and is then refused, before it has sent anything), those under way are accepted, and the socket is closed when none is left.
/// One that outlives us is only let go: what it has completed waits for the process after us (and a filter would stay on it for ever).
async fn close<H: Handler>(listener: Listener, shared: &Arc<Shared<H>>, connections_max: usize) {
    if shared.drain.has_begun() || listener.outlives_us {
        return;
    }
    let listener = listener.socket;
    if let Err(error) = SockRef::from(&listener).attach_filter(&NO_NEW_HANDSHAKE) {
        tracing::debug!(%error, "new connections cannot be held off while the listener closes");
    }
    let deadline = Instant::now() + HANDSHAKES;
    let lingering = Arc::new(AtomicUsize::new(0));
    while let Ok(Ok((stream, peer))) = timeout_at(deadline, listener.accept()).await {
        take(shared, stream, peer, connections_max, &lingering);
    }
}

/// A classic BPF program: drops a segment that has SYN and not ACK, lets every other pass (the rest of handshakes under way).
const NO_NEW_HANDSHAKE: [SockFilter; 5] = {
    const LOAD_BYTE: u16 = 0x30;
    const AND: u16 = 0x54;
    const JUMP_IF_EQUAL: u16 = 0x15;
    const RETURN: u16 = 0x06;
    const FLAGS_AT: u32 = 13;
    const SYN: u32 = 0x02;
    const ACK: u32 = 0x10;
    [
        SockFilter::new(LOAD_BYTE, 0, 0, FLAGS_AT),
        SockFilter::new(AND, 0, 0, SYN | ACK),
        SockFilter::new(JUMP_IF_EQUAL, 0, 1, SYN),
        SockFilter::new(RETURN, 0, 0, 0),
        SockFilter::new(RETURN, 0, 0, u32::MAX),
    ]
};

fn refuse(stream: TcpStream, lingering: &Arc<AtomicUsize>) {
    if lingering.fetch_add(1, SeqCst) >= REFUSALS_LINGERING_MAX {
        lingering.fetch_sub(1, SeqCst);
        // A fresh socket takes this much without waiting; if it does not, the close has to say it.
        let _ = stream.try_write(&raw::OVERLOADED);
        return;
    }
    let lingering = Arc::clone(lingering);
    tokio::spawn(async move {
        connection::linger(stream, Some(raw::OVERLOADED.clone())).await;
        lingering.fetch_sub(1, SeqCst);
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cap_leaves_the_reserve_under_every_limit_that_is_not_refused() {
        for files in (0..5_000).chain([65_536, 1 << 20, u64::MAX]) {
            let most = connections_of(files, usize::MAX);
            match enough(files) {
                Err(refused) => assert!(files < FDS_MIN && refused.to_string().contains(&files.to_string()), "{files}"),
                Ok(()) => assert!(most >= 64 && most as u64 + FDS_RESERVED <= files, "{files}: {most}"),
            }
            assert_eq!(connections_of(files, 0), most.min(CONNECTIONS_MAX));
            assert_eq!(connections_of(files, 10), 10.min(most));
        }
    }

    #[test]
    fn the_reserve_has_room_for_all_that_is_kept_beside_connections() {
        assert!((super::super::observe::CONNECTIONS_MAX + REFUSALS_LINGERING_MAX) as u64 + 128 <= FDS_RESERVED);
    }
}
