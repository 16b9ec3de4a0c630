//! Export requests whose records have numbers, written and read without a decoder.

use signpost_core::otlp::Signal;

/// What stands before a record's number.
const MARK: &[u8] = b"no=";
/// Digits of a number.
const DIGITS: usize = 16;

/// Where a day of the year 2026 begins, in nanoseconds since the epoch.
const DAY: u64 = 1_790_000_000_000_000_000;

/// An export request with one log record, or one gauge, for each of `numbers`; a log record takes
/// about 200 bytes.
pub fn request(signal: Signal, numbers: impl Iterator<Item = u64>) -> Vec<u8> {
    let mut scope = nested(1, &nested(1, b"greenhouse"));
    for number in numbers {
        let record = match signal {
            Signal::Metrics => gauge(number),
            Signal::Logs | Signal::Traces => log(number),
        };
        scope.extend(nested(2, &record));
    }
    let name = attribute("service.name", "greenhouse");
    nested(1, &[nested(1, &nested(1, &name)), nested(2, &scope)].concat())
}

/// The numbers of the records in `body`, in their order.
pub fn numbers(body: &[u8]) -> Vec<u64> {
    let mut found = Vec::new();
    let mut rest = body;
    while let Some(at) = rest.windows(MARK.len()).position(|window| window == MARK) {
        rest = &rest[at + MARK.len()..];
        let digits = rest.get(..DIGITS).and_then(|digits| std::str::from_utf8(digits).ok());
        found.extend(digits.and_then(|digits| u64::from_str_radix(digits, 16).ok()));
    }
    found
}

/// What a program might say; what differs from one to the next is the number, the instant and five
/// readings.
fn log(number: u64) -> Vec<u8> {
    let draw = |salt: u64, below: u64| scatter(number ^ salt << 56) % below;
    let text = format!(
        "no={number:016x} valve {} opened for {} ms at {}.{:02} C, flow {}.{:03} l/min, tank at {} %, \
         pump idle, frost guard armed, lid and door shut, next watering as planned today",
        draw(1, 24),
        draw(2, 9_000),
        draw(3, 30),
        draw(4, 100),
        draw(5, 8),
        draw(6, 1_000),
        draw(7, 100),
    );
    let instant = DAY + number * 1_000_000 + draw(8, 1_000_000);
    let mut out = fixed64(1, instant);
    out.extend([2 << 3, 9]);
    out.extend(nested(3, b"INFO"));
    out.extend(nested(5, &nested(1, text.as_bytes())));
    out
}

fn gauge(number: u64) -> Vec<u8> {
    let instant = DAY + number * 1_000_000;
    let value = 20.0 + (scatter(number) % 1_000) as f64 / 100.0;
    let point = [fixed64(3, instant), fixed64(4, value.to_bits())].concat();
    let name = format!("valve.flow.no={number:016x}");
    [nested(1, name.as_bytes()), nested(5, &nested(1, &point))].concat()
}

/// The 64-bit finalizer of MurmurHash3: numbers that follow each other share nothing.
pub fn scatter(mut number: u64) -> u64 {
    number = (number ^ number >> 33).wrapping_mul(0xff51_afd7_ed55_8ccd);
    number = (number ^ number >> 33).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    number ^ number >> 33
}

fn attribute(key: &str, value: &str) -> Vec<u8> {
    [nested(1, key.as_bytes()), nested(2, &nested(1, value.as_bytes()))].concat()
}

fn fixed64(field: u8, value: u64) -> Vec<u8> {
    let mut out = vec![field << 3 | 1];
    out.extend(value.to_le_bytes());
    out
}

fn nested(field: u8, inner: &[u8]) -> Vec<u8> {
    let mut out = vec![field << 3 | 2];
    let mut length = inner.len();
    while length > 0x7f {
        out.push((length & 0x7f) as u8 | 0x80);
        length >>= 7;
    }
    out.push(length as u8);
    out.extend(inner);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use signpost_core::otlp::count_records;

    #[test]
    fn requests_are_otlp_and_their_numbers_come_back() {
        for signal in [Signal::Logs, Signal::Metrics] {
            let body = request(signal, 7..107);
            assert_eq!(count_records(&body), Ok(100));
            assert_eq!(numbers(&body), (7..107).collect::<Vec<_>>());
        }
        let each = request(Signal::Logs, 0..1_000).len() / 1_000;
        assert!((190..=210).contains(&each), "{each} bytes");
    }
}
