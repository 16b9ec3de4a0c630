//! Status as Prometheus text (exposition format 0.0.4): state, faults and amounts; no code,
//! address or account.

use std::fmt::Write as _;

use jiff::Timestamp;
use signpost_core::delivery::DropReason;

use crate::status::Status;

/// What Prometheus asks for.
pub(super) const MEDIA_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

pub(in crate::shell) fn exposition(status: &Status) -> String {
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
    if let Some(end) = seconds(status.grant.expires_at.as_deref()) {
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
    if let Some(at) = seconds(delivery.last_success_at.as_deref()) {
        let help = "When a batch was delivered last, in seconds since 1970.";
        metric("last_delivery_timestamp_seconds", "gauge", help, &plain(at));
    }
    let dropped: Vec<_> = DropReason::ALL
        .iter()
        .map(|reason| {
            let records = delivery.dropped_by.get(reason.name()).copied();
            (label("reason", reason.name()), records.unwrap_or_default())
        })
        .collect();
    let help = "Records given up since the agent started, and why.";
    metric("dropped_records_total", "counter", help, &dropped);
    let help = "Bytes written to flash since the start, or since the last whole day.";
    metric("flash_written_bytes", "gauge", help, &plain(status.flash.written_today));
    if let Some(bytes) = status.flash.written_per_day {
        let help = "Bytes that a day costs flash: the last whole one, or a guess.";
        metric("flash_written_per_day_bytes", "gauge", help, &plain(bytes));
    }
    if let Some(days) = status.flash.life_days {
        let help = "Days that the blocks under the stores bear that at the least.";
        metric("flash_life_days", "gauge", help, &plain(days));
    }
    let worn = plain(status.flash.worn.into());
    metric("flash_worn_erases", "gauge", "Most erases of one unit of flash.", &worn);
    out
}

/// A date in seconds since 1970.
fn seconds(date: Option<&str>) -> Option<u64> {
    date?.parse::<Timestamp>().ok()?.as_second().try_into().ok()
}

fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}
