//! The second machine: sends what the spool holds, in order, with the owner's token, and removes
//! it only when the backend has it.
//!
//! One batch is under way at a time: read (and frozen, so that a retry is the same batch with the
//! same `Idempotency-Key`), sent, settled. The next batch of a queue is frozen and the last one
//! settled by one write. Whatever goes wrong the batch stays: 401 holds it until a new token or a
//! sign-in, 403 parks it, outages back off. Only a record that the backend calls malformed or too
//! large by itself is dropped, counted and reported (design invariant 4).
//!
//! The grammar is that of [`crate::session`]: `handle_*` in; [`Delivery::poll_action`] and
//! [`Delivery::poll_wake`] out.

mod sender;

use crate::{
    backoff::Backoff,
    fault::{Fault, Faults},
    http::{Body, Outcome, Peer, Reply, Request},
    otlp::{Signal, rejected_count},
    owner::OwnerId,
    secret::Secret,
    session::{AccessToken, Generation, TokenAnswer, TokenKey},
    time::{Boot, Now},
    wire::{self, Challenge, Trouble},
};
use alloc::{borrow::Cow, collections::VecDeque, format, string::String, vec::Vec};
use core::time::Duration;
use fastrand::Rng;
use sender::{Sender, Standing};

/// Most records that one batch joins.
const MAX_RECORDS: u32 = 1_000;

/// Most bytes that one batch joins, before compression. A single larger record goes alone.
const MAX_BYTES: u32 = 512 * 1024;

/// How long to wait at least where nothing will change unless somebody changes it.
const FOR_AN_ADMIN: Duration = Duration::from_secs(900);

/// Where a person has to sign in first, each fresh token is tried, but not the same oftener.
const PROBE: Duration = Duration::from_secs(3_600);

/// Queues of records, in the order in which they are sent (telemetry.md: priorities).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stream {
    /// Events, and the agent's own reports.
    Events,
    /// Metrics.
    Metrics,
    /// Logs and traces.
    Logs,
}

/// One queue of the spool: whose records, and which.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Queue {
    /// Priority first: the order of this type is the order of sending.
    pub stream: Stream,
    /// Whose they are.
    pub owner: OwnerId,
}

/// What the machine needs to know of the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeliveryConfig {
    /// OTLP/HTTP base address, without a slash at its end.
    pub endpoint: String,
    /// The token to send with.
    pub key: TokenKey,
    /// Further headers.
    pub headers: Vec<(Cow<'static, str>, Secret)>,
    /// What becomes of records that arrived before anyone signed in.
    pub unowned: Unowned,
}

/// What becomes of records that arrived before anyone signed in (telemetry.md, point 8).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unowned {
    /// They wait.
    Wait,
    /// They go with the first user's token.
    WithFirst,
    /// They go with a token in the device's own name, and with no other.
    InOwnName,
}

/// A place in a queue: between two records, if need be inside of an accepted request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Sequence number of an accepted request; all before it are over.
    pub sequence: u64,
    /// So many of its records are over, too.
    pub records: u32,
}

impl Place {
    /// The place before everything in request `sequence`.
    #[must_use]
    pub const fn before(sequence: u64) -> Self {
        Self { sequence, records: 0 }
    }
}

/// A frozen piece of a queue, joined to one request body.
#[derive(Clone, PartialEq, Eq)]
pub struct Batch {
    /// Whence.
    pub queue: Queue,
    /// What the records are; one batch holds one signal.
    pub signal: Signal,
    /// Where it begins.
    pub start: Place,
    /// Where it ends: the next one begins there.
    pub end: Place,
    /// How many log records, metrics or spans it holds.
    pub records: u64,
    /// Random name of this queue's life: sequence numbers repeat after a queue was destroyed.
    pub epoch: u64,
    /// The joined `Export…ServiceRequest`s.
    pub body: Vec<u8>,
}

impl core::fmt::Debug for Batch {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let (start, end) = (self.start.sequence, self.end.sequence);
        write!(f, "Batch({:?} {start}..{end}, {} B)", self.signal, self.body.len())
    }
}

impl Batch {
    /// The same for every retry of this batch, and for no other batch.
    fn idempotency_key(&self) -> String {
        let within = |place: Place| format!("{}.{}", place.sequence, place.records);
        let first = match self.start.records {
            0 => format!("{}", self.start.sequence),
            _ => within(self.start),
        };
        let last = match self.end.records {
            0 => format!("{}", self.end.sequence.saturating_sub(1)),
            _ => within(self.end),
        };
        format!("{:016x}-{first}-{last}", self.epoch)
    }
}

/// What the machine wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Read and freeze the head of a queue; answer with [`Delivery::handle_batch`].
    Read(Read),
    /// Send; answer with [`Delivery::handle_outcome`].
    Send(Request),
    /// The batch is over: remove its records, and where they were not taken make the report
    /// durable first. Answer with [`Delivery::handle_settled`].
    Settle {
        /// Which queue.
        queue: Queue,
        /// Remove all that is before it.
        end: Place,
        /// What was not taken.
        dropped: Option<Dropped>,
    },
    /// The backend refused this issue of the token.
    Rejected(TokenKey, Generation),
    /// The backend refused it, and says what it wants.
    Challenged(TokenKey, Generation, Challenge),
    /// For journal and counters.
    Note(Note),
}

/// What is to be read from the head of a queue, and frozen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Read {
    /// Which queue.
    pub queue: Queue,
    /// The batch before is over: remove all that is before this place with the same write.
    pub settled: Option<Place>,
    /// At most so many records, one at least.
    pub max_records: u32,
    /// At most so many bytes, but one accepted request at least.
    pub max_bytes: u32,
    /// Take a request apart that holds more than `max_records`: the backend refused it whole.
    pub splits: bool,
    /// Freeze anew, even where a longer batch was frozen: the backend refused that.
    pub refreeze: bool,
}

/// Records that were acknowledged and will not arrive, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dropped {
    /// How many.
    pub records: u64,
    /// Which signal.
    pub signal: Signal,
    /// Why.
    pub reason: DropReason,
}

/// Why a record was given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum DropReason {
    /// The backend calls it malformed (400).
    Malformed,
    /// The backend calls it too large (413), alone in its request.
    TooLarge,
    /// The backend took the request and refused these in it (OTLP partial success).
    RejectedByBackend,
    /// Their stream's quota, or the whole spool, was used up, and newer ones came.
    OverQuota,
    /// They waited for longer than `max_age`.
    TooOld,
    /// Flash gives back something else than was put there.
    Damaged,
    /// Their owner signed out.
    SignedOut,
    /// Somebody else signed in, and the configuration says `purge`.
    OtherAccount,
    /// The device was reset.
    Reset,
    /// The store with their key was replaced, or is another board's.
    StoreReplaced,
    /// They came as volatile ones, and flash did not take them.
    NotSaved,
}

impl DropReason {
    /// All reasons.
    pub const ALL: [Self; 11] = [
        Self::Malformed,
        Self::TooLarge,
        Self::RejectedByBackend,
        Self::OverQuota,
        Self::TooOld,
        Self::Damaged,
        Self::SignedOut,
        Self::OtherAccount,
        Self::Reset,
        Self::StoreReplaced,
        Self::NotSaved,
    ];

    /// The name in reports and metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::TooLarge => "too-large",
            Self::RejectedByBackend => "rejected-by-backend",
            Self::OverQuota => "over-quota",
            Self::TooOld => "too-old",
            Self::Damaged => "damaged",
            Self::SignedOut => "signed-out",
            Self::OtherAccount => "other-account",
            Self::Reset => "reset",
            Self::StoreReplaced => "store-replaced",
            Self::NotSaved => "not-saved",
        }
    }
}

/// Something that the journal shall know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Note {
    /// A batch arrived.
    Delivered {
        /// How many records.
        records: u64,
    },
    /// A fault came up.
    FaultRaised(Fault),
    /// A fault is gone.
    FaultCleared(Fault),
}

/// Why nothing is being sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hold {
    /// Somebody has to sign in first.
    SignIn,
    /// The backend refuses the token.
    Unauthorized,
    /// The backend forbids this account to send.
    Forbidden,
    /// The backend cannot be reached, or is unwell.
    Unreachable,
    /// Flash fails.
    Storage,
}

impl Hold {
    /// `delivery.reason` in `status --json`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::SignIn => "sign-in",
            Self::Unauthorized => "unauthorized",
            Self::Forbidden => "forbidden",
            Self::Unreachable => "unreachable",
            Self::Storage => "storage",
        }
    }
}

#[derive(Debug)]
enum Step {
    /// Nothing under way.
    Idle,
    /// A batch is being read.
    Reading,
    /// A batch waits for its time and for a token.
    Ready(Batch),
    /// A batch is on its way with this issue of the token.
    Sending(Batch, Generation),
    /// Its end is being made durable.
    Settling(Queue, Place, Option<Dropped>),
}

/// See the module.
#[derive(Debug)]
pub struct Delivery {
    config: DeliveryConfig,
    rng: Rng,
    step: Step,
    /// The queues that hold records, and where the first record of each is.
    stock: Vec<(Queue, u64)>,
    /// The last batch is over up to here, and flash does not know it yet.
    done: Option<(Queue, Place)>,
    limit: u32,
    /// The queue whose head the backend refused, and that is frozen anew.
    refreeze: Option<Queue>,
    /// Between records that are given up one after the other.
    losses: Backoff,
    hold: Option<Hold>,
    not_before: Boot,
    backoff: Backoff,
    refused: Option<Generation>,
    /// The last answer asked for a nonce (RFC 9449 section 9), and was acted upon.
    renonced: bool,
    /// How many 401s came in a row.
    refusals: u32,
    /// On whose behalf it was sent last.
    owner: OwnerId,
    /// The batch that is ready waits for nothing but a token.
    awaits_token: bool,
    /// In whose name it is being sent, and how the other one stands.
    sender: Sender,
    aside: Standing,
    actions: VecDeque<Action>,
    faults: Faults,
    counts: Counts,
}

/// What was delivered in one run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Records that the backend has.
    pub delivered: u64,
    /// When a batch arrived last.
    pub last_success: Option<Boot>,
}

impl Delivery {
    /// A machine at rest.
    #[must_use]
    pub fn new(config: DeliveryConfig, seed: u64) -> Self {
        Self {
            config,
            rng: Rng::with_seed(seed),
            step: Step::Idle,
            stock: Vec::new(),
            done: None,
            limit: MAX_RECORDS,
            refreeze: None,
            losses: Backoff::new(Duration::from_secs(1), Duration::from_secs(300)),
            hold: None,
            not_before: Boot::default(),
            backoff: Backoff::new(Duration::from_secs(1), Duration::from_secs(300)),
            refused: None,
            renonced: false,
            refusals: 0,
            owner: OwnerId::DEVICE,
            awaits_token: false,
            sender: Sender::Owner,
            aside: Standing::new(),
            actions: VecDeque::new(),
            faults: Faults::default(),
            counts: Counts::default(),
        }
    }

    /// Which queues hold records now, and the sequence number of the first one in each. A batch
    /// that waited and whose records are gone by now is read anew.
    pub fn handle_stock(&mut self, queues: impl Iterator<Item = (Queue, u64)>) {
        self.stock.clear();
        self.stock.extend(queues);
        self.stock.sort();
        let is_gone = |batch: &Batch| {
            let found = self.stock.iter().find(|(queue, _)| *queue == batch.queue);
            found.is_none_or(|(_, first)| *first > batch.start.sequence)
        };
        if matches!(&self.step, Step::Ready(batch) if is_gone(batch)) {
            self.step = Step::Idle;
            if self.hold == Some(Hold::SignIn) {
                // Another token may be there by now, and only a batch asks for one.
                self.not_before = Boot::default();
            }
        }
        let stock = &self.stock;
        self.refreeze.take_if(|refused| !stock.iter().any(|(queue, _)| queue == refused));
    }

    /// The read ended, and what it settled is settled. `None`: nothing can be sent from there now.
    pub fn handle_batch(&mut self, batch: Option<Batch>) {
        if matches!(self.step, Step::Reading) {
            self.done = None;
            self.step = batch.map_or(Step::Idle, Step::Ready);
        }
    }

    /// The read failed: flash is tried again later.
    pub fn handle_unreadable(&mut self, now: Now) {
        if matches!(self.step, Step::Reading) {
            self.step = Step::Idle;
        }
        self.hold(Hold::Storage, None, now);
    }

    /// The settling ended; `done`: it is durable.
    pub fn handle_settled(&mut self, done: bool, now: Now) {
        if !matches!(self.step, Step::Settling(..)) {
            return;
        }
        if done {
            self.step = Step::Idle;
            self.done = None;
            self.clear(Fault::SpoolNotSaved);
        } else {
            // The backend has the batch: sending again would only repeat it, with the same key.
            self.raise(Fault::SpoolNotSaved, now.boot);
            self.hold(Hold::Storage, None, now);
        }
    }

    /// The exchange ended.
    pub fn handle_outcome(&mut self, outcome: &Outcome, now: Now) {
        let step = core::mem::replace(&mut self.step, Step::Idle);
        let Step::Sending(batch, generation) = step else {
            self.step = step;
            return;
        };
        let mut answer = Answer::read(outcome);
        // No sign-in makes the device's own token any stronger.
        if self.is_in_own_name() && matches!(answer, Answer::Challenged(_)) {
            answer = Answer::Unauthorized;
        }
        self.renonced &= matches!(answer, Answer::Nonce);
        match answer {
            Answer::Taken { rejected } => self.taken(batch, rejected, now),
            Answer::Refused(reason) => self.refused(batch, reason, now),
            // Neither token nor proof is wrong but for its nonce, which is known by now.
            Answer::Nonce if !self.renonced => {
                self.renonced = true;
                self.step = Step::Ready(batch);
            }
            Answer::Unauthorized | Answer::Nonce => {
                self.refusals = self.refusals.saturating_add(1);
                // A fresh token that is refused, too, is no accident of time.
                if self.refusals > 1 {
                    self.raise(Fault::BackendUnauthorized, now.boot);
                }
                // From the third on, each costs issuer and flash a token more: two minutes, four, eight.
                let doublings = self.refusals.saturating_sub(2).min(8);
                let lasting = Duration::from_secs(60) * (1 << doublings);
                let lasting = (doublings > 0).then_some(lasting.min(FOR_AN_ADMIN));
                self.hold(Hold::Unauthorized, lasting, now);
                self.refused = Some(generation);
                self.actions.push_back(Action::Rejected(self.key(), generation));
                self.step = Step::Ready(batch);
            }
            Answer::Challenged(challenge) => {
                self.hold(Hold::SignIn, Some(PROBE), now);
                self.refused = Some(generation);
                self.actions.push_back(Action::Challenged(self.key(), generation, challenge));
                self.step = Step::Ready(batch);
            }
            Answer::Forbidden => {
                self.raise(Fault::BackendForbidden, now.boot);
                self.hold(Hold::Forbidden, Some(FOR_AN_ADMIN), now);
                self.step = Step::Ready(batch);
            }
            Answer::Trouble(trouble) => {
                if self.backoff.failures() > 0 {
                    self.raise(Fault::BackendUnreachable, now.boot);
                }
                self.hold(Hold::Unreachable, trouble.retry_after(), now);
                self.step = Step::Ready(batch);
            }
        }
    }

    /// The owner may have changed, or a token may have come: the next action, if any. `token`
    /// answers like [`crate::session::Session::token`]; `owner` is who owns the device now.
    pub fn poll_action(
        &mut self,
        owner: OwnerId,
        mut token: impl FnMut(&TokenKey) -> TokenAnswer,
        now: Now,
    ) -> Option<Action> {
        if self.owner != owner {
            self.owner = owner;
            self.start_afresh(now);
        }
        if let Some(action) = self.actions.pop_front() {
            return Some(action);
        }
        let foreign = matches!(&self.step, Step::Ready(batch) if self.sender_of(batch.queue, owner) != Some(self.sender));
        if foreign {
            // Its owner is gone: it stays in its queue for them (design invariant 8).
            self.step = Step::Idle;
            self.hold.take_if(|hold| *hold == Hold::SignIn);
        }
        self.choose_sender(owner, &mut token, now);
        match core::mem::replace(&mut self.step, Step::Idle) {
            Step::Idle => self.read(owner, now),
            Step::Ready(batch) => self.send(batch, &mut token, now),
            Step::Settling(queue, end, dropped) => {
                let again = self.hold == Some(Hold::Storage) && now.boot >= self.not_before;
                self.step = Step::Settling(queue, end, dropped);
                again.then(|| {
                    self.hold = None;
                    Action::Settle { queue, end, dropped }
                })
            }
            step @ (Step::Reading | Step::Sending(..)) => {
                self.step = step;
                None
            }
        }
    }

    /// When the next action is due at the latest; nothing while an answer is awaited.
    #[must_use]
    pub fn poll_wake(&self, owner: OwnerId) -> Option<Boot> {
        let waits = match &self.step {
            Step::Idle => self.done.is_some() || self.next_queue(self.sender, owner).is_some(),
            // A token comes with an event of the session; no time of day brings it.
            Step::Ready(_) => {
                !self.awaits_token && self.hold.is_some_and(|hold| hold != Hold::SignIn)
            }
            Step::Settling(..) => self.hold == Some(Hold::Storage),
            Step::Reading | Step::Sending(..) => false,
        };
        let other = self.may_leave()
            && !self.aside.awaits_token
            && self.next_queue(self.sender.other(), owner).is_some()
            && matches!(self.aside.hold, Some(Hold::Unauthorized | Hold::Forbidden));
        let other = other.then_some(self.aside.not_before);
        waits.then_some(self.not_before).into_iter().chain(other).min()
    }

    /// Why nothing is being sent, if so.
    #[must_use]
    pub fn held(&self) -> Option<Hold> {
        self.hold.or(self.aside.hold)
    }

    /// Whether a batch is under way.
    #[must_use]
    pub const fn is_sending(&self) -> bool {
        !matches!(self.step, Step::Idle)
    }

    /// The faults that are up.
    #[must_use]
    pub const fn faults(&self) -> &Faults {
        &self.faults
    }

    /// What was delivered in this run.
    #[must_use]
    pub const fn counts(&self) -> Counts {
        self.counts
    }

    fn read(&mut self, owner: OwnerId, now: Now) -> Option<Action> {
        if now.boot < self.not_before {
            return None;
        }
        let queue = self.next_queue(self.sender, owner);
        if let Some((of, end)) = self.done.filter(|(of, _)| queue != Some(*of)) {
            self.step = Step::Settling(of, end, None);
            return Some(Action::Settle { queue: of, end, dropped: None });
        }
        let queue = queue?;
        self.step = Step::Reading;
        Some(Action::Read(Read {
            queue,
            settled: self.done.map(|(_, end)| end),
            max_records: self.limit,
            max_bytes: MAX_BYTES,
            splits: self.limit < MAX_RECORDS,
            refreeze: self.refreeze.take_if(|refused| *refused == queue).is_some(),
        }))
    }

    fn send(
        &mut self,
        batch: Batch,
        token: &mut impl FnMut(&TokenKey) -> TokenAnswer,
        now: Now,
    ) -> Option<Action> {
        self.awaits_token = false;
        let access = match token(&self.key()) {
            TokenAnswer::Ready(access) if self.may_use(&access, now) => Some(access),
            TokenAnswer::SignInNeeded => {
                self.hold = Some(Hold::SignIn);
                None
            }
            TokenAnswer::Refused if now.boot >= self.not_before => {
                // In the device's own name it is the issuer who refuses, and the session says so.
                if !self.is_in_own_name() {
                    self.raise(Fault::BackendUnauthorized, now.boot);
                }
                self.hold(Hold::Unauthorized, Some(Duration::from_secs(60)), now);
                None
            }
            TokenAnswer::Pending => {
                self.awaits_token = true;
                None
            }
            TokenAnswer::Ready(_) | TokenAnswer::Refused => None,
        };
        let Some(access) = access else {
            self.step = Step::Ready(batch);
            return None;
        };
        let request = self.request(&batch, &access);
        self.step = Step::Sending(batch, access.generation);
        Some(Action::Send(request))
    }

    /// A token other than the one that was refused need not wait for the back-off.
    fn may_use(&self, access: &AccessToken, now: Now) -> bool {
        now.boot >= self.not_before || self.is_news(access.generation)
    }

    fn is_news(&self, generation: Generation) -> bool {
        match self.hold {
            // Where fresh tokens are refused, each one more costs issuer and flash for nothing.
            Some(Hold::Unauthorized) if self.refusals > 1 => false,
            Some(Hold::Unauthorized) => self.refused.is_some_and(|refused| generation > refused),
            Some(Hold::SignIn) => self.refused.is_none_or(|refused| generation > refused),
            Some(Hold::Forbidden | Hold::Unreachable | Hold::Storage) | None => false,
        }
    }

    fn request(&self, batch: &Batch, access: &AccessToken) -> Request {
        let mut headers = self.config.headers.clone();
        let scheme = if access.is_bound() { "DPoP" } else { "Bearer" };
        let authorization = Secret::new([scheme, access.token.expose()].join(" "));
        headers.push(("authorization".into(), authorization));
        headers.push(("idempotency-key".into(), Secret::new(batch.idempotency_key())));
        Request {
            peer: Peer::Telemetry,
            url: format!("{}{}", self.config.endpoint, batch.signal.path()),
            headers,
            body: Some(Body::Protobuf(batch.body.clone())),
            unsigned: Vec::new(),
        }
    }

    fn taken(&mut self, batch: Batch, rejected: u64, now: Now) {
        self.hold = None;
        self.refused = None;
        self.refusals = 0;
        self.backoff.reset();
        self.not_before = now.boot;
        self.counts.last_success = Some(now.boot);
        self.limit = (self.limit * 2).min(MAX_RECORDS);
        self.clear(Fault::BackendUnreachable);
        self.clear_refusals();
        // No backend refuses more than it got.
        let rejected = rejected.min(batch.records);
        self.counts.delivered += batch.records - rejected;
        self.note(Note::Delivered { records: batch.records - rejected });
        if rejected == 0 {
            self.losses.reset();
            self.done = Some((batch.queue, batch.end));
            return;
        }
        let reason = DropReason::RejectedByBackend;
        let dropped = Dropped { records: rejected, signal: batch.signal, reason };
        self.give_up(&batch, dropped, now);
    }

    /// The backend refuses what the batch holds: find the one record, and give up only that.
    fn refused(&mut self, batch: Batch, reason: DropReason, now: Now) {
        if batch.records > 1 {
            let half = u32::try_from(batch.records / 2).unwrap_or(MAX_RECORDS);
            self.limit = half.clamp(1, MAX_RECORDS - 1);
            self.refreeze = Some(batch.queue);
            return;
        }
        self.limit = MAX_RECORDS;
        let dropped = Dropped { records: batch.records, signal: batch.signal, reason };
        self.give_up(&batch, dropped, now);
    }

    /// The batch is over, and this of it will not arrive: the report comes before the removal. A
    /// backend that refuses one after the other is not asked at the speed of the network.
    fn give_up(&mut self, batch: &Batch, dropped: Dropped, now: Now) {
        self.not_before = now.boot + self.losses.next(&mut self.rng);
        let (queue, end, dropped) = (batch.queue, batch.end, Some(dropped));
        self.step = Step::Settling(queue, end, dropped);
        self.actions.push_back(Action::Settle { queue, end, dropped });
    }

    fn hold(&mut self, hold: Hold, at_least: Option<Duration>, now: Now) {
        let wait = self.backoff.next(&mut self.rng);
        self.hold = Some(hold);
        self.not_before = now.boot + at_least.unwrap_or_default().max(wait);
    }

    fn note(&mut self, note: Note) {
        self.actions.push_back(Action::Note(note));
    }

    fn raise(&mut self, fault: Fault, now: Boot) {
        if self.faults.raise(fault, now) {
            self.note(Note::FaultRaised(fault));
        }
    }

    fn clear(&mut self, fault: Fault) {
        if self.faults.clear(fault) {
            self.note(Note::FaultCleared(fault));
        }
    }
}

/// What the backend's answer means for the batch.
enum Answer {
    Taken { rejected: u64 },
    Refused(DropReason),
    Unauthorized,
    Challenged(Challenge),
    Nonce,
    Forbidden,
    Trouble(Trouble),
}

impl Answer {
    fn read(outcome: &Outcome) -> Self {
        let reply = match outcome {
            Outcome::Reply(reply) => reply,
            Outcome::NotSent(cause) => return Self::Trouble(Trouble::NotSent(*cause)),
            Outcome::Lost(cause) => return Self::Trouble(Trouble::Lost(*cause)),
        };
        match reply.status {
            200..=299 if wire::is_page(reply) => Self::Trouble(Trouble::Page),
            200..=299 => Self::Taken { rejected: Self::rejected(reply) },
            400 | 422 => Self::Refused(DropReason::Malformed),
            413 => Self::Refused(DropReason::TooLarge),
            401 if wire::challenges_nonce(reply) => Self::Nonce,
            401 => Challenge::read(reply).map_or(Self::Unauthorized, Self::Challenged),
            403 => Self::Forbidden,
            status => {
                Self::Trouble(Trouble::Server { status, retry_after: wire::retry_after(reply) })
            }
        }
    }

    /// OTLP partial success: sent again, the records would be refused again.
    fn rejected(reply: &Reply) -> u64 {
        let protobuf =
            reply.header("content-type").is_some_and(|t| t.starts_with("application/x-protobuf"));
        if protobuf { rejected_count(&reply.body) } else { 0 }
    }
}

#[cfg(test)]
mod tests;
