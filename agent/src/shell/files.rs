//! Small private files, replaced as a whole.

use rustix::process::geteuid;
use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};
use zeroize::Zeroizing;

/// Makes the folder at `path`, and those above it, for the agent's user alone.
pub(super) fn make_folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// The folder that `path` lies in.
pub(super) fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// `path` with `suffix` at the end of its name.
pub(super) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// Puts `bytes` at `path`, mode 0600; after a cut at any instant the old file or the new one is
/// there. `durable`: returns once it survives a cut of power.
pub(super) fn replace(path: &Path, bytes: &[u8], durable: bool) -> io::Result<()> {
    let draft = beside(path, ".new");
    // Whatever an earlier cut left, a link in particular, is not written through.
    remove(&draft)?;
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
    file.write_all(bytes)?;
    if durable {
        file.sync_all()?;
    }
    fs::rename(&draft, path)?;
    if durable { sync_folder(path) } else { Ok(()) }
}

/// Makes what happened to names in the folder of `path` durable.
pub(super) fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(folder_of(path))?.sync_all()
}

/// Removes the file at `path`, if there is one.
pub(super) fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// What is wrong with a private file.
#[derive(Debug)]
pub(super) enum Unfit {
    /// It is not there.
    Missing,
    /// Somebody else than this user and root owns it.
    Owner(u32),
    /// Others may read or write it.
    Mode(u32),
    /// It is no regular file, or the system says no.
    Io(io::Error),
}

/// At most `limit` bytes of the regular file at `path`. `private`: it has to be this user's or
/// root's, and closed to everybody else.
pub(super) fn read(path: &Path, limit: u64, private: bool) -> Result<Zeroizing<Vec<u8>>, Unfit> {
    let flags = rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::NOCTTY;
    let open = OpenOptions::new().read(true).custom_flags(flags.bits().cast_signed()).open(path);
    let file = match open {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(Unfit::Missing),
        open => open.map_err(Unfit::Io)?,
    };
    let meta = file.metadata().map_err(Unfit::Io)?;
    if !meta.is_file() {
        return Err(Unfit::Io(io::Error::other("it is not a regular file")));
    }
    if private && ![0, geteuid().as_raw()].contains(&meta.uid()) {
        return Err(Unfit::Owner(meta.uid()));
    }
    if private && meta.mode() & 0o077 != 0 {
        return Err(Unfit::Mode(meta.mode() & 0o777));
    }
    let mut bytes = Zeroizing::new(Vec::with_capacity(limit.min(meta.len() + 1) as usize));
    file.take(limit).read_to_end(&mut bytes).map_err(Unfit::Io)?;
    Ok(bytes)
}
