//! A device: a folder with everything that an agent keeps.

use signpost::config::{self, Loaded, Sources};
use std::{
    fs,
    path::{Path, PathBuf},
};

pub(crate) struct Device(tempfile::TempDir);

impl Device {
    /// Signed out, and set up for the issuer at `url`, whose authority is `ca`.
    pub(crate) fn new(url: &str, ca: &str) -> Self {
        let device = Self(tempfile::tempdir().unwrap());
        let root = device.root().display();
        let text = format!(
            "[issuer]\nurl = \"{url}\"\nclient_id = \"signpost\"\n\
             [network]\nsystem_roots = false\nca_file = \"{root}/ca.pem\"\n\
             [store]\nbind = \"file:{root}/board\"\n\
             tokens = {{ path = \"{root}/tokens.flash\" }}\n\
             spool = {{ path = \"{root}/spool.flash\", size = \"1 MiB\" }}\n\
             [telemetry]\nlisten = []\n\
             [broker]\nsocket = \"{root}/token.sock\"\n\
             [control]\nsocket = \"{root}/control.sock\"\n"
        );
        device.write("ca.pem", ca);
        device.write("signpost.toml", &text);
        device.write("board", &root.to_string());
        device
    }

    pub(crate) fn root(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.root().join(name)
    }

    /// Writes into the file of this name, as it is.
    pub(crate) fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.path("signpost.toml")
    }

    pub(crate) fn load(&self) -> Loaded {
        config::load(&Sources::file(&self.config())).unwrap()
    }
}
