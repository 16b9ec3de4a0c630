//! The configured panels, each on a thread of its own.

use crate::config::{Config, Driver, Panel as PanelConfig};
use signpost_hal::{
    clock,
    panel::{Panel, PanelError, PanelThread, Serial, Terminal},
    screen::{Screen, Start},
};
use std::{collections::BTreeSet, io, path::Path, time::Duration};
use tokio::sync::mpsc;

/// How long a panel may take to clear itself at the end.
const PATIENCE: Duration = Duration::from_millis(300);

/// A panel failed (`true`), or works again.
pub(super) type Report = (String, bool);

/// See the module.
#[derive(Debug)]
pub(super) struct Panels {
    threads: Vec<PanelThread>,
    reports: mpsc::UnboundedReceiver<Report>,
    failed: BTreeSet<String>,
}

impl Panels {
    /// Starts every panel that this program can drive.
    ///
    /// # Errors
    /// The system has no room for another thread.
    pub(super) fn start(config: &Config) -> io::Result<Self> {
        // A panel speaks up only when it fails or recovers, ever less often.
        let (sender, reports) = mpsc::unbounded_channel();
        let mut threads = Vec::new();
        for panel in &config.panels {
            threads.extend(start(panel, sender.clone())?);
        }
        if threads.is_empty() {
            tracing::warn!(
                "no panel can show a code: add [panel.NAME] to the configuration, \
                 or read the code with `signpost status`"
            );
        }
        Ok(Self { threads, reports, failed: BTreeSet::new() })
    }

    /// Shows `screen` everywhere. Never blocks.
    pub(super) fn show(&self, screen: &Screen) {
        for thread in &self.threads {
            thread.show(screen.clone());
        }
    }

    /// Waits for a panel to fail or recover: whether any is broken now.
    pub(super) async fn changed(&mut self) -> bool {
        match self.reports.recv().await {
            Some((name, true)) => {
                self.failed.insert(name);
            }
            Some((name, false)) => {
                self.failed.remove(&name);
            }
            // No panels, no news.
            None => std::future::pending().await,
        }
        !self.failed.is_empty()
    }

    /// Clears what is private and ends the threads.
    pub(super) fn stop(self) {
        for thread in self.threads {
            thread.stop(PATIENCE);
        }
    }
}

fn start(
    panel: &PanelConfig,
    reports: mpsc::UnboundedSender<Report>,
) -> io::Result<Option<PanelThread>> {
    type Opened = Result<Box<dyn Panel>, PanelError>;
    let open: Box<dyn FnMut() -> Opened + Send> = match &panel.driver {
        Driver::Terminal => {
            Box::new(|| Ok(Box::new(Terminal::open(Path::new("/dev/tty"))?) as Box<dyn Panel>))
        }
        Driver::Serial { port, baud } => {
            let (port, baud) = (port.clone(), baud.get());
            Box::new(move || Ok(Box::new(Serial::open(port.as_path(), baud)?) as Box<dyn Panel>))
        }
        // The configuration has warned of it.
        Driver::NotBuiltIn { .. } => return Ok(None),
    };
    let name = panel.name.to_string();
    let report = {
        let name = name.clone();
        move |error: Option<&PanelError>| {
            match error {
                Some(error) => tracing::warn!("panel.{name} {error}"),
                None => tracing::info!("panel.{name} works again"),
            }
            // Nobody listens: the agent is stopping.
            let _ = reports.send((name.clone(), error.is_some()));
        }
    };
    PanelThread::spawn(&name, open, clock::boot, report).map(Some)
}

/// What the board has for starting a sign-in. Buttons are not read yet.
pub(super) fn start_of(config: &Config) -> Start {
    let on_terminal = |panel: &PanelConfig| matches!(panel.driver, Driver::Terminal);
    if config.panels.iter().all(on_terminal) { Start::Command } else { Start::Replug }
}
