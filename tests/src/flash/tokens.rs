//! The token store and its model: a map.

use std::collections::BTreeMap;
use std::fmt;

use signpost_hal::flash::sim::SimFlash;
use signpost_hal::flash::{Flash, Geometry};
use signpost_store::{OpenError, Opened, OuterKeys, StoreError, TokenStore};

use super::chance::Chance;
use super::{Brief, Face, Found, file, nor};

/// What the token store must hold: each key's value.
pub type Model = BTreeMap<u8, Vec<u8>>;

/// The key that nothing but [`Face::breathe`] puts.
const BREATH: u8 = 200;
/// Keys that steps put.
const KEYS: u64 = 3;

/// Something to do to a token store.
#[derive(Clone)]
pub enum Step {
    /// [`TokenStore::put`].
    Put(u8, Vec<u8>),
    /// [`TokenStore::remove`].
    Remove(u8),
    /// [`TokenStore::scrub`].
    Scrub,
    /// [`TokenStore::wipe`].
    Wipe,
}

impl fmt::Debug for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Put(key, value) => write!(f, "put {key}: {:?}", Brief(value)),
            Self::Remove(key) => write!(f, "remove {key}"),
            Self::Scrub => f.write_str("scrub"),
            Self::Wipe => f.write_str("wipe"),
        }
    }
}

/// The token store as a [`Face`].
#[derive(Debug)]
pub struct Tokens;

/// A value that fits three times beside its successor, on whatever shape.
pub fn longest(shape: Geometry) -> u64 {
    u64::from(shape.size() / 16)
}

/// The key under which the stores here are sealed.
pub fn outer() -> OuterKeys {
    OuterKeys::new([7; 32])
}

/// Opens a token store under [`outer`].
///
/// # Errors
/// What the store says.
pub fn open<F: Flash>(flash: F, chance: &mut Chance) -> Result<(TokenStore<F>, Opened), OpenError> {
    TokenStore::open(flash, &outer(), chance.entropy())
}

impl Face for Tokens {
    type Store<'a> = TokenStore<&'a mut SimFlash>;
    type Model = Model;
    type Step = Step;

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

    fn step(chance: &mut Chance, _: &Model, shape: Geometry) -> Step {
        let key = chance.below(KEYS) as u8;
        match chance.below(20) {
            1 => Step::Scrub,
            2 if chance.below(4) == 0 => Step::Wipe,
            3 | 4 => Step::Remove(key),
            _ => {
                let len = chance.below(longest(shape) + 1) as usize;
                Step::Put(key, chance.bytes(len))
            }
        }
    }

    fn open<'a>(
        flash: &'a mut SimFlash,
        chance: &mut Chance,
    ) -> Result<(Self::Store<'a>, Found), OpenError> {
        let (store, opened) = open(flash, chance)?;
        let sound = opened.lost == 0 && opened.damaged.is_empty();
        Ok((store, Found { fresh: opened.fresh, sound }))
    }

    fn run(
        step: &Step,
        store: &mut Self::Store<'_>,
        model: &mut Model,
    ) -> Result<bool, StoreError> {
        match step {
            Step::Put(key, value) => {
                store.put(*key, value)?;
                model.insert(*key, value.clone());
            }
            Step::Remove(key) => {
                store.remove(*key)?;
                model.remove(key);
            }
            Step::Scrub => store.scrub()?,
            Step::Wipe => {
                store.wipe()?;
                model.clear();
            }
        }
        Ok(true)
    }

    fn contents(store: &mut Self::Store<'_>) -> Result<Model, StoreError> {
        let keys: Vec<u8> = store.keys().filter(|key| *key != BREATH).collect();
        let mut model = Model::new();
        for key in keys {
            model.extend(store.get(key)?.map(|value| (key, value.to_vec())));
        }
        Ok(model)
    }

    fn tell(model: &Model) -> String {
        let brief: BTreeMap<_, _> = model.iter().map(|(key, v)| (key, Brief(v))).collect();
        format!("{brief:?}")
    }

    fn explains(step: &Step, before: &Model, found: &Model) -> bool {
        let mut after = before.clone();
        match step {
            Step::Put(key, value) => drop(after.insert(*key, value.clone())),
            Step::Remove(key) => drop(after.remove(key)),
            Step::Scrub => {}
            Step::Wipe => after.clear(),
        }
        found == before || *found == after
    }

    fn breathe(store: &mut Self::Store<'_>) -> Result<(), StoreError> {
        store.put(BREATH, b"in and out")?;
        store.remove(BREATH)
    }
}
