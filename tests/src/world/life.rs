//! A whole life from a seed: which issuer, which flash, which weather; and its end, at which
//! everything comes right and the device must, too.

use super::{
    BACKEND, Balance, Broken, Event, Manners, Medium, Moment, Mood, Person, Policy, Rotation, Rtc,
    Sabotage, Setup, WANTS_CLAIMS, WANTS_MORE, World, network::Kind,
};
use fastrand::Rng;
use signpost::config::{Commit, Span};
use signpost_core::{
    delivery::Unowned,
    owner::OwnerRule,
    profile::{ENTRA, GENERIC, GOOGLE, Profile},
    session::State,
};
use std::{ops::Range, time::Duration};

const DAY: Duration = Duration::from_secs(86_400);

/// Within this time after everything has come right the device must be online again and have sent
/// what it holds: the longest wait is an hour after a refused client, or what a server asked for.
const RECOVERY: Duration = Duration::from_secs(4 * 3_600);

/// What strikes the device.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Strike {
    /// The power goes.
    Cut {
        /// For so long.
        off: Duration,
        /// Then the clock shows this.
        rtc: Rtc,
    },
    /// The agent is killed.
    Kill {
        /// It starts again after this time.
        down: Duration,
    },
}

/// What happens around the device. Some have an end, some are over at once.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Happening {
    /// Nothing gets through.
    NoNetwork,
    /// A login page answers everything.
    Portal,
    /// So many of 1,000 exchanges go wrong.
    Flaky(u32),
    /// So many of 1,000 requests to the issuer are answered with nonsense.
    IssuerUnwell(u32),
    /// So many of 1,000 requests to the backend are answered with nonsense.
    BackendUnwell(u32),
    /// The backend refuses.
    Backend(Mood),
    /// Each write takes seconds.
    SlowFlash,
    /// Writes fail.
    FlashFails,
    /// The account is disabled.
    Disabled(Person),
    /// The wall clock jumps.
    Clock(Rtc),
    /// Something strikes the device, now or at such a moment.
    Strike(Option<Moment>, Strike),
    /// The user signs out.
    SignOut,
    /// Somebody wipes the device.
    Reset,
    /// This person starts a sign-in and approves it.
    Visit(Person),
    /// An administrator ends this person's sign-ins.
    SessionsEnded(Person),
    /// The issuer signs with another key from now on.
    KeysRotated,
}

/// How much goes wrong in a life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Climate {
    /// Nothing.
    Calm,
    /// About two things a day.
    Usual,
    /// Ten things a day.
    Stormy,
}

impl Climate {
    /// The climate of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "calm" => Some(Self::Calm),
            "usual" => Some(Self::Usual),
            "stormy" => Some(Self::Stormy),
            _ => None,
        }
    }

    const fn happenings_per_day(self) -> f64 {
        match self {
            Self::Calm => 0.0,
            Self::Usual => 2.0,
            Self::Stormy => 10.0,
        }
    }
}

/// What came of a life.
#[derive(Clone, Debug)]
pub struct Lived {
    /// Which.
    pub seed: u64,
    /// Broken invariants, the first few.
    pub broken: Vec<Broken>,
    /// How the records stand.
    pub balance: Balance,
    /// How many refreshes there were.
    pub refreshes: u64,
    /// How many exchanges in all.
    pub exchanges: u64,
    /// What happened, where that was asked for.
    pub lines: Vec<String>,
}

/// Lives the life of `seed` for so many days.
#[must_use]
pub fn live(
    seed: u64,
    days: u32,
    climate: Climate,
    sabotage: Option<Sabotage>,
    traced: bool,
) -> Lived {
    let mut rng = Rng::with_seed(seed ^ 0x5167_6e70_6f73_7421);
    let mut world = World::new(draw_setup(seed, climate, sabotage, &mut rng));
    if traced {
        world.trace();
    }
    for (at, happening, lasts) in draw_weather(days, climate, &mut rng) {
        world.agenda.enter(at, Event::Begin(happening));
        world.agenda.enter(at + lasts, Event::End(happening));
    }
    world.run_for(DAY * days);
    let balance = world.conclude();
    Lived {
        seed,
        broken: world.broken().to_vec(),
        balance,
        refreshes: world.judge.refreshes,
        exchanges: world.exchanged,
        lines: world.trace.take().unwrap_or_default(),
    }
}

impl World {
    /// Everything comes right; so must the device. Then the books are closed.
    pub fn conclude(&mut self) -> Balance {
        self.come_right();
        let mut waited = Duration::ZERO;
        while !self.is_well() {
            if waited >= RECOVERY {
                let status = self.status();
                let what = match status {
                    Some(status) => format!(
                        "stuck: {} {:?} {:?}, flash {:?}, {:?}",
                        status.state,
                        status.grant.status,
                        status.delivery,
                        self.device.stock,
                        status.faults.iter().map(|fault| fault.title).collect::<Vec<_>>()
                    ),
                    None => "stuck: no agent runs".into(),
                };
                self.judge.verdicts.broken(0, what);
                return Balance::default();
            }
            let step = Duration::from_secs(30);
            self.run_for(step);
            waited += step;
        }
        self.judge.judge_callers();
        self.close()
    }

    /// Whether the device is online, has sent what it may send, and all is durable.
    #[must_use]
    pub fn is_well(&mut self) -> bool {
        let saved = self.device.driver.as_ref().is_some_and(|driver| driver.is_saved());
        let Some(status) = self.status() else { return false };
        let revoked = !status.faults.iter().any(|fault| fault.code == "E23");
        let current = self.judge.owner_ids();
        let mine = |owner| current.contains(&owner);
        let drained = !self.device.stock.queues.iter().any(|held| mine(held.queue.owner));
        let online = status.state == State::Online.name() && status.grant.status == "held";
        saved && revoked && online && drained && status.delivery.status == "idle"
    }
}

fn draw_setup(seed: u64, climate: Climate, sabotage: Option<Sabotage>, rng: &mut Rng) -> Setup {
    let seconds = |rng: &mut Rng, range: Range<u64>| Duration::from_secs(rng.u64(range));
    let rotations = [Rotation::None, Rotation::OldStaysValid, Rotation::ReuseEndsAll];
    let media = [Medium::File, Medium::Nor { program_unit: 4 }, Medium::Nor { program_unit: 256 }];
    let rotation = rotations[rng.usize(..3)];
    let usual = Policy {
        rotation,
        code_lifetime: seconds(rng, 300..1_800),
        interval: (rng.u8(0..4) > 0).then(|| seconds(rng, 1..12)),
        slow_downs: if rng.bool() { rng.u32(0..60) } else { 0 },
        access_lifetime: Duration::from_secs(3_600),
        refresh_lifetime: rng.bool().then_some(DAY * 90),
        grant_lifetime: (rng.u8(0..5) == 0).then(|| DAY * rng.u32(5..60)),
        claims_by_refresh: rng.bool(),
        // Where nobody is named, nobody can take over and nobody can come back.
        id_token: true,
        revocation: rng.u8(0..5) > 0,
        dpop: rng.u8(0..4) == 0 && sabotage != Some(Sabotage::SwapNames),
    };
    let manners = Manners {
        approves_after: 10..900,
        ignores: if rng.bool() { 300 } else { 0 },
        denies: 50,
        returns_after: 60..40_000,
    };
    let calm = climate == Climate::Calm;
    Setup {
        seed,
        profile: draw_profile(rotation, rng),
        policy: if calm { Policy::default() } else { usual },
        owner: if rng.u8(0..4) > 0 { OwnerRule::First } else { OwnerRule::Any },
        telemetry_resource: (rng.u8(0..4) == 0).then_some(BACKEND),
        unowned: match (sabotage, rng.u8(0..3)) {
            (Some(Sabotage::LendToken), _) => Unowned::Wait,
            (Some(Sabotage::SwapNames), _) => Unowned::InOwnName,
            (_, 0) => Unowned::Wait,
            (_, 1) => Unowned::WithFirst,
            _ => Unowned::InOwnName,
        },
        medium: media[rng.usize(..3)],
        spool_units: 24,
        rtc: draw_rtc(rng),
        manners: if calm { Manners::attentive() } else { manners },
        programs: true,
        first_record: None,
        proof_every: 32,
        has_button: true,
        purges_other_accounts: rng.u8(0..4) == 0,
        commit: if seed % 4 == 3 { Commit::Within(Span::seconds(5)) } else { Commit::Each },
        sabotage,
    }
}

/// What fits the issuer; what takes every issuer at its worst fits all.
fn draw_profile(rotation: Rotation, rng: &mut Rng) -> &'static Profile {
    match rotation {
        Rotation::None if rng.bool() => &GOOGLE,
        Rotation::OldStaysValid if rng.bool() => &ENTRA,
        Rotation::None | Rotation::OldStaysValid | Rotation::ReuseEndsAll => &GENERIC,
    }
}

fn draw_rtc(rng: &mut Rng) -> Rtc {
    match rng.u8(0..10) {
        0..=4 => Rtc::Right,
        5 | 6 => Rtc::Epoch,
        7 => Rtc::Far,
        8 => Rtc::Behind(log_uniform(rng, 1..86_400)),
        _ => Rtc::Absent,
    }
}

fn draw_weather(
    days: u32,
    climate: Climate,
    rng: &mut Rng,
) -> Vec<(Duration, Happening, Duration)> {
    let mut weather = Vec::new();
    let mut at = Duration::ZERO;
    loop {
        // Times between happenings as a Poisson process has them.
        let gap = -(1.0 - rng.f64()).ln() / climate.happenings_per_day();
        if !gap.is_finite() {
            return weather;
        }
        at += DAY.mul_f64(gap);
        if at >= DAY * days {
            return weather;
        }
        let (happening, lasts) = draw_happening(rng);
        weather.push((at, happening, lasts));
        // Trouble seldom comes alone: a supply that bounces, a service that restarts in a loop.
        if matches!(happening, Happening::Strike(..)) && rng.u8(0..4) == 0 {
            let mut again = at;
            for _ in 0..rng.u8(1..6) {
                again += log_uniform(rng, 1..60);
                weather.push((again, draw_strike(rng), Duration::ZERO));
            }
        }
    }
}

fn draw_happening(rng: &mut Rng) -> (Happening, Duration) {
    let hours = |rng: &mut Rng, most: u64| log_uniform(rng, 30..most * 3_600);
    match rng.u8(0..102) {
        0..=9 => (Happening::NoNetwork, hours(rng, 12)),
        10..=12 => (Happening::Portal, hours(rng, 6)),
        13..=24 => (Happening::Flaky(rng.u32(20..700)), hours(rng, 12)),
        25..=32 => (Happening::IssuerUnwell(rng.u32(100..=1_000)), hours(rng, 6)),
        33..=38 => (Happening::BackendUnwell(rng.u32(100..=1_000)), hours(rng, 6)),
        39..=46 => (Happening::Backend(draw_mood(rng)), hours(rng, 8)),
        47..=50 => (Happening::SlowFlash, hours(rng, 4)),
        51..=54 => (Happening::FlashFails, hours(rng, 3)),
        55..=57 => (Happening::Disabled(Person::Anna), hours(rng, 72)),
        58..=61 => (Happening::Clock(draw_rtc(rng)), hours(rng, 4)),
        62..=93 => (draw_strike(rng), Duration::ZERO),
        94 => (Happening::SignOut, Duration::ZERO),
        95 => (Happening::Reset, Duration::ZERO),
        96..=97 => (Happening::Visit(Person::Ben), Duration::ZERO),
        98 => (Happening::Visit(Person::Anna), Duration::ZERO),
        99 => (Happening::SessionsEnded(Person::Anna), Duration::ZERO),
        _ => (Happening::KeysRotated, Duration::ZERO),
    }
}

fn draw_mood(rng: &mut Rng) -> Mood {
    match rng.u8(0..10) {
        8 => Mood::NotInOwnName(if rng.bool() { 401 } else { 403 }),
        9 => Mood::OnlyInOwnName(if rng.bool() { 401 } else { 403 }),
        0 => Mood::Unauthorized,
        1 => Mood::Forbidden,
        2 => Mood::TooLarge(rng.u64(1..10)),
        3 => Mood::Busy(429, rng.u32(0..1_800), rng.bool()),
        4 => Mood::Wants(WANTS_CLAIMS),
        5 => Mood::Wants(WANTS_MORE),
        _ => Mood::Busy(503, rng.u32(0..1_800), rng.bool()),
    }
}

fn draw_strike(rng: &mut Rng) -> Happening {
    let moment = match rng.u8(0..6) {
        0 => Some(Moment::Saving),
        1 => Some(Moment::Writing),
        2 => Some(Moment::Answering(Kind::Refresh)),
        3 => Some(Moment::Answering(Kind::Telemetry)),
        4 => Some(Moment::Answering(Kind::Poll)),
        _ => None,
    };
    let strike = if rng.bool() {
        Strike::Cut { off: log_uniform(rng, 1..36_000), rtc: draw_rtc(rng) }
    } else {
        Strike::Kill { down: Duration::from_millis(rng.u64(50..30_000)) }
    };
    Happening::Strike(moment, strike)
}

/// Seconds as disturbances last: many short ones, few long ones.
fn log_uniform(rng: &mut Rng, range: Range<u64>) -> Duration {
    let (low, high) = ((range.start as f64).ln(), (range.end as f64).ln());
    Duration::from_secs_f64((low + rng.f64() * (high - low)).exp())
}
