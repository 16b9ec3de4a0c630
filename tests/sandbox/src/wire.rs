//! Listeners and connections: plain or TLS, with a switch that resets a connection in mid-reply.

use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::{Extension, Router};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::clock::pause;

/// Connections at a time; further ones wait in the kernel's queue.
const MOST_CONNECTIONS: usize = 512;
/// For a TLS handshake, and for the head of a request.
const PATIENCE: Duration = Duration::from_secs(30);

/// A request's connection.
#[derive(Clone)]
pub(crate) struct Wire {
    reset: Arc<AtomicBool>,
    pub(crate) peer: SocketAddr,
}

impl Wire {
    /// The next byte written becomes a TCP reset instead.
    pub(crate) fn reset(&self) {
        self.reset.store(true, Ordering::Relaxed);
    }
}

/// What can be changed while a listener runs.
#[derive(Clone)]
pub(crate) struct Door {
    /// `false`: connections are refused, and those that exist are cut.
    pub(crate) open: bool,
    /// TLS with this certificate, or plain. Connections made with another end after the request
    /// that they are at.
    pub(crate) tls: Option<Arc<ServerConfig>>,
}

/// Serves `router` at `address` until dropped from outside; opens and closes as `door` says, and
/// tells `listening` once it has.
pub(crate) async fn serve(
    mut listener: Option<TcpListener>,
    address: SocketAddr,
    router: Router,
    mut door: watch::Receiver<Door>,
    listening: watch::Sender<bool>,
) {
    let mut connections = JoinSet::new();
    loop {
        let Door { open, tls } = door.borrow_and_update().clone();
        if !open {
            listener = None;
            connections.shutdown().await;
            listening.send_replace(false);
            if door.changed().await.is_err() {
                return;
            }
            continue;
        }
        let bound = match listener.take() {
            Some(bound) => bound,
            // Somebody else may hold the port for a moment.
            None => match TcpListener::bind(address).await {
                Ok(bound) => bound,
                Err(_) => {
                    pause(Duration::from_millis(50)).await;
                    continue;
                }
            },
        };
        let bound = &*listener.insert(bound);
        listening.send_if_modified(|before| !std::mem::replace(before, true));
        tokio::select! {
            changed = door.changed() => if changed.is_err() { return },
            Some(_) = connections.join_next() => {}
            accepted = bound.accept(), if connections.len() < MOST_CONNECTIONS => {
                match accepted {
                    Ok((stream, peer)) => {
                        let router = router.clone();
                        connections.spawn(connection(stream, peer, tls, router, door.clone()));
                    }
                    // No file descriptor is free: some connection has to end first.
                    Err(_) => pause(Duration::from_millis(50)).await,
                }
            }
        }
    }
}

async fn connection(
    stream: TcpStream,
    peer: SocketAddr,
    tls: Option<Arc<ServerConfig>>,
    router: Router,
    door: watch::Receiver<Door>,
) {
    let _ = stream.set_nodelay(true);
    let wire = Wire { reset: Arc::default(), peer };
    let stream = Resettable { stream, reset: wire.reset.clone() };
    let router = router.layer(Extension(wire));
    match tls {
        None => exchange(stream, router, door).await,
        Some(config) => {
            let handshake = tokio_rustls::TlsAcceptor::from(config).accept(stream);
            if let Ok(Ok(stream)) = tokio::time::timeout(PATIENCE, handshake).await {
                exchange(stream, router, door).await;
            }
        }
    }
}

async fn exchange(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    router: Router,
    mut door: watch::Receiver<Door>,
) {
    let service = TowerToHyperService::new(router);
    let mut connection = pin!(
        hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(PATIENCE)
            .serve_connection(TokioIo::new(stream), service)
    );
    loop {
        tokio::select! {
            // An error is a client that went away, or a fault that was asked for.
            _ = connection.as_mut() => return,
            changed = door.changed() => match changed {
                Ok(()) => connection.as_mut().graceful_shutdown(),
                Err(_) => return,
            },
        }
    }
}

/// A TCP stream that breaks off with a reset once its switch is set.
struct Resettable {
    stream: TcpStream,
    reset: Arc<AtomicBool>,
}

impl Resettable {
    fn check(&self) -> io::Result<()> {
        if self.reset.load(Ordering::Relaxed) {
            // Closing with a zero linger sends RST.
            self.stream.set_zero_linger()?;
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        Ok(())
    }
}

impl AsyncRead for Resettable {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Resettable {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.check()?;
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check()?;
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
