//! An emulated terminal behind a writer, so that tests see what a person would see.

use std::convert::Infallible;
use std::num::NonZeroU16;
use std::sync::{Arc, Mutex, MutexGuard};

use signpost_hal::panel::Terminal;

/// A VT100-like terminal with 1,000 rows of history. Clones show the same.
#[derive(Clone)]
pub(crate) struct Emulated(Arc<Mutex<vt100::Parser>>);

impl Emulated {
    pub(crate) fn new(columns: u16, rows: u16) -> Self {
        Self(Arc::new(Mutex::new(vt100::Parser::new(
            at_least_one(rows),
            at_least_one(columns),
            1000,
        ))))
    }

    /// A terminal panel on it.
    pub(crate) fn panel(&self) -> Terminal<Self> {
        let same = self.clone();
        Terminal::new(self.clone(), move || Some(same.size()))
    }

    pub(crate) fn parser(&self) -> MutexGuard<'_, vt100::Parser> {
        self.0.lock().unwrap()
    }

    /// Columns and rows.
    pub(crate) fn size(&self) -> (u16, u16) {
        let (rows, columns) = self.parser().screen().size();
        (columns.get(), rows.get())
    }

    pub(crate) fn resize(&self, columns: u16, rows: u16) {
        self.parser().screen_mut().set_size(at_least_one(rows), at_least_one(columns));
    }

    /// What another program on this terminal prints.
    pub(crate) fn print(&self, text: &str) {
        self.parser().process(text.as_bytes());
    }

    /// What is on the screen, without trailing space.
    pub(crate) fn text(&self) -> String {
        let (columns, _) = self.size();
        text(self.parser().screen(), columns)
    }

    /// What has scrolled away, and the screen, from the oldest row.
    pub(crate) fn history(&self) -> String {
        let (columns, _) = self.size();
        let mut parser = self.parser();
        let mut all = String::new();
        let past = parser.screen().scrollback_len();
        for back in (1..=past).rev() {
            parser.screen_mut().set_scrollback(back);
            let row = parser.screen().rows(0, columns).next().unwrap_or_default();
            all.push_str(row.trim_end());
            all.push('\n');
        }
        parser.screen_mut().set_scrollback(0);
        all + &text(parser.screen(), columns)
    }
}

fn text(screen: &vt100::Screen, columns: u16) -> String {
    let rows: Vec<String> = screen.rows(0, columns).map(|row| row.trim_end().to_owned()).collect();
    rows.join("\n").trim_end().to_owned() + "\n"
}

fn at_least_one(count: u16) -> NonZeroU16 {
    NonZeroU16::new(count).unwrap()
}

impl embedded_io::ErrorType for Emulated {
    type Error = Infallible;
}

impl embedded_io::Write for Emulated {
    fn write(&mut self, buf: &[u8]) -> Result<usize, Infallible> {
        self.parser().process(buf);
        Ok(buf.len())
    }

    fn flush(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}
