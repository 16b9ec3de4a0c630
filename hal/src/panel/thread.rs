//! The thread of one panel, and a second one that notices when it does not come back.

mod watch;

use std::io;
use std::os::fd::OwnedFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd, poll};

use super::{Panel, PanelError, RETRY, thread_name, timespec};
use crate::screen::Screen;
use watch::{Reporter, Watch};

/// What a panel shows while there is nothing to say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Idle {
    /// How the device is.
    #[default]
    Status,
    /// Nothing.
    Blank,
    /// It is let go of, for a program of the maker's: neither touched nor set up anew.
    Release,
}

/// A panel on a thread of its own: however long the panel blocks, whoever hands it screens does not.
///
/// Dropping it tells the thread to end, without waiting for it.
#[derive(Debug)]
pub struct PanelThread {
    slot: Arc<Slot>,
    watch: Arc<Watch>,
    ended: Receiver<()>,
}

impl PanelThread {
    /// Starts a thread that opens a panel by `open`, tells it the time by `clock`, and opens it
    /// again, ever less often, whenever it fails.
    ///
    /// `report` hears each change, on a thread of the panel's: `Some` cause when the panel fails or
    /// has been at one call for 15 s, `None` when it works again. A panel that never comes back
    /// keeps its thread; no second one is started for it.
    ///
    /// # Errors
    /// The system has no room for another thread.
    pub fn spawn<O, C, R>(name: &str, open: O, clock: C, report: R) -> io::Result<Self>
    where
        O: FnMut() -> Result<Box<dyn Panel>, PanelError> + Send + 'static,
        C: Fn() -> Duration + Send + Sync + 'static,
        R: FnMut(Option<&PanelError>) + Send + 'static,
    {
        Self::spawn_with(name, Idle::Status, open, clock, report)
    }

    /// The same for a panel that does as `idle` says while the screen is [`Screen::Online`].
    ///
    /// # Errors
    /// As for [`spawn`](Self::spawn).
    pub fn spawn_with<O, C, R>(
        name: &str,
        idle: Idle,
        open: O,
        clock: C,
        report: R,
    ) -> io::Result<Self>
    where
        O: FnMut() -> Result<Box<dyn Panel>, PanelError> + Send + 'static,
        C: Fn() -> Duration + Send + Sync + 'static,
        R: FnMut(Option<&PanelError>) + Send + 'static,
    {
        let slot = Arc::new(Slot {
            next: Mutex::default(),
            bell: eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?,
        });
        let (alive, ended) = channel();
        let clock = Arc::new(clock);
        let reporter = Arc::new(Mutex::new(Reporter::new(report)));
        let watch = Arc::new(Watch::default());
        watch::spawn(name, &watch, Arc::clone(&clock), Arc::clone(&reporter))?;
        // From here on whatever goes wrong ends the watching as well.
        let thread = Self { slot, watch, ended };
        let runner = Runner {
            slot: Arc::clone(&thread.slot),
            watch: Arc::clone(&thread.watch),
            idle,
            open,
            clock,
            reporter,
            panel: None,
            dark: false,
            backoff: RETRY.0,
            _alive: alive,
        };
        thread::Builder::new()
            .name(thread_name(name))
            .stack_size(256 * 1024)
            .spawn(move || runner.run())?;
        Ok(thread)
    }

    /// Hands over the screen to show from now on. Never blocks; a screen that was not yet drawn is
    /// dropped in its favour.
    pub fn show(&self, screen: Screen) {
        self.slot.change(|next| next.screen = Some(screen));
        self.watch.look();
    }

    /// Has the panel dark from now on, whatever is shown, or shows it again. Never blocks.
    pub fn darken(&self, dark: bool) {
        self.slot.change(|next| next.dark = dark);
        self.watch.look();
    }

    /// Tells the thread to clear its panel and end, and waits for that no longer than `patience`
    /// (zero: not at all), nor for a panel that was reported not to come back. Whether it has ended.
    pub fn stop(self, patience: Duration) -> bool {
        Self::stop_all([self], patience)
    }

    /// The same for several panels, which take no longer than one of them.
    pub fn stop_all(threads: impl IntoIterator<Item = Self>, patience: Duration) -> bool {
        let threads: Vec<Self> = threads.into_iter().collect();
        for thread in &threads {
            thread.slot.change(|next| next.stop = true);
        }
        let began = crate::clock::boot();
        let mut all = true;
        for thread in &threads {
            let left = patience.saturating_sub(crate::clock::boot().saturating_sub(began));
            let left = if thread.watch.is_hung() { Duration::ZERO } else { left };
            // The sender goes with the thread, so this ends by time-out or by its end.
            all &= thread.ended.recv_timeout(left) != Err(RecvTimeoutError::Timeout);
        }
        all
    }
}

impl Drop for PanelThread {
    fn drop(&mut self) {
        self.slot.change(|next| next.stop = true);
        self.watch.end();
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
    dark: bool,
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
        Next { screen: next.screen.take(), dark: next.dark, stop: next.stop }
    }
}

struct Runner<O, C, R> {
    slot: Arc<Slot>,
    watch: Arc<Watch>,
    idle: Idle,
    open: O,
    clock: Arc<C>,
    reporter: Arc<Mutex<Reporter<R>>>,
    panel: Option<Box<dyn Panel>>,
    dark: bool,
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
            let is_new = next.screen.is_some() && next.screen != shown || next.dark != self.dark;
            shown = next.screen.or(shown);
            self.dark = next.dark;
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
        self.watch.begin(now);
        // A driver that panics is a panel that fails.
        let drawn = catch_unwind(AssertUnwindSafe(|| self.show(screen, now)));
        self.watch.done();
        match drawn.unwrap_or_else(|_| Err(PanelError::new("its driver panicked"))) {
            Ok(after) => {
                self.backoff = RETRY.0;
                self.tell(None);
                after.map(|after| now.saturating_add(after))
            }
            Err(error) => Some(self.fail(error)),
        }
    }

    fn show(&mut self, screen: &Screen, now: Duration) -> Result<Option<Duration>, PanelError> {
        let is_idle = *screen == Screen::Online;
        if is_idle && self.idle == Idle::Release {
            // Taken off first: another program may leave a part of the glass as it is.
            self.panel.take().map_or(Ok(()), |mut panel| panel.clear())?;
            return Ok(None);
        }
        if self.dark {
            // One that is not open shows nothing.
            self.panel.as_mut().map_or(Ok(()), |panel| panel.clear())?;
            return Ok(None);
        }
        let panel = match &mut self.panel {
            Some(panel) => panel,
            empty => empty.insert((self.open)()?),
        };
        if is_idle && self.idle == Idle::Blank {
            return panel.clear().map(|()| None);
        }
        panel.show(screen, now)
    }

    fn tell(&mut self, fault: Option<PanelError>) {
        self.reporter.lock().unwrap_or_else(PoisonError::into_inner).tell(fault);
    }

    /// Lets go of the panel, and says when to open it again.
    fn fail(&mut self, error: PanelError) -> Duration {
        let retry = (self.clock)().saturating_add(self.backoff);
        self.backoff = (self.backoff * 2).min(RETRY.1);
        let panel = self.panel.take();
        // A driver that is broken may break on its way out, too.
        let _ = catch_unwind(AssertUnwindSafe(|| drop(panel)));
        self.tell(Some(error));
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
        let timeout = most.map(timespec);
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
