//! Telemetry in the storage worker over simulated flash: quotas, ages, clocks, owners and batches,
//! read back with the OpenTelemetry project's own messages.
#![expect(clippy::panic, reason = "what is not as expected here is a failed test")]

use opentelemetry_proto::tonic::{
    collector::logs::v1::ExportLogsServiceRequest,
    common::v1::{AnyValue, any_value::Value},
    logs::v1::{LogRecord, ResourceLogs, ScopeLogs},
};
use prost::Message;
use signpost::{
    config::{Quota, Quotas, WhenFull, WhenFullByStream},
    ports::{Done, Job, JobResult},
    records::{Arrival, Envelope},
    storage::{Settings, Storage, Truth},
};
use signpost_core::{
    delivery::{Batch, DropReason, Dropped, Place, Queue, Read, Stream},
    otlp::{self, Attribute, Signal},
    owner::OwnerId,
    time::{Boot, ClockGate, ClockOffset, Wall},
};
use signpost_hal::flash::{Geometry, sim::SimFlash};
use signpost_store::{Entropy, OuterKeys};
use std::{cell::RefCell, rc::Rc, time::Duration};

const ANNA: OwnerId = OwnerId([1; 16]);
const BEN: OwnerId = OwnerId([2; 16]);
const BOOT: [u8; 16] = [7; 16];
const DAY: u64 = 86_400;
const BUILD: u64 = 1_767_225_600;

/// A chip that stays when the agent goes.
type Chip = Rc<RefCell<SimFlash>>;

struct Rig {
    storage: Storage<Chip>,
    chips: (Chip, Chip),
    settings: Settings,
    at: Arrival,
}

impl Rig {
    fn new(settings: Settings) -> Self {
        let geometry = Geometry::new(4_096, 256, 64).expect("a geometry");
        let chip = |seed| Rc::new(RefCell::new(SimFlash::new(geometry, seed)));
        let chips = (chip(1), chip(2));
        let storage = open(&chips, &settings);
        let at = arrival(100, Some(BUILD + DAY));
        Self { storage, chips, settings, at }
    }

    fn restart(&mut self) {
        self.storage = open(&self.chips, &self.settings);
    }

    fn offer(&mut self, queue: Queue, bodies: Vec<Vec<u8>>) -> Done {
        let arrival = self.at;
        let envelope = |body| Envelope { signal: Signal::Logs, arrival, body };
        let envelopes = bodies.into_iter().map(envelope).collect();
        self.storage.work(Job::Append(queue, envelopes))
    }

    fn append(&mut self, queue: Queue, bodies: Vec<Vec<u8>>) -> Done {
        let done = self.offer(queue, bodies);
        assert!(matches!(done.result, JobResult::Appended(Ok(()))), "{:?}", done.result);
        done
    }

    fn read(&mut self, read: Read, truth: Option<Truth>) -> Option<Batch> {
        let JobResult::Batch(Ok(batch)) = self.storage.work(Job::Read(read, self.at, truth)).result
        else {
            panic!("no batch")
        };
        batch
    }

    /// Reads a queue to its end: the texts, and by which sequence they were sent.
    fn drain(&mut self, queue: Queue) -> Vec<String> {
        let (mut texts, mut settled) = (Vec::new(), None);
        // Where something is given up, there is no batch for once.
        for _ in 0..100 {
            match self.read(Read { settled, ..whole(queue) }, None) {
                Some(batch) => {
                    settled = Some(batch.end);
                    texts.extend(texts_of(&batch.body));
                }
                None => settled = None,
            }
        }
        texts
    }
}

fn open(chips: &(Chip, Chip), settings: &Settings) -> Storage<Chip> {
    let mut seed = 0;
    let entropy = || -> Entropy {
        seed += 1;
        let mut rng = fastrand::Rng::with_seed(seed);
        Box::new(move |bytes: &mut [u8]| rng.fill(bytes))
    };
    let (tokens, spool) = chips.clone();
    let keys = OuterKeys::new([7; 32]);
    Storage::open(tokens, spool, &keys, entropy, settings.clone())
        .unwrap_or_else(|trouble| panic!("opens: {trouble:?}"))
        .0
}

fn arrival(boot: u64, wall: Option<u64>) -> Arrival {
    let boot = Boot::new(Duration::from_secs(boot));
    let wall = wall.map(|seconds| Wall::new(Duration::from_secs(seconds)));
    Arrival { boot_id: BOOT, boot, wall, unset: None }
}

const fn queue(stream: Stream, owner: OwnerId) -> Queue {
    Queue { stream, owner }
}

const fn whole(queue: Queue) -> Read {
    let (max_records, max_bytes) = (1_000, 512 * 1024);
    Read { queue, settled: None, max_records, max_bytes, splits: false, refreeze: false }
}

/// A request with these log records, made `at` nanoseconds since 1970.
fn request(texts: &[&str], at: u64) -> Vec<u8> {
    let record = |text: &&str| LogRecord {
        time_unix_nano: at,
        observed_time_unix_nano: at,
        body: Some(AnyValue { value: Some(Value::StringValue((*text).into())) }),
        ..LogRecord::default()
    };
    let log_records = texts.iter().map(record).collect();
    let scope_logs = vec![ScopeLogs { log_records, ..ScopeLogs::default() }];
    let resource_logs = vec![ResourceLogs { scope_logs, ..ResourceLogs::default() }];
    ExportLogsServiceRequest { resource_logs }.encode_to_vec()
}

fn filled(text: &str) -> Vec<u8> {
    request(&[&format!("{text} {}", "x".repeat(900))], 1)
}

fn decoded(body: &[u8]) -> ExportLogsServiceRequest {
    ExportLogsServiceRequest::decode(body).expect("a request")
}

fn records_of(body: &[u8]) -> Vec<LogRecord> {
    let scopes = decoded(body).resource_logs.into_iter().flat_map(|logs| logs.scope_logs);
    scopes.flat_map(|scope| scope.log_records).collect()
}

fn texts_of(body: &[u8]) -> Vec<String> {
    let text = |record: LogRecord| match record.body.and_then(|body| body.value) {
        Some(Value::StringValue(text)) => text.trim_end_matches('x').trim().to_owned(),
        other => panic!("{other:?}"),
    };
    records_of(body).into_iter().map(text).collect()
}

/// The attributes of the first resource, as text.
fn attributes_of(body: &[u8]) -> Vec<(String, String)> {
    let resource = decoded(body).resource_logs.remove(0).resource.expect("a resource");
    let text = |value: Option<AnyValue>| match value.and_then(|value| value.value) {
        Some(Value::StringValue(text)) => text,
        Some(Value::IntValue(number)) => number.to_string(),
        Some(Value::BoolValue(yes)) => yes.to_string(),
        other => panic!("{other:?}"),
    };
    resource.attributes.into_iter().map(|pair| (pair.key, text(pair.value))).collect()
}

fn reports(rig: &mut Rig, owner: OwnerId) -> Vec<String> {
    rig.drain(queue(Stream::Events, owner))
}

const LOGS: Queue = queue(Stream::Logs, ANNA);

#[test]
fn everything_that_leaves_says_which_device_it_is_from_and_where_it_stood() {
    let site =
        Attribute { replaces: false, ..Attribute::own("site", otlp::Value::Text("lab".into())) };
    let settings = Settings {
        device_id: Some("greenhouse-7".into()),
        attributes: vec![site],
        ..Settings::default()
    };
    let mut rig = Rig::new(settings);
    rig.append(LOGS, vec![request(&["a"], 1), request(&["b"], 1)]);
    let batch = rig.read(whole(LOGS), None).expect("a batch");
    let mut attributes = attributes_of(&batch.body);
    let (key, epoch) = attributes.remove(1);
    assert_eq!((key.as_str(), epoch), ("signpost.queue", format!("{:016x}", batch.epoch)));
    let expected = [("device.id", "greenhouse-7"), ("signpost.sequence", "0"), ("site", "lab")];
    assert_eq!(attributes, expected.map(|(key, value)| (key.to_owned(), value.to_owned())));
    assert_eq!((batch.records, texts_of(&batch.body)), (2, vec!["a".into(), "b".into()]));
}

#[test]
fn a_frozen_batch_is_the_same_after_a_restart_whatever_came_in() {
    let mut rig = Rig::new(Settings::default());
    rig.at.unset = Some(ClockOffset::from_millis(0));
    rig.append(LOGS, vec![request(&["a", "b"], 5_000_000_000), request(&["c"], 0)]);
    let truth = Truth { boot_id: BOOT, offset: ClockOffset::from_millis(1_800_000_000_000) };
    let first = rig.read(whole(LOGS), Some(truth)).expect("a batch");
    rig.append(LOGS, vec![request(&["d"], 1)]);
    rig.restart();
    assert_eq!(rig.read(whole(LOGS), None), Some(first));
}

#[test]
fn a_request_that_the_backend_refuses_is_taken_apart_to_its_one_bad_record() {
    let mut rig = Rig::new(Settings::default());
    rig.append(LOGS, vec![request(&["a", "b", "c", "d", "e"], 1), request(&["f"], 1)]);
    let batch = rig.read(whole(LOGS), None).expect("a batch");
    assert_eq!((batch.records, batch.end), (6, Place::before(2)));
    let narrow = |settled, max_records, refreeze| Read {
        settled,
        max_records,
        splits: true,
        refreeze,
        ..whole(LOGS)
    };
    let half = rig.read(narrow(None, 3, true), None).expect("a batch");
    assert_eq!(texts_of(&half.body), ["a", "b", "c"]);
    assert_eq!(half.end, Place { sequence: 0, records: 3 });
    rig.restart();
    assert_eq!(rig.read(narrow(None, 1_000, false), None).as_ref(), Some(&half), "frozen");
    let next = rig.read(narrow(Some(half.end), 1, false), None).expect("a batch");
    assert_eq!((texts_of(&next.body), next.start), (vec!["d".to_owned()], half.end));
    let lost = Dropped { records: 1, signal: Signal::Logs, reason: DropReason::Malformed };
    let (end, at) = (next.end, rig.at);
    rig.storage.work(Job::Settle { queue: LOGS, end, dropped: Some(lost), at });
    rig.restart();
    assert_eq!(rig.drain(LOGS), ["e", "f"]);
    assert_eq!(reports(&mut rig, ANNA), ["1 logs records dropped: malformed"]);
}

#[test]
fn invariant_4_over_quota_the_oldest_of_a_stream_go_and_are_counted_durably() {
    let quotas = Quotas { logs: Quota::Percent(20), ..Quotas::default() };
    let mut rig = Rig::new(Settings { quotas, ..Settings::default() });
    let (mut given_up, sent) = (0, 120);
    for number in 0..sent {
        let two = request(&[&format!("{number} {}", "x".repeat(900)), "second"], 1);
        let done = rig.append(LOGS, vec![two]);
        given_up += done.dropped.iter().map(|dropped| dropped.records).sum::<u64>();
        assert!(done.dropped.iter().all(|dropped| dropped.reason == DropReason::OverQuota));
    }
    assert!(given_up > sent, "{given_up}");
    rig.restart();
    let left = rig.drain(LOGS);
    assert_eq!(left.len() as u64 + given_up, 2 * sent);
    assert_eq!(left.last().map(String::as_str), Some("second"));
    assert!(left.contains(&format!("{}", sent - 1)), "the newest stay");
    let reported = reports(&mut rig, ANNA).into_iter().map(|report| {
        let (count, rest) = report.split_once(' ').expect("a count");
        assert_eq!(rest, "logs records dropped: over-quota");
        count.parse::<u64>().expect("a number")
    });
    assert_eq!(reported.sum::<u64>(), given_up);
}

#[test]
fn a_stream_that_refuses_keeps_what_it_has_and_takes_no_more() {
    let when_full = WhenFullByStream { logs: WhenFull::Refuse, ..WhenFullByStream::default() };
    let mut rig = Rig::new(Settings { when_full, ..Settings::default() });
    let mut taken = Vec::new();
    for number in 0..400 {
        let done = rig.offer(LOGS, vec![filled(&number.to_string())]);
        assert!(done.dropped.is_empty());
        let JobResult::Appended(result) = done.result else { panic!("{:?}", done.result) };
        if result.is_ok() {
            taken.push(number.to_string());
        }
    }
    assert!((20..100).contains(&taken.len()), "{}", taken.len());
    // Others have room all the same.
    rig.append(queue(Stream::Metrics, ANNA), vec![filled("metric")]);
    rig.append(queue(Stream::Events, ANNA), vec![filled("event")]);
    assert_eq!(rig.drain(LOGS), taken);
}

#[test]
fn an_earlier_owners_queue_takes_nothing_of_the_next_ones_quota() {
    let mut rig = Rig::new(Settings::default());
    let bens = queue(Stream::Logs, BEN);
    for number in 0..100 {
        rig.append(LOGS, vec![filled(&number.to_string())]);
    }
    let held = rig.drain_count(LOGS);
    let mut lost = 0;
    for number in 0..40 {
        let done = rig.append(bens, vec![filled(&number.to_string())]);
        lost += done.dropped.len();
    }
    assert_eq!(lost, 0, "room enough for both");
    assert_eq!(rig.drain_count(LOGS), held);
    // In a full spool the one who is not there makes room first.
    for number in 0..60 {
        rig.append(queue(Stream::Metrics, BEN), vec![filled(&number.to_string())]);
    }
    for number in 0..60 {
        rig.append(queue(Stream::Events, BEN), vec![filled(&number.to_string())]);
    }
    assert!(rig.drain_count(LOGS) < held);
    assert!(rig.drain(bens).len() >= 40);
}

impl Rig {
    fn drain_count(&mut self, queue: Queue) -> u64 {
        let done = self.storage.work(Job::SaveStarts(Default::default()));
        let held = done.stock.queues.iter().find(|held| held.queue == queue);
        held.map_or(0, |held| held.records)
    }
}

#[test]
fn what_is_too_old_by_elapsed_time_goes_and_a_clock_of_1970_makes_nothing_old() {
    let mut rig = Rig::new(Settings { max_age: Duration::from_secs(DAY), ..Settings::default() });
    rig.at = arrival(10, None);
    rig.append(LOGS, vec![request(&["unknown date"], 1)]);
    // The board starts anew, and its clock is set.
    rig.at = Arrival { boot_id: [8; 16], ..arrival(5, Some(BUILD + 10 * DAY)) };
    rig.append(LOGS, vec![request(&["young", "younger"], 1)]);
    assert_eq!(texts_of(&rig.read(whole(LOGS), None).expect("a batch").body).len(), 3);
    let settled = Some(Place::before(1));
    // A day and a bit later, whatever the wall clock says now.
    rig.at = Arrival { boot_id: [8; 16], ..arrival(DAY + 6, Some(BUILD)) };
    assert_eq!(rig.read(Read { settled, ..whole(LOGS) }, None), None);
    assert_eq!(rig.drain(LOGS), Vec::<String>::new());
    assert_eq!(reports(&mut rig, ANNA), ["2 logs records dropped: too-old"]);
}

#[test]
fn what_waits_for_an_owner_who_does_not_come_goes_by_age_too() {
    let mut rig = Rig::new(Settings { max_age: Duration::from_secs(DAY), ..Settings::default() });
    rig.append(LOGS, vec![request(&["a", "b"], 1)]);
    rig.at = arrival(100 + DAY, Some(BUILD + 3 * DAY));
    assert!(rig.append(queue(Stream::Logs, BEN), vec![request(&["c"], 1)]).dropped.is_empty());
    rig.at = arrival(100 + 2 * DAY, Some(BUILD + 4 * DAY));
    let done = rig.append(queue(Stream::Logs, BEN), vec![request(&["d"], 1)]);
    let lost = Dropped { records: 2, signal: Signal::Logs, reason: DropReason::TooOld };
    assert_eq!(done.dropped, [lost]);
}

#[test]
fn instants_of_a_clock_that_was_not_set_are_put_right_in_the_same_run_of_the_board() {
    let gate = ClockGate::new(Wall::new(Duration::from_secs(BUILD)));
    let mut rig = Rig::new(Settings { gate, ..Settings::default() });
    let second = 1_000_000_000;
    // The board woke in 1970, a minute before boot time began to count.
    rig.at = Arrival { unset: Some(ClockOffset::from_millis(-60_000)), ..arrival(100, None) };
    rig.append(LOGS, vec![request(&["a"], 30 * second)]);
    rig.append(LOGS, vec![request(&["dated by its program"], (BUILD + 5) * second)]);
    rig.at.boot_id = [9; 16];
    rig.append(LOGS, vec![request(&["before"], 30 * second)]);
    let offset = ClockOffset::from_millis(BUILD as i64 * 1_000);
    let truth = Some(Truth { boot_id: BOOT, offset });
    let mut read = |start: u64| {
        let settled = Some(Place::before(start)).filter(|_| start > 0);
        let read = Read { settled, max_records: 1, ..whole(LOGS) };
        let batch = rig.read(read, truth).expect("a batch");
        let marks = attributes_of(&batch.body).into_iter().map(|(key, _)| key);
        let mark = marks.filter(|key| key.starts_with("clock.")).collect::<Vec<_>>();
        let record = records_of(&batch.body).remove(0);
        assert_eq!(record.time_unix_nano, record.observed_time_unix_nano);
        (record.time_unix_nano / second, mark.join(","))
    };
    // 30 s by its clock were 90 s after the start of the board.
    assert_eq!(read(0), (BUILD + 90, "clock.corrected".to_owned()));
    assert_eq!(read(1), (BUILD + 5, String::new()));
    assert_eq!(read(2), (30, "clock.unknown".to_owned()));
}

#[test]
fn a_device_that_many_people_use_one_after_the_other_goes_on_taking_records_in() {
    let mut rig = Rig::new(Settings::default());
    let streams = [Stream::Logs, Stream::Metrics, Stream::Events];
    let (mut offered, mut given_up) = (0, 0);
    for person in 1..60 {
        let owner = OwnerId([person; 16]);
        for stream in streams {
            let done = rig.append(queue(stream, owner), vec![request(&["a"], 1)]);
            offered += 1;
            given_up += done.dropped.iter().map(|dropped| dropped.records).sum::<u64>();
            let before = rig.storage.work(Job::SaveStarts(Default::default())).stock.queues.len();
            assert!(before < 16, "one is left for reports");
        }
        if person % 10 == 0 {
            rig.restart();
        }
    }
    // Whoever is here has everything of theirs; what the others lost is counted with it.
    let last = OwnerId([59; 16]);
    assert_eq!(rig.drain(queue(Stream::Logs, last)), ["a"]);
    let events = rig.drain(queue(Stream::Events, last));
    assert!(events.contains(&"a".to_owned()), "{events:?}");
    assert!(events.iter().any(|text| text.ends_with("dropped: over-quota")), "{events:?}");
    let waiting = rig.storage.work(Job::SaveStarts(Default::default())).stock.queues;
    let waiting: u64 = waiting.iter().map(|held| held.records).sum();
    assert!(given_up > 0 && given_up + waiting >= offered - 3, "{offered}, {given_up}, {waiting}");
}

#[test]
fn whoever_lost_their_queues_and_comes_back_sends_under_new_names() {
    let mut rig = Rig::new(Settings::default());
    rig.append(LOGS, vec![request(&["before"], 1)]);
    rig.append(queue(Stream::Events, ANNA), vec![request(&["event"], 1)]);
    let before = rig.read(whole(LOGS), None).expect("a batch");
    for person in 10..40 {
        let owner = OwnerId([person; 16]);
        let bodies = || vec![request(&["a"], 1), request(&["b"], 1)];
        for stream in [Stream::Logs, Stream::Metrics, Stream::Events] {
            rig.append(queue(stream, owner), bodies());
        }
    }
    assert_eq!(rig.drain_count(LOGS), 0, "she had the least to lose");
    rig.append(LOGS, vec![request(&["after"], 1)]);
    let after = rig.read(whole(LOGS), None).expect("a batch");
    assert_eq!((before.start, texts_of(&after.body)), (after.start, vec!["after".to_owned()]));
    assert_ne!(before.epoch, after.epoch, "the same number, and another name");
}

#[test]
fn what_the_agent_has_to_say_finds_room_where_programs_find_none() {
    let mut rig = Rig::new(Settings::default());
    let events = queue(Stream::Events, ANNA);
    while let JobResult::Appended(Ok(())) = rig.offer(events, vec![filled("event")]).result {}
    while let JobResult::Appended(Ok(())) = rig.offer(events, vec![request(&["e"], 1)]).result {}
    let held = rig.drain_count(events);
    let (signal, arrival, body) = (Signal::Logs, rig.at, request(&["audit"], 1));
    let envelope = Envelope { signal, arrival, body };
    let done = rig.storage.work(Job::Report(events, vec![envelope]));
    assert!(matches!(done.result, JobResult::Appended(Ok(()))), "{:?}", done.result);
    assert_eq!(rig.drain_count(events), held + 1);
}

#[test]
fn a_report_that_the_backend_refuses_is_not_reported_in_its_turn() {
    let mut rig = Rig::new(Settings::default());
    rig.append(LOGS, vec![request(&["poison"], 1)]);
    let lost = |reason| Some(Dropped { records: 1, signal: Signal::Logs, reason });
    let (end, at) = (Place::before(1), rig.at);
    let dropped = lost(DropReason::Malformed);
    rig.storage.work(Job::Settle { queue: LOGS, end, dropped, at });
    let events = queue(Stream::Events, ANNA);
    assert_eq!(rig.drain_count(events), 1, "the report");
    let done = rig.storage.work(Job::Settle { queue: events, end, dropped, at });
    assert_eq!((done.dropped.len(), rig.drain_count(events)), (1, 0), "counted, and no more");
    // A program's own event is.
    rig.append(events, vec![request(&["poison"], 1)]);
    rig.storage.work(Job::Settle { queue: events, end: Place::before(2), dropped, at });
    assert_eq!(rig.drain_count(events), 1);
}

#[test]
fn the_oldest_record_stays_the_oldest_while_its_batch_waits() {
    let mut rig = Rig::new(Settings::default());
    let oldest = rig.at;
    rig.append(LOGS, vec![request(&["a"], 1)]);
    rig.at = arrival(5_000, Some(BUILD + 2 * DAY));
    rig.append(LOGS, vec![request(&["b"], 1)]);
    let since = |rig: &mut Rig| {
        let done = rig.storage.work(Job::SaveStarts(Default::default()));
        done.stock.queues.first().and_then(|held| held.oldest)
    };
    assert_eq!(since(&mut rig), Some(oldest));
    rig.read(whole(LOGS), None).expect("a batch");
    assert_eq!(since(&mut rig), Some(oldest));
    rig.restart();
    assert_eq!(since(&mut rig), Some(oldest));
}

#[test]
fn a_spool_that_is_full_of_what_must_stay_refuses_and_does_not_hang() {
    let all = Quota::Percent(100);
    let quotas = Quotas { events: all, metrics: all, logs: all };
    let (keep, drop) = (WhenFull::Refuse, WhenFull::DropOldest);
    let when_full = WhenFullByStream { events: drop, metrics: keep, logs: keep };
    let mut rig = Rig::new(Settings { quotas, when_full, ..Settings::default() });
    let events = queue(Stream::Events, ANNA);
    rig.append(events, vec![request(&["event"], 1)]);
    let mut sent = 0;
    while let JobResult::Appended(Ok(())) = rig.offer(LOGS, vec![filled("log")]).result {
        sent += 1;
        assert!(sent < 1_000);
    }
    for _ in 0..20 {
        let large = request(&[&"e".repeat(9_000)], 1);
        let result = rig.offer(events, vec![large]).result;
        assert!(matches!(result, JobResult::Appended(_)), "{result:?}");
    }
    assert_eq!(rig.drain_count(LOGS), sent);
}
