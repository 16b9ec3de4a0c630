//! One simulated flash chip, held by the agent's storage and by the world that cuts its power.

use signpost_hal::flash::{
    Flash, FlashError, FlashErrorKind, Geometry,
    sim::{Call, SimFlash, Tear},
};
use std::{
    cell::{Cell, RefCell},
    rc::Rc,
};

/// A chip; clones are the same one. All chips of a board lose their power together.
#[derive(Clone)]
pub(super) struct Chip {
    flash: Rc<RefCell<SimFlash>>,
    power: Rc<Cell<bool>>,
}

/// What the device keeps its bytes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Medium {
    /// SPI NOR: 4 KiB erase units, 4 B or 256 B program units.
    Nor {
        /// Bytes programmed together.
        program_unit: u32,
    },
    /// A file on eMMC or SD: 4 KiB blocks, unsynced writes may be lost.
    File,
}

impl Medium {
    fn geometry(self, units: u32) -> Geometry {
        let shape = match self {
            Self::Nor { program_unit } => Geometry::new(4096, program_unit, units),
            Self::File => Geometry::new(4096, 4096, units).map(Geometry::overwriting),
        };
        shape.expect("constants that make a shape")
    }
}

impl Chip {
    /// Two chips of one board: for tokens, and for the spool.
    pub(super) fn pair(medium: Medium, units: (u32, u32), seed: u64) -> (Self, Self) {
        let power = Rc::new(Cell::new(true));
        let chip = |units, seed| {
            let flash = SimFlash::new(medium.geometry(units), seed);
            Self { flash: Rc::new(RefCell::new(flash)), power: power.clone() }
        };
        (chip(units.0, seed), chip(units.1, !seed))
    }

    /// What would be found if the power went now, as a chip of its own.
    pub(super) fn after_a_cut(&self) -> Self {
        let copy = self.copy();
        copy.power_off();
        copy.power_on();
        copy.heal();
        copy
    }

    /// A chip of its own with the same content.
    pub(super) fn copy(&self) -> Self {
        let flash = self.flash.borrow().clone();
        Self { flash: Rc::new(RefCell::new(flash)), power: Rc::new(Cell::new(true)) }
    }

    /// Puts the content of `other` into this chip.
    pub(super) fn overwrite_with(&self, other: &Self) {
        *self.flash.borrow_mut() = other.flash.borrow().clone();
    }

    /// The power will go in the middle of what is done next.
    pub(super) fn cut_after(&self, steps: u64, tear: Tear) {
        self.flash.borrow_mut().cut_after(steps, tear);
    }

    pub(super) fn power_off(&self) {
        self.power.set(false);
        let mut flash = self.flash.borrow_mut();
        if !flash.is_off() {
            flash.power_off();
        }
    }

    pub(super) fn power_on(&self) {
        self.power.set(true);
        self.flash.borrow_mut().power_on();
    }

    /// From the `after`th program call on nothing is written: the medium fails, or whoever writes
    /// is killed.
    pub(super) fn stop_writes(&self, after: u64) {
        self.flash.borrow_mut().fail(Call::Program, FlashErrorKind::Io, after, true);
    }

    pub(super) fn heal(&self) {
        self.flash.borrow_mut().heal();
    }

    /// Programs of units that were not erased: a bug of the store.
    pub(super) fn double_programs(&self) -> u64 {
        self.flash.borrow().double_programs()
    }

    fn with<T>(
        &self,
        act: impl FnOnce(&mut SimFlash) -> Result<T, FlashError>,
    ) -> Result<T, FlashError> {
        if !self.power.get() {
            return Err(FlashErrorKind::Gone.into());
        }
        let mut flash = self.flash.borrow_mut();
        let result = act(&mut flash);
        self.power.set(!flash.is_off());
        result
    }
}

impl Flash for Chip {
    fn geometry(&self) -> Geometry {
        self.flash.borrow().geometry()
    }
    fn read(&mut self, at: u32, into: &mut [u8]) -> Result<(), FlashError> {
        self.with(|flash| flash.read(at, into))
    }
    fn program(&mut self, at: u32, bytes: &[u8]) -> Result<(), FlashError> {
        self.with(|flash| flash.program(at, bytes))
    }
    fn erase(&mut self, unit: u32) -> Result<(), FlashError> {
        self.with(|flash| flash.erase(unit))
    }
    fn sync(&mut self) -> Result<(), FlashError> {
        self.with(SimFlash::sync)
    }
}
