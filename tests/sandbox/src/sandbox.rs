//! Starts and steers a sandbox from within a test.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::backend::{Backend, Received, Totals};
use crate::certificates::{Authority, Certificate, Tls, local_names};
use crate::clock::{Clock, Now};
use crate::fault::{Endpoint, Fault, FaultTable, Times};
use crate::issuer::device::{CodeError, PendingCode};
use crate::issuer::vendor::Vendor;
use crate::issuer::{Account, Client, Issuer, Rotation, Settings};
use crate::journal::{Journal, Violation};
use crate::wire::{Door, serve};

/// What a sandbox is started with.
#[derive(Clone, Debug)]
pub struct Options {
    /// Address of both servers; loopback unless devices elsewhere are to reach them.
    pub listen: IpAddr,
    /// Name or address in the URLs; `listen` if absent.
    pub host: Option<String>,
    /// Port of the identity provider; 0 for any free one.
    pub issuer_port: u16,
    /// Port of the telemetry backend; 0 for any free one.
    pub telemetry_port: u16,
    /// HTTPS with an authority of its own, or plain HTTP.
    pub tls: Option<Tls>,
    /// People who can approve; at least one.
    pub accounts: Vec<Account>,
    /// Applications that may ask.
    pub clients: Vec<Client>,
    /// Seconds between polls; `None` leaves it out of the reply, and five seconds hold.
    pub interval: Option<Duration>,
    /// How long a user code works.
    pub code_lifetime: Duration,
    /// How long an access token works, in whole seconds.
    pub access_lifetime: Duration,
    /// How long a grant lasts from its sign-in, or without end.
    pub refresh_lifetime: Option<Duration>,
    /// What becomes of refresh tokens once used.
    pub rotation: Rotation,
    /// Whose manners the identity provider has.
    pub vendor: Vendor,
    /// Audiences that tokens can be had for, beside the telemetry backend.
    pub resources: Vec<String>,
    /// Scope that the telemetry backend asks for.
    pub telemetry_scope: Option<String>,
    /// About how many bytes of telemetry are kept.
    pub memory: usize,
}

impl Default for Options {
    fn default() -> Self {
        let account = |subject: &str, name: &str, tenant: &str, domain: &str| Account {
            subject: subject.to_owned(),
            name: name.to_owned(),
            email: format!("{subject}@{domain}"),
            tenant: tenant.to_owned(),
        };
        Self {
            listen: IpAddr::V4(Ipv4Addr::LOCALHOST),
            host: None,
            issuer_port: 0,
            telemetry_port: 0,
            tls: None,
            accounts: vec![
                account("anna", "Anna Berg", "Bergwald Nurseries", "bergwald.example"),
                account("ben", "Ben Okoro", "Harbour Lab", "harbourlab.example"),
            ],
            clients: vec![Client {
                id: "signpost".to_owned(),
                name: "Signpost device".to_owned(),
                secret: None,
            }],
            interval: Some(Duration::from_secs(5)),
            code_lifetime: Duration::from_secs(600),
            access_lifetime: Duration::from_secs(3600),
            refresh_lifetime: None,
            rotation: Rotation::Strict,
            vendor: Vendor::Generic,
            resources: Vec::new(),
            telemetry_scope: Some("telemetry.write".to_owned()),
            memory: 64 << 20,
        }
    }
}

impl Options {
    /// As this vendor has it, as far as it differs from vendor to vendor.
    pub fn of(vendor: Vendor) -> Self {
        let (rotation, code_lifetime) = (vendor.rotation(), vendor.code_lifetime());
        Self { vendor, rotation, code_lifetime, ..Self::default() }
    }
}

/// One of the two servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Service {
    /// The identity provider.
    Issuer,
    /// The telemetry backend.
    Telemetry,
}

/// Everything that requests change.
pub(crate) struct State {
    pub(crate) issuer: Issuer,
    pub(crate) backend: Backend,
    pub(crate) faults: FaultTable,
    pub(crate) journal: Journal,
}

/// What both servers, the pages and the handle share.
pub(crate) struct World {
    clock: Clock,
    state: Mutex<State>,
    changed: watch::Sender<u64>,
    issuer_url: String,
    telemetry_url: String,
    telemetry_scope: Option<String>,
    authority: Option<Authority>,
    issuer: Switch,
    telemetry: Switch,
}

/// A server from outside: what it is told, and whether it listens.
struct Switch {
    door: watch::Sender<Door>,
    listening: watch::Receiver<bool>,
}

/// For a server to take its port again; other programs may hold it.
const PATIENCE: Duration = Duration::from_secs(10);

impl World {
    /// Changes the state, and tells everybody who waits for a change.
    pub(crate) fn with<R>(&self, change: impl FnOnce(&mut State, Now) -> R) -> R {
        let result = {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            // Inside the lock: the state sees instants in their order.
            change(&mut state, self.clock.now())
        };
        self.changed.send_modify(|version| *version += 1);
        result
    }

    /// Reads the state.
    pub(crate) fn look<R>(&self, read: impl FnOnce(&State, Now) -> R) -> R {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        read(&state, self.clock.now())
    }

    pub(crate) fn now(&self) -> Now {
        self.clock.now()
    }

    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    pub(crate) fn issuer_url(&self) -> &str {
        &self.issuer_url
    }

    pub(crate) fn telemetry_url(&self) -> &str {
        &self.telemetry_url
    }

    pub(crate) fn telemetry_scope(&self) -> Option<&str> {
        self.telemetry_scope.as_deref()
    }

    pub(crate) fn advance(&self, by: Duration) {
        self.clock.advance(by);
        self.with(|_, _| ());
    }

    pub(crate) async fn set_open(&self, service: Service, open: bool) -> io::Result<()> {
        let switch = self.switch(service);
        switch.door.send_modify(|door| door.open = open);
        let mut listening = switch.listening.clone();
        let done = listening.wait_for(|listening| *listening == open);
        match tokio::time::timeout(PATIENCE, done).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(io::ErrorKind::AddrInUse.into()),
        }
    }

    pub(crate) fn set_certificate(&self, certificate: Certificate) -> io::Result<()> {
        let Some(authority) = &self.authority else {
            return Err(io::Error::other("this sandbox speaks plain HTTP"));
        };
        let config = authority.server_config(certificate)?;
        for switch in [&self.issuer, &self.telemetry] {
            switch.door.send_modify(|door| door.tls = Some(config.clone()));
        }
        Ok(())
    }

    fn switch(&self, service: Service) -> &Switch {
        match service {
            Service::Issuer => &self.issuer,
            Service::Telemetry => &self.telemetry,
        }
    }
}

/// An identity provider and a telemetry backend on sockets of their own. Both end when this is
/// dropped.
///
/// They run on the tokio runtime that started them: a test on a current-thread runtime must not
/// block while it waits for an answer.
pub struct Sandbox {
    world: Arc<World>,
    servers: [JoinHandle<()>; 2],
}

impl Sandbox {
    /// Binds both servers and begins to serve. Fails if a port is taken, if a kept certificate
    /// authority cannot be read, or if the system gives no random numbers.
    pub async fn start(options: Options) -> io::Result<Self> {
        let issuer_at = TcpListener::bind((options.listen, options.issuer_port)).await?;
        let telemetry_at = TcpListener::bind((options.listen, options.telemetry_port)).await?;
        let (issuer_address, telemetry_address) =
            (issuer_at.local_addr()?, telemetry_at.local_addr()?);
        let issuer_url = url(&options, issuer_address);
        let telemetry_url = url(&options, telemetry_address);
        let names = local_names(options.listen, options.host.as_deref());
        let authority = options.tls.as_ref().map(|tls| Authority::open(tls, names)).transpose()?;
        let tls = authority
            .as_ref()
            .map(|authority| authority.server_config(Certificate::Good))
            .transpose()?;
        let (memory, telemetry_scope) = (options.memory, options.telemetry_scope.clone());
        let settings = Settings::new(options, issuer_url.clone(), telemetry_url.clone());
        let (issuer_door, issuer_told) = watch::channel(Door { open: true, tls: tls.clone() });
        let (telemetry_door, telemetry_told) = watch::channel(Door { open: true, tls });
        let (issuer_tells, issuer_listening) = watch::channel(true);
        let (telemetry_tells, telemetry_listening) = watch::channel(true);
        let world = Arc::new(World {
            clock: Clock::start(),
            state: Mutex::new(State {
                issuer: Issuer::new(settings)?,
                backend: Backend::new(memory),
                faults: FaultTable::default(),
                journal: Journal::default(),
            }),
            changed: watch::channel(0).0,
            issuer_url,
            telemetry_url,
            telemetry_scope,
            authority,
            issuer: Switch { door: issuer_door, listening: issuer_listening },
            telemetry: Switch { door: telemetry_door, listening: telemetry_listening },
        });
        let issuer = serve(
            Some(issuer_at),
            issuer_address,
            crate::issuer::routes::router(world.clone()),
            issuer_told,
            issuer_tells,
        );
        let telemetry = serve(
            Some(telemetry_at),
            telemetry_address,
            crate::backend::routes::router(world.clone()),
            telemetry_told,
            telemetry_tells,
        );
        let servers = [tokio::spawn(issuer), tokio::spawn(telemetry)];
        Ok(Self { world, servers })
    }

    /// The issuer identifier, without a slash at its end.
    pub fn issuer_url(&self) -> &str {
        self.world.issuer_url()
    }

    /// Base address of OTLP/HTTP, without a slash at its end; also the live page, and the audience
    /// of tokens that were asked for without a resource.
    pub fn telemetry_url(&self) -> &str {
        self.world.telemetry_url()
    }

    /// The certificate authority that clients must trust, if this sandbox speaks TLS.
    pub fn ca_pem(&self) -> Option<&str> {
        self.world.authority.as_ref().map(Authority::pem)
    }

    /// Sign-ins that wait for a person, in no order.
    pub fn pending_codes(&self) -> Vec<PendingCode> {
        self.world.look(|state, now| state.issuer.pending_codes(now))
    }

    /// Approves as the account with this subject (`anna`, `ben`).
    pub fn approve(&self, user_code: &str, subject: &str) -> Result<(), CodeError> {
        self.world.with(|state, now| state.issuer.approve(user_code, subject, now))
    }

    /// Says no.
    pub fn deny(&self, user_code: &str) -> Result<(), CodeError> {
        self.world.with(|state, now| state.issuer.deny(user_code, now))
    }

    /// Adds a fault behind those that wait already at this endpoint.
    pub fn set_fault(&self, endpoint: Endpoint, fault: Fault, times: impl Into<Times>) {
        let times = times.into();
        self.world.with(|state, _| state.faults.set(endpoint, fault, times));
    }

    /// Removes the faults of one endpoint, or all.
    pub fn clear_faults(&self, endpoint: impl Into<Option<Endpoint>>) {
        let endpoint = endpoint.into();
        self.world.with(|state, _| state.faults.clear(endpoint));
    }

    /// Ends every grant of a person, with all tokens; says how many there were.
    pub fn revoke_grants(&self, subject: &str) -> usize {
        self.world.with(|state, _| state.issuer.revoke_grants(subject))
    }

    /// Makes a person's access tokens worthless from now on; a refresh gives a good one.
    pub fn revoke_access_tokens(&self, subject: &str) {
        self.world.with(|state, _| state.issuer.revoke_access_tokens(subject));
    }

    /// How many grants of a person are alive.
    pub fn grant_count(&self, subject: &str) -> usize {
        self.world.look(|state, _| state.issuer.grant_count(subject))
    }

    /// Disables an account or enables it again: while disabled, refresh answers `invalid_grant`.
    pub fn set_account_enabled(&self, subject: &str, enabled: bool) {
        self.world.with(|state, _| state.issuer.set_enabled(subject, enabled));
    }

    /// Signs with a new key from now on; the older keys stay in the key set.
    pub fn rotate_keys(&self) -> io::Result<()> {
        self.world.with(|state, _| state.issuer.rotate_keys())
    }

    /// Puts the sandbox's clock forward: codes, tokens and grants age by so much.
    pub fn advance(&self, by: Duration) {
        self.world.advance(by);
    }

    /// `false`: connections are refused and existing ones cut, until `true`. Holds once this
    /// returns; fails if somebody else took the port meanwhile.
    pub async fn set_open(&self, service: Service, open: bool) -> io::Result<()> {
        self.world.set_open(service, open).await
    }

    /// What both servers show in TLS handshakes; connections made with another certificate end
    /// after the request that they are at. Fails if this sandbox speaks plain HTTP.
    pub fn set_certificate(&self, certificate: Certificate) -> io::Result<()> {
        self.world.set_certificate(certificate)
    }

    /// Accepted telemetry in the order of its arrival, as far as it is kept.
    pub fn received(&self) -> Vec<Arc<Received>> {
        self.world.look(|state, _| state.backend.received())
    }

    /// Sums of accepted telemetry.
    pub fn totals(&self) -> Totals {
        self.world.look(|state, _| state.backend.totals())
    }

    /// What a well-behaved client would not have done, in the order in which it happened.
    pub fn violations(&self) -> Vec<Violation> {
        self.world.look(|state, _| state.journal.violations())
    }

    /// How many requests an endpoint has seen, faults included.
    pub fn count(&self, endpoint: Endpoint) -> u64 {
        self.world.look(|state, _| state.journal.count(endpoint))
    }

    /// When they arrived, since the sandbox started; the newest ten thousand.
    pub fn arrivals(&self, endpoint: Endpoint) -> Vec<Duration> {
        self.world.look(|state, _| state.journal.arrivals(endpoint))
    }

    /// Waits until a condition holds, at most so long; says whether it does.
    pub async fn wait_until(&self, limit: Duration, holds: impl Fn(&Self) -> bool) -> bool {
        let mut changes = self.world.changes();
        let wait = async {
            while !holds(self) {
                if changes.changed().await.is_err() {
                    return;
                }
            }
        };
        tokio::time::timeout(limit, wait).await.is_ok() || holds(self)
    }
}

impl Sandbox {
    /// Ends both servers and gives their ports back before it returns; dropping does so a moment
    /// later.
    pub async fn stop(mut self) {
        for server in &mut self.servers {
            server.abort();
            // Cancelled, which is what was asked for.
            let _ = server.await;
        }
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        for server in &self.servers {
            server.abort();
        }
    }
}

fn url(options: &Options, address: SocketAddr) -> String {
    let scheme = if options.tls.is_some() { "https" } else { "http" };
    match &options.host {
        Some(host) => format!("{scheme}://{host}:{}", address.port()),
        None => format!("{scheme}://{address}"),
    }
}
