//! What the agent costs a board: binary, memory, CPU to the first code, and an idle minute.
//!
//! The binary is built alone and for release, in a target folder of its own; a build of the
//! workspace would turn the simulators on. Its issuer is the sandbox, over TLS with an authority
//! of its own. Prints a table, then one JSON object as the last line.

use serde_json::json;
use signpost_sandbox::{Endpoint, Options, Sandbox, Tls};
use std::{
    error::Error,
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

/// How long one step of the sign-in may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// How often the CPU to the first code is measured; the median counts.
const STARTS: usize = 5;

/// How long the agent is left alone.
const IDLE: Duration = Duration::from_secs(60);

/// What the kernel says of a process.
struct Reading {
    rss_kib: u64,
    private_dirty_kib: u64,
    cpu: Duration,
    switches: u64,
}

fn main() -> Result<(), Box<dyn Error>> {
    let binary = build()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(measure(&binary))
}

fn build() -> Result<PathBuf, Box<dyn Error>> {
    let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/footprint");
    let status = Command::new(env!("CARGO"))
        .args(["build", "--release", "-p", "signpost", "--target-dir"])
        .arg(&target)
        .status()?;
    if !status.success() {
        return Err("the release build failed".into());
    }
    let binary = target.join("release/signpost");
    // Pages of a file that was written a moment ago would count as the agent's dirty ones.
    fs::File::open(&binary)?.sync_all()?;
    Ok(binary)
}

#[expect(clippy::print_stdout, reason = "a benchmark prints")]
async fn measure(binary: &Path) -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let tls = Tls::Kept(folder.path().to_owned());
    let options = Options { tls: Some(tls), ..Options::default() };
    let sandbox = Sandbox::start(options).await?;
    let ca = folder.path().join("ca.pem");
    let mut rows = Vec::new();
    for system_roots in [true, false] {
        rows.push(one_life(binary, &sandbox, &ca, system_roots).await?);
    }
    let size = fs::metadata(binary)?.len();
    println!("binary  {:.2} MiB", size as f64 / f64::from(1 << 20));
    println!(
        "roots            CPU to code  pairing RSS / dirty  online RSS / dirty  idle minute: wake-ups / CPU"
    );
    for row in &rows {
        println!(
            "{:<15} {:>8.1} ms  {:>10.2} / {:.2} MiB  {:>9.2} / {:.2} MiB  {:>14} / {:.1} ms",
            row.roots,
            millis(row.to_code),
            mib(row.pairing.rss_kib),
            mib(row.pairing.private_dirty_kib),
            mib(row.online.rss_kib),
            mib(row.online.private_dirty_kib),
            row.idle_switches,
            millis(row.idle_cpu),
        );
    }
    let rows: Vec<_> = rows.iter().map(Life::json).collect();
    println!("{}", json!({ "binary_bytes": size, "lives": rows }));
    Ok(())
}

/// One run of the agent, from its start to an idle minute online.
struct Life {
    roots: &'static str,
    to_code: Duration,
    pairing: Reading,
    online: Reading,
    idle_switches: u64,
    idle_cpu: Duration,
}

impl Life {
    fn json(&self) -> serde_json::Value {
        json!({
            "roots": self.roots,
            "cpu_to_code_ms": millis(self.to_code),
            "pairing_rss_kib": self.pairing.rss_kib,
            "pairing_private_dirty_kib": self.pairing.private_dirty_kib,
            "online_rss_kib": self.online.rss_kib,
            "online_private_dirty_kib": self.online.private_dirty_kib,
            "idle_minute_wakeups": self.idle_switches,
            "idle_minute_cpu_ms": millis(self.idle_cpu),
        })
    }
}

/// The agent's process; it ends with this value.
struct Agent(Child);

impl Drop for Agent {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

async fn one_life(
    binary: &Path,
    sandbox: &Sandbox,
    ca: &Path,
    system_roots: bool,
) -> Result<Life, Box<dyn Error>> {
    let mut to_code = Vec::new();
    for _ in 1..STARTS {
        to_code.push(first_code(binary, sandbox, ca, system_roots).await?.pairing.cpu);
    }
    let First { agent, folder, pairing } = first_code(binary, sandbox, ca, system_roots).await?;
    to_code.push(pairing.cpu);
    to_code.sort();
    let pid = agent.0.id();
    let grants = sandbox.grant_count("anna");
    for code in sandbox.pending_codes() {
        sandbox.approve(&code.user_code, "anna").map_err(|error| format!("{error:?}"))?;
    }
    wait(sandbox, |sandbox| sandbox.grant_count("anna") > grants)
        .await
        .map_err(|()| log_of(folder.path(), "the grant was not fetched"))?;
    rest(Duration::from_secs(5)).await;
    let online = Reading::of(pid)?;
    rest(IDLE).await;
    let after = Reading::of(pid)?;
    Ok(Life {
        roots: if system_roots { "system + private" } else { "private" },
        to_code: to_code[STARTS / 2],
        pairing,
        idle_switches: after.switches - online.switches,
        idle_cpu: after.cpu.saturating_sub(online.cpu),
        online,
    })
}

/// A new device that shows its first code.
struct First {
    agent: Agent,
    folder: tempfile::TempDir,
    pairing: Reading,
}

async fn first_code(
    binary: &Path,
    sandbox: &Sandbox,
    ca: &Path,
    system_roots: bool,
) -> Result<First, Box<dyn Error>> {
    for code in sandbox.pending_codes() {
        sandbox.deny(&code.user_code).map_err(|error| format!("{error:?}"))?;
    }
    let asked = sandbox.count(Endpoint::DeviceAuthorization);
    let folder = tempfile::tempdir()?;
    let config = write_config(folder.path(), sandbox, ca, system_roots)?;
    let log = fs::File::create(folder.path().join("log"))?;
    let command = Command::new(binary)
        .args(["run", "--config"])
        .arg(&config)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()?;
    let agent = Agent(command);
    wait(sandbox, |sandbox| sandbox.count(Endpoint::DeviceAuthorization) > asked)
        .await
        .map_err(|()| log_of(folder.path(), "no code was asked for"))?;
    // The answer's way back, and the panel's.
    rest(Duration::from_millis(200)).await;
    let pairing = Reading::of(agent.0.id())?;
    Ok(First { agent, folder, pairing })
}

fn write_config(
    folder: &Path,
    sandbox: &Sandbox,
    ca: &Path,
    system_roots: bool,
) -> Result<PathBuf, Box<dyn Error>> {
    let folder = folder.display();
    let text = format!(
        r#"
[issuer]
url = "{issuer}"
client_id = "signpost"
[network]
ca_file = "{ca}"
system_roots = {system_roots}
[store]
tokens = {{ path = "{folder}/tokens.flash" }}
spool = {{ path = "{folder}/spool.flash", size = "1 MiB" }}
[telemetry]
endpoint = "{telemetry}"
listen = ["unix:{folder}/otlp.sock"]
vitals = "off"
[broker]
socket = "{folder}/token.sock"
[control]
socket = "{folder}/control.sock"
"#,
        issuer = sandbox.issuer_url(),
        telemetry = sandbox.telemetry_url(),
        ca = ca.display(),
    );
    let path = PathBuf::from(format!("{folder}/signpost.toml"));
    fs::File::create(&path)
        .and_then(|mut file| std::io::Write::write_all(&mut file, text.as_bytes()))?;
    Ok(path)
}

async fn wait(sandbox: &Sandbox, holds: impl Fn(&Sandbox) -> bool) -> Result<(), ()> {
    sandbox.wait_until(PATIENCE, holds).await.then_some(()).ok_or(())
}

#[expect(clippy::disallowed_methods, reason = "the measurement is of what happens meanwhile")]
async fn rest(span: Duration) {
    tokio::time::sleep(span).await;
}

fn log_of(folder: &Path, what: &str) -> String {
    let log = fs::read_to_string(folder.join("log")).unwrap_or_default();
    format!("{what}; the agent said:\n{log}")
}

impl Reading {
    fn of(pid: u32) -> Result<Self, Box<dyn Error>> {
        let memory = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
        let (mut cpu, mut switches) = (Duration::ZERO, 0);
        for task in fs::read_dir(format!("/proc/{pid}/task"))? {
            let task = task?.path();
            let schedule = fs::read_to_string(task.join("schedstat"))?;
            let ran = schedule.split(' ').next().and_then(|n| n.parse().ok()).unwrap_or(0);
            cpu += Duration::from_nanos(ran);
            let status = fs::read_to_string(task.join("status"))?;
            switches += field(&status, "voluntary_ctxt_switches:");
        }
        Ok(Self {
            rss_kib: field(&memory, "Rss:"),
            private_dirty_kib: field(&memory, "Private_Dirty:"),
            cpu,
            switches,
        })
    }
}

/// The number behind `name` at the beginning of a line.
fn field(text: &str, name: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

fn mib(kib: u64) -> f64 {
    kib as f64 / 1024.0
}

fn millis(span: Duration) -> f64 {
    span.as_secs_f64() * 1_000.0
}
