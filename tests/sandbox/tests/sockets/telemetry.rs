//! The OTLP backend: who may send, what is kept, what is refused.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use opentelemetry_proto::tonic::collector::logs::v1::{
    ExportLogsServiceRequest, ExportLogsServiceResponse,
};
use prost::Message;
use serde_json::json;
use signpost_sandbox::{Encoding, Endpoint, Fault, Options, Sandbox, Signal, Violation};

use crate::device::{Device, logs, quick};

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(bytes).unwrap();
    gzip.finish().unwrap()
}

#[tokio::test]
async fn protobuf_gzip_and_zstd_are_read_and_answered_in_kind() {
    let sandbox = Sandbox::start(quick()).await.unwrap();
    let device = Device::at(&sandbox);
    let access = device.sign_in(&sandbox, "anna").await.text("access_token");
    let request: ExportLogsServiceRequest = serde_json::from_value(logs(&["one", "two"])).unwrap();
    let send = |body: Vec<u8>| {
        let request = device.telemetry("/v1/logs").bearer_auth(&access);
        request.header("content-type", "application/x-protobuf").body(body)
    };
    let plain = send(request.encode_to_vec()).send().await.unwrap();
    assert_eq!(plain.headers()["content-type"], "application/x-protobuf");
    let answer = ExportLogsServiceResponse::decode(plain.bytes().await.unwrap()).unwrap();
    assert_eq!(answer.partial_success, None);
    let packed = send(gzip(&request.encode_to_vec())).header("content-encoding", "gzip");
    assert_eq!(packed.send().await.unwrap().status(), 200);
    let packed = zstd::stream::encode_all(&request.encode_to_vec()[..], 1).unwrap();
    let packed = send(packed).header("content-encoding", "zstd");
    assert_eq!(packed.send().await.unwrap().status(), 200);

    let received = sandbox.received();
    for one in &received {
        assert_eq!((one.signal, one.encoding), (Signal::Logs, Encoding::Protobuf));
        assert_eq!(one.body, request.encode_to_vec());
        assert_eq!(one.wire_bytes.to_string(), one.header("content-length").unwrap());
        let texts: Vec<_> = one.records.iter().map(|record| record.text.as_str()).collect();
        assert_eq!(texts, ["one", "two"]);
    }
    assert_eq!((received[0].sequence, received[1].sequence), (1, 2));
    assert_eq!(sandbox.totals().logs, 6);
}

#[tokio::test]
async fn data_points_and_spans_become_records() {
    let sandbox = Sandbox::start(quick()).await.unwrap();
    let device = Device::at(&sandbox);
    let access = device.sign_in(&sandbox, "ben").await.text("access_token");
    let resource =
        json!({"attributes": [{"key": "device.id", "value": {"stringValue": "greenhouse-7"}}]});
    let point = |value| {
        json!({"asInt": value, "timeUnixNano": "1700000000000000000",
        "attributes": [{"key": "state", "value": {"stringValue": "used"}}]})
    };
    let metrics = json!({"resourceMetrics": [{"resource": resource, "scopeMetrics": [{"metrics": [
        {"name": "system.memory.usage", "unit": "By",
         "sum": {"dataPoints": [point("7"), point("8")], "aggregationTemporality": 2}},
    ]}]}]});
    let spans = json!({"resourceSpans": [{"resource": resource, "scopeSpans": [{"spans": [
        {"name": "water", "startTimeUnixNano": "1000000000", "endTimeUnixNano": "3500000000",
         "traceId": "5b8efff798038103d269b633813fc60c", "spanId": "eee19b7ec3c1b174"},
    ]}]}]});
    assert_eq!(device.send("/v1/metrics", &access, &metrics).await.status, 200);
    assert_eq!(device.send("/v1/traces", &access, &spans).await.status, 200);

    let received = sandbox.received();
    let point = &received[0].records[1];
    assert_eq!((point.name.as_str(), point.value), ("system.memory.usage", Some(8.0)));
    assert_eq!((point.unit.as_str(), point.attributes["state"].as_str()), ("By", "used"));
    assert_eq!(point.resource["device.id"], "greenhouse-7");
    assert_eq!(point.time_unix_nano, 1_700_000_000_000_000_000);
    let span = &received[1].records[0];
    assert_eq!((span.name.as_str(), span.value), ("water", Some(2.5)));
    assert_eq!((sandbox.totals().metrics, sandbox.totals().traces), (2, 1));
}

#[tokio::test]
async fn only_a_good_token_for_this_server_and_scope_may_send() {
    let options = Options { resources: vec!["https://api.example".to_owned()], ..quick() };
    let sandbox = Sandbox::start(options).await.unwrap();
    let device = Device::at(&sandbox);
    let refused = async |token: &str| {
        let request = device.telemetry("/v1/logs").bearer_auth(token);
        let request = request.header("content-type", "application/json");
        let response = request.body(logs(&["x"]).to_string()).send().await.unwrap();
        let challenge = response.headers()["www-authenticate"].to_str().unwrap().to_owned();
        (response.status().as_u16(), challenge)
    };
    let none = device.telemetry("/v1/logs").send().await.unwrap();
    assert_eq!(none.status(), 401);
    assert_eq!(none.headers()["www-authenticate"], "Bearer realm=\"sandbox\"");

    let good = device.sign_in(&sandbox, "anna").await.text("access_token");
    let (status, challenge) = refused("nonsense").await;
    assert!(status == 401 && challenge.contains("invalid_token"), "{challenge}");
    let (front, signature) = good.rsplit_once('.').unwrap();
    let flipped = if signature.starts_with('A') { "B" } else { "A" };
    assert_eq!(refused(&format!("{front}.{flipped}{}", &signature[1..])).await.0, 401);
    // An id_token is signed by the same key and is no access token.
    let id_token = device.sign_in(&sandbox, "anna").await.text("id_token");
    assert_eq!(refused(&id_token).await.0, 401);

    let sign_in = async |scope, resource: &str| {
        let fields = [("client_id", "signpost"), ("scope", scope), ("resource", resource)];
        let begun = device.ask("/device_authorization", &fields).await;
        sandbox.approve(&begun.text("user_code"), "anna").unwrap();
        device.poll(&begun.text("device_code")).await.text("access_token")
    };
    let token = sign_in("openid", sandbox.telemetry_url()).await;
    let (status, challenge) = refused(&token).await;
    assert!(status == 403 && challenge.contains("scope=\"telemetry.write\""), "{challenge}");
    assert_eq!(sandbox.violations(), []);
    let token = sign_in("telemetry.write", "https://api.example").await;
    assert_eq!(refused(&token).await.0, 401);
    let endpoint = Endpoint::Logs;
    assert_eq!(sandbox.violations(), [Violation::WrongAudience { endpoint }]);

    sandbox.revoke_access_tokens("anna");
    assert_eq!(refused(&good).await.0, 401);
    assert!(sandbox.received().is_empty());
}

#[tokio::test]
async fn a_repeated_idempotency_key_is_stored_once() {
    let sandbox = Sandbox::start(quick()).await.unwrap();
    let device = Device::at(&sandbox);
    let anna = device.sign_in(&sandbox, "anna").await.text("access_token");
    let ben = device.sign_in(&sandbox, "ben").await.text("access_token");
    let send = async |token: &str, key: &'static str, text| {
        let request = device.telemetry("/v1/logs").bearer_auth(token);
        let request = request.header("content-type", "application/json");
        let request = request.header("idempotency-key", key).body(logs(&[text]).to_string());
        request.send().await.unwrap().status().as_u16()
    };
    assert_eq!(send(&anna, "store-1", "a").await, 200);
    assert_eq!(send(&anna, "store-1", "a").await, 200);
    assert_eq!(send(&anna, "store-2", "a").await, 200);
    assert_eq!(send(&ben, "store-1", "b").await, 200);
    assert_eq!((sandbox.received().len(), sandbox.totals().duplicates), (3, 1));
    assert_eq!(sandbox.received()[0].idempotency_key(), Some("store-1"));
    assert_eq!(sandbox.received()[0].header("authorization"), None);
    assert_eq!(sandbox.violations(), []);
    assert_eq!(send(&anna, "store-1", "other").await, 422);
    let endpoint = Endpoint::Logs;
    assert_eq!(sandbox.violations(), [Violation::ChangedUnderKey { endpoint }]);
}

#[tokio::test]
async fn what_is_not_otlp_is_refused_and_not_stored() {
    let sandbox = Sandbox::start(quick()).await.unwrap();
    let device = Device::at(&sandbox);
    let access = device.sign_in(&sandbox, "anna").await.text("access_token");
    let send = async |mime: &str, coding: &str, body: Vec<u8>| {
        let request = device.telemetry("/v1/metrics").bearer_auth(&access);
        let request = request.header("content-type", mime).header("content-encoding", coding);
        request.body(body).send().await.unwrap().status().as_u16()
    };
    let protobuf = "application/x-protobuf";
    assert_eq!(send("text/plain", "identity", b"x".to_vec()).await, 415);
    assert_eq!(send(protobuf, "br", b"x".to_vec()).await, 415);
    assert_eq!(send(protobuf, "identity", b"\x0a\xff".to_vec()).await, 400);
    assert_eq!(send("application/json", "identity", b"{".to_vec()).await, 400);
    assert_eq!(send(protobuf, "gzip", b"no gzip".to_vec()).await, 400);
    assert_eq!(send(protobuf, "gzip", gzip(&vec![0; 17 << 20])).await, 413);
    assert_eq!(send(protobuf, "zstd", b"no zstd".to_vec()).await, 400);
    let bomb = zstd::stream::encode_all(&vec![0; 17 << 20][..], 1).unwrap();
    assert_eq!(send(protobuf, "zstd", bomb).await, 413);
    assert_eq!(send(protobuf, "identity", vec![0; 17 << 20]).await, 413);
    assert!(sandbox.received().is_empty());
}

#[tokio::test]
async fn partial_success_says_how_many_were_rejected() {
    let sandbox = Sandbox::start(quick()).await.unwrap();
    let device = Device::at(&sandbox);
    let access = device.sign_in(&sandbox, "anna").await.text("access_token");
    sandbox.set_fault(Endpoint::Logs, Fault::PartialSuccess { rejected: 2 }, 1);
    let answer = device.send("/v1/logs", &access, &logs(&["a", "b", "c"])).await;
    // OTLP's JSON carries 64-bit numbers as strings; some servers send plain ones.
    let rejected = &answer.body["partialSuccess"]["rejectedLogRecords"];
    assert!(rejected == "2" || rejected == 2, "{}", answer.body);
}

#[tokio::test]
async fn memory_is_bounded_and_what_is_forgotten_is_counted() {
    let sandbox = Sandbox::start(Options { memory: 64 << 10, ..quick() }).await.unwrap();
    let device = Device::at(&sandbox);
    let access = device.sign_in(&sandbox, "anna").await.text("access_token");
    let text = "x".repeat(10_000);
    for _ in 0..20 {
        device.send("/v1/logs", &access, &logs(&[&text])).await;
    }
    let (kept, totals) = (sandbox.received(), sandbox.totals());
    assert_eq!(kept.len() as u64 + totals.forgotten, 20);
    assert!(kept.len() < 7 && kept.last().unwrap().sequence == 20);
}
