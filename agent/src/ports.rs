//! The ports between the [`Driver`](crate::driver::Driver) and everything that blocks, listens or
//! draws: each is submit and complete, as values. The binary serves them with tokio and threads,
//! the simulated world from a seed; nothing else may stand in for a part of the agent.
//!
//! Whoever serves them MUST complete every [`Submit::Http`], [`Submit::Storage`] exactly once.
//! Storage jobs are done in the order of their submission, but for [`Job::is_urgent`] ones, which
//! overtake the others.

use crate::{
    records::{Arrival, Envelope},
    status::Status,
    storage::Truth,
};
use signpost_core::{
    delivery::{Batch, DropReason, Dropped, Note, Place, Queue, Read},
    http::{Outcome, Request},
    jws::{DeviceKey, Unsigned},
    otlp::Signal,
    owner::OwnerId,
    secret::Secret,
    session::{AccessToken, Carried, Event, RequestId, SessionRecord, TokenKey},
    wire::{KeySet, Metadata},
};
use signpost_hal::{panel::Press, screen::Screen};
use std::time::Duration;

/// Something that the driver wants done.
#[derive(Debug)]
pub enum Submit {
    /// Carry out this exchange; answer with [`Complete::Http`].
    Http(HttpId, Request),
    /// Do this on flash; answer with [`Complete::Storage`].
    Storage(Job),
    /// Make a key for this device; answer with [`Complete::Key`].
    MakeKey,
    /// Keep this in the runtime folder until the board restarts.
    Runtime(Box<Carried>),
    /// Show this on every panel, and forget it.
    Screen(Screen),
    /// Write this to the journal.
    Journal(Entry),
    /// Answer this caller.
    Answer(CallerId, Answer),
}

/// Something that happened at a port.
#[derive(Debug)]
pub enum Complete {
    /// An exchange ended.
    Http(HttpId, Outcome),
    /// A job ended.
    Storage(Done),
    /// The key was made.
    Key(DeviceKey),
    /// A local program wants something; answered by [`Submit::Answer`].
    Call(CallerId, Call),
    /// A local program no longer waits for its answer.
    Gone(CallerId),
    /// Somebody at the device asks for something by its button.
    Pressed(Press),
}

/// Names one exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum HttpId {
    /// With the issuer.
    Session(RequestId),
    /// With the telemetry backend.
    Delivery(u64),
}

/// Names one waiting local program; chosen by whoever serves the sockets, never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct CallerId(pub u64);

/// What local programs and people can ask for.
#[derive(Debug)]
pub enum Call {
    /// An access token that is good for at least `min_ttl` more.
    Token {
        /// Which.
        key: TokenKey,
        /// For how long at least.
        min_ttl: Duration,
    },
    /// A proof for a request of a local program's own (RFC 9449), with a token that it was given.
    Proof {
        /// `htm`: the method.
        method: String,
        /// `htu`: the address.
        url: String,
        /// That the server wants; the newest one that the agent has heard from it otherwise.
        nonce: Option<String>,
        /// The token.
        access: Secret,
    },
    /// How it stands; `private`: with code, address and account, for the control socket only.
    Status {
        /// Whether the caller may see code, address and account.
        private: bool,
    },
    /// Start a sign-in, or join the one under way.
    SignIn,
    /// Forget the user; answered when flash knows.
    SignOut,
    /// Forget the user and wipe everything; answered when that is done.
    Reset,
    /// Show a picture to test panels with, for a while.
    TestPanels,
    /// Read the configuration again and go on with it; whoever serves the ports does that.
    Reload,
    /// Take in telemetry; answered when it is durable.
    Accept {
        /// What it is.
        signal: Signal,
        /// Whether it goes the way of events: first, and out of a quota of their own.
        events: bool,
        /// A validated export request, in protobuf and uncompressed.
        body: Vec<u8>,
        /// Answered as soon as it waits for flash instead, which is no promise (RFC 7240,
        /// section 4.1).
        volatile: bool,
    },
}

/// The answers to [`Call`]s.
#[derive(Debug)]
pub enum Answer {
    /// The access token, and how long it is good.
    Token(AccessToken, Option<Duration>),
    /// A proof, to be signed.
    Proof(Box<Unsigned>),
    /// How it stands.
    Status(Box<Status>),
    /// Done, and durable where it has to be.
    Done,
    /// Nobody is signed in.
    SignInNeeded,
    /// The issuer refuses a token of this kind.
    Refused,
    /// Not now; worth another try after this time.
    TryLater(Duration),
    /// More than flash takes as one record, now or later.
    TooLarge,
    /// Flash failed.
    NotSaved,
    /// The configuration is wrong, and the one before stays in force; the first problem.
    BadConfiguration(String),
}

/// A line for the journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// From the session.
    Session(Event),
    /// From delivery.
    Delivery(Note),
    /// Records were given up.
    Dropped(Dropped),
    /// The device is run by another configuration than before.
    Configured {
        /// The hash of this one.
        hash: String,
    },
}

/// Work for the storage thread.
#[derive(Debug)]
pub enum Job {
    /// Make the session's record durable.
    SaveRecord(u64, SessionRecord),
    /// Keep the issuer's metadata.
    SaveMetadata(Metadata),
    /// Keep the issuer's keys; answered as [`Job::SaveMetadata`] is.
    SaveKeys(KeySet),
    /// Append to a queue; durable when done.
    Append(Queue, Vec<Envelope>),
    /// The same of what the agent itself has to say, into whatever room there is; answered as
    /// [`Job::Append`] is.
    Report(Queue, Vec<Envelope>),
    /// Read the head of a queue and freeze it; now, and what the clocks tell where the wall clock
    /// is right.
    Read(Read, Arrival, Option<Truth>),
    /// Make the report of what was dropped durable, then remove from a queue's head.
    Settle {
        /// Which queue.
        queue: Queue,
        /// All that is before it.
        end: Place,
        /// What is to be reported.
        dropped: Option<Dropped>,
        /// When that was.
        at: Arrival,
    },
    /// Destroy an owner's key, and with it what waits in their queues; superseded tokens go, too.
    /// What was lost with it is reported in the device's own name, and why.
    Forget(OwnerId, DropReason, Arrival),
    /// Destroy every key, and with them all that waits; forget the issuer's metadata and, unless it
    /// is configured, the device's id. What was lost is reported in the new device's name.
    Wipe(Arrival),
    /// Keep how many times in a row the device was switched off soon after its start.
    SaveStarts(Starts),
    /// Keep the hash of the configuration that the device is run by.
    SaveConfigHash(String),
}

/// How many times in a row the device was switched off soon after its start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Starts {
    /// This start included.
    pub count: u8,
    /// The run of the board that was counted last.
    pub boot_id: [u8; 16],
}

impl Job {
    /// Whether it overtakes what is not: a rotated token must not wait for telemetry.
    #[must_use]
    pub const fn is_urgent(&self) -> bool {
        matches!(self, Self::SaveRecord(..))
    }
}

/// How a [`Job`] ended.
#[derive(Debug)]
pub struct Done {
    /// What came of it.
    pub result: JobResult,
    /// What the spool holds now.
    pub stock: Stock,
    /// What this job gave up; its reports are durable.
    pub dropped: Vec<Dropped>,
    /// Bytes that were programmed since the start.
    pub written: u64,
}

/// What came of a [`Job`].
#[derive(Debug)]
pub enum JobResult {
    /// The record of this version is durable, or not.
    Record(u64, Result<(), StorageTrouble>),
    /// The metadata is kept, or not.
    Metadata(Result<(), StorageTrouble>),
    /// The records are durable, or none of them is.
    Appended(Result<(), StorageTrouble>),
    /// The head of the queue, `None` where it is empty.
    Batch(Result<Option<Batch>, StorageTrouble>),
    /// The removal is durable, or not.
    Settled(Result<(), StorageTrouble>),
    /// Key and queues are gone: how many records were lost with them.
    Forgotten(Result<u64, StorageTrouble>),
    /// Everything is gone; the device's id from now on.
    Wiped(Result<String, StorageTrouble>),
    /// The count, or the hash, is kept, or not.
    Noted(Result<(), StorageTrouble>),
}

/// Why flash did not do it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StorageTrouble {
    /// No room: comes right when something was delivered.
    Full,
    /// The medium fails.
    Failed,
}

/// What the spool holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stock {
    /// Queues that hold records.
    pub queues: Vec<QueueStock>,
    /// Most erases that one unit of flash has seen.
    pub worn: u32,
    /// The longest body that the spool takes, in bytes.
    pub max_body: usize,
}

/// What one queue holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueStock {
    /// Which.
    pub queue: Queue,
    /// Accepted requests.
    pub records: u64,
    /// Bytes on flash.
    pub bytes: u64,
    /// Sequence number of the first one.
    pub first: u64,
    /// When it came, or one before it.
    pub oldest: Option<Arrival>,
}
