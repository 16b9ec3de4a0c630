//! Panels of pixels: any display that is a [`Glass`].

use std::time::Duration;

use super::pages::Pages;
use super::{Panel, PanelError, REFRESH, Turn};
use crate::screen::{Area, Bitmap, Ink, Language, Screen, Surface};

/// A display of pixels in two colours. May block.
pub trait Glass: Send {
    /// Pixels across and down.
    fn size(&self) -> (u16, u16);

    /// Which of its two colours ink has.
    fn ink(&self) -> Ink {
        Ink::Dark
    }

    /// What a change is rounded up to: columns and rows that go over the bus together.
    fn grid(&self) -> (u16, u16) {
        (1, 1)
    }

    /// Whether a new picture takes seconds or wears the display out. Such a one keeps its picture
    /// without power and is never set up anew unless something changes.
    fn is_slow(&self) -> bool {
        false
    }

    /// Sets the display up, whatever state it is in. What it shows may be left as it was: all of
    /// the picture is drawn next.
    ///
    /// # Errors
    /// It cannot be reached.
    fn start(&mut self) -> Result<(), PanelError>;

    /// Draws `area` of `picture`.
    ///
    /// # Errors
    /// It cannot be reached.
    fn draw(&mut self, picture: &Bitmap, area: Area) -> Result<(), PanelError>;

    /// Follows the areas of one picture. `whole` after [`start`](Self::start) and, on a slow
    /// display, with every new screen.
    ///
    /// # Errors
    /// It cannot be reached.
    fn finish(&mut self, whole: bool) -> Result<(), PanelError> {
        let _ = whole;
        Ok(())
    }
}

impl Turn {
    /// Width and height of an upright picture for a glass of `size`.
    fn upright(self, (width, height): (u16, u16)) -> (u16, u16) {
        match self {
            Self::None | Self::Half => (width, height),
            Self::Quarter | Self::ThreeQuarters => (height, width),
        }
    }

    /// The upright picture as it has to stand on the glass.
    fn apply(self, upright: Bitmap) -> Bitmap {
        if self == Self::None {
            return upright;
        }
        let (width, height) = self.upright((upright.width(), upright.height()));
        let mut turned = Bitmap::new(width, height);
        for y in 0..upright.height() {
            for x in (0..upright.width()).filter(|&x| upright.get(x, y)) {
                match self {
                    Self::None => {}
                    Self::Quarter => turned.set(width - 1 - y, x, true),
                    Self::Half => turned.set(width - 1 - x, height - 1 - y, true),
                    Self::ThreeQuarters => turned.set(y, height - 1 - x, true),
                }
            }
        }
        turned
    }
}

/// The panel of such a display. Sends what changed; sets the display up anew now and then, as one
/// that lost its power answers and stays dark.
#[derive(Debug)]
pub struct Pixels<G> {
    glass: G,
    turn: Turn,
    pages: Pages,
    /// What is on the glass, if that is known.
    drawn: Option<Bitmap>,
    started: Duration,
}

impl<G: Glass> Pixels<G> {
    /// The panel of `glass`, which is not touched before the first screen comes.
    pub fn new(glass: G, turn: Turn, language: Language) -> Self {
        let pages = Pages::new(language);
        Self { glass, turn, pages, drawn: None, started: Duration::ZERO }
    }

    fn draw(&mut self, picture: Bitmap, is_new: bool) -> Result<(), PanelError> {
        // Taken: after an error nobody knows what is there.
        let old = self.drawn.take();
        let areas: Vec<Area> = match &old {
            Some(old) => old.diff(&picture, self.glass.grid()).collect(),
            None => vec![picture.area()],
        };
        for &area in &areas {
            self.glass.draw(&picture, area)?;
        }
        if !areas.is_empty() {
            self.glass.finish(old.is_none() || is_new && self.glass.is_slow())?;
        }
        self.drawn = Some(picture);
        Ok(())
    }
}

impl<G: Glass> Panel for Pixels<G> {
    fn show(&mut self, screen: &Screen, now: Duration) -> Result<Option<Duration>, PanelError> {
        let (width, height) = self.turn.upright(self.glass.size());
        let slow = self.glass.is_slow();
        let surface = Surface::Pixels { width, height, ink: self.glass.ink(), slow };
        let page = self.pages.lay_out(screen, surface, now);
        let refresh = if slow { Duration::MAX } else { REFRESH };
        if self.drawn.is_none() || now.saturating_sub(self.started) >= refresh {
            self.drawn = None;
            self.glass.start()?;
            self.started = now;
        }
        // A surface of pixels always has a picture.
        let picture = page.frame.bitmap().unwrap_or_else(|| Bitmap::new(width, height));
        self.draw(self.turn.apply(picture), page.is_new)?;
        let refresh = (!slow).then(|| (self.started + REFRESH).saturating_sub(now));
        Ok([page.after, refresh].into_iter().flatten().min())
    }

    fn clear(&mut self) -> Result<(), PanelError> {
        let (width, height) = self.glass.size();
        if self.drawn.is_none() {
            self.glass.start()?;
        }
        let mut empty = Bitmap::new(width, height);
        // Ink is what is dark there: a display with a light is black when it shows nothing, and
        // only paper is white.
        if self.glass.ink() == Ink::Dark && !self.glass.is_slow() {
            empty.fill(empty.area(), true);
        }
        self.draw(empty, true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turning_is_clockwise_and_four_quarters_are_none() {
        let mut arrow = Bitmap::new(3, 2);
        arrow.set(2, 0, true);
        let turned = Turn::Quarter.apply(arrow.clone());
        assert_eq!((turned.width(), turned.height(), turned.get(1, 2)), (2, 3, true));
        assert!(Turn::Half.apply(arrow.clone()).get(0, 1));
        assert!(Turn::ThreeQuarters.apply(arrow.clone()).get(0, 0));
        let round = (0..4).fold(arrow.clone(), |picture, _| Turn::Quarter.apply(picture));
        assert!(round == arrow);
        assert!(Turn::Quarter.apply(Turn::Quarter.apply(arrow.clone())) == Turn::Half.apply(arrow));
        assert_eq!(Turn::of_degrees(270), Some(Turn::ThreeQuarters));
        assert_eq!(Turn::of_degrees(45), None);
    }
}
