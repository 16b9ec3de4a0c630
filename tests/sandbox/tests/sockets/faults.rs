//! Each fault as a client sees it, and what it leaves behind.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use signpost_sandbox::{Endpoint, Fault, Options, RetryAfter, Sandbox, Service, Times, Violation};

use crate::device::{Device, logs, quick};

#[tokio::test]
async fn faults_come_in_their_order_and_go_away() {
    let sandbox = Sandbox::start(quick()).await.unwrap();
    let device = Device::at(&sandbox);
    let endpoint = Endpoint::DeviceAuthorization;
    sandbox.set_fault(endpoint, Fault::status(500), 2);
    sandbox.set_fault(endpoint, Fault::status(429), Times::Always);
    let mut seen = Vec::new();
    for _ in 0..4 {
        seen.push(device.begin().await.status);
    }
    sandbox.clear_faults(endpoint);
    seen.push(device.begin().await.status);
    assert_eq!(seen, [500, 500, 429, 429, 200]);
    assert_eq!(sandbox.count(endpoint), 5);
    assert_eq!(sandbox.arrivals(endpoint).len(), 5);
}

#[tokio::test]
async fn every_endpoint_can_fail() {
    let sandbox = Sandbox::start(quick()).await.unwrap();
    let device = Device::at(&sandbox);
    let tokens = device.sign_in(&sandbox, "anna").await;
    let access = tokens.text("access_token");
    for endpoint in Endpoint::ALL {
        sandbox.set_fault(endpoint, Fault::status(502), 1);
    }
    let revoked = [("client_id", "signpost"), ("token", "x")];
    let userinfo = format!("{}/userinfo", sandbox.issuer_url());
    let seen = [
        device.get("/.well-known/openid-configuration").await.unwrap().status().as_u16(),
        device.get("/jwks").await.unwrap().status().as_u16(),
        device.begin().await.status,
        device.poll("x").await.status,
        device.refresh("x").await.status,
        device.ask("/revoke", &revoked).await.status,
        device.http.get(userinfo).bearer_auth(&access).send().await.unwrap().status().as_u16(),
        device.send("/v1/logs", &access, &logs(&["x"])).await.status,
        device.send("/v1/metrics", &access, &json!({})).await.status,
        device.send("/v1/traces", &access, &json!({})).await.status,
    ];
    assert_eq!(seen, [502; 10]);
    assert!(sandbox.received().is_empty());
}

#[tokio::test]
async fn retry_after_comes_in_both_forms_and_binds() {
    let sandbox = Sandbox::start(quick()).await.unwrap();
    let device = Device::at(&sandbox);
    let wait = |retry_after| Fault::Status { status: 503, retry_after: Some(retry_after) };
    sandbox.set_fault(Endpoint::DeviceAuthorization, wait(RetryAfter::Seconds(30)), 1);
    sandbox.set_fault(Endpoint::DeviceAuthorization, wait(RetryAfter::Date(30)), 1);
    let fields = [("client_id", "signpost")];
    let header = async || {
        let response = device.post("/device_authorization", &fields).await.unwrap();
        response.headers()["retry-after"].to_str().unwrap().to_owned()
    };
    assert_eq!(header().await, "30");
    sandbox.advance(Duration::from_secs(10));
    let date = header().await;
    assert!(date.ends_with(" GMT") && date.len() == 29, "{date}");
    let violations = sandbox.violations();
    assert_eq!(violations.len(), 1);
    let Violation::BeforeRetryAfter { early_by, .. } = violations[0] else { panic!() };
    assert!(early_by > Duration::from_secs(10) && early_by < Duration::from_secs(20));
    sandbox.advance(Duration::from_secs(31));
    assert_eq!(device.begin().await.status, 200);
    assert_eq!(sandbox.violations().len(), 1);
}

#[tokio::test]
async fn bodies_that_are_no_json() {
    let sandbox = Sandbox::start(quick()).await.unwrap();
    let device = Device::at(&sandbox);
    let faults = [
        Fault::Garbage { status: 200 },
        Fault::Html { status: 200 },
        Fault::Html { status: 500 },
        Fault::Empty { status: 200 },
        Fault::Empty { status: 400 },
    ];
    for fault in faults {
        sandbox.set_fault(Endpoint::DeviceAuthorization, fault, 1);
    }
    let mut seen = Vec::new();
    for _ in 0..5 {
        let response = device.post("/device_authorization", &[]).await.unwrap();
        let mime = response.headers().get("content-type").map(|it| it.to_str().unwrap().to_owned());
        let status = response.status().as_u16();
        let body = response.bytes().await.unwrap();
        assert!(serde_json::from_slice::<Value>(&body).is_err());
        seen.push((status, mime.unwrap_or_default(), body.is_empty()));
    }
    let html = "text/html; charset=utf-8".to_owned();
    let json = "application/json".to_owned();
    let none = String::new();
    assert_eq!(
        seen,
        [
            (200, json, false),
            (200, html.clone(), false),
            (500, html, false),
            (200, none.clone(), true),
            (400, none, true)
        ]
    );
}

#[tokio::test]
async fn a_body_far_too_large() {
    let sandbox = Sandbox::start(quick()).await.unwrap();
    let device = Device::at(&sandbox);
    sandbox.set_fault(Endpoint::Discovery, Fault::Oversized { bytes: 1 << 20 }, 1);
    let body = device.get("/.well-known/openid-configuration").await.unwrap().bytes().await;
    let body = body.unwrap();
    assert_eq!(body.len(), 1 << 20);
    assert!(serde_json::from_slice::<Value>(&body).is_ok());
}

#[tokio::test]
async fn slow_and_late_answers_are_still_right() {
    let sandbox = Sandbox::start(quick()).await.unwrap();
    let device = Device::at(&sandbox);
    sandbox.set_fault(Endpoint::DeviceAuthorization, Fault::Slow { pause_ms: 1 }, 1);
    let begun = device.begin().await;
    assert!(begun.body["device_code"].is_string());
    assert!(sandbox.pending_codes().len() == 1);
    sandbox.set_fault(Endpoint::DeviceAuthorization, Fault::Delay { ms: 50 }, 1);
    let (begun, took) = timed(device.begin()).await;
    assert!(begun.body["device_code"].is_string() && took >= Duration::from_millis(50));
}

#[expect(clippy::disallowed_methods, reason = "real sockets, real time")]
async fn timed<T>(work: impl Future<Output = T>) -> (T, Duration) {
    let begun = Instant::now();
    (work.await, begun.elapsed())
}

#[tokio::test]
async fn a_hang_lasts_until_the_client_gives_up() {
    let sandbox = Sandbox::start(quick()).await.unwrap();
    let device = Device::at(&sandbox);
    sandbox.set_fault(Endpoint::DeviceAuthorization, Fault::Hang { processed: false }, 1);
    sandbox.set_fault(Endpoint::DeviceAuthorization, Fault::Hang { processed: true }, 1);
    for (arrived, pending) in [(1, 0), (2, 1)] {
        let reached = sandbox.wait_until(Duration::from_secs(5), |sandbox| {
            sandbox.count(Endpoint::DeviceAuthorization) == arrived
                && sandbox.pending_codes().len() == pending
        });
        tokio::select! {
            biased;
            reached = reached => assert!(reached),
            _ = device.begin() => panic!("answered"),
        }
    }
}

#[tokio::test]
async fn a_lost_reply_before_rotation_leaves_the_token_and_after_it_takes_it() {
    let sandbox = Sandbox::start(quick()).await.unwrap();
    let device = Device::at(&sandbox);
    let token = device.sign_in(&sandbox, "anna").await.text("refresh_token");
    let refresh = async |token: &str| device.post("/token", &device.refresh_fields(token)).await;

    sandbox.set_fault(Endpoint::TokenRefresh, Fault::Reset { processed: false }, 1);
    assert!(refresh(&token).await.is_err());
    let token = device.refresh(&token).await.text("refresh_token");
    assert_eq!(sandbox.violations(), []);

    sandbox.set_fault(Endpoint::TokenRefresh, Fault::Reset { processed: true }, 1);
    assert!(refresh(&token).await.is_err());
    assert_eq!(device.refresh(&token).await.error(), "invalid_grant");
    assert!(matches!(sandbox.violations()[..], [Violation::ReusedRefreshToken { .. }]));
}

#[tokio::test]
async fn a_reset_is_a_tcp_reset() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let sandbox = Sandbox::start(quick()).await.unwrap();
    sandbox.set_fault(Endpoint::Jwks, Fault::Reset { processed: true }, 1);
    let address = sandbox.issuer_url().strip_prefix("http://").unwrap();
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    stream.write_all(b"GET /jwks HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    let error = stream.read(&mut [0; 100]).await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn a_body_breaks_off_where_it_is_told_to() {
    let sandbox = Sandbox::start(quick()).await.unwrap();
    let device = Device::at(&sandbox);
    sandbox.set_fault(Endpoint::Jwks, Fault::Cut { bytes: 10 }, 1);
    let mut response = device.get("/jwks").await.unwrap();
    assert!(response.content_length().unwrap() > 10);
    assert_eq!(response.chunk().await.unwrap().unwrap().len(), 10);
    assert!(response.chunk().await.is_err());
}

#[tokio::test]
async fn whoever_follows_a_redirect_is_noticed() {
    let sandbox = Sandbox::start(quick()).await.unwrap();
    let device = Device::at(&sandbox);
    sandbox.set_fault(Endpoint::TokenPoll, Fault::Redirect { status: 307, location: None }, 1);
    let response = device.post("/token", &device.poll_fields("x")).await.unwrap();
    assert_eq!(response.status(), 307);
    assert_eq!(sandbox.violations(), []);
    let location = response.headers()["location"].to_str().unwrap().to_owned();
    device.post(&location, &device.poll_fields("x")).await.unwrap();
    assert_eq!(sandbox.violations(), [Violation::FollowedRedirect]);
}

#[tokio::test]
async fn discovery_can_name_somebody_else() {
    let sandbox = Sandbox::start(quick()).await.unwrap();
    let device = Device::at(&sandbox);
    sandbox.set_fault(Endpoint::Discovery, Fault::wrong_issuer(), 1);
    let found = device.get("/.well-known/openid-configuration").await.unwrap();
    let found: Value = serde_json::from_slice(&found.bytes().await.unwrap()).unwrap();
    assert_eq!(found["issuer"], "https://issuer.invalid");
    assert_eq!(found["jwks_uri"], format!("{}/jwks", sandbox.issuer_url()));
}

#[tokio::test]
async fn device_errors_come_with_any_status() {
    let sandbox = Sandbox::start(quick()).await.unwrap();
    let device = Device::at(&sandbox);
    let code = device.begin().await.text("device_code");
    for status in [200, 403, 428] {
        let error = "authorization_pending".to_owned();
        let fault = Fault::OauthError { status, error, description: None, interval: None };
        sandbox.set_fault(Endpoint::TokenPoll, fault, 1);
        let answer = device.poll(&code).await;
        assert_eq!(
            (answer.status, answer.body),
            (status, json!({"error": "authorization_pending"}))
        );
    }
    for error in ["access_denied", "expired_token", "invalid_grant"] {
        sandbox.set_fault(Endpoint::TokenPoll, Fault::oauth(error), 1);
        assert_eq!(device.poll(&code).await.error(), error);
    }
    assert_eq!(device.poll(&code).await.error(), "authorization_pending");
}

#[tokio::test]
async fn a_slow_down_by_fault_binds_the_client() {
    let sandbox = Sandbox::start(quick()).await.unwrap();
    let device = Device::at(&sandbox);
    let slow = |interval| Fault::OauthError {
        status: 400,
        error: "slow_down".to_owned(),
        description: None,
        interval,
    };
    let code = device.begin().await.text("device_code");
    sandbox.set_fault(Endpoint::TokenPoll, slow(None), 1);
    sandbox.set_fault(Endpoint::TokenPoll, slow(Some(20)), 1);
    device.poll(&code).await;
    sandbox.advance(Duration::from_secs(5));
    assert_eq!(device.poll(&code).await.body["interval"], 20);
    assert_eq!(sandbox.violations(), []);
    sandbox.advance(Duration::from_secs(10));
    device.poll(&code).await;
    assert!(matches!(sandbox.violations()[..], [Violation::EarlyPoll { .. }]));
}

#[tokio::test]
async fn answers_can_be_form_encoded_or_miss_or_bend_a_field() {
    let sandbox = Sandbox::start(quick()).await.unwrap();
    let device = Device::at(&sandbox);
    let tokens = device.sign_in(&sandbox, "anna").await;

    sandbox.set_fault(Endpoint::TokenRefresh, Fault::FormEncoded, 1);
    let token = tokens.text("refresh_token");
    let response = device.post("/token", &device.refresh_fields(&token)).await.unwrap();
    assert_eq!(response.headers()["content-type"], "application/x-www-form-urlencoded");
    let body = response.bytes().await.unwrap();
    let token = form_urlencoded::parse(&body).find(|(name, _)| name == "refresh_token").unwrap().1;

    sandbox.set_fault(Endpoint::TokenRefresh, Fault::with("refresh_token", Value::Null), 1);
    let without = Fault::without("refresh_token");
    let answer = device.refresh(&token).await;
    assert_eq!(answer.body["refresh_token"], Value::Null);
    assert!(answer.body["access_token"].is_string());

    let token = device.sign_in(&sandbox, "anna").await.text("refresh_token");
    sandbox.set_fault(Endpoint::TokenRefresh, without, 1);
    let answer = device.refresh(&token).await;
    assert!(!answer.body.as_object().unwrap().contains_key("refresh_token"));
}

#[tokio::test]
async fn overlapping_refreshes_of_one_grant_are_noticed() {
    let sandbox = Sandbox::start(quick()).await.unwrap();
    let device = Device::at(&sandbox);
    let token = device.sign_in(&sandbox, "anna").await.text("refresh_token");
    let other = device.sign_in(&sandbox, "ben").await.text("refresh_token");
    sandbox.set_fault(Endpoint::TokenRefresh, Fault::Delay { ms: 50 }, 2);
    tokio::join!(device.refresh(&token), device.refresh(&other));
    assert_eq!(sandbox.violations(), []);

    let token = device.sign_in(&sandbox, "anna").await.text("refresh_token");
    sandbox.set_fault(Endpoint::TokenRefresh, Fault::Delay { ms: 50 }, 2);
    tokio::join!(device.refresh(&token), device.refresh(&token));
    assert!(sandbox.violations().contains(&Violation::ConcurrentRefresh));
}

#[tokio::test]
async fn a_closed_server_refuses_and_comes_back_at_the_same_address() {
    let sandbox = Sandbox::start(quick()).await.unwrap();
    let device = Device::at(&sandbox);
    let access = device.sign_in(&sandbox, "anna").await.text("access_token");
    let send = async || {
        let request = device.telemetry("/v1/logs").bearer_auth(&access);
        let request = request.header("content-type", "application/json");
        request.body(logs(&["x"]).to_string()).send().await
    };
    assert_eq!(send().await.unwrap().status(), 200);
    sandbox.set_open(Service::Telemetry, false).await.unwrap();
    assert!(send().await.unwrap_err().is_connect());
    assert_eq!(device.begin().await.status, 200);
    sandbox.set_open(Service::Telemetry, true).await.unwrap();
    assert_eq!(send().await.unwrap().status(), 200);
    assert_eq!(sandbox.received().len(), 2);
}

#[tokio::test]
async fn a_closing_server_cuts_what_is_under_way() {
    let sandbox = Sandbox::start(quick()).await.unwrap();
    let device = Device::at(&sandbox);
    let access = device.sign_in(&sandbox, "anna").await.text("access_token");
    sandbox.set_fault(Endpoint::Logs, Fault::Hang { processed: false }, 1);
    let request = device.telemetry("/v1/logs").bearer_auth(&access);
    let close = async {
        let hangs = |sandbox: &Sandbox| sandbox.count(Endpoint::Logs) == 1;
        assert!(sandbox.wait_until(Duration::from_secs(5), hangs).await);
        sandbox.set_open(Service::Telemetry, false).await.unwrap();
    };
    let (answer, ()) = tokio::join!(request.send(), close);
    assert!(!answer.unwrap_err().is_timeout());
}

#[tokio::test]
async fn a_stopped_sandbox_gives_its_ports_back() {
    let first = Sandbox::start(quick()).await.unwrap();
    let device = Device::at(&first);
    assert_eq!(device.begin().await.status, 200);
    let port = |url: &str| url.rsplit_once(':').unwrap().1.parse().unwrap();
    let options = Options {
        issuer_port: port(first.issuer_url()),
        telemetry_port: port(first.telemetry_url()),
        ..quick()
    };
    first.stop().await;
    assert!(device.get("/jwks").await.unwrap_err().is_connect());
    let _second = Sandbox::start(options).await.unwrap();
    assert_eq!(device.begin().await.status, 200);
}
