//! `issuer.url` is changed while secrets of the issuer before it are kept.

use super::*;

/// The same device, by another issuer's address.
fn moved() -> SessionConfig {
    let mut config = config();
    config.owner = OwnerRule::Any;
    config.issuer.url = Some("https://other.example".into());
    config.issuer.explicit = ExplicitEndpoints {
        device_authorization: Some("https://other.example/code".into()),
        token: Some("https://other.example/token".into()),
        revocation: Some("https://other.example/revoke".into()),
        jwks: None,
    };
    config
}

fn started(config: SessionConfig, record: SessionRecord) -> Rig {
    Rig::new(config, Stored { record: Some(record), ..Stored::default() })
}

/// What is asked, and whether any of it is of the issuer before.
fn asked(rig: &Rig) -> Vec<&str> {
    for (_, request) in &rig.sent {
        let Some(Body::Form(form)) = &request.body else { continue };
        assert!(!form.expose().contains("rt-1") && !form.expose().contains("dc-secret"));
    }
    rig.sent.iter().map(|(_, request)| request.url.as_str()).collect()
}

#[test]
fn a_refresh_token_goes_to_nobody_but_the_issuer_that_gave_it() {
    let kept = Rig::signed_in().kept();
    let mut rig = started(moved(), kept.clone());
    assert_eq!(asked(&rig), ["https://other.example/code"], "a person has to come");
    assert_eq!(rig.token(), TokenAnswer::SignInNeeded);
    assert_eq!(rig.session.grant().status, GrantStatus::Suspended);
    assert!(rig.events.contains(&Event::OtherIssuer));
    rig.pass(3 * 86_400);
    assert!(asked(&rig).iter().all(|url| url.starts_with("https://other.example/")));
    assert_eq!(rig.kept(), kept, "nothing is forgotten");

    let mut back = started(config(), kept);
    assert!(back.body().contains("refresh_token=rt-1"), "as if nothing had been");
    back.answer(&renewed("rt-2"));
    assert_eq!(back.session.state(), State::Online);
    assert!(!back.session.faults().has(Fault::SignInAgain));
}

#[test]
fn who_signs_in_at_the_new_issuer_replaces_the_sign_in_and_nothing_of_the_old_one_is_posted() {
    let mut rig = started(moved(), Rig::signed_in().kept());
    rig.answer(&json(200, CODE));
    rig.pass(5);
    let granted = r#"{"access_token":"at-9","expires_in":3600,"refresh_token":"rt-9"}"#;
    rig.answer(&json(200, granted));
    assert_eq!(rig.access().token.expose(), "at-9");
    assert_eq!(refresh_token(&rig.kept()), "rt-9");
    assert!(rig.events.contains(&Event::RevocationGivenUp), "to be ended there by hand");
    assert!(!rig.session.faults().has(Fault::RevocationPending));
    rig.pass(60);
    assert!(asked(&rig).is_empty());
    rig.session.sign_out(rig.now);
    rig.drain();
    assert!(rig.body().contains("token=rt-9"), "that of this issuer is");
    rig.answer(&json(200, ""));
    let kept = rig.kept();
    assert_eq!(kept.revocations.len(), 1);

    let back = started(config(), kept);
    assert!(back.session.faults().has(Fault::RevocationPending));
    let told = back.sent.iter().any(|(_, request)| request.url == "https://idp.example/revoke");
    assert!(told, "once that issuer is configured again");
}

#[test]
fn the_first_owner_stays_the_owner_whatever_issuer_is_configured() {
    let mut config = moved();
    config.owner = OwnerRule::First;
    let mut rig = started(config, Rig::signed_in().kept());
    rig.answer(&json(200, CODE));
    rig.pass(5);
    let granted = r#"{"access_token":"at-9","expires_in":3600,"refresh_token":"rt-9"}"#;
    rig.answer(&json(200, granted));
    assert!(rig.session.faults().has(Fault::OwnerRefused));
    assert!(rig.body().contains("token=rt-9"), "what was given is revoked where it was given");
    assert_eq!(rig.sent[0].1.url, "https://other.example/revoke");
    assert_eq!(refresh_token(&rig.kept()), "rt-1");
}

#[test]
fn a_code_is_asked_about_where_it_was_given_and_nowhere_else() {
    let mut before = Rig::fresh();
    before.answer(&json(200, CODE));
    let stored = Stored { carried: before.carried.clone(), ..Stored::default() };
    let mut rig = Rig::new(moved(), stored);
    assert_eq!(asked(&rig), ["https://other.example/code"]);
    rig.pass(60);
    assert_eq!(asked(&rig), ["https://other.example/code"]);
}

#[test]
fn an_issuer_that_is_configured_in_another_way_is_the_same() {
    let kept = Rig::signed_in().kept();
    let mut by_endpoints = config();
    by_endpoints.issuer.url = None;
    let mut with_slash = config();
    with_slash.issuer.url = Some("https://idp.example/".into());
    let mut moved_endpoint = config();
    moved_endpoint.issuer.explicit.token = Some("https://tokens.example/t".into());
    for config in [by_endpoints, with_slash, moved_endpoint] {
        let rig = started(config, kept.clone());
        assert!(rig.body().contains("refresh_token=rt-1"), "{:?}", rig.session.config.issuer);
    }
}

#[test]
fn what_an_older_build_kept_is_taken_for_this_issuers_and_marked() {
    let mut kept = Rig::signed_in().kept();
    let of_now = kept.grant.as_mut().and_then(|grant| grant.issued_by.take());
    assert_eq!(of_now.as_ref().map(|by| by.origin.as_str()), Some("https://idp.example"));
    let rig = started(config(), kept);
    assert!(rig.body().contains("refresh_token=rt-1"));
    assert_eq!(rig.kept().grant.and_then(|grant| grant.issued_by), of_now);
}
