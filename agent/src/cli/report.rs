//! `signpost report`: what support asks for, in one piece, without what is nobody's business.
//!
//! The configuration comes with its secrets hidden, the status without code, address and account,
//! as any program of the device may see it; what the agent keeps is never opened.

use std::fs;

use clap::Args;
use serde_json::{Value, json};
use signpost_hal::clock;

use super::exit::{Exit, Failure};
use super::{Options, check, output};
use crate::config::{self, Loaded};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Print one JSON object
    #[arg(long)]
    pub(super) json: bool,
}

pub(super) fn run(options: &Options, arguments: &Arguments) -> Result<Exit, Failure> {
    let report = collect(options);
    let text = if arguments.json { format!("{report}\n") } else { for_people(&report) };
    output::print(&text)?;
    Ok(Exit::Done)
}

fn collect(options: &Options) -> Value {
    let loaded = options.load();
    let status = options.tokens().and_then(|agent| agent.get("/v1/status")?.success());
    json!({
        "schema": 1,
        "version": env!("CARGO_PKG_VERSION"),
        "built_for": std::env::consts::ARCH,
        "machine": {
            "system": first_line("/etc/os-release", "PRETTY_NAME="),
            "kernel": first_line("/proc/version", ""),
            "model": first_line("/proc/device-tree/model", ""),
            "memory": first_line("/proc/meminfo", "MemTotal:"),
            "uptime": clock::boot().as_secs(),
        },
        "configuration": loaded.as_ref().map_or_else(failed, shown),
        "status": status.unwrap_or_else(|failure| failed(&failure)),
        "checks": check::all(options),
    })
}

fn shown(loaded: &Loaded) -> Value {
    config::show(loaded).lines().map(str::trim_end).collect()
}

fn failed(failure: &Failure) -> Value {
    json!({ "error": failure.error, "error_description": failure.text })
}

/// What stands behind `key` in a file of the system, bounded and printable.
fn first_line(path: &str, key: &str) -> Option<String> {
    let bytes = fs::read(path).ok()?;
    let text = String::from_utf8_lossy(&bytes);
    let line = text.lines().find_map(|line| line.strip_prefix(key))?;
    Some(output::harmless(line.trim_matches(|c: char| c == '"' || c == '\0' || c.is_whitespace())))
}

fn for_people(report: &Value) -> String {
    let mut out = String::from(
        "# Signpost report: pass it on as it is; it holds no secret, code or account\n",
    );
    for (name, part) in report.as_object().into_iter().flatten() {
        out.push_str(&format!("\n## {name}\n"));
        match part {
            Value::Array(lines) => {
                for line in lines {
                    let line = line.as_str().map_or_else(|| line.to_string(), str::to_owned);
                    out.push_str(&format!("{line}\n"));
                }
            }
            Value::Object(members) => {
                for (key, value) in members {
                    out.push_str(&format!("{key}: {value}\n"));
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
                out.push_str(&format!("{part}\n"));
            }
        }
    }
    out
}
