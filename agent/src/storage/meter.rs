//! How many bytes go to flash: what a day of them costs is what a medium lives for.

use signpost_hal::flash::{Flash, FlashError, Geometry};
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

/// Counts the bytes that are programmed on all media that it watches.
#[derive(Clone, Debug, Default)]
pub(super) struct Meter(Arc<AtomicU64>);

impl Meter {
    pub(super) fn watch<F>(&self, flash: F) -> Metered<F> {
        Metered { flash, meter: self.clone() }
    }

    /// Bytes since the start.
    pub(super) fn bytes(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A medium that is watched.
pub(super) struct Metered<F> {
    flash: F,
    meter: Meter,
}

impl<F: Flash> Flash for Metered<F> {
    fn geometry(&self) -> Geometry {
        self.flash.geometry()
    }

    fn read(&mut self, at: u32, into: &mut [u8]) -> Result<(), FlashError> {
        self.flash.read(at, into)
    }

    fn program(&mut self, at: u32, bytes: &[u8]) -> Result<(), FlashError> {
        self.meter.0.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        self.flash.program(at, bytes)
    }

    fn erase(&mut self, unit: u32) -> Result<(), FlashError> {
        self.flash.erase(unit)
    }

    fn sync(&mut self) -> Result<(), FlashError> {
        self.flash.sync()
    }
}
