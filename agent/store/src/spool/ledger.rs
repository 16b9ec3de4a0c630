//! The ledger: which queues there are and how far each was removed.

use alloc::vec::Vec;

use signpost_hal::flash::{Flash, FlashError};

use super::{FREE, LEDGER, MAX_CURSOR, MAX_QUEUES, Queue, QueueName, Spool};
use crate::StoreError;
use crate::log::{Header, Kind, Log, Place};

const ENTRY: usize = 20 + 4 + 1 + 8 + 1;

/// What the ledger says of one queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) name: QueueName,
    pub(super) birth: u32,
    pub(super) live: bool,
    pub(super) first: u64,
    pub(super) cursor: Vec<u8>,
}

impl Entry {
    fn of(queue: &Queue, live: bool) -> Self {
        let Queue { name, birth, first, cursor, .. } = queue;
        Self { name: *name, birth: *birth, live, first: *first, cursor: cursor.clone() }
    }

    fn encode(&self, out: &mut Vec<u8>) {
        out.extend(self.name.0);
        out.extend(self.birth.to_le_bytes());
        out.push(u8::from(self.live));
        out.extend(self.first.to_le_bytes());
        out.push(self.cursor.len() as u8);
        out.extend(&self.cursor);
    }
}

impl<F: Flash> Spool<F> {
    /// Makes `queue` in `slot` durable, or that there is none any more.
    pub(super) fn save(&mut self, slot: usize, queue: Option<&Queue>) -> Result<(), StoreError> {
        let change = match (queue, &self.queues[slot]) {
            (Some(queue), _) => Entry::of(queue, true),
            (None, Some(old)) => Entry::of(old, false),
            (None, None) => return Ok(()),
        };
        let payload = encode(core::slice::from_ref(&change));
        let mut head = self.ledger.take();
        if core::mem::take(&mut self.ledger_unseen) {
            head = match head {
                Some(head) => {
                    self.log.clear_block(head)?;
                    self.log.is_open(head)?.then_some(head)
                }
                None => None,
            };
        }
        let lay = self.log.lay(head, header_len(), payload.len());
        if lay.in_head && lay.fresh == 0 {
            self.ledger = Some(self.write(head, &[], false, &payload)?);
            return Ok(());
        }
        let others = self.queues.iter().flatten().filter(|q| q.name != change.name);
        let mut all: Vec<Entry> = others.map(|q| Entry::of(q, true)).collect();
        if change.live {
            all.push(change);
        }
        self.snapshot(&all)
    }

    /// Begins a new ledger segment with `entries` and ends the old one.
    pub(super) fn snapshot(&mut self, entries: &[Entry]) -> Result<(), StoreError> {
        self.ledger = None;
        let fresh = self.pick(None, 1, |_| Kind::Ledger)?;
        let end = self.write(None, &fresh, false, &encode(entries))?;
        self.ledger = Some(end);
        let old = self.owner.iter().position(|owner| *owner == LEDGER);
        self.owner[usize::from(end.index)] = LEDGER;
        if let Some(old) = old.filter(|old| *old != usize::from(end.index)) {
            self.owner[old] = FREE;
            self.end_ledger(old as u16);
        }
        Ok(())
    }

    /// Makes an ended ledger in segment `index` unreadable: were the one after it damaged, it
    /// would pass for the newest. A failure costs no more than that.
    pub(super) fn end_ledger(&mut self, index: u16) {
        let erases = self.log.header(index).ok().flatten().map_or(0, |header| header.erases);
        let done = self.log.destroy(index, 1).is_ok() && !self.log.overwrites();
        self.blank = done.then_some((index, erases.saturating_add(1)));
    }
}

/// What a ledger segment says.
pub(super) struct Ledger {
    pub(super) entries: Vec<Entry>,
    /// Where it ends.
    pub(super) end: Place,
    /// A unit before the last whole one cannot be read.
    pub(super) damaged: bool,
}

/// Reads the ledger in segment `index`; `None` if not even its snapshot is whole.
pub(super) fn read<F: Flash>(
    log: &mut Log<F>,
    index: u16,
    seq: u32,
) -> Result<Option<Ledger>, FlashError> {
    let mut at = Place { index, seq, offset: header_len() };
    let Some((snapshot, mut end)) = read_unit(log, at)? else { return Ok(None) };
    let mut entries = Vec::new();
    take_over(&mut entries, snapshot);
    let mut damaged = false;
    loop {
        at = end;
        let (changes, next) = match read_unit(log, at)? {
            Some(unit) => unit,
            None if log.seems_blank(at)? => break,
            // Whole units behind it: that one was damaged later, not torn.
            None => match log.resume(at)? {
                Some(place) => {
                    (damaged, end) = (true, place);
                    continue;
                }
                None => break,
            },
        };
        take_over(&mut entries, changes);
        end = next;
    }
    Ok(Some(Ledger { entries, end, damaged }))
}

fn take_over(entries: &mut Vec<Entry>, changes: Vec<Entry>) {
    for entry in changes {
        entries.retain(|e| e.name != entry.name);
        if entry.live && entries.len() < MAX_QUEUES {
            entries.push(entry);
        }
    }
}

fn read_unit<F: Flash>(
    log: &mut Log<F>,
    at: Place,
) -> Result<Option<(Vec<Entry>, Place)>, FlashError> {
    let mut payload = Vec::new();
    let unit = log.unit(at, |_| None, |piece| payload.extend(piece))?;
    Ok(unit.and_then(|unit| Some((decode(&payload)?, unit.end))))
}

fn encode(entries: &[Entry]) -> Vec<u8> {
    let mut payload = alloc::vec![entries.len() as u8];
    entries.iter().for_each(|entry| entry.encode(&mut payload));
    payload
}

fn decode(payload: &[u8]) -> Option<Vec<Entry>> {
    let (&count, mut rest) = payload.split_first()?;
    let mut entries = Vec::new();
    for _ in 0..count {
        let (fixed, behind) = rest.split_at_checked(ENTRY)?;
        let cursor_len = usize::from(fixed[ENTRY - 1]);
        let (cursor, behind) = behind.split_at_checked(cursor_len)?;
        if cursor_len > MAX_CURSOR {
            return None;
        }
        entries.push(Entry {
            name: QueueName(fixed[..20].try_into().ok()?),
            birth: u32::from_le_bytes(fixed[20..24].try_into().ok()?),
            live: fixed[24] == 1,
            first: u64::from_le_bytes(fixed[25..33].try_into().ok()?),
            cursor: cursor.to_vec(),
        });
        rest = behind;
    }
    rest.is_empty().then_some(entries)
}

pub(super) fn header_len() -> u32 {
    Header { kind: Kind::Ledger, store: [0; 8], seq: 0, back: 0, commit: 0, erases: 0 }.len()
}
