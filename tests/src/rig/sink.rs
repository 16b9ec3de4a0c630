//! A backend that takes OTLP/HTTP over sockets and hands it on: a thread for each connection, with
//! TLS or without. It knows nothing of tokens.

use crate::flash::chance::Chance;
use flate2::read::MultiGzDecoder;
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use std::{
    io::{self, Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
};

/// Longest head of a request.
const MOST_HEAD: usize = 16 << 10;
/// Longest body of a request, compressed and not.
const MOST_BODY: usize = 64 << 20;

/// One request.
#[derive(Debug)]
pub struct Arrived {
    /// Its path.
    pub path: String,
    /// Its `Idempotency-Key`.
    pub key: Option<String>,
    /// Bytes of head and body as they came, within TLS if there is any.
    pub wire: usize,
    /// Whether the body is gzip.
    gzip: bool,
    body: Vec<u8>,
}

impl Arrived {
    /// One that came to `/v1/logs`, uncompressed.
    #[cfg(test)]
    pub(super) fn plain(key: &str, body: Vec<u8>) -> Self {
        let (path, key) = ("/v1/logs".to_owned(), Some(key.to_owned()));
        Self { path, key, wire: body.len(), gzip: false, body }
    }

    /// The body, uncompressed.
    ///
    /// # Errors
    /// It is no gzip, or too long.
    pub fn body(&self) -> io::Result<Vec<u8>> {
        if !self.gzip {
            return Ok(self.body.clone());
        }
        let mut plain = Vec::with_capacity(self.body.len() * 8);
        MultiGzDecoder::new(&self.body[..]).take(MOST_BODY as u64).read_to_end(&mut plain)?;
        Ok(plain)
    }
}

/// What a sender is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply {
    /// This status.
    Status(u16),
    /// Nothing: the connection is cut.
    Cut,
}

/// How a backend is, from one moment to the next.
#[derive(Debug, Default)]
pub struct Mood(AtomicU64);

impl Mood {
    const WELL: u64 = 0;
    const AWAY: u64 = 1;
    const UNWELL: u64 = 2;
    const SILENT: u64 = 3;

    /// Well, from now on.
    pub fn mend(&self) {
        self.0.store(Self::WELL, Ordering::Relaxed);
    }

    /// Another one, or the same; well twice as often as anything else.
    pub fn change(&self, chance: &mut Chance) {
        let choices = [Self::WELL, Self::WELL, Self::AWAY, Self::UNWELL, Self::SILENT];
        self.0.store(chance.one_of(&choices), Ordering::Relaxed);
    }

    /// What the sender is told of a batch; `take` keeps it, if it can be read, and may not be asked.
    pub fn answer(&self, take: impl FnOnce() -> io::Result<()>) -> Reply {
        match self.0.load(Ordering::Relaxed) {
            Self::AWAY => return Reply::Cut,
            Self::UNWELL => return Reply::Status(503),
            _ => {}
        }
        match take() {
            Err(_) => Reply::Status(400),
            // Gone before it has answered.
            Ok(()) if self.0.load(Ordering::Relaxed) == Self::SILENT => Reply::Cut,
            Ok(()) => Reply::Status(200),
        }
    }
}

/// What becomes of requests. Called on the thread of their connection.
pub type Handler = Arc<dyn Fn(Arrived) -> Reply + Send + Sync>;

/// Listens on a free port of loopback for as long as the program runs.
///
/// # Errors
/// There is none.
pub fn listen(tls: Option<Arc<ServerConfig>>, handler: Handler) -> io::Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let address = listener.local_addr()?;
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let (tls, handler) = (tls.clone(), Arc::clone(&handler));
            thread::spawn(move || serve(stream, tls, &handler));
        }
    });
    Ok(address)
}

/// Until the other side leaves, or breaks what HTTP is.
fn serve(stream: TcpStream, tls: Option<Arc<ServerConfig>>, handler: &Handler) {
    // Whoever is slower for it notices by itself.
    let _ = stream.set_nodelay(true);
    let _ = match tls {
        None => converse(stream, handler),
        Some(config) => ServerConnection::new(config)
            .map_err(io::Error::other)
            .and_then(|tls| converse(StreamOwned::new(tls, stream), handler)),
    };
}

fn converse(mut stream: impl Read + Write, handler: &Handler) -> io::Result<()> {
    let mut bytes = Vec::new();
    while let Some(arrived) = receive(&mut stream, &mut bytes)? {
        match handler(arrived) {
            Reply::Cut => return Ok(()),
            Reply::Status(status) => {
                let reply = format!(
                    "HTTP/1.1 {status} .\r\ncontent-type: application/x-protobuf\r\n\
                     content-length: 0\r\n\r\n"
                );
                stream.write_all(reply.as_bytes())?;
                stream.flush()?;
            }
        }
    }
    Ok(())
}

/// The next request; `bytes` are what came behind the last one. `None`: there is none.
fn receive(stream: &mut impl Read, bytes: &mut Vec<u8>) -> io::Result<Option<Arrived>> {
    let end = loop {
        if let Some(end) = head_end(bytes) {
            break end;
        }
        if bytes.len() > MOST_HEAD || more(stream, bytes)? == 0 {
            return Ok(None);
        }
    };
    let mut headers = [httparse::EMPTY_HEADER; 32];
    let mut head = httparse::Request::new(&mut headers);
    head.parse(&bytes[..end]).map_err(io::Error::other)?;
    let text = |name: &str| {
        let found = head.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name));
        found.and_then(|header| std::str::from_utf8(header.value).ok())
    };
    let length: usize = text("content-length").and_then(|it| it.parse().ok()).unwrap_or(0);
    if length > MOST_BODY {
        return Ok(None);
    }
    let (path, key) = (head.path.unwrap_or_default().to_owned(), text("idempotency-key"));
    let key = key.map(str::to_owned);
    let gzip = text("content-encoding") == Some("gzip");
    let expects = text("expect").is_some();
    let whole = end + length;
    bytes.reserve(whole.saturating_sub(bytes.len()));
    if expects {
        return Err(io::Error::other("a sender that waits for 100 Continue"));
    }
    while bytes.len() < whole {
        if more(stream, bytes)? == 0 {
            return Ok(None);
        }
    }
    let rest = bytes.split_off(whole);
    let body = std::mem::replace(bytes, rest).split_off(end);
    Ok(Some(Arrived { path, key, wire: whole, gzip, body }))
}

fn more(stream: &mut impl Read, bytes: &mut Vec<u8>) -> io::Result<usize> {
    let mut chunk = [0; 16 << 10];
    let count = stream.read(&mut chunk)?;
    bytes.extend_from_slice(&chunk[..count]);
    Ok(count)
}

/// How long the head at the start of `bytes` is, if all of it is there.
pub(super) fn head_end(bytes: &[u8]) -> Option<usize> {
    bytes.windows(4).position(|window| window == b"\r\n\r\n").map(|at| at + 4)
}
