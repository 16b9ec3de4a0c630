//! The keys that seal the stores (`store.key`): from systemd's credentials, or from files.

use super::files::{self, Unfit};
use super::identity::{Identities, Unidentified};
use super::storage::Remedy;
use crate::config::{Config, KeySource};
use rustix::rand::{GetRandomFlags, getrandom};
use signpost_store::{Entropy, OuterKeys};
use std::{
    env, fmt, io,
    path::{Path, PathBuf},
};
use zeroize::Zeroizing;

/// Bytes of a key.
const KEY: usize = 32;

/// The credential that counts without being asked for.
const CREDENTIAL: &str = "signpost.key";

type Key = Zeroizing<[u8; KEY]>;

/// What opens the stores, and what is known of it.
#[derive(Debug)]
pub(super) struct Sealing {
    /// For the token store.
    pub(super) outer: OuterKeys,
    /// Where the key that seals comes from.
    pub(super) key: Origin,
    /// What the store may be bound to.
    pub(super) identities: Identities,
}

impl Sealing {
    /// For people: what seals the token store, which has the given binding and lies behind a
    /// translation layer or not, and what that does not keep off.
    pub(super) fn describe(&self, binding: usize, translated: bool) -> Sealed {
        let first = usize::from(self.identities.none);
        let bound = binding.checked_sub(first).and_then(|n| self.identities.found.get(n));
        let key = match self.key {
            Origin::Credential => "a systemd credential",
            Origin::File => "a key file, which a copy of the disk has, too",
        };
        let board = match bound {
            Some((source, _)) => format!("bound to {}", source.name()),
            None => "bound to no board".to_owned(),
        };
        let old = if translated {
            "old copies may remain behind a translation layer (eMMC, SD)"
        } else {
            "nothing old remains after a scrub"
        };
        let detail = format!("{key}; {board}; {old}; an older image is not told from a newer one");
        // Whoever asked for no binding knows.
        let advice = (bound.is_none() && !self.identities.none).then_some(
            "set store.bind to a file that identifies the board, \
             or a copy of the card acts as this device",
        );
        Sealed { detail, advice }
    }
}

/// What `signpost check` says of the seal.
#[derive(Clone, Debug)]
pub(super) struct Sealed {
    pub(super) detail: String,
    pub(super) advice: Option<&'static str>,
}

/// Where a key comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// systemd's credentials.
    Credential,
    /// A file, which whoever copies the disk has, too.
    File,
}

/// The keys of `config`, bound to this board; the key file of `"auto"` is made where neither it nor
/// the credential is.
///
/// # Errors
/// The first key that cannot be had.
pub(super) fn load(config: &Config) -> Result<Sealing, KeyError> {
    let tokens = config.store.tokens.path.as_path();
    let places = Places {
        credentials: env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from),
        state: env::var_os("STATE_DIRECTORY").map(PathBuf::from),
        tokens,
    };
    let identities = Identities::read(&config.store.bind, tokens)
        .map_err(|Unidentified { path, error }| KeyError::Unidentified { path, error })?;
    let keys = &config.store.key;
    let sources = std::iter::once(&keys.sealing).chain(&keys.opening);
    let mut all = Vec::new();
    for source in sources {
        places.read(source, &mut all)?;
    }
    let mut all = all.into_iter();
    let (key, first) = all.next().ok_or(KeyError::Entropy)?;
    let outer = all.fold(OuterKeys::new(*first), |keys, (_, key)| keys.or(*key));
    Ok(Sealing { outer: bind(outer, &identities), key, identities })
}

/// A new store is bound to the first identity. One that is bound to nothing was made by a version
/// that bound none, or was told to.
fn bind(keys: OuterKeys, to: &Identities) -> OuterKeys {
    let mut found = to.found.iter().map(|(_, value)| value.as_slice());
    let first = if to.none { None } else { found.next() };
    let keys = first.into_iter().fold(keys, OuterKeys::bound_to);
    found.fold(keys, OuterKeys::or_bound_to).or_unbound()
}

/// Random bytes of the system. Waits for the board's entropy at its first start; it cannot fail
/// after that.
pub(super) fn entropy() -> Entropy {
    Box::new(|bytes| {
        // Nonces and keys must be random: there is no way on without.
        #[expect(clippy::expect_used, reason = "getrandom(2) fails on kernels before 3.17 only")]
        fill(bytes).expect("the system gives random bytes");
    })
}

/// Fills `bytes` from the system.
///
/// # Errors
/// The kernel has no such call.
pub(super) fn fill(mut bytes: &mut [u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match getrandom(&mut *bytes, GetRandomFlags::empty()) {
            Ok(got) => bytes = &mut bytes[got..],
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

struct Places<'a> {
    credentials: Option<PathBuf>,
    state: Option<PathBuf>,
    tokens: &'a Path,
}

impl Places<'_> {
    fn read(&self, source: &KeySource, all: &mut Vec<(Origin, Key)>) -> Result<(), KeyError> {
        match source {
            KeySource::Credential(name) => {
                all.push((Origin::Credential, self.credential(name.as_str())?));
            }
            KeySource::File(file) => all.push((Origin::File, read(file.as_path(), true)?)),
            KeySource::Auto => {
                let path = self.key_file();
                let credential = match self.credential(CREDENTIAL) {
                    Ok(key) => Some(key),
                    Err(KeyError::NoCredentials { .. }) => None,
                    Err(error) => return Err(error),
                };
                // With a credential, an older key file still opens what it has sealed.
                let kept = match (read(&path, true), &credential) {
                    (Err(KeyError::Missing { .. }), Some(_)) => None,
                    (Err(KeyError::Missing { .. }), None) => Some(make(&path)?),
                    (read, _) => Some(read?),
                };
                all.extend(credential.map(|key| (Origin::Credential, key)));
                all.extend(kept.map(|key| (Origin::File, key)));
            }
        }
        Ok(())
    }

    /// systemd checks who reads these.
    fn credential(&self, name: &str) -> Result<Key, KeyError> {
        let none = || KeyError::NoCredentials { name: name.to_owned() };
        let folder = self.credentials.as_ref().ok_or_else(none)?;
        match read(&folder.join(name), false) {
            Err(KeyError::Missing { .. }) => Err(none()),
            read => read,
        }
    }

    /// Beside the token store; where that is a device, in the state folder.
    fn key_file(&self) -> PathBuf {
        let folder = if self.tokens.starts_with("/dev") {
            self.state.as_deref().unwrap_or(Path::new("/var/lib/signpost"))
        } else {
            files::folder_of(self.tokens)
        };
        folder.join(CREDENTIAL)
    }
}

fn read(path: &Path, private: bool) -> Result<Key, KeyError> {
    let path_of = || path.to_owned();
    // One byte more than a key has tells a longer file.
    let bytes = files::read(path, KEY as u64 + 1, private).map_err(|unfit| match unfit {
        Unfit::Missing => KeyError::Missing { path: path_of() },
        Unfit::Owner(uid) => KeyError::Owner { path: path_of(), uid },
        Unfit::Mode(mode) => KeyError::Mode { path: path_of(), mode },
        Unfit::Io(error) => KeyError::Unreadable { path: path_of(), error },
    })?;
    let key = <[u8; KEY]>::try_from(bytes.as_slice());
    key.map(Zeroizing::new).map_err(|_| KeyError::Length { path: path_of() })
}

fn make(path: &Path) -> Result<Key, KeyError> {
    let mut key = Zeroizing::new([0; KEY]);
    fill(&mut *key).map_err(|_| KeyError::Entropy)?;
    files::make_folder(files::folder_of(path))
        .and_then(|()| files::replace(path, &*key, true))
        .map_err(|error| KeyError::NotMade { path: path.to_owned(), error })?;
    Ok(key)
}

/// Why there is no key.
#[derive(Debug)]
pub enum KeyError {
    /// There is no such file.
    Missing {
        /// Which.
        path: PathBuf,
    },
    /// systemd passes no credentials, or others.
    NoCredentials {
        /// The one that is wanted.
        name: String,
    },
    /// It is somebody else's.
    Owner {
        /// Which.
        path: PathBuf,
        /// Whose.
        uid: u32,
    },
    /// Others may read it.
    Mode {
        /// Which.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// It is not 32 bytes long.
    Length {
        /// Which.
        path: PathBuf,
    },
    /// The system does not let it be read.
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// The key file could not be made.
    NotMade {
        /// Which.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// The system gives no random bytes.
    Entropy,
    /// The file that the store is bound to says nothing.
    Unidentified {
        /// Which.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
}

impl KeyError {
    /// Who can mend it.
    pub fn remedy(&self) -> Remedy {
        match self {
            Self::Unreadable { error, .. } | Self::NotMade { error, .. }
                if error.kind() == io::ErrorKind::PermissionDenied =>
            {
                Remedy::Rights
            }
            Self::Unreadable { .. } | Self::NotMade { .. } => Remedy::Later,
            // A driver may be late. Blank fuses stay blank.
            Self::Unidentified { error, .. } if error.kind() != io::ErrorKind::InvalidData => {
                Remedy::Later
            }
            Self::Unidentified { .. }
            | Self::Missing { .. }
            | Self::NoCredentials { .. }
            | Self::Owner { .. }
            | Self::Mode { .. }
            | Self::Length { .. }
            | Self::Entropy => Remedy::Configuration,
        }
    }

    fn advice(&self) -> &'static str {
        match self.remedy() {
            Remedy::Rights => "hand it to the agent's user (chown signpost)",
            Remedy::OneAgent | Remedy::Configuration | Remedy::Later => {
                "check the disk, its room and its rights"
            }
        }
    }
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = if let Self::Unidentified { .. } = self { "bind" } else { "key" };
        write!(f, "store.{key}: ")?;
        match self {
            Self::Missing { path } => {
                write!(f, "there is no {}; put {KEY} random bytes there", path.display())
            }
            Self::NoCredentials { name } => write!(
                f,
                "no credential {name} was passed; put it into /etc/credstore.encrypted \
                 (systemd-creds encrypt), and LoadCredentialEncrypted={name} into the unit"
            ),
            Self::Owner { path, uid } => {
                let path = path.display();
                write!(f, "{path} belongs to user {uid}; hand it to the agent's (chown signpost)")
            }
            Self::Mode { path, mode } => {
                let path = path.display();
                write!(f, "{path} is open to others (mode {mode:04o}); close it (chmod 0600)")
            }
            Self::Length { path } => write!(
                f,
                "{} is not {KEY} bytes long; restore it, or remove it to begin with a new key \
                 and a new sign-in",
                path.display()
            ),
            Self::Unreadable { path, error } => {
                let advice = self.advice();
                write!(f, "cannot read {}: {error}; {advice}", path.display())
            }
            Self::NotMade { path, error } => {
                let advice = self.advice();
                write!(f, "cannot make {}: {error}; {advice}", path.display())
            }
            Self::Unidentified { path, error } => {
                let path = path.display();
                write!(f, "{path} does not say which board this is: {error}; name a file that does")
            }
            Self::Entropy => {
                f.write_str("the system gives no random bytes; use Linux 3.17 or later")
            }
        }
    }
}

impl std::error::Error for KeyError {}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs, os::unix::fs::PermissionsExt};

    struct Board(tempfile::TempDir);

    impl Board {
        fn new() -> Self {
            Self(tempfile::tempdir().unwrap())
        }

        fn path(&self, name: &str) -> PathBuf {
            self.0.path().join(name)
        }

        /// The keys of `"auto"`, with credentials or without.
        fn auto(&self, credentials: bool) -> Result<Vec<[u8; KEY]>, KeyError> {
            let places = Places {
                credentials: credentials.then(|| self.path("credentials")),
                state: None,
                tokens: &self.path("state/tokens.flash"),
            };
            let mut all = Vec::new();
            places.read(&KeySource::Auto, &mut all)?;
            Ok(all.iter().map(|(_, key)| **key).collect())
        }

        fn give_credential(&self, byte: u8) {
            fs::create_dir_all(self.path("credentials")).unwrap();
            files::replace(&self.path("credentials/signpost.key"), &[byte; KEY], false).unwrap();
        }
    }

    #[test]
    fn a_key_file_is_made_once_and_for_this_user_alone() {
        let board = Board::new();
        let first = board.auto(false).unwrap();
        assert_eq!(board.auto(false).unwrap(), first);
        assert_ne!(first, [[0; KEY]]);
        let mode = |path| fs::metadata(board.path(path)).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode("state"), mode("state/signpost.key")), (0o700, 0o600));
        assert_ne!(Board::new().auto(false).unwrap(), first, "another board, another key");
    }

    #[test]
    fn a_credential_seals_and_an_older_key_file_still_opens() {
        let board = Board::new();
        let kept = board.auto(false).unwrap();
        board.give_credential(7);
        assert_eq!(board.auto(true).unwrap(), [[7; KEY], kept[0]]);
        let fresh = Board::new();
        fresh.give_credential(8);
        assert_eq!(fresh.auto(true).unwrap(), [[8; KEY]]);
        assert!(!fresh.path("state").exists(), "no key file beside a credential");
    }

    #[test]
    fn a_key_that_cannot_be_right_is_told_in_one_line() {
        let board = Board::new();
        board.auto(false).unwrap();
        let path = board.path("state/signpost.key");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let open = board.auto(false).unwrap_err();
        assert!(matches!(open, KeyError::Mode { mode: 0o640, .. }), "{open}");
        for length in [0, KEY - 1, KEY + 1, 100_000] {
            files::replace(&path, &vec![1; length], false).unwrap();
            let wrong = board.auto(false).unwrap_err();
            assert!(matches!(wrong, KeyError::Length { .. }), "{wrong}");
            assert_eq!(wrong.remedy(), Remedy::Configuration);
            assert!(!wrong.to_string().contains('\n'), "{wrong}");
        }
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        assert!(matches!(board.auto(false), Err(KeyError::Unreadable { .. })));
    }

    #[test]
    fn a_cut_while_the_key_was_made_leaves_no_trap() {
        let board = Board::new();
        fs::create_dir(board.path("state")).unwrap();
        std::os::unix::fs::symlink(board.path("victim"), board.path("state/signpost.key.new"))
            .unwrap();
        board.auto(false).unwrap();
        assert!(!board.path("victim").exists(), "not written through a link");
    }

    #[test]
    fn a_credential_that_is_not_passed_names_the_unit_line() {
        let tokens = Path::new("/var/lib/signpost/tokens.flash");
        // systemd passes none, or others.
        let others = tempfile::tempdir().unwrap();
        for credentials in [None, Some(others.path().to_owned())] {
            let places = Places { credentials, state: None, tokens };
            let error = places.credential("vault.key").unwrap_err().to_string();
            assert!(error.contains("LoadCredentialEncrypted=vault.key"), "{error}");
            assert!(error.contains("/etc/credstore.encrypted"), "{error}");
        }
    }

    #[test]
    fn a_token_store_on_a_device_has_its_key_in_the_state_folder() {
        let of = |state: Option<&str>| {
            let state = state.map(PathBuf::from);
            let tokens = Path::new("/dev/mtd3");
            Places { credentials: None, state, tokens }.key_file()
        };
        assert_eq!(of(None), Path::new("/var/lib/signpost/signpost.key"));
        assert_eq!(of(Some("/data/signpost")), Path::new("/data/signpost/signpost.key"));
    }
}
