//! The storage worker: a plain function over flash, a thread in the binary, an event in the world.
//!
//! It joins the token store (sealed under the outer key) and the spool (each owner's queues
//! sealed under a key of their own, kept in the token store, so that destroying the key destroys
//! the queues), and knows how the agent's records look as bytes.

use crate::{
    ports::{Done, Job, JobResult, Starts, Stock, StorageTrouble},
    records::{self, Arrival, Envelope, OwnerKey},
    reports,
};
use signpost_core::{
    delivery::{Batch, Queue, Stream},
    otlp::Signal,
    owner::OwnerId,
    session::SessionRecord,
    wire::{KeySet, Metadata},
};
use signpost_hal::flash::{Flash, FlashError};
use signpost_store::{
    Entropy, OpenError, OuterKeys, QueueKey, QueueName, Spool, StoreError, TokenStore,
    fields::Fields,
};

/// Keys of the token store.
const DEVICE: u8 = 1;
const SESSION: u8 = 2;
const METADATA: u8 = 3;
const OWNERS: u8 = 4;
const STARTS: u8 = 5;
const KEY_SET: u8 = 6;

/// The one field of the records under [`DEVICE`] and [`OWNERS`].
const ID: u16 = 1;
const KEYS: u16 = 1;
const SPOOL_ID: u16 = 2;
/// Fields of the record under [`STARTS`].
const COUNT: u16 = 1;
const BOOT_ID: u16 = 2;

/// The most that an issuer's keys may take of the token store, in bytes: a dozen of RSA.
const MAX_KEY_SET: usize = 4_096;

/// Token store and spool, and the keys of the spool's owners.
pub struct Storage<F> {
    tokens: TokenStore<F>,
    spool: Spool<F>,
    entropy: Entropy,
    /// The session's record as it is kept, with what other builds put into it.
    session: Fields,
    metadata: Fields,
    key_set: Fields,
    owners: Vec<OwnerKey>,
    /// Their record as it is kept. Only [`KEYS`] may hold keys: it is what a sign-out rewrites.
    owners_record: Fields,
    device_id: DeviceId,
    written: u64,
    binding: usize,
}

/// Where the device's id comes from.
enum DeviceId {
    Configured(String),
    Drawn,
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
    /// Opens both stores, sealed under `keys`. `device_id`: the configured one; else the one that
    /// is kept counts, or one is drawn and kept.
    ///
    /// # Errors
    /// [`OpenTrouble`].
    pub fn open(
        tokens: F,
        spool: F,
        keys: &OuterKeys,
        mut entropy: impl FnMut() -> Entropy,
        device_id: Option<&str>,
    ) -> Result<(Self, Opened), OpenTrouble> {
        let (tokens, found) =
            TokenStore::open(tokens, keys, entropy()).map_err(OpenTrouble::Tokens)?;
        let (spool, beside) = Spool::open(spool, entropy()).map_err(OpenTrouble::Spool)?;
        let mut storage = Self {
            tokens,
            spool,
            entropy: entropy(),
            session: Fields::new(),
            metadata: Fields::new(),
            key_set: Fields::new(),
            owners: Vec::new(),
            owners_record: Fields::new(),
            device_id: device_id.map_or(DeviceId::Drawn, |id| DeviceId::Configured(id.to_owned())),
            written: 0,
            binding: found.binding,
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
        let device_id = match (&self.device_id, kept) {
            (DeviceId::Configured(id), _) => id.clone(),
            (DeviceId::Drawn, Some(id)) => id,
            (DeviceId::Drawn, None) => self
                .draw_device_id(device)
                .map_err(|trouble| OpenTrouble::Tokens(trouble.into()))?,
        };
        Ok(Opened {
            record: record.and_then(Result::ok),
            metadata: opened_metadata,
            keys,
            device_id,
            stock: self.stock(),
            starts: starts.unwrap_or_default(),
            damaged,
        })
    }

    /// Empties a spool whose keys are not here: they went with a token store that was set aside,
    /// or never were on this board. Whether there was anything in it.
    fn drop_unreadable(&mut self) -> Result<bool, Unsaved> {
        let records = |queue| {
            let stats = self.spool.stats(name_of(queue))?;
            (stats.records > 0).then_some((signal_of(queue.stream), stats.records))
        };
        let lost: Vec<(Signal, u64)> = self.queues().filter_map(records).collect();
        if self.spool.queues().next().is_none() {
            return Ok(false);
        }
        self.spool.wipe().map_err(Unsaved::Store)?;
        let at = Arrival { boot_id: [0; 16], boot: Default::default(), wall: None };
        let reports: Vec<Envelope> = lost
            .iter()
            .map(|(signal, records)| reports::dropped(*records, *signal, "store-replaced", at))
            .collect();
        let events = Queue { stream: Stream::Events, owner: OwnerId::DEVICE };
        if !reports.is_empty() {
            self.append(events, &reports)?;
        }
        Ok(!lost.is_empty())
    }

    fn draw_device_id(&mut self, device: Fields) -> Result<String, Unsaved> {
        let mut random = [0; 5];
        (self.entropy)(&mut random);
        let id = random.iter().fold(String::from("sp-"), |id, byte| id + &format!("{byte:02x}"));
        let fields = device.with(ID, &id).map_err(|_| Unsaved::Unwritable)?;
        self.tokens.put(DEVICE, &fields.to_bytes()).map_err(Unsaved::Store)?;
        Ok(id)
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
            Job::Read { queue, max_records, max_bytes, refreeze } => {
                let batch = self.read(queue, max_records, max_bytes, refreeze);
                JobResult::Batch(batch.map_err(Into::into))
            }
            Job::Settle { queue, up_to, dropped, at } => {
                let report = dropped.map(|dropped| reports::dropped_by_delivery(dropped, at));
                JobResult::Settled(self.settle(queue, up_to, report).map_err(Into::into))
            }
            Job::Forget(owner, at) => {
                JobResult::Forgotten(self.forget(owner, at).map_err(Into::into))
            }
            Job::Wipe(at) => JobResult::Wiped(self.wipe(at).map_err(Into::into)),
            Job::SaveStarts(starts) => {
                JobResult::Starts(self.save_starts(starts).map_err(Into::into))
            }
        };
        Done { result, stock: self.stock(), written: self.written }
    }

    fn save_record(&mut self, record: &SessionRecord) -> Result<(), Unsaved> {
        let signed_out = record.grant.is_none();
        records::set_session(&mut self.session, record).map_err(|_| Unsaved::Unwritable)?;
        let bytes = self.session.to_bytes();
        self.written += bytes.len() as u64;
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
        self.written += bytes.len() as u64;
        self.tokens.put(METADATA, &bytes).map_err(Unsaved::Store)
    }

    fn save_keys(&mut self, keys: &KeySet) -> Result<(), Unsaved> {
        records::set_keys(&mut self.key_set, keys).map_err(|_| Unsaved::Unwritable)?;
        let bytes = self.key_set.to_bytes();
        // Found again at the next sign-in; they must not crowd out what cannot be had again.
        if bytes.len() > MAX_KEY_SET {
            return Ok(());
        }
        self.written += bytes.len() as u64;
        self.tokens.put(KEY_SET, &bytes).map_err(Unsaved::Store)
    }

    /// Programs' records leave a sixteenth of the spool to reports: a record that the backend
    /// refuses could otherwise never leave a full spool, because its report had no room.
    fn take_in(&mut self, queue: Queue, envelopes: &[Envelope]) -> Result<(), Unsaved> {
        if self.spool.free() <= self.spool.capacity() / 16 {
            return Err(Unsaved::Store(StoreError::Full));
        }
        self.append(queue, envelopes)
    }

    fn append(&mut self, queue: Queue, envelopes: &[Envelope]) -> Result<(), Unsaved> {
        let key = self.key_of(queue.owner)?;
        let records: Result<Vec<_>, _> =
            envelopes.iter().map(|envelope| Ok(envelope.to_fields()?.to_bytes())).collect();
        let records =
            records.map_err(|_: signpost_store::fields::FieldError| Unsaved::Unwritable)?;
        let slices: Vec<&[u8]> = records.iter().map(|record| record.as_slice()).collect();
        self.written += slices.iter().map(|slice| slice.len() as u64).sum::<u64>();
        self.spool.append(name_of(queue), &key, &slices).map_err(Unsaved::Store)?;
        Ok(())
    }

    /// Joins the head of `queue` to one batch of one signal. Its end is durable before it is
    /// sent: after a restart the same batch is read again, however much has come in since.
    fn read(
        &mut self,
        queue: Queue,
        max_records: u32,
        max_bytes: u32,
        refreeze: bool,
    ) -> Result<Option<Batch>, Unsaved> {
        let name = name_of(queue);
        let Some(first) = self.spool.stats(name).filter(|s| s.records > 0).map(|s| s.first_seq)
        else {
            return Ok(None);
        };
        let frozen = self.spool.cursor(name).and_then(frozen_up_to).filter(|last| *last >= first);
        let frozen = frozen.filter(|_| !refreeze);
        let (max_records, max_bytes) = match frozen {
            Some(last) => (last - first + 1, u64::from(u32::MAX)),
            None => (max_records.into(), max_bytes.into()),
        };
        let batch = self.join(queue, first, max_records, max_bytes)?;
        if let Some(batch) = batch.as_ref().filter(|batch| frozen != Some(batch.last)) {
            self.spool.set_cursor(name, &batch.last.to_le_bytes()).map_err(Unsaved::Store)?;
            self.written += 8;
        }
        Ok(batch)
    }

    fn join(
        &mut self,
        queue: Queue,
        first: u64,
        max_records: u64,
        max_bytes: u64,
    ) -> Result<Option<Batch>, Unsaved> {
        let Some(owner) = self.owner_key(queue.owner) else {
            // The key is gone, and so is the way to read this.
            self.spool.drop_queue(name_of(queue)).map_err(Unsaved::Store)?;
            return Ok(None);
        };
        let (key, epoch) = (QueueKey::from_bytes(owner.key), owner.epoch);
        let limit = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
        let read =
            self.spool.read(name_of(queue), &key, first, limit(max_records), limit(max_bytes));
        let records = match read {
            Ok(records) => records,
            Err(
                StoreError::DamagedRecords { first, next } | StoreError::Unreadable { first, next },
            ) => {
                return self.give_up(queue, first, next).map(|()| None);
            }
            Err(error) => return Err(Unsaved::Store(error)),
        };
        let mut batch: Option<Batch> = None;
        for (sequence, bytes) in records {
            let envelope = Fields::parse(&bytes).and_then(|f| Envelope::from_fields(&f));
            let envelope = match (envelope, &mut batch) {
                (Ok(envelope), _) => envelope,
                (Err(_), Some(_)) => break,
                (Err(_), None) => {
                    return self.give_up(queue, sequence, sequence + 1).map(|()| None);
                }
            };
            match &mut batch {
                None => {
                    batch = Some(Batch {
                        queue,
                        signal: envelope.signal,
                        first: sequence,
                        last: sequence,
                        epoch: epoch ^ queue.stream as u64,
                        body: envelope.body,
                    });
                }
                Some(batch) if batch.signal == envelope.signal => {
                    batch.last = sequence;
                    batch.body.extend_from_slice(&envelope.body);
                }
                Some(_) => break,
            }
        }
        Ok(batch)
    }

    /// Records that cannot be read any more are reported and removed.
    fn give_up(&mut self, queue: Queue, first: u64, next: u64) -> Result<(), Unsaved> {
        let at = Arrival { boot_id: [0; 16], boot: Default::default(), wall: None };
        let report = reports::dropped(next - first, signal_of(queue.stream), "damaged", at);
        self.settle(queue, next - 1, Some(report))
    }

    fn settle(
        &mut self,
        queue: Queue,
        up_to: u64,
        report: Option<Envelope>,
    ) -> Result<(), Unsaved> {
        let events = Queue { stream: Stream::Events, owner: queue.owner };
        let mut unreported = None;
        if let Some(report) = report {
            match self.append(events, std::slice::from_ref(&report)) {
                Err(Unsaved::Store(error)) if error.is_full() => unreported = Some(report),
                result => result?,
            }
        }
        self.written += 16;
        match self.spool.remove(name_of(queue), up_to) {
            Ok(()) | Err(StoreError::NoQueue) => {}
            Err(error) => return Err(Unsaved::Store(error)),
        }
        // Nothing but the removal makes room in a full spool, in a segment or behind the last
        // record of this queue. A cut between the two costs the report.
        if let Some(report) = unreported.as_ref().map(std::slice::from_ref) {
            self.append(events, report).or_else(|_| self.append(queue, report))?;
        }
        Ok(())
    }

    /// Destroys the owner's key first: from that moment the queues are unreadable, whatever
    /// happens to the power.
    fn forget(&mut self, owner: OwnerId, at: Arrival) -> Result<u64, Unsaved> {
        let queues: Vec<Queue> = self.queues().filter(|queue| queue.owner == owner).collect();
        self.owners.retain(|key| key.owner != owner.0);
        self.save_owners()?;
        self.tokens.scrub().map_err(Unsaved::Store)?;
        let mut lost = 0;
        for queue in queues {
            let records = self.spool.stats(name_of(queue)).map_or(0, |stats| stats.records);
            if records > 0 {
                let report = reports::dropped(records, signal_of(queue.stream), "signed-out", at);
                let events = Queue { stream: Stream::Events, owner: OwnerId::DEVICE };
                match self.append(events, std::slice::from_ref(&report)) {
                    // The queue itself makes the room: a full spool must not stop a sign-out.
                    Err(Unsaved::Store(error)) if error.is_full() => {
                        self.spool.drop_queue(name_of(queue)).map_err(Unsaved::Store)?;
                        self.append(events, &[report])?;
                    }
                    result => result?,
                }
            }
            self.spool.drop_queue(name_of(queue)).map_err(Unsaved::Store)?;
            lost += records;
        }
        Ok(lost)
    }

    /// Keys first, as [`forget`](Self::forget). May be begun again at any point.
    fn wipe(&mut self, at: Arrival) -> Result<String, Unsaved> {
        self.owners.clear();
        self.owners_record = Fields::new();
        self.save_owners()?;
        for key in [METADATA, STARTS, KEY_SET] {
            self.tokens.remove(key).map_err(Unsaved::Store)?;
        }
        self.metadata = Fields::new();
        self.key_set = Fields::new();
        let device_id = match &self.device_id {
            DeviceId::Configured(id) => id.clone(),
            DeviceId::Drawn => self.draw_device_id(Fields::new())?,
        };
        self.tokens.scrub().map_err(Unsaved::Store)?;
        let lost = self.stock().queues;
        self.spool.wipe().map_err(Unsaved::Store)?;
        let report = |(queue, records, _): (Queue, u64, u64)| {
            reports::dropped(records, signal_of(queue.stream), "reset", at)
        };
        let reports: Vec<Envelope> = lost.into_iter().map(report).collect();
        if !reports.is_empty() {
            let events = Queue { stream: Stream::Events, owner: OwnerId::DEVICE };
            self.append(events, &reports)?;
        }
        Ok(device_id)
    }

    fn save_starts(&mut self, starts: Starts) -> Result<(), Unsaved> {
        let fields = Fields::new().with(COUNT, &starts.count);
        let fields = fields.and_then(|fields| fields.with(BOOT_ID, &starts.boot_id));
        let bytes = fields.map_err(|_| Unsaved::Unwritable)?.to_bytes();
        self.written += bytes.len() as u64;
        self.tokens.put(STARTS, &bytes).map_err(Unsaved::Store)
    }

    fn owner_key(&self, owner: OwnerId) -> Option<&OwnerKey> {
        self.owners.iter().find(|key| key.owner == owner.0)
    }

    /// The key of an owner, made and kept when they have their first record.
    fn key_of(&mut self, owner: OwnerId) -> Result<QueueKey, Unsaved> {
        if let Some(known) = self.owner_key(owner) {
            return Ok(QueueKey::from_bytes(known.key));
        }
        let (mut key, mut epoch) = ([0; 32], [0; 8]);
        (self.entropy)(&mut key);
        (self.entropy)(&mut epoch);
        // The lowest bits tell the streams of one owner apart.
        let epoch = u64::from_le_bytes(epoch) & !3;
        self.owners.push(OwnerKey { owner: owner.0, key, epoch });
        if let Err(error) = self.save_owners() {
            self.owners.pop();
            return Err(error);
        }
        Ok(QueueKey::from_bytes(key))
    }

    fn save_owners(&mut self) -> Result<(), Unsaved> {
        let fields = &mut self.owners_record;
        fields
            .set(KEYS, &self.owners)
            .and_then(|()| fields.set(SPOOL_ID, &self.spool.id()))
            .map_err(|_| Unsaved::Unwritable)?;
        let bytes = fields.to_bytes();
        self.written += bytes.len() as u64;
        self.tokens.put(OWNERS, &bytes).map_err(Unsaved::Store)
    }

    fn queues(&self) -> impl Iterator<Item = Queue> {
        self.spool.queues().filter_map(queue_of)
    }

    fn stock(&self) -> Stock {
        let held = self.queues().filter_map(|queue| {
            let stats = self.spool.stats(name_of(queue))?;
            (stats.records > 0).then_some((queue, stats.records, stats.bytes))
        });
        let max_body = self.spool.max_record().saturating_sub(records::ENVELOPE);
        Stock { queues: held.collect(), worn: self.tokens.worn(), max_body }
    }
}

/// Why something is not on flash.
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

fn frozen_up_to(cursor: &[u8]) -> Option<u64> {
    Some(u64::from_le_bytes(cursor.get(..8)?.try_into().ok()?))
}

/// A queue's name on flash: 16 bytes of owner, one of stream, three of nothing.
fn name_of(queue: Queue) -> QueueName {
    let mut name = [0; 20];
    name[..16].copy_from_slice(&queue.owner.0);
    name[16] = match queue.stream {
        Stream::Events => 0,
        Stream::Metrics => 1,
        Stream::Logs => 2,
    };
    QueueName(name)
}

fn queue_of(name: QueueName) -> Option<Queue> {
    let stream = match name.0[16] {
        0 => Stream::Events,
        1 => Stream::Metrics,
        2 => Stream::Logs,
        _ => return None,
    };
    let owner = OwnerId(*name.0.first_chunk()?);
    Some(Queue { stream, owner })
}

const fn signal_of(stream: Stream) -> Signal {
    match stream {
        Stream::Metrics => Signal::Metrics,
        Stream::Events | Stream::Logs => Signal::Logs,
    }
}
