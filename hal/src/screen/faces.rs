//! The sizes of type on panels of pixels: ProFont, whose 0 and O, 1 and l differ.

use embedded_graphics::Pixel;
use embedded_graphics::draw_target::DrawTarget;
use embedded_graphics::geometry::{OriginDimensions, Point, Size};
use embedded_graphics::mono_font::{MonoFont, MonoTextStyle};
use embedded_graphics::pixelcolor::BinaryColor;
use embedded_graphics::text::Baseline;
use embedded_graphics::text::renderer::TextRenderer as _;
use profont::{
    PROFONT_7_POINT, PROFONT_9_POINT, PROFONT_12_POINT, PROFONT_14_POINT, PROFONT_18_POINT,
    PROFONT_24_POINT,
};

use super::{Area, Bitmap, Language};

/// A size of type; a greater one is larger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Face(usize);

/// From small to large: a font, and pixels along the edge of one of its dots.
const LADDER: [(&MonoFont<'_>, u16); 12] = [
    (&PROFONT_7_POINT, 1),
    (&PROFONT_9_POINT, 1),
    (&PROFONT_12_POINT, 1),
    (&PROFONT_14_POINT, 1),
    (&PROFONT_18_POINT, 1),
    (&PROFONT_24_POINT, 1),
    (&PROFONT_18_POINT, 2),
    (&PROFONT_24_POINT, 2),
    (&PROFONT_24_POINT, 3),
    (&PROFONT_24_POINT, 4),
    (&PROFONT_24_POINT, 6),
    (&PROFONT_24_POINT, 8),
];

impl Face {
    /// 5x10 pixels: for panels on which nothing else fits.
    pub(super) const TINY: Self = Self(0);
    /// 6x11 pixels.
    pub(super) const SMALL: Self = Self(1);
    /// 10x17 pixels, with strokes of two: the least for a code, where there is room.
    pub(super) const BOLD: Self = Self(3);

    /// Every size from `self` down to `least`.
    pub(super) fn down_to(self, least: Self) -> impl Iterator<Item = Self> + Clone {
        (least.0..=self.0).rev().map(Self)
    }

    /// The largest one of which `columns` and `rows` fit into an area, [`TINY`](Self::TINY) at
    /// the least.
    pub(super) fn fitting(columns: usize, rows: usize, width: u16, height: u16) -> Self {
        let fits = |face: &Self| {
            face.columns(width) >= columns && usize::from(height / face.height()) >= rows
        };
        Self(LADDER.len() - 1).down_to(Self::TINY).find(fits).unwrap_or(Self::TINY)
    }

    /// So many sizes larger, as far as there are.
    pub(super) fn larger(self, steps: usize) -> Self {
        Self((self.0 + steps).min(LADDER.len() - 1))
    }

    /// Pixels from one character to the next.
    pub(super) fn width(self) -> u16 {
        let (font, times) = self.dots();
        u16::try_from(font.character_size.width + font.character_spacing).unwrap_or(0) * times
    }

    /// Pixels from one line to the next.
    pub(super) fn height(self) -> u16 {
        let (font, times) = self.dots();
        u16::try_from(font.character_size.height).unwrap_or(0) * times
    }

    /// How many characters go into `width` pixels.
    pub(super) fn columns(self, width: u16) -> usize {
        usize::from(width / self.width())
    }

    /// Inks `text` with its upper left corner at `x`, `y`.
    pub(super) fn draw(self, text: &str, x: u16, y: u16, on: &mut Bitmap) {
        let (font, times) = self.dots();
        let mut target = Magnified { on, x, y, times };
        let style = MonoTextStyle::new(font, BinaryColor::On);
        // Nothing can fail: what is outside of a bitmap is left out.
        let Ok(_) = style.draw_string(text, Point::zero(), Baseline::Top, &mut target);
    }

    fn dots(self) -> (&'static MonoFont<'static>, u16) {
        LADDER[self.0.min(LADDER.len() - 1)]
    }
}

/// `text` in the characters that the faces have (Latin-1), others as in ASCII.
pub(super) fn printable(text: &str, language: Language) -> String {
    let mut shown = String::new();
    for c in text.chars() {
        if is_printable(c) {
            shown.push(c);
        } else {
            shown.push_str(language.fallback(c).unwrap_or("?"));
        }
    }
    shown
}

/// A code in the characters that there are: another letter in place of one would be another code.
pub(super) fn verbatim(code: &str) -> String {
    code.chars().map(|c| if is_printable(c) { c } else { '?' }).collect()
}

fn is_printable(c: char) -> bool {
    matches!(c, ' '..='~' | '\u{a1}'..='\u{ff}')
}

/// Draws each dot as a square.
struct Magnified<'a> {
    on: &'a mut Bitmap,
    x: u16,
    y: u16,
    times: u16,
}

impl OriginDimensions for Magnified<'_> {
    fn size(&self) -> Size {
        self.on.size()
    }
}

impl DrawTarget for Magnified<'_> {
    type Color = BinaryColor;
    type Error = std::convert::Infallible;

    fn draw_iter<I>(&mut self, pixels: I) -> Result<(), Self::Error>
    where
        I: IntoIterator<Item = Pixel<Self::Color>>,
    {
        for Pixel(at, colour) in pixels.into_iter().filter(|pixel| pixel.1.is_on()) {
            let (Ok(x), Ok(y)) = (u16::try_from(at.x), u16::try_from(at.y)) else { continue };
            let place = |offset: u16, at: u16| at.saturating_mul(self.times).saturating_add(offset);
            let (x, y) = (place(self.x, x), place(self.y, y));
            let dot = Area { x, y, width: self.times, height: self.times };
            self.on.fill(dot, colour.is_on());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn glyph(face: Face, c: char) -> Bitmap {
        let mut picture = Bitmap::new(face.width(), face.height());
        face.draw(c.encode_utf8(&mut [0; 4]), 0, 0, &mut picture);
        picture
    }

    #[test]
    fn every_printable_character_has_a_shape_of_its_own_but_for_one() {
        for face in Face(LADDER.len() - 1).down_to(Face::SMALL) {
            let printable = || ('!'..='~').chain('\u{a1}'..='\u{ff}');
            let shapes: Vec<_> = printable().map(|c| (c, glyph(face, c))).collect();
            let blank = Bitmap::new(face.width(), face.height());
            assert!(shapes.iter().all(|(_, shape)| *shape != blank));
            for (at, (c, shape)) in shapes.iter().enumerate() {
                let same = shapes[..at].iter().find(|(_, other)| other == shape);
                // The slashed zero.
                assert!(same.is_none_or(|(other, _)| (*other, *c) == ('0', 'Ø')), "{c}");
            }
        }
    }

    #[test]
    fn faces_grow() {
        for face in Face(LADDER.len() - 1).down_to(Face::SMALL) {
            let smaller = Face(face.0 - 1);
            assert!(smaller.width() < face.width() && smaller.height() < face.height());
        }
        assert_eq!(Face::fitting(16, 2, 128, 32).width(), 8);
        assert_eq!(Face::fitting(16, 2, 10, 10), Face::TINY);
    }

    #[test]
    fn what_is_not_in_the_font_reads_the_same_but_never_in_a_code() {
        assert_eq!(printable("Łódź… 漢", Language::ENGLISH), "Lódz.. ?");
        assert_eq!(verbatim("ŁÄ漢A-1"), "?Ä?A-1");
    }
}
