//! The spool: its ledger and its queues.

use std::collections::BTreeMap;

use super::parts::{Kind, Segment, Unit, segments, units};
use super::{Complaint, Shape, VERSION, crc, long, take, unseal, varint, word};

/// A queue as a reader finds it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Queue {
    /// Number of the first record that is not removed.
    pub first: u64,
    pub records: Vec<Vec<u8>>,
    pub cursor: Vec<u8>,
}

struct Entry {
    birth: [u8; 4],
    live: bool,
    first: u64,
    cursor: Vec<u8>,
}

/// Bytes of the number of records in a unit of several.
const COUNT: usize = 4;

type Ledger = BTreeMap<[u8; 20], Entry>;

/// All live queues. `key` tells the key of each.
pub fn spool(
    image: &[u8],
    shape: Shape,
    key: impl Fn(&[u8; 20]) -> [u8; 32],
) -> Result<BTreeMap<[u8; 20], Queue>, Complaint> {
    let all = segments(image, segment_size(image.len(), shape.erase_unit))?;
    let (store, ledger) = ledger(&all, shape.program_unit)?;
    let mut queues = BTreeMap::new();
    for (name, entry) in ledger.into_iter().filter(|(_, entry)| entry.live) {
        let mut chain = chain(&all, &store, &name, &entry.birth);
        // A segment without a needed record is free: its erase may have been interrupted.
        while chain.get(1).is_some_and(|next| first_record(next) <= entry.first) {
            chain.remove(0);
        }
        let mut queue = Queue { first: entry.first, cursor: entry.cursor, ..Queue::default() };
        let mut next = entry.first;
        let mut seen = None;
        let mut number = 0;
        for (n, unit) in units(&chain, shape.program_unit) {
            if seen != Some(n) {
                number = first_record(&chain[n]);
                seen = Some(n);
            }
            let count = count(&unit);
            // What is removed may lie in free segments, of which anything may be left.
            if number + count.unwrap_or(1) <= entry.first {
                number += count.unwrap_or(1);
                continue;
            }
            if count.is_none() {
                return Err("count of a unit is damaged".into());
            }
            for record in records(&unit, &key(&name), &store, &name, &entry.birth, number)? {
                if number == next {
                    queue.records.push(record);
                    next += 1;
                } else if number > next {
                    return Err(format!("record {next} is missing, {number} comes next"));
                }
                number += 1;
            }
        }
        queues.insert(name, queue);
    }
    Ok(queues)
}

/// 1/128 of the medium, at least one erase unit and 4 KiB, rounded down to whole erase units.
fn segment_size(medium: usize, erase_unit: usize) -> usize {
    (medium / 128).max(4096).max(erase_unit) / erase_unit * erase_unit
}

/// The store's id and the last entry of each queue in the newest whole ledger segment.
fn ledger(all: &[Segment<'_>], program_unit: usize) -> Result<([u8; 8], Ledger), Complaint> {
    let mut ledgers: Vec<_> = all.iter().filter(|s| s.kind == Kind::Ledger).collect();
    ledgers.sort_by_key(|s| s.seq);
    for segment in ledgers.into_iter().rev() {
        let units = units(std::slice::from_ref(segment), program_unit);
        if units.is_empty() {
            continue;
        }
        let mut entries = Ledger::new();
        for (_, unit) in units {
            let mut rest = unit.payload.as_slice();
            for _ in 0..take(&mut rest, 1).ok_or("ledger unit without a count")?[0] {
                let (name, entry) = entry(&mut rest).ok_or("ledger entry cut short")?;
                entries.insert(name, entry);
            }
        }
        return Ok((segment.store, entries));
    }
    Err("no whole ledger".into())
}

fn entry(rest: &mut &[u8]) -> Option<([u8; 20], Entry)> {
    let name = take(rest, 20)?.try_into().ok()?;
    let birth = take(rest, 4)?.try_into().ok()?;
    let live = take(rest, 1)? == [1];
    let first = long(take(rest, 8)?, 0)?;
    let cursor = usize::from(take(rest, 1)?[0]);
    let cursor = take(rest, cursor)?.to_vec();
    Some((name, Entry { birth, live, first, cursor }))
}

fn first_record(segment: &Segment<'_>) -> u64 {
    long(segment.queue, 24).unwrap_or(u64::MAX)
}

/// The segments of one queue, oldest first, without those that a later one voids.
fn chain<'a>(
    all: &[Segment<'a>],
    store: &[u8; 8],
    name: &[u8; 20],
    birth: &[u8; 4],
) -> Vec<Segment<'a>> {
    let mut own: Vec<_> = all
        .iter()
        .filter(|s| s.kind == Kind::Queue && s.store == *store)
        .filter(|s| s.queue[..20] == name[..] && s.queue[20..24] == birth[..])
        .cloned()
        .collect();
    own.sort_by_key(|s| s.seq);
    let mut chain: Vec<Segment<'a>> = Vec::new();
    for segment in own {
        chain.retain(|earlier| first_record(earlier) <= first_record(&segment));
        chain.push(segment);
    }
    chain
}

/// How many records a unit says that it has; `None` if that is damaged.
fn count(unit: &Unit) -> Option<u64> {
    if !unit.several {
        return Some(1);
    }
    let front = word(&unit.payload, 0)?;
    let place = [unit.seq, unit.offset].map(u32::to_le_bytes).concat();
    let sum = crc(&[&place, &unit.payload[..2]]) & 0xFFFF;
    (front >> 16 == sum).then_some(u64::from(front & 0xFFFF))
}

fn records(
    unit: &Unit,
    key: &[u8; 32],
    store: &[u8; 8],
    name: &[u8; 20],
    birth: &[u8; 4],
    number: u64,
) -> Result<Vec<Vec<u8>>, Complaint> {
    let front = if unit.several { COUNT } else { 0 };
    let rest = unit.payload.get(front..).ok_or("unit cut short")?;
    let associated: [&[u8]; 6] =
        [b"signpost", &[VERSION, 2], store, name, birth, &number.to_le_bytes()];
    let plain = unseal(key, &associated, rest)
        .ok_or_else(|| format!("unit from record {number} on does not open"))?;
    if !unit.several {
        return Ok(vec![plain]);
    }
    let mut rest = plain.as_slice();
    let mut records = Vec::new();
    while !rest.is_empty() {
        let len = varint(&mut rest).and_then(|len| usize::try_from(len).ok());
        let record = len.and_then(|len| take(&mut rest, len)).ok_or("record cut short")?;
        records.push(record.to_vec());
    }
    let same = count(unit) == Some(records.len() as u64);
    if same { Ok(records) } else { Err("another number of records".into()) }
}
