//! Opening a spool: one header a segment, the ledger, and the end of each queue.

use alloc::vec;
use alloc::vec::Vec;
use core::cmp::Ordering;

use signpost_hal::flash::{Flash, FlashError};

use super::ledger::{self, Entry, Ledger};
use super::{
    FREE, LEDGER, MAX_QUEUES, Queue, SEGMENT_MIN, SEGMENTS, SEGMENTS_MIN, Spool, SpoolOpened,
    count_in, following, queue_header_len,
};
use crate::log::{Header, Kind, Log, Place, QueueSegment};
use crate::seal::Entropy;
use crate::{OpenError, StoreError};

/// A segment of some queue.
#[derive(Clone, Copy)]
struct Found {
    index: u16,
    seq: u32,
    of: QueueSegment,
}

/// What the headers of a medium say.
struct Survey {
    ledgers: Vec<(u32, u16)>,
    found: Vec<Found>,
    seq: u32,
    last: u16,
}

pub(super) fn open<F: Flash>(
    flash: F,
    entropy: Entropy,
) -> Result<(Spool<F>, SpoolOpened), OpenError> {
    let geometry = flash.geometry();
    let unit = geometry.erase_unit();
    let segment = (geometry.size() / SEGMENTS).max(SEGMENT_MIN).max(unit);
    let mut log = Log::new(flash, segment / unit * unit, u16::MAX);
    if log.count() < SEGMENTS_MIN || log.segment() < SEGMENT_MIN {
        return Err(OpenError::TooSmall);
    }
    // What a process before this one wrote and never synced must not be taken for durable.
    log.sync()?;
    let survey = survey(&mut log)?;
    let count = usize::from(log.count());
    let mut spool = Spool {
        log,
        entropy,
        queues: Vec::new(),
        owner: vec![FREE; count],
        seqs: vec![0; count],
        seq: survey.as_ref().map_or(0, |s| s.seq),
        last: survey.as_ref().map_or(count as u16 - 1, |s| s.last),
        blank: None,
        ledger: None,
        ledger_unseen: false,
        mark: None,
    };
    let Some(survey) = survey else {
        begin(&mut spool)?;
        return Ok((spool, SpoolOpened { fresh: true, ledger_lost: false }));
    };
    let mut opened = SpoolOpened::default();
    let entries = match newest_ledger(&mut spool, &survey.ledgers)? {
        Some(ledger) => {
            opened.ledger_lost = ledger.damaged;
            ledger.entries
        }
        None if survey.found.is_empty() => {
            // The first snapshot itself was torn: nothing was ever acknowledged.
            begin(&mut spool)?;
            return Ok((spool, SpoolOpened { fresh: true, ledger_lost: false }));
        }
        None => {
            opened.ledger_lost = true;
            entries_from(&survey.found)
        }
    };
    for entry in &entries {
        mount_queue(&mut spool, entry, &survey.found)?;
    }
    for (_, index) in &survey.ledgers {
        if spool.owner[usize::from(*index)] == FREE {
            spool.end_ledger(*index);
        }
    }
    if opened.ledger_lost {
        // Without room the next change tries again.
        let _ = spool.snapshot(&entries);
    }
    Ok((spool, opened))
}

/// Reads all headers; `None` if the medium is blank.
fn survey<F: Flash>(log: &mut Log<F>) -> Result<Option<Survey>, OpenError> {
    let mut headers: Vec<(u16, Header)> = Vec::new();
    let mut written = 0;
    let mut other = None;
    for index in 0..log.count() {
        match log.header(index)? {
            Some(header) if header.kind != Kind::Tokens => headers.push((index, header)),
            Some(_) => other = Some(OpenError::Garbage),
            None if log.is_other_version(index)? => other = Some(OpenError::OtherVersion),
            None => written += u32::from(!log.looks_blank(index)?),
        }
    }
    let Some((last, newest)) = headers.iter().max_by_key(|(_, h)| h.seq).copied() else {
        return match other {
            Some(error) => Err(error),
            None if written > 1 => Err(OpenError::Garbage),
            None => Ok(None),
        };
    };
    log.set_store(newest.store);
    headers.retain(|(_, header)| header.store == newest.store);
    let mut survey = Survey { ledgers: Vec::new(), found: Vec::new(), seq: newest.seq, last };
    for (index, header) in headers {
        match header.kind {
            Kind::Ledger => survey.ledgers.push((header.seq, index)),
            Kind::Queue(of) => survey.found.push(Found { index, seq: header.seq, of }),
            Kind::Tokens => {}
        }
    }
    survey.ledgers.sort_unstable_by_key(|(seq, _)| core::cmp::Reverse(*seq));
    survey.found.sort_unstable_by_key(|found| found.seq);
    Ok(Some(survey))
}

fn begin<F: Flash>(spool: &mut Spool<F>) -> Result<(), OpenError> {
    let mut id = [0; 8];
    (spool.entropy)(&mut id);
    spool.log.set_store(id);
    if spool.seq > u32::MAX / 2 {
        // None that a spool has written is near.
        return Err(OpenError::Garbage);
    }
    spool.snapshot(&[]).map_err(|error| match error {
        StoreError::Flash(error) => OpenError::Flash(error),
        StoreError::Full
        | StoreError::TooLong { .. }
        | StoreError::Invalid
        | StoreError::TooManyQueues
        | StoreError::NoQueue
        | StoreError::Damaged
        | StoreError::DamagedRecords { .. }
        | StoreError::Unreadable { .. } => OpenError::TooSmall,
    })
}

fn newest_ledger<F: Flash>(
    spool: &mut Spool<F>,
    ledgers: &[(u32, u16)],
) -> Result<Option<Ledger>, FlashError> {
    for (seq, index) in ledgers {
        if let Some(ledger) = ledger::read(&mut spool.log, *index, *seq)? {
            spool.owner[usize::from(*index)] = LEDGER;
            spool.seqs[usize::from(*index)] = *seq;
            spool.ledger = Some(ledger.end);
            spool.ledger_unseen = true;
            return Ok(Some(ledger));
        }
    }
    Ok(None)
}

/// Queues as their segments alone show them; of two with one name the younger.
fn entries_from(found: &[Found]) -> Vec<Entry> {
    let mut entries: Vec<Entry> = Vec::new();
    for Found { of, .. } in found.iter().rev() {
        let Some(entry) = entries.iter_mut().find(|e| e.name == of.name) else {
            if entries.len() < MAX_QUEUES {
                let QueueSegment { name, birth, first } = *of;
                entries.push(Entry { name, birth, live: true, first, cursor: Vec::new() });
            }
            continue;
        };
        match entry.birth.cmp(&of.birth) {
            Ordering::Greater => {}
            Ordering::Equal => entry.first = entry.first.min(of.first),
            Ordering::Less => (entry.birth, entry.first) = (of.birth, of.first),
        }
    }
    entries
}

/// Takes over the segments of one queue and finds its end.
fn mount_queue<F: Flash>(
    spool: &mut Spool<F>,
    entry: &Entry,
    found: &[Found],
) -> Result<(), FlashError> {
    let mut chain: Vec<Found> = Vec::new();
    for segment in found {
        if segment.of.name != entry.name || segment.of.birth != entry.birth {
            continue;
        }
        // What was begun behind a cut takes the numbers of what the cut tore.
        while chain.last().is_some_and(|before| before.of.first > segment.of.first) {
            chain.pop();
        }
        if let Some(before) = chain.last().filter(|b| b.of.first == segment.of.first) {
            let part = spool.log.part(start_of(before))?;
            if part.is_none_or(|part| part.first) {
                chain.pop();
            }
        }
        chain.push(*segment);
    }
    let slot = spool.queues.len() as u8;
    for found in &chain {
        spool.owner[usize::from(found.index)] = slot;
        spool.seqs[usize::from(found.index)] = found.seq;
    }
    let mut head = None;
    let mut next = entry.first;
    let whole = chain.len();
    while let Some(last) = chain.last() {
        if let Some((end, place, open)) = end_of(spool, &chain)? {
            next = end;
            // A torn unit may begin here and go on in a segment that was just freed. Were
            // another to begin here, that one could pass for its continuation.
            if open && chain.len() == whole {
                head = Some(place);
            }
            break;
        }
        spool.owner[usize::from(last.index)] = FREE;
        chain.pop();
    }
    if next <= entry.first {
        // A drained queue's segments are everybody's. The erase of one may have been cut and
        // have left it as it was, as far as can be seen: nothing may be appended there.
        next = entry.first;
        head = None;
        chain.clear();
        spool.owner.iter_mut().filter(|owner| **owner == slot).for_each(|owner| *owner = FREE);
    }
    for pair in chain.windows(2) {
        if pair[1].of.first <= entry.first {
            spool.owner[usize::from(pair[0].index)] = FREE;
        }
    }
    spool.queues.push(Some(Queue {
        name: entry.name,
        birth: entry.birth,
        first: entry.first,
        next,
        head,
        unseen: true,
        cursor: entry.cursor.clone(),
    }));
    Ok(())
}

fn start_of(found: &Found) -> Place {
    Place { index: found.index, seq: found.seq, offset: queue_header_len() }
}

/// The number behind the last record of a chain, where its last readable unit ends, if that
/// is in the last segment, and whether another may follow there. Units that damage hides
/// behind it count.
fn end_of<F: Flash>(
    spool: &mut Spool<F>,
    chain: &[Found],
) -> Result<Option<(u64, Place, bool)>, FlashError> {
    let indexes: Vec<u16> = chain.iter().map(|f| f.index).collect();
    let Some(last) = chain.last() else { return Ok(None) };
    // A unit that begins in an earlier segment may be all that the last one has.
    for segment in chain.iter().rev() {
        let mut before = u32::MAX;
        loop {
            let begun = Begun::in_segment(&mut spool.log, segment, before)?;
            for (offset, first, count) in begun.latest() {
                let place = Place { offset, ..start_of(segment) };
                let seqs = &spool.seqs;
                let unit =
                    spool.log.unit(place, |index| following(&indexes, seqs, index), |_| ())?;
                if let Some(unit) = unit.filter(|unit| unit.end.index == last.index) {
                    let next = first.saturating_add(count);
                    let blank = spool.log.seems_blank(unit.end)?;
                    let hidden = if blank { 0 } else { hidden_behind(&mut spool.log, unit.end)? };
                    let open = hidden == 0 && (blank || spool.log.overwrites());
                    return Ok(Some((next.saturating_add(hidden), unit.end, open)));
                }
                before = offset;
            }
            if !begun.is_full() {
                break;
            }
        }
        if before != u32::MAX && segment.index != last.index {
            break;
        }
    }
    Ok(None)
}

/// The latest units that begin in a segment before an offset: offset, first record, number of
/// records. So few, as a large segment must take no more memory than a small one.
struct Begun {
    units: [(u32, u64, u64); 16],
    seen: usize,
}

impl Begun {
    fn in_segment<F: Flash>(
        log: &mut Log<F>,
        segment: &Found,
        before: u32,
    ) -> Result<Self, FlashError> {
        let mut begun = Self { units: [(0, 0, 0); 16], seen: 0 };
        let mut at = start_of(segment);
        let mut seq = segment.of.first;
        while at.offset < before
            && let Some(part) = log.part(at)?
        {
            if part.first {
                // Behind a damaged number nobody knows which records follow.
                let Some(count) = count_in(log, at, &part)? else { break };
                begun.units[begun.seen % begun.units.len()] = (at.offset, seq, count);
                begun.seen += 1;
                seq = seq.saturating_add(count);
            }
            at = log.after(at, &part);
        }
        Ok(begun)
    }

    /// Whether units before the [`latest`](Self::latest) may have been forgotten.
    fn is_full(&self) -> bool {
        self.seen > self.units.len()
    }

    /// The latest first.
    fn latest(&self) -> impl Iterator<Item = (u32, u64, u64)> {
        let from = self.seen.saturating_sub(self.units.len());
        (from..self.seen).rev().map(|n| self.units[n % self.units.len()])
    }
}

/// How many records at least lie behind the end of a segment's last readable unit: more than
/// none if whole units follow one that was damaged, which a torn one never has behind it.
pub(super) fn hidden_behind<F: Flash>(log: &mut Log<F>, end: Place) -> Result<u64, FlashError> {
    let mut at = end;
    let mut records = 0;
    while let Some(place) = log.resume(at)? {
        records += u64::from(records == 0);
        at = place;
        while let Some(part) = log.part(at)? {
            // The last one may be torn: its records were never acknowledged.
            let Some(unit) = log.unit(at, |_| None, |_| ())? else { break };
            records += count_in(log, at, &part)?.unwrap_or(1);
            at = unit.end;
        }
    }
    Ok(records)
}
