//! Colour panels on SPI, ST7789 and ST7735, in black and white. The driver is mipidsi.

use std::fmt::Debug;

use embedded_graphics::pixelcolor::{Rgb565, RgbColor as _};
use embedded_hal::delay::DelayNs;
use embedded_hal::digital::{self, OutputPin};
use embedded_hal::spi::SpiDevice;
use mipidsi::interface::{Interface, InterfaceKind};
use mipidsi::models::Model;
use mipidsi::options::ColorInversion;
use mipidsi::{Builder, Display};

pub use mipidsi::models::{ST7735s as St7735, ST7789 as St7789};

use super::{Glass, PanelError, TftGlass};
use crate::screen::{Area, Bitmap};

/// Bytes that go out together; the kernel takes 4096 at a time.
const CHUNK: usize = 2048;

/// The display; `M` is [`St7789`] or [`St7735`].
pub struct Tft<S, O, D, M>
where
    S: SpiDevice,
    O: OutputPin,
    M: Model<ColorFormat = Rgb565>,
{
    glass: TftGlass,
    delay: D,
    state: State<S, O, M>,
}

enum State<S, O, M>
where
    S: SpiDevice,
    O: OutputPin,
    M: Model<ColorFormat = Rgb565>,
{
    Off(Wire<S, O>, M, Reset<O>),
    On(Display<Wire<S, O>, M, Reset<O>>),
    /// The driver took its bus with it when it failed: the panel has to be opened anew.
    Lost,
}

impl<S, O, D, M> Tft<S, O, D, M>
where
    S: SpiDevice,
    O: OutputPin,
    M: Model<ColorFormat = Rgb565>,
{
    /// A display behind `bus`, with its lines for data or command and, if wired, for reset.
    pub fn new(bus: S, data: O, reset: Option<O>, delay: D, model: M, glass: TftGlass) -> Self {
        let reset = Reset { line: reset, is_done: false };
        Self { glass, delay, state: State::Off(Wire { bus, data }, model, reset) }
    }
}

impl<S, O, D, M> Glass for Tft<S, O, D, M>
where
    S: SpiDevice + Send,
    O: OutputPin + Send,
    D: DelayNs + Send,
    M: Model<ColorFormat = Rgb565> + Send,
{
    fn size(&self) -> (u16, u16) {
        self.glass.size
    }

    /// A window costs 11 bytes, as much as five pixels.
    fn grid(&self) -> (u16, u16) {
        (1, 8)
    }

    /// Resets it the first time only: after that a reset would be seen.
    fn start(&mut self) -> Result<(), PanelError> {
        let (wire, model, reset) = match std::mem::replace(&mut self.state, State::Lost) {
            State::Off(wire, model, reset) => (wire, model, reset),
            State::On(display) => {
                let (wire, model, reset) = display.release();
                (wire, model, reset.unwrap_or(Reset { line: None, is_done: true }))
            }
            State::Lost => return Err(PanelError::new("has lost its bus")),
        };
        let TftGlass { size, offset, inverts } = self.glass;
        let inverts = if inverts { ColorInversion::Inverted } else { ColorInversion::Normal };
        let display = Builder::new(model, wire)
            .display_size(size.0, size.1)
            .display_offset(offset.0, offset.1)
            .invert_colors(inverts)
            .reset_pin(reset)
            .init(&mut self.delay)
            .map_err(PanelError::of_bus)?;
        self.state = State::On(display);
        Ok(())
    }

    fn draw(&mut self, picture: &Bitmap, area: Area) -> Result<(), PanelError> {
        let State::On(display) = &mut self.state else { return Err(PanelError::new("is off")) };
        let (right, bottom) = (area.x + area.width - 1, area.y + area.height - 1);
        let places = (area.y..=bottom).flat_map(|y| (area.x..=right).map(move |x| (x, y)));
        let colours =
            places.map(|(x, y)| if picture.get(x, y) { Rgb565::BLACK } else { Rgb565::WHITE });
        display.set_pixels(area.x, area.y, right, bottom, colours).map_err(PanelError::of_bus)
    }
}

/// The four-wire interface. mipidsi's own borrows its buffer.
struct Wire<S, O> {
    bus: S,
    data: O,
}

/// The bus or a line of it failed: `Debug` is what a person reads.
struct WireError(String);

impl Debug for WireError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

fn failed(error: impl Debug) -> WireError {
    WireError(format!("{error:?}"))
}

impl<S: SpiDevice, O: OutputPin> Interface for Wire<S, O> {
    type Word = u8;
    type Error = WireError;
    const KIND: InterfaceKind = InterfaceKind::Serial4Line;

    fn send_command(&mut self, command: u8, arguments: &[u8]) -> Result<(), WireError> {
        self.data.set_low().map_err(failed)?;
        self.bus.write(&[command]).map_err(failed)?;
        self.data.set_high().map_err(failed)?;
        if arguments.is_empty() { Ok(()) } else { self.bus.write(arguments).map_err(failed) }
    }

    fn send_pixels<const N: usize>(
        &mut self,
        pixels: impl IntoIterator<Item = [u8; N]>,
    ) -> Result<(), WireError> {
        let mut chunk = Vec::with_capacity(CHUNK);
        for pixel in pixels {
            chunk.extend(pixel);
            if chunk.len() + N > CHUNK {
                self.bus.write(&chunk).map_err(failed)?;
                chunk.clear();
            }
        }
        if chunk.is_empty() { Ok(()) } else { self.bus.write(&chunk).map_err(failed) }
    }

    fn send_repeated_pixel<const N: usize>(
        &mut self,
        pixel: [u8; N],
        count: u32,
    ) -> Result<(), WireError> {
        self.send_pixels((0..count).map(|_| pixel))
    }
}

/// The reset line, pulled once. Where there is none, or after that, nothing happens.
struct Reset<O> {
    line: Option<O>,
    is_done: bool,
}

impl<O: OutputPin> digital::ErrorType for Reset<O> {
    type Error = O::Error;
}

impl<O: OutputPin> OutputPin for Reset<O> {
    fn set_low(&mut self) -> Result<(), O::Error> {
        match &mut self.line {
            Some(line) if !self.is_done => line.set_low(),
            _ => Ok(()),
        }
    }

    fn set_high(&mut self) -> Result<(), O::Error> {
        match &mut self.line {
            Some(line) if !self.is_done => {
                self.is_done = true;
                line.set_high()
            }
            _ => Ok(()),
        }
    }
}
