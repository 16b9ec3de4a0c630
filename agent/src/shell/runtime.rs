//! The runtime folder: what survives a restart of the agent but not of the board. Never on flash,
//! for it holds a device code.

use super::files;
use crate::config::Config;
use signpost_core::{
    issuer::IssuedBy,
    secret::Secret,
    session::{Carried, PendingSignIn, Quiet},
    time::Boot,
};
use signpost_store::fields::{FieldError, Fields};
use std::{
    env, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use zeroize::Zeroizing;

/// Largest file that is read back.
const MAX: u64 = 16 * 1024;

/// Tags of the file's fields: they never change their type.
mod tag {
    pub(super) const BOOT_ID: u16 = 1;
    pub(super) const DEVICE_CODE: u16 = 2;
    pub(super) const USER_CODE: u16 = 3;
    pub(super) const URI: u16 = 4;
    pub(super) const URI_COMPLETE: u16 = 5;
    pub(super) const EXPIRES: u16 = 6;
    pub(super) const INTERVAL: u16 = 7;
    pub(super) const NEXT_POLL: u16 = 8;
    pub(super) const RENEWALS: u16 = 9;
    pub(super) const QUIET_CODE: u16 = 10;
    pub(super) const QUIET_REFRESH: u16 = 11;
    pub(super) const QUIET_REVOKE: u16 = 12;
    pub(super) const QUIET_OWN_NAME: u16 = 13;
    pub(super) const ISSUED_BY: u16 = 14;
}

/// `$RUNTIME_DIRECTORY` (systemd's), else where the control socket is.
pub(super) fn folder(config: &Config) -> PathBuf {
    let given = env::var_os("RUNTIME_DIRECTORY");
    // There may be several, with colons between.
    let given = given.as_ref().and_then(|all| env::split_paths(all).next());
    given.unwrap_or_else(|| files::folder_of(config.control.socket.as_path()).to_owned())
}

/// The sign-in under way, in `pending`.
#[derive(Debug)]
pub(super) struct Runtime {
    path: PathBuf,
    boot_id: [u8; 16],
}

impl Runtime {
    /// In [`folder`].
    pub(super) fn new(config: &Config, boot_id: [u8; 16]) -> Self {
        Self::at(&folder(config), boot_id)
    }

    /// In `folder`.
    pub(super) fn at(folder: &Path, boot_id: [u8; 16]) -> Self {
        Self { path: folder.join("pending"), boot_id }
    }

    /// What an earlier run of this same boot left; anything else there is removed.
    pub(super) fn load(&self) -> Carried {
        let bytes = files::read(&self.path, MAX, true).ok();
        let carried = bytes.and_then(|bytes| decode(&bytes, self.boot_id));
        if carried.is_none() {
            // It will be overwritten or is of no use: both without it.
            let _ = files::remove(&self.path);
        }
        carried.unwrap_or_default()
    }

    /// Keeps `carried`, or removes what is kept where that is nothing.
    ///
    /// # Errors
    /// The folder cannot be written: after a restart there will be a new code.
    pub(super) fn save(&self, carried: &Carried) -> io::Result<()> {
        if *carried == Carried::default() {
            return files::remove(&self.path);
        }
        files::make_folder(files::folder_of(&self.path))?;
        let bytes = encode(carried, self.boot_id).map_err(|_| io::ErrorKind::InvalidData)?;
        // In memory: nothing to flush, and nothing that a cut of power should leave.
        files::replace(&self.path, &bytes, false)
    }
}

fn encode(carried: &Carried, boot_id: [u8; 16]) -> Result<Zeroizing<Vec<u8>>, FieldError> {
    let mut fields = Fields::new().with(tag::BOOT_ID, &boot_id)?;
    let Quiet { code, refresh, revoke, own_name } = carried.quiet;
    for (tag, at) in [
        (tag::QUIET_CODE, code),
        (tag::QUIET_REFRESH, refresh),
        (tag::QUIET_REVOKE, revoke),
        (tag::QUIET_OWN_NAME, own_name),
    ] {
        if let Some(at) = at {
            fields.set(tag, &at.since_boot())?;
        }
    }
    if let Some(pending) = &carried.pending {
        // Before all that a sign-in cannot be without: it is never left without its issuer.
        if let Some(by) = &pending.issued_by {
            fields.set(tag::ISSUED_BY, &(&by.url, &by.origin))?;
        }
        fields.set(tag::DEVICE_CODE, pending.device_code.expose())?;
        fields.set(tag::USER_CODE, &pending.user_code)?;
        fields.set(tag::URI, &pending.verification_uri)?;
        fields.set(tag::EXPIRES, &pending.expires.since_boot())?;
        fields.set(tag::INTERVAL, &pending.interval)?;
        fields.set(tag::NEXT_POLL, &pending.next_poll.since_boot())?;
        fields.set(tag::RENEWALS, &pending.renewals)?;
        if let Some(complete) = &pending.verification_uri_complete {
            fields.set(tag::URI_COMPLETE, complete)?;
        }
    }
    Ok(fields.to_bytes())
}

fn decode(bytes: &[u8], boot_id: [u8; 16]) -> Option<Carried> {
    let fields = Fields::parse(bytes).ok()?;
    if fields.get::<[u8; 16]>(tag::BOOT_ID).ok()?? != boot_id {
        return None;
    }
    let instant = |tag| Some(fields.get::<Duration>(tag).ok()?.map(Boot::new));
    let code = fields.get::<String>(tag::DEVICE_CODE).ok()?.map(Secret::new);
    let pending = |device_code| {
        Some(PendingSignIn {
            device_code,
            user_code: fields.get(tag::USER_CODE).ok()??,
            verification_uri: fields.get(tag::URI).ok()??,
            verification_uri_complete: fields.get(tag::URI_COMPLETE).ok()?,
            expires: instant(tag::EXPIRES)??,
            interval: fields.get(tag::INTERVAL).ok()??,
            next_poll: instant(tag::NEXT_POLL)??,
            renewals: fields.get(tag::RENEWALS).ok()??,
            issued_by: fields
                .get(tag::ISSUED_BY)
                .ok()?
                .map(|(url, origin)| Arc::new(IssuedBy { url, origin })),
        })
    };
    Some(Carried {
        pending: match code {
            Some(code) => Some(pending(code)?),
            None => None,
        },
        quiet: Quiet {
            code: instant(tag::QUIET_CODE)?,
            refresh: instant(tag::QUIET_REFRESH)?,
            revoke: instant(tag::QUIET_REVOKE)?,
            own_name: instant(tag::QUIET_OWN_NAME)?,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const THIS_BOOT: [u8; 16] = [7; 16];

    fn carried() -> Carried {
        let pending = PendingSignIn {
            device_code: Secret::new("dc-secret"),
            user_code: "WDJB-MJHT".into(),
            verification_uri: "https://idp.example/device".into(),
            verification_uri_complete: None,
            expires: Boot::new(Duration::from_secs(700)),
            interval: Duration::from_secs(10),
            next_poll: Boot::new(Duration::from_millis(100_500)),
            renewals: 2,
            issued_by: Some(Arc::new(IssuedBy { url: None, origin: "https://idp.example".into() })),
        };
        Carried { pending: Some(pending), quiet: Quiet::default() }
    }

    fn quiet() -> Carried {
        let at = |seconds| Some(Boot::new(Duration::from_secs(seconds)));
        let quiet = Quiet { code: None, refresh: at(900), revoke: at(86_400), own_name: at(60) };
        Carried { pending: None, quiet }
    }

    #[test]
    fn a_restart_of_the_agent_finds_it_again() {
        let folder = tempfile::tempdir().unwrap();
        let runtime = Runtime::at(&folder.path().join("signpost"), THIS_BOOT);
        assert_eq!(runtime.load(), Carried::default());
        let mut complete = carried();
        if let Some(pending) = &mut complete.pending {
            pending.verification_uri_complete = Some("https://idp.example/device?c=1".into());
        }
        let both = Carried { quiet: quiet().quiet, ..carried() };
        for carried in [carried(), complete, quiet(), both] {
            runtime.save(&carried).unwrap();
            assert_eq!(runtime.load(), carried);
        }
        use std::os::unix::fs::PermissionsExt;
        let mode = std::fs::metadata(&runtime.path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        runtime.save(&Carried::default()).unwrap();
        assert!(!runtime.path.exists());
        assert_eq!(runtime.load(), Carried::default());
    }

    #[test]
    fn what_another_boot_left_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        Runtime::at(folder.path(), [8; 16]).save(&carried()).unwrap();
        assert_eq!(Runtime::at(folder.path(), THIS_BOOT).load(), Carried::default());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn garbage_is_no_sign_in() {
        let good = encode(&carried(), THIS_BOOT).unwrap();
        assert!(decode(&good, THIS_BOOT).is_some());
        for cut in 0..good.len() {
            let left = decode(&good[..cut], THIS_BOOT);
            assert!(left.is_none_or(|left| left.pending.is_none()), "cut at {cut}");
        }
        assert_eq!(decode(&[0xff; 4096], THIS_BOOT), None);
        assert_eq!(decode(&good, [8; 16]), None);
    }
}
