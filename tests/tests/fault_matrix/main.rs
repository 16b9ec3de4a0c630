//! Every fault of an issuer: once it goes, the device goes on within the protocol's own waiting time,
//! and no request came too early. Here in the simulated world, at every endpoint (the judge watches);
//! `sockets` has one cell for each fault with the agent itself and the sandbox.
//!
//! `cargo test -p signpost-tests --test fault_matrix -- --nocapture` prints both tables: seconds from
//! the end of the fault to success.
#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a test that fails by panicking, and whose files need not outlive a cut"
)]

mod binary;
mod device;
mod sockets;

use signpost_core::{
    delivery::Unowned,
    http::{Cause, Reply},
    session::Event,
};
use signpost_hal::screen::Screen;
use signpost_tests::world::{Fate, Kind, Manners, Policy, Rotation, Rtc, Setup, World};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3_600);

/// How long each fault lasts.
const SPAN: Duration = Duration::from_secs(180);

/// What a server asks for with `Retry-After`, from each reply on.
const ASKED: u64 = 90;

#[derive(Clone, Debug)]
enum Fault {
    /// What becomes of every exchange with one endpoint.
    At(Fate),
    /// The wall clock shows 1970.
    Clock,
}

fn faults() -> Vec<(&'static str, Fault)> {
    let reply = |status: u16, headers: &[(&str, &str)], body: &str| {
        let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let headers = headers.iter().map(own).collect();
        Fault::At(Fate::Instead(Reply { status, headers, body: body.as_bytes().to_vec() }))
    };
    let html = [("content-type", "text/html")];
    let seconds = ASKED.to_string();
    let date = [
        ("date", "Sun, 06 Nov 1994 08:49:30 GMT"),
        ("retry-after", "Sun, 06 Nov 1994 08:51:00 GMT"),
    ];
    let page = "<!doctype html><title>Hello</title>";
    vec![
        ("500", reply(500, &[], "")),
        ("502", reply(502, &[], "Bad Gateway")),
        ("503 Retry-After", reply(503, &[("retry-after", &seconds)], "")),
        ("429 in seconds", reply(429, &[("retry-after", &seconds)], "{}")),
        ("429 with a date", reply(429, &date, "")),
        ("408", reply(408, &[], "{}")),
        ("garbage JSON", reply(400, &[], "{\"access_token\":")),
        ("HTML 200", reply(200, &html, page)),
        ("HTML 500", reply(500, &html, page)),
        ("empty 400", reply(400, &[], "")),
        ("reset", Fault::At(Fate::LostBefore(Cause::Broken))),
        ("reset, processed", Fault::At(Fate::LostAfter(Cause::Broken))),
        ("hang", Fault::At(Fate::LostBefore(Cause::Timeout))),
        ("slow body", Fault::At(Fate::LostAfter(Cause::Timeout))),
        ("oversized body", Fault::At(Fate::LostAfter(Cause::TooLarge))),
        ("refused", Fault::At(Fate::NotSent(Cause::Connect))),
        ("DNS failure", Fault::At(Fate::NotSent(Cause::Dns))),
        ("wrong certificate", Fault::At(Fate::NotSent(Cause::CertificateUntrusted))),
        ("clock in 1970", Fault::Clock),
    ]
}

/// The endpoints, and how long the protocol may wait there after a fault of [`SPAN`], in seconds:
/// the longest back-off and a few exchanges.
const COLUMNS: [(&str, Kind, u64); 7] = [
    ("discovery", Kind::Discovery, 65),
    ("code", Kind::Code, 65),
    ("poll", Kind::Poll, 65),
    ("refresh", Kind::Refresh, 305),
    ("JWKS", Kind::Keys, 95),
    // It doubles without an end that matters here.
    ("revocation", Kind::Revocation, 2 * 180 + 5),
    ("own name", Kind::OwnName, 305),
];

impl Fault {
    fn begin(&self, kind: Kind, world: &mut World) {
        match self {
            Self::At(fate) => world.network.plague = Some((kind, fate.clone())),
            Self::Clock => world.set_clock(Rtc::Epoch),
        }
    }

    /// Lets it last: a time server must not end it.
    fn last(&self, span: Duration, world: &mut World) {
        let end = world.now + span;
        while world.now < end {
            if matches!(self, Self::Clock) {
                world.set_clock(Rtc::Epoch);
            }
            world.run_for(SECOND);
        }
    }

    fn end(&self, world: &mut World) {
        world.network.plague = None;
        if matches!(self, Self::Clock) {
            world.set_clock(Rtc::Right);
        }
    }

    /// By how much it lengthens the wait itself.
    fn asked(&self) -> u64 {
        let asks = |reply: &Reply| reply.header("retry-after").is_some();
        match self {
            Self::At(Fate::Instead(reply)) if asks(reply) => ASKED,
            // An exchange may have begun just before the end.
            Self::At(Fate::LostBefore(Cause::Timeout) | Fate::LostAfter(Cause::Timeout)) => 30,
            Self::At(_) | Self::Clock => 5,
        }
    }

    fn is_processed(&self) -> bool {
        matches!(self, Self::At(Fate::LostAfter(_)))
    }
}

/// How long it took from the end of the fault, and how long it may take.
fn live(kind: Kind, fault: &Fault, seed: u64) -> (World, Option<Duration>) {
    // Under reuse detection a lost answer may cost the sign-in; `world_scenarios` has that.
    let policy = Policy { rotation: Rotation::OldStaysValid, ..Policy::default() };
    let manners = Manners { approves_after: 30..31, ..Manners::attentive() };
    let is_own = kind == Kind::OwnName;
    let unowned = if is_own { Unowned::InOwnName } else { Unowned::WithFirst };
    let setup = Setup { policy, manners, unowned, programs: false, ..Setup::new(seed) };
    let mut world = World::new(setup);
    let shown = |world: &World| world.count(&Event::CodeShown) > 0;
    let signed_in = |world: &World| world.count(&Event::SignedIn { replaced: false }) > 0;
    let refreshed = |world: &World| world.count(&Event::Refreshed { rotated: true }) > 0;
    let online = |world: &World| matches!(world.screen(), Some(Screen::Online));
    let ends_after = |world: &mut World, span: Duration| {
        fault.last(span, world);
        fault.end(world);
    };
    let took = |world: &mut World, is_so: &dyn Fn(&World) -> bool| {
        let from = world.now;
        world.run_until(2 * HOUR, |world| is_so(world)).then(|| world.now - from)
    };
    let waited = match kind {
        Kind::Discovery | Kind::Code => {
            fault.begin(kind, &mut world);
            ends_after(&mut world, SPAN);
            assert!(!shown(&world), "the fault was none");
            took(&mut world, &shown)
        }
        Kind::Poll => {
            world.run_until(HOUR, |world| shown(world));
            fault.begin(kind, &mut world);
            ends_after(&mut world, SPAN);
            assert!(!signed_in(&world), "the fault was none");
            took(&mut world, &signed_in)
        }
        Kind::Keys => {
            fault.begin(kind, &mut world);
            if matches!(fault, Fault::Clock) {
                ends_after(&mut world, SPAN);
            }
            world.run_until(HOUR, |world| shown(world));
            world.run_for(30 * SECOND);
            // Not even while it lasts is a sign-in lost.
            let waited = took(&mut world, &signed_in);
            fault.end(&mut world);
            waited
        }
        Kind::Refresh => {
            assert!(world.run_until(HOUR, |world| online(world)));
            world.behave(Manners::absent());
            fault.begin(kind, &mut world);
            let before = world.exchanges();
            let until = world.now + HOUR;
            while world.exchanges() == before && world.now < until {
                fault.last(SECOND, &mut world);
            }
            ends_after(&mut world, SPAN);
            assert!(!refreshed(&world), "the fault was none");
            took(&mut world, &refreshed)
        }
        Kind::Revocation => {
            assert!(world.run_until(HOUR, |world| online(world)));
            world.behave(Manners::absent());
            fault.begin(kind, &mut world);
            world.sign_out();
            ends_after(&mut world, SPAN);
            let told = |world: &World| world.count(&Event::Revoked) > 0;
            assert!(!told(&world), "the fault was none");
            let waited = took(&mut world, &told);
            assert!(!world.issuer.families[0].alive);
            waited
        }
        Kind::OwnName => {
            world.behave(Manners::absent());
            fault.begin(kind, &mut world);
            world.run_for(30 * SECOND);
            world.send_record();
            ends_after(&mut world, SPAN);
            let granted = |world: &World| world.count(&Event::OwnNameGranted) > 0;
            assert!(!granted(&world), "the fault was none");
            took(&mut world, &granted)
        }
        Kind::Nonce | Kind::Telemetry | Kind::Strange => None,
    };
    (world, waited)
}

#[test]
fn after_every_fault_at_every_endpoint_the_device_goes_on_in_time() {
    let mut failures = Vec::new();
    let header = COLUMNS.map(|(name, ..)| format!("{name:>11}")).concat();
    println!("{:<18}{header}", "fault, then s to go");
    for (row, (name, fault)) in faults().iter().enumerate() {
        let mut line = format!("{name:<18}");
        for (column, (endpoint, kind, most)) in COLUMNS.iter().enumerate() {
            let seed = 5_000 + u64::try_from(row * COLUMNS.len() + column).unwrap();
            let (mut world, waited) = live(*kind, fault, seed);
            let mut most = most + fault.asked();
            if fault.is_processed() && *kind == Kind::Poll {
                // The one final answer is lost: another code, another approval.
                most += 30 + 10;
            }
            let waited = waited.map(|waited| waited.as_secs());
            line += &waited.map_or(format!("{:>11}", "never"), |s| format!("{s:>11}"));
            if waited.is_none_or(|waited| waited > most) {
                failures.push(format!("{name} at {endpoint}: {waited:?} of {most} s"));
            }
            world.conclude();
            let broken = world.broken();
            if !broken.is_empty() {
                failures.push(format!("{name} at {endpoint}: {broken:?}"));
            }
        }
        println!("{line}");
    }
    assert_eq!(failures, Vec::<String>::new());
}
