//! The stores over flash that loses its power: models of what they must hold, and the cuts.

use std::fmt;

use signpost_hal::flash::Geometry;
use signpost_hal::flash::sim::SimFlash;
use signpost_store::{OpenError, StoreError};

use chance::Chance;
use cuts::{Plan, Tally};

pub mod chance;
pub mod cuts;
pub mod images;
pub mod spool;
pub mod tokens;

/// One of the two stores beside its model: what the cuts, the fuzzers and the tests drive.
pub trait Face {
    /// The store, open over a simulated medium.
    type Store<'a>;
    /// All that the store holds, in memory.
    type Model: Clone + Default + PartialEq;
    /// Something to do to both.
    type Step: Clone + fmt::Debug;

    /// Media on which the store is tried: small ones, so that it soon goes round.
    fn shapes() -> Vec<Geometry>;

    /// Something to do next.
    fn step(chance: &mut Chance, model: &Self::Model, shape: Geometry) -> Self::Step;

    /// Opens the store on `flash`.
    ///
    /// # Errors
    /// What the store says.
    fn open<'a>(
        flash: &'a mut SimFlash,
        chance: &mut Chance,
    ) -> Result<(Self::Store<'a>, Found), OpenError>;

    /// Does `step` to the store, and to the model if it was acknowledged. Whether it was; not so
    /// if the store rightly refuses it, as a full one may.
    ///
    /// # Errors
    /// What the store says; the model is as before.
    fn run(
        step: &Self::Step,
        store: &mut Self::Store<'_>,
        model: &mut Self::Model,
    ) -> Result<bool, StoreError>;

    /// All that the store holds.
    ///
    /// # Errors
    /// The first thing that cannot be read.
    fn contents(store: &mut Self::Store<'_>) -> Result<Self::Model, StoreError>;

    /// What the model holds, in a few words.
    fn tell(model: &Self::Model) -> String;

    /// Whether `found` is what a cut in the middle of `step` may leave of `before`.
    fn explains(step: &Self::Step, before: &Self::Model, found: &Self::Model) -> bool;

    /// Does something small of which nothing stays in the end, so that the store has to find room
    /// for it: what is full for ever refuses it.
    ///
    /// # Errors
    /// What the store says.
    fn breathe(store: &mut Self::Store<'_>) -> Result<(), StoreError>;
}

/// A store on one shape of flash, and what is done to it.
pub struct Kind {
    /// `tokens` or `spool`.
    pub store: &'static str,
    /// Its flash.
    pub shape: Geometry,
    /// [`cuts::live`].
    pub live: fn(&mut Chance, Geometry, Plan) -> Result<Tally, String>,
    /// [`images::open_any`].
    pub open_any: fn(&mut Chance, Geometry) -> Result<(), String>,
}

/// Both stores on all their shapes.
pub fn kinds() -> Vec<Kind> {
    fn of<F: Face>(store: &'static str) -> impl Iterator<Item = Kind> {
        let kind = move |shape| Kind {
            store,
            shape,
            live: cuts::live::<F>,
            open_any: images::open_any::<F>,
        };
        F::shapes().into_iter().map(kind)
    }
    of::<tokens::Tokens>("tokens").chain(of::<spool::Spools>("spool")).collect()
}

/// Opens the image that a fuzzer's bytes choose.
///
/// # Errors
/// As [`images::open_any`].
pub fn any_image(data: &[u8]) -> Result<(), String> {
    let (mut chance, kind) = chosen(data);
    (kind.open_any)(&mut chance, kind.shape)
}

/// Lives the life that a fuzzer's bytes choose, with the power going in between.
///
/// # Errors
/// As [`cuts::live`].
pub fn any_operations(data: &[u8]) -> Result<(), String> {
    let (mut chance, kind) = chosen(data);
    (kind.live)(&mut chance, kind.shape, Plan { turns: 100, forks: 1 }).map(drop)
}

fn chosen(data: &[u8]) -> (Chance, Kind) {
    let mut chance = Chance::from_bytes(data);
    let mut kinds = kinds();
    let kind = kinds.swap_remove(chance.below(kinds.len() as u64) as usize);
    (chance, kind)
}

/// Shows a value by its length and its first bytes.
struct Brief<'a>(&'a [u8]);

impl fmt::Debug for Brief<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} B", self.0.len())?;
        self.0.iter().take(3).try_for_each(|byte| write!(f, " {byte:02x}"))
    }
}

/// What a store said of the medium that it was opened on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// It was blank.
    pub fresh: bool,
    /// Nothing was damaged or missing.
    pub sound: bool,
}

/// Flash that is erased in units of `erase_unit` bytes and programmed in those of `program_unit`.
///
/// # Panics
/// If there is no such flash.
pub fn nor(erase_unit: u32, program_unit: u32, units: u32) -> Geometry {
    Geometry::new(erase_unit, program_unit, units).expect("a shape of flash")
}

/// A file or block device of so many blocks.
///
/// # Panics
/// If there is none of this shape.
pub fn file(block: u32, blocks: u32) -> Geometry {
    nor(block, block, blocks).overwriting()
}

/// The seeds that a test runs: `SIGNPOST_SEEDS` times as many for a long run.
pub fn seeds(usual: u64) -> std::ops::Range<u64> {
    let times = std::env::var("SIGNPOST_SEEDS").ok().and_then(|n| n.parse().ok()).unwrap_or(1);
    0..usual * times
}
