//! What the agent changes in export requests on their way out, and how it takes one apart: on the
//! wire, without decoding what stays as it is (telemetry.md, "Design to build", 4, 5 and 7).
//!
//! All of it takes requests that [`count_records`](super::count_records) has passed; where a
//! message below the records turns out not to be whole, it stays as it is.

use super::{Field, NEXT_LEVEL, Signal};
use alloc::{string::String, vec::Vec};
use core::ops::Range;

/// An attribute that the agent gives to the resource of everything that it sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attribute {
    /// Its name.
    pub key: String,
    /// Its value.
    pub value: Value,
    /// Whether it counts before one of this name that a program has set; else it gives way.
    pub replaces: bool,
}

/// What an [`Attribute`] says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// `string_value`.
    Text(String),
    /// `int_value`.
    Int(u64),
    /// `bool_value`.
    Bool(bool),
}

impl Attribute {
    /// One that counts before what a program says.
    #[must_use]
    pub fn own(key: &str, value: Value) -> Self {
        Self { key: key.into(), value, replaces: true }
    }

    /// A field `attributes` of a resource.
    fn encode(&self, out: &mut Vec<u8>) {
        let mut value = Vec::new();
        match &self.value {
            Value::Text(text) => put_bytes(1, text.as_bytes(), &mut value),
            Value::Bool(yes) => value.extend([2 << 3, u8::from(*yes)]),
            Value::Int(number) => {
                value.push(3 << 3);
                put_varint(*number, &mut value);
            }
        }
        let mut pair = Vec::new();
        put_bytes(1, self.key.as_bytes(), &mut pair);
        put_bytes(2, &value, &mut pair);
        put_bytes(1, &pair, out);
    }

    /// Whether `pair`, a `KeyValue`, has this name.
    fn names(&self, pair: &[u8]) -> bool {
        let key = fields(pair).find(|(field, _)| field.number == 1);
        key.is_some_and(|(field, _)| field.bytes == Some(self.key.as_bytes()))
    }
}

/// Appends `request` to `out`, with `attributes` in the resource of everything in it.
pub fn append_with(attributes: &[Attribute], request: &[u8], out: &mut Vec<u8>) {
    let (mut entry, mut resource) = (Vec::new(), Vec::new());
    for (field, raw) in fields(request) {
        let Some(bytes) = field.bytes.filter(|_| field.number == NEXT_LEVEL[0]) else {
            out.extend_from_slice(raw);
            continue;
        };
        entry.clear();
        resource.clear();
        let mut own: Vec<&Attribute> = attributes.iter().collect();
        // A message field that comes twice is one message (protobuf, "Last One Wins").
        let parts = fields(bytes).filter(|(field, _)| field.number == 1);
        for (field, raw) in parts.flat_map(|(part, _)| fields(part.bytes.unwrap_or_default())) {
            let pair = field.bytes.filter(|_| field.number == 1).unwrap_or_default();
            match own.iter().position(|attribute| attribute.names(pair)) {
                Some(at) if own[at].replaces => {}
                Some(at) => {
                    own.remove(at);
                    resource.extend_from_slice(raw);
                }
                None => resource.extend_from_slice(raw),
            }
        }
        own.iter().for_each(|attribute| attribute.encode(&mut resource));
        put_bytes(1, &resource, &mut entry);
        for (_, raw) in fields(bytes).filter(|(field, _)| field.number != 1) {
            entry.extend_from_slice(raw);
        }
        put_bytes(NEXT_LEVEL[0], &entry, out);
    }
}

/// The records of `request` whose places, from zero on, are in `range`, with all that stands above
/// them.
#[must_use]
pub fn slice(request: &[u8], range: Range<u64>) -> Vec<u8> {
    let (mut out, mut place) = (Vec::new(), 0);
    slice_level(request, &NEXT_LEVEL, &range, &mut place, &mut out);
    out
}

/// Whether there was a record of the range in it.
fn slice_level(
    message: &[u8],
    levels: &[u64],
    range: &Range<u64>,
    place: &mut u64,
    out: &mut Vec<u8>,
) -> bool {
    let Some((next, deeper)) = levels.split_first() else { return false };
    let mut any = false;
    for (field, raw) in fields(message) {
        let Some(bytes) = field.bytes.filter(|_| field.number == *next) else {
            out.extend_from_slice(raw);
            continue;
        };
        if deeper.is_empty() {
            if range.contains(place) {
                out.extend_from_slice(raw);
                any = true;
            }
            *place += 1;
            continue;
        }
        let mut inner = Vec::new();
        if slice_level(bytes, deeper, range, place, &mut inner) {
            put_bytes(*next, &inner, out);
            any = true;
        }
    }
    any
}

/// Puts instants right that a clock gave which was not set: those for which `is_off` are moved by
/// `by` nanoseconds, in place. An instant of zero is none. Returns how many were moved.
pub fn move_instants(
    request: &mut [u8],
    signal: Signal,
    is_off: impl Fn(u64) -> bool,
    by: i64,
) -> u64 {
    let shape = match signal {
        Signal::Logs => &LOGS,
        Signal::Metrics => &METRICS,
        Signal::Traces => &TRACES,
    };
    let mut moved = 0;
    visit(request, shape, &mut |instant| {
        let old = u64::from_le_bytes(*instant);
        if old != 0 && is_off(old) {
            // Zero says that there is no instant.
            *instant = old.saturating_add_signed(by).max(1).to_le_bytes();
            moved += 1;
        }
    });
    moved
}

/// Where instants stand in a message and below it: fixed64 fields, in nanoseconds since 1970
/// (opentelemetry-proto 1.x).
struct Shape {
    instants: &'static [u64],
    below: &'static [(u64, &'static Shape)],
}

const fn only(below: &'static [(u64, &'static Shape)]) -> Shape {
    Shape { instants: &[], below }
}

static LOG_RECORD: Shape = Shape { instants: &[1, 11], below: &[] };
static LOGS: Shape = only(&[(1, &only(&[(2, &only(&[(2, &LOG_RECORD)]))]))]);

static SPAN_EVENT: Shape = Shape { instants: &[1], below: &[] };
static SPAN: Shape = Shape { instants: &[7, 8], below: &[(11, &SPAN_EVENT)] };
static TRACES: Shape = only(&[(1, &only(&[(2, &only(&[(2, &SPAN)]))]))]);

static EXEMPLAR: Shape = Shape { instants: &[2], below: &[] };
static NUMBER: Shape = Shape { instants: &[2, 3], below: &[(5, &EXEMPLAR)] };
static HISTOGRAM: Shape = Shape { instants: &[2, 3], below: &[(8, &EXEMPLAR)] };
static EXPONENTIAL: Shape = Shape { instants: &[2, 3], below: &[(11, &EXEMPLAR)] };
static SUMMARY: Shape = Shape { instants: &[2, 3], below: &[] };
static NUMBERS: Shape = only(&[(1, &NUMBER)]);
static METRIC: Shape = only(&[
    (5, &NUMBERS),
    (7, &NUMBERS),
    (9, &only(&[(1, &HISTOGRAM)])),
    (10, &only(&[(1, &EXPONENTIAL)])),
    (11, &only(&[(1, &SUMMARY)])),
]);
static METRICS: Shape = only(&[(1, &only(&[(2, &only(&[(2, &METRIC)]))]))]);

fn visit(message: &mut [u8], shape: &Shape, change: &mut impl FnMut(&mut [u8; 8])) {
    let mut at = 0;
    while let Ok((field, rest)) = Field::read(&message[at..]) {
        let end = message.len() - rest.len();
        let length = field.bytes.map_or(8, <[u8]>::len);
        let (number, is_message, is_fixed64) = (field.number, field.bytes.is_some(), field.fixed64);
        let value = &mut message[end - length.min(end)..end];
        if is_message {
            if let Some((_, below)) = shape.below.iter().find(|(of, _)| *of == number) {
                visit(value, below, change);
            }
        } else if is_fixed64
            && shape.instants.contains(&number)
            && let Ok(instant) = value.try_into()
        {
            change(instant);
        }
        at = end;
    }
}

/// The fields of a message with their bytes as they stand there, up to the first that is not whole.
fn fields(message: &[u8]) -> impl Iterator<Item = (Field<'_>, &[u8])> {
    let mut left = message;
    core::iter::from_fn(move || {
        let (field, rest) = Field::read(left).ok()?;
        let raw = &left[..left.len() - rest.len()];
        left = rest;
        Some((field, raw))
    })
}

fn put_bytes(number: u64, bytes: &[u8], out: &mut Vec<u8>) {
    put_varint(number << 3 | 2, out);
    put_varint(bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}

fn put_varint(mut value: u64, out: &mut Vec<u8>) {
    while value > 0x7f {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

#[cfg(test)]
mod tests {
    use super::{
        super::{count_records, tests::nest},
        *,
    };
    use alloc::vec;

    fn pair(key: &str, value: &str) -> Vec<u8> {
        nest(1, &[nest(1, key.as_bytes()), nest(2, &nest(1, value.as_bytes()))].concat())
    }

    fn log(name: &str) -> Vec<u8> {
        nest(2, &nest(5, &nest(1, name.as_bytes())))
    }

    /// Two resources: one with records a, b in one scope and c in another; one with record d.
    fn logs() -> Vec<u8> {
        let first = [
            nest(1, &pair("service.name", "x")),
            nest(2, &[nest(1, b""), log("a"), log("b")].concat()),
            nest(2, &log("c")),
            nest(3, b"schema"),
        ];
        [nest(1, &first.concat()), nest(1, &nest(2, &log("d")))].concat()
    }

    #[test]
    fn attributes_join_every_resource_and_the_rest_stays() {
        let own = [
            Attribute::own("device.id", Value::Text("sp-1".into())),
            Attribute::own("seq", Value::Int(300)),
            Attribute::own("mark", Value::Bool(true)),
            Attribute { replaces: false, ..Attribute::own("site", Value::Text("lab".into())) },
        ];
        let added = |site: bool| {
            let int = [nest(1, b"seq"), nest(2, &[0x18, 0xac, 0x02])].concat();
            let mark = [nest(1, b"mark"), nest(2, &[0x10, 1])].concat();
            let site = if site { pair("site", "lab") } else { vec![] };
            [pair("device.id", "sp-1"), nest(1, &int), nest(1, &mark), site].concat()
        };
        let said = [pair("device.id", "forged"), pair("site", "here"), nest(2, b"kept")].concat();
        let request =
            [nest(1, &[nest(2, &log("a")), nest(1, &said)].concat()), nest(1, &nest(2, &log("b")))];
        let mut out = vec![];
        append_with(&own, &request.concat(), &mut out);
        let first = [pair("site", "here"), nest(2, b"kept"), added(false)].concat();
        let expected = [
            nest(1, &[nest(1, &first), nest(2, &log("a"))].concat()),
            nest(1, &[nest(1, &added(true)), nest(2, &log("b"))].concat()),
        ];
        assert_eq!(out, expected.concat());
        assert_eq!(count_records(&out), Ok(2));
    }

    #[test]
    fn slices_hold_the_records_of_their_range_and_what_stands_above_them() {
        let whole = logs();
        assert_eq!(slice(&whole, 0..4), whole);
        for from in 0..4 {
            for to in from..5 {
                let part = slice(&whole, from..to);
                assert_eq!(count_records(&part), Ok(to.min(4) - from), "{from}..{to}");
                for (place, name) in (0..).zip(["a", "b", "c", "d"]) {
                    let there = part.windows(log(name).len()).any(|w| w == log(name));
                    assert_eq!(there, (from..to).contains(&place), "{name} in {from}..{to}");
                }
            }
        }
        assert!(slice(&whole, 2..3).windows(6).any(|w| w == b"schema"));
    }

    fn instant(number: u8, nanoseconds: u64) -> Vec<u8> {
        [&[number << 3 | 1][..], &nanoseconds.to_le_bytes()].concat()
    }

    #[test]
    fn instants_of_all_signals_are_moved_where_they_stand() {
        let (old, new) = (5_000_000_000, 1_800_000_000_000_000_000);
        let record = |at| [instant(1, at), instant(11, at), nest(5, &instant(1, 7))].concat();
        let span = |at| {
            let event = [instant(1, at), nest(2, b"name")].concat();
            [instant(7, at), instant(8, at), nest(11, &event)].concat()
        };
        let point = |exemplar: u8, at| {
            let inner = [instant(2, at), instant(4, 7), nest(exemplar, &instant(2, at))].concat();
            nest(1, &[instant(3, at), inner].concat())
        };
        let metric = |at| {
            let kinds = [(5, 5), (7, 5), (9, 8), (10, 11)];
            let points = kinds.map(|(kind, exemplar)| nest(kind, &point(exemplar, at)));
            let summary = nest(11, &nest(1, &[instant(2, at), instant(3, at)].concat()));
            [points.concat(), summary].concat()
        };
        let by = 1_799_999_995_000_000_000;
        let off = |at| at < 1_000_000_000_000_000_000;
        for (signal, count) in [(Signal::Logs, 2), (Signal::Traces, 3), (Signal::Metrics, 14)] {
            let request = |at| {
                let record = match signal {
                    Signal::Logs => record(at),
                    Signal::Traces => span(at),
                    Signal::Metrics => metric(at),
                };
                nest(1, &nest(2, &nest(2, &record)))
            };
            let mut moved = request(old);
            assert_eq!(move_instants(&mut moved, signal, off, by), count, "{signal:?}");
            assert_eq!(moved, request(new), "{signal:?}");
            assert_eq!(move_instants(&mut moved, signal, off, by), 0, "they are right by now");
            let mut none = request(0);
            assert_eq!(move_instants(&mut none, signal, off, by), 0, "zero is no instant");
        }
    }

    #[test]
    fn what_is_not_whole_is_left_as_it_is() {
        let broken = nest(1, &nest(2, &nest(2, &[0x09, 1, 2])));
        let mut moved = broken.clone();
        assert_eq!(move_instants(&mut moved, Signal::Logs, |_| true, 5), 0);
        assert_eq!(moved, broken);
        let mut out = vec![];
        append_with(&[], &[0x0a, 0x05, 0], &mut out);
        assert!(out.is_empty());
    }
}
