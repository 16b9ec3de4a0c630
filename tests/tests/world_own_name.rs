//! The device in its own name, in the simulated world: what belongs to nobody goes out without a
//! person, and nothing of it touches a person's sign-in. The judge watches (design invariant 8).

use signpost_core::http::Reply;
use signpost_core::{delivery::Unowned, fault::Fault, session::Event};
use signpost_hal::screen::{Screen, Start};
use signpost_tests::world::{
    Fate, Happening, Kind, Manners, Mood, Policy, Rtc, Setup, Strike, World,
};
use std::time::Duration;

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(86_400);

fn setup(seed: u64) -> Setup {
    Setup { unowned: Unowned::InOwnName, first_record: Some(0), ..Setup::new(seed) }
}

fn alone(setup: Setup) -> World {
    World::new(Setup { manners: Manners::absent(), ..setup })
}

fn is_online(world: &World) -> bool {
    matches!(world.screen(), Some(Screen::Online))
}

/// What the status says of its own name: how that stands, whether records leave, how many wait.
fn own_name(world: &mut World) -> (&'static str, bool, u64) {
    let status = world.status().expect("an agent runs");
    let own = status.own_name.as_ref().expect("it has one");
    (own.status, own.sending, status.delivery.records)
}

fn has_fault(world: &mut World, fault: Fault) -> bool {
    world.status().is_some_and(|s| s.faults.iter().any(|it| it.code == fault.row().code))
}

/// Somebody comes at last, and no invariant was broken on the way.
fn whole(mut world: World) {
    let balance = world.conclude();
    assert_eq!(world.broken(), []);
    assert_eq!(balance.waiting, 0, "{balance:?}");
}

#[test]
fn with_nobody_there_what_is_nobodys_arrives_and_the_panel_says_so() {
    let mut world = alone(setup(1));
    world.run_for(DAY);
    assert_eq!(own_name(&mut world), ("held", true, 0));
    assert_eq!(
        world.screen(),
        Some(&Screen::Waiting { start: Start::Button, own_name: true }),
        "the codes ran out"
    );
    let status = world.status().expect("an agent runs");
    assert_eq!((status.state, status.grant.status), ("waiting", "none"));
    assert_eq!((status.delivery.status, status.delivery.reason), ("idle", None));
    assert!(status.delivery.last_success_at.is_some());
    assert!(world.count(&Event::OwnNameGranted) >= 20, "renewed while it is used");
    assert!(world.count(&Event::OwnNameGranted) <= 48);
    whole(world);
}

#[test]
fn a_tenant_that_blocks_device_sign_in_does_not_keep_the_device_silent() {
    let mut world = alone(setup(2));
    let body = br#"{"error":"unauthorized_client"}"#.to_vec();
    let reply = Reply { status: 400, headers: Vec::new(), body };
    world.network.plague = Some((Kind::Code, Fate::Instead(reply)));
    world.run_for(2 * HOUR);
    assert_eq!(world.screen(), Some(&Screen::Blocked { own_name: true }));
    assert_eq!(own_name(&mut world), ("held", true, 0));
    assert_eq!(world.status().unwrap().state, "fault");
    world.network.plague = None;
    whole(world);
}

#[test]
fn once_somebody_signs_in_each_goes_in_its_own_name_over_restarts_and_sign_out() {
    let mut world = World::new(setup(3));
    world.send_record();
    assert!(world.run_until(HOUR, |world| is_online(world)));
    world.run_for(6 * HOUR);
    world.strike(None, Strike::Kill { down: Duration::from_secs(1) });
    world.run_for(HOUR);
    world.strike(None, Strike::Cut { off: Duration::from_secs(30), rtc: Rtc::Epoch });
    world.run_for(6 * HOUR);
    world.behave(Manners::absent());
    world.sign_out();
    world.run_for(6 * HOUR);
    assert_eq!(own_name(&mut world), ("held", true, 0));
    whole(world);
}

#[test]
fn an_issuer_that_refuses_it_is_asked_slowly_and_the_user_notices_nothing() {
    let mut world = alone(setup(4));
    world.issuer.refuses_own_name = true;
    world.run_for(4 * HOUR);
    let (status, sending, records) = own_name(&mut world);
    assert!(status == "refused" && !sending && records > 0, "{status} {sending} {records}");
    assert!(has_fault(&mut world, Fault::OwnNameRefused));
    let refusals = |world: &World| {
        let is_refusal = |entry: &&signpost::ports::Entry| {
            let refused = |event: &Event| matches!(event, Event::OwnNameRefused { .. });
            matches!(entry, signpost::ports::Entry::Session(event) if refused(event))
        };
        world.journal().iter().filter(is_refusal).count()
    };
    assert!((4..16).contains(&refusals(&world)), "{} in four hours", refusals(&world));
    assert_eq!(world.screen(), Some(&Screen::Waiting { start: Start::Button, own_name: false }));
    world.behave(Manners::attentive());
    world.sign_in();
    assert!(world.run_until(HOUR, |world| is_online(world)));
    world.run_for(HOUR);
    assert!(is_online(&world), "{:?}", world.screen());
    world.send_record();
    world.run_for(MINUTE);
    assert_eq!(world.status().unwrap().grant.status, "held");
    world.issuer.refuses_own_name = false;
    world.run_for(2 * HOUR);
    assert!(!has_fault(&mut world, Fault::OwnNameRefused));
    assert_eq!(own_name(&mut world), ("held", true, 0));
    whole(world);
}

#[test]
fn what_the_backend_holds_against_one_name_holds_up_that_one_only() {
    for (seed, mood, fault) in [
        (5, Mood::NotInOwnName(401), Fault::BackendUnauthorized),
        (6, Mood::NotInOwnName(403), Fault::BackendForbidden),
        (7, Mood::OnlyInOwnName(401), Fault::BackendUnauthorized),
        (8, Mood::OnlyInOwnName(403), Fault::BackendForbidden),
    ] {
        let mut world = alone(setup(seed));
        world.begin(Happening::Backend(mood));
        world.send_record();
        world.run_for(10 * MINUTE);
        let is_own = matches!(mood, Mood::NotInOwnName(_));
        assert_eq!(world.status().unwrap().delivery.records > 0, is_own, "{mood:?}");
        world.behave(Manners::attentive());
        world.sign_in();
        assert!(world.run_until(HOUR, |world| is_online(world)), "{:?}", world.screen());
        let before = world.status().unwrap().delivery.records;
        world.send_record();
        world.run_for(3 * HOUR);
        let after = world.status().unwrap().delivery.records;
        // Anna's records go and the device's wait, or the other way round.
        assert_eq!(after > before, !is_own, "{mood:?}: {before} waited, {after} wait");
        assert!(has_fault(&mut world, fault), "{mood:?}");
        world.end(Happening::Backend(mood));
        world.run_for(HOUR);
        assert!(!has_fault(&mut world, fault), "{mood:?}");
        whole(world);
    }
}

#[test]
fn its_own_name_may_be_bound_to_its_key() {
    let policy = Policy { dpop: true, ..Policy::default() };
    let mut world = World::new(Setup { policy, ..setup(9) });
    world.send_record();
    assert!(world.run_until(HOUR, |world| is_online(world)));
    world.run_for(3 * HOUR);
    world.behave(Manners::absent());
    world.sign_out();
    world.run_for(3 * HOUR);
    assert_eq!(own_name(&mut world), ("held", true, 0));
    whole(world);
}
