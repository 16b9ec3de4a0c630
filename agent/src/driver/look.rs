//! How it looks from outside: the screen that is meant, and `status`.

use super::{Driver, person::Answering};
use crate::{config::ShowAccount, status};
use signpost_core::{
    delivery::{Delivery, Hold},
    fault::Fault,
    owner::Account,
    session::{Ending, GrantStatus, OwnNameStatus, PendingSignIn, State, View},
    time::{Boot, Wall},
};
use signpost_hal::screen::{self, Day, Screen, SignIn};
use std::{collections::BTreeMap, time::Duration};

impl Driver {
    pub(super) fn screen(&self) -> Screen {
        let start = self.config.start;
        if let Some(answer) = self.person.answer() {
            return self.answering(answer);
        }
        match self.session.view() {
            View::Starting => Screen::Starting {
                version: env!("CARGO_PKG_VERSION").into(),
                device: self.device_id.clone(),
            },
            View::ClockWrong => Screen::ClockWrong,
            View::NoNetwork => Screen::NoNetwork,
            View::SignIn(pending) => Screen::SignIn(sign_in(pending)),
            View::Renewing => Screen::Renewing,
            View::Saving => Screen::Saving,
            View::SignedIn(account) => Screen::SignedIn { account: self.shown_name(account) },
            View::NewOwner(account) => Screen::NewOwner { account: self.shown_name(account) },
            View::Denied => Screen::Denied { start },
            View::WrongAccount(owner) => Screen::WrongAccount { hint: self.hint(owner) },
            View::Online if self.is_storing() => self.storing(),
            View::Expiring(_) if self.is_storing() => self.storing(),
            View::Expiring(end) => Screen::Expiring { by: last_day(end), start },
            View::Online => Screen::Online,
            View::Offline => self.storing(),
            View::SignInAgain(fault) => {
                Screen::SignInAgain { reason: fault.row().advice.into(), start }
            }
            View::Waiting => Screen::Waiting { start, own_name: self.speaks_in_own_name() },
            View::Blocked => Screen::Blocked { own_name: self.speaks_in_own_name() },
            View::Fault(Fault::CaptivePortal) => Screen::Portal,
            View::Fault(fault) => Screen::Fault(self.fault_screen(fault)),
        }
    }

    fn answering(&self, answer: Answering) -> Screen {
        match answer {
            Answering::Account => {
                let account = self.session.grant().account;
                Screen::SignedIn { account: self.shown_name(account) }
            }
            Answering::ResetIn(seconds) => Screen::ResetIn { seconds },
            Answering::ResetConfirm => Screen::ResetConfirm,
            Answering::ResetDone => Screen::ResetDone {
                revocation_pending: self.session.faults().has(Fault::RevocationPending),
            },
            Answering::Test => Screen::Test,
        }
    }

    /// What belongs to nobody goes out in the device's own name.
    fn speaks_in_own_name(&self) -> bool {
        let sends = self.delivery.as_ref().is_some_and(Delivery::sends_in_own_name);
        sends && self.session.own_name().0 == OwnNameStatus::Held && !self.is_storing()
    }

    /// Signed in, but telemetry does not get through.
    fn is_storing(&self) -> bool {
        self.delivery.as_ref().and_then(|delivery| delivery.held()) == Some(Hold::Unreachable)
    }

    fn storing(&self) -> Screen {
        Screen::Offline { stored: self.records() }
    }

    fn records(&self) -> u64 {
        self.stock.queues.iter().map(|held| held.records).sum()
    }

    fn shown_name(&self, account: Option<&Account>) -> Option<String> {
        let name = account?.name.clone()?;
        match self.config.show_account {
            ShowAccount::Full => Some(name),
            ShowAccount::Short => Some(shortened(&name)),
            ShowAccount::None => None,
        }
    }

    /// A hint at the right account never names it in full to whoever stands there.
    fn hint(&self, owner: Option<&Account>) -> Option<String> {
        let name = owner?.name.as_deref()?;
        (self.config.show_account != ShowAccount::None).then(|| shortened(name))
    }

    fn fault_screen(&self, fault: Fault) -> screen::Fault {
        let row = fault.row();
        screen::Fault {
            code: row.code.into(),
            title: row.title.into(),
            advice: row.advice.into(),
            support: self.config.support.clone(),
        }
    }

    pub(super) fn status(&self, private: bool) -> status::Status {
        let wall = self.session.usable_wall(self.now);
        let pending = self.session.pending_sign_in().filter(|_| private);
        status::Status {
            schema: 1,
            version: env!("CARGO_PKG_VERSION").into(),
            device_id: self.device_id.clone(),
            generated_at: wall.and_then(status::rfc3339),
            state: self.state().name(),
            pairing: pending.map(|pending| self.pairing_status(pending)),
            pairing_ended: self.ended.map(ending_name),
            grant: self.grant_status(private),
            own_name: self.own_name_status(),
            clock: if wall.is_some() { "usable" } else { "unusable" },
            delivery: self.delivery_status(),
            flash: status::Flash {
                written_today: self.wear.today(),
                written_per_day: self.wear.per_day(self.now.boot),
                life_days: self.wear.life(self.config.endurance, self.now.boot),
                worn: self.stock.worn,
            },
            faults: self
                .faults_up()
                .map(|(fault, since)| self.fault_status(fault, since))
                .collect(),
        }
    }

    fn state(&self) -> State {
        let state = self.session.state();
        if state == State::Online && self.is_storing() { State::Offline } else { state }
    }

    fn pairing_status(&self, pending: &PendingSignIn) -> status::Pairing {
        status::Pairing {
            user_code: pending.user_code.clone(),
            verification_uri: pending.verification_uri.clone(),
            verification_uri_complete: pending.verification_uri_complete.clone(),
            expires_in: pending.expires.since(self.now.boot).as_secs(),
        }
    }

    fn grant_status(&self, private: bool) -> status::Grant {
        let grant = self.session.grant();
        let account = grant.account.filter(|_| private);
        status::Grant {
            status: match grant.status {
                GrantStatus::None => "none",
                GrantStatus::Held => "held",
                GrantStatus::Suspended => "suspended",
            },
            account: account.map(|account| status::Account {
                subject: account.subject.clone(),
                name: account.name.clone(),
            }),
            signed_in_at: grant.signed_in_at.and_then(status::rfc3339),
            last_refresh_at: grant.last_refresh.and_then(|at| self.date_of(at)),
            expires_at: grant.expires_at.and_then(status::rfc3339),
            revocation: self.session.reach().name(),
        }
    }

    fn own_name_status(&self) -> Option<status::OwnName> {
        let (status, last) = self.session.own_name();
        let status = match status {
            OwnNameStatus::Off => return None,
            OwnNameStatus::Waiting => "waiting",
            OwnNameStatus::Held => "held",
            OwnNameStatus::Refused => "refused",
        };
        let last_token_at = last.and_then(|at| self.date_of(at));
        Some(status::OwnName { status, sending: self.speaks_in_own_name(), last_token_at })
    }

    fn delivery_status(&self) -> status::Delivery {
        let bytes = self.stock.queues.iter().map(|held| held.bytes).sum();
        let delivery = self.delivery.as_ref();
        let counts = delivery.map(|delivery| delivery.counts()).unwrap_or_default();
        let nobody = self.session.grant().status != GrantStatus::Held && !self.speaks_in_own_name();
        let held = delivery
            .and_then(|delivery| delivery.held().or(nobody.then_some(Hold::SignIn)))
            .filter(|_| self.records() > 0);
        status::Delivery {
            status: match delivery {
                None => "off",
                Some(_) if held.is_some() => "holding",
                Some(delivery) if delivery.is_sending() => "sending",
                Some(_) => "idle",
            },
            reason: held.map(Hold::name),
            records: self.records(),
            bytes,
            oldest_age: self.oldest_age().map(|age| age.as_secs()),
            last_success_at: counts.last_success.and_then(|at| self.date_of(at)),
            dropped: self.drops.values().sum(),
            dropped_by: self.drops_by_reason(),
        }
    }

    /// How long the oldest record has waited; where it is of a run of the board whose clock was
    /// never set, since this one has known of it.
    fn oldest_age(&self) -> Option<Duration> {
        let known = self.stocked_since.map(|since| self.now.boot.since(since));
        let at = self.arrival();
        let oldest = self.stock.queues.iter().filter_map(|held| held.oldest?.age(at));
        oldest.chain(known).max()
    }

    fn drops_by_reason(&self) -> BTreeMap<&'static str, u64> {
        let mut by_reason = BTreeMap::new();
        for ((_, reason), records) in &self.drops {
            *by_reason.entry(reason.name()).or_default() += records;
        }
        by_reason
    }

    fn faults_up(&self) -> impl Iterator<Item = (Fault, Boot)> {
        let delivery = self.delivery.iter().flat_map(|delivery| delivery.faults().iter());
        let mut all: Vec<_> =
            self.session.faults().iter().chain(delivery).chain(self.faults.iter()).collect();
        all.sort_unstable();
        all.dedup_by_key(|(fault, _)| *fault);
        all.into_iter()
    }

    fn fault_status(&self, fault: Fault, since: Boot) -> status::Fault {
        let row = fault.row();
        status::Fault {
            code: row.code,
            class: row.class.name(),
            title: row.title,
            advice: row.advice,
            detail: self.details.get(&fault).cloned().or_else(|| self.issuers_words(fault)),
            since: self.date_of(since),
        }
    }

    /// What the issuer said, with the ids that its support asks for.
    fn issuers_words(&self, fault: Fault) -> Option<String> {
        self.session.words(fault).map(ToString::to_string)
    }

    /// The date of an instant of this boot, by today's clock.
    fn date_of(&self, at: Boot) -> Option<String> {
        let now = self.session.usable_wall(self.now)?;
        let ago = self.now.boot.since(at);
        status::rfc3339(Wall::new(now.since_epoch().saturating_sub(ago)))
    }
}

fn sign_in(pending: &PendingSignIn) -> SignIn {
    SignIn {
        user_code: pending.user_code.clone(),
        verification_uri: pending.verification_uri.clone(),
        verification_uri_complete: pending.verification_uri_complete.clone(),
        expires: Duration::from_secs(pending.expires.since_boot().as_secs()),
    }
}

/// The last day on which everybody may still count: where the end comes in the first half of a
/// day, here or by the clock of whoever stands there, it is the day before.
fn last_day(end: Wall) -> Day {
    let noon = end.since_epoch().saturating_sub(Duration::from_secs(12 * 3_600)).as_secs();
    let date = i64::try_from(noon).ok().and_then(|s| jiff::Timestamp::from_second(s).ok());
    let date = date.unwrap_or_default().to_zoned(jiff::tz::TimeZone::UTC).date();
    let small = |number: i8| u8::try_from(number).unwrap_or_default();
    Day { month: small(date.month()), day: small(date.day()) }
}

/// `anna@acme.example` as `a…@acme`: enough to know oneself, too little to know another.
fn shortened(name: &str) -> String {
    let first = |part: &str| part.chars().next().map(String::from).unwrap_or_default();
    match name.split_once('@') {
        Some((user, domain)) => {
            let host = domain.split('.').next().unwrap_or_default();
            format!("{}…@{host}", first(user))
        }
        None => {
            let mut words = name.split_whitespace();
            let given = words.next().unwrap_or_default().to_owned();
            let initial = words.next_back().map(|family| format!(" {}.", first(family)));
            given + &initial.unwrap_or_default()
        }
    }
}

const fn ending_name(ending: Ending) -> &'static str {
    match ending {
        Ending::Expired => "expired",
        Ending::Denied => "denied",
        Ending::WrongAccount => "wrong-account",
        Ending::Refused => "refused",
        Ending::BadIdentity => "bad-identity",
        Ending::SignedOut => "signed-out",
        Ending::Resumed => "resumed",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_day_is_one_that_still_counts() {
        let day = |seconds| {
            let day = last_day(Wall::new(Duration::from_secs(seconds)));
            (day.month, day.day)
        };
        // 2026-03-14T23:00Z and 2026-03-01T11:59Z.
        assert_eq!(day(1_773_529_200), (3, 14));
        assert_eq!(day(1_772_366_340), (2, 28));
        assert_eq!(day(u64::MAX), (1, 1), "no panic");
    }

    #[test]
    fn a_short_name_tells_owners_only() {
        assert_eq!(shortened("anna@acme.example"), "a…@acme");
        assert_eq!(shortened("Anna Maria Schmidt"), "Anna S.");
        assert_eq!(shortened("anna"), "anna");
        assert_eq!(shortened(""), "");
    }
}
