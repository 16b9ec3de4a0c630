//! `signpost check --issuer`: goes the way of a sign-in as far as the first poll, and says which
//! step is missed.
//!
//! It is the agent's own way: the same [`Session`] asks, over the same HTTP, and the same readings
//! decide what an answer means. Nothing is kept: no store is opened, the code is shown to nobody
//! and runs out by itself.

mod advice;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::time::Duration;

use crate::signing;
use signpost_core::fault::Fault;
use signpost_core::http::{Body, Cause, Outcome, Request};
use signpost_core::issuer::{Endpoints, IssuerConfig};
use signpost_core::session::{Persist, Session, Stored};
use signpost_core::wire::{
    DeviceAuthorization, Metadata, MetadataProblem, OAuthError, PollAnswer, Refusal, Trouble,
};
use tokio::runtime::{Builder, Runtime};

use super::super::probe::{Probe, Verdict};
use crate::config::Loaded;
use crate::shell::http::{Http, Limits};
use crate::shell::run::{self, now};

/// The longest interval that is waited for until the first poll.
const PATIENCE: Duration = Duration::from_secs(60);

/// Requests and waits: more than a sign-in needs up to its first poll, whatever the issuer asks for
/// in between.
const MOST_TURNS: usize = 12;

/// The steps, in the order in which they are gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    Settings,
    Dns,
    Tls,
    Discovery,
    Code,
    Poll,
}

impl Step {
    const ALL: [Self; 6] =
        [Self::Settings, Self::Dns, Self::Tls, Self::Discovery, Self::Code, Self::Poll];

    const fn name(self) -> &'static str {
        match self {
            Self::Settings => "issuer.settings",
            Self::Dns => "issuer.dns",
            Self::Tls => "issuer.tls",
            Self::Discovery => "issuer.discovery",
            Self::Code => "issuer.code",
            Self::Poll => "issuer.poll",
        }
    }
}

/// A probe of each step; the first that fails is the one that was missed.
pub(super) fn walk(loaded: &Loaded) -> Vec<Probe> {
    // The client's secret comes into this process.
    run::harden();
    let mut way = Way::default();
    match Walker::new(loaded) {
        Ok(walker) => walker.walk(&mut way),
        Err(text) => way.miss(Step::Settings, text, "correct it; the agent does not start either"),
    }
    way.probes()
}

/// What is known of the steps.
#[derive(Default)]
struct Way {
    found: BTreeMap<Step, Probe>,
    hosts: BTreeSet<String>,
}

impl Way {
    fn pass(&mut self, step: Step, detail: impl Into<String>) {
        self.found.insert(step, Probe::new(step.name(), Verdict::Ok, detail));
    }

    fn skip(&mut self, step: Step, why: impl Into<String>) {
        self.found.insert(step, Probe::new(step.name(), Verdict::Skipped, why));
    }

    fn miss(&mut self, step: Step, detail: impl Into<String>, advice: impl Into<String>) {
        let probe = Probe::new(step.name(), Verdict::Failed, detail).advise(advice);
        self.found.insert(step, probe);
    }

    /// As [`Way::miss`], with the fault that the device shows for it.
    fn miss_by(&mut self, step: Step, fault: Fault, what: &str) {
        let row = fault.row();
        self.miss(step, format!("{} {}: {what}", row.code, row.title), row.advice);
    }

    fn missed(&self) -> Option<Step> {
        let failed = |(_, probe): &(&Step, &Probe)| probe.result == Verdict::Failed;
        self.found.iter().find(failed).map(|(step, _)| *step)
    }

    /// Whether there is nothing more to learn.
    fn is_over(&self) -> bool {
        self.missed().is_some() || self.found.contains_key(&Step::Poll)
    }

    fn probes(mut self) -> Vec<Probe> {
        let why = match self.missed() {
            Some(step) => format!("not tried: {} comes first", step.name()),
            None => "not tried".to_owned(),
        };
        let probe = |step: Step| {
            let unknown = || Probe::new(step.name(), Verdict::Skipped, &why);
            self.found.remove(&step).unwrap_or_else(unknown)
        };
        Step::ALL.into_iter().map(probe).collect()
    }
}

struct Walker {
    runtime: Runtime,
    http: Http,
    session: Session,
    issuer: IssuerConfig,
    /// The vendor, by its name in the configuration.
    profile: &'static str,
}

impl Walker {
    fn new(loaded: &Loaded) -> Result<Self, String> {
        let config = run::session_config(loaded).map_err(|error| error.to_string())?;
        let http = Http::new(loaded, Limits::default()).map_err(|error| error.to_string())?;
        let system = |error: io::Error| error.to_string();
        let runtime = Builder::new_current_thread().enable_all().build().map_err(system)?;
        let seed = run::seed().map_err(system)?;
        Ok(Self {
            runtime,
            http,
            issuer: config.issuer.clone(),
            session: Session::new(config, Stored::default(), seed, now()),
            profile: loaded.config.issuer.profile.get().name,
        })
    }

    fn walk(mut self, way: &mut Way) {
        way.pass(
            Step::Settings,
            format!("client_id {}, profile {}", self.issuer.client_id, self.profile),
        );
        if self.session.usable_wall(now()).is_none() {
            way.miss_by(Step::Tls, Fault::ClockUnusable, "TLS is not tried with such a clock");
        }
        for _ in 0..MOST_TURNS {
            self.keep_nothing();
            if way.is_over() {
                break;
            }
            match self.session.poll_send() {
                Some((id, request)) => {
                    let outcome = self.runtime.block_on(self.http.exchange(request.clone()));
                    self.hear(&request, &outcome, way);
                    self.session.handle_outcome(id, &outcome, now());
                }
                None => self.wait(way),
            }
        }
        self.give_back();
        // A name that is being resolved does not hold up the end.
        self.runtime.shutdown_background();
    }

    /// What the session wants durable counts as durable: it ends with this process.
    fn keep_nothing(&mut self) {
        while let Some(persist) = self.session.poll_persist() {
            if let Persist::Record { version, .. } = persist {
                self.session.handle_persisted(version, true, now());
            }
        }
        // A key of its own for what this process asks for, and abandons.
        if self.session.poll_key()
            && let Some(key) = signing::make_device_key()
        {
            self.session.handle_key(key, now());
        }
    }

    /// Waits until the session wants something, as a rule to poll.
    fn wait(&mut self, way: &mut Way) {
        let wake = self.session.poll_wake();
        let span = wake.map(|(at, _)| at.since(now().boot));
        let Some(span) = span.filter(|span| *span <= PATIENCE) else {
            let why = match span.map(|span| span.as_secs()) {
                Some(seconds) => format!("not waited for: the issuer wants {seconds} s before it"),
                None => "not tried".to_owned(),
            };
            return way.skip(Step::Poll, why);
        };
        #[expect(
            clippy::disallowed_methods,
            reason = "a command waits for somebody, and has nothing to miss"
        )]
        self.runtime.block_on(async { tokio::time::sleep(span).await });
        self.session.handle_timeout(now());
    }

    /// Where the issuer gave a token all the same, it is revoked.
    fn give_back(&mut self) {
        self.session.sign_out(now());
        self.keep_nothing();
        for _ in 0..MOST_TURNS {
            let Some((id, request)) = self.session.poll_send() else { break };
            let outcome = self.runtime.block_on(self.http.exchange(request));
            self.session.handle_outcome(id, &outcome, now());
        }
    }

    fn hear(&self, request: &Request, outcome: &Outcome, way: &mut Way) {
        if !connected(request, outcome, way) {
            return;
        }
        match asked(request, &self.issuer) {
            Asked::Metadata { last } => self.hear_metadata(outcome, last, way),
            Asked::Code => self.hear_code(outcome, way),
            Asked::Poll => self.hear_poll(outcome, way),
            // Not of the way to a code.
            Asked::Else => {}
        }
    }

    fn hear_metadata(&self, outcome: &Outcome, last: bool, way: &mut Way) {
        const STEP: Step = Step::Discovery;
        let url = self.issuer.url.clone().unwrap_or_default();
        match Metadata::read(outcome, &url) {
            Ok(metadata) => match self.issuer.endpoints(Some(&metadata)) {
                Some(Endpoints { device_authorization: Some(_), .. }) => {
                    way.pass(STEP, format!("{} names its endpoints", metadata.issuer));
                }
                Some(_) | None => {
                    let row = Fault::NoDeviceFlow.row();
                    let detail = format!(
                        "{} {}: the discovery document names no device_authorization_endpoint",
                        row.code, row.title
                    );
                    let advice = advice::no_device_endpoint(self.profile).unwrap_or(row.advice);
                    way.miss(STEP, detail, advice);
                }
            },
            Err(MetadataProblem::Absent) if !last => {}
            Err(MetadataProblem::Absent) => {
                let detail = format!("there is no discovery document below {url}");
                way.miss(STEP, detail, advice::address(self.profile));
            }
            Err(MetadataProblem::WrongIssuer { found }) => {
                let what = format!("the document speaks for {found}");
                way.miss_by(STEP, Fault::IssuerMismatch, &what);
            }
            Err(MetadataProblem::Insecure) => {
                let what = "the document names an address without TLS";
                way.miss_by(STEP, Fault::IssuerMismatch, what);
            }
            Err(MetadataProblem::Trouble(trouble)) => troubled(STEP, &trouble, way),
        }
    }

    fn hear_code(&self, outcome: &Outcome, way: &mut Way) {
        if !way.found.contains_key(&Step::Discovery) {
            way.skip(Step::Discovery, "not needed: the endpoints are configured");
        }
        match DeviceAuthorization::read(outcome) {
            Ok(code) => {
                let minutes = code.expires_in.as_secs().div_ceil(60);
                let complete = match code.verification_uri_complete {
                    Some(_) => "its QR code holds the code",
                    None => "its address is without the code, which people have to type",
                };
                let detail = format!("a code for {minutes} min, abandoned; {complete}");
                way.pass(Step::Code, detail);
            }
            Err(Refusal::Error(error)) => self.refused(Step::Code, &error, way),
            Err(Refusal::Trouble(trouble)) => troubled(Step::Code, &trouble, way),
        }
    }

    fn hear_poll(&self, outcome: &Outcome, way: &mut Way) {
        const STEP: Step = Step::Poll;
        match PollAnswer::read(outcome) {
            PollAnswer::Pending | PollAnswer::SlowDown(_) => {
                way.pass(STEP, "the issuer waits for a person, as it should");
            }
            PollAnswer::Granted(_) => way.miss(
                STEP,
                "the issuer gave a token for a code that nobody has seen; it is revoked again",
                "find out what approves codes by itself: whoever stands near would own the device",
            ),
            PollAnswer::Denied => way.miss(
                STEP,
                "access_denied: the issuer says no before anybody was asked",
                advice::denied(self.profile),
            ),
            PollAnswer::Expired => way.miss(
                STEP,
                "the issuer does not know the code that it has just given",
                "its nodes may not share their codes, or it wants proofs (issuer.dpop) from this \
                 client",
            ),
            // The session asks again, with what is wanted.
            PollAnswer::Refused(error) if error.error == "use_dpop_nonce" => {}
            PollAnswer::Refused(error) => self.refused(STEP, &error, way),
            PollAnswer::Trouble(trouble) => troubled(STEP, &trouble, way),
        }
    }

    fn refused(&self, step: Step, error: &OAuthError, way: &mut Way) {
        let forbids = error.forbids_device_flow();
        let row = if forbids { Fault::NoDeviceFlow } else { Fault::ClientRefused }.row();
        let detail = format!("{} {}: {error}", row.code, row.title);
        way.miss(step, detail, advice::refused(self.profile, step == Step::Poll, error));
    }
}

/// What a request of the session is for.
enum Asked {
    /// Discovery; `last`: at the last of the addresses that it may be at.
    Metadata {
        last: bool,
    },
    Code,
    Poll,
    Else,
}

fn asked(request: &Request, issuer: &IssuerConfig) -> Asked {
    let url = issuer.url.as_deref().unwrap_or_default();
    let [first, last] = signpost_core::wire::discovery_urls(url);
    let has = |form: &str, name: &str| form.split('&').any(|pair| pair.starts_with(name));
    match &request.body {
        None if request.url == first || request.url == last => {
            Asked::Metadata { last: request.url == last }
        }
        Some(Body::Form(form)) if has(form.expose(), "device_code=") => Asked::Poll,
        Some(Body::Form(form)) if !has(form.expose(), "token=") => Asked::Code,
        None | Some(Body::Form(_) | Body::Protobuf(_)) => Asked::Else,
    }
}

/// Says of name and connection how they stand; false where there is no answer to be read.
fn connected(request: &Request, outcome: &Outcome, way: &mut Way) -> bool {
    let url = url::Url::parse(&request.url).ok();
    let host = url.as_ref().and_then(url::Url::host_str).unwrap_or_default().to_owned();
    let cause = match outcome {
        Outcome::NotSent(Cause::Dns) => {
            let what = format!("{host} has no address");
            way.miss_by(Step::Dns, Fault::IssuerUnreachable, &what);
            return false;
        }
        Outcome::NotSent(Cause::Unsigned) => {
            let advice = "it is ES256, or RSA of 2048 bits or more: see issuer.private_key_file";
            way.miss(Step::Settings, "the key of this client does not sign", advice);
            return false;
        }
        Outcome::Reply(_) => None,
        Outcome::NotSent(cause) | Outcome::Lost(cause) => Some(*cause),
    };
    way.hosts.insert(host.clone());
    let hosts: Vec<&str> = way.hosts.iter().map(String::as_str).collect();
    let hosts = hosts.join(", ");
    way.pass(Step::Dns, &hosts);
    let unsent = matches!(outcome, Outcome::NotSent(_));
    let (fault, what) = match cause {
        Some(Cause::CertificateDates) => {
            (Fault::CertificateDates, format!("the certificate of {host} is refused for its dates"))
        }
        Some(Cause::CertificateUntrusted) => (
            Fault::CertificateUntrusted,
            format!(
                "the certificate of {host} is by nobody whom this device trusts, or for others"
            ),
        ),
        Some(Cause::Tls) => {
            (Fault::CertificateUntrusted, format!("the TLS handshake with {host} fails"))
        }
        Some(Cause::Connect) => (Fault::IssuerUnreachable, format!("no connection to {host}")),
        Some(Cause::Timeout) if unsent => {
            (Fault::IssuerUnreachable, format!("no connection to {host} in time"))
        }
        Some(_) | None => {
            let plain = url.is_some_and(|url| url.scheme() == "http");
            way.pass(Step::Tls, if plain { "without TLS, on this device alone" } else { &hosts });
            return true;
        }
    };
    way.miss_by(Step::Tls, fault, &what);
    false
}

/// An answer that says nothing of the client.
fn troubled(step: Step, trouble: &Trouble, way: &mut Way) {
    match trouble {
        Trouble::NotSent(_) | Trouble::Lost(_) => {
            way.miss_by(step, Fault::IssuerUnreachable, "the connection broke before the answer");
        }
        Trouble::Server { status, .. } => {
            let what = format!("HTTP status {status}");
            way.miss_by(step, Fault::IssuerUnwell, &what);
        }
        Trouble::Page => {
            way.miss_by(step, Fault::CaptivePortal, "a web page came where data is due");
        }
        // The document itself may lie elsewhere; the endpoints do not.
        Trouble::Garbage { status: status @ (404 | 405) } if step != Step::Discovery => way.miss(
            step,
            format!("HTTP status {status}: nobody is there who gives codes or tokens"),
            "check issuer.url, and endpoints that are set by hand",
        ),
        Trouble::Garbage { status } => {
            let what = format!("HTTP status {status} with what is no answer");
            way.miss_by(step, Fault::IssuerUnwell, &what);
        }
    }
}
