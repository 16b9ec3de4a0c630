//! Tokens for other APIs, exchanged for the sign-in's own.

use super::*;
use crate::profile::{ENTRA, GOOGLE};

fn to(audience: &str) -> TokenKey {
    TokenKey::new(None, &[]).exchanged(audience.into())
}

const DOWN: &str = r#"{"access_token":"at-down","token_type":"Bearer","expires_in":1800,
    "issued_token_type":"urn:ietf:params:oauth:token-type:access_token"}"#;

impl Rig {
    fn exchange(&mut self, key: &TokenKey) -> TokenAnswer {
        let answer = self.session.token(key, Duration::ZERO, self.now);
        self.drain();
        answer
    }

    fn has_down(&mut self, key: &TokenKey) -> bool {
        matches!(self.exchange(key), TokenAnswer::Ready(access) if access.token.expose() == "at-down")
    }
}

#[test]
fn the_sign_ins_own_token_is_exchanged_by_the_standard_and_the_answer_is_kept() {
    let mut rig = Rig::signed_in();
    let key = TokenKey::new(None, &["read".into()]).exchanged("https://b.example".into());
    assert_eq!(rig.exchange(&key), TokenAnswer::Pending);
    for part in [
        "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Atoken-exchange",
        "subject_token=at-rt-1&",
        "subject_token_type=urn%3Aietf%3Aparams%3Aoauth%3Atoken-type%3Aaccess_token",
        "audience=https%3A%2F%2Fb.example",
        "scope=read",
    ] {
        assert!(rig.body().contains(part), "{}", rig.body());
    }
    rig.exchange(&key);
    assert_eq!(rig.sent.len(), 1);
    rig.answer(&json(200, DOWN));
    assert!(rig.has_down(&key));
    assert_eq!(rig.access().token.expose(), "at-rt-1", "the sign-in's own is another");
    assert!(rig.sent.is_empty(), "cached");
    // Renewed while it is used, at half to four fifths of its life.
    rig.pass(1_500);
    assert!(rig.body().contains("token-exchange"), "{}", rig.body());
    rig.answer(&json(200, &DOWN.replace("at-down", "at-next")));
    assert!(matches!(rig.exchange(&key), TokenAnswer::Ready(it) if it.token.expose() == "at-next"));
}

#[test]
fn at_entra_it_is_on_behalf_of_and_at_some_not_at_all() {
    let mut config = config();
    config.issuer.profile = &ENTRA;
    let mut rig = Rig::new(config.clone(), Stored::default());
    rig.answer(&json(200, CODE));
    rig.pass(5);
    rig.answer(&tokens("anna", "rt-1"));
    rig.exchange(&to("api://b"));
    for part in [
        "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer",
        "requested_token_use=on_behalf_of",
        "assertion=at-rt-1&",
        "scope=api%3A%2F%2Fb%2F.default",
    ] {
        assert!(rig.body().contains(part), "{}", rig.body());
    }
    assert!(!rig.body().contains("audience="));
    rig.answer(&json(200, DOWN));
    // A rule that allows an API allows no scope of another one.
    let foreign = ["https://graph.example/Mail.Read".into(), "read".into(), "api://b/own".into()];
    let key = TokenKey::new(None, &foreign).exchanged("api://b".into());
    rig.exchange(&key);
    let sent = rig.body().to_string();
    for scope in ["api%3A%2F%2Fb%2Fhttps%3A%2F%2Fgraph.example%2FMail.Read", "api%3A%2F%2Fb%2Fread"]
    {
        assert!(sent.contains(scope), "{sent}");
    }
    assert!(!sent.contains("api%3A%2F%2Fb%2Fapi"), "{sent}");
    let named = DOWN.replace("1800,", "1800,\"scope\":\"api://b/read\",");
    rig.answer(&json(200, &named));
    let TokenAnswer::Ready(access) = rig.exchange(&key) else { panic!("no token") };
    assert!(!access.exceeds(&key));
    config.issuer.profile = &GOOGLE;
    let mut rig = Rig::new(config, Stored::default());
    rig.sent.clear();
    assert_eq!(rig.exchange(&to("b")), TokenAnswer::Refused);
    assert!(rig.sent.is_empty());
}

#[test]
fn a_token_that_is_over_is_refreshed_first() {
    let mut rig = Rig::signed_in();
    let generation = rig.access().generation;
    rig.session.handle_rejected(&TokenKey::default(), generation, rig.now);
    rig.drain();
    rig.exchange(&to("b"));
    assert_eq!(rig.sent.len(), 1, "one exchange at a time");
    assert!(rig.body().contains("refresh_token=rt-1"), "{}", rig.body());
    rig.answer(&renewed("rt-2"));
    assert!(rig.body().contains("subject_token=at-rt-2&"), "{}", rig.body());
    rig.answer(&json(200, DOWN));
    assert!(rig.has_down(&to("b")));
}

#[test]
fn an_exchange_that_waits_causes_no_refresh_by_itself() {
    let mut rig = Rig::signed_in();
    rig.exchange(&to("b"));
    let headers = vec![("retry-after".to_string(), "86400".to_string())];
    rig.answer(&Outcome::Reply(Reply { status: 503, headers, body: vec![] }));
    let mut refreshes = 0;
    for minute in 0..600 {
        rig.pass(60);
        while let Some(body) = rig.sent.first().map(|_| rig.body().to_string()) {
            assert!(body.contains("grant_type=refresh_token"), "{body}");
            refreshes += 1;
            rig.answer(&renewed(&format!("rt-{minute}")));
        }
    }
    assert!(refreshes <= 25, "{refreshes} in ten hours");
}

#[test]
fn a_refusal_is_about_that_one_and_not_asked_again_for_a_while() {
    for code in ["invalid_target", "invalid_grant", "unauthorized_client", "interaction_required"] {
        let mut rig = Rig::signed_in();
        rig.exchange(&to("b"));
        rig.answer(&error(code));
        assert_eq!(rig.exchange(&to("b")), TokenAnswer::Refused, "{code}");
        assert_eq!(rig.session.state(), State::Online);
        assert!(rig.session.faults().iter().next().is_none(), "{code}");
        assert!(matches!(rig.token(), TokenAnswer::Ready(_)));
        rig.exchange(&to("c"));
        rig.answer(&json(200, DOWN));
        assert!(rig.has_down(&to("c")));
        assert!(rig.sent.is_empty(), "{code}");
        rig.pass(601);
        assert_eq!(rig.exchange(&to("b")), TokenAnswer::Pending, "{code}");
    }
    let mut rig = Rig::signed_in();
    rig.exchange(&to("b"));
    rig.answer(&json(200, &DOWN.replace("Bearer", "N_A")));
    assert_eq!(rig.exchange(&to("b")), TokenAnswer::Refused, "no access token");
}

#[test]
fn programs_cause_only_so_many_and_trouble_waits() {
    let mut rig = Rig::signed_in();
    let mut asked = 0;
    for number in 0..40 {
        rig.exchange(&to(&format!("api-{number}")));
        while !rig.sent.is_empty() {
            asked += 1;
            rig.answer(&json(200, DOWN));
        }
    }
    assert_eq!(asked, 16);
    rig.pass(30);
    rig.exchange(&to("late"));
    rig.answer(&Outcome::Lost(Cause::Timeout));
    assert!(rig.sent.is_empty(), "not at once");
    rig.pass(5);
    assert_eq!(rig.sent.len(), 1);
}

#[test]
fn they_end_with_the_sign_in() {
    let mut rig = Rig::signed_in();
    rig.exchange(&to("b"));
    rig.answer(&json(200, DOWN));
    assert!(rig.has_down(&to("b")));
    rig.session.sign_out(rig.now);
    rig.drain();
    assert_eq!(rig.exchange(&to("b")), TokenAnswer::SignInNeeded);
}

#[test]
fn invariant_1_one_that_is_not_durable_yet_is_waited_for_without_spinning() {
    let mut rig = Rig::signed_in();
    let generation = rig.access().generation;
    rig.session.handle_rejected(&TokenKey::default(), generation, rig.now);
    rig.drain();
    rig.exchange(&to("b"));
    rig.autosave = false;
    rig.answer(&renewed("rt-2"));
    rig.pass(20);
    assert!(rig.sent.is_empty(), "rt-2 is not durable");
    let version = rig.writes.last().expect("a write").0;
    rig.autosave = true;
    rig.session.handle_persisted(version, true, rig.now);
    rig.drain();
    assert!(rig.body().contains("subject_token=at-rt-2&"), "{}", rig.body());
}

#[test]
fn the_sign_ins_token_may_be_short_lived() {
    let mut rig = Rig::fresh();
    rig.answer(&json(200, CODE));
    rig.pass(5);
    let Outcome::Reply(reply) = tokens("anna", "rt-1") else { panic!("a reply") };
    let body = String::from_utf8(reply.body.clone()).expect("text").replace("3600", "20");
    rig.answer(&json(200, &body));
    rig.exchange(&to("b"));
    assert!(rig.body().contains("subject_token=at-rt-1&"), "{}", rig.body());
}
