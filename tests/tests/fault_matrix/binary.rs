//! The agent as a program whose system does not know the issuer's name, and then does: in a namespace
//! of its own for files, as the names are the whole machine's.

use super::{
    device::Device,
    sockets::{LIMIT, LOOK, Lived},
};
use serde_json::Value;
use signpost_sandbox::Sandbox;
use std::{path::PathBuf, process::Stdio, time::Instant};
use tokio::{
    process::{Child, Command},
    time::{interval, timeout},
};

/// The issuer's name, which nobody else has (RFC 6761 section 6.2).
pub(crate) const NAME: &str = "issuer.test";

/// Puts files of its own before the system's, and becomes what follows. Nobody listens where it asks
/// for names, so that it hears so at once.
const WITH_NAMES: &str = "mount --bind \"$1/hosts\" /etc/hosts && \
    mount --bind \"$1/resolv.conf\" /etc/resolv.conf && shift && exec \"$@\"";

pub(crate) async fn outlives_a_missing_name(
    sandbox: &Sandbox,
    device: &Device,
) -> Result<Lived, String> {
    device.write("hosts", "127.0.0.1 localhost\n");
    device.write("resolv.conf", "nameserver 127.0.0.1\noptions timeout:1 attempts:1\n");
    let mut agent = start(device)?;
    until(device, &mut agent, |status| {
        status["faults"]
            .as_array()
            .is_some_and(|faults| faults.iter().any(|it| it["code"] == "E02"))
    })
    .await?;
    device.write("hosts", &format!("127.0.0.1 localhost {NAME}\n"));
    let ended = Instant::now();
    sandbox.wait_until(LIMIT, |sandbox| !sandbox.pending_codes().is_empty()).await;
    let waited = ended.elapsed();
    let code = sandbox.pending_codes().pop().ok_or("no code comes")?;
    sandbox.approve(&code.user_code, "anna").map_err(|error| format!("{error:?}"))?;
    until(device, &mut agent, |status| status["state"] == "online").await?;
    agent.kill().await.map_err(|error| error.to_string())?;
    Ok(Lived { met: 0, waited })
}

fn start(device: &Device) -> Result<Child, String> {
    let mut unshare = Command::new("unshare");
    if !rustix::process::geteuid().is_root() {
        unshare.args(["--user", "--map-root-user"]);
    }
    unshare.args(["--mount", "sh", "-c", WITH_NAMES, "sh"]).arg(device.root());
    unshare.arg(program()).args(["run", "--config"]).arg(device.config());
    unshare.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
    unshare.spawn().map_err(|error| format!("unshare: {error}"))
}

/// Waits until the status is as wanted.
async fn until(
    device: &Device,
    agent: &mut Child,
    wanted: impl Fn(&Value) -> bool,
) -> Result<(), String> {
    let mut looks = interval(LOOK * 10);
    let wait = async {
        loop {
            looks.tick().await;
            if let Ok(Some(ended)) = agent.try_wait() {
                return Err(format!("the agent ended with {ended}"));
            }
            let mut ask = Command::new(program());
            ask.args(["status", "--json", "--config"]).arg(device.config());
            let said = ask.output().await.map_err(|error| error.to_string())?;
            if serde_json::from_slice(&said.stdout).is_ok_and(|status| wanted(&status)) {
                return Ok(());
            }
        }
    };
    timeout(LIMIT, wait).await.unwrap_or_else(|_| Err("it does not become so".into()))
}

/// The agent that was built with this test, or the one that SIGNPOST_BIN names.
fn program() -> PathBuf {
    let built = || {
        let test = std::env::current_exe().unwrap();
        test.parent().and_then(|deps| deps.parent()).unwrap().join("signpost")
    };
    let path = std::env::var_os("SIGNPOST_BIN").map_or_else(built, PathBuf::from);
    assert!(path.exists(), "{} is not built: cargo build -p signpost", path.display());
    path
}
