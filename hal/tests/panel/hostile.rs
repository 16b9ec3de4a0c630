//! An issuer that wants to do more with the display than show a code.

use signpost_hal::panel::{Panel as _, Serial};
use signpost_hal::screen::{Screen, Start};

use crate::emulated::Emulated;
use crate::samples::{NOW, sign_in};

const ATTACKS: [&str; 9] = [
    "\x1b[2J\x1b]0;title\x07",
    "A\r\nopen https://evil.example",
    "\u{9b}31m\u{85}",
    "\u{202e}DCBA\u{2066}",
    "\u{200f}AB\u{061c}CD",
    "A\u{200b}B\u{feff}C\u{ad}",
    "Z\u{301}\u{302}\u{303}\u{304}\u{305}",
    "\u{2028}line\u{2029}\t\0\x7f",
    "\u{e0041}\u{fe0f}\u{1f468}\u{200d}\u{1f469}",
];

/// What the panels write for a screen, without the sequences of the terminal panel itself.
fn written(screen: &Screen) -> [String; 2] {
    let mut serial = Vec::new();
    Serial::new(&mut serial).show(screen, NOW).unwrap();
    let terminal = Emulated::new(80, 24);
    terminal.panel().show(screen, NOW).unwrap();
    [String::from_utf8(serial).unwrap(), terminal.text()]
}

fn acts_on_a_display(c: char) -> bool {
    c.is_control() && c != '\n'
        || matches!(c, '\u{61c}' | '\u{ad}' | '\u{300}'..='\u{36f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}')
        || matches!(c, '\u{2066}'..='\u{2069}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{e0000}'..='\u{e007f}')
}

#[test]
fn nothing_that_acts_on_a_display_gets_through() {
    for attack in ATTACKS {
        let screens = [
            sign_in(attack, "https://a.example/", None),
            sign_in("WDJB-MJHT", &format!("https://a.example/{attack}"), Some(attack)),
            Screen::SignedIn { account: Some(attack.to_owned()) },
            Screen::SignInAgain { reason: attack.to_owned(), start: Start::Button },
            Screen::WrongAccount { hint: Some(attack.to_owned()) },
            Screen::Starting { version: attack.to_owned(), device: attack.to_owned() },
        ];
        for screen in screens {
            let [serial, terminal] = written(&screen);
            let bad = serial
                .replace("\r\n", "\n")
                .chars()
                .chain(terminal.chars())
                .find(|&c| acts_on_a_display(c));
            assert_eq!(bad, None, "{attack:?} in {screen:?}");
        }
    }
}

#[test]
fn a_code_cannot_pretend_to_be_another_line() {
    let [serial, terminal] =
        written(&sign_in("A\r\n    open https://evil.example", "https://a.example", None));
    assert_eq!(serial.lines().filter(|line| line.trim_start().starts_with("open ")).count(), 1);
    assert!(!terminal.lines().any(|line| line.trim_start().starts_with("open ")));
}

#[test]
fn a_code_is_shown_verbatim() {
    for code in ["WDJB-MJHT", "wdjb mjht", "0O1lI", "WWWWWWWWWWWWWWW", "a.b:c~d\\e", "漢字漢字漢字"]
    {
        for shown in written(&sign_in(code, "https://a.example", None)) {
            assert!(shown.contains(code), "{code}");
        }
    }
}

#[test]
fn a_hidden_character_leaves_a_mark_in_the_code() {
    for shown in written(&sign_in("AB\u{202e}CD", "https://a.example", None)) {
        assert!(shown.contains("AB?CD"));
    }
}

#[test]
fn look_alikes_in_an_address_show_as_what_they_are() {
    // The "a" is Cyrillic.
    for shown in written(&sign_in("WDJB-MJHT", "https://p\u{430}ypal.example", None)) {
        assert!(shown.contains("p%D0%B0ypal.example"));
    }
}

#[test]
fn lengths_are_bounded() {
    let long = "x".repeat(1_000_000);
    let uri = format!("https://a.example/{long}");
    for screen in [
        sign_in(&long, &uri, Some(&uri)),
        Screen::SignedIn { account: Some(long.clone()) },
        Screen::SignInAgain { reason: long.clone(), start: Start::Button },
        Screen::WrongAccount { hint: Some(long.clone()) },
    ] {
        for shown in written(&screen) {
            assert!(shown.len() < 1000, "{} bytes", shown.len());
        }
    }
}

#[test]
fn an_address_of_300_and_a_wide_code_are_complete_on_a_terminal() {
    let uri = format!("https://a.example/{}", "abcdefghi/".repeat(28));
    let code = "W".repeat(15);
    let [serial, terminal] = written(&sign_in(&code, &uri, None));
    assert!(serial.contains(&uri) && serial.contains(&code));
    let joined: String = terminal.split_whitespace().collect();
    assert!(
        terminal.contains(&code)
            && joined.contains(uri.trim_start_matches("https://").trim_end_matches('/'))
    );
}

#[test]
fn debug_output_holds_neither_code_nor_address() {
    let screen = sign_in(
        "WDJB-MJHT",
        "https://a.example/device",
        Some("https://a.example/device?c=WDJB-MJHT"),
    );
    let surface = signpost_hal::screen::Surface::Terminal { columns: 80, rows: 22 };
    let frame = signpost_hal::screen::layout(&screen, surface, 0, NOW);
    for debug in [format!("{screen:?}"), format!("{frame:?}"), format!("{screen:#?}")] {
        assert!(
            !debug.contains("WDJB") && !debug.contains("example") && !debug.contains("true"),
            "{debug}"
        );
    }
}
