//! `[device]`, `[network]`, `[broker]`, `[control]`, `[metrics]`: who the device is, how it reaches
//! the network, and who may talk to it.

use super::issuer::{Resource, Scope};
use super::reading::{choice, section, whole};
use super::resolve::Resolve;
use super::value::{AbsPath, Listen, Name, Proxy, SocketPath, Text, text};

text! {
    /// A device's name.
    pub struct DeviceId;
    "1 to 64 of letters, digits, ., - and _";
    |text| (1..=64).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b".-_".contains(&b))
}

text! {
    /// A language tag (BCP 47); English stands in for a language without texts.
    pub struct Language;
    "a language tag such as \"en\" or \"de-AT\"";
    |text| {
        let mut parts = text.split('-');
        let language = parts.next().unwrap_or_default();
        (2..=3).contains(&language.len())
            && language.bytes().all(|b| b.is_ascii_lowercase())
            && text.len() <= 35
            && parts.all(|part| {
                (1..=8).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_alphanumeric())
            })
    }
}

choice! {
    /// How much of the account a panel shows after sign-in.
    pub enum ShowAccount {
        /// anna@acme.example
        Full = "full",
        /// A…@acme
        Short = "short",
        /// Nothing.
        None = "none",
    }
}

choice! {
    /// Which library reaches buses and lines of the board.
    pub enum Pins {
        /// The kernel's own interfaces: any board.
        Linux = "linux",
        /// rppal: a Raspberry Pi only.
        Rppal = "rppal",
    }
}

choice! {
    /// What five power cycles in a row do on a device without a button.
    pub enum PowerCycles {
        /// Forget the user.
        SignOut = "sign-out",
        /// Nothing.
        None = "none",
    }
}

section! {
    /// `[device]`.
    pub struct Device {
        /// Its name; without one a random id is made at first start and kept in the store.
        id: Option<DeviceId>,
        /// Of panels and messages.
        language: Language = Language::english(),
        /// How much of the account a panel shows after sign-in.
        show_account: ShowAccount = ShowAccount::Short,
        /// How buses and lines are reached.
        pins: Pins = Pins::Linux,
        /// What five power cycles do where there is no button.
        power_cycles: PowerCycles = PowerCycles::SignOut,
    }
}

section! {
    /// `[network]`.
    pub struct Network {
        /// A private authority (PEM), beside the system's or instead of them.
        ca_file: Option<AbsPath>,
        /// Whether the system's authorities are trusted.
        system_roots: bool = true,
        /// Else the environment's `HTTPS_PROXY`, `NO_PROXY`.
        proxy: Option<Proxy>,
    }
}

section! {
    /// `[broker]` as written.
    pub(super) struct BrokerKeys {
        socket: SocketPath = SocketPath::fixed("/run/signpost/token.sock"),
        allow: Vec<(Name, RuleKeys)>,
    }
}

whole! {
    /// A user's number.
    pub struct Uid(u32), 0..=4_294_967_294
}

text! {
    /// The name of a user or group on this machine.
    pub struct AccountName;
    "a user's or group's name (1 to 32 of letters, digits, ., - and _)";
    |text| (1..=32).contains(&text.len())
        && !text.starts_with('-')
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b".-_".contains(&b))
}

section! {
    /// `[broker.allow.NAME]` as written.
    pub(super) struct RuleKeys {
        enabled: bool = true,
        user: Option<AccountName>,
        group: Option<AccountName>,
        uid: Option<Uid>,
        scopes: Vec<Scope>,
        resources: Vec<Resource>,
        audiences: Vec<Text>,
        file: Option<AbsPath>,
    }
}

/// `[broker]`: local programs that may have tokens.
#[derive(Clone, Debug, PartialEq)]
pub struct Broker {
    /// The token socket.
    pub socket: SocketPath,
    /// Who else than root and the agent's own user may ask, by name.
    pub allow: Vec<(Name, Rule)>,
}

/// One rule of the broker.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    /// To whom it applies.
    pub peer: Peer,
    /// The most that a token may allow.
    pub scopes: Vec<Scope>,
    /// The APIs that a token may be for; empty: the issuer's default one.
    pub resources: Vec<Resource>,
    /// The APIs for which the sign-in's own token may be exchanged; empty: none.
    pub audiences: Vec<Text>,
    /// Where the token is kept for programs that read a file.
    pub file: Option<AbsPath>,
}

/// A program at the other end of a socket, by what the kernel says of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Peer {
    /// By its user's name.
    User(AccountName),
    /// By its primary or a supplementary group.
    Group(AccountName),
    /// By its user's number.
    Uid(Uid),
}

impl BrokerKeys {
    pub(super) fn resolve(self, at: &mut Resolve<'_>) -> Broker {
        let rules = self.allow.into_iter().filter(|(_, rule)| rule.enabled);
        let allow = rules
            .filter_map(|(name, rule)| rule.resolve(&name, at).map(|rule| (name, rule)))
            .collect();
        Broker { socket: self.socket, allow }
    }
}

impl RuleKeys {
    fn resolve(self, name: &Name, at: &mut Resolve<'_>) -> Option<Rule> {
        let key = format!("broker.allow.{name}");
        let peer = match (self.user, self.group, self.uid) {
            (Some(user), None, None) => Some(Peer::User(user)),
            (None, Some(group), None) => Some(Peer::Group(group)),
            (None, None, Some(uid)) => Some(Peer::Uid(uid)),
            (None, None, None) => {
                at.missing(&key, "it applies to nobody: set one of user, group and uid")
            }
            _ => at.wrong(
                &key,
                "found more than one of user, group and uid; keep one, \
                and write a rule for each of the others",
            ),
        };
        let is_plain = !self.scopes.is_empty() || !self.resources.is_empty();
        if !is_plain && self.audiences.is_empty() {
            return at.missing(&key, "it allows nothing: set scopes, resources or audiences");
        }
        if self.file.is_some() && !is_plain {
            let text =
                "a file holds the sign-in's own token, and the rule allows exchanged ones only";
            return at.wrong(&format!("{key}.file"), text);
        }
        if self.file.is_some() && self.resources.len() > 1 {
            let text = "a file holds one token, and there are several resources; \
                        write a rule for each";
            return at.wrong(&format!("{key}.file"), text);
        }
        let Self { scopes, resources, audiences, file, .. } = self;
        Some(Rule { peer: peer?, scopes, resources, audiences, file })
    }
}

section! {
    /// `[control]`.
    pub struct Control {
        /// For the agent's own user and root.
        socket: SocketPath = SocketPath::fixed("/run/signpost/control.sock"),
    }
}

section! {
    /// `[metrics]`: Prometheus text, besides the control socket's.
    pub struct Metrics {
        /// Where it is served.
        listen: Option<Listen>,
        /// A file for node_exporter's textfile collector.
        textfile: Option<AbsPath>,
    }
}

impl Language {
    fn english() -> Self {
        Self("en".to_owned())
    }
}
