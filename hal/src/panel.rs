//! Panels: what a screen is shown on, and the threads that keep slow or broken ones away from
//! everything else.
//!
//! A [`Panel`] is blocking, tiny and fallible. A [`PanelThread`] owns one: it opens it, hands it
//! the newest screen, and opens it again when it has failed.

mod advice;
#[cfg(feature = "bus")]
pub mod bus;
mod button;
#[cfg(feature = "bus")]
mod buzzer;
mod characters;
#[cfg(feature = "panel-epaper")]
mod epaper;
#[cfg(feature = "panel-framebuffer")]
mod framebuffer;
#[cfg(feature = "pixels")]
mod glass;
#[cfg(feature = "bus")]
mod hardware;
#[cfg(feature = "panel-hd44780")]
mod hd44780;
#[cfg(feature = "panel-json")]
mod json;
#[cfg(feature = "bus")]
mod lamp;
#[cfg(feature = "panel-oled")]
mod oled;
mod pages;
mod port;
mod serial;
mod terminal;
#[cfg(feature = "panel-tft")]
mod tft;
mod thread;

use std::borrow::Cow;
use std::fmt;
use std::os::fd::BorrowedFd;
use std::time::Duration;

use rustix::event::Timespec;

use crate::screen::Screen;

pub use button::{Button, ButtonThread, Contact, Key, Press};
#[cfg(feature = "bus")]
pub use buzzer::{Buzzer, LastPress, chirps};
pub use characters::{Cells, Characters};
#[cfg(feature = "panel-epaper")]
pub use epaper::Epaper;
#[cfg(feature = "panel-framebuffer")]
pub use framebuffer::Framebuffer;
#[cfg(feature = "pixels")]
pub use glass::{Glass, Pixels};
#[cfg(feature = "bus")]
pub use hardware::{BUILT_IN, Controller, Hardware, Mount, SpiWires, TftGlass, Turn};
#[cfg(feature = "panel-hd44780")]
pub use hd44780::Hd44780;
#[cfg(feature = "panel-json")]
pub use json::Json;
#[cfg(feature = "bus")]
pub use lamp::{Lamp, Light, light};
#[cfg(feature = "panel-oled")]
pub use oled::Oled;
pub use port::Port;
pub use serial::Serial;
pub use terminal::Terminal;
#[cfg(feature = "panel-tft")]
pub use tft::{St7735, St7789, Tft};
pub use thread::{Idle, PanelThread};

/// How often a panel is set up anew: one that lost its power for a moment answers, and stays dark.
const REFRESH: Duration = Duration::from_secs(45);

/// Waits before something that failed is opened again: the first, and the most after doubling.
const RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// `span` as the kernel takes it.
fn timespec(span: Duration) -> Timespec {
    Timespec {
        tv_sec: span.as_secs().try_into().unwrap_or(i64::MAX),
        tv_nsec: span.subsec_nanos().into(),
    }
}

/// What the names of threads begin with on which drivers run.
const THREAD: &str = "board-";

fn thread_name(part: &str) -> String {
    format!("{THREAD}{part}")
}

/// The panel or button whose thread this is, by the name that its thread was given. For whoever
/// hears of a panic: it was that driver's.
pub fn current_part() -> Option<String> {
    let current = std::thread::current();
    current.name()?.strip_prefix(THREAD).map(str::to_owned)
}

/// Something that shows screens. May block; only its own thread waits for it.
pub trait Panel: Send {
    /// Shows `screen` as it looks at `now` (since the board started), and says after how long it
    /// wants to be called again with the same one, e.g. for a countdown.
    ///
    /// # Errors
    /// The panel cannot be reached. It is then dropped and opened anew.
    fn show(&mut self, screen: &Screen, now: Duration) -> Result<Option<Duration>, PanelError>;

    /// Takes off whatever is private, as far as the panel can.
    ///
    /// # Errors
    /// As for [`show`](Self::show).
    fn clear(&mut self) -> Result<(), PanelError>;

    /// Where a person may ask to be shown the screen again: `show` is called once this can be read.
    fn input(&self) -> Option<BorrowedFd<'_>> {
        None
    }
}

/// Why a panel does not work, in a few words with advice where there is some. Never holds what
/// was to be shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PanelError(Cow<'static, str>);

impl PanelError {
    /// An error with this cause.
    pub fn new(cause: impl Into<Cow<'static, str>>) -> Self {
        Self(cause.into())
    }
}

impl fmt::Display for PanelError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for PanelError {}

/// An I/O error of a port or bus.
fn io_error(error: &impl embedded_io::Error) -> PanelError {
    PanelError::new(format!("does not answer: {error}"))
}
