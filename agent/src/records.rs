//! What the agent keeps on flash, as bytes: lists of (tag, length, postcard value), so that an
//! older build carries what it does not know (flash.md, promise 8).

use signpost_core::{
    otlp::Signal,
    time::{Boot, Wall},
};

/// When a record arrived, by both clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// Which run of the board (`/proc/sys/kernel/random/boot_id`).
    pub boot_id: [u8; 16],
    /// When in it.
    pub boot: Boot,
    /// The date, where the wall clock was usable.
    pub wall: Option<Wall>,
}

/// One accepted export request as it waits in the spool.
#[derive(Clone, PartialEq, Eq)]
pub struct Envelope {
    /// What it holds.
    pub signal: Signal,
    /// When it came.
    pub arrival: Arrival,
    /// The `Export…ServiceRequest`.
    pub body: Vec<u8>,
}

impl std::fmt::Debug for Envelope {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Envelope({:?}, {} bytes)", self.signal, self.body.len())
    }
}
