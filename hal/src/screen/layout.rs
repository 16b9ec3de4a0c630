//! From a screen to a frame: which lines, which QR code, where.

use std::time::Duration;

use super::text::{address, break_address, break_sentence, code, short_address, width};
use super::words::{SIGN_IN, words};
use super::{Qr, Screen, SignIn};

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

/// Lays `screen` out on `surface` as it looks at `now` (since the board started).
///
/// `page` counts from 0 and wraps; every page shows the user code in full.
pub fn layout(screen: &Screen, surface: Surface, page: usize, now: Duration) -> Frame {
    let _ = page;
    match (surface, screen) {
        (Surface::Terminal { columns, rows }, Screen::SignIn(sign_in)) => {
            terminal_sign_in(sign_in, columns.into(), rows.into(), now)
        }
        (Surface::Terminal { columns, .. }, screen) => {
            text_alone(terminal_words(screen, columns.into()))
        }
        (Surface::Serial, screen) => serial(screen, now),
    }
}

impl Line {
    fn new(style: Style, text: impl Into<String>) -> Self {
        Self { text: text.into(), style }
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
/// Longest line of text that reads well.
const READABLE: usize = 72;
/// Least columns for text beside a QR code.
const NARROW: usize = 26;
/// Longest user code that is shown, in columns.
const LONGEST_CODE: usize = 64;

fn text_alone(lines: Vec<Line>) -> Frame {
    Frame { lines, qr: None, redraw_after: None, pages: 1 }
}

fn terminal_words(screen: &Screen, columns: usize) -> Vec<Line> {
    let words = words(screen);
    let room = columns.saturating_sub(MARGIN).clamp(1, READABLE);
    let title = Line::new(Style::Title, words.title);
    let sentences = words.long.iter().flat_map(|sentence| break_sentence(sentence, room));
    std::iter::once(title).chain(sentences.map(|line| Line::new(Style::Plain, line))).collect()
}

fn terminal_sign_in(sign_in: &SignIn, columns: usize, rows: usize, now: Duration) -> Frame {
    let (time_left, redraw_after) = countdown(sign_in.expires, now);
    let uris = [sign_in.verification_uri_complete.as_deref(), Some(&*sign_in.verification_uri)];
    let symbols: Vec<(usize, Qr)> =
        uris.into_iter().flatten().filter_map(Qr::of).enumerate().collect();
    for (_, qr) in symbols {
        for quiet in [4, 2] {
            for place in [Place::Beside, Place::Under] {
                let placed = Placed { qr: qr.clone(), quiet, place };
                let (across, down) = (placed.size(), placed.size().div_ceil(2));
                let room = match place {
                    Place::Beside => columns.saturating_sub(across + 2 * MARGIN),
                    Place::Under => columns.saturating_sub(MARGIN),
                };
                let lines = steps(sign_in, true, room.min(READABLE), &time_left);
                let fits = match place {
                    Place::Beside => {
                        room >= NARROW.max(width(&sign_in.user_code))
                            && down.max(lines.len()) <= rows
                    }
                    Place::Under => across <= columns && down + lines.len() <= rows,
                };
                if fits {
                    return Frame { lines, qr: Some(placed), redraw_after, pages: 1 };
                }
            }
        }
    }
    let room = columns.saturating_sub(MARGIN).clamp(1, READABLE);
    let mut lines = steps(sign_in, false, room, &time_left);
    if lines.len() > rows {
        lines = least(sign_in, room, &time_left);
        lines.truncate(rows.max(1));
    }
    Frame { lines, qr: None, redraw_after, pages: 1 }
}

/// What a person does, step by step.
fn steps(sign_in: &SignIn, with_qr: bool, room: usize, time_left: &str) -> Vec<Line> {
    let open = if with_qr {
        "1. Scan this with a phone, or open"
    } else {
        "1. On a phone or computer, open"
    };
    let sentence = |text: &str| {
        break_sentence(text, room)
            .into_iter()
            .map(|line| Line::new(Style::Plain, line))
            .collect::<Vec<_>>()
    };
    let blank = || Line::new(Style::Plain, "");
    let mut lines = vec![Line::new(Style::Title, SIGN_IN), blank()];
    lines.extend(sentence(open));
    lines.push(blank());
    lines.extend(indented(
        Style::Address,
        break_address(&short_address(&sign_in.verification_uri), room.saturating_sub(3).max(1)),
    ));
    lines.push(blank());
    lines.extend(sentence("2. Check or enter this code"));
    lines.push(blank());
    lines.extend(code_lines(sign_in, room));
    lines.push(blank());
    lines.extend(sentence(&format!("Waiting for you: {time_left}")));
    lines
}

/// The code first, then as much of the rest as there is room for.
fn least(sign_in: &SignIn, room: usize, time_left: &str) -> Vec<Line> {
    let mut lines = code_lines(sign_in, room);
    lines.extend(
        break_address(&short_address(&sign_in.verification_uri), room)
            .into_iter()
            .map(|line| Line::new(Style::Address, line)),
    );
    lines.push(Line::new(Style::Plain, time_left));
    lines
}

fn code_lines(sign_in: &SignIn, room: usize) -> Vec<Line> {
    let room = room.saturating_sub(3).max(2);
    let mut rest = code(&sign_in.user_code, LONGEST_CODE);
    let mut lines = Vec::new();
    while !rest.is_empty() {
        let tail = rest.split_off(super::text::fit(&rest, room).len());
        lines.push(rest);
        rest = tail;
    }
    indented(Style::Code, lines)
}

fn indented(style: Style, lines: Vec<String>) -> Vec<Line> {
    lines.into_iter().map(|line| Line::new(style, format!("   {line}"))).collect()
}

fn serial(screen: &Screen, now: Duration) -> Frame {
    let Screen::SignIn(sign_in) = screen else {
        let words = words(screen);
        let title = Line::new(Style::Title, format!("  {}", words.title.to_uppercase()));
        let sentences = words.long.iter().flat_map(|sentence| break_sentence(sentence, READABLE));
        return text_alone(
            std::iter::once(title)
                .chain(sentences.map(|line| Line::new(Style::Plain, format!("    {line}"))))
                .collect(),
        );
    };
    let (time_left, _) = countdown(sign_in.expires, now);
    let lines = vec![
        Line::new(Style::Title, "  SIGN IN REQUIRED"),
        Line::new(Style::Address, format!("    open {}", address(&sign_in.verification_uri))),
        Line::new(
            Style::Code,
            format!("    code {}  ({time_left})", code(&sign_in.user_code, LONGEST_CODE)),
        ),
    ];
    Frame { lines, qr: None, redraw_after: Some(REPRINT), pages: 1 }
}

/// How often a line that scrolls away is written again.
const REPRINT: Duration = Duration::from_secs(60);

/// The time left as text, and when that text changes. Seconds that have begun count whole.
fn countdown(expires: Duration, now: Duration) -> (String, Option<Duration>) {
    let left = expires.saturating_sub(now);
    let seconds = left.as_secs() + u64::from(left.subsec_nanos() > 0);
    let (hours, minutes, rest) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    let text = if hours > 0 {
        format!("{hours}:{minutes:02}:{rest:02} left")
    } else {
        format!("{minutes}:{rest:02} left")
    };
    let next = match left.subsec_nanos() {
        _ if seconds == 0 => None,
        0 => Some(Duration::from_secs(1)),
        nanos => Some(Duration::from_nanos(nanos.into())),
    };
    (text, next)
}
