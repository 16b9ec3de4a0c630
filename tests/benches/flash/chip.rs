//! The simulated NOR chip, as each store's own interface to flash.

use std::cell::RefCell;
use std::future::Future;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use embedded_storage_async::nor_flash::{
    ErrorType, NorFlash, NorFlashError, NorFlashErrorKind, ReadNorFlash,
};
use signpost_hal::flash::sim::{Counters, SimFlash};
use signpost_hal::flash::{Flash, FlashError, FlashErrorKind, Geometry};

/// Bytes erased together.
pub(crate) const SECTOR: u32 = 4096;
/// Bytes programmed together.
pub(crate) const WORD: u32 = 4;

/// A handle to one chip. The store has one, and who counts has another.
#[derive(Clone)]
pub(crate) struct Chip(Rc<RefCell<State>>);

struct State {
    sim: SimFlash,
    /// Bytes programmed over words that were programmed already.
    again: u64,
}

impl Chip {
    /// An erased chip of `size` bytes.
    pub(crate) fn new(size: u32) -> Result<Self, Box<dyn std::error::Error>> {
        let geometry = Geometry::new(SECTOR, WORD, size / SECTOR)?;
        Ok(Self(Rc::new(RefCell::new(State { sim: SimFlash::new(geometry, 1), again: 0 }))))
    }

    /// What was done so far. Programs of words that were programmed already count, too.
    pub(crate) fn counters(&self) -> Counters {
        let state = self.0.borrow();
        let counters = state.sim.counters();
        Counters { programmed: counters.programmed + state.again, ..counters }
    }

    /// Bytes that were programmed a second time between two erases.
    pub(crate) fn programmed_again(&self) -> u64 {
        self.0.borrow().again
    }

    /// Most over mean erases of a sector.
    pub(crate) fn unevenness(&self) -> f64 {
        let state = self.0.borrow();
        let erases = state.sim.erases();
        let most = erases.iter().copied().max().unwrap_or(0);
        let all: u32 = erases.iter().sum();
        f64::from(most) * erases.len() as f64 / f64::from(all)
    }

    /// Programs as plain NOR does, which only clears bits: some stores mark what they are done
    /// with by a second program, which the simulator refuses.
    fn program_over(&self, at: u32, bytes: &[u8]) -> Result<(), FlashError> {
        let state = &mut *self.0.borrow_mut();
        match state.sim.program(at, bytes) {
            Err(error) if error.kind() == FlashErrorKind::NotErased => {}
            other => return other,
        }
        for (at, word) in (at..).step_by(WORD as usize).zip(bytes.chunks(WORD as usize)) {
            match state.sim.program(at, word) {
                Err(error) if error.kind() == FlashErrorKind::NotErased => {
                    let held = &mut state.sim.image_mut()[at as usize..][..word.len()];
                    held.iter_mut().zip(word).for_each(|(held, new)| *held &= new);
                    state.again += word.len() as u64;
                }
                other => other?,
            }
        }
        Ok(())
    }
}

impl Flash for Chip {
    fn geometry(&self) -> Geometry {
        self.0.borrow().sim.geometry()
    }
    fn read(&mut self, at: u32, into: &mut [u8]) -> Result<(), FlashError> {
        self.0.borrow_mut().sim.read(at, into)
    }
    fn program(&mut self, at: u32, bytes: &[u8]) -> Result<(), FlashError> {
        self.0.borrow_mut().sim.program(at, bytes)
    }
    fn erase(&mut self, unit: u32) -> Result<(), FlashError> {
        self.0.borrow_mut().sim.erase(unit)
    }
    fn sync(&mut self) -> Result<(), FlashError> {
        self.0.borrow_mut().sim.sync()
    }
}

/// The simulator's error behind the peers' trait.
#[derive(Debug)]
pub(crate) struct ChipError(#[expect(dead_code, reason = "shown by Debug")] FlashError);

impl NorFlashError for ChipError {
    fn kind(&self) -> NorFlashErrorKind {
        NorFlashErrorKind::Other
    }
}

impl ErrorType for Chip {
    type Error = ChipError;
}

impl ReadNorFlash for Chip {
    const READ_SIZE: usize = 1;

    async fn read(&mut self, at: u32, into: &mut [u8]) -> Result<(), ChipError> {
        Flash::read(self, at, into).map_err(ChipError)
    }

    fn capacity(&self) -> usize {
        self.geometry().size() as usize
    }
}

impl NorFlash for Chip {
    const WRITE_SIZE: usize = WORD as usize;
    const ERASE_SIZE: usize = SECTOR as usize;

    async fn erase(&mut self, from: u32, to: u32) -> Result<(), ChipError> {
        (from / SECTOR..to / SECTOR)
            .try_for_each(|unit| Flash::erase(self, unit))
            .map_err(ChipError)
    }

    async fn write(&mut self, at: u32, bytes: &[u8]) -> Result<(), ChipError> {
        self.program_over(at, bytes).map_err(ChipError)
    }
}

impl embedded_storage_async::nor_flash::MultiwriteNorFlash for Chip {}

impl ekv::flash::Flash for Chip {
    type Error = ChipError;

    fn page_count(&self) -> usize {
        self.geometry().units() as usize
    }

    async fn erase(&mut self, page: ekv::flash::PageID) -> Result<(), ChipError> {
        Flash::erase(self, page.index() as u32).map_err(ChipError)
    }

    async fn read(
        &mut self,
        page: ekv::flash::PageID,
        offset: usize,
        into: &mut [u8],
    ) -> Result<(), ChipError> {
        Flash::read(self, page.index() as u32 * SECTOR + offset as u32, into).map_err(ChipError)
    }

    async fn write(
        &mut self,
        page: ekv::flash::PageID,
        offset: usize,
        bytes: &[u8],
    ) -> Result<(), ChipError> {
        let at = page.index() as u32 * SECTOR + offset as u32;
        Flash::program(self, at, bytes).map_err(ChipError)
    }
}

/// Runs a peer's future, which waits for nothing but the chip.
pub(crate) fn now<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    loop {
        if let Poll::Ready(value) = future.as_mut().poll(&mut context) {
            return value;
        }
    }
}
