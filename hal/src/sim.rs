//! Panels at the end of simulated buses, in virtual time.
//!
//! A [`Time`] stands for the clock and the waits of a driver, [`I2cWire`] and [`SpiWire`] for its
//! bus. Bytes take as long as they would; nothing else does. A [`Part`] is what hangs on the bus: it
//! shows what a person would see, and keeps a [`Breach`] for every rule of its data sheet that the
//! driver broke. It can be unplugged, put back, or lose its power for a moment, after which its
//! memory holds anything.
//!
//! ```
//! use embedded_hal::i2c::I2c as _;
//! use signpost_hal::sim::{CharacterLcd, I2cWire, Part, Time};
//!
//! let time = Time::default();
//! let lcd = Part::new(&time, CharacterLcd::new(16, 2));
//! let mut bus = I2cWire::new(&time, 100_000).with(0x27, &lcd);
//! assert!(bus.write(0x3F, &[0]).is_err(), "nobody is there");
//! for pulse in [0x00, 0x34, 0x30] {
//!     bus.write(0x27, &[pulse]).unwrap();
//! }
//! assert!(!lcd.breaches().is_empty(), "an instruction so soon after power-on");
//! ```

mod board;
#[cfg(feature = "pixels")]
mod epaper;
mod i2c;
mod lcd;
#[cfg(feature = "pixels")]
mod oled;
mod spi;
#[cfg(feature = "pixels")]
mod tft;

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use embedded_hal::delay::DelayNs;

pub use board::{EmulatedBoard, EmulatedButton, EmulatedLamp, EmulatedLine, EmulatedSpi};
#[cfg(feature = "pixels")]
pub use epaper::EpaperPanel;
pub use i2c::{I2cChip, I2cWire, NoAnswer};
pub use lcd::CharacterLcd;
#[cfg(feature = "pixels")]
pub use oled::{Oled, OledKind};
pub use spi::{SpiChip, SpiLine, SpiWire};
#[cfg(feature = "pixels")]
pub use tft::{Tft, TftKind};

/// Virtual time since everything was switched on. Clones are the same clock.
///
/// It passes while bytes are on a bus, while a driver waits by its [`DelayNs`], and by
/// [`pass`](Self::pass).
#[derive(Clone, Debug, Default)]
pub struct Time(Arc<AtomicU64>);

impl Time {
    /// How late it is.
    pub fn now(&self) -> Duration {
        Duration::from_nanos(self.0.load(Ordering::SeqCst))
    }

    /// Lets `span` pass.
    pub fn pass(&self, span: Duration) {
        let nanos = u64::try_from(span.as_nanos()).unwrap_or(u64::MAX);
        self.0.fetch_add(nanos, Ordering::SeqCst);
    }

    /// Lets `bits` pass on a bus of `hertz`.
    fn pass_bits(&self, bits: u64, hertz: u32) {
        self.pass(Duration::from_nanos(bits * 1_000_000_000 / u64::from(hertz.max(1))));
    }
}

impl DelayNs for Time {
    fn delay_ns(&mut self, ns: u32) {
        self.pass(Duration::from_nanos(ns.into()));
    }
}

/// A rule of a data sheet that a driver broke.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Breach {
    /// When.
    pub at: Duration,
    /// What is asked, and where.
    pub rule: &'static str,
}

/// What a part notes down, and its source of whatever is undefined.
#[derive(Debug)]
pub struct Log {
    now: Duration,
    breaches: Vec<Breach>,
    random: u64,
}

impl Log {
    /// How late it is.
    pub fn now(&self) -> Duration {
        self.now
    }

    /// Notes that `rule` was broken.
    pub fn breach(&mut self, rule: &'static str) {
        self.breaches.push(Breach { at: self.now, rule });
    }

    /// Anything (splitmix64).
    pub fn random(&mut self) -> u8 {
        self.random = self.random.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.random ^ (self.random >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        (mixed >> 40) as u8
    }
}

/// Something that needs power.
pub trait Chip: Send {
    /// Power comes: registers as after a reset, memory holds anything.
    fn power_on(&mut self, log: &mut Log);
}

/// A part on a bus. Clones are the same part.
#[derive(Debug)]
pub struct Part<T>(Arc<Mutex<Hung<T>>>);

/// A part and how it is connected.
#[derive(Debug)]
struct Hung<T> {
    chip: T,
    plugged: bool,
    log: Log,
    time: Time,
}

impl<T> Clone for Part<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T: Chip> Part<T> {
    /// A part that gets its power now.
    pub fn new(time: &Time, mut chip: T) -> Self {
        let mut log = Log { now: time.now(), breaches: Vec::new(), random: 1 };
        chip.power_on(&mut log);
        let hung = Hung { chip, plugged: true, log, time: time.clone() };
        Self(Arc::new(Mutex::new(hung)))
    }

    /// Takes it off the bus and its power.
    pub fn unplug(&self) {
        self.lock().plugged = false;
    }

    /// Puts it back.
    pub fn plug(&self) {
        self.lock().plugged = true;
        self.glitch();
    }

    /// Takes its power for a moment: it answers as before, and has forgotten everything.
    pub fn glitch(&self) {
        self.with(|chip, log| chip.power_on(log));
    }

    /// Which rules were broken so far.
    pub fn breaches(&self) -> Vec<Breach> {
        self.lock().log.breaches.clone()
    }

    /// Looks at it.
    pub fn look<R>(&self, look: impl FnOnce(&T) -> R) -> R {
        look(&self.lock().chip)
    }

    fn is_plugged(&self) -> bool {
        self.lock().plugged
    }

    fn with<R>(&self, act: impl FnOnce(&mut T, &mut Log) -> R) -> R {
        let mut hung = self.lock();
        let Hung { chip, log, time, .. } = &mut *hung;
        log.now = time.now();
        act(chip, log)
    }

    fn lock(&self) -> MutexGuard<'_, Hung<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What went over a bus.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Bytes, on I2C with those of the address.
    pub bytes: u64,
    /// From start to stop, or from chip select to its end.
    pub transactions: u64,
}

/// Counts what goes over a bus. Clones are the same meter.
#[derive(Clone, Debug, Default)]
pub struct Meter(Arc<(AtomicU64, AtomicU64)>);

impl Meter {
    /// Since the last call.
    pub fn take(&self) -> Traffic {
        Traffic {
            bytes: self.0.0.swap(0, Ordering::SeqCst),
            transactions: self.0.1.swap(0, Ordering::SeqCst),
        }
    }

    fn byte(&self) {
        self.0.0.fetch_add(1, Ordering::SeqCst);
    }

    fn transaction(&self) {
        self.0.1.fetch_add(1, Ordering::SeqCst);
    }
}

impl fmt::Display for Breach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at {:?}: {}", self.at, self.rule)
    }
}
