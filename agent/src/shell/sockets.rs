//! The sockets of this device's own programs and people: control, tokens, telemetry, metrics.
//!
//! HTTP/1.1 over Unix sockets and loopback addresses. Who may come in is decided before a byte is
//! read; how many, how much and how long is bounded by [`Limits`], so that a client that is slow,
//! silent or hostile harms nobody but itself (design invariant 9). What is asked goes through
//! [`Calls`]; nothing is decided here.

mod inherited;
mod listener;
mod peer;
mod reply;
mod seats;
mod server;

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::header::HOST;
use hyper::{Request, StatusCode};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use super::calls::Calls;
use super::keys::Sealed;
use super::{broker, control, intake};
use crate::config::{Config, Listen};
use crate::ports::{Answer, Call};

pub use inherited::Inherited;
pub use listener::BindError;
pub(super) use reply::{Reply, Unavailable, error, json, no_such_path, text, wrong_method};

use broker::Rules;
use listener::Listener;
pub(super) use peer::Peer;
use server::{Admission, Door, Visit};

/// What a client may take.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Connections to one socket. Beyond it the one that has been idle longest is closed.
    pub connections: usize,
    /// From a connection's start, or its last answer, to the end of a request's header.
    pub header: Duration,
    /// For a request's body.
    pub body: Duration,
    /// For the agent's answer; after it the client is told to come again.
    pub answer: Duration,
    /// For a whole connection.
    pub connection: Duration,
    /// For answers under way when the agent stops.
    pub stop: Duration,
    /// Bytes of a body as it comes.
    pub received: usize,
    /// Bytes of a body when decompressed: what the spool takes as one record.
    pub inflated: usize,
    /// Bytes of all bodies that are being taken in at one time.
    pub memory: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 64,
            // Longer than the minute after which many programs export their metrics again.
            header: Duration::from_secs(75),
            body: Duration::from_secs(30),
            answer: Duration::from_secs(60),
            connection: Duration::from_secs(3_600),
            stop: Duration::from_secs(2),
            received: 4 << 20,
            inflated: (4 << 20) - 1024,
            memory: 8 << 20,
        }
    }
}

/// What a socket is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Purpose {
    Control,
    Tokens,
    Intake,
    Metrics,
}

/// All sockets of the configuration, bound and not yet served.
#[derive(Debug)]
pub struct Sockets {
    doors: Vec<Door>,
    limits: Limits,
    sealed: Option<Sealed>,
}

impl Sockets {
    /// Binds every socket that `config` names. Files of a dead agent are replaced.
    ///
    /// # Errors
    /// The first one that cannot be bound.
    pub fn bind(config: &Config) -> Result<Self, BindError> {
        Self::bind_within(config, Limits::default(), &Inherited::default())
    }

    /// As [`Sockets::bind`], with other limits, and with those that are open already.
    ///
    /// # Errors
    /// The first one that cannot be bound.
    pub fn bind_within(
        config: &Config,
        limits: Limits,
        inherited: &Inherited,
    ) -> Result<Self, BindError> {
        let unix = |key: &'static str, path: &Path, mode| match inherited.unix(path) {
            Ok(Some(listener)) => Listener::adopt_unix(key, path, listener, mode),
            Ok(None) | Err(_) => Listener::unix(key, path, mode),
        };
        let listen = |key: &'static str, place: &Listen| match place {
            Listen::Unix(path) => unix(key, path.as_path(), 0o660),
            Listen::Tcp(address) => match inherited.tcp(*address) {
                Ok(Some(listener)) => Listener::adopt_tcp(key, *address, listener),
                Ok(None) | Err(_) => Listener::tcp(key, *address),
            },
        };
        let control = unix("control.socket", config.control.socket.as_path(), 0o600)?;
        for name in Rules::of_strangers(&config.broker) {
            tracing::warn!(
                "broker.allow.{name}: there is no such user or group in /etc; make it, then \
                 restart the agent, or name a uid"
            );
        }
        // Where there are rules they decide, by what the kernel says of each caller.
        let (mode, admission) = match config.broker.allow.is_empty() {
            true => (0o600, Admission::Owner),
            false => (0o666, Admission::Ruled(Arc::new(Rules::of(&config.broker)))),
        };
        let tokens = unix("broker.socket", config.broker.socket.as_path(), mode)?;
        let mut doors = vec![
            Door { listener: control, purpose: Purpose::Control, admission: Admission::Owner },
            Door { listener: tokens, purpose: Purpose::Tokens, admission },
        ];
        for place in &config.telemetry.listen {
            let listener = listen("telemetry.listen", place)?;
            doors.push(Door { listener, purpose: Purpose::Intake, admission: Admission::Anyone });
        }
        if let Some(place) = &config.metrics.listen {
            let listener = listen("metrics.listen", place)?;
            doors.push(Door { listener, purpose: Purpose::Metrics, admission: Admission::Anyone });
        }
        Ok(Self { doors, limits, sealed: None })
    }

    /// Has `signpost check` told what seals the stores.
    #[must_use]
    pub(super) fn sealed(mut self, sealed: Sealed) -> Self {
        self.sealed = Some(sealed);
        self
    }

    /// The loopback addresses at which telemetry is taken in.
    pub fn intake_addresses(&self) -> Vec<SocketAddr> {
        let intake = self.doors.iter().filter(|door| door.purpose == Purpose::Intake);
        intake.filter_map(|door| door.listener.address()).collect()
    }

    /// Serves until the inner side of `calls` is closed; then finishes the answers under way.
    /// Dropping the future ends all connections at once.
    pub async fn serve(self, calls: Calls) {
        let (stop, stopping) = watch::channel(());
        let memory = Arc::new(Semaphore::new(self.limits.memory));
        let (limits, sealed) = (self.limits, self.sealed);
        let desk = Arc::new(Desk { calls: calls.clone(), limits, memory, sealed });
        let mut doors = JoinSet::new();
        for door in self.doors {
            doors.spawn(door.serve(Arc::clone(&desk), stopping.clone()));
        }
        calls.closed().await;
        drop(stop);
        while doors.join_next().await.is_some() {}
    }
}

/// What a client may ask for.
pub(super) enum Rights {
    /// Whatever its socket is for.
    Full,
    /// Tokens within the rules that speak of it.
    Ruled(Arc<Rules>, Peer),
}

/// What every request is answered with.
pub(super) struct Desk {
    calls: Calls,
    /// What clients may take.
    pub(super) limits: Limits,
    /// Bytes left for bodies.
    pub(super) memory: Arc<Semaphore>,
    /// What seals the stores, for who asks how things stand.
    pub(super) sealed: Option<Sealed>,
}

impl Desk {
    /// The driver's answer; [`Answer::TryLater`] where it gives none in time.
    pub(super) async fn ask(&self, call: Call) -> Answer {
        match tokio::time::timeout(self.limits.answer, self.calls.ask(call)).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) | Err(_) => Answer::TryLater(Duration::from_secs(1)),
        }
    }
}

async fn answer(visit: &Visit, request: Request<Incoming>, desk: &Arc<Desk>) -> Reply {
    if visit.by_address && !is_for_this_machine(&request) {
        return error(
            StatusCode::FORBIDDEN,
            "wrong_host",
            "Only 127.0.0.1, [::1] and localhost are names of this socket.",
        );
    }
    let rights = &visit.rights;
    match visit.purpose {
        Purpose::Control => control::answer(&request, desk).await,
        Purpose::Tokens => broker::answer(request, rights, desk).await,
        Purpose::Intake => intake::answer(request, desk).await,
        Purpose::Metrics => control::answer_metrics(&request, desk).await,
    }
}

/// A page in a browser can have its own name point at this machine, and is of one origin with the
/// socket then; the name gives it away. Programs use the address, or the one name that is nobody
/// else's (RFC 6761, section 6.3).
fn is_for_this_machine(request: &Request<Incoming>) -> bool {
    let named = request.uri().authority().map(|authority| authority.host().to_owned());
    let host = named.or_else(|| {
        let host = String::from_utf8_lossy(request.headers().get(HOST)?.as_bytes()).into_owned();
        let port = host.rfind(':').filter(|at| !host[*at..].contains(']'));
        Some(host[..port.unwrap_or(host.len())].to_owned())
    });
    host.is_none_or(|host| {
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        bare.is_empty()
            || bare.parse::<IpAddr>().is_ok()
            || bare.trim_end_matches('.').eq_ignore_ascii_case("localhost")
    })
}
