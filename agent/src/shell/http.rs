//! The HTTP port: bytes on the wire, by reqwest over rustls with ring.
//!
//! Promises: one exchange ends within [`Limits::exchange`], whatever a server does; no reply takes
//! more memory than [`MAX_REPLY`]; an exchange is called [`Outcome::NotSent`] only where no byte of
//! the request can have reached the server; nothing is followed, retried or logged with its body.

mod cause;
mod compress;
mod trust;

use crate::config::{ClientIdentity, Loaded, Proxy};
use crate::signing::Signer;
use compress::Coding;
use reqwest::{
    Client, Method, NoProxy, RequestBuilder, Response,
    header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue},
};
use signpost_core::http::{
    Body, Cause, EXCHANGE_TIMEOUT, MAX_REPLY, Outcome, Peer, Reply, Request,
};
use signpost_core::jws::Place;
use signpost_core::secret::Secret;
use std::{fmt, future::Future, path::PathBuf, time::Duration};
use tokio::time::timeout;
use trust::Trust;
use zeroize::Zeroizing;

/// An idle connection is closed after this long: before servers do, of whom many close after 5 s,
/// because a request that meets a closing connection counts as lost.
const IDLE: Duration = Duration::from_secs(4);

/// The headers that the state machines act upon, and none of the others are kept.
const KEPT_HEADERS: [&str; 5] =
    ["content-type", "date", "dpop-nonce", "retry-after", "www-authenticate"];

/// Longest value of such a header that is kept.
const MAX_HEADER: usize = 4096;

/// How long an exchange may take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Until there is a connection, TLS included.
    pub connect: Duration,
    /// In all, to the last byte of the reply.
    pub exchange: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { connect: Duration::from_secs(10), exchange: EXCHANGE_TIMEOUT }
    }
}

/// Talks to issuer and backend. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Http {
    issuer: Client,
    telemetry: Client,
    limits: Limits,
    /// How telemetry is compressed, if it is.
    coding: Option<Coding>,
    signer: Signer,
}

impl Http {
    /// A client by `[network]` and `[telemetry]`; two where these differ.
    ///
    /// # Errors
    /// What is wrong with authorities or proxies.
    pub fn new(loaded: &Loaded, limits: Limits) -> Result<Self, HttpError> {
        let config = &loaded.config;
        let trust = Trust::load(loaded)?;
        let telemetry_trust = trust.with_telemetry(loaded)?;
        let proxy = Wanted::of("network.proxy", config.network.proxy.as_ref());
        let telemetry_proxy = Wanted::of("telemetry.proxy", config.telemetry.proxy.as_ref());
        // Who the client is, is the issuer's business alone.
        let identity = loaded.client_identity()?;
        let apart = telemetry_trust.is_some() || telemetry_proxy.is_set() || identity.is_some();
        let telemetry = if apart {
            let trust = telemetry_trust.unwrap_or_else(|| trust.clone());
            let proxy = if telemetry_proxy.is_set() { telemetry_proxy } else { proxy.clone() };
            Some(client(trust, None, proxy.or_environment(), limits)?)
        } else {
            None
        };
        let issuer = client(trust, identity, proxy.or_environment(), limits)?;
        let telemetry = telemetry.unwrap_or_else(|| issuer.clone());
        let signer = loaded.signer()?;
        Ok(Self { issuer, telemetry, limits, coding: Coding::of(config), signer })
    }

    /// Carries out one exchange.
    pub fn exchange(&self, request: Request) -> impl Future<Output = Outcome> + Send + 'static {
        let this = self.clone();
        async move {
            let peer = request.peer;
            let outcome = match timeout(this.limits.exchange, this.converse(request)).await {
                Ok(outcome) => outcome,
                // Connecting has a shorter limit: by now the server has a part of the request.
                Err(_) => Outcome::Lost(Cause::Timeout),
            };
            tracing::debug!("{}: {outcome:?}", name(peer));
            outcome
        }
    }

    async fn converse(self, request: Request) -> Outcome {
        let peer = request.peer;
        let Some(request) = signed(&self.signer, request) else {
            tracing::error!("{}: a key of this device does not sign", name(peer));
            return Outcome::NotSent(Cause::Unsigned);
        };
        let request = self.build(request).await;
        let response = match request.send().await {
            Ok(response) => response,
            Err(error) => {
                tracing::debug!("{}: {}", name(peer), cause::describe(&error));
                return cause::outcome(&error);
            }
        };
        receive(response).await
    }

    async fn build(&self, request: Request) -> RequestBuilder {
        let client = match request.peer {
            Peer::Issuer => &self.issuer,
            Peer::Telemetry => &self.telemetry,
        };
        let method = if request.body.is_some() { Method::POST } else { Method::GET };
        let mut builder = client.request(method, &request.url);
        for (name, value) in &request.headers {
            // What is no header fails the request before it is sent.
            let value = HeaderValue::from_str(value.expose()).map(|mut value| {
                value.set_sensitive(true);
                value
            });
            builder = match (HeaderName::from_bytes(name.as_bytes()), value) {
                (Ok(name), Ok(value)) => builder.header(name, value),
                _ => builder.header("invalid header", ""),
            };
        }
        match request.body {
            None => builder,
            Some(Body::Form(form)) => {
                let form = Zeroizing::new(form.expose().as_bytes().to_vec());
                builder
                    .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
                    .body(bytes::Bytes::from_owner(form))
            }
            Some(Body::Protobuf(body)) => {
                let builder = builder.header(CONTENT_TYPE, "application/x-protobuf");
                let Some(coding) = self.coding else { return builder.body(body) };
                match coding.compress(&body).await {
                    Some(small) => builder.header(CONTENT_ENCODING, coding.name()).body(small),
                    None => builder.body(body),
                }
            }
        }
    }
}

/// The request with everything in it that it was to be signed with.
fn signed(signer: &Signer, mut request: Request) -> Option<Request> {
    for unsigned in std::mem::take(&mut request.unsigned) {
        let signed = signer.sign(&unsigned)?;
        match (unsigned.place, &mut request.body) {
            (Place::Header(name), _) => request.headers.push((name.into(), signed)),
            (Place::Field(name), Some(Body::Form(form))) => {
                // A JWS needs no encoding in a form.
                *form = Secret::new([form.expose(), "&", name, "=", signed.expose()].concat());
            }
            (Place::Field(_), Some(Body::Protobuf(_)) | None) => return None,
        }
    }
    Some(request)
}

async fn receive(mut response: Response) -> Outcome {
    let declared = response.content_length().unwrap_or_default();
    if declared > MAX_REPLY as u64 {
        return Outcome::Lost(Cause::TooLarge);
    }
    let headers = response.headers();
    let headers = KEPT_HEADERS
        .iter()
        .filter_map(|name| Some(((*name).to_owned(), joined(headers, name)?)))
        .filter(|(_, value)| value.len() <= MAX_HEADER)
        .collect();
    let status = response.status().as_u16();
    let mut reply = Reply { status, headers, body: Vec::with_capacity(declared as usize) };
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) if reply.body.len() + chunk.len() > MAX_REPLY => {
                return Outcome::Lost(Cause::TooLarge);
            }
            Ok(Some(chunk)) => reply.body.extend_from_slice(&chunk),
            Ok(None) => return Outcome::Reply(reply),
            Err(error) => return Outcome::Lost(cause::after_sending(&error)),
        }
    }
}

/// The value of a header. A challenge may stand on several lines (RFC 9110 section 5.3); of all
/// else the first counts.
fn joined(headers: &HeaderMap, name: &str) -> Option<String> {
    let lines = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    let most = if name == "www-authenticate" { 8 } else { 1 };
    let lines: Vec<&str> = lines.take(most).collect();
    (!lines.is_empty()).then(|| lines.join(", "))
}

fn client(
    trust: Trust,
    identity: Option<ClientIdentity>,
    proxy: Wanted<'_>,
    limits: Limits,
) -> Result<Client, HttpError> {
    let builder = Client::builder()
        .user_agent(concat!("signpost/", env!("CARGO_PKG_VERSION")))
        .tls_backend_preconfigured(trust.into_config(identity)?)
        .http1_only()
        .redirect(reqwest::redirect::Policy::none())
        .referer(false)
        .retry(reqwest::retry::never())
        .connect_timeout(limits.connect)
        .pool_max_idle_per_host(1)
        .pool_idle_timeout(IDLE)
        .no_proxy();
    let builder = match proxy.build()? {
        Some(proxy) => builder.proxy(proxy),
        None => builder,
    };
    builder.build().map_err(|error| HttpError::Client(cause::describe(&error)))
}

/// A proxy that somebody wants, and where that was said.
#[derive(Clone, Debug)]
struct Wanted<'a> {
    key: &'a str,
    url: Option<Zeroizing<String>>,
}

impl Wanted<'_> {
    fn of<'a>(key: &'a str, proxy: Option<&Proxy>) -> Wanted<'a> {
        Wanted { key, url: proxy.map(|proxy| Zeroizing::new(proxy.expose().to_string())) }
    }

    const fn is_set(&self) -> bool {
        self.url.is_some()
    }

    fn or_environment(self) -> Self {
        if self.is_set() {
            return self;
        }
        ["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"]
            .into_iter()
            .find_map(|key| {
                let url = std::env::var(key).ok().filter(|url| !url.is_empty())?;
                Some(Wanted { key, url: Some(Zeroizing::new(url)) })
            })
            .unwrap_or(self)
    }

    /// For `https` alone: what goes to a loopback address in plain text must not leave the board.
    fn build(self) -> Result<Option<reqwest::Proxy>, HttpError> {
        let Some(url) = self.url else { return Ok(None) };
        let proxy = reqwest::Proxy::https(url.as_str())
            .map_err(|_| HttpError::Proxy { key: self.key.to_owned() })?;
        let direct = ["no_proxy", "NO_PROXY"].into_iter().find_map(|key| std::env::var(key).ok());
        let direct = format!("localhost,127.0.0.0/8,::1,{}", direct.unwrap_or_default());
        Ok(Some(proxy.no_proxy(NoProxy::from_string(&direct))))
    }
}

fn name(peer: Peer) -> &'static str {
    match peer {
        Peer::Issuer => "issuer",
        Peer::Telemetry => "telemetry backend",
    }
}

/// Why no client can be made of the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HttpError {
    /// A file that a key names cannot be read.
    File(crate::config::ConfigError),
    /// A file of authorities holds no certificate.
    NoCertificate {
        /// The key that names it.
        key: &'static str,
        /// The file.
        path: PathBuf,
    },
    /// No proxy of this kind can be used. Its address may hold a password and is not repeated.
    Proxy {
        /// The key or environment variable.
        key: String,
    },
    /// The client's certificate and key do not belong together, or are of a kind that TLS lacks.
    Identity,
    /// The TLS library refuses its settings: a bug.
    Client(String),
}

impl fmt::Display for HttpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(error) => error.fmt(f),
            Self::NoCertificate { key, path } => write!(
                f,
                "{key}: {} holds no certificate; put authorities in PEM form into it",
                path.display()
            ),
            Self::Proxy { key } => {
                write!(f, "{key}: no usable proxy; set one like \"http://proxy.example.com:3128\"")
            }
            Self::Identity => f.write_str(
                "issuer.certificate_file: it does not fit issuer.private_key_file; \
                 name the certificate of that key",
            ),
            Self::Client(cause) => write!(f, "no HTTP client can be made: {cause}"),
        }
    }
}

impl std::error::Error for HttpError {}

impl From<crate::config::ConfigError> for HttpError {
    fn from(error: crate::config::ConfigError) -> Self {
        Self::File(error)
    }
}
