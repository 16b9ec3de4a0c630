//! Devices before the sandbox's identity provider, without sockets and in no time: the product's own
//! configuration, `Driver` and `Storage` on files, the provider as values.

use signpost::{
    config::{self, Loaded, ShowAccount, Sources},
    driver::{Driver, DriverConfig},
    ports::{Answer, Call, CallerId, Complete, Entry, HttpId, Submit},
    signatures, signing,
    storage::{Settings, Storage},
};
use signpost_core::{
    delivery::{DeliveryConfig, Unowned},
    fault::Fault,
    http::{Body, Cause, Outcome, Reply, Request},
    otlp::Signal,
    session::{Carried, Event, SessionConfig, TokenKey},
    time::{Boot, Now, Wall},
};
use signpost_hal::{
    flash::file::FileFlash,
    screen::{Screen, Start, Support},
};
use signpost_sandbox::{Ask, Client, Options, Provider, Vendor};
use signpost_store::OuterKeys;
use std::{
    cell::RefCell,
    collections::{BTreeMap, VecDeque},
    fs,
    rc::Rc,
    time::Duration,
};

/// When every test begins.
const EPOCH: u64 = 1_800_000_000;

/// Another API that the provider knows.
pub(crate) const DOWNSTREAM: &str = "https://downstream.example";

/// Where telemetry goes.
const BACKEND: &str = "https://telemetry.example";

/// The client's secret, where it has one.
const SECRET: &str = "not confidential";

/// A provider, and the one clock of everybody at it.
pub(crate) struct Place {
    provider: RefCell<Provider>,
    folder: tempfile::TempDir,
}

impl Place {
    /// Where `issuer` has the manners of `vendor`; its client has a secret if `secret`.
    pub(crate) fn of(vendor: Vendor, issuer: &str, secret: bool) -> Rc<Self> {
        let secret = secret.then(|| SECRET.to_owned());
        let client = Client { id: "signpost".into(), name: "Signpost".into(), secret };
        let resources = vec![DOWNSTREAM.to_owned()];
        let options = Options { clients: vec![client], resources, ..Options::of(vendor) };
        let provider = RefCell::new(Provider::new(options, issuer, EPOCH).unwrap());
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("secret"), SECRET).unwrap();
        Rc::new(Self { provider, folder })
    }

    /// Why these settings are refused.
    pub(crate) fn refused(&self, issuer: &str) -> Option<String> {
        let file = self.folder.path().join("refused.toml");
        let text = issuer.replace("SECRET", &format!("{:?}", self.folder.path().join("secret")));
        fs::write(&file, format!("[issuer]\n{text}\n")).unwrap();
        config::load(&Sources::file(&file)).err().map(|why| why.to_string().trim_end().to_owned())
    }

    pub(crate) fn provider(&self) -> std::cell::RefMut<'_, Provider> {
        self.provider.borrow_mut()
    }
}

/// One request that left a device.
pub(crate) struct Sent {
    pub(crate) at: Duration,
    /// `grant_type`, or the last part of the path.
    pub(crate) what: String,
}

/// A device.
pub(crate) struct Device {
    place: Rc<Place>,
    name: &'static str,
    loaded: Loaded,
    driver: Driver,
    storage: Storage<FileFlash>,
    runtime: Carried,
    pub(crate) now: Duration,
    pub(crate) screen: Option<Screen>,
    pub(crate) journal: Vec<Event>,
    pub(crate) sent: Vec<Sent>,
    /// Answers to requests of this kind do not arrive, so many times.
    lost: VecDeque<&'static str>,
    answer: Option<Answer>,
    /// Whose token each batch came with, as far as the backend took it.
    senders: Vec<Option<String>>,
}

impl Device {
    /// A new device whose `[issuer]` is as written; `SECRET` stands for the secret's file.
    pub(crate) fn new(place: &Rc<Place>, name: &'static str, issuer: &str) -> Self {
        let at = |file: &str| place.folder.path().join(file);
        let text = format!(
            "[issuer]\n{}\n[store]\ntokens = {{ path = \"/t\" }}\nspool = {{ path = \"/s\" }}\n",
            issuer.replace("SECRET", &format!("{:?}", at("secret")))
        );
        let file = at(&format!("{name}.toml"));
        fs::write(&file, text).unwrap();
        let loaded = config::load(&Sources::file(&file)).unwrap();
        assert_eq!(loaded.warnings, [], "what a profile needs is in the configuration");
        Self::start(Rc::clone(place), name, loaded, Carried::default(), Duration::ZERO)
    }

    fn start(
        place: Rc<Place>,
        name: &'static str,
        loaded: Loaded,
        runtime: Carried,
        now: Duration,
    ) -> Self {
        let flash = |store: &str| {
            let path = place.folder.path().join(format!("{name}.{store}"));
            FileFlash::open(&path, 256 << 10).unwrap()
        };
        let mut seed = now.as_secs() + name.len() as u64;
        let entropy = || -> signpost_store::Entropy {
            seed += 1;
            let mut rng = fastrand::Rng::with_seed(seed);
            Box::new(move |bytes| rng.fill(bytes))
        };
        let keys = OuterKeys::new([7; 32]);
        let opened =
            Storage::open(flash("tokens"), flash("spool"), &keys, entropy, Settings::default());
        let (storage, opened) = opened.map_err(|why| format!("{why:?}")).unwrap();
        let config = DriverConfig {
            session: SessionConfig {
                issuer: loaded.issuer().unwrap(),
                owner: loaded.config.owner.allow.clone(),
                renewals: 3,
                clock_floor: Wall::new(Duration::from_secs(EPOCH - 1)),
                verify: signatures::verify,
            },
            delivery: loaded.config.issuer.own_name.as_ref().map(|_| DeliveryConfig {
                endpoint: BACKEND.into(),
                key: TokenKey::default(),
                headers: Vec::new(),
                unowned: Unowned::InOwnName,
            }),
            boot_id: [0; 16],
            start: Start::Button,
            support: Support::default(),
            show_account: ShowAccount::Full,
            power_cycles: false,
            purges_other_accounts: false,
            config_hash: String::new(),
            endurance: None,
            commit: signpost::config::Commit::Each,
        };
        let driver = Driver::new(config, opened, runtime.clone(), 7, instant(now));
        let mut device = Self {
            place,
            name,
            loaded,
            driver,
            storage,
            runtime,
            now,
            screen: None,
            journal: Vec::new(),
            sent: Vec::new(),
            lost: VecDeque::new(),
            answer: None,
            senders: Vec::new(),
        };
        device.settle();
        device
    }

    /// The agent is killed and started again.
    pub(crate) fn restarted(self) -> Self {
        let Self { place, name, loaded, runtime, now, storage, .. } = self;
        drop(storage);
        Self::start(place, name, loaded, runtime, now)
    }

    /// Lets time pass.
    pub(crate) fn pass(&mut self, span: Duration) {
        let end = self.now + span;
        while let Some((wake, why)) = self.driver.wake() {
            let at = wake.since(Boot::default() + START);
            if at > end {
                break;
            }
            assert!(self.sent.len() < 100_000, "a storm: {why:?}");
            self.now = at.max(self.now);
            self.driver.timeout(instant(self.now));
            self.settle();
        }
        self.now = end;
        self.driver.timeout(instant(self.now));
        self.settle();
    }

    /// Lets time pass until it is so.
    #[track_caller]
    pub(crate) fn pass_until(&mut self, within: Duration, is_so: impl Fn(&Self) -> bool) {
        let end = self.now + within;
        while !is_so(self) {
            assert!(self.now < end, "still {:?} after {within:?}: {:?}", self.screen, self.journal);
            self.pass(Duration::from_secs(1));
        }
    }

    /// The answer to the next request of this kind is lost; the provider has acted.
    pub(crate) fn lose_answer(&mut self, kind: &'static str) {
        self.lost.push_back(kind);
    }

    pub(crate) fn code(&self) -> Option<String> {
        match &self.screen {
            Some(Screen::SignIn(sign_in)) => Some(sign_in.user_code.clone()),
            _ => None,
        }
    }

    pub(crate) fn is_online(&self) -> bool {
        matches!(self.screen, Some(Screen::Online | Screen::SignedIn { .. }))
    }

    /// Waits for a code and approves it as anna.
    #[track_caller]
    pub(crate) fn sign_in(&mut self) {
        self.pass_until(MINUTE, |device| device.code().is_some());
        let code = self.code().unwrap();
        self.place.provider().approve(&code, "anna", self.now).unwrap();
        self.pass_until(MINUTE, Self::is_online);
    }

    /// Somebody asks for a sign-in at the device.
    pub(crate) fn start_sign_in(&mut self) {
        self.call(Call::SignIn);
    }

    pub(crate) fn sign_out(&mut self) {
        self.call(Call::SignOut);
    }

    /// An access token, as local programs get it.
    pub(crate) fn token(&mut self) -> Option<String> {
        let call = Call::Token { key: TokenKey::default(), min_ttl: Duration::ZERO };
        match self.call(call) {
            Some(Answer::Token(access, _)) => Some(access.token.expose().to_owned()),
            _ => None,
        }
    }

    /// A token for the API `audience`, as local programs get it by an exchange; `Err`: the issuer
    /// refuses it.
    pub(crate) fn exchanged(&mut self, audience: &str) -> Result<Option<String>, ()> {
        let key = TokenKey::default().exchanged(audience.into());
        match self.call(Call::Token { key, min_ttl: Duration::ZERO }) {
            Some(Answer::Token(access, _)) => Ok(Some(access.token.expose().to_owned())),
            Some(Answer::Refused) => Err(()),
            _ => Ok(None),
        }
    }

    fn call(&mut self, call: Call) -> Option<Answer> {
        self.answer = None;
        let done = Complete::Call(CallerId(1), call);
        self.driver.complete(done, instant(self.now));
        self.settle();
        self.answer.take()
    }

    /// A program sends something.
    pub(crate) fn send_record(&mut self) {
        // A request with one empty log record in it.
        let body = vec![0x0a, 4, 0x12, 2, 0x12, 0];
        let answer =
            self.call(Call::Accept { signal: Signal::Logs, events: false, body, volatile: false });
        assert!(matches!(answer, Some(Answer::Done)), "{answer:?}");
    }

    /// How many batches arrived, by whose token they came with.
    pub(crate) fn delivered(&self) -> BTreeMap<String, usize> {
        let mut count = BTreeMap::new();
        for sender in self.senders.iter().flatten() {
            *count.entry(sender.clone()).or_default() += 1;
        }
        count
    }

    /// What the status says that a sign-out ends at the issuer.
    pub(crate) fn revocation(&mut self) -> &'static str {
        match self.call(Call::Status { private: true }) {
            Some(Answer::Status(status)) => status.grant.revocation,
            _ => "",
        }
    }

    pub(crate) fn has_fault(&mut self, fault: Fault) -> bool {
        match self.call(Call::Status { private: true }) {
            Some(Answer::Status(status)) => {
                status.faults.iter().any(|up| up.code == fault.row().code)
            }
            _ => false,
        }
    }

    pub(crate) fn count(&self, event: &Event) -> usize {
        self.journal.iter().filter(|it| *it == event).count()
    }

    /// When requests of this kind left.
    pub(crate) fn times(&self, what: &str) -> Vec<Duration> {
        self.sent.iter().filter(|sent| sent.what == what).map(|sent| sent.at).collect()
    }

    /// Serves all ports.
    fn settle(&mut self) {
        while let Some(submit) = self.driver.poll() {
            let done = match submit {
                Submit::Http(id, request) => Complete::Http(id, self.exchange(id, &request)),
                Submit::Storage(job) => Complete::Storage(self.storage.work(job)),
                Submit::MakeKey => Complete::Key(signing::make_device_key().unwrap()),
                Submit::Runtime(carried) => {
                    self.runtime = *carried;
                    continue;
                }
                Submit::Screen(screen) => {
                    self.screen = Some(screen);
                    continue;
                }
                Submit::Journal(Entry::Session(event)) => {
                    self.journal.push(event);
                    continue;
                }
                Submit::Journal(_) => continue,
                Submit::Answer(_, answer) => {
                    self.answer = Some(answer);
                    continue;
                }
            };
            self.driver.complete(done, instant(self.now));
        }
    }

    fn exchange(&mut self, id: HttpId, request: &Request) -> Outcome {
        let header = |name: &str| {
            let found = request.headers.iter().find(|(it, _)| it == name);
            found.map(|(_, value)| value.expose())
        };
        if let HttpId::Delivery(_) = id {
            let token = header("authorization").and_then(|it| it.strip_prefix("Bearer "));
            let sender = self.place.provider().sender(token.unwrap_or_default(), self.now);
            let status = if sender.is_some() { 200 } else { 401 };
            self.senders.push(sender);
            return Outcome::Reply(Reply { status, headers: Vec::new(), body: Vec::new() });
        }
        let form = match &request.body {
            Some(Body::Form(form)) => Some(form.expose()),
            Some(Body::Protobuf(_)) | None => None,
        };
        let (authorization, accept) = (header("authorization"), header("accept"));
        let ask = Ask { url: &request.url, authorization, accept, form };
        let what = kind(form, &request.url);
        let told = self.place.provider().answer(ask, self.now);
        let lost = self.lost.front().is_some_and(|kind| *kind == what);
        if lost {
            self.lost.pop_front();
        }
        self.sent.push(Sent { at: self.now, what });
        if lost {
            return Outcome::Lost(Cause::Timeout);
        }
        Outcome::Reply(Reply { status: told.status, headers: told.headers, body: told.body })
    }
}

/// What a request is for: `device_code`, `refresh_token`, or the last part of its path.
fn kind(form: Option<&str>, url: &str) -> String {
    let grant = form.and_then(|form| form.split('&').find_map(|it| it.strip_prefix("grant_type=")));
    let last = |text: &str, by: &str| text.rsplit(by).next().unwrap_or_default().to_owned();
    grant.map_or_else(|| last(url, "/"), |grant| last(grant, "%3A"))
}

pub(crate) const MINUTE: Duration = Duration::from_secs(60);
pub(crate) const HOUR: Duration = Duration::from_secs(3_600);
pub(crate) const DAY: Duration = Duration::from_secs(86_400);

/// The board has been on for so long: no fleet has just got its power back.
const START: Duration = Duration::from_secs(1_000);

fn instant(now: Duration) -> Now {
    let wall = Wall::new(Duration::from_secs(EPOCH) + now);
    Now { boot: Boot::new(START + now), wall: Some(wall) }
}
