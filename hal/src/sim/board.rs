//! A board whose buses and lines are emulated: what a configuration describes is opened on it as on
//! a real one, and what hangs there tells what it saw.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use embedded_hal::digital::{self, InputPin, OutputPin, PinState};
use embedded_hal::spi::{self, Operation, SpiDevice};
use rustix::event::{EventfdFlags, eventfd};

use super::{I2cChip, I2cWire, Part, SpiChip, SpiLine, SpiWire, Time};
use crate::panel::bus::{Board, BusName, LineName};
use crate::panel::{Contact, PanelError};

/// See the module. Clones are the same board.
#[derive(Clone)]
pub struct EmulatedBoard {
    time: Time,
    wires: Arc<Mutex<Wires>>,
}

type Make<T> = BTreeMap<String, Box<dyn Fn() -> T + Send>>;

#[derive(Default)]
struct Wires {
    i2c: Make<I2cWire>,
    spi: Make<EmulatedSpi>,
    lines: Make<EmulatedLine>,
    buttons: Make<Box<dyn Contact>>,
}

impl EmulatedBoard {
    /// A board with nothing on it.
    pub fn new(time: &Time) -> Self {
        Self { time: time.clone(), wires: Arc::default() }
    }

    /// Hangs `part` at `address` of the I2C bus `bus`, which runs at 100 kHz and has nothing else.
    pub fn hang_i2c<T: I2cChip + 'static>(&self, bus: BusName, address: u8, part: &Part<T>) {
        let (time, part) = (self.time.clone(), part.clone());
        let wire = move || I2cWire::new(&time, 100_000).with(address, &part);
        self.lock().i2c.insert(bus.to_string(), Box::new(wire));
    }

    /// Hangs `part` at the SPI bus `bus`, which runs at `hertz`, with its lines: the one that tells
    /// data from commands, and those for reset and for being busy where it has them.
    pub fn hang_spi<T: SpiChip + 'static>(
        &self,
        (bus, hertz): (BusName, u32),
        part: &Part<T>,
        [data, reset, busy]: [Option<&LineName>; 3],
    ) {
        let is_data = Arc::new(AtomicBool::new(false));
        let (time, part) = (self.time.clone(), part.clone());
        let wire = move || SpiWire::sharing(&time, hertz, &part, &is_data);
        let mut wires = self.lock();
        let mut hang = |name: Option<&LineName>, pick: fn(&SpiWire<T>) -> SpiLine<T>| {
            let Some(name) = name else { return };
            let wire = wire.clone();
            let line = move || EmulatedLine::of(pick(&wire()));
            wires.lines.insert(name.to_string(), Box::new(line));
        };
        hang(data, SpiWire::data_line);
        hang(reset, SpiWire::reset_line);
        hang(busy, SpiWire::busy_line);
        let device = move || {
            let mut wire = wire();
            EmulatedSpi(Box::new(move |operations| {
                let Ok(()) = wire.transaction(operations);
            }))
        };
        wires.spi.insert(bus.to_string(), Box::new(device));
    }

    /// Hangs a lamp or a buzzer at `line`.
    pub fn hang_lamp(&self, line: &LineName) -> EmulatedLamp {
        let lamp = EmulatedLamp::default();
        let shared = lamp.clone();
        let make = move || EmulatedLine::of(shared.clone());
        self.lock().lines.insert(line.to_string(), Box::new(make));
        lamp
    }

    /// Hangs a button at `line`.
    ///
    /// # Panics
    /// The system has no event descriptor left.
    pub fn hang_button(&self, line: &LineName) -> EmulatedButton {
        let (edges, taken) = channel();
        let bell = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::SEMAPHORE);
        let bell = Arc::new(bell.expect("an event descriptor"));
        let taken = Arc::new(Mutex::new(taken));
        let button = EmulatedButton { bell: Arc::clone(&bell), edges };
        let make = move || {
            Box::new(Pressed { bell: Arc::clone(&bell), taken: Arc::clone(&taken) })
                as Box<dyn Contact>
        };
        self.lock().buttons.insert(line.to_string(), Box::new(make));
        button
    }

    fn lock(&self) -> MutexGuard<'_, Wires> {
        self.wires.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn made<T>(all: &Make<T>, name: String) -> Result<T, PanelError> {
    let make = all.get(&name);
    let nothing = || PanelError::new(format!("finds nothing at {name} of the emulated board"));
    make.map(|make| make()).ok_or_else(nothing)
}

impl Board for EmulatedBoard {
    type I2c = I2cWire;
    type Spi = EmulatedSpi;
    type Output = EmulatedLine;
    type Input = EmulatedLine;
    type Delay = Time;

    fn i2c(&self, name: BusName) -> Result<I2cWire, PanelError> {
        made(&self.lock().i2c, name.to_string())
    }

    fn spi(&self, name: BusName, _: u32) -> Result<EmulatedSpi, PanelError> {
        made(&self.lock().spi, name.to_string())
    }

    fn output(&self, name: &LineName, high: bool) -> Result<EmulatedLine, PanelError> {
        let mut line = made(&self.lock().lines, name.to_string())?;
        let Ok(()) = line.set_state(high.into());
        Ok(line)
    }

    fn input(&self, name: &LineName) -> Result<EmulatedLine, PanelError> {
        made(&self.lock().lines, name.to_string())
    }

    fn contact(&self, name: &LineName, _: bool) -> Result<Box<dyn Contact>, PanelError> {
        made(&self.lock().buttons, name.to_string())
    }

    fn delay(&self) -> Time {
        self.time.clone()
    }
}

type Transact = dyn FnMut(&mut [Operation<'_, u8>]) + Send;

/// A device on an emulated SPI bus.
pub struct EmulatedSpi(Box<Transact>);

impl spi::ErrorType for EmulatedSpi {
    type Error = Infallible;
}

impl SpiDevice for EmulatedSpi {
    fn transaction(&mut self, operations: &mut [Operation<'_, u8>]) -> Result<(), Infallible> {
        (self.0)(operations);
        Ok(())
    }
}

trait Pin: InputPin<Error = Infallible> + OutputPin + Send {}

impl<P: InputPin<Error = Infallible> + OutputPin + Send> Pin for P {}

/// A line of an emulated board.
pub struct EmulatedLine(Box<dyn Pin>);

impl EmulatedLine {
    fn of(pin: impl Pin + 'static) -> Self {
        Self(Box::new(pin))
    }
}

impl digital::ErrorType for EmulatedLine {
    type Error = Infallible;
}

impl OutputPin for EmulatedLine {
    fn set_low(&mut self) -> Result<(), Infallible> {
        self.0.set_low()
    }

    fn set_high(&mut self) -> Result<(), Infallible> {
        self.0.set_high()
    }
}

impl InputPin for EmulatedLine {
    fn is_high(&mut self) -> Result<bool, Infallible> {
        self.0.is_high()
    }

    fn is_low(&mut self) -> Result<bool, Infallible> {
        self.0.is_low()
    }
}

/// A lamp that counts. Clones are the same lamp.
#[derive(Clone, Debug, Default)]
pub struct EmulatedLamp(Arc<(AtomicBool, AtomicU32)>);

impl EmulatedLamp {
    /// Whether its line is high.
    pub fn is_high(&self) -> bool {
        self.0.0.load(Ordering::SeqCst)
    }

    /// How often its line has gone high.
    pub fn rises(&self) -> u32 {
        self.0.1.load(Ordering::SeqCst)
    }
}

impl digital::ErrorType for EmulatedLamp {
    type Error = Infallible;
}

impl OutputPin for EmulatedLamp {
    fn set_low(&mut self) -> Result<(), Infallible> {
        self.set_state(PinState::Low)
    }

    fn set_high(&mut self) -> Result<(), Infallible> {
        self.set_state(PinState::High)
    }

    fn set_state(&mut self, state: PinState) -> Result<(), Infallible> {
        let high = state == PinState::High;
        if high && !self.0.0.swap(high, Ordering::SeqCst) {
            self.0.1.fetch_add(1, Ordering::SeqCst);
        }
        self.0.0.store(high, Ordering::SeqCst);
        Ok(())
    }
}

impl InputPin for EmulatedLamp {
    fn is_high(&mut self) -> Result<bool, Infallible> {
        Ok(Self::is_high(self))
    }

    fn is_low(&mut self) -> Result<bool, Infallible> {
        Ok(!Self::is_high(self))
    }
}

/// The finger on a button.
#[derive(Clone, Debug)]
pub struct EmulatedButton {
    bell: Arc<OwnedFd>,
    edges: Sender<bool>,
}

impl EmulatedButton {
    /// Presses the button, or lets it go.
    pub fn press(&self, is_down: bool) {
        // Without a board nobody looks.
        let _ = self.edges.send(is_down);
        let _ = rustix::io::write(&self.bell, &1_u64.to_ne_bytes());
    }
}

/// The button as the board sees it.
struct Pressed {
    bell: Arc<OwnedFd>,
    taken: Arc<Mutex<Receiver<bool>>>,
}

impl Contact for Pressed {
    fn source(&self) -> BorrowedFd<'_> {
        self.bell.as_fd()
    }

    fn take(&mut self) -> Result<Option<bool>, PanelError> {
        let _ = rustix::io::read(&self.bell, &mut [0; 8]);
        Ok(self.taken.lock().unwrap_or_else(PoisonError::into_inner).try_recv().ok())
    }
}
