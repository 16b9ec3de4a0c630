//! The spool against a mirror, under cuts, failures and damage.

#![allow(clippy::unwrap_used, clippy::panic, reason = "what is not as expected is a failed test")]

use std::collections::VecDeque;

use signpost_hal::flash::sim::{Call, SimFlash, Tear};
use signpost_hal::flash::{Flash, FlashErrorKind};
use signpost_store::{MAX_CURSOR, MAX_QUEUES, OpenError, Spool, StoreError};
use signpost_tests::flash::chance::Chance;
use signpost_tests::flash::cuts::{Plan, every_byte, live};
use signpost_tests::flash::images::open_any;
use signpost_tests::flash::spool::{Model, Spools, key, name, open};
use signpost_tests::flash::{Face, file, nor, seeds};

fn contents(spool: &mut Spool<&mut SimFlash>) -> Model {
    Spools::contents(spool).unwrap()
}

#[test]
fn queues_keep_their_records_over_many_rounds_of_the_pool() {
    for (n, shape) in Spools::shapes().into_iter().enumerate() {
        let mut chance = Chance::seeded(n as u64);
        let mut flash = SimFlash::new(shape, 1);
        let mut model = Model::new();
        let (mut spool, opened) = open(&mut flash, &mut chance).unwrap();
        assert!(opened.fresh);
        let (mut refused, mut done) = (0, 0);
        for round in 0..1500 {
            if round % 40 == 0 {
                drop(spool);
                spool = open(&mut flash, &mut chance).unwrap().0;
                assert_eq!(contents(&mut spool), model);
            }
            let step = Spools::step(&mut chance, &model, shape);
            match Spools::run(&step, &mut spool, &mut model).unwrap() {
                true => done += 1,
                false => refused += 1,
            }
            if round % 10 == 0 {
                assert_eq!(contents(&mut spool), model, "{step:?} {shape:?}");
            }
        }
        assert!(done > 200 && refused > 0, "{done} {refused}");
        drop(spool);
        assert_eq!(flash.double_programs(), 0);
    }
}

#[test]
fn invariant_3_a_cut_at_every_byte_keeps_every_acknowledged_record() {
    for (n, shape) in [nor(4096, 4, 6), nor(4096, 64, 5), file(512, 40)].into_iter().enumerate() {
        let mut chance = Chance::seeded(n as u64);
        let mut flash = SimFlash::new(shape, 1);
        let mut model = Model::new();
        drop(open(&mut flash, &mut chance).unwrap());
        for round in 0..40 {
            let step = Spools::step(&mut chance, &model, shape);
            // Erasing looks the same at most of its bytes.
            every_byte::<Spools>(&flash, &model, &step, 1 + round % 5 * 3, &mut chance);
            let (mut spool, _) = open(&mut flash, &mut chance).unwrap();
            Spools::run(&step, &mut spool, &mut model).unwrap();
        }
    }
}

#[test]
fn invariant_3_chains_of_cuts_lose_no_record_and_never_end_full() {
    for seed in seeds(6) {
        for shape in Spools::shapes() {
            let plan = Plan { turns: 30, forks: 4 };
            live::<Spools>(&mut Chance::seeded(seed), shape, plan)
                .unwrap_or_else(|broken| panic!("seed {seed}: {broken}"));
        }
    }
}

#[test]
fn a_crash_loop_with_a_held_queue_uses_up_no_segments() {
    for shape in [nor(4096, 4, 8), file(4096, 16)] {
        let mut chance = Chance::seeded(5);
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
    // Three queues, the ledger and the reserve take five segments.
    for shape in Spools::shapes().into_iter().filter(|shape| shape.size() > 16 << 10) {
        let mut chance = Chance::seeded(6);
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
        let mut chance = Chance::seeded(7);
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
fn what_is_not_taken_is_not_read() {
    for shape in [nor(4096, 4, 64), file(4096, 64)] {
        let mut chance = Chance::seeded(21);
        let mut flash = SimFlash::new(shape, 1);
        let (mut spool, _) = open(&mut flash, &mut chance).unwrap();
        let queue = name(1);
        let records = [b"a".to_vec(), chance.bytes(8_000), b"c".to_vec()];
        for record in &records {
            spool.append(queue, &key(queue), &[record.as_slice()]).unwrap();
        }
        let mut take = |most: usize, from| {
            let mut seen = Vec::new();
            let read = spool.read_while(queue, &key(queue), from, |seq, record| {
                assert_eq!(record, records[seq as usize]);
                seen.push(seq);
                seen.len() < most
            });
            read.map(|()| seen)
        };
        assert_eq!(take(1, 0), Ok(vec![0]));
        assert_eq!(take(2, 1), Ok(vec![1, 2]));
        assert_eq!(take(9, 0), Ok(vec![0, 1, 2]));
        assert_eq!(take(9, 3), Ok(vec![]));
        drop(spool);
        // One opening more costs the same again, and what was read on top.
        let before = flash.counters().read;
        drop(open(&mut flash, &mut chance).unwrap());
        let opening = flash.counters().read - before;
        let (mut spool, _) = open(&mut flash, &mut chance).unwrap();
        spool.read_while(queue, &key(queue), 0, |_, _| false).unwrap();
        drop(spool);
        let read = flash.counters().read - before - 2 * opening;
        assert!(read < 8_000, "{read} bytes for a record that was sealed alone");
    }
}

#[test]
fn another_key_reads_nothing_and_a_dropped_queue_stays_dropped() {
    let mut chance = Chance::seeded(8);
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
    let mut chance = Chance::seeded(9);
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
        let mut chance = Chance::seeded(seed);
        let mut flash = SimFlash::new(nor(4096, 4, 16), seed);
        let (mut spool, _) = open(&mut flash, &mut chance).unwrap();
        let queue = name(1);
        for n in 0..80u64 {
            spool.append(queue, &key(queue), &[&[n as u8; 300], &[n as u8; 20]]).unwrap();
        }
        spool.remove(queue, 9).unwrap();
        // The damage of the very last commit reads as a torn one: let it be this.
        spool.set_cursor(name(2), b"last").unwrap();
        drop(spool);
        let at = chance.below(u64::from(flash.geometry().size())) as usize;
        flash.image_mut()[at] ^= 1 << chance.below(8);
        let (mut spool, opened) = open(&mut flash, &mut chance).unwrap();
        let stats = spool.stats(queue).unwrap();
        let (mut seq, mut lost, mut reports) = (stats.first_seq, 0, 0);
        assert!(seq == 10 || opened.ledger_lost, "seed {seed}: {seq}, byte {at}");
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
fn a_queue_whose_place_the_ledger_took_goes_on_elsewhere() {
    for shape in [nor(4096, 4, 4), file(512, 32)] {
        let mut chance = Chance::seeded(17);
        let mut flash = SimFlash::new(shape, 1);
        let (mut spool, _) = open(&mut flash, &mut chance).unwrap();
        spool.append(name(1), &key(name(1)), &[b"soon gone"]).unwrap();
        spool.remove(name(1), 0).unwrap();
        while spool.append(name(2), &key(name(2)), &[&[0; 900]]).is_ok() {}
        for n in 0..200u8 {
            spool.set_cursor(name(1), &[n; MAX_CURSOR]).unwrap();
            let kept = spool.append(name(1), &key(name(1)), &[b"kept"]).is_ok();
            let read = spool.read(name(1), &key(name(1)), 0, 9, 99).unwrap();
            assert_eq!(read.len(), usize::from(kept), "{n} on {shape:?}");
            spool.remove(name(1), u64::MAX - 1).unwrap();
        }
        drop(spool);
        assert_eq!(flash.double_programs(), 0);
    }
}

#[test]
fn a_drained_queue_that_is_the_reserve_takes_no_record() {
    for shape in [nor(4096, 4, 4), file(512, 32)] {
        let mut chance = Chance::seeded(23);
        let mut flash = SimFlash::new(shape, 1);
        let (mut spool, _) = open(&mut flash, &mut chance).unwrap();
        spool.append(name(1), &key(name(1)), &[b"soon gone"]).unwrap();
        spool.remove(name(1), 0).unwrap();
        while spool.append(name(2), &key(name(2)), &[&[0; 900]]).is_ok() {}
        assert_eq!(spool.append(name(1), &key(name(1)), &[b"no"]), Err(StoreError::Full));
        // The ledger goes on through several segments all the same.
        for n in 0..300u32 {
            spool.set_cursor(name(2), &n.to_le_bytes()).unwrap();
        }
        spool.remove(name(2), u64::MAX - 1).unwrap();
        spool.append(name(1), &key(name(1)), &[b"yes"]).unwrap();
    }
}

#[test]
fn a_half_erased_place_of_a_drained_queue_is_not_gone_on_in() {
    let mut tried = 0;
    for shift in 0..8 {
        let mut chance = Chance::seeded(19);
        let mut flash = SimFlash::new(nor(4096, 4, 4), 1);
        let (mut spool, _) = open(&mut flash, &mut chance).unwrap();
        spool.append(name(1), &key(name(1)), &[b"soon gone"]).unwrap();
        spool.remove(name(1), 0).unwrap();
        while spool.append(name(2), &key(name(2)), &[&[0; 900]]).is_ok() {}
        spool.set_cursor(name(2), &vec![1; 8 * shift]).unwrap();
        drop(spool);
        for n in 0..40u8 {
            // Where the ledger is full it takes the drained queue's segment; the power goes.
            let mut torn = flash.clone();
            torn.cut_after(700, Tear::Barely);
            let (mut spool, _) = open(&mut torn, &mut chance).unwrap();
            tried += u32::from(spool.set_cursor(name(2), &[n; MAX_CURSOR]).is_err());
            drop(spool);
            torn.power_on();
            let (mut spool, _) = open(&mut torn, &mut chance).unwrap();
            // Shorter, this may still fit in the ledger that was full.
            spool.remove_and_set_cursor(name(2), u64::MAX - 1, b"").unwrap();
            spool.append(name(1), &key(name(1)), &[b"kept"]).unwrap();
            drop(spool);
            assert_eq!(torn.double_programs(), 0, "{n}");
            let (mut spool, _) = open(&mut flash, &mut chance).unwrap();
            spool.set_cursor(name(2), &[n; MAX_CURSOR]).unwrap();
        }
    }
    assert!(tried > 4, "{tried}");
}

/// Where the segment begins that a queue filled first, on a file of 512-byte blocks.
fn first_segment(flash: &SimFlash) -> usize {
    (0..4).map(|n| n * 4096).find(|at| flash.image()[*at + 1] == 0x13).expect("a queue's segment")
}

#[test]
fn what_an_earlier_filling_left_under_the_same_number_does_not_come_back() {
    let mut chance = Chance::seeded(29);
    let mut flash = SimFlash::new(file(512, 32), 1);
    let queue = name(1);
    let (mut spool, _) = open(&mut flash, &mut chance).unwrap();
    spool.append(queue, &key(queue), &[b"earlier"]).unwrap();
    spool.append(queue, &key(queue), &[b"left over"]).unwrap();
    drop(spool);
    // The one header with the highest number goes, as when another filling of it is torn.
    let at = first_segment(&flash);
    flash.image_mut()[at..at + 512].fill(0);
    let (mut spool, _) = open(&mut flash, &mut chance).unwrap();
    spool.append(queue, &key(queue), &[b"newly"]).unwrap();
    drop(spool);
    assert_eq!(first_segment(&flash), at, "the same place again");
    let (mut spool, _) = open(&mut flash, &mut chance).unwrap();
    assert_eq!(spool.read(queue, &key(queue), 0, 9, 99).unwrap(), vec![(0, b"newly".to_vec())]);
}

#[test]
fn a_torn_write_does_not_make_whole_what_an_earlier_one_left() {
    let shape = file(512, 32);
    for seed in 0..40 {
        let mut chance = Chance::seeded(37);
        let mut flash = SimFlash::new(shape, 1);
        open(&mut flash, &mut chance).unwrap().0.set_cursor(name(1), b"kept").unwrap();
        let mut other = flash.clone();
        open(&mut other, &mut chance).unwrap().0.set_cursor(name(1), b"torn").unwrap();
        // All of that commit but its first bit; the next one is cut behind its first byte.
        let mut image = other.image().to_vec();
        let new = (0..image.len()).find(|at| image[*at] != flash.image()[*at]).unwrap();
        image[new] ^= 1;
        let mut flash = SimFlash::from_image(shape, image, seed);
        let (spool, _) = open(&mut flash, &mut chance).unwrap();
        assert_eq!(spool.cursor(name(1)), Some(&b"kept"[..]));
        drop(spool);
        flash.cut_after(2 + seed % 4, Tear::Prefix);
        let (mut spool, _) = open(&mut flash, &mut chance).unwrap();
        let _ = spool.set_cursor(name(1), b"next");
        drop(spool);
        flash.power_off();
        flash.power_on();
        let (spool, _) = open(&mut flash, &mut chance).unwrap();
        assert_ne!(spool.cursor(name(1)), Some(&b"torn"[..]), "{seed}");
    }
}

#[test]
fn a_torn_unit_behind_a_damaged_one_counts_no_records() {
    let mut chance = Chance::seeded(31);
    let mut flash = SimFlash::new(file(512, 32), 1);
    let queue = name(1);
    let (mut spool, _) = open(&mut flash, &mut chance).unwrap();
    for record in [b"a", b"b", b"c"] {
        spool.append(queue, &key(queue), &[record]).unwrap();
    }
    spool.append(queue, &key(queue), &[b"torn", b"torn, too"]).unwrap();
    spool.remove(queue, 2).unwrap();
    drop(spool);
    let at = first_segment(&flash);
    flash.image_mut()[at + 512] ^= 1;
    flash.image_mut()[at + 3 * 512 + 40] ^= 1;
    let (spool, _) = open(&mut flash, &mut chance).unwrap();
    let stats = spool.stats(queue).unwrap();
    assert_eq!((stats.first_seq, stats.next_seq), (3, 3));
}

#[test]
fn a_damaged_ledger_is_never_passed_over_for_an_older_one() {
    for shape in [nor(4096, 4, 16), file(4096, 16)] {
        let mut chance = Chance::seeded(13);
        let mut flash = SimFlash::new(shape, 1);
        let queue = name(1);
        let (mut spool, _) = open(&mut flash, &mut chance).unwrap();
        spool.append(queue, &key(queue), &[&[7; 100], &[8; 100], &[9; 100]]).unwrap();
        // Through several ledgers, and on into the newest one.
        for n in 0..500u32 {
            spool.set_cursor(queue, &n.to_le_bytes()).unwrap();
        }
        spool.remove(queue, 1).unwrap();
        drop(spool);
        let damaged = (0..16).filter(|segment| {
            let mut image = flash.clone();
            image.image_mut()[segment * 4096 + 9] ^= 1;
            let (mut spool, opened) = open(&mut image, &mut chance).unwrap();
            if !opened.ledger_lost {
                assert_eq!(spool.cursor(queue), Some(&499u32.to_le_bytes()[..]));
            }
            let first = spool.stats(queue).unwrap().first_seq;
            spool.append(queue, &key(queue), &[b"goes on"]).unwrap();
            opened.ledger_lost && first == 0
        });
        assert_eq!(damaged.count(), 1, "{shape:?}");
    }
}

#[test]
fn any_image_opens_or_errs() {
    for seed in seeds(1500) {
        for shape in Spools::shapes() {
            open_any::<Spools>(&mut Chance::seeded(seed), shape)
                .unwrap_or_else(|broken| panic!("seed {seed} on {shape:?}: {broken}"));
        }
    }
    let mut chance = Chance::seeded(9);
    let mut random = SimFlash::from_image(nor(4096, 4, 12), chance.bytes(49152), 1);
    assert_eq!(open(&mut random, &mut chance).map(|_| ()), Err(OpenError::Garbage));
    assert_eq!(
        open(&mut SimFlash::new(nor(4096, 4, 3), 1), &mut chance).map(|_| ()),
        Err(OpenError::TooSmall)
    );
}

#[test]
fn a_failing_medium_gives_typed_errors_and_loses_nothing() {
    for call in [Call::Read, Call::Program, Call::Erase, Call::Sync] {
        for seed in seeds(60) {
            let mut chance = Chance::seeded(seed);
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

#[test]
fn a_record_outlives_a_failed_drop_of_its_queue_that_landed() {
    for shape in [nor(4096, 4, 8), file(512, 64)] {
        let mut chance = Chance::seeded(53);
        let mut flash = SimFlash::new(shape, 1);
        let queue = name(1);
        open(&mut flash, &mut chance).unwrap().0.append(queue, &key(queue), &[b"a"]).unwrap();
        flash.fail(Call::Sync, FlashErrorKind::Io, 1, false);
        let (mut spool, _) = open(&mut flash, &mut chance).unwrap();
        assert!(spool.drop_queue(queue).is_err());
        spool.append(queue, &key(queue), &[b"b"]).unwrap();
        drop(spool);
        let (mut spool, _) = open(&mut flash, &mut chance).unwrap();
        let read = spool.read(queue, &key(queue), 0, 9, 99).unwrap();
        assert_eq!(read, vec![(0, b"a".to_vec()), (1, b"b".to_vec())], "{shape:?}");
    }
}
