//! How the device stands, in files for programs that read no socket: `status.json` in the runtime
//! folder, and Prometheus text for node_exporter's textfile collector. Neither names code, address
//! or account (design.md, section 4).

use super::{calls::Calls, control::exposition, files, runtime};
use crate::{
    config::Config,
    ports::{Answer, Call},
    status::Status,
};
use std::{
    fs::{self, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    time::Duration,
};
use tokio::{sync::watch, time::timeout};

/// How often amounts are brought up to date where somebody collects them.
const EVERY: Duration = Duration::from_secs(60);

/// So soon after each other files are not written, whatever happens.
const REST: Duration = Duration::from_secs(1);

/// The files of one agent.
#[derive(Debug)]
pub(super) struct Published {
    status: PathBuf,
    textfile: Option<PathBuf>,
    calls: Calls,
}

impl Published {
    pub(super) fn of(config: &Config, calls: &Calls) -> Self {
        let textfile = config.metrics.textfile.as_ref().map(|path| path.as_path().to_owned());
        let status = runtime::folder(config).join("status.json");
        Self { status, textfile, calls: calls.clone() }
    }

    /// Keeps them until the agent stops. `news`: state or faults may have changed.
    pub(super) async fn keep(self, mut news: watch::Receiver<()>) {
        let mut trouble = None;
        loop {
            // Where too many ask at a time, the next news bring it.
            if let Ok(Answer::Status(status)) =
                self.calls.ask(Call::Status { private: false }).await
            {
                let now = self.put(&status).err().map(|error| error.to_string());
                if let Some(error) = now.as_ref().filter(|_| now != trouble) {
                    tracing::warn!("cannot say in a file how the device stands: {error}");
                }
                trouble = now;
            }
            // Longer where the board sleeps meanwhile, which does no harm.
            let _ = timeout(REST, std::future::pending::<()>()).await;
            let changed = match &self.textfile {
                Some(_) => timeout(EVERY, news.changed()).await.unwrap_or(Ok(())),
                None => news.changed().await,
            };
            if changed.is_err() {
                break;
            }
        }
    }

    fn put(&self, status: &Status) -> io::Result<()> {
        let json = serde_json::to_string(status).map_err(|_| io::ErrorKind::InvalidData)?;
        put(&self.status, &format!("{json}\n"))?;
        self.textfile.as_deref().map_or(Ok(()), |path| put(path, &exposition(status)))
    }
}

impl Drop for Published {
    /// What nobody keeps any more says nothing.
    fn drop(&mut self) {
        for path in std::iter::once(&self.status).chain(&self.textfile) {
            let _ = files::remove(path);
        }
    }
}

/// A whole file or the one before it, for everybody to read.
fn put(path: &Path, text: &str) -> io::Result<()> {
    let named =
        |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
    let draft = files::beside(path, ".new");
    // A link that somebody put there is not written through.
    files::remove(&draft).map_err(named)?;
    let write = || {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o644).open(&draft)?;
        file.write_all(text.as_bytes())?;
        // The umask has narrowed it.
        file.set_permissions(fs::Permissions::from_mode(0o644))?;
        fs::rename(&draft, path)
    };
    write().map_err(named)
}
