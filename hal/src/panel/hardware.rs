//! Panels as a configuration describes them.

#[cfg(feature = "panel-oled")]
use super::Controller;
#[cfg(feature = "pixels")]
use super::Pixels;
#[cfg(feature = "panel-tft")]
use super::TftGlass;
use super::bus::{self, BusName, LineName, Through};
use super::{Panel, PanelError};
use crate::screen::Language;

#[cfg(feature = "panel-tft")]
use super::{St7735, St7789, Tft};

/// A panel and its wires.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Hardware {
    /// A character LCD behind a PCF8574.
    #[cfg(feature = "panel-hd44780")]
    Hd44780 {
        /// Its I2C bus.
        bus: BusName,
        /// 0x20 to 0x27, or 0x38 to 0x3F.
        address: u8,
        /// 16 or 20.
        columns: u8,
        /// 2 or 4.
        rows: u8,
    },
    /// A small OLED.
    #[cfg(feature = "panel-oled")]
    Oled {
        /// Its I2C bus.
        bus: BusName,
        /// 0x3C or 0x3D.
        address: u8,
        /// Which one drives it.
        controller: Controller,
        /// 64 or 32 rows of 128 pixels.
        height: u16,
    },
    /// A colour panel with an ST7789.
    #[cfg(feature = "panel-tft")]
    St7789 {
        /// Its wires.
        wires: SpiWires,
        /// What the controller cannot know.
        glass: TftGlass,
    },
    /// A colour panel with an ST7735.
    #[cfg(feature = "panel-tft")]
    St7735 {
        /// Its wires.
        wires: SpiWires,
        /// What the controller cannot know.
        glass: TftGlass,
    },
    /// Electronic paper with an SSD1680 or SSD1681.
    #[cfg(feature = "panel-epaper")]
    Epaper {
        /// Its wires, of which reset is needed.
        wires: SpiWires,
        /// The line that says that it is busy.
        busy: LineName,
        /// Pixels across and down as the controller has them.
        size: (u16, u16),
    },
    /// A display that the kernel drives.
    #[cfg(feature = "panel-framebuffer")]
    Framebuffer(std::path::PathBuf),
    /// JSON lines into a pipe.
    #[cfg(feature = "panel-json")]
    Json(std::path::PathBuf),
}

/// The wires of a panel on SPI.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpiWires {
    /// Its bus and chip select.
    pub bus: BusName,
    /// Bits a second.
    pub hertz: u32,
    /// The line that tells data from commands.
    pub data: LineName,
    /// The line that resets it, if there is one.
    pub reset: Option<LineName>,
}

/// How a panel is reached and read.
#[derive(Clone, Copy, Debug, Default)]
pub struct Mount {
    /// Which library reaches the board.
    pub through: Through,
    /// How it is turned.
    #[cfg(feature = "pixels")]
    pub turn: super::Turn,
    /// The language of its texts.
    pub language: Language,
}

impl Hardware {
    /// Whether there is such a panel. Touches nothing.
    ///
    /// # Errors
    /// An address, size or wire that no panel of this kind has, with those that there are.
    pub fn check(&self) -> Result<(), PanelError> {
        let refused = |advice: &'static str| Err(PanelError::new(advice));
        match self {
            #[cfg(feature = "panel-hd44780")]
            Self::Hd44780 { address, columns, rows, .. } => match (address, columns, rows) {
                (_, 16 | 20, 2) | (_, 20, 4) => match address {
                    0x20..=0x27 | 0x38..=0x3F => Ok(()),
                    _ => refused("has an address of 0x20 to 0x27 or 0x38 to 0x3F"),
                },
                _ => refused("has 16 or 20 columns and 2 rows, or 20 columns and 4 rows"),
            },
            #[cfg(feature = "panel-oled")]
            Self::Oled { address, controller, height, .. } => match (controller, height) {
                _ if !matches!(address, 0x3C | 0x3D) => refused("has address 0x3C or 0x3D"),
                (_, 64) | (Controller::Ssd1306, 32) => Ok(()),
                (Controller::Ssd1306, _) => refused("is 128 by 64 or 128 by 32"),
                (Controller::Sh1106, _) => refused("is 128 by 64"),
            },
            #[cfg(feature = "panel-tft")]
            Self::St7789 { glass, .. } if !glass.fits((240, 320)) => {
                refused("is at most 240 by 320 with its offset: turn it by rotate")
            }
            #[cfg(feature = "panel-tft")]
            Self::St7735 { glass, .. } if !glass.fits((132, 162)) => {
                refused("is at most 132 by 162 with its offset: turn it by rotate")
            }
            #[cfg(feature = "panel-tft")]
            Self::St7789 { .. } | Self::St7735 { .. } => Ok(()),
            #[cfg(feature = "panel-epaper")]
            Self::Epaper { wires, size: (width, height), .. } => {
                if wires.reset.is_none() {
                    return refused("needs its reset line, which wakes it");
                }
                match (width, height) {
                    (64..=200, 64..=296) => Ok(()),
                    _ => refused("is 64 to 200 wide and up to 296 high: turn it by rotate"),
                }
            }
            #[cfg(feature = "panel-framebuffer")]
            Self::Framebuffer(_) => Ok(()),
            #[cfg(feature = "panel-json")]
            Self::Json(_) => Ok(()),
        }
    }

    /// Opens its bus and lines once, for this panel. The panel itself is not touched before a
    /// screen is shown.
    ///
    /// # Errors
    /// As for [`check`](Self::check); or a bus, line or file cannot be had, with advice.
    pub fn open(&self, mount: Mount) -> Result<Box<dyn Panel>, PanelError> {
        self.check()?;
        Ok(match self {
            #[cfg(feature = "panel-hd44780")]
            Self::Hd44780 { bus, address, columns, rows } => {
                let bus = bus::I2cBus::open(*bus, mount.through)?;
                let cells = super::Hd44780::new(bus, bus::Pause, *address, *columns, *rows);
                Box::new(super::Characters::new(cells, mount.language))
            }
            #[cfg(feature = "panel-oled")]
            Self::Oled { bus, address, controller, height } => {
                let bus = bus::I2cBus::open(*bus, mount.through)?;
                mount.pixels(super::Oled::new(bus, *address, *controller, *height))
            }
            #[cfg(feature = "panel-tft")]
            Self::St7789 { wires, glass } => {
                let (bus, data, reset) = wires.open(mount.through)?;
                mount.pixels(Tft::new(bus, data, reset, bus::Pause, St7789, *glass))
            }
            #[cfg(feature = "panel-tft")]
            Self::St7735 { wires, glass } => {
                let (bus, data, reset) = wires.open(mount.through)?;
                mount.pixels(Tft::new(bus, data, reset, bus::Pause, St7735, *glass))
            }
            #[cfg(feature = "panel-epaper")]
            Self::Epaper { wires, busy, size } => {
                let (bus, data, reset) = wires.open(mount.through)?;
                let reset = reset.ok_or_else(|| PanelError::new("needs its reset line"))?;
                let busy = bus::Input::open(busy, mount.through)?;
                mount.pixels(super::Epaper::new(bus, data, reset, busy, bus::Pause, *size))
            }
            #[cfg(feature = "panel-framebuffer")]
            Self::Framebuffer(path) => mount.pixels(super::Framebuffer::open(path)?),
            #[cfg(feature = "panel-json")]
            Self::Json(path) => Box::new(super::Json::open(path, mount.language)?),
        })
    }
}

impl Mount {
    #[cfg(feature = "pixels")]
    fn pixels<G: super::Glass + 'static>(self, glass: G) -> Box<dyn Panel> {
        Box::new(Pixels::new(glass, self.turn, self.language))
    }
}

impl SpiWires {
    #[cfg(any(feature = "panel-tft", feature = "panel-epaper"))]
    fn open(
        &self,
        through: Through,
    ) -> Result<(bus::SpiBus, bus::Output, Option<bus::Output>), PanelError> {
        let bus = bus::SpiBus::open(self.bus, through, self.hertz)?;
        let data = bus::Output::open(&self.data, through, false)?;
        let reset =
            self.reset.as_ref().map(|line| bus::Output::open(line, through, true)).transpose()?;
        Ok((bus, data, reset))
    }
}

#[cfg(feature = "panel-tft")]
impl TftGlass {
    fn fits(&self, memory: (u16, u16)) -> bool {
        let inside = |size: u16, offset: u16, most: u16| {
            size >= 32 && size.checked_add(offset).is_some_and(|end| end <= most)
        };
        inside(self.size.0, self.offset.0, memory.0) && inside(self.size.1, self.offset.1, memory.1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BUS: BusName = BusName::I2c(250);

    fn lcd(address: u8, columns: u8, rows: u8) -> Hardware {
        Hardware::Hd44780 { bus: BUS, address, columns, rows }
    }

    fn oled(address: u8, controller: Controller, height: u16) -> Hardware {
        Hardware::Oled { bus: BUS, address, controller, height }
    }

    fn tft(size: (u16, u16), offset: (u16, u16)) -> Hardware {
        let wires = SpiWires {
            bus: BusName::Spi(250, 0),
            hertz: 16_000_000,
            data: LineName::Number(0, 25),
            reset: None,
        };
        Hardware::St7789 { wires, glass: TftGlass { size, offset, inverts: true } }
    }

    #[test]
    fn what_no_panel_has_is_refused_with_what_there_is() {
        for (hardware, advice) in [
            (lcd(0x27, 16, 4), "20 columns and 4 rows"),
            (lcd(0x27, 40, 2), "16 or 20 columns"),
            (lcd(0x3C, 16, 2), ""),
            (lcd(0x50, 16, 2), "0x20 to 0x27"),
            (oled(0x27, Controller::Ssd1306, 64), "0x3C or 0x3D"),
            (oled(0x3C, Controller::Sh1106, 32), "128 by 64"),
            (oled(0x3C, Controller::Ssd1306, 48), "128 by 32"),
            (oled(0x3D, Controller::Ssd1306, 32), ""),
            (tft((320, 240), (0, 0)), "240 by 320"),
            (tft((240, 240), (0, 81)), "240 by 320"),
            (tft((240, 65535), (0, 1)), "240 by 320"),
            (tft((240, 240), (0, 80)), ""),
        ] {
            match (hardware.check(), advice) {
                (Ok(()), "") => {}
                (Err(error), advice) if !advice.is_empty() => {
                    assert!(error.to_string().contains(advice), "{error}");
                }
                (found, _) => panic!("{hardware:?}: {found:?}"),
            }
        }
    }

    #[test]
    fn a_panel_on_a_bus_that_is_not_there_says_what_brings_the_bus() {
        let why = |hardware: Hardware| {
            hardware.open(Mount::default()).err().map(|error| error.to_string()).unwrap_or_default()
        };
        assert!(why(lcd(0x27, 16, 2)).contains("load module i2c-dev"));
        assert!(why(tft((240, 240), (0, 0))).contains("load module spidev"));
        assert!(why(Hardware::Framebuffer("/dev/fb250".into())).contains("framebuffer emulation"));
        assert!(why(lcd(0x27, 17, 2)).contains("columns"), "before any bus is touched");
    }
}
