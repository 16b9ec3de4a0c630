//! Every screen on every panel of pixels, compared with `../panel/golden/*.txt`.

use std::fmt::Write as _;

use signpost_hal::screen::{Frame, Language, Screen, Surface, layout, layout_in};

use crate::golden::{compare, compare_text};
use crate::samples::{NOW, every_screen};
use crate::surfaces::{LOW_OLED, OLED, OTHERS, cells, quadrants};

/// All pages, one under the other, with how long each stays.
fn pages(
    language: Language,
    screen: &Screen,
    on: Surface,
    draw: impl Fn(&Frame) -> String,
) -> String {
    let mut picture = String::new();
    for page in 0..layout(screen, on, 0, NOW).pages {
        let frame = layout_in(language, screen, on, page, NOW);
        picture.push_str(&draw(&frame));
        if frame.pages > 1 {
            let _ = writeln!(picture, "  {} s", frame.stay.as_secs());
        }
    }
    picture
}

#[test]
fn every_screen_on_an_oled_in_pixels() {
    for (file, surface) in [("128x64.txt", OLED), ("128x32.txt", LOW_OLED)] {
        compare(file, every_screen(), |screen| {
            pages(Language::ENGLISH, screen, surface, |frame| quadrants(&frame.bitmap().unwrap()))
        });
    }
}

#[test]
fn every_screen_on_other_panels_of_pixels() {
    for (name, surface) in OTHERS {
        compare(&format!("{name}.txt"), every_screen(), |screen| {
            pages(Language::ENGLISH, screen, surface, cells)
        });
    }
}

#[test]
fn every_screen_in_every_language() {
    for language in Language::all().iter().filter(|language| **language != Language::ENGLISH) {
        let mut all = String::new();
        for (name, screen) in every_screen() {
            let _ = writeln!(all, "== {name}");
            let small = Surface::Characters { columns: 16, rows: 2 };
            let frame = layout_in(*language, &screen, small, 0, NOW);
            for line in &frame.lines {
                let _ = writeln!(all, "|{:16}|", line.text);
            }
            let _ = writeln!(all, "{}", pages(*language, &screen, OLED, cells));
        }
        compare_text(&format!("language-{}.txt", language.tag()), &all);
    }
}
