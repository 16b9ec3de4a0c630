//! The storage worker: a plain function over flash, a thread in the binary, an event in the world.

use crate::ports::{Done, Job, Stock};
use signpost_core::{session::SessionRecord, wire::Metadata};
use signpost_hal::flash::Flash;
use signpost_store::{Entropy, OpenError, OuterKeys};

/// Token store and spool, and the keys of the spool's owners.
pub struct Storage<F> {
    _flash: F,
}

/// What flash held at the start.
#[derive(Clone, Debug)]
pub struct Opened {
    /// The session's record.
    pub record: Option<SessionRecord>,
    /// The issuer's metadata.
    pub metadata: Option<Metadata>,
    /// The device's id: configured, kept, or just drawn.
    pub device_id: String,
    /// What waits.
    pub stock: Stock,
}

/// Which store could not be opened, and why. Where [`OpenError::is_set_aside`] says so, the caller
/// renames that file, opens anew and raises [`signpost_core::fault::Fault::StoreSetAside`].
#[derive(Debug)]
pub enum OpenTrouble {
    /// The token store.
    Tokens(OpenError),
    /// The spool.
    Spool(OpenError),
}

impl<F: Flash> Storage<F> {
    /// Opens both stores, sealed under `keys`. `device_id`: the configured one; else the one that
    /// is kept counts, or one is drawn and kept.
    ///
    /// # Errors
    /// [`OpenTrouble`].
    pub fn open(
        _tokens: F,
        _spool: F,
        _keys: &OuterKeys,
        _entropy: impl FnMut() -> Entropy,
        _device_id: Option<&str>,
    ) -> Result<(Self, Opened), OpenTrouble> {
        Err(OpenTrouble::Tokens(OpenError::TooSmall))
    }

    /// Does one job.
    pub fn work(&mut self, _job: Job) -> Done {
        loop {}
    }
}
