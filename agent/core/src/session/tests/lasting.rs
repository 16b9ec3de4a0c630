//! Sign-ins without a refresh token: one token, which nothing replaces.

use super::*;

const LASTING: &str = r#"{"access_token":"gho-1","token_type":"bearer","scope":"telemetry.write"}"#;

fn signed_in(reply: &str) -> Rig {
    // Nobody is named, so nobody can be told from the first.
    let config = SessionConfig { owner: OwnerRule::Any, ..config() };
    let mut rig = Rig::new(config, Stored::default());
    rig.answer(&json(200, CODE));
    rig.pass(5);
    rig.answer(&json(200, reply));
    rig
}

fn refuse(rig: &mut Rig) {
    let generation = rig.access().generation;
    rig.session.handle_rejected(&TokenKey::default(), generation, rig.now);
    rig.drain();
}

#[test]
fn a_token_that_is_refused_and_cannot_be_renewed_asks_for_a_sign_in_with_the_reason() {
    let mut rig = signed_in(LASTING);
    rig.pass(61);
    refuse(&mut rig);
    assert_eq!(rig.session.state(), State::Online, "once may be an accident");
    refuse(&mut rig);
    assert_eq!(rig.session.view(), View::SignInAgain(Fault::OnlyTokenRefused));
    assert_eq!(rig.session.state(), State::Waiting);
    assert!(rig.sent.is_empty(), "there is nothing to refresh");
    // It is not the issuer's word: the sign-in is kept, and programs get the token still.
    assert_eq!(rig.session.grant().status, GrantStatus::Held);
    assert!(matches!(rig.token(), TokenAnswer::Ready(_)));
    // Somebody comes.
    rig.session.sign_in(rig.now);
    rig.drain();
    rig.answer(&json(200, CODE));
    rig.pass(5);
    rig.answer(&json(200, &LASTING.replace("gho-1", "gho-2")));
    assert!(!rig.session.faults().has(Fault::OnlyTokenRefused));
}

#[test]
fn a_server_that_takes_it_again_takes_the_question_back() {
    let mut rig = signed_in(LASTING);
    rig.pass(61);
    refuse(&mut rig);
    rig.session.handle_accepted(rig.now);
    refuse(&mut rig);
    assert_eq!(rig.session.state(), State::Online, "they were not in a row");
    refuse(&mut rig);
    assert_eq!(rig.session.state(), State::Waiting);
    rig.session.handle_accepted(rig.now);
    assert_eq!(rig.session.state(), State::Online);
    refuse(&mut rig);
    refuse(&mut rig);
    rig.session.sign_out(rig.now);
    assert!(!rig.session.faults().has(Fault::OnlyTokenRefused));
}

#[test]
fn a_bound_token_is_no_bearer_token_after_a_restart() {
    let rig = signed_in(&LASTING.replace("bearer", "DPoP"));
    assert!(rig.kept().grant.is_some_and(|grant| grant.bound));
    assert!(rig.restarted().access().is_bound());
    let rig = signed_in(LASTING);
    assert!(!rig.restarted().access().is_bound());
}

#[test]
fn invariant_6_its_end_is_reckoned_by_a_date_that_can_be_believed() {
    let reply = LASTING.replace("\"scope\"", "\"expires_in\":7200,\"scope\"");
    let before = signed_in(&reply);
    let stored = || Stored { record: Some(before.kept()), ..Stored::default() };
    // An hour later, in a new run of the board that thinks it is 1970.
    let early = Now { wall: Some(Wall::new(Duration::ZERO)), ..at(0) };
    let mut rig = Rig::at(config(), stored(), early);
    assert_eq!(rig.token(), TokenAnswer::Pending);
    rig.pass(60);
    assert_eq!(rig.token(), TokenAnswer::Pending);
    rig.now.wall = at(3_605).wall;
    rig.session.handle_timeout(rig.now);
    let left = rig.access().expires.expect("an end").since(rig.now.boot).as_secs();
    assert_eq!(left, 3_600);
    rig.pass(3_601);
    assert_eq!(rig.session.view(), View::SignInAgain(Fault::SignInAgain));
    // One without an end needs no date.
    let record = Some(signed_in(LASTING).kept());
    let mut rig = Rig::at(config(), Stored { record, ..Stored::default() }, early);
    assert!(matches!(rig.token(), TokenAnswer::Ready(_)));
}
