//! Binds sockets so that nobody gets in before the rights are set, and nobody is pushed out.

use std::fmt;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::fs::{DirBuilderExt as _, FileTypeExt as _, MetadataExt as _};
use std::os::unix::net::{UnixListener as StdUnixListener, UnixStream as StdUnixStream};
use std::path::{Path, PathBuf};

use rustix::fs::Mode;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};

use super::Peer;

/// Connections that the kernel holds until they are accepted.
const BACKLOG: i32 = 64;

/// A byte stream of either family, so that the server is built once.
pub(super) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// A bound socket.
#[derive(Debug)]
pub(super) enum Listener {
    Tcp(TcpListener),
    Unix(
        UnixListener,
        #[expect(dead_code, reason = "it acts when it is dropped")] Option<SocketFile>,
    ),
}

/// The name of a bound Unix socket; removed with it, unless somebody else has it by then.
#[derive(Debug)]
pub(super) struct SocketFile {
    path: PathBuf,
    node: (u64, u64),
}

/// A socket that cannot be bound: which key, what is in the way, what to do.
#[derive(Debug)]
pub struct BindError {
    key: &'static str,
    place: String,
    why: String,
}

impl BindError {
    fn adopting(key: &'static str, place: &dyn fmt::Display, error: &io::Error) -> Self {
        let why = format!(
            "cannot take over the socket that systemd opened: {error}; set SocketUser= to the agent's user"
        );
        Self { key, place: place.to_string(), why }
    }
}

impl fmt::Display for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: {}", self.key, self.place, self.why)
    }
}

impl std::error::Error for BindError {}

impl Listener {
    /// Must be called within a tokio runtime.
    pub(super) fn tcp(key: &'static str, address: SocketAddr) -> Result<Self, BindError> {
        bind_tcp(address).map(Self::Tcp).map_err(|error| {
            let why = if error.kind() == io::ErrorKind::AddrInUse {
                "another program listens there; stop it or name another port".to_owned()
            } else {
                format!("cannot listen: {error}")
            };
            BindError { key, place: address.to_string(), why }
        })
    }

    /// Must be called within a tokio runtime. `mode`: the rights of the file.
    pub(super) fn unix(key: &'static str, path: &Path, mode: u32) -> Result<Self, BindError> {
        bind_unix(path, mode)
            .map(|(listener, file)| Self::Unix(listener, Some(file)))
            .map_err(|why| BindError { key, place: path.display().to_string(), why })
    }

    /// One that was open before the agent, and stays so after it.
    pub(super) fn adopt_tcp(
        key: &'static str,
        address: SocketAddr,
        listener: std::net::TcpListener,
    ) -> Result<Self, BindError> {
        let adopted = listener.set_nonblocking(true).and_then(|()| TcpListener::from_std(listener));
        adopted.map(Self::Tcp).map_err(|error| BindError::adopting(key, &address, &error))
    }

    /// The same; its file gets the rights `mode`.
    pub(super) fn adopt_unix(
        key: &'static str,
        path: &Path,
        listener: StdUnixListener,
        mode: u32,
    ) -> Result<Self, BindError> {
        let adopted = fs::set_permissions(path, fs::Permissions::from_mode(mode))
            .and_then(|()| listener.set_nonblocking(true))
            .and_then(|()| UnixListener::from_std(listener));
        let adopted = adopted.map(|listener| Self::Unix(listener, None));
        adopted.map_err(|error| BindError::adopting(key, &path.display(), &error))
    }

    pub(super) fn address(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(listener) => listener.local_addr().ok(),
            Self::Unix(..) => None,
        }
    }

    /// The next client; who it is, where the kernel knows.
    pub(super) async fn accept(&self) -> io::Result<(Box<dyn Stream>, Option<Peer>)> {
        match self {
            Self::Tcp(listener) => {
                let (stream, _) = listener.accept().await?;
                // Answers are small and whole: nothing is gained by waiting for more.
                let _ = stream.set_nodelay(true);
                Ok((Box::new(stream), None))
            }
            Self::Unix(listener, _) => {
                let (stream, _) = listener.accept().await?;
                let peer = Peer::of(&stream).ok();
                Ok((Box::new(stream), peer))
            }
        }
    }
}

fn bind_tcp(address: SocketAddr) -> io::Result<TcpListener> {
    // The standard library sets SO_REUSEADDR: a restart need not wait for old connections.
    let listener = std::net::TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    TcpListener::from_std(listener)
}

fn bind_unix(path: &Path, mode: u32) -> Result<(UnixListener, SocketFile), String> {
    make_room(path)?;
    let cannot = |error: io::Error| {
        if error.kind() == io::ErrorKind::PermissionDenied {
            let folder = "hand the folder to the agent's user, or name another";
            format!("not allowed to make a socket there; {folder}")
        } else {
            format!("cannot listen: {error}")
        }
    };
    let listener = bind_closed(path, mode).map_err(cannot)?;
    let meta = fs::symlink_metadata(path).map_err(cannot)?;
    let file = SocketFile { path: path.to_owned(), node: (meta.dev(), meta.ino()) };
    let listener = UnixListener::from_std(listener).map_err(cannot)?;
    Ok((listener, file))
}

/// The folder is made, and what a dead agent left is taken away.
fn make_room(path: &Path) -> Result<(), String> {
    if let Some(folder) = path.parent() {
        fs::DirBuilder::new().recursive(true).mode(0o755).create(folder).map_err(|error| {
            format!("cannot make the folder {}: {error}; make it or name another", folder.display())
        })?;
    }
    match fs::symlink_metadata(path) {
        Err(_) => return Ok(()),
        Ok(meta) if meta.file_type().is_socket() => {}
        Ok(_) => return Err("something else has this name; remove it or name another".to_owned()),
    }
    match StdUnixStream::connect(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path)
            .map_err(|error| format!("cannot replace a dead agent's socket: {error}")),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            Err("it belongs to another user's agent; stop that one or name another".to_owned())
        }
        Ok(_) | Err(_) => Err("another agent listens there; stop it or name another".to_owned()),
    }
}

/// On Linux the rights of an unbound socket become those of its file: there is no moment in which
/// somebody whom they shut out could connect.
fn bind_closed(path: &Path, mode: u32) -> io::Result<StdUnixListener> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    rustix::fs::fchmod(&socket, Mode::from_raw_mode(mode))?;
    rustix::net::bind(&socket, &SocketAddrUnix::new(path)?)?;
    // The umask has narrowed them.
    fs::set_permissions(path, fs::Permissions::from_mode(mode))?;
    rustix::net::listen(&socket, BACKLOG)?;
    Ok(StdUnixListener::from(socket))
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let still_ours = fs::symlink_metadata(&self.path)
            .is_ok_and(|meta| (meta.dev(), meta.ino()) == self.node);
        if still_ours {
            let _ = fs::remove_file(&self.path);
        }
    }
}
