//! The systemd drop-in that opens exactly the configured devices to the agent, whose own unit
//! allows none.

use std::collections::BTreeSet;
use std::path::Path;

use signpost_hal::panel::bus::LineName;

use super::access::{Peer, Pins};
use super::board::Button;
use super::panel::Driver;
use super::resolve::Config;
use super::storage::KeySource;

const STATE: [&str; 2] = ["/var/lib/signpost", "/run/signpost"];

const HEADER: &str = "\
# From `signpost config unit`: what the configuration needs beyond the unit itself.
# Put it into /etc/systemd/system/signpost.service.d/devices.conf, then
# systemctl daemon-reload && systemctl restart signpost
[Service]
";

/// The drop-in; only its header where nothing is needed.
pub fn unit(config: &Config) -> String {
    let mut needs = Needs::default();
    for panel in &config.panels {
        match &panel.driver {
            Driver::Terminal => {}
            Driver::Serial { port, .. } => needs.device(port.as_path(), Some("dialout")),
            Driver::Board { hardware, .. } => {
                if let Some(bus) = hardware.bus() {
                    needs.device(&bus.node(), Some(bus.group()));
                }
                for line in hardware.lines() {
                    needs.line(line, config.device.pins);
                }
                // A pipe is there before it is opened, and opens without leave to write there.
                if let Some(path) = hardware.path().filter(|path| path.starts_with("/dev")) {
                    needs.device(path, Some("video"));
                }
            }
            Driver::NotBuiltIn { .. } => {}
        }
    }
    for output in config.lamps.iter().map(|(_, lamp)| lamp).chain(&config.buzzer) {
        needs.line(&output.line, config.device.pins);
    }
    for (_, button) in &config.buttons {
        match button {
            Button::Line { line, .. } => needs.line(line, Pins::Linux),
            Button::Input { device, .. } => needs.device(device.as_path(), Some("input")),
        }
    }
    for medium in [&config.store.tokens.path, &config.store.spool.path] {
        // MTD devices belong to root: a udev rule has to hand them over.
        let mtd = medium.as_path().to_string_lossy().starts_with("/dev/mtd");
        needs.file(medium.as_path(), (!mtd).then_some("disk"));
    }
    for (_, rule) in &config.broker.allow {
        let Some(file) = &rule.file else { continue };
        needs.file(file.as_path(), None);
        if let Peer::Group(group) = &rule.peer {
            // Only a member may hand a file to a group.
            needs.member(group.as_str());
        }
    }
    if let Some(textfile) = &config.metrics.textfile {
        needs.file(textfile.as_path(), None);
    }
    for key in std::iter::once(&config.store.key.sealing).chain(&config.store.key.opening) {
        if let KeySource::Credential(name) = key {
            needs.credentials.insert(name.to_string());
        }
    }
    let headers = config.telemetry.header_files.iter().map(|(_, file)| file);
    for file in config.issuer.auth.files().chain(headers) {
        needs.credentials.extend(file.credential().map(ToString::to_string));
    }
    needs.to_text()
}

#[derive(Default)]
struct Needs {
    devices: BTreeSet<String>,
    groups: BTreeSet<String>,
    folders: BTreeSet<String>,
    credentials: BTreeSet<String>,
}

impl Needs {
    fn device(&mut self, node: &Path, group: Option<&'static str>) {
        self.devices.insert(word(node));
        self.groups.extend(group.map(str::to_owned));
    }

    fn member(&mut self, group: &str) {
        self.groups.insert(group.to_owned());
    }

    fn line(&mut self, line: &LineName, pins: Pins) {
        match (pins, line) {
            // rppal asks the chips first which of them is the board's; the second is a Pi 5's.
            (Pins::Rppal, _) => {
                for node in ["/dev/gpiomem", "/dev/gpiomem0", "char-gpiochip"] {
                    self.device(Path::new(node), Some("gpio"));
                }
            }
            (Pins::Linux, LineName::Number(chip, _)) => {
                self.device(Path::new(&format!("/dev/gpiochip{chip}")), Some("gpio"));
            }
            // Which chip has a line of that name shows on the board only.
            (Pins::Linux, LineName::Name(_)) => {
                self.device(Path::new("char-gpiochip"), Some("gpio"));
            }
        }
    }

    /// A device node, or a file that is replaced or made in its folder.
    fn file(&mut self, path: &Path, group: Option<&'static str>) {
        if path.starts_with("/dev") {
            self.device(path, group);
        } else if let Some(folder) = path.parent()
            && !STATE.iter().any(|state| folder.starts_with(state))
        {
            self.folders.insert(word(folder));
        }
    }

    fn to_text(&self) -> String {
        let mut out = String::from(HEADER);
        if !self.devices.is_empty() {
            out.push_str("PrivateDevices=no\nDevicePolicy=closed\n");
        }
        for device in &self.devices {
            out.push_str(&format!("DeviceAllow={device} rw\n"));
        }
        for group in &self.groups {
            out.push_str(&format!("SupplementaryGroups={group}\n"));
        }
        for folder in &self.folders {
            out.push_str(&format!("ReadWritePaths={folder}\n"));
        }
        for credential in &self.credentials {
            out.push_str(&format!("LoadCredentialEncrypted={credential}\n"));
        }
        out
    }
}

/// A path as one word of a unit file (systemd.syntax(7)): specifiers and quotes escaped.
fn word(path: &Path) -> String {
    let text = path.display().to_string().replace('%', "%%");
    if text.contains([' ', '"', '\'', '\\', ';']) {
        format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
    } else {
        text
    }
}
