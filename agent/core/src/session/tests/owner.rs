//! Whose the device becomes (design invariants 8 and 11), from the token reply to the view.

use super::*;

#[test]
fn what_a_refresh_brings_for_an_owner_who_is_being_replaced_is_revoked() {
    let until = |saved: bool| {
        let config = SessionConfig { owner: OwnerRule::Any, ..config() };
        let mut rig = Rig::new(config, Stored::default());
        rig.answer(&json(200, CODE));
        rig.pass(5);
        rig.answer(&tokens("anna", "rt-1"));
        rig.session.sign_in(rig.now);
        rig.drain();
        rig.answer(&json(200, CODE));
        // Anna's refresh is under way when Ben's approval comes.
        let generation = rig.access().generation;
        rig.session.handle_rejected(&TokenKey::default(), generation, rig.now);
        rig.drain();
        let (refresh, _) = rig.sent.remove(0);
        rig.autosave = false;
        rig.pass(5);
        rig.answer(&tokens("ben", "rt-ben"));
        let settle = |rig: &mut Rig| {
            rig.autosave = true;
            let version = rig.writes.last().expect("a write").0;
            rig.session.handle_persisted(version, true, rig.now);
            rig.drain();
        };
        if saved {
            settle(&mut rig);
        }
        rig.session.handle_outcome(refresh, &renewed("rt-2"), rig.now);
        rig.drain();
        if !saved {
            settle(&mut rig);
        }
        assert_eq!(rig.session.account().and_then(|it| it.subject.as_deref()), Some("ben"));
        let mut revoked = vec![];
        for _ in 0..10 {
            while !rig.sent.is_empty() {
                let revoked_now = rig.body().split("token=").nth(1).unwrap_or_default();
                revoked.push(revoked_now.split('&').next().unwrap_or_default().to_string());
                rig.answer(&json(200, ""));
            }
            rig.pass(1);
        }
        revoked
    };
    assert_eq!(until(false), ["rt-1", "rt-2"], "between approval and commit");
    assert_eq!(until(true), ["rt-1", "rt-2"], "after the commit");
}

/// The token reply of `subject`, with these further claims.
fn says(subject: &str, rest: &str) -> Outcome {
    let plain = id_token(subject);
    let mut parts = plain.split('.').map(ToString::to_string).collect::<Vec<_>>();
    let claims = URL_SAFE_NO_PAD.decode(&parts[1]).expect("claims");
    let claims = String::from_utf8(claims).expect("text");
    let claims = claims.replacen('{', &format!("{{{rest}"), 1);
    let claims = claims.replace(&(DATE + 600).to_string(), &(DATE + 90_000).to_string());
    parts[1] = URL_SAFE_NO_PAD.encode(claims);
    let (token, refresh) = (parts.join("."), format!("rt-{subject}"));
    json(
        200,
        &format!(
            r#"{{"access_token":"at-{subject}","expires_in":3600,"refresh_token":"{refresh}",
                "id_token":"{token}"}}"#
        ),
    )
}

impl Rig {
    fn under(owner: OwnerRule) -> Self {
        Self::new(SessionConfig { owner, ..config() }, Stored::default())
    }

    /// Somebody starts a sign-in, and this is what comes of it.
    fn comes(&mut self, reply: &Outcome) {
        if self.sent.is_empty() {
            self.session.sign_in(self.now);
            self.drain();
        }
        self.answer(&json(200, CODE));
        self.pass(5);
        self.answer(reply);
    }
}

#[test]
fn invariant_11_every_condition_is_held_against_what_the_issuer_says() {
    let claim = |name: &str, value: &str| Demand::Claim(name.into(), value.into());
    let verified = r#""email":"a@acme.example","email_verified":true,"#;
    let cases: [(Demand, &str, &str); 7] = [
        (Demand::Subject("anna".into()), "", ""),
        (Demand::Tenant("t-1".into()), r#""tid":"t-1","#, r#""tid":"t-2","#),
        (Demand::Tenant("org_1".into()), r#""org_id":"org_1","#, ""),
        (
            Demand::Domain("acme.example".into()),
            verified,
            r#""email":"a@acme.example","email_verified":false,"#,
        ),
        (Demand::Domain("acme.example".into()), r#""hd":"acme.example","#, r#""hd":"evil","#),
        (claim("groups", "ops"), r#""groups":["dev","ops"],"#, r#""groups":["dev"],"#),
        (claim("level", "3"), r#""level":3,"#, r#""level":"13","#),
    ];
    for (demand, good, bad) in cases {
        let by_name = matches!(demand, Demand::Subject(_));
        let rule = OwnerRule::Only(vec![demand.clone()]);
        let mut rig = Rig::under(rule.clone());
        rig.comes(&says("anna", good));
        assert_eq!(rig.session.state(), State::Online, "{demand:?}");
        let mut rig = Rig::under(rule.clone());
        rig.comes(&says(if by_name { "ben" } else { "anna" }, bad));
        assert!(matches!(rig.session.view(), View::WrongAccount(None)), "{demand:?}");
        assert!(rig.events.contains(&Event::OwnerRefused));
        assert!(rig.kept().grant.is_none() && rig.body().contains("token=rt-"), "{demand:?}");
        // All conditions of a rule must hold, and no id_token meets none.
        let both = OwnerRule::Only(vec![demand, Demand::Subject("nobody".into())]);
        let mut rig = Rig::under(both);
        rig.comes(&says("anna", good));
        assert!(rig.events.contains(&Event::OwnerRefused));
        let mut rig = Rig::under(rule);
        rig.comes(&renewed("rt-1"));
        assert!(rig.events.contains(&Event::OwnerRefused));
    }
}

#[test]
fn invariants_8_and_11_a_suspended_grant_keeps_its_owner_against_others_and_for_its_own() {
    let mut rig = Rig::signed_in();
    let owner = rig.session.owner();
    rig.pass(3_600);
    rig.answer(&error("invalid_grant"));
    rig.comes(&says("ben", ""));
    assert!(matches!(rig.session.view(), View::WrongAccount(Some(_))));
    assert_eq!(rig.session.owner(), owner);
    assert!(rig.session.forgetting().is_none(), "the key stays");
    assert_eq!(refresh_token(&rig.kept()), "rt-1");
    rig.answer(&json(200, ""));
    rig.comes(&says("anna", ""));
    assert!(matches!(rig.session.view(), View::SignedIn(_)), "{:?}", rig.session.view());
    assert_eq!(rig.session.owner(), owner, "again, and not anew");
    assert!(rig.events.contains(&Event::SignedIn { replaced: false }));
    assert!(!rig.events.contains(&Event::SignedIn { replaced: true }));
    assert!(rig.sent.is_empty(), "a replaced token of the same person ends by itself");
}

#[test]
fn invariant_8_somebody_else_in_place_of_the_owner_is_told_apart_and_gets_nothing_of_theirs() {
    let domain = OwnerRule::Only(vec![Demand::Domain("acme.example".into())]);
    let colleague = r#""hd":"acme.example","#;
    for rule in [OwnerRule::Any, domain] {
        let mut rig = Rig::under(rule);
        rig.comes(&says("anna", colleague));
        let anna = rig.session.owner();
        rig.comes(&says("ben", colleague));
        assert!(matches!(rig.session.view(), View::NewOwner(Some(_))));
        assert!(rig.events.contains(&Event::SignedIn { replaced: true }));
        assert_ne!(rig.session.owner(), anna, "records from now on are another's");
        assert_eq!(rig.access().token.expose(), "at-ben");
        assert!(rig.body().contains("token=rt-anna"), "revoked: {}", rig.body());
        rig.answer(&json(200, ""));
        rig.pass(61);
        assert_eq!(rig.session.view(), View::Online, "the notice goes");
        rig.comes(&says("ben", colleague));
        assert!(matches!(rig.session.view(), View::SignedIn(_)), "again is not anew");
    }
}
