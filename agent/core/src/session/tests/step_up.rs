//! Claims challenges and step-up (RFC 9470): one refresh, then a sign-in with what was asked for.

use super::*;
use crate::wire::Challenge;

const CLAIMS: &str = r#"{"access_token":{"nbf":{"value":"1"}}}"#;

fn claims(json: &str) -> Challenge {
    Challenge { claims: Some(json.into()), ..Challenge::default() }
}

fn stronger() -> Challenge {
    Challenge { acr_values: Some("urn:mfa".into()), max_age: Some(300), ..Challenge::default() }
}

impl Rig {
    /// The backend refuses the token that there is now.
    fn challenged(&mut self, challenge: &Challenge) {
        let access = self.access();
        let (key, now) = (TokenKey::default(), self.now);
        self.session.handle_challenged(&key, access.generation, challenge.clone(), now);
        self.drain();
    }

    fn demands(&self) -> bool {
        let up = self.session.faults().has(Fault::SignInStronger);
        assert_eq!(up, self.session.view() == View::SignInAgain(Fault::SignInStronger));
        assert_eq!(up, self.session.state() == State::Waiting);
        up
    }

    fn settled() -> Self {
        let mut rig = Self::signed_in();
        rig.pass(61);
        rig
    }
}

#[test]
fn claims_are_asked_for_by_one_refresh() {
    let mut rig = Rig::settled();
    let before = rig.access();
    rig.challenged(&claims(CLAIMS));
    assert_eq!(rig.sent.len(), 1, "at once");
    assert!(rig.body().contains("claims=%7B%22access_token"), "{}", rig.body());
    rig.session.handle_challenged(&TokenKey::default(), before.generation, claims(CLAIMS), rig.now);
    rig.drain();
    assert_eq!(rig.sent.len(), 1, "and once");
    rig.answer(&renewed("rt-2"));
    assert!(!rig.demands());
    assert!(rig.access().generation > before.generation);
    rig.session.handle_accepted(rig.now);
    rig.pass(3_600);
    assert!(!rig.body().contains("claims="), "the next refresh is as ever: {}", rig.body());
    rig.answer(&renewed("rt-3"));
    rig.challenged(&claims(CLAIMS));
    rig.pass(60);
    assert!(rig.body().contains("claims="), "another time is another challenge");
}

#[test]
fn claims_that_a_refresh_does_not_bring_are_asked_for_at_the_next_sign_in() {
    for answer in [error("interaction_required"), error("invalid_grant"), error("invalid_request")]
    {
        let mut rig = Rig::settled();
        rig.challenged(&claims(CLAIMS));
        rig.answer(&answer);
        assert!(rig.demands(), "{answer:?}");
        let grant = rig.kept().grant.expect("a grant");
        assert!(grant.suspension.is_none() && !grant.intent, "what was refused are the claims");
        rig.pass(120);
        assert!(!rig.body().contains("claims="), "{}", rig.body());
        rig.answer(&renewed("rt-2"));
        assert_eq!(rig.access().token.expose(), "at-rt-2", "the grant works on for the others");
        assert!(rig.demands());
        rig.session.sign_in(rig.now);
        rig.drain();
        assert!(rig.body().contains("claims=%7B%22access_token"), "{}", rig.body());
    }
}

#[test]
fn a_server_that_is_never_content_costs_one_refresh_and_one_demand() {
    let mut rig = Rig::settled();
    rig.challenged(&claims(CLAIMS));
    rig.answer(&renewed("rt-2"));
    for round in 0..5 {
        rig.challenged(&claims(&CLAIMS.replace('1', &round.to_string())));
        assert!(rig.sent.is_empty(), "no storm of refreshes");
        assert!(rig.demands());
    }
    let demands = rig.events.iter().filter(|e| matches!(e, Event::Challenged { .. })).count();
    assert_eq!(demands, 1);
}

#[test]
fn a_step_up_asks_for_a_sign_in_with_its_parameters_and_keeps_the_grant_until_then() {
    let mut rig = Rig::settled();
    rig.challenged(&stronger());
    assert!(rig.sent.is_empty(), "no refresh makes a sign-in stronger or newer");
    assert!(rig.demands());
    assert_eq!(rig.access().token.expose(), "at-rt-1", "others go on with it");
    rig.session.sign_in(rig.now);
    rig.drain();
    assert!(rig.body().contains("acr_values=urn%3Amfa&max_age=300"), "{}", rig.body());
    rig.answer(&json(200, CODE));
    assert_eq!(rig.access().token.expose(), "at-rt-1");
    rig.pass(5);
    rig.autosave = false;
    rig.answer(&tokens("anna", "rt-9"));
    assert_eq!(rig.access().token.expose(), "at-rt-1", "until the new grant is durable");
    let (version, _) = rig.writes.pop().expect("a write");
    rig.session.handle_persisted(version, true, rig.now);
    rig.drain();
    rig.pass(61);
    assert!(!rig.demands());
    assert_eq!(rig.access().token.expose(), "at-rt-9");
    rig.session.sign_in(rig.now);
    rig.drain();
    assert!(!rig.body().contains("acr_values"), "once: {}", rig.body());
}

#[test]
fn configured_parameters_give_way_to_what_is_asked_for() {
    let mut config = config();
    config.issuer.extra = vec![("acr_values".into(), "low".into()), ("ui".into(), "x".into())];
    let stored = Stored { record: Some(Rig::signed_in().kept()), ..Stored::default() };
    let mut rig = Rig::new(config, stored);
    rig.answer(&renewed("rt-2"));
    rig.challenged(&stronger());
    rig.session.sign_in(rig.now);
    rig.drain();
    assert_eq!(rig.body().matches("acr_values=").count(), 1, "{}", rig.body());
    assert!(rig.body().contains("acr_values=urn%3Amfa") && rig.body().contains("ui=x"));
}

#[test]
fn it_is_over_when_the_server_takes_a_token_and_when_the_user_signs_out() {
    let mut rig = Rig::settled();
    rig.challenged(&stronger());
    rig.session.handle_accepted(rig.now);
    rig.drain();
    assert!(!rig.demands(), "somebody has relaxed the policy");
    rig.challenged(&stronger());
    rig.session.sign_out(rig.now);
    rig.drain();
    assert!(!rig.session.faults().has(Fault::SignInStronger));
}

#[test]
fn late_challenges_and_those_of_nobody_are_ignored() {
    let mut rig = Rig::settled();
    let old = rig.access();
    rig.pass(3_600);
    rig.answer(&renewed("rt-2"));
    let key = TokenKey::default();
    rig.session.handle_challenged(&key, old.generation, stronger(), rig.now);
    rig.drain();
    assert!(!rig.demands());
    let mut nobody = Rig::fresh();
    nobody.session.handle_challenged(&key, old.generation, stronger(), nobody.now);
    nobody.drain();
    assert_eq!(nobody.session.faults().iter().count(), 0);
}

#[test]
fn invariant_7_what_was_asked_for_is_told_by_its_names_only() {
    let mut rig = Rig::settled();
    rig.challenged(&stronger());
    assert!(rig.events.contains(&Event::Challenged { names: "acr_values and max_age" }));
    let printed = format!("{:?} {:?}", rig.session, rig.events);
    assert!(!printed.contains("urn:mfa"), "{printed}");
}
