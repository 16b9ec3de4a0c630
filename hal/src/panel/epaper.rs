//! Black-and-white e-paper with an SSD1680 or SSD1681: WeAct 2.13 (122 by 250) and 2.9 inch (128
//! by 296), Waveshare 1.54 V2 (200 by 200), 2.13 V3 and 2.9 V2.
//!
//! A driver of our own: those at hand wait for a busy line without end, and panic where a line
//! fails. The data sheet is SSD1680 (Solomon Systech, rev. 0.14).

use std::fmt::Debug;

use embedded_hal::delay::DelayNs;
use embedded_hal::digital::{InputPin, OutputPin};
use embedded_hal::spi::SpiDevice;

use super::{Glass, PanelError};
use crate::screen::{Area, Bitmap};

/// Bytes that go out together; the kernel takes 4096 at a time.
const CHUNK: usize = 2048;
/// How long a panel may be busy, in steps of 10 ms: cold ones take twice the 2 s of others.
const PATIENCE: u32 = 1000;
/// Quick updates leave a shadow: after so many comes a whole one.
const QUICK: u32 = 10;

/// The display with its lines beside the bus.
#[derive(Debug)]
pub struct Epaper<S, O, I, D> {
    bus: S,
    data: O,
    reset: O,
    busy: I,
    delay: D,
    /// What is on the paper, if that is known, and what shall be.
    shown: Option<Bitmap>,
    next: Bitmap,
    quick: u32,
}

impl<S: SpiDevice, O: OutputPin, I: InputPin, D: DelayNs> Epaper<S, O, I, D> {
    /// A display of `width` by `height` as its controller has them, with its lines for data or
    /// command, for reset, and for being busy.
    pub fn new(bus: S, data: O, reset: O, busy: I, delay: D, (width, height): (u16, u16)) -> Self {
        let next = Bitmap::new(width, height);
        Self { bus, data, reset, busy, delay, shown: None, next, quick: 0 }
    }

    fn send(&mut self, command: u8, arguments: &[u8]) -> Result<(), PanelError> {
        self.data.set_low().map_err(failed)?;
        self.bus.write(&[command]).map_err(failed)?;
        self.data.set_high().map_err(failed)?;
        arguments.chunks(CHUNK).try_for_each(|part| self.bus.write(part).map_err(failed))
    }

    fn wait(&mut self) -> Result<(), PanelError> {
        for _ in 0..PATIENCE {
            if self.busy.is_low().map_err(failed)? {
                return Ok(());
            }
            self.delay.delay_ms(10);
        }
        Err(PanelError::new("stays busy: check its busy line and its power"))
    }

    /// Wakes it from deep sleep, too.
    fn restart(&mut self) -> Result<(), PanelError> {
        self.reset.set_low().map_err(failed)?;
        self.delay.delay_ms(10);
        self.reset.set_high().map_err(failed)?;
        self.delay.delay_ms(10);
        self.wait()?;
        self.send(0x12, &[])?;
        self.delay.delay_ms(10);
        self.wait()?;
        let (columns, [low, high]) =
            ((self.next.width() - 1) / 8, (self.next.height() - 1).to_le_bytes());
        self.send(0x01, &[low, high, 0])?;
        self.send(0x11, &[0x03])?;
        self.send(0x3C, &[0x05])?;
        self.send(0x18, &[0x80])?;
        if columns < 20 {
            // Narrow glasses are wired to the sources in the middle.
            self.send(0x21, &[0x00, 0x80])?;
        }
        self.send(0x44, &[0, columns.to_le_bytes()[0]])?;
        self.send(0x45, &[0, 0, low, high])
    }

    /// Writes a memory whole: the panel may have lost its power since the last time.
    fn write(&mut self, command: u8, picture: &Bitmap) -> Result<(), PanelError> {
        self.send(0x4E, &[0])?;
        self.send(0x4F, &[0, 0])?;
        let white: Vec<u8> = picture.rows().flatten().map(|ink| !ink).collect();
        self.send(command, &white)
    }
}

fn failed(error: impl Debug) -> PanelError {
    PanelError::of_bus(error)
}

impl<S, O, I, D> Glass for Epaper<S, O, I, D>
where
    S: SpiDevice + Send,
    O: OutputPin + Send,
    I: InputPin + Send,
    D: DelayNs + Send,
{
    fn size(&self) -> (u16, u16) {
        (self.next.width(), self.next.height())
    }

    fn is_slow(&self) -> bool {
        true
    }

    fn start(&mut self) -> Result<(), PanelError> {
        self.shown = None;
        Ok(())
    }

    fn draw(&mut self, picture: &Bitmap, _area: Area) -> Result<(), PanelError> {
        self.next = picture.clone();
        Ok(())
    }

    fn finish(&mut self, whole: bool) -> Result<(), PanelError> {
        let next = self.next.clone();
        let old = self.shown.take().filter(|_| !whole && self.quick < QUICK);
        self.restart()?;
        self.write(0x26, old.as_ref().unwrap_or(&next))?;
        self.write(0x24, &next)?;
        self.send(0x22, &[if old.is_some() { 0xFF } else { 0xF7 }])?;
        self.send(0x20, &[])?;
        self.delay.delay_ms(1);
        if self.busy.is_low().map_err(failed)? {
            return Err(PanelError::new("does not answer: check its wires and its power"));
        }
        self.wait()?;
        self.send(0x10, &[0x01])?;
        self.quick = if old.is_some() { self.quick + 1 } else { 0 };
        self.shown = Some(next);
        Ok(())
    }
}
