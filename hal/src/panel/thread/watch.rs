//! Notices a panel that does not come back from a call: a bus can hang for ever.

use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use crate::panel::PanelError;

/// How long a call may take. The slowest that come back are e-paper in the cold, after 10 s.
const HUNG: Duration = Duration::from_secs(15);

/// Passes on each change of a panel's fault.
pub(super) struct Reporter<R> {
    report: R,
    told: Option<PanelError>,
}

impl<R: FnMut(Option<&PanelError>)> Reporter<R> {
    pub(super) fn new(report: R) -> Self {
        Self { report, told: None }
    }

    pub(super) fn tell(&mut self, fault: Option<PanelError>) {
        if fault != self.told {
            (self.report)(fault.as_ref());
            self.told = fault;
        }
    }
}

/// What the panel's thread is at.
#[derive(Debug, Default)]
pub(super) struct Watch {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// Since when a call is under way.
    since: Option<Duration>,
    /// That call was reported.
    is_hung: bool,
    /// The watching thread looks at nothing before it is woken.
    sleeps: bool,
    ended: bool,
}

impl Watch {
    /// A call begins.
    pub(super) fn begin(&self, now: Duration) {
        let mut state = self.lock();
        state.since = Some(now);
        // While calls follow each other, it looks by itself often enough.
        if state.sleeps {
            self.changed.notify_all();
        }
    }

    /// It has come back.
    pub(super) fn done(&self) {
        let mut state = self.lock();
        state.since = None;
        state.is_hung = false;
    }

    /// Whether a call was reported not to come back.
    pub(super) fn is_hung(&self) -> bool {
        self.lock().is_hung
    }

    /// Looks at the time anew, if a call is under way.
    pub(super) fn look(&self) {
        if self.lock().since.is_some() {
            self.changed.notify_all();
        }
    }

    /// There is nothing to watch any more.
    pub(super) fn end(&self) {
        self.lock().ended = true;
        self.changed.notify_all();
    }

    /// Waits for a call that takes too long (`true`), or for the end.
    fn wait(&self, clock: &impl Fn() -> Duration) -> bool {
        let mut state = self.lock();
        while !state.ended {
            let due = state.since.filter(|_| !state.is_hung).map(|since| since + HUNG);
            state = match due.map(|due| due.saturating_sub(clock())) {
                Some(Duration::ZERO) => {
                    state.is_hung = true;
                    return true;
                }
                Some(left) => {
                    let waited = self.changed.wait_timeout(state, left);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
                None => {
                    state.sleeps = true;
                    let woken = self.changed.wait(state);
                    let mut state = woken.unwrap_or_else(PoisonError::into_inner);
                    state.sleeps = false;
                    state
                }
            };
        }
        false
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Starts the thread that watches.
pub(super) fn spawn<C, R>(
    name: &str,
    watch: &Arc<Watch>,
    clock: Arc<C>,
    reporter: Arc<Mutex<Reporter<R>>>,
) -> io::Result<()>
where
    C: Fn() -> Duration + Send + Sync + 'static,
    R: FnMut(Option<&PanelError>) + Send + 'static,
{
    let watch = Arc::clone(watch);
    let look = move || {
        while watch.wait(&*clock) {
            let mut reporter = reporter.lock().unwrap_or_else(PoisonError::into_inner);
            // It may have come back just now; whatever it brings is told after this.
            if watch.is_hung() {
                reporter.tell(Some(PanelError::new("does not come back: its bus hangs")));
            }
        }
    };
    thread::Builder::new().name(format!("watch-{name}")).stack_size(64 * 1024).spawn(look)?;
    Ok(())
}
