//! `cargo demo`: the agent and a sandbox in one process, so that a newcomer sees the whole way
//! from a code on a panel to telemetry in a person's name, with nothing to set up.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use signpost::config::{Sources, load};
use signpost::shell::run::{run, terminated};
use signpost_sandbox::{Options, Sandbox};

/// Signs a pretended device in and shows its telemetry arriving.
#[derive(Parser)]
#[command(name = "cargo demo")]
struct Arguments {
    /// Approve without a person, and end after the first delivered batch.
    #[arg(long)]
    approve: bool,
    /// Who approves then: anna or ben.
    #[arg(long, default_value = "anna", value_name = "PERSON")]
    account: String,
    /// How long that may take.
    #[arg(long, default_value_t = 60, value_name = "SECONDS")]
    timeout: u32,
    /// Port of the identity provider; 0 for any free one.
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// Port of the telemetry backend and its live page; 0 for any free one.
    #[arg(long, default_value_t = 0, value_name = "PORT")]
    telemetry_port: u16,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let ended = match runtime {
        Ok(runtime) => runtime.block_on(demo(&arguments)),
        Err(error) => Err(error.to_string()),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            let _ = writeln!(io::stderr(), "demo: {why}");
            ExitCode::FAILURE
        }
    }
}

async fn demo(arguments: &Arguments) -> Result<(), String> {
    let options = Options {
        issuer_port: arguments.port,
        telemetry_port: arguments.telemetry_port,
        interval: Some(Duration::from_secs(1)),
        ..Options::default()
    };
    let sandbox = Sandbox::start(options).await.map_err(|why| format!("sandbox: {why}"))?;
    let home = tempfile::tempdir().map_err(|why| format!("temporary folder: {why}"))?;
    let file = home.path().join("signpost.toml");
    let written = File::create(&file)
        .and_then(|mut file| file.write_all(configuration(&sandbox, home.path()).as_bytes()));
    written.map_err(|why| format!("{}: {why}", file.display()))?;
    let loaded = load(&Sources::file(&file)).map_err(|why| format!("configuration: {why}"))?;
    let interrupted = terminated().map_err(|why| format!("signals: {why}"))?;
    let mut outcome = Ok(());
    let shutdown = async {
        if arguments.approve {
            outcome = tokio::select! {
                outcome = approve(&sandbox, arguments) => outcome,
                () = interrupted => Err("interrupted".to_owned()),
            };
        } else {
            tokio::select! {
                () = narrate(&sandbox) => {}
                () = interrupted => {}
            }
        }
    };
    run(&loaded, shutdown).await.map_err(|why| format!("agent: {why}"))?;
    if outcome.is_ok() && arguments.approve {
        let totals = sandbox.totals();
        let records = totals.logs + totals.metrics + totals.traces;
        say(&format!("Signed in as {} and delivered {records} records.", arguments.account));
    }
    outcome
}

/// What a maker would write for this device.
fn configuration(sandbox: &Sandbox, home: &Path) -> String {
    let home = home.display();
    let mut toml = format!(
        r#"
[device]
id = "demo"

[issuer]
url = "{}"
client_id = "signpost"
scopes = ["openid", "offline_access", "telemetry.write"]

[store]
tokens = {{ path = "{home}/tokens.flash", size = "64 KiB" }}
spool = {{ path = "{home}/spool.flash", size = "1 MiB" }}

[telemetry]
endpoint = "{}"
listen = ["unix:{home}/otlp.sock"]
vitals = "1 s"

[broker]
socket = "{home}/token.sock"

[control]
socket = "{home}/control.sock"
"#,
        sandbox.issuer_url(),
        sandbox.telemetry_url(),
    );
    if io::stdout().is_terminal() {
        let _ = write!(toml, "\n[panel.front]\nkind = \"terminal\"\n");
    }
    toml
}

/// Says what to do and what happens, below the panel; never ends.
async fn narrate(sandbox: &Sandbox) {
    let page = format!("{}/device", sandbox.issuer_url());
    let has_code = |sandbox: &Sandbox| !sandbox.pending_codes().is_empty();
    sandbox.wait_until(Duration::MAX, has_code).await;
    // The panel takes its rows first; a line printed before that scrolls away.
    sandbox.wait_until(Duration::from_millis(500), |_| false).await;
    say(&format!("Approve it at {page} in a browser of this machine. Ctrl-C ends the demo."));
    let delivered = |sandbox: &Sandbox| sandbox.totals().requests > 0;
    sandbox.wait_until(Duration::MAX, delivered).await;
    say(&format!("Telemetry is arriving: see it at {}", sandbox.telemetry_url()));
    std::future::pending().await
}

fn say(line: &str) {
    // The demo goes on without somebody who reads.
    let _ = writeln!(io::stdout(), "{line}");
}

/// Waits for the code, approves it, and waits for the first batch; says how far it came if not.
async fn approve(sandbox: &Sandbox, arguments: &Arguments) -> Result<(), String> {
    let limit = Duration::from_secs(arguments.timeout.into());
    let mut waits_for = "the agent asked for no code";
    let story = async {
        sandbox.wait_until(Duration::MAX, |sandbox| !sandbox.pending_codes().is_empty()).await;
        for pending in sandbox.pending_codes() {
            sandbox
                .approve(&pending.user_code, &arguments.account)
                .map_err(|why| format!("{}: {why}", arguments.account))?;
        }
        waits_for = "the agent fetched no tokens after the approval";
        let subject = arguments.account.as_str();
        sandbox.wait_until(Duration::MAX, |sandbox| sandbox.grant_count(subject) > 0).await;
        waits_for = "signed in, and yet no telemetry was delivered";
        sandbox.wait_until(Duration::MAX, |sandbox| sandbox.totals().requests > 0).await;
        Ok(())
    };
    match tokio::time::timeout(limit, story).await {
        Ok(ended) => ended,
        Err(_) => Err(format!("{waits_for} within {} s", limit.as_secs())),
    }
}
