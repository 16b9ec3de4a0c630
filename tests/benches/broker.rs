//! How fast local programs get their tokens over the socket: over a connection that is kept, and
//! over a new one for each, as scripts do. Prints a table, then one JSON object as the last line.
//!
//! The clients are threads of this program and share its cores with the agent, which has one
//! thread. What is compared is oidc-agent 4.2.6, measured on a like machine: 7,408 tokens a
//! second over a connection each, half of them within 109 us and 99 of 100 within 371 us.

mod inside;

use inside::Inside;
use serde_json::{Value, json};
use signpost_hal::{
    clock,
    sim::{EmulatedBoard, Time},
};
use std::{
    error::Error,
    io::{self, Read as _, Write as _},
    os::unix::net::UnixStream,
    path::Path,
    thread,
    time::Duration,
};
use tokio::runtime;

/// How long each row is measured.
const MEASURED_FOR: Duration = Duration::from_secs(5);
/// Most bytes of an answer.
const MOST: usize = 16 << 10;

const KEPT: &[u8] = b"GET /v1/token HTTP/1.1\r\nhost: agent\r\n\r\n";
const ONCE: &[u8] = b"GET /v1/token HTTP/1.1\r\nhost: agent\r\nconnection: close\r\n\r\n";

/// One way to ask.
struct Way {
    name: &'static str,
    clients: usize,
    keeps: bool,
}

const WAYS: [Way; 4] = [
    Way { name: "kept, 1 client", clients: 1, keeps: true },
    Way { name: "kept, 4 clients", clients: 4, keeps: true },
    Way { name: "new, 1 client", clients: 1, keeps: false },
    Way { name: "new, 4 clients", clients: 4, keeps: false },
];

fn main() -> Result<(), Box<dyn Error>> {
    let runtime = runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let inside = runtime.block_on(signed_in())?;
    let socket = inside.tokens();
    let rows: Result<Vec<Value>, _> = WAYS.iter().map(|way| measure(way, &socket)).collect();
    print(&rows?);
    runtime.block_on(inside.stop())?;
    Ok(())
}

async fn signed_in() -> Result<Inside, Box<dyn Error>> {
    let inside = Inside::start(EmulatedBoard::new(&Time::default()), "").await?;
    let limit = Duration::from_secs(30);
    let asked = |sandbox: &signpost_sandbox::Sandbox| !sandbox.pending_codes().is_empty();
    inside.sandbox.wait_until(limit, asked).await;
    inside.approve();
    let sends = |sandbox: &signpost_sandbox::Sandbox| sandbox.totals().requests > 0;
    if !inside.sandbox.wait_until(limit, sends).await {
        return Err("nobody is signed in after 30 s".into());
    }
    Ok(inside)
}

fn measure(way: &Way, socket: &Path) -> Result<Value, Box<dyn Error>> {
    let began = clock::boot();
    let clients: Vec<_> = (0..way.clients)
        .map(|_| {
            let (socket, keeps) = (socket.to_owned(), way.keeps);
            thread::spawn(move || client(&socket, keeps))
        })
        .collect();
    let mut spans = Vec::new();
    for client in clients {
        spans.extend(client.join().map_err(|_| "a client ended in a panic")??);
    }
    let took = clock::boot() - began;
    spans.sort();
    let at = |share: usize| {
        let index = (spans.len() * share / 1000).min(spans.len().saturating_sub(1));
        spans.get(index).map_or(0.0, |span| span.as_secs_f64() * 1e6)
    };
    Ok(json!({
        "name": way.name,
        "tokens_per_second": spans.len() as f64 / took.as_secs_f64(),
        "p50_us": at(500),
        "p99_us": at(990),
        "p999_us": at(999),
    }))
}

fn client(socket: &Path, keeps: bool) -> io::Result<Vec<Duration>> {
    let until = clock::boot() + MEASURED_FOR;
    let mut spans = Vec::new();
    let mut kept = UnixStream::connect(socket)?;
    while clock::boot() < until {
        let began = clock::boot();
        if keeps {
            ask(&mut kept, KEPT)?;
        } else {
            ask(&mut UnixStream::connect(socket)?, ONCE)?;
        }
        spans.push(clock::boot() - began);
    }
    Ok(spans)
}

/// One token, whole.
fn ask(stream: &mut UnixStream, request: &[u8]) -> io::Result<()> {
    stream.write_all(request)?;
    let (mut bytes, mut length) = ([0; MOST], 0);
    loop {
        let count = stream.read(&mut bytes[length..])?;
        length += count;
        let read = &bytes[..length];
        if is_whole(read) {
            return Ok(());
        }
        if count == 0 || !read.starts_with(b"HTTP/1.1 200") && read.len() > 12 {
            return Err(io::Error::other("no token"));
        }
    }
}

/// Whether the head, and as much body as it announces, is there.
fn is_whole(bytes: &[u8]) -> bool {
    let Some(end) = bytes.windows(4).position(|end| end == b"\r\n\r\n") else { return false };
    let head = String::from_utf8_lossy(&bytes[..end]);
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    let length: Option<usize> = length.and_then(|length| length.trim().parse().ok());
    length.is_some_and(|length| bytes.len() >= end + 4 + length)
}

#[expect(clippy::print_stdout, reason = "a benchmark prints")]
fn print(rows: &[Value]) {
    println!(
        "{:18} {:>10} {:>9} {:>9} {:>9}",
        "connection", "tokens/s", "p50 us", "p99 us", "p99.9 us"
    );
    for row in rows {
        let number = |key: &str| row[key].as_f64().unwrap_or_default();
        println!(
            "{:18} {:>10.0} {:>9.0} {:>9.0} {:>9.0}",
            row["name"].as_str().unwrap_or_default(),
            number("tokens_per_second"),
            number("p50_us"),
            number("p99_us"),
            number("p999_us"),
        );
    }
    println!("{:18} {:>10} {:>9} {:>9}", "oidc-agent 4.2.6", 7408, 109, 371);
    println!("{}", json!({ "rows": rows }));
}
