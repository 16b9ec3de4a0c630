//! Sockets that systemd has opened before the agent (socket activation, sd_listen_fds(3)): programs
//! may start first, and lose nothing while the agent restarts.

#![expect(unsafe_code, reason = "a number in the environment names a descriptor; one call, here")]

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd as _, FromRawFd as _, OwnedFd};
use std::os::unix::net::UnixListener;
use std::path::Path;

use rustix::net::sockopt::socket_acceptconn;
use rustix::net::{SocketAddrUnix, getsockname};

/// The listening sockets that were there before. They stay open as long as the process lives, so
/// that a reload finds them again.
#[derive(Debug, Default)]
pub struct Inherited(Vec<OwnedFd>);

impl Inherited {
    /// What systemd hands over to this process. To be called once, before anything else opens a
    /// file.
    pub fn take() -> Self {
        let given = sd_notify::listen_fds().into_iter().flatten();
        let owned = given.map(|fd| {
            // SAFETY: systemd says that these are open and this process's own (it names our id),
            // and nothing else here has taken them: this is called once, first of all.
            unsafe { OwnedFd::from_raw_fd(fd) }
        });
        Self(owned.filter(|fd| socket_acceptconn(fd).unwrap_or(false)).collect())
    }

    /// The one that listens at `address`.
    pub(super) fn tcp(&self, address: SocketAddr) -> io::Result<Option<TcpListener>> {
        for fd in &self.0 {
            let bound = getsockname(fd).ok().and_then(|it| SocketAddr::try_from(it).ok());
            if bound == Some(address) {
                return Ok(Some(TcpListener::from(fd.as_fd().try_clone_to_owned()?)));
            }
        }
        Ok(None)
    }

    /// The one that listens at `path`.
    pub(super) fn unix(&self, path: &Path) -> io::Result<Option<UnixListener>> {
        let wanted = SocketAddrUnix::new(path)?;
        for fd in &self.0 {
            let bound = getsockname(fd).ok().and_then(|it| SocketAddrUnix::try_from(it).ok());
            if bound.as_ref() == Some(&wanted) {
                return Ok(Some(UnixListener::from(fd.as_fd().try_clone_to_owned()?)));
            }
        }
        Ok(None)
    }
}
