//! `[panel.*]`, `[lamp.*]`, `[button.*]`, `[buzzer]`, `[quiet]`, `[support]`: what the board has
//! and how it behaves towards people.

use std::borrow::Cow;
use std::fmt;

use config::Value;

use super::reading::{Reading, Scalar, Setting, choice, decimal, found, section, whole, words};
use super::resolve::Resolve;
use super::value::{AbsPath, HttpUrl, Name, Text, text};

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
    /// The kinds that this program can drive.
    pub const BUILT_IN: &[Self] = &[Self::Terminal, Self::Serial];
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

text! {
    /// A bus of the board.
    pub struct Bus;
    "a bus such as \"i2c-1\" or \"spi-0.0\"";
    |text| match text.split_once('-') {
        Some(("i2c", number)) => decimal::<u8>(number).is_some(),
        Some(("spi", numbers)) => numbers.split_once('.').is_some_and(|(bus, select)| {
            decimal::<u8>(bus).is_some()
                && decimal::<u8>(select).is_some()
        }),
        _ => false,
    }
}

impl Bus {
    /// Its device node.
    pub fn node(&self) -> String {
        match self.as_str().strip_prefix("spi-") {
            Some(numbers) => format!("/dev/spidev{numbers}"),
            None => format!("/dev/{}", self.as_str()),
        }
    }

    /// The group that may use it on Debian and Raspberry Pi OS.
    pub fn group(&self) -> &'static str {
        if self.as_str().starts_with("spi") { "spi" } else { "i2c" }
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
    /// Bits a second on a serial line.
    pub struct Baud(u32), 300..=4_000_000
}

/// A panel's rotation, clockwise, in steps of 90 degrees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Degrees(u16);

impl Degrees {
    /// 0, 90, 180 or 270.
    pub fn get(self) -> u16 {
        self.0
    }
}

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
        bus: Option<Bus>,
        address: Option<I2cAddress>,
        columns: Option<Cells>,
        rows: Option<Cells>,
        width: Option<Pixels>,
        height: Option<Pixels>,
        rotate: Option<Degrees>,
        port: Option<AbsPath>,
        baud: Option<Baud>,
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
    /// A kind that this program cannot drive: reported, and left dark.
    NotBuiltIn {
        /// Which.
        kind: PanelKind,
        /// How it is wired.
        wiring: Wiring,
    },
}

/// How a panel on a bus is wired, as far as the configuration says.
#[derive(Clone, Debug, PartialEq)]
pub struct Wiring {
    /// The bus it hangs at.
    pub bus: Option<Bus>,
    /// Its address there.
    pub address: Option<I2cAddress>,
    /// Characters in a row.
    pub columns: Option<Cells>,
    /// Rows of characters.
    pub rows: Option<Cells>,
    /// Pixels across.
    pub width: Option<Pixels>,
    /// Pixels down.
    pub height: Option<Pixels>,
    /// How it is turned.
    pub rotate: Option<Degrees>,
}

impl PanelKeys {
    /// The panel, or problems.
    pub(super) fn resolve(self, name: &Name, at: &mut Resolve<'_>) -> Option<Panel> {
        let key = |key: &str| format!("panel.{name}.{key}");
        let kind = self
            .kind
            .or_else(|| at.missing(&key("kind"), &format!("allowed: {}", PanelKind::allowed())))?;
        let built_in = PanelKind::BUILT_IN.contains(&kind);
        if built_in {
            for unused in self.unused_by(kind) {
                let text = format!("a {} panel does not use it; remove it", kind.word());
                at.ignored(&key(unused), text);
            }
        } else {
            let text = format!(
                "found \"{}\": not in this build; built in: {}",
                kind.word(),
                words(PanelKind::BUILT_IN.iter().map(|kind| kind.word()))
            );
            at.ignored(&key("kind"), text);
        }
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
            | PanelKind::Json => Driver::NotBuiltIn {
                kind,
                wiring: Wiring {
                    bus: self.bus,
                    address: self.address,
                    columns: self.columns,
                    rows: self.rows,
                    width: self.width,
                    height: self.height,
                    rotate: self.rotate,
                },
            },
        };
        Some(Panel { name: name.clone(), idle: self.idle, driver })
    }

    /// Keys that are set and mean nothing to terminal and serial panels.
    fn unused_by(&self, kind: PanelKind) -> Vec<&'static str> {
        let terminal = kind == PanelKind::Terminal;
        let set = [
            ("bus", self.bus.is_some()),
            ("address", self.address.is_some()),
            ("columns", self.columns.is_some()),
            ("rows", self.rows.is_some()),
            ("width", self.width.is_some()),
            ("height", self.height.is_some()),
            ("rotate", self.rotate.is_some()),
            ("port", terminal && self.port.is_some()),
            ("baud", terminal && self.baud.is_some()),
        ];
        set.into_iter().filter(|(_, set)| *set).map(|(key, _)| key).collect()
    }
}

/// A GPIO line: chip and offset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// `gpiochip0`.
    pub chip: String,
    /// From 0.
    pub offset: u32,
}

impl Scalar for Line {
    fn allowed() -> Cow<'static, str> {
        "a GPIO line such as \"gpiochip0:17\"".into()
    }

    fn parse(text: &str) -> Result<Self, &'static str> {
        let (chip, offset) = text.split_once(':').ok_or("")?;
        let number = chip.strip_prefix("gpiochip").ok_or("")?;
        decimal::<u16>(number).ok_or("")?;
        let offset = decimal::<u32>(offset).filter(|offset| *offset < 1024).ok_or("")?;
        Ok(Self { chip: chip.to_owned(), offset })
    }

    fn text(&self) -> String {
        self.to_string()
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.chip, self.offset)
    }
}

section! {
    /// `[lamp.NAME]` or `[buzzer]` as written.
    pub(super) struct OutputKeys {
        enabled: bool = true,
        line: Option<Line>,
        active_low: bool,
    }
}

/// A lamp or the buzzer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// Where it hangs.
    pub line: Line,
    /// Whether a low level switches it on.
    pub active_low: bool,
}

impl OutputKeys {
    pub(super) fn resolve(self, key: &str, at: &mut Resolve<'_>) -> Option<Output> {
        let advice = format!("name {}", Line::allowed());
        let line = self.line.or_else(|| at.missing(&format!("{key}.line"), &advice))?;
        Some(Output { line, active_low: self.active_low })
    }
}

section! {
    /// `[button.NAME]` as written.
    pub(super) struct ButtonKeys {
        enabled: bool = true,
        line: Option<Line>,
        active_low: bool = true,
        input: Option<AbsPath>,
        code: Option<KeyCode>,
    }
}

whole! {
    /// A key of an input device (linux/input-event-codes.h).
    pub struct KeyCode(u16), 1..=767
}

/// A button.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Button {
    /// At a GPIO line.
    Line {
        /// Where it hangs.
        line: Line,
        /// Whether pressing pulls the line low.
        active_low: bool,
    },
    /// A key of an input device; any key where none is named.
    Input {
        /// /dev/input/eventN or a link to it.
        device: AbsPath,
        /// Which key.
        code: Option<KeyCode>,
    },
}

impl ButtonKeys {
    pub(super) fn resolve(self, name: &Name, at: &mut Resolve<'_>) -> Option<Button> {
        match (self.line, self.input) {
            (Some(line), None) => Some(Button::Line { line, active_low: self.active_low }),
            (None, Some(device)) => Some(Button::Input { device, code: self.code }),
            (None, None) => at.missing(
                &format!("button.{name}.line"),
                "name a GPIO line (line = \"gpiochip0:17\") or an input device (input = \"/dev/input/event0\")",
            ),
            (Some(_), Some(_)) => {
                at.wrong(&format!("button.{name}.line"), "found line and input; keep one of them")
            }
        }
    }
}

/// A time of day, local.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeOfDay {
    /// 0 to 23.
    pub hour: u8,
    /// 0 to 59.
    pub minute: u8,
}

impl Scalar for TimeOfDay {
    fn allowed() -> Cow<'static, str> {
        "a time of day such as \"22:00\"".into()
    }

    fn parse(text: &str) -> Result<Self, &'static str> {
        let two = |digits: &str, below: u8| {
            let plain = digits.len() == 2 && digits.bytes().all(|b| b.is_ascii_digit());
            digits.parse().ok().filter(|value| plain && *value < below).ok_or("")
        };
        let (hour, minute) = text.split_once(':').ok_or("")?;
        Ok(Self { hour: two(hour, 24)?, minute: two(minute, 60)? })
    }

    fn text(&self) -> String {
        format!("{:02}:{:02}", self.hour, self.minute)
    }
}

section! {
    /// `[quiet]` as written.
    pub(super) struct QuietKeys {
        from: Option<TimeOfDay>,
        to: Option<TimeOfDay>,
    }
}

/// The hours in which lamps and panels are dark; they may go past midnight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quiet {
    /// Dark from here on.
    pub from: TimeOfDay,
    /// Light again.
    pub to: TimeOfDay,
}

impl QuietKeys {
    pub(super) fn resolve(self, at: &mut Resolve<'_>) -> Option<Quiet> {
        match (self.from, self.to) {
            (None, None) => None,
            (Some(from), Some(to)) if from != to => Some(Quiet { from, to }),
            (Some(_), Some(_)) => at.wrong(
                "quiet.to",
                "found the same time as quiet.from; lamps would never light or never be dark",
            ),
            (None, Some(_)) => at.missing("quiet.from", "quiet.to alone says nothing"),
            (Some(_), None) => at.missing("quiet.to", "quiet.from alone says nothing"),
        }
    }
}

section! {
    /// `[support]`: whom to ask; shown with faults.
    pub struct Support {
        /// Who helps.
        name: Option<Text>,
        /// A page.
        url: Option<HttpUrl>,
        /// A number to call.
        phone: Option<Text>,
    }
}
