//! The spool against a mirror, under cuts, failures and damage.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

mod support;

use std::collections::{BTreeMap, VecDeque};

use signpost_hal::flash::sim::{Call, SimFlash, Tear};
use signpost_hal::flash::{Flash, FlashErrorKind, Geometry};
use signpost_store::{
    MAX_CURSOR, MAX_QUEUES, OpenError, QueueKey, QueueName, Spool, SpoolOpened, StoreError,
};
use support::{Chance, file, nor, seeds};

#[derive(Clone, Debug, Default, PartialEq)]
struct Queue {
    first: u64,
    records: VecDeque<Vec<u8>>,
    cursor: Vec<u8>,
}

impl Queue {
    fn next(&self) -> u64 {
        self.first + self.records.len() as u64
    }

    fn remove(&mut self, up_to: u64) {
        while self.first <= up_to && self.records.pop_front().is_some() {
            self.first += 1;
        }
    }
}

type Mirror = BTreeMap<QueueName, Queue>;

fn name(n: u64) -> QueueName {
    QueueName([n as u8; 20])
}

fn key(name: QueueName) -> QueueKey {
    QueueKey::from_bytes([name.0[0]; 32])
}

#[derive(Clone, Debug)]
enum Step {
    Append(QueueName, Vec<Vec<u8>>),
    Remove(QueueName, u64),
    Mark(QueueName, u64, Vec<u8>),
    DropOldest(QueueName),
    Drop(QueueName),
    Wipe,
}

impl Step {
    fn any(chance: &mut Chance, mirror: &Mirror, longest: u64) -> Self {
        let queue = name(chance.below(3));
        let (first, waiting) =
            mirror.get(&queue).map_or((0, 0), |q| (q.first, q.records.len() as u64));
        match chance.below(40) {
            0 => Self::Drop(queue),
            1 => Self::DropOldest(queue),
            2 if chance.below(4) == 0 => Self::Wipe,
            2..=5 => {
                let cursor = chance.below(MAX_CURSOR as u64 + 1) as usize;
                Self::Mark(queue, first + chance.below(waiting + 1), chance.bytes(cursor))
            }
            6..=14 => Self::Remove(queue, first + chance.below(waiting + 1)),
            _ => {
                let count = 1 + chance.below(4) * chance.below(4);
                let record = |_| {
                    let len = chance.below(longest + 1) as usize;
                    chance.bytes(len)
                };
                Self::Append(queue, (0..count).map(record).collect())
            }
        }
    }

    /// Does it; `Ok(None)` if the spool had a reason to refuse that the mirror knows of.
    fn run<F: Flash>(&self, spool: &mut Spool<F>) -> Result<Option<Mirror>, StoreError> {
        let done = match self {
            Self::Append(queue, records) => {
                let records: Vec<&[u8]> = records.iter().map(Vec::as_slice).collect();
                spool.append(*queue, &key(*queue), &records).map(drop)
            }
            Self::Remove(queue, up_to) => spool.remove(*queue, *up_to),
            Self::Mark(queue, up_to, cursor) => spool.remove_and_set_cursor(*queue, *up_to, cursor),
            Self::DropOldest(queue) => spool.drop_oldest_segment(*queue).map(drop),
            Self::Drop(queue) => spool.drop_queue(*queue),
            Self::Wipe => spool.wipe(),
        };
        match done {
            Ok(()) => Ok(Some(Mirror::new())),
            Err(StoreError::NoQueue | StoreError::Full) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn mirror(&self, mirror: &mut Mirror) {
        match self {
            Self::Append(queue, records) => {
                mirror.entry(*queue).or_default().records.extend(records.iter().cloned());
            }
            Self::Remove(queue, up_to) => {
                if let Some(queue) = mirror.get_mut(queue) {
                    queue.remove(*up_to);
                }
            }
            Self::Mark(queue, up_to, cursor) => {
                if let Some(queue) = mirror.get_mut(queue) {
                    queue.remove(*up_to);
                    queue.cursor.clone_from(cursor);
                }
            }
            Self::DropOldest(_) => {}
            Self::Drop(queue) => drop(mirror.remove(queue)),
            Self::Wipe => mirror.clear(),
        }
    }

    /// Whether `found` is what a cut in the middle may leave of `mirror`.
    fn explains(&self, mirror: &Mirror, found: &Mirror) -> bool {
        if found == mirror {
            return true;
        }
        match self {
            Self::Append(queue, records) => (0..=records.len()).any(|n| {
                let mut part = mirror.clone();
                part.entry(*queue).or_default().records.extend(records[..n].iter().cloned());
                part == *found
            }),
            Self::DropOldest(queue) => {
                let (Some(old), Some(new)) = (mirror.get(queue), found.get(queue)) else {
                    return false;
                };
                let mut part = mirror.clone();
                if let Some(queue) = part.get_mut(queue) {
                    queue.remove(new.first.saturating_sub(1));
                }
                new.first > old.first && part == *found
            }
            // Queues are dropped one after the other.
            Self::Wipe => found.iter().all(|(name, queue)| mirror.get(name) == Some(queue)),
            Self::Remove(..) | Self::Mark(..) | Self::Drop(_) => {
                let mut after = mirror.clone();
                self.mirror(&mut after);
                after == *found
            }
        }
    }
}

fn open<'a>(
    flash: &'a mut SimFlash,
    chance: &mut Chance,
) -> Result<(Spool<&'a mut SimFlash>, SpoolOpened), OpenError> {
    Spool::open(flash, chance.entropy())
}

fn contents<F: Flash>(spool: &mut Spool<F>) -> Mirror {
    let names: Vec<QueueName> = spool.queues().collect();
    let read = |name: QueueName| {
        let stats = spool.stats(name).unwrap();
        let mut queue = Queue {
            first: stats.first_seq,
            records: VecDeque::new(),
            cursor: spool.cursor(name).unwrap().to_vec(),
        };
        loop {
            let some = spool.read(name, &key(name), queue.next(), 7, 3000).unwrap();
            if some.is_empty() {
                break;
            }
            for (seq, record) in some {
                assert_eq!(seq, queue.next());
                queue.records.push_back(record);
            }
        }
        assert_eq!((stats.records, stats.next_seq), (queue.records.len() as u64, queue.next()));
        (name, queue)
    };
    names.into_iter().map(read).collect()
}

/// Opens until no cut is left; every attempt but the last is cut.
fn recover(flash: &mut SimFlash, chance: &mut Chance, cuts: u64) -> Mirror {
    let extra = name(200);
    for _ in 0..cuts {
        flash.power_on();
        flash.cut_after(chance.below(2000), chance.tear());
        match open(flash, chance) {
            Ok((mut spool, _)) => drop(spool.append(extra, &key(extra), &[&[1; 50]])),
            Err(OpenError::Flash(_)) => {}
            Err(error) => panic!("{error:?}"),
        }
        flash.power_off();
    }
    flash.power_on();
    let (mut spool, opened) = open(flash, chance).unwrap();
    assert!(!opened.ledger_lost);
    spool.drop_queue(extra).unwrap();
    contents(&mut spool)
}

fn shapes() -> Vec<Geometry> {
    vec![nor(4096, 4, 10), nor(1024, 16, 40), nor(8192, 256, 8), file(4096, 16), file(512, 80)]
}

#[test]
fn queues_keep_their_records_over_many_rounds_of_the_pool() {
    for (n, shape) in shapes().into_iter().enumerate() {
        let mut chance = Chance(n as u64);
        let mut flash = SimFlash::new(shape, 1);
        let mut mirror = Mirror::new();
        let (mut spool, opened) = open(&mut flash, &mut chance).unwrap();
        assert!(opened.fresh);
        let (mut refused, mut done) = (0, 0);
        for round in 0..1500 {
            if round % 40 == 0 {
                drop(spool);
                spool = open(&mut flash, &mut chance).unwrap().0;
                assert_eq!(contents(&mut spool), mirror);
            }
            let step = Step::any(&mut chance, &mirror, 700);
            if step.run(&mut spool).unwrap().is_none() {
                refused += 1;
                continue;
            }
            done += 1;
            step.mirror(&mut mirror);
            if let Step::DropOldest(queue) = &step {
                let first = spool.stats(*queue).unwrap().first_seq;
                mirror.get_mut(queue).unwrap().remove(first.saturating_sub(1));
            }
            if round % 10 == 0 {
                assert_eq!(contents(&mut spool), mirror, "{step:?} {shape:?}");
            }
        }
        assert!(done > 800 && refused > 0, "{done} {refused}");
        drop(spool);
        assert_eq!(flash.double_programs(), 0);
    }
}

#[test]
fn invariant_3_a_cut_at_every_byte_keeps_every_acknowledged_record() {
    for (n, shape) in [nor(4096, 4, 6), nor(4096, 64, 5), file(512, 40)].into_iter().enumerate() {
        let mut chance = Chance(n as u64);
        let mut flash = SimFlash::new(shape, 1);
        let mut mirror = Mirror::new();
        drop(open(&mut flash, &mut chance).unwrap());
        for round in 0..40 {
            let step = Step::any(&mut chance, &mirror, 250);
            // Erasing looks the same at most of its bytes.
            let stride = 1 + round % 5 * 3;
            let mut at = round % 3;
            loop {
                let tear = Tear::ALL[((at + round) % Tear::ALL.len() as u64) as usize];
                let mut torn = flash.clone();
                torn.cut_after(at, tear);
                let mut answer = Err(StoreError::Full);
                if let Ok((mut spool, _)) = open(&mut torn, &mut chance) {
                    answer = step.run(&mut spool);
                }
                let off = torn.is_off();
                torn.power_off();
                let found = recover(&mut torn, &mut chance, at / 7 % 3);
                let mut after = mirror.clone();
                if let Ok(Some(_)) = answer {
                    step.mirror(&mut after);
                    let dropped = matches!(step, Step::DropOldest(_));
                    assert!(dropped || found == after, "{step:?} cut at {at} {tear:?}");
                }
                assert!(step.explains(&mirror, &found), "{step:?} cut at {at} {tear:?} {shape:?}");
                assert_eq!(torn.double_programs(), 0, "{step:?} cut at {at} {tear:?}");
                if !off {
                    break;
                }
                at += stride;
            }
            let (mut spool, _) = open(&mut flash, &mut chance).unwrap();
            step.run(&mut spool).unwrap();
            mirror = contents(&mut spool);
        }
    }
}

#[test]
fn invariant_3_chains_of_cuts_lose_no_record_and_never_end_full() {
    for seed in seeds(40) {
        for shape in shapes() {
            let mut chance = Chance(seed);
            let mut flash = SimFlash::new(shape, seed);
            let mut mirror = Mirror::new();
            for _ in 0..60 {
                flash.power_on();
                if chance.below(8) != 0 {
                    flash.cut_after(chance.below(12000), chance.tear());
                }
                let mut pending = None;
                match open(&mut flash, &mut chance) {
                    Ok((mut spool, opened)) => {
                        assert!(!opened.ledger_lost);
                        assert_eq!(contents(&mut spool), mirror, "seed {seed} {shape:?}");
                        for _ in 0..chance.below(30) {
                            let step = Step::any(&mut chance, &mirror, 400);
                            match step.run(&mut spool) {
                                Ok(Some(_)) => {
                                    step.mirror(&mut mirror);
                                    if let Step::DropOldest(queue) = &step {
                                        let first = spool.stats(*queue).unwrap().first_seq;
                                        let queue = mirror.get_mut(queue).unwrap();
                                        queue.remove(first.saturating_sub(1));
                                    }
                                }
                                Ok(None) => {}
                                Err(StoreError::Flash(e)) => {
                                    assert_eq!(e.kind(), FlashErrorKind::Gone);
                                    pending = Some(step);
                                    break;
                                }
                                Err(error) => panic!("{error:?} at {step:?}, seed {seed}"),
                            }
                        }
                    }
                    Err(OpenError::Flash(e)) => assert_eq!(e.kind(), FlashErrorKind::Gone),
                    Err(error) => panic!("{error:?}, seed {seed} {shape:?}"),
                }
                flash.power_off();
                assert_eq!(flash.double_programs(), 0);
                if let Some(step) = pending {
                    let cuts = chance.below(4);
                    let found = recover(&mut flash, &mut chance, cuts);
                    assert!(step.explains(&mirror, &found), "{step:?}, seed {seed} {shape:?}");
                    mirror = found;
                }
            }
            // Whatever happened: what is removed makes room again.
            flash.power_on();
            let (mut spool, _) = open(&mut flash, &mut chance).unwrap();
            for (queue, content) in &mirror {
                spool.remove(*queue, content.next()).unwrap();
            }
            assert_eq!(spool.free(), spool.capacity());
            spool.append(name(0), &key(name(0)), &[&[3; 3000]]).unwrap();
        }
    }
}

#[test]
fn a_crash_loop_with_a_held_queue_uses_up_no_segments() {
    for shape in [nor(4096, 4, 8), file(4096, 16)] {
        let mut chance = Chance(5);
        let mut flash = SimFlash::new(shape, 1);
        let (mut spool, _) = open(&mut flash, &mut chance).unwrap();
        spool.append(name(1), &key(name(1)), &[&[1; 500]]).unwrap();
        let free = spool.free();
        drop(spool);
        for round in 0..400 {
            let fuel = if round == 0 {
                2900
            } else {
                chance.below(if shape.overwrites() { 2900 } else { 7000 })
            };
            let tear = chance.tear();
            flash.cut_after(fuel, if tear == Tear::Complete { Tear::Any } else { tear });
            if let Ok((mut spool, _)) = open(&mut flash, &mut chance) {
                let _ = spool.append(name(1), &key(name(1)), &[&[2; 3000]]);
            }
            flash.power_off();
            flash.power_on();
        }
        let (mut spool, _) = open(&mut flash, &mut chance).unwrap();
        let extra = spool.stats(name(1)).unwrap().records - 1;
        assert!(free - spool.free() <= (extra + 1) * 4096, "{} {extra}", free - spool.free());
        spool.append(name(1), &key(name(1)), &[&[3; 1000]]).unwrap();
    }
}

#[test]
fn a_full_spool_says_so_and_can_be_drained() {
    for shape in shapes() {
        let mut chance = Chance(6);
        let mut flash = SimFlash::new(shape, 1);
        let (mut spool, _) = open(&mut flash, &mut chance).unwrap();
        let mut counts = [0u64; 3];
        for n in 0.. {
            let queue = name(n % 3);
            match spool.append(queue, &key(queue), &[&[n as u8; 300]]) {
                Ok(_) => counts[n as usize % 3] += 1,
                Err(StoreError::Full) if n % 3 == 2 => break,
                Err(StoreError::Full) => {}
                Err(error) => panic!("{error:?}"),
            }
        }
        for n in 0..3 {
            assert_eq!(spool.stats(name(n)).unwrap().records, counts[n as usize]);
        }
        // Removing one by one never runs out of room, and a held queue blocks no other.
        for seq in 0..counts[0] {
            spool.set_cursor(name(1), &seq.to_le_bytes()).unwrap();
            spool.remove(name(0), seq).unwrap();
        }
        spool.append(name(2), &key(name(2)), &[&[9; 300]]).unwrap();
        let dropped = spool.drop_oldest_segment(name(1)).unwrap();
        assert!(dropped.records() > 0);
        assert_eq!(spool.stats(name(1)).unwrap().first_seq, dropped.next);
        spool.drop_queue(name(1)).unwrap();
        spool.drop_queue(name(2)).unwrap();
        assert_eq!(spool.free(), spool.capacity());
    }
}

#[test]
fn long_records_span_segments_and_large_batches_are_cut() {
    for shape in [nor(4096, 4, 64), file(4096, 64), nor(4096, 4, 1024)] {
        let mut chance = Chance(7);
        let mut flash = SimFlash::new(shape, 1);
        let (mut spool, _) = open(&mut flash, &mut chance).unwrap();
        let queue = name(1);
        let long = chance.bytes(spool.max_record());
        let many: Vec<Vec<u8>> = (0..1500).map(|_| chance.bytes(60)).collect();
        let many: Vec<&[u8]> = many.iter().map(Vec::as_slice).collect();
        assert_eq!(spool.append(queue, &key(queue), &[&long]), Ok(0..1));
        assert_eq!(spool.append(queue, &key(queue), &many), Ok(1..1501));
        assert_eq!(spool.append(queue, &key(queue), &[b""]), Ok(1501..1502));
        let limit = spool.max_record();
        let longer = vec![0; limit + 1];
        assert_eq!(
            spool.append(queue, &key(queue), &[&longer]),
            Err(StoreError::TooLong { limit })
        );
        drop(spool);
        let (mut spool, _) = open(&mut flash, &mut chance).unwrap();
        let some = spool.read(queue, &key(queue), 0, 10, 1).unwrap();
        assert_eq!(some, vec![(0, long)]);
        let some = spool.read(queue, &key(queue), 700, 5000, 1 << 20).unwrap();
        assert_eq!(some.len(), 802);
        assert_eq!(some[0], (700, many[699].to_vec()));
        assert_eq!(some[801], (1501, vec![]));
        spool.remove(queue, 0).unwrap();
        assert_eq!(spool.read(queue, &key(queue), 0, 1, 0).unwrap()[0].0, 1);
    }
}

#[test]
fn another_key_reads_nothing_and_a_dropped_queue_stays_dropped() {
    let mut chance = Chance(8);
    let mut flash = SimFlash::new(nor(4096, 4, 16), 1);
    let (mut spool, _) = open(&mut flash, &mut chance).unwrap();
    let queue = name(1);
    spool.append(queue, &key(queue), &[b"one", b"two"]).unwrap();
    spool.append(queue, &key(queue), &[b"three"]).unwrap();
    let wrong = key(name(9));
    assert_eq!(
        spool.read(queue, &wrong, 0, 9, 99),
        Err(StoreError::Unreadable { first: 0, next: 2 })
    );
    assert_eq!(
        spool.read(queue, &wrong, 1, 9, 99),
        Err(StoreError::Unreadable { first: 1, next: 2 })
    );
    spool.drop_queue(queue).unwrap();
    drop(spool);
    let (mut spool, _) = open(&mut flash, &mut chance).unwrap();
    assert_eq!(spool.queues().count(), 0);
    assert_eq!(spool.append(queue, &wrong, &[b"new"]), Ok(0..1));
    drop(spool);
    let (mut spool, _) = open(&mut flash, &mut chance).unwrap();
    assert_eq!(spool.read(queue, &wrong, 0, 9, 99).unwrap(), vec![(0, b"new".to_vec())]);
    for n in 2..=MAX_QUEUES as u64 {
        spool.set_cursor(name(n), b"c").unwrap();
    }
    assert_eq!(spool.set_cursor(name(99), b"c"), Err(StoreError::TooManyQueues));
    assert_eq!(spool.set_cursor(name(2), &[0; MAX_CURSOR + 1]), Err(StoreError::Invalid));
}

#[test]
fn an_emptied_queue_goes_on_with_its_numbers() {
    let mut chance = Chance(9);
    let mut flash = SimFlash::new(nor(4096, 4, 5), 1);
    let (mut spool, _) = open(&mut flash, &mut chance).unwrap();
    spool.append(name(1), &key(name(1)), &[b"a", b"b"]).unwrap();
    spool.remove(name(1), 1).unwrap();
    // Another queue takes all segments, the drained one's too.
    while spool.append(name(2), &key(name(2)), &[&[0; 500]]).is_ok() {}
    drop(spool);
    let (mut spool, _) = open(&mut flash, &mut chance).unwrap();
    spool.drop_queue(name(2)).unwrap();
    assert_eq!(spool.append(name(1), &key(name(1)), &[b"c"]), Ok(2..3));
    assert_eq!(spool.read(name(1), &key(name(1)), 0, 9, 9).unwrap(), vec![(2, b"c".to_vec())]);
}

#[test]
fn damage_costs_its_own_segment_and_is_reported() {
    for seed in seeds(200) {
        let mut chance = Chance(seed);
        let mut flash = SimFlash::new(nor(4096, 4, 16), seed);
        let (mut spool, _) = open(&mut flash, &mut chance).unwrap();
        let queue = name(1);
        for n in 0..80u64 {
            spool.append(queue, &key(queue), &[&[n as u8; 300], &[n as u8; 20]]).unwrap();
        }
        spool.remove(queue, 9).unwrap();
        drop(spool);
        let at = chance.below(u64::from(flash.geometry().size())) as usize;
        flash.image_mut()[at] ^= 1 << chance.below(8);
        let (mut spool, opened) = open(&mut flash, &mut chance).unwrap();
        let stats = spool.stats(queue).unwrap();
        let (mut seq, mut lost, mut reports) = (stats.first_seq, 0, 0);
        assert!(seq == 10 || opened.ledger_lost || seq == 0);
        loop {
            match spool.read(queue, &key(queue), seq, 7, 9999) {
                Ok(some) if some.is_empty() => break,
                Ok(some) => {
                    for (n, record) in some {
                        assert_eq!(n, seq);
                        assert_eq!(record[0], (n / 2) as u8);
                        seq += 1;
                    }
                }
                Err(StoreError::DamagedRecords { first, next }) => {
                    assert!(first == seq && next > first && next <= stats.next_seq);
                    lost += next - first;
                    reports += 1;
                    seq = next;
                }
                Err(error) => panic!("{error:?}"),
            }
        }
        assert_eq!(seq, stats.next_seq);
        assert!(lost <= 26 && reports <= 2, "seed {seed}: {lost} lost, byte {at}");
        assert!(160 - stats.next_seq <= 26, "seed {seed}: ends at {}", stats.next_seq);
        spool.append(queue, &key(queue), &[b"goes on"]).unwrap();
        spool.remove(queue, u64::MAX).unwrap();
    }
}

#[test]
fn any_image_opens_or_errs() {
    let mut chance = Chance(11);
    let mut valid = SimFlash::new(nor(4096, 4, 12), 1);
    let (mut spool, _) = open(&mut valid, &mut chance).unwrap();
    for n in 0..40 {
        spool.append(name(n % 3), &key(name(n % 3)), &[&chance.bytes(500)]).unwrap();
        spool.remove(name(n % 3), n / 6).unwrap();
    }
    drop(spool);
    for seed in seeds(1500) {
        let mut chance = Chance(seed);
        let shape = if seed % 2 == 0 { nor(4096, 4, 12) } else { file(4096, 12) };
        let mut image = valid.image().to_vec();
        match seed % 5 {
            0 => image = chance.bytes(image.len()),
            1 => image.truncate(chance.below(image.len() as u64) as usize),
            2 => image.rotate_left(4096 * chance.below(12) as usize),
            _ => {
                for _ in 0..=chance.below(60) {
                    let start = 4096 * chance.below(12);
                    let within = if chance.below(2) == 0 { 60 } else { 4096 };
                    let at = start + chance.below(within);
                    image[at as usize] = chance.next() as u8;
                }
            }
        }
        let mut flash = SimFlash::from_image(shape, image, seed);
        if let Ok((mut spool, _)) = open(&mut flash, &mut chance) {
            for n in 0..3 {
                let queue = name(n);
                let _ = spool.append(queue, &key(queue), &[b"x"]);
                let _ = spool.read(queue, &key(queue), 0, 99, 9999);
                let _ = spool.drop_oldest_segment(queue);
                let _ = spool.remove(queue, 20);
            }
            let _ = spool.wipe();
        }
    }
    let mut random = SimFlash::from_image(nor(4096, 4, 12), chance.bytes(49152), 1);
    assert_eq!(open(&mut random, &mut chance).map(|_| ()), Err(OpenError::Garbage));
}

#[test]
fn a_failing_medium_gives_typed_errors_and_loses_nothing() {
    for call in [Call::Read, Call::Program, Call::Erase, Call::Sync] {
        for seed in seeds(60) {
            let mut chance = Chance(seed);
            let shape = if seed % 2 == 0 { nor(4096, 4, 12) } else { file(4096, 48) };
            let mut flash = SimFlash::new(shape, seed);
            drop(open(&mut flash, &mut chance).unwrap());
            let kind = [FlashErrorKind::Io, FlashErrorKind::Full, FlashErrorKind::ReadOnly]
                [seed as usize % 3];
            let always = seed % 7 == 0;
            flash.fail(call, kind, chance.below(40), always);
            let queue = name(1);
            // Each acknowledged record, in order; between them may be some that were refused.
            let mut kept = VecDeque::new();
            if let Ok((mut spool, _)) = open(&mut flash, &mut chance) {
                for n in 0..30u8 {
                    match spool.append(queue, &key(queue), &[&[n; 300]]) {
                        Ok(_) => kept.push_back(n),
                        Err(StoreError::Flash(e)) => assert_eq!(e.kind(), kind),
                        Err(error) => panic!("{error:?}"),
                    }
                }
            }
            flash.heal();
            let (mut spool, _) = open(&mut flash, &mut chance).unwrap();
            let found = contents(&mut spool).remove(&queue).unwrap_or_default();
            for record in &found.records {
                if kept.front() == Some(&record[0]) {
                    kept.pop_front();
                }
            }
            assert!(kept.is_empty(), "{call:?} seed {seed}: {kept:?}");
            drop(spool);
            assert_eq!(flash.double_programs(), 0);
        }
    }
}
