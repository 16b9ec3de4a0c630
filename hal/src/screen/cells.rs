//! Layout for displays of few character cells: two to four rows of 16 or 20, ASCII only.
//!
//! The code stands on every page; only the address and the time turn.

use std::time::Duration;

use super::layout::{Frame, Line, Style, TimeLeft};
use super::text::{break_address, break_sentence, code, short_address};
use super::words::words;
use super::{Language, Screen, SignIn};

/// How long a page with a part of the address stays, and one with the time.
const STAY: (Duration, Duration) = (Duration::from_secs(4), Duration::from_secs(2));

pub(super) fn cells(
    screen: &Screen,
    language: Language,
    columns: usize,
    rows: usize,
    page: usize,
    now: Duration,
) -> Frame {
    if let Screen::SignIn(sign_in) = screen {
        let lay_out = if rows >= 4 { roomy } else { tight };
        return lay_out(sign_in, language, columns, rows, page, now);
    }
    let words = words(screen, language);
    let ascii = |text: &str| language.ascii(text);
    let long = words.long.iter().flat_map(|sentence| break_sentence(&ascii(sentence), columns));
    let long: Vec<String> = long.collect();
    let rest = if long.len() < rows { long } else { vec![ascii(&words.short)] };
    let rest = rest.into_iter().map(|line| Line::new(Style::Plain, line));
    let title = Line::new(Style::Title, ascii(&words.title));
    frame(std::iter::once(title).chain(rest), columns, rows)
}

/// Title, address, and code and time side by side.
fn roomy(
    sign_in: &SignIn,
    language: Language,
    columns: usize,
    rows: usize,
    page: usize,
    now: Duration,
) -> Frame {
    let time = TimeLeft::at(now, sign_in.expires);
    let code = verbatim(&code(&sign_in.user_code, columns));
    let gap = columns.saturating_sub(code.len() + time.clock.len());
    let last = if gap > 0 { format!("{code}{}{}", " ".repeat(gap), time.clock) } else { code };
    let address = break_address(&short_address(&sign_in.verification_uri), columns);
    let parts: Vec<&[String]> = address.chunks(rows - 2).collect();
    let part = parts.get(page % parts.len().max(1)).copied().unwrap_or_default();
    let mut lines = vec![Line::new(Style::Title, language.ascii(language.text("sign-in.title")))];
    lines.extend(part.iter().map(|line| Line::new(Style::Address, line.as_str())));
    lines.resize(rows - 1, Line::new(Style::Plain, ""));
    lines.push(Line::new(Style::Code, last));
    let pages = parts.len().max(1);
    let redraw_after = time.changes_after;
    Frame { redraw_after, pages, stay: STAY.0, ..frame(lines, columns, rows) }
}

/// The code, and under it in turn the parts of the address and the time.
fn tight(
    sign_in: &SignIn,
    language: Language,
    columns: usize,
    rows: usize,
    page: usize,
    now: Duration,
) -> Frame {
    let time = TimeLeft::at(now, sign_in.expires);
    let code = verbatim(&code(&sign_in.user_code, columns));
    let named = language.ascii(&language.fill("sign-in.short", &[("code", &code)]));
    let code = if named.len() <= columns { named } else { code };
    let mut turns = break_address(&short_address(&sign_in.verification_uri), columns);
    turns.push(language.ascii(&time.phrase(language)));
    let page = page % turns.len();
    let is_time = page + 1 == turns.len();
    let pages = turns.len();
    let lines = [Line::new(Style::Code, code), Line::new(Style::Address, turns.swap_remove(page))];
    Frame {
        redraw_after: time.changes_after.filter(|_| is_time),
        pages,
        stay: if is_time { STAY.1 } else { STAY.0 },
        ..frame(lines, columns, rows)
    }
}

fn frame(lines: impl IntoIterator<Item = Line>, columns: usize, rows: usize) -> Frame {
    let cut = |line: Line| Line { text: line.text.chars().take(columns).collect(), ..line };
    Frame::of(lines.into_iter().take(rows).map(cut).collect())
}

/// A code as far as the usual character generators have it (HD44780, ROM code A00): another
/// letter in place of one would be another code.
fn verbatim(code: &str) -> String {
    code.chars().map(|c| if c.is_ascii() { c } else { '?' }).collect()
}
