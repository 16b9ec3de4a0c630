//! What stands around the agent: the folder and certificates of one test, issuer, person, sending program, backend.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer as Signer, KeyPair};
use serde_json::Value;

use super::agent::Pairing;
use super::running::{Running, until};

/// The API for which the issuer gives tokens that the backend can read.
pub(crate) const RESOURCE: &str = "https://telemetry.test/";
pub(crate) const ACCOUNT: &str = "ada.lovelace";
const ACCESS_TOKEN_SECONDS: &str = "12";

/// A folder for one test, with a certificate authority of its own.
pub(crate) struct Stage {
    folder: tempfile::TempDir,
}

impl Stage {
    pub(crate) fn set() -> Self {
        let stage = Self { folder: tempfile::tempdir().unwrap() };
        stage.write_certificates();
        stage
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, text).unwrap();
        path
    }

    fn write_certificates(&self) {
        let mut authority = CertificateParams::default();
        authority.distinguished_name.push(DnType::CommonName, "The test's own authority");
        authority.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        let authority_key = KeyPair::generate().unwrap();
        self.write("ca.pem", &authority.self_signed(&authority_key).unwrap().pem());

        let server = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
        let server_key = KeyPair::generate().unwrap();
        let signed = server.signed_by(&server_key, &Signer::new(authority, authority_key)).unwrap();
        self.write("server.pem", &signed.pem());
        self.write("server-key.pem", &server_key.serialize_pem());
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            return;
        }
        for entry in fs::read_dir(self.folder.path()).into_iter().flatten().flatten() {
            if entry.path().extension().is_some_and(|it| it == "log") {
                let text = fs::read_to_string(entry.path()).unwrap_or_default();
                let lines: Vec<&str> = text.lines().collect();
                let end = &lines[lines.len().saturating_sub(60)..];
                eprintln!("--- the end of {}\n{}", entry.file_name().display(), end.join("\n"));
            }
        }
    }
}

/// oidc-provider with rotation: the replay of a refresh token ends the grant.
pub(crate) struct Issuer {
    running: Running,
    /// Where it is found.
    pub(crate) url: String,
}

impl Issuer {
    pub(crate) fn start(stage: &Stage) -> Self {
        Self::start_with(stage, &[])
    }

    pub(crate) fn start_with(stage: &Stage, more: &[&str]) -> Self {
        let mut command = node("server.mjs");
        command
            .arg("--cert")
            .arg(stage.path("server.pem"))
            .arg("--key")
            .arg(stage.path("server-key.pem"));
        command.args(["--access-token-seconds", ACCESS_TOKEN_SECONDS]).args(more);
        let running = Running::start("the issuer", &mut command, &stage.path("issuer.log"));
        let url = running.wait_for("ready")["issuer"].as_str().unwrap().to_owned();
        Self { running, url }
    }

    pub(crate) fn times(&self, event: &str) -> usize {
        self.running.events(event).len()
    }

    pub(crate) fn refreshes(&self) -> usize {
        let grants = self.running.events("grant");
        grants.iter().filter(|it| it["grant_type"] == "refresh_token").count()
    }

    /// How many tokens a client got in its own name.
    pub(crate) fn own_names(&self) -> usize {
        let grants = self.running.events("grant");
        grants.iter().filter(|it| it["grant_type"] == "client_credentials").count()
    }

    pub(crate) fn has_refreshed(&self, client: &str) -> bool {
        let grants = self.running.events("grant");
        grants.iter().any(|it| it["client"] == client && it["grant_type"] == "refresh_token")
    }

    pub(crate) fn revocations(&self, client: &str) -> usize {
        self.running.events("revoked").iter().filter(|it| it["client"] == client).count()
    }

    /// Whether every access token of `client` is bound to a key.
    pub(crate) fn is_bound(&self, client: &str) -> bool {
        let issued = self.running.events("issued");
        let mut issued = issued.iter().filter(|it| it["client"] == client).peekable();
        issued.peek().is_some() && issued.all(|it| it["jkt"].is_string())
    }

    /// What it had to refuse, beside polls that came too early, the replay that is tried, and the
    /// questions for a nonce: with a device code that nobody has approved, or with nobody's refresh
    /// token.
    pub(crate) fn unexpected(&self) -> Vec<String> {
        let errors = self.running.events("grant_error").into_iter();
        let expected = |it: &Value| {
            it["error"] == "authorization_pending"
                || it["error"] == "use_dpop_nonce"
                || it["detail"] == "refresh token already used"
                || (it["client"] == "dpop" && it["detail"] == "refresh token not found")
        };
        let refused = errors.filter(|it| !expected(it));
        refused.chain(self.running.events("server_error")).map(|it| it.to_string()).collect()
    }

    /// What it had to refuse, beside polls that came before the approval; and its own failures.
    pub(crate) fn surprises(&self) -> Vec<String> {
        let errors = self.running.events("grant_error").into_iter();
        let refused = errors.filter(|it| it["error"] != "authorization_pending");
        refused
            .chain(self.running.events("server_error"))
            .chain(self.running.events("revoked"))
            .map(|it| it.to_string())
            .collect()
    }
}

/// Who approves.
pub(crate) struct Person;

impl Person {
    pub(crate) fn follows_the_pages(stage: &Stage, pairing: &Pairing) {
        Self::follows_the_pages_as(ACCOUNT, stage, pairing);
    }

    /// Somebody who may not be the one before.
    pub(crate) fn follows_the_pages_as(account: &str, stage: &Stage, pairing: &Pairing) {
        let mut command = node("approve.mjs");
        command.args([&pairing.verification_uri_complete, account]);
        Self::approves(command.env("NODE_EXTRA_CA_CERTS", stage.path("ca.pem")));
    }

    pub(crate) fn uses_a_browser(pairing: &Pairing) {
        let mut command = node("browser.mjs");
        command.args([&pairing.verification_uri, ACCOUNT, &pairing.user_code]);
        Self::approves(command.arg(pictures()));
    }

    /// Not a person, but a program that has a token of theirs.
    pub(crate) fn uses_a_bound_token(stage: &Stage, socket: &Path, issuer: &Issuer) {
        let mut command = node("proof.mjs");
        command.arg(socket).arg(&issuer.url);
        Self::approves(command.env("NODE_EXTRA_CA_CERTS", stage.path("ca.pem")));
    }

    fn approves(command: &mut Command) {
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

/// The program on the device that sends through the OpenTelemetry SDK.
pub(crate) struct Sender {
    running: Running,
}

impl Sender {
    pub(crate) fn start(stage: &Stage, intake: SocketAddr) -> Self {
        let mut command = python("program.py");
        command.arg("--endpoint").arg(format!("http://{intake}"));
        Self { running: Running::start("the program", &mut command, &stage.path("program.log")) }
    }

    /// Waits until so many more logs were acknowledged.
    pub(crate) fn wait_for_more(&self, count: u64) {
        let before = self.acknowledged();
        until("acknowledged logs", 45, || (self.acknowledged() >= before + count).then_some(()));
    }

    /// Lets it flush; what it was acknowledged, by signal: numbers 1 to this.
    pub(crate) fn finish(mut self) -> BTreeMap<&'static str, u64> {
        let status = self.running.finish(90);
        assert!(status.success(), "the program failed: {status}");
        assert_eq!(self.running.events("given_up"), Vec::<Value>::new());
        let done = self.running.wait_for("done");
        ["logs", "traces", "metrics"].map(|signal| (signal, done[signal].as_u64().unwrap())).into()
    }

    fn acknowledged(&self) -> u64 {
        let events = self.running.events("accepted");
        let logs = events.iter().rev().find(|it| it["signal"] == "logs");
        logs.map_or(0, |it| it["last"].as_u64().unwrap())
    }
}

/// The telemetry backend; it can be away for a while.
pub(crate) struct Backend {
    running: Option<Running>,
    /// OTLP base address, the same after an outage.
    pub(crate) endpoint: String,
    start: Box<dyn Fn() -> Running>,
    journal: PathBuf,
}

impl Backend {
    pub(crate) fn start(stage: &Stage, issuer: &Issuer) -> Self {
        let port = free_port();
        let journal = stage.path("journal");
        let log = stage.path("backend.log");
        let mut arguments = vec!["--port".to_owned(), port.to_string()];
        for (name, value) in [
            ("--cert", stage.path("server.pem")),
            ("--key", stage.path("server-key.pem")),
            ("--ca", stage.path("ca.pem")),
            ("--journal", journal.clone()),
            ("--issuer", PathBuf::from(&issuer.url)),
            ("--audience", PathBuf::from(RESOURCE)),
        ] {
            arguments.extend([name.to_owned(), value.to_str().unwrap().to_owned()]);
        }
        let start = Box::new(move || {
            Running::start("the backend", python("backend.py").args(&arguments), &log)
        });
        let running = start();
        let endpoint = running.wait_for("ready")["endpoint"].as_str().unwrap().to_owned();
        Self { running: Some(running), endpoint, start, journal }
    }

    /// From here on connections are refused.
    pub(crate) fn stop(&mut self) {
        self.running = None;
    }

    pub(crate) fn start_again(&mut self) {
        let running = (self.start)();
        running.wait_for("ready");
        self.running = Some(running);
    }

    /// No token is good enough from here on, or all are what they are again.
    pub(crate) fn refuse_all(&self, refuse: bool) {
        let switch = self.journal.with_extension("unauthorized");
        if refuse {
            fs::write(switch, "").unwrap();
        } else {
            fs::remove_file(switch).unwrap();
        }
    }

    pub(crate) fn journal(&self) -> Journal {
        let text = fs::read_to_string(&self.journal).unwrap_or_default();
        // The last line may be on its way.
        let entries = text.lines().filter_map(|line| serde_json::from_str(line).ok());
        Journal { entries: entries.collect() }
    }
}

/// What the backend was asked, in order.
pub(crate) struct Journal {
    entries: Vec<Value>,
}

impl Journal {
    pub(crate) fn has_all(&self, signal: &str, last: u64) -> bool {
        self.numbers(signal).into_iter().collect::<BTreeSet<u64>>().len() as u64 >= last
    }

    /// Nothing is missing, and each number came first after the one before it. A batch may come twice: after a kill
    /// between its commit and its acknowledgement the program offers it again.
    pub(crate) fn assert_in_order(&self, signal: &str, last: u64) {
        let numbers = self.numbers(signal);
        let mut seen = BTreeSet::new();
        let first_seen: Vec<u64> = numbers.iter().copied().filter(|it| seen.insert(*it)).collect();
        println!(
            "{signal}: {last} acknowledged, {} delivered, {} of them twice",
            first_seen.len(),
            numbers.len() - first_seen.len()
        );
        assert_eq!(
            first_seen,
            (1..=first_seen.len() as u64).collect::<Vec<_>>(),
            "{signal} out of order or missing"
        );
        assert!(
            first_seen.len() as u64 >= last,
            "{signal}: {last} acknowledged, {} delivered",
            first_seen.len()
        );
    }

    pub(crate) fn assert_all_of(&self, account: &str) {
        let subjects: BTreeSet<_> =
            self.accepted().filter_map(|it| it["subject"].as_str()).collect();
        assert_eq!(subjects, BTreeSet::from([account]));
    }

    /// Who sent each number of `signal`, in the order in which they came.
    pub(crate) fn senders(&self, signal: &str) -> Vec<(u64, String)> {
        let of_signal = self.accepted().filter(|it| it["signal"] == signal);
        let with_sender = of_signal.flat_map(|it| {
            let sender = it["subject"].as_str().unwrap_or_default();
            let numbers = it["numbers"].as_array().into_iter().flatten();
            numbers.filter_map(Value::as_u64).map(|number| (number, sender.to_owned()))
        });
        with_sender.collect()
    }

    pub(crate) fn tokens(&self) -> usize {
        self.accepted().filter_map(|it| it["token"].as_str()).collect::<BTreeSet<_>>().len()
    }

    pub(crate) fn refusals(&self) -> Vec<String> {
        self.entries.iter().filter(|it| it.get("refused").is_some()).map(Value::to_string).collect()
    }

    fn accepted(&self) -> impl Iterator<Item = &Value> {
        self.entries.iter().filter(|it| it.get("signal").is_some())
    }

    fn numbers(&self, signal: &str) -> Vec<u64> {
        let of_signal = self.accepted().filter(|it| it["signal"] == signal);
        of_signal
            .filter_map(|it| it["numbers"].as_array())
            .flatten()
            .filter_map(Value::as_u64)
            .collect()
    }
}

/// A port of the loopback interface that nobody uses at this moment.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn node(script: &str) -> Command {
    let mut command = Command::new("node");
    command.arg(tests().join("oidc-provider").join(script));
    command
}

fn python(script: &str) -> Command {
    let mut command = Command::new(tests().join(".cache/python/bin/python"));
    command.arg(tests().join("python").join(script));
    command
}

/// Pictures of the pages stay after the test, to be looked at.
fn pictures() -> PathBuf {
    let folder = tests().join("../target/run/browser");
    fs::create_dir_all(&folder).unwrap();
    folder
}

fn tests() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
