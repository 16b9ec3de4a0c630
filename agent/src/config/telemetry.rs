//! `[telemetry]`: what comes in from local programs, and where it goes.

use signpost_core::secret::Secret;
use std::borrow::Cow;

use super::issuer::{Resource, Scope, SecretFile};
use super::reading::{Scalar, choice, decimal, section};
use super::value::{AbsPath, BaseUrl, Listen, Proxy, Size, SocketPath, Span, Text, text};

section! {
    /// `[telemetry]`.
    pub struct Telemetry {
        /// OTLP/HTTP base address; without it nothing is sent.
        endpoint: Option<BaseUrl>,
        /// Where local programs deliver.
        listen: Vec<Listen> = vec![
            Listen::Tcp(std::net::SocketAddr::from(([127, 0, 0, 1], 4318))),
            Listen::Unix(SocketPath::fixed("/run/signpost/otlp.sock")),
        ],
        /// Of request bodies.
        compression: Compression = Compression::Gzip,
        /// Which API the token is for (RFC 8707); else the issuer's.
        resource: Option<Resource>,
        /// What the token must allow; else what was granted at sign-in.
        scopes: Vec<Scope>,
        /// A private authority for the backend alone.
        ca_file: Option<AbsPath>,
        /// A proxy for the backend alone.
        proxy: Option<Proxy>,
        /// Further request headers.
        headers: Vec<(HeaderName, Secret)>,
        /// The same with the value in a file.
        header_files: Vec<(HeaderName, SecretFile)>,
        /// Resource attributes added to everything that is sent.
        attributes: Vec<(AttributeName, Text)>,
        /// How much of the spool each stream may take.
        quota: Quotas,
        /// What is older is dropped, and counted.
        max_age: Span = Span::seconds(30 * 86_400),
        /// How often the device's own health is recorded.
        vitals: Vitals = Vitals::Every(Span::seconds(60)),
        /// What happens when a stream's quota is used up.
        when_full: WhenFullByStream,
        /// What becomes of records of an earlier owner.
        other_account: OtherAccount = OtherAccount::Hold,
        /// What becomes of records that arrived before anybody signed in.
        unowned: Unowned = Unowned::Device,
    }
}

choice! {
    /// Of request bodies.
    pub enum Compression {
        /// As they are.
        None = "none",
        /// What every OTLP receiver understands.
        Gzip = "gzip",
        /// Half the work, where the backend understands it.
        Zstd = "zstd",
    }
}

choice! {
    /// What happens when a stream's quota is used up.
    pub enum WhenFull {
        /// Senders are told to try again later; what was accepted stays.
        Refuse = "refuse",
        /// The oldest make room, and are counted.
        DropOldest = "drop-oldest",
    }
}

section! {
    /// `telemetry.when_full`; traces go with logs.
    pub struct WhenFullByStream {
        /// Of events.
        events: WhenFull = WhenFull::Refuse,
        /// Of metrics.
        metrics: WhenFull = WhenFull::DropOldest,
        /// Of logs and traces.
        logs: WhenFull = WhenFull::DropOldest,
    }
}

section! {
    /// `telemetry.quota`; traces go with logs.
    pub struct Quotas {
        /// Of events.
        events: Quota = Quota::Percent(40),
        /// Of metrics.
        metrics: Quota = Quota::Percent(30),
        /// Of logs and traces.
        logs: Quota = Quota::Percent(30),
    }
}

/// How much of the spool a stream may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quota {
    /// 1 to 100, of the spool.
    Percent(u8),
    /// So much.
    Fixed(Size),
}

impl Scalar for Quota {
    fn allowed() -> Cow<'static, str> {
        "a share of the spool such as \"30 %\" or a size such as \"4 MiB\"".into()
    }

    fn parse(text: &str) -> Result<Self, &'static str> {
        match text.strip_suffix('%') {
            Some(number) => decimal(number.trim_end())
                .filter(|percent| (1..=100).contains(percent))
                .map(Self::Percent)
                .ok_or("1 % to 100 %"),
            None => Size::parse(text).map(Self::Fixed),
        }
    }

    fn text(&self) -> String {
        match self {
            Self::Percent(percent) => format!("{percent} %"),
            Self::Fixed(size) => size.to_string(),
        }
    }
}

/// How often the device's own health is recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Vitals {
    /// Never.
    Off,
    /// From once a second to once a day.
    Every(Span),
}

impl Scalar for Vitals {
    fn allowed() -> Cow<'static, str> {
        "\"off\" or a span from \"1 s\" to \"1 d\"".into()
    }

    fn parse(text: &str) -> Result<Self, &'static str> {
        match text {
            "off" => Ok(Self::Off),
            _ => match Span::parse(text)? {
                span if (Span::seconds(1)..=Span::seconds(86_400)).contains(&span) => {
                    Ok(Self::Every(span))
                }
                _ => Err(""),
            },
        }
    }

    fn text(&self) -> String {
        match self {
            Self::Off => "off".to_owned(),
            Self::Every(span) => span.to_string(),
        }
    }
}

choice! {
    /// What becomes of an earlier owner's records when somebody else signs in.
    pub enum OtherAccount {
        /// They wait for their owner, for `max_age`.
        Hold = "hold",
        /// They are deleted, and counted.
        Purge = "purge",
    }
}

choice! {
    /// What becomes of records that arrived before anybody signed in.
    pub enum Unowned {
        /// They go with the device's own credentials where it has some, else they wait.
        Device = "device",
        /// They go to the first owner.
        First = "first",
        /// They wait.
        Hold = "hold",
    }
}

text! {
    /// The name of a request header (RFC 9110, section 5.6.2) that the agent does not send itself.
    pub struct HeaderName;
    "a header's name in lower case, and none that the agent sends itself";
    |text| (1..=64).contains(&text.len())
        && text.bytes().all(|b| {
            b.is_ascii_lowercase() || b.is_ascii_digit() || b"!#$%&'*+-.^_`|~".contains(&b)
        })
        && !OWN_HEADERS.contains(&text)
}

const OWN_HEADERS: [&str; 13] = [
    "authorization",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "cookie",
    "dpop",
    "expect",
    "host",
    "idempotency-key",
    "te",
    "transfer-encoding",
    "upgrade",
];

text! {
    /// The name of a resource attribute.
    pub struct AttributeName;
    "an attribute's name (1 to 128 of letters, digits, ., _ and -)";
    |text| (1..=128).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
}
