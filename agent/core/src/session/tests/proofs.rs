//! Who the client is and whose key a token is bound to: what is claimed, and when.

use super::*;
use crate::{
    jws::{Place, Signatory},
    profile::ENTRA,
};
use serde_json::Value;

const NONCE: (&str, &str) = ("dpop-nonce", "n-1");

fn bound() -> SessionConfig {
    let mut config = config();
    config.issuer.dpop = true;
    config
}

/// The claims of what the next request is to be signed with, under that key and place.
fn claims(rig: &Rig, by: &Signatory, place: Place) -> Option<Value> {
    let (_, request) = rig.sent.first()?;
    let unsigned = request.unsigned.iter().find(|it| it.place == place && it.by == *by)?;
    serde_json::from_str(unsigned.claims.expose()).ok()
}

fn proof(rig: &Rig) -> Option<Value> {
    claims(rig, &Signatory::Device(key(1)), Place::Header("dpop"))
}

fn with(mut outcome: Outcome, (name, value): (&str, &str)) -> Outcome {
    if let Outcome::Reply(reply) = &mut outcome {
        reply.headers.push((name.into(), value.into()));
    }
    outcome
}

fn signed_in_bound() -> Rig {
    let mut rig = Rig::new(bound(), Stored::default());
    rig.answer(&json(200, CODE));
    rig.pass(5);
    rig.answer(&tokens("anna", "rt-1"));
    rig
}

#[test]
fn the_key_is_made_at_first_need_kept_and_destroyed_at_sign_out() {
    let mut rig = Rig::new(bound(), Stored::default());
    assert_eq!(rig.keys, 1);
    assert_eq!(rig.kept().device_key, Some(key(1)), "durable before anything is bound to it");
    rig.answer(&json(200, CODE));
    rig.pass(5);
    rig.answer(&tokens("anna", "rt-1"));
    let mut again =
        Rig::at(bound(), Stored { record: Some(rig.kept()), ..Stored::default() }, rig.now);
    assert_eq!(again.keys, 0, "it outlives a restart");
    again.session.sign_out(again.now);
    again.drain();
    assert_eq!(again.kept().device_key, None);
    again.pass(86_400);
    assert_eq!(again.keys, 0, "nobody needs one");
    again.session.sign_in(again.now);
    again.drain();
    assert_eq!(again.keys, 1);
}

#[test]
fn nothing_is_asked_for_without_the_key_and_nothing_spins() {
    let mut rig = Rig::idle(bound());
    rig.session.handle_timeout(rig.now);
    assert!(rig.session.poll_send().is_none());
    assert!(rig.session.poll_key() && !rig.session.poll_key(), "asked for once");
    assert_eq!(rig.session.poll_wake(), None, "a key comes with an event");
}

#[test]
fn every_poll_and_refresh_has_a_proof_of_its_own() {
    let mut rig = Rig::new(bound(), Stored::default());
    assert_eq!(proof(&rig), None, "a code is bound to nothing");
    rig.answer(&json(200, CODE));
    rig.pass(5);
    let first = proof(&rig).expect("a proof");
    assert_eq!(first["htu"], "https://idp.example/token");
    assert_eq!(first["htm"], "POST");
    rig.answer(&error("authorization_pending"));
    rig.pass(5);
    assert_ne!(proof(&rig).expect("a proof")["jti"], first["jti"]);
}

#[test]
fn a_wanted_nonce_is_sent_at_once_and_once() {
    let mut rig = Rig::new(bound(), Stored::default());
    rig.answer(&json(200, CODE));
    rig.pass(5);
    rig.answer(&with(error("use_dpop_nonce"), NONCE));
    assert_eq!(proof(&rig).expect("at once")["nonce"], "n-1");
    rig.answer(&with(error("use_dpop_nonce"), ("dpop-nonce", "n-2")));
    assert!(rig.sent.is_empty(), "a server that is never content must not be stormed");
    rig.pass(5);
    assert_eq!(proof(&rig).expect("later")["nonce"], "n-2");
    rig.answer(&tokens("anna", "rt-1"));
    assert_eq!(rig.session.state(), State::Online);
}

#[test]
fn a_nonce_is_fetched_without_a_refresh_token_at_stake() {
    let mut rig = signed_in_bound();
    rig.pass(3_000);
    assert!(rig.body().contains("refresh_token=none&"), "{}", rig.body());
    rig.answer(&with(error("use_dpop_nonce"), NONCE));
    assert!(rig.body().contains("refresh_token=rt-1"), "{}", rig.body());
    assert_eq!(proof(&rig).expect("a proof")["nonce"], "n-1");
    rig.answer(&renewed("rt-2"));
    // An hour later that nonce may have run out.
    rig.pass(3_000);
    assert!(rig.body().contains("refresh_token=none&"), "{}", rig.body());
    // It has not: the server has no reason to send another.
    rig.answer(&error("invalid_grant"));
    assert_eq!(proof(&rig).expect("a proof")["nonce"], "n-1");
    rig.answer(&renewed("rt-3"));
    rig.pass(3_000);
    assert!(rig.body().contains("refresh_token=none&"), "it does want nonces: {}", rig.body());
}

#[test]
fn an_issuer_without_nonces_is_asked_for_one_once() {
    let mut rig = signed_in_bound();
    rig.pass(3_000);
    rig.answer(&error("invalid_grant"));
    assert_eq!(rig.session.grant().status, GrantStatus::Held, "nobody's token was refused");
    rig.answer(&renewed("rt-2"));
    rig.pass(3_000);
    assert!(rig.body().contains("refresh_token=rt-2"), "{}", rig.body());
}

#[test]
fn trouble_while_a_nonce_is_fetched_delays_the_refresh_and_loses_nothing() {
    let mut rig = signed_in_bound();
    rig.pass(3_000);
    rig.answer(&Outcome::Lost(Cause::Timeout));
    assert!(rig.sent.is_empty());
    rig.pass(60);
    assert!(rig.body().contains("refresh_token=none&"));
    rig.answer(&with(error("use_dpop_nonce"), NONCE));
    rig.answer(&error("invalid_grant"));
    assert!(rig.session.faults().has(Fault::SignInAgain), "no answer with a token was lost");
}

#[test]
fn a_token_that_is_bound_is_proved_to_each_server_with_its_own_nonce() {
    let mut rig = signed_in_bound();
    let request = |token: &str| Request {
        peer: Peer::Telemetry,
        url: "https://api.example/v1/logs?x".into(),
        headers: vec![("authorization".into(), Secret::new(token))],
        body: Some(Body::Protobuf(vec![])),
        unsigned: vec![],
    };
    let of_issuer = with(error("x"), ("dpop-nonce", "of-issuer"));
    rig.session.hear_nonce("https://idp.example/token", &of_issuer);
    let reply = with(json(401, ""), ("dpop-nonce", "of-api"));
    rig.session.handle_resource_reply("https://api.example/v1/metrics", &reply);
    let (mut bearer, mut bound) = (request("Bearer at"), request("DPoP at"));
    rig.session.prove(&mut bearer);
    rig.session.prove(&mut bound);
    assert_eq!(bearer.unsigned, []);
    let claims: Value = serde_json::from_str(bound.unsigned[0].claims.expose()).expect("JSON");
    assert_eq!((&claims["htm"], &claims["nonce"]), (&"POST".into(), &"of-api".into()));
    assert_eq!(claims["htu"], "https://api.example/v1/logs");
    assert!(claims["ath"].is_string());
}

#[test]
fn a_nonce_that_no_header_could_carry_is_not_kept() {
    let mut rig = signed_in_bound();
    for text in ["", "a b", "a\"b", "ä", &"x".repeat(513)] {
        let reply = with(json(200, ""), ("dpop-nonce", text));
        rig.session.handle_resource_reply("https://api.example", &reply);
        let proof = rig.session.proof(("GET", "https://api.example/"), None, None);
        assert!(!proof.expect("a proof").claims.expose().contains("nonce"), "{text:?}");
    }
}

#[test]
fn a_client_with_a_key_signs_every_request_for_its_issuer() {
    for (profile, audience) in
        [(&GENERIC, "https://idp.example"), (&ENTRA, "https://idp.example/token")]
    {
        let mut config = config();
        config.issuer.client_auth = ClientAuth::PrivateKeyJwt;
        config.issuer.profile = profile;
        let mut rig = Rig::new(config, Stored::default());
        let mut names = vec![];
        for answer in [json(200, CODE), error("authorization_pending"), tokens("anna", "rt-1")] {
            let claims = claims(&rig, &Signatory::Client, Place::Field("client_assertion"));
            let claims = claims.expect("an assertion");
            assert_eq!(claims["aud"], audience);
            assert!(rig.body().contains("client_assertion_type=urn"), "{}", rig.body());
            assert!(rig.body().contains("client_id=signpost"));
            assert!(claims["exp"].as_u64() > Some(DATE));
            names.push(claims["jti"].clone());
            rig.answer(&answer);
            rig.pass(5);
        }
        names.dedup();
        assert_eq!(names.len(), 3, "a jti is never used twice");
    }
}

#[test]
fn a_client_with_a_certificate_goes_where_one_is_asked_for() {
    let body = r#"{"issuer":"https://idp.example","token_endpoint":"https://idp.example/t",
        "device_authorization_endpoint":"https://idp.example/d","mtls_endpoint_aliases":
        {"token_endpoint":"https://mtls.idp.example/t","x":5}}"#;
    for (auth, token) in [
        (ClientAuth::None, "https://idp.example/t"),
        (ClientAuth::Mtls, "https://mtls.idp.example/t"),
    ] {
        let mut config = config();
        config.issuer.explicit = ExplicitEndpoints::default();
        config.issuer.client_auth = auth;
        let mut rig = Rig::new(config, Stored::default());
        rig.answer(&json(200, body));
        assert_eq!(rig.sent[0].1.url, "https://idp.example/d", "it has no alias");
        rig.answer(&json(200, CODE));
        rig.pass(5);
        assert_eq!(rig.sent[0].1.url, token);
    }
}

#[test]
fn what_is_signed_has_the_issuers_date_where_our_clock_is_off_by_minutes() {
    let mut config = bound();
    config.issuer.client_auth = ClientAuth::PrivateKeyJwt;
    let mut rig = Rig::new(config, Stored::default());
    let issued = |rig: &Rig| claims(rig, &Signatory::Client, Place::Field("client_assertion"));
    assert_eq!(issued(&rig).expect("an assertion")["iat"], DATE, "nothing better is known");
    // DATE is 2027-01-15T08:00:00Z.
    let date = ("date", "Fri, 15 Jan 2027 08:10:00 GMT");
    rig.answer(&with(json(200, CODE), date));
    rig.pass(5);
    assert_eq!(issued(&rig).expect("an assertion")["iat"], DATE + 605);
    assert_eq!(proof(&rig).expect("a proof")["iat"], DATE + 605);
    rig.answer(&with(error("authorization_pending"), ("date", "Fri, 15 Jan 1971 08:10:00 GMT")));
    rig.pass(5);
    assert_eq!(proof(&rig).expect("a proof")["iat"], DATE + 10, "that date cannot be");
}
