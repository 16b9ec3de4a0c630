use super::*;
use crate::otlp::count_records;

const NOW: u64 = 1_800_000_000_000_000_000;

fn request(body: &str) -> Result<Vec<u8>, Untranslated> {
    from_events(body.as_bytes(), Lines::Json, None, NOW, 1 << 20)
}

#[test]
fn every_shape_of_several_events_is_as_many_records() {
    for (body, records) in [
        ("", 0),
        ("{}", 1),
        (r#"{"a":1}"#, 1),
        (r#"[{"a":1},{"a":2}]"#, 2),
        ("{\"a\":1}\n{\"a\":2}\n\n{\"a\":3}\n", 3),
        ("{\n \"a\": 1\n}\r\n[{},{}]", 3),
        ("[]", 0),
    ] {
        assert_eq!(count_records(&request(body).unwrap()), Ok(records), "{body}");
    }
    let lines = from_events(b"one\r\n\n two\nthree", Lines::Text, None, NOW, 1 << 20).unwrap();
    assert_eq!(count_records(&lines), Ok(3));
}

#[test]
fn what_is_no_event_is_told_with_its_place() {
    for (body, line) in [
        ("{\"a\":1}\n{\"a\":", 2),
        ("hello", 1),
        ("\n\n5", 3),
        ("\"text\"", 1),
        ("[[{}]]", 1),
        ("[{}", 1),
        ("{\"a\":1}\n{a:1}\n", 2),
    ] {
        match request(body) {
            Err(Untranslated::Malformed { line: at, field: None, .. }) => {
                assert_eq!(at, line, "{body}");
            }
            other => panic!("{body}: {other:?}"),
        }
    }
}

#[test]
fn no_output_is_longer_than_it_may_be() {
    let body = "{\"key\":[1,{\"x\":true},\"text\"],\"message\":\"x\"}\n".repeat(10);
    let whole = request(&body).unwrap();
    for most in 0..whole.len() {
        let cut = from_events(body.as_bytes(), Lines::Json, Some("s"), NOW, most);
        assert_eq!(cut, Err(Untranslated::TooLarge), "{most}");
    }
    assert!(from_events(&[b'x'; 100], Lines::Text, None, NOW, 90).is_err());
}

#[test]
fn nesting_has_an_end() {
    let deep =
        |levels: usize| alloc::format!("{{\"a\":{}{}}}", "[".repeat(levels), "]".repeat(levels));
    assert!(request(&deep(100)).is_ok());
    assert!(request(&deep(100_000)).is_err());
}

#[test]
fn dates_are_read_in_all_their_forms() {
    let at = |text: &str| rfc3339_nanos(text);
    assert_eq!(at("1970-01-01T00:00:00Z"), Some(0));
    assert_eq!(at("2026-03-14T23:00:00.25Z"), Some(1_773_529_200_250_000_000));
    assert_eq!(at("2026-03-15 00:00:00,250+01:00"), Some(1_773_529_200_250_000_000));
    assert_eq!(at("2026-03-14T18:30:00-0430"), Some(1_773_529_200_000_000_000));
    for wrong in
        ["", "2026-03-14", "2026-03-14T23:00:00", "2026-13-14T23:00:00Z", "2026-03-14T23:00:00.Z"]
    {
        assert_eq!(at(wrong), None, "{wrong}");
    }
    assert_eq!(at("1969-12-31T23:59:59Z"), None);
    assert_eq!(at("9999-12-31T23:59:59Z"), None, "past what OTLP can say");
    for number in [1_773_529_200, 1_773_529_200_000, 1_773_529_200_000_000] {
        assert_eq!(nanos_of(number), Some(1_773_529_200_000_000_000));
    }
}
