//! Both stores, driven at random, as a second reader sees them on their media.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

mod first_version;
mod second_reader;
mod support;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use second_reader::{Queue, Shape};
use signpost_hal::flash::Geometry;
use signpost_hal::flash::sim::SimFlash;
use signpost_store::{
    MAX_CURSOR, OpenError, OuterKeys, QueueKey, QueueName, Spool, StoreError, TokenStore,
};
use support::{Chance, file, nor, seeds};

/// A medium whose image can be looked at while a store has it.
type Shared = Rc<RefCell<SimFlash>>;

fn blank(shape: Geometry, seed: u64) -> Shared {
    Rc::new(RefCell::new(SimFlash::new(shape, seed)))
}

fn holding(shape: Geometry, image: Vec<u8>) -> Shared {
    Rc::new(RefCell::new(SimFlash::from_image(shape, image, 1)))
}

fn image(flash: &Shared) -> Vec<u8> {
    flash.borrow().image().to_vec()
}

fn seen(shape: Geometry) -> Shape {
    Shape { erase_unit: shape.erase_unit() as usize, program_unit: shape.program_unit() as usize }
}

fn values(store: &mut TokenStore<Shared>) -> BTreeMap<u8, Vec<u8>> {
    let keys: Vec<u8> = store.keys().collect();
    keys.into_iter().map(|key| (key, store.get(key).unwrap().unwrap().to_vec())).collect()
}

/// One change of the token store; `longest` bytes a value.
fn change(
    store: &mut TokenStore<Shared>,
    chance: &mut Chance,
    longest: u64,
) -> Result<(), StoreError> {
    let key = [0, 7, 253][chance.below(3) as usize];
    match chance.below(24) {
        0 => store.scrub(),
        1 if chance.below(3) == 0 => store.wipe(),
        2..=4 => store.remove(key),
        _ => {
            let len = chance.below(longest + 1) as usize;
            store.put(key, &chance.bytes(len))
        }
    }
}

#[test]
fn the_header_tells_how_to_read_tokens() {
    let shapes = [
        nor(512, 4, 6),
        nor(256, 4, 12),
        nor(1024, 16, 5),
        nor(4096, 256, 4),
        nor(192, 4, 20),
        file(64, 64),
        file(512, 8),
        file(4096, 16),
    ];
    for seed in seeds(4) {
        for shape in shapes {
            let mut chance = Chance(seed);
            let flash = blank(shape, seed);
            let device: &[u8] = if seed % 2 == 0 { b"" } else { b"board 7" };
            let keys = OuterKeys::new([7; 32]).bound_to(device);
            let look = |flash: &Shared, outer: u8| {
                second_reader::tokens(&image(flash), seen(shape), &[[outer; 32]], device)
            };
            for round in 0..60 {
                flash.borrow_mut().power_on();
                let (mut store, _) =
                    TokenStore::open(flash.clone(), &keys, chance.entropy()).unwrap();
                let look_same = |store: &mut TokenStore<Shared>| {
                    let seen = look(&flash, 7);
                    assert!(seen.is_ok(), "{seen:?} {shape:?} {seed} {round}");
                    assert!(seen == Ok(values(store)), "{shape:?} {seed} {round}");
                };
                look_same(&mut store);
                assert!(look(&flash, 8).is_err());
                if round % 3 == 1 {
                    flash.borrow_mut().cut_after(chance.below(6000), chance.tear());
                }
                for _ in 0..chance.below(30) {
                    let longest = u64::from(shape.size() / 16);
                    if let Err(error) = change(&mut store, &mut chance, longest) {
                        assert!(matches!(error, StoreError::Flash(_)), "{error:?}");
                    }
                    if flash.borrow().is_off() {
                        break;
                    }
                    look_same(&mut store);
                }
                flash.borrow_mut().power_off();
            }
            assert_eq!(flash.borrow().double_programs(), 0);
        }
    }
}

fn key(name: &[u8; 20]) -> [u8; 32] {
    [name[0]; 32]
}

fn queues(spool: &mut Spool<Shared>) -> BTreeMap<[u8; 20], Queue> {
    let names: Vec<QueueName> = spool.queues().collect();
    let read = |name: QueueName| {
        let first = spool.stats(name).unwrap().first_seq;
        let cursor = spool.cursor(name).unwrap().to_vec();
        let mut records = Vec::new();
        loop {
            let next = first + records.len() as u64;
            let key = QueueKey::from_bytes(key(&name.0));
            let some = spool.read(name, &key, next, 50, 9000).unwrap();
            if some.is_empty() {
                return (name.0, Queue { first, records, cursor });
            }
            records.extend(some.into_iter().map(|(_, record)| record));
        }
    };
    names.into_iter().map(read).collect()
}

/// One change of the spool; `false` if it had a reason to refuse.
fn change_queue(spool: &mut Spool<Shared>, chance: &mut Chance) -> bool {
    let name = QueueName([1 + chance.below(4) as u8; 20]);
    let (first, waiting) = spool.stats(name).map_or((0, 0), |s| (s.first_seq, s.records));
    let up_to = first + chance.below(waiting + 1);
    let done = match chance.below(40) {
        0 => spool.drop_queue(name),
        1 => spool.drop_oldest_segment(name).map(drop),
        2 if chance.below(4) == 0 => spool.wipe(),
        2..=4 => {
            let len = chance.below(MAX_CURSOR as u64 + 1) as usize;
            spool.set_cursor(name, &chance.bytes(len))
        }
        5 | 6 => {
            let len = chance.below(MAX_CURSOR as u64 + 1) as usize;
            spool.remove_and_set_cursor(name, up_to, &chance.bytes(len))
        }
        7..=15 => spool.remove(name, up_to),
        _ => {
            let longest = if chance.below(12) == 0 { spool.max_record() as u64 } else { 500 };
            let count = 1 + chance.below(4) * chance.below(5);
            let records: Vec<Vec<u8>> = (0..count)
                .map(|_| {
                    let len = chance.below(longest + 1) as usize;
                    chance.bytes(len)
                })
                .collect();
            let records: Vec<&[u8]> = records.iter().map(Vec::as_slice).collect();
            spool.append(name, &QueueKey::from_bytes(key(&name.0)), &records).map(drop)
        }
    };
    match done {
        Ok(()) => true,
        Err(StoreError::NoQueue | StoreError::Full | StoreError::Flash(_)) => false,
        Err(error) => panic!("{error:?}"),
    }
}

#[test]
fn the_header_tells_how_to_read_a_spool() {
    let shapes = [
        nor(4096, 4, 10),
        nor(1024, 16, 40),
        nor(8192, 256, 8),
        nor(12288, 4, 6),
        file(4096, 16),
        file(512, 80),
        file(512, 1200),
    ];
    for seed in seeds(2) {
        for shape in shapes {
            let mut chance = Chance(seed);
            let flash = blank(shape, seed);
            let mut done = 0;
            for round in 0..25 {
                flash.borrow_mut().power_on();
                let (mut spool, opened) = Spool::open(flash.clone(), chance.entropy()).unwrap();
                assert!(!opened.ledger_lost);
                let look = |spool: &mut Spool<Shared>| {
                    let seen = second_reader::spool(&image(&flash), seen(shape), key);
                    assert!(seen.is_ok(), "{seen:?} {shape:?} {seed} {round}");
                    assert!(seen == Ok(queues(spool)), "{shape:?} {seed} {round}");
                };
                look(&mut spool);
                if round % 3 == 1 {
                    flash.borrow_mut().cut_after(chance.below(20_000), chance.tear());
                }
                for _ in 0..chance.below(40) {
                    done += u32::from(change_queue(&mut spool, &mut chance));
                    if flash.borrow().is_off() {
                        break;
                    }
                    look(&mut spool);
                }
                flash.borrow_mut().power_off();
            }
            assert!(done > 20, "{done}");
            assert_eq!(flash.borrow().double_programs(), 0);
        }
    }
}

/// A drained queue's segment may be taken for the ledger, also by the queue's own change.
#[test]
fn a_cursor_of_a_drained_queue_costs_no_record_that_comes_later() {
    for shape in [nor(4096, 4, 10), file(512, 80)] {
        let mut chance = Chance(1);
        let flash = blank(shape, 1);
        let (mut spool, _) = Spool::open(flash.clone(), chance.entropy()).unwrap();
        let [one, two] = [1, 2].map(|n| QueueName([n; 20]));
        let put = |spool: &mut Spool<Shared>, name: QueueName, len: usize| {
            let key = QueueKey::from_bytes(key(&name.0));
            spool.append(name, &key, &[&vec![7; len]])
        };
        put(&mut spool, one, 100).unwrap();
        spool.remove(one, 0).unwrap();
        while put(&mut spool, two, 1000).is_ok() {}
        for n in 0..200_u8 {
            spool.set_cursor(one, &[n]).unwrap();
        }
        spool.remove(two, 9).unwrap();
        assert_eq!(put(&mut spool, one, 100), Ok(1..2));
        drop(spool);
        let (mut spool, _) = Spool::open(flash.clone(), chance.entropy()).unwrap();
        assert_eq!(queues(&mut spool)[&one.0].records, [vec![7; 100]]);
        assert_eq!(flash.borrow().double_programs(), 0);
    }
}

#[test]
fn a_store_of_another_version_says_so() {
    let shape = nor(4096, 4, 8);
    let mut chance = Chance(1);
    let [tokens, spool] = [(); 2].map(|()| blank(shape, 1));
    let keys = OuterKeys::new([7; 32]);
    drop(TokenStore::open(tokens.clone(), &keys, chance.entropy()).unwrap());
    drop(Spool::open(spool.clone(), chance.entropy()).unwrap());
    for flash in [&tokens, &spool] {
        let mut flash = flash.borrow_mut();
        let header = &mut flash.image_mut()[..24];
        header[1] = header[1] & 0x0F | 2 << 4;
        let sum = second_reader::crc(&[&header[..20]]);
        header[20..].copy_from_slice(&sum.to_le_bytes());
    }
    let error = TokenStore::open(tokens.clone(), &keys, chance.entropy()).map(drop).unwrap_err();
    assert_eq!(error, OpenError::OtherVersion);
    assert!(second_reader::tokens(&image(&tokens), seen(shape), &[[7; 32]], b"").is_err());
    let error = Spool::open(spool.clone(), chance.entropy()).map(drop).unwrap_err();
    assert_eq!(error, OpenError::OtherVersion);
    assert!(second_reader::spool(&image(&spool), seen(shape), key).is_err());
}
