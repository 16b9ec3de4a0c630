//! `[panel.*]`: what shows screens, and how it is wired.

use std::borrow::Cow;

use config::Value;
use signpost_hal::panel::bus::{BusName, LineName};
use signpost_hal::panel::{BUILT_IN, Controller, Hardware, SpiWires, TftGlass, Turn};

use super::reading::{Reading, Scalar, Setting, choice, found, section, whole, words};
use super::resolve::Resolve;
use super::value::{AbsPath, Name};

choice! {
    /// Every kind of panel that a configuration may name.
    pub enum PanelKind {
        /// The agent's own terminal.
        Terminal = "terminal",
        /// A serial line.
        Serial = "serial",
        /// Character LCD behind a PCF8574.
        Hd44780 = "hd44780",
        /// OLED.
        Ssd1306 = "ssd1306",
        /// OLED.
        Sh1106 = "sh1106",
        /// Colour TFT.
        St7789 = "st7789",
        /// Colour TFT.
        St7735 = "st7735",
        /// Electronic paper.
        Epaper = "epaper",
        /// /dev/fbN.
        Framebuffer = "framebuffer",
        /// A JSON line for each screen.
        Json = "json",
    }
}

impl PanelKind {
    /// The keys that it has a use for, beside `enabled`, `kind` and `idle`.
    fn keys(self) -> &'static [&'static str] {
        match self {
            Self::Terminal => &[],
            Self::Serial => &["port", "baud"],
            Self::Hd44780 => &["bus", "address", "columns", "rows"],
            Self::Ssd1306 | Self::Sh1106 => &["bus", "address", "width", "height", "rotate"],
            Self::St7789 | Self::St7735 => &[
                "bus", "data", "reset", "speed", "width", "height", "offset_x", "offset_y",
                "inverts", "rotate",
            ],
            Self::Epaper => &["bus", "data", "reset", "busy", "speed", "width", "height", "rotate"],
            Self::Framebuffer => &["path", "rotate"],
            Self::Json => &["path"],
        }
    }

    /// Whether this program can drive it.
    fn is_built_in(self) -> bool {
        BUILT_IN.contains(&self.word())
    }
}

choice! {
    /// What a panel shows while there is nothing to say.
    pub enum Idle {
        /// How the device is.
        Status = "status",
        /// Nothing.
        Blank = "blank",
        /// It is left to the maker's own program.
        Release = "release",
    }
}

impl Scalar for BusName {
    fn allowed() -> Cow<'static, str> {
        "a bus such as \"i2c-1\" or \"spi-0.0\"".into()
    }

    fn parse(text: &str) -> Result<Self, &'static str> {
        text.parse().map_err(|_| "")
    }

    fn text(&self) -> String {
        self.to_string()
    }
}

whole! {
    /// A 7-bit I2C address outside the reserved ranges.
    pub struct I2cAddress(u8), 0x08..=0x77
}

whole! {
    /// Characters in a row, or rows of a panel.
    pub struct Cells(u8), 1..=80
}

whole! {
    /// Pixels along one side.
    pub struct Pixels(u16), 32..=4096
}

whole! {
    /// Columns or rows of a controller's memory before the glass begins.
    pub struct Offset(u16), 0..=320
}

whole! {
    /// Bits a second on a serial line.
    pub struct Baud(u32), 300..=4_000_000
}

whole! {
    /// Bits a second on SPI.
    pub struct Hertz(u32), 100_000..=125_000_000
}

/// A panel's rotation, clockwise, in steps of 90 degrees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Degrees(u16);

impl Setting for Degrees {
    fn read(node: &mut Value, at: &mut Reading) -> Option<Self> {
        match at.number(node, 0..=270)? {
            turned if turned % 90 == 0 => u16::try_from(turned).ok().map(Self),
            _ => at.refuse(node, &found(node, false), "0 | 90 | 180 | 270", ""),
        }
    }

    fn list(&self, key: &str, out: &mut Vec<(String, String)>) {
        out.push((key.to_owned(), self.0.to_string()));
    }
}

section! {
    /// `[panel.NAME]` as written; which keys are used depends on the kind.
    pub(super) struct PanelKeys {
        enabled: bool = true,
        kind: Option<PanelKind>,
        idle: Idle = Idle::Status,
        port: Option<AbsPath>,
        baud: Option<Baud>,
        bus: Option<BusName>,
        address: Option<I2cAddress>,
        columns: Option<Cells>,
        rows: Option<Cells>,
        data: Option<LineName>,
        reset: Option<LineName>,
        busy: Option<LineName>,
        speed: Option<Hertz>,
        width: Option<Pixels>,
        height: Option<Pixels>,
        offset_x: Option<Offset>,
        offset_y: Option<Offset>,
        inverts: Option<bool>,
        rotate: Option<Degrees>,
        path: Option<AbsPath>,
    }
}

/// A panel of the board.
#[derive(Clone, Debug, PartialEq)]
pub struct Panel {
    /// Its name in the configuration.
    pub name: Name,
    /// What it shows while there is nothing to say.
    pub idle: Idle,
    /// How it is reached.
    pub driver: Driver,
}

/// A panel's kind with what that kind needs.
#[derive(Clone, Debug, PartialEq)]
pub enum Driver {
    /// The agent's own terminal.
    Terminal,
    /// A serial line.
    Serial {
        /// Its device node.
        port: AbsPath,
        /// Its speed.
        baud: Baud,
    },
    /// A panel of the board.
    Board {
        /// Which, and its wires.
        hardware: Hardware,
        /// How it is mounted.
        turn: Turn,
    },
    /// A kind that this program cannot drive: reported, and left dark.
    NotBuiltIn {
        /// Which.
        kind: PanelKind,
    },
}

impl PanelKeys {
    /// The panel, or problems.
    pub(super) fn resolve(self, name: &Name, at: &mut Resolve<'_>) -> Option<Panel> {
        let key = |key: &str| format!("panel.{name}.{key}");
        let kind = self
            .kind
            .or_else(|| at.missing(&key("kind"), &format!("allowed: {}", PanelKind::allowed())))?;
        for unused in self.set().filter(|set| !kind.keys().contains(set)) {
            let text = format!("panels of kind {} do not use it; remove it", kind.word());
            at.ignored(&key(unused), text);
        }
        let idle = self.idle;
        let driver = match kind {
            PanelKind::Terminal => Driver::Terminal,
            PanelKind::Serial => {
                let advice = "name the serial line, such as \"/dev/ttyS0\"";
                let port = self.port.or_else(|| at.missing(&key("port"), advice))?;
                Driver::Serial { port, baud: self.baud.unwrap_or(Baud(115_200)) }
            }
            PanelKind::Hd44780
            | PanelKind::Ssd1306
            | PanelKind::Sh1106
            | PanelKind::St7789
            | PanelKind::St7735
            | PanelKind::Epaper
            | PanelKind::Framebuffer
            | PanelKind::Json => {
                let turn = self.rotate.and_then(|degrees| Turn::of_degrees(degrees.0));
                let hardware = self.hardware(kind, name, at)?;
                if let Err(error) = hardware.check() {
                    // Sentences of the hal begin with their verb.
                    let text = format!("there is no such panel: an {} {error}", kind.word());
                    return at.wrong(&format!("panel.{name}"), &text);
                }
                Driver::Board { hardware, turn: turn.unwrap_or_default() }
            }
        };
        let driver = if kind.is_built_in() { driver } else { Driver::NotBuiltIn { kind } };
        if let Driver::NotBuiltIn { kind } = driver {
            let built_in = words(BUILT_IN.iter().copied());
            let text =
                format!("found \"{}\": not in this build; built in: {built_in}", kind.word());
            at.ignored(&key("kind"), text);
        }
        Some(Panel { name: name.clone(), idle, driver })
    }

    /// A panel of the board with what a maker's most common part has where nothing is said.
    fn hardware(self, kind: PanelKind, name: &Name, at: &mut Resolve<'_>) -> Option<Hardware> {
        let advice = |what: &str| format!("an {} needs {what}", kind.word());
        let mut bus = |example: &str| {
            let advice = advice(&format!("its bus, such as \"{example}\""));
            self.bus.or_else(|| at.missing(&format!("panel.{name}.bus"), &advice))
        };
        let address = |usual: u8| self.address.map_or(usual, I2cAddress::get);
        let cells = |cells: Option<Cells>, usual: u8| cells.map_or(usual, Cells::get);
        let size = |width: u16, height: u16| {
            let of = |pixels: Option<Pixels>, usual| pixels.map_or(usual, Pixels::get);
            (of(self.width, width), of(self.height, height))
        };
        match kind {
            PanelKind::Terminal | PanelKind::Serial => None,
            PanelKind::Hd44780 => Some(Hardware::Hd44780 {
                bus: bus("i2c-1")?,
                address: address(0x27),
                columns: cells(self.columns, 16),
                rows: cells(self.rows, 2),
            }),
            PanelKind::Ssd1306 | PanelKind::Sh1106 => {
                let bus = bus("i2c-1")?;
                let (width, height) = size(128, 64);
                if width != 128 {
                    let key = format!("panel.{name}.width");
                    return at.wrong(&key, &format!("found {width}, allowed: 128"));
                }
                let is_sh1106 = kind == PanelKind::Sh1106;
                let controller = if is_sh1106 { Controller::Sh1106 } else { Controller::Ssd1306 };
                Some(Hardware::Oled { bus, address: address(0x3C), controller, height })
            }
            PanelKind::St7789 | PanelKind::St7735 => {
                let bus = bus("spi-0.0");
                let data = self.data.or_else(|| {
                    let advice = advice("the line for data or command (DC), such as \"GPIO25\"");
                    at.missing(&format!("panel.{name}.data"), &advice)
                });
                let hertz = self.speed.map_or(16_000_000, Hertz::get);
                let wires = SpiWires { bus: bus?, hertz, data: data?, reset: self.reset };
                let is_st7789 = kind == PanelKind::St7789;
                let offset = |offset: Option<Offset>| offset.map_or(0, Offset::get);
                let glass = TftGlass {
                    size: if is_st7789 { size(240, 240) } else { size(128, 160) },
                    offset: (offset(self.offset_x), offset(self.offset_y)),
                    inverts: self.inverts.unwrap_or(is_st7789),
                };
                Some(match is_st7789 {
                    true => Hardware::St7789 { wires, glass },
                    false => Hardware::St7735 { wires, glass },
                })
            }
            PanelKind::Epaper => {
                let bus = bus("spi-0.0");
                let mut line = |key: &str, line: Option<LineName>, what: &str| {
                    let advice = advice(&format!("the line {what}, such as \"GPIO24\""));
                    line.or_else(|| at.missing(&format!("panel.{name}.{key}"), &advice))
                };
                let data = line("data", self.data, "for data or command (DC)");
                let reset = line("reset", self.reset, "that resets it (RST)");
                let busy = line("busy", self.busy, "that says that it is busy (BUSY)");
                let hertz = self.speed.map_or(4_000_000, Hertz::get);
                let wires = SpiWires { bus: bus?, hertz, data: data?, reset: Some(reset?) };
                Some(Hardware::Epaper { wires, busy: busy?, size: size(200, 200) })
            }
            PanelKind::Framebuffer => {
                let path = self.path.map(|path| path.as_path().to_owned());
                Some(Hardware::Framebuffer(path.unwrap_or_else(|| "/dev/fb0".into())))
            }
            PanelKind::Json => {
                let advice = "name the pipe that your program reads, made by mkfifo";
                let path =
                    self.path.or_else(|| at.missing(&format!("panel.{name}.path"), advice))?;
                Some(Hardware::Json(path.as_path().to_owned()))
            }
        }
    }

    /// The keys that are set and of use to some kinds only.
    fn set(&self) -> impl Iterator<Item = &'static str> + use<> {
        let set = [
            ("port", self.port.is_some()),
            ("baud", self.baud.is_some()),
            ("bus", self.bus.is_some()),
            ("address", self.address.is_some()),
            ("columns", self.columns.is_some()),
            ("rows", self.rows.is_some()),
            ("data", self.data.is_some()),
            ("reset", self.reset.is_some()),
            ("busy", self.busy.is_some()),
            ("speed", self.speed.is_some()),
            ("width", self.width.is_some()),
            ("height", self.height.is_some()),
            ("offset_x", self.offset_x.is_some()),
            ("offset_y", self.offset_y.is_some()),
            ("inverts", self.inverts.is_some()),
            ("rotate", self.rotate.is_some()),
            ("path", self.path.is_some()),
        ];
        set.into_iter().filter(|(_, is_set)| *is_set).map(|(key, _)| key)
    }
}
