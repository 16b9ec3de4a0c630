//! The device's own health as OTLP metrics: taken in like any other program's telemetry, so that
//! whoever sets a device up sees data at once.
//!
//! Reads `/proc`, `/sys` and the state folder's file system; what a board does not have is left
//! out. The messages are derived with prost, which the reports use already, and hold the few
//! fields that are filled here.

use super::{calls::Calls, files};
use crate::{
    config::{Config, Unowned, Vitals as Often},
    ports::{Answer, Call},
    reports::{AnyValue, KeyValue, Resource, Scope},
    status::Status,
};
use prost::Message;
use signpost_core::otlp::Signal;
use signpost_hal::clock;
use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};
use tokio::{sync::Notify, time::timeout};

/// Most thermal zones that are reported.
const MAX_ZONES: usize = 8;

/// Takes measurements and hands them to the driver.
#[derive(Debug)]
pub(super) struct Vitals {
    calls: Calls,
    every: Duration,
    resource: Resource,
    folder: PathBuf,
    /// When counting began, since the board's start.
    since: Duration,
    /// Whether they go anywhere before somebody signs in.
    unowned: bool,
}

impl Vitals {
    /// `None` where nobody wants any, or there is nowhere to send them.
    pub(super) fn of(config: &Config, calls: Calls) -> Option<Self> {
        let telemetry = &config.telemetry;
        telemetry.endpoint.as_ref()?;
        let every = match telemetry.vitals {
            Often::Off => return None,
            Often::Every(span) => span.get(),
        };
        let own = [("service.name", "signpost"), ("service.version", env!("CARGO_PKG_VERSION"))];
        let own = own.iter().map(|(key, value)| KeyValue::of(key, AnyValue::text(value)));
        Some(Self {
            calls,
            every,
            resource: Resource { attributes: own.collect() },
            folder: files::folder_of(config.store.spool.path.as_path()).to_owned(),
            since: clock::boot(),
            unowned: unowned_leaves(config),
        })
    }

    /// Measures now, whenever `now` is notified, and each span.
    pub(super) async fn run(self, now: std::sync::Arc<Notify>) {
        loop {
            self.record().await;
            // Only an early wake-up or a late one: both are fine.
            let _ = timeout(self.every, now.notified()).await;
        }
    }

    async fn record(&self) {
        let asked = self.calls.ask(Call::Status { private: false }).await;
        let Ok(Answer::Status(status)) = asked else { return };
        // Flash is spared what could never leave it.
        if status.grant.status == "none" && !self.unowned {
            return;
        }
        let span = clock::boot().saturating_sub(self.since);
        let request = request(self.resource.clone(), measure(&status, &self.folder), span);
        let body = request.encode_to_vec();
        let call = Call::Accept { signal: Signal::Metrics, events: false, body, volatile: false };
        // The next ones come soon; these are not worth a second try.
        let _ = self.calls.ask(call).await;
    }
}

/// Whether what is recorded before anybody signs in leaves the device some day.
fn unowned_leaves(config: &Config) -> bool {
    match config.telemetry.unowned {
        Unowned::First => true,
        Unowned::Device => config.issuer.own_name.is_some(),
        Unowned::Hold => false,
    }
}

/// One value and its unit (UCUM), by OpenTelemetry's semantic conventions where they have it; of the
/// load by the name that its Collector gives it.
struct Measurement {
    name: &'static str,
    unit: &'static str,
    value: f64,
    kind: Kind,
    attributes: Vec<(&'static str, String)>,
}

/// The instrument.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Gauge,
    /// Of several the sum is a value, too.
    UpDownCounter,
    /// It only ever grows while the agent runs.
    Counter,
}

/// Ticks in a second of `/proc/self/stat`, of every kernel for programs (proc(5), `USER_HZ`).
const TICKS: f64 = 100.0;

fn measure(status: &Status, folder: &Path) -> Vec<Measurement> {
    let gauge = |name, unit, value| Measurement::new(name, unit, Kind::Gauge, value);
    let bytes = |name, value| Measurement::new(name, "By", Kind::UpDownCounter, value);
    let counter = |name, unit, value| Measurement::new(name, unit, Kind::Counter, value);
    let read = |path: &str| fs::read_to_string(path).ok();
    let memory = read("/proc/meminfo");
    let memory = memory.as_deref().and_then(|text| kibibytes(text, "MemAvailable:"));
    let own = read("/proc/self/status");
    let own = own.as_deref().and_then(|text| kibibytes(text, "VmRSS:"));
    let load = read("/proc/loadavg").and_then(|text| text.split(' ').next()?.parse().ok());
    let delivery = &status.delivery;
    let mut all: Vec<_> = [
        memory.map(|value| bytes("system.memory.linux.available", value)),
        load.map(|load| gauge("system.cpu.load_average.1m", "{thread}", load)),
        Some(gauge("system.uptime", "s", clock::boot().as_secs_f64())),
        own.map(|value| bytes("process.memory.usage", value)),
        Some(gauge("signpost.spool.records", "{record}", delivery.records as f64)),
        Some(counter("signpost.spool.dropped", "{record}", delivery.dropped as f64)),
        Some(counter("signpost.flash.written", "By", status.flash.written_today as f64)),
    ]
    .into_iter()
    .flatten()
    .collect();
    if let Ok(fs) = rustix::fs::statvfs(folder) {
        let blocks = |blocks: u64| blocks.saturating_mul(fs.f_frsize) as f64;
        // Their sum is the size.
        for (state, value) in [
            ("used", blocks(fs.f_blocks.saturating_sub(fs.f_bfree))),
            ("free", blocks(fs.f_bavail)),
            ("reserved", blocks(fs.f_bfree.saturating_sub(fs.f_bavail))),
        ] {
            let usage = bytes("system.filesystem.usage", value);
            all.push(usage.with("system.filesystem.state", state.into()));
        }
    }
    let stat = read("/proc/self/stat");
    for (mode, seconds) in stat.as_deref().and_then(cpu_times).into_iter().flatten() {
        all.push(counter("process.cpu.time", "s", seconds).with("cpu.mode", mode.into()));
    }
    all.extend(temperatures(Path::new("/sys/class/thermal")).map(|(zone, name, value)| {
        gauge("hw.temperature", "Cel", value).with("hw.id", zone).with("hw.name", name)
    }));
    all
}

/// What the agent has used, by mode, in seconds: fields 14 and 15 of `/proc/self/stat`; the second
/// is a name in brackets that may hold anything.
fn cpu_times(stat: &str) -> Option<[(&'static str, f64); 2]> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace().skip(11);
    let mut seconds = || fields.next()?.parse::<u64>().ok().map(|ticks| ticks as f64 / TICKS);
    Some([("user", seconds()?), ("system", seconds()?)])
}

/// `VmRSS:     5120 kB` in bytes.
fn kibibytes(text: &str, key: &str) -> Option<f64> {
    let line = text.lines().find_map(|line| line.strip_prefix(key))?;
    line.split_whitespace().next()?.parse::<u64>().ok().map(|kib| (kib * 1024) as f64)
}

/// Zones with their names, in degrees Celsius.
fn temperatures(folder: &Path) -> impl Iterator<Item = (String, String, f64)> {
    let folder = folder.to_owned();
    (0..MAX_ZONES).map_while(move |number| {
        let zone = format!("thermal_zone{number}");
        let at = folder.join(&zone);
        let milli: f64 = fs::read_to_string(at.join("temp")).ok()?.trim().parse().ok()?;
        let name = fs::read_to_string(at.join("type")).unwrap_or_default();
        Some((zone, name.trim().to_owned(), milli / 1000.0))
    })
}

/// Dated by the wall clock even where nobody has set it: that is put right on the way out. `span`:
/// how long it has been counted.
fn request(
    resource: Resource,
    all: Vec<Measurement>,
    span: Duration,
) -> ExportMetricsServiceRequest {
    let now = clock::wall();
    let nanos = |at: Duration| u64::try_from(at.as_nanos()).unwrap_or_default();
    let (from, to) = (nanos(now.saturating_sub(span)), nanos(now));
    let metrics = all.into_iter().map(|measurement| measurement.into_metric(from, to)).collect();
    let scope_metrics = vec![ScopeMetrics { scope: Some(Scope::own()), metrics }];
    let metrics = ResourceMetrics { resource: Some(resource), scope_metrics };
    ExportMetricsServiceRequest { resource_metrics: vec![metrics] }
}

impl Measurement {
    const fn new(name: &'static str, unit: &'static str, kind: Kind, value: f64) -> Self {
        Self { name, unit, value, kind, attributes: Vec::new() }
    }

    fn with(mut self, key: &'static str, value: String) -> Self {
        self.attributes.push((key, value));
        self
    }

    fn into_metric(self, from: u64, to: u64) -> Metric {
        let attributes = self.attributes.iter();
        let attributes = attributes.map(|(key, value)| KeyValue::of(key, AnyValue::text(value)));
        let point = NumberDataPoint {
            // What exists without the agent was not at zero when that began.
            start_time_unix_nano: if self.kind == Kind::Counter { from } else { 0 },
            time_unix_nano: to,
            as_double: Some(self.value),
            attributes: attributes.collect(),
        };
        let (name, unit) = (self.name.into(), self.unit.into());
        let data_points = vec![point];
        match self.kind {
            Kind::Gauge => Metric { name, unit, gauge: Some(Gauge { data_points }), sum: None },
            Kind::UpDownCounter | Kind::Counter => {
                let is_monotonic = self.kind == Kind::Counter;
                let sum = Sum { data_points, temporality: CUMULATIVE, is_monotonic };
                Metric { name, unit, gauge: None, sum: Some(sum) }
            }
        }
    }
}

/// `AGGREGATION_TEMPORALITY_CUMULATIVE`.
const CUMULATIVE: i32 = 2;

#[derive(Clone, PartialEq, Message)]
struct ExportMetricsServiceRequest {
    #[prost(message, repeated, tag = "1")]
    resource_metrics: Vec<ResourceMetrics>,
}

#[derive(Clone, PartialEq, Message)]
struct ResourceMetrics {
    #[prost(message, optional, tag = "1")]
    resource: Option<Resource>,
    #[prost(message, repeated, tag = "2")]
    scope_metrics: Vec<ScopeMetrics>,
}

#[derive(Clone, PartialEq, Message)]
struct ScopeMetrics {
    #[prost(message, optional, tag = "1")]
    scope: Option<Scope>,
    #[prost(message, repeated, tag = "2")]
    metrics: Vec<Metric>,
}

/// Of `gauge` and `sum` one is there.
#[derive(Clone, PartialEq, Message)]
struct Metric {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "3")]
    unit: String,
    #[prost(message, optional, tag = "5")]
    gauge: Option<Gauge>,
    #[prost(message, optional, tag = "7")]
    sum: Option<Sum>,
}

#[derive(Clone, PartialEq, Message)]
struct Gauge {
    #[prost(message, repeated, tag = "1")]
    data_points: Vec<NumberDataPoint>,
}

#[derive(Clone, PartialEq, Message)]
struct Sum {
    #[prost(message, repeated, tag = "1")]
    data_points: Vec<NumberDataPoint>,
    #[prost(int32, tag = "2")]
    temporality: i32,
    #[prost(bool, tag = "3")]
    is_monotonic: bool,
}

#[derive(Clone, PartialEq, Message)]
struct NumberDataPoint {
    #[prost(fixed64, tag = "2")]
    start_time_unix_nano: u64,
    #[prost(fixed64, tag = "3")]
    time_unix_nano: u64,
    #[prost(double, optional, tag = "4")]
    as_double: Option<f64>,
    #[prost(message, repeated, tag = "7")]
    attributes: Vec<KeyValue>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use signpost_core::otlp::count_records;

    fn status() -> Status {
        crate::status::Status {
            schema: 1,
            version: String::new(),
            device_id: String::new(),
            generated_at: None,
            state: "online",
            pairing: None,
            pairing_ended: None,
            own_name: None,
            grant: crate::status::Grant {
                status: "held",
                account: None,
                signed_in_at: None,
                last_refresh_at: None,
                expires_at: None,
                revocation: "this-device",
            },
            clock: "usable",
            delivery: crate::status::Delivery {
                status: "idle",
                reason: None,
                records: 3,
                bytes: 0,
                oldest_age: None,
                last_success_at: None,
                dropped: 2,
                dropped_by: Default::default(),
            },
            flash: crate::status::Flash {
                written_today: 4096,
                written_per_day: None,
                life_days: None,
                worn: 1,
            },
            faults: vec![],
        }
    }

    const HOUR: Duration = Duration::from_secs(3_600);

    #[test]
    fn this_machine_has_vitals_and_they_are_an_export_request() {
        let all = measure(&status(), Path::new("/tmp"));
        let value = |name| all.iter().find(|one| one.name == name).map(|one| one.value);
        assert!(value("process.memory.usage").unwrap() > 100_000.0);
        assert!(value("system.uptime").unwrap() > 0.0);
        assert!(value("process.cpu.time").is_some());
        assert_eq!(value("signpost.spool.records"), Some(3.0));
        let states = all.iter().filter(|one| one.name == "system.filesystem.usage");
        let fs = rustix::fs::statvfs("/tmp").unwrap();
        let size = (fs.f_blocks * fs.f_frsize) as f64;
        assert_eq!(states.map(|one| one.value).sum::<f64>(), size);
        let count = all.len() as u64;
        let resource = Resource { attributes: vec![] };
        let bytes = request(resource, all, HOUR).encode_to_vec();
        assert_eq!(count_records(&bytes), Ok(count));
    }

    #[test]
    fn counters_have_a_start() {
        let all = measure(&status(), Path::new("/tmp"));
        let request = request(Resource { attributes: vec![] }, all, HOUR);
        let metrics = &request.resource_metrics[0].scope_metrics[0].metrics;
        let point = |name| {
            let metric = metrics.iter().find(|metric| metric.name == name).unwrap();
            metric.sum.as_ref().unwrap().data_points[0].clone()
        };
        let counter = point("signpost.flash.written");
        let span = counter.time_unix_nano - counter.start_time_unix_nano;
        assert_eq!(u128::from(span), HOUR.as_nanos());
        assert_eq!(point("process.memory.usage").start_time_unix_nano, 0);
    }

    #[test]
    fn the_agents_time_is_read_behind_any_name() {
        let stat = "7 (a ) b (c) S 1 7 7 0 -1 4194560 900 0 0 0 250 31 0 0 20 0 1 0 100";
        assert_eq!(cpu_times(stat), Some([("user", 2.5), ("system", 0.31)]));
        assert_eq!(cpu_times("7 (cut"), None);
        assert_eq!(cpu_times("7 (cut) S 1 2"), None);
    }

    #[test]
    fn before_anybody_signs_in_they_are_recorded_where_they_can_leave() {
        let leaves = |rest: &str| {
            let folder = tempfile::tempdir().unwrap();
            let file = folder.path().join("signpost.toml");
            let text = format!(
                "[issuer]\nurl = \"https://a.example\"\nclient_id = \"x\"\n\
                 client_secret_file = \"/s\"\n{rest}"
            );
            files::replace(&file, text.as_bytes(), false).unwrap();
            let sources = crate::config::Sources::file(&file);
            unowned_leaves(&crate::config::load(&sources).unwrap().config)
        };
        assert!(leaves("own_name = true"));
        assert!(!leaves(""), "there is nothing to send them with");
        assert!(leaves("[telemetry]\nunowned = \"first\""));
        assert!(!leaves("own_name = true\n[telemetry]\nunowned = \"hold\""));
    }

    #[test]
    fn temperatures_are_read_until_the_first_zone_that_is_none() {
        let folder = tempfile::tempdir().unwrap();
        for (zone, temp, kind) in [("0", "47200\n", "cpu-thermal\n"), ("1", "no sensor", "")] {
            let zone = folder.path().join(format!("thermal_zone{zone}"));
            fs::create_dir(&zone).unwrap();
            files::replace(&zone.join("temp"), temp.as_bytes(), false).unwrap();
            files::replace(&zone.join("type"), kind.as_bytes(), false).unwrap();
        }
        let zones: Vec<_> = temperatures(folder.path()).collect();
        assert_eq!(zones, [("thermal_zone0".to_owned(), "cpu-thermal".to_owned(), 47.2)]);
    }
}
