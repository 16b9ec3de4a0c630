//! Who signed in: signatures, keys and their rotation, and what happens while there are no keys.

use super::*;
use crate::wire::{Algorithm, KeySet, PublicKey, Unacceptable};
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};

const KEYS: &str = "https://idp.example/keys";

pub(super) fn verify(algorithm: Algorithm, key: &PublicKey, message: &[u8], by: &[u8]) -> bool {
    match (algorithm, key) {
        (Algorithm::EdDsa, PublicKey::Ed25519(point)) => {
            UnparsedPublicKey::new(&ED25519, point).verify(message, by).is_ok()
        }
        _ => false,
    }
}

fn key(number: u8) -> Ed25519KeyPair {
    Ed25519KeyPair::from_seed_unchecked(&[number; 32]).expect("a seed")
}

fn key_set(numbers: &[u8]) -> Outcome {
    let keys: Vec<String> = numbers
        .iter()
        .map(|number| {
            let x = URL_SAFE_NO_PAD.encode(key(*number).public_key());
            format!(r#"{{"kty":"OKP","crv":"Ed25519","kid":"k{number}","x":"{x}"}}"#)
        })
        .collect();
    json(200, &format!(r#"{{"keys":[{}]}}"#, keys.join(",")))
}

/// The token reply of anna, whose id_token says that it is signed by `named` and is by `signer`.
fn signed(header: &str, signer: u8) -> Outcome {
    let unsigned = id_token("anna");
    let claims = unsigned.split('.').nth(1).expect("claims");
    let message = format!("{}.{claims}", URL_SAFE_NO_PAD.encode(header));
    let signature = URL_SAFE_NO_PAD.encode(key(signer).sign(message.as_bytes()));
    json(
        200,
        &format!(
            r#"{{"access_token":"at-1","expires_in":3600,"refresh_token":"rt-1",
                "id_token":"{message}.{signature}"}}"#
        ),
    )
}

fn by(number: u8) -> Outcome {
    signed(&format!(r#"{{"alg":"EdDSA","kid":"k{number}"}}"#), number)
}

fn with_keys() -> SessionConfig {
    let mut config = config();
    config.issuer.explicit.jwks = Some(KEYS.into());
    config
}

impl Rig {
    /// A code is shown, and `keys` is the answer to the request for keys that goes with it.
    fn showing(keys: &Outcome) -> Self {
        let mut rig = Self::new(with_keys(), Stored::default());
        rig.answer(&json(200, CODE));
        assert_eq!(rig.sent[0].1.url, KEYS, "keys are fetched while a code is shown");
        rig.answer(keys);
        rig
    }

    fn poll_answered(&mut self, outcome: &Outcome) {
        self.pass(5);
        let poll = self.sent.iter().position(|(_, request)| request.url.ends_with("/token"));
        let (id, _) = self.sent.remove(poll.expect("a poll"));
        self.session.handle_outcome(id, outcome, self.now);
        self.drain();
    }

    fn refused_for(&self, problem: Unacceptable) -> bool {
        self.events.contains(&Event::IdentityRefused { problem })
            && self.events.contains(&Event::PairingEnded(Ending::BadIdentity))
            && self.session.view() == View::Fault(Fault::IdTokenRefused)
            && self.kept().revocations.len() == 1
            && self.kept().grant.is_none()
    }
}

#[test]
fn a_signed_id_token_names_who_signed_in_without_a_wait() {
    let mut rig = Rig::showing(&key_set(&[1, 2]));
    rig.poll_answered(&by(2));
    assert_eq!(rig.session.state(), State::Online);
    let account = rig.session.grant().account.expect("an account");
    assert_eq!(account.subject.as_deref(), Some("anna"));
    assert!(!rig.events.contains(&Event::KeysUnavailable));
}

#[test]
fn a_token_that_somebody_else_signed_is_dropped_and_revoked() {
    let mut rig = Rig::showing(&key_set(&[1]));
    rig.poll_answered(&signed(r#"{"alg":"EdDSA","kid":"k1"}"#, 9));
    assert_eq!(rig.session.view(), View::Saving, "the key may have been replaced under its name");
    rig.pass(60);
    assert_eq!(rig.sent[0].1.url, KEYS);
    rig.answer(&key_set(&[1]));
    assert!(rig.refused_for(Unacceptable::Signature), "{:?}", rig.events);
    assert!(rig.body().contains("token=rt-1"), "revoked: {}", rig.body());
    assert_eq!(rig.token(), TokenAnswer::SignInNeeded);
}

#[test]
fn unsigned_tokens_and_shared_secrets_are_refused_at_once_with_and_without_keys() {
    for keys in [key_set(&[1]), json(500, "")] {
        for header in [r#"{"alg":"none"}"#, r#"{"alg":"HS256","kid":"k1"}"#, r#"{"kid":"k1"}"#] {
            let mut rig = Rig::showing(&keys);
            rig.poll_answered(&signed(header, 1));
            let malformed = !header.contains("alg");
            let problem = if malformed { Unacceptable::Malformed } else { Unacceptable::Algorithm };
            assert!(rig.refused_for(problem), "{header}: {:?}", rig.events);
        }
    }
}

#[test]
fn an_unknown_key_is_looked_for_once_and_not_oftener_than_a_minute() {
    let mut rig = Rig::showing(&key_set(&[1]));
    rig.poll_answered(&by(2));
    assert_eq!(rig.session.view(), View::Saving);
    assert!(rig.sent.is_empty(), "they were fetched five seconds ago");
    rig.pass(54);
    assert!(rig.sent.is_empty());
    rig.pass(1);
    assert_eq!(rig.sent.len(), 1);
    rig.answer(&key_set(&[1, 2]));
    assert_eq!(rig.session.state(), State::Online);
    let end = rig.access().expires.expect("an end");
    assert_eq!(end, at(5).boot + Duration::from_secs(3_600), "counted from its receipt");
}

#[test]
fn keys_that_cannot_be_had_cost_nobody_the_sign_in() {
    for trouble in [
        json(500, ""),
        json(200, "<html>"),
        json(404, ""),
        json(200, r#"{"keys":[]}"#),
        Outcome::NotSent(Cause::Dns),
        Outcome::Lost(Cause::Timeout),
    ] {
        let mut rig = Rig::showing(&trouble);
        rig.poll_answered(&by(1));
        for _ in 0..2 {
            if rig.session.view() == View::Saving {
                rig.pass(20);
                rig.answer(&trouble);
            }
        }
        assert_eq!(rig.session.state(), State::Online, "{trouble:?}");
        assert!(rig.events.contains(&Event::KeysUnavailable));
        assert_eq!(rig.session.owner(), OwnerId::of_subject("https://idp.example", "anna"));
    }
}

#[test]
fn keys_that_say_no_are_not_outweighed_by_keys_that_cannot_be_had() {
    for trouble in [json(500, ""), Outcome::NotSent(Cause::Dns), Outcome::Lost(Cause::Timeout)] {
        let mut rig = Rig::showing(&key_set(&[1]));
        rig.poll_answered(&signed(r#"{"alg":"EdDSA","kid":"k1"}"#, 9));
        for _ in 0..3 {
            if rig.session.view() == View::Saving {
                rig.pass(60);
                let keys = rig.sent.iter().position(|(_, request)| request.url == KEYS);
                if let Some(keys) = keys {
                    rig.sent.swap(0, keys);
                    rig.answer(&trouble);
                }
            }
        }
        assert!(rig.refused_for(Unacceptable::Contradicted), "{trouble:?}: {:?}", rig.events);
        assert!(!rig.events.contains(&Event::KeysUnavailable));
    }
    // A name that is not among them may be a new key's.
    let mut rig = Rig::showing(&key_set(&[1]));
    rig.poll_answered(&by(2));
    rig.pass(90);
    assert_eq!(rig.session.state(), State::Online);
    assert!(rig.events.contains(&Event::KeysUnavailable));
}

#[test]
fn an_address_of_keys_that_is_not_https_is_said_and_not_asked() {
    let mut config = config();
    config.issuer.explicit = ExplicitEndpoints::default();
    let document = r#"{"issuer":"https://idp.example","token_endpoint":"https://idp.example/token",
        "device_authorization_endpoint":"https://idp.example/code","jwks_uri":"KEYS"}"#;
    for (uri, said) in [("http://idp.example/keys", true), (KEYS, false)] {
        let mut rig = Rig::new(config.clone(), Stored::default());
        rig.answer(&json(200, &document.replace("KEYS", uri)));
        assert_eq!(rig.events.contains(&Event::KeysInsecure), said, "{uri}");
        rig.answer(&json(200, CODE));
        assert_eq!(rig.sent.iter().any(|(_, request)| request.url == uri), !said);
    }
}

#[test]
fn a_server_of_keys_that_says_nothing_is_waited_for_a_minute_and_a_half_at_most() {
    let mut rig = Rig::new(with_keys(), Stored::default());
    rig.answer(&json(200, CODE));
    rig.poll_answered(&by(1));
    rig.pass(89);
    assert_eq!(rig.session.view(), View::Saving);
    rig.pass(1);
    assert_eq!(rig.session.state(), State::Online);
}

#[test]
fn an_owner_rule_is_held_against_a_token_without_keys_too() {
    let rule = |subject: &str| OwnerRule::Only(vec![Demand::Subject(subject.into())]);
    for (subject, admitted) in [("anna", true), ("ben", false)] {
        let config = SessionConfig { owner: rule(subject), ..with_keys() };
        let mut rig = Rig::new(config, Stored::default());
        rig.answer(&json(200, CODE));
        rig.poll_answered(&by(1));
        rig.pass(90);
        assert_eq!(rig.session.grant().status == GrantStatus::Held, admitted);
        assert_eq!(rig.events.contains(&Event::OwnerRefused), !admitted);
    }
}

#[test]
fn kept_keys_serve_while_the_issuer_shows_none_and_only_those_of_the_same_place() {
    let set = |uri: &str| KeySet::read(&key_set(&[1]), uri).ok();
    for (uri, serve) in [(KEYS, true), ("https://idp.example/old", false)] {
        let mut rig = Rig::new(with_keys(), Stored { keys: set(uri), ..Stored::default() });
        rig.answer(&json(200, CODE));
        rig.answer(&json(503, ""));
        rig.poll_answered(&by(1));
        assert_eq!(rig.session.state() == State::Online, serve, "{uri}");
        assert_eq!(rig.session.view() == View::Saving, !serve);
    }
}

#[test]
fn a_sign_out_while_keys_are_awaited_revokes_what_waits() {
    let mut rig = Rig::showing(&json(500, ""));
    rig.poll_answered(&by(1));
    rig.session.sign_out(rig.now);
    rig.drain();
    assert_eq!(rig.session.state(), State::Waiting);
    assert!(rig.sent.iter().any(|(_, request)| request.url.ends_with("/revoke")));
    rig.pass(600);
    assert_eq!(rig.session.grant().status, GrantStatus::None, "it does not come back");
}

#[test]
fn without_an_address_of_keys_tls_stands_in_as_the_standard_allows() {
    let mut rig = Rig::fresh();
    rig.answer(&json(200, CODE));
    rig.poll_answered(&by(1));
    assert_eq!(rig.session.state(), State::Online);
    assert!(!rig.events.contains(&Event::KeysUnavailable), "that is how it is set up");
}
