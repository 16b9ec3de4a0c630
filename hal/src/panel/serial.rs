//! A line to somebody's terminal program: append only, written again every minute or on Enter.

use std::os::fd::{AsFd as _, BorrowedFd};
use std::path::Path;
use std::time::Duration;

use embedded_io::{Read as _, Write};

use super::{Panel, PanelError, Port, io_error};
use crate::screen::{Language, Screen, Surface, layout_in};

/// A serial console. Nothing written to it can be taken back.
#[derive(Debug)]
pub struct Serial<W> {
    out: W,
    /// Where Enter may be pressed.
    keys: Option<Port>,
    shown: Option<(Screen, Duration)>,
    language: Language,
}

impl Serial<Port> {
    /// The serial port at `path` at `baud` bits a second, which also listens for Enter.
    ///
    /// # Errors
    /// As for [`Port::serial`].
    pub fn open(path: &Path, baud: u32) -> Result<Self, PanelError> {
        let port = Port::serial(path, baud)?;
        let keys = Some(port.try_clone()?);
        Ok(Self { keys, ..Self::new(port) })
    }
}

impl<W: Write> Serial<W> {
    /// Writes to `out`, and listens to nobody.
    pub fn new(out: W) -> Self {
        Self { out, keys: None, shown: None, language: Language::ENGLISH }
    }

    /// The same in another language than English.
    #[must_use]
    pub fn in_language(self, language: Language) -> Self {
        Self { language, ..self }
    }

    /// Whether Enter was pressed since the last call.
    fn asked(&mut self) -> Result<bool, PanelError> {
        let Some(keys) = &mut self.keys else { return Ok(false) };
        let mut typed = [0; 256];
        // One read: whoever types faster is asked again at once.
        let count = keys.read(&mut typed).map_err(|error| io_error(&error))?;
        Ok(typed[..count].iter().any(|key| matches!(key, b'\r' | b'\n')))
    }
}

impl<W: Write + Send> Panel for Serial<W> {
    fn show(&mut self, screen: &Screen, now: Duration) -> Result<Option<Duration>, PanelError> {
        let asked = self.asked()?;
        let frame = layout_in(self.language, screen, Surface::Serial, 0, now);
        let due = match &self.shown {
            Some((shown, at)) if screen.is_update_of(shown) => {
                frame.redraw_after.map(|after| at.saturating_add(after).saturating_sub(now))
            }
            _ => Some(Duration::ZERO),
        };
        if !asked && due != Some(Duration::ZERO) {
            return Ok(due);
        }
        let mut text = String::from("\r\n");
        for line in &frame.lines {
            text.push_str(&line.text);
            text.push_str("\r\n");
        }
        self.out
            .write_all(text.as_bytes())
            .and_then(|()| self.out.flush())
            .map_err(|error| io_error(&error))?;
        self.shown = Some((screen.clone(), now));
        Ok(frame.redraw_after)
    }

    /// What was written stays. Keys are taken: nobody is shown anything now.
    fn clear(&mut self) -> Result<(), PanelError> {
        self.asked().map(drop)
    }

    fn input(&self) -> Option<BorrowedFd<'_>> {
        self.keys.as_ref().map(Port::as_fd)
    }
}
