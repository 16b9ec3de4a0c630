//! Telemetry on its way into the spool: whose key seals it, how much room each stream has, and what
//! is given up where there is none (telemetry.md, "Design to build", 6 and 8).
//!
//! Nothing leaves a queue without having been delivered but by [`Storage::give_up`], which makes
//! the report of it durable first, and by the destruction of a key.

use super::{Storage, Unsaved};
use crate::{
    config::{self, WhenFull},
    ports::{QueueStock, Stock},
    records::{self, Arrival, Envelope, OwnerKey},
    reports,
};
use signpost_core::{
    delivery::{DropReason, Dropped, Place, Queue, Stream},
    otlp::{Signal, count_records},
    owner::OwnerId,
    time::Boot,
};
use signpost_hal::flash::Flash;
use signpost_store::{MAX_QUEUES, QueueKey, QueueName, StoreError, fields::Fields};
use std::{collections::BTreeMap, time::Duration};
use zeroize::Zeroizing;

/// Owners whose keys are kept although nothing of theirs waits.
const MAX_IDLE_OWNERS: usize = 4;

/// Bytes that are read at a time where records are only counted.
const CHUNK: usize = 64 * 1024;

/// Chunks that are looked at in one go, so that no job takes long.
const MAX_CHUNKS: usize = 256;

/// How often queues that nobody reads are looked at for records that are too old.
const LOOK_FOR_OLD: Duration = Duration::from_secs(3_600);

/// What is known of the queues beside what the spool itself tells.
#[derive(Debug, Default)]
pub(super) struct Queues {
    /// When the oldest record of each queue came, as far as is known.
    oldest: BTreeMap<Queue, Arrival>,
    look_for_old: Option<Boot>,
}

impl<F: Flash> Storage<F> {
    /// Takes in what programs sent. Where it does not fit, the oldest records of the least
    /// important stream make room, if the configuration says so.
    pub(super) fn take_in(&mut self, queue: Queue, envelopes: &[Envelope]) -> Result<(), Unsaved> {
        let Some(at) = envelopes.first().map(|envelope| envelope.arrival) else { return Ok(()) };
        self.is_present(queue.owner);
        self.give_up_old(at)?;
        let records = encode(envelopes)?;
        self.make_room(queue, &slices(&records), at)?;
        self.append_records(queue, at, &records)
    }

    /// Appends what the agent itself has to say, into whatever room there is.
    pub(super) fn append(&mut self, queue: Queue, envelopes: &[Envelope]) -> Result<(), Unsaved> {
        let Some(first) = envelopes.first() else { return Ok(()) };
        self.append_records(queue, first.arrival, &encode(envelopes)?)
    }

    fn append_records(
        &mut self,
        queue: Queue,
        at: Arrival,
        records: &[Zeroizing<Vec<u8>>],
    ) -> Result<(), Unsaved> {
        self.make_way(queue, at)?;
        self.append_to(queue, at, records)
    }

    fn append_to(
        &mut self,
        queue: Queue,
        at: Arrival,
        records: &[Zeroizing<Vec<u8>>],
    ) -> Result<(), Unsaved> {
        let key = self.key_of(queue.owner)?;
        self.spool.append(name_of(queue), &key, &slices(records)).map_err(Unsaved::Store)?;
        self.queues.oldest.entry(queue).or_insert(at);
        Ok(())
    }

    /// Who sends and is sent for belongs to the device now: their queues stay.
    pub(super) fn is_present(&mut self, owner: OwnerId) {
        if owner != OwnerId::DEVICE {
            self.present = owner;
        }
    }

    /// Makes room for `records`, within the quota of their stream and so that a sixteenth of the
    /// spool is left for reports: a record that the backend refuses could otherwise never leave a
    /// full spool, because its report had no room.
    fn make_room(&mut self, queue: Queue, records: &[&[u8]], at: Arrival) -> Result<(), Unsaved> {
        loop {
            let name = name_of(queue);
            let needed = self.spool.room_for(name, records);
            let held = self.bytes_of(queue);
            let over_quota = needed > 0 && held + needed > self.quota(queue.stream).max(2 * needed);
            let full = needed > 0 && self.spool.free() < needed + self.spool.capacity() / 16;
            let victim = match (over_quota, full) {
                (true, _) => Some(queue).filter(|queue| self.gives_way(*queue)),
                (false, true) => self.victim(queue),
                (false, false) => return Ok(()),
            };
            let victim = victim.ok_or(Unsaved::Store(StoreError::Full))?;
            let (free, bytes) = (self.spool.free(), self.bytes_of(victim));
            self.drop_oldest(victim, at)?;
            // What has only the report of it left makes no more room.
            if self.spool.free() <= free && self.bytes_of(victim) >= bytes {
                return Err(Unsaved::Store(StoreError::Full));
            }
        }
    }

    fn bytes_of(&self, queue: Queue) -> u64 {
        self.spool.stats(name_of(queue)).map_or(0, |stats| stats.bytes)
    }

    /// How many bytes a queue of `stream` may take.
    fn quota(&self, stream: Stream) -> u64 {
        let quotas = &self.settings.quotas;
        let quota = match stream {
            Stream::Events => quotas.events,
            Stream::Metrics => quotas.metrics,
            Stream::Logs => quotas.logs,
        };
        match quota {
            config::Quota::Percent(percent) => self.spool.capacity() / 100 * u64::from(percent),
            config::Quota::Fixed(size) => size.bytes(),
        }
    }

    /// Whether the oldest records of `queue` may be given up for newer ones.
    fn gives_way(&self, queue: Queue) -> bool {
        let rules = &self.settings.when_full;
        let rule = match queue.stream {
            Stream::Events => rules.events,
            Stream::Metrics => rules.metrics,
            Stream::Logs => rules.logs,
        };
        let holds_some = self.spool.stats(name_of(queue)).is_some_and(|stats| stats.records > 0);
        rule == WhenFull::DropOldest && holds_some
    }

    /// Which queue makes room for `queue` in a full spool: one of the least important stream, rather
    /// of somebody who is not there than of whom it is for, and none that is more important.
    fn victim(&self, queue: Queue) -> Option<Queue> {
        let may = |other: &Queue| other.stream >= queue.stream && self.gives_way(*other);
        self.queues().filter(may).max_by_key(|other| (other.stream, other.owner != queue.owner))
    }

    /// Gives up the oldest segment of a queue.
    fn drop_oldest(&mut self, queue: Queue, at: Arrival) -> Result<(), Unsaved> {
        let name = name_of(queue);
        let segment = self.spool.oldest_segment(name).map_err(Unsaved::Store)?;
        let lost = self.count(queue, segment.first, segment.next);
        self.give_up(queue, Place::before(segment.next), DropReason::OverQuota, &lost, at)
    }

    /// How many records of each signal the requests of a range hold; what cannot be read counts as
    /// one each.
    fn count(&mut self, queue: Queue, first: u64, next: u64) -> Vec<(Signal, u64)> {
        let mut tally = BTreeMap::new();
        let Some(key) = self.owner_key(queue.owner).map(|owner| QueueKey::from_bytes(owner.key))
        else {
            return vec![(signal_of(queue.stream), next - first)];
        };
        let mut from = first;
        while from < next {
            let read = self.spool.read(name_of(queue), &key, from, usize::MAX, CHUNK);
            let (behind, records) = match read {
                Ok(records) if !records.is_empty() => {
                    (records.last().map_or(next, |(sequence, _)| sequence + 1), records)
                }
                Err(
                    StoreError::DamagedRecords { next: behind, .. }
                    | StoreError::Unreadable { next: behind, .. },
                ) => {
                    let lost = behind.clamp(from + 1, next) - from;
                    *tally.entry(signal_of(queue.stream)).or_default() += lost;
                    (behind.max(from + 1), Vec::new())
                }
                Ok(_) | Err(_) => {
                    *tally.entry(signal_of(queue.stream)).or_default() += next - from;
                    break;
                }
            };
            for (_, bytes) in records.into_iter().take_while(|(sequence, _)| *sequence < next) {
                let (signal, records) = contents(&bytes).unwrap_or((signal_of(queue.stream), 1));
                *tally.entry(signal).or_default() += records;
            }
            from = behind;
        }
        tally.into_iter().collect()
    }

    /// Removes what is before `end` and was not delivered: so many records of these signals, for
    /// this reason. The report is durable first.
    pub(super) fn give_up(
        &mut self,
        queue: Queue,
        end: Place,
        reason: DropReason,
        lost: &[(Signal, u64)],
        at: Arrival,
    ) -> Result<(), Unsaved> {
        let dropped: Vec<Dropped> = lost
            .iter()
            .map(|(signal, records)| Dropped { records: *records, signal: *signal, reason })
            .collect();
        self.end(queue, end, &dropped, at)
    }

    /// Makes the reports of what was `dropped` durable, and then the removal of all before `end`.
    pub(super) fn end(
        &mut self,
        queue: Queue,
        end: Place,
        dropped: &[Dropped],
        at: Arrival,
    ) -> Result<(), Unsaved> {
        let events = Queue { stream: Stream::Events, owner: queue.owner };
        let reports = reports_of(dropped, at);
        let reported = match self.append(events, &reports) {
            Err(Unsaved::Store(error)) if error.is_full() => false,
            result => result.map(|()| true)?,
        };
        self.advance(queue, end, None)?;
        // Nothing but the removal makes room in a full spool, in a segment or behind the last
        // record of this queue. A cut between the two costs the report.
        if !reported {
            self.append(events, &reports).or_else(|_| self.append(queue, &reports))?;
        }
        self.dropped.extend_from_slice(dropped);
        Ok(())
    }

    /// Now and then: what waits for somebody who does not come.
    fn give_up_old(&mut self, at: Arrival) -> Result<(), Unsaved> {
        if self.queues.look_for_old.is_some_and(|due| at.boot < due) {
            return Ok(());
        }
        self.queues.look_for_old = Some(at.boot + LOOK_FOR_OLD);
        for queue in self.queues().collect::<Vec<_>>() {
            let oldest = self.queues.oldest.get(&queue);
            if oldest.is_some_and(|oldest| self.is_old(oldest, at)) {
                let first = self.spool.stats(name_of(queue)).map_or(0, |stats| stats.first_seq);
                self.expire(queue, first, at)?;
            }
        }
        Ok(())
    }

    /// Gives up those requests from `first` on, at the head of a queue, that have waited for too
    /// long. Whether there were any.
    pub(super) fn expire(
        &mut self,
        queue: Queue,
        first: u64,
        at: Arrival,
    ) -> Result<bool, Unsaved> {
        let Some(key) = self.owner_key(queue.owner).map(|owner| QueueKey::from_bytes(owner.key))
        else {
            return Ok(false);
        };
        let (mut lost, mut end) = (BTreeMap::new(), first);
        for _ in 0..MAX_CHUNKS {
            let read = self.spool.read(name_of(queue), &key, end, usize::MAX, CHUNK);
            // Damage is found when its turn comes.
            let Ok(records) = read else { break };
            let count = records.len();
            let old = records.into_iter().map_while(|(sequence, bytes)| {
                let fields = Fields::parse(&bytes).ok()?;
                let envelope = Envelope::from_fields(&fields).ok()?;
                self.is_old(&envelope.arrival, at).then_some((sequence, envelope))
            });
            let old: Vec<(u64, Envelope)> = old.collect();
            for (sequence, envelope) in &old {
                end = sequence + 1;
                let records = count_records(&envelope.body).unwrap_or(1);
                *lost.entry(envelope.signal).or_default() += records;
            }
            if count == 0 || old.len() < count {
                break;
            }
        }
        if end == first {
            return Ok(false);
        }
        let lost: Vec<(Signal, u64)> = lost.into_iter().collect();
        self.give_up(queue, Place::before(end), DropReason::TooOld, &lost, at)?;
        Ok(true)
    }

    /// Whether a queue's head may have waited for too long. None of it came before its oldest; where
    /// nothing tells how old that is, what comes behind it may be.
    pub(super) fn may_be_old(&self, queue: Queue, at: Arrival) -> bool {
        let age = self.queues.oldest.get(&queue).and_then(|oldest| oldest.age(at));
        age.is_none_or(|age| age > self.settings.max_age)
    }

    /// Ages are elapsed time: a clock that was not set makes nothing old (design invariant 6).
    fn is_old(&self, arrival: &Arrival, at: Arrival) -> bool {
        arrival.age(at).is_some_and(|age| age > self.settings.max_age)
    }

    /// Destroys the owner's key first: from that moment the queues are unreadable, whatever
    /// happens to the power. What was lost counts by accepted requests: nobody can look into them.
    pub(super) fn forget(
        &mut self,
        owner: OwnerId,
        reason: DropReason,
        at: Arrival,
    ) -> Result<u64, Unsaved> {
        let queues: Vec<Queue> = self.queues().filter(|queue| queue.owner == owner).collect();
        self.owners.retain(|key| key.owner != owner.0);
        self.save_owners()?;
        self.tokens.scrub().map_err(Unsaved::Store)?;
        let mut lost = 0;
        for queue in queues {
            let records = self.spool.stats(name_of(queue)).map_or(0, |stats| stats.records);
            if records > 0 {
                let dropped = Dropped { records, signal: signal_of(queue.stream), reason };
                let report = reports::dropped(dropped, at);
                let events = Queue { stream: Stream::Events, owner: OwnerId::DEVICE };
                match self.append(events, std::slice::from_ref(&report)) {
                    // The queue itself makes the room: a full spool must not stop a sign-out.
                    Err(Unsaved::Store(error)) if error.is_full() => {
                        self.drop_queue(queue)?;
                        self.append(events, &[report])?;
                    }
                    result => result?,
                }
                self.dropped.push(dropped);
            }
            self.drop_queue(queue)?;
            lost += records;
        }
        Ok(lost)
    }

    /// Keys first, as [`forget`](Self::forget). May be begun again at any point.
    pub(super) fn wipe(&mut self, at: Arrival) -> Result<String, Unsaved> {
        self.owners.clear();
        self.owners_record = Fields::new();
        self.save_owners()?;
        self.forget_issuer()?;
        let device_id = match &self.settings.device_id {
            Some(id) => id.clone(),
            None => self.draw_device_id(Fields::new())?,
        };
        self.device_id.clone_from(&device_id);
        self.tokens.scrub().map_err(Unsaved::Store)?;
        self.empty(DropReason::Reset, at)?;
        Ok(device_id)
    }

    /// Empties a spool whose keys are not here: they went with a token store that was set aside,
    /// or never were on this board. Whether there was anything in it.
    pub(super) fn drop_unreadable(&mut self) -> Result<bool, Unsaved> {
        if self.spool.queues().next().is_none() {
            return Ok(false);
        }
        self.empty(DropReason::StoreReplaced, Arrival::UNKNOWN)
    }

    /// Drops all queues and reports it in the device's own name. Whether they held anything.
    fn empty(&mut self, reason: DropReason, at: Arrival) -> Result<bool, Unsaved> {
        let lost = self.stock().queues;
        self.spool.wipe().map_err(Unsaved::Store)?;
        self.queues.oldest.clear();
        let dropped = lost.iter().map(|held| Dropped {
            records: held.records,
            signal: signal_of(held.queue.stream),
            reason,
        });
        let dropped: Vec<Dropped> = dropped.collect();
        let reports = reports_of(&dropped, at);
        self.append(Queue { stream: Stream::Events, owner: OwnerId::DEVICE }, &reports)?;
        self.dropped.extend(dropped);
        Ok(!lost.is_empty())
    }

    pub(super) fn drop_queue(&mut self, queue: Queue) -> Result<(), Unsaved> {
        self.queues.oldest.remove(&queue);
        self.spool.drop_queue(name_of(queue)).map_err(Unsaved::Store)
    }

    /// Makes way for a queue that there is not yet: a spool has only so many, and one is left for
    /// reports. Somebody who is not there goes with all queues and the key, rather one of whom little
    /// or nothing waits: numbers begin anew in a queue that is made again, and so must its name.
    fn make_way(&mut self, queue: Queue, at: Arrival) -> Result<(), Unsaved> {
        while self.spool.stats(name_of(queue)).is_none()
            && self.spool.queues().count() + 1 >= MAX_QUEUES
        {
            let stays = [queue.owner, OwnerId::DEVICE, self.present];
            let mut waiting = BTreeMap::new();
            for other in self.queues().filter(|other| !stays.contains(&other.owner)) {
                let records = self.spool.stats(name_of(other)).map_or(0, |stats| stats.records);
                *waiting.entry(other.owner).or_insert(0) += records;
            }
            let Some((owner, _)) = waiting.into_iter().min_by_key(|(_, records)| *records) else {
                break;
            };
            self.evict(owner, Queue { stream: Stream::Events, owner: queue.owner }, at)?;
        }
        Ok(())
    }

    /// Gives up all that waits for `owner`; the report goes to `events`, and is durable first.
    fn evict(&mut self, owner: OwnerId, events: Queue, at: Arrival) -> Result<(), Unsaved> {
        let queues: Vec<Queue> = self.queues().filter(|queue| queue.owner == owner).collect();
        let mut dropped = Vec::new();
        for queue in &queues {
            let Some(stats) = self.spool.stats(name_of(*queue)) else { continue };
            let lost = self.count(*queue, stats.first_seq, stats.next_seq);
            let reason = DropReason::OverQuota;
            dropped.extend(lost.into_iter().map(|(signal, records)| Dropped {
                records,
                signal,
                reason,
            }));
        }
        let reports = encode(&reports_of(&dropped, at))?;
        let report = |storage: &mut Self| match reports.is_empty() {
            true => Ok(()),
            false => storage.append_to(events, at, &reports),
        };
        let reported = report(self);
        self.owners.retain(|key| key.owner != owner.0);
        self.save_owners()?;
        for queue in queues {
            self.drop_queue(queue)?;
        }
        // Where there was no room for the report, there is some now.
        reported.or_else(|_| report(self))?;
        self.dropped.extend(dropped);
        Ok(())
    }

    pub(super) fn owner_key(&self, owner: OwnerId) -> Option<&OwnerKey> {
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
        self.forget_idle_owners()?;
        self.owners.push(OwnerKey { owner: owner.0, key, epoch });
        if let Err(error) = self.save_owners() {
            self.owners.pop();
            return Err(error);
        }
        Ok(QueueKey::from_bytes(key))
    }

    /// A device that many people use must not keep a key for each of them for ever.
    fn forget_idle_owners(&mut self) -> Result<(), Unsaved> {
        if self.owners.len() < MAX_IDLE_OWNERS {
            return Ok(());
        }
        let holds = |queue: &Queue| {
            self.spool.stats(name_of(*queue)).is_some_and(|stats| stats.records > 0)
        };
        let busy: Vec<OwnerId> = self.queues().filter(holds).map(|queue| queue.owner).collect();
        let idle: Vec<Queue> = self.queues().filter(|queue| !busy.contains(&queue.owner)).collect();
        for queue in idle {
            self.drop_queue(queue)?;
        }
        self.owners.retain(|key| busy.contains(&OwnerId(key.owner)));
        Ok(())
    }

    fn save_owners(&mut self) -> Result<(), Unsaved> {
        let fields = &mut self.owners_record;
        fields
            .set(super::KEYS, &self.owners)
            .and_then(|()| fields.set(super::SPOOL_ID, &self.spool.id()))
            .map_err(|_| Unsaved::Unwritable)?;
        self.tokens.put(super::OWNERS, &fields.to_bytes()).map_err(Unsaved::Store)
    }

    pub(super) fn queues(&self) -> impl Iterator<Item = Queue> {
        self.spool.queues().filter_map(queue_of)
    }

    pub(super) fn stock(&self) -> Stock {
        let held = self.queues().filter_map(|queue| {
            let stats = self.spool.stats(name_of(queue))?;
            (stats.records > 0).then_some(QueueStock {
                queue,
                records: stats.records,
                bytes: stats.bytes,
                first: stats.first_seq,
                oldest: self.queues.oldest.get(&queue).copied(),
            })
        });
        let max_body = self.spool.max_record().saturating_sub(records::ENVELOPE);
        Stock { queues: held.collect(), worn: self.tokens.worn(), max_body }
    }

    /// Looks when the oldest record of each queue came.
    pub(super) fn look_at_heads(&mut self) {
        for queue in self.queues().collect::<Vec<_>>() {
            let Some(owner) = self.owner_key(queue.owner) else { continue };
            let key = QueueKey::from_bytes(owner.key);
            let first = self.spool.read(name_of(queue), &key, 0, 1, 1);
            let first = first.ok().and_then(|records| records.into_iter().next());
            let fields = first.and_then(|(_, bytes)| Fields::parse(&bytes).ok());
            let envelope = fields.and_then(|fields| Envelope::from_fields(&fields).ok());
            if let Some(envelope) = envelope {
                self.queues.oldest.insert(queue, envelope.arrival);
            }
        }
    }

    /// All that came before is over; the oldest one left came at `arrival` or later.
    pub(super) fn is_past(&mut self, queue: Queue, arrival: Option<Arrival>) {
        let holds = self.spool.stats(name_of(queue)).is_some_and(|stats| stats.records > 0);
        match arrival.filter(|_| holds) {
            Some(arrival) => self.queues.oldest.insert(queue, arrival),
            None if holds => None,
            None => self.queues.oldest.remove(&queue),
        };
    }
}

fn reports_of(dropped: &[Dropped], at: Arrival) -> Vec<Envelope> {
    dropped.iter().map(|dropped| reports::dropped(*dropped, at)).collect()
}

fn encode(envelopes: &[Envelope]) -> Result<Vec<Zeroizing<Vec<u8>>>, Unsaved> {
    let records = envelopes.iter().map(|envelope| Ok(envelope.to_fields()?.to_bytes()));
    let records: Result<Vec<_>, signpost_store::fields::FieldError> = records.collect();
    records.map_err(|_| Unsaved::Unwritable)
}

fn slices(records: &[Zeroizing<Vec<u8>>]) -> Vec<&[u8]> {
    records.iter().map(|record| record.as_slice()).collect()
}

/// What a record of the spool holds.
fn contents(bytes: &[u8]) -> Option<(Signal, u64)> {
    let envelope = Envelope::from_fields(&Fields::parse(bytes).ok()?).ok()?;
    Some((envelope.signal, count_records(&envelope.body).unwrap_or(1)))
}

/// A queue's name on flash: 16 bytes of owner, one of stream, three of nothing.
pub(super) fn name_of(queue: Queue) -> QueueName {
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

pub(super) const fn signal_of(stream: Stream) -> Signal {
    match stream {
        Stream::Metrics => Signal::Metrics,
        Stream::Events | Stream::Logs => Signal::Logs,
    }
}
