//! The sandbox's clock: it runs with the machine's and can be put forward, so that a test sees a
//! code, a token or a grant expire without waiting for it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// An instant as the sandbox sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Now {
    /// Since the sandbox started; never goes back.
    pub(crate) up: Duration,
    /// Seconds since 1970, for claims and the live page.
    pub(crate) unix: u64,
}

pub(crate) struct Clock {
    started: Instant,
    started_unix: Duration,
    skew_ms: AtomicU64,
}

#[expect(clippy::disallowed_methods, reason = "the edge: a test server has a clock of its own")]
impl Clock {
    pub(crate) fn start() -> Self {
        Self {
            started: Instant::now(),
            started_unix: SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default(),
            skew_ms: AtomicU64::new(0),
        }
    }

    pub(crate) fn now(&self) -> Now {
        let skew = Duration::from_millis(self.skew_ms.load(Ordering::Relaxed));
        let up = self.started.elapsed().saturating_add(skew);
        Now { up, unix: self.started_unix.saturating_add(up).as_secs() }
    }

    pub(crate) fn advance(&self, by: Duration) {
        let ms = u64::try_from(by.as_millis()).unwrap_or(u64::MAX);
        self.skew_ms.fetch_add(ms, Ordering::Relaxed);
    }
}

/// Waits on the machine's clock: faults delay real bytes on real sockets.
#[expect(clippy::disallowed_methods, reason = "the edge: no machine suspends in mid-test")]
pub(crate) async fn pause(span: Duration) {
    tokio::time::sleep(span).await;
}
