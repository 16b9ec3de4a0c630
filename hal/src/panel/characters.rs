//! Panels of character cells: any display that is a [`Cells`].

use std::time::Duration;

use super::pages::{Page, Pages};
use super::{Panel, PanelError, REFRESH};
use crate::screen::{Language, Screen, Surface};

/// A display of character cells, ASCII. May block.
pub trait Cells: Send {
    /// Characters in a row, and rows.
    fn size(&self) -> (u8, u8);

    /// Sets the display up, whatever state it is in, and switches it on. What it shows may be left
    /// as it was: all of it is written next.
    ///
    /// # Errors
    /// It cannot be reached.
    fn start(&mut self) -> Result<(), PanelError>;

    /// Writes `text`, which fits in there, from that cell on.
    ///
    /// # Errors
    /// It cannot be reached.
    fn write(&mut self, column: u8, row: u8, text: &[u8]) -> Result<(), PanelError>;

    /// Switches its light on or off, where it has one; [`start`](Self::start) has switched it on.
    ///
    /// # Errors
    /// It cannot be reached.
    fn light(&mut self, on: bool) -> Result<(), PanelError> {
        let _ = on;
        Ok(())
    }
}

/// The panel of such a display. Sends what changed; sets the display up anew now and then, as one
/// that lost its power answers and stays dark.
#[derive(Debug)]
pub struct Characters<C> {
    cells: C,
    pages: Pages,
    /// What stands on the display, if that is known, row by row.
    written: Option<Vec<Vec<u8>>>,
    is_lit: bool,
    started: Duration,
}

impl<C: Cells> Characters<C> {
    /// The panel of `cells`, which are not touched before the first screen comes.
    pub fn new(cells: C, language: Language) -> Self {
        let pages = Pages::new(language);
        Self { cells, pages, written: None, is_lit: true, started: Duration::ZERO }
    }

    fn write(&mut self, rows: Vec<Vec<u8>>) -> Result<(), PanelError> {
        // Taken: after an error nobody knows what stands there.
        let old = self.written.take();
        for (row, new) in (0..).zip(&rows) {
            let old = old.as_ref().and_then(|old| old.get(usize::from(row)));
            let differs = |at: usize| old.is_none_or(|old| old.get(at) != new.get(at));
            let mut at = 0;
            while at < new.len() {
                let run = (at..new.len()).take_while(|&at| differs(at)).count();
                if run > 0 {
                    let column = u8::try_from(at).unwrap_or(u8::MAX);
                    self.cells.write(column, row, &new[at..at + run])?;
                }
                at += run + 1;
            }
        }
        self.written = Some(rows);
        Ok(())
    }
}

impl<C: Cells> Panel for Characters<C> {
    fn show(&mut self, screen: &Screen, now: Duration) -> Result<Option<Duration>, PanelError> {
        let (columns, rows) = self.cells.size();
        let surface = Surface::Characters { columns: columns.into(), rows: rows.into() };
        let Page { frame, after, .. } = self.pages.lay_out(screen, surface, now);
        if self.written.is_none() || now.saturating_sub(self.started) >= REFRESH {
            self.written = None;
            self.cells.start()?;
            self.started = now;
            self.is_lit = true;
        }
        if !self.is_lit {
            self.cells.light(true)?;
            self.is_lit = true;
        }
        let mut lines = frame.lines.iter().map(|line| line.text.as_bytes());
        let mut filled = || {
            let mut row = lines.next().unwrap_or_default().to_vec();
            row.resize(columns.into(), b' ');
            row
        };
        self.write((0..rows).map(|_| filled()).collect())?;
        let refresh = (self.started + REFRESH).saturating_sub(now);
        Ok(Some(after.map_or(refresh, |after| after.min(refresh))))
    }

    fn clear(&mut self) -> Result<(), PanelError> {
        let (columns, rows) = self.cells.size();
        if self.written.is_none() {
            self.cells.start()?;
        }
        self.write(vec![vec![b' '; columns.into()]; rows.into()])?;
        self.is_lit = false;
        self.cells.light(false)
    }
}
