//! Both stores on real files: what is there before, who else holds it, what it costs.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

mod support;

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use signpost_hal::flash::file::FileFlash;
use signpost_hal::flash::{Flash, FlashErrorKind};
use signpost_store::{OpenError, OuterKeys, QueueKey, QueueName, Spool, StoreError, TokenStore};
use support::Chance;

const SIZE: u64 = 64 << 10;

fn tokens(path: &Path) -> Result<(TokenStore<FileFlash>, bool), OpenError> {
    let flash = FileFlash::open(path, SIZE)?;
    let entropy = Chance(fs::metadata(path).map_or(0, |m| m.mtime_nsec() as u64)).entropy();
    let (store, opened) = TokenStore::open(flash, &OuterKeys::new([5; 32]), entropy)?;
    Ok((store, opened.fresh))
}

#[test]
fn a_file_is_made_private_filled_and_locked() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tokens.flash");
    let (mut store, fresh) = tokens(&path).unwrap();
    assert!(fresh);
    store.put(1, b"refresh token").unwrap();
    let meta = fs::metadata(&path).unwrap();
    assert_eq!(meta.permissions().mode() & 0o777, 0o600);
    assert_eq!(meta.len(), SIZE);
    assert!(meta.blocks() * 512 >= SIZE, "not a hole");
    let locked = tokens(&path).map(|_| ());
    assert!(matches!(locked, Err(OpenError::Flash(e)) if e.kind() == FlashErrorKind::Locked));
    drop(store);
    let (mut store, fresh) = tokens(&path).unwrap();
    assert!(!fresh);
    assert_eq!(store.get(1).unwrap().unwrap()[..], *b"refresh token");
    let image = fs::read(&path).unwrap();
    assert!(!image.windows(7).any(|w| w == b"refresh"), "not sealed");
}

#[test]
fn a_large_file_grows_in_steps_ahead() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("spool.flash");
    let flash = FileFlash::open(&path, 64 << 20).unwrap();
    let (mut spool, _) = Spool::open(flash, Chance(1).entropy()).unwrap();
    let (queue, key) = (QueueName([1; 20]), QueueKey::from_bytes([2; 32]));
    let record = vec![7; 50_000];
    for n in 0..60 {
        assert_eq!(spool.append(queue, &key, &[&record]), Ok(n..n + 1));
    }
    let len = fs::metadata(&path).unwrap().len();
    assert!((3 << 20..8 << 20).contains(&len), "{len}");
    drop(spool);
    let flash = FileFlash::open(&path, 64 << 20).unwrap();
    let (mut spool, _) = Spool::open(flash, Chance(2).entropy()).unwrap();
    assert_eq!(spool.read(queue, &key, 0, 100, 10 << 20).unwrap().len(), 60);
}

#[test]
fn whatever_is_in_the_file_opens_or_is_set_aside() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tokens.flash");
    let mut chance = Chance(3);
    let (mut store, _) = tokens(&path).unwrap();
    for n in 0..20 {
        store.put(n % 3, &chance.bytes(1500)).unwrap();
    }
    drop(store);
    let good = fs::read(&path).unwrap();
    let put = |bytes: &[u8]| {
        #[expect(clippy::disallowed_methods, reason = "damage, not storage")]
        fs::write(&path, bytes).unwrap();
    };
    // Blank, in every way that a file can be.
    for blank in [vec![], vec![0; 100], vec![0; SIZE as usize], vec![0xFF; SIZE as usize]] {
        put(&blank);
        assert!(tokens(&path).unwrap().1, "{} bytes", blank.len());
    }
    put(&chance.bytes(SIZE as usize));
    let garbage = tokens(&path).map(|_| ()).unwrap_err();
    assert_eq!(garbage, OpenError::Garbage);
    assert!(garbage.is_set_aside());
    for len in [1, 4095, 4096, 10_000, 40_000, 65_535] {
        put(&good[..len]);
        match tokens(&path) {
            Ok((mut store, _)) => store.put(1, b"works").unwrap(),
            Err(error) => assert!(error.is_set_aside(), "{error:?}"),
        }
    }
    put(&good);
    let flash = FileFlash::open(&path, SIZE).unwrap();
    let foreign = TokenStore::open(flash, &OuterKeys::new([6; 32]), chance.entropy());
    assert_eq!(foreign.map(|_| ()).unwrap_err(), OpenError::Foreign);
    let flash = FileFlash::open(&path, SIZE).unwrap();
    let other = Spool::open(flash, chance.entropy()).map(|_| ()).unwrap_err();
    assert_eq!(other, OpenError::Garbage);
    let (store, fresh) = tokens(&path).unwrap();
    assert!(!fresh && store.keys().count() == 3);
    drop(store);
    signpost_store::clear(FileFlash::open(&path, SIZE).unwrap()).unwrap();
    assert!(tokens(&path).unwrap().1);
}

#[test]
fn a_writer_shows_nothing_without_its_commit() {
    use embedded_io::{Read, Write};
    let folder = tempfile::tempdir().unwrap();
    let (mut store, _) = tokens(&folder.path().join("tokens.flash")).unwrap();
    store.writer(1).write_all(b"never committed").unwrap();
    assert!(store.reader(1).unwrap().is_none());
    let mut writer = store.writer(1);
    writer.write_all(b"in two ").unwrap();
    writer.write_all(b"pieces").unwrap();
    writer.commit().unwrap();
    let mut read = [0; 13];
    store.reader(1).unwrap().unwrap().read_exact(&mut read).unwrap();
    assert_eq!(&read, b"in two pieces");
    let flash = FileFlash::open(&folder.path().join("spool.flash"), SIZE).unwrap();
    let (mut spool, _) = Spool::open(flash, Chance(1).entropy()).unwrap();
    let (queue, key) = (QueueName([1; 20]), QueueKey::from_bytes([2; 32]));
    spool.writer(queue, &key).write_all(b"never committed").unwrap();
    assert_eq!(spool.queues().count(), 0);
    let mut writer = spool.writer(queue, &key);
    writer.write_all(b"record").unwrap();
    assert_eq!(writer.commit(), Ok(0));
    assert_eq!(spool.read(queue, &key, 0, 1, 1).unwrap(), vec![(0, b"record".to_vec())]);
}

#[test]
fn stores_can_move_to_a_thread_of_their_own() {
    fn check<T: Send>() {}
    check::<TokenStore<FileFlash>>();
    check::<Spool<FileFlash>>();
}

#[test]
fn what_is_no_medium_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let kind = |path: &Path, size| FileFlash::open(path, size).map(|_| ()).unwrap_err().kind();
    assert_eq!(kind(folder.path(), SIZE), FlashErrorKind::Unsuitable);
    assert_eq!(kind(Path::new("/dev/null"), SIZE), FlashErrorKind::Unsuitable);
    assert_eq!(kind(&folder.path().join("no/such"), SIZE), FlashErrorKind::Missing);
    assert_eq!(kind(&folder.path().join("small"), 4095), FlashErrorKind::Unsuitable);
    let flash = FileFlash::open(&folder.path().join("three"), 3 * 4096).unwrap();
    let small = TokenStore::open(flash, &OuterKeys::new([5; 32]), Chance(1).entropy());
    assert_eq!(small.map(|_| ()).unwrap_err(), OpenError::TooSmall);
    let mut flash = FileFlash::open(&folder.path().join("bounds"), SIZE).unwrap();
    let kind = |result: Result<(), signpost_hal::flash::FlashError>| result.unwrap_err().kind();
    assert_eq!(kind(flash.program(1, &[0; 4096])), FlashErrorKind::Misaligned);
    assert_eq!(kind(flash.program(0, &[0; 100])), FlashErrorKind::Misaligned);
    assert_eq!(kind(flash.program(65_536, &[0; 4096])), FlashErrorKind::OutOfBounds);
    assert_eq!(kind(flash.read(65_530, &mut [0; 7])), FlashErrorKind::OutOfBounds);
    assert_eq!(kind(flash.erase(16)), FlashErrorKind::OutOfBounds);
}

#[test]
fn a_full_disk_refuses_what_it_cannot_keep_and_keeps_the_rest() {
    // In a process of its own, whose files may not grow beyond 2 MiB.
    let (queue, key) = (QueueName([1; 20]), QueueKey::from_bytes([2; 32]));
    if let Some(path) = std::env::var_os("SIGNPOST_TEST_LIMITED") {
        let flash = FileFlash::open(Path::new(&path), 8 << 20).unwrap();
        let (mut spool, _) = Spool::open(flash, Chance(1).entropy()).unwrap();
        let mut kept = 0;
        let refused = loop {
            match spool.append(queue, &key, &[&[3; 30_000]]) {
                Ok(_) => kept += 1,
                Err(error) => break error,
            }
        };
        assert!(matches!(refused, StoreError::Flash(e) if e.kind() == FlashErrorKind::Full));
        assert!(refused.is_full() && kept > 20, "{kept}");
        assert_eq!(spool.read(queue, &key, 0, 1000, 1 << 30).unwrap().len(), kept);
        spool.remove(queue, 3).unwrap();
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("spool.flash");
    let status = std::process::Command::new("sh")
        .args(["-c", "trap '' XFSZ; ulimit -f 4096; exec \"$0\" --exact \"$1\""])
        .arg(std::env::current_exe().unwrap())
        .arg("a_full_disk_refuses_what_it_cannot_keep_and_keeps_the_rest")
        .env("SIGNPOST_TEST_LIMITED", &path)
        .status()
        .unwrap();
    assert!(status.success());
    let flash = FileFlash::open(&path, 8 << 20).unwrap();
    let (mut spool, _) = Spool::open(flash, Chance(2).entropy()).unwrap();
    let stats = spool.stats(queue).unwrap();
    assert!(stats.first_seq == 4 && stats.records > 16);
    assert_eq!(spool.append(queue, &key, &[b"room again"]).unwrap().start, stats.next_seq);
}
