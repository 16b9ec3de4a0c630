//! Programs that send as fast as they are answered, over connections that they keep.

use signpost_core::otlp::Signal;
use signpost_hal::clock;
use signpost_tests::rig::{requests::request, rest, sender::Sender};
use std::{net::SocketAddr, sync::Arc, thread, time::Duration};

/// Bytes of different requests that each connection repeats: far more than gzip looks back.
const DIFFERENT: u64 = 4 << 20;

/// How programs send.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Course {
    pub(crate) name: &'static str,
    pub(crate) signal: Signal,
    /// Records in a request.
    pub(crate) records: u64,
    pub(crate) connections: u64,
}

/// What came of it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sent {
    /// Records that were acknowledged, and the bytes of their requests.
    pub(crate) accepted: u64,
    pub(crate) payload: u64,
    /// Requests that were told to come later.
    pub(crate) refused: u64,
    /// Requests without an answer.
    pub(crate) failed: u64,
}

/// When programs stop.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Until {
    /// After so long.
    Passed(Duration),
    /// Once so many bytes of requests were acknowledged over all connections.
    Payload(u64),
}

impl Course {
    /// Sends, and returns once every program has had its last answer.
    pub(crate) fn run(&self, to: SocketAddr, until: Until) -> Sent {
        let frames: Vec<Arc<Vec<Frame>>> =
            (0..self.connections).map(|n| Arc::new(self.frames(n))).collect();
        let began = clock::boot();
        let share = match until {
            Until::Passed(span) => Until::Passed(span),
            Until::Payload(bytes) => Until::Payload(bytes / self.connections),
        };
        let threads: Vec<_> = frames
            .into_iter()
            .map(|frames| {
                let builder = thread::Builder::new().stack_size(256 << 10);
                builder.spawn(move || send(&frames, to, began, share))
            })
            .collect();
        let mut all = Sent::default();
        for sent in threads.into_iter().flatten().filter_map(|thread| thread.join().ok()) {
            all.accepted += sent.accepted;
            all.payload += sent.payload;
            all.refused += sent.refused;
            all.failed += sent.failed;
        }
        all
    }

    fn frames(&self, connection: u64) -> Vec<Frame> {
        let mut frames: Vec<Frame> = Vec::new();
        let (mut bytes, mut number) = (0, connection << 32);
        while bytes < DIFFERENT / self.connections.max(4) {
            let body = request(self.signal, number..number + self.records);
            number += self.records;
            bytes += body.len() as u64;
            let framed = Sender::frame(self.signal, &body);
            frames.push(Frame { framed, records: self.records, payload: body.len() as u64 });
        }
        frames
    }
}

struct Frame {
    framed: Vec<u8>,
    records: u64,
    payload: u64,
}

fn send(frames: &[Frame], to: SocketAddr, began: Duration, until: Until) -> Sent {
    let (mut sender, mut sent) = (Sender::new(to), Sent::default());
    for frame in frames.iter().cycle() {
        let over = match until {
            Until::Passed(span) => clock::boot() - began >= span,
            Until::Payload(bytes) => sent.payload >= bytes || sent.refused + sent.failed > 10_000,
        };
        if over {
            break;
        }
        match sender.send(&frame.framed) {
            Ok(200 | 201) => {
                sent.accepted += frame.records;
                sent.payload += frame.payload;
            }
            Ok(_) => {
                sent.refused += 1;
                rest(Duration::from_millis(5));
            }
            Err(_) => {
                sent.failed += 1;
                rest(Duration::from_millis(5));
            }
        }
    }
    sent
}
