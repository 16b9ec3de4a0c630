//! How fast local programs get their tokens over the socket: over a connection that is kept, and
//! over a new one for each, as scripts do. Prints a table, then one JSON object as the last line.
//!
//! The clients are threads of this program and share its cores with the agent, which has one
//! thread. oidc-agent is measured by them in the same run, where its package can be had.

mod inside;
mod peer;

use inside::Inside;
use peer::Peer;
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
    door: Door,
}

/// Who is asked, and how.
#[derive(Clone, Copy)]
enum Door {
    /// The agent, over one connection.
    Kept,
    /// The agent, over a new one each time.
    New,
    /// oidc-agent, which closes each.
    Peer,
}

const WAYS: [Way; 4] = [
    Way { name: "kept, 1 client", clients: 1, door: Door::Kept },
    Way { name: "kept, 4 clients", clients: 4, door: Door::Kept },
    Way { name: "new, 1 client", clients: 1, door: Door::New },
    Way { name: "new, 4 clients", clients: 4, door: Door::New },
];

const WAYS_OF_PEER: [Way; 2] = [
    Way { name: "oidc-agent, 1", clients: 1, door: Door::Peer },
    Way { name: "oidc-agent, 4", clients: 4, door: Door::Peer },
];

fn main() -> Result<(), Box<dyn Error>> {
    let runtime = runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let inside = runtime.block_on(signed_in())?;
    let socket = inside.tokens();
    let rows: Result<Vec<Value>, _> = WAYS.iter().map(|way| measure(way, &socket)).collect();
    runtime.block_on(inside.stop())?;
    let peer = runtime.block_on(Peer::start());
    let of_peer = peer.and_then(|peer| {
        let rows = WAYS_OF_PEER.iter().map(|way| measure(way, &peer.socket));
        let rows: Vec<Value> = rows.collect::<Result<_, _>>()?;
        Ok((peer.name.clone(), rows))
    });
    print(&rows?, &of_peer.map_err(|error| error.to_string()));
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
            let (socket, door) = (socket.to_owned(), way.door);
            thread::spawn(move || client(&socket, door))
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

fn client(socket: &Path, door: Door) -> io::Result<Vec<Duration>> {
    let until = clock::boot() + MEASURED_FOR;
    let mut spans = Vec::new();
    let mut bytes = [0; MOST];
    let mut kept = UnixStream::connect(socket)?;
    while clock::boot() < until {
        let began = clock::boot();
        match door {
            Door::Kept => ask(&mut kept, KEPT, &mut bytes)?,
            Door::New => ask(&mut UnixStream::connect(socket)?, ONCE, &mut bytes)?,
            Door::Peer => peer::ask(socket, &mut bytes)?,
        }
        spans.push(clock::boot() - began);
    }
    Ok(spans)
}

/// One token, whole.
fn ask(stream: &mut UnixStream, request: &[u8], bytes: &mut [u8]) -> io::Result<()> {
    stream.write_all(request)?;
    let mut length = 0;
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
fn print(rows: &[Value], of_peer: &Result<(String, Vec<Value>), String>) {
    println!(
        "{:18} {:>10} {:>9} {:>9} {:>9}",
        "connection", "tokens/s", "p50 us", "p99 us", "p99.9 us"
    );
    let peers = of_peer.as_ref().map_or(&[][..], |(_, rows)| rows);
    for row in rows.iter().chain(peers) {
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
    let peer = match of_peer {
        Ok((name, rows)) => json!({ "name": name, "rows": rows }),
        Err(why) => {
            println!("oidc-agent is not measured: {why}");
            json!({ "missing": why })
        }
    };
    println!("{}", json!({ "rows": rows, "peer": peer }));
}
