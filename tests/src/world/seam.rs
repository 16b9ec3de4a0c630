//! The seam between driver and ports: what each submitted thing becomes, and how its end comes
//! back. The judge sees everything that passes, after the saboteur.

use super::{
    Event, Moment, RECORD_EVERY, SPINNING, World,
    backend::{bearer, record},
    issuer::SECRET_MARK,
    network::{Kind, Passage},
    people::{Act, Asked},
    sabotage::Fake,
};
use signpost::ports::{
    Answer, Call, CallerId, Complete, Done, Entry, HttpId, Job, JobResult, Submit,
};
use signpost_core::{
    delivery::Read,
    http::{Cause, Reply, Request},
    jws::DeviceKey,
    otlp::Signal,
    secret::Secret,
};
use signpost_hal::panel::Press;
use std::time::Duration;

/// How often a program tries to hand over one record.
const TRIES: u8 = 4;

/// One exchange under way.
#[derive(Debug)]
pub(super) struct Exchange {
    /// Of which run of the agent.
    run: u64,
    id: HttpId,
    kind: Kind,
    request: Request,
    sent: Duration,
    passage: Passage,
    reply: Option<Reply>,
}

impl Exchange {
    /// The power of the device has gone: where `cut`, before the request was out.
    pub(super) fn may_be_cut(&mut self, cut: bool) {
        if cut && self.reply.is_none() {
            self.passage.fate = super::Fate::LostBefore(Cause::Broken);
        }
    }
}

impl World {
    /// Somebody asks the agent for something; `None` where there is none.
    pub(super) fn call(&mut self, asked: Asked, call: Call) -> Option<CallerId> {
        if self.device.driver.is_none() {
            self.disappoint(asked, Duration::from_secs(300));
            return None;
        }
        let caller = self.callers.enter(asked);
        self.judge.called(caller);
        self.complete(Complete::Call(caller, call));
        Some(caller)
    }

    /// Somebody asks for something by the button.
    pub fn press(&mut self, press: Press) {
        if matches!(press, Press::SignOut | Press::Reset) {
            self.expect_sign_out();
        }
        self.complete(Complete::Pressed(press));
    }

    pub(super) fn hang_up(&mut self, caller: CallerId) {
        if self.callers.leave(caller).is_some() {
            self.judge.answered(caller);
            self.complete(Complete::Gone(caller));
        }
    }

    /// A program hands over a record. Each try is a record of its own, so that the ledger need not
    /// know what a program takes for the same.
    pub(super) fn send(&mut self, signal: Signal, tries: u8) {
        let owners = self.judge.owners(&self.issuer);
        let name = self.judge.ledger.offer(owners, signal);
        let body = record(signal, name);
        let call = Call::Accept { signal, events: false, body, volatile: false };
        self.call(Asked::Record { name, signal, tries }, call);
    }

    /// Somebody got no answer, or not the one they wanted: programs come again.
    pub(super) fn disappoint(&mut self, asked: Asked, after: Duration) {
        match asked {
            Asked::Record { signal, tries, .. } if tries + 1 < TRIES => {
                self.enter(after, Event::Act(Act::Send(signal, tries + 1)));
            }
            Asked::Record { .. }
            | Asked::Token
            | Asked::Status { .. }
            | Asked::SignIn
            | Asked::SignOut => {}
        }
    }

    /// Something has happened at a port.
    fn complete(&mut self, complete: Complete) {
        if self.saboteur.is_hung() {
            return;
        }
        let now = self.device_now();
        if let Some(driver) = &mut self.device.driver {
            driver.complete(complete, now);
        }
        self.drain();
    }

    /// Does all that the driver wants done.
    pub(super) fn drain(&mut self) {
        let mut answers = Vec::new();
        while let Some(submit) = self.device.driver.as_mut().and_then(|driver| driver.poll()) {
            match self.saboteur.outgoing(submit) {
                Fake::Pass(submit, also) => {
                    self.serve(submit);
                    also.into_iter().for_each(|submit| self.serve(submit));
                }
                Fake::Answer(complete) => answers.push(complete),
                Fake::Nothing => {}
            }
        }
        self.begin_job();
        self.schedule_wake();
        answers.into_iter().for_each(|complete| self.complete(complete));
    }

    fn schedule_wake(&mut self) {
        let wake = self.device.driver.as_ref().and_then(|driver| driver.wake());
        let at = wake.map(|(boot, _)| self.device.clock.world_time(boot).max(self.now));
        if at == self.wakes.at {
            return;
        }
        self.wakes.at = at;
        self.wakes.number += 1;
        let Some(mut at) = at else { return };
        if at == self.now && self.wakes.within > SPINNING {
            self.judge.verdicts.broken(9, format!("it spins: {wake:?}"));
            at += Duration::from_secs(60);
        }
        self.agenda.enter(at, Event::Wake(self.wakes.number));
    }

    fn serve(&mut self, submit: Submit) {
        match submit {
            Submit::Http(id, request) => self.serve_request(id, request),
            Submit::Storage(job) => {
                self.judge.job(&job, &self.issuer);
                self.device.submit(job);
            }
            Submit::MakeKey => {
                let key = DeviceKey(Secret::new(format!("{SECRET_MARK}k-{:x}", self.rng.u64(..))));
                self.complete(Complete::Key(key));
            }
            Submit::Runtime(carried) => self.device.runtime = *carried,
            Submit::Screen(screen) => {
                self.note(|| format!("panel: {screen:?}"));
                self.judge.screen(&screen);
                let owner = self.judge.person();
                let act = self.people.look(screen, owner);
                self.enter_act(act);
            }
            Submit::Journal(entry) => {
                self.note(|| format!("journal: {entry:?}"));
                self.judge.journal(&entry);
                self.keep(entry);
            }
            Submit::Answer(caller, answer) => self.serve_answer(caller, answer),
        }
    }

    /// A journal is as long as a life; what it says twice in a row in full detail is of no use.
    fn keep(&mut self, entry: Entry) {
        if self.journal.len() < 20_000 {
            self.journal.push(entry);
        }
    }

    fn serve_request(&mut self, id: HttpId, request: Request) {
        let kind = Kind::of(&request);
        let clock = self.device.clock.now(self.now);
        self.judge.request(kind, &request, clock, &self.issuer);
        if let Some(token) = bearer(&request) {
            self.prove(token);
        }
        let passage = self.network.passage(kind, &request, self.now);
        self.note(|| format!("send {kind:?}: {:?}", passage.fate));
        let (up, down) = (passage.up, passage.down);
        self.exchanged += 1;
        let number = self.exchanged;
        if passage.fate.arrives() {
            self.enter(up, Event::Arrive(number));
        }
        self.enter(up + down, Event::Heard(number));
        let (run, sent) = (self.device.run, self.now);
        let exchange = Exchange { run, id, kind, request, sent, passage, reply: None };
        self.exchanges.insert(number, exchange);
    }

    /// An access token leaves the session: is it as durable as it must be?
    fn prove(&mut self, token: &str) {
        if self.issuer.own_token(token).is_some() {
            // It is worth nothing to anybody but as long as it lasts: flash has nothing of it.
            return;
        }
        let Some(access) = self.issuer.access_token(token) else {
            self.judge.verdicts.broken(8, "a token that no issuer gave".into());
            return;
        };
        if self.judge.wants_proof(access, self.proof_every) {
            match self.device.record_after_a_cut() {
                Some(record) => self.judge.prove(access, &record, &self.issuer),
                None => self.judge.verdicts.broken(3, "flash would not open after a cut".into()),
            }
        }
    }

    pub(super) fn arrive(&mut self, number: u64) {
        let Some(exchange) = self.exchanges.get_mut(&number) else { return };
        if !exchange.passage.fate.arrives() {
            return;
        }
        let kind = exchange.kind;
        if kind == Kind::Telemetry {
            let arrived = self.backend.answer(&exchange.request, &self.issuer, self.now);
            self.judge.arrived(&arrived, exchange.sent);
            exchange.reply = Some(arrived.reply);
        } else {
            exchange.reply = Some(self.issuer.answer(&exchange.request, self.now));
        }
        if let Some(reply) = &exchange.reply {
            self.network.answered(&exchange.passage.fate, reply);
        }
        if exchange.run == self.device.run {
            self.strike_if(Moment::Answering(kind), exchange_half(number, &self.exchanges));
        }
    }

    pub(super) fn heard(&mut self, number: u64) {
        let Some(exchange) = self.exchanges.remove(&number) else { return };
        if exchange.run != self.device.run {
            return;
        }
        let outcome = exchange.passage.fate.outcome(exchange.reply);
        self.note(|| format!("{:?}: {outcome:?}", exchange.kind));
        self.judge.heard(exchange.kind, &exchange.request, &outcome, &self.issuer);
        self.complete(Complete::Http(exchange.id, outcome));
        if let Some(submit) = self.saboteur.on_answer(exchange.kind) {
            self.serve(submit);
        }
    }

    fn begin_job(&mut self) {
        let Some(span) = self.device.begin_job() else { return };
        self.enter(span, Event::JobDone(self.device.run));
        let saves = matches!(self.device.job(), Some(Job::SaveRecord(..)));
        if saves {
            self.strike_if(Moment::Saving, span / 2);
        }
        self.strike_if(Moment::Writing, span / 2);
    }

    fn strike_if(&mut self, moment: Moment, after: Duration) {
        if let Some((_, strike)) = self.strike_at.take_if(|(m, _)| *m == moment) {
            self.enter(after, Event::Strike(strike, self.device.run));
        }
    }

    pub(super) fn job_done(&mut self) {
        let settles =
            matches!(self.device.job(), Some(Job::Read(Read { settled: Some(_), .. }, ..)));
        let pretended = self.saboteur.pretend(self.device.job());
        let done = match pretended {
            Some(result) => {
                self.device.skip_job();
                let stock = self.device.stock.clone();
                Some(Done { result, stock, dropped: Vec::new(), written: 0 })
            }
            None => self.device.end_job(),
        };
        let Some(done) = done else { return };
        if settles && matches!(done.result, JobResult::Batch(Ok(_))) {
            self.judge.ledger.removed(self.now, &mut self.judge.verdicts);
        }
        self.judge_done(&done);
        self.complete(Complete::Storage(done));
        self.begin_job();
    }

    fn judge_done(&mut self, done: &Done) {
        self.note(|| format!("flash: {:?}", done.result));
        let now = self.now;
        self.judge.ledger.given_up(&done.dropped);
        match &done.result {
            JobResult::Record(version, result) => {
                self.judge.saved(*version, result.is_ok(), &self.issuer);
            }
            JobResult::Settled(Ok(())) => {
                self.judge.ledger.removed(now, &mut self.judge.verdicts);
            }
            JobResult::Forgotten(Ok(_)) => self.judge.forgotten(),
            JobResult::Wiped(Ok(device_id)) => self.judge.wiped(device_id),
            JobResult::Appended(_)
            | JobResult::Batch(_)
            | JobResult::Metadata(_)
            | JobResult::Settled(Err(_))
            | JobResult::Forgotten(Err(_))
            | JobResult::Wiped(Err(_))
            | JobResult::Noted(_) => {}
        }
        let double = self.device.double_programs();
        if double > 0 {
            self.judge.verdicts.broken(3, format!("{double} programs of flash not erased"));
        }
    }

    fn serve_answer(&mut self, caller: CallerId, answer: Answer) {
        let Some(asked) = self.callers.leave(caller) else {
            return self.judge.answered(caller);
        };
        self.judge.answered(caller);
        match (asked, answer) {
            (Asked::Record { name, .. }, Answer::Done) => self.judge.ledger.acknowledge(name),
            (asked @ Asked::Record { .. }, Answer::TryLater(after)) => {
                self.disappoint(asked, after);
            }
            (asked @ Asked::Record { .. }, _) => self.disappoint(asked, RECORD_EVERY / 30),
            (Asked::Token, Answer::Token(access, _)) => self.prove(access.token.expose()),
            (Asked::Status { private: true }, Answer::Status(status)) => {
                self.status = Some(status);
            }
            (Asked::Status { private: false }, Answer::Status(status)) => {
                let json = serde_json::to_string(&*status).unwrap_or_default();
                self.judge.public_status(&json);
            }
            (asked, answer) => self.note(|| format!("{asked:?}: {}", answer_name(&answer))),
        }
    }
}

/// Half of the way that an answer has to go.
fn exchange_half(number: u64, exchanges: &std::collections::BTreeMap<u64, Exchange>) -> Duration {
    exchanges.get(&number).map_or(Duration::ZERO, |exchange| exchange.passage.down / 2)
}

const fn answer_name(answer: &Answer) -> &'static str {
    match answer {
        Answer::Token(..) => "a token",
        Answer::Proof(_) => "a proof",
        Answer::Status(_) => "a status",
        Answer::Done => "done",
        Answer::SignInNeeded => "sign-in needed",
        Answer::Refused => "refused",
        Answer::TryLater(_) => "try later",
        Answer::TooLarge => "too large",
        Answer::NotSaved => "not saved",
        Answer::BadConfiguration(_) => "bad configuration",
    }
}
