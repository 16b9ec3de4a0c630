//! A refresh whose connection ends after every single byte of the exchange: before it, in the request,
//! in the answer's head, in its body. Whether the issuer has acted follows from where that is; so
//! does what must come of it: still signed in, or asked for a sign-in with the reason, and in either
//! case within a few minutes and after a few requests.
//!
//! `cargo test -p signpost-tests --test lost_replies -- --nocapture` prints how many there were.

#![expect(clippy::print_stdout, clippy::panic, reason = "a test that says what it tried")]

use signpost_core::{
    fault::Fault,
    http::Cause,
    profile::{ENTRA, GENERIC, GOOGLE, Profile},
    session::Event,
};
use signpost_hal::screen::Screen;
use signpost_tests::world::{Cut, Fate, Kind, Length, Manners, Policy, Rotation, Setup, World};
use std::time::Duration;

const MINUTE: Duration = Duration::from_secs(60);

/// Access tokens of ten minutes are renewed after five to eight.
const LIFETIME: Duration = Duration::from_secs(600);

/// Within this time after a cut all is decided; the next refresh of a healthy device comes later.
const SETTLED: Duration = Duration::from_secs(200);

/// So many refreshes belong to one cut: it, and one or two more tries.
const TRIES: u64 = 3;

/// A network that cuts every refresh does so for this long.
const SPELL: Duration = Duration::from_secs(1_200);

/// At most so many refreshes in a [`SPELL`]: their waits double from 5 s to 300 s.
const TRIES_IN_A_SPELL: u64 = 16;

/// Issuer, what the device believes of it, and how connections end there.
struct Place {
    profile: &'static Profile,
    rotation: Rotation,
    dpop: bool,
    cause: Cause,
    framed: bool,
}

const STRICT: Place = Place {
    profile: &GENERIC,
    rotation: Rotation::ReuseEndsAll,
    dpop: false,
    cause: Cause::Broken,
    framed: true,
};
const LENIENT: Place = Place { profile: &ENTRA, rotation: Rotation::OldStaysValid, ..STRICT };

/// How many cuts of each end there were.
#[derive(Debug, Default, PartialEq, Eq)]
struct Count {
    in_request: usize,
    in_answer: usize,
    signed_in: usize,
    asked_for_sign_in: usize,
}

impl Place {
    fn online(&self, seed: u64) -> World {
        let policy = Policy {
            rotation: self.rotation,
            access_lifetime: LIFETIME,
            dpop: self.dpop,
            ..Policy::default()
        };
        let profile = self.profile;
        let mut world = World::new(Setup { policy, profile, programs: false, ..Setup::new(seed) });
        assert!(world.run_until(10 * MINUTE, |world| is_online(world)), "{:?}", world.screen());
        world.behave(Manners::absent());
        world
    }

    fn cut(&self, after: usize) -> Fate {
        Fate::Cut(Cut { after, cause: self.cause, framed: self.framed })
    }

    /// Every cut there is, one refresh after the other in the life of one device.
    fn try_all(&self, seed: u64, name: &str) -> Count {
        let mut world = self.online(seed);
        let mut count = Count::default();
        for after in 0.. {
            let before = world.network.asked(Kind::Refresh);
            world.network.script(Kind::Refresh, self.cut(after));
            assert!(world.run_until(LIFETIME, |world| world.network.is_script_over()), "{after}");
            world.run_for(SETTLED);
            let tries = world.network.asked(Kind::Refresh) - before;
            assert!((1..=TRIES).contains(&tries), "{name}, {after}: {tries} refreshes");
            let length = world.network.cut;
            if self.judge(&mut world, (after, length), name, &mut count) {
                break;
            }
        }
        conclude(world, name);
        count
    }

    /// Every cut there is, each at every refresh for a while, on a device of its own.
    fn try_spells(&self, name: &str) -> Count {
        let mut count = Count::default();
        for after in 0.. {
            let mut world = self.online(after as u64);
            world.network.plague = Some((Kind::Refresh, self.cut(after)));
            let first = world.network.asked(Kind::Refresh);
            let is_cut = |world: &World| world.network.asked(Kind::Refresh) > first;
            assert!(world.run_until(LIFETIME, |world| is_cut(world)));
            world.run_for(Duration::from_secs(1));
            // A later answer may be another one.
            let length = world.network.cut;
            if after >= length.request + length.answer {
                count.signed_in += 1;
                break;
            }
            world.run_for(SPELL);
            let tries = world.network.asked(Kind::Refresh) - first;
            assert!((1..=TRIES_IN_A_SPELL).contains(&tries), "{name}, {after}: {tries} refreshes");
            world.network.plague = None;
            let before = world.network.asked(Kind::Refresh);
            // The longest wait between two tries, and what one cut takes.
            world.run_for(Duration::from_secs(300) + SETTLED);
            let tries = world.network.asked(Kind::Refresh) - before;
            assert!(tries <= TRIES, "{name}, {after}: {tries} refreshes at the end");
            self.judge(&mut world, (after, length), name, &mut count);
            conclude(world, name);
        }
        count
    }

    fn costs_a_sign_in(&self, name: &str) {
        let count = self.try_all(31, name);
        assert_eq!(count.asked_for_sign_in, count.in_answer, "{name}");
        say(name, &count);
    }

    /// What has come of the cut after so many bytes; true if there was nothing left to cut.
    fn judge(
        &self,
        world: &mut World,
        (after, length): (usize, Length),
        name: &str,
        count: &mut Count,
    ) -> bool {
        let (acted, whole) = (after >= length.request, after >= length.request + length.answer);
        assert_eq!(length.answer > 0, acted, "{name}, {after}: {length:?}");
        let Some(status) = world.status() else { panic!("{name}, {after}: no agent runs") };
        let where_it_is = format!("{name}, {after} of {length:?}: {:?}", world.screen());
        if acted && !whole && self.rotation == Rotation::ReuseEndsAll {
            assert!(matches!(world.screen(), Some(Screen::SignInAgain { .. })), "{where_it_is}");
            let reason = Fault::SignInAgainAfterLoss.row().code;
            assert!(status.faults.iter().any(|fault| fault.code == reason), "{where_it_is}");
            assert_eq!(status.grant.status, "suspended", "{where_it_is}");
            count.asked_for_sign_in += 1;
            sign_in(world);
        } else {
            assert!(is_online(world), "{where_it_is}");
            assert_eq!((status.state, status.grant.status), ("online", "held"), "{where_it_is}");
            count.signed_in += 1;
        }
        count.in_request += usize::from(!acted);
        count.in_answer += usize::from(acted && !whole);
        whole
    }
}

/// Somebody does what the screen asks for.
fn sign_in(world: &mut World) {
    world.behave(Manners::attentive());
    world.sign_in();
    assert!(world.run_until(5 * MINUTE, |world| is_online(world)), "{:?}", world.screen());
    world.behave(Manners::absent());
}

fn is_online(world: &World) -> bool {
    matches!(world.screen(), Some(Screen::Online))
}

fn conclude(mut world: World, name: &str) {
    world.conclude();
    assert_eq!(world.broken(), [], "{name}");
}

fn say(name: &str, count: &Count) {
    let Count { in_request, in_answer, signed_in, asked_for_sign_in } = count;
    println!(
        "{name:<44} {:>5} cuts: {in_request} in the request, {in_answer} in the answer; \
         {signed_in} still signed in, {asked_for_sign_in} asked for a sign-in",
        in_request + in_answer
    );
    // A request and an answer are hundreds of bytes each: none was left out.
    assert!(*in_request > 150 && *in_answer > 300, "{count:?}");
    assert_eq!(signed_in + asked_for_sign_in, in_request + in_answer + 1, "and one was whole");
}

#[test]
fn under_reuse_detection_a_cut_in_the_answer_costs_a_sign_in_with_its_reason_and_no_other_does() {
    for (name, place) in [
        ("strict, broken off", STRICT),
        ("strict, silent", Place { cause: Cause::Timeout, ..STRICT }),
        ("strict, answers that do not say how long", Place { framed: false, ..STRICT }),
    ] {
        place.costs_a_sign_in(name);
    }
}

#[test]
fn under_reuse_detection_neither_a_wrong_profile_nor_a_key_of_the_device_changes_that() {
    for (name, place) in [
        ("strict, taken for lenient", Place { profile: &ENTRA, ..STRICT }),
        ("strict, bound to a key", Place { dpop: true, ..STRICT }),
    ] {
        place.costs_a_sign_in(name);
    }
}

#[test]
fn where_used_tokens_work_on_no_cut_costs_anything() {
    let never = Place { rotation: Rotation::None, ..STRICT };
    for (name, place) in [
        ("lenient, broken off", LENIENT),
        ("lenient, silent", Place { cause: Cause::Timeout, ..LENIENT }),
        ("lenient, answers that do not say how long", Place { framed: false, ..LENIENT }),
        ("lenient, taken for strict", Place { profile: &GENERIC, ..LENIENT }),
        ("no rotation", Place { profile: &GOOGLE, ..never }),
        ("no rotation, taken for strict", never),
    ] {
        let count = place.try_all(32, name);
        assert_eq!(count.asked_for_sign_in, 0, "{name}");
        say(name, &count);
    }
}

#[test]
fn a_network_that_cuts_every_refresh_causes_no_storm_under_reuse_detection() {
    let name = "strict, each cut for 20 minutes";
    let count = STRICT.try_spells(name);
    assert_eq!(count.asked_for_sign_in, count.in_answer, "{name}");
    say(name, &count);
}

#[test]
fn a_network_that_cuts_every_refresh_causes_no_storm_where_used_tokens_work_on() {
    let name = "lenient, each cut for 20 minutes";
    let count = LENIENT.try_spells(name);
    assert_eq!(count.asked_for_sign_in, 0, "{name}");
    say(name, &count);
}

#[test]
fn what_never_left_costs_nothing() {
    for place in [STRICT, LENIENT] {
        for cause in [Cause::Connect, Cause::Dns, Cause::Tls, Cause::Timeout] {
            let mut world = place.online(33);
            world.network.script(Kind::Refresh, Fate::NotSent(cause));
            assert!(world.run_until(LIFETIME, |world| world.network.is_script_over()));
            world.run_for(SETTLED);
            assert!(is_online(&world), "{cause:?}: {:?}", world.screen());
            assert_eq!(world.count(&Event::SignedIn { replaced: false }), 1);
            assert_eq!(world.network.asked(Kind::Refresh), 2, "{cause:?}");
            conclude(world, "not sent");
        }
    }
}
