//! What it costs to hand telemetry on: ours as it ships, over TLS, and any other forwarder of OTLP
//! with the same programs before it and the same backend behind it.
//!
//! `telemetry [--seconds N] [--peer COMMAND]` prints the table; `telemetry --backlog [MIB]` fills a
//! spool while the backend is away, starts the agent anew and lets it drain; `telemetry --growth`
//! tells whether a record costs more the fuller the spool is. Each ends with one JSON object.
//!
//! A peer is started by a shell (begin with `exec`, so that its process is the one that is
//! measured) in a folder of its own, with `OTLP_PORT` to listen on, `SINK_URL` and `SINK_CA` to send
//! to over TLS (`SINK_PLAIN_URL` without) and `TOKEN` for its bearer.
//!
//! Backend and issuer are processes and threads beside the agent on the same cores. Accepted counts
//! what was acknowledged while programs sent; CPU and bytes count until the last record has arrived.
//! The spool is full of zeros before it starts, as after its first round.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a benchmark prints")]

mod backend;
mod course;
mod process;
mod runs;

use std::{
    env,
    error::Error,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

const USAGE: &str = "usage: telemetry [--seconds N] [--peer COMMAND]... [--row NAME]
       telemetry --backlog [MIB]
       telemetry --growth
SIGNPOST_BIN names an agent that is built already.";

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = env::args().skip(1).filter(|arg| arg != "--bench").peekable();
    let (mut seconds, mut peers, mut only) = (10, Vec::new(), None);
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--seconds" => seconds = args.next().unwrap_or_default().parse()?,
            "--peer" => peers.push(args.next().ok_or(USAGE)?),
            "--row" => only = args.next(),
            "--sink" => return backend::serve(Path::new(&args.next().ok_or(USAGE)?)),
            "--backlog" => {
                let mebibytes = args.next().map_or(Ok(1_024), |it| it.parse())?;
                return runs::backlog(&agent()?, mebibytes);
            }
            "--growth" => return runs::growth(&agent()?),
            _ => {
                eprintln!("{USAGE}");
                return Err(format!("{arg}: no such option").into());
            }
        }
    }
    runs::table(&agent()?, &peers, only.as_deref(), Duration::from_secs(seconds))
}

/// The agent as it ships, in the target folder that the bench of its footprint uses, too.
fn agent() -> Result<PathBuf, Box<dyn Error>> {
    if let Some(path) = env::var_os("SIGNPOST_BIN") {
        return Ok(path.into());
    }
    let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/footprint");
    let status = Command::new(env!("CARGO"))
        .args(["build", "--release", "-p", "signpost", "--target-dir"])
        .arg(&target)
        .status()?;
    status.success().then(|| target.join("release/signpost")).ok_or("the build failed".into())
}
