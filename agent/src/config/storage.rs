//! `[store]`: where tokens and the spool live, and what seals them.

use std::borrow::Cow;

use config::{Value, ValueKind};

use super::reading::{Reading, Scalar, Setting, found, section, text};
use super::value::{AbsPath, Size, Span, text};

section! {
    /// `[store]`.
    pub struct Store {
        /// The token store's medium.
        tokens: TokensMedium,
        /// The spool's medium.
        spool: SpoolMedium,
        /// What seals them.
        key: SealingKeys,
        /// What tells this board from one with a copy of its card.
        bind: Bind,
        /// How long an acknowledgement may wait for others to share its flush.
        commit: Commit,
    }
}

section! {
    /// `store.tokens`.
    pub struct TokensMedium {
        /// A file, a partition or /dev/mtdN.
        path: AbsPath = AbsPath::fixed("/var/lib/signpost/tokens.flash"),
        /// How much of it is used.
        size: TokensSize,
    }
}

section! {
    /// `store.spool`.
    pub struct SpoolMedium {
        /// A file, a partition or /dev/mtdN.
        path: AbsPath = AbsPath::fixed("/var/lib/signpost/spool.flash"),
        /// How much of it is used.
        size: SpoolSize,
    }
}

/// From 16 KiB to 16 MiB.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokensSize(Size);

impl TokensSize {
    /// The size.
    pub fn get(self) -> Size {
        self.0
    }
}

impl Default for TokensSize {
    fn default() -> Self {
        Self(Size::kib(64))
    }
}

impl Scalar for TokensSize {
    fn allowed() -> Cow<'static, str> {
        "a size from \"16 KiB\" to \"16 MiB\", a multiple of 4 KiB".into()
    }

    fn parse(text: &str) -> Result<Self, &'static str> {
        in_blocks(text, Size::kib(16), Size::kib(16 << 10)).map(Self)
    }

    fn text(&self) -> String {
        self.0.to_string()
    }
}

/// How much of its medium the spool may take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SpoolSize {
    /// At most a tenth of what is free when the file is made; the whole of a partition.
    #[default]
    Auto,
    /// From 128 KiB to 1 TiB.
    Fixed(Size),
}

impl Scalar for SpoolSize {
    fn allowed() -> Cow<'static, str> {
        "\"auto\" or a size from \"128 KiB\" to \"1024 GiB\", a multiple of 4 KiB".into()
    }

    fn parse(text: &str) -> Result<Self, &'static str> {
        match text {
            "auto" => Ok(Self::Auto),
            _ => in_blocks(text, Size::kib(128), Size::kib(1 << 30)).map(Self::Fixed),
        }
    }

    fn text(&self) -> String {
        match self {
            Self::Auto => "auto".to_owned(),
            Self::Fixed(size) => size.to_string(),
        }
    }
}

fn in_blocks(text: &str, least: Size, most: Size) -> Result<Size, &'static str> {
    let size = Size::parse(text)?;
    let fits = (least..=most).contains(&size) && size.bytes() % Size::kib(4).bytes() == 0;
    if fits { Ok(size) } else { Err("") }
}

/// How long an acknowledgement may wait for others to share its flush.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Commit {
    /// As soon as it pays: who comes alone waits for nobody, few small records for 20 ms.
    #[default]
    Each,
    /// Records that come within this span share one flush: less wear, later answers.
    Within(Span),
}

impl Scalar for Commit {
    fn allowed() -> Cow<'static, str> {
        "\"each\" or a span from \"1 ms\" to \"30 s\"".into()
    }

    fn parse(text: &str) -> Result<Self, &'static str> {
        match text {
            "each" => Ok(Self::Each),
            _ => match Span::parse(text)? {
                span if span <= Span::seconds(30) => Ok(Self::Within(span)),
                _ => Err("programs would wait too long for their answer"),
            },
        }
    }

    fn text(&self) -> String {
        match self {
            Self::Each => "each".to_owned(),
            Self::Within(span) => span.to_string(),
        }
    }
}

text! {
    /// The name of a systemd credential.
    pub struct CredentialName;
    "1 to 64 of letters, digits, ., - and _";
    |text| (1..=64).contains(&text.len())
        && !text.starts_with('.')
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b".-_".contains(&b))
}

/// Where a sealing key comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeySource {
    /// The systemd credential `signpost.key` if there is one, else a key file made at first start.
    Auto,
    /// A systemd credential.
    Credential(CredentialName),
    /// A file.
    File(AbsPath),
}

impl Scalar for KeySource {
    const GUARDED: bool = true;

    fn allowed() -> Cow<'static, str> {
        "\"auto\" | \"credential:NAME\" | \"file:/PATH\"".into()
    }

    fn parse(text: &str) -> Result<Self, &'static str> {
        match text.split_once(':') {
            None if text == "auto" => Ok(Self::Auto),
            Some(("credential", name)) => CredentialName::parse(name).map(Self::Credential),
            Some(("file", path)) => AbsPath::parse(path).map(Self::File),
            _ => Err("the key itself never stands in the configuration"),
        }
    }

    fn text(&self) -> String {
        match self {
            Self::Auto => "auto".to_owned(),
            Self::Credential(name) => format!("credential:{name}"),
            Self::File(file) => format!("file:{}", file.text()),
        }
    }
}

/// One to eight sources of sealing keys: the first seals, the others only open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealingKeys {
    /// Seals, and opens.
    pub sealing: KeySource,
    /// Only open.
    pub opening: Vec<KeySource>,
}

impl Default for SealingKeys {
    fn default() -> Self {
        Self { sealing: KeySource::Auto, opening: Vec::new() }
    }
}

impl Setting for SealingKeys {
    fn read(node: &mut Value, at: &mut Reading) -> Option<Self> {
        let list = matches!(node.kind, ValueKind::Array(_));
        let mut sources = if list || text(node).is_some_and(|text| text.contains(',')) {
            Vec::<KeySource>::read(node, at)?
        } else {
            vec![KeySource::read(node, at)?]
        };
        match sources.len() {
            1..=8 => {
                let sealing = sources.remove(0);
                Some(Self { sealing, opening: sources })
            }
            _ => at.refuse(node, &found(node, true), "one to eight sources of keys", ""),
        }
    }

    fn list(&self, key: &str, out: &mut Vec<(String, String)>) {
        if self.opening.is_empty() {
            return self.sealing.list(key, out);
        }
        let all: Vec<KeySource> =
            std::iter::once(&self.sealing).chain(&self.opening).cloned().collect();
        all.list(key, out);
    }
}

/// What a new token store is bound to: on a board with another it is foreign.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Bind {
    /// The board's serial number, its card's or its machine id, whichever there is first.
    #[default]
    Auto,
    /// Nothing: the card may move between boards, and a copy of it signs in as this device.
    None,
    /// What a file says, fuses for example.
    File(AbsPath),
}

impl Scalar for Bind {
    fn allowed() -> Cow<'static, str> {
        "\"auto\" | \"none\" | \"file:/PATH\"".into()
    }

    fn parse(text: &str) -> Result<Self, &'static str> {
        match text.split_once(':') {
            None if text == "auto" => Ok(Self::Auto),
            None if text == "none" => Ok(Self::None),
            Some(("file", path)) => AbsPath::parse(path).map(Self::File),
            _ => Err(""),
        }
    }

    fn text(&self) -> String {
        match self {
            Self::Auto => "auto".to_owned(),
            Self::None => "none".to_owned(),
            Self::File(path) => format!("file:{}", path.as_path().display()),
        }
    }
}
