//! JSON and text from programs without an SDK of their own, and whoever would rather not wait.

use signpost::ports::{Answer, Call};
use signpost::shell::sockets::Limits;
use signpost_core::otlp::count_records;

use crate::intake::{PROTOBUF, export, gzip, open};
use crate::stage::Stage;

const JSON: &str = "content-type: application/json\r\n";
const LOGS: &str = r#"{"resourceLogs":[{"scopeLogs":[{"logRecords":[
    {"timeUnixNano":"1773529200000000000","body":{"stringValue":"valve opened"}},{}]}]}]}"#;

#[tokio::test]
async fn otlp_in_json_is_stored_in_protobuf_and_answered_in_json() {
    let (stage, taken) = open(Limits::default());
    let zipped = format!("{JSON}content-encoding: gzip\r\n");
    let charset = "Content-Type: Application/JSON; charset=utf-8\r\n";
    for (headers, body) in [
        (JSON, LOGS.as_bytes().to_vec()),
        (&zipped, gzip(LOGS.as_bytes())),
        (charset, LOGS.as_bytes().to_vec()),
    ] {
        let reply = stage.post("/v1/logs", headers, &body).await;
        assert_eq!((reply.status, &reply.body[..]), (200, &b"{}"[..]));
        assert_eq!(reply.header("content-type"), Some("application/json"));
    }
    let metrics = r#"{"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"name":"x"}]}]}]}"#;
    let spans = r#"{"resourceSpans":[{"scopeSpans":[{"spans":[{"name":"x"}]}]}]}"#;
    assert_eq!(stage.post("/v1/metrics", JSON, metrics.as_bytes()).await.status, 200);
    assert_eq!(stage.post("/v1/traces", JSON, spans.as_bytes()).await.status, 200);
    assert_eq!(stage.post("/v1/logs", JSON, b"{}").await.status, 200);
    let taken = taken.lock().unwrap();
    let names: Vec<_> = taken.iter().map(|(name, _)| *name).collect();
    assert_eq!(names, ["logs", "logs", "logs", "metrics", "traces"]);
    assert!(taken[..3].iter().all(|(_, body)| count_records(body) == Ok(2)));
    assert!(taken[0].1.windows(12).any(|it| it == b"valve opened"));
}

#[tokio::test]
async fn json_that_does_not_belong_is_refused_with_its_place() {
    let (stage, taken) = open(Limits::default());
    let misplaced = r#"{"resourceSpans":[]}"#;
    let bomb = format!(
        r#"{{"resourceLogs":[{{"scopeLogs":[{{"logRecords":[{{"body":{}"#,
        r#"{"arrayValue":{"values":["#.repeat(50_000)
    );
    for (body, told) in [
        ("{\n \"resourceLogs\": 5}", "resourceLogs: not what belongs there: line 2, column 18"),
        (misplaced, "resourceSpans"),
        ("<!DOCTYPE html>", "line 1, column 1"),
        ("", "line 1, column 0"),
        (&LOGS[..LOGS.len() - 1], "no JSON that belongs here: line 2"),
        (&bomb, "line 1"),
    ] {
        let reply = stage.post("/v1/logs", JSON, body.as_bytes()).await;
        let json = reply.json();
        assert_eq!((reply.status, json["code"].as_u64()), (400, Some(3)), "{told}");
        assert!(json["message"].as_str().unwrap().contains(told), "{json}");
    }
    let secret = r#"{"resourceLogs":[{"scopeLogs":"geheim"}]}"#;
    let reply = stage.post("/v1/logs", JSON, secret.as_bytes()).await;
    assert!(!String::from_utf8_lossy(&reply.body).contains("geheim"));
    assert!(taken.lock().unwrap().is_empty());
}

#[tokio::test]
async fn lists_that_grow_have_room_and_a_limit() {
    let limits = Limits { inflated: 1 << 20, memory: 2 << 20, ..Limits::default() };
    let (stage, taken) = open(limits);
    // Two bytes each in JSON, eight in protobuf.
    let points = |count: usize| {
        let bounds = "1,".repeat(count);
        format!(
            r#"{{"resourceMetrics":[{{"scopeMetrics":[{{"metrics":[{{"histogram":{{"dataPoints":[
                {{"explicitBounds":[{bounds}1]}}]}}}}]}}]}}]}}"#
        )
    };
    assert_eq!(stage.post("/v1/metrics", JSON, points(50_000).as_bytes()).await.status, 200);
    assert_eq!(stage.post("/v1/metrics", JSON, points(200_000).as_bytes()).await.status, 413);
    assert_eq!(stage.post("/v1/metrics", JSON, points(50_000).as_bytes()).await.status, 200);
    let taken = taken.lock().unwrap();
    assert!(taken.len() == 2 && taken[0].1.len() > 400_000);
}

#[tokio::test]
async fn plain_json_and_text_become_logs_of_the_events_stream() {
    let (stage, taken) = open(Limits::default());
    let ndjson = "{\"message\":\"one\"}\n{\"message\":\"two\"}\n";
    let form = "content-type: application/x-www-form-urlencoded\r\n";
    let bodies = [
        (JSON, "{\"message\":\"door open\",\"level\":\"warn\"}", 1),
        (JSON, "[{},{}]", 2),
        ("content-type: application/x-ndjson\r\n", ndjson, 2),
        ("content-type: text/plain; charset=utf-8\r\n", "{one line\nanother\n", 2),
        // As curl and wget send it when nobody says what it is.
        (form, "{\n\"message\":\n\"one\"}", 1),
        (form, "just a line", 1),
        ("", "a=b&c=d", 1),
    ];
    for (headers, body, _) in bodies {
        let reply = stage.post("/v1/events", headers, body.as_bytes()).await;
        assert_eq!((reply.status, &reply.body[..]), (200, &b"{}"[..]), "{body}");
    }
    let zipped = format!("{form}content-encoding: gzip\r\n");
    let sent = stage.post("/v1/events?service=back%20up", &zipped, &gzip(ndjson.as_bytes())).await;
    assert_eq!(sent.status, 200);
    let taken = taken.lock().unwrap();
    for ((queue, body), (_, _, records)) in taken.iter().zip(bodies) {
        assert_eq!((*queue, count_records(body)), ("events", Ok(records)));
    }
    let last = String::from_utf8_lossy(&taken[bodies.len()].1).into_owned();
    assert!(last.contains("service.name") && last.contains("back up"), "{last}");
}

#[tokio::test]
async fn events_that_are_none_are_refused_whole() {
    let (stage, taken) = open(Limits::default());
    let reply = stage.post("/v1/events", JSON, b"{\"message\":\"good\"}\n{\"message\":").await;
    assert_eq!(reply.status, 400);
    assert!(reply.json()["message"].as_str().unwrap().contains("line 2"));
    for headers in [PROTOBUF, "content-type: application/xml\r\n", "content-type: text/html\r\n"] {
        let reply = stage.post("/v1/events", headers, b"{}").await;
        assert_eq!((reply.status, reply.json()["code"].as_u64()), (415, Some(12)));
    }
    assert_eq!(stage.post("/v1/events", "", b"\n \n").await.status, 200);
    assert!(taken.lock().unwrap().is_empty());
}

#[tokio::test]
async fn who_would_rather_not_wait_gets_no_promise() {
    let stage = Stage::set(|call| {
        matches!(call, Call::Accept { volatile: true, .. }).then_some(Answer::Done)
    });
    for prefer in ["respond-async", "wait=10, Respond-Async", "respond-async; x=y"] {
        let headers = format!("{PROTOBUF}prefer: {prefer}\r\n");
        let reply = stage.post("/v1/logs", &headers, &export(5)).await;
        assert_eq!((reply.status, reply.body.len()), (202, 0));
        assert_eq!(reply.header("preference-applied"), Some("respond-async"));
    }
    let headers = format!("{JSON}prefer: respond-async\r\n");
    let reply = stage.post("/v1/events", &headers, b"{}").await;
    assert_eq!((reply.status, &reply.body[..]), (202, &b"{}"[..]));

    let stage = Stage::set(|_| Some(Answer::TryLater(std::time::Duration::from_secs(5))));
    let reply = stage.post("/v1/logs", &headers.replace("json", "x-protobuf"), &export(5)).await;
    assert_eq!((reply.status, reply.header("preference-applied")), (503, None));
    let stage = Stage::set(|call| {
        matches!(call, Call::Accept { volatile: false, .. }).then_some(Answer::Done)
    });
    let headers = format!("{PROTOBUF}prefer: wait=5, return=minimal\r\n");
    assert_eq!(stage.post("/v1/logs", &headers, &export(5)).await.status, 200);
}
