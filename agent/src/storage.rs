//! The storage worker: a plain function over flash, a thread in the binary, an event in the world.
//!
//! It joins the token store (sealed under the outer key) and the spool (each owner's queues
//! sealed under a key of their own, kept in the token store, so that destroying the key destroys
//! the queues), and knows how the agent's records look as bytes. Here it is opened, and the
//! session's own records are kept; [`queues`] takes telemetry in and makes room for it, and
//! [`batches`] takes it out again.

mod batches;
mod meter;
mod queues;

use crate::{
    config::{Quotas, WhenFullByStream},
    ports::{Done, Job, JobResult, Starts, Stock, StorageTrouble},
    records::{self, Arrival, OwnerKey},
};
use meter::{Meter, Metered};
use queues::Queues;
use signpost_core::{
    delivery::{Dropped, Queue},
    otlp::Attribute,
    owner::OwnerId,
    session::SessionRecord,
    time::ClockGate,
    wire::{KeySet, Metadata},
};
use signpost_hal::flash::{Flash, FlashError};
use signpost_store::{
    Entropy, OpenError, OuterKeys, Spool, StoreError, TokenStore, fields::Fields,
};
use std::time::Duration;

pub use batches::Truth;

/// Keys of the token store.
const DEVICE: u8 = 1;
const SESSION: u8 = 2;
const METADATA: u8 = 3;
const OWNERS: u8 = 4;
const STARTS: u8 = 5;
const KEY_SET: u8 = 6;
const CONFIG: u8 = 7;

/// The one field of the records under [`DEVICE`] and [`OWNERS`].
const ID: u16 = 1;
const KEYS: u16 = 1;
const SPOOL_ID: u16 = 2;
/// Fields of the record under [`STARTS`].
const COUNT: u16 = 1;
const BOOT_ID: u16 = 2;
/// The one field of the record under [`CONFIG`].
const HASH: u16 = 1;

/// The most that an issuer's keys may take of the token store, in bytes: a dozen of RSA.
const MAX_KEY_SET: usize = 4_096;

/// Token store and spool, and the keys of the spool's owners.
pub struct Storage<F> {
    tokens: TokenStore<Metered<F>>,
    spool: Spool<Metered<F>>,
    /// What the queues are about, beside their bytes.
    queues: Queues,
    settings: Settings,
    entropy: Entropy,
    /// The session's record as it is kept, with what other builds put into it.
    session: Fields,
    metadata: Fields,
    key_set: Fields,
    owners: Vec<OwnerKey>,
    /// Their record as it is kept. Only [`KEYS`] may hold keys: it is what a sign-out rewrites.
    owners_record: Fields,
    device_id: String,
    written: Meter,
    size: u64,
    binding: usize,
    /// What was given up by the job that is being done.
    dropped: Vec<Dropped>,
    /// The request that was read last, and when it had come.
    last_read: Option<(Queue, Arrival)>,
    /// Who owns the device, as far as records have told.
    present: OwnerId,
}

/// What configuration says of the device and its telemetry.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The device's id; else the one that is kept counts, or one is drawn and kept.
    pub device_id: Option<String>,
    /// Resource attributes for everything that is sent, unless a program has said otherwise.
    pub attributes: Vec<Attribute>,
    /// How much of the spool each stream may take.
    pub quotas: Quotas,
    /// What happens then.
    pub when_full: WhenFullByStream,
    /// What is older is given up.
    pub max_age: Duration,
    /// Instants that it does not believe are put right.
    pub gate: ClockGate,
}

impl Default for Settings {
    /// As a configuration that says nothing of them.
    fn default() -> Self {
        Self {
            device_id: None,
            attributes: Vec::new(),
            quotas: Quotas::default(),
            when_full: WhenFullByStream::default(),
            max_age: Duration::from_secs(30 * 86_400),
            gate: ClockGate::new(Default::default()),
        }
    }
}

/// What flash held at the start.
#[derive(Clone, Debug)]
pub struct Opened {
    /// The session's record.
    pub record: Option<SessionRecord>,
    /// The issuer's metadata.
    pub metadata: Option<Metadata>,
    /// The issuer's keys.
    pub keys: Option<KeySet>,
    /// The device's id: configured, kept, or just drawn.
    pub device_id: String,
    /// What waits.
    pub stock: Stock,
    /// How often in a row the device was switched off soon after its start.
    pub starts: Starts,
    /// The hash of the configuration by which the device was run last.
    pub config_hash: Option<String>,
    /// Something that was kept could not be read.
    pub damaged: bool,
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
    /// Opens both stores, sealed under `keys`.
    ///
    /// # Errors
    /// [`OpenTrouble`].
    pub fn open(
        tokens: F,
        spool: F,
        keys: &OuterKeys,
        mut entropy: impl FnMut() -> Entropy,
        settings: Settings,
    ) -> Result<(Self, Opened), OpenTrouble> {
        let written = Meter::default();
        let size = u64::from(tokens.geometry().size()) + u64::from(spool.geometry().size());
        let (tokens, spool) = (written.watch(tokens), written.watch(spool));
        let (tokens, found) =
            TokenStore::open(tokens, keys, entropy()).map_err(OpenTrouble::Tokens)?;
        let (spool, beside) = Spool::open(spool, entropy()).map_err(OpenTrouble::Spool)?;
        let mut storage = Self {
            tokens,
            spool,
            queues: Queues::default(),
            settings,
            entropy: entropy(),
            session: Fields::new(),
            metadata: Fields::new(),
            key_set: Fields::new(),
            owners: Vec::new(),
            owners_record: Fields::new(),
            device_id: String::new(),
            written,
            size,
            binding: found.binding,
            dropped: Vec::new(),
            last_read: None,
            present: OwnerId::DEVICE,
        };
        // The token store is the first to be made: beside a spool it is not new, it was emptied.
        let emptied = found.fresh && !beside.fresh;
        let damaged = emptied || found.lost > 0 || !found.damaged.is_empty();
        let opened = storage.load(damaged)?;
        Ok((storage, opened))
    }

    fn load(&mut self, damaged: bool) -> Result<Opened, OpenTrouble> {
        let mut damaged = damaged;
        let mut read = |key| {
            let value = self.tokens.get(key);
            let fields = value.map(|value| value.map(|bytes| Fields::parse(&bytes)));
            match fields {
                Ok(Some(Ok(fields))) => Ok(Some(fields)),
                Ok(None) => Ok(None),
                // What cannot be read now may be another time: nothing is put in its place.
                Err(StoreError::Flash(error)) => Err(OpenTrouble::Tokens(error.into())),
                Ok(Some(Err(_))) | Err(_) => {
                    damaged = true;
                    Ok(None)
                }
            }
        };
        let (device, session, metadata, owners, key_set) =
            (read(DEVICE)?, read(SESSION)?, read(METADATA)?, read(OWNERS)?, read(KEY_SET)?);
        let starts = read(STARTS)?.as_ref().map(starts_of);
        let config_hash = read(CONFIG)?.and_then(|fields| fields.get(HASH).ok().flatten());
        let record = session.as_ref().map(records::session_of);
        damaged |= matches!(record, Some(Err(_)));
        let kept = owners.as_ref().and_then(|fields| {
            // The keys of another spool open nothing here.
            let same = fields.get(SPOOL_ID).ok()? == Some(self.spool.id());
            fields.get(KEYS).ok()?.filter(|_| same)
        });
        let is_ours = kept.is_some();
        self.owners = kept.unwrap_or_default();
        self.owners_record = owners.unwrap_or_default();
        let opened_metadata = metadata.as_ref().and_then(|f| records::metadata_of(f).ok());
        let keys = key_set.as_ref().and_then(|f| records::keys_of(f).ok());
        self.key_set = key_set.unwrap_or_default();
        self.session = session.unwrap_or_default();
        self.metadata = metadata.unwrap_or_default();
        if !is_ours {
            damaged |=
                self.drop_unreadable().map_err(|trouble| OpenTrouble::Spool(trouble.into()))?;
        }
        let device = device.unwrap_or_default();
        let kept = device.get::<String>(ID).ok().flatten();
        self.device_id = match (&self.settings.device_id, kept) {
            (Some(id), _) => id.clone(),
            (None, Some(id)) => id,
            (None, None) => self
                .draw_device_id(device)
                .map_err(|trouble| OpenTrouble::Tokens(trouble.into()))?,
        };
        self.look_at_heads();
        Ok(Opened {
            record: record.and_then(Result::ok),
            metadata: opened_metadata,
            keys,
            device_id: self.device_id.clone(),
            stock: self.stock(),
            starts: starts.unwrap_or_default(),
            config_hash,
            damaged,
        })
    }

    fn draw_device_id(&mut self, device: Fields) -> Result<String, Unsaved> {
        let mut random = [0; 5];
        (self.entropy)(&mut random);
        let id = random.iter().fold(String::from("sp-"), |id, byte| id + &format!("{byte:02x}"));
        let fields = device.with(ID, &id).map_err(|_| Unsaved::Unwritable)?;
        self.tokens.put(DEVICE, &fields.to_bytes()).map_err(Unsaved::Store)?;
        Ok(id)
    }

    /// Bytes of the media under both stores.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Which of the bindings in its keys the token store has, as
    /// [`signpost_store::Opened::binding`].
    pub fn binding(&self) -> usize {
        self.binding
    }

    /// Does one job. Never panics, ends in bounded time, and says so where it failed.
    pub fn work(&mut self, job: Job) -> Done {
        let result = match job {
            Job::SaveRecord(version, record) => {
                JobResult::Record(version, self.save_record(&record).map_err(Into::into))
            }
            Job::SaveMetadata(metadata) => {
                JobResult::Metadata(self.save_metadata(&metadata).map_err(Into::into))
            }
            Job::SaveKeys(keys) => JobResult::Metadata(self.save_keys(&keys).map_err(Into::into)),
            Job::Append(queue, envelopes) => {
                JobResult::Appended(self.take_in(queue, &envelopes).map_err(Into::into))
            }
            Job::Report(queue, envelopes) => {
                JobResult::Appended(self.append(queue, &envelopes).map_err(Into::into))
            }
            Job::Read(read, at, truth) => {
                JobResult::Batch(self.read(&read, at, truth).map_err(Into::into))
            }
            Job::Settle { queue, end, dropped, at } => {
                JobResult::Settled(self.settle(queue, end, dropped, at).map_err(Into::into))
            }
            Job::Forget(owner, reason, at) => {
                JobResult::Forgotten(self.forget(owner, reason, at).map_err(Into::into))
            }
            Job::Wipe(at) => JobResult::Wiped(self.wipe(at).map_err(Into::into)),
            Job::SaveStarts(starts) => {
                JobResult::Noted(self.save_starts(starts).map_err(Into::into))
            }
            Job::SaveConfigHash(hash) => {
                JobResult::Noted(self.save_config_hash(&hash).map_err(Into::into))
            }
        };
        let dropped = std::mem::take(&mut self.dropped);
        Done { result, stock: self.stock(), dropped, written: self.written.bytes() }
    }

    fn save_record(&mut self, record: &SessionRecord) -> Result<(), Unsaved> {
        let signed_out = record.grant.is_none();
        records::set_session(&mut self.session, record).map_err(|_| Unsaved::Unwritable)?;
        let bytes = self.session.to_bytes();
        self.tokens.put(SESSION, &bytes).map_err(Unsaved::Store)?;
        // What a signed-out user leaves behind must not wait for its unit's turn.
        if signed_out && self.tokens.needs_scrub() {
            self.tokens.scrub().map_err(Unsaved::Store)?;
        }
        Ok(())
    }

    fn save_metadata(&mut self, metadata: &Metadata) -> Result<(), Unsaved> {
        records::set_metadata(&mut self.metadata, metadata).map_err(|_| Unsaved::Unwritable)?;
        let bytes = self.metadata.to_bytes();
        self.tokens.put(METADATA, &bytes).map_err(Unsaved::Store)
    }

    fn save_keys(&mut self, keys: &KeySet) -> Result<(), Unsaved> {
        records::set_keys(&mut self.key_set, keys).map_err(|_| Unsaved::Unwritable)?;
        let bytes = self.key_set.to_bytes();
        // Found again at the next sign-in; they must not crowd out what cannot be had again.
        if bytes.len() > MAX_KEY_SET {
            return Ok(());
        }
        self.tokens.put(KEY_SET, &bytes).map_err(Unsaved::Store)
    }

    /// Forgets what was learned of the issuer, and how the device was switched on.
    fn forget_issuer(&mut self) -> Result<(), Unsaved> {
        for key in [METADATA, STARTS, KEY_SET] {
            self.tokens.remove(key).map_err(Unsaved::Store)?;
        }
        self.metadata = Fields::new();
        self.key_set = Fields::new();
        Ok(())
    }

    fn save_config_hash(&mut self, hash: &str) -> Result<(), Unsaved> {
        let fields = Fields::new().with(HASH, &hash).map_err(|_| Unsaved::Unwritable)?;
        self.tokens.put(CONFIG, &fields.to_bytes()).map_err(Unsaved::Store)
    }

    fn save_starts(&mut self, starts: Starts) -> Result<(), Unsaved> {
        let fields = Fields::new().with(COUNT, &starts.count);
        let fields = fields.and_then(|fields| fields.with(BOOT_ID, &starts.boot_id));
        let bytes = fields.map_err(|_| Unsaved::Unwritable)?.to_bytes();
        self.tokens.put(STARTS, &bytes).map_err(Unsaved::Store)
    }
}

/// Why something is not on flash.
#[derive(Debug)]
enum Unsaved {
    /// The store says so.
    Store(StoreError),
    /// The record has no form in bytes: a mistake of ours.
    Unwritable,
}

impl From<Unsaved> for StorageTrouble {
    fn from(unsaved: Unsaved) -> Self {
        match unsaved {
            Unsaved::Store(error) if error.is_full() => Self::Full,
            Unsaved::Store(_) | Unsaved::Unwritable => Self::Failed,
        }
    }
}

impl From<Unsaved> for OpenError {
    fn from(unsaved: Unsaved) -> Self {
        match unsaved {
            Unsaved::Store(StoreError::Flash(error)) => Self::Flash(error),
            Unsaved::Store(_) | Unsaved::Unwritable => {
                Self::Flash(FlashError::from(signpost_hal::flash::FlashErrorKind::Full))
            }
        }
    }
}

fn starts_of(fields: &Fields) -> Starts {
    let count = fields.get(COUNT).ok().flatten();
    let boot_id = fields.get(BOOT_ID).ok().flatten();
    Starts { count: count.unwrap_or_default(), boot_id: boot_id.unwrap_or_default() }
}
