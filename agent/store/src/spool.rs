//! The spool: first-in first-out queues over one pool of segments.
//!
//! A segment belongs to one queue at a time. Which queues there are and how far each was
//! removed stands in the *ledger*, one segment whose first unit is a snapshot. When it is
//! full or torn, a new snapshot goes to another segment and the old one is free again; one
//! segment of the pool is always kept back for that, so that a full spool can be drained.

use alloc::vec;
use alloc::vec::Vec;
use core::fmt;
use core::ops::Range;

use signpost_hal::flash::{Flash, FlashError};

use crate::crc::Crc;
use crate::log::{Header, Kind, Log, Part, Place, QueueSegment, VERSION, push_varint, varint_len};
use crate::seal::{Entropy, QueueKey, SEALING};
use crate::{OpenError, StoreError};

mod ledger;
mod mount;
mod pool;
mod read;

/// Queues that a spool can have at a time.
pub const MAX_QUEUES: usize = 16;
/// Bytes of a queue's cursor at most.
pub const MAX_CURSOR: usize = 64;
/// Bytes of a record at most; in a small spool a quarter of it.
pub const MAX_RECORD: usize = 4 << 20;

/// Records are sealed together up to so many bytes, or so many records.
const UNIT_BYTES: usize = 60 << 10;
const UNIT_RECORDS: usize = 1000;
const SEGMENT_MIN: u32 = 4096;
const SEGMENTS_MIN: u16 = 4;
const SEGMENTS: u32 = 128;
/// Bytes of the number of records in a unit of several.
const COUNT: usize = 4;
const FREE: u8 = 255;
const LEDGER: u8 = 254;

/// A queue's name, of the caller's choosing.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct QueueName(pub [u8; 20]);

impl fmt::Debug for QueueName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("QueueName(")?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
        f.write_str(")")
    }
}

/// What [`Spool::open`] found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SpoolOpened {
    /// The medium was blank: a new spool was begun.
    pub fresh: bool,
    /// The ledger was damaged. What it no longer tells was put together from the records:
    /// removed records and dropped queues may be back, cursors may be older or empty.
    pub ledger_lost: bool,
}

/// What a queue holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stats {
    /// Records that are not removed.
    pub records: u64,
    /// Bytes of the medium that they take, in whole segments.
    pub bytes: u64,
    /// Sequence number of the oldest record, or `next_seq` if there is none.
    pub first_seq: u64,
    /// Sequence number that the next record gets.
    pub next_seq: u64,
}

/// Records that were given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dropped {
    /// The first of them.
    pub first: u64,
    /// The first behind them.
    pub next: u64,
}

impl Dropped {
    /// How many.
    pub fn records(&self) -> u64 {
        self.next - self.first
    }
}

/// Up to [`MAX_QUEUES`] queues of records, each sealed under a key that the caller keeps.
///
/// Without its key a queue can be counted, shortened and dropped, and not read. Changes are
/// durable when the call returns; records come back in order until they are removed.
pub struct Spool<F> {
    log: Log<F>,
    entropy: Entropy,
    queues: Vec<Option<Queue>>,
    /// Slot of the queue that each segment belongs to, [`FREE`] or [`LEDGER`].
    owner: Vec<u8>,
    /// `seq` of each segment.
    seqs: Vec<u32>,
    /// Highest `seq` that was ever programmed, as far as is known.
    seq: u32,
    /// The segment that was filled last.
    last: u16,
    /// The segment of an ended ledger, which was erased at once, and its erases.
    blank: Option<(u16, u32)>,
    /// Where the ledger's next unit may begin.
    ledger: Option<Place>,
    /// Nobody has looked yet whether all behind that place is blank.
    ledger_unseen: bool,
    /// A queue, and where the unit begins that holds a record of it: reading goes on there.
    mark: Option<(u8, u64, Place)>,
}

#[derive(Clone, Debug)]
struct Queue {
    name: QueueName,
    birth: u32,
    /// First record that is not removed.
    first: u64,
    next: u64,
    /// Where the next unit may begin in the newest segment.
    head: Option<Place>,
    /// Nobody has looked yet whether all behind that place is blank.
    unseen: bool,
    cursor: Vec<u8>,
}

impl<F: Flash> Spool<F> {
    /// Opens the spool on `flash`, or begins one if it is blank. Takes no key: compare
    /// [`id`](Self::id) with the one kept beside the keys to tell a foreign spool.
    ///
    /// # Errors
    /// [`OpenError::is_set_aside`] tells when to set the content aside and begin anew.
    pub fn open(flash: F, entropy: Entropy) -> Result<(Self, SpoolOpened), OpenError> {
        mount::open(flash, entropy)
    }

    /// The random number that tells this spool from any other.
    pub fn id(&self) -> [u8; 8] {
        self.log.store()
    }

    /// The queues there are, in no order.
    pub fn queues(&self) -> impl Iterator<Item = QueueName> {
        self.queues.iter().flatten().map(|queue| queue.name)
    }

    /// What `queue` holds; `None` if there is no such queue.
    pub fn stats(&self, queue: QueueName) -> Option<Stats> {
        let slot = self.slot(queue)?;
        let q = self.queues[slot].as_ref()?;
        let segments = self.owner.iter().filter(|&&o| usize::from(o) == slot).count() as u64;
        Some(Stats {
            records: q.next - q.first,
            bytes: segments * u64::from(self.log.segment()),
            first_seq: q.first,
            next_seq: q.next,
        })
    }

    /// Bytes of the medium that records can still take, in whole segments.
    pub fn free(&self) -> u64 {
        (self.spare(None) as u64).saturating_sub(1) * u64::from(self.log.segment())
    }

    /// Bytes of the medium that records can take in all.
    pub fn capacity(&self) -> u64 {
        u64::from(self.log.count() - 2) * u64::from(self.log.segment())
    }

    /// The longest record that this spool takes, in bytes.
    pub fn max_record(&self) -> usize {
        MAX_RECORD.min(self.capacity() as usize / 4)
    }

    /// Adds `records` to the end of `queue`, making it if there is none, and returns their
    /// sequence numbers. They are sealed and become durable together, up to 60 KiB at a time.
    ///
    /// # Errors
    /// [`StoreError::Full`] before anything is written. After [`StoreError::Flash`] a part
    /// of the records may be in the queue; it still takes and gives others.
    pub fn append(
        &mut self,
        queue: QueueName,
        key: &QueueKey,
        records: &[&[u8]],
    ) -> Result<Range<u64>, StoreError> {
        let limit = self.max_record();
        if records.iter().any(|record| record.len() > limit) {
            return Err(StoreError::TooLong { limit });
        }
        let units = units(records);
        if let Some(slot) = self.slot(queue) {
            if self.ledger.is_none() {
                // A change of the ledger failed and may be there all the same: the queue's end.
                let queue = self.queue(slot)?.clone();
                self.save(slot, Some(&queue))?;
            }
            self.look_behind(slot)?;
        }
        self.check_room(self.slot(queue), &units)?;
        let slot = match self.slot(queue) {
            Some(slot) => slot,
            None => self.create(queue)?,
        };
        let from = self.queue(slot)?.next;
        for unit in units {
            self.append_unit(slot, key, unit)?;
        }
        Ok(from..self.queue(slot)?.next)
    }

    /// Records of `queue` from `from` on (or from its oldest one on), with their sequence
    /// numbers: at most `max_records`, and at most `max_bytes` of them unless the first one
    /// alone is longer. Empty at the end of the queue.
    ///
    /// # Errors
    /// [`StoreError::DamagedRecords`] or [`StoreError::Unreadable`] if the first of them
    /// cannot be read; those behind can.
    pub fn read(
        &mut self,
        queue: QueueName,
        key: &QueueKey,
        from: u64,
        max_records: usize,
        max_bytes: usize,
    ) -> Result<Vec<(u64, Vec<u8>)>, StoreError> {
        let mut out = Vec::new();
        let mut bytes = 0;
        self.read_while(queue, key, from, |seq, record| {
            bytes += record.len();
            let fits = out.len() < max_records && (out.is_empty() || bytes <= max_bytes);
            if fits {
                out.push((seq, record));
            }
            fits && out.len() < max_records
        })?;
        Ok(out)
    }

    /// Hands the records of `queue` from `from` on (or from its oldest one on) to `take`, with
    /// their sequence numbers, for as long as it says that it takes more. Those that were sealed
    /// together are in memory at a time, and no others.
    ///
    /// # Errors
    /// As [`read`](Self::read); where `take` has had a record, what cannot be read ends it.
    pub fn read_while(
        &mut self,
        queue: QueueName,
        key: &QueueKey,
        from: u64,
        mut take: impl FnMut(u64, Vec<u8>) -> bool,
    ) -> Result<(), StoreError> {
        let slot = self.slot(queue).ok_or(StoreError::NoQueue)?;
        let from = from.max(self.queue(slot)?.first);
        let mut wanted = from;
        while wanted < self.queue(slot)?.next {
            let (first, records) = match self.read_unit(slot, key, wanted) {
                Ok(unit) => unit,
                Err(error) if wanted == from => return Err(error),
                Err(_) => break,
            };
            let skipped = wanted.saturating_sub(first);
            for (seq, record) in (first..).zip(records).skip(skipped as usize) {
                wanted = seq + 1;
                if !take(seq, record) {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// Removes the records of `queue` up to and including `up_to`; those removed stay so.
    ///
    /// # Errors
    /// [`StoreError::NoQueue`], or what the medium says. Never for want of room.
    pub fn remove(&mut self, queue: QueueName, up_to: u64) -> Result<(), StoreError> {
        let cursor = self.cursor(queue).map(<[u8]>::to_vec).ok_or(StoreError::NoQueue)?;
        self.remove_and_set_cursor(queue, up_to, &cursor)
    }

    /// The caller's few bytes for `queue`, empty at first; `None` if there is no such queue.
    pub fn cursor(&self, queue: QueueName) -> Option<&[u8]> {
        let slot = self.slot(queue)?;
        self.queues[slot].as_ref().map(|q| q.cursor.as_slice())
    }

    /// Keeps `cursor` for `queue`, making it if there is none. Not sealed: numbers, no secrets.
    ///
    /// # Errors
    /// [`StoreError::Invalid`] above [`MAX_CURSOR`] bytes; else as [`remove`](Self::remove).
    pub fn set_cursor(&mut self, queue: QueueName, cursor: &[u8]) -> Result<(), StoreError> {
        if self.slot(queue).is_none() {
            self.create(queue)?;
        }
        let slot = self.slot(queue).ok_or(StoreError::NoQueue)?;
        let first = self.queue(slot)?.first;
        self.settle(slot, first, cursor)
    }

    /// [`remove`](Self::remove) and [`set_cursor`](Self::set_cursor) as one: after a cut
    /// both have happened or neither.
    ///
    /// # Errors
    /// As those.
    pub fn remove_and_set_cursor(
        &mut self,
        queue: QueueName,
        up_to: u64,
        cursor: &[u8],
    ) -> Result<(), StoreError> {
        let slot = self.slot(queue).ok_or(StoreError::NoQueue)?;
        let q = self.queue(slot)?;
        let first = up_to.saturating_add(1).clamp(q.first, q.next);
        self.settle(slot, first, cursor)
    }

    /// Gives up the oldest segment of `queue` and the records that begin in it.
    ///
    /// # Errors
    /// As [`remove`](Self::remove).
    pub fn drop_oldest_segment(&mut self, queue: QueueName) -> Result<Dropped, StoreError> {
        let oldest = self.oldest_segment(queue)?;
        let slot = self.slot(queue).ok_or(StoreError::NoQueue)?;
        let cursor = self.queue(slot)?.cursor.clone();
        self.settle(slot, oldest.next, &cursor)?;
        Ok(oldest)
    }

    /// Drops `queue` with all its records; one that does not exist is dropped already.
    ///
    /// # Errors
    /// What the medium says.
    pub fn drop_queue(&mut self, queue: QueueName) -> Result<(), StoreError> {
        let Some(slot) = self.slot(queue) else { return Ok(()) };
        self.save(slot, None)?;
        self.queues[slot] = None;
        self.owner.iter_mut().filter(|o| usize::from(**o) == slot).for_each(|o| *o = FREE);
        Ok(())
    }

    /// Drops all queues and makes what is left of them unreadable: erased, or, on media that
    /// overwrite, without the headers that lead to the records (which their keys seal).
    ///
    /// # Errors
    /// What the medium says.
    pub fn wipe(&mut self) -> Result<(), StoreError> {
        for queue in self.queues().collect::<Vec<_>>() {
            self.drop_queue(queue)?;
        }
        self.snapshot(&[])?;
        for index in 0..self.log.count() {
            if self.owner[usize::from(index)] == FREE {
                self.log.destroy(index, 1)?;
            }
        }
        Ok(self.log.sync()?)
    }

    fn slot(&self, name: QueueName) -> Option<usize> {
        self.queues.iter().position(|q| q.as_ref().is_some_and(|q| q.name == name))
    }

    fn queue(&self, slot: usize) -> Result<&Queue, StoreError> {
        self.queues.get(slot).and_then(Option::as_ref).ok_or(StoreError::NoQueue)
    }

    fn create(&mut self, name: QueueName) -> Result<usize, StoreError> {
        let slot = match self.queues.iter().position(Option::is_none) {
            Some(slot) => slot,
            None if self.queues.len() < MAX_QUEUES => {
                self.queues.push(None);
                self.queues.len() - 1
            }
            None => return Err(StoreError::TooManyQueues),
        };
        // No segment has this number yet, so none of an older queue counts as this one's.
        let birth = self.seq.checked_add(1).ok_or(StoreError::Full)?;
        let queue =
            Queue { name, birth, first: 0, next: 0, head: None, unseen: false, cursor: Vec::new() };
        self.save(slot, Some(&queue))?;
        self.queues[slot] = Some(queue);
        Ok(slot)
    }

    /// Makes a new first record and cursor durable and frees what that frees.
    fn settle(&mut self, slot: usize, first: u64, cursor: &[u8]) -> Result<(), StoreError> {
        if cursor.len() > MAX_CURSOR {
            return Err(StoreError::Invalid);
        }
        let old = self.queue(slot)?;
        if self.ledger.is_some() && old.first == first && old.cursor == cursor {
            return Ok(());
        }
        let new = Queue { first, cursor: cursor.to_vec(), ..old.clone() };
        self.save(slot, Some(&new))?;
        // Room for the ledger may have cost a drained queue its head: only these two are new.
        if let Some(queue) = self.queues[slot].as_mut() {
            (queue.first, queue.cursor) = (new.first, new.cursor);
        }
        let chain = self.chain(slot);
        for pair in chain.windows(2) {
            // A header that cannot be read keeps its segment until a later one can.
            match self.first_of(pair[1]) {
                Ok(Some(begins)) if begins > first => break,
                Ok(Some(_)) => self.release(slot, pair[1]),
                Ok(None) | Err(_) => {}
            }
        }
        Ok(())
    }

    /// Frees the segments of a queue that come before segment `index`.
    fn release(&mut self, slot: usize, index: u16) {
        let seq = self.seqs[usize::from(index)];
        for (owner, of) in self.owner.iter_mut().zip(&self.seqs) {
            if usize::from(*owner) == slot && *of < seq {
                *owner = FREE;
            }
        }
    }

    /// A queue's segments, oldest first.
    fn chain(&self, slot: usize) -> Vec<u16> {
        let owned = |index: &u16| usize::from(self.owner[usize::from(*index)]) == slot;
        let mut chain: Vec<u16> = (0..self.log.count()).filter(owned).collect();
        chain.sort_unstable_by_key(|index| self.seqs[usize::from(*index)]);
        chain
    }

    /// The first record that begins in a queue's segment; `None` if its header is damaged.
    fn first_of(&mut self, index: u16) -> Result<Option<u64>, FlashError> {
        let seq = self.seqs[usize::from(index)];
        Ok(match self.log.header(index)? {
            Some(Header { kind: Kind::Queue(queue), seq: of, .. }) if of == seq => {
                Some(queue.first)
            }
            Some(_) | None => None,
        })
    }

    /// Looks, before the first unit after a start, whether all behind a queue's head is blank.
    /// What is not was torn, or is damage that hides records: either way nothing goes there.
    fn look_behind(&mut self, slot: usize) -> Result<(), StoreError> {
        let queue = self.queue(slot)?;
        let Some(head) = queue.head.filter(|_| queue.unseen) else { return Ok(()) };
        self.log.clear_block(head)?;
        let hidden = match self.log.is_open(head)? {
            true => None,
            false => Some(mount::hidden_behind(&mut self.log, head)?),
        };
        if let Some(queue) = self.queues[slot].as_mut() {
            queue.unseen = false;
            if let Some(hidden) = hidden {
                queue.head = None;
                queue.next = queue.next.saturating_add(hidden);
            }
        }
        Ok(())
    }

    /// Checks that `units` fit, in `slot` or in a new queue.
    fn check_room(&self, slot: Option<usize>, units: &[&[&[u8]]]) -> Result<(), StoreError> {
        let needed = self.segments_for(slot, units);
        // A drained queue may itself be the reserve: then not even its head takes a record.
        if needed < self.spare(slot) { Ok(()) } else { Err(StoreError::Full) }
    }

    fn append_unit(
        &mut self,
        slot: usize,
        key: &QueueKey,
        records: &[&[u8]],
    ) -> Result<(), StoreError> {
        let queue = self.queue(slot)?;
        let (name, birth, first, head) = (queue.name, queue.birth, queue.next, queue.head);
        let next = first.checked_add(records.len() as u64).ok_or(StoreError::Full)?;
        let multi = records.len() > 1;
        let lay = self.log.lay(head, queue_header_len(), unit_len(records));
        let fresh = self.pick(Some(slot), usize::from(lay.fresh), |number| {
            // Only the segment that a unit begins in counts it as its first.
            let first = if number == 0 && !lay.in_head { first } else { next };
            Kind::Queue(QueueSegment { name, birth, first })
        })?;
        let start = match (head.filter(|_| lay.in_head), fresh.first()) {
            (Some(head), _) => head,
            (None, Some((index, header))) => {
                Place { index: *index, seq: header.seq, offset: header.len() }
            }
            (None, None) => return Err(StoreError::Full),
        };
        let mut payload = Vec::with_capacity(unit_len(records));
        if multi {
            payload.extend(encode_count(records.len() as u16, start));
        }
        self.seal(key, &unit_data(&self.log.store(), name, birth, first), records, &mut payload);
        if let Some(queue) = self.queues[slot].as_mut() {
            queue.head = None;
        }
        let end = self.write(head.filter(|_| lay.in_head), &fresh, multi, &payload)?;
        for (index, _) in &fresh {
            self.owner[usize::from(*index)] = slot as u8;
        }
        if let Some(queue) = self.queues[slot].as_mut() {
            queue.head = Some(end);
            queue.next = next;
        }
        Ok(())
    }

    fn seal(&mut self, key: &QueueKey, ad: &[u8], records: &[&[u8]], out: &mut Vec<u8>) {
        if let [record] = records {
            return key.seal(record, ad, &mut self.entropy, out);
        }
        key.seal_with(plain_len(records), ad, &mut self.entropy, out, |out| {
            for record in records {
                push_varint(out, record.len() as u64);
                out.extend(*record);
            }
        });
    }
}

impl Queue {
    fn is_drained(&self) -> bool {
        self.first == self.next
    }
}

impl<F> fmt::Debug for Spool<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Spool").field("queues", &self.queues.len()).finish_non_exhaustive()
    }
}

/// The first part of the segment behind `index` in a queue's chain.
fn following(chain: &[u16], seqs: &[u32], index: u16) -> Option<Place> {
    let at = chain.iter().position(|i| *i == index)?;
    let index = *chain.get(at + 1)?;
    Some(Place { index, seq: seqs[usize::from(index)], offset: queue_header_len() })
}

/// How many records a unit says that it has; `None` if that is damaged.
fn count_in<F: Flash>(
    log: &mut Log<F>,
    place: Place,
    part: &Part,
) -> Result<Option<u64>, FlashError> {
    if !part.multi {
        return Ok(Some(1));
    }
    let mut bytes = [0; COUNT];
    log.peek(place, part, &mut bytes)?;
    Ok(decode_count(&bytes, place))
}

/// The number of records, readable without the key and before the unit's checksum is known.
fn encode_count(count: u16, place: Place) -> [u8; COUNT] {
    let [low, high] = count.to_le_bytes();
    let [a, b, ..] = count_check(count, place).to_le_bytes();
    [low, high, a, b]
}

fn decode_count(bytes: &[u8; COUNT], place: Place) -> Option<u64> {
    let count = u16::from_le_bytes([bytes[0], bytes[1]]);
    (count > 0 && *bytes == encode_count(count, place)).then_some(u64::from(count))
}

fn count_check(count: u16, place: Place) -> u32 {
    Crc::new()
        .with(&place.seq.to_le_bytes())
        .with(&place.offset.to_le_bytes())
        .with(&count.to_le_bytes())
        .end()
}

fn queue_header_len() -> u32 {
    let name = QueueName([0; 20]);
    let kind = Kind::Queue(QueueSegment { name, birth: 0, first: 0 });
    Header { kind, store: [0; 8], seq: 0, back: 0, commit: 0, erases: 0 }.len()
}

/// Cuts records into groups that are sealed together.
fn units<'a, 'b>(mut records: &'a [&'b [u8]]) -> Vec<&'a [&'b [u8]]> {
    let mut units = Vec::new();
    while !records.is_empty() {
        let mut bytes = 0;
        let fits = |record: &&&[u8]| {
            bytes += record.len() + 3;
            bytes <= UNIT_BYTES
        };
        let count = records.iter().take(UNIT_RECORDS).take_while(fits).count().max(1);
        let (unit, rest) = records.split_at(count);
        units.push(unit);
        records = rest;
    }
    units
}

/// Payload bytes of a unit with these records.
fn unit_len(records: &[&[u8]]) -> usize {
    match records {
        [record] => record.len() + SEALING,
        _ => COUNT + plain_len(records) + SEALING,
    }
}

/// Bytes of several records as they are sealed together.
fn plain_len(records: &[&[u8]]) -> usize {
    records.iter().map(|record| varint_len(record.len() as u64) + record.len()).sum()
}

fn unit_data(store: &[u8; 8], name: QueueName, birth: u32, first: u64) -> Vec<u8> {
    let mut data = vec![];
    data.extend(b"signpost");
    data.extend([VERSION, 2]);
    data.extend(store);
    data.extend(name.0);
    data.extend(birth.to_le_bytes());
    data.extend(first.to_le_bytes());
    data
}
