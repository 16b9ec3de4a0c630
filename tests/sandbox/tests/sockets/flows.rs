//! Device authorization, tokens, rotation, revocation: no fault anywhere.

use std::time::Duration;

use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use serde_json::Value;
use signpost_sandbox::{Client, CodeError, Options, Rotation, Sandbox, Violation};

use crate::device::{Device, SCOPE, logs, quick};

#[tokio::test]
async fn a_person_approves_and_telemetry_arrives_in_their_name() {
    let sandbox = Sandbox::start(quick()).await.unwrap();
    let device = Device::at(&sandbox);
    let begun = device.begin().await;
    let device_code = begun.text("device_code");
    assert_eq!(device.poll(&device_code).await.error(), "authorization_pending");

    sandbox.approve(&begun.text("user_code"), "anna").unwrap();
    let tokens = device.poll(&device_code).await;
    let sent = device.send("/v1/logs", &tokens.text("access_token"), &logs(&["hello"])).await;

    assert_eq!((sent.status, sent.body), (200, serde_json::json!({})));
    let received = sandbox.received();
    assert_eq!(received.len(), 1);
    assert_eq!(received[0].subject, "anna");
    assert_eq!(received[0].records[0].text, "hello");
    assert_eq!(sandbox.violations(), []);
}

#[tokio::test]
async fn both_well_known_documents_name_this_issuer_and_its_endpoints() {
    let sandbox = Sandbox::start(quick()).await.unwrap();
    let device = Device::at(&sandbox);
    for path in ["/.well-known/openid-configuration", "/.well-known/oauth-authorization-server"] {
        let found: Value =
            serde_json::from_slice(&device.get(path).await.unwrap().bytes().await.unwrap())
                .unwrap();
        assert_eq!(found["issuer"], sandbox.issuer_url());
        for endpoint in ["device_authorization", "token", "revocation", "userinfo"] {
            let url = found[format!("{endpoint}_endpoint")].as_str().unwrap();
            assert!(url.starts_with(sandbox.issuer_url()), "{url}");
        }
    }
}

#[tokio::test]
async fn another_jose_implementation_reads_the_tokens_by_the_key_set() {
    let sandbox = Sandbox::start(quick()).await.unwrap();
    let device = Device::at(&sandbox);
    sandbox.rotate_keys().unwrap();
    let tokens = device.sign_in(&sandbox, "ben").await;
    let keys = device.get("/jwks").await.unwrap().bytes().await.unwrap();
    let keys: JwkSet = serde_json::from_slice(&keys).unwrap();
    assert_eq!(keys.keys.len(), 2);

    let read = |token: &str, audience: &str| {
        let header = decode_header(token).unwrap();
        let key = DecodingKey::from_jwk(keys.find(&header.kid.unwrap()).unwrap()).unwrap();
        let mut validation = Validation::new(Algorithm::ES256);
        validation.set_audience(&[audience]);
        validation.set_issuer(&[sandbox.issuer_url()]);
        (header.typ.unwrap(), decode::<Value>(token, &key, &validation).unwrap().claims)
    };
    let (typ, claims) = read(&tokens.text("id_token"), "signpost");
    assert_eq!((typ.as_str(), &claims["sub"]), ("JWT", &Value::from("ben")));
    assert_eq!((&claims["name"], &claims["tenant"]), (&"Ben Okoro".into(), &"Harbour Lab".into()));
    assert_eq!(claims["email"], "ben@harbourlab.example");
    let (typ, claims) = read(&tokens.text("access_token"), sandbox.telemetry_url());
    assert_eq!((typ.as_str(), &claims["scope"]), ("at+jwt", &Value::from(SCOPE)));
}

#[tokio::test]
async fn denied_expired_used_and_unknown_codes_each_say_so() {
    let sandbox = Sandbox::start(quick()).await.unwrap();
    let device = Device::at(&sandbox);

    let denied = device.begin().await;
    sandbox.deny(&denied.text("user_code")).unwrap();
    assert_eq!(device.poll(&denied.text("device_code")).await.error(), "access_denied");
    assert_eq!(device.poll(&denied.text("device_code")).await.error(), "invalid_grant");
    assert_eq!(sandbox.violations(), [Violation::PollAfterEnd]);

    let old = device.begin().await;
    sandbox.advance(Duration::from_secs(601));
    assert_eq!(device.poll(&old.text("device_code")).await.error(), "expired_token");
    assert_eq!(sandbox.approve(&old.text("user_code"), "anna"), Err(CodeError::Expired));
    sandbox.advance(Duration::from_secs(60));
    assert_eq!(device.poll(&old.text("device_code")).await.error(), "invalid_grant");

    assert_eq!(device.poll("nonsense").await.error(), "invalid_grant");
}

#[tokio::test]
async fn user_codes_are_taken_in_any_case_and_without_dashes() {
    let sandbox = Sandbox::start(quick()).await.unwrap();
    let begun = Device::at(&sandbox).begin().await;
    let code = begun.text("user_code");
    assert_eq!(sandbox.pending_codes()[0].user_code, code);
    let typed = format!(" {} ", code.to_lowercase().replace('-', " "));
    sandbox.approve(&typed, "anna").unwrap();
    assert_eq!(sandbox.approve(&code, "ben"), Err(CodeError::Answered));
    assert!(sandbox.pending_codes().is_empty());
    assert_eq!(sandbox.approve(&code, "nobody"), Err(CodeError::Account));
}

#[tokio::test]
async fn wrong_codes_are_counted_for_a_minute() {
    let sandbox = Sandbox::start(quick()).await.unwrap();
    let right = Device::at(&sandbox).begin().await.text("user_code");
    let wrong: Vec<_> = (0..21).map(|_| sandbox.deny("AAAA-AAAA").unwrap_err()).collect();
    assert_eq!((wrong[0], wrong[20]), (CodeError::Unknown, CodeError::TooMany));
    assert_eq!(sandbox.approve(&right, "anna"), Err(CodeError::TooMany));
    sandbox.advance(Duration::from_secs(61));
    sandbox.approve(&right, "anna").unwrap();
}

#[tokio::test]
async fn a_poll_before_the_interval_is_told_to_slow_down_and_recorded() {
    let options = Options { interval: Some(Duration::from_secs(5)), ..Options::default() };
    let sandbox = Sandbox::start(options).await.unwrap();
    let device = Device::at(&sandbox);
    let code = device.begin().await.text("device_code");

    assert_eq!(device.poll(&code).await.error(), "authorization_pending");
    assert_eq!(device.poll(&code).await.error(), "slow_down");
    // From now on ten seconds hold.
    sandbox.advance(Duration::from_secs(3));
    assert_eq!(device.poll(&code).await.error(), "slow_down");
    sandbox.advance(Duration::from_secs(15));
    assert_eq!(device.poll(&code).await.error(), "authorization_pending");
    let violations = sandbox.violations();
    assert_eq!(violations.len(), 2);
    let Violation::EarlyPoll { early_by } = violations[1] else { panic!("{violations:?}") };
    assert!(early_by > Duration::from_secs(2), "{early_by:?}");
}

#[tokio::test]
async fn without_an_interval_five_seconds_hold() {
    let sandbox = Sandbox::start(Options { interval: None, ..Options::default() }).await.unwrap();
    let device = Device::at(&sandbox);
    let begun = device.begin().await;
    assert_eq!(begun.body.get("interval"), None);
    let code = begun.text("device_code");
    device.poll(&code).await;
    sandbox.advance(Duration::from_secs(1));
    assert_eq!(device.poll(&code).await.error(), "slow_down");
}

#[tokio::test]
async fn a_refresh_token_is_rotated_and_its_reuse_ends_the_grant() {
    let sandbox = Sandbox::start(quick()).await.unwrap();
    let device = Device::at(&sandbox);
    let first = device.sign_in(&sandbox, "anna").await.text("refresh_token");
    let tokens = device.refresh(&first).await;
    let second = tokens.text("refresh_token");
    assert_ne!(first, second);
    let sent = device.send("/v1/logs", &tokens.text("access_token"), &logs(&["1"])).await;
    assert_eq!(sent.status, 200);

    assert_eq!(device.refresh(&first).await.error(), "invalid_grant");
    assert_eq!(device.refresh(&second).await.error(), "invalid_grant");
    let sent = device.send("/v1/logs", &tokens.text("access_token"), &logs(&["2"])).await;
    assert_eq!(sent.status, 401);
    let reused = Violation::ReusedRefreshToken { subject: "anna".to_owned() };
    assert_eq!(sandbox.violations(), [reused]);
    assert_eq!(sandbox.grant_count("anna"), 0);
}

#[tokio::test]
async fn lenient_rotation_lets_the_old_token_work_and_never_gives_no_other() {
    let options = Options { rotation: Rotation::Lenient, ..quick() };
    let sandbox = Sandbox::start(options).await.unwrap();
    let device = Device::at(&sandbox);
    let first = device.sign_in(&sandbox, "anna").await.text("refresh_token");
    let second = device.refresh(&first).await.text("refresh_token");
    assert_eq!(device.refresh(&first).await.status, 200);
    assert_eq!(device.refresh(&second).await.status, 200);
    assert_eq!(sandbox.violations(), []);

    let sandbox = Sandbox::start(Options { rotation: Rotation::Never, ..quick() }).await.unwrap();
    let device = Device::at(&sandbox);
    let token = device.sign_in(&sandbox, "anna").await.text("refresh_token");
    for _ in 0..2 {
        let tokens = device.refresh(&token).await;
        assert_eq!((tokens.status, tokens.body.get("refresh_token")), (200, None));
    }
}

#[tokio::test]
async fn grants_end_by_their_lifetime_and_access_tokens_by_theirs() {
    let options = Options { refresh_lifetime: Some(Duration::from_secs(86_400)), ..quick() };
    let sandbox = Sandbox::start(options).await.unwrap();
    let device = Device::at(&sandbox);
    let tokens = device.sign_in(&sandbox, "anna").await;
    assert_eq!(tokens.body["refresh_token_expires_in"], 86_400);
    sandbox.advance(Duration::from_secs(3601));
    let sent = device.send("/v1/logs", &tokens.text("access_token"), &logs(&["late"])).await;
    assert_eq!(sent.status, 401);
    let tokens = device.refresh(&tokens.text("refresh_token")).await;
    assert_eq!(tokens.status, 200);
    sandbox.advance(Duration::from_secs(86_400));
    let ended = device.refresh(&tokens.text("refresh_token")).await;
    assert_eq!(ended.error(), "invalid_grant");
}

#[tokio::test]
async fn a_disabled_account_is_refused_until_it_is_enabled_again() {
    let sandbox = Sandbox::start(quick()).await.unwrap();
    let device = Device::at(&sandbox);
    let token = device.sign_in(&sandbox, "anna").await.text("refresh_token");
    sandbox.set_account_enabled("anna", false);
    assert_eq!(device.refresh(&token).await.error(), "invalid_grant");
    let code = device.begin().await.text("user_code");
    assert_eq!(sandbox.approve(&code, "anna"), Err(CodeError::Account));
    sandbox.set_account_enabled("anna", true);
    assert_eq!(device.refresh(&token).await.status, 200);
}

#[tokio::test]
async fn revocation_ends_a_grant_and_does_not_mind_unknown_tokens() {
    let sandbox = Sandbox::start(quick()).await.unwrap();
    let device = Device::at(&sandbox);
    let one = device.sign_in(&sandbox, "anna").await;
    let other = device.sign_in(&sandbox, "anna").await;
    let revoke = async |token: &str| {
        device.ask("/revoke", &[("client_id", "signpost"), ("token", token)]).await.status
    };
    assert_eq!(revoke("nonsense").await, 200);
    assert_eq!(revoke(&one.text("refresh_token")).await, 200);
    assert_eq!(device.refresh(&one.text("refresh_token")).await.error(), "invalid_grant");
    assert_eq!(revoke(&other.text("access_token")).await, 200);
    let sent = device.send("/v1/logs", &other.text("access_token"), &logs(&["x"])).await;
    assert_eq!(sent.status, 401);
    assert_eq!(device.refresh(&other.text("refresh_token")).await.status, 200);
    assert_eq!(sandbox.revoke_grants("anna"), 1);
}

#[tokio::test]
async fn scopes_and_resources_are_granted_as_asked_and_known() {
    let options = Options { resources: vec!["https://api.example".to_owned()], ..quick() };
    let sandbox = Sandbox::start(options).await.unwrap();
    let device = Device::at(&sandbox);
    let ask = async |fields: &[(&str, &str)]| {
        let begun = device.ask("/device_authorization", fields).await;
        if begun.status != 200 {
            return begun;
        }
        sandbox.approve(&begun.text("user_code"), "anna").unwrap();
        device.poll(&begun.text("device_code")).await
    };
    let plain = ask(&[("client_id", "signpost"), ("scope", "openid made.up")]).await;
    assert_eq!(plain.body["scope"], "openid");
    assert_eq!(plain.body.get("refresh_token"), None);
    let elsewhere = [("client_id", "signpost"), ("resource", "https://other.example")];
    assert_eq!(ask(&elsewhere).await.error(), "invalid_target");

    let api = [("client_id", "signpost"), ("scope", SCOPE), ("resource", "https://api.example")];
    let tokens = ask(&api).await;
    let sent = device.send("/v1/logs", &tokens.text("access_token"), &logs(&["x"])).await;
    assert_eq!(sent.status, 401);
    let refresh_token = tokens.text("refresh_token");
    let mut fields = device.refresh_fields(&refresh_token).to_vec();
    fields.extend([("resource", sandbox.telemetry_url()), ("scope", "telemetry.write")]);
    let narrow = device.ask("/token", &fields).await;
    assert_eq!(narrow.body["scope"], "telemetry.write");
    let sent = device.send("/v1/logs", &narrow.text("access_token"), &logs(&["x"])).await;
    assert_eq!(sent.status, 200);
}

#[tokio::test]
async fn clients_are_who_they_say() {
    let client = |id: &str, secret: Option<&str>| Client {
        id: id.to_owned(),
        name: id.to_owned(),
        secret: secret.map(str::to_owned),
    };
    let clients = vec![client("public", None), client("box", Some("a:b &c"))];
    let sandbox = Sandbox::start(Options { clients, ..quick() }).await.unwrap();
    let device = Device::at(&sandbox);
    let ask = async |fields: &[(&str, &str)]| device.ask("/device_authorization", fields).await;

    assert_eq!(ask(&[]).await.error(), "invalid_client");
    assert_eq!(ask(&[("client_id", "signpost")]).await.status, 401);
    assert_eq!(ask(&[("client_id", "public")]).await.status, 200);
    assert_eq!(ask(&[("client_id", "public"), ("client_secret", "x")]).await.status, 401);
    assert_eq!(ask(&[("client_id", "box")]).await.error(), "invalid_client");
    assert_eq!(ask(&[("client_id", "box"), ("client_secret", "wrong")]).await.status, 401);
    assert_eq!(ask(&[("client_id", "box"), ("client_secret", "a:b &c")]).await.status, 200);
    let basic = device.http.post(format!("{}/device_authorization", sandbox.issuer_url()));
    let basic = basic
        .header("content-type", "application/x-www-form-urlencoded")
        // RFC 6749 section 2.3.1: form-encoded, then Basic.
        .basic_auth("box", Some("a%3Ab+%26c"))
        .send();
    assert_eq!(basic.await.unwrap().status(), 200);
}

#[tokio::test]
async fn a_parameter_given_twice_is_refused() {
    let sandbox = Sandbox::start(quick()).await.unwrap();
    let twice = [("client_id", "signpost"), ("client_id", "signpost")];
    let refused = Device::at(&sandbox).ask("/device_authorization", &twice).await;
    assert_eq!(refused.error(), "invalid_request");
    assert!(matches!(sandbox.violations()[0], Violation::RepeatedParameter { .. }));
}

#[tokio::test]
async fn userinfo_knows_the_person() {
    let sandbox = Sandbox::start(quick()).await.unwrap();
    let device = Device::at(&sandbox);
    let token = device.sign_in(&sandbox, "anna").await.text("access_token");
    let url = format!("{}/userinfo", sandbox.issuer_url());
    let known = device.http.get(&url).bearer_auth(token).send().await.unwrap();
    let known: Value = serde_json::from_slice(&known.bytes().await.unwrap()).unwrap();
    assert_eq!(known["email"], "anna@bergwald.example");
    let unknown = device.http.get(&url).bearer_auth("nonsense").send().await.unwrap();
    assert_eq!(unknown.status(), 401);
}
