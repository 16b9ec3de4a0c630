//! OTLP in JSON, held against opentelemetry-proto: what its types say in JSON is the same message
//! in protobuf, however a sender spells it.
#![expect(
    clippy::panic,
    clippy::unwrap_used,
    reason = "what is not as expected here is a failed test"
)]

mod events;
mod random;
mod spelling;

use fastrand::Rng;
use opentelemetry_proto::tonic::collector::{
    logs::v1::ExportLogsServiceRequest, metrics::v1::ExportMetricsServiceRequest,
    trace::v1::ExportTraceServiceRequest,
};
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::metrics::v1::{metric::Data, number_data_point};
use prost::Message;
use serde::{Serialize, de::DeserializeOwned};
use signpost_core::otlp::{Signal, Untranslated, count_records, from_json};

const MOST: usize = 4 << 20;

fn translate(signal: Signal, json: &str) -> Result<Vec<u8>, Untranslated> {
    from_json(signal, json.as_bytes(), MOST)
}

fn logs(json: &str) -> ExportLogsServiceRequest {
    ExportLogsServiceRequest::decode(&translate(Signal::Logs, json).unwrap()[..]).unwrap()
}

fn metrics(json: &str) -> ExportMetricsServiceRequest {
    ExportMetricsServiceRequest::decode(&translate(Signal::Metrics, json).unwrap()[..]).unwrap()
}

fn traces(json: &str) -> ExportTraceServiceRequest {
    ExportTraceServiceRequest::decode(&translate(Signal::Traces, json).unwrap()[..]).unwrap()
}

/// A message is the same one in JSON, in every spelling that is allowed, and no longer than it has
/// to be.
fn comes_back<M>(signal: Signal, message: &M, rng: &mut Rng)
where
    M: Message + Default + PartialEq + Serialize + DeserializeOwned,
{
    let json = serde_json::to_value(message).unwrap();
    for spelled in [json.to_string(), spelling::other(&json, rng)] {
        let bytes = translate(signal, &spelled).unwrap_or_else(|why| panic!("{why:?}: {spelled}"));
        assert!(M::decode(&bytes[..]).unwrap() == *message, "{spelled}");
        assert_eq!(bytes.len(), message.encoded_len(), "{spelled}");
        count_records(&bytes).unwrap();
    }
}

#[test]
fn random_messages_are_the_same_in_both_encodings() {
    let rng = &mut Rng::with_seed(11);
    for _ in 0..400 {
        comes_back(Signal::Logs, &random::logs(rng), rng);
        comes_back(Signal::Metrics, &random::metrics(rng), rng);
        comes_back(Signal::Traces, &random::traces(rng), rng);
    }
}

#[test]
fn examples_of_the_specification_are_read_as_the_reference_reads_them() {
    const LOGS: &str = include_str!("examples/logs.json");
    const METRICS: &str = include_str!("examples/metrics.json");
    const TRACE: &str = include_str!("examples/trace.json");
    assert_eq!(logs(LOGS), serde_json::from_str(LOGS).unwrap());
    assert_eq!(metrics(METRICS), serde_json::from_str(METRICS).unwrap());
    assert_eq!(traces(TRACE), serde_json::from_str(TRACE).unwrap());
    assert_eq!(count_records(&translate(Signal::Metrics, METRICS).unwrap()), Ok(4));
}

/// The body of a log record that is `value` in JSON.
fn body(value: &str) -> Option<Any> {
    let json =
        format!(r#"{{"resourceLogs":[{{"scopeLogs":[{{"logRecords":[{{"body":{value}}}]}}]}}]}}"#);
    logs(&json).resource_logs[0].scope_logs[0].log_records[0].body.clone()?.value
}

fn severity(value: &str) -> Result<i32, Untranslated> {
    let json = format!(
        r#"{{"resourceLogs":[{{"scopeLogs":[{{"logRecords":[{{"severityNumber":{value}}}]}}]}}]}}"#
    );
    translate(Signal::Logs, &json).map(|bytes| {
        let request = ExportLogsServiceRequest::decode(&bytes[..]).unwrap();
        request.resource_logs[0].scope_logs[0].log_records[0].severity_number
    })
}

/// The value of a data point that has `field`, a member of its object.
fn point(field: &str) -> Option<number_data_point::Value> {
    let json = format!(
        r#"{{"resourceMetrics":[{{"scopeMetrics":[{{"metrics":[
            {{"gauge":{{"dataPoints":[{{{field}}}]}}}}]}}]}}]}}"#
    );
    let metric = metrics(&json).resource_metrics[0].scope_metrics[0].metrics[0].clone();
    let Some(Data::Gauge(gauge)) = metric.data else { panic!("{metric:?}") };
    gauge.data_points[0].value
}

#[test]
fn values_keep_their_kind_and_every_digit() {
    assert_eq!(body(r#"{"stringValue":""}"#), Some(Any::StringValue(String::new())));
    assert_eq!(body(r#"{"boolValue":false}"#), Some(Any::BoolValue(false)));
    for zero in ["0", "\"0\"", "-0", "0.0", "\"-0\""] {
        assert_eq!(body(&format!(r#"{{"intValue":{zero}}}"#)), Some(Any::IntValue(0)), "{zero}");
    }
    for (spelled, value) in [
        ("9223372036854775807", i64::MAX),
        ("\"9223372036854775807\"", i64::MAX),
        ("-9223372036854775808", i64::MIN),
        ("\"-9223372036854775808\"", i64::MIN),
        ("1e3", 1_000),
        ("\"1e3\"", 1_000),
    ] {
        assert_eq!(body(&format!(r#"{{"intValue":{spelled}}}"#)), Some(Any::IntValue(value)));
    }
    for text in [
        "0.1",
        "0.30000000000000004",
        "1.7976931348623157e308",
        "5e-324",
        "-2",
        "123456789012345680",
    ] {
        let value = Some(Any::DoubleValue(text.parse().unwrap()));
        assert_eq!(body(&format!(r#"{{"doubleValue":{text}}}"#)), value);
        assert_eq!(body(&format!(r#"{{"doubleValue":"{text}"}}"#)), value);
    }
    let infinite = Some(Any::DoubleValue(f64::NEG_INFINITY));
    assert_eq!(body(r#"{"doubleValue":"-Infinity"}"#), infinite);
    assert!(
        matches!(body(r#"{"doubleValue":"NaN"}"#), Some(Any::DoubleValue(nan)) if nan.is_nan())
    );
    for base64 in ["+/8=", "+/8", "-_8", "-_8="] {
        let bytes = body(&format!(r#"{{"bytesValue":"{base64}"}}"#));
        assert_eq!(bytes, Some(Any::BytesValue(vec![0xfb, 0xff])), "{base64}");
    }
    assert_eq!(body("{}"), None);
    assert_eq!(body(r#"{"stringValue":null}"#), None);
    assert_eq!(body("null"), None);
    assert_eq!(point(r#""asInt":"-5""#), Some(number_data_point::Value::AsInt(-5)));
    assert_eq!(point(r#""asInt":0"#), Some(number_data_point::Value::AsInt(0)));
    assert_eq!(point(r#""as_double":0"#), Some(number_data_point::Value::AsDouble(0.0)));
    assert_eq!(point(r#""asDouble":null"#), None);
}

#[test]
fn text_that_is_no_unicode_costs_no_record() {
    let text = |json: &[u8]| {
        let head = &br#"{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"severityText":""#[..];
        let json = [head, json, br#""}]}]}]}"#].concat();
        let bytes = from_json(Signal::Logs, &json, MOST).unwrap();
        let request = ExportLogsServiceRequest::decode(&bytes[..]).unwrap();
        request.resource_logs[0].scope_logs[0].log_records[0].severity_text.clone()
    };
    assert_eq!(text(br#"a\u00fcb\ud83d\ude00"#), "aüb😀");
    // JavaScript cuts strings in the middle of a pair.
    assert!(text(br#"cut \ud83d"#).starts_with("cut \u{fffd}"));
    assert_eq!(text(b"latin \xfc"), "latin \u{fffd}");
}

#[test]
fn enumerations_are_integers_and_leniently_names() {
    for spelled in ["13", "\"13\"", "\"SEVERITY_NUMBER_WARN\"", "\"WARN\"", "\"warn\"", "13.0"] {
        assert_eq!(severity(spelled), Ok(13), "{spelled}");
    }
    assert_eq!(severity("99"), Ok(99), "of a later version");
    assert_eq!(severity("-1"), Ok(-1));
    assert!(severity("\"LOUD\"").is_err());
    assert!(severity("13.5").is_err());
    let span = r#"{"resourceSpans":[{"scopeSpans":[{"spans":[
        {"kind":"SPAN_KIND_CLIENT","status":{"code":"STATUS_CODE_ERROR"}}]}]}]}"#;
    let span = traces(span).resource_spans[0].scope_spans[0].spans[0].clone();
    assert_eq!((span.kind, span.status.unwrap().code), (3, 2));
}

#[test]
fn what_is_wrong_is_told_with_field_and_place() {
    let wrong = |signal, json: &str| match translate(signal, json) {
        Err(Untranslated::Malformed { field, line, .. }) => (field.unwrap_or_default(), line),
        other => panic!("{json}: {other:?}"),
    };
    let none = String::new();
    for json in
        ["", "[]", "5", "null", "{", "{\"resourceLogs\":[}", "{} {}", "{\"a\":1,}", "\u{feff}{}"]
    {
        assert_eq!(
            wrong(Signal::Logs, json),
            (none.clone(), json.lines().count().max(1)),
            "{json}"
        );
    }
    for (json, field) in [
        (r#"{"resourceLogs":{}}"#, "resourceLogs"),
        (r#"{"resourceLogs":[[]]}"#, "resourceLogs"),
        (r#"{"resourceLogs":[5]}"#, "resourceLogs"),
        (r#"{"resourceLogs":[{"scopeLogs":"no"}]}"#, "scopeLogs"),
        (
            r#"{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"timeUnixNano":-1}]}]}]}"#,
            "timeUnixNano",
        ),
        (
            r#"{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"timeUnixNano":"now"}]}]}]}"#,
            "timeUnixNano",
        ),
        (
            r#"{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"timeUnixNano":1.5}]}]}]}"#,
            "timeUnixNano",
        ),
        (r#"{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"traceId":"abc"}]}]}]}"#, "traceId"),
        (
            r#"{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"spanId":"zz00000000000000"}]}]}]}"#,
            "spanId",
        ),
        (r#"{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"flags":4294967296}]}]}]}"#, "flags"),
        // What belongs to another path would be acknowledged and gone.
        (r#"{"resourceSpans":[{"scopeSpans":[]}]}"#, "resourceSpans"),
    ] {
        assert_eq!(wrong(Signal::Logs, json), (field.to_owned(), 1), "{json}");
    }
    assert_eq!(wrong(Signal::Logs, "{\n \"resourceMetrics\": []}").1, 2);
    assert_eq!(wrong(Signal::Metrics, r#"{"resource_logs":[]}"#).0, "resourceLogs");
}

#[test]
fn a_value_that_cannot_be_is_never_cut_short() {
    for value in
        ["9223372036854775808", "\"9223372036854775808\"", "1e19", "\"1e400\"", "\"NaN\"", "true"]
    {
        let json = format!(
            r#"{{"resourceLogs":[{{"scopeLogs":[{{"logRecords":[{{"body":{{"intValue":{value}}}}}]}}]}}]}}"#
        );
        assert!(translate(Signal::Logs, &json).is_err(), "{value}");
    }
}

#[test]
fn nesting_has_an_end_and_unknown_fields_may_nest_as_they_like() {
    let nested = |levels: usize| {
        let value = r#"{"arrayValue":{"values":["#.repeat(levels);
        let end = "]}}".repeat(levels);
        format!(
            r#"{{"resourceLogs":[{{"scopeLogs":[{{"logRecords":[{{"body":{value}{end}}}]}}]}}]}}"#
        )
    };
    // Whatever is taken in can be decoded: decoders stop at 100 messages.
    for levels in 0..60 {
        if let Ok(bytes) = translate(Signal::Logs, &nested(levels)) {
            assert!(ExportLogsServiceRequest::decode(&bytes[..]).is_ok(), "{levels} levels");
        }
    }
    assert!(translate(Signal::Logs, &nested(20)).is_ok());
    assert!(translate(Signal::Logs, &nested(100_000)).is_err());
    let unknown = format!(r#"{{"x":{}{}}}"#, "[".repeat(100_000), "]".repeat(100_000));
    assert_eq!(translate(Signal::Logs, &unknown), Ok(vec![]));
}

#[test]
fn no_result_is_longer_than_it_may_be() {
    let rng = &mut Rng::with_seed(5);
    let json = serde_json::to_string(&random::metrics(rng)).unwrap();
    let whole = translate(Signal::Metrics, &json).unwrap();
    for most in (0..whole.len()).step_by(whole.len() / 200 + 1) {
        assert_eq!(from_json(Signal::Metrics, json.as_bytes(), most), Err(Untranslated::TooLarge));
    }
    assert_eq!(from_json(Signal::Metrics, json.as_bytes(), whole.len()), Ok(whole));
}

#[test]
fn cut_or_changed_bytes_never_harm() {
    let rng = &mut Rng::with_seed(7);
    let json = serde_json::to_string(&random::traces(rng)).unwrap().into_bytes();
    for cut in (0..json.len()).step_by(7) {
        assert!(from_json(Signal::Traces, &json[..cut], MOST).is_err());
    }
    for _ in 0..2_000 {
        let mut changed = json.clone();
        let at = rng.usize(..changed.len());
        changed[at] = rng.u8(..);
        if let Ok(bytes) = from_json(Signal::Traces, &changed, MOST) {
            assert!(ExportTraceServiceRequest::decode(&bytes[..]).is_ok());
        }
    }
}
