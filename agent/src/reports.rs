//! What the agent itself has to report, as OTLP logs: records that were given up, by name and
//! reason (design invariant 4), and a sign-in that is about to end.
//!
//! The messages are the few fields of opentelemetry-proto that are used here; its generated crate
//! would cost a hundred kilobytes.

use crate::{
    records::{Arrival, Envelope},
    status,
};
use prost::Message;
use signpost_core::{delivery::Dropped, fault::Fault, otlp::Signal, time::Wall};

/// The report that records of a kind were given up.
pub(crate) fn dropped(dropped: Dropped, at: Arrival) -> Envelope {
    let Dropped { records, signal, reason } = dropped;
    let reason = reason.name();
    let count = i64::try_from(records).unwrap_or(i64::MAX);
    let text = format!("{records} {} records dropped: {reason}", signal.name());
    let attributes = vec![
        KeyValue::of("signpost.dropped.records", AnyValue { value: Some(Value::Int(count)) }),
        KeyValue::of("signpost.dropped.signal", AnyValue::text(signal.name())),
        KeyValue::of("signpost.dropped.reason", AnyValue::text(reason)),
    ];
    event(DROPPED, WARN, &text, attributes, at)
}

const DROPPED: &str = "signpost.dropped";

/// Whether `envelope` is one of [`dropped`], alone.
pub(crate) fn is_dropped(envelope: &Envelope) -> bool {
    let request = ExportLogsServiceRequest::decode(envelope.body.as_slice());
    let Some(logs) = request.ok().filter(|it| it.resource_logs.len() == 1) else { return false };
    let scopes = logs.resource_logs.iter().flat_map(|logs| &logs.scope_logs);
    let mut own = scopes.filter(|logs| logs.scope.as_ref() == Some(&Scope::own()));
    own.any(|logs| logs.log_records.iter().all(|record| record.event_name == DROPPED))
}

/// What an auditor wants to find.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Audit {
    /// Somebody signed in.
    SignedIn {
        /// Whom the issuer names.
        subject: Option<String>,
        /// The device belonged to somebody else before.
        replaced: bool,
    },
    /// A sign-in was not taken, and why.
    Refused(&'static str),
    /// The owner signed out.
    SignedOut,
    /// Everything was wiped.
    Reset,
    /// The agent runs by another configuration than before; the hashes of both.
    Configured {
        /// Of the one before.
        before: String,
        /// Of this one.
        now: String,
    },
}

/// The record of it.
pub(crate) fn audit(audit: &Audit, at: Arrival) -> Envelope {
    let text = |key: &str, value: &str| KeyValue::of(key, AnyValue::text(value));
    let (name, words, attributes) = match audit {
        Audit::SignedIn { subject, replaced } => {
            let words = if *replaced {
                "somebody signed in, in place of the owner before"
            } else {
                "somebody signed in"
            };
            let name = if *replaced { "signpost.owner-changed" } else { "signpost.signed-in" };
            let subject = subject.iter().map(|subject| text("enduser.id", subject));
            (name, words, subject.collect())
        }
        Audit::Refused(why) => (
            "signpost.sign-in-refused",
            "a sign-in was refused",
            vec![text("signpost.refused.reason", why)],
        ),
        Audit::SignedOut => ("signpost.signed-out", "the user is forgotten on this device", vec![]),
        Audit::Reset => ("signpost.reset", "everything on this device was wiped", vec![]),
        Audit::Configured { before, now } => (
            "signpost.configured",
            "the agent runs by another configuration than before",
            vec![text("signpost.config.before", before), text("signpost.config.hash", now)],
        ),
    };
    event(name, INFO, words, attributes, at)
}

/// The report that the sign-in ends at `end` unless somebody signs in again.
pub(crate) fn sign_in_ends(end: Wall, at: Arrival) -> Envelope {
    let end = status::rfc3339(end).unwrap_or_default();
    let text = format!("the sign-in of this device ends at {end}: sign in again before");
    let code = AnyValue::text(Fault::SignInEnds.row().code);
    let attributes = vec![
        KeyValue::of("signpost.fault", code),
        KeyValue::of("signpost.sign_in.ends_at", AnyValue::text(&end)),
    ];
    event("signpost.sign-in-ends", WARN, &text, attributes, at)
}

/// `SeverityNumber`, and its name.
type Severity = (i32, &'static str);
const INFO: Severity = (9, "INFO");
const WARN: Severity = (13, "WARN");

/// A record of the agent itself.
fn event(
    name: &str,
    severity: Severity,
    text: &str,
    attributes: Vec<KeyValue>,
    at: Arrival,
) -> Envelope {
    let record = LogRecord {
        time_unix_nano: at
            .said()
            .map_or(0, |wall| u64::try_from(wall.since_epoch().as_nanos()).unwrap_or_default()),
        severity_number: severity.0,
        severity_text: severity.1.into(),
        body: Some(AnyValue::text(text)),
        attributes,
        event_name: name.into(),
    };
    let resource =
        Resource { attributes: vec![KeyValue::of("service.name", AnyValue::text("signpost"))] };
    let logs = ResourceLogs {
        resource: Some(resource),
        scope_logs: vec![ScopeLogs { scope: Some(Scope::own()), log_records: vec![record] }],
    };
    let request = ExportLogsServiceRequest { resource_logs: vec![logs] };
    Envelope::new(Signal::Logs, at, request.encode_to_vec())
}

#[derive(Clone, PartialEq, Message)]
struct ExportLogsServiceRequest {
    #[prost(message, repeated, tag = "1")]
    resource_logs: Vec<ResourceLogs>,
}

#[derive(Clone, PartialEq, Message)]
struct ResourceLogs {
    #[prost(message, optional, tag = "1")]
    resource: Option<Resource>,
    #[prost(message, repeated, tag = "2")]
    scope_logs: Vec<ScopeLogs>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Resource {
    #[prost(message, repeated, tag = "1")]
    pub(crate) attributes: Vec<KeyValue>,
}

#[derive(Clone, PartialEq, Message)]
struct ScopeLogs {
    #[prost(message, optional, tag = "1")]
    scope: Option<Scope>,
    #[prost(message, repeated, tag = "2")]
    log_records: Vec<LogRecord>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Scope {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    version: String,
}

#[derive(Clone, PartialEq, Message)]
struct LogRecord {
    #[prost(fixed64, tag = "1")]
    time_unix_nano: u64,
    #[prost(int32, tag = "2")]
    severity_number: i32,
    #[prost(string, tag = "3")]
    severity_text: String,
    #[prost(message, optional, tag = "5")]
    body: Option<AnyValue>,
    #[prost(message, repeated, tag = "6")]
    attributes: Vec<KeyValue>,
    #[prost(string, tag = "12")]
    event_name: String,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct KeyValue {
    #[prost(string, tag = "1")]
    key: String,
    #[prost(message, optional, tag = "2")]
    value: Option<AnyValue>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct AnyValue {
    #[prost(oneof = "Value", tags = "1, 3")]
    value: Option<Value>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum Value {
    #[prost(string, tag = "1")]
    Text(String),
    #[prost(int64, tag = "3")]
    Int(i64),
}

impl Scope {
    /// The agent itself.
    pub(crate) fn own() -> Self {
        Self { name: "signpost".into(), version: env!("CARGO_PKG_VERSION").into() }
    }
}

impl KeyValue {
    pub(crate) fn of(key: &str, value: AnyValue) -> Self {
        Self { key: key.into(), value: Some(value) }
    }
}

impl AnyValue {
    pub(crate) fn text(text: &str) -> Self {
        Self { value: Some(Value::Text(text.into())) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use signpost_core::{delivery::DropReason, otlp::count_records};

    #[test]
    fn invariant_4_a_report_is_an_export_request_of_one_record() {
        let reason = DropReason::Malformed;
        let five = Dropped { records: 5, signal: Signal::Metrics, reason };
        let report = dropped(five, Arrival::UNKNOWN);
        assert_eq!(count_records(&report.body), Ok(1));
        let text = String::from_utf8_lossy(&report.body).into_owned();
        assert!(text.contains("5 metrics records dropped: malformed"));
    }

    #[test]
    fn the_end_of_a_sign_in_is_one_record_with_its_date() {
        let at = Arrival::UNKNOWN;
        let end = Wall::new(std::time::Duration::from_secs(1_773_529_200));
        let report = sign_in_ends(end, at);
        assert_eq!(count_records(&report.body), Ok(1));
        let text = String::from_utf8_lossy(&report.body).into_owned();
        assert!(text.contains("2026-03-14T23:00:00Z") && text.contains("E24"), "{text}");
    }
}
