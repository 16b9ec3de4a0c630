//! Finding and opening the unit that holds a record.

use alloc::vec;
use alloc::vec::Vec;

use signpost_hal::flash::Flash;

use super::{COUNT, Spool, count_in, following, queue_header_len, unit_data};
use crate::StoreError;
use crate::log::{Place, take_varint};
use crate::seal::QueueKey;

impl<F: Flash> Spool<F> {
    /// The unit that holds record `wanted`, and the number of its first record.
    pub(super) fn read_unit(
        &mut self,
        slot: usize,
        key: &QueueKey,
        wanted: u64,
    ) -> Result<(u64, Vec<Vec<u8>>), StoreError> {
        let (first, count, place) = self.find(slot, wanted)?;
        let queue = self.queue(slot)?;
        let (name, birth) = (queue.name, queue.birth);
        let next = first.saturating_add(count).min(queue.next);
        let chain = self.chain(slot);
        let seqs = &self.seqs;
        let following = |index| following(&chain, seqs, index);
        let damaged = StoreError::DamagedRecords { first: wanted, next };
        let len = self.log.unit_len(place, following)?.ok_or(damaged)?;
        let mut sealed = Vec::with_capacity(len);
        let unit = self.log.unit(place, following, |piece| sealed.extend(piece))?;
        let unit = unit.ok_or(damaged)?;
        if unit.multi {
            sealed.drain(..COUNT.min(len));
        }
        let ad = unit_data(&self.log.store(), name, birth, first);
        let unreadable = StoreError::Unreadable { first: wanted, next };
        let plain = key.open(sealed, &ad).ok_or(unreadable)?;
        self.mark = Some((slot as u8, first, place));
        if !unit.multi {
            return Ok((first, vec![plain.to_vec()]));
        }
        let records = split(&plain).filter(|records| records.len() as u64 == count);
        records.map(|records| (first, records)).ok_or(unreadable)
    }

    /// The unit that holds record `wanted`: its first record, how many it has, where it begins.
    fn find(&mut self, slot: usize, wanted: u64) -> Result<(u64, u64, Place), StoreError> {
        let chain = self.chain(slot);
        let end = self.queue(slot)?.next;
        let marked = self.mark.filter(|(of, seq, place)| {
            usize::from(*of) == slot
                && *seq <= wanted
                && usize::from(self.owner[usize::from(place.index)]) == slot
                && self.seqs[usize::from(place.index)] == place.seq
        });
        let mut n = marked
            .and_then(|(_, _, place)| chain.iter().position(|index| *index == place.index))
            .unwrap_or(0);
        let mut from = marked.map(|(_, seq, place)| (seq, place));
        // The last segment that begins at or before the wanted record.
        while let Some(index) = chain.get(n + 1) {
            match self.first_of(*index)? {
                Some(begins) if begins > wanted => break,
                Some(_) | None => {
                    n += 1;
                    from = None;
                }
            }
        }
        let Some(&index) = chain.get(n) else {
            return Err(StoreError::DamagedRecords { first: wanted, next: end });
        };
        let bound = match chain.get(n + 1) {
            Some(index) => self.first_of(*index)?.unwrap_or(end),
            None => end,
        };
        let damaged = StoreError::DamagedRecords { first: wanted, next: bound.max(wanted + 1) };
        let (mut seq, mut place) = match from {
            Some(from) => from,
            None => {
                let first = self.first_of(index)?.ok_or(damaged)?;
                let start =
                    Place { index, seq: self.seqs[usize::from(index)], offset: queue_header_len() };
                (first, start)
            }
        };
        if seq > wanted {
            // A segment before this one is missing.
            return Err(StoreError::DamagedRecords { first: wanted, next: seq.min(end) });
        }
        loop {
            let part = self.log.part(place)?.ok_or(damaged)?;
            if part.first {
                let count = count_in(&mut self.log, place, &part)?.ok_or(damaged)?;
                if wanted < seq.saturating_add(count) {
                    return Ok((seq, count, place));
                }
                seq = seq.saturating_add(count);
            }
            place = self.log.after(place, &part);
        }
    }
}

fn split(mut plain: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut records = Vec::new();
    while !plain.is_empty() {
        let len = usize::try_from(take_varint(&mut plain)?).ok()?;
        let (record, rest) = plain.split_at_checked(len)?;
        records.push(record.to_vec());
        plain = rest;
    }
    Some(records)
}
