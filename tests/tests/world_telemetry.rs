//! What becomes of telemetry while a sign-in is refused, ended, given up or taken over, in the
//! simulated world: nothing is lost, and nothing leaves under the wrong name (design invariants 4
//! and 8, watched by the judge).

use signpost::ports::Entry;
use signpost_core::{
    delivery::{DropReason, Dropped},
    owner::OwnerRule,
    session::Event,
};
use signpost_hal::screen::Screen;
use signpost_tests::world::{Happening, Manners, Mood, Person, Setup, World};
use std::time::Duration;

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(86_400);

fn online(setup: Setup) -> World {
    let mut world = World::new(setup);
    assert!(world.run_until(10 * MINUTE, |world| is_online(world)), "{:?}", world.screen());
    world
}

fn is_online(world: &World) -> bool {
    matches!(world.screen(), Some(Screen::Online))
}

/// Ten records, a few minutes apart.
fn send(world: &mut World) {
    for _ in 0..10 {
        world.send_record();
        world.run_for(5 * MINUTE);
    }
}

fn dropped(world: &World) -> Vec<Dropped> {
    let entries = world.journal().iter();
    entries
        .filter_map(|entry| if let Entry::Dropped(it) = entry { Some(*it) } else { None })
        .collect()
}

/// Everything has arrived, and no invariant was broken on the way.
fn all_arrived(mut world: World) {
    let balance = world.conclude();
    assert_eq!(world.broken(), []);
    let arrived = balance.delivered + balance.waiting + balance.forgotten;
    assert!(arrived >= balance.acknowledged, "{balance:?}");
    assert!(balance.acknowledged >= 10, "{balance:?}");
    assert_eq!(balance.given_up, 0, "{balance:?}");
}

#[test]
fn an_hour_of_401_costs_nothing() {
    let mut world = online(Setup { programs: false, spool_units: 128, ..Setup::new(21) });
    world.begin(Happening::Backend(Mood::Unauthorized));
    send(&mut world);
    world.run_for(10 * MINUTE);
    let waiting = world.status().unwrap().delivery.records;
    assert!(waiting >= 10, "{waiting}");
    world.end(Happening::Backend(Mood::Unauthorized));
    assert!(world.run_until(HOUR, |world| is_online(world)));
    all_arrived(world);
}

#[test]
fn a_revoked_grant_keeps_what_waits_for_the_same_person() {
    let mut world = online(Setup { programs: false, spool_units: 128, ..Setup::new(22) });
    world.behave(Manners::absent());
    world.begin(Happening::SessionsEnded(Person::Anna));
    world.run_for(2 * HOUR);
    send(&mut world);
    assert!(world.status().unwrap().delivery.records >= 10);
    world.behave(Manners::attentive());
    world.visit(Person::Anna);
    assert!(world.run_until(10 * MINUTE, |world| is_online(world)));
    all_arrived(world);
}

#[test]
fn what_waits_for_one_person_is_held_while_another_is_signed_in() {
    let setup =
        Setup { owner: OwnerRule::Any, programs: false, spool_units: 128, ..Setup::new(23) };
    let mut world = online(setup);
    world.behave(Manners::absent());
    world.begin(Happening::SessionsEnded(Person::Anna));
    world.run_for(2 * HOUR);
    send(&mut world);
    world.behave(Manners::attentive());
    world.visit(Person::Ben);
    assert!(world.run_until(10 * MINUTE, |world| is_online(world)));
    send(&mut world);
    assert!(world.status().unwrap().delivery.records >= 10, "Anna's");
    assert_eq!(world.backend.said("signpost.owner-changed"), 1);
    world.visit(Person::Anna);
    world.run_for(HOUR);
    assert_eq!(world.status().unwrap().delivery.records, 0, "they went with her own token");
    all_arrived(world);
}

#[test]
fn what_waits_for_one_person_goes_when_another_signs_in_where_the_operator_wants_that() {
    let owner = OwnerRule::Any;
    let setup = Setup {
        owner,
        purges_other_accounts: true,
        programs: false,
        spool_units: 128,
        ..Setup::new(24)
    };
    let mut world = online(setup);
    world.behave(Manners::absent());
    world.begin(Happening::SessionsEnded(Person::Anna));
    world.run_for(2 * HOUR);
    send(&mut world);
    assert!(dropped(&world).is_empty());
    world.behave(Manners::attentive());
    world.visit(Person::Ben);
    assert!(world.run_until(10 * MINUTE, |world| is_online(world)));
    world.run_for(5 * MINUTE);
    let lost = dropped(&world);
    assert!(lost.iter().all(|dropped| dropped.reason == DropReason::OtherAccount), "{lost:?}");
    assert!(lost.iter().map(|dropped| dropped.records).sum::<u64>() >= 10, "{lost:?}");
    assert!(world.status().unwrap().delivery.dropped >= 10);
    all_arrived(world);
}

#[test]
fn who_signed_in_and_out_and_who_was_refused_is_on_record() {
    let mut world = online(Setup::new(25));
    world.visit(Person::Ben);
    world.run_for(10 * MINUTE);
    assert_eq!(world.count(&Event::OwnerRefused), 1);
    world.behave(Manners::attentive());
    world.sign_out();
    world.run_for(HOUR);
    assert!(is_online(&world), "{:?}", world.screen());
    world.run_for(DAY);
    let signed_in = world.count(&Event::SignedIn { replaced: false });
    assert!(signed_in >= 2);
    for (event, count) in [
        ("signpost.signed-in", signed_in),
        ("signpost.sign-in-refused", 1),
        ("signpost.signed-out", 1),
        ("signpost.configured", 0),
    ] {
        assert_eq!(world.backend.said(event), count, "{event}");
    }
    world.reset();
    world.behave(Manners::attentive());
    world.run_for(DAY);
    assert_eq!(world.backend.said("signpost.reset"), 1);
    all_arrived(world);
}
