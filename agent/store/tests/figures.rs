//! What the stores cost on flash: ceilings, so that a change that costs more is noticed.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod support;

use signpost_hal::flash::Flash;
use signpost_hal::flash::sim::SimFlash;
use signpost_store::{OuterKeys, QueueKey, QueueName, Spool, TokenStore};
use support::{Chance, file, nor};

/// Most over mean erases per unit.
fn unevenness(flash: &SimFlash) -> f64 {
    let most = f64::from(flash.erases().iter().copied().max().unwrap_or(0));
    let all: u32 = flash.erases().iter().sum();
    most * flash.erases().len() as f64 / f64::from(all)
}

#[test]
fn tokens_on_nor() {
    let mut chance = Chance(1);
    let mut flash = SimFlash::new(nor(4096, 4, 16), 1);
    let outer = OuterKeys::new([1; 32]);
    let (mut store, _) = TokenStore::open(&mut flash, &outer, chance.entropy()).unwrap();
    let updates = 10_000;
    for _ in 0..updates {
        store.put(chance.below(3) as u8, &chance.bytes(1500)).unwrap();
    }
    drop(store);
    let given = f64::from(updates) * 1500.0;
    let logged = f64::from(updates) * 1540.0;
    let before = flash.counters();
    let programmed = before.programmed as f64;
    println!(
        "programmed per byte logged {:.4}, given {:.4}",
        programmed / logged,
        programmed / given
    );
    println!("erases over floor {:.4}", before.erases as f64 * 4096.0 / logged);
    println!("most over mean erases {:.4}", unevenness(&flash));
    assert!(programmed / given <= 1.06);
    assert!(programmed / logged <= 1.024);
    assert!(before.erases as f64 * 4096.0 / logged <= 1.027);
    assert!(unevenness(&flash) <= 1.02);
    let (store, _) = TokenStore::open(&mut flash, &outer, chance.entropy()).unwrap();
    drop(store);
    let read = flash.counters().read - before.read;
    println!("bytes read at mount {read}");
    assert!(read <= 16 << 10);
}

#[test]
fn spool_on_nor() {
    for (batch, most) in [(1, 1.45), (100, 1.03)] {
        let mut chance = Chance(1);
        let mut flash = SimFlash::new(nor(4096, 4, 256), 1);
        let (mut spool, _) = Spool::open(&mut flash, chance.entropy()).unwrap();
        let (queue, key) = (QueueName([1; 20]), QueueKey::from_bytes([2; 32]));
        let records = 100_000u64;
        let mut last = 0;
        for n in 0..records / batch {
            let record = chance.bytes(120);
            let batch: Vec<&[u8]> = (0..batch).map(|_| record.as_slice()).collect();
            let next = spool.append(queue, &key, &batch).unwrap().end;
            if next >= last + 100 {
                spool.remove(queue, next - 1).unwrap();
                last = next;
            }
            assert!(n < records);
        }
        drop(spool);
        let given = records as f64 * 120.0;
        let logged = records as f64 * (120.0 + 40.0 / batch as f64);
        let before = flash.counters();
        let programmed = before.programmed as f64;
        println!(
            "batch {batch}: programmed per byte logged {:.4}, given {:.4}",
            programmed / logged,
            programmed / given
        );
        println!("erases over floor {:.4}", before.erases as f64 * 4096.0 / logged);
        println!("most over mean erases {:.4}", unevenness(&flash));
        assert!(unevenness(&flash) <= 1.05);
        assert!(programmed / given <= most);
        assert!(programmed / logged <= 1.08);
        let (spool, _) = Spool::open(&mut flash, chance.entropy()).unwrap();
        drop(spool);
        let read = flash.counters().read - before.read;
        println!("bytes read at mount {read}");
        assert!(read <= 32 << 10);
    }
}

#[test]
fn blocks_of_a_file() {
    let mut chance = Chance(1);
    let mut flash = SimFlash::new(file(4096, 16), 1);
    let outer = OuterKeys::new([1; 32]);
    let (mut store, _) = TokenStore::open(&mut flash, &outer, chance.entropy()).unwrap();
    let updates = 1000;
    for _ in 0..updates {
        store.put(chance.below(3) as u8, &chance.bytes(1500)).unwrap();
    }
    drop(store);
    let blocks = flash.counters().programmed as f64 / 4096.0 / f64::from(updates);
    println!("tokens: blocks an update {blocks:.3}");
    for (batch, most) in [(1u64, 1.1), (100, 0.06)] {
        let mut flash = SimFlash::new(file(4096, 256), 1);
        let (mut spool, _) = Spool::open(&mut flash, chance.entropy()).unwrap();
        let (queue, key) = (QueueName([1; 20]), QueueKey::from_bytes([2; 32]));
        let mut next = 0;
        while next < 10_000 {
            let record = chance.bytes(120);
            let batch: Vec<&[u8]> = (0..batch).map(|_| record.as_slice()).collect();
            next = spool.append(queue, &key, &batch).unwrap().end;
            if next % 100 == 0 {
                spool.remove(queue, next - 1).unwrap();
            }
        }
        assert_eq!(spool.stats(queue).unwrap().records, 0);
        drop(spool);
        assert_eq!(flash.geometry().size(), 1 << 20);
        let blocks = flash.counters().programmed as f64 / 4096.0 / next as f64;
        println!("spool, batches of {batch}: blocks a record {blocks:.3}");
        assert!(blocks <= most);
    }
}
