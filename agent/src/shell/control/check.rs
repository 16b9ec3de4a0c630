//! What the running agent knows of the things that `signpost check` asks after.

use serde::Serialize;

use crate::shell::keys::Sealed;
use crate::status::{Fault, Status};

/// How one thing stands.
#[derive(Debug, Serialize)]
pub(super) struct Probe {
    name: &'static str,
    /// `ok`, `warning`, `failed` or `skipped`.
    result: &'static str,
    detail: String,
    advice: Option<&'static str>,
}

/// Which faults speak of what, most telling first.
const ABOUT: [(&str, &[&str]); 6] = [
    ("clock", &["E01", "E06"]),
    ("flash", &["E14", "E15"]),
    ("seal", &["E16"]),
    ("panels", &["E22"]),
    (
        "issuer",
        &[
            "E05", "E07", "E08", "E09", "E26", "E13", "E04", "E02", "E03", "E10", "E11", "E12",
            "E24", "E23",
        ],
    ),
    ("telemetry", &["E25", "E27", "E18", "E19", "E20", "E17"]),
];

/// Every thing that the agent has an opinion on.
pub(super) fn probes(status: &Status, sealed: Option<&Sealed>) -> Vec<Probe> {
    let of = |(name, codes): &(&'static str, &[&str])| match (probe(name, codes, status), sealed) {
        (Probe { name: "seal", result: "ok", .. }, Some(sealed)) => seal(sealed),
        (probe, _) => probe,
    };
    ABOUT.iter().map(of).collect()
}

/// Which level is in force, plainly.
fn seal(sealed: &Sealed) -> Probe {
    let result = if sealed.advice.is_some() { "warning" } else { "ok" };
    Probe { name: "seal", result, detail: sealed.detail.clone(), advice: sealed.advice }
}

fn probe(name: &'static str, codes: &[&str], status: &Status) -> Probe {
    let up = |code: &&str| status.faults.iter().find(|fault| fault.code == *code);
    match codes.iter().find_map(up) {
        Some(fault) => Probe {
            name,
            result: weight(fault),
            detail: match &fault.detail {
                Some(detail) => format!("{} {}: {detail}", fault.code, fault.title),
                None => format!("{} {}", fault.code, fault.title),
            },
            advice: Some(fault.advice),
        },
        None => {
            let (result, detail) = without_fault(name, status);
            Probe { name, result, detail, advice: None }
        }
    }
}

/// What mends itself, or waits for a person at the device, is no failure of the set-up.
fn weight(fault: &Fault) -> &'static str {
    match fault.class {
        "retry" | "sign-in" => "warning",
        _ => "failed",
    }
}

/// Only while that sign-in holds does it say something of the issuer.
fn signed_in_at(status: &Status) -> Option<&str> {
    status.grant.signed_in_at.as_deref().filter(|_| status.state == "online")
}

fn without_fault(name: &str, status: &Status) -> (&'static str, String) {
    match name {
        "clock" => ("ok", status.clock.to_owned()),
        "flash" => ("ok", format!("{} bytes written today", status.flash.written_today)),
        "seal" => ("ok", "the stores were opened with the configured key".to_owned()),
        "panels" => ("ok", "no panel reports a failure".to_owned()),
        "issuer" => match status.grant.last_refresh_at.as_deref().or(signed_in_at(status)) {
            Some(at) => ("ok", format!("gave a token at {at}")),
            None if status.pairing.is_some() => ("ok", "gave a code".to_owned()),
            None => ("skipped", "not heard from in this run".to_owned()),
        },
        _ if status.delivery.status == "off" => {
            ("skipped", "telemetry.endpoint is not set".to_owned())
        }
        _ => match status.delivery.last_success_at.as_deref() {
            Some(at) => ("ok", format!("took a batch at {at}")),
            None => ("skipped", "nothing was delivered in this run".to_owned()),
        },
    }
}
