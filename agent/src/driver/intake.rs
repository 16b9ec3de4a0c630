//! Telemetry on its way to flash: stamped with its owner at arrival, appended in groups, and
//! acknowledged only when flash has it.
//!
//! What a commit costs flash hardly depends on how much it carries, so that few records wait for
//! others, and one alone does not: with `store.commit = "each"` turns of [`LINGER`] are taken, and
//! whoever comes after a pause begins one at once; with a span everybody waits for that long, or
//! until there is [`ENOUGH`].

use crate::{
    config::Commit,
    ports::{Answer, CallerId, Job, StorageTrouble},
    records::Envelope,
};
use signpost_core::{
    delivery::{DropReason, Dropped, Queue, Stream},
    otlp::{Signal, count_records},
    owner::OwnerId,
    time::Boot,
};
use std::{collections::VecDeque, time::Duration};

/// Bytes that wait for flash at most; whoever comes then is told to come later.
const MAX_WAITING: usize = 4 * 1024 * 1024;

/// Reports of the agent itself find room even then, up to so many.
const MAX_REPORTS: usize = 256;

/// Bytes that one append carries at most, unless a single record is longer.
const MAX_APPEND: usize = 256 * 1024;

/// From one commit to the next at least, unless there is [`ENOUGH`].
const LINGER: Duration = Duration::from_millis(20);

/// Bytes that are worth a commit of their own: a few blocks of any medium.
const ENOUGH: usize = 16 * 1024;

/// So many senders do not wait for more: there may be no more, since each holds a connection.
const MANY: usize = 48;

/// When a program that was turned away should try again.
const LATER: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub(super) struct Intake {
    commit: Commit,
    waiting: VecDeque<Waiting>,
    bytes: usize,
    /// Who waits for the append that is under way, and whose records it carries.
    appending: Vec<By>,
    owner: OwnerId,
    /// What came until then is appended without further waiting.
    turn: Option<Boot>,
    /// Nobody comes any more.
    closing: bool,
}

#[derive(Debug)]
struct Waiting {
    by: By,
    queue: Queue,
    envelope: Envelope,
}

/// Who has handed a record over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum By {
    /// A program that waits.
    Waiting(CallerId),
    /// A program that has been answered already; so many records of this signal.
    Answered(Signal, u64),
    /// The agent itself.
    Agent,
}

impl By {
    fn is_agent(self) -> bool {
        self == Self::Agent
    }
}

/// A record as a program hands it over.
#[derive(Debug)]
pub(super) struct Handed {
    pub(super) caller: CallerId,
    pub(super) events: bool,
    pub(super) volatile: bool,
    pub(super) envelope: Envelope,
}

impl Intake {
    pub(super) const fn new(commit: Commit) -> Self {
        Self {
            commit,
            waiting: VecDeque::new(),
            bytes: 0,
            appending: Vec::new(),
            owner: OwnerId::DEVICE,
            turn: None,
            closing: false,
        }
    }

    /// Takes a record of `owner` in (design invariant 8); the answer, where there is one already.
    pub(super) fn take(&mut self, handed: Handed, owner: OwnerId) -> Option<Answer> {
        let Handed { caller, events, volatile, envelope } = handed;
        if self.bytes + envelope.body.len() > MAX_WAITING {
            return Some(Answer::TryLater(LATER));
        }
        self.bytes += envelope.body.len();
        let stream = match envelope.signal {
            _ if events => Stream::Events,
            Signal::Metrics => Stream::Metrics,
            Signal::Logs | Signal::Traces => Stream::Logs,
        };
        let by = match volatile {
            true => {
                let records = count_records(&envelope.body).unwrap_or_default();
                By::Answered(envelope.signal, records)
            }
            false => By::Waiting(caller),
        };
        let queue = Queue { stream, owner };
        self.waiting.push_back(Waiting { by, queue, envelope });
        volatile.then_some(Answer::Done)
    }

    /// Takes in what the agent itself has to say to whoever runs the device of `owner`.
    pub(super) fn report(&mut self, owner: OwnerId, envelope: Envelope) {
        if self.waiting.len() > MAX_REPORTS && self.bytes > MAX_WAITING {
            return;
        }
        self.bytes += envelope.body.len();
        let queue = Queue { stream: Stream::Events, owner };
        self.waiting.push_back(Waiting { by: By::Agent, queue, envelope });
    }

    /// When the next group is to be appended, if nothing else happens.
    pub(super) fn wake(&self) -> Option<Boot> {
        let oldest = self.waiting.front().filter(|_| self.appending.is_empty())?;
        let since = oldest.envelope.arrival.boot;
        let enough = self.bytes >= ENOUGH || self.waiting.len() >= MANY || self.closing;
        if enough || self.turn.is_some_and(|turn| since <= turn) {
            return Some(since);
        }
        Some(match self.commit {
            Commit::Each => self.turn.map_or(since, |turn| since.max(turn + LINGER)),
            Commit::Within(span) => since + span.get(),
        })
    }

    /// Appends whatever waits from now on at once: the agent stops.
    pub(super) const fn close(&mut self) {
        self.closing = true;
    }

    /// What has come until now waits for nothing but its turn.
    pub(super) fn hurry(&mut self, now: Boot) {
        self.turn = Some(now);
    }

    /// Whether anything still has to be appended that is not `owner`'s.
    pub(super) fn has_of_others(&self, owner: OwnerId) -> bool {
        self.waiting.iter().any(|waiting| waiting.queue.owner != owner)
    }

    /// The next group to append, all of one queue and of programs or the agent, if it is time.
    pub(super) fn next_append(&mut self, now: Boot) -> Option<Job> {
        self.wake().filter(|due| *due <= now)?;
        let oldest = self.waiting.front()?;
        let (queue, is_agents) = (oldest.queue, oldest.by.is_agent());
        if self.turn.is_none_or(|turn| oldest.envelope.arrival.boot > turn) {
            self.turn = Some(now);
        }
        let (mut group, mut bytes) = (Vec::new(), 0);
        let mut rest = VecDeque::with_capacity(self.waiting.len());
        for waiting in self.waiting.drain(..) {
            let length = waiting.envelope.body.len();
            let fits = group.is_empty() || bytes + length <= MAX_APPEND;
            if (waiting.queue, waiting.by.is_agent()) == (queue, is_agents) && fits {
                bytes += length;
                self.appending.push(waiting.by);
                group.push(waiting.envelope);
            } else {
                rest.push_back(waiting);
            }
        }
        self.waiting = rest;
        self.bytes -= bytes;
        self.owner = queue.owner;
        Some(if is_agents { Job::Report(queue, group) } else { Job::Append(queue, group) })
    }

    /// The append failed: what is lost of those who were answered before, and whose it was.
    pub(super) fn unsaved(&self) -> Option<(OwnerId, Vec<Dropped>)> {
        let mut lost: Vec<Dropped> = Vec::new();
        for by in &self.appending {
            let By::Answered(signal, records) = *by else { continue };
            match lost.iter_mut().find(|dropped| dropped.signal == signal) {
                Some(dropped) => dropped.records += records,
                None => lost.push(Dropped { records, signal, reason: DropReason::NotSaved }),
            }
        }
        (!lost.is_empty()).then_some((self.owner, lost))
    }

    /// The append ended: who is told what.
    pub(super) fn appended(
        &mut self,
        result: Result<(), StorageTrouble>,
    ) -> impl Iterator<Item = (CallerId, Answer)> + use<> {
        let callers = std::mem::take(&mut self.appending);
        callers.into_iter().filter_map(move |by| {
            let By::Waiting(caller) = by else { return None };
            let answer = match result {
                Ok(()) => Answer::Done,
                Err(StorageTrouble::Full) => Answer::TryLater(LATER),
                Err(StorageTrouble::Failed) => Answer::NotSaved,
            };
            Some((caller, answer))
        })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.appending.is_empty()
    }
}

#[cfg(test)]
mod tests;
