//! Power cuts: lives of a store in which the power goes again and again, each image checked.
//!
//! A life is one *session* after the other: the store is opened and takes a few steps. Before each,
//! *forks* try what a cut inside of it leaves: the device is copied, loses its power somewhere in
//! the session, perhaps again while it recovers, and is then read. Then the life itself goes on,
//! often through a *chain* of cuts that follow each other without an undisturbed start.

use std::fmt;

use signpost_hal::flash::sim::{SimFlash, Tear};
use signpost_hal::flash::{Flash, Geometry};
use signpost_store::{OpenError, StoreError};

use super::Face;
use super::chance::Chance;

/// How long a life is and how much of it is tried.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Sessions of a life.
    pub turns: u32,
    /// Cuts that are tried in each.
    pub forks: u32,
}

/// What lives came to.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tally {
    /// Images that a cut left and that were opened again.
    pub images: u64,
    /// Those among them that a cut inside of a recovery left.
    pub recoveries: u64,
    /// The most cuts in a row, without a start whose power stayed on.
    pub longest_chain: u32,
    /// Steps that went through.
    pub steps: u64,
}

impl Tally {
    /// Adds another life's.
    pub fn add(&mut self, other: Self) {
        self.images += other.images;
        self.recoveries += other.recoveries;
        self.longest_chain = self.longest_chain.max(other.longest_chain);
        self.steps += other.steps;
    }
}

/// Lives one life on flash of this `shape`.
///
/// # Errors
/// The first promise that the store broke, in words.
pub fn live<F: Face>(chance: &mut Chance, shape: Geometry, plan: Plan) -> Result<Tally, String> {
    let mut life = Life::<F> {
        flash: SimFlash::new(shape, chance.number()),
        model: F::Model::default(),
        begun: false,
        tally: Tally::default(),
    };
    for turn in 0..plan.turns {
        if chance.is_over() {
            break;
        }
        life.turn(chance, shape, plan.forks)
            .map_err(|broken| format!("turn {turn} on {shape:?}: {broken}"))?;
    }
    Ok(life.tally)
}

/// Cuts `step` at each `stride`th byte that it programs or erases, on copies of `flash`, which
/// holds `model`.
///
/// # Panics
/// If the store breaks a promise.
pub fn every_byte<F: Face>(
    flash: &SimFlash,
    model: &F::Model,
    step: &F::Step,
    stride: u64,
    chance: &mut Chance,
) {
    let mut life = Life::<F> {
        flash: flash.clone(),
        model: model.clone(),
        begun: true,
        tally: Tally::default(),
    };
    let session = std::slice::from_ref(step);
    let cost = life.cost(chance, session).map(|(.., cost)| cost);
    let tried = cost.and_then(|cost| {
        let all = (0..cost + 2).step_by(stride as usize);
        all.zip(Tear::ALL.iter().cycle())
            .try_for_each(|(at, tear)| life.fork(chance, session, Cut { at, tear: *tear, cost }))
    });
    assert_eq!(tried, Ok(()), "{:?}", flash.geometry());
}

/// Where in a step the power goes.
#[derive(Clone, Copy)]
struct Cut {
    at: u64,
    tear: Tear,
    /// Steps of the medium that the whole takes.
    cost: u64,
}

struct Life<F: Face> {
    flash: SimFlash,
    model: F::Model,
    /// An opening has gone through: from then on the medium is never blank.
    begun: bool,
    tally: Tally,
}

impl<F: Face> Life<F> {
    fn turn(&mut self, chance: &mut Chance, shape: Geometry, forks: u32) -> Result<(), String> {
        if self.begun {
            self.stretch(chance, shape)?;
        }
        let session = session::<F>(chance, &self.model, shape);
        let (whole, model, cost) = self.cost(chance, &session)?;
        for _ in 0..forks {
            let cut = Cut { at: chance.below(cost + 2), tear: chance.tear(), cost };
            self.fork(chance, &session, cut)?;
        }
        if chance.below(3) == 0 {
            (self.flash, self.model, self.begun) = (whole, model, true);
            self.tally.steps += session.len() as u64;
            return Ok(());
        }
        self.chain(chance, shape, session, cost)
    }

    /// Lets some quiet time pass: many steps after one opening.
    fn stretch(&mut self, chance: &mut Chance, shape: Geometry) -> Result<(), String> {
        let (mut store, _) = F::open(&mut self.flash, chance).map_err(|e| format!("quiet: {e}"))?;
        for _ in 0..chance.below(40) {
            let step = F::step(chance, &self.model, shape);
            F::run(&step, &mut store, &mut self.model).map_err(|e| told("quiet", &step, &e))?;
            self.tally.steps += 1;
        }
        let held = F::contents(&mut store).map_err(|e| format!("quiet: reading: {e}"))?;
        if held == self.model { Ok(()) } else { Err(not::<F>(&held, &self.model)) }
    }

    /// Has the session uncut on a copy of the device: what comes of it, and what it costs.
    fn cost(
        &self,
        chance: &mut Chance,
        session: &[F::Step],
    ) -> Result<(SimFlash, F::Model, u64), String> {
        let (mut whole, mut model) = (self.flash.clone(), self.model.clone());
        let from = whole.steps();
        let (mut store, _) = F::open(&mut whole, chance).map_err(|e| format!("uncut: {e}"))?;
        for step in session {
            F::run(step, &mut store, &mut model).map_err(|e| told("uncut", step, &e))?;
        }
        let held = F::contents(&mut store).map_err(|e| format!("uncut: {session:?}: {e}"))?;
        if held != model {
            return Err(format!("uncut: {session:?}: {}", not::<F>(&held, &model)));
        }
        drop(store);
        let cost = whole.steps() - from;
        Ok((whole, model, cost))
    }

    /// Tries what a cut in the session leaves, on a copy of the device.
    fn fork(&mut self, chance: &mut Chance, session: &[F::Step], cut: Cut) -> Result<(), String> {
        let mut torn = self.flash.clone();
        let Cut { at, tear, cost } = cut;
        let context = |what: &str| format!("{what}: {session:?} cut at {at} of {cost}, {tear:?}");
        torn.cut_after(at, tear);
        let mut model = self.model.clone();
        let mut pending = None;
        if let Ok((mut store, _)) = F::open(&mut torn, chance) {
            pending = session.iter().find(|step| F::run(step, &mut store, &mut model).is_err());
        }
        torn.power_off();
        self.tally.images += 1;
        let cuts = chance.below(4).saturating_sub(1);
        for _ in 0..cuts {
            self.cut_recovery(&mut torn, chance, cost).map_err(|e| context(&e))?;
        }
        self.tally.longest_chain = self.tally.longest_chain.max(1 + cuts as u32);
        let found = self.recover(&mut torn, chance).map_err(|e| context(&e))?;
        let right = match pending {
            None => found == model,
            Some(step) => F::explains(step, &model, &found),
        };
        if right { Ok(()) } else { Err(context(&not::<F>(&found, &model))) }
    }

    /// Opens and writes a little until the power goes again.
    fn cut_recovery(
        &mut self,
        flash: &mut SimFlash,
        chance: &mut Chance,
        cost: u64,
    ) -> Result<(), String> {
        flash.power_on();
        flash.cut_after(chance.below(cost + 600), chance.tear());
        match F::open(flash, chance) {
            Ok((mut store, _)) => drop(F::breathe(&mut store)),
            Err(OpenError::Flash(_)) => {}
            Err(error) => return Err(format!("while recovering: {error}")),
        }
        flash.power_off();
        self.tally.images += 1;
        self.tally.recoveries += 1;
        Ok(())
    }

    /// Opens with the power on, checks what the medium says of itself and what it still takes.
    fn recover(&self, flash: &mut SimFlash, chance: &mut Chance) -> Result<F::Model, String> {
        flash.power_on();
        let (mut store, found) = F::open(flash, chance).map_err(|e| format!("opening: {e}"))?;
        if self.begun && found.fresh {
            return Err("a store turned blank".into());
        }
        if !found.sound {
            return Err("a cut passed for damage".into());
        }
        let model = F::contents(&mut store).map_err(|e| format!("reading: {e}"))?;
        F::breathe(&mut store).map_err(|e| format!("no longer takes anything: {e}"))?;
        let after = F::contents(&mut store).map_err(|e| format!("reading again: {e}"))?;
        drop(store);
        if after != model {
            return Err("what was held changed by itself".into());
        }
        match flash.double_programs() {
            0 => Ok(model),
            n => Err(format!("{n} units programmed twice")),
        }
    }

    /// Lets the life go on through cuts in a row, beginning with one in `session`.
    fn chain(
        &mut self,
        chance: &mut Chance,
        shape: Geometry,
        session: Vec<F::Step>,
        cost: u64,
    ) -> Result<(), String> {
        let mut next = Some(session);
        // What was in flight when the power went; only an opening tells what became of it.
        let mut pending: Option<F::Step> = None;
        let cuts = 1 + chance.below(16);
        for _ in 0..cuts {
            self.flash.power_on();
            self.flash.cut_after(chance.below(2 * cost + 200), chance.tear());
            let mut flash = std::mem::replace(&mut self.flash, SimFlash::new(shape, 0));
            if !self.boot(&mut flash, chance, shape, &mut next, &mut pending)? {
                self.tally.recoveries += 1;
            }
            flash.power_off();
            self.flash = flash;
            self.tally.images += 1;
        }
        self.tally.longest_chain = self.tally.longest_chain.max(cuts as u32);
        let mut flash = std::mem::replace(&mut self.flash, SimFlash::new(shape, 0));
        let held = self.recover(&mut flash, chance).map_err(|e| format!("after a chain: {e}"))?;
        self.flash = flash;
        self.settle(&mut pending, held, super::Found { fresh: false, sound: true })
    }

    /// Has a session with a cut ahead. Whether the power lasted until its first step.
    fn boot(
        &mut self,
        flash: &mut SimFlash,
        chance: &mut Chance,
        shape: Geometry,
        next: &mut Option<Vec<F::Step>>,
        pending: &mut Option<F::Step>,
    ) -> Result<bool, String> {
        let (mut store, found) = match F::open(flash, chance) {
            Ok(opened) => opened,
            Err(OpenError::Flash(_)) => return Ok(false),
            Err(error) => return Err(format!("opening in a chain: {error}")),
        };
        let held = match F::contents(&mut store) {
            Ok(held) => held,
            Err(StoreError::Flash(_)) => return Ok(false),
            Err(error) => return Err(format!("reading in a chain: {error}")),
        };
        self.settle(pending, held, found)?;
        let steps = next.take().unwrap_or_else(|| session::<F>(chance, &self.model, shape));
        for step in steps {
            match F::run(&step, &mut store, &mut self.model) {
                Ok(_) => self.tally.steps += 1,
                Err(StoreError::Flash(_)) => {
                    *pending = Some(step);
                    break;
                }
                Err(error) => return Err(told("in a chain", &step, &error)),
            }
        }
        Ok(true)
    }

    /// Takes over what an opening found, if the step in flight explains it.
    fn settle(
        &mut self,
        pending: &mut Option<F::Step>,
        held: F::Model,
        found: super::Found,
    ) -> Result<(), String> {
        if !found.sound || (found.fresh && self.begun) {
            return Err(format!("after cuts in a row: {found:?}"));
        }
        let right = match pending.take() {
            Some(step) => F::explains(&step, &self.model, &held),
            None => held == self.model,
        };
        if !right {
            return Err(not::<F>(&held, &self.model));
        }
        self.begun = true;
        self.model = held;
        Ok(())
    }
}

/// A few steps, most often one.
fn session<F: Face>(chance: &mut Chance, model: &F::Model, shape: Geometry) -> Vec<F::Step> {
    let steps = 1 + chance.below(4) * chance.below(2);
    (0..steps).map(|_| F::step(chance, model, shape)).collect()
}

fn told<S: fmt::Debug, E: fmt::Display>(when: &str, step: &S, error: &E) -> String {
    format!("{when}: {step:?}: {error}")
}

fn not<F: Face>(found: &F::Model, model: &F::Model) -> String {
    format!("not what was acknowledged\n    found {}\n    not   {}", F::tell(found), F::tell(model))
}
