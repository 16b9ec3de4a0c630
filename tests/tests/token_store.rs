//! The token store against a model, under cuts, failures and damage.

#![allow(clippy::unwrap_used, clippy::panic, reason = "what is not as expected is a failed test")]

use signpost_hal::flash::sim::{Call, SimFlash};
use signpost_hal::flash::{Flash, FlashErrorKind};
use signpost_store::{OpenError, Opened, OuterKeys, StoreError, TokenStore};
use signpost_tests::flash::chance::Chance;
use signpost_tests::flash::cuts::{Plan, every_byte, live};
use signpost_tests::flash::images::open_any;
use signpost_tests::flash::tokens::{Model, Step, Tokens, longest, open, outer};
use signpost_tests::flash::{Face, file, nor, seeds};

fn contents(store: &mut TokenStore<&mut SimFlash>) -> Model {
    Tokens::contents(store).unwrap()
}

#[test]
fn every_value_reads_back_over_many_rounds_of_the_ring() {
    for (n, shape) in Tokens::shapes().into_iter().enumerate() {
        let mut chance = Chance::seeded(n as u64);
        let mut flash = SimFlash::new(shape, 1);
        let mut model = Model::new();
        let (mut store, opened) = open(&mut flash, &mut chance).unwrap();
        assert!(opened.fresh);
        for _ in 0..600 {
            if chance.below(20) == 0 {
                drop(store);
                let (again, opened) = open(&mut flash, &mut chance).unwrap();
                assert_eq!(opened, Opened::default());
                store = again;
            }
            let step = Tokens::step(&mut chance, &model, shape);
            let ran = Tokens::run(&step, &mut store, &mut model);
            assert_eq!(ran, Ok(true), "{step:?} on {shape:?}");
            assert_eq!(contents(&mut store), model);
        }
        drop(store);
        assert_eq!(flash.double_programs(), 0);
    }
}

#[test]
fn invariant_3_a_cut_at_every_byte_leaves_the_old_value_or_the_new() {
    for (n, shape) in [nor(256, 4, 8), nor(512, 16, 6), file(512, 6)].into_iter().enumerate() {
        let mut chance = Chance::seeded(n as u64);
        let mut flash = SimFlash::new(shape, 1);
        let mut model = Model::new();
        drop(open(&mut flash, &mut chance).unwrap());
        for round in 0..20 {
            let len = chance.below(longest(shape)) as usize;
            let key = chance.below(3) as u8;
            let step = match round % 10 {
                7 => Step::Remove(key),
                8 => Step::Scrub,
                9 => Step::Wipe,
                _ => Step::Put(key, chance.bytes(len)),
            };
            every_byte::<Tokens>(&flash, &model, &step, 1, &mut chance);
            let (mut store, _) = open(&mut flash, &mut chance).unwrap();
            Tokens::run(&step, &mut store, &mut model).unwrap();
        }
    }
}

#[test]
fn invariant_3_chains_of_cuts_never_end_full_or_shut() {
    for seed in seeds(4) {
        for shape in Tokens::shapes() {
            let plan = Plan { turns: 30, forks: 4 };
            live::<Tokens>(&mut Chance::seeded(seed), shape, plan)
                .unwrap_or_else(|broken| panic!("seed {seed}: {broken}"));
        }
    }
}

#[test]
fn a_superseded_value_leaves_nor_after_sixteen_commits() {
    for len in [8, 100, 1500] {
        let mut chance = Chance::seeded(3);
        let mut flash = SimFlash::new(nor(4096, 4, 16), 1);
        let (mut store, _) = open(&mut flash, &mut chance).unwrap();
        store.put(9, b"seldom changed").unwrap();
        let (mut before, mut sealed) = (Vec::new(), Vec::new());
        for n in 0..60 {
            store.put(1, &chance.bytes(len)).unwrap();
            store.put(2, &chance.bytes(len)).unwrap();
            drop(store);
            let image = flash.image().to_vec();
            if n == 20 {
                // The bytes that this commit alone has brought: among them its sealed value.
                let place = (0..image.len()).find(|&i| image[i] != before[i] && before[i] == 0xFF);
                let place = place.unwrap() + 16;
                sealed = image[place..place + 16].to_vec();
            }
            if n == 29 {
                assert!(!image.windows(16).any(|w| w == sealed), "{len} bytes");
            }
            before = image;
            store = open(&mut flash, &mut chance).unwrap().0;
        }
        assert_eq!(store.get(9).unwrap().unwrap().as_slice(), b"seldom changed");
    }
}

#[test]
fn scrub_and_wipe_leave_nothing_that_was_superseded() {
    for shape in [nor(4096, 4, 16), file(4096, 16)] {
        let mut chance = Chance::seeded(4);
        let mut flash = SimFlash::new(shape, 1);
        let (mut store, _) = open(&mut flash, &mut chance).unwrap();
        store.put(1, &[1; 900]).unwrap();
        drop(store);
        let old: Vec<Vec<u8>> = flash
            .image()
            .chunks(64)
            .filter(|c| c.iter().any(|&b| b != 0xFF && b != 0))
            .map(<[u8]>::to_vec)
            .collect();
        let (mut store, _) = open(&mut flash, &mut chance).unwrap();
        store.put(1, &[2; 900]).unwrap();
        assert!(store.needs_scrub());
        store.scrub().unwrap();
        assert!(!store.needs_scrub());
        assert_eq!(store.get(1).unwrap().unwrap()[..], [2; 900]);
        drop(store);
        assert!(flash.image().chunks(64).all(|c| !old.contains(&c.to_vec())));
        let (mut store, _) = open(&mut flash, &mut chance).unwrap();
        store.wipe().unwrap();
        assert_eq!(store.keys().count(), 0);
        store.put(2, b"after").unwrap();
        drop(store);
        let (mut store, _) = open(&mut flash, &mut chance).unwrap();
        assert_eq!(contents(&mut store), Model::from([(2, b"after".to_vec())]));
    }
}

#[test]
fn an_unchanged_value_is_not_written() {
    let mut chance = Chance::seeded(5);
    let mut flash = SimFlash::new(nor(4096, 4, 16), 1);
    let (mut store, _) = open(&mut flash, &mut chance).unwrap();
    store.put(1, b"same").unwrap();
    store.remove(2).unwrap();
    drop(store);
    let before = flash.counters().programmed;
    let (mut store, _) = open(&mut flash, &mut chance).unwrap();
    store.put(1, b"same").unwrap();
    store.remove(2).unwrap();
    drop(store);
    assert_eq!(flash.counters().programmed, before);
}

#[test]
fn a_full_store_says_so_and_keeps_what_it_has() {
    for shape in Tokens::shapes() {
        let mut chance = Chance::seeded(6);
        let mut flash = SimFlash::new(shape, 1);
        let (mut store, _) = open(&mut flash, &mut chance).unwrap();
        let mut model = Model::new();
        let mut full = 0;
        for round in 0..200 {
            let key = (round % 60) as u8;
            let value = chance.bytes(longest(shape) as usize / 2);
            match store.put(key, &value) {
                Ok(()) => drop(model.insert(key, value)),
                Err(StoreError::Full) => full += 1,
                Err(error) => panic!("{error:?}"),
            }
        }
        assert!(full > 0 && model.len() > 2, "{shape:?}: {full} full, {} kept", model.len());
        assert_eq!(store.put(0, &chance.bytes(shape.size() as usize)), Err(StoreError::Full));
        assert_eq!(contents(&mut store), model);
        for key in model.keys() {
            store.remove(*key).unwrap();
        }
        // One value as large as all before fits at once.
        let large = chance.bytes(model.values().map(Vec::len).sum());
        store.put(3, &large).unwrap();
        assert_eq!(store.get(3).unwrap().unwrap()[..], large);
        drop(store);
        assert_eq!(flash.double_programs(), 0);
    }
}

#[test]
fn another_key_or_device_is_foreign_and_a_second_key_opens_once_more() {
    let mut chance = Chance::seeded(7);
    let mut flash = SimFlash::new(nor(4096, 4, 8), 1);
    let (mut store, _) = open(&mut flash, &mut chance).unwrap();
    store.put(1, b"token").unwrap();
    drop(store);
    let mut try_open = |keys: OuterKeys| {
        let entropy = chance.entropy();
        let (mut store, opened) = TokenStore::open(&mut flash, &keys, entropy)?;
        assert_eq!(store.get(1).unwrap().unwrap()[..], *b"token");
        Ok::<_, OpenError>(opened)
    };
    assert_eq!(try_open(OuterKeys::new([8; 32])), Err(OpenError::Foreign));
    assert_eq!(try_open(outer().bound_to(b"other device")), Err(OpenError::Foreign));
    assert!(OpenError::Foreign.is_set_aside());
    assert!(try_open(OuterKeys::new([8; 32]).or([7; 32])).unwrap().rewrapped);
    assert!(!try_open(OuterKeys::new([8; 32])).unwrap().rewrapped);
    assert_eq!(try_open(outer()), Err(OpenError::Foreign));
}

#[test]
fn damage_costs_its_own_segment_and_is_reported() {
    for seed in seeds(300) {
        let mut chance = Chance::seeded(seed);
        let mut flash = SimFlash::new(nor(1024, 4, 12), seed);
        let (mut store, _) = open(&mut flash, &mut chance).unwrap();
        let mut model = Model::new();
        let mut before_last = Model::new();
        for _ in 0..30 {
            before_last = model.clone();
            let step = Step::Put(chance.below(4) as u8, chance.bytes(300));
            Tokens::run(&step, &mut store, &mut model).unwrap();
        }
        drop(store);
        let at = chance.below(u64::from(flash.geometry().size())) as usize;
        let before = flash.image()[at];
        flash.image_mut()[at] ^= 1 << chance.below(8);
        assert_ne!(before, flash.image()[at]);
        let (mut store, opened) = open(&mut flash, &mut chance).unwrap();
        let sound = opened.lost == 0 && opened.damaged.is_empty();
        for (key, value) in &model {
            match store.get(*key) {
                Ok(Some(found)) if found[..] == **value => {}
                // A damaged last commit looks like one that a cut tore.
                Ok(found) if found.as_deref() == before_last.get(key) => {}
                Ok(_) => {
                    assert!(!sound, "seed {seed}: {key} changed unnoticed, byte {at}, {opened:?}")
                }
                Err(StoreError::Damaged) => assert!(opened.damaged.contains(key)),
                Err(error) => panic!("{error:?}"),
            }
        }
        for key in 0..4 {
            store.put(key, b"goes on").unwrap();
            assert_eq!(store.get(key).unwrap().unwrap()[..], *b"goes on");
        }
    }
}

#[test]
fn any_image_opens_or_errs() {
    for seed in seeds(4000) {
        for shape in Tokens::shapes() {
            open_any::<Tokens>(&mut Chance::seeded(seed), shape)
                .unwrap_or_else(|broken| panic!("seed {seed} on {shape:?}: {broken}"));
        }
    }
    let mut chance = Chance::seeded(9);
    for byte in [0, 0xFF] {
        let mut flash = SimFlash::from_image(nor(512, 4, 12), vec![byte; 6144], 1);
        assert!(open(&mut flash, &mut chance).unwrap().1.fresh);
    }
    let mut random = SimFlash::from_image(nor(512, 4, 12), chance.bytes(6144), 1);
    assert_eq!(open(&mut random, &mut chance).map(|_| ()), Err(OpenError::Garbage));
    assert_eq!(
        open(&mut SimFlash::new(nor(4096, 4, 3), 1), &mut chance).map(|_| ()),
        Err(OpenError::TooSmall)
    );
}

#[test]
fn a_failing_medium_gives_typed_errors_and_loses_nothing() {
    for call in [Call::Read, Call::Program, Call::Erase, Call::Sync] {
        for always in [false, true] {
            for seed in seeds(40) {
                let mut chance = Chance::seeded(seed);
                let shape = if seed % 2 == 0 { nor(512, 4, 12) } else { file(512, 12) };
                let mut flash = SimFlash::new(shape, seed);
                drop(open(&mut flash, &mut chance).unwrap());
                let kind = [FlashErrorKind::Io, FlashErrorKind::Full, FlashErrorKind::ReadOnly]
                    [seed as usize % 3];
                flash.fail(call, kind, chance.below(20), always);
                let mut model = Model::new();
                let mut doubtful: Option<(u8, Vec<u8>)> = None;
                if let Ok((mut store, _)) = open(&mut flash, &mut chance) {
                    for _ in 0..30 {
                        let (key, value) = (chance.below(3) as u8, chance.bytes(100));
                        match store.put(key, &value) {
                            Ok(()) => {
                                model.insert(key, value);
                                doubtful = doubtful.filter(|(k, _)| *k != key);
                            }
                            Err(StoreError::Flash(e)) => {
                                assert_eq!(e.kind(), kind);
                                // The store in hand goes on with what it had.
                                if call != Call::Read {
                                    let now = store.get(key).unwrap();
                                    assert_eq!(now.as_deref(), model.get(&key));
                                }
                                doubtful = Some((key, value));
                                if always {
                                    break;
                                }
                            }
                            Err(error) => panic!("{error:?}"),
                        }
                    }
                }
                flash.heal();
                let (mut store, opened) = open(&mut flash, &mut chance).unwrap();
                assert_eq!(opened.lost, 0, "{call:?} {always} seed {seed}");
                let found = contents(&mut store);
                let mut other = model.clone();
                other.extend(doubtful);
                assert!(found == model || found == other, "{call:?} {always} seed {seed}");
                drop(store);
                assert_eq!(flash.double_programs(), 0);
            }
        }
    }
}

#[test]
fn what_is_acknowledged_after_a_failed_commit_counts_though_that_one_landed() {
    for shape in [nor(512, 4, 12), file(512, 12)] {
        let mut chance = Chance::seeded(41);
        let mut flash = SimFlash::new(shape, 1);
        open(&mut flash, &mut chance).unwrap().0.put(1, b"before").unwrap();
        // The opening syncs once, then the commit.
        flash.fail(Call::Sync, FlashErrorKind::Io, 1, false);
        let (mut store, _) = open(&mut flash, &mut chance).unwrap();
        assert!(store.put(1, b"failed").is_err());
        store.put(1, b"before").unwrap();
        drop(store);
        let (mut store, _) = open(&mut flash, &mut chance).unwrap();
        assert_eq!(store.get(1).unwrap().unwrap()[..], *b"before");
        drop(store);
        flash.fail(Call::Sync, FlashErrorKind::Io, 1, false);
        let (mut store, _) = open(&mut flash, &mut chance).unwrap();
        assert!(store.put(2, b"failed").is_err());
        store.remove(2).unwrap();
        drop(store);
        assert_eq!(open(&mut flash, &mut chance).unwrap().0.get(2), Ok(None));
    }
}

#[test]
fn a_value_longer_than_a_unit_is_refused_before_it_is_written() {
    let mut chance = Chance::seeded(43);
    let mut flash = SimFlash::new(nor(65536, 256, 256), 1);
    let (mut store, _) = open(&mut flash, &mut chance).unwrap();
    store.put(1, b"kept").unwrap();
    assert_eq!(store.put(2, &vec![0; 4 << 20 | 1024]), Err(StoreError::Full));
    drop(store);
    assert_eq!(open(&mut flash, &mut chance).unwrap().0.get(1).unwrap().unwrap()[..], *b"kept");
}

#[test]
fn a_new_store_outlives_what_is_left_of_another() {
    // The last segment of a store whose other segments were cleared: its first unit began before.
    let mut chance = Chance::seeded(47);
    let shape = nor(512, 4, 6);
    let mut flash = SimFlash::new(shape, 1);
    let (mut store, _) = open(&mut flash, &mut chance).unwrap();
    for n in 0..100 {
        store.put(1, &[n; 700]).unwrap();
    }
    drop(store);
    let mut begun = 0;
    for left in 0..6 {
        let mut image = vec![0xFF; 3072];
        image[left * 512..][..512].copy_from_slice(&flash.image()[left * 512..][..512]);
        let mut left = SimFlash::from_image(shape, image, 1);
        let Ok((mut store, opened)) = open(&mut left, &mut chance) else { continue };
        begun += u32::from(opened.fresh);
        store.put(3, b"acknowledged").unwrap();
        drop(store);
        let (mut store, opened) = open(&mut left, &mut chance).unwrap();
        assert!(!opened.fresh);
        assert_eq!(store.get(3).unwrap().unwrap()[..], *b"acknowledged");
    }
    assert!(begun > 0);
}
