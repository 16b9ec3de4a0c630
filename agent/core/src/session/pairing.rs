//! Signing in by RFC 8628: asking for a code, showing it, polling, and committing what comes.

use super::{
    Activity, Carried, Credential, Ending, Event, Grant, PendingSignIn, Session, SessionRecord,
    TokenKey, flow::Flow, lasting::Lasting,
};
use crate::{
    backoff::Backoff,
    fault::Fault,
    http::Outcome,
    issuer::Endpoints,
    owner::Account,
    profile::Reach,
    secret::Secret,
    time::{Boot, Now},
    wire::{
        DeviceAuthorization, IdClaims, OAuthError, PollAnswer, Refusal, TokenReply, server_date,
    },
};
use alloc::vec::Vec;
use core::time::Duration;

const GRANT_TYPE: &str = "urn:ietf:params:oauth:grant-type:device_code";

/// How long a panel says who signed in, or why nobody did.
const NOTICE: Duration = Duration::from_secs(60);

/// Whether a sign-in is under way.
#[derive(Debug)]
pub(super) enum Pairing {
    /// Nobody asked, or the last one ended like this.
    Resting(Option<Ending>),
    /// A code is wanted.
    Asking(Asking),
    /// A code is shown and polled for.
    Showing(Flow),
}

/// So many codes at most are asked about that are no longer on show.
const MAX_RETIRED: usize = 3;

/// What is known while a code is wanted.
#[derive(Debug)]
pub(super) struct Asking {
    not_before: Boot,
    renewals: u8,
    /// An earlier code of this sign-in ran out.
    pub(super) renewing: bool,
    unwell: Backoff,
    refused: Backoff,
}

/// A grant that was given and is not settled yet.
#[derive(Debug)]
pub(super) struct Candidate {
    pub(super) grant: Grant,
    reply: TokenReply,
    received: Boot,
    version: u64,
    replaced: bool,
}

/// What a panel says for a minute.
#[derive(Debug)]
pub(super) struct Notice {
    pub(super) kind: NoticeKind,
    pub(super) until: Boot,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoticeKind {
    SignedIn,
    NewOwner,
    Denied,
    WrongAccount,
}

impl Asking {
    const fn from(not_before: Boot, renewals: u8, renewing: bool) -> Self {
        Self {
            not_before,
            renewals,
            renewing,
            unwell: Backoff::new(Duration::from_secs(2), Duration::from_secs(60)),
            refused: Backoff::new(Duration::from_secs(60), Duration::from_secs(3_600)),
        }
    }
}

impl Pairing {
    /// At a start: the sign-in that was under way goes on; where nobody is signed in, a new one
    /// begins.
    pub(super) fn resume(
        carried: Carried,
        renewals: u8,
        record: &SessionRecord,
        start: Boot,
    ) -> Self {
        let held = record.grant.as_ref().is_some_and(|grant| grant.suspension.is_none());
        let not_before = carried.quiet.code.map_or(start, |asked| asked.max(start));
        match carried.pending {
            Some(pending) if pending.expires > start => Self::Showing(Flow::resume(pending, start)),
            Some(_) | None if held => Self::Resting(None),
            Some(_) | None => Self::Asking(Asking::from(not_before, renewals, false)),
        }
    }

    /// Nothing is asked before `until`.
    pub(super) fn leave_alone(&mut self, until: Boot) {
        match self {
            Self::Asking(asking) => asking.not_before = asking.not_before.max(until),
            Self::Showing(flow) => flow.leave_alone(until),
            Self::Resting(_) => {}
        }
    }

    pub(super) const fn pending(&self) -> Option<&PendingSignIn> {
        match self {
            Self::Showing(flow) => Some(&flow.pending),
            Self::Resting(_) | Self::Asking(_) => None,
        }
    }
}

impl Candidate {
    /// Whether somebody else's grant ends with it.
    pub(super) const fn replaces(&self) -> bool {
        self.replaced
    }
}

impl Session {
    pub(super) fn start_pairing(&mut self, now: Now) {
        let renewals = self.config.renewals;
        let not_before = self.quiet.code.map_or(now.boot, |asked| asked.max(now.boot));
        self.notice = None;
        self.clear_fault(Fault::OwnerRefused);
        self.clear_fault(Fault::IdTokenRefused);
        match &mut self.pairing {
            Pairing::Asking(asking) => {
                asking.not_before = not_before;
                asking.renewals = renewals;
            }
            Pairing::Showing(flow) => flow.pending.renewals = renewals,
            Pairing::Resting(_) if self.candidate.is_some() || self.held.is_some() => {}
            Pairing::Resting(_) => {
                self.pairing = Pairing::Asking(Asking::from(not_before, renewals, false));
            }
        }
    }

    /// Ends a sign-in that is under way.
    pub(super) fn end_pairing(&mut self, ending: Ending) {
        self.abandon(Activity::Code);
        self.end_polls();
        if let (Ending::SignedOut, Some(candidate)) = (ending, self.candidate.take()) {
            self.revoke_grant(&candidate.grant);
        }
        if ending == Ending::SignedOut
            && let Some(held) = self.held.take()
        {
            self.revoke_reply(&held.reply);
        }
        let was = core::mem::replace(&mut self.pairing, Pairing::Resting(Some(ending)));
        if !matches!(was, Pairing::Resting(_)) {
            self.event(Event::PairingEnded(ending));
        }
    }

    /// No code is asked about any more; an answer that is on its way is looked at all the same.
    pub(super) fn end_polls(&mut self) {
        let (sends, polled) = (&self.sends, self.polled.take());
        for (id, activity) in self.in_flight.iter_mut().filter(|_| polled.is_some()) {
            if *activity == Activity::Poll && sends.iter().all(|(queued, _)| queued != id) {
                *activity = Activity::LatePoll;
            }
        }
        self.abandon(Activity::Poll);
        self.retired.clear();
    }

    pub(super) fn pairing_wake(&self, endpoints: &Endpoints) -> Option<Boot> {
        match &self.pairing {
            Pairing::Asking(asking) => {
                let can_ask =
                    endpoints.device_authorization.is_some() && !self.is_under_way(Activity::Code);
                let due = can_ask.then_some(asking.not_before);
                due.into_iter().chain(self.retired_wake()).min()
            }
            // Its turn comes with the answer about another code.
            Pairing::Showing(flow) if !self.is_under_way(Activity::Poll) => {
                flow.wake().into_iter().chain(self.retired_wake()).min()
            }
            Pairing::Resting(_) | Pairing::Showing(_) => None,
        }
    }

    /// One poll at a time, of whichever code.
    fn retired_wake(&self) -> Option<Boot> {
        let is_free = !self.is_under_way(Activity::Poll);
        self.retired.iter().filter(|_| is_free).filter_map(Flow::wake).min()
    }

    pub(super) fn advance_pairing(&mut self, endpoints: &Endpoints) {
        let now = self.now.boot;
        if matches!(&self.pairing, Pairing::Showing(flow) if flow.is_over(now)) {
            self.renew(true);
        }
        match &mut self.pairing {
            Pairing::Asking(asking) if asking.not_before <= now => self.ask(endpoints),
            Pairing::Showing(flow) if flow.is_poll_due(now) && self.polled.is_none() => {
                flow.poll_sent();
                let code = flow.pending.device_code.clone();
                self.poll(&code, endpoints);
            }
            Pairing::Resting(_) | Pairing::Asking(_) | Pairing::Showing(_) => {}
        }
        self.retired.retain(|flow| !flow.is_over(now));
        let due = self.retired.iter_mut().find(|flow| flow.is_poll_due(now));
        if let Some(flow) = due.filter(|_| self.polled.is_none()) {
            flow.poll_sent();
            let code = flow.pending.device_code.clone();
            self.poll(&code, endpoints);
        }
    }

    /// RFC 8628 section 3.1.
    fn ask(&mut self, endpoints: &Endpoints) {
        let url = endpoints.device_authorization.as_deref();
        let Some(url) = url.filter(|_| !self.is_under_way(Activity::Code)) else { return };
        let issuer = self.config.issuer.clone();
        let scope = self.scope_text();
        // What a resource server wants goes before what is configured.
        let demanded = self.demanded();
        let extra = issuer.extra.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let extra = extra.filter(|(name, _)| !demanded.iter().any(|(other, _)| other == name));
        let demanded = demanded.iter().map(|(name, value)| (*name, value.as_str()));
        let mut pairs: Vec<(&str, &str)> = demanded.clone().chain(extra).collect();
        let optional = [
            ("scope", Some(&scope).filter(|scope| !scope.is_empty())),
            ("resource", issuer.resource.as_ref()),
            ("audience", issuer.audience.as_ref()),
        ];
        pairs.extend(
            optional.iter().filter_map(|(name, value)| Some((*name, value.as_ref()?.as_str()))),
        );
        self.post(Activity::Code, url, &pairs);
    }

    /// RFC 8628 section 3.4.
    fn poll(&mut self, code: &Secret, endpoints: &Endpoints) {
        let resource = self.config.issuer.resource.clone();
        let mut pairs = Vec::from([("grant_type", GRANT_TYPE), ("device_code", code.expose())]);
        if let Some(resource) = &resource {
            pairs.push(("resource", resource));
        }
        self.post(Activity::Poll, &endpoints.token, &pairs);
        self.polled = Some(code.clone());
    }

    pub(super) fn code_heard(&mut self, outcome: &Outcome) {
        let Pairing::Asking(asking) = &mut self.pairing else { return };
        match DeviceAuthorization::read(outcome) {
            Ok(code) => {
                let shown = self.config.issuer.code_lifetime;
                let here = self.here.clone();
                let flow = Flow::begin(code, shown, asking.renewals, here, self.now.boot);
                self.pairing = Pairing::Showing(flow);
                self.issuer_answered();
                self.clear_fault(Fault::ClientRefused);
                self.clear_fault(Fault::NoDeviceFlow);
                self.event(Event::CodeShown);
            }
            Err(Refusal::Error(error)) => {
                asking.not_before = self.now.boot + asking.refused.next(&mut self.rng);
                self.issuer_answered();
                self.refused(error);
            }
            Err(Refusal::Trouble(trouble)) => {
                let wait = asking.unwell.next(&mut self.rng);
                asking.not_before =
                    self.now.boot + wait.max(trouble.retry_after().unwrap_or_default());
                self.issuer_trouble(&trouble);
            }
        }
    }

    pub(super) fn poll_heard(&mut self, outcome: &Outcome) {
        let Some(polled) = self.polled.take() else { return };
        let answer = PollAnswer::read(outcome);
        let now = self.now.boot;
        let is_shown = match &mut self.pairing {
            Pairing::Showing(flow) if flow.pending.device_code == polled => {
                flow.heard(&answer, now);
                true
            }
            Pairing::Resting(_) | Pairing::Asking(_) | Pairing::Showing(_) => {
                let retired = |flow: &&mut Flow| flow.pending.device_code == polled;
                let Some(flow) = self.retired.iter_mut().find(retired) else { return };
                flow.heard(&answer, now);
                false
            }
        };
        if let PollAnswer::Trouble(trouble) = &answer {
            return self.issuer_trouble(trouble);
        }
        self.issuer_answered();
        match answer {
            PollAnswer::Pending | PollAnswer::SlowDown(_) | PollAnswer::Trouble(_) => {}
            PollAnswer::Granted(reply) => self.approved(*reply, server_date(outcome)),
            // The one on show is another.
            PollAnswer::Expired | PollAnswer::Refused(_) if !is_shown => {
                self.retired.retain(|flow| flow.pending.device_code != polled);
            }
            PollAnswer::Expired => self.renew(false),
            PollAnswer::Denied => {
                self.end_pairing(Ending::Denied);
                self.notice(NoticeKind::Denied);
            }
            PollAnswer::Refused(error) => {
                self.refused(error);
                self.end_pairing(Ending::Refused);
            }
        }
    }

    /// The approval of a code that nobody waits for: what it brings must not live on, unless its
    /// end were the end of the sign-in that is held.
    pub(super) fn late_poll_heard(&mut self, outcome: &Outcome) {
        let PollAnswer::Granted(reply) = PollAnswer::read(outcome) else { return };
        let is_held =
            self.record.grant.is_some() || self.candidate.is_some() || self.held.is_some();
        if !is_held || self.config.issuer.profile.revocation != Reach::AllOfUser {
            self.revoke_reply(&reply);
        }
    }

    pub(super) fn poll_again(&mut self) {
        let Some(polled) = self.polled.take() else { return };
        let shown = match &mut self.pairing {
            Pairing::Showing(flow) => Some(flow),
            Pairing::Resting(_) | Pairing::Asking(_) => None,
        };
        let mut flows = shown.into_iter().chain(&mut self.retired);
        if let Some(flow) = flows.find(|flow| flow.pending.device_code == polled) {
            flow.repeat(self.now.boot);
        }
    }

    /// Whoever can mend a wrong secret is not always whoever decides on policies.
    fn refused(&mut self, error: OAuthError) {
        let blocked = error.forbids_device_flow();
        let (fault, other) = match blocked {
            true => (Fault::NoDeviceFlow, Fault::ClientRefused),
            false => (Fault::ClientRefused, Fault::NoDeviceFlow),
        };
        self.clear_fault(other);
        self.raise_fault_by(fault, &error);
        self.event(Event::Refused { error });
    }

    /// The code is over, or has been on show for long enough: a new one by itself, a limited number
    /// of times. `is_good`: the issuer has not said that it is over.
    fn renew(&mut self, is_good: bool) {
        let now = self.now.boot;
        let Pairing::Showing(flow) = &mut self.pairing else { return };
        let is_good = is_good && flow.is_good(now);
        let Some(renewals) = flow.pending.renewals.checked_sub(1) else {
            // No other takes its place.
            return if is_good { flow.prolong() } else { self.end_pairing(Ending::Expired) };
        };
        let asking = Pairing::Asking(Asking::from(now, renewals, true));
        let was = core::mem::replace(&mut self.pairing, asking);
        if let (Pairing::Showing(flow), true) = (was, is_good) {
            if self.retired.len() == MAX_RETIRED {
                self.retired.remove(0);
            }
            self.retired.push(flow.retire());
        }
    }

    /// It is known who approved, as far as the issuer says. May they own this device?
    pub(super) fn identified(
        &mut self,
        reply: TokenReply,
        claims: Option<&IdClaims>,
        received: Boot,
    ) {
        let account = self.account_of(claims);
        let current = self.account();
        if !self.config.owner.admits(&account, claims, current) {
            return self.turned_away(&reply, Fault::OwnerRefused, Ending::WrongAccount);
        }
        let replaced = current.is_some_and(|current| current.id != account.id);
        let old = self.record.grant.clone().filter(|_| replaced);
        if let Some(old) = old {
            // Held back until the new grant is settled, in the same record.
            self.revoke_grant(&old);
        }
        let grant = self.grant_of(account, &reply);
        let version = self.saver.touch();
        self.candidate = Some(Candidate { grant, reply, received, version, replaced });
    }

    fn grant_of(&self, account: Account, reply: &TokenReply) -> Grant {
        let wall = self.gate.usable(self.now);
        // A grant without a refresh token ends with its access token.
        let (credential, lifetime) = match reply.refresh_token.clone() {
            Some(token) => (Credential::Refresh(token), reply.refresh_expires_in),
            None => (Credential::Lasting(reply.access_token.clone()), reply.expires_in),
        };
        let is_lasting = matches!(credential, Credential::Lasting(_));
        Grant {
            account,
            credential,
            bound: is_lasting && reply.is_bound(),
            previous: None,
            scopes: reply.scope.clone().unwrap_or_else(|| self.config.issuer.scopes.clone()),
            signed_in_at: wall,
            expires_at: lifetime.and_then(|span| Some(wall? + span)),
            lifetime,
            rotates: None,
            intent: false,
            suspension: None,
            issued_by: self.here.clone(),
        }
    }

    /// What was given is dropped and revoked (design invariant 11).
    pub(super) fn turned_away(&mut self, reply: &TokenReply, fault: Fault, ending: Ending) {
        self.revoke_reply(reply);
        self.raise_fault(fault);
        if ending == Ending::WrongAccount {
            self.event(Event::OwnerRefused);
            self.notice(NoticeKind::WrongAccount);
        }
        self.pairing = Pairing::Resting(Some(ending));
        self.event(Event::PairingEnded(ending));
    }

    /// Puts the new grant into force once it is durable, or cannot be made so.
    pub(super) fn settle_candidate(&mut self) {
        let settled = |candidate: &mut Candidate| self.saver.is_settled(candidate.version);
        let Some(candidate) = self.candidate.take_if(settled) else { return };
        if !candidate.replaced {
            // What it brings belongs to the same person, and a revocation might reach the new grant.
            self.abandon(Activity::Refresh);
        }
        self.lasting_accepted();
        self.lasting = Lasting::new();
        self.refresh.forget();
        self.exchanges.forget();
        self.refresh.succeeded = Some(candidate.received);
        self.tokens.end_sign_in();
        self.tokens.put(
            TokenKey::default(),
            &candidate.reply,
            candidate.version,
            candidate.received,
            &mut self.rng,
        );
        self.record.grant = Some(candidate.grant);
        for fault in [
            Fault::SignInAgain,
            Fault::SignInAgainAfterLoss,
            Fault::OwnerRefused,
            Fault::IdTokenRefused,
            Fault::ClientRefused,
        ] {
            self.clear_fault(fault);
        }
        self.step_up_done();
        self.event(Event::SignedIn { replaced: candidate.replaced });
        self.notice(match candidate.replaced {
            true => NoticeKind::NewOwner,
            false => NoticeKind::SignedIn,
        });
    }

    fn notice(&mut self, kind: NoticeKind) {
        self.notice = Some(Notice { kind, until: self.now.boot + NOTICE });
    }

    pub(super) fn drop_old_notice(&mut self) {
        let now = self.now.boot;
        self.notice.take_if(|notice| notice.until <= now);
    }
}
