//! Telemetry on its way out of the spool: the head of a queue is joined to one batch, which is
//! frozen before it is sent, so that a retry is the same batch, after a restart, too.

use super::{
    Settings, Storage, Unsaved,
    queues::{name_of, signal_of},
};
use crate::{
    records::{Arrival, Envelope},
    reports,
};
use signpost_core::{
    delivery::{Batch, DropReason, Dropped, Place, Queue, Read},
    otlp::{Attribute, Value, append_with, count_records, move_instants, slice},
    time::{ClockGate, ClockOffset, Wall},
};
use signpost_hal::flash::Flash;
use signpost_store::{QueueKey, StoreError, fields::Fields};
use std::time::Duration;

/// What is kept with a queue: how much of its first request is over, and the batch that is frozen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Cursor {
    done: u32,
    frozen: Option<Frozen>,
}

/// All that a batch depends on beside what is in the spool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Frozen {
    end: Place,
    /// What puts right the instants of this run of the board.
    truth: Option<Truth>,
}

/// How far the wall clock is ahead of the boot clock since somebody has set it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Truth {
    /// In which run of the board.
    pub boot_id: [u8; 16],
    /// So far.
    pub offset: ClockOffset,
}

impl Cursor {
    /// The first byte of a cursor. Before there was one, it was the last request of what is frozen.
    const VERSION: u8 = 2;

    fn encode(self) -> Vec<u8> {
        if self == Self::default() {
            return Vec::new();
        }
        let mut out = vec![Self::VERSION];
        out.extend(self.done.to_le_bytes());
        if let Some(Frozen { end, truth }) = self.frozen {
            out.extend(end.sequence.to_le_bytes());
            out.extend(end.records.to_le_bytes());
            if let Some(Truth { boot_id, offset }) = truth {
                out.extend(offset.as_millis().to_le_bytes());
                out.extend(boot_id);
            }
        }
        out
    }

    /// What cannot be read is not there: the batch is frozen anew.
    fn decode(bytes: &[u8]) -> Self {
        if let Ok(last) = bytes.try_into().map(u64::from_le_bytes) {
            let end = Place::before(last.saturating_add(1));
            return Self { done: 0, frozen: Some(Frozen { end, truth: None }) };
        }
        let read = || {
            let rest = bytes.strip_prefix(&[Self::VERSION])?;
            let (done, rest) = rest.split_first_chunk()?;
            let cursor = Self { done: u32::from_le_bytes(*done), frozen: None };
            let Some((sequence, rest)) = rest.split_first_chunk() else { return Some(cursor) };
            let (records, rest) = rest.split_first_chunk()?;
            let end = Place {
                sequence: u64::from_le_bytes(*sequence),
                records: u32::from_le_bytes(*records),
            };
            let truth = rest.split_first_chunk().and_then(|(offset, boot_id)| {
                let offset = ClockOffset::from_millis(i64::from_le_bytes(*offset));
                Some(Truth { boot_id: boot_id.try_into().ok()?, offset })
            });
            Some(Self { frozen: Some(Frozen { end, truth }), ..cursor })
        };
        read().unwrap_or_default()
    }
}

/// How far a batch goes.
enum Limit {
    /// So far: it was frozen there.
    Frozen(Place),
    /// So many records and bytes.
    Most { records: u64, bytes: usize, splits: bool },
}

impl<F: Flash> Storage<F> {
    /// Joins the head of a queue to one batch of one signal. Its end is durable before it is sent,
    /// with the removal of the batch before. `truth` is what today's clocks say, where the wall
    /// clock is right.
    pub(super) fn read(
        &mut self,
        read: &Read,
        at: Arrival,
        truth: Option<Truth>,
    ) -> Result<Option<Batch>, Unsaved> {
        self.is_present(read.queue.owner);
        let name = name_of(read.queue);
        let Some(stats) = self.spool.stats(name) else { return Ok(None) };
        let cursor = self.spool.cursor(name).map(Cursor::decode).unwrap_or_default();
        let first = Place { sequence: stats.first_seq, records: cursor.done };
        let start = read.settled.map_or(first, |settled| settled.max(first));
        if start.sequence >= stats.next_seq {
            self.advance(read.queue, start, None)?;
            return Ok(None);
        }
        let kept = cursor.frozen.filter(|frozen| start == first && frozen.end > start);
        let kept = kept.filter(|_| !read.refreeze && read.settled.is_none());
        if kept.is_none()
            && self.may_be_old(read.queue, at)
            && self.expire(read.queue, start.sequence, at)?
        {
            return Ok(None);
        }
        let (limit, truth) = match kept {
            Some(frozen) => (Limit::Frozen(frozen.end), frozen.truth),
            None => {
                let (records, splits) = (read.max_records.into(), read.splits);
                let bytes = usize::try_from(read.max_bytes).unwrap_or(usize::MAX);
                (Limit::Most { records, bytes, splits }, truth)
            }
        };
        let batch = self.join(read.queue, start, &limit, truth, at)?;
        if let (Some(batch), None) = (&batch, kept) {
            self.advance(read.queue, start, Some(Frozen { end: batch.end, truth }))?;
        }
        Ok(batch)
    }

    /// Removes all that is before `end`, whose batch is over; what was not taken of it is reported
    /// first.
    pub(super) fn settle(
        &mut self,
        queue: Queue,
        end: Place,
        dropped: Option<Dropped>,
        at: Arrival,
    ) -> Result<(), Unsaved> {
        let Some(dropped) = dropped else { return self.end(queue, end, &[], at) };
        if self.is_own_report(queue, end) {
            // A report of the report would be refused as well, and so for ever.
            self.end(queue, end, &[], at)?;
            self.dropped.push(dropped);
            return Ok(());
        }
        self.end(queue, end, &[dropped], at)
    }

    /// Whether what ends there is nothing but a report of ours of what was given up.
    fn is_own_report(&mut self, queue: Queue, end: Place) -> bool {
        let Some(owner) = self.owner_key(queue.owner) else { return false };
        let key = QueueKey::from_bytes(owner.key);
        let Some(last) = end.sequence.checked_sub(1).filter(|_| end.records == 0) else {
            return false;
        };
        let read = self.spool.read(name_of(queue), &key, last, 1, 1);
        let record = read.ok().and_then(|records| records.into_iter().next());
        let fields = record.and_then(|(_, bytes)| Fields::parse(&bytes).ok());
        let envelope = fields.and_then(|fields| Envelope::from_fields(&fields).ok());
        envelope.is_some_and(|envelope| reports::is_dropped(&envelope))
    }

    /// Makes durable that all before `start` is over, and that a batch is frozen behind it.
    pub(super) fn advance(
        &mut self,
        queue: Queue,
        start: Place,
        frozen: Option<Frozen>,
    ) -> Result<(), Unsaved> {
        let name = name_of(queue);
        // What made room for newer records meanwhile is behind us already.
        let Some(stats) = self.spool.stats(name).filter(|s| s.first_seq <= start.sequence) else {
            return Ok(());
        };
        let cursor = Cursor { done: start.records, frozen }.encode();
        let moved = match start.sequence.checked_sub(1).filter(|last| *last >= stats.first_seq) {
            Some(last) => self.spool.remove_and_set_cursor(name, last, &cursor),
            None => self.spool.set_cursor(name, &cursor),
        };
        moved.map_err(Unsaved::Store)?;
        let arrival = self.last_read.filter(|(of, ..)| *of == queue).map(|(_, arrival)| arrival);
        self.is_past(queue, arrival);
        Ok(())
    }

    fn join(
        &mut self,
        queue: Queue,
        start: Place,
        limit: &Limit,
        truth: Option<Truth>,
        at: Arrival,
    ) -> Result<Option<Batch>, Unsaved> {
        let Some(owner) = self.owner_key(queue.owner) else {
            // The key is gone, and so is the way to read this.
            self.drop_queue(queue)?;
            return Ok(None);
        };
        let (key, epoch) = (QueueKey::from_bytes(owner.key), owner.epoch ^ queue.stream as u64);
        let sender = Sender { device_id: &self.device_id, settings: &self.settings, truth };
        let mut joined = Joined { batch: None, first: None, taken: 0, unreadable: None };
        let read =
            self.spool.read_while(name_of(queue), &key, start.sequence, |sequence, bytes| {
                let batch = Batch {
                    queue,
                    signal: signal_of(queue.stream),
                    start,
                    end: start,
                    records: 0,
                    epoch,
                    body: Vec::new(),
                };
                joined.add(sequence, bytes, batch, limit, &sender)
            });
        match read {
            Ok(()) => {}
            Err(
                StoreError::DamagedRecords { first, next } | StoreError::Unreadable { first, next },
            ) => return self.skip_damage(queue, first, next, at),
            Err(error) => return Err(Unsaved::Store(error)),
        }
        if let Some(sequence) = joined.unreadable {
            return self.skip_damage(queue, sequence, sequence + 1, at);
        }
        if let Some(arrival) = joined.first {
            self.last_read = Some((queue, arrival));
        }
        Ok(joined.batch.filter(|batch| batch.records > 0))
    }

    /// Requests that cannot be read any more are reported and removed.
    fn skip_damage(
        &mut self,
        queue: Queue,
        first: u64,
        next: u64,
        at: Arrival,
    ) -> Result<Option<Batch>, Unsaved> {
        let lost = [(signal_of(queue.stream), next - first)];
        self.give_up(queue, Place::before(next), DropReason::Damaged, &lost, at)?;
        Ok(None)
    }
}

/// What the agent knows of itself when it sends.
struct Sender<'a> {
    device_id: &'a str,
    settings: &'a Settings,
    truth: Option<Truth>,
}

impl Sender<'_> {
    /// What the agent says of a request, whose instants are put right where they can be.
    fn attributes(&self, epoch: u64, sequence: u64, envelope: &mut Envelope) -> Vec<Attribute> {
        let mut attributes = vec![
            Attribute::own("device.id", Value::Text(self.device_id.to_owned())),
            Attribute::own("signpost.queue", Value::Text(format!("{epoch:016x}"))),
            Attribute::own("signpost.sequence", Value::Int(sequence)),
        ];
        if let Some(mark) = put_right(envelope, self.truth, self.settings.gate) {
            attributes.push(Attribute::own(mark, Value::Bool(true)));
        }
        attributes.extend(self.settings.attributes.iter().cloned());
        attributes
    }
}

/// A batch that is being joined, request by request.
struct Joined {
    batch: Option<Batch>,
    /// When the first request that it took had come.
    first: Option<Arrival>,
    /// Bytes of the requests that were taken, as they lie in the spool.
    taken: usize,
    /// The first request, where it is none.
    unreadable: Option<u64>,
}

impl Joined {
    /// Takes the next request of the spool into the batch, which begins as `empty`, as far as the
    /// limit lets it; whether it may take another.
    fn add(
        &mut self,
        sequence: u64,
        bytes: Vec<u8>,
        empty: Batch,
        limit: &Limit,
        sender: &Sender<'_>,
    ) -> bool {
        self.taken += bytes.len();
        if self.batch.is_some() && self.taken > limit.bytes() {
            return false;
        }
        let envelope = Fields::parse(&bytes).and_then(|f| Envelope::from_fields(&f));
        drop(bytes);
        let Ok(mut envelope) = envelope else {
            self.unreadable = self.batch.is_none().then_some(sequence);
            return false;
        };
        let batch = self.batch.get_or_insert(Batch { signal: envelope.signal, ..empty });
        if batch.signal != envelope.signal {
            return false;
        }
        let counted = count_records(&envelope.body);
        let holds = counted.unwrap_or(1).max(1);
        let start = batch.start;
        let skips = if sequence == start.sequence { u64::from(start.records) } else { 0 };
        let Some(takes) = limit.share(sequence, skips, holds, batch.records) else { return false };
        self.first.get_or_insert(envelope.arrival);
        if takes < holds {
            envelope.body = slice(&envelope.body, skips..skips + takes);
        }
        if counted.is_ok() {
            let attributes = sender.attributes(batch.epoch, sequence, &mut envelope);
            append_with(&attributes, &envelope.body, &mut batch.body);
        } else {
            // Nothing takes this in any more; if something did, the backend shall judge it.
            batch.body.extend_from_slice(&envelope.body);
        }
        batch.records += takes;
        if skips + takes < holds {
            let records = u32::try_from(skips + takes).unwrap_or(u32::MAX);
            batch.end = Place { sequence, records };
            return false;
        }
        batch.end = Place::before(sequence + 1);
        // What would take nothing more is not asked for: it may have to be unsealed for that.
        limit.share(sequence + 1, 0, 1, batch.records).is_some()
    }
}

impl Limit {
    /// How many bytes of requests it takes, unless the first alone is longer.
    const fn bytes(&self) -> usize {
        match self {
            Self::Frozen(_) => usize::MAX,
            Self::Most { bytes, .. } => *bytes,
        }
    }

    /// How many of the `holds` records of request `sequence` the batch takes, of which `skips` are
    /// over and which has `taken` so many already; `None`: it ends before.
    fn share(&self, sequence: u64, skips: u64, holds: u64, taken: u64) -> Option<u64> {
        let left = holds.saturating_sub(skips).max(1);
        match self {
            Self::Frozen(end) if sequence < end.sequence => Some(left),
            Self::Frozen(end) => {
                let part = u64::from(end.records).saturating_sub(skips);
                (sequence == end.sequence && part > 0).then_some(part.min(left))
            }
            Self::Most { records, splits, .. } => match records.saturating_sub(taken) {
                room if left <= room => Some(left),
                room if taken == 0 && *splits => Some(room.max(1)),
                _ if taken == 0 => Some(left),
                _ => None,
            },
        }
    }
}

/// Puts right the instants that a clock gave which was not set. The mark that says so, where any
/// had to be.
fn put_right(
    envelope: &mut Envelope,
    truth: Option<Truth>,
    gate: ClockGate,
) -> Option<&'static str> {
    let wrong = envelope.arrival.unset?;
    let is_off = |nanoseconds| !gate.believes(Wall::new(Duration::from_nanos(nanoseconds)));
    let truth = truth.filter(|truth| truth.boot_id == envelope.arrival.boot_id);
    let by = truth.map(|truth| truth.offset.correction(wrong));
    let moved = move_instants(&mut envelope.body, envelope.signal, is_off, by.unwrap_or(0));
    match by {
        _ if moved == 0 => None,
        Some(_) => Some("clock.corrected"),
        None => Some("clock.unknown"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursors_come_back_and_old_ones_are_read() {
        let offset = ClockOffset::from_millis(-5);
        let end = Place { sequence: 7, records: 3 };
        for frozen in [
            None,
            Some(Frozen { end, truth: None }),
            Some(Frozen { end, truth: Some(Truth { boot_id: [4; 16], offset }) }),
        ] {
            for done in [0, 5] {
                let cursor = Cursor { done, frozen };
                let bytes = cursor.encode();
                assert!(bytes.len() <= signpost_store::MAX_CURSOR && bytes.len() != 8);
                assert_eq!(Cursor::decode(&bytes), cursor);
            }
        }
        let old = Frozen { end: Place::before(10), truth: None };
        let read = Cursor::decode(&9_u64.to_le_bytes());
        assert_eq!(read, Cursor { done: 0, frozen: Some(old) });
        assert_eq!(Cursor::decode(&[9, 9, 9]), Cursor::default());
    }

    #[test]
    fn a_batch_takes_whole_requests_and_parts_only_where_it_must() {
        let most = |records, splits| Limit::Most { records, bytes: 1, splits };
        assert_eq!(most(10, false).share(0, 0, 4, 6), Some(4));
        assert_eq!(most(10, false).share(0, 0, 5, 6), None);
        assert_eq!(most(10, false).share(0, 0, 50, 0), Some(50), "alone");
        assert_eq!(most(10, true).share(0, 0, 50, 0), Some(10));
        assert_eq!(most(10, true).share(0, 45, 50, 0), Some(5));
        let frozen = Limit::Frozen(Place { sequence: 3, records: 2 });
        assert_eq!(frozen.share(2, 1, 9, 0), Some(8));
        assert_eq!(frozen.share(3, 0, 9, 8), Some(2));
        assert_eq!(frozen.share(3, 1, 9, 0), Some(1));
        assert_eq!(frozen.share(4, 0, 9, 10), None);
    }
}
