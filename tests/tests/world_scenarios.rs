//! What a device must live through, one thing at a time, in the simulated world. The judge of that
//! world watches every scenario: each ends with `whole`.

use signpost_core::{
    fault::Fault,
    http::{Cause, Reply},
    session::{Ending, Event},
    wire::Unacceptable,
};
use signpost_hal::screen::Screen;
use signpost_tests::world::{
    Fate, Happening, Kind, Manners, Medium, Moment, Mood, Person, Policy, Rotation, Rtc, Setup,
    Strike, WANTS_CLAIMS, WANTS_MORE, World,
};
use std::time::Duration;

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(86_400);

const CUT: Strike = Strike::Cut { off: Duration::from_secs(3), rtc: Rtc::Right };
const KILL: Strike = Strike::Kill { down: Duration::from_secs(1) };

fn online(setup: Setup) -> World {
    let mut world = World::new(setup);
    assert!(world.run_until(10 * MINUTE, |world| is_online(world)), "{:?}", world.screen());
    world
}

fn is_online(world: &World) -> bool {
    matches!(world.screen(), Some(Screen::Online))
}

fn code(world: &World) -> Option<String> {
    match world.screen() {
        Some(Screen::SignIn(sign_in)) => Some(sign_in.user_code.clone()),
        _ => None,
    }
}

fn has_fault(world: &mut World, fault: Fault) -> bool {
    world.status().is_some_and(|s| s.faults.iter().any(|it| it.code == fault.row().code))
}

/// Everything comes right, and no invariant was broken on the way.
fn whole(mut world: World) {
    let balance = world.conclude();
    assert_eq!(world.broken(), []);
    assert!(balance.reported >= balance.refused, "{balance:?}");
}

fn oauth_error(code: &str) -> Fate {
    let body = format!(r#"{{"error":"{code}"}}"#).into_bytes();
    Fate::Instead(Reply { status: 400, headers: Vec::new(), body })
}

#[test]
fn a_person_signs_in_and_what_was_stored_before_arrives() {
    let mut world = World::new(Setup::new(1));
    assert!(world.run_until(MINUTE, |world| code(world).is_some()));
    assert!(world.run_until(5 * MINUTE, |world| is_online(world)));
    assert_eq!(world.count(&Event::CodeShown), 1);
    assert_eq!(world.count(&Event::SignedIn { replaced: false }), 1);
    let balance = world.conclude();
    assert!(balance.delivered >= 1 && balance.delivered == balance.acknowledged, "{balance:?}");
    whole(world);
}

#[test]
fn invariant_5_slow_down_is_obeyed_over_a_restart_too() {
    let mut world = World::new(Setup::new(2));
    for _ in 0..3 {
        world.network.script(Kind::Poll, oauth_error("slow_down"));
    }
    world.behave(Manners { approves_after: 120..130, ..Manners::attentive() });
    assert!(world.run_until(5 * MINUTE, |world| world.network.is_script_over()));
    world.strike(None, KILL);
    assert!(world.run_until(5 * MINUTE, |world| is_online(world)));
    assert_eq!(world.count(&Event::CodeShown), 1);
    whole(world);
}

#[test]
fn an_expired_code_is_renewed_three_times_and_then_somebody_has_to_ask() {
    let mut world = World::new(Setup { manners: Manners::absent(), ..Setup::new(3) });
    world.run_for(HOUR);
    assert!(matches!(world.screen(), Some(Screen::Waiting { .. })), "{:?}", world.screen());
    assert_eq!(world.count(&Event::CodeShown), 4);
    assert_eq!(world.count(&Event::PairingEnded(Ending::Expired)), 1);
    let asked = world.exchanges();
    world.run_for(DAY);
    assert_eq!(world.exchanges(), asked + 1, "but for the issuer's metadata it is silent");
    world.behave(Manners::attentive());
    world.visit(Person::Anna);
    assert!(world.run_until(5 * MINUTE, |world| is_online(world)));
    whole(world);
}

#[test]
fn a_denied_sign_in_says_so_and_waits_for_somebody() {
    let manners = Manners { denies: 1_000, ..Manners::attentive() };
    let mut world = World::new(Setup { manners, ..Setup::new(4) });
    assert!(world.run_until(5 * MINUTE, |w| matches!(w.screen(), Some(Screen::Denied { .. }))));
    assert_eq!(world.count(&Event::PairingEnded(Ending::Denied)), 1);
    whole(world);
}

#[test]
fn a_lost_answer_to_a_refresh_costs_at_most_a_sign_in_with_its_reason() {
    for rotation in [Rotation::None, Rotation::OldStaysValid, Rotation::ReuseEndsAll] {
        for fate in [
            Fate::NotSent(Cause::Connect),
            Fate::LostBefore(Cause::Timeout),
            Fate::LostAfter(Cause::Timeout),
            Fate::LostAfter(Cause::Broken),
            Fate::LostAfter(Cause::TooLarge),
            Fate::Garbled(Reply { status: 200, headers: Vec::new(), body: b"{\"acc".to_vec() }),
        ] {
            let lost = matches!(fate, Fate::LostAfter(_) | Fate::Garbled(_));
            let policy = Policy { rotation, ..Policy::default() };
            let mut world = online(Setup { policy, ..Setup::new(5) });
            world.behave(Manners::absent());
            world.network.script(Kind::Refresh, fate.clone());
            world.run_for(3 * HOUR);
            assert!(world.network.is_script_over());
            if lost && rotation == Rotation::ReuseEndsAll {
                let asks = matches!(world.screen(), Some(Screen::SignInAgain { .. }));
                assert!(asks, "{rotation:?} {fate:?}: {:?}", world.screen());
                assert!(has_fault(&mut world, Fault::SignInAgainAfterLoss), "{fate:?}");
            } else {
                assert!(is_online(&world), "{rotation:?} {fate:?}: {:?}", world.screen());
                assert_eq!(world.count(&Event::SignedIn { replaced: false }), 1);
            }
            whole(world);
        }
    }
}

#[test]
fn a_device_renews_for_days_with_nobody_there() {
    let mut world = online(Setup::new(6));
    world.behave(Manners::absent());
    world.run_for(5 * DAY);
    assert!(is_online(&world));
    assert_eq!(world.count(&Event::SignedIn { replaced: false }), 1);
    let refreshes = world.count(&Event::Refreshed { rotated: true });
    assert!((5 * 24..5 * 24 * 3).contains(&refreshes), "{refreshes}");
    whole(world);
}

#[test]
fn a_401_from_the_backend_holds_everything_and_is_no_storm() {
    let mut world = online(Setup::new(7));
    let before = world.count(&Event::Refreshed { rotated: true });
    world.begin(Happening::Backend(Mood::Unauthorized));
    world.run_for(6 * HOUR);
    assert!(has_fault(&mut world, Fault::BackendUnauthorized));
    let refreshes = world.count(&Event::Refreshed { rotated: true }) - before;
    assert!(refreshes <= 6 * 6, "{refreshes} refreshes in six hours");
    world.end(Happening::Backend(Mood::Unauthorized));
    whole(world);
}

#[test]
fn invariant_6_a_wrong_clock_is_said_and_its_setting_wakes_the_device() {
    for rtc in [Rtc::Epoch, Rtc::Far, Rtc::Absent] {
        let mut world = World::new(Setup { rtc, ..Setup::new(8) });
        world.begin(Happening::NoNetwork);
        world.run_for(HOUR);
        assert_eq!(world.screen(), Some(&Screen::ClockWrong));
        assert_eq!(world.exchanges(), 0);
        world.end(Happening::NoNetwork);
        world.set_clock(Rtc::Right);
        assert!(world.run_until(5 * MINUTE, |world| is_online(world)), "{rtc:?}");
        world.set_clock(rtc);
        world.run_for(3 * HOUR);
        assert_eq!(world.screen(), Some(&Screen::ClockWrong));
        world.set_clock(Rtc::Right);
        assert!(world.run_until(5 * MINUTE, |world| is_online(world)), "{rtc:?}");
        assert_eq!(world.count(&Event::SignedIn { replaced: false }), 1);
        whole(world);
    }
}

#[test]
fn invariant_3_the_power_may_go_at_any_instant() {
    let moments = [
        Moment::Saving,
        Moment::Writing,
        Moment::Answering(Kind::Code),
        Moment::Answering(Kind::Poll),
        Moment::Answering(Kind::Refresh),
        Moment::Answering(Kind::Telemetry),
    ];
    let media = [Medium::File, Medium::Nor { program_unit: 4 }, Medium::Nor { program_unit: 256 }];
    let mut seed = 100;
    for strike in [CUT, KILL] {
        for moment in moments {
            for medium in media {
                seed += 1;
                let mut world = World::new(Setup { medium, ..Setup::new(seed) });
                for _ in 0..4 {
                    world.strike(Some(moment), strike);
                    world.run_until(2 * HOUR, |world| world.has_struck());
                    world.run_for(MINUTE);
                }
                whole(world);
            }
        }
    }
}

#[test]
fn a_sign_in_under_way_survives_a_restart_of_the_agent_and_not_one_of_the_board() {
    let manners = Manners { approves_after: 200..201, ..Manners::attentive() };
    let mut world = World::new(Setup { manners, ..Setup::new(9) });
    assert!(world.run_until(MINUTE, |world| code(world).is_some()));
    let before = code(&world);
    world.strike(None, KILL);
    world.run_for(10 * Duration::from_secs(1));
    assert_eq!(code(&world), before);
    world.strike(None, CUT);
    assert!(world.run_until(2 * MINUTE, |world| code(world).is_some()));
    assert_ne!(code(&world), before);
    assert!(world.run_until(10 * MINUTE, |world| is_online(world)));
    whole(world);
}

#[test]
fn a_sign_out_without_network_counts_at_once_and_is_told_later() {
    let mut world = online(Setup::new(10));
    world.begin(Happening::NoNetwork);
    world.behave(Manners::absent());
    world.sign_out();
    world.run_for(MINUTE);
    assert_eq!(world.status().unwrap().grant.status, "none");
    assert!(has_fault(&mut world, Fault::RevocationPending));
    assert!(world.issuer.families[0].alive);
    world.strike(None, CUT);
    world.run_for(HOUR);
    world.end(Happening::NoNetwork);
    assert!(world.run_until(5 * HOUR, |world| !world.issuer.families[0].alive));
    whole(world);
}

#[test]
fn invariant_11_another_account_is_turned_away_and_the_owner_stays() {
    let mut world = online(Setup::new(11));
    world.visit(Person::Ben);
    let refused = |world: &mut World| matches!(world.screen(), Some(Screen::WrongAccount { .. }));
    assert!(world.run_until(5 * MINUTE, refused));
    world.behave(Manners::absent());
    world.run_for(5 * MINUTE);
    let family = world.issuer.families.iter().find(|family| family.person == Person::Ben);
    assert!(!family.unwrap().alive, "revoked");
    assert_eq!(world.status().unwrap().grant.status, "held");
    assert_eq!(world.count(&Event::OwnerRefused), 1);
    whole(world);
}

#[test]
fn invariant_2_a_suspended_grant_comes_back_when_the_account_is_enabled_again() {
    let mut world = online(Setup::new(12));
    world.behave(Manners::absent());
    world.begin(Happening::Disabled(Person::Anna));
    world.run_for(3 * DAY);
    assert!(matches!(world.screen(), Some(Screen::SignInAgain { .. })), "{:?}", world.screen());
    assert_eq!(world.status().unwrap().grant.status, "suspended");
    world.end(Happening::Disabled(Person::Anna));
    assert!(world.run_until(26 * HOUR, |world| is_online(world)));
    assert_eq!(world.count(&Event::SignedIn { replaced: false }), 1);
    assert_eq!(world.count(&Event::Resumed), 1);
    whole(world);
}

#[test]
fn invariant_1_a_device_whose_flash_fails_goes_on_from_memory() {
    let mut world = online(Setup::new(16));
    world.behave(Manners::absent());
    world.begin(Happening::FlashFails);
    assert!(world.run_until(5 * HOUR, |world| {
        world.count(&Event::FaultRaised(Fault::TokensNotSaved)) > 0
    }));
    world.run_for(5 * HOUR);
    assert_eq!(world.status().unwrap().grant.status, "held");
    world.end(Happening::FlashFails);
    world.run_for(2 * HOUR);
    assert!(is_online(&world), "{:?}", world.screen());
    assert!(!has_fault(&mut world, Fault::TokensNotSaved));
    whole(world);
}

#[test]
fn a_full_spool_stops_neither_a_refused_record_nor_a_sign_out() {
    for signs_out in [false, true] {
        // The first record after the sign-in is one that the backend calls malformed.
        let setup = Setup { first_record: Some(997), programs: false, ..Setup::new(14) };
        let mut world = online(setup);
        world.begin(Happening::NoNetwork);
        for _ in 0..60 {
            world.send_record();
            world.run_for(Duration::from_secs(2));
        }
        let status = world.status().unwrap();
        assert!((1..60).contains(&status.delivery.records), "{}", status.delivery.records);
        if signs_out {
            world.sign_out();
            world.run_for(MINUTE);
            assert_eq!(world.status().unwrap().grant.status, "none");
        }
        whole(world);
    }
}

#[test]
fn invariant_10_a_fleet_that_gets_its_power_back_spreads_its_load() {
    let firsts: Vec<Duration> = (0..40)
        .map(|seed| {
            let mut world = World::new(Setup::new(1_000 + seed));
            assert!(world.run_until(MINUTE, |world| world.exchanges() > 0));
            world.now
        })
        .collect();
    for at in 0..60 {
        let within = Duration::from_secs(at)..Duration::from_secs(at + 2);
        let together = firsts.iter().filter(|first| within.contains(*first)).count();
        assert!(together <= 12, "{together} of 40 within two seconds: {firsts:?}");
    }
}

#[test]
fn the_issuers_keys_may_change_and_be_out_of_reach_without_costing_a_sign_in() {
    #[derive(Debug)]
    struct Keys {
        gone_before: bool,
        rotate: bool,
        gone_after: bool,
    }
    let outage = |world: &mut World| {
        for _ in 0..20 {
            world.network.script(Kind::Keys, Fate::NotSent(Cause::Connect));
        }
    };
    for (keys, on_the_word_of_tls) in [
        (Keys { gone_before: false, rotate: true, gone_after: false }, 0),
        (Keys { gone_before: false, rotate: false, gone_after: true }, 0),
        (Keys { gone_before: false, rotate: true, gone_after: true }, 1),
        (Keys { gone_before: true, rotate: false, gone_after: true }, 1),
    ] {
        let manners = Manners { approves_after: 200..201, ..Manners::attentive() };
        let mut world = World::new(Setup { manners, ..Setup::new(15) });
        if keys.gone_before {
            outage(&mut world);
        }
        assert!(world.run_until(MINUTE, |world| code(world).is_some()));
        world.run_for(MINUTE);
        if keys.rotate {
            world.issuer.rotate_keys();
        }
        if keys.gone_after {
            outage(&mut world);
        }
        assert!(world.run_until(5 * MINUTE, |world| is_online(world)), "{:?}", world.screen());
        assert_eq!(world.count(&Event::KeysUnavailable), on_the_word_of_tls, "{keys:?}");
        assert_eq!(world.count(&Event::CodeShown), 1);
        whole(world);
    }
}

#[test]
fn an_id_token_that_somebody_else_signed_names_nobody() {
    let mut world = World::new(Setup::new(16));
    world.issuer.forges = true;
    let problem = Unacceptable::Signature;
    assert!(
        world.run_until(5 * MINUTE, |world| {
            world.count(&Event::IdentityRefused { problem }) > 0
        })
    );
    world.behave(Manners::absent());
    world.run_for(5 * MINUTE);
    assert_eq!(world.status().unwrap().grant.status, "none");
    assert!(!world.issuer.families[0].alive, "revoked");
    world.issuer.forges = false;
    whole(world);
}

#[test]
fn the_end_of_a_grant_is_announced_on_the_panel_in_the_status_and_to_whoever_runs_the_device() {
    let policy = Policy { grant_lifetime: Some(30 * DAY), ..Policy::default() };
    let mut world = online(Setup { policy, ..Setup::new(17) });
    world.behave(Manners::absent());
    world.run_for(23 * DAY);
    assert!(is_online(&world), "{:?}", world.screen());
    assert_eq!(world.backend.said("signpost.sign-in-ends"), 0);
    world.run_for(2 * DAY);
    let Some(Screen::Expiring { by, .. }) = world.screen() else { panic!("{:?}", world.screen()) };
    let by = *by;
    let status = world.status().unwrap();
    assert_eq!(status.state, "online", "it works until then");
    let end: String = status.grant.expires_at.unwrap();
    let number = |range: std::ops::Range<usize>| end[range].parse::<u8>().unwrap();
    let (day, hour) = (number(8..10), number(11..13));
    assert_eq!(by.day, if hour < 12 { day - 1 } else { day }, "{end}");
    assert!(has_fault(&mut world, Fault::SignInEnds));
    assert_eq!(world.backend.said("signpost.sign-in-ends"), 1);
    // A cut of power does not silence it, nor make it a flood.
    world.strike(None, CUT);
    world.run_for(HOUR);
    assert!(matches!(world.screen(), Some(Screen::Expiring { .. })), "{:?}", world.screen());
    assert!(world.run_until(6 * DAY, |world| {
        matches!(world.screen(), Some(Screen::SignInAgain { .. }))
    }));
    assert!(!has_fault(&mut world, Fault::SignInEnds));
    assert!(world.backend.said("signpost.sign-in-ends") <= 2);
    world.behave(Manners::attentive());
    world.sign_in();
    assert!(world.run_until(5 * MINUTE, |world| is_online(world)));
    whole(world);
}

#[test]
fn what_a_busy_issuer_asks_for_outlives_a_restart_of_the_agent() {
    let busy = |seconds: &str| {
        let header = ("retry-after".to_owned(), seconds.to_owned());
        Fate::Instead(Reply { status: 503, headers: vec![header], body: Vec::new() })
    };
    let mut world = World::new(Setup::new(18));
    world.network.script(Kind::Code, busy("300"));
    world.network.script(Kind::Poll, busy("120"));
    world.network.script(Kind::Refresh, busy("7200"));
    for _ in 0..4 {
        world.run_for(MINUTE);
        world.strike(None, KILL);
    }
    assert_eq!(world.count(&Event::CodeShown), 0);
    assert!(world.run_until(10 * MINUTE, |world| is_online(world)), "{:?}", world.screen());
    assert!(world.run_until(HOUR, |world| world.network.is_script_over()));
    for _ in 0..11 {
        world.run_for(10 * MINUTE);
        world.strike(None, KILL);
    }
    assert_eq!(world.count(&Event::Refreshed { rotated: true }), 0, "two hours are not over");
    assert!(
        world.run_until(20 * MINUTE, |world| {
            world.count(&Event::Refreshed { rotated: true }) > 0
        })
    );
    whole(world);
}

#[test]
fn claims_that_the_backend_asks_for_are_fetched_by_one_refresh_with_nobody_there() {
    let mut world = online(Setup::new(19));
    world.behave(Manners::absent());
    world.run_for(MINUTE);
    let before = world.count(&Event::Refreshed { rotated: true });
    world.begin(Happening::Backend(Mood::Wants(WANTS_CLAIMS)));
    world.send_record();
    world.run_for(MINUTE);
    assert!(is_online(&world), "{:?}", world.screen());
    assert_eq!(world.count(&Event::Refreshed { rotated: true }), before + 1);
    assert_eq!(world.status().unwrap().delivery.records, 0, "and the batch is there");
    assert_eq!(world.backend.unauthorized, 1);
    whole(world);
}

#[test]
fn what_no_refresh_can_bring_is_asked_for_at_a_sign_in_and_the_grant_works_until_then() {
    for (wants, claims_by_refresh) in [(WANTS_CLAIMS, false), (WANTS_MORE, true)] {
        let policy = Policy { claims_by_refresh, ..Policy::default() };
        let mut world = online(Setup { policy, programs: false, ..Setup::new(20) });
        world.behave(Manners::absent());
        world.begin(Happening::Backend(Mood::Wants(wants)));
        world.run_for(2 * MINUTE);
        world.send_record();
        world.run_for(6 * HOUR);
        assert!(matches!(world.screen(), Some(Screen::SignInAgain { .. })), "{:?}", world.screen());
        assert!(has_fault(&mut world, Fault::SignInStronger));
        let status = world.status().unwrap();
        assert_eq!((status.state, status.grant.status), ("waiting", "held"));
        assert_eq!((status.delivery.reason, status.delivery.records), (Some("sign-in"), 1));
        assert!(world.backend.unauthorized <= 2 + 6 * 2, "{}", world.backend.unauthorized);
        assert_eq!(world.issuer.families.len(), 1, "nobody was asked to come twice");
        world.behave(Manners::attentive());
        world.visit(Person::Anna);
        assert!(world.run_until(5 * MINUTE, |world| is_online(world)), "{:?}", world.screen());
        assert!(!has_fault(&mut world, Fault::SignInStronger));
        world.run_for(MINUTE);
        assert_eq!(world.status().unwrap().delivery.records, 0);
        assert!(world.issuer.families[1].strong, "with what was asked for");
        whole(world);
    }
}

#[test]
fn tokens_bound_to_the_devices_key_outlive_cuts_and_the_key_goes_with_the_sign_in() {
    let policy = Policy { dpop: true, ..Policy::default() };
    let mut world = online(Setup { policy, ..Setup::new(21) });
    world.behave(Manners::absent());
    for strike in [CUT, KILL, CUT] {
        world.run_for(DAY);
        world.strike(Some(Moment::Answering(Kind::Telemetry)), strike);
    }
    world.run_for(DAY);
    assert!(is_online(&world), "{:?}", world.screen());
    assert_eq!(world.count(&Event::SignedIn { replaced: false }), 1);
    let refreshes = world.count(&Event::Refreshed { rotated: true });
    assert!(refreshes >= 4 * 24, "{refreshes}");
    world.sign_out();
    world.run_for(HOUR);
    world.behave(Manners::attentive());
    world.sign_in();
    assert!(world.run_until(10 * MINUTE, |world| is_online(world)));
    let keys: Vec<_> = world.issuer.families.iter().map(|family| family.key.clone()).collect();
    assert!(keys.len() == 2 && keys[0].is_some() && keys[1].is_some() && keys[0] != keys[1]);
    whole(world);
}

#[test]
fn telemetry_may_have_a_token_of_its_own_that_is_refreshed_on_its_own() {
    let telemetry_resource = Some(signpost_tests::world::BACKEND);
    let mut world = online(Setup { telemetry_resource, ..Setup::new(21) });
    world.backend.is_choosy = true;
    world.behave(Manners::absent());
    world.run_for(2 * DAY);
    assert!(is_online(&world), "{:?}", world.screen());
    assert_eq!(world.backend.unauthorized, 0, "it never gets another's");
    assert_eq!(world.status().unwrap().delivery.records, 0);
    let before = world.count(&Event::Refreshed { rotated: true });
    world.begin(Happening::Backend(Mood::Unauthorized));
    world.send_record();
    world.run_for(MINUTE);
    assert_eq!(world.count(&Event::Refreshed { rotated: true }), before + 1);
    assert!(is_online(&world), "what it refuses is its own: {:?}", world.screen());
    world.end(Happening::Backend(Mood::Unauthorized));
    whole(world);
}

#[test]
fn a_tenant_that_blocks_device_sign_in_is_said_until_it_is_allowed() {
    let mut world = World::new(Setup::new(22));
    for _ in 0..3 {
        world.network.script(Kind::Code, oauth_error("unauthorized_client"));
    }
    assert!(
        world.run_until(MINUTE, |world| world.screen()
            == Some(&Screen::Blocked { own_name: false }))
    );
    assert!(has_fault(&mut world, Fault::NoDeviceFlow));
    assert!(world.run_until(HOUR, |world| is_online(world)), "{:?}", world.screen());
    assert!(!has_fault(&mut world, Fault::NoDeviceFlow));
    whole(world);
}
