//! Who is at the other end of a Unix socket, as the kernel knows it (unix(7)).

#![expect(unsafe_code, reason = "no crate has SO_PEERGROUPS; one call, here")]

use std::io;
use std::os::fd::{AsFd, AsRawFd as _};

use rustix::process::geteuid;

/// Most groups that a process may be in (NGROUPS_MAX).
const MOST_GROUPS: usize = 65_536;

/// A program of this device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Peer {
    /// Its effective user when it connected.
    pub(crate) user: u32,
    /// Its effective group then, and its supplementary ones.
    pub(crate) groups: Vec<u32>,
}

impl Peer {
    /// Whoever is at the other end of `stream`.
    ///
    /// # Errors
    /// The kernel does not say.
    pub(super) fn of(stream: &tokio::net::UnixStream) -> io::Result<Self> {
        let credentials = stream.peer_cred()?;
        let mut groups = supplementary(stream)?;
        groups.push(credentials.gid());
        Ok(Self { user: credentials.uid(), groups })
    }

    /// Whether it is the agent's own user, or root.
    pub(crate) fn is_owner(&self) -> bool {
        self.user == 0 || self.user == geteuid().as_raw()
    }
}

fn supplementary(stream: &impl AsFd) -> io::Result<Vec<u32>> {
    let mut groups = vec![0_u32; 32];
    loop {
        let room = groups.len() * size_of::<u32>();
        let mut length = libc::socklen_t::try_from(room).map_err(io::Error::other)?;
        // SAFETY: the kernel writes at most `length` bytes, which is what `groups` has room for,
        // and the descriptor is open for the length of the call.
        let done = unsafe {
            libc::getsockopt(
                stream.as_fd().as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_PEERGROUPS,
                groups.as_mut_ptr().cast(),
                &raw mut length,
            )
        };
        let needed = usize::try_from(length).map_err(io::Error::other)? / size_of::<u32>();
        if done == 0 {
            groups.truncate(needed);
            return Ok(groups);
        }
        let error = io::Error::last_os_error();
        if error.raw_os_error() != Some(libc::ERANGE) || needed > MOST_GROUPS {
            return Err(error);
        }
        // It has said how many there are.
        groups.resize(needed.max(groups.len() * 2), 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::process::{getegid, getgroups};

    #[tokio::test]
    async fn both_ends_of_a_pair_are_this_process() {
        let (one, _other) = tokio::net::UnixStream::pair().unwrap();
        let peer = Peer::of(&one).unwrap();
        assert_eq!(peer.user, geteuid().as_raw());
        assert!(peer.groups.contains(&getegid().as_raw()));
        for group in getgroups().unwrap() {
            assert!(peer.groups.contains(&group.as_raw()));
        }
        assert!(peer.is_owner());
        assert!(!Peer { user: 4_000_000_000, groups: Vec::new() }.is_owner());
    }
}
