//! Plain JSON and lines of text become OTLP logs: for shells, and for programs without an SDK.
//!
//! Each object is a log record. Keys that loggers agree on become its time, severity, body, event
//! name and trace; all others become attributes, and so does what does not fit its key ("time":
//! "noon"), so that nothing is lost.

use super::json::{Trouble, Untranslated, id};
use super::output::{Full, Nested, Output};
use crate::wire::rfc3339_nanos;
use alloc::{string::String, vec::Vec};
use core::fmt;
use serde::Deserializer;
use serde::de::{DeserializeSeed, Error, MapAccess, SeqAccess, Visitor};

/// What stands in a body for `/v1/events`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lines {
    /// An object, a list of them, or one after the other (NDJSON).
    Json,
    /// Each line is a record's body.
    Text,
}

/// Field numbers of OTLP's logs.
mod field {
    pub(super) const RESOURCE_LOGS: u32 = 1;
    pub(super) const RESOURCE: u32 = 1;
    pub(super) const RESOURCE_ATTRIBUTE: u32 = 1;
    pub(super) const SCOPE_LOGS: u32 = 2;
    pub(super) const RECORD: u32 = 2;
    pub(super) const TIME: u32 = 1;
    pub(super) const SEVERITY_NUMBER: u32 = 2;
    pub(super) const SEVERITY_TEXT: u32 = 3;
    pub(super) const BODY: u32 = 5;
    pub(super) const ATTRIBUTE: u32 = 6;
    pub(super) const TRACE_ID: u32 = 9;
    pub(super) const SPAN_ID: u32 = 10;
    pub(super) const OBSERVED_TIME: u32 = 11;
    pub(super) const EVENT_NAME: u32 = 12;
    /// Of `KeyValue`.
    pub(super) const KEY: u32 = 1;
    pub(super) const VALUE: u32 = 2;
    /// Of `AnyValue`.
    pub(super) const STRING: u32 = 1;
    pub(super) const BOOL: u32 = 2;
    pub(super) const INT: u32 = 3;
    pub(super) const DOUBLE: u32 = 4;
    pub(super) const ARRAY: u32 = 5;
    pub(super) const KVLIST: u32 = 6;
    /// Of both lists.
    pub(super) const ELEMENT: u32 = 1;
}

/// The logs that `body` tells of, as an export request of at most `most` bytes. `service` names
/// whoever sends; `observed` is the time of arrival in nanoseconds since 1970, for records that
/// have none of their own.
///
/// # Errors
/// [`Untranslated`]: nothing of `body` is used then.
pub fn from_events(
    body: &[u8],
    lines: Lines,
    service: Option<&str>,
    observed: u64,
    most: usize,
) -> Result<Vec<u8>, Untranslated> {
    let mut output = Output::new(most);
    let open = |output: &mut Output| {
        let logs = output.open(field::RESOURCE_LOGS)?;
        if let Some(service) = service {
            let resource = output.open(field::RESOURCE)?;
            attribute(output, field::RESOURCE_ATTRIBUTE, "service.name", |output| {
                output.bytes_field(field::STRING, service.as_bytes())
            })?;
            output.close(resource)?;
        }
        Ok((logs, output.open(field::SCOPE_LOGS)?))
    };
    let (logs, scope) = open(&mut output).map_err(|Full| Untranslated::TooLarge)?;
    match lines {
        Lines::Json => objects(body, observed, &mut output)?,
        Lines::Text => text(body, observed, &mut output).map_err(|Full| Untranslated::TooLarge)?,
    }
    let closed = output.close(scope).and_then(|()| output.close(logs));
    closed.map_err(|Full| Untranslated::TooLarge)?;
    Ok(output.into_bytes())
}

fn objects(body: &[u8], observed: u64, output: &mut Output) -> Result<(), Untranslated> {
    let mut trouble = Trouble::default();
    let mut input = serde_json::Deserializer::from_slice(body);
    while input.end().is_err() {
        let event = Event { observed, listed: false, output, trouble: &mut trouble };
        if let Err(error) = event.deserialize(&mut input) {
            return Err(trouble.into_error(&error));
        }
    }
    Ok(())
}

fn text(body: &[u8], observed: u64, output: &mut Output) -> Result<(), Full> {
    for line in body.split(|byte| *byte == b'\n') {
        let line = String::from_utf8_lossy(line.trim_ascii_end());
        if !line.is_empty() {
            let record = output.open(field::RECORD)?;
            let body = output.open(field::BODY)?;
            output.bytes_field(field::STRING, line.as_bytes())?;
            output.close(body)?;
            output.fixed64_field(field::OBSERVED_TIME, observed)?;
            output.close(record)?;
        }
    }
    Ok(())
}

fn attribute(
    output: &mut Output,
    number: u32,
    key: &str,
    value: impl FnOnce(&mut Output) -> Result<(), Full>,
) -> Result<(), Full> {
    let pair = output.open(number)?;
    output.bytes_field(field::KEY, key.as_bytes())?;
    let content = output.open(field::VALUE)?;
    value(output)?;
    output.close(content)?;
    output.close(pair)
}

fn full<E: Error>(trouble: &mut Trouble) -> impl FnOnce(Full) -> E {
    |Full| {
        trouble.full = true;
        E::custom("")
    }
}

/// One object, or a list of them.
struct Event<'a> {
    observed: u64,
    /// Within a list, where there is no further list.
    listed: bool,
    output: &'a mut Output,
    trouble: &'a mut Trouble,
}

impl<'de> DeserializeSeed<'de> for Event<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, input: D) -> Result<(), D::Error> {
        input.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Event<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object or a list of objects")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        let Self { observed, listed, output, trouble } = self;
        if listed {
            return Err(A::Error::custom(""));
        }
        loop {
            let (output, trouble) = (&mut *output, &mut *trouble);
            if list.next_element_seed(Event { observed, listed: true, output, trouble })?.is_none()
            {
                return Ok(());
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Self { observed, output, trouble, .. } = self;
        let record = output.open(field::RECORD).map_err(full(trouble))?;
        let mut taken = Taken::default();
        while let Some(key) = map.next_key::<String>()? {
            let (output, trouble) = (&mut *output, &mut *trouble);
            let part = Part::of(&key).filter(|part| !taken.has(*part));
            let value = Value { place: Place::Record(part, &key), output, trouble };
            if map.next_value_seed(value)? {
                taken.add(part);
            }
        }
        let closed = output
            .fixed64_field(field::OBSERVED_TIME, observed)
            .and_then(|()| output.close(record));
        closed.map_err(full(trouble))
    }
}

/// What a key may say about a record.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Time,
    Severity,
    /// The severity, as syslog and the journal number it.
    Priority,
    Body,
    Event,
    Trace,
    Span,
}

impl Part {
    fn of(key: &str) -> Option<Self> {
        const KEYS: [(&str, Part); 17] = [
            ("time", Part::Time),
            ("timestamp", Part::Time),
            ("ts", Part::Time),
            ("@timestamp", Part::Time),
            ("__realtime_timestamp", Part::Time),
            ("severity", Part::Severity),
            ("level", Part::Severity),
            ("priority", Part::Priority),
            ("message", Part::Body),
            ("msg", Part::Body),
            ("body", Part::Body),
            ("event", Part::Event),
            ("name", Part::Event),
            ("trace_id", Part::Trace),
            ("traceid", Part::Trace),
            ("span_id", Part::Span),
            ("spanid", Part::Span),
        ];
        KEYS.iter().find(|(known, _)| known.eq_ignore_ascii_case(key)).map(|(_, part)| *part)
    }

    /// Both severities are one.
    const fn bit(self) -> u8 {
        let part = if matches!(self, Self::Priority) { Self::Severity } else { self };
        1 << part as u8
    }
}

/// Parts that a record has: of two keys for one part, the second is an attribute.
#[derive(Default)]
struct Taken(u8);

impl Taken {
    const fn has(&self, part: Part) -> bool {
        self.0 & part.bit() != 0
    }

    fn add(&mut self, part: Option<Part>) {
        self.0 |= part.map_or(0, Part::bit);
    }
}

/// Where a value goes.
#[derive(Clone, Copy)]
enum Place<'a> {
    /// Into the record, under this key; to be this part, where it can be.
    Record(Option<Part>, &'a str),
    /// Into a nested object, under this key.
    Object(&'a str),
    /// Into a list.
    List,
}

/// Writes a value. True where it became the part that it was to be.
struct Value<'a> {
    place: Place<'a>,
    output: &'a mut Output,
    trouble: &'a mut Trouble,
}

/// The frames around an `AnyValue`.
struct Frames {
    pair: Option<Nested>,
    value: Nested,
}

impl Value<'_> {
    fn open(&mut self) -> Result<Frames, Full> {
        let output = &mut *self.output;
        let (number, key) = match self.place {
            Place::Record(Some(Part::Body), _) => {
                return Ok(Frames { pair: None, value: output.open(field::BODY)? });
            }
            Place::List => return Ok(Frames { pair: None, value: output.open(field::ELEMENT)? }),
            Place::Record(_, key) => (field::ATTRIBUTE, key),
            Place::Object(key) => (field::ELEMENT, key),
        };
        let pair = output.open(number)?;
        output.bytes_field(field::KEY, key.as_bytes())?;
        Ok(Frames { pair: Some(pair), value: output.open(field::VALUE)? })
    }

    fn close(output: &mut Output, frames: Frames) -> Result<(), Full> {
        output.close(frames.value)?;
        frames.pair.map_or(Ok(()), |pair| output.close(pair))
    }

    /// A value of one field.
    fn put<E: Error>(
        mut self,
        write: impl FnOnce(&mut Output) -> Result<(), Full>,
    ) -> Result<bool, E> {
        let is_body = self.is(Part::Body);
        let framed = self.open().and_then(|frames| {
            write(self.output)?;
            Self::close(self.output, frames)
        });
        framed.map(|()| is_body).map_err(full(self.trouble))
    }

    const fn is(&self, wanted: Part) -> bool {
        matches!(self.place, Place::Record(Some(part), _) if part as u8 == wanted as u8)
    }

    /// A part that is a field of the record itself.
    fn part<E: Error>(
        self,
        write: impl FnOnce(&mut Output) -> Result<(), Full>,
    ) -> Result<bool, E> {
        write(self.output).map(|()| true).map_err(full(self.trouble))
    }

    fn time<E: Error>(self, nanos: u64) -> Result<bool, E> {
        self.part(|output| output.fixed64_field(field::TIME, nanos))
    }
}

impl<'de> DeserializeSeed<'de> for Value<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, input: D) -> Result<bool, D::Error> {
        input.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Value<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E: Error>(self) -> Result<bool, E> {
        match self.place {
            // It says nothing, but in a list it keeps its place.
            Place::Record(..) => Ok(false),
            Place::Object(_) | Place::List => self.put(|_| Ok(())),
        }
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<bool, E> {
        self.put(|output| output.varint_field(field::BOOL, value.into()))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<bool, E> {
        if self.is(Part::Time)
            && let Some(nanos) = nanos_of(value)
        {
            return self.time(nanos);
        }
        if self.is(Part::Severity) && (1..=24).contains(&value) {
            return self.part(|output| output.varint_field(field::SEVERITY_NUMBER, value));
        }
        if self.is(Part::Priority)
            && let Some((_, number)) = priority(value)
        {
            return self.part(|output| output.varint_field(field::SEVERITY_NUMBER, number));
        }
        match i64::try_from(value) {
            Ok(value) => self.visit_i64(value),
            // No integer of OTLP is as long: a double is close, and the digits are exact.
            Err(_) => {
                let digits = alloc::format!("{value}");
                self.put(|output| output.bytes_field(field::STRING, digits.as_bytes()))
            }
        }
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<bool, E> {
        self.put(|output| output.varint_field(field::INT, value as u64))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<bool, E> {
        // Seconds and a fraction, as `date +%s.%N` has it.
        if self.is(Part::Time) && (1.0..1e11).contains(&value) {
            return self.time((value * 1e9) as u64);
        }
        self.put(|output| output.fixed64_field(field::DOUBLE, value.to_bits()))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<bool, E> {
        let Place::Record(part, _) = self.place else {
            return self.put(|output| output.bytes_field(field::STRING, text.as_bytes()));
        };
        match part {
            Some(Part::Time) => {
                if let Some(nanos) = rfc3339_nanos(text).or_else(|| nanos_of(text.parse().ok()?)) {
                    return self.time(nanos);
                }
            }
            Some(Part::Severity) => {
                // What is no known severity is still the sender's own word for it.
                return self.part(|output| {
                    if let Some(number) = severity(text) {
                        output.varint_field(field::SEVERITY_NUMBER, number)?;
                    }
                    output.bytes_field(field::SEVERITY_TEXT, text.as_bytes())
                });
            }
            Some(Part::Priority) => {
                if let Some((word, number)) = text.parse().ok().and_then(priority) {
                    return self.part(|output| {
                        output.varint_field(field::SEVERITY_NUMBER, number)?;
                        output.bytes_field(field::SEVERITY_TEXT, word.as_bytes())
                    });
                }
            }
            Some(Part::Event) => {
                return self.part(|output| output.bytes_field(field::EVENT_NAME, text.as_bytes()));
            }
            Some(Part::Trace) => {
                if let Some(id) = id::<16>(text) {
                    return self.part(|output| output.bytes_field(field::TRACE_ID, &id));
                }
            }
            Some(Part::Span) => {
                if let Some(id) = id::<8>(text) {
                    return self.part(|output| output.bytes_field(field::SPAN_ID, &id));
                }
            }
            Some(Part::Body) | None => {}
        }
        self.put(|output| output.bytes_field(field::STRING, text.as_bytes()))
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut list: A) -> Result<bool, A::Error> {
        let is_body = self.is(Part::Body);
        let opened = self.open().and_then(|frames| Ok((frames, self.output.open(field::ARRAY)?)));
        let Self { output, trouble, .. } = self;
        let (frames, array) = opened.map_err(full(trouble))?;
        loop {
            let (output, trouble) = (&mut *output, &mut *trouble);
            let element = Value { place: Place::List, output, trouble };
            if list.next_element_seed(element)?.is_none() {
                break;
            }
        }
        let closed = output.close(array).and_then(|()| Self::close(output, frames));
        closed.map(|()| is_body).map_err(full(trouble))
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<bool, A::Error> {
        let is_body = self.is(Part::Body);
        let opened = self.open().and_then(|frames| Ok((frames, self.output.open(field::KVLIST)?)));
        let Self { output, trouble, .. } = self;
        let (frames, pairs) = opened.map_err(full(trouble))?;
        while let Some(key) = map.next_key::<String>()? {
            let (output, trouble) = (&mut *output, &mut *trouble);
            map.next_value_seed(Value { place: Place::Object(&key), output, trouble })?;
        }
        let closed = output.close(pairs).and_then(|()| Self::close(output, frames));
        closed.map(|()| is_body).map_err(full(trouble))
    }
}

/// Nanoseconds since 1970, of seconds, milliseconds, microseconds or nanoseconds: between 1973 and
/// 5138 the number of digits tells which. `None`: no date.
fn nanos_of(number: u64) -> Option<u64> {
    let factor = match number {
        0 => return None,
        1..100_000_000_000 => 1_000_000_000,
        100_000_000_000..100_000_000_000_000 => 1_000_000,
        100_000_000_000_000..100_000_000_000_000_000 => 1_000,
        _ => 1,
    };
    number.checked_mul(factor)
}

/// Word and OTLP's number for one of syslog's severities (RFC 5424, section 6.2.1).
fn priority(number: u64) -> Option<(&'static str, u64)> {
    const WORDS: [(&str, u64); 8] = [
        ("emerg", 21),
        ("alert", 19),
        ("crit", 18),
        ("err", 17),
        ("warning", 13),
        ("notice", 10),
        ("info", 9),
        ("debug", 5),
    ];
    WORDS.get(usize::try_from(number).ok()?).copied()
}

/// OTLP's number for a logger's or syslog's word (OpenTelemetry, "Appendix B: SeverityNumber
/// example mappings").
fn severity(text: &str) -> Option<u64> {
    const WORDS: [(&str, u64); 18] = [
        ("trace", 1),
        ("debug", 5),
        ("info", 9),
        ("information", 9),
        ("informational", 9),
        ("notice", 10),
        ("warn", 13),
        ("warning", 13),
        ("err", 17),
        ("error", 17),
        ("crit", 18),
        ("critical", 18),
        ("alert", 19),
        ("fatal", 21),
        ("panic", 21),
        ("emerg", 21),
        ("emergency", 21),
        ("verbose", 1),
    ];
    WORDS.iter().find(|(word, _)| word.eq_ignore_ascii_case(text)).map(|(_, number)| *number)
}

#[cfg(test)]
mod tests;
