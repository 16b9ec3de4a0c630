//! Delivery against scripted backends.

use super::*;
use crate::{http::Cause, time::Wall};
use alloc::{string::ToString, vec};

const ANNA: OwnerId = OwnerId([1; 16]);
const BEN: OwnerId = OwnerId([2; 16]);

struct Rig {
    delivery: Delivery,
    now: Now,
    token: TokenAnswer,
    owner: OwnerId,
}

fn queue(owner: OwnerId) -> Queue {
    Queue { stream: Stream::Logs, owner }
}

fn stock(owner: OwnerId) -> impl Iterator<Item = (Queue, u64)> {
    [(queue(owner), 0)].into_iter()
}

fn access(generation: u64) -> TokenAnswer {
    TokenAnswer::Ready(AccessToken {
        token: Secret::new("at"),
        token_type: "Bearer".into(),
        expires: None,
        scope: None,
        generation: Generation::test(generation),
    })
}

fn status(status: u16) -> Outcome {
    Outcome::Reply(Reply { status, headers: vec![], body: vec![] })
}

impl Rig {
    fn new() -> Self {
        let config = DeliveryConfig {
            endpoint: "https://t.example".into(),
            key: TokenKey::default(),
            headers: vec![],
            unowned: Unowned::Wait,
        };
        let boot = Boot::new(Duration::from_secs(100));
        let now = Now { boot, wall: Some(Wall::new(Duration::from_secs(1_800_000_000))) };
        let mut delivery = Delivery::new(config, 3);
        delivery.handle_stock(stock(ANNA));
        Self { delivery, now, token: access(1), owner: ANNA }
    }

    fn poll(&mut self) -> Option<Action> {
        let token = self.token.clone();
        loop {
            match self.delivery.poll_action(self.owner, |_| token.clone(), self.now) {
                Some(Action::Note(_)) => {}
                action => return action,
            }
        }
    }

    fn pass(&mut self, seconds: u64) {
        self.now.boot = self.now.boot + Duration::from_secs(seconds);
    }

    /// Reads records `first..=last` and has them sent.
    fn send(&mut self, first: u64, last: u64) -> Request {
        assert!(matches!(self.poll(), Some(Action::Read(_))));
        self.delivery.handle_batch(Some(batch(first, last)));
        self.sent()
    }

    fn sent(&mut self) -> Request {
        let action = self.poll();
        let Some(Action::Send(request)) = action else { panic!("not sent: {action:?}") };
        request
    }
}

fn batch(first: u64, last: u64) -> Batch {
    let (queue, signal) = (queue(ANNA), Signal::Logs);
    let (start, end) = (Place::before(first), Place::before(last + 1));
    let records = last + 1 - first;
    Batch { queue, signal, start, end, records, epoch: 0xABC, body: vec![0x0a, 0x00] }
}

fn header<'a>(request: &'a Request, name: &str) -> &'a str {
    let found = request.headers.iter().find(|(n, _)| n == name);
    found.map(|(_, value)| value.expose()).unwrap_or_default()
}

#[test]
fn a_batch_is_read_sent_and_removed() {
    let mut rig = Rig::new();
    let request = rig.send(0, 9);
    assert_eq!(request.url, "https://t.example/v1/logs");
    assert_eq!(header(&request, "authorization"), "Bearer at");
    assert_eq!(rig.poll(), None, "one at a time");
    rig.delivery.handle_outcome(&status(200), rig.now);
    let Some(Action::Read(read)) = rig.poll() else { panic!("no read") };
    assert_eq!(read.settled, Some(Place::before(10)), "the same write removes it");
    rig.delivery.handle_batch(None);
    rig.delivery.handle_stock([].into_iter());
    assert_eq!(rig.poll(), None);
    assert_eq!(rig.delivery.counts().delivered, 10);
}

#[test]
fn a_retry_is_the_same_batch_under_the_same_key() {
    let mut rig = Rig::new();
    let first = rig.send(5, 9);
    for outcome in [status(503), Outcome::Lost(Cause::Broken), Outcome::NotSent(Cause::Dns)] {
        rig.delivery.handle_outcome(&outcome, rig.now);
        assert_eq!(rig.poll(), None, "not at once");
        let wake = rig.delivery.poll_wake(ANNA).expect("later");
        rig.now.boot = wake;
        let again = rig.sent();
        assert_eq!(header(&again, "idempotency-key"), header(&first, "idempotency-key"));
        assert!(again.body == first.body);
    }
    assert!(rig.delivery.faults().has(Fault::BackendUnreachable));
}

#[test]
fn a_401_refreshes_once_and_holds_everything() {
    let mut rig = Rig::new();
    rig.send(0, 0);
    rig.delivery.handle_outcome(&status(401), rig.now);
    assert!(matches!(rig.poll(), Some(Action::Rejected(_, g)) if g == Generation::test(1)));
    assert_eq!(rig.poll(), None);
    rig.token = TokenAnswer::Pending;
    assert_eq!(rig.poll(), None);
    rig.token = access(2);
    rig.sent();
    rig.delivery.handle_outcome(&status(401), rig.now);
    assert!(matches!(rig.poll(), Some(Action::Rejected(_, g)) if g == Generation::test(2)));
    assert!(rig.delivery.faults().has(Fault::BackendUnauthorized), "a fresh one, too");
    rig.token = TokenAnswer::SignInNeeded;
    for _ in 0..100 {
        rig.pass(3_600);
        assert_eq!(rig.poll(), None, "nothing is dropped, nothing is sent");
    }
    assert_eq!(rig.delivery.held(), Some(Hold::SignIn));
    rig.token = access(3);
    rig.sent();
    rig.delivery.handle_outcome(&status(200), rig.now);
    assert!(matches!(rig.poll(), Some(Action::Read(Read { settled: Some(_), .. }))));
    assert_eq!(rig.delivery.faults().iter().count(), 0);
}

#[test]
fn invariant_10_a_backend_that_refuses_every_token_costs_four_refreshes_an_hour() {
    let mut rig = Rig::new();
    rig.send(0, 0);
    let (mut refreshes, end) = (0, rig.now.boot + Duration::from_secs(24 * 3_600));
    while rig.now.boot < end {
        rig.delivery.handle_outcome(&status(401), rig.now);
        assert!(matches!(rig.poll(), Some(Action::Rejected(..))));
        refreshes += 1;
        // The session is quick to get another one.
        rig.token = access(1 + refreshes);
        while rig.now.boot < end && !matches!(rig.poll(), Some(Action::Send(_))) {
            rig.pass(1);
        }
    }
    assert!(refreshes <= 4 * 24 + 6, "{refreshes}");
}

#[test]
fn a_token_that_is_awaited_is_no_reason_to_wake() {
    let mut rig = Rig::new();
    rig.send(0, 0);
    rig.delivery.handle_outcome(&Outcome::NotSent(Cause::Connect), rig.now);
    rig.token = TokenAnswer::Pending;
    rig.pass(600);
    assert_eq!(rig.poll(), None);
    assert_eq!(rig.delivery.poll_wake(ANNA), None, "a wake-up that is overdue for ever");
    rig.token = access(2);
    rig.sent();
}

#[test]
fn a_poisoned_record_is_found_by_halving_and_only_it_is_dropped() {
    for (code, reason) in [(400, DropReason::Malformed), (413, DropReason::TooLarge)] {
        let mut rig = Rig::new();
        let (mut first, last, poison) = (0_u64, 63_u64, 37_u64);
        let mut dropped = vec![];
        let mut requests = 0;
        while first <= last {
            let Some(Action::Read(read)) = rig.poll() else { panic!("no read") };
            first = read.settled.map_or(first, |place| place.sequence);
            if first > last {
                break;
            }
            let max_records = read.max_records;
            let end = last.min(first + u64::from(max_records) - 1);
            rig.delivery.handle_batch(Some(batch(first, end)));
            rig.sent();
            requests += 1;
            let holds = (first..=end).contains(&poison);
            rig.delivery.handle_outcome(&status(if holds { code } else { 200 }), rig.now);
            match rig.poll() {
                Some(Action::Settle { end, dropped: lost, .. }) => {
                    dropped.extend(lost);
                    first = end.sequence;
                    rig.delivery.handle_settled(true, rig.now);
                    rig.pass(1);
                    rig.delivery.handle_stock(stock(ANNA));
                }
                Some(Action::Read(read)) => {
                    assert!(read.refreeze != read.settled.is_some());
                    assert!(
                        read.settled.is_some() || u64::from(read.max_records) < end - first + 1
                    );
                    // Put the read back: the loop issues it again.
                    rig.delivery.step = Step::Idle;
                }
                action => panic!("{action:?}"),
            }
        }
        assert_eq!(dropped, [Dropped { records: 1, signal: Signal::Logs, reason }]);
        assert!(requests < 24, "{requests}");
    }
}

#[test]
fn a_partial_success_is_counted_and_not_sent_again() {
    let mut rig = Rig::new();
    rig.send(0, 9);
    let headers = vec![("content-type".to_string(), "application/x-protobuf".to_string())];
    let body = vec![0x0a, 0x02, 0x08, 0x03];
    rig.delivery.handle_outcome(&Outcome::Reply(Reply { status: 200, headers, body }), rig.now);
    let reason = DropReason::RejectedByBackend;
    let dropped = Some(Dropped { records: 3, signal: Signal::Logs, reason });
    assert_eq!(
        rig.poll(),
        Some(Action::Settle { queue: queue(ANNA), end: Place::before(10), dropped })
    );
}

#[test]
fn a_page_where_the_backend_should_be_takes_nothing() {
    let mut rig = Rig::new();
    rig.send(0, 9);
    let page = Reply { status: 200, headers: vec![], body: b"<html>Log in".to_vec() };
    rig.delivery.handle_outcome(&Outcome::Reply(page), rig.now);
    assert_eq!(rig.poll(), None);
    assert_eq!(rig.delivery.held(), Some(Hold::Unreachable));
}

#[test]
fn retry_after_wins_and_403_parks() {
    let mut rig = Rig::new();
    rig.send(0, 0);
    let headers = vec![("retry-after".to_string(), "900".to_string())];
    let busy = Reply { status: 429, headers, body: vec![] };
    rig.delivery.handle_outcome(&Outcome::Reply(busy), rig.now);
    rig.pass(899);
    assert_eq!(rig.poll(), None);
    rig.pass(1);
    rig.sent();
    rig.delivery.handle_outcome(&status(403), rig.now);
    assert!(rig.delivery.faults().has(Fault::BackendForbidden));
    rig.pass(899);
    assert_eq!(rig.poll(), None);
    rig.pass(300);
    rig.sent();
}

#[test]
fn invariant_8_another_owners_records_stay_where_they_are() {
    let mut rig = Rig::new();
    rig.owner = BEN;
    assert_eq!(rig.poll(), None);
    rig.owner = OwnerId::DEVICE;
    assert_eq!(rig.poll(), None);
    rig.owner = ANNA;
    rig.send(0, 9);
    rig.delivery.handle_outcome(&status(503), rig.now);
    rig.owner = BEN;
    rig.pass(600);
    assert_eq!(rig.poll(), None, "a batch of Anna's that was under way, too");
    rig.owner = ANNA;
    assert!(matches!(rig.poll(), Some(Action::Read(_))), "it is read again for her");
}

#[test]
fn what_is_held_against_one_account_is_not_held_against_the_next() {
    let mut rig = Rig::new();
    rig.send(0, 0);
    rig.delivery.handle_outcome(&status(403), rig.now);
    assert!(rig.delivery.faults().has(Fault::BackendForbidden));
    rig.owner = OwnerId::DEVICE;
    assert_eq!(rig.poll(), None);
    assert_eq!((rig.delivery.faults().iter().count(), rig.delivery.held()), (0, None));
    rig.owner = BEN;
    rig.delivery.handle_stock(stock(BEN));
    assert!(matches!(rig.poll(), Some(Action::Read(_))), "at once");
}

#[test]
fn a_batch_whose_owner_is_gone_holds_nobody_up() {
    let mut rig = Rig::new();
    assert!(matches!(rig.poll(), Some(Action::Read(_))));
    rig.delivery.handle_batch(Some(batch(0, 0)));
    rig.token = TokenAnswer::SignInNeeded;
    assert_eq!(rig.poll(), None);
    assert_eq!(rig.delivery.held(), Some(Hold::SignIn));
    rig.owner = BEN;
    rig.token = access(2);
    assert_eq!(rig.poll(), None, "nothing of Ben's");
    assert_eq!(rig.delivery.held(), None);
}

#[test]
fn unowned_records_wait_unless_the_first_user_takes_them() {
    let mut rig = Rig::new();
    rig.delivery.handle_stock(stock(OwnerId::DEVICE));
    assert_eq!(rig.poll(), None);
    rig.delivery.config.unowned = Unowned::WithFirst;
    assert!(
        matches!(rig.poll(), Some(Action::Read(Read { queue: q, .. })) if q.owner == OwnerId::DEVICE)
    );
}

#[test]
fn invariant_4_a_report_that_could_not_be_kept_is_tried_again() {
    let mut rig = Rig::new();
    rig.send(4, 4);
    rig.delivery.handle_outcome(&status(400), rig.now);
    let Some(Action::Settle { dropped: Some(lost), .. }) = rig.poll() else { panic!("settles") };
    rig.delivery.handle_settled(false, rig.now);
    assert_eq!(rig.poll(), None);
    rig.now.boot = rig.delivery.poll_wake(ANNA).expect("later");
    let again = Action::Settle { queue: queue(ANNA), end: Place::before(5), dropped: Some(lost) };
    assert_eq!(rig.poll(), Some(again));
}

#[test]
fn events_go_before_metrics_and_metrics_before_logs() {
    let mut rig = Rig::new();
    let queues = [Stream::Logs, Stream::Events, Stream::Metrics];
    let queues = queues.into_iter().map(|stream| (Queue { stream, owner: ANNA }, 0));
    rig.delivery.handle_stock(queues);
    let Some(Action::Read(read)) = rig.poll() else { panic!("no read") };
    assert_eq!(read.queue.stream, Stream::Events);
}

#[test]
fn a_backend_that_asks_for_more_is_passed_on_and_the_batch_waits_for_another_token() {
    let header = r#"Bearer error="insufficient_user_authentication", acr_values="mfa""#;
    let headers = vec![("www-authenticate".to_string(), header.to_string())];
    let asks = Outcome::Reply(Reply { status: 401, headers, body: vec![] });
    let mut rig = Rig::new();
    let first = rig.send(1, 5);
    rig.delivery.handle_outcome(&asks, rig.now);
    let action = rig.poll();
    let Some(Action::Challenged(_, generation, challenge)) = action else { panic!("{action:?}") };
    assert_eq!((generation, challenge.names()), (Generation::test(1), "acr_values"));
    assert_eq!(rig.delivery.held(), Some(Hold::SignIn));
    assert_eq!(rig.delivery.faults().iter().count(), 0, "the session says what is to be done");
    assert_eq!(rig.delivery.poll_wake(ANNA), None, "nothing but another token brings it on");
    for _ in 0..3 {
        rig.pass(600);
        assert_eq!(rig.poll(), None, "the same token would be refused again");
    }
    rig.token = access(2);
    assert_eq!(rig.sent(), first, "the same batch");
    rig.delivery.handle_outcome(&status(200), rig.now);
    assert_eq!(rig.delivery.held(), None);
}

#[test]
fn a_bound_token_is_sent_as_such_and_a_wanted_nonce_is_no_refusal() {
    let mut rig = Rig::new();
    let TokenAnswer::Ready(mut bound) = access(1) else { panic!() };
    bound.token_type = "dpop".into();
    rig.token = TokenAnswer::Ready(bound);
    let request = rig.send(0, 0);
    assert_eq!(header(&request, "authorization"), "DPoP at");
    let challenge = |error: &str| {
        let headers = vec![
            ("www-authenticate".to_string(), format!("DPoP error=\"{error}\", algs=\"ES256\"")),
            ("dpop-nonce".to_string(), "n-1".to_string()),
        ];
        Outcome::Reply(Reply { status: 401, headers, body: vec![] })
    };
    rig.delivery.handle_outcome(&challenge("use_dpop_nonce"), rig.now);
    let again = rig.sent();
    assert_eq!(header(&again, "idempotency-key"), header(&request, "idempotency-key"));
    assert!(!rig.delivery.faults().has(Fault::BackendUnauthorized));
    rig.delivery.handle_outcome(&challenge("use_dpop_nonce"), rig.now);
    assert!(matches!(rig.poll(), Some(Action::Rejected(..))), "a backend that is never content");
    rig.pass(3_600);
    rig.sent();
    rig.delivery.handle_outcome(&status(200), rig.now);
    rig.send(1, 1);
    rig.delivery.handle_outcome(&challenge("invalid_token"), rig.now);
    assert!(matches!(rig.poll(), Some(Action::Rejected(..))));
}

#[test]
fn a_batch_whose_records_made_room_for_newer_ones_is_read_anew() {
    let mut rig = Rig::new();
    rig.send(0, 9);
    rig.delivery.handle_outcome(&status(503), rig.now);
    rig.delivery.handle_stock([(queue(ANNA), 5)].into_iter());
    rig.pass(600);
    assert!(matches!(rig.poll(), Some(Action::Read(Read { refreeze: false, .. }))));
}

#[test]
fn the_end_of_a_batch_is_kept_by_itself_where_another_queue_comes_first() {
    let mut rig = Rig::new();
    rig.send(0, 9);
    rig.delivery.handle_outcome(&status(200), rig.now);
    let events = Queue { stream: Stream::Events, owner: ANNA };
    rig.delivery.handle_stock([(queue(ANNA), 0), (events, 0)].into_iter());
    let settle = Action::Settle { queue: queue(ANNA), end: Place::before(10), dropped: None };
    assert_eq!(rig.poll(), Some(settle));
    rig.delivery.handle_settled(true, rig.now);
    let Some(Action::Read(read)) = rig.poll() else { panic!("no read") };
    assert_eq!((read.queue, read.settled), (events, None));
}

#[test]
fn a_request_of_several_records_is_taken_apart_where_the_backend_refuses_it() {
    let mut rig = Rig::new();
    assert!(matches!(rig.poll(), Some(Action::Read(Read { splits: false, .. }))));
    let whole = Batch { records: 5_000, ..batch(0, 0) };
    rig.delivery.handle_batch(Some(whole));
    rig.sent();
    rig.delivery.handle_outcome(&status(413), rig.now);
    let Some(Action::Read(read)) = rig.poll() else { panic!("no read") };
    assert_eq!((read.max_records, read.splits, read.refreeze), (999, true, true));
    let half = Place { sequence: 0, records: 999 };
    rig.delivery.handle_batch(Some(Batch { end: half, records: 999, ..batch(0, 0) }));
    let request = rig.sent();
    assert_eq!(header(&request, "idempotency-key"), "0000000000000abc-0-0.999");
    rig.delivery.handle_outcome(&status(200), rig.now);
    let Some(Action::Read(read)) = rig.poll() else { panic!("no read") };
    assert_eq!((read.settled, read.refreeze), (Some(half), false));
}

/// Tokens in both names, and what was asked of the machine with them.
struct Both {
    delivery: Delivery,
    now: Now,
    owner: OwnerId,
    owners: TokenAnswer,
    own: TokenAnswer,
}

fn named(name: &str, generation: u64) -> TokenAnswer {
    let TokenAnswer::Ready(access) = access(generation) else { panic!("a token") };
    TokenAnswer::Ready(AccessToken { token: Secret::new(name), ..access })
}

/// Both have something to send.
fn of_both() -> impl Iterator<Item = (Queue, u64)> {
    [(queue(OwnerId::DEVICE), 0), (queue(ANNA), 0)].into_iter()
}

impl Both {
    /// All of this queue is over.
    fn empty(&mut self, queue: Queue) {
        let rest = self.delivery.stock.clone().into_iter();
        self.delivery.handle_stock(rest.filter(|(it, _)| *it != queue));
    }

    fn new(owner: OwnerId) -> Self {
        let Rig { mut delivery, now, .. } = Rig::new();
        delivery.config.unowned = Unowned::InOwnName;
        delivery.handle_stock(of_both());
        Self { delivery, now, owner, owners: named("anna", 1), own: named("own", 2) }
    }

    fn poll(&mut self) -> Option<Action> {
        let (owners, own) = (self.owners.clone(), self.own.clone());
        let token = |key: &TokenKey| if key.is_own_name() { own.clone() } else { owners.clone() };
        self.delivery.poll_action(self.owner, token, self.now)
    }

    /// Goes on until something is sent or nothing happens; settles what was taken. Says with whose
    /// token whose records went.
    fn next(&mut self) -> Option<(String, OwnerId)> {
        for _ in 0..40 {
            match self.poll()? {
                // What was sent was all there is in that queue.
                Action::Read(Read { queue, settled: Some(_), .. }) => {
                    self.empty(queue);
                    self.delivery.handle_batch(None);
                }
                Action::Read(Read { queue, .. }) => {
                    self.delivery.handle_batch(Some(Batch { queue, ..batch(0, 0) }));
                }
                Action::Send(request) => {
                    let Step::Sending(batch, _) = &self.delivery.step else { panic!("sends") };
                    let owner = batch.queue.owner;
                    return Some((header(&request, "authorization").into(), owner));
                }
                Action::Settle { queue, .. } => {
                    self.empty(queue);
                    self.delivery.handle_settled(true, self.now);
                }
                Action::Rejected(..) | Action::Challenged(..) | Action::Note(_) => {}
            }
        }
        panic!("it spins")
    }

    fn hear(&mut self, code: u16) {
        self.delivery.handle_outcome(&status(code), self.now);
    }

    fn pass_to_wake(&mut self) {
        self.now.boot = self.delivery.poll_wake(self.owner).expect("a wake").max(self.now.boot);
    }
}

fn sent(name: &str, owner: OwnerId) -> Option<(String, OwnerId)> {
    Some((format!("Bearer {name}"), owner))
}

#[test]
fn invariant_8_the_devices_records_go_in_its_own_name_and_nobody_elses_do() {
    // Nobody is signed in: Anna's wait.
    let mut both = Both::new(OwnerId::DEVICE);
    both.owners = TokenAnswer::SignInNeeded;
    assert_eq!(both.next(), sent("own", OwnerId::DEVICE));
    assert!(both.delivery.is_in_own_name());
    both.hear(200);
    assert_eq!(both.next(), None);
    assert_eq!(both.delivery.held(), None, "nothing that may be sent waits");
    // Anna is.
    let mut both = Both::new(ANNA);
    let mut seen = vec![both.next()];
    both.hear(200);
    seen.push(both.next());
    both.hear(200);
    assert_eq!(both.next(), None);
    assert!(seen.contains(&sent("own", OwnerId::DEVICE)) && seen.contains(&sent("anna", ANNA)));
}

#[test]
fn what_the_backend_holds_against_one_sender_holds_up_that_one_only() {
    for (refused, code) in [("own", 401), ("own", 403), ("anna", 401), ("anna", 403)] {
        let (other, theirs, mine) = match refused {
            "own" => ("anna", ANNA, OwnerId::DEVICE),
            _ => ("own", OwnerId::DEVICE, ANNA),
        };
        let mut both = Both::new(ANNA);
        let mut times = 0;
        // Each refusal is followed by a fresh token that is refused, too.
        let mut arrived = 0;
        for generation in 10..40 {
            both.delivery.handle_stock(of_both());
            while let Some((authorization, owner)) = both.next() {
                if authorization == format!("Bearer {refused}") {
                    assert_eq!(owner, mine);
                    times += 1;
                    both.hear(code);
                    let fresh = named(refused, generation);
                    if refused == "own" { both.own = fresh } else { both.owners = fresh }
                } else {
                    assert_eq!((authorization, owner), sent(other, theirs).expect("one"));
                    arrived += 1;
                    both.hear(200);
                }
            }
            both.now.boot = both.now.boot + Duration::from_secs(60);
        }
        assert!(arrived == 30, "{refused} {code}: {arrived} of the other arrived");
        assert!((2..12).contains(&times), "{refused} {code}: {times} tries in half an hour");
        let hold = if code == 401 { Hold::Unauthorized } else { Hold::Forbidden };
        assert_eq!(both.delivery.held(), Some(hold));
        let fault = if code == 401 { Fault::BackendUnauthorized } else { Fault::BackendForbidden };
        assert!(both.delivery.faults().has(fault), "the other's success does not clear it");
        assert_eq!(both.delivery.sends_in_own_name(), refused != "own");
    }
}

#[test]
fn a_token_that_is_awaited_holds_up_nobody_else_and_nothing_spins() {
    let mut both = Both::new(ANNA);
    both.owners = TokenAnswer::Pending;
    assert_eq!(both.next(), sent("own", OwnerId::DEVICE));
    both.hear(200);
    assert_eq!(both.next(), None);
    assert_eq!(both.delivery.poll_wake(ANNA), None, "an event brings it");
    both.owners = named("anna", 3);
    assert_eq!(both.next(), sent("anna", ANNA));
    // Both wait: neither is read over and over.
    let mut both = Both::new(ANNA);
    (both.owners, both.own) = (TokenAnswer::Pending, TokenAnswer::Pending);
    let reads = (0..20).filter(|_| {
        let action = both.poll();
        if let Some(Action::Read(Read { queue, .. })) = action {
            both.delivery.handle_batch(Some(Batch { queue, ..batch(0, 0) }));
            return true;
        }
        false
    });
    assert_eq!(reads.count(), 1);
    both.own = named("own", 4);
    assert_eq!(both.next(), sent("own", OwnerId::DEVICE));
}

#[test]
fn an_outage_is_everybodys() {
    let mut both = Both::new(ANNA);
    let first = both.next();
    both.hear(503);
    assert_eq!(both.next(), None, "the other does not try at once");
    both.pass_to_wake();
    assert_eq!(both.next(), first);
}

#[test]
fn a_new_owner_is_not_held_to_account_for_the_devices_own_name() {
    let mut both = Both::new(OwnerId::DEVICE);
    assert_eq!(both.next(), sent("own", OwnerId::DEVICE));
    both.hear(403);
    assert_eq!(both.next(), None);
    both.owner = ANNA;
    assert_eq!(both.next(), sent("anna", ANNA));
    both.hear(200);
    assert_eq!(both.next(), None, "its own name is still refused");
    assert!(both.delivery.faults().has(Fault::BackendForbidden));
}

#[test]
fn a_challenge_in_the_devices_own_name_asks_nobody_to_sign_in() {
    let mut both = Both::new(OwnerId::DEVICE);
    both.next();
    let challenge = "Bearer error=\"insufficient_user_authentication\", acr_values=\"urn:mfa\"";
    let headers = vec![("www-authenticate".to_string(), challenge.to_string())];
    let outcome = Outcome::Reply(Reply { status: 401, headers, body: vec![] });
    both.delivery.handle_outcome(&outcome, both.now);
    assert!(matches!(both.poll(), Some(Action::Rejected(key, _)) if key.is_own_name()));
    assert_eq!(both.delivery.held(), Some(Hold::Unauthorized));
}

#[test]
fn a_backend_that_refuses_record_after_record_is_asked_ever_more_slowly() {
    let mut rig = Rig::new();
    let (mut asked, mut number) = (0, 0);
    let end = rig.now.boot + Duration::from_secs(3_600);
    while rig.now.boot < end {
        match rig.poll() {
            Some(Action::Read(_)) => rig.delivery.handle_batch(Some(batch(number, number))),
            Some(Action::Send(_)) => {
                asked += 1;
                number += 1;
                rig.delivery.handle_outcome(&status(400), rig.now);
            }
            Some(Action::Settle { .. }) => {
                rig.delivery.handle_settled(true, rig.now);
                rig.delivery.handle_stock([(queue(ANNA), number)].into_iter());
            }
            None => rig.pass(1),
            action => panic!("{action:?}"),
        }
    }
    assert!((10..50).contains(&asked), "{asked} in an hour");
    // One that takes them again finds the pace as it was.
    while !matches!(rig.poll(), Some(Action::Read(_))) {
        rig.pass(1);
    }
    rig.delivery.handle_batch(Some(batch(number, number)));
    rig.sent();
    rig.delivery.handle_outcome(&status(200), rig.now);
    assert!(matches!(rig.poll(), Some(Action::Read(_))));
}

#[test]
fn a_queue_is_frozen_anew_only_where_it_was_refused() {
    let mut rig = Rig::new();
    rig.send(0, 9);
    rig.delivery.handle_outcome(&status(413), rig.now);
    let events = Queue { stream: Stream::Events, owner: ANNA };
    rig.delivery.handle_stock([(queue(ANNA), 0), (events, 0)].into_iter());
    let Some(Action::Read(read)) = rig.poll() else { panic!("no read") };
    assert_eq!((read.queue, read.refreeze), (events, false));
    rig.delivery.handle_batch(None);
    rig.delivery.handle_stock(stock(ANNA));
    let Some(Action::Read(read)) = rig.poll() else { panic!("no read") };
    assert_eq!((read.queue, read.refreeze), (queue(ANNA), true));
}
