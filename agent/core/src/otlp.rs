//! OTLP on the wire: enough protobuf to validate, count and join export requests without
//! decoding them (telemetry.md, "Batching needs no decode").
//!
//! The `Export{Logs,Metrics,Trace}ServiceRequest`s of one signal are one repeated field 1, so
//! that their encodings, one after the other, are the encoding of all their records together.

mod events;
mod json;
mod output;
mod rewrite;
mod schema;

pub use events::{Lines, from_events};
pub use json::{Untranslated, from_json};
pub use rewrite::{Attribute, Value, append_with, move_instants, slice};

/// What a request holds, and by that where it goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Signal {
    /// `/v1/logs`.
    Logs,
    /// `/v1/metrics`.
    Metrics,
    /// `/v1/traces`.
    Traces,
}

impl Signal {
    /// All signals.
    pub const ALL: [Self; 3] = [Self::Logs, Self::Metrics, Self::Traces];

    /// The path of OTLP/HTTP.
    #[must_use]
    pub const fn path(self) -> &'static str {
        match self {
            Self::Logs => "/v1/logs",
            Self::Metrics => "/v1/metrics",
            Self::Traces => "/v1/traces",
        }
    }

    /// The name in reports and metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Logs => "logs",
            Self::Metrics => "metrics",
            Self::Traces => "traces",
        }
    }
}

/// Why bytes are no OTLP request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// A field ends after the message does, or a varint does not end.
    Truncated,
    /// A field number or wire type that OTLP does not have at that place.
    Unexpected,
}

/// The messages of one export request, outside in: request, resource, scope, record. In each, field
/// 1 is resource or scope data but at the outermost, and the next level is in the field named here.
const NEXT_LEVEL: [u64; 3] = [1, 2, 2];

/// Validates `body` as an export request and counts its records (log records, metrics or spans).
///
/// Walks the framing down to the records in one pass without allocating; inside a record the
/// backend judges.
///
/// # Errors
/// [`Malformed`]: a backend would answer 400 to this.
pub fn count_records(body: &[u8]) -> Result<u64, Malformed> {
    count_level(body, &NEXT_LEVEL)
}

fn count_level(message: &[u8], levels: &[u64]) -> Result<u64, Malformed> {
    let mut count = 0;
    let mut rest = message;
    while !rest.is_empty() {
        let (field, tail) = Field::read(rest)?;
        rest = tail;
        // Fields of later protocol versions pass, except outermost: other programs' bytes often
        // frame well by accident.
        let outermost = levels.len() == NEXT_LEVEL.len();
        match (field.bytes, levels.split_first()) {
            (Some(bytes), Some((next, deeper))) if field.number == *next => {
                count += if deeper.is_empty() {
                    count_level(bytes, &[])?;
                    1
                } else {
                    count_level(bytes, deeper)?
                };
            }
            _ if outermost => return Err(Malformed::Unexpected),
            (None, Some((next, _))) if field.number == *next => return Err(Malformed::Unexpected),
            (Some(_) | None, _) => {}
        }
    }
    Ok(count)
}

/// `partial_success.rejected_*` of an `Export…ServiceResponse`; zero where there is none.
pub(crate) fn rejected_count(response: &[u8]) -> u64 {
    let find = |message: &[u8], number: u64| -> Option<(u64, alloc::vec::Vec<u8>)> {
        let mut rest = message;
        while !rest.is_empty() {
            let (field, tail) = Field::read(rest).ok()?;
            if field.number == number {
                return Some((field.varint, field.bytes.unwrap_or_default().to_vec()));
            }
            rest = tail;
        }
        None
    };
    let partial = find(response, 1).map(|(_, bytes)| bytes).unwrap_or_default();
    find(&partial, 1).map_or(0, |(count, _)| count).min(u64::from(u32::MAX))
}

/// One field of a protobuf message.
struct Field<'a> {
    number: u64,
    bytes: Option<&'a [u8]>,
    varint: u64,
    fixed64: bool,
}

impl<'a> Field<'a> {
    fn read(message: &'a [u8]) -> Result<(Self, &'a [u8]), Malformed> {
        let (key, rest) = varint(message)?;
        let number = key >> 3;
        if number == 0 || number > 536_870_911 {
            return Err(Malformed::Unexpected);
        }
        let fixed64 = key & 7 == 1;
        let plain = |varint, rest| Ok((Self { number, bytes: None, varint, fixed64 }, rest));
        let skip = |n: usize| rest.get(n..).ok_or(Malformed::Truncated);
        match key & 7 {
            0 => varint(rest).and_then(|(value, rest)| plain(value, rest)),
            1 => plain(0, skip(8)?),
            5 => plain(0, skip(4)?),
            2 => {
                let (length, rest) = varint(rest)?;
                let length = usize::try_from(length).map_err(|_| Malformed::Truncated)?;
                let (bytes, rest) = rest.split_at_checked(length).ok_or(Malformed::Truncated)?;
                Ok((Self { number, bytes: Some(bytes), varint: 0, fixed64 }, rest))
            }
            _ => Err(Malformed::Unexpected),
        }
    }
}

fn varint(bytes: &[u8]) -> Result<(u64, &[u8]), Malformed> {
    let mut value = 0_u64;
    for (index, byte) in bytes.iter().enumerate().take(10) {
        value |= u64::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return Ok((value, &bytes[index + 1..]));
        }
    }
    Err(Malformed::Truncated)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    /// A length-delimited field.
    pub(super) fn nest(number: u8, inner: &[u8]) -> Vec<u8> {
        let mut out = Vec::from([number << 3 | 2]);
        let mut length = inner.len();
        while length > 0x7f {
            out.push((length & 0x7f) as u8 | 0x80);
            length >>= 7;
        }
        out.push(length as u8);
        out.extend(inner);
        out
    }

    fn request(records: usize) -> Vec<u8> {
        let record = nest(5, b"body");
        let scope: Vec<u8> = (0..records).flat_map(|_| nest(2, &record)).collect();
        nest(1, &[nest(1, b""), nest(2, &scope)].concat())
    }

    #[test]
    fn records_are_counted_and_requests_concatenate() {
        assert_eq!(count_records(&[]), Ok(0), "an empty request is a request");
        assert_eq!(count_records(&request(3)), Ok(3));
        assert_eq!(count_records(&[request(3), request(200)].concat()), Ok(203));
    }

    #[test]
    fn what_is_not_otlp_is_told() {
        let good = request(5);
        for cut in 1..good.len() {
            assert!(count_records(&good[..cut]).is_err(), "cut at {cut}");
        }
        for bad in [&b"{\"resourceLogs\":[]}"[..], b"hello", b"\x00", b"\x0a", b"\xff\xff\xff"] {
            assert!(count_records(bad).is_err(), "{bad:?}");
        }
        assert_eq!(count_records(&nest(2, b"")), Err(Malformed::Unexpected));
        let huge = [0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
        assert_eq!(count_records(&huge), Err(Malformed::Truncated));
    }

    #[test]
    fn deep_nesting_costs_no_stack() {
        let mut bomb = Vec::new();
        for _ in 0..2_000 {
            bomb = nest(1, &bomb);
        }
        assert!(count_records(&bomb).is_ok());
    }

    #[test]
    fn partial_success_is_counted() {
        let partial = nest(1, &[&[0x08, 0x05][..], &nest(2, b"too old")].concat());
        assert_eq!(rejected_count(&partial), 5);
        assert_eq!(rejected_count(b""), 0);
        assert_eq!(rejected_count(b"garbage"), 0);
    }
}
