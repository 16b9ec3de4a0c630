//! The thread of one button.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd, poll};

use super::{Button, Contact, Press};
use crate::panel::{PanelError, RETRY, thread_name, timespec};

/// A button on a thread of its own, which ends when this is dropped.
#[derive(Debug)]
pub struct ButtonThread {
    bell: Arc<OwnedFd>,
}

impl ButtonThread {
    /// Starts a thread that opens a button by `open`, again and ever less often whenever it fails,
    /// and passes on to `press` what people ask for. Neither may block.
    ///
    /// `report` hears each change: `Some` cause when the button fails, `None` when it works again.
    ///
    /// # Errors
    /// The system has no room for another thread.
    pub fn spawn<O, C, P, R>(name: &str, open: O, clock: C, press: P, report: R) -> io::Result<Self>
    where
        O: FnMut() -> Result<Box<dyn Contact>, PanelError> + Send + 'static,
        C: Fn() -> Duration + Send + 'static,
        P: FnMut(Press) + Send + 'static,
        R: FnMut(Option<&PanelError>) + Send + 'static,
    {
        let bell = Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?);
        let reader = Reader {
            bell: Arc::clone(&bell),
            open,
            clock,
            press,
            report,
            contact: None,
            button: Button::new(),
            retry: Duration::ZERO,
            backoff: RETRY.0,
            told: None,
        };
        thread::Builder::new()
            .name(thread_name(name))
            .stack_size(64 * 1024)
            .spawn(move || reader.run())?;
        Ok(Self { bell })
    }
}

impl Drop for ButtonThread {
    fn drop(&mut self) {
        // Only a full counter could refuse, and then the bell rings already.
        let _ = rustix::io::write(&self.bell, &1_u64.to_ne_bytes());
    }
}

struct Reader<O, C, P, R> {
    bell: Arc<OwnedFd>,
    open: O,
    clock: C,
    press: P,
    report: R,
    contact: Option<Box<dyn Contact>>,
    button: Button,
    /// When to open it next, while it is not open.
    retry: Duration,
    backoff: Duration,
    told: Option<PanelError>,
}

impl<O, C, P, R> Reader<O, C, P, R>
where
    O: FnMut() -> Result<Box<dyn Contact>, PanelError>,
    C: Fn() -> Duration,
    P: FnMut(Press),
    R: FnMut(Option<&PanelError>),
{
    fn run(mut self) {
        loop {
            let now = (self.clock)();
            if self.contact.is_none() && self.retry <= now {
                match (self.open)() {
                    Ok(contact) => self.found(contact),
                    Err(error) => self.lost(error),
                }
            }
            let mut waits = vec![PollFd::new(&self.bell, PollFlags::IN)];
            let source = self.contact.as_ref().map(|contact| contact.source());
            waits.extend(source.iter().map(|source| PollFd::new(source, PollFlags::IN)));
            let now = (self.clock)();
            let due = if source.is_some() { self.button.wake(now) } else { Some(self.retry) };
            let timeout = due.map(|due| timespec(due.saturating_sub(now)));
            // A signal, and any other error, is a wake-up like another.
            let _ = poll(&mut waits, timeout.as_ref());
            let rings = |at: usize| waits.get(at).is_some_and(|fd| !fd.revents().is_empty());
            let (stops, happened) = (rings(0), rings(1));
            drop(waits);
            if stops {
                return;
            }
            if happened {
                self.take();
            }
            let press = self.button.tick((self.clock)());
            press.map(&mut self.press);
        }
    }

    fn take(&mut self) {
        let Some(contact) = &mut self.contact else { return };
        match contact.take() {
            Ok(None) => {}
            Ok(Some(is_down)) => {
                let press = self.button.edge(is_down, (self.clock)());
                press.map(&mut self.press);
            }
            Err(error) => self.lost(error),
        }
    }

    fn found(&mut self, contact: Box<dyn Contact>) {
        self.contact = Some(contact);
        self.backoff = RETRY.0;
        if self.told.take().is_some() {
            (self.report)(None);
        }
    }

    /// Lets go of it. Nobody holds a button that is gone: what was counted down is over.
    fn lost(&mut self, error: PanelError) {
        if self.contact.take().is_some() && self.button != Button::new() {
            self.button = Button::new();
            (self.press)(Press::ResetOff);
        }
        self.retry = (self.clock)().saturating_add(self.backoff);
        self.backoff = (self.backoff * 2).min(RETRY.1);
        if self.told.as_ref() != Some(&error) {
            (self.report)(Some(&error));
            self.told = Some(error);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::event::EventfdFlags;
    use std::os::fd::{AsFd as _, BorrowedFd};
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::sync::mpsc::{Receiver, channel};

    const SOON: Duration = Duration::from_secs(10);

    type Taken = Result<Option<bool>, PanelError>;

    /// What a button did, and the bell that says that there is more.
    #[derive(Clone)]
    struct Wire(Arc<(OwnedFd, Mutex<Vec<Taken>>)>);

    impl Wire {
        fn new() -> Self {
            let bell = eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::SEMAPHORE).unwrap();
            Self(Arc::new((bell, Mutex::default())))
        }

        fn happens(&self, what: Taken) {
            self.0.1.lock().unwrap().insert(0, what);
            rustix::io::write(&self.0.0, &1_u64.to_ne_bytes()).unwrap();
        }
    }

    impl Contact for Wire {
        fn source(&self) -> BorrowedFd<'_> {
            self.0.0.as_fd()
        }

        fn take(&mut self) -> Taken {
            rustix::io::read(&self.0.0, &mut [0; 8]).unwrap();
            self.0.1.lock().unwrap().pop().unwrap()
        }
    }

    struct Stage {
        wire: Wire,
        millis: Arc<AtomicU64>,
        presses: Receiver<Press>,
        reports: Receiver<Option<String>>,
        thread: ButtonThread,
    }

    /// A button that is there at the `nth` try only. Each look at the clock, and each report, takes
    /// so long.
    fn stage(nth: u32, look: u64, report_takes: u64) -> Stage {
        let wire = Wire::new();
        let (press, presses) = channel();
        let (report, reports) = channel();
        let millis = Arc::new(AtomicU64::new(1000));
        let (shared, time) = (wire.clone(), Arc::clone(&millis));
        let mut tries = 0;
        let open = move || {
            tries += 1;
            if tries < nth {
                return Err(PanelError::new("is not there"));
            }
            Ok(Box::new(shared.clone()) as Box<dyn Contact>)
        };
        let reported = Arc::clone(&millis);
        let clock = move || Duration::from_millis(time.fetch_add(look, Ordering::SeqCst));
        let thread = ButtonThread::spawn(
            "test",
            open,
            clock,
            move |pressed| {
                let _ = press.send(pressed);
            },
            move |fault| {
                reported.fetch_add(report_takes, Ordering::SeqCst);
                let _ = report.send(fault.map(ToString::to_string));
            },
        );
        Stage { wire, millis, presses, reports, thread: thread.unwrap() }
    }

    impl Stage {
        fn down(&self, is_down: bool, at: u64) {
            self.millis.store(at, Ordering::SeqCst);
            self.wire.happens(Ok(Some(is_down)));
            // It is read at that time, not later.
            while !self.wire.0.1.lock().unwrap().is_empty() {
                std::thread::yield_now();
            }
        }
    }

    #[test]
    fn what_people_ask_for_is_passed_on() {
        let stage = stage(1, 0, 0);
        stage.down(true, 2000);
        stage.down(false, 2200);
        assert_eq!(stage.presses.recv_timeout(SOON), Ok(Press::Short));
        stage.down(true, 10_000);
        stage.down(false, 16_000);
        assert_eq!(stage.presses.recv_timeout(SOON), Ok(Press::SignOut));
        assert!(stage.reports.try_recv().is_err(), "it never failed");
    }

    #[test]
    fn a_button_that_goes_while_it_is_held_asks_for_nothing_and_is_opened_again() {
        let stage = stage(1, 0, 2000);
        stage.down(true, 2000);
        stage.wire.happens(Err(PanelError::new("has lost its input device")));
        assert_eq!(stage.presses.recv_timeout(SOON), Ok(Press::ResetOff));
        let told = stage.reports.recv_timeout(SOON);
        assert_eq!(told, Ok(Some("has lost its input device".to_owned())));
        assert_eq!(stage.reports.recv_timeout(SOON), Ok(None));
        stage.down(true, 9000);
        stage.down(false, 9100);
        assert_eq!(stage.presses.recv_timeout(SOON), Ok(Press::Short));
    }

    #[test]
    fn one_that_is_not_there_is_reported_once_and_looked_for_again() {
        let stage = stage(3, 60_000, 0);
        assert_eq!(stage.reports.recv_timeout(SOON), Ok(Some("is not there".to_owned())));
        assert_eq!(stage.reports.recv_timeout(SOON), Ok(None), "without a second report");
        let ends = Arc::downgrade(&stage.thread.bell);
        drop(stage);
        while ends.strong_count() > 0 {
            std::thread::yield_now();
        }
    }
}
