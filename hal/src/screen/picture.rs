//! What stands where on a panel of pixels, and the pixels themselves.

use super::faces::Face;
use super::layout::{Line, Placed, Style};
use super::{Area, Bitmap};

/// Which of a panel's two colours ink has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ink {
    /// Ink is dark on a light ground, as on paper.
    Dark,
    /// Ink is light on a dark ground, as on an OLED.
    Light,
}

/// The lines and QR code of a frame with their places, in pixels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    pub(super) width: u16,
    pub(super) height: u16,
    pub(super) ink: Ink,
    pub(super) spots: Vec<Spot>,
    pub(super) symbol: Option<Symbol>,
    /// Whether a line runs along the edge.
    pub(super) framed: bool,
}

/// A line with its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Spot {
    pub(super) x: u16,
    pub(super) y: u16,
    pub(super) face: Face,
    pub(super) line: Line,
}

/// The place of a QR code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Symbol {
    /// What is light around it, its quiet zone included.
    pub field: Area,
    /// The upper left corner of the upper left module.
    pub corner: (u16, u16),
    /// Pixels along the edge of a module.
    pub scale: u16,
}

impl Picture {
    /// Pixels across.
    pub fn width(&self) -> u16 {
        self.width
    }

    /// Pixels down.
    pub fn height(&self) -> u16 {
        self.height
    }

    /// Which of the panel's colours ink has.
    pub fn ink(&self) -> Ink {
        self.ink
    }

    /// Where the QR code is, if there is one.
    pub fn symbol(&self) -> Option<Symbol> {
        self.symbol
    }

    /// Each line, where it stands, and the width of its characters in pixels.
    pub fn lines(&self) -> impl Iterator<Item = (&Line, Area, u16)> {
        self.spots.iter().map(|spot| (&spot.line, spot.area(), spot.face.width()))
    }

    /// The pixels; `qr` is drawn where the symbol is.
    pub(super) fn draw(&self, qr: Option<&Placed>) -> Bitmap {
        let mut bitmap = Bitmap::new(self.width, self.height);
        if self.framed {
            bitmap.fill(bitmap.area(), true);
            let (width, height) = (self.width.saturating_sub(2), self.height.saturating_sub(2));
            bitmap.fill(Area { x: 1, y: 1, width, height }, false);
        }
        for spot in &self.spots {
            spot.face.draw(&spot.line.text, spot.x, spot.y, &mut bitmap);
        }
        if let (Some(symbol), Some(placed)) = (self.symbol, qr) {
            let is_light = self.ink == Ink::Light;
            bitmap.fill(symbol.field, is_light);
            let scale = symbol.scale;
            let modules = || (0..).take(placed.qr.size());
            for (row, y) in modules().zip((symbol.corner.1..).step_by(scale.max(1).into())) {
                for (column, x) in modules().zip((symbol.corner.0..).step_by(scale.max(1).into())) {
                    let module = Area { x, y, width: scale, height: scale };
                    if placed.qr.is_dark(column, row) {
                        bitmap.fill(module, !is_light);
                    }
                }
            }
        }
        bitmap
    }
}

impl Spot {
    pub(super) fn new(x: u16, y: u16, face: Face, style: Style, text: &str) -> Self {
        Self { x, y, face, line: Line::new(style, text) }
    }

    fn area(&self) -> Area {
        let columns = u16::try_from(self.line.text.chars().count()).unwrap_or(u16::MAX);
        let width = columns.saturating_mul(self.face.width());
        Area { x: self.x, y: self.y, width, height: self.face.height() }
    }
}
