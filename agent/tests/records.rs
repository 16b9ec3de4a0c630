//! What builds of different age keep for each other on flash: the first version's records are
//! read by this build, and what a newer build added survives a rewrite by this one.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use signpost::{
    ports::{Job, JobResult},
    records::{Arrival, Envelope},
    storage::{Opened, Settings, Storage},
};
use signpost_core::{
    delivery::{Queue, Read, Stream},
    jws::DeviceKey,
    otlp::Signal,
    owner::{Account, OwnerId},
    secret::Secret,
    session::{Credential, Grant, Revocation, SessionRecord, Suspension},
    time::{Boot, Wall},
    wire::{Key, KeySet, Metadata, MtlsAliases, PublicKey},
};
use signpost_hal::flash::file::FileFlash;
use signpost_store::{Entropy, OuterKeys, QueueKey, QueueName, Spool, TokenStore, fields::Fields};
use std::{fmt::Write as _, fs, io::Write as _, path::PathBuf, time::Duration};

/// The records of the token store, by key.
const NAMES: [&str; 4] = ["device", "session", "metadata", "owners"];
const DEVICE: u8 = 1;
const SESSION: u8 = 2;
const METADATA: u8 = 3;
const OWNERS: u8 = 4;

/// Whose queue it is.
const OWNER: OwnerId = OwnerId([7; 16]);
const QUEUE: Queue = Queue { stream: Stream::Logs, owner: OWNER };

/// A board whose flash is two files.
struct Board(tempfile::TempDir);

impl Board {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn flash(&self, name: &str) -> FileFlash {
        FileFlash::open(&self.0.path().join(name), 256 << 10).unwrap()
    }

    fn tokens(&self) -> TokenStore<FileFlash> {
        TokenStore::open(self.flash("tokens"), &keys(), entropy()).unwrap().0
    }

    fn agent(&self) -> (Storage<FileFlash>, Opened) {
        let (tokens, spool) = (self.flash("tokens"), self.flash("spool"));
        Storage::open(tokens, spool, &keys(), entropy, Settings::default()).unwrap()
    }

    /// Adds fields to the record under `key`, as a newer build would.
    fn add(&self, key: u8, fields: &[(u16, &str)]) {
        let mut tokens = self.tokens();
        let mut record = Fields::parse(&tokens.get(key).unwrap().unwrap()).unwrap();
        fields.iter().for_each(|(tag, value)| record.set(*tag, *value).unwrap());
        tokens.put(key, &record.to_bytes()).unwrap();
    }

    fn field(&self, key: u8, tag: u16) -> Option<String> {
        let record = Fields::parse(&self.tokens().get(key).unwrap().unwrap()).unwrap();
        record.get(tag).unwrap()
    }
}

fn keys() -> OuterKeys {
    OuterKeys::new([1; 32])
}

/// Always the same: ids and keys of the first version can be told, and nothing here is secret.
fn entropy() -> Entropy {
    Box::new(|bytes| bytes.fill(5))
}

fn wall(seconds: u64) -> Option<Wall> {
    Some(Wall::new(Duration::from_secs(seconds)))
}

fn record() -> SessionRecord {
    SessionRecord {
        grant: Some(Grant {
            account: Account {
                id: OWNER,
                subject: Some("anna".into()),
                name: Some("Anna Ångström".into()),
            },
            credential: Credential::Refresh(Secret::new("rt-2")),
            bound: false,
            previous: Some(Secret::new("rt-1")),
            scopes: vec!["openid".into(), "offline_access".into()],
            signed_in_at: wall(1_800_000_000),
            expires_at: wall(1_900_000_000),
            lifetime: None,
            rotates: Some(true),
            intent: true,
            suspension: Some(Suspension { since: wall(1_800_000_500), after_loss: true, tries: 3 }),
            issued_by: None,
        }),
        revocations: vec![
            Revocation { token: Secret::new("old"), endpoint: None, tries: 2, issued_by: None },
            Revocation {
                token: Secret::new("older"),
                endpoint: Some("https://idp.example.com/revoke".into()),
                tries: 0,
                issued_by: None,
            },
        ],
        forgetting: vec![OwnerId([9; 16])],
        wiping: false,
        device_key: None,
        seen: wall(1_800_001_000),
    }
}

fn metadata() -> Metadata {
    Metadata {
        issuer: "https://idp.example.com".into(),
        device_authorization_endpoint: Some("https://idp.example.com/device".into()),
        token_endpoint: "https://idp.example.com/token".into(),
        revocation_endpoint: None,
        jwks_uri: Some("https://idp.example.com/keys".into()),
        mtls_aliases: MtlsAliases::default(),
    }
}

fn envelope() -> Envelope {
    let wall = wall(1_800_000_000);
    let boot = Boot::new(Duration::from_millis(12_345));
    let arrival = Arrival { boot_id: [3; 16], boot, wall, unset: None };
    Envelope { signal: Signal::Logs, arrival, body: b"a log record".to_vec() }
}

fn fixture() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/first_version/records.txt")
}

/// The first version's bytes of the record called `name`.
fn first_version(name: &str) -> Vec<u8> {
    let text = fs::read_to_string(fixture()).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(&format!("{name} "))).unwrap();
    let digit = |at: usize| u8::from_str_radix(&line[at..at + 2], 16).unwrap();
    (0..line.len()).step_by(2).map(digit).collect()
}

fn queue_name() -> QueueName {
    let mut name = [7; 20];
    name[16..].copy_from_slice(&[2, 0, 0, 0]);
    QueueName(name)
}

/// A board as the first version left it.
fn board_of_the_first_version() -> Board {
    let board = Board::new();
    let mut tokens = board.tokens();
    for (key, name) in (1..).zip(NAMES) {
        tokens.put(key, &first_version(name)).unwrap();
    }
    // Its key is the one in the owners' record, its id the one that the same entropy gives.
    let mut spool = Spool::open(board.flash("spool"), entropy()).unwrap().0;
    let key = QueueKey::from_bytes([5; 32]);
    spool.append(queue_name(), &key, &[&first_version("envelope")]).unwrap();
    board
}

fn read(storage: &mut Storage<FileFlash>) -> Option<Vec<u8>> {
    read_of(storage, QUEUE)
}

fn read_of(storage: &mut Storage<FileFlash>, queue: Queue) -> Option<Vec<u8>> {
    let (max_records, max_bytes) = (9, 9_999);
    let read =
        Read { queue, settled: None, max_records, max_bytes, splits: false, refreeze: false };
    let result = storage.work(Job::Read(read, envelope().arrival, None)).result;
    let JobResult::Batch(batch) = result else { panic!("{result:?}") };
    batch.unwrap().map(|batch| batch.body)
}

#[test]
#[ignore = "only to make the file where it is not there: what a later build writes shows nothing"]
fn write_what_is_missing() {
    let board = Board::new();
    let (mut storage, _) = board.agent();
    storage.work(Job::SaveRecord(1, record()));
    storage.work(Job::SaveMetadata(metadata()));
    storage.work(Job::Append(QUEUE, vec![envelope()]));
    drop(storage);
    let mut text = String::from("Records as the first version of the agent kept them, in hex.\n");
    let mut line = |name: &str, bytes: &[u8]| {
        write!(text, "{name} ").unwrap();
        bytes.iter().for_each(|byte| write!(text, "{byte:02x}").unwrap());
        text.push('\n');
    };
    let mut tokens = board.tokens();
    for (key, name) in (1..).zip(NAMES) {
        line(name, &tokens.get(key).unwrap().unwrap());
    }
    let mut spool = Spool::open(board.flash("spool"), entropy()).unwrap().0;
    let key = QueueKey::from_bytes([5; 32]);
    line("envelope", &spool.read(queue_name(), &key, 0, 1, 999).unwrap()[0].1);
    if let Ok(mut file) = fs::File::create_new(fixture()) {
        file.write_all(text.as_bytes()).unwrap();
    }
}

#[test]
fn this_build_reads_every_record_of_the_first_version() {
    let board = board_of_the_first_version();
    let (mut storage, opened) = board.agent();
    assert!(!opened.damaged);
    assert_eq!(opened.device_id, "sp-0505050505");
    assert_eq!(opened.record, Some(record()));
    assert_eq!(opened.metadata, Some(metadata()));
    assert_eq!(opened.stock.queues.len(), 1);
    assert_eq!(read(&mut storage), Some(b"a log record".to_vec()));
}

#[test]
fn what_the_first_version_knows_is_written_as_it_wrote_it() {
    let board = Board::new();
    let (mut storage, _) = board.agent();
    storage.work(Job::SaveRecord(1, record()));
    storage.work(Job::SaveMetadata(metadata()));
    storage.work(Job::Append(QUEUE, vec![envelope()]));
    drop(storage);
    for (key, name) in (1..).zip(NAMES) {
        let kept = Fields::parse(&board.tokens().get(key).unwrap().unwrap()).unwrap().to_bytes();
        let first = Fields::parse(&first_version(name)).unwrap();
        let mut only_known = Fields::parse(&kept).unwrap();
        let added: Vec<u16> =
            only_known.tags().filter(|tag| !first.tags().any(|known| known == *tag)).collect();
        added.into_iter().for_each(|tag| only_known.remove(tag));
        assert_eq!(*only_known.to_bytes(), *first.to_bytes(), "{name}");
    }
}

#[test]
fn an_issuers_keys_are_kept_unless_they_are_too_many() {
    let set = |keys: usize| KeySet {
        uri: "https://idp.example.com/keys".into(),
        keys: (0..keys)
            .map(|key| Key {
                id: Some(format!("k{key}")),
                public: PublicKey::Rsa { n: vec![7; 256], e: vec![1, 0, 1] },
            })
            .collect(),
    };
    let board = Board::new();
    let (mut storage, opened) = board.agent();
    assert_eq!(opened.keys, None);
    storage.work(Job::SaveKeys(set(8)));
    storage.work(Job::SaveKeys(set(32)));
    drop(storage);
    let (_, opened) = board.agent();
    assert_eq!(opened.keys, Some(set(8)), "what does not fit changes nothing");
    assert!(!opened.damaged);
}

#[test]
fn what_a_newer_build_added_survives_a_rewrite_by_this_one() {
    let board = board_of_the_first_version();
    for key in [DEVICE, SESSION, METADATA, OWNERS] {
        board.add(key, &[(60, "of a newer build")]);
    }
    board.add(SESSION, &[(150, "of the grant")]);
    let (mut storage, opened) = board.agent();
    assert!(!opened.damaged);
    let mut changed = record();
    changed.seen = wall(1_800_002_000);
    storage.work(Job::SaveRecord(1, changed.clone()));
    storage.work(Job::SaveMetadata(Metadata { jwks_uri: None, ..metadata() }));
    // Another owner's first record writes the owners' keys anew.
    let other = Queue { owner: OwnerId([8; 16]), ..QUEUE };
    storage.work(Job::Append(other, vec![envelope()]));
    drop(storage);
    for key in [DEVICE, SESSION, METADATA, OWNERS] {
        assert_eq!(board.field(key, 60).as_deref(), Some("of a newer build"), "key {key}");
    }
    assert_eq!(board.field(SESSION, 150).as_deref(), Some("of the grant"));
    let (mut storage, opened) = board.agent();
    assert_eq!(opened.record, Some(changed));
    assert_eq!(read(&mut storage), Some(b"a log record".to_vec()));

    // What belongs to the grant goes with it.
    storage.work(Job::SaveRecord(2, SessionRecord::default()));
    drop(storage);
    assert_eq!(board.field(SESSION, 150), None);
    assert_eq!(board.field(SESSION, 60).as_deref(), Some("of a newer build"));
}

#[test]
fn the_devices_key_is_kept_and_goes_with_the_grant_in_any_build() {
    let board = board_of_the_first_version();
    let key = DeviceKey(Secret::new("canary-k"));
    let bound = SessionRecord { device_key: Some(key), ..record() };
    board.agent().0.work(Job::SaveRecord(1, bound.clone()));
    assert_eq!(board.agent().1.record, Some(bound.clone()));
    // Tag 24 is of the grant: a build that does not know it removes it with the others.
    assert!(board.field(SESSION, 24).is_some());
    board.agent().0.work(Job::SaveRecord(2, SessionRecord { device_key: None, ..bound }));
    assert_eq!(board.field(SESSION, 24), None);
    // Before anybody has signed in there is a key as well.
    let key = Some(DeviceKey(Secret::new("canary-k")));
    let pairing = SessionRecord { device_key: key, ..SessionRecord::default() };
    board.agent().0.work(Job::SaveRecord(3, pairing.clone()));
    assert_eq!(board.agent().1.record, Some(pairing));
    for file in ["tokens", "spool"] {
        let bytes = fs::read(board.0.path().join(file)).unwrap();
        assert!(!bytes.windows(8).any(|it| it == b"canary-k"), "{file} is sealed");
    }
}

#[test]
fn metadata_with_addresses_for_certificates_comes_back_as_it_was() {
    let board = board_of_the_first_version();
    let url = |host: &str| Some(format!("https://{host}.example.com/x"));
    let (device_authorization, token) = (url("a"), url("b"));
    let mtls_aliases = MtlsAliases { device_authorization, token, revocation: None };
    let metadata = Metadata { mtls_aliases, ..metadata() };
    board.agent().0.work(Job::SaveMetadata(metadata.clone()));
    assert_eq!(board.agent().1.metadata, Some(metadata));
}

#[test]
fn fields_within_the_value_of_a_field_are_carried_as_they_are() {
    let board = board_of_the_first_version();
    let inner = Fields::new().with(1, "one").unwrap().with(900, &[1_u8, 2, 3]).unwrap();
    let mut tokens = board.tokens();
    let mut session = Fields::parse(&tokens.get(SESSION).unwrap().unwrap()).unwrap();
    session.set(61, inner.to_bytes().as_slice()).unwrap();
    tokens.put(SESSION, &session.to_bytes()).unwrap();
    drop(tokens);
    board.agent().0.work(Job::SaveRecord(1, record()));
    let session = Fields::parse(&board.tokens().get(SESSION).unwrap().unwrap()).unwrap();
    let carried: Vec<u8> = session.get(61).unwrap().unwrap();
    assert_eq!(carried, *inner.to_bytes());
}

#[test]
fn a_spool_whose_keys_are_gone_is_emptied_and_what_was_in_it_counted() {
    let board = Board::new();
    board.agent().0.work(Job::Append(QUEUE, vec![envelope(), envelope()]));
    fs::remove_file(board.0.path().join("tokens")).unwrap();
    for restart in 0..2 {
        let (mut storage, opened) = board.agent();
        assert_eq!(opened.damaged, restart == 0);
        let events = Queue { stream: Stream::Events, owner: OwnerId::DEVICE };
        assert_eq!(opened.stock.queues.iter().map(|held| held.queue).collect::<Vec<_>>(), [events]);
        let report = read_of(&mut storage, events).unwrap();
        let report = String::from_utf8_lossy(&report);
        assert!(report.contains("2 logs records dropped: store-replaced"), "{report}");
    }
    // A new owner's queue begins anew, whatever its name held before.
    let (mut storage, _) = board.agent();
    storage.work(Job::Append(QUEUE, vec![envelope()]));
    assert_eq!(read(&mut storage), Some(b"a log record".to_vec()));
}

#[test]
fn a_token_store_that_was_emptied_is_told_from_a_new_board() {
    let board = Board::new();
    assert!(!board.agent().1.damaged);
    assert!(!board.agent().1.damaged);
    fs::remove_file(board.0.path().join("tokens")).unwrap();
    assert!(board.agent().1.damaged, "a spool was there before it");
    assert!(!board.agent().1.damaged);
}
