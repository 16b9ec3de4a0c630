//! What people do at the device itself, by its button or its plug, in the simulated world.

use signpost::config::{Commit, Span};
use signpost_core::{fault::Fault, session::Event};
use signpost_hal::panel::Press;
use signpost_hal::screen::{Screen, Start};
use signpost_tests::world::{Happening, Manners, Moment, Mood, Policy, Rtc, Setup, Strike, World};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

const CUT: Strike = Strike::Cut { off: Duration::from_secs(2), rtc: Rtc::Right };

fn is_online(world: &World) -> bool {
    matches!(world.screen(), Some(Screen::Online))
}

fn online(setup: Setup) -> World {
    let mut world = World::new(setup);
    assert!(world.run_until(10 * MINUTE, |world| is_online(world)), "{:?}", world.screen());
    world
}

fn status(world: &mut World) -> Box<signpost::status::Status> {
    world.status().expect("an agent runs")
}

fn grant(world: &mut World) -> &'static str {
    status(world).grant.status
}

/// Everything comes right, and no invariant was broken on the way.
fn whole(mut world: World) {
    world.conclude();
    assert_eq!(world.broken(), []);
}

/// Nobody who would start a sign-in by themselves.
fn nobody() -> Manners {
    Manners { returns_after: 900_000..900_001, ..Manners::attentive() }
}

#[test]
fn a_short_press_tells_who_is_signed_in_and_starts_nothing() {
    let mut world = online(Setup::new(101));
    let codes = world.count(&Event::CodeShown);
    world.press(Press::Short);
    assert!(matches!(world.screen(), Some(Screen::SignedIn { account: Some(_) })));
    world.run_for(61 * SECOND);
    assert!(is_online(&world), "for a minute only: {:?}", world.screen());
    assert_eq!(world.count(&Event::CodeShown), codes);
    whole(world);
}

#[test]
fn a_short_press_asks_for_a_code_while_one_is_waited_for() {
    let mut world = online(Setup::new(102));
    world.behave(nobody());
    world.press(Press::SignOut);
    world.run_for(MINUTE);
    assert_eq!(world.screen(), Some(&Screen::Waiting { start: Start::Button, own_name: false }));
    assert_eq!(grant(&mut world), "none");
    let codes = world.count(&Event::CodeShown);
    world.press(Press::Short);
    assert!(world.run_until(MINUTE, |world| world.count(&Event::CodeShown) > codes));
    world.behave(Manners::attentive());
    whole(world);
}

#[test]
fn a_short_press_starts_a_sign_in_while_one_is_held_that_ends_soon() {
    let day = 24 * 60 * MINUTE;
    let policy = Policy { grant_lifetime: Some(30 * day), ..Policy::default() };
    let mut world = online(Setup { policy, ..Setup::new(110) });
    world.behave(Manners::absent());
    let expires = |world: &mut World| matches!(world.screen(), Some(Screen::Expiring { .. }));
    assert!(world.run_until(30 * day, expires), "{:?}", world.screen());
    let codes = world.count(&Event::CodeShown);
    world.behave(Manners::attentive());
    world.press(Press::Short);
    assert!(world.run_until(10 * MINUTE, |world| is_online(world)), "{:?}", world.screen());
    assert_eq!(world.count(&Event::CodeShown), codes + 1);
    whole(world);
}

#[test]
fn holding_the_button_counts_down_and_letting_go_too_early_changes_nothing() {
    let mut world = online(Setup::new(103));
    world.press(Press::ResetIn(10));
    assert_eq!(world.screen(), Some(&Screen::ResetIn { seconds: 10 }));
    world.press(Press::ResetConfirm);
    world.run_for(5 * SECOND);
    assert_eq!(world.screen(), Some(&Screen::ResetConfirm));
    world.press(Press::ResetOff);
    assert!(is_online(&world));
    assert_eq!(grant(&mut world), "held");
    whole(world);
}

#[test]
fn a_reset_wipes_everything_and_the_issuer_is_told() {
    let mut world = online(Setup::new(104));
    world.begin(Happening::Backend(Mood::Busy(503, 600, false)));
    for _ in 0..5 {
        world.send_record();
        world.run_for(SECOND);
    }
    let before = status(&mut world);
    assert!(before.delivery.records >= 5, "{before:?}");
    world.press(Press::Reset);
    assert!(
        world.run_until(MINUTE, |world| matches!(world.screen(), Some(Screen::ResetDone { .. })))
    );
    let after = status(&mut world);
    assert_eq!(after.grant.status, "none");
    assert_ne!(after.device_id, before.device_id, "nobody recognises the device");
    assert!(after.delivery.records < before.delivery.records, "{after:?}");
    world.run_for(61 * SECOND);
    assert!(!matches!(world.screen(), Some(Screen::ResetDone { .. })));
    assert_eq!(world.count(&Event::Revoked), 1);
    world.end(Happening::Backend(Mood::Busy(503, 600, false)));
    let balance = world.conclude();
    assert!(balance.forgotten >= 5 && balance.reported >= balance.forgotten, "{balance:?}");
    assert_eq!(world.broken(), []);
}

#[test]
fn a_reset_without_network_wipes_at_once_and_the_issuer_is_told_later() {
    let mut world = online(Setup::new(105));
    world.behave(nobody());
    world.begin(Happening::NoNetwork);
    world.press(Press::Reset);
    let done =
        |world: &mut World| world.screen() == Some(&Screen::ResetDone { revocation_pending: true });
    assert!(world.run_until(MINUTE, done), "{:?}", world.screen());
    let code = Fault::RevocationPending.row().code;
    assert!(status(&mut world).faults.iter().any(|fault| fault.code == code));
    world.end(Happening::NoNetwork);
    assert!(world.run_until(5 * 60 * MINUTE, |world| world.count(&Event::Revoked) == 1));
    world.behave(Manners::attentive());
    whole(world);
}

#[test]
fn invariant_3_a_cut_of_power_in_a_reset_does_not_stop_it() {
    for seed in 0..20 {
        let mut world = online(Setup::new(200 + seed));
        world.behave(nobody());
        let before = status(&mut world);
        world.strike(Some(Moment::Writing), CUT);
        world.press(Press::Reset);
        assert!(world.run_until(10 * MINUTE, |world| world.has_struck()));
        // The cut may have been before flash knew of the reset: then it never was.
        world.run_for(2 * MINUTE);
        let after = status(&mut world);
        let is_wiped = after.device_id != before.device_id;
        // Somebody may have signed in anew by then.
        let is_gone = after.grant.signed_in_at != before.grant.signed_in_at;
        assert_eq!(is_wiped, is_gone, "{seed}: {after:?}");
        world.behave(Manners::attentive());
        whole(world);
    }
}

fn without_button(seed: u64) -> World {
    let mut world = online(Setup { has_button: false, ..Setup::new(seed) });
    world.behave(nobody());
    // The start before was long over.
    world.run_for(MINUTE);
    world
}

/// Cuts the power, waits for the agent, and lets it run for so long.
fn power_cycle(world: &mut World, runs: Duration) {
    world.strike(None, CUT);
    assert!(world.run_until(2 * MINUTE, |world| world.is_running()));
    world.run_for(runs);
}

#[test]
fn five_power_cycles_in_a_row_sign_out_where_there_is_no_button() {
    let mut world = without_button(106);
    for _ in 0..4 {
        power_cycle(&mut world, 3 * SECOND);
        assert_eq!(grant(&mut world), "held");
    }
    world.expect_sign_out();
    power_cycle(&mut world, 3 * SECOND);
    assert_eq!(grant(&mut world), "none");
    world.run_for(MINUTE);
    assert_eq!(world.count(&Event::SignedOut), 1);
    world.behave(Manners::attentive());
    whole(world);
}

#[test]
fn power_cycles_with_a_longer_run_between_them_are_none_of_a_row() {
    let mut world = without_button(107);
    for _ in 0..3 {
        for _ in 0..3 {
            power_cycle(&mut world, 3 * SECOND);
        }
        power_cycle(&mut world, 15 * SECOND);
        assert_eq!(grant(&mut world), "held");
    }
    world.behave(Manners::attentive());
    whole(world);
}

#[test]
fn restarts_of_the_agent_are_no_power_cycles() {
    let mut world = without_button(108);
    for _ in 0..8 {
        world.strike(None, Strike::Kill { down: SECOND });
        assert!(world.run_until(MINUTE, |world| world.is_running()));
        world.run_for(3 * SECOND);
    }
    assert_eq!(grant(&mut world), "held");
    world.behave(Manners::attentive());
    whole(world);
}

#[test]
fn with_a_button_power_cycles_mean_nothing() {
    let mut world = online(Setup::new(109));
    for _ in 0..8 {
        power_cycle(&mut world, 3 * SECOND);
    }
    assert_eq!(grant(&mut world), "held");
    whole(world);
}

#[test]
fn invariant_8_what_waited_for_its_commit_at_a_sign_out_goes_with_the_key() {
    let commit = Commit::Within(Span::seconds(10));
    let mut world = online(Setup { commit, programs: false, ..Setup::new(111) });
    world.behave(nobody());
    world.begin(Happening::Backend(Mood::Busy(503, 600, false)));
    world.run_for(MINUTE);
    let before = status(&mut world).delivery.records;
    for _ in 0..3 {
        world.send_record();
    }
    world.run_for(SECOND);
    assert_eq!(status(&mut world).delivery.records, before, "they wait for others");
    world.press(Press::SignOut);
    world.run_for(SECOND);
    let counted = status(&mut world).delivery.records;
    // Later they would lie there under a key that was made for them anew.
    world.run_for(30 * SECOND);
    assert_eq!(status(&mut world).delivery.records, counted);
    world.behave(Manners::attentive());
    whole(world);
}
