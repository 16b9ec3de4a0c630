//! Text from others made harmless, and measured and broken in columns.
//!
//! What would act on a display instead of being seen never gets through: control characters (and
//! with them every escape sequence), marks that turn the reading direction, and all that has no
//! width. Lengths are bounded before anything is laid out.

use unicode_width::UnicodeWidthChar as _;

/// The longest address worth showing, in characters.
const LONGEST_ADDRESS: usize = 300;

/// Stands for a character of a code that may not be shown.
const HIDDEN: char = '?';

/// Columns that `text` takes on a display of character cells.
pub(crate) fn width(text: &str) -> usize {
    text.chars().map(|c| c.width().unwrap_or(0)).sum()
}

/// The longest beginning of `text` that fits into `columns`.
pub(crate) fn fit(text: &str, columns: usize) -> &str {
    let mut taken = 0;
    for (at, c) in text.char_indices() {
        taken += c.width().unwrap_or(0);
        if taken > columns {
            return &text[..at];
        }
    }
    text
}

/// `text` without what acts on a display, cut to `most` columns with `...`.
pub(crate) fn harmless(text: &str, most: usize) -> String {
    // Nothing that is left has no width, so `most` columns are at most `most` characters.
    let clean: String = text
        .chars()
        .map(|c| if c.is_whitespace() { ' ' } else { c })
        .filter(|&c| is_visible(c))
        .take(most + 1)
        .collect();
    if width(&clean) <= most {
        return clean;
    }
    let dots = &"..."[..most.min(3)];
    format!("{}{dots}", fit(&clean, most - dots.len()))
}

/// A user code: verbatim, but each character that may not be shown is replaced, one for one; cut
/// to `most` columns.
pub(crate) fn code(code: &str, most: usize) -> String {
    let shown: String =
        code.chars().take(most).map(|c| if is_visible(c) { c } else { HIDDEN }).collect();
    fit(&shown, most).to_owned()
}

/// An address: what RFC 3986 does not allow is percent-encoded, so that look-alikes from other
/// scripts show as what they are.
pub(crate) fn address(uri: &str) -> String {
    let mut shown = String::new();
    for c in uri.chars().take(LONGEST_ADDRESS) {
        if c.is_ascii_graphic() {
            shown.push(c);
        } else {
            for byte in c.encode_utf8(&mut [0; 4]).bytes() {
                shown.push_str(&format!("%{byte:02X}"));
            }
        }
    }
    shown.truncate(LONGEST_ADDRESS);
    shown
}

/// An address as a person types it: `https://` and `www.` go without saying.
pub(crate) fn short_address(uri: &str) -> String {
    let shown = address(uri);
    let rest = without_prefix(without_prefix(&shown, "https://"), "www.");
    rest.strip_suffix('/').unwrap_or(rest).to_owned()
}

fn without_prefix<'a>(text: &'a str, prefix: &str) -> &'a str {
    match text.split_at_checked(prefix.len()) {
        Some((head, rest)) if head.eq_ignore_ascii_case(prefix) => rest,
        _ => text,
    }
}

/// Breaks an address into lines of `columns`, after `/` or `.` where there is one.
pub(crate) fn break_address(address: &str, columns: usize) -> Vec<String> {
    break_after(address, columns, &['/', '.', '?', '&', '='])
}

/// Breaks a code into lines of `columns`: behind its hyphens if that takes no more lines than
/// anything else, else into even parts. Nothing is left out but a space at the end of a line.
#[cfg(feature = "pixels")]
pub(crate) fn break_code(code: &str, columns: usize) -> Vec<String> {
    let characters: Vec<char> = code.chars().collect();
    let least = characters.len().div_ceil(columns.max(1));
    let grouped: Vec<String> = break_after(code, columns, &['-', ' ', '.'])
        .into_iter()
        .map(|line| line.trim_end().to_owned())
        .collect();
    if grouped.len() <= least {
        return grouped;
    }
    let part = characters.len().div_ceil(least.max(1)).max(1);
    characters.chunks(part).map(|part| part.iter().collect()).collect()
}

/// Breaks a sentence into lines of `columns`, at spaces where there are some.
pub(crate) fn break_sentence(sentence: &str, columns: usize) -> Vec<String> {
    break_after(sentence, columns, &[' '])
        .into_iter()
        .map(|line| line.trim_end().to_owned())
        .collect()
}

fn break_after(text: &str, columns: usize, breaks: &[char]) -> Vec<String> {
    let mut lines = Vec::new();
    let mut rest = text;
    while width(rest.trim_end()) > columns {
        let room = fit(rest, columns).len();
        // A space may hang over the edge: nobody sees it there.
        let hang = usize::from(rest[room..].starts_with(' '));
        let word_end = rest[..room + hang].rfind(breaks).map(|at| at + 1);
        let first = rest.chars().next().map_or(0, char::len_utf8);
        let (line, tail) = rest.split_at(word_end.unwrap_or(room).max(first));
        lines.push(line.to_owned());
        rest = tail;
    }
    if !rest.is_empty() {
        lines.push(rest.to_owned());
    }
    lines
}

/// Control characters have no width that is known, and what joins, hides or turns has none at all,
/// the marks of the bidirectional algorithm (UAX #9, section 2) among them.
fn is_visible(c: char) -> bool {
    c == ' ' || !c.is_whitespace() && c.width().is_some_and(|columns| columns > 0)
}
