//! The backend: a process of its own that counts what comes, over TLS and without, and can be away.

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, KeyPair};
use rustls::{ServerConfig, pki_types::PrivateKeyDer};
use serde_json::{Value, json};
use signpost_core::otlp::count_records;
use signpost_tests::rig::sink::{Arrived, Reply, listen};
use std::{
    env,
    error::Error,
    fs,
    io::{BufRead as _, BufReader, Write as _, stdin, stdout},
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
};

/// What has come so far.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sums {
    pub(crate) requests: u64,
    pub(crate) records: u64,
    /// With heads, within TLS.
    pub(crate) wire: u64,
}

/// The process, from outside.
pub(crate) struct Backend {
    child: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
    pub(crate) url: String,
    pub(crate) plain_url: String,
    /// Its authority.
    pub(crate) ca: String,
}

impl Backend {
    pub(crate) fn start(folder: &Path) -> Result<Self, Box<dyn Error>> {
        let ca = folder.join("sink.pem");
        let mut child = Command::new(env::current_exe()?)
            .arg("--sink")
            .arg(&ca)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let (to, from) = (child.stdin.take(), child.stdout.take());
        let (to, from) = (to.ok_or("no pipe")?, BufReader::new(from.ok_or("no pipe")?));
        let (url, plain_url) = (String::new(), String::new());
        let mut backend = Self { child, to, from, url, plain_url, ca: String::new() };
        let told = backend.hear()?;
        let text = |key: &str| told[key].as_str().unwrap_or_default().to_owned();
        (backend.url, backend.plain_url) = (text("tls"), text("plain"));
        backend.ca = fs::read_to_string(ca)?;
        Ok(backend)
    }

    fn hear(&mut self) -> Result<Value, Box<dyn Error>> {
        let mut line = String::new();
        self.from.read_line(&mut line)?;
        Ok(serde_json::from_str(&line)?)
    }

    fn ask(&mut self, what: &str) -> Result<Sums, Box<dyn Error>> {
        writeln!(self.to, "{what}")?;
        let told = self.hear()?;
        let number = |key: &str| told[key].as_u64().unwrap_or_default();
        let (requests, records) = (number("requests"), number("records"));
        Ok(Sums { requests, records, wire: number("wire") })
    }

    pub(crate) fn sums(&mut self) -> Result<Sums, Box<dyn Error>> {
        self.ask("sums")
    }

    /// Whether it takes anything; else it is unwell.
    pub(crate) fn set_open(&mut self, open: bool) -> Result<(), Box<dyn Error>> {
        self.ask(if open { "open" } else { "close" }).map(drop)
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[derive(Default)]
struct Counters {
    closed: AtomicBool,
    requests: AtomicU64,
    records: AtomicU64,
    wire: AtomicU64,
}

impl Counters {
    fn take(&self, arrived: &Arrived) -> Reply {
        if self.closed.load(Relaxed) {
            return Reply::Status(503);
        }
        let records = arrived.body().map(|body| count_records(&body));
        let Ok(Ok(records)) = records else { return Reply::Status(400) };
        self.requests.fetch_add(1, Relaxed);
        self.records.fetch_add(records, Relaxed);
        self.wire.fetch_add(arrived.wire as u64, Relaxed);
        Reply::Status(200)
    }
}

/// The process, from inside: it ends with its standard input. Its authority is written to `ca`.
pub(crate) fn serve(ca: &Path) -> Result<(), Box<dyn Error>> {
    let tls = Arc::new(certificate(ca)?);
    let counters = Arc::new(Counters::default());
    let take = || {
        let counters = Arc::clone(&counters);
        Arc::new(move |arrived| counters.take(&arrived))
    };
    let (tls, plain) = (listen(Some(tls), take())?, listen(None, take())?);
    let tls = format!("https://localhost:{}", tls.port());
    tell(&json!({ "tls": tls, "plain": format!("http://{plain}") }))?;
    for line in stdin().lines() {
        match line?.as_str() {
            "open" => counters.closed.store(false, Relaxed),
            "close" => counters.closed.store(true, Relaxed),
            _ => {}
        }
        tell(&json!({
            "requests": counters.requests.load(Relaxed),
            "records": counters.records.load(Relaxed),
            "wire": counters.wire.load(Relaxed),
        }))?;
    }
    Ok(())
}

fn tell(what: &Value) -> Result<(), Box<dyn Error>> {
    let mut out = stdout().lock();
    writeln!(out, "{what}")?;
    Ok(out.flush()?)
}

fn certificate(ca: &Path) -> Result<ServerConfig, Box<dyn Error>> {
    let mut authority = CertificateParams::new(Vec::new())?;
    // By the name alone some libraries tell who signed whom.
    authority.distinguished_name.push(DnType::CommonName, "sink");
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority_key = KeyPair::generate()?;
    let root = authority.self_signed(&authority_key)?;
    let issuer = rcgen::Issuer::new(authority, authority_key);
    let key = KeyPair::generate()?;
    let mut server = CertificateParams::new(vec!["localhost".to_owned()])?;
    server.distinguished_name.push(DnType::CommonName, "localhost");
    let server = server.signed_by(&key, &issuer)?;
    fs::File::create(ca)?.write_all(root.pem().as_bytes())?;
    let key = PrivateKeyDer::try_from(key.serialize_der())?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    Ok(ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![server.der().clone()], key)?)
}
