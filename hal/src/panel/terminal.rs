//! A terminal. What is private stands in rows of its own at the top and is taken away again;
//! everything else is printed like the output of any program.
//!
//! While the top rows are taken, the scrolling region is the rest of the screen: whatever else
//! writes to this terminal goes on below, and no row with a code ever scrolls into history.
//! Sequences are those of ECMA-48 and DEC's VT100, which every terminal since knows.

use std::fmt::{self, Write as _};
use std::path::Path;
use std::time::Duration;

use embedded_io::Write;

use super::{Panel, PanelError, Port, io_error};
use crate::screen::{Frame, Language, Line, Place, Placed, Screen, Style, Surface, layout_with};

/// Black on white from the fixed part of the 256 colours: a theme changes the first 16 only.
const BLACK_ON_WHITE: &str = "\x1b[38;5;16;48;5;231m";
const PLAIN: &str = "\x1b[0m";
/// Columns left free at the left, and between a QR code and text.
const MARGIN: &str = "  ";
/// Rows that stay free for whatever else is printed, at the least.
const REST: u16 = 2;
/// When all is drawn anew, in case someone cleared the screen.
const REFRESH: Duration = Duration::from_secs(30);
/// What a terminal that does not tell its size is taken for.
const COMMON_SIZE: (u16, u16) = (80, 24);

/// A terminal that understands VT100.
pub struct Terminal<W> {
    out: W,
    size: Box<dyn FnMut() -> Option<(u16, u16)> + Send>,
    pinned: Option<Pinned>,
    printed: Option<Screen>,
    language: Language,
}

/// What stands in the top rows.
struct Pinned {
    rows: Vec<String>,
    size: (u16, u16),
    drawn: Duration,
    /// Belongs to this screen at this size.
    qr: Option<(Screen, Placed)>,
}

impl Terminal<Port> {
    /// The terminal at `path`, e.g. `/dev/tty` for the one that this process runs on.
    ///
    /// # Errors
    /// It cannot be opened or is no terminal.
    pub fn open(path: &Path) -> Result<Self, PanelError> {
        let port = Port::terminal(path)?;
        let same = port.try_clone()?;
        Ok(Self::new(port, move || same.size()))
    }
}

impl<W: Write> Terminal<W> {
    /// A terminal that `out` leads to; `size` tells its columns and rows, if they are known.
    pub fn new(out: W, size: impl FnMut() -> Option<(u16, u16)> + Send + 'static) -> Self {
        let (size, language) = (Box::new(size), Language::ENGLISH);
        Self { out, size, pinned: None, printed: None, language }
    }

    /// The same in another language than English.
    #[must_use]
    pub fn in_language(self, language: Language) -> Self {
        Self { language, ..self }
    }

    fn write(&mut self, text: &str) -> Result<(), PanelError> {
        self.out
            .write_all(text.as_bytes())
            .and_then(|()| self.out.flush())
            .map_err(|error| io_error(&error))
    }

    fn pin(&mut self, mut new: Pinned) -> Result<(), PanelError> {
        let size = new.size;
        let text = match &self.pinned {
            Some(old) if old.size == size && old.rows.len() == new.rows.len() => {
                let all = new.drawn.saturating_sub(old.drawn) >= REFRESH;
                let rows = (1..).zip(&new.rows).zip(&old.rows);
                let changed = rows.filter(|((_, new), old)| all || new != old);
                let drawn: String = changed.map(|((at, row), _)| draw(at, row)).collect();
                new.drawn = if all { new.drawn } else { old.drawn };
                format!("\x1b7{drawn}\x1b8")
            }
            _ => {
                let mut text = self.unpin(size);
                // What stood on the screen moves into history before the top is taken.
                let _ = write!(text, "\r{}", "\n".repeat(size.1.into()));
                text.extend((1..).zip(&new.rows).map(|(at, row)| draw(at, row)));
                let free = new.rows.len() + 1;
                let _ = write!(text, "\x1b[{free};{}r\x1b[{free};1H\x1b[J", size.1);
                text
            }
        };
        self.pinned = Some(new);
        self.write(&text)
    }

    /// What takes the top rows away and puts the cursor where it was.
    fn unpin(&mut self, size: (u16, u16)) -> String {
        let Some(old) = self.pinned.take() else { return String::new() };
        if old.size != size {
            // The terminal has moved rows about, perhaps into history: all of it has to go.
            let blank: String = (1..=size.1).map(|at| draw(at.into(), "")).collect();
            return format!("\x1b[r{blank}\x1b[3J\x1b[H");
        }
        let count = old.rows.len();
        let blank: String = (1..=count).map(|at| draw(at, "")).collect();
        format!("\x1b7\x1b[r{blank}\x1b[H\x1b[{count}M\x1b8\x1b[{count}A")
    }

    fn size(&mut self) -> (u16, u16) {
        (self.size)().unwrap_or(COMMON_SIZE)
    }
}

impl<W: Write + Send> Panel for Terminal<W> {
    fn show(&mut self, screen: &Screen, now: Duration) -> Result<Option<Duration>, PanelError> {
        let size = self.size();
        let surface = Surface::Terminal { columns: size.0, rows: size.1.saturating_sub(REST) };
        let known = self.pinned.as_ref().filter(|old| old.size == size);
        let known = known.and_then(|old| old.qr.as_ref()).filter(|(of, _)| of == screen);
        let known = known.map(|(_, placed)| placed.clone());
        let frame = layout_with(known, self.language, screen, surface, 0, now);
        let rows = rows(&frame);
        if screen.is_private() {
            self.printed = None;
            let qr = frame.qr.map(|placed| (screen.clone(), placed));
            self.pin(Pinned { rows, size, drawn: now, qr })?;
            return Ok(Some(frame.redraw_after.unwrap_or(REFRESH)));
        }
        let mut text = self.unpin(size);
        if !self.printed.as_ref().is_some_and(|printed| screen.is_update_of(printed)) {
            text.push('\r');
            for row in rows {
                let _ = write!(text, "{row}\r\n");
            }
        }
        self.write(&text)?;
        self.printed = Some(screen.clone());
        Ok(None)
    }

    fn clear(&mut self) -> Result<(), PanelError> {
        let size = self.size();
        let text = self.unpin(size);
        self.write(&text)
    }
}

/// Says neither what it shows nor showed.
impl<W> fmt::Debug for Terminal<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Terminal").finish_non_exhaustive()
    }
}

/// Erases first: erasing after a full row would take its last character away.
fn draw(at: usize, row: &str) -> String {
    format!("\x1b[{at};1H{PLAIN}\x1b[2K{row}")
}

fn rows(frame: &Frame) -> Vec<String> {
    let text = frame.lines.iter().map(|line| format!("{MARGIN}{}", styled(line)));
    let Some(placed) = &frame.qr else { return text.collect() };
    let symbol: Vec<String> =
        (0..placed.size().div_ceil(2)).map(|row| half_blocks(placed, row)).collect();
    match placed.place {
        Place::Under => symbol.into_iter().chain(text).collect(),
        Place::Beside => {
            let empty = " ".repeat(placed.size());
            let height = symbol.len().max(frame.lines.len());
            let above = (height - frame.lines.len()) / 2;
            let text: Vec<String> = std::iter::repeat_n(String::new(), above).chain(text).collect();
            let row = |at: usize| {
                let left = symbol.get(at).unwrap_or(&empty);
                let right = text.get(at).map_or("", String::as_str);
                format!("{MARGIN}{left}{right}")
            };
            (0..height).map(row).collect()
        }
    }
}

fn styled(line: &Line) -> String {
    let text = &line.text;
    match line.style {
        Style::Plain => text.clone(),
        Style::Title | Style::Address => format!("\x1b[1m{text}{PLAIN}"),
        // In a box, which takes the place of the last space before it.
        Style::Code => {
            let (indent, code) = text.split_at(text.len() - text.trim_start().len());
            format!("{}\x1b[1;7m {code} {PLAIN}", indent.get(1..).unwrap_or_default())
        }
    }
}

/// Two rows of modules, one above the other in each cell.
fn half_blocks(placed: &Placed, row: usize) -> String {
    let dark = |x: usize, y: usize| match (x.checked_sub(placed.quiet), y.checked_sub(placed.quiet))
    {
        (Some(x), Some(y)) => placed.qr.is_dark(x, y),
        _ => false,
    };
    let cell = |x| match (dark(x, 2 * row), dark(x, 2 * row + 1)) {
        (false, false) => ' ',
        (true, false) => '▀',
        (false, true) => '▄',
        (true, true) => '█',
    };
    let cells: String = (0..placed.size()).map(cell).collect();
    format!("{BLACK_ON_WHITE}{cells}{PLAIN}")
}
