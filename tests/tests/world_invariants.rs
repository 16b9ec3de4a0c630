//! Lives keep every invariant, and the judge notices when one is broken on purpose.

use signpost_tests::world::{Climate, Sabotage, live};

/// A broken agent is noticed within so many lives.
const LIVES: u64 = 30;

const DAYS: u32 = 5;

#[test]
fn lives_in_any_weather_keep_every_invariant() {
    for (climate, seeds) in
        [(Climate::Calm, 1..3), (Climate::Usual, 3..11), (Climate::Stormy, 11..19)]
    {
        for seed in seeds {
            let lived = live(seed, DAYS, climate, None, false);
            assert_eq!(lived.broken, [], "{climate:?}, seed {seed}");
            assert!(lived.balance.delivered > 50, "{:?}", lived.balance);
        }
    }
}

#[test]
fn the_same_seed_gives_the_same_life() {
    let lines = || live(5, 2, Climate::Stormy, None, true).lines;
    let first = lines();
    assert!(first.len() > 100 && first == lines());
}

fn is_noticed(sabotage: Sabotage) {
    let noticed = (1..=LIVES).any(|seed| {
        let lived = live(seed, DAYS, Climate::Stormy, Some(sabotage), false);
        lived.broken.iter().any(|broken| broken.invariant == sabotage.invariant())
    });
    assert!(noticed, "{sabotage:?}: nobody noticed");
}

macro_rules! noticed {
    ($($name:ident: $sabotage:ident,)*) => {
        $(
            #[test]
            fn $name() {
                is_noticed(Sabotage::$sabotage);
            }
        )*

        #[test]
        fn every_sabotage_and_every_invariant_is_among_these() {
            let tested = [$(Sabotage::$sabotage),*];
            assert_eq!(tested, Sabotage::ALL);
            let mut invariants: Vec<u8> = tested.iter().map(|it| it.invariant()).collect();
            invariants.dedup();
            assert!(invariants.into_iter().eq(1..=11));
        }
    };
}

noticed! {
    invariant_1_a_token_that_is_not_durable_is_noticed: AckUnwritten,
    invariant_2_a_dropped_grant_is_noticed: DropSuspended,
    invariant_3_flash_that_goes_back_is_noticed: OldFlash,
    invariant_3_an_old_token_is_noticed: ReplayOldToken,
    invariant_4_a_forgotten_record_is_noticed: ForgetRecord,
    invariant_4_a_batch_removed_unsent_is_noticed: RemoveUnsent,
    invariant_5_an_early_poll_is_noticed: PollEarly,
    invariant_6_the_network_at_a_wrong_date_is_noticed: TrustAnyClock,
    invariant_7_a_code_in_the_journal_is_noticed: JournalCode,
    invariant_7_a_token_on_a_panel_is_noticed: ShowToken,
    invariant_8_a_lent_token_is_noticed: LendToken,
    invariant_8_records_in_anothers_name_are_noticed: SwapNames,
    invariant_9_a_program_without_an_answer_is_noticed: Deaf,
    invariant_9_a_hanging_panel_is_noticed: HangingPanel,
    invariant_10_two_refreshes_at_a_time_are_noticed: TwoRefreshes,
    invariant_10_a_storm_is_noticed: Storm,
    invariant_11_a_takeover_is_noticed: AdmitAnyone,
    invariant_11_a_grant_that_is_not_revoked_is_noticed: KeepForeignGrant,
}
