//! The session against scripted replies: no network, no clock, no sleeping.

mod blocked;
mod elsewhere;
mod ending;
mod endpoints;
mod exchange;
mod identity;
mod lasting;
mod own_name;
mod owner;
mod proofs;
mod quiet;
mod resources;
mod retired;
mod step_up;
mod vendors;
mod words;

use super::*;
use crate::{
    http::{Cause, Reply},
    issuer::ExplicitEndpoints,
    jws::DeviceKey,
    owner::Demand,
    profile::GENERIC,
    wire::scope_list,
};
use alloc::{
    format,
    string::{String, ToString},
    vec,
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

const START: u64 = 1_000;
const DATE: u64 = 1_800_000_000;
const CODE: &str = r#"{"device_code":"dc-secret","user_code":"WDJB-MJHT","interval":5,
    "verification_uri":"https://idp.example/device","expires_in":600}"#;

/// A session, its time, and the world's answers to what it wants.
struct Rig {
    session: Session,
    now: Now,
    sent: Vec<(RequestId, Request)>,
    writes: Vec<(u64, SessionRecord)>,
    events: Vec<Event>,
    /// What flash and runtime folder held at the start, or hold since.
    stored: SessionRecord,
    carried: Carried,
    autosave: bool,
    /// How many keys were asked for and made.
    keys: u8,
}

fn key(number: u8) -> DeviceKey {
    DeviceKey(Secret::new(number.to_string()))
}

fn at(seconds: u64) -> Now {
    let span = Duration::from_secs;
    Now { boot: Boot::new(span(START + seconds)), wall: Some(Wall::new(span(DATE + seconds))) }
}

fn config() -> SessionConfig {
    SessionConfig {
        issuer: IssuerConfig {
            profile: &GENERIC,
            code_lifetime: None,
            url: Some("https://idp.example".into()),
            explicit: ExplicitEndpoints {
                device_authorization: Some("https://idp.example/code".into()),
                token: Some("https://idp.example/token".into()),
                revocation: Some("https://idp.example/revoke".into()),
                jwks: None,
            },
            client_id: "signpost".into(),
            client_auth: ClientAuth::None,
            dpop: false,
            scopes: vec!["openid".into(), "offline_access".into()],
            resource: None,
            audience: None,
            extra: vec![],
            own_name: None,
        },
        owner: OwnerRule::First,
        renewals: 3,
        clock_floor: Wall::new(Duration::from_secs(DATE - 1_000)),
        verify: identity::verify,
    }
}

fn json(status: u16, body: &str) -> Outcome {
    let headers = vec![("content-type".to_string(), "application/json".to_string())];
    Outcome::Reply(Reply { status, headers, body: body.as_bytes().to_vec() })
}

fn error(code: &str) -> Outcome {
    json(400, &format!(r#"{{"error":"{code}"}}"#))
}

fn id_token(subject: &str) -> String {
    let claims = format!(
        r#"{{"iss":"https://idp.example","aud":"signpost","sub":"{subject}","exp":{}}}"#,
        DATE + 600
    );
    let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"ES256"}"#);
    format!("{header}.{}.c2ln", URL_SAFE_NO_PAD.encode(claims))
}

fn tokens(subject: &str, refresh: &str) -> Outcome {
    json(
        200,
        &format!(
            r#"{{"access_token":"at-{refresh}","token_type":"Bearer","expires_in":3600,
                "refresh_token":"{refresh}","id_token":"{}"}}"#,
            id_token(subject)
        ),
    )
}

fn renewed(refresh: &str) -> Outcome {
    let body = r#"{"access_token":"at-RT","expires_in":3600,"refresh_token":"RT"}"#;
    json(200, &body.replace("RT", refresh))
}

impl Rig {
    fn new(config: SessionConfig, stored: Stored) -> Self {
        Self::at(config, stored, at(0))
    }

    fn at(config: SessionConfig, stored: Stored, now: Now) -> Self {
        let mut rig = Self::undrained(config, stored, now);
        rig.drain();
        rig
    }

    /// Nothing that it wants is done yet.
    fn idle(config: SessionConfig) -> Self {
        Self::undrained(config, Stored::default(), at(0))
    }

    fn undrained(config: SessionConfig, stored: Stored, now: Now) -> Self {
        let (record, carried) = (stored.record.clone(), stored.carried.clone());
        Self {
            session: Session::new(config, stored, 7, now),
            now,
            sent: vec![],
            writes: vec![],
            events: vec![],
            stored: record.unwrap_or_default(),
            carried,
            autosave: true,
            keys: 0,
        }
    }

    fn fresh() -> Self {
        Self::new(config(), Stored::default())
    }

    fn signed_in() -> Self {
        let mut rig = Self::fresh();
        rig.answer(&json(200, CODE));
        rig.pass(5);
        rig.answer(&tokens("anna", "rt-1"));
        rig
    }

    /// The agent starts again, with what flash holds.
    fn restarted(&self) -> Self {
        let (record, carried) = (Some(self.kept()), self.carried.clone());
        Self::at(config(), Stored { record, carried, ..Stored::default() }, self.now)
    }

    fn drain(&mut self) {
        loop {
            while let Some(event) = self.session.poll_event() {
                self.events.push(event);
            }
            if self.session.poll_key() {
                self.keys += 1;
                self.session.handle_key(key(self.keys), self.now);
            }
            self.sent.extend(core::iter::from_fn(|| self.session.poll_send()));
            while let Some(carried) = self.session.poll_runtime() {
                self.carried = carried;
            }
            match self.session.poll_persist() {
                Some(Persist::Record { version, record }) => {
                    self.writes.push((version, record));
                    if self.autosave {
                        self.session.handle_persisted(version, true, self.now);
                    }
                }
                Some(Persist::Metadata(_) | Persist::Keys(_)) => {}
                None => break,
            }
        }
    }

    /// Lets time pass, waking the session whenever it asks to.
    fn pass(&mut self, seconds: u64) {
        let end = self.now.boot + Duration::from_secs(seconds);
        let mut wakes = 0;
        while let Some((wake, why)) = self.session.poll_wake().filter(|(wake, _)| *wake <= end) {
            self.set_time(wake.max(self.now.boot));
            self.session.handle_timeout(self.now);
            self.drain();
            wakes += 1;
            assert!(wakes < 10_000, "the session spins: {why:?}");
        }
        self.set_time(end);
        self.session.handle_timeout(self.now);
        self.drain();
    }

    fn set_time(&mut self, boot: Boot) {
        let passed = boot.since(self.now.boot);
        self.now = Now { boot, wall: self.now.wall.map(|wall| wall + passed) };
    }

    fn answer(&mut self, outcome: &Outcome) {
        let (id, _) = self.sent.remove(0);
        self.session.handle_outcome(id, outcome, self.now);
        self.drain();
    }

    fn body(&self) -> &str {
        match self.sent.first().map(|(_, request)| request.body.as_ref()) {
            Some(Some(Body::Form(form))) => form.expose(),
            Some(Some(Body::Protobuf(_)) | None) | None => "",
        }
    }

    fn token(&mut self) -> TokenAnswer {
        let answer = self.session.token(&TokenKey::default(), Duration::ZERO, self.now);
        self.drain();
        answer
    }

    fn access(&mut self) -> AccessToken {
        let answer = self.token();
        let TokenAnswer::Ready(access) = answer else { panic!("no token: {answer:?}") };
        access
    }

    fn kept(&self) -> SessionRecord {
        self.writes.last().map_or_else(|| self.stored.clone(), |(_, record)| record.clone())
    }
}

fn refresh_token(record: &SessionRecord) -> &str {
    match record.grant.as_ref().map(|grant| &grant.credential) {
        Some(Credential::Refresh(token)) => token.expose(),
        Some(Credential::Lasting(_)) | None => "",
    }
}

#[test]
fn a_person_signs_in() {
    let mut rig = Rig::fresh();
    assert!(rig.body().contains("scope=openid+offline_access"), "{}", rig.body());
    rig.answer(&json(200, CODE));
    assert!(matches!(rig.session.view(), View::SignIn(code) if code.user_code == "WDJB-MJHT"));
    assert!(rig.sent.is_empty(), "the first poll waits for the interval");
    rig.pass(5);
    assert!(rig.body().contains("device_code=dc-secret&client_id=signpost"));
    rig.answer(&error("authorization_pending"));
    rig.pass(5);
    rig.answer(&tokens("anna", "rt-1"));
    assert_eq!(rig.session.state(), State::Online);
    assert!(rig.events.contains(&Event::SignedIn { replaced: false }));
    assert_eq!(rig.access().token.expose(), "at-rt-1");
    assert_eq!(refresh_token(&rig.kept()), "rt-1");
    assert!(matches!(rig.session.view(), View::SignedIn(_)));
    rig.pass(61);
    assert_eq!(rig.session.view(), View::Online, "the notice goes");
}

#[test]
fn an_expired_code_is_renewed_three_times_and_then_waits_for_somebody() {
    let mut rig = Rig::fresh();
    for round in 0..4 {
        rig.answer(&json(200, CODE));
        rig.pass(5);
        rig.answer(&error("expired_token"));
        assert_eq!(rig.session.state() == State::Waiting, round == 3, "round {round}");
    }
    rig.pass(86_400);
    assert!(rig.sent.is_empty(), "a code that is alive all night is a phishing aid");
    rig.session.sign_in(rig.now);
    rig.drain();
    assert_eq!(rig.sent.len(), 1);
}

#[test]
fn a_code_is_over_when_its_time_is_whatever_the_server_says() {
    let mut rig = Rig::fresh();
    rig.answer(&json(200, CODE));
    for _ in 0..119 {
        rig.pass(5);
        rig.answer(&error("authorization_pending"));
    }
    rig.pass(5);
    assert!(rig.body().starts_with("scope="), "a new code is asked for: {}", rig.body());
}

#[test]
fn a_final_answer_that_was_lost_ends_in_a_new_code() {
    let mut rig = Rig::fresh();
    rig.answer(&json(200, CODE));
    rig.pass(5);
    rig.answer(&Outcome::Lost(Cause::Broken));
    rig.pass(10);
    rig.answer(&error("invalid_grant"));
    assert!(rig.body().starts_with("scope="), "never fail for good: {}", rig.body());
}

#[test]
fn a_denial_is_told_and_nobody_is_asked_again() {
    let mut rig = Rig::fresh();
    rig.answer(&json(200, CODE));
    rig.pass(5);
    rig.answer(&error("access_denied"));
    assert_eq!(rig.session.view(), View::Denied);
    assert_eq!(rig.session.state(), State::Waiting);
    rig.pass(86_400);
    assert!(rig.sent.is_empty());
    assert_eq!(rig.session.view(), View::Waiting);
}

#[test]
fn nothing_transient_ends_a_pairing() {
    let page = Outcome::Reply(Reply {
        status: 200,
        headers: vec![("content-type".into(), "text/html".into())],
        body: b"<html>".to_vec(),
    });
    for trouble in [
        json(500, ""),
        json(503, "{}"),
        json(429, "slow"),
        json(400, ""),
        json(200, "{"),
        page,
        Outcome::NotSent(Cause::Dns),
        Outcome::Lost(Cause::Timeout),
        Outcome::Lost(Cause::TooLarge),
        Outcome::NotSent(Cause::CertificateUntrusted),
    ] {
        let mut rig = Rig::fresh();
        rig.answer(&trouble);
        rig.pass(60);
        rig.answer(&json(200, CODE));
        for _ in 0..3 {
            rig.pass(60);
            rig.answer(&trouble);
        }
        rig.pass(60);
        rig.answer(&tokens("anna", "rt-1"));
        assert_eq!(rig.session.state(), State::Online, "{trouble:?}");
        assert_eq!(rig.session.faults().iter().count(), 0, "{trouble:?}");
    }
}

#[test]
fn invariant_1_a_new_refresh_token_is_durable_before_its_access_token_is_handed_out() {
    let mut rig = Rig::signed_in();
    let first = rig.access();
    rig.pass(3_600);
    assert!(rig.kept().grant.is_some_and(|grant| grant.intent), "intent before the request");
    rig.autosave = false;
    rig.answer(&renewed("rt-2"));
    assert_ne!(refresh_token(&rig.kept()), "rt-1");
    assert_eq!(rig.token(), TokenAnswer::Pending, "on its way to flash");
    let (version, record) = rig.writes.pop().expect("a write");
    assert_eq!(refresh_token(&record), "rt-2");
    rig.session.handle_persisted(version, true, rig.now);
    assert!(rig.access().generation > first.generation);
}

#[test]
fn invariant_1_where_flash_fails_the_agent_goes_on_from_memory_and_tries_again() {
    let mut rig = Rig::signed_in();
    rig.pass(3_600);
    rig.autosave = false;
    rig.answer(&renewed("rt-2"));
    let (version, _) = rig.writes.pop().expect("a write");
    rig.session.handle_persisted(version, false, rig.now);
    assert!(rig.session.faults().has(Fault::TokensNotSaved));
    assert_eq!(rig.access().token.expose(), "at-rt-2");
    rig.autosave = true;
    rig.pass(60);
    assert_eq!(refresh_token(&rig.kept()), "rt-2");
    assert!(rig.session.is_saved() && !rig.session.faults().has(Fault::TokensNotSaved));
}

#[test]
fn invariant_2_nothing_but_the_issuers_word_touches_a_grant() {
    for trouble in [
        json(500, r#"{"error":"invalid_grant"}"#),
        json(200, "<html>"),
        json(401, ""),
        Outcome::NotSent(Cause::Connect),
        Outcome::NotSent(Cause::CertificateDates),
        error("invalid_client"),
        error("temporarily_unavailable"),
    ] {
        let mut rig = Rig::signed_in();
        for _ in 0..20 {
            rig.pass(4_000);
            rig.answer(&trouble);
            assert_eq!(rig.session.grant().status, GrantStatus::Held, "{trouble:?}");
        }
        rig.pass(4_000);
        rig.answer(&renewed("rt-2"));
        assert_eq!(rig.session.state(), State::Online, "{trouble:?}");
    }
}

#[test]
fn invariant_2_invalid_grant_suspends_and_a_daily_try_may_revive() {
    let mut rig = Rig::signed_in();
    rig.pass(3_600);
    rig.answer(&error("invalid_grant"));
    assert_eq!(rig.session.grant().status, GrantStatus::Suspended);
    assert_eq!(rig.session.state(), State::Waiting);
    assert_eq!(rig.session.view(), View::SignInAgain(Fault::SignInAgain));
    assert_eq!(rig.token(), TokenAnswer::SignInNeeded);
    assert_eq!(refresh_token(&rig.kept()), "rt-1", "the token stays sealed");
    assert_ne!(rig.session.owner(), OwnerId::DEVICE, "and so do owner and key");
    rig.pass(86_000);
    assert!(rig.sent.is_empty(), "daily, not oftener");
    rig.pass(401);
    rig.answer(&renewed("rt-2"));
    assert_eq!(rig.session.state(), State::Online);
    assert!(rig.events.contains(&Event::Resumed));
}

#[test]
fn invariant_2_a_suspended_grant_is_tried_for_thirty_days() {
    let mut rig = Rig::signed_in();
    rig.pass(3_600);
    rig.answer(&error("invalid_grant"));
    let mut tries = 0;
    for _ in 0..60 {
        rig.pass(86_401);
        if !rig.sent.is_empty() {
            tries += 1;
            rig.answer(&error("invalid_grant"));
        }
    }
    assert_eq!(tries, 30);
    assert_eq!(rig.session.grant().status, GrantStatus::Suspended, "and kept all the same");
}

#[test]
fn a_sign_in_beside_a_grant_leaves_it_working_until_the_new_one_is_durable() {
    let mut rig = Rig::signed_in();
    rig.session.sign_in(rig.now);
    rig.drain();
    rig.answer(&json(200, CODE));
    assert_eq!(rig.access().token.expose(), "at-rt-1");
    rig.pass(5);
    rig.autosave = false;
    rig.answer(&tokens("anna", "rt-9"));
    assert_eq!(rig.session.view(), View::Saving);
    assert_eq!(rig.access().token.expose(), "at-rt-1");
    let (version, record) = rig.writes.pop().expect("a write");
    assert_eq!(refresh_token(&record), "rt-9");
    rig.session.handle_persisted(version, true, rig.now);
    assert_eq!(rig.access().token.expose(), "at-rt-9");
}

#[test]
fn invariant_11_another_person_is_turned_away_and_what_they_gave_is_revoked() {
    let mut rig = Rig::signed_in();
    rig.session.sign_in(rig.now);
    rig.drain();
    rig.answer(&json(200, CODE));
    rig.pass(5);
    rig.answer(&tokens("ben", "rt-ben"));
    assert!(matches!(rig.session.view(), View::WrongAccount(_)));
    assert_eq!(refresh_token(&rig.kept()), "rt-1");
    assert!(rig.body().contains("token=rt-ben"), "revoked: {}", rig.body());
    rig.answer(&json(200, ""));
    assert!(rig.events.contains(&Event::Revoked) && rig.kept().revocations.is_empty());
    assert_eq!(rig.access().token.expose(), "at-rt-1");
}

#[test]
fn a_clock_that_is_hours_off_keeps_nobody_from_signing_in() {
    let date = ("date".to_string(), "Fri, 15 Jan 2027 08:00:00 GMT".to_string());
    for ahead in [0, 6 * 3_600] {
        let mut rig = Rig::fresh();
        rig.now.wall = rig.now.wall.map(|wall| wall + Duration::from_secs(ahead));
        rig.answer(&json(200, CODE));
        rig.pass(5);
        let Outcome::Reply(mut reply) = tokens("anna", "rt-1") else { panic!("a reply") };
        reply.headers.push(date.clone());
        rig.answer(&Outcome::Reply(reply));
        assert_eq!(rig.session.state(), State::Online, "{ahead} s ahead");
    }
}

#[test]
fn under_any_the_old_owners_token_is_revoked_once_the_new_one_is_durable() {
    let mut rig = Rig::new(SessionConfig { owner: OwnerRule::Any, ..config() }, Stored::default());
    rig.answer(&json(200, CODE));
    rig.pass(5);
    rig.answer(&tokens("anna", "rt-1"));
    rig.session.sign_in(rig.now);
    rig.drain();
    rig.answer(&json(200, CODE));
    rig.pass(5);
    rig.autosave = false;
    rig.answer(&tokens("ben", "rt-ben"));
    assert!(rig.sent.is_empty(), "the old one works until then");
    let (version, record) = rig.writes.pop().expect("a write");
    assert_eq!((refresh_token(&record), record.revocations.len()), ("rt-ben", 1));
    rig.session.handle_persisted(version, true, rig.now);
    rig.drain();
    assert!(rig.body().contains("token=rt-1"));
}

#[test]
fn sign_out_forgets_at_once_and_revokes_when_the_issuer_can_be_reached() {
    let mut rig = Rig::signed_in();
    let owner = rig.session.owner();
    rig.session.sign_out(rig.now);
    rig.drain();
    assert_eq!(rig.kept().grant, None);
    assert_eq!(rig.session.forgetting(), Some(owner));
    assert_eq!(rig.token(), TokenAnswer::SignInNeeded);
    assert_eq!(rig.session.state(), State::Waiting);
    rig.answer(&Outcome::NotSent(Cause::Dns));
    let mut after_restart = rig.restarted();
    assert_eq!(after_restart.session.forgetting(), Some(owner));
    let revocation = |(_, request): &(RequestId, Request)| request.url.ends_with("/revoke");
    let index = after_restart.sent.iter().position(revocation).expect("tried again");
    let (id, _) = after_restart.sent.remove(index);
    after_restart.session.handle_outcome(id, &json(200, ""), after_restart.now);
    after_restart.drain();
    assert!(after_restart.kept().revocations.is_empty());
}

#[test]
fn a_login_page_in_place_of_the_issuer_revokes_nothing() {
    let mut rig = Rig::signed_in();
    rig.session.sign_out(rig.now);
    rig.drain();
    rig.answer(&json(200, "<html>Log in"));
    assert!(!rig.events.contains(&Event::Revoked));
    assert_eq!(rig.kept().revocations.len(), 1, "tried again");
}

#[test]
fn invariant_6_without_a_usable_clock_nothing_is_sent_and_it_comes_alive_when_set() {
    for wall in [Some(0), None, Some(4_102_444_800)] {
        let wall = wall.map(|seconds| Wall::new(Duration::from_secs(seconds)));
        let now = Now { boot: at(0).boot, wall };
        let mut session = Session::new(config(), Stored::default(), 7, now);
        assert_eq!(session.poll_send(), None);
        assert_eq!((session.state(), session.view()), (State::NoClock, View::ClockWrong));
        let (wake, why) = session.poll_wake().expect("looks again");
        assert_eq!(why, Wake::Clock);
        assert!(wake > now.boot, "without looping");
        session.handle_timeout(at(60));
        assert!(session.poll_send().is_some());
        assert_eq!(session.faults().iter().count(), 0);
    }
}

#[test]
fn invariant_6_a_step_of_the_wall_clock_moves_no_deadline() {
    let mut rig = Rig::fresh();
    rig.answer(&json(200, CODE));
    rig.now.wall = rig.now.wall.map(|wall| wall + Duration::from_secs(86_400 * 365));
    rig.pass(4);
    assert!(rig.sent.is_empty() && matches!(rig.session.view(), View::SignIn(_)));
    rig.pass(1);
    assert_eq!(rig.sent.len(), 1, "the poll comes when it was due");
}

#[test]
fn invariant_6_the_floor_rises_with_dates_that_a_server_agrees_with_only() {
    let date = ("date".to_string(), "Fri, 15 Jan 2027 08:00:00 GMT".to_string());
    let years = Duration::from_secs(10 * 365 * 86_400);
    for (jump, confirmed) in [(Duration::ZERO, true), (years, false)] {
        let mut rig = Rig::fresh();
        rig.answer(&json(200, CODE));
        rig.pass(5);
        rig.now.wall = rig.now.wall.map(|wall| wall + jump);
        let Outcome::Reply(mut reply) = tokens("anna", "rt-1") else { panic!("a reply") };
        reply.headers.push(date.clone());
        rig.answer(&Outcome::Reply(reply));
        assert_eq!(rig.kept().seen.is_some(), confirmed);
        let mut after =
            Rig::at(config(), Stored { record: Some(rig.kept()), ..Stored::default() }, at(600));
        after.drain();
        assert!(!after.session.faults().has(Fault::ClockUnusable), "the right date is believed");
    }
}

#[test]
fn what_is_left_of_a_sign_in_that_ran_out_is_removed() {
    let mut rig = Rig::fresh();
    rig.answer(&json(200, CODE));
    let pending = rig.session.pending_sign_in().cloned();
    let stored = Stored { carried: Carried { pending, ..Carried::default() }, ..Stored::default() };
    let mut session = Session::new(config(), stored, 7, at(10_000));
    assert_eq!(session.poll_runtime(), Some(Carried::default()));
    assert_eq!(session.poll_runtime(), None);
}

#[test]
fn invariant_7_no_debug_output_and_no_event_carries_a_secret() {
    let mut rig = Rig::fresh();
    rig.answer(&json(200, CODE));
    rig.pass(5);
    let pairing = format!("{:?} {:?} {:?}", rig.session, rig.events, rig.sent);
    rig.answer(&tokens("anna", "rt-1"));
    let online = format!("{:?} {:?} {:?}", rig.session, rig.events, rig.writes);
    for secret in ["dc-secret", "WDJB", "idp.example/device", "rt-1", "e30."] {
        assert!(!pairing.contains(secret) && !online.contains(secret), "{secret}");
    }
}

#[test]
fn invariant_10_many_refusals_of_one_token_cause_one_refresh() {
    let mut rig = Rig::signed_in();
    let access = rig.access();
    for _ in 0..50 {
        rig.session.handle_rejected(&TokenKey::default(), access.generation, rig.now);
        rig.drain();
        assert_eq!(rig.token(), TokenAnswer::Pending);
    }
    assert_eq!(rig.sent.len(), 1, "at once, and once");
    rig.answer(&renewed("rt-2"));
    rig.session.handle_rejected(&TokenKey::default(), access.generation, rig.now);
    rig.drain();
    assert!(rig.sent.is_empty(), "a late refusal of the old one");
    let fresh = rig.access();
    rig.session.handle_rejected(&TokenKey::default(), fresh.generation, rig.now);
    rig.drain();
    assert!(rig.sent.is_empty(), "a server that refuses fresh ones is no storm");
    rig.pass(60);
    assert_eq!(rig.sent.len(), 1);
}

#[test]
fn invariant_10_a_fleet_that_gets_its_power_back_spreads_its_load() {
    let record = Rig::signed_in().kept();
    let first = |seed| {
        let boot = Boot::new(Duration::from_secs(10));
        let now = Now { boot, wall: Some(Wall::new(Duration::from_secs(DATE + 600))) };
        let stored = Stored { record: Some(record.clone()), ..Stored::default() };
        let session = Session::new(config(), stored, seed, now);
        session.poll_wake().map(|(at, _)| at.since(boot).as_millis())
    };
    let mut waits: Vec<_> = (0..20).map(first).collect();
    waits.sort_unstable();
    waits.dedup();
    assert!(waits.len() > 15, "{waits:?}");
    assert!(waits.iter().flatten().all(|wait| *wait <= 20_000), "{waits:?}");
}

#[test]
fn a_lost_refresh_is_tried_again_and_a_refusal_then_names_the_loss() {
    let mut rig = Rig::signed_in();
    rig.pass(3_600);
    rig.answer(&Outcome::Lost(Cause::Broken));
    rig.pass(10);
    assert!(rig.body().contains("refresh_token=rt-1"));
    rig.answer(&error("invalid_grant"));
    assert_eq!(rig.session.view(), View::SignInAgain(Fault::SignInAgainAfterLoss));
}

#[test]
fn a_cut_between_answer_and_write_is_told_from_a_refusal_after_the_restart() {
    let mut rig = Rig::signed_in();
    rig.pass(3_600);
    let mut rig = rig.restarted();
    assert!(rig.body().contains("refresh_token=rt-1"));
    rig.answer(&error("invalid_grant"));
    assert!(rig.session.faults().has(Fault::SignInAgainAfterLoss));
    assert!(rig.events.iter().any(|event| matches!(event, Event::Suspended { .. })));
}

#[test]
fn an_issuer_that_does_not_rotate_costs_no_writes() {
    let mut rig = Rig::signed_in();
    let keep = json(200, r#"{"access_token":"at-x","expires_in":3600}"#);
    rig.pass(3_600);
    rig.answer(&keep);
    let writes = rig.writes.len();
    for _ in 0..10 {
        rig.pass(3_600);
        rig.answer(&keep);
    }
    assert_eq!(rig.writes.len(), writes);
    assert_eq!(refresh_token(&rig.kept()), "rt-1");
}

#[test]
fn a_refresh_may_narrow_and_name_a_resource() {
    let mut rig = Rig::signed_in();
    let key = TokenKey::new(Some("https://api.example".into()), &scope_list("write read"));
    assert_eq!(rig.session.token(&key, Duration::ZERO, rig.now), TokenAnswer::Pending);
    rig.drain();
    assert!(rig.body().contains("scope=read+write&resource=https%3A%2F%2Fapi.example"));
    rig.answer(&error("invalid_target"));
    assert_eq!(rig.session.token(&key, Duration::ZERO, rig.now), TokenAnswer::Refused);
    assert_eq!(rig.access().token.expose(), "at-rt-1", "the sign-in's own goes on");
    assert!(!rig.session.faults().has(Fault::ClientRefused));
}

#[test]
fn a_pending_sign_in_survives_a_restart() {
    let mut rig = Rig::fresh();
    rig.answer(&json(200, CODE));
    let pending = rig.session.pending_sign_in().cloned();
    let mut rig = Rig::new(
        config(),
        Stored { carried: Carried { pending, ..Carried::default() }, ..Stored::default() },
    );
    assert!(matches!(rig.session.view(), View::SignIn(code) if code.user_code == "WDJB-MJHT"));
    rig.pass(5);
    rig.answer(&tokens("anna", "rt-1"));
    assert_eq!(rig.session.state(), State::Online);
}

#[test]
fn a_grant_without_a_refresh_token_lasts_as_its_access_token_does() {
    let granted = json(200, r#"{"access_token":"gho","token_type":"bearer","scope":"repo"}"#);
    let mut rig = Rig::fresh();
    rig.answer(&json(200, CODE));
    rig.pass(5);
    rig.answer(&granted);
    assert_eq!(rig.access().token.expose(), "gho");
    let mut rig = rig.restarted();
    assert_eq!(rig.access().token.expose(), "gho");
    rig.pass(86_400 * 365);
    assert_eq!(rig.session.state(), State::Online);

    let short = json(200, r#"{"access_token":"at","expires_in":600}"#);
    let mut rig = Rig::fresh();
    rig.answer(&json(200, CODE));
    rig.pass(5);
    rig.answer(&short);
    rig.pass(601);
    assert_eq!(rig.session.view(), View::SignInAgain(Fault::SignInAgain));
}

#[test]
fn discovery_is_tried_at_both_addresses_and_never_believes_another_issuer() {
    let mut config = config();
    config.issuer.explicit = ExplicitEndpoints::default();
    let mut rig = Rig::new(config.clone(), Stored::default());
    assert!(rig.sent[0].1.url.ends_with("/.well-known/openid-configuration"));
    rig.answer(&json(404, ""));
    assert!(rig.sent[0].1.url.ends_with("/.well-known/oauth-authorization-server"));
    let document = r#"{"issuer":"https://evil.example","token_endpoint":"https://evil.example/t",
        "device_authorization_endpoint":"https://evil.example/d"}"#;
    rig.answer(&json(200, document));
    assert!(rig.session.faults().has(Fault::IssuerMismatch));
    assert_eq!(rig.session.state(), State::Fault);
    rig.pass(60);
    rig.answer(&json(200, &document.replace("evil", "idp")));
    assert_eq!(rig.sent[0].1.url, "https://idp.example/d");
    assert!(!rig.session.faults().has(Fault::IssuerMismatch));
}

#[test]
fn an_unwell_store_does_not_keep_a_person_waiting() {
    let mut rig = Rig::fresh();
    rig.autosave = false;
    rig.answer(&json(200, CODE));
    rig.pass(5);
    rig.answer(&tokens("anna", "rt-1"));
    let (version, _) = rig.writes.pop().expect("a write");
    rig.session.handle_persisted(version, false, rig.now);
    rig.drain();
    assert_eq!(rig.session.state(), State::Online);
    assert!(rig.session.faults().has(Fault::TokensNotSaved));
}
