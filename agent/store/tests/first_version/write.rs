//! Wrote the files in this folder, with the first version. A file that is there stays as it
//! is: what a later build writes shows nothing about the first.

use std::fs;
use std::io::Write as _;

use signpost_hal::flash::Geometry;
use signpost_hal::flash::sim::Tear;
use signpost_store::{OuterKeys, QueueKey, QueueName, Spool, TokenStore};

use super::folder;
use super::text::{Face, Fixture};
use crate::support::{Chance, file, nor};
use crate::{Shared, blank, holding, image, key, queues, values};

type Tokens = TokenStore<Shared>;

#[test]
#[ignore = "only to make files that are not there"]
fn write_what_is_missing() {
    let board: &[u8] = b"board 7";
    tokens("tokens_fresh", "a store that was only begun", nor(512, 4, 6), b"", |_, _| ());
    for (name, shape) in [("tokens_rounds", nor(512, 4, 6)), ("tokens_rounds_file", file(512, 8))] {
        tokens(name, "the ring went round many times; a key removed", shape, b"", |store, _| {
            commits(store, 200);
            store.remove(2).unwrap();
        });
    }
    tokens("tokens_scrubbed", "after a scrub", nor(256, 16, 12), b"", |store, _| {
        commits(store, 50);
        store.scrub().unwrap();
    });
    tokens("tokens_wiped", "after a wipe, then two keys", file(256, 10), b"", |store, _| {
        commits(store, 40);
        store.wipe().unwrap();
        store.put(7, b"after the wipe").unwrap();
        store.put(253, b"").unwrap();
    });
    tokens("tokens_bound", "bound to a device", nor(512, 4, 5), board, |store, _| {
        commits(store, 30);
    });
    for (name, shape, tear) in [
        ("tokens_torn", nor(512, 4, 6), Tear::RandomBits),
        ("tokens_torn_file", file(512, 8), Tear::Prefix),
    ] {
        tokens(name, "the power went in the middle of a commit", shape, b"", |store, flash| {
            commits(store, 60);
            flash.borrow_mut().cut_after(90, tear);
            store.put(1, b"never acknowledged").unwrap_err();
        });
    }
    second_key();
    spools();
}

fn commits(store: &mut Tokens, count: u32) {
    for n in 0..count {
        let key = n % 4;
        let text = format!("commit {n} puts this under key {key}");
        store.put(key as u8, text.as_bytes()).unwrap();
    }
}

fn tokens(
    name: &str,
    title: &str,
    shape: Geometry,
    device: &[u8],
    fill: impl FnOnce(&mut Tokens, &Shared),
) {
    let mut chance = Chance(name.len() as u64);
    let flash = blank(shape, 1);
    let keys = || super::outer(&[[7; 32]], device);
    let (mut store, _) = TokenStore::open(flash.clone(), &keys(), chance.entropy()).unwrap();
    fill(&mut store, &flash);
    drop(store);
    flash.borrow_mut().power_off();
    let image = image(&flash);
    let copy = holding(shape, image.clone());
    let (mut store, _) = TokenStore::open(copy, &keys(), chance.entropy()).unwrap();
    let values = values(&mut store);
    let face = Face::Tokens { keys: vec![[7; 32]], device: device.to_vec(), values };
    keep(name, title, shape, face, image);
}

fn second_key() {
    let (mut chance, shape) = (Chance(9), nor(512, 4, 6));
    let flash = blank(shape, 1);
    let first = OuterKeys::new([7; 32]);
    let (mut store, _) = TokenStore::open(flash.clone(), &first, chance.entropy()).unwrap();
    commits(&mut store, 25);
    drop(store);
    let both = OuterKeys::new([8; 32]).or([7; 32]);
    let (mut store, opened) = TokenStore::open(flash.clone(), &both, chance.entropy()).unwrap();
    assert!(opened.rewrapped);
    let keys = vec![[8; 32], [7; 32]];
    let face = Face::Tokens { keys, device: Vec::new(), values: values(&mut store) };
    let title = "wrapped by 8 after 7 was changed for it";
    keep("tokens_second_key", title, shape, face, image(&flash));
}

fn spools() {
    spool("spool_fresh", "a spool that was only begun", nor(4096, 4, 4), |_, _| ());
    let queue = |n: u8| (QueueName([n; 20]), QueueKey::from_bytes([n; 32]));
    let line = |n: u32| format!("record {n}").into_bytes();
    for (name, shape) in [("spool_queues", nor(4096, 4, 6)), ("spool_queues_file", file(512, 48))] {
        let title = "queues, cursors, one dropped, batches, a record over segments";
        spool(name, title, shape, |spool, _| {
            let [(one, key_one), (two, key_two), (three, key_three)] = [1, 2, 3].map(queue);
            for n in 0..400 {
                spool.append(one, &key_one, &[&line(n), b"", &line(n)]).unwrap();
                spool.remove(one, u64::from(n) * 3).unwrap();
            }
            spool.append(three, &key_three, &[b"of a queue that is dropped"]).unwrap();
            spool.drop_queue(three).unwrap();
            spool.append(two, &key_two, &[b"single"]).unwrap();
            spool.append(two, &key_two, &[&[b'x'; 4000]]).unwrap();
            spool.append(two, &key_two, &[b"after it", b"and"]).unwrap();
            spool.remove_and_set_cursor(two, 0, b"cursor of two").unwrap();
            spool.set_cursor(QueueName([4; 20]), b"a cursor and no record").unwrap();
        });
    }
    for (name, shape, fuel) in
        [("spool_torn", nor(4096, 4, 4), 150), ("spool_torn_file", file(512, 40), 600)]
    {
        spool(name, "the power went in the middle of an append", shape, |spool, flash| {
            let (one, key) = queue(1);
            for n in 0..12 {
                spool.append(one, &key, &[&line(n)]).unwrap();
            }
            spool.remove(one, 3).unwrap();
            flash.borrow_mut().cut_after(fuel, Tear::Any);
            let records: [&[u8]; 2] = [&[b'y'; 900], b"never acknowledged"];
            spool.append(one, &key, &records).unwrap_err();
        });
    }
}

fn spool(name: &str, title: &str, shape: Geometry, fill: impl FnOnce(&mut Spool<Shared>, &Shared)) {
    let mut chance = Chance(name.len() as u64);
    let flash = blank(shape, 1);
    let (mut spool, _) = Spool::open(flash.clone(), chance.entropy()).unwrap();
    fill(&mut spool, &flash);
    drop(spool);
    flash.borrow_mut().power_off();
    let image = image(&flash);
    let copy = holding(shape, image.clone());
    let (mut spool, _) = Spool::open(copy, chance.entropy()).unwrap();
    let queues = queues(&mut spool);
    assert!(queues.keys().all(|name| key(name) == [name[0]; 32]));
    keep(name, title, shape, Face::Spool { queues }, image);
}

fn keep(name: &str, title: &str, geometry: Geometry, face: Face, image: Vec<u8>) {
    let path = folder().join(name).with_extension("txt");
    let fixture = Fixture { title: title.to_owned(), geometry, face, image };
    if let Ok(mut file) = fs::File::create_new(path) {
        file.write_all(fixture.text().as_bytes()).unwrap();
    }
}
