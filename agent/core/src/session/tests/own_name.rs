//! The device in its own name: asked for where it is wanted, slowly where it is refused, and never
//! at the cost of the user's grant.

use super::*;
use crate::issuer::OwnName;

const OWN: &str = r#"{"access_token":"at-own","token_type":"Bearer","expires_in":3600}"#;

fn own_config() -> SessionConfig {
    let mut config = config();
    config.issuer.client_auth = ClientAuth::SecretPost(Secret::new("s3"));
    config.issuer.own_name = Some(OwnName {
        scopes: vec!["telemetry.write".into()],
        resource: Some("https://t.example".into()),
        audience: None,
    });
    config
}

impl Rig {
    fn own_token(&mut self) -> TokenAnswer {
        let answer = self.session.delivery_token(&TokenKey::own_name(), self.now);
        self.drain();
        answer
    }

    /// What left that asks for a token in the device's own name.
    fn own_requests(&self) -> usize {
        let is_own = |request: &Request| match &request.body {
            Some(Body::Form(form)) => form.expose().contains("client_credentials"),
            Some(Body::Protobuf(_)) | None => false,
        };
        self.sent.iter().filter(|(_, request)| is_own(request)).count()
    }

    fn has_own(&mut self) -> bool {
        matches!(self.own_token(), TokenAnswer::Ready(access) if access.token.expose() == "at-own")
    }
}

/// Nobody signs in; the first request (for a code) is out of the way.
fn alone(config: SessionConfig) -> Rig {
    let mut rig = Rig::new(config, Stored::default());
    rig.sent.clear();
    rig
}

#[test]
fn a_token_comes_by_the_clients_credentials_before_anyone_signs_in() {
    let mut rig = alone(own_config());
    assert_eq!(rig.own_requests(), 0, "only where it is wanted");
    assert_eq!(rig.own_token(), TokenAnswer::Pending);
    for part in [
        "grant_type=client_credentials",
        "scope=telemetry.write",
        "resource=https%3A%2F%2Ft.example",
        "client_id=signpost",
        "client_secret=s3",
    ] {
        assert!(rig.body().contains(part), "{}", rig.body());
    }
    rig.own_token();
    assert_eq!(rig.own_requests(), 1, "one exchange, however often it is asked for");
    rig.answer(&json(200, OWN));
    assert!(rig.has_own());
    assert_eq!(rig.session.own_name().0, OwnNameStatus::Held);
    assert_eq!(rig.session.owner(), OwnerId::DEVICE);
    assert_eq!(rig.token(), TokenAnswer::SignInNeeded, "no program gets it");
    assert_eq!(
        rig.session.token(&TokenKey::own_name(), Duration::ZERO, rig.now),
        TokenAnswer::Refused
    );
}

#[test]
fn nothing_is_asked_for_in_a_name_that_is_not_to_be_used() {
    let mut rig = alone(config());
    assert_eq!(rig.own_token(), TokenAnswer::Refused);
    rig.pass(3_600);
    assert_eq!((rig.own_requests(), rig.session.own_name().0), (0, OwnNameStatus::Off));
}

#[test]
fn it_needs_no_device_endpoint() {
    let mut config = own_config();
    config.issuer.explicit.device_authorization = None;
    let mut rig = alone(config);
    assert_eq!(rig.own_token(), TokenAnswer::Pending);
    assert_eq!(rig.own_requests(), 1);
    rig.answer(&json(200, OWN));
    assert!(rig.has_own());
}

#[test]
fn it_is_renewed_while_it_is_used_and_not_otherwise() {
    let mut rig = alone(own_config());
    rig.own_token();
    rig.answer(&json(200, OWN));
    rig.session.end_pairing(Ending::Expired);
    rig.sent.clear();
    rig.pass(3_600);
    assert_eq!(rig.own_requests(), 0);
    rig.own_token();
    rig.answer(&json(200, OWN));
    assert!(rig.has_own());
    rig.pass(3_000);
    assert_eq!(rig.own_requests(), 1, "at 50 to 80 % of its life");
}

#[test]
fn a_refusal_is_a_fault_that_is_asked_about_slowly_and_touches_no_grant() {
    let mut rig = Rig::new(own_config(), Stored::default());
    rig.answer(&json(200, CODE));
    rig.pass(5);
    rig.answer(&tokens("anna", "rt-1"));
    let kept = rig.kept();
    let mut asked = 0;
    let end = rig.now.boot + Duration::from_secs(86_400);
    rig.own_token();
    while rig.now.boot < end {
        while let Some((_, request)) = rig.sent.first() {
            let Some(Body::Form(form)) = &request.body else { panic!("a form") };
            if form.expose().contains("client_credentials") {
                asked += 1;
                rig.answer(&json(401, r#"{"error":"unauthorized_client"}"#));
            } else {
                rig.answer(&json(200, r#"{"access_token":"a","expires_in":3600}"#));
            }
        }
        assert_eq!(rig.own_token(), TokenAnswer::Refused);
        rig.pass(60);
    }
    assert!((20..60).contains(&asked), "{asked} in a day");
    assert!(rig.session.faults().has(Fault::OwnNameRefused));
    assert!(!rig.session.faults().has(Fault::ClientRefused));
    assert_eq!(rig.session.own_name().0, OwnNameStatus::Refused);
    assert_eq!(rig.session.state(), State::Online);
    let grant = rig.kept().grant.expect("the grant");
    assert_eq!(Some(grant.credential), kept.grant.map(|grant| grant.credential));
    // Somebody allows it.
    rig.pass(3_600);
    let own = rig.sent.iter().position(|(_, request)| {
        matches!(&request.body, Some(Body::Form(form)) if form.expose().contains("client_cred"))
    });
    rig.sent.swap(0, own.expect("asked again"));
    rig.answer(&json(200, OWN));
    assert!(rig.has_own() && !rig.session.faults().has(Fault::OwnNameRefused));
}

#[test]
fn trouble_is_no_refusal_and_retry_after_outlives_a_restart() {
    let mut rig = alone(own_config());
    rig.own_token();
    rig.answer(&Outcome::Lost(Cause::Timeout));
    assert_eq!(rig.own_token(), TokenAnswer::Pending);
    assert_eq!(rig.own_requests(), 0, "not at once");
    rig.pass(5);
    let Outcome::Reply(mut busy) = json(503, "{}") else { panic!("a reply") };
    busy.headers.push(("retry-after".into(), "900".into()));
    rig.answer(&Outcome::Reply(busy));
    let (record, carried) = (Some(rig.kept()), rig.carried.clone());
    assert!(carried.quiet.own_name.is_some());
    let mut rig = Rig::at(own_config(), Stored { record, carried, ..Stored::default() }, rig.now);
    rig.own_token();
    rig.pass(890);
    assert_eq!(rig.own_requests(), 0);
    rig.pass(11);
    assert_eq!(rig.own_requests(), 1);
}

#[test]
fn invariant_6_it_waits_for_the_clock() {
    let early = Now { wall: Some(Wall::new(Duration::ZERO)), ..at(0) };
    let mut rig = Rig::at(own_config(), Stored::default(), early);
    assert_eq!(rig.own_token(), TokenAnswer::Pending);
    rig.pass(60);
    assert_eq!(rig.own_requests(), 0);
    rig.now = at(100);
    rig.session.handle_timeout(rig.now);
    rig.drain();
    assert_eq!(rig.own_requests(), 1);
}

#[test]
fn invariant_10_one_exchange_at_a_time_whoevers() {
    let mut rig = Rig::new(own_config(), Stored::default());
    rig.answer(&json(200, CODE));
    rig.pass(5);
    rig.answer(&tokens("anna", "rt-1"));
    rig.pass(3_600);
    assert!(rig.body().contains("refresh_token"), "{}", rig.body());
    rig.own_token();
    assert_eq!((rig.sent.len(), rig.own_requests()), (1, 0), "the refresh is under way");
    rig.answer(&renewed("rt-2"));
    assert_eq!((rig.sent.len(), rig.own_requests()), (1, 1));
    let key = TokenKey::default();
    let generation = rig.access().generation;
    rig.session.handle_rejected(&key, generation, rig.now);
    rig.drain();
    assert_eq!(rig.sent.len(), 1, "and the other way round");
    rig.answer(&json(200, OWN));
    assert!(rig.body().contains("refresh_token=rt-2"));
}

#[test]
fn sign_out_takes_the_users_tokens_and_leaves_its_own() {
    let mut rig = Rig::new(own_config(), Stored::default());
    rig.answer(&json(200, CODE));
    rig.pass(5);
    rig.answer(&tokens("anna", "rt-1"));
    rig.own_token();
    rig.answer(&json(200, OWN));
    assert!(rig.has_own());
    rig.session.sign_out(rig.now);
    rig.drain();
    assert_eq!(rig.token(), TokenAnswer::SignInNeeded);
    assert!(rig.has_own());
}

#[test]
fn a_bound_token_of_its_own_goes_with_its_key() {
    let mut config = own_config();
    config.issuer.dpop = true;
    let mut rig = alone(config);
    assert_eq!(rig.keys, 1, "a key for its own name alone");
    rig.own_token();
    assert_eq!(rig.sent[0].1.unsigned.len(), 1, "with a proof");
    // Asked for a nonce, it says it once more at once.
    let Outcome::Reply(mut wants) = error("use_dpop_nonce") else { panic!("a reply") };
    wants.headers.push(("dpop-nonce".into(), "n-1".into()));
    rig.answer(&Outcome::Reply(wants));
    assert_eq!(rig.own_requests(), 1);
    rig.answer(&json(200, &OWN.replace("Bearer", "DPoP")));
    assert!(rig.has_own());
    rig.session.sign_out(rig.now);
    rig.drain();
    assert_eq!(rig.keys, 2);
    assert_eq!(rig.own_token(), TokenAnswer::Pending, "it was bound to the key before");
}
