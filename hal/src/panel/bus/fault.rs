//! Why a bus does not work, in one line with advice.

use std::fmt::{self, Write as _};
use std::io;
use std::path::Path;

use embedded_hal::i2c::NoAcknowledgeSource;
use embedded_hal::{digital, i2c, spi};
use rustix::io::Errno;

use crate::panel::PanelError;

/// An error of a bus or line. `Debug` is the sentence that a person reads: drivers pass no more on.
#[derive(Clone, PartialEq, Eq)]
pub struct BusError {
    kind: i2c::ErrorKind,
    sentence: String,
}

impl BusError {
    /// What `error` means of a device at `address` on the I2C bus `bus`
    /// (Linux, Documentation/i2c/fault-codes.rst).
    pub(super) fn i2c(bus: impl fmt::Display, address: u8, error: &io::Error) -> Self {
        let errno = error.raw_os_error().map(Errno::from_raw_os_error);
        let (kind, sentence) = match errno {
            // Both are in use for a missing acknowledge: it depends on the controller.
            Some(Errno::NXIO | Errno::REMOTEIO | Errno::NODEV) => (
                i2c::ErrorKind::NoAcknowledge(NoAcknowledgeSource::Unknown),
                format!(
                    "gets no answer at address {address:#04x} on {bus}: check power, wires and address"
                ),
            ),
            Some(Errno::BUSY) => (
                i2c::ErrorKind::Bus,
                format!(
                    "cannot use address {address:#04x} on {bus}: a driver of the kernel has it"
                ),
            ),
            Some(Errno::AGAIN) => (
                i2c::ErrorKind::ArbitrationLoss,
                format!("lost {bus} to another master: is there a second one?"),
            ),
            Some(Errno::TIMEDOUT) => (
                i2c::ErrorKind::Bus,
                format!("waits for {bus} in vain: a wire is shorted or a device holds the bus"),
            ),
            _ => (i2c::ErrorKind::Other, format!("cannot use {bus}: {error}")),
        };
        Self { kind, sentence }
    }

    pub(super) fn other(sentence: String) -> Self {
        Self { kind: i2c::ErrorKind::Other, sentence }
    }
}

impl fmt::Debug for BusError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.sentence)
    }
}

impl fmt::Display for BusError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.sentence)
    }
}

impl std::error::Error for BusError {}

impl i2c::Error for BusError {
    fn kind(&self) -> i2c::ErrorKind {
        self.kind
    }
}

impl spi::Error for BusError {
    fn kind(&self) -> spi::ErrorKind {
        spi::ErrorKind::Other
    }
}

impl digital::Error for BusError {
    fn kind(&self) -> digital::ErrorKind {
        digital::ErrorKind::Other
    }
}

impl PanelError {
    /// The error of a bus, or of a driver that passes one on.
    pub fn of_bus(error: impl fmt::Debug) -> Self {
        Self::new(format!("{error:?}"))
    }
}

/// Why `node` cannot be opened, who may, and what brings it into being. `others` are nodes of its
/// kind that exist.
pub(super) fn cannot_open(node: &Path, error: &io::Error, others: &[String]) -> String {
    let known = Kind::of(node);
    let node = node.display();
    if error.kind() == io::ErrorKind::PermissionDenied {
        let Kind { group, subsystem, .. } = known;
        return format!(
            "has no permission for {node}: add the user to group {group}, with the udev rule \
             SUBSYSTEM==\"{subsystem}\", GROUP=\"{group}\", MODE=\"0660\""
        );
    }
    if error.kind() != io::ErrorKind::NotFound {
        return format!("cannot open {node}: {error}");
    }
    let mut sentence = format!("finds that {node} does not exist: {}", known.bring);
    if !others.is_empty() {
        let _ = write!(sentence, "; there is {}", others.join(", "));
    }
    sentence
}

/// Nodes in `folder` of the same kind as `node`, at most four.
pub(super) fn siblings(folder: &Path, node: &Path) -> Vec<String> {
    let stem = Kind::of(node).stem;
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    let mut names: Vec<String> = names.filter(|name| name.starts_with(stem)).collect();
    names.sort();
    names.truncate(4);
    names
}

/// What is known of a kind of device node.
struct Kind {
    stem: &'static str,
    /// Who may use it on Debian and Raspberry Pi OS.
    group: &'static str,
    /// As udev knows it.
    subsystem: &'static str,
    bring: &'static str,
}

impl Kind {
    fn of(node: &Path) -> Self {
        let name = node.file_name().unwrap_or_default().to_string_lossy();
        match name {
            name if name.starts_with("i2c-") => Self {
                stem: "i2c-",
                group: "i2c",
                subsystem: "i2c-dev",
                bring: "load module i2c-dev and enable the bus in the device tree \
                        (Raspberry Pi: dtparam=i2c_arm=on)",
            },
            name if name.starts_with("spidev") => Self {
                stem: "spidev",
                group: "spi",
                subsystem: "spidev",
                bring: "load module spidev and enable the bus with its chip select in the device \
                        tree (Raspberry Pi: dtparam=spi=on)",
            },
            name if name.starts_with("gpiochip") => Self {
                stem: "gpiochip",
                group: "gpio",
                subsystem: "gpio",
                bring: "check the number of the chip, and that the kernel has its driver",
            },
            name if name.starts_with("fb") => Self {
                stem: "fb",
                group: "video",
                subsystem: "graphics",
                bring: "load the display's driver with framebuffer emulation (or module vfb)",
            },
            _ => Self {
                stem: "event",
                group: "input",
                subsystem: "input",
                bring: "check the name of the input device and its overlay (gpio-key)",
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use embedded_hal::i2c::Error as _;

    fn errno(errno: Errno) -> io::Error {
        io::Error::from_raw_os_error(errno.raw_os_error())
    }

    #[test]
    fn a_refusal_names_the_group_and_the_rule() {
        for (node, group, subsystem) in [
            ("/dev/i2c-1", "i2c", "i2c-dev"),
            ("/dev/spidev0.0", "spi", "spidev"),
            ("/dev/gpiochip0", "gpio", "gpio"),
            ("/dev/fb0", "video", "graphics"),
            ("/dev/input/event3", "input", "input"),
        ] {
            let sentence = cannot_open(Path::new(node), &errno(Errno::ACCESS), &[]);
            let rule = format!("SUBSYSTEM==\"{subsystem}\", GROUP=\"{group}\", MODE=\"0660\"");
            assert!(sentence.contains(node) && sentence.contains(&rule), "{sentence}");
            assert!(sentence.contains(&format!("group {group}")), "{sentence}");
        }
    }

    #[test]
    fn a_wrong_number_names_the_buses_there_are() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["i2c-10", "i2c-0", "spidev0.0", "null"] {
            std::fs::File::create(folder.path().join(name)).unwrap();
        }
        let node = folder.path().join("i2c-3");
        let others = siblings(folder.path(), &node);
        let sentence = cannot_open(&node, &errno(Errno::NOENT), &others);
        assert!(sentence.ends_with("dtparam=i2c_arm=on); there is i2c-0, i2c-10"), "{sentence}");
    }

    #[test]
    fn both_codes_of_a_missing_acknowledge_ask_for_wires_and_address() {
        for code in [Errno::NXIO, Errno::REMOTEIO] {
            let error = BusError::i2c("i2c-1", 0x27, &errno(code));
            assert!(matches!(error.kind(), i2c::ErrorKind::NoAcknowledge(_)));
            let sentence =
                "gets no answer at address 0x27 on i2c-1: check power, wires and address";
            assert_eq!(PanelError::of_bus(&error), PanelError::new(sentence));
        }
        let error = BusError::i2c("i2c-1", 0x27, &errno(Errno::TIMEDOUT));
        assert!(error.to_string().contains("holds the bus"));
    }
}
