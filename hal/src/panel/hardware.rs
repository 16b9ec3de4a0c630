//! Panels as a configuration describes them.

use std::path::{Path, PathBuf};

use super::bus::{Board, BusName, LineName};
use super::{Panel, PanelError};
use crate::screen::Language;

/// The kinds of panel that this build can drive, as the configuration names them.
pub const BUILT_IN: &[&str] = &[
    "terminal",
    "serial",
    #[cfg(feature = "panel-hd44780")]
    "hd44780",
    #[cfg(feature = "panel-oled")]
    "ssd1306",
    #[cfg(feature = "panel-oled")]
    "sh1106",
    #[cfg(feature = "panel-tft")]
    "st7789",
    #[cfg(feature = "panel-tft")]
    "st7735",
    #[cfg(feature = "panel-epaper")]
    "epaper",
    #[cfg(feature = "panel-framebuffer")]
    "framebuffer",
    #[cfg(feature = "panel-json")]
    "json",
];

/// A panel and its wires. Every kind can be described and checked; whether this build can open it,
/// [`BUILT_IN`] says.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Hardware {
    /// A character LCD behind a PCF8574.
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
    St7789 {
        /// Its wires.
        wires: SpiWires,
        /// What the controller cannot know.
        glass: TftGlass,
    },
    /// A colour panel with an ST7735.
    St7735 {
        /// Its wires.
        wires: SpiWires,
        /// What the controller cannot know.
        glass: TftGlass,
    },
    /// Electronic paper with an SSD1680 or SSD1681.
    Epaper {
        /// Its wires, of which reset is needed.
        wires: SpiWires,
        /// The line that says that it is busy.
        busy: LineName,
        /// Pixels across and down as the controller has them.
        size: (u16, u16),
    },
    /// A display that the kernel drives.
    Framebuffer(PathBuf),
    /// JSON lines into a pipe.
    Json(PathBuf),
}

/// Which controller an OLED has. Nothing tells them apart from outside: the wrong one answers and
/// shows rubbish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Controller {
    /// Most glasses of 0.96 inch, and those of 32 rows.
    Ssd1306,
    /// Most glasses of 1.3 inch.
    Sh1106,
}

/// What of a colour panel's glass its controller cannot know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TftGlass {
    /// Pixels across and down.
    pub size: (u16, u16),
    /// Where the glass begins in the controller's memory.
    pub offset: (u16, u16),
    /// It shows the complement unless told to invert, as those called IPS do.
    pub inverts: bool,
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

/// How a panel is mounted: the picture is turned clockwise so that it stands upright.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Turn {
    /// As its maker meant it.
    #[default]
    None,
    /// By 90 degrees.
    Quarter,
    /// By 180 degrees.
    Half,
    /// By 270 degrees.
    ThreeQuarters,
}

impl Turn {
    /// That many degrees, if they are 0, 90, 180 or 270.
    pub fn of_degrees(degrees: u16) -> Option<Self> {
        Some(match degrees {
            0 => Self::None,
            90 => Self::Quarter,
            180 => Self::Half,
            270 => Self::ThreeQuarters,
            _ => return None,
        })
    }
}

/// How a panel stands and what it speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mount {
    /// How it is turned.
    pub turn: Turn,
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
            Self::Hd44780 { bus, address, columns, rows } => {
                bus.must_be_i2c()?;
                match (columns, rows) {
                    (16 | 20, 2) | (20, 4) => match address {
                        0x20..=0x27 | 0x38..=0x3F => Ok(()),
                        _ => refused("has an address of 0x20 to 0x27 or 0x38 to 0x3F"),
                    },
                    _ => refused("has 16 or 20 columns and 2 rows, or 20 columns and 4 rows"),
                }
            }
            Self::Oled { bus, address, height, .. } => {
                bus.must_be_i2c()?;
                match height {
                    _ if !matches!(address, 0x3C | 0x3D) => refused("has address 0x3C or 0x3D"),
                    64 | 32 => Ok(()),
                    _ => refused("is 128 by 64 or 128 by 32"),
                }
            }
            Self::St7789 { wires, glass } => {
                wires.bus.must_be_spi()?;
                if glass.fits((240, 320)) {
                    return Ok(());
                }
                refused("is at most 240 by 320 with its offset: turn it by rotate")
            }
            Self::St7735 { wires, glass } => {
                wires.bus.must_be_spi()?;
                if glass.fits((132, 162)) {
                    return Ok(());
                }
                refused("is at most 132 by 162 with its offset: turn it by rotate")
            }
            Self::Epaper { wires, size: (width, height), .. } => {
                wires.bus.must_be_spi()?;
                if wires.reset.is_none() {
                    return refused("needs its reset line, which wakes it");
                }
                match (width, height) {
                    (64..=200, 64..=296) => Ok(()),
                    _ => refused("is 64 to 200 wide and up to 296 high: turn it by rotate"),
                }
            }
            Self::Framebuffer(_) | Self::Json(_) => Ok(()),
        }
    }

    /// The bus it hangs at.
    pub fn bus(&self) -> Option<BusName> {
        match self {
            Self::Hd44780 { bus, .. } | Self::Oled { bus, .. } => Some(*bus),
            Self::St7789 { wires, .. }
            | Self::St7735 { wires, .. }
            | Self::Epaper { wires, .. } => Some(wires.bus),
            Self::Framebuffer(_) | Self::Json(_) => None,
        }
    }

    /// The lines it has beside its bus.
    pub fn lines(&self) -> Vec<&LineName> {
        let (wires, busy) = match self {
            Self::Epaper { wires, busy, .. } => (wires, Some(busy)),
            Self::St7789 { wires, .. } | Self::St7735 { wires, .. } => (wires, None),
            Self::Hd44780 { .. } | Self::Oled { .. } | Self::Framebuffer(_) | Self::Json(_) => {
                return Vec::new();
            }
        };
        [Some(&wires.data), wires.reset.as_ref(), busy].into_iter().flatten().collect()
    }

    /// The device node or pipe that it is written to by its path.
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::Framebuffer(path) | Self::Json(path) => Some(path),
            Self::Hd44780 { .. }
            | Self::Oled { .. }
            | Self::St7789 { .. }
            | Self::St7735 { .. }
            | Self::Epaper { .. } => None,
        }
    }

    /// Whether it can be made dark: paper keeps its picture and has no light, and a pipe has a
    /// program behind it.
    pub fn is_lit(&self) -> bool {
        !matches!(self, Self::Epaper { .. } | Self::Json(_))
    }

    /// Whether what it hangs at is there and may be used. Touches neither panel nor line.
    ///
    /// # Errors
    /// As for [`open`](Self::open).
    pub fn reach(&self) -> Result<(), PanelError> {
        self.bus().map_or(Ok(()), |bus| super::bus::probe(&bus.node()))?;
        self.lines().into_iter().try_for_each(LineName::reach)?;
        self.path().map_or(Ok(()), super::bus::find)
    }

    /// Opens its bus and lines on `board` once, for this panel. The panel itself is not touched
    /// before a screen is shown.
    ///
    /// # Errors
    /// As for [`check`](Self::check); this build cannot drive it; or a bus, line or file cannot be
    /// had, with advice.
    pub fn open<B: Board>(&self, board: &B, mount: Mount) -> Result<Box<dyn Panel>, PanelError> {
        self.check()?;
        match self {
            #[cfg(feature = "panel-hd44780")]
            Self::Hd44780 { bus, address, columns, rows } => {
                let bus = board.i2c(*bus)?;
                let cells = super::Hd44780::new(bus, board.delay(), *address, *columns, *rows);
                Ok(Box::new(super::Characters::new(cells, mount.language)))
            }
            #[cfg(feature = "panel-oled")]
            Self::Oled { bus, address, controller, height } => {
                let bus = board.i2c(*bus)?;
                Ok(mount.pixels(super::Oled::new(bus, *address, *controller, *height)))
            }
            #[cfg(feature = "panel-tft")]
            Self::St7789 { wires, glass } => {
                let (bus, data, reset) = wires.open(board)?;
                let tft = super::Tft::new(bus, data, reset, board.delay(), super::St7789, *glass);
                Ok(mount.pixels(tft))
            }
            #[cfg(feature = "panel-tft")]
            Self::St7735 { wires, glass } => {
                let (bus, data, reset) = wires.open(board)?;
                let tft = super::Tft::new(bus, data, reset, board.delay(), super::St7735, *glass);
                Ok(mount.pixels(tft))
            }
            #[cfg(feature = "panel-epaper")]
            Self::Epaper { wires, busy, size } => {
                let (bus, data, reset) = wires.open(board)?;
                let reset = reset.ok_or_else(|| PanelError::new("needs its reset line"))?;
                let busy = board.input(busy)?;
                let delay = board.delay();
                Ok(mount.pixels(super::Epaper::new(bus, data, reset, busy, delay, *size)))
            }
            #[cfg(feature = "panel-framebuffer")]
            Self::Framebuffer(path) => Ok(mount.pixels(super::Framebuffer::open(path)?)),
            #[cfg(feature = "panel-json")]
            Self::Json(path) => Ok(Box::new(super::Json::open(path, mount.language)?)),
            #[cfg(not(feature = "panel-hd44780"))]
            Self::Hd44780 { .. } => not_built_in(board, mount),
            #[cfg(not(feature = "panel-oled"))]
            Self::Oled { .. } => not_built_in(board, mount),
            #[cfg(not(feature = "panel-tft"))]
            Self::St7789 { .. } | Self::St7735 { .. } => not_built_in(board, mount),
            #[cfg(not(feature = "panel-epaper"))]
            Self::Epaper { .. } => not_built_in(board, mount),
            #[cfg(not(feature = "panel-framebuffer"))]
            Self::Framebuffer(_) => not_built_in(board, mount),
            #[cfg(not(feature = "panel-json"))]
            Self::Json(_) => not_built_in(board, mount),
        }
    }
}

#[cfg(not(all(
    feature = "panel-epaper",
    feature = "panel-framebuffer",
    feature = "panel-hd44780",
    feature = "panel-json",
    feature = "panel-oled",
    feature = "panel-tft"
)))]
fn not_built_in<B: Board>(_: &B, _: Mount) -> Result<Box<dyn Panel>, PanelError> {
    Err(PanelError::new("is of a kind that this build cannot drive"))
}

#[cfg(feature = "pixels")]
impl Mount {
    fn pixels<G: super::Glass + 'static>(self, glass: G) -> Box<dyn Panel> {
        Box::new(super::Pixels::new(glass, self.turn, self.language))
    }
}

#[cfg(any(feature = "panel-tft", feature = "panel-epaper"))]
impl SpiWires {
    #[expect(clippy::type_complexity, reason = "a bus and two lines")]
    fn open<B: Board>(
        &self,
        board: &B,
    ) -> Result<(B::Spi, B::Output, Option<B::Output>), PanelError> {
        let bus = board.spi(self.bus, self.hertz)?;
        let data = board.output(&self.data, false)?;
        let reset = self.reset.as_ref().map(|line| board.output(line, true)).transpose()?;
        Ok((bus, data, reset))
    }
}

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
    use crate::panel::bus::Through;

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
            (oled(0x3C, Controller::Sh1106, 128), "128 by 64"),
            (oled(0x3D, Controller::Sh1106, 32), ""),
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
            hardware
                .open(&Through::Linux, Mount::default())
                .err()
                .map(|error| error.to_string())
                .unwrap_or_default()
        };
        assert!(why(lcd(0x27, 16, 2)).contains("load module i2c-dev"));
        assert!(why(tft((240, 240), (0, 0))).contains("load module spidev"));
        assert!(why(Hardware::Framebuffer("/dev/fb250".into())).contains("framebuffer emulation"));
        assert!(why(lcd(0x27, 17, 2)).contains("columns"), "before any bus is touched");
    }
}
