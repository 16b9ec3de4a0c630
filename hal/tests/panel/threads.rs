//! A thread keeps what panels do to itself. Panels here wait for the test, never for a clock.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use signpost_hal::clock;
use signpost_hal::panel::{Panel, PanelError, PanelThread};
use signpost_hal::screen::Screen;

/// The longest that a test waits for what must happen.
const SOON: Duration = Duration::from_secs(10);

/// What a panel of these tests was asked, with the virtual second.
#[derive(Debug, PartialEq, Eq)]
enum Call {
    Open(u64),
    Show(u64, u64),
    Clear,
}

/// What it answers.
enum Answer {
    Done(Option<Duration>),
    Fail(&'static str),
    Panic,
}

/// Both ends of a panel that the test plays: calls come in, answers go out.
struct Stage {
    thread: PanelThread,
    calls: Receiver<Call>,
    answers: Sender<Answer>,
    reports: Receiver<Option<String>>,
    second: Arc<AtomicU64>,
}

struct Played {
    calls: Sender<Call>,
    answers: Arc<Mutex<Receiver<Answer>>>,
}

impl Played {
    fn answer(&self) -> Result<Option<Duration>, PanelError> {
        let answer = self.answers.lock().unwrap().recv();
        match answer {
            Ok(Answer::Done(after)) => Ok(after),
            Ok(Answer::Fail(cause)) => Err(PanelError::new(cause)),
            // No hook: the test's output stays quiet.
            Ok(Answer::Panic) => std::panic::resume_unwind(Box::new(())),
            Err(_) => Ok(None),
        }
    }
}

impl Panel for Played {
    fn show(&mut self, screen: &Screen, now: Duration) -> Result<Option<Duration>, PanelError> {
        let Screen::Offline { stored } = screen else { panic!("not of this test") };
        let _ = self.calls.send(Call::Show(*stored, now.as_secs()));
        self.answer()
    }

    fn clear(&mut self) -> Result<(), PanelError> {
        let _ = self.calls.send(Call::Clear);
        Ok(())
    }
}

impl Stage {
    fn new() -> Self {
        let (calls, called) = channel();
        let (answers, answered) = channel();
        let (report, reports) = channel();
        let second = Arc::new(AtomicU64::new(0));
        let answered = Arc::new(Mutex::new(answered));
        let (time, time_at_open) = (Arc::clone(&second), Arc::clone(&second));
        let open = move || {
            let _ = calls.send(Call::Open(time_at_open.load(Ordering::SeqCst)));
            let played = Played { calls: calls.clone(), answers: Arc::clone(&answered) };
            Ok(Box::new(played) as Box<dyn Panel>)
        };
        let clock = move || Duration::from_secs(time.load(Ordering::SeqCst));
        let report = move |fault: Option<&PanelError>| {
            let _ = report.send(fault.map(ToString::to_string));
        };
        let thread = PanelThread::spawn("test", open, clock, report).unwrap();
        Self { thread, calls: called, answers, reports, second }
    }

    fn show(&self, number: u64) {
        self.thread.show(Screen::Offline { stored: number });
    }

    fn at(&self, second: u64) {
        self.second.store(second, Ordering::SeqCst);
    }

    fn answer(&self, answer: Answer) {
        self.answers.send(answer).unwrap();
    }

    fn expect(&self, call: Call) {
        assert_eq!(self.calls.recv_timeout(SOON), Ok(call));
    }

    fn expect_report(&self, cause: Option<&str>) {
        assert_eq!(self.reports.recv_timeout(SOON), Ok(cause.map(str::to_owned)));
    }

    /// Opened, and blocked in its first `show`.
    fn blocked() -> Self {
        let stage = Self::new();
        stage.show(1);
        stage.expect(Call::Open(0));
        stage.expect(Call::Show(1, 0));
        stage
    }
}

#[test]
fn the_newest_screen_wins_while_a_panel_is_busy() {
    let stage = Stage::blocked();
    (2..1000).for_each(|number| stage.show(number));
    stage.answer(Answer::Done(None));
    stage.expect(Call::Show(999, 0));
    stage.answer(Answer::Done(None));
    assert!(stage.thread.stop(SOON));
    assert_eq!(stage.calls.try_iter().collect::<Vec<_>>(), [Call::Clear]);
}

#[test]
fn nobody_waits_for_a_panel_that_blocks_for_ever() {
    let stage = Stage::blocked();
    let start = clock::boot();
    (0..1000).for_each(|number| stage.show(number));
    let showed = clock::boot();
    assert!(!stage.thread.stop(Duration::ZERO), "the panel is still blocked");
    let stopped = clock::boot();
    // A busy machine may take its time, but not the seconds of a hanging bus.
    assert!(showed - start < Duration::from_secs(1) && stopped - showed < Duration::from_secs(1));
}

#[test]
fn stopping_waits_as_long_as_it_was_told() {
    let stage = Stage::blocked();
    assert!(!stage.thread.stop(Duration::from_millis(20)));
    drop(stage.answers);
    assert_ended(&stage.calls);
}

/// The thread lets go of its panel, and so of the channel.
fn assert_ended(calls: &Receiver<Call>) {
    let end = loop {
        match calls.recv_timeout(SOON) {
            Ok(_) => {}
            Err(end) => break end,
        }
    };
    assert_eq!(end, RecvTimeoutError::Disconnected);
}

#[test]
fn dropping_ends_the_thread_and_clears_the_panel() {
    let stage = Stage::blocked();
    let Stage { thread, calls, answers, .. } = stage;
    drop(thread);
    answers.send(Answer::Done(None)).unwrap();
    assert_eq!(calls.recv_timeout(SOON), Ok(Call::Clear));
    assert_ended(&calls);
}

#[test]
fn the_last_screen_is_drawn_before_the_end() {
    let stage = Stage::blocked();
    stage.show(2);
    stage.answer(Answer::Done(None));
    stage.answer(Answer::Done(None));
    assert!(stage.thread.stop(SOON));
    assert_eq!(stage.calls.try_iter().collect::<Vec<_>>(), [Call::Show(2, 0), Call::Clear]);
}

#[test]
fn a_panel_that_vanished_is_opened_again_ever_less_often() {
    let stage = Stage::blocked();
    let mut second = 0;
    // A report for each failure tells the test that the waiting has begun.
    for (wait, cause) in
        [1, 2, 4, 8, 16, 32, 60, 60].into_iter().zip(["no bus", "no answer"].into_iter().cycle())
    {
        stage.answer(Answer::Fail(cause));
        stage.expect_report(Some(cause));
        stage.at(second + wait - 1);
        stage.show(second);
        if wait == 1 {
            // Long enough for a thread that would try too early; it costs this test no certainty.
            let early = stage.calls.recv_timeout(Duration::from_millis(50));
            assert_eq!(early, Err(RecvTimeoutError::Timeout), "a new screen is no reason to try");
        }
        second += wait;
        stage.at(second);
        stage.show(second);
        stage.expect(Call::Open(second));
        stage.expect(Call::Show(second, second));
    }
    stage.answer(Answer::Done(None));
    stage.expect_report(None);
}

#[test]
fn the_same_cause_is_told_once() {
    let stage = Stage::blocked();
    stage.answer(Answer::Fail("no bus"));
    stage.expect_report(Some("no bus"));
    stage.at(1);
    stage.show(2);
    stage.expect(Call::Open(1));
    stage.expect(Call::Show(2, 1));
    stage.answer(Answer::Fail("no bus"));
    assert!(stage.thread.stop(SOON));
    assert!(stage.reports.try_recv().is_err());
}

#[test]
fn a_driver_that_panics_is_a_panel_that_failed() {
    let stage = Stage::blocked();
    stage.answer(Answer::Panic);
    stage.expect_report(Some("its driver panicked"));
    stage.at(1);
    stage.show(2);
    stage.expect(Call::Open(1));
    stage.expect(Call::Show(2, 1));
    stage.answer(Answer::Done(None));
    stage.expect_report(None);
}

#[test]
fn the_same_screen_is_drawn_again_when_the_panel_asked_for_it() {
    let stage = Stage::blocked();
    stage.answer(Answer::Done(Some(Duration::from_secs(5))));
    stage.at(4);
    stage.show(1);
    stage.at(5);
    stage.show(1);
    stage.expect(Call::Show(1, 5));
    stage.answer(Answer::Done(None));
    assert!(stage.thread.stop(SOON));
    assert_eq!(stage.calls.try_iter().collect::<Vec<_>>(), [Call::Clear]);
}

#[test]
fn a_panel_that_cannot_be_opened_says_so() {
    let (report, reports) = channel();
    let open = || Err(PanelError::new("no such device"));
    let thread = PanelThread::spawn("test", open, clock::boot, move |fault| {
        let _ = report.send(fault.cloned());
    });
    let thread = thread.unwrap();
    thread.show(Screen::Online);
    assert_eq!(reports.recv_timeout(SOON), Ok(Some(PanelError::new("no such device"))));
    assert!(thread.stop(SOON), "and its thread ends in the midst of waiting");
}
