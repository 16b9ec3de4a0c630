//! The heart: one state machine that signs the device in and keeps it signed in.
//!
//! `Unpaired → Pairing → Committing → Online ⇄ Refreshing`, with the *grant* (who, and which
//! refresh token) kept apart from the table of *access tokens*, and a pairing beside an existing
//! grant allowed at any time: the old grant works until the new one is durable.
//!
//! # Contract
//! Call any `handle_*` or command with the time of the event, then drain, in this order:
//! [`Session::poll_persist`], [`Session::poll_key`], [`Session::poll_send`],
//! [`Session::poll_runtime`], [`Session::poll_event`]; then sleep until [`Session::poll_wake`] or the next event. Every
//! request that was polled must be answered by one [`Session::handle_outcome`], every record by
//! one [`Session::handle_persisted`]. The same inputs, times and seed give the same outputs.

mod discovery;
mod dpop;
mod elsewhere;
mod ending;
mod event;
mod exchange;
mod faults;
mod flow;
mod identity;
mod lasting;
mod own_name;
mod pairing;
mod record;
mod refresh;
mod revoke;
mod saver;
mod step_up;
mod tokens;
mod view;

pub use event::{Ending, Event};
pub use own_name::OwnNameStatus;
pub use record::{
    Carried, Credential, Grant, PendingSignIn, Quiet, Revocation, SessionRecord, Suspension,
};
pub use tokens::{AccessToken, By, Generation, TokenKey};
pub use view::{GrantStatus, GrantView, State, View};

use crate::{
    fault::{Fault, Faults},
    http::{Body, Outcome, Peer, Request},
    issuer::{ClientAuth, Endpoints, IssuedBy, IssuerConfig, basic_header},
    jws::{self, Unsigned},
    owner::{Account, OwnerId, OwnerRule},
    profile::AssertionAudience,
    secret::Secret,
    time::{Boot, ClockGate, Now, Wall},
    wire::{self, KeySet, Metadata, OAuthError, Verify, form, server_date},
};
use alloc::{
    collections::{BTreeMap, VecDeque},
    string::String,
    sync::Arc,
    vec::Vec,
};
use core::time::Duration;
use discovery::Discovery;
use dpop::Dpop;
use exchange::Exchanges;
use fastrand::Rng;
use flow::Flow;
use identity::{Held, Keys};
use lasting::Lasting;
use own_name::OwnName;
use pairing::{Candidate, Notice, Pairing};
use refresh::Refresh;
use revoke::Revoke;
use saver::Saver;
use step_up::StepUp;
use tokens::Tokens;

/// RFC 7523 section 2.2.
const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// How often an unusable clock is looked at again.
const CLOCK_CHECK: Duration = Duration::from_secs(5);

/// How far our clock and a server's may differ and still confirm each other.
const CONFIRMING: Duration = Duration::from_secs(300);

/// Events that nobody fetches are dropped beyond this many, oldest first.
const MAX_EVENTS: usize = 256;

/// After a start within this time of the board's own, the fleet has just got its power back.
const POWER_BACK: Duration = Duration::from_secs(120);

/// Over how long such a fleet spreads its first requests (design invariant 10).
const POWER_BACK_SPREAD: Duration = Duration::from_secs(20);

/// What the session needs to know of the configuration.
#[derive(Clone, Debug)]
pub struct SessionConfig {
    /// The authorization server.
    pub issuer: IssuerConfig,
    /// Who may own the device.
    pub owner: OwnerRule,
    /// How many times an expired code is renewed without anybody asking (3 by default: a code
    /// that is alive all night is a phishing aid).
    pub renewals: u8,
    /// The build date: no clock before it is believed.
    pub clock_floor: Wall,
    /// Checks signatures; cryptography comes from outside.
    pub verify: Verify,
}

/// What an earlier run left behind.
#[derive(Clone, Debug, Default)]
pub struct Stored {
    /// The durable record, from flash.
    pub record: Option<SessionRecord>,
    /// The issuer's last good metadata, from flash.
    pub metadata: Option<Metadata>,
    /// The issuer's keys, from flash.
    pub keys: Option<KeySet>,
    /// What an earlier run of this same boot left in the runtime folder.
    pub carried: Carried,
}

/// Names one request, from [`Session::poll_send`] to [`Session::handle_outcome`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RequestId(u64);

/// What is to be made durable.
#[derive(Clone, Debug)]
pub enum Persist {
    /// The session's record; answer with [`Session::handle_persisted`].
    Record {
        /// The version to answer with.
        version: u64,
        /// What to keep.
        record: SessionRecord,
    },
    /// The issuer's metadata; needs no answer.
    Metadata(Metadata),
    /// The issuer's keys; needs no answer.
    Keys(KeySet),
}

/// The answer to somebody who asks for an access token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenAnswer {
    /// Here it is.
    Ready(AccessToken),
    /// One is on its way: ask again after the next event.
    Pending,
    /// Nobody is signed in, or the grant is suspended: a person has to come first.
    SignInNeeded,
    /// The issuer refuses a token of this kind.
    Refused,
}

/// Why the session wants to be woken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wake {
    /// To look at an unusable clock again.
    Clock,
    /// To fetch the issuer's metadata.
    Discovery,
    /// To fetch the issuer's keys, or to stop waiting for them.
    Keys,
    /// To ask for a code.
    Code,
    /// To poll, or to end an expired code.
    Poll,
    /// To refresh an access token, or to try a suspended grant.
    Refresh,
    /// To ask for a token in the device's own name.
    OwnName,
    /// To write again what could not be written.
    Save,
    /// To revoke a token.
    Revoke,
    /// To take a notice off the panel.
    Notice,
    /// To say that the sign-in ends soon.
    Ending,
    /// To send telemetry (asked for by the driver).
    Delivery,
    /// To tell a program that it has waited long enough (asked for by the driver).
    Caller,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Activity {
    Discovery,
    Keys,
    Code,
    Poll,
    /// A poll whose sign-in ended before the answer came.
    LatePoll,
    Refresh,
    Exchange,
    OwnName,
    Revoke,
    Nonce,
}

/// See the module.
#[derive(Debug)]
pub struct Session {
    config: SessionConfig,
    rng: Rng,
    gate: ClockGate,
    record: SessionRecord,
    saver: Saver,
    discovery: Discovery,
    endpoints: Option<Arc<Endpoints>>,
    /// What names the issuer, as soon as its endpoints are known.
    here: Option<Arc<IssuedBy>>,
    keys: Keys,
    pairing: Pairing,
    /// Codes that another one has taken the place of, and that may be approved still.
    retired: Vec<Flow>,
    /// The code that a poll under way is about.
    polled: Option<Secret>,
    held: Option<Held>,
    candidate: Option<Candidate>,
    notice: Option<Notice>,
    tokens: Tokens,
    refresh: Refresh,
    exchanges: Exchanges,
    lasting: Lasting,
    own_name: OwnName,
    revoke: Revoke,
    step_up: Option<StepUp>,
    dpop: Dpop,
    faults: Faults,
    /// The issuer's words about faults that it caused.
    words: BTreeMap<Fault, OAuthError>,
    troubles: u32,
    last_id: u64,
    in_flight: BTreeMap<RequestId, Activity>,
    sends: VecDeque<(RequestId, Request)>,
    metadata_to_save: bool,
    quiet: Quiet,
    runtime_saved: Carried,
    /// The last date on which our clock and a server's agreed.
    confirmed: Option<Wall>,
    /// What the issuer's clock said, and when in this run that was.
    issuer_date: Option<(Wall, Boot)>,
    events: VecDeque<Event>,
    now: Now,
}

impl Session {
    /// A session that goes on where `stored` was left. `seed` should differ from device to device
    /// and start to start: it decides all jitter.
    #[must_use]
    pub fn new(config: SessionConfig, stored: Stored, seed: u64, now: Now) -> Self {
        let mut rng = Rng::with_seed(seed);
        let record = stored.record.unwrap_or_default();
        // A person who stands before a new device does not wait for a fleet.
        let power_back = (now.boot < Boot::new(POWER_BACK)).then_some(POWER_BACK_SPREAD);
        let spread = power_back.filter(|_| record.grant.is_some()).unwrap_or_default();
        let start = now.boot + crate::backoff::spread(spread, &mut rng);
        let runtime_saved = stored.carried.clone();
        let quiet = stored.carried.quiet;
        let at_least = |asked: Option<Boot>| asked.map_or(start, |asked| asked.max(start));
        let own_start = quiet.own_name.map_or(now.boot, |asked| asked.max(now.boot));
        let mut session = Self {
            own_name: OwnName::new(&config.issuer, own_start, power_back, &mut rng),
            exchanges: Exchanges::new(),
            lasting: Lasting::default(),
            gate: ClockGate::new(record.seen.unwrap_or_default().max(config.clock_floor)),
            discovery: Discovery::new(stored.metadata, &config.issuer, start),
            endpoints: None,
            here: None,
            keys: Keys::new(stored.keys, start),
            pairing: Pairing::resume(stored.carried, config.renewals, &record, now.boot),
            refresh: Refresh::new(&record, at_least(quiet.refresh)),
            revoke: Revoke::new(at_least(quiet.revoke)),
            step_up: None,
            dpop: Dpop::default(),
            config,
            rng,
            record,
            saver: Saver::new(),
            retired: Vec::new(),
            polled: None,
            held: None,
            candidate: None,
            notice: None,
            tokens: Tokens::default(),
            faults: Faults::default(),
            words: BTreeMap::new(),
            troubles: 0,
            last_id: 0,
            in_flight: BTreeMap::new(),
            sends: VecDeque::new(),
            metadata_to_save: false,
            quiet,
            runtime_saved,
            confirmed: None,
            issuer_date: None,
            events: VecDeque::new(),
            now,
        };
        session.find_endpoints();
        session.restore_faults();
        session.advance(now);
        session
    }

    /// Time has passed.
    pub fn handle_timeout(&mut self, now: Now) {
        self.advance(now);
    }

    /// The exchange `id` ended. An `id` that is not under way is ignored.
    pub fn handle_outcome(&mut self, id: RequestId, outcome: &Outcome, now: Now) {
        self.now = now;
        self.confirm_clock(outcome);
        let activity = self.in_flight.remove(&id);
        // A document may come from a cache that is minutes behind.
        let is_answer = !matches!(activity, None | Some(Activity::Discovery | Activity::Keys));
        if let Some(date) = server_date(outcome).filter(|_| is_answer) {
            self.issuer_date = Some((date, now.boot));
        }
        if let (Some(activity), Some(endpoints)) = (activity, self.endpoints.clone()) {
            self.hear_nonce(&endpoints.token, outcome);
            if self.retries_with_nonce(activity, outcome) {
                return self.advance(now);
            }
        }
        match activity {
            Some(Activity::Discovery) => self.discovery_heard(outcome),
            Some(Activity::Keys) => self.keys_heard(outcome),
            Some(Activity::Code) => self.code_heard(outcome),
            Some(Activity::Poll) => self.poll_heard(outcome),
            Some(Activity::LatePoll) => self.late_poll_heard(outcome),
            Some(Activity::Refresh) => self.refresh_heard(outcome),
            Some(Activity::Exchange) => self.exchange_heard(outcome),
            Some(Activity::OwnName) => self.own_name_heard(outcome),
            Some(Activity::Revoke) => self.revoke_heard(outcome),
            Some(Activity::Nonce) => self.nonce_heard(outcome),
            None => {}
        }
        if let Some((activity, wait)) = activity.zip(wire::asked_wait(outcome)) {
            self.leave_alone(activity, now.boot + wait);
        }
        self.advance(now);
    }

    /// `Retry-After` wins over whatever else times the next request of this kind.
    fn leave_alone(&mut self, activity: Activity, until: Boot) {
        match activity {
            Activity::Discovery | Activity::Keys => {}
            Activity::Code => {
                self.quiet.code = Some(until);
                self.pairing.leave_alone(until);
            }
            Activity::Poll | Activity::LatePoll => {
                self.pairing.leave_alone(until);
                self.retired.iter_mut().for_each(|flow| flow.leave_alone(until));
            }
            Activity::Refresh | Activity::Nonce => {
                self.quiet.refresh = Some(until);
                self.refresh.leave_alone(until);
            }
            Activity::Exchange => self.exchanges.leave_alone(until),
            Activity::OwnName => {
                self.quiet.own_name = Some(until);
                self.own_name.leave_alone(until);
            }
            Activity::Revoke => {
                self.quiet.revoke = Some(until);
                self.revoke.leave_alone(until);
            }
        }
    }

    /// The write of record `version` ended; `saved`: it is durable.
    pub fn handle_persisted(&mut self, version: u64, saved: bool, now: Now) {
        self.saver.finish(version, saved, now.boot, &mut self.rng);
        if saved {
            self.clear_fault(Fault::TokensNotSaved);
        } else {
            self.raise_fault(Fault::TokensNotSaved);
        }
        self.advance(now);
    }

    /// A resource server refused this issue of the token for `key` (401). Any number of refusals
    /// of one issue cause one refresh.
    pub fn handle_rejected(&mut self, key: &TokenKey, generation: Generation, now: Now) {
        if key.by == By::SignIn && self.is_lasting() {
            self.lasting_rejected(key, generation);
        } else if self.tokens.refuse(key, generation) {
            match key.by {
                By::SignIn => self.refresh.want(key),
                By::Exchange(_) => self.exchanges.want(key),
                By::OwnName => self.own_name.want(),
            }
        }
        self.advance(now);
    }

    /// Somebody asks for a sign-in. One that is under way goes on; a grant that is held goes on
    /// working until the new one is settled.
    pub fn sign_in(&mut self, now: Now) {
        self.start_pairing(now);
        self.advance(now);
    }

    /// Forgets the user now and has the token revoked when the issuer can be reached.
    pub fn sign_out(&mut self, now: Now) {
        self.now = now;
        self.end_pairing(Ending::SignedOut);
        if let Some(grant) = self.record.grant.take() {
            self.revoke_grant(&grant);
            self.record.forgetting.push(grant.account.id);
            self.event(Event::SignedOut);
        }
        self.notice = None;
        self.record.device_key = None;
        self.tokens.end_sign_in();
        self.own_name_unbound();
        self.refresh.forget();
        self.exchanges.forget();
        self.clear_fault(Fault::SignInAgain);
        self.clear_fault(Fault::SignInAgainAfterLoss);
        self.clear_fault(Fault::SignInEnds);
        self.step_up_done();
        self.lasting_accepted();
        self.saver.touch();
        self.advance(now);
    }

    /// Signs out, and has everything that the device keeps wiped; what is to be revoked waits for
    /// the issuer.
    pub fn reset(&mut self, now: Now) {
        self.sign_out(now);
        self.record.wiping = true;
        self.saver.touch();
        self.advance(now);
    }

    /// Whether everything is to be wiped; until [`Session::handle_wiped`].
    #[must_use]
    pub const fn is_wiping(&self) -> bool {
        self.record.wiping
    }

    /// Everything is wiped, each owner's key and what waited for them included.
    pub fn handle_wiped(&mut self, now: Now) {
        self.record.wiping = false;
        self.record.forgetting.clear();
        self.saver.touch();
        self.advance(now);
    }

    /// The key of `owner` and what waited for them are destroyed.
    pub fn handle_forgotten(&mut self, owner: OwnerId, now: Now) {
        self.record.forgetting.retain(|forgotten| *forgotten != owner);
        self.saver.touch();
        self.advance(now);
    }

    /// An access token for `key` that is good for at least `min_ttl` more, for a program. Together
    /// programs cause only so many refreshes.
    pub fn token(&mut self, key: &TokenKey, min_ttl: Duration, now: Now) -> TokenAnswer {
        match &key.by {
            By::SignIn => {}
            By::Exchange(_) => return self.exchanged_token(key, min_ttl, now),
            By::OwnName => return TokenAnswer::Refused,
        }
        self.token_for(key, min_ttl, Refresh::want_for_program, now)
    }

    /// The same for the device's own deliveries, which no program holds up; also in its own name.
    pub fn delivery_token(&mut self, key: &TokenKey, now: Now) -> TokenAnswer {
        if key.is_own_name() {
            return self.token_in_own_name(Duration::ZERO, now);
        }
        self.token_for(key, Duration::ZERO, |refresh, key, _| refresh.want(key), now)
    }

    fn token_for(
        &mut self,
        key: &TokenKey,
        min_ttl: Duration,
        want: impl FnOnce(&mut Refresh, &TokenKey, Boot),
        now: Now,
    ) -> TokenAnswer {
        let saver = &self.saver;
        let ready = self.tokens.get(key, min_ttl, now.boot, |version| saver.is_settled(version));
        if let Some(access) = ready {
            return TokenAnswer::Ready(access);
        }
        let answer = match &self.record.grant {
            None => TokenAnswer::SignInNeeded,
            Some(_) if self.suspension().is_some() => TokenAnswer::SignInNeeded,
            Some(_) if self.refresh.is_refused(key, now.boot) => TokenAnswer::Refused,
            Some(Grant { credential: Credential::Lasting(_), .. }) => {
                let waits = self.waits_for_date() && *key == TokenKey::default();
                return if waits { TokenAnswer::Pending } else { TokenAnswer::Refused };
            }
            Some(_) => TokenAnswer::Pending,
        };
        let waits_for_store = self.tokens.is_unsettled(key, |v| self.saver.is_settled(v));
        if answer == TokenAnswer::Pending && !waits_for_store {
            want(&mut self.refresh, key, now.boot);
            self.advance(now);
        }
        answer
    }

    /// The next record to make durable.
    pub fn poll_persist(&mut self) -> Option<Persist> {
        if self.metadata_to_save {
            self.metadata_to_save = false;
            return self.discovery.metadata().cloned().map(Persist::Metadata);
        }
        if core::mem::take(&mut self.keys.to_save) {
            return self.keys.set().cloned().map(Persist::Keys);
        }
        let version = self.saver.start(self.now.boot)?;
        Some(Persist::Record { version, record: self.snapshot() })
    }

    /// The next request to send.
    pub fn poll_send(&mut self) -> Option<(RequestId, Request)> {
        self.sends.pop_front()
    }

    /// What the runtime folder should hold, whenever that has changed; the default: nothing.
    pub fn poll_runtime(&mut self) -> Option<Carried> {
        let (pending, quiet) = (self.pairing.pending(), self.quiet.after(self.now.boot));
        if pending == self.runtime_saved.pending.as_ref() && quiet == self.runtime_saved.quiet {
            return None;
        }
        let carried = Carried { pending: pending.cloned(), quiet };
        self.runtime_saved.clone_from(&carried);
        Some(carried)
    }

    /// The next event for journal and audit trail.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// When, and why, [`Session::handle_timeout`] wants to be called at the latest.
    #[must_use]
    pub fn poll_wake(&self) -> Option<(Boot, Wake)> {
        let mut wakes: Vec<(Option<Boot>, Wake)> = [
            (self.saver.wake(), Wake::Save),
            (self.notice.as_ref().map(|notice| notice.until), Wake::Notice),
            (self.held_wake(), Wake::Keys),
            (self.ending_wake(), Wake::Ending),
        ]
        .into();
        if self.gate.usable(self.now).is_some() {
            wakes.push((self.discovery_wake(), Wake::Discovery));
            if let Some(endpoints) = self.endpoints.as_ref().filter(|_| !self.lacks_key()) {
                wakes.push((self.pairing_wake(endpoints), Wake::Poll));
                wakes.push((self.own_name_wake(), Wake::OwnName));
                wakes.push((self.exchange_wake(), Wake::Refresh));
                wakes.push((self.keys_wake(), Wake::Keys));
                wakes.push((self.refresh_wake(), Wake::Refresh));
                wakes.push((self.revoke_wake(), Wake::Revoke));
            }
        } else {
            wakes.push((Some(self.now.boot + CLOCK_CHECK), Wake::Clock));
        }
        let due = wakes.into_iter().filter_map(|(at, why)| Some((at?, why)));
        due.min_by_key(|(at, _)| *at)
    }

    /// Whose key is to be destroyed, because they signed out; the same until
    /// [`Session::handle_forgotten`].
    #[must_use]
    pub fn forgetting(&self) -> Option<OwnerId> {
        self.record.forgetting.first().copied()
    }

    /// To whom records that arrive now belong (design invariant 8).
    #[must_use]
    pub fn owner(&self) -> OwnerId {
        self.record.grant.as_ref().map_or(OwnerId::DEVICE, |grant| grant.account.id)
    }

    /// Whether all that must be durable is durable.
    #[must_use]
    pub const fn is_saved(&self) -> bool {
        self.saver.is_clean()
    }

    /// The date, if the wall clock is usable.
    #[must_use]
    pub fn usable_wall(&self, now: Now) -> Option<Wall> {
        self.gate.usable(now)
    }

    /// Starts whatever is due.
    fn advance(&mut self, now: Now) {
        self.now = now;
        self.drop_old_notice();
        self.stop_waiting_for_keys();
        self.settle_candidate();
        self.restore_lasting_token();
        if self.gate.usable(now).is_none() {
            self.raise_fault(Fault::ClockUnusable);
            return;
        }
        self.clear_fault(Fault::ClockUnusable);
        self.advance_discovery();
        self.advance_key();
        if self.lacks_key() {
            return;
        }
        if let Some(endpoints) = self.endpoints.clone() {
            self.advance_pairing(&endpoints);
            self.advance_keys(&endpoints);
            self.advance_refresh(&endpoints);
            self.advance_revocations(&endpoints);
            self.advance_exchange(&endpoints.token);
            self.advance_own_name(&endpoints.token);
        }
        self.announce_end();
    }

    fn find_endpoints(&mut self) {
        let (issuer, metadata) = (&self.config.issuer, self.discovery.metadata());
        self.endpoints = issuer.endpoints(metadata).map(Arc::new);
        let here = self.endpoints.as_ref().map(|endpoints| Arc::new(issuer.issues(endpoints)));
        if self.here != here {
            self.here = here;
            self.hold_to_issuer();
        }
    }

    /// What flash should hold now.
    fn snapshot(&self) -> SessionRecord {
        let mut record = self.record.clone();
        if let Some(candidate) = &self.candidate {
            record.grant = Some(candidate.grant.clone());
        }
        record.seen = self.confirmed.or(record.seen);
        record
    }

    /// The floor for later starts is raised by dates only that a server agrees with: one wild jump
    /// of the clock must not make every right date after it look too early.
    fn confirm_clock(&mut self, outcome: &Outcome) {
        let Some((wall, date)) = self.gate.usable(self.now).zip(server_date(outcome)) else {
            return;
        };
        if wall.since_epoch().abs_diff(date.since_epoch()) <= CONFIRMING {
            self.confirmed = Some(wall);
        }
    }

    /// Queues a form POST to the issuer with the client's authentication.
    fn post(&mut self, activity: Activity, url: &str, pairs: &[(&str, &str)]) {
        let issuer = &self.config.issuer;
        let mut pairs = pairs.to_vec();
        pairs.push(("client_id", &issuer.client_id));
        let mut headers = Vec::from([("accept".into(), Secret::new("application/json"))]);
        let mut unsigned = Vec::new();
        match &issuer.client_auth {
            // The connection itself proves who we are.
            ClientAuth::None | ClientAuth::Mtls => {}
            ClientAuth::PrivateKeyJwt => {
                pairs.push(("client_assertion_type", ASSERTION_TYPE));
                let (now, jti) = (self.signing_date().unwrap_or_default(), jws::jti(&mut self.rng));
                let audience = self.assertion_audience();
                unsigned.push(Unsigned::assertion(&issuer.client_id, audience, jti, now));
            }
            ClientAuth::SecretPost(secret) => pairs.push(("client_secret", secret.expose())),
            ClientAuth::SecretBasic(secret) => {
                headers.push(("authorization".into(), basic_header(&issuer.client_id, secret)));
            }
        }
        let body = Some(Body::Form(form(&pairs)));
        let gives_tokens = match activity {
            Activity::Poll
            | Activity::Refresh
            | Activity::Exchange
            | Activity::OwnName
            | Activity::Nonce => true,
            Activity::Discovery
            | Activity::Keys
            | Activity::Code
            | Activity::LatePoll
            | Activity::Revoke => false,
        };
        if gives_tokens {
            unsigned.extend(self.proof(("POST", url), None, None));
        }
        let request = Request { peer: Peer::Issuer, url: url.into(), headers, body, unsigned };
        self.send(activity, request);
    }

    /// The date for what is signed: servers allow for seconds, and a usable clock may be off by
    /// minutes. Where the issuer has said what its clock shows, that goes on from there.
    fn signing_date(&self) -> Option<Wall> {
        let ours = self.gate.usable(self.now)?;
        let theirs = self.issuer_date.map(|(date, at)| date + self.now.boot.since(at));
        Some(theirs.filter(|theirs| self.gate.believes(*theirs)).unwrap_or(ours))
    }

    /// For whom a client's assertion is meant: the issuer in its own spelling, where that is known.
    fn assertion_audience(&self) -> &str {
        let issuer = &self.config.issuer;
        let named = self.discovery.metadata().map(|metadata| metadata.issuer.as_str());
        let named = named.or(issuer.url.as_deref());
        let named = named.filter(|_| issuer.profile.audience == AssertionAudience::Issuer);
        let token = self.endpoints.as_ref().map(|endpoints| endpoints.token.as_str());
        named.or(token).unwrap_or_default()
    }

    fn send(&mut self, activity: Activity, request: Request) {
        self.last_id += 1;
        let id = RequestId(self.last_id);
        self.in_flight.insert(id, activity);
        self.sends.push_back((id, request));
    }

    fn is_under_way(&self, activity: Activity) -> bool {
        self.in_flight.values().any(|a| *a == activity)
    }

    /// Forgets that an answer is awaited: it will be ignored.
    fn abandon(&mut self, activity: Activity) {
        self.in_flight.retain(|_, a| *a != activity);
        let in_flight = &self.in_flight;
        self.sends.retain(|(id, _)| in_flight.contains_key(id));
    }

    fn event(&mut self, event: Event) {
        if self.events.len() == MAX_EVENTS {
            self.events.pop_front();
        }
        self.events.push_back(event);
    }

    fn account(&self) -> Option<&Account> {
        self.record.grant.as_ref().map(|grant| &grant.account)
    }

    fn scope_text(&self) -> String {
        self.config.issuer.scopes.join(" ")
    }
}

#[cfg(test)]
mod tests;
