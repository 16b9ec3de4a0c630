//! Token store and spool on flash that survive a power cut at any instant.
//!
//! [`TokenStore`] keeps a few records under one-byte keys, each replaced as a whole.
//! [`Spool`] keeps up to 16 first-in first-out queues of records. Both lie on anything that
//! is a [`Flash`], seal what they keep, answer a call that
//! changes something only once that is durable, and know nothing of what the records mean.
//!
//! After a cut at any instant, also one while recovering from another, a key reads as its
//! last acknowledged value or the one in flight, and a queue holds every acknowledged record
//! that no acknowledged removal took. No word of flash is programmed twice between erases.
//! Rolling a whole medium back to an older image is not noticed: that takes hardware.
//!
//! # The format, version 1
//! All numbers are little-endian. `crc` is CRC-32 as in Ethernet. A *varint* is LEB128.
//!
//! The medium is a row of **segments** of equal size: for tokens as few erase units as make
//! 256 bytes; for a spool 1/128 of the medium, at least one erase unit and 4 KiB, rounded down
//! to whole erase units. A segment is erased, then written front to back: a **header**, then
//! **parts**.
//!
//! | header, offset | bytes | |
//! |---|---|---|
//! | 0 | 1 | `0xA5` |
//! | 1 | 1 | version in the high half; in the low one 1 for tokens, 2 for a ledger, 3 for a queue |
//! | 2 | 1 | tokens: `seq` less that of the segment before, 0 for none, `0xFF` for "the one before it in the ring" |
//! | 3 | 1 | tokens: low bits of the number of the first commit that begins here |
//! | 4 | 8 | store id, random, made with the store |
//! | 12 | 4 | `seq`: one higher at least than that of any segment filled before |
//! | 16 | 4 | erases of this segment |
//! | 20 | 32 | queues only: name (20), birth (4), sequence number of the first record that begins here (8) |
//! | 20 or 52 | 4 | crc of all before |
//!
//! A **part** begins on a program unit (the first one right behind the header) and is filled
//! with `0xFF` to the next:
//!
//! | part, offset | bytes | |
//! |---|---|---|
//! | 0 | 4 | bits 0-15 length of the payload; 16 first of its unit; 17 last; 18 several records; 19 zero; 20-31 low bits of the crc of store id, `seq`, offset in the segment, this word's low 20 bits |
//! | 4 | 4 | crc of the same (8, 4, 4 and 4 bytes), this crc of the unit's part before (4; 0 if none), and the payload |
//! | 8 | | payload |
//!
//! A **unit** is what becomes visible as a whole: the payloads of a first part and those that
//! follow it up to a last part, in the same segment or on into the next. Only the newest unit
//! of a log or queue may be torn; whatever follows the last whole one is void, and nothing is
//! ever programmed behind it unless it reads as erased.
//!
//! **Sealed** means: a random nonce (24 bytes), XChaCha20 ciphertext, Poly1305 tag (16).
//!
//! ## Tokens
//! Segments form a ring and a chain by `seq`. The newest segment whose chain holds a whole unit
//! ends the log; newer ones are void. A unit holds a varint, eight times the distance in `seq`
//! from the unit's first segment down to the oldest one still needed plus the commit's number
//! modulo 8 (of two in a row with one number the first failed and is void), then entries: key
//! (1), length (varint), and so many bytes, which are the value sealed under the store key. Length 0 removes the key. The newest entry counts. Associated
//! data: `signpost`, version, 1, store id, key, `seq` and offset of the unit. Keys 255 and 254
//! are both the store key itself, sealed under an outer key; associated data: `signpost`,
//! version, 0, store id, then what binds the store to its device.
//!
//! ## Spool
//! The newest whole **ledger** segment says which queues there are. Its units hold the number
//! of their entries (1), then the entries, of which a later one replaces an earlier one of its
//! name: name (20), birth (4), flag (1: 1 a live queue, 0 dropped), sequence number of the first
//! record not removed (8), length of the cursor (1), cursor. The first unit of a ledger segment
//! holds all of them. A queue's segments are those with its name and birth; one with a lower
//! first record than an earlier one voids that. Those before the last one that begins at or
//! below the first record not removed are free and may hold anything, as are all those of a
//! queue whose records are all removed.
//!
//! A record unit holds, if bit 18 is set, the number of its records (2) and the low half of the
//! crc of `seq`, offset and that number (2) before what is sealed; sealed is the record itself,
//! or for several a varint length and the bytes of each. Associated data: `signpost`, version,
//! 2, store id, name, birth, sequence number of the unit's first record (8).

#![no_std]

extern crate alloc;

mod crc;
pub mod fields;
mod log;
mod seal;
mod spool;
mod stream;
mod tokens;

use core::fmt;

use signpost_hal::flash::{Flash, FlashError, FlashErrorKind};

pub use seal::{Entropy, OuterKeys, QueueKey, SealKey};
pub use spool::{
    Dropped, MAX_CURSOR, MAX_QUEUES, MAX_RECORD, QueueName, Spool, SpoolOpened, Stats,
};
pub use stream::{QueueWriter, RecordReader, RecordWriter};
pub use tokens::{Opened, TokenStore};

/// Makes a medium blank whose content was set aside or is not wanted: a partition or chip
/// that cannot be renamed as a file can. Erases all of it, or fills it with zeros.
///
/// # Errors
/// What the medium says; then clear it again.
pub fn clear<F: Flash>(mut flash: F) -> Result<(), FlashError> {
    let geometry = flash.geometry();
    let zeros = alloc::vec![0; geometry.program_unit() as usize];
    for unit in 0..geometry.units() {
        if !geometry.overwrites() {
            flash.erase(unit)?;
            continue;
        }
        let from = unit * geometry.erase_unit();
        for at in (from..from + geometry.erase_unit()).step_by(zeros.len()) {
            flash.program(at, &zeros)?;
        }
    }
    flash.sync()
}

/// Why a store did not open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenError {
    /// The medium failed.
    Flash(FlashError),
    /// The medium has too few erase units, or units too small, for a store.
    TooSmall,
    /// A store of another key or device.
    Foreign,
    /// No store of this kind, and not blank either.
    Garbage,
    /// A store in the format of another version of this program.
    OtherVersion,
}

impl OpenError {
    /// Whether the way on is to set the medium's content aside and to begin a new store.
    pub fn is_set_aside(&self) -> bool {
        match self {
            Self::Foreign | Self::Garbage | Self::OtherVersion => true,
            Self::Flash(_) | Self::TooSmall => false,
        }
    }
}

impl From<FlashError> for OpenError {
    fn from(error: FlashError) -> Self {
        Self::Flash(error)
    }
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flash(error) => error.fmt(f),
            Self::TooSmall => f.write_str("storage is too small for a store"),
            Self::Foreign => f.write_str("store was made with another key or on another device"),
            Self::Garbage => f.write_str("storage holds something else than a store of this kind"),
            Self::OtherVersion => f.write_str("store was made by another version"),
        }
    }
}

impl core::error::Error for OpenError {}

/// Why a call on an open store did nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreError {
    /// The medium failed. What the call was to change may or may not be found changed after
    /// the next start; the store itself goes on as before.
    Flash(FlashError),
    /// There is no room for it.
    Full,
    /// The record is longer than `limit` bytes.
    TooLong {
        /// Bytes at most.
        limit: usize,
    },
    /// The key, queue or cursor is none that a store can keep.
    Invalid,
    /// There are as many queues as there can be.
    TooManyQueues,
    /// No such queue.
    NoQueue,
    /// The record under this key is damaged.
    Damaged,
    /// Records `first` to `next - 1` of a queue are damaged: count them and remove them.
    DamagedRecords {
        /// The first that is lost.
        first: u64,
        /// The first behind them.
        next: u64,
    },
    /// Records `first` to `next - 1` were sealed under another key, or tampered with.
    Unreadable {
        /// The first that does not open.
        first: u64,
        /// The first behind them.
        next: u64,
    },
}

impl StoreError {
    /// Whether there was no room, in the store or below its medium.
    pub fn is_full(&self) -> bool {
        match self {
            Self::Full => true,
            Self::Flash(error) => error.kind() == FlashErrorKind::Full,
            Self::TooLong { .. }
            | Self::Invalid
            | Self::TooManyQueues
            | Self::NoQueue
            | Self::Damaged
            | Self::DamagedRecords { .. }
            | Self::Unreadable { .. } => false,
        }
    }
}

impl From<FlashError> for StoreError {
    fn from(error: FlashError) -> Self {
        Self::Flash(error)
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flash(error) => error.fmt(f),
            Self::Full => f.write_str("store is full"),
            Self::TooLong { limit } => write!(f, "record is longer than {limit} bytes"),
            Self::Invalid => f.write_str("not a key, queue or cursor that a store can keep"),
            Self::TooManyQueues => f.write_str("too many queues"),
            Self::NoQueue => f.write_str("no such queue"),
            Self::Damaged => f.write_str("record is damaged"),
            Self::DamagedRecords { first, next } => {
                write!(f, "records {first} to {} are damaged", next - 1)
            }
            Self::Unreadable { first, next } => {
                write!(f, "records {first} to {} do not open with this key", next - 1)
            }
        }
    }
}

impl core::error::Error for StoreError {}
