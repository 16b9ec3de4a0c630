//! Joins the machines of `signpost-core` to the ports: one place that decides who gets what when.
//!
//! The driver is a machine itself: [`Driver::complete`] and [`Driver::timeout`] in,
//! [`Driver::poll`] and [`Driver::wake`] out. It does no I/O and reads no clock, so the binary
//! and the simulated world run the very same one.

mod audit;
mod intake;
mod look;
mod person;
mod waiters;
mod wear;

use crate::{
    ports::{Answer, Call, CallerId, Complete, Done, Entry, HttpId, Job, JobResult, Stock, Submit},
    records::{Arrival, Envelope},
    reports::{self, Audit},
    storage::{Opened, Truth},
};
use intake::{Handed, Intake};
use person::Person;
use signpost_core::{
    delivery::{Action, Delivery, DeliveryConfig, DropReason, Dropped},
    fault::{Fault, Faults},
    http::Outcome,
    otlp::Signal,
    owner::OwnerId,
    session::{Carried, Ending, Event, Persist, Session, SessionConfig, Stored, TokenAnswer, Wake},
    time::{Boot, ClockOffset, Now, Wall},
    wire,
};
use signpost_hal::screen::{Screen, Start, Support};
use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};
use waiters::Waiters;
use wear::Wear;

/// When the destruction of a key that flash refused is tried again.
const FORGET_AGAIN: Duration = Duration::from_secs(10);

/// So long after the wall clock was set, programs may still hand over what they had dated before.
const LATE: Duration = Duration::from_secs(900);

/// Clocks that differ by less agree.
const AGREES: Duration = Duration::from_secs(300);

/// What the driver needs to know of configuration and board.
#[derive(Clone, Debug)]
pub struct DriverConfig {
    /// The issuer and who may own the device.
    pub session: SessionConfig,
    /// Where telemetry goes; `None`: nowhere.
    pub delivery: Option<DeliveryConfig>,
    /// Which run of the board this is.
    pub boot_id: [u8; 16],
    /// What the board has for starting a sign-in.
    pub start: Start,
    /// Whom the maker wants to be asked.
    pub support: Support,
    /// How much of an account's name panels show.
    pub show_account: crate::config::ShowAccount,
    /// Whether five power cycles in a row sign out, for want of a button.
    pub power_cycles: bool,
    /// Whether what waits for somebody goes when somebody else signs in.
    pub purges_other_accounts: bool,
    /// A hash of the configuration, secrets left out.
    pub config_hash: String,
    /// How many bytes flash takes in all, as far as is known.
    pub endurance: Option<u64>,
    /// How long an acknowledgement may wait for others to share its flush.
    pub commit: crate::config::Commit,
}

/// See the module.
#[derive(Debug)]
pub struct Driver {
    config: DriverConfig,
    device_id: String,
    session: Session,
    delivery: Option<Delivery>,
    intake: Intake,
    waiters: Waiters,
    person: Person,
    faults: Faults,
    /// What more is known of a fault: the panel, the file.
    details: BTreeMap<Fault, String>,
    stock: Stock,
    /// What was given up since the start.
    drops: BTreeMap<(Signal, DropReason), u64>,
    stocked_since: Option<Boot>,
    /// How far the wall clock was ahead before it was set, and when it was seen so last.
    unset: Option<(ClockOffset, Boot)>,
    /// A server's date has borne the wall clock out, or belied it.
    is_confirmed: bool,
    owner: OwnerId,
    /// Whose key is being destroyed, and why.
    forgetting: Option<(OwnerId, DropReason)>,
    /// Everything is being wiped.
    wiping: bool,
    /// Not before this instant is either tried again.
    forget_at: Boot,
    last_exchange: u64,
    shown: Option<Screen>,
    ended: Option<Ending>,
    wear: Wear,
    out: VecDeque<Submit>,
    now: Now,
}

impl Driver {
    /// A driver that goes on where flash (`opened`) and runtime folder (`carried`, of this same
    /// boot) were left. `seed` decides all jitter.
    #[must_use]
    pub fn new(
        config: DriverConfig,
        opened: Opened,
        carried: Carried,
        seed: u64,
        now: Now,
    ) -> Self {
        let Opened { record, metadata, keys, .. } = opened;
        let stored = Stored { record, metadata, keys, carried };
        let session = Session::new(config.session.clone(), stored, seed, now);
        let delivery = config.delivery.clone();
        let mut driver = Self {
            delivery: delivery.map(|delivery| Delivery::new(delivery, seed.rotate_left(32))),
            owner: session.owner(),
            intake: Intake::new(config.commit),
            config,
            device_id: opened.device_id,
            session,
            waiters: Waiters::default(),
            person: Person::default(),
            faults: Faults::default(),
            details: BTreeMap::new(),
            stock: Stock::default(),
            drops: BTreeMap::new(),
            stocked_since: None,
            unset: None,
            is_confirmed: false,
            forgetting: None,
            wiping: false,
            forget_at: Boot::default(),
            last_exchange: 0,
            shown: None,
            ended: None,
            wear: Wear::new(now.boot),
            out: VecDeque::new(),
            now,
        };
        driver.stocked(opened.stock);
        driver.count_start(opened.starts);
        driver.compare_configuration(opened.config_hash);
        driver.pump(now);
        driver
    }

    /// Something happened at a port.
    pub fn complete(&mut self, done: Complete, now: Now) {
        self.now = now;
        match done {
            Complete::Http(id, outcome) => self.answered(id, &outcome),
            Complete::Storage(done) => self.stored(done),
            Complete::Key(key) => self.session.handle_key(key, now),
            Complete::Call(caller, call) => self.called(caller, call),
            Complete::Gone(caller) => self.waiters.gone(caller),
            Complete::Pressed(press) => self.pressed(press),
        }
        self.pump(now);
    }

    /// Time has passed.
    pub fn timeout(&mut self, now: Now) {
        self.now = now;
        self.person_left();
        self.session.handle_timeout(now);
        self.pump(now);
    }

    /// No more calls come: what waits for others to share its commit waits no longer.
    pub fn close(&mut self, now: Now) {
        self.intake.close();
        self.pump(now);
    }

    /// A fault outside the machines came up, or is gone: a panel, a store set aside,
    /// configuration.
    pub fn fault(&mut self, fault: Fault, up: bool, now: Now) {
        self.fault_with(fault, up, None, now);
    }

    /// The same with what more is known of it, in a line for whoever mends it.
    pub fn fault_with(&mut self, fault: Fault, up: bool, detail: Option<String>, now: Now) {
        self.now = now;
        match detail.filter(|_| up) {
            Some(detail) => self.details.insert(fault, detail),
            None => self.details.remove(&fault),
        };
        let (changed, event) = if up {
            (self.faults.raise(fault, now.boot), Event::FaultRaised(fault))
        } else {
            (self.faults.clear(fault), Event::FaultCleared(fault))
        };
        if changed {
            self.journal(Entry::Session(event));
        }
        self.pump(now);
    }

    /// The date, if the wall clock is usable.
    #[must_use]
    pub fn usable_wall(&self, now: Now) -> Option<Wall> {
        self.session.usable_wall(now)
    }

    /// The next thing to do; call until `None` after every other call.
    pub fn poll(&mut self) -> Option<Submit> {
        self.out.pop_front()
    }

    /// When, and why, [`Driver::timeout`] is due.
    #[must_use]
    pub fn wake(&self) -> Option<(Boot, Wake)> {
        let delivery = self.delivery.as_ref().filter(|_| self.may_deliver());
        let delivery = delivery.and_then(|delivery| delivery.poll_wake(self.owner));
        let forgets = self.may_forget() && self.has_to_forget();
        let others = [
            (delivery, Wake::Delivery),
            (self.waiters.wake(), Wake::Caller),
            (self.intake.wake(), Wake::Caller),
            (self.person.wake(), Wake::Notice),
            (forgets.then_some(self.forget_at), Wake::Save),
        ];
        let others = others.into_iter().filter_map(|(at, why)| Some((at?, why)));
        others.chain(self.session.poll_wake()).min_by_key(|(at, _)| *at)
    }

    /// Whether everything that must be durable is durable, for an orderly stop.
    #[must_use]
    pub fn is_saved(&self) -> bool {
        self.is_forgotten() && self.intake.is_empty()
    }

    fn answered(&mut self, id: HttpId, outcome: &Outcome) {
        self.compare_clocks(outcome);
        match id {
            HttpId::Session(id) => self.session.handle_outcome(id, outcome, self.now),
            // One at a time: an older exchange's answer has no taker.
            HttpId::Delivery(id) if id == self.last_exchange => {
                if let (Some(delivery), Some(config)) = (&mut self.delivery, &self.config.delivery)
                {
                    self.session.handle_resource_reply(&config.endpoint, outcome);
                    delivery.handle_outcome(outcome, self.now);
                    let is_owners = !delivery.is_in_own_name();
                    if is_owners && delivery.counts().last_success == Some(self.now.boot) {
                        self.session.handle_accepted(self.now);
                    }
                }
            }
            HttpId::Delivery(_) => {}
        }
    }

    /// Counted, and told to the journal.
    fn dropped(&mut self, dropped: Dropped) {
        *self.drops.entry((dropped.signal, dropped.reason)).or_default() += dropped.records;
        self.journal(Entry::Dropped(dropped));
    }

    /// What was answered before it was written, and is lost.
    fn report_unsaved(&mut self) {
        let Some((owner, lost)) = self.intake.unsaved() else { return };
        for dropped in lost {
            self.intake.report(owner, reports::dropped(dropped, self.arrival()));
            self.dropped(dropped);
        }
    }

    fn stored(&mut self, done: Done) {
        self.wear.count(done.written, self.now.boot);
        self.stocked(done.stock);
        for dropped in done.dropped {
            self.dropped(dropped);
        }
        match done.result {
            JobResult::Record(version, result) => {
                self.session.handle_persisted(version, result.is_ok(), self.now);
            }
            // Fetched again at the next start.
            JobResult::Metadata(_) => {}
            JobResult::Appended(result) => {
                if result.is_err() {
                    self.report_unsaved();
                }
                for (caller, answer) in self.intake.appended(result) {
                    self.answer(caller, answer);
                }
                self.storage_fault(result.is_err());
            }
            JobResult::Batch(result) => {
                self.storage_fault(result.is_err());
                match (&mut self.delivery, result) {
                    (Some(delivery), Ok(batch)) => delivery.handle_batch(batch),
                    (Some(delivery), Err(_)) => delivery.handle_unreadable(self.now),
                    (None, _) => {}
                }
            }
            JobResult::Settled(result) => {
                if let Some(delivery) = &mut self.delivery {
                    delivery.handle_settled(result.is_ok(), self.now);
                }
            }
            JobResult::Forgotten(result) => {
                let owner = self.forgetting.take();
                match (owner, result) {
                    (Some((owner, reason)), Ok(_)) => {
                        if reason == DropReason::SignedOut {
                            self.session.handle_forgotten(owner, self.now);
                        }
                        self.restart_delivery();
                    }
                    // The owner's records could be read still: again, until it is done.
                    (Some(_) | None, _) => self.forget_at = self.now.boot + FORGET_AGAIN,
                }
                self.storage_fault(result.is_err());
            }
            JobResult::Wiped(result) => {
                self.wiping = false;
                self.storage_fault(result.is_err());
                match result {
                    Ok(device_id) => {
                        self.device_id = device_id;
                        self.session.handle_wiped(self.now);
                        self.restart_delivery();
                        self.audit(OwnerId::DEVICE, &Audit::Reset);
                        self.show_reset_done();
                    }
                    Err(_) => self.forget_at = self.now.boot + FORGET_AGAIN,
                }
            }
            // The next start counts one less, or finds the change once more.
            JobResult::Noted(_) => {}
        }
    }

    /// Whatever was on its way belongs to queues that are no more.
    fn restart_delivery(&mut self) {
        self.last_exchange += 1;
        let seed = self.now.boot.since_boot().subsec_nanos();
        let config = self.config.delivery.clone();
        self.delivery = config.map(|config| Delivery::new(config, seed.into()));
        if let Some(delivery) = &mut self.delivery {
            delivery.handle_stock(self.stock.queues.iter().map(|held| (held.queue, held.first)));
        }
    }

    fn stocked(&mut self, stock: Stock) {
        if stock.queues.is_empty() {
            self.stocked_since = None;
        } else {
            self.stocked_since.get_or_insert(self.now.boot);
        }
        if let Some(delivery) = &mut self.delivery {
            delivery.handle_stock(stock.queues.iter().map(|held| (held.queue, held.first)));
        }
        self.stock = stock;
    }

    fn storage_fault(&mut self, failed: bool) {
        let fault = Fault::SpoolNotSaved;
        let changed = match failed {
            true => self.faults.raise(fault, self.now.boot).then_some(Event::FaultRaised(fault)),
            false => self.faults.clear(fault).then_some(Event::FaultCleared(fault)),
        };
        if let Some(event) = changed {
            self.journal(Entry::Session(event));
        }
    }

    fn called(&mut self, caller: CallerId, call: Call) {
        match call {
            Call::Status { private } => {
                let status = self.status(private);
                self.answer(caller, Answer::Status(Box::new(status)));
            }
            Call::Token { key, min_ttl } => {
                if let Some(answer) = self.waiters.wait_for_token(caller, key, min_ttl, self.now) {
                    self.answer(caller, answer);
                }
            }
            Call::Proof { method, url, nonce, access } => {
                let request = (method.as_str(), url.as_str());
                let proof = self.session.proof(request, Some(&access), nonce.as_deref());
                let proof = proof.map(|proof| Answer::Proof(Box::new(proof)));
                self.answer(caller, proof.unwrap_or(Answer::Refused));
            }
            Call::SignIn => {
                self.ended = None;
                self.session.sign_in(self.now);
                self.answer(caller, Answer::Done);
            }
            Call::SignOut => {
                self.session.sign_out(self.now);
                self.waiters.wait_for_save(caller);
            }
            Call::Reset => {
                self.session.reset(self.now);
                self.waiters.wait_for_save(caller);
            }
            // Nobody here can do that.
            Call::Reload => self.answer(caller, Answer::Refused),
            Call::TestPanels => {
                self.show_test();
                self.answer(caller, Answer::Done);
            }
            Call::Accept { signal, events, body, volatile } => {
                let answer = if body.len() > self.stock.max_body {
                    Some(Answer::TooLarge)
                } else {
                    let envelope = Envelope::new(signal, self.arrival(), body);
                    self.intake.take(Handed { caller, events, volatile, envelope }, self.owner)
                };
                if let Some(answer) = answer {
                    self.answer(caller, answer);
                }
            }
        }
    }

    fn arrival(&self) -> Arrival {
        let (boot, wall) = (self.now.boot, self.session.usable_wall(self.now));
        let unset = self.unset.filter(|(_, at)| boot.since(*at) < LATE);
        let unset = unset.map(|(offset, _)| offset);
        Arrival { boot_id: self.config.boot_id, boot, wall, unset }
    }

    /// Looks how the wall clock stands as long as it is not set.
    fn watch_clock(&mut self) {
        let Now { boot, wall } = self.now;
        if let (Some(wall), None) = (wall, self.session.usable_wall(self.now)) {
            self.unset = Some((ClockOffset::between(boot, wall), boot));
        }
    }

    /// The `Date` of a server that TLS has verified tells whether the wall clock is right.
    fn compare_clocks(&mut self, outcome: &Outcome) {
        let date = wire::server_date(outcome).map(Wall::since_epoch);
        if let (Some(date), Some(wall)) = (date, self.session.usable_wall(self.now)) {
            self.is_confirmed = date.abs_diff(wall.since_epoch()) < AGREES;
        }
    }

    /// How far the wall clock is ahead, where it is right.
    fn truth(&self) -> Option<Truth> {
        let wall = self.session.usable_wall(self.now).filter(|_| self.is_confirmed)?;
        let offset = ClockOffset::between(self.now.boot, wall);
        Some(Truth { boot_id: self.config.boot_id, offset })
    }

    /// Moves everything that can move, and leaves the rest to the next event.
    fn pump(&mut self, now: Now) {
        self.now = now;
        self.watch_clock();
        self.drain_session();
        while let Some(action) = self.next_action() {
            self.act(action);
            self.drain_session();
        }
        self.answer_waiters();
        self.drain_session();
        self.start_jobs();
        self.show();
    }

    fn drain_session(&mut self) {
        while let Some(persist) = self.session.poll_persist() {
            self.out.push_back(Submit::Storage(match persist {
                Persist::Record { version, record } => Job::SaveRecord(version, record),
                Persist::Metadata(metadata) => Job::SaveMetadata(metadata),
                Persist::Keys(keys) => Job::SaveKeys(keys),
            }));
        }
        if self.session.poll_key() {
            self.out.push_back(Submit::MakeKey);
        }
        while let Some((id, request)) = self.session.poll_send() {
            self.out.push_back(Submit::Http(HttpId::Session(id), request));
        }
        while let Some(carried) = self.session.poll_runtime() {
            self.out.push_back(Submit::Runtime(Box::new(carried)));
        }
        while let Some(event) = self.session.poll_event() {
            if let Event::PairingEnded(ending) = &event {
                self.ended = Some(*ending);
            }
            if event == Event::FaultRaised(Fault::SignInEnds) {
                self.report_end();
            }
            self.audit_event(&event);
            self.journal(Entry::Session(event));
        }
        self.owner = self.session.owner();
    }

    /// A device that is run by another configuration than before says so once.
    fn compare_configuration(&mut self, before: Option<String>) {
        let now = self.config.config_hash.clone();
        if before.as_ref() == Some(&now) {
            return;
        }
        self.out.push_back(Submit::Storage(Job::SaveConfigHash(now.clone())));
        if let Some(before) = before {
            self.journal(Entry::Configured { hash: now.clone() });
            self.audit(self.owner, &Audit::Configured { before, now });
        }
    }

    /// Whoever runs the device may be nowhere near its panel.
    fn report_end(&mut self) {
        let grant = self.session.grant();
        let (Some(end), Some(account)) = (grant.expires_at, grant.account) else { return };
        self.intake.report(account.id, reports::sign_in_ends(end, self.arrival()));
    }

    /// Without a usable clock TLS is not tried (design invariant 6); nor is anything read of queues
    /// that are being destroyed.
    fn may_deliver(&self) -> bool {
        let is_stable = !self.wiping && self.forgetting.is_none();
        is_stable && self.session.usable_wall(self.now).is_some()
    }

    fn next_action(&mut self) -> Option<Action> {
        if !self.may_deliver() {
            return None;
        }
        let (session, now) = (&mut self.session, self.now);
        let token = |key: &_| session.delivery_token(key, now);
        self.delivery.as_mut()?.poll_action(self.owner, token, now)
    }

    fn act(&mut self, action: Action) {
        let submit = match action {
            Action::Read(read) => Submit::Storage(Job::Read(read, self.arrival(), self.truth())),
            Action::Send(mut request) => {
                self.last_exchange += 1;
                self.session.prove(&mut request);
                Submit::Http(HttpId::Delivery(self.last_exchange), request)
            }
            Action::Settle { queue, end, dropped } => {
                Submit::Storage(Job::Settle { queue, end, dropped, at: self.arrival() })
            }
            Action::Rejected(key, generation) => {
                return self.session.handle_rejected(&key, generation, self.now);
            }
            Action::Challenged(key, generation, challenge) => {
                return self.session.handle_challenged(&key, generation, challenge, self.now);
            }
            Action::Note(note) => Submit::Journal(Entry::Delivery(note)),
        };
        self.out.push_back(submit);
    }

    fn answer_waiters(&mut self) {
        let (session, now) = (&mut self.session, self.now);
        let answers = self.waiters.answer_tokens(now, |key, min_ttl| {
            match session.token(key, min_ttl, now) {
                TokenAnswer::Ready(access) => {
                    let left = access.expires.map(|end| end.since(now.boot));
                    Some(Answer::Token(access, left))
                }
                TokenAnswer::Pending => None,
                TokenAnswer::SignInNeeded => Some(Answer::SignInNeeded),
                TokenAnswer::Refused => Some(Answer::Refused),
            }
        });
        for (caller, answer) in answers {
            self.answer(caller, answer);
        }
        let saved = self.is_forgotten();
        if saved || self.session.faults().has(Fault::TokensNotSaved) {
            for caller in self.waiters.take_savers() {
                self.answer(caller, if saved { Answer::Done } else { Answer::NotSaved });
            }
        }
    }

    /// Whether flash knows all that the session knows, and has forgotten whom it forgot.
    pub(crate) fn is_forgotten(&self) -> bool {
        let session = &self.session;
        session.is_saved() && session.forgetting().is_none() && !session.is_wiping()
    }

    /// Whether somebody is to be forgotten, and is not being so.
    fn has_to_forget(&self) -> bool {
        let waits = self.session.is_wiping() || self.whom_to_forget().is_some();
        waits && self.forgetting.is_none() && !self.wiping
    }

    /// Whose key is to be destroyed, and why.
    fn whom_to_forget(&self) -> Option<(OwnerId, DropReason)> {
        let signed_out = self.session.forgetting().map(|owner| (owner, DropReason::SignedOut));
        signed_out.or_else(|| {
            let owners = self.stock.queues.iter().map(|held| held.queue.owner);
            let others = owners.filter(|owner| ![OwnerId::DEVICE, self.owner].contains(owner));
            let purges = self.config.purges_other_accounts && self.owner != OwnerId::DEVICE;
            others.map(|owner| (owner, DropReason::OtherAccount)).next().filter(|_| purges)
        })
    }

    /// Whether all that came for former owners is on its way to flash. Later it would have their
    /// keys made anew.
    fn may_forget(&self) -> bool {
        self.session.is_saved() && !self.intake.has_of_others(self.owner)
    }

    fn start_jobs(&mut self) {
        if self.has_to_forget() {
            self.intake.hurry(self.now.boot);
        }
        if let Some(job) = self.intake.next_append(self.now.boot) {
            self.out.push_back(Submit::Storage(job));
        }
        // Once flash knows that they signed out: after a cut of power it goes on from there.
        let due = self.may_forget() && self.now.boot >= self.forget_at;
        if !due || !self.has_to_forget() {
            return;
        }
        let at = self.arrival();
        let job = if self.session.is_wiping() {
            self.wiping = true;
            Job::Wipe(at)
        } else if let Some((owner, reason)) = self.whom_to_forget() {
            self.forgetting = Some((owner, reason));
            Job::Forget(owner, reason, at)
        } else {
            return;
        };
        self.out.push_back(Submit::Storage(job));
    }

    fn show(&mut self) {
        let screen = self.screen();
        if self.shown.as_ref() != Some(&screen) {
            self.shown = Some(screen.clone());
            self.out.push_back(Submit::Screen(screen));
        }
    }

    fn answer(&mut self, caller: CallerId, answer: Answer) {
        self.out.push_back(Submit::Answer(caller, answer));
    }

    fn journal(&mut self, entry: Entry) {
        self.out.push_back(Submit::Journal(entry));
    }
}
