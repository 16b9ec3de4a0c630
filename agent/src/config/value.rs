//! Values that several sections share: names, texts, sizes, spans, paths, addresses. Each is
//! parsed once, here, and cannot hold anything that its key does not allow.

use std::borrow::Cow;
use std::fmt;
use std::net::SocketAddr;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use signpost_core::issuer::is_acceptable_url;
use signpost_core::secret::Secret;
use url::Url;

use super::reading::{Scalar, decimal};

/// Longest free text, in characters.
const MOST_TEXT: usize = 200;

/// Declares a setting that is a text with rules of its own.
macro_rules! text {
    ($(#[$meta:meta])* pub struct $name:ident; $allowed:literal; $check:expr) => {
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub struct $name(String);

        impl $name {
            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl $crate::config::reading::Scalar for $name {
            fn allowed() -> std::borrow::Cow<'static, str> {
                $allowed.into()
            }

            fn parse(text: &str) -> Result<Self, &'static str> {
                let check: fn(&str) -> bool = $check;
                if check(text) { Ok(Self(text.to_owned())) } else { Err("") }
            }

            fn text(&self) -> String {
                self.0.clone()
            }
        }
    };
}
pub(super) use text;

text! {
    /// The name that a person gives to a panel, lamp, button or rule.
    pub struct Name;
    "1 to 32 of a-z, 0-9, - and _, a letter first";
    |text| text.starts_with(|c: char| c.is_ascii_lowercase())
        && text.len() <= 32
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_".contains(&b))
}

text! {
    /// A piece of free text on one line.
    pub struct Text;
    "1 to 200 characters on one line";
    |text| !text.trim().is_empty()
        && text.chars().count() <= MOST_TEXT
        && !text.chars().any(char::is_control)
}

impl Scalar for Secret {
    const SECRET: bool = true;

    fn allowed() -> Cow<'static, str> {
        "1 to 4096 printable ASCII characters".into()
    }

    fn parse(text: &str) -> Result<Self, &'static str> {
        let printable = text.bytes().all(|b| (0x20..0x7f).contains(&b));
        let sized = (1..=4096).contains(&text.len());
        if printable && sized { Ok(Self::new(text)) } else { Err("") }
    }

    fn text(&self) -> String {
        String::new()
    }
}

/// A number of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(u64);

impl Size {
    const UNITS: [(&str, u64); 4] =
        [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];

    /// So many KiB.
    pub const fn kib(count: u64) -> Self {
        Self(count << 10)
    }

    /// In bytes.
    pub fn bytes(self) -> u64 {
        self.0
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fits =
            Self::UNITS.iter().find(|(_, unit)| self.0 >= *unit && self.0.is_multiple_of(*unit));
        let (unit, bytes) = fits.unwrap_or(&("B", 1));
        write!(f, "{} {unit}", self.0 / bytes)
    }
}

impl Scalar for Size {
    fn allowed() -> Cow<'static, str> {
        "a size such as \"64 KiB\" (B, KiB, MiB, GiB)".into()
    }

    fn parse(text: &str) -> Result<Self, &'static str> {
        let (count, unit) = number_and_unit(text).ok_or("")?;
        let (_, bytes) = Self::UNITS.iter().find(|(name, _)| *name == unit).ok_or("")?;
        count.checked_mul(*bytes).map(Self).ok_or("too large")
    }

    fn text(&self) -> String {
        self.to_string()
    }
}

/// A length of time, from 1 ms to 3,650 days.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span(Duration);

impl Span {
    const UNITS: [(&str, u64); 5] =
        [("d", 86_400_000), ("h", 3_600_000), ("min", 60_000), ("s", 1000), ("ms", 1)];

    /// So many whole seconds.
    pub const fn seconds(count: u64) -> Self {
        Self(Duration::from_secs(count))
    }

    /// As the standard library has it.
    pub const fn get(self) -> Duration {
        self.0
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX);
        let (unit, length) = Self::UNITS
            .iter()
            .find(|(_, length)| millis.is_multiple_of(*length))
            .unwrap_or(&("ms", 1));
        write!(f, "{} {unit}", millis / length)
    }
}

impl Scalar for Span {
    fn allowed() -> Cow<'static, str> {
        "a span such as \"10 s\" (ms, s, min, h, d), at most 3650 d".into()
    }

    fn parse(text: &str) -> Result<Self, &'static str> {
        let (count, unit) = number_and_unit(text).ok_or("")?;
        let (_, length) = Self::UNITS.iter().find(|(name, _)| *name == unit).ok_or("")?;
        let millis = count.checked_mul(*length).ok_or("too long")?;
        match millis {
            1..=315_360_000_000 => Ok(Self(Duration::from_millis(millis))),
            0 => Err("it must not be zero"),
            _ => Err("too long"),
        }
    }

    fn text(&self) -> String {
        self.to_string()
    }
}

fn number_and_unit(text: &str) -> Option<(u64, &str)> {
    let unit = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(unit);
    Some((decimal(number)?, unit.strip_prefix(' ').unwrap_or(unit)))
}

/// An absolute path without `..`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AbsPath(PathBuf);

impl AbsPath {
    /// The path.
    pub fn as_path(&self) -> &Path {
        &self.0
    }

    /// A path that is known to be right when the program is built.
    pub(super) fn fixed(path: &'static str) -> Self {
        Self(path.into())
    }
}

impl AsRef<Path> for AbsPath {
    fn as_ref(&self) -> &Path {
        &self.0
    }
}

impl Scalar for AbsPath {
    fn allowed() -> Cow<'static, str> {
        "an absolute path".into()
    }

    fn parse(text: &str) -> Result<Self, &'static str> {
        let path = Path::new(text);
        let plain = path.components().all(|part| part != Component::ParentDir);
        let named = path.file_name().is_some() && !text.ends_with('/');
        if path.is_absolute()
            && plain
            && named
            && text.len() <= 4096
            && !text.contains(char::is_control)
        {
            Ok(Self(path.to_owned()))
        } else {
            Err("start it with / and leave out ..")
        }
    }

    fn text(&self) -> String {
        self.0.display().to_string()
    }
}

/// The path of a Unix socket, short enough for the kernel (`sun_path`, unix(7)).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SocketPath(AbsPath);

impl SocketPath {
    /// The path.
    pub fn as_path(&self) -> &Path {
        self.0.as_path()
    }

    pub(super) fn fixed(path: &'static str) -> Self {
        Self(AbsPath::fixed(path))
    }
}

impl Scalar for SocketPath {
    fn allowed() -> Cow<'static, str> {
        "the absolute path of a socket, at most 107 bytes".into()
    }

    fn parse(text: &str) -> Result<Self, &'static str> {
        if text.len() > 107 { Err("") } else { AbsPath::parse(text).map(Self) }
    }

    fn text(&self) -> String {
        self.0.text()
    }
}

/// Where a server of ours listens: this machine alone can reach it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listen {
    /// A loopback address.
    Tcp(SocketAddr),
    /// A Unix socket.
    Unix(SocketPath),
}

impl Scalar for Listen {
    fn allowed() -> Cow<'static, str> {
        "a loopback address with a port (\"127.0.0.1:4318\", \"[::1]:4318\") or \"unix:/PATH\""
            .into()
    }

    fn parse(text: &str) -> Result<Self, &'static str> {
        if let Some(path) = text.strip_prefix("unix:") {
            return SocketPath::parse(path).map(Self::Unix);
        }
        match text.parse::<SocketAddr>() {
            Ok(address) if address.ip().is_loopback() => Ok(Self::Tcp(address)),
            Ok(_) => Err("other machines must not reach it: use 127.0.0.1 or a Unix socket"),
            Err(_) => Err(""),
        }
    }

    fn text(&self) -> String {
        match self {
            Self::Tcp(address) => address.to_string(),
            Self::Unix(path) => format!("unix:{}", path.text()),
        }
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text())
    }
}

/// An https address, or http to this machine alone (RFC 8628, section 5.6 and RFC 8252, section
/// 8.3); no user name, password or fragment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpUrl(Url);

impl HttpUrl {
    /// The address.
    pub fn as_url(&self) -> &Url {
        &self.0
    }

    /// The address as written in its normal form.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl fmt::Display for HttpUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_str())
    }
}

impl Scalar for HttpUrl {
    fn allowed() -> Cow<'static, str> {
        "an https:// address (http:// to a loopback address only)".into()
    }

    fn parse(text: &str) -> Result<Self, &'static str> {
        let url = parse_url(text)?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err("leave user name and password out");
        }
        if url.fragment().is_some() {
            return Err("leave the part after # out");
        }
        match url.scheme() {
            _ if is_acceptable_url(url.as_str()) => Ok(Self(url)),
            "http" => Err("tokens would travel readable: use https://"),
            _ => Err(""),
        }
    }

    fn text(&self) -> String {
        self.0.as_str().to_owned()
    }
}

/// An address to which paths are appended: no query either.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BaseUrl(HttpUrl);

impl BaseUrl {
    /// The address.
    pub fn as_url(&self) -> &Url {
        self.0.as_url()
    }

    /// The address without a slash at its end, ready for a path to be appended. Issuers that differ
    /// in this slash alone are one and the same: some vendors print it, some do not.
    pub fn as_str(&self) -> &str {
        let text = self.0.as_str();
        text.strip_suffix('/').unwrap_or(text)
    }
}

impl fmt::Display for BaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Scalar for BaseUrl {
    fn allowed() -> Cow<'static, str> {
        HttpUrl::allowed()
    }

    fn parse(text: &str) -> Result<Self, &'static str> {
        match HttpUrl::parse(text)? {
            url if url.as_url().query().is_some() => Err("leave the part after ? out"),
            url => Ok(Self(url)),
        }
    }

    fn text(&self) -> String {
        self.as_str().to_owned()
    }
}

/// A proxy's address; its password is kept out of sight.
#[derive(Clone, PartialEq, Eq)]
pub struct Proxy(Url);

impl Proxy {
    /// The address with user name and password, for the HTTP client alone.
    pub fn expose(&self) -> &Url {
        &self.0
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Proxy({})", self.text())
    }
}

impl Scalar for Proxy {
    fn allowed() -> Cow<'static, str> {
        "a proxy's address such as \"http://proxy.example.com:3128\"".into()
    }

    fn parse(text: &str) -> Result<Self, &'static str> {
        let url = parse_url(text)?;
        let bare =
            matches!(url.path(), "" | "/") && url.query().is_none() && url.fragment().is_none();
        if matches!(url.scheme(), "http" | "https") && bare { Ok(Self(url)) } else { Err("") }
    }

    fn text(&self) -> String {
        let host = self.0.host_str().unwrap_or_default();
        let user = if self.0.username().is_empty() { "" } else { "(hidden)@" };
        let port = self.0.port().map(|port| format!(":{port}")).unwrap_or_default();
        format!("{}://{user}{host}{port}", self.0.scheme())
    }
}

fn parse_url(text: &str) -> Result<Url, &'static str> {
    if text.len() > 2048 || text.contains(|c: char| c.is_control() || c.is_whitespace()) {
        return Err("at most 2048 characters, without blanks");
    }
    // How others are spelt in DNS would take tables that this build leaves out.
    if !text.is_ascii() {
        return Err("ASCII characters only: a host name as DNS has it (xn--…)");
    }
    Url::parse(text).ok().filter(Url::has_host).ok_or("")
}
