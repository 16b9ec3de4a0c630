//! Who watches the seams between driver and ports, and says which invariant of design.md,
//! section 5, was broken. It keeps books of its own and believes nothing that the device says of
//! itself but what it does.

use super::{
    backend::{Arrived, names},
    clock::is_believable,
    issuer::{
        ADDRESS_MARK, Access, CODE_MARK, Issuer, PERSON_MARK, Person, Policy, SECRET_MARK, field,
    },
    ledger::{Balance, Ledger, Owner},
    network::Kind,
};
use serde_json::Value;
use signpost::ports::{CallerId, Entry, Job};
use signpost_core::{
    delivery::Unowned,
    fault::Fault,
    http::{Body, Outcome, Request},
    owner::{OwnerId, OwnerRule},
    session::{Credential, Event, Grant, SessionRecord},
    time::{Now, Wall},
    wire::retry_after,
};
use signpost_hal::screen::Screen;
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Duration,
};

/// How long anybody may wait for an answer: flash may be slow, and the agent may have to ask the
/// issuer first.
const PATIENCE: Duration = Duration::from_secs(180);

/// The most requests of a kind in an hour that are no storm. Polls follow the interval; whatever
/// else is tried again starts at seconds and ends at minutes, and starts anew after a restart.
const STORM: [(Kind, usize); 10] = [
    (Kind::Discovery, 150),
    (Kind::Keys, 90),
    (Kind::Code, 150),
    (Kind::Poll, 3_600),
    (Kind::Refresh, 90),
    (Kind::OwnName, 90),
    (Kind::Nonce, 90),
    (Kind::Revocation, 90),
    (Kind::Telemetry, 500),
    (Kind::Strange, 0),
];

const HOUR: Duration = Duration::from_secs(3_600);

/// One broken invariant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// Its number in design.md, section 5; 0 for a device that is stuck, or breaks RFC 9449.
    pub invariant: u8,
    /// When.
    pub at: Duration,
    /// What was seen.
    pub what: String,
}

/// What was found so far.
#[derive(Debug, Default)]
pub(super) struct Verdicts {
    pub(super) now: Duration,
    pub(super) broken: Vec<Broken>,
}

impl Verdicts {
    /// The first few of a world are kept: the others follow from them.
    pub(super) fn broken(&mut self, invariant: u8, what: String) {
        if self.broken.len() < 8 {
            self.broken.push(Broken { invariant, at: self.now, what });
        }
    }
}

/// See the module.
#[derive(Debug)]
pub(super) struct Judge {
    pub(super) verdicts: Verdicts,
    pub(super) ledger: Ledger,
    /// The device is to believe that used tokens work on, and may try the one before the newest.
    pub(super) tries_previous: bool,
    rule: OwnerRule,
    /// The record that flash was last said to hold, and those that were on their way after it.
    durable: SessionRecord,
    on_the_way: VecDeque<(u64, SessionRecord)>,
    /// Records whose write failed: flash may hold them.
    perhaps: Vec<SessionRecord>,
    signed_out: bool,
    forgetting: Option<OwnerId>,
    refusal_heard: bool,
    owner: Option<Person>,
    tokens_not_saved: bool,
    revocation_given_up: bool,
    newest_durable: BTreeMap<usize, u32>,
    /// Sign-ins that the issuer has to be told of: flash said once that they are over.
    to_revoke: BTreeSet<usize>,
    /// Somebody's sign-in that came while another owned the device, and no record says so yet.
    turned_away: BTreeSet<usize>,
    checked: BTreeSet<(usize, u32)>,
    polls: BTreeMap<String, Poll>,
    /// Until when a server asked to be left alone with requests of a kind.
    quiet: BTreeMap<Kind, Duration>,
    flying: BTreeMap<Kind, u32>,
    hour: BTreeMap<Kind, VecDeque<Duration>>,
    callers: BTreeMap<CallerId, Duration>,
    device_id: Option<String>,
    pub(super) refreshes: u64,
}

#[derive(Debug)]
struct Poll {
    interval: Duration,
    not_before: Duration,
}

impl Judge {
    pub(super) fn new(rule: OwnerRule, first: u32, unowned: Unowned, p: &Policy) -> Self {
        Self {
            tries_previous: false,
            verdicts: Verdicts::default(),
            ledger: Ledger::new(first, unowned, p.id_token),
            rule,
            durable: SessionRecord::default(),
            on_the_way: VecDeque::new(),
            perhaps: Vec::new(),
            signed_out: false,
            forgetting: None,
            refusal_heard: false,
            owner: None,
            tokens_not_saved: false,
            revocation_given_up: false,
            newest_durable: BTreeMap::new(),
            to_revoke: BTreeSet::new(),
            turned_away: BTreeSet::new(),
            checked: BTreeSet::new(),
            polls: BTreeMap::new(),
            quiet: BTreeMap::new(),
            flying: BTreeMap::new(),
            hour: BTreeMap::new(),
            callers: BTreeMap::new(),
            device_id: None,
            refreshes: 0,
        }
    }

    // --- flash -------------------------------------------------------------------------------

    /// The agent has opened its stores and found this.
    pub(super) fn opened(&mut self, record: Option<SessionRecord>, device_id: &str, damaged: bool) {
        let found = as_kept(record.unwrap_or_default());
        let written = self.on_the_way.iter().map(|(_, record)| record);
        let is_known = found == self.durable
            || written.chain(&self.perhaps).any(|possible| *possible == found);
        if !is_known {
            let what = format!("flash holds {found:?}, acknowledged was {:?}", self.durable);
            self.verdicts.broken(3, what);
        }
        if damaged {
            self.verdicts.broken(3, "something on flash could not be read".into());
        }
        if found.wiping {
            // A reset under way may have drawn another.
            self.device_id = None;
        }
        if self.device_id.get_or_insert_with(|| device_id.to_owned()) != device_id {
            self.verdicts.broken(3, "the device's id has changed".into());
        }
        self.durable = found;
        self.on_the_way.clear();
        self.perhaps.clear();
    }

    /// The driver hands a job to storage.
    pub(super) fn job(&mut self, job: &Job, issuer: &Issuer) {
        match job {
            Job::SaveRecord(version, record) => self.saves(*version, record, issuer),
            Job::Append(queue, envelopes) => {
                let names: Vec<u32> = envelopes.iter().flat_map(|e| names(&e.body)).collect();
                self.ledger.appended(queue.owner, &names, &mut self.verdicts);
            }
            Job::Forget(owner, ..) => self.forgetting = Some(*owner),
            Job::SaveMetadata(_)
            | Job::SaveKeys(_)
            | Job::Report(..)
            | Job::Read(..)
            | Job::Settle { .. }
            | Job::Wipe(_)
            | Job::SaveStarts(_)
            | Job::SaveConfigHash(_) => {}
        }
    }

    /// Storage says that everything is wiped, and what the device is called now.
    pub(super) fn wiped(&mut self, device_id: &str) {
        self.device_id = Some(device_id.to_owned());
        self.ledger.wiped(self.verdicts.now);
    }

    /// Storage says that the key is destroyed which it was told to destroy last.
    pub(super) fn forgotten(&mut self) {
        if let Some(owner) = self.forgetting.take() {
            self.ledger.forgotten(owner, self.verdicts.now);
        }
    }

    fn saves(&mut self, version: u64, record: &SessionRecord, issuer: &Issuer) {
        let before = self.on_the_way.back().map(|(_, record)| record).or(self.perhaps.last());
        let before = before.unwrap_or(&self.durable).grant.clone();
        self.judge_change(before.as_ref(), record.grant.as_ref());
        if let Some(grant) = &record.grant {
            let person = [Person::Anna, Person::Ben]
                .into_iter()
                .find(|person| grant.account.subject.as_deref() == Some(person.subject()));
            let owner = match (person, rank(grant, issuer)) {
                (Some(person), _) => Some(Owner::Person(person)),
                (None, Some((family, _))) => Some(Owner::Family(family)),
                (None, None) => None,
            };
            match owner {
                Some(owner) => self.ledger.name(grant.account.id, owner),
                None => self.verdicts.broken(3, "a grant that no issuer gave".into()),
            }
            self.judge_owner(person);
        } else {
            self.owner = None;
        }
        self.on_the_way.push_back((version, as_kept(record.clone())));
    }

    fn judge_change(&mut self, before: Option<&Grant>, after: Option<&Grant>) {
        match (before, after) {
            (Some(_), None) if !self.signed_out => {
                self.verdicts.broken(2, "a grant was dropped, and nobody signed out".into());
            }
            (Some(before), Some(after))
                if after.suspension.is_some()
                    && before.suspension.is_none()
                    && !self.refusal_heard
                    && matches!(after.credential, Credential::Refresh(_)) =>
            {
                let what = "a grant was suspended, and the issuer had not refused it";
                self.verdicts.broken(2, what.into());
            }
            (_, None) => self.signed_out = false,
            (Some(_) | None, Some(_)) => {}
        }
        if after.is_none_or(|grant| grant.suspension.is_none()) {
            self.refusal_heard = false;
        }
    }

    fn judge_owner(&mut self, person: Option<Person>) {
        let Some(person) = person else { return };
        let other = self.owner.is_some_and(|owner| owner != person);
        if other && self.rule == OwnerRule::First {
            self.verdicts.broken(11, format!("{person:?} took the device over"));
        }
        self.owner = Some(person);
    }

    /// Storage says that the record of this version is durable, or not.
    pub(super) fn saved(&mut self, version: u64, durable: bool, issuer: &Issuer) {
        while let Some((v, record)) = self.on_the_way.pop_front() {
            if v > version {
                self.on_the_way.push_front((v, record));
                break;
            }
            if v == version && durable {
                self.perhaps.clear();
                let rank = record.grant.as_ref().and_then(|grant| rank(grant, issuer));
                if let Some((family, rank)) = rank {
                    let newest = self.newest_durable.entry(family).or_default();
                    *newest = rank.max(*newest);
                }
                for revocation in &record.revocations {
                    let family = family_of(revocation.token.expose(), issuer);
                    self.to_revoke.extend(family);
                    self.turned_away.retain(|turned_away| family != Some(*turned_away));
                }
                self.turned_away.retain(|family| rank.is_none_or(|(owner, _)| owner != *family));
                self.durable = record;
            } else {
                self.perhaps.push(record);
            }
        }
    }

    /// Whose a record is that arrives now.
    pub(super) fn owners(&self, issuer: &Issuer) -> Vec<Owner> {
        let possible = self.on_the_way.iter().map(|(_, record)| record);
        let mut owners: Vec<Owner> = possible
            .chain(&self.perhaps)
            .chain([&self.durable])
            .map(|record| owner_of(record, issuer))
            .collect();
        if self.signed_out {
            owners.push(Owner::Device);
        }
        owners.sort();
        owners.dedup();
        owners
    }

    /// Who is signed in, by flash.
    pub(super) fn owner(&self, issuer: &Issuer) -> Owner {
        owner_of(&self.durable, issuer)
    }

    /// Whose records can be sent, as the device calls them.
    pub(super) fn owner_ids(&self) -> Vec<OwnerId> {
        let unowned = self.ledger.sends_unowned().then_some(OwnerId::DEVICE);
        let grant = self.durable.grant.as_ref().map(|grant| grant.account.id);
        grant.into_iter().chain(unowned).collect()
    }

    /// The subject that the device belongs to.
    pub(super) const fn person(&self) -> Option<Person> {
        self.owner
    }

    pub(super) const fn sign_out(&mut self) {
        self.signed_out = true;
    }

    // --- the network -------------------------------------------------------------------------

    /// The driver sends a request.
    pub(super) fn request(&mut self, kind: Kind, request: &Request, now: Now, issuer: &Issuer) {
        if !is_believable(now) {
            self.verdicts.broken(6, format!("{kind:?} while the clock shows {:?}", now.wall));
        }
        *self.flying.entry(kind).or_default() += 1;
        let flying = self.flying[&kind];
        let exchanges = [Kind::Refresh, Kind::OwnName].map(|kind| self.flying.get(&kind));
        let exchanges: u32 = exchanges.into_iter().flatten().sum();
        if exchanges > 1 && matches!(kind, Kind::Refresh | Kind::OwnName) {
            self.verdicts.broken(10, format!("{exchanges} exchanges for tokens at a time"));
        }
        self.count_hour(kind);
        let now = self.verdicts.now;
        if let Some(until) = self.quiet.remove(&kind).filter(|until| now < *until) {
            let early = until.saturating_sub(now);
            self.verdicts.broken(10, format!("{kind:?} {early:?} before Retry-After is over"));
        }
        match kind {
            Kind::Refresh => {
                self.refreshes += 1;
                self.judge_refresh(request, issuer);
            }
            Kind::Poll => self.judge_poll(request, flying),
            Kind::Telemetry => {
                if let Some(Body::Protobuf(body)) = &request.body {
                    self.ledger.sent(names(body).collect());
                }
            }
            Kind::Strange => self.verdicts.broken(7, format!("a request to {}", request.url)),
            Kind::Discovery
            | Kind::Keys
            | Kind::Code
            | Kind::OwnName
            | Kind::Nonce
            | Kind::Revocation => {}
        }
    }

    fn count_hour(&mut self, kind: Kind) {
        let now = self.verdicts.now;
        let hour = self.hour.entry(kind).or_default();
        while hour.front().is_some_and(|first| *first + HOUR < now) {
            hour.pop_front();
        }
        hour.push_back(now);
        let limit = STORM.iter().find(|(k, _)| *k == kind).map_or(0, |(_, limit)| *limit);
        if hour.len() > limit {
            self.verdicts.broken(10, format!("{} {kind:?} requests in an hour", hour.len()));
            hour.clear();
        }
    }

    fn judge_refresh(&mut self, request: &Request, issuer: &Issuer) {
        let token = field(request, "refresh_token").unwrap_or_default();
        let rank = issuer.refresh_token(&token);
        let Some((family, rank)) = rank else {
            self.verdicts.broken(3, "a refresh with a token that no issuer gave".into());
            return;
        };
        let grant = self.durable.grant.as_ref().filter(|_| self.tries_previous);
        let is_kept = grant.is_some_and(|grant| {
            let (Credential::Refresh(current) | Credential::Lasting(current)) = &grant.credential;
            let mut kept = grant.previous.iter().chain([current]);
            kept.any(|kept| kept.expose() == token)
        });
        if !is_kept && self.newest_durable.get(&family).is_some_and(|newest| rank < *newest) {
            let what = format!("a refresh with token {rank}, and a newer one is durable");
            self.verdicts.broken(3, what);
        }
    }

    fn judge_poll(&mut self, request: &Request, flying: u32) {
        let now = self.verdicts.now;
        let code = field(request, "device_code");
        let Some(poll) = code.and_then(|code| self.polls.get_mut(&*code)) else {
            self.verdicts.broken(5, "a poll for a code that was not given".into());
            return;
        };
        if now < poll.not_before || flying > 1 {
            let early = poll.not_before.saturating_sub(now);
            self.verdicts.broken(5, format!("a poll {early:?} too early, {flying} under way"));
        }
        poll.not_before = now + poll.interval;
    }

    /// An answer, or its absence, reaches the driver.
    pub(super) fn heard(
        &mut self,
        kind: Kind,
        request: &Request,
        outcome: &Outcome,
        issuer: &Issuer,
    ) {
        if let Some(flying) = self.flying.get_mut(&kind) {
            *flying = flying.saturating_sub(1);
        }
        let Outcome::Reply(reply) = outcome else {
            return self.count_poll(kind, request, None);
        };
        let asked = retry_after(reply).filter(|_| reply.status >= 400);
        // Another code has polls of its own.
        if let Some(wait) = asked.filter(|_| !matches!(kind, Kind::Poll | Kind::Telemetry)) {
            self.quiet.insert(kind, self.verdicts.now + wait);
        }
        let value: Option<Value> = match kind {
            Kind::Code | Kind::Poll => serde_json::from_slice(&reply.body).ok(),
            Kind::Refresh if reply.status == 400 => serde_json::from_slice(&reply.body).ok(),
            Kind::Refresh
            | Kind::OwnName
            | Kind::Discovery
            | Kind::Keys
            | Kind::Nonce
            | Kind::Revocation
            | Kind::Telemetry
            | Kind::Strange => None,
        };
        let text = |name: &str| value.as_ref().and_then(|v| v.get(name)).and_then(Value::as_str);
        match kind {
            Kind::Code => {
                let named = value.as_ref().and_then(|v| v.get("interval")).and_then(Value::as_u64);
                if let Some(code) = text("device_code") {
                    let interval = Duration::from_secs(named.unwrap_or(5));
                    let not_before = self.verdicts.now + interval;
                    self.polls.clear();
                    self.polls.insert(code.to_owned(), Poll { interval, not_before });
                }
            }
            Kind::Poll => {
                let access = text("access_token").and_then(|token| issuer.access_token(token));
                let family = access.map(|access| access.family);
                let foreign = family.filter(|family| {
                    let person = issuer.families[*family].person;
                    self.owner.is_some_and(|owner| owner != person)
                });
                self.turned_away.extend(foreign);
                self.count_poll(kind, request, text("error"));
                self.prolong_poll(request, asked.unwrap_or_default());
            }
            Kind::Refresh => {
                self.refusal_heard |= text("error") == Some("invalid_grant");
            }
            Kind::Discovery
            | Kind::Keys
            | Kind::OwnName
            | Kind::Nonce
            | Kind::Revocation
            | Kind::Telemetry
            | Kind::Strange => {}
        }
    }

    fn count_poll(&mut self, kind: Kind, request: &Request, error: Option<&str>) {
        if kind != Kind::Poll {
            return;
        }
        let code = field(request, "device_code");
        let Some(poll) = code.and_then(|code| self.polls.get_mut(&*code)) else { return };
        if error == Some("slow_down") {
            poll.interval += Duration::from_secs(5);
        }
        // That poll was refused before anything was looked at: RFC 9449 has it made again.
        let again = error == Some("use_dpop_nonce");
        let wait = if again { Duration::ZERO } else { poll.interval };
        poll.not_before = self.verdicts.now + wait;
    }

    fn prolong_poll(&mut self, request: &Request, wait: Duration) {
        let code = field(request, "device_code");
        if let Some(poll) = code.and_then(|code| self.polls.get_mut(&*code)) {
            poll.not_before = poll.not_before.max(self.verdicts.now + wait);
        }
    }

    /// Whether this access token, which leaves the session now, is to be held against flash: each
    /// is once, or one in `every`.
    pub(super) fn wants_proof(&mut self, access: Access, every: u32) -> bool {
        let key = (access.family, access.rank);
        self.checked.insert(key) && access.rank.is_multiple_of(every) && !self.tokens_not_saved
    }

    /// Holds an access token that was handed out against what flash would give after a cut.
    pub(super) fn prove(&mut self, access: Access, flash: &SessionRecord, issuer: &Issuer) {
        let held = flash.grant.as_ref().and_then(|grant| rank(grant, issuer));
        let is_held =
            held.is_some_and(|(family, rank)| family == access.family && rank >= access.rank);
        let is_replaced = flash.revocations.iter().any(|revocation| {
            let token = issuer.refresh_token(revocation.token.expose());
            token.is_some_and(|(family, _)| family == access.family)
        });
        let is_lasting = flash.grant.as_ref().is_some_and(|grant| {
            matches!(&grant.credential, Credential::Lasting(token)
                if issuer.access_token(token.expose()).is_some_and(|a| a.family == access.family))
        });
        if !is_held && !is_replaced && !is_lasting {
            let what = format!("token {} handed out, flash holds {held:?}", access.rank);
            self.verdicts.broken(1, what);
        }
    }

    /// A request arrived at the backend.
    pub(super) fn arrived(&mut self, arrived: &Arrived, sent: Duration) {
        self.ledger.arrived(arrived, sent, &mut self.verdicts);
    }

    // --- people and programs -----------------------------------------------------------------

    /// A line goes to the journal.
    pub(super) fn journal(&mut self, entry: &Entry) {
        match entry {
            Entry::Session(Event::FaultRaised(Fault::TokensNotSaved)) => {
                self.tokens_not_saved = true
            }
            Entry::Session(Event::FaultCleared(Fault::TokensNotSaved)) => {
                self.tokens_not_saved = false;
            }
            Entry::Session(Event::RevocationGivenUp) => self.revocation_given_up = true,
            Entry::Session(_)
            | Entry::Delivery(_)
            | Entry::Dropped(_)
            | Entry::Configured { .. } => {}
        }
        self.judge_text("the journal", &format!("{entry:?}"), true);
    }

    /// A screen goes to the panels.
    pub(super) fn screen(&mut self, screen: &Screen) {
        if !matches!(screen, Screen::SignIn(_)) {
            self.judge_text("a panel", &format!("{screen:?}"), false);
        }
    }

    /// A status goes to whoever asks.
    pub(super) fn public_status(&mut self, json: &str) {
        self.judge_text("the public status", json, true);
    }

    fn judge_text(&mut self, place: &str, text: &str, without_people: bool) {
        let marks = [SECRET_MARK, CODE_MARK, ADDRESS_MARK];
        let people = [PERSON_MARK].into_iter().filter(|_| without_people);
        if let Some(mark) = marks.into_iter().chain(people).find(|mark| text.contains(mark)) {
            self.verdicts.broken(7, format!("{mark} in {place}"));
        }
    }

    pub(super) fn called(&mut self, caller: CallerId) {
        self.callers.insert(caller, self.verdicts.now);
    }

    /// Somebody is answered, or has gone.
    pub(super) fn answered(&mut self, caller: CallerId) {
        if self.callers.remove(&caller).is_none() {
            self.verdicts.broken(9, format!("{caller:?} was answered, and did not ask"));
        }
    }

    /// Nobody may wait for ever.
    pub(super) fn judge_callers(&mut self) {
        let now = self.verdicts.now;
        let overdue = self.callers.iter().find(|(_, since)| **since + PATIENCE < now);
        if let Some((caller, since)) = overdue.map(|(caller, since)| (*caller, *since)) {
            self.callers.remove(&caller);
            let waited = now.saturating_sub(since);
            self.verdicts.broken(9, format!("{caller:?} has waited for {waited:?}"));
        }
    }

    /// The agent is no longer there: nothing of it is under way, nobody waits for it.
    pub(super) fn agent_gone(&mut self, with_power: bool) {
        self.flying.clear();
        self.callers.clear();
        self.turned_away.clear();
        self.tokens_not_saved = false;
        // Documents are fetched anew by each run of the agent.
        self.quiet.retain(|kind, _| !with_power && !matches!(kind, Kind::Discovery | Kind::Keys));
        if with_power {
            self.polls.clear();
        }
    }

    /// The end of a life in which everything came right at last.
    pub(super) fn close(&mut self, issuer: &Issuer) -> Balance {
        let owner = self.owner(issuer);
        let is_alive = |family: &&usize| issuer.families[**family].alive;
        let left = self.to_revoke.iter().chain(&self.turned_away).filter(is_alive).count();
        if left > 0 && issuer.policy.revocation && !self.revocation_given_up {
            self.verdicts
                .broken(11, format!("{left} sign-ins are over, and the issuer does not know"));
        }
        self.ledger.close(owner, &mut self.verdicts)
    }
}

fn rank(grant: &Grant, issuer: &Issuer) -> Option<(usize, u32)> {
    match &grant.credential {
        Credential::Refresh(token) => issuer.refresh_token(token.expose()),
        Credential::Lasting(token) => {
            issuer.access_token(token.expose()).map(|access| (access.family, access.rank))
        }
    }
}

/// Flash keeps dates in seconds.
fn as_kept(mut record: SessionRecord) -> SessionRecord {
    let round = |wall: &mut Option<Wall>| {
        *wall = wall.map(|wall| Wall::new(Duration::from_secs(wall.since_epoch().as_secs())));
    };
    round(&mut record.seen);
    if let Some(grant) = &mut record.grant {
        round(&mut grant.signed_in_at);
        round(&mut grant.expires_at);
        if let Some(suspension) = &mut grant.suspension {
            round(&mut suspension.since);
        }
    }
    record
}

fn family_of(token: &str, issuer: &Issuer) -> Option<usize> {
    let refresh = issuer.refresh_token(token).map(|(family, _)| family);
    refresh.or_else(|| issuer.access_token(token).map(|access| access.family))
}

fn owner_of(record: &SessionRecord, issuer: &Issuer) -> Owner {
    let Some(grant) = &record.grant else { return Owner::Device };
    let family = rank(grant, issuer).map(|(family, _)| family);
    match (grant.account.subject.is_some(), family) {
        (true, Some(family)) => Owner::Person(issuer.families[family].person),
        (false, Some(family)) => Owner::Family(family),
        (_, None) => Owner::Device,
    }
}
