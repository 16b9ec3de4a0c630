//! The panels of pixels that there are, and text pictures of what is on them.

use signpost_hal::screen::{Bitmap, Frame, Ink, Surface};

/// Small panels, as pixels.
pub(crate) const OLED: Surface = light(128, 64);
pub(crate) const LOW_OLED: Surface = light(128, 32);
/// The others, as text.
pub(crate) const OTHERS: [(&str, Surface); 8] = [
    ("240x240", dark(240, 240)),
    ("160x128", dark(160, 128)),
    ("200x200-paper", Surface::Pixels { width: 200, height: 200, ink: Ink::Dark, slow: true }),
    ("128x160", dark(128, 160)),
    ("320x240", dark(320, 240)),
    ("240x320", dark(240, 320)),
    ("480x320", dark(480, 320)),
    ("800x480", dark(800, 480)),
];

/// The sizes of any panel that a configuration may name, more or less.
pub(crate) fn odd() -> impl Iterator<Item = Surface> {
    let edges = [32, 48, 64, 84, 122, 128, 172, 296, 600, 1920];
    edges.into_iter().flat_map(move |width| {
        edges.into_iter().map(move |height| {
            let slow = (width + height) % 3 == 0;
            let ink = if width % 3 == 0 { Ink::Dark } else { Ink::Light };
            Surface::Pixels { width, height, ink, slow }
        })
    })
}

const fn dark(width: u16, height: u16) -> Surface {
    Surface::Pixels { width, height, ink: Ink::Dark, slow: false }
}

const fn light(width: u16, height: u16) -> Surface {
    Surface::Pixels { width, height, ink: Ink::Light, slow: false }
}

/// Four pixels a character.
pub(crate) fn quadrants(bitmap: &Bitmap) -> String {
    const SHAPES: [char; 16] =
        [' ', '▘', '▝', '▀', '▖', '▌', '▞', '▛', '▗', '▚', '▐', '▜', '▄', '▙', '▟', '█'];
    let mut picture = String::new();
    for y in (0..bitmap.height()).step_by(2) {
        let mut row = String::new();
        for x in (0..bitmap.width()).step_by(2) {
            let corners = [(x, y), (x + 1, y), (x, y + 1), (x + 1, y + 1)];
            let bits = corners.into_iter().enumerate();
            let bits = bits.map(|(at, (x, y))| usize::from(bitmap.get(x, y)) << at);
            row.push(SHAPES[bits.sum::<usize>()]);
        }
        picture.push('|');
        picture.push_str(row.trim_end());
        picture.push('\n');
    }
    picture
}

/// Each character in its place, 25 to 50 cells in a row; larger type is spaced out. The field of a
/// QR code is `:`, its modules `#`.
pub(crate) fn cells(frame: &Frame) -> String {
    let picture = frame.picture.as_ref().unwrap();
    // No type is smaller than a cell.
    let (across, down) = if picture.width() < 100 || picture.height() < 100 {
        (5, 10)
    } else {
        if picture.width() < 600 { (6, 11) } else { (10, 17) }
    };
    let (columns, rows) = (picture.width().div_ceil(across), picture.height().div_ceil(down));
    let mut cells = vec![vec![' '; columns.into()]; rows.into()];
    let mut note = String::new();
    if let (Some(symbol), Some(placed)) = (picture.symbol(), &frame.qr) {
        let size = u16::try_from(placed.qr.size()).unwrap() * symbol.scale;
        let inside = |at: u16, from: u16, length: u16| at >= from && at < from + length;
        for (row, line) in (0..).zip(&mut cells) {
            for (column, cell) in (0..).zip(line) {
                let (x, y) = (column * across + across / 2, row * down + down / 2);
                let field = symbol.field;
                if inside(x, field.x, field.width) && inside(y, field.y, field.height) {
                    *cell = ':';
                }
                if inside(x, symbol.corner.0, size) && inside(y, symbol.corner.1, size) {
                    *cell = '#';
                }
            }
        }
        let quiet = placed.quiet;
        note = format!(
            "  QR: {} modules of {} pixels, quiet {quiet}\n",
            placed.qr.size(),
            symbol.scale
        );
    }
    for (line, area, width) in picture.lines() {
        let row = &mut cells[usize::from((area.y + area.height / 2) / down)];
        for (at, c) in (0..).zip(line.text.chars()) {
            let cell = &mut row[usize::from((area.x + at * width + width / 2) / across)];
            assert!(matches!(cell, ' ' | ':'), "{c} over {cell}: {area:?} {width} {}", line.text);
            *cell = c;
        }
    }
    let mut text: String = cells
        .into_iter()
        .map(|row| format!("|{}\n", row.into_iter().collect::<String>().trim_end()))
        .collect();
    text.push_str(&note);
    text
}
