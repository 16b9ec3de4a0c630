//! The same JSON in other words: what senders may do, and some do.

use fastrand::Rng;
use serde_json::Value;

/// 64-bit integers, that the reference writes as strings.
const LONG: [&str; 10] = [
    "timeUnixNano",
    "observedTimeUnixNano",
    "startTimeUnixNano",
    "endTimeUnixNano",
    "intValue",
    "asInt",
    "count",
    "zeroCount",
    "bucketCounts",
    "sum",
];

/// `json` with names of the schema, numbers instead of strings, fields that nobody knows, nulls,
/// and white space, here and there.
pub(crate) fn other(json: &Value, rng: &mut Rng) -> String {
    let mut out = String::new();
    write(json, false, rng, &mut out);
    out
}

fn write(json: &Value, long: bool, rng: &mut Rng, out: &mut String) {
    let space = |rng: &mut Rng, out: &mut String| {
        if rng.u8(..6) == 0 {
            out.push_str(rng.choice([" ", "\n", "\t", "\r\n  "]).unwrap_or_default());
        }
    };
    match json {
        Value::Object(members) => {
            out.push('{');
            if rng.u8(..6) == 0 {
                out.push_str(
                    r#""notYetKnown":{"a":[1,{"b":null},"x\ud83d\ude00"]}, "other":null, "#,
                );
            }
            for (index, (key, value)) in members.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                space(rng, out);
                let key_as_written = if rng.bool() { snake(key) } else { key.clone() };
                out.push_str(&Value::from(key_as_written).to_string());
                space(rng, out);
                out.push(':');
                space(rng, out);
                write(value, LONG.contains(&key.as_str()), rng, out);
            }
            if members.is_empty() || out.ends_with(", ") {
                out.push_str(r#""nothing":[]"#);
            }
            out.push('}');
        }
        Value::Array(values) => {
            out.push('[');
            for (index, value) in values.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                space(rng, out);
                write(value, long, rng, out);
            }
            out.push(']');
        }
        Value::String(digits) if long && rng.bool() => out.push_str(digits),
        Value::Number(number) if rng.u8(..4) == 0 => {
            out.push_str(&format!("\"{number}\""));
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            out.push_str(&json.to_string());
        }
    }
}

fn snake(name: &str) -> String {
    let mut out = String::new();
    for letter in name.chars() {
        if letter.is_ascii_uppercase() {
            out.push('_');
        }
        out.push(letter.to_ascii_lowercase());
    }
    out
}
