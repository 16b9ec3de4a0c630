//! A local program that sends over one connection, which it keeps.

use super::{requests::request, rest, sink::head_end};
use crate::flash::chance::Chance;
use signpost_core::otlp::Signal;
use std::{
    io::{self, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    ops::Range,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::Duration,
};

/// Nobody waits longer for an answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// See the module.
#[derive(Debug)]
pub struct Sender {
    to: SocketAddr,
    connection: Option<TcpStream>,
}

impl Sender {
    /// One that sends to `to` once it has something to say.
    pub const fn new(to: SocketAddr) -> Self {
        Self { to, connection: None }
    }

    /// A request as it goes over the wire.
    pub fn frame(signal: Signal, body: &[u8]) -> Vec<u8> {
        let head = format!(
            "POST {} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/x-protobuf\r\n\
             content-length: {}\r\n\r\n",
            signal.path(),
            body.len()
        );
        [head.as_bytes(), body].concat()
    }

    /// Sends what [`Sender::frame`] made; the status of the answer.
    ///
    /// # Errors
    /// Nobody answers; the next call connects anew.
    pub fn send(&mut self, framed: &[u8]) -> io::Result<u16> {
        let mut connection = match self.connection.take() {
            Some(kept) => kept,
            None => {
                let connection = TcpStream::connect_timeout(&self.to, PATIENCE)?;
                connection.set_nodelay(true)?;
                connection.set_read_timeout(Some(PATIENCE))?;
                connection
            }
        };
        connection.write_all(framed)?;
        let status = answer(&mut connection)?;
        self.connection = Some(connection);
        Ok(status)
    }
}

/// Programs that send numbered records, until the end.
#[derive(Debug, Default)]
pub struct Programs {
    next: AtomicU64,
    stop: AtomicBool,
}

impl Programs {
    /// One of them, with up to 40 records a request; says what was acknowledged.
    pub fn send(
        &self,
        signal: Signal,
        to: SocketAddr,
        mut chance: Chance,
        acknowledged: impl Fn(Range<u64>),
    ) {
        let mut sender = Sender::new(to);
        while !self.stop.load(Ordering::Relaxed) {
            let count = 1 + chance.below(40);
            let first = self.next.fetch_add(count, Ordering::Relaxed);
            let numbers = first..first + count;
            match sender.send(&Sender::frame(signal, &request(signal, numbers.clone()))) {
                Ok(200) => acknowledged(numbers),
                // It is told to come later, or there is nobody to tell.
                Ok(_) | Err(_) => rest(Duration::from_millis(2)),
            }
        }
    }

    /// The end.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// The status of an answer, whose body is read and forgotten.
fn answer(connection: &mut TcpStream) -> io::Result<u16> {
    let (mut bytes, mut length) = ([0; 4096], 0);
    loop {
        let count = connection.read(&mut bytes[length..])?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        length += count;
        let Some(end) = head_end(&bytes[..length]) else { continue };
        let mut headers = [httparse::EMPTY_HEADER; 32];
        let mut head = httparse::Response::new(&mut headers);
        head.parse(&bytes[..end]).map_err(io::Error::other)?;
        let body = head.headers.iter().find(|h| h.name.eq_ignore_ascii_case("content-length"));
        let body = body.and_then(|h| std::str::from_utf8(h.value).ok()?.parse().ok());
        let (body, status): (usize, _) = (body.unwrap_or(0), head.code);
        let mut left = (end + body).saturating_sub(length);
        while left > 0 {
            let count = connection.read(&mut bytes[..left.min(4096)])?;
            if count == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            left -= count;
        }
        return status.ok_or_else(|| io::Error::other("no status"));
    }
}
