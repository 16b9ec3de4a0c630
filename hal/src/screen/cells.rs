//! Layout for displays of few character cells: two to four rows of 16 or 20, ASCII only.
//!
//! The code stands on every page; only the address and the time turn.

use std::time::Duration;

use super::layout::{Frame, Line, Style, countdown};
use super::text::{break_address, break_sentence, code, short_address};
use super::words::{SIGN_IN, words};
use super::{Screen, SignIn};

/// How long a page with a part of the address stays, and one with the time.
const STAY: (Duration, Duration) = (Duration::from_secs(4), Duration::from_secs(2));

pub(super) fn cells(
    screen: &Screen,
    columns: usize,
    rows: usize,
    page: usize,
    now: Duration,
) -> Frame {
    if let Screen::SignIn(sign_in) = screen {
        let lay_out = if rows >= 4 { roomy } else { tight };
        return lay_out(sign_in, columns, rows, page, now);
    }
    let words = words(screen);
    let long = words.long.iter().flat_map(|sentence| break_sentence(&ascii(sentence), columns));
    let long: Vec<String> = long.collect();
    let rest = if long.len() < rows { long } else { vec![ascii(&words.short)] };
    let rest = rest.into_iter().map(|line| Line::new(Style::Plain, line));
    frame(std::iter::once(Line::new(Style::Title, words.title)).chain(rest), columns, rows)
}

/// Title, address, and code and time side by side.
fn roomy(sign_in: &SignIn, columns: usize, rows: usize, page: usize, now: Duration) -> Frame {
    let (time_left, redraw_after) = countdown(sign_in.expires, now);
    let code = ascii(&code(&sign_in.user_code, columns));
    let time = time_left.trim_end_matches(" left");
    let gap = columns.saturating_sub(code.len() + time.len());
    let last = if gap > 0 { format!("{code}{}{time}", " ".repeat(gap)) } else { code };
    let address = break_address(&short_address(&sign_in.verification_uri), columns);
    let parts: Vec<&[String]> = address.chunks(rows - 2).collect();
    let part = parts.get(page % parts.len().max(1)).copied().unwrap_or_default();
    let mut lines = vec![Line::new(Style::Title, SIGN_IN)];
    lines.extend(part.iter().map(|line| Line::new(Style::Address, line.as_str())));
    lines.resize(rows - 1, Line::new(Style::Plain, ""));
    lines.push(Line::new(Style::Code, last));
    Frame { redraw_after, pages: parts.len().max(1), stay: STAY.0, ..frame(lines, columns, rows) }
}

/// The code, and under it in turn the parts of the address and the time.
fn tight(sign_in: &SignIn, columns: usize, rows: usize, page: usize, now: Duration) -> Frame {
    let (time_left, redraw_after) = countdown(sign_in.expires, now);
    let code = ascii(&code(&sign_in.user_code, columns));
    let named = format!("Code: {code}");
    let code = if named.len() <= columns { named } else { code };
    let mut turns = break_address(&short_address(&sign_in.verification_uri), columns);
    turns.push(time_left);
    let page = page % turns.len();
    let is_time = page + 1 == turns.len();
    let pages = turns.len();
    let lines = [Line::new(Style::Code, code), Line::new(Style::Address, turns.swap_remove(page))];
    Frame {
        redraw_after: redraw_after.filter(|_| is_time),
        pages,
        stay: if is_time { STAY.1 } else { STAY.0 },
        ..frame(lines, columns, rows)
    }
}

fn frame(lines: impl IntoIterator<Item = Line>, columns: usize, rows: usize) -> Frame {
    let cut = |line: Line| Line { text: line.text.chars().take(columns).collect(), ..line };
    Frame::of(lines.into_iter().take(rows).map(cut).collect())
}

/// What the usual character generators have (HD44780, ROM code A00).
fn ascii(text: &str) -> String {
    text.replace('…', "..").chars().map(|c| if c.is_ascii() { c } else { '?' }).collect()
}
