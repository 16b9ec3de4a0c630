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
use rustix::time::{ClockId, clock_gettime};
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
            unowned: telemetry.unowned == Unowned::First,
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
        let request = request(self.resource.clone(), measure(&status, &self.folder));
        let body = request.encode_to_vec();
        let call = Call::Accept { signal: Signal::Metrics, events: false, body, volatile: false };
        // The next ones come soon; these are not worth a second try.
        let _ = self.calls.ask(call).await;
    }
}

/// One value and its unit (UCUM).
struct Measurement {
    name: &'static str,
    unit: &'static str,
    value: f64,
    /// It only ever grows while the agent runs.
    grows: bool,
    attribute: Option<(&'static str, String)>,
}

fn measure(status: &Status, folder: &Path) -> Vec<Measurement> {
    let one =
        |name, unit, grows, value: f64| Measurement { name, unit, value, grows, attribute: None };
    let read = |path: &str| fs::read_to_string(path).ok();
    let memory = read("/proc/meminfo");
    let memory = memory.as_deref().and_then(|text| kibibytes(text, "MemAvailable:"));
    let own = read("/proc/self/status");
    let own = own.as_deref().and_then(|text| kibibytes(text, "VmRSS:"));
    let load = read("/proc/loadavg").and_then(|text| text.split(' ').next()?.parse().ok());
    let free = rustix::fs::statvfs(folder).ok();
    let free = free.map(|fs| fs.f_bavail.saturating_mul(fs.f_frsize) as f64);
    let cpu = Duration::try_from(clock_gettime(ClockId::ProcessCPUTime)).unwrap_or_default();
    let delivery = &status.delivery;
    let mut all: Vec<_> = [
        memory.map(|bytes| one("system.memory.linux.available", "By", false, bytes)),
        load.map(|load| one("system.cpu.load_average.1m", "1", false, load)),
        free.map(|bytes| Measurement {
            attribute: Some(("system.filesystem.state", "free".into())),
            ..one("system.filesystem.usage", "By", false, bytes)
        }),
        Some(one("system.uptime", "s", false, clock::boot().as_secs_f64().round())),
        own.map(|bytes| one("process.memory.usage", "By", false, bytes)),
        Some(one("process.cpu.time", "s", true, cpu.as_secs_f64())),
        Some(one("signpost.spool.records", "{record}", false, delivery.records as f64)),
        Some(one("signpost.spool.dropped", "{record}", true, delivery.dropped as f64)),
        Some(one("signpost.flash.written", "By", true, status.flash.written_today as f64)),
    ]
    .into_iter()
    .flatten()
    .collect();
    all.extend(temperatures(Path::new("/sys/class/thermal")).map(|(zone, value)| Measurement {
        attribute: Some(("hw.id", zone)),
        ..one("hw.temperature", "Cel", false, value)
    }));
    all
}

/// `VmRSS:     5120 kB` in bytes.
fn kibibytes(text: &str, key: &str) -> Option<f64> {
    let line = text.lines().find_map(|line| line.strip_prefix(key))?;
    line.split_whitespace().next()?.parse::<u64>().ok().map(|kib| (kib * 1024) as f64)
}

/// Zones with their names, in degrees Celsius.
fn temperatures(folder: &Path) -> impl Iterator<Item = (String, f64)> {
    let folder = folder.to_owned();
    (0..MAX_ZONES).map_while(move |number| {
        let zone = folder.join(format!("thermal_zone{number}"));
        let milli: f64 = fs::read_to_string(zone.join("temp")).ok()?.trim().parse().ok()?;
        let name = fs::read_to_string(zone.join("type")).unwrap_or_default();
        Some((name.trim().to_owned(), milli / 1000.0))
    })
}

/// Dated by the wall clock even where nobody has set it: that is put right on the way out.
fn request(resource: Resource, all: Vec<Measurement>) -> ExportMetricsServiceRequest {
    let now = u64::try_from(clock::wall().as_nanos()).unwrap_or_default();
    let metrics = all.into_iter().map(|measurement| measurement.into_metric(now)).collect();
    let scope_metrics = vec![ScopeMetrics { scope: Some(Scope::own()), metrics }];
    let metrics = ResourceMetrics { resource: Some(resource), scope_metrics };
    ExportMetricsServiceRequest { resource_metrics: vec![metrics] }
}

impl Measurement {
    fn into_metric(self, time_unix_nano: u64) -> Metric {
        let attribute =
            self.attribute.map(|(key, value)| KeyValue::of(key, AnyValue::text(&value)));
        let point = NumberDataPoint {
            time_unix_nano,
            as_double: Some(self.value),
            attributes: attribute.into_iter().collect(),
        };
        let (name, unit) = (self.name.into(), self.unit.into());
        match self.grows {
            false => {
                let gauge = Some(Gauge { data_points: vec![point] });
                Metric { name, unit, gauge, sum: None }
            }
            true => {
                let sum =
                    Sum { data_points: vec![point], temporality: CUMULATIVE, is_monotonic: true };
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
            grant: crate::status::Grant {
                status: "held",
                account: None,
                signed_in_at: None,
                last_refresh_at: None,
                expires_at: None,
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

    #[test]
    fn this_machine_has_vitals_and_they_are_an_export_request() {
        let all = measure(&status(), Path::new("/tmp"));
        let value = |name| all.iter().find(|one| one.name == name).map(|one| one.value);
        assert!(value("process.memory.usage").unwrap() > 100_000.0);
        assert!(value("system.uptime").unwrap() > 0.0);
        assert!(value("system.filesystem.usage").is_some());
        assert_eq!(value("signpost.spool.records"), Some(3.0));
        let count = all.len() as u64;
        let resource = Resource { attributes: vec![] };
        let bytes = request(resource, all).encode_to_vec();
        assert_eq!(count_records(&bytes), Ok(count));
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
        assert_eq!(zones, [("cpu-thermal".to_owned(), 47.2)]);
    }
}
