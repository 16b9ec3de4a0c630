//! Pictures of one bit a pixel, and what differs between two of them.

use std::convert::Infallible;
use std::fmt;

use embedded_graphics::Pixel;
use embedded_graphics::draw_target::DrawTarget;
use embedded_graphics::geometry::{OriginDimensions, Size};
use embedded_graphics::pixelcolor::BinaryColor;

use super::faces::Face;

/// A picture of one bit a pixel; what is set is ink. Which of its two colours ink has, the panel says.
#[derive(Clone, PartialEq, Eq)]
pub struct Bitmap {
    width: u16,
    height: u16,
    /// Row by row, each filled up to a whole byte with zeros; the leftmost pixel is the highest bit.
    bits: Vec<u8>,
}

/// A rectangle of pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Area {
    /// Its left edge.
    pub x: u16,
    /// Its upper edge.
    pub y: u16,
    /// At least 1.
    pub width: u16,
    /// At least 1.
    pub height: u16,
}

impl Bitmap {
    /// A picture without ink.
    pub fn new(width: u16, height: u16) -> Self {
        Self { width, height, bits: vec![0; stride(width) * usize::from(height)] }
    }

    /// Pixels across.
    pub fn width(&self) -> u16 {
        self.width
    }

    /// Pixels down.
    pub fn height(&self) -> u16 {
        self.height
    }

    /// Whether a pixel is ink; outside the picture there is none.
    pub fn get(&self, x: u16, y: u16) -> bool {
        self.place(x, y).is_some_and(|(at, bit)| self.bits[at] & bit != 0)
    }

    /// Inks a pixel or takes its ink away; outside the picture nothing happens.
    pub fn set(&mut self, x: u16, y: u16, ink: bool) {
        let Some((at, bit)) = self.place(x, y) else { return };
        if ink {
            self.bits[at] |= bit;
        } else {
            self.bits[at] &= !bit;
        }
    }

    /// The same for a rectangle, as far as it lies inside.
    pub fn fill(&mut self, area: Area, ink: bool) {
        for y in area.y..area.y.saturating_add(area.height).min(self.height) {
            for x in area.x..area.x.saturating_add(area.width).min(self.width) {
                self.set(x, y, ink);
            }
        }
    }

    /// The rows from top to bottom, each in whole bytes; the leftmost pixel is the highest bit,
    /// and what is beyond the right edge is zero.
    pub fn rows(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        // An empty picture has no rows, whatever the length of a chunk.
        self.bits.chunks_exact(stride(self.width).max(1))
    }

    /// The eight pixels from `y` downwards in column `x`, the uppermost in the lowest bit: a byte
    /// of a controller whose memory is made of pages.
    pub fn page(&self, x: u16, y: u16) -> u8 {
        (0..8).fold(0, |byte, row| byte | u8::from(self.get(x, y.saturating_add(row))) << row)
    }

    /// Puts another picture into this one, each of its pixels `scale` wide and high, with its ink
    /// and ground exchanged if `inverted`.
    pub fn paste(&mut self, other: &Self, at: (u16, u16), scale: u16, inverted: bool) {
        let place = |from: u16, index: u16| from.saturating_add(index.saturating_mul(scale));
        for y in 0..other.height {
            for x in 0..other.width {
                let dot =
                    Area { x: place(at.0, x), y: place(at.1, y), width: scale, height: scale };
                self.fill(dot, other.get(x, y) != inverted);
            }
        }
    }

    /// Writes a line in small type (6x11 pixels a character) with its upper left corner there.
    pub fn write(&mut self, text: &str, x: u16, y: u16) {
        Face::SMALL.draw(text, x, y, self);
    }

    /// The whole picture.
    pub fn area(&self) -> Area {
        Area { x: 0, y: 0, width: self.width, height: self.height }
    }

    /// What has to be sent to turn this picture into `newer`: areas that do not overlap, from top
    /// to bottom, each of whole columns of `grid.0` pixels and whole bands of `grid.1` rows, as
    /// far as the picture goes. All of it where the sizes differ.
    pub fn diff(&self, newer: &Self, grid: (u16, u16)) -> impl Iterator<Item = Area> + use<> {
        let mut areas: Vec<Area> = Vec::new();
        if (self.width, self.height) != (newer.width, newer.height) {
            areas.push(newer.area());
            return areas.into_iter();
        }
        let band = grid.1.max(1);
        for y in (0..self.height).step_by(band.into()) {
            let height = band.min(self.height - y);
            let spans = (y..y + height).filter_map(|row| self.changed(newer, row));
            let Some((left, right)) = spans.reduce(|a, b| (a.0.min(b.0), a.1.max(b.1))) else {
                continue;
            };
            let column = grid.0.max(1);
            let x = left / column * column;
            let width =
                (right / column).saturating_add(1).saturating_mul(column).min(self.width) - x;
            match areas.last_mut() {
                Some(above) if (above.x, above.width, above.y + above.height) == (x, width, y) => {
                    above.height += height;
                }
                _ => areas.push(Area { x, y, width, height }),
            }
        }
        areas.into_iter()
    }

    /// The first and the last pixel of a row that differ.
    fn changed(&self, newer: &Self, row: u16) -> Option<(u16, u16)> {
        let mut differ = (0..self.width).filter(|&x| self.get(x, row) != newer.get(x, row));
        let first = differ.next()?;
        Some((first, differ.next_back().unwrap_or(first)))
    }

    /// The byte of a pixel and its bit in there.
    fn place(&self, x: u16, y: u16) -> Option<(usize, u8)> {
        let inside = x < self.width && y < self.height;
        inside.then(|| (usize::from(y) * stride(self.width) + usize::from(x / 8), 0x80 >> (x % 8)))
    }
}

/// Bytes of a row.
fn stride(width: u16) -> usize {
    usize::from(width).div_ceil(8)
}

impl OriginDimensions for Bitmap {
    fn size(&self) -> Size {
        Size::new(self.width.into(), self.height.into())
    }
}

impl DrawTarget for Bitmap {
    type Color = BinaryColor;
    type Error = Infallible;

    fn draw_iter<I>(&mut self, pixels: I) -> Result<(), Self::Error>
    where
        I: IntoIterator<Item = Pixel<Self::Color>>,
    {
        for Pixel(at, colour) in pixels {
            if let (Ok(x), Ok(y)) = (u16::try_from(at.x), u16::try_from(at.y)) {
                self.set(x, y, colour.is_on());
            }
        }
        Ok(())
    }
}

/// Shows its size alone: a picture may hold a user code.
impl fmt::Debug for Bitmap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bitmap")
            .field("width", &self.width)
            .field("height", &self.height)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn area(x: u16, y: u16, width: u16, height: u16) -> Area {
        Area { x, y, width, height }
    }

    #[test]
    fn a_row_is_whole_bytes_with_the_leftmost_pixel_highest() {
        let mut picture = Bitmap::new(10, 2);
        picture.set(0, 0, true);
        picture.set(9, 1, true);
        assert_eq!(picture.rows().collect::<Vec<_>>(), [[0x80, 0], [0, 0x40]]);
        picture.fill(area(8, 0, 100, 100), true);
        assert_eq!(picture.rows().collect::<Vec<_>>(), [[0x80, 0xC0], [0, 0xC0]]);
        assert_eq!((picture.page(0, 0), picture.page(9, 0), picture.page(9, 1)), (1, 3, 1));
    }

    #[test]
    fn nothing_is_outside() {
        let mut picture = Bitmap::new(10, 2);
        picture.set(10, 0, true);
        picture.set(0, 2, true);
        let far = embedded_graphics::geometry::Point::new(-1, 70_000);
        let Ok(()) = picture.draw_iter([Pixel(far, BinaryColor::On)]);
        assert_eq!(picture, Bitmap::new(10, 2));
        assert!(!picture.get(10, 0));
        assert_eq!(Bitmap::new(0, 3).rows().len(), 0);
    }

    #[test]
    fn what_differs_is_told_in_the_columns_and_bands_of_the_panel() {
        let old = Bitmap::new(20, 20);
        let mut new = old.clone();
        assert_eq!(old.diff(&new, (8, 8)).count(), 0);
        new.set(9, 3, true);
        assert_eq!(old.diff(&new, (1, 1)).collect::<Vec<_>>(), [area(9, 3, 1, 1)]);
        assert_eq!(old.diff(&new, (8, 8)).collect::<Vec<_>>(), [area(8, 0, 8, 8)]);
        new.set(19, 19, true);
        let last = area(16, 16, 4, 4);
        assert_eq!(old.diff(&new, (8, 8)).collect::<Vec<_>>(), [area(8, 0, 8, 8), last]);
        new.set(10, 12, true);
        assert_eq!(old.diff(&new, (8, 8)).collect::<Vec<_>>(), [area(8, 0, 8, 16), last]);
        assert_eq!(Bitmap::new(20, 19).diff(&new, (8, 8)).collect::<Vec<_>>(), [new.area()]);
    }

    #[test]
    fn sending_what_differs_gives_the_newer_picture() {
        let mut state = 1_u32;
        for _ in 0..200 {
            let mut random = || {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                u16::try_from(state >> 16).unwrap()
            };
            let (width, height) = (random() % 40 + 1, random() % 40 + 1);
            let mut old = Bitmap::new(width, height);
            let mut new = old.clone();
            for _ in 0..random() % 8 {
                new.set(random() % width, random() % height, true);
                old.set(random() % width, random() % height, true);
            }
            for area in old.diff(&new, (random() % 9, random() % 9)) {
                for y in area.y..area.y + area.height {
                    (area.x..area.x + area.width).for_each(|x| old.set(x, y, new.get(x, y)));
                }
            }
            assert!(old == new);
        }
    }
}
