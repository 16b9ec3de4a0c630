//! What the board shows people by and hears them by: panels, lamps, buzzer and buttons, each on a
//! thread of its own.

pub(crate) mod broken;
mod quiet;

use super::runtime;
use crate::config::{
    Button as ButtonConfig, Config, Driver, Idle as IdleConfig, Output, Panel as PanelConfig, Pins,
    PowerCycles,
};
use quiet::QuietHours;
use signpost_core::time::{Boot, Now};
use signpost_hal::{
    clock,
    panel::{
        ButtonThread, Buzzer, Contact, Idle, Key, Lamp, LastPress, Mount, Panel, PanelError,
        PanelThread, Press, Serial, Terminal,
        bus::{Board, LineName, Switch, Through},
    },
    screen::{Language, Screen, Start},
};
use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
    time::Duration,
};
use tokio::sync::mpsc;

/// How long all panels together may take to clear themselves at the end: as long as most need, and
/// no longer than whoever stops the agent should have to wait. Paper keeps what it shows.
const PATIENCE: Duration = Duration::from_millis(90);

/// How many presses wait for the loop at most; more than a person can make are dropped.
const MAX_PRESSES: usize = 16;

/// What happened at the board.
#[derive(Debug)]
pub(super) enum Happened {
    /// A part failed or works again: what is wrong now, if anything is.
    Changed(Option<String>),
    /// Somebody asks for something.
    Pressed(Press),
}

/// A part of the board with a cause of failure, or without one again.
type Report = (String, Option<PanelError>);

/// See the module.
#[derive(Debug)]
pub(super) struct Panels {
    threads: Vec<Shown>,
    /// They end with this.
    _buttons: Vec<ButtonThread>,
    presses: mpsc::Receiver<Press>,
    reports: mpsc::UnboundedReceiver<Report>,
    failed: BTreeMap<String, PanelError>,
    quiet: Option<QuietHours>,
    pressed: LastPress,
    is_dark: bool,
}

/// A thread, and whether it goes dark in quiet hours.
#[derive(Debug)]
struct Shown {
    thread: PanelThread,
    has_light: bool,
}

impl Panels {
    /// Starts everything on `board` that the configuration names and this program can drive.
    ///
    /// # Errors
    /// The system has no room for another thread.
    pub(super) fn start<B>(board: B, config: &Config) -> io::Result<Self>
    where
        B: Board + Clone + Send + 'static,
    {
        let folder = runtime::folder(config);
        broken::note_in(&folder);
        // A part speaks up only when it fails or recovers, ever less often.
        let (reporter, reports) = mpsc::unbounded_channel();
        let (presser, presses) = mpsc::channel(MAX_PRESSES);
        let pressed = LastPress::default();
        let bench = Bench { board, reporter, folder };
        let mut threads = Vec::new();
        for panel in &config.panels {
            threads.extend(bench.panel(panel, Language::of(config.device.language.as_str()))?);
        }
        if threads.is_empty() {
            tracing::warn!(
                "no panel can show a code: add [panel.NAME] to the configuration, \
                 or read the code with `signpost status`"
            );
        }
        for (name, lamp) in &config.lamps {
            let make = |line| Box::new(Lamp::new(line)) as Box<dyn Panel>;
            threads.extend(bench.output(format!("lamp.{name}"), lamp, true, make)?);
        }
        if let Some(buzzer) = &config.buzzer {
            let pressed = pressed.clone();
            let make = move |line| Box::new(Buzzer::new(line, pressed.clone())) as Box<dyn Panel>;
            threads.extend(bench.output("buzzer".to_owned(), buzzer, false, make)?);
        }
        let mut buttons = Vec::new();
        for (name, button) in &config.buttons {
            let last = pressed.clone();
            let presser = presser.clone();
            let press = move |press| {
                last.set(clock::boot());
                // A person does not press that fast.
                let _ = presser.try_send(press);
            };
            buttons.extend(bench.button(format!("button.{name}"), button, press)?);
        }
        let quiet = config.quiet.map(QuietHours::new);
        let failed = BTreeMap::new();
        let is_dark = false;
        Ok(Self { threads, _buttons: buttons, presses, reports, failed, quiet, pressed, is_dark })
    }

    /// Shows `screen` everywhere. Never blocks.
    pub(super) fn show(&self, screen: &Screen) {
        for shown in &self.threads {
            shown.thread.show(screen.clone());
        }
    }

    /// Darkens what has a light in quiet hours, and says when to look again.
    pub(super) fn keep_quiet(&mut self, now: Now) -> Option<Boot> {
        let quiet = self.quiet.as_ref()?;
        let (is_dark, next) = quiet.look(now, self.pressed.ago(now.boot.since_boot()));
        if is_dark != self.is_dark {
            self.is_dark = is_dark;
            for shown in self.threads.iter().filter(|shown| shown.has_light) {
                shown.thread.darken(is_dark);
            }
        }
        Some(now.boot + next)
    }

    /// Waits for something to happen at the board.
    pub(super) async fn happened(&mut self) -> Happened {
        let report = tokio::select! {
            Some(press) = self.presses.recv() => return Happened::Pressed(press),
            Some(report) = self.reports.recv() => report,
            // There is nothing at the board.
            else => return std::future::pending().await,
        };
        match report {
            (name, Some(error)) => self.failed.insert(name, error),
            (name, None) => self.failed.remove(&name),
        };
        let causes = self.failed.iter().map(|(name, error)| format!("{name} {error}"));
        let causes = causes.collect::<Vec<_>>().join("; ");
        Happened::Changed(Some(causes).filter(|causes| !causes.is_empty()))
    }

    /// Clears what is private and ends the threads.
    pub(super) fn stop(self) {
        PanelThread::stop_all(self.threads.into_iter().map(|shown| shown.thread), PATIENCE);
    }
}

/// Where parts are opened, and who hears of their failures.
struct Bench<B> {
    board: B,
    reporter: mpsc::UnboundedSender<Report>,
    /// Where drivers that panicked are noted.
    folder: PathBuf,
}

impl<B: Board + Clone + Send + 'static> Bench<B> {
    fn panel(&self, panel: &PanelConfig, language: Language) -> io::Result<Option<Shown>> {
        let name = format!("panel.{}", panel.name);
        // The configuration has warned of the one, and the report of the other.
        if matches!(panel.driver, Driver::NotBuiltIn { .. }) || self.leaves_alone(&name) {
            return Ok(None);
        }
        let has_light = match &panel.driver {
            Driver::Board { hardware, .. } => hardware.is_lit(),
            Driver::Terminal | Driver::Serial { .. } | Driver::NotBuiltIn { .. } => false,
        };
        let idle = match panel.idle {
            IdleConfig::Status => Idle::Status,
            IdleConfig::Blank => Idle::Blank,
            IdleConfig::Release => Idle::Release,
        };
        let (driver, board) = (panel.driver.clone(), self.board.clone());
        let open = move || open(&driver, &board, language);
        let report = self.report(name.clone());
        let thread = PanelThread::spawn_with(&name, idle, open, clock::boot, report)?;
        Ok(Some(Shown { thread, has_light }))
    }

    /// A lamp or the buzzer.
    fn output(
        &self,
        name: String,
        output: &Output,
        has_light: bool,
        make: impl Fn(Switch<B::Output>) -> Box<dyn Panel> + Send + 'static,
    ) -> io::Result<Option<Shown>> {
        if self.leaves_alone(&name) {
            return Ok(None);
        }
        let (board, line, active_low) =
            (self.board.clone(), output.line.clone(), output.active_low);
        let open = move || Ok(make(Switch { line: board.output(&line, active_low)?, active_low }));
        let report = self.report(name.clone());
        let thread = PanelThread::spawn(&name, open, clock::boot, report)?;
        Ok(Some(Shown { thread, has_light }))
    }

    fn button(
        &self,
        name: String,
        button: &ButtonConfig,
        press: impl FnMut(Press) + Send + 'static,
    ) -> io::Result<Option<ButtonThread>> {
        if self.leaves_alone(&name) {
            return Ok(None);
        }
        let report = self.report(name.clone());
        let board = self.board.clone();
        let open: Box<dyn FnMut() -> Result<Box<dyn Contact>, PanelError> + Send> = match button {
            ButtonConfig::Line { line, active_low } => {
                let (line, active_low): (LineName, bool) = (line.clone(), *active_low);
                Box::new(move || board.contact(&line, active_low))
            }
            ButtonConfig::Input { device, code } => {
                let (device, code) = (device.as_path().to_owned(), code.map(|code| code.get()));
                Box::new(move || Ok(Box::new(Key::open(&device, code)?)))
            }
        };
        ButtonThread::spawn(&name, open, clock::boot, press, report).map(Some)
    }

    /// Whether the driver of this part ended the program before; that is reported then.
    fn leaves_alone(&self, name: &str) -> bool {
        let Some(cause) = broken::cause(&self.folder, name) else { return false };
        self.report(name.to_owned())(Some(&cause));
        true
    }

    fn report(&self, name: String) -> impl FnMut(Option<&PanelError>) + Send + 'static {
        let reporter = self.reporter.clone();
        move |error| {
            match error {
                Some(error) => tracing::warn!("{name} {error}"),
                None => tracing::info!("{name} works again"),
            }
            // Nobody listens: the agent is stopping.
            let _ = reporter.send((name.clone(), error.cloned()));
        }
    }
}

/// Opens a panel as the configuration describes it.
///
/// # Errors
/// It cannot be reached, with advice.
pub(crate) fn open<B: Board>(
    driver: &Driver,
    board: &B,
    language: Language,
) -> Result<Box<dyn Panel>, PanelError> {
    match driver {
        Driver::Terminal => {
            Ok(Box::new(Terminal::open(Path::new("/dev/tty"))?.in_language(language)))
        }
        Driver::Serial { port, baud } => {
            Ok(Box::new(Serial::open(port.as_path(), baud.get())?.in_language(language)))
        }
        Driver::Board { hardware, turn } => hardware.open(board, Mount { turn: *turn, language }),
        Driver::NotBuiltIn { .. } => {
            Err(PanelError::new("is of a kind that this build cannot drive"))
        }
    }
}

/// Which library reaches the board.
pub(crate) fn through(config: &Config) -> Through {
    match config.device.pins {
        Pins::Linux => Through::Linux,
        Pins::Rppal => Through::RaspberryPi,
    }
}

/// What the board has for starting a sign-in.
pub(super) fn start_of(config: &Config) -> Start {
    let on_terminal = |panel: &PanelConfig| matches!(panel.driver, Driver::Terminal);
    if !config.buttons.is_empty() {
        Start::Button
    } else if config.panels.iter().all(on_terminal) {
        Start::Command
    } else {
        Start::Replug
    }
}

/// Whether five power cycles sign out: a device with a button has that, and one with nothing but a
/// terminal has a shell.
pub(crate) fn counts_power_cycles(config: &Config) -> bool {
    start_of(config) == Start::Replug && config.device.power_cycles == PowerCycles::SignOut
}
