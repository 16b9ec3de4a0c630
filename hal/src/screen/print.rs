//! What a frame of characters looks like, as a picture: for previews.

use super::faces::Face;
use super::layout::{Frame, Place};
use super::{Area, Bitmap};

/// Pixels of a cell: those of the type, and one row between lines.
const CELL: (u16, u16) = (6, 12);
/// Cells left free at the left.
const MARGIN: u16 = 2;

impl Frame {
    /// A picture of this frame on a display of character cells, lit on dark; a QR code has two
    /// modules in a cell, one above the other. What needs more rows than there are is left out.
    pub fn print(&self, columns: u16, rows: u16) -> Bitmap {
        let (width, height) = (columns.saturating_mul(CELL.0), rows.saturating_mul(CELL.1));
        let mut bitmap = Bitmap::new(width, height);
        let lines = u16::try_from(self.lines.len()).unwrap_or(u16::MAX);
        // Small displays have no room for a margin.
        let (mut left, mut top) = (if columns > 40 { MARGIN } else { 0 }, 0);
        if let Some(placed) = &self.qr {
            let size = u16::try_from(placed.size()).unwrap_or(0);
            let edge = CELL.0;
            let x = if placed.place == Place::Beside { MARGIN } else { 0 };
            let field = Area { x: x * edge, y: 0, width: size * edge, height: size * edge };
            bitmap.fill(field, true);
            for (row, y) in (0..).zip(placed.quiet..placed.quiet + placed.qr.size()) {
                for (column, x) in (0..).zip(placed.quiet..placed.quiet + placed.qr.size()) {
                    if placed.qr.is_dark(column, row) {
                        let at = |index: usize| u16::try_from(index).unwrap_or(0) * edge;
                        let (x, y) = (field.x + at(x), at(y));
                        bitmap.fill(Area { x, y, width: edge, height: edge }, false);
                    }
                }
            }
            match placed.place {
                Place::Beside => {
                    left = 2 * MARGIN + size;
                    top = size.div_ceil(2).saturating_sub(lines) / 2;
                }
                Place::Under => top = size.div_ceil(2),
            }
        }
        for (row, line) in (top..).zip(&self.lines) {
            Face::SMALL.draw(&line.text, left * CELL.0, row.saturating_mul(CELL.1), &mut bitmap);
        }
        bitmap
    }
}
