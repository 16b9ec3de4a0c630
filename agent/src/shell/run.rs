//! The agent as it runs: the loop between the driver and everything that happens.

use super::{
    broker::TokenFile,
    calls::{Asked, Calls},
    http::{Http, HttpError, Limits},
    journal, keys,
    panels::{self, Panels},
    published::Published,
    runtime::Runtime,
    sockets::{BindError, Inherited, Sockets},
    storage::{Remedy, StorageThread, StoreTrouble},
    supervisor::Supervisor,
    timer::Timer,
    vitals::Vitals,
};
use crate::{
    config::{self, ConfigError, Loaded, OtherAccount, Sources, Unowned},
    driver::{Driver, DriverConfig},
    ports::{Answer, Call, CallerId, Complete, Entry, HttpId, Submit},
    signing,
};
use keys::KeyError;
use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};
use signpost_core::{
    delivery::{self as core, DeliveryConfig},
    fault::Fault,
    http::Outcome,
    session::{Event, SessionConfig, TokenKey},
    time::{Boot, Now, Wall},
};
use signpost_hal::{clock, panel::bus::Board, screen::Support};
use std::{
    collections::BTreeMap,
    fmt, fs,
    future::Future,
    io,
    pin::{Pin, pin},
    sync::Arc,
    time::Duration,
};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::{Notify, mpsc, oneshot, watch},
    task::JoinSet,
    time::timeout,
};

/// How often an expired code is renewed without anybody asking.
const RENEWALS: u8 = 3;

/// No clock before this is believed: the date of the sources, `SOURCE_DATE_EPOCH` of the build
/// where it is given.
pub(super) const BUILD_DATE: Wall =
    Wall::new(Duration::from_secs(build_date(option_env!("SOURCE_DATE_EPOCH"))));

/// How long a stop waits for flash, and for answers of the issuer that may hold a new token.
const PATIENCE: Duration = Duration::from_secs(2);

/// How long a reload waits for the stores to be free again.
const FILES: Duration = Duration::from_secs(30);

/// How often it is looked whether callers still wait.
const SWEEP: Duration = Duration::from_secs(1);

/// The loop's own calls.
const SELF: CallerId = CallerId(0);

/// Opens everything, runs until `shutdown` ends, and stops in order.
///
/// Must be called on a runtime with I/O and time enabled; one thread is enough.
///
/// # Errors
/// What keeps the agent from starting; [`RunError::exit_code`] says who has to act.
pub async fn run(loaded: &Loaded, shutdown: impl Future<Output = ()>) -> Result<(), RunError> {
    Agent::open(loaded)?.run(shutdown).await
}

/// As [`run`], by the files of `sources` and with the sockets of `inherited`.
///
/// At SIGHUP, and where the control socket is told to reload, the configuration is read anew
/// from `sources` and the agent begins again with it, in the same process: a sign-in under way keeps its
/// code. A configuration that is wrong is not taken.
///
/// # Errors
/// As [`run`].
pub async fn run_by_files(
    mut loaded: Loaded,
    sources: &Sources,
    inherited: Inherited,
    shutdown: impl Future<Output = ()>,
) -> Result<(), RunError> {
    let mut shutdown = pin!(shutdown);
    let open = |loaded: &Loaded| {
        let mut agent = Agent::open_with(panels::through(&loaded.config), loaded, &inherited)?;
        agent.sources = Some(sources.clone());
        Ok::<_, RunError>(agent)
    };
    let mut agent = open(&loaded)?;
    while let Some(next) = agent.run_once(&mut shutdown).await? {
        agent = match open(&next) {
            Ok(agent) => {
                TokenFile::remove_others(&loaded.config.broker, &next.config.broker);
                loaded = next;
                tracing::info!(SIGNPOST_EVENT = "reloaded", "the configuration is read anew");
                agent
            }
            Err(error) => {
                let mut agent = reopen(|| open(&loaded)).await?;
                agent.stays_as_it_was(&error.to_string());
                agent
            }
        };
    }
    Ok(())
}

/// Opens again what has just been open: the one that failed may hold the stores for a moment.
async fn reopen(open: impl Fn() -> Result<Agent, RunError>) -> Result<Agent, RunError> {
    for _ in 0..50 {
        match open() {
            Err(RunError::Store(trouble)) if trouble.remedy() == Remedy::OneAgent => {
                // A pause: nothing else is to be done meanwhile.
                let _ = timeout(FILES / 300, std::future::pending::<()>()).await;
            }
            opened => return opened,
        }
    }
    open()
}

/// Ends at SIGTERM or SIGINT.
///
/// # Errors
/// The system lets no signals be watched.
pub fn terminated() -> io::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

/// Has the kernel write no core dump of this process, and no other process of this user look into
/// it: both would hold tokens (design invariant 7).
pub fn harden() {
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    if let Err(error) = setrlimit(Resource::Core, none)
        .and_then(|()| set_dumpable_behavior(DumpableBehavior::NotDumpable))
    {
        tracing::warn!("core dumps cannot be switched off: {error}");
    }
}

/// The agent, with everything open and nothing served yet.
#[derive(Debug)]
pub struct Agent {
    driver: Driver,
    http: Http,
    storage: StorageThread,
    runtime: Runtime,
    panels: Panels,
    supervisor: Supervisor,
    timer: Timer,
    hangup: Signal,
    sockets: Option<Sockets>,
    vitals: Option<Vitals>,
    signed_in: Arc<Notify>,
    token_files: Vec<TokenFile>,
    /// Tells those who keep one that something has happened to tokens.
    token_news: watch::Sender<()>,
    published: Option<Published>,
    /// Tells them that something has happened at all.
    news: watch::Sender<()>,
    door: Calls,
    calls: mpsc::Receiver<Asked>,
    callers: BTreeMap<CallerId, oneshot::Sender<Answer>>,
    /// Where the configuration is read anew; absent where that cannot be.
    sources: Option<Sources>,
    /// What was read.
    next: Option<Loaded>,
    last_caller: u64,
    swept: Boot,
    exchanges: JoinSet<(HttpId, Outcome)>,
    /// Exchanges with the issuer that are under way.
    with_issuer: usize,
    stopping: bool,
}

impl Agent {
    /// Opens stores, sockets and panels by `loaded`.
    ///
    /// # Errors
    /// The first thing that cannot be opened.
    pub fn open(loaded: &Loaded) -> Result<Self, RunError> {
        Self::open_on(panels::through(&loaded.config), loaded)
    }

    /// The same with panels, lamps and buttons on `board`, an emulated one for example.
    ///
    /// # Errors
    /// As for [`Agent::open`].
    pub fn open_on<B>(board: B, loaded: &Loaded) -> Result<Self, RunError>
    where
        B: Board + Clone + Send + 'static,
    {
        Self::open_with(board, loaded, &Inherited::default())
    }

    fn open_with<B>(board: B, loaded: &Loaded, inherited: &Inherited) -> Result<Self, RunError>
    where
        B: Board + Clone + Send + 'static,
    {
        let config = &loaded.config;
        let mut driver_config = driver_config(loaded)?;
        let http = Http::new(loaded, Limits::default())?;
        let sealing = keys::load(config)?;
        // The stores' lock comes first: whoever has it may replace the sockets.
        let (storage, found) = StorageThread::start(config, &sealing)?;
        driver_config.endurance = Some(found.endurance);
        let sealed = sealing.describe(found.binding, found.translated);
        let sockets = Sockets::bind_within(config, Default::default(), inherited)?.sealed(sealed);
        let runtime = Runtime::new(config, driver_config.boot_id);
        let (door, calls) = Calls::new();
        let vitals = Vitals::of(config, door.clone());
        let damaged = found.set_aside || found.opened.damaged;
        let seed = seed()?;
        let mut agent = Self {
            driver: Driver::new(driver_config, found.opened, runtime.load(), seed, now()),
            http,
            storage,
            runtime,
            panels: Panels::start(board, config)?,
            supervisor: Supervisor::new(),
            timer: Timer::new()?,
            hangup: signal(SignalKind::hangup())?,
            sockets: Some(sockets),
            vitals,
            signed_in: Arc::default(),
            token_files: TokenFile::all(&config.broker, &door),
            token_news: watch::Sender::default(),
            published: Some(Published::of(config, &door)),
            news: watch::Sender::default(),
            door,
            calls,
            callers: BTreeMap::new(),
            sources: None,
            next: None,
            last_caller: SELF.0,
            swept: Boot::default(),
            exchanges: JoinSet::new(),
            with_issuer: 0,
            stopping: false,
        };
        for warning in &loaded.warnings {
            tracing::warn!("{warning}");
        }
        if !loaded.warnings.is_empty() {
            agent.driver.fault(Fault::ConfigUnknownKeys, true, now());
        }
        if damaged {
            agent.driver.fault(Fault::StoreSetAside, true, now());
        }
        Ok(agent)
    }

    /// A door to the driver, for programs that have the agent inside.
    #[must_use]
    pub fn calls(&self) -> Calls {
        self.door.clone()
    }

    /// Serves until `shutdown` ends, then stops in order.
    ///
    /// # Errors
    /// The system's timer fails.
    pub async fn run(self, shutdown: impl Future<Output = ()>) -> Result<(), RunError> {
        self.run_once(&mut pin!(shutdown)).await.map(drop)
    }

    /// Serves until `shutdown` ends, or another configuration is there, and stops in order.
    async fn run_once(
        mut self,
        shutdown: &mut Pin<&mut impl Future<Output = ()>>,
    ) -> Result<Option<Loaded>, RunError> {
        let (mut served, mut measured) = (JoinSet::new(), JoinSet::new());
        if let Some(sockets) = self.sockets.take() {
            served.spawn(sockets.serve(self.door.clone()));
        }
        if let Some(vitals) = self.vitals.take() {
            measured.spawn(vitals.run(Arc::clone(&self.signed_in)));
        }
        let mut kept = JoinSet::new();
        for file in self.token_files.drain(..) {
            kept.spawn(file.keep(self.token_news.subscribe()));
        }
        if let Some(published) = self.published.take() {
            kept.spawn(published.keep(self.news.subscribe()));
        }
        self.supervisor.ready();
        // A token that is on its way, or not yet on flash, would be lost by beginning anew.
        while self.next.is_none() || self.with_issuer > 0 || !self.driver.is_forgotten() {
            self.settle()?;
            tokio::select! {
                () = &mut *shutdown => {
                    self.next = None;
                    break;
                }
                happened = self.happened() => self.take(happened?),
            }
        }
        drop((measured, kept));
        let next = self.next.take();
        if next.is_some() {
            self.supervisor.reloading();
        } else {
            self.supervisor.stopping();
        }
        // Who begins anew needs the files; who ends does not wait for a slow card.
        let patience = if next.is_some() { FILES } else { PATIENCE };
        self.stop(patience).await?;
        // Answers that were given still have to reach whoever asked.
        let _ = timeout(PATIENCE, served.join_next()).await;
        Ok(next)
    }

    /// Reads the configuration anew. What is wrong with it goes to whoever asked.
    fn reload(&mut self) -> Answer {
        let Some(sources) = &self.sources else { return Answer::Refused };
        match config::load(sources) {
            Ok(loaded) => {
                self.next = Some(loaded);
                Answer::Done
            }
            Err(error) => {
                let problem = error.problems().first().map(ToString::to_string);
                let problem = problem.unwrap_or_default();
                self.stays_as_it_was(&problem);
                Answer::BadConfiguration(problem)
            }
        }
    }

    /// The new configuration is not taken.
    fn stays_as_it_was(&mut self, problem: &str) {
        tracing::error!(
            SIGNPOST_EVENT = "not-reloaded",
            "the configuration stays as it was: {problem}"
        );
        let detail = Some(format!("not taken: {problem}"));
        self.driver.fault_with(Fault::ConfigUnknownKeys, true, detail, now());
    }

    /// Waits for flash and issuer, but not for ever.
    async fn stop(mut self, patience: Duration) -> Result<(), RunError> {
        tracing::info!("stopping");
        self.stopping = true;
        self.driver.close(now());
        self.settle()?;
        let finish = async {
            while self.with_issuer > 0 || !self.driver.is_saved() {
                let happened = self.happened().await?;
                self.take(happened);
                self.settle()?;
            }
            Ok::<(), RunError>(())
        };
        match timeout(PATIENCE, finish).await {
            Ok(finished) => finished?,
            Err(_) => tracing::warn!("stopped with something unsaved: flash or issuer is too slow"),
        }
        self.panels.stop();
        // What flash is at now may take longer; the process does not wait for it.
        let _ = timeout(patience, self.storage.stop()).await;
        Ok(())
    }

    /// Waits for the next thing to happen.
    async fn happened(&mut self) -> Result<Happened, RunError> {
        Ok(tokio::select! {
            ended = self.timer.ended() => {
                ended?;
                Happened::TimeIsUp
            }
            Some(ended) = self.exchanges.join_next() => match ended {
                Ok((id, outcome)) => Happened::Completed(Complete::Http(id, outcome)),
                Err(error) => match error.try_into_panic() {
                    Ok(panic) => std::panic::resume_unwind(panic),
                    Err(_) => Happened::TimeIsUp,
                },
            },
            done = self.storage.done() => Happened::Completed(Complete::Storage(done)),
            Some(asked) = self.calls.recv(), if !self.stopping => Happened::Asked(asked),
            happened = self.panels.happened() => Happened::Board(happened),
            Some(()) = self.hangup.recv() => Happened::Hangup,
        })
    }

    fn take(&mut self, happened: Happened) {
        match happened {
            Happened::TimeIsUp => {}
            Happened::Completed(complete) => {
                if let Complete::Http(HttpId::Session(_), _) = complete {
                    self.with_issuer -= 1;
                }
                self.driver.complete(complete, now());
            }
            Happened::Asked(Asked { call: Call::Reload, answer }) => {
                // Gone in this very moment.
                let _ = answer.send(self.reload());
            }
            Happened::Asked(Asked { call, answer }) => {
                self.last_caller += 1;
                let caller = CallerId(self.last_caller);
                self.callers.insert(caller, answer);
                self.driver.complete(Complete::Call(caller, call), now());
            }
            Happened::Board(panels::Happened::Changed(cause)) => {
                let broken = cause.is_some();
                self.driver.fault_with(Fault::PanelFailed, broken, cause, now());
            }
            Happened::Board(panels::Happened::Pressed(press)) => {
                self.driver.complete(Complete::Pressed(press), now());
            }
            // What is wrong is in the journal.
            Happened::Hangup => drop(self.reload()),
        }
    }

    /// Does all that the driver wants, and sets the timer for what it will want.
    fn settle(&mut self) -> io::Result<()> {
        let boot = now().boot;
        if self.driver.wake().is_some_and(|(at, _)| at <= boot) {
            self.driver.timeout(now());
        }
        self.sweep(boot);
        let mut news = false;
        while let Some(submit) = self.driver.poll() {
            news |= matches!(submit, Submit::Screen(_) | Submit::Journal(_));
            self.serve(submit);
        }
        if news {
            self.news.send_replace(());
        }
        if news && self.supervisor.listens() {
            self.driver.complete(Complete::Call(SELF, Call::Status { private: false }), now());
            while let Some(submit) = self.driver.poll() {
                self.serve(submit);
            }
        }
        let wake = self.driver.wake().map(|(at, _)| at);
        let feed = self.supervisor.feed(boot);
        let now = now();
        let usable = Now { wall: self.driver.usable_wall(now), ..now };
        let quiet = self.panels.keep_quiet(usable);
        self.timer.set([wake, feed, quiet].into_iter().flatten().min())
    }

    fn serve(&mut self, submit: Submit) {
        match submit {
            // A new conversation would be cut off in the middle.
            Submit::Http(..) if self.stopping => {}
            Submit::Http(id, request) => {
                self.with_issuer += usize::from(matches!(id, HttpId::Session(_)));
                let exchange = self.http.exchange(request);
                self.exchanges.spawn(async move { (id, exchange.await) });
            }
            Submit::Storage(job) => self.storage.submit(job),
            Submit::MakeKey => match signing::make_device_key() {
                Some(key) => self.driver.complete(Complete::Key(key), now()),
                None => tracing::error!("the system gives no random numbers for a key"),
            },
            Submit::Runtime(carried) => {
                if let Err(error) = self.runtime.save(&carried) {
                    tracing::warn!("a restart would lose the code on show: {error}");
                }
            }
            Submit::Screen(screen) => self.panels.show(&screen),
            Submit::Journal(entry) => {
                journal::write(&entry);
                if let Entry::Session(event) = &entry {
                    self.tokens_changed(event);
                }
            }
            Submit::Answer(SELF, answer) => {
                if let Answer::Status(status) = answer {
                    self.supervisor.status(&status);
                }
            }
            Submit::Answer(caller, answer) => {
                if let Some(waiting) = self.callers.remove(&caller) {
                    // Gone in this very moment.
                    let _ = waiting.send(answer);
                }
            }
        }
    }

    /// Those who wait for a sign-in, or keep a token, hear of it.
    fn tokens_changed(&self, event: &Event) {
        if let Event::SignedIn { .. } = event {
            self.signed_in.notify_one();
        }
        let concerns_tokens = matches!(
            event,
            Event::SignedIn { .. }
                | Event::Refreshed { .. }
                | Event::Suspended { .. }
                | Event::Resumed
                | Event::SignedOut
        );
        if concerns_tokens {
            self.token_news.send_replace(());
        }
    }

    /// Tells the driver who no longer waits.
    fn sweep(&mut self, boot: Boot) {
        if self.callers.is_empty() || boot.since(self.swept) < SWEEP {
            return;
        }
        self.swept = boot;
        let gone: Vec<CallerId> = self
            .callers
            .iter()
            .filter(|(_, answer)| answer.is_closed())
            .map(|(caller, _)| *caller)
            .collect();
        for caller in gone {
            self.callers.remove(&caller);
            self.driver.complete(Complete::Gone(caller), now());
        }
    }
}

enum Happened {
    TimeIsUp,
    Completed(Complete),
    Asked(Asked),
    Board(panels::Happened),
    Hangup,
}

/// Both clocks, as they stand.
pub(crate) fn now() -> Now {
    Now { boot: Boot::new(clock::boot()), wall: Some(Wall::new(clock::wall())) }
}

/// What decides all jitter of one run.
pub(crate) fn seed() -> io::Result<u64> {
    let mut seed = [0; 8];
    keys::fill(&mut seed)?;
    Ok(u64::from_ne_bytes(seed))
}

/// The session that `loaded` asks for.
///
/// # Errors
/// A file that the configuration names cannot be read.
pub(crate) fn session_config(loaded: &Loaded) -> Result<SessionConfig, ConfigError> {
    Ok(SessionConfig {
        issuer: loaded.issuer()?,
        owner: loaded.config.owner.allow.clone(),
        renewals: RENEWALS,
        clock_floor: BUILD_DATE,
        verify: crate::signatures::verify,
    })
}

fn driver_config(loaded: &Loaded) -> Result<DriverConfig, RunError> {
    let config = &loaded.config;
    let support = &config.support;
    Ok(DriverConfig {
        session: session_config(loaded)?,
        delivery: delivery_config(loaded)?,
        boot_id: boot_id()?,
        start: panels::start_of(config),
        support: Support {
            name: support.name.as_ref().map(ToString::to_string),
            phone: support.phone.as_ref().map(ToString::to_string),
            url: support.url.as_ref().map(ToString::to_string),
        },
        show_account: config.device.show_account,
        power_cycles: panels::counts_power_cycles(config),
        purges_other_accounts: config.telemetry.other_account == OtherAccount::Purge,
        config_hash: loaded.hash(),
        endurance: None,
        commit: config.store.commit,
    })
}

fn delivery_config(loaded: &Loaded) -> Result<Option<DeliveryConfig>, ConfigError> {
    let telemetry = &loaded.config.telemetry;
    let Some(endpoint) = &telemetry.endpoint else { return Ok(None) };
    let resource = telemetry.resource.as_ref().map(ToString::to_string);
    let scopes: Vec<String> = telemetry.scopes.iter().map(ToString::to_string).collect();
    let headers = loaded.telemetry_headers()?;
    Ok(Some(DeliveryConfig {
        endpoint: endpoint.as_str().trim_end_matches('/').to_owned(),
        key: TokenKey::new(resource, &scopes),
        headers: headers.into_iter().map(|(name, value)| (name.into(), value)).collect(),
        unowned: match telemetry.unowned {
            Unowned::First => core::Unowned::WithFirst,
            Unowned::Device if loaded.config.issuer.own_name.is_some() => core::Unowned::InOwnName,
            Unowned::Device | Unowned::Hold => core::Unowned::Wait,
        },
    }))
}

/// `/proc/sys/kernel/random/boot_id` without its dashes.
fn boot_id() -> io::Result<[u8; 16]> {
    let text = fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
    let digits: String = text.chars().filter(char::is_ascii_hexdigit).collect();
    let id = u128::from_str_radix(&digits, 16).map_err(|_| io::ErrorKind::InvalidData)?;
    Ok(id.to_be_bytes())
}

/// Seconds since 1970, from digits; else the beginning of 2026.
const fn build_date(epoch: Option<&str>) -> u64 {
    let digits = match epoch {
        Some(text) => text.as_bytes(),
        None => b"1767225600",
    };
    let (mut seconds, mut index) = (0, 0);
    while index < digits.len() {
        assert!(digits[index].is_ascii_digit(), "SOURCE_DATE_EPOCH is seconds since 1970");
        seconds = seconds * 10 + (digits[index] - b'0') as u64;
        index += 1;
    }
    seconds
}

/// Why the agent does not run.
#[derive(Debug)]
pub enum RunError {
    /// A file that the configuration names.
    Config(ConfigError),
    /// Authorities or proxies.
    Http(HttpError),
    /// The key of the stores.
    Key(KeyError),
    /// The stores.
    Store(StoreTrouble),
    /// A socket.
    Socket(BindError),
    /// The system refuses something that every system gives.
    System(io::Error),
}

impl RunError {
    /// The exit code that says who has to act (design.md, section 4).
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Config(_) | Self::Http(_) => 78,
            Self::Key(error) => code_for(error.remedy()),
            Self::Store(trouble) => code_for(trouble.remedy()),
            // Whatever has the address may go away.
            Self::Socket(_) => 75,
            Self::System(_) => 70,
        }
    }
}

const fn code_for(remedy: Remedy) -> u8 {
    match remedy {
        Remedy::OneAgent => 69,
        Remedy::Rights => 77,
        Remedy::Configuration => 78,
        Remedy::Later => 75,
    }
}

impl fmt::Display for RunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Config(error) => error.fmt(f),
            Self::Http(error) => error.fmt(f),
            Self::Key(error) => error.fmt(f),
            Self::Store(error) => error.fmt(f),
            Self::Socket(error) => error.fmt(f),
            Self::System(error) => {
                write!(f, "the system does not give what the agent needs: {error}")
            }
        }
    }
}

impl std::error::Error for RunError {}

macro_rules! from {
    ($($variant:ident($error:ty)),*) => {$(
        impl From<$error> for RunError {
            fn from(error: $error) -> Self {
                Self::$variant(error)
            }
        }
    )*};
}

from!(
    Config(ConfigError),
    Http(HttpError),
    Key(KeyError),
    Store(StoreTrouble),
    Socket(BindError),
    System(io::Error)
);
