//! Keeping the issuer's metadata: fetched when unknown, again daily, and kept for offline boots.

use super::{Activity, Event, Session};
use crate::{
    backoff::Backoff,
    fault::Fault,
    http::{Outcome, Peer, Request},
    issuer::{IssuerConfig, is_acceptable_url},
    secret::Secret,
    time::Boot,
    wire::{Metadata, MetadataProblem, Trouble, discovery_urls},
};
use alloc::vec::Vec;
use core::time::Duration;

/// How old metadata may grow before it is fetched again.
const MAX_AGE: Duration = Duration::from_secs(86_400);

#[derive(Debug)]
pub(super) struct Discovery {
    metadata: Option<Metadata>,
    not_before: Boot,
    backoff: Backoff,
    /// Which of the well-known addresses is asked next.
    address: usize,
}

impl Discovery {
    pub(super) fn new(kept: Option<Metadata>, issuer: &IssuerConfig, start: Boot) -> Self {
        let url = issuer.url.as_deref();
        Self {
            metadata: kept.and_then(|kept| kept.checked(url?).ok()),
            not_before: start,
            backoff: Backoff::new(Duration::from_secs(2), Duration::from_secs(60)),
            address: 0,
        }
    }

    pub(super) const fn metadata(&self) -> Option<&Metadata> {
        self.metadata.as_ref()
    }
}

impl Session {
    /// With an address and not all endpoints configured, metadata is wanted.
    fn wants_metadata(&self) -> bool {
        let explicit = &self.config.issuer.explicit;
        let all_given = explicit.device_authorization.is_some() && explicit.token.is_some();
        self.config.issuer.url.is_some() && !all_given
    }

    pub(super) fn discovery_wake(&self) -> Option<Boot> {
        let due = self.wants_metadata() && !self.is_under_way(Activity::Discovery);
        due.then_some(self.discovery.not_before)
    }

    pub(super) fn advance_discovery(&mut self) {
        let due = self.discovery_wake().is_some_and(|at| at <= self.now.boot);
        let Some(issuer) = self.config.issuer.url.as_deref().filter(|_| due) else { return };
        let [appended, inserted] = discovery_urls(issuer);
        let url = if self.discovery.address == 0 { appended } else { inserted };
        let headers = Vec::from([("accept".into(), Secret::new("application/json"))]);
        self.send(
            Activity::Discovery,
            Request { peer: Peer::Issuer, url, headers, body: None, unsigned: Vec::new() },
        );
    }

    pub(super) fn discovery_heard(&mut self, outcome: &Outcome) {
        let issuer = self.config.issuer.url.clone().unwrap_or_default();
        match Metadata::read(outcome, &issuer) {
            Ok(metadata) => self.metadata_found(metadata),
            Err(MetadataProblem::Absent) if self.discovery.address == 0 => {
                self.discovery.address = 1;
            }
            Err(problem) => {
                self.discovery.address = 0;
                self.discovery.not_before =
                    self.now.boot + self.discovery.backoff.next(&mut self.rng);
                match problem {
                    MetadataProblem::Trouble(trouble) => self.metadata_trouble(&trouble),
                    MetadataProblem::Absent => {
                        self.metadata_trouble(&Trouble::Garbage { status: 404 });
                    }
                    MetadataProblem::WrongIssuer { .. } | MetadataProblem::Insecure => {
                        self.raise_fault(Fault::IssuerMismatch);
                    }
                }
            }
        }
    }

    /// Keys over an address that anybody could answer for are worth nothing.
    fn report_insecure_keys(&mut self) {
        let named = self.discovery.metadata().and_then(|metadata| metadata.jwks_uri.as_deref());
        let is_insecure = named.is_some_and(|uri| !is_acceptable_url(uri));
        if is_insecure && self.config.issuer.explicit.jwks.is_none() {
            self.event(Event::KeysInsecure);
        }
    }

    fn metadata_trouble(&mut self, trouble: &Trouble) {
        if let Some(wait) = trouble.retry_after() {
            self.discovery.not_before = self.discovery.not_before.max(self.now.boot + wait);
        }
        self.issuer_trouble(trouble);
    }

    fn metadata_found(&mut self, metadata: Metadata) {
        self.issuer_answered();
        self.clear_fault(Fault::IssuerMismatch);
        self.discovery.address = 0;
        self.discovery.backoff.reset();
        self.discovery.not_before = self.now.boot + MAX_AGE;
        self.metadata_to_save |= self.discovery.metadata.as_ref() != Some(&metadata);
        self.discovery.metadata = Some(metadata);
        self.find_endpoints();
        self.report_insecure_keys();
        if self.endpoints.as_ref().is_some_and(|found| found.device_authorization.is_none()) {
            self.raise_fault(Fault::NoDeviceFlow);
        } else {
            self.clear_fault(Fault::NoDeviceFlow);
        }
    }
}
