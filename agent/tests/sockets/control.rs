//! The control socket, and metrics.

use std::time::Duration;

use signpost::ports::Answer;

use crate::stage::{
    CODE, Folder, NAME, Stage, answer_status, exchange, fault, get, online, status,
};
use signpost::shell::sockets::Limits;
use signpost::status::Status;
use tokio::net::UnixStream;

fn post(path: &str) -> String {
    format!(
        "POST {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
    )
}

#[tokio::test]
async fn the_owner_sees_the_whole_status() {
    let stage = Stage::set(|_| answer_status(&status("pairing")));
    let reply = stage.control(&get("/v1/status")).await;
    assert_eq!((reply.status, reply.header("cache-control")), (200, Some("no-store")));
    assert_eq!(reply.json()["pairing"]["user_code"], CODE);
    assert_eq!(stage.calls(), ["Status { private: true }"]);
}

#[tokio::test]
async fn what_people_ask_for_reaches_the_driver() {
    let stage = Stage::set(|_| Some(Answer::Done));
    for path in ["/v1/sign-in", "/v1/sign-out", "/v1/reset", "/v1/test-panels"] {
        assert_eq!(stage.control(&post(path)).await.status, 200);
    }
    assert_eq!(stage.calls(), ["SignIn", "SignOut", "Reset", "TestPanels"]);
}

#[tokio::test]
async fn what_cannot_be_done_now_is_said_with_a_time() {
    let mut answers =
        [Answer::NotSaved, Answer::TryLater(Duration::from_millis(2_100))].into_iter();
    let stage = Stage::set(move |_| answers.next());
    for after in ["30", "3"] {
        let reply = stage.control(&post("/v1/sign-out")).await;
        assert_eq!((reply.status, reply.header("retry-after")), (503, Some(after)));
        assert_eq!(reply.json()["error"], "temporarily_unavailable");
    }
}

#[tokio::test]
async fn a_driver_that_does_not_answer_is_not_waited_for_for_ever() {
    let limits = Limits { answer: Duration::from_millis(30), ..Limits::default() };
    let stage = Stage::within(limits, Folder::new(), |_| None);
    assert_eq!(stage.control(&get("/v1/status")).await.status, 503);
}

#[tokio::test]
async fn only_what_there_is_can_be_asked_for() {
    let stage = Stage::set(|_| None);
    for (path, allowed) in [("/v1/status", "GET"), ("/metrics", "GET")] {
        let reply = stage.control(&post(path)).await;
        assert_eq!((reply.status, reply.header("allow")), (405, Some(allowed)));
    }
    for path in ["/v1/sign-in", "/v1/sign-out", "/v1/reload"] {
        let reply = stage.control(&get(path)).await;
        assert_eq!((reply.status, reply.header("allow")), (405, Some("POST")));
    }
    for path in ["/", "/v1/token", "/v1/status/", "//v1/status", "/v1/logs"] {
        assert_eq!(stage.control(&get(path)).await.status, 404, "{path}");
    }
    assert_eq!(stage.calls(), [""; 0]);
}

#[tokio::test]
async fn metrics_name_state_and_faults_and_nobody() {
    let shown = Status { faults: vec![fault()], pairing: status("").pairing, ..online() };
    let stage = Stage::set(move |_| answer_status(&shown));
    let reply = stage.control(&get("/metrics")).await;
    let text = String::from_utf8(reply.body).unwrap();
    assert!(text.contains("signpost_state{state=\"online\"} 1\n"), "{text}");
    assert!(text.contains("signpost_fault{code=\"E02\",class=\"network\"} 1\n"), "{text}");
    assert!(text.contains("# TYPE signpost_dropped_records_total counter\n"), "{text}");
    assert!(text.contains("signpost_dropped_records_total{reason=\"over-quota\"} 0\n"), "{text}");
    assert!(!text.contains(CODE) && !text.contains(NAME) && !text.contains("anna"), "{text}");
    assert_eq!(stage.calls(), ["Status { private: false }"]);
}

#[tokio::test]
async fn metrics_tell_when_the_sign_in_ends_where_that_is_known() {
    for (end, told) in [(Some("2026-03-14T23:00:00Z"), true), (Some("soon"), false), (None, false)]
    {
        let mut shown = online();
        shown.grant.expires_at = end.map(Into::into);
        let stage = Stage::set(move |_| answer_status(&shown));
        let reply = stage.control(&get("/metrics")).await;
        let text = String::from_utf8(reply.body).unwrap();
        let line = "\nsignpost_grant_expires_timestamp_seconds 1773529200\n";
        assert_eq!(text.contains(line), told, "{text}");
        assert_eq!(text.contains("grant_expires"), told);
    }
}

#[tokio::test]
async fn metrics_can_have_a_socket_of_their_own() {
    let folder = Folder::new();
    let at = folder.path("metrics.sock");
    let folder = Folder::with(&format!("[metrics]\nlisten = \"unix:{}\"\n", at.display()));
    let stage = Stage::within(Limits::default(), folder, |_| answer_status(&online()));
    let ask = async |path| {
        exchange(UnixStream::connect(&at).await.unwrap(), get(path).as_bytes()).await.status
    };
    assert_eq!((ask("/metrics").await, ask("/v1/status").await), (200, 404));
    drop(stage);
}

#[tokio::test]
async fn check_says_of_each_thing_how_it_stands() {
    let shown = Status { faults: vec![fault()], ..online() };
    let stage = Stage::set(move |_| answer_status(&shown));
    let probes = stage.control(&get("/v1/check")).await.json()["probes"].clone();
    let of = |name: &str| {
        probes.as_array().unwrap().iter().find(|it| it["name"] == name).unwrap().clone()
    };
    assert_eq!(of("clock")["result"], "ok");
    assert_eq!(of("telemetry")["result"], "ok");
    let issuer = of("issuer");
    assert_eq!(
        (&issuer["result"], &issuer["detail"]),
        (&"failed".into(), &"E02 No network: idp.example has no address".into())
    );
    assert_eq!(issuer["advice"], "Check cable or WiFi.");
}
