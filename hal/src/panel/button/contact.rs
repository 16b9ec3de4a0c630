//! Where a button is read: a key of an input device, or a line of the board.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _};
use std::os::fd::{AsFd as _, BorrowedFd};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use rustix::fs::OFlags;

use crate::panel::{PanelError, advice, io_error};

/// Tells when a button goes down and up.
pub trait Contact: Send {
    /// Can be read from as soon as something has happened.
    fn source(&self) -> BorrowedFd<'_>;

    /// Takes the next thing that has happened: whether the button is down now, if it was about
    /// the button. Called when [`source`](Self::source) can be read; does not wait then.
    ///
    /// # Errors
    /// The device is gone.
    fn take(&mut self) -> Result<Option<bool>, PanelError>;
}

/// A key of an input device, e.g. of a button that the device tree describes (gpio-keys).
#[derive(Debug)]
pub struct Key {
    file: File,
    code: Option<u16>,
}

/// `struct input_event` of Linux: two longs of time, type, code, value (`linux/input.h`).
const EVENT: usize = 2 * size_of::<usize>() + 8;
/// Type of an event that tells of a key.
const EV_KEY: u16 = 1;

impl Key {
    /// Key `code` (as `evtest` names it, e.g. 408 for restart) of the device at `path`, e.g.
    /// `/dev/input/event0`; any key of it where none is named.
    ///
    /// # Errors
    /// It does not exist, or this user may not read it.
    pub fn open(path: &Path, code: Option<u16>) -> Result<Self, PanelError> {
        let flags = (OFlags::NONBLOCK | OFlags::CLOEXEC).bits().cast_signed();
        let file = OpenOptions::new().read(true).custom_flags(flags).open(path);
        let file = file.map_err(|error| advice::cannot_open(path, &error))?;
        Ok(Self { file, code })
    }
}

impl Contact for Key {
    fn source(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }

    fn take(&mut self) -> Result<Option<bool>, PanelError> {
        let mut event = [0; EVENT];
        let count = match self.file.read(&mut event) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
            read => read.map_err(|error| io_error(&error))?,
        };
        if count < EVENT {
            return Err(PanelError::new("has lost its input device"));
        }
        let [.., kind, kind_high, code, code_high, a, b, c, d] = event;
        let code = u16::from_ne_bytes([code, code_high]);
        let is_it = u16::from_ne_bytes([kind, kind_high]) == EV_KEY
            && self.code.is_none_or(|wanted| wanted == code);
        // 2 is a repetition of a key that is held.
        Ok(match i32::from_ne_bytes([a, b, c, d]) {
            0 if is_it => Some(false),
            1 if is_it => Some(true),
            _ => None,
        })
    }
}

#[cfg(feature = "bus")]
pub(in crate::panel) use edge::EdgeLine;

#[cfg(feature = "bus")]
mod edge {
    use super::*;
    use crate::panel::bus::LineName;
    use gpiocdev::Request;
    use gpiocdev::line::{Bias, EdgeDetection, EdgeKind};
    use std::time::Duration;

    /// How long a level has to last; the kernel waits for it.
    const BOUNCE: Duration = Duration::from_millis(10);

    /// A line (GPIO) that a button pulls down, or up.
    #[derive(Debug)]
    pub(in crate::panel) struct EdgeLine(Request);

    impl EdgeLine {
        /// Takes the line called `name`, with the chip's own resistor against the button where it
        /// has one.
        ///
        /// # Errors
        /// There is no such line, somebody else has it, it cannot tell of edges, or this user may
        /// not use it.
        pub(in crate::panel) fn open(
            name: &LineName,
            active_low: bool,
        ) -> Result<Self, PanelError> {
            let pull = if active_low { Bias::PullUp } else { Bias::PullDown };
            let request = |bias| -> Result<Request, PanelError> {
                let mut request = name.request()?;
                request.as_input().with_edge_detection(EdgeDetection::BothEdges);
                request.with_debounce_period(BOUNCE);
                if active_low {
                    request.as_active_low();
                }
                request.with_bias(bias).request().map_err(|error| name.not_taken(&error))
            };
            // A chip without such resistors refuses them; the board has its own then.
            request(Some(pull)).or_else(|_| request(None)).map(Self)
        }
    }

    impl Contact for EdgeLine {
        fn source(&self) -> BorrowedFd<'_> {
            self.0.as_fd()
        }

        fn take(&mut self) -> Result<Option<bool>, PanelError> {
            let event = self.0.read_edge_event();
            let event = event.map_err(|error| {
                PanelError::new(format!("cannot read its line any more: {error}"))
            })?;
            Ok(Some(event.kind == EdgeKind::Rising))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    #[test]
    fn a_key_is_read_as_linux_writes_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("event0");
        let event = |kind: u16, code: u16, value: i32| {
            let mut bytes = vec![0; 2 * size_of::<usize>()];
            bytes.extend(kind.to_ne_bytes());
            bytes.extend(code.to_ne_bytes());
            bytes.extend(value.to_ne_bytes());
            bytes
        };
        let events =
            [event(1, 408, 1), event(0, 0, 0), event(1, 30, 1), event(1, 408, 2), event(1, 408, 0)];
        File::create(&path).unwrap().write_all(&events.concat()).unwrap();
        let read = |code| {
            let mut key = Key::open(&path, code).unwrap();
            let read: Vec<_> = (0..5).map(|_| key.take().unwrap()).collect();
            assert!(key.take().is_err(), "at its end it is gone");
            read
        };
        assert_eq!(read(Some(408)), [Some(true), None, None, None, Some(false)]);
        assert_eq!(read(None), [Some(true), None, Some(true), None, Some(false)]);
    }
}
