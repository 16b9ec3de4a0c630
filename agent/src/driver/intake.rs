//! Telemetry on its way to flash: stamped with its owner at arrival, appended in groups, and
//! acknowledged only when flash has it.

use crate::{
    ports::{Answer, CallerId, StorageTrouble},
    records::{Arrival, Envelope},
};
use signpost_core::{
    delivery::{Queue, Stream},
    otlp::Signal,
    owner::OwnerId,
};
use std::{collections::VecDeque, time::Duration};

/// Bytes that wait for flash at most; whoever comes then is told to come later.
const MAX_WAITING: usize = 4 * 1024 * 1024;

/// Reports of the agent itself find room even then, up to so many.
const MAX_REPORTS: usize = 256;

/// Bytes that one append carries at most, unless a single record is longer.
const MAX_APPEND: usize = 256 * 1024;

/// When a program that was turned away should try again.
const LATER: Duration = Duration::from_secs(5);

#[derive(Debug, Default)]
pub(super) struct Intake {
    waiting: VecDeque<Waiting>,
    bytes: usize,
    /// Who waits for the append that is under way.
    appending: Vec<Option<CallerId>>,
}

#[derive(Debug)]
struct Waiting {
    /// Nobody waits for what the agent itself has to report.
    caller: Option<CallerId>,
    queue: Option<Queue>,
    envelope: Envelope,
}

impl Intake {
    /// Takes a record in, or answers why not.
    pub(super) fn take(
        &mut self,
        caller: CallerId,
        signal: Signal,
        body: Vec<u8>,
        arrival: Arrival,
    ) -> Option<Answer> {
        if self.bytes + body.len() > MAX_WAITING {
            return Some(Answer::TryLater(LATER));
        }
        self.bytes += body.len();
        let envelope = Envelope { signal, arrival, body };
        self.waiting.push_back(Waiting { caller: Some(caller), queue: None, envelope });
        None
    }

    /// Takes in what the agent itself has to say to whoever runs the device of `owner`.
    pub(super) fn report(&mut self, owner: OwnerId, envelope: Envelope) {
        if self.waiting.len() > MAX_REPORTS && self.bytes > MAX_WAITING {
            return;
        }
        self.bytes += envelope.body.len();
        let queue = Some(Queue { stream: Stream::Events, owner });
        self.waiting.push_back(Waiting { caller: None, queue, envelope });
    }

    /// The next group to append, all of one queue. Records that have just come are `owner`'s
    /// (design invariant 8).
    pub(super) fn next_append(&mut self, owner: OwnerId) -> Option<(Queue, Vec<Envelope>)> {
        for waiting in &mut self.waiting {
            let stream = match waiting.envelope.signal {
                Signal::Metrics => Stream::Metrics,
                Signal::Logs | Signal::Traces => Stream::Logs,
            };
            waiting.queue.get_or_insert(Queue { stream, owner });
        }
        if !self.appending.is_empty() {
            return None;
        }
        let queue = self.waiting.front()?.queue?;
        let (mut group, mut bytes) = (Vec::new(), 0);
        let mut rest = VecDeque::with_capacity(self.waiting.len());
        for waiting in self.waiting.drain(..) {
            let length = waiting.envelope.body.len();
            let fits = group.is_empty() || bytes + length <= MAX_APPEND;
            if waiting.queue == Some(queue) && fits {
                bytes += length;
                self.appending.push(waiting.caller);
                group.push(waiting.envelope);
            } else {
                rest.push_back(waiting);
            }
        }
        self.waiting = rest;
        self.bytes -= bytes;
        Some((queue, group))
    }

    /// The append ended: who is told what.
    pub(super) fn appended(
        &mut self,
        result: Result<(), StorageTrouble>,
    ) -> impl Iterator<Item = (CallerId, Answer)> + use<> {
        let callers = std::mem::take(&mut self.appending);
        callers.into_iter().flatten().map(move |caller| {
            let answer = match result {
                Ok(()) => Answer::Done,
                Err(StorageTrouble::Full) => Answer::TryLater(LATER),
                Err(StorageTrouble::Failed) => Answer::NotSaved,
            };
            (caller, answer)
        })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.appending.is_empty()
    }
}
