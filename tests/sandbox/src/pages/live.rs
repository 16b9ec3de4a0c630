//! The page on which telemetry arrives while one looks at it.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State as Shared;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::routing::get;
use futures_util::{Stream, stream};
use maud::{Markup, html};

use super::{frame, mark};
use crate::backend::{Device, Series};
use crate::clock::pause;
use crate::reply::Reply;
use crate::sandbox::{State, World};

/// Between two pictures, however much arrives.
const REST: Duration = Duration::from_millis(250);

pub(crate) fn router() -> Router<Arc<World>> {
    Router::new().route("/", get(page)).route("/live/events", get(events)).merge(super::assets())
}

async fn page(Shared(world): Shared<Arc<World>>) -> Reply {
    let head = html! {
        noscript { meta http-equiv="refresh" content="3"; }
        script src="/live.js" defer {}
    };
    let body = html! {
        main.live-page {
            div.top {
                (mark())
                h1 { "Telemetry" }
                span #status.status role="status" { "Connecting…" }
            }
            div #live { (world.look(|state, _| picture(state, world.issuer_url()))) }
        }
    };
    Reply::page(200, frame("Telemetry", head, body))
}

async fn events(
    Shared(world): Shared<Arc<World>>,
) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let mut changes = world.changes();
    changes.mark_changed();
    let pictures = stream::unfold((world, changes, String::new()), async |state| {
        let (world, mut changes, shown) = state;
        loop {
            changes.changed().await.ok()?;
            // A burst is shown as one.
            pause(REST).await;
            let picture = world.look(|state, _| picture(state, world.issuer_url())).into_string();
            // Whoever approves or polls changes nothing here.
            if picture == shown {
                continue;
            }
            let event = Event::default().data(&picture);
            return Some((Ok(event), (world, changes, picture)));
        }
    });
    Sse::new(pictures).keep_alive(KeepAlive::default())
}

fn picture(state: &State, issuer: &str) -> Markup {
    let totals = state.backend.totals();
    let sums = [
        ("requests", totals.requests),
        ("data points", totals.metrics),
        ("log records", totals.logs),
        ("spans", totals.traces),
        ("duplicates", totals.duplicates),
    ];
    html! {
        dl.totals {
            @for (what, sum) in sums.into_iter().filter(|(what, sum)| *sum > 0 || *what == "requests") {
                div { dt { (what) } dd { (sum) } }
            }
        }
        @if state.backend.devices.iter().next().is_none() {
            p.empty {
                strong { "Waiting for the first device" }
                "Sign one in at " a href={ (issuer) "/device" } { (issuer) "/device" }
                "; what it sends appears here."
            }
        }
        @for (name, device) in state.backend.devices.iter() {
            (card(state, name, device))
        }
    }
}

fn card(state: &State, name: &str, device: &Device) -> Markup {
    let owner = state.issuer.account(&device.subject);
    html! {
        section.device aria-label=(name) {
            header {
                h2 { (name) }
                span.owner { "for " (owner.map_or(device.subject.as_str(), |owner| &owner.name)) }
                span.seen { "last heard at " (clock(device.last_seen)) " UTC" }
            }
            @if !device.series.is_empty() {
                div.vitals { @for series in device.series.values() { (vital(series)) } }
            }
            @if !device.lines.is_empty() {
                ul.logs tabindex="0" aria-label="Logs, newest first" {
                    @for (at, level, text) in &device.lines {
                        li {
                            time { (clock(*at)) }
                            span.level data-level=(grade(level)) { (short(level)) }
                            p { (text) }
                        }
                    }
                }
            }
        }
    }
}

fn vital(series: &Series) -> Markup {
    let newest = series.points.back().copied().unwrap_or(0.0);
    let (value, unit) = readable(newest, &series.unit, &series.name);
    html! {
        div.vital {
            h3 { (title(&series.name)) @if !series.detail.is_empty() { ", " (series.detail) } }
            p.value { (value) @if !unit.is_empty() { " " small { (unit) } } }
            (spark(series))
        }
    }
}

/// A curve of the newest points in a box of 100 by 30, with a filled ground.
fn spark(series: &Series) -> Markup {
    let low = series.points.iter().copied().fold(f64::INFINITY, f64::min);
    let high = series.points.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let span = high - low;
    let last = (series.points.len().saturating_sub(1)).max(1) as f64;
    let mut line = String::new();
    for (index, point) in series.points.iter().enumerate() {
        let x = 100.0 * index as f64 / last;
        // A flat curve runs through the middle.
        let share = if span > 0.0 { (point - low) / span } else { 0.5 };
        let verb = if index == 0 { 'M' } else { 'L' };
        line.push_str(&format!("{verb}{x:.1} {:.1}", 26.0 - 22.0 * share));
    }
    if series.points.len() == 1 {
        line.push_str("H100");
    }
    html! {
        svg.spark viewBox="0 0 100 30" preserveAspectRatio="none" aria-hidden="true" {
            path.area d={ (line) "V30H0Z" } {}
            path.line d=(line) {}
        }
    }
}

/// `system.memory.usage` as people say it.
fn title(metric: &str) -> String {
    let short = ["system.", "process.", "hw.", "signpost."]
        .into_iter()
        .find_map(|prefix| metric.strip_prefix(prefix))
        .unwrap_or(metric);
    let mut words = short.replace(".linux.", ".").replace(['.', '_'], " ");
    if let Some(first) = words.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    for (plain, right) in [("Cpu", "CPU"), (" io", " I/O"), (" cpu", " CPU")] {
        words = words.replace(plain, right);
    }
    words
}

/// A value in a unit (UCUM) as people read it.
fn readable(value: f64, unit: &str, metric: &str) -> (String, String) {
    let fraction = metric.ends_with("utilization") || metric.ends_with("ratio");
    match unit {
        "By" => scaled(value, 1024.0, &["B", "KiB", "MiB", "GiB", "TiB"]),
        "By/s" => scaled(value, 1024.0, &["B/s", "KiB/s", "MiB/s", "GiB/s"]),
        "Hz" => scaled(value, 1000.0, &["Hz", "kHz", "MHz", "GHz"]),
        "Cel" => (plain(value), "°C".to_owned()),
        "s" if value >= 120.0 => (span(value), String::new()),
        "1" | "" if fraction => (plain(value * 100.0), "%".to_owned()),
        "1" => (plain(value), String::new()),
        other => (plain(value), other.trim_matches(['{', '}']).to_owned()),
    }
}

fn scaled(value: f64, step: f64, units: &[&str]) -> (String, String) {
    let (mut value, mut index) = (value, 0);
    while value.abs() >= step && index + 1 < units.len() {
        value /= step;
        index += 1;
    }
    (plain(value), units[index].to_owned())
}

/// Three figures at least, and no more behind the point than they need.
fn plain(value: f64) -> String {
    if value.fract() == 0.0 && value.abs() < 1e9 {
        return format!("{value:.0}");
    }
    match value.abs() {
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

fn span(seconds: f64) -> String {
    let minutes = (seconds / 60.0) as u64;
    match (minutes / 1440, minutes / 60 % 24, minutes % 60) {
        (0, 0, minutes) => format!("{minutes} min"),
        (0, hours, minutes) => format!("{hours} h {minutes:02} m"),
        (days, hours, _) => format!("{days} d {hours} h"),
    }
}

fn clock(unix: u64) -> String {
    let day = unix % 86_400;
    format!("{:02}:{:02}:{:02}", day / 3600, day / 60 % 60, day % 60)
}

fn grade(level: &str) -> &'static str {
    match level.to_ascii_lowercase().as_str() {
        level if level.starts_with("warn") => "warn",
        level if level.starts_with("err") || level.starts_with("fatal") => "error",
        _ => "info",
    }
}

/// Severities are short; the names of events and spans may not be.
fn short(level: &str) -> String {
    let shown: String = level.chars().take(12).collect();
    if shown.is_empty() { "log".to_owned() } else { shown }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(value: f64, unit: &str, metric: &str) -> String {
        let (value, unit) = readable(value, unit, metric);
        format!("{value} {unit}").trim_end().to_owned()
    }

    #[test]
    fn values_read_as_people_say_them() {
        assert_eq!(read(412e6, "By", "system.memory.usage"), "393 MiB");
        assert_eq!(read(0.287, "1", "system.cpu.utilization"), "28.7 %");
        assert_eq!(read(51.25, "Cel", "hw.temperature"), "51.2 °C");
        assert_eq!(read(3725.0, "s", "system.uptime"), "1 h 02 m");
        assert_eq!(read(200_000.0, "s", "system.uptime"), "2 d 7 h");
        assert_eq!(read(3.0, "{record}", "signpost.spool.records"), "3 record");
        assert_eq!(read(-1.5, "1", "x"), "-1.50");
    }

    #[test]
    fn metrics_read_as_people_say_them() {
        assert_eq!(title("system.cpu.utilization"), "CPU utilization");
        assert_eq!(title("system.memory.linux.available"), "Memory available");
        assert_eq!(title("ünicode"), "ünicode");
        assert_eq!(title(""), "");
    }
}
