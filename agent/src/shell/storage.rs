//! The storage port: the stores' files, and the thread that works on them.

use super::{files, keys::Sealing};
use crate::{
    config::{Config, SpoolSize},
    ports::{Done, Job},
    storage::{OpenTrouble, Opened, Settings, Storage},
};
use signpost_core::{
    otlp::{Attribute, Value},
    time::ClockGate,
};
use signpost_hal::flash::{Flash, FlashError, FlashErrorKind, medium::Medium};
use signpost_store::OpenError;
use std::{
    collections::VecDeque,
    fmt, fs, io,
    os::unix::fs::{FileTypeExt, MetadataExt},
    path::{Path, PathBuf},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
};
use tokio::sync::mpsc;

/// How many stores that were set aside are kept.
const KEPT_ASIDE: u32 = 3;

/// Erase units that the token store has at least on a device: parts with large ones need more
/// than the usual size.
const UNITS: u64 = 8;

/// Sizes that `"auto"` may come to. A queue takes a 128th at least, and the file is filled in steps
/// of a MiB: more would waste room on most boards, and whoever wants more says so.
const AUTO: (u64, u64) = (128 << 10, 128 << 20);

/// How often a block is erased before it fails: bare NOR by its data sheets, and the multi-level
/// cells that eMMC and cards are made of.
const ERASES: (u64, u64) = (100_000, 3_000);

/// What the stores of `config` held.
#[derive(Debug)]
pub(super) struct Found {
    /// For the driver.
    pub(super) opened: Opened,
    /// An unreadable store was set aside.
    pub(super) set_aside: bool,
    /// What the token store is bound to, as [`signpost_store::Opened::binding`].
    pub(super) binding: usize,
    /// What is overwritten or erased may stay somewhere below: all but bare flash.
    pub(super) translated: bool,
    /// How many bytes the blocks under the stores take in all, at the least.
    pub(super) endurance: u64,
}

/// The thread, and what came of its jobs.
#[derive(Debug)]
pub(super) struct StorageThread {
    lanes: Arc<Lanes>,
    done: mpsc::UnboundedReceiver<Done>,
}

impl StorageThread {
    /// Opens the stores, or makes them, and starts the thread.
    ///
    /// # Errors
    /// Neither is possible.
    pub(super) fn start(config: &Config, sealing: &Sealing) -> Result<(Self, Found), StoreTrouble> {
        let (storage, found) = open(config, sealing)?;
        let lanes = Arc::new(Lanes::default());
        // The driver has a handful of jobs under way at most; so many answers can wait here.
        let (sender, done) = mpsc::unbounded_channel();
        let theirs = Arc::clone(&lanes);
        thread::Builder::new()
            .name("storage".into())
            .stack_size(512 * 1024)
            .spawn(move || work(storage, &theirs, &sender))
            .map_err(|error| StoreTrouble::Thread { error })?;
        Ok((Self { lanes, done }, found))
    }

    /// Hands over a job. Never blocks.
    pub(super) fn submit(&self, job: Job) {
        let mut queue = self.lanes.lock();
        let lane = if job.is_urgent() { &mut queue.urgent } else { &mut queue.other };
        lane.push_back(job);
        drop(queue);
        self.lanes.bell.notify_one();
    }

    /// What came of the next job that ended; pending for ever once the thread is gone.
    pub(super) async fn done(&mut self) -> Done {
        match self.done.recv().await {
            Some(done) => done,
            None => std::future::pending().await,
        }
    }

    /// Lets the job that is under way end, and then the thread: the files are free after that.
    pub(super) async fn stop(mut self) {
        self.lanes.close();
        while self.done.recv().await.is_some() {}
    }
}

impl Drop for StorageThread {
    fn drop(&mut self) {
        self.lanes.close();
    }
}

/// Jobs that wait: what is urgent overtakes what is not.
#[derive(Debug, Default)]
struct Lanes {
    queue: Mutex<Queue>,
    bell: Condvar,
}

#[derive(Debug, Default)]
struct Queue {
    urgent: VecDeque<Job>,
    other: VecDeque<Job>,
    closed: bool,
}

impl Lanes {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn close(&self) {
        self.lock().closed = true;
        self.bell.notify_one();
    }

    /// The next job; `None` at the end.
    fn next(&self) -> Option<Job> {
        let mut queue = self.lock();
        loop {
            if queue.closed {
                return None;
            }
            if let Some(job) = queue.urgent.pop_front() {
                return Some(job);
            }
            if let Some(job) = queue.other.pop_front() {
                return Some(job);
            }
            queue = self.bell.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

fn work(mut storage: Storage<Medium>, lanes: &Lanes, done: &mpsc::UnboundedSender<Done>) {
    while let Some(job) = lanes.next() {
        if done.send(storage.work(job)).is_err() {
            return;
        }
    }
}

fn open(config: &Config, sealing: &Sealing) -> Result<(Storage<Medium>, Found), StoreTrouble> {
    let store = &config.store;
    let (tokens, spool) = (store.tokens.path.as_path(), store.spool.path.as_path());
    let settings = settings(config);
    let mut set_aside = false;
    // Either store can be set aside once: a new one is never unreadable.
    for _ in 0..3 {
        let storage = Storage::open(
            open_medium(tokens, tokens_size(tokens, store.tokens.size.get().bytes())?)?,
            open_medium(spool, spool_size(spool, store.spool.size)?)?,
            &sealing.outer,
            super::keys::entropy,
            settings.clone(),
        );
        let (path, error) = match storage {
            Ok((storage, opened)) => {
                let binding = storage.binding();
                let translated = !is_bare_flash(tokens);
                let erases = if translated { ERASES.1 } else { ERASES.0 };
                let endurance = storage.size().saturating_mul(erases);
                return Ok((storage, Found { opened, set_aside, binding, translated, endurance }));
            }
            Err(OpenTrouble::Tokens(error)) => (tokens, error),
            Err(OpenTrouble::Spool(error)) => (spool, error),
        };
        if error == OpenError::Foreign
            && let Some((source, error)) = sealing.identities.unsure.as_ref()
        {
            let (source, error) = (source.name(), io::Error::new(error.kind(), error.to_string()));
            return Err(StoreTrouble::Identity { path: path.to_owned(), source, error });
        }
        make_way(path, store.tokens.size.get().bytes(), error)?;
        set_aside = true;
    }
    Err(StoreTrouble::Store { path: tokens.to_owned(), error: OpenError::Garbage })
}

fn settings(config: &Config) -> Settings {
    let telemetry = &config.telemetry;
    let attributes = telemetry.attributes.iter().map(|(key, value)| Attribute {
        key: key.as_str().to_owned(),
        value: Value::Text(value.as_str().to_owned()),
        replaces: false,
    });
    Settings {
        device_id: config.device.id.as_ref().map(|id| id.as_str().to_owned()),
        attributes: attributes.collect(),
        quotas: telemetry.quota.clone(),
        when_full: telemetry.when_full.clone(),
        max_age: telemetry.max_age.get(),
        gate: ClockGate::new(super::run::BUILD_DATE),
    }
}

/// Makes way for a new store where the one at `path` does not open.
///
/// What has no name to change is erased, where it is a store of ours and nothing else: a partition
/// may hold what somebody needs. Only the token store can be foreign; `size` is its.
fn make_way(path: &Path, size: u64, error: OpenError) -> Result<(), StoreTrouble> {
    let trouble = StoreTrouble::Store { path: path.to_owned(), error };
    if error.is_set_aside() && path.is_file() {
        tracing::warn!("{trouble}; it is set aside as {}", aside(path, 1).display());
        return put_aside(path).map_err(|error| StoreTrouble::file(path, error));
    }
    if error != OpenError::Foreign {
        return Err(trouble);
    }
    tracing::warn!("{}: {error}; it is erased", path.display());
    signpost_store::clear(open_medium(path, tokens_size(path, size)?)?)
        .map_err(|error| StoreTrouble::Flash { path: path.to_owned(), error })
}

fn open_medium(path: &Path, size: u64) -> Result<Medium, StoreTrouble> {
    files::make_folder(files::folder_of(path)).map_err(|error| StoreTrouble::file(path, error))?;
    Medium::open(path, size).map_err(|error| StoreTrouble::Flash { path: path.to_owned(), error })
}

/// Character devices are MTD here: a medium is nothing else.
fn is_bare_flash(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|meta| meta.file_type().is_char_device())
}

fn is_device(path: &Path) -> bool {
    let kind = fs::metadata(path).map(|meta| meta.file_type());
    kind.is_ok_and(|kind| kind.is_block_device() || kind.is_char_device())
}

/// The token store's size.
fn tokens_size(path: &Path, size: u64) -> Result<u64, StoreTrouble> {
    if !is_device(path) {
        return Ok(size);
    }
    let unit = open_medium(path, 0)?.geometry().erase_unit();
    Ok(size.max(UNITS * u64::from(unit)))
}

/// The spool's size. Where it is the agent's choice it is made once, with the file, and kept in a
/// file beside it, because a store of one size is none of another.
fn spool_size(path: &Path, size: SpoolSize) -> Result<u64, StoreTrouble> {
    let fixed = match size {
        SpoolSize::Fixed(size) => Some(size.bytes()),
        SpoolSize::Auto => None,
    };
    // A device caps it.
    if let Some(size) = fixed.or(is_device(path).then_some(u64::MAX)) {
        return Ok(size);
    }
    let note = files::beside(path, ".size");
    let kept = files::read(&note, 32, false).ok();
    let kept =
        kept.as_deref().and_then(|bytes| std::str::from_utf8(bytes).ok()?.trim().parse().ok());
    if let Some(size) = kept.filter(|size| (AUTO.0..=AUTO.1).contains(size)) {
        return Ok(size);
    }
    let choose = || {
        let folder = files::folder_of(path);
        files::make_folder(folder)?;
        let free = rustix::fs::statvfs(folder)?;
        let size = auto_size(free.f_bavail.saturating_mul(free.f_frsize));
        files::replace(&note, format!("{size}\n").as_bytes(), true)?;
        Ok(size)
    };
    choose().map_err(|error| StoreTrouble::file(path, error))
}

/// At most a tenth of what is free, in whole steps.
fn auto_size(free: u64) -> u64 {
    let tenth = (free / 10).clamp(AUTO.0, AUTO.1);
    tenth - tenth % AUTO.0
}

/// Gives the file at `path` another name; the oldest of those that were set aside goes.
fn put_aside(path: &Path) -> io::Result<()> {
    files::remove(&aside(path, KEPT_ASIDE))?;
    for number in (1..KEPT_ASIDE).rev() {
        match fs::rename(aside(path, number), aside(path, number + 1)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
    }
    fs::rename(path, aside(path, 1))?;
    files::sync_folder(path)
}

fn aside(path: &Path, number: u32) -> PathBuf {
    files::beside(path, &format!(".set-aside-{number}"))
}

/// Who has locked the file at `path` (`/proc/locks`, proc_locks(5)), as far as this user may know.
fn holder(path: &Path) -> Option<String> {
    let meta = fs::metadata(path).ok()?;
    let (major, minor) = (rustix::fs::major(meta.dev()), rustix::fs::minor(meta.dev()));
    let node = format!("{major:02x}:{minor:02x}:{}", meta.ino());
    let locks = fs::read_to_string("/proc/locks").ok()?;
    // Number, kind, ADVISORY, WRITE, process, node; some lines wait behind the one that has it.
    let process = locks.lines().find_map(|line| {
        let mut words = line.split_whitespace().skip(4);
        let process = words.next()?;
        (words.next() == Some(node.as_str())).then_some(process)
    })?;
    let name = fs::read_to_string(format!("/proc/{process}/comm")).ok();
    let name = name.map(|name| format!(" ({})", name.trim()));
    Some(format!("{process}{}", name.unwrap_or_default()))
}

/// Why there are no stores to work on.
#[derive(Debug)]
pub enum StoreTrouble {
    /// The medium.
    Flash {
        /// Which.
        path: PathBuf,
        /// Why.
        error: FlashError,
    },
    /// What is on it.
    Store {
        /// Which.
        path: PathBuf,
        /// Why.
        error: OpenError,
    },
    /// Whether it is this board's cannot be told now.
    Identity {
        /// Which.
        path: PathBuf,
        /// What cannot be read.
        source: &'static str,
        /// Why.
        error: io::Error,
    },
    /// Its folder, or a file beside it.
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// The system has no room for a thread.
    Thread {
        /// Why.
        error: io::Error,
    },
}

/// Who can mend a [`StoreTrouble`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remedy {
    /// Another agent holds it: there must be one alone.
    OneAgent,
    /// Its owner or mode.
    Rights,
    /// The configuration.
    Configuration,
    /// Time, or whoever looks after the disk.
    Later,
}

impl StoreTrouble {
    fn file(path: &Path, error: io::Error) -> Self {
        Self::File { path: path.to_owned(), error }
    }

    /// Who can mend it.
    pub fn remedy(&self) -> Remedy {
        let flash = match self {
            Self::Flash { error, .. } | Self::Store { error: OpenError::Flash(error), .. } => error,
            Self::Store { .. } => return Remedy::Configuration,
            Self::File { error, .. } if error.kind() == io::ErrorKind::PermissionDenied => {
                return Remedy::Rights;
            }
            Self::Identity { .. } | Self::File { .. } | Self::Thread { .. } => {
                return Remedy::Later;
            }
        };
        match flash.kind() {
            FlashErrorKind::Locked => Remedy::OneAgent,
            FlashErrorKind::Denied => Remedy::Rights,
            FlashErrorKind::Missing
            | FlashErrorKind::Unsuitable
            | FlashErrorKind::OutOfBounds
            | FlashErrorKind::Misaligned
            | FlashErrorKind::NotErased => Remedy::Configuration,
            FlashErrorKind::Io
            | FlashErrorKind::Full
            | FlashErrorKind::ReadOnly
            | FlashErrorKind::Gone => Remedy::Later,
        }
    }

    const fn advice(&self, remedy: Remedy) -> &'static str {
        match (remedy, self) {
            (Remedy::OneAgent, _) => "is the agent running already? (signpost status)",
            (Remedy::Rights, _) => "hand it to the agent's user (chown signpost)",
            (Remedy::Configuration, Self::Store { error: OpenError::TooSmall, .. }) => {
                "give it a larger size in [store], or name another medium"
            }
            (Remedy::Configuration, Self::Store { .. }) => {
                "if nothing on it is needed, erase it (flash_erase for MTD, else blkdiscard -z), \
                 or name another medium in [store]"
            }
            (Remedy::Later, Self::Identity { .. }) => "the agent tries again",
            (Remedy::Configuration, _) => {
                "name a file, a partition or an MTD device of NOR flash in [store]"
            }
            (Remedy::Later, _) => "check the disk, its room and its rights",
        }
    }
}

impl fmt::Display for StoreTrouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flash { path, error } => {
                write!(f, "{}: {error}", path.display())?;
                if let Some(holder) = holder(path).filter(|_| self.remedy() == Remedy::OneAgent) {
                    write!(f, " {holder}")?;
                }
            }
            Self::Store { path, error } => write!(f, "{}: {error}", path.display())?,
            Self::File { path, error } => write!(f, "{}: {error}", path.display())?,
            Self::Identity { path, source, error } => {
                let path = path.display();
                write!(f, "{path}: cannot tell whose it is without {source}: {error}")?;
            }
            Self::Thread { error } => write!(f, "no thread for storage: {error}")?,
        }
        write!(f, "; {}", self.advice(self.remedy()))
    }
}

impl std::error::Error for StoreTrouble {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shell::{
        identity::{Identities, Source},
        keys::{self, Origin},
    };
    use crate::{config, records::Arrival};
    use signpost_core::delivery::DropReason;
    use signpost_core::{owner::OwnerId, session::SessionRecord, time::Boot};
    use signpost_store::OuterKeys;

    fn config_in(folder: &Path) -> Config {
        let folder = folder.display();
        let text = format!(
            "[issuer]\nurl = \"https://idp.example.com\"\nclient_id = \"c\"\n[store]\n\
             tokens = {{ path = \"{folder}/deep/tokens.flash\" }}\n\
             spool = {{ path = \"{folder}/deep/spool.flash\" }}\n"
        );
        let mut file = tempfile::NamedTempFile::with_suffix(".toml").unwrap();
        io::Write::write_all(&mut file, text.as_bytes()).unwrap();
        config::load(&config::Sources::file(file.path())).unwrap().config
    }

    fn start(config: &Config, key: u8) -> Result<(StorageThread, Found), StoreTrouble> {
        let outer = OuterKeys::new([key; 32]);
        let identities = Identities::default();
        StorageThread::start(config, &Sealing { outer, key: Origin::File, identities })
    }

    #[test]
    fn a_tenth_of_what_is_free_within_bounds() {
        assert_eq!(auto_size(0), 128 << 10);
        assert_eq!(auto_size(100 << 20), 10 << 20);
        assert_eq!(auto_size((100 << 20) + 12_345), 10 << 20, "whole steps");
        assert_eq!(auto_size(u64::MAX), 128 << 20);
    }

    #[test]
    fn the_size_is_chosen_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("spool.flash");
        let size = spool_size(&path, SpoolSize::Auto).unwrap();
        let note = files::beside(&path, ".size");
        assert_eq!(fs::read_to_string(&note).unwrap(), format!("{size}\n"));
        files::replace(&note, b"1048576\n", true).unwrap();
        assert_eq!(spool_size(&path, SpoolSize::Auto).unwrap(), 1 << 20, "as it was chosen");
        for garbage in [&b"999999999999\n"[..], b"many", b"\xff", &[b'1'; 100]] {
            files::replace(&note, garbage, true).unwrap();
            assert_eq!(spool_size(&path, SpoolSize::Auto).unwrap(), size, "{garbage:?}");
        }
    }

    #[test]
    fn what_was_set_aside_is_kept_a_few_times() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokens.flash");
        for content in ["first", "second", "third", "fourth"] {
            files::replace(&path, content.as_bytes(), false).unwrap();
            put_aside(&path).unwrap();
        }
        let kept = [1, 2, 3].map(|number| fs::read_to_string(aside(&path, number)).unwrap());
        assert_eq!(kept, ["fourth", "third", "second"]);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 3);
    }

    #[test]
    fn what_is_urgent_overtakes_and_the_rest_keeps_its_order() {
        let at = Arrival { boot_id: [0; 16], boot: Boot::default(), wall: None, unset: None };
        let forget = |owner| Job::Forget(OwnerId([owner; 16]), DropReason::SignedOut, at);
        let lanes = Lanes::default();
        {
            let mut queue = lanes.lock();
            queue.other.extend([forget(1), forget(2)]);
            queue.urgent.push_back(Job::SaveRecord(7, SessionRecord::default()));
        }
        assert!(matches!(lanes.next(), Some(Job::SaveRecord(7, _))));
        for owner in [1, 2] {
            let next = lanes.next();
            assert!(matches!(next, Some(Job::Forget(id, ..)) if id.0[0] == owner), "{next:?}");
        }
        lanes.close();
        assert!(lanes.next().is_none());
    }

    #[tokio::test]
    async fn jobs_are_done_and_the_files_are_free_after_the_stop() {
        let folder = tempfile::tempdir().unwrap();
        let config = config_in(folder.path());
        let (mut storage, found) = start(&config, 1).unwrap();
        assert!(found.opened.record.is_none() && !found.set_aside);
        let busy = start(&config, 1).unwrap_err();
        assert_eq!(busy.remedy(), Remedy::OneAgent, "{busy}");
        storage.submit(Job::SaveRecord(1, SessionRecord::default()));
        let done = storage.done().await;
        assert!(matches!(done.result, crate::ports::JobResult::Record(1, Ok(()))), "{done:?}");
        storage.stop().await;
        let (storage, found) = start(&config, 1).unwrap();
        assert!(found.opened.record.is_some());
        storage.stop().await;
    }

    #[tokio::test]
    async fn invariant_3_a_store_of_another_key_is_set_aside_and_the_agent_starts() {
        let folder = tempfile::tempdir().unwrap();
        let config = config_in(folder.path());
        start(&config, 1).unwrap().0.stop().await;
        let (storage, found) = start(&config, 2).unwrap();
        assert!(found.set_aside);
        storage.stop().await;
        let path = config.store.tokens.path.as_path();
        assert!(aside(path, 1).is_file() && path.is_file());
        let (storage, found) = start(&config, 2).unwrap();
        assert!(!found.set_aside, "once is enough");
        storage.stop().await;
    }

    #[tokio::test]
    async fn a_store_is_not_foreign_while_it_cannot_be_told_whose_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let config = config_in(folder.path());
        let sealing = |unsure: bool| {
            let unsure = unsure.then(|| (Source::Serial, io::ErrorKind::TimedOut.into()));
            let identities = Identities { unsure, ..Identities::default() };
            let outer = OuterKeys::new([1; 32]);
            let outer = if identities.unsure.is_none() { outer.bound_to(b"serial") } else { outer };
            Sealing { outer, key: Origin::File, identities }
        };
        StorageThread::start(&config, &sealing(false)).unwrap().0.stop().await;
        let trouble = StorageThread::start(&config, &sealing(true)).unwrap_err();
        assert_eq!(trouble.remedy(), Remedy::Later);
        let line = trouble.to_string();
        assert!(line.contains("cannot tell whose it is without the board's serial"), "{line}");
        let (storage, found) = StorageThread::start(&config, &sealing(false)).unwrap();
        assert!(!found.set_aside);
        storage.stop().await;
    }

    #[tokio::test]
    async fn invariant_3_garbage_in_both_files_does_not_keep_the_agent_from_starting() {
        let folder = tempfile::tempdir().unwrap();
        let config = config_in(folder.path());
        start(&config, 1).unwrap().0.stop().await;
        let mut garbage = vec![0; 64 << 10];
        keys::fill(&mut garbage).unwrap();
        for path in [&config.store.tokens.path, &config.store.spool.path] {
            files::replace(path.as_path(), &garbage, false).unwrap();
        }
        let (storage, found) = start(&config, 1).unwrap();
        assert!(found.set_aside);
        storage.stop().await;
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_told_with_its_path() {
        let folder = tempfile::tempdir().unwrap();
        files::replace(&folder.path().join("deep"), b"a file", false).unwrap();
        let trouble = start(&config_in(folder.path()), 1).unwrap_err();
        assert_eq!(trouble.remedy(), Remedy::Later);
        assert!(trouble.to_string().contains("deep/tokens.flash: "), "{trouble}");
    }
}
