//! What a profile changes in a session's life.

use super::*;
use crate::profile::{AUTH0, ENTRA, GOOGLE, Profile};

fn of(profile: &'static Profile) -> SessionConfig {
    let mut config = config();
    config.issuer.profile = profile;
    config.issuer.code_lifetime = profile.code_lifetime;
    config
}

fn signed_in_at(profile: &'static Profile) -> Rig {
    let mut rig = Rig::new(of(profile), Stored::default());
    rig.answer(&json(200, CODE));
    rig.pass(5);
    rig.answer(&tokens("anna", "rt-1"));
    rig
}

/// Signed in, and refreshed once.
fn refreshed_at(profile: &'static Profile) -> Rig {
    let mut rig = signed_in_at(profile);
    rig.pass(3_000);
    rig.answer(&renewed("rt-2"));
    rig
}

fn entra(code: u32) -> Outcome {
    json(400, &format!(r#"{{"error":"invalid_grant","error_codes":[{code}]}}"#))
}

#[test]
fn invariant_2_a_loop_breaker_is_obeyed_for_an_hour_and_costs_nothing() {
    let mut rig = signed_in_at(&ENTRA);
    rig.pass(3_000);
    rig.answer(&entra(50_196));
    assert!(rig.session.faults().has(Fault::IssuerUnwell));
    assert_eq!(rig.session.grant().status, GrantStatus::Held);
    rig.pass(3_500);
    assert!(rig.sent.is_empty(), "it said that it is asked too often");
    rig.pass(200);
    rig.answer(&renewed("rt-2"));
    assert_eq!(rig.session.state(), State::Online);
    assert!(!rig.session.faults().has(Fault::IssuerUnwell));
}

#[test]
fn invariant_2_a_final_word_is_not_asked_for_again_and_a_policy_is() {
    for (code, tries) in [(700_082, 0), (53_003, 30)] {
        let mut rig = signed_in_at(&ENTRA);
        rig.pass(3_000);
        let mut asked = 0;
        rig.answer(&entra(code));
        assert_eq!(rig.session.grant().status, GrantStatus::Suspended);
        assert_eq!(refresh_token(&rig.kept()), "rt-1", "sealed until another grant commits");
        for _ in 0..40 {
            rig.pass(86_400);
            rig.sent.retain(|(_, request)| {
                matches!(&request.body,
                Some(Body::Form(form)) if form.expose().contains("refresh_token=rt-1"))
            });
            while !rig.sent.is_empty() {
                rig.answer(&entra(code));
                asked += 1;
            }
        }
        assert_eq!(asked, tries, "{code}");
    }
}

#[test]
fn where_used_tokens_work_on_the_one_before_is_tried_once() {
    let mut rig = refreshed_at(&ENTRA);
    rig.pass(3_000);
    assert!(rig.body().contains("refresh_token=rt-2"));
    rig.answer(&entra(1));
    assert!(rig.body().contains("refresh_token=rt-1"), "{}", rig.body());
    rig.answer(&renewed("rt-3"));
    assert_eq!(rig.session.state(), State::Online);
    assert_eq!(refresh_token(&rig.kept()), "rt-3");

    let mut rig = refreshed_at(&ENTRA);
    rig.pass(3_000);
    rig.answer(&entra(1));
    rig.answer(&entra(1));
    assert_eq!(rig.session.grant().status, GrantStatus::Suspended);
    assert_eq!(refresh_token(&rig.kept()), "rt-2", "the newer one is what is kept to try");
}

#[test]
fn where_reuse_may_end_all_the_one_before_is_not_even_kept() {
    let mut rig = refreshed_at(&AUTH0);
    assert_eq!(rig.kept().grant.and_then(|grant| grant.previous), None);
    rig.pass(3_000);
    rig.answer(&error("invalid_grant"));
    assert!(!rig.body().contains("rt-1"), "{}", rig.body());
    assert_eq!(rig.session.grant().status, GrantStatus::Suspended);
}

#[test]
fn an_intent_is_written_only_where_a_lost_answer_could_cost_the_grant() {
    for (profile, writes) in [(&AUTH0, 1), (&ENTRA, 0), (&GOOGLE, 0)] {
        let mut rig = signed_in_at(profile);
        let before = rig.writes.len();
        rig.pass(3_000);
        assert_eq!(rig.writes.len() - before, writes, "{}", profile.name);
    }
}

#[test]
fn a_code_that_would_die_early_is_renewed_before() {
    let mut rig = Rig::new(of(&ENTRA), Stored::default());
    rig.answer(&json(200, CODE));
    for _ in 0..59 {
        rig.pass(5);
        rig.answer(&error("authorization_pending"));
    }
    rig.pass(5);
    assert!(rig.body().contains("scope="), "a new code at 300 of 600 s: {}", rig.body());
}
