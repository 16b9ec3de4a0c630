//! Messages of every kind, with every field.

use fastrand::Rng;
use opentelemetry_proto::tonic::{
    collector::{
        logs::v1::ExportLogsServiceRequest, metrics::v1::ExportMetricsServiceRequest,
        trace::v1::ExportTraceServiceRequest,
    },
    common::v1::{
        AnyValue, ArrayValue, EntityRef, InstrumentationScope, KeyValue, KeyValueList, any_value,
    },
    logs::v1::{LogRecord, ResourceLogs, ScopeLogs},
    metrics::v1::{
        Exemplar, ExponentialHistogram, ExponentialHistogramDataPoint, Gauge, Histogram,
        HistogramDataPoint, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum, Summary,
        SummaryDataPoint, exemplar, exponential_histogram_data_point::Buckets, metric::Data,
        number_data_point, summary_data_point::ValueAtQuantile,
    },
    resource::v1::Resource,
    trace::v1::{
        ResourceSpans, ScopeSpans, Span, Status,
        span::{Event, Link},
    },
};

pub(crate) fn logs(rng: &mut Rng) -> ExportLogsServiceRequest {
    let record = |rng: &mut Rng| LogRecord {
        time_unix_nano: rng.u64(..),
        observed_time_unix_nano: number(rng),
        severity_number: rng.i32(0..25),
        severity_text: text(rng),
        body: rng.bool().then(|| any(rng, 4)),
        attributes: attributes(rng),
        dropped_attributes_count: rng.u32(..),
        flags: rng.u32(..),
        trace_id: id(rng, 16),
        span_id: id(rng, 8),
        event_name: text(rng),
    };
    let scope = |rng: &mut Rng| ScopeLogs {
        scope: rng.bool().then(|| scope(rng)),
        log_records: some(rng, record),
        schema_url: text(rng),
    };
    let resource = |rng: &mut Rng| ResourceLogs {
        resource: rng.bool().then(|| resource(rng)),
        scope_logs: some(rng, scope),
        schema_url: text(rng),
    };
    ExportLogsServiceRequest { resource_logs: some(rng, resource) }
}

pub(crate) fn traces(rng: &mut Rng) -> ExportTraceServiceRequest {
    let event = |rng: &mut Rng| Event {
        time_unix_nano: number(rng),
        name: text(rng),
        attributes: attributes(rng),
        dropped_attributes_count: rng.u32(..3),
    };
    let link = |rng: &mut Rng| Link {
        trace_id: id(rng, 16),
        span_id: id(rng, 8),
        trace_state: text(rng),
        attributes: attributes(rng),
        dropped_attributes_count: rng.u32(..3),
        flags: rng.u32(..),
    };
    let span = |rng: &mut Rng| Span {
        trace_id: id(rng, 16),
        span_id: id(rng, 8),
        trace_state: text(rng),
        parent_span_id: id(rng, 8),
        flags: rng.u32(..),
        name: text(rng),
        kind: rng.i32(0..6),
        start_time_unix_nano: number(rng),
        end_time_unix_nano: number(rng),
        attributes: attributes(rng),
        dropped_attributes_count: rng.u32(..3),
        events: some(rng, event),
        dropped_events_count: rng.u32(..3),
        links: some(rng, link),
        dropped_links_count: rng.u32(..3),
        status: rng.bool().then(|| Status { message: text(rng), code: rng.i32(0..3) }),
    };
    let scope = |rng: &mut Rng| ScopeSpans {
        scope: rng.bool().then(|| scope(rng)),
        spans: some(rng, span),
        schema_url: text(rng),
    };
    let resource = |rng: &mut Rng| ResourceSpans {
        resource: rng.bool().then(|| resource(rng)),
        scope_spans: some(rng, scope),
        schema_url: text(rng),
    };
    ExportTraceServiceRequest { resource_spans: some(rng, resource) }
}

pub(crate) fn metrics(rng: &mut Rng) -> ExportMetricsServiceRequest {
    let metric = |rng: &mut Rng| Metric {
        name: text(rng),
        description: text(rng),
        unit: text(rng),
        metadata: attributes(rng),
        data: Some(data(rng)),
    };
    let scope = |rng: &mut Rng| ScopeMetrics {
        scope: rng.bool().then(|| scope(rng)),
        metrics: some(rng, metric),
        schema_url: text(rng),
    };
    let resource = |rng: &mut Rng| ResourceMetrics {
        resource: rng.bool().then(|| resource(rng)),
        scope_metrics: some(rng, scope),
        schema_url: text(rng),
    };
    ExportMetricsServiceRequest { resource_metrics: some(rng, resource) }
}

fn data(rng: &mut Rng) -> Data {
    let aggregation_temporality = rng.i32(0..3);
    match rng.u8(..5) {
        0 => Data::Gauge(Gauge { data_points: some(rng, point) }),
        1 => Data::Sum(Sum {
            data_points: some(rng, point),
            aggregation_temporality,
            is_monotonic: rng.bool(),
        }),
        2 => Data::Histogram(Histogram {
            data_points: some(rng, histogram),
            aggregation_temporality,
        }),
        3 => Data::ExponentialHistogram(ExponentialHistogram {
            data_points: some(rng, exponential),
            aggregation_temporality,
        }),
        _ => Data::Summary(Summary { data_points: some(rng, summary) }),
    }
}

fn point(rng: &mut Rng) -> NumberDataPoint {
    NumberDataPoint {
        attributes: attributes(rng),
        start_time_unix_nano: number(rng),
        time_unix_nano: number(rng),
        exemplars: some(rng, exemplar),
        flags: rng.u32(..2),
        value: Some(match rng.bool() {
            true => number_data_point::Value::AsDouble(double(rng)),
            false => number_data_point::Value::AsInt(rng.i64(..)),
        }),
    }
}

fn histogram(rng: &mut Rng) -> HistogramDataPoint {
    HistogramDataPoint {
        attributes: attributes(rng),
        start_time_unix_nano: number(rng),
        time_unix_nano: number(rng),
        count: number(rng),
        sum: rng.bool().then(|| double(rng)),
        bucket_counts: some(rng, number),
        explicit_bounds: some(rng, double),
        exemplars: some(rng, exemplar),
        flags: rng.u32(..2),
        min: rng.bool().then(|| double(rng)),
        max: rng.bool().then(|| double(rng)),
    }
}

fn exponential(rng: &mut Rng) -> ExponentialHistogramDataPoint {
    let buckets = |rng: &mut Rng| Buckets { offset: rng.i32(..), bucket_counts: some(rng, number) };
    ExponentialHistogramDataPoint {
        attributes: attributes(rng),
        start_time_unix_nano: number(rng),
        time_unix_nano: number(rng),
        count: number(rng),
        sum: rng.bool().then(|| double(rng)),
        scale: rng.i32(-20..20),
        zero_count: number(rng),
        positive: rng.bool().then(|| buckets(rng)),
        negative: rng.bool().then(|| buckets(rng)),
        flags: rng.u32(..2),
        exemplars: some(rng, exemplar),
        min: rng.bool().then(|| double(rng)),
        max: rng.bool().then(|| double(rng)),
        zero_threshold: double(rng),
    }
}

fn summary(rng: &mut Rng) -> SummaryDataPoint {
    SummaryDataPoint {
        attributes: attributes(rng),
        start_time_unix_nano: number(rng),
        time_unix_nano: number(rng),
        count: number(rng),
        sum: double(rng),
        quantile_values: some(rng, |rng| ValueAtQuantile {
            quantile: double(rng),
            value: double(rng),
        }),
        flags: rng.u32(..2),
    }
}

fn exemplar(rng: &mut Rng) -> Exemplar {
    Exemplar {
        filtered_attributes: attributes(rng),
        time_unix_nano: number(rng),
        span_id: id(rng, 8),
        trace_id: id(rng, 16),
        value: Some(match rng.bool() {
            true => exemplar::Value::AsDouble(double(rng)),
            false => exemplar::Value::AsInt(rng.i64(..)),
        }),
    }
}

fn scope(rng: &mut Rng) -> InstrumentationScope {
    InstrumentationScope {
        name: text(rng),
        version: text(rng),
        attributes: attributes(rng),
        dropped_attributes_count: rng.u32(..3),
    }
}

fn resource(rng: &mut Rng) -> Resource {
    Resource {
        attributes: attributes(rng),
        dropped_attributes_count: rng.u32(..3),
        entity_refs: some(rng, |rng| EntityRef {
            schema_url: text(rng),
            r#type: text(rng),
            id_keys: some(rng, text),
            description_keys: some(rng, text),
        }),
    }
}

fn attributes(rng: &mut Rng) -> Vec<KeyValue> {
    some(rng, |rng| pair(rng, 3))
}

fn pair(rng: &mut Rng, depth: u8) -> KeyValue {
    let key = text(rng);
    let value = (rng.u8(..8) > 0).then(|| any(rng, depth));
    KeyValue { key, value, key_strindex: 0 }
}

fn any(rng: &mut Rng, depth: u8) -> AnyValue {
    let value = match rng.u8(..if depth == 0 { 5 } else { 7 }) {
        0 => any_value::Value::StringValue(text(rng)),
        1 => any_value::Value::BoolValue(rng.bool()),
        2 => any_value::Value::IntValue(rng.i64(..)),
        3 => any_value::Value::DoubleValue(double(rng)),
        4 => any_value::Value::BytesValue(id(rng, 5)),
        5 => any_value::Value::ArrayValue(ArrayValue {
            values: some(rng, |rng| any(rng, depth - 1)),
        }),
        _ => any_value::Value::KvlistValue(KeyValueList {
            values: some(rng, |rng| pair(rng, depth - 1)),
        }),
    };
    AnyValue { value: Some(value) }
}

/// None to three of them.
fn some<T>(rng: &mut Rng, mut one: impl FnMut(&mut Rng) -> T) -> Vec<T> {
    (0..rng.usize(..4)).map(|_| one(rng)).collect()
}

fn text(rng: &mut Rng) -> String {
    const TEXTS: [&str; 8] =
        ["", "x", "service.name", "ü \"quoted\" \\ \n\t\u{1}", "😀", "Größe", "12", "null"];
    match rng.u8(..20) {
        0 => "long ".repeat(rng.usize(..200)),
        _ => rng.choice(TEXTS).unwrap_or_default().into(),
    }
}

fn id(rng: &mut Rng, length: usize) -> Vec<u8> {
    let length = if rng.u8(..4) == 0 { 0 } else { length };
    (0..length).map(|_| rng.u8(..)).collect()
}

fn number(rng: &mut Rng) -> u64 {
    match rng.u8(..4) {
        0 => 0,
        1 => rng.u64(..300),
        _ => rng.u64(..),
    }
}

/// Finite: the reference writes no others in JSON.
fn double(rng: &mut Rng) -> f64 {
    match rng.u8(..4) {
        0 => 0.0,
        1 => f64::from(rng.i32(..)),
        2 => rng.f64(),
        _ => Some(f64::from_bits(rng.u64(..))).filter(|it| it.is_finite()).unwrap_or(0.5),
    }
}
