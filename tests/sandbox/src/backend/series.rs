//! The newest of what each device has sent, for the live page.

use std::collections::{BTreeMap, VecDeque};

use super::Delivery;
use super::otlp::{Record, Signal};
use crate::clock::Now;

/// The quietest device goes when one more turns up.
const MOST_DEVICES: usize = 16;
const MOST_SERIES: usize = 48;
const MOST_POINTS: usize = 60;
const MOST_LINES: usize = 50;

/// Devices by name.
#[derive(Default)]
pub(crate) struct Devices(BTreeMap<String, Device>);

/// What one device has shown of itself.
#[derive(Default)]
pub(crate) struct Device {
    /// `sub` of the newest token.
    pub(crate) subject: String,
    /// Seconds since 1970 by the sandbox's clock.
    pub(crate) last_seen: u64,
    /// By metric and attributes.
    pub(crate) series: BTreeMap<String, Series>,
    /// Newest first: seconds since 1970, severity, text.
    pub(crate) lines: VecDeque<(u64, String, String)>,
}

/// One curve.
pub(crate) struct Series {
    pub(crate) name: String,
    /// Values of the attributes that tell it from others of the same name.
    pub(crate) detail: String,
    pub(crate) unit: String,
    /// Oldest first.
    pub(crate) points: VecDeque<f64>,
}

impl Devices {
    pub(super) fn show(&mut self, delivery: &Delivery, now: Now) {
        for record in &delivery.records {
            let device = self.device(name(record));
            device.subject.clone_from(&delivery.subject);
            device.last_seen = now.unix;
            match delivery.signal {
                Signal::Metrics => device.point(record),
                Signal::Logs | Signal::Traces => device.line(record, now),
            }
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &Device)> {
        self.0.iter().map(|(name, device)| (name.as_str(), device))
    }

    fn device(&mut self, name: &str) -> &mut Device {
        if self.0.len() >= MOST_DEVICES && !self.0.contains_key(name) {
            let quietest = self.0.iter().min_by_key(|(_, device)| device.last_seen);
            if let Some(quietest) = quietest.map(|(name, _)| name.clone()) {
                self.0.remove(&quietest);
            }
        }
        self.0.entry(name.to_owned()).or_default()
    }
}

impl Device {
    fn point(&mut self, record: &Record) {
        let Some(value) = record.value.filter(|value| value.is_finite()) else { return };
        let detail = record.attributes.values().cloned().collect::<Vec<_>>().join(", ");
        let key = format!("{} {detail}", record.name);
        if self.series.len() >= MOST_SERIES && !self.series.contains_key(&key) {
            return;
        }
        let series = self.series.entry(key).or_insert_with(|| Series {
            name: record.name.clone(),
            detail,
            unit: record.unit.clone(),
            points: VecDeque::new(),
        });
        if series.points.len() == MOST_POINTS {
            series.points.pop_front();
        }
        series.points.push_back(value);
    }

    fn line(&mut self, record: &Record, now: Now) {
        // A device without a clock sends none, or one near 1970.
        let sent = record.time_unix_nano / 1_000_000_000;
        let at = if sent < 1_000_000_000 { now.unix } else { sent };
        let text = if record.text.is_empty() { &record.name } else { &record.text };
        self.lines.truncate(MOST_LINES - 1);
        self.lines.push_front((at, record.name.clone(), text.clone()));
    }
}

/// What tells devices apart, best first (OpenTelemetry's resource conventions).
fn name(record: &Record) -> &str {
    ["device.id", "host.name", "service.instance.id", "service.name"]
        .into_iter()
        .find_map(|key| record.resource.get(key))
        .map_or("device", String::as_str)
}
