//! `Retry-After`: wins over every other timing, and over restarts of the agent.

use super::*;

const IN_A_QUARTER: &str = "Fri, 15 Jan 2027 08:15:00 GMT";

/// A server that wants to be left alone until then.
fn busy(status: u16, body: &str, until: &str) -> Outcome {
    let Outcome::Reply(mut reply) = json(status, body) else { panic!("a reply") };
    reply.headers.push(("date".into(), "Fri, 15 Jan 2027 08:00:00 GMT".into()));
    reply.headers.push(("retry-after".into(), until.into()));
    Outcome::Reply(reply)
}

/// Every way in which it can be said, with an OAuth error or without.
fn every_way() -> [Outcome; 6] {
    [
        busy(503, "", "900"),
        busy(429, "<html>", "900"),
        busy(429, r#"{"error":"slow_down"}"#, "900"),
        busy(502, "{}", IN_A_QUARTER),
        busy(400, r#"{"error":"temporarily_unavailable"}"#, IN_A_QUARTER),
        busy(400, r#"{"error":"invalid_client"}"#, "900"),
    ]
}

impl Rig {
    /// Restarts every five minutes; nothing may be asked in a quarter of an hour but a second.
    fn silent_over_restarts(mut self, why: &Outcome) -> Self {
        for _ in 0..3 {
            self = self.restarted();
            assert!(self.sent.is_empty(), "{why:?}: {:?}", self.sent);
            self.pass(298);
            assert!(self.sent.is_empty(), "{why:?}: {:?}", self.sent);
        }
        self
    }
}

#[test]
fn a_refresh_waits_over_restarts() {
    for why in every_way() {
        let mut rig = Rig::signed_in();
        rig.pass(3_600);
        rig.answer(&why);
        let mut rig = rig.silent_over_restarts(&why);
        rig.pass(10);
        assert!(rig.body().contains("refresh_token=rt-1"), "{why:?}");
        rig.answer(&renewed("rt-2"));
        assert_eq!(rig.session.state(), State::Online);
        assert_eq!(rig.carried, Carried::default(), "nothing is left behind");
    }
}

#[test]
fn a_code_is_not_asked_for_sooner_whoever_presses_the_button() {
    for why in every_way() {
        let mut rig = Rig::fresh();
        rig.answer(&why);
        let mut rig = rig.silent_over_restarts(&why);
        rig.session.sign_in(rig.now);
        rig.drain();
        assert!(rig.sent.is_empty(), "{why:?}");
        rig.pass(10);
        assert!(rig.body().starts_with("scope="), "{why:?}: {}", rig.body());
    }
}

#[test]
fn a_revocation_waits_over_restarts() {
    let why = busy(503, "", "900");
    let mut rig = Rig::signed_in();
    rig.session.sign_out(rig.now);
    rig.drain();
    rig.answer(&why);
    let is_revocation = |(_, request): &(RequestId, Request)| request.url.ends_with("/revoke");
    for _ in 0..3 {
        rig = rig.restarted();
        rig.pass(298);
        assert!(!rig.sent.iter().any(is_revocation), "{:?}", rig.sent);
    }
    rig.pass(10);
    assert!(rig.sent.iter().any(is_revocation));
}

#[test]
fn invariant_5_a_poll_waits_over_a_restart_also_where_the_error_is_oauths() {
    for why in every_way().into_iter().take(5) {
        let mut rig = Rig::fresh();
        rig.answer(&json(200, &CODE.replace("600", "3600")));
        rig.pass(5);
        rig.answer(&why);
        let mut rig = rig.silent_over_restarts(&why);
        rig.pass(10);
        assert!(rig.body().contains("device_code=dc-secret"), "{why:?}: {}", rig.body());
        assert_eq!(rig.sent.len(), 1);
    }
}

#[test]
fn a_restart_of_the_board_forgets_it() {
    let mut rig = Rig::signed_in();
    rig.pass(3_600);
    rig.answer(&busy(503, "", "86400"));
    rig.carried = Carried::default();
    let rig = rig.restarted();
    assert_eq!(rig.sent.len(), 1);
}
