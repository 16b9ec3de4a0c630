//! The spool and its model: numbered records in queues.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;

use signpost_hal::flash::sim::SimFlash;
use signpost_hal::flash::{Flash, Geometry};
use signpost_store::{MAX_CURSOR, OpenError, QueueKey, QueueName, Spool, SpoolOpened, StoreError};

use super::chance::Chance;
use super::{Brief, Face, Found, file, nor};

/// What a queue must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Queue {
    /// Number of the oldest record.
    pub first: u64,
    /// The records, oldest first.
    pub records: VecDeque<Vec<u8>>,
    /// The caller's cursor.
    pub cursor: Vec<u8>,
}

impl Queue {
    /// Number of the next record.
    pub fn next(&self) -> u64 {
        self.first + self.records.len() as u64
    }

    /// Takes the records up to and including `up_to` away.
    pub fn remove(&mut self, up_to: u64) {
        while self.first <= up_to && self.records.pop_front().is_some() {
            self.first += 1;
        }
    }
}

/// What the spool must hold.
pub type Model = BTreeMap<QueueName, Queue>;

/// Queues that steps use.
const QUEUES: u64 = 3;
const LONGEST: u64 = 500;
/// The queue that [`Face::breathe`] makes and drops.
const BREATH: u64 = 200;

/// The queue with number `n`.
pub fn name(n: u64) -> QueueName {
    QueueName([n as u8; 20])
}

/// The key of a queue.
pub fn key(name: QueueName) -> QueueKey {
    QueueKey::from_bytes([name.0[0]; 32])
}

/// Opens a spool.
///
/// # Errors
/// What the spool says.
pub fn open<F: Flash>(flash: F, chance: &mut Chance) -> Result<(Spool<F>, SpoolOpened), OpenError> {
    Spool::open(flash, chance.entropy())
}

/// Something to do to a spool.
#[derive(Clone)]
pub enum Step {
    /// [`Spool::append`].
    Append(QueueName, Vec<Vec<u8>>),
    /// [`Spool::remove`].
    Remove(QueueName, u64),
    /// [`Spool::remove_and_set_cursor`].
    Mark(QueueName, u64, Vec<u8>),
    /// [`Spool::drop_oldest_segment`].
    DropOldest(QueueName),
    /// [`Spool::drop_queue`].
    Drop(QueueName),
    /// [`Spool::wipe`].
    Wipe,
}

impl fmt::Debug for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Append(queue, records) => {
                let brief: Vec<_> = records.iter().map(|record| Brief(record)).collect();
                write!(f, "append to {}: {brief:?}", queue.0[0])
            }
            Self::Remove(queue, up_to) => write!(f, "remove from {} up to {up_to}", queue.0[0]),
            Self::Mark(queue, up_to, cursor) => {
                write!(f, "remove from {} up to {up_to}, cursor {:?}", queue.0[0], Brief(cursor))
            }
            Self::DropOldest(queue) => write!(f, "drop the oldest segment of {}", queue.0[0]),
            Self::Drop(queue) => write!(f, "drop {}", queue.0[0]),
            Self::Wipe => f.write_str("wipe"),
        }
    }
}

/// The spool as a [`Face`].
#[derive(Debug)]
pub struct Spools;

impl Face for Spools {
    type Store<'a> = Spool<&'a mut SimFlash>;
    type Model = Model;
    type Step = Step;

    fn shapes() -> Vec<Geometry> {
        vec![
            nor(4096, 4, 10),
            nor(4096, 4, 4),
            file(512, 32),
            nor(1024, 16, 40),
            nor(8192, 256, 8),
            file(4096, 16),
            file(512, 80),
        ]
    }

    fn step(chance: &mut Chance, model: &Model, _: Geometry) -> Step {
        let queue = name(chance.below(QUEUES));
        let (first, waiting) =
            model.get(&queue).map_or((0, 0), |q| (q.first, q.records.len() as u64));
        match chance.below(40) {
            1 => Step::Drop(queue),
            2 => Step::DropOldest(queue),
            3 if chance.below(4) == 0 => Step::Wipe,
            3..=6 => {
                let cursor = chance.below(MAX_CURSOR as u64 + 1) as usize;
                Step::Mark(queue, first + chance.below(waiting + 1), chance.bytes(cursor))
            }
            // Half of the time all there is: a drained queue lends its segments.
            7..=15 => match chance.below(2) {
                0 => Step::Remove(queue, first + waiting),
                _ => Step::Remove(queue, first + chance.below(waiting + 1)),
            },
            _ => {
                // One in sixteen is long enough to lie in several segments.
                let (count, longest) = match chance.below(16) {
                    0 => (1, 20 * LONGEST),
                    _ => (1 + chance.below(4) * chance.below(4), LONGEST),
                };
                let mut record = |_| {
                    let len = chance.below(longest + 1) as usize;
                    chance.bytes(len)
                };
                Step::Append(queue, (0..count).map(&mut record).collect())
            }
        }
    }

    fn open<'a>(
        flash: &'a mut SimFlash,
        chance: &mut Chance,
    ) -> Result<(Self::Store<'a>, Found), OpenError> {
        let (store, opened) = open(flash, chance)?;
        Ok((store, Found { fresh: opened.fresh, sound: !opened.ledger_lost }))
    }

    fn run(
        step: &Step,
        spool: &mut Self::Store<'_>,
        model: &mut Model,
    ) -> Result<bool, StoreError> {
        let done = match step {
            Step::Append(queue, records) => {
                let slices: Vec<&[u8]> = records.iter().map(Vec::as_slice).collect();
                spool.append(*queue, &key(*queue), &slices).map(|_| {
                    model.entry(*queue).or_default().records.extend(records.iter().cloned());
                })
            }
            Step::Remove(queue, up_to) => spool.remove(*queue, *up_to).map(|()| {
                model.entry(*queue).or_default().remove(*up_to);
            }),
            Step::Mark(queue, up_to, cursor) => {
                spool.remove_and_set_cursor(*queue, *up_to, cursor).map(|()| {
                    let queue = model.entry(*queue).or_default();
                    queue.remove(*up_to);
                    queue.cursor.clone_from(cursor);
                })
            }
            Step::DropOldest(queue) => spool.drop_oldest_segment(*queue).map(|dropped| {
                if dropped.next > dropped.first {
                    model.entry(*queue).or_default().remove(dropped.next - 1);
                }
            }),
            Step::Drop(queue) => spool.drop_queue(*queue).map(|()| drop(model.remove(queue))),
            Step::Wipe => spool.wipe().map(|()| model.clear()),
        };
        match done {
            Ok(()) => Ok(true),
            Err(StoreError::NoQueue) => Ok(false),
            // What takes no record is never refused for want of room.
            Err(StoreError::Full | StoreError::TooLong { .. })
                if matches!(step, Step::Append(..)) =>
            {
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    fn contents(spool: &mut Self::Store<'_>) -> Result<Model, StoreError> {
        let names: Vec<QueueName> = spool.queues().filter(|queue| *queue != name(BREATH)).collect();
        names.into_iter().map(|name| Ok((name, queue(spool, name)?))).collect()
    }

    fn tell(model: &Model) -> String {
        let queue = |(name, queue): (&QueueName, &Queue)| {
            let lengths: Vec<usize> = queue.records.iter().map(Vec::len).collect();
            let (from, cursor) = (queue.first, Brief(&queue.cursor));
            format!("queue {} from {from}: {lengths:?}, cursor {cursor:?}", name.0[0])
        };
        model.iter().map(queue).collect::<Vec<_>>().join("; ")
    }

    fn explains(step: &Step, before: &Model, found: &Model) -> bool {
        if found == before {
            return true;
        }
        let mut after = before.clone();
        match step {
            // Some of the records, from the first on.
            Step::Append(queue, records) => {
                let held = before.get(queue).map_or(0, |q| q.records.len());
                let more = found.get(queue).map_or(0, |q| q.records.len()).saturating_sub(held);
                let more = records.iter().take(more).cloned();
                after.entry(*queue).or_default().records.extend(more);
            }
            Step::Remove(queue, up_to) => {
                if let Some(queue) = after.get_mut(queue) {
                    queue.remove(*up_to);
                }
            }
            Step::Mark(queue, up_to, cursor) => {
                if let Some(queue) = after.get_mut(queue) {
                    queue.remove(*up_to);
                    queue.cursor.clone_from(cursor);
                }
            }
            Step::DropOldest(queue) => {
                let next = found.get(queue).map_or(0, |q| q.first);
                if let Some(queue) = after.get_mut(queue) {
                    queue.remove(next.saturating_sub(1));
                }
            }
            Step::Drop(queue) => drop(after.remove(queue)),
            // Queues are dropped one after the other.
            Step::Wipe => after.retain(|name, _| found.contains_key(name)),
        }
        *found == after
    }

    fn breathe(spool: &mut Self::Store<'_>) -> Result<(), StoreError> {
        let queue = name(BREATH);
        match spool.append(queue, &key(queue), &[&[1; 50]]) {
            // Others may hold all the room there is; dropping must work even then.
            Ok(_) | Err(StoreError::Full) => spool.drop_queue(queue),
            Err(error) => Err(error),
        }
    }
}

/// All that one queue holds.
fn queue<F: Flash>(spool: &mut Spool<F>, name: QueueName) -> Result<Queue, StoreError> {
    let stats = spool.stats(name).ok_or(StoreError::NoQueue)?;
    let mut queue = Queue {
        first: stats.first_seq,
        records: VecDeque::new(),
        cursor: spool.cursor(name).unwrap_or_default().to_vec(),
    };
    loop {
        let some = spool.read(name, &key(name), queue.next(), 7, 3000)?;
        if some.is_empty() {
            break;
        }
        for (seq, record) in some {
            if seq != queue.next() {
                return Err(StoreError::DamagedRecords { first: queue.next(), next: seq });
            }
            queue.records.push_back(record);
        }
    }
    let counted = (queue.records.len() as u64, queue.next());
    if (stats.records, stats.next_seq) == counted { Ok(queue) } else { Err(StoreError::Damaged) }
}
