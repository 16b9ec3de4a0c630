//! The agent inside of a benchmark, on a thread and runtime of its own as in its binary, with the
//! sandbox for issuer and backend.

use signpost::{
    config::{Sources, load},
    shell::{calls::Calls, run::Agent},
};
use signpost_hal::{clock, sim::EmulatedBoard};
use signpost_sandbox::{Options, Sandbox};
use std::{
    error::Error,
    fs::File,
    io::Write as _,
    path::PathBuf,
    thread::{self, JoinHandle},
    time::Duration,
};
use tempfile::TempDir;
use tokio::{runtime, sync::oneshot};

/// A running agent.
pub(crate) struct Inside {
    #[allow(dead_code, reason = "not every benchmark asks the agent itself")]
    pub(crate) calls: Calls,
    pub(crate) sandbox: Sandbox,
    home: TempDir,
    stop: oneshot::Sender<()>,
    agent: JoinHandle<Result<(), String>>,
}

impl Inside {
    /// Starts it on `board`, with `more` behind what every agent needs.
    pub(crate) async fn start(board: EmulatedBoard, more: &str) -> Result<Self, Box<dyn Error>> {
        let options = Options { interval: Some(Duration::from_secs(1)), ..Options::default() };
        let sandbox = Sandbox::start(options).await?;
        let home = tempfile::tempdir()?;
        let at = home.path().display();
        let text = format!(
            "[issuer]\nurl = \"{}\"\nclient_id = \"signpost\"\n\
             scopes = [\"openid\", \"offline_access\", \"telemetry.write\"]\n\
             [store]\ntokens = {{ path = \"{at}/tokens.flash\" }}\n\
             spool = {{ path = \"{at}/spool.flash\", size = \"1 MiB\" }}\n\
             [telemetry]\nendpoint = \"{}\"\nlisten = [\"unix:{at}/otlp.sock\"]\nvitals = \"1 s\"\n\
             [broker]\nsocket = \"{at}/token.sock\"\n[control]\nsocket = \"{at}/control.sock\"\n\
             {more}",
            sandbox.issuer_url(),
            sandbox.telemetry_url(),
        );
        let file = home.path().join("signpost.toml");
        File::create(&file)?.write_all(text.as_bytes())?;
        let loaded = load(&Sources::file(&file))?;
        let (door, doors) = oneshot::channel::<Calls>();
        let (stop, stopped) = oneshot::channel::<()>();
        let agent = thread::spawn(move || {
            let alone = runtime::Builder::new_current_thread().enable_all().build();
            alone.map_err(|error| error.to_string())?.block_on(async {
                let agent = Agent::open_on(board, &loaded).map_err(|error| error.to_string())?;
                let _ = door.send(agent.calls());
                let shutdown = async { drop(stopped.await) };
                agent.run(shutdown).await.map_err(|error| error.to_string())
            })
        });
        Ok(Self { calls: doors.await?, sandbox, home, stop, agent })
    }

    /// The socket that programs get their tokens from.
    #[allow(dead_code, reason = "not every benchmark asks for tokens")]
    pub(crate) fn tokens(&self) -> PathBuf {
        self.home.path().join("token.sock")
    }

    /// Approves whatever waits to be.
    pub(crate) fn approve(&self) {
        for pending in self.sandbox.pending_codes() {
            let _ = self.sandbox.approve(&pending.user_code, "anna");
        }
    }

    /// Stops it: how long that took.
    pub(crate) async fn stop(self) -> Result<Duration, Box<dyn Error>> {
        let began = clock::boot();
        let _ = self.stop.send(());
        self.agent.join().map_err(|_| "the agent ended in a panic")??;
        let took = clock::boot() - began;
        self.sandbox.stop().await;
        Ok(took)
    }
}
