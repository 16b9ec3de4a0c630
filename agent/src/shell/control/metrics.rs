//! Status as Prometheus text (exposition format 0.0.4): state, faults and amounts; no code,
//! address or account.

use std::fmt::Write as _;

use jiff::Timestamp;

use crate::status::Status;

/// What Prometheus asks for.
pub(super) const MEDIA_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

pub(super) fn exposition(status: &Status) -> String {
    let mut out = String::with_capacity(2 << 10);
    let mut metric = |name: &str, kind: &str, help: &str, samples: &[(String, u64)]| {
        let _ = writeln!(out, "# HELP signpost_{name} {help}\n# TYPE signpost_{name} {kind}");
        for (labels, value) in samples {
            let _ = writeln!(out, "signpost_{name}{labels} {value}");
        }
    };
    let plain = |value: u64| [(String::new(), value)];
    let label = |name: &str, value: &str| format!("{{{name}=\"{}\"}}", escaped(value));

    metric("info", "gauge", "The agent's version.", &[(label("version", &status.version), 1)]);
    metric("state", "gauge", "1 for the present state.", &[(label("state", status.state), 1)]);
    let grant = [(label("status", status.grant.status), 1)];
    metric("grant", "gauge", "1 for how the grant stands.", &grant);
    let end = status.grant.expires_at.as_deref().and_then(|at| at.parse::<Timestamp>().ok());
    if let Some(end) = end.and_then(|end| u64::try_from(end.as_second()).ok()) {
        let help = "When the sign-in ends, where the issuer says, in seconds since 1970.";
        metric("grant_expires_timestamp_seconds", "gauge", help, &plain(end));
    }
    let usable = u64::from(status.clock == "usable");
    metric("clock_usable", "gauge", "Whether the wall clock can be used.", &plain(usable));
    let faults: Vec<_> = status
        .faults
        .iter()
        .map(|fault| (format!("{{code=\"{}\",class=\"{}\"}}", fault.code, fault.class), 1))
        .collect();
    metric("fault", "gauge", "1 for each fault that is up.", &faults);
    let delivery = &status.delivery;
    let state = [(label("status", delivery.status), 1)];
    metric("delivery", "gauge", "1 for how delivery stands.", &state);
    metric("spool_requests", "gauge", "Accepted requests that wait.", &plain(delivery.records));
    metric("spool_bytes", "gauge", "Bytes of flash that they take.", &plain(delivery.bytes));
    if let Some(age) = delivery.oldest_age {
        metric("spool_oldest_age_seconds", "gauge", "How long the oldest waits.", &plain(age));
    }
    let help = "Records given up since the agent started.";
    metric("dropped_records_total", "counter", help, &plain(delivery.dropped));
    let help = "Bytes written to flash since the agent started, at most a day.";
    metric("flash_written_bytes", "gauge", help, &plain(status.flash.written_today));
    let worn = plain(status.flash.worn.into());
    metric("flash_worn_erases", "gauge", "Most erases of one unit of flash.", &worn);
    out
}

fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}
