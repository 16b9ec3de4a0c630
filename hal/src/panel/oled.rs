//! Small OLEDs on I2C: SSD1306 and SH1106, 128 by 64 or 32.
//!
//! A driver of our own: both controllers write pages alike, so one serves both, sends no more than
//! the columns that changed, and passes on why a bus failed. The data sheets are SSD1306 (Solomon
//! Systech, rev. 1.1) and SH1106 (Sino Wealth, V2.3).

use embedded_hal::i2c::I2c;

use super::{Controller, Glass, PanelError};
use crate::screen::{Area, Bitmap, Ink};

/// The display.
#[derive(Debug)]
pub struct Oled<I> {
    bus: I,
    address: u8,
    controller: Controller,
    height: u16,
}

impl<I: I2c> Oled<I> {
    /// A display at `address` (0x3C or 0x3D) of 128 columns and `height` rows: 64 or 32.
    pub fn new(bus: I, address: u8, controller: Controller, height: u16) -> Self {
        Self { bus, address, controller, height }
    }

    fn send(&mut self, bytes: &[u8]) -> Result<(), PanelError> {
        self.bus.write(self.address, bytes).map_err(PanelError::of_bus)
    }
}

impl<I: I2c + Send> Glass for Oled<I> {
    fn size(&self) -> (u16, u16) {
        (128, self.height)
    }

    fn ink(&self) -> Ink {
        Ink::Light
    }

    fn grid(&self) -> (u16, u16) {
        (1, 8)
    }

    /// Leaves it on or off: its memory may hold anything, and lights up only once it is drawn.
    fn start(&mut self) -> Result<(), PanelError> {
        let (rows, pins) = if self.height == 32 { (31, 0x02) } else { (63, 0x12) };
        let power: &[u8] = match self.controller {
            // Pages; charge pump.
            Controller::Ssd1306 => &[0x20, 0x02, 0x8D, 0x14, 0x2E],
            Controller::Sh1106 => &[0xAD, 0x8B],
        };
        // Control byte; clock, rows, offset, start line, upright, pins, contrast, pre-charge,
        // deselect level, memory as it is.
        let common = [
            0x00, 0xD5, 0x80, 0xA8, rows, 0xD3, 0x00, 0x40, 0xA1, 0xC8, 0xDA, pins, 0x81, 0x7F,
            0xD9, 0xF1, 0xDB, 0x20, 0xA4, 0xA6,
        ];
        self.send(&[&common, power].concat())
    }

    fn draw(&mut self, picture: &Bitmap, area: Area) -> Result<(), PanelError> {
        // A glass of 128 columns is mounted in the middle of the SH1106's 132.
        let column = area.x + if self.controller == Controller::Sh1106 { 2 } else { 0 };
        for y in (area.y..area.y + area.height).step_by(8) {
            let page = (y / 8) as u8 & 0x07;
            let (low, high) = ((column & 0x0F) as u8, (column >> 4) as u8 & 0x0F);
            self.send(&[0x00, 0xB0 | page, low, 0x10 | high])?;
            let bits = (area.x..area.x + area.width).map(|x| picture.page(x, y));
            let bytes: Vec<u8> = std::iter::once(0x40).chain(bits).collect();
            self.send(&bytes)?;
        }
        Ok(())
    }

    fn finish(&mut self, whole: bool) -> Result<(), PanelError> {
        if whole { self.send(&[0x00, 0xAF]) } else { Ok(()) }
    }
}
