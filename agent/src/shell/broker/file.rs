//! A token in a file, for programs that read one: always whole, replaced when it is renewed, gone
//! when nobody is signed in.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _, fchown};
use std::path::PathBuf;
use std::time::Duration;

use signpost_core::session::TokenKey;
use tokio::sync::watch;
use tokio::time::timeout;

use super::rules::Rules;
use crate::config::Broker;
use crate::ports::{Answer, Call};
use crate::shell::calls::Calls;
use crate::shell::files;

/// How long to wait where the agent is too busy to answer, or flash fails.
const AGAIN: Duration = Duration::from_secs(10);

/// The file of one rule.
#[derive(Debug)]
pub(crate) struct TokenFile {
    path: PathBuf,
    group: Option<u32>,
    key: TokenKey,
    calls: Calls,
}

impl TokenFile {
    /// Those of all rules that name one.
    pub(crate) fn all(broker: &Broker, calls: &Calls) -> Vec<Self> {
        let rules = Rules::of(broker);
        let files = rules.files();
        files.map(|(path, group, key)| Self { path, group, key, calls: calls.clone() }).collect()
    }

    /// Removes the files of `before` that `now` does not keep: what no rule hands out any more,
    /// nobody may go on reading.
    pub(crate) fn remove_others(before: &Broker, now: &Broker) {
        let (before, now) = (Rules::of(before), Rules::of(now));
        for (path, group, key) in before.files() {
            let stays = now.files().any(|(p, g, k)| (&p, g, &k) == (&path, group, &key));
            if !stays && let Err(error) = files::remove(&path) {
                tracing::warn!("broker: cannot remove the token at {}: {error}", path.display());
            }
        }
    }

    /// Keeps the file until the agent stops. `news`: something has happened to tokens.
    pub(crate) async fn keep(self, mut news: watch::Receiver<()>) {
        let mut written = None;
        let mut failed = false;
        loop {
            let call = Call::Token { key: self.key.clone(), min_ttl: Duration::ZERO };
            let wait = match self.calls.ask(call).await {
                Err(_) => return,
                Ok(Answer::Token(access, _)) if access.exceeds(&self.key) => {
                    let path = self.path.display();
                    tracing::warn!(
                        "broker: {path} is not written: the issuer gives scopes beyond the rule; \
                         list them in the rule, or have the issuer narrow them"
                    );
                    None
                }
                Ok(Answer::Token(access, left)) => {
                    let is_news = written != Some(access.generation);
                    let put = if is_news { self.put(access.token.expose()) } else { Ok(()) };
                    match put {
                        Ok(()) => written = Some(access.generation),
                        Err(error) if !failed => {
                            let path = self.path.display();
                            tracing::warn!("broker: cannot write the token to {path}: {error}");
                        }
                        Err(_) => {}
                    }
                    failed = written != Some(access.generation);
                    if failed { Some(AGAIN) } else { left }
                }
                Ok(other) => {
                    // Whoever reads it gets a clear error rather than a token that is over.
                    if written.take().is_some() || self.path.exists() {
                        let _ = files::remove(&self.path);
                    }
                    matches!(other, Answer::TryLater(_) | Answer::NotSaved).then_some(AGAIN)
                }
            };
            let changed = match wait {
                Some(wait) => timeout(wait, news.changed()).await.unwrap_or(Ok(())),
                None => news.changed().await,
            };
            if changed.is_err() {
                return;
            }
        }
    }

    fn put(&self, token: &str) -> io::Result<()> {
        let draft = files::beside(&self.path, ".new");
        // A link that somebody put there is not written through.
        files::remove(&draft)?;
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
        file.write_all(token.as_bytes())?;
        // The umask has narrowed the mode; the group comes first, or others might read it.
        let handed = fchown(&file, None, self.group)
            .and_then(|()| file.set_permissions(fs::Permissions::from_mode(0o640)));
        handed.and_then(|()| fs::rename(&draft, &self.path)).inspect_err(|_| {
            let _ = fs::remove_file(&draft);
        })
    }
}
