//! A tty or serial port as a writer for panels.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use rustix::fs::OFlags;
use rustix::io::Errno;
use rustix::termios::{self, ControlModes, OptionalActions, SpecialCodeIndex};

use super::PanelError;

/// An open tty or serial port.
#[derive(Debug)]
pub struct Port(File);

impl Port {
    /// The terminal at `path`, e.g. `/dev/tty` or `/dev/tty1`, left in the mode it is in.
    ///
    /// # Errors
    /// It cannot be opened or is no terminal.
    pub fn terminal(path: &Path) -> Result<Self, PanelError> {
        open(path)
    }

    /// The serial port at `path`, raw, eight bits, no parity, at `baud` bits a second.
    ///
    /// # Errors
    /// It cannot be opened, is no serial port, or does not know that speed.
    pub fn serial(path: &Path, baud: u32) -> Result<Self, PanelError> {
        let port = open(path)?;
        let refused = |_| PanelError::new(format!("{} does not take {baud} baud", path.display()));
        let mut mode = termios::tcgetattr(&port.0).map_err(refused)?;
        mode.make_raw();
        // No modem lines: most consoles are three wires. Reads answer at once.
        mode.control_modes |= ControlModes::CLOCAL | ControlModes::CREAD;
        mode.control_modes -= ControlModes::CSTOPB | ControlModes::CRTSCTS;
        mode.special_codes[SpecialCodeIndex::VMIN] = 0;
        mode.special_codes[SpecialCodeIndex::VTIME] = 0;
        mode.set_speed(baud).map_err(refused)?;
        termios::tcsetattr(&port.0, OptionalActions::Now, &mode).map_err(refused)?;
        Ok(port)
    }

    /// Columns and rows, if the other end has told.
    pub fn size(&self) -> Option<(u16, u16)> {
        let size = termios::tcgetwinsize(&self.0).ok()?;
        (size.ws_col > 0 && size.ws_row > 0).then_some((size.ws_col, size.ws_row))
    }

    /// Another handle on the same port.
    ///
    /// # Errors
    /// There are no more file descriptors.
    pub fn try_clone(&self) -> Result<Self, PanelError> {
        self.0.try_clone().map(Self).map_err(|error| super::io_error(&error))
    }
}

fn open(path: &Path) -> Result<Port, PanelError> {
    // Non-blocking for the open alone: a serial port would wait for its carrier.
    let flags = OFlags::NOCTTY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(flags.bits().cast_signed())
        .open(path);
    let file = file.map_err(|error| {
        let path = path.display();
        PanelError::new(match error.raw_os_error().map(Errno::from_raw_os_error) {
            Some(Errno::ACCESS | Errno::PERM) => {
                format!(
                    "has no permission for {path}: add the user to its group (often dialout or tty)"
                )
            }
            Some(Errno::NOENT) => {
                format!("finds that {path} does not exist: check its name, and its driver or cable")
            }
            // A service has none, unless its unit says which.
            Some(Errno::NXIO) => format!(
                "runs on no terminal that {path} could be: set TTYPath=/dev/tty1 and \
                 StandardInput=tty in the unit, or use another kind of panel"
            ),
            _ => format!("cannot open {path}: {error}"),
        })
    })?;
    if !termios::isatty(&file) {
        return Err(PanelError::new(format!(
            "{} is not a terminal or serial port",
            path.display()
        )));
    }
    rustix::fs::fcntl_setfl(&file, OFlags::empty())
        .map_err(|error| super::io_error(&io::Error::from(error)))?;
    Ok(Port(file))
}

impl AsFd for Port {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl embedded_io::ErrorType for Port {
    type Error = io::Error;
}

impl embedded_io::Write for Port {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        loop {
            return match self.0.write(buf) {
                Ok(0) if !buf.is_empty() => Err(io::ErrorKind::WriteZero.into()),
                Err(error) if error.raw_os_error() == Some(Errno::INTR.raw_os_error()) => continue,
                done => done,
            };
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl embedded_io::Read for Port {
    /// On a serial port, answers 0 at once if nothing was typed.
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.0.read(buf)
    }
}
