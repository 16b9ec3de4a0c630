//! From the sections as written to the configuration that the agent runs on: what only shows when
//! all layers are together is checked here, once.

use std::collections::BTreeMap;

use super::access::{Broker, BrokerKeys, Control, Device, Metrics, Network};
use super::board::{Button, ButtonKeys, Output, OutputKeys, Quiet, QuietKeys, Support};
use super::issuer::{Issuer, IssuerKeys};
use super::owner::Owner;
use super::panel::{Panel, PanelKeys};
use super::problem::{Place, Problem, Weight};
use super::reading::section;
use super::storage::Store;
use super::telemetry::{Quota, Telemetry};
use super::value::Name;

section! {
    /// All sections as written.
    pub(super) struct Keys {
        device: Device,
        issuer: IssuerKeys,
        owner: Owner,
        network: Network,
        store: Store,
        panel: Vec<(Name, PanelKeys)>,
        lamp: Vec<(Name, OutputKeys)>,
        button: Vec<(Name, ButtonKeys)>,
        buzzer: Option<OutputKeys>,
        quiet: QuietKeys,
        support: Support,
        telemetry: Telemetry,
        broker: BrokerKeys,
        control: Control,
        metrics: Metrics,
    }
}

/// A configuration that can be run: complete, and every value in its range.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Who the device is.
    pub device: Device,
    /// Who signs people in.
    pub issuer: Issuer,
    /// Whose the device may become.
    pub owner: Owner,
    /// How it reaches the network.
    pub network: Network,
    /// Where it keeps what must survive.
    pub store: Store,
    /// What shows screens; by name.
    pub panels: Vec<Panel>,
    /// Lamps, by name.
    pub lamps: Vec<(Name, Output)>,
    /// Buttons, by name.
    pub buttons: Vec<(Name, Button)>,
    /// What beeps.
    pub buzzer: Option<Output>,
    /// When lamps and panels are dark.
    pub quiet: Option<Quiet>,
    /// Whom to ask.
    pub support: Support,
    /// What comes in from local programs, and where it goes.
    pub telemetry: Telemetry,
    /// Local programs that may have tokens.
    pub broker: Broker,
    /// The control socket.
    pub control: Control,
    /// Prometheus text.
    pub metrics: Metrics,
}

/// What checking needs to know, and what it finds.
pub(super) struct Resolve<'a> {
    /// Where each key was set.
    pub(super) origins: &'a BTreeMap<String, String>,
    /// Named where a key was set nowhere.
    pub(super) fallback: &'a str,
    /// Whether what is missing may stand in a file that is not at hand.
    pub(super) partial: bool,
    pub(super) problems: Vec<Problem>,
}

impl Resolve<'_> {
    /// Reports a key that must be set.
    pub(super) fn missing<T>(&mut self, key: &str, advice: &str) -> Option<T> {
        if self.partial { None } else { self.wrong(key, &format!("missing; {advice}")) }
    }

    /// Reports something that stops the start.
    pub(super) fn wrong<T>(&mut self, key: &str, text: &str) -> Option<T> {
        // A key that could not be read looks as if it were not set; its error is there already.
        let reported = |problem: &Problem| {
            let rest = problem.key.strip_prefix(key);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        if !self.problems.iter().any(reported) {
            self.problems.push(Problem::stops(self.place(key), key, text));
        }
        None
    }

    /// Reports something that the agent starts without.
    pub(super) fn ignored(&mut self, key: &str, text: String) {
        let weight = Weight::Ignored;
        self.problems.push(Problem { weight, ..Problem::stops(self.place(key), key, text) });
    }

    /// Where the key, or else its nearest relative, was set.
    fn place(&self, key: &str) -> Place {
        let mut about = key;
        loop {
            let below = format!("{about}.");
            let set = self.origins.get(about).or_else(|| {
                let mut after = self.origins.range(below.clone()..);
                after.next().filter(|(found, _)| found.starts_with(&below)).map(|(_, at)| at)
            });
            match (set, about.rsplit_once('.')) {
                (Some(origin), _) => return Place::from_origin(origin),
                (None, Some((parent, _))) => about = parent,
                (None, None) => return Place::whole(self.fallback),
            }
        }
    }
}

impl Keys {
    /// The configuration; `None` where a problem was reported that leaves none.
    pub(super) fn resolve(self, at: &mut Resolve<'_>) -> Option<Config> {
        if !self.network.system_roots && self.network.ca_file.is_none() {
            at.missing::<()>("network.ca_file", "with system_roots = false no server is trusted");
        }
        if self.store.tokens.path == self.store.spool.path {
            at.wrong::<()>("store.spool.path", "found the path of store.tokens; give it its own");
        }
        self.check_quotas(at);
        let issuer = self.issuer.resolve(self.telemetry.resource.as_ref(), at);
        let any_panel = self.panel.iter().any(|(_, panel)| panel.enabled);
        let panels = self
            .panel
            .into_iter()
            .filter(|(_, panel)| panel.enabled)
            .filter_map(|(name, panel)| panel.resolve(&name, at))
            .collect();
        let lamps: Vec<(Name, Output)> = self
            .lamp
            .into_iter()
            .filter(|(_, lamp)| lamp.enabled)
            .filter_map(|(name, lamp)| {
                Some((name.clone(), lamp.resolve(&format!("lamp.{name}"), at)?))
            })
            .collect();
        if !any_panel && !lamps.is_empty() {
            at.missing::<()>(
                "panel",
                "a lamp alone cannot show a code: add [panel.NAME] with a kind, or remove [lamp]",
            );
        }
        let buttons = self
            .button
            .into_iter()
            .filter(|(_, button)| button.enabled)
            .filter_map(|(name, button)| Some((name.clone(), button.resolve(&name, at)?)))
            .collect();
        let buzzer = self.buzzer.filter(|buzzer| buzzer.enabled);
        let buzzer = buzzer.and_then(|buzzer| buzzer.resolve("buzzer", at));
        Some(Config {
            device: self.device,
            owner: self.owner,
            network: self.network,
            store: self.store,
            panels,
            lamps,
            buttons,
            buzzer,
            quiet: self.quiet.resolve(at),
            support: self.support,
            telemetry: self.telemetry,
            broker: self.broker.resolve(at),
            control: self.control,
            metrics: self.metrics,
            issuer: issuer?,
        })
    }

    fn check_quotas(&self, at: &mut Resolve<'_>) {
        let quotas = &self.telemetry.quota;
        let percent = [quotas.events, quotas.metrics, quotas.logs]
            .iter()
            .map(|quota| match quota {
                Quota::Percent(percent) => u32::from(*percent),
                Quota::Fixed(_) => 0,
            })
            .sum::<u32>();
        if percent > 100 {
            let text = format!("found {percent} % of the spool in all; give out at most 100 %");
            at.wrong::<()>("telemetry.quota", &text);
        }
    }
}
