//! The storage worker over simulated flash: what the driver relies on.
#![expect(clippy::panic, reason = "what is not as expected here is a failed test")]

use signpost::{
    ports::{Done, Job, JobResult, Starts},
    records::{Arrival, Envelope},
    storage::{Settings, Storage},
};
use signpost_core::{
    delivery::{Batch, DropReason, Dropped, Place, Queue, Read, Stream},
    otlp::{Signal, count_records},
    owner::{Account, OwnerId},
    secret::Secret,
    session::{Credential, Grant, SessionRecord},
    time::Boot,
};
use signpost_hal::flash::{Geometry, sim::SimFlash};
use signpost_store::{Entropy, OuterKeys};
use std::time::Duration;

const ANNA: OwnerId = OwnerId([1; 16]);

fn flash(seed: u64) -> SimFlash {
    SimFlash::new(Geometry::new(4_096, 256, 64).expect("a geometry"), seed)
}

fn entropy(seed: u64) -> impl FnMut() -> Entropy {
    let mut next = seed;
    move || {
        next += 1;
        let mut rng = fastrand::Rng::with_seed(next);
        Box::new(move |bytes: &mut [u8]| rng.fill(bytes))
    }
}

fn open(tokens: SimFlash, spool: SimFlash, seed: u64) -> (Storage<SimFlash>, String) {
    let keys = OuterKeys::new([7; 32]);
    let opened = Storage::open(tokens, spool, &keys, entropy(seed), Settings::default());
    let (storage, opened) = opened.unwrap_or_else(|trouble| panic!("opens: {trouble:?}"));
    (storage, opened.device_id)
}

fn queue(owner: OwnerId, stream: Stream) -> Queue {
    Queue { stream, owner }
}

const NOW: Arrival =
    Arrival { boot_id: [0; 16], boot: Boot::new(Duration::ZERO), wall: None, unset: None };

/// A request that holds one log record with this text.
fn request(text: &str) -> Vec<u8> {
    let nest = |tag: u8, inner: &[u8]| [&[tag, inner.len() as u8][..], inner].concat();
    let record = nest(0x12, &nest(0x2a, &nest(0x0a, text.as_bytes())));
    nest(0x0a, &nest(0x12, &record))
}

fn append(storage: &mut Storage<SimFlash>, queue: Queue, signal: Signal, texts: &[&str]) {
    let envelopes =
        texts.iter().map(|text| Envelope { signal, arrival: NOW, body: request(text) }).collect();
    let done = storage.work(Job::Append(queue, envelopes));
    assert!(matches!(done.result, JobResult::Appended(Ok(()))));
}

fn read(storage: &mut Storage<SimFlash>, queue: Queue, most: u32, refreeze: bool) -> Option<Batch> {
    let (max_bytes, splits) = (1 << 20, refreeze);
    let read = Read { queue, settled: None, max_records: most, max_bytes, splits, refreeze };
    let job = Job::Read(read, NOW, None);
    let JobResult::Batch(Ok(batch)) = storage.work(job).result else { panic!("no batch") };
    batch
}

fn waiting(done: &Done, queue: Queue) -> u64 {
    done.stock.queues.iter().find(|held| held.queue == queue).map_or(0, |held| held.records)
}

#[test]
fn a_batch_joins_requests_of_one_signal() {
    let (mut storage, _) = open(flash(1), flash(2), 1);
    let logs = queue(ANNA, Stream::Logs);
    append(&mut storage, logs, Signal::Logs, &["a", "b", "c"]);
    append(&mut storage, logs, Signal::Traces, &["d"]);
    let batch = read(&mut storage, logs, 100, false).expect("a batch");
    let range = (batch.start, batch.end, batch.records, batch.signal);
    assert_eq!(range, (Place::before(0), Place::before(3), 3, Signal::Logs));
    assert_eq!(count_records(&batch.body), Ok(3));
}

#[test]
fn a_frozen_batch_stays_as_it_is_whatever_comes_in_until_it_is_frozen_anew() {
    let (mut storage, _) = open(flash(1), flash(2), 1);
    let logs = queue(ANNA, Stream::Logs);
    append(&mut storage, logs, Signal::Logs, &["a", "b"]);
    let first = read(&mut storage, logs, 100, false).expect("a batch");
    append(&mut storage, logs, Signal::Logs, &["c", "d"]);
    assert_eq!(read(&mut storage, logs, 100, false).as_ref(), Some(&first), "the same again");
    let narrower = read(&mut storage, logs, 1, true).expect("a batch");
    assert_eq!((narrower.start, narrower.end), (Place::before(0), Place::before(1)));
    assert_eq!(read(&mut storage, logs, 100, false), Some(narrower));
}

#[test]
fn invariant_4_what_a_backend_refuses_is_reported_before_it_is_removed() {
    let (mut storage, _) = open(flash(1), flash(2), 1);
    let metrics = queue(ANNA, Stream::Metrics);
    append(&mut storage, metrics, Signal::Metrics, &["poison"]);
    let dropped = Dropped { records: 1, signal: Signal::Metrics, reason: DropReason::Malformed };
    let job =
        Job::Settle { queue: metrics, end: Place::before(1), dropped: Some(dropped), at: NOW };
    let done = storage.work(job);
    assert_eq!(waiting(&done, metrics), 0);
    let events = queue(ANNA, Stream::Events);
    let report = read(&mut storage, events, 1, false).expect("a report");
    let text = String::from_utf8_lossy(&report.body).into_owned();
    assert!(text.contains("1 metrics records dropped: malformed"), "{text}");
}

#[test]
fn invariant_8_sign_out_destroys_the_owners_queues_and_reports_what_was_lost() {
    let (mut storage, _) = open(flash(1), flash(2), 1);
    let logs = queue(ANNA, Stream::Logs);
    append(&mut storage, logs, Signal::Logs, &["a", "b"]);
    let before = read(&mut storage, logs, 1, false).expect("a batch").epoch;
    let done = storage.work(Job::Forget(ANNA, DropReason::SignedOut, NOW));
    assert!(matches!(done.result, JobResult::Forgotten(Ok(2))));
    assert_eq!(waiting(&done, logs), 0);
    assert_eq!(waiting(&done, queue(OwnerId::DEVICE, Stream::Events)), 1);
    append(&mut storage, logs, Signal::Logs, &["c"]);
    let after = read(&mut storage, logs, 1, false).expect("a batch").epoch;
    assert_ne!(before, after, "numbers begin anew, names do not");
}

#[test]
fn two_devices_draw_two_names_and_a_configured_one_wins() {
    let (_, one) = open(flash(1), flash(2), 1);
    let (_, two) = open(flash(1), flash(2), 100);
    assert_ne!(one, two);
    let keys = OuterKeys::new([7; 32]);
    let device_id = Some("greenhouse-7".to_owned());
    let settings = Settings { device_id, ..Settings::default() };
    let named = Storage::open(flash(1), flash(2), &keys, entropy(1), settings);
    assert_eq!(named.map(|(_, opened)| opened.device_id).ok().as_deref(), Some("greenhouse-7"));
}

#[test]
fn invariant_7_no_token_stands_on_flash_in_the_clear() {
    let geometry = Geometry::new(4_096, 256, 64).expect("a geometry");
    let path = tempfile::tempdir().expect("a folder");
    let file = |name: &str| {
        signpost_hal::flash::file::FileFlash::open(
            &path.path().join(name),
            u64::from(geometry.size()),
        )
        .expect("a file")
    };
    let keys = OuterKeys::new([7; 32]);
    let (mut storage, _) =
        Storage::open(file("tokens"), file("spool"), &keys, entropy(3), Settings::default())
            .expect("opens");
    let account = Account { id: ANNA, subject: Some("anna-subject".into()), name: None };
    let grant = Grant {
        account,
        credential: Credential::Refresh(Secret::new("rt-in-the-clear")),
        bound: false,
        previous: Some(Secret::new("rt-before-it")),
        scopes: vec![],
        signed_in_at: None,
        expires_at: None,
        lifetime: None,
        rotates: None,
        intent: false,
        suspension: None,
        issued_by: None,
    };
    let record = SessionRecord { grant: Some(grant), ..SessionRecord::default() };
    let done = storage.work(Job::SaveRecord(1, record));
    assert!(matches!(done.result, JobResult::Record(1, Ok(()))));
    let envelope =
        Envelope { signal: Signal::Logs, arrival: NOW, body: request("record-in-the-clear") };
    storage.work(Job::Append(queue(ANNA, Stream::Logs), vec![envelope]));
    for name in ["tokens", "spool"] {
        let bytes = std::fs::read(path.path().join(name)).expect("reads");
        let text = String::from_utf8_lossy(&bytes);
        for secret in ["rt-in-the-clear", "rt-before-it", "anna-subject", "record-in-the-clear"] {
            assert!(!text.contains(secret), "{secret} in {name}");
        }
    }
}

#[test]
fn the_longest_body_that_is_promised_is_taken_and_a_longer_one_is_not() {
    let (mut storage, _) = open(flash(1), flash(2), 1);
    let logs = queue(ANNA, Stream::Logs);
    append(&mut storage, logs, Signal::Logs, &["a"]);
    let most = storage.work(Job::SaveStarts(Starts::default())).stock.max_body;
    let body =
        |length| vec![Envelope { signal: Signal::Logs, arrival: NOW, body: vec![0; length] }];
    let taken = storage.work(Job::Append(logs, body(most)));
    assert!(matches!(taken.result, JobResult::Appended(Ok(()))), "{most}");
    let refused = storage.work(Job::Append(logs, body(most + 64)));
    assert!(matches!(refused.result, JobResult::Appended(Err(_))));
}
