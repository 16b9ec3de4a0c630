//! What the first version wrote, kept as text: later builds open it, find what it held and go
//! on, and the [second reader](crate::second_reader), which stands for the build that wrote
//! it, reads what they then write.

mod text;
mod write;

use std::fs;
use std::path::PathBuf;

use signpost_store::{OuterKeys, Spool, TokenStore};

use crate::second_reader;
use crate::support::Chance;
use crate::{change, change_queue, holding, image, key, queues, seen, values};
use text::{Face, Fixture};

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/first_version")
}

fn fixtures() -> Vec<Fixture> {
    let mut paths: Vec<PathBuf> = fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "txt"))
        .collect();
    paths.sort();
    paths.iter().map(|path| Fixture::parse(&fs::read_to_string(path).unwrap())).collect()
}

fn outer(keys: &[[u8; 32]], device: &[u8]) -> OuterKeys {
    let first = OuterKeys::new(keys[0]);
    let all = keys[1..].iter().fold(first, |all, key| all.or(*key));
    if device.is_empty() { all } else { all.bound_to(device) }
}

#[test]
fn this_build_opens_what_the_first_version_wrote_and_goes_on() {
    let mut count = 0;
    for fixture in fixtures() {
        let Face::Tokens { keys, device, values: expected } = &fixture.face else { continue };
        let title = &fixture.title;
        let mut chance = Chance(count);
        count += 1;
        let flash = holding(fixture.geometry, fixture.image.clone());
        let (mut store, opened) =
            TokenStore::open(flash.clone(), &outer(keys, device), chance.entropy()).unwrap();
        assert_eq!((opened.fresh, opened.lost, opened.damaged.len()), (false, 0, 0), "{title}");
        assert_eq!(&values(&mut store), expected, "{title}");
        for round in 0..60 {
            if round % 20 == 19 {
                drop(store);
                let keys = outer(&keys[..1], device);
                (store, _) = TokenStore::open(flash.clone(), &keys, chance.entropy()).unwrap();
            }
            change(&mut store, &mut chance, 80).unwrap();
            let older =
                second_reader::tokens(&image(&flash), seen(fixture.geometry), &keys[..1], device);
            assert_eq!(older, Ok(values(&mut store)), "{title} {round}");
        }
        assert_eq!(flash.borrow().double_programs(), 0);
    }
    assert!(count >= 8, "{count}");
}

#[test]
fn this_build_opens_the_spools_of_the_first_version_and_goes_on() {
    let mut count = 0;
    for fixture in fixtures() {
        let Face::Spool { queues: expected } = &fixture.face else { continue };
        let title = &fixture.title;
        let mut chance = Chance(count);
        count += 1;
        let flash = holding(fixture.geometry, fixture.image.clone());
        let (mut spool, opened) = Spool::open(flash.clone(), chance.entropy()).unwrap();
        assert!(!opened.fresh && !opened.ledger_lost, "{title}");
        assert_eq!(&queues(&mut spool), expected, "{title}");
        for round in 0..60 {
            if round % 20 == 19 {
                drop(spool);
                (spool, _) = Spool::open(flash.clone(), chance.entropy()).unwrap();
            }
            change_queue(&mut spool, &mut chance);
            let older = second_reader::spool(&image(&flash), seen(fixture.geometry), key);
            assert!(older.is_ok(), "{title} {round}: {older:?}");
            assert!(older == Ok(queues(&mut spool)), "{title} {round}");
        }
        assert_eq!(flash.borrow().double_programs(), 0);
    }
    assert!(count >= 4, "{count}");
}

#[test]
fn the_first_version_reads_what_it_wrote() {
    for fixture in fixtures() {
        let shape = seen(fixture.geometry);
        match &fixture.face {
            Face::Tokens { keys, device, values } => {
                // A store opened with a list of keys is wrapped by the first from then on.
                let found = second_reader::tokens(&fixture.image, shape, keys, device);
                assert_eq!(found.as_ref(), Ok(values), "{}", fixture.title);
            }
            Face::Spool { queues } => {
                let found = second_reader::spool(&fixture.image, shape, key);
                assert_eq!(found.as_ref(), Ok(queues), "{}", fixture.title);
            }
        }
    }
}
