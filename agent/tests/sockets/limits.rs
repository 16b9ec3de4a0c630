//! Clients that are silent, slow, many or confused harm nobody but themselves.

use std::time::Duration;

use signpost::ports::Answer;
use signpost::shell::sockets::Limits;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;

use crate::stage::{Folder, SOON, Stage, answer_status, exchange, get, online, parse, read_reply};

const BRIEF: Duration = Duration::from_millis(40);

async fn ends(stream: &mut (impl tokio::io::AsyncRead + Unpin)) -> Vec<u8> {
    let mut rest = Vec::new();
    let _ = timeout(SOON, stream.read_to_end(&mut rest)).await.expect("the connection ends");
    rest
}

#[tokio::test]
async fn a_client_that_sends_nothing_or_half_a_header_is_closed() {
    let limits = Limits { header: BRIEF, ..Limits::default() };
    let stage = Stage::within(limits, Folder::new(), |_| answer_status(&online()));
    for socket in ["control.sock", "token.sock", "otlp.sock"] {
        for sent in [&b""[..], b"GET /v1/st", b"GET / HTTP/1.1\r\nhost: localhost\r\n"] {
            let mut stream = UnixStream::connect(stage.folder.path(socket)).await.unwrap();
            stream.write_all(sent).await.unwrap();
            assert!(!ends(&mut stream).await.starts_with(b"HTTP/1.1 200"));
        }
    }
    assert_eq!(stage.control(&get("/v1/status")).await.status, 200);
}

#[tokio::test]
async fn an_idle_connection_is_closed() {
    let limits = Limits { header: BRIEF, ..Limits::default() };
    let stage = Stage::within(limits, Folder::new(), |_| answer_status(&online()));
    let mut stream = UnixStream::connect(stage.folder.path("control.sock")).await.unwrap();
    stream.write_all(b"GET /v1/status HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    assert_eq!(parse(&ends(&mut stream).await).unwrap().status, 200);
}

#[tokio::test]
async fn of_a_thousand_connections_only_the_latest_stay() {
    let limits = Limits { connections: 8, ..Limits::default() };
    let stage = Stage::within(limits, Folder::new(), |_| answer_status(&online()));
    let mut idle = Vec::new();
    for _ in 0..1_000 {
        idle.push(TcpStream::connect(stage.intake).await.unwrap());
    }
    // Whoever has something to say has a place.
    let reply = exchange(stage.tcp().await, get("/v1/logs").as_bytes()).await;
    assert_eq!(reply.status, 405);
    for stream in &mut idle[..900] {
        assert_eq!(ends(stream).await, b"");
    }
    let open = idle[900..].iter().filter(|it| it.try_read(&mut [0]).is_err()).count();
    assert!(open <= 8, "{open} of 1000 are still open");
}

#[tokio::test]
async fn when_all_are_busy_the_next_is_told_to_come_again() {
    let limits = Limits { connections: 2, ..Limits::default() };
    let mut stage = Stage::within(limits, Folder::new(), |_| None);
    let path = stage.folder.path("control.sock");
    let mut busy = Vec::new();
    for _ in 0..2 {
        let mut stream = UnixStream::connect(&path).await.unwrap();
        stream.write_all(get("/v1/status").as_bytes()).await.unwrap();
        busy.push(stream);
    }
    stage.asked_times(2).await;
    let reply = read_reply(&mut UnixStream::connect(&path).await.unwrap()).await;
    assert_eq!((reply.status, reply.header("retry-after")), (503, Some("1")));
    stage.release(|| Answer::Status(Box::new(online())));
    for stream in &mut busy {
        assert_eq!(read_reply(stream).await.status, 200, "the busy ones were left in peace");
    }
}

#[tokio::test]
async fn headers_have_a_limit() {
    let stage = Stage::set(|_| answer_status(&online()));
    let long = format!("GET /v1/status HTTP/1.1\r\nx: {}\r\n\r\n", "y".repeat(40_000));
    let many = format!("GET /v1/status HTTP/1.1\r\n{}\r\n", "x: y\r\n".repeat(200));
    for request in [&long, &many] {
        assert_eq!(stage.control(request).await.status, 431);
    }
    for garbage in ["\r\n\r\n\0\u{1}\r\n\r\n", "SSH-2.0-OpenSSH_9\r\n\r\n", "GET\r\n\r\n"] {
        assert_eq!(stage.control(garbage).await.status, 400);
    }
    assert_eq!(stage.calls(), [""; 0]);
}

#[tokio::test]
async fn a_connection_does_not_last_for_ever() {
    let limits = Limits { connection: BRIEF, ..Limits::default() };
    let stage = Stage::within(limits, Folder::new(), |_| None);
    let mut stream = stage.tcp().await;
    assert_eq!(ends(&mut stream).await, b"");
}

#[tokio::test]
async fn whoever_leaves_no_longer_waits() {
    let mut stage = Stage::set(|_| None);
    let mut stream = UnixStream::connect(stage.folder.path("token.sock")).await.unwrap();
    stream.write_all(get("/v1/token").as_bytes()).await.unwrap();
    stage.asked_times(1).await;
    drop(stream);
    timeout(SOON, stage.withdrawn()).await.unwrap();
}

#[tokio::test]
async fn a_stop_finishes_what_is_under_way_and_ends_the_rest() {
    let mut stage = Stage::set(|_| None);
    let path = stage.folder.path("control.sock");
    let mut idle = UnixStream::connect(&path).await.unwrap();
    let mut busy = UnixStream::connect(&path).await.unwrap();
    // Without `connection: close`: the server has to end it.
    busy.write_all(b"GET /v1/status HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    stage.asked_times(1).await;

    stage.stop();
    assert_eq!(ends(&mut idle).await, b"");
    assert!(UnixStream::connect(&path).await.is_err(), "nobody is let in any more");
    stage.release(|| Answer::Status(Box::new(online())));
    assert_eq!(parse(&ends(&mut busy).await).unwrap().status, 200);
    timeout(SOON, &mut stage.serving).await.unwrap().unwrap();
    for name in ["control.sock", "token.sock", "otlp.sock"] {
        assert!(!stage.folder.path(name).exists(), "{name} is left behind");
    }
}
