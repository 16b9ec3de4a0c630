//! What holds on a panel of any size, for any code and address.

use std::time::Duration;

use signpost_hal::screen::{Area, Frame, Ink, Language, Screen, Start, Style, Surface};
use signpost_hal::screen::{layout, layout_in};

use crate::samples::{NOW, addresses, every_screen, keycloak, microsoft, sign_in};
use crate::surfaces::{LOW_OLED, OLED, OTHERS, odd};

fn all_surfaces() -> impl Iterator<Item = Surface> {
    [OLED, LOW_OLED].into_iter().chain(OTHERS.map(|(_, surface)| surface)).chain(odd())
}

fn overlap(a: Area, b: Area) -> bool {
    a.x < b.x + b.width && b.x < a.x + a.width && a.y < b.y + b.height && b.y < a.y + a.height
}

/// All that is shown in a style, over all pages, without spaces.
fn shown(screen: &Screen, surface: Surface, style: Style) -> Vec<String> {
    let pages = layout(screen, surface, 0, NOW).pages;
    let page = |page| -> String {
        let frame = layout(screen, surface, page, NOW);
        let lines = frame.lines.into_iter().filter(|line| line.style == style);
        lines.map(|line| line.text).collect()
    };
    (0..pages).map(page).collect()
}

fn assert_inside(frame: &Frame) {
    let picture = frame.picture.as_ref().unwrap();
    let size = format!("{} x {}", picture.width(), picture.height());
    let mut areas: Vec<Area> = picture.lines().map(|(_, area, _)| area).collect();
    areas.extend(picture.symbol().map(|symbol| symbol.field));
    for (at, area) in areas.iter().enumerate() {
        let inside =
            area.x + area.width <= picture.width() && area.y + area.height <= picture.height();
        assert!(inside, "{area:?} on {size}");
        assert!(!areas[..at].iter().any(|other| overlap(*area, *other)), "{area:?} on {size}");
    }
}

#[test]
fn nothing_is_cut_off_and_nothing_overlaps_on_any_panel() {
    let mut screens = every_screen();
    screens.push(("long address", sign_in("WDJB-MJHT", &addresses()[45], None)));
    for surface in all_surfaces() {
        for (_, screen) in &screens {
            assert_inside(&layout(screen, surface, 0, NOW));
        }
    }
    for language in Language::all() {
        for (_, surface) in OTHERS {
            screens.iter().for_each(|(_, screen)| {
                assert_inside(&layout_in(*language, screen, surface, 0, NOW));
            });
        }
    }
}

#[test]
fn the_code_stands_whole_on_every_page_and_the_pages_make_the_whole_address() {
    for surface in all_surfaces() {
        for uri in addresses().iter().step_by(3) {
            let screen = sign_in("WDJB-MJHT", uri, None);
            for code in shown(&screen, surface, Style::Code) {
                assert_eq!(code, "WDJB-MJHT", "{surface:?}");
            }
            let address = shown(&screen, surface, Style::Address).concat();
            let short = uri.trim_start_matches("https://").trim_start_matches("www.");
            // Nothing below 48 pixels across shows a code and an address.
            let Surface::Pixels { width, .. } = surface else { unreachable!() };
            assert!(address == short.trim_end_matches('/') || width < 48, "{address} {surface:?}");
        }
    }
}

#[test]
fn long_and_wide_codes_are_whole_wherever_a_code_is_as_large_as_the_field_has() {
    for code in ["W".repeat(15), "123456789".to_owned(), "ABCD-EFGH-IJKL-MNOP".to_owned()] {
        for surface in all_surfaces() {
            let Surface::Pixels { width, height, .. } = surface else { unreachable!() };
            if width >= 84 && height >= 32 {
                let uri = format!("https://a.example/{}", "abcdefghi/".repeat(28));
                let screen = sign_in(&code, &uri, Some("https://a.example/?c=1"));
                let spaceless = shown(&screen, surface, Style::Code);
                assert!(spaceless.iter().all(|shown| *shown == code), "{surface:?} {spaceless:?}");
                let address = shown(&screen, surface, Style::Address).concat();
                assert_eq!(address.len(), uri.len() - "https:///".len(), "{surface:?}");
            }
        }
    }
}

#[test]
fn an_issuer_cannot_draw_what_is_not_text() {
    let attacks =
        ["\x1b[2J", "A\r\nB", "\u{202e}DCBA", "A\u{200b}B\u{feff}", "Z\u{301}\u{302}", "漢字"];
    for attack in attacks {
        for screen in [
            sign_in(attack, &format!("https://a.example/{attack}"), Some(attack)),
            Screen::SignedIn { account: Some(attack.to_owned()) },
            Screen::SignInAgain { reason: attack.to_owned(), start: Start::Button },
            Screen::WrongAccount { hint: Some(attack.to_owned()) },
        ] {
            let frame = layout(&screen, OLED, 0, NOW);
            let shown: String = frame.lines.iter().map(|line| line.text.as_str()).collect();
            let printable = |c: char| matches!(c, ' '..='~' | '\u{a1}'..='\u{ff}');
            assert!(shown.chars().all(printable), "{shown:?}");
            assert_inside(&frame);
        }
    }
}

#[test]
fn a_code_of_other_letters_shows_a_mark_for_each_and_no_look_alike() {
    let screen = sign_in("ŁAß漢", "https://a.example", None);
    assert_eq!(shown(&screen, OLED, Style::Code), ["?Aß?"]);
}

#[test]
fn the_smallest_panels_have_the_complete_address_or_the_plain_one_or_none() {
    let modules = |screen: &Screen, surface| {
        layout(screen, surface, 0, NOW).qr.map(|placed| placed.qr.size())
    };
    assert_eq!(modules(&keycloak(), OLED), Some(29), "the plain one; the complete one has 33");
    assert_eq!(modules(&keycloak(), OTHERS[0].1), Some(33));
    assert_eq!(modules(&microsoft(), LOW_OLED), None);
    let low = Surface::Pixels { width: 84, height: 48, ink: Ink::Light, slow: false };
    assert_eq!(modules(&microsoft(), low), None);
    let long = sign_in("WDJB-MJHT", &addresses()[45], None);
    assert_eq!(modules(&long, OLED), None);
}

#[test]
fn modules_are_two_pixels_at_the_least_and_dark_on_light() {
    for surface in all_surfaces() {
        let frame = layout(&keycloak(), surface, 0, NOW);
        let (Some(placed), Some(picture)) = (&frame.qr, &frame.picture) else { continue };
        let symbol = picture.symbol().unwrap();
        assert!(symbol.scale >= 2);
        let least = u16::try_from(placed.quiet).unwrap() * symbol.scale;
        let field = symbol.field;
        assert!(symbol.corner.0 >= field.x + least && symbol.corner.1 >= field.y + least);
        let bitmap = frame.bitmap().unwrap();
        let is_light = |x, y| bitmap.get(x, y) == (picture.ink() == Ink::Light);
        assert!(is_light(field.x, field.y), "quiet zone on {surface:?}");
        assert!(!is_light(symbol.corner.0, symbol.corner.1), "finder on {surface:?}");
        assert!(
            placed.quiet >= 2
                || picture.height() == 64
                || picture.width().min(picture.height()) < 100
        );
    }
}

#[test]
fn a_second_of_countdown_changes_few_pixels_and_an_hour_reads_as_one() {
    let draw = |now| layout(&microsoft(), OLED, 0, now).bitmap().unwrap();
    let (before, after) = (draw(NOW), draw(NOW + Duration::from_secs(1)));
    let sent: u32 = before
        .diff(&after, (1, 8))
        .map(|area| u32::from(area.width) * u32::from(area.height) / 8)
        .sum();
    assert!(sent > 0 && sent <= 1024 / 7, "{sent} bytes");
    let Screen::SignIn(mut sign_in) = microsoft() else { unreachable!() };
    sign_in.expires += Duration::from_secs(3600);
    let frame = layout(&Screen::SignIn(sign_in), OLED, 0, NOW);
    assert!(frame.lines.iter().any(|line| line.text == "1:14:32 left"));
    assert_eq!(frame.redraw_after, Some(Duration::from_secs(1)));
}

#[test]
fn paper_is_drawn_once_a_minute_and_turns_no_page_for_common_addresses() {
    let paper = OTHERS[2].1;
    let frame = layout(&microsoft(), paper, 0, NOW);
    // 14:32 left: 15 minutes, and 14 in 32 seconds.
    assert_eq!((frame.pages, frame.redraw_after), (1, Some(Duration::from_secs(32))));
    let later = layout(&microsoft(), paper, 0, NOW + Duration::from_secs(31));
    assert_eq!(later.bitmap(), frame.bitmap());
    for uri in addresses().iter().filter(|uri| uri.len() < 100) {
        assert_eq!(layout(&sign_in("WDJB-MJHT", uri, None), paper, 0, NOW).pages, 1, "{uri}");
    }
    let expired = layout(&microsoft(), paper, 0, NOW + Duration::from_secs(10_000));
    assert_eq!(expired.redraw_after, None);
}

#[test]
fn the_layout_stays_as_it_is_while_the_time_runs_and_the_pages_turn() {
    for surface in all_surfaces() {
        let at = |page, seconds| {
            let frame = layout(&keycloak(), surface, page, NOW + Duration::from_secs(seconds));
            frame.picture.unwrap().symbol()
        };
        assert_eq!(at(0, 0), at(1, 500), "{surface:?}");
    }
}
