//! OTLP requests decoded into records that tests and pages can read.

use std::collections::BTreeMap;

use opentelemetry_proto::tonic::collector::{
    logs::v1::{ExportLogsPartialSuccess, ExportLogsServiceRequest, ExportLogsServiceResponse},
    metrics::v1::{
        ExportMetricsPartialSuccess, ExportMetricsServiceRequest, ExportMetricsServiceResponse,
    },
    trace::v1::{ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse},
};
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value};
use opentelemetry_proto::tonic::metrics::v1::{Metric, metric, number_data_point};
use opentelemetry_proto::tonic::resource::v1::Resource;
use prost::Message;
use serde::{Deserialize, Serialize};

use crate::fault::Endpoint;

/// Kind of telemetry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Signal {
    /// Log records.
    Logs,
    /// Data points.
    Metrics,
    /// Spans.
    Traces,
}

impl Signal {
    pub(crate) fn endpoint(self) -> Endpoint {
        match self {
            Self::Logs => Endpoint::Logs,
            Self::Metrics => Endpoint::Metrics,
            Self::Traces => Endpoint::Traces,
        }
    }
}

/// The two encodings of OTLP/HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Encoding {
    /// `application/x-protobuf`.
    Protobuf,
    /// `application/json`.
    Json,
}

impl Encoding {
    pub(crate) fn content_type(self) -> &'static str {
        match self {
            Self::Protobuf => "application/x-protobuf",
            Self::Json => "application/json",
        }
    }
}

/// A log record, a data point of a metric, or a span.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Record {
    /// Attributes of the resource, as text.
    pub resource: BTreeMap<String, String>,
    /// Name of metric, span or event; a log's severity.
    pub name: String,
    /// Body of a log.
    pub text: String,
    /// Value of a data point (of histograms the sum), duration of a span in seconds.
    pub value: Option<f64>,
    /// Unit of a metric (UCUM).
    pub unit: String,
    /// Nanoseconds since 1970; 0 if the sender gave none.
    pub time_unix_nano: u64,
    /// Attributes, as text.
    pub attributes: BTreeMap<String, String>,
}

/// Decodes a whole request, or says what is wrong with it.
pub(crate) fn decode(
    signal: Signal,
    encoding: Encoding,
    body: &[u8],
) -> Result<Vec<Record>, String> {
    match signal {
        Signal::Logs => parse::<ExportLogsServiceRequest>(encoding, body).map(logs),
        Signal::Metrics => parse::<ExportMetricsServiceRequest>(encoding, body).map(metrics),
        Signal::Traces => parse::<ExportTraceServiceRequest>(encoding, body).map(traces),
    }
}

/// The answer to an accepted request, with the number of records that were not.
pub(crate) fn accepted(signal: Signal, encoding: Encoding, rejected: u32) -> Vec<u8> {
    if rejected == 0 && encoding == Encoding::Json {
        return b"{}".to_vec();
    }
    let rejected_records = i64::from(rejected);
    let error_message =
        if rejected > 0 { "rejected by the sandbox".to_owned() } else { String::new() };
    match signal {
        Signal::Logs => {
            let partial =
                ExportLogsPartialSuccess { rejected_log_records: rejected_records, error_message };
            let partial_success = (rejected > 0).then_some(partial);
            render(encoding, &ExportLogsServiceResponse { partial_success })
        }
        Signal::Metrics => {
            let partial = ExportMetricsPartialSuccess {
                rejected_data_points: rejected_records,
                error_message,
            };
            let partial_success = (rejected > 0).then_some(partial);
            render(encoding, &ExportMetricsServiceResponse { partial_success })
        }
        Signal::Traces => {
            let partial =
                ExportTracePartialSuccess { rejected_spans: rejected_records, error_message };
            let partial_success = (rejected > 0).then_some(partial);
            render(encoding, &ExportTraceServiceResponse { partial_success })
        }
    }
}

/// `google.rpc.Status`, the body of every OTLP error.
#[derive(Clone, PartialEq, Message, Serialize)]
struct Status {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(string, tag = "2")]
    message: String,
}

/// The body of a refusal. `code` is one of gRPC's.
pub(crate) fn refused(encoding: Encoding, code: i32, message: &str) -> Vec<u8> {
    render(encoding, &Status { code, message: message.to_owned() })
}

fn parse<M: Message + Default + serde::de::DeserializeOwned>(
    encoding: Encoding,
    body: &[u8],
) -> Result<M, String> {
    match encoding {
        Encoding::Protobuf => M::decode(body).map_err(|error| error.to_string()),
        Encoding::Json => serde_json::from_slice(body).map_err(|error| error.to_string()),
    }
}

fn render<M: Message + Serialize>(encoding: Encoding, message: &M) -> Vec<u8> {
    match encoding {
        Encoding::Protobuf => message.encode_to_vec(),
        Encoding::Json => serde_json::to_vec(message).unwrap_or_default(),
    }
}

fn logs(request: ExportLogsServiceRequest) -> Vec<Record> {
    let mut records = Vec::new();
    for of_resource in request.resource_logs {
        let resource = resource(of_resource.resource);
        for log in of_resource.scope_logs.into_iter().flat_map(|scope| scope.log_records) {
            records.push(Record {
                resource: resource.clone(),
                name: [log.event_name, log.severity_text]
                    .into_iter()
                    .find(|name| !name.is_empty())
                    .unwrap_or_default(),
                text: log.body.map(text).unwrap_or_default(),
                value: None,
                unit: String::new(),
                time_unix_nano: if log.time_unix_nano == 0 {
                    log.observed_time_unix_nano
                } else {
                    log.time_unix_nano
                },
                attributes: attributes(log.attributes),
            });
        }
    }
    records
}

fn metrics(request: ExportMetricsServiceRequest) -> Vec<Record> {
    let mut records = Vec::new();
    for of_resource in request.resource_metrics {
        let resource = resource(of_resource.resource);
        for metric in of_resource.scope_metrics.into_iter().flat_map(|scope| scope.metrics) {
            let Metric { name, unit, data, .. } = metric;
            for (value, time_unix_nano, attributes) in data.map(points).unwrap_or_default() {
                records.push(Record {
                    resource: resource.clone(),
                    name: name.clone(),
                    text: String::new(),
                    value,
                    unit: unit.clone(),
                    time_unix_nano,
                    attributes: self::attributes(attributes),
                });
            }
        }
    }
    records
}

type Point = (Option<f64>, u64, Vec<KeyValue>);

fn points(data: metric::Data) -> Vec<Point> {
    match data {
        metric::Data::Gauge(gauge) => numbers(gauge.data_points),
        metric::Data::Sum(sum) => numbers(sum.data_points),
        metric::Data::Histogram(all) => all
            .data_points
            .into_iter()
            .map(|point| (point.sum, point.time_unix_nano, point.attributes))
            .collect(),
        metric::Data::ExponentialHistogram(all) => all
            .data_points
            .into_iter()
            .map(|point| (point.sum, point.time_unix_nano, point.attributes))
            .collect(),
        metric::Data::Summary(all) => all
            .data_points
            .into_iter()
            .map(|point| (Some(point.sum), point.time_unix_nano, point.attributes))
            .collect(),
    }
}

fn numbers(points: Vec<opentelemetry_proto::tonic::metrics::v1::NumberDataPoint>) -> Vec<Point> {
    let number = |value| match value {
        number_data_point::Value::AsDouble(value) => value,
        number_data_point::Value::AsInt(value) => value as f64,
    };
    points
        .into_iter()
        .map(|point| (point.value.map(number), point.time_unix_nano, point.attributes))
        .collect()
}

fn traces(request: ExportTraceServiceRequest) -> Vec<Record> {
    let mut records = Vec::new();
    for of_resource in request.resource_spans {
        let resource = resource(of_resource.resource);
        for span in of_resource.scope_spans.into_iter().flat_map(|scope| scope.spans) {
            let nanos = span.end_time_unix_nano.saturating_sub(span.start_time_unix_nano);
            records.push(Record {
                resource: resource.clone(),
                name: span.name,
                text: String::new(),
                value: Some(nanos as f64 / 1e9),
                unit: "s".to_owned(),
                time_unix_nano: span.start_time_unix_nano,
                attributes: attributes(span.attributes),
            });
        }
    }
    records
}

fn resource(resource: Option<Resource>) -> BTreeMap<String, String> {
    resource.map(|resource| attributes(resource.attributes)).unwrap_or_default()
}

fn attributes(pairs: Vec<KeyValue>) -> BTreeMap<String, String> {
    let text_of = |pair: KeyValue| (pair.key, pair.value.map(text).unwrap_or_default());
    pairs.into_iter().map(text_of).collect()
}

/// A value as a person would read it. Nesting is bounded by the decoders.
fn text(value: AnyValue) -> String {
    match value.value {
        None => String::new(),
        Some(any_value::Value::StringValue(text)) => text,
        Some(any_value::Value::BoolValue(flag)) => flag.to_string(),
        Some(any_value::Value::IntValue(number)) => number.to_string(),
        Some(any_value::Value::DoubleValue(number)) => number.to_string(),
        Some(any_value::Value::BytesValue(bytes)) => format!("{} bytes", bytes.len()),
        Some(any_value::Value::StringValueStrindex(_)) => String::new(),
        Some(any_value::Value::ArrayValue(array)) => {
            let items: Vec<String> = array.values.into_iter().map(text).collect();
            format!("[{}]", items.join(", "))
        }
        Some(any_value::Value::KvlistValue(list)) => {
            let items: Vec<String> =
                attributes(list.values).into_iter().map(|(k, v)| format!("{k}: {v}")).collect();
            format!("{{{}}}", items.join(", "))
        }
    }
}
