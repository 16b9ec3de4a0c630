//! Which page of a screen a small panel shows, and when it turns.

use std::time::Duration;

use crate::screen::{Frame, Language, Placed, Screen, Surface, layout_with};

/// The page that is shown.
#[derive(Debug)]
pub(super) struct Pages {
    language: Language,
    shown: Option<Shown>,
}

/// A page as it is laid out.
#[derive(Debug)]
pub(super) struct Page {
    pub(super) frame: Frame,
    /// After how long it looks different.
    pub(super) after: Option<Duration>,
    /// Whether the screen says something else than the one before.
    #[cfg_attr(not(feature = "pixels"), expect(dead_code, reason = "of use to e-paper"))]
    pub(super) is_new: bool,
}

#[derive(Debug)]
struct Shown {
    screen: Screen,
    page: usize,
    /// When this page came.
    since: Duration,
    /// Finding the mask of a symbol is nearly all the work of a layout.
    qr: Option<Placed>,
}

impl Pages {
    pub(super) fn new(language: Language) -> Self {
        Self { language, shown: None }
    }

    /// Lays out the page of `screen` that is due at `now`.
    pub(super) fn lay_out(&mut self, screen: &Screen, surface: Surface, now: Duration) -> Page {
        let shown = self.shown.take().filter(|shown| screen.is_update_of(&shown.screen));
        let is_new = shown.is_none();
        let (mut page, mut since, qr) =
            shown.map_or((0, now, None), |shown| (shown.page, shown.since, shown.qr));
        let mut frame = layout_with(qr.clone(), self.language, screen, surface, page, now);
        if frame.pages > 1 && now.saturating_sub(since) >= frame.stay {
            page = (page + 1) % frame.pages;
            since = now;
            frame = layout_with(qr, self.language, screen, surface, page, now);
        }
        let turn = (since + frame.stay.min(Duration::from_secs(3600))).saturating_sub(now);
        let turn = (frame.pages > 1).then_some(turn);
        let after = [frame.redraw_after, turn].into_iter().flatten().min();
        self.shown = Some(Shown { screen: screen.clone(), page, since, qr: frame.qr.clone() });
        Page { frame, after, is_new }
    }
}
