//! `signpost check`: looks at one thing after the other and says what to do.
//!
//! The running agent is asked for what it knows; its stores are never opened here. Nothing goes
//! out to the network without `--live` or `--issuer`.

mod issuer;
mod panels;

use std::fs;
use std::net::ToSocketAddrs as _;
use std::path::Path;

use clap::Args;
use rustix::fs::{Access, access};
use serde_json::json;

use super::exit::{Exit, Failure};
use super::probe::{Probe, Verdict};
use super::{Options, credential, output};
use crate::config::{KeySource, Loaded};
use crate::shell::panels::counts_power_cycles;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Print one JSON object
    #[arg(long)]
    pub(super) json: bool,
    /// Ask the network as well
    #[arg(long)]
    live: bool,
    /// Draw a test picture on every panel
    #[arg(long)]
    panels: bool,
    /// Ask the issuer for a code, which is not used, and say which step of a sign-in fails
    #[arg(long)]
    issuer: bool,
}

pub(super) fn run(options: &Options, arguments: &Arguments) -> Result<Exit, Failure> {
    let probes = probes(options, arguments);
    let failed = probes.iter().any(|probe| probe.result == Verdict::Failed);
    let text = if arguments.json {
        let result = if failed { Verdict::Failed } else { Verdict::Ok };
        format!("{}\n", json!({ "schema": 1, "result": result, "probes": probes }))
    } else {
        probes.iter().map(Probe::for_people).collect()
    };
    output::print(&text)?;
    Ok(if failed { Exit::Found } else { Exit::Done })
}

/// All probes that need neither network nor panels.
pub(super) fn all(options: &Options) -> Vec<Probe> {
    probes(options, &Arguments { json: true, live: false, panels: false, issuer: false })
}

fn probes(options: &Options, arguments: &Arguments) -> Vec<Probe> {
    let loaded = options.load();
    let mut probes = vec![config(&loaded)];
    let Ok(loaded) = loaded else { return probes };
    let (agent, known) = agent(options, arguments);
    // An agent that runs has them, and may do what whoever asks may not: even one that does not
    // answer them is not painted over.
    let panels = match (agent.result, known.is_empty()) {
        (Verdict::Warning, _) => panels(&loaded, arguments),
        (_, true) => vec![
            Probe::new("panels", Verdict::Skipped, "the agent has them and cannot be asked")
                .advise("run this as root or as the agent's user"),
        ],
        (_, false) => unknown("panels"),
    };
    probes.push(agent);
    let own = [clock(), flash(&loaded), seal(&loaded), dns(&loaded, arguments)];
    let own = own.into_iter().chain(panels);
    let silent = ["issuer", "telemetry"].into_iter().flat_map(unknown);
    for probe in own.chain(silent) {
        // What the configuration lacks, no agent makes up for.
        let ours = matches!(probe.result, Verdict::Warning | Verdict::Failed);
        let of_agent = known.iter().find(|known| known.name == probe.name && !ours);
        let probe = of_agent.cloned().unwrap_or(probe);
        probes.push(if probe.name == "seal" { with_level(probe, &loaded) } else { probe });
    }
    probes.push(sign_out(&loaded));
    if arguments.issuer {
        probes.extend(issuer::walk(&loaded));
    }
    probes
}

fn config(loaded: &Result<Loaded, Failure>) -> Probe {
    match loaded {
        Err(failure) => Probe::new("config", Verdict::Failed, &failure.text)
            .advise("`signpost config check` names everything that is wrong"),
        Ok(loaded) => match loaded.warnings.as_slice() {
            [] => Probe::new("config", Verdict::Ok, "nothing wrong"),
            [first, ..] => Probe::new("config", Verdict::Warning, first.to_string())
                .advise("correct it; the agent runs without it"),
        },
    }
}

/// What only an agent knows.
fn unknown(name: &str) -> Vec<Probe> {
    vec![Probe::new(name, Verdict::Skipped, "the agent is not running, so it cannot be asked")]
}

/// One probe of all panels, or one of each that draws the test picture.
fn panels(loaded: &Loaded, arguments: &Arguments) -> Vec<Probe> {
    let reached = panels::reach(loaded);
    let has_any = !loaded.config.panels.is_empty() || !loaded.config.lamps.is_empty();
    if arguments.panels && has_any { panels::draw(&loaded.config) } else { vec![reached] }
}

/// The agent itself, and what it says of everything else.
fn agent(options: &Options, arguments: &Arguments) -> (Probe, Vec<Probe>) {
    let asked = options.control().and_then(|agent| {
        if arguments.panels {
            panels::draw_by_agent(&agent, arguments.json)?;
        }
        agent.get("/v1/check")?.success()
    });
    match asked {
        Ok(found) => {
            let found = found["probes"].as_array().into_iter().flatten();
            let known = found.filter_map(Probe::of_agent).collect();
            (Probe::new("agent", Verdict::Ok, "running"), known)
        }
        Err(failure) if failure.exit == Exit::Unreachable => {
            (Probe::new("agent", Verdict::Warning, failure.text), Vec::new())
        }
        Err(failure) => (Probe::new("agent", Verdict::Failed, failure.text), Vec::new()),
    }
}

fn clock() -> Probe {
    Probe::new("clock", Verdict::Skipped, "the agent judges it, and is not running")
}

/// Only from outside: the stores belong to the agent.
fn flash(loaded: &Loaded) -> Probe {
    let store = &loaded.config.store;
    for path in [store.tokens.path.as_path(), store.spool.path.as_path()] {
        let shown = path.display();
        let node = if path.exists() { Some(path) } else { existing_folder(path) };
        let Some(node) = node else { continue };
        if access(node, Access::READ_OK | Access::WRITE_OK).is_err() {
            let text = format!("not allowed to write {}", node.display());
            return Probe::new("flash", Verdict::Warning, text)
                .advise("run this as root or as the agent's user to know more");
        }
        if let Ok(meta) = fs::metadata(path)
            && meta.is_dir()
        {
            return Probe::new("flash", Verdict::Failed, format!("{shown} is a folder"))
                .advise("name a file, a partition or /dev/mtdN");
        }
    }
    Probe::new("flash", Verdict::Ok, "the stores can be written")
}

fn existing_folder(path: &Path) -> Option<&Path> {
    path.ancestors().skip(1).find(|folder| folder.is_dir())
}

/// Makes no key: that is the agent's at its first start.
fn seal(loaded: &Loaded) -> Probe {
    let keys = &loaded.config.store.key;
    for source in std::iter::once(&keys.sealing).chain(&keys.opening) {
        if let KeySource::File(file) = source
            && let Err(error) = loaded.file("store.key", file.as_path())
        {
            return Probe::new("seal", Verdict::Failed, error.to_string());
        }
    }
    match &keys.sealing {
        KeySource::File(_) => Probe::new("seal", Verdict::Ok, "the key can be read"),
        KeySource::Credential(name) => {
            let text = format!("systemd hands over the credential {name} at the agent's start");
            Probe::new("seal", Verdict::Skipped, text)
        }
        KeySource::Auto => {
            let text =
                "a key file is made at the first start, unless systemd hands over signpost.key";
            Probe::new("seal", Verdict::Skipped, text)
        }
    }
}

/// What the agent cannot see: where its credential comes from.
fn with_level(mut seal: Probe, loaded: &Loaded) -> Probe {
    let name = match &loaded.config.store.key.sealing {
        KeySource::Credential(name) => Some(name.as_str()),
        // Only the agent knows which it was.
        KeySource::Auto if seal.detail.contains("a systemd credential") => Some("signpost.key"),
        KeySource::Auto | KeySource::File(_) => None,
    };
    if let Some(name) = name {
        seal.detail = format!("{}; {}", seal.detail, credential::level(name));
    }
    seal
}

fn dns(loaded: &Loaded, arguments: &Arguments) -> Probe {
    if !arguments.live {
        return Probe::new("dns", Verdict::Skipped, "asks the network: add --live");
    }
    let config = &loaded.config;
    let issuer = config.issuer.url.as_ref().map(|url| url.as_url());
    let backend = config.telemetry.endpoint.as_ref().map(|url| url.as_url());
    let mut names = Vec::new();
    for url in issuer.into_iter().chain(backend) {
        let Some(name) = url.host_str() else { continue };
        let port = url.port_or_known_default().unwrap_or(443);
        let found = (name.trim_matches(['[', ']']), port).to_socket_addrs();
        if found.is_ok_and(|mut addresses| addresses.next().is_some()) {
            names.push(name.to_owned());
        } else {
            return Probe::new("dns", Verdict::Failed, format!("{name} has no address"))
                .advise("check the network and its name server (/etc/resolv.conf)");
        }
    }
    names.dedup();
    Probe::new("dns", Verdict::Ok, names.join(", "))
}

fn sign_out(loaded: &Loaded) -> Probe {
    if !loaded.config.buttons.is_empty() {
        Probe::new("sign-out", Verdict::Ok, "the button signs out")
    } else if counts_power_cycles(&loaded.config) {
        Probe::new("sign-out", Verdict::Ok, "five power cycles in a row sign out")
    } else {
        Probe::new("sign-out", Verdict::Warning, "only who has a shell here can sign out")
            .advise("add [button.NAME] where the device has one")
    }
}
