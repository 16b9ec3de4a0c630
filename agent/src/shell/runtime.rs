//! The runtime folder: what survives a restart of the agent but not of the board. Never on flash,
//! for it holds a device code.

use super::files;
use crate::config::Config;
use signpost_core::{secret::Secret, session::PendingSignIn, time::Boot};
use signpost_store::fields::{FieldError, Fields};
use std::{
    env, io,
    path::{Path, PathBuf},
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
}

/// The sign-in under way, in `pending`.
#[derive(Debug)]
pub(super) struct Runtime {
    path: PathBuf,
    boot_id: [u8; 16],
}

impl Runtime {
    /// In `$RUNTIME_DIRECTORY` (systemd's), else beside the control socket.
    pub(super) fn new(config: &Config, boot_id: [u8; 16]) -> Self {
        let given = env::var_os("RUNTIME_DIRECTORY");
        // There may be several, with colons between.
        let given = given.as_ref().and_then(|all| env::split_paths(all).next());
        let folder =
            given.unwrap_or_else(|| files::folder_of(config.control.socket.as_path()).to_owned());
        Self::at(&folder, boot_id)
    }

    /// In `folder`.
    pub(super) fn at(folder: &Path, boot_id: [u8; 16]) -> Self {
        Self { path: folder.join("pending"), boot_id }
    }

    /// The sign-in that an earlier run of this same boot left; anything else there is removed.
    pub(super) fn load(&self) -> Option<PendingSignIn> {
        let bytes = files::read(&self.path, MAX, true).ok();
        let pending = bytes.and_then(|bytes| decode(&bytes, self.boot_id));
        if pending.is_none() {
            // It will be overwritten or is of no use: both without it.
            let _ = files::remove(&self.path);
        }
        pending
    }

    /// Keeps `pending`, or removes what is kept.
    ///
    /// # Errors
    /// The folder cannot be written: after a restart there will be a new code.
    pub(super) fn save(&self, pending: Option<&PendingSignIn>) -> io::Result<()> {
        let Some(pending) = pending else { return files::remove(&self.path) };
        files::make_folder(files::folder_of(&self.path))?;
        let bytes = encode(pending, self.boot_id).map_err(|_| io::ErrorKind::InvalidData)?;
        // In memory: nothing to flush, and nothing that a cut of power should leave.
        files::replace(&self.path, &bytes, false)
    }
}

fn encode(pending: &PendingSignIn, boot_id: [u8; 16]) -> Result<Zeroizing<Vec<u8>>, FieldError> {
    let mut fields = Fields::new()
        .with(tag::BOOT_ID, &boot_id)?
        .with(tag::DEVICE_CODE, pending.device_code.expose())?
        .with(tag::USER_CODE, &pending.user_code)?
        .with(tag::URI, &pending.verification_uri)?
        .with(tag::EXPIRES, &pending.expires.since_boot())?
        .with(tag::INTERVAL, &pending.interval)?
        .with(tag::NEXT_POLL, &pending.next_poll.since_boot())?
        .with(tag::RENEWALS, &pending.renewals)?;
    if let Some(complete) = &pending.verification_uri_complete {
        fields.set(tag::URI_COMPLETE, complete)?;
    }
    Ok(fields.to_bytes())
}

fn decode(bytes: &[u8], boot_id: [u8; 16]) -> Option<PendingSignIn> {
    let fields = Fields::parse(bytes).ok()?;
    if fields.get::<[u8; 16]>(tag::BOOT_ID).ok()?? != boot_id {
        return None;
    }
    let instant = |tag| Some(Boot::new(fields.get::<Duration>(tag).ok()??));
    Some(PendingSignIn {
        device_code: Secret::new(fields.get::<String>(tag::DEVICE_CODE).ok()??),
        user_code: fields.get(tag::USER_CODE).ok()??,
        verification_uri: fields.get(tag::URI).ok()??,
        verification_uri_complete: fields.get(tag::URI_COMPLETE).ok()?,
        expires: instant(tag::EXPIRES)?,
        interval: fields.get(tag::INTERVAL).ok()??,
        next_poll: instant(tag::NEXT_POLL)?,
        renewals: fields.get(tag::RENEWALS).ok()??,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const THIS_BOOT: [u8; 16] = [7; 16];

    fn pending() -> PendingSignIn {
        PendingSignIn {
            device_code: Secret::new("dc-secret"),
            user_code: "WDJB-MJHT".into(),
            verification_uri: "https://idp.example/device".into(),
            verification_uri_complete: None,
            expires: Boot::new(Duration::from_secs(700)),
            interval: Duration::from_secs(10),
            next_poll: Boot::new(Duration::from_millis(100_500)),
            renewals: 2,
        }
    }

    #[test]
    fn a_restart_of_the_agent_finds_it_again() {
        let folder = tempfile::tempdir().unwrap();
        let runtime = Runtime::at(&folder.path().join("signpost"), THIS_BOOT);
        assert_eq!(runtime.load(), None);
        let complete = PendingSignIn {
            verification_uri_complete: Some("https://idp.example/device?c=1".into()),
            ..pending()
        };
        for pending in [pending(), complete] {
            runtime.save(Some(&pending)).unwrap();
            assert_eq!(runtime.load(), Some(pending));
        }
        use std::os::unix::fs::PermissionsExt;
        let mode = std::fs::metadata(&runtime.path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        runtime.save(None).unwrap();
        assert_eq!(runtime.load(), None);
    }

    #[test]
    fn what_another_boot_left_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        Runtime::at(folder.path(), [8; 16]).save(Some(&pending())).unwrap();
        assert_eq!(Runtime::at(folder.path(), THIS_BOOT).load(), None);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn garbage_is_no_sign_in() {
        let good = encode(&pending(), THIS_BOOT).unwrap();
        assert!(decode(&good, THIS_BOOT).is_some());
        for cut in 0..good.len() {
            assert_eq!(decode(&good[..cut], THIS_BOOT), None, "cut at {cut}");
        }
        assert_eq!(decode(&[0xff; 4096], THIS_BOOT), None);
        assert_eq!(decode(&good, [8; 16]), None);
    }
}
