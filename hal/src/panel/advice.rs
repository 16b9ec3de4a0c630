//! Why a device node cannot be opened, in one line with what to do.

use std::fmt::Write as _;
use std::io;
use std::path::Path;

use super::PanelError;

/// Why `node` cannot be opened, who may, and what brings it into being.
pub(super) fn cannot_open(node: &Path, error: &io::Error) -> PanelError {
    let known = Kind::of(node);
    let shown = node.display();
    PanelError::new(match (error.kind(), known) {
        (io::ErrorKind::PermissionDenied, Some(Kind { group, subsystem, .. })) => format!(
            "has no permission for {shown}: add the user to group {group}, with the udev rule \
             SUBSYSTEM==\"{subsystem}\", GROUP=\"{group}\", MODE=\"0660\""
        ),
        (io::ErrorKind::NotFound, Some(Kind { stem, bring, .. })) => {
            let mut sentence = format!("finds that {shown} does not exist: {bring}");
            let others = siblings(node, stem);
            if !others.is_empty() {
                let _ = write!(sentence, "; there is {}", others.join(", "));
            }
            sentence
        }
        (io::ErrorKind::NotFound, None) => format!("finds that {shown} does not exist"),
        _ => format!("cannot open {shown}: {error}"),
    })
}

/// Nodes beside `node` whose names begin with `stem`, at most four.
fn siblings(node: &Path, stem: &str) -> Vec<String> {
    let folder = node.parent().unwrap_or(Path::new("/dev"));
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

const KINDS: [Kind; 6] = [
    Kind {
        stem: "i2c-",
        group: "i2c",
        subsystem: "i2c-dev",
        bring: "load module i2c-dev and enable the bus in the device tree \
                (Raspberry Pi: dtparam=i2c_arm=on)",
    },
    Kind {
        stem: "spidev",
        group: "spi",
        subsystem: "spidev",
        bring: "load module spidev and enable the bus with its chip select in the device tree \
                (Raspberry Pi: dtparam=spi=on)",
    },
    Kind {
        stem: "gpiochip",
        group: "gpio",
        subsystem: "gpio",
        bring: "check the number of the chip, and that the kernel has its driver",
    },
    Kind {
        stem: "gpiomem",
        group: "gpio",
        subsystem: "bcm2835-gpiomem",
        bring: "load module bcm2835-gpiomem, or set device.pins to linux",
    },
    Kind {
        stem: "fb",
        group: "video",
        subsystem: "graphics",
        bring: "load the display's driver with framebuffer emulation (or module vfb)",
    },
    Kind {
        stem: "event",
        group: "input",
        subsystem: "input",
        bring: "check the number, and the overlay of the buttons (Raspberry Pi: gpio-key)",
    },
];

impl Kind {
    fn of(node: &Path) -> Option<&'static Self> {
        let name = node.file_name()?.to_string_lossy();
        KINDS.iter().find(|kind| name.starts_with(kind.stem))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::io::Errno;

    fn why(node: &Path, errno: Errno) -> String {
        let error = io::Error::from_raw_os_error(errno.raw_os_error());
        cannot_open(node, &error).to_string()
    }

    #[test]
    fn a_refusal_names_the_group_and_the_rule() {
        for (node, group, subsystem) in [
            ("/dev/i2c-1", "i2c", "i2c-dev"),
            ("/dev/spidev0.0", "spi", "spidev"),
            ("/dev/gpiochip0", "gpio", "gpio"),
            ("/dev/gpiomem", "gpio", "bcm2835-gpiomem"),
            ("/dev/fb0", "video", "graphics"),
            ("/dev/input/event3", "input", "input"),
        ] {
            let sentence = why(Path::new(node), Errno::ACCESS);
            let rule = format!("SUBSYSTEM==\"{subsystem}\", GROUP=\"{group}\", MODE=\"0660\"");
            assert!(sentence.contains(node) && sentence.contains(&rule), "{sentence}");
            assert!(sentence.contains(&format!("group {group}")), "{sentence}");
            assert!(!sentence.contains('\n'));
        }
    }

    #[test]
    fn a_wrong_number_names_the_buses_there_are() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["i2c-10", "i2c-0", "spidev0.0", "null"] {
            std::fs::File::create(folder.path().join(name)).unwrap();
        }
        let sentence = why(&folder.path().join("i2c-3"), Errno::NOENT);
        assert!(sentence.ends_with("dtparam=i2c_arm=on); there is i2c-0, i2c-10"), "{sentence}");
    }
}
