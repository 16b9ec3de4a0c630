//! The agent as a program: started, asked and killed from outside.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

use super::parts::{Backend, Issuer, RESOURCE, Stage, free_port};
use super::running::{Running, until};

/// What the device shows to a person.
pub(crate) struct Pairing {
    pub(crate) user_code: String,
    pub(crate) verification_uri: String,
    pub(crate) verification_uri_complete: String,
}

pub(crate) struct Agent {
    running: Running,
    configuration: PathBuf,
    log: PathBuf,
    runtime: PathBuf,
    intake: SocketAddr,
}

impl Agent {
    pub(crate) fn start(stage: &Stage, issuer: &Issuer, backend: &Backend) -> Self {
        let intake = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let configuration = configuration(stage, issuer, backend, intake);
        Self::start_configured(stage, &configuration, intake)
    }

    /// One that belongs to whoever signs in last.
    pub(crate) fn start_for_anybody(stage: &Stage, issuer: &Issuer, backend: &Backend) -> Self {
        let intake = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let configuration = configuration(stage, issuer, backend, intake);
        let configuration = format!("{configuration}\n[owner]\nallow = \"any\"\n");
        Self::start_configured(stage, &configuration, intake)
    }

    /// One that sends in its own name, too, as the client "own".
    pub(crate) fn start_with_own_name(stage: &Stage, issuer: &Issuer, backend: &Backend) -> Self {
        let intake = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let own = format!(
            "client_id = \"own\"\nclient_secret_file = {:?}\nown_name = true\n\
             own_scopes = [\"telemetry.write\"]",
            stage.path("secret")
        );
        let configuration = configuration(stage, issuer, backend, intake);
        let configuration = configuration.replace("client_id = \"signpost\"", &own);
        Self::start_configured(stage, &configuration, intake)
    }

    fn start_configured(stage: &Stage, configuration: &str, intake: SocketAddr) -> Self {
        let configuration = stage.write("signpost.toml", configuration);
        let log = stage.path("agent.log");
        let runtime = stage.path("runtime");
        fs::create_dir(&runtime).unwrap();
        let running = run(&configuration, &runtime, &log);
        Self { running, configuration, log, runtime, intake }
    }

    /// One without telemetry, for whom the issuer is all: `client` with what `auth` says in
    /// `[issuer]`. Several stand on one stage.
    pub(crate) fn start_as(stage: &Stage, issuer: &Issuer, client: &str, auth: &str) -> Self {
        let folder = stage.path(client);
        fs::create_dir(&folder).unwrap();
        let file = |name: &str| format!("{:?}", folder.join(name));
        let text = format!(
            r#"
[issuer]
url = "{url}"
client_id = "{client}"
{auth}
[network]
ca_file = {ca:?}
system_roots = false
[store]
tokens = {{ path = {tokens}, size = "64 KiB" }}
spool = {{ path = {spool}, size = "1 MiB" }}
[telemetry]
listen = []
[broker]
socket = {broker}
[control]
socket = {control}
"#,
            url = issuer.url,
            ca = stage.path("ca.pem"),
            tokens = file("tokens.flash"),
            spool = file("spool.flash"),
            broker = file("token.sock"),
            control = file("control.sock"),
        );
        let configuration = stage.write(&format!("{client}/signpost.toml"), &text);
        let log = stage.path(&format!("agent-{client}.log"));
        let running = run(&configuration, &folder, &log);
        let intake = SocketAddr::from(([127, 0, 0, 1], 0));
        Self { running, configuration, log, runtime: folder, intake }
    }

    /// Flash as it is now: with the refresh token that is about to be used.
    pub(crate) fn copy_flash(&self) -> Vec<u8> {
        fs::read(self.tokens()).unwrap()
    }

    /// The token store; of one that stands alone on its stage it lies there.
    fn tokens(&self) -> PathBuf {
        self.configuration.with_file_name("tokens.flash")
    }

    /// Turns flash back while the agent is killed, and starts it again: it knows the old token only.
    pub(crate) fn start_again_with(&mut self, flash: &[u8]) {
        self.kill();
        fs::write(self.tokens(), flash).unwrap();
        self.start_again();
    }

    /// Where local programs ask for tokens.
    pub(crate) fn token_socket(&self) -> PathBuf {
        self.runtime.join("token.sock")
    }

    /// Where local programs deliver.
    pub(crate) fn intake(&self) -> SocketAddr {
        self.intake
    }

    pub(crate) fn kill(&mut self) {
        assert_eq!(self.running.has_ended(), None, "the agent had ended by itself");
        self.running.kill();
    }

    pub(crate) fn start_again(&mut self) {
        self.running = run(&self.configuration, &self.runtime, &self.log);
    }

    pub(crate) fn wait_for_code(&self) -> Pairing {
        let pairing = until("a code", 30, || {
            self.status().map(|it| it["pairing"].clone()).filter(Value::is_object)
        });
        let text = |key: &str| pairing[key].as_str().unwrap().to_owned();
        Pairing {
            user_code: text("user_code"),
            verification_uri: text("verification_uri"),
            verification_uri_complete: text("verification_uri_complete"),
        }
    }

    pub(crate) fn wait_for(&self, state: &str) {
        until(&format!("state {state}"), 45, || self.status().filter(|it| it["state"] == state));
    }

    /// Waits until the issuer has refreshed once more and the agent says that it holds the result.
    pub(crate) fn wait_for_next_refresh(&self, issuer: &Issuer) {
        let held = || self.status().map(|it| it["grant"]["last_refresh_at"].clone());
        let (refreshes, before) = (issuer.refreshes(), held());
        until("a refresh", 30, || (issuer.refreshes() > refreshes).then_some(()));
        until("the refreshed grant", 10, || {
            held().filter(|it| !it.is_null() && Some(it) != before.as_ref())
        });
    }

    pub(crate) fn sign_in(&self) {
        self.must(&["sign-in", "--no-wait"]);
    }

    pub(crate) fn sign_out(&self) {
        self.must(&["sign-out"]);
    }

    fn must(&self, arguments: &[&str]) {
        let output = self.command(arguments);
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?} failed: {told}");
    }

    /// What only panels may show is not in the log.
    pub(crate) fn assert_silent_about(&self, words: &[&str]) {
        let log = fs::read_to_string(&self.log).unwrap();
        for word in words {
            assert!(!log.contains(word), "the agent's log names {word}");
        }
    }

    /// None while it does not answer.
    pub(crate) fn status(&self) -> Option<Value> {
        let output = self.command(&["status", "--json"]);
        serde_json::from_slice(&output.stdout).ok().filter(|_| output.status.success())
    }

    fn command(&self, arguments: &[&str]) -> Output {
        program().args(arguments).arg("--config").arg(&self.configuration).output().unwrap()
    }
}

fn run(configuration: &Path, runtime: &Path, log: &Path) -> Running {
    let mut command = program();
    command.arg("run").arg("--config").arg(configuration).env("RUNTIME_DIRECTORY", runtime);
    Running::start("the agent", &mut command, log)
}

/// The agent that was built with this test, or the one that SIGNPOST_BIN names.
fn program() -> Command {
    let built = || {
        let test = std::env::current_exe().unwrap();
        test.parent().and_then(|deps| deps.parent()).unwrap().join("signpost")
    };
    let path = std::env::var_os("SIGNPOST_BIN").map_or_else(built, PathBuf::from);
    assert!(
        path.exists(),
        "{} is not built: cargo build --workspace --bins --tests",
        path.display()
    );
    Command::new(path)
}

fn configuration(stage: &Stage, issuer: &Issuer, backend: &Backend, intake: SocketAddr) -> String {
    let path = |name: &str| format!("{:?}", stage.path(name));
    format!(
        r#"
[device]
id = "greenhouse-7"

[issuer]
url = "{issuer}"
client_id = "signpost"
scopes = ["openid", "offline_access", "telemetry.write"]
resource = "{RESOURCE}"

[network]
ca_file = {ca}
system_roots = false

[store]
tokens = {{ path = {tokens}, size = "64 KiB" }}
spool = {{ path = {spool}, size = "8 MiB" }}

[telemetry]
endpoint = "{endpoint}"
listen = ["{intake}"]

[broker]
socket = {broker}

[control]
socket = {control}
"#,
        issuer = issuer.url,
        ca = path("ca.pem"),
        tokens = path("tokens.flash"),
        spool = path("spool.flash"),
        endpoint = backend.endpoint,
        broker = path("token.sock"),
        control = path("control.sock"),
    )
}
