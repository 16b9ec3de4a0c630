//! The messages of OTLP as tables: number, name and kind of each field (opentelemetry-proto 1.10).
//!
//! Names are the schema's own; JSON spells them in camel case, which [`Field::is_called`] knows.

use super::Signal;

/// A field of a message.
pub(super) struct Field {
    pub(super) number: u32,
    name: &'static str,
    pub(super) kind: Kind,
    pub(super) rule: Rule,
}

/// Whether a field is written when it has its type's default value, and whether it may be there
/// several times.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Rule {
    /// A default value says nothing.
    Plain,
    /// A default value is a value: `optional`, or one of several.
    Explicit,
    /// `repeated`.
    Repeated,
}

/// What a field holds, and how JSON spells it (opentelemetry.io/docs/specs/otlp, "JSON Protobuf
/// Encoding").
pub(super) enum Kind {
    Text,
    /// In base64.
    Bytes,
    /// So many bytes or none, in hexadecimal digits: the id of a trace or span.
    Id(usize),
    Bool,
    Double,
    Uint32,
    /// Zigzag.
    Sint32,
    Fixed32,
    Uint64,
    Int64,
    Fixed64,
    Sfixed64,
    /// An integer; by their names, without this prefix, as well.
    Enum(&'static str, &'static [&'static str]),
    Message(&'static [Field]),
    /// Belongs to another path: to ignore it would be to lose what it holds.
    Misplaced,
}

impl Kind {
    /// Whether a list of these stands in one field.
    pub(super) const fn is_packed(&self) -> bool {
        matches!(self, Self::Double | Self::Uint64 | Self::Fixed64)
    }
}

impl Field {
    const fn new(number: u32, name: &'static str, kind: Kind, rule: Rule) -> Self {
        Self { number, name, kind, rule }
    }

    /// Whether JSON means this field by `key`: its name in camel case, or as the schema has it.
    pub(super) fn is_called(&self, key: &str) -> bool {
        key == self.name || camel(self.name).eq(key.chars())
    }

    /// Its name in JSON.
    pub(super) fn json_name(&self) -> impl Iterator<Item = char> {
        camel(self.name)
    }
}

fn camel(name: &'static str) -> impl Iterator<Item = char> {
    let words = name.split('_').enumerate();
    words.flat_map(|(index, word)| {
        let capital = index > 0;
        word.char_indices().map(move |(at, letter)| match capital && at == 0 {
            true => letter.to_ascii_uppercase(),
            false => letter,
        })
    })
}

const fn plain(number: u32, name: &'static str, kind: Kind) -> Field {
    Field::new(number, name, kind, Rule::Plain)
}

const fn explicit(number: u32, name: &'static str, kind: Kind) -> Field {
    Field::new(number, name, kind, Rule::Explicit)
}

const fn repeated(number: u32, name: &'static str, kind: Kind) -> Field {
    Field::new(number, name, kind, Rule::Repeated)
}

/// The export request of a signal.
pub(super) const fn request(signal: Signal) -> &'static [Field] {
    match signal {
        Signal::Logs => LOGS_REQUEST,
        Signal::Metrics => METRICS_REQUEST,
        Signal::Traces => TRACES_REQUEST,
    }
}

const LOGS_REQUEST: &[Field] = &[
    repeated(1, "resource_logs", Kind::Message(RESOURCE_LOGS)),
    plain(0, "resource_metrics", Kind::Misplaced),
    plain(0, "resource_spans", Kind::Misplaced),
];

const METRICS_REQUEST: &[Field] = &[
    repeated(1, "resource_metrics", Kind::Message(RESOURCE_METRICS)),
    plain(0, "resource_logs", Kind::Misplaced),
    plain(0, "resource_spans", Kind::Misplaced),
];

const TRACES_REQUEST: &[Field] = &[
    repeated(1, "resource_spans", Kind::Message(RESOURCE_SPANS)),
    plain(0, "resource_logs", Kind::Misplaced),
    plain(0, "resource_metrics", Kind::Misplaced),
];

// Common.

static ANY_VALUE: [Field; 7] = [
    explicit(1, "string_value", Kind::Text),
    explicit(2, "bool_value", Kind::Bool),
    explicit(3, "int_value", Kind::Int64),
    explicit(4, "double_value", Kind::Double),
    explicit(5, "array_value", Kind::Message(&ARRAY_VALUE)),
    explicit(6, "kvlist_value", Kind::Message(&KEY_VALUE_LIST)),
    explicit(7, "bytes_value", Kind::Bytes),
];

static ARRAY_VALUE: [Field; 1] = [repeated(1, "values", Kind::Message(&ANY_VALUE))];

static KEY_VALUE_LIST: [Field; 1] = [repeated(1, "values", Kind::Message(&KEY_VALUE))];

static KEY_VALUE: [Field; 2] =
    [plain(1, "key", Kind::Text), plain(2, "value", Kind::Message(&ANY_VALUE))];

static SCOPE: [Field; 4] = [
    plain(1, "name", Kind::Text),
    plain(2, "version", Kind::Text),
    repeated(3, "attributes", Kind::Message(&KEY_VALUE)),
    plain(4, "dropped_attributes_count", Kind::Uint32),
];

static RESOURCE: [Field; 3] = [
    repeated(1, "attributes", Kind::Message(&KEY_VALUE)),
    plain(2, "dropped_attributes_count", Kind::Uint32),
    repeated(3, "entity_refs", Kind::Message(&ENTITY_REF)),
];

static ENTITY_REF: [Field; 4] = [
    plain(1, "schema_url", Kind::Text),
    plain(2, "type", Kind::Text),
    repeated(3, "id_keys", Kind::Text),
    repeated(4, "description_keys", Kind::Text),
];

// Logs.

static RESOURCE_LOGS: &[Field] = &[
    plain(1, "resource", Kind::Message(&RESOURCE)),
    repeated(2, "scope_logs", Kind::Message(&SCOPE_LOGS)),
    plain(3, "schema_url", Kind::Text),
];

static SCOPE_LOGS: [Field; 3] = [
    plain(1, "scope", Kind::Message(&SCOPE)),
    repeated(2, "log_records", Kind::Message(&LOG_RECORD)),
    plain(3, "schema_url", Kind::Text),
];

static LOG_RECORD: [Field; 11] = [
    plain(1, "time_unix_nano", Kind::Fixed64),
    plain(11, "observed_time_unix_nano", Kind::Fixed64),
    plain(2, "severity_number", Kind::Enum("SEVERITY_NUMBER_", &SEVERITIES)),
    plain(3, "severity_text", Kind::Text),
    plain(5, "body", Kind::Message(&ANY_VALUE)),
    repeated(6, "attributes", Kind::Message(&KEY_VALUE)),
    plain(7, "dropped_attributes_count", Kind::Uint32),
    plain(8, "flags", Kind::Fixed32),
    plain(9, "trace_id", Kind::Id(16)),
    plain(10, "span_id", Kind::Id(8)),
    plain(12, "event_name", Kind::Text),
];

static SEVERITIES: [&str; 25] = [
    "UNSPECIFIED",
    "TRACE",
    "TRACE2",
    "TRACE3",
    "TRACE4",
    "DEBUG",
    "DEBUG2",
    "DEBUG3",
    "DEBUG4",
    "INFO",
    "INFO2",
    "INFO3",
    "INFO4",
    "WARN",
    "WARN2",
    "WARN3",
    "WARN4",
    "ERROR",
    "ERROR2",
    "ERROR3",
    "ERROR4",
    "FATAL",
    "FATAL2",
    "FATAL3",
    "FATAL4",
];

// Metrics.

static RESOURCE_METRICS: &[Field] = &[
    plain(1, "resource", Kind::Message(&RESOURCE)),
    repeated(2, "scope_metrics", Kind::Message(&SCOPE_METRICS)),
    plain(3, "schema_url", Kind::Text),
];

static SCOPE_METRICS: [Field; 3] = [
    plain(1, "scope", Kind::Message(&SCOPE)),
    repeated(2, "metrics", Kind::Message(&METRIC)),
    plain(3, "schema_url", Kind::Text),
];

static METRIC: [Field; 9] = [
    plain(1, "name", Kind::Text),
    plain(2, "description", Kind::Text),
    plain(3, "unit", Kind::Text),
    plain(5, "gauge", Kind::Message(&GAUGE)),
    plain(7, "sum", Kind::Message(&SUM)),
    plain(9, "histogram", Kind::Message(&HISTOGRAM)),
    plain(10, "exponential_histogram", Kind::Message(&EXPONENTIAL_HISTOGRAM)),
    plain(11, "summary", Kind::Message(&SUMMARY)),
    repeated(12, "metadata", Kind::Message(&KEY_VALUE)),
];

static GAUGE: [Field; 1] = [repeated(1, "data_points", Kind::Message(&NUMBER))];

static SUM: [Field; 3] = [
    repeated(1, "data_points", Kind::Message(&NUMBER)),
    plain(2, "aggregation_temporality", TEMPORALITY),
    plain(3, "is_monotonic", Kind::Bool),
];

const TEMPORALITY: Kind =
    Kind::Enum("AGGREGATION_TEMPORALITY_", &["UNSPECIFIED", "DELTA", "CUMULATIVE"]);

static HISTOGRAM: [Field; 2] = [
    repeated(1, "data_points", Kind::Message(&HISTOGRAM_POINT)),
    plain(2, "aggregation_temporality", TEMPORALITY),
];

static EXPONENTIAL_HISTOGRAM: [Field; 2] = [
    repeated(1, "data_points", Kind::Message(&EXPONENTIAL_POINT)),
    plain(2, "aggregation_temporality", TEMPORALITY),
];

static SUMMARY: [Field; 1] = [repeated(1, "data_points", Kind::Message(&SUMMARY_POINT))];

static NUMBER: [Field; 7] = [
    plain(2, "start_time_unix_nano", Kind::Fixed64),
    plain(3, "time_unix_nano", Kind::Fixed64),
    explicit(4, "as_double", Kind::Double),
    repeated(5, "exemplars", Kind::Message(&EXEMPLAR)),
    explicit(6, "as_int", Kind::Sfixed64),
    repeated(7, "attributes", Kind::Message(&KEY_VALUE)),
    plain(8, "flags", Kind::Uint32),
];

static HISTOGRAM_POINT: [Field; 11] = [
    plain(2, "start_time_unix_nano", Kind::Fixed64),
    plain(3, "time_unix_nano", Kind::Fixed64),
    plain(4, "count", Kind::Fixed64),
    explicit(5, "sum", Kind::Double),
    repeated(6, "bucket_counts", Kind::Fixed64),
    repeated(7, "explicit_bounds", Kind::Double),
    repeated(8, "exemplars", Kind::Message(&EXEMPLAR)),
    repeated(9, "attributes", Kind::Message(&KEY_VALUE)),
    plain(10, "flags", Kind::Uint32),
    explicit(11, "min", Kind::Double),
    explicit(12, "max", Kind::Double),
];

static EXPONENTIAL_POINT: [Field; 14] = [
    repeated(1, "attributes", Kind::Message(&KEY_VALUE)),
    plain(2, "start_time_unix_nano", Kind::Fixed64),
    plain(3, "time_unix_nano", Kind::Fixed64),
    plain(4, "count", Kind::Fixed64),
    explicit(5, "sum", Kind::Double),
    plain(6, "scale", Kind::Sint32),
    plain(7, "zero_count", Kind::Fixed64),
    plain(8, "positive", Kind::Message(&BUCKETS)),
    plain(9, "negative", Kind::Message(&BUCKETS)),
    plain(10, "flags", Kind::Uint32),
    repeated(11, "exemplars", Kind::Message(&EXEMPLAR)),
    explicit(12, "min", Kind::Double),
    explicit(13, "max", Kind::Double),
    plain(14, "zero_threshold", Kind::Double),
];

static BUCKETS: [Field; 2] =
    [plain(1, "offset", Kind::Sint32), repeated(2, "bucket_counts", Kind::Uint64)];

static SUMMARY_POINT: [Field; 7] = [
    plain(2, "start_time_unix_nano", Kind::Fixed64),
    plain(3, "time_unix_nano", Kind::Fixed64),
    plain(4, "count", Kind::Fixed64),
    plain(5, "sum", Kind::Double),
    repeated(6, "quantile_values", Kind::Message(&QUANTILE)),
    repeated(7, "attributes", Kind::Message(&KEY_VALUE)),
    plain(8, "flags", Kind::Uint32),
];

static QUANTILE: [Field; 2] = [plain(1, "quantile", Kind::Double), plain(2, "value", Kind::Double)];

static EXEMPLAR: [Field; 6] = [
    plain(2, "time_unix_nano", Kind::Fixed64),
    explicit(3, "as_double", Kind::Double),
    plain(4, "span_id", Kind::Id(8)),
    plain(5, "trace_id", Kind::Id(16)),
    explicit(6, "as_int", Kind::Sfixed64),
    repeated(7, "filtered_attributes", Kind::Message(&KEY_VALUE)),
];

// Traces.

static RESOURCE_SPANS: &[Field] = &[
    plain(1, "resource", Kind::Message(&RESOURCE)),
    repeated(2, "scope_spans", Kind::Message(&SCOPE_SPANS)),
    plain(3, "schema_url", Kind::Text),
];

static SCOPE_SPANS: [Field; 3] = [
    plain(1, "scope", Kind::Message(&SCOPE)),
    repeated(2, "spans", Kind::Message(&SPAN)),
    plain(3, "schema_url", Kind::Text),
];

static SPAN: [Field; 16] = [
    plain(1, "trace_id", Kind::Id(16)),
    plain(2, "span_id", Kind::Id(8)),
    plain(3, "trace_state", Kind::Text),
    plain(4, "parent_span_id", Kind::Id(8)),
    plain(5, "name", Kind::Text),
    plain(6, "kind", Kind::Enum("SPAN_KIND_", &SPAN_KINDS)),
    plain(7, "start_time_unix_nano", Kind::Fixed64),
    plain(8, "end_time_unix_nano", Kind::Fixed64),
    repeated(9, "attributes", Kind::Message(&KEY_VALUE)),
    plain(10, "dropped_attributes_count", Kind::Uint32),
    repeated(11, "events", Kind::Message(&SPAN_EVENT)),
    plain(12, "dropped_events_count", Kind::Uint32),
    repeated(13, "links", Kind::Message(&SPAN_LINK)),
    plain(14, "dropped_links_count", Kind::Uint32),
    plain(15, "status", Kind::Message(&STATUS)),
    plain(16, "flags", Kind::Fixed32),
];

static SPAN_KINDS: [&str; 6] =
    ["UNSPECIFIED", "INTERNAL", "SERVER", "CLIENT", "PRODUCER", "CONSUMER"];

static SPAN_EVENT: [Field; 4] = [
    plain(1, "time_unix_nano", Kind::Fixed64),
    plain(2, "name", Kind::Text),
    repeated(3, "attributes", Kind::Message(&KEY_VALUE)),
    plain(4, "dropped_attributes_count", Kind::Uint32),
];

static SPAN_LINK: [Field; 6] = [
    plain(1, "trace_id", Kind::Id(16)),
    plain(2, "span_id", Kind::Id(8)),
    plain(3, "trace_state", Kind::Text),
    repeated(4, "attributes", Kind::Message(&KEY_VALUE)),
    plain(5, "dropped_attributes_count", Kind::Uint32),
    plain(6, "flags", Kind::Fixed32),
];

static STATUS: [Field; 2] = [
    plain(2, "message", Kind::Text),
    plain(3, "code", Kind::Enum("STATUS_CODE_", &["UNSET", "OK", "ERROR"])),
];
