//! A device: a folder with everything that an agent keeps.

use super::servers::Servers;
use signpost::config::{self, Loaded, Sources};
use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
};

pub(crate) struct Device(tempfile::TempDir);

impl Device {
    /// Signed out, and set up for `servers`.
    pub(crate) fn new(servers: &Servers) -> Self {
        let device = Self(tempfile::tempdir().unwrap());
        let (url, root) = (&servers.url, device.root().display());
        let text = format!(
            "[issuer]\nurl = \"{url}\"\nclient_id = \"signpost\"\n\
             [network]\nsystem_roots = false\nca_file = \"{root}/ca.pem\"\n\
             [store]\nbind = \"file:{root}/board\"\n\
             tokens = {{ path = \"{root}/state/tokens.flash\" }}\n\
             spool = {{ path = \"{root}/state/spool.flash\", size = \"1 MiB\" }}\n\
             [telemetry]\nendpoint = \"{url}\"\nlisten = [\"127.0.0.1:0\"]\nunowned = \"first\"\n\
             [broker]\nsocket = \"{root}/run/token.sock\"\n\
             [control]\nsocket = \"{root}/run/control.sock\"\n"
        );
        // None is used: all is on loopback. Reading the system's would only take its time.
        let key = rcgen::KeyPair::generate().unwrap();
        let authority = rcgen::CertificateParams::default().self_signed(&key).unwrap();
        device.write("ca.pem", authority.pem().as_bytes());
        device.write("signpost.toml", text.as_bytes());
        // Its folder has a name of its own: no two of these are one board.
        device.write("board", root.to_string().as_bytes());
        fs::create_dir(device.path("run")).unwrap();
        device
    }

    pub(crate) fn root(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.root().join(path)
    }

    pub(crate) fn write(&self, path: &str, bytes: &[u8]) {
        fs::File::create(self.path(path)).unwrap().write_all(bytes).unwrap();
    }

    /// A copy of the card of `other` in another board.
    pub(crate) fn clone_of(other: &Self, servers: &Servers) -> Self {
        let device = Self::new(servers);
        fs::create_dir(device.path("state")).unwrap();
        for entry in fs::read_dir(other.path("state")).unwrap() {
            let entry = entry.unwrap();
            fs::copy(entry.path(), device.path("state").join(entry.file_name())).unwrap();
        }
        device
    }

    /// Has it configured otherwise.
    pub(crate) fn edit(&self, from: &str, to: &str) {
        let text = fs::read_to_string(self.config()).unwrap();
        assert!(text.contains(from), "{text}");
        self.write("signpost.toml", text.replace(from, to).as_bytes());
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.path("signpost.toml")
    }

    pub(crate) fn load(&self) -> Loaded {
        config::load(&Sources::file(&self.config())).unwrap()
    }
}
