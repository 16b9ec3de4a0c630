//! Programs that nobody here wrote send to the real agent, signed in at the sandbox: OpenTelemetry for Python and for
//! JavaScript in both encodings, compressed and not, and a shell script with curl. All of it arrives, once.
//!
//! `tests/run senders` installs what these tests need, and runs them.
#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "all of it is a test, among real programs and in real time"
)]

use std::collections::BTreeMap;
use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use signpost_sandbox::{Options, Received, Sandbox, Signal};

const COUNT: u64 = 700;

/// The agent as a program; killed when dropped.
struct Agent {
    child: Child,
    endpoint: String,
    socket: PathBuf,
    _folder: tempfile::TempDir,
}

impl Agent {
    /// Started, and approved by Anna.
    async fn signed_in(sandbox: &Sandbox, more: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path().display();
        let intake = free_address();
        let socket = folder.path().join("otlp.sock");
        let text = format!(
            r#"
[device]
id = "greenhouse-7"
[issuer]
url = "{issuer}"
client_id = "signpost"
scopes = ["openid", "offline_access", "telemetry.write"]
[store]
tokens = {{ path = "{at}/tokens.flash", size = "64 KiB" }}
spool = {{ path = "{at}/spool.flash", size = "8 MiB" }}
[telemetry]
endpoint = "{telemetry}"
listen = ["{intake}", "unix:{at}/otlp.sock"]
vitals = "off"
{more}
[broker]
socket = "{at}/token.sock"
[control]
socket = "{at}/control.sock"
"#,
            issuer = sandbox.issuer_url(),
            telemetry = sandbox.telemetry_url(),
        );
        let file = folder.path().join("signpost.toml");
        fs::write(&file, text).unwrap();
        let mut command = program();
        command.arg("run").arg("--config").arg(&file).env("RUNTIME_DIRECTORY", folder.path());
        let child = command.stdin(Stdio::null()).spawn().unwrap();
        let agent = Self { child, endpoint: format!("http://{intake}"), socket, _folder: folder };
        let limit = Duration::from_secs(60);
        assert!(sandbox.wait_until(limit, |it| !it.pending_codes().is_empty()).await, "no code");
        sandbox.approve(&sandbox.pending_codes()[0].user_code, "anna").unwrap();
        assert!(sandbox.wait_until(limit, |it| it.grant_count("anna") > 0).await, "no grant");
        agent
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The agent that was built with this test, or the one that SIGNPOST_BIN names.
fn program() -> Command {
    let built = || {
        let test = std::env::current_exe().unwrap();
        test.parent().and_then(Path::parent).unwrap().join("signpost")
    };
    let path = std::env::var_os("SIGNPOST_BIN").map_or_else(built, PathBuf::from);
    assert!(path.exists(), "{}: cargo build --workspace --bins --tests", path.display());
    Command::new(path)
}

fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

fn sender(program: &str, file: &str) -> Command {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    let program = match program {
        "python" => tests.join(".cache/python/bin/python"),
        other => PathBuf::from(other),
    };
    let mut command = Command::new(program);
    command.arg(tests.join(file)).stdin(Stdio::null());
    command
}

/// It ends well: everything was acknowledged.
async fn runs(mut command: Command) {
    let ran = tokio::task::spawn_blocking(move || (command.output().unwrap(), command));
    let (output, command) = ran.await.unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?} failed: {said}");
}

/// How often each number of a service came, of one signal.
type Numbers = BTreeMap<(String, &'static str), BTreeMap<u64, u32>>;

fn numbers(received: &[Arc<Received>]) -> Numbers {
    let mut numbers = Numbers::new();
    for request in received {
        let signal = match request.signal {
            Signal::Logs => "logs",
            Signal::Metrics => "metrics",
            Signal::Traces => "traces",
        };
        for record in request.records.iter().filter(|it| signal != "metrics" || it.name == "number")
        {
            let service = record.resource.get("service.name").cloned().unwrap_or_default();
            // What the agent itself has to say.
            if service == "signpost" {
                continue;
            }
            let number = record.attributes.get("number").unwrap_or(&record.text);
            let of_service = numbers.entry((service, signal)).or_default();
            *of_service.entry(number.parse().unwrap()).or_default() += 1;
        }
    }
    numbers
}

fn once_each(count: u64) -> BTreeMap<u64, u32> {
    (1..=count).map(|number| (number, 1)).collect()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs packages from npm and PyPI, and curl: tests/run senders"]
async fn with_real_senders_all_arrives_once() {
    let options = Options { interval: Some(Duration::from_secs(1)), ..Options::default() };
    let sandbox = Sandbox::start(options).await.unwrap();
    let agent = Agent::signed_in(&sandbox, "").await;

    let mut names = Vec::new();
    let mut running = tokio::task::JoinSet::new();
    for (program, file) in [("python", "python/sender.py"), ("node", "senders/sender.mjs")] {
        for form in ["proto", "json"] {
            for compression in ["none", "gzip"] {
                let name = format!("{program} {form} {compression}");
                let mut command = sender(program, file);
                command.args([&agent.endpoint, &name, &COUNT.to_string(), form, compression]);
                names.push(name);
                running.spawn(runs(command));
            }
        }
    }
    let mut script = sender("sh", "senders/sender.sh");
    script.arg(&agent.endpoint).arg(&agent.socket);
    running.spawn(runs(script));
    while let Some(ran) = running.join_next().await {
        ran.unwrap();
    }

    let wanted = 3 * COUNT * names.len() as u64 + 18;
    let arrived = |it: &Sandbox| {
        let numbers = numbers(&it.received());
        numbers.values().flat_map(BTreeMap::values).map(|times| u64::from(*times)).sum::<u64>()
    };
    let all = sandbox.wait_until(Duration::from_secs(60), |it| arrived(it) >= wanted).await;
    assert!(all, "{} of {wanted}: {:?}", arrived(&sandbox), sandbox.totals());

    let received = sandbox.received();
    let numbers = numbers(&received);
    assert_eq!(numbers.len(), 3 * names.len() + 1, "{:?}", numbers.keys());
    for name in &names {
        for signal in ["logs", "metrics", "traces"] {
            let of_name = &numbers[&(name.clone(), signal)];
            assert_eq!(*of_name, once_each(COUNT), "{signal} of {name}");
        }
    }
    assert_eq!(numbers[&("shell".to_owned(), "logs")], once_each(18));
    says_what_it_said(&received, &names);
    println!("{:?} in {} requests", sandbox.totals(), received.len());
}

/// Values came through both encodings as they were.
fn says_what_it_said(received: &[Arc<Received>], names: &[String]) {
    for name in names {
        let records = received.iter().flat_map(|request| &request.records);
        let of_name = |it: &&signpost_sandbox::Record| it.resource["service.name"] == *name;
        let records: Vec<_> = records.filter(of_name).collect();
        let log = records.iter().find(|it| it.attributes.contains_key("half")).unwrap();
        let number: f64 = log.attributes["number"].parse().unwrap();
        assert_eq!(log.attributes["half"].parse(), Ok(number / 2.0), "{name}");
        assert_eq!(log.attributes["bytes"], "3 bytes", "{name}");
        assert_eq!(log.attributes["list"], "[ü, \"]", "{name}");
        assert!(log.text.contains(&format!("text: reading {number}")), "{name}: {}", log.text);
        assert!(log.time_unix_nano > 1_700_000_000_000_000_000, "{name}");
        let sum =
            |metric: &str| records.iter().find(|it| it.name == metric).and_then(|it| it.value);
        let total = (COUNT * (COUNT + 1) / 2) as f64;
        assert_eq!((sum("latency"), sum("level")), (Some(total), Some(21.5)), "{name}");
        assert!((sum("spread").unwrap() - total / 3.0).abs() < 1e-6, "{name}");
    }
}
