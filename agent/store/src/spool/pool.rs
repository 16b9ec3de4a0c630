//! The pool: which segments are free, which come next, and filling them.

use alloc::vec::Vec;

use signpost_hal::flash::Flash;

use super::{Dropped, FREE, Queue, QueueName, Spool, queue_header_len, unit_len, units};
use crate::StoreError;
use crate::log::{Header, Kind, Place};

impl<F: Flash> Spool<F> {
    /// Bytes of the medium, in whole segments, that `records` would take beside the segments that
    /// `queue` has: zero where they fit into its newest one.
    pub fn room_for(&self, queue: QueueName, records: &[&[u8]]) -> u64 {
        let segments = self.segments_for(self.slot(queue), &units(records));
        segments as u64 * u64::from(self.log.segment())
    }

    /// How many fresh segments `units` take, in `slot` or in a new queue.
    pub(super) fn segments_for(&self, slot: Option<usize>, units: &[&[&[u8]]]) -> usize {
        let mut head = slot.and_then(|slot| self.queues[slot].as_ref()).and_then(|q| q.head);
        let mut needed = 0;
        for unit in units {
            let lay = self.log.lay(head, queue_header_len(), unit_len(unit));
            needed += usize::from(lay.fresh);
            head = Some(Place { offset: lay.end, index: 0, seq: 0 });
        }
        needed
    }

    /// The records that begin in the oldest segment of `queue`.
    ///
    /// # Errors
    /// [`StoreError::NoQueue`], or what the medium says.
    pub fn oldest_segment(&mut self, queue: QueueName) -> Result<Dropped, StoreError> {
        let slot = self.slot(queue).ok_or(StoreError::NoQueue)?;
        let chain = self.chain(slot);
        let (first, end) = (self.queue(slot)?.first, self.queue(slot)?.next);
        let mut next = end;
        for index in chain.iter().skip(1) {
            let Some(begins) = self.first_of(*index)? else { continue };
            if begins > first {
                next = begins.min(end);
                break;
            }
        }
        Ok(Dropped { first, next })
    }

    /// Segments that are free or can be taken from drained queues other than `slot`. One of
    /// them is the reserve, without which a full ledger could not go on.
    pub(super) fn spare(&self, slot: Option<usize>) -> usize {
        let is_spare = |&&owner: &&u8| {
            let other = Some(usize::from(owner)) != slot;
            let queue = self.queues.get(usize::from(owner)).and_then(Option::as_ref);
            owner == FREE || other && queue.is_some_and(Queue::is_drained)
        };
        self.owner.iter().filter(is_spare).count()
    }

    /// Takes their segments from queues other than `slot` that have no records, until
    /// `count` segments are free.
    pub(super) fn take_from_drained(&mut self, slot: Option<usize>, count: usize) {
        for other in 0..self.queues.len() {
            if self.owner.iter().filter(|&&owner| owner == FREE).count() >= count {
                break;
            }
            if Some(other) == slot {
                continue;
            }
            if let Some(queue) = self.queues[other].as_mut().filter(|q| q.is_drained()) {
                queue.head = None;
                let of_it = |owner: &&mut u8| usize::from(**owner) == other;
                self.owner.iter_mut().filter(of_it).for_each(|owner| *owner = FREE);
            }
        }
    }

    /// Free segments with headers for a unit of the given kind; the least erased ones, in
    /// the order of the ring.
    pub(super) fn pick(
        &mut self,
        slot: Option<usize>,
        count: usize,
        kind: impl Fn(usize) -> Kind,
    ) -> Result<Vec<(u16, Header)>, StoreError> {
        if count == 0 {
            return Ok(Vec::new());
        }
        self.take_from_drained(slot, count);
        let all = self.log.count();
        // The best so far, in order of erases; of equals the first behind the last one filled.
        let mut best: Vec<(u32, u16)> = Vec::with_capacity(count + 1);
        let mut least = u32::MAX;
        for step in 1..=all {
            let index = (self.last + step) % all;
            let mut erases = 0;
            if !self.log.overwrites() {
                erases = match self.blank.filter(|(blank, _)| *blank == index) {
                    Some((_, erases)) => erases - 1,
                    None => self.log.header(index)?.map_or(0, |header| header.erases.max(1)),
                };
                if erases > 0 {
                    least = least.min(erases);
                }
            }
            if self.owner[usize::from(index)] == FREE {
                let place = best.partition_point(|(of, _)| *of <= erases);
                best.insert(place, (erases, index));
                best.truncate(count);
            }
        }
        if best.len() < count {
            return Err(StoreError::Full);
        }
        // A header that cannot be read stands for the fewest erases there are.
        let unknown = if least == u32::MAX { 0 } else { least - 1 };
        let mut picked = Vec::with_capacity(count);
        for (number, (erases, index)) in best.into_iter().enumerate() {
            let erases = if erases == 0 { unknown } else { erases };
            let seq = self.seq.checked_add(1 + number as u32).ok_or(StoreError::Full)?;
            let erases = if self.log.overwrites() { 0 } else { erases.saturating_add(1) };
            let header = Header {
                kind: kind(number),
                store: self.log.store(),
                seq,
                back: 0,
                commit: 0,
                erases,
            };
            picked.push((index, header));
        }
        Ok(picked)
    }

    /// Erases what is fresh, writes one unit and syncs.
    pub(super) fn write(
        &mut self,
        head: Option<Place>,
        fresh: &[(u16, Header)],
        multi: bool,
        payload: &[u8],
    ) -> Result<Place, StoreError> {
        for (index, header) in fresh {
            if self.blank.take_if(|(blank, _)| blank == index).is_none() {
                self.log.erase(*index)?;
                self.log.clear_stale(*index, header.seq)?;
            }
            self.seq = header.seq;
            self.seqs[usize::from(*index)] = header.seq;
            self.last = *index;
        }
        let end = self.log.write(head, fresh, multi, payload)?;
        self.log.sync()?;
        Ok(end)
    }
}
