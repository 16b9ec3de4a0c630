//! oidc-agent, beside whom the socket is measured: signed in at a sandbox of its own, as a
//! confidential client over TLS, for it knows no others.

use rustix::process::{Pid, Signal, kill_process};
use signpost_sandbox::{Client, Options, Sandbox, Tls};
use std::{
    error::Error,
    fs::File,
    io::{self, Read as _, Write as _},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};
use tokio::process::Command;

const SECRET: &str = "not secret";
/// For fetching it, too.
const PATIENCE: Duration = Duration::from_secs(300);

const REQUEST: &[u8] = br#"{"request":"access_token","account":"bench","min_valid_period":0,"application_hint":"bench"}"#;

/// A running oidc-agent; it ends when this is dropped.
pub(crate) struct Peer {
    pub(crate) socket: PathBuf,
    /// What it calls itself.
    pub(crate) name: String,
    process: Option<Pid>,
    _sandbox: Sandbox,
    _home: tempfile::TempDir,
}

impl Peer {
    /// Starts it.
    ///
    /// # Errors
    /// Why it is not to be had, in one line.
    pub(crate) async fn start() -> Result<Self, Box<dyn Error>> {
        let client = Client {
            id: "oidc-agent".into(),
            name: "oidc-agent".into(),
            secret: Some(SECRET.into()),
        };
        let options = Options {
            interval: Some(Duration::from_secs(1)),
            tls: Some(Tls::Ephemeral),
            clients: vec![client],
            ..Options::default()
        };
        let sandbox = Sandbox::start(options).await?;
        let home = tempfile::tempdir()?;
        let ca = home.path().join("ca.pem");
        File::create(&ca)?.write_all(sandbox.ca_pem().unwrap_or_default().as_bytes())?;
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/peer/sign-in");
        let mut signing_in = Command::new(script);
        signing_in.arg(sandbox.issuer_url()).arg(&ca).arg(home.path());
        let signing_in = signing_in.stdin(Stdio::null()).kill_on_drop(true).output();
        let approving = async {
            loop {
                sandbox.wait_until(PATIENCE, |sandbox| !sandbox.pending_codes().is_empty()).await;
                for pending in sandbox.pending_codes() {
                    let _ = sandbox.approve(&pending.user_code, "anna");
                }
            }
        };
        let ended = tokio::select! {
            ended = tokio::time::timeout(PATIENCE, signing_in) => ended??,
            () = approving => return Err("nobody approves".into()),
        };
        let said = String::from_utf8_lossy(&ended.stdout).into_owned();
        let mut words = said.trim().splitn(3, ' ');
        match (words.next(), words.next(), words.next()) {
            (Some(socket), Some(process), Some(name)) if ended.status.success() => Ok(Self {
                socket: socket.into(),
                name: name.to_owned(),
                process: process.parse().ok().and_then(Pid::from_raw),
                _sandbox: sandbox,
                _home: home,
            }),
            _ => Err(String::from_utf8_lossy(&ended.stderr).trim().to_owned().into()),
        }
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        if let Some(process) = self.process {
            let _ = kill_process(process, Signal::TERM);
        }
    }
}

/// One token over a connection of its own: it keeps none.
pub(crate) fn ask(socket: &Path, bytes: &mut [u8]) -> io::Result<()> {
    let mut stream = UnixStream::connect(socket)?;
    stream.write_all(REQUEST)?;
    let mut length = 0;
    loop {
        let count = stream.read(&mut bytes[length..])?;
        length += count;
        if count == 0 {
            let whole = bytes[..length].starts_with(br#"{"status":"success","access_token":""#);
            return if whole { Ok(()) } else { Err(io::Error::other("no token")) };
        }
    }
}
