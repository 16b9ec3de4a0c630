//! From a screen to a frame: which lines, which QR code, where.

use std::time::Duration;

use super::cells::cells;
use super::text::{address, break_address, break_sentence, code, fit, short_address};
use super::words::words;
#[cfg(feature = "pixels")]
use super::{Bitmap, Ink, Picture, compose::Sheet};
use super::{Language, Qr, Screen, SignIn};

/// What there is to draw on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Surface {
    /// A terminal of character cells, with two modules of a QR code in a cell, one above the other.
    Terminal {
        /// Cells in a row.
        columns: u16,
        /// Rows that a frame may take.
        rows: u16,
    },
    /// A small display of ASCII cells.
    Characters {
        /// Cells in a row, 16 at the least.
        columns: u16,
        /// Rows, 2 at the least.
        rows: u16,
    },
    /// A panel of pixels; its frames are drawn by [`Frame::bitmap`].
    #[cfg(feature = "pixels")]
    Pixels {
        /// Pixels across, 32 at the least.
        width: u16,
        /// Pixels down, 32 at the least.
        height: u16,
        /// Which of its two colours ink has.
        ink: Ink,
        /// Whether a new picture takes seconds or wears it out (electronic paper): the time left
        /// is then told in minutes.
        slow: bool,
    },
    /// A line to a person's terminal program, of which nothing is known and nothing can be taken back.
    Serial,
}

/// A laid-out screen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// From top to bottom.
    pub lines: Vec<Line>,
    /// Goes with the lines where there is room for it.
    pub qr: Option<Placed>,
    /// When the same screen looks different, if ever.
    pub redraw_after: Option<Duration>,
    /// How many pages there are, at least one.
    pub pages: usize,
    /// How long this page stays where there are several.
    pub stay: Duration,
    /// Where everything stands, on a surface of pixels.
    #[cfg(feature = "pixels")]
    pub picture: Option<Picture>,
}

/// One line of text, free of anything that acts on a display.
#[derive(Clone, PartialEq, Eq)]
pub struct Line {
    /// May be empty.
    pub text: String,
    /// How it stands out.
    pub style: Style,
}

/// What a line is, for surfaces that can let it stand out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// Heads the screen.
    Title,
    /// A sentence.
    Plain,
    /// A user code.
    Code,
    /// Where to enter it.
    Address,
}

/// A QR code with its quiet zone and its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placed {
    /// The symbol.
    pub qr: Qr,
    /// Light modules around it.
    pub quiet: usize,
    /// Where the lines stand.
    pub place: Place,
}

/// Where the lines of a frame stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// To the right of the QR code.
    Beside,
    /// Under it.
    Under,
}

/// Lays `screen` out on `surface` in English as it looks at `now` (since the board started).
///
/// `page` counts from 0 and wraps; every page shows the user code in full.
pub fn layout(screen: &Screen, surface: Surface, page: usize, now: Duration) -> Frame {
    layout_in(Language::ENGLISH, screen, surface, page, now)
}

/// The same in any language.
pub fn layout_in(
    language: Language,
    screen: &Screen,
    surface: Surface,
    page: usize,
    now: Duration,
) -> Frame {
    layout_with(None, language, screen, surface, page, now)
}

/// The same for a screen and surface whose QR code is `known` from an earlier frame: finding the
/// mask of a symbol is nearly all the work.
pub(crate) fn layout_with(
    known: Option<Placed>,
    language: Language,
    screen: &Screen,
    surface: Surface,
    page: usize,
    now: Duration,
) -> Frame {
    match (surface, screen) {
        (Surface::Terminal { columns, rows }, Screen::SignIn(sign_in)) => {
            let time_left = TimeLeft::at(now, sign_in.expires);
            let text = SignInText { sign_in, language, time_left: &time_left.phrase(language) };
            let frame = text.on_terminal(known, columns.into(), rows.into());
            Frame { redraw_after: time_left.changes_after, ..frame }
        }
        (Surface::Terminal { columns, .. }, screen) => {
            terminal_words(screen, language, columns.into())
        }
        (Surface::Characters { columns, rows }, screen) => {
            cells(screen, language, columns.max(16).into(), rows.max(2).into(), page, now)
        }
        #[cfg(feature = "pixels")]
        (Surface::Pixels { width, height, ink, slow }, screen) => {
            let (width, height) = (width.max(32), height.max(32));
            Sheet { width, height, ink, slow, language }.lay_out(known, screen, page, now)
        }
        (Surface::Serial, Screen::SignIn(sign_in)) => serial_sign_in(sign_in, language, now),
        (Surface::Serial, screen) => serial_words(screen, language),
    }
}

impl Line {
    pub(super) fn new(style: Style, text: impl Into<String>) -> Self {
        Self { text: text.into(), style }
    }
}

impl Frame {
    /// Text alone, on one page that never changes.
    pub(super) fn of(lines: Vec<Line>) -> Self {
        Self {
            lines,
            qr: None,
            redraw_after: None,
            pages: 1,
            stay: Duration::MAX,
            #[cfg(feature = "pixels")]
            picture: None,
        }
    }

    /// Its pixels, on a surface of pixels.
    #[cfg(feature = "pixels")]
    pub fn bitmap(&self) -> Option<Bitmap> {
        self.picture.as_ref().map(|picture| picture.draw(self.qr.as_ref()))
    }
}

/// A code or address never gets into a log by way of a frame.
impl std::fmt::Debug for Line {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Line").field("style", &self.style).finish_non_exhaustive()
    }
}

impl Placed {
    /// Modules along an edge, quiet zone included.
    pub fn size(&self) -> usize {
        self.qr.size() + 2 * self.quiet
    }
}

/// Columns left free before text, and between a QR code and text.
const MARGIN: usize = 2;
/// Columns that a code or address is set in by.
const INDENT: usize = 3;
/// Longest line of text that reads well.
const READABLE: usize = 72;
/// Least columns for text beside a QR code: room for the longest code of the field.
const NARROW: usize = 26;
/// Longest user code that is shown, in columns.
const LONGEST_CODE: usize = 64;

fn terminal_words(screen: &Screen, language: Language, columns: usize) -> Frame {
    let words = words(screen, language);
    let title = Line::new(Style::Title, words.title);
    let room = room_for_text(columns);
    Frame::of(
        std::iter::once(title)
            .chain(words.long.iter().flat_map(|text| sentence(text, room)))
            .collect(),
    )
}

/// A sign-in in words, on a terminal.
struct SignInText<'a> {
    sign_in: &'a SignIn,
    language: Language,
    time_left: &'a str,
}

impl SignInText<'_> {
    fn on_terminal(&self, known: Option<Placed>, columns: usize, rows: usize) -> Frame {
        match self.with_qr(known, columns, rows) {
            Some((placed, lines)) => Frame { qr: Some(placed), ..Frame::of(lines) },
            None => Frame::of(self.without_qr(columns, rows)),
        }
    }

    /// The first that fits: the address with the code in it before the plain one, a wide quiet
    /// zone before a narrow one.
    fn with_qr(
        &self,
        known: Option<Placed>,
        columns: usize,
        rows: usize,
    ) -> Option<(Placed, Vec<Line>)> {
        let symbols = self.sign_in.qr_addresses().filter_map(Qr::of);
        let mut choices = known.into_iter().chain(symbols.flat_map(|qr| {
            [(4, Place::Beside), (4, Place::Under), (2, Place::Beside), (2, Place::Under)]
                .map(|(quiet, place)| Placed { qr: qr.clone(), quiet, place })
        }));
        choices.find_map(|placed| {
            let (across, down) = (placed.size(), placed.size().div_ceil(2));
            let beside = columns.saturating_sub(across + 2 * MARGIN);
            let room = if placed.place == Place::Beside { beside } else { room_for_text(columns) };
            let lines = self.steps("sign-in.scan", room.min(READABLE));
            let fits = match placed.place {
                Place::Beside => room >= NARROW && down.max(lines.len()) <= rows,
                Place::Under => across <= columns && down + lines.len() <= rows,
            };
            fits.then_some((placed, lines))
        })
    }

    fn without_qr(&self, columns: usize, rows: usize) -> Vec<Line> {
        let room = room_for_text(columns);
        let lines = self.steps("sign-in.open", room);
        if lines.len() <= rows {
            return lines;
        }
        let mut least = self.least(room);
        least.truncate(rows.max(1));
        least
    }

    /// What a person does, step by step.
    fn steps(&self, first: &str, room: usize) -> Vec<Line> {
        let short = short_address(&self.sign_in.verification_uri);
        let address = break_address(&short, room.saturating_sub(INDENT).max(1));
        let say = |key: &str| sentence(self.language.text(key), room);
        let waiting = self.language.fill("sign-in.waiting", &[("time", self.time_left)]);
        let parts = [
            vec![Line::new(Style::Title, self.language.text("sign-in.title"))],
            say(first),
            indented(Style::Address, address),
            say("sign-in.enter"),
            self.code_lines(room),
            sentence(&waiting, room),
        ];
        parts.join(&Line::new(Style::Plain, ""))
    }

    /// The code first, then as much of the rest as there is room for.
    fn least(&self, room: usize) -> Vec<Line> {
        let mut lines = self.code_lines(room);
        lines.extend(
            break_address(&short_address(&self.sign_in.verification_uri), room)
                .into_iter()
                .map(|line| Line::new(Style::Address, line)),
        );
        lines.push(Line::new(Style::Plain, self.time_left));
        lines
    }

    fn code_lines(&self, room: usize) -> Vec<Line> {
        // Wide characters take two columns.
        let room = room.saturating_sub(INDENT).max(2);
        let code = code(&self.sign_in.user_code, LONGEST_CODE);
        let mut rest = code.as_str();
        let mut lines = Vec::new();
        while !rest.is_empty() {
            let (line, tail) = rest.split_at(fit(rest, room).len());
            lines.push(line.to_owned());
            rest = tail;
        }
        indented(Style::Code, lines)
    }
}

fn sentence(text: &str, room: usize) -> Vec<Line> {
    break_sentence(text, room).into_iter().map(|line| Line::new(Style::Plain, line)).collect()
}

fn room_for_text(columns: usize) -> usize {
    columns.saturating_sub(MARGIN).clamp(1, READABLE)
}

fn indented(style: Style, lines: Vec<String>) -> Vec<Line> {
    lines
        .into_iter()
        .map(|line| Line::new(style, format!("{}{line}", " ".repeat(INDENT))))
        .collect()
}

fn serial_words(screen: &Screen, language: Language) -> Frame {
    let words = words(screen, language);
    let title = Line::new(Style::Title, format!("  {}", words.title.to_uppercase()));
    let sentences = words.long.iter().flat_map(|sentence| break_sentence(sentence, READABLE));
    let sentences = sentences.map(|line| Line::new(Style::Plain, format!("    {line}")));
    Frame::of(std::iter::once(title).chain(sentences).collect())
}

fn serial_sign_in(sign_in: &SignIn, language: Language, now: Duration) -> Frame {
    let time_left = TimeLeft::at(now, sign_in.expires).phrase(language);
    let code = code(&sign_in.user_code, LONGEST_CODE);
    let address = address(&sign_in.verification_uri);
    let values = [("address", &*address), ("code", &*code), ("time", &*time_left)];
    let line = |style, key, gap| Line::new(style, format!("{gap}{}", language.fill(key, &values)));
    let lines = vec![
        line(Style::Title, "serial.title", "  "),
        line(Style::Address, "serial.open", "    "),
        line(Style::Code, "serial.code", "    "),
    ];
    Frame { redraw_after: Some(REPRINT), ..Frame::of(lines) }
}

/// How often a line that scrolls away is written again.
const REPRINT: Duration = Duration::from_secs(60);

/// How long a code is still good for.
pub(super) struct TimeLeft {
    /// Hours, minutes and seconds; seconds that have begun count whole.
    pub(super) clock: String,
    /// When that changes, if ever.
    pub(super) changes_after: Option<Duration>,
    /// Minutes; one that has begun counts whole.
    #[cfg(feature = "pixels")]
    minutes: u64,
    /// When those change, if ever.
    #[cfg(feature = "pixels")]
    pub(super) minute_changes_after: Option<Duration>,
}

impl TimeLeft {
    pub(super) fn at(now: Duration, expires: Duration) -> Self {
        let left = expires.saturating_sub(now);
        let seconds = left.as_secs() + u64::from(left.subsec_nanos() > 0);
        let (hours, minutes, rest) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
        let clock = if hours > 0 {
            format!("{hours}:{minutes:02}:{rest:02}")
        } else {
            format!("{minutes}:{rest:02}")
        };
        let changes_after = match left.subsec_nanos() {
            _ if seconds == 0 => None,
            0 => Some(Duration::from_secs(1)),
            nanos => Some(Duration::from_nanos(nanos.into())),
        };
        #[cfg(feature = "pixels")]
        let minutes = seconds.div_ceil(60);
        Self {
            clock,
            changes_after,
            #[cfg(feature = "pixels")]
            minutes,
            #[cfg(feature = "pixels")]
            minute_changes_after: minutes
                .checked_sub(1)
                .map(|rest| left.saturating_sub(Duration::from_secs(rest * 60))),
        }
    }

    /// The same, or in minutes where the display is `slow`.
    #[cfg(feature = "pixels")]
    pub(super) fn shown(&self, language: Language, slow: bool) -> String {
        if slow {
            language.fill("time.minutes", &[("minutes", &self.minutes.to_string())])
        } else {
            self.phrase(language)
        }
    }

    /// `14:32 left`.
    pub(super) fn phrase(&self, language: Language) -> String {
        language.fill("time.left", &[("time", &self.clock)])
    }
}
