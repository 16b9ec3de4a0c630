//! The agent as a program: its folder, its configuration, its process.

use super::{rest, sender::Sender};
use signpost_core::otlp::Signal;
use signpost_hal::clock;
use signpost_sandbox::Sandbox;
use std::{
    env, fs,
    io::{self, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};
use tokio::runtime::Runtime;

/// How long anything is waited for.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// What an agent is told.
#[derive(Clone, Copy, Debug)]
pub struct Setup<'a> {
    /// Base address of its issuer.
    pub issuer: &'a str,
    /// Base address of its backend.
    pub telemetry: &'a str,
    /// Authorities that it trusts alone.
    pub ca: Option<&'a Path>,
    /// How large its spool is.
    pub spool: &'a str,
    /// Further lines of `[telemetry]`, and further sections.
    pub more: &'a str,
}

/// Where an agent lives: its configuration, stores, sockets and log outlive its process.
#[derive(Debug)]
pub struct Home {
    folder: PathBuf,
    program: PathBuf,
    intake: SocketAddr,
}

impl Home {
    /// Makes a configuration in `folder` for the agent at `program`. Its store is bound to no
    /// board.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub fn new(folder: &Path, program: PathBuf, setup: &Setup<'_>) -> io::Result<Self> {
        let intake = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
        let Setup { issuer, telemetry, ca, spool, more } = setup;
        let at = folder.display();
        let network = ca.map_or(String::new(), |ca| {
            format!("[network]\nca_file = \"{}\"\nsystem_roots = false\n", ca.display())
        });
        let text = format!(
            "[issuer]\nurl = \"{issuer}\"\nclient_id = \"signpost\"\n\
             scopes = [\"openid\", \"offline_access\", \"telemetry.write\"]\n{network}\
             [store]\nbind = \"none\"\ntokens = {{ path = \"{at}/tokens.flash\" }}\n\
             spool = {{ path = \"{at}/spool.flash\", size = \"{spool}\" }}\n\
             [broker]\nsocket = \"{at}/token.sock\"\n[control]\nsocket = \"{at}/control.sock\"\n\
             [telemetry]\nendpoint = \"{telemetry}\"\nlisten = [\"{intake}\"]\nvitals = \"off\"\n\
             {more}"
        );
        fs::create_dir_all(folder.join("runtime"))?;
        fs::File::create(folder.join("signpost.toml"))?.write_all(text.as_bytes())?;
        Ok(Self { folder: folder.to_owned(), program, intake })
    }

    /// Where local programs deliver.
    pub fn intake(&self) -> SocketAddr {
        self.intake
    }

    /// What is in the folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Starts it.
    ///
    /// # Errors
    /// There is no such program.
    pub fn start(&self) -> io::Result<Agent> {
        let log = fs::OpenOptions::new().create(true).append(true).open(self.path("log"))?;
        let mut command = Command::new(&self.program);
        command.args(["run", "--config"]).arg(self.path("signpost.toml"));
        command.env("RUNTIME_DIRECTORY", self.path("runtime"));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        command.spawn().map(Agent)
    }

    /// Starts it for the first time, signs it in, and waits until it takes something in.
    ///
    /// # Errors
    /// One of these does not come.
    pub fn sign_in(&self, runtime: &Runtime, sandbox: &Sandbox) -> io::Result<Agent> {
        self.sign_in_as(runtime, sandbox, "anna")
    }

    /// The same as the account with this subject.
    ///
    /// # Errors
    /// As [`sign_in`](Self::sign_in).
    pub fn sign_in_as(
        &self,
        runtime: &Runtime,
        sandbox: &Sandbox,
        subject: &str,
    ) -> io::Result<Agent> {
        let agent = self.start()?;
        let failed = |what: &str| io::Error::other(format!("{what}:\n{}", self.told()));
        runtime.block_on(sandbox.wait_until(PATIENCE, |s| !s.pending_codes().is_empty()));
        for pending in sandbox.pending_codes() {
            sandbox.approve(&pending.user_code, subject).map_err(|_| failed("no such code"))?;
        }
        let granted = sandbox.wait_until(PATIENCE, |s| s.grant_count(subject) > 0);
        if !runtime.block_on(granted) {
            return Err(failed("nobody is signed in"));
        }
        self.wait_until_ready()?;
        // What came before the agent has heard of it would be the device's own.
        let mut status = Command::new(&self.program);
        status.args(["status", "--wait", "online", "--timeout", "60", "--config"]);
        status.arg(self.path("signpost.toml")).stdout(Stdio::null()).stderr(Stdio::null());
        if !status.status()?.success() {
            return Err(failed("signed in, and not online"));
        }
        Ok(agent)
    }

    /// Waits until the agent takes something in, with its stores open: how long that took.
    ///
    /// # Errors
    /// It never does.
    pub fn wait_until_ready(&self) -> io::Result<Duration> {
        let began = clock::boot();
        // An empty request needs no flash.
        let empty = Sender::frame(Signal::Logs, b"");
        while clock::boot() < began + PATIENCE {
            if let Ok(200) = Sender::new(self.intake).send(&empty) {
                return Ok(clock::boot() - began);
            }
            rest(Duration::from_millis(1));
        }
        Err(io::Error::other(format!("the agent takes nothing in:\n{}", self.told())))
    }

    /// The end of what it said.
    pub fn told(&self) -> String {
        let log = fs::read_to_string(self.path("log")).unwrap_or_default();
        let from = log.len().saturating_sub(4_000);
        log.get(from..).unwrap_or(&log).to_owned()
    }
}

/// A running agent. It ends with this value.
#[derive(Debug)]
pub struct Agent(Child);

impl Agent {
    /// Its process.
    pub fn pid(&self) -> u32 {
        self.0.id()
    }

    /// SIGKILL.
    ///
    /// # Errors
    /// It had ended by itself.
    pub fn kill(mut self) -> io::Result<()> {
        if let Some(status) = self.0.try_wait()? {
            return Err(io::Error::other(format!("the agent ended by itself: {status}")));
        }
        self.0.kill()?;
        self.0.wait().map(drop)
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The agent that SIGNPOST_BIN names, or the one that was built with this program.
///
/// # Errors
/// There is none.
pub fn program() -> io::Result<PathBuf> {
    let beside = || Ok::<_, io::Error>(env::current_exe()?.with_file_name("signpost"));
    let path = env::var_os("SIGNPOST_BIN").map(PathBuf::from).map_or_else(beside, Ok)?;
    match path.is_file() {
        true => Ok(path),
        false => Err(io::Error::other(format!(
            "{} is not built: cargo build --workspace --bins",
            path.display()
        ))),
    }
}
