//! The token store against a mirror, under cuts, failures and damage.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

mod support;

use std::collections::BTreeMap;

use signpost_hal::flash::sim::{Call, SimFlash, Tear};
use signpost_hal::flash::{Flash, FlashErrorKind, Geometry};
use signpost_store::{OpenError, Opened, OuterKeys, StoreError, TokenStore};
use support::{Chance, file, nor, seeds};

type Mirror = BTreeMap<u8, Vec<u8>>;

#[derive(Clone, Debug)]
enum Step {
    Put(u8, Vec<u8>),
    Remove(u8),
    Scrub,
    Wipe,
    Reopen,
}

impl Step {
    fn any(chance: &mut Chance, keys: u64, longest: u64) -> Self {
        let key = chance.below(keys) as u8;
        match chance.below(20) {
            0 => Self::Reopen,
            1 => Self::Scrub,
            2 if chance.below(4) == 0 => Self::Wipe,
            3 | 4 => Self::Remove(key),
            _ => {
                let len = chance.below(longest + 1) as usize;
                Self::Put(key, chance.bytes(len))
            }
        }
    }

    fn run<F: Flash>(&self, store: &mut TokenStore<F>) -> Result<(), StoreError> {
        match self {
            Self::Put(key, value) => store.put(*key, value),
            Self::Remove(key) => store.remove(*key),
            Self::Scrub => store.scrub(),
            Self::Wipe => store.wipe(),
            Self::Reopen => Ok(()),
        }
    }

    fn mirror(&self, mirror: &mut Mirror) {
        match self {
            Self::Put(key, value) => drop(mirror.insert(*key, value.clone())),
            Self::Remove(key) => drop(mirror.remove(key)),
            Self::Wipe => mirror.clear(),
            Self::Scrub | Self::Reopen => {}
        }
    }
}

fn outer() -> OuterKeys {
    OuterKeys::new([7; 32])
}

fn open<'a>(
    flash: &'a mut SimFlash,
    chance: &mut Chance,
) -> Result<(TokenStore<&'a mut SimFlash>, Opened), OpenError> {
    TokenStore::open(flash, &outer(), chance.entropy())
}

fn contents<F: Flash>(store: &mut TokenStore<F>) -> Mirror {
    let keys: Vec<u8> = store.keys().collect();
    keys.into_iter().map(|key| (key, store.get(key).unwrap().unwrap().to_vec())).collect()
}

/// Opens until no cut is left, with a cut in each of the first `cuts` attempts.
fn recover(flash: &mut SimFlash, chance: &mut Chance, cuts: u64) -> Mirror {
    for _ in 0..cuts {
        flash.power_on();
        flash.cut_after(chance.below(600), chance.tear());
        match open(flash, chance) {
            Ok((mut store, _)) => drop(store.put(200, b"cut while recovering")),
            Err(OpenError::Flash(_)) => {}
            Err(error) => panic!("{error:?}"),
        }
        flash.power_off();
    }
    flash.power_on();
    let (mut store, opened) = open(flash, chance).unwrap();
    assert_eq!((opened.lost, &opened.damaged), (0, &vec![]));
    if store.get(200).unwrap().is_some() {
        store.remove(200).unwrap();
    }
    contents(&mut store)
}

fn shapes() -> Vec<Geometry> {
    vec![
        nor(512, 4, 6),
        nor(256, 4, 12),
        nor(1024, 16, 5),
        nor(4096, 256, 4),
        file(512, 8),
        file(4096, 16),
    ]
}

/// A value that fits three times beside its successor, whatever the shape.
fn longest(shape: Geometry) -> u64 {
    u64::from(shape.size() / 16)
}

#[test]
fn every_value_reads_back_over_many_rounds_of_the_ring() {
    for (n, shape) in shapes().into_iter().enumerate() {
        let mut chance = Chance(n as u64);
        let mut flash = SimFlash::new(shape, 1);
        let mut mirror = Mirror::new();
        let (mut store, opened) = open(&mut flash, &mut chance).unwrap();
        assert!(opened.fresh);
        let mut entropy = chance.clone();
        for _ in 0..600 {
            let step = Step::any(&mut chance, 3, longest(shape));
            if let Step::Reopen = step {
                drop(store);
                let (again, opened) = open(&mut flash, &mut entropy).unwrap();
                assert_eq!(opened, Opened::default());
                store = again;
            }
            step.run(&mut store).unwrap_or_else(|e| panic!("{e:?} at {step:?} on {shape:?}"));
            step.mirror(&mut mirror);
            assert_eq!(contents(&mut store), mirror);
        }
        drop(store);
        assert_eq!(flash.double_programs(), 0);
    }
}

#[test]
fn invariant_3_a_cut_at_every_byte_leaves_the_old_value_or_the_new() {
    for (n, shape) in [nor(256, 4, 8), nor(512, 16, 6), file(512, 6)].into_iter().enumerate() {
        let mut chance = Chance(n as u64);
        let mut flash = SimFlash::new(shape, 1);
        let mut mirror = Mirror::new();
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
            let mut after = mirror.clone();
            step.mirror(&mut after);
            let mut at = 0;
            loop {
                let tear = Tear::ALL[(at as usize + round) % Tear::ALL.len()];
                let mut torn = flash.clone();
                let (mut store, _) = open(&mut torn, &mut chance).unwrap();
                let seen = contents(&mut store);
                assert_eq!(seen, mirror);
                drop(store);
                torn.cut_after(at, tear);
                let (mut store, _) = match open(&mut torn, &mut chance) {
                    Ok(opened) => opened,
                    Err(_) => {
                        at += 1;
                        continue;
                    }
                };
                let answer = step.run(&mut store);
                drop(store);
                let done = !torn.is_off();
                torn.power_off();
                let cuts = at % 3;
                let found = recover(&mut torn, &mut chance, cuts);
                match answer {
                    Ok(()) => assert_eq!(found, after, "{step:?} cut at {at} {tear:?}"),
                    Err(error) => assert!(
                        error != StoreError::Full && (found == mirror || found == after),
                        "{step:?} cut at {at} {tear:?}: {:?}, was {:?}, to be {:?}",
                        found.keys(),
                        mirror.keys(),
                        after.keys()
                    ),
                }
                assert_eq!(torn.double_programs(), 0, "{step:?} cut at {at} {tear:?}");
                if done {
                    break;
                }
                at += 1;
            }
            let (mut store, _) = open(&mut flash, &mut chance).unwrap();
            step.run(&mut store).unwrap();
            mirror = after;
        }
    }
}

#[test]
fn invariant_3_chains_of_cuts_never_end_full_or_shut() {
    for seed in seeds(25) {
        for shape in shapes() {
            let mut chance = Chance(seed);
            let mut flash = SimFlash::new(shape, seed);
            let mut mirror = Mirror::new();
            let mut begun = false;
            for _ in 0..80 {
                flash.power_on();
                if chance.below(8) != 0 {
                    flash.cut_after(chance.below(3000), chance.tear());
                }
                let mut pending = None;
                match open(&mut flash, &mut chance) {
                    Ok((mut store, opened)) => {
                        assert!(!(begun && opened.fresh), "a store turned blank");
                        assert_eq!((opened.lost, &opened.damaged), (0, &vec![]));
                        begun = true;
                        assert_eq!(contents(&mut store), mirror, "seed {seed} {shape:?}");
                        for _ in 0..chance.below(30) {
                            let step = Step::any(&mut chance, 3, longest(shape));
                            match step.run(&mut store) {
                                Ok(()) => step.mirror(&mut mirror),
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
                    let mut after = mirror.clone();
                    step.mirror(&mut after);
                    let cuts = chance.below(4);
                    let found = recover(&mut flash, &mut chance, cuts);
                    assert!(found == mirror || found == after, "{step:?}, seed {seed} {shape:?}");
                    mirror = found;
                }
            }
        }
    }
}

#[test]
fn a_superseded_value_leaves_nor_after_sixteen_commits() {
    for len in [8, 100, 1500] {
        let mut chance = Chance(3);
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
        let mut chance = Chance(4);
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
        assert_eq!(contents(&mut store), Mirror::from([(2, b"after".to_vec())]));
    }
}

#[test]
fn an_unchanged_value_is_not_written() {
    let mut chance = Chance(5);
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
    for shape in shapes() {
        let mut chance = Chance(6);
        let mut flash = SimFlash::new(shape, 1);
        let (mut store, _) = open(&mut flash, &mut chance).unwrap();
        let mut mirror = Mirror::new();
        let mut full = 0;
        for round in 0..200 {
            let key = (round % 60) as u8;
            let value = chance.bytes(longest(shape) as usize / 2);
            match store.put(key, &value) {
                Ok(()) => drop(mirror.insert(key, value)),
                Err(StoreError::Full) => full += 1,
                Err(error) => panic!("{error:?}"),
            }
        }
        assert!(full > 0 && mirror.len() > 2, "{shape:?}: {full} full, {} kept", mirror.len());
        assert_eq!(store.put(0, &chance.bytes(shape.size() as usize)), Err(StoreError::Full));
        assert_eq!(contents(&mut store), mirror);
        for key in mirror.keys() {
            store.remove(*key).unwrap();
        }
        // One value as large as all before fits at once.
        let large = chance.bytes(mirror.values().map(Vec::len).sum());
        store.put(3, &large).unwrap();
        assert_eq!(store.get(3).unwrap().unwrap()[..], large);
        drop(store);
        assert_eq!(flash.double_programs(), 0);
    }
}

#[test]
fn another_key_or_device_is_foreign_and_a_second_key_opens_once_more() {
    let mut chance = Chance(7);
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
        let mut chance = Chance(seed);
        let mut flash = SimFlash::new(nor(1024, 4, 12), seed);
        let (mut store, _) = open(&mut flash, &mut chance).unwrap();
        let mut mirror = Mirror::new();
        let mut before_last = Mirror::new();
        for _ in 0..30 {
            before_last = mirror.clone();
            let step = Step::Put(chance.below(4) as u8, chance.bytes(300));
            step.run(&mut store).unwrap();
            step.mirror(&mut mirror);
        }
        drop(store);
        let at = chance.below(u64::from(flash.geometry().size())) as usize;
        let before = flash.image()[at];
        flash.image_mut()[at] ^= 1 << chance.below(8);
        assert_ne!(before, flash.image()[at]);
        let (mut store, opened) = open(&mut flash, &mut chance).unwrap();
        let sound = opened.lost == 0 && opened.damaged.is_empty();
        for (key, value) in &mirror {
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
    let mut chance = Chance(9);
    let mut valid = SimFlash::new(nor(512, 4, 12), 1);
    let (mut store, _) = open(&mut valid, &mut chance).unwrap();
    for n in 0..40 {
        store.put(n % 3, &chance.bytes(200)).unwrap();
    }
    drop(store);
    for seed in seeds(4000) {
        let mut chance = Chance(seed);
        let shape = if seed % 2 == 0 { nor(512, 4, 12) } else { file(512, 12) };
        let mut image = valid.image().to_vec();
        match seed % 5 {
            0 => image = chance.bytes(image.len()),
            1 => image.truncate(chance.below(image.len() as u64) as usize),
            2 => image.rotate_left(512 * chance.below(12) as usize),
            _ => {
                for _ in 0..=chance.below(30) {
                    let at = chance.below(image.len() as u64) as usize;
                    image[at] = chance.next() as u8;
                }
            }
        }
        let mut flash = SimFlash::from_image(shape, image, seed);
        if let Ok((mut store, _)) = open(&mut flash, &mut chance) {
            for key in 0..4 {
                let _ = store.get(key);
                let _ = store.put(key, b"x");
            }
            let _ = store.scrub();
        }
    }
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
                let mut chance = Chance(seed);
                let shape = if seed % 2 == 0 { nor(512, 4, 12) } else { file(512, 12) };
                let mut flash = SimFlash::new(shape, seed);
                drop(open(&mut flash, &mut chance).unwrap());
                let kind = [FlashErrorKind::Io, FlashErrorKind::Full, FlashErrorKind::ReadOnly]
                    [seed as usize % 3];
                flash.fail(call, kind, chance.below(20), always);
                let mut mirror = Mirror::new();
                let mut doubtful: Option<(u8, Vec<u8>)> = None;
                if let Ok((mut store, _)) = open(&mut flash, &mut chance) {
                    for _ in 0..30 {
                        let (key, value) = (chance.below(3) as u8, chance.bytes(100));
                        match store.put(key, &value) {
                            Ok(()) => {
                                mirror.insert(key, value);
                                doubtful = doubtful.filter(|(k, _)| *k != key);
                            }
                            Err(StoreError::Flash(e)) => {
                                assert_eq!(e.kind(), kind);
                                // The store in hand goes on with what it had.
                                if call != Call::Read {
                                    let now = store.get(key).unwrap();
                                    assert_eq!(now.as_deref(), mirror.get(&key));
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
                let mut other = mirror.clone();
                other.extend(doubtful);
                assert!(found == mirror || found == other, "{call:?} {always} seed {seed}");
                drop(store);
                assert_eq!(flash.double_programs(), 0);
            }
        }
    }
}
