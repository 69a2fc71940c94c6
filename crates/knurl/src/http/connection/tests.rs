//! What a head may hide, and connections that must end although something came at the wrong moment.

use std::sync::atomic::Ordering::SeqCst;

use tokio::{io::AsyncReadExt as _, net::TcpListener};

use super::{super::vitals::COARSE_BEHIND_MS, *};

/// Of a peer with everything.
const PATIENCE: Duration = Duration::from_millis(100);
/// A wait that has taken so long will not end.
const HUNG: Duration = Duration::from_secs(30);

/// Works for longer than a peer has patience for, and uses up all that its task may do in a turn before it answers.
struct Greedy;

impl Handler for Greedy {
    fn handle(&self, _: Peer, _: Request<Incoming>) -> Answering {
        Answering::Later(Box::pin(async {
            tokio::time::sleep(3 * PATIENCE).await;
            while tokio::task::coop::has_budget_remaining() {
                tokio::task::coop::consume_budget().await;
            }
            Response::new(Body::from("done"))
        }))
    }
}

/// A peer of a server that has it as its only one.
async fn peer() -> TcpStream {
    let patient = HttpConfig {
        first_byte_timeout: PATIENCE,
        header_timeout: PATIENCE,
        idle_timeout: PATIENCE,
        write_timeout: PATIENCE,
        ..crate::config::Config::default().http
    };
    let drain = Arc::new(Drain::default());
    let shared = Arc::new(Shared::new(Greedy, &patient, Arc::clone(&drain), Arc::default()));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let peer = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (stream, addr) = listener.accept().await.unwrap();
    tokio::spawn(serve(shared, stream, addr.ip(), drain.open(1).unwrap()));
    peer
}

async fn is_closed(mut peer: TcpStream) -> String {
    let mut said = String::new();
    tokio::time::timeout(HUNG, peer.read_to_string(&mut said)).await.expect("it is closed").unwrap();
    said
}

#[tokio::test]
async fn a_peer_loses_patience_although_the_coarse_clock_was_late_when_its_timer_fired() {
    let silent = peer().await;
    tokio::time::sleep(PATIENCE / 2).await;
    // Ticks that did not come, as on a machine that was not scheduled.
    COARSE_BEHIND_MS.store(300, SeqCst);
    tokio::time::sleep(2 * PATIENCE).await;
    COARSE_BEHIND_MS.store(0, SeqCst);
    assert_eq!(is_closed(silent).await, "");
}

#[tokio::test]
async fn a_peer_loses_patience_although_its_request_left_nothing_of_the_tasks_turn() {
    let mut idle = peer().await;
    idle.write_all(b"GET / HTTP/1.1\r\nhost: t\r\n\r\n").await.unwrap();
    assert!(is_closed(idle).await.ends_with("done"));
}

#[test]
fn a_head_that_names_two_lengths_or_lost_its_beginning_is_ambiguous() {
    let whole = b"\r\nPOST /urls HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n5\r\ncontent-length: 1";
    assert!(!disagrees(whole, 2));
    for (head, headers) in [
        (&b"POST /urls HTTP/1.1\r\nContent-Length : 5\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n"[..], 2),
        // The beginning, with its Content-Length, came together with the request before.
        (b"host: a\r\ntransfer-encoding: chunked\r\n\r\n", 2),
        (b"gth: 5\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n", 2),
        (b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n", 3),
    ] {
        assert!(disagrees(head, headers), "{}", String::from_utf8_lossy(head));
    }
}
