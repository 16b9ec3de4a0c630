//! What `signpost check` says of panels, and the picture that tests them.

use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use std::time::Duration;

use signpost_hal::clock;
use signpost_hal::panel::bus::Board as _;
use signpost_hal::panel::{Lamp, Panel, PanelError, bus::Switch};
use signpost_hal::screen::{Language, Screen};

use super::super::agent::Agent;
use super::super::exit::Failure;
use super::super::probe::{Probe, Verdict};
use super::super::{output, pause};
use crate::config::{Config, Driver, Loaded, Pins};
use crate::shell::panels;

/// How long a panel may take: the slowest, e-paper in the cold, comes back after 10 s.
const PATIENCE: Duration = Duration::from_secs(15);
/// How long the picture stands for somebody to look at.
const STANDS: Duration = Duration::from_secs(5);
/// How long the agent's panels may take until they are asked after.
const DRAWS: Duration = Duration::from_secs(4);

/// How panels stand, from the configuration and the board's nodes alone. Touches none.
pub(super) fn reach(loaded: &Loaded) -> Probe {
    let config = &loaded.config;
    if config.panels.is_empty() {
        return Probe::new("panels", Verdict::Warning, "nothing shows the code")
            .advise("add [panel.NAME], or sign in with `signpost sign-in`");
    }
    let mut causes = Vec::new();
    for panel in &config.panels {
        let found = match &panel.driver {
            Driver::Terminal => Ok(()),
            Driver::Serial { port, .. } if !port.as_path().exists() => Err(PanelError::new(
                format!("finds that {} does not exist: check its wiring", port.as_path().display()),
            )),
            Driver::Serial { .. } => Ok(()),
            Driver::Board { hardware, .. } => hardware.reach(),
            Driver::NotBuiltIn { .. } => Err(not_built_in()),
        };
        if let Err(error) = found {
            causes.push(format!("panel.{} {error}", panel.name));
        }
    }
    let pins = (config.device.pins == Pins::Rppal).then(|| panels::through(config).check());
    if let Some(Err(error)) = pins {
        causes.push(format!("device.pins {error}"));
    }
    if causes.is_empty() {
        return Probe::new("panels", Verdict::Skipped, "configured; --panels draws a test picture");
    }
    Probe::new("panels", Verdict::Failed, causes.join("; "))
        .advise("`signpost check --panels` tries them one by one")
}

fn not_built_in() -> PanelError {
    PanelError::new("is of a kind that this build cannot drive")
}

/// Has the running agent draw the test picture, and waits until its panels have had time to.
pub(super) fn draw_by_agent(agent: &Agent, json: bool) -> Result<(), Failure> {
    agent.post("/v1/test-panels")?.success()?;
    if !json {
        output::print("The panels show a test picture for 20 seconds.\n")?;
    }
    pause(DRAWS);
    Ok(())
}

/// Draws the test picture on every panel and lamp, without an agent, and says how each took it.
pub(super) fn draw(config: &Config) -> Vec<Probe> {
    let language = Language::of(config.device.language.as_str());
    let mut tests = Vec::new();
    for panel in &config.panels {
        let (driver, board) = (panel.driver.clone(), panels::through(config));
        let open = move || panels::open(&driver, &board, language);
        tests.push(Test::begin(format!("panel.{}", panel.name), open));
    }
    for (name, lamp) in &config.lamps {
        let (lamp, board) = (lamp.clone(), panels::through(config));
        let open = move || {
            let line = board.output(&lamp.line, lamp.active_low)?;
            let switch = Switch { line, active_low: lamp.active_low };
            Ok(Box::new(Lamp::new(switch)) as Box<dyn Panel>)
        };
        tests.push(Test::begin(format!("lamp.{name}"), open));
    }
    let until = clock::boot() + PATIENCE;
    let probes: Vec<Probe> = tests.iter().map(|test| test.ended(until)).collect();
    if probes.iter().any(|probe| probe.result == Verdict::Ok) {
        pause(STANDS);
    }
    for test in tests {
        test.clear();
    }
    probes
}

/// One panel under test, on a thread of its own: its bus may hang.
struct Test {
    name: String,
    drawn: Receiver<Result<(), PanelError>>,
    looked_at: Sender<()>,
    cleared: Receiver<()>,
}

impl Test {
    fn begin(
        name: String,
        open: impl FnOnce() -> Result<Box<dyn Panel>, PanelError> + Send + 'static,
    ) -> Self {
        let (draw, drawn) = mpsc::channel();
        let (looked_at, looks) = mpsc::channel::<()>();
        let (clear, cleared) = mpsc::channel::<()>();
        thread::spawn(move || {
            // Goes with the thread.
            let _clear = clear;
            let mut panel = match open() {
                Ok(panel) => panel,
                Err(error) => return drop(draw.send(Err(error))),
            };
            let shown = panel.show(&Screen::Test, clock::boot());
            let _ = draw.send(shown.map(drop));
            // Ends when nobody looks any more.
            let _ = looks.recv();
            let _ = panel.clear();
        });
        Self { name, drawn, looked_at, cleared }
    }

    fn ended(&self, until: Duration) -> Probe {
        let left = until.saturating_sub(clock::boot());
        let drawn = self
            .drawn
            .recv_timeout(left)
            .unwrap_or_else(|_| Err(PanelError::new("does not come back: its bus hangs")));
        match drawn {
            Ok(()) => Probe::new(&self.name, Verdict::Ok, "took the test picture: is it there?")
                .advise("if not, it is of another kind, or its contrast is too low"),
            Err(error) => Probe::new(&self.name, Verdict::Failed, error.to_string()),
        }
    }

    fn clear(self) {
        drop(self.looked_at);
        // By its end; one that hangs is left alone.
        let _ = self.cleared.recv_timeout(Duration::from_secs(1));
    }
}
