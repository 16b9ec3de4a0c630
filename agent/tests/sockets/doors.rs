//! Whoever comes to the telemetry door with something else in mind: each costs a bounded amount of
//! memory, time and stack, and everybody else is served meanwhile.

use std::time::Duration;

use signpost::ports::Answer;
use signpost::shell::sockets::Limits;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;

use crate::intake::{PROTOBUF, export, gzip, nest, open};
use crate::stage::{Folder, SOON, Stage, exchange, post, read_reply};

const JSON: &str = "content-type: application/json\r\n";

/// An honest program is served.
async fn serves(stage: &Stage) {
    assert_eq!(stage.post("/v1/logs", PROTOBUF, &export(5)).await.status, 200);
}

#[tokio::test]
async fn names_that_could_be_a_page_s_open_no_door() {
    let (stage, taken) = open(Limits::default());
    let body = export(5);
    let send = async |host: &str| {
        let request = String::from_utf8_lossy(&post("/v1/logs", PROTOBUF, &body)).into_owned();
        let request = request.replace("host: localhost\r\n", host);
        exchange(stage.tcp().await, request.as_bytes()).await.status
    };
    for host in
        ["evil.example", "evil.example:4318", "127.0.0.1.evil.example", "localhost.evil.example:80"]
    {
        assert_eq!(send(&format!("host: {host}\r\n")).await, 403, "{host}");
    }
    assert!(taken.lock().unwrap().is_empty());
    for host in ["127.0.0.1:4318", "[::1]:4318", "[::1]", "LocalHost:9", "localhost.", ""] {
        assert_eq!(send(&format!("host: {host}\r\n")).await, 200, "{host}");
    }
    // No browser gets to a Unix socket.
    let unix = UnixStream::connect(stage.folder.path("otlp.sock")).await.unwrap();
    let request = String::from_utf8_lossy(&post("/v1/logs", PROTOBUF, &body)).into_owned();
    let request = request.replace("host: localhost", "host: signpost");
    assert_eq!(exchange(unix, request.as_bytes()).await.status, 200);
}

#[tokio::test]
async fn pages_get_no_further_with_forms_and_events() {
    let (stage, taken) = open(Limits::default());
    for content_type in ["text/plain", "application/x-www-form-urlencoded", "application/json"] {
        for from in ["origin: http://127.0.0.1:4318", "origin: null", "sec-fetch-site: same-origin"]
        {
            let headers = format!("content-type: {content_type}\r\n{from}\r\n");
            assert_eq!(stage.post("/v1/events", &headers, b"{}").await.status, 403);
        }
    }
    assert!(taken.lock().unwrap().is_empty());
}

#[tokio::test]
async fn sixty_four_mebibytes_are_refused_before_they_are_taken_in() {
    let (stage, taken) = open(Limits::default());
    let chunk = [b"100000\r\n".as_slice(), &vec![b' '; 1 << 20], b"\r\n"].concat();
    for headers in [PROTOBUF, JSON] {
        for path in ["/v1/logs", "/v1/metrics"] {
            let head = format!(
                "POST {path} HTTP/1.1\r\nhost: localhost\r\n{headers}content-length: 67108864\r\n\r\n"
            );
            assert_eq!(exchange(stage.tcp().await, head.as_bytes()).await.status, 413);
        }
        let head = format!(
            "POST /v1/logs HTTP/1.1\r\nhost: localhost\r\n{headers}transfer-encoding: chunked\r\n\r\n"
        );
        let mut stream = stage.tcp().await;
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut sent = 0;
        while sent < 64 && stream.write_all(&chunk).await.is_ok() {
            sent += 1;
        }
        assert!(sent < 32, "{sent} MiB were taken off the wire");
    }
    serves(&stage).await;
    assert_eq!(taken.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn bombs_of_every_kind_cost_their_limit() {
    let limits = Limits { inflated: 1 << 20, memory: 2 << 20, ..Limits::default() };
    let (stage, taken) = open(limits);
    let zipped = |media: &str| format!("{media}content-encoding: gzip\r\n");
    let zeros = gzip(&vec![0; 48 << 20]);
    let spaces = gzip(&vec![b' '; 48 << 20]);
    assert_eq!(stage.post("/v1/logs", &zipped(PROTOBUF), &zeros).await.status, 413);
    assert_eq!(stage.post("/v1/logs", &zipped(JSON), &spaces).await.status, 413);
    assert_eq!(stage.post("/v1/events", &zipped(JSON), &spaces).await.status, 413);
    // A gzip within a gzip is no protobuf.
    let nested = gzip(&gzip(&export(100)));
    assert_eq!(stage.post("/v1/logs", &zipped(PROTOBUF), &nested).await.status, 400);
    // Levels within levels: of a message, of JSON, of an event.
    let mut deep = Vec::new();
    while deep.len() < 500_000 {
        deep = nest(1, &deep);
    }
    let deep = nest(1, &nest(2, &nest(2, &nest(5, &deep))));
    assert_eq!(stage.post("/v1/logs", PROTOBUF, &deep).await.status, 200, "the backend judges");
    let brackets = "[".repeat(500_000);
    let unknown = format!("{{\"unknown\":{brackets}");
    assert_eq!(stage.post("/v1/logs", JSON, unknown.as_bytes()).await.status, 400);
    assert_eq!(stage.post("/v1/events", JSON, unknown.as_bytes()).await.status, 400);
    assert_eq!(stage.post("/v1/events", JSON, brackets.as_bytes()).await.status, 400);
    // Lines that grow more than they may.
    let lines = "a\n".repeat(400_000);
    assert_eq!(stage.post("/v1/events", "", lines.as_bytes()).await.status, 413);
    assert_eq!(taken.lock().unwrap().len(), 1);
    serves(&stage).await;
}

#[tokio::test]
async fn slow_clients_hold_up_nobody_and_are_closed() {
    let limits = Limits {
        header: Duration::from_millis(300),
        body: Duration::from_millis(300),
        ..Limits::default()
    };
    let (stage, taken) = open(limits);
    let whole = post("/v1/logs", PROTOBUF, &export(400));
    let head = whole.windows(4).position(|it| it == b"\r\n\r\n").unwrap() + 4;
    // A byte now and then: in the header, in the body, in a body that is never as long as it says.
    let mut slow = Vec::new();
    for until in [3, head - 2, head + 1, whole.len() - 1] {
        let mut stream = stage.tcp().await;
        stream.write_all(&whole[..until]).await.unwrap();
        slow.push(stream);
    }
    for _ in 0..3 {
        for stream in &mut slow {
            let _ = stream.write_all(b"x").await;
        }
        serves(&stage).await;
    }
    for mut stream in slow {
        let mut rest = Vec::new();
        let _ = timeout(SOON, stream.read_to_end(&mut rest)).await.expect("it is closed");
    }
    assert!(taken.lock().unwrap().len() <= 4, "at most the one that came whole, and the honest");
}

#[tokio::test]
async fn a_thousand_open_requests_leave_room_for_the_next() {
    let limits = Limits { header: Duration::from_secs(5), ..Limits::default() };
    let (stage, _) = open(limits);
    let mut many = Vec::new();
    for index in 0..1_000 {
        let mut stream = TcpStream::connect(stage.intake).await.unwrap();
        // Half of them have begun to say something.
        if index % 2 == 0 {
            let _ = stream.write_all(b"POST /v1/logs HTTP/1.1\r\nhost: local").await;
        }
        many.push(stream);
        if index % 100 == 99 {
            serves(&stage).await;
        }
    }
    serves(&stage).await;
}

#[tokio::test]
async fn a_thousand_requests_at_once_are_all_answered() {
    let (stage, taken) = open(Limits::default());
    let mut asking = tokio::task::JoinSet::new();
    for _ in 0..1_000 {
        let address = stage.intake;
        asking.spawn(async move {
            let request = post("/v1/events", "", b"one of many");
            match TcpStream::connect(address).await {
                Ok(mut stream) => {
                    let _ = stream.write_all(&request).await;
                    let mut reply = Vec::new();
                    let _ = stream.read_to_end(&mut reply).await;
                    reply.starts_with(b"HTTP/1.1 200")
                }
                Err(_) => false,
            }
        });
    }
    let answers = timeout(SOON, asking.join_all()).await.expect("all end");
    let accepted = answers.into_iter().filter(|accepted| *accepted).count();
    assert!(accepted > 0);
    // What was acknowledged was taken in; who was turned away comes again.
    assert!(taken.lock().unwrap().len() >= accepted);
    serves(&stage).await;
}

#[tokio::test]
async fn a_client_that_never_reads_its_answers_costs_its_own_connection() {
    let limits = Limits { connection: Duration::from_millis(500), ..Limits::default() };
    let (stage, taken) = open(limits);
    let mut deaf = stage.tcp().await;
    let request = b"GET /v1/logs HTTP/1.1\r\nhost: localhost\r\n\r\n".repeat(100);
    // Until the answers that nobody reads fill both buffers, or the connection has had its time.
    let filled = timeout(SOON, async { while deaf.write_all(&request).await.is_ok() {} });
    filled.await.expect("the connection ends");
    serves(&stage).await;
    assert_eq!(taken.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn two_requests_in_one_are_told_apart_or_refused() {
    let (stage, taken) = open(Limits::default());
    let body = export(5);
    // What a proxy might read in two ways (RFC 9112, section 6.1).
    let both = format!(
        "POST /v1/logs HTTP/1.1\r\nhost: localhost\r\n{PROTOBUF}content-length: {}\r\n\
         transfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        body.len()
    );
    let twice = format!(
        "POST /v1/logs HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n{PROTOBUF}content-length: 5\r\n\
         content-length: 6\r\n\r\n123456"
    );
    for request in [both, twice] {
        let mut stream = stage.tcp().await;
        stream.write_all(request.as_bytes()).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut reply = Vec::new();
        let _ = timeout(SOON, stream.read_to_end(&mut reply)).await.expect("an end");
    }
    assert!(taken.lock().unwrap().is_empty());
    // One after the other on one connection is how every SDK sends.
    let one = post("/v1/logs", PROTOBUF, &body);
    let kept = String::from_utf8_lossy(&one).replace("connection: close\r\n", "");
    let kept = [kept.as_bytes(), &one].concat();
    let mut stream = stage.tcp().await;
    stream.write_all(&kept).await.unwrap();
    assert_eq!(read_reply(&mut stream).await.status, 200);
    assert_eq!(taken.lock().unwrap().len(), 2);
}

#[tokio::test]
async fn a_full_spool_is_never_acknowledged() {
    let stage = Stage::within(Limits::default(), Folder::new(), |_| {
        Some(Answer::TryLater(Duration::from_secs(7)))
    });
    for (path, headers, body) in
        [("/v1/logs", PROTOBUF, export(5)), ("/v1/events", "", b"x".to_vec())]
    {
        let reply = stage.post(path, headers, &body).await;
        assert_eq!((reply.status, reply.header("retry-after")), (503, Some("7")));
    }
}
