//! OTLP from local programs: what is taken in, and what is turned away before it costs anything.

use std::io::Write as _;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use signpost::ports::{Answer, Call};
use signpost::shell::sockets::Limits;
use tokio::io::AsyncWriteExt as _;
use tokio::net::UnixStream;

use crate::stage::{Folder, Reply, Stage, exchange, get, post, read_reply};

pub(crate) const PROTOBUF: &str = "content-type: application/x-protobuf\r\n";
const GZIP: &str = "content-type: application/x-protobuf\r\ncontent-encoding: gzip\r\n";

/// A length-delimited field.
pub(crate) fn nest(number: u8, inner: &[u8]) -> Vec<u8> {
    let mut out = vec![number << 3 | 2];
    let mut length = inner.len();
    while length > 0x7f {
        out.push((length & 0x7f) as u8 | 0x80);
        length >>= 7;
    }
    out.push(length as u8);
    out.extend(inner);
    out
}

/// An export request with a record of `size` bytes.
pub(crate) fn export(size: usize) -> Vec<u8> {
    nest(1, &nest(2, &nest(2, &nest(5, &vec![b'x'; size]))))
}

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// `google.rpc.Status.code`, in a reply in protobuf.
pub(crate) fn rpc_code(reply: &Reply) -> u8 {
    assert_eq!(reply.header("content-type"), Some("application/x-protobuf"));
    assert_eq!((reply.body[0], reply.body[2]), (0x08, 0x12));
    assert_eq!(usize::from(reply.body[3]), reply.body.len() - 4);
    reply.body[1]
}

pub(crate) type Taken = Arc<Mutex<Vec<(&'static str, Vec<u8>)>>>;

/// A stage that takes everything in, and what it took in.
pub(crate) fn open(limits: Limits) -> (Stage, Taken) {
    let taken = Taken::default();
    let log = Arc::clone(&taken);
    let stage = Stage::within(limits, Folder::new(), move |call| {
        if let Call::Accept { signal, events, body, .. } = call {
            let queue = if *events { "events" } else { signal.name() };
            log.lock().unwrap().push((queue, body.clone()));
        }
        Some(Answer::Done)
    });
    (stage, taken)
}

#[tokio::test]
async fn what_is_durable_is_acknowledged_with_an_empty_response() {
    let (stage, taken) = open(Limits::default());
    let body = export(300);
    for signal in ["logs", "metrics", "traces"] {
        let reply = stage.post(&format!("/v1/{signal}"), PROTOBUF, &body).await;
        assert_eq!((reply.status, reply.body.len()), (200, 0));
        assert_eq!(reply.header("content-type"), Some("application/x-protobuf"));
    }
    let expected = ["logs", "metrics", "traces"].map(|signal| (signal, body.clone()));
    assert_eq!(*taken.lock().unwrap(), expected);
}

#[tokio::test]
async fn nothing_is_acknowledged_before_it_is_durable() {
    let mut stage = Stage::set(|_| None);
    let mut stream = stage.tcp().await;
    stream.write_all(&post("/v1/logs", PROTOBUF, &export(10))).await.unwrap();
    stage.asked_times(1).await;
    assert!(stream.try_read(&mut [0; 1]).is_err(), "answered before the driver did");
    stage.release(|| Answer::Done);
    assert_eq!(read_reply(&mut stream).await.status, 200);
}

#[tokio::test]
async fn compressed_chunked_or_by_unix_socket_it_is_the_same() {
    let (stage, taken) = open(Limits::default());
    let (body, more) = (export(200_000), export(7));
    let members = [gzip(&body), gzip(&more)].concat();
    for compressed in [gzip(&body), members] {
        let reply = stage.post("/v1/logs", GZIP, &compressed).await;
        assert_eq!(reply.status, 200, "{reply:?}");
    }
    let chunked = format!(
        "POST /v1/logs HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n{PROTOBUF}\
         transfer-encoding: chunked\r\n\r\n{:x}\r\n",
        more.len()
    );
    let chunked = [chunked.as_bytes(), &more, b"\r\n0\r\n\r\n"].concat();
    assert_eq!(exchange(stage.tcp().await, &chunked).await.status, 200);
    let unix = UnixStream::connect(stage.folder.path("otlp.sock")).await.unwrap();
    assert_eq!(exchange(unix, &post("/v1/logs", PROTOBUF, &more)).await.status, 200);
    let both = [body.clone(), more.clone()].concat();
    let expected = [body, both, more.clone(), more].map(|body| ("logs", body));
    assert_eq!(*taken.lock().unwrap(), expected);
}

#[tokio::test]
async fn nothing_to_store_is_stored_nowhere() {
    let (stage, taken) = open(Limits::default());
    assert_eq!(stage.post("/v1/logs", PROTOBUF, b"").await.status, 200);
    assert_eq!(stage.post("/v1/logs", GZIP, &gzip(b"")).await.status, 200);
    assert_eq!(stage.post("/v1/logs", PROTOBUF, &nest(1, b"")).await.status, 200);
    assert!(taken.lock().unwrap().is_empty());
}

#[tokio::test]
async fn bodies_that_are_not_otlp_are_refused_for_good() {
    let (stage, taken) = open(Limits::default());
    let (good, page) = (export(300), b"<!DOCTYPE html><html></html>");
    let mut bodies: Vec<Vec<u8>> =
        [&b"{\"resourceLogs\":[]}"[..], b"hello", b"\0", b"\xff\xff\xff\xff", page, &nest(2, b"")]
            .map(<[u8]>::to_vec)
            .into();
    bodies.push(good[..good.len() - 1].to_vec());
    bodies.push([&good[..], b"!"].concat());
    for body in bodies {
        for (headers, sent) in [(PROTOBUF, body.clone()), (GZIP, gzip(&body))] {
            let reply = stage.post("/v1/logs", headers, &sent).await;
            assert_eq!((reply.status, rpc_code(&reply)), (400, 3), "{body:?}");
        }
    }
    assert!(taken.lock().unwrap().is_empty());
}

#[tokio::test]
async fn gzip_that_is_not_whole_is_refused() {
    let (stage, taken) = open(Limits::default());
    let whole = gzip(&export(2_000));
    let mut wrong_sum = whole.clone();
    let at = wrong_sum.len() - 6;
    wrong_sum[at] ^= 1;
    let mut bodies = vec![wrong_sum, export(50), [&whole[..], b"and more"].concat()];
    bodies.extend([1, 9, 12, whole.len() / 2, whole.len() - 1].map(|cut| whole[..cut].to_vec()));
    for body in bodies {
        let reply = stage.post("/v1/logs", GZIP, &body).await;
        assert_eq!((reply.status, rpc_code(&reply)), (400, 3), "{} bytes", body.len());
    }
    assert!(taken.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_bomb_costs_its_limit_and_no_more() {
    let limits = Limits { inflated: 1 << 20, memory: 1 << 20, ..Limits::default() };
    let (stage, taken) = open(limits);
    let bomb = gzip(&vec![0; 32 << 20]);
    assert!(bomb.len() < 4 << 20, "{} bytes reach the decoder", bomb.len());
    assert_eq!(stage.post("/v1/logs", GZIP, &bomb).await.status, 413);
    // All the memory is there again.
    let most = export((1 << 20) - 64);
    assert_eq!(stage.post("/v1/logs", GZIP, &gzip(&most)).await.status, 200);
    assert_eq!(taken.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn bodies_that_are_too_large_are_refused_unread() {
    let (stage, taken) = open(Limits { received: 10_000, ..Limits::default() });
    let reply = stage.post("/v1/logs", PROTOBUF, &export(20_000)).await;
    assert_eq!((reply.status, rpc_code(&reply)), (413, 3));
    // Announced only: nothing of it was sent.
    let head = format!(
        "POST /v1/logs HTTP/1.1\r\nhost: localhost\r\n{PROTOBUF}content-length: 9999999\r\n\r\n"
    );
    assert_eq!(exchange(stage.tcp().await, head.as_bytes()).await.status, 413);
    // Never announced.
    let chunk = [b"1000\r\n".as_slice(), &[0x0a; 0x1000], b"\r\n"].concat();
    let head = format!(
        "POST /v1/logs HTTP/1.1\r\nhost: localhost\r\n{PROTOBUF}transfer-encoding: chunked\r\n\r\n"
    );
    let request = [head.as_bytes(), &chunk, &chunk, &chunk].concat();
    assert_eq!(exchange(stage.tcp().await, &request).await.status, 413);
    assert!(taken.lock().unwrap().is_empty());
}

#[tokio::test]
async fn other_types_are_refused_with_what_to_set() {
    let (stage, taken) = open(Limits::default());
    let body = export(5);
    for headers in ["", "content-type: text/plain\r\n", "content-type: application/protobuf\r\n"] {
        let reply = stage.post("/v1/logs", headers, &body).await;
        assert_eq!((reply.status, rpc_code(&reply)), (415, 12), "{headers}");
    }
    for encoding in ["zstd", "gzip, gzip", "br"] {
        let headers = format!("{PROTOBUF}content-encoding: {encoding}\r\n");
        let reply = stage.post("/v1/logs", &headers, &body).await;
        assert_eq!((reply.status, reply.header("accept-encoding")), (415, Some("gzip")));
    }
    let headers = format!("{GZIP}content-encoding: gzip\r\n");
    assert_eq!(stage.post("/v1/logs", &headers, &body).await.status, 415);
    assert!(taken.lock().unwrap().is_empty());
    let same = "Content-Type: Application/X-Protobuf; v=1\r\nContent-Encoding: identity\r\n";
    assert_eq!(stage.post("/v1/logs", same, &body).await.status, 200);
}

#[tokio::test]
async fn pages_in_a_browser_get_nowhere() {
    let (stage, taken) = open(Limits::default());
    for header in
        ["origin: https://evil.example\r\n", "Origin: null\r\n", "sec-fetch-site: none\r\n"]
    {
        let reply = stage.post("/v1/logs", &format!("{PROTOBUF}{header}"), &export(5)).await;
        assert_eq!((reply.status, rpc_code(&reply)), (403, 7));
        assert_eq!(reply.header("access-control-allow-origin"), None);
    }
    let preflight = "OPTIONS /v1/logs HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\
        origin: https://evil.example\r\naccess-control-request-method: POST\r\n\r\n";
    assert_eq!(exchange(stage.tcp().await, preflight.as_bytes()).await.status, 403);
    assert!(taken.lock().unwrap().is_empty());
}

#[tokio::test]
async fn other_paths_and_methods_do_not_exist() {
    let (stage, _) = open(Limits::default());
    for path in ["/", "/v1/log", "/v1/logs/", "/v1/token", "/v1/status", "/metrics", "/v1/sign-out"]
    {
        assert_eq!(stage.post(path, PROTOBUF, &export(5)).await.status, 404, "{path}");
    }
    let reply = exchange(stage.tcp().await, get("/v1/logs").as_bytes()).await;
    assert_eq!((reply.status, reply.header("allow")), (405, Some("POST")));
}

#[tokio::test]
async fn what_is_not_stored_is_to_be_sent_again() {
    let answers = [
        (Answer::TryLater(Duration::from_secs(5)), "5"),
        (Answer::NotSaved, "30"),
        (Answer::SignInNeeded, "1"),
    ];
    for (answer, after) in answers {
        let mut answer = Some(answer);
        let stage = Stage::set(move |_| answer.take());
        let reply = stage.post("/v1/logs", PROTOBUF, &export(5)).await;
        assert_eq!((reply.status, rpc_code(&reply)), (503, 14));
        assert_eq!(reply.header("retry-after"), Some(after));
    }
}

#[tokio::test]
async fn a_body_that_does_not_come_is_not_waited_for() {
    let (stage, taken) = open(Limits { body: Duration::from_millis(40), ..Limits::default() });
    let request = post("/v1/logs", PROTOBUF, &export(500));
    let reply = exchange(stage.tcp().await, &request[..request.len() - 1]).await;
    assert_eq!((reply.status, rpc_code(&reply)), (408, 4));
    assert!(taken.lock().unwrap().is_empty());
}

#[tokio::test]
async fn half_a_body_is_no_body() {
    let (stage, taken) = open(Limits::default());
    let request = post("/v1/logs", PROTOBUF, &export(500));
    let mut stream = stage.tcp().await;
    stream.write_all(&request[..request.len() - 1]).await.unwrap();
    stream.shutdown().await.unwrap();
    let mut rest = Vec::new();
    let _ = tokio::io::AsyncReadExt::read_to_end(&mut stream, &mut rest).await;
    assert!(!rest.starts_with(b"HTTP/1.1 200"));
    assert!(taken.lock().unwrap().is_empty());
}

#[tokio::test]
async fn all_bodies_together_have_a_limit_that_no_client_can_leave_behind() {
    let limits = Limits { memory: 100_000, ..Limits::default() };
    let mut stage = Stage::within(limits, Folder::new(), |_| None);
    let mut waiting = stage.tcp().await;
    waiting.write_all(&post("/v1/logs", PROTOBUF, &export(60_000))).await.unwrap();
    stage.asked_times(1).await;

    let reply = stage.post("/v1/logs", PROTOBUF, &export(60_000)).await;
    assert_eq!((reply.status, reply.header("retry-after")), (503, Some("1")));
    // The client leaves; the store still has its bytes to deal with.
    drop(waiting);
    let reply = stage.post("/v1/logs", PROTOBUF, &export(60_000)).await;
    assert_eq!(reply.status, 503);
    stage.release(|| Answer::Done);

    let mut next = stage.tcp().await;
    next.write_all(&post("/v1/logs", PROTOBUF, &export(60_000))).await.unwrap();
    stage.asked_times(2).await;
    stage.release(|| Answer::Done);
    assert_eq!(read_reply(&mut next).await.status, 200);
}
