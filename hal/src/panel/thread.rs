//! The thread of one panel.

use std::io;
use std::os::fd::OwnedFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};

use super::{Panel, PanelError};
use crate::screen::Screen;

/// Waits before a panel that failed is opened again: the first, and the most after doubling.
const RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// A panel on a thread of its own: however long the panel blocks, whoever hands it screens does not.
///
/// Dropping it tells the thread to end, without waiting for it.
#[derive(Debug)]
pub struct PanelThread {
    slot: Arc<Slot>,
    ended: Receiver<()>,
}

impl PanelThread {
    /// Starts a thread that opens a panel by `open`, tells it the time by `clock`, and opens it
    /// again, ever less often, whenever it fails.
    ///
    /// `report` hears each change, on that thread: `Some` cause when the panel fails, `None` when
    /// it works again.
    ///
    /// # Errors
    /// The system has no room for another thread.
    pub fn spawn<O, C, R>(name: &str, open: O, clock: C, report: R) -> io::Result<Self>
    where
        O: FnMut() -> Result<Box<dyn Panel>, PanelError> + Send + 'static,
        C: Fn() -> Duration + Send + 'static,
        R: FnMut(Option<&PanelError>) + Send + 'static,
    {
        let slot = Arc::new(Slot {
            next: Mutex::default(),
            bell: eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?,
        });
        let (alive, ended) = channel();
        let runner = Runner {
            slot: Arc::clone(&slot),
            open,
            clock,
            report,
            panel: None,
            fault: None,
            backoff: RETRY.0,
            _alive: alive,
        };
        thread::Builder::new()
            .name(format!("panel-{name}"))
            .stack_size(256 * 1024)
            .spawn(move || runner.run())?;
        Ok(Self { slot, ended })
    }

    /// Hands over the screen to show from now on. Never blocks; a screen that was not yet drawn is
    /// dropped in its favour.
    pub fn show(&self, screen: Screen) {
        self.slot.change(|next| next.screen = Some(screen));
    }

    /// Tells the thread to clear its panel and end, and waits for that no longer than `patience`
    /// (zero: not at all). Whether it has ended.
    pub fn stop(self, patience: Duration) -> bool {
        self.slot.change(|next| next.stop = true);
        // The sender goes with the thread, so this ends by time-out or by its end.
        !matches!(
            self.ended.recv_timeout(patience),
            Err(std::sync::mpsc::RecvTimeoutError::Timeout)
        )
    }
}

impl Drop for PanelThread {
    fn drop(&mut self) {
        self.slot.change(|next| next.stop = true);
    }
}

/// What passes to the thread: room for one screen.
#[derive(Debug)]
struct Slot {
    next: Mutex<Next>,
    bell: OwnedFd,
}

#[derive(Debug, Default)]
struct Next {
    screen: Option<Screen>,
    stop: bool,
}

impl Slot {
    fn change(&self, change: impl FnOnce(&mut Next)) {
        change(&mut self.next.lock().unwrap_or_else(PoisonError::into_inner));
        // Only a full counter could refuse, and then the bell rings already.
        let _ = rustix::io::write(&self.bell, &1_u64.to_ne_bytes());
    }

    /// Takes what is new, and silences the bell.
    fn take(&self) -> Next {
        let _ = rustix::io::read(&self.bell, &mut [0; 8]);
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        Next { screen: next.screen.take(), stop: next.stop }
    }
}

struct Runner<O, C, R> {
    slot: Arc<Slot>,
    open: O,
    clock: C,
    report: R,
    panel: Option<Box<dyn Panel>>,
    /// What was reported last.
    fault: Option<PanelError>,
    backoff: Duration,
    _alive: Sender<()>,
}

impl<O, C, R> Runner<O, C, R>
where
    O: FnMut() -> Result<Box<dyn Panel>, PanelError>,
    C: Fn() -> Duration,
    R: FnMut(Option<&PanelError>),
{
    fn run(mut self) {
        let mut shown: Option<Screen> = None;
        // When to draw or open again without being asked.
        let mut due: Option<Duration> = None;
        loop {
            let next = self.slot.take();
            if next.stop {
                return self.end(next.screen.as_ref());
            }
            let is_new = next.screen.is_some() && next.screen != shown;
            shown = next.screen.or(shown);
            let now = (self.clock)();
            let is_due = due.is_some_and(|due| due <= now);
            let may_draw = self.panel.is_some() || due.is_none() || is_due;
            if let Some(screen) = &shown
                && may_draw
                && (is_new || is_due)
            {
                due = self.draw(screen);
            }
            let wait = due.map(|due| due.saturating_sub((self.clock)()));
            match self.wait(wait) {
                Woken::OnTime => {}
                Woken::Asked => due = Some(Duration::ZERO),
                Woken::Lost => {
                    due = Some(self.fail(PanelError::new("was disconnected")));
                }
            }
        }
    }

    /// Draws, and says when to come back: for the next look of the same screen, or to try again.
    fn draw(&mut self, screen: &Screen) -> Option<Duration> {
        let now = (self.clock)();
        // A driver that panics is a panel that fails.
        let drawn = catch_unwind(AssertUnwindSafe(|| {
            let panel = match &mut self.panel {
                Some(panel) => panel,
                empty => empty.insert((self.open)()?),
            };
            panel.show(screen, now)
        }));
        match drawn.unwrap_or_else(|_| Err(PanelError::new("its driver panicked"))) {
            Ok(after) => {
                self.backoff = RETRY.0;
                if self.fault.take().is_some() {
                    (self.report)(None);
                }
                after.map(|after| now.saturating_add(after))
            }
            Err(error) => Some(self.fail(error)),
        }
    }

    /// Lets go of the panel, and says when to open it again.
    fn fail(&mut self, error: PanelError) -> Duration {
        let retry = (self.clock)().saturating_add(self.backoff);
        self.backoff = (self.backoff * 2).min(RETRY.1);
        let panel = self.panel.take();
        // A driver that is broken may break on its way out, too.
        let _ = catch_unwind(AssertUnwindSafe(|| drop(panel)));
        if self.fault.as_ref() != Some(&error) {
            (self.report)(Some(&error));
            self.fault = Some(error);
        }
        retry
    }

    /// Leaves a last screen on a panel that works, and nothing private.
    fn end(mut self, last: Option<&Screen>) {
        if let Some(screen) = last
            && self.panel.is_some()
        {
            self.draw(screen);
        }
        let panel = &mut self.panel;
        // It is the end either way; what cannot be cleared now never can.
        let _ = catch_unwind(AssertUnwindSafe(|| panel.as_mut().map(|panel| panel.clear())));
    }

    fn wait(&self, most: Option<Duration>) -> Woken {
        let timeout = most.map(|most| Timespec {
            tv_sec: most.as_secs().try_into().unwrap_or(i64::MAX),
            tv_nsec: most.subsec_nanos().into(),
        });
        let input = self.panel.as_ref().and_then(|panel| panel.input());
        let mut waits = vec![PollFd::new(&self.slot.bell, PollFlags::IN)];
        waits.extend(input.iter().map(|fd| PollFd::new(fd, PollFlags::IN)));
        // A signal, and any other error, is a wake-up like another: the loop looks at what is due.
        let _ = poll(&mut waits, timeout.as_ref());
        match waits.get(1).map(PollFd::revents) {
            Some(events)
                if events.intersects(PollFlags::HUP | PollFlags::ERR | PollFlags::NVAL) =>
            {
                Woken::Lost
            }
            Some(events) if events.intersects(PollFlags::IN) => Woken::Asked,
            _ => Woken::OnTime,
        }
    }
}

enum Woken {
    /// Or by a new screen.
    OnTime,
    /// By the panel's input.
    Asked,
    /// By the panel's input, which is gone.
    Lost,
}
