//! One cell of the table for each fault, on real sockets: the agent itself, over TLS to the sandbox,
//! which records every request that came too early. Spans are short by configuration, but for the
//! agent's own limit of an exchange, 30 s.

use super::{binary, device::Device};
use signpost::{
    ports::{Answer, Call},
    shell::{calls::Calls, run::Agent},
    status::Status,
};
use signpost_core::{fault::Fault as CoreFault, session::TokenKey};
use signpost_sandbox::{
    Certificate, Endpoint, Fault, Options, RetryAfter, Sandbox, Service, Times, Tls,
};
use std::{
    fmt,
    time::{Duration, Instant},
};
use tokio::{
    sync::oneshot,
    task::{JoinHandle, JoinSet},
    time::{interval, timeout},
};

/// What a server asks for with `Retry-After`: more than any first wait of the agent.
const ASKED: u32 = 6;

/// Longest life of a cell: an exchange that hangs, and the longest wait after two failures.
pub(super) const LIMIT: Duration = Duration::from_secs(90);

/// How often it is looked.
pub(super) const LOOK: Duration = Duration::from_millis(20);

/// Where a row has its cell, and what is wrong there.
#[derive(Clone, Debug)]
struct Cell {
    fault: &'static str,
    place: Place,
    trouble: Trouble,
    /// How many requests meet it.
    hits: u64,
}

/// The endpoints that have a column in the table of the simulated world.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Discovery,
    Code,
    Poll,
    Refresh,
    Keys,
    Revocation,
}

impl Place {
    const fn endpoint(self) -> Endpoint {
        match self {
            Self::Discovery => Endpoint::Discovery,
            Self::Code => Endpoint::DeviceAuthorization,
            Self::Poll => Endpoint::TokenPoll,
            Self::Refresh => Endpoint::TokenRefresh,
            Self::Keys => Endpoint::Jwks,
            Self::Revocation => Endpoint::Revocation,
        }
    }
}

#[derive(Clone, Debug)]
enum Trouble {
    At(Fault),
    /// Connections are refused.
    Closed,
    /// The certificate is by somebody else.
    Stranger,
    /// The issuer's name has no address.
    Nameless,
}

fn cells() -> Vec<Cell> {
    use Place::{Code, Discovery, Keys, Poll, Refresh, Revocation};
    let status = |status, asked| Fault::Status { status, retry_after: Some(asked) };
    let (seconds, date) = (RetryAfter::Seconds(ASKED), RetryAfter::Date(ASKED));
    let at = |fault, place, wrong| Cell { fault, place, trouble: Trouble::At(wrong), hits: 2 };
    // One exchange of these takes all the time that it may.
    let long = |fault, place, wrong| Cell { hits: 1, ..at(fault, place, wrong) };
    let other = |fault, place, trouble| Cell { fault, place, trouble, hits: 1 };
    vec![
        at("500", Discovery, Fault::status(500)),
        at("502", Code, Fault::status(502)),
        at("503 Retry-After", Poll, status(503, seconds)),
        at("429 in seconds", Refresh, status(429, seconds)),
        at("429 with a date", Keys, status(429, date)),
        at("408", Revocation, Fault::status(408)),
        at("garbage JSON", Discovery, Fault::Garbage { status: 200 }),
        at("HTML 200", Code, Fault::Html { status: 200 }),
        at("HTML 500", Poll, Fault::Html { status: 500 }),
        at("empty 400", Refresh, Fault::Empty { status: 400 }),
        at("reset", Keys, Fault::Reset { processed: false }),
        at("reset, processed", Revocation, Fault::Reset { processed: true }),
        long("hang", Discovery, Fault::Hang { processed: false }),
        long("slow body", Code, Fault::Slow { pause_ms: 1_000 }),
        at("oversized body", Revocation, Fault::Oversized { bytes: 1 << 20 }),
        other("refused", Refresh, Trouble::Closed),
        other("DNS failure", Discovery, Trouble::Nameless),
        other("wrong certificate", Poll, Trouble::Stranger),
    ]
}

/// What a cell saw.
pub(super) struct Lived {
    /// Requests that met the fault, as far as the server can know.
    pub(super) met: u64,
    /// From the end of the fault to success.
    pub(super) waited: Duration,
}

impl fmt::Display for Lived {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>8} {:>10.1}", self.met, self.waited.as_secs_f64())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_real_sockets_every_fault_goes_without_a_trace_and_nothing_comes_too_early() {
    let mut living = JoinSet::new();
    for (row, cell) in cells().into_iter().enumerate() {
        living.spawn(async move {
            let lived = timeout(LIMIT, live(&cell)).await;
            let lived = lived.unwrap_or_else(|_| Err(format!("not over after {LIMIT:?}")));
            (row, cell, lived)
        });
    }
    let mut table = Vec::new();
    while let Some(ended) = living.join_next().await {
        table.push(ended.unwrap());
    }
    table.sort_by_key(|(row, ..)| *row);
    println!("{:<18} {:<20} {:>8} {:>10}", "on real sockets", "endpoint", "requests", "s to go");
    let mut failures = Vec::new();
    for (_, Cell { fault, place, .. }, lived) in table {
        let endpoint = format!("{place:?}");
        match lived {
            Ok(lived) => println!("{fault:<18} {endpoint:<20} {lived}"),
            Err(why) => {
                println!("{fault:<18} {endpoint:<20} {why}");
                failures.push(format!("{fault} at {endpoint}: {why}"));
            }
        }
    }
    println!("{:<18} a board in a virtual machine: tests/run vm-clock", "clock in 1970");
    assert_eq!(failures, Vec::<String>::new());
}

async fn live(cell: &Cell) -> Result<Lived, String> {
    let is_named = matches!(cell.trouble, Trouble::Nameless);
    let lifetime = if cell.place == Place::Refresh { 4 } else { 3_600 };
    let sandbox = Sandbox::start(Options {
        interval: Some(Duration::from_secs(1)),
        access_lifetime: Duration::from_secs(lifetime),
        tls: Some(Tls::Ephemeral),
        host: is_named.then(|| binary::NAME.to_owned()),
        ..Options::default()
    });
    let sandbox = sandbox.await.map_err(|error| error.to_string())?;
    let device = Device::new(sandbox.issuer_url(), sandbox.ca_pem().unwrap_or_default());
    let lived = match is_named {
        true => binary::outlives_a_missing_name(&sandbox, &device).await?,
        false => outlives(cell, &sandbox, &device).await?,
    };
    match sandbox.violations() {
        none if none.is_empty() => Ok(lived),
        violations => Err(format!("{violations:?}")),
    }
}

async fn outlives(cell: &Cell, sandbox: &Sandbox, device: &Device) -> Result<Lived, String> {
    let endpoint = cell.place.endpoint();
    if matches!(cell.place, Place::Discovery | Place::Code | Place::Keys) {
        cell.begin(sandbox).await?;
    }
    let agent = Running::start(device);
    let mut before = 0;
    match cell.place {
        Place::Discovery | Place::Code | Place::Keys => {}
        Place::Poll => {
            let code = agent.code().await;
            before = sandbox.count(endpoint);
            cell.begin(sandbox).await?;
            sandbox.approve(&code, "anna").map_err(|error| format!("{error:?}"))?;
        }
        Place::Refresh | Place::Revocation => {
            sign_in(sandbox, &agent).await?;
            before = sandbox.count(endpoint);
            cell.begin(sandbox).await?;
        }
    }
    let old = agent.token().await;
    if cell.place == Place::Revocation {
        agent.calls.ask(Call::SignOut).await.map_err(|busy| format!("{busy:?}"))?;
    }
    match cell.trouble {
        Trouble::At(_) => {
            let met = |sandbox: &Sandbox| sandbox.count(endpoint) >= before + cell.hits;
            if !sandbox.wait_until(LIMIT, met).await {
                return Err("nobody came".into());
            }
        }
        // What does not come about is seen at the device only.
        Trouble::Closed | Trouble::Stranger | Trouble::Nameless => {
            let pending = CoreFault::RevocationPending.row().code;
            agent.becomes(|status| status.faults.iter().any(|fault| fault.code != pending)).await;
        }
    }
    let met = sandbox.count(endpoint) - before;
    cell.end(sandbox).await?;
    let ended = Instant::now();
    let waited = match cell.place {
        Place::Revocation => {
            agent.becomes(|status| status.faults.is_empty()).await;
            let waited = ended.elapsed();
            if sandbox.grant_count("anna") > 0 {
                return Err("the issuer was not told".into());
            }
            waited
        }
        Place::Refresh => {
            let mut looks = interval(LOOK);
            while agent.token().await.is_none_or(|token| Some(token) == old) {
                looks.tick().await;
            }
            ended.elapsed()
        }
        Place::Poll => {
            agent.becomes(|status| status.grant.status == "held").await;
            ended.elapsed()
        }
        Place::Discovery | Place::Code => {
            agent.code().await;
            let waited = ended.elapsed();
            sign_in(sandbox, &agent).await?;
            waited
        }
        Place::Keys => {
            sign_in(sandbox, &agent).await?;
            if !sandbox.wait_until(LIMIT, |sandbox| sandbox.count(endpoint) > met).await {
                return Err("somebody signed in, and it was not looked who".into());
            }
            ended.elapsed()
        }
    };
    if cell.place != Place::Revocation {
        agent.becomes(|status| status.state == "online" && status.faults.is_empty()).await;
    }
    agent.stop().await?;
    Ok(Lived { met, waited })
}

impl Cell {
    async fn begin(&self, sandbox: &Sandbox) -> Result<(), String> {
        let done = match &self.trouble {
            Trouble::At(fault) => {
                sandbox.set_fault(self.place.endpoint(), fault.clone(), Times::Always);
                Ok(())
            }
            Trouble::Closed => sandbox.set_open(Service::Issuer, false).await,
            Trouble::Stranger => sandbox.set_certificate(Certificate::UnknownCa),
            Trouble::Nameless => Ok(()),
        };
        done.map_err(|error| error.to_string())
    }

    async fn end(&self, sandbox: &Sandbox) -> Result<(), String> {
        sandbox.clear_faults(self.place.endpoint());
        let done = match &self.trouble {
            Trouble::At(_) | Trouble::Nameless => Ok(()),
            Trouble::Closed => sandbox.set_open(Service::Issuer, true).await,
            Trouble::Stranger => sandbox.set_certificate(Certificate::Good),
        };
        done.map_err(|error| error.to_string())
    }
}

async fn sign_in(sandbox: &Sandbox, agent: &Running) -> Result<(), String> {
    let code = agent.code().await;
    sandbox.approve(&code, "anna").map_err(|error| format!("{error:?}"))?;
    agent.becomes(|status| status.state == "online").await;
    Ok(())
}

/// An agent that runs.
struct Running {
    calls: Calls,
    stop: oneshot::Sender<()>,
    ended: JoinHandle<Result<(), String>>,
}

impl Running {
    fn start(device: &Device) -> Self {
        let agent = Agent::open(&device.load()).unwrap();
        let calls = agent.calls();
        let (stop, stopped) = oneshot::channel();
        let ended = tokio::spawn(async move {
            let shutdown = async { drop(stopped.await) };
            agent.run(shutdown).await.map_err(|error| error.to_string())
        });
        Self { calls, stop, ended }
    }

    /// The status, once it is as wanted.
    async fn becomes(&self, wanted: impl Fn(&Status) -> bool) -> Status {
        let mut looks = interval(LOOK);
        loop {
            looks.tick().await;
            match self.calls.ask(Call::Status { private: true }).await {
                Ok(Answer::Status(status)) if wanted(&status) => return *status,
                Ok(_) | Err(_) => {}
            }
        }
    }

    /// The code on show, once there is one.
    async fn code(&self) -> String {
        let status = self.becomes(|status| status.pairing.is_some()).await;
        status.pairing.map(|pairing| pairing.user_code).unwrap_or_default()
    }

    /// An access token, as programs get it.
    async fn token(&self) -> Option<String> {
        let call = Call::Token { key: TokenKey::default(), min_ttl: Duration::ZERO };
        match self.calls.ask(call).await {
            Ok(Answer::Token(access, _)) => Some(access.token.expose().to_owned()),
            Ok(_) | Err(_) => None,
        }
    }

    async fn stop(self) -> Result<(), String> {
        let _ = self.stop.send(());
        self.ended.await.map_err(|error| error.to_string())?
    }
}
