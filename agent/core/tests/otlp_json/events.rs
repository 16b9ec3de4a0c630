//! What `/v1/events` makes of plain JSON, read back by the reference.

use opentelemetry_proto::tonic::{
    collector::logs::v1::ExportLogsServiceRequest,
    common::v1::{AnyValue, any_value::Value},
    logs::v1::LogRecord,
};
use prost::Message;
use signpost_core::otlp::{Lines, from_events};

const NOW: u64 = 1_800_000_000_000_000_000;

fn request(body: &[u8], lines: Lines, service: Option<&str>) -> ExportLogsServiceRequest {
    let bytes = from_events(body, lines, service, NOW, 1 << 20).unwrap();
    let request = ExportLogsServiceRequest::decode(&bytes[..]).unwrap();
    assert_eq!(bytes.len(), request.encoded_len());
    request
}

fn records(body: &str) -> Vec<LogRecord> {
    let request = request(body.as_bytes(), Lines::Json, None);
    request.resource_logs[0].scope_logs[0].log_records.clone()
}

/// As a person would write it.
fn shown(value: &AnyValue) -> String {
    match value.value.as_ref() {
        None => "-".into(),
        Some(Value::StringValue(text)) => format!("{text:?}"),
        Some(Value::BoolValue(value)) => value.to_string(),
        Some(Value::IntValue(value)) => value.to_string(),
        Some(Value::DoubleValue(value)) => format!("{value:?}"),
        Some(Value::ArrayValue(list)) => {
            format!("[{}]", list.values.iter().map(shown).collect::<Vec<_>>().join(" "))
        }
        Some(Value::KvlistValue(list)) => {
            let pairs = list.values.iter();
            let pairs = pairs.map(|it| format!("{}={}", it.key, shown(it.value.as_ref().unwrap())));
            format!("{{{}}}", pairs.collect::<Vec<_>>().join(" "))
        }
        Some(other) => format!("{other:?}"),
    }
}

fn attributes(record: &LogRecord) -> String {
    let pairs = record.attributes.iter();
    let pairs = pairs.map(|it| format!("{}={}", it.key, shown(it.value.as_ref().unwrap())));
    pairs.collect::<Vec<_>>().join(" ")
}

#[test]
fn keys_that_loggers_agree_on_become_parts_of_the_record() {
    let record = &records(
        r#"{"time":"2026-03-14T23:00:00.5Z","level":"warning","message":"door open","event":"door",
            "trace_id":"5b8efff798038103d269b633813fc60c","span_id":"EEE19B7EC3C1B174","room":3}"#,
    )[0];
    assert_eq!(record.time_unix_nano, 1_773_529_200_500_000_000);
    assert_eq!(record.observed_time_unix_nano, NOW);
    assert_eq!((record.severity_number, record.severity_text.as_str()), (13, "warning"));
    assert_eq!(shown(record.body.as_ref().unwrap()), "\"door open\"");
    assert_eq!(record.event_name, "door");
    assert_eq!((record.trace_id.len(), record.span_id[..2].to_vec()), (16, vec![0xee, 0xe1]));
    assert_eq!(attributes(record), "room=3");
}

#[test]
fn whatever_else_there_is_becomes_attributes_of_its_kind() {
    let record = &records(
        r#"{"a":"x","b":true,"c":-5,"d":1.5,"e":[1,"two",null,[]],"f":{"g":{},"h":null},"i":null,
            "j":18446744073709551615}"#,
    )[0];
    assert_eq!(
        attributes(record),
        "a=\"x\" b=true c=-5 d=1.5 e=[1 \"two\" - []] f={g={} h=-} j=\"18446744073709551615\""
    );
    assert_eq!((record.time_unix_nano, record.body.clone()), (0, None));
}

#[test]
fn nothing_is_lost_because_its_key_promises_another_kind() {
    let record = &records(
        r#"{"time":"noon","level":99,"event":{"kind":1},"trace_id":"5b8e","message":{"temp":21.5},
            "msg":"and this","ts":true}"#,
    )[0];
    assert_eq!(shown(record.body.as_ref().unwrap()), "{temp=21.5}");
    assert_eq!(
        attributes(record),
        "time=\"noon\" level=99 event={kind=1} trace_id=\"5b8e\" msg=\"and this\" ts=true"
    );
    assert_eq!((record.severity_number, record.event_name.as_str()), (0, ""));
}

#[test]
fn severities_are_numbers_of_otlp_and_words_of_syslog() {
    let of = |value: &str| {
        let record = records(&format!("{{\"severity\":{value}}}")).remove(0);
        (record.severity_number, record.severity_text)
    };
    assert_eq!(of("17"), (17, String::new()));
    assert_eq!(of("\"ERR\""), (17, "ERR".into()));
    assert_eq!(of("\"notice\""), (10, "notice".into()));
    assert_eq!(of("\"loud\""), (0, "loud".into()));
}

#[test]
fn times_are_dates_or_numbers_since_1970() {
    for value in ["1773529200", "1773529200000", "\"1773529200\"", "1773529200.0"] {
        let record = &records(&format!("{{\"ts\":{value}}}"))[0];
        assert_eq!(record.time_unix_nano, 1_773_529_200_000_000_000, "{value}");
    }
}

#[test]
fn lines_of_text_are_bodies_and_a_service_is_named() {
    let request = request(b"first\r\n\n second \xff\n", Lines::Text, Some("backup"));
    let logs = &request.resource_logs[0];
    let service = &logs.resource.as_ref().unwrap().attributes[0];
    assert_eq!(service.key, "service.name");
    assert_eq!(shown(service.value.as_ref().unwrap()), "\"backup\"");
    let bodies = logs.scope_logs[0].log_records.iter();
    let bodies: Vec<_> = bodies.map(|record| shown(record.body.as_ref().unwrap())).collect();
    assert_eq!(bodies, ["\"first\"", "\" second \u{fffd}\""]);
    assert!(logs.scope_logs[0].log_records.iter().all(|it| it.observed_time_unix_nano == NOW));
}

#[test]
fn entries_of_the_journal_are_read_as_it_prints_them() {
    let record = &records(
        r#"{"MESSAGE":"Started pump.","PRIORITY":"4","__REALTIME_TIMESTAMP":"1773529200250000",
            "_SYSTEMD_UNIT":"pump.service","level":"x"}"#,
    )[0];
    assert_eq!(shown(record.body.as_ref().unwrap()), "\"Started pump.\"");
    assert_eq!((record.severity_number, record.severity_text.as_str()), (13, "warning"));
    assert_eq!(record.time_unix_nano, 1_773_529_200_250_000_000);
    assert_eq!(attributes(record), "_SYSTEMD_UNIT=\"pump.service\" level=\"x\"");
    let record = &records(r#"{"priority":"high","Level":"Error"}"#)[0];
    assert_eq!((record.severity_number, attributes(record).as_str()), (17, "priority=\"high\""));
    assert_eq!(records(r#"{"priority":3}"#)[0].severity_number, 17);
}
