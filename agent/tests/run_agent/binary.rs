//! The program as systemd has it: notifications, signals, limits.

use super::{device::Device, servers::Servers};
use std::{path::PathBuf, process::Stdio, time::Duration};
use tokio::{
    io::AsyncReadExt,
    net::UnixDatagram,
    process::{Child, Command},
    time::timeout,
};

/// The program under a systemd that listens.
pub(crate) struct Unit {
    child: Child,
    notifications: UnixDatagram,
}

impl Unit {
    pub(crate) fn start(device: &Device, environment: &[(&str, &str)]) -> Self {
        let program = Command::new(env!("CARGO_BIN_EXE_signpost"));
        Self::start_by(program, device, environment)
    }

    /// Started by `command`, which takes the rest as its arguments.
    pub(crate) fn start_by(
        command: Command,
        device: &Device,
        environment: &[(&str, &str)],
    ) -> Self {
        Self::start_with(command, device, environment, Stdio::null())
    }

    /// The same with something at its standard input.
    pub(crate) fn start_with(
        mut command: Command,
        device: &Device,
        environment: &[(&str, &str)],
        stdin: Stdio,
    ) -> Self {
        let socket: PathBuf = device.path("notify.sock");
        let _ = std::fs::remove_file(&socket);
        let notifications = UnixDatagram::bind(&socket).unwrap();
        let child = command
            .args(["run", "--config"])
            .arg(device.config())
            .env_clear()
            .env("NOTIFY_SOCKET", &socket)
            .envs(environment.iter().copied())
            .stdin(stdin)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        Self { child, notifications }
    }

    /// Reads notifications up to one that holds `wanted`.
    pub(crate) async fn tells(&self, wanted: &str) -> String {
        let mut bytes = [0; 4096];
        loop {
            let reading = timeout(Duration::from_secs(20), self.notifications.recv(&mut bytes));
            let count = reading.await.unwrap().unwrap();
            let text = String::from_utf8_lossy(&bytes[..count]).into_owned();
            if text.contains(wanted) {
                return text;
            }
        }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id().unwrap()
    }

    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_raw(self.id().cast_signed()).unwrap();
        rustix::process::kill_process(pid, signal).unwrap();
    }

    /// Its exit code and all that it wrote.
    pub(crate) async fn end(mut self) -> (Option<i32>, String) {
        let ended = timeout(Duration::from_secs(10), self.child.wait()).await.unwrap().unwrap();
        let mut written = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut written).await.unwrap();
        (ended.code(), written)
    }
}

#[tokio::test]
async fn it_says_when_it_is_ready_how_it_is_and_when_it_stops() {
    let servers = Servers::start().await;
    let device = Device::new(&servers);
    let unit = Unit::start(&device, &[]);
    unit.tells("READY=1").await;
    unit.tells("STATUS=pairing").await;
    unit.signal(rustix::process::Signal::TERM);
    unit.tells("STOPPING=1").await;
    assert_eq!(unit.end().await.0, Some(0));
}

#[tokio::test]
async fn invariant_7_nothing_private_is_written_at_any_level() {
    let servers = Servers::start().await;
    let device = Device::new(&servers);
    servers.world().approved = true;
    let unit = Unit::start(&device, &[("SIGNPOST_LOG", "trace")]);
    unit.tells("READY=1").await;
    servers.saw(|world| !world.telemetry.is_empty()).await;
    unit.tells("STATUS=online").await;
    unit.signal(rustix::process::Signal::INT);
    let (code, written) = unit.end().await;
    assert_eq!(code, Some(0));
    assert!(written.contains("somebody signed in"), "{written}");
    for private in ["secret", "CODE-1", "/go"] {
        assert!(!written.contains(private), "{written}");
    }
}

#[tokio::test]
async fn the_watchdog_is_fed() {
    let servers = Servers::start().await;
    let device = Device::new(&servers);
    let unit = Unit::start(&device, &[("WATCHDOG_USEC", "200000")]);
    for _ in 0..3 {
        unit.tells("WATCHDOG=1").await;
    }
    unit.signal(rustix::process::Signal::TERM);
    assert_eq!(unit.end().await.0, Some(0));
}

#[tokio::test]
async fn invariant_7_no_core_dump_is_written() {
    let servers = Servers::start().await;
    let device = Device::new(&servers);
    let unit = Unit::start(&device, &[]);
    unit.tells("READY=1").await;
    let pid = unit.child.id().unwrap();
    let limits = std::fs::read_to_string(format!("/proc/{pid}/limits")).unwrap();
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert_eq!(core.split_whitespace().nth(4), Some("0"), "{core}");
}

#[tokio::test]
async fn a_configuration_that_cannot_be_run_ends_with_78_and_one_line() {
    let servers = Servers::start().await;
    let device = Device::new(&servers);
    device.write("ca.pem", b"no certificate");
    let (code, written) = Unit::start(&device, &[]).end().await;
    assert_eq!(code, Some(78), "{written}");
    let line = written.lines().last().unwrap();
    assert!(line.contains("network.ca_file") && line.contains("holds no certificate"), "{line}");
}

/// While it waits for the next start, `systemctl status` shows no line of the journal.
#[tokio::test]
async fn a_start_that_fails_tells_systemd_why() {
    let servers = Servers::start().await;
    let device = Device::new(&servers);
    device.write("ca.pem", b"no certificate");
    let unit = Unit::start(&device, &[]);
    let told = unit.tells("STATUS=").await;
    let (_, written) = unit.end().await;
    let line = written.lines().last().unwrap();
    assert_eq!(told.trim_end(), line.replace("signpost: ", "STATUS="));
    device.edit("client_id = \"", "client_id = 5 # \"");
    let unit = Unit::start(&device, &[]);
    assert!(unit.tells("STATUS=").await.contains("issuer.client_id"));
    assert_eq!(unit.end().await.0, Some(78));
}
