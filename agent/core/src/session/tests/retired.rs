//! Codes that another takes the place of on the panel before the issuer says that they are over.

use super::*;

const FIVE: Duration = Duration::from_secs(300);

/// Another code each time, good for a quarter of an hour as the issuer says.
fn code(number: u8) -> Outcome {
    let body = CODE.replace("dc-secret", &format!("dc-{number}")).replace("600", "900");
    json(200, &body.replace("WDJB-MJHT", &format!("CODE-{number}")))
}

/// Codes are shown for five minutes only, as at Entra; `answer` says what the issuer answers about each.
fn live(rig: &mut Rig, seconds: u64, mut answer: impl FnMut(u8, u64) -> Outcome) -> Vec<(u64, u8)> {
    let mut polls = vec![];
    let start = rig.now.boot;
    let mut codes = 0;
    while rig.now.boot.since(start).as_secs() < seconds {
        while let Some((_, request)) = rig.sent.first() {
            let Some(Body::Form(form)) = &request.body else { panic!("a form") };
            let about =
                form.expose().split("device_code=dc-").nth(1).map(|rest| rest.as_bytes()[0]);
            let now = rig.now.boot.since(start).as_secs();
            let outcome = match about.map(|digit| digit - b'0') {
                Some(number) => {
                    polls.push((now, number));
                    answer(number, now)
                }
                None => {
                    codes += 1;
                    code(codes)
                }
            };
            rig.answer(&outcome);
        }
        rig.pass(1);
    }
    polls
}

fn rig() -> Rig {
    let mut config = config();
    config.issuer.code_lifetime = Some(FIVE);
    Rig::new(config, Stored::default())
}

fn pending() -> Outcome {
    error("authorization_pending")
}

fn shown(rig: &Rig) -> &str {
    rig.session.pending_sign_in().map_or("", |pending| pending.user_code.as_str())
}

#[test]
fn an_approval_at_minute_ten_of_the_first_code_is_not_lost() {
    let mut rig = rig();
    live(&mut rig, 301, |_, _| pending());
    assert_eq!(shown(&rig), "CODE-2");
    let mut rig = self::rig();
    live(&mut rig, 700, |number, now| match (number, now) {
        (1, 600..) => tokens("anna", "rt-1"),
        _ => pending(),
    });
    assert_eq!(rig.session.state(), State::Online);
    assert_eq!(rig.session.pending_sign_in(), None);
    let before = rig.sent.len();
    rig.pass(1_000);
    assert_eq!(rig.sent.len(), before, "nothing is asked about any code");
}

#[test]
fn each_code_is_asked_about_to_its_end_one_poll_at_a_time_and_old_ones_seldom() {
    let mut rig = rig();
    let polls = live(&mut rig, 2_400, |_, _| pending());
    let of = |number| polls.iter().filter(move |(_, it)| *it == number).map(|(at, _)| *at);
    // Shown from 0, 300, 600 and 900 s; the last for want of another until it is over.
    let ends: Vec<Option<u64>> = (1..=4).map(|number| of(number).max()).collect();
    for (end, expected) in ends.iter().zip([900, 1_200, 1_500, 1_800]) {
        assert!(end.is_some_and(|end| (expected - 20..expected).contains(&end)), "{ends:?}");
    }
    let old: Vec<u64> = of(1).filter(|at| *at > 300).collect();
    assert!(old.windows(2).all(|two| two[1] - two[0] >= 15), "{old:?}");
    assert!(old.len() >= 30, "{}", old.len());
    assert_eq!(rig.session.view(), View::Waiting);
    assert!(rig.events.contains(&Event::PairingEnded(Ending::Expired)));
}

#[test]
fn the_end_of_an_old_code_is_not_the_end_of_the_one_on_show_but_a_no_is() {
    for over in ["expired_token", "bad_verification_code"] {
        let mut rig = rig();
        let polls = live(&mut rig, 500, |number, now| match (number, now) {
            (1, 300..) => error(over),
            _ => pending(),
        });
        assert_eq!(polls.iter().filter(|(at, number)| *number == 1 && *at >= 300).count(), 1);
        assert_eq!(shown(&rig), "CODE-2", "{over}");
    }
    let mut rig = rig();
    live(&mut rig, 340, |number, now| match (number, now) {
        (1, 320..) => error("access_denied"),
        _ => pending(),
    });
    assert_eq!(rig.session.view(), View::Denied);
    assert!(rig.sent.is_empty());
}

#[test]
fn a_code_that_the_issuer_ends_early_is_replaced_at_once() {
    let mut rig = rig();
    live(&mut rig, 60, |number, now| match (number, now) {
        (1, 30..) => error("expired_token"),
        _ => pending(),
    });
    assert_eq!(shown(&rig), "CODE-2");
}

#[test]
fn an_approval_that_crosses_a_sign_out_is_revoked() {
    let mut rig = Rig::fresh();
    rig.answer(&json(200, CODE));
    rig.pass(5);
    rig.session.sign_out(rig.now);
    rig.drain();
    rig.answer(&tokens("anna", "rt-late"));
    assert_eq!(rig.session.state(), State::Waiting);
    assert_eq!(rig.kept().grant, None);
    assert!(rig.body().contains("token=rt-late") && rig.sent[0].1.url.ends_with("/revoke"));

    // A poll that had not left is not made.
    let mut rig = Rig::fresh();
    rig.answer(&json(200, CODE));
    let due = rig.now.boot + Duration::from_secs(5);
    rig.set_time(due);
    rig.session.handle_timeout(rig.now);
    rig.session.sign_out(rig.now);
    rig.drain();
    assert!(rig.sent.is_empty());
}
