//! Several access tokens of one grant (RFC 8707): each cached and refreshed on its own, one request
//! at a time, and all over one refresh token that may change at each use.

use super::*;

fn of(resource: &str) -> TokenKey {
    TokenKey::new(Some(format!("https://{resource}.example")), &[])
}

/// A token of this name for so many seconds, and the next refresh token.
fn issue(name: &str, seconds: u64, refresh: &str) -> Outcome {
    let body = format!(
        r#"{{"access_token":"{name}","expires_in":{seconds},"refresh_token":"{refresh}"}}"#
    );
    json(200, &body)
}

impl Rig {
    fn ask(&mut self, key: &TokenKey) -> Option<String> {
        let answer = self.session.token(key, Duration::ZERO, self.now);
        self.drain();
        match answer {
            TokenAnswer::Ready(access) => Some(access.token.expose().to_string()),
            TokenAnswer::Pending | TokenAnswer::SignInNeeded | TokenAnswer::Refused => None,
        }
    }

    /// The only request there is: for this resource, with this refresh token.
    fn refreshes(&self, resource: Option<&str>, token: &str) -> bool {
        let named = format!("resource=https%3A%2F%2F{}.example", resource.unwrap_or_default());
        let right =
            resource.map_or(!self.body().contains("resource="), |_| self.body().contains(&named));
        self.sent.len() == 1 && right && self.body().contains(&format!("refresh_token={token}&"))
    }
}

#[test]
fn each_resource_has_a_token_of_its_own_and_the_refresh_token_goes_from_one_to_the_next() {
    let mut rig = Rig::signed_in();
    let (a, b) = (of("a"), of("b"));
    assert_eq!((rig.ask(&a), rig.ask(&b)), (None, None));
    assert!(rig.refreshes(Some("a"), "rt-1"), "one at a time: {}", rig.body());
    rig.answer(&issue("at-a", 3_600, "rt-2"));
    assert!(rig.refreshes(Some("b"), "rt-2"), "with the newest: {}", rig.body());
    rig.answer(&issue("at-b", 3_600, "rt-3"));
    let default = TokenKey::default();
    for _ in 0..3 {
        assert_eq!(rig.ask(&a).as_deref(), Some("at-a"));
        assert_eq!(rig.ask(&b).as_deref(), Some("at-b"));
        assert_eq!(rig.ask(&default).as_deref(), Some("at-rt-1"));
    }
    assert!(rig.sent.is_empty(), "cached");
    assert_eq!(refresh_token(&rig.kept()), "rt-3");
}

#[test]
fn each_is_refreshed_when_its_own_time_has_come_while_it_is_used() {
    let mut rig = Rig::signed_in();
    let (quick, slow) = (of("quick"), of("slow"));
    rig.ask(&quick);
    rig.answer(&issue("quick-0", 600, "rt-2"));
    rig.ask(&slow);
    rig.answer(&issue("slow-0", 36_000, "rt-3"));
    let (mut quicks, mut defaults, mut slows) = (0, 0, 0);
    for round in 0..60 {
        rig.pass(60);
        while !rig.sent.is_empty() {
            let (name, seconds, count) = match rig.body() {
                body if body.contains("quick") => ("quick", 600, &mut quicks),
                body if body.contains("slow") => ("slow", 36_000, &mut slows),
                _ => ("default", 3_600, &mut defaults),
            };
            *count += 1;
            rig.answer(&issue(&format!("{name}-{round}"), seconds, &format!("rt-{round}")));
        }
        assert!(rig.ask(&quick).is_some_and(|token| token.starts_with("quick")), "{round}");
        assert!(rig.ask(&slow).is_some_and(|token| token.starts_with("slow")));
    }
    assert!((7..=13).contains(&quicks), "{quicks} in an hour, each lives for ten minutes");
    assert_eq!((defaults, slows), (1, 0));
    // Nobody asks for it any more: it is let go after one more time.
    for _ in 0..3 {
        rig.pass(600);
        while !rig.sent.is_empty() {
            rig.answer(&issue("at-x", 600, "rt-x"));
        }
    }
    rig.pass(3_000);
    assert!(!rig.body().contains("quick"), "{}", rig.body());
}

#[test]
fn a_refusal_of_one_touches_no_other() {
    let mut rig = Rig::signed_in();
    let a = of("a");
    rig.ask(&a);
    rig.answer(&issue("at-a", 3_600, "rt-2"));
    let TokenAnswer::Ready(access) = rig.session.token(&a, Duration::ZERO, rig.now) else {
        panic!("a token")
    };
    rig.session.handle_rejected(&a, access.generation, rig.now);
    rig.drain();
    assert!(rig.refreshes(Some("a"), "rt-2"), "{}", rig.body());
    assert_eq!(rig.ask(&TokenKey::default()).as_deref(), Some("at-rt-1"));
    assert_eq!(rig.session.state(), State::Online);
    rig.answer(&error("invalid_target"));
    assert_eq!(rig.ask(&TokenKey::default()).as_deref(), Some("at-rt-1"));
    assert_eq!(rig.session.token(&a, Duration::ZERO, rig.now), TokenAnswer::Refused);
    rig.pass(601);
    assert_eq!(rig.ask(&a), None);
    assert!(rig.body().contains("resource="), "asked for again after a while");
}

#[test]
fn after_a_restart_each_comes_when_it_is_asked_for() {
    let mut rig = Rig::signed_in();
    rig.ask(&of("a"));
    rig.answer(&issue("at-a", 3_600, "rt-2"));
    let mut rig = rig.restarted();
    assert!(rig.refreshes(None, "rt-2"), "the sign-in's own: {}", rig.body());
    rig.answer(&issue("at-d", 3_600, "rt-3"));
    assert!(rig.sent.is_empty());
    rig.ask(&of("a"));
    assert!(rig.refreshes(Some("a"), "rt-3"), "{}", rig.body());
}

#[test]
fn what_the_issuer_says_of_one_kind_of_token_suspends_no_grant() {
    for code in ["invalid_grant", "interaction_required"] {
        let mut rig = Rig::signed_in();
        let a = of("a");
        assert_eq!(rig.ask(&a), None);
        rig.answer(&error(code));
        assert_eq!(rig.session.grant().status, GrantStatus::Held, "{code}");
        assert_eq!(rig.ask(&TokenKey::default()).as_deref(), Some("at-rt-1"), "{code}");
        assert_eq!(rig.session.token(&a, Duration::ZERO, rig.now), TokenAnswer::Refused, "{code}");
        // Whether the grant itself is over is asked with the sign-in's own kind of token.
        rig.pass(61);
        assert!(rig.refreshes(None, "rt-1"), "{code}: {}", rig.body());
        rig.answer(&error("invalid_grant"));
        assert_eq!(rig.session.grant().status, GrantStatus::Suspended, "{code}");
    }
}

#[test]
fn a_kind_of_token_that_is_withdrawn_is_not_asked_for_over_and_over() {
    let mut rig = Rig::signed_in();
    let a = of("a");
    rig.ask(&a);
    rig.answer(&issue("at-a", 600, "rt-2"));
    assert_eq!(rig.ask(&a).as_deref(), Some("at-a"));
    let mut asked = 0;
    for _ in 0..10 {
        rig.pass(60);
        while !rig.sent.is_empty() {
            asked += 1;
            assert!(asked < 5, "a storm");
            rig.answer(&error("invalid_target"));
        }
    }
    assert_eq!(asked, 1);
}

#[test]
fn a_token_that_comes_after_the_sign_out_is_revoked() {
    let mut rig = Rig::signed_in();
    rig.ask(&of("a"));
    assert!(rig.refreshes(Some("a"), "rt-1"), "{}", rig.body());
    rig.session.sign_out(rig.now);
    rig.drain();
    let late = rig.sent.remove(0);
    let late_reply = issue("at-a", 3_600, "rt-2");
    rig.session.handle_outcome(late.0, &late_reply, rig.now);
    rig.drain();
    let revokes = |token: &str| {
        let token = Secret::new(token);
        move |revocation: &Revocation| revocation.token == token
    };
    let kept = rig.kept();
    assert!(kept.revocations.iter().any(revokes("rt-1")), "{kept:?}");
    assert!(kept.revocations.iter().any(revokes("rt-2")), "{kept:?}");
}

#[test]
fn a_program_that_asks_for_ever_new_kinds_of_token_causes_no_storm() {
    let mut rig = Rig::signed_in();
    let mut refreshes = 0;
    for number in 0..300 {
        let scopes = [format!("scope-{number}")];
        rig.ask(&TokenKey::new(None, &scopes));
        while !rig.sent.is_empty() {
            refreshes += 1;
            rig.answer(&issue(&format!("at-{number}"), 3_600, &format!("rt-{number}")));
        }
        if number % 5 == 0 {
            rig.pass(1);
        }
    }
    assert!((16..=16 + 7).contains(&refreshes), "{refreshes} in a minute");
    assert_eq!(rig.ask(&TokenKey::default()).as_deref(), Some("at-rt-1"), "nobody else waits");
    let own = of("telemetry");
    assert_eq!(rig.session.delivery_token(&own, rig.now), TokenAnswer::Pending);
    rig.drain();
    assert!(rig.body().contains("telemetry"), "nor does the device itself: {}", rig.body());
}
