//! Lets clients in, one task each, and sees them out.

use std::convert::Infallible;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::AsyncWriteExt as _;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::listener::{Listener, Stream};
use super::seats::{Seat, Seats};
use super::{Desk, Peer, Purpose, Rights, answer};
use crate::shell::broker::Rules;

/// Bytes of a request's line and header at most.
const HEADER_BYTES: usize = 16 << 10;
/// Lines of a request's header at most.
const HEADER_LINES: usize = 64;
/// How long to leave the kernel alone when it has no more file descriptors for us.
const EXHAUSTED: Duration = Duration::from_millis(200);

const TOO_MANY: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\n\
    connection: close\r\ncontent-length: 0\r\n\r\n";
const NOT_ALLOWED: &[u8] =
    b"HTTP/1.1 403 Forbidden\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";

/// A socket with what it is for.
#[derive(Debug)]
pub(super) struct Door {
    pub(super) listener: Listener,
    pub(super) purpose: Purpose,
    pub(super) admission: Admission,
}

/// Whom a socket is for, beside the rights of its file.
#[derive(Clone, Debug)]
pub(super) enum Admission {
    /// The agent's own user and root.
    Owner,
    /// Those, and of whom a rule speaks.
    Ruled(Arc<Rules>),
    /// Whoever reaches it.
    Anyone,
}

impl Admission {
    fn admits(&self, peer: Option<&Peer>) -> bool {
        match self {
            Self::Anyone => true,
            Self::Owner => peer.is_some_and(Peer::is_owner),
            Self::Ruled(rules) => peer.is_some_and(|peer| peer.is_owner() || rules.admit(peer)),
        }
    }

    /// What `peer` may ask for.
    fn rights(&self, peer: Option<Peer>) -> Rights {
        match (self, peer) {
            (Self::Ruled(rules), Some(peer)) if !peer.is_owner() => {
                Rights::Ruled(Arc::clone(rules), peer)
            }
            _ => Rights::Full,
        }
    }
}

impl Door {
    /// Serves until `stopping` is closed.
    pub(super) async fn serve(self, desk: Arc<Desk>, mut stopping: watch::Receiver<()>) {
        let seats = Arc::new(Seats::default());
        let mut tasks = JoinSet::new();
        loop {
            tokio::select! {
                accepted = self.listener.accept() => match accepted {
                    Ok((stream, peer)) if !self.admission.admits(peer.as_ref()) => {
                        turn_away(stream, NOT_ALLOWED).await;
                    }
                    Ok((stream, peer)) => match seats.take(desk.limits.connections) {
                        Some(seat) => {
                            let id = seat.id();
                            let desk = Arc::clone(&desk);
                            let visit = Visit {
                                purpose: self.purpose,
                                by_address: self.listener.address().is_some(),
                                rights: self.admission.rights(peer),
                                seat,
                            };
                            let served = connection(stream, visit, desk, stopping.clone());
                            seats.served_by(id, tasks.spawn(served));
                        }
                        None => turn_away(stream, TOO_MANY).await,
                    },
                    Err(error) if is_one_client_s(&error) => {}
                    Err(_) => {
                        if timeout(EXHAUSTED, stopping.changed()).await.is_ok() {
                            break;
                        }
                    }
                },
                Some(_) = tasks.join_next() => {}
                _ = stopping.changed() => break,
            }
        }
        drop(self.listener);
        while tasks.join_next().await.is_some() {}
    }
}

/// The client left before it was accepted (accept(2)).
fn is_one_client_s(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::Interrupted)
}

/// Says why, if that can be said without waiting.
async fn turn_away(mut stream: Box<dyn Stream>, reply: &[u8]) {
    let _ = timeout(Duration::ZERO, stream.write_all(reply)).await;
}

/// What a connection is for, and what it may.
pub(super) struct Visit {
    pub(super) purpose: Purpose,
    /// Over TCP, where a browser gets to.
    pub(super) by_address: bool,
    pub(super) rights: Rights,
    seat: Seat,
}

async fn connection(
    stream: Box<dyn Stream>,
    visit: Visit,
    desk: Arc<Desk>,
    mut stopping: watch::Receiver<()>,
) {
    let limits = desk.limits.clone();
    let service = service_fn(async |request| {
        let _busy = visit.seat.busy();
        Ok::<_, Infallible>(answer(&visit, request, &desk).await)
    });
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header)
        .max_buf_size(HEADER_BYTES)
        .max_headers(HEADER_LINES)
        .serve_connection(TokioIo::new(stream), service);
    let mut serving = pin!(serving);
    tokio::select! {
        // Whatever a client does wrong on the wire is its own affair.
        _ = &mut serving => return,
        _ = timeout(limits.connection, stopping.changed()) => {}
    }
    serving.as_mut().graceful_shutdown();
    let _ = timeout(limits.stop, serving).await;
}
