//! The telemetry backend's memory: what arrived, in whose name, in which order.

pub(crate) mod otlp;
pub(crate) mod routes;
mod series;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde::Serialize;

use crate::clock::Now;
use crate::issuer::keys::Digest;
use otlp::{Encoding, Record, Signal};
pub(crate) use series::{Device, Devices, Series};

/// One accepted request.
#[derive(Clone, Debug, Serialize)]
pub struct Received {
    /// Counts accepted requests from 1, over all signals.
    pub sequence: u64,
    /// When, since the sandbox started.
    pub at: Duration,
    /// Which of the three paths.
    pub signal: Signal,
    /// `sub` of the token it came with.
    pub subject: String,
    /// What it was sent with, names in lower case; the token is left out.
    pub headers: BTreeMap<String, String>,
    /// How the body was encoded.
    pub encoding: Encoding,
    /// Size of the body on the wire.
    pub wire_bytes: usize,
    /// The body as it was sent, decompressed.
    #[serde(skip)]
    pub body: Bytes,
    /// What was in it, in order.
    pub records: Vec<Record>,
}

impl Received {
    /// The header of this name (lower case).
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    /// Its `Idempotency-Key`.
    pub fn idempotency_key(&self) -> Option<&str> {
        self.header(IDEMPOTENCY_KEY)
    }
}

const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// Sums since the sandbox started; they go on when old requests are forgotten.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Totals {
    /// Accepted requests, duplicates not counted.
    pub requests: u64,
    /// Log records in them.
    pub logs: u64,
    /// Data points in them.
    pub metrics: u64,
    /// Spans in them.
    pub traces: u64,
    /// Requests answered 200 and not stored, since their idempotency key had been seen.
    pub duplicates: u64,
    /// Stored requests that were forgotten to keep within the memory limit.
    pub forgotten: u64,
}

/// Remembered idempotency keys; the oldest goes first.
const MOST_KEYS: usize = 100_000;

pub(crate) struct Backend {
    limit: usize,
    bytes: usize,
    received: VecDeque<Arc<Received>>,
    totals: Totals,
    keys: HashMap<Digest, Digest>,
    key_order: VecDeque<Digest>,
    pub(crate) devices: Devices,
}

/// A request that passed all checks.
pub(crate) struct Delivery {
    pub(crate) signal: Signal,
    pub(crate) subject: String,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) encoding: Encoding,
    pub(crate) wire_bytes: usize,
    pub(crate) body: Bytes,
    pub(crate) records: Vec<Record>,
}

/// What became of a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stored {
    New,
    Duplicate,
    /// The key was seen with another body: not stored.
    Changed,
}

impl Backend {
    /// Keeps at most about `limit` bytes of requests.
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            limit,
            bytes: 0,
            received: VecDeque::new(),
            totals: Totals::default(),
            keys: HashMap::new(),
            key_order: VecDeque::new(),
            devices: Devices::default(),
        }
    }

    pub(crate) fn store(&mut self, delivery: Delivery, now: Now) -> Stored {
        if let Some(seen) = self.seen(&delivery) {
            self.totals.duplicates += 1;
            return seen;
        }
        self.devices.show(&delivery, now);
        let records = delivery.records.len() as u64;
        match delivery.signal {
            Signal::Logs => self.totals.logs += records,
            Signal::Metrics => self.totals.metrics += records,
            Signal::Traces => self.totals.traces += records,
        }
        self.totals.requests += 1;
        let received = Received {
            sequence: self.totals.requests,
            at: now.up,
            signal: delivery.signal,
            subject: delivery.subject,
            headers: delivery.headers,
            encoding: delivery.encoding,
            wire_bytes: delivery.wire_bytes,
            body: delivery.body,
            records: delivery.records,
        };
        self.bytes += weight(&received);
        self.received.push_back(Arc::new(received));
        while self.bytes > self.limit {
            let Some(oldest) = self.received.pop_front() else { break };
            self.bytes -= weight(&oldest);
            self.totals.forgotten += 1;
        }
        Stored::New
    }

    /// Whether this idempotency key came before. Keys are their sender's own: another subject, or
    /// the same one at another path, may use an equal one.
    fn seen(&mut self, delivery: &Delivery) -> Option<Stored> {
        let key = delivery.headers.get(IDEMPOTENCY_KEY)?;
        let key = Digest::of(&format!("{:?} {} {key}", delivery.signal, delivery.subject));
        let body = Digest::of_bytes(&delivery.body);
        if let Some(before) = self.keys.get(&key) {
            return Some(if *before == body { Stored::Duplicate } else { Stored::Changed });
        }
        self.keys.insert(key, body);
        self.key_order.push_back(key);
        if self.key_order.len() > MOST_KEYS
            && let Some(oldest) = self.key_order.pop_front()
        {
            self.keys.remove(&oldest);
        }
        None
    }

    pub(crate) fn received(&self) -> Vec<Arc<Received>> {
        self.received.iter().cloned().collect()
    }

    pub(crate) fn totals(&self) -> Totals {
        self.totals
    }
}

/// Bytes of memory of a request, roughly: the body, and the same again decoded into small strings.
fn weight(received: &Received) -> usize {
    received.body.len() + received.records.len() * 1024
}
